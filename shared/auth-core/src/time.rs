//! Time: whole seconds since 1970, always an argument.

use serde::{Deserialize, Serialize};

/// Seconds since 1970-01-01T00:00:00Z, without leap seconds (RFC 7519 `NumericDate`, whole seconds).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// So many seconds later; never wraps.
    pub fn plus(self, seconds: i64) -> Self {
        Self(self.0.saturating_add(seconds))
    }

    /// Seconds from `earlier` to this; negative if this is before it. Never wraps.
    pub fn since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }

    /// Whether a time of expiry has come. The second of expiry itself is already too late (RFC 7519 section 4.1.4).
    pub fn has_passed(self, now: Self) -> bool {
        now >= self
    }

    /// RFC 3339 in UTC, for people and for audit lines.
    pub fn to_rfc3339(self) -> String {
        ::time::OffsetDateTime::from_unix_timestamp(self.0)
            .ok()
            .and_then(|t| t.format(&::time::format_description::well_known::Rfc3339).ok())
            .unwrap_or_else(|| self.0.to_string())
    }

    /// Reads RFC 3339, fractions of a second cut off.
    pub fn from_rfc3339(text: &str) -> Option<Self> {
        ::time::OffsetDateTime::parse(text, &::time::format_description::well_known::Rfc3339)
            .ok()
            .map(|t| Self(t.unix_timestamp()))
    }
}

/// A time as people and programs write it: RFC 3339.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rfc3339(pub Timestamp);

impl<'de> Deserialize<'de> for Rfc3339 {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        let wrong = || serde::de::Error::custom("a time is written as 2026-12-01T00:00:00Z");
        Timestamp::from_rfc3339(&text).map(Self).ok_or_else(wrong)
    }
}

impl Serialize for Rfc3339 {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&self.0.to_rfc3339())
    }
}
