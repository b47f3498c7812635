//! Every event that API Gateway or AppSync sends to an authorizer, read into one value.

use crate::arn::MethodArn;
use auth_core::api::Request;
use serde_json::{Map, Value};

/// Which gateway asks, and so in which form it wants its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// REST API, TOKEN authorizer: shows one header and nothing else.
    RestToken,
    /// REST API, REQUEST authorizer.
    RestRequest,
    /// HTTP API, payload format 1.0.
    Http1,
    /// HTTP API, payload format 2.0.
    Http2,
    /// WebSocket API, `$connect`.
    WebSocket,
    /// AppSync, any GraphQL request.
    AppSync,
}

/// Where an API that AppSync serves stands in its document: requests as `POST /graphql`, and below it each field of the
/// schema that asks for something, as `/graphql/TYPE/FIELD`.
pub const GRAPHQL_PATH: &str = "/graphql";

/// An authorizer's event.
#[derive(Debug, Clone)]
pub struct AuthorizerEvent {
    /// Who asks.
    pub shape: Shape,
    /// What for; AppSync knows none.
    pub arn: Option<MethodArn>,
    /// The request, as far as the event shows it.
    pub request: Request,
    /// The gateway's request id; empty where the event has none.
    pub request_id: String,
    /// The caller's address.
    pub source_ip: Option<String>,
    /// The caller's user agent.
    pub user_agent: Option<String>,
}

/// Not an event of an authorizer. Says what is missing, never what is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an authorizer's event: {0}")]
pub struct NotAnEvent(pub &'static str);

impl AuthorizerEvent {
    /// Reads an event. `credential_header` is the header that a TOKEN event's `authorizationToken` came from.
    /// Members that are not known are passed over: API Gateway adds some from time to time.
    ///
    /// # Errors
    /// [`NotAnEvent`].
    pub fn read(event: &Value, credential_header: &str) -> Result<Self, NotAnEvent> {
        let event = event.as_object().ok_or(NotAnEvent("not an object"))?;
        let text = |name: &str| event.get(name).and_then(Value::as_str);
        let context = event.get("requestContext");
        let at = |path: &str| context.and_then(|c| c.pointer(path)).and_then(Value::as_str).map(str::to_owned);
        let shape = match (text("type"), text("version")) {
            (Some("TOKEN"), _) => Shape::RestToken,
            (Some("REQUEST"), Some("2.0")) => Shape::Http2,
            (Some("REQUEST"), Some("1.0")) => Shape::Http1,
            (Some("REQUEST"), _) if at("/eventType").as_deref() == Some("CONNECT") => Shape::WebSocket,
            (Some("REQUEST"), None) => Shape::RestRequest,
            (None, None) if text("authorizationToken").is_some() && at("/apiId").is_some() => Shape::AppSync,
            _ => return Err(NotAnEvent("type")),
        };
        let arn = text(if shape == Shape::Http2 { "routeArn" } else { "methodArn" }).and_then(MethodArn::parse);
        let (method, path) = match (shape, &arn) {
            (Shape::AppSync, _) => ("POST", GRAPHQL_PATH),
            (_, None) => return Err(NotAnEvent("methodArn or routeArn")),
            (Shape::WebSocket, Some(arn)) => ("GET", arn.path.as_str()),
            (_, Some(arn)) => (arn.method.as_str(), arn.path.as_str()),
        };
        let credential = || {
            let token = text("authorizationToken").ok_or(NotAnEvent("authorizationToken"))?;
            Ok((credential_header.to_owned(), token.to_owned()))
        };
        let request = Request {
            method: method.to_owned(),
            path: path.to_owned(),
            headers: match shape {
                Shape::RestToken => Some(vec![credential()?]),
                // The token is the header that AppSync took it from, whatever else calls itself so.
                Shape::AppSync => {
                    let mut headers = values(event, "requestHeaders", "")?;
                    headers.retain(|(name, _)| !name.eq_ignore_ascii_case(credential_header));
                    headers.push(credential()?);
                    Some(headers)
                }
                _ => Some(values(event, "headers", "multiValueHeaders")?),
            },
            query: match shape {
                Shape::RestToken | Shape::AppSync => None,
                _ => Some(values(event, "queryStringParameters", "multiValueQueryStringParameters")?),
            },
        };
        let in_either = |rest: &str, http: &str| at(if shape == Shape::Http2 { http } else { rest });
        Ok(Self {
            shape,
            arn,
            request,
            request_id: at("/requestId").unwrap_or_default(),
            source_ip: in_either("/identity/sourceIp", "/http/sourceIp"),
            user_agent: in_either("/identity/userAgent", "/http/userAgent"),
        })
    }
}

/// Names and values of headers or query parameters. Where the event lists all values of a name, those count; the
/// single-valued map would show only one of them.
pub fn values(event: &Map<String, Value>, single: &str, multi: &str) -> Result<Vec<(String, String)>, NotAnEvent> {
    let mut all = Vec::new();
    let listed = match event.get(multi) {
        None | Some(Value::Null) => None,
        Some(Value::Object(listed)) => Some(listed),
        Some(_) => return Err(NotAnEvent("multi-valued headers or parameters")),
    };
    for (name, list) in listed.into_iter().flatten() {
        for value in list.as_array().ok_or(NotAnEvent("multi-valued headers or parameters"))? {
            let value = value.as_str().ok_or(NotAnEvent("multi-valued headers or parameters"))?;
            all.push((name.clone(), value.to_owned()));
        }
    }
    match event.get(single) {
        None | Some(Value::Null) => {}
        Some(Value::Object(map)) => {
            for (name, value) in map {
                let value = value.as_str().ok_or(NotAnEvent("headers or parameters"))?;
                if !listed.is_some_and(|l| l.keys().any(|k| k.eq_ignore_ascii_case(name))) {
                    all.push((name.clone(), value.to_owned()));
                }
            }
        }
        Some(_) => return Err(NotAnEvent("headers or parameters")),
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const ARN: &str = "arn:aws:execute-api:eu-west-1:1:a/s/GET/x";

    #[test]
    fn every_shape_is_read_for_what_it_is() {
        let token = json!({"type": "TOKEN", "authorizationToken": "Bearer t", "methodArn": ARN});
        let rest = json!({"type": "REQUEST", "methodArn": ARN, "headers": {"Authorization": "Bearer t"},
            "requestContext": {"requestId": "r", "identity": {"sourceIp": "192.0.2.1", "userAgent": "u"}}});
        let one =
            json!({"type": "REQUEST", "version": "1.0", "methodArn": ARN, "headers": {"authorization": "Bearer t"}});
        let two = json!({"type": "REQUEST", "version": "2.0", "routeArn": ARN, "headers": {"authorization": "Bearer t"},
            "requestContext": {"requestId": "r", "http": {"sourceIp": "192.0.2.1", "userAgent": "u"}}});
        let socket = json!({"type": "REQUEST", "methodArn": "arn:aws:execute-api:eu-west-1:1:a/s/$connect",
            "headers": {"Authorization": "Bearer t"}, "requestContext": {"eventType": "CONNECT", "requestId": "r"}});
        let graphql = json!({"authorizationToken": "Bearer t", "requestContext": {"apiId": "a", "requestId": "r",
            "queryString": "{ invoices { id } }", "variables": {}}, "requestHeaders": {"Authorization": "Bearer other"}});
        let rows = [
            ("TOKEN", token, Shape::RestToken, "/x"),
            ("REQUEST", rest.clone(), Shape::RestRequest, "/x"),
            ("HTTP API 1.0", one, Shape::Http1, "/x"),
            ("HTTP API 2.0", two.clone(), Shape::Http2, "/x"),
            ("WebSocket", socket, Shape::WebSocket, "/$connect"),
            ("AppSync", graphql, Shape::AppSync, "/graphql"),
        ];
        for (what, event, shape, path) in rows {
            let read = AuthorizerEvent::read(&event, "authorization").unwrap();
            assert_eq!(
                (read.shape, read.request.method.as_str(), read.request.path.as_str()),
                (shape, if shape == Shape::AppSync { "POST" } else { "GET" }, path),
                "{what}"
            );
            assert_eq!(read.request.header("AUTHORIZATION"), auth_core::api::Found::One("Bearer t"), "{what}");
        }
        for event in [rest, two] {
            let read = AuthorizerEvent::read(&event, "authorization").unwrap();
            assert_eq!(
                (read.request_id.as_str(), read.source_ip.as_deref(), read.user_agent.as_deref()),
                ("r", Some("192.0.2.1"), Some("u"))
            );
        }
    }

    #[test]
    fn what_is_no_event_is_not_read() {
        let rows = [
            ("nothing", json!({})),
            ("a list", json!([])),
            ("another type", json!({"type": "OTHER", "methodArn": ARN})),
            ("no ARN", json!({"type": "TOKEN", "authorizationToken": "t"})),
            ("a star for an ARN", json!({"type": "TOKEN", "authorizationToken": "t", "methodArn": "*"})),
            ("no token", json!({"type": "TOKEN", "methodArn": ARN})),
            ("of AppSync without an API", json!({"authorizationToken": "t", "requestContext": {}})),
            (
                "of AppSync with a number for a header",
                json!({"authorizationToken": "t", "requestContext": {"apiId": "a"},
                "requestHeaders": {"x": 1}}),
            ),
            (
                "a header that is a number",
                json!({"type": "REQUEST", "methodArn": ARN, "headers": {"Authorization": 5}}),
            ),
            (
                "a header that is a list",
                json!({"type": "REQUEST", "methodArn": ARN, "headers": {"Authorization": ["t"]}}),
            ),
            ("headers that are a text", json!({"type": "REQUEST", "methodArn": ARN, "headers": "t"})),
        ];
        for (what, event) in rows {
            assert!(AuthorizerEvent::read(&event, "authorization").is_err(), "{what}");
        }
    }
}
