//! JSON Web Keys (RFC 7517, RFC 7518 section 6), read strictly at import: no library that verifies a signature looks
//! at the key first, and a weak key verifies anything.

use crate::jws::Algorithm;
use crate::records::PublicJwk;
use crate::secret::{base64url, from_base64url};
use aws_lc_rs::hmac;
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeyPairComponents, PublicKeyComponents};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, ED25519, EcdsaKeyPair, Ed25519KeyPair, ParsedPublicKey,
    RSA_PKCS1_2048_8192_SHA256,
};
use serde_json::{Map, Value, json};
use std::fmt;
use std::sync::{Arc, OnceLock};
use zeroize::{Zeroize as _, Zeroizing};

/// Why a key is refused; names the member.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct KeyRefused(pub String);

fn refused<T>(why: impl Into<String>) -> Result<T, KeyRefused> {
    Err(KeyRefused(why.into()))
}

/// A key that verifies. Bound to one algorithm: a token cannot choose another for it.
#[derive(Clone)]
pub struct VerifyingKey {
    pub(crate) kid: Box<str>,
    pub(crate) algorithm: Algorithm,
    checks: Checks,
    /// The public JWK; none for an HMAC key, which has no public part.
    public: Option<Map<String, Value>>,
}

/// What checks a signature; parsed once.
#[derive(Clone)]
enum Checks {
    Public(Arc<ParsedPublicKey>),
    Hmac(Arc<hmac::Key>),
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VerifyingKey({}, {:?})", self.kid, self.algorithm)
    }
}

impl VerifyingKey {
    /// Reads a public key (or an HMAC key) from a JWK.
    ///
    /// # Errors
    /// [`KeyRefused`]: a private member, a use other than signing, an algorithm that is not the key's, an RSA modulus
    /// under 2,048 bits or an odd exponent, a point that is not on its curve, an Ed25519 point of small order, an HMAC
    /// key under 256 bits.
    pub fn from_jwk(jwk: &Value) -> Result<Self, KeyRefused> {
        let jwk = object(jwk)?;
        for private in ["d", "p", "q", "dp", "dq", "qi", "oth"] {
            if jwk.contains_key(private) {
                return refused(format!("{private}: a private member has no place in a public key"));
            }
        }
        Self::read(jwk)
    }

    /// Reads a public key that somebody else made: without `alg` it is of the one algorithm of its kind that we take.
    ///
    /// # Errors
    /// [`KeyRefused`]; also for an HMAC key, which cannot be public.
    pub fn of_others(jwk: &Value) -> Result<Self, KeyRefused> {
        let mut jwk = object(jwk)?.clone();
        if jwk.get("kty").is_some_and(|kty| kty == "oct") {
            return refused("kty: a public key is needed");
        }
        let of_its_kind = Algorithm::ALL.into_iter().find(|a| {
            jwk.get("kty").is_some_and(|kty| kty == a.kty())
                && a.crv().is_none_or(|crv| jwk.get("crv").is_some_and(|c| c == crv))
        });
        if let (None, Some(algorithm)) = (jwk.get("alg"), of_its_kind) {
            jwk.insert("alg".into(), algorithm.as_str().into());
        }
        Self::from_jwk(&Value::Object(jwk))
    }

    /// The public half of a private JWK, whose private members are passed over.
    pub(crate) fn of_pair(jwk: &Value) -> Result<Self, KeyRefused> {
        Self::read(object(jwk)?)
    }

    fn read(jwk: &Map<String, Value>) -> Result<Self, KeyRefused> {
        let (kid, algorithm) = describe(jwk)?;
        let part = |name| bytes(jwk, name);
        let (checks, public) = match algorithm {
            Algorithm::HS256 => {
                let k = Zeroizing::new(part("k")?);
                if k.len() < 32 {
                    return refused("k: an HMAC key has 256 bits or more (RFC 7518 section 3.2)");
                }
                (Checks::Hmac(Arc::new(hmac::Key::new(hmac::HMAC_SHA256, &k))), None)
            }
            Algorithm::RS256 => {
                let (n, e) = (part("n")?, part("e")?);
                check_rsa(&n, &e)?;
                let key = ParsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, rsa_der(&n, &e));
                let key = key.map_err(|_| KeyRefused("n, e: not an RSA key".into()))?;
                (Checks::Public(Arc::new(key)), Some(json!({"n": base64url(&n), "e": base64url(&e)})))
            }
            Algorithm::ES256 => {
                let (x, y) = (part("x")?, part("y")?);
                if x.len() != 32 || y.len() != 32 {
                    return refused("x, y: a coordinate of P-256 has 32 bytes");
                }
                let point = [&[4u8][..], &x, &y].concat();
                let key = ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &point);
                let key = key.map_err(|_| KeyRefused("x, y: not a point on P-256".into()))?;
                let public = json!({"crv": "P-256", "x": base64url(&x), "y": base64url(&y)});
                (Checks::Public(Arc::new(key)), Some(public))
            }
            Algorithm::EdDSA => {
                let x = part("x")?;
                check_ed25519(&x)?;
                let key = ParsedPublicKey::new(&ED25519, &x);
                let key = key.map_err(|_| KeyRefused("x: not an Ed25519 key".into()))?;
                (Checks::Public(Arc::new(key)), Some(json!({"crv": "Ed25519", "x": base64url(&x)})))
            }
        };
        let public = public.and_then(|p| p.as_object().cloned()).map(|mut p| {
            p.insert("kty".into(), algorithm.kty().into());
            p.insert("kid".into(), (*kid).into());
            p.insert("alg".into(), algorithm.as_str().into());
            p.insert("use".into(), "sig".into());
            p
        });
        Ok(Self { kid, algorithm, checks, public })
    }

    /// Whether the key made the signature, by its own algorithm.
    pub(crate) fn has_signed(&self, text: &[u8], signature: &[u8]) -> bool {
        match &self.checks {
            Checks::Public(key) => key.verify_sig(text, signature).is_ok(),
            Checks::Hmac(key) => hmac::verify(key, text, signature).is_ok(),
        }
    }

    /// The name of the key.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// The one algorithm of the key.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The JWK to publish; none for an HMAC key.
    pub fn public_jwk(&self) -> Option<Value> {
        self.public.clone().map(Value::Object)
    }
}

/// The most keys that are looked at in the set of somebody else's.
const MOST_OF_A_SET: usize = 100;

/// The most keys of one client, or of an issuer whose keys are pinned.
const MOST_REGISTERED: usize = 10;

/// The keys of a JWK set (RFC 7517 section 5) that somebody else publishes. Those that we do not take are passed over;
/// `None` if it is no set.
pub fn read_set(document: &Value) -> Option<Vec<VerifyingKey>> {
    let keys = document.get("keys")?.as_array()?;
    Some(keys.iter().take(MOST_OF_A_SET).filter_map(|jwk| VerifyingKey::of_others(jwk).ok()).collect())
}

/// The keys that [`register_set`] made a record of.
pub fn registered(keys: &[PublicJwk]) -> Vec<VerifyingKey> {
    read_set(&json!({ "keys": keys })).unwrap_or_default()
}

/// The keys of a JWK set that is registered: each is one that we take.
///
/// # Errors
/// Names the place and the member.
pub fn register_set(document: &Value) -> Result<Vec<PublicJwk>, KeyRefused> {
    let Some(keys) = document.get("keys").and_then(Value::as_array) else {
        return refused("keys: a JWK set is needed, {\"keys\": [...]}");
    };
    if !(1..=MOST_REGISTERED).contains(&keys.len()) {
        return refused(format!("keys: 1 to {MOST_REGISTERED} of them"));
    }
    let mut registered: Vec<PublicJwk> = Vec::new();
    for (index, jwk) in keys.iter().enumerate() {
        let key = VerifyingKey::of_others(jwk).map_err(|KeyRefused(why)| KeyRefused(format!("keys[{index}].{why}")))?;
        if registered.iter().any(|other| other.get("kid").is_some_and(|kid| kid == key.kid())) {
            return refused(format!("keys[{index}].kid: already the name of another key"));
        }
        let members = key.public.into_iter().flatten();
        registered.push(members.filter_map(|(name, value)| Some((name, value.as_str()?.to_owned()))).collect());
    }
    Ok(registered)
}

/// A key that signs, and its verifying half.
pub struct SigningKey {
    pub(crate) verifying: VerifyingKey,
    private: PrivateJwk,
    signer: OnceLock<Signer>,
}

struct PrivateJwk(Map<String, Value>);

impl Drop for PrivateJwk {
    fn drop(&mut self) {
        wipe(&mut self.0);
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({}, {:?})", self.verifying.kid, self.verifying.algorithm)
    }
}

pub(crate) enum Signer {
    // Parsed once: `jsonwebtoken` would parse the key at each signature, and spend half of an RS256 signature on that.
    Hmac(Box<hmac::Key>),
    Rsa(Box<RsaKeyPair>),
    Ecdsa(Box<EcdsaKeyPair>),
    Ed25519(Box<Ed25519KeyPair>),
}

impl SigningKey {
    /// Reads a private JWK. The public members must belong to the private ones.
    ///
    /// # Errors
    /// [`KeyRefused`].
    pub fn from_jwk(jwk: &Value) -> Result<Self, KeyRefused> {
        let key = Self::closed(jwk)?;
        key.signer()?;
        Ok(key)
    }

    /// The same, but for the private members, which are looked at when it first signs: an RSA key's are as much work as
    /// half a signature, and most processes sign by one algorithm.
    ///
    /// # Errors
    /// [`KeyRefused`].
    pub(crate) fn closed(jwk: &Value) -> Result<Self, KeyRefused> {
        let private = object(jwk)?.clone();
        Ok(Self { verifying: VerifyingKey::read(&private)?, private: PrivateJwk(private), signer: OnceLock::new() })
    }

    /// What signs; parsed once.
    pub(crate) fn signer(&self) -> Result<&Signer, KeyRefused> {
        match self.signer.get() {
            Some(signer) => Ok(signer),
            None => {
                let signer = Self::open(self.verifying.algorithm, &self.private.0)?;
                Ok(self.signer.get_or_init(|| signer))
            }
        }
    }

    fn open(algorithm: Algorithm, jwk: &Map<String, Value>) -> Result<Signer, KeyRefused> {
        let part = |name| bytes(jwk, name).map(Zeroizing::new);
        let inconsistent = |_| KeyRefused("d: the private members do not belong to the public ones".into());
        Ok(match algorithm {
            Algorithm::HS256 => Signer::Hmac(Box::new(hmac::Key::new(hmac::HMAC_SHA256, &part("k")?))),
            Algorithm::RS256 => {
                let pair = RsaKeyPair::from_components(&KeyPairComponents {
                    public_key: PublicKeyComponents { n: part("n")?, e: part("e")? },
                    d: part("d")?,
                    p: part("p")?,
                    q: part("q")?,
                    dP: part("dp")?,
                    dQ: part("dq")?,
                    qInv: part("qi")?,
                });
                Signer::Rsa(Box::new(pair.map_err(inconsistent)?))
            }
            Algorithm::ES256 => {
                let point = [&[4u8][..], &part("x")?, &part("y")?].concat();
                let pair = EcdsaKeyPair::from_private_key_and_public_key(
                    &ECDSA_P256_SHA256_FIXED_SIGNING,
                    &part("d")?,
                    &point,
                )
                .map_err(inconsistent)?;
                Signer::Ecdsa(Box::new(pair))
            }
            Algorithm::EdDSA => {
                let pair = Ed25519KeyPair::from_seed_and_public_key(&part("d")?, &part("x")?).map_err(inconsistent)?;
                Signer::Ed25519(Box::new(pair))
            }
        })
    }

    /// The half that verifies.
    pub fn verifying(&self) -> &VerifyingKey {
        &self.verifying
    }
}

/// Leaves nothing of a JWK's members in memory.
pub(crate) fn wipe(jwk: &mut Map<String, Value>) {
    for (_, value) in jwk {
        if let Value::String(text) = value {
            text.zeroize();
        }
    }
}

fn object(jwk: &Value) -> Result<&Map<String, Value>, KeyRefused> {
    jwk.as_object().ok_or_else(|| KeyRefused("a key is a JSON object".into()))
}

fn text<'a>(jwk: &'a Map<String, Value>, name: &str) -> Result<&'a str, KeyRefused> {
    match jwk.get(name) {
        Some(Value::String(text)) if !text.is_empty() => Ok(text),
        _ => refused(format!("{name}: a text is needed")),
    }
}

fn bytes(jwk: &Map<String, Value>, name: &str) -> Result<Vec<u8>, KeyRefused> {
    match from_base64url(text(jwk, name)?) {
        Some(bytes) if !bytes.is_empty() => Ok(bytes),
        _ => refused(format!("{name}: base64url without padding is needed")),
    }
}

/// The name and the one algorithm of a key, from `kid`, `alg`, `kty`, `crv`, `use`, `key_ops`.
fn describe(jwk: &Map<String, Value>) -> Result<(Box<str>, Algorithm), KeyRefused> {
    let kid = text(jwk, "kid")?;
    if kid.len() > 128 || !kid.bytes().all(|b| b.is_ascii_graphic()) {
        return refused("kid: 1 to 128 printable ASCII characters");
    }
    let algorithm: Algorithm =
        text(jwk, "alg")?.parse().map_err(|_| KeyRefused("alg: HS256, RS256, ES256 or EdDSA".into()))?;
    if text(jwk, "kty")? != algorithm.kty() {
        return refused(format!("alg: {} is not an algorithm of this kty", algorithm.as_str()));
    }
    if let Some(crv) = algorithm.crv()
        && text(jwk, "crv")? != crv
    {
        return refused(format!("crv: {} wants {crv}", algorithm.as_str()));
    }
    if jwk.get("use").is_some_and(|u| u != "sig") {
        return refused("use: only sig");
    }
    if let Some(ops) = jwk.get("key_ops")
        && !ops.as_array().is_some_and(|ops| ops.iter().any(|op| op == "verify" || op == "sign"))
    {
        return refused("key_ops: verify or sign is missing");
    }
    Ok((kid.into(), algorithm))
}

/// `RSAPublicKey` (RFC 8017 appendix A.1.1) of a modulus and an exponent that were checked.
fn rsa_der(n: &[u8], e: &[u8]) -> Vec<u8> {
    let tagged = |tag: u8, content: &[u8]| {
        let length = content.len().to_be_bytes();
        let length = length.iter().skip_while(|byte| **byte == 0).copied();
        let mut der = vec![tag];
        match content.len() {
            short @ 0..0x80 => der.push(short as u8),
            _ => {
                der.push(0x80 | length.clone().count() as u8);
                der.extend(length);
            }
        }
        der.extend_from_slice(content);
        der
    };
    let integer = |bytes: &[u8]| {
        // A first bit that is set would make the number negative.
        let sign: &[u8] = if bytes.first().is_some_and(|first| *first >= 0x80) { &[0] } else { &[] };
        tagged(0x02, &[sign, bytes].concat())
    };
    tagged(0x30, &[integer(n), integer(e)].concat())
}

fn check_rsa(n: &[u8], e: &[u8]) -> Result<(), KeyRefused> {
    let bits = match n.first() {
        None | Some(0) => return refused("n: a leading zero byte"),
        Some(first) => n.len() * 8 - first.leading_zeros() as usize,
    };
    if !(2048..=8192).contains(&bits) {
        return refused("n: a modulus has 2,048 to 8,192 bits");
    }
    if n.last().is_none_or(|last| last % 2 == 0) {
        return refused("n: an even modulus");
    }
    let exponent = e.iter().fold(0u64, |sum, byte| sum.saturating_mul(256).saturating_add(u64::from(*byte)));
    if e.len() > 4 || e.first() == Some(&0) || exponent < 3 || exponent % 2 == 0 {
        return refused("e: an odd exponent from 3, of 32 bits at most");
    }
    if is_of_a_broken_generator(n) {
        return refused("n: made by a generator whose moduli can be divided (CVE-2017-15361)");
    }
    Ok(())
}

/// Whether a modulus has the mark of Infineon's generator (ROCA): modulo each of the first odd primes it is a power of
/// 65,537, which a modulus of another generator is by no chance that counts.
fn is_of_a_broken_generator(n: &[u8]) -> bool {
    const PRIMES: [u32; 38] = [
        3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97, 101, 103, 107,
        109, 113, 127, 131, 137, 139, 149, 151, 157, 163, 167,
    ];
    PRIMES.into_iter().all(|prime| {
        let rest = n.iter().fold(0, |rest, byte| (rest * 256 + u32::from(*byte)) % prime);
        let mut powers = (0..prime).scan(1, |power, _| {
            let now = *power;
            *power = now * 65_537 % prime;
            Some(now)
        });
        powers.any(|power| power == rest)
    })
}

fn check_ed25519(x: &[u8]) -> Result<(), KeyRefused> {
    let compressed = curve25519_dalek::edwards::CompressedEdwardsY::from_slice(x)
        .map_err(|_| KeyRefused("x: an Ed25519 key has 32 bytes".into()))?;
    let Some(point) = compressed.decompress() else {
        return refused("x: not a point on Ed25519");
    };
    // A point of small order, or one written in a second way, verifies signatures that no private key made.
    if point.is_small_order() || point.compress() != compressed {
        return refused("x: a point of small order, or not in its one spelling");
    }
    Ok(())
}
