//! The one secret of a deployment: token signing keys, the pepper of all digests, the key that seals partners' HMAC
//! secrets.

use crate::jwk::{KeyRefused, SigningKey, VerifyingKey, wipe};
use crate::jws::Algorithm;
use crate::secret::{Pepper, SealingKey, base64url, from_base64url, sha256};
use crate::time::Timestamp;
use crate::token::{MAX_LEEWAY_SECONDS, MAX_LIFETIME_SECONDS};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::fmt;
use zeroize::{Zeroize, Zeroizing};

/// Where a key stands in its life. `next` is published before it signs, so that every verifier knows it by then;
/// `previous` verifies until the last token it signed is dead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyState {
    /// Published, does not sign yet.
    Next,
    /// Signs.
    Current,
    /// Only verifies.
    Previous,
}

/// The keyring as it is stored: the text of the secret.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyringDocument {
    /// 1.
    pub version: u32,
    /// 32 bytes, base64url.
    pub pepper: String,
    /// 32 bytes, base64url.
    pub sealing_key: String,
    /// The signing keys.
    pub keys: Vec<StoredKey>,
}

/// One signing key as it is stored.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoredKey {
    /// Where it stands in its life.
    pub state: KeyState,
    /// Since when; what is not known was long ago.
    #[serde(default)]
    pub since: Timestamp,
    /// The private JWK.
    pub jwk: Value,
}

impl StoredKey {
    fn member(&self, name: &str) -> &str {
        self.jwk.get(name).and_then(Value::as_str).unwrap_or_default()
    }
}

impl Drop for KeyringDocument {
    fn drop(&mut self) {
        self.pepper.zeroize();
        self.sealing_key.zeroize();
    }
}

impl Drop for StoredKey {
    fn drop(&mut self) {
        if let Some(jwk) = self.jwk.as_object_mut() {
            wipe(jwk);
        }
    }
}

impl fmt::Debug for KeyringDocument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyringDocument({} keys)", self.keys.len())
    }
}

/// A keyring that cannot be used; names what is wrong, never a value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the keyring: {0}")]
pub struct BadKeyring(pub String);

impl From<KeyRefused> for BadKeyring {
    fn from(refused: KeyRefused) -> Self {
        Self(refused.0)
    }
}

impl KeyringDocument {
    /// A keyring of a private JWK set and the two other keys. The first key of an algorithm signs; the others only
    /// verify.
    ///
    /// # Errors
    /// Names the key that is refused.
    pub fn from_jwks(
        jwks: &Value,
        pepper: [u8; 32],
        sealing_key: [u8; 32],
        now: Timestamp,
    ) -> Result<Self, BadKeyring> {
        let keys =
            jwks.get("keys").and_then(Value::as_array).ok_or_else(|| BadKeyring("keys: a list is needed".into()))?;
        let mut stored: Vec<StoredKey> = Vec::new();
        for (index, jwk) in keys.iter().enumerate() {
            SigningKey::from_jwk(jwk).map_err(|refused| BadKeyring(format!("keys[{index}].{}", refused.0)))?;
            let state = match stored.iter().any(|s| s.jwk.get("alg") == jwk.get("alg")) {
                true => KeyState::Previous,
                false => KeyState::Current,
            };
            stored.push(StoredKey { state, since: now, jwk: jwk.clone() });
        }
        Ok(Self { version: 1, pepper: base64url(&pepper), sealing_key: base64url(&sealing_key), keys: stored })
    }

    /// Reads the text of the secret, as far as its form goes; [`Keyring::parse`] looks at the keys themselves.
    ///
    /// # Errors
    /// If it is not a keyring document.
    pub fn parse(text: &str) -> Result<Self, BadKeyring> {
        let document: Self =
            crate::json::parse_as(text.as_bytes()).map_err(|_| BadKeyring("not a keyring document".into()))?;
        match document.version {
            1 => Ok(document),
            _ => Err(BadKeyring("version: only 1 is known".into())),
        }
    }

    /// Whether a keyring shares no signing key with this one, and all the rest: what a leak is answered with.
    pub fn is_replaced_by(&self, other: &Self) -> bool {
        let shares = |k: &StoredKey| self.keys.iter().any(|old| old.jwk == k.jwk);
        self.pepper == other.pepper && self.sealing_key == other.sealing_key && !other.keys.iter().any(shares)
    }

    /// Which keys there are and where each stands in its life; nothing of the keys themselves.
    pub fn describe(&self) -> Value {
        let keys = self.keys.iter().map(|key| {
            json!({"kid": key.member("kid"), "alg": key.member("alg"), "state": key.state,
                "since": key.since.to_rfc3339()})
        });
        json!({ "keys": keys.collect::<Vec<Value>>(), "rotation_due_at": self.due().map(Timestamp::to_rfc3339) })
    }

    /// The text to store.
    pub fn to_text(&self) -> Zeroizing<String> {
        // Written into a buffer that never grows, because growing would leave parts of it behind.
        let mut text = Zeroizing::new(Vec::with_capacity(64 * 1024));
        let written = serde_json::to_writer(&mut *text, self).is_ok();
        let text = std::str::from_utf8(&text).ok().filter(|_| written).unwrap_or_default();
        Zeroizing::new(text.to_owned())
    }
}

/// For how long a process may go on by a keyring that is no longer the current one (`auth_store::keyring`).
pub const KEPT_SECONDS: i64 = 3600;

/// How long may pass between the making of a keyring, whose times it bears, and its coming into use.
pub const PENDING_SECONDS: i64 = 3600;

/// How long a verifier elsewhere may keep our public keys: API Gateway's HTTP APIs do for two hours.
const ELSEWHERE_SECONDS: i64 = 2 * 3600;

/// How long a key is published before it signs: a verifier that has never seen a key refuses good tokens. Each of those
/// who may be late, and five minutes that the published document itself may be kept.
pub const PUBLISHED_SECONDS: i64 = PENDING_SECONDS + KEPT_SECONDS + ELSEWHERE_SECONDS + 300;

/// How long a key verifies after it stopped signing: until the last token of the longest life is dead, signed by the
/// process that was last to know.
pub const RETIRED_SECONDS: i64 = MAX_LIFETIME_SECONDS + PENDING_SECONDS + KEPT_SECONDS + MAX_LEEWAY_SECONDS;

/// What became of a key in a rotation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It was made, and is published.
    Made,
    /// It signs from now on.
    Promoted,
    /// It only verifies from now on.
    Retired,
    /// It is gone: its tokens are refused.
    Dropped,
}

/// The changes of a rotation: key and what became of it. None, if nothing was due.
pub type Changes = Vec<(String, Change)>;

/// `make` makes a private JWK of an algorithm: randomness is an argument.
impl KeyringDocument {
    /// A first keyring: of each algorithm a key that signs and one that will.
    ///
    /// # Errors
    /// If a key cannot be made.
    pub fn first<E>(
        pepper: [u8; 32],
        sealing_key: [u8; 32],
        now: Timestamp,
        make: impl FnMut(Algorithm) -> Result<Value, E>,
    ) -> Result<Self, E> {
        let keys = signing_and_next(&Algorithm::ALL, now, make)?;
        Ok(Self { version: 1, pepper: base64url(&pepper), sealing_key: base64url(&sealing_key), keys })
    }

    /// The keyring after a rotation, for each algorithm as far as it may go now: what was retired for long enough is
    /// dropped; the next key, if it was published for long enough, signs in the place of the current one; and there is
    /// a next one. An algorithm has one retired key at most, so that the published set keeps to ten.
    ///
    /// # Errors
    /// If a key cannot be made.
    pub fn rotated<E>(
        &self,
        now: Timestamp,
        mut make: impl FnMut(Algorithm) -> Result<Value, E>,
    ) -> Result<(Self, Changes), E> {
        let mut keys: Vec<StoredKey> = Vec::new();
        let mut changes = Changes::new();
        for key in &self.keys {
            match key.state == KeyState::Previous && now.since(key.since) >= RETIRED_SECONDS {
                true => changes.push((key.member("kid").to_owned(), Change::Dropped)),
                false => keys.push(StoredKey { state: key.state, since: key.since, jwk: key.jwk.clone() }),
            }
        }
        for algorithm in self.signing_algorithms() {
            let find = |keys: &[StoredKey], state| {
                keys.iter().position(|k| k.state == state && k.member("alg") == algorithm.as_str())
            };
            let next = find(&keys, KeyState::Next);
            let published = next.and_then(|n| keys.get(n)).is_some_and(|k| now.since(k.since) >= PUBLISHED_SECONDS);
            let is_due = published && find(&keys, KeyState::Previous).is_none();
            if next.is_some() && !is_due {
                continue;
            }
            let steps = [(KeyState::Current, KeyState::Previous), (KeyState::Next, KeyState::Current)];
            for (from, to) in steps.into_iter().filter(|_| is_due) {
                if let Some(key) = find(&keys, from).and_then(|n| keys.get_mut(n)) {
                    (key.state, key.since) = (to, now);
                    let change = if to == KeyState::Previous { Change::Retired } else { Change::Promoted };
                    changes.push((key.member("kid").to_owned(), change));
                }
            }
            let made = StoredKey { state: KeyState::Next, since: now, jwk: make(algorithm)? };
            changes.push((made.member("kid").to_owned(), Change::Made));
            keys.push(made);
        }
        Ok((self.with(keys), changes))
    }

    /// The keyring after a leak: every signing key is another one, and no token that was signed until now is good.
    /// The pepper and the sealing key stay; all digests and sealed secrets of the table rest on them.
    ///
    /// # Errors
    /// If a key cannot be made.
    pub fn forced<E>(
        &self,
        now: Timestamp,
        make: impl FnMut(Algorithm) -> Result<Value, E>,
    ) -> Result<(Self, Changes), E> {
        let keys = signing_and_next(&self.signing_algorithms(), now, make)?;
        let all = |keys: &[StoredKey], change| -> Changes {
            keys.iter().map(|k| (k.member("kid").to_owned(), change)).collect()
        };
        let changes = [all(&self.keys, Change::Dropped), all(&keys, Change::Made)].concat();
        Ok((self.with(keys), changes))
    }

    /// Whether `next` may take the place of this keyring: it keeps the pepper, the sealing key, and every key that may
    /// still be needed; it can be used; and it was made a short while ago, because its times count from then.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn accepts(&self, next: &Self, now: Timestamp) -> Result<(), BadKeyring> {
        Keyring::parse(&next.to_text())?;
        // Of what does not sign, a keyring in use only reads the public half; once, each is looked at whole.
        for key in next.keys.iter().filter(|k| k.state != KeyState::Previous) {
            SigningKey::from_jwk(&key.jwk)?;
        }
        if self.pepper != next.pepper || self.sealing_key != next.sealing_key {
            return Err(BadKeyring("the pepper or the sealing key is another one".into()));
        }
        let was = |k: &StoredKey| self.keys.iter().find(|old| old.jwk == k.jwk).map(|old| old.state);
        let mut changed = next.keys.iter().filter(|k| was(k) != Some(k.state));
        if changed.any(|k| !(-MAX_LEEWAY_SECONDS..=PENDING_SECONDS).contains(&now.since(k.since))) {
            return Err(BadKeyring("it was made too long ago, or by another clock".into()));
        }
        let needed = |k: &&StoredKey| k.state != KeyState::Previous || now.since(k.since) < RETIRED_SECONDS;
        match self.keys.iter().filter(needed).find(|k| !next.keys.iter().any(|n| n.jwk == k.jwk)) {
            Some(lost) => Err(BadKeyring(format!("key {} is missing", lost.member("kid")))),
            None => Ok(()),
        }
    }

    /// When a rotation will next change something: `now` or earlier if it would already.
    pub fn due(&self) -> Option<Timestamp> {
        let algorithms = self.signing_algorithms();
        let due = algorithms.iter().map(|algorithm| {
            let since = |state| {
                let of = self.keys.iter().filter(|k| k.state == state && k.member("alg") == algorithm.as_str());
                of.map(|k| k.since).max()
            };
            let published = since(KeyState::Next).map_or(Timestamp(0), |s| s.plus(PUBLISHED_SECONDS));
            published.max(since(KeyState::Previous).map_or(Timestamp(0), |s| s.plus(RETIRED_SECONDS)))
        });
        due.min()
    }

    fn signing_algorithms(&self) -> Vec<Algorithm> {
        let signs =
            |a: &Algorithm| self.keys.iter().any(|k| k.state == KeyState::Current && k.member("alg") == a.as_str());
        Algorithm::ALL.into_iter().filter(signs).collect()
    }

    fn with(&self, keys: Vec<StoredKey>) -> Self {
        Self { version: 1, pepper: self.pepper.clone(), sealing_key: self.sealing_key.clone(), keys }
    }
}

fn signing_and_next<E>(
    algorithms: &[Algorithm],
    now: Timestamp,
    mut make: impl FnMut(Algorithm) -> Result<Value, E>,
) -> Result<Vec<StoredKey>, E> {
    let mut keys = Vec::new();
    for algorithm in algorithms {
        for state in [KeyState::Current, KeyState::Next] {
            keys.push(StoredKey { state, since: now, jwk: make(*algorithm)? });
        }
    }
    Ok(keys)
}

/// The keyring, ready for use.
pub struct Keyring {
    /// All that verify.
    keys: Vec<VerifyingKey>,
    /// Those that sign, one of each algorithm.
    signing: Vec<SigningKey>,
    /// Since when the youngest of the keys that sign has done so.
    signs_since: Timestamp,
    /// The digest of the document.
    mark: [u8; 32],
    /// The key of all digests.
    pub pepper: Pepper,
    /// Seals partners' HMAC secrets.
    pub sealing: SealingKey,
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.keys).finish()
    }
}

impl Keyring {
    /// Reads the text of the secret. A keyring is whole or refused: one without keys would refuse every token, and
    /// one with a weak key would take any. Of the keys that do not sign only the public half is read.
    ///
    /// # Errors
    /// [`BadKeyring`].
    pub fn parse(text: &str) -> Result<Self, BadKeyring> {
        let keyring = Self::parse_to_sign(text)?;
        keyring.check_signing_keys()?;
        Ok(keyring)
    }

    /// The same for a keyring that was looked at when it was stored: what a key signs by is read when it first signs.
    ///
    /// # Errors
    /// [`BadKeyring`].
    pub fn parse_to_sign(text: &str) -> Result<Self, BadKeyring> {
        Self::read(text, true)
    }

    /// Looks at the private half of each key that signs.
    ///
    /// # Errors
    /// [`BadKeyring`].
    pub fn check_signing_keys(&self) -> Result<(), BadKeyring> {
        self.signing.iter().try_for_each(|key| {
            let refused = |r: KeyRefused| BadKeyring(format!("key {}: {}", key.verifying().kid(), r.0));
            key.signer().map(drop).map_err(refused)
        })
    }

    /// The same for those who only verify: no private half of a public key is read or kept, and nothing can be signed.
    ///
    /// # Errors
    /// [`BadKeyring`].
    pub fn parse_to_verify(text: &str) -> Result<Self, BadKeyring> {
        Self::read(text, false)
    }

    fn read(text: &str, signs: bool) -> Result<Self, BadKeyring> {
        let document = KeyringDocument::parse(text)?;
        let key = |name: &str, text: &str| -> Result<Zeroizing<[u8; 32]>, BadKeyring> {
            let bytes = Zeroizing::new(from_base64url(text).unwrap_or_default());
            <[u8; 32]>::try_from(bytes.as_slice())
                .map(Zeroizing::new)
                .map_err(|_| BadKeyring(format!("{name}: 32 bytes in base64url are needed")))
        };
        let mut keys: Vec<VerifyingKey> = Vec::new();
        let mut signing: Vec<SigningKey> = Vec::new();
        let mut current: Vec<Algorithm> = Vec::new();
        let mut signs_since = Timestamp(0);
        for (index, stored) in document.keys.iter().enumerate() {
            let refused = |r: KeyRefused| BadKeyring(format!("keys[{index}].{}", r.0));
            let is_current = stored.state == KeyState::Current;
            let verifying = if is_current && signs {
                let key = SigningKey::closed(&stored.jwk).map_err(refused)?;
                let verifying = key.verifying().clone();
                signing.push(key);
                verifying
            } else {
                VerifyingKey::of_pair(&stored.jwk).map_err(refused)?
            };
            if is_current {
                if current.contains(&verifying.algorithm()) {
                    return Err(BadKeyring(format!("keys[{index}].state: another key of its alg is current")));
                }
                current.push(verifying.algorithm());
                signs_since = signs_since.max(stored.since);
            }
            if keys.iter().any(|k| k.kid() == verifying.kid()) {
                return Err(BadKeyring(format!("keys[{index}].kid: already the name of another key")));
            }
            keys.push(verifying);
        }
        if current.is_empty() {
            return Err(BadKeyring("keys: none is current".into()));
        }
        Ok(Self {
            keys,
            signing,
            signs_since,
            mark: sha256(&[text.as_bytes()]),
            pepper: Pepper::new(&*key("pepper", &document.pepper)?),
            sealing: SealingKey::new(&*key("sealing_key", &document.sealing_key)?)
                .ok_or_else(|| BadKeyring("sealing_key: not a key".into()))?,
        })
    }

    /// The key that signs by this algorithm now.
    pub fn signing_key(&self, algorithm: Algorithm) -> Option<&SigningKey> {
        self.signing.iter().find(|key| key.verifying().algorithm() == algorithm)
    }

    /// All keys of others' sight that sign: an HMAC key is nobody else's.
    pub fn signing_keys(&self) -> impl Iterator<Item = &VerifyingKey> {
        self.signing.iter().map(SigningKey::verifying).filter(|key| key.algorithm() != Algorithm::HS256)
    }

    /// The key of this name, compared byte for byte.
    pub fn verifying_key(&self, kid: &str) -> Option<&VerifyingKey> {
        self.keys.iter().find(|key| key.kid() == kid)
    }

    /// A name for a token of an issuer, for as long as this keyring stays as it is. No two texts have the same, and no text
    /// has the same under two keyrings: what is remembered by it is forgotten with the keyring that it was proven by.
    pub fn imprint(&self, issuer: &str, token: &str) -> [u8; 32] {
        sha256(&[&self.mark, issuer.as_bytes(), b"\n", token.as_bytes()])
    }

    /// For how many whole days the youngest signing key has signed.
    pub fn age_days(&self, now: Timestamp) -> i64 {
        now.since(self.signs_since) / 86_400
    }

    /// The algorithms that tokens can be signed by.
    pub fn algorithms(&self) -> Vec<Algorithm> {
        Algorithm::ALL.into_iter().filter(|a| self.signing_key(*a).is_some()).collect()
    }

    /// The JWK set to publish (RFC 7517 section 5): public halves only. HMAC keys have none.
    pub fn public_jwks(&self) -> Value {
        let keys: Vec<Value> = self.keys.iter().filter_map(VerifyingKey::public_jwk).collect();
        json!({ "keys": keys })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 86_400;
    const NOW: Timestamp = Timestamp(1_800_000_000);

    /// Keys that need no randomness: rotation does not look at what a key is made of.
    fn make(count: &mut u32) -> impl FnMut(Algorithm) -> Result<Value, ()> + '_ {
        move |algorithm| {
            *count += 1;
            Ok(json!({"kty": "oct", "alg": algorithm.as_str(), "kid": format!("k{count}"), "k": "x"}))
        }
    }

    /// HS256 alone: a keyring goes on with the algorithms that it has.
    fn first(count: &mut u32) -> KeyringDocument {
        let keys = signing_and_next(&[Algorithm::HS256], NOW, make(count)).unwrap();
        KeyringDocument { version: 1, pepper: "p".into(), sealing_key: "s".into(), keys }
    }

    #[test]
    fn a_private_half_is_looked_at_when_it_signs_or_when_that_is_asked_for() {
        // RFC 8037 appendix A.1; and another seed.
        let rows = [
            ("the half of its key", "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A", true),
            ("that of another key", "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2B", false),
            ("none", "", false),
        ];
        for (sentence, d, signs) in rows {
            let jwk = json!({"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "kid": "k", "d": d,
                "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"});
            let keys = vec![StoredKey { state: KeyState::Current, since: NOW, jwk }];
            let document =
                KeyringDocument { version: 1, pepper: base64url(&[1; 32]), sealing_key: base64url(&[2; 32]), keys };
            let text = document.to_text();
            assert_eq!(Keyring::parse(&text).is_ok(), signs, "{sentence}");
            let keyring = Keyring::parse_to_sign(&text).unwrap();
            let key = keyring.signing_key(Algorithm::EdDSA).unwrap();
            assert_eq!(crate::jws::sign(key, "JWT", &json!({})).is_ok(), signs, "{sentence}");
            assert_eq!(keyring.check_signing_keys().is_ok(), signs, "{sentence}");
        }
    }

    fn states(document: &KeyringDocument) -> String {
        let mut keys: Vec<String> =
            document.keys.iter().map(|k| format!("{} {:?}", k.member("kid"), k.state)).collect();
        keys.sort();
        keys.join(", ")
    }

    #[test]
    fn a_rotation_goes_as_far_as_the_time_allows() {
        let mut count = 0;
        let mut keyring = first(&mut count);
        assert_eq!(states(&keyring), "k1 Current, k2 Next");
        let rows = [
            ("the next key is not known everywhere yet", PUBLISHED_SECONDS - 1, "k1 Current, k2 Next"),
            ("it is now", PUBLISHED_SECONDS, "k1 Previous, k2 Current, k3 Next"),
            ("the clock went back", 0, "k1 Previous, k2 Current, k3 Next"),
            (
                "tokens of the retired key live yet",
                PUBLISHED_SECONDS + RETIRED_SECONDS - 1,
                "k1 Previous, k2 Current, k3 Next",
            ),
            ("they are dead now", PUBLISHED_SECONDS + RETIRED_SECONDS, "k2 Previous, k3 Current, k4 Next"),
            ("a month later", 31 * DAY, "k3 Previous, k4 Current, k5 Next"),
        ];
        for (why, at, expected) in rows {
            let now = NOW.plus(at);
            let was = states(&keyring);
            let due = keyring.due().unwrap();
            let (next, changes) = keyring.rotated(now, make(&mut count)).unwrap();
            assert_eq!(states(&next), expected, "{why}");
            assert_eq!(changes.is_empty(), was == expected, "{why}: {changes:?}");
            assert_eq!(due.has_passed(now), was != expected, "{why}: due at {due:?}");
            keyring = next;
        }
    }

    #[test]
    fn a_keyring_without_a_next_key_gets_one_before_anything_is_retired() {
        let mut count = 0;
        let mut keyring = first(&mut count);
        keyring.keys.retain(|k| k.state == KeyState::Current);
        let (keyring, changes) = keyring.rotated(NOW.plus(30 * DAY), make(&mut count)).unwrap();
        assert_eq!((states(&keyring).as_str(), changes.len()), ("k1 Current, k3 Next", 1));
    }

    #[test]
    fn a_leak_replaces_every_key() {
        let mut count = 0;
        let keyring = first(&mut count);
        let (keyring, _) = keyring.rotated(NOW.plus(DAY), make(&mut count)).unwrap();
        let (after, changes) = keyring.forced(NOW.plus(DAY), make(&mut count)).unwrap();
        assert_eq!(states(&after), "k4 Current, k5 Next");
        assert_eq!(changes.iter().filter(|(_, c)| *c == Change::Dropped).count(), 3);
        assert_eq!((&after.pepper, &after.sealing_key), (&keyring.pepper, &keyring.sealing_key));
    }
}
