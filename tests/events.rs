//! Every event of `events/` through its function, against the demo. An expectation holds what must be in the answer;
//! other members may be there.

use crate::harness::{self, Dev};
use auth_edge::report::Stdout;
use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;

/// An event with fresh tokens, and what must be in the answer.
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) text: String,
    expected: Value,
}

impl Case {
    /// The function that it is for.
    pub(crate) fn function(&self) -> &str {
        self.name.split('.').next().unwrap()
    }

    /// Where the answer is not as expected.
    pub(crate) fn wrong(&self, got: &Value) -> Option<String> {
        difference("answer", &self.expected, got).map(|what| format!("{}: {what}", self.name))
    }
}

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

/// All events, as `countersign events` fills them for this deployment.
pub(crate) fn cases(dev: &Dev) -> Vec<Case> {
    let folder = harness::folder();
    for entry in std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../events")).unwrap() {
        let from = entry.unwrap().path();
        std::fs::copy(&from, folder.join(from.file_name().unwrap())).unwrap();
    }
    let filled = Command::new(harness::binary()).arg("events").arg(&folder).envs(dev.variables()).output().unwrap();
    assert!(filled.status.success(), "{}", String::from_utf8_lossy(&filled.stderr));
    let read = |name: &str| std::fs::read_to_string(folder.join(format!("{name}.json"))).expect(name);
    let mut cases: Vec<Case> = std::fs::read_dir(&folder)
        .unwrap()
        .filter_map(|entry| entry.unwrap().file_name().to_str().unwrap().strip_suffix(".json").map(str::to_owned))
        .filter(|name| !name.ends_with(".expected"))
        .map(|name| Case {
            text: read(&name),
            expected: serde_json::from_str(&read(&format!("{name}.expected"))).expect(&name),
            name,
        })
        .collect();
    std::fs::remove_dir_all(&folder).unwrap();
    // Rotations come last: they make tokens worthless.
    cases
        .sort_by_key(|case| (case.name.contains(".keyring.z"), case.function() == "rotate-keyring", case.name.clone()));
    assert!(cases.len() > 150, "{} events", cases.len());
    cases
}

fn http(response: http::Response<String>) -> Value {
    let headers: serde_json::Map<String, Value> =
        response.headers().iter().map(|(n, v)| (n.as_str().to_owned(), v.to_str().unwrap().into())).collect();
    let body: Value = serde_json::from_str(response.body()).unwrap_or_default();
    json!({"statusCode": response.status().as_u16(), "headers": headers, "body": body})
}

#[tokio::test]
async fn every_event_is_answered_as_expected() {
    let dev = Dev::demo();
    let (gate, settings, aws) = (dev.gate(), dev.settings(), dev.aws());
    let mut wrong = Vec::new();
    for case in cases(&dev) {
        let event: Value = serde_json::from_str(&case.text).unwrap();
        let request = || serde_json::from_str(&case.text).expect(&case.name);
        let failed = |failure: &dyn std::fmt::Display| json!({"errorMessage": failure.to_string()});
        let got = match case.function() {
            "jwt-authorizer" => {
                let answer = jwt_authorizer::handle(&gate, &settings, &Stdout, &event, "r").await;
                answer.map_or_else(|e| failed(&e), |reply| reply.to_value())
            }
            "api-key-authorizer" => {
                let answer = api_key_authorizer::handle(&gate, &settings, &Stdout, &event, "r").await;
                answer.map_or_else(|e| failed(&e), |reply| reply.to_value())
            }
            "rotate-keyring" => rotate_keyring::handle(&aws, &Stdout, &event, "r").await.unwrap_or_else(|e| failed(&e)),
            "admin" => {
                let desk = admin::Desk { gate: &gate, aws: &aws, breached_passwords: None };
                http(admin::handle(&desk, &Stdout, request(), "r").await)
            }
            "token" => http(token::handle(&gate, &Stdout, request(), "r").await),
            "login" => http(login::handle(&gate, &Stdout, request(), "r").await),
            "whoami" => http(whoami::handle(&gate, whoami::Guard::BehindAuthorizer, &Stdout, request(), "r").await),
            other => panic!("{other} is no function"),
        };
        wrong.extend(case.wrong(&got));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
