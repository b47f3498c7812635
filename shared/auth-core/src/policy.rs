//! The routes that a credential may call, as patterns that stay right for every request that a cached answer serves.
//!
//! IAM's `*` matches any run of characters, `/` included. So a pattern made of `GET /customers/{id}` also matches
//! `GET /customers/17/orders`, which may be another operation: a *trespass*. Where the credential may not call that
//! one, the list says so by denied patterns: those of everything deeper (`/customers/*/*`), or that of the operation,
//! whichever touches no path that is allowed. Where neither can be said, because a denied pattern would take allowed
//! paths with it, the wide pattern is left out, and only the route at hand is named exactly.
//!
//! What a pattern cannot hold (a tenant in a header, an SKU in the query, a supplier code) is part of the identity
//! sources wherever answers are kept; an operation with such a limit is listed only if the request at hand meets it.

use crate::api::{Api, Catalog, Found, Matched, Operation, Request, Source, preference};
use crate::decision::{Rights, may_call};
use crate::ids::{SkuPattern, glob};
use serde::Serialize;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};

/// The methods that API Gateway's `ANY` stands for. IAM's `*` would do for the verb as well, but crosses into the path.
const ANY: [&str; 7] = ["DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"];

/// A method and a path in which `*` stands for any run of characters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Route {
    /// Upper case.
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

/// One operation near the request, and what the rights say of it.
struct Near<'a> {
    operation: &'a Operation,
    methods: Vec<&'a str>,
    /// May be called, for whatever of its tenant and SKUs stands in the path.
    may: bool,
    /// May be called, and is listed.
    listed: bool,
    /// The patterns of the paths that may be called, if it is listed.
    paths: Vec<String>,
    /// What the stars of SKUs would match, but no SKU holds.
    no_skus: Vec<String>,
    /// The SKUs on which it may be called, where the token says less than the grant.
    skus: Cow<'a, [SkuPattern]>,
}

/// The longest resource of a policy, in characters.
pub const MAX_RESOURCE: usize = 512;

/// No pattern is shorter, with the ARN of its stage before it: more of them than fit are not even compared.
const SHORTEST_PATTERN: usize = 60;

/// Where a WebSocket is asked for; its resource has no method.
const CONNECT: &str = "/$connect";

/// The resource of a route, for the ARN of its API's stage.
pub fn resource(stage: &str, method: &str, path: &str) -> String {
    if path == CONNECT { format!("{stage}{path}") } else { format!("{stage}/{method}{path}") }
}

/// Routes as the statements of a policy, for one stage.
#[derive(Debug, Default)]
pub struct Statements {
    /// One that denies, and one that allows: JSON. None that would name nothing.
    json: Vec<Box<RawValue>>,
    /// What is allowed: methods and paths.
    allow: Vec<Route>,
}

impl PartialEq for Statements {
    fn eq(&self, other: &Self) -> bool {
        self.allow == other.allow && self.json.iter().map(|j| j.get()).eq(other.json.iter().map(|j| j.get()))
    }
}

impl Statements {
    /// Of these routes, for the ARN of a stage.
    pub fn new(routes: &Routes, stage: &str) -> Self {
        let short = |route: &&Route| resource(stage, &route.method, &route.path).len() <= MAX_RESOURCE;
        if !routes.deny.iter().all(|route| short(&route)) {
            // What cannot be denied must not be allowed by a wider pattern either.
            return Self::default();
        }
        let allow: Vec<Route> = routes.allow.iter().filter(short).cloned().collect();
        let written = |effect, routes: &[Route]| {
            let resources: Vec<String> = routes.iter().map(|r| resource(stage, &r.method, &r.path)).collect();
            let statement = Statement { action: "execute-api:Invoke", effect, resources };
            (!routes.is_empty()).then(|| serde_json::value::to_raw_value(&statement).ok()).flatten()
        };
        Self { json: written("Deny", &routes.deny).into_iter().chain(written("Allow", &allow)).collect(), allow }
    }

    /// Each as JSON.
    pub fn json(&self) -> &[Box<RawValue>] {
        &self.json
    }

    /// Whether a request is among those that are allowed, if it is not denied.
    pub fn allow(&self, method: &str, path: &str) -> bool {
        self.allow.iter().any(|route| match path {
            CONNECT => route.path == CONNECT,
            _ => route.method == method && glob(&route.path, path),
        })
    }
}

/// A statement of an IAM policy about requests.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Statement {
    action: &'static str,
    effect: &'static str,
    #[serde(rename = "Resource")]
    resources: Vec<String>,
}

impl Statement {
    /// Of one resource.
    pub fn new(effect: &'static str, resource: String) -> Self {
        Self { action: "execute-api:Invoke", effect, resources: vec![resource] }
    }

    /// About so many bytes as JSON.
    pub fn bytes(&self) -> usize {
        self.resources.iter().map(String::len).sum::<usize>() + 80
    }
}

/// So many are known at most; then all are forgotten. Whoever may vary what they rest on costs no more than that.
const MOST_KNOWN: usize = 1_000;

/// What was made of rights, by all that it rests on. The same rights come with every request of a credential, and the
/// list of their routes is what a decision would spend its time on.
#[derive(Debug, Default)]
pub struct KnownRoutes {
    /// Lists that are the same for all tenants.
    routes: Known<Routes>,
    /// The policies of tenants.
    statements: Known<Statements>,
}

impl Clone for KnownRoutes {
    fn clone(&self) -> Self {
        Self::default()
    }
}

#[derive(Debug)]
struct Known<T>(Mutex<HashMap<Vec<u8>, Option<Arc<T>>>>);

impl<T> Default for Known<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T> Known<T> {
    fn get(&self, facets: Vec<u8>, make: impl FnOnce() -> Option<T>) -> Option<Arc<T>> {
        if let Some(made) = self.0.lock().ok().and_then(|known| known.get(&facets).cloned()) {
            return made;
        }
        let made = make().map(Arc::new);
        if let Ok(mut known) = self.0.lock() {
            if known.len() >= MOST_KNOWN {
                known.clear();
            }
            known.insert(facets, made.clone());
        }
        made
    }
}

/// Stands for a tenant in lists that are the same for all tenants: no tenant, SKU or path template holds it.
const ANY_TENANT: &str = "\u{1}";

/// All that a list of routes rests on, byte for byte: each text with its length before it, each list with its count.
struct Facets(Vec<u8>);

impl Facets {
    fn text(&mut self, text: &str) {
        self.0.extend_from_slice(&(text.len() as u64).to_le_bytes());
        self.0.extend_from_slice(text.as_bytes());
    }

    fn list<'a>(&mut self, texts: impl ExactSizeIterator<Item = &'a str>) {
        self.0.extend_from_slice(&(texts.len() as u64).to_le_bytes());
        texts.for_each(|text| self.text(text));
    }

    fn found(&mut self, found: &Found<'_>) {
        match found {
            Found::One(text) => {
                self.0.push(0);
                self.text(text);
            }
            Found::Absent => self.0.push(1),
            Found::Many => self.0.push(2),
            Found::Unseen => self.0.push(3),
        }
    }
}

/// The routes of the rights, of the APIs behind the gateway of the matched operation, as statements for the ARN of a
/// stage; `None` if they are surely more than so many bytes. Made once for the same rights and the same limits beside the
/// path.
pub fn known_statements(
    rights: &Rights,
    catalog: &Catalog,
    matched: &Matched,
    request: &Request,
    (breadth, most_bytes): (Breadth, usize),
    stage: &str,
) -> Option<Arc<Statements>> {
    let list = List { rights, catalog, matched, request, breadth, most_patterns: most_bytes / SHORTEST_PATTERN };
    let mut facets = list.facets(list.tenant());
    facets.extend_from_slice(stage.as_bytes());
    catalog.known_routes.statements.get(facets, || Some(Statements::new(&list.routes()?, stage)))
}

/// The routes of the rights, of the APIs behind the gateway of the matched operation; `None` if they are more than
/// `most_patterns`. Those that are the same for all tenants, but for its name, are made once.
pub fn routes(
    rights: &Rights,
    catalog: &Catalog,
    matched: &Matched,
    request: &Request,
    breadth: Breadth,
    most_patterns: usize,
) -> Option<Routes> {
    List { rights, catalog, matched, request, breadth, most_patterns }.routes()
}

/// The same, made for this tenant alone: what the others are held against.
pub fn routes_of_one(
    rights: &Rights,
    catalog: &Catalog,
    matched: &Matched,
    request: &Request,
    breadth: Breadth,
    most_patterns: usize,
) -> Option<Routes> {
    let list = List { rights, catalog, matched, request, breadth, most_patterns };
    list.make(list.tenant())
}

/// What a list of routes is made of.
struct List<'a> {
    rights: &'a Rights,
    catalog: &'a Catalog,
    matched: &'a Matched,
    request: &'a Request,
    breadth: Breadth,
    most_patterns: usize,
}

impl<'a> List<'a> {
    /// The tenant's name; empty where there is none.
    fn tenant(&self) -> &'a str {
        self.rights.tenant().map_or("", |tenant| tenant.as_str())
    }

    fn routes(&self) -> Option<Routes> {
        let tenant = self.tenant();
        if !self.is_like_any_other(tenant) {
            return self.make(tenant);
        }
        // Made once for all tenants, of which there may be many more than lists are kept.
        let of_any = self.catalog.known_routes.routes.get(self.facets(ANY_TENANT), || self.make(ANY_TENANT))?;
        let of_this =
            |route: &Route| Route { method: route.method.clone(), path: route.path.replace(ANY_TENANT, tenant) };
        let all = |routes: &[Route]| {
            let mut routes: Vec<Route> = routes.iter().map(of_this).collect();
            routes.sort();
            routes
        };
        Some(Routes { allow: all(&of_any.allow), deny: all(&of_any.deny) })
    }

    /// The APIs behind the gateway.
    fn apis(&self) -> impl Iterator<Item = &'a Arc<Api>> {
        let document = &self.matched.api.document;
        self.catalog.apis.values().filter(move |api| api.document == *document)
    }

    /// Whether the list of this tenant is that of any other, but for its name: a pattern meets another by where a segment
    /// begins and ends, so the name counts only where it is a word of a path itself, or an SKU, or stands beside the path.
    fn is_like_any_other(&self, tenant: &str) -> bool {
        // Behind a star that is not the last, a pattern may end within a segment.
        let is_other = |sku: &SkuPattern| match sku.as_str().split_once('*') {
            None => sku.as_str() != tenant,
            Some((begin, rest)) => rest.is_empty() && (begin.is_empty() || !tenant.starts_with(begin)),
        };
        !tenant.is_empty()
            && self.rights.skus().iter().chain(self.rights.details().skus_named()).all(is_other)
            && self.apis().flat_map(|api| &api.operations).all(|operation| {
                matches!(operation.tenant, Source::Path(_) | Source::Token) && !operation.path.has_word(tenant)
            })
    }

    /// All that the list rests on, with this name in the place of the tenant's.
    fn facets(&self, tenant: &str) -> Vec<u8> {
        let mut facets = Facets(Vec::with_capacity(1024));
        facets.text(&self.matched.api.document);
        facets.text(if self.breadth == Breadth::Api { self.matched.api.name.as_str() } else { "" });
        facets.0.extend_from_slice(&(self.most_patterns as u64).to_le_bytes());
        self.rights.facets(tenant, &mut |texts| facets.list(texts.iter().copied()));
        // What stands beside the path of the request counts where any operation behind the gateway looks at it.
        let mut seen: Vec<&Source> = Vec::new();
        for operation in self.apis().flat_map(|api| &api.operations) {
            for source in
                [Some(&operation.tenant), operation.sku.as_ref(), operation.supplier.as_ref()].into_iter().flatten()
            {
                if !matches!(source, Source::Path(_) | Source::Token) && !seen.contains(&source) {
                    seen.push(source);
                    facets.found(&self.request.at(source, &[]));
                }
            }
        }
        facets.0
    }

    /// Makes it, with this name in the place of the tenant's.
    fn make(&self, tenant: &str) -> Option<Routes> {
        let Self { rights, request, most_patterns, .. } = *self;
        // Whatever is listed, all operations behind the gateway may be trespassed.
        let operations: Vec<(&Api, &Operation)> =
            self.apis().flat_map(|api| api.operations.iter().map(move |o| (api.as_ref(), o.as_ref()))).collect();
        let mut near: Vec<Near<'_>> = Vec::with_capacity(operations.len());
        let mut patterns = 0;
        for (api, operation) in &operations {
            let may = may_call(rights, api, operation, request);
            let listed = may && (self.breadth == Breadth::Gateway || api.name == self.matched.api.name);
            let skus = rights.skus_on(api, operation).unwrap_or_default();
            let (paths, no_skus) = if listed { paths(rights, tenant, operation, &skus) } else { Default::default() };
            let methods = methods(operation, operations.iter().map(|(_, other)| *other));
            patterns += paths.len() * methods.len();
            if patterns > most_patterns {
                return None;
            }
            near.push(Near { operation, methods, may, listed, paths, no_skus, skus });
        }
        let mut routes = Routes::default();
        for this in near.iter().filter(|n| n.listed) {
            if let Some(denied) = denied(this, &near) {
                routes.deny.extend(denied);
                routes.allow.extend(each(&this.methods, &this.paths));
            }
        }
        for list in [&mut routes.allow, &mut routes.deny] {
            list.sort();
            list.dedup();
        }
        (routes.allow.len() + routes.deny.len() <= most_patterns).then_some(routes)
    }
}

fn each(methods: &[&str], paths: &[String]) -> Vec<Route> {
    let route = |method: &&str, path: &String| Route { method: (*method).to_owned(), path: path.clone() };
    methods.iter().flat_map(|method| paths.iter().map(move |path| route(method, path))).collect()
}

/// What must be denied beside the patterns of an operation; `None` if that cannot be said.
fn denied(this: &Near<'_>, near: &[Near<'_>]) -> Option<Vec<Route>> {
    // A star before the end could take segments that a greedy path would otherwise hold, and so move the tenant or the
    // SKU to another place of the same operation.
    let ends_in_its_star = |path: &String| path.find('*').is_none_or(|at| at + 1 == path.len());
    if this.operation.path.is_greedy() && is_limited(this.operation) && !this.paths.iter().all(ends_in_its_star) {
        return None;
    }
    let mut denied = each(&this.methods, &this.no_skus);
    // Nor does a longer path of the same SKUs hold such a thing, if all that it adds is words.
    let adds_words = |n: &&Near<'_>| is_limited_alike(this, n) && n.operation.path.adds_words_to(&this.operation.path);
    let same_skus = near.iter().filter(adds_words).map(|n| n.operation);
    let not_concerned: Vec<&Operation> = same_skus.chain([this.operation]).collect();
    if !denied.iter().all(|d| is_safe(d, &not_concerned, near)) {
        return None;
    }
    let others = || near.iter().filter(|n| !std::ptr::eq(n.operation, this.operation));
    let trespassed: Vec<&Near<'_>> = others().filter(|other| trespasses(this, other)).collect();
    if !trespassed.is_empty() {
        let deeper: Vec<Route> = each(&this.methods, &this.paths).iter().flat_map(deeper).collect();
        let only_deeper = trespassed.iter().all(|other| !beats(other.operation, this.operation));
        if only_deeper && deeper.iter().all(|d| is_safe(d, &[], near)) {
            denied.extend(deeper);
        } else {
            for other in trespassed {
                let general = each(&other.methods, &[general(other.operation)]);
                let loses = |o: &&Operation| is_alike(other.operation, o) && beats(other.operation, o);
                let routed_there: Vec<&Operation> = near.iter().map(|n| n.operation).filter(loses).collect();
                if !general.iter().all(|d| is_safe(d, &routed_there, near)) {
                    return None;
                }
                denied.extend(general);
            }
        }
    }
    Some(denied)
}

/// Whether patterns of an operation match paths that the gateway routes to another one, which is not allowed there.
fn trespasses(this: &Near<'_>, other: &Near<'_>) -> bool {
    let (a, b) = (this.operation, other.operation);
    // Of two that match a path of the same depth, the gateway chooses one; and a path without a star is of the same
    // depth as its operation.
    let chosen = beats(b, a);
    let reaches = |path: &String| {
        (chosen || (path.contains('*') && !is_alike(a, b))) && meet(&crossing(path), &own_paths(b, &general(b)))
    };
    methods_meet(&this.methods, &other.methods)
        && this.paths.iter().any(reaches)
        && !(other.may && (!is_limited(b) || is_limited_alike(this, other)))
}

/// Whether paths of both have as many segments, whatever the parameters hold.
fn is_alike(a: &Operation, b: &Operation) -> bool {
    a.path.depth() == b.path.depth() && !a.path.is_greedy() && !b.path.is_greedy()
}

/// Whether every path of `this` pattern that belongs to the longer operation is within that one's own limits too: the
/// same tenant and the same SKUs at the same places, and no pattern that goes on behind its star.
fn is_limited_alike(this: &Near<'_>, other: &Near<'_>) -> bool {
    let (a, longer) = (this.operation, other.operation);
    longer.path.begins_with(&a.path)
        && a.tenant == longer.tenant
        && a.sku == longer.sku
        && this.skus == other.skus
        && this.paths.iter().all(|path| match path.split_once('*') {
            None => true,
            Some((_, rest)) => rest.is_empty(),
        })
}

/// Whether a denied pattern takes no path with it that is allowed. Some operations are known not to be concerned: at
/// the same depth a pattern matches no more than its operation's own paths, and those that it beats lose them anyway.
fn is_safe(deny: &Route, not_concerned: &[&Operation], near: &[Near<'_>]) -> bool {
    near.iter().filter(|n| n.listed && n.methods.contains(&deny.method.as_str())).all(|n| {
        not_concerned.iter().any(|o| std::ptr::eq(*o, n.operation))
            || !n.paths.iter().any(|p| meet(&crossing(&deny.path), &own_paths(n.operation, p)))
    })
}

/// Whether the gateway prefers an operation to another where both match.
fn beats(a: &Operation, b: &Operation) -> bool {
    preference(a, b).is_lt()
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

/// What a segment can hold (RFC 3986 section 3.3), but an SKU cannot; but for the star, which a pattern cannot name.
const NOT_IN_AN_SKU: [char; 9] = ['%', '!', '$', '&', '\'', '(', ')', ',', ';'];

/// The patterns of one listed operation: the tenant and the SKUs of the grant in their places, `*` in all others. And,
/// where no guard looks at the SKU again, those of its SKUs with what is none where a star stands.
fn paths(rights: &Rights, tenant: &str, operation: &Operation, skus: &[SkuPattern]) -> (Vec<String>, Vec<String>) {
    let tenant = match rights.tenant() {
        Some(_) if !rights.is_above_tenants(operation) => tenant,
        _ => "*",
    };
    let with_sku = |sku: &str| {
        operation.path.fill(|name| match () {
            () if is_path(&operation.tenant, name) => tenant.to_owned(),
            () if operation.sku.as_ref().is_some_and(|s| is_path(s, name)) => sku.to_owned(),
            () => "*".to_owned(),
        })
    };
    if !matches!(&operation.sku, Some(Source::Path(_))) {
        return (vec![with_sku("*")], Vec::new());
    }
    let skus = || skus.iter().map(|sku| sku.as_str());
    let mut no_skus = Vec::new();
    for sku in skus().filter(|_| !operation.guard) {
        for (at, _) in sku.match_indices('*') {
            if let Some((before, after)) = sku.split_at_checked(at) {
                no_skus.extend(NOT_IN_AN_SKU.iter().map(|c| with_sku(&format!("{before}*{c}{after}"))));
            }
        }
    }
    (skus().map(with_sku).collect(), no_skus)
}

fn general(operation: &Operation) -> String {
    operation.path.fill(|_| "*".to_owned())
}

/// The methods that the gateway routes to an operation: `ANY` stands for those that its resource does not declare.
fn methods<'a>(operation: &'a Operation, all: impl Iterator<Item = &'a Operation>) -> Vec<&'a str> {
    if operation.method != "ANY" {
        return vec![&operation.method];
    }
    // Resources that differ in the names of parameters alone match the same paths.
    let alike = |o: &Operation| general(o) == general(operation) && o.path.is_greedy() == operation.path.is_greedy();
    let declared: Vec<&str> = all.filter(|o| alike(o)).map(|o| o.method.as_str()).collect();
    ANY.into_iter().filter(|method| !declared.contains(method)).collect()
}

fn is_path(source: &Source, name: &str) -> bool {
    matches!(source, Source::Path(n) if n == name)
}

/// Whether a grant allows the operation only for some values in its path.
fn is_limited(operation: &Operation) -> bool {
    [Some(&operation.tenant), operation.sku.as_ref()].into_iter().flatten().any(|s| matches!(s, Source::Path(_)))
}

/// Whether one request can be for either of two operations.
pub fn operations_meet(a: &Operation, b: &Operation) -> bool {
    let methods = a.method == b.method || a.method == "ANY" || b.method == "ANY";
    methods && meet(&own_paths(a, &general(a)), &own_paths(b, &general(b)))
}

fn methods_meet(a: &[&str], b: &[&str]) -> bool {
    a.iter().any(|method| b.contains(method))
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
fn meet(mut a: &[Token], mut b: &[Token]) -> bool {
    // What begins or ends with other characters has nothing in common; most patterns differ there.
    while let ([Token::One(x), rest_a @ ..], [Token::One(y), rest_b @ ..]) = (a, b) {
        if x != y {
            return false;
        }
        (a, b) = (rest_a, rest_b);
    }
    while let ([rest_a @ .., Token::One(x)], [rest_b @ .., Token::One(y)]) = (a, b) {
        if x != y {
            return false;
        }
        (a, b) = (rest_a, rest_b);
    }
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
            ("an end that would have to be the beginning", crossing("/a*a"), plain("/a"), false),
            ("an end of its own", crossing("/a*a"), plain("/aa"), true),
        ];
        for (sentence, a, b, want) in rows {
            assert_eq!(meet(&a, &b), want, "{sentence}");
            assert_eq!(meet(&b, &a), want, "{sentence}, the other way round");
        }
    }
}
