//! What the store knows, as values. The rules take them; the store reads and writes them.

use crate::ids::{
    ApiName, ClientId, ClientKind, CustomerId, Environment, IssuerName, KeyId, Label, RoleName, Scope, SkuPattern,
    SupplierCode, TenantId,
};
use crate::password::StoredPassword;
use crate::remote::HttpsUrl;
use crate::secret::{Digest, Sealed};
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Where a client stands in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClientState {
    /// Registered, not approved: gets no token.
    Pending,
    /// In use.
    Active,
    /// Stopped for a time.
    Suspended,
    /// Gone for ever. The record stays, so that its name is never given to somebody else, who would inherit grants.
    Deleted,
}

impl ClientState {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Active => "active",
            Self::Suspended => "suspended",
            Self::Deleted => "deleted",
        }
    }
}

/// An OAuth client.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Client {
    /// Its name.
    pub client_id: ClientId,
    /// Which tenants it can reach.
    pub kind: ClientKind,
    /// The one tenant of a [`ClientKind::SingleTenant`] client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<TenantId>,
    /// Where it may be used.
    pub environment: Environment,
    /// Where it stands in its life.
    pub state: ClientState,
    /// An operator marked it as an application of the platform's own.
    pub internal: bool,
    /// `client_credentials`, if it may ask for tokens.
    pub grant_types: Vec<GrantType>,
    /// At most two are live, during a rotation; the newest stands first.
    pub secrets: Vec<StoredSecret>,
    /// The public keys of the assertions that prove it (`private_key_jwt`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keys: Option<ClientKeys>,
    /// Whose tokens prove it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub workload_identities: Vec<WorkloadIdentity>,
    /// Present if the client may sign its own tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub self_signing: Option<SelfSigning>,
    /// Whether every token request names a `user_login`.
    pub requires_user_login: bool,
    /// How often it may call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<Rate>,
    /// The APIs assigned to it.
    pub apis: Vec<ApiName>,
    /// Roles of the credential itself: what a [`ClientKind::MultiTenant`] client may do.
    pub roles: Vec<RoleName>,
    /// Tokens issued before are refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens_not_before: Option<Timestamp>,
    /// The client of the live environment that this one was promoted to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub promoted_to: Option<ClientId>,
}

/// A public key as it is kept: the members of a JWK (RFC 7517 section 4), all of them texts.
pub type PublicJwk = BTreeMap<String, String>;

/// Where a client's public keys are. One of the two (RFC 7591 section 2).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClientKeys {
    /// Here.
    Jwks(Vec<PublicJwk>),
    /// At an address of the client's.
    JwksUri(HttpsUrl),
}

/// A workload that runs a client, as the issuer of its tokens names it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorkloadIdentity {
    /// The `iss`: one of the deployment's [`TrustedIssuer`]s.
    pub issuer: HttpsUrl,
    /// The exact `sub`.
    pub subject: Label,
    /// The `aud`; where it is not said, our own issuer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audience: Option<Label>,
}

/// An issuer whose workload tokens clients of the deployment may be proven by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrustedIssuer {
    /// What operators call it.
    pub name: IssuerName,
    /// The exact `iss`; OpenID discovery begins there.
    pub issuer: HttpsUrl,
    /// Its public keys, where they were pinned: then nothing is fetched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwks: Option<Vec<PublicJwk>>,
}

/// How a token is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum GrantType {
    /// RFC 6749 section 4.4.
    #[serde(rename = "client_credentials")]
    ClientCredentials,
}

/// A client secret as it is stored.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct StoredSecret {
    /// The keyed digest.
    pub digest: Digest,
    /// When it was made, if that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_at: Option<Timestamp>,
    /// When it stops being good; never, if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// When it would have stopped, were it not being rotated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expired_at: Option<Timestamp>,
}

/// The right to sign tokens.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SelfSigning {
    /// The HMAC secrets; at most two are live, during a rotation; the newest stands first.
    pub secrets: Vec<SealedSecret>,
    /// The longest `exp - iat`, in seconds.
    pub max_lifetime_seconds: i64,
}

/// An HMAC secret as it is stored.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SealedSecret {
    /// The sealed text.
    pub sealed: Sealed,
    /// When it was made, if that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_at: Option<Timestamp>,
    /// When it stops being good; never, if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// When it would have stopped, were it not being rotated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expired_at: Option<Timestamp>,
}

/// How often a client may call the APIs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rate {
    /// Requests a second, in the long run.
    #[serde(default)]
    pub per_second: Option<u32>,
    /// Requests at once.
    #[serde(default)]
    pub burst: Option<u32>,
    /// Requests a day (UTC).
    #[serde(default)]
    pub per_day: Option<u32>,
}

/// Where a grant stands in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum GrantState {
    /// Asked for.
    Requested,
    /// In force.
    Approved,
    /// Withdrawn.
    Revoked,
}

/// A tenant's consent that a client acts on its data.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Grant {
    /// Who may act.
    pub client_id: ClientId,
    /// On whose data.
    pub tenant: TenantId,
    /// Only [`GrantState::Approved`] counts.
    pub state: GrantState,
    /// What it may do.
    pub scopes: Vec<Scope>,
    /// What it may do, by name.
    pub roles: Vec<RoleName>,
    /// On which SKUs, where an operation asks. None listed: on none.
    pub skus: Vec<SkuPattern>,
    /// For which suppliers, where an operation asks.
    pub suppliers: Vec<SupplierCode>,
    /// Until when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_after: Option<Timestamp>,
}

/// Active, or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ActiveState {
    /// In use.
    Active,
    /// Switched off.
    Disabled,
}

/// A customer of the platform.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Tenant {
    /// Its name.
    pub id: TenantId,
    /// The APIs it has.
    pub apis: Vec<ApiName>,
    /// Whether it is in use.
    pub state: ActiveState,
}

/// Active, or revoked for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyLife {
    /// In use.
    Active,
    /// Revoked.
    Revoked,
}

/// An API key. The key itself is stored nowhere; its digest is the record's key.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ApiKey {
    /// Names the key in lists and audit lines.
    pub key_id: KeyId,
    /// Whose key it is.
    pub client_id: ClientId,
    /// The tenant it is for.
    pub tenant: TenantId,
    /// The APIs it is for.
    pub apis: Vec<ApiName>,
    /// Whether it is for those of them alone that are assigned to its client. A seed may say otherwise.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub within_client: bool,
    /// Where it may be used.
    pub environment: Environment,
    /// Whether it is in use.
    pub state: KeyLife,
    /// When it stops being good; never, if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
}

impl ApiKey {
    /// Whether it is good at this time.
    pub fn is_live(&self, now: Timestamp) -> bool {
        self.state == KeyLife::Active && !self.expires_at.is_some_and(|t| t.has_passed(now))
    }
}

/// What lists say of an API key. It stands with the client, for administration; decisions do not read it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct KeyListing {
    /// Names the key.
    pub key_id: KeyId,
    /// Whose key it is.
    pub client_id: ClientId,
    /// Under which the key's own record stands.
    pub digest: Digest,
    /// How the key begins.
    pub prefix: String,
    /// Its last four characters; unknown of keys that moved in by their digests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_four: Option<String>,
    /// What its owner calls it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<Label>,
    /// When it was issued or moved in.
    pub created_at: Timestamp,
    /// The key that it is to replace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<KeyId>,
    /// The key that is to replace it, and when it would have expired without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaced_by: Option<Replacement>,
    /// Why it was revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Label>,
}

/// What replaces a key that is being rotated.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Replacement {
    /// The new key.
    pub key_id: KeyId,
    /// When the old one would have expired; it gets that back if the rotation is cancelled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expired_at: Option<Timestamp>,
}

/// A person to write to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Contact {
    /// The person's name.
    pub name: Label,
    /// Where mail reaches the person.
    pub email: Email,
    /// A number to call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phone: Option<Label>,
}

/// A mail address, as far as its form tells: something, an `@`, a domain (RFC 5321 section 4.1.2, without quoting).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Email(String);

impl TryFrom<String> for Email {
    type Error = &'static str;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        let plain = |c: char| !c.is_control() && !c.is_whitespace() && !matches!(c, '<' | '>' | '"' | ',');
        match text.rsplit_once('@') {
            Some((local, domain))
                if !local.is_empty() && domain.contains('.') && text.len() <= 254 && text.chars().all(plain) =>
            {
                Ok(Self(text))
            }
            _ => Err("a mail address is needed"),
        }
    }
}

impl From<Email> for String {
    fn from(email: Email) -> Self {
        email.0
    }
}

/// Who asked for a client, and what was agreed. Administration alone reads it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Registration {
    /// The client.
    pub client_id: ClientId,
    /// What people call it.
    pub name: Label,
    /// The tenant through which access was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sponsor: Option<TenantId>,
    /// For contracts.
    pub business: Contact,
    /// For incidents.
    pub technical: Contact,
    /// Who looks after the partner on our side.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account_manager: Option<Label>,
    /// The APIs that were asked for; those that are assigned stand in the client's record.
    pub wanted_apis: Vec<ApiName>,
    /// Since when each assigned API is, and by which agreement.
    pub assigned: Vec<Assignment>,
    /// When it was registered.
    pub registered_at: Timestamp,
    /// Why the client stands where it does: of the last suspension or deletion.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Label>,
    /// The client of the test environment that this one was promoted from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub promoted_from: Option<ClientId>,
}

/// An API that is assigned to a client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assignment {
    /// The API.
    pub api: ApiName,
    /// Since when.
    pub since: Timestamp,
    /// The agreement that says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agreement: Option<Label>,
}

/// An end user of one tenant's storefront.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Customer {
    /// Whose customer.
    pub tenant: TenantId,
    /// The customer, as the tenant knows it.
    pub customer_id: CustomerId,
    /// The password.
    pub password: StoredPassword,
    /// What the customer may do.
    pub scopes: Vec<Scope>,
    /// Whether the customer may log in.
    pub state: ActiveState,
    /// Tokens issued before are refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens_not_before: Option<Timestamp>,
}

/// What the store has on one credential, fetched in one trip. Absent is `None`; an error is never here.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// The client.
    pub client: Option<Arc<Client>>,
    /// The grant of the tenant in question to the client.
    pub grant: Option<Arc<Grant>>,
    /// The tenant in question.
    pub tenant: Option<Arc<Tenant>>,
    /// The customer, of a customer's token.
    pub customer: Option<Arc<Customer>>,
    /// The API key: the credential, or what the token was exchanged for.
    pub key: Option<Arc<ApiKey>>,
    /// Whether the token's `jti` was revoked.
    pub revoked: bool,
    /// When the token was last used, on APIs with an idle life.
    pub last_seen: Option<Timestamp>,
}
