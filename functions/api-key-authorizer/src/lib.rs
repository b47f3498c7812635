//! `ApiKey` header -> access. Answers every authorizer event of API Gateway.

use auth_core::refusal::Refusal;
use auth_core::settings::Settings;
use auth_edge::answer::Reply;
use auth_edge::authorizer::{Failure, Kind, walk};
use auth_edge::report::Sink;
use auth_edge::{clock, header};
use auth_store::gate::Gate;
use serde::Deserializer;

const KIND: Kind = Kind { name: "api_key", header: "apikey", malformed: Refusal::InvalidApiKey };

/// Decides one event. `request_id` is the function's own, for events without one.
///
/// # Errors
/// `Unauthorized`, which the gateway answers with 401; anything else is 500.
pub async fn handle<'de>(
    gate: &Gate,
    settings: &Settings,
    sink: &dyn Sink,
    event: impl Deserializer<'de>,
    request_id: &str,
) -> Result<Reply, Failure> {
    let now = clock::now();
    walk(event, KIND, request_id, now, settings, sink, async |event, line| {
        gate.api_key(&event.request, header::api_key(&event.request), now, line).await
    })
    .await
}
