//! Access tokens: ours (RFC 9068 profile) and those that partners sign themselves.
//!
//! [`UnverifiedToken`] is a text that has the shape of one or the other; only [`VerifiedToken`] and [`SelfSigned`]
//! are believed, and only this module makes them.

use crate::details::Details;
use crate::ids::{ClientId, CustomerId, Environment, Jti, RoleName, Scope, TenantId, UserLogin};
use crate::jwk::SigningKey;
use crate::jws::{self, Algorithm, UnverifiedJws};
use crate::keyring::Keyring;
use crate::records::Client;
use crate::refusal::{Reason, Refusal};
use crate::secret::{Digest, DoesNotOpen};
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeSet;
use std::fmt;

/// The type of our tokens (RFC 9068 section 2.1).
pub const TYP: &str = "at+jwt";

/// The longest `exp - iat` of any token, in seconds. An issuer never writes more; a key that leaked might.
pub const MAX_LIFETIME_SECONDS: i64 = 86_400;

/// The most that clocks may differ, in seconds. More would let expired tokens live on.
pub const MAX_LEEWAY_SECONDS: i64 = 60;

/// What tokens are judged by.
#[derive(Debug, Clone)]
pub struct Expected<'a> {
    /// The exact `iss`.
    pub issuer: &'a str,
    /// Seconds that clocks may differ; at most [`MAX_LEEWAY_SECONDS`].
    pub leeway_seconds: i64,
    /// Now.
    pub now: Timestamp,
}

/// Whom a token speaks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TokenUse {
    /// A partner's application.
    Partner,
    /// A customer who logged in.
    Customer,
    /// An application of the platform's own.
    Internal,
}

impl TokenUse {
    /// The text of the claim.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Partner => "partner",
            Self::Customer => "customer",
            Self::Internal => "internal",
        }
    }
}

/// What we put into a token.
#[derive(Debug, Clone, Serialize)]
pub struct Claims {
    /// The issuer.
    pub iss: String,
    /// The client, or the customer.
    pub sub: String,
    /// One audience as a text, several as a list.
    pub aud: Audience,
    /// The client that asked (RFC 9068 section 2.2).
    pub client_id: String,
    /// Issued at.
    pub iat: Timestamp,
    /// Not before.
    pub nbf: Timestamp,
    /// Expires at.
    pub exp: Timestamp,
    /// The token's own name.
    pub jti: Jti,
    /// Scopes, divided by spaces.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub scope: String,
    /// Roles of the grant or the credential when the token was issued; the decision reads the present ones.
    pub roles: Vec<RoleName>,
    /// Whom it speaks for.
    pub token_use: TokenUse,
    /// The one tenant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant: Option<TenantId>,
    /// Where it may be used.
    pub environment: Environment,
    /// On whose behalf.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_login: Option<UserLogin>,
    /// The customer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub customer_id: Option<CustomerId>,
    /// The digest of the customer's login name: finds the record again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub login_ref: Option<String>,
    /// The digest of the API key that it was exchanged for: it is not good for longer than that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_ref: Option<Digest>,
    /// Limits beyond scopes (RFC 9396 section 9.1).
    #[serde(skip_serializing_if = "Details::is_empty")]
    pub authorization_details: Details,
}

/// `aud` (RFC 7519 section 4.1.3).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Audience {
    /// A text.
    One(String),
    /// A list.
    Many(Vec<String>),
}

impl From<Vec<String>> for Audience {
    fn from(mut all: Vec<String>) -> Self {
        match (all.pop(), all.is_empty()) {
            (Some(one), true) => Self::One(one),
            (Some(last), false) => {
                all.push(last);
                Self::Many(all)
            }
            (None, _) => Self::Many(all),
        }
    }
}

/// Signs our token.
///
/// # Errors
/// [`jws::DoesNotSign`].
pub fn issue(key: &SigningKey, claims: &Claims) -> Result<String, jws::DoesNotSign> {
    jws::sign(key, TYP, claims)
}

/// A token of which nothing has been proven. Its two shapes differ in what proves them.
pub enum UnverifiedToken<'a> {
    /// It says that it is ours: it has a `kid`, or the type of our tokens.
    Issued(UnverifiedIssued<'a>),
    /// It says that a partner signed it.
    SelfSigned(UnverifiedSelfSigned<'a>),
}

/// A token that says it is ours.
pub struct UnverifiedIssued<'a> {
    jws: UnverifiedJws<'a>,
    kid: String,
}

/// A token that says a partner signed it.
pub struct UnverifiedSelfSigned<'a> {
    jws: UnverifiedJws<'a>,
    client_id: ClientId,
    tenant: Option<TenantId>,
}

impl fmt::Debug for UnverifiedToken<'_> {
    /// The token itself is a credential.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Issued(_) => "UnverifiedToken::Issued",
            Self::SelfSigned(_) => "UnverifiedToken::SelfSigned",
        })
    }
}

fn invalid(why: impl Into<String>) -> Reason {
    Reason::new(Refusal::InvalidToken, why)
}

impl<'a> UnverifiedToken<'a> {
    /// Reads a compact JWT.
    ///
    /// # Errors
    /// [`Refusal::InvalidToken`].
    pub fn parse(text: &'a str) -> Result<Self, Reason> {
        let jws = UnverifiedJws::parse(text).map_err(invalid)?;
        let typ = jws.unverified_typ();
        if let Some(kid) = jws.unverified_kid().map(str::to_owned) {
            if typ.as_deref() != Some(TYP) {
                return Err(invalid("typ is not at+jwt"));
            }
            return Ok(Self::Issued(UnverifiedIssued { jws, kid }));
        }
        match typ.as_deref() {
            None | Some("jwt") => {}
            Some(TYP) => return Err(invalid("no kid")),
            Some(_) => return Err(invalid("typ is not one that is taken")),
        }
        let client_id = jws.unverified_claim("clientId").ok_or_else(|| invalid("no clientId"))?;
        let client_id = client_id.parse().map_err(|_| invalid("clientId is not a client_id"))?;
        let tenant = match jws.unverified_claim("tenant").map(str::parse) {
            None => None,
            Some(Ok(tenant)) => Some(tenant),
            Some(Err(_)) => return Err(invalid("tenant is not a tenant")),
        };
        Ok(Self::SelfSigned(UnverifiedSelfSigned { jws, client_id, tenant }))
    }
}

/// A token of ours: signed by a key of the keyring, for this issuer. What is left to judge is its time, which is all that
/// another day changes.
#[derive(Debug, Clone)]
pub struct SignedToken {
    token: VerifiedToken,
    life: Life,
}

impl SignedToken {
    /// The token, if this is its time.
    ///
    /// # Errors
    /// [`Refusal::TokenExpired`]; [`Refusal::InvalidToken`].
    pub fn in_time(&self, expected: &Expected<'_>) -> Result<VerifiedToken, Reason> {
        self.life.judge(expected, MAX_LIFETIME_SECONDS)?;
        Ok(self.token.clone())
    }
}

/// A token of ours: signed by a key of the keyring, for this issuer, in its time.
#[derive(Debug, Clone)]
pub struct VerifiedToken {
    pub(crate) algorithm: Algorithm,
    pub(crate) aud: Vec<String>,
    pub(crate) client_id: Option<ClientId>,
    pub(crate) issued_at: Option<Timestamp>,
    pub(crate) expires_at: Timestamp,
    pub(crate) jti: Option<Jti>,
    pub(crate) scopes: BTreeSet<Scope>,
    pub(crate) token_use: TokenUse,
    pub(crate) tenant: Option<TenantId>,
    pub(crate) environment: Option<Environment>,
    pub(crate) user_login: Option<UserLogin>,
    pub(crate) customer_id: Option<CustomerId>,
    pub(crate) login_ref: Option<String>,
    pub(crate) key_ref: Option<Digest>,
    pub(crate) details: Details,
}

impl VerifiedToken {
    /// The client it was issued to; none for a customer's.
    pub fn client_id(&self) -> Option<&ClientId> {
        self.client_id.as_ref()
    }
    /// Its one tenant.
    pub fn tenant(&self) -> Option<&TenantId> {
        self.tenant.as_ref()
    }
    /// Its own name.
    pub fn jti(&self) -> Option<&Jti> {
        self.jti.as_ref()
    }
    /// When it expires.
    pub fn expires_at(&self) -> Timestamp {
        self.expires_at
    }
    /// When it was issued.
    pub fn issued_at(&self) -> Option<Timestamp> {
        self.issued_at
    }
    /// For whom it is.
    pub fn audience(&self) -> &[String] {
        &self.aud
    }
    /// Whom it speaks for.
    pub fn token_use(&self) -> TokenUse {
        self.token_use
    }
    /// Finds the record of the API key that it was exchanged for.
    pub fn key_ref(&self) -> Option<&Digest> {
        self.key_ref.as_ref()
    }
    /// Finds the customer's record.
    pub fn login_ref(&self) -> Option<&str> {
        self.login_ref.as_deref()
    }
}

impl UnverifiedIssued<'_> {
    /// The key it says it was signed with. Only good for finding that key.
    pub fn unverified_kid(&self) -> &str {
        &self.kid
    }

    /// Proves the signature, then judges the claims: nothing in a token counts before its signature.
    ///
    /// # Errors
    /// [`Refusal::InvalidToken`]; [`Refusal::TokenExpired`] where nothing else is wrong.
    pub fn verify(self, keyring: &Keyring, expected: &Expected<'_>) -> Result<VerifiedToken, Reason> {
        self.prove(keyring, expected.issuer)?.in_time(expected)
    }

    /// The same, but for the time. `issuer` is the exact `iss`.
    ///
    /// # Errors
    /// [`Refusal::InvalidToken`].
    pub fn prove(self, keyring: &Keyring, issuer: &str) -> Result<SignedToken, Reason> {
        let algorithm = self.jws.unverified_algorithm();
        let key = keyring.verifying_key(&self.kid).ok_or_else(|| invalid("kid names no key of the keyring"))?;
        let claims = self.jws.verify(key).map_err(invalid)?;
        let claims = ClaimReader(claims);

        if claims.text("iss")?.as_deref() != Some(issuer) {
            return Err(invalid("iss is not this issuer"));
        }
        let aud = match claims.0.get("aud") {
            Some(Value::String(one)) => vec![one.clone()],
            Some(Value::Array(many)) => many
                .iter()
                .map(|v| v.as_str().map(str::to_owned).ok_or_else(|| invalid("aud holds something not a text")))
                .collect::<Result<_, _>>()?,
            _ => return Err(invalid("aud is not a text or a list of texts")),
        };
        let token_use = match claims.text("token_use")?.as_deref() {
            Some("partner") => TokenUse::Partner,
            Some("customer") => TokenUse::Customer,
            Some("internal") => TokenUse::Internal,
            _ => return Err(invalid("token_use is not one that is taken")),
        };
        let sub = claims.text("sub")?.filter(|s| !s.is_empty()).ok_or_else(|| invalid("no sub"))?;
        if sub.len() > 256 || sub.chars().any(char::is_control) {
            return Err(invalid("sub is too long or holds control characters"));
        }
        let client_id = match (token_use, claims.parsed("client_id")?) {
            (TokenUse::Customer, _) => None,
            (_, Some(client_id)) => Some(client_id),
            (_, None) => Some(sub.parse().map_err(|_| invalid("sub is not a client_id"))?),
        };
        if client_id.as_ref().is_some_and(|c: &ClientId| c.as_str() != sub) {
            return Err(invalid("sub and client_id name two clients"));
        }
        let scopes = match claims.text("scope")? {
            None => BTreeSet::new(),
            Some(text) => parse_scope(&text).ok_or_else(|| invalid("scope is not a list of scopes"))?,
        };
        let life = claims.life()?;
        let token = VerifiedToken {
            algorithm,
            aud,
            client_id,
            issued_at: life.iat.map(|t| Timestamp(t as i64)),
            expires_at: Timestamp(life.exp as i64),
            jti: claims.parsed("jti")?,
            scopes,
            token_use,
            tenant: claims.parsed("tenant")?,
            environment: claims.parsed("environment")?,
            user_login: claims.parsed("user_login")?,
            customer_id: claims.parsed("customer_id")?,
            login_ref: claims.text("login_ref")?,
            key_ref: match claims.text("key_ref")? {
                None => None,
                Some(text) => Some(Digest::from_stored(&text).ok_or_else(|| invalid("key_ref is not of its form"))?),
            },
            details: match claims.0.get("authorization_details") {
                None => Details::default(),
                Some(value) => Details::parse(&value.to_string())
                    .ok_or_else(|| invalid("authorization_details are not of their form"))?,
            },
        };
        Ok(SignedToken { token, life })
    }
}

/// A token that a partner signed, proven by its secret. It says who, and nothing about what: rights come from the
/// grant alone.
#[derive(Debug, Clone)]
pub struct SelfSigned {
    pub(crate) client_id: ClientId,
    pub(crate) tenant: Option<TenantId>,
    pub(crate) issued_at: Timestamp,
    pub(crate) expires_at: Timestamp,
}

impl SelfSigned {
    /// Who signed it.
    pub fn client_id(&self) -> &ClientId {
        &self.client_id
    }
}

impl UnverifiedSelfSigned<'_> {
    /// Who it says signed it. Only good for finding the record with the secret.
    pub fn unverified_client_id(&self) -> &ClientId {
        &self.client_id
    }

    /// The tenant it names, if any. Only good for finding the grant.
    pub fn unverified_tenant(&self) -> Option<&TenantId> {
        self.tenant.as_ref()
    }

    /// Proves the signature by any of the client's live secrets, then judges the claims. `audiences` are those that
    /// an `aud`, if there is one, may name.
    ///
    /// # Errors
    /// The refusal; or, inside, a sealed secret that does not open, which is our fault and not the caller's.
    pub fn verify(
        self,
        client: Option<&Client>,
        keyring: &Keyring,
        expected: &Expected<'_>,
        audiences: &[&str],
    ) -> Result<Result<SelfSigned, Reason>, DoesNotOpen> {
        let Some((client, right)) = client
            .filter(|c| c.client_id == self.client_id)
            .and_then(|c| c.self_signing.as_ref().map(|right| (c, right)))
        else {
            return Ok(Err(invalid("clientId names no client that may sign")));
        };
        let mut proven = None;
        for secret in &right.secrets {
            if secret.expires_at.is_some_and(|t| t.has_passed(expected.now)) {
                continue;
            }
            let opened = keyring.sealing.open(client.client_id.as_str(), &secret.sealed)?;
            if let Ok(claims) = self.jws.verify_hs256(&opened) {
                proven = Some(claims);
            }
        }
        let Some(claims) = proven else { return Ok(Err(invalid("no live secret of the client verifies"))) };
        Ok(self.judge(&ClaimReader(claims), expected, right.max_lifetime_seconds, audiences))
    }

    fn judge(
        &self,
        claims: &ClaimReader<'_>,
        expected: &Expected<'_>,
        cap: i64,
        audiences: &[&str],
    ) -> Result<SelfSigned, Reason> {
        let life = claims.life()?;
        let issued_at = Timestamp(life.iat.ok_or_else(|| invalid("no iat"))? as i64);
        let expires_at = Timestamp(life.exp as i64);
        // Claims that would speak for somebody else make the whole token doubtful.
        for name in ["sub", "client_id"] {
            if claims.text(name)?.is_some_and(|text| text != self.client_id.as_str()) {
                return Err(invalid("sub or client_id names another client than clientId"));
            }
        }
        match claims.0.get("aud") {
            None => {}
            Some(Value::String(aud)) if audiences.contains(&aud.as_str()) => {}
            Some(Value::Array(many)) if many.iter().any(|a| a.as_str().is_some_and(|a| audiences.contains(&a))) => {}
            Some(_) => return Err(invalid("aud names another audience")),
        }
        if claims.text("iss")?.is_some_and(|iss| iss == expected.issuer) {
            return Err(invalid("iss says that the token is ours"));
        }
        if claims.0.get("tenant").is_some_and(|t| !t.is_string()) {
            return Err(invalid("tenant is not a text"));
        }
        life.judge(expected, cap.min(MAX_LIFETIME_SECONDS))?;
        Ok(SelfSigned { client_id: self.client_id.clone(), tenant: self.tenant.clone(), issued_at, expires_at })
    }
}

/// Reads a `scope` text (RFC 6749 section 3.3): scope-tokens divided by spaces, in any order; twice is once, and so
/// are two spaces. None stand at the ends.
pub fn parse_scope(text: &str) -> Option<BTreeSet<Scope>> {
    if text.starts_with(' ') || text.ends_with(' ') {
        return None;
    }
    text.split(' ').filter(|token| !token.is_empty()).map(|token| token.parse().ok()).collect()
}

pub(crate) struct ClaimReader<'a>(pub(crate) &'a Map<String, Value>);

impl ClaimReader<'_> {
    pub(crate) fn text(&self, name: &'static str) -> Result<Option<String>, Reason> {
        match self.0.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(_) => Err(invalid(format!("{name} is not a text"))),
        }
    }

    fn parsed<T: std::str::FromStr>(&self, name: &'static str) -> Result<Option<T>, Reason> {
        match self.text(name)?.map(|text| text.parse()) {
            None => Ok(None),
            Some(Ok(value)) => Ok(Some(value)),
            Some(Err(_)) => Err(invalid(format!("{name} is not of its form"))),
        }
    }

    /// A `NumericDate` (RFC 7519 section 2): a finite number of seconds, before the year 10000.
    pub(crate) fn time(&self, name: &'static str) -> Result<Option<f64>, Reason> {
        match self.0.get(name) {
            None => Ok(None),
            Some(value) => match value.as_f64() {
                Some(seconds) if seconds.abs() < 253_402_300_800.0 => Ok(Some(seconds)),
                _ => Err(invalid(format!("{name} is not a number of seconds"))),
            },
        }
    }

    /// # Errors
    /// [`Refusal::InvalidToken`], without an `exp` too.
    pub(crate) fn life(&self) -> Result<Life, Reason> {
        let exp = self.time("exp")?.ok_or_else(|| invalid("no exp"))?;
        Ok(Life { iat: self.time("iat")?, nbf: self.time("nbf")?, exp })
    }
}

/// From when to when a token lives: seconds since 1970, which may have fractions.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Life {
    iat: Option<f64>,
    nbf: Option<f64>,
    pub(crate) exp: f64,
}

impl Life {
    pub(crate) fn judge(&self, expected: &Expected<'_>, max_lifetime_seconds: i64) -> Result<(), Reason> {
        let now = expected.now.0 as f64;
        let leeway = expected.leeway_seconds.clamp(0, MAX_LEEWAY_SECONDS) as f64;
        let Self { iat, nbf, exp } = *self;
        if nbf.is_some_and(|nbf| nbf > now + leeway) {
            return Err(invalid("nbf has not come"));
        }
        if let Some(iat) = iat {
            if iat > now + leeway {
                return Err(invalid("iat has not come"));
            }
            if iat > exp || exp - iat > max_lifetime_seconds as f64 {
                return Err(invalid("the life from iat to exp is longer than it may be"));
            }
        } else if exp > now + max_lifetime_seconds as f64 {
            return Err(invalid("exp is further ahead than it may be"));
        }
        if now >= exp + leeway {
            return Err(Reason::new(Refusal::TokenExpired, "exp has passed"));
        }
        Ok(())
    }
}
