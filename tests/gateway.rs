//! The local gateway beside what is known of Amazon API Gateway, and what no input may do to either.

use crate::harness::{Dev, basic, raw};
use auth_core::settings::Settings;
use auth_edge::report::Stdout;
use auth_store::aws::Aws;
use auth_store::gate::Gate;
use auth_store::store::Record;
use serde_json::{Value, json};

/// An API with two routes of two scopes, one of them with a parameter, behind an authorizer as `authorizer` says.
fn api(authorizer: &Value, more: &Value) -> String {
    let mut document = json!({
        "openapi": "3.0.1", "info": {"title": "Things", "version": "1"},
        "components": {"securitySchemes": {"t": {"type": "apiKey", "in": "header", "name": "Authorization",
            "x-amazon-apigateway-authtype": "custom", "x-amazon-apigateway-authorizer": authorizer}}},
        "paths": {
            "/a": {"get": {"operationId": "a", "security": [{"t": ["a:read"]}]}},
            "/b": {"get": {"operationId": "b", "security": [{"t": ["b:read"]}]}},
            "/a/{id}": {"get": {"operationId": "a-one", "security": [{"t": ["a:read"]}]}},
            "/a/{id}/secret": {"get": {"operationId": "a-secret", "security": [{"t": ["a:secret"]}]}},
            "/{proxy+}": {"x-amazon-apigateway-any-method": {"operationId": "rest", "security": [{"t": ["rest:all"]}]}},
        },
    });
    for (name, value) in more.as_object().unwrap() {
        document[name] = value.clone();
    }
    document.to_string()
}

fn start(authorizer: &Value, more: &Value) -> Dev {
    let client = |id: &str, scopes: &[&str]| {
        json!({"client_id": id, "client_secret": format!("secret-of-{id}"), "kind": "single_tenant", "tenant": "acme",
            "apis": ["things"], "grants": [{"tenant": "acme", "state": "approved", "scopes": scopes}]})
    };
    let seed = json!({
        "keyring": "keys.json",
        "apis": [{"name": "things", "openapi": "api.json", "token": {"alg": "ES256"}}],
        "tenants": [{"id": "acme", "apis": ["things"]}],
        "clients": [client("reader", &["a:read"]), client("other", &["b:read"]), client("none", &[])],
    });
    let files = [
        ("seed.json", seed.to_string()),
        ("api.json", api(authorizer, more)),
        ("keys.json", include_str!("corpus/private.jwks.json").to_owned()),
    ];
    Dev::start(&["--seed", "FOLDER/seed.json"], &files, &[])
}

async fn statuses(dev: &Dev, token: &str, paths: &[&str]) -> Vec<u16> {
    let mut all = Vec::new();
    for path in paths {
        all.push(dev.with_token(token, "GET", path, "").await.status);
    }
    all
}

const PATHS: [&str; 6] = ["/a", "/a/17", "/a/17/secret", "/b", "/c", "/a"];

#[tokio::test]
async fn an_answer_that_is_kept_is_right_for_every_route_whichever_came_first() {
    let identity = "method.request.header.Authorization";
    let kinds = [
        (
            "REQUEST, not kept",
            json!({"type": "request", "identitySource": identity, "authorizerResultTtlInSeconds": 0}),
        ),
        ("REQUEST, kept", json!({"type": "request", "identitySource": identity, "authorizerResultTtlInSeconds": 300})),
        (
            "TOKEN, kept",
            json!({"type": "token", "authorizerResultTtlInSeconds": 300,
            "identityValidationExpression": "Bearer [-0-9A-Za-z_]+\\.[-0-9A-Za-z_]+\\.[-0-9A-Za-z_]+"}),
        ),
        ("TOKEN, kept as long as API Gateway does by itself", json!({"type": "token"})),
        (
            "HTTP API 1.0, kept",
            json!({"type": "request", "identitySource": "$request.header.Authorization",
            "authorizerPayloadFormatVersion": "1.0", "authorizerResultTtlInSeconds": 300}),
        ),
        (
            "HTTP API 2.0 with policies, kept",
            json!({"type": "request", "identitySource": "$request.header.Authorization",
            "authorizerPayloadFormatVersion": "2.0", "authorizerResultTtlInSeconds": 300}),
        ),
        (
            "HTTP API 2.0 with simple answers, not kept",
            json!({"type": "request",
            "identitySource": "$request.header.Authorization", "authorizerPayloadFormatVersion": "2.0",
            "enableSimpleResponses": true, "authorizerResultTtlInSeconds": 0}),
        ),
    ];
    for (kind, authorizer) in kinds {
        let dev = start(&authorizer, &json!({}));
        let token = dev.token("reader", &[]).await;
        let want = vec![200, 200, 403, 403, 403, 200];
        assert_eq!(statuses(&dev, &token, &PATHS).await, want, "{kind}");
        let other = dev.token("reader", &[]).await;
        let mut backwards: Vec<&str> = PATHS.to_vec();
        backwards.reverse();
        let mut got = statuses(&dev, &other, &backwards).await;
        got.reverse();
        assert_eq!(got, want, "{kind}, the refused routes first");
        let none = dev.token("none", &[]).await;
        assert_eq!(statuses(&dev, &none, &PATHS).await, vec![403; 6], "{kind}: a client without rights");
        assert_eq!(
            statuses(&dev, "x.y.z", &["/a"]).await[0],
            if kind.contains("HTTP") { 403 } else { 401 },
            "{kind}: garbage"
        );
        assert_eq!(dev.call("GET", "/a", &[], "").await.status, 401, "{kind}: nothing");
        assert_eq!(dev.call("GET", "/a", &[("Authorization", "  ")], "").await.status, 401, "{kind}: blank");
    }
}

#[tokio::test]
async fn a_kept_answer_outlives_a_revocation_until_its_time_or_a_flush() {
    let authorizer = json!({"type": "token", "authorizerResultTtlInSeconds": 3600});
    let dev = start(&authorizer, &json!({}));
    let token = dev.token("reader", &[]).await;
    let fresh = dev.token("reader", &[]).await;
    assert_eq!(dev.with_token(&token, "GET", "/a", "").await.status, 200);
    let grant = json!({"client_id": "reader", "tenant": "acme", "state": "revoked", "scopes": ["a:read"], "roles": [],
        "skus": [], "suppliers": []});
    dev.gate().store.load(vec![Record::Grant(serde_json::from_value(grant).unwrap())], |_| ()).await.unwrap();
    assert_eq!(dev.with_token(&fresh, "GET", "/a", "").await.status, 403, "a token whose answer is not kept");
    assert_eq!(dev.with_token(&token, "GET", "/a", "").await.status, 200, "one whose answer is kept");
    let vault = dev.ready["secretsmanager_endpoint"].as_str().unwrap();
    let flushed = raw(vault, "DELETE", "/restapis/x/stages/dev/cache/authorizers", &[], b"").await;
    assert_eq!(flushed.status, 202);
    assert_eq!(dev.with_token(&token, "GET", "/a", "").await.status, 403, "after FlushStageAuthorizersCache");
}

#[tokio::test]
async fn gateway_responses_of_the_document_are_used() {
    let responses = json!({"x-amazon-apigateway-gateway-responses": {
        "ACCESS_DENIED": {"statusCode": 403,
            "responseParameters": {"gatewayresponse.header.X-Why": "context.error.responseType"},
            "responseTemplates": {"application/json": "{\"nr\":$context.authorizer.code,\"who\":\"$context.authorizer.principalId\",\"id\":\"$context.requestId\"}"}},
        "UNAUTHORIZED": {"statusCode": "401", "responseParameters": {"gatewayresponse.header.WWW-Authenticate": "'Bearer realm=\"x\"'"}},
    }});
    let dev = start(&json!({"type": "token", "authorizerResultTtlInSeconds": 0}), &responses);
    let token = dev.token("reader", &[]).await;
    let denied = dev.with_token(&token, "GET", "/b", "").await;
    assert_eq!(
        (denied.status, denied.json["nr"].as_i64(), denied.json["who"].as_str()),
        (403, Some(-30), Some("reader"))
    );
    assert_eq!(denied.header("x-why"), Some("ACCESS_DENIED"));
    let unauthorized = dev.call("GET", "/a", &[], "").await;
    assert_eq!((unauthorized.status, unauthorized.text.as_str()), (401, r#"{"message":"Unauthorized"}"#));
    assert_eq!(unauthorized.header("www-authenticate"), Some("Bearer realm=\"x\""));
}

#[tokio::test]
async fn what_is_not_declared_falls_through_or_is_not_there() {
    let dev = Dev::demo();
    let missing = dev.call("GET", "/nowhere", &[], "").await;
    assert_eq!((missing.status, missing.text.as_str()), (403, r#"{"message":"Missing Authentication Token"}"#));
    let method = dev.call("DELETE", "/portfolio", &[], "").await;
    assert_eq!(method.status, 403, "a method that is not declared");
    let dev = start(&json!({"type": "token", "authorizerResultTtlInSeconds": 0}), &json!({}));
    let token = dev.token("reader", &[]).await;
    assert_eq!(
        dev.with_token(&token, "POST", "/a", "").await.outcome(),
        (403, -30),
        "POST /a is a matter of {{proxy+}}"
    );
}

#[tokio::test]
async fn nothing_that_is_sent_breaks_it() {
    let dev = Dev::demo();
    let token = dev.token("gains-partner", &[]).await;
    let bearer = format!("Bearer {token}").into_bytes();
    let client = basic("gains-partner", &dev.secret("gains-partner")).into_bytes();
    let form = || {
        vec![
            ("Authorization".to_owned(), client.clone()),
            ("Content-Type".to_owned(), b"application/x-www-form-urlencoded".to_vec()),
        ]
    };
    let json_type = || {
        vec![("Authorization".to_owned(), client.clone()), ("Content-Type".to_owned(), b"application/json".to_vec())]
    };
    let api =
        || vec![("Authorization".to_owned(), bearer.clone()), ("X-Partner-Supplier".to_owned(), b"S-100".to_vec())];
    let key = |value: Vec<u8>| vec![("ApiKey".to_owned(), value)];
    let deep = format!("{{\"grant_type\":{}1{}}}", "[".repeat(7_000), "]".repeat(7_000)).into_bytes();
    let megabyte = vec![b'a'; 1 << 20];
    let long_path = format!("/clients/acme/skus/{}", "a".repeat(8000));
    type Row<'a> = (&'a str, &'a str, &'a str, Vec<(String, Vec<u8>)>, Vec<u8>, u16);
    let rows: Vec<Row<'_>> = vec![
        ("a form of 1 MiB", "POST", "/oauth/token", form(), megabyte.clone(), 413),
        ("JSON of 1 MiB", "POST", "/oauth/token", json_type(), megabyte.clone(), 413),
        (
            "a password of 1 MiB",
            "POST",
            "/login",
            json_type(),
            [
                b"{\"tenant\":\"acme\",\"username\":\"ann@example.com\",\"password\":\"".to_vec(),
                megabyte.clone(),
                b"\"}".to_vec(),
            ]
            .concat(),
            413,
        ),
        (
            "a body of 1 MiB for an API",
            "PUT",
            "/clients/acme/skus/AB-1",
            [api(), vec![("Content-Type".into(), b"application/json".to_vec())]].concat(),
            megabyte,
            400,
        ),
        (
            "an Authorization header of 10 KiB",
            "GET",
            "/portfolio",
            vec![("Authorization".into(), vec![b'a'; 10_240])],
            vec![],
            431,
        ),
        (
            "an Authorization header of 300 kB",
            "GET",
            "/portfolio",
            vec![("Authorization".into(), vec![b'a'; 300_000])],
            vec![],
            431,
        ),
        ("an ApiKey header of 300 kB", "GET", "/test/key", key(vec![b'a'; 300_000]), vec![], 431),
        ("an ApiKey header of 9 kB", "GET", "/test/key", key(vec![b'a'; 9000]), vec![], 401),
        ("invalid UTF-8 in a header", "GET", "/test/key", key(vec![0xff, 0xfe]), vec![], 401),
        (
            "invalid UTF-8 in Basic",
            "POST",
            "/oauth/token",
            vec![
                ("Authorization".into(), b"Basic \xff\xfe".to_vec()),
                ("Content-Type".into(), b"application/json".to_vec()),
            ],
            b"{\"grant_type\":\"client_credentials\"}".to_vec(),
            401,
        ),
        ("invalid UTF-8 in a form", "POST", "/oauth/token", form(), b"grant_type=\xff".to_vec(), 400),
        ("invalid UTF-8 in JSON", "POST", "/oauth/token", json_type(), b"{\"grant_type\":\"\xff\"}".to_vec(), 400),
        ("JSON 7,000 deep", "POST", "/oauth/token", json_type(), deep.clone(), 400),
        (
            "JSON 7,000 deep for an API",
            "PUT",
            "/clients/acme/skus/AB-1",
            [api(), vec![("Content-Type".into(), b"application/json".to_vec())]].concat(),
            deep,
            400,
        ),
        (
            "a member twice",
            "POST",
            "/oauth/token",
            json_type(),
            b"{\"grant_type\":\"client_credentials\",\"grant_type\":\"client_credentials\"}".to_vec(),
            400,
        ),
        ("a tpl of *", "POST", "/oauth/token", form(), b"grant_type=client_credentials&tpl=*".to_vec(), 400),
        ("a path with %2F", "GET", "/clients/acme/skus/AB-%2F", api(), vec![], 403),
        ("a path with ..", "GET", "/clients/acme/skus/../skus/AB-1", api(), vec![], 403),
        ("a path with //", "GET", "/clients//acme/skus/AB-1", api(), vec![], 403),
        ("a path with *", "GET", "/clients/acme/skus/*", api(), vec![], 403),
        ("a path with ?", "GET", "/clients/acme/skus/?", api(), vec![], 403),
        ("a path of 8,000 letters", "GET", &long_path, api(), vec![], 414),
    ];
    for (what, method, path, headers, body, want) in rows {
        let answer = raw(&dev.url, method, path, &headers, &body).await;
        assert_eq!(answer.status, want, "{what}: {}", answer.text);
        assert!(answer.json.is_object(), "{what}: the answer is JSON: {}", answer.text);
        let next = raw(&dev.url, "GET", "/clients/acme/skus/AB-1", &api(), b"").await;
        assert_eq!(next.status, 200, "the next request after {what}");
    }
    assert!(!dev.said().contains("panicked"));
}

#[tokio::test]
async fn without_table_or_secret_nothing_is_allowed_and_nobody_is_told_401() {
    let dev = Dev::demo();
    let token = dev.token("gains-partner", &[]).await;
    let arn = "arn:aws:execute-api:eu-west-1:1:a/s/GET/clients/acme/skus/AB-1";
    let event = json!({"type": "REQUEST", "methodArn": arn, "headers": {"Authorization": format!("Bearer {token}"), "X-Partner-Supplier": "S-100"}});
    let key = json!({"type": "REQUEST", "methodArn": "arn:aws:execute-api:eu-west-1:1:a/s/GET/test/key", "headers": {"ApiKey": "ak_test_8f3b1c0e5a4d4f2c9b1e7d6c5a4b3c2d"}});
    let closed = "http://127.0.0.1:9";
    for (what, variable) in [("table", "AWS_ENDPOINT_URL_DYNAMODB"), ("secret", "AWS_ENDPOINT_URL_SECRETS_MANAGER")] {
        let read = |name: &str| {
            if name == variable { Some(closed.to_owned()) } else { dev.ready["env"][name].as_str().map(str::to_owned) }
        };
        let settings = Settings::read(read).unwrap();
        let gate = Gate::new(&Aws::read(read).unwrap(), &settings);
        let answers = [
            jwt_authorizer::handle(&gate, &settings, &Stdout, &event, "r").await,
            api_key_authorizer::handle(&gate, &settings, &Stdout, &key, "r").await,
        ];
        for answer in answers {
            assert_eq!(
                answer.unwrap_err().to_string(),
                "unavailable",
                "no {what}: an error, which the gateway makes 500"
            );
        }
        let body = "{\"version\":\"2.0\",\"rawPath\":\"/oauth/token\",\"headers\":{\"content-type\":\"application/json\",\"authorization\":\"BASIC\"},\"requestContext\":{\"http\":{\"method\":\"POST\",\"path\":\"/oauth/token\"},\"stage\":\"$default\",\"timeEpoch\":0},\"body\":\"{\\\"grant_type\\\":\\\"client_credentials\\\"}\",\"isBase64Encoded\":false}";
        let body = body.replace("BASIC", &basic("gains-partner", &dev.secret("gains-partner")));
        let answer = token::handle(&gate, &Stdout, serde_json::from_str(&body).unwrap(), "r").await;
        assert_eq!(answer.status(), 503, "no {what}: no token, and no 401");
    }
}
