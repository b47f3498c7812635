//! The test endpoint behind both authorizers, with the guard: answers what the backend was told of its caller.

use auth_core::api::{Matched, Mechanism};
use auth_core::decision::Verdict;
use auth_core::refusal::{Reason, Refusal};
use auth_core::time::Timestamp;
use auth_edge::answer::rights_context;
use auth_edge::guard::{AuthorizerContext, check_media_type, refusal_response};
use auth_edge::http_request::{HttpRequest, read};
use auth_edge::oauth::respond;
use auth_edge::report::{Report, Sink};
use auth_edge::{clock, header};
use auth_store::Fault;
use auth_store::gate::Gate;
use http::Response;
use lambda_http::request::LambdaRequest;
use serde_json::{Map, Value, json};

/// Where the guard stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Guard {
    /// Behind an authorizer, whose context it trusts.
    BehindAuthorizer,
    /// Alone: it decides by itself.
    Alone,
}

/// Answers one request. `own_id` is the function's request id.
pub async fn handle(
    gate: &Gate,
    guard: Guard,
    sink: &dyn Sink,
    event: LambdaRequest,
    own_id: &str,
) -> Response<String> {
    let now = clock::now();
    let Some(http) = read(event, own_id) else {
        let reason = Reason::new(Refusal::InvalidRequest, "not an event of a proxy integration");
        let mut report = Report::begin("guard", now, own_id);
        report.line.refused(&reason);
        report.end(sink);
        return refusal_response(&reason, own_id);
    };
    let mut report = Report::begin("guard", now, &http.request_id);
    report.caller(http.source_ip.as_deref(), http.user_agent.as_deref());
    let result = match guard {
        Guard::BehindAuthorizer => behind(gate, &http, now, &mut report).await,
        Guard::Alone => alone(gate, &http, now, &mut report).await,
    };
    let response = match result {
        Ok(Ok(body)) => {
            report.line.outcome = auth_core::audit::Outcome::Allowed;
            respond(200, &body)
        }
        Ok(Err(reason)) => {
            report.line.refused(&reason);
            refusal_response(&reason, &http.request_id)
        }
        Err(fault) => {
            report.broken(&fault);
            refusal_response(&Reason::new(Refusal::Unavailable, "a fault of ours"), &http.request_id)
        }
    };
    report.end(sink);
    response
}

async fn behind(
    gate: &Gate,
    http: &HttpRequest,
    now: Timestamp,
    report: &mut Report,
) -> Result<Result<Value, Reason>, Fault> {
    let catalog = gate.store.fresh_catalog(now).await?;
    let Some(matched) = catalog.find(&http.request.method, &http.request.path) else {
        return Ok(Err(Reason::new(Refusal::EndpointNotAssigned, "no API declares this operation")));
    };
    note(report, http, &matched);
    if matched.operation.mechanism == Mechanism::None {
        return Ok(Ok(body(&matched, Map::new())));
    }
    let context = match AuthorizerContext::read(http.authorizer.as_ref()) {
        Ok(context) => context,
        Err(reason) => return Ok(Err(reason)),
    };
    let said = |name: &str| Some(context.text(name).to_owned()).filter(|t| !t.is_empty());
    report.line.client_id = said("client_id");
    report.line.tenant = said("tenant");
    report.line.jti = said("jti");
    if matched.operation.guard
        && let Err(reason) = context.check(&matched, &http.request)
    {
        return Ok(Err(reason));
    }
    if let Err(reason) = check_media_type(&matched, &http.request) {
        return Ok(Err(reason));
    }
    Ok(Ok(body(&matched, context.members().clone())))
}

async fn alone(
    gate: &Gate,
    http: &HttpRequest,
    now: Timestamp,
    report: &mut Report,
) -> Result<Result<Value, Reason>, Fault> {
    let catalog = gate.store.fresh_catalog(now).await?;
    let matched = catalog.find(&http.request.method, &http.request.path);
    let verdict: Verdict = match matched.as_ref().map(|m| (m, m.operation.mechanism)) {
        Some((_, Mechanism::ApiKey)) => {
            gate.api_key(&http.request, header::api_key(&http.request), now, &mut report.line).await?
        }
        Some((matched, Mechanism::None)) => return Ok(Ok(body(matched, Map::new()))),
        Some((_, Mechanism::Jwt)) | None => {
            gate.bearer(&http.request, header::bearer(&http.request), now, &mut report.line).await?
        }
    };
    let access = match &verdict.access {
        Ok(access) => access,
        Err(reason) => return Ok(Err(reason.clone())),
    };
    let Some(matched) = &verdict.matched else {
        return Ok(Err(Reason::new(Refusal::EndpointNotAssigned, "no API declares this operation")));
    };
    let context = rights_context(access.rights());
    // Nobody stands behind this guard, so what an authorizer would leave to it is checked here.
    let checked = AuthorizerContext::read(Some(&Value::Object(context.clone())));
    match checked.and_then(|c| c.check(matched, &http.request)).and_then(|()| check_media_type(matched, &http.request))
    {
        Ok(()) => Ok(Ok(body(matched, context))),
        Err(reason) => Ok(Err(reason)),
    }
}

fn note(report: &mut Report, http: &HttpRequest, matched: &Matched) {
    report.line.method = Some(auth_core::audit::cut(&http.request.method));
    report.line.api = Some(matched.api.name.to_string());
    report.line.route = Some(matched.operation.path.to_string());
}

fn body(matched: &Matched, authorizer: Map<String, Value>) -> Value {
    let parameters: Map<String, Value> =
        matched.parameters.iter().map(|(name, value)| (name.clone(), value.as_str().into())).collect();
    json!({"operation": matched.operation.id, "path_parameters": parameters, "authorizer": authorizer})
}
