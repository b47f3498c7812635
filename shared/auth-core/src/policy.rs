//! The routes that a credential may call, as patterns that stay right for every request that a cached answer serves.
//!
//! IAM's `*` matches any run of characters, `/` included. So a pattern made of `GET /customers/{id}` also matches
//! `GET /customers/17/orders`, which may be another operation, a *trespassed* one. Where the credential may not call
//! it, the list says so by a denied pattern: that of everything deeper (`/customers/*/*`), or that of the operation,
//! whichever touches no path that is allowed. Where neither can be said, because a denied pattern would take allowed
//! paths with it, the wide pattern is left out, and only the route at hand is named exactly.

use crate::api::{Api, Catalog, Matched, Operation, Source, rank};
use crate::decision::{Rights, covers};

/// A method and a path in which `*` stands for any run of characters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Route {
    /// Upper case, or `*`.
    pub method: String,
    /// With a leading slash.
    pub path: String,
}

/// What a credential may call.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Routes {
    /// Allowed, unless denied.
    pub allow: Vec<Route>,
    /// Denied.
    pub deny: Vec<Route>,
}

/// How much a list of routes covers. A list that grows too long is made anew with less.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Breadth {
    /// All APIs behind the same gateway.
    Gateway,
    /// The requested API.
    Api,
}

/// The routes of the rights, of the APIs behind the gateway of the matched operation.
pub fn routes(rights: &Rights, catalog: &Catalog, matched: &Matched<'_>, breadth: Breadth) -> Routes {
    let near: Vec<(&Api, &Operation)> = catalog
        .apis
        .values()
        .filter(|api| match breadth {
            Breadth::Gateway => api.document == matched.api.document,
            Breadth::Api => api.name == matched.api.name,
        })
        .flat_map(|api| api.operations.iter().map(move |operation| (api, operation)))
        .collect();
    let allowed: Vec<(&Operation, Vec<Route>)> = near
        .iter()
        .filter(|(api, operation)| covers(rights, api, operation))
        .map(|(_, operation)| (*operation, patterns(rights, operation)))
        .collect();
    // A denied pattern is safe if it takes no path with it that is allowed.
    let is_safe = |deny: &Route| {
        !allowed.iter().any(|(operation, patterns)| {
            patterns.iter().any(|p| {
                methods_meet(&deny.method, &p.method) && meet(&crossing(&deny.path), &own_paths(operation, &p.path))
            })
        })
    };
    let mut routes = Routes::default();
    for (operation, patterns) in &allowed {
        let trespassed: Vec<&Operation> = near
            .iter()
            .filter(|(api, other)| {
                !std::ptr::eq(*other, *operation) && !(covers(rights, api, other) && !is_limited(other))
            })
            .map(|(_, other)| *other)
            .filter(|other| patterns.iter().any(|pattern| trespasses(operation, pattern, other)))
            .collect();
        let deeper: Vec<Route> = patterns.iter().flat_map(deeper).collect();
        let deny = if trespassed.is_empty() {
            Some(Vec::new())
        } else if trespassed.iter().all(|other| !beats(other, operation)) && deeper.iter().all(is_safe) {
            Some(deeper)
        } else {
            let denied: Vec<Route> = trespassed.iter().map(|other| general(other)).collect();
            denied.iter().all(is_safe).then_some(denied)
        };
        if let Some(deny) = deny {
            routes.allow.extend(patterns.iter().cloned());
            routes.deny.extend(deny);
        }
    }
    for list in [&mut routes.allow, &mut routes.deny] {
        list.sort();
        list.dedup();
    }
    routes
}

/// Whether a pattern of an operation matches paths that the gateway routes to another one.
fn trespasses(operation: &Operation, pattern: &Route, other: &Operation) -> bool {
    let general = general(other);
    let alike = operation.path.depth() == other.path.depth() && !operation.path.is_greedy() && !other.path.is_greedy();
    pattern.path.contains('*')
        && methods_meet(&pattern.method, &general.method)
        && meet(&crossing(&pattern.path), &own_paths(other, &general.path))
        // Of two that match a path of the same depth, the gateway chooses one.
        && (!alike || beats(other, operation))
}

/// Whether the gateway prefers an operation to another where both match.
fn beats(a: &Operation, b: &Operation) -> bool {
    rank(a) < rank(b)
}

/// The patterns of what lies deeper than a pattern should reach: each `*` also holding a slash.
fn deeper(pattern: &Route) -> Vec<Route> {
    let stars = pattern.path.match_indices('*');
    stars
        .filter_map(|(at, _)| {
            let (before, after) = pattern.path.split_at_checked(at)?;
            Some(Route { method: pattern.method.clone(), path: format!("{before}*/{after}") })
        })
        .collect()
}

/// The patterns of one allowed operation: the tenant and the SKUs of the grant in their places, `*` in all others.
fn patterns(rights: &Rights, operation: &Operation) -> Vec<Route> {
    let tenant = rights.tenant().map_or("", |t| t.as_str());
    let with_sku = |sku: &str| Route {
        method: method(operation),
        path: operation.path.fill(|name| match () {
            () if is_path(&operation.tenant, name) => tenant.to_owned(),
            () if operation.sku.as_ref().is_some_and(|s| is_path(s, name)) => sku.to_owned(),
            () => "*".to_owned(),
        }),
    };
    match &operation.sku {
        Some(Source::Path(_)) => rights.skus().iter().map(|sku| with_sku(sku.as_str())).collect(),
        _ => vec![with_sku("*")],
    }
}

fn general(operation: &Operation) -> Route {
    Route { method: method(operation), path: operation.path.fill(|_| "*".to_owned()) }
}

fn method(operation: &Operation) -> String {
    if operation.method == "ANY" { "*".into() } else { operation.method.clone() }
}

fn is_path(source: &Source, name: &str) -> bool {
    matches!(source, Source::Path(n) if n == name)
}

/// Whether a grant allows the operation only for some values in its path.
fn is_limited(operation: &Operation) -> bool {
    [Some(&operation.tenant), operation.sku.as_ref()].into_iter().flatten().any(|s| matches!(s, Source::Path(_)))
}

fn methods_meet(a: &str, b: &str) -> bool {
    a == b || a == "*" || b == "*"
}

/// A character, or a run of any characters; some runs hold no slash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token {
    One(u8),
    Run { with_slash: bool },
}

/// A pattern as IAM reads it.
fn crossing(pattern: &str) -> Vec<Token> {
    tokens(pattern, true)
}

/// A pattern as the gateway routes: only a greedy parameter holds a slash.
fn own_paths(operation: &Operation, pattern: &str) -> Vec<Token> {
    tokens(pattern, operation.path.is_greedy())
}

fn tokens(pattern: &str, with_slash: bool) -> Vec<Token> {
    pattern.bytes().map(|b| if b == b'*' { Token::Run { with_slash } } else { Token::One(b) }).collect()
}

/// Whether some text matches both.
fn meet(a: &[Token], b: &[Token]) -> bool {
    let takes = |run: Token, one: Option<&Token>| match (run, one) {
        (Token::Run { with_slash }, Some(Token::One(byte))) => with_slash || *byte != b'/',
        (Token::Run { .. }, Some(Token::Run { .. })) => true,
        _ => false,
    };
    // Row by row from the end: whether the rest of `a` from i and the rest of `b` from j have a text in common.
    let mut below: Vec<bool> = Vec::new();
    for i in (0..=a.len()).rev() {
        let mut row = vec![false; b.len() + 1];
        for j in (0..=b.len()).rev() {
            let at = |row: &[bool], j: usize| row.get(j).copied().unwrap_or(false);
            let here = match (a.get(i), b.get(j)) {
                (None, None) => true,
                (Some(x @ Token::Run { .. }), y) => {
                    at(&below, j)
                        || (takes(*x, y) && at(&row, j + 1))
                        || y.is_some_and(|y| takes(*y, Some(x)) && at(&row, j + 1))
                }
                (Some(x), Some(y @ Token::Run { .. })) => at(&row, j + 1) || (takes(*y, Some(x)) && at(&below, j)),
                (Some(x), Some(y)) => x == y && at(&below, j + 1),
                (None, Some(Token::Run { .. })) => at(&row, j + 1),
                (Some(_), None) | (None, Some(Token::One(_))) => false,
            };
            if let Some(cell) = row.get_mut(j) {
                *cell = here;
            }
        }
        below = row;
    }
    below.first().copied().unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::{Token, crossing, meet, tokens};

    #[test]
    fn two_patterns_meet_where_a_text_matches_both() {
        let plain: fn(&str) -> Vec<Token> = |p| tokens(p, false);
        let rows = [
            ("IAM's star crosses a slash", crossing("/customers/*"), plain("/customers/*/orders"), true),
            ("the gateway's does not", plain("/customers/*"), plain("/customers/*/orders"), false),
            ("a deeper pattern leaves the flat one", crossing("/customers/*/*"), plain("/customers/*"), false),
            ("another word", crossing("/customers/*"), plain("/orders/*"), false),
            ("a prefix in a segment", crossing("/clients/acme/skus/AB-*"), plain("/clients/*/skus/*"), true),
            ("another tenant", crossing("/clients/acme/skus/AB-1"), plain("/clients/globex/skus/*"), false),
            ("the same", crossing("/a"), plain("/a"), true),
            ("longer", crossing("/a"), plain("/a/*"), false),
            ("anything", crossing("/*"), plain("/x"), true),
            ("both end in a star", crossing("/a*c"), crossing("/ab*"), true),
            ("nothing in common", crossing("/a*c"), crossing("/b*"), false),
        ];
        for (sentence, a, b, want) in rows {
            assert_eq!(meet(&a, &b), want, "{sentence}");
            assert_eq!(meet(&b, &a), want, "{sentence}, the other way round");
        }
    }
}
