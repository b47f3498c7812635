//! The one way out: what was decided is written as one audit line, whatever it was.

use crate::clock;
use auth_core::audit::{AuditLine, Sampling, cut};
use auth_core::time::Timestamp;
use std::fmt::Display;
use std::io::Write as _;
use std::sync::Mutex;
use std::time::Instant;

/// An audit line in the making: begun when a request comes in, written when its answer goes out.
#[derive(Debug)]
pub struct Report {
    /// What the line will say.
    pub line: AuditLine,
    started: Instant,
}

impl Report {
    /// Begins. Until told otherwise, the line says that the decision broke.
    pub fn begin(kind: &'static str, now: Timestamp, request_id: &str) -> Self {
        Self { line: AuditLine::new(kind, now, request_id), started: clock::start() }
    }

    /// Notes where a request came from.
    pub fn caller(&mut self, source_ip: Option<&str>, user_agent: Option<&str>) {
        self.line.source_ip = source_ip.map(cut);
        self.line.user_agent = user_agent.map(cut);
    }

    /// Notes a fault of ours. Its text is ours as well: no caller's text and no secret is ever part of it.
    pub fn broken(&mut self, fault: &dyn Display) {
        self.line.outcome = auth_core::audit::Outcome::Broken;
        self.line.code = Some(auth_core::refusal::Refusal::Unavailable.code());
        self.line.error = Some(auth_core::refusal::Refusal::Unavailable.error());
        self.line.why = Some(cut(&fault.to_string()));
    }

    /// Ends: the line goes to `sink`.
    pub fn end(mut self, sink: &dyn Sink) {
        self.line.latency_us = u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX);
        sink.write(self.line);
    }
}

/// Where audit lines go.
pub trait Sink: Send + Sync {
    /// Takes a line.
    fn write(&self, line: AuditLine);
}

/// A sink that a flood of refusals does not fill.
#[derive(Debug)]
pub struct Sampled<S> {
    sink: S,
    sampling: Mutex<Sampling>,
}

impl<S> Sampled<S> {
    /// Of each reason so many a minute go to `sink`; 0 for all.
    pub fn new(sink: S, refusals_per_minute: u64) -> Self {
        Self { sink, sampling: Mutex::new(Sampling::new(refusals_per_minute)) }
    }
}

impl<S: Sink> Sink for Sampled<S> {
    fn write(&self, line: AuditLine) {
        let admitted = self.sampling.lock().map_or((true, None), |mut sampling| sampling.admits(&line));
        match admitted {
            (false, _) => {}
            (true, unwritten) => self.sink.write(AuditLine { unwritten, ..line }),
        }
    }
}

/// Standard output, which Lambda keeps in CloudWatch Logs.
#[derive(Debug, Clone, Copy)]
pub struct Stdout;

impl Sink for Stdout {
    fn write(&self, line: AuditLine) {
        let mut text = line.to_json();
        text.push('\n');
        // A log that cannot be written is no reason to answer otherwise.
        let _ = std::io::stdout().lock().write_all(text.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use auth_core::refusal::{Reason, Refusal};

    struct Lines(Mutex<Vec<Option<u64>>>);

    impl Sink for Lines {
        fn write(&self, line: AuditLine) {
            self.0.lock().unwrap().push(line.unwritten);
        }
    }

    #[test]
    fn what_is_not_written_is_told_with_what_is() {
        let refused = |at: i64| {
            let mut line = AuditLine::new("jwt", Timestamp(at), "r");
            line.refused(&Reason::new(Refusal::InvalidToken, "why"));
            line
        };
        for (most, want) in [(1, vec![None, Some(2)]), (0, vec![None; 4])] {
            let sink = Sampled::new(Lines(Mutex::default()), most);
            for at in [0, 1, 2, 60] {
                sink.write(refused(at));
            }
            assert_eq!(sink.sink.0.into_inner().unwrap(), want, "{most} a minute");
        }
    }
}
