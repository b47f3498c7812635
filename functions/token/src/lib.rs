//! The authorization server's endpoints: tokens, revocation, metadata, keys.

mod exchange;
mod metadata;

use auth_core::admin::operations::MAY_INTROSPECT;
use auth_core::api::{Api, Found};
use auth_core::client_authentication::UnverifiedClient;
use auth_core::decision::{Rights, Trail, establish_token};
use auth_core::ids::ClientKind;
use auth_core::issue::{Asked, NotIssued, Plan, plan_for_client, tenant_of};
use auth_core::records::Client;
use auth_core::time::Timestamp;
use auth_core::token::{UnverifiedToken, VerifiedToken};
use auth_edge::http_request::{HttpRequest, walk};
use auth_edge::oauth::{Issued, OAuthError, Parameters, Refused, client_authentication, respond};
use auth_edge::report::{Report, Sink};
use auth_store::Fault;
use auth_store::client_proof::{Asking, Proven};
use auth_store::gate::Gate;
use auth_store::store::Wanted;
use exchange::exchange;
use http::Response;
use lambda_http::request::LambdaRequest;
use metadata::public;
use serde_json::json;
use std::sync::Arc;

pub use exchange::{API_KEY_TYPE, TOKEN_EXCHANGE};
pub use metadata::{METADATA_PATHS, RESOURCE_PATH, resource_of};

/// Where tokens are issued; the second path is that of a system whose clients move in unchanged.
pub const TOKEN_PATHS: [&str; 2] = ["/oauth/token", "/AuthServer/api/Token"];
/// Where tokens are revoked (RFC 7009).
pub const REVOKE_PATH: &str = "/oauth/revoke";
/// Where it is said what a token is worth (RFC 7662).
pub const INTROSPECT_PATH: &str = "/oauth/introspect";
/// The public keys (RFC 7517).
pub const JWKS_PATH: &str = "/.well-known/jwks.json";

/// The parameters that are read; others are ignored (RFC 6749 section 3.2).
const KNOWN: [&str; 18] = [
    "grant_type",
    "scope",
    "resource",
    "audience",
    "tpl",
    "tenant",
    "user_login",
    "client_id",
    "client_secret",
    "client_assertion",
    "client_assertion_type",
    "token",
    "authorization_details",
    "subject_token",
    "subject_token_type",
    "actor_token",
    "actor_token_type",
    "requested_token_type",
];

/// Why a request gets no token.
enum Stop {
    Refused(Refused),
    Broken(Fault),
}

impl From<Refused> for Stop {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        Self::Broken(fault)
    }
}

impl From<NotIssued> for Stop {
    fn from(not: NotIssued) -> Self {
        Self::Refused(match not {
            NotIssued::InvalidClient(why) => Refused::invalid_client(why),
            NotIssued::UnauthorizedClient => {
                Refused::new(OAuthError::UnauthorizedClient, "The client may not use this grant type.")
            }
            NotIssued::InvalidRequest(text) => Refused::new(OAuthError::InvalidRequest, text),
            NotIssued::InvalidDetails => Refused::new(
                OAuthError::InvalidDetails,
                "authorization_details are not understood, or more than is granted.",
            ),
            NotIssued::InvalidScope => Refused::new(OAuthError::InvalidScope, "A scope is malformed or not granted."),
            NotIssued::InvalidTarget(text) => Refused::new(OAuthError::InvalidTarget, text),
        })
    }
}

/// Answers one request. `own_id` is the function's request id.
pub async fn handle(gate: &Gate, sink: &dyn Sink, event: LambdaRequest, own_id: &str) -> Response<String> {
    walk(event, own_id, "token", sink, async |http, body, now, report| {
        let path = http.request.path.as_str();
        let is = |paths: &[&str]| paths.contains(&path);
        let asks = is(&TOKEN_PATHS) || path == REVOKE_PATH || path == INTROSPECT_PATH;
        let resource = resource_of(path);
        let tells = is(&METADATA_PATHS) || path == JWKS_PATH || resource.is_some();
        if asks || tells {
            report.line.route = Some(resource.map_or(path, |_| RESOURCE_PATH).to_owned());
        }
        // RFC 9110 section 9.1: what can be got can be asked for by HEAD; the gateway leaves the body out.
        let method = if http.request.method == "HEAD" { "GET" } else { http.request.method.as_str() };
        let result = match method {
            "POST" if is(&TOKEN_PATHS) => token(gate, http, body, now, report).await,
            "POST" if path == REVOKE_PATH => {
                report.line.kind = "revoke";
                revoke(gate, http, body, now, report).await
            }
            "POST" if path == INTROSPECT_PATH => {
                report.line.kind = "introspect";
                introspect(gate, http, body, now, report).await
            }
            "GET" if path == JWKS_PATH => {
                report.line.kind = "keys";
                Ok(public(&gate.keyring.get(now).await?.public_jwks()))
            }
            "GET" if is(&METADATA_PATHS) => {
                report.line.kind = "metadata";
                let (keyring, catalog) = (gate.keyring.get(now).await?, gate.store.fresh_catalog(now).await?);
                Ok(public(&metadata::server(&gate.issuer, &keyring, &catalog)))
            }
            "GET" if resource.is_some() => {
                report.line.kind = "metadata";
                let host = match http.request.header("host") {
                    Found::One(host) => Some(host),
                    _ => None,
                };
                let rest = resource.unwrap_or_default();
                let catalog = gate.store.fresh_catalog(now).await?;
                let said = metadata::resource(&gate.issuer, host, rest, &catalog);
                said.map(|said| public(&said)).ok_or_else(|| {
                    Refused::new(OAuthError::NotFound, "No API is known under this address or name.").into()
                })
            }
            _ if asks => Err(Refused::new(OAuthError::MethodNotAllowed("POST"), "Only POST is taken here.").into()),
            _ if tells => {
                let only = "Only GET and HEAD are taken here.";
                Err(Refused::new(OAuthError::MethodNotAllowed("GET, HEAD"), only).into())
            }
            _ => Err(Refused::new(OAuthError::NotFound, "There is nothing here.").into()),
        };
        match result {
            Ok(response) => Ok(Ok(response)),
            Err(Stop::Refused(refused)) => Ok(Err(refused)),
            Err(Stop::Broken(fault)) => Err(fault),
        }
    })
    .await
}

async fn token(
    gate: &Gate,
    http: &HttpRequest,
    body: &[u8],
    now: Timestamp,
    report: &mut Report,
) -> Result<Response<String>, Stop> {
    let parameters = Parameters::read(http.request.header("content-type"), body, &KNOWN)?;
    let asked = Asked {
        tenant: parameters.alias("tpl", "tenant")?,
        scope: parameters.get("scope"),
        resource: parameters.alias("resource", "audience")?,
        user_login: parameters.get("user_login"),
        details: parameters.get("authorization_details"),
    };
    // A client that does not say who it is, is told that first; an exchange needs no client.
    let is_exchange = parameters.get("grant_type") == Some(TOKEN_EXCHANGE);
    let unverified = if is_exchange { None } else { Some(client_authentication(&http.request, &parameters)?) };
    match (parameters.get("grant_type"), unverified) {
        (Some("client_credentials"), Some(unverified)) => {
            let issued = client_credentials(gate, http, &unverified, asked, now, report).await?;
            Ok(issued.response(parameters.format, asked.scope.is_some()))
        }
        (Some(TOKEN_EXCHANGE), _) => exchange(gate, http, &parameters, asked, now, report).await,
        (Some(_), _) => {
            let offered = "Offered are client_credentials and token exchange (RFC 8693).";
            Err(Refused::new(OAuthError::UnsupportedGrantType, offered).into())
        }
        (None, _) => Err(Refused::new(OAuthError::InvalidRequest, "grant_type is missing.").into()),
    }
}

async fn client_credentials(
    gate: &Gate,
    http: &HttpRequest,
    unverified: &UnverifiedClient<'_>,
    asked: Asked<'_>,
    now: Timestamp,
    report: &mut Report,
) -> Result<Issued, Stop> {
    let Proven { fetched, client, once } = authenticate(gate, unverified, asked, http, now, report).await?;
    let tenant = tenant_of(&client, asked)?;
    let more = async {
        match (&tenant, &fetched.facts.tenant) {
            (Some(wanted), Some(have)) if *wanted == have.id => Ok(None),
            (None, _) => Ok(None),
            // Only the client's record says which tenant this is about.
            _ => {
                let wanted = Wanted { client: Some(&client.client_id), tenant: tenant.as_ref(), ..Wanted::default() };
                gate.store.fetch(wanted, now).await.map(Some)
            }
        }
    };
    // The second and last trip, whatever is in it.
    let permitted = gate.permits_request(&client.client_id, now);
    let (permitted, spent, more) = tokio::join!(permitted, gate.spend(once.as_ref()), more);
    permitted?.map_err(Refused::too_many)?;
    unspent(spent?)?;
    let fetched = more?.unwrap_or(fetched);
    let catalog = gate.store.catalog_for(&fetched).await?;
    let plan = plan_for_client(fetched.facts, tenant.as_ref(), asked, &catalog, gate.deployment(now))?;
    sign(gate, plan, now, report).await
}

/// Signs a token, and says so in the audit line.
async fn sign(gate: &Gate, plan: Plan, now: Timestamp, report: &mut Report) -> Result<Issued, Stop> {
    let keyring = gate.keyring.get(now).await?;
    report.line.keyring_age_days = Some(keyring.age_days(now));
    report.line.tenant = plan.tenant().map(|name| name.as_str().to_owned());
    report.line.user_login = plan.user_login().map(|name| name.as_str().to_owned());
    report.line.scope = Some(plan.scope());
    let signed = Issued::sign(plan, &keyring, &gate.issuer, gate.deployment(now), &mut report.line);
    signed.map_err(|e| Fault(e.to_string()).into())
}

/// Proves who the client is. What it gives for that may have one use, which is still to be spent.
async fn authenticate(
    gate: &Gate,
    unverified: &UnverifiedClient<'_>,
    asked: Asked<'_>,
    http: &HttpRequest,
    now: Timestamp,
    report: &mut Report,
) -> Result<Proven, Stop> {
    let keyring = gate.keyring.get(now).await?;
    let named = asked.tenant.and_then(|t| t.parse().ok());
    let endpoints = TOKEN_PATHS.map(|path| format!("{}{path}", gate.issuer));
    let asking = Asking {
        tenant: named.as_ref(),
        address: http.source_ip.as_deref().unwrap_or_default(),
        audiences: &[&gate.issuer, &endpoints[0], &endpoints[1]],
    };
    let proof = async { Ok(gate.prove_client(&keyring, unverified, asking, now, &mut report.line).await?) };
    // In one trip; and where it is known here that the address has had its share, in none.
    let ((), proven) = tokio::try_join!(admitted(gate, http, now), proof)?;
    Ok(proven.map_err(|not| not.wait.map_or_else(|| Refused::invalid_client(not.why), Refused::slow_down))?)
}

/// Whether the address may ask at all for now.
async fn admitted(gate: &Gate, http: &HttpRequest, now: Timestamp) -> Result<(), Stop> {
    Ok(gate.permits_address(http.source_ip.as_deref(), now).await?.map_err(Refused::too_many)?)
}

fn unspent(spent: bool) -> Result<(), Refused> {
    if spent { Ok(()) } else { Err(Refused::invalid_client("the assertion was used before")) }
}

/// The client that a request comes from, proven.
async fn proven_client(
    gate: &Gate,
    http: &HttpRequest,
    parameters: &Parameters,
    now: Timestamp,
    report: &mut Report,
) -> Result<Arc<Client>, Stop> {
    let unverified = client_authentication(&http.request, parameters)?;
    let proven = authenticate(gate, &unverified, Asked::default(), http, now, report).await?;
    let permitted = gate.permits_request(&proven.client.client_id, now);
    let (permitted, spent) = tokio::join!(permitted, gate.spend(proven.once.as_ref()));
    permitted?.map_err(Refused::too_many)?;
    unspent(spent?)?;
    Ok(proven.client)
}

/// The client that sends a token to be revoked or described, and the token, if it is one of ours and good (RFC 7009
/// section 2.1, RFC 7662 section 2.1).
async fn sent_token(
    gate: &Gate,
    http: &HttpRequest,
    body: &[u8],
    now: Timestamp,
    report: &mut Report,
) -> Result<(Arc<Client>, Option<VerifiedToken>), Stop> {
    let parameters = Parameters::read(http.request.header("content-type"), body, &KNOWN)?;
    let client = proven_client(gate, http, &parameters, now, report).await?;
    let text = parameters.get("token").ok_or_else(|| Refused::new(OAuthError::InvalidRequest, "token is missing."))?;
    let Ok(UnverifiedToken::Issued(token)) = UnverifiedToken::parse(text) else { return Ok((client, None)) };
    let proven = gate.keyring.prove(token, text, &gate.issuer, now).await?;
    Ok((client, proven.and_then(|token| token.in_time(&gate.expected(now))).ok()))
}

/// Revokes a token of the client's own (RFC 7009 section 2). A token that is not one, or not the client's, is
/// answered alike: there is nothing to do.
async fn revoke(
    gate: &Gate,
    http: &HttpRequest,
    body: &[u8],
    now: Timestamp,
    report: &mut Report,
) -> Result<Response<String>, Stop> {
    let (client, token) = sent_token(gate, http, body, now, report).await?;
    if let Some(token) = token
        && token.client_id() == Some(&client.client_id)
        && let Some(jti) = token.jti()
    {
        report.line.jti = Some(jti.to_string());
        gate.store.revoke_token(jti, token.expires_at()).await?;
    }
    Ok(respond(200, &json!({})))
}

/// Says what a token is worth now (RFC 7662 section 2), to the client that it was issued to, and to applications of the
/// platform that may ask. Anything else is not active: nonsense, another's token, what was revoked or has expired, and
/// what a client that was suspended or a grant that was withdrawn is left with.
async fn introspect(
    gate: &Gate,
    http: &HttpRequest,
    body: &[u8],
    now: Timestamp,
    report: &mut Report,
) -> Result<Response<String>, Stop> {
    let (caller, token) = sent_token(gate, http, body, now, report).await?;
    let worth = match token {
        Some(token) => worth(gate, token, &caller, now, report).await?,
        None => None,
    };
    Ok(respond(200, &worth.unwrap_or_else(|| json!({"active": false}))))
}

/// What a caller is told of a token; `None` if it is not active, or not the caller's to ask for.
async fn worth(
    gate: &Gate,
    token: VerifiedToken,
    caller: &Client,
    now: Timestamp,
    report: &mut Report,
) -> Result<Option<serde_json::Value>, Fault> {
    let wanted = Wanted {
        client: token.client_id(),
        tenant: token.tenant(),
        jti: token.jti(),
        login_ref: token.login_ref(),
        key: token.key_ref(),
        last_seen: true,
        ..Wanted::default()
    };
    let fetched = gate.store.fetch(wanted, now).await?;
    let catalog = gate.store.catalog_for(&fetched).await?;
    let may_all = caller.kind == ClientKind::MultiTenant
        && catalog.scopes_of(&caller.roles).any(|scope| scope.as_str() == MAY_INTROSPECT);
    if token.client_id() != Some(&caller.client_id) && !may_all {
        return Ok(None);
    }
    report.line.jti = token.jti().map(|name| name.as_str().to_owned());
    let (aud, issued_at, expires_at, of) =
        (token.audience().to_vec(), token.issued_at(), token.expires_at(), token.token_use());
    let trail = &mut Trail::default();
    // A token that has rested too long for each of its APIs is worth nothing.
    let idle = |api: &&Arc<Api>| api.token.idle_seconds.unwrap_or(i64::MAX);
    let most_patient = catalog.apis.values().filter(|api| aud.contains(&api.audience)).max_by_key(idle);
    let rights =
        establish_token(token, fetched.facts, &catalog, gate.deployment(now), most_patient.map(Arc::as_ref), trail);
    // Without its tenant a token opens nothing, unless its client maintains tenants.
    let is_good = |rights: &Rights| rights.tenant().is_some() || rights.kind() == Some(ClientKind::MultiTenant);
    let Some(rights) = rights.ok().filter(is_good) else { return Ok(None) };
    let scopes: Vec<&str> = rights.scopes().iter().map(|scope| scope.as_str()).collect();
    let mut told = json!({
        "active": true,
        "iss": gate.issuer,
        "sub": rights.principal(),
        "aud": aud,
        "client_id": rights.client_id(),
        "token_type": "Bearer",
        "scope": scopes.join(" "),
        "roles": rights.roles(),
        "exp": expires_at,
        "iat": issued_at,
        "jti": rights.jti(),
        "token_use": of,
        "tenant": rights.tenant(),
        "environment": rights.environment(),
        "username": rights.user_login(),
        "customer_id": rights.customer_id(),
        "authorization_details": Some(rights.details()).filter(|details| !details.is_empty()),
    });
    if let Some(members) = told.as_object_mut() {
        members.retain(|_, value| !value.is_null());
    }
    Ok(Some(told))
}
