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
async fn the_time_that_the_template_leaves_open_is_an_option_of_dev() {
    for (arguments, expected) in [(&["--gateway-ttl", "3600"][..], 200), (&[][..], 403)] {
        let dev = Dev::start(arguments, &[], &[]);
        let token = dev.token("gains-partner", &[]).await;
        assert_eq!(dev.with_token(&token, "GET", "/test/partner", "").await.status, 200);
        let grant = json!({"client_id": "gains-partner", "tenant": "acme", "state": "revoked", "scopes": [], "roles": [],
            "skus": [], "suppliers": []});
        dev.gate().store.load(vec![Record::Grant(serde_json::from_value(grant).unwrap())], |_| ()).await.unwrap();
        assert_eq!(dev.with_token(&token, "GET", "/test/partner", "").await.status, expected, "{arguments:?}");
    }
}

#[tokio::test]
async fn gateway_responses_of_the_document_are_used() {
    let responses = json!({"x-amazon-apigateway-gateway-responses": {
        "ACCESS_DENIED": {"statusCode": 403,
            "responseParameters": {"gatewayresponse.header.X-Why": "context.error.responseType"},
            "responseTemplates": {"application/json": "{\"nr\":$context.authorizer.code,\"who\":\"$context.authorizer.principalId\",\"id\":\"$context.requestId\"}"}},
        "MISSING_AUTHENTICATION_TOKEN": {"statusCode": "404"},
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
    for (sentence, method, path) in [("a path of nobody's", "GET", "/"), ("whatever is done to it", "PATCH", "/")] {
        let missing = dev.call(method, path, &[], "").await;
        let told = r#"{"message":"Missing Authentication Token"}"#;
        assert_eq!((missing.status, missing.text.as_str()), (404, told), "{sentence}");
    }
}

#[tokio::test]
async fn what_is_published_is_read_by_get_and_head_alone() {
    let dev = Dev::demo();
    let paths =
        token::METADATA_PATHS.into_iter().chain([token::JWKS_PATH, "/.well-known/oauth-protected-resource/partner"]);
    for path in paths {
        let got = dev.call("GET", path, &[], "").await;
        let head = dev.call("HEAD", path, &[], "").await;
        assert_eq!((got.status, head.status, head.text.as_str()), (200, 200, ""), "{path}");
        assert_eq!(head.header("content-type"), got.header("content-type"), "{path}");
        let put = dev.call("PUT", path, &[], "").await;
        assert_eq!((put.status, put.header("allow")), (405, Some("GET, HEAD")), "{path}");
    }
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

/// A deployment of one API and one client, whose grant is for tenant acme and SKUs AB-*.
fn one_api(authorizer: &Value, paths: &Value) -> Dev {
    let seed = json!({
        "keyring": "keys.json",
        "apis": [{"name": "things", "openapi": "api.json", "token": {"alg": "ES256"}}],
        "tenants": [{"id": "acme", "apis": ["things"]}],
        "clients": [{"client_id": "reader", "client_secret": "secret-of-reader", "kind": "single_tenant", "tenant": "acme",
            "apis": ["things"], "grants": [{"tenant": "acme", "state": "approved", "scopes": ["a:read"],
                "skus": ["AB-*"], "suppliers": ["S1"]}]}],
    });
    let document = json!({
        "openapi": "3.0.1", "info": {"title": "Things", "version": "1"},
        "components": {"securitySchemes": {"t": {"type": "apiKey", "in": "header", "name": "Authorization",
            "x-amazon-apigateway-authorizer": authorizer}}},
        "paths": paths,
    });
    let files = [
        ("seed.json", seed.to_string()),
        ("api.json", document.to_string()),
        ("keys.json", include_str!("corpus/private.jwks.json").to_owned()),
    ];
    Dev::start(&["--seed", "FOLDER/seed.json"], &files, &[])
}

#[tokio::test]
async fn what_a_kept_answer_says_is_what_a_fresh_one_would() {
    let may = |more: Value| {
        let mut operation = json!({"security": [{"t": ["a:read"]}]});
        for (name, value) in more.as_object().unwrap() {
            operation[name] = value.clone();
        }
        operation
    };
    let may_not = || json!({"security": [{"t": ["b:read"]}]});
    let limited = json!({"x-countersign-tenant": "path.tenant", "x-countersign-sku": "path.sku"});
    // Method, path, headers beside the token; and what a fresh decision says.
    type Row = (&'static str, &'static str, &'static [(&'static str, &'static str)], u16);
    let cases: Vec<(&str, Value, Vec<Row>)> = vec![
        (
            "a path of a tenant and its SKUs beside a deeper one, both granted",
            json!({
                "/n": {"get": may(json!({}))},
                "/t/{tenant}/s/{sku}": {"get": may(limited.clone())},
                "/t/{tenant}/s/{sku}/prices": {"get": may(limited.clone())},
            }),
            vec![
                ("GET", "/n", &[], 200),
                ("GET", "/t/acme/s/AB-1", &[], 200),
                ("GET", "/t/acme/s/AB-2/prices", &[], 200),
                ("GET", "/t/acme/s/ZZ-1", &[], 403),
                ("GET", "/t/acme/s/ZZ-1/prices", &[], 403),
                ("GET", "/t/globex/s/AB-1", &[], 403),
                ("GET", "/t/acme/s/AB-1%2F..%2FZZ", &[], 403),
                ("GET", "/t/acme/s/AB-%20", &[], 403),
            ],
        ),
        (
            "a word that is refused beside a parameter that is granted",
            json!({
                "/n": {"get": may(json!({}))},
                "/o/{id}": {"get": may(json!({}))},
                "/o/export": {"get": may_not()},
            }),
            vec![
                ("GET", "/n", &[], 200),
                ("GET", "/o/1", &[], 200),
                ("GET", "/o/export", &[], 403),
                ("GET", "/o/2", &[], 200),
            ],
        ),
        (
            "any method granted, one refused, and paths that end alike",
            json!({
                "/a": {"x-amazon-apigateway-any-method": may(json!({})), "get": may_not()},
                "/admin/a": {"get": may_not()},
            }),
            vec![
                ("POST", "/a", &[], 200),
                ("GET", "/a", &[], 403),
                ("GET", "/admin/a", &[], 403),
                ("DELETE", "/a", &[], 200),
            ],
        ),
        (
            "limits that stand beside the path are not granted along with it",
            json!({
                "/n": {"get": may(json!({}))},
                "/h": {"get": may(json!({"x-countersign-tenant": "header.X-Tenant"}))},
                "/q": {"get": may(json!({"x-countersign-tenant": "query.t"}))},
                "/k": {"get": may(json!({"x-countersign-sku": "query.sku"}))},
                "/u": {"get": may(json!({"x-countersign-supplier": "header.X-Supplier"}))},
            }),
            vec![
                ("GET", "/n", &[], 200),
                ("GET", "/h", &[("X-Tenant", "globex")], 403),
                ("GET", "/q?t=globex", &[], 403),
                ("GET", "/k?sku=ZZ", &[], 403),
                ("GET", "/u", &[], 403),
            ],
        ),
    ];
    for (what, paths, rows) in cases {
        for ttl in [0, 300] {
            let authorizer = json!({"type": "request", "identitySource": "method.request.header.Authorization", "authorizerResultTtlInSeconds": ttl});
            let dev = one_api(&authorizer, &paths);
            let token = format!("Bearer {}", dev.token("reader", &[]).await);
            for (method, path, headers, want) in &rows {
                let headers: Vec<(&str, &str)> =
                    headers.iter().copied().chain([("Authorization", token.as_str())]).collect();
                let answer = dev.call(method, path, &headers, "").await;
                assert_eq!(answer.status, *want, "{what}, kept {ttl} s: {method} {path} {}", answer.text);
            }
        }
    }
}

#[tokio::test]
async fn of_two_headers_none_is_taken_whichever_is_the_good_one() {
    let dev = Dev::demo();
    let token = format!("Bearer {}", dev.token("gains-partner", &[]).await);
    for pair in [["S-100", "EVIL"], ["EVIL", "S-100"], ["S-100", "S-100"]] {
        let headers =
            [("Authorization", token.as_str()), ("X-Partner-Supplier", pair[0]), ("X-Partner-Supplier", pair[1])];
        let answer = dev.call("GET", "/clients/acme/skus/AB-1", &headers, "").await;
        assert_eq!(answer.outcome(), (422, -40), "{pair:?}");
    }
}

#[tokio::test]
async fn headers_and_queries_that_no_url_could_hold_are_only_text() {
    let dev = Dev::demo();
    let basic = basic("gains-partner", &dev.secret("gains-partner"));
    for odd in
        [("X-Forwarded-Proto", "1"), ("X-Forwarded-Proto", "https,https"), ("Host", "<"), ("X-Forwarded-Host", "a b")]
    {
        let headers = [("Authorization", basic.as_str()), ("Content-Type", "application/x-www-form-urlencoded"), odd];
        let answer = dev.call("POST", "/oauth/token", &headers, "grant_type=client_credentials").await;
        assert!(answer.status == 200 || (odd.0 == "Host" && answer.status == 400), "{odd:?}: {}", answer.status);
    }
    let answer = dev
        .call(
            "POST",
            "/oauth/token?a=%22%3C&b=%",
            &[("Authorization", &basic), ("Content-Type", "application/json")],
            "{\"grant_type\":\"client_credentials\"}",
        )
        .await;
    assert_eq!(answer.status, 200);
    let event = json!({"version": "2.0", "rawPath": "/oauth/token", "headers": {"content-type": "application/json"},
        "requestContext": {"http": {"method": "POST", "path": "/oauth/token"}, "stage": "$default", "timeEpoch": 0},
        "body": "***", "isBase64Encoded": true});
    let answer = token::handle(&dev.gate(), &Stdout, serde_json::from_str(&event.to_string()).unwrap(), "r").await;
    assert_eq!(answer.status(), 400, "a body that is not base64 although it says so");
}

#[tokio::test]
async fn a_native_jwt_authorizer_judges_by_itself() {
    let client = |id: &str, scopes: &[&str]| {
        json!({"client_id": id, "client_secret": format!("secret-of-{id}"), "kind": "single_tenant", "tenant": "acme",
            "apis": ["things"], "grants": [{"tenant": "acme", "state": "approved", "scopes": scopes}]})
    };
    let kinds = [
        (
            "HTTP API",
            "RS256",
            json!({"issuer": "https://auth.example.test", "audience": ["https://things.example"]}),
            200,
        ),
        (
            "HTTP API, another audience",
            "RS256",
            json!({"issuer": "https://auth.example.test", "audience": ["https://other.example"]}),
            401,
        ),
        (
            "HTTP API takes no ES256",
            "ES256",
            json!({"issuer": "https://auth.example.test", "audience": ["https://things.example"]}),
            401,
        ),
        (
            "REST API",
            "ES256",
            json!({"defaultAlgorithms": ["RS256", "ES256"], "issuers": [{"issuer": "https://auth.example.test",
            "audiences": ["https://things.example"], "additionalClaims": [{"claimName": "token_use", "format": "SINGLE_STRING", "required": true, "expectedValues": ["partner"]}]}]}),
            200,
        ),
        (
            "REST API, another claim",
            "ES256",
            json!({"defaultAlgorithms": ["ES256"], "issuers": [{"issuer": "https://auth.example.test",
            "audiences": ["https://things.example"], "additionalClaims": [{"claimName": "token_use", "format": "SINGLE_STRING", "required": true, "expectedValues": ["customer"]}]}]}),
            401,
        ),
        (
            "REST API, no HMAC",
            "HS256",
            json!({"defaultAlgorithms": ["HS256", "ES256"], "issuers": [{"issuer": "https://auth.example.test", "audiences": ["https://things.example"]}]}),
            401,
        ),
    ];
    for (what, alg, configuration, want) in kinds {
        let document = json!({"openapi": "3.0.1", "info": {"title": "Things", "version": "1"},
            "components": {"securitySchemes": {"t": {"type": "oauth2", "x-amazon-apigateway-authorizer": {"type": "jwt", "jwtConfiguration": configuration}}}},
            "paths": {"/a": {"get": {"operationId": "a", "security": [{"t": ["a:read"]}]}}, "/b": {"get": {"security": [{"t": ["b:read"]}]}}}});
        let seed = json!({"issuer": "https://auth.example.test", "keyring": "keys.json",
            "apis": [{"name": "things", "openapi": "api.json", "audience": "https://things.example", "token": {"alg": alg}}],
            "tenants": [{"id": "acme", "apis": ["things"]}], "clients": [client("reader", &["a:read"])]});
        let files = [
            ("seed.json", seed.to_string()),
            ("api.json", document.to_string()),
            ("keys.json", include_str!("corpus/private.jwks.json").to_owned()),
        ];
        let dev = Dev::start(&["--seed", "FOLDER/seed.json"], &files, &[]);
        let token = dev.token("reader", &[]).await;
        let answer = dev.with_token(&token, "GET", "/a", "").await;
        assert_eq!(answer.status, want, "{what}: {}", answer.text);
        if want == 200 {
            assert_eq!(answer.json["authorizer"]["principalId"], "reader", "{what}: the backend knows who it is");
            assert_eq!(dev.with_token(&token, "GET", "/b", "").await.status, 403, "{what}: without the scope");
        } else {
            assert!(answer.header("www-authenticate").unwrap().contains("invalid_token"), "{what}: says why");
        }
        assert_eq!(dev.call("GET", "/a", &[], "").await.status, 401, "{what}: without a token");
    }
}

#[tokio::test]
async fn a_data_folder_keeps_clients_keys_and_revocations_across_starts() {
    let folder = crate::harness::folder();
    let data = folder.join("data").display().to_string();
    let seed = |secret: &str| {
        json!({"issuer": "https://auth.example.test", "apis": [{"name": "things", "openapi": "api.json", "token": {"alg": "ES256"}}],
            "tenants": [{"id": "acme", "apis": ["things"]}],
            "clients": [{"client_id": "c1", "client_secret": secret, "kind": "single_tenant", "tenant": "acme",
                "apis": ["things"], "grants": [{"tenant": "acme", "state": "approved", "scopes": ["a:read"]}]}]})
    };
    let api = json!({"openapi": "3.0.1", "info": {"title": "Things", "version": "1"},
        "components": {"securitySchemes": {"t": {"type": "http", "scheme": "bearer"}}},
        "paths": {"/a": {"get": {"security": [{"t": ["a:read"]}]}}}});
    let start = |secret: &str| {
        let files = [("seed.json", seed(secret).to_string()), ("api.json", api.to_string())];
        Dev::start(&["--seed", "FOLDER/seed.json", "--data", &data], &files, &[])
    };
    let first = start("secret-of-c1");
    let (kept, revoked) = (first.token("c1", &[]).await, first.token("c1", &[]).await);
    let credentials = basic("c1", "secret-of-c1");
    let form = [("Authorization", credentials.as_str()), ("Content-Type", "application/x-www-form-urlencoded")];
    let answer = first.call("POST", "/oauth/revoke", &form, &format!("token={revoked}")).await;
    assert_eq!(answer.status, 200);
    assert_eq!(first.with_token(&revoked, "GET", "/a", "").await.outcome(), (401, -21), "revoked");
    assert!(first.said_so("-24 token_revoked"));
    drop(first);
    let second = start("another-secret");
    assert_eq!(second.with_token(&kept, "GET", "/a", "").await.status, 200, "a token of before is good");
    assert_eq!(second.with_token(&revoked, "GET", "/a", "").await.status, 401, "a revoked one stays revoked");
    assert_eq!(
        second.call("POST", "/oauth/token", &form, "grant_type=client_credentials").await.status,
        200,
        "so is the old secret"
    );
    assert!(second.ready["demo"].is_null(), "credentials that were not applied are not shown");
    drop(second);
    std::fs::remove_dir_all(folder).unwrap();
}

#[tokio::test]
async fn nothing_that_is_written_holds_a_secret() {
    let dev = one_api(
        &json!({"type": "request", "identitySource": "method.request.header.Authorization", "authorizerResultTtlInSeconds": 0}),
        &json!({"/a": {"get": {"security": [{"t": ["a:read"]}]}}}),
    );
    let token = dev.token("reader", &[]).await;
    let wrong = "a-secret-that-was-mistyped-0123456789";
    let header = basic("reader", wrong);
    let swapped = basic("secret-of-reader", "reader");
    for authorization in [header.as_str(), swapped.as_str(), &format!("Bearer {token}")] {
        let form = [("Authorization", authorization), ("Content-Type", "application/x-www-form-urlencoded")];
        dev.call("POST", "/oauth/token", &form, &format!("grant_type=client_credentials&client_secret={wrong}")).await;
        dev.call("POST", "/oauth/token", &form, "grant_type=client_credentials").await;
        dev.call(
            "GET",
            &format!("/a?access_token={token}"),
            &[("Authorization", authorization), ("ApiKey", wrong), ("User-Agent", wrong)],
            "",
        )
        .await;
    }
    assert!(dev.said_so("-21 invalid_client: wrong secret"));
    assert!(dev.said_so("allowed jwt     reader for acme  GET /a"));
    let signature = token.rsplit('.').next().unwrap();
    for secret in [
        "secret-of-reader",
        wrong,
        signature,
        header.trim_start_matches("Basic "),
        swapped.trim_start_matches("Basic "),
    ] {
        assert!(!dev.said().contains(secret), "{secret} was written");
    }
}

#[tokio::test]
async fn guessing_is_slowed_down_and_locks_no_client_out() {
    let dev = Dev::demo();
    let login = |password: &str| {
        let (dev, body) =
            (&dev, json!({"tenant": "acme", "username": "ann@example.com", "password": password}).to_string());
        async move { dev.call("POST", "/login", &[("Content-Type", "application/json")], &body).await }
    };
    // The windows are fixed: one may end while it is counted, so there may be up to twice as many.
    let mut refused = 0;
    let slowed = loop {
        let answer = login("wrong").await;
        if answer.status != 401 || refused > 200 {
            break answer;
        }
        refused += 1;
    };
    assert!((100..=200).contains(&refused), "{refused} wrong passwords were tried");
    assert_eq!(
        (slowed.status, slowed.json["error"].as_str(), slowed.json["code"].as_i64()),
        (429, Some("slow_down"), Some(-50))
    );
    let wait: i64 = slowed.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=900).contains(&wait), "{wait}");
    assert_eq!(login("correct horse battery staple").await.status, 429, "the right password is not tried either");
    let body = json!({"tenant": "acme", "username": "off@example.com", "password": "x"}).to_string();
    let other = dev.call("POST", "/login", &[("Content-Type", "application/json")], &body).await;
    assert_eq!(other.status, 401, "another name is not held up");

    let wrong = basic("reseller", "wrong");
    let form = [("Authorization", wrong.as_str()), ("Content-Type", "application/x-www-form-urlencoded")];
    let mut refused = 0;
    while refused <= 2000
        && dev.call("POST", "/oauth/token", &form, "grant_type=client_credentials").await.status == 401
    {
        refused += 1;
    }
    assert!((1000..=2000).contains(&refused), "{refused} wrong secrets were answered with 401");
    assert_eq!(dev.token_answer("reseller", &[]).await.status, 200, "the right secret is always taken");
    assert_eq!(dev.token_answer("insurer", &[]).await.status, 200, "another client is not held up");
}

#[tokio::test]
async fn a_token_is_told_to_those_whom_it_concerns_and_is_worth_what_it_is_worth_now() {
    let dev = Dev::demo();
    let gate = dev.gate();
    let ask = async |client: &str, token: &str| {
        let basic = basic(client, &dev.secret(client));
        let headers = [("Authorization", basic.as_str()), ("Content-Type", "application/x-www-form-urlencoded")];
        let answer = dev.call("POST", "/oauth/introspect", &headers, &format!("token={token}")).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        answer.json
    };
    let inactive = json!({"active": false});
    let token = dev.token("gains-partner", &[]).await;
    let told = ask("gains-partner", &token).await;
    for (member, value) in [
        ("active", json!(true)),
        ("client_id", json!("gains-partner")),
        ("sub", json!("gains-partner")),
        ("scope", json!("sku:read sku:write")),
        ("tenant", json!("acme")),
        ("token_type", json!("Bearer")),
        ("aud", json!(["https://partner.example"])),
        ("iss", dev.ready["issuer"].clone()),
    ] {
        assert_eq!(told[member], value, "{member}: {told}");
    }
    assert_eq!(told["exp"].as_i64().unwrap() - told["iat"].as_i64().unwrap(), 3600);
    assert_eq!(ask("operator", &token).await["client_id"], "gains-partner", "an application that may ask of all");
    let customer = json!({"tenant": "acme", "username": "ann@example.com", "password": "correct horse battery staple"});
    let login = dev.call("POST", "/login", &[("Content-Type", "application/json")], &customer.to_string()).await;
    let login = login.json["access_token"].as_str().unwrap().to_owned();
    assert_eq!(ask("operator", &login).await["customer_id"], "cu-1");
    let mut spoilt = token.clone();
    spoilt.replace_range(
        token.rfind('.').unwrap() + 1..=token.rfind('.').unwrap() + 1,
        if token.ends_with('A') { "B" } else { "A" },
    );
    let rows = [
        ("another client's", "gains-reader", token.as_str()),
        ("a customer's", "gains-partner", &login),
        ("nonsense", "operator", "nonsense"),
        ("three parts of nonsense", "operator", "e30.e30.e30"),
        ("nothing but dots", "operator", ".."),
        ("an API key", "operator", "ak_test_8f3b1c0e5a4d4f2c9b1e7d6c5a4b3c2d"),
    ];
    for (sentence, client, token) in rows {
        assert_eq!(ask(client, token).await, inactive, "{sentence}");
    }
    // What is changed counts at once, as at the authorizer.
    let grant = |state: &str, scopes: &[&str]| {
        auth_store::store::Record::Grant(
            serde_json::from_value(json!({"client_id": "gains-partner", "tenant": "acme", "state": state,
                "scopes": scopes, "roles": [], "skus": [], "suppliers": []}))
            .unwrap(),
        )
    };
    gate.store.load(vec![grant("approved", &["sku:read"])], |_| {}).await.unwrap();
    assert_eq!(ask("gains-partner", &token).await["scope"], "sku:read", "what the grant says now");
    gate.store.load(vec![grant("revoked", &["sku:read"])], |_| {}).await.unwrap();
    assert_eq!(ask("gains-partner", &token).await, inactive, "a withdrawn grant");
    gate.store.load(vec![grant("approved", &["sku:read"])], |_| {}).await.unwrap();
    let basic = basic("gains-partner", &dev.secret("gains-partner"));
    let headers = [("Authorization", basic.as_str()), ("Content-Type", "application/x-www-form-urlencoded")];
    dev.call("POST", "/oauth/revoke", &headers, &format!("token={token}")).await;
    assert_eq!(ask("gains-partner", &token).await, inactive, "a revoked token");
    let nobody = dev.call("POST", "/oauth/introspect", &[headers[1]], "token=x").await;
    assert_eq!((nobody.status, nobody.json["error"].clone()), (401, json!("invalid_client")));
    let metadata = dev.call("GET", "/.well-known/oauth-authorization-server", &[], "").await.json;
    assert_eq!(
        metadata["introspection_endpoint"],
        format!("{}/oauth/introspect", dev.ready["issuer"].as_str().unwrap())
    );
}
