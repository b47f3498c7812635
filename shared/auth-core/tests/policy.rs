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
use auth_core::jws::Algorithm;
use auth_core::keyring::{Keyring, KeyringDocument};
use auth_core::policy::{Breadth, Routes, Statements, known_statements, routes, routes_of_one};
use auth_core::records::Facts;
use auth_core::time::Timestamp;
use auth_core::token::{Expected, UnverifiedToken};
use proptest::prelude::*;
use serde_json::{Value, json};

const STAGE: &str = "arn:aws:execute-api:eu-west-1:1:a/s";
/// More bytes than any policy here has.
const MANY: usize = 100_000;
use std::sync::Arc;
use std::sync::OnceLock;

const SEGMENTS: [&str; 8] = ["a", "b", "{x}", "{t}", "{s}", "{g+}", "acme", "AB1"];
const METHODS: [&str; 3] = ["GET", "POST", "ANY"];
const WORDS: [&str; 10] = ["a", "b", "c", "acme", "globex", "AB", "AB1", "ZZ", "AB%2F", "AB,ZZ"];
const SKUS: [&[&str]; 5] = [&["AB*"], &["*"], &["AB"], &["A*1"], &[]];
/// Tenants that nothing else is called, a word of a path, an SKU, and what begins and ends as SKUs do.
const TENANTS: [&str; 7] = ["globex", "initech", "acme", "b", "AB", "ABC1", "x1"];
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

fn keyring() -> &'static Keyring {
    static KEYRING: OnceLock<Keyring> = OnceLock::new();
    KEYRING.get_or_init(|| {
        let jwks: Value = serde_json::from_str(include_str!("../../../tests/corpus/private.jwks.json")).unwrap();
        let document = KeyringDocument::from_jwks(&jwks, [1; 32], [2; 32], Timestamp(0)).unwrap();
        Keyring::parse(&document.to_text()).unwrap()
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
    let mut operations: Vec<Arc<Operation>> = Vec::new();
    for operation in made.into_iter().filter_map(|(method, segments, scope)| operation(method, &segments, scope)) {
        let shape = |o: &Operation| (o.method.clone(), o.path.fill(|_| "{}".into()));
        if !operations.iter().any(|other| shape(other) == shape(&operation)) {
            operations.push(operation.into());
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
            Api { audience: name.to_string(), url: None, name, document: "document".into(), token, operations }.into(),
        )
    });
    Catalog { apis: apis.collect(), ..Catalog::default() }
}

fn rights(skus: &[&str], details: Value, catalog: &Catalog) -> Arc<Rights> {
    let details = if details == json!([]) { json!({}) } else { json!({"authorization_details": details}) };
    rights_of(&json!({"grant": {"skus": skus}, "claims": details}), Algorithm::EdDSA, catalog)
}

/// The same at another tenant.
fn rights_at(tenant: &str, skus: &[&str], details: Value, catalog: &Catalog) -> Arc<Rights> {
    let mut claims = json!({"tenant": tenant});
    if details != json!([]) {
        claims["authorization_details"] = details;
    }
    let other = json!({"client": {"tenant": tenant}, "grant": {"tenant": tenant, "skus": skus},
        "tenant": {"id": tenant}, "claims": claims});
    rights_of(&other, Algorithm::EdDSA, catalog)
}

/// The rights of a token, where records and claims are the usual ones but for what is `other`.
fn rights_of(other: &Value, algorithm: Algorithm, catalog: &Catalog) -> Arc<Rights> {
    let with = |name: &str, mut usual: Value| {
        let members = other[name].as_object().into_iter().flatten();
        usual.as_object_mut().unwrap().extend(members.map(|(name, value)| (name.clone(), value.clone())));
        usual
    };
    let client = json!({"client_id": "c", "kind": "single_tenant", "tenant": "acme", "environment": "test",
        "state": "active", "internal": false, "grant_types": [], "secrets": [], "requires_user_login": false,
        "apis": ["api", "other"], "roles": []});
    let grant = json!({"client_id": "c", "tenant": "acme", "state": "approved",
        "scopes": ["granted:yes", "granted:also"], "roles": [], "skus": [], "suppliers": []});
    let tenant = json!({"id": "acme", "apis": ["api", "other"], "state": "active"});
    let facts = Facts {
        client: serde_json::from_value(with("client", client)).unwrap(),
        grant: serde_json::from_value(with("grant", grant)).unwrap(),
        tenant: serde_json::from_value(with("tenant", tenant)).unwrap(),
        ..Facts::default()
    };
    let claims = json!({"iss": "i", "sub": "c", "aud": ["api", "other"], "iat": 0, "exp": 60, "tenant": "acme",
        "scope": "granted:yes granted:also", "token_use": "partner"});
    let key = keyring().signing_key(algorithm).unwrap();
    let token = auth_core::jws::sign(key, "at+jwt", &with("claims", claims)).unwrap();
    let UnverifiedToken::Issued(token) = UnverifiedToken::parse(&token).unwrap() else { panic!("a token of ours") };
    let now = Timestamp(0);
    let token = token.verify(keyring(), &Expected { issuer: "i", leeway_seconds: 0, now }).unwrap();
    let deployment = Deployment { environment: Environment::Test, now };
    establish_token(token, facts, catalog, deployment, None, &mut Trail::default()).unwrap().into()
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

fn fresh(rights: &Arc<Rights>, catalog: &Catalog, request: &Request) -> Option<bool> {
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
            && let Some(routes) = routes_of_one(&rights, &catalog, &matched, &first, breadth, 1000)
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
            && let Some(routes) = routes_of_one(&rights, &catalog, &matched, &first, Breadth::Gateway, 1000)
            && let Some(true) = fresh(&rights, &catalog, &second)
        {
            let operations: Vec<&str> = catalog.apis.values().flat_map(|a| &a.operations).map(|o| o.id.as_str()).collect();
            prop_assert!(allows(&routes, &second), "{second:?} of {operations:?} by {routes:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    /// A list that is made once for all tenants is, for each, what would be made for it alone.
    #[test]
    fn a_list_for_any_tenant_is_that_of_each(
        made in prop::collection::vec((0..METHODS.len(), prop::collection::vec(0..SEGMENTS.len(), 1..4), 0..SCOPES.len()), 1..6),
        skus in 0..SKUS.len(),
        limits in 0..DETAILS,
        narrow in any::<bool>(),
        asked in (0..2usize, 0..6usize, prop::collection::vec(0..WORDS.len(), 4)),
    ) {
        let request = request(&made, &asked);
        let catalog = catalog(made);
        let breadth = if narrow { Breadth::Api } else { Breadth::Gateway };
        if let Some(matched) = catalog.find(&request.method, &request.path) {
            for tenant in TENANTS {
                let rights = rights_at(tenant, SKUS[skus], details(limits), &catalog);
                let alone = routes_of_one(&rights, &catalog, &matched, &request, breadth, 1000);
                for known in [(); 2].map(|()| routes(&rights, &catalog, &matched, &request, breadth, 1000)) {
                    prop_assert_eq!(&known, &alone, "{}", tenant);
                }
            }
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
                let routes = routes_of_one(&rights, &catalog, &matched, first, Breadth::Gateway, 1000);
                let made = routes.as_ref().map(|routes| Statements::new(routes, STAGE));
                for _ in 0..2 {
                    let known = known_statements(&rights, &catalog, &matched, first, (Breadth::Gateway, MANY), STAGE);
                    assert_eq!(known.as_deref(), made.as_ref(), "made once");
                }
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

/// Lists that were made once belong to those rights and those requests alone: each row changes one thing, and all are
/// asked for in the one catalog that keeps them.
#[test]
fn a_list_that_was_made_for_others_is_not_handed_out() {
    let operation = |path: &str, scope: &str, subject: Subject, source: Option<&str>| {
        let template = PathTemplate::try_from(path.to_owned()).unwrap();
        let header = |name: &str| (source == Some(name)).then(|| Source::Header(name.into()));
        Operation {
            id: path.into(),
            method: "GET".into(),
            tenant: header("tenant").unwrap_or(match template.has_parameter("t") {
                true => Source::Path("t".into()),
                false => Source::Token,
            }),
            sku: template.has_parameter("s").then(|| Source::Path("s".into())).or(header("sku")),
            path: template,
            mechanism: Mechanism::Jwt,
            scopes: vec![vec![scope.parse().unwrap()]],
            supplier: header("supplier"),
            subject,
            scope_refusal_is_401: false,
            guard: false,
            media_types: Vec::new(),
        }
    };
    let api = |name: &str, operations: Vec<Operation>| {
        let operations = operations.into_iter().map(Arc::new).collect();
        let token = TokenSettings { alg: Algorithm::EdDSA, ..TokenSettings::default() };
        let document = "document".to_owned();
        Api { audience: name.into(), url: None, name: name.parse().unwrap(), document, token, operations }
    };
    let partner = Subject::Partner;
    let apis = [
        api(
            "api",
            vec![
                operation("/{t}/skus/{s}", "granted:yes", partner, None),
                operation("/also", "granted:also", partner, None),
                operation("/supplied", "granted:yes", partner, Some("supplier")),
                operation("/asked", "granted:yes", partner, Some("tenant")),
                operation("/some", "granted:yes", partner, Some("sku")),
                operation("/internal", "granted:yes", Subject::Internal, None),
            ],
        ),
        api("other", vec![operation("/other", "granted:yes", partner, None)]),
    ];
    let catalog = Catalog { apis: apis.map(|api| (api.name.clone(), api.into())).into(), ..Catalog::default() };
    let usual = json!({"grant": {"suppliers": ["S1"], "skus": ["AB*"]}});
    let globex = json!({"client": {"tenant": "globex"}, "grant": {"tenant": "globex", "suppliers": ["S1"],
        "skus": ["AB*"]}, "tenant": {"id": "globex"}, "claims": {"tenant": "globex"}});
    let also = |members: Value| {
        let mut all = usual.clone();
        for (record, values) in members.as_object().unwrap() {
            let place = all.as_object_mut().unwrap().entry(record).or_insert_with(|| json!({}));
            place.as_object_mut().unwrap().extend(values.as_object().unwrap().clone());
        }
        all
    };
    let asked = |tenant: &str, supplier: &str, sku: &str| {
        let headers = [("tenant", tenant), ("supplier", supplier), ("sku", sku)];
        let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        Request { method: "GET".into(), path: "/also".into(), headers: Some(headers), query: None }
    };
    let (ed, rs) = (Algorithm::EdDSA, Algorithm::RS256);
    let common = || asked("acme", "S1", "AB1");
    let gateway = Breadth::Gateway;
    let rows = [
        ("another tenant", globex, ed, common(), gateway),
        ("an API fewer of the tenant", also(json!({"tenant": {"apis": ["api"]}})), ed, common(), gateway),
        ("an API fewer of the client", also(json!({"client": {"apis": ["api"]}})), ed, common(), gateway),
        ("an audience fewer", also(json!({"claims": {"aud": ["api"]}})), ed, common(), gateway),
        ("a scope fewer in the token", also(json!({"claims": {"scope": "granted:yes"}})), ed, common(), gateway),
        ("a scope fewer in the grant", also(json!({"grant": {"scopes": ["granted:yes"]}})), ed, common(), gateway),
        ("other SKUs", also(json!({"grant": {"skus": ["AB1"]}})), ed, common(), gateway),
        ("other suppliers", also(json!({"grant": {"suppliers": ["S2"]}})), ed, common(), gateway),
        (
            "fewer SKUs in the token",
            also(json!({"claims": {"authorization_details": details(2)}})),
            ed,
            common(),
            gateway,
        ),
        (
            "an internal application",
            also(json!({"client": {"kind": "dynamic_tenant", "tenant": null, "internal": true},
                "claims": {"token_use": "internal"}})),
            ed,
            common(),
            gateway,
        ),
        ("another algorithm", usual.clone(), rs, common(), gateway),
        ("another tenant asked for", usual.clone(), ed, asked("globex", "S1", "AB1"), gateway),
        ("another supplier asked for", usual.clone(), ed, asked("acme", "S2", "AB1"), gateway),
        ("another SKU asked for", usual.clone(), ed, asked("acme", "S1", "ZZ"), gateway),
        ("of one API alone", usual.clone(), ed, common(), Breadth::Api),
    ];
    let list = |other: &Value, algorithm: Algorithm, request: &Request, breadth: Breadth, stage: &str| {
        let rights = rights_of(other, algorithm, &catalog);
        let matched = catalog.find(&request.method, &request.path).unwrap();
        let known = known_statements(&rights, &catalog, &matched, request, (breadth, MANY), stage).unwrap();
        let routes = routes_of_one(&rights, &catalog, &matched, request, breadth, 1000).unwrap();
        (known, Statements::new(&routes, stage))
    };
    let (first, _) = list(&usual, ed, &common(), gateway, STAGE);
    let other_stage =
        ("another stage", usual.clone(), ed, common(), gateway, "arn:aws:execute-api:eu-west-1:1:a/other");
    let rows = rows.into_iter().map(|(why, other, alg, asked, breadth)| (why, other, alg, asked, breadth, STAGE));
    for (sentence, other, algorithm, request, breadth, stage) in rows.chain([other_stage]) {
        let (known, made) = list(&other, algorithm, &request, breadth, stage);
        assert_ne!(*first, made, "{sentence}: it changes the list");
        assert_eq!(*known, made, "{sentence}");
    }
    assert_eq!(*list(&usual, ed, &common(), gateway, STAGE).0, *first, "the first is as it was");
}
