//! Gateway responses of a REST API: those of the document, those of the catalogue where the document has none, and
//! API Gateway's built-in ones.

use super::config::{GatewayApi, GatewayResponse};
use auth_core::api::Mechanism;
use auth_core::refusal::Refusal;
use http::{HeaderName, HeaderValue, Response, StatusCode};
use serde_json::{Map, Value};

/// The types that are met here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Unauthorized,
    AccessDenied { explicit: bool },
    AuthorizerFailure,
    AuthorizerConfiguration,
    Throttled,
    QuotaExceeded,
    BadRequestBody,
    BadRequestParameters,
    MissingAuthenticationToken,
}

/// What a template can name.
#[derive(Debug, Clone, Default)]
pub(crate) struct Variables {
    pub(crate) request_id: String,
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) resource_path: String,
    pub(crate) source_ip: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) query: Vec<(String, String)>,
    pub(crate) path_parameters: Vec<(String, String)>,
    /// The authorizer's context, as texts.
    pub(crate) authorizer: Map<String, Value>,
    pub(crate) retry_after_seconds: u64,
}

impl Kind {
    /// Name, default status, built-in body, error type.
    fn row(self) -> (&'static str, u16, &'static str, &'static str) {
        match self {
            Self::Unauthorized => ("UNAUTHORIZED", 401, r#"{"message":"Unauthorized"}"#, "UnauthorizedException"),
            Self::AccessDenied { explicit: true } => (
                "ACCESS_DENIED",
                403,
                r#"{"Message":"User is not authorized to access this resource with an explicit deny"}"#,
                "AccessDeniedException",
            ),
            Self::AccessDenied { explicit: false } => (
                "ACCESS_DENIED",
                403,
                r#"{"Message":"User is not authorized to access this resource"}"#,
                "AccessDeniedException",
            ),
            Self::AuthorizerFailure => {
                ("AUTHORIZER_FAILURE", 500, r#"{"message":null}"#, "AuthorizerConfigurationException")
            }
            Self::AuthorizerConfiguration => (
                "AUTHORIZER_CONFIGURATION_ERROR",
                500,
                r#"{"message":"Internal server error"}"#,
                "AuthorizerConfigurationException",
            ),
            Self::Throttled => ("THROTTLED", 429, r#"{"message":"Too Many Requests"}"#, "TooManyRequestsException"),
            Self::QuotaExceeded => ("QUOTA_EXCEEDED", 429, r#"{"message":"Limit Exceeded"}"#, "LimitExceededException"),
            Self::BadRequestBody => {
                ("BAD_REQUEST_BODY", 400, r#"{"message":"Invalid request body"}"#, "BadRequestException")
            }
            Self::BadRequestParameters => (
                "BAD_REQUEST_PARAMETERS",
                400,
                r#"{"message":"Missing required request parameters"}"#,
                "BadRequestException",
            ),
            Self::MissingAuthenticationToken => (
                "MISSING_AUTHENTICATION_TOKEN",
                403,
                r#"{"message":"Missing Authentication Token"}"#,
                "MissingAuthenticationTokenException",
            ),
        }
    }

    /// The catalogue's entry, where the template of this product sets the response.
    fn refusal(self, mechanism: Mechanism) -> Option<Refusal> {
        match self {
            Self::Unauthorized if mechanism == Mechanism::ApiKey => Some(Refusal::InvalidApiKey),
            Self::Unauthorized => Some(Refusal::InvalidToken),
            Self::AuthorizerFailure | Self::AuthorizerConfiguration => Some(Refusal::Unavailable),
            Self::Throttled | Self::QuotaExceeded => Some(Refusal::RateLimited),
            Self::BadRequestBody | Self::BadRequestParameters => Some(Refusal::InvalidRequest),
            Self::AccessDenied { .. } | Self::MissingAuthenticationToken => None,
        }
    }
}

/// Writes a gateway response.
pub(crate) fn respond(
    api: Option<&GatewayApi>,
    kind: Kind,
    mechanism: Mechanism,
    with: &Variables,
) -> Response<String> {
    let (name, status, built_in, error_type) = kind.row();
    let chosen: GatewayResponse = match api.and_then(|api| api.responses.as_ref()) {
        Some(responses) => {
            let family = if status < 500 { "DEFAULT_4XX" } else { "DEFAULT_5XX" };
            let chosen = responses.get(name).or_else(|| responses.get(family)).cloned();
            chosen.unwrap_or(GatewayResponse { status: None, headers: Vec::new(), template: None })
        }
        None => of_catalogue(kind, mechanism),
    };
    let body = match &chosen.template {
        Some(template) => substitute(template, name, built_in, with),
        None => built_in.to_owned(),
    };
    let mut response = Response::new(body);
    *response.status_mut() =
        StatusCode::from_u16(chosen.status.unwrap_or(status)).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(http::header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert("x-amzn-errortype", HeaderValue::from_static(error_type));
    for (header, mapping) in &chosen.headers {
        let value = match mapping.strip_prefix('\'').and_then(|m| m.strip_suffix('\'')) {
            Some(literal) => literal.to_owned(),
            None => variable(mapping.trim_start_matches('$'), name, built_in, with),
        };
        if let (Ok(header), Ok(value)) = (HeaderName::from_bytes(header.as_bytes()), HeaderValue::from_str(&value)) {
            headers.insert(header, value);
        }
    }
    if status == 429 {
        headers.insert(http::header::RETRY_AFTER, HeaderValue::from(with.retry_after_seconds.max(1)));
    }
    response
}

/// The response that the template of this product sets.
fn of_catalogue(kind: Kind, mechanism: Mechanism) -> GatewayResponse {
    let refusal = kind.refusal(mechanism);
    let template = match (kind, refusal) {
        (Kind::AccessDenied { .. }, _) => Some(
            r#"{"error":"$context.authorizer.error","error_description":"$context.authorizer.reason","code":$context.authorizer.code,"request_id":"$context.requestId"}"#.to_owned(),
        ),
        (_, Some(refusal)) => Some(format!(
            r#"{{"error":"{}","error_description":"{}","code":{},"request_id":"$context.requestId"}}"#,
            refusal.error(),
            refusal.description(),
            refusal.code()
        )),
        (_, None) => None,
    };
    let mut headers = vec![("Cache-Control".to_owned(), "'no-store'".to_owned())];
    if kind == Kind::Unauthorized {
        headers.push(("WWW-Authenticate".to_owned(), "'Bearer'".to_owned()));
    }
    GatewayResponse { status: None, headers, template }
}

/// Replaces variables, and does nothing else: a gateway response has no VTL.
fn substitute(template: &str, kind: &str, built_in: &str, with: &Variables) -> String {
    let mut text = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('$') {
        text.push_str(before);
        let end =
            after.find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'))).unwrap_or(after.len());
        let (name, tail) = after.split_at_checked(end).unwrap_or((after, ""));
        // A full stop at the end is the sentence's.
        let trimmed = name.trim_end_matches('.');
        text.push_str(&variable(trimmed, kind, built_in, with));
        text.extend(name.chars().skip(trimmed.len()));
        rest = tail;
    }
    text.push_str(rest);
    text
}

fn variable(name: &str, kind: &str, built_in: &str, with: &Variables) -> String {
    let message = || {
        let body: Value = serde_json::from_str(built_in).unwrap_or_default();
        body.get("message").or_else(|| body.get("Message")).cloned().unwrap_or_default()
    };
    let value_in = |pairs: &[(String, String)], wanted: &str| {
        pairs.iter().find(|(n, _)| n.eq_ignore_ascii_case(wanted)).map(|(_, v)| v.clone()).unwrap_or_default()
    };
    match name {
        "context.requestId" | "context.extendedRequestId" => with.request_id.clone(),
        "context.httpMethod" => with.method.clone(),
        "context.path" => with.path.clone(),
        "context.resourcePath" => with.resource_path.clone(),
        "context.identity.sourceIp" => with.source_ip.clone(),
        "context.stage" => super::STAGE.into(),
        "context.error.responseType" => kind.into(),
        "context.error.messageString" => message().to_string(),
        "context.error.message" | "context.error.validationErrorString" => {
            message().as_str().unwrap_or_default().to_owned()
        }
        _ => match name.strip_prefix("method.request.").and_then(|n| n.split_once('.')) {
            Some(("header", wanted)) => value_in(&with.headers, wanted),
            Some(("querystring", wanted)) => value_in(&with.query, wanted),
            Some(("path", wanted)) => value_in(&with.path_parameters, wanted),
            _ => in_context(name, with),
        },
    }
}

fn in_context(name: &str, with: &Variables) -> String {
    match name.strip_prefix("context.authorizer.").and_then(|n| with.authorizer.get(n)) {
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
        // What AWS writes for a variable that is not there is not documented; nothing is the plain reading.
        None => String::new(),
    }
}
