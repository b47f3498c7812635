//! The guard: a small layer in a Rust backend, for what an authorizer cannot spell.
//!
//! Behind an authorizer it trusts `requestContext.authorizer` and nothing else, and checks what a policy cannot
//! hold: the supplier header and the SKU. On its own, with no gateway in front, the backend runs the decision itself
//! and [`refusal_response`] answers with the exact status.

use crate::oauth::respond;
use auth_core::api::{Found, Matched, Request, Source, Subject};
use auth_core::decision::{check_sku, check_supplier};
use auth_core::details::Details;
use auth_core::ids::{SkuPattern, SupplierCode};
use auth_core::refusal::{Reason, Refusal};
use auth_core::secret::{base64url, from_base64url};
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
                if let Some(details) = members.get_mut("authorization_details") {
                    let text = details.as_str().map_or_else(|| details.to_string(), str::to_owned);
                    *details = base64url(text.as_bytes()).into();
                }
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
    /// [`Refusal::TenantNotGranted`], [`Refusal::WrongSubject`], [`Refusal::SkuNotGranted`],
    /// [`Refusal::SupplierMismatch`].
    pub fn check(&self, matched: &Matched, request: &Request) -> Result<(), Reason> {
        let operation = &matched.operation;
        let own = self.text("tenant");
        let above_tenants = matches!(operation.subject, Subject::Internal | Subject::Administrator);
        if !above_tenants && own.is_empty() {
            return Err(Reason::new(Refusal::TenantNotGranted, "a credential of no tenant"));
        }
        // Only claims say it; behind an authorizer of ours the kind has been judged.
        let fits = match (operation.subject, self.text("token_use")) {
            (_, "") => true,
            (Subject::Customer, kind) => kind == "customer",
            (Subject::Internal, kind) => kind == "internal",
            (Subject::Partner | Subject::Administrator, kind) => kind != "customer",
        };
        if !fits {
            return Err(Reason::new(Refusal::WrongSubject, "a token of another kind"));
        }
        let requested = request.at(&operation.tenant, &matched.parameters);
        if operation.tenant != Source::Token && !own.is_empty() && requested != Found::One(own) {
            return Err(Reason::new(Refusal::TenantNotGranted, "another tenant than that of the credential"));
        }
        let details = match self.0.get("authorization_details") {
            None => Some(Details::default()),
            Some(value) => value.as_str().and_then(details_of),
        };
        let granted: Vec<SkuPattern> = words(self.text("skus"));
        let Some(skus) = details.and_then(|details| details.skus(&granted, &matched.api, operation)) else {
            return Err(Reason::new(Refusal::InsufficientScope, "authorization_details are not for the operation"));
        };
        if let Some(source) = &matched.operation.sku {
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
pub fn check_media_type(matched: &Matched, request: &Request) -> Result<(), Reason> {
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

fn details_of(text: &str) -> Option<Details> {
    Details::parse(std::str::from_utf8(&from_base64url(text)?).ok()?)
}

fn words<T: std::str::FromStr>(text: &str) -> Vec<T> {
    text.split(' ').filter_map(|word| word.parse().ok()).collect()
}

/// The challenge of a 401 (RFC 6750 section 3).
pub fn challenge(refusal: Refusal) -> &'static str {
    match refusal {
        // Section 3.1: a request without credentials is told no error.
        Refusal::MissingToken => "Bearer realm=\"countersign\"",
        Refusal::InvalidApiKey => "ApiKey",
        _ => "Bearer error=\"invalid_token\"",
    }
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
    let challenge = match (reason.refusal, &reason.scope) {
        (Refusal::InsufficientScope, Some(scope)) => {
            Some(format!("Bearer error=\"insufficient_scope\", scope=\"{scope}\""))
        }
        (Refusal::InsufficientScope, None) => Some("Bearer error=\"insufficient_scope\"".to_owned()),
        (refusal, _) => (reason.status() == 401).then(|| challenge(refusal).to_owned()),
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

#[cfg(test)]
mod tests {
    use super::*;
    use auth_core::api::Api;
    use auth_core::openapi;
    use serde_json::json;

    #[test]
    fn what_was_left_to_the_backend_and_one_change() {
        let document = json!({
            "openapi": "3.0.1", "info": {"title": "T", "version": "1"},
            "components": {"securitySchemes": {"t": {"type": "http", "scheme": "bearer"}}},
            "security": [{"t": []}],
            "paths": {
                "/p/{tenant}/{sku}": {"get": {"x-countersign-tenant": "path.tenant", "x-countersign-sku": "path.sku",
                    "x-countersign-supplier": "header.X-Supplier"}},
                "/c": {"get": {"x-countersign-subject": "customer"}},
                "/i": {"get": {"x-countersign-subject": "internal"}},
            },
        });
        let operations = openapi::read(&document).unwrap().operations.into_iter().map(|(_, o)| o).collect();
        let api = Api {
            name: "t".parse().unwrap(),
            audience: "t".into(),
            url: None,
            document: "t".into(),
            token: Default::default(),
            operations,
        };
        let context = |changes: &[(&str, &str)]| {
            let mut context = json!({"principalId": "c1", "tenant": "acme", "skus": "AB-*", "suppliers": "S1"});
            for (name, value) in changes {
                context[*name] = json!(value);
            }
            AuthorizerContext::read(Some(&context)).unwrap()
        };
        let limited =
            |sku: &str| base64url(json!([{"type": "countersign_access", "skus": [sku]}]).to_string().as_bytes());
        type Row<'a> = (&'a str, &'a str, &'a [(&'a str, &'a str)], &'a [&'a str], i32);
        let rows: &[Row<'_>] = &[
            ("nothing changed", "/p/acme/AB-1", &[], &["S1"], 0),
            ("another tenant", "/p/globex/AB-1", &[], &["S1"], -31),
            ("a credential of no tenant", "/p/acme/AB-1", &[("tenant", "")], &["S1"], -31),
            ("another SKU", "/p/acme/ZZ-1", &[], &["S1"], -32),
            ("another supplier", "/p/acme/AB-1", &[], &["S2"], -40),
            ("no supplier", "/p/acme/AB-1", &[], &[], -40),
            ("two suppliers", "/p/acme/AB-1", &[], &["S1", "S1"], -40),
            ("limited to the SKU", "/p/acme/AB-1", &[("authorization_details", &limited("AB-1"))], &["S1"], 0),
            ("limited to another", "/p/acme/AB-1", &[("authorization_details", &limited("AB-2"))], &["S1"], -32),
            ("limited, and that is unreadable", "/p/acme/AB-1", &[("authorization_details", "e30")], &["S1"], -30),
            ("an internal token on a partner's operation", "/p/acme/AB-1", &[("token_use", "internal")], &["S1"], 0),
            ("a customer's", "/p/acme/AB-1", &[("token_use", "customer")], &["S1"], -34),
            ("a customer's on a customer's", "/c", &[("token_use", "customer")], &[], 0),
            ("a partner's on a customer's", "/c", &[("token_use", "partner")], &[], -34),
            ("an internal token on an internal operation", "/i", &[("token_use", "internal"), ("tenant", "")], &[], 0),
            ("a partner's on an internal operation", "/i", &[("token_use", "partner")], &[], -34),
        ];
        for (sentence, path, changes, suppliers, want) in rows {
            let headers = suppliers.iter().map(|s| ("x-supplier".to_owned(), (*s).to_owned())).collect();
            let request = Request { method: "GET".into(), path: (*path).into(), headers: Some(headers), query: None };
            let found = api.operations.iter().find_map(|o| Some((o, o.path.matches(path)?))).unwrap();
            let matched = Matched { api: api.clone().into(), operation: found.0.clone(), parameters: found.1 };
            let got = context(changes).check(&matched, &request).map_or_else(|reason| reason.refusal.code(), |()| 0);
            assert_eq!(got, *want, "{sentence}");
        }
        for absent in [json!(null), json!({}), json!({"principalId": ""}), json!({"claims": {}})] {
            assert!(AuthorizerContext::read(Some(&absent)).is_err(), "{absent} proves nothing");
        }
    }
}
