//! Limits of one token beyond scopes: `authorization_details` (RFC 9396), of one type.
//!
//! Each element is one leave: these actions, at these APIs, on these SKUs; a member that is left out does not limit.
//! A request is allowed that falls under any one of them, and under the grant as it stands then. An element with SKUs is
//! for operations that name one: what cannot be held against it is not allowed by it.

use crate::api::{Api, Operation};
use crate::ids::{Scope, SkuPattern};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::BTreeSet;

/// The longest text, in bytes: it goes into a token, and that into a header.
const MAX_BYTES: usize = 2048;
/// So many elements, and so many entries of a list.
const MAX_ELEMENTS: usize = 10;
const MAX_ENTRIES: usize = 50;

/// The one type that is understood.
pub const TYPE: &str = "countersign_access";

/// One element (RFC 9396 section 2). A member that we do not know would be a limit that nobody keeps, so it is refused
/// (section 5).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Detail {
    /// [`TYPE`].
    r#type: Type,
    /// Audiences of APIs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    locations: Vec<String>,
    /// Scopes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    actions: Vec<Scope>,
    /// SKUs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    skus: Vec<SkuPattern>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Type {
    #[serde(rename = "countersign_access")]
    Access,
}

/// The limits of a token; none is no limit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Details(Vec<Detail>);

impl Details {
    /// Reads the request parameter, or the claim: a JSON array, not empty.
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() > MAX_BYTES {
            return None;
        }
        let value = crate::json::parse(text.as_bytes()).ok()?;
        let all: Vec<Detail> = serde_json::from_value(value).ok()?;
        let bounded = |detail: &Detail| {
            let lists = [detail.locations.len(), detail.actions.len(), detail.skus.len()];
            lists.into_iter().all(|length| length <= MAX_ENTRIES)
        };
        ((1..=MAX_ELEMENTS).contains(&all.len()) && all.iter().all(bounded)).then_some(Self(all))
    }

    /// All SKUs that are named.
    pub(crate) fn skus_named(&self) -> impl Iterator<Item = &SkuPattern> {
        self.0.iter().flat_map(|detail| &detail.skus)
    }

    /// Whether there is no limit.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The text that [`Self::parse`] reads.
    pub fn to_text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Whether all that is asked for is granted: scopes, SKUs, and audiences of the token.
    pub fn are_within(&self, scopes: &BTreeSet<Scope>, skus: &[SkuPattern], audience: &[String]) -> bool {
        self.0.iter().all(|detail| {
            detail.actions.iter().all(|action| scopes.contains(action))
                && detail.skus.iter().all(|asked| skus.iter().any(|granted| granted.contains(asked)))
                && detail.locations.iter().all(|location| audience.contains(location))
        })
    }

    /// The scopes that stay of these.
    pub fn narrow(&self, scopes: BTreeSet<Scope>) -> BTreeSet<Scope> {
        match named(&self.0, |detail| &detail.actions) {
            None => scopes,
            Some(named) => scopes.into_iter().filter(|scope| named.contains(&scope)).collect(),
        }
    }

    /// The audiences that stay of these: who verifies a token by itself looks at no details.
    pub fn narrow_audience(&self, audience: Vec<String>) -> Vec<String> {
        match named(&self.0, |detail| &detail.locations) {
            None => audience,
            Some(named) => audience.into_iter().filter(|aud| named.contains(&aud)).collect(),
        }
    }

    /// The SKUs that are left of a grant's, whatever the operation.
    pub fn all_skus<'a>(&self, granted: &'a [SkuPattern]) -> Cow<'a, [SkuPattern]> {
        left_of(granted, named(&self.0, |detail| &detail.skus))
    }

    /// The SKUs of a grant on which an operation may be called: all of them where there is no limit; `None` if it may not
    /// be called at all.
    pub fn skus<'a>(
        &self,
        granted: &'a [SkuPattern],
        api: &Api,
        operation: &Operation,
    ) -> Option<Cow<'a, [SkuPattern]>> {
        let covering = || self.0.iter().filter(|detail| detail.cover(api, operation));
        let may = self.is_empty() || covering().next().is_some();
        may.then(|| left_of(granted, named(covering(), |detail| &detail.skus)))
    }
}

/// What elements name of one thing, all together; `None` where they don't limit it: there is none, or one that names none.
fn named<'d, T>(
    elements: impl IntoIterator<Item = &'d Detail>,
    what: impl Fn(&'d Detail) -> &'d [T],
) -> Option<Vec<&'d T>> {
    let mut all = Vec::new();
    for named in elements.into_iter().map(what) {
        if named.is_empty() {
            return None;
        }
        all.extend(named);
    }
    (!all.is_empty()).then_some(all)
}

/// What a grant covers of the SKUs that were asked for; where it has become narrower since, what is left of it.
fn left_of<'a>(granted: &'a [SkuPattern], asked: Option<Vec<&SkuPattern>>) -> Cow<'a, [SkuPattern]> {
    let Some(asked) = asked else { return granted.into() };
    let covered = asked.iter().copied().filter(|asked| granted.iter().any(|g| g.contains(asked)));
    let narrower = granted.iter().filter(|g| asked.iter().any(|asked| asked.contains(g)));
    let mut left: Vec<SkuPattern> = covered.chain(narrower).cloned().collect();
    left.sort();
    left.dedup();
    left.into()
}

impl Detail {
    fn cover(&self, api: &Api, operation: &Operation) -> bool {
        let acts = |set: &Vec<Scope>| set.iter().all(|scope| self.actions.contains(scope));
        (self.locations.is_empty() || self.locations.contains(&api.audience))
            && (self.actions.is_empty() || operation.scopes.is_empty() || operation.scopes.iter().any(acts))
            && (self.skus.is_empty() || operation.sku.is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_understood_is_refused() {
        let many = |n: usize| format!("[{}]", vec![r#"{"type":"countersign_access"}"#; n].join(","));
        let rows = [
            ("one", many(1), true),
            ("ten", many(10), true),
            ("eleven", many(11), false),
            ("none", "[]".into(), false),
            ("an object", r#"{"type":"countersign_access"}"#.into(), false),
            (
                "all members",
                r#"[{"type":"countersign_access","locations":["a"],"actions":["o:r"],"skus":["A*"]}]"#.into(),
                true,
            ),
            ("another type", r#"[{"type":"payment_initiation"}]"#.into(), false),
            ("no type", r#"[{"actions":["o:r"]}]"#.into(), false),
            ("another member", r#"[{"type":"countersign_access","datatypes":["x"]}]"#.into(), false),
            ("a member twice", r#"[{"type":"countersign_access","skus":["A"],"skus":["*"]}]"#.into(), false),
            ("an action that is no scope", r#"[{"type":"countersign_access","actions":["a b"]}]"#.into(), false),
            ("an SKU with a slash", r#"[{"type":"countersign_access","skus":["a/b"]}]"#.into(), false),
            ("a text", r#"[{"type":"countersign_access","skus":"A"}]"#.into(), false),
            ("no JSON", "[".into(), false),
        ];
        for (sentence, text, want) in rows {
            assert_eq!(Details::parse(&text).is_some(), want, "{sentence}");
        }
        assert!(Details::parse(&format!("{}{}", many(1), " ".repeat(MAX_BYTES))).is_none(), "long");
        let details = Details::parse(&many(2)).unwrap();
        assert_eq!(Details::parse(&details.to_text()), Some(details), "printed as read");
    }
}
