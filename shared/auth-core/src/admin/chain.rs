//! The audit of changes: one chain for each tenant, and one for what is no tenant's. Each entry holds the mark of the one
//! before it, and its own mark is keyed by the pepper, so whoever can write the table but not read the secret cannot edit,
//! remove or reorder one without being found. What a chain alone cannot show is that its newest entries and its head were
//! put back to an older state together: for that, somebody must have kept a head.

use super::Actor;
use crate::ids::{ClientId, TenantId};
use crate::secret::{Digest, DigestOf, Pepper};
use crate::time::{Rfc3339, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The name of the chain of what is no tenant's. No tenant can be called so.
pub const DEPLOYMENT: &str = "*";

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EntryOutcome {
    /// Changed.
    Done,
    /// Refused by a rule; nothing was changed.
    Refused,
}

/// What an entry says, before it has its place.
#[derive(Debug, Clone)]
pub struct Event {
    /// The tenant in whose chain it stands; none for the deployment's.
    pub tenant: Option<TenantId>,
    /// The command.
    pub action: String,
    /// The client that it is about.
    pub client_id: Option<ClientId>,
    /// What else it is about: a key, a role, an API, a customer.
    pub subject: Option<String>,
    /// What came of it.
    pub outcome: EntryOutcome,
    /// Why, of a refusal.
    pub why: Option<String>,
    /// How it was; no secrets.
    pub before: Option<Value>,
    /// How it is; no secrets.
    pub after: Option<Value>,
}

/// One entry.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Entry {
    /// 1 for the first of a chain, and one more for each.
    pub number: u64,
    /// When; never before the entry before it.
    pub time: Rfc3339,
    /// The chain: a tenant, or `*`.
    pub chain: String,
    /// Who.
    pub actor: String,
    /// On whose behalf.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_behalf_of: Option<String>,
    /// By which way.
    pub via: String,
    /// With which request.
    pub request_id: String,
    /// What.
    pub action: String,
    /// The client that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    /// What else it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// What came of it.
    pub outcome: EntryOutcome,
    /// Why, of a refusal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// How it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Value>,
    /// How it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Value>,
    /// The mark of the entry before; empty for the first.
    pub previous: String,
}

/// The end of a chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// The number of the last entry.
    pub number: u64,
    /// Its time.
    pub time: Timestamp,
    /// Its mark.
    pub mark: String,
}

impl Default for Head {
    fn default() -> Self {
        Self { number: 0, time: Timestamp(0), mark: String::new() }
    }
}

/// An entry as it is stored: its exact text, and its mark.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sealed {
    /// The entry as JSON.
    pub entry: String,
    /// The mark.
    pub mark: String,
}

impl Event {
    /// The name of its chain.
    pub fn chain(&self) -> &str {
        self.tenant.as_ref().map_or(DEPLOYMENT, TenantId::as_str)
    }

    /// Puts it at the end of its chain. `None` only if it cannot be written as JSON.
    pub fn append(self, actor: &Actor, head: &Head, now: Timestamp, pepper: &Pepper) -> Option<(Entry, Sealed, Head)> {
        // Clocks differ; the order of times must be that of numbers.
        let time = now.max(head.time);
        let chain = self.chain().to_owned();
        let entry = Entry {
            number: head.number.saturating_add(1),
            time: Rfc3339(time),
            actor: actor.name.clone(),
            on_behalf_of: actor.on_behalf_of.clone(),
            via: actor.via.to_owned(),
            request_id: actor.request_id.clone(),
            action: self.action,
            client_id: self.client_id.map(|id| id.to_string()),
            subject: self.subject,
            outcome: self.outcome,
            why: self.why,
            before: self.before,
            after: self.after,
            previous: head.mark.clone(),
            chain,
        };
        let text = serde_json::to_string(&entry).ok()?;
        let mark = mark(pepper, &entry.chain, &text);
        let head = Head { number: entry.number, time, mark: mark.clone() };
        Some((entry, Sealed { entry: text, mark }, head))
    }
}

fn mark(pepper: &Pepper, chain: &str, text: &str) -> String {
    Digest::of(pepper, DigestOf::AuditEntry(chain), text).as_str().to_owned()
}

impl Sealed {
    /// Whether this deployment wrote it, as it is, into this chain.
    pub fn is_genuine(&self, pepper: &Pepper, chain: &str) -> bool {
        mark(pepper, chain, &self.entry) == self.mark
    }
}

/// Where a chain is broken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
#[error("entry {number}: {what}")]
pub struct Broken {
    /// The number of the first entry that is not as it must be.
    pub number: u64,
    /// What is wrong with it.
    pub what: &'static str,
}

/// Checks a chain, entry by entry in the order in which the table has them.
#[derive(Debug, Clone)]
pub struct Verifier<'a> {
    pepper: &'a Pepper,
    chain: &'a str,
    head: Head,
}

impl<'a> Verifier<'a> {
    /// At the beginning of a chain.
    pub fn new(pepper: &'a Pepper, chain: &'a str) -> Self {
        Self { pepper, chain, head: Head::default() }
    }

    /// The last entry that was taken.
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// The next entry, and the place where it stands.
    ///
    /// # Errors
    /// If it does not follow the one before it.
    pub fn take(&mut self, sealed: &Sealed, place: &str) -> Result<(), Broken> {
        let number = self.head.number.saturating_add(1);
        let broken = |what| Err(Broken { number, what });
        if !sealed.is_genuine(self.pepper, self.chain) {
            return broken("was edited, or is of another chain");
        }
        let Ok(entry) = serde_json::from_str::<Entry>(&sealed.entry) else { return broken("cannot be read") };
        if entry.number != number || entry.previous != self.head.mark {
            return broken("is missing, or stands in another place");
        }
        if place != place_of(&entry) {
            return broken("stands in another place than it says");
        }
        self.head = Head { number, time: entry.time.0, mark: sealed.mark.clone() };
        Ok(())
    }

    /// The end; `kept` is what the table says it is.
    ///
    /// # Errors
    /// If the last entries are missing.
    pub fn end(self, kept: &Head) -> Result<Head, Broken> {
        match self.head == *kept {
            true => Ok(self.head),
            false => Err(Broken { number: self.head.number.saturating_add(1), what: "is missing: the head knows it" }),
        }
    }
}

/// Where an entry stands in its chain: in the order of time, and of numbers within one second.
pub fn place_of(entry: &Entry) -> String {
    format!("{}#{:012}", entry.time.0.to_rfc3339(), entry.number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::Authority;

    fn chain(pepper: &Pepper, count: u64) -> (Vec<(String, Sealed)>, Head) {
        let actor = Actor {
            authority: Authority::Operator,
            name: "op".into(),
            client_id: None,
            scopes: None,
            on_behalf_of: None,
            via: "cli",
            request_id: "r".into(),
        };
        let (mut all, mut head) = (Vec::new(), Head::default());
        for n in 0..count {
            let event = Event {
                tenant: "acme".parse().ok(),
                action: "suspendClient".into(),
                client_id: "c1".parse().ok(),
                subject: None,
                outcome: EntryOutcome::Done,
                why: None,
                before: Some(serde_json::json!({"n": n})),
                after: None,
            };
            // The clock goes back now and then.
            let now = Timestamp(1_000_000 - i64::from(n % 3 == 1));
            let (entry, sealed, next) = event.append(&actor, &head, now, pepper).unwrap();
            all.push((place_of(&entry), sealed));
            head = next;
        }
        (all, head)
    }

    fn verify(pepper: &Pepper, entries: &[(String, Sealed)], head: &Head) -> Result<Head, Broken> {
        let mut sorted = entries.to_vec();
        sorted.sort_by(|a, b| a.0.cmp(&b.0));
        let mut verifier = Verifier::new(pepper, "acme");
        for (place, sealed) in &sorted {
            verifier.take(sealed, place)?;
        }
        verifier.end(head)
    }

    #[test]
    fn whatever_is_done_to_an_entry_is_found() {
        let pepper = Pepper::new(&[3; 32]);
        let (good, head) = chain(&pepper, 5);
        assert_eq!(verify(&pepper, &good, &head).as_ref(), Ok(&head));
        let other = Pepper::new(&[4; 32]);
        type Tamper<'a> = &'a dyn Fn(&mut Vec<(String, Sealed)>);
        let rows: &[(&str, u64, Tamper<'_>)] = &[
            ("edited", 3, &|all| all[2].1.entry = all[2].1.entry.replace("\"n\":2", "\"n\":9")),
            ("a mark changed", 3, &|all| all[2].1.mark.replace_range(0..1, "_")),
            ("removed from the middle", 3, &|all| drop(all.remove(2))),
            ("the first removed", 1, &|all| drop(all.remove(0))),
            ("the last removed", 5, &|all| drop(all.pop())),
            ("two in each other's place", 2, &|all| {
                let (a, b) = (all[1].1.clone(), all[2].1.clone());
                (all[1].1, all[2].1) = (b, a);
            }),
            ("moved to another time", 3, &|all| all[2].0 = all[2].0.replace("1970-01-12", "1970-01-13")),
            ("one of before put again", 6, &|all| {
                let again = (format!("{}x", all[4].0), all[4].1.clone());
                all.push(again);
            }),
            ("forged without the secret", 3, &|all| {
                let (forged, _) = chain(&other, 3);
                all[2].1 = forged[2].1.clone();
            }),
        ];
        for (sentence, number, tamper) in rows {
            let mut entries = good.clone();
            tamper(&mut entries);
            assert_eq!(verify(&pepper, &entries, &head).unwrap_err().number, *number, "{sentence}");
        }
        assert!(verify(&pepper, &good[..4], &chain(&pepper, 4).1).is_ok(), "what a chain alone cannot show");
    }
}
