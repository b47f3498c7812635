//! Tokens a second: `dev`, with its reads of the table, beside `oidc-provider`, which keeps its one client in memory. The
//! same load on both, in interleaved rounds, and every answer is checked.

use crate::record::{Dev, token_form};
use crate::{figures, process};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::sleep;

/// What is asked for.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Rounds; each loads both servers with every algorithm.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Seconds of load that count; one more before warms up.
    #[arg(long, default_value_t = 4)]
    seconds: u64,
    /// Connections, each with one request at a time.
    #[arg(long, default_value_t = 16)]
    connections: usize,
    /// Only `dev`: without the peer, which `benches/peers/install` installs.
    #[arg(long)]
    alone: bool,
    /// Where the command is.
    #[arg(long, default_value = "target/bench")]
    binaries: PathBuf,
}

/// Algorithm, and what we held ourselves to: tokens a second, as a multiple of the peer's.
const ALGORITHMS: [(&str, f64); 4] = [("RS256", 1.8), ("ES256", 4.0), ("EdDSA", 4.0), ("HS256", 6.0)];

/// The client and its secret of `oidc.mjs`.
const PEER_CLIENT: &str = "bench:bench-secret-0123456789012345678901234567890123456789";

#[derive(Debug, Clone, Copy)]
struct Load {
    per_second: f64,
    p50_us: f64,
    p99_us: f64,
    cpu_us: f64,
}

/// Ours, and the peer's.
type Pair = (Load, Option<Load>);

/// Measures, and prints.
pub(crate) fn run(arguments: &Arguments) -> Result<(), String> {
    let folder = arguments.binaries.as_path();
    let dev = Dev::start(&folder.join("countersign-release"), folder)?;
    let mut rounds: Vec<Vec<Pair>> = Vec::new();
    for round in 1..=arguments.rounds {
        let mut all = Vec::new();
        for (algorithm, _) in ALGORITHMS {
            eprint!("\rround {round} of {}: {algorithm:<10}", arguments.rounds);
            let form = token_form(&algorithm.to_lowercase());
            let headers = "Content-Type: application/x-www-form-urlencoded\r\n";
            let ours = load(arguments, &dev.address, dev.pid(), "/oauth/token", headers, &form)?;
            let theirs = match arguments.alone {
                true => None,
                false => {
                    let peer = Peer::start(algorithm)?;
                    let headers = format!("{headers}Authorization: Basic {}\r\n", STANDARD.encode(PEER_CLIENT));
                    let form = "grant_type=client_credentials";
                    Some(load(arguments, &peer.address, peer.child.id(), "/token", &headers, form)?)
                }
            };
            all.push((ours, theirs));
        }
        rounds.push(all);
    }
    eprintln!("\r{:<40}", "");
    print(&rounds);
    Ok(())
}

fn print(rounds: &[Vec<Pair>]) {
    println!(
        "{:<22} {:>10} {:>10} {:>10} {:>14}   {:>9} {:>8}",
        "", "a second", "p50, ms", "p99, ms", "CPU a token, µs", "ratio", "at least"
    );
    for (at, (algorithm, wanted)) in ALGORITHMS.iter().enumerate() {
        let of: Vec<&Pair> = rounds.iter().filter_map(|round| round.get(at)).collect();
        let median = |what: &dyn Fn(&Pair) -> Option<f64>| {
            figures::median(of.iter().filter_map(|pair| what(pair)).collect::<Vec<_>>())
        };
        let print = |name: &str, pick: &dyn Fn(&Pair) -> Option<Load>, rest: &str| {
            println!(
                "{name:<22} {:>10.0} {:>10.2} {:>10.2} {:>15.0}   {rest}",
                median(&|pair| Some(pick(pair)?.per_second)),
                median(&|pair| Some(pick(pair)?.p50_us / 1e3)),
                median(&|pair| Some(pick(pair)?.p99_us / 1e3)),
                median(&|pair| Some(pick(pair)?.cpu_us)),
            );
        };
        let ratio = median(&|(ours, theirs)| Some(ours.per_second / theirs.as_ref()?.per_second));
        let missed = if ratio < *wanted { "  missed" } else { "" };
        let rest = if ratio.is_nan() { String::new() } else { format!("{ratio:>9.2} {wanted:>8.1}{missed}") };
        print(&format!("dev {algorithm}"), &|(ours, _)| Some(*ours), &rest);
        if !ratio.is_nan() {
            print(&format!("oidc-provider {algorithm}"), &|(_, theirs)| *theirs, "");
        }
    }
}

/// What each connection asks for again and again, and how far it is.
struct Asked {
    address: String,
    request: String,
    counts: AtomicBool,
    ends: AtomicBool,
}

/// As much as is looked at of an answer.
#[derive(Deserialize)]
struct Answer<'a> {
    access_token: &'a str,
}

/// Loads a token endpoint. Any answer that is no token ends it. All connections are one thread's: what the load takes of the
/// machine is taken from the server, and from a fast one the most.
fn load(arguments: &Arguments, address: &str, pid: u32, path: &str, headers: &str, form: &str) -> Result<Load, String> {
    let head = format!("POST {path} HTTP/1.1\r\nHost: localhost\r\n{headers}Content-Length: {}\r\n\r\n", form.len());
    let asked = Arc::new(Asked {
        address: address.to_owned(),
        request: head + form,
        counts: AtomicBool::new(false),
        ends: AtomicBool::new(false),
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|e| e.to_string())?;
    runtime.block_on(async {
        let mut asks = JoinSet::new();
        for _ in 0..arguments.connections {
            asks.spawn(ask_until(Arc::clone(&asked)));
        }
        sleep(Duration::from_secs(1)).await;
        let (before, at) = (process::cpu_us(pid), Instant::now());
        asked.counts.store(true, Ordering::Relaxed);
        sleep(Duration::from_secs(arguments.seconds)).await;
        asked.ends.store(true, Ordering::Relaxed);
        let (wall, cpu) = (at.elapsed().as_secs_f64(), process::cpu_us(pid) - before);
        let took: Vec<f64> =
            asks.join_all().await.into_iter().collect::<Result<Vec<_>, String>>()?.into_iter().flatten().collect();
        Ok(Load {
            per_second: took.len() as f64 / wall,
            p50_us: figures::quantile(&took, 0.5),
            p99_us: figures::quantile(&took, 0.99),
            cpu_us: cpu / took.len() as f64,
        })
    })
}

/// How long each answer took that counts, in microseconds.
async fn ask_until(asked: Arc<Asked>) -> Result<Vec<f64>, String> {
    let wrong = |e: std::io::Error| format!("{}: {e}", asked.address);
    let mut stream = TcpStream::connect(&asked.address).await.map_err(wrong)?;
    stream.set_nodelay(true).map_err(wrong)?;
    let mut took = Vec::new();
    let mut answer = Vec::with_capacity(16 * 1024);
    while !asked.ends.load(Ordering::Relaxed) {
        let at = Instant::now();
        stream.write_all(asked.request.as_bytes()).await.map_err(wrong)?;
        answer.clear();
        let body = loop {
            if stream.read_buf(&mut answer).await.map_err(wrong)? == 0 {
                return Err("the server has hung up".to_owned());
            }
            if let Some(body) = body_of(&answer) {
                break body;
            }
        };
        if asked.counts.load(Ordering::Relaxed) {
            took.push(at.elapsed().as_secs_f64() * 1e6);
        }
        let token = serde_json::from_slice::<Answer<'_>>(body).map_or("", |answer| answer.access_token);
        if !answer.starts_with(b"HTTP/1.1 200 ") || token.split('.').count() != 3 {
            return Err(format!("no token: {}", String::from_utf8_lossy(&answer)));
        }
    }
    Ok(took)
}

/// The body of an answer that says its length; `None` as long as it is not all there.
fn body_of(answer: &[u8]) -> Option<&[u8]> {
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = std::str::from_utf8(answer.get(..end)?).ok()?;
    let mut headers = head.lines().filter_map(|line| line.split_once(':'));
    let length = headers.find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    // Without a length there is nothing to wait for, and no token in it.
    let length = length.and_then(|(_, value)| value.trim().parse::<usize>().ok()).unwrap_or(0);
    answer.get(end + 4..)?.get(..length)
}

/// `oidc-provider`; ends with its value.
struct Peer {
    child: Child,
    address: String,
}

impl Peer {
    fn start(algorithm: &str) -> Result<Self, String> {
        let script = "target/peers/oidc.mjs";
        if !Path::new(script).exists() {
            return Err(format!("{script} is not there: run benches/peers/install first, or add --alone"));
        }
        // Free now; taken by the peer in a moment.
        let free = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).map_err(|e| e.to_string())?;
        let mut command = Command::new("node");
        command.arg(script).env("PORT", free.port().to_string()).env("ALGORITHM", algorithm);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().map_err(|e| format!("node: {e}"))?;
        let mut said = BufReader::new(child.stdout.take().ok_or("no output")?);
        let mut line = String::new();
        while line.trim() != "listening" {
            line.clear();
            if said.read_line(&mut line).unwrap_or(0) == 0 {
                let _ = child.wait();
                return Err(format!("{script} did not start"));
            }
        }
        Ok(Self { child, address: free.to_string() })
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
