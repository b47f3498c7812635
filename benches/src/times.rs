//! What the time of a refusal tells: two requests that are answered alike, in turns, many times over.

use crate::figures;
use crate::record::{Dev, event, posted};
use crate::runtime::{Event, Function, Start, rotation};
use crate::store::Store;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::sync::Arc;

/// What is asked for.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// So many of each of the two.
    #[arg(long, default_value_t = 10_000)]
    tries: usize,
    /// So many of each of the two where the answer waits, or a password is hashed.
    #[arg(long, default_value_t = 1_000)]
    slow: usize,
    /// Only rows whose name holds this.
    #[arg(long, default_value = "")]
    only: String,
    /// Where the binaries are, each built alone.
    #[arg(long, default_value = "target/bench")]
    binaries: PathBuf,
}

/// Measures, and prints.
pub(crate) fn run(arguments: &Arguments) -> Result<(), String> {
    let folder = arguments.binaries.as_path();
    let dev = Dev::start(&folder.join("countersign"), folder)?;
    let recorded = Arc::new(dev.record()?);
    drop(dev);
    let store = Store::start(&recorded, false)?;
    let start = |binary: &str| Start {
        command: vec![folder.join(binary).display().to_string()],
        variables: recorded.variables(&store, "0"),
    };
    let form = |body: String, status| posted("/oauth/token", "application/x-www-form-urlencoded", &body, status);
    let client = |id: &str, secret: &str, status| {
        form(format!("grant_type=client_credentials&client_id={id}&client_secret={secret}&resource=hs256"), status)
    };
    let login = |name: &str| {
        let body = json!({"tenant": "acme", "username": name, "password": "a wrong password it is"}).to_string();
        posted("/login", "application/json", &body, 401)
    };
    let key = |key: &str| {
        let headers = json!({"ApiKey": key, "X-Partner-Supplier": "S-100"});
        let refused: [(&str, Value); 1] = [("/errorMessage", json!("Unauthorized"))];
        event("/keyed/clients/acme/skus/AB-1", "/keyed/clients/{tenant}/skus/{sku}", headers, &refused)
    };
    // The client is one that the process has just seen prove itself: of those it knows most.
    let known = client("partner", "bench-secret-0123456789012345678901234567", 200);
    println!(
        "{:<58} {:>6} {:>10} {:>10} {:>11} {:>6}",
        "answered alike, in turns", "each", "first, µs", "second, µs", "difference", "area"
    );
    for (name, binary, first, second, tries, before) in [
        (
            "wrong secret / unknown client",
            "token",
            client("partner", "wrong", 401),
            client("nobodyx", "wrong", 401),
            arguments.slow,
            Some(known),
        ),
        (
            "revoked key / unknown key",
            "api-key-authorizer",
            key("ak_test_1111222233334444555566667777888a"),
            key("ak_test_1111222233334444555566667777888b"),
            arguments.tries,
            None,
        ),
        (
            "wrong password / unknown name",
            "login",
            login("ann@example.com"),
            login("bob@example.com"),
            arguments.slow,
            None,
        ),
    ] {
        if !name.contains(&arguments.only) {
            continue;
        }
        eprint!("\r{name}   ");
        let (first, second) = compare(&start(binary), first, second, tries, before)?;
        let (a, b) = (figures::median(first.iter().copied()), figures::median(second.iter().copied()));
        eprint!("\r{:<70}\r", "");
        println!("{name:<58} {tries:>6} {a:>10.1} {b:>10.1} {:>11.1} {:>6.3}", a - b, area(&first, &second));
    }
    println!("area: how often the first takes longer than the second, of all pairs; 0.5 tells nothing");
    Ok(())
}

/// Both, in turns, after a start that does not count.
fn compare(
    start: &Start,
    first: Event,
    second: Event,
    tries: usize,
    before: Option<Event>,
) -> Result<(Vec<f64>, Vec<f64>), String> {
    let warm_up = (tries / 10).max(2) & !1;
    let mut events: Vec<Event> = before.into_iter().collect();
    let preface = events.len();
    events.extend((0..warm_up + 2 * tries).map(|n| if n % 2 == 0 { first.clone() } else { second.clone() }));
    let function = Function::start(start, &rotation(events))?;
    function.warm(preface + warm_up)?;
    let took = function.warm(2 * tries)?.took_us;
    let of = |parity: usize| took.iter().skip(parity).step_by(2).copied().collect();
    Ok((of(0), of(1)))
}

/// The share of pairs of which the first is the longer one (the area under the ROC curve).
fn area(first: &[f64], second: &[f64]) -> f64 {
    let mut sorted = second.to_vec();
    sorted.sort_by(f64::total_cmp);
    let below = |value: &f64| {
        let (less, same) = (sorted.partition_point(|x| x < value), sorted.partition_point(|x| x <= value));
        (less + same) as f64 / 2.0
    };
    first.iter().map(below).sum::<f64>() / (first.len() * second.len()) as f64
}
