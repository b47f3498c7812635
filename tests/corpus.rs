//! The corpus of hostile and good inputs, every case as it says.

use crate::harness::{Answer, Dev, raw};
use auth_core::api::{Catalog, Request};
use auth_core::decision::{Deployment, Trail, authorize, establish_self_signed, establish_token};
use auth_core::ids::Environment;
use auth_core::jwk::VerifyingKey;
use auth_core::keyring::{Keyring, KeyringDocument};
use auth_core::records::{Client, Facts, Grant, SealedSecret, SelfSigning, Tenant};
use auth_core::secret::SecretText;
use auth_core::time::Timestamp;
use auth_core::token::{Expected, UnverifiedToken};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::Arc;

fn lines(name: &str) -> Vec<Value> {
    let path = format!("{}/corpus/{name}.jsonl", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(path).unwrap().lines().map(|l| serde_json::from_str(l).unwrap()).collect()
}

fn file(name: &str) -> Value {
    let path = format!("{}/corpus/{name}.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// The keys of the corpus as a private JWK set.
fn jwks() -> Value {
    let path = format!("{}/corpus/private.jwks.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

const ORDERS: &str = r#"
openapi: 3.0.1
info: { title: Orders, version: "1" }
components: { securitySchemes: { jwt: { type: http, scheme: bearer } } }
x-countersign-tenant: TENANT
paths:
  /orders:
    get: { operationId: getOrders, security: [{ jwt: ["orders:read"] }] }
    post: { operationId: postOrders, security: [{ jwt: ["orders:write"] }] }
"#;

const PRODUCTS: &str = r#"
openapi: 3.0.1
info: { title: Products, version: "1" }
components: { securitySchemes: { key: { type: apiKey, in: header, name: ApiKey } } }
x-countersign-tenant: header.X-Tenant
paths:
  /supplier/products:
    get: { operationId: listProducts, security: [{ key: ["products:read"] }] }
    post: { operationId: searchProducts, security: [{ key: ["products:read"] }] }
    delete: { operationId: deleteProducts, security: [{ key: ["products:delete"] }] }
"#;

#[test]
fn every_token_of_the_corpus_is_judged_as_it_says() {
    let verifier = file("verifier");
    let profile = &verifier["profile"];
    let text = |name: &str| profile[name].as_str().unwrap().to_owned();
    let keyring = KeyringDocument::from_jwks(&jwks(), [1; 32], [2; 32], auth_core::time::Timestamp(0)).unwrap();
    let keyring = Keyring::parse(&keyring.to_text()).unwrap();
    let issuer = text("issuer");
    let now = Timestamp(verifier["now"].as_i64().unwrap());
    let expected = Expected { issuer: &issuer, leeway_seconds: 60, now };

    let document: Value = yaml_serde::from_str(&ORDERS.replace("TENANT", "token")).unwrap();
    let operations = auth_core::openapi::read(&document).unwrap().operations.into_iter().map(|(_, o)| o).collect();
    let api = auth_core::api::Api {
        name: "orders".parse().unwrap(),
        audience: text("audience"),
        url: None,
        document: "orders".into(),
        token: auth_core::api::TokenSettings::default(),
        operations,
    };
    let catalog = Catalog { apis: [(api.name.clone(), api.into())].into(), ..Catalog::default() };
    let request = Request { method: "GET".into(), path: "/orders".into(), ..Request::default() };
    let deployment = Deployment { environment: Environment::Live, now };
    let facts = |client: &str, tenant: &str| {
        if client.is_empty() {
            return Facts::default();
        }
        let secret = verifier["partners"].get(client).and_then(Value::as_str);
        let client_json = json!({"client_id": client, "kind": "single_tenant", "tenant": tenant, "environment": "live",
            "state": "active", "internal": false, "grant_types": [], "secrets": [], "requires_user_login": false,
            "apis": ["orders"], "roles": []});
        let mut record: Client = serde_json::from_value(client_json).unwrap();
        record.self_signing = secret.map(|secret| {
            let sealed = keyring.sealing.seal(client, &SecretText::new(secret), [9; 12]).unwrap();
            SelfSigning {
                secrets: vec![SealedSecret { sealed, created_at: None, expires_at: None, expired_at: None }],
                max_lifetime_seconds: 3600,
            }
        });
        let grant: Grant = serde_json::from_value(json!({"client_id": client, "tenant": tenant, "state": "approved",
            "scopes": ["orders:read", "orders:write"], "roles": [], "skus": [], "suppliers": []}))
        .unwrap();
        let tenant: Tenant =
            serde_json::from_value(json!({"id": tenant, "apis": ["orders"], "state": "active"})).unwrap();
        let known = secret.is_some();
        Facts {
            client: known.then(|| record.into()),
            grant: Some(grant.into()),
            tenant: Some(tenant.into()),
            ..Facts::default()
        }
    };
    let tenant_of = |client: &str| if client == "partner-b" { "globex" } else { "acme" };

    let mut wrong = Vec::new();
    for case in lines("jwt") {
        // One verifier for tokens of all algorithms, as the corpus wants; an API takes those of one.
        let mut catalog = catalog.clone();
        let algorithm = auth_core::jws::UnverifiedJws::parse(case["token"].as_str().unwrap());
        if let (Ok(jws), Some(api)) = (algorithm, catalog.apis.values_mut().next()) {
            Arc::make_mut(api).token.alg = jws.unverified_algorithm();
        }
        let trail = &mut Trail::default();
        let matched = catalog.find("GET", "/orders").unwrap();
        let result = UnverifiedToken::parse(case["token"].as_str().unwrap()).and_then(|token| {
            let rights = match token {
                UnverifiedToken::Issued(_) if case["ctx"] == "partner" => {
                    return Err(auth_core::refusal::Reason::new(
                        auth_core::refusal::Refusal::InvalidToken,
                        "not partner",
                    ));
                }
                UnverifiedToken::Issued(token) => {
                    let token = token.verify(&keyring, &expected)?;
                    let client = token.client_id().map_or("", |c| c.as_str()).to_owned();
                    establish_token(token, facts(&client, "acme"), &catalog, deployment, Some(&matched.api), trail)?
                }
                UnverifiedToken::SelfSigned(token) => {
                    let client = token.unverified_client_id().as_str().to_owned();
                    let facts = facts(&client, tenant_of(&client));
                    let audiences = [matched.api.audience.as_str()];
                    let token = token.verify(facts.client.as_deref(), &keyring, &expected, &audiences).unwrap()?;
                    let principal = case["principal"].as_str();
                    assert!(principal.is_none_or(|p| p == token.client_id().as_str()), "{}", case["id"]);
                    let tenant = tenant_of(&client).parse().unwrap();
                    establish_self_signed(&token, Some(&tenant), facts, &catalog, deployment, trail)?
                }
            };
            authorize(&rights.into(), &matched, &request, trail)
        });
        if result.is_ok() != (case["expect"] == "accept") {
            wrong.push(format!(
                "{} [{}]: {} -> {:?}",
                case["id"],
                case["level"],
                case["why"],
                result.err().map(|r| r.why)
            ));
        }
    }
    assert!(wrong.is_empty(), "{} cases:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn every_key_of_the_corpus_is_taken_or_refused() {
    let existing = ["svc-hs-1", "svc-rs-1", "svc-es-1", "svc-ed-1"];
    let mut wrong = Vec::new();
    for case in lines("bad_keys") {
        let taken = VerifyingKey::from_jwk(&case["jwk"]).is_ok_and(|key| !existing.contains(&key.kid()));
        if taken != (case["expect"] == "accept") {
            wrong.push(format!("{}: {}", case["id"], case["why"]));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The state that headers and bodies assume.
fn seed(environment: &str) -> Value {
    let fixture = file("fixture");
    let clients: Vec<Value> = fixture["clients"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| {
            let tenants = c["tenants"].as_array().unwrap();
            let dynamic = c["mode"] == "dynamic";
            let grants: Vec<Value> =
                tenants.iter().map(|t| json!({"tenant": t, "state": "approved", "scopes": c["scopes"]})).collect();
            let state = match c["status"].as_str() {
                Some("disabled") => "suspended",
                Some("pending") => "pending",
                _ => "active",
            };
            let mut client = json!({
                "client_id": c["client_id"], "client_secret": c["secret"], "grant_types": c["grants"],
                "kind": if dynamic { "dynamic_tenant" } else { "single_tenant" }, "state": state,
                "apis": ["orders"], "grants": grants,
            });
            if !dynamic {
                client["tenant"] = tenants.first().cloned().unwrap_or(json!("acme"));
            }
            if let Some(previous) = c["previous_secret"].as_str() {
                let at = if c["previous_valid"] == true { "2099-01-01T00:00:00Z" } else { "2020-01-01T00:00:00Z" };
                client["previous_secrets"] = json!([{"secret": previous, "expires_at": at}]);
            }
            client
        })
        .chain([
            json!({"client_id": "shop-acme", "client_secret": "x", "kind": "single_tenant", "tenant": "acme",
                "grants": [{"tenant": "acme", "state": "approved", "scopes": ["products:read"]}]}),
            json!({"client_id": "shop-globex", "client_secret": "x", "kind": "single_tenant", "tenant": "globex",
                "grants": [{"tenant": "globex", "state": "approved", "scopes": ["products:read"]}]}),
        ])
        .collect();
    let keys: Vec<Value> = fixture["api_keys"]
        .as_array()
        .unwrap()
        .iter()
        .map(|k| {
            let payments = k["routes"][0].as_str().unwrap().contains("payments");
            let mut key = json!({"key": k["key"], "client_id": format!("shop-{}", k["tenant"].as_str().unwrap()),
                "tenant": k["tenant"], "apis": [if payments { "payments" } else { "products" }]});
            match k["status"].as_str() {
                Some("revoked") => key["state"] = json!("revoked"),
                Some("expired") => key["expires_at"] = json!("2020-01-01T00:00:00Z"),
                _ => {}
            }
            key
        })
        .collect();
    let customers: Vec<Value> = fixture["customers"]
        .as_array()
        .unwrap()
        .iter()
        .enumerate()
        .map(|(i, c)| {
            let state = if c["status"] == "disabled" { "disabled" } else { "active" };
            json!({"tenant": c["tenant"], "username": c["login"], "password": c["password"],
                "customer_id": format!("cu-{i}"), "state": state})
        })
        .collect();
    json!({
        "issuer": "https://auth.partner.example", "environment": environment, "keyring": "keys.jwks.json",
        "apis": [
            {"name": "orders", "openapi": "orders.yaml", "audience": "https://api.partner.example", "token": {"alg": "ES256"}},
            {"name": "products", "openapi": "products.yaml"},
            {"name": "storefront", "openapi": "storefront.yaml", "token": {"alg": "ES256"}},
        ],
        "tenants": [{"id": "acme", "apis": ["orders", "products", "storefront"]},
            {"id": "globex", "apis": ["orders", "products", "storefront"]}, {"id": "initech", "apis": []}],
        "clients": clients, "api_keys": keys, "customers": customers,
    })
}

fn dev() -> Dev {
    let storefront = r#"
openapi: 3.0.1
info: { title: Storefront, version: "1" }
components: { securitySchemes: { jwt: { type: http, scheme: bearer } } }
x-countersign-subject: customer
paths: { /cart: { get: { security: [{ jwt: [] }] } } }
"#;
    let files = [
        ("seed.json", seed("live").to_string()),
        ("keys.jwks.json", jwks().to_string()),
        ("orders.yaml", ORDERS.replace("TENANT", "token")),
        ("products.yaml", PRODUCTS.to_owned()),
        ("storefront.yaml", storefront.to_owned()),
    ];
    Dev::start(&["--seed", "FOLDER/seed.json"], &files, &[])
}

fn expected(case: &Value) -> Vec<u64> {
    case["status"].as_array().map(|l| l.iter().filter_map(Value::as_u64).collect()).unwrap_or_default()
}

/// Header values as the corpus writes them: each character up to U+00FF that is not ASCII may stand for a byte.
fn headers(case: &Value) -> Vec<(String, Vec<u8>)> {
    let pairs = case["headers"].as_array().into_iter().flatten();
    pairs.map(|p| (p[0].as_str().unwrap().to_owned(), p[1].as_str().unwrap().as_bytes().to_vec())).collect()
}

fn path_of(case: &Value) -> String {
    match case["query"].as_str() {
        Some(query) => format!("{}?{query}", case["path"].as_str().unwrap()),
        None => case["path"].as_str().unwrap().to_owned(),
    }
}

/// A token as the control of the corpus, made now: the corpus's own has expired.
fn fresh(case: &Value, good: &str, minted: &str) -> Vec<(String, Vec<u8>)> {
    headers(case)
        .into_iter()
        .map(|(name, value)| match String::from_utf8(value.clone()) {
            Ok(text) => (name, text.replace(good, minted).into_bytes()),
            Err(_) => (name, value),
        })
        .collect()
}

#[tokio::test]
async fn every_header_of_the_corpus_is_answered_as_it_says() {
    let dev = dev();
    let cases = lines("headers");
    let control = cases.iter().find(|c| c["id"] == "jwt-ctl").unwrap();
    let good = control["headers"][0][1].as_str().unwrap().trim_start_matches("Bearer ").to_owned();
    let answer = raw(
        &dev.url,
        "POST",
        "/oauth/token",
        &headers(&json!({"headers": [["Authorization", crate::harness::basic("partner-a", "pA-7Qk2mX9vR4tB8nL1wE6yU3iO5pA0sD")],
            ["Content-Type", "application/x-www-form-urlencoded"]]})),
        b"grant_type=client_credentials",
    )
    .await;
    let minted = answer.json["access_token"].as_str().unwrap().to_owned();
    let mut wrong = Vec::new();
    for case in &cases {
        if case.get("event").is_some() {
            continue; // Events that no gateway sends; they are in the test of event shapes.
        }
        if headers(case).iter().any(|(_, v)| v.contains(&b'\n')) {
            continue; // On the wire that is another header; as one value it is in the events below.
        }
        let method = case["method"].as_str().unwrap();
        let body = case["body"].as_str().unwrap_or_default().replace(&good, &minted);
        let path = path_of(case).replace(&good, &minted);
        let answer = raw(&dev.url, method, &path, &fresh(case, &good, &minted), body.as_bytes()).await;
        if !as_expected(case, &answer) {
            wrong.push(format!(
                "{} [{}]: {} -> {} {}",
                case["id"], case["level"], case["why"], answer.status, answer.text
            ));
        }
    }
    assert!(wrong.is_empty(), "{} cases:\n{}", wrong.len(), wrong.join("\n"));
}

#[tokio::test]
async fn every_authorizer_header_of_the_corpus_is_answered_in_every_event_shape() {
    let dev = dev();
    let gate = dev.gate();
    let cases = lines("headers");
    let control = cases.iter().find(|c| c["id"] == "jwt-ctl").unwrap();
    let good = control["headers"][0][1].as_str().unwrap().trim_start_matches("Bearer ").to_owned();
    let basic = crate::harness::basic("partner-a", "pA-7Qk2mX9vR4tB8nL1wE6yU3iO5pA0sD");
    let form = [("Authorization", basic.as_str()), ("Content-Type", "application/x-www-form-urlencoded")];
    let minted = dev.call("POST", "/oauth/token", &form, "grant_type=client_credentials").await;
    let minted = minted.json["access_token"].as_str().unwrap().to_owned();
    let mut wrong = Vec::new();
    for case in cases.iter().filter(|c| c["target"] != "token") {
        let pairs: Vec<(String, String)> = fresh(case, &good, &minted)
            .into_iter()
            .map(|(n, v)| (n, String::from_utf8_lossy(&v).into_owned()))
            .collect();
        let arn = format!(
            "arn:aws:execute-api:eu-west-1:1:a/s/{}{}",
            case["method"].as_str().unwrap(),
            case["path"].as_str().unwrap()
        );
        let events = match case.get("event") {
            Some(event) => {
                vec![("as given", serde_json::from_str(&event.to_string().replace(&good, &minted)).unwrap())]
            }
            None => shapes(&pairs, &arn, case["target"] == "apikey"),
        };
        for (shape, event) in events {
            let sink = auth_edge::report::Stdout;
            let settings = dev.settings();
            let result = match case["target"].as_str() {
                Some("apikey") => api_key_authorizer::handle(&gate, &settings, &sink, &event, "r").await,
                _ => jwt_authorizer::handle(&gate, &settings, &sink, &event, "r").await,
            };
            let result = result.map(|reply| reply.to_value());
            let allowed = match &result {
                Ok(answer) if shape == "HTTP API 2.0" => answer["isAuthorized"] == true,
                Ok(answer) => policy_allows(answer, &arn),
                Err(failure) => {
                    assert_eq!(failure.to_string(), "Unauthorized", "{}", case["id"]);
                    false
                }
            };
            if allowed != (case["expect"] == "accept") {
                wrong.push(format!("{} [{}] as {shape}: {} -> {result:?}", case["id"], case["level"], case["why"]));
            }
        }
    }
    assert!(wrong.is_empty(), "{} cases:\n{}", wrong.len(), wrong.join("\n"));
}

/// One request in the shapes that show all its headers.
fn shapes(headers: &[(String, String)], arn: &str, tenant_in_header: bool) -> Vec<(&'static str, Value)> {
    let mut multi: std::collections::BTreeMap<&str, Vec<&str>> = Default::default();
    let mut joined: std::collections::BTreeMap<String, String> = Default::default();
    for (name, value) in headers {
        multi.entry(name).or_default().push(value);
        let lower = name.to_ascii_lowercase();
        joined.entry(lower).and_modify(|v| *v = format!("{v},{value}")).or_insert_with(|| value.clone());
    }
    let single: HashMap<&str, &str> = headers.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
    let rest = json!({"type": "REQUEST", "methodArn": arn, "headers": single, "multiValueHeaders": multi});
    let mut one = rest.clone();
    one["version"] = json!("1.0");
    let two = json!({"type": "REQUEST", "version": "2.0", "routeArn": arn, "headers": joined});
    let mut all = vec![("REST REQUEST", rest), ("HTTP API 1.0", one), ("HTTP API 2.0", two)];
    let tokens: Vec<&str> =
        headers.iter().filter(|(n, _)| n.eq_ignore_ascii_case("authorization")).map(|(_, v)| v.as_str()).collect();
    if let ([token], false) = (tokens.as_slice(), tenant_in_header) {
        all.push(("REST TOKEN", json!({"type": "TOKEN", "methodArn": arn, "authorizationToken": token})));
    }
    all
}

/// A reading of policies of our own, so that the gateway's is not the only one.
fn policy_allows(answer: &Value, arn: &str) -> bool {
    let said = |effect: &str| {
        answer["policyDocument"]["Statement"]
            .as_array()
            .into_iter()
            .flatten()
            .filter(move |s| s["Effect"] == effect)
            .any(|s| s["Resource"].as_array().unwrap().iter().any(|r| auth_core::ids::glob(r.as_str().unwrap(), arn)))
    };
    said("Allow") && !said("Deny")
}

/// Whether an answer is what a case wants. Control characters in a header are no HTTP at all, and the server says so
/// with 400 before anybody looks at the header.
fn as_expected(case: &Value, answer: &Answer) -> bool {
    let expected = expected(case);
    let not_http = headers(case)
        .iter()
        .any(|(n, v)| v.iter().any(|b| (*b < 0x20 && *b != b'\t') || *b == 0x7f) || !n.is_ascii() || n.contains('\0'))
        || !case["path"].as_str().unwrap().is_ascii()
        || case["path"].as_str().unwrap().contains('\\');
    let error_fits = case["error"]
        .as_array()
        .is_none_or(|e| answer.status == 415 || answer.status == 413 || e.contains(&answer.json["error"]));
    (expected.contains(&u64::from(answer.status)) && error_fits) || (not_http && answer.status == 400)
}

#[tokio::test]
async fn every_body_of_the_corpus_is_answered_as_it_says() {
    use base64::Engine as _;
    let dev = dev();
    let cases = lines("bodies");
    let mut answers: HashMap<String, Answer> = HashMap::new();
    let mut wrong = Vec::new();
    for case in &cases {
        let body = match case["body_b64"].as_str() {
            Some(text) => base64::engine::general_purpose::STANDARD.decode(text).unwrap(),
            None => case["body"].as_str().unwrap_or_default().as_bytes().to_vec(),
        };
        let answer = raw(&dev.url, case["method"].as_str().unwrap(), &path_of(case), &headers(case), &body).await;
        let mut faults = Vec::new();
        if !as_expected(case, &answer) {
            faults.push(format!("{} {}", answer.status, answer.text));
        }
        let token = answer.json["access_token"].as_str().unwrap_or_default();
        let claims: Value = token
            .split('.')
            .nth(1)
            .and_then(|p| base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(p).ok())
            .and_then(|p| serde_json::from_slice(&p).ok())
            .unwrap_or_default();
        for (name, value) in case["claims"].as_object().into_iter().flatten() {
            if claims[name] != *value {
                faults.push(format!("claim {name} is {}", claims[name]));
            }
        }
        for name in case["claims_absent"].as_array().into_iter().flatten() {
            if claims.get(name.as_str().unwrap()).is_some() {
                faults.push(format!("claim {name} is there"));
            }
        }
        for scope in case["must_not_grant"].as_array().into_iter().flatten() {
            if claims["scope"].as_str().unwrap_or_default().split(' ').any(|s| s == scope) {
                faults.push(format!("scope {scope} was granted"));
            }
        }
        if let Some(same) = case["same_as"].as_str() {
            let (a, b) = (answers.get(same).unwrap(), &answer);
            let strip = |a: &Answer| {
                (a.status, a.json["error"].clone(), a.json["error_description"].clone(), a.json["code"].clone())
            };
            if strip(a) != strip(b) {
                faults.push(format!("differs from {same}"));
            }
        }
        answers.insert(case["id"].as_str().unwrap().to_owned(), answer);
        if !faults.is_empty() {
            wrong.push(format!("{} [{}]: {} -> {}", case["id"], case["level"], case["why"], faults.join("; ")));
        }
    }
    assert!(wrong.is_empty(), "{} cases:\n{}", wrong.len(), wrong.join("\n"));
}
