//! What the holder of a credential does with it: look at it, rotate it, revoke it. The proof is the credential itself, id
//! and secret or the API key, and never a token: who steals a token for an hour must not get a secret for ever.

use crate::answer::Problem;
use crate::{Desk, Stop, execute, fields, find, given};
use auth_core::admin::{Actor, Authority};
use auth_core::ids::ClientId;
use auth_core::refusal::Refusal;
use auth_core::time::Timestamp;
use auth_edge::header;
use auth_edge::http_request::HttpRequest;
use auth_edge::oauth::{OAuthError, basic_client};
use auth_edge::report::Report;
use auth_store::client_proof::Asking;
use http::Response;
use serde_json::{Map, Value};

/// How a holder proves itself. A key alone cannot make another: a stolen one would outlive its revocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Proof {
    /// Client id and secret, by `Authorization: Basic`.
    Client,
    /// The key, in the header `ApiKey`.
    Key,
}

/// Method, path, command, proof, and whether it makes something.
const OPERATIONS: [(&str, &str, (&str, Proof, bool)); 12] = [
    ("GET", "/self", ("showClient", Proof::Client, false)),
    ("GET", "/self/pack", ("showPack", Proof::Client, false)),
    ("POST", "/self/secrets/rotate", ("rotateSecret", Proof::Client, true)),
    ("POST", "/self/secrets/revoke", ("revokeSecret", Proof::Client, false)),
    ("POST", "/self/tokens/revoke", ("revokeClientTokens", Proof::Client, false)),
    ("GET", "/self/keys", ("listKeys", Proof::Client, false)),
    ("GET", "/self/keys/{key_id}", ("showKey", Proof::Client, false)),
    ("POST", "/self/keys/{key_id}/rotate", ("rotateKey", Proof::Client, true)),
    ("POST", "/self/keys/{key_id}/cancel", ("cancelKeyRotation", Proof::Client, false)),
    ("POST", "/self/keys/{key_id}/revoke", ("revokeKey", Proof::Client, false)),
    ("GET", "/self/key", ("showKey", Proof::Key, false)),
    ("POST", "/self/key/revoke", ("revokeKey", Proof::Key, false)),
];

pub(crate) async fn route(
    desk: &Desk<'_>,
    http: &HttpRequest,
    now: Timestamp,
    report: &mut Report,
) -> Result<Response<String>, Stop> {
    report.line.kind = "self";
    let all = OPERATIONS.into_iter().map(|(method, path, operation)| (method, path, (path, operation)));
    let ((path, (command, proof, creates)), parameters) = find(all, http)?;
    report.line.route = Some(path.to_owned());
    let (client_id, key_id) = match proof {
        Proof::Client => (client(desk, http, now, report).await?, None),
        Proof::Key => {
            let (client_id, key_id) = key(desk, http, now, report).await?;
            (client_id, Some(key_id))
        }
    };
    let mut fields: Map<String, Value> = fields(http, &parameters, http.request.method == "GET")?;
    let own = [("client_id", Some(client_id.to_string())), ("key_id", key_id)];
    for (name, value) in own.into_iter().filter_map(|(name, value)| Some((name, value?))) {
        if fields.insert(name.to_owned(), value.into()).is_some() {
            return Err(Problem::invalid(format!("{name}: is that of the credential")).into());
        }
    }
    let given = given(command, creates, http, &fields)?;
    let actor = Actor {
        authority: Authority::Holder(client_id.clone()),
        name: client_id.to_string(),
        client_id: Some(client_id),
        scopes: Some(Vec::new()),
        on_behalf_of: None,
        via: "self",
        request_id: http.request_id.clone(),
    };
    execute(desk, actor, command, fields, given, now).await
}

async fn client(desk: &Desk<'_>, http: &HttpRequest, now: Timestamp, report: &mut Report) -> Result<ClientId, Stop> {
    let unverified = match basic_client(&http.request) {
        Ok(unverified) => unverified,
        Err(refused) if refused.error == OAuthError::InvalidClient => {
            return Err(Problem::invalid_client(&refused.why).into());
        }
        Err(refused) => return Err(Problem::invalid(refused.why).into()),
    };
    let keyring = desk.gate.keyring.get(now).await?;
    let asking = Asking { tenant: None, address: http.source_ip.as_deref().unwrap_or_default(), audiences: &[] };
    let proven = desk.gate.prove_client(&keyring, &unverified, asking, now, &mut report.line).await?;
    match proven {
        Ok(proven) => Ok(proven.client.client_id.clone()),
        Err(not) => Err(not.wait.map_or_else(|| Problem::invalid_client(&not.why), Problem::slow_down).into()),
    }
}

async fn key(
    desk: &Desk<'_>,
    http: &HttpRequest,
    now: Timestamp,
    report: &mut Report,
) -> Result<(ClientId, String), Stop> {
    let rights = desk.gate.key_owner(header::api_key(&http.request), now, &mut report.line).await??;
    match (rights.client_id(), rights.key_id()) {
        (Some(client), Some(key)) => Ok((client.clone(), key.to_string())),
        _ => Err(Problem::not_proven(Refusal::InvalidApiKey, "a key of nobody's", "ApiKey").into()),
    }
}
