//! Token and login requests in, OAuth 2.0 answers out (RFC 6749 sections 2.3, 4.4, 5).

use crate::clock;
use auth_core::api::{Found, Request};
use auth_core::audit::AuditLine;
use auth_core::client_authentication::{ASSERTION_TYPE, UnverifiedAssertion, UnverifiedClient};
use auth_core::decision::Deployment;
use auth_core::details::Details;
use auth_core::ids::{ClientId, Jti};
use auth_core::issue::Plan;
use auth_core::json::parse;
use auth_core::keyring::Keyring;
use auth_core::refusal::Refusal;
use auth_core::secret::SecretText;
use auth_core::token::issue;
use base64::Engine as _;
use http::{HeaderValue, Response, StatusCode, header};
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Longer bodies are refused before they are read.
pub const MAX_BODY_BYTES: usize = 16 * 1024;

/// What a client is asked for that did not prove itself (RFC 7617).
pub const BASIC: &str = "Basic realm=\"countersign\"";

/// The errors of the token endpoint: RFC 6749 section 5.2, RFC 8707 section 2, RFC 9396 section 5, and those of HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OAuthError {
    /// A parameter is missing, repeated or malformed.
    InvalidRequest,
    /// The client did not prove who it is.
    InvalidClient,
    /// The customer did not prove who it is.
    InvalidLogin,
    /// The client may not use this grant type.
    UnauthorizedClient,
    /// Nobody may.
    UnsupportedGrantType,
    /// More than is granted was asked for.
    InvalidScope,
    /// `authorization_details` are not understood, or not granted.
    InvalidDetails,
    /// The tenant or the API cannot be had.
    InvalidTarget,
    /// Too many failed attempts.
    SlowDown,
    /// A body of another media type.
    UnsupportedMediaType,
    /// A body over [`MAX_BODY_BYTES`].
    TooLarge,
    /// Another HTTP method than those that are told in `Allow`.
    MethodNotAllowed(&'static str),
    /// No such endpoint.
    NotFound,
    /// Our own store or secret is not to be had.
    Unavailable,
}

impl OAuthError {
    const fn row(self) -> (u16, &'static str, Refusal) {
        match self {
            Self::InvalidRequest => (400, "invalid_request", Refusal::InvalidRequest),
            Self::InvalidClient => (401, "invalid_client", Refusal::InvalidToken),
            Self::InvalidLogin => (401, "invalid_grant", Refusal::InvalidToken),
            Self::UnauthorizedClient => (400, "unauthorized_client", Refusal::EndpointNotAssigned),
            Self::UnsupportedGrantType => (400, "unsupported_grant_type", Refusal::InvalidRequest),
            Self::InvalidScope => (400, "invalid_scope", Refusal::InsufficientScope),
            Self::InvalidDetails => (400, "invalid_authorization_details", Refusal::InsufficientScope),
            Self::InvalidTarget => (400, "invalid_target", Refusal::TenantNotGranted),
            Self::SlowDown => (429, "slow_down", Refusal::RateLimited),
            Self::UnsupportedMediaType => (415, "invalid_request", Refusal::InvalidRequest),
            Self::TooLarge => (413, "invalid_request", Refusal::InvalidRequest),
            Self::MethodNotAllowed(_) => (405, "invalid_request", Refusal::InvalidRequest),
            Self::NotFound => (404, "invalid_request", Refusal::InvalidRequest),
            Self::Unavailable => (503, "temporarily_unavailable", Refusal::Unavailable),
        }
    }

    /// The status.
    pub const fn status(self) -> u16 {
        self.row().0
    }
    /// The word in `error`.
    pub const fn error(self) -> &'static str {
        self.row().1
    }
    /// The entry of the catalogue whose number it carries.
    pub const fn refusal(self) -> Refusal {
        self.row().2
    }
}

/// A request that is refused: what is answered, and what is logged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// What is answered.
    pub error: OAuthError,
    /// `error_description`: constants and parameter names only (RFC 6749 appendix A.8).
    pub description: &'static str,
    /// What happened, for the audit line.
    pub why: String,
    /// When it makes sense to come back, in seconds.
    pub retry_after_seconds: Option<i64>,
}

impl Refused {
    /// A refusal whose reason the caller may know.
    pub fn new(error: OAuthError, description: &'static str) -> Self {
        Self { error, description, why: description.to_owned(), retry_after_seconds: None }
    }

    /// Too many failed attempts.
    pub fn slow_down(wait_seconds: i64) -> Self {
        let refused = Self::new(OAuthError::SlowDown, "Too many failed attempts. Wait as Retry-After says.");
        Self { retry_after_seconds: Some(wait_seconds), ..refused }
    }

    /// Who asks too often: an address, or somebody who is proven and so may be told apart from others.
    pub fn too_many(wait_seconds: i64) -> Self {
        let refused = Self::new(OAuthError::SlowDown, "Too many requests. Wait as Retry-After says.");
        Self { retry_after_seconds: Some(wait_seconds), ..refused }
    }

    /// A failed client authentication: one text for all reasons, so that none can be told from another.
    pub fn invalid_client(why: impl Into<String>) -> Self {
        Self { why: why.into(), ..Self::new(OAuthError::InvalidClient, "Client authentication failed.") }
    }
}

fn invalid(description: &'static str) -> Refused {
    Refused::new(OAuthError::InvalidRequest, description)
}

/// How the body was written; the answer's form follows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// `application/x-www-form-urlencoded`.
    Form,
    /// `application/json`.
    Json,
}

/// The parameters of a request: each at most once, none empty.
#[derive(Debug)]
pub struct Parameters {
    /// How they were written.
    pub format: Format,
    values: BTreeMap<String, SecretText>,
}

impl Parameters {
    /// Reads a body by its `Content-Type`. JSON members that are not in `known` may be of any type and are passed
    /// over; those that are must be texts, or null, which counts as left out.
    ///
    /// # Errors
    /// 415 for another type, 413 for a long body, 400 for a repeated parameter or a body that cannot be read.
    pub fn read(content_type: Found<'_>, body: &[u8], known: &[&str]) -> Result<Self, Refused> {
        let format = match content_type {
            Found::One(text) => media_type(text)?,
            Found::Absent | Found::Unseen => {
                return Err(Refused::new(OAuthError::UnsupportedMediaType, "Content-Type is missing."));
            }
            Found::Many => return Err(invalid("Content-Type is there more than once.")),
        };
        if body.len() > MAX_BODY_BYTES {
            return Err(Refused::new(OAuthError::TooLarge, "The body is longer than 16 KiB."));
        }
        let values = match format {
            Format::Form => form(body)?,
            Format::Json => json_members(body, known)?,
        };
        Ok(Self { format, values: values.into_iter().filter(|(_, v)| !v.expose().is_empty()).collect() })
    }

    /// A parameter, if it was sent and not empty.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(SecretText::expose)
    }

    /// One parameter under two names, of which a request uses one.
    ///
    /// # Errors
    /// 400 if it uses both with different values.
    pub fn alias(&self, name: &str, alias: &str) -> Result<Option<&str>, Refused> {
        match (self.get(name), self.get(alias)) {
            (Some(a), Some(b)) if a != b => Err(invalid("One parameter was sent under two names with two values.")),
            (a, b) => Ok(a.or(b)),
        }
    }
}

fn media_type(text: &str) -> Result<Format, Refused> {
    let unsupported = || {
        Refused::new(
            OAuthError::UnsupportedMediaType,
            "Send application/x-www-form-urlencoded or application/json, in UTF-8.",
        )
    };
    let mut parts = text.split(';').map(str::trim);
    let format = match parts.next().map(str::to_ascii_lowercase).as_deref() {
        Some("application/x-www-form-urlencoded") => Format::Form,
        Some("application/json") => Format::Json,
        _ => return Err(unsupported()),
    };
    for parameter in parts.filter(|p| !p.is_empty()) {
        let (name, value) = parameter.split_once('=').ok_or_else(unsupported)?;
        let value = value.trim().trim_matches('"');
        if name.trim().eq_ignore_ascii_case("charset")
            && !value.eq_ignore_ascii_case("utf-8")
            && !value.eq_ignore_ascii_case("utf8")
        {
            return Err(unsupported());
        }
    }
    Ok(format)
}

fn form(body: &[u8]) -> Result<BTreeMap<String, SecretText>, Refused> {
    let text = std::str::from_utf8(body).map_err(|_| invalid("The body is not UTF-8."))?;
    let mut values = BTreeMap::new();
    for pair in text.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let decoded = |part| form_decode(part).ok_or_else(|| invalid("The body holds a broken percent-encoding."));
        if values.insert(decoded(name)?, SecretText::new(decoded(value)?)).is_some() {
            return Err(invalid("A parameter was sent more than once."));
        }
    }
    Ok(values)
}

/// Decodes one part of a form, strictly: each `%` has two hex digits, and what comes out is UTF-8.
fn form_decode(part: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(part.len());
    let mut rest = part.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let mut digit = || rest.next().and_then(|d| char::from(d).to_digit(16));
                u8::try_from(digit()? * 16 + digit()?).ok()?
            }
            other => other,
        });
    }
    String::from_utf8(bytes).ok()
}

fn json_members(body: &[u8], known: &[&str]) -> Result<BTreeMap<String, SecretText>, Refused> {
    let Ok(Value::Object(members)) = parse(body) else {
        return Err(invalid("The body is not a JSON object, or a member is there more than once."));
    };
    let mut values = BTreeMap::new();
    for (name, value) in members.into_iter().filter(|(name, _)| known.contains(&name.as_str())) {
        match value {
            Value::Null => {}
            Value::String(text) => {
                values.insert(name, SecretText::new(text));
            }
            // The one parameter that is JSON itself.
            Value::Array(_) if name == "authorization_details" => {
                values.insert(name, SecretText::new(value.to_string()));
            }
            _ => return Err(invalid("A parameter is not a text.")),
        }
    }
    Ok(values)
}

/// Reads how the client authenticates: `client_secret_basic`, `client_secret_post` (RFC 6749 section 2.3) or by an
/// assertion (RFC 7521 section 4.2), exactly one.
///
/// # Errors
/// 400 for two at once, 401 for none or a malformed one.
pub fn client_authentication<'a>(
    request: &Request,
    parameters: &'a Parameters,
) -> Result<UnverifiedClient<'a>, Refused> {
    let (id, secret) = (parameters.get("client_id"), parameters.get("client_secret"));
    let basic = match request.header("authorization") {
        Found::One(value) => Some(value),
        Found::Many => return Err(invalid("Authorization is there more than once.")),
        Found::Absent | Found::Unseen => None,
    };
    let (assertion, kind) = (parameters.get("client_assertion"), parameters.get("client_assertion_type"));
    match (basic, secret, assertion.or(kind)) {
        (Some(_), Some(_), _) | (Some(_), _, Some(_)) | (_, Some(_), Some(_)) => {
            Err(invalid("Two kinds of client authentication at once."))
        }
        (Some(value), None, None) => {
            let pairs =
                basic_credentials(value).ok_or_else(|| Refused::invalid_client("malformed Basic credentials"))?;
            match id {
                Some(id) if pairs.iter().all(|(basic, _)| basic.as_str() != id) => {
                    Err(invalid("client_id is not that of the Authorization header."))
                }
                _ => Ok(UnverifiedClient::Secret(pairs)),
            }
        }
        (None, Some(secret), None) => {
            let id = id.ok_or_else(|| invalid("client_id is missing."))?;
            let id = id.parse().map_err(|_| Refused::invalid_client("client_id is not of its form"))?;
            Ok(UnverifiedClient::Secret(vec![(id, SecretText::new(secret))]))
        }
        (None, None, Some(_)) => match (assertion, kind) {
            (Some(assertion), Some(ASSERTION_TYPE)) => client_assertion(id, assertion),
            (Some(_), Some(_)) => Err(invalid("client_assertion_type is not that of a JWT (RFC 7523 section 2.2).")),
            _ => Err(invalid("client_assertion and client_assertion_type come together.")),
        },
        (None, None, None) => Err(Refused::invalid_client("no client authentication that is taken")),
    }
}

/// Whether a request says who its client is, in whatever way.
pub fn is_authenticating(request: &Request, parameters: &Parameters) -> bool {
    request.has_header("authorization")
        || ["client_secret", "client_assertion", "client_assertion_type"].iter().any(|p| parameters.get(p).is_some())
}

/// The client of an assertion: its subject, or where a workload's issuer made it, the one that the request names.
fn client_assertion<'a>(id: Option<&str>, assertion: &'a str) -> Result<UnverifiedClient<'a>, Refused> {
    let assertion = UnverifiedAssertion::parse(assertion).map_err(Refused::invalid_client)?;
    let id = match (id, assertion.is_of_the_client()) {
        (Some(id), true) if id != assertion.unverified_subject() => {
            return Err(invalid("client_id is not that of the assertion."));
        }
        (_, true) => assertion.unverified_subject(),
        (Some(id), false) => id,
        (None, false) => return Err(invalid("client_id is missing: the assertion is that of a workload.")),
    };
    let id = id.parse().map_err(|_| Refused::invalid_client("client_id is not of its form"))?;
    Ok(UnverifiedClient::Assertion(id, assertion))
}

/// The client that an `Authorization: Basic` header claims to be, and nothing else (RFC 6749 section 2.3.1).
///
/// # Errors
/// If it is missing, there more than once, or malformed.
pub fn basic_client(request: &Request) -> Result<UnverifiedClient<'static>, Refused> {
    match request.header("authorization") {
        Found::One(value) => basic_credentials(value)
            .map(UnverifiedClient::Secret)
            .ok_or_else(|| Refused::invalid_client("malformed Basic credentials")),
        Found::Many => Err(invalid("Authorization is there more than once.")),
        Found::Absent | Found::Unseen => Err(Refused::invalid_client("no client authentication")),
    }
}

/// Basic credentials (RFC 7617): base64, UTF-8, first colon divides. RFC 6749 section 2.3.1 wants both parts
/// form-encoded before that; many clients do not. Both readings are given where they differ.
fn basic_credentials(value: &str) -> Option<Vec<(ClientId, SecretText)>> {
    let (scheme, rest) = value.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = base64::engine::general_purpose::STANDARD.decode(rest.trim_start_matches(' ')).ok()?;
    let text = SecretText::new(String::from_utf8(decoded).ok()?);
    if text.expose().chars().any(char::is_control) {
        return None;
    }
    let (id, secret) = text.expose().split_once(':')?;
    let pair = |id: &str, secret: &str| Some((id.parse::<ClientId>().ok()?, SecretText::new(secret)));
    let raw = pair(id, secret);
    let form = match (form_decode(id), form_decode(secret)) {
        (Some(i), Some(s)) if i != id || s != secret => pair(&i, &s),
        _ => None,
    };
    let pairs: Vec<_> = raw.into_iter().chain(form).filter(|(_, secret)| !secret.expose().is_empty()).collect();
    (!pairs.is_empty()).then_some(pairs)
}

/// A token response (RFC 6749 section 5.1).
#[derive(Debug)]
pub struct Issued {
    access_token: SecretText,
    expires_in: i64,
    scope: String,
    details: Details,
    issued_token_type: Option<&'static str>,
}

/// No token could be made. The fault is ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no token could be signed: the keyring has no key of the API's algorithm, or it does not sign")]
pub struct NotSigned;

impl Issued {
    /// Signs what was planned, under a new `jti`, and notes it.
    ///
    /// # Errors
    /// [`NotSigned`].
    pub fn sign(
        plan: Plan,
        keyring: &Keyring,
        issuer: &str,
        deployment: Deployment,
        line: &mut AuditLine,
    ) -> Result<Self, NotSigned> {
        // A token for no API at all may be of any algorithm.
        let any =
            || keyring.algorithms().first().and_then(|a| keyring.signing_key(*a)).filter(|_| plan.is_for_no_api());
        let key = keyring.signing_key(plan.algorithm).or_else(any).ok_or(NotSigned)?;
        let expires_in = plan.lifetime_seconds;
        let claims = plan.claims(issuer, deployment, Jti::from_random(clock::random().map_err(|_| NotSigned)?));
        line.jti = Some(claims.jti.to_string());
        let access_token = SecretText::new(issue(key, &claims).map_err(|_| NotSigned)?);
        let (scope, details) = (claims.scope, claims.authorization_details);
        Ok(Self { access_token, expires_in, scope, details, issued_token_type: None })
    }

    /// That it was issued for another token, and of which type it is (RFC 8693 section 2.2.1).
    pub fn for_exchange(self, issued_token_type: &'static str) -> Self {
        Self { issued_token_type: Some(issued_token_type), ..self }
    }

    /// The response. A JSON request is answered with the nulls that one of the source documents shows; strict
    /// clients, which send forms, refuse them.
    pub fn response(&self, format: Format, scope_was_asked: bool) -> Response<String> {
        let scope = match (format, scope_was_asked) {
            (Format::Json, false) => Some(None),
            _ => Some(self.scope.as_str()).filter(|scope| !scope.is_empty()).map(Some),
        };
        respond(
            200,
            &TokenResponse {
                access_token: self.access_token.expose(),
                token_type: "Bearer",
                expires_in: self.expires_in,
                authorization_details: &self.details,
                issued_token_type: self.issued_token_type,
                refresh_token: (format == Format::Json).then_some(()),
                scope,
            },
        )
    }
}

/// What is left out, and what is null, are two things.
#[derive(Serialize)]
struct TokenResponse<'a> {
    access_token: &'a str,
    token_type: &'static str,
    expires_in: i64,
    #[serde(skip_serializing_if = "Details::is_empty")]
    authorization_details: &'a Details,
    #[serde(skip_serializing_if = "Option::is_none")]
    issued_token_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_token: Option<()>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<Option<&'a str>>,
}

/// The response of a refusal or a fault.
pub fn error_response(refused: &Refused, request_id: &str) -> Response<String> {
    let body = json!({
        "error": refused.error.error(),
        "error_description": refused.description,
        "code": refused.error.refusal().code(),
        "request_id": request_id,
    });
    let mut response = respond(refused.error.status(), &body);
    let headers = response.headers_mut();
    match refused.error {
        OAuthError::InvalidClient => {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(BASIC));
        }
        OAuthError::MethodNotAllowed(allowed) => {
            headers.insert(header::ALLOW, HeaderValue::from_static(allowed));
        }
        _ => {}
    }
    let retry_after = refused.retry_after_seconds.or((refused.error == OAuthError::Unavailable).then_some(1));
    if let Some(seconds) = retry_after {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// A JSON response that nobody may keep.
pub fn respond(status: u16, body: &impl Serialize) -> Response<String> {
    let mut response = Response::new(serde_json::to_string(body).unwrap_or_default());
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::PRAGMA, HeaderValue::from_static("no-cache"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::STRICT_TRANSPORT_SECURITY, HeaderValue::from_static("max-age=31536000; includeSubDomains"));
    response
}
