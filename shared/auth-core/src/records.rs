//! What the store knows, as values. The rules take them; the store reads and writes them.

use crate::ids::{
    ApiName, ClientId, ClientKind, CustomerId, Environment, KeyId, RoleName, Scope, SkuPattern, SupplierCode, TenantId,
};
use crate::password::StoredPassword;
use crate::secret::{Digest, Sealed};
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};

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
    /// At most two, during a rotation.
    pub secrets: Vec<StoredSecret>,
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
    /// When it stops being good; never, if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
}

/// The right to sign tokens.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SelfSigning {
    /// The HMAC secrets; at most two, during a rotation.
    pub secrets: Vec<SealedSecret>,
    /// The longest `exp - iat`, in seconds.
    pub max_lifetime_seconds: i64,
}

/// An HMAC secret as it is stored.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SealedSecret {
    /// The sealed text.
    pub sealed: Sealed,
    /// When it stops being good; never, if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
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
    /// Where it may be used.
    pub environment: Environment,
    /// Whether it is in use.
    pub state: KeyLife,
    /// When it stops being good; never, if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
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
    pub client: Option<Client>,
    /// The grant of the tenant in question to the client.
    pub grant: Option<Grant>,
    /// The tenant in question.
    pub tenant: Option<Tenant>,
    /// The customer, of a customer's token.
    pub customer: Option<Customer>,
    /// Whether the token's `jti` was revoked.
    pub revoked: bool,
    /// When the token was last used, on APIs with an idle life.
    pub last_seen: Option<Timestamp>,
}
