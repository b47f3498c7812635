//! The decision: pure, default deny, and it says why.
//!
//! Two steps. *Who*: [`establish_token`], [`establish_self_signed`] or [`establish_key`] turns a proven credential and
//! the records behind it into [`Rights`]. *May they*: [`authorize`] holds one request against the rights. Both write
//! every check into a [`Trail`], which the audit line, `explain` and the guard read.

use crate::api::{Api, Catalog, Found, Matched, Mechanism, Operation, Request, Source, Subject};
use crate::details::Details;
use crate::ids::{
    ApiName, ClientId, ClientKind, CustomerId, Environment, Jti, KeyId, RoleName, Scope, Sku, SkuPattern, SupplierCode,
    TenantId, UserLogin,
};
use crate::jws::Algorithm;
use crate::records::{ActiveState, ApiKey, Client, ClientState, Facts, GrantState, KeyLife, Rate, Tenant};
use crate::refusal::{Reason, Refusal};
use crate::time::Timestamp;
use crate::token::{SelfSigned, TokenUse, VerifiedToken};
use serde::Serialize;
use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;

/// What decisions of a deployment rest on, beside the records.
#[derive(Debug, Clone, Copy)]
pub struct Deployment {
    /// Credentials of the other environment are refused.
    pub environment: Environment,
    /// Now.
    pub now: Timestamp,
}

/// One check of a decision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What was checked.
    pub name: &'static str,
    /// Whether it held.
    pub passed: bool,
    /// What was found, where it did not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub found: Option<String>,
    /// What was compared with what.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compared: Option<String>,
}

/// The checks of a decision, in order. The first that does not hold ends it. Kept for those who want to know, and pay for
/// it; the default keeps none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Trail {
    checks: Vec<Check>,
    #[serde(skip)]
    kept: bool,
    #[serde(skip)]
    compared: Option<String>,
}

impl Trail {
    /// A trail whose checks are kept, or not.
    pub fn kept(kept: bool) -> Self {
        Self { kept, ..Self::default() }
    }

    /// The checks so far.
    pub fn checks(&self) -> &[Check] {
        &self.checks
    }

    /// Says what the next check compares.
    fn compare(&mut self, what: impl FnOnce() -> String) {
        if self.kept {
            self.compared = Some(what());
        }
    }

    /// Notes a check that was made elsewhere, such as that of a signature.
    ///
    /// # Errors
    /// Hands the refusal on.
    pub fn note<T>(&mut self, name: &'static str, result: Result<T, Reason>) -> Result<T, Reason> {
        if self.kept {
            let found = result.as_ref().err().map(|reason| reason.why.clone());
            self.checks.push(Check { name, passed: result.is_ok(), found, compared: self.compared.take() });
        }
        result
    }

    fn check(&mut self, name: &'static str, holds: bool, otherwise: impl FnOnce() -> Reason) -> Result<(), Reason> {
        self.note(name, if holds { Ok(()) } else { Err(otherwise()) })
    }
}

/// What a proven credential may do, whatever the request. Made only by the functions of this module.
#[derive(Debug, Clone)]
pub struct Rights {
    mechanism: Mechanism,
    token_use: TokenUse,
    client: Option<(ClientId, ClientKind)>,
    /// The tenant whose grant counts, or why none does.
    tenant: Result<Arc<Tenant>, Reason>,
    apis: Vec<ApiName>,
    /// The token's audiences; none for credentials that are not narrowed by one.
    audience: Option<Vec<String>>,
    /// What a token of ours is signed by.
    algorithm: Option<Algorithm>,
    scopes: BTreeSet<Scope>,
    roles: Vec<RoleName>,
    skus: Vec<SkuPattern>,
    suppliers: Vec<SupplierCode>,
    customer_id: Option<CustomerId>,
    user_login: Option<UserLogin>,
    jti: Option<Jti>,
    key_id: Option<KeyId>,
    expires_at: Option<Timestamp>,
    environment: Environment,
    rate: Option<Rate>,
    last_seen: Option<Timestamp>,
    /// What the token is limited to beyond its scopes.
    details: Details,
    /// What a token for it must name.
    requires_user_login: bool,
    /// Whether its credentials may be exchanged for tokens.
    may_exchange: bool,
    /// Tokens of it that were issued before are refused.
    tokens_not_before: Option<Timestamp>,
}

impl Rights {
    /// Who it is: the customer, or the client.
    pub fn principal(&self) -> &str {
        match (&self.customer_id, &self.client) {
            (Some(customer), _) => customer.as_str(),
            (None, Some((client, _))) => client.as_str(),
            (None, None) => "",
        }
    }
    /// The client.
    pub fn client_id(&self) -> Option<&ClientId> {
        self.client.as_ref().map(|(id, _)| id)
    }
    /// What the client is.
    pub fn kind(&self) -> Option<ClientKind> {
        self.client.as_ref().map(|(_, kind)| *kind)
    }
    /// The tenant whose grant counts.
    pub fn tenant(&self) -> Option<&TenantId> {
        self.tenant.as_ref().ok().map(|t| &t.id)
    }
    /// What it may do.
    pub fn scopes(&self) -> &BTreeSet<Scope> {
        &self.scopes
    }
    /// The roles that count now.
    pub fn roles(&self) -> &[RoleName] {
        &self.roles
    }
    /// The SKUs that the token is for, of those that the grant covers.
    pub fn shown_skus(&self) -> Cow<'_, [SkuPattern]> {
        self.details.all_skus(&self.skus)
    }
    /// The SKUs that the grant covers.
    pub fn skus(&self) -> &[SkuPattern] {
        &self.skus
    }
    /// The supplier codes of the grant.
    pub fn suppliers(&self) -> &[SupplierCode] {
        &self.suppliers
    }
    /// The customer.
    pub fn customer_id(&self) -> Option<&CustomerId> {
        self.customer_id.as_ref()
    }
    /// On whose behalf.
    pub fn user_login(&self) -> Option<&UserLogin> {
        self.user_login.as_ref()
    }
    /// The token's name.
    pub fn jti(&self) -> Option<&Jti> {
        self.jti.as_ref()
    }
    /// The key's name.
    pub fn key_id(&self) -> Option<&KeyId> {
        self.key_id.as_ref()
    }
    /// When the credential expires.
    pub fn expires_at(&self) -> Option<Timestamp> {
        self.expires_at
    }
    /// Where it may be used.
    pub fn environment(&self) -> Environment {
        self.environment
    }
    /// When the token's use was last noted, or else when it was issued.
    pub fn last_seen(&self) -> Option<Timestamp> {
        self.last_seen
    }
    /// Whether no tenant is asked for: an application that maintains tenants, on an operation for such.
    pub(crate) fn is_above_tenants(&self, operation: &Operation) -> bool {
        let maintains = self.client.as_ref().is_some_and(|(_, kind)| *kind == ClientKind::MultiTenant);
        maintains && matches!(operation.subject, Subject::Internal | Subject::Administrator)
    }
    /// What the token is limited to beyond its scopes.
    pub fn details(&self) -> &Details {
        &self.details
    }
    /// All of it that may change which operations it may call, as lists of texts in a fixed order; with `named` in the
    /// place of the tenant's name.
    pub(crate) fn facets(&self, named: &str, list: &mut dyn FnMut(&[&str])) {
        // Each field is named, so that a new one must be placed: what is left out does not change the operations.
        let Self {
            mechanism,
            token_use,
            client,
            tenant,
            apis,
            audience,
            algorithm,
            scopes,
            roles: _,
            skus,
            suppliers,
            customer_id: _,
            user_login: _,
            jti: _,
            key_id: _,
            expires_at: _,
            environment: _,
            rate: _,
            last_seen: _,
            details,
            requires_user_login: _,
            may_exchange: _,
            tokens_not_before: _,
        } = self;
        let kind = match client.as_ref().map(|(_, kind)| kind) {
            None => "",
            Some(ClientKind::SingleTenant) => "single",
            Some(ClientKind::DynamicTenant) => "dynamic",
            Some(ClientKind::MultiTenant) => "multi",
        };
        let mechanism = if *mechanism == Mechanism::ApiKey { "key" } else { "token" };
        let algorithm = algorithm.map_or("", Algorithm::as_str);
        list(&[mechanism, token_use.as_str(), kind, algorithm]);
        match tenant {
            Ok(tenant) => {
                list(&[named]);
                list(&tenant.apis.iter().map(ApiName::as_str).collect::<Vec<_>>());
            }
            Err(_) => list(&[]),
        }
        list(&apis.iter().map(ApiName::as_str).collect::<Vec<_>>());
        match audience {
            Some(audience) => {
                list(&["narrowed"]);
                list(&audience.iter().map(String::as_str).collect::<Vec<_>>());
            }
            None => list(&[]),
        }
        list(&scopes.iter().map(Scope::as_str).collect::<Vec<_>>());
        list(&skus.iter().map(SkuPattern::as_str).collect::<Vec<_>>());
        list(&suppliers.iter().map(SupplierCode::as_str).collect::<Vec<_>>());
        list(&[if details.is_empty() { String::new() } else { details.to_text() }.as_str()]);
    }
    /// The SKUs on which it may call an operation that asks for one; `None` if its token is not for the operation.
    pub(crate) fn skus_on(&self, api: &Api, operation: &Operation) -> Option<Cow<'_, [SkuPattern]>> {
        self.details.skus(&self.skus, api, operation)
    }
    /// The APIs that are assigned.
    pub(crate) fn apis(&self) -> &[ApiName] {
        &self.apis
    }
    /// Whether every token of it names a `user_login`.
    pub(crate) fn requires_user_login(&self) -> bool {
        self.requires_user_login
    }
    /// Whether its credentials may be exchanged for tokens.
    pub(crate) fn may_exchange(&self) -> bool {
        self.may_exchange
    }
    /// From when on tokens of it count.
    pub(crate) fn tokens_not_before(&self) -> Option<Timestamp> {
        self.tokens_not_before
    }
    /// Whom it speaks for.
    pub(crate) fn token_use(&self) -> TokenUse {
        self.token_use
    }
    /// How often the client may call.
    pub fn rate(&self) -> Option<Rate> {
        self.rate
    }
}

fn invalid(why: impl Into<String>) -> Reason {
    Reason::new(Refusal::InvalidToken, why)
}

/// What a verified token of ours is worth now. `api` is the one the request is for.
///
/// # Errors
/// Why it is worth nothing.
pub fn establish_token(
    token: VerifiedToken,
    facts: Facts,
    catalog: &Catalog,
    deployment: Deployment,
    api: Option<&Api>,
    trail: &mut Trail,
) -> Result<Rights, Reason> {
    let environment = token.environment.unwrap_or(deployment.environment);
    trail.compare(|| is_for(environment, deployment.environment));
    trail.check("environment", environment == deployment.environment, || {
        invalid(format!("a credential of the {} environment", environment.as_str()))
    })?;
    trail.check("token not revoked", !facts.revoked, || Reason::new(Refusal::TokenRevoked, "the jti was revoked"))?;
    let last = facts.last_seen.or(token.issued_at);
    if let Some(idle) = api.and_then(|api| api.token.idle_seconds) {
        trail.compare(|| {
            format!("last used {}, idle life {idle} s", last.map_or("never".into(), Timestamp::to_rfc3339))
        });
        trail.check("token in use", last.is_some_and(|t| deployment.now.since(t) <= idle_limit(idle)), || {
            Reason::new(Refusal::TokenExpired, format!("not used for more than {idle} s"))
        })?;
    }
    let mut rights = match token.token_use {
        TokenUse::Customer => establish_customer(&token, facts, trail)?,
        TokenUse::Partner | TokenUse::Internal => {
            let key = facts.key.clone();
            let rights = establish_client(facts, token.tenant.as_ref(), catalog, deployment, trail, |client| {
                if token_use_of(client.kind) != token.token_use {
                    return Err(invalid("token_use is not that of the client's kind"));
                }
                issued_since(client.tokens_not_before, token.issued_at)
            })?;
            // A token never does more than it says, nor more than the grant says now.
            let rights = Rights { scopes: rights.scopes.intersection(&token.scopes).cloned().collect(), ..rights };
            match &token.key_ref {
                None => rights,
                // Nor longer than the key that it was exchanged for.
                Some(_) => trail.note("key of the token", within_key(rights, key, deployment))?,
            }
        }
    };
    rights.audience = Some(token.aud);
    rights.algorithm = Some(token.algorithm);
    rights.user_login = token.user_login;
    rights.details = token.details;
    rights.jti = token.jti;
    rights.last_seen = last;
    rights.expires_at = Some(token.expires_at);
    Ok(rights)
}

fn within_key(mut rights: Rights, key: Option<Arc<ApiKey>>, deployment: Deployment) -> Result<Rights, Reason> {
    let Some(key) = key else { return Err(Reason::new(Refusal::TokenRevoked, "the key of the token is unknown")) };
    if !key.is_live(deployment.now) || Some(&key.client_id) != rights.client_id() {
        return Err(Reason::new(Refusal::TokenRevoked, "the key of the token was revoked, or has expired"));
    }
    rights.apis = apis_of_key(&key, &rights.apis);
    Ok(rights)
}

/// The APIs of a key: those that it is for, or those of them that are assigned to its client.
fn apis_of_key(key: &ApiKey, assigned: &[ApiName]) -> Vec<ApiName> {
    key.apis.iter().filter(|api| !key.within_client || assigned.contains(api)).cloned().collect()
}

fn is_for(environment: Environment, deployment: Environment) -> String {
    format!("the credential is for {}, the deployment {}", environment.as_str(), deployment.as_str())
}

/// Names, divided by spaces.
fn list<T: std::fmt::Display>(names: impl IntoIterator<Item = T>) -> String {
    let names: Vec<String> = names.into_iter().map(|name| name.to_string()).collect();
    if names.is_empty() { "nothing".to_owned() } else { names.join(" ") }
}

/// What stands where a request is looked at; a caller's text is cut.
fn said(found: &Found<'_>) -> String {
    match found {
        Found::One(text) => crate::audit::cut(text),
        Found::Many => "more than one".to_owned(),
        Found::Absent => "not there".to_owned(),
        Found::Unseen => "out of sight".to_owned(),
    }
}

fn issued_since(not_before: Option<Timestamp>, issued_at: Option<Timestamp>) -> Result<(), Reason> {
    match not_before {
        Some(not_before) if issued_at.is_none_or(|iat| iat < not_before) => {
            Err(Reason::new(Refusal::TokenRevoked, "all tokens issued before some time were revoked"))
        }
        _ => Ok(()),
    }
}

/// How long a token may rest before it counts as unused: the idle life, and a tenth on top, because its use is noted
/// at most once in that time.
pub fn idle_limit(idle_seconds: i64) -> i64 {
    idle_seconds.saturating_add(idle_note_interval(idle_seconds))
}

/// How long after a use was noted the next one is, in seconds.
pub fn idle_note_interval(idle_seconds: i64) -> i64 {
    idle_seconds / 10
}

/// Whom the tokens of a kind of client speak for.
pub fn token_use_of(kind: ClientKind) -> TokenUse {
    match kind {
        ClientKind::SingleTenant => TokenUse::Partner,
        ClientKind::DynamicTenant | ClientKind::MultiTenant => TokenUse::Internal,
    }
}

/// What a partner-signed token is worth now. `tenant` is the one the records are about.
///
/// # Errors
/// Why it is worth nothing.
pub fn establish_self_signed(
    token: &SelfSigned,
    tenant: Option<&TenantId>,
    facts: Facts,
    catalog: &Catalog,
    deployment: Deployment,
    trail: &mut Trail,
) -> Result<Rights, Reason> {
    let mut rights = establish_client(facts, tenant, catalog, deployment, trail, |client| {
        match (&token.tenant, client.kind, &client.tenant) {
            (Some(named), ClientKind::SingleTenant, own) if own.as_ref() != Some(named) => {
                Err(invalid("tenant is not that of the client"))
            }
            _ => issued_since(client.tokens_not_before, Some(token.issued_at)),
        }
    })?;
    if token.tenant.is_some() && rights.tenant.is_err() {
        return trail.note("tenant of the token", Err(invalid("tenant did not grant the client access")));
    }
    rights.expires_at = Some(token.expires_at);
    Ok(rights)
}

/// What an API key is worth now. `requested` is where the request names its tenant.
///
/// # Errors
/// [`Refusal::InvalidApiKey`].
pub fn establish_key(
    mut facts: Facts,
    catalog: &Catalog,
    deployment: Deployment,
    requested: &Found<'_>,
    trail: &mut Trail,
) -> Result<Rights, Reason> {
    let invalid = |why: &str| Reason::new(Refusal::InvalidApiKey, why);
    let key = trail.note("key known", facts.key.take().ok_or_else(|| invalid("unknown key")))?;
    trail.compare(|| format!("{}, of client {} for tenant {}", key.key_id, key.client_id, key.tenant));
    trail.check("key active", key.state == KeyLife::Active, || invalid("revoked key"))?;
    trail.compare(|| {
        let ends = key.expires_at.map_or("never".to_owned(), Timestamp::to_rfc3339);
        format!("expires {ends}, now {}", deployment.now.to_rfc3339())
    });
    trail.check("key in time", !key.expires_at.is_some_and(|t| t.has_passed(deployment.now)), || {
        invalid("expired key")
    })?;
    trail.compare(|| is_for(key.environment, deployment.environment));
    trail.check("environment", key.environment == deployment.environment, || {
        invalid("a key of the other environment")
    })?;
    let own = match requested {
        Found::Unseen => true,
        Found::One(tenant) => *tenant == key.tenant.as_str(),
        Found::Absent | Found::Many => false,
    };
    trail.compare(|| format!("the key is for {}, requested is {}", key.tenant, said(requested)));
    trail.check("key of the requested tenant", own, || invalid("not a key of the requested tenant"))?;
    let rights = establish_client(facts, Some(&key.tenant), catalog, deployment, trail, |client| {
        if client.client_id == key.client_id { Ok(()) } else { Err(invalid("not the client of the key")) }
    })
    .map_err(|reason| match reason.refusal {
        Refusal::InvalidToken => invalid(&reason.why),
        _ => reason,
    })?;
    let apis = apis_of_key(&key, &rights.apis);
    Ok(Rights {
        mechanism: Mechanism::ApiKey,
        apis,
        key_id: Some(key.key_id.clone()),
        expires_at: key.expires_at,
        ..rights
    })
}

pub(crate) fn establish_client(
    facts: Facts,
    tenant: Option<&TenantId>,
    catalog: &Catalog,
    deployment: Deployment,
    trail: &mut Trail,
    also: impl FnOnce(&Client) -> Result<(), Reason>,
) -> Result<Rights, Reason> {
    let client = trail.note("client known", facts.client.ok_or_else(|| invalid("unknown client")))?;
    trail.compare(|| format!("client {} is {}", client.client_id, client.state.as_str()));
    trail.check("client active", client.state == ClientState::Active, || {
        invalid(format!("the client is {}", client.state.as_str()))
    })?;
    trail.compare(|| is_for(client.environment, deployment.environment));
    trail.check("environment of the client", client.environment == deployment.environment, || {
        invalid(format!("a client of the {} environment", client.environment.as_str()))
    })?;
    let marked = client.kind == ClientKind::SingleTenant || client.internal;
    trail.check("internal, where its kind wants it", marked, || invalid("the client is not marked internal"))?;
    trail.note("credential of this client", also(&client))?;

    let not_granted = |why: &str| Reason::new(Refusal::TenantNotGranted, why);
    let grant = facts.grant.filter(|g| Some(&g.tenant) == tenant && g.client_id == client.client_id);
    let reaches = match client.kind {
        ClientKind::MultiTenant => Err(not_granted("a multi_tenant client reaches no tenant's data")),
        ClientKind::SingleTenant if client.tenant.as_ref() != tenant => {
            Err(not_granted("not the tenant of the client"))
        }
        ClientKind::SingleTenant | ClientKind::DynamicTenant => match (&grant, facts.tenant) {
            (_, None) => Err(not_granted("unknown tenant")),
            (_, Some(t)) if t.state != ActiveState::Active => Err(not_granted("the tenant is disabled")),
            (None, _) => Err(not_granted("no grant of the tenant")),
            (Some(g), _) if g.state == GrantState::Requested => Err(not_granted("the grant is not approved yet")),
            (Some(g), _) if g.state != GrantState::Approved => Err(not_granted("the grant was revoked")),
            (Some(g), _) if g.not_after.is_some_and(|t| t.has_passed(deployment.now)) => {
                Err(not_granted("the grant has ended"))
            }
            (Some(_), Some(t)) if Some(&t.id) == tenant => Ok(t),
            (Some(_), Some(_)) => Err(not_granted("the record of another tenant")),
        },
    };
    let (scopes, roles, skus, suppliers) = match (&reaches, grant, client.kind) {
        (_, _, ClientKind::MultiTenant) => (Vec::new(), client.roles.clone(), Vec::new(), Vec::new()),
        (Ok(_), Some(grant), _) => {
            (grant.scopes.clone(), grant.roles.clone(), grant.skus.clone(), grant.suppliers.clone())
        }
        _ => (Vec::new(), Vec::new(), Vec::new(), Vec::new()),
    };
    Ok(Rights {
        mechanism: Mechanism::Jwt,
        token_use: token_use_of(client.kind),
        client: Some((client.client_id.clone(), client.kind)),
        tenant: reaches,
        apis: client.apis.clone(),
        audience: None,
        algorithm: None,
        scopes: scopes.into_iter().chain(catalog.scopes_of(&roles).cloned()).collect(),
        roles,
        skus,
        suppliers,
        customer_id: None,
        user_login: None,
        jti: None,
        key_id: None,
        expires_at: None,
        environment: client.environment,
        rate: client.rate,
        last_seen: None,
        details: Details::default(),
        requires_user_login: client.requires_user_login,
        may_exchange: !client.grant_types.is_empty(),
        tokens_not_before: client.tokens_not_before,
    })
}

fn establish_customer(token: &VerifiedToken, facts: Facts, trail: &mut Trail) -> Result<Rights, Reason> {
    let customer = trail.note("customer known", facts.customer.ok_or_else(|| invalid("unknown customer")))?;
    let active = customer.state == ActiveState::Active && Some(&customer.tenant) == token.tenant.as_ref();
    trail.check("customer active", active, || invalid("the customer is disabled"))?;
    trail.check("customer of the token", token.customer_id.as_ref() == Some(&customer.customer_id), || {
        invalid("customer_id is not that of the login")
    })?;
    trail.note("tokens not revoked", issued_since(customer.tokens_not_before, token.issued_at))?;
    let tenant = match facts.tenant {
        Some(t) if t.state == ActiveState::Active && Some(&t.id) == token.tenant.as_ref() => Ok(t),
        _ => Err(Reason::new(Refusal::TenantNotGranted, "the tenant is unknown or disabled")),
    };
    Ok(Rights {
        mechanism: Mechanism::Jwt,
        token_use: TokenUse::Customer,
        client: None,
        apis: tenant.as_ref().map(|t| t.apis.clone()).unwrap_or_default(),
        tenant,
        audience: None,
        algorithm: None,
        scopes: customer.scopes.iter().filter(|s| token.scopes.contains(s)).cloned().collect(),
        roles: Vec::new(),
        skus: Vec::new(),
        suppliers: Vec::new(),
        customer_id: Some(customer.customer_id.clone()),
        user_login: None,
        jti: None,
        key_id: None,
        expires_at: None,
        environment: token.environment.unwrap_or(Environment::Test),
        rate: None,
        last_seen: None,
        details: Details::default(),
        requires_user_login: false,
        may_exchange: false,
        tokens_not_before: customer.tokens_not_before,
    })
}

/// Leave to call one operation with one request. Only [`authorize`] makes it.
#[derive(Debug, Clone)]
pub struct Access {
    rights: Arc<Rights>,
}

impl Access {
    /// What stands behind it.
    pub fn rights(&self) -> &Rights {
        &self.rights
    }
}

/// Holds one request against the rights.
///
/// # Errors
/// Why not.
pub fn authorize(
    rights: &Arc<Rights>,
    matched: &Matched,
    request: &Request,
    trail: &mut Trail,
) -> Result<Access, Reason> {
    let Matched { api, operation, parameters } = matched;
    check_surface(rights, api, operation, trail)?;
    if !rights.is_above_tenants(operation) {
        trail.compare(|| match &rights.tenant {
            Ok(tenant) => format!("tenant {} granted the client access", tenant.id),
            Err(reason) => reason.why.clone(),
        });
        let tenant = trail.note("tenant granted", rights.tenant.as_ref().map_err(Clone::clone))?;
        trail.compare(|| {
            let place = String::from(operation.tenant.clone());
            format!(
                "the credential acts for {}, {place} is {}",
                tenant.id,
                said(&request.at(&operation.tenant, parameters))
            )
        });
        trail.note("requested tenant", requested_tenant(&tenant.id, operation, request, parameters))?;
    }
    check_scope(rights, api, operation, trail)?;
    let covered = rights.skus_on(api, operation).ok_or_else(|| {
        Reason::new(Refusal::InsufficientScope, "the token's authorization_details are not for the operation")
    });
    let skus = match covered {
        Ok(skus) => skus,
        refused => trail.note("authorization details", refused)?,
    };
    if let Some(source) = &operation.sku {
        trail.compare(|| format!("{} against {}", said(&request.at(source, parameters)), list(skus.iter())));
        trail.note("SKU", check_sku(&skus, request.at(source, parameters)))?;
    }
    if let (Some(source), false) = (&operation.supplier, operation.guard) {
        trail.compare(|| format!("{} among {}", said(&request.at(source, parameters)), list(&rights.suppliers)));
        trail.note("supplier", check_supplier(&rights.suppliers, request.at(source, parameters)))?;
    }
    Ok(Access { rights: Arc::clone(rights) })
}

/// Whether the rights cover an operation, for whatever of their own tenant, SKUs and suppliers, as far as the request at
/// hand can tell: it meets those limits that do not stand in the path.
pub fn may_call(rights: &Rights, api: &Api, operation: &Operation, request: &Request) -> bool {
    covers(rights, api, operation) && meets_unseen_limits(rights, api, operation, request)
}

fn covers(rights: &Rights, api: &Api, operation: &Operation) -> bool {
    let trail = &mut Trail::default();
    check_surface(rights, api, operation, trail).is_ok()
        && (rights.is_above_tenants(operation) || rights.tenant.is_ok())
        && check_scope(rights, api, operation, trail).is_ok()
        && rights.skus_on(api, operation).is_some()
}

fn meets_unseen_limits(rights: &Rights, api: &Api, operation: &Operation, request: &Request) -> bool {
    let beside_path = |source: &Source| !matches!(source, Source::Path(_));
    let tenant = match rights.tenant() {
        Some(own) if beside_path(&operation.tenant) && !rights.is_above_tenants(operation) => {
            requested_tenant(own, operation, request, &[]).is_ok()
        }
        _ => true,
    };
    let sku = operation.sku.as_ref().filter(|s| beside_path(s));
    let supplier = operation.supplier.as_ref().filter(|_| !operation.guard);
    tenant
        && sku.is_none_or(|source| {
            rights.skus_on(api, operation).is_some_and(|skus| check_sku(&skus, request.at(source, &[])).is_ok())
        })
        && supplier.is_none_or(|source| check_supplier(&rights.suppliers, request.at(source, &[])).is_ok())
}

fn check_surface(rights: &Rights, api: &Api, operation: &Operation, trail: &mut Trail) -> Result<(), Reason> {
    trail
        .compare(|| format!("the operation takes {:?}, the credential is {:?}", operation.mechanism, rights.mechanism));
    trail.check("mechanism", rights.mechanism == operation.mechanism, || {
        let refusal =
            if operation.mechanism == Mechanism::ApiKey { Refusal::InvalidApiKey } else { Refusal::InvalidToken };
        Reason::new(refusal, "not the kind of credential that the operation takes")
    })?;
    let kind = rights.client.as_ref().map(|(_, kind)| *kind);
    let fits = match operation.subject {
        Subject::Customer => rights.token_use == TokenUse::Customer,
        Subject::Internal => rights.token_use == TokenUse::Internal,
        // A multi_tenant client is told that it has no grant, which is the truth.
        Subject::Partner | Subject::Administrator => kind.is_some(),
    };
    trail.compare(|| {
        format!("the operation is for {:?}, the credential of a {}", operation.subject, rights.token_use.as_str())
    });
    trail.check("subject", fits, || {
        Reason::new(Refusal::WrongSubject, format!("a credential of a {}", rights.token_use.as_str()))
    })?;
    trail.compare(|| format!("{} among {}", api.name, list(&rights.apis)));
    trail.check("API assigned", rights.apis.contains(&api.name), || {
        Reason::new(Refusal::EndpointNotAssigned, format!("API {} is not assigned", api.name))
    })?;
    let in_audience = rights.audience.as_ref().is_none_or(|aud| aud.contains(&api.audience));
    trail.compare(|| {
        let audience = rights.audience.as_ref().map_or("no audience".to_owned(), list);
        format!("{} among {audience}", api.audience)
    });
    trail.check("audience", in_audience, || invalid(format!("aud does not name API {}", api.name)))?;
    // Otherwise whoever holds the secret of one API's HMAC key could make tokens for all others.
    let signed_right = rights.algorithm.is_none_or(|algorithm| algorithm == api.token.alg);
    trail.compare(|| {
        let signed = rights.algorithm.map_or("by the partner", Algorithm::as_str);
        format!("the API wants {}, signed {signed}", api.token.alg.as_str())
    });
    trail.check("algorithm of the API", signed_right, || {
        invalid(format!("not signed by {}, as API {} wants", api.token.alg.as_str(), api.name))
    })
}

fn requested_tenant(
    own: &TenantId,
    operation: &Operation,
    request: &Request,
    parameters: &[(String, String)],
) -> Result<(), Reason> {
    let not_granted = |why: &str| Err(Reason::new(Refusal::TenantNotGranted, why));
    match (&operation.tenant, request.at(&operation.tenant, parameters)) {
        (Source::Token, _) => Ok(()),
        (_, Found::One(tenant)) if tenant == own.as_str() => Ok(()),
        (_, Found::One(_)) => not_granted("another tenant than that of the credential"),
        (_, Found::Absent) => not_granted("the request names no tenant"),
        (_, Found::Many) => not_granted("the request names more than one tenant"),
        (_, Found::Unseen) => not_granted("the tenant stands where this authorizer cannot see"),
    }
}

fn check_scope(rights: &Rights, api: &Api, operation: &Operation, trail: &mut Trail) -> Result<(), Reason> {
    if let (Ok(tenant), false) = (&rights.tenant, rights.is_above_tenants(operation)) {
        trail.compare(|| format!("{} among the APIs of tenant {}: {}", api.name, tenant.id, list(&tenant.apis)));
        trail.check("tenant has the API", tenant.apis.contains(&api.name), || {
            Reason::new(Refusal::EndpointNotAssigned, format!("tenant {} lacks API {}", tenant.id, api.name))
        })?;
    }
    let missing = |set: &Vec<Scope>| set.iter().find(|s| !rights.scopes.contains(*s)).cloned();
    let granted = operation.scopes.is_empty() || operation.scopes.iter().any(|set| missing(set).is_none());
    trail.compare(|| {
        let wanted: Vec<String> = operation.scopes.iter().map(list).collect();
        let wanted = if wanted.is_empty() { "none".to_owned() } else { wanted.join(" or ") };
        format!("wanted {wanted}; granted {}", list(&rights.scopes))
    });
    trail.check("scope", granted, || {
        let scope = operation.scopes.first().and_then(missing);
        let why = format!("lacks {}", scope.as_ref().map_or("a scope", Scope::as_str));
        let other_status = operation.scope_refusal_is_401.then_some(401);
        Reason { other_status, scope, ..Reason::new(Refusal::InsufficientScope, why) }
    })
}

/// Whether an SKU that was asked for is covered.
///
/// # Errors
/// [`Refusal::SkuNotGranted`].
pub fn check_sku(granted: &[SkuPattern], asked: Found<'_>) -> Result<(), Reason> {
    let refused = |why: &str| Err(Reason::new(Refusal::SkuNotGranted, why));
    match asked {
        Found::One(text) => match text.parse::<Sku>() {
            Ok(sku) if granted.iter().any(|pattern| pattern.covers(&sku)) => Ok(()),
            Ok(_) => refused("the grant does not cover the SKU"),
            Err(_) => refused("not an SKU"),
        },
        Found::Absent => refused("the request names no SKU"),
        Found::Many => refused("the request names more than one SKU"),
        Found::Unseen => refused("the SKU stands where this authorizer cannot see"),
    }
}

/// Whether a supplier code that was sent is the partner's.
///
/// # Errors
/// [`Refusal::SupplierMismatch`].
pub fn check_supplier(granted: &[SupplierCode], sent: Found<'_>) -> Result<(), Reason> {
    let refused = |why: &str| Err(Reason::new(Refusal::SupplierMismatch, why));
    match sent {
        Found::One(code) if granted.iter().any(|g| g.as_str() == code) => Ok(()),
        Found::One(_) => refused("not a supplier code of the grant"),
        Found::Absent => refused("the supplier header is missing"),
        Found::Many => refused("more than one supplier header"),
        Found::Unseen => refused("the supplier header stands where this authorizer cannot see"),
    }
}

/// What was decided of a request. Allowed is that there is an [`Access`], never that there is no refusal.
#[derive(Debug)]
pub struct Verdict {
    /// The leave to call, or why not.
    pub access: Result<Access, Reason>,
    /// What the credential may do, if it was proven.
    pub rights: Option<Arc<Rights>>,
    /// The checks that were made, if they are kept.
    pub trail: Trail,
    /// The APIs that it was decided by.
    pub catalog: Arc<Catalog>,
    /// The operation that the request is for.
    pub matched: Option<Matched>,
}
