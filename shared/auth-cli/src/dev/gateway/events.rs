//! The events that API Gateway makes of a request.

use super::STAGE;
use super::config::{Authorizer, IdentitySource, Payload, Route};
use super::responses::Variables;
use auth_core::api::PathParameters;
use auth_core::secret::hex;
use auth_edge::clock;
use auth_edge::http_request::Event;
use base64::Engine as _;
use bytes::Bytes;
use lambda_http::request::LambdaRequest;
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::SocketAddr;

pub(crate) const ACCOUNT: &str = "000000000000";
pub(crate) const REGION: &str = "eu-west-1";

/// A request as it came in.
#[derive(Debug)]
pub(crate) struct Incoming {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) raw_query: String,
    pub(crate) query: Vec<(String, String)>,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Bytes,
    pub(crate) source_ip: String,
    pub(crate) request_id: String,
}

impl Incoming {
    pub(crate) fn new(parts: http::request::Parts, body: Bytes, from: SocketAddr, request_id: String) -> Self {
        let raw_query = parts.uri.query().unwrap_or_default().to_owned();
        let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        Self {
            method: parts.method.as_str().to_owned(),
            path: parts.uri.path().to_owned(),
            query: form_urlencoded::parse(raw_query.as_bytes()).into_owned().collect(),
            raw_query,
            headers: parts.headers.iter().map(|(n, v)| (n.as_str().to_owned(), text(v))).collect(),
            body,
            source_ip: from.ip().to_string(),
            request_id,
        }
    }

    pub(crate) fn arn(&self, api: &str) -> String {
        format!("arn:aws:execute-api:{REGION}:{ACCOUNT}:{api}/{STAGE}/{}{}", self.method, self.path)
    }

    pub(crate) fn variables(&self) -> Variables {
        Variables {
            request_id: self.request_id.clone(),
            method: self.method.clone(),
            path: format!("/{STAGE}{}", self.path),
            source_ip: self.source_ip.clone(),
            headers: self.headers.clone(),
            query: self.query.clone(),
            ..Variables::default()
        }
    }

    pub(crate) fn header_values(&self, name: &str) -> Vec<&str> {
        self.headers.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str()).collect()
    }

    pub(crate) fn media_type(&self) -> Option<String> {
        let value = self.header_values("content-type").first().copied()?;
        Some(value.split(';').next()?.trim().to_ascii_lowercase()).filter(|m| !m.is_empty())
    }

    /// The value at an identity source; none if it is missing or empty.
    pub(crate) fn identity(&self, source: &IdentitySource, route: &Route) -> Option<String> {
        let value = match source {
            IdentitySource::Header(name) => self.header_values(name).join(","),
            IdentitySource::Query(name) => {
                self.query.iter().filter(|(n, _)| n == name).map(|(_, v)| v.as_str()).collect::<Vec<_>>().join(",")
            }
            // No stage variables are set here.
            IdentitySource::StageVariable(_) => String::new(),
            IdentitySource::Context(name) => match name.as_str() {
                "httpMethod" | "http.method" => self.method.clone(),
                "path" | "http.path" => self.path.clone(),
                "resourcePath" => route.operation.path.to_string(),
                "routeKey" => format!("{} {}", self.method, route.operation.path),
                "stage" => STAGE.into(),
                "identity.sourceIp" | "http.sourceIp" => self.source_ip.clone(),
                _ => String::new(),
            },
        };
        Some(value.trim().to_owned()).filter(|v| !v.is_empty())
    }

    pub(crate) fn authorizer_event(
        &self,
        api: &str,
        route: &Route,
        authorizer: &Authorizer,
        parameters: &PathParameters,
        identity: &[String],
    ) -> Value {
        let arn = self.arn(api);
        match authorizer.payload {
            // A native authorizer is sent nothing.
            Payload::None => Value::Null,
            Payload::Token => json!({"type": "TOKEN", "authorizationToken": identity.first(), "methodArn": arn}),
            Payload::V2 { .. } => {
                let asks = AsksAuthorizer { kind: "REQUEST", route_arn: &arn, identity_source: identity };
                json!(V2 { asks: Some(asks), carries: None, ..self.v2(api, None, parameters) })
            }
            Payload::Request | Payload::V1 => {
                let mut event = self.v1(api, route, None, parameters);
                if let Some(members) = event.as_object_mut() {
                    for absent in ["body", "isBase64Encoded"] {
                        members.remove(absent);
                    }
                    members.insert("type".into(), "REQUEST".into());
                    members.insert("methodArn".into(), arn.into());
                    if authorizer.payload == Payload::V1 {
                        let joined = identity.join(",");
                        members.insert("version".into(), "1.0".into());
                        members.insert("identitySource".into(), joined.as_str().into());
                        members.insert("authorizationToken".into(), joined.into());
                    }
                }
                event
            }
        }
    }

    /// The proxy event of a REST API, as a function reads it.
    pub(crate) fn lambda_request_v1(
        &self,
        api: &str,
        route: &Route,
        context: Option<Map<String, Value>>,
        parameters: &PathParameters,
    ) -> Option<LambdaRequest> {
        received(&self.v1(api, route, context, parameters))
    }

    /// The proxy event of an HTTP API, as a function reads it.
    pub(crate) fn lambda_request_v2(
        &self,
        api: &str,
        context: Option<Map<String, Value>>,
        parameters: &[(String, String)],
    ) -> Option<LambdaRequest> {
        received(&self.v2(api, context, parameters))
    }

    fn v1(&self, api: &str, route: &Route, context: Option<Map<String, Value>>, parameters: &PathParameters) -> Value {
        let (headers, multi_headers) = both(&self.headers);
        let (query, multi_query) = both(&self.query);
        let mut request_context = json!({
            "accountId": ACCOUNT, "apiId": api, "stage": STAGE, "requestId": self.request_id,
            "resourceId": "local", "resourcePath": route.operation.path.to_string(), "httpMethod": self.method,
            "path": format!("/{STAGE}{}", self.path), "protocol": "HTTP/1.1",
            "requestTimeEpoch": clock::now().0.saturating_mul(1000),
            "identity": {"sourceIp": self.source_ip, "userAgent": self.header_values("user-agent").first()},
        });
        if let (Some(members), Some(context)) = (request_context.as_object_mut(), context) {
            members.insert("authorizer".into(), Value::Object(context));
        }
        json!({
            "resource": route.operation.path.to_string(), "path": self.path, "httpMethod": self.method,
            "headers": headers, "multiValueHeaders": multi_headers,
            "queryStringParameters": query, "multiValueQueryStringParameters": multi_query,
            "pathParameters": parameters.iter().cloned().collect::<BTreeMap<_, _>>(), "stageVariables": null,
            "requestContext": request_context,
            "body": String::from_utf8_lossy(&self.body), "isBase64Encoded": false,
        })
    }

    fn v2<'a>(
        &'a self,
        api: &'a str,
        context: Option<Map<String, Value>>,
        parameters: &'a [(String, String)],
    ) -> V2<'a> {
        let text = self.media_type().is_some_and(|m| {
            m.starts_with("text/")
                || matches!(m.as_str(), "application/json" | "application/xml" | "application/javascript")
        });
        let text = text.then(|| std::str::from_utf8(&self.body).ok()).flatten();
        let body = match text {
            Some(text) => text.to_owned(),
            None => base64::engine::general_purpose::STANDARD.encode(&self.body),
        };
        let now = clock::now();
        V2 {
            version: "2.0",
            asks: None,
            route_key: "$default",
            raw_path: &self.path,
            raw_query_string: &self.raw_query,
            headers: joined(&self.headers),
            query_string_parameters: joined(&self.query),
            path_parameters: parameters.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect(),
            request_context: V2Context {
                account_id: ACCOUNT,
                api_id: api,
                stage: "$default",
                request_id: &self.request_id,
                route_key: "$default",
                domain_name: "localhost",
                domain_prefix: "localhost",
                time_epoch: now.0.saturating_mul(1000),
                time: now.to_rfc3339(),
                http: V2Http {
                    method: &self.method,
                    path: &self.path,
                    protocol: "HTTP/1.1",
                    source_ip: &self.source_ip,
                    user_agent: self.header_values("user-agent").first().copied().unwrap_or_default(),
                },
                authorizer: context.map(|context| {
                    let kind = if context.contains_key("claims") { "jwt" } else { "lambda" };
                    BTreeMap::from([(kind, context)])
                }),
            },
            carries: Some(Carries { body, is_base64_encoded: text.is_none() }),
        }
    }
}

fn received(event: &impl Serialize) -> Option<LambdaRequest> {
    Some(Event::of(&serde_json::to_string(event).ok()?).ok()?.0)
}

/// The event of an HTTP API, in the order in which it is written: what reads it looks at the version first.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct V2<'a> {
    version: &'static str,
    #[serde(flatten)]
    asks: Option<AsksAuthorizer<'a>>,
    route_key: &'static str,
    raw_path: &'a str,
    raw_query_string: &'a str,
    headers: BTreeMap<&'a str, Cow<'a, str>>,
    query_string_parameters: BTreeMap<&'a str, Cow<'a, str>>,
    path_parameters: BTreeMap<&'a str, &'a str>,
    request_context: V2Context<'a>,
    #[serde(flatten)]
    carries: Option<Carries>,
}

/// What an authorizer's event has beside.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct AsksAuthorizer<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    route_arn: &'a str,
    identity_source: &'a [String],
}

/// What a function's event has beside.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Carries {
    body: String,
    is_base64_encoded: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct V2Context<'a> {
    account_id: &'static str,
    api_id: &'a str,
    stage: &'static str,
    request_id: &'a str,
    route_key: &'static str,
    domain_name: &'static str,
    domain_prefix: &'static str,
    time_epoch: i64,
    time: String,
    http: V2Http<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    authorizer: Option<BTreeMap<&'static str, Map<String, Value>>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct V2Http<'a> {
    method: &'a str,
    path: &'a str,
    protocol: &'static str,
    source_ip: &'a str,
    user_agent: &'a str,
}

/// All values of each name, divided by commas.
fn joined(pairs: &[(String, String)]) -> BTreeMap<&str, Cow<'_, str>> {
    let mut joined: BTreeMap<&str, Cow<'_, str>> = BTreeMap::new();
    for (name, value) in pairs {
        let all = joined.entry(name).and_modify(|all| *all = format!("{all},{value}").into());
        all.or_insert(Cow::Borrowed(value));
    }
    joined
}

/// The last value of each name, and all of them.
fn both(pairs: &[(String, String)]) -> (BTreeMap<&str, &str>, BTreeMap<&str, Vec<&str>>) {
    let mut all: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (name, value) in pairs {
        all.entry(name).or_default().push(value);
    }
    (pairs.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect(), all)
}

/// A random UUID (RFC 9562 section 5.4).
pub(crate) fn uuid(mut bits: [u8; 16]) -> String {
    bits[6] = (bits[6] & 0x0f) | 0x40;
    bits[8] = (bits[8] & 0x3f) | 0x80;
    let mut id = String::with_capacity(36);
    for (at, digit) in hex(&bits).char_indices() {
        if matches!(at, 8 | 12 | 16 | 20) {
            id.push('-');
        }
        id.push(digit);
    }
    id
}
