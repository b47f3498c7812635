//! Client secrets and HMAC secrets: made, rotated with an overlap, cut short, taken back.

use super::command::{SecretUse, Which};
use super::{Fresh, Refused};
use crate::ids::ClientId;
use crate::keyring::Keyring;
use crate::records::{Client, ClientState, SealedSecret, StoredSecret};
use crate::secret::{Digest, DigestOf, SecretText, base64url};
use crate::time::Timestamp;
use serde_json::{Value, json};

/// The longest overlap, in seconds: a secret that two people know for longer is not being rotated.
pub const MOST_OVERLAP_SECONDS: i64 = 30 * 86_400;

/// The shortest that the holder of a secret may choose: whoever found one must not lock its owner out at once.
pub const FEWEST_OF_A_HOLDER: i64 = 3600;

/// What has a time to live.
pub(super) trait Dated {
    fn created_at(&self) -> Option<Timestamp>;
    fn expires_at(&self) -> Option<Timestamp>;
    /// Ends at this time, if it would not sooner, until the rotation is taken back.
    fn end_at(&mut self, time: Timestamp);
    /// Ends when it would have without the rotation.
    fn take_back(&mut self);
}

macro_rules! dated {
    ($type:ty) => {
        impl Dated for $type {
            fn created_at(&self) -> Option<Timestamp> {
                self.created_at
            }
            fn expires_at(&self) -> Option<Timestamp> {
                self.expires_at
            }
            fn end_at(&mut self, time: Timestamp) {
                self.expired_at = self.expires_at;
                self.expires_at = Some(self.expires_at.map_or(time, |t| t.min(time)));
            }
            fn take_back(&mut self) {
                self.expires_at = self.expired_at.take();
            }
        }
    };
}
dated!(StoredSecret);
dated!(SealedSecret);

/// A new client secret: 256 random bits.
pub(super) fn made(prefix: &str, bits: &[u8; 32]) -> SecretText {
    SecretText::new(format!("{prefix}_{}", base64url(bits)))
}

/// A client secret as it is stored.
pub fn stored(keyring: &Keyring, client: &ClientId, secret: &SecretText, now: Timestamp) -> StoredSecret {
    let digest = Digest::of(&keyring.pepper, DigestOf::ClientSecret(client.as_str()), secret.expose());
    StoredSecret { digest, created_at: Some(now), expires_at: None, expired_at: None }
}

/// An HMAC secret as it is stored.
pub(super) fn sealed(
    keyring: &Keyring,
    client: &ClientId,
    secret: &SecretText,
    nonce: [u8; 12],
    now: Timestamp,
) -> Result<SealedSecret, Refused> {
    let sealed = keyring.sealing.seal(client.as_str(), secret, nonce);
    let sealed = sealed.map_err(|_| Refused::conflict("The secret cannot be sealed."))?;
    Ok(SealedSecret { sealed, created_at: Some(now), expires_at: None, expired_at: None })
}

/// What lists show of secrets: never one, nor its digest.
pub(super) fn view<T: Dated>(secrets: &[T], now: Timestamp) -> Vec<Value> {
    let live = secrets.iter().filter(|s| is_live(*s, now));
    live.map(|s| {
        let text = |time: Option<Timestamp>| time.map(Timestamp::to_rfc3339);
        json!({"created_at": text(s.created_at()), "expires_at": text(s.expires_at())})
    })
    .collect()
}

fn is_live<T: Dated>(secret: &T, now: Timestamp) -> bool {
    !secret.expires_at().is_some_and(|t| t.has_passed(now))
}

fn changeable(client: &Client) -> Result<(), Refused> {
    match client.state {
        ClientState::Active | ClientState::Suspended => Ok(()),
        ClientState::Pending => Err(Refused::conflict(
            "The client is pending and has no secrets of ours. Due: approve it, which makes them.",
        )),
        ClientState::Deleted => Err(Refused::conflict("The client was deleted.")),
    }
}

/// Puts a new secret in front; the others die after the overlap, or when they would have anyway.
fn overlap<T: Dated>(secrets: &mut Vec<T>, new: T, overlap_seconds: i64, now: Timestamp) -> Result<(), Refused> {
    secrets.retain(|s| is_live(s, now));
    if let [newest, older, ..] = secrets.as_slice() {
        let until = older.expires_at().or(newest.expires_at()).map_or("its end".to_owned(), Timestamp::to_rfc3339);
        return Err(Refused::conflict(format!(
            "Two secrets are live, until {until}. Due: revoke the old one, or cancel that rotation."
        )));
    }
    let until = now.plus(overlap_seconds);
    secrets.iter_mut().for_each(|old| old.end_at(until));
    secrets.insert(0, new);
    secrets.retain(|s| is_live(s, now));
    Ok(())
}

/// Rotates: the new secret.
///
/// # Errors
/// If two are live already, or the client has none of that kind.
pub fn rotate(
    client: &mut Client,
    of: SecretUse,
    overlap_seconds: i64,
    keyring: &Keyring,
    now: Timestamp,
    fresh: &Fresh,
) -> Result<SecretText, Refused> {
    changeable(client)?;
    if !(0..=MOST_OVERLAP_SECONDS).contains(&overlap_seconds) {
        return Err(Refused::invalid(format!("overlap_seconds: from 0 to {MOST_OVERLAP_SECONDS}")));
    }
    let id = client.client_id.clone();
    match of {
        SecretUse::Client => {
            let secret = made("cs", &fresh.secret);
            overlap(&mut client.secrets, stored(keyring, &id, &secret, now), overlap_seconds, now)?;
            Ok(secret)
        }
        SecretUse::Signing => {
            let Some(right) = &mut client.self_signing else { return Err(not_self_signing()) };
            let secret = made("ss", &fresh.signing);
            let [nonce, _] = fresh.nonces;
            overlap(&mut right.secrets, sealed(keyring, &id, &secret, nonce, now)?, overlap_seconds, now)?;
            Ok(secret)
        }
    }
}

fn not_self_signing() -> Refused {
    Refused::conflict("The client does not sign its own tokens.")
}

/// Takes a rotation back.
///
/// # Errors
/// If none is under way.
pub fn cancel(client: &mut Client, of: SecretUse, now: Timestamp) -> Result<(), Refused> {
    fn back<T: Dated>(secrets: &mut Vec<T>, now: Timestamp) -> Result<(), Refused> {
        secrets.retain(|s| is_live(s, now));
        if secrets.len() < 2 {
            return Err(Refused::conflict("No rotation is under way: one secret is live at most."));
        }
        secrets.remove(0);
        secrets.iter_mut().for_each(Dated::take_back);
        Ok(())
    }
    changeable(client)?;
    match (of, &mut client.self_signing) {
        (SecretUse::Client, _) => back(&mut client.secrets, now),
        (SecretUse::Signing, Some(right)) => back(&mut right.secrets, now),
        (SecretUse::Signing, None) => Err(not_self_signing()),
    }
}

/// Ends secrets at once.
///
/// # Errors
/// If there is none to end.
pub fn revoke(client: &mut Client, of: SecretUse, which: Which, now: Timestamp) -> Result<(), Refused> {
    fn end<T: Dated>(secrets: &mut Vec<T>, which: Which, now: Timestamp) -> Result<(), Refused> {
        secrets.retain(|s| is_live(s, now));
        match which {
            Which::Old if secrets.len() < 2 => {
                Err(Refused::conflict("There is no old secret: no rotation is under way. All of them can be revoked."))
            }
            Which::Old => {
                secrets.truncate(1);
                Ok(())
            }
            Which::All if secrets.is_empty() => Err(Refused::conflict("The client has no live secret.")),
            Which::All => {
                secrets.clear();
                Ok(())
            }
        }
    }
    changeable(client)?;
    match (of, &mut client.self_signing) {
        (SecretUse::Client, _) => end(&mut client.secrets, which, now),
        (SecretUse::Signing, Some(right)) => end(&mut right.secrets, which, now),
        (SecretUse::Signing, None) => Err(not_self_signing()),
    }
}
