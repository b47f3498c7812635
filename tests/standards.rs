//! What the token endpoint speaks beyond secrets: assertions of clients and workloads (RFC 7523), token exchange
//! (RFC 8693), limits of one token (RFC 9396), and what is said of resources (RFC 9728).

use crate::harness::{Answer, Dev, basic, raw_at};
use auth_core::jwk::SigningKey;
use auth_core::jws::{Algorithm, sign};
use auth_store::keygen::new_key;
use serde_json::{Value, json};

const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const FORM: (&str, &str) = ("Content-Type", "application/x-www-form-urlencoded");
const ISSUER: &str = "https://ci.example.com";

pub(crate) fn now() -> i64 {
    auth_edge::clock::now().0
}

/// A private JWK, and the public half of it.
pub(crate) fn pair(algorithm: Algorithm, kid: &str) -> (Value, Value) {
    let mut private = new_key(algorithm).unwrap();
    private["kid"] = json!(kid);
    let mut public = private.clone();
    for member in ["d", "p", "q", "dp", "dq", "qi"] {
        public.as_object_mut().unwrap().remove(member);
    }
    (private, public)
}

pub(crate) fn signed(key: &Value, typ: &str, claims: &Value) -> String {
    sign(&SigningKey::from_jwk(key).unwrap(), typ, claims).unwrap()
}

pub(crate) fn form(parameters: &[(&str, &str)]) -> String {
    let escape = |text: &str| -> String {
        text.bytes()
            .map(|b| if b.is_ascii_alphanumeric() { char::from(b).to_string() } else { format!("%{b:02X}") })
            .collect()
    };
    parameters.iter().map(|(n, v)| format!("{n}={}", escape(v))).collect::<Vec<_>>().join("&")
}

pub(crate) async fn post(dev: &Dev, path: &str, parameters: &[(&str, &str)]) -> Answer {
    dev.call("POST", path, &[FORM], &form(parameters)).await
}

async fn by_assertion(dev: &Dev, assertion: &str, more: &[(&str, &str)]) -> Answer {
    let base =
        [("grant_type", "client_credentials"), ("client_assertion_type", JWT_BEARER), ("client_assertion", assertion)];
    post(dev, "/oauth/token", &[&base, more].concat()).await
}

struct World {
    dev: Dev,
    keys: Vec<(Value, Value)>,
    ci: (Value, Value),
}

impl World {
    fn start() -> Self {
        let keys: Vec<_> = [Algorithm::ES256, Algorithm::EdDSA, Algorithm::RS256]
            .map(|algorithm| pair(algorithm, &format!("k-{}", algorithm.as_str())))
            .into();
        let ci = pair(Algorithm::RS256, "ci-1");
        let public: Vec<Value> = keys.iter().map(|(_, public)| public.clone()).collect();
        let grants = json!([{"tenant": "acme", "state": "approved", "scopes": ["orders:read", "stock:read", "stock:write"],
            "skus": ["AB-*"]}]);
        let client = |id: &str, more: Value| {
            let mut client = json!({"client_id": id, "kind": "single_tenant", "tenant": "acme", "apis": ["shop"],
                "grants": grants});
            client.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            client
        };
        let workload = |audience: Value| {
            json!({"workload_identities": [{"issuer": ISSUER, "subject": "repo:acme/app:ref:refs/heads/main",
                "audience": audience}]})
        };
        let seed = json!({
            "issuer": "https://auth.example.test",
            "apis": [{"name": "shop", "openapi": "shop.json", "audience": "https://shop.example.test/v1",
                "token": {"alg": "ES256"}}],
            "tenants": [{"id": "acme", "apis": ["shop"]}],
            "issuers": [{"name": "ci", "issuer": ISSUER, "jwks": "./ci.jwks.json"}],
            "clients": [
                client("app", json!({"jwks": {"keys": public}})),
                client("other", json!({"jwks": {"keys": [pair(Algorithm::ES256, "k-ES256").1]}})),
                client("stopped", json!({"jwks": {"keys": public}, "state": "suspended"})),
                client("live", json!({"jwks": {"keys": public}, "environment": "live"})),
                client("secret", json!({"client_secret": "the-secret-of-the-client-0123456789"})),
                client("build", workload(json!(null))),
                client("deploy", workload(json!("https://deploy.example.test"))),
                client("signer", json!({"client_secret": "the-secret-of-the-signer-0123456789", "self_signing": true})),
            ],
            "api_keys": [
                {"key": "ak_test_8f3b1c0e5a4d4f2c9b1e7d6c5a4b3c2d", "client_id": "secret", "tenant": "acme",
                    "apis": ["shop"]},
                {"key": "ak_test_00000000000000000000000000000000", "client_id": "secret", "tenant": "acme",
                    "apis": ["shop"], "state": "revoked"},
            ],
        });
        let secured = |scope: &str| json!({"security": [{"jwt": [scope]}], "responses": {}});
        let mut of_sku = secured("stock:read");
        of_sku["x-countersign-sku"] = json!("path.sku");
        let mut written = secured("stock:write");
        written["x-countersign-sku"] = json!("path.sku");
        let shop = json!({
            "openapi": "3.0.1", "info": {"title": "shop", "version": "1"},
            "components": {"securitySchemes": {"jwt": {"type": "http", "scheme": "bearer"}}},
            "paths": {"/orders": {"get": secured("orders:read")}, "/stock/{sku}": {"get": of_sku, "put": written}},
        });
        let files = [
            ("seed.json", seed.to_string()),
            ("shop.json", shop.to_string()),
            ("ci.jwks.json", json!({"keys": [ci.1]}).to_string()),
        ];
        Self { dev: Dev::start(&["--seed", "FOLDER/seed.json"], &files, &[]), keys, ci }
    }

    fn key(&self, algorithm: Algorithm) -> &Value {
        &self.keys.iter().find(|(private, _)| private["alg"] == algorithm.as_str()).unwrap().0
    }
}

/// The claims of an assertion of client `app` that is good, with changes; null takes a claim away.
fn claims(changes: Value) -> Value {
    static COUNT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    let count = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let mut claims = json!({"iss": "app", "sub": "app", "aud": "https://auth.example.test", "jti": format!("jti-{count}"),
        "iat": now(), "exp": now() + 60});
    for (name, value) in changes.as_object().unwrap() {
        claims[name] = value.clone();
    }
    claims.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    claims
}

#[tokio::test]
async fn an_assertion_of_the_client_and_one_change() {
    let world = World::start();
    let (dev, es256) = (&world.dev, world.key(Algorithm::ES256));
    let of = |changes: Value| signed(es256, "JWT", &claims(changes));
    let foreign = pair(Algorithm::ES256, "k-ES256").0;
    let renamed = |kid: Value| {
        let mut key = es256.clone();
        key["kid"] = kid;
        key
    };
    let hmac = json!({"kty": "oct", "alg": "HS256", "kid": "k-ES256", "k": auth_core::secret::base64url(&[7; 32])});
    let rows = [
        ("ES256", of(json!({})), 200),
        ("EdDSA", signed(world.key(Algorithm::EdDSA), "JWT", &claims(json!({}))), 200),
        ("RS256", signed(world.key(Algorithm::RS256), "JWT", &claims(json!({}))), 200),
        ("the type of RFC 7523's revision", signed(es256, "client-authentication+jwt", &claims(json!({}))), 200),
        ("the token endpoint for audience", of(json!({"aud": "https://auth.example.test/oauth/token"})), 200),
        ("a list of one audience", of(json!({"aud": ["https://auth.example.test"]})), 200),
        ("without iat", of(json!({"iat": null})), 200),
        ("five minutes ahead", of(json!({"exp": now() + 300})), 200),
        ("an hour ahead", of(json!({"exp": now() + 3600})), 401),
        ("expired", of(json!({"exp": now() - 61, "iat": now() - 100})), 401),
        ("no exp", of(json!({"exp": null})), 401),
        ("issued in the future", of(json!({"iat": now() + 120, "exp": now() + 200})), 401),
        ("not good yet", of(json!({"nbf": now() + 120})), 401),
        ("no jti", of(json!({"jti": null})), 401),
        ("an empty jti", of(json!({"jti": ""})), 401),
        ("a jti that is a number", of(json!({"jti": 5})), 401),
        ("no aud", of(json!({"aud": null})), 401),
        ("another audience", of(json!({"aud": "https://other.example"})), 401),
        ("the audience with a slash", of(json!({"aud": "https://auth.example.test/"})), 401),
        ("two audiences", of(json!({"aud": ["https://auth.example.test", "https://other.example"]})), 401),
        ("no iss", of(json!({"iss": null})), 401),
        ("no sub", of(json!({"sub": null})), 401),
        ("another client's name", of(json!({"iss": "other", "sub": "other"})), 401),
        ("an unknown client", of(json!({"iss": "nobody", "sub": "nobody"})), 401),
        ("a suspended client", of(json!({"iss": "stopped", "sub": "stopped"})), 401),
        ("a client of the other environment", of(json!({"iss": "live", "sub": "live"})), 401),
        ("a client that has a secret alone", of(json!({"iss": "secret", "sub": "secret"})), 401),
        ("another key of the same name", signed(&foreign, "JWT", &claims(json!({}))), 401),
        ("a name of no key", signed(&renamed(json!("k-9")), "JWT", &claims(json!({}))), 401),
        ("an HMAC of the key's name", signed(&hmac, "JWT", &claims(json!({}))), 401),
        ("the type of an access token", signed(es256, "at+jwt", &claims(json!({}))), 401),
        ("nonsense", "nonsense".to_owned(), 401),
    ];
    for (sentence, assertion, status) in rows {
        let answer = by_assertion(dev, &assertion, &[]).await;
        assert_eq!(answer.status, status, "{sentence}: {}", answer.text);
        if status == 401 {
            assert_eq!(answer.json["error"], "invalid_client", "{sentence}");
            assert_eq!(
                answer.json["error_description"], "Client authentication failed.",
                "{sentence}: one text for all"
            );
            assert!(answer.header("www-authenticate").is_some(), "{sentence}");
        }
    }

    let once = of(json!({}));
    assert_eq!(by_assertion(dev, &once, &[]).await.status, 200, "used");
    assert_eq!(by_assertion(dev, &once, &[]).await.json["error"], "invalid_client", "used again");
    let same_jti = json!({"jti": "chosen"});
    assert_eq!(by_assertion(dev, &of(same_jti.clone()), &[]).await.status, 200);
    assert_eq!(by_assertion(dev, &of(same_jti), &[]).await.status, 401, "another assertion of the same jti");

    let text = of(json!({}));
    let request = |parameters: &[(&str, &str)]| {
        let base = [("grant_type", "client_credentials")];
        form(&[&base, parameters].concat())
    };
    let basic = basic("secret", "the-secret-of-the-client-0123456789");
    let both = [("client_assertion_type", JWT_BEARER), ("client_assertion", text.as_str())];
    let rows: [(&str, Option<&str>, String, u16, &str); 6] = [
        ("with Basic besides", Some(&basic), request(&both), 400, "invalid_request"),
        ("with a secret besides", None, request(&[both[0], both[1], ("client_secret", "x")]), 400, "invalid_request"),
        ("with another client_id", None, request(&[both[0], both[1], ("client_id", "other")]), 400, "invalid_request"),
        ("without its type", None, request(&both[1..]), 400, "invalid_request"),
        ("of another type", None, request(&[("client_assertion_type", "urn:x"), both[1]]), 400, "invalid_request"),
        ("with its own client_id", None, request(&[both[0], both[1], ("client_id", "app")]), 200, ""),
    ];
    for (sentence, authorization, body, status, error) in rows {
        let headers: Vec<_> = authorization.map(|a| ("Authorization", a)).into_iter().chain([FORM]).collect();
        let answer = dev.call("POST", "/oauth/token", &headers, &body).await;
        let said = answer.json["error"].as_str().unwrap_or_default().to_owned();
        assert_eq!((answer.status, said.as_str()), (status, error), "{sentence}: {}", answer.text);
    }
    // The same client revokes and introspects by assertion.
    let token = by_assertion(dev, &of(json!({})), &[]).await.json["access_token"].as_str().unwrap().to_owned();
    for (path, active) in [("/oauth/introspect", true), ("/oauth/revoke", true), ("/oauth/introspect", false)] {
        let assertion = of(json!({}));
        let answer = post(
            dev,
            path,
            &[("client_assertion_type", JWT_BEARER), ("client_assertion", &assertion), ("token", &token)],
        )
        .await;
        assert_eq!(answer.status, 200, "{path}");
        if path.ends_with("introspect") {
            assert_eq!(answer.json["active"], active);
        }
    }
}

#[tokio::test]
async fn a_token_of_a_workload_and_one_change() {
    let world = World::start();
    let (dev, (ci, _)) = (&world.dev, &world.ci);
    let of = |changes: Value| {
        let base = json!({"iss": ISSUER, "sub": "repo:acme/app:ref:refs/heads/main", "jti": null});
        let mut all = base.as_object().unwrap().clone();
        all.extend(changes.as_object().unwrap().clone());
        signed(ci, "JWT", &claims(Value::Object(all)))
    };
    let stranger = pair(Algorithm::RS256, "ci-1").0;
    let rows = [
        ("as it is", of(json!({})), Some("build"), 200),
        ("an hour of life", of(json!({"exp": now() + 3600})), Some("build"), 200),
        ("one of two audiences", of(json!({"aud": ["x", "https://auth.example.test"]})), Some("build"), 200),
        ("the audience of that client", of(json!({"aud": "https://deploy.example.test"})), Some("deploy"), 200),
        ("the issuer, where another audience is wanted", of(json!({})), Some("deploy"), 401),
        ("another branch", of(json!({"sub": "repo:acme/app:ref:refs/heads/x"})), Some("build"), 401),
        ("another issuer", of(json!({"iss": "https://ci.example.org"})), Some("build"), 401),
        ("an issuer with a slash", of(json!({"iss": "https://ci.example.com/"})), Some("build"), 401),
        ("another audience", of(json!({"aud": "https://other.example"})), Some("build"), 401),
        ("no audience", of(json!({"aud": null})), Some("build"), 401),
        ("expired", of(json!({"exp": now() - 61, "iat": now() - 600})), Some("build"), 401),
        ("no exp", of(json!({"exp": null})), Some("build"), 401),
        (
            "another key",
            signed(&stranger, "JWT", &claims(json!({"iss": ISSUER, "sub": "repo:acme/app:ref:refs/heads/main"}))),
            Some("build"),
            401,
        ),
        ("of a client that trusts no workload", of(json!({})), Some("app"), 401),
        ("of an unknown client", of(json!({})), Some("nobody"), 401),
        ("of nobody", of(json!({})), None, 400),
    ];
    for (sentence, token, client, status) in rows {
        let named: Vec<(&str, &str)> = client.map(|client| ("client_id", client)).into_iter().collect();
        let answer = by_assertion(dev, &token, &named).await;
        assert_eq!(answer.status, status, "{sentence}: {}", answer.text);
    }
    // A workload is handed one token for a while.
    let token = of(json!({}));
    for _ in 0..2 {
        assert_eq!(by_assertion(dev, &token, &[("client_id", "build")]).await.status, 200);
    }
    assert!(
        dev.ready["demo"]["clients"]
            .as_array()
            .unwrap()
            .iter()
            .any(|c| c["client_id"] == "build" && c["client_secret"].is_null())
    );
}

#[tokio::test]
async fn a_key_or_an_own_token_is_exchanged_for_a_short_one() {
    let world = World::start();
    let dev = &world.dev;
    const KEY: &str = "ak_test_8f3b1c0e5a4d4f2c9b1e7d6c5a4b3c2d";
    const KEY_TYPE: &str = "urn:countersign:params:oauth:token-type:api_key";
    const ACCESS: &str = "urn:ietf:params:oauth:token-type:access_token";
    const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";
    let own = |life: i64| {
        let head = auth_core::secret::base64url(br#"{"alg":"HS256","typ":"JWT"}"#);
        let claims = json!({"clientId": "signer", "iat": now(), "exp": now() + life});
        let text = format!("{head}.{}", auth_core::secret::base64url(claims.to_string().as_bytes()));
        let key = jsonwebtoken::EncodingKey::from_secret(b"the-secret-of-the-signer-0123456789");
        let tag = jsonwebtoken::crypto::sign(text.as_bytes(), &key, jsonwebtoken::Algorithm::HS256).unwrap();
        format!("{text}.{tag}")
    };
    let base = [("grant_type", EXCHANGE), ("subject_token", KEY), ("subject_token_type", KEY_TYPE)];
    let with = |changes: &[(&'static str, &str)]| {
        let mut all: Vec<(&str, String)> = base.iter().map(|(n, v)| (*n, (*v).to_owned())).collect();
        for (name, value) in changes {
            all.retain(|(n, _)| n != name);
            if !value.is_empty() {
                all.push((name, (*value).to_owned()));
            }
        }
        form(&all.iter().map(|(n, v)| (*n, v.as_str())).collect::<Vec<_>>())
    };
    let ours = by_assertion(dev, &signed(world.key(Algorithm::ES256), "JWT", &claims(json!({}))), &[]).await;
    let ours = ours.json["access_token"].as_str().unwrap().to_owned();
    let own_token = own(600);
    let rows: [(&str, String, u16, &str); 22] = [
        ("an API key", with(&[]), 200, ""),
        ("by the type of any token", with(&[("subject_token_type", ACCESS)]), 200, ""),
        ("an own token", with(&[("subject_token", &own_token), ("subject_token_type", JWT)]), 200, ""),
        ("an access token is wanted", with(&[("requested_token_type", ACCESS)]), 200, ""),
        ("a JWT is wanted", with(&[("requested_token_type", JWT)]), 200, ""),
        ("for an API", with(&[("audience", "https://shop.example.test/v1")]), 200, ""),
        ("for fewer scopes", with(&[("scope", "orders:read")]), 200, ""),
        ("with its own client_id", with(&[("client_id", "secret")]), 200, ""),
        ("for more scopes", with(&[("scope", "orders:create")]), 400, "invalid_scope"),
        ("for another API", with(&[("audience", "https://other.example")]), 400, "invalid_target"),
        ("for another tenant", with(&[("tpl", "globex")]), 400, "invalid_target"),
        ("no subject", with(&[("subject_token", "")]), 400, "invalid_request"),
        ("no type", with(&[("subject_token_type", "")]), 400, "invalid_request"),
        ("a key by the type of a JWT", with(&[("subject_token_type", JWT)]), 400, "invalid_request"),
        ("a JWT by the type of a key", with(&[("subject_token", &own_token)]), 400, "invalid_request"),
        (
            "a type of others",
            with(&[("subject_token_type", "urn:ietf:params:oauth:token-type:saml2")]),
            400,
            "invalid_request",
        ),
        (
            "a refresh token is wanted",
            with(&[("requested_token_type", "urn:ietf:params:oauth:token-type:refresh_token")]),
            400,
            "invalid_request",
        ),
        ("an actor", with(&[("actor_token", "x")]), 400, "invalid_request"),
        (
            "an unknown key",
            with(&[("subject_token", "ak_test_ffffffffffffffffffffffffffffffff")]),
            400,
            "invalid_request",
        ),
        (
            "a revoked key",
            with(&[("subject_token", "ak_test_00000000000000000000000000000000")]),
            400,
            "invalid_request",
        ),
        ("a token of ours", with(&[("subject_token", &ours), ("subject_token_type", ACCESS)]), 400, "invalid_request"),
        ("another client's id", with(&[("client_id", "app")]), 400, "invalid_request"),
    ];
    for (sentence, body, status, error) in rows {
        let answer = dev.call("POST", "/oauth/token", &[FORM], &body).await;
        let said = answer.json["error"].as_str().unwrap_or_default().to_owned();
        assert_eq!((answer.status, said.as_str()), (status, error), "{sentence}: {}", answer.text);
    }
    let answer = dev.call("POST", "/oauth/token", &[FORM], &with(&[("scope", "orders:read")])).await.json;
    assert_eq!(
        (&answer["issued_token_type"], &answer["token_type"], &answer["expires_in"], &answer["scope"]),
        (&json!(ACCESS), &json!("Bearer"), &json!(900), &json!("orders:read"))
    );
    let token = answer["access_token"].as_str().unwrap();
    assert_eq!(dev.with_token(token, "GET", "/orders", "").await.status, 200, "good for what it says");
    assert_eq!(dev.with_token(token, "GET", "/stock/AB-1", "").await.outcome(), (403, -30), "and for no more");
    let short = dev
        .call("POST", "/oauth/token", &[FORM], &with(&[("subject_token", &own(120)), ("subject_token_type", JWT)]))
        .await;
    let life = short.json["expires_in"].as_i64().unwrap();
    assert!((110..=120).contains(&life), "no longer than the token it was exchanged for: {life}");

    // Whoever authenticates besides, must be the client of the subject.
    let rows = [
        ("its client", "secret", "the-secret-of-the-client-0123456789", 200),
        ("its client with a wrong secret", "secret", "wrong", 401),
        ("another client", "signer", "the-secret-of-the-signer-0123456789", 400),
    ];
    for (sentence, client, secret, status) in rows {
        let basic = basic(client, secret);
        let answer = dev.call("POST", "/oauth/token", &[("Authorization", &basic), FORM], &with(&[])).await;
        assert_eq!(answer.status, status, "{sentence}: {}", answer.text);
    }

    // The token ends with its key.
    let answer = dev.call("POST", "/oauth/token", &[FORM], &with(&[])).await.json;
    let token = answer["access_token"].as_str().unwrap();
    assert_eq!(dev.with_token(token, "GET", "/orders", "").await.status, 200);
    let gate = dev.gate();
    let key = KEY.parse::<auth_core::api_key::UnverifiedApiKey>().unwrap();
    let at = auth_core::time::Timestamp(now());
    let digest = key.digest(&gate.keyring.get(at).await.unwrap().pepper);
    let record =
        serde_json::from_value(json!({"key_id": "k", "client_id": "secret", "tenant": "acme", "apis": ["shop"],
        "environment": "test", "state": "revoked"}))
        .unwrap();
    gate.store.load(vec![auth_store::store::Record::ApiKey(digest, record)], |_| {}).await.unwrap();
    assert_eq!(dev.with_token(token, "GET", "/orders", "").await.status, 401, "the key was revoked");
    assert!(dev.said_so("the key of the token was revoked"));
}

#[tokio::test]
async fn a_token_is_limited_by_authorization_details() {
    let world = World::start();
    let dev = &world.dev;
    let details = json!([
        {"type": "countersign_access", "actions": ["stock:read"], "skus": ["AB-1*"]},
        {"type": "countersign_access", "actions": ["stock:write"], "skus": ["AB-12"]},
    ]);
    let basic = basic("secret", "the-secret-of-the-client-0123456789");
    let ask = async |body: String, kind: &str| {
        let headers = [("Authorization", basic.as_str()), ("Content-Type", kind)];
        dev.call("POST", "/oauth/token", &headers, &body).await
    };
    let text = details.to_string();
    let by_form = form(&[("grant_type", "client_credentials"), ("authorization_details", &text)]);
    let by_json = json!({"grant_type": "client_credentials", "authorization_details": details}).to_string();
    for (body, kind) in [(by_form, FORM.1), (by_json, "application/json")] {
        let answer = ask(body, kind).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        assert_eq!(answer.json["authorization_details"], details, "RFC 9396 section 7: what was granted is said");
        let token = answer.json["access_token"].as_str().unwrap();
        let rows = [
            ("an SKU of the first", "GET", "/stock/AB-1", (200, 0)),
            ("another of the first", "GET", "/stock/AB-12", (200, 0)),
            ("an SKU of the grant alone", "GET", "/stock/AB-2", (403, -32)),
            ("the second's", "PUT", "/stock/AB-12", (200, 0)),
            ("the second's action, the first's SKU", "PUT", "/stock/AB-1", (403, -32)),
            ("an action of neither", "GET", "/orders", (403, -30)),
        ];
        for (sentence, method, path, want) in rows {
            assert_eq!(dev.with_token(token, method, path, "").await.outcome(), want, "{sentence}");
        }
        let told =
            dev.call("POST", "/oauth/introspect", &[("Authorization", &basic), FORM], &form(&[("token", token)])).await;
        assert_eq!(told.json["authorization_details"], details, "RFC 9396 section 9.2: a resource server is told");
        assert_eq!(told.json["scope"], "stock:read stock:write");
    }
    let refused = form(&[("grant_type", "client_credentials"), ("authorization_details", r#"[{"type":"other"}]"#)]);
    assert_eq!(ask(refused, FORM.1).await.json["error"], "invalid_authorization_details");
}

#[tokio::test]
async fn a_resource_says_who_issues_tokens_for_it() {
    let world = World::start();
    let dev = &world.dev;
    let server = dev.call("GET", "/.well-known/oauth-authorization-server", &[], "").await.json;
    assert_eq!(
        server["protected_resources"],
        json!(["https://shop.example.test/v1"]),
        "and no API of the platform's own"
    );
    assert_eq!(server["authorization_details_types_supported"], json!(["countersign_access"]));
    assert!(server["grant_types_supported"].as_array().unwrap().contains(&json!(EXCHANGE)));
    for endpoint in ["token", "revocation", "introspection"] {
        let methods = &server[format!("{endpoint}_endpoint_auth_methods_supported")];
        assert_eq!(*methods, json!(["client_secret_basic", "client_secret_post", "private_key_jwt"]));
        let algorithms = &server[format!("{endpoint}_endpoint_auth_signing_alg_values_supported")];
        assert_eq!(*algorithms, json!(["RS256", "ES256", "EdDSA"]));
    }
    let found = json!({
        "resource": "https://shop.example.test/v1", "authorization_servers": ["https://auth.example.test"],
        "scopes_supported": ["orders:read", "stock:read", "stock:write"], "bearer_methods_supported": ["header"],
        "resource_name": "shop", "authorization_details_types_supported": ["countersign_access"],
    });
    let at = "/.well-known/oauth-protected-resource";
    let raw = async |host: &str, path: String| {
        let answer = raw_at(&dev.url, host, "GET", &path, &[], b"").await;
        (answer.status, answer.json)
    };
    let rows = [
        ("at its own address", "shop.example.test", format!("{at}/v1"), Some(&found)),
        ("by its name", "auth.example.test", format!("{at}/shop"), Some(&found)),
        ("at the address of another", "other.example.test", format!("{at}/v1"), None),
        ("an API of no tokens, or of no kind", "auth.example.test", format!("{at}/nothing"), None),
        ("nothing", "auth.example.test", at.to_owned(), None),
    ];
    for (sentence, host, path, want) in rows {
        let (status, json) = raw(host, path).await;
        match want {
            Some(want) => assert_eq!((status, &json), (200, want), "{sentence}"),
            None => assert_eq!(status, 404, "{sentence}"),
        }
    }
}

#[tokio::test]
async fn a_deployment_without_apis_says_so_without_empty_lists() {
    let seed = json!({"apis": [{"name": "bare", "openapi": "bare.json", "audience": "https://bare.example.test"}]});
    let bare = json!({"openapi": "3.0.1", "info": {"title": "bare", "version": "1"},
        "components": {"securitySchemes": {"jwt": {"type": "http", "scheme": "bearer"}}},
        "paths": {"/bare": {"get": {"security": [{"jwt": []}], "responses": {}}}}});
    let files = [("seed.json", seed.to_string()), ("bare.json", bare.to_string())];
    let dev = Dev::start(&["--seed", "FOLDER/seed.json"], &files, &[]);
    let bare = dev.call("GET", "/.well-known/oauth-protected-resource/bare", &[], "").await.json;
    assert_eq!(bare["resource"], "https://bare.example.test");
    let empty = |document: &Value| document.as_object().unwrap().values().any(|value| *value == json!([]));
    assert!(!empty(&bare) && bare.get("scopes_supported").is_none(), "{bare}");
    let server = dev.call("GET", "/.well-known/oauth-authorization-server", &[], "").await;
    assert!(!empty(&server.json), "{}", server.text);
    assert_eq!(server.header("cache-control"), Some("public, max-age=300"));
    // What is the platform's own is not told to everybody.
    let nobody = ["admin", "storefront"].map(|api| format!("/.well-known/oauth-protected-resource/{api}"));
    for path in nobody.iter().map(String::as_str).chain(["/.well-known/oauth-protected-resourcex"]) {
        assert_ne!(Dev::demo().call("GET", path, &[], "").await.status, 200, "{path}");
    }
    assert!(!server.text.contains("tenants:write"), "{}", server.text);
}

#[tokio::test]
async fn a_token_that_has_rested_too_long_is_not_active() {
    let dev = Dev::demo();
    let gate = dev.gate();
    let customer = json!({"tenant": "acme", "username": "ann@example.com", "password": "correct horse battery staple"});
    let login = dev.call("POST", "/login", &[("Content-Type", "application/json")], &customer.to_string()).await;
    let token = login.json["access_token"].as_str().unwrap().to_owned();
    let payload = auth_core::secret::from_base64url(token.split('.').nth(1).unwrap()).unwrap();
    let payload: Value = serde_json::from_slice(&payload).unwrap();
    let basic = basic("operator", &dev.secret("operator"));
    let headers = [("Authorization", basic.as_str()), FORM];
    let ask = async || dev.call("POST", "/oauth/introspect", &headers, &form(&[("token", &token)])).await.json;
    assert_eq!(ask().await["active"], true, "just issued");
    // As if it had last been used a while ago: the storefront's idle life is ten minutes, and a tenth for noting it.
    let (jti, expires) = (payload["jti"].as_str().unwrap().parse().unwrap(), auth_core::time::Timestamp(now() + 3600));
    gate.store.note_seen(&jti, auth_core::time::Timestamp(now() - 670), expires).await.unwrap();
    assert_eq!(ask().await, json!({"active": false}));
    gate.store.note_seen(&jti, auth_core::time::Timestamp(now() - 600), expires).await.unwrap();
    assert_eq!(ask().await["active"], true, "within its idle life");
}

#[tokio::test]
async fn nobody_revokes_what_is_anothers() {
    let dev = Dev::demo();
    let token = dev.token("gains-partner", &[]).await;
    let path = "/clients/acme/skus/AB-1";
    let supplied = async |token: &str| {
        let bearer = format!("Bearer {token}");
        dev.call("GET", path, &[("Authorization", &bearer), ("X-Partner-Supplier", "S-100")], "").await.status
    };
    let rows = [
        ("another client's", "gains-reader", token.as_str(), 200),
        ("nonsense", "gains-partner", "nonsense", 200),
        ("its own", "gains-partner", &token, 401),
    ];
    for (sentence, client, sent, then) in rows {
        let basic = basic(client, &dev.secret(client));
        let headers = [("Authorization", basic.as_str()), FORM];
        let answer = dev.call("POST", "/oauth/revoke", &headers, &form(&[("token", sent)])).await;
        assert_eq!(answer.status, 200, "RFC 7009 section 2.2: {sentence}");
        assert_eq!(supplied(&token).await, then, "{sentence}");
    }
    let headers = [("Authorization", "Basic eDp5"), FORM];
    for path in ["/oauth/token", "/oauth/revoke", "/oauth/introspect"] {
        let answer = dev.call("POST", path, &headers, "grant_type=client_credentials&token=x").await;
        assert_eq!((answer.status, answer.json["error"].as_str()), (401, Some("invalid_client")), "{path}");
        assert_eq!(answer.header("pragma"), Some("no-cache"), "{path}");
        assert_eq!(dev.call("GET", path, &[], "").await.header("allow"), Some("POST"), "{path}");
    }
}

#[tokio::test]
async fn a_key_is_exchanged_for_no_more_than_a_partners_token() {
    let dev = Dev::demo();
    let gate = dev.gate();
    let at = auth_core::time::Timestamp(now());
    let pepper = &gate.keyring.get(at).await.unwrap().pepper.clone();
    let mut count = 0;
    let mut key_of = |client: &str, tenant: &str, api: &str| {
        count += 1;
        let text = format!("ak_test_{count:032x}");
        let digest = text.parse::<auth_core::api_key::UnverifiedApiKey>().unwrap().digest(pepper);
        let record = json!({"key_id": format!("k{count}"), "client_id": client, "tenant": tenant, "apis": [api],
            "environment": "test", "state": "active"});
        (text, auth_store::store::Record::ApiKey(digest, serde_json::from_value(record).unwrap()))
    };
    let rows = [
        ("an application that maintains tenants", key_of("operator", "acme", "admin"), 400, json!(null)),
        ("a tenant's approver", key_of("acme-approver", "acme", "admin"), 200, json!(null)),
        ("a partner", key_of("gains-partner", "acme", "partner"), 200, json!("sku:read sku:write")),
        // As a seed may have it: the key is for an API that its client is not assigned.
        ("a partner, on another API", key_of("gains-partner", "acme", "messages"), 200, json!("sku:read sku:write")),
    ];
    for (sentence, (key, record), status, scope) in rows {
        gate.store.load(vec![record], |_| {}).await.unwrap();
        let parameters = [
            ("grant_type", EXCHANGE),
            ("subject_token", key.as_str()),
            ("subject_token_type", "urn:countersign:params:oauth:token-type:api_key"),
        ];
        let answer = post(&dev, "/oauth/token", &parameters).await;
        assert_eq!((answer.status, &answer.json["scope"]), (status, &scope), "{sentence}: {}", answer.text);
        if sentence == "a partner" {
            let token = answer.json["access_token"].as_str().unwrap();
            assert_eq!(dev.with_token(token, "GET", "/test/partner", "").await.status, 200, "{sentence}");
        }
    }
}
