//! What is written of every decision: one JSON line, whatever the outcome.

use crate::decision::Trail;
use crate::refusal::Reason;
use serde::Serialize;
use std::collections::HashMap;

/// The longest text of a caller in a line, in characters.
const CUT: usize = 200;

/// A character that makes a reader see something else than what is there: it ends a line, writes to a terminal, turns the
/// direction of text, or cannot be seen.
pub fn deceives(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// What is shown to people in the place of a character.
pub fn shown(c: char) -> char {
    if deceives(c) { '?' } else { c }
}

/// JSON in which no character deceives: they are escaped, as JSON may escape any in a text.
pub fn plain(json: String) -> String {
    // What nearly every line is.
    if json.bytes().all(|b| (b' '..=b'~').contains(&b)) {
        return json;
    }
    let is_layout = |c: char| matches!(c, '\n' | '\t');
    let mut text = String::with_capacity(json.len() + 16);
    for c in json.chars() {
        match deceives(c) && !is_layout(c) {
            true => c.encode_utf16(&mut [0; 2]).iter().for_each(|unit| text.push_str(&format!("\\u{unit:04x}"))),
            false => text.push(c),
        }
    }
    text
}

/// A caller's text, cut; the JSON writer escapes it.
pub fn cut(text: &str) -> String {
    let end = text.char_indices().nth(CUT).map_or(text.len(), |(at, _)| at);
    text.get(..end).unwrap_or_default().to_owned()
}

/// Allowed, refused or broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// Access, or a token.
    Allowed,
    /// The caller's doing.
    Refused,
    /// Ours.
    Broken,
}

/// One decision. Members that do not apply are left out.
#[derive(Debug, Clone, Serialize)]
pub struct AuditLine {
    /// RFC 3339, UTC.
    pub time: String,
    /// The gateway's request id, under which everything about one request is found.
    pub request_id: String,
    /// `token`, `login`, `jwt`, `api_key`, `guard`.
    pub kind: &'static str,
    /// What came out.
    pub outcome: Outcome,
    /// The catalogue's number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<i32>,
    /// The catalogue's word.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<&'static str>,
    /// What happened, for those who read logs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// The client; as claimed, if the outcome is not `allowed`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    /// The tenant; as claimed, if the outcome is not `allowed`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// The customer, of a customer's token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub customer_id: Option<String>,
    /// On whose behalf.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_login: Option<String>,
    /// The API.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub api: Option<String>,
    /// The method.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// The route's template, not the path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub route: Option<String>,
    /// The scope asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    /// The API key's id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_id: Option<String>,
    /// The token's id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jti: Option<String>,
    /// The caller's address, as the gateway saw it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_ip: Option<String>,
    /// The caller's user agent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_agent: Option<String>,
    /// How long the youngest signing key has signed, in whole days; said where tokens are issued.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keyring_age_days: Option<i64>,
    /// The checks of the decision, where `LOG_LEVEL` asks for them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checks: Option<Trail>,
    /// How many refusals of the same reason were not written since the last one that was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unwritten: Option<u64>,
    /// How long the decision took, in microseconds.
    pub latency_us: u64,
}

impl AuditLine {
    /// A line of a decision that has not been made: it says `broken` until told otherwise.
    pub fn new(kind: &'static str, time: crate::time::Timestamp, request_id: &str) -> Self {
        Self {
            time: time.to_rfc3339(),
            request_id: cut(request_id),
            kind,
            outcome: Outcome::Broken,
            code: None,
            error: None,
            why: None,
            client_id: None,
            tenant: None,
            customer_id: None,
            user_login: None,
            api: None,
            method: None,
            route: None,
            scope: None,
            key_id: None,
            jti: None,
            source_ip: None,
            user_agent: None,
            keyring_age_days: None,
            checks: None,
            unwritten: None,
            latency_us: 0,
        }
    }

    /// Notes a refusal.
    pub fn refused(&mut self, reason: &Reason) {
        self.outcome = Outcome::Refused;
        self.code = Some(reason.refusal.code());
        self.error = Some(reason.refusal.error());
        self.why = Some(reason.why.clone());
        if let Some(scope) = &reason.scope {
            self.scope = Some(scope.to_string());
        }
    }

    /// The line as JSON, without a line break inside, or anything else that would make a reader see another line.
    pub fn to_json(&self) -> String {
        plain(serde_json::to_string(self).unwrap_or_default())
    }
}

/// Of so many reasons it is known how many lines were written; then all are forgotten, and written anew.
const MOST_REASONS: usize = 1_000;

/// Chooses which refusals are written where a flood of them comes: of each reason, the first so many of a minute. A reason
/// that comes up is always written, and whatever is no refusal.
#[derive(Debug, Default)]
pub struct Sampling {
    most: u64,
    /// Up to the minute, as lines say the time.
    minute: String,
    reasons: HashMap<(&'static str, Option<i32>, Option<String>), Counted>,
}

#[derive(Debug, Default)]
struct Counted {
    written: u64,
    unwritten: u64,
}

impl Sampling {
    /// So many a minute; 0 for all.
    pub fn new(most: u64) -> Self {
        Self { most, ..Self::default() }
    }

    /// Whether a line is written; and how many like it were not, if any.
    pub fn admits(&mut self, line: &AuditLine) -> (bool, Option<u64>) {
        if self.most == 0 || line.outcome != Outcome::Refused {
            return (true, None);
        }
        let minute = line.time.get(..16).unwrap_or_default();
        if self.minute != minute {
            minute.clone_into(&mut self.minute);
            // Those that nothing was kept back of need no line to say so.
            self.reasons.retain(|_, counted| counted.unwritten > 0);
            self.reasons.values_mut().for_each(|counted| counted.written = 0);
        }
        if self.reasons.len() >= MOST_REASONS {
            self.reasons.clear();
        }
        let counted = self.reasons.entry((line.kind, line.code, line.why.clone())).or_default();
        if counted.written >= self.most {
            counted.unwritten += 1;
            return (false, None);
        }
        counted.written += 1;
        let unwritten = std::mem::take(&mut counted.unwritten);
        (true, (unwritten > 0).then_some(unwritten))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::refusal::Refusal;
    use crate::time::Timestamp;

    #[test]
    fn a_flood_is_written_in_part_and_each_reason_at_once() {
        let mut sampling = Sampling::new(2);
        let line = |at: i64, refusal: Option<(Refusal, &str)>| {
            let mut line = AuditLine::new("jwt", Timestamp(at), "r");
            match refusal {
                Some((refusal, why)) => line.refused(&Reason::new(refusal, why)),
                None => line.outcome = Outcome::Allowed,
            }
            line
        };
        let (token, key) = (Some((Refusal::InvalidToken, "a")), Some((Refusal::InvalidApiKey, "a")));
        let rows = [
            ("the first", 0, token, (true, None)),
            ("the second", 1, token, (true, None)),
            ("the third", 2, token, (false, None)),
            ("another code", 3, key, (true, None)),
            ("another reason of the same code", 4, Some((Refusal::InvalidToken, "b")), (true, None)),
            ("the fourth", 59, token, (false, None)),
            ("no refusal", 59, None, (true, None)),
            ("a minute later: and two were not written", 60, token, (true, Some(2))),
            ("that was said", 61, token, (true, None)),
            ("again too many", 62, token, (false, None)),
            ("said whenever the next comes", 600, token, (true, Some(1))),
        ];
        for (sentence, at, refusal, want) in rows {
            assert_eq!(sampling.admits(&line(at, refusal)), want, "{sentence}");
        }
        for n in 0..3 * MOST_REASONS {
            let why = n.to_string();
            assert_eq!(sampling.admits(&line(660, Some((Refusal::InvalidToken, &why)))), (true, None), "{n}");
            assert!(sampling.reasons.len() <= MOST_REASONS);
        }
        assert_eq!(Sampling::new(0).admits(&line(0, token)), (true, None), "all");
    }

    /// Of each kind some: ends of lines, controls, directions, what cannot be seen.
    const DECEIVE: [char; 16] = [
        '\n',
        '\r',
        '\u{85}',
        '\u{2028}',
        '\u{2029}',
        '\0',
        '\u{1b}',
        '\u{7f}',
        '\u{202e}',
        '\u{2066}',
        '\u{200f}',
        '\u{61c}',
        '\u{200b}',
        '\u{ad}',
        '\u{feff}',
        '\u{e0041}',
    ];

    #[test]
    fn a_line_is_one_line_whatever_a_caller_sends() {
        let hostile = [
            "\n{\"outcome\":\"allowed\"}",
            "\r\nX",
            "\u{2028}\u{2029}\u{85}\u{b}\u{c}",
            "\"},{\"a\":\"",
            "\\",
            "\0\u{1b}[2J\u{7f}",
            "\u{202e}drawkcab\u{2066}\u{200f}\u{61c}",
            "un\u{200b}seen\u{ad}\u{feff}\u{e0041}",
            "é\u{10ffff}",
        ];
        for text in hostile {
            let mut line = AuditLine::new("jwt", Timestamp(0), text);
            for place in
                [&mut line.why, &mut line.client_id, &mut line.user_agent, &mut line.method, &mut line.user_login]
            {
                *place = Some(text.to_owned());
            }
            let json = line.to_json();
            assert!(!json.contains(DECEIVE), "{text:?}: {json:?}");
            let read: serde_json::Value = serde_json::from_str(&json).unwrap();
            assert_eq!((&read["why"], &read["outcome"]), (&text.into(), &"broken".into()), "{text:?}: as it was sent");
        }
        assert_eq!(cut(&"é".repeat(300)).chars().count(), CUT);
    }
}
