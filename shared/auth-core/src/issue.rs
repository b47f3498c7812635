//! What a token request gets: pure, from the client's record, its grant and what it asks for.

use crate::admin::operations::is_administrative;
use crate::api::{Api, Catalog, Mechanism, Subject, TokenSettings};
use crate::decision::{Deployment, Rights, Trail, establish_client};
use crate::details::Details;
use crate::ids::{ClientKind, CustomerId, Jti, RoleName, Scope, TenantId, UserLogin};
use crate::jws::Algorithm;
use crate::records::{Client, ClientState, Customer, Facts, GrantType};
use crate::secret::Digest;
use crate::time::Timestamp;
use crate::token::{Claims, TokenUse, parse_scope};
use std::collections::BTreeSet;
use std::sync::Arc;

/// What a token request asks for, beside the grant type.
#[derive(Debug, Clone, Copy, Default)]
pub struct Asked<'a> {
    /// `tpl` or `tenant`.
    pub tenant: Option<&'a str>,
    /// `scope`.
    pub scope: Option<&'a str>,
    /// `resource` (RFC 8707) or `audience`.
    pub resource: Option<&'a str>,
    /// `user_login`.
    pub user_login: Option<&'a str>,
    /// `authorization_details` (RFC 9396).
    pub details: Option<&'a str>,
}

/// Why no token is issued. The texts may be told to the caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotIssued {
    /// Not the caller it says, or not active, or of the other environment. Says why for the log.
    InvalidClient(String),
    /// The client may not ask for tokens.
    UnauthorizedClient,
    /// A parameter.
    InvalidRequest(&'static str),
    /// More than is granted.
    InvalidScope,
    /// `authorization_details` that are not understood, or more than is granted (RFC 9396 section 5).
    InvalidDetails,
    /// The tenant, or the API.
    InvalidTarget(&'static str),
}

/// A revocation may have been written by a clock that is ahead, and twice in one second, by so many seconds.
const MOST_AHEAD: i64 = 5;

/// The longest life of a token that another credential was exchanged for, in seconds.
pub const EXCHANGED_SECONDS: i64 = 900;

/// The one text for every tenant that a client cannot have.
const NO_TENANT: &str = "The tenant is not one that this client may act for.";

/// What a token will say.
#[derive(Debug, Clone)]
pub struct Plan {
    subject: String,
    client_id: String,
    audience: Vec<String>,
    /// By which algorithm it is signed.
    pub algorithm: Algorithm,
    /// For how many seconds it is good.
    pub lifetime_seconds: i64,
    scopes: BTreeSet<Scope>,
    roles: Vec<RoleName>,
    token_use: TokenUse,
    tenant: Option<TenantId>,
    user_login: Option<UserLogin>,
    customer: Option<(CustomerId, String)>,
    details: Details,
    /// What it was exchanged for, and is not good for longer than.
    key_ref: Option<Digest>,
    /// Tokens issued before are refused.
    not_before: Option<Timestamp>,
}

/// The tenant that a request of this client is about, before anything is granted.
///
/// # Errors
/// A tenant that is missing, malformed or not the client's.
pub fn tenant_of(client: &Client, asked: Asked<'_>) -> Result<Option<TenantId>, NotIssued> {
    let named: Option<TenantId> = match asked.tenant.map(str::parse) {
        None => None,
        Some(Ok(tenant)) => Some(tenant),
        Some(Err(_)) => return Err(NotIssued::InvalidRequest("tpl is not the id of a tenant.")),
    };
    match (client.kind, named) {
        (ClientKind::SingleTenant, Some(named)) if Some(&named) != client.tenant.as_ref() => {
            Err(NotIssued::InvalidTarget(NO_TENANT))
        }
        (ClientKind::SingleTenant, _) => Ok(client.tenant.clone()),
        (ClientKind::DynamicTenant, None) => Err(NotIssued::InvalidRequest("tpl is missing: name the tenant.")),
        (ClientKind::DynamicTenant, named) => Ok(named),
        (ClientKind::MultiTenant, None) => Ok(None),
        (ClientKind::MultiTenant, Some(_)) => Err(NotIssued::InvalidTarget(NO_TENANT)),
    }
}

/// Whether a client whose secret was right may be told so.
///
/// # Errors
/// Why it is answered as if the secret were wrong; for the log.
pub fn usable(client: &Client, deployment: Deployment) -> Result<(), &'static str> {
    match () {
        () if client.environment != deployment.environment => Err("a client of the other environment"),
        () if client.state == ClientState::Pending => Err("the client is pending"),
        () if client.state == ClientState::Suspended => Err("the client is suspended"),
        () if client.state != ClientState::Active => Err("the client was deleted"),
        () => Ok(()),
    }
}

/// What an authenticated client gets (`client_credentials`, RFC 6749 section 4.4). `facts` are about the tenant of
/// [`tenant_of`].
///
/// # Errors
/// Why it gets nothing.
pub fn plan_for_client(
    facts: Facts,
    tenant: Option<&TenantId>,
    asked: Asked<'_>,
    catalog: &Catalog,
    deployment: Deployment,
) -> Result<Plan, NotIssued> {
    let Some(client) = facts.client.clone() else { return Err(NotIssued::InvalidClient("unknown client".into())) };
    usable(&client, deployment).map_err(|why| NotIssued::InvalidClient(why.into()))?;
    let internal_only = client.kind != ClientKind::SingleTenant;
    if !client.grant_types.contains(&GrantType::ClientCredentials) || (internal_only && !client.internal) {
        return Err(NotIssued::UnauthorizedClient);
    }
    let rights = establish_client(facts, tenant, catalog, deployment, &mut Trail::default(), |_| Ok(()))
        .map_err(|reason| NotIssued::InvalidClient(reason.why))?;
    plan(&rights, asked, catalog)
}

/// What a credential that calls APIs itself is exchanged for (RFC 8693): a token that may do no more, at no other APIs,
/// for a short time and no longer than the credential. `key_ref` is the digest of an API key.
///
/// # Errors
/// Why there is nothing to be had for it.
pub fn plan_for_exchange(
    rights: &Rights,
    key_ref: Option<Digest>,
    asked: Asked<'_>,
    catalog: &Catalog,
    now: Timestamp,
) -> Result<Plan, NotIssued> {
    if !rights.may_exchange() {
        return Err(NotIssued::UnauthorizedClient);
    }
    // A key is one tenant's, and what maintains tenants has none: it would shed that.
    if rights.kind() == Some(ClientKind::MultiTenant) {
        return Err(NotIssued::InvalidTarget(NO_TENANT));
    }
    let plan = plan(rights, asked, catalog)?;
    let left = rights.expires_at().map_or(i64::MAX, |end| end.since(now));
    let lifetime_seconds = plan.lifetime_seconds.min(EXCHANGED_SECONDS).min(left);
    if lifetime_seconds < 1 {
        return Err(NotIssued::InvalidRequest("The subject_token has expired."));
    }
    // Nobody administers by what opens an API: a key cannot be what a secret is.
    let scopes = plan.scopes.into_iter().filter(|scope| !is_administrative(scope)).collect();
    Ok(Plan { lifetime_seconds, key_ref, scopes, ..plan })
}

/// The token of a client, within rights that were established.
fn plan(rights: &Rights, asked: Asked<'_>, catalog: &Catalog) -> Result<Plan, NotIssued> {
    if rights.kind() != Some(ClientKind::MultiTenant) && rights.tenant().is_none() {
        return Err(NotIssued::InvalidTarget(NO_TENANT));
    }
    let user_login = match asked.user_login.map(str::parse) {
        None if rights.requires_user_login() => return Err(NotIssued::InvalidRequest("user_login is missing.")),
        None => None,
        Some(Ok(login)) => Some(login),
        Some(Err(_)) => {
            return Err(NotIssued::InvalidRequest(
                "user_login has 1 to 256 characters, none of them control characters.",
            ));
        }
    };
    let assigned: Vec<&Api> = rights.apis().iter().filter_map(|name| catalog.apis.get(name).map(Arc::as_ref)).collect();
    let apis: Vec<&Api> = match asked.resource {
        Some(resource) => {
            let named = assigned.iter().find(|api| api.audience == resource || api.name.as_str() == resource);
            vec![named.copied().ok_or(NotIssued::InvalidTarget("The resource is not an API of this client."))?]
        }
        None => assigned.into_iter().filter(|api| takes_tokens_of_clients(api)).collect(),
    };
    let granted = rights.scopes();
    let scopes = match asked.scope {
        None => granted.clone(),
        Some(text) => match parse_scope(text) {
            Some(wanted) if wanted.is_subset(granted) => wanted,
            _ => return Err(NotIssued::InvalidScope),
        },
    };
    let (algorithm, lifetime_seconds) = settings_of(&apis)?;
    let audience: Vec<String> = apis.iter().map(|api| api.audience.clone()).collect();
    let details = match asked.details.map(Details::parse) {
        None => Details::default(),
        Some(Some(details)) if details.are_within(&scopes, rights.skus(), &audience) => details,
        Some(_) => return Err(NotIssued::InvalidDetails),
    };
    let audience = details.narrow_audience(audience);
    Ok(Plan {
        subject: rights.principal().to_owned(),
        client_id: rights.principal().to_owned(),
        audience,
        algorithm,
        lifetime_seconds,
        scopes: details.narrow(scopes),
        roles: rights.roles().to_vec(),
        token_use: rights.token_use(),
        tenant: rights.tenant().cloned(),
        user_login,
        customer: None,
        details,
        key_ref: None,
        not_before: rights.tokens_not_before(),
    })
}

/// What a customer who proved the password gets. `login_ref` is the digest of the login name.
///
/// # Errors
/// If the tenant has no API for customers.
pub fn plan_for_customer(
    customer: &Customer,
    apis_of_tenant: &[crate::ids::ApiName],
    login_ref: &str,
    catalog: &Catalog,
) -> Result<Plan, NotIssued> {
    let apis: Vec<&Api> = apis_of_tenant
        .iter()
        .filter_map(|name| catalog.apis.get(name).map(Arc::as_ref))
        .filter(|api| api.is_for_customers())
        .collect();
    if apis.is_empty() {
        return Err(NotIssued::InvalidTarget("The tenant has no API for customers."));
    }
    let (algorithm, lifetime_seconds) = settings_of(&apis)?;
    Ok(Plan {
        subject: customer.customer_id.to_string(),
        client_id: "login".into(),
        audience: apis.iter().map(|api| api.audience.clone()).collect(),
        algorithm,
        lifetime_seconds,
        scopes: customer.scopes.iter().cloned().collect(),
        roles: Vec::new(),
        token_use: TokenUse::Customer,
        tenant: Some(customer.tenant.clone()),
        user_login: None,
        customer: Some((customer.customer_id.clone(), login_ref.to_owned())),
        details: Details::default(),
        key_ref: None,
        not_before: customer.tokens_not_before,
    })
}

/// Whether any operation takes a bearer token of a client: an API of keys, or for customers, needs no audience.
fn takes_tokens_of_clients(api: &Api) -> bool {
    api.operations.iter().any(|o| o.mechanism == Mechanism::Jwt && o.subject != Subject::Customer)
}

fn settings_of(apis: &[&Api]) -> Result<(Algorithm, i64), NotIssued> {
    let default = TokenSettings::default();
    let algorithm = apis.first().map_or(default.alg, |api| api.token.alg);
    if apis.iter().any(|api| api.token.alg != algorithm) {
        return Err(NotIssued::InvalidTarget("The client's APIs want different algorithms: name a resource."));
    }
    let lifetime = apis.iter().map(|api| api.token.lifetime_seconds).min().unwrap_or(default.lifetime_seconds);
    Ok((algorithm, lifetime))
}

impl Plan {
    /// Scopes, divided by spaces.
    pub fn scope(&self) -> String {
        let words: Vec<&str> = self.scopes.iter().map(Scope::as_str).collect();
        words.join(" ")
    }

    /// Whether no API takes the token.
    pub fn is_for_no_api(&self) -> bool {
        self.audience.is_empty()
    }

    /// The tenant.
    pub fn tenant(&self) -> Option<&TenantId> {
        self.tenant.as_ref()
    }

    /// The limits beyond scopes.
    pub fn details(&self) -> &Details {
        &self.details
    }

    /// On whose behalf.
    pub fn user_login(&self) -> Option<&UserLogin> {
        self.user_login.as_ref()
    }

    /// The claims.
    pub fn claims(self, issuer: &str, deployment: Deployment, jti: Jti) -> Claims {
        let now: Timestamp = deployment.now;
        // A revocation counts from the next second on; what is issued after it, in the same second, says that one.
        let issued_at = self.not_before.filter(|t| (1..=MOST_AHEAD).contains(&t.since(now))).unwrap_or(now);
        let scope = self.scope();
        let (customer_id, login_ref) = self.customer.unzip();
        // A client without an API still gets a token (RFC 9068 wants an audience); every API refuses it.
        let audience = if self.audience.is_empty() { vec![issuer.to_owned()] } else { self.audience };
        Claims {
            iss: issuer.to_owned(),
            sub: self.subject,
            aud: audience.into(),
            client_id: self.client_id,
            iat: issued_at,
            nbf: now,
            exp: issued_at.plus(self.lifetime_seconds),
            jti,
            scope,
            roles: self.roles,
            token_use: self.token_use,
            tenant: self.tenant,
            environment: deployment.environment,
            user_login: self.user_login,
            customer_id,
            login_ref,
            key_ref: self.key_ref,
            authorization_details: self.details,
        }
    }
}
