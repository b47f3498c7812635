//! The audit of changes: found by chain, by client, by day; and checked.

use super::{Draft, Office, Page, Step, page_size};
use crate::Fault;
use crate::item::{number, parse, text};
use crate::keys::{Item, Key};
use auth_core::admin::chain::{DEPLOYMENT, Entry, Head, Sealed, Verifier};
use auth_core::admin::command::{QueryAudit, QueryTenantAudit, VerifyAudit};
use auth_core::admin::{Done, Refused};
use auth_core::ids::{ClientId, TenantId};
use auth_core::keyring::Keyring;
use auth_core::records::Tenant;
use auth_core::time::{Rfc3339, Timestamp};
use aws_sdk_dynamodb::types::AttributeValue;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::HashMap;

/// How far back changes of all chains are looked for, where no time is said.
const LOOK_BACK_DAYS: i64 = 31;

/// How many days or pages one request looks through at most; the cursor says where to go on.
const MOST_STEPS: usize = 40;

/// What cursors of the search by days are for.
const DAYS: &str = "days";

/// Where an entry stands, for those who look by client or by day.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Pointer {
    pub(super) chain: String,
    pub(super) place: String,
}

/// What is looked for.
struct Filter<'a> {
    client: Option<&'a ClientId>,
    outcome: Option<auth_core::admin::chain::EntryOutcome>,
}

impl Filter<'_> {
    fn wants(&self, entry: &Entry) -> bool {
        self.client.is_none_or(|client| entry.client_id.as_deref() == Some(client.as_str()))
            && self.outcome.is_none_or(|outcome| entry.outcome == outcome)
    }
}

fn times(since: Option<Rfc3339>, until: Option<Rfc3339>) -> (String, String) {
    let since = since.map(|t| t.0.to_rfc3339()).unwrap_or_default();
    // Places go on after the time; `~` comes after all of them.
    (since, until.map_or_else(|| "~".to_owned(), |t| format!("{}~", t.0.to_rfc3339())))
}

impl Office<'_> {
    pub(super) async fn query_tenant_audit(&self, asked: QueryTenantAudit) -> Step<Draft> {
        let filter = Filter { client: asked.client_id.as_ref(), outcome: asked.outcome };
        let (since, until) = times(asked.since, asked.until);
        let pk = Key::audit_head(asked.tenant.as_str()).pk;
        let limit = page_size(asked.limit)?;
        self.search(pk, "ENTRY#", (&since, &until), asked.cursor, limit, &filter).await
    }

    pub(super) async fn query_audit(&self, asked: QueryAudit) -> Step<Draft> {
        let filter = Filter { client: None, outcome: asked.outcome };
        let (since, until) = times(asked.since, asked.until);
        let limit = page_size(asked.limit)?;
        if let Some(client) = &asked.client_id {
            let pk = Key::client(client).pk;
            return self.search(pk, "AUDIT#", (&since, &until), asked.cursor, limit, &filter).await;
        }
        let last = asked.until.map_or(self.now, |t| t.0.min(self.now));
        let first = asked.since.map_or(last.plus(-LOOK_BACK_DAYS * 86_400), |t| t.0);
        self.search_days((first, last), (&since, &until), asked.cursor.as_deref(), limit, &filter).await
    }

    /// One partition, newest first.
    async fn search(
        &self,
        pk: String,
        prefix: &str,
        (from, to): (&str, &str),
        mut cursor: Option<String>,
        limit: u16,
        filter: &Filter<'_>,
    ) -> Step<Draft> {
        let mut found = Vec::new();
        for _ in 0..MOST_STEPS {
            let left = limit.saturating_sub(u16::try_from(found.len()).unwrap_or(limit));
            let page =
                Page { pk: pk.clone(), prefix, from, to, backward: true, limit: left, cursor: cursor.as_deref() };
            let (items, next) = self.page(page).await?;
            found.extend(self.entries(&items).await?.into_iter().filter(|found| filter.wants(&found.entry)));
            cursor = next;
            if cursor.is_none() || found.len() >= usize::from(limit) {
                break;
            }
        }
        Ok(shown(found, cursor))
    }

    /// Day by day, newest first. The cursor names the day and the place in it.
    async fn search_days(
        &self,
        (first, last): (Timestamp, Timestamp),
        (from, to): (&str, &str),
        cursor: Option<&str>,
        limit: u16,
        filter: &Filter<'_>,
    ) -> Step<Draft> {
        let invalid = || Refused::invalid("cursor: not one that this list gave out");
        let (mut day, mut inside) = match cursor {
            None => (last, None),
            Some(text) => {
                let text = self.opened_cursor(DAYS, text).await?;
                let (day, inside) = text.split_once('.').ok_or_else(invalid)?;
                let day = Timestamp::from_rfc3339(day).ok_or_else(invalid)?;
                (day.min(last), Some(inside.to_owned()).filter(|inside| !inside.is_empty()))
            }
        };
        let mut found = Vec::new();
        let mut steps = 0;
        let cursor = loop {
            // The days of the two ends count as well.
            if day.0.div_euclid(86_400) < first.0.div_euclid(86_400) {
                break None;
            }
            if steps == MOST_STEPS || found.len() >= usize::from(limit) {
                let text = format!("{}.{}", day.to_rfc3339(), inside.unwrap_or_default());
                break Some(self.sealed_cursor(DAYS, &text).await?);
            }
            steps += 1;
            let pk = Key::audit_of_day(&day.to_rfc3339(), "").pk;
            let left = limit.saturating_sub(u16::try_from(found.len()).unwrap_or(limit));
            let page = Page { pk, prefix: "AUDIT#", from, to, backward: true, limit: left, cursor: inside.as_deref() };
            let (items, next) = self.page(page).await?;
            found.extend(self.entries(&items).await?.into_iter().filter(|found| filter.wants(&found.entry)));
            match next {
                Some(next) => inside = Some(next),
                None => (day, inside) = (day.plus(-86_400), None),
            }
        };
        Ok(shown(found, cursor))
    }

    /// The entries themselves, or those that pointers point to.
    async fn entries(&self, items: &[Item]) -> Step<Vec<Found>> {
        let mut keys = Vec::new();
        let mut here = HashMap::new();
        for item in items {
            let key = Key::of(item).ok_or_else(|| Fault::new("an item without its key"))?;
            match item.contains_key("entry") {
                true => drop(here.insert(key.clone(), item.clone())),
                false => {
                    let pointer: Pointer = parse(item)?;
                    keys.push(Key::audit_entry(&pointer.chain, &pointer.place));
                    continue;
                }
            }
            keys.push(key);
        }
        let elsewhere = keys.iter().filter(|key| !here.contains_key(*key)).cloned().collect();
        here.extend(self.items(elsewhere).await?);
        let keyring = self.gate.keyring.get(self.now).await?;
        let mut found = Vec::new();
        // One that is gone is for the check of the chain to find.
        for (key, item) in keys.iter().filter_map(|key| Some((key, here.get(key)?))) {
            let sealed = entry_of(item);
            let chain = key.pk.trim_start_matches("AUDIT#");
            let is_genuine = sealed.is_genuine(&keyring.pepper, chain);
            // Nor is one that cannot be read a reason to show no others.
            if let Ok(entry) = serde_json::from_str(&sealed.entry) {
                found.push(Found { entry, is_genuine });
            }
        }
        Ok(found)
    }

    pub(super) async fn verify_audit(&self, asked: VerifyAudit, keyring: &Keyring) -> Step<Draft> {
        let chain = asked.tenant.as_ref().map_or(DEPLOYMENT, |tenant| tenant.as_str());
        let kept = asked.head.as_deref().map(|text| {
            let wrong = || Refused::invalid("head: as it was given out, NUMBER:MARK");
            let (number, mark) = text.split_once(':').ok_or_else(wrong)?;
            Ok::<_, Refused>((number.parse::<u64>().map_err(|_| wrong())?, mark.to_owned()))
        });
        let kept = kept.transpose()?;
        let broken = |number: u64, what: &str| {
            Ok(Draft::show(Done::of(json!({"chain": chain, "state": "broken", "number": number, "what": what}))))
        };
        let mut verifier = Verifier::new(&keyring.pepper, chain);
        let mut is_held = kept.as_ref().is_none_or(|(number, mark)| *number == 0 && mark.is_empty());
        let mut cursor: Option<String> = None;
        // Entries may come while this is read: then it goes on from where it was, a few times.
        for _ in 0..MOST_STEPS {
            loop {
                let pk = Key::audit_head(chain).pk;
                let page = Page::of(pk, "ENTRY#", cursor.as_deref(), Some(super::MOST_PAGE))?;
                let (items, next) = self.page(page).await?;
                for item in &items {
                    let sealed = entry_of(item);
                    let sk = text(item, "sk");
                    if let Err(at) = verifier.take(&sealed, sk.trim_start_matches("ENTRY#")) {
                        return broken(at.number, at.what);
                    }
                    let head = verifier.head();
                    is_held |= kept.as_ref().is_some_and(|(n, mark)| *n == head.number && *mark == head.mark);
                    cursor = Some(self.sealed_cursor(&Key::audit_head(chain).pk, sk).await?);
                }
                if next.is_none() {
                    break;
                }
            }
            let end = self.head(chain).await?;
            if end.number > verifier.head().number && self.grew(chain, cursor.as_deref()).await? {
                continue;
            }
            return match verifier.end(&end) {
                Err(at) => broken(at.number, at.what),
                Ok(head) if head.number == 0 && !self.is_tenant(asked.tenant.as_ref()).await? => {
                    Err(Refused::not_found("tenant", chain).into())
                }
                Ok(_) if !is_held => broken(kept.map_or(0, |(number, _)| number), "is not the one whose mark was kept"),
                Ok(head) => {
                    let time = (head.number > 0).then(|| head.time.to_rfc3339());
                    let view = json!({"chain": chain, "state": "whole", "entries": head.number, "last": time,
                        "head": format!("{}:{}", head.number, head.mark)});
                    Ok(Draft::show(Done::of(view)))
                }
            };
        }
        Err(Refused::conflict("The chain grows faster than it is read. Due: try again.").into())
    }

    async fn is_tenant(&self, tenant: Option<&TenantId>) -> Step<bool> {
        match tenant {
            None => Ok(true),
            Some(tenant) => Ok(self.one::<Tenant>(&Key::tenant(tenant)).await?.is_some()),
        }
    }

    /// The end of a chain; that of an empty one, if there is none.
    pub(super) async fn head(&self, chain: &str) -> Result<Head, Fault> {
        let key = Key::audit_head(chain);
        let items = self.items(vec![key.clone()]).await?;
        let Some(item) = items.get(&key) else { return Ok(Head::default()) };
        head_of(item).ok_or_else(|| Fault::new("the end of a chain cannot be read"))
    }

    /// Whether there is an entry after this place.
    async fn grew(&self, chain: &str, cursor: Option<&str>) -> Step<bool> {
        let page = Page::of(Key::audit_head(chain).pk, "ENTRY#", cursor, Some(1))?;
        Ok(!self.page(page).await?.0.is_empty())
    }
}

/// An entry in its item: its text is what the mark is of, and stays as it is. What is not there is found out by the mark.
pub(super) fn attributes_of_entry(sealed: Sealed) -> [(String, AttributeValue); 2] {
    [("entry".into(), AttributeValue::S(sealed.entry)), ("mark".into(), AttributeValue::S(sealed.mark))]
}

fn entry_of(item: &Item) -> Sealed {
    Sealed { entry: text(item, "entry").to_owned(), mark: text(item, "mark").to_owned() }
}

/// The end of a chain in its item.
pub(super) fn attributes_of_head(head: Head) -> [(String, AttributeValue); 3] {
    [
        ("number".into(), AttributeValue::N(head.number.to_string())),
        ("time".into(), AttributeValue::N(head.time.0.to_string())),
        ("mark".into(), AttributeValue::S(head.mark)),
    ]
}

fn head_of(item: &Item) -> Option<Head> {
    Some(Head {
        number: number(item, "number")?.try_into().ok()?,
        time: Timestamp(number(item, "time")?),
        mark: item.get("mark")?.as_s().ok()?.clone(),
    })
}

/// An entry, and whether this deployment wrote it as it is.
struct Found {
    entry: Entry,
    is_genuine: bool,
}

fn shown(found: Vec<Found>, cursor: Option<String>) -> Draft {
    let entries: Vec<Value> = found
        .iter()
        .map(|found| {
            let mut entry = json!(found.entry);
            if let (Some(members), false) = (entry.as_object_mut(), found.is_genuine) {
                members.insert("tampered".into(), true.into());
            }
            entry
        })
        .collect();
    Draft::show(Done::of(json!({"entries": entries, "next_cursor": cursor})))
}
