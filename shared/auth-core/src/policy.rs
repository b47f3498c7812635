//! The routes that a credential may call, as patterns that stay right for every request that a cached answer serves.
//!
//! IAM's `*` matches any run of characters, `/` included. So a pattern made of `GET /customers/{id}` also matches
//! `GET /customers/17/orders`. Where that path belongs to another operation which the credential may not call, the
//! list says so by a denied pattern; where the other operation is allowed only for some tenants or SKUs, which a
//! denied pattern cannot say, the wide pattern is left out and only the route at hand is named exactly.

use crate::api::{Api, Catalog, Matched, Operation, Source};
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
    let mut routes = Routes::default();
    for (_, operation) in near.iter().filter(|(api, operation)| covers(rights, api, operation)) {
        let mut denied = Vec::new();
        let patterns = patterns(rights, operation);
        let wide = patterns.iter().any(|route| route.path.contains('*'));
        let safe = near.iter().filter(|(_, other)| wide && !std::ptr::eq(*other, *operation)).all(|(api, other)| {
            let general = general(other);
            if !patterns.iter().any(|route| overlap(route, &general)) {
                return true;
            }
            if !covers(rights, api, other) {
                denied.push(general);
                return true;
            }
            !is_limited(other)
        });
        if safe {
            routes.allow.extend(patterns);
            routes.deny.extend(denied);
        }
    }
    for list in [&mut routes.allow, &mut routes.deny] {
        list.sort();
        list.dedup();
    }
    routes
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

fn overlap(a: &Route, b: &Route) -> bool {
    (a.method == b.method || a.method == "*" || b.method == "*") && globs_meet(a.path.as_bytes(), b.path.as_bytes())
}

/// Whether some text matches both patterns.
fn globs_meet(a: &[u8], b: &[u8]) -> bool {
    // meet[j]: whether the rest of `a` from here and the rest of `b` from j have a text in common.
    let mut below: Vec<bool> = Vec::new();
    for i in (0..=a.len()).rev() {
        let mut row = vec![false; b.len() + 1];
        for j in (0..=b.len()).rev() {
            let right = row.get(j + 1).copied().unwrap_or(false);
            let down = below.get(j).copied().unwrap_or(false);
            let both = below.get(j + 1).copied().unwrap_or(false);
            let here = match (a.get(i), b.get(j)) {
                (None, None) => true,
                (Some(b'*'), _) if down || right => true,
                (_, Some(b'*')) if down || right => true,
                (Some(x), Some(y)) => x == y && both,
                _ => false,
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
    use super::globs_meet;

    #[test]
    fn two_patterns_meet_where_a_text_matches_both() {
        let rows = [
            ("/customers/*", "/customers/*/orders", true),
            ("/customers/*", "/orders/*", false),
            ("/clients/acme/skus/AB-*", "/clients/*/skus/*", true),
            ("/clients/acme/skus/AB-1", "/clients/globex/skus/*", false),
            ("/a", "/a", true),
            ("/a", "/a/*", false),
            ("*", "/x", true),
            ("/a*c", "/ab*", true),
            ("/a*c", "/b*", false),
        ];
        for (a, b, want) in rows {
            assert_eq!(globs_meet(a.as_bytes(), b.as_bytes()), want, "{a} and {b}");
            assert_eq!(globs_meet(b.as_bytes(), a.as_bytes()), want, "{b} and {a}");
        }
    }
}
