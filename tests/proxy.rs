//! Stands between a function and a store: writes down what is asked, and loses or spoils answers when told to.

use serde_json::Value;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// Longer than a store is waited for.
const LATE: std::time::Duration = std::time::Duration::from_secs(3);

/// One call: what stands in `X-Amz-Target`, and the input.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) target: String,
    pub(crate) input: Value,
}

/// How a call is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Loss {
    /// It does not arrive.
    Call,
    /// It is done, but nobody is told.
    Answer,
    /// The same, and all is well again when the caller tries once more.
    OneAnswer,
}

/// How an answer is spoiled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Spoilt {
    /// Not done, and told so: status, and the kind of error.
    Refused(u16, &'static str),
    /// Done, and half of the answer arrives.
    Half,
    /// The connection is reset.
    Reset,
    /// Something that is no answer of such a store.
    Nonsense,
    /// Nothing is done, and nobody is told.
    Silence,
    /// Done, and told when nobody waits any more.
    Late,
    /// Told that nothing of what was asked for was looked at (BatchGetItem).
    NotLookedAt,
    /// Told that each item is there, with nothing in it but its key (BatchGetItem).
    Bare,
}

/// More answers than anybody waits for.
pub(crate) const ALWAYS: usize = usize::MAX;

/// What a store may do to its callers.
pub(crate) const SPOILT: [(&str, Spoilt); 12] = [
    ("throttled by the table", Spoilt::Refused(400, "ProvisionedThroughputExceededException")),
    ("throttled by the service", Spoilt::Refused(400, "ThrottlingException")),
    ("too many requests", Spoilt::Refused(429, "RequestLimitExceeded")),
    ("out of order", Spoilt::Refused(500, "InternalServerError")),
    ("away for a moment", Spoilt::Refused(503, "ServiceUnavailable")),
    ("not allowed", Spoilt::Refused(400, "AccessDeniedException")),
    ("not there", Spoilt::Refused(400, "ResourceNotFoundException")),
    ("an answer that breaks off", Spoilt::Half),
    ("a connection that is reset", Spoilt::Reset),
    ("an answer that is none", Spoilt::Nonsense),
    ("silence", Spoilt::Silence),
    ("an answer that comes too late", Spoilt::Late),
];

#[derive(Default)]
struct State {
    calls: Vec<Call>,
    /// Whether one was lost.
    lost: bool,
    /// After so many calls, the next is lost; and, but for [`Loss::OneAnswer`], none arrives after it.
    faulty_after: Option<(usize, Loss)>,
    /// So many answers are spoiled.
    spoilt: Option<(usize, Spoilt)>,
    /// So is each to a call that reads more items than one request wants.
    spoilt_of_many: Option<Spoilt>,
}

impl Call {
    /// How many items it reads (BatchGetItem).
    pub(crate) fn keys(&self) -> usize {
        let tables = self.input["RequestItems"].as_object().into_iter().flatten();
        tables.filter_map(|(_, table)| table["Keys"].as_array()).map(Vec::len).sum()
    }
}

/// A proxy on loopback, until its runtime ends.
pub(crate) struct Proxy {
    pub(crate) url: String,
    state: Arc<Mutex<State>>,
}

impl Proxy {
    pub(crate) async fn start(upstream: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (state, upstream) = (Arc::new(Mutex::new(State::default())), upstream.replace("http://", ""));
        let shared = Arc::clone(&state);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, upstream.clone(), Arc::clone(&shared)));
            }
        });
        Self { url, state }
    }

    /// From now on, so many calls are served before one is lost; none is, if not given.
    /// Whether the one that was to be lost before was.
    pub(crate) fn fail_after(&self, calls: Option<(usize, Loss)>) -> bool {
        let mut state = self.state.lock().unwrap();
        let was_lost = std::mem::take(&mut state.lost);
        state.faulty_after = calls;
        was_lost
    }

    /// From now on, so many answers are spoiled; none, if not given.
    pub(crate) fn spoil(&self, answers: Option<(usize, Spoilt)>) {
        self.state.lock().unwrap().spoilt = answers;
    }

    /// From now on, each answer to a call that reads for several requests is spoiled; none, if not given.
    pub(crate) fn spoil_of_many(&self, how: Option<Spoilt>) {
        self.state.lock().unwrap().spoilt_of_many = how;
    }

    /// What was asked since this was last asked.
    pub(crate) fn take_calls(&self) -> Vec<Call> {
        std::mem::take(&mut self.state.lock().unwrap().calls)
    }
}

/// One connection, one call.
async fn serve(mut stream: TcpStream, upstream: String, state: Arc<Mutex<State>>) -> Option<()> {
    let mut request = Vec::new();
    let (head, body_at) = loop {
        if stream.read_buf(&mut request).await.ok()? == 0 {
            return None;
        }
        let text = String::from_utf8_lossy(&request);
        if let Some(end) = text.find("\r\n\r\n") {
            break (text[..end].to_owned(), end + 4);
        }
    };
    let header = |wanted: &str| {
        let of = |line: &str| {
            line.split_once(':').filter(|(n, _)| n.eq_ignore_ascii_case(wanted)).map(|(_, v)| v.trim().to_owned())
        };
        head.lines().find_map(of)
    };
    let length: usize = header("content-length").and_then(|l| l.parse().ok()).unwrap_or(0);
    while request.len() < body_at + length {
        if stream.read_buf(&mut request).await.ok()? == 0 {
            return None;
        }
    }
    let call = Call {
        target: header("x-amz-target").unwrap_or_default(),
        input: serde_json::from_slice(&request[body_at..]).unwrap_or_default(),
    };
    let (input, keys) = (call.input.clone(), call.keys());
    let (loss, spoilt) = {
        let mut state = state.lock().unwrap();
        state.calls.push(call);
        let spoilt = match &mut state.spoilt {
            Some((left, how)) if *left > 0 => {
                *left -= 1;
                Some(*how)
            }
            _ => state.spoilt_of_many.filter(|_| keys > 6),
        };
        let loss = match &mut state.faulty_after {
            None => None,
            Some((0, Loss::OneAnswer)) => state.faulty_after.take().map(|(_, loss)| loss),
            Some((0, loss)) => Some(std::mem::replace(loss, Loss::Call)),
            Some((left, _)) => {
                *left -= 1;
                None
            }
        };
        state.lost |= loss.is_some();
        (loss, spoilt)
    };
    let plain = |status: u16, body: String| {
        let length = body.len();
        format!(
            "HTTP/1.1 {status} Spoilt\r\nContent-Type: application/x-amz-json-1.0\r\nContent-Length: {length}\r\n\
             Connection: close\r\n\r\n{body}"
        )
    };
    match spoilt {
        Some(Spoilt::Refused(status, kind)) => {
            let body = serde_json::json!({"__type": kind, "message": "no"}).to_string();
            return stream.write_all(plain(status, body).as_bytes()).await.ok();
        }
        Some(Spoilt::NotLookedAt) => {
            let body = serde_json::json!({"Responses": {}, "UnprocessedKeys": input["RequestItems"]}).to_string();
            return stream.write_all(plain(200, body).as_bytes()).await.ok();
        }
        Some(Spoilt::Bare) => {
            let tables = input["RequestItems"].as_object().into_iter().flatten();
            let bare: serde_json::Map<String, Value> =
                tables.map(|(name, t)| (name.clone(), t["Keys"].clone())).collect();
            let body = serde_json::json!({"Responses": bare}).to_string();
            return stream.write_all(plain(200, body).as_bytes()).await.ok();
        }
        Some(Spoilt::Nonsense) => return stream.write_all(plain(200, "<html>".into()).as_bytes()).await.ok(),
        Some(Spoilt::Reset) => return stream.set_zero_linger().ok(),
        Some(Spoilt::Silence) => {
            // Until the caller hangs up.
            while stream.read_buf(&mut request).await.ok()? > 0 {}
            return None;
        }
        Some(Spoilt::Half | Spoilt::Late) | None => {}
    }
    if loss == Some(Loss::Call) {
        return None;
    }
    let mut server = TcpStream::connect(upstream).await.ok()?;
    let head =
        head.lines().filter(|l| !l.to_ascii_lowercase().starts_with("connection:")).collect::<Vec<_>>().join("\r\n");
    server.write_all(format!("{head}\r\nConnection: close\r\n\r\n").as_bytes()).await.ok()?;
    server.write_all(&request[body_at..]).await.ok()?;
    let mut answer = Vec::new();
    server.read_to_end(&mut answer).await.ok()?;
    if spoilt == Some(Spoilt::Half) {
        answer.truncate(answer.len() * 2 / 3);
        return stream.write_all(&answer).await.ok();
    }
    if spoilt == Some(Spoilt::Late) {
        // The caller hangs up first.
        let _ = tokio::time::timeout(LATE, stream.read_buf(&mut request)).await;
    }
    if loss.is_none() {
        // One connection a call, for the caller as well.
        let end = answer.windows(2).position(|w| w == b"\r\n")?;
        stream.write_all(&answer[..end]).await.ok()?;
        stream.write_all(b"\r\nConnection: close").await.ok()?;
        stream.write_all(&answer[end..]).await.ok()?;
    }
    Some(())
}

/// Hands bytes on, over connections that stay open; until they are closed, or go dead.
pub(crate) struct Relay {
    pub(crate) url: String,
    /// Those that were opened.
    connections: Arc<Mutex<Vec<Connection>>>,
}

struct Connection {
    task: tokio::task::JoinHandle<()>,
    is_dead: tokio::sync::watch::Sender<bool>,
}

impl Relay {
    pub(crate) async fn start(upstream: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (connections, upstream) = (Arc::new(Mutex::new(Vec::new())), upstream.replace("http://", ""));
        let opened = Arc::clone(&connections);
        tokio::spawn(async move {
            while let Ok((mut caller, _)) = listener.accept().await {
                let mut store = TcpStream::connect(&upstream).await.unwrap();
                let (is_dead, mut dies) = tokio::sync::watch::channel(false);
                let task = tokio::spawn(async move {
                    tokio::select! {
                        _ = tokio::io::copy_bidirectional(&mut caller, &mut store) => {}
                        // Open for the caller, and nobody is there.
                        _ = dies.changed() => std::future::pending().await,
                    }
                });
                opened.lock().unwrap().push(Connection { task, is_dead });
            }
        });
        Self { url, connections }
    }

    /// How many were opened.
    pub(crate) fn opened(&self) -> usize {
        self.connections.lock().unwrap().len()
    }

    /// Closes all that are open, as a store does with what is idle.
    pub(crate) fn close(&self) {
        self.connections.lock().unwrap().iter().for_each(|connection| connection.task.abort());
    }

    /// Nothing passes any more over those that are open, and nobody is told, as when a network forgets them.
    pub(crate) fn kill(&self) {
        for connection in self.connections.lock().unwrap().iter() {
            let _ = connection.is_dead.send(true);
        }
    }
}
