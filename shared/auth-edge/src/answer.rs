//! What an authorizer answers, in the form that the gateway wants.

use crate::arn::MethodArn;
use crate::event::{AuthorizerEvent, GRAPHQL_PATH, Shape};
use auth_core::api::{Matched, Operation};
use auth_core::decision::{Access, Rights, Verdict, may_call};
use auth_core::ids::{ClientId, CustomerId, Jti, TenantId, UserLogin};
use auth_core::policy::{Breadth, Statement, Statements, known_statements};
use auth_core::refusal::{Reason, Refusal};
use auth_core::secret::{base64url, fingerprint};
use auth_core::settings::HttpApiResponse;
use serde::Serialize;
use serde::ser::{SerializeMap as _, SerializeSeq as _, SerializeStruct as _, Serializer};
use serde_json::{Map, Value, json};
use std::borrow::{Borrow, Cow};
use std::fmt;
use std::sync::Arc;

/// A policy of more bytes is made anew for the requested API alone; and one of more than the most, for the requested
/// route alone. No limit of a REST authorizer's answer is documented; 8 KiB is that of a WebSocket's.
const MANY_BYTES: usize = 4096;
const MOST_BYTES: usize = 8192;

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
    /// What an HTTP API takes that wants no policy.
    #[serde(rename_all = "camelCase")]
    Simple {
        /// Whether the request goes on.
        is_authorized: bool,
        /// What a backend is told.
        context: Context,
    },
    /// What AppSync takes.
    GraphQl(Value),
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
    context: Context,
    #[serde(skip_serializing_if = "Option::is_none")]
    usage_identifier_key: Option<String>,
}

/// Writes the answer.
pub fn answer(event: &AuthorizerEvent, verdict: &Verdict, http_api: HttpApiResponse) -> Answer {
    let Some(arn) = &event.arn else { return Answer::Json(Reply::GraphQl(graphql(event, verdict))) };
    let refused = verdict.access.as_ref().err();
    let is_http = matches!(event.shape, Shape::Http1 | Shape::Http2);
    if refused.is_some_and(Reason::is_unauthorized) && !is_http {
        return Answer::Unauthorized;
    }
    let context = Context::of(verdict);
    if event.shape == Shape::Http2 && http_api == HttpApiResponse::Simple {
        return Answer::Json(Reply::Simple { is_authorized: verdict.access.is_ok(), context });
    }
    let rights = verdict.rights.as_deref();
    let policy = match (rights, &verdict.matched) {
        (Some(rights), Some(matched)) => policy(arn, event, verdict, rights, matched),
        (Some(_), None) => Policy::new(arn, Arc::default(), false),
        (None, _) => Policy::nothing(arn),
    };
    let principal = rights.map(Rights::principal).filter(|p| !p.is_empty());
    let is_rest = matches!(event.shape, Shape::RestToken | Shape::RestRequest);
    let metered = verdict.access.as_ref().ok().map(Access::rights).filter(|rights| is_rest && rights.rate().is_some());
    Answer::Json(Reply::Policy(PolicyReply {
        principal_id: principal.unwrap_or("unknown").to_owned(),
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

/// An IAM policy: what is said of the request at hand alone, and what is known of the credential.
#[derive(Debug)]
struct Policy {
    own: Option<Statement>,
    known: Arc<Statements>,
}

impl Serialize for Policy {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut policy = serializer.serialize_struct("Policy", 2)?;
        policy.serialize_field("Version", "2012-10-17")?;
        policy.serialize_field("Statement", &All(self))?;
        policy.end()
    }
}

struct All<'a>(&'a Policy);

impl Serialize for All<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Policy { own, known } = self.0;
        let mut all = serializer.serialize_seq(Some(usize::from(own.is_some()) + known.json().len()))?;
        if let Some(own) = own {
            all.serialize_element(own)?;
        }
        for statement in known.json() {
            all.serialize_element(statement)?;
        }
        all.end()
    }
}

impl Policy {
    /// That denies everything of the stage.
    fn nothing(arn: &MethodArn) -> Self {
        Self { own: Some(Statement::new("Deny", arn.everything())), known: Arc::default() }
    }

    fn new(arn: &MethodArn, known: Arc<Statements>, allowed: bool) -> Self {
        let own = match allowed {
            true if known.allow(&arn.method, &arn.path) => None,
            true => arn.exact().map(|this| Statement::new("Allow", this)),
            // A path that would be taken for a pattern closes the whole stage to the credential instead.
            false => Some(Statement::new("Deny", arn.exact().unwrap_or_else(|| arn.everything()))),
        };
        if own.is_none() && known.json().is_empty() {
            // A gateway takes no policy that says nothing.
            return Self::nothing(arn);
        }
        Self { own, known }
    }

    /// About so many bytes as JSON.
    fn bytes(&self) -> usize {
        let known = self.known.json().iter().map(|statement| statement.get().len()).sum::<usize>();
        known + self.own.as_ref().map_or(0, Statement::bytes)
    }
}

/// What AppSync wants. It knows one refusal for a whole request; of the fields that the API's document names, it answers
/// those with null that the credential may not have. Nothing is kept: what was revoked counts on the next request.
fn graphql(event: &AuthorizerEvent, verdict: &Verdict) -> Value {
    let text = |value: Value| if value.is_string() { value } else { value.to_string().into() };
    let context: Map<String, Value> =
        members(&Context::of(verdict)).into_iter().map(|(name, value)| (name, text(value))).collect();
    let (access, matched) = (verdict.access.as_ref(), &verdict.matched);
    let denied: Vec<String> = match (access, matched) {
        (Ok(access), Some(Matched { api, .. })) => {
            let is_denied = |operation: &&Arc<Operation>| !may_call(access.rights(), api, operation, &event.request);
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

fn policy(arn: &MethodArn, event: &AuthorizerEvent, verdict: &Verdict, rights: &Rights, matched: &Matched) -> Policy {
    let allowed = verdict.access.is_ok();
    for (breadth, most_bytes) in [(Breadth::Gateway, MANY_BYTES), (Breadth::Api, MOST_BYTES)] {
        let (catalog, request) = (&verdict.catalog, &event.request);
        let Some(known) = known_statements(rights, catalog, matched, request, (breadth, most_bytes), arn.stage())
        else {
            continue;
        };
        let policy = Policy::new(arn, known, allowed);
        if policy.bytes() <= most_bytes {
            return policy;
        }
    }
    Policy::new(arn, Arc::default(), allowed)
}

/// The context: flat texts and numbers. `code`, `error` and `reason` hold nothing that a gateway template, which does not
/// escape, would stumble over; templates should use no other member.
#[derive(Debug, Serialize)]
pub struct Context {
    #[serde(flatten)]
    rights: Option<Told<Arc<Rights>>>,
    code: i32,
    error: &'static str,
    reason: Cow<'static, str>,
}

impl Context {
    fn of(verdict: &Verdict) -> Self {
        let refused = verdict.access.as_ref().err();
        let rights = verdict.rights.as_ref().filter(|_| !refused.is_some_and(Reason::is_unauthorized)).cloned();
        // On an allowed answer they are for a later request that the cached policy does not allow.
        let (refusal, reason) = match refused {
            Some(reason) => (reason.refusal, reason.description()),
            None => (Refusal::EndpointNotAssigned, Refusal::EndpointNotAssigned.description().into()),
        };
        let rights = rights.map(Told);
        Self { rights, code: refusal.code(), error: refusal.error(), reason: template_safe(reason) }
    }
}

/// What a backend is told of its caller: flat texts and numbers.
pub fn rights_context(rights: &Rights) -> Map<String, Value> {
    members(&Told(rights))
}

/// Rights, as a backend is told of them.
#[derive(Debug)]
struct Told<R>(R);

impl<R: Borrow<Rights>> Serialize for Told<R> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let rights = self.0.borrow();
        let mut context = serializer.serialize_map(None)?;
        context.serialize_entry("principalId", rights.principal())?;
        context.serialize_entry("scope", &Words(rights.scopes()))?;
        context.serialize_entry("roles", &Words(rights.roles()))?;
        context.serialize_entry("suppliers", &Words(rights.suppliers()))?;
        context.serialize_entry("skus", &Words(&*rights.shown_skus()))?;
        context.serialize_entry("environment", rights.environment().as_str())?;
        // Base64url: a gateway stumbles over JSON inside of a context that it keeps.
        let details = Some(rights.details()).filter(|details| !details.is_empty());
        let details = details.map(|details| base64url(details.to_text().as_bytes()));
        for (name, text) in [
            ("client_id", rights.client_id().map(ClientId::as_str)),
            ("tenant", rights.tenant().map(TenantId::as_str)),
            ("authorization_details", details.as_deref()),
            ("customer_id", rights.customer_id().map(CustomerId::as_str)),
            ("user_login", rights.user_login().map(UserLogin::as_str)),
            ("jti", rights.jti().map(Jti::as_str)),
        ] {
            if let Some(text) = text {
                context.serialize_entry(name, text)?;
            }
        }
        if let Some(time) = rights.expires_at() {
            context.serialize_entry("exp", &time.0)?;
        }
        context.end()
    }
}

/// Words, divided by spaces.
struct Words<T>(T);

impl<'a, T, W> Serialize for Words<&'a T>
where
    T: ?Sized,
    &'a T: IntoIterator<Item = &'a W>,
    W: fmt::Display + 'a,
{
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'a, T, W> fmt::Display for Words<&'a T>
where
    T: ?Sized,
    &'a T: IntoIterator<Item = &'a W>,
    W: fmt::Display + 'a,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.into_iter().enumerate().try_for_each(|(index, word)| match index {
            0 => word.fmt(f),
            _ => write!(f, " {word}"),
        })
    }
}

fn members(flat: &impl Serialize) -> Map<String, Value> {
    match serde_json::to_value(flat) {
        Ok(Value::Object(members)) => members,
        _ => Map::new(),
    }
}

/// Text without what a template that substitutes without escaping would break on.
fn template_safe(text: Cow<'static, str>) -> Cow<'static, str> {
    let breaks = |c: char| matches!(c, '"' | '\\' | '$') || c.is_control();
    if text.contains(breaks) { text.replace(breaks, "").into() } else { text }
}
