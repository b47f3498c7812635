//! The admin API: JSON over REST. `/admin/...` stands behind the JWT authorizer, whose context the guard here trusts and
//! nothing else; `/self...` is for the holder of a credential, who proves that with the credential itself.

mod answer;
mod holder;

use answer::{Problem, answer, problem_response};
use auth_core::admin::command::Command;
use auth_core::admin::operations::{OPERATIONS, Operation, Reach};
use auth_core::admin::{Actor, Authority};
use auth_core::api::{Found, PathParameters, PathTemplate};
use auth_core::ids::TenantId;
use auth_core::refusal::{Reason, Refusal};
use auth_core::secret::SecretText;
use auth_core::time::Timestamp;
use auth_edge::clock;
use auth_edge::guard::AuthorizerContext;
use auth_edge::http_request::{HttpRequest, read};
use auth_edge::report::{Report, Sink};
use auth_store::Fault;
use auth_store::aws::Aws;
use auth_store::gate::Gate;
use auth_store::office::{Given, Office, Once};
use http::Response;
use lambda_http::request::LambdaRequest;
use serde_json::{Map, Value};
use std::path::PathBuf;

/// Where the holder of a credential manages it.
pub const SELF_PATH: &str = "/self";

/// The longest name of a request, in characters.
const LONGEST_NAME: usize = 255;

/// Bodies are small but for API descriptions.
const MOST_BODY_BYTES: usize = 1024 * 1024;

/// What administration stands on.
#[derive(Debug)]
pub struct Desk<'a> {
    /// Table and keyring.
    pub gate: &'a Gate,
    /// For the secret itself.
    pub aws: &'a Aws,
    /// Passwords that customers may not choose, one a line.
    pub breached_passwords: Option<PathBuf>,
}

/// Why a request is not answered as it wishes.
enum Stop {
    Problem(Problem),
    Broken(Fault),
}

impl From<Problem> for Stop {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

impl From<Reason> for Stop {
    fn from(reason: Reason) -> Self {
        Self::Problem(Problem::from(reason))
    }
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        Self::Broken(fault)
    }
}

/// Answers one request. `own_id` is the function's request id.
pub async fn handle(desk: &Desk<'_>, sink: &dyn Sink, event: LambdaRequest, own_id: &str) -> Response<String> {
    let now = clock::now();
    let http = read(event, own_id);
    let request_id = http.as_ref().map_or(own_id, |http| &http.request_id).to_owned();
    let mut report = Report::begin("admin", now, &request_id);
    let result = match &http {
        Some(http) => {
            report.caller(http.source_ip.as_deref(), http.user_agent.as_deref());
            report.line.method = Some(auth_core::audit::cut(&http.request.method));
            route(desk, http, now, &mut report).await
        }
        None => Err(Problem::invalid("The request cannot be read.").into()),
    };
    let response = match result {
        Ok(response) => {
            report.line.outcome = auth_core::audit::Outcome::Allowed;
            response
        }
        Err(Stop::Problem(problem)) => {
            report.line.refused(&problem.reason());
            report.line.error = Some(problem.error);
            problem_response(&problem, &request_id)
        }
        Err(Stop::Broken(fault)) => {
            report.broken(&fault);
            problem_response(&Problem::unavailable(), &request_id)
        }
    };
    report.end(sink);
    response
}

async fn route(
    desk: &Desk<'_>,
    http: &HttpRequest,
    now: Timestamp,
    report: &mut Report,
) -> Result<Response<String>, Stop> {
    let path = http.request.path.as_str();
    if path == SELF_PATH || path.starts_with("/self/") {
        return holder::route(desk, http, now, report).await;
    }
    let (operation, parameters) = find(OPERATIONS.iter().map(|o| (o.method, o.path, o)), http)?;
    report.line.route = Some(operation.path.to_owned());
    report.line.api = Some("admin".into());
    report.line.scope = Some(operation.scope.to_owned());
    let context = AuthorizerContext::read(http.authorizer.as_ref())?;
    report.line.client_id = said(&context, "client_id");
    report.line.tenant = said(&context, "tenant");
    report.line.user_login = said(&context, "user_login");
    report.line.jti = said(&context, "jti");
    let authority = guard(operation, &parameters, &context)?;
    let actor = Actor {
        authority,
        name: said(&context, "client_id").unwrap_or_default(),
        client_id: context.text("client_id").parse().ok(),
        scopes: Some(context.text("scope").split(' ').filter_map(|scope| scope.parse().ok()).collect()),
        on_behalf_of: said(&context, "user_login"),
        via: "api",
        request_id: http.request_id.clone(),
    };
    let fields = fields(http, &parameters, operation.reads())?;
    let given = given(operation.id, operation.creates(), http, &fields)?;
    execute(desk, actor, operation.command(), fields, given, now).await
}

/// Gives the command, and answers with what came of it.
async fn execute(
    desk: &Desk<'_>,
    actor: Actor,
    command: &str,
    fields: Map<String, Value>,
    given: Given,
    now: Timestamp,
) -> Result<Response<String>, Stop> {
    let command = match Command::read(command, Value::Object(fields)) {
        Some(Ok(command)) => command,
        Some(Err(text)) => return Err(Problem::invalid(text).into()),
        None => return Err(Fault(format!("no command {command}")).into()),
    };
    let office = Office::new(desk.gate, desk.aws, actor, now, desk.breached_passwords.clone());
    match office.execute(command, given).await? {
        Ok(done) => Ok(answer(&done)),
        Err(refused) => Err(Problem::from(refused).into()),
    }
}

fn said(context: &AuthorizerContext, name: &str) -> Option<String> {
    Some(context.text(name).to_owned()).filter(|text| !text.is_empty())
}

/// The operation of a request, and its path parameters with their escapes undone.
fn find<'a, T: 'a>(
    all: impl Iterator<Item = (&'a str, &'a str, T)>,
    http: &HttpRequest,
) -> Result<(T, PathParameters), Problem> {
    let mut allowed = false;
    let mut best: Option<(usize, T, PathParameters)> = None;
    for (method, path, operation) in all {
        let Ok(template) = PathTemplate::try_from(path.to_owned()) else { continue };
        let Some(parameters) = template.matches(&http.request.path) else { continue };
        if method != http.request.method {
            allowed = true;
        } else if best.as_ref().is_none_or(|(count, ..)| parameters.len() < *count) {
            // A word beats a parameter, as at the gateway.
            best = Some((parameters.len(), operation, parameters));
        }
    }
    match best {
        Some((_, operation, parameters)) => Ok((operation, decoded(parameters)?)),
        None if allowed => {
            Err(Problem::new(Refusal::InvalidRequest, "Another method is needed here.").with_status(405))
        }
        None => Err(Problem::new(Refusal::NotFound, "There is nothing here.")),
    }
}

fn decoded(parameters: PathParameters) -> Result<PathParameters, Problem> {
    let decode = |(name, value): (String, String)| {
        let text = percent_encoding::percent_decode_str(&value).decode_utf8();
        text.map(|text| (name, text.into_owned())).map_err(|_| Problem::invalid("The path is not UTF-8."))
    };
    parameters.into_iter().map(decode).collect()
}

/// The guard: what the authorizer let through is held once more against the operation, because a kept answer was made
/// for another request, and because a gateway may be set up wrongly.
fn guard(operation: &Operation, parameters: &PathParameters, context: &AuthorizerContext) -> Result<Authority, Reason> {
    let scopes = context.text("scope");
    if !scopes.split(' ').any(|scope| scope == operation.scope) {
        let why = format!("lacks {}", operation.scope);
        return Err(Reason { scope: operation.scope.parse().ok(), ..Reason::new(Refusal::InsufficientScope, why) });
    }
    let of_customer = !context.text("customer_id").is_empty() || context.text("token_use") == "customer";
    if of_customer || context.text("client_id").is_empty() {
        return Err(Reason::new(Refusal::WrongSubject, "not a client's credential"));
    }
    let own = context.text("tenant");
    if own.is_empty() {
        return Ok(Authority::Operator);
    }
    let not_granted = |why: &str| Err(Reason::new(Refusal::TenantNotGranted, why));
    let named = parameters.iter().find(|(name, _)| name == "tenant").map(|(_, value)| value.as_str());
    match (operation.reach, named) {
        (Reach::Operator, _) => not_granted("an operator's operation, and a tenant's credential"),
        (Reach::Tenant, Some(named)) if named == own => match own.parse::<TenantId>() {
            Ok(own) => Ok(Authority::Tenant(own)),
            Err(_) => not_granted("the tenant of the credential is no tenant"),
        },
        (Reach::Tenant, _) => not_granted("another tenant than that of the credential"),
    }
}

/// All that was asked for: path parameters, then the query of a reading request, or the body of another.
fn fields(http: &HttpRequest, parameters: &PathParameters, reads: bool) -> Result<Map<String, Value>, Problem> {
    let mut fields = Map::new();
    let mut put = |name: &str, value: Value| match fields.insert(name.to_owned(), value) {
        None => Ok(()),
        Some(_) => Err(Problem::invalid(format!("{}: is there twice", auth_core::audit::cut(name)))),
    };
    for (name, value) in parameters {
        put(name, value.as_str().into())?;
    }
    let body = http.body.as_deref().ok_or_else(|| Problem::invalid("The body cannot be read."))?;
    if body.len() > MOST_BODY_BYTES {
        return Err(Problem::invalid("The body is longer than 1 MiB.").with_status(413));
    }
    if reads && body.is_empty() {
        for (name, value) in http.request.query.iter().flatten() {
            put(name, value.as_str().into())?;
        }
    }
    if !body.is_empty() {
        let is_json = match http.request.header("content-type") {
            Found::One(value) => {
                let mut parts = value.split(';').map(|part| part.trim().to_ascii_lowercase());
                parts.next().is_some_and(|plain| plain == "application/json")
                    && parts.all(|part| !part.starts_with("charset=") || part.trim_matches('"').ends_with("utf-8"))
            }
            _ => false,
        };
        if !is_json {
            return Err(Problem::invalid("Send application/json.").with_status(415));
        }
        let body = auth_core::json::parse(body).map_err(|e| Problem::invalid(format!("The body is {e}.")))?;
        let Value::Object(body) = body else { return Err(Problem::invalid("The body is not an object.")) };
        for (name, value) in body {
            put(&name, value)?;
        }
    }
    Ok(fields)
}

/// The version and the name of a request.
fn given(operation: &str, creates: bool, http: &HttpRequest, fields: &Map<String, Value>) -> Result<Given, Problem> {
    let if_match = match http.request.header("if-match") {
        Found::One("*") => None,
        Found::Absent | Found::Unseen if !http.request.has_header("if-match") => None,
        Found::Absent | Found::Unseen => return Err(Problem::invalid("If-Match: an ETag that this API gave out")),
        Found::One(tag) => {
            let number = tag.strip_prefix('"').and_then(|t| t.strip_suffix('"')).and_then(|t| t.parse().ok());
            Some(number.ok_or_else(|| Problem::invalid("If-Match: an ETag that this API gave out"))?)
        }
        Found::Many => return Err(Problem::invalid("If-Match: one at most")),
    };
    let once = match http.request.header("idempotency-key") {
        Found::One(name) if (1..=LONGEST_NAME).contains(&name.chars().count()) => {
            // A fast digest of a request is kept, and a fast digest of a password is as good as the password.
            let mut fields = fields.clone();
            fields.remove("password");
            let request = SecretText::new(format!("{operation} {}", Value::Object(fields)));
            Some(Once { name: name.to_owned(), request })
        }
        Found::Absent | Found::Unseen if !http.request.has_header("idempotency-key") => None,
        _ => return Err(Problem::invalid("Idempotency-Key: 1 to 255 characters, once")),
    };
    Ok(Given { if_match, once: once.filter(|_| creates), dry_run: false })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_guard_trusts_the_context_and_nothing_else() {
        let approve = OPERATIONS.iter().find(|o| o.id == "approveGrant").unwrap();
        let suspend = OPERATIONS.iter().find(|o| o.id == "suspendClient").unwrap();
        let judge = |operation: &Operation, tenant: &str, context: Value| {
            let context = AuthorizerContext::read(Some(&context)).unwrap();
            let parameters = vec![("tenant".to_owned(), tenant.to_owned())];
            guard(operation, &parameters, &context).map_err(|reason| reason.refusal.code())
        };
        let context =
            |tenant: &str, scope: &str| json!({"principalId": "c", "client_id": "c", "tenant": tenant, "scope": scope});
        let acme: TenantId = "acme".parse().unwrap();
        let mut customer = context("acme", "grants:approve");
        customer["customer_id"] = json!("cu-1");
        let rows = [
            (
                "its own tenant",
                judge(approve, "acme", context("acme", "a grants:approve")),
                Ok(Authority::Tenant(acme)),
            ),
            ("another tenant", judge(approve, "globex", context("acme", "grants:approve")), Err(-31)),
            ("another spelling", judge(approve, "ACME", context("acme", "grants:approve")), Err(-31)),
            ("without the scope", judge(approve, "acme", context("acme", "grants:read")), Err(-30)),
            ("a scope that begins so", judge(approve, "acme", context("acme", "grants:approve2")), Err(-30)),
            ("an operator", judge(approve, "acme", context("", "grants:approve")), Ok(Authority::Operator)),
            ("a tenant at an operator's", judge(suspend, "acme", context("acme", "clients:write")), Err(-31)),
            ("an operator at an operator's", judge(suspend, "", context("", "clients:write")), Ok(Authority::Operator)),
            ("a customer", judge(approve, "acme", customer), Err(-34)),
            ("no client", judge(approve, "acme", json!({"principalId": "c", "scope": "grants:approve"})), Err(-34)),
        ];
        for (sentence, got, want) in rows {
            assert_eq!(got, want, "{sentence}");
        }
    }
}
