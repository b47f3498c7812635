//! Answers: JSON with an ETag, or a problem (RFC 9457) with the catalogue's code.

use auth_core::admin::{Done, Refused};
use auth_core::refusal::{Reason, Refusal};
use auth_edge::guard::challenge;
use auth_edge::oauth::{self, BASIC, respond};
use http::{HeaderValue, Response, StatusCode, header};
use serde_json::json;

/// What is wrong with a request.
#[derive(Debug, Clone)]
pub(crate) struct Problem {
    refusal: Refusal,
    /// The word, where it is not the catalogue's: RFC 6749's for a client.
    pub(crate) error: &'static str,
    status: u16,
    /// For the caller.
    detail: String,
    /// For the log, where that is another.
    why: Option<String>,
    challenge: Option<String>,
    retry_after: Option<i64>,
}

impl Problem {
    pub(crate) fn new(refusal: Refusal, detail: impl Into<String>) -> Self {
        let detail = detail.into();
        Self {
            refusal,
            error: refusal.error(),
            status: refusal.status(),
            detail,
            why: None,
            challenge: None,
            retry_after: None,
        }
    }

    pub(crate) fn invalid(detail: impl Into<String>) -> Self {
        Self::new(Refusal::InvalidRequest, detail)
    }

    pub(crate) fn unavailable() -> Self {
        Self::new(Refusal::Unavailable, Refusal::Unavailable.description())
    }

    /// A credential that is not proven; the caller is not told why.
    pub(crate) fn not_proven(refusal: Refusal, why: &str, challenge: &str) -> Self {
        let detail = refusal.description();
        Self { why: Some(why.into()), challenge: Some(challenge.into()), ..Self::new(refusal, detail) }
    }

    /// A client that is not proven; told as the token endpoint tells it.
    pub(crate) fn invalid_client(why: &str) -> Self {
        let refused = oauth::Refused::invalid_client(why);
        let not_proven = Self::not_proven(refused.error.refusal(), why, BASIC);
        Self { error: refused.error.error(), detail: refused.description.into(), ..not_proven }
    }

    pub(crate) fn slow_down(seconds: i64) -> Self {
        let detail = Refusal::RateLimited.description();
        Self { retry_after: Some(seconds), ..Self::new(Refusal::RateLimited, detail) }
    }

    pub(crate) fn with_status(self, status: u16) -> Self {
        Self { status, ..self }
    }

    /// For the audit line.
    pub(crate) fn reason(&self) -> Reason {
        // A name that is nobody's may be a secret in the wrong place.
        let why = match self.refusal {
            Refusal::NotFound => "there is no such thing".to_owned(),
            _ => self.why.clone().unwrap_or_else(|| self.detail.clone()),
        };
        Reason::new(self.refusal, auth_core::audit::cut(&why))
    }
}

impl From<Reason> for Problem {
    fn from(reason: Reason) -> Self {
        let status = reason.status();
        let challenge = (status == 401).then(|| challenge(reason.refusal).to_owned());
        let problem = Self::new(reason.refusal, reason.description());
        Self { status, why: Some(reason.why), challenge, ..problem }
    }
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        Self::new(refused.refusal, refused.text)
    }
}

/// What came of a command.
pub(crate) fn answer(done: &Done) -> Response<String> {
    let text = done.reveal();
    let mut response = respond(if done.created { 201 } else { 200 }, &());
    response.body_mut().clear();
    response.body_mut().push_str(text.expose());
    if let Some(version) = done.version
        && let Ok(tag) = HeaderValue::from_str(&format!("\"{version}\""))
    {
        response.headers_mut().insert(header::ETAG, tag);
    }
    response
}

/// A problem. The members of every refusal of this product stand beside RFC 9457's own.
pub(crate) fn problem_response(problem: &Problem, request_id: &str) -> Response<String> {
    // One title for one type, whatever the status (RFC 9457 section 3.1.3).
    let usual = StatusCode::from_u16(problem.refusal.status());
    let title = usual.ok().and_then(|s| s.canonical_reason()).unwrap_or_default();
    let body = json!({
        "type": format!("urn:countersign:problem:{}", problem.error),
        "title": title,
        "status": problem.status,
        "detail": problem.detail,
        "error": problem.error,
        "error_description": problem.detail,
        "code": problem.refusal.code(),
        "request_id": request_id,
    });
    let mut response = respond(problem.status, &body);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    if let Some(Ok(challenge)) = problem.challenge.as_deref().map(HeaderValue::from_str) {
        headers.insert(header::WWW_AUTHENTICATE, challenge);
    }
    if let Some(seconds) = problem.retry_after {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}
