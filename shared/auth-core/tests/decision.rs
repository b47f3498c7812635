//! The decision and the issue of tokens, as tables. Each row starts from the case that is allowed and changes one
//! thing.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    reason = "a test says what is wrong by panicking"
)]

use auth_core::api::{Api, Catalog, Found, Request, TokenSettings};
use auth_core::decision::{
    Deployment, Rights, Trail, authorize, establish_key, establish_self_signed, establish_token,
};
use auth_core::ids::Environment;
use auth_core::issue::{Asked, NotIssued, plan_for_client, tenant_of, usable};
use auth_core::jwk::SigningKey;
use auth_core::keyring::{Keyring, KeyringDocument};
use auth_core::openapi;
use auth_core::records::Facts;
use auth_core::refusal::Reason;
use auth_core::secret::SecretText;
use auth_core::time::Timestamp;
use auth_core::token::{Expected, UnverifiedToken};
use serde_json::{Value, json};
use std::sync::OnceLock;

const NOW: Timestamp = Timestamp(1_800_000_000);
const ISSUER: &str = "https://auth.example";

fn jwks() -> &'static Value {
    static JWKS: OnceLock<Value> = OnceLock::new();
    JWKS.get_or_init(|| serde_json::from_str(include_str!("../../../tests/corpus/private.jwks.json")).unwrap())
}

fn keyring() -> &'static Keyring {
    static KEYRING: OnceLock<Keyring> = OnceLock::new();
    KEYRING.get_or_init(|| {
        let document = KeyringDocument::from_jwks(jwks(), [1; 32], [2; 32], auth_core::time::Timestamp(0)).unwrap();
        Keyring::parse(&document.to_text()).unwrap()
    })
}

fn document() -> Value {
    json!({
        "openapi": "3.0.1", "info": {"title": "Orders", "version": "1"},
        "components": {"securitySchemes": {"jwt": {"type": "http", "scheme": "bearer"},
            "key": {"type": "apiKey", "in": "header", "name": "ApiKey"}}},
        "paths": {
            "/t/{tenant}/skus/{sku}": {"get": {"x-countersign-tenant": "path.tenant", "x-countersign-sku": "path.sku",
                "x-countersign-supplier": "header.X-Supplier", "security": [{"jwt": ["sku:read"]}]}},
            "/orders": {"get": {"security": [{"jwt": ["orders:read"]}]}, "post": {"x-countersign-refusal": 401, "security": [{"jwt": ["orders:write"]}]}},
            "/by-header": {"get": {"x-countersign-tenant": "header.X-Tenant", "security": [{"jwt": []}]}},
            "/cart": {"get": {"x-countersign-subject": "customer", "security": [{"jwt": ["cart:read"]}]}},
            "/admin": {"get": {"x-countersign-subject": "internal", "security": [{"jwt": ["admin:do"]}]}},
            "/keyed": {"get": {"security": [{"key": ["orders:read"]}]}},
            "/keyed/{tenant}": {"get": {"x-countersign-tenant": "path.tenant", "security": [{"key": []}]}},
        },
    })
}

/// Everything that a decision rests on, as it is when it allows.
fn world() -> Value {
    json!({
        "token": {"iss": ISSUER, "aud": "https://orders.example", "sub": "c1", "client_id": "c1", "iat": NOW.0 - 10,
            "exp": NOW.0 + 600, "jti": "j1", "scope": "sku:read orders:read orders:write cart:read", "token_use": "partner", "tenant": "acme",
            "environment": "test"},
        "client": {"client_id": "c1", "kind": "single_tenant", "tenant": "acme", "environment": "test", "state": "active",
            "internal": false, "grant_types": ["client_credentials"], "secrets": [], "requires_user_login": false,
            "apis": ["orders"], "roles": []},
        "grant": {"client_id": "c1", "tenant": "acme", "state": "approved", "scopes": ["sku:read"], "roles": ["reader"],
            "skus": ["AB-*"], "suppliers": ["S1"]},
        "tenant": {"id": "acme", "apis": ["orders"], "state": "active"},
        "customer": {"tenant": "acme", "customer_id": "cu-1", "password": "", "scopes": ["cart:read"], "state": "active"},
        "key": {"key_id": "k1", "client_id": "c1", "tenant": "acme", "apis": ["orders"], "environment": "test", "state": "active"},
        "roles": {"reader": ["orders:read"]},
        "alg": "ES256", "revoked": false, "last_seen": null, "idle_seconds": null,
        "request": {"method": "GET", "path": "/t/acme/skus/AB-1", "headers": {"X-Supplier": "S1"}},
    })
}

fn catalog(world: &Value) -> Catalog {
    let api = Api {
        name: "orders".parse().unwrap(),
        audience: "https://orders.example".into(),
        url: None,
        document: "orders".into(),
        token: TokenSettings {
            alg: serde_json::from_value(world["alg"].clone()).unwrap(),
            idle_seconds: world["idle_seconds"].as_i64(),
            ..TokenSettings::default()
        },
        operations: openapi::read(&document()).unwrap().operations.into_iter().map(|(_, o)| o).collect(),
    };
    Catalog {
        apis: [(api.name.clone(), api.into())].into(),
        roles: serde_json::from_value(world["roles"].clone()).unwrap(),
        ..Catalog::default()
    }
}

fn facts(world: &Value) -> Facts {
    let record = |name: &str| world[name].clone();
    Facts {
        client: serde_json::from_value(record("client")).unwrap(),
        grant: serde_json::from_value(record("grant")).unwrap(),
        tenant: serde_json::from_value(record("tenant")).unwrap(),
        customer: serde_json::from_value(record("customer")).unwrap(),
        key: serde_json::from_value(record("key")).unwrap(),
        revoked: world["revoked"].as_bool().unwrap(),
        last_seen: world["last_seen"].as_i64().map(Timestamp),
    }
}

fn request(world: &Value) -> Request {
    let headers = world["request"]["headers"].as_object().unwrap();
    Request {
        method: world["request"]["method"].as_str().unwrap().into(),
        path: world["request"]["path"].as_str().unwrap().into(),
        headers: Some(headers.iter().map(|(n, v)| (n.to_lowercase(), v.as_str().unwrap().to_owned())).collect()),
        query: Some(Vec::new()),
    }
}

fn deployment() -> Deployment {
    Deployment { environment: Environment::Test, now: NOW }
}

fn expected() -> Expected<'static> {
    Expected { issuer: ISSUER, leeway_seconds: 60, now: NOW }
}

fn outcome(world: &Value, rights: impl FnOnce(&Catalog, &mut Trail) -> Result<Rights, Reason>) -> i32 {
    let catalog = catalog(world);
    let request = request(world);
    let trail = &mut Trail::kept(true);
    let matched = catalog.find(&request.method, &request.path).unwrap();
    let result = rights(&catalog, trail).and_then(|rights| authorize(&rights.into(), &matched, &request, trail));
    let last = trail.checks().last().unwrap();
    assert_eq!(last.passed, result.is_ok(), "the trail ends where the decision ends");
    match result {
        Ok(_) => 0,
        Err(reason) if reason.status() == 401 && reason.refusal.status() != 401 => 401,
        Err(reason) => reason.refusal.code(),
    }
}

fn by_token(world: &Value) -> i32 {
    let key = jwks()["keys"].as_array().unwrap().iter().find(|k| k["alg"] == "ES256").unwrap();
    let token = auth_core::jws::sign(&SigningKey::from_jwk(key).unwrap(), "at+jwt", &world["token"]).unwrap();
    outcome(world, |catalog, trail| {
        let UnverifiedToken::Issued(token) = UnverifiedToken::parse(&token)? else { panic!("not issued") };
        let token = trail.note("signature and claims", token.verify(keyring(), &expected()))?;
        establish_token(
            token,
            facts(world),
            catalog,
            deployment(),
            catalog.apis.values().next().map(AsRef::as_ref),
            trail,
        )
    })
}

fn by_key(world: &Value) -> i32 {
    let path = world["request"]["path"].as_str().unwrap().to_owned();
    outcome(world, |catalog, trail| {
        let requested = path.strip_prefix("/keyed/").map_or(Found::Unseen, Found::One);
        establish_key(facts(world), catalog, deployment(), &requested, trail)
    })
}

fn by_own_token(world: &Value) -> i32 {
    let mut world = world.clone();
    let sealed = keyring().sealing.seal("c1", &SecretText::new("the partner's secret"), [3; 12]).unwrap();
    world["client"]["self_signing"] = json!({"secrets": [{"sealed": sealed}], "max_lifetime_seconds": 3600});
    let header = auth_core::secret::base64url(b"{\"alg\":\"HS256\",\"typ\":\"JWT\"}");
    let claims = json!({"clientId": "c1", "iat": NOW.0, "exp": NOW.0 + 900});
    let text = format!("{header}.{}", auth_core::secret::base64url(claims.to_string().as_bytes()));
    let tag = aws_lc_rs::hmac::sign(
        &aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, b"the partner's secret"),
        text.as_bytes(),
    );
    let token = format!("{text}.{}", auth_core::secret::base64url(tag.as_ref()));
    outcome(&world, |catalog, trail| {
        let UnverifiedToken::SelfSigned(token) = UnverifiedToken::parse(&token)? else { panic!("not self-signed") };
        let facts = facts(&world);
        let token = token.verify(facts.client.as_deref(), keyring(), &expected(), &[]).unwrap();
        let token = trail.note("signature and claims", token)?;
        let tenant = "acme".parse().unwrap();
        establish_self_signed(&token, Some(&tenant), facts, catalog, deployment(), trail)
    })
}

type Change<'a> = (&'a str, Value);

fn changed(changes: &[Change<'_>]) -> Value {
    let mut world = world();
    for (pointer, value) in changes {
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        world.pointer_mut(parent).unwrap()[name] = value.clone();
    }
    world
}

#[test]
fn a_bearer_token_and_one_change() {
    let to = |method: &str, path: &str| ("/request", json!({"method": method, "path": path, "headers": {}}));
    let customer = || {
        vec![
            ("/token/token_use", json!("customer")),
            ("/token/sub", json!("cu-1")),
            ("/token/customer_id", json!("cu-1")),
            to("GET", "/cart"),
        ]
    };
    let internal = || {
        vec![
            ("/client/kind", json!("multi_tenant")),
            ("/client/tenant", json!(null)),
            ("/client/internal", json!(true)),
            ("/client/roles", json!(["admin"])),
            ("/roles/admin", json!(["admin:do"])),
            ("/token/token_use", json!("internal")),
            ("/token/scope", json!("admin:do")),
            ("/token/tenant", json!("acme")),
            to("GET", "/admin"),
        ]
    };
    let also = |mut changes: Vec<Change<'static>>, more: Change<'static>| {
        changes.push(more);
        changes
    };
    let details = |details: Value| vec![("/token/authorization_details", details)];
    let limited = |mut detail: Value| {
        detail["type"] = json!("countersign_access");
        details(json!([detail]))
    };
    let two_limits = |path: &str| {
        let limits = json!([
            {"type": "countersign_access", "actions": ["sku:read"], "skus": ["AB-1"]},
            {"type": "countersign_access", "actions": ["orders:read"], "skus": ["AB-2"]},
        ]);
        also(details(limits), ("/request/path", json!(path)))
    };
    let exchanged = || vec![("/token/key_ref", json!(auth_core::secret::base64url(&[0; 32])))];
    let rows: Vec<(&str, Vec<Change<'_>>, i32)> = vec![
        ("nothing changed", vec![], 0),
        ("limits that are none of ours", details(json!([{"type": "payment_initiation"}])), -21),
        ("limits that are no list", details(json!({"type": "countersign_access"})), -21),
        ("a scope by a role", vec![to("GET", "/orders")], 0),
        (
            "a tenant in a header",
            vec![("/request", json!({"method": "GET", "path": "/by-header", "headers": {"X-Tenant": "acme"}}))],
            0,
        ),
        ("another environment", vec![("/token/environment", json!("live"))], -21),
        ("a revoked token", vec![("/revoked", json!(true))], -24),
        ("an expired one", vec![("/token/exp", json!(NOW.0 - 61)), ("/token/iat", json!(NOW.0 - 100))], -22),
        ("no such client", vec![("/client", json!(null))], -21),
        ("a suspended client", vec![("/client/state", json!("suspended"))], -21),
        ("a client of the other environment", vec![("/client/environment", json!("live"))], -21),
        ("all tokens of the client revoked since", vec![("/client/tokens_not_before", json!(NOW.0 - 5))], -24),
        ("all tokens revoked before this one", vec![("/client/tokens_not_before", json!(NOW.0 - 20))], 0),
        (
            "a kind that was changed",
            vec![("/client/kind", json!("dynamic_tenant")), ("/client/tenant", json!(null))],
            -21,
        ),
        ("an API that wants another algorithm", vec![("/alg", json!("RS256"))], -21),
        ("the API taken away", vec![("/client/apis", json!([]))], -33),
        ("narrowed to another API", vec![("/token/aud", json!("https://other.example"))], -21),
        ("the tenant lost the API", vec![("/tenant/apis", json!([]))], -33),
        ("the tenant disabled", vec![("/tenant/state", json!("disabled"))], -31),
        ("no such tenant", vec![("/tenant", json!(null))], -31),
        ("no grant", vec![("/grant", json!(null))], -31),
        ("a grant only asked for", vec![("/grant/state", json!("requested"))], -31),
        ("a grant withdrawn", vec![("/grant/state", json!("revoked"))], -31),
        ("a grant that ended", vec![("/grant/not_after", json!(NOW.0))], -31),
        ("a grant that ends in a second", vec![("/grant/not_after", json!(NOW.0 + 1))], 0),
        ("a grant of another client", vec![("/grant/client_id", json!("c2"))], -31),
        ("a grant of another tenant", vec![("/grant/tenant", json!("globex"))], -31),
        ("a token for another tenant than the client's", vec![("/token/tenant", json!("globex"))], -31),
        ("another tenant in the path", vec![("/request/path", json!("/t/globex/skus/AB-1"))], -31),
        (
            "another tenant in the header",
            vec![("/request", json!({"method": "GET", "path": "/by-header", "headers": {"X-Tenant": "globex"}}))],
            -31,
        ),
        ("no tenant in the header", vec![to("GET", "/by-header")], -31),
        ("a scope that the token lacks", vec![("/token/scope", json!("orders:read"))], -30),
        ("a scope that the grant lost", vec![("/grant/scopes", json!([]))], -30),
        ("a role that lost its scope", vec![("/roles/reader", json!([])), to("GET", "/orders")], -30),
        ("a missing scope answered with 401", vec![to("POST", "/orders")], 401),
        ("another SKU", vec![("/request/path", json!("/t/acme/skus/ZZ-1"))], -32),
        ("no SKU granted", vec![("/grant/skus", json!([]))], -32),
        ("an SKU with an escape", vec![("/request/path", json!("/t/acme/skus/AB-%2F"))], -32),
        ("an SKU that is a pattern", vec![("/request/path", json!("/t/acme/skus/AB-*"))], -32),
        ("another supplier", vec![("/request/headers", json!({"X-Supplier": "S2"}))], -40),
        ("no supplier", vec![("/request/headers", json!({}))], -40),
        ("a partner on a customer API", vec![to("GET", "/cart")], -34),
        ("a partner on an internal API", vec![to("GET", "/admin")], -34),
        ("a partner on an API of keys", vec![to("GET", "/keyed")], -23),
        ("limited to its SKUs", limited(json!({"skus": ["AB-*"]})), 0),
        ("limited to this SKU", limited(json!({"skus": ["AB-1"]})), 0),
        ("limited to others", limited(json!({"skus": ["AB-2*"]})), -32),
        ("limited to more than the grant says now", limited(json!({"skus": ["AB-1", "ZZ-*"]})), 0),
        (
            "limited to what the grant says no more",
            also(limited(json!({"skus": ["AB-1"]})), ("/grant/skus", json!(["AB-2"]))),
            -32,
        ),
        (
            "limited to more than what is left of the grant",
            also(limited(json!({"skus": ["AB-*"]})), ("/grant/skus", json!(["AB-1"]))),
            0,
        ),
        ("limited to this action", limited(json!({"actions": ["sku:read"]})), 0),
        ("limited to another action", limited(json!({"actions": ["orders:read"]})), -30),
        (
            "limited to an action, where none is asked for",
            also(
                limited(json!({"actions": ["orders:read"]})),
                ("/request", json!({"method": "GET", "path": "/by-header", "headers": {"X-Tenant": "acme"}})),
            ),
            0,
        ),
        ("limited to this API", limited(json!({"locations": ["https://orders.example"]})), 0),
        ("limited to another API", limited(json!({"locations": ["https://other.example"]})), -30),
        (
            "limited to SKUs, on an operation without one",
            also(limited(json!({"skus": ["AB-*"]})), to("GET", "/orders")),
            -30,
        ),
        ("two limits, one of them right", two_limits("/t/acme/skus/AB-1"), 0),
        ("two limits, the action of one and the SKU of the other", two_limits("/t/acme/skus/AB-2"), -32),
        ("exchanged for a key", exchanged(), 0),
        ("exchanged for a key that is unknown", also(exchanged(), ("/key", json!(null))), -24),
        ("exchanged for a key that was revoked", also(exchanged(), ("/key/state", json!("revoked"))), -24),
        ("exchanged for a key that has expired", also(exchanged(), ("/key/expires_at", json!(NOW.0))), -24),
        ("exchanged for a key of another client", also(exchanged(), ("/key/client_id", json!("c2"))), -24),
        ("exchanged for a key that lost the API", also(exchanged(), ("/key/apis", json!([]))), -33),
        ("unused for as long as it may", vec![("/idle_seconds", json!(100)), ("/last_seen", json!(NOW.0 - 110))], 0),
        ("unused for longer", vec![("/idle_seconds", json!(100)), ("/last_seen", json!(NOW.0 - 111))], -22),
        ("never used, just issued", vec![("/idle_seconds", json!(100))], 0),
        ("a customer on a customer API", customer(), 0),
        ("a customer on a partner API", also(customer(), to("GET", "/orders")), -34),
        ("a disabled customer", also(customer(), ("/customer/state", json!("disabled"))), -21),
        ("no such customer", also(customer(), ("/customer", json!(null))), -21),
        ("a login that is another customer's now", also(customer(), ("/customer/customer_id", json!("cu-2"))), -21),
        ("a customer that lost the scope", also(customer(), ("/customer/scopes", json!([]))), -30),
        ("a customer of a disabled tenant", also(customer(), ("/tenant/state", json!("disabled"))), -33),
        ("an internal client on an internal API", internal(), 0),
        (
            "a multi_tenant client that is not marked internal",
            also(internal(), ("/client/internal", json!(false))),
            -21,
        ),
        ("an internal client on a tenant's data", also(internal(), to("GET", "/orders")), -31),
        ("an internal client that lost its role", also(internal(), ("/client/roles", json!([]))), -30),
    ];
    for (sentence, changes, want) in rows {
        assert_eq!(by_token(&changed(&changes)), want, "{sentence}");
    }
}

#[test]
fn an_api_key_and_one_change() {
    let to = |path: &str| ("/request", json!({"method": "GET", "path": path, "headers": {}}));
    let rows: Vec<(&str, Vec<Change<'_>>, i32)> = vec![
        ("nothing changed", vec![], 0),
        ("on its own tenant", vec![to("/keyed/acme")], 0),
        ("on another tenant", vec![to("/keyed/globex")], -23),
        ("unknown", vec![("/key", json!(null))], -23),
        ("revoked", vec![("/key/state", json!("revoked"))], -23),
        ("expired", vec![("/key/expires_at", json!(NOW.0))], -23),
        ("of the other environment", vec![("/key/environment", json!("live"))], -23),
        ("of a suspended client", vec![("/client/state", json!("suspended"))], -23),
        ("of a client that is gone", vec![("/client", json!(null))], -23),
        ("not for the API", vec![("/key/apis", json!([]))], -33),
        ("the tenant lacks the API", vec![("/tenant/apis", json!([]))], -33),
        ("the grant withdrawn", vec![("/grant/state", json!("revoked"))], -31),
        ("without the scope", vec![("/grant/roles", json!([]))], -30),
        ("on an API of tokens", vec![to("/orders")], -21),
    ];
    for (sentence, changes, want) in rows {
        let mut all = vec![to("/keyed")];
        all.extend(changes);
        assert_eq!(by_key(&changed(&all)), want, "{sentence}");
    }
}

#[test]
fn a_self_signed_token_and_one_change() {
    let rows: Vec<(&str, Vec<Change<'_>>, i32)> = vec![
        ("nothing changed", vec![], 0),
        ("the client suspended", vec![("/client/state", json!("suspended"))], -21),
        ("the API taken away", vec![("/client/apis", json!([]))], -33),
        ("the grant withdrawn", vec![("/grant/state", json!("revoked"))], -31),
        ("without the scope", vec![("/grant/scopes", json!([]))], -30),
        ("another tenant in the path", vec![("/request/path", json!("/t/globex/skus/AB-1"))], -31),
    ];
    for (sentence, changes, want) in rows {
        assert_eq!(by_own_token(&changed(&changes)), want, "{sentence}");
    }
}

#[test]
fn a_token_request_and_one_change() {
    let plain = Asked::default();
    let dynamic = || {
        vec![
            ("/client/kind", json!("dynamic_tenant")),
            ("/client/tenant", json!(null)),
            ("/client/internal", json!(true)),
        ]
    };
    let multi = || {
        vec![
            ("/client/kind", json!("multi_tenant")),
            ("/client/tenant", json!(null)),
            ("/client/internal", json!(true)),
        ]
    };
    let with = |mut changes: Vec<Change<'static>>, more: Change<'static>| {
        changes.push(more);
        changes
    };
    let acme = Asked { tenant: Some("acme"), ..plain };
    let details = |details: &'static str| Asked { details: Some(details), ..plain };
    let rows: Vec<(&str, Vec<Change<'_>>, Asked<'_>, &str)> = vec![
        ("nothing changed", vec![], plain, "orders:read sku:read"),
        ("its own tenant named", vec![], acme, "orders:read sku:read"),
        ("another tenant named", vec![], Asked { tenant: Some("globex"), ..plain }, "invalid_target"),
        ("a malformed tenant", vec![], Asked { tenant: Some("*"), ..plain }, "invalid_request"),
        ("fewer scopes", vec![], Asked { scope: Some("sku:read"), ..plain }, "sku:read"),
        ("a scope more", vec![], Asked { scope: Some("sku:read sku:write"), ..plain }, "invalid_scope"),
        ("a malformed scope", vec![], Asked { scope: Some("sku:\"read"), ..plain }, "invalid_scope"),
        (
            "an API by its audience",
            vec![],
            Asked { resource: Some("https://orders.example"), ..plain },
            "orders:read sku:read",
        ),
        ("an API by its name", vec![], Asked { resource: Some("orders"), ..plain }, "orders:read sku:read"),
        ("an unknown API", vec![], Asked { resource: Some("https://other"), ..plain }, "invalid_target"),
        (
            "an API of others",
            vec![("/client/apis", json!([]))],
            Asked { resource: Some("orders"), ..plain },
            "invalid_target",
        ),
        (
            "limits within the grant",
            vec![],
            details(r#"[{"type":"countersign_access","skus":["AB-1*"]}]"#),
            "orders:read sku:read",
        ),
        ("limited actions", vec![], details(r#"[{"type":"countersign_access","actions":["sku:read"]}]"#), "sku:read"),
        (
            "an action beyond the scope that is asked for",
            vec![],
            Asked {
                scope: Some("orders:read"),
                ..details(r#"[{"type":"countersign_access","actions":["sku:read"]}]"#)
            },
            "invalid_authorization_details",
        ),
        (
            "SKUs beyond the grant",
            vec![],
            details(r#"[{"type":"countersign_access","skus":["A*"]}]"#),
            "invalid_authorization_details",
        ),
        (
            "an API beyond the token",
            vec![],
            details(r#"[{"type":"countersign_access","locations":["https://other.example"]}]"#),
            "invalid_authorization_details",
        ),
        ("limits of another type", vec![], details(r#"[{"type":"x"}]"#), "invalid_authorization_details"),
        ("no API at all", vec![("/client/apis", json!([]))], plain, "orders:read sku:read"),
        ("pending", vec![("/client/state", json!("pending"))], plain, "invalid_client"),
        ("suspended", vec![("/client/state", json!("suspended"))], plain, "invalid_client"),
        ("of the other environment", vec![("/client/environment", json!("live"))], plain, "invalid_client"),
        ("may not ask for tokens", vec![("/client/grant_types", json!([]))], plain, "unauthorized_client"),
        ("the grant only asked for", vec![("/grant/state", json!("requested"))], plain, "invalid_target"),
        ("a user_login is wanted", vec![("/client/requires_user_login", json!(true))], plain, "invalid_request"),
        (
            "and there",
            vec![("/client/requires_user_login", json!(true))],
            Asked { user_login: Some("guy"), ..plain },
            "orders:read sku:read",
        ),
        ("dynamic, with its tenant", dynamic(), acme, "orders:read sku:read"),
        ("dynamic, without", dynamic(), plain, "invalid_request"),
        (
            "dynamic, but not the platform's own",
            with(dynamic(), ("/client/internal", json!(false))),
            acme,
            "unauthorized_client",
        ),
        ("multi", multi(), plain, ""),
        ("multi, with a tenant", multi(), acme, "invalid_target"),
        ("multi, with a role", with(multi(), ("/client/roles", json!(["reader"]))), plain, "orders:read"),
    ];
    for (sentence, changes, asked, want) in rows {
        let world = changed(&changes);
        let facts = facts(&world);
        let client = facts.client.clone().unwrap();
        let planned =
            usable(&client, deployment()).map_err(|why| NotIssued::InvalidClient(why.into())).and_then(|()| {
                let tenant = tenant_of(&client, asked)?;
                plan_for_client(facts, tenant.as_ref(), asked, &catalog(&world), deployment())
            });
        let got = match planned {
            Ok(plan) => plan.scope(),
            Err(NotIssued::InvalidClient(_)) => "invalid_client".into(),
            Err(NotIssued::UnauthorizedClient) => "unauthorized_client".into(),
            Err(NotIssued::InvalidRequest(_)) => "invalid_request".into(),
            Err(NotIssued::InvalidScope) => "invalid_scope".into(),
            Err(NotIssued::InvalidDetails) => "invalid_authorization_details".into(),
            Err(NotIssued::InvalidTarget(_)) => "invalid_target".into(),
        };
        assert_eq!(got, want, "{sentence}");
    }
}
