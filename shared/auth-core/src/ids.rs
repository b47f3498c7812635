//! Names: each its own type, made from text at the door and nowhere else.

use serde::{Deserialize, Serialize, Serializer};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// Text that is not what its place asks for. Says what was expected, never what was sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} must be {rule}")]
pub struct Malformed {
    /// What was being read, for example `tenant`.
    pub what: &'static str,
    /// What it must be.
    pub rule: &'static str,
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $what:literal, 1..=$max:literal, $rule:literal, $accepts:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
        #[serde(try_from = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = Malformed;
            fn from_str(text: &str) -> Result<Self, Malformed> {
                let accepts: fn(char) -> bool = $accepts;
                if text.is_empty() || (text.len() > $max && text.chars().count() > $max) || !text.chars().all(accepts) {
                    return Err(Malformed { what: $what, rule: $rule });
                }
                Ok(Self(text.into()))
            }
        }

        impl TryFrom<String> for $name {
            type Error = Malformed;
            fn try_from(text: String) -> Result<Self, Malformed> {
                text.parse()
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                (*name.0).to_owned()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

fn plain(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-')
}

fn visible(c: char) -> bool {
    matches!(c, '\x21'..='\x7e')
}

name!(
    /// A customer of the platform, whose data is called for. GUIDs included.
    TenantId, "tenant", 1..=64, "1 to 64 of A-Z a-z 0-9 . _ -", plain
);
name!(
    /// An OAuth client (RFC 6749 section 2.2): VSCHAR without the colon, which divides Basic credentials.
    ClientId, "client_id", 1..=128, "1 to 128 printable ASCII characters without a colon",
    |c| matches!(c, '\x20'..='\x7e') && c != ':'
);
name!(
    /// One permission, `noun:verb`: a scope-token of RFC 6749 section 3.3.
    Scope, "scope", 1..=128, "1 to 128 printable ASCII characters without space, quote and backslash",
    |c| visible(c) && c != '"' && c != '\\'
);
name!(
    /// The name of a set of scopes.
    RoleName, "role", 1..=64, "1 to 64 of A-Z a-z 0-9 . _ : -", |c| plain(c) || c == ':'
);
name!(
    /// A protected surface: one OpenAPI document, or a part of one.
    ApiName, "api", 1..=64, "1 to 64 of A-Z a-z 0-9 . _ -", plain
);
name!(
    /// A code by which a tenant knows one of its suppliers. Compared byte for byte.
    SupplierCode, "supplier code", 1..=64, "1 to 64 printable ASCII characters without space, comma, quote and backslash",
    |c| visible(c) && !matches!(c, ',' | '"' | '\\')
);
name!(
    /// A stock keeping unit, as it stands in a path segment. No wildcard, no escape, no separator: the same text is
    /// compared with a policy resource, where `*` and `?` would mean something else.
    Sku, "SKU", 1..=128, "1 to 128 of A-Z a-z 0-9 . _ ~ : @ + = -", sku_char
);
name!(
    /// SKUs that a grant covers: an SKU, in which `*` stands for any run of characters.
    SkuPattern, "SKU pattern", 1..=128, "an SKU, in which * stands for any run of characters",
    |c| sku_char(c) || c == '*'
);
name!(
    /// On whose behalf a client acts (`user_login`).
    UserLogin, "user_login", 1..=256, "1 to 256 characters without control characters", |c| !c.is_control()
);
name!(
    /// The name under which a customer logs in at its tenant. Compared byte for byte.
    Username, "username", 1..=256, "1 to 256 characters without control characters", |c| !c.is_control()
);
name!(
    /// A customer, as the tenant's own systems know it.
    CustomerId, "customer_id", 1..=128, "1 to 128 printable ASCII characters without quote and backslash",
    |c| visible(c) && c != '"' && c != '\\'
);
name!(
    /// The identifier of one token (`jti`, RFC 7519 section 4.1.7).
    Jti, "jti", 1..=128, "1 to 128 printable ASCII characters without # and quote",
    |c| visible(c) && !matches!(c, '#' | '"' | '\\')
);
name!(
    /// The identifier of an API key: names it in lists and audit lines without being it.
    KeyId, "key id", 1..=64, "1 to 64 of A-Z a-z 0-9 . _ -", plain
);

name!(
    /// What operators call an issuer of workload tokens.
    IssuerName, "issuer name", 1..=64, "1 to 64 of A-Z a-z 0-9 . _ -", plain
);

name!(
    /// A name, a reason or a note, as people write it.
    Label, "label", 1..=200, "1 to 200 characters without control characters", |c| !c.is_control()
);

fn sku_char(c: char) -> bool {
    plain(c) || matches!(c, '~' | ':' | '@' | '+' | '=')
}

impl Jti {
    /// A new identifier of 128 random bits, in lower-case hex.
    pub fn from_random(bits: [u8; 16]) -> Self {
        Self(crate::secret::hex(&bits).into())
    }
}

impl KeyId {
    /// The name of the API key with this digest: enough of it to tell keys apart, too little to find the key by.
    pub fn of(digest: &crate::secret::Digest) -> Self {
        let short: String = digest.as_str().chars().take(12).collect();
        Self(format!("key-{short}").into())
    }
}

impl SkuPattern {
    /// Whether this pattern covers an SKU.
    pub fn covers(&self, sku: &Sku) -> bool {
        glob(self.as_str(), sku.as_str())
    }

    /// Whether this pattern covers every SKU that another one covers: only a star matches a star.
    pub fn contains(&self, other: &Self) -> bool {
        glob(self.as_str(), other.as_str())
    }
}

/// Whether `text` matches `pattern`, in which `*` stands for any run of characters. Linear in practice: one
/// backtracking point, as IAM's own matching needs.
pub fn glob(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut p, mut t) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                retry = Some((p + 1, t));
                p += 1;
            }
            Some(c) if Some(c) == text.get(t) => {
                p += 1;
                t += 1;
            }
            _ => match retry {
                Some((after_star, from)) => {
                    p = after_star;
                    t = from + 1;
                    retry = Some((after_star, from + 1));
                }
                None => return false,
            },
        }
    }
    pattern.get(p..).is_some_and(|rest| rest.iter().all(|c| *c == b'*'))
}

/// What a client is and which tenants it can reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClientKind {
    /// One tenant for ever.
    SingleTenant,
    /// Any tenant that granted it, one at a time, named when the token is asked for. Internal applications only.
    DynamicTenant,
    /// Maintains tenants; reaches no tenant's data. Internal applications only.
    MultiTenant,
}

/// The environment of a deployment and of every credential. One never stands for the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Environment {
    /// Production.
    Live,
    /// For trying things out.
    Test,
}

impl Environment {
    /// `live` or `test`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Test => "test",
        }
    }
}

impl FromStr for Environment {
    type Err = Malformed;
    fn from_str(text: &str) -> Result<Self, Malformed> {
        match text {
            "live" => Ok(Self::Live),
            "test" => Ok(Self::Test),
            _ => Err(Malformed { what: "environment", rule: "live or test" }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_take_their_alphabet_and_nothing_else() {
        let long = |n: usize| "a".repeat(n);
        let rows: &[(&str, bool, bool)] = &[
            ("a tenant may be a GUID", "0b0e3f0a-1f4e-4c53-8c2a-6a8f2d1c9f10".parse::<TenantId>().is_ok(), true),
            ("a tenant is not empty", "".parse::<TenantId>().is_ok(), false),
            ("a tenant has 64 characters", long(64).parse::<TenantId>().is_ok(), true),
            ("a tenant has no 65th", long(65).parse::<TenantId>().is_ok(), false),
            ("a tenant is no wildcard", "*".parse::<TenantId>().is_ok(), false),
            ("a tenant has no key separator", "acme#globex".parse::<TenantId>().is_ok(), false),
            ("a tenant has no full-width letters", "\u{ff41}cme".parse::<TenantId>().is_ok(), false),
            ("a tenant has no slash", "a/b".parse::<TenantId>().is_ok(), false),
            ("a client id may hold spaces and signs", "p+art ner/%~".parse::<ClientId>().is_ok(), true),
            ("a client id has no colon", "a:b".parse::<ClientId>().is_ok(), false),
            ("a client id has no DEL", "a\x7f".parse::<ClientId>().is_ok(), false),
            ("a scope is noun:verb", "orders:read".parse::<Scope>().is_ok(), true),
            ("a scope has no space", "a b".parse::<Scope>().is_ok(), false),
            ("a scope has no quote", "a\"".parse::<Scope>().is_ok(), false),
            ("an SKU has no wildcard", "AB-*".parse::<Sku>().is_ok(), false),
            ("an SKU has no escape", "AB%2F".parse::<Sku>().is_ok(), false),
            ("an SKU pattern has a wildcard", "AB-*".parse::<SkuPattern>().is_ok(), true),
            ("a login may hold letters of any script", "Zoë Ω".parse::<UserLogin>().is_ok(), true),
            ("a login has no line break", "a\n".parse::<UserLogin>().is_ok(), false),
            ("a login is counted in characters", "é".repeat(256).parse::<UserLogin>().is_ok(), true),
        ];
        for (sentence, got, want) in rows {
            assert_eq!(got, want, "{sentence}");
        }
    }

    #[test]
    fn a_star_stands_for_any_run() {
        let rows = [
            ("AB-*", "AB-1", true),
            ("AB-*", "AB-", true),
            ("AB-*", "AC-1", false),
            ("*", "x", true),
            ("*-9", "a-9", true),
            ("*-9", "a-9-9", true),
            ("a*b*c", "axxbyyc", true),
            ("a*b*c", "axxbyy", false),
            ("AB", "ABC", false),
            ("**", "", true),
        ];
        for (pattern, text, want) in rows {
            assert_eq!(glob(pattern, text), want, "{pattern} against {text}");
        }
    }
}
