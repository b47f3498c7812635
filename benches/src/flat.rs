//! What must not grow: what a decision takes with a million clients, and with ten thousand grants of one client; and the
//! memory of a function that is sent a million tokens and keys, none of which it has seen before.

use crate::record::{Dev, ISSUER, event};
use crate::runtime::{Event, Events, Function, Start};
use crate::store::{Recorded, Store};
use crate::{figures, process};
use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as URL;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{SystemTime, UNIX_EPOCH};

/// What is asked for.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// So many clients are held against ten.
    #[arg(long, default_value_t = 1_000_000)]
    clients: usize,
    /// So many grants of one client are held against ten.
    #[arg(long, default_value_t = 10_000)]
    grants: usize,
    /// Rounds of that.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Counted invocations in a round.
    #[arg(long, default_value_t = 4_000)]
    warm: usize,
    /// Invocations of each function whose memory is looked at.
    #[arg(long, default_value_t = 1_000_000)]
    hostile: usize,
    /// Where the binaries are, each built alone.
    #[arg(long, default_value = "target/bench")]
    binaries: PathBuf,
}

/// What signs tokens that the functions take, so that each invocation may have its own.
#[derive(Clone)]
struct Issuer {
    kid: String,
    key: hmac::Key,
    now: u64,
}

/// Measures, and prints.
pub(crate) fn run(arguments: &Arguments) -> Result<(), String> {
    let folder = arguments.binaries.as_path();
    let dev = Dev::start(&folder.join("countersign"), folder)?;
    let recorded = Arc::new(dev.record()?);
    drop(dev);
    let issuer = Issuer::of(&recorded)?;
    let store = Store::start(&recorded, false)?;
    let start = |binary: &str, cache: &str| Start {
        command: vec![folder.join(binary).display().to_string()],
        variables: recorded.variables(&store, cache),
    };
    decisions(arguments, &issuer, &start("jwt-authorizer", "0"))?;
    println!(
        "\n{:<46} {:>12} {:>9} {:>9} {:>9} {:>8}",
        "memory, after invocations", "", "now, MiB", "peak, MiB", "CPU, µs", "calls"
    );
    let good = issuer.clone();
    let clients = arguments.clients;
    let good: Events = Arc::new(move |n| good.allowed(n % clients, 0));
    let (hostile, keys) = (hostile_tokens(issuer), hostile_keys());
    for (name, binary, cache, events) in [
        ("one token of each client, records kept", "jwt-authorizer", "3600", good),
        ("hostile tokens, records kept", "jwt-authorizer", "3600", hostile),
        ("hostile keys, records kept", "api-key-authorizer", "3600", keys),
    ] {
        memory(arguments, name, &start(binary, cache), &events, &store)?;
    }
    Ok(())
}

/// What a decision takes with its trip to the table, with few and with many.
fn decisions(arguments: &Arguments, issuer: &Issuer, start: &Start) -> Result<(), String> {
    // Far apart from one invocation to the next, and each once before any is met again.
    let spread = |n: usize, among: usize| n.wrapping_mul(7_368_787) % among;
    let of = |clients: usize, grants: usize| -> Events {
        let issuer = issuer.clone();
        Arc::new(move |n| issuer.allowed(spread(n, clients), spread(n, grants)))
    };
    let rows = [
        ("10 clients".to_owned(), of(10, 1)),
        (format!("{} clients", arguments.clients), of(arguments.clients, 1)),
        ("10 grants of one client".to_owned(), of(1, 10)),
        (format!("{} grants of one client", arguments.grants), of(1, arguments.grants)),
    ];
    let mut took: Vec<Vec<(f64, f64)>> = vec![Vec::new(); rows.len()];
    for round in 1..=arguments.rounds {
        for ((name, events), took) in rows.iter().zip(&mut took) {
            eprint!("\rround {round} of {}: {name:<40}", arguments.rounds);
            let function = Function::start(start, events)?;
            function.warm(arguments.warm / 4)?;
            let warm = function.warm(arguments.warm)?;
            took.push((figures::quantile(&warm.took_us, 0.5), warm.cpu_us));
        }
    }
    eprintln!("\r{:<70}", "");
    println!("{:<46} {:>9} {:>9} {:>9}", "decision with its trip", "p50, µs", "CPU, µs", "ratio");
    let mut few: Option<&Vec<(f64, f64)>> = None;
    for ((name, _), took) in rows.iter().zip(&took) {
        let p50 = figures::median(took.iter().map(|(p50, _)| *p50));
        let cpu = figures::median(took.iter().map(|(_, cpu)| *cpu));
        let ratio = few.take().map(|few| figures::median(took.iter().zip(few).map(|((many, _), (few, _))| many / few)));
        println!("{name:<46} {p50:>9.0} {cpu:>9.0} {:>9}", ratio.map_or_else(String::new, |r| format!("{r:.2}")));
        few = ratio.is_none().then_some(took);
    }
    Ok(())
}

/// What a function holds after a tenth, a quarter, a half and all of the invocations.
fn memory(arguments: &Arguments, name: &str, start: &Start, events: &Events, store: &Store) -> Result<(), String> {
    let function = Function::start(start, events)?;
    let mut done = 0;
    for share in [0.01, 0.1, 0.25, 0.5, 1.0] {
        let upto = (arguments.hostile as f64 * share) as usize;
        eprint!("\r{name}: to {upto}   ");
        let before = store.table_calls.load(Ordering::Relaxed);
        let warm = function.warm(upto - done)?;
        let calls = (store.table_calls.load(Ordering::Relaxed) - before) as f64 / (upto - done) as f64;
        let (now, peak) = (process::now_mib(function.pid()), process::peak_mib(function.pid()));
        eprint!("\r{:<70}\r", "");
        println!("{name:<46} {upto:>12} {now:>9.1} {peak:>9.1} {:>9.0} {calls:>8.2}", warm.cpu_us);
        done = upto;
    }
    Ok(())
}

impl Issuer {
    fn of(recorded: &Recorded) -> Result<Self, String> {
        let keys = recorded.keys();
        let key = keys.iter().find(|key| key.get("alg").is_some_and(|alg| alg == "HS256")).ok_or("no HS256 key")?;
        let text = |name: &str| key.get(name).and_then(Value::as_str).unwrap_or_default();
        let secret = URL.decode(text("k")).map_err(|e| e.to_string())?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_err(|e| e.to_string())?.as_secs();
        Ok(Self { kid: text("kid").to_owned(), key: hmac::Key::new(hmac::HMAC_SHA256, &secret), now })
    }

    /// A token of the client `many-N` for the tenant `acme-N`.
    fn token(&self, client: usize, tenant: usize, jti: usize, kid: &str) -> String {
        let header = json!({"typ": "at+jwt", "alg": "HS256", "kid": kid});
        let client = format!("many-{client}");
        let claims = json!({"iss": ISSUER, "aud": "https://hs256.example.test", "sub": client, "client_id": client,
            "iat": self.now, "nbf": self.now, "exp": self.now + 3600, "jti": format!("{jti:032x}"), "scope": "sku:read",
            "token_use": "internal", "tenant": format!("acme-{tenant}"), "environment": "test"});
        let input = format!("{}.{}", URL.encode(header.to_string()), URL.encode(claims.to_string()));
        format!("{input}.{}", URL.encode(hmac::sign(&self.key, input.as_bytes())))
    }

    /// A request that is allowed.
    fn allowed(&self, client: usize, tenant: usize) -> Event {
        let jti = client * 100_000 + tenant;
        let token = self.token(client, tenant, jti, &self.kid);
        request(&format!("/hs256/clients/acme-{tenant}/skus/AB-1"), &token, "S-100", true)
    }
}

fn request(path: &str, token: &str, supplier: &str, allowed: bool) -> Event {
    let headers = json!({"Authorization": format!("Bearer {token}"), "X-Partner-Supplier": supplier});
    let expected = match allowed {
        true => ("/policyDocument/Statement/1/Effect", json!("Allow")),
        false => ("/errorMessage", json!("Unauthorized")),
    };
    event(path, "/hs256/clients/{tenant}/skus/{sku}", headers, &[expected])
}

/// Tokens that nobody issued, none like another; and those of one client that varies all that it can.
fn hostile_tokens(issuer: Issuer) -> Events {
    Arc::new(move |n| {
        let path = format!("/hs256/clients/acme-{n}/skus/AB-{n}");
        let forged = |kid: &str| {
            let mut token = issuer.token(n, n, n, kid);
            token.replace_range(token.len() - 8.., "AAAAAAAA");
            token
        };
        match n % 6 {
            0 => request(&path, &forged(&issuer.kid), "S-100", false),
            1 => request(&path, &forged(&format!("{n:x}")), "S-100", false),
            2 => request(&path, &self_signed(n), "S-100", false),
            3 => request(&path, &format!("{n:x}.{}.{n:x}", "A".repeat(8_000)), "S-100", false),
            4 => request(&path, &"=".repeat(n % 8_000), &format!("{n:x}"), false),
            // A partner of ours, who is refused with a policy.
            _ => {
                let token = issuer.token(0, 0, n, &issuer.kid);
                let headers =
                    json!({"Authorization": format!("Bearer {token}"), "X-Partner-Supplier": format!("S-{n}")});
                let denied = ("/policyDocument/Statement/0/Effect", json!("Deny"));
                event(&format!("/hs256/clients/acme-0/skus/AB-{n}"), "/x", headers, &[denied])
            }
        }
    })
}

/// A JWT that some client, of which nobody knows, says it signed.
fn self_signed(n: usize) -> String {
    let claims = json!({"clientId": format!("nobody-{n}"), "tenant": format!("acme-{n}"), "iat": 0, "exp": 1});
    format!("{}.{}.{}", URL.encode(r#"{"alg":"HS256","typ":"JWT"}"#), URL.encode(claims.to_string()), "A".repeat(43))
}

/// Keys of the right shape that nobody issued, and some of the wrong one.
fn hostile_keys() -> Events {
    Arc::new(|n| {
        let key = match n % 4 {
            // With a checksum that is none.
            0 => format!("ak_test_{n:032x}{n:08x}"),
            _ => format!("ak_test_{n:032x}"),
        };
        let expected = [("/errorMessage", json!("Unauthorized"))];
        event(
            &format!("/keyed/clients/acme-{n}/skus/AB-{n}"),
            "/keyed/clients/{tenant}/skus/{sku}",
            json!({"ApiKey": key, "X-Partner-Supplier": format!("S-{n}")}),
            &expected,
        )
    })
}
