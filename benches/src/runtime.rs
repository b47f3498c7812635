//! A Lambda Runtime API on loopback that measures: it starts a function as the service would, feeds it events, checks
//! each answer, and notes when what happened.

use crate::http;
use crate::process;
use serde_json::Value;
use std::io::BufReader;
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// No invocation takes so long; whoever does is stuck.
const PATIENCE: Duration = Duration::from_secs(60);

/// The event of each invocation, by its number. It is made before the clock starts.
pub(crate) type Events = Arc<dyn Fn(usize) -> Event + Send + Sync>;

/// Events in rotation.
pub(crate) fn rotation(events: Vec<Event>) -> Events {
    Arc::new(move |n| events.get(n % events.len()).cloned().unwrap_or_default())
}

/// What a function is sent, and what must be in its answer.
#[derive(Clone, Default)]
pub(crate) struct Event {
    pub(crate) body: Arc<str>,
    /// JSON pointer and value; of an error, `/errorMessage`.
    pub(crate) expected: Arc<[(String, Value)]>,
}

impl Event {
    /// The same, of which something else is expected.
    pub(crate) fn expecting(self, expected: &[(&str, Value)]) -> Self {
        let expected = expected.iter().map(|(pointer, value)| ((*pointer).to_owned(), value.clone())).collect();
        Self { expected, ..self }
    }
}

/// How a function is started.
#[derive(Clone, Default)]
pub(crate) struct Start {
    pub(crate) command: Vec<String>,
    pub(crate) variables: Vec<(String, String)>,
}

/// A running function.
pub(crate) struct Function {
    child: Child,
    shared: Arc<Shared>,
    started: Instant,
}

struct Shared {
    events: Events,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    pid: u32,
    /// Of the event that was handed out last.
    expected: Arc<[(String, Value)]>,
    /// How many events may be handed out.
    allowed: usize,
    handed_out: usize,
    sent: Option<Instant>,
    /// It asked for the first time, at this time and with so much processor time behind it.
    first_next: Option<(Instant, f64)>,
    first_answer: Option<(Instant, f64)>,
    /// Time from an event to its answer.
    took: Vec<Duration>,
    wrong: Option<String>,
    /// It asks for more than it may have.
    waits: bool,
}

/// What a start took.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cold {
    pub(crate) next_ms: f64,
    pub(crate) next_cpu_ms: f64,
    pub(crate) answer_ms: f64,
    pub(crate) answer_cpu_ms: f64,
}

/// What a number of invocations took.
#[derive(Debug, Clone)]
pub(crate) struct Warm {
    pub(crate) took_us: Vec<f64>,
    pub(crate) cpu_us: f64,
    pub(crate) per_second: f64,
}

impl Function {
    /// Starts a function. The environment is the one that Lambda gives, and what is said besides.
    pub(crate) fn start(start: &Start, events: &Events) -> Result<Self, String> {
        let listener = TcpListener::bind("127.0.0.1:0").map_err(|e| e.to_string())?;
        let address = listener.local_addr().map_err(|e| e.to_string())?.to_string();
        let shared = Arc::new(Shared { events: Arc::clone(events), state: Mutex::default(), changed: Condvar::new() });
        let served = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let served = Arc::clone(&served);
                std::thread::spawn(move || served.serve(stream));
            }
        });
        let (program, arguments) = start.command.split_first().ok_or("no command")?;
        let mut command = Command::new(program);
        command.args(arguments).env_clear().envs(start.variables.iter().cloned());
        command.env("PATH", std::env::var("PATH").unwrap_or_default());
        for (name, value) in [
            ("AWS_LAMBDA_RUNTIME_API", address.as_str()),
            ("AWS_LAMBDA_FUNCTION_NAME", "f"),
            ("AWS_LAMBDA_FUNCTION_VERSION", "1"),
            ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256"),
            ("AWS_LAMBDA_LOG_GROUP_NAME", "g"),
            ("AWS_LAMBDA_LOG_STREAM_NAME", "s"),
            ("AWS_REGION", "eu-west-1"),
            ("AWS_ACCESS_KEY_ID", "local"),
            ("AWS_SECRET_ACCESS_KEY", "local"),
            ("_HANDLER", "bootstrap"),
        ] {
            command.env(name, value);
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let started = Instant::now();
        let child = command.spawn().map_err(|e| format!("{program}: {e}"))?;
        shared.lock().pid = child.id();
        Ok(Self { child, shared, started })
    }

    /// The process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Lets it have so many events more, and waits until it has answered them and asks again.
    fn invoke(&self, count: usize) -> Result<(), String> {
        let mut state = self.shared.lock();
        state.allowed += count;
        state.waits = false;
        self.shared.changed.notify_all();
        loop {
            if let Some(wrong) = &state.wrong {
                return Err(wrong.clone());
            }
            if state.waits && state.took.len() >= state.allowed {
                return Ok(());
            }
            let before = state.took.len();
            let (next, timed_out) =
                self.shared.changed.wait_timeout(state, PATIENCE).map_err(|_| "a thread of the stub panicked")?;
            state = next;
            if timed_out.timed_out() && state.took.len() == before {
                return Err(format!("stuck after {} answers", state.took.len()));
            }
        }
    }

    /// The first invocation, from the start of the process on.
    pub(crate) fn cold(&self) -> Result<Cold, String> {
        self.invoke(1)?;
        let state = self.shared.lock();
        let (next, answer) = state.first_next.zip(state.first_answer).ok_or("it never asked")?;
        let ms = |at: Instant| at.duration_since(self.started).as_secs_f64() * 1e3;
        Ok(Cold {
            next_ms: ms(next.0),
            next_cpu_ms: next.1 / 1e3,
            answer_ms: ms(answer.0),
            answer_cpu_ms: answer.1 / 1e3,
        })
    }

    /// So many invocations, one after the other.
    pub(crate) fn warm(&self, count: usize) -> Result<Warm, String> {
        let before = self.shared.lock().took.len();
        let (cpu, at) = (process::cpu_us(self.pid()), Instant::now());
        self.invoke(count)?;
        let (wall, cpu) = (at.elapsed().as_secs_f64(), process::cpu_us(self.pid()) - cpu);
        let state = self.shared.lock();
        let took = state.took.iter().skip(before).map(|took| took.as_secs_f64() * 1e6).collect();
        Ok(Warm { took_us: took, cpu_us: cpu / count as f64, per_second: count as f64 / wall })
    }
}

impl Drop for Function {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn serve(&self, stream: TcpStream) {
        let _ = stream.set_nodelay(true);
        let Ok(mut to) = stream.try_clone() else { return };
        let mut from = BufReader::with_capacity(64 * 1024, stream);
        while let Some(request) = http::read(&mut from) {
            let done = match request.method.as_str() {
                "GET" => self.next(&mut to),
                _ => self.answered(&request, &mut to),
            };
            if done.is_err() {
                return;
            }
        }
    }

    /// Hands out an event, once there is one to have.
    fn next(&self, to: &mut TcpStream) -> std::io::Result<()> {
        let at = Instant::now();
        let mut state = self.lock();
        if state.first_next.is_none() {
            state.first_next = Some((at, process::cpu_us(state.pid)));
        }
        while state.handed_out >= state.allowed {
            state.waits = true;
            self.changed.notify_all();
            state = self.changed.wait(state).unwrap_or_else(std::sync::PoisonError::into_inner);
        }
        let event = (self.events)(state.handed_out);
        state.expected = event.expected;
        state.handed_out += 1;
        let headers = format!(
            "Lambda-Runtime-Aws-Request-Id: {:08}-0000-4000-8000-000000000000\r\nLambda-Runtime-Deadline-Ms: \
             9999999999999\r\nLambda-Runtime-Invoked-Function-Arn: arn:aws:lambda:eu-west-1:1:function:f\r\n\
             Content-Type: application/json\r\n",
            state.handed_out
        );
        state.sent = Some(Instant::now());
        drop(state);
        http::answer(to, "200 OK", &headers, event.body.as_bytes())
    }

    fn answered(&self, request: &http::Request, to: &mut TcpStream) -> std::io::Result<()> {
        let at = Instant::now();
        let mut state = self.lock();
        if state.first_answer.is_none() {
            state.first_answer = Some((at, process::cpu_us(state.pid)));
        }
        let took = state.sent.map_or(Duration::ZERO, |sent| at.duration_since(sent));
        state.took.push(took);
        if state.wrong.is_none() {
            state.wrong = wrong(&request.body, &state.expected);
        }
        if state.wrong.is_some() {
            self.changed.notify_all();
        }
        drop(state);
        http::answer(to, "202 Accepted", "", b"{\"status\":\"OK\"}")
    }
}

/// Where an answer is not as expected. A fast function that lets a bad token through has no figures.
fn wrong(answer: &[u8], expected: &[(String, Value)]) -> Option<String> {
    let Ok(answer) = serde_json::from_slice::<Value>(answer) else { return Some("an answer that is no JSON".into()) };
    let differs = expected.iter().find(|(pointer, value)| answer.pointer(pointer) != Some(value))?;
    Some(format!("{} is not {}: {}", differs.0, differs.1, answer))
}
