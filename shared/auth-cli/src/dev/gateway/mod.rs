//! A gateway on loopback that treats authorizers as Amazon API Gateway does. It routes, asks the authorizer, evaluates
//! what it answered for every request anew, meters, validates, calls the backend; in that order.

pub(crate) mod config;
mod events;
mod native;
mod policy;
mod responses;

use super::log::Log;
use crate::deployment::DEV_PATH;
use auth_core::api::{Mechanism, PathParameters, find_operation};
use auth_core::audit::AuditLine;
use auth_core::records::Rate;
use auth_core::refusal::{Reason, Refusal};
use auth_core::settings::{HttpApiResponse, Settings};
use auth_core::time::Timestamp;
use auth_edge::answer::USAGE_KEY;
use auth_edge::clock;
use auth_edge::oauth::respond;
use auth_edge::report::Sink as _;
use auth_store::aws::Aws;
use auth_store::gate::Gate;
use auth_store::store::Wanted;
use bytes::Bytes;
use config::{Authorizer, Flavour, GatewayApi, IdentitySource, Native, Payload, Route};
use events::Incoming;
pub(crate) use events::REGION;
use http::{Response, StatusCode};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use policy::Effect;
use responses::{Kind, Variables};
use serde_json::{Map, Value, json};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::time::Instant;

/// The stage that everything is deployed to.
pub(crate) const STAGE: &str = "dev";

/// API Gateway's own limits.
const MOST_HEADER_BYTES: usize = 10_240;
const MOST_BODY_BYTES: usize = 10 * 1024 * 1024;
const MOST_ARN_BYTES: usize = 1600;
const MOST_RESOURCE_BYTES: usize = 512;

/// How many authorizer answers are kept.
const MOST_KEPT: usize = 10_000;

/// The gateway and what stands behind it.
pub(crate) struct Gateway {
    pub(crate) apis: Vec<GatewayApi>,
    pub(crate) gate: Gate,
    pub(crate) aws: Aws,
    /// What `dev` says to export.
    pub(crate) env: Value,
    settings: Settings,
    pub(crate) log: Log,
    /// Usage plans, by the value of the key that an authorizer names.
    pub(crate) plans: HashMap<String, Rate>,
    kept: Mutex<HashMap<Vec<String>, (Timestamp, Value)>>,
    buckets: Mutex<HashMap<String, Bucket>>,
}

struct Bucket {
    tokens: f64,
    filled_at: Instant,
    day: i64,
    used_today: u32,
}

/// What the authorizer said, or what is answered instead.
enum Asked {
    Output(Value),
    Instead(Kind),
}

impl Gateway {
    pub(crate) fn new(
        apis: Vec<GatewayApi>,
        gate: Gate,
        aws: Aws,
        env: Value,
        settings: Settings,
        log: Log,
        plans: HashMap<String, Rate>,
    ) -> Self {
        Self {
            apis,
            gate,
            aws,
            env,
            settings,
            log,
            plans,
            kept: Mutex::new(HashMap::new()),
            buckets: Mutex::new(HashMap::new()),
        }
    }

    /// What other commands may ask of a `dev`: where it keeps things, and what it knows of a request.
    pub(crate) fn dev(&self, method: &str, path: &str) -> Option<Value> {
        let rest = path.strip_prefix(DEV_PATH).filter(|_| method == "GET")?;
        match rest.strip_prefix("/requests/") {
            Some(id) => Some(self.log.lines_of(id).into()),
            None => rest.is_empty().then(|| self.env.clone()),
        }
    }

    /// The API that a path without an operation would be sent to, if each had an address of its own, as on AWS: the one
    /// that has the path with another method, or the only one that is not administration.
    fn whose(&self, path: &str) -> Option<&GatewayApi> {
        let has = |api: &&GatewayApi| api.routes.iter().any(|route| route.operation.path.matches(path).is_some());
        let mut theirs = self.apis.iter().filter(|api| !api.routes.iter().any(|route| route.is_admin));
        self.apis.iter().find(has).or_else(|| theirs.next().filter(|_| theirs.next().is_none()))
    }

    fn desk(&self) -> admin::Desk<'_> {
        admin::Desk { gate: &self.gate, aws: &self.aws, breached_passwords: None }
    }

    /// Forgets every authorizer answer, as `FlushStageAuthorizersCache` does.
    pub(crate) fn flush_authorizers_cache(&self) {
        if let Ok(mut kept) = self.kept.lock() {
            kept.clear();
        }
    }

    /// Answers one request.
    pub(crate) async fn handle(
        &self,
        request: http::Request<hyper::body::Incoming>,
        from: SocketAddr,
    ) -> Response<Full<Bytes>> {
        let (parts, body) = request.into_parts();
        let request_id = match clock::random::<16>() {
            Ok(bits) => events::uuid(bits),
            Err(_) => return plain(500, "Internal server error").map(body_of),
        };
        let header_bytes: usize = parts.headers.iter().map(|(n, v)| n.as_str().len() + v.len() + 4).sum();
        let response = if header_bytes + parts.uri.to_string().len() > MOST_HEADER_BYTES {
            plain(431, "Request Header Fields Too Large")
        } else {
            match Limited::new(body, MOST_BODY_BYTES).collect().await {
                Ok(body) => {
                    let incoming = Incoming::new(parts, body.to_bytes(), from, request_id.clone());
                    self.route(incoming).await
                }
                Err(error) if error.is::<LengthLimitError>() => plain(413, "Request Too Long"),
                Err(_) => plain(400, "Bad Request"),
            }
        };
        let mut response = response.map(body_of);
        if let Ok(id) = request_id.parse() {
            response.headers_mut().insert("x-amzn-requestid", id);
        }
        response
    }

    async fn route(&self, incoming: Incoming) -> Response<String> {
        let path = incoming.path.as_str();
        if let Some(known) = self.dev(&incoming.method, path) {
            return respond(200, &known);
        }
        // The product's own endpoints: an HTTP API without an authorizer.
        let ours = |paths: &[&str]| paths.contains(&path);
        if ours(&token::TOKEN_PATHS)
            || ours(&token::METADATA_PATHS)
            || token::resource_of(path).is_some()
            || ours(&[token::REVOKE_PATH, token::INTROSPECT_PATH, token::JWKS_PATH])
        {
            return match incoming.lambda_request_v2("auth", None, &[]) {
                Some(request) => token::handle(&self.gate, &self.log, request, &incoming.request_id).await,
                None => plain(400, "Bad Request"),
            };
        }
        if path == admin::SELF_PATH || path.starts_with("/self/") {
            return match incoming.lambda_request_v2("auth", None, &[]) {
                Some(request) => admin::handle(&self.desk(), &self.log, request, &incoming.request_id).await,
                None => plain(400, "Bad Request"),
            };
        }
        if path == login::LOGIN_PATH {
            return match incoming.lambda_request_v2("auth", None, &[]) {
                Some(request) => login::handle(&self.gate, &self.log, request, &incoming.request_id).await,
                None => plain(400, "Bad Request"),
            };
        }
        let all = self
            .apis
            .iter()
            .flat_map(|api| api.routes.iter().map(move |route| ((api, route), route.operation.as_ref())));
        match find_operation(all, &incoming.method, path) {
            Some(((api, route), parameters)) => self.operation(api, route, &parameters, incoming).await,
            None => {
                let variables = incoming.variables();
                self.note(&incoming, None, "gateway", &Reason::new(Refusal::EndpointNotAssigned, "no such route"));
                let api = self.whose(path);
                let is_http = |api: &GatewayApi| api.flavour == Flavour::Http;
                match api.map_or(self.apis.iter().all(is_http), is_http) {
                    true => plain(404, "Not Found"),
                    false => responses::respond(api, Kind::MissingAuthenticationToken, Mechanism::None, &variables),
                }
            }
        }
    }

    async fn operation(
        &self,
        api: &GatewayApi,
        route: &Route,
        parameters: &PathParameters,
        incoming: Incoming,
    ) -> Response<String> {
        let arn = incoming.arn(&api.id);
        if arn.len() > MOST_ARN_BYTES {
            return plain(414, "Request URI too long");
        }
        let mut variables = incoming.variables();
        variables.resource_path = route.operation.path.to_string();
        variables.path_parameters.clone_from(parameters);
        let mechanism = route.operation.mechanism;
        let refuse = |kind: Kind, variables: &Variables| match api.flavour {
            Flavour::Rest => responses::respond(Some(api), kind, mechanism, variables),
            Flavour::Http => http_api_refusal(kind),
        };
        let mut context = None;
        if let Some((authorizer, native)) = route.authorizer.as_ref().and_then(|a| Some((a, a.native.as_ref()?))) {
            match self.ask_natively(route, authorizer, native, &incoming).await {
                Ok(claims) => {
                    let claims = if api.flavour == Flavour::Http { native::as_texts(claims) } else { claims };
                    context = Some(Map::from_iter([("claims".to_owned(), Value::Object(claims))]));
                }
                Err((kind, challenge)) => {
                    let scope = Refusal::InsufficientScope;
                    variables.authorizer = Map::from_iter([
                        ("code".to_owned(), scope.code().into()),
                        ("error".to_owned(), scope.error().into()),
                        ("reason".to_owned(), scope.description().into()),
                    ]);
                    let mut response = refuse(kind, &variables);
                    if let Some(Ok(challenge)) = challenge.map(|text| text.parse()) {
                        response.headers_mut().insert(http::header::WWW_AUTHENTICATE, challenge);
                    }
                    return response;
                }
            }
        } else if let Some(authorizer) = &route.authorizer {
            let output = match self.ask(api, route, authorizer, parameters, &incoming, &arn).await {
                Asked::Output(output) => output,
                Asked::Instead(kind) => return refuse(kind, &variables),
            };
            let checked = check_output(&output, authorizer, &arn, api.flavour);
            let (effect, given) = match checked {
                Ok(checked) => checked,
                Err(what) => {
                    self.log.warn(&format!("authorizer {}: {what}", authorizer.name));
                    return refuse(Kind::AuthorizerConfiguration, &variables);
                }
            };
            variables.authorizer.clone_from(&given);
            match effect {
                Effect::Allow => {}
                Effect::ExplicitDeny => return refuse(Kind::AccessDenied { explicit: true }, &variables),
                Effect::NoMatch => return refuse(Kind::AccessDenied { explicit: false }, &variables),
            }
            let key = output.get("usageIdentifierKey").and_then(Value::as_str);
            let rate = match key {
                Some(key) => self.rate_of(key).await,
                None => None,
            };
            if let Some((kind, wait)) = key.zip(rate).and_then(|(key, rate)| self.meter(key, rate)) {
                variables.retry_after_seconds = wait;
                self.note(&incoming, Some(route), "gateway", &Reason::new(Refusal::RateLimited, "over the usage plan"));
                return refuse(kind, &variables);
            }
            context = Some(given);
        }
        if let Err((kind, what)) = validate(route, &incoming) {
            self.note(&incoming, Some(route), "gateway", &Reason::new(Refusal::InvalidRequest, what));
            return refuse(kind, &variables);
        }
        let request = match api.flavour {
            Flavour::Rest => incoming.lambda_request_v1(&api.id, route, context, parameters),
            Flavour::Http => incoming.lambda_request_v2(&api.id, context, parameters),
        };
        let Some(request) = request else { return plain(400, "Bad Request") };
        let id = &incoming.request_id;
        let mut response = match route.is_admin {
            true => admin::handle(&self.desk(), &self.log, request, id).await,
            false => {
                let guard = whoami::Guard::BehindAuthorizer;
                whoami::handle(&self.gate, guard, &self.log.refusals_only(), request, id).await
            }
        };
        if api.flavour == Flavour::Rest
            && let Some(challenge) = response.headers_mut().remove(http::header::WWW_AUTHENTICATE)
        {
            // API Gateway renames it in every answer of a proxy integration.
            response.headers_mut().insert("x-amzn-remapped-www-authenticate", challenge);
        }
        response
    }

    /// Asks a native JWT authorizer: the claims, or what is answered, with its challenge.
    async fn ask_natively(
        &self,
        route: &Route,
        authorizer: &Authorizer,
        native: &Native,
        incoming: &Incoming,
    ) -> Result<Map<String, Value>, (Kind, Option<String>)> {
        let now = clock::now();
        let note = |refusal, why: &str| self.note(incoming, Some(route), "gateway", &Reason::new(refusal, why));
        let source = authorizer.sources.first().and_then(|source| incoming.identity(source, route));
        let Some(header) = source else {
            note(Refusal::MissingToken, "no Authorization header");
            return Err((Kind::Unauthorized, Some("Bearer".into())));
        };
        let Ok(keyring) = self.gate.keyring.get(now).await else { return Err((Kind::AuthorizerFailure, None)) };
        match native::judge(native, &header, route, &keyring, now) {
            Ok(claims) => Ok(claims),
            Err(native::Refused::Invalid(why)) => {
                note(Refusal::InvalidToken, why);
                let challenge = format!("Bearer scope=\"\" error=\"invalid_token\" error_description=\"{why}\"");
                Err((Kind::Unauthorized, Some(challenge)))
            }
            Err(native::Refused::Scope) => {
                note(Refusal::InsufficientScope, "none of the route's scopes");
                Err((Kind::AccessDenied { explicit: false }, None))
            }
        }
    }

    async fn ask(
        &self,
        api: &GatewayApi,
        route: &Route,
        authorizer: &Authorizer,
        parameters: &PathParameters,
        incoming: &Incoming,
        arn: &str,
    ) -> Asked {
        let mut identity = Vec::new();
        for source in &authorizer.sources {
            match incoming.identity(source, route) {
                Some(value) => identity.push(value),
                None => {
                    let (refusal, why) = match authorizer.mechanism {
                        Mechanism::ApiKey => (Refusal::InvalidApiKey, "no ApiKey header"),
                        _ => (Refusal::MissingToken, "no Authorization header"),
                    };
                    let why = match source {
                        IdentitySource::Header(name)
                            if ["authorization", "apikey"].contains(&name.to_ascii_lowercase().as_str()) =>
                        {
                            why
                        }
                        _ => "an identity source is missing",
                    };
                    self.note(incoming, Some(route), "gateway", &Reason::new(refusal, why));
                    return Asked::Instead(Kind::Unauthorized);
                }
            }
        }
        let token = (authorizer.payload == Payload::Token).then(|| identity.first().cloned().unwrap_or_default());
        if let (Some(expression), Some(token)) = (&authorizer.validation, &token)
            && !expression.is_match(token)
        {
            let reason = Reason::new(Refusal::InvalidToken, "does not match identityValidationExpression");
            self.note(incoming, Some(route), "gateway", &reason);
            return Asked::Instead(Kind::Unauthorized);
        }
        // API, authorizer and identity; never the path, which is why a policy must fit every path.
        let key: Vec<String> = [api.id.clone(), authorizer.name.clone()].into_iter().chain(identity).collect();
        let now = clock::now();
        if let Some(output) = self.kept_for(&key, authorizer.ttl_seconds, now) {
            return Asked::Output(output);
        }
        let identity = key.get(2..).unwrap_or_default();
        let event = incoming.authorizer_event(&api.id, route, authorizer, parameters, identity);
        let http_api_response = match authorizer.payload {
            Payload::V2 { simple: true } => HttpApiResponse::Simple,
            _ => HttpApiResponse::Policy,
        };
        let settings = Settings { http_api_response, ..self.settings.clone() };
        let id = &incoming.request_id;
        let result = match authorizer.mechanism {
            Mechanism::ApiKey => api_key_authorizer::handle(&self.gate, &settings, &self.log, &event, id).await,
            _ => jwt_authorizer::handle(&self.gate, &settings, &self.log, &event, id).await,
        };
        match result {
            Ok(reply) => {
                let output = reply.to_value();
                self.keep(key, authorizer, &output, arn, now);
                Asked::Output(output)
            }
            Err(failure) if failure.to_string() == "Unauthorized" => Asked::Instead(Kind::Unauthorized),
            Err(_) => Asked::Instead(Kind::AuthorizerFailure),
        }
    }

    fn kept_for(&self, key: &[String], ttl_seconds: i64, now: Timestamp) -> Option<Value> {
        let kept = self.kept.lock().ok()?;
        let (at, output) = kept.get(key)?;
        (0..ttl_seconds).contains(&now.since(*at)).then(|| output.clone())
    }

    fn keep(&self, key: Vec<String>, authorizer: &Authorizer, output: &Value, arn: &str, now: Timestamp) {
        let resources = output.get("policyDocument").map(policy::resources).unwrap_or_default();
        if let Some(long) = resources.iter().find(|r| r.len() > MOST_RESOURCE_BYTES) {
            self.log.warn(&format!(
                "authorizer {}: a resource of {} characters; 512 is the most",
                authorizer.name,
                long.len()
            ));
        }
        if authorizer.ttl_seconds == 0 {
            return;
        }
        if resources.len() == 1 && resources.first().is_some_and(|r| r == arn) {
            self.log.warn(&format!(
                "authorizer {}: its policy names this request alone, but is kept {} s: the next route will be refused",
                authorizer.name, authorizer.ttl_seconds
            ));
        }
        if let Ok(mut kept) = self.kept.lock() {
            if kept.len() >= MOST_KEPT {
                kept.clear();
            }
            kept.insert(key, (now, output.clone()));
        }
    }

    /// The usage plan of a key: what the client's record says now, as an administrator may have changed it.
    async fn rate_of(&self, key: &str) -> Option<Rate> {
        let client = key.strip_prefix(USAGE_KEY).and_then(|id| id.parse().ok());
        let wanted = Wanted { client: client.as_ref(), ..Wanted::default() };
        let fetched = self.gate.store.fetch(wanted, clock::now()).await.ok();
        let record = fetched.and_then(|fetched| fetched.facts.client).filter(|_| client.is_some());
        record.map_or_else(|| self.plans.get(key).copied(), |client| client.rate)
    }

    /// Takes a request from a usage plan; `None` if there is one left.
    fn meter(&self, key: &str, rate: Rate) -> Option<(Kind, u64)> {
        let mut buckets = self.buckets.lock().ok()?;
        let (started, now) = (clock::start(), clock::now());
        let day = now.0.div_euclid(86_400);
        let per_second = rate.per_second.map(f64::from);
        let burst = rate.burst.or(rate.per_second).map_or(1.0, f64::from).max(1.0);
        let bucket =
            buckets.entry(key.to_owned()).or_insert(Bucket { tokens: burst, filled_at: started, day, used_today: 0 });
        if bucket.day != day {
            (bucket.day, bucket.used_today) = (day, 0);
        }
        if let Some(per_second) = per_second {
            let elapsed = started.saturating_duration_since(bucket.filled_at).as_secs_f64();
            bucket.tokens = (bucket.tokens + elapsed * per_second).min(burst);
            bucket.filled_at = started;
            if bucket.tokens < 1.0 {
                let wait = if per_second > 0.0 { ((1.0 - bucket.tokens) / per_second).ceil() } else { 3600.0 };
                return Some((Kind::Throttled, wait as u64));
            }
        }
        if rate.per_day.is_some_and(|most| bucket.used_today >= most) {
            let wait = 86_400 - now.0.rem_euclid(86_400);
            return Some((Kind::QuotaExceeded, u64::try_from(wait).unwrap_or(86_400)));
        }
        if per_second.is_some() {
            bucket.tokens -= 1.0;
        }
        bucket.used_today = bucket.used_today.saturating_add(1);
        None
    }

    /// A line for what the gateway refused by itself.
    fn note(&self, incoming: &Incoming, route: Option<&Route>, kind: &'static str, reason: &Reason) {
        let mut line = AuditLine::new(kind, clock::now(), &incoming.request_id);
        line.method = Some(auth_core::audit::cut(&incoming.method));
        line.route = route.map(|r| r.operation.path.to_string());
        line.refused(reason);
        self.log.write(line);
    }
}

/// What an authorizer's output means for one request, and the context to hand on.
fn check_output(
    output: &Value,
    authorizer: &Authorizer,
    arn: &str,
    flavour: Flavour,
) -> Result<(Effect, Map<String, Value>), String> {
    let output = output.as_object().ok_or("the answer is not an object")?;
    let empty = Map::new();
    let context = match output.get("context") {
        None | Some(Value::Null) => &empty,
        Some(Value::Object(context)) => context,
        Some(_) => return Err("context is not an object".into()),
    };
    if authorizer.payload == (Payload::V2 { simple: true }) {
        let allowed = output.get("isAuthorized").and_then(Value::as_bool).ok_or("isAuthorized is not true or false")?;
        return Ok((if allowed { Effect::Allow } else { Effect::NoMatch }, context.clone()));
    }
    let document = output.get("policyDocument").filter(|d| d.is_object()).ok_or("no policyDocument")?;
    let effect = policy::evaluate(document, arn)?;
    let mut given = Map::new();
    for (name, value) in context {
        let value = match value {
            Value::String(text) => text.clone().into(),
            // A REST API hands numbers and booleans on as texts.
            Value::Number(_) | Value::Bool(_) if flavour == Flavour::Rest => value.to_string().into(),
            Value::Number(_) | Value::Bool(_) => value.clone(),
            _ => return Err(format!("context.{name} is neither text, number nor boolean")),
        };
        given.insert(name.clone(), value);
    }
    if let Some(principal) = output.get("principalId").and_then(Value::as_str) {
        given.insert("principalId".into(), principal.into());
    }
    Ok((effect, given))
}

fn validate(route: &Route, incoming: &Incoming) -> Result<(), (Kind, &'static str)> {
    let missing = route.required.iter().any(|(place, name)| match place.as_str() {
        "header" => incoming.header_values(name).is_empty(),
        "query" => !incoming.query.iter().any(|(n, _)| n == name),
        _ => false,
    });
    if missing {
        return Err((Kind::BadRequestParameters, "a required parameter is missing"));
    }
    if route.bodies.is_empty() {
        return Ok(());
    }
    // API Gateway validates a body by the model of its media type, and one without a media type as JSON. A body of a
    // type without a model is not validated: the backend must refuse it.
    let media_type = incoming.media_type().unwrap_or_else(|| "application/json".into());
    let Some((_, validator)) = route.bodies.iter().find(|(model, _)| *model == media_type) else { return Ok(()) };
    if incoming.body.is_empty() && !route.body_required {
        return Ok(());
    }
    match auth_core::json::parse(&incoming.body) {
        Ok(body) if validator.is_valid(&body) => Ok(()),
        _ => Err((Kind::BadRequestBody, "the body does not meet the API's schema")),
    }
}

/// An HTTP API has fixed answers.
fn http_api_refusal(kind: Kind) -> Response<String> {
    match kind {
        Kind::Unauthorized => plain(401, "Unauthorized"),
        Kind::AccessDenied { .. } => plain(403, "Forbidden"),
        Kind::Throttled | Kind::QuotaExceeded => plain(429, "Too Many Requests"),
        Kind::BadRequestBody | Kind::BadRequestParameters => plain(400, "Bad Request"),
        Kind::MissingAuthenticationToken => plain(404, "Not Found"),
        Kind::AuthorizerFailure | Kind::AuthorizerConfiguration => plain(500, "Internal Server Error"),
    }
}

fn plain(status: u16, message: &str) -> Response<String> {
    let mut response = Response::new(json!({ "message": message }).to_string());
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
    response
}

fn body_of(text: String) -> Full<Bytes> {
    Full::new(Bytes::from(text))
}
