//! Client authentication by secret: at the token endpoint, and wherever a client manages its own credentials.

use crate::Fault;
use crate::gate::Gate;
use crate::store::{Fetched, Wanted};
use auth_core::audit::AuditLine;
use auth_core::backoff::{Attempts, CLIENTS_BY_ADDRESS, CLIENTS_BY_NAME, wait_seconds};
use auth_core::ids::{ClientId, TenantId};
use auth_core::issue::usable;
use auth_core::keyring::Keyring;
use auth_core::records::{Client, StoredSecret};
use auth_core::secret::{Digest, DigestOf, SecretText};
use auth_core::time::Timestamp;

/// A client that is not proven.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotProven {
    /// What happened, for the log alone: the answer is one for all of it.
    pub why: &'static str,
    /// There were too many of these: for how many seconds it is not tried again.
    pub wait: Option<i64>,
}

impl Gate {
    /// Proves who a client is. Unknown, wrong, suspended, pending or of the other environment: one answer, and for each
    /// the same digest and the same comparison. `pairs` are the readings of what was sent; `tenant` is fetched beside.
    ///
    /// # Errors
    /// A fault of ours; never the caller's doing.
    pub async fn prove_client(
        &self,
        keyring: &Keyring,
        pairs: &[(ClientId, SecretText)],
        tenant: Option<&TenantId>,
        address: &str,
        now: Timestamp,
        line: &mut AuditLine,
    ) -> Result<Result<(Fetched, Client), NotProven>, Fault> {
        let mut why = "unknown client";
        let mut fetched: Option<(&ClientId, Fetched)> = None;
        // Every spelling of the id counts, by its digest: people paste secrets where an id belongs.
        let named_by = |id: &ClientId| Digest::of(&keyring.pepper, DigestOf::ClientId, id.as_str()).as_str().to_owned();
        let mut attempts: Vec<Attempts> =
            pairs.iter().map(|(id, _)| Attempts::new(CLIENTS_BY_NAME, named_by(id))).collect();
        attempts.dedup();
        attempts.push(Attempts::new(CLIENTS_BY_ADDRESS, address));
        for (id, secret) in pairs {
            let have = match fetched.take() {
                Some((same, have)) if same == id => have,
                _ => {
                    let wanted = Wanted { client: Some(id), tenant, attempts: &attempts, ..Wanted::default() };
                    self.store.fetch(wanted, now).await?
                }
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
                Some(Ok(client)) => return Ok(Ok((have, client))),
                Some(Err(not)) => why = not,
                None => {}
            }
            fetched = Some((id, have));
        }
        let wait = fetched.and_then(|(_, have)| wait_seconds(&attempts, &have.failures, now));
        self.store.count_attempts(&attempts, 1, now).await?;
        Ok(Err(NotProven { why, wait }))
    }
}

fn secret_matches(
    keyring: &Keyring,
    client: &ClientId,
    secret: &SecretText,
    stored: &[StoredSecret],
    now: Timestamp,
) -> bool {
    let digest = Digest::of(&keyring.pepper, DigestOf::ClientSecret(client.as_str()), secret.expose());
    // An unknown client's secret is compared as well, with what can never match.
    let nobody = Digest::of(&keyring.pepper, DigestOf::ClientSecret(""), "");
    let live = stored.iter().filter(|s| !s.expires_at.is_some_and(|t| t.has_passed(now)));
    let mut matches = digest.matches(&nobody);
    for stored in live {
        matches |= digest.matches(&stored.digest);
    }
    matches
}
