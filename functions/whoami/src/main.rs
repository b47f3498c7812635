//! The wiring of the function: settings, clients, runtime.

use auth_core::settings::Settings;
use auth_edge::http_request::{Event, reply};
use auth_edge::report::Stdout;
use auth_store::{aws::Aws, gate::Gate};
use lambda_http::lambda_runtime::run;
use lambda_http::{Error, LambdaEvent, service_fn};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    auth_edge::process::keep_no_core();
    let settings = Settings::read(|name| std::env::var(name).ok())?;
    let guard = match std::env::var("GUARD").as_deref() {
        Err(_) | Ok("" | "behind-authorizer") => whoami::Guard::BehindAuthorizer,
        Ok("alone") => whoami::Guard::Alone,
        Ok(_) => return Err("GUARD: must be behind-authorizer or alone".into()),
    };
    let gate = Gate::new(&Aws::from_env()?, &settings);
    let gate = &gate;
    run(service_fn(|event: LambdaEvent<Event>| async move {
        let response = whoami::handle(gate, guard, &Stdout, event.payload.0, &event.context.request_id).await;
        Ok::<_, Error>(reply(response))
    }))
    .await
}
