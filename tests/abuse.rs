//! Those who ask more often than is good for the others.

use crate::engines::Engine;
use crate::harness::{Dev, basic};
use auth_core::rate::Allowance;
use auth_core::time::Timestamp;
use auth_store::gate::Gate;

const NOW: Timestamp = Timestamp(1_800_000_000);

/// How many of so many requests are let through by processes of their own that ask at once.
async fn let_through(processes: &[Gate], requests: usize, now: Timestamp) -> usize {
    let client = "c1".parse().unwrap();
    let of_one = async |gate: &Gate| {
        let mut count = 0;
        for _ in 0..requests {
            count += usize::from(gate.permits_request(&client, now).await.unwrap().is_ok());
        }
        count
    };
    let mut all = 0;
    for counted in crate::admin::join(processes.iter().map(of_one)).await {
        all += counted;
    }
    all
}

#[tokio::test]
async fn all_processes_together_let_no_more_through_than_the_limit() {
    let engine = Engine::embedded();
    let allowance = Allowance { most: 200, window_seconds: 60 };
    let processes: Vec<Gate> = (0..8)
        .map(|_| {
            let mut gate = engine.gate("countersign/keyring");
            gate.client_requests = Some(allowance);
            gate
        })
        .collect();
    processes[0].store.ensure_table().await.unwrap();
    let outstanding = processes.len() * usize::try_from(allowance.block()).unwrap();
    for (sentence, requests, now) in
        [("more than there are", 100, NOW), ("once more", 10, NOW.plus(59)), ("a minute later", 100, NOW.plus(60))]
    {
        let count = let_through(&processes, requests, now).await;
        let most = if sentence == "once more" { outstanding } else { 200 };
        assert!(count <= most && (sentence == "once more" || count + outstanding > 200), "{sentence}: {count}");
    }
    // What is used up is known without asking again.
    let nowhere = engine.with_dynamodb("http://127.0.0.1:1").gate("countersign/keyring");
    assert!(nowhere.permits_request(&"c1".parse().unwrap(), NOW).await.unwrap().is_ok(), "without a limit, no trip");
}

/// All that is asked of the token function, and all logins.
#[tokio::test]
async fn an_address_that_asks_too_often_is_told_when_to_come_again() {
    let dev = Dev::start(&[], &[], &[("ADDRESS_REQUESTS_PER_MINUTE", "5")]);
    let basic = basic("portfolio-partner", &dev.secret("portfolio-partner"));
    let form = ("Content-Type", "application/x-www-form-urlencoded");
    let login = r#"{"tenant":"acme-retail","username":"nobody","password":"wrong"}"#;
    type Row<'a> = (&'a str, &'a str, Vec<(&'a str, &'a str)>, &'a str);
    let rows: [Row<'_>; 5] = [
        ("a token", "/oauth/token", vec![("Authorization", &basic), form], "grant_type=client_credentials"),
        ("introspection", "/oauth/introspect", vec![("Authorization", &basic), form], "token=x"),
        ("revocation", "/oauth/revoke", vec![("Authorization", &basic), form], "token=x"),
        ("a guess", "/oauth/token", vec![form], "grant_type=client_credentials&client_id=nobody&client_secret=x"),
        ("a login", "/login", vec![("Content-Type", "application/json")], login),
    ];
    let mut let_through = 0;
    // A minute may end in between: then there are five more.
    let refused = loop {
        let (_, path, headers, body) = &rows[let_through % rows.len()];
        let answer = dev.call("POST", path, headers, body).await;
        if answer.status == 429 || let_through > 10 {
            break answer;
        }
        let_through += 1;
    };
    assert!((5..=10).contains(&let_through), "{let_through} requests");
    assert_eq!(refused.outcome(), (429, -50), "{}", refused.text);
    let wait: i64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=60).contains(&wait), "{wait}");
    // All of it counts; unless the minute ends while they are asked, after which some are let through again.
    let (mut asked, mut refused) = (0, 0);
    while asked == 0 || (refused < rows.len() && asked < 30) {
        let (_, path, headers, body) = &rows[asked % rows.len()];
        refused = if dev.call("POST", path, headers, body).await.status == 429 { refused + 1 } else { 0 };
        asked += 1;
    }
    assert_eq!(refused, rows.len(), "each kind in turn");
    assert_eq!(dev.call("GET", "/.well-known/jwks.json", &[], "").await.status, 200, "keys are everybody's");
}

#[tokio::test]
async fn a_client_that_asks_too_often_is_told_when_to_come_again_and_no_other_is() {
    let dev = Dev::start(&[], &[], &[("TOKEN_REQUESTS_PER_MINUTE", "5")]);
    let ask = async |client: &'static str, path: &'static str, body: &'static str| {
        let headers = [
            ("Authorization", basic(client, &dev.secret(client))),
            ("Content-Type", "application/x-www-form-urlencoded".to_owned()),
        ];
        let headers: Vec<(&str, &str)> = headers.iter().map(|(n, v)| (*n, v.as_str())).collect();
        dev.call("POST", path, &headers, body).await
    };
    let token = "grant_type=client_credentials";
    let mut good = 0;
    // A minute may end in between: then there are five more.
    let refused = loop {
        let answer = ask("portfolio-partner", "/oauth/token", token).await;
        if answer.status != 200 || good > 10 {
            break answer;
        }
        good += 1;
    };
    assert!((5..=10).contains(&good), "{good} tokens");
    assert_eq!(refused.outcome(), (429, -50), "{}", refused.text);
    assert_eq!(refused.json["error_description"], "Too many requests. Wait as Retry-After says.");
    let wait: i64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=60).contains(&wait), "{wait}");
    assert_eq!(ask("portfolio-partner", "/oauth/introspect", "token=x").await.status, 429, "one limit for all of it");
    assert_eq!(ask("gains-reader", "/oauth/token", token).await.status, 200, "another client");
    let wrong = [
        ("Authorization", basic("portfolio-partner", "wrong")),
        ("Content-Type", "application/x-www-form-urlencoded".into()),
    ];
    let wrong: Vec<(&str, &str)> = wrong.iter().map(|(n, v)| (*n, v.as_str())).collect();
    let guessed = dev.call("POST", "/oauth/token", &wrong, token).await;
    assert_eq!(guessed.status, 401, "who guesses learns nothing of it, and uses nothing up");
}
