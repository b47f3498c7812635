//! The wiring of the function: settings, clients, runtime.

use auth_core::settings::Settings;
use auth_edge::authorizer::Failure;
use auth_edge::report::{Sampled, Stdout};
use auth_store::{aws::Aws, gate::Gate};
use lambda_runtime::{Diagnostic, Error, LambdaEvent, run, service_fn};
use serde_json::value::RawValue;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    auth_edge::process::keep_no_core();
    let settings = Settings::read(|name| std::env::var(name).ok())?;
    let gate = Gate::verifying(&Aws::from_env()?, &settings);
    let sink = Sampled::new(Stdout, settings.refusals_logged_per_minute);
    let (gate, settings, sink) = (&gate, &settings, &sink);
    // Read here: the runtime would follow each member's path, for the text of an error that nobody gets to see.
    run(service_fn(|event: LambdaEvent<Box<RawValue>>| async move {
        let read = &mut serde_json::Deserializer::from_str(event.payload.get());
        api_key_authorizer::handle(gate, settings, sink, read, &event.context.request_id).await.map_err(error)
    }))
    .await
}

/// The message is what API Gateway looks at: exactly `Unauthorized` is 401, anything else is 500.
fn error(failure: Failure) -> Diagnostic {
    Diagnostic { error_type: "Failure".into(), error_message: failure.to_string() }
}
