//! A kept policy never allows what a fresh decision refuses: for made-up APIs, grants and pairs of requests.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test says what is wrong by panicking"
)]

use auth_core::api::{Api, Catalog, Mechanism, Operation, PathTemplate, Request, Source, Subject, TokenSettings};
use auth_core::decision::{Deployment, Rights, Trail, authorize, establish_token};
use auth_core::ids::{Environment, glob};
use auth_core::jwk::SigningKey;
use auth_core::jws::Algorithm;
use auth_core::keyring::{Keyring, KeyringDocument};
use auth_core::policy::{Breadth, Routes, known_routes, routes};
use auth_core::records::Facts;
use auth_core::time::Timestamp;
use auth_core::token::{Expected, UnverifiedToken};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::sync::OnceLock;

const SEGMENTS: [&str; 8] = ["a", "b", "{x}", "{t}", "{s}", "{g+}", "acme", "AB1"];
const METHODS: [&str; 3] = ["GET", "POST", "ANY"];
const WORDS: [&str; 10] = ["a", "b", "c", "acme", "globex", "AB", "AB1", "ZZ", "AB%2F", "AB,ZZ"];
const SKUS: [&[&str]; 5] = [&["AB*"], &["*"], &["AB"], &["A*1"], &[]];
const SCOPES: [&str; 3] = ["granted:no", "granted:yes", "granted:also"];

/// What a token may be limited to.
fn details(which: usize) -> Value {
    let detail = |mut members: Value| {
        members["type"] = json!("countersign_access");
        members
    };
    let all = [
        json!([]),
        json!([detail(json!({"skus": ["AB*"]}))]),
        json!([detail(json!({"skus": ["AB1", "ZZ"]}))]),
        json!([
            detail(json!({"actions": ["granted:yes"], "skus": ["AB"]})),
            detail(json!({"actions": ["granted:also"]}))
        ]),
        json!([
            detail(json!({"actions": ["granted:yes"], "skus": ["A*"]})),
            detail(json!({"actions": ["granted:also"], "skus": ["AB1"]}))
        ]),
        json!([detail(json!({"locations": ["api"], "skus": ["*1"]})), detail(json!({"locations": ["other"]}))]),
    ];
    all[which].clone()
}
const DETAILS: usize = 6;

fn keyring() -> &'static (SigningKey, Keyring) {
    static KEYRING: OnceLock<(SigningKey, Keyring)> = OnceLock::new();
    KEYRING.get_or_init(|| {
        let jwks: Value = serde_json::from_str(include_str!("../../../tests/corpus/private.jwks.json")).unwrap();
        let key = jwks["keys"].as_array().unwrap().iter().find(|k| k["alg"] == "EdDSA").unwrap();
        let document = KeyringDocument::from_jwks(&jwks, [1; 32], [2; 32], Timestamp(0)).unwrap();
        (SigningKey::from_jwk(key).unwrap(), Keyring::parse(&document.to_text()).unwrap())
    })
}

/// An operation of these segments; a parameter that stands twice, or a greedy one not at the end, makes none.
fn operation(method: usize, segments: &[usize], scope: usize) -> Option<Operation> {
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
        mechanism: Mechanism::Jwt,
        scopes: vec![vec![SCOPES[scope].parse().unwrap()]],
        supplier: None,
        subject: Subject::Partner,
        scope_refusal_is_401: false,
        guard: false,
        media_types: Vec::new(),
    })
}

/// Method, segments, and its scope.
type Made = (usize, Vec<usize>, usize);

fn catalog(made: Vec<Made>) -> Catalog {
    let mut operations: Vec<Operation> = Vec::new();
    for operation in made.into_iter().filter_map(|(method, segments, scope)| operation(method, &segments, scope)) {
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
        let token = TokenSettings { alg: Algorithm::EdDSA, ..TokenSettings::default() };
        (
            name.clone(),
            Api { audience: name.to_string(), url: None, name, document: "document".into(), token, operations },
        )
    });
    Catalog { apis: apis.collect(), ..Catalog::default() }
}

fn rights(skus: &[&str], details: Value, catalog: &Catalog) -> Rights {
    let facts = Facts {
        client: serde_json::from_value(json!({"client_id": "c", "kind": "single_tenant", "tenant": "acme",
            "environment": "test", "state": "active", "internal": false, "grant_types": [], "secrets": [],
            "requires_user_login": false, "apis": ["api", "other"], "roles": []}))
        .unwrap(),
        grant: serde_json::from_value(json!({"client_id": "c", "tenant": "acme", "state": "approved",
            "scopes": ["granted:yes", "granted:also"], "roles": [], "skus": skus, "suppliers": []}))
        .unwrap(),
        tenant: serde_json::from_value(json!({"id": "acme", "apis": ["api", "other"], "state": "active"})).unwrap(),
        ..Facts::default()
    };
    let mut claims = json!({"iss": "i", "sub": "c", "aud": ["api", "other"], "iat": 0, "exp": 60, "tenant": "acme",
        "scope": "granted:yes granted:also", "token_use": "partner"});
    if details != json!([]) {
        claims["authorization_details"] = details;
    }
    let (key, keyring) = keyring();
    let token = auth_core::jws::sign(key, "at+jwt", &claims).unwrap();
    let UnverifiedToken::Issued(token) = UnverifiedToken::parse(&token).unwrap() else { panic!("a token of ours") };
    let now = Timestamp(0);
    let token = token.verify(keyring, &Expected { issuer: "i", leeway_seconds: 0, now }).unwrap();
    let deployment = Deployment { environment: Environment::Test, now };
    establish_token(token, facts, catalog, deployment, None, &mut Trail::default()).unwrap()
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
        made in prop::collection::vec((0..METHODS.len(), prop::collection::vec(0..SEGMENTS.len(), 1..4), 0..SCOPES.len()), 1..6),
        skus in 0..SKUS.len(),
        limits in 0..DETAILS,
        narrow in any::<bool>(),
        first in (0..2usize, 0..6usize, prop::collection::vec(0..WORDS.len(), 4)),
        second in (0..2usize, 0..6usize, prop::collection::vec(0..WORDS.len(), 4)),
    ) {
        let (first, second) = (request(&made, &first), request(&made, &second));
        let catalog = catalog(made);
        let rights = rights(SKUS[skus], details(limits), &catalog);
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
        let made: Vec<Made> = made.into_iter().map(|(method, segments)| (method, segments, 1)).collect();
        let (first, second) = (request(&made, &first), request(&made, &second));
        let catalog = catalog(made);
        let rights = rights(&[], json!([]), &catalog);
        if let Some(matched) = catalog.find(&first.method, &first.path)
            && let Some(routes) = routes(&rights, &catalog, &matched, &first, Breadth::Gateway, 1000)
            && let Some(true) = fresh(&rights, &catalog, &second)
        {
            let operations: Vec<&str> = catalog.apis.values().flat_map(|a| &a.operations).map(|o| o.id.as_str()).collect();
            prop_assert!(allows(&routes, &second), "{second:?} of {operations:?} by {routes:?}");
        }
    }
}

/// The same, where paths of other limits lie below one another: chance seldom makes such.
#[test]
fn a_policy_of_limited_tokens_keeps_within_each_limit() {
    let s = SEGMENTS.iter().position(|segment| *segment == "{s}").unwrap();
    let mut seen = 0;
    for (below, scope, longer) in [(vec![s, 0], 2, vec![s]), (vec![s, 2], 2, vec![s]), (vec![0, s, 1], 1, vec![0, s])] {
        let made = vec![(0, longer, 3 - scope), (0, below, scope)];
        let catalog = catalog(made.clone());
        let requests: Vec<Request> = (0..2)
            .flat_map(|which| {
                (0..WORDS.len()).flat_map(move |a| (0..WORDS.len()).map(move |b| (0, which, vec![a, b, 2])))
            })
            .map(|chosen| request(&made, &chosen))
            .collect();
        for (granted, limits) in SKUS.iter().flat_map(|skus| (0..DETAILS).map(move |limits| (skus, limits))) {
            let rights = rights(granted, details(limits), &catalog);
            // Of a request that was decided, only its operation counts.
            for first in requests.iter().step_by(WORDS.len() * WORDS.len()) {
                let Some(matched) = catalog.find(&first.method, &first.path) else { continue };
                let known = || known_routes(&rights, &catalog, &matched, first, Breadth::Gateway, 1000);
                let routes = routes(&rights, &catalog, &matched, first, Breadth::Gateway, 1000);
                assert_eq!((known().as_deref(), known().as_deref()), (routes.as_ref(), routes.as_ref()), "made once");
                for second in routes.iter().flat_map(|routes| requests.iter().filter(|r| allows(routes, r))) {
                    seen += 1;
                    assert_ne!(
                        fresh(&rights, &catalog, second),
                        Some(false),
                        "{second:?} by {routes:?}, limits {limits}"
                    );
                }
            }
        }
    }
    assert!(seen > 1000, "{seen}");
}
