//! Every statement of the five source documents that one machine can show. Each row begins with the number of its
//! statement: `r1_23` is statement 1.23.

use crate::harness::{Answer, Dev, basic};
use auth_core::records::{ApiKey, Grant, Tenant};
use auth_core::secret::{Digest, DigestOf};
use auth_store::store::Record;
use serde_json::{Value, json};
use std::fmt::Debug;
use std::time::{SystemTime, UNIX_EPOCH};

/// A table of sentences; says all that do not hold, not only the first.
#[derive(Default)]
struct Table(Vec<String>);

impl Table {
    fn row<T: PartialEq + Debug>(&mut self, sentence: &str, got: T, want: T) {
        if got != want {
            self.0.push(format!("{sentence}\n    got {got:?}, want {want:?}"));
        }
    }
}

impl Drop for Table {
    fn drop(&mut self) {
        assert!(
            std::thread::panicking() || self.0.is_empty(),
            "{} rows do not hold:\n{}",
            self.0.len(),
            self.0.join("\n")
        );
    }
}

fn now() -> i64 {
    #[expect(clippy::disallowed_methods, reason = "a test has the time that the product has")]
    let now = SystemTime::now();
    i64::try_from(now.duration_since(UNIX_EPOCH).unwrap().as_secs()).unwrap()
}

fn claims(token: &str) -> Value {
    part(token, 1)
}

fn part(token: &str, index: usize) -> Value {
    let text = token.split('.').nth(index).unwrap();
    serde_json::from_slice(&auth_core::secret::from_base64url(text).unwrap()).unwrap()
}

/// A token as a partner signs it.
fn signed(claims: &Value, secret: &str) -> String {
    let key = jsonwebtoken::EncodingKey::from_secret(secret.as_bytes());
    jsonwebtoken::encode(&jsonwebtoken::Header::default(), claims, &key).unwrap()
}

/// The token with its last letter changed in a way that changes the signature.
fn broken(token: &str) -> String {
    let (rest, last) = token.split_at(token.len() - 6);
    format!("{rest}{}", if last.starts_with('A') { last.replacen('A', "B", 1) } else { format!("A{}", &last[1..]) })
}

const SKU: &str = "/clients/acme/skus/AB-1";
const ACME_GUID: &str = "5b7f1a52-6c0d-4a39-9d5c-0d3f2b1a7e10";
const OTHER_GUID: &str = "9e2c84d1-3f7b-4d60-8a1e-7c5b6f4e2d21";
const KEY: &str = "ak_test_8f3b1c0e5a4d4f2c9b1e7d6c5a4b3c2d";

async fn sku(dev: &Dev, token: &str, method: &str, path: &str, supplier: Option<&str>, body: &str) -> Answer {
    let bearer = format!("Bearer {token}");
    let mut headers = vec![("Authorization", bearer.as_str()), ("Content-Type", "application/json")];
    headers.extend(supplier.map(|s| ("X-Partner-Supplier", s)));
    dev.call(method, path, &headers, body).await
}

fn grant(client: &str, tenant: &str, state: &str, scopes: &[&str], roles: &[&str]) -> Record {
    let grant = json!({"client_id": client, "tenant": tenant, "state": state, "scopes": scopes, "roles": roles,
        "skus": ["*"], "suppliers": ["S-100", "G-7"]});
    Record::Grant(serde_json::from_value::<Grant>(grant).unwrap())
}

async fn change(dev: &Dev, record: Record) {
    dev.gate().store.load(vec![record], |_| ()).await.unwrap();
}

#[tokio::test]
async fn document_0_a_partner_api_with_tenants_skus_and_suppliers() {
    let dev = Dev::demo();
    let mut t = Table::default();
    let token = dev.token("gains-partner", &[]).await;
    t.row("r0_01 the token is a JWT of three parts", token.split('.').count(), 3);
    for (method, path) in [
        ("GET", SKU),
        ("PUT", SKU),
        ("POST", "/Orders/Create"),
        ("GET", "/portfolio"),
        ("POST", "/messages/claim"),
        ("GET", "/customers/17"),
        ("GET", "/Storefront/Cart"),
    ] {
        let answer = dev.call(method, path, &[], "").await;
        t.row(&format!("r0_02 {method} {path} without a token"), answer.outcome(), (401, -21));
        t.row(&format!("r0_20 {method} {path} says Bearer"), answer.header("www-authenticate"), Some("Bearer"));
    }
    let pending = dev.token_answer("gains-pending", &[]).await;
    t.row(
        "r0_03 a pending partner gets no token",
        (pending.status, pending.json["error"].clone()),
        (401, json!("invalid_client")),
    );
    t.row("r0_05 a token in the header is taken", sku(&dev, &token, "GET", SKU, Some("S-100"), "").await.status, 200);
    let in_query =
        dev.call("GET", &format!("{SKU}?access_token={token}&Authorization=Bearer%20{token}"), &[], "").await;
    t.row("r0_05 a token in the query is not", in_query.status, 401);
    let cookie = format!("access_token={token}; Authorization=Bearer {token}");
    t.row("r0_05 nor one in a cookie", dev.call("GET", SKU, &[("Cookie", &cookie)], "").await.status, 401);
    let other_tenant = sku(&dev, &token, "GET", "/clients/globex/skus/AB-1", Some("S-100"), "").await;
    t.row("r0_06 the same token is not for a tenant that did not grant it", other_tenant.outcome(), (403, -31));
    t.row(
        "r0_07 the scheme is Bearer",
        dev.call("GET", SKU, &[("Authorization", &format!("Token {token}"))], "").await.status,
        401,
    );
    t.row(
        "r0_08 a missing supplier code is refused",
        sku(&dev, &token, "GET", SKU, None, "").await.outcome(),
        (422, -40),
    );
    t.row("r0_08 a code of the grant passes", sku(&dev, &token, "GET", SKU, Some("S-101"), "").await.status, 200);
    t.row(
        "r0_19 a code that is not the partner's is 422",
        sku(&dev, &token, "GET", SKU, Some("OTHER"), "").await.outcome(),
        (422, -40),
    );
    t.row(
        "r0_22 so is a code in another case",
        sku(&dev, &token, "GET", SKU, Some("s-100"), "").await.outcome(),
        (422, -40),
    );
    let bearer = format!("Bearer {token}");
    let text = [("Authorization", bearer.as_str()), ("X-Partner-Supplier", "S-100"), ("Content-Type", "text/plain")];
    t.row(
        "r0_09 another media type than JSON is 415",
        dev.call("PUT", SKU, &text, "{\"vendorLeadTimeDays\":1}").await.outcome(),
        (415, -41),
    );
    let put = |body: &'static str| sku(&dev, &token, "PUT", SKU, Some("S-100"), body);
    t.row("r0_09 JSON passes", put("{\"vendorLeadTimeDays\":1}").await.status, 200);

    for (tenant, supplier) in [("acme", "S-100"), ("globex", "G-7")] {
        let token = dev.token("gains-multi", &[("tpl", tenant)]).await;
        let path = format!("/clients/{tenant}/skus/AB-1");
        t.row(
            &format!("r0_10 one partner works for {tenant}"),
            sku(&dev, &token, "GET", &path, Some(supplier), "").await.status,
            200,
        );
    }
    let (a, c) =
        (dev.token("gains-multi", &[("tpl", "acme")]).await, dev.token("gains-multi", &[("tpl", "globex")]).await);
    change(&dev, grant("gains-multi", "acme", "revoked", &["sku:read"], &[])).await;
    t.row(
        "r0_11 a withdrawn grant refuses the next call",
        sku(&dev, &a, "GET", SKU, Some("S-100"), "").await.outcome(),
        (403, -31),
    );
    t.row(
        "r0_11 the other grant stands",
        sku(&dev, &c, "GET", "/clients/globex/skus/AB-1", Some("G-7"), "").await.status,
        200,
    );
    t.row(
        "r0_11 and no new token for the withdrawn one",
        dev.token_answer("gains-multi", &[("tpl", "acme")]).await.json["error"].clone(),
        json!("invalid_target"),
    );

    t.row(
        "r0_12 an SKU outside the grant",
        sku(&dev, &token, "GET", "/clients/acme/skus/ZZ-1", Some("S-100"), "").await.outcome(),
        (403, -32),
    );
    let reader = dev.token("gains-reader", &[]).await;
    t.row("r0_13 a read-only grant reads", sku(&dev, &reader, "GET", SKU, Some("S-100"), "").await.status, 200);
    let write = sku(&dev, &reader, "PUT", SKU, Some("S-100"), "{\"vendorLeadTimeDays\":1}").await;
    t.row("r0_13 and does not write", write.outcome(), (403, -30));

    for (what, body) in [
        ("no JSON", "{"),
        ("a member missing", "{}"),
        ("a member too many", "{\"vendorLeadTimeDays\":1,\"x\":1}"),
        ("a member twice", "{\"vendorLeadTimeDays\":1,\"vendorLeadTimeDays\":2}"),
    ] {
        let answer = put(body).await;
        t.row(&format!("r0_18 {what} is refused"), answer.outcome(), (400, -41));
        t.row(
            &format!("r0_18 {what}: by the gateway, before the backend"),
            answer.header("x-amzn-errortype").is_some(),
            true,
        );
    }
    for (what, token) in
        [("garbage", "x.y.z".to_owned()), ("a changed signature", broken(&token)), ("nothing", String::new())]
    {
        t.row(
            &format!("r0_20 {what} is 401"),
            sku(&dev, &token, "GET", SKU, Some("S-100"), "").await.outcome(),
            (401, -21),
        );
    }
    for (what, path) in [
        ("an escaped slash", "/clients/acme/skus/AB-%2F"),
        ("dots", "/clients/acme/skus/.."),
        ("a star", "/clients/acme/skus/AB-*"),
        ("a question mark escaped", "/clients/acme/skus/AB-%3F"),
        ("a double slash", "/clients/acme//skus/AB-1"),
        ("a star for a tenant", "/clients/*/skus/AB-1"),
    ] {
        let answer = sku(&dev, &token, "GET", path, Some("S-100"), "").await;
        t.row(&format!("r0_21 {what} in the path is 403"), answer.status, 403);
    }
    let who = sku(&dev, &token, "GET", "/test/partner", None, "").await;
    t.row(
        "r0_26 the test endpoint says who one is",
        who.json["authorizer"]["client_id"].clone(),
        json!("gains-partner"),
    );
    t.row("r0_26 and for whom", who.json["authorizer"]["tenant"].clone(), json!("acme"));
    t.row("r0_26 and with which supplier codes", who.json["authorizer"]["suppliers"].clone(), json!("S-100 S-101"));
    t.row("r0_26 and what one may do", who.json["authorizer"]["scope"].clone(), json!("sku:read sku:write"));
    let later = dev.token("gains-partner", &[]).await;
    t.row("r0_16 a new token is another one", claims(&later)["jti"] != claims(&token)["jti"], true);
    t.row("r0_16 and lives as long or longer", claims(&later)["exp"].as_i64() >= claims(&token)["exp"].as_i64(), true);
}

#[tokio::test]
async fn document_0_audit_expiry_rates_and_environments() {
    let mut t = Table::default();
    let api = API.replace("TITLE", "Partner");
    let seed = json!({
        "issuer": "https://auth.example.test", "environment": "live", "keyring": "keys.json",
        "apis": [{"name": "partner", "openapi": "api.yaml", "audience": "https://api.example.test", "token": {"alg": "ES256"}}],
        "tenants": [{"id": "acme", "apis": ["partner"]}],
        "clients": [
            client("c1", json!({"rate": {"per_second": null, "burst": null, "per_day": 2}})),
            client("sandbox", json!({"environment": "test"})),
            client("fast", json!({})),
            client("audited", json!({})),
        ],
    });
    let jwks = include_str!("corpus/private.jwks.json");
    let files = [("seed.json", seed.to_string()), ("api.yaml", api), ("keys.json", jwks.to_owned())];
    let dev = Dev::start(&["--seed", "FOLDER/seed.json"], &files, &[]);
    let keys: Value = serde_json::from_str(jwks).unwrap();
    let key = keys["keys"].as_array().unwrap().iter().find(|k| k["alg"] == "ES256").unwrap();
    let key = auth_core::jwk::SigningKey::from_jwk(key).unwrap();
    let make = |change: &[(&str, Value)]| {
        let mut claims = json!({"iss": "https://auth.example.test", "aud": "https://api.example.test", "sub": "fast",
            "client_id": "fast", "iat": now() - 100, "exp": now() + 800, "token_use": "partner", "tenant": "acme",
            "scope": "a:read", "jti": "j", "environment": "live"});
        for (name, value) in change {
            claims[*name] = value.clone();
        }
        auth_core::jws::sign(&key, "at+jwt", &claims).unwrap()
    };
    t.row("r0_15 a token in its time passes", dev.with_token(&make(&[]), "GET", "/a", "").await.status, 200);
    let expired = make(&[("iat", json!(now() - 1000)), ("exp", json!(now() - 100))]);
    t.row("r0_15 a token past its time is 401", dev.with_token(&expired, "GET", "/a", "").await.outcome(), (401, -21));
    t.row("r0_20 and the reason is in the log", dev.said_so("-22 token_expired: exp has passed"), true);
    t.row(
        "r2_17 a clock that is 30 s off is forgiven",
        dev.with_token(&make(&[("exp", json!(now() - 30))]), "GET", "/a", "").await.status,
        200,
    );
    t.row(
        "r3_16 a token for another issuer is 401",
        dev.with_token(&make(&[("iss", json!("https://other"))]), "GET", "/a", "").await.status,
        401,
    );
    t.row(
        "r0_27 a token of the test environment is 401 on production",
        dev.with_token(&make(&[("environment", json!("test"))]), "GET", "/a", "").await.outcome(),
        (401, -21),
    );
    let sandbox = dev.token_answer("sandbox", &[]).await;
    t.row(
        "r2_18 a sandbox credential gets no token on production",
        (sandbox.status, sandbox.json["error"].clone()),
        (401, json!("invalid_client")),
    );

    let token = dev.token("c1", &[]).await;
    let outcomes = [
        dev.with_token(&token, "GET", "/a", "").await,
        dev.with_token(&token, "GET", "/a", "").await,
        dev.with_token(&token, "GET", "/a", "").await,
    ];
    t.row("r0_17 over the limit is 429", outcomes.each_ref().map(|a| a.outcome().0), [200, 200, 429]);
    t.row("r0_17 with its code", outcomes[2].outcome().1, -50);
    t.row(
        "r0_17 and when to come back",
        outcomes[2].header("retry-after").is_some_and(|s| s.parse::<u32>().is_ok_and(|n| n > 0)),
        true,
    );
    t.row("r0_17 others are not held up", dev.with_token(&make(&[]), "GET", "/a", "").await.status, 200);

    let token = dev.token("audited", &[]).await;
    for _ in 0..3 {
        dev.with_token(&token, "GET", "/a", "").await;
        dev.with_token(&token, "GET", "/b", "").await;
    }
    let on_record = |what: &str| dev.said_times(what, 3);
    t.row("r0_14 every allowed call is on record", on_record("allowed jwt     audited for acme  GET /a"), 3);
    t.row("r0_14 and every refused one", on_record("refused jwt     audited for acme  GET /b"), 3);
    t.row(
        "r0_14 with partner, tenant, route and reason",
        dev.said_so("refused jwt     audited for acme  GET /b  -30 insufficient_scope: lacks b:read"),
        true,
    );
}

const API: &str = r#"
openapi: 3.0.1
info: { title: TITLE, version: "1" }
components: { securitySchemes: { jwt: { type: http, scheme: bearer } } }
paths:
  /a: { get: { security: [{ jwt: ["a:read"] }] } }
  /b: { get: { security: [{ jwt: ["b:read"] }] } }
"#;

fn client(id: &str, more: Value) -> Value {
    let mut client = json!({"client_id": id, "client_secret": format!("secret-of-{id}"), "kind": "single_tenant",
        "tenant": "acme", "apis": ["partner"],
        "grants": [{"tenant": "acme", "state": "approved", "scopes": ["a:read"]}]});
    for (name, value) in more.as_object().unwrap() {
        client[name] = value.clone();
    }
    client
}

#[tokio::test]
async fn document_1_four_surfaces_two_mechanisms() {
    let dev = Dev::demo();
    let mut t = Table::default();
    let order = "{\"lines\":[{\"sku\":\"A\",\"quantity\":1}]}";
    let reseller = dev.token("reseller", &[]).await;
    let login = || {
        dev.call(
            "POST",
            "/login",
            &[("Content-Type", "application/json")],
            "{\"tenant\":\"acme\",\"username\":\"ann@example.com\",\"password\":\"correct horse battery staple\"}",
        )
    };
    let customer = login().await.json["access_token"].as_str().unwrap().to_owned();
    let list = |headers: Vec<(&'static str, String)>| {
        let dev = &dev;
        async move {
            let headers: Vec<(&str, &str)> =
                headers.iter().map(|(n, v)| (*n, v.as_str())).chain([("Content-Type", "application/json")]).collect();
            dev.call("POST", "/Supplier/Products/List", &headers, "{}").await
        }
    };

    t.row(
        "r1_01 a key is not for a surface of tokens",
        dev.call("POST", "/Orders/Create", &[("ApiKey", KEY)], order).await.outcome(),
        (401, -21),
    );
    t.row(
        "r1_01 a token is not for a surface of keys",
        list(vec![("Authorization", format!("Bearer {reseller}"))]).await.outcome(),
        (401, -23),
    );
    t.row("r1_02 the partner is the subject", claims(&reseller)["sub"].clone(), json!("reseller"));
    t.row("r1_03 the customer is the subject", claims(&customer)["sub"].clone(), json!("cu-1"));
    t.row(
        "r1_04 a partner's token opens no storefront",
        dev.with_token(&reseller, "GET", "/Storefront/Cart", "").await.outcome(),
        (403, -34),
    );
    t.row(
        "r1_04 a customer's token creates no reseller order",
        dev.with_token(&customer, "POST", "/Orders/Create", order).await.outcome(),
        (403, -34),
    );
    t.row(
        "r1_05 POST /Orders/Create with Bearer",
        dev.with_token(&reseller, "POST", "/Orders/Create", order).await.status,
        200,
    );
    t.row(
        "r1_06 without the prefix",
        dev.call("POST", "/Orders/Create", &[("Authorization", &reseller)], order).await.outcome(),
        (401, -21),
    );
    t.row("r1_06 and the reason is in the log", dev.said_so("-20 missing_token: no Bearer prefix"), true);
    t.row("r1_07 reseller tokens are HS256", part(&reseller, 0)["alg"].clone(), json!("HS256"));
    t.row("r1_07 storefront tokens too", part(&customer, 0)["alg"].clone(), json!("HS256"));
    let none = format!(
        "{}.{}.",
        auth_core::secret::base64url(b"{\"alg\":\"none\",\"typ\":\"at+jwt\"}"),
        reseller.split('.').nth(1).unwrap()
    );
    t.row("r1_07 none is no algorithm", dev.with_token(&none, "POST", "/Orders/Create", order).await.status, 401);

    t.row("r1_08 a token in use passes", dev.with_token(&customer, "GET", "/Storefront/Cart", "").await.status, 200);
    let jti = claims(&customer)["jti"].as_str().unwrap().parse().unwrap();
    let at = |ago: i64| auth_core::time::Timestamp(now() - ago);
    dev.gate().store.note_seen(&jti, at(640), at(-1000)).await.unwrap();
    t.row(
        "r1_08 a rest that is within the idle life passes",
        dev.with_token(&customer, "GET", "/Storefront/Cart", "").await.status,
        200,
    );
    dev.gate().store.note_seen(&jti, at(700), at(-1000)).await.unwrap();
    t.row(
        "r1_08 a token that was not used for longer has expired",
        dev.with_token(&customer, "GET", "/Storefront/Cart", "").await.outcome(),
        (401, -21),
    );
    let again = login().await.json["access_token"].as_str().unwrap().to_owned();
    t.row(
        "r1_09 logging in again gives a new token",
        dev.with_token(&again, "GET", "/Storefront/Cart", "").await.status,
        200,
    );
    let third = login().await.json["access_token"].as_str().unwrap().to_owned();
    t.row(
        "r1_09 and the one before stays good",
        [
            dev.with_token(&third, "GET", "/Storefront/Cart", "").await.status,
            dev.with_token(&again, "GET", "/Storefront/Cart", "").await.status,
        ],
        [200, 200],
    );
    let first = dev.with_token("expired", "POST", "/Orders/Create", order).await;
    t.row(
        "r1_10 a 401 is machine-readable",
        (first.status, first.json["error"].clone()),
        (401, json!("invalid_token")),
    );
    t.row(
        "r1_10 and a retry with a new token succeeds",
        dev.with_token(&dev.token("reseller", &[]).await, "POST", "/Orders/Create", order).await.status,
        200,
    );
    t.row("r1_11 the customer's identifier is a claim", claims(&customer)["customer_id"].clone(), json!("cu-1"));
    t.row("r1_12 the tenant is a claim", claims(&customer)["tenant"].clone(), json!("acme"));
    t.row("r1_13 scopes are set at the server", claims(&reseller)["scope"].clone(), json!("orders:create orders:read"));
    t.row(
        "r1_13 a client cannot ask for more",
        dev.token_answer("reseller", &[("scope", "orders:create admin:all")]).await.json["error"].clone(),
        json!("invalid_scope"),
    );
    let narrow = dev.token("reseller", &[("scope", "orders:read")]).await;
    t.row(
        "r1_15 a token without the scope is 403",
        dev.with_token(&narrow, "POST", "/Orders/Create", order).await.outcome(),
        (403, -30),
    );
    t.row(
        "r1_15 and names it",
        dev.with_token(&narrow, "POST", "/Orders/Create", order).await.json["error_description"].clone(),
        json!("The credential lacks the scope orders:create."),
    );
    change(&dev, grant("reseller", "acme", "approved", &["orders:read"], &[])).await;
    t.row(
        "r1_13 after a change the next token differs",
        claims(&dev.token("reseller", &[]).await)["scope"].clone(),
        json!("orders:read"),
    );
    t.row(
        "r1_13 and the old one has lost the scope at once",
        dev.with_token(&reseller, "POST", "/Orders/Create", order).await.outcome(),
        (403, -30),
    );
    for (what, header) in
        [("a missing header", None), ("a malformed token", Some("Bearer abc")), ("half a token", Some("Bearer a.b"))]
    {
        let headers: Vec<(&str, &str)> = header.map(|h| ("Authorization", h)).into_iter().collect();
        t.row(&format!("r1_14 {what}"), dev.call("GET", "/Orders/1", &headers, "").await.outcome(), (401, -21));
    }

    t.row("r1_16 a key without an end works", list(vec![("ApiKey", KEY.into())]).await.status, 200);
    for name in ["apikey", "APIKEY", "ApiKey", "aPiKeY"] {
        t.row(&format!("r1_17 the header may be written {name}"), list(vec![(name, KEY.into())]).await.status, 200);
    }
    t.row(
        "r1_18 nothing but the key is asked for",
        dev.call("GET", "/test/key", &[("ApiKey", KEY)], "").await.status,
        200,
    );
    t.row("r1_19 the documents' shape verifies", KEY.len(), "ak_live_8f3b1c0e5a4d4f2c9b1e7d6c5a4b3c2d".len());
    t.row(
        "r1_20 POST /Supplier/Products/List with JSON",
        list(vec![("ApiKey", KEY.into())]).await.json["operation"].clone(),
        json!("listProducts"),
    );
    let stored = scan(&dev).await;
    t.row("r1_21 no key stands in the table", stored.contains(KEY), false);
    t.row("r1_21 no client secret either", stored.contains(&dev.secret("reseller")), false);
    t.row("r1_21 no password either", stored.contains("correct horse"), false);
    t.row("r1_21 the table was read", stored.contains("CLIENT#reseller"), true);

    for (what, headers) in [
        ("r1_24 no header", vec![]),
        ("r1_25 malformed", vec![("ApiKey", "ak_test_xyz".to_owned())]),
        ("r1_25 an unknown key", vec![("ApiKey", "ak_test_ffffffffffffffffffffffffffffffff".to_owned())]),
        ("r1_26 expired", vec![("ApiKey", "ak_test_0123456789abcdef0123456789abcdef".to_owned())]),
        ("r1_27 revoked", vec![("ApiKey", "ak_test_deadbeefdeadbeefdeadbeefdeadbeef".to_owned())]),
    ] {
        t.row(what, list(headers).await.outcome(), (401, -23));
    }
    t.row(
        "r1_28 a key on its own tenant",
        dev.call("GET", "/Supplier/acme/Products", &[("ApiKey", KEY)], "").await.status,
        200,
    );
    t.row(
        "r1_28 a key on another tenant is 401, not 403",
        dev.call("GET", "/Supplier/globex/Products", &[("ApiKey", KEY)], "").await.outcome(),
        (401, -23),
    );
    let charge = [("ApiKey", KEY), ("Content-Type", "application/json")];
    t.row(
        "r1_29 a tenant that has the endpoint",
        dev.call("POST", "/Payment/Charges", &charge, "{\"amount\":1,\"currency\":\"EUR\"}").await.status,
        200,
    );
    let tenant: Tenant =
        serde_json::from_value(json!({"id": "acme", "apis": ["supplier"], "state": "active"})).unwrap();
    change(&dev, Record::Tenant(tenant)).await;
    t.row(
        "r1_29 a tenant that lacks it is 403",
        dev.call("POST", "/Payment/Charges", &charge, "{\"amount\":1,\"currency\":\"EUR\"}").await.outcome(),
        (403, -33),
    );

    let keyring = dev.gate().keyring.get(auth_core::time::Timestamp(now())).await.unwrap();
    let key: ApiKey = serde_json::from_value(json!({"key_id": "k", "client_id": "shop-server", "tenant": "acme",
        "apis": ["supplier"], "environment": "test", "state": "revoked"}))
    .unwrap();
    change(&dev, Record::ApiKey(Digest::of(&keyring.pepper, DigestOf::ApiKey, KEY), key)).await;
    t.row(
        "r1_23 a revoked key is refused on the very next request",
        list(vec![("ApiKey", KEY.into())]).await.outcome(),
        (401, -23),
    );
}

/// All that the table holds, as DynamoDB's own JSON.
async fn scan(dev: &Dev) -> String {
    let endpoint = dev.ready["dynamodb_endpoint"].as_str().unwrap();
    let headers = [
        ("X-Amz-Target", "DynamoDB_20120810.Scan"),
        ("Content-Type", "application/x-amz-json-1.0"),
        (
            "Authorization",
            "AWS4-HMAC-SHA256 Credential=local/20260101/eu-west-1/dynamodb/aws4_request, SignedHeaders=host, Signature=0",
        ),
        ("X-Amz-Date", "20260101T000000Z"),
    ];
    let headers: Vec<(String, Vec<u8>)> =
        headers.iter().map(|(n, v)| ((*n).to_owned(), v.as_bytes().to_vec())).collect();
    let body = json!({"TableName": "countersign"}).to_string();
    crate::harness::raw(endpoint, "POST", "/", &headers, body.as_bytes()).await.text
}

#[tokio::test]
async fn document_2_tokens_that_partners_sign() {
    let api = API.replace("TITLE", "Partner").replace("/a:", "/portfolio:");
    let seed = json!({
        "apis": [{"name": "partner", "openapi": "api.yaml"}],
        "tenants": [{"id": "acme", "apis": ["partner"]}, {"id": "globex", "apis": ["partner"]}],
        "clients": [
            client("signer", json!({"self_signing": true, "signing_secret": "the-secret-of-the-signer-0123456789"})),
            client("rotating", json!({"self_signing": true, "client_secret": "the-new-secret-0123456789-0123456789",
                "previous_secrets": [{"secret": "the-old-secret-0123456789-0123456789", "expires_at": "2099-01-01T00:00:00Z"}]})),
            client("rotated", json!({"self_signing": true, "client_secret": "the-new-secret-0123456789-0123456789",
                "previous_secrets": [{"secret": "the-old-secret-0123456789-0123456789", "expires_at": "2020-01-01T00:00:00Z"}]})),
            client("plain", json!({"client_secret": "the-secret-of-a-client-that-may-not-sign"})),
            client("stopped", json!({"self_signing": true, "client_secret": "the-secret-of-the-stopped-0123456789", "state": "suspended"})),
        ],
    });
    let files = [("seed.json", seed.to_string()), ("api.yaml", api)];
    let dev = Dev::start(&["--seed", "FOLDER/seed.json"], &files, &[]);
    let mut t = Table::default();
    let secret = "the-secret-of-the-signer-0123456789";
    let call = |claims: Value, secret: &str| {
        let (dev, token) = (&dev, signed(&claims, secret));
        async move { dev.with_token(&token, "GET", "/portfolio", "").await.status }
    };
    let good = json!({"clientId": "signer", "iat": now(), "exp": now() + 900});
    let with = |name: &str, value: Value| {
        let mut claims = good.clone();
        claims[name] = value;
        claims
    };
    let without = |name: &str| {
        let mut claims = good.clone();
        claims.as_object_mut().unwrap().remove(name);
        claims
    };
    t.row("r2_01 no token", dev.call("GET", "/portfolio", &[], "").await.status, 401);
    t.row("r2_10 GET /portfolio with a token of one's own", call(good.clone(), secret).await, 200);
    t.row("r2_02 no clientId", call(without("clientId"), secret).await, 401);
    t.row("r2_02 an unknown clientId", call(with("clientId", json!("nobody")), secret).await, 401);
    t.row("r2_02 a clientId of another type", call(with("clientId", json!(17)), secret).await, 401);
    t.row("r2_03 no iat", call(without("iat"), secret).await, 401);
    t.row(
        "r2_03 iat far ahead",
        call(json!({"clientId": "signer", "iat": now() + 3600, "exp": now() + 4000}), secret).await,
        401,
    );
    t.row(
        "r2_03 milliseconds",
        call(json!({"clientId": "signer", "iat": now() * 1000, "exp": (now() + 900) * 1000}), secret).await,
        401,
    );
    t.row("r2_04 no exp", call(without("exp"), secret).await, 401);
    t.row(
        "r2_04 exp passed",
        call(json!({"clientId": "signer", "iat": now() - 1000, "exp": now() - 100}), secret).await,
        401,
    );
    t.row("r2_05 another secret", call(good.clone(), "another-secret-0123456789-0123456789").await, 401);
    t.row("r2_05 the id as secret", call(good.clone(), "signer").await, 401);
    t.row("r2_08 a life of 900 s", call(with("exp", json!(now() + 900)), secret).await, 200);
    t.row("r2_08 a life over the cap", call(with("exp", json!(now() + 7200)), secret).await, 401);
    t.row("r2_09 a shorter life", call(with("exp", json!(now() + 60)), secret).await, 200);
    t.row("r2_09 a longer one within the cap", call(with("exp", json!(now() + 3500)), secret).await, 200);
    t.row(
        "r2_12 an expired one is 401",
        call(json!({"clientId": "signer", "iat": now() - 1000, "exp": now() - 100}), secret).await,
        401,
    );
    t.row("r2_13 a retry with a new one succeeds", call(good.clone(), secret).await, 200);
    t.row("r2_14 no iss, aud, sub or kid is needed", good.as_object().unwrap().len(), 3);
    t.row(
        "r2_16 a client that may not sign",
        call(with("clientId", json!("plain")), "the-secret-of-a-client-that-may-not-sign").await,
        401,
    );
    t.row(
        "r2_16 a suspended client",
        call(with("clientId", json!("stopped")), "the-secret-of-the-stopped-0123456789").await,
        401,
    );
    t.row(
        "r2_16 a malformed header",
        dev.call("GET", "/portfolio", &[("Authorization", "Bearer a b c")], "").await.status,
        401,
    );
    for (ahead, want) in [(-55, 200), (-70, 401)] {
        t.row(
            &format!("r2_17 exp {ahead} s from now"),
            call(json!({"clientId": "signer", "iat": now() - 600, "exp": now() + ahead}), secret).await,
            want,
        );
    }
    for (ahead, want) in [(50, 200), (75, 401)] {
        t.row(
            &format!("r2_17 iat {ahead} s ahead"),
            call(json!({"clientId": "signer", "iat": now() + ahead, "exp": now() + 900}), secret).await,
            want,
        );
    }
    t.row("r2_15 the log tells an expired token", dev.said_so("-22 token_expired"), true);
    t.row("r2_15 from an invalid one", dev.said_so("-21 invalid_token: no live secret of the client verifies"), true);
    t.row("r2_15 and from none at all", dev.said_so("-20 missing_token"), true);
    t.row(
        "r2_16 scopes that a partner writes into its token count for nothing",
        {
            let token = signed(&with("scope", json!("b:read a:read")), secret);
            dev.with_token(&token, "GET", "/b", "").await.outcome()
        },
        (403, -30),
    );
    t.row("r2_16 nor a tenant that is not its own", call(with("tenant", json!("globex")), secret).await, 401);
    for (who, which, want) in
        [("rotating", "new", 200), ("rotating", "old", 200), ("rotated", "new", 200), ("rotated", "old", 401)]
    {
        let status = call(with("clientId", json!(who)), &format!("the-{which}-secret-0123456789-0123456789")).await;
        t.row(&format!("r2_20 {who}: the {which} secret"), status, want);
    }
    t.row("r2_19 no secret in what was said", dev.said().contains(secret), false);

    let mut passed = 0;
    for i in 0..1000 {
        let mut claims = good.clone();
        claims["n"] = json!(i);
        passed += u32::from(call(claims, secret).await == 200);
    }
    t.row("r2_11 a thousand tokens, each new, all pass", passed, 1000);
    let answer = dev.token_answer("plain", &[]).await;
    t.row("r2_21 clients are told to stay with HTTPS", answer.header("strict-transport-security").is_some(), true);
}

#[test]
fn document_1_every_refusal_is_in_the_published_catalogue() {
    let mut t = Table::default();
    let readme = include_str!("../README.md");
    for refusal in auth_core::refusal::Refusal::ALL {
        let row = format!("| {} | `{}` | ", refusal.code(), refusal.error());
        t.row(&format!("r1_30 {row}"), readme.contains(&row), true);
    }
}

#[tokio::test]
async fn document_3_message_types() {
    let dev = Dev::demo();
    let mut t = Table::default();
    let message = "{\"header\":{\"messageId\":\"m-1\"},\"body\":{}}";
    let token = dev.token("insurer", &[]).await;
    t.row("r3_08 a client gets a token by id and secret", dev.token_answer("insurer", &[]).await.status, 200);
    let said = dev.token_answer("insurer", &[]).await;
    t.row("r3_02 clients are told to stay with TLS", said.header("strict-transport-security").is_some(), true);
    t.row("r3_09 it is a JWT", token.split('.').count(), 3);
    t.row("r3_10 POST with the JWT", dev.with_token(&token, "POST", "/messages/claim", message).await.status, 200);
    t.row("r3_11 POST without", dev.call("POST", "/messages/claim", &[], message).await.status, 401);
    t.row(
        "r3_12 an endpoint that is not assigned",
        dev.with_token(&token, "POST", "/Orders/Create", "{\"lines\":[{\"sku\":\"A\",\"quantity\":1}]}")
            .await
            .outcome(),
        (403, -33),
    );
    t.row(
        "r3_13 a message that is not of the structure",
        dev.with_token(&token, "POST", "/messages/claim", "{\"header\":{}}").await.outcome(),
        (400, -41),
    );
    t.row("r3_14 a valid request", dev.with_token(&token, "POST", "/messages/claim", message).await.status, 200);
    t.row(
        "r3_17 an allowed message type",
        dev.with_token(&token, "POST", "/messages/claim", message).await.json["operation"].clone(),
        json!("postClaim"),
    );
    t.row(
        "r3_19 a message type that is not allowed is 401",
        dev.with_token(&token, "POST", "/messages/quote", message).await.status,
        401,
    );
    t.row("r3_19 and the log says why", dev.said_so("-30 insufficient_scope: lacks message:quote"), true);
    t.row(
        "r3_03 the form of a standard client",
        dev.token_answer("insurer", &[("scope", "message:claim")]).await.json["scope"].clone(),
        json!("message:claim"),
    );

    let gate = dev.gate();
    let role = "claims-handler".parse().unwrap();
    gate.store.load(vec![Record::Role(role, vec!["message:quote".parse().unwrap()])], |_| ()).await.unwrap();
    gate.store.bump_catalog().await.unwrap();
    t.row(
        "r3_18 a changed role counts on the next decision",
        dev.with_token(&token, "POST", "/messages/claim", message).await.status,
        401,
    );
    let token = dev.token("insurer", &[]).await;
    t.row("r3_18 and in the next token", dev.with_token(&token, "POST", "/messages/quote", message).await.status, 200);

    let api = API.replace("TITLE", "Partner");
    let seed = json!({"apis": [{"name": "partner", "openapi": "api.yaml"}], "tenants": [{"id": "acme", "apis": ["partner"]}],
        "clients": [client("new", json!({"apis": []})), client("app-1", json!({})), client("app-2", json!({}))]});
    let dev = Dev::start(&["--seed", "FOLDER/seed.json"], &[("seed.json", seed.to_string()), ("api.yaml", api)], &[]);
    let token = dev.token("new", &[]).await;
    t.row("r3_01 a new account has no API", dev.with_token(&token, "GET", "/a", "").await.outcome(), (403, -33));
    t.row(
        "r3_15 credentials are of an application, not of a company",
        claims(&dev.token("app-1", &[]).await)["sub"] != claims(&dev.token("app-2", &[]).await)["sub"],
        true,
    );
    let header = basic("app-1", &dev.secret("app-2"));
    let form = [("Authorization", header.as_str()), ("Content-Type", "application/x-www-form-urlencoded")];
    t.row(
        "r3_15 one's secret is not the other's",
        dev.call("POST", "/oauth/token", &form, "grant_type=client_credentials").await.status,
        401,
    );
}

#[tokio::test]
async fn document_4_tenants_named_by_internal_applications() {
    let dev = Dev::demo();
    let mut t = Table::default();
    let id = "fr4zzl3d-g0rp-ni11-b0rk-cr4ck3rj4ck5";
    let vector = "Basic ZnI0enpsM2QtZzBycC1uaTExLWIwcmstY3I0Y2szcmo0Y2s1OnJ1bXAzbHN0aWx0c2tpbg==";
    t.row("r4_10 an id, one colon, a secret", basic(id, "rump3lstiltskin"), vector.to_owned());
    let json_body = |authorization: &str, body: Value| {
        let (dev, authorization) = (&dev, authorization.to_owned());
        async move {
            let headers = [
                ("Authorization", authorization.as_str()),
                ("Content-Type", "application/json; charset=utf-8"),
                ("Accept", "application/json"),
            ];
            dev.call("POST", "/AuthServer/api/Token", &headers, &body.to_string()).await
        }
    };
    let first = json_body(vector, json!({"grant_type": "client_credentials", "user_login": "guysmiley"})).await;
    t.row("r4_11 the documents' header authenticates", first.status, 200);
    t.row("r4_08 by client_credentials", first.status, 200);
    t.row("r4_12 at /AuthServer/api/Token", first.status, 200);
    t.row("r4_14 Accept is heeded, and the length is told", first.header("content-length").is_some(), true);
    t.row("r4_13 with a JSON body", first.json["access_token"].is_string(), true);
    t.row("r4_13 and with a form", dev.token_answer(id, &[]).await.status, 200);
    t.row("r4_18 the media type of the answer", first.header("content-type"), Some("application/json; charset=utf-8"));
    t.row("r4_18 which nobody may keep", first.header("cache-control"), Some("no-store"));
    t.row("r4_19 access_token is a text", first.json["access_token"].is_string(), true);
    t.row("r4_20 token_type is Bearer", first.json["token_type"].clone(), json!("Bearer"));
    t.row("r4_21 expires_in is the number 3600", first.json["expires_in"].clone(), json!(3600));
    let token = first.json["access_token"].as_str().unwrap().to_owned();
    let said = claims(&token);
    t.row("r4_21 and the life of the token", said["exp"].as_i64().unwrap() - said["iat"].as_i64().unwrap(), 3600);
    t.row("r4_22 refresh_token is there and null", first.json.get("refresh_token").cloned(), Some(Value::Null));
    t.row("r4_23 scope is there and null", first.json.get("scope").cloned(), Some(Value::Null));
    let form = dev.token_answer(id, &[]).await;
    t.row("r4_22 a form is not answered with a null", form.json.get("refresh_token").cloned(), None);
    t.row("r4_23 but with the scope", form.json["scope"].clone(), json!("customers:read"));
    t.row(
        "r4_26 the header begins with typ",
        auth_core::secret::from_base64url(token.split('.').next().unwrap()).unwrap().starts_with(b"{\"typ\":"),
        true,
    );
    t.row("r4_16 user_login is in the token", said["user_login"].clone(), json!("guysmiley"));
    t.row("r4_16 and in the record", dev.said_so("as guysmiley"), true);
    for (what, body, error) in [
        ("r4_15 another grant type", json!({"grant_type": "password"}), "unsupported_grant_type"),
        ("r4_15 none", json!({}), "invalid_request"),
        (
            "r4_17 a user_login of control characters",
            json!({"grant_type": "client_credentials", "user_login": "a\u{0}"}),
            "invalid_request",
        ),
    ] {
        let answer = json_body(vector, body).await;
        t.row(what, (answer.status, answer.json["error"].clone()), (400, json!(error)));
    }
    for (what, authorization) in [
        ("another secret", basic(id, "x")),
        ("hex for base64", "Basic 667234".into()),
        ("no colon", format!("Basic {}", "ZnI0enpsM2Q=")),
        ("Bearer", format!("Bearer {token}")),
    ] {
        let answer = json_body(&authorization, json!({"grant_type": "client_credentials"})).await;
        t.row(&format!("r4_24 {what}"), (answer.status, answer.json["error"].clone()), (401, json!("invalid_client")));
        t.row(
            &format!("r4_24 {what}: the challenge"),
            answer.header("www-authenticate"),
            Some("Basic realm=\"countersign\""),
        );
    }
    t.row(
        "r4_09 Basic is not for the API",
        dev.call("GET", "/customers/17", &[("Authorization", vector)], "").await.status,
        401,
    );
    let hal = [("Authorization", format!("Bearer {token}")), ("Accept", "application/hal+json".to_owned())];
    let hal: Vec<(&str, &str)> = hal.iter().map(|(n, v)| (*n, v.as_str())).collect();
    t.row("r4_25 GET /customers/17", dev.call("GET", "/customers/17", &hal, "").await.status, 200);

    let internal = basic("3pl-app", &dev.secret("3pl-app"));
    let ask = |tpl: Option<&str>| {
        let mut body = json!({"grant_type": "client_credentials", "user_login": "guysmiley"});
        if let Some(tpl) = tpl {
            body["tpl"] = json!(tpl);
        }
        json_body(&internal, body)
    };
    let own = basic("3pl-single", &dev.secret("3pl-single"));
    let single = |tpl: &str| json_body(&own, json!({"grant_type": "client_credentials", "tpl": tpl}));
    t.row("r4_02 a static credential may name its tenant", single(ACME_GUID).await.status, 200);
    t.row("r4_02 and no other", single(OTHER_GUID).await.json["error"].clone(), json!("invalid_target"));
    for tenant in [ACME_GUID, OTHER_GUID] {
        let answer = ask(Some(tenant)).await;
        let token = answer.json["access_token"].as_str().unwrap_or_default().to_owned();
        t.row(&format!("r4_03 a dynamic one gets {tenant}"), claims(&token)["tenant"].clone(), json!(tenant));
        let seen = dev.with_token(&token, "GET", "/customers/17", "").await;
        t.row("r4_03 and works on it alone", seen.json["authorizer"]["tenant"].clone(), json!(tenant));
    }
    t.row(
        "r4_04 it must name one",
        (ask(None).await.status, ask(None).await.json["error"].clone()),
        (400, json!("invalid_request")),
    );
    t.row("r4_04 a star is none", ask(Some("*")).await.status, 400);
    t.row(
        "r4_04 one that it was not granted looks like one that is not there",
        {
            let (a, b) = (ask(Some("acme")).await, ask(Some("nowhere")).await);
            (a.status, a.json["error"] == b.json["error"], a.json["error_description"] == b.json["error_description"])
        },
        (400, true, true),
    );
    t.row(
        "r4_16 a client marked so must send user_login",
        {
            let answer = json_body(&internal, json!({"grant_type": "client_credentials", "tpl": ACME_GUID})).await;
            (answer.status, answer.json["error"].clone())
        },
        (400, json!("invalid_request")),
    );

    let operator = dev.token("3pl-operator", &[]).await;
    t.row(
        "r4_05 a multi-tenant credential maintains tenants",
        dev.with_token(&operator, "POST", "/tenants", "{\"name\":\"new\"}").await.status,
        200,
    );
    t.row(
        "r4_05 and reaches no tenant's data",
        dev.with_token(&operator, "GET", "/customers/17", "").await.outcome(),
        (403, -31),
    );
    t.row("r4_05 its token names no tenant", claims(&operator).get("tenant").cloned(), None);
    t.row(
        "r4_02 a tenant's credential maintains none",
        dev.with_token(&token, "POST", "/tenants", "{\"name\":\"new\"}").await.outcome(),
        (403, -34),
    );
    let kinds: Vec<Value> =
        dev.ready["demo"]["clients"].as_array().unwrap().iter().map(|c| c["kind"].clone()).collect();
    for kind in ["single_tenant", "dynamic_tenant", "multi_tenant"] {
        t.row(&format!("r4_01 {kind} is one of the kinds"), kinds.contains(&json!(kind)), true);
    }
    t.row("r4_06 whom an internal token is of can be seen", claims(&operator)["token_use"].clone(), json!("internal"));
    t.row("r4_07 the secret is not in the table", scan(&dev).await.contains("rump3lstiltskin"), false);

    t.row("r4_29 not authenticated", dev.call("GET", "/customers/17", &[], "").await.status, 401);
    change(&dev, grant(id, ACME_GUID, "approved", &[], &["tenant-maintainer", "buyer"])).await;
    t.row(
        "r4_27 the roles on the credential decide, not the token",
        dev.with_token(&token, "GET", "/customers/17", "").await.outcome(),
        (403, -30),
    );
    t.row(
        "r4_30 authenticated, but the roles do not allow it",
        dev.with_token(&token, "GET", "/customers/17", "").await.status,
        403,
    );
    change(&dev, grant(id, ACME_GUID, "approved", &[], &["buyer", "customer-service"])).await;
    t.row(
        "r4_28 roles add up",
        dev.with_token(&dev.token(id, &[]).await, "GET", "/customers/17", "").await.status,
        200,
    );
}
