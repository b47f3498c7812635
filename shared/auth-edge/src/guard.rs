//! The guard: a small layer in a Rust backend, for what an authorizer cannot spell.
//!
//! Behind an authorizer it trusts `requestContext.authorizer` and nothing else, and checks what a policy cannot
//! hold: the supplier header and the SKU. On its own, with no gateway in front, the backend runs the decision itself
//! and [`refusal_response`] answers with the exact status.

use crate::oauth::respond;
use auth_core::api::{Found, Matched, Request, Source, Subject};
use auth_core::decision::{check_sku, check_supplier};
use auth_core::ids::{SkuPattern, SupplierCode};
use auth_core::refusal::{Reason, Refusal};
use http::{HeaderValue, Response, header};
use serde_json::{Map, Value};

/// The context that an authorizer handed on: proof that the gateway let the request through.
#[derive(Debug, Clone)]
pub struct AuthorizerContext(Map<String, Value>);

impl AuthorizerContext {
    /// Takes what stands in `requestContext.authorizer`: the context of an authorizer of ours, or the claims of a
    /// token of ours that API Gateway's native JWT authorizer let through, read as that context.
    ///
    /// # Errors
    /// Absent, or without a principal: 401, whatever the request says of itself.
    pub fn read(authorizer: Option<&Value>) -> Result<Self, Reason> {
        let absent = || Reason::new(Refusal::MissingToken, "no authorizer stands before this backend");
        let context = authorizer.and_then(Value::as_object).ok_or_else(absent)?;
        let members = match context.get("claims") {
            Some(claims) => {
                let mut members = claims.as_object().cloned().ok_or_else(absent)?;
                let principal = members.get("customer_id").or_else(|| members.get("sub")).cloned();
                members.insert("principalId".into(), principal.unwrap_or_default());
                members
            }
            None => context.clone(),
        };
        match members.get("principalId") {
            Some(Value::String(principal)) if !principal.is_empty() => Ok(Self(members)),
            _ => Err(absent()),
        }
    }

    /// A member as text.
    pub fn text(&self, name: &str) -> &str {
        self.0.get(name).and_then(Value::as_str).unwrap_or_default()
    }

    /// The whole context.
    pub fn members(&self) -> &Map<String, Value> {
        &self.0
    }

    /// Checks what was left to the backend, and the tenant once more: a kept answer was made for another request.
    ///
    /// # Errors
    /// [`Refusal::TenantNotGranted`], [`Refusal::SkuNotGranted`], [`Refusal::SupplierMismatch`].
    pub fn check(&self, matched: &Matched<'_>, request: &Request) -> Result<(), Reason> {
        let operation = matched.operation;
        let own = self.text("tenant");
        if operation.subject != Subject::Internal && own.is_empty() {
            return Err(Reason::new(Refusal::TenantNotGranted, "a credential of no tenant"));
        }
        if let Some(kind) = self.0.get("token_use").and_then(Value::as_str)
            && (operation.subject == Subject::Customer) != (kind == "customer")
        {
            return Err(Reason::new(Refusal::WrongSubject, "a token of another kind"));
        }
        let requested = request.at(&operation.tenant, &matched.parameters);
        if operation.tenant != Source::Token && !own.is_empty() && requested != Found::One(own) {
            return Err(Reason::new(Refusal::TenantNotGranted, "another tenant than that of the credential"));
        }
        if let Some(source) = &matched.operation.sku {
            let skus: Vec<SkuPattern> = words(self.text("skus"));
            check_sku(&skus, request.at(source, &matched.parameters))?;
        }
        if let Some(source) = &matched.operation.supplier {
            let suppliers: Vec<SupplierCode> = words(self.text("suppliers"));
            check_supplier(&suppliers, request.at(source, &matched.parameters))?;
        }
        Ok(())
    }
}

/// Checks the media type of a body: a gateway lets a type that it has no model for through unvalidated.
///
/// # Errors
/// [`Refusal::InvalidRequest`], with status 415.
pub fn check_media_type(matched: &Matched<'_>, request: &Request) -> Result<(), Reason> {
    let plain = |text: &str| text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let allowed = &matched.operation.media_types;
    let sent = match request.header("content-type") {
        Found::One(value) => plain(value),
        // Without a body there is no media type; what asks for a body has been validated by the gateway.
        Found::Absent | Found::Unseen if !request.has_header("content-type") => return Ok(()),
        Found::Absent | Found::Unseen | Found::Many => String::new(),
    };
    if allowed.is_empty() || allowed.iter().any(|a| a == "*/*" || plain(a) == sent) {
        return Ok(());
    }
    let reason = Reason::new(Refusal::InvalidRequest, "a media type that the operation does not take");
    Err(Reason { other_status: Some(415), ..reason })
}

fn words<T: std::str::FromStr>(text: &str) -> Vec<T> {
    text.split(' ').filter_map(|word| word.parse().ok()).collect()
}

/// A refusal with its exact status and body; a 401 and a 403 for want of scope say so as RFC 6750 section 3 wants.
pub fn refusal_response(reason: &Reason, request_id: &str) -> Response<String> {
    let body = serde_json::json!({
        "error": reason.refusal.error(),
        "error_description": reason.description(),
        "code": reason.refusal.code(),
        "request_id": request_id,
    });
    let mut response = respond(reason.status(), &body);
    let challenge = match (reason.status(), reason.refusal, &reason.scope) {
        // RFC 6750 section 3.1: a request without credentials is told no error.
        (401, Refusal::MissingToken, _) => Some("Bearer".to_owned()),
        (_, Refusal::InsufficientScope, Some(scope)) => {
            Some(format!("Bearer error=\"insufficient_scope\", scope=\"{scope}\""))
        }
        (401, Refusal::InvalidApiKey, _) => Some("ApiKey".to_owned()),
        (401, _, _) => Some("Bearer error=\"invalid_token\"".to_owned()),
        _ => None,
    };
    let headers = response.headers_mut();
    if let Some(Ok(challenge)) = challenge.map(|text| HeaderValue::from_str(&text)) {
        headers.insert(header::WWW_AUTHENTICATE, challenge);
    }
    if reason.refusal == Refusal::RateLimited {
        headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}
