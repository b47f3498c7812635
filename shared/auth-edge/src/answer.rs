//! What an authorizer answers, in the form that the gateway wants.

use crate::arn::{MAX_RESOURCE, MethodArn};
use crate::event::{AuthorizerEvent, GRAPHQL_PATH, Shape};
use auth_core::api::{Matched, Operation};
use auth_core::decision::{Access, Rights, Verdict, may_call};
use auth_core::ids::glob;
use auth_core::policy::{Breadth, Route, Routes, known_routes};
use auth_core::refusal::{Reason, Refusal};
use auth_core::secret::{base64url, fingerprint};
use auth_core::settings::HttpApiResponse;
use serde::Serialize;
use serde_json::{Map, Value, json};

/// A policy of more bytes is made anew for the requested API alone; and one of more than the most, for the requested
/// route alone. No limit of a REST authorizer's answer is documented; 8 KiB is that of a WebSocket's.
const MANY_BYTES: usize = 4096;
const MOST_BYTES: usize = 8192;

/// No pattern is shorter, with the ARN of its stage before it: more of them than fit are not even compared.
const SHORTEST_PATTERN: usize = 60;

/// What an authorizer answers.
#[derive(Debug)]
pub enum Answer {
    /// A policy or a simple answer.
    Json(Reply),
    /// The error `Unauthorized`, in exactly that spelling: 401.
    Unauthorized,
}

/// An answer's JSON. It is written once, by the runtime.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Reply {
    /// What REST, WebSocket, and some HTTP APIs take.
    Policy(PolicyReply),
    /// What others take.
    Other(Value),
}

impl Reply {
    /// The JSON, to look at.
    pub fn to_value(&self) -> Value {
        serde_json::to_value(self).unwrap_or_default()
    }
}

/// A policy, and what a backend is told.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PolicyReply {
    principal_id: String,
    policy_document: Policy,
    context: Map<String, Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    usage_identifier_key: Option<String>,
}

/// Writes the answer.
pub fn answer(event: &AuthorizerEvent, verdict: &Verdict, http_api: HttpApiResponse) -> Answer {
    let Some(arn) = &event.arn else { return Answer::Json(Reply::Other(graphql(event, verdict))) };
    let refused = verdict.access.as_ref().err();
    let is_http = matches!(event.shape, Shape::Http1 | Shape::Http2);
    if refused.is_some_and(Reason::is_unauthorized) && !is_http {
        return Answer::Unauthorized;
    }
    let context = context(verdict);
    if event.shape == Shape::Http2 && http_api == HttpApiResponse::Simple {
        return Answer::Json(Reply::Other(json!({"isAuthorized": verdict.access.is_ok(), "context": context})));
    }
    let rights = verdict.rights();
    let policy = match (rights, verdict.matched(&event.request)) {
        (Some(rights), Some(matched)) => policy(arn, event, verdict, rights, &matched),
        (Some(_), None) => policy_of(arn, &Routes::default(), false),
        (None, _) => Policy::new(vec![arn.everything()], Vec::new()),
    };
    let principal = rights.map(Rights::principal).filter(|p| !p.is_empty());
    let is_rest = matches!(event.shape, Shape::RestToken | Shape::RestRequest);
    let metered = verdict.access.as_ref().ok().map(Access::rights).filter(|rights| is_rest && rights.rate().is_some());
    Answer::Json(Reply::Policy(PolicyReply {
        principal_id: principal.unwrap_or_else(|| "unknown".into()),
        policy_document: policy,
        context,
        usage_identifier_key: metered.and_then(Rights::client_id).map(|client| usage_key(client.as_str())),
    }))
}

/// How the gateway API key of a client begins.
pub const USAGE_KEY: &str = "countersign-client-";

/// The value of the gateway API key that meters a client: API Gateway wants 20 to 128 characters.
pub fn usage_key(client_id: &str) -> String {
    let key = format!("{USAGE_KEY}{client_id}");
    if key.len() <= 128 { key } else { format!("{USAGE_KEY}{}", fingerprint(client_id)) }
}

/// An IAM policy.
#[derive(Debug, Serialize)]
struct Policy {
    #[serde(rename = "Version")]
    version: &'static str,
    #[serde(rename = "Statement")]
    statements: Vec<Statement>,
}

#[derive(Debug, Serialize)]
struct Statement {
    #[serde(rename = "Action")]
    action: &'static str,
    #[serde(rename = "Effect")]
    effect: &'static str,
    #[serde(rename = "Resource")]
    resources: Vec<String>,
}

impl Policy {
    fn new(deny: Vec<String>, allow: Vec<String>) -> Self {
        let statement = |(effect, resources): (_, Vec<String>)| {
            (!resources.is_empty()).then_some(Statement { action: "execute-api:Invoke", effect, resources })
        };
        let statements = [("Deny", deny), ("Allow", allow)].into_iter().filter_map(statement).collect();
        Self { version: "2012-10-17", statements }
    }

    /// About so many bytes as JSON: resources with their quotes and commas, and what stands around them.
    fn bytes(&self) -> usize {
        let resources = self.statements.iter().flat_map(|statement| &statement.resources);
        resources.map(|resource| resource.len() + 3).sum::<usize>() + 80 * self.statements.len() + 50
    }
}

/// What AppSync wants. It knows one refusal for a whole request; of the fields that the API's document names, it answers
/// those with null that the credential may not have. Nothing is kept: what was revoked counts on the next request.
fn graphql(event: &AuthorizerEvent, verdict: &Verdict) -> Value {
    let text = |value: Value| if value.is_string() { value } else { value.to_string().into() };
    let context: Map<String, Value> = context(verdict).into_iter().map(|(name, value)| (name, text(value))).collect();
    let (access, matched) = (verdict.access.as_ref(), verdict.matched(&event.request));
    let denied: Vec<String> = match (access, matched) {
        (Ok(access), Some(Matched { api, .. })) => {
            let is_denied = |operation: &&Operation| !may_call(access.rights(), api, operation, &event.request);
            api.operations.iter().filter(is_denied).filter_map(|o| field(&o.path.to_string())).collect()
        }
        _ => Vec::new(),
    };
    json!({"isAuthorized": access.is_ok(), "resolverContext": context, "deniedFields": denied, "ttlOverride": 0})
}

/// The field that a path of the document stands for, as `Type.field`.
fn field(path: &str) -> Option<String> {
    let (kind, field) = path.strip_prefix(GRAPHQL_PATH)?.strip_prefix('/')?.split_once('/')?;
    (!field.contains('/')).then(|| format!("{kind}.{field}"))
}

fn policy(
    arn: &MethodArn,
    event: &AuthorizerEvent,
    verdict: &Verdict,
    rights: &Rights,
    matched: &Matched<'_>,
) -> Policy {
    let allowed = verdict.access.is_ok();
    for (breadth, most_bytes) in [(Breadth::Gateway, MANY_BYTES), (Breadth::Api, MOST_BYTES)] {
        let most_patterns = most_bytes / SHORTEST_PATTERN;
        let Some(routes) = known_routes(rights, &verdict.catalog, matched, &event.request, breadth, most_patterns)
        else {
            continue;
        };
        let policy = policy_of(arn, &routes, allowed);
        if policy.bytes() <= most_bytes {
            return policy;
        }
    }
    policy_of(arn, &Routes::default(), allowed)
}

fn policy_of(arn: &MethodArn, routes: &Routes, allowed: bool) -> Policy {
    let resources =
        |routes: &[Route]| -> Vec<String> { routes.iter().map(|r| arn.resource(&r.method, &r.path)).collect() };
    let (mut deny, mut allow) = (resources(&routes.deny), resources(&routes.allow));
    if deny.iter().any(|resource| resource.len() > MAX_RESOURCE) {
        // What cannot be denied must not be allowed by a wider pattern either.
        (deny, allow) = (Vec::new(), Vec::new());
    }
    allow.retain(|resource| resource.len() <= MAX_RESOURCE);
    let this = arn.to_string();
    if allowed {
        if !allow.iter().any(|pattern| glob(pattern, &this)) {
            allow.extend(arn.exact());
        }
    } else {
        // A path that would be taken for a pattern closes the whole stage to the credential instead.
        deny.insert(0, arn.exact().unwrap_or_else(|| arn.everything()));
    }
    if deny.is_empty() && allow.is_empty() {
        // A gateway takes no policy that says nothing.
        deny.push(arn.everything());
    }
    Policy::new(deny, allow)
}

/// The context: flat. `code`, `error` and `reason` hold nothing that a gateway template, which does not escape, would
/// stumble over; templates should use no other member.
fn context(verdict: &Verdict) -> Map<String, Value> {
    let refused = verdict.access.as_ref().err();
    let known = verdict.rights().filter(|_| !refused.is_some_and(Reason::is_unauthorized));
    let mut context = known.map(rights_context).unwrap_or_default();
    // On an allowed answer they are for a later request that the cached policy does not allow.
    let (refusal, reason) = match refused {
        Some(reason) => (reason.refusal, reason.description()),
        None => (Refusal::EndpointNotAssigned, Refusal::EndpointNotAssigned.description().to_owned()),
    };
    context.insert("code".into(), refusal.code().into());
    context.insert("error".into(), refusal.error().into());
    context.insert("reason".into(), template_safe(&reason).into());
    context
}

/// What a backend is told of its caller: flat texts and numbers.
pub fn rights_context(rights: &Rights) -> Map<String, Value> {
    let mut context = Map::new();
    let mut put = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            context.insert(name.to_owned(), value);
        }
    };
    fn join<'a>(words: impl Iterator<Item = &'a str>) -> Option<Value> {
        Some(words.collect::<Vec<_>>().join(" ").into())
    }
    put("principalId", Some(rights.principal().into()));
    put("client_id", rights.client_id().map(|v| v.as_str().into()));
    put("tenant", rights.tenant().map(|v| v.as_str().into()));
    put("scope", join(rights.scopes().iter().map(|v| v.as_str())));
    put("roles", join(rights.roles().iter().map(|v| v.as_str())));
    put("suppliers", join(rights.suppliers().iter().map(|v| v.as_str())));
    put("skus", join(rights.shown_skus().iter().map(|v| v.as_str())));
    // Base64url: a gateway stumbles over JSON inside of a context that it keeps.
    let details = Some(rights.details()).filter(|details| !details.is_empty());
    put("authorization_details", details.map(|d| base64url(d.to_text().as_bytes()).into()));
    put("customer_id", rights.customer_id().map(|v| v.as_str().into()));
    put("user_login", rights.user_login().map(|v| v.as_str().into()));
    put("jti", rights.jti().map(|v| v.as_str().into()));
    put("exp", rights.expires_at().map(|v| v.0.into()));
    put("environment", Some(rights.environment().as_str().into()));
    context
}

/// Text without what a template that substitutes without escaping would break on.
fn template_safe(text: &str) -> String {
    text.chars().filter(|c| !matches!(c, '"' | '\\' | '$') && !c.is_control()).collect()
}
