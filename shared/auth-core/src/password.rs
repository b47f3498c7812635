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

/// The stored form of what we hash ourselves begins so; anything else moved in, and is hashed anew at the next login.
const OURS: &str = "$argon2id$v=19$m=19456,t=2,p=1$";

/// What a hash that moves in may cost: a login must not become an attack.
const MOST_MEMORY_KIB: u32 = 128 * 1024;
const MOST_PASSES: u32 = 10;
const MOST_BCRYPT_COST: u32 = 14;

impl StoredPassword {
    /// Takes a hash over from another system: argon2 in any of its kinds (a PHC string) or bcrypt (`$2a$`, `$2b$`,
    /// `$2y$`).
    ///
    /// Returns `None` for anything else, and for one that would take too long to check.
    pub fn import(hash: &SecretText) -> Option<Self> {
        let text = hash.expose();
        let stored = Self(text.to_owned());
        if stored.is_bcrypt() {
            let parts: bcrypt::HashParts = text.parse().ok()?;
            return (4..=MOST_BCRYPT_COST).contains(&parts.get_cost()).then_some(stored);
        }
        let phc = PasswordHash::new(text).ok()?;
        let params = Params::try_from(&phc).ok()?;
        let fits = params.m_cost() <= MOST_MEMORY_KIB && params.t_cost() <= MOST_PASSES && params.p_cost() <= 4;
        (text.starts_with("$argon2") && phc.hash.is_some() && fits).then_some(stored)
    }

    fn is_bcrypt(&self) -> bool {
        ["$2a$", "$2b$", "$2y$"].iter().any(|prefix| self.0.starts_with(prefix))
    }

    /// Whether it is another system's hash, to be replaced by ours once the password is at hand.
    pub fn is_imported(&self) -> bool {
        !self.0.starts_with(OURS)
    }

    /// The text that is stored.
    pub fn as_stored(&self) -> &str {
        &self.0
    }

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
        let normalised = normalised(password);
        let is = |text: &str| match self.is_bcrypt() {
            true => bcrypt::verify(text, &self.0).unwrap_or(false),
            false => self.argon2_matches(text),
        };
        // Another system may have hashed the text as it was typed.
        is(&normalised) || (self.is_imported() && normalised.as_str() != password.expose() && is(password.expose()))
    }

    fn argon2_matches(&self, text: &str) -> bool {
        use argon2::PasswordVerifier as _;
        let (Some(argon2), Ok(stored)) = (argon2(), PasswordHash::new(&self.0)) else { return false };
        argon2.verify_password(text.as_bytes(), &stored).is_ok()
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
    fn hashes_of_other_systems_move_in() {
        let import = |text: &str| StoredPassword::import(&SecretText::new(text));
        // Made by bcrypt and argon2 of Python for these very words.
        let words = SecretText::new("U*U");
        let bcrypt = import("$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW").unwrap();
        assert!(bcrypt.matches(&words) && bcrypt.is_imported() && !bcrypt.matches(&SecretText::new("U*V")));
        let argon2i =
            import("$argon2i$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$wWKIMhR9lyDFvRz9YTZweHKfbftvj+qf+YFY4NeBbtA").unwrap();
        assert!(argon2i.matches(&SecretText::new("password")) && argon2i.is_imported());
        let rows = [
            ("a cost of 15", "$2b$15$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"),
            ("a gigabyte", "$argon2id$v=19$m=1048576,t=2,p=1$c29tZXNhbHQ$wWKIMhR9lyDFvRz9YTZweHKfbftvj+qf+YFY4NeBbtA"),
            (
                "a thousand passes",
                "$argon2id$v=19$m=65536,t=1000,p=1$c29tZXNhbHQ$wWKIMhR9lyDFvRz9YTZweHKfbftvj+qf+YFY4NeBbtA",
            ),
            ("a salt without a hash", "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ"),
            ("MD5", "5f4dcc3b5aa765d61d8327deb882cf99"),
            ("the words themselves", "password"),
        ];
        for (sentence, text) in rows {
            assert!(import(text).is_none(), "{sentence}");
        }
        assert!(!StoredPassword::hash(&words, [1; 16]).unwrap().is_imported());
    }

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
