//! `dev` under load for as long as one likes: good and hostile requests, revocations and rotations, every answer checked.

use crate::figures;
use crate::http::Client;
use crate::process;
use crate::record::Dev;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// What is asked for.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// For how long.
    #[arg(long, default_value_t = 30)]
    minutes: u64,
    /// Connections.
    #[arg(long, default_value_t = 8)]
    connections: usize,
    /// The load, in percent of the most that it answers.
    #[arg(long, default_value_t = 80)]
    percent: u64,
    /// Where the command is.
    #[arg(long, default_value = "target/bench")]
    binaries: PathBuf,
}

const KEY: &str = "ak_test_8f3b1c0e5a4d4f2c9b1e7d6c5a4b3c2d";
const FORM: &str = "Content-Type: application/x-www-form-urlencoded\r\n";
const SECRET: &str = "bench-secret-0123456789012345678901234567";
const PATH: &str = "/eddsa/clients/acme/skus/AB-1";

/// What all threads see.
#[derive(Default)]
struct Shared {
    ends: AtomicBool,
    /// Microseconds from one request of a connection to its next; 0: as fast as it can.
    pause_us: AtomicU64,
    took: Mutex<Vec<f64>>,
    wrong: Mutex<Option<String>>,
}

/// Loads, and prints.
pub(crate) fn run(arguments: &Arguments) -> Result<(), String> {
    let folder = arguments.binaries.as_path();
    let dev = Dev::start(&folder.join("countersign-release"), folder)?;
    let shared = Shared::default();
    std::thread::scope(|scope| {
        for number in 0..arguments.connections {
            let (dev, shared) = (&dev, &shared);
            scope.spawn(move || {
                if let Err(what) = connection(dev, shared, number) {
                    shared.wrong.lock().unwrap_or_else(std::sync::PoisonError::into_inner).get_or_insert(what);
                    shared.ends.store(true, Ordering::Relaxed);
                }
            });
        }
        let done = watch(arguments, &dev, &shared);
        shared.ends.store(true, Ordering::Relaxed);
        done
    })?;
    match shared.wrong.into_inner().unwrap_or_default() {
        Some(wrong) => Err(wrong),
        None => Ok(()),
    }
}

/// Finds the most it answers, sets the load, rotates and revokes, and prints a line a minute.
fn watch(arguments: &Arguments, dev: &Dev, shared: &Shared) -> Result<(), String> {
    let taken = || std::mem::take(&mut *shared.took.lock().unwrap_or_else(std::sync::PoisonError::into_inner));
    std::thread::sleep(Duration::from_secs(3));
    taken();
    std::thread::sleep(Duration::from_secs(10));
    let most = taken().len() as f64 / 10.0;
    let wanted = most * arguments.percent as f64 / 100.0;
    let pause = 1e6 * arguments.connections as f64 / wanted;
    shared.pause_us.store(pause as u64, Ordering::Relaxed);
    println!("at most {most:.0} a second; from now on {wanted:.0}");
    println!(
        "{:>6} {:>9} {:>9} {:>9} {:>9} {:>9} {:>11}",
        "minute", "a second", "p50, ms", "p99, ms", "RSS, MiB", "rotated", "revoked"
    );
    let mut client = Client::new(&dev.address).map_err(|e| e.to_string())?;
    let (mut rotated, mut revoked) = (0, 0);
    let mut lines: Vec<(f64, f64)> = Vec::new();
    for minute in 1..=arguments.minutes {
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(60) && !shared.ends.load(Ordering::Relaxed) {
            revoke(dev, &mut client)?;
            revoked += 1;
            std::thread::sleep(Duration::from_secs(5));
        }
        if shared.ends.load(Ordering::Relaxed) {
            return Ok(());
        }
        dev.rotate()?;
        rotated += 1;
        let took = taken();
        let (p99, rss) = (figures::quantile(&took, 0.99) / 1e3, process::now_mib(dev.pid()));
        println!(
            "{minute:>6} {:>9.0} {:>9.2} {p99:>9.2} {rss:>9.1} {rotated:>9} {revoked:>11}",
            took.len() as f64 / begun.elapsed().as_secs_f64(),
            figures::quantile(&took, 0.5) / 1e3,
        );
        lines.push((p99, rss));
    }
    let quarter = (lines.len() / 4).max(1);
    let of =
        |lines: &[(f64, f64)]| (figures::median(lines.iter().map(|l| l.0)), figures::median(lines.iter().map(|l| l.1)));
    let (first, last) =
        (of(lines.get(..quarter).unwrap_or_default()), of(lines.get(lines.len() - quarter..).unwrap_or_default()));
    println!("last quarter / first: p99 {:.2}, memory {:.3}", last.0 / first.0, last.1 / first.1);
    Ok(())
}

/// A token that works, is revoked, and works no more.
fn revoke(dev: &Dev, client: &mut Client) -> Result<(), String> {
    let token = dev.token(client, "eddsa")?;
    let bearer = format!("Authorization: Bearer {token}\r\nX-Partner-Supplier: S-100\r\n");
    expect(client, "GET", PATH, &bearer, "", &[200], "before it is revoked")?;
    let body = format!("client_id=partner&client_secret={SECRET}&token={token}");
    expect(client, "POST", "/oauth/revoke", FORM, &body, &[200], "revocation")?;
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
fn connection(dev: &Dev, shared: &Shared, number: usize) -> Result<(), String> {
    let mut client = Client::new(&dev.address).map_err(|e| e.to_string())?;
    let supplier = "X-Partner-Supplier: S-100\r\n";
    let good_key = format!("ApiKey: {KEY}\r\n{supplier}");
    let mut token = dev.token(&mut client, "eddsa")?;
    let mut due = Instant::now();
    for turn in number.. {
        if shared.ends.load(Ordering::Relaxed) {
            return Ok(());
        }
        if turn % 200 == 0 {
            token = dev.token(&mut client, "eddsa")?;
        }
        let bearer = format!("Authorization: Bearer {token}\r\n{supplier}");
        let form = format!("grant_type=client_credentials&client_id=partner&client_secret={SECRET}&resource=eddsa");
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
        let took = at.elapsed().as_secs_f64() * 1e6;
        shared.took.lock().map_err(|_| "a thread panicked")?.push(took);
        match shared.pause_us.load(Ordering::Relaxed) {
            0 => due = Instant::now(),
            pause => {
                due += Duration::from_micros(pause);
                std::thread::sleep(due.saturating_duration_since(Instant::now()));
            }
        }
    }
    Ok(())
}
