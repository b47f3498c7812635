//! A proxied HTTP request, in whichever payload format the gateway sent it, read into one value.

use auth_core::api::Request;
use lambda_http::request::RequestContext;
use lambda_http::{Request as LambdaRequest, RequestExt as _};
use serde_json::Value;

/// A proxied request.
#[derive(Debug, Clone)]
pub struct HttpRequest {
    /// Method, path, headers, query.
    pub request: Request,
    /// The body, base64 undone.
    pub body: Vec<u8>,
    /// The gateway's request id, or the function's own.
    pub request_id: String,
    /// The caller's address.
    pub source_ip: Option<String>,
    /// The caller's user agent.
    pub user_agent: Option<String>,
    /// What an authorizer handed on.
    pub authorizer: Option<Value>,
}

/// Reads a request. A header value that is not UTF-8 is read with replacement characters, so that nothing it holds
/// is taken for what it is not.
pub fn read(request: LambdaRequest) -> HttpRequest {
    let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let headers = request.headers().iter().map(|(n, v)| (n.as_str().to_owned(), text(v))).collect();
    let query = request.query_string_parameters();
    let query = query.iter().map(|(n, v)| (n.to_owned(), v.to_owned())).collect();
    let own_id = request.lambda_context_ref().map(|c| c.request_id.clone());
    let (id, source_ip, user_agent, authorizer) = match request.request_context_ref() {
        Some(RequestContext::ApiGatewayV1(context)) => (
            context.request_id.clone(),
            context.identity.source_ip.clone(),
            context.identity.user_agent.clone(),
            serde_json::to_value(&context.authorizer.fields).ok(),
        ),
        Some(RequestContext::ApiGatewayV2(context)) => (
            context.request_id.clone(),
            context.http.source_ip.clone(),
            context.http.user_agent.clone(),
            context.authorizer.as_ref().and_then(|a| serde_json::to_value(&a.fields).ok()),
        ),
        _ => (None, None, None, None),
    };
    HttpRequest {
        request: Request {
            method: request.method().as_str().to_owned(),
            path: request.raw_http_path().to_owned(),
            headers: Some(headers),
            query: Some(query),
        },
        request_id: id.or(own_id).unwrap_or_default(),
        source_ip,
        user_agent,
        authorizer,
        body: request.into_body().to_vec(),
    }
}
