//! Makes keyrings: one key of each algorithm, all from the operating system's randomness.

use crate::Fault;
use auth_core::jws::Algorithm;
use auth_core::keyring::KeyringDocument;
use auth_core::secret::{base64url, hex};
use auth_core::time::Timestamp;
use aws_lc_rs::encoding::{AsBigEndian as _, AsDer as _, Curve25519SeedBin, EcPrivateKeyBin, Pkcs8V1Der};
use aws_lc_rs::rsa;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _};
use serde_json::{Value, json};

/// A new keyring: of each algorithm a key that signs and one that will.
///
/// # Errors
/// If the operating system gives no randomness.
pub fn new_keyring(now: Timestamp) -> Result<KeyringDocument, Fault> {
    KeyringDocument::first(random()?, random()?, now, new_key)
}

/// A new private JWK of an algorithm.
///
/// # Errors
/// If the operating system gives no randomness.
pub fn new_key(algorithm: Algorithm) -> Result<Value, Fault> {
    match algorithm {
        Algorithm::HS256 => hmac(),
        Algorithm::RS256 => rsa(),
        Algorithm::ES256 => p256(),
        Algorithm::EdDSA => ed25519(),
    }
}

/// Random bits from the operating system.
///
/// # Errors
/// If it has none.
#[expect(clippy::disallowed_methods, reason = "keys are made here; this crate does not know the edge's clock")]
pub fn random<const N: usize>() -> Result<[u8; N], Fault> {
    let mut bits = [0; N];
    aws_lc_rs::rand::fill(&mut bits).map_err(|_| Fault::new("no random bits are to be had"))?;
    Ok(bits)
}

fn kid(alg: &str) -> Result<String, Fault> {
    Ok(format!("{}-{}", alg.to_ascii_lowercase(), hex(&random::<8>()?)))
}

fn hmac() -> Result<Value, Fault> {
    Ok(json!({"kty": "oct", "alg": "HS256", "use": "sig", "kid": kid("hs256")?, "k": base64url(&random::<48>()?)}))
}

fn p256() -> Result<Value, Fault> {
    let failed = |_| Fault::new("no P-256 key could be made");
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).map_err(failed)?;
    let d: EcPrivateKeyBin<'_> = pair.private_key().as_be_bytes().map_err(failed)?;
    let point = pair.public_key().as_ref().get(1..).and_then(|p| p.split_at_checked(32));
    let (x, y) = point.ok_or_else(|| Fault::new("no P-256 key could be made"))?;
    Ok(json!({"kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": kid("es256")?,
        "x": base64url(x), "y": base64url(y), "d": base64url(d.as_ref())}))
}

fn ed25519() -> Result<Value, Fault> {
    let failed = |_| Fault::new("no Ed25519 key could be made");
    let pair = Ed25519KeyPair::generate().map_err(failed)?;
    let d: Curve25519SeedBin<'_> = pair.seed().map_err(failed)?.as_be_bytes().map_err(failed)?;
    Ok(json!({"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "kid": kid("eddsa")?,
        "x": base64url(pair.public_key().as_ref()), "d": base64url(d.as_ref())}))
}

fn rsa() -> Result<Value, Fault> {
    let failed = || Fault::new("no RSA key could be made");
    let pair = rsa::KeyPair::generate(rsa::KeySize::Rsa2048).map_err(|_| failed())?;
    let der: Pkcs8V1Der<'_> = pair.as_der().map_err(|_| failed())?;
    let [n, e, d, p, q, dp, dq, qi] = rsa_integers(der.as_ref()).ok_or_else(failed)?;
    Ok(json!({"kty": "RSA", "alg": "RS256", "use": "sig", "kid": kid("rs256")?, "n": n, "e": e, "d": d,
        "p": p, "q": q, "dp": dp, "dq": dq, "qi": qi}))
}

/// The integers of an RSA private key (RFC 8017 appendix A.1.2) inside PKCS #8 (RFC 5208 section 5), base64url.
fn rsa_integers(pkcs8: &[u8]) -> Option<[String; 8]> {
    let (outer, _) = element(pkcs8, 0x30)?;
    let (_version, rest) = element(outer, 0x02)?;
    let (_algorithm, rest) = element(rest, 0x30)?;
    let (key, _) = element(rest, 0x04)?;
    let (key, _) = element(key, 0x30)?;
    let (_version, mut rest) = element(key, 0x02)?;
    let mut integers = Vec::with_capacity(8);
    for _ in 0..8 {
        let (integer, after) = element(rest, 0x02)?;
        integers.push(base64url(integer.strip_prefix(&[0]).unwrap_or(integer)));
        rest = after;
    }
    integers.try_into().ok()
}

/// The content of a DER element of this tag, and what follows it.
fn element(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&first, rest) = der.split_first()?;
    let (&short, rest) = rest.split_first()?;
    if first != tag {
        return None;
    }
    let (length, rest) = if short < 0x80 {
        (usize::from(short), rest)
    } else {
        let (bytes, rest) = rest.split_at_checked(usize::from(short & 0x7f))?;
        (bytes.iter().try_fold(0usize, |sum, b| sum.checked_mul(256)?.checked_add(usize::from(*b)))?, rest)
    };
    rest.split_at_checked(length)
}

#[cfg(test)]
mod tests {
    use auth_core::jws::{Algorithm, UnverifiedJws, sign};
    use auth_core::keyring::Keyring;
    use auth_core::time::Timestamp;

    #[test]
    fn a_new_keyring_is_read_back_and_each_key_signs_what_it_verifies() {
        let document = super::new_keyring(Timestamp(0)).unwrap();
        let keyring = Keyring::parse(&document.to_text()).unwrap();
        assert_eq!(keyring.algorithms(), Algorithm::ALL);
        for algorithm in Algorithm::ALL {
            let key = keyring.signing_key(algorithm).unwrap();
            let token = sign(key, "at+jwt", &serde_json::json!({"a": 1})).unwrap();
            let read = UnverifiedJws::parse(&token).unwrap();
            let claims = read.verify(key.verifying());
            assert_eq!(claims.unwrap().get("a").unwrap(), 1, "{algorithm:?}");
        }
        assert_eq!(keyring.public_jwks()["keys"].as_array().unwrap().len(), 6, "an HMAC key has no public half");
        assert!(!format!("{keyring:?} {document:?}").contains("\"d\""));
    }
}
