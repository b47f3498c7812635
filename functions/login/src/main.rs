//! The wiring of the function: settings, clients, runtime.

use auth_core::settings::Settings;
use auth_edge::http_request::{Event, reply};
use auth_edge::report::{Sampled, Stdout};
use auth_store::{aws::Aws, gate::Gate};
use lambda_http::lambda_runtime::run;
use lambda_http::{Error, LambdaEvent, service_fn};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    auth_edge::process::keep_no_core();
    let settings = Settings::read(|name| std::env::var(name).ok())?;
    let gate = Gate::new(&Aws::from_env()?, &settings);
    let sink = Sampled::new(Stdout, settings.refusals_logged_per_minute);
    let (gate, sink) = (&gate, &sink);
    run(service_fn(|event: LambdaEvent<Event>| async move {
        let response = login::handle(gate, sink, event.payload.0, &event.context.request_id).await;
        Ok::<_, Error>(reply(response))
    }))
    .await
}
