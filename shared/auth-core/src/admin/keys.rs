//! API keys: issued, moved in, rotated with an overlap, revoked.

use super::command::{ImportKey, IssueKey};
use super::secrets::MOST_OVERLAP_SECONDS;
use super::{Fresh, Refused, to_come};
use crate::api::{Catalog, Mechanism};
use crate::api_key::UnverifiedApiKey;
use crate::ids::{ApiName, Environment, KeyId, Label, TenantId};
use crate::keyring::Keyring;
use crate::records::{ApiKey, Client, ClientState, Grant, GrantState, KeyLife, KeyListing, Replacement};
use crate::secret::{Digest, DigestOf, SecretText};
use crate::time::Timestamp;
use serde_json::{Value, json};

/// A key's two records.
#[derive(Debug, Clone)]
pub struct Key {
    /// What decisions read.
    pub record: ApiKey,
    /// What lists read.
    pub listing: KeyListing,
}

impl Key {
    /// Whether it is good at this time.
    pub fn is_live(&self, now: Timestamp) -> bool {
        self.record.is_live(now)
    }
}

/// The tenant of a new key, and its APIs, where nothing else is said: the client's.
///
/// # Errors
/// If the client cannot use a key there.
pub fn place(
    client: &Client,
    tenant: Option<TenantId>,
    apis: Option<Vec<ApiName>>,
    catalog: &Catalog,
) -> Result<(TenantId, Vec<ApiName>), Refused> {
    match client.state {
        ClientState::Active => {}
        ClientState::Pending => return Err(Refused::conflict("The client is pending. Due: approve it.")),
        ClientState::Suspended => return Err(Refused::conflict("The client is suspended. Due: resume it.")),
        ClientState::Deleted => return Err(Refused::conflict("The client was deleted.")),
    }
    let Some(tenant) = tenant.or_else(|| client.tenant.clone()) else {
        return Err(Refused::invalid("tenant: the client has none of its own; say which"));
    };
    if client.tenant.as_ref().is_some_and(|own| *own != tenant) {
        return Err(Refused::invalid("tenant: the client is tied to another"));
    }
    let takes_keys = |name: &&ApiName| {
        let api = catalog.apis.get(*name);
        api.is_some_and(|api| api.operations.iter().any(|o| o.mechanism == Mechanism::ApiKey))
    };
    let apis = match apis {
        Some(apis) => apis,
        None => client.apis.iter().filter(takes_keys).cloned().collect(),
    };
    if let Some(other) = apis.iter().find(|api| !client.apis.contains(api)) {
        return Err(Refused::invalid(format!("apis: {other} is not assigned to the client. Due: assign it first")));
    }
    if apis.is_empty() {
        return Err(Refused::invalid("apis: none of the client's APIs takes keys; say which"));
    }
    Ok((tenant, apis))
}

fn granted(grant: Option<&Grant>, tenant: &TenantId) -> Result<(), Refused> {
    match grant.map(|g| g.state) {
        Some(GrantState::Approved) => Ok(()),
        Some(_) => Err(Refused::conflict(format!("The grant of tenant {tenant} is not approved. Due: approve it."))),
        None => Err(Refused::conflict(format!("Tenant {tenant} has no grant for the client. Due: request it."))),
    }
}

/// Issues a key. `place` is what [`place`] found.
///
/// # Errors
/// If the tenant has not consented, or the time has passed.
pub fn issue(
    asked: IssueKey,
    client: &Client,
    place: (TenantId, Vec<ApiName>),
    grant: Option<&Grant>,
    keyring: &Keyring,
    now: Timestamp,
    fresh: &Fresh,
) -> Result<(Key, SecretText), Refused> {
    let (tenant, apis) = place;
    granted(grant, &tenant)?;
    let expires_at = to_come("expires_at", asked.expires_at, now)?;
    let key = UnverifiedApiKey::issue(client.environment, fresh.key);
    let (prefix, last_four) = key.shown();
    let digest = key.digest(&keyring.pepper);
    let key_id = KeyId::of(&digest);
    let record = ApiKey {
        key_id: key_id.clone(),
        client_id: client.client_id.clone(),
        tenant,
        apis,
        within_client: true,
        environment: client.environment,
        state: KeyLife::Active,
        expires_at,
    };
    let listing = KeyListing {
        key_id,
        client_id: client.client_id.clone(),
        digest,
        prefix,
        last_four: Some(last_four),
        label: asked.label,
        created_at: now,
        replaces: None,
        replaced_by: None,
        reason: None,
    };
    Ok((Key { record, listing }, key.into_secret()))
}

/// Takes a key over.
///
/// # Errors
/// Names the field.
pub fn import(
    asked: ImportKey,
    client: &Client,
    place: (TenantId, Vec<ApiName>),
    keyring: &Keyring,
    now: Timestamp,
) -> Result<Key, Refused> {
    let (tenant, apis) = place;
    let environment = asked.environment.unwrap_or(client.environment);
    let (digest, environment, last_four) = match (&asked.key, &asked.sha256, &asked.digest) {
        (Some(key), None, None) => {
            let key: UnverifiedApiKey = key.expose().parse().map_err(|e| Refused::invalid(format!("key: {e}")))?;
            (key.digest(&keyring.pepper), key.environment(), Some(key.shown().1))
        }
        (None, Some(sha256), None) => {
            let digest = Digest::of_sha256(&keyring.pepper, DigestOf::ApiKey, sha256);
            (digest.ok_or_else(|| Refused::invalid("sha256: 64 hex digits"))?, environment, None)
        }
        (None, None, Some(digest)) => {
            let digest = Digest::from_stored(digest);
            (digest.ok_or_else(|| Refused::invalid("digest: 32 bytes, base64url"))?, environment, None)
        }
        _ => return Err(Refused::invalid("key, sha256, digest: exactly one of them")),
    };
    if environment != client.environment || asked.environment.is_some_and(|e| e != environment) {
        return Err(Refused::invalid("environment: the key is of another than the client"));
    }
    let key_id = KeyId::of(&digest);
    let record = ApiKey {
        key_id: key_id.clone(),
        client_id: client.client_id.clone(),
        tenant,
        apis,
        within_client: true,
        environment,
        state: asked.state,
        expires_at: asked.expires_at.map(|t| t.0),
    };
    let listing = listing(&record, digest, last_four, asked.label, now);
    Ok(Key { record, listing })
}

/// The listing of a key that was not issued here.
pub fn listing(
    record: &ApiKey,
    digest: Digest,
    last_four: Option<String>,
    label: Option<Label>,
    now: Timestamp,
) -> KeyListing {
    KeyListing {
        key_id: record.key_id.clone(),
        client_id: record.client_id.clone(),
        digest,
        prefix: prefix(record.environment),
        last_four,
        label,
        created_at: now,
        replaces: None,
        replaced_by: None,
        reason: None,
    }
}

fn prefix(environment: Environment) -> String {
    format!("ak_{}_", environment.as_str())
}

/// Rotates a key: the old one as it is from now on, the new one, and the new one's text.
///
/// # Errors
/// If it is not good any more, or two are live already. The two other keys are the one that it replaces, and the one that
/// was to replace it.
pub fn rotate(
    mut old: Key,
    (replaced, replacement): (Option<&Key>, Option<&Key>),
    client: &Client,
    overlap_seconds: i64,
    keyring: &Keyring,
    now: Timestamp,
    fresh: &Fresh,
) -> Result<(Key, Key, SecretText), Refused> {
    if !(0..=MOST_OVERLAP_SECONDS).contains(&overlap_seconds) {
        return Err(Refused::invalid(format!("overlap_seconds: from 0 to {MOST_OVERLAP_SECONDS}")));
    }
    if !old.is_live(now) {
        return Err(Refused::conflict("The key is revoked or expired. Due: issue another."));
    }
    if client.state != ClientState::Active {
        return Err(Refused::conflict(format!("The client is {}.", client.state.as_str())));
    }
    if replacement.is_some_and(|key| key.is_live(now)) {
        return Err(Refused::conflict(
            "The key is being replaced already. Due: cancel that rotation, or revoke the key.",
        ));
    }
    if replaced.is_some_and(|key| key.is_live(now)) {
        return Err(Refused::conflict(
            "Two keys are live: the one that this replaces still is. Due: revoke that one, or cancel the rotation.",
        ));
    }
    let key = UnverifiedApiKey::issue(old.record.environment, fresh.key);
    let (prefix, last_four) = key.shown();
    let digest = key.digest(&keyring.pepper);
    let key_id = KeyId::of(&digest);
    let record = ApiKey { key_id: key_id.clone(), ..old.record.clone() };
    let listing = KeyListing {
        key_id: key_id.clone(),
        digest,
        prefix,
        last_four: Some(last_four),
        created_at: now,
        replaces: Some(old.record.key_id.clone()),
        replaced_by: None,
        reason: None,
        ..old.listing.clone()
    };
    // One whose replacement was revoked has its own end still.
    let expired_at = match old.listing.replaced_by.take() {
        Some(before) => before.expired_at,
        None => old.record.expires_at,
    };
    old.listing.replaced_by = Some(Replacement { key_id, expired_at });
    let until = now.plus(overlap_seconds);
    old.record.expires_at = Some(old.record.expires_at.map_or(until, |t| t.min(until)));
    Ok((old, Key { record, listing }, key.into_secret()))
}

/// Takes a rotation back: the old key as it was, the new one revoked.
///
/// # Errors
/// If none is under way, or the old key is dead already.
pub fn cancel(mut old: Key, mut new: Key, now: Timestamp) -> Result<(Key, Key), Refused> {
    let Some(replacement) = old.listing.replaced_by.take() else {
        return Err(Refused::conflict("No rotation of the key is under way."));
    };
    if !old.is_live(now) {
        return Err(Refused::conflict("The old key is dead already; only the new one is good."));
    }
    old.record.expires_at = replacement.expired_at;
    if new.is_live(now) {
        new.record.state = KeyLife::Revoked;
        new.listing.reason = "the rotation was cancelled".parse().ok();
    }
    Ok((old, new))
}

/// Revokes a key.
///
/// # Errors
/// If it was revoked before.
pub fn revoke(mut key: Key, reason: Option<Label>) -> Result<Key, Refused> {
    if key.record.state == KeyLife::Revoked {
        return Err(Refused::conflict("The key was revoked before."));
    }
    key.record.state = KeyLife::Revoked;
    key.listing.reason = reason;
    Ok(key)
}

/// What is shown of a key.
pub fn view(key: &Key, last_used: Option<Timestamp>, now: Timestamp) -> Value {
    let time = |time: Option<Timestamp>| time.map(Timestamp::to_rfc3339);
    let state = match key.record.state {
        KeyLife::Revoked => "revoked",
        KeyLife::Active if !key.is_live(now) => "expired",
        KeyLife::Active => "active",
    };
    json!({
        "key_id": key.record.key_id, "client_id": key.record.client_id, "tenant": key.record.tenant,
        "apis": key.record.apis, "environment": key.record.environment, "state": state,
        "prefix": key.listing.prefix, "last_four": key.listing.last_four, "label": key.listing.label,
        "created_at": key.listing.created_at.to_rfc3339(), "expires_at": time(key.record.expires_at),
        "last_used": time(last_used), "replaces": key.listing.replaces,
        "replaced_by": key.listing.replaced_by.as_ref().map(|r| &r.key_id), "reason": key.listing.reason,
    })
}
