//! The functions as Lambda runs them: each binary under a Runtime API, against the embedded table and secret store,
//! and only with the calls that its policy in the template allows.

use crate::events::cases;
use crate::harness::{Dev, keeps_no_core};
use crate::proxy::{Call, Proxy, Relay};
use crate::runtime::Function;
use crate::template::{Policy, Template};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use tokio::net::TcpListener;

const NEEDS: &str = "needs the functions' binaries";

/// The variables of a function that reaches the stores through these.
fn variables(dev: &Dev, name: &str, dynamodb: &str, secrets: &str) -> Vec<(String, String)> {
    let mut variables = dev.variables();
    for (variable, value) in &mut variables {
        match variable.as_str() {
            "AWS_ENDPOINT_URL_DYNAMODB" => dynamodb.clone_into(value),
            "AWS_ENDPOINT_URL_SECRETS_MANAGER" => secrets.clone_into(value),
            _ => {}
        }
    }
    if name == "whoami" {
        variables.push(("GUARD".into(), "behind-authorizer".into()));
    }
    variables
}

struct Running {
    function: Function,
    dynamodb: Proxy,
    secrets: Proxy,
    events: usize,
}

impl Running {
    async fn start(dev: &Dev, name: &str) -> Self {
        let at = |endpoint: &str| dev.ready[endpoint].as_str().unwrap().to_owned();
        let dynamodb = Proxy::start(&at("dynamodb_endpoint")).await;
        let secrets = Proxy::start(&at("secretsmanager_endpoint")).await;
        let function = Function::start(name, &variables(dev, name, &dynamodb.url, &secrets.url)).await;
        Self { function, dynamodb, secrets, events: 0 }
    }
}

/// An HTTP function's answer has its body as a text.
fn readable(mut answer: Value) -> Value {
    if let Some(body) = answer.get("body").and_then(Value::as_str).map(str::to_owned) {
        answer["body"] = serde_json::from_str(&body).unwrap_or(body.into());
    }
    answer
}

#[tokio::test]
#[ignore = "needs the functions' binaries: tests/lambda/run"]
async fn every_event_through_the_binaries_with_no_more_calls_than_the_template_allows() {
    let dev = Dev::demo();
    let template = Template::read();
    let mut running: BTreeMap<String, Running> = BTreeMap::new();
    let mut wrong = Vec::new();
    for case in cases(&dev) {
        let name = case.function().to_owned();
        if !running.contains_key(&name) {
            running.insert(name.clone(), Running::start(&dev, &name).await);
        }
        let running = running.get_mut(&name).unwrap();
        running.events += 1;
        match running.function.invoke(&case.text).await {
            Some(answer) => wrong.extend(case.wrong(&readable(answer))),
            None => wrong.push(format!("{}: no answer", case.name)),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(running.len(), template.functions().len(), "a function has no event");
    for (name, running) in running {
        let policy = template.policy(&name);
        let calls = [running.dynamodb.take_calls(), running.secrets.take_calls()].concat();
        holds(&name, &policy, &calls);
        assert!(keeps_no_core(running.function.pid()), "{name}: its memory would be kept");
        let (said, complained) = running.function.end().await;
        let lines: Vec<Value> = said.lines().map(|l| serde_json::from_str(l).expect(l)).collect();
        assert_eq!(lines.len(), running.events, "{name}: one audit line an event");
        assert!(lines.iter().all(|l| l["outcome"] != "broken" || name == "rotate-keyring"), "{name}: {said}");
        assert!(!complained.contains("panicked"), "{name}: {complained}");
    }
}

/// Every call is allowed, and every permission is used.
fn holds(name: &str, policy: &Policy, calls: &[Call]) {
    let asked: Vec<(String, Vec<String>)> = calls.iter().flat_map(permissions).collect();
    for (action, keys) in &asked {
        assert!(policy.allows(action, keys), "{name}: the template does not allow {action} {keys:?}");
    }
    for (permission, pattern) in policy.permissions() {
        let used = asked.iter().any(|(action, keys)| {
            *action == permission && (pattern.is_empty() || keys.iter().any(|key| Policy::matches(&pattern, key)))
        });
        assert!(used, "{name}: nothing needs {permission} {pattern}");
    }
}

/// The permissions that a call needs: of a transaction, those of its items.
fn permissions(call: &Call) -> Vec<(String, Vec<String>)> {
    let items = call.input["TransactItems"].as_array().filter(|_| action(call) == "dynamodb:TransactWriteItems");
    let Some(items) = items else { return vec![(action(call), leading_keys(call))] };
    let key = |value: &Value| vec![value["pk"]["S"].as_str().unwrap().to_owned()];
    let of = |item: &Value| match (item["Put"].as_object(), item["Delete"].as_object()) {
        (Some(put), None) => ("dynamodb:PutItem".to_owned(), key(&put["Item"])),
        (None, Some(delete)) => ("dynamodb:DeleteItem".to_owned(), key(&delete["Key"])),
        _ => panic!("not a write of ours: {item}"),
    };
    items.iter().map(of).collect()
}

fn action(call: &Call) -> String {
    match call.target.split_once('.') {
        Some(("secretsmanager", operation)) => format!("secretsmanager:{operation}"),
        Some((_, operation)) => format!("dynamodb:{operation}"),
        None => panic!("not a call: {call:?}"),
    }
}

/// `dynamodb:LeadingKeys` of a call.
fn leading_keys(call: &Call) -> Vec<String> {
    let pk = |key: &Value| key["pk"]["S"].as_str().map(str::to_owned);
    let input = &call.input;
    let batch = input["RequestItems"].as_object().into_iter().flatten();
    let batch = batch.filter_map(|(_, table)| table["Keys"].as_array()).flatten().filter_map(pk);
    let query = input["ExpressionAttributeValues"][":pk"]["S"].as_str().map(str::to_owned);
    batch.chain(query).chain(pk(&input["Key"])).chain(pk(&input["Item"])).collect()
}

/// Lambda freezes a process between two requests. What became of its connections meanwhile costs it one try more.
#[tokio::test]
#[ignore = "needs the functions' binaries: tests/lambda/run"]
async fn a_process_that_was_frozen_goes_on() {
    let dev = Dev::demo();
    let at = |endpoint: &str| dev.ready[endpoint].as_str().unwrap().to_owned();
    let event = cases(&dev).into_iter().find(|c| c.name == "jwt-authorizer.rest-token.allowed").unwrap().text;
    let table = Relay::start(&at("dynamodb_endpoint")).await;
    let secrets = at("secretsmanager_endpoint");
    let mut function =
        Function::start("jwt-authorizer", &variables(&dev, "jwt-authorizer", &table.url, &secrets)).await;
    type Row = (&'static str, fn(&Relay), usize);
    let rows: [Row; 5] = [
        ("its first", |_| {}, 1),
        ("nothing happens", |_| {}, 0),
        ("the store closes what is idle", Relay::close, 1),
        ("the network forgets it", Relay::kill, 1),
        ("nothing happens again", |_| {}, 0),
    ];
    for (sentence, meanwhile, more) in rows {
        function.signal("STOP");
        let opened = table.opened();
        meanwhile(&table);
        function.signal("CONT");
        let answer = function.invoke(&event).await.unwrap_or_default();
        assert_eq!(answer["principalId"], "gains-partner", "{sentence}: {answer}");
        assert_eq!(table.opened() - opened, more, "{sentence}: connections that had to be opened");
    }
}

#[tokio::test]
#[ignore = "needs the functions' binaries: tests/lambda/run"]
async fn a_wrong_variable_stops_a_function_at_its_start_and_is_named() {
    let dev = Dev::demo();
    let good = variables(&dev, "whoami", "http://127.0.0.1:1", "http://127.0.0.1:1");
    let rows = [
        ("token", "ISSUER", "no url"),
        ("login", "ENVIRONMENT", "staging"),
        ("jwt-authorizer", "TABLE_NAME", ""),
        ("api-key-authorizer", "DECISION_CACHE_SECONDS", "-1"),
        ("whoami", "GUARD", "asleep"),
        ("rotate-keyring", "AWS_REGION", ""),
    ];
    for (function, variable, value) in rows {
        let with: Vec<(String, String)> = good
            .iter()
            .filter(|(n, _)| n != "AWS_DEFAULT_REGION")
            .map(|(n, v)| (n.clone(), if n == variable { value.to_owned() } else { v.clone() }))
            .chain([(
                "DECISION_CACHE_SECONDS".to_owned(),
                if variable == "DECISION_CACHE_SECONDS" { value } else { "0" }.to_owned(),
            )])
            .collect();
        let running = Function::start(function, &with).await;
        let (well, said, complained) = running.ended().await;
        assert!(!well && (complained + &said).contains(variable), "{function} {variable}={value}: {said}");
    }
}

#[tokio::test]
#[ignore = "needs the functions' binaries: tests/lambda/run"]
async fn a_store_that_is_away_is_a_fault_and_the_next_event_is_served() {
    let dev = Dev::demo();
    // Nobody listens there; and somebody who never answers.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent = format!("http://{}", silent.local_addr().unwrap());
    let secrets = dev.ready["secretsmanager_endpoint"].as_str().unwrap().to_owned();
    let all = cases(&dev);
    let event = |name: &str| all.iter().find(|c| c.name == name).expect(name).text.clone();
    let rows = [
        ("jwt-authorizer", "jwt-authorizer.rest-token.allowed", json!({"errorMessage": "unavailable"})),
        ("api-key-authorizer", "api-key-authorizer.rest-request.allowed", json!({"errorMessage": "unavailable"})),
        ("token", "token.http-api-2.form.allowed", json!(503)),
        ("login", "login.http-api-2.allowed", json!(503)),
        ("whoami", "whoami.rest.allowed", json!(503)),
    ];
    for store in ["http://127.0.0.1:1", silent.as_str()] {
        for (name, event_name, expected) in &rows {
            let mut function = Function::start(name, &variables(&dev, name, store, &secrets)).await;
            for _ in 0..2 {
                let answer = function.invoke(&event(event_name)).await;
                let answer = answer.unwrap_or_else(|| panic!("{name}: let its deadline pass at {store}"));
                let got = if answer["statusCode"].is_null() { answer.clone() } else { answer["statusCode"].clone() };
                assert_eq!(got, *expected, "{name} at {store}: {answer}");
            }
            function.end().await;
        }
    }
}

#[tokio::test]
#[ignore = "needs the functions' binaries: tests/lambda/run"]
async fn a_cold_start_reads_the_secret_once_and_a_decision_makes_one_trip() {
    let dev = Dev::demo();
    let all = cases(&dev);
    let event = |name: &str| all.iter().find(|c| c.name == name).expect(name).text.clone();
    for (name, event_name) in [
        ("jwt-authorizer", "jwt-authorizer.rest-token.allowed"),
        ("api-key-authorizer", "api-key-authorizer.rest-request.allowed"),
    ] {
        let mut running = Running::start(&dev, name).await;
        running.function.invoke(&event(event_name)).await.expect(NEEDS);
        assert_eq!(running.secrets.take_calls().len(), 1, "{name}: the secret, at the start");
        running.dynamodb.take_calls();
        for _ in 0..3 {
            let answer = running.function.invoke(&event(event_name)).await.expect(NEEDS);
            assert!(answer["principalId"].is_string(), "{answer}");
            let targets: Vec<String> = running.dynamodb.take_calls().into_iter().map(|c| c.target).collect();
            assert_eq!(targets, ["DynamoDB_20120810.BatchGetItem"], "{name}");
        }
        assert!(running.secrets.take_calls().is_empty(), "{name}");
        // What is no event is refused, and harms nobody after it.
        for nonsense in ["null", "[]", "{}", "\"x\"", "1", r#"{"type":"TOKEN"}"#] {
            let answer = running.function.invoke(nonsense).await.expect(nonsense);
            assert_eq!(answer, json!({"errorMessage": "Unauthorized"}), "{name}: {nonsense}");
        }
        assert!(running.function.invoke(&event(event_name)).await.expect(NEEDS)["principalId"].is_string());
    }
}
