//! What an OpenAPI document says to API Gateway, in AWS's own extensions: authorizers, validators, gateway responses.

use crate::seed::Source;
use crate::trouble::Trouble;
use auth_core::api::{Mechanism, Operation, PathTemplate};
use auth_core::openapi;
use jsonschema::Validator;
use regex::Regex;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

/// API Gateway's own default and most, in seconds.
const DEFAULT_TTL: i64 = 300;
const MOST_TTL: i64 = 3600;

/// One REST or HTTP API: one document.
#[derive(Debug)]
pub(crate) struct GatewayApi {
    pub(crate) id: String,
    pub(crate) flavour: Flavour,
    pub(crate) routes: Vec<Route>,
    /// `x-amazon-apigateway-gateway-responses`; absent, those of the catalogue stand in, as the template sets them.
    pub(crate) responses: Option<BTreeMap<String, GatewayResponse>>,
}

/// Which of API Gateway's products.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flavour {
    Rest,
    Http,
}

/// One method of one resource.
#[derive(Debug)]
pub(crate) struct Route {
    pub(crate) operation: Arc<Operation>,
    pub(crate) authorizer: Option<Arc<Authorizer>>,
    /// Media types and what bodies of them must be.
    pub(crate) bodies: Vec<(String, Validator)>,
    pub(crate) body_required: bool,
    /// Places and names of parameters that must be there.
    pub(crate) required: Vec<(String, String)>,
    /// The admin function stands behind it, not the test endpoint.
    pub(crate) is_admin: bool,
}

/// A Lambda authorizer.
#[derive(Debug)]
pub(crate) struct Authorizer {
    pub(crate) name: String,
    pub(crate) mechanism: Mechanism,
    pub(crate) payload: Payload,
    pub(crate) sources: Vec<IdentitySource>,
    pub(crate) ttl_seconds: i64,
    /// Of a TOKEN authorizer; the whole value must match.
    pub(crate) validation: Option<Regex>,
    /// Present for a native JWT authorizer, which has no function.
    pub(crate) native: Option<Native>,
}

/// What a native JWT authorizer accepts.
#[derive(Debug)]
pub(crate) struct Native {
    pub(crate) algorithms: Vec<String>,
    pub(crate) issuers: Vec<NativeIssuer>,
}

/// An issuer whose tokens are accepted.
#[derive(Debug)]
pub(crate) struct NativeIssuer {
    pub(crate) issuer: String,
    pub(crate) audiences: Vec<String>,
    /// Claims that must be there, and their values.
    pub(crate) claims: Vec<(String, Vec<String>)>,
}

/// What an authorizer is sent and may answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Payload {
    Token,
    Request,
    V1,
    V2 {
        simple: bool,
    },
    /// Nothing: a native JWT authorizer.
    None,
}

/// Where an identity source stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum IdentitySource {
    Header(String),
    Query(String),
    StageVariable(String),
    Context(String),
}

/// A gateway response.
#[derive(Debug, Clone)]
pub(crate) struct GatewayResponse {
    pub(crate) status: Option<u16>,
    /// Names and mappings: `'literal'`, `method.request.header.X`, `context.X`.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) template: Option<String>,
}

impl GatewayApi {
    /// Reads one document. `ttl_seconds` is what the parameter `GatewayTtlSeconds` stands for in it.
    pub(crate) fn read(source: &Source, index: usize, issuer: &str, ttl_seconds: u16) -> Result<Self, Trouble> {
        let wrong = |place: &str, what: &str| Trouble::Usage(format!("{}: {place}: {what}", source.name));
        let document = &source.document;
        let read = openapi::read(document).map_err(|e| Trouble::Usage(format!("{}: {e}", source.name)))?;
        let schemes = document.pointer("/components/securitySchemes").and_then(Value::as_object);
        let is_http = schemes.into_iter().flatten().any(|(_, scheme)| {
            let said = scheme.get("x-amazon-apigateway-authorizer");
            said.is_some_and(|a| {
                a.get("authorizerPayloadFormatVersion").is_some() || a.pointer("/jwtConfiguration/issuer").is_some()
            })
        });
        let mut authorizers: BTreeMap<String, Arc<Authorizer>> = BTreeMap::new();
        let mut routes = Vec::new();
        for (_, operation) in read.operations {
            let raw = raw_operation(document, &operation);
            let authorizer = match operation.mechanism {
                Mechanism::None => None,
                mechanism => {
                    let name = scheme_name(document, raw).ok_or_else(|| wrong(&operation.id, "no security scheme"))?;
                    if !authorizers.contains_key(&name) {
                        let scheme = schemes.and_then(|s| s.get(&name)).unwrap_or(&Value::Null);
                        let read = authorizer(&name, scheme, mechanism, is_http, issuer, ttl_seconds)
                            .map_err(|what| wrong(&format!("components.securitySchemes.{name}"), &what))?;
                        authorizers.insert(name.clone(), Arc::new(read));
                    }
                    authorizers.get(&name).cloned()
                }
            };
            let (bodies, body_required, required) =
                validation(document, raw, &operation).map_err(|what| wrong(&operation.id, &what))?;
            let uri = raw.and_then(|o| o.get("x-amazon-apigateway-integration")?.get("uri"));
            let is_admin = uri.is_some_and(|uri| uri.to_string().contains("${AdminFunction.Arn}"));
            routes.push(Route { operation, authorizer, bodies, body_required, required, is_admin });
        }
        let responses = match document.get("x-amazon-apigateway-gateway-responses") {
            None => None,
            Some(Value::Object(all)) => {
                Some(all.iter().map(|(kind, response)| (kind.clone(), gateway_response(response))).collect())
            }
            Some(_) => return Err(wrong("x-amazon-apigateway-gateway-responses", "an object is needed")),
        };
        Ok(Self {
            id: format!("local{index:05}"),
            flavour: if is_http { Flavour::Http } else { Flavour::Rest },
            routes,
            responses,
        })
    }

    /// What an engineer would want to know before this goes to AWS.
    pub(crate) fn lint(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        for route in &self.routes {
            let Some(authorizer) = &route.authorizer else { continue };
            let sources =
                [Some(&route.operation.tenant), route.operation.sku.as_ref(), route.operation.supplier.as_ref()];
            for source in sources.into_iter().flatten() {
                let covered = match source {
                    auth_core::api::Source::Header(name) => authorizer
                        .sources
                        .iter()
                        .any(|s| matches!(s, IdentitySource::Header(n) if n.eq_ignore_ascii_case(name))),
                    auth_core::api::Source::Query(name) => {
                        authorizer.sources.iter().any(|s| matches!(s, IdentitySource::Query(n) if n == name))
                    }
                    auth_core::api::Source::Host => false,
                    auth_core::api::Source::Path(_) | auth_core::api::Source::Token => true,
                };
                if authorizer.ttl_seconds > 0 && !covered {
                    warnings.push(format!(
                        "{}: authorizer {} keeps its answers {} s, but {} is no identity source of it: an answer for one value would serve another",
                        route.operation.id,
                        authorizer.name,
                        authorizer.ttl_seconds,
                        String::from(source.clone()),
                    ));
                }
            }
            if authorizer.ttl_seconds > 0 && authorizer.payload == (Payload::V2 { simple: true }) {
                warnings.push(format!(
                    "{}: a simple answer that is kept {} s opens every route of the API",
                    route.operation.id, authorizer.ttl_seconds
                ));
            }
        }
        warnings.sort();
        warnings.dedup();
        warnings
    }
}

fn raw_operation<'a>(document: &'a Value, operation: &Operation) -> Option<&'a Map<String, Value>> {
    let item = document.get("paths")?.get(operation.path.to_string())?;
    let (spelling, _) = openapi::METHODS.iter().find(|(_, method)| *method == operation.method)?;
    item.get(spelling)?.as_object()
}

fn scheme_name(document: &Value, operation: Option<&Map<String, Value>>) -> Option<String> {
    let security = operation.and_then(|o| o.get("security")).or_else(|| document.get("security"))?;
    security.as_array()?.first()?.as_object()?.keys().next().cloned()
}

fn authorizer(
    name: &str,
    scheme: &Value,
    mechanism: Mechanism,
    is_http: bool,
    issuer: &str,
    ttl_parameter: u16,
) -> Result<Authorizer, String> {
    let header = if mechanism == Mechanism::ApiKey { "ApiKey" } else { "Authorization" };
    let default = Authorizer {
        name: name.to_owned(),
        mechanism,
        payload: if is_http { Payload::V2 { simple: true } } else { Payload::Request },
        sources: vec![IdentitySource::Header(header.into())],
        ttl_seconds: 0,
        validation: None,
        native: None,
    };
    let Some(said) = scheme.get("x-amazon-apigateway-authorizer") else { return Ok(default) };
    let text = |member: &str| said.get(member).and_then(Value::as_str);
    let payload = match (text("type"), text("authorizerPayloadFormatVersion")) {
        (Some("token"), None) => Payload::Token,
        (Some("request"), None) => Payload::Request,
        (Some("request"), Some("1.0")) => Payload::V1,
        (Some("request"), Some("2.0")) => {
            Payload::V2 { simple: said.get("enableSimpleResponses").and_then(Value::as_bool).unwrap_or(false) }
        }
        (Some("jwt"), None) => {
            let native = native(said.get("jwtConfiguration").unwrap_or(&Value::Null), issuer)?;
            let sources = vec![match text("identitySource") {
                Some(source) => identity_source(source)?,
                None => IdentitySource::Header("Authorization".into()),
            }];
            return Ok(Authorizer { payload: Payload::None, native: Some(native), sources, ..default });
        }
        _ => return Err("x-amazon-apigateway-authorizer: type token, request or jwt, payload format 1.0 or 2.0".into()),
    };
    let ttl_seconds = match said.get("authorizerResultTtlInSeconds") {
        None if is_http => 0,
        None => DEFAULT_TTL,
        // A parameter of the template that the document is part of.
        Some(ttl) if ttl.get("Ref").is_some_and(|name| name == "GatewayTtlSeconds") => ttl_parameter.into(),
        Some(ttl) => {
            ttl.as_i64().filter(|t| (0..=MOST_TTL).contains(t)).ok_or("authorizerResultTtlInSeconds: 0 to 3600")?
        }
    };
    let sources: Vec<IdentitySource> = match text("identitySource") {
        Some(list) => list.split(',').map(|s| identity_source(s.trim())).collect::<Result<_, _>>()?,
        None if payload == Payload::Token => {
            vec![IdentitySource::Header(scheme.get("name").and_then(Value::as_str).unwrap_or(header).into())]
        }
        None => Vec::new(),
    };
    if sources.is_empty() && ttl_seconds > 0 {
        return Err("identitySource: needed where answers are kept".into());
    }
    let validation = match text("identityValidationExpression") {
        None => None,
        Some(expression) => {
            let whole = Regex::new(&format!("^(?:{expression})$"))
                .map_err(|_| "identityValidationExpression: not an expression")?;
            Some(whole)
        }
    };
    Ok(Authorizer { payload, sources, ttl_seconds, validation, ..default })
}

/// Reads `jwtConfiguration`, of an HTTP API (`issuer`, `audience`) or of a REST API (`issuers`).
fn native(said: &Value, own: &str) -> Result<Native, String> {
    let texts = |value: Option<&Value>| -> Vec<String> {
        value.and_then(Value::as_array).into_iter().flatten().filter_map(|v| v.as_str().map(str::to_owned)).collect()
    };
    let text = |value: Option<&Value>| value.and_then(Value::as_str).unwrap_or_default().to_owned();
    let (algorithms, issuers) = match said.get("issuers").and_then(Value::as_array) {
        None => {
            let issuer = text(said.get("issuer"));
            let accepted = NativeIssuer { issuer, audiences: texts(said.get("audience")), claims: Vec::new() };
            (vec!["RS256".to_owned()], vec![accepted])
        }
        Some(list) => {
            let mut issuers = Vec::new();
            for entry in list {
                let mut claims = Vec::new();
                for claim in entry.get("additionalClaims").and_then(Value::as_array).into_iter().flatten() {
                    if claim.get("format").and_then(Value::as_str) != Some("SINGLE_STRING") {
                        return Err("additionalClaims: only the format SINGLE_STRING is modelled locally".into());
                    }
                    claims.push((text(claim.get("claimName")), texts(claim.get("expectedValues"))));
                }
                issuers.push(NativeIssuer {
                    issuer: text(entry.get("issuer")),
                    audiences: texts(entry.get("audiences")),
                    claims,
                });
            }
            let mut algorithms = texts(said.get("defaultAlgorithms"));
            algorithms.retain(|a| a.starts_with("RS") || a.starts_with("ES"));
            (algorithms, issuers)
        }
    };
    match issuers.iter().find(|i| i.issuer != own || i.audiences.is_empty()) {
        _ if issuers.is_empty() || algorithms.is_empty() => {
            Err("jwtConfiguration: issuer and algorithms are needed".into())
        }
        Some(other) if other.issuer != own => {
            Err(format!("jwtConfiguration: only the keys of {own} are to be had locally; set issuer in the seed"))
        }
        Some(_) => Err("jwtConfiguration: an audience is needed".into()),
        None => Ok(Native { algorithms, issuers }),
    }
}

fn identity_source(text: &str) -> Result<IdentitySource, String> {
    let plain = text.trim_start_matches('$');
    let named = |prefix: &str| plain.strip_prefix(prefix).filter(|name| !name.is_empty()).map(str::to_owned);
    let either = |rest: &str, http: &str| named(rest).or_else(|| named(http));
    None.or_else(|| either("method.request.header.", "request.header.").map(IdentitySource::Header))
        .or_else(|| either("method.request.querystring.", "request.querystring.").map(IdentitySource::Query))
        .or_else(|| named("stageVariables.").map(IdentitySource::StageVariable))
        .or_else(|| named("context.").map(IdentitySource::Context))
        .ok_or_else(|| format!("identitySource: {text} is not one"))
}

type Validation = (Vec<(String, Validator)>, bool, Vec<(String, String)>);

fn validation(document: &Value, raw: Option<&Map<String, Value>>, operation: &Operation) -> Result<Validation, String> {
    let nothing = (Vec::new(), false, Vec::new());
    let Some(raw) = raw else { return Ok(nothing) };
    let named = raw
        .get("x-amazon-apigateway-request-validator")
        .or_else(|| document.get("x-amazon-apigateway-request-validator"));
    let Some(name) = named.and_then(Value::as_str) else { return Ok(nothing) };
    let validators = document.get("x-amazon-apigateway-request-validators");
    let Some(validator) = validators.and_then(|v| v.get(name)) else {
        return Err(format!("x-amazon-apigateway-request-validators has no {name}"));
    };
    let on = |what: &str| validator.get(what).and_then(Value::as_bool).unwrap_or(false);
    let mut bodies = Vec::new();
    let body = raw.get("requestBody");
    if on("validateRequestBody") {
        let content = body.and_then(|b| b.get("content")).and_then(Value::as_object);
        for (media_type, content) in content.into_iter().flatten() {
            let Some(schema) = content.get("schema") else { continue };
            // References go to the document's own components.
            let whole = json!({"allOf": [schema], "components": document.get("components")});
            let built = jsonschema::options().build(&whole);
            let built = built.map_err(|_| format!("requestBody.content.{media_type}.schema: not a JSON schema"))?;
            bodies.push((media_type.to_ascii_lowercase(), built));
        }
    }
    let mut required = Vec::new();
    if on("validateRequestParameters") {
        let item = document.get("paths").and_then(|p| p.get(PathTemplate::to_string(&operation.path)));
        let lists = [Some(raw), item.and_then(Value::as_object)];
        for parameter in
            lists.into_iter().flatten().filter_map(|l| l.get("parameters")).filter_map(Value::as_array).flatten()
        {
            let text = |name: &str| parameter.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
            if parameter.get("required").and_then(Value::as_bool).unwrap_or(false) && text("in") != "path" {
                required.push((text("in"), text("name")));
            }
        }
    }
    let body_required = body.and_then(|b| b.get("required")).and_then(Value::as_bool).unwrap_or(false);
    Ok((bodies, body_required, required))
}

fn gateway_response(response: &Value) -> GatewayResponse {
    let status = response.get("statusCode");
    let status = status.and_then(|s| s.as_u64().or_else(|| s.as_str().and_then(|t| t.parse().ok())));
    let headers = response.get("responseParameters").and_then(Value::as_object).into_iter().flatten();
    let template = response.get("responseTemplates").and_then(|t| t.get("application/json")).and_then(Value::as_str);
    GatewayResponse {
        status: status.and_then(|s| u16::try_from(s).ok()),
        headers: headers
            .filter_map(|(name, mapping)| {
                let name = name.strip_prefix("gatewayresponse.header.")?;
                Some((name.to_owned(), mapping.as_str()?.to_owned()))
            })
            .collect(),
        template: template.map(str::to_owned),
    }
}
