//! Secrets: wiped on drop, never printed, compared in constant time, kept as keyed digests.

use aws_lc_rs::{aead, constant_time, hmac};
use base64::Engine as _;
use serde::{Deserialize, Serialize};
use std::fmt;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// Text that must never be seen: wiped on drop, `Debug` is redacted, there is no `Display` and no `Serialize`.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct SecretText(String);

impl SecretText {
    /// Takes the text over.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself; for hashing, sealing, and showing once.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

impl<'de> Deserialize<'de> for SecretText {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d).map(Self)
    }
}

/// What kind of value a digest was made of. One kind's digest never stands for another's.
#[derive(Debug, Clone, Copy)]
pub enum DigestOf<'a> {
    /// The secret of this client.
    ClientSecret(&'a str),
    /// An API key.
    ApiKey,
    /// A client's id, as somebody claims it.
    ClientId,
    /// A username, at this tenant.
    Username(&'a str),
    /// An entry of the audit of this chain.
    AuditEntry(&'a str),
    /// The name that a caller gave a request (`Idempotency-Key`).
    IdempotencyKey(&'a str),
    /// What a request asked for.
    Request,
    /// Nothing: tells one pepper from another.
    Pepper,
}

/// A keyed digest (HMAC-SHA-256 under the keyring's pepper) of a value of high entropy. For client secrets and API
/// keys, which are random, this is as strong as a slow password hash and costs a microsecond; passwords use
/// [`crate::password`].
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Digest(String);

impl Digest {
    /// The digest of a value. Of client secrets and API keys it is that of their SHA-256, so that a system which kept no
    /// more than those can move in ([`Self::of_sha256`]).
    pub fn of(pepper: &Pepper, kind: DigestOf<'_>, value: &str) -> Self {
        match kind {
            DigestOf::ClientSecret(_) | DigestOf::ApiKey => {
                Self::keyed(pepper, kind, &hex(&sha256(&[value.as_bytes()])))
            }
            _ => Self::keyed(pepper, kind, value),
        }
    }

    /// What is compared where there is nothing to compare with. No value has it: nobody finds 256 bits that are all zero.
    pub fn of_nothing() -> Self {
        Self(base64url(&[0; 32]))
    }

    /// The digest of a client secret or an API key of which another system kept the SHA-256, in hex.
    pub fn of_sha256(pepper: &Pepper, kind: DigestOf<'_>, sha256: &str) -> Option<Self> {
        let is_hex = sha256.len() == 64 && sha256.bytes().all(|b| b.is_ascii_hexdigit());
        is_hex.then(|| Self::keyed(pepper, kind, &sha256.to_ascii_lowercase()))
    }

    fn keyed(pepper: &Pepper, kind: DigestOf<'_>, value: &str) -> Self {
        let mut mac = hmac::Context::with_key(&pepper.0);
        let (label, context) = match kind {
            DigestOf::ClientSecret(client) => ("client-secret", client),
            DigestOf::ApiKey => ("api-key", ""),
            DigestOf::ClientId => ("client-id", ""),
            DigestOf::Username(tenant) => ("username", tenant),
            DigestOf::AuditEntry(chain) => ("audit-entry", chain),
            DigestOf::IdempotencyKey(caller) => ("idempotency-key", caller),
            DigestOf::Request => ("request", ""),
            DigestOf::Pepper => ("pepper", ""),
        };
        // No name can hold a zero byte, so no two triples give the same bytes.
        for part in [label.as_bytes(), b"\0", context.as_bytes(), b"\0", value.as_bytes()] {
            mac.update(part);
        }
        Self(base64url(mac.sign().as_ref()))
    }

    /// Whether two digests are the same, in a time that does not depend on where they differ.
    pub fn matches(&self, other: &Self) -> bool {
        constant_time::verify_slices_are_equal(self.0.as_bytes(), other.0.as_bytes()).is_ok()
    }

    /// The text that is stored.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// A digest that was stored elsewhere, under the same pepper.
    pub fn from_stored(text: &str) -> Option<Self> {
        from_base64url(text).is_some_and(|bytes| bytes.len() == 32).then(|| Self(text.to_owned()))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[digest]")
    }
}

/// The key of all digests. Lost or changed, no stored secret matches any more.
#[derive(Clone)]
pub struct Pepper(hmac::Key);

impl Pepper {
    /// From the keyring's 32 bytes.
    pub fn new(key: &[u8; 32]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, key))
    }
}

impl fmt::Debug for Pepper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[pepper]")
    }
}

/// Seals partners' HMAC secrets, which must be readable to verify what partners sign.
pub struct SealingKey(aead::LessSafeKey);

impl fmt::Debug for SealingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[sealing key]")
    }
}

/// A sealed secret does not open: another key, another client, or changed bytes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a sealed secret does not open")]
pub struct DoesNotOpen;

impl SealingKey {
    /// From the keyring's 32 bytes.
    pub fn new(key: &[u8; 32]) -> Option<Self> {
        aead::UnboundKey::new(&aead::AES_256_GCM, key).ok().map(|k| Self(aead::LessSafeKey::new(k)))
    }

    /// Seals a secret for one client. `nonce` must never be used twice under one key: 96 random bits.
    ///
    /// # Errors
    /// Only if the library refuses to encrypt.
    pub fn seal(&self, client_id: &str, secret: &SecretText, nonce: [u8; 12]) -> Result<Sealed, DoesNotOpen> {
        let mut bytes = secret.expose().as_bytes().to_vec();
        self.0
            .seal_in_place_append_tag(
                aead::Nonce::assume_unique_for_key(nonce),
                aead::Aad::from(client_id.as_bytes()),
                &mut bytes,
            )
            .map_err(|_| DoesNotOpen)?;
        Ok(Sealed(base64url(&[nonce.as_slice(), &bytes].concat())))
    }

    /// Opens what was sealed for this client.
    ///
    /// # Errors
    /// [`DoesNotOpen`]; the fault is ours, not the caller's.
    pub fn open(&self, client_id: &str, sealed: &Sealed) -> Result<Zeroizing<Vec<u8>>, DoesNotOpen> {
        let bytes = Zeroizing::new(from_base64url(&sealed.0).ok_or(DoesNotOpen)?);
        let (nonce, sealed) = bytes.split_at_checked(12).ok_or(DoesNotOpen)?;
        let nonce = aead::Nonce::try_assume_unique_for_key(nonce).map_err(|_| DoesNotOpen)?;
        let mut opened = Zeroizing::new(sealed.to_vec());
        let length = self
            .0
            .open_in_place(nonce, aead::Aad::from(client_id.as_bytes()), &mut opened)
            .map_err(|_| DoesNotOpen)?
            .len();
        opened.truncate(length);
        Ok(opened)
    }
}

/// A secret under the [`SealingKey`]: nonce and AES-256-GCM text, base64url.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Sealed(String);

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[sealed]")
    }
}

impl Sealed {
    /// The sealed text, to hand out.
    pub fn into_text(self) -> String {
        self.0
    }

    /// What was handed out, or something else: opening tells.
    pub fn from_text(text: &str) -> Self {
        Self(text.to_owned())
    }
}

/// A short name of a text that is no secret: the first 128 bits of its SHA-256, in hex.
pub fn fingerprint(text: &str) -> String {
    hex(sha256(&[text.as_bytes()]).get(..16).unwrap_or_default())
}

/// The SHA-256 of these parts, one after the other.
pub(crate) fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut digest = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
    parts.iter().for_each(|part| digest.update(part));
    let mut bytes = [0; 32];
    bytes.copy_from_slice(digest.finish().as_ref());
    bytes
}

/// Base64url without padding (RFC 7515 section 2).
pub fn base64url(bytes: &[u8]) -> String {
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes)
}

/// Reads base64url strictly: no padding, no other alphabet, no unused bits set.
pub fn from_base64url(text: &str) -> Option<Vec<u8>> {
    base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(text).ok()
}

/// Lower-case hex.
pub fn hex(bytes: &[u8]) -> String {
    let digit = |nibble: u8| char::from_digit(nibble.into(), 16).unwrap_or_default();
    let mut text = String::with_capacity(bytes.len() * 2);
    text.extend(bytes.iter().flat_map(|b| [digit(b >> 4), digit(b & 15)]));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sealed_secret_opens_for_its_client_alone() {
        let key = SealingKey::new(&[7; 32]).unwrap();
        let sealed = key.seal("c1", &SecretText::new("s3cret"), [1; 12]).unwrap();
        assert_eq!(key.open("c1", &sealed).unwrap().as_slice(), b"s3cret");
        assert!(key.open("c2", &sealed).is_err(), "another client");
        assert!(SealingKey::new(&[8; 32]).unwrap().open("c1", &sealed).is_err(), "another key");
        assert!(key.open("c1", &Sealed("AAAA".into())).is_err(), "too short");
    }

    #[test]
    fn a_digest_is_of_one_kind_one_owner_one_value() {
        let pepper = Pepper::new(&[1; 32]);
        let digest = Digest::of(&pepper, DigestOf::ClientSecret("c1"), "s");
        assert!(digest.matches(&Digest::of(&pepper, DigestOf::ClientSecret("c1"), "s")));
        assert!(!digest.matches(&Digest::of(&pepper, DigestOf::ClientSecret("c2"), "s")), "another client");
        assert!(!digest.matches(&Digest::of(&pepper, DigestOf::ApiKey, "s")), "another kind");
        assert!(!digest.matches(&Digest::of(&pepper, DigestOf::ClientSecret("c1"), "s\0")), "a zero byte more");
        assert!(!digest.matches(&Digest::of(&Pepper::new(&[2; 32]), DigestOf::ClientSecret("c1"), "s")), "pepper");
        // The SHA-256 of "s", as another system would have kept it.
        let sha256 = "043A718774C572BD8A25ADBEB1BFCD5C0256AE11CECF9F9C3F925D0E52BEAF89";
        let moved = Digest::of_sha256(&pepper, DigestOf::ClientSecret("c1"), sha256).unwrap();
        assert!(digest.matches(&moved), "moved in by its SHA-256");
        assert!(Digest::of_sha256(&pepper, DigestOf::ApiKey, "043a").is_none(), "cut");
    }

    #[test]
    fn secrets_do_not_print() {
        assert_eq!(format!("{:?}", SecretText::new("s3cret")), "[secret]");
        assert_eq!(format!("{:?}", Digest::of(&Pepper::new(&[1; 32]), DigestOf::ApiKey, "k")), "[digest]");
    }
}
