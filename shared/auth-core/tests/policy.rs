//! A kept policy never allows what a fresh decision refuses: for made-up APIs, grants and pairs of requests.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test says what is wrong by panicking")]

use auth_core::api::{
    Api, Catalog, Found, Mechanism, Operation, PathTemplate, Request, Source, Subject, TokenSettings,
};
use auth_core::decision::{Deployment, Rights, Trail, authorize, establish_key};
use auth_core::ids::{Environment, glob};
use auth_core::policy::{Breadth, Routes, routes};
use auth_core::records::Facts;
use auth_core::time::Timestamp;
use proptest::prelude::*;
use serde_json::json;

const SEGMENTS: [&str; 8] = ["a", "b", "{x}", "{t}", "{s}", "{g+}", "acme", "AB1"];
const METHODS: [&str; 3] = ["GET", "POST", "ANY"];
const WORDS: [&str; 10] = ["a", "b", "c", "acme", "globex", "AB", "AB1", "ZZ", "AB%2F", "AB,ZZ"];
const SKUS: [&[&str]; 5] = [&["AB*"], &["*"], &["AB"], &["A*1"], &[]];

/// An operation of these segments; a parameter that stands twice, or a greedy one not at the end, makes none.
fn operation(method: usize, segments: &[usize], granted: bool) -> Option<Operation> {
    let names: Vec<&str> = segments.iter().map(|s| SEGMENTS[*s]).collect();
    let parameters: Vec<&&str> = names.iter().filter(|n| n.starts_with('{')).collect();
    if parameters.iter().enumerate().any(|(i, name)| parameters[..i].contains(name)) {
        return None;
    }
    let path = PathTemplate::try_from(format!("/{}", names.join("/"))).ok()?;
    let has = |name: &str| names.contains(&format!("{{{name}}}").as_str());
    Some(Operation {
        id: format!("{} {path}", METHODS[method]),
        method: METHODS[method].into(),
        tenant: if has("t") { Source::Path("t".into()) } else { Source::Token },
        sku: has("s").then(|| Source::Path("s".into())),
        path,
        mechanism: Mechanism::ApiKey,
        scopes: vec![vec![if granted { "granted:yes" } else { "granted:no" }.parse().unwrap()]],
        supplier: None,
        subject: Subject::Partner,
        scope_refusal_is_401: false,
        guard: false,
        media_types: Vec::new(),
    })
}

/// Method, segments, and whether the grant has its scope.
type Made = (usize, Vec<usize>, bool);

fn catalog(made: Vec<Made>) -> Catalog {
    let mut operations: Vec<Operation> = Vec::new();
    for operation in made.into_iter().filter_map(|(method, segments, granted)| operation(method, &segments, granted)) {
        let shape = |o: &Operation| (o.method.clone(), o.path.fill(|_| "{}".into()));
        if !operations.iter().any(|other| shape(other) == shape(&operation)) {
            operations.push(operation);
        }
    }
    // Two APIs of one document; both are assigned to the client.
    let mut halves = [Vec::new(), Vec::new()];
    for (index, operation) in operations.into_iter().enumerate() {
        halves[index % 2].push(operation);
    }
    let apis = ["api", "other"].into_iter().zip(halves).map(|(name, operations)| {
        let name: auth_core::ids::ApiName = name.parse().unwrap();
        let token = TokenSettings::default();
        (
            name.clone(),
            Api { audience: name.to_string(), url: None, name, document: "document".into(), token, operations },
        )
    });
    Catalog { apis: apis.collect(), ..Catalog::default() }
}

fn rights(skus: &[&str], catalog: &Catalog) -> Rights {
    let facts = Facts {
        client: serde_json::from_value(json!({"client_id": "c", "kind": "single_tenant", "tenant": "acme",
            "environment": "test", "state": "active", "internal": false, "grant_types": [], "secrets": [],
            "requires_user_login": false, "apis": [], "roles": []}))
        .unwrap(),
        grant: serde_json::from_value(json!({"client_id": "c", "tenant": "acme", "state": "approved",
            "scopes": ["granted:yes"], "roles": [], "skus": skus, "suppliers": []}))
        .unwrap(),
        tenant: serde_json::from_value(json!({"id": "acme", "apis": ["api", "other"], "state": "active"})).unwrap(),
        ..Facts::default()
    };
    let key = json!({"key_id": "k", "client_id": "c", "tenant": "acme", "apis": ["api", "other"], "environment": "test", "state": "active"});
    let deployment = Deployment { environment: Environment::Test, now: Timestamp(0) };
    let key = serde_json::from_value(key).unwrap();
    establish_key(Some(key), facts, catalog, deployment, &Found::Unseen, &mut Trail::default()).unwrap()
}

/// A request for one of the operations that were made up, or for a path that is a little longer.
fn request(made: &[Made], (method, which, words): &(usize, usize, Vec<usize>)) -> Request {
    let (_, segments, _) = &made[which % made.len()];
    let mut words = words.iter().map(|w| WORDS[*w]);
    let mut path = String::new();
    for segment in segments {
        let text = SEGMENTS[*segment];
        let text = if text.starts_with('{') { words.next().unwrap_or("a") } else { text };
        path.push('/');
        path.push_str(text);
    }
    if words.next() == Some("a") {
        path.push_str("/b");
    }
    Request { method: METHODS[*method].into(), path, ..Request::default() }
}

/// What IAM makes of the list for one request.
fn allows(routes: &Routes, request: &Request) -> bool {
    let text = format!("{}{}", request.method, request.path);
    let hit = |list: &[auth_core::policy::Route]| list.iter().any(|r| glob(&format!("{}{}", r.method, r.path), &text));
    hit(&routes.allow) && !hit(&routes.deny)
}

fn fresh(rights: &Rights, catalog: &Catalog, request: &Request) -> Option<bool> {
    let matched = catalog.find(&request.method, &request.path)?;
    Some(authorize(rights, &matched, request, &mut Trail::default()).is_ok())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 30_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_kept_policy_never_allows_what_a_fresh_decision_refuses(
        made in prop::collection::vec((0..METHODS.len(), prop::collection::vec(0..SEGMENTS.len(), 1..4), any::<bool>()), 1..6),
        skus in 0..SKUS.len(),
        narrow in any::<bool>(),
        first in (0..2usize, 0..6usize, prop::collection::vec(0..WORDS.len(), 4)),
        second in (0..2usize, 0..6usize, prop::collection::vec(0..WORDS.len(), 4)),
    ) {
        let (first, second) = (request(&made, &first), request(&made, &second));
        let catalog = catalog(made);
        let rights = rights(SKUS[skus], &catalog);
        let breadth = if narrow { Breadth::Api } else { Breadth::Gateway };
        if let Some(matched) = catalog.find(&first.method, &first.path)
            && let Some(routes) = routes(&rights, &catalog, &matched, &first, breadth, 1000)
            && let Some(allowed) = fresh(&rights, &catalog, &second)
        {
            let operations: Vec<&str> = catalog.apis.values().flat_map(|a| &a.operations).map(|o| o.id.as_str()).collect();
            prop_assert!(allowed || !allows(&routes, &second), "{second:?} of {operations:?} by {routes:?}");
        }
    }

    #[test]
    fn where_everything_is_granted_so_is_everything_by_a_kept_policy(
        made in prop::collection::vec((0..METHODS.len(), prop::collection::vec(0..3usize, 1..4)), 1..6),
        first in (0..2usize, 0..6usize, prop::collection::vec(0..3usize, 4)),
        second in (0..2usize, 0..6usize, prop::collection::vec(0..3usize, 4)),
    ) {
        let made: Vec<Made> = made.into_iter().map(|(method, segments)| (method, segments, true)).collect();
        let (first, second) = (request(&made, &first), request(&made, &second));
        let catalog = catalog(made);
        let rights = rights(&[], &catalog);
        if let Some(matched) = catalog.find(&first.method, &first.path)
            && let Some(routes) = routes(&rights, &catalog, &matched, &first, Breadth::Gateway, 1000)
            && let Some(true) = fresh(&rights, &catalog, &second)
        {
            let operations: Vec<&str> = catalog.apis.values().flat_map(|a| &a.operations).map(|o| o.id.as_str()).collect();
            prop_assert!(allows(&routes, &second), "{second:?} of {operations:?} by {routes:?}");
        }
    }
}
