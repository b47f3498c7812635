//! A store that delays, drops, resets, throttles, breaks off or talks nonsense: what becomes of a request then.

use crate::events::cases;
use crate::harness::{Dev, built};
use crate::proxy::{ALWAYS, Proxy, SPOILT, Spoilt};
use crate::runtime::Function;
use auth_core::audit::{AuditLine, Outcome};
use auth_core::settings::Settings;
use auth_edge::authorizer::Failure;
use auth_edge::event::AuthorizerEvent;
use auth_edge::report::Sink;
use auth_edge::{clock, header};
use auth_store::aws::Aws;
use auth_store::gate::Gate;
use serde_json::Value;
use std::sync::Mutex;

#[derive(Default)]
struct Lines(Mutex<Vec<AuditLine>>);

impl Sink for Lines {
    fn write(&self, line: AuditLine) {
        self.0.lock().unwrap().push(line);
    }
}

/// A process of the functions, whose ways to table and secret lead through proxies.
struct Process {
    gate: Gate,
    settings: Settings,
}

struct Place {
    dev: Dev,
    table: Proxy,
    secrets: Proxy,
    bearer: Value,
    key: Value,
}

impl Place {
    async fn new() -> Self {
        let dev = Dev::demo();
        let at = |name: &str| dev.ready[name].as_str().unwrap().to_owned();
        let table = Proxy::start(&at("dynamodb_endpoint")).await;
        let secrets = Proxy::start(&at("secretsmanager_endpoint")).await;
        let all = cases(&dev);
        let event = |name: &str| serde_json::from_str(&all.iter().find(|c| c.name == name).unwrap().text).unwrap();
        let bearer = event("jwt-authorizer.rest-token.allowed");
        let key = event("api-key-authorizer.rest-request.allowed");
        Self { dev, table, secrets, bearer, key }
    }

    fn process(&self) -> Process {
        self.process_with(&[])
    }

    fn process_with(&self, more: &[(&str, &str)]) -> Process {
        let variables = self.dev.variables();
        let read = |name: &str| match name {
            _ if more.iter().any(|(n, _)| *n == name) => {
                more.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned())
            }
            "AWS_ENDPOINT_URL_DYNAMODB" => Some(self.table.url.clone()),
            "AWS_ENDPOINT_URL_SECRETS_MANAGER" => Some(self.secrets.url.clone()),
            _ => variables.iter().find(|(n, _)| n == name).map(|(_, value)| value.clone()),
        };
        let settings = Settings::read(read).unwrap();
        Process { gate: Gate::new(&Aws::read(read).unwrap(), &settings), settings }
    }
}

impl Process {
    /// What both authorizers say to a good credential: allowed, or broken. Nothing else may come of a fault.
    async fn allows(&self, place: &Place, sentence: &str) -> bool {
        let lines = Lines::default();
        let answers = [
            jwt_authorizer::handle(&self.gate, &self.settings, &lines, &place.bearer, "id").await,
            api_key_authorizer::handle(&self.gate, &self.settings, &lines, &place.key, "id").await,
        ];
        let allowed = answers.map(|answer| match answer {
            Ok(reply) => {
                let reply = reply.to_value();
                let effects: Vec<&Value> =
                    reply["policyDocument"]["Statement"].as_array().unwrap().iter().map(|s| &s["Effect"]).collect();
                assert!(effects.contains(&&Value::from("Allow")), "{sentence}: {reply}");
                true
            }
            Err(Failure::Unavailable) => false,
            Err(Failure::Unauthorized) => panic!("{sentence}: 401 for a fault of ours"),
        });
        assert_eq!(allowed[0], allowed[1], "{sentence}: of a token and of a key alike");
        for line in lines.0.into_inner().unwrap() {
            assert_eq!(line.outcome, if allowed[0] { Outcome::Allowed } else { Outcome::Broken }, "{sentence}");
        }
        allowed[0]
    }
}

/// A fault is never an Allow and never a 401; a call is tried three times at most; and when the store is well again, so
/// is the process.
#[tokio::test]
async fn a_table_that_is_ill_refuses_nobody_and_lets_nobody_in() {
    let place = Place::new().await;
    let process = place.process();
    assert!(process.allows(&place, "all is well").await);
    for (sentence, spoilt) in SPOILT {
        place.table.spoil(Some((ALWAYS, spoilt)));
        place.table.take_calls();
        assert!(!process.allows(&place, sentence).await, "{sentence}");
        let calls = place.table.take_calls().len();
        assert!((2..=6).contains(&calls), "{sentence}: {calls} calls for two decisions");
        place.table.spoil(None);
        assert!(process.allows(&place, sentence).await, "{sentence}: well again, and served without a restart");
    }
}

/// What happens once is made up for by trying again; but for what no other try would change.
#[tokio::test]
async fn a_fault_that_passes_is_not_seen() {
    let place = Place::new().await;
    let process = place.process();
    assert!(process.allows(&place, "all is well").await);
    for (sentence, spoilt) in SPOILT {
        let passes = !matches!(spoilt, Spoilt::Refused(_, "AccessDeniedException" | "ResourceNotFoundException"));
        if passes && spoilt != Spoilt::Nonsense {
            place.table.spoil(Some((1, spoilt)));
            assert!(process.allows(&place, sentence).await, "{sentence}");
        }
    }
}

#[tokio::test]
async fn a_secret_store_that_is_ill_keeps_a_process_from_starting_and_no_other_from_working() {
    let place = Place::new().await;
    let warm = place.process();
    assert!(warm.allows(&place, "all is well").await);
    for (sentence, spoilt) in SPOILT {
        place.secrets.spoil(Some((ALWAYS, spoilt)));
        let cold = place.process();
        assert!(!cold.allows(&place, sentence).await, "{sentence}: without a keyring nothing is decided");
        assert!(warm.allows(&place, sentence).await, "{sentence}: who has read it goes on");
        place.secrets.spoil(None);
        assert!(cold.allows(&place, sentence).await, "{sentence}: well again, and served without a restart");
    }
}

/// The stores close what has been idle; a process that was frozen meanwhile finds out when it writes.
#[tokio::test]
async fn a_connection_that_died_while_nobody_looked_costs_one_more_try() {
    let place = Place::new().await;
    let process = place.process();
    assert!(process.allows(&place, "all is well").await);
    place.table.spoil(Some((1, Spoilt::Reset)));
    place.table.take_calls();
    assert!(process.allows(&place, "reset").await);
    assert_eq!(place.table.take_calls().len(), 3, "two decisions, and one try more");
}

/// What was kept counts for as long as it is said to, by whatever clock: one that steps back makes it unknown, one that
/// steps ahead makes it old.
#[tokio::test]
async fn a_clock_that_steps_by_an_hour_makes_nothing_count_for_longer() {
    const HOUR: i64 = 3600;
    let place = Place::new().await;
    let process = place.process_with(&[("DECISION_CACHE_SECONDS", "60"), ("STALE_IF_ERROR_SECONDS", "300")]);
    let event = AuthorizerEvent::read(&place.key, "apikey").unwrap();
    let start = clock::now();
    // The sentence; the time; whether the table is well; whether it must be asked; whether the key opens.
    let rows = [
        ("read", 0, true, true, true),
        ("kept", 59, false, false, true),
        ("not fresh any more, and the table is ill: stale for as long as is said", 299, false, true, true),
        ("an hour back, ill", -HOUR, false, true, false),
        ("an hour back, well", -HOUR, true, true, true),
        ("kept there", -HOUR + 59, false, false, true),
        ("ahead again: an hour old", 0, false, true, false),
        ("read again", 0, true, true, true),
        ("an hour ahead, ill", HOUR, false, true, false),
        ("an hour ahead, well", HOUR, true, true, true),
        ("back from there: of a time that has not come", 0, false, true, false),
    ];
    for (sentence, at, is_well, asks, opens) in rows {
        place.table.spoil((!is_well).then_some((ALWAYS, Spoilt::Refused(500, "InternalServerError"))));
        place.table.take_calls();
        let now = start.plus(at);
        let line = &mut AuditLine::new("api_key", now, "id");
        let verdict = process.gate.api_key(&event.request, header::api_key(&event.request), now, line).await;
        match verdict {
            Ok(verdict) => assert!(opens && verdict.access.is_ok(), "{sentence}: {:?}", verdict.access),
            Err(fault) => assert!(!opens, "{sentence}: {fault}"),
        }
        let asked = place.table.take_calls().iter().any(|call| call.target.ends_with("BatchGetItem"));
        assert_eq!(asked, asks, "{sentence}: whether the table was asked");
    }
}

/// The last resort: a bug of ours is a fault, which API Gateway answers with 500, and no harm to the next event.
#[tokio::test]
async fn a_panic_refuses_nobody_lets_nobody_in_and_tells_nothing() {
    let place = Place::new().await;
    let mut variables = place.dev.variables();
    variables.push(("DECISION_CACHE_SECONDS".into(), "60".into()));
    let mut function = Function::start_at(&built("examples/function-with-a-bug"), &variables).await;
    let event = place.bearer.to_string();
    let broken = function.invoke(&event).await.expect("an answer before the deadline");
    let message = broken["errorMessage"].as_str().unwrap();
    assert!(message.contains("a bug") && message != "Unauthorized", "{broken}");
    let next = function.invoke(&event).await.expect("an answer before the deadline");
    assert_eq!(next["principalId"], "gains-partner", "the next event is decided as ever: {next}");
    let (said, complained) = function.end().await;
    assert!(complained.contains("panicked"), "{complained}");
    let token = place.bearer["authorizationToken"].as_str().unwrap().rsplit(['.', ' ']).next().unwrap();
    assert!(!format!("{broken}{said}{complained}").contains(token), "the token was told");
}
