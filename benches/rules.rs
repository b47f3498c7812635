//! The rules alone, without runtime, table and network: `cargo bench -p benches`.

#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "a benchmark ends where something is wrong")]

use auth_core::api::{Api, Catalog, Request, TokenSettings};
use auth_core::decision::{Deployment, Rights, Trail, authorize, establish_token};
use auth_core::ids::Environment;
use auth_core::jws::Algorithm;
use auth_core::keyring::{Keyring, KeyringDocument};
use auth_core::openapi;
use auth_core::policy::{Breadth, routes, routes_of_one};
use auth_core::records::Facts;
use auth_core::time::Timestamp;
use auth_core::token::{Expected, UnverifiedToken, VerifiedToken};
use criterion::{Criterion, criterion_group, criterion_main};
use serde_json::{Map, Value, json};
use std::sync::Arc;

const NOW: Timestamp = Timestamp(1_800_000_000);
const ISSUER: &str = "https://auth.example";

fn keyring() -> Keyring {
    let jwks = serde_json::from_str(include_str!("../tests/corpus/private.jwks.json")).unwrap();
    let document = KeyringDocument::from_jwks(&jwks, [1; 32], [2; 32], Timestamp(0)).unwrap();
    Keyring::parse(&document.to_text()).unwrap()
}

fn token(keyring: &Keyring, algorithm: Algorithm) -> String {
    let claims = json!({"iss": ISSUER, "aud": "https://shop.example", "sub": "c1", "client_id": "c1", "iat": NOW.0,
        "nbf": NOW.0, "exp": NOW.0 + 3600, "jti": "0123456789abcdef0123456789abcdef", "scope": scopes(10).join(" "),
        "roles": ["buyer"], "token_use": "partner", "tenant": "acme", "environment": "test"});
    auth_core::jws::sign(keyring.signing_key(algorithm).unwrap(), "at+jwt", &claims).unwrap()
}

fn scopes(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("scope{n}:read")).collect()
}

fn verified(text: &str, keyring: &Keyring) -> VerifiedToken {
    let expected = Expected { issuer: ISSUER, leeway_seconds: 60, now: NOW };
    match UnverifiedToken::parse(text) {
        Ok(UnverifiedToken::Issued(token)) => token.verify(keyring, &expected).unwrap(),
        _ => panic!("no token of ours"),
    }
}

/// An API of so many operations, each with a scope of ten, a tenant and an SKU in its path.
fn catalog(operations: usize) -> Catalog {
    let paths: Map<String, Value> = (0..operations)
        .map(|n| {
            let operation = json!({"security": [{"t": [format!("scope{}:read", n % 10)]}]});
            let path =
                json!({"x-countersign-tenant": "path.tenant", "x-countersign-sku": "path.sku", "get": operation});
            (format!("/c/{{tenant}}/o{n}/{{sku}}"), path)
        })
        .collect();
    let document = json!({"openapi": "3.0.1", "info": {"title": "shop", "version": "1"}, "paths": paths,
        "components": {"securitySchemes": {"t": {"type": "http", "scheme": "bearer"}}}});
    let operations = openapi::read(&document).unwrap().operations.into_iter().map(|(_, o)| o).collect();
    let token = TokenSettings { alg: Algorithm::EdDSA, ..TokenSettings::default() };
    let name: auth_core::ids::ApiName = "shop".parse().unwrap();
    let api = Api {
        name: name.clone(),
        audience: "https://shop.example".into(),
        url: None,
        document: "shop".into(),
        token,
        operations,
    };
    Catalog { apis: [(name, api.into())].into(), ..Catalog::default() }
}

/// A grant of so many scopes and SKUs.
fn facts(scope: usize) -> Facts {
    Facts {
        client: serde_json::from_value(json!({"client_id": "c1", "kind": "single_tenant", "tenant": "acme",
            "environment": "test", "state": "active", "internal": false, "grant_types": [], "secrets": [],
            "requires_user_login": false, "apis": ["shop"], "roles": []}))
        .unwrap(),
        grant: serde_json::from_value(json!({"client_id": "c1", "tenant": "acme", "state": "approved",
            "scopes": scopes(scope), "roles": [], "skus": ["AB-1"], "suppliers": []}))
        .unwrap(),
        tenant: serde_json::from_value(json!({"id": "acme", "apis": ["shop"], "state": "active"})).unwrap(),
        ..Facts::default()
    }
}

fn rights(token: VerifiedToken, facts: Facts, catalog: &Catalog) -> Arc<Rights> {
    let deployment = Deployment { environment: Environment::Test, now: NOW };
    establish_token(token, facts, catalog, deployment, None, &mut Trail::default()).unwrap().into()
}

fn request() -> Request {
    Request { method: "GET".into(), path: "/c/acme/o0/AB-1".into(), headers: Some(Vec::new()), query: Some(Vec::new()) }
}

fn rules(criterion: &mut Criterion) {
    let keyring = keyring();
    for algorithm in Algorithm::ALL {
        let text = token(&keyring, algorithm);
        let name = algorithm.as_str();
        criterion.bench_function(&format!("parse {name}"), |b| b.iter(|| UnverifiedToken::parse(&text).is_ok()));
        criterion.bench_function(&format!("parse and verify {name}"), |b| b.iter(|| verified(&text, &keyring)));
    }
    // The bare signature of a text as long as a token's, by a key that was parsed once.
    let bare = aws_lc_rs::rsa::KeyPair::generate(aws_lc_rs::rsa::KeySize::Rsa2048).unwrap();
    let (text, random) = (token(&keyring, Algorithm::RS256), aws_lc_rs::rand::SystemRandom::new());
    let mut signature = vec![0; bare.public_modulus_len()];
    criterion.bench_function("sign RS256, aws-lc-rs alone", |b| {
        b.iter(|| bare.sign(&aws_lc_rs::signature::RSA_PKCS1_SHA256, &random, text.as_bytes(), &mut signature));
    });
    for algorithm in Algorithm::ALL {
        criterion.bench_function(&format!("claims and signature, {}", algorithm.as_str()), |b| {
            b.iter(|| token(&keyring, algorithm));
        });
    }
    let text = token(&keyring, Algorithm::EdDSA);
    let (token, request) = (verified(&text, &keyring), request());
    for scopes in [1, 10, 1_000] {
        let (catalog, facts) = (catalog(10), facts(scopes));
        criterion.bench_function(&format!("decide, grant of {scopes} scopes"), |b| {
            b.iter(|| {
                let rights = rights(token.clone(), facts.clone(), &catalog);
                let matched = catalog.find(&request.method, &request.path).unwrap();
                authorize(&rights, &matched, &request, &mut Trail::default()).is_ok()
            });
        });
    }
    for operations in [1, 100, 1_000] {
        let catalog = catalog(operations);
        let rights = rights(token.clone(), facts(10), &catalog);
        let matched = catalog.find(&request.method, &request.path).unwrap();
        criterion.bench_function(&format!("find among {operations} operations"), |b| {
            b.iter(|| catalog.find(&request.method, &request.path).is_some());
        });
        let most = 2_000;
        criterion.bench_function(&format!("routes of {operations} operations, made"), |b| {
            b.iter(|| routes_of_one(&rights, &catalog, &matched, &request, Breadth::Gateway, most).is_some());
        });
        criterion.bench_function(&format!("routes of {operations} operations, known"), |b| {
            b.iter(|| routes(&rights, &catalog, &matched, &request, Breadth::Gateway, most).is_some());
        });
    }
}

criterion_group! {
    name = all;
    config = Criterion::default().sample_size(20).measurement_time(std::time::Duration::from_secs(1))
        .warm_up_time(std::time::Duration::from_millis(300));
    targets = rules
}
criterion_main!(all);
