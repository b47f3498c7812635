//! JSON Web Signatures in compact form (RFC 7515 section 7.1), read strictly.
//!
//! `jsonwebtoken` would let through an `iss` that is an array, an odd `crit`, duplicate members, and a text of any length,
//! and parse a key at each signature; so what is around the signature is read here, and keys of ours are parsed once. It
//! checks HMACs where the key comes with the token: what partners sign.

use crate::json;
use crate::jwk::{Signer, SigningKey, VerifyingKey};
use crate::secret::{base64url, from_base64url};
use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::RSA_PKCS1_SHA256;
use jsonwebtoken::crypto;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::fmt;
use std::str::FromStr;

/// The algorithms we take (RFC 7518 section 3.1, RFC 8037). Nothing else, in no other spelling.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Algorithm {
    /// HMAC with SHA-256.
    HS256,
    /// RSASSA-PKCS1-v1_5 with SHA-256; the one that every AWS verifier takes.
    RS256,
    /// ECDSA on P-256 with SHA-256.
    ES256,
    /// Ed25519.
    EdDSA,
}

impl Algorithm {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::HS256, Self::RS256, Self::ES256, Self::EdDSA];

    /// The name in the `alg` header.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::HS256 => "HS256",
            Self::RS256 => "RS256",
            Self::ES256 => "ES256",
            Self::EdDSA => "EdDSA",
        }
    }

    /// The key type (RFC 7518 section 6.1).
    pub fn kty(self) -> &'static str {
        match self {
            Self::HS256 => "oct",
            Self::RS256 => "RSA",
            Self::ES256 => "EC",
            Self::EdDSA => "OKP",
        }
    }

    /// The curve, of algorithms that have one.
    pub fn crv(self) -> Option<&'static str> {
        match self {
            Self::HS256 | Self::RS256 => None,
            Self::ES256 => Some("P-256"),
            Self::EdDSA => Some("Ed25519"),
        }
    }
}

impl FromStr for Algorithm {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|a| a.as_str() == text).ok_or(())
    }
}

/// The longest token that is looked at, in bytes. API Gateway lets 10,240 bytes of headers through; longer text
/// only costs time.
pub const MAX_TOKEN_BYTES: usize = 8192;

/// Why a text is no token of ours; for logs. A constant text, never the caller's.
pub type Why = &'static str;

/// A token in three parts of which nothing has been proven.
pub struct UnverifiedJws<'a> {
    signing_input: &'a [u8],
    signature_text: &'a str,
    signature: Vec<u8>,
    algorithm: Algorithm,
    kid: Option<String>,
    typ: Option<String>,
    claims: Map<String, Value>,
}

impl fmt::Debug for UnverifiedJws<'_> {
    /// The token itself is a credential.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UnverifiedJws({:?})", self.algorithm)
    }
}

impl<'a> UnverifiedJws<'a> {
    /// Reads a compact serialisation.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &'a str) -> Result<Self, Why> {
        if text.len() > MAX_TOKEN_BYTES {
            return Err("longer than 8,192 bytes");
        }
        let (signing_input, signature) = text.rsplit_once('.').ok_or("not three parts")?;
        let (header, payload) = signing_input.split_once('.').ok_or("not three parts")?;
        if payload.contains('.') {
            return Err("not three parts");
        }
        let bytes =
            from_base64url(signature).filter(|bytes| !bytes.is_empty()).ok_or("the signature is not base64url")?;
        let header = object(header).ok_or("the header is not a JSON object in base64url")?;
        let claims = object(payload).ok_or("the payload is not a JSON object in base64url")?;
        for refused in ["crit", "b64", "zip", "enc", "cty"] {
            if header.contains_key(refused) {
                return Err("a header that changes what the token means (crit, b64, zip, enc, cty)");
            }
        }
        let algorithm = match header.get("alg") {
            Some(Value::String(alg)) => alg.parse().map_err(|()| "alg is not one that is taken")?,
            _ => return Err("alg is not a text"),
        };
        Ok(Self {
            signing_input: signing_input.as_bytes(),
            signature_text: signature,
            signature: bytes,
            algorithm,
            kid: optional_text(&header, "kid").map_err(|()| "kid is not a text")?,
            typ: optional_text(&header, "typ").map_err(|()| "typ is not a text")?,
            claims,
        })
    }

    /// The key that the token says it was signed with. Only good for finding that key.
    pub fn unverified_kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    /// The algorithm that the token says it was signed with.
    pub fn unverified_algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The type that the token says it has, as a lower-case media type without `application/`
    /// (RFC 7515 section 4.1.9).
    pub fn unverified_typ(&self) -> Option<String> {
        self.typ.as_ref().map(|typ| {
            let typ = typ.to_ascii_lowercase();
            typ.strip_prefix("application/").map(str::to_owned).unwrap_or(typ)
        })
    }

    /// A claim that is a text. Only good for finding the record that will prove it.
    pub fn unverified_claim(&self, name: &str) -> Option<&str> {
        self.claims.get(name).and_then(Value::as_str)
    }

    /// The claims, if `key` made the signature by its own algorithm.
    ///
    /// # Errors
    /// What is wrong.
    pub fn verify(&self, key: &VerifyingKey) -> Result<&Map<String, Value>, Why> {
        if self.algorithm != key.algorithm {
            return Err("alg is not the algorithm of the key");
        }
        match key.has_signed(self.signing_input, &self.signature) {
            true => Ok(&self.claims),
            false => Err("the signature does not verify"),
        }
    }

    /// The claims, if this HMAC secret made the signature (HS256).
    ///
    /// # Errors
    /// What is wrong.
    pub fn verify_hs256(&self, secret: &[u8]) -> Result<&Map<String, Value>, Why> {
        if self.algorithm != Algorithm::HS256 || secret.is_empty() {
            return Err("alg is not HS256");
        }
        let key = jsonwebtoken::DecodingKey::from_secret(secret);
        match crypto::verify(self.signature_text, self.signing_input, &key, jsonwebtoken::Algorithm::HS256) {
            Ok(true) => Ok(&self.claims),
            _ => Err("the signature does not verify"),
        }
    }
}

fn object(part: &str) -> Option<Map<String, Value>> {
    match json::parse(&from_base64url(part)?) {
        Ok(Value::Object(members)) => Some(members),
        _ => None,
    }
}

fn optional_text(members: &Map<String, Value>, name: &str) -> Result<Option<String>, ()> {
    match members.get(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(()),
    }
}

/// A key did not sign. The fault is ours: the key was checked when it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the signing key does not sign")]
pub struct DoesNotSign;

/// Signs claims into a compact serialisation with header `{"typ":…,"alg":…,"kid":…}`.
///
/// # Errors
/// [`DoesNotSign`].
pub fn sign<T: Serialize>(key: &SigningKey, typ: &str, claims: &T) -> Result<String, DoesNotSign> {
    #[derive(Serialize)]
    struct Header<'a> {
        typ: &'a str,
        alg: &'a str,
        kid: &'a str,
    }
    let verifying = &key.verifying;
    let header = Header { typ, alg: verifying.algorithm.as_str(), kid: &verifying.kid };
    let header = serde_json::to_vec(&header).map_err(|_| DoesNotSign)?;
    let claims = serde_json::to_vec(claims).map_err(|_| DoesNotSign)?;
    let input = format!("{}.{}", base64url(&header), base64url(&claims));
    let signature = match key.signer().map_err(|_| DoesNotSign)? {
        Signer::Hmac(key) => base64url(hmac::sign(key, input.as_bytes()).as_ref()),
        Signer::Rsa(pair) => {
            let mut signature = vec![0; pair.public_modulus_len()];
            pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), input.as_bytes(), &mut signature)
                .map_err(|_| DoesNotSign)?;
            base64url(&signature)
        }
        Signer::Ecdsa(pair) => {
            base64url(pair.sign(&SystemRandom::new(), input.as_bytes()).map_err(|_| DoesNotSign)?.as_ref())
        }
        Signer::Ed25519(pair) => base64url(pair.sign(input.as_bytes()).as_ref()),
    };
    Ok([&input, ".", &signature].concat())
}
