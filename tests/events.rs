//! Every event of `events/` through its function, against the demo. An expectation holds what must be in the answer;
//! other members may be there.

use crate::harness::Dev;
use auth_edge::report::Stdout;
use serde_json::{Value, json};
use std::path::Path;

/// Where `expected` differs from `got`.
fn difference(place: &str, expected: &Value, got: &Value) -> Option<String> {
    match (expected, got) {
        (Value::Object(expected), Value::Object(got)) => expected.iter().find_map(|(name, value)| {
            difference(&format!("{place}.{name}"), value, got.get(name).unwrap_or(&json!("absent")))
        }),
        _ if expected == got => None,
        _ => Some(format!("{place} is {got}, not {expected}")),
    }
}

async fn tokens(dev: &Dev) -> Vec<(String, String)> {
    let mut tokens = Vec::new();
    for client in ["gains-partner", "gains-reader", "insurer"] {
        tokens.push((format!("TOKEN OF {client}"), dev.token(client, &[]).await));
    }
    let login = json!({"tenant": "acme", "username": "ann@example.com", "password": "correct horse battery staple"});
    let answer = dev.call("POST", "/login", &[("Content-Type", "application/json")], &login.to_string()).await;
    tokens.push(("TOKEN OF CUSTOMER".into(), answer.json["access_token"].as_str().unwrap().to_owned()));
    let signed = crate::requirements::partner_token("portfolio-partner", &dev.secret("portfolio-partner"));
    tokens.push(("SIGNED BY portfolio-partner".into(), signed));
    tokens
}

async fn http(response: http::Response<String>) -> Value {
    let headers: serde_json::Map<String, Value> =
        response.headers().iter().map(|(n, v)| (n.as_str().to_owned(), v.to_str().unwrap().into())).collect();
    let body: Value = serde_json::from_str(response.body()).unwrap_or_default();
    json!({"statusCode": response.status().as_u16(), "headers": headers, "body": body})
}

#[tokio::test]
async fn every_event_is_answered_as_expected() {
    let dev = Dev::demo();
    let gate = dev.gate();
    let tokens = tokens(&dev).await;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../events");
    let mut names: Vec<String> = std::fs::read_dir(&folder)
        .unwrap()
        .filter_map(|entry| entry.unwrap().file_name().to_str().unwrap().strip_suffix(".json").map(str::to_owned))
        .filter(|name| !name.ends_with(".expected"))
        .collect();
    names.sort();
    let mut wrong = Vec::new();
    for name in &names {
        let mut text = std::fs::read_to_string(folder.join(format!("{name}.json"))).unwrap();
        for (placeholder, token) in &tokens {
            text = text.replace(placeholder, token);
        }
        let expected = std::fs::read_to_string(folder.join(format!("{name}.expected.json"))).expect(name);
        let expected: Value = serde_json::from_str(&expected).unwrap();
        let event: Value = serde_json::from_str(&text).unwrap();
        let settings = dev.settings();
        let request = || serde_json::from_str(&text).expect(name);
        let failed = |failure: auth_edge::authorizer::Failure| json!({"errorMessage": failure.to_string()});
        let got = match name.split('.').next().unwrap() {
            "jwt-authorizer" => {
                jwt_authorizer::handle(&gate, &settings, &Stdout, &event, "r").await.unwrap_or_else(failed)
            }
            "api-key-authorizer" => {
                api_key_authorizer::handle(&gate, &settings, &Stdout, &event, "r").await.unwrap_or_else(failed)
            }
            "token" => http(token::handle(&gate, &Stdout, request(), "r").await).await,
            "login" => http(login::handle(&gate, &Stdout, request(), "r").await).await,
            "whoami" => {
                http(whoami::handle(&gate, whoami::Guard::BehindAuthorizer, &Stdout, request(), "r").await).await
            }
            other => panic!("{other} is no function"),
        };
        wrong.extend(difference("answer", &expected, &got).map(|what| format!("{name}: {what}")));
    }
    assert!(names.len() > 50, "{} events", names.len());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
