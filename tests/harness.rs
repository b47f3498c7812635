//! Starts the product and speaks to it.

use serde_json::{Value, json};
use std::collections::{BTreeMap, HashSet};
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// A running `countersign dev`; ends with its value.
pub(crate) struct Dev {
    child: Child,
    pub(crate) url: String,
    pub(crate) ready: Value,
    said: Said,
    progress: Said,
    folder: PathBuf,
    /// What it had written when it was ready: the credentials of the demo, which it shows once.
    greeting: usize,
    /// The files that a test put into its folder.
    given: Vec<String>,
}

/// What a process has written, as it comes.
type Said = Arc<(Mutex<String>, Condvar)>;

impl Drop for Dev {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let leaks = self.leaks();
        let _ = std::fs::remove_dir_all(&self.folder);
        assert!(leaks.is_empty() || std::thread::panicking(), "secrets were written: {leaks:#?}");
    }
}

/// The command.
pub(crate) fn binary() -> PathBuf {
    built("countersign")
}

/// What `cargo test --workspace` has built beside the tests.
pub(crate) fn built(name: &str) -> PathBuf {
    let here = std::env::current_exe().unwrap();
    let path = here.parent().and_then(Path::parent).unwrap().join(name);
    assert!(path.exists(), "{} is missing: run `cargo test --workspace`, which builds it", path.display());
    path
}

/// Whether the system would keep no image of the memory of a process that dies. Only Linux says it.
pub(crate) fn keeps_no_core(pid: u32) -> bool {
    let Ok(limits) = std::fs::read_to_string(format!("/proc/{pid}/limits")) else { return true };
    // For now and for good: a shell's own limit may be 0 already, and be raised.
    let is_none = |rest: &str| rest.split_whitespace().take(2).eq(["0", "0"]);
    limits.lines().any(|line| line.strip_prefix("Max core file size").is_some_and(is_none))
}

/// A new empty folder.
pub(crate) fn folder() -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let name = format!("countersign-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
    let path = std::env::temp_dir().join(name);
    std::fs::create_dir_all(&path).unwrap();
    path
}

impl Dev {
    /// The demo.
    pub(crate) fn demo() -> Self {
        Self::start(&[], &[], &[])
    }

    /// With arguments, with files beside it (`FOLDER` in an argument stands for where they are), with variables.
    pub(crate) fn start(arguments: &[&str], files: &[(&str, String)], variables: &[(&str, &str)]) -> Self {
        let folder = folder();
        for (name, text) in files {
            std::fs::write(folder.join(name), text).unwrap();
        }
        let place = folder.display().to_string();
        let ready_file = folder.join("ready.json");
        let mut child = Command::new(binary())
            .args(["dev", "--port", "0", "--ready-file"])
            .arg(&ready_file)
            .args(arguments.iter().map(|a| a.replace("FOLDER", &place)))
            .envs(variables.iter().copied())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        let said = Arc::new((Mutex::new(String::new()), Condvar::new()));
        let (mut line, mut ready) = (String::new(), Value::Null);
        while lines.read_line(&mut line).unwrap() > 0 {
            said.0.lock().unwrap().push_str(&line);
            if line.starts_with("ready file written") {
                ready = serde_json::from_str(&std::fs::read_to_string(&ready_file).unwrap()).unwrap();
                break;
            }
            line.clear();
        }
        if ready.is_null() {
            let mut error = String::new();
            let _ = child.stderr.take().unwrap().read_to_string(&mut error);
            panic!("dev did not start: {error}");
        }
        let progress = Said::default();
        let (kept, mut error) = (Arc::clone(&progress), BufReader::new(child.stderr.take().unwrap()));
        std::thread::spawn(move || {
            let mut line = String::new();
            while error.read_line(&mut line).is_ok_and(|n| n > 0) {
                kept.0.lock().unwrap().push_str(&line);
                kept.1.notify_all();
                line.clear();
            }
        });
        let rest = Arc::clone(&said);
        std::thread::spawn(move || {
            let mut line = String::new();
            while lines.read_line(&mut line).is_ok_and(|n| n > 0) {
                rest.0.lock().unwrap().push_str(&line);
                rest.1.notify_all();
                line.clear();
            }
        });
        let url = ready["gateway"].as_str().unwrap().to_owned();
        note_secrets(&url, &ready["demo"]);
        let greeting = said.0.lock().unwrap().len();
        let given = files.iter().map(|(name, _)| (*name).to_owned()).chain(["ready.json".into()]).collect();
        Self { child, url, ready, said, progress, folder, greeting, given }
    }

    /// Where a secret that went in or came out by this one's gateway stands in what it wrote or stored.
    fn leaks(&self) -> Vec<String> {
        let said = self.said().get(self.greeting..).unwrap_or_default().to_owned();
        let mut written = vec![
            ("standard output".to_owned(), said.into_bytes()),
            ("standard error".to_owned(), self.progress.0.lock().unwrap().clone().into_bytes()),
        ];
        let mut folders = vec![self.folder.clone()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
                let name = entry.file_name().to_string_lossy().into_owned();
                match std::fs::read(entry.path()) {
                    Ok(_) if self.given.contains(&name) => {}
                    Ok(bytes) => written.push((name, bytes)),
                    Err(_) => folders.push(entry.path()),
                }
            }
        }
        let used = USED.lock().unwrap();
        let secrets = used.get(&self.url).into_iter().flatten();
        secrets
            .flat_map(|secret| {
                let holds = |(_, bytes): &&(String, Vec<u8>)| String::from_utf8_lossy(bytes).contains(secret.as_str());
                written.iter().filter(holds).map(move |(place, _)| format!("{place}: {secret}"))
            })
            .collect()
    }

    /// The settings of functions against the same table and secrets.
    pub(crate) fn settings(&self) -> auth_core::settings::Settings {
        auth_core::settings::Settings::read(|name| self.variable(name)).unwrap()
    }

    /// What functions stand on, against the same table and secrets.
    pub(crate) fn gate(&self) -> auth_store::gate::Gate {
        auth_store::gate::Gate::new(&self.aws(), &self.settings())
    }

    /// The client of AWS that functions have, against the same table and secrets.
    pub(crate) fn aws(&self) -> auth_store::aws::Aws {
        auth_store::aws::Aws::read(|name| self.variable(name)).unwrap()
    }

    /// What `dev` says to export.
    pub(crate) fn variables(&self) -> Vec<(String, String)> {
        let env = self.ready["env"].as_object().unwrap();
        env.iter().map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned())).collect()
    }

    fn variable(&self, name: &str) -> Option<String> {
        self.ready["env"][name].as_str().map(str::to_owned)
    }

    /// All that it has written to standard output so far.
    pub(crate) fn said(&self) -> String {
        self.said.0.lock().unwrap().clone()
    }

    /// How many lines with this text it has written, once there are as many as wanted; a line may come after the
    /// answer it is about.
    pub(crate) fn said_times(&self, text: &str, wanted: usize) -> usize {
        times(&self.said, text, wanted)
    }

    /// Whether it has written a line with this text to standard error.
    pub(crate) fn warned_so(&self, text: &str) -> bool {
        times(&self.progress, text, 1) > 0
    }

    /// Whether it has written a line with this text.
    pub(crate) fn said_so(&self, text: &str) -> bool {
        self.said_times(text, 1) > 0
    }

    /// The secret of a client.
    pub(crate) fn secret(&self, client: &str) -> String {
        let clients = self.ready["demo"]["clients"].as_array().unwrap();
        let found = clients.iter().find(|c| c["client_id"] == client).unwrap();
        found["client_secret"].as_str().unwrap().to_owned()
    }

    /// A token of a client, by form and Basic, with more parameters.
    pub(crate) async fn token(&self, client: &str, parameters: &[(&str, &str)]) -> String {
        let answer = self.token_answer(client, parameters).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        answer.json["access_token"].as_str().unwrap().to_owned()
    }

    /// What the token endpoint answers a client.
    pub(crate) async fn token_answer(&self, client: &str, parameters: &[(&str, &str)]) -> Answer {
        let mut body = String::from("grant_type=client_credentials");
        for (name, value) in parameters {
            body.push_str(&format!("&{name}={}", value.replace(' ', "+").replace(':', "%3A")));
        }
        let basic = basic(client, &self.secret(client));
        let headers = [("Authorization", basic.as_str()), ("Content-Type", "application/x-www-form-urlencoded")];
        self.call("POST", "/oauth/token", &headers, &body).await
    }

    /// One request.
    pub(crate) async fn call(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let headers: Vec<(String, Vec<u8>)> =
            headers.iter().map(|(n, v)| ((*n).to_owned(), v.as_bytes().to_vec())).collect();
        raw(&self.url, method, path, &headers, body.as_bytes()).await
    }

    /// One request with a bearer token.
    pub(crate) async fn with_token(&self, token: &str, method: &str, path: &str, body: &str) -> Answer {
        let bearer = format!("Bearer {token}");
        self.call(method, path, &[("Authorization", &bearer), ("Content-Type", "application/json")], body).await
    }
}

fn times(said: &Said, text: &str, wanted: usize) -> usize {
    let count = |said: &str| said.lines().filter(|line| line.contains(text)).count();
    let written = said.0.lock().unwrap();
    let patience = Duration::from_secs(5);
    let (written, _) = said.1.wait_timeout_while(written, patience, |written| count(written) < wanted).unwrap();
    count(&written)
}

/// `Basic` credentials.
pub(crate) fn basic(id: &str, secret: &str) -> String {
    use base64::Engine as _;
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(format!("{id}:{secret}")))
}

/// All secrets that went in or came out, by gateway.
static USED: Mutex<BTreeMap<String, HashSet<String>>> = Mutex::new(BTreeMap::new());

/// The members and parameters that hold a secret.
const SECRETS: [&str; 10] = [
    "client_secret",
    "client_assertion",
    "signing_secret",
    "access_token",
    "subject_token",
    "token",
    "password",
    "secret",
    "api_key",
    "key",
];

/// Shorter texts are no secrets, but what tests call wrong.
const SHORTEST: usize = 16;

fn note_secret(url: &str, secret: &str) {
    if secret.len() >= SHORTEST {
        USED.lock().unwrap().entry(url.to_owned()).or_default().insert(secret.to_owned());
    }
}

/// Those in a JSON value.
fn note_secrets(url: &str, value: &Value) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                match value.as_str().filter(|_| SECRETS.contains(&name.as_str())) {
                    Some(secret) => note_secret(url, secret),
                    None => note_secrets(url, value),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| note_secrets(url, item)),
        _ => {}
    }
}

/// Those of a request.
fn note_sent(url: &str, headers: &[(String, Vec<u8>)], body: &[u8]) {
    for (name, value) in headers {
        let value = String::from_utf8_lossy(value);
        match (name.to_ascii_lowercase().as_str(), value.split_once(' ')) {
            ("apikey", _) => note_secret(url, &value),
            ("authorization", Some((_, credentials))) => {
                note_secret(url, credentials.trim());
                let pair = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, credentials.trim());
                if let Some((_, secret)) = String::from_utf8_lossy(&pair.unwrap_or_default()).split_once(':') {
                    note_secret(url, secret);
                }
            }
            _ => {}
        }
    }
    match serde_json::from_slice::<Value>(body) {
        Ok(json) => note_secrets(url, &json),
        Err(_) => {
            let parameters = form_urlencoded::parse(body).filter(|(name, _)| SECRETS.contains(&name.as_ref()));
            parameters.for_each(|(_, value)| note_secret(url, &value));
        }
    }
}

/// An answer.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) text: String,
    pub(crate) json: Value,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str())
    }

    /// Status and `code`, for tables.
    pub(crate) fn outcome(&self) -> (u16, i64) {
        (self.status, self.json["code"].as_i64().unwrap_or_default())
    }
}

/// One request, written to the socket byte for byte, so that nothing is tidied up on the way.
pub(crate) async fn raw(url: &str, method: &str, path: &str, headers: &[(String, Vec<u8>)], body: &[u8]) -> Answer {
    raw_at(url, "localhost", method, path, headers, body).await
}

/// The same, to a host of this name.
pub(crate) async fn raw_at(
    url: &str,
    host: &str,
    method: &str,
    path: &str,
    headers: &[(String, Vec<u8>)],
    body: &[u8],
) -> Answer {
    let mut stream = tokio::net::TcpStream::connect(url.trim_start_matches("http://")).await.unwrap();
    let mut request = format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n").into_bytes();
    for (name, value) in headers {
        request.extend_from_slice(name.as_bytes());
        request.extend_from_slice(b": ");
        request.extend_from_slice(value);
        request.extend_from_slice(b"\r\n");
    }
    if !body.is_empty() || method == "POST" {
        request.extend_from_slice(format!("Content-Length: {}\r\n", body.len()).as_bytes());
    }
    request.extend_from_slice(b"\r\n");
    request.extend_from_slice(body);
    note_sent(url, headers, body);
    // A server that has seen enough may close before all is sent.
    let _ = stream.write_all(&request).await;
    let mut response = Vec::new();
    let _ = stream.read_to_end(&mut response).await;
    let text = String::from_utf8_lossy(&response).into_owned();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let mut lines = head.lines();
    let status = lines.next().and_then(|l| l.split(' ').nth(1)).and_then(|s| s.parse().ok()).unwrap_or(0);
    let headers = lines.filter_map(|l| l.split_once(": ")).map(|(n, v)| (n.to_owned(), v.to_owned())).collect();
    let json = serde_json::from_str(body).unwrap_or(json!(null));
    note_secrets(url, &json);
    Answer { status, headers, text: body.to_owned(), json }
}

#[tokio::test]
async fn of_a_process_that_dies_no_memory_is_kept() {
    assert!(keeps_no_core(Dev::demo().child.id()));
}

#[tokio::test]
async fn a_secret_that_is_written_is_found() {
    let dev = Dev::demo();
    assert!(USED.lock().unwrap()[&dev.url].contains(&dev.secret("portfolio-partner")), "those of the demo are known");
    let token = dev.token("portfolio-partner", &[]).await;
    assert!(USED.lock().unwrap()[&dev.url].contains(&token), "and those that come out");
    assert!(dev.said_so("allowed token") && dev.leaks().is_empty(), "{:?}", dev.leaks());
    note_secret(&dev.url, "portfolio-partner");
    assert_eq!(dev.leaks(), ["standard output: portfolio-partner"]);
    USED.lock().unwrap().remove(&dev.url);
}
