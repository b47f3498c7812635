//! The JWT authorizer with a bug: what it decides first, it panics over. No event of the real one does that.

#![allow(clippy::panic, reason = "that is what it is for")]

use auth_core::audit::AuditLine;
use auth_core::settings::Settings;
use auth_edge::report::{Sampled, Sink, Stdout};
use auth_store::{aws::Aws, gate::Gate};
use lambda_runtime::{Diagnostic, Error, LambdaEvent, run, service_fn};
use serde_json::Value;
use std::sync::atomic::{AtomicBool, Ordering};

/// Standard output, after the first line.
struct Bug(AtomicBool);

impl Sink for Bug {
    fn write(&self, line: AuditLine) {
        assert!(self.0.swap(true, Ordering::Relaxed), "a bug");
        Stdout.write(line);
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let settings = Settings::read(|name| std::env::var(name).ok())?;
    let gate = Gate::verifying(&Aws::from_env()?, &settings);
    let sink = Sampled::new(Bug(AtomicBool::new(false)), settings.refusals_logged_per_minute);
    let (gate, settings, sink) = (&gate, &settings, &sink);
    run(service_fn(|event: LambdaEvent<Value>| async move {
        let answer = jwt_authorizer::handle(gate, settings, sink, &event.payload, &event.context.request_id).await;
        answer.map_err(|e| Diagnostic { error_type: "Failure".into(), error_message: e.to_string() })
    }))
    .await
}
