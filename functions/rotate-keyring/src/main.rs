//! The wiring of the function: client, runtime.

use auth_edge::report::Stdout;
use auth_store::aws::Aws;
use auth_store::rotation::NotRotated;
use lambda_runtime::{Diagnostic, Error, LambdaEvent, run, service_fn};
use serde_json::Value;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    auth_edge::process::keep_no_core();
    let aws = Aws::from_env()?;
    let aws = &aws;
    run(service_fn(|event: LambdaEvent<Value>| async move {
        rotate_keyring::handle(aws, &Stdout, &event.payload, &event.context.request_id).await.map_err(error)
    }))
    .await
}

fn error(why: NotRotated) -> Diagnostic {
    Diagnostic { error_type: "NotRotated".into(), error_message: why.to_string() }
}
