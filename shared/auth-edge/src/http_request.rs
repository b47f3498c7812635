//! A proxied HTTP request, in whichever payload format the gateway sent it, read into one value.
//!
//! `lambda_http` types the event. Its own conversion to an `http::Request` is not used: it keeps one of several headers
//! of a name, and panics on a host, a query or a base64 text that it cannot read.

use crate::clock;
use crate::oauth::{OAuthError, Refused, error_response};
use crate::report::{Report, Sink};
use auth_core::api::Request;
use auth_core::audit::Outcome;
use auth_core::time::Timestamp;
use base64::Engine as _;
use http::{HeaderMap, Response};
use lambda_http::aws_lambda_events::apigw::ApiGatewayRequestAuthorizer;
use lambda_http::request::LambdaRequest;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use std::borrow::Cow;
use std::fmt;

/// A proxied request.
#[derive(Clone)]
pub struct HttpRequest {
    /// Method, path, headers, query.
    pub request: Request,
    /// The body, base64 undone; none, if it could not be.
    pub body: Option<Vec<u8>>,
    /// The gateway's request id, or the function's own.
    pub request_id: String,
    /// The caller's address.
    pub source_ip: Option<String>,
    /// The caller's user agent.
    pub user_agent: Option<String>,
    /// What an authorizer handed on.
    pub authorizer: Option<Value>,
}

impl fmt::Debug for HttpRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HttpRequest({:?}, {})", self.request, self.request_id)
    }
}

/// An event as the runtime hands it over. `lambda_http` reads each as a REST API's first, which of an HTTP API's is in vain.
pub struct Event(pub LambdaRequest);

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Event")
    }
}

impl<'de> Deserialize<'de> for Event {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::of(Box::<RawValue>::deserialize(deserializer)?.get()).map_err(D::Error::custom)
    }
}

impl Event {
    /// The event of this text.
    ///
    /// # Errors
    /// If it is none that `lambda_http` knows.
    pub fn of(text: &str) -> serde_json::Result<Self> {
        // API Gateway says it before all else; whatever says it elsewhere is found out by `lambda_http`.
        let is_http_api = text.starts_with(r#"{"version":"2.0""#);
        let of_http_api = is_http_api.then(|| serde_json::from_str(text).map(LambdaRequest::ApiGatewayV2));
        of_http_api.and_then(Result::ok).map_or_else(|| serde_json::from_str(text), Ok).map(Self)
    }
}

/// Reads an event of a REST API, or of an HTTP API in either payload format. `own_id` is the function's request id.
/// `None` for an event of anything else.
pub fn read(event: LambdaRequest, own_id: &str) -> Option<HttpRequest> {
    let http = match event {
        LambdaRequest::ApiGatewayV1(event) => {
            let context = event.request_context;
            let mut headers = pairs(&event.multi_value_headers);
            // The single-valued map shows one value of each name; the other lists all, where it is there.
            headers
                .extend(pairs(&event.headers).into_iter().filter(|(n, _)| !event.multi_value_headers.contains_key(n)));
            let query = match event.multi_value_query_string_parameters.is_empty() {
                true => event.query_string_parameters,
                false => event.multi_value_query_string_parameters,
            };
            HttpRequest {
                request: Request {
                    method: event.http_method.as_str().to_owned(),
                    path: event.path.unwrap_or_default(),
                    headers: Some(headers),
                    query: Some(query.iter().map(|(n, v)| (n.to_owned(), v.to_owned())).collect()),
                },
                body: body(event.body, event.is_base64_encoded),
                request_id: context.request_id.unwrap_or_default(),
                source_ip: context.identity.source_ip,
                user_agent: context.identity.user_agent,
                authorizer: authorizer(&context.authorizer),
            }
        }
        LambdaRequest::ApiGatewayV2(event) => {
            let context = event.request_context;
            let query = form_urlencoded::parse(event.raw_query_string.as_deref().unwrap_or_default().as_bytes());
            HttpRequest {
                request: Request {
                    method: context.http.method.as_str().to_owned(),
                    path: event.raw_path.unwrap_or_default(),
                    headers: Some(pairs(&event.headers)),
                    query: Some(query.into_owned().collect()),
                },
                body: body(event.body, event.is_base64_encoded),
                request_id: context.request_id.unwrap_or_default(),
                source_ip: context.http.source_ip,
                user_agent: context.http.user_agent,
                authorizer: context.authorizer.as_ref().and_then(authorizer),
            }
        }
        _ => return None,
    };
    let request_id = if http.request_id.is_empty() { own_id.to_owned() } else { http.request_id };
    Some(HttpRequest { request_id, ..http })
}

/// All values of all names.
fn pairs(headers: &HeaderMap) -> Vec<(String, String)> {
    headers.iter().map(|(name, value)| (name.as_str().to_owned(), text(value).into_owned())).collect()
}

/// A value that is not UTF-8 is read with replacement characters, so that nothing it holds is taken for what it is not.
fn text(value: &http::HeaderValue) -> Cow<'_, str> {
    String::from_utf8_lossy(value.as_bytes())
}

fn body(text: Option<String>, is_base64: bool) -> Option<Vec<u8>> {
    let text = text.unwrap_or_default();
    match is_base64 {
        true => base64::engine::general_purpose::STANDARD.decode(text).ok(),
        false => Some(text.into_bytes()),
    }
}

/// What stands in `requestContext.authorizer`: a function's context, or the claims of a native JWT authorizer.
fn authorizer(said: &ApiGatewayRequestAuthorizer) -> Option<Value> {
    match &said.jwt {
        Some(jwt) => serde_json::to_value(&jwt.claims).ok().map(|claims| json!({ "claims": claims })),
        None => serde_json::to_value(&said.fields).ok(),
    }
}

/// What a proxy integration wants back. Written once, by the runtime; never printed, since its body may be a secret.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ProxyReply {
    status_code: u16,
    headers: Headers,
    body: String,
    is_base64_encoded: bool,
}

/// Written as they are; each has one value here.
struct Headers(HeaderMap);

impl Serialize for Headers {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name.as_str(), text(value))))
    }
}

/// A response as a proxy integration wants it.
pub fn reply(response: Response<String>) -> ProxyReply {
    let (parts, body) = response.into_parts();
    ProxyReply { status_code: parts.status.as_u16(), headers: Headers(parts.headers), body, is_base64_encoded: false }
}

/// The walk of an OAuth endpoint, but for what it does: event in, one audit line, response out. Allowed, refused and
/// broken leave through here. `kind` is the word in the audit line.
pub async fn walk<F, E>(
    event: LambdaRequest,
    own_id: &str,
    kind: &'static str,
    sink: &dyn Sink,
    act: F,
) -> Response<String>
where
    F: AsyncFnOnce(&HttpRequest, &[u8], Timestamp, &mut Report) -> Result<Result<Response<String>, Refused>, E>,
    E: fmt::Display,
{
    let now = clock::now();
    let http = read(event, own_id);
    let request_id = http.as_ref().map_or(own_id, |http| &http.request_id).to_owned();
    let mut report = Report::begin(kind, now, &request_id);
    let result = match http.as_ref().and_then(|http| Some((http, http.body.as_ref()?))) {
        Some((http, body)) => {
            report.caller(http.source_ip.as_deref(), http.user_agent.as_deref());
            report.line.method = Some(auth_core::audit::cut(&http.request.method));
            // Boxed: the runtime hands the future on from layer to layer, and moves all of it each time.
            Box::pin(act(http, body, now, &mut report)).await
        }
        None => Ok(Err(Refused::new(OAuthError::InvalidRequest, "The request cannot be read."))),
    };
    let response = match result {
        Ok(Ok(response)) => {
            report.line.outcome = Outcome::Allowed;
            response
        }
        Ok(Err(refused)) => {
            report.line.outcome = Outcome::Refused;
            report.line.code = Some(refused.error.refusal().code());
            report.line.error = Some(refused.error.error());
            report.line.why = Some(refused.why.clone());
            error_response(&refused, &request_id)
        }
        Err(fault) => {
            report.broken(&fault);
            let refused = Refused::new(OAuthError::Unavailable, "The service is not available. Try again.");
            error_response(&refused, &request_id)
        }
    };
    report.end(sink);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_of_the_kind_that_it_says() {
        let context = r#""requestContext":{"http":{"method":"POST","path":"/a"}}"#;
        let rows = [
            ("as API Gateway writes it", format!(r#"{{"version":"2.0","rawPath":"/a",{context}}}"#), Some("/a")),
            ("with its version elsewhere", format!(r#"{{"rawPath":"/a",{context},"version":"2.0"}}"#), Some("/a")),
            ("spaced", format!(r#"{{ "version": "2.0", "rawPath": "/a", {context} }}"#), Some("/a")),
            ("of a REST API", r#"{"httpMethod":"POST","path":"/b","requestContext":{"httpMethod":"POST","identity":{}}}"#.into(), Some("/b")),
            (
                "of a REST API, in payload format 1.0",
                r#"{"version":"1.0","httpMethod":"POST","path":"/b","requestContext":{"httpMethod":"POST","identity":{}}}"#.into(),
                Some("/b"),
            ),
            (
                "of a REST API, and says otherwise",
                r#"{"version":"2.0","httpMethod":"POST","path":"/b","requestContext":{"httpMethod":"POST","identity":{}}}"#.into(),
                Some("/b"),
            ),
            ("of nothing", r#"{"version":"2.0"}"#.into(), None),
            ("no event", "[]".into(), None),
        ];
        for (sentence, text, path) in rows {
            let event = serde_json::from_str::<Event>(&text).ok().and_then(|event| read(event.0, "id"));
            let told = event.map(|http| (http.request.method, http.request.path));
            assert_eq!(told, path.map(|path| ("POST".to_owned(), path.to_owned())), "{sentence}");
        }
    }
}
