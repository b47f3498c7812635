//! The walk of an authorization: credential, one trip to the table, decision. Authorizers answer gateways with it;
//! a guard that stands alone answers callers with it.

use crate::Fault;
use crate::aws::Aws;
use crate::client_proof::own_tenant;
use crate::keyring::KeyringSource;
use crate::remote::{Reach, Remote};
use crate::store::{Fetched, Freshness, Store, Wanted};
use auth_core::api::{Catalog, Found, Matched, Request};
use auth_core::api_key::UnverifiedApiKey;
use auth_core::audit::AuditLine;
use auth_core::decision::{
    Deployment, Rights, Trail, Verdict, authorize, establish_key, establish_self_signed, establish_token,
    idle_note_interval,
};
use auth_core::ids::{ClientId, ClientKind, Environment, KeyId, TenantId};
use auth_core::rate::Allowance;
use auth_core::refusal::{Reason, Refusal};
use auth_core::secret::Digest;
use auth_core::settings::{LogLevel, Settings};
use auth_core::time::Timestamp;
use auth_core::token::{Expected, UnverifiedSelfSigned, UnverifiedToken};
use std::sync::Arc;

/// What decisions rest on.
#[derive(Debug)]
pub struct Gate {
    /// The table.
    pub store: Store,
    /// The keyring.
    pub keyring: KeyringSource,
    /// The exact `iss` of our tokens.
    pub issuer: String,
    /// The environment of the deployment.
    pub environment: Environment,
    /// Seconds that clocks may differ.
    pub clock_leeway_seconds: i64,
    /// How often a client may ask the token function for anything, and a customer log in; as often as they like, if not
    /// said.
    pub client_requests: Option<Allowance>,
    /// How often an address may do either.
    pub address_requests: Option<Allowance>,
    /// Whether verdicts come with the checks that were made.
    pub explains: bool,
    /// Whether the use of tokens and keys is noted. Not by one who only wants to know what would be decided.
    pub notes_use: bool,
    /// Keys that clients and issuers publish.
    pub remote: Remote,
}

/// The APIs that a request is decided by, and the operation that it is for.
struct Place {
    catalog: Arc<Catalog>,
    matched: Option<Matched>,
}

impl Place {
    fn of(request: &Request, catalog: Arc<Catalog>) -> Self {
        Self { matched: catalog.find(&request.method, &request.path), catalog }
    }
}

/// What the holder of a credential may do, and the place of the request, if it was looked for.
type Holder = (Result<Rights, Reason>, Option<Place>);

impl Gate {
    /// A gate as the settings have it.
    pub fn new(aws: &Aws, settings: &Settings) -> Self {
        let freshness = Freshness {
            cache_seconds: settings.decision_cache_seconds,
            stale_if_error_seconds: settings.stale_if_error_seconds,
        };
        Self {
            store: Store::new(aws, &settings.table_name, freshness),
            keyring: KeyringSource::new(aws, &settings.keyring_secret_id),
            issuer: settings.issuer.clone(),
            environment: settings.environment,
            clock_leeway_seconds: settings.clock_leeway_seconds,
            client_requests: Allowance::a_minute(settings.token_requests_per_minute),
            address_requests: Allowance::a_minute(settings.address_requests_per_minute),
            explains: settings.log_level == LogLevel::Debug,
            notes_use: true,
            remote: Remote::new(Reach::Public),
        }
    }

    /// A gate that signs nothing: it keeps no private key, and a process that starts need not read any.
    pub fn verifying(aws: &Aws, settings: &Settings) -> Self {
        Self { keyring: KeyringSource::verifying(aws, &settings.keyring_secret_id), ..Self::new(aws, settings) }
    }

    /// What decisions rest on, beside the records.
    pub fn deployment(&self, now: Timestamp) -> Deployment {
        Deployment { environment: self.environment, now }
    }

    /// What tokens are judged by.
    pub fn expected(&self, now: Timestamp) -> Expected<'_> {
        Expected { issuer: &self.issuer, leeway_seconds: self.clock_leeway_seconds, now }
    }

    /// Decides a request with a bearer token. `token` is what the porch found in the header.
    ///
    /// # Errors
    /// A fault of ours; never the caller's doing.
    pub async fn bearer(
        &self,
        request: &Request,
        token: Result<&str, Reason>,
        now: Timestamp,
        line: &mut AuditLine,
    ) -> Result<Verdict, Fault> {
        let mut trail = Trail::kept(self.explains);
        let holder = match trail.note("token there", token) {
            Ok(text) => self.token_holder(request, text, now, &mut trail, line).await?,
            Err(reason) => (Err(reason), None),
        };
        let verdict = self.finish(request, holder, trail, line).await?;
        if let (Ok(access), true) = (&verdict.access, self.notes_use) {
            self.note_use(&verdict, access.rights(), now).await?;
        }
        Ok(verdict)
    }

    /// Decides a request with an API key. `key` is what the porch found in the header.
    ///
    /// # Errors
    /// A fault of ours; never the caller's doing.
    pub async fn api_key(
        &self,
        request: &Request,
        key: Result<&str, Reason>,
        now: Timestamp,
        line: &mut AuditLine,
    ) -> Result<Verdict, Fault> {
        let mut trail = Trail::kept(self.explains);
        let invalid = |_| Reason::new(Refusal::InvalidApiKey, "not the shape of an API key");
        let key = trail.note("key there", key);
        let key = key.and_then(|text| trail.note("key in shape", text.parse::<UnverifiedApiKey>().map_err(invalid)));
        let holder = match &key {
            Ok(key) => self.key_holder(request, key, now, &mut trail, line).await?,
            Err(reason) => (Err(reason.clone()), None),
        };
        let verdict = self.finish(request, holder, trail, line).await?;
        let id = verdict.access.as_ref().ok().and_then(|access| access.rights().key_id());
        if let (Some(id), Ok(key), true) = (id, &key, self.notes_use) {
            self.note_key(key, id, now).await?;
        }
        Ok(verdict)
    }

    /// Proves who holds an API key, whatever it is asked for: for what a holder does with its own key.
    ///
    /// # Errors
    /// A fault of ours; never the caller's doing.
    pub async fn key_owner(
        &self,
        key: Result<&str, Reason>,
        now: Timestamp,
        line: &mut AuditLine,
    ) -> Result<Result<Rights, Reason>, Fault> {
        let invalid = |_| Reason::new(Refusal::InvalidApiKey, "not the shape of an API key");
        let key = match key.and_then(|text| text.parse::<UnverifiedApiKey>().map_err(invalid)) {
            Ok(key) => key,
            Err(reason) => return Ok(Err(reason)),
        };
        Ok(self.key_holder(&nothing(), &key, now, &mut Trail::default(), line).await?.0)
    }

    /// Proves what a subject token is worth (RFC 8693 section 2.1): an API key, or a JWT that its client signed; whatever
    /// it is asked for. With a key comes its digest.
    ///
    /// # Errors
    /// A fault of ours; never the caller's doing.
    pub async fn subject_of(
        &self,
        token: &str,
        now: Timestamp,
        line: &mut AuditLine,
    ) -> Result<Result<(Rights, Option<Digest>), Reason>, Fault> {
        if let Ok(key) = token.parse::<UnverifiedApiKey>() {
            let digest = key.digest(&self.keyring.get(now).await?.pepper);
            let (rights, _) = self.key_holder(&nothing(), &key, now, &mut Trail::default(), line).await?;
            return Ok(rights.map(|rights| (rights, Some(digest))));
        }
        let trail = &mut Trail::default();
        let rights = match UnverifiedToken::parse(token) {
            Ok(UnverifiedToken::SelfSigned(token)) => self.self_signed(&nothing(), token, now, trail, line).await?.0,
            Ok(UnverifiedToken::Issued(_)) => {
                Err(Reason::new(Refusal::InvalidToken, "a token of ours is exchanged for no other"))
            }
            Err(reason) => Err(reason),
        };
        Ok(rights.map(|rights| (rights, None)))
    }

    /// Notes the use of a key, for lists. A table that does not take it is no reason to refuse the request.
    async fn note_key(&self, key: &UnverifiedApiKey, id: &KeyId, now: Timestamp) -> Result<(), Fault> {
        if self.store.is_use_unnoted(id, now) {
            let digest = key.digest(&self.keyring.get(now).await?.pepper);
            let _ = self.store.note_used(&digest, now).await;
        }
        Ok(())
    }

    async fn token_holder(
        &self,
        request: &Request,
        text: &str,
        now: Timestamp,
        trail: &mut Trail,
        line: &mut AuditLine,
    ) -> Result<Holder, Fault> {
        let token = match self.keyring.proven(text, &self.issuer, now) {
            Some(token) => trail.note("token in shape", Ok(token)),
            None => match trail.note("token in shape", UnverifiedToken::parse(text)) {
                Ok(UnverifiedToken::Issued(token)) => self.keyring.prove(token, text, &self.issuer, now).await?,
                Ok(UnverifiedToken::SelfSigned(token)) => {
                    return self.self_signed(request, token, now, trail, line).await;
                }
                Err(reason) => return Ok((Err(reason), None)),
            },
        };
        let token = token.and_then(|token| token.in_time(&self.expected(now)));
        let token = match trail.note("signature and claims", token) {
            Ok(token) => token,
            Err(reason) => return Ok((Err(reason), None)),
        };
        line.client_id = token.client_id().map(|name| name.as_str().to_owned());
        line.tenant = token.tenant().map(|name| name.as_str().to_owned());
        line.jti = token.jti().map(|name| name.as_str().to_owned());

        // A process that does not know the APIs yet asks for whatever may count; it reads them in the next trip.
        let is_idle = |catalog: &Catalog| {
            let matched = catalog.find(&request.method, &request.path);
            matched.is_some_and(|m: Matched| m.api.token.idle_seconds.is_some())
        };
        let known = self.store.known_catalog();
        let last_seen = known.is_none_or(|(_, catalog)| catalog.knows_idle_lives() && is_idle(&catalog));
        let wanted = Wanted {
            client: token.client_id(),
            tenant: token.tenant(),
            jti: token.jti(),
            last_seen,
            login_ref: token.login_ref(),
            key: token.key_ref(),
            ..Wanted::default()
        };
        let fetched = self.store.fetch(wanted, now).await?;
        let place = Place::of(request, self.store.catalog_for(&fetched).await?);
        let api = place.matched.as_ref().map(|m| m.api.as_ref());
        let rights = establish_token(token, fetched.facts, &place.catalog, self.deployment(now), api, trail);
        Ok((rights, Some(place)))
    }

    async fn self_signed(
        &self,
        request: &Request,
        token: UnverifiedSelfSigned<'_>,
        now: Timestamp,
        trail: &mut Trail,
        line: &mut AuditLine,
    ) -> Result<Holder, Fault> {
        let client_id = token.unverified_client_id().clone();
        let catalog = self.store.catalog().await?;
        let hint = own_tenant(&client_id);
        let named = token.unverified_tenant().cloned();
        let mut tenant = named
            .clone()
            .or_else(|| self.store.binding(&hint).map(|(_, tenant)| tenant))
            .or_else(|| requested_tenant(&catalog, request));
        let mut fetched = self.fetch_client(&client_id, tenant.as_ref(), now).await?;
        let place = Place::of(request, self.store.catalog_for(&fetched).await?);
        let keyring = self.keyring.get(now).await?;
        let audiences: Vec<&str> =
            place.matched.iter().map(|m| m.api.audience.as_str()).chain([self.issuer.as_str()]).collect();
        let client = fetched.facts.client.as_deref();
        line.client_id = client.map(|c| c.client_id.as_str().to_owned());
        let proven =
            token.verify(client, &keyring, &self.expected(now), &audiences).map_err(|e| Fault(e.to_string()))?;
        let token = match trail.note("signature and claims", proven) {
            Ok(token) => token,
            Err(reason) => return Ok((Err(reason), Some(place))),
        };
        // The tenant of a single_tenant client is known from its record, and from then on without asking.
        let single = client.filter(|c| c.kind == ClientKind::SingleTenant);
        let own = single.and_then(|c| c.tenant.clone()).filter(|_| named.is_none());
        if let Some(own) = own {
            if Some(&own) != tenant.as_ref() {
                fetched = self.fetch_client(&client_id, Some(&own), now).await?;
                self.store.bind(&hint, &client_id, &own);
            }
            tenant = Some(own);
        }
        line.tenant = tenant.as_ref().map(|name| name.as_str().to_owned());
        let deployment = self.deployment(now);
        let rights = establish_self_signed(&token, tenant.as_ref(), fetched.facts, &place.catalog, deployment, trail);
        Ok((rights, Some(place)))
    }

    async fn fetch_client(
        &self,
        client: &ClientId,
        tenant: Option<&TenantId>,
        now: Timestamp,
    ) -> Result<Fetched, Fault> {
        self.store.fetch(Wanted { client: Some(client), tenant, ..Wanted::default() }, now).await
    }

    async fn key_holder(
        &self,
        request: &Request,
        key: &UnverifiedApiKey,
        now: Timestamp,
        trail: &mut Trail,
        line: &mut AuditLine,
    ) -> Result<Holder, Fault> {
        let digest = key.digest(&self.keyring.get(now).await?.pepper);
        let hint = format!("key {}", digest.as_str());
        let mut bound = self.store.binding(&hint);
        let mut fetched = Fetched::default();
        // Twice, if it is not known yet whose key it is: first the key, then all.
        for _ in 0..2 {
            let (client, tenant) = bound.as_ref().map(|(c, t)| (c, t)).unzip();
            fetched = self.store.fetch(Wanted { key: Some(&digest), client, tenant, ..Wanted::default() }, now).await?;
            // Of a key that is over no more is read than of one that is nobody's: neither its holder nor a flood of it has
            // us work for more, and the time of the answer tells less.
            let live = fetched.facts.key.as_ref().filter(|key| key.is_live(now));
            let owner = live.map(|k| (k.client_id.clone(), k.tenant.clone()));
            if owner == bound {
                break;
            }
            match &owner {
                Some((client, tenant)) => self.store.bind(&hint, client, tenant),
                None => {
                    self.store.unbind(&hint);
                    break;
                }
            }
            bound = owner;
        }
        let place = Place::of(request, self.store.catalog_for(&fetched).await?);
        if let Some(key) = &fetched.facts.key {
            line.key_id = Some(key.key_id.as_str().to_owned());
            line.client_id = Some(key.client_id.as_str().to_owned());
            line.tenant = Some(key.tenant.as_str().to_owned());
        }
        let requested = place.matched.as_ref().map_or(Found::Unseen, |m| match m.operation.tenant {
            auth_core::api::Source::Token => Found::Unseen,
            ref source => match request.at(source, &m.parameters) {
                // Out of this authorizer's sight is not where the document says it stands.
                Found::Unseen => Found::Absent,
                found => found,
            },
        });
        let deployment = self.deployment(now);
        let rights = establish_key(fetched.facts, &place.catalog, deployment, &requested, trail);
        Ok((rights, Some(place)))
    }

    async fn finish(
        &self,
        request: &Request,
        (rights, place): Holder,
        mut trail: Trail,
        line: &mut AuditLine,
    ) -> Result<Verdict, Fault> {
        // Of a credential that is none, nothing need be asked of the table.
        let known = || self.store.known_catalog().map(|(_, catalog)| catalog).unwrap_or_default();
        let Place { catalog, matched } = place.unwrap_or_else(|| Place::of(request, known()));
        let rights = rights.map(Arc::new);
        line.method = Some(auth_core::audit::cut(&request.method));
        if let Some(matched) = &matched {
            line.api = Some(matched.api.name.as_str().to_owned());
            line.route = Some(matched.operation.path.to_string());
            line.scope =
                matched.operation.scopes.first().and_then(|set| set.first()).map(|name| name.as_str().to_owned());
        }
        let access = match (&rights, &matched) {
            (Err(reason), _) => Err(reason.clone()),
            (Ok(_), None) => Err(Reason::new(Refusal::EndpointNotAssigned, "no API declares this operation")),
            (Ok(rights), Some(matched)) => authorize(rights, matched, request, &mut trail),
        };
        if let Ok(rights) = &rights {
            line.customer_id = rights.customer_id().map(|name| name.as_str().to_owned());
            line.user_login = rights.user_login().map(|name| name.as_str().to_owned());
            line.tenant = rights.tenant().map(|name| name.as_str().to_owned()).or_else(|| line.tenant.take());
        }
        match &access {
            Err(reason) => line.refused(reason),
            Ok(_) => line.outcome = auth_core::audit::Outcome::Allowed,
        }
        Ok(Verdict { access, rights: rights.ok(), trail, catalog, matched })
    }

    /// Notes the use of a token on an API with an idle life, at most once in a tenth of it.
    async fn note_use(&self, verdict: &Verdict, rights: &Rights, now: Timestamp) -> Result<(), Fault> {
        if !verdict.catalog.knows_idle_lives() {
            return Ok(());
        }
        let idle = verdict.matched.as_ref().and_then(|m| m.api.token.idle_seconds);
        let Some(idle) = idle else { return Ok(()) };
        let (Some(jti), Some(until)) = (rights.jti(), rights.expires_at()) else { return Ok(()) };
        match rights.last_seen() {
            Some(last) if now.since(last) < idle_note_interval(idle).max(1) => Ok(()),
            _ => self.store.note_seen(jti, now, until).await,
        }
    }
}

/// A request of nobody's: no tenant is asked for, and no operation.
fn nothing() -> Request {
    Request { method: String::new(), path: String::new(), headers: None, query: None }
}

/// The tenant that a request names, if it names one. Only good for finding the grant.
fn requested_tenant(catalog: &Catalog, request: &Request) -> Option<TenantId> {
    let matched = catalog.find(&request.method, &request.path)?;
    match request.at(&matched.operation.tenant, &matched.parameters) {
        Found::One(text) => text.parse().ok(),
        _ => None,
    }
}
