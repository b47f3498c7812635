//! API keys: `ak_live_` or `ak_test_` and 32 lower-case hex digits (128 random bits). Newly issued ones end in the
//! CRC-32 of what stands before, in 8 more: a key that was mistyped, cut or guessed costs no look-up.

use crate::ids::Environment;
use crate::secret::{Digest, DigestOf, Pepper, SecretText, hex};
use std::str::FromStr;

/// A text of the right shape. Nothing else is known of it.
#[derive(Debug, Clone)]
pub struct UnverifiedApiKey {
    text: SecretText,
    environment: Environment,
}

/// Not the shape of an API key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an API key is ak_live_ or ak_test_ and 32 hex digits, or 40 of which the last 8 are their checksum")]
pub struct NotAnApiKey;

impl FromStr for UnverifiedApiKey {
    type Err = NotAnApiKey;
    fn from_str(text: &str) -> Result<Self, NotAnApiKey> {
        let (environment, digits) = if let Some(digits) = text.strip_prefix("ak_live_") {
            (Environment::Live, digits)
        } else {
            (Environment::Test, text.strip_prefix("ak_test_").ok_or(NotAnApiKey)?)
        };
        if !digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(NotAnApiKey);
        }
        match digits.len() {
            32 => {}
            40 => {
                let (body, sum) = text.split_at_checked(text.len() - 8).ok_or(NotAnApiKey)?;
                if checksum(body) != sum {
                    return Err(NotAnApiKey);
                }
            }
            _ => return Err(NotAnApiKey),
        }
        Ok(Self { text: SecretText::new(text), environment })
    }
}

fn checksum(body: &str) -> String {
    hex(&crc32fast::hash(body.as_bytes()).to_be_bytes())
}

impl UnverifiedApiKey {
    /// A new key of 128 random bits.
    pub fn issue(environment: Environment, bits: [u8; 16]) -> Self {
        let body = format!("ak_{}_{}", environment.as_str(), hex(&bits));
        let sum = checksum(&body);
        Self { text: SecretText::new(body + &sum), environment }
    }

    /// The environment that the prefix names.
    pub fn environment(&self) -> Environment {
        self.environment
    }

    /// What the key is stored and looked up under.
    pub fn digest(&self, pepper: &Pepper) -> Digest {
        Digest::of(pepper, DigestOf::ApiKey, self.text.expose())
    }

    /// How the key begins, and its last four characters: what lists may show of it.
    pub fn shown(&self) -> (String, String) {
        let text = self.text.expose();
        let last = text.get(text.len().saturating_sub(4)..).unwrap_or_default();
        (format!("ak_{}_", self.environment.as_str()), last.to_owned())
    }

    /// The key itself, to be shown once.
    pub fn into_secret(self) -> SecretText {
        self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_one_of_two_shapes() {
        let issued = UnverifiedApiKey::issue(Environment::Live, [0xab; 16]).into_secret();
        let cut = issued.expose().get(..47).unwrap().to_owned();
        let wrong_sum = format!("{}00000000", issued.expose().get(..40).unwrap());
        let rows: &[(&str, &str, bool)] = &[
            ("the documents' example", "ak_live_8f3b1c0e5a4d4f2c9b1e7d6c5a4b3c2d", true),
            ("a test key", "ak_test_8f3b1c0e5a4d4f2c9b1e7d6c5a4b3c2d", true),
            ("an issued one", issued.expose(), true),
            ("an issued one, last digit cut", &cut, false),
            ("an issued one, wrong checksum", &wrong_sum, false),
            ("another prefix", "ak_prod_8f3b1c0e5a4d4f2c9b1e7d6c5a4b3c2d", false),
            ("upper case", "ak_live_8F3B1C0E5A4D4F2C9B1E7D6C5A4B3C2D", false),
            ("31 digits", "ak_live_8f3b1c0e5a4d4f2c9b1e7d6c5a4b3c2", false),
            ("a zero byte after it", "ak_live_8f3b1c0e5a4d4f2c9b1e7d6c5a4b3c2d\0", false),
            ("nothing", "", false),
        ];
        for (sentence, text, want) in rows {
            assert_eq!(text.parse::<UnverifiedApiKey>().is_ok(), *want, "{sentence}");
        }
    }
}
