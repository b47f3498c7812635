//! Every event that API Gateway or AppSync sends to an authorizer, read into one value.

use crate::arn::MethodArn;
use auth_core::api::Request;
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, MapAccess, Visitor};
use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

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

/// What counts of an event, as it was sent.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", bound(deserialize = "'de: 'a"))]
struct Sent<'a> {
    r#type: Option<Text<'a>>,
    version: Option<Text<'a>>,
    method_arn: Option<Text<'a>>,
    route_arn: Option<Text<'a>>,
    authorization_token: Option<Text<'a>>,
    headers: Option<Members<'a, Text<'a>>>,
    multi_value_headers: Option<Members<'a, Vec<Text<'a>>>>,
    query_string_parameters: Option<Members<'a, Text<'a>>>,
    multi_value_query_string_parameters: Option<Members<'a, Vec<Text<'a>>>>,
    request_headers: Option<Members<'a, Text<'a>>>,
    request_context: Option<Object<Context<'a>>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", bound(deserialize = "'de: 'a"))]
struct Context<'a> {
    api_id: Option<Text<'a>>,
    event_type: Option<Text<'a>>,
    request_id: Option<Text<'a>>,
    identity: Option<Object<Caller<'a>>>,
    http: Option<Object<Caller<'a>>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", bound(deserialize = "'de: 'a"))]
struct Caller<'a> {
    source_ip: Option<Text<'a>>,
    user_agent: Option<Text<'a>>,
}

/// A text, in place where nothing in it is escaped: much of an event is there twice, and little of it counts.
struct Text<'a>(Cow<'a, str>);

impl Text<'_> {
    fn owned(self) -> String {
        self.0.into_owned()
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Read;
        impl<'de> Visitor<'de> for Read {
            type Value = Text<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text")
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Borrowed(text)))
            }
            fn visit_str<E>(self, text: &str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(Read)
    }
}

/// What is sent as an object, and not as a list of its members.
#[derive(Default)]
struct Object<T>(T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Read<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Read<T> {
            type Value = Object<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Object<T>, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(Object)
            }
        }
        deserializer.deserialize_map(Read(PhantomData))
    }
}

/// An object of members of one type, in the order in which they were sent; what is there twice is there twice.
struct Members<'a, T>(Vec<(Text<'a>, T)>);

impl<'de: 'a, 'a, T: Deserialize<'de>> Deserialize<'de> for Members<'a, T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Read<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Read<T> {
            type Value = Members<'de, T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::with_capacity(16);
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Read(PhantomData))
    }
}

impl AuthorizerEvent {
    /// Reads an event. `credential_header` is the header that a TOKEN event's `authorizationToken` came from.
    /// Members that are not known are passed over: API Gateway adds some from time to time.
    ///
    /// # Errors
    /// [`NotAnEvent`].
    pub fn read<'de>(event: impl Deserializer<'de>, credential_header: &str) -> Result<Self, NotAnEvent> {
        let Object(sent): Object<Sent<'_>> =
            Object::deserialize(event).map_err(|_| NotAnEvent("no object, or a member of another type"))?;
        let (Object(context), token) = (sent.request_context.unwrap_or_default(), sent.authorization_token);
        fn as_str<'t>(text: &'t Option<Text<'_>>) -> Option<&'t str> {
            text.as_ref().map(|text| text.0.as_ref())
        }
        let shape = match (as_str(&sent.r#type), as_str(&sent.version)) {
            (Some("TOKEN"), _) => Shape::RestToken,
            (Some("REQUEST"), Some("2.0")) => Shape::Http2,
            (Some("REQUEST"), Some("1.0")) => Shape::Http1,
            (Some("REQUEST"), _) if as_str(&context.event_type) == Some("CONNECT") => Shape::WebSocket,
            (Some("REQUEST"), None) => Shape::RestRequest,
            (None, None) if token.is_some() && context.api_id.is_some() => Shape::AppSync,
            _ => return Err(NotAnEvent("type")),
        };
        let arn = if shape == Shape::Http2 { sent.route_arn } else { sent.method_arn };
        let arn = as_str(&arn).and_then(MethodArn::parse);
        let (method, path) = match (shape, &arn) {
            (Shape::AppSync, _) => ("POST", GRAPHQL_PATH),
            (_, None) => return Err(NotAnEvent("methodArn or routeArn")),
            (Shape::WebSocket, Some(arn)) => ("GET", arn.path.as_str()),
            (_, Some(arn)) => (arn.method.as_str(), arn.path.as_str()),
        };
        let credential = || {
            let token = token.ok_or(NotAnEvent("authorizationToken"))?;
            Ok((credential_header.to_owned(), token.owned()))
        };
        let request = Request {
            method: method.to_owned(),
            path: path.to_owned(),
            headers: match shape {
                Shape::RestToken => Some(vec![credential()?]),
                // The token is the header that AppSync took it from, whatever else calls itself so.
                Shape::AppSync => {
                    let mut headers = values(sent.request_headers, None);
                    headers.retain(|(name, _)| !name.eq_ignore_ascii_case(credential_header));
                    headers.push(credential()?);
                    Some(headers)
                }
                _ => Some(values(sent.headers, sent.multi_value_headers)),
            },
            query: match shape {
                Shape::RestToken | Shape::AppSync => None,
                _ => Some(values(sent.query_string_parameters, sent.multi_value_query_string_parameters)),
            },
        };
        let Object(caller) = if shape == Shape::Http2 { context.http } else { context.identity }.unwrap_or_default();
        Ok(Self {
            shape,
            arn,
            request,
            request_id: context.request_id.map(Text::owned).unwrap_or_default(),
            source_ip: caller.source_ip.map(Text::owned),
            user_agent: caller.user_agent.map(Text::owned),
        })
    }
}

/// Names and values of headers or query parameters. Where the event lists all values of a name, those count; the
/// single-valued map would show only one of them.
fn values(single: Option<Members<'_, Text<'_>>>, listed: Option<Members<'_, Vec<Text<'_>>>>) -> Vec<(String, String)> {
    let (single, listed) = (single.map(|members| members.0), listed.map(|members| members.0));
    let (single, listed) = (single.unwrap_or_default(), listed.unwrap_or_default());
    let mut all = Vec::with_capacity(single.len().max(listed.len()));
    let is_listed = |Text(name): &Text<'_>| listed.iter().any(|(Text(listed), _)| listed.eq_ignore_ascii_case(name));
    let unlisted = single.into_iter().filter(|(name, _)| !is_listed(name));
    all.extend(unlisted.map(|(name, value)| (name.owned(), value.owned())));
    for (Text(name), values) in listed {
        all.extend(values.into_iter().map(|value| (name.as_ref().to_owned(), value.owned())));
    }
    all
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
            ("a list of what an event has", json!(["REQUEST", null, ARN, null, null, {}, null, {}, null, null, null])),
            (
                "a list for the context",
                json!({"type": "REQUEST", "methodArn": ARN, "headers": {}, "requestContext": []}),
            ),
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
