//! Token exchange (RFC 8693): a credential that calls APIs itself, an API key or a JWT that its client signed, for a
//! scoped, short, revocable token. The credential is the proof; who authenticates as a client besides must be its own.

use crate::{Stop, admitted, proven_client, sign};
use auth_core::api_key::UnverifiedApiKey;
use auth_core::backoff::{Attempts, CLIENTS_BY_ADDRESS, wait_seconds};
use auth_core::issue::{Asked, plan_for_exchange};
use auth_core::time::Timestamp;
use auth_edge::http_request::HttpRequest;
use auth_edge::oauth::{OAuthError, Parameters, Refused, is_authenticating};
use auth_edge::report::Report;
use auth_store::gate::Gate;
use http::Response;

/// The `grant_type` (section 2.1).
pub const TOKEN_EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
/// The `subject_token_type` of an API key; section 3 knows none for it.
pub const API_KEY_TYPE: &str = "urn:countersign:params:oauth:token-type:api_key";
/// Of any token that opens an API, and of what is issued.
const ACCESS_TOKEN_TYPE: &str = "urn:ietf:params:oauth:token-type:access_token";
/// Of a JWT.
const JWT_TYPE: &str = "urn:ietf:params:oauth:token-type:jwt";

fn invalid(description: &'static str) -> Stop {
    Refused::new(OAuthError::InvalidRequest, description).into()
}

/// Exchanges a token.
pub(crate) async fn exchange(
    gate: &Gate,
    http: &HttpRequest,
    parameters: &Parameters,
    asked: Asked<'_>,
    now: Timestamp,
    report: &mut Report,
) -> Result<Response<String>, Stop> {
    let subject = parameters.get("subject_token").ok_or_else(|| invalid("subject_token is missing."))?;
    let is_key = subject.parse::<UnverifiedApiKey>().is_ok();
    match (parameters.get("subject_token_type"), is_key) {
        (Some(ACCESS_TOKEN_TYPE), _) | (Some(API_KEY_TYPE), true) | (Some(JWT_TYPE), false) => {}
        (Some(API_KEY_TYPE | JWT_TYPE), _) => return Err(invalid("subject_token is not of its subject_token_type.")),
        (Some(_), _) => return Err(invalid("subject_token_type is not one that is taken.")),
        (None, _) => return Err(invalid("subject_token_type is missing.")),
    }
    let issued_type = match parameters.get("requested_token_type") {
        None | Some(ACCESS_TOKEN_TYPE) => ACCESS_TOKEN_TYPE,
        Some(JWT_TYPE) => JWT_TYPE,
        Some(_) => return Err(invalid("requested_token_type is not one that is issued.")),
    };
    if parameters.get("actor_token").is_some() || parameters.get("actor_token_type").is_some() {
        return Err(invalid("actor_token is not taken: nobody acts for another here."));
    }
    let client = match is_authenticating(&http.request, parameters) {
        true => Some(proven_client(gate, http, parameters, now, report).await?),
        false => {
            admitted(gate, http, now).await?;
            None
        }
    };
    let address = http.source_ip.as_deref().unwrap_or_default();
    let (rights, key_ref) = match gate.subject_of(subject, now, &mut report.line).await? {
        Ok(held) => held,
        Err(reason) => {
            let attempts = [Attempts::at(CLIENTS_BY_ADDRESS, address)];
            let failures = gate.store.count_attempts(&attempts, 1, now).await?;
            if let Some(wait) = wait_seconds(&attempts, &failures, now) {
                return Err(Refused::slow_down(wait).into());
            }
            // Section 2.2.2: a subject token that is not good is an invalid request.
            let refused = Refused::new(OAuthError::InvalidRequest, "The subject_token is not good.");
            return Err(Refused { why: reason.why, ..refused }.into());
        }
    };
    let named = parameters.get("client_id");
    let is_its = rights.client_id().is_some_and(|own| {
        client.as_ref().is_none_or(|client| client.client_id == *own) && named.is_none_or(|named| named == own.as_str())
    });
    if !is_its {
        return Err(invalid("The subject_token is another client's."));
    }
    let own_tenant = rights.tenant().map(|tenant| tenant.as_str());
    if asked.tenant.is_some() && asked.tenant != own_tenant {
        return Err(Refused::new(OAuthError::InvalidTarget, "The tenant is not that of the subject_token.").into());
    }
    let catalog = gate.store.catalog().await?;
    let plan = plan_for_exchange(&rights, key_ref, asked, &catalog, now)?;
    let issued = sign(gate, plan, now, report).await?.for_exchange(issued_type);
    Ok(issued.response(parameters.format, asked.scope.is_some()))
}
