//! The life of a client: registered, approved, suspended, resumed, promoted, deleted.

use super::command::{ApproveClient, ChangeClient, RegisterClient, SetIssuer};
use super::{Authority, Fresh, Refused, secrets, to_come};
use crate::api::{Api, Catalog, Mechanism};
use crate::ids::{ApiName, ClientId, ClientKind, Environment, Label, RoleName};
use crate::jwk::register_set;
use crate::keyring::Keyring;
use crate::records::{
    Assignment, Client, ClientKeys, ClientState, Grant, GrantState, GrantType, PublicJwk, Rate, Registration,
    SelfSigning, TrustedIssuer, WorkloadIdentity,
};
use crate::remote::HttpsUrl;
use crate::secret::{SecretText, hex};
use crate::time::Timestamp;
use crate::token::MAX_LIFETIME_SECONDS;
use serde_json::{Value, json};
use std::sync::Arc;

/// The longest life of a partner-signed token where nothing else was said, in seconds.
pub const SELF_SIGNED_SECONDS: i64 = 3600;

/// What a registration makes.
#[derive(Debug, Clone)]
pub struct Registered {
    /// Pending, without secrets and without APIs.
    pub client: Client,
    /// Who asked.
    pub registration: Registration,
    /// What the sponsoring tenant is asked for.
    pub grant: Option<Grant>,
}

/// What secrets are made with.
#[derive(Debug, Clone, Copy)]
pub struct Means<'a> {
    /// Its pepper and its sealing key.
    pub keyring: &'a Keyring,
    /// Now.
    pub now: Timestamp,
    /// Random bits.
    pub fresh: &'a Fresh,
}

/// A client that has what it needs, and the secrets that were made for that, to be shown once.
#[derive(Debug)]
pub struct Equipped {
    /// The client.
    pub client: Client,
    /// Who asked for it.
    pub registration: Option<Registration>,
    /// Names and secrets.
    pub secrets: Vec<(&'static str, SecretText)>,
}

/// That the names are those of APIs and roles that there are.
///
/// # Errors
/// Names the first that is not.
pub fn known(catalog: &Catalog, apis: &[ApiName], roles: &[RoleName]) -> Result<(), Refused> {
    if let Some(api) = apis.iter().find(|name| !catalog.apis.contains_key(name)) {
        return Err(Refused::invalid(format!("apis: there is no API {api}")));
    }
    match roles.iter().find(|name| !catalog.roles.contains_key(name)) {
        Some(role) => Err(Refused::invalid(format!("roles: there is no role {role}"))),
        None => Ok(()),
    }
}

/// Registers. A tenant registers partners of its own; what is internal, an operator marks so.
///
/// # Errors
/// Names the field.
pub fn register(
    asked: RegisterClient,
    authority: &Authority,
    environment: Environment,
    catalog: &Catalog,
    now: Timestamp,
    fresh: &Fresh,
) -> Result<Registered, Refused> {
    let invalid = |text: &str| Err(Refused::invalid(text));
    if *authority != Authority::Operator {
        let own = [asked.client_id.is_some(), asked.environment.is_some(), asked.rate.is_some(), asked.internal];
        if own.contains(&true) || asked.kind != ClientKind::SingleTenant || asked.self_signing {
            let what = "client_id, environment, rate, internal, self_signing and other kinds than single_tenant";
            return Err(Refused::forbidden(format!("{what} are an operator's to say.")));
        }
    }
    known(catalog, &asked.apis, &asked.roles)?;
    let not_after = to_come("not_after", asked.not_after, now)?;
    check_rate(asked.rate.as_ref())?;
    if asked.client_id.as_ref().is_some_and(|id| matches!(id.as_str(), "." | "..")) {
        return invalid("client_id: cannot be named in a path");
    }
    match (asked.kind, &asked.tenant) {
        (ClientKind::SingleTenant, None) => return invalid("tenant: a single_tenant client has one"),
        (ClientKind::MultiTenant, Some(_)) => return invalid("tenant: a multi_tenant client has none"),
        _ => {}
    }
    if asked.kind != ClientKind::SingleTenant && !asked.internal {
        return invalid("internal: only the platform's own applications are dynamic_tenant or multi_tenant; say so");
    }
    if asked.kind == ClientKind::SingleTenant && asked.internal {
        return invalid("internal: a single_tenant client is a partner's");
    }
    if asked.kind == ClientKind::MultiTenant {
        let of_grants = [asked.scopes.is_empty(), asked.skus.is_empty(), asked.suppliers.is_empty()];
        if of_grants.contains(&false) || asked.not_after.is_some() {
            return invalid("scopes, skus, suppliers, not_after: a multi_tenant client has roles alone");
        }
    }
    trusted(catalog, &asked.workload_identities)?;
    let keys = keys(asked.jwks.as_ref(), asked.jwks_uri)?;
    let client_id = match asked.client_id {
        Some(id) => id,
        None => made_id(&asked.name, fresh).ok_or_else(|| Refused::invalid("name: letters or digits are needed"))?,
    };
    let multi = asked.kind == ClientKind::MultiTenant;
    let client = Client {
        client_id: client_id.clone(),
        kind: asked.kind,
        tenant: asked.tenant.clone().filter(|_| asked.kind == ClientKind::SingleTenant),
        environment: asked.environment.unwrap_or(environment),
        state: ClientState::Pending,
        internal: asked.internal,
        grant_types: asked.grant_types,
        secrets: Vec::new(),
        keys,
        workload_identities: asked.workload_identities,
        self_signing: asked
            .self_signing
            .then(|| SelfSigning { secrets: Vec::new(), max_lifetime_seconds: SELF_SIGNED_SECONDS }),
        requires_user_login: asked.requires_user_login,
        rate: asked.rate,
        // Least privilege: what was asked for is assigned when the operator approves.
        apis: Vec::new(),
        roles: if multi { asked.roles.clone() } else { Vec::new() },
        tokens_not_before: None,
        promoted_to: None,
    };
    let grant = asked.tenant.clone().map(|tenant| Grant {
        client_id: client_id.clone(),
        tenant,
        state: GrantState::Requested,
        scopes: asked.scopes,
        roles: asked.roles,
        skus: asked.skus,
        suppliers: asked.suppliers,
        not_after,
    });
    let registration = Registration {
        client_id,
        name: asked.name,
        sponsor: asked.tenant,
        business: asked.contacts.business,
        technical: asked.contacts.technical,
        account_manager: asked.account_manager,
        wanted_apis: asked.apis,
        assigned: Vec::new(),
        registered_at: now,
        reason: None,
        promoted_from: None,
    };
    Ok(Registered { client, registration, grant })
}

/// That workloads are of issuers that the deployment trusts.
fn trusted(catalog: &Catalog, identities: &[WorkloadIdentity]) -> Result<(), Refused> {
    match identities.iter().find(|w| !catalog.issuers.iter().any(|i| i.issuer == w.issuer)) {
        None => Ok(()),
        Some(WorkloadIdentity { issuer, .. }) => {
            let text =
                format!("workload_identities: {issuer} is not trusted here. Due: an operator sets it as an issuer");
            Err(Refused::invalid(text))
        }
    }
}

/// The keys of a client, from what was sent of them.
///
/// # Errors
/// Names the field.
pub fn keys(jwks: Option<&Value>, jwks_uri: Option<HttpsUrl>) -> Result<Option<ClientKeys>, Refused> {
    match (jwks, jwks_uri) {
        (Some(_), Some(_)) => Err(Refused::invalid("jwks, jwks_uri: one of the two (RFC 7591 section 2)")),
        (Some(jwks), None) => Ok(Some(ClientKeys::Jwks(registered_now(jwks)?))),
        (None, Some(uri)) => Ok(Some(ClientKeys::JwksUri(uri))),
        (None, None) => Ok(None),
    }
}

fn registered_now(jwks: &Value) -> Result<Vec<PublicJwk>, Refused> {
    register_set(jwks).map_err(|why| Refused::invalid(format!("jwks.{why}")))
}

/// An issuer, from what was sent of it.
///
/// # Errors
/// Names the field.
pub fn issuer(asked: SetIssuer) -> Result<TrustedIssuer, Refused> {
    if asked.issuer.as_str().contains('?') {
        return Err(Refused::invalid("issuer: an issuer has no query (RFC 8414 section 2)"));
    }
    let jwks = asked.jwks.as_ref().map(registered_now).transpose()?;
    Ok(TrustedIssuer { name: asked.name, issuer: asked.issuer, jwks })
}

/// A rate of nothing would be a suspension.
fn check_rate(rate: Option<&Rate>) -> Result<(), Refused> {
    let limits = rate.map(|rate| [rate.per_second, rate.burst, rate.per_day]);
    match limits.is_some_and(|limits| limits.contains(&Some(0))) {
        true => Err(Refused::invalid("rate: 1 or more, or null; to stop a client, suspend it")),
        false => Ok(()),
    }
}

/// A client id of our own: `[a-z0-9-]`, readable, and not to be guessed before it is made.
fn made_id(name: &Label, fresh: &Fresh) -> Option<ClientId> {
    let mut slug = String::new();
    for c in name.as_str().chars() {
        match c.to_ascii_lowercase() {
            c @ ('a'..='z' | '0'..='9') => slug.push(c),
            _ if !slug.is_empty() && !slug.ends_with('-') => slug.push('-'),
            _ => {}
        }
    }
    let slug: String = slug.trim_matches('-').chars().take(40).collect();
    let slug = if slug.is_empty() { "client".to_owned() } else { slug };
    format!("{slug}-{}", hex(&fresh.id)).parse().ok()
}

/// Why a client is not put into use yet, or may not be changed: the step that is due.
fn not_in(client: &Client, wanted: &str) -> Refused {
    Refused::conflict(match client.state {
        ClientState::Pending => format!("The client is pending, so it cannot be {wanted}. Due: approve it."),
        ClientState::Active => format!("The client is active, so it cannot be {wanted}."),
        ClientState::Suspended => format!("The client is suspended, so it cannot be {wanted}. Due: resume it."),
        ClientState::Deleted => format!("The client was deleted, so it cannot be {wanted}. Due: register another."),
    })
}

/// Approves: the client is active, has its APIs, and gets the secrets that it lacks. `sponsor` is the grant of the
/// tenant that sponsors it.
///
/// # Errors
/// If it is not pending, or its tenant has not approved yet.
pub fn approve(
    mut client: Client,
    registration: Option<Registration>,
    sponsor: Option<&Grant>,
    asked: ApproveClient,
    catalog: &Catalog,
    means: Means<'_>,
) -> Result<Equipped, Refused> {
    if client.state != ClientState::Pending {
        return Err(not_in(&client, "approved"));
    }
    let sponsored = registration.as_ref().map_or(client.tenant.as_ref(), |r| r.sponsor.as_ref());
    if let Some(tenant) = sponsored {
        let due = |what: &str| {
            let text = format!("{what} Due: the tenant approves the grant of client {} to {tenant}.", client.client_id);
            Err(Refused::conflict(text))
        };
        match sponsor.filter(|g| g.tenant == *tenant && g.client_id == client.client_id).map(|g| g.state) {
            Some(GrantState::Approved) => {}
            Some(GrantState::Requested) => return due(&format!("Tenant {tenant} has not approved yet.")),
            Some(GrantState::Revoked) => {
                return due(&format!("Tenant {tenant} has revoked its grant; request it again."));
            }
            None => return due(&format!("Tenant {tenant} has no grant; request it.")),
        }
    }
    let wanted = registration.as_ref().map_or_else(|| client.apis.clone(), |r| r.wanted_apis.clone());
    let apis = asked.apis.unwrap_or(wanted);
    known(catalog, &apis, &[])?;
    let registration = registration.map(|r| assign(r, &apis, asked.agreement.as_ref(), means.now));
    client.apis = apis;
    client.state = ClientState::Active;
    let secrets = equip(&mut client, means)?;
    Ok(Equipped { client, registration, secrets })
}

/// Makes the secrets that a client lacks.
fn equip(client: &mut Client, means: Means<'_>) -> Result<Vec<(&'static str, SecretText)>, Refused> {
    let Means { keyring, now, fresh } = means;
    let mut made = Vec::new();
    let id = client.client_id.clone();
    if client.grant_types.contains(&GrantType::ClientCredentials)
        && client.secrets.is_empty()
        && !client.needs_no_secret()
    {
        let secret = secrets::made("cs", &fresh.secret);
        client.secrets.push(secrets::stored(keyring, &id, &secret, now));
        made.push(("client_secret", secret));
    }
    if let Some(right) = client.self_signing.as_mut().filter(|right| right.secrets.is_empty()) {
        let secret = secrets::made("ss", &fresh.signing);
        let [nonce, _] = fresh.nonces;
        right.secrets.push(secrets::sealed(keyring, &id, &secret, nonce, now)?);
        made.push(("signing_secret", secret));
    }
    Ok(made)
}

/// Notes which APIs are assigned; one that was already keeps its date.
fn assign(mut registration: Registration, apis: &[ApiName], agreement: Option<&Label>, now: Timestamp) -> Registration {
    let before = std::mem::take(&mut registration.assigned);
    registration.assigned = apis
        .iter()
        .map(|api| match before.iter().find(|a| a.api == *api) {
            Some(there) => there.clone(),
            None => Assignment { api: api.clone(), since: now, agreement: agreement.cloned() },
        })
        .collect();
    registration
}

/// Changes what an operator says of a client.
///
/// # Errors
/// Names the field, or says that the client is gone.
pub fn change(
    mut client: Client,
    mut registration: Option<Registration>,
    asked: ChangeClient,
    catalog: &Catalog,
    now: Timestamp,
) -> Result<(Client, Option<Registration>), Refused> {
    if client.state == ClientState::Deleted {
        return Err(not_in(&client, "changed"));
    }
    check_rate(asked.rate.as_ref().and_then(Option::as_ref))?;
    known(catalog, asked.apis.as_deref().unwrap_or_default(), asked.roles.as_deref().unwrap_or_default())?;
    if let Some(roles) = asked.roles {
        if client.kind != ClientKind::MultiTenant {
            return Err(Refused::invalid("roles: only a multi_tenant client has roles of its own; change its grants"));
        }
        client.roles = roles;
    }
    let apis = asked.apis;
    if let Some(apis) = apis.clone() {
        if client.state == ClientState::Pending {
            return Err(Refused::conflict("The client is pending. Due: approve it, and say its APIs then."));
        }
        registration = registration.map(|r| assign(r, &apis, asked.agreement.as_ref(), now));
        client.apis = apis;
    }
    if let (Some(agreement), None, Some(registration)) = (&asked.agreement, &apis, &mut registration) {
        registration.assigned.iter_mut().for_each(|a| a.agreement = Some(agreement.clone()));
    }
    if let Some(seconds) = asked.max_lifetime_seconds {
        let Some(right) = &mut client.self_signing else {
            return Err(Refused::invalid("max_lifetime_seconds: the client does not sign its own tokens"));
        };
        if !(1..=MAX_LIFETIME_SECONDS).contains(&seconds) {
            return Err(Refused::invalid(format!("max_lifetime_seconds: from 1 to {MAX_LIFETIME_SECONDS}")));
        }
        right.max_lifetime_seconds = seconds;
    }
    if let Some(identities) = asked.workload_identities {
        trusted(catalog, &identities)?;
        client.workload_identities = identities;
    }
    // What is named takes the place of what was there; null takes away what is of its own kind.
    let gone = match client.keys {
        Some(ClientKeys::Jwks(_)) => asked.jwks == Some(None),
        Some(ClientKeys::JwksUri(_)) => asked.jwks_uri == Some(None),
        None => false,
    };
    let named = keys(asked.jwks.flatten().as_ref(), asked.jwks_uri.flatten())?;
    if named.is_some() || gone {
        client.keys = named;
    }
    client.rate = asked.rate.unwrap_or(client.rate);
    client.requires_user_login = asked.requires_user_login.unwrap_or(client.requires_user_login);
    if asked.contacts.is_some() || asked.account_manager.is_some() {
        let Some(registration) = &mut registration else {
            return Err(Refused::conflict("The client was imported without a registration, so it has no contacts."));
        };
        if let Some(contacts) = asked.contacts {
            (registration.business, registration.technical) = (contacts.business, contacts.technical);
        }
        registration.account_manager = asked.account_manager.or(registration.account_manager.take());
    }
    Ok((client, registration))
}

/// Suspends an active client.
///
/// # Errors
/// If it is not active.
pub fn suspend(mut client: Client) -> Result<Client, Refused> {
    match client.state {
        ClientState::Active => {
            client.state = ClientState::Suspended;
            Ok(client)
        }
        _ => Err(not_in(&client, "suspended")),
    }
}

/// Resumes a suspended client.
///
/// # Errors
/// If it is not suspended.
pub fn resume(mut client: Client) -> Result<Client, Refused> {
    match client.state {
        ClientState::Suspended => {
            client.state = ClientState::Active;
            Ok(client)
        }
        _ => Err(not_in(&client, "resumed")),
    }
}

/// Deletes: nothing of it counts any more, and nobody gets its name.
///
/// # Errors
/// If it was deleted before.
pub fn delete(mut client: Client) -> Result<Client, Refused> {
    if client.state == ClientState::Deleted {
        return Err(not_in(&client, "deleted"));
    }
    client.state = ClientState::Deleted;
    client.secrets.clear();
    client.keys = None;
    client.workload_identities.clear();
    client.self_signing = None;
    client.apis.clear();
    client.roles.clear();
    client.rate = None;
    Ok(client)
}

/// Promotes (`is_gone`: the one that it was promoted to before was deleted): the live client of a test client, with credentials of its own and the same APIs. Grants are copied by the
/// caller, one by one.
///
/// # Errors
/// If it is not an active test client, or was promoted before.
pub fn promote(
    from: &Client,
    is_gone: bool,
    registration: Option<&Registration>,
    new_client_id: Option<ClientId>,
    means: Means<'_>,
) -> Result<Equipped, Refused> {
    if from.environment == Environment::Live {
        return Err(Refused::conflict("The client is of the live environment already."));
    }
    if from.state != ClientState::Active {
        return Err(not_in(from, "promoted"));
    }
    if let Some(to) = from.promoted_to.as_ref().filter(|_| !is_gone) {
        let text =
            format!("The client was promoted to {to} before. Due: rotate the secrets of that one, or delete it.");
        return Err(Refused::conflict(text));
    }
    let made = || {
        let stem: String = from.client_id.as_str().chars().take(100).collect();
        let stem: Label = stem.parse().map_err(|_| Refused::invalid("client_id"))?;
        let name: Label = format!("{stem} live").parse().map_err(|_| Refused::invalid("client_id"))?;
        made_id(&name, means.fresh).ok_or_else(|| Refused::invalid("client_id"))
    };
    let id = new_client_id.map_or_else(made, Ok)?;
    let mut client = Client {
        client_id: id.clone(),
        environment: Environment::Live,
        secrets: Vec::new(),
        // What proves a test client is no proof of a live one.
        keys: None,
        workload_identities: Vec::new(),
        self_signing: from
            .self_signing
            .as_ref()
            .map(|right| SelfSigning { secrets: Vec::new(), max_lifetime_seconds: right.max_lifetime_seconds }),
        tokens_not_before: None,
        promoted_to: None,
        ..from.clone()
    };
    let secrets = equip(&mut client, means)?;
    let now = means.now;
    let registration = registration.map(|r| Registration {
        client_id: id,
        registered_at: now,
        promoted_from: Some(from.client_id.clone()),
        assigned: client.apis.iter().map(|api| Assignment { api: api.clone(), since: now, agreement: None }).collect(),
        reason: None,
        ..r.clone()
    });
    Ok(Equipped { client, registration, secrets })
}

/// What is shown of a client, and written into the audit: no secret, no digest.
pub fn view(client: &Client, registration: Option<&Registration>, now: Timestamp) -> Value {
    let time = |time: Option<Timestamp>| time.map(Timestamp::to_rfc3339);
    let mut view = json!({
        "client_id": client.client_id,
        "kind": client.kind,
        "tenant": client.tenant,
        "environment": client.environment,
        "state": client.state,
        "internal": client.internal,
        "grant_types": client.grant_types,
        "secrets": secrets::view(&client.secrets, now),
        "jwks": match &client.keys {
            Some(ClientKeys::Jwks(keys)) => Some(json!({ "keys": keys })),
            _ => None,
        },
        "jwks_uri": match &client.keys {
            Some(ClientKeys::JwksUri(uri)) => Some(uri),
            _ => None,
        },
        "workload_identities": client.workload_identities,
        "self_signing": client.self_signing.as_ref().map(|right| json!({
            "max_lifetime_seconds": right.max_lifetime_seconds, "secrets": secrets::view(&right.secrets, now)})),
        "requires_user_login": client.requires_user_login,
        "rate": client.rate,
        "apis": client.apis,
        "roles": client.roles,
        "tokens_not_before": time(client.tokens_not_before),
        "promoted_to": client.promoted_to,
    });
    if let (Some(r), Some(members)) = (registration, view.as_object_mut()) {
        let assigned: Vec<Value> = r
            .assigned
            .iter()
            .map(|a| json!({"api": a.api, "since": a.since.to_rfc3339(), "agreement": a.agreement}))
            .collect();
        let more = json!({
            "name": r.name, "sponsor": r.sponsor,
            "contacts": {"business": r.business, "technical": r.technical},
            "account_manager": r.account_manager, "wanted_apis": r.wanted_apis, "assigned": assigned,
            "registered_at": r.registered_at.to_rfc3339(), "reason": r.reason,
            "promoted_from": r.promoted_from,
        });
        members.extend(more.as_object().cloned().unwrap_or_default());
    }
    view
}

/// What a partner needs to begin: ids, addresses, what it may do. The secrets, and [`curl`], are added the one time that
/// they are there.
pub fn pack(client: &Client, grants: &[Grant], catalog: &Catalog, issuer: &str, deployment: Environment) -> Value {
    let apis: Vec<Value> = client
        .apis
        .iter()
        .filter_map(|name| catalog.apis.get(name))
        .map(|api| json!({"name": api.name, "url": api.url, "audience": api.audience}))
        .collect();
    let counts = (client.environment != deployment).then(|| {
        let own = client.environment.as_str();
        format!(
            "only in the {own} environment; the addresses are those of this one, of the {} environment",
            deployment.as_str()
        )
    });
    let approved = || grants.iter().filter(|g| g.state == GrantState::Approved);
    let mut suppliers: Vec<&str> = approved().flat_map(|g| g.suppliers.iter().map(|s| s.as_str())).collect();
    suppliers.sort_unstable();
    suppliers.dedup();
    let grants_shown: Vec<Value> = approved()
        .map(|g| {
            json!({"tenant": g.tenant, "scopes": g.scopes, "roles": g.roles, "skus": g.skus, "suppliers": g.suppliers,
                "not_after": g.not_after.map(Timestamp::to_rfc3339)})
        })
        .collect();
    json!({
        "client_id": client.client_id,
        "environment": client.environment,
        "kind": client.kind,
        "tenant": client.tenant,
        "issuer": issuer,
        "token_url": token_url(issuer),
        "jwks_url": format!("{issuer}/.well-known/jwks.json"),
        "metadata_url": format!("{issuer}/.well-known/oauth-authorization-server"),
        "apis": apis,
        "grants": grants_shown,
        "supplier_codes": suppliers,
        "counts": counts,
    })
}

/// A command that gets a token. The secret goes through curl's standard input: what stands among a command's arguments,
/// every process of the machine can read.
pub fn curl(client: &Client, grants: &[Grant], catalog: &Catalog, issuer: &str, secret: &SecretText) -> SecretText {
    let quoted = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"");
    let tenant = match client.kind {
        ClientKind::DynamicTenant => grants.first().map_or("TENANT", |g| g.tenant.as_str()),
        _ => "",
    };
    let mut data = String::from(" -d grant_type=client_credentials");
    if !tenant.is_empty() {
        data.push_str(&format!(" -d tpl={tenant}"));
    }
    // APIs of different algorithms want a token each: this gets one for the first.
    let takes_tokens = |api: &&Arc<Api>| api.operations.iter().any(|o| o.mechanism == Mechanism::Jwt);
    let mut apis = client.apis.iter().filter_map(|name| catalog.apis.get(name)).filter(takes_tokens);
    if let Some(first) = apis.next()
        && apis.any(|api| api.token.alg != first.token.alg)
    {
        data.push_str(&format!(" -d resource={}", first.name));
    }
    if client.requires_user_login {
        data.push_str(" -d user_login=YOUR-USER");
    }
    let user = format!("{}:{}", quoted(client.client_id.as_str()), quoted(secret.expose()));
    let url = token_url(issuer);
    SecretText::new(format!("curl -sS --config -{data} {url} <<'END'\nuser = \"{user}\"\nEND\n"))
}

fn token_url(issuer: &str) -> String {
    format!("{issuer}/oauth/token")
}
