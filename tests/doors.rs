//! The doors that strangers' bytes come in by, and what must hold of each, whatever the bytes: one function a door, which
//! panics where it does not hold. `fuzz/` tries them with bytes that are grown from one another; the tests, with those
//! that are kept in `tests/fuzz`.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a property that does not hold is said by panicking"
)]

use auth_core::admin::command::Command;
use auth_core::api::{Api, Catalog, Found, Request, TokenSettings};
use auth_core::api_key::UnverifiedApiKey;
use auth_core::client_authentication::UnverifiedAssertion;
use auth_core::decision::{Deployment, Rights, Trail, Verdict, authorize, establish_token};
use auth_core::details::Details;
use auth_core::ids::{ApiName, Environment, glob};
use auth_core::jws::Algorithm;
use auth_core::keyring::{Keyring, KeyringDocument};
use auth_core::policy::{Breadth, routes};
use auth_core::policy::{MAX_RESOURCE, resource};
use auth_core::records::{Client, Facts};
use auth_core::remote::HttpsUrl;
use auth_core::secret::{Sealed, SecretText};
use auth_core::settings::HttpApiResponse;
use auth_core::time::Timestamp;
use auth_core::token::{Expected, UnverifiedToken};
use auth_core::{jwk, openapi};
use auth_edge::answer::{Answer, answer};
use auth_edge::arn::MethodArn;
use auth_edge::event::AuthorizerEvent;
use auth_edge::oauth::{Parameters, basic_client, client_authentication};
use auth_edge::{header, http_request};
use aws_lc_rs::hmac;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use aws_lc_rs::signature::{RsaPublicKeyComponents, VerificationAlgorithm};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as URL;
use serde_json::{Value, json};
use std::sync::{Arc, OnceLock};

/// A door.
pub type Door = fn(&[u8]);

/// All doors, by name.
pub const DOORS: [(&str, Door); 18] = [
    ("jwt", jwt),
    ("client_assertion", client_assertion),
    ("authorization_header", authorization_header),
    ("api_key", api_key),
    ("token_request", token_request),
    ("authorizer_event", authorizer_event),
    ("http_event", http_event),
    ("method_arn", method_arn),
    ("openapi_document", openapi_document),
    ("admin_command", admin_command),
    ("authorization_details", authorization_details),
    ("keyring_document", keyring_document),
    ("jwk_set", jwk_set),
    ("sealed_text", sealed_text),
    ("jwks_uri", jwks_uri),
    ("identifiers", identifiers),
    ("seed_file", seed_file),
    ("import_line", import_line),
];

const JWKS: &str = include_str!("corpus/private.jwks.json");
const VERIFIER: &str = include_str!("corpus/verifier.json");
const TOKENS: &str = include_str!("corpus/jwt.jsonl");

/// What every door stands in.
struct House {
    keyring: Keyring,
    keys: Vec<Value>,
    verifier: Value,
    partner: Client,
    catalog: Arc<Catalog>,
    rights: Arc<Rights>,
}

const NOW: Timestamp = Timestamp(1_800_000_000);

fn house() -> &'static House {
    static HOUSE: OnceLock<House> = OnceLock::new();
    HOUSE.get_or_init(|| {
        let jwks: Value = serde_json::from_str(JWKS).unwrap();
        let document = KeyringDocument::from_jwks(&jwks, [1; 32], [2; 32], Timestamp(0)).unwrap();
        let keyring = Keyring::parse(&document.to_text()).unwrap();
        let verifier: Value = serde_json::from_str(VERIFIER).unwrap();
        let (id, secret) = verifier["partners"].as_object().unwrap().iter().next().unwrap();
        let sealed = keyring.sealing.seal(id, &SecretText::new(secret.as_str().unwrap()), [9; 12]).unwrap();
        let mut partner = client(id);
        partner["self_signing"] = json!({"secrets": [{"sealed": sealed.into_text()}], "max_lifetime_seconds": 3600});
        let partner = serde_json::from_value(partner).unwrap();
        let catalog = catalog();
        let rights = rights(&keyring, &catalog);
        House {
            keyring,
            keys: jwks["keys"].as_array().unwrap().clone(),
            verifier,
            partner,
            catalog: catalog.into(),
            rights,
        }
    })
}

fn client(id: &str) -> Value {
    json!({"client_id": id, "kind": "single_tenant", "tenant": "acme", "environment": "live", "state": "active",
        "internal": false, "grant_types": ["client_credentials"], "secrets": [], "requires_user_login": false,
        "apis": ["shop"], "roles": []})
}

/// An API with a tenant and an SKU in its paths, and one beside it that is granted to nobody.
fn catalog() -> Catalog {
    let of = |scope: &str| json!({"security": [{"t": [scope]}]});
    let document = json!({"openapi": "3.0.1", "info": {"title": "shop", "version": "1"},
    "x-countersign-tenant": "path.tenant",
    "components": {"securitySchemes": {"t": {"type": "http", "scheme": "bearer"}}},
    "paths": {
        "/c/{tenant}": {"get": of("shop:read")},
        "/c/{tenant}/skus/{sku}": {"x-countersign-sku": "path.sku", "get": of("shop:read"), "put": of("shop:write")},
        "/c/{tenant}/orders/{id}": {"get": of("shop:read"), "delete": of("shop:delete")},
        "/c/{tenant}/secret": {"get": of("shop:delete")},
        "/graphql": {"x-countersign-tenant": "token", "post": of("shop:read")},
    }});
    let operations = openapi::read(&document).unwrap().operations.into_iter().map(|(_, o)| o).collect();
    let name: ApiName = "shop".parse().unwrap();
    let token = TokenSettings { alg: Algorithm::EdDSA, ..TokenSettings::default() };
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

/// The rights of a client that may read and write its own tenant's SKUs `AB-*`, and delete nothing.
fn rights(keyring: &Keyring, catalog: &Catalog) -> Arc<Rights> {
    let claims = json!({"iss": "https://auth.example", "aud": "https://shop.example", "sub": "c1", "client_id": "c1",
        "iat": NOW.0, "exp": NOW.0 + 3600, "scope": "shop:read shop:write", "token_use": "partner", "tenant": "acme",
        "environment": "live"});
    let text = auth_core::jws::sign(keyring.signing_key(Algorithm::EdDSA).unwrap(), "at+jwt", &claims).unwrap();
    let Ok(UnverifiedToken::Issued(token)) = UnverifiedToken::parse(&text) else { panic!("a token of ours") };
    let expected = Expected { issuer: "https://auth.example", leeway_seconds: 60, now: NOW };
    let facts = Facts {
        client: serde_json::from_value(client("c1")).unwrap(),
        grant: serde_json::from_value(json!({"client_id": "c1", "tenant": "acme", "state": "approved",
            "scopes": ["shop:read", "shop:write"], "roles": [], "skus": ["AB-*"], "suppliers": []}))
        .unwrap(),
        tenant: serde_json::from_value(json!({"id": "acme", "apis": ["shop"], "state": "active"})).unwrap(),
        ..Facts::default()
    };
    let deployment = Deployment { environment: Environment::Live, now: NOW };
    let token = token.verify(keyring, &expected).unwrap();
    establish_token(token, facts, catalog, deployment, None, &mut Trail::default()).unwrap().into()
}

fn text(data: &[u8]) -> Option<&str> {
    std::str::from_utf8(data).ok()
}

/// Whether a signature is right by a library that none of our rules stands before.
fn is_signed(text: &str, keys: &[&Value]) -> bool {
    let Some((input, signature)) = text.rsplit_once('.') else { return false };
    let Ok(signature) = URL.decode(signature) else { return false };
    let part = |key: &Value, name: &str| URL.decode(key[name].as_str().unwrap_or_default()).unwrap_or_default();
    let holds = |algorithm: &'static dyn VerificationAlgorithm, key: &[u8]| {
        UnparsedPublicKey::new(algorithm, key).verify(input.as_bytes(), &signature).is_ok()
    };
    keys.iter().any(|key| match key["kty"].as_str() {
        Some("RSA") => RsaPublicKeyComponents { n: part(key, "n"), e: part(key, "e") }
            .verify(&RSA_PKCS1_2048_8192_SHA256, input.as_bytes(), &signature)
            .is_ok(),
        Some("EC") => holds(&ECDSA_P256_SHA256_FIXED, &[&[4][..], &part(key, "x"), &part(key, "y")].concat()),
        Some("OKP") => holds(&ED25519, &part(key, "x")),
        _ => hmac::verify(&hmac::Key::new(hmac::HMAC_SHA256, &part(key, "k")), input.as_bytes(), &signature).is_ok(),
    })
}

/// A token is taken only if its signature is right by the key that it names, and nothing but a signature of ours makes it
/// so: its payload is one of those in the corpus.
fn jwt(data: &[u8]) {
    let (house, Some(text)) = (house(), text(data)) else { return };
    let issuer = house.verifier["profile"]["issuer"].as_str().unwrap();
    let expected = Expected { issuer, leeway_seconds: 60, now: Timestamp(house.verifier["now"].as_i64().unwrap()) };
    match UnverifiedToken::parse(text) {
        Ok(UnverifiedToken::Issued(token)) => {
            let kid = token.unverified_kid().to_owned();
            if token.verify(&house.keyring, &expected).is_ok() {
                let keys: Vec<&Value> = house.keys.iter().filter(|key| key["kid"] == kid.as_str()).collect();
                assert!(is_signed(text, &keys), "taken, though no key signed it");
                assert!(was_signed(text), "taken, though nobody ever signed it");
            }
        }
        Ok(UnverifiedToken::SelfSigned(token)) => {
            let audiences = [house.verifier["profile"]["audience"].as_str().unwrap()];
            if token.verify(Some(&house.partner), &house.keyring, &expected, &audiences).unwrap().is_ok() {
                assert!(was_signed(text), "taken, though nobody ever signed it");
            }
        }
        Err(_) => {}
    }
}

/// Whether header and payload stand in the corpus as they are.
fn was_signed(text: &str) -> bool {
    let (input, _) = text.rsplit_once('.').unwrap_or_default();
    TOKENS.contains(&format!("\"{input}."))
}

/// An assertion proves nothing by a key that did not sign it.
fn client_assertion(data: &[u8]) {
    let (house, Some(text)) = (house(), text(data)) else { return };
    let Ok(assertion) = UnverifiedAssertion::parse(text) else { return };
    assert!(!assertion.unverified_issuer().is_empty() && !assertion.unverified_subject().is_empty());
    let keys: Vec<jwk::VerifyingKey> =
        house.keyring.signing_keys().filter(|key| key.algorithm() != Algorithm::HS256).cloned().collect();
    let expected = Expected { issuer: "https://auth.example", leeway_seconds: 60, now: NOW };
    let Ok(id) = assertion.unverified_subject().parse() else { return };
    if assertion.verify_own(&id, &keys, &["https://auth.example"], &expected).is_ok() {
        let registered = house.keys.iter().filter(|key| key["kty"] != "oct").collect::<Vec<_>>();
        assert!(is_signed(text, &registered), "proven, though no key signed it");
    }
}

/// What is taken for a token or for credentials stands in the header as it was sent.
fn authorization_header(data: &[u8]) {
    let Some(text) = text(data) else { return };
    let request = Request {
        headers: Some(vec![("AuThOrIzAtIoN".into(), text.to_owned()), ("apikey".into(), text.to_owned())]),
        ..Request::default()
    };
    // Blanks around a value belong to no header (RFC 9110 section 5.5).
    let text = text.trim_matches([' ', '\t']);
    if let Ok(token) = header::bearer(&request) {
        let prefix = text.strip_suffix(token).unwrap();
        assert!(prefix.len() <= 14 && prefix.trim_end_matches(' ').eq_ignore_ascii_case("bearer"));
        assert!(!token.starts_with(' '));
    }
    assert_eq!(header::api_key(&request).unwrap_or_default(), text);
    if basic_client(&request).is_ok() {
        assert!(text.get(..6).is_some_and(|scheme| scheme.eq_ignore_ascii_case("basic ")));
    }
}

/// A key is of one of two shapes, and of the longer one its checksum is right.
fn api_key(data: &[u8]) {
    let Some(text) = text(data) else { return };
    let Ok(key) = text.parse::<UnverifiedApiKey>() else { return };
    let digits = &text["ak_live_".len()..];
    assert!(digits.len() == 32 || digits.len() == 40);
    assert!(digits.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)));
    if digits.len() == 40 {
        let (body, sum) = text.split_at(40);
        assert_eq!(u32::from_str_radix(sum, 16).unwrap(), crc32(body.as_bytes()));
    }
    let (_, last) = key.shown();
    assert!(text.ends_with(&last) && last.len() == 4);
    assert!(!format!("{key:?}").contains(digits), "a key in Debug");
    assert_eq!(key.into_secret().expose(), text);
}

/// CRC-32 (ISO 3309), bit by bit.
fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32| if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 };
    !bytes.iter().fold(!0, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), |crc, _| step(crc)))
}

/// The first byte says how the body is written. What is read is what the URL standard's parser reads, or what stands in
/// the JSON, and nothing stands there twice; and whoever is named as the client is named in the request.
fn token_request(data: &[u8]) {
    let Some((kind, body)) = data.split_first() else { return };
    let known = ["grant_type", "client_id", "client_secret", "client_assertion", "client_assertion_type", "scope"];
    let content_type = match kind % 4 {
        0 => "application/x-www-form-urlencoded",
        1 => "application/json",
        2 => "application/json; charset=UTF-8",
        _ => "text/plain",
    };
    let Ok(parameters) = Parameters::read(Found::One(content_type), body, &known) else { return };
    let read: Vec<(&str, &str)> = known.iter().filter_map(|name| Some((*name, parameters.get(name)?))).collect();
    for (name, value) in &read {
        assert!(!value.is_empty());
        let there: Vec<String> = if kind % 4 == 0 {
            form_urlencoded::parse(body).filter(|(n, _)| n == name).map(|(_, v)| v.into_owned()).collect()
        } else {
            let json: Value = serde_json::from_slice(body).unwrap();
            json.get(name).and_then(Value::as_str).map(str::to_owned).into_iter().collect()
        };
        assert_eq!(there, [*value], "{name}");
    }
    assert!(!format!("{parameters:?}").contains("client_secret\": \"") || parameters.get("client_secret").is_none());
    let request = Request { headers: Some(Vec::new()), ..Request::default() };
    if client_authentication(&request, &parameters).is_ok() {
        assert!(parameters.get("client_secret").is_some() ^ parameters.get("client_assertion").is_some());
    }
}

/// Whatever the event, an answer that allows the request is one that a decision allows; and nothing of another tenant, nor
/// of an operation that is not granted, stands in it.
fn authorizer_event(data: &[u8]) {
    let (house, Ok(event)) = (house(), serde_json::from_slice::<Value>(data)) else { return };
    let Ok(event) = AuthorizerEvent::read(&event, "authorization") else { return };
    let _ = header::bearer(&event.request);
    let request = &event.request;
    let mut trail = Trail::default();
    let matched = house.catalog.find(&request.method, &request.path);
    let access = match &matched {
        Some(matched) => authorize(&house.rights, matched, request, &mut trail),
        None => Err(auth_core::refusal::Reason::new(auth_core::refusal::Refusal::EndpointNotAssigned, "no operation")),
    };
    let allowed = access.is_ok();
    let rights = Some(Arc::clone(&house.rights));
    let verdict = Verdict { access, rights, trail, catalog: Arc::clone(&house.catalog), matched };
    for mode in [HttpApiResponse::Simple, HttpApiResponse::Policy] {
        let Answer::Json(reply) = answer(&event, &verdict, mode) else {
            assert!(!allowed);
            continue;
        };
        let reply = reply.to_value();
        if let Some(said) = reply.get("isAuthorized") {
            assert_eq!(said, allowed);
            continue;
        }
        let arn = event.arn.as_ref().unwrap();
        let allows_it = allows(&reply, &arn.to_string());
        // What is longer than a resource may be cannot be allowed.
        assert!(allows_it == allowed || (allowed && arn.to_string().len() > MAX_RESOURCE), "{arn} by {reply}");
        assert!(!reply["policyDocument"]["Statement"].as_array().unwrap().is_empty(), "a policy that says nothing");
        for (method, path) in [
            ("GET", "/c/globex"),
            ("GET", "/c/globex/skus/AB-1"),
            ("PUT", "/c/acme/skus/ZZ-1"),
            ("DELETE", "/c/acme/orders/1"),
            ("GET", "/c/acme/secret"),
            ("POST", "/elsewhere"),
        ] {
            assert!(!allows(&reply, &resource(arn.stage(), method, path)), "{method} {path} by {reply}");
        }
        assert!(reply.to_string().len() < 16 * 1024, "a long answer");
    }
}

/// What IAM makes of a policy.
fn allows(reply: &Value, arn: &str) -> bool {
    let statements = reply["policyDocument"]["Statement"].as_array().unwrap();
    let hit = |effect: &str| {
        let of = statements.iter().filter(|s| s["Effect"] == effect);
        of.flat_map(|s| s["Resource"].as_array().unwrap()).any(|r| glob(r.as_str().unwrap(), arn))
    };
    hit("Allow") && !hit("Deny")
}

/// A proxied request is read, or is not one.
fn http_event(data: &[u8]) {
    let Ok(event) = serde_json::from_slice(data) else { return };
    let Some(http) = http_request::read(event, "own-id") else { return };
    for name in ["authorization", "content-type", "apikey", "host"] {
        let _ = http.request.header(name);
    }
    let _ = (basic_client(&http.request), header::bearer(&http.request));
}

/// An ARN that is read is written as it was; and the one resource of it matches no other request.
fn method_arn(data: &[u8]) {
    let Some(text) = text(data) else { return };
    let Some(arn) = MethodArn::parse(text) else { return };
    assert_eq!(MethodArn::parse(&arn.to_string()).as_ref(), Some(&arn));
    assert_eq!(resource(arn.stage(), &arn.method, &arn.path), arn.to_string());
    if let Some(exact) = arn.exact() {
        assert!(exact == text && glob(&exact, text) && !glob(&exact, &format!("{text}x")) && !exact.contains('*'));
    }
}

/// Every operation of a document that is read is found by a path of its own; routes are bounded.
fn openapi_document(data: &[u8]) {
    let (house, Ok(document)) = (house(), serde_json::from_slice::<Value>(data)) else { return };
    let Ok(read) = openapi::read(&document) else { return };
    let mut catalog = Catalog::clone(&house.catalog);
    let Some(api) = catalog.apis.values_mut().next() else { return };
    let api = Arc::make_mut(api);
    api.operations = read.operations.into_iter().map(|(_, operation)| operation).collect();
    let operations = api.operations.clone();
    for operation in operations.iter().take(20) {
        let path = operation.path.fill(|_| "AB-1".to_owned());
        let request = Request { method: "GET".into(), path, headers: Some(Vec::new()), query: Some(Vec::new()) };
        let method = if operation.method == "ANY" { "GET" } else { operation.method.as_str() };
        let matched = catalog.find(method, &request.path).unwrap();
        let _ = authorize(&house.rights, &matched, &request, &mut Trail::default());
        let routes = routes(&house.rights, &catalog, &matched, &request, Breadth::Gateway, 100);
        assert!(routes.is_none_or(|routes| routes.allow.len() + routes.deny.len() <= 100));
    }
}

/// The first line names a command, the rest is its fields. A refusal names a field, and never repeats a value.
fn admin_command(data: &[u8]) {
    let Some((name, fields)) = text(data).and_then(|text| text.split_once('\n')) else { return };
    let Ok(fields) = serde_json::from_str::<Value>(fields) else { return };
    let said = |fields: Value| Command::read(name, fields).and_then(Result::err);
    assert!(said(fields).is_none_or(|said| !said.is_empty()));
    let marked = json!({"secret": "hunter2-hunter2", "key": "hunter2-hunter2", "client_id": ["hunter2-hunter2"]});
    assert!(said(marked).is_none_or(|said| !said.contains("hunter2")));
}

/// Details that are read are written so that they are read again as the same; and they narrow, never widen.
fn authorization_details(data: &[u8]) {
    let (house, Some(text)) = (house(), text(data)) else { return };
    let Some(details) = Details::parse(text) else { return };
    assert_eq!(Details::parse(&details.to_text()).map(|d| d.to_text()), Some(details.to_text()));
    let granted = house.rights.scopes();
    assert!(details.narrow(granted.clone()).is_subset(granted));
    let audience = vec!["https://shop.example".to_owned()];
    assert!(details.narrow_audience(audience.clone()).iter().all(|one| audience.contains(one)));
}

/// A keyring that is read is written so that it is read again, always signs by something, and never shows a secret.
fn keyring_document(data: &[u8]) {
    let Some(text) = text(data) else { return };
    let Ok(document) = KeyringDocument::parse(text) else { return };
    let written = document.to_text();
    assert!(KeyringDocument::parse(&written).is_ok_and(|again| again.to_text() == written));
    let Ok(keyring) = Keyring::parse(text) else { return };
    assert!(!keyring.algorithms().is_empty(), "a keyring that signs nothing");
    let shown = format!("{keyring:?}{}", keyring.public_jwks());
    let keys: Value = serde_json::from_str(&written).unwrap();
    for key in keys["keys"].as_array().into_iter().flatten() {
        for private in ["d", "k", "p", "q"] {
            let secret = key["jwk"][private].as_str().unwrap_or_default();
            assert!(secret.len() < 16 || !shown.contains(secret), "a private key is shown");
        }
    }
}

/// A key that may be registered is one that verifies; none is symmetric, and none private.
fn jwk_set(data: &[u8]) {
    let Ok(document) = serde_json::from_slice::<Value>(data) else { return };
    if let Ok(kept) = jwk::register_set(&document) {
        assert_eq!(jwk::registered(&kept).len(), kept.len());
        for key in &kept {
            assert!(!key.contains_key("d") && !key.contains_key("k") && key.get("kty").is_some_and(|kty| kty != "oct"));
        }
    }
    for key in jwk::read_set(&document).into_iter().flatten() {
        assert!(key.algorithm() != Algorithm::HS256, "a symmetric key from elsewhere");
    }
    let _ = jwk::VerifyingKey::from_jwk(&document);
}

/// What was not sealed here does not open: cursors of lists, and secrets of clients.
fn sealed_text(data: &[u8]) {
    let (house, Some(text)) = (house(), text(data)) else { return };
    assert!(house.keyring.sealing.open("cursor list", &Sealed::from_text(text)).is_err(), "opened");
}

/// An address that may be fetched is https, with a name for a host.
fn jwks_uri(data: &[u8]) {
    let Some(text) = text(data) else { return };
    let Ok(url) = text.parse::<HttpsUrl>() else { return };
    assert_eq!(url.as_str(), text);
    let host = text["https://".len()..].split(['/', '?', ':']).next().unwrap();
    assert!(host.parse::<std::net::IpAddr>().is_err() && !text.contains(['@', '#', '\\', ' ']));
    assert!(
        u32::from_str_radix(host.trim_start_matches("0x"), 16).is_err() || host.contains(|c: char| c.is_alphabetic())
    );
}

/// A name that is read is written as it was; a pattern covers what it is, and never what has another beginning.
fn identifiers(data: &[u8]) {
    use auth_core::ids::{ClientId, Jti, Scope, Sku, SkuPattern, SupplierCode, TenantId, UserLogin, Username};
    let Some(text) = text(data) else { return };
    macro_rules! written {
        ($($type:ty),*) => { $(if let Ok(read) = text.parse::<$type>() { assert_eq!(read.to_string(), text); })* };
    }
    written!(ClientId, Jti, Scope, Sku, SkuPattern, SupplierCode, TenantId, UserLogin, Username, ApiName);
    if let (Ok(pattern), Ok(sku)) = (text.parse::<SkuPattern>(), text.parse::<Sku>()) {
        assert!(pattern.covers(&sku) && pattern.contains(&pattern));
    }
    if let Some((pattern, name)) = text.split_once('\n') {
        assert_eq!(glob(pattern, name), matches(pattern.as_bytes(), name.as_bytes()), "{pattern} {name}");
    }
}

/// The star of IAM, by definition: which beginnings of the text each beginning of the pattern matches.
fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let mut row = vec![false; text.len() + 1];
    row[0] = true;
    for byte in pattern {
        let mut any = false;
        row = (0..row.len())
            .map(|at| {
                any |= row[at];
                if *byte == b'*' { any } else { at > 0 && row[at - 1] && text[at - 1] == *byte }
            })
            .collect();
    }
    row[text.len()]
}

/// What the corpora of both doors below have for secrets.
const SECRET: &str = "s3cret-s3cret-s3cret-s3cret-s3cret";

/// Whether a text tells the secret. What stands where a member's name is due is named, because nobody would find it else.
fn tells(said: &str) -> bool {
    said.contains(SECRET) && !said.contains("unknown field `")
}

/// A file of seeds is read, or refused with its name and no secret of it.
fn seed_file(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Err(said) = auth_cli::doors::seed_file(text) {
        assert!(said.starts_with("seed: ") && !tells(&said), "{said}");
    }
}

/// So is a line of an import.
fn import_line(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match auth_cli::doors::import_line(text, Environment::Test, &house().keyring) {
        Ok(rows) => assert!(rows <= 8, "{rows} rows of one line"),
        Err(said) => assert!(!said.is_empty() && !tells(&said), "{said}"),
    }
}
