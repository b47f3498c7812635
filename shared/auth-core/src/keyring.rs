//! The one secret of a deployment: token signing keys, the pepper of all digests, the key that seals partners' HMAC
//! secrets.

use crate::jwk::{KeyRefused, SigningKey, VerifyingKey};
use crate::jws::Algorithm;
use crate::secret::{Pepper, SealingKey, base64url, from_base64url};
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
    /// The private JWK.
    pub jwk: Value,
}

impl Drop for KeyringDocument {
    fn drop(&mut self) {
        self.pepper.zeroize();
        self.sealing_key.zeroize();
        for key in &mut self.keys {
            if let Some(members) = key.jwk.as_object_mut() {
                for (_, value) in members.iter_mut() {
                    if let Value::String(text) = value {
                        text.zeroize();
                    }
                }
            }
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
    pub fn from_jwks(jwks: &Value, pepper: [u8; 32], sealing_key: [u8; 32]) -> Result<Self, BadKeyring> {
        let keys =
            jwks.get("keys").and_then(Value::as_array).ok_or_else(|| BadKeyring("keys: a list is needed".into()))?;
        let mut stored: Vec<StoredKey> = Vec::new();
        for (index, jwk) in keys.iter().enumerate() {
            SigningKey::from_jwk(jwk).map_err(|refused| BadKeyring(format!("keys[{index}].{}", refused.0)))?;
            let state = match stored.iter().any(|s| s.jwk.get("alg") == jwk.get("alg")) {
                true => KeyState::Previous,
                false => KeyState::Current,
            };
            stored.push(StoredKey { state, jwk: jwk.clone() });
        }
        Ok(Self { version: 1, pepper: base64url(&pepper), sealing_key: base64url(&sealing_key), keys: stored })
    }

    /// The text to store.
    pub fn to_text(&self) -> Zeroizing<String> {
        Zeroizing::new(serde_json::to_string(self).unwrap_or_default())
    }
}

/// The keyring, ready for use.
pub struct Keyring {
    keys: Vec<(KeyState, SigningKey)>,
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
    /// one with a weak key would take any.
    ///
    /// # Errors
    /// [`BadKeyring`].
    pub fn parse(text: &str) -> Result<Self, BadKeyring> {
        let document: KeyringDocument =
            crate::json::parse_as(text.as_bytes()).map_err(|_| BadKeyring("not a keyring document".into()))?;
        if document.version != 1 {
            return Err(BadKeyring("version: only 1 is known".into()));
        }
        let key = |name: &str, text: &str| -> Result<Zeroizing<[u8; 32]>, BadKeyring> {
            let bytes = Zeroizing::new(from_base64url(text).unwrap_or_default());
            <[u8; 32]>::try_from(bytes.as_slice())
                .map(Zeroizing::new)
                .map_err(|_| BadKeyring(format!("{name}: 32 bytes in base64url are needed")))
        };
        let mut keys: Vec<(KeyState, SigningKey)> = Vec::new();
        for (index, stored) in document.keys.iter().enumerate() {
            let key = SigningKey::from_jwk(&stored.jwk).map_err(|r| BadKeyring(format!("keys[{index}].{}", r.0)))?;
            if keys.iter().any(|(_, k)| k.verifying().kid() == key.verifying().kid()) {
                return Err(BadKeyring(format!("keys[{index}].kid: already the name of another key")));
            }
            keys.push((stored.state, key));
        }
        if !keys.iter().any(|(state, _)| *state == KeyState::Current) {
            return Err(BadKeyring("keys: none is current".into()));
        }
        Ok(Self {
            keys,
            pepper: Pepper::new(&*key("pepper", &document.pepper)?),
            sealing: SealingKey::new(&*key("sealing_key", &document.sealing_key)?)
                .ok_or_else(|| BadKeyring("sealing_key: not a key".into()))?,
        })
    }

    /// The key that signs by this algorithm now.
    pub fn signing_key(&self, algorithm: Algorithm) -> Option<&SigningKey> {
        self.keys
            .iter()
            .find(|(state, key)| *state == KeyState::Current && key.verifying.algorithm == algorithm)
            .map(|(_, key)| key)
    }

    /// The key of this name, compared byte for byte.
    pub fn verifying_key(&self, kid: &str) -> Option<&VerifyingKey> {
        self.keys.iter().map(|(_, key)| key.verifying()).find(|key| key.kid() == kid)
    }

    /// The algorithms that tokens can be signed by.
    pub fn algorithms(&self) -> Vec<Algorithm> {
        Algorithm::ALL.into_iter().filter(|a| self.signing_key(*a).is_some()).collect()
    }

    /// The JWK set to publish (RFC 7517 section 5): public halves only. HMAC keys have none.
    pub fn public_jwks(&self) -> Value {
        let keys: Vec<Value> = self.keys.iter().filter_map(|(_, key)| key.verifying().public_jwk()).collect();
        json!({ "keys": keys })
    }
}
