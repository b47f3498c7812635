//! Token and login requests in, OAuth 2.0 answers out (RFC 6749 sections 2.3, 4.4, 5).

use crate::clock;
use auth_core::api::{Found, Request};
use auth_core::audit::AuditLine;
use auth_core::decision::Deployment;
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

/// The errors of the token endpoint: RFC 6749 section 5.2, RFC 8707 section 2, and those of HTTP.
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
    /// The tenant or the API cannot be had.
    InvalidTarget,
    /// Too many failed attempts.
    SlowDown,
    /// A body of another media type.
    UnsupportedMediaType,
    /// A body over [`MAX_BODY_BYTES`].
    TooLarge,
    /// Another HTTP method.
    MethodNotAllowed,
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
            Self::InvalidTarget => (400, "invalid_target", Refusal::TenantNotGranted),
            Self::SlowDown => (429, "slow_down", Refusal::RateLimited),
            Self::UnsupportedMediaType => (415, "invalid_request", Refusal::InvalidRequest),
            Self::TooLarge => (413, "invalid_request", Refusal::InvalidRequest),
            Self::MethodNotAllowed => (405, "invalid_request", Refusal::InvalidRequest),
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
            _ => return Err(invalid("A parameter is not a text.")),
        }
    }
    Ok(values)
}

/// Who the caller says it is, and the secret that shall prove it. Basic credentials may be read in two ways; each
/// pair is a whole, never the id of one with the secret of the other.
#[derive(Debug)]
pub struct UnverifiedClient {
    /// One pair, or two.
    pub pairs: Vec<(ClientId, SecretText)>,
}

/// Reads how the client authenticates: `client_secret_basic` or `client_secret_post`, exactly one
/// (RFC 6749 section 2.3).
///
/// # Errors
/// 400 for two at once, 401 for none or a malformed one.
pub fn client_authentication(request: &Request, parameters: &Parameters) -> Result<UnverifiedClient, Refused> {
    let (id, secret) = (parameters.get("client_id"), parameters.get("client_secret"));
    let basic = match request.header("authorization") {
        Found::One(value) => Some(value),
        Found::Many => return Err(invalid("Authorization is there more than once.")),
        Found::Absent | Found::Unseen => None,
    };
    let assertion = parameters.get("client_assertion").is_some() || parameters.get("client_assertion_type").is_some();
    match (basic, secret, assertion) {
        (Some(_), Some(_), _) | (Some(_), _, true) | (_, Some(_), true) => {
            Err(invalid("Two kinds of client authentication at once."))
        }
        (Some(value), None, false) => {
            let client =
                basic_credentials(value).ok_or_else(|| Refused::invalid_client("malformed Basic credentials"))?;
            match id {
                Some(id) if client.pairs.iter().all(|(basic, _)| basic.as_str() != id) => {
                    Err(invalid("client_id is not that of the Authorization header."))
                }
                _ => Ok(client),
            }
        }
        (None, Some(secret), false) => {
            let id = id.ok_or_else(|| invalid("client_id is missing."))?;
            let id = id.parse().map_err(|_| Refused::invalid_client("client_id is not of its form"))?;
            Ok(UnverifiedClient { pairs: vec![(id, SecretText::new(secret))] })
        }
        (None, None, _) => Err(Refused::invalid_client("no client authentication that is taken")),
    }
}

/// The client that an `Authorization: Basic` header claims to be, and nothing else (RFC 6749 section 2.3.1).
///
/// # Errors
/// If it is missing, there more than once, or malformed.
pub fn basic_client(request: &Request) -> Result<UnverifiedClient, Refused> {
    match request.header("authorization") {
        Found::One(value) => {
            basic_credentials(value).ok_or_else(|| Refused::invalid_client("malformed Basic credentials"))
        }
        Found::Many => Err(invalid("Authorization is there more than once.")),
        Found::Absent | Found::Unseen => Err(Refused::invalid_client("no client authentication")),
    }
}

/// Basic credentials (RFC 7617): base64, UTF-8, first colon divides. RFC 6749 section 2.3.1 wants both parts
/// form-encoded before that; many clients do not. Both readings are given where they differ.
fn basic_credentials(value: &str) -> Option<UnverifiedClient> {
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
    (!pairs.is_empty()).then_some(UnverifiedClient { pairs })
}

/// A token response (RFC 6749 section 5.1).
#[derive(Debug)]
pub struct Issued {
    access_token: SecretText,
    expires_in: i64,
    scope: String,
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
        let (expires_in, scope) = (plan.lifetime_seconds, plan.scope());
        let claims = plan.claims(issuer, deployment, Jti::from_random(clock::random().map_err(|_| NotSigned)?));
        line.jti = Some(claims.jti.to_string());
        let access_token = SecretText::new(issue(key, &claims).map_err(|_| NotSigned)?);
        Ok(Self { access_token, expires_in, scope })
    }

    /// The response. A JSON request is answered with the nulls that one of the source documents shows; strict
    /// clients, which send forms, refuse them.
    pub fn response(&self, format: Format, scope_was_asked: bool) -> Response<String> {
        let mut body = json!({
            "access_token": self.access_token.expose(),
            "token_type": "Bearer",
            "expires_in": self.expires_in,
        });
        if let Some(members) = body.as_object_mut() {
            if format == Format::Json {
                members.insert("refresh_token".into(), Value::Null);
            }
            match (format, scope_was_asked) {
                (Format::Json, false) => members.insert("scope".into(), Value::Null),
                _ if self.scope.is_empty() => None,
                _ => members.insert("scope".into(), self.scope.as_str().into()),
            };
        }
        respond(200, &body)
    }
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
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"countersign\""));
        }
        OAuthError::MethodNotAllowed => {
            headers.insert(header::ALLOW, HeaderValue::from_static("POST"));
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
