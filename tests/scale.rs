//! Ten thousand clients and a hundred thousand grants.

use crate::harness::Dev;
use serde_json::{Value, json};

#[tokio::test]
async fn a_large_seed_starts_with_progress_and_its_clients_work() {
    let clients: Vec<Value> = (0..10_000)
        .map(|i| {
            let grants: Vec<Value> = (0..10)
                .map(|j| json!({"tenant": format!("t{}", (i + j) % 1000), "state": "approved", "scopes": ["a:read"]}))
                .collect();
            json!({"client_id": format!("c{i}"), "client_secret": format!("secret-{i}"), "kind": "dynamic_tenant",
                "apis": ["things"], "grants": grants})
        })
        .collect();
    let tenants: Vec<Value> = (0..1000).map(|i| json!({"id": format!("t{i}"), "apis": ["things"]})).collect();
    let api = json!({"openapi": "3.0.1", "info": {"title": "Things", "version": "1"},
        "components": {"securitySchemes": {"t": {"type": "http", "scheme": "bearer"}}},
        "paths": {"/a": {"get": {"security": [{"t": ["a:read"]}]}}}});
    let seed = json!({"apis": [{"name": "things", "openapi": "api.json", "token": {"alg": "ES256"}}], "tenants": tenants, "clients": clients});
    let files = [("seed.json", seed.to_string()), ("api.json", api.to_string())];
    let dev = Dev::start(&["--seed", "FOLDER/seed.json"], &files, &[]);
    assert!(dev.warned_so("seeding: 100000 of"), "progress is shown");
    let token = dev.token("c9999", &[("tpl", "t8")]).await;
    assert_eq!(dev.with_token(&token, "GET", "/a", "").await.status, 200);
    let refused = dev.token_answer("c9999", &[("tpl", "t9")]).await;
    assert_eq!(refused.json["error"], "invalid_target");
}
