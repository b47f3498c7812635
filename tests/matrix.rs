//! Who may call what: every credential of the demo against every operation, as a text that shows a change of rights
//! in review. `UPDATE_GOLDEN=1 cargo test --workspace` writes it anew.

use crate::harness::Dev;
use serde_json::{Value, json};
use std::fmt::Write as _;

const BODIES: [(&str, &str); 8] = [
    ("putSku", r#"{"vendorLeadTimeDays":1}"#),
    ("createOrder", r#"{"lines":[{"sku":"A","quantity":1}]}"#),
    ("addCartItem", r#"{"sku":"A"}"#),
    ("createCharge", r#"{"amount":1,"currency":"EUR"}"#),
    ("listProducts", "{}"),
    ("postClaim", r#"{"header":{"messageId":"m"},"body":{}}"#),
    ("postQuote", r#"{"header":{"messageId":"m"},"body":{}}"#),
    ("addTenant", r#"{"name":"n"}"#),
];

#[tokio::test]
async fn every_credential_against_every_operation_is_as_it_was() {
    let dev = Dev::demo();
    let documents: [Value; 2] = [include_str!("../openapi.yaml"), include_str!("../openapi-keys.yaml")]
        .map(|text| yaml_serde::from_str(text).unwrap());
    let mut operations = Vec::new();
    for (path, item) in documents.iter().flat_map(|document| document["paths"].as_object().unwrap()) {
        for (method, operation) in
            item.as_object().unwrap().iter().filter(|(m, _)| ["get", "put", "post"].contains(&m.as_str()))
        {
            let path = path
                .replace("{tenant}", "acme")
                .replace("{sku}", "AB-1")
                .replace("{orderId}", "1")
                .replace("{customerId}", "17");
            operations.push((operation["operationId"].as_str().unwrap().to_owned(), method.to_uppercase(), path));
        }
    }
    operations.sort();
    let mut credentials: Vec<(String, (String, String))> = vec![("nobody".into(), (String::new(), String::new()))];
    // One that signs assertions gets the same tokens as one with a secret.
    let with_secret = |client: &&Value| client["client_secret"].is_string();
    for client in dev.ready["demo"]["clients"].as_array().unwrap().iter().filter(with_secret) {
        let id = client["client_id"].as_str().unwrap();
        let tpl: &[(&str, &str)] = match id {
            "gains-multi" => &[("tpl", "acme")],
            "3pl-app" => &[("tpl", "5b7f1a52-6c0d-4a39-9d5c-0d3f2b1a7e10"), ("user_login", "guysmiley")],
            "gains-pending" => continue,
            _ => &[],
        };
        let token = dev.token(id, tpl).await;
        credentials.push((format!("token of {id}"), ("Authorization".into(), format!("Bearer {token}"))));
    }
    let login = json!({"tenant": "acme", "username": "ann@example.com", "password": "correct horse battery staple"});
    let login = dev.call("POST", "/login", &[("Content-Type", "application/json")], &login.to_string()).await;
    let customer = login.json["access_token"].as_str().unwrap().to_owned();
    credentials.push(("customer ann".into(), ("Authorization".into(), format!("Bearer {customer}"))));
    for key in dev.ready["demo"]["api_keys"].as_array().unwrap() {
        let key = key["key"].as_str().unwrap();
        credentials.push((format!("key {}...", &key[..12]), ("ApiKey".into(), key.to_owned())));
    }

    let mut text = String::from("Status and code of each operation, for each credential of the demo.\n");
    for (who, (header, value)) in &credentials {
        writeln!(text, "\n{who}").unwrap();
        for (id, method, path) in &operations {
            let body = BODIES.iter().find(|(name, _)| name == id).map_or("", |(_, body)| *body);
            let mut headers = vec![("Content-Type", "application/json"), ("X-Partner-Supplier", "S-100")];
            if !header.is_empty() {
                headers.push((header, value));
            }
            let answer = dev.call(method, path, &headers, body).await;
            let (status, code) = answer.outcome();
            let code = if status == 200 { String::new() } else { format!(" {code}") };
            writeln!(text, "  {id:<20} {status}{code}").unwrap();
        }
    }
    let golden = format!("{}/golden/permissions.txt", env!("CARGO_MANIFEST_DIR"));
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&golden, &text).unwrap();
    }
    let was = std::fs::read_to_string(&golden).unwrap_or_default();
    for (line, (was, is)) in was.lines().zip(text.lines()).enumerate() {
        assert_eq!(is, was, "line {}", line + 1);
    }
    assert_eq!(text.lines().count(), was.lines().count());
}
