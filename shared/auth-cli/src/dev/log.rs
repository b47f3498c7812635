//! What `dev` says while it runs: one line a decision, readable or as the functions write it.

use auth_core::audit::{AuditLine, Outcome, deceives, shown};
use auth_edge::report::Sink;
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::io::Write as _;
use std::sync::{Arc, Mutex};

/// How many lines are kept for `explain`.
const KEPT: usize = 10_000;

/// Writes decisions to standard output, and keeps the last of them whole.
#[derive(Debug, Clone, Default)]
pub(crate) struct Log {
    /// Standard output is for programs: each decision as the functions write it, and nothing else.
    is_json: bool,
    refusals_only: bool,
    recent: Arc<Mutex<VecDeque<AuditLine>>>,
}

impl Log {
    pub(crate) fn new(is_json: bool) -> Self {
        Self { is_json, ..Self::default() }
    }

    /// For what stands behind an authorizer, which has already told who passed.
    pub(crate) fn refusals_only(&self) -> Self {
        Self { refusals_only: true, ..self.clone() }
    }

    /// The lines of a request, as a function writes them.
    pub(crate) fn lines_of(&self, request_id: &str) -> Vec<Value> {
        let Ok(recent) = self.recent.lock() else { return Vec::new() };
        recent.iter().filter(|line| line.request_id == request_id).map(|line| json!(line)).collect()
    }

    fn keep(&self, line: AuditLine) {
        if let Ok(mut recent) = self.recent.lock() {
            if recent.len() >= KEPT {
                recent.pop_front();
            }
            recent.push_back(line);
        }
    }

    /// Something that an engineer should know.
    pub(crate) fn warn(&self, text: &str) {
        self.tell(&format!("warning: {text}"));
    }

    /// Something for whoever started it.
    pub(crate) fn tell(&self, text: &str) {
        match self.is_json {
            true => drop(writeln!(std::io::stderr().lock(), "{text}")),
            false => say(text),
        }
    }
}

impl Sink for Log {
    fn write(&self, line: AuditLine) {
        if self.is_json {
            say(&line.to_json());
        } else if !self.refusals_only || line.outcome != Outcome::Allowed {
            say(&readable(&line));
        }
        self.keep(line);
    }
}

fn say(text: &str) {
    // Standard output may be closed; the answer to the caller does not hang on it.
    let _ = writeln!(std::io::stdout().lock(), "{text}");
}

/// Who is spoken of where no caller is known.
fn nobody(kind: &str) -> &'static str {
    if kind == "rotation" { "the keyring" } else { "somebody" }
}

fn readable(line: &AuditLine) -> String {
    let time = line.time.get(11..19).unwrap_or_default();
    let outcome = match line.outcome {
        Outcome::Allowed => "allowed",
        Outcome::Refused => "refused",
        Outcome::Broken => "broken ",
    };
    let code = line.code.zip(line.error).map(|(code, error)| format!("{code} {error}"));
    let who = line.customer_id.as_deref().or(line.client_id.as_deref()).unwrap_or(nobody(line.kind));
    let parts = [
        (if line.customer_id.is_some() { " customer " } else { " " }, Some(who)),
        (" for ", line.tenant.as_deref()),
        (" as ", line.user_login.as_deref()),
        ("  ", line.method.as_deref().filter(|_| line.route.is_some())),
        (" ", line.route.as_deref().filter(|_| line.method.is_some())),
        ("  ", code.as_deref()),
        (": ", line.why.as_deref()),
    ];
    let mut text = format!("{time} {outcome} {:<7}", line.kind);
    for (before, part) in parts {
        if let Some(part) = part {
            text.push_str(before);
            text.push_str(part);
        }
    }
    if line.outcome == Outcome::Refused {
        text.push_str(&format!("  [countersign explain --request-id {}]", line.request_id));
    }
    // A caller's text must not write to the terminal.
    if text.contains(deceives) { text.chars().map(shown).collect() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;
    use auth_core::time::Timestamp;

    #[test]
    fn a_callers_text_neither_writes_to_the_terminal_nor_turns_it() {
        let mut line = AuditLine::new("token", Timestamp(0), "r");
        line.user_login = Some("bob\u{202e}\u{2028}\n\u{1b}[2J\u{200b}\u{e9}".into());
        assert_eq!(readable(&line), "00:00:00 broken  token   somebody as bob????[2J?\u{e9}");
    }
}
