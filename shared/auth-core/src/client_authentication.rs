//! How a client says who it is, and the proof by a signed assertion (RFC 7521 section 4.2, RFC 7523 section 3).
//!
//! An assertion is one of two. The client's own (`private_key_jwt`): it names itself as issuer and subject, and its
//! registered key signed it, for one use. Or a workload's: an issuer that the deployment trusts (a cloud, a CI system)
//! signed for the workload that runs the client, and the client trusts that issuer, subject and audience.

use crate::ids::ClientId;
use crate::jwk::{VerifyingKey, registered};
use crate::jws::UnverifiedJws;
use crate::records::{Client, ClientKeys, WorkloadIdentity};
use crate::secret::{SecretText, fingerprint};
use crate::time::Timestamp;
use crate::token::{ClaimReader, Expected, MAX_LIFETIME_SECONDS};
use serde_json::{Map, Value};
use std::fmt;

/// `client_assertion_type` (RFC 7523 section 2.2).
pub const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// How far ahead the `exp` of a client's own assertion may be, in seconds: for so long its `jti` is remembered.
pub const MAX_AHEAD_SECONDS: i64 = 300;

/// So many characters of a `jti` are enough for anybody.
const MAX_JTI_CHARS: usize = 256;

/// The client that a request claims to come from, and what shall prove it.
#[derive(Debug)]
pub enum UnverifiedClient<'a> {
    /// `client_secret_basic` or `client_secret_post`. Basic credentials may be read in two ways; each pair is a whole,
    /// never the id of one with the secret of the other.
    Secret(Vec<(ClientId, SecretText)>),
    /// `private_key_jwt`, or a workload's token.
    Assertion(ClientId, UnverifiedAssertion<'a>),
}

/// A JWT that shall prove a client.
pub struct UnverifiedAssertion<'a> {
    jws: UnverifiedJws<'a>,
    issuer: String,
    subject: String,
}

impl fmt::Debug for UnverifiedAssertion<'_> {
    /// The assertion itself is a credential.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("UnverifiedAssertion")
    }
}

/// An assertion's one use: what is remembered of it, and until when it would have been good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OneUse {
    /// A digest of client and `jti`.
    pub name: String,
    /// The assertion's `exp`, with the leeway that it has.
    pub until: Timestamp,
}

impl<'a> UnverifiedAssertion<'a> {
    /// Reads an assertion.
    ///
    /// # Errors
    /// What is wrong with it; for the log.
    pub fn parse(text: &'a str) -> Result<Self, String> {
        let jws = UnverifiedJws::parse(text)?;
        match jws.unverified_typ().as_deref() {
            // The last is that of the revision of RFC 7523; a token of ours has another, and is no assertion.
            None | Some("jwt" | "client-authentication+jwt") => {}
            Some(_) => return Err("typ is not that of an assertion".into()),
        }
        let text = |name| match jws.unverified_claim(name) {
            Some(text) if !text.is_empty() => Ok(text.to_owned()),
            _ => Err(format!("no {name}")),
        };
        let (issuer, subject) = (text("iss")?, text("sub")?);
        Ok(Self { jws, issuer, subject })
    }

    /// Whom it says it comes from. Only good for finding the keys that will prove it.
    pub fn unverified_issuer(&self) -> &str {
        &self.issuer
    }

    /// Whether it says that the client itself made it: then the subject is the client.
    pub fn is_of_the_client(&self) -> bool {
        self.issuer == self.subject
    }

    /// The subject. Only good for finding the record that will prove it.
    pub fn unverified_subject(&self) -> &str {
        &self.subject
    }

    /// Which of these are asked: those of its `kid`; or where it names none, those of its algorithm.
    fn candidates<'k>(&self, keys: &'k [VerifyingKey]) -> impl Iterator<Item = &'k VerifyingKey> {
        let (kid, algorithm) = (self.jws.unverified_kid().map(str::to_owned), self.jws.unverified_algorithm());
        keys.iter().filter(move |key| key.algorithm() == algorithm && kid.as_deref().is_none_or(|kid| kid == key.kid()))
    }

    /// Whether any of the keys may be the one that signed it: if not, newer ones may be had.
    pub fn has_candidate(&self, keys: &[VerifyingKey]) -> bool {
        self.candidates(keys).next().is_some()
    }

    /// Checks the signature by keys that cannot have made it: so long does it take where there are others.
    pub fn verify_in_vain(&self, keys: &[VerifyingKey]) {
        for key in keys {
            let _ = self.jws.verify(key);
        }
    }

    fn proven(&self, keys: &[VerifyingKey]) -> Result<&Map<String, Value>, String> {
        let mut why = "no key of the client or issuer has this kid and alg";
        for key in self.candidates(keys) {
            match self.jws.verify(key) {
                Ok(claims) => return Ok(claims),
                Err(not) => why = not,
            }
        }
        Err(why.into())
    }

    /// Proves that the client made it, for us, now. It still has its one use: whoever takes it for proof spends that.
    /// `audiences` are the names that we go by: the issuer, and the token endpoint of old.
    ///
    /// # Errors
    /// What is wrong; for the log.
    pub fn verify_own(
        &self,
        client: &ClientId,
        keys: &[VerifyingKey],
        audiences: &[&str],
        expected: &Expected<'_>,
    ) -> Result<OneUse, String> {
        let claims = self.proven(keys)?;
        if self.issuer != client.as_str() || self.subject != client.as_str() {
            return Err("iss and sub are not the client".into());
        }
        // One audience, and us: an assertion that is for others as well can be used here by them.
        let audience = match claims.get("aud") {
            Some(Value::String(one)) => Some(one.as_str()),
            Some(Value::Array(list)) if list.len() == 1 => list.first().and_then(Value::as_str),
            _ => None,
        };
        if !audience.is_some_and(|aud| audiences.contains(&aud)) {
            return Err("aud is not the issuer alone".into());
        }
        let claims = ClaimReader(claims);
        let jti = claims.text("jti").map_err(|r| r.why)?.filter(|jti| !jti.is_empty()).ok_or("no jti")?;
        if jti.chars().count() > MAX_JTI_CHARS {
            return Err("jti is longer than 256 characters".into());
        }
        let life = claims.life().map_err(|r| r.why)?;
        life.judge(expected, MAX_LIFETIME_SECONDS).map_err(|r| r.why)?;
        let until = Timestamp(life.exp as i64).plus(expected.leeway_seconds);
        if until.since(expected.now) > MAX_AHEAD_SECONDS + 2 * expected.leeway_seconds {
            return Err("exp is more than 5 minutes ahead".into());
        }
        // A client_id holds no control character: it cannot be mistaken for the beginning of a jti.
        Ok(OneUse { name: fingerprint(&format!("{client}\n{jti}")), until })
    }

    /// Proves that the issuer made it for a workload that the client trusts, and for us. Such tokens are handed to a
    /// workload for as long as an hour, to be used again and again; that they have one use cannot be asked of them.
    ///
    /// # Errors
    /// What is wrong; for the log.
    pub fn verify_workload(
        &self,
        trusted: &WorkloadIdentity,
        keys: &[VerifyingKey],
        issuer: &str,
        expected: &Expected<'_>,
    ) -> Result<(), String> {
        let claims = self.proven(keys)?;
        if trusted.issuer.as_str() != self.issuer || trusted.subject.as_str() != self.subject {
            return Err("iss and sub are not a workload of the client".into());
        }
        let wanted = trusted.audience.as_ref().map_or(issuer, |audience| audience.as_str());
        let is_for_us = match claims.get("aud") {
            Some(Value::String(one)) => one == wanted,
            Some(Value::Array(list)) => list.iter().any(|aud| aud == wanted),
            _ => false,
        };
        if !is_for_us {
            return Err("aud is not the one that the client trusts".into());
        }
        let life = ClaimReader(claims).life();
        life.and_then(|life| life.judge(expected, MAX_LIFETIME_SECONDS)).map_err(|r| r.why)
    }
}

impl Client {
    /// The keys that were registered one by one; none where they stand at an address.
    pub fn registered_keys(&self) -> Vec<VerifyingKey> {
        match &self.keys {
            Some(ClientKeys::Jwks(keys)) => registered(keys),
            _ => Vec::new(),
        }
    }

    /// The workloads that a token of this issuer for this subject may speak for; they differ in their audience.
    pub fn workloads(&self, issuer: &str, subject: &str) -> Vec<&WorkloadIdentity> {
        let is_it = |w: &&WorkloadIdentity| w.issuer.as_str() == issuer && w.subject.as_str() == subject;
        self.workload_identities.iter().filter(is_it).collect()
    }

    /// Whether it can prove itself without a secret.
    pub fn needs_no_secret(&self) -> bool {
        self.keys.is_some() || !self.workload_identities.is_empty()
    }
}
