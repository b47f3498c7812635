//! The walk of an authorizer, but for the trip to the store: event in, decision by the caller of [`walk`], one audit
//! line, answer out.

use crate::answer::{Answer, Reply, answer};
use crate::event::AuthorizerEvent;
use crate::report::{Report, Sink};
use auth_core::audit::AuditLine;
use auth_core::decision::Verdict;
use auth_core::refusal::{Reason, Refusal};
use auth_core::settings::{LogLevel, Settings};
use auth_core::time::Timestamp;
use serde::Deserializer;
use std::fmt;

/// Why a function answers with an error. API Gateway makes 401 of the one spelling `Unauthorized`, and 500 of
/// anything else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// The caller's doing.
    Unauthorized,
    /// Ours.
    Unavailable,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unauthorized => "Unauthorized",
            Self::Unavailable => "unavailable",
        })
    }
}

impl std::error::Error for Failure {}

/// What kind of credential an authorizer takes.
#[derive(Debug, Clone, Copy)]
pub struct Kind {
    /// The word in the audit line.
    pub name: &'static str,
    /// The header that a TOKEN event's text came from.
    pub header: &'static str,
    /// The refusal of an event that is none.
    pub malformed: Refusal,
}

/// Walks one event through. `request_id` is the function's own, for events without one.
///
/// # Errors
/// [`Failure`].
pub async fn walk<'de, F, E>(
    event: impl Deserializer<'de>,
    kind: Kind,
    request_id: &str,
    now: Timestamp,
    settings: &Settings,
    sink: &dyn Sink,
    decide: F,
) -> Result<Reply, Failure>
where
    F: AsyncFnOnce(&AuthorizerEvent, &mut AuditLine) -> Result<Verdict, E>,
    E: fmt::Display,
{
    let event = match AuthorizerEvent::read(event, kind.header) {
        Ok(event) => event,
        Err(malformed) => {
            let mut report = Report::begin(kind.name, now, request_id);
            report.line.refused(&Reason::new(kind.malformed, malformed.to_string()));
            report.end(sink);
            return Err(Failure::Unauthorized);
        }
    };
    let id = if event.request_id.is_empty() { request_id } else { &event.request_id };
    let mut report = Report::begin(kind.name, now, id);
    report.caller(event.source_ip.as_deref(), event.user_agent.as_deref());
    // Boxed: the runtime hands the future on from layer to layer, and moves all of it each time.
    let result = match Box::pin(decide(&event, &mut report.line)).await {
        Ok(verdict) => {
            if settings.log_level == LogLevel::Debug {
                report.line.checks = Some(verdict.trail.clone());
            }
            match answer(&event, &verdict, settings.http_api_response) {
                Answer::Json(json) => Ok(json),
                Answer::Unauthorized => Err(Failure::Unauthorized),
            }
        }
        Err(fault) => {
            report.broken(&fault);
            Err(Failure::Unavailable)
        }
    };
    report.end(sink);
    result
}
