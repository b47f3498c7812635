//! A Lambda Runtime API on loopback, for one process of a function: hands out events, takes answers.

use serde_json::{Value, json};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};
use tokio::sync::{Mutex as AsyncMutex, mpsc, oneshot};
use tokio::task::JoinHandle;

/// What API Gateway gives an authorizer of an HTTP API; the template sets it for all functions.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(10);

type Answers = Arc<Mutex<HashMap<String, oneshot::Sender<Value>>>>;

struct Invocation {
    id: String,
    event: String,
    deadline_ms: u128,
}

/// A running function.
pub(crate) struct Function {
    child: Child,
    /// What it writes to standard output and standard error, read as it comes: a full pipe would hold it up.
    said: [JoinHandle<String>; 2],
    queue: mpsc::UnboundedSender<Invocation>,
    answers: Answers,
    count: u32,
}

/// Where the functions' binaries are: built as `tests/lambda/run` does.
fn binary(name: &str) -> PathBuf {
    let folder = std::env::var("FUNCTIONS").expect("FUNCTIONS: the folder of the binaries; tests/lambda/run sets it");
    PathBuf::from(folder).join(name)
}

impl Function {
    /// Starts a function's binary with these variables and nothing else of this environment.
    pub(crate) async fn start(name: &str, variables: &[(String, String)]) -> Self {
        Self::start_at(&binary(name), variables).await
    }

    /// The same, of a binary somewhere else.
    pub(crate) async fn start_at(binary: &Path, variables: &[(String, String)]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (queue, events) = mpsc::unbounded_channel();
        let (events, answers) = (Arc::new(AsyncMutex::new(events)), Answers::default());
        let shared = Arc::clone(&answers);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&events), Arc::clone(&shared)));
            }
        });
        let mut child = Command::new(binary)
            .env_clear()
            .envs(variables.iter().cloned())
            .env("AWS_LAMBDA_RUNTIME_API", address)
            .env("AWS_LAMBDA_FUNCTION_NAME", "f")
            .env("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")
            .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256")
            .env("AWS_LAMBDA_LOG_GROUP_NAME", "/aws/lambda")
            .env("AWS_LAMBDA_LOG_STREAM_NAME", "stream")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let said = [all(child.stdout.take().unwrap()), all(child.stderr.take().unwrap())];
        Self { child, said, queue, answers, count: 0 }
    }

    /// What it answers; an error as Lambda reports it. `None`, if it lets the deadline pass.
    pub(crate) async fn invoke(&mut self, event: &str) -> Option<Value> {
        self.count += 1;
        let id = format!("00000000-0000-4000-8000-{:012}", self.count);
        let (sender, answer) = oneshot::channel();
        self.answers.lock().unwrap().insert(id.clone(), sender);
        let deadline_ms = since_1970().as_millis() + TIMEOUT.as_millis();
        self.queue.send(Invocation { id, event: event.to_owned(), deadline_ms }).ok().unwrap();
        tokio::time::timeout(TIMEOUT, answer).await.ok()?.ok()
    }

    /// Sends it a signal: `STOP` is what a freeze of Lambda is to a process, `CONT` its end.
    pub(crate) fn signal(&self, name: &str) {
        let id = self.pid().to_string();
        let sent = std::process::Command::new("kill").args(["-s", name, &id]).status().unwrap();
        assert!(sent.success(), "{name}");
    }

    /// The process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id().unwrap()
    }

    /// Ends it; all that it wrote to standard output and standard error.
    pub(crate) async fn end(mut self) -> (String, String) {
        let _ = self.child.start_kill();
        let (_, said, complained) = self.ended().await;
        (said, complained)
    }

    /// Waits until it ends by itself: whether it did well, and all that it wrote.
    pub(crate) async fn ended(mut self) -> (bool, String, String) {
        let status = self.child.wait().await.unwrap();
        let [said, complained] = self.said;
        (status.success(), said.await.unwrap(), complained.await.unwrap())
    }
}

fn all(mut pipe: impl AsyncRead + Unpin + Send + 'static) -> JoinHandle<String> {
    tokio::spawn(async move {
        let mut text = Vec::new();
        let _ = pipe.read_to_end(&mut text).await;
        String::from_utf8_lossy(&text).into_owned()
    })
}

#[expect(clippy::disallowed_methods, reason = "a deadline of the Runtime API is a time of the wall clock")]
fn since_1970() -> Duration {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap()
}

/// One connection of the runtime's client, which keeps it open.
async fn serve(
    stream: TcpStream,
    events: Arc<AsyncMutex<mpsc::UnboundedReceiver<Invocation>>>,
    answers: Answers,
) -> Option<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let (request, body) = request(&mut stream).await?;
        let mut parts = request.split(' ');
        let (method, path) = (parts.next()?, parts.next()?);
        let answer = if method == "GET" {
            let next = events.lock().await.recv().await?;
            format!(
                "HTTP/1.1 200 OK\r\nLambda-Runtime-Aws-Request-Id: {}\r\nLambda-Runtime-Deadline-Ms: {}\r\n\
                 Lambda-Runtime-Invoked-Function-Arn: arn:aws:lambda:eu-west-1:123456789012:function:f\r\n\
                 Lambda-Runtime-Trace-Id: Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700\r\nContent-Type: application/json\r\n\
                 Content-Length: {}\r\n\r\n{}",
                next.id,
                next.deadline_ms,
                next.event.len(),
                next.event
            )
        } else {
            let mut end = path.rsplit('/');
            let (kind, id) = (end.next()?, end.next()?);
            let body: Value = serde_json::from_slice(&body).unwrap_or_default();
            let body = if kind == "error" { json!({"errorMessage": body["errorMessage"]}) } else { body };
            let waiting = answers.lock().unwrap().remove(id);
            if let Some(waiting) = waiting {
                let _ = waiting.send(body);
            }
            "HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n".to_owned()
        };
        stream.get_mut().write_all(answer.as_bytes()).await.ok()?;
    }
}

/// Request line and body; bodies of the runtime are of a length or in chunks.
async fn request(stream: &mut BufReader<TcpStream>) -> Option<(String, Vec<u8>)> {
    let first = line(stream).await?;
    let (mut length, mut chunked) = (0usize, false);
    loop {
        let header = line(stream).await?.to_ascii_lowercase();
        match header.split_once(':') {
            None => break,
            Some(("content-length", value)) => length = value.trim().parse().ok()?,
            Some(("transfer-encoding", value)) => chunked = value.contains("chunked"),
            Some(_) => {}
        }
    }
    let mut body = Vec::new();
    loop {
        if chunked {
            length = usize::from_str_radix(&line(stream).await?, 16).ok()?;
        }
        let start = body.len();
        body.resize(start + length, 0);
        stream.read_exact(&mut body[start..]).await.ok()?;
        if chunked {
            line(stream).await?;
        }
        if !chunked || length == 0 {
            return Some((first, body));
        }
    }
}

async fn line(stream: &mut BufReader<TcpStream>) -> Option<String> {
    let mut line = Vec::new();
    loop {
        match stream.read_u8().await.ok()? {
            b'\n' => return Some(String::from_utf8_lossy(&line).trim_end().to_owned()),
            byte => line.push(byte),
        }
    }
}
