//! Client authentication: at the token endpoint, and wherever a client manages its own credentials.

use crate::Fault;
use crate::gate::Gate;
use crate::remote::{KeysOf, Missing};
use crate::store::{Fetched, Wanted};
use auth_core::audit::AuditLine;
use auth_core::backoff::{Attempts, CLIENTS_BY_ADDRESS, CLIENTS_BY_NAME, wait_seconds_before};
use auth_core::client_authentication::{OneUse, UnverifiedAssertion, UnverifiedClient};
use auth_core::ids::{ClientId, ClientKind, TenantId};
use auth_core::issue::usable;
use auth_core::jwk::{VerifyingKey, registered};
use auth_core::keyring::Keyring;
use auth_core::rate::{Allowance, neighbourhood};
use auth_core::records::{Client, ClientKeys, StoredSecret};
use auth_core::secret::{Digest, DigestOf, SecretText};
use auth_core::time::Timestamp;
use std::sync::Arc;
use std::time::Duration;

/// No refusal of a client comes earlier than this. A record that is there takes longer to read than one that is not, by a
/// fifth of a millisecond, which would tell in the long run which clients there are.
const REFUSED_AFTER: Duration = Duration::from_millis(20);

/// A client that is proven, but for the one use of its assertion.
#[derive(Debug)]
pub struct Proven {
    /// What the table has.
    pub fetched: Fetched,
    /// The client.
    pub client: Arc<Client>,
    /// To be spent ([`Gate::spend`]) before anything is given for it.
    pub once: Option<OneUse>,
}

/// A client that is not proven.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotProven {
    /// What happened, for the log alone: the answer is one for all of it.
    pub why: String,
    /// There were too many of these: for how many seconds it is not tried again.
    pub wait: Option<i64>,
}

/// Where a request comes from, and what else is wanted of the table.
#[derive(Debug, Clone, Copy)]
pub struct Asking<'a> {
    /// Fetched beside; where there is none, the client's own, if this process has seen it.
    pub tenant: Option<&'a TenantId>,
    /// The caller's address.
    pub address: &'a str,
    /// The names that an assertion may have for an audience.
    pub audiences: &'a [&'a str],
}

impl Gate {
    /// Proves who a client is. Unknown, wrong, suspended, pending or of the other environment: one answer, and for each
    /// the same digest and the same comparison, or a signature of the same kind.
    ///
    /// # Errors
    /// A fault of ours; never the caller's doing.
    pub async fn prove_client(
        &self,
        keyring: &Keyring,
        unverified: &UnverifiedClient<'_>,
        asking: Asking<'_>,
        now: Timestamp,
        line: &mut AuditLine,
    ) -> Result<Result<Proven, NotProven>, Fault> {
        let not_before = tokio::time::sleep(REFUSED_AFTER);
        let tried = match unverified {
            UnverifiedClient::Secret(pairs) => self.by_secret(keyring, pairs, asking, now, line).await?,
            UnverifiedClient::Assertion(id, assertion) => {
                self.by_assertion(keyring, id, assertion, asking, now, line).await?
            }
        };
        match tried {
            Ok(proven) => {
                if let (ClientKind::SingleTenant, Some(own)) = (proven.client.kind, &proven.client.tenant) {
                    self.store.bind(&own_tenant(&proven.client.client_id), &proven.client.client_id, own);
                }
                Ok(Ok(proven))
            }
            Err(why) => {
                let attempts = match unverified {
                    UnverifiedClient::Secret(pairs) => attempts(keyring, pairs.iter().map(|(id, _)| id), asking),
                    UnverifiedClient::Assertion(id, _) => attempts(keyring, [id], asking),
                };
                let counts = self.store.count_attempts(&attempts, 1, now).await?;
                let wait = wait_seconds_before(&attempts, &counts, now);
                not_before.await;
                Ok(Err(NotProven { why, wait }))
            }
        }
    }

    /// Spends the one use of an assertion. `false`: somebody was here with it before.
    ///
    /// # Errors
    /// If the table does not answer.
    pub async fn spend(&self, once: Option<&OneUse>) -> Result<bool, Fault> {
        match once {
            None => Ok(true),
            Some(once) => self.store.spend(once).await,
        }
    }

    /// Uses one of a proven client's permits; if there is none, for how many seconds it is to wait.
    ///
    /// # Errors
    /// If the table does not answer.
    pub async fn permits_request(&self, client: &ClientId, now: Timestamp) -> Result<Result<(), i64>, Fault> {
        self.permits(self.client_requests, "requests", client.as_str(), now).await
    }

    /// The same of the customer with this login digest.
    ///
    /// # Errors
    /// If the table does not answer.
    pub async fn permits_login(&self, login: &Digest, now: Timestamp) -> Result<Result<(), i64>, Fault> {
        self.permits(self.client_requests, "logins", login.as_str(), now).await
    }

    /// The same of an address, whoever asks there. One that is not known is everybody's, and waits for nobody.
    ///
    /// # Errors
    /// If the table does not answer.
    pub async fn permits_address(&self, address: Option<&str>, now: Timestamp) -> Result<Result<(), i64>, Fault> {
        match address {
            Some(address) => self.permits(self.address_requests, "address", &neighbourhood(address), now).await,
            None => Ok(Ok(())),
        }
    }

    async fn permits(
        &self,
        allowance: Option<Allowance>,
        what: &str,
        whose: &str,
        now: Timestamp,
    ) -> Result<Result<(), i64>, Fault> {
        let Some(allowance) = allowance else { return Ok(Ok(())) };
        let has = self.store.permits(&format!("{what}#{whose}"), allowance, now).await?;
        Ok(if has { Ok(()) } else { Err(allowance.wait_seconds(now)) })
    }

    async fn by_secret(
        &self,
        keyring: &Keyring,
        pairs: &[(ClientId, SecretText)],
        asking: Asking<'_>,
        now: Timestamp,
        line: &mut AuditLine,
    ) -> Result<Result<Proven, String>, Fault> {
        let mut why = "unknown client";
        let mut fetched: Option<(&ClientId, Fetched)> = None;
        for (id, secret) in pairs {
            let have = match fetched.take() {
                Some((same, have)) if same == id => have,
                _ => self.fetch_for_proof(id, asking, now).await?,
            };
            let client = have.facts.client.clone();
            // What a caller only claims is not written down.
            line.client_id = client.as_ref().map(|c| c.client_id.to_string());
            if !secret_matches(keyring, id, secret, client.as_ref().map_or(&[], |c| &c.secrets), now) {
                why = if client.is_some() { "wrong secret" } else { why };
                fetched = Some((id, have));
                continue;
            }
            // State and environment are judged with the secret; the answer is the same, and takes the same way out.
            match client.map(|client| usable(&client, self.deployment(now)).map(|()| client)) {
                Some(Ok(client)) => return Ok(Ok(Proven { fetched: have, client, once: None })),
                Some(Err(not)) => why = not,
                None => {}
            }
            fetched = Some((id, have));
        }
        Ok(Err(why.into()))
    }

    async fn by_assertion(
        &self,
        keyring: &Keyring,
        id: &ClientId,
        assertion: &UnverifiedAssertion<'_>,
        asking: Asking<'_>,
        now: Timestamp,
        line: &mut AuditLine,
    ) -> Result<Result<Proven, String>, Fault> {
        let have = self.fetch_for_proof(id, asking, now).await?;
        let client = have.facts.client.clone();
        line.client_id = client.as_ref().map(|c| c.client_id.to_string());
        // Judged before anybody is asked for keys: nobody makes us fetch for a client that is not in use.
        let usable = client.ok_or("unknown client").and_then(|c| usable(&c, self.deployment(now)).map(|()| c));
        let client = match usable {
            Ok(client) => client,
            Err(why) => {
                verify_in_vain(assertion, keyring);
                return Ok(Err(why.into()));
            }
        };
        let proof = if assertion.is_of_the_client() {
            self.by_own_key(keyring, &client, assertion, asking, now).await
        } else {
            self.by_workload(keyring, &client, assertion, &have, now).await
        };
        let proof = match proof {
            Ok(proof) => proof,
            Err(fault) => {
                // Whoever makes us ask in vain is counted as well.
                self.store.count_attempts(&attempts(keyring, [id], asking), 1, now).await?;
                return Err(fault);
            }
        };
        Ok(proof.map(|once| Proven { fetched: have, client, once }))
    }

    async fn by_own_key(
        &self,
        keyring: &Keyring,
        client: &Client,
        assertion: &UnverifiedAssertion<'_>,
        asking: Asking<'_>,
        now: Timestamp,
    ) -> Result<Result<Option<OneUse>, String>, Fault> {
        let keys = match &client.keys {
            Some(ClientKeys::JwksUri(url)) => {
                let keys = self.remote.keys(KeysOf::Address(url), |keys| assertion.has_candidate(keys), now).await;
                match keys {
                    Ok(keys) => keys,
                    Err(Missing::Broken(fault)) => return Err(Fault(format!("jwks_uri: {fault}"))),
                    Err(Missing::Wrong(what)) => return Ok(Err(format!("the keys at jwks_uri cannot be had: {what}"))),
                }
            }
            _ => Arc::new(client.registered_keys()),
        };
        if !assertion.has_candidate(&keys) {
            verify_in_vain(assertion, keyring);
        }
        Ok(assertion.verify_own(&client.client_id, &keys, asking.audiences, &self.expected(now)).map(Some))
    }

    async fn by_workload(
        &self,
        keyring: &Keyring,
        client: &Client,
        assertion: &UnverifiedAssertion<'_>,
        have: &Fetched,
        now: Timestamp,
    ) -> Result<Result<Option<OneUse>, String>, Fault> {
        let workloads = client.workloads(assertion.unverified_issuer(), assertion.unverified_subject());
        let Some(first) = workloads.first() else {
            verify_in_vain(assertion, keyring);
            return Ok(Err("iss and sub are not a workload of the client".into()));
        };
        let catalog = self.store.catalog_for(have).await?;
        let Some(issuer) = catalog.issuers.iter().find(|issuer| issuer.issuer == first.issuer) else {
            return Ok(Err("the issuer of the workload is not trusted any more".into()));
        };
        let keys = match &issuer.jwks {
            Some(pinned) => Arc::new(registered(pinned)),
            None => {
                let of = KeysOf::Issuer(&issuer.issuer);
                let keys = self.remote.keys(of, |keys| assertion.has_candidate(keys), now).await;
                // An operator chose the issuer; that its keys cannot be had is not the workload's doing.
                keys.map_err(|missing| Fault(format!("keys of issuer {}: {missing}", issuer.name)))?
            }
        };
        let mut why = String::new();
        for workload in workloads {
            match assertion.verify_workload(workload, &keys, &self.issuer, &self.expected(now)) {
                Ok(()) => return Ok(Ok(None)),
                Err(not) => why = not,
            }
        }
        Ok(Err(why))
    }

    async fn fetch_for_proof(&self, client: &ClientId, asking: Asking<'_>, now: Timestamp) -> Result<Fetched, Fault> {
        let own = self.store.binding(&own_tenant(client)).map(|(_, own)| own);
        let tenant = asking.tenant.or(own.as_ref());
        let wanted = Wanted { client: Some(client), tenant, proves: true, ..Wanted::default() };
        self.store.fetch(wanted, now).await
    }
}

/// The name under which the tenant of a `single_tenant` client is kept.
pub(crate) fn own_tenant(client: &ClientId) -> String {
    format!("client {client}")
}

/// What a failure counts against: every spelling of the id, by its digest, for people paste secrets where an id belongs;
/// and the address.
fn attempts<'a>(keyring: &Keyring, ids: impl IntoIterator<Item = &'a ClientId>, asking: Asking<'_>) -> Vec<Attempts> {
    let named_by = |id: &ClientId| Digest::of(&keyring.pepper, DigestOf::ClientId, id.as_str()).as_str().to_owned();
    let mut attempts: Vec<_> = ids.into_iter().map(|id| Attempts::new(CLIENTS_BY_NAME, named_by(id))).collect();
    attempts.dedup();
    attempts.push(Attempts::at(CLIENTS_BY_ADDRESS, asking.address));
    attempts
}

/// Checks a signature by keys of ours that can never have made it, where there are none to check it by.
fn verify_in_vain(assertion: &UnverifiedAssertion<'_>, keyring: &Keyring) {
    let own: Vec<VerifyingKey> = keyring.signing_keys().cloned().collect();
    assertion.verify_in_vain(&own);
}

fn secret_matches(
    keyring: &Keyring,
    client: &ClientId,
    secret: &SecretText,
    stored: &[StoredSecret],
    now: Timestamp,
) -> bool {
    let digest = Digest::of(&keyring.pepper, DigestOf::ClientSecret(client.as_str()), secret.expose());
    let live = stored.iter().filter(|s| !s.expires_at.is_some_and(|t| t.has_passed(now)));
    // An unknown client's secret is compared as well, with what can never match.
    let mut matches = digest.matches(&Digest::of_nothing());
    for stored in live {
        matches |= digest.matches(&stored.digest);
    }
    matches
}
