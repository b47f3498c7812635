//! Customers' passwords: argon2id, whole, unmodified but for Unicode normalisation.

use crate::secret::SecretText;
use argon2::password_hash::phc::PasswordHash;
use argon2::{Algorithm, Argon2, Params, Version};
use serde::{Deserialize, Serialize};
use std::fmt;
use unicode_normalization::UnicodeNormalization as _;
use zeroize::Zeroizing;

/// Longer passwords are refused before they are hashed: the work must not grow with what a caller sends.
pub const MAX_PASSWORD_BYTES: usize = 1024;

/// 19 MiB, two passes, one lane: OWASP's first choice for argon2id. Less would make guessing cheaper.
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;

/// The stored form of a password: a PHC string.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StoredPassword(String);

impl fmt::Debug for StoredPassword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[password hash]")
    }
}

fn argon2() -> Option<Argon2<'static>> {
    Some(Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::new(MEMORY_KIB, PASSES, LANES, None).ok()?))
}

/// NFKC, so that a password typed on another keyboard is the same password (NIST SP 800-63B section 3.1.1.2).
fn normalised(password: &SecretText) -> Zeroizing<String> {
    Zeroizing::new(password.expose().nfkc().collect())
}

impl StoredPassword {
    /// Hashes a password. `salt` is 128 random bits.
    ///
    /// Returns `None` for an empty password or one of over [`MAX_PASSWORD_BYTES`].
    pub fn hash(password: &SecretText, salt: [u8; 16]) -> Option<Self> {
        use argon2::PasswordHasher as _;
        if password.expose().is_empty() || password.expose().len() > MAX_PASSWORD_BYTES {
            return None;
        }
        let hash: argon2::password_hash::phc::PasswordHash =
            argon2()?.hash_password_with_salt(normalised(password).as_bytes(), &salt).ok()?;
        Some(Self(hash.to_string()))
    }

    /// Whether this is the password. Costs the same whether it is or not.
    pub fn matches(&self, password: &SecretText) -> bool {
        use argon2::PasswordVerifier as _;
        let (Some(argon2), Ok(stored)) = (argon2(), PasswordHash::new(&self.0)) else { return false };
        argon2.verify_password(normalised(password).as_bytes(), &stored).is_ok()
    }

    /// A stored password that nothing matches, for names that do not exist: checking it takes as long as any other.
    pub fn nobody() -> Self {
        Self("$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_whole_and_normalised() {
        let stored = StoredPassword::hash(&SecretText::new("pässwörd-with-ümläuts"), [1; 16]).unwrap();
        let long = StoredPassword::hash(&SecretText::new("x".repeat(100)), [1; 16]).unwrap();
        let rows: &[(&str, bool, bool)] = &[
            ("the same text", stored.matches(&SecretText::new("pässwörd-with-ümläuts")), true),
            ("decomposed", stored.matches(&SecretText::new("pa\u{308}sswo\u{308}rd-with-u\u{308}mla\u{308}uts")), true),
            ("with a space", stored.matches(&SecretText::new("pässwörd-with-ümläuts ")), false),
            ("cut at 72 bytes", long.matches(&SecretText::new("x".repeat(72))), false),
            ("nobody's", StoredPassword::nobody().matches(&SecretText::new("")), false),
        ];
        for (sentence, got, want) in rows {
            assert_eq!(got, want, "{sentence}");
        }
        assert!(StoredPassword::hash(&SecretText::new("x".repeat(1025)), [1; 16]).is_none(), "over the cap");
        assert!(PasswordHash::new(&StoredPassword::nobody().0).is_ok(), "nobody's hash is hashed against");
    }
}
