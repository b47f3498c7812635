//! `dev`, and the functions' binaries beside its table and its secret, under load for as long as one likes: good and
//! hostile requests, revocations and rotations, every answer checked.

use crate::figures;
use crate::http::Client;
use crate::process;
use crate::record::{self, Dev, FORM, SECRET, event, posted, token_form};
use crate::runtime::{Event, Events, Function, Start};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// What is asked for.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// For how long.
    #[arg(long, default_value_t = 30)]
    minutes: u64,
    /// Connections to `dev`; of each function, there is one process.
    #[arg(long, default_value_t = 8)]
    connections: usize,
    /// The load, in percent of the most that all of them answer together.
    #[arg(long, default_value_t = 80)]
    percent: u64,
    /// Where the binaries are.
    #[arg(long, default_value = "target/bench")]
    binaries: PathBuf,
}

const KEY: &str = "ak_test_8f3b1c0e5a4d4f2c9b1e7d6c5a4b3c2d";
const PATH: &str = "/eddsa/clients/acme/skus/AB-1";
/// Longer than a key that signs no more is kept. Set back by so much, each rotation has all that a rotation may do.
const LIFE_OF_A_KEY: i64 = 100_000;
/// Minutes from one such rotation to the next: a process that signs may be five behind, and its tokens live on.
const BETWEEN_KEYS: u64 = 7;
/// Invocations between two looks at the clock.
const BATCH: usize = 5;

/// What is loaded, and what came of it since the last line.
struct Load {
    name: &'static str,
    pid: u32,
    took: Mutex<Vec<f64>>,
    /// Microseconds from one request of a connection to its next; 0: as fast as it can.
    pause_us: AtomicU64,
}

/// How a run ends before its time.
#[derive(Default)]
struct End {
    comes: AtomicBool,
    wrong: Mutex<Option<String>>,
}

/// Of a minute: p99 in ms, and MiB.
type Line = (f64, f64);

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Loads, and prints.
pub(crate) fn run(arguments: &Arguments) -> Result<(), String> {
    let folder = arguments.binaries.as_path();
    let dev = Dev::start(&folder.join("countersign-release"), folder)?;
    let start = |binary: &str, events: Events| {
        let command = vec![folder.join(binary).display().to_string()];
        Function::start(&Start { command, variables: dev.variables() }, &events)
    };
    let functions = [
        ("jwt-authorizer", start("jwt-authorizer", bearers(&dev)?)?),
        ("api-key-authorizer", start("api-key-authorizer", keys())?),
        ("token", start("token", secrets())?),
    ];
    let load = |name, pid| Load { name, pid, took: Mutex::default(), pause_us: AtomicU64::new(0) };
    let loads: Vec<Load> = std::iter::once(load("dev", dev.pid()))
        .chain(functions.iter().map(|(name, function)| load(name, function.pid())))
        .collect();
    let [of_dev, of_functions @ ..] = loads.as_slice() else { return Ok(()) };
    let end = End::default();
    let (dev, end) = (&dev, &end);
    let until = |done: Result<(), String>| {
        if let Err(what) = done {
            lock(&end.wrong).get_or_insert(what);
            end.comes.store(true, Ordering::Relaxed);
        }
    };
    std::thread::scope(|scope| {
        for number in 0..arguments.connections {
            scope.spawn(move || until(connection(dev, of_dev, end, number)));
        }
        for (load, (name, function)) in of_functions.iter().zip(&functions) {
            scope.spawn(move || until(invocations(function, load, end).map_err(|what| format!("{name}: {what}"))));
        }
        until(watch(arguments, dev, &loads, end));
        end.comes.store(true, Ordering::Relaxed);
    });
    let wrong = lock(&end.wrong).take();
    wrong.map_or(Ok(()), Err)
}

/// Finds the most they answer, sets the load, rotates and revokes, and prints lines each minute.
fn watch(arguments: &Arguments, dev: &Dev, loads: &[Load], end: &End) -> Result<(), String> {
    let taken = |load: &Load| std::mem::take(&mut *lock(&load.took));
    std::thread::sleep(Duration::from_secs(3));
    loads.iter().for_each(|load| drop(taken(load)));
    std::thread::sleep(Duration::from_secs(10));
    for load in loads {
        let most = taken(load).len() as f64 / 10.0;
        let wanted = most * arguments.percent as f64 / 100.0;
        let connections = if load.name == "dev" { arguments.connections } else { 1 };
        load.pause_us.store((1e6 * connections as f64 / wanted) as u64, Ordering::Relaxed);
        println!("{:<20} at most {most:.0} a second; from now on {wanted:.0}", load.name);
    }
    println!(
        "{:>6} {:<20} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9}",
        "minute", "", "a second", "p50, ms", "p99, ms", "RSS, MiB", "rotated", "revoked"
    );
    let mut client = Client::new(&dev.address).map_err(|e| e.to_string())?;
    let (mut rotated, mut revoked, mut answers) = (0, 0, 0);
    let mut lines: Vec<Vec<Line>> = vec![Vec::new(); loads.len()];
    for minute in 1..=arguments.minutes {
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(60) && !end.comes.load(Ordering::Relaxed) {
            revoke(&mut client)?;
            revoked += 1;
            std::thread::sleep(Duration::from_secs(5));
        }
        if end.comes.load(Ordering::Relaxed) {
            return Ok(());
        }
        if minute % BETWEEN_KEYS == 1 {
            dev.age_keys(LIFE_OF_A_KEY)?;
            rotated += 1;
        }
        dev.rotate()?;
        for (load, lines) in loads.iter().zip(&mut lines) {
            let took = taken(load);
            let (p99, rss) = (figures::quantile(&took, 0.99) / 1e3, process::now_mib(load.pid));
            println!(
                "{minute:>6} {:<20} {:>9.0} {:>9.2} {p99:>9.2} {rss:>9.1} {rotated:>9} {revoked:>9}",
                load.name,
                took.len() as f64 / begun.elapsed().as_secs_f64(),
                figures::quantile(&took, 0.5) / 1e3,
            );
            answers += took.len();
            lines.push((p99, rss));
        }
    }
    println!("{answers} answers, none of them wrong; last quarter to first:");
    for (load, lines) in loads.iter().zip(&lines) {
        let quarter = (lines.len() / 4).max(1);
        let median = |lines: &[Line], of: fn(&Line) -> f64| figures::median(lines.iter().map(of));
        let (first, last) = (lines.get(..quarter), lines.get(lines.len() - quarter..));
        let ratio = |of| median(last.unwrap_or_default(), of) / median(first.unwrap_or_default(), of);
        println!("{:<20} p99 {:.2}, memory {:.3}", load.name, ratio(|l| l.0), ratio(|l| l.1));
    }
    Ok(())
}

/// Waits until the next request is due.
fn pause(load: &Load, due: &mut Instant, requests: u32) {
    match load.pause_us.load(Ordering::Relaxed) {
        0 => *due = Instant::now(),
        pause => {
            *due += requests * Duration::from_micros(pause);
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
        }
    }
}

/// One function, of which each answer is checked by the stub.
fn invocations(function: &Function, load: &Load, end: &End) -> Result<(), String> {
    let mut due = Instant::now();
    while !end.comes.load(Ordering::Relaxed) {
        let took = function.warm(BATCH)?.took_us;
        lock(&load.took).extend(took);
        pause(load, &mut due, BATCH as u32);
    }
    Ok(())
}

/// What the JWT authorizer is asked: twenty kinds in turns, and now and then a token that is revoked meanwhile.
fn bearers(dev: &Dev) -> Result<Events, String> {
    let kept = Mutex::new((Client::new(&dev.address).map_err(|e| e.to_string())?, String::new()));
    Ok(Arc::new(move |n| {
        let (client, token) = &mut *lock(&kept);
        let made = match n % 1_000 {
            // Revoked only now, because only now its first answer is there.
            1 => revoke_token(client, token).map(|()| refused()),
            0 | 2 => record::token(client, "eddsa").map(|new| {
                *token = new;
                allowed()
            }),
            _ => Ok(allowed()),
        };
        let token: &str = token;
        let with = |token: &str, path: &str, answer: Answer| {
            let headers = json!({"Authorization": format!("Bearer {token}"), "X-Partner-Supplier": "S-100"});
            event(path, "/eddsa/clients/{tenant}/skus/{sku}", headers, &[answer])
        };
        let forged = || format!("{}AAAAAAAA", token.get(..token.len() - 8).unwrap_or_default());
        match (made, n % 20) {
            (Err(what), _) => Event { body: "{}".into(), expected: Arc::new([(what, Value::Null)]) },
            (Ok(answer), 0..=9) => with(token, PATH, answer),
            (_, 10..=12) => with(&forged(), PATH, refused()),
            (_, 13 | 14) => with(token, "/eddsa/clients/globex/skus/AB-1", denied()),
            (_, 15 | 16) => with(token, "/eddsa/clients/acme/skus/ZZ-1", denied()),
            (_, 17) => with(&format!("{n:x}.{}.{n:x}", "A".repeat(4_000)), PATH, refused()),
            (_, 18) => with(&"=".repeat(n % 4_000), PATH, refused()),
            _ => with("", PATH, refused()),
        }
    }))
}

/// Where in an answer to look, and for what.
type Answer = (&'static str, Value);

fn allowed() -> Answer {
    ("/policyDocument/Statement/1/Effect", json!("Allow"))
}

fn denied() -> Answer {
    ("/policyDocument/Statement/0/Effect", json!("Deny"))
}

fn refused() -> Answer {
    ("/errorMessage", json!("Unauthorized"))
}

/// What the API-key authorizer is asked.
fn keys() -> Events {
    Arc::new(|n| {
        let with = |key: &str, sku: &str, answer: Answer| {
            let headers = json!({"ApiKey": key, "X-Partner-Supplier": "S-100"});
            let path = format!("/keyed/clients/acme/skus/{sku}");
            event(&path, "/keyed/clients/{tenant}/skus/{sku}", headers, &[answer])
        };
        match n % 10 {
            0..=4 => with(KEY, "AB-1", allowed()),
            5 | 6 => with(KEY, "ZZ-1", denied()),
            7 => with(&format!("ak_test_{n:032x}"), "AB-1", refused()),
            8 => with("ak_test_1111222233334444555566667777888a", "AB-1", refused()), // revoked
            _ => with(&"=".repeat(n % 4_000), "AB-1", refused()),
        }
    })
}

/// What the token function is asked. No wrong secret: a refusal waits, and the process with it.
fn secrets() -> Events {
    Arc::new(|n| {
        let form = |body: &str, status| posted("/oauth/token", "application/x-www-form-urlencoded", body, status);
        match n % 10 {
            0..=6 => form(&token_form("eddsa"), 200),
            7 => form(&format!("grant_type={n}&client_id=partner&client_secret={SECRET}"), 400),
            8 => form(&format!("{}&scope=orders:delete{n}", token_form("eddsa")), 400),
            _ => form(&"%".repeat(n % 4_000), 400),
        }
    })
}

fn revoke_token(client: &mut Client, token: &str) -> Result<(), String> {
    let body = format!("client_id=partner&client_secret={SECRET}&token={token}");
    expect(client, "POST", "/oauth/revoke", FORM, &body, &[200], "revocation")
}

/// A token that works, is revoked, and works no more.
fn revoke(client: &mut Client) -> Result<(), String> {
    let token = record::token(client, "eddsa")?;
    let bearer = format!("Authorization: Bearer {token}\r\nX-Partner-Supplier: S-100\r\n");
    expect(client, "GET", PATH, &bearer, "", &[200], "before it is revoked")?;
    revoke_token(client, &token)?;
    expect(client, "GET", PATH, &bearer, "", &[401], "right after it is revoked")
}

fn expect(
    client: &mut Client,
    method: &str,
    path: &str,
    headers: &str,
    body: &str,
    statuses: &[u16],
    what: &str,
) -> Result<(), String> {
    let (status, answer) =
        client.ask(method, path, headers, body.as_bytes()).ok_or_else(|| format!("{what}: it has hung up"))?;
    match statuses.contains(&status) {
        true => Ok(()),
        false => Err(format!("{what}: {status} {}", String::from_utf8_lossy(&answer))),
    }
}

/// One connection: twenty kinds of requests in turns, each connection at another place of them.
fn connection(dev: &Dev, load: &Load, end: &End, number: usize) -> Result<(), String> {
    let mut client = Client::new(&dev.address).map_err(|e| e.to_string())?;
    let supplier = "X-Partner-Supplier: S-100\r\n";
    let good_key = format!("ApiKey: {KEY}\r\n{supplier}");
    let mut token = record::token(&mut client, "eddsa")?;
    let mut due = Instant::now();
    for turn in number.. {
        if end.comes.load(Ordering::Relaxed) {
            return Ok(());
        }
        if turn % 200 == 0 {
            token = record::token(&mut client, "eddsa")?;
        }
        let bearer = format!("Authorization: Bearer {token}\r\n{supplier}");
        let form = token_form("eddsa");
        let forged =
            format!("Authorization: Bearer {}AAAAAAAA\r\n{supplier}", token.get(..token.len() - 8).unwrap_or_default());
        let unknown = format!("ApiKey: ak_test_{turn:032x}\r\n{supplier}");
        let wrong = format!("grant_type=client_credentials&client_id=partner&client_secret=wrong{turn}");
        let keyed = "/keyed/clients/acme/skus/AB-1";
        let at = Instant::now();
        match turn % 20 {
            0..=7 => expect(&mut client, "GET", PATH, &bearer, "", &[200], "a good token"),
            8..=10 => expect(&mut client, "GET", keyed, &good_key, "", &[200], "a good key"),
            11..=12 => expect(&mut client, "POST", "/oauth/token", FORM, &form, &[200], "the right secret"),
            13..=14 => expect(&mut client, "GET", PATH, &forged, "", &[401], "a forged token"),
            15 => expect(&mut client, "GET", keyed, &unknown, "", &[401], "a key that is nobody's"),
            16 => expect(&mut client, "GET", "/eddsa/clients/globex/skus/AB-1", &bearer, "", &[403], "another tenant"),
            17 => expect(&mut client, "GET", "/eddsa/clients/acme/skus/ZZ-1", &bearer, "", &[403], "another SKU"),
            18 => expect(&mut client, "POST", "/oauth/token", FORM, &wrong, &[401, 429], "a wrong secret"),
            _ => expect(&mut client, "GET", PATH, supplier, "", &[401], "nothing"),
        }?;
        lock(&load.took).push(at.elapsed().as_secs_f64() * 1e6);
        pause(load, &mut due, 1);
    }
    Ok(())
}
