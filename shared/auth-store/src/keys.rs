//! The keys of the one table. Nothing else spells them.

use auth_core::backoff::Attempts;
use auth_core::ids::{ApiName, ClientId, IssuerName, Jti, KeyId, RoleName, TenantId};
use auth_core::secret::Digest;
use auth_core::time::Timestamp;
use aws_sdk_dynamodb::types::AttributeValue;
use std::borrow::Cow;
use std::collections::HashMap;

/// An item, or the key of one.
pub(crate) type Item = HashMap<String, AttributeValue>;

/// The catalog's version is kept in so many copies, so that no single item has to serve every decision.
pub(crate) const VERSION_COPIES: u8 = 16;

/// Partition and sort key.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    pub(crate) pk: String,
    pub(crate) sk: Cow<'static, str>,
}

impl Key {
    fn new(pk: impl Into<String>, sk: impl Into<Cow<'static, str>>) -> Self {
        Self { pk: pk.into(), sk: sk.into() }
    }

    // A `#` divides; where a name may hold one itself (client ids), it stands last or alone.
    pub(crate) fn client(id: &ClientId) -> Self {
        Self::new(format!("CLIENT#{id}"), "CLIENT")
    }
    pub(crate) fn grant(client: &ClientId, tenant: &TenantId) -> Self {
        Self::new(format!("CLIENT#{client}"), format!("GRANT#{tenant}"))
    }
    /// What is never there: read in the place of a tenant and a grant.
    pub(crate) fn nothing_of(client: &ClientId) -> [Self; 2] {
        ["NO-TENANT", "NO-GRANT"].map(|sk| Self::new(format!("CLIENT#{client}"), sk))
    }
    pub(crate) fn api_key(digest: &Digest) -> Self {
        Self::new(format!("KEY#{}", digest.as_str()), "KEY")
    }
    pub(crate) fn tenant(id: &TenantId) -> Self {
        Self::new(format!("TENANT#{id}"), "TENANT")
    }
    pub(crate) fn customer(tenant: &TenantId, login_ref: &str) -> Self {
        Self::new(format!("TENANT#{tenant}"), format!("CUSTOMER#{login_ref}"))
    }
    pub(crate) fn client_of_tenant(tenant: &TenantId, client: &ClientId) -> Self {
        Self::new(format!("TENANT#{tenant}"), format!("CLIENT#{client}"))
    }
    pub(crate) fn revoked(jti: &Jti) -> Self {
        Self::new(format!("JTI#{jti}"), "JTI")
    }
    pub(crate) fn seen(jti: &Jti) -> Self {
        Self::new(format!("JTI#{jti}"), "SEEN")
    }
    pub(crate) fn api(name: &ApiName) -> Self {
        Self::new("CATALOG", format!("API#{name}"))
    }
    pub(crate) fn role(name: &RoleName) -> Self {
        Self::new("CATALOG", format!("ROLE#{name}"))
    }
    pub(crate) fn issuer(name: &IssuerName) -> Self {
        Self::new("CATALOG", format!("ISSUER#{name}"))
    }
    pub(crate) fn assertion(name: &str) -> Self {
        Self::new(format!("ASSERTION#{name}"), "ASSERTION")
    }
    // What administration reads, and decisions don't.
    pub(crate) fn registration(client: &ClientId) -> Self {
        Self::new(format!("CLIENT#{client}"), "REGISTRATION")
    }
    pub(crate) fn key_listing(client: &ClientId, key: &KeyId) -> Self {
        Self::new(format!("CLIENT#{client}"), format!("KEY#{key}"))
    }
    pub(crate) fn used(digest: &Digest) -> Self {
        Self::new(format!("USED#{}", digest.as_str()), "USED")
    }
    pub(crate) fn listed_client(client: &ClientId) -> Self {
        Self::new("CLIENTS", format!("CLIENT#{client}"))
    }
    pub(crate) fn listed_tenant(tenant: &TenantId) -> Self {
        Self::new("TENANTS", format!("TENANT#{tenant}"))
    }
    pub(crate) fn audit_head(chain: &str) -> Self {
        Self::new(format!("AUDIT#{chain}"), "HEAD")
    }
    pub(crate) fn audit_entry(chain: &str, place: &str) -> Self {
        Self::new(format!("AUDIT#{chain}"), format!("ENTRY#{place}"))
    }
    /// Where entries about a client are found, whatever their chain.
    pub(crate) fn audit_of_client(client: &ClientId, place: &str, chain: &str) -> Self {
        Self::new(format!("CLIENT#{client}"), format!("AUDIT#{place}#{chain}"))
    }
    /// Where entries of a day are found, whatever their chain.
    pub(crate) fn audit_of_day(place: &str, chain: &str) -> Self {
        let day: String = place.chars().take(10).collect();
        Self::new(format!("AUDITDAY#{day}"), format!("AUDIT#{place}#{chain}"))
    }
    pub(crate) fn answered(name: &Digest) -> Self {
        Self::new(format!("IDEMPOTENCY#{}", name.as_str()), "ANSWER")
    }

    pub(crate) fn catalog_version(copy: u8) -> Self {
        Self::new(format!("CATALOG#{}", copy % VERSION_COPIES), "VERSION")
    }

    pub(crate) fn failures(attempts: &Attempts, now: Timestamp) -> Self {
        Self::new(format!("RATE#{}#{}#{}", attempts.limit.what, attempts.subject, attempts.window(now)), "RATE")
    }

    /// What was taken of a subject's permits in a window.
    pub(crate) fn permits(subject: &str, window: i64) -> Self {
        Self::new(format!("RATE#{subject}#{window}"), "PERMITS")
    }

    pub(crate) fn into_item(self) -> Item {
        HashMap::from([("pk".into(), AttributeValue::S(self.pk)), ("sk".into(), AttributeValue::S(self.sk.into()))])
    }

    pub(crate) fn of(item: &Item) -> Option<Self> {
        let text = |name: &str| item.get(name)?.as_s().ok().cloned();
        Some(Self { pk: text("pk")?, sk: text("sk")?.into() })
    }
}
