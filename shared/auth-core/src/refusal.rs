//! The catalogue of refusals: one table makes response bodies, gateway responses, audit reasons and the docs page.

use serde::Serialize;
use std::borrow::Cow;

/// Every way in which a request is refused. Codes are negative, unique and never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// No `Authorization` header, or no `Bearer ` prefix.
    MissingToken,
    /// Malformed, bad signature, wrong issuer, audience, type, environment or algorithm, unknown client.
    InvalidToken,
    /// Past `exp`, or not used for longer than the API's idle life.
    TokenExpired,
    /// No `ApiKey` header; or malformed, expired, revoked, or not of the requested tenant.
    InvalidApiKey,
    /// Revoked before its time.
    TokenRevoked,
    /// The operation's scope was not granted.
    InsufficientScope,
    /// The requested tenant did not grant this client access.
    TenantNotGranted,
    /// The grant does not cover the requested SKU.
    SkuNotGranted,
    /// The API is not assigned to this client, or the tenant lacks it.
    EndpointNotAssigned,
    /// A customer's token on a partner API, or the other way round.
    WrongSubject,
    /// Administration: it is not for this administrator, or not for the client itself, to do.
    NotPermitted,
    /// The supplier header is missing, or holds no code of this partner.
    SupplierMismatch,
    /// The request does not meet the API's schema, or a header is malformed.
    InvalidRequest,
    /// Administration: there is no such thing.
    NotFound,
    /// Administration: not as things stand; another step is due, or somebody else was faster.
    Conflict,
    /// Administration: it is not the version that `If-Match` names.
    PreconditionFailed,
    /// More requests than agreed.
    RateLimited,
    /// Our own store or secret is not to be had.
    Unavailable,
}

impl Refusal {
    /// All of them, in the order of the catalogue.
    pub const ALL: [Self; 18] = [
        Self::MissingToken,
        Self::InvalidToken,
        Self::TokenExpired,
        Self::InvalidApiKey,
        Self::TokenRevoked,
        Self::InsufficientScope,
        Self::TenantNotGranted,
        Self::SkuNotGranted,
        Self::EndpointNotAssigned,
        Self::WrongSubject,
        Self::NotPermitted,
        Self::SupplierMismatch,
        Self::InvalidRequest,
        Self::NotFound,
        Self::Conflict,
        Self::PreconditionFailed,
        Self::RateLimited,
        Self::Unavailable,
    ];

    const fn row(self) -> (i32, &'static str, u16, &'static str) {
        match self {
            Self::MissingToken => (-20, "missing_token", 401, "Send the token as: Authorization: Bearer <token>."),
            Self::InvalidToken => {
                (-21, "invalid_token", 401, "The token is missing, malformed, expired or not valid here.")
            }
            Self::TokenExpired => (-22, "token_expired", 401, "The token has expired. Get a new one and retry once."),
            Self::InvalidApiKey => (-23, "invalid_api_key", 401, "The API key is missing or not valid here."),
            Self::TokenRevoked => (-24, "token_revoked", 401, "The token was revoked. Get a new one."),
            Self::InsufficientScope => {
                (-30, "insufficient_scope", 403, "The credential lacks a scope that this operation needs.")
            }
            Self::TenantNotGranted => {
                (-31, "tenant_not_granted", 403, "The requested tenant has not granted this client access.")
            }
            Self::SkuNotGranted => (-32, "sku_not_granted", 403, "The grant does not cover the requested SKU."),
            Self::EndpointNotAssigned => {
                (-33, "endpoint_not_assigned", 403, "This endpoint is not assigned to the credential or its tenant.")
            }
            Self::WrongSubject => (-34, "wrong_subject", 403, "This kind of credential is not for this API."),
            Self::NotPermitted => (-35, "not_permitted", 403, "That is not this caller's to do."),
            Self::SupplierMismatch => {
                (-40, "supplier_mismatch", 422, "The supplier header is missing or holds no code of this partner.")
            }
            Self::InvalidRequest => (-41, "invalid_request", 400, "The request does not meet the API's description."),
            Self::NotFound => (-42, "not_found", 404, "There is no such thing here."),
            Self::Conflict => (-43, "conflict", 409, "That cannot be done as things stand."),
            Self::PreconditionFailed => {
                (-44, "precondition_failed", 412, "It was changed since. Read it again, then change it.")
            }
            Self::RateLimited => (-50, "rate_limited", 429, "Too many requests. Wait as Retry-After says."),
            Self::Unavailable => (-90, "unavailable", 503, "The service cannot decide at the moment. Try again."),
        }
    }

    /// The number in `code`.
    pub const fn code(self) -> i32 {
        self.row().0
    }

    /// The word in `error`.
    pub const fn error(self) -> &'static str {
        self.row().1
    }

    /// The status where nothing stands in the way of saying it.
    pub const fn status(self) -> u16 {
        self.row().2
    }

    /// What a caller is told. Holds nothing that JSON or a gateway template would have to escape.
    pub const fn description(self) -> &'static str {
        self.row().3
    }
}

/// Why a request is refused: the catalogue's entry, and what happened for those who read the logs. The two are kept
/// apart; only the entry is ever told to the caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason {
    /// The entry of the catalogue.
    pub refusal: Refusal,
    /// What happened, for the audit line. Made of constants and of names that were parsed.
    pub why: String,
    /// Another status than the catalogue's: 401 where `x-countersign-refusal` asks for it, 415 for a media type.
    pub other_status: Option<u16>,
    /// The scope that was missing.
    pub scope: Option<crate::ids::Scope>,
}

impl Reason {
    /// A reason.
    pub fn new(refusal: Refusal, why: impl Into<String>) -> Self {
        Self { refusal, why: why.into(), other_status: None, scope: None }
    }

    /// Whether it is answered as 401 Unauthorized.
    pub fn is_unauthorized(&self) -> bool {
        self.status() == 401
    }

    /// The status where nothing stands in the way of saying it.
    pub fn status(&self) -> u16 {
        self.other_status.unwrap_or(self.refusal.status())
    }

    /// What a caller is told: the catalogue's text, and the name of the scope that is missing.
    pub fn description(&self) -> Cow<'static, str> {
        match &self.scope {
            Some(scope) => format!("The credential lacks the scope {scope}.").into(),
            None => self.refusal.description().into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Refusal;
    use std::collections::HashSet;

    #[test]
    fn codes_and_words_are_unique_and_texts_need_no_escape() {
        let codes: HashSet<i32> = Refusal::ALL.iter().map(|r| r.code()).collect();
        let words: HashSet<&str> = Refusal::ALL.iter().map(|r| r.error()).collect();
        assert_eq!((codes.len(), words.len()), (Refusal::ALL.len(), Refusal::ALL.len()));
        for refusal in Refusal::ALL {
            assert!(refusal.code() < 0);
            assert!(!refusal.description().contains(['"', '\\', '$', '\n']), "{refusal:?}");
        }
    }
}
