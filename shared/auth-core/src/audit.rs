//! What is written of every decision: one JSON line, whatever the outcome.

use crate::decision::Trail;
use crate::refusal::Reason;
use serde::Serialize;

/// The longest text of a caller in a line, in characters.
const CUT: usize = 200;

/// A caller's text, cut; the JSON writer escapes it.
pub fn cut(text: &str) -> String {
    text.chars().take(CUT).collect()
}

/// Allowed, refused or broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// Access, or a token.
    Allowed,
    /// The caller's doing.
    Refused,
    /// Ours.
    Broken,
}

/// One decision. Members that do not apply are left out.
#[derive(Debug, Clone, Serialize)]
pub struct AuditLine {
    /// RFC 3339, UTC.
    pub time: String,
    /// The gateway's request id, under which everything about one request is found.
    pub request_id: String,
    /// `token`, `login`, `jwt`, `api_key`, `guard`.
    pub kind: &'static str,
    /// What came out.
    pub outcome: Outcome,
    /// The catalogue's number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<i32>,
    /// The catalogue's word.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<&'static str>,
    /// What happened, for those who read logs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// The client; as claimed, if the outcome is not `allowed`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    /// The tenant; as claimed, if the outcome is not `allowed`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// The customer, of a customer's token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub customer_id: Option<String>,
    /// On whose behalf.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_login: Option<String>,
    /// The API.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub api: Option<String>,
    /// The method.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// The route's template, not the path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub route: Option<String>,
    /// The scope asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    /// The API key's id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_id: Option<String>,
    /// The token's id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jti: Option<String>,
    /// The caller's address, as the gateway saw it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_ip: Option<String>,
    /// The caller's user agent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_agent: Option<String>,
    /// How long the youngest signing key has signed, in whole days; said where tokens are issued.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keyring_age_days: Option<i64>,
    /// The checks of the decision, where `LOG_LEVEL` asks for them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checks: Option<Trail>,
    /// How long the decision took, in microseconds.
    pub latency_us: u64,
}

impl AuditLine {
    /// A line of a decision that has not been made: it says `broken` until told otherwise.
    pub fn new(kind: &'static str, time: crate::time::Timestamp, request_id: &str) -> Self {
        Self {
            time: time.to_rfc3339(),
            request_id: cut(request_id),
            kind,
            outcome: Outcome::Broken,
            code: None,
            error: None,
            why: None,
            client_id: None,
            tenant: None,
            customer_id: None,
            user_login: None,
            api: None,
            method: None,
            route: None,
            scope: None,
            key_id: None,
            jti: None,
            source_ip: None,
            user_agent: None,
            keyring_age_days: None,
            checks: None,
            latency_us: 0,
        }
    }

    /// Notes a refusal.
    pub fn refused(&mut self, reason: &Reason) {
        self.outcome = Outcome::Refused;
        self.code = Some(reason.refusal.code());
        self.error = Some(reason.refusal.error());
        self.why = Some(reason.why.clone());
        if let Some(scope) = &reason.scope {
            self.scope = Some(scope.to_string());
        }
    }

    /// The line as JSON, without a line break inside.
    pub fn to_json(&self) -> String {
        let mut text = serde_json::to_string(self).unwrap_or_default();
        // They end a line for some readers, though not for JSON.
        for (breaks, escaped) in [('\u{2028}', "\\u2028"), ('\u{2029}', "\\u2029")] {
            if text.contains(breaks) {
                text = text.replace(breaks, escaped);
            }
        }
        text
    }
}
