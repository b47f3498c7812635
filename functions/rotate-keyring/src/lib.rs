//! Rotates the keyring: what Secrets Manager invokes, and an operator after a leak.

use auth_core::audit::Outcome;
use auth_edge::clock;
use auth_edge::report::{Report, Sink};
use auth_store::aws::Aws;
use auth_store::rotation::{Done, NotRotated, rotate};
use serde_json::{Value, json};

/// Answers one event. `request_id` is the function's own.
///
/// # Errors
/// [`NotRotated`].
pub async fn handle(aws: &Aws, sink: &dyn Sink, event: &Value, request_id: &str) -> Result<Value, NotRotated> {
    let now = clock::now();
    let mut report = Report::begin("rotation", now, request_id);
    let result = rotate(aws, event, now).await;
    match &result {
        Ok(Done { step, done }) => {
            report.line.outcome = Outcome::Allowed;
            report.line.why = Some(format!("{step:?}: {done}"));
        }
        Err(why) => report.broken(why),
    }
    report.end(sink);
    result.map(|done| json!(done))
}
