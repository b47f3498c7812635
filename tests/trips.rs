//! How often the table is asked for a token, and for how much.

use crate::events::cases;
use crate::harness::Dev;
use crate::proxy::{Call, Proxy};
use auth_core::rate::Allowance;
use auth_core::settings::Settings;
use auth_edge::report::Stdout;
use auth_store::aws::Aws;
use auth_store::gate::Gate;
use serde_json::Value;
use std::collections::HashMap;

/// The operation, and how many items it reads.
fn trip(call: Call) -> (String, usize) {
    (call.target.trim_start_matches("DynamoDB_20120810.").to_owned(), call.keys())
}

/// A deployment, what is asked of its table, and the variables of those who ask there.
async fn watched() -> (Dev, Proxy, HashMap<String, String>) {
    let dev = Dev::demo();
    let proxy = Proxy::start(dev.ready["dynamodb_endpoint"].as_str().unwrap()).await;
    let mut variables: HashMap<String, String> = dev.variables().into_iter().collect();
    variables.insert("AWS_ENDPOINT_URL_DYNAMODB".into(), proxy.url.clone());
    (dev, proxy, variables)
}

#[tokio::test]
async fn a_token_takes_one_trip_and_its_length_tells_nobody_which_clients_are_known() {
    let (dev, proxy, variables) = watched().await;
    let read = |name: &str| variables.get(name).cloned();
    let gate = Gate::new(&Aws::read(read).unwrap(), &Settings::read(read).unwrap());
    let limited = Gate {
        client_requests: Allowance::a_minute(600),
        address_requests: Allowance::a_minute(6000),
        ..Gate::new(&Aws::read(read).unwrap(), &Settings::read(read).unwrap())
    };
    let event = cases(&dev).into_iter().find(|case| case.name == "token.http-api-2.form.allowed").unwrap();
    let event: Value = serde_json::from_str(&event.text).unwrap();
    let ask_at = async |gate: &Gate, client: &str, secret: &str, more: &str| {
        let mut event = event.clone();
        let body = format!("grant_type=client_credentials&client_id={client}&client_secret={secret}{more}");
        event["body"] = body.into();
        event["isBase64Encoded"] = false.into();
        event["headers"].as_object_mut().unwrap().retain(|name, _| !name.eq_ignore_ascii_case("authorization"));
        let event = serde_json::from_value(event).unwrap();
        let status = token::handle(gate, &Stdout, event, "id").await.status().as_u16();
        let trips: Vec<(String, usize)> = proxy.take_calls().into_iter().map(trip).collect();
        (status, trips)
    };
    let ask = async |client: &str, secret: &str, more: &str| ask_at(&gate, client, secret, more).await;
    let of = |client: &str| (client.to_owned(), dev.secret(client));
    let ((single, single_secret), (dynamic, dynamic_secret)) = (of("portfolio-partner"), of("gains-multi"));
    let get = |keys: usize| ("BatchGetItem".to_owned(), keys);

    // The first of a process reads the APIs as well.
    ask(&dynamic, &dynamic_secret, "&tpl=acme").await;
    let (status, trips) = ask(&single, &single_secret, "").await;
    assert_eq!((status, trips.len()), (200, 2), "whose tenant is not known yet: {trips:?}");
    let (status, trips) = ask(&single, &single_secret, "").await;
    assert_eq!((status, &trips[..]), (200, &[get(4)][..]), "client, tenant, grant, version");
    let (status, trips) = ask(&dynamic, &dynamic_secret, "&tpl=acme").await;
    assert_eq!((status, &trips[..]), (200, &[get(4)][..]), "the tenant is named");

    // A block of permits each, beside what is read anyway; and none before the next window, or until they are used up.
    ask_at(&limited, &single, &single_secret, "").await;
    let (status, mut trips) = ask_at(&limited, &dynamic, &dynamic_secret, "&tpl=acme").await;
    trips.sort();
    let written = trips.iter().filter(|trip| trip.0 == "UpdateItem").count();
    assert!(status == 200 && (1..=2).contains(&written) && trips.len() == written + 1, "{trips:?}");

    let known = ask(&single, "wrong", "").await;
    assert_eq!((known.0, &known.1[0]), (401, &get(4)));
    for (sentence, client) in [("not known to the process", "gains-reader"), ("nobody's", "nobody-at-all")] {
        assert_eq!(ask(client, "wrong", "").await, known, "a client that is {sentence} takes as long");
    }
}

#[tokio::test]
async fn of_a_key_that_is_over_no_more_is_read_than_of_one_of_nobody() {
    let (dev, proxy, variables) = watched().await;
    let read = |name: &str| variables.get(name).cloned();
    let settings = Settings::read(read).unwrap();
    let gate = Gate::new(&Aws::read(read).unwrap(), &settings);
    let all = cases(&dev);
    let ask = async |name: &str| {
        let case = all.iter().find(|case| case.name == format!("api-key-authorizer.rest-request.{name}")).expect(name);
        let event: Value = serde_json::from_str(&case.text).unwrap();
        let allowed = api_key_authorizer::handle(&gate, &settings, &Stdout, &event, "id").await.is_ok();
        (allowed, proxy.take_calls().into_iter().map(trip).collect::<Vec<_>>())
    };
    let get = |keys: usize| ("BatchGetItem".to_owned(), keys);
    // The first of a process reads the APIs as well.
    ask("allowed").await;
    assert_eq!(ask("allowed").await, (true, vec![get(5)]), "key, client, tenant, grant, version");
    for name in ["unknown", "revoked", "expired"] {
        for time in 1..=2 {
            assert_eq!(ask(name).await, (false, vec![get(2)]), "{name}, for the {time}. time: key, version");
        }
    }
}
