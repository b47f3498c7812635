//! Administration on the table: fetches what a rule needs, asks the rule, and writes what it says together with the audit
//! of it, in one transaction whose conditions are the versions that were read. Of two administrators at once, one wins.

mod audit;
mod catalog;
mod clients;
mod customers;
mod grants;
mod keys;
mod moves;
mod tenants;

pub use moves::{Exported, Moved, Row};

use crate::Fault;
use crate::aws::Aws;
use crate::gate::Gate;
use crate::item::{number, parse, written};
use crate::keygen::random;
use crate::keyring::kind;
use crate::keys::{Item, Key};
use crate::reads::MOST_KEYS;
use crate::store::Record;
use auth_core::admin::chain::{EntryOutcome, Event, Head};
use auth_core::admin::command::Command;
use auth_core::admin::operations::authorize;
use auth_core::admin::{Actor, Authority, Done, Fresh, Refused};
use auth_core::ids::{ClientId, TenantId};
use auth_core::keyring::Keyring;
use auth_core::refusal::Refusal;
use auth_core::secret::{Digest, DigestOf, Sealed, SecretText};
use auth_core::time::Timestamp;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{AttributeValue, Delete, Put, TransactWriteItem};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;

/// How often a change is tried whose chain of audit somebody else was appending to.
const TRIES: u32 = 12;

/// For how long the answer to a named request is kept.
const ANSWER_KEPT_SECONDS: i64 = 86_400;

/// How long a list is, where nothing is said, and at most.
const PAGE: u16 = 50;
const MOST_PAGE: u16 = 100;

/// An item has 400 KB; some are for what stands beside.
const MOST_ITEM_BYTES: usize = 380_000;

/// An administrator at work.
#[derive(Debug)]
pub struct Office<'a> {
    gate: &'a Gate,
    aws: &'a Aws,
    actor: Actor,
    now: Timestamp,
    breached_passwords: Option<PathBuf>,
}

/// How a command is given.
#[derive(Debug, Clone, Default)]
pub struct Given {
    /// Only this version is to be changed (`If-Match`).
    pub if_match: Option<u64>,
    /// The request has a name (`Idempotency-Key`), and counts once.
    pub once: Option<Once>,
    /// Nothing is written; what would be is said.
    pub dry_run: bool,
}

/// A request that has a name.
#[derive(Debug, Clone)]
pub struct Once {
    /// The name, as the caller gave it.
    pub name: String,
    /// All that was asked for, to tell another request of the same name. It may hold a password.
    pub request: SecretText,
}

/// Why a command is not done.
#[derive(Debug)]
pub(crate) enum Stop {
    Refused(Refused),
    Broken(Fault),
}

impl From<Refused> for Stop {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        Self::Broken(fault)
    }
}

type Step<T> = Result<T, Stop>;

/// A record and its version.
#[derive(Debug, Clone)]
pub(crate) struct There<T> {
    record: T,
    version: u64,
}

impl<T: DeserializeOwned> There<T> {
    fn of(item: &Item) -> Result<Self, Fault> {
        let version = number(item, "version").and_then(|n| u64::try_from(n).ok()).unwrap_or_default();
        Ok(Self { record: parse(item)?, version })
    }
}

/// What a record must be for the write to happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expect {
    /// Not there.
    Absent,
    /// Of this version; 0 is one that was seeded.
    Version(u64),
    /// Whatever.
    Any,
}

#[derive(Clone)]
struct Write {
    item: Item,
    expect: Expect,
}

/// What a command comes to.
#[derive(Default)]
pub(crate) struct Draft {
    writes: Vec<Write>,
    deletes: Vec<Key>,
    events: Vec<Event>,
    done: Done,
}

impl Draft {
    /// Whether the table would refuse it. What is written of a change holds how it was and how it is.
    fn is_too_large(&self, given: &Given) -> bool {
        let text = |value: &Option<serde_json::Value>| value.as_ref().map_or(0, |v| v.to_string().len());
        // A kept answer is sealed, and a third longer for it.
        let kept = given.once.as_ref().map_or(0, |_| self.done.view.to_string().len() * 4 / 3);
        kept > MOST_ITEM_BYTES
            || self.writes.iter().any(|write| size(&write.item) > MOST_ITEM_BYTES)
            || self.events.iter().any(|event| text(&event.before) + text(&event.after) > MOST_ITEM_BYTES)
    }

    /// Which records must be what for it to be written.
    fn expected(&self) -> Vec<(Option<Key>, Expect)> {
        self.writes.iter().map(|write| (Key::of(&write.item), write.expect)).collect()
    }

    fn show(done: Done) -> Self {
        Self { done, ..Self::default() }
    }

    /// Writes a record that must not be there.
    fn add(&mut self, record: &Record) -> Step<()> {
        self.writes.push(Write { item: record.item()?, expect: Expect::Absent });
        Ok(())
    }

    /// Writes a record over the version that was read.
    fn replace(&mut self, record: &Record, version: u64) -> Step<()> {
        self.writes.push(Write { item: record.item()?, expect: Expect::Version(version) });
        Ok(())
    }

    /// Writes a record, whatever is there; for lines of lists, which say no more than that something is.
    fn put(&mut self, record: &Record) -> Step<()> {
        self.writes.push(Write { item: record.item()?, expect: Expect::Any });
        Ok(())
    }

    /// Writes a record over the version that was read, or anew.
    fn set(&mut self, record: &Record, there: Option<u64>) -> Step<()> {
        match there {
            Some(version) => self.replace(record, version),
            None => self.add(record),
        }
    }
}

/// The bytes of an item, near enough.
fn size(item: &Item) -> usize {
    fn of(value: &AttributeValue) -> usize {
        match value {
            AttributeValue::S(text) | AttributeValue::N(text) => text.len(),
            AttributeValue::L(list) => list.iter().map(|v| of(v) + 1).sum(),
            AttributeValue::M(members) => size(members),
            _ => 1,
        }
    }
    item.iter().map(|(name, value)| name.len() + of(value) + 4).sum()
}

enum Written {
    Yes,
    /// A record was not what it had to be.
    RecordChanged,
    /// Somebody else was at the same chain, or at the same record in this moment.
    Again,
}

impl<'a> Office<'a> {
    /// An office for one administrator. `breached_passwords` is a list of passwords that customers may not choose.
    pub fn new(
        gate: &'a Gate,
        aws: &'a Aws,
        actor: Actor,
        now: Timestamp,
        breached_passwords: Option<PathBuf>,
    ) -> Self {
        Self { gate, aws, actor, now, breached_passwords }
    }

    /// Does what is asked for, or says why not.
    ///
    /// # Errors
    /// A fault of ours: whether anything was done is not known then. Named requests may be repeated.
    pub async fn execute(&self, command: Command, given: Given) -> Result<Result<Done, Refused>, Fault> {
        match self.try_execute(&command, &given).await {
            Ok(done) => Ok(Ok(done)),
            Err(Stop::Broken(fault)) => Err(fault),
            Err(Stop::Refused(refused)) => {
                if !given.dry_run {
                    self.note_refusal(&command, &refused).await;
                }
                Ok(Err(refused))
            }
        }
    }

    async fn try_execute(&self, command: &Command, given: &Given) -> Step<Done> {
        authorize(&self.actor, command)?;
        let keyring = self.gate.keyring.get(self.now).await?;
        if let Some(done) = self.answered(given, &keyring).await? {
            return Ok(done);
        }
        if given.if_match.is_some() && has_no_version(command) {
            return Err(Refused::invalid("If-Match: this has no version").into());
        }
        let fresh = Fresh::new(&random()?);
        let (mut raced, mut first) = (false, None);
        for tried in 0..TRIES {
            pause(tried).await?;
            let draft = match Box::pin(self.draft(command, given, &keyring, &fresh)).await {
                Ok(draft) => draft,
                Err(Stop::Refused(refused)) => {
                    // It may have been done in between, under this very name.
                    let done = self.answered(given, &keyring).await?;
                    return done.ok_or(Stop::Refused(refused));
                }
                Err(broken) => return Err(broken),
            };
            // What is drafted anew on top of something else is another's change undone.
            let expected = draft.expected();
            raced |= first.get_or_insert_with(|| expected.clone()) != &expected;
            // Whoever lost a race is told, even if the same could be done again on top of it.
            let changes = !draft.writes.is_empty() || !draft.deletes.is_empty();
            if raced && changes {
                let text = "Somebody else changed it at the same time. Due: read it again, then change it.";
                return Err(Refused::conflict(text).into());
            }
            if draft.is_too_large(given) {
                return Err(Refused::invalid(
                    "It is larger than the table takes: 400 KB, with what the audit says of it.",
                )
                .into());
            }
            if given.dry_run || !changes {
                return Ok(draft.done);
            }
            match self.write(&draft, Some(given), &keyring).await? {
                Written::Yes => return Ok(draft.done),
                Written::RecordChanged => {
                    if let Some(done) = self.answered(given, &keyring).await? {
                        return Ok(done);
                    }
                    raced = true;
                }
                Written::Again => {}
            }
        }
        Err(Refused::conflict("Too many changes at the same time. Due: try again.").into())
    }

    async fn draft(&self, command: &Command, given: &Given, keyring: &Arc<Keyring>, fresh: &Fresh) -> Step<Draft> {
        let command = command.clone();
        match command {
            Command::ProvisionTenant(c) => self.provision_tenant(c, given).await,
            Command::ListTenants(c) => self.list_tenants(c).await,
            Command::ShowTenant(c) => self.show_tenant(c).await,
            Command::SetTenantApis(c) => self.set_tenant_apis(c, given).await,
            Command::DisableTenant(c) => self.switch_tenant(c.tenant, false, given).await,
            Command::EnableTenant(c) => self.switch_tenant(c.tenant, true, given).await,
            Command::RegisterClient(c) => self.register_client(c, fresh).await,
            Command::ListClients(c) => self.list_clients(c).await,
            Command::ShowClient(c) => self.show_client(c).await,
            Command::ShowPack(c) => self.show_pack(c).await,
            Command::ApproveClient(c) => self.approve_client(c, given, keyring, fresh).await,
            Command::ChangeClient(c) => self.change_client(c, given).await,
            Command::SuspendClient(c) => self.suspend_client(c, given).await,
            Command::ResumeClient(c) => self.resume_client(c, given).await,
            Command::PromoteClient(c) => self.promote_client(c, given, keyring, fresh).await,
            Command::DeleteClient(c) => self.delete_client(c, given).await,
            Command::RevokeClientTokens(c) => self.revoke_client_tokens(c, given).await,
            Command::RevokeToken(c) => self.revoke_one_token(c).await,
            Command::RotateSecret(c) => self.rotate_secret(c, given, keyring, fresh).await,
            Command::CancelSecretRotation(c) => self.cancel_secret_rotation(c, given).await,
            Command::RevokeSecret(c) => self.revoke_secret(c, given).await,
            Command::RequestGrant(c) => self.request_grant(c, given).await,
            Command::ListGrants(c) => self.list_grants(c).await,
            Command::ListTenantGrants(c) => self.list_tenant_grants(c).await,
            Command::ShowGrant(c) => self.show_grant(c).await,
            Command::ApproveGrant(c) => self.approve_grant(c, given).await,
            Command::ChangeGrant(c) => self.change_grant(c, given).await,
            Command::RevokeGrant(c) => self.revoke_grant(c, given).await,
            Command::IssueKey(c) => self.issue_key(c, keyring, fresh).await,
            Command::ImportKey(c) => self.import_key(c, keyring).await,
            Command::ListKeys(c) => self.list_keys(c).await,
            Command::ShowKey(c) => self.show_key(c).await,
            Command::RotateKey(c) => self.rotate_key(c, given, keyring, fresh).await,
            Command::CancelKeyRotation(c) => self.cancel_key_rotation(c, given).await,
            Command::RevokeKey(c) => self.revoke_key(c, given).await,
            Command::CreateCustomer(c) => self.create_customer(c, keyring, fresh).await,
            Command::ListCustomers(c) => self.list_customers(c).await,
            Command::ShowCustomer(c) => self.show_customer(c, keyring).await,
            Command::ResetCustomer(c) => self.reset_customer(c, given, keyring, fresh).await,
            Command::DisableCustomer(c) => self.switch_customer(c.tenant, c.username, false, given, keyring).await,
            Command::EnableCustomer(c) => self.switch_customer(c.tenant, c.username, true, given, keyring).await,
            Command::SetIssuer(c) => self.set_issuer(c).await,
            Command::ListIssuers(_) => self.list_issuers().await,
            Command::DeleteIssuer(c) => self.delete_issuer(c).await,
            Command::SetRole(c) => self.set_role(c).await,
            Command::ListRoles(_) => self.list_roles().await,
            Command::ShowRole(c) => self.show_role(c).await,
            Command::DeleteRole(c) => self.delete_role(c).await,
            Command::ImportApi(c) => self.import_api(c, keyring).await,
            Command::DiffApi(c) => self.diff_api(c).await,
            Command::ListApis(_) => self.list_apis().await,
            Command::ShowApi(c) => self.show_api(c).await,
            Command::ShowKeyring(_) => self.show_keyring().await,
            Command::RotateKeyring(_) => self.rotate_keyring(keyring, given).await,
            Command::ForceKeyring(_) => self.force_keyring(keyring, given).await,
            Command::QueryAudit(c) => self.query_audit(c).await,
            Command::QueryTenantAudit(c) => self.query_tenant_audit(c).await,
            Command::VerifyAudit(c) => self.verify_audit(c, keyring).await,
        }
    }

    /// What was answered to this named request before.
    async fn answered(&self, given: &Given, keyring: &Keyring) -> Step<Option<Done>> {
        let Some(once) = given.once.as_ref().filter(|_| !given.dry_run) else { return Ok(None) };
        let name = self.name_of(once, keyring);
        let there: Option<There<Answered>> = self.one(&Key::answered(&name)).await?;
        let Some(answered) = there.map(|t| t.record).filter(|a| !a.good_until.has_passed(self.now)) else {
            return Ok(None);
        };
        if answered.request != Digest::of(&keyring.pepper, DigestOf::Request, once.request.expose()).as_str() {
            return Err(
                Refused::conflict("The Idempotency-Key was used for another request. Due: take a new one.").into()
            );
        }
        let opened = keyring.sealing.open(name.as_str(), &answered.answer);
        let kept: Option<KeptDone> = opened.ok().and_then(|text| serde_json::from_slice(&text).ok());
        let kept = kept.ok_or_else(|| Fault::new("a kept answer does not open"))?;
        let secrets = kept.secrets.into_iter().filter_map(|(name, secret)| Some((known_secret(&name)?, secret)));
        Ok(Some(Done { view: kept.view, secrets: secrets.collect(), version: kept.version, created: kept.created }))
    }

    fn name_of(&self, once: &Once, keyring: &Keyring) -> Digest {
        Digest::of(&keyring.pepper, DigestOf::IdempotencyKey(&self.actor.name), &once.name)
    }

    /// The item that remembers an answer. Secrets in it are sealed: a lost answer must not be a lost secret.
    fn answer(&self, done: &Done, once: &Once, keyring: &Keyring) -> Result<Item, Fault> {
        #[derive(Serialize)]
        struct Kept<'a> {
            view: &'a serde_json::Value,
            secrets: Vec<(&'a str, &'a str)>,
            version: Option<u64>,
            created: bool,
        }
        let secrets = done.secrets.iter().map(|(name, secret)| (*name, secret.expose())).collect();
        let kept = Kept { view: &done.view, secrets, version: done.version, created: done.created };
        let text = serde_json::to_string(&kept).map_err(|_| Fault::new("an answer cannot be kept"))?;
        let name = self.name_of(once, keyring);
        let sealed = keyring.sealing.seal(name.as_str(), &SecretText::new(text), random()?);
        let until = self.now.plus(ANSWER_KEPT_SECONDS);
        let mut item = written(&Answered {
            request: Digest::of(&keyring.pepper, DigestOf::Request, once.request.expose()).as_str().to_owned(),
            answer: sealed.map_err(|_| Fault::new("an answer cannot be sealed"))?,
            good_until: until,
        })?;
        for (name, time) in [("good_until", until), ("ttl", until.plus(86_400))] {
            item.insert(name.into(), AttributeValue::N(time.0.to_string()));
        }
        item.extend(Key::answered(&name).into_item());
        Ok(item)
    }

    /// Writes all of it or nothing: records, the audit of them, and the answer.
    async fn write(&self, draft: &Draft, given: Option<&Given>, keyring: &Keyring) -> Result<Written, Fault> {
        let mut items = Vec::new();
        for Write { item, expect } in &draft.writes {
            let mut item = item.clone();
            let (condition, version) = match expect {
                Expect::Absent => (Some("attribute_not_exists(pk)".to_owned()), 1),
                Expect::Version(0) => (Some("attribute_exists(pk) AND attribute_not_exists(version)".to_owned()), 1),
                Expect::Version(version) => (Some("version = :version".to_owned()), version.saturating_add(1)),
                Expect::Any => (None, 0),
            };
            if version > 0 {
                item.entry("version".into()).or_insert_with(|| AttributeValue::N(version.to_string()));
            }
            let was = match expect {
                Expect::Version(version) if *version > 0 => Some(version.to_string()),
                _ => None,
            };
            items.push(self.put(item, condition, was.map(|was| (":version", AttributeValue::N(was))))?);
        }
        for key in &draft.deletes {
            let delete = Delete::builder().table_name(&self.gate.store.table).set_key(Some(key.clone().into_item()));
            let delete = delete.build().map_err(|e| Fault::new(format!("DynamoDB TransactWriteItems: {e}")))?;
            items.push(TransactWriteItem::builder().delete(delete).build());
        }
        if let Some(once) = given.and_then(|given| given.once.as_ref()) {
            let item = self.answer(&draft.done, once, keyring)?;
            let now = AttributeValue::N(self.now.0.to_string());
            // One whose time has passed may be written over before the table deletes it.
            items.push(self.put(
                item,
                Some("attribute_not_exists(pk) OR good_until <= :now".into()),
                Some((":now", now)),
            )?);
        }
        let records = items.len();

        let mut heads: BTreeMap<String, (Head, Head)> = BTreeMap::new();
        for event in draft.events.iter().cloned() {
            let chain = event.chain().to_owned();
            if !heads.contains_key(&chain) {
                let head = self.head(&chain).await?;
                heads.insert(chain.clone(), (head.clone(), head));
            }
            let Some((_, head)) = heads.get_mut(&chain) else { continue };
            let client_id = event.client_id.clone();
            let appended = event.append(&self.actor, head, self.now, &keyring.pepper);
            let (entry, sealed, next) = appended.ok_or_else(|| Fault::new("an audit entry cannot be written"))?;
            let place = auth_core::admin::chain::place_of(&entry);
            let mut item = Key::audit_entry(&chain, &place).into_item();
            item.extend(audit::attributes_of_entry(sealed));
            items.push(self.put(item, Some("attribute_not_exists(pk)".into()), None)?);
            let mut pointers = vec![Key::audit_of_day(&place, &chain)];
            pointers.extend(client_id.map(|client| Key::audit_of_client(&client, &place, &chain)));
            for pointer in pointers {
                let mut item = written(&audit::Pointer { chain: chain.clone(), place: place.clone() })?;
                item.extend(pointer.into_item());
                items.push(self.put(item, None, None)?);
            }
            *head = next;
        }
        for (chain, (was, head)) in heads {
            let mut item = Key::audit_head(&chain).into_item();
            item.extend(audit::attributes_of_head(head));
            let (condition, value) = match was.number {
                0 => ("attribute_not_exists(pk)", None),
                _ => ("mark = :mark", Some((":mark", AttributeValue::S(was.mark)))),
            };
            items.push(self.put(item, Some(condition.into()), value)?);
        }
        self.transact(items, records).await
    }

    /// Writes what nobody else can have changed, however busy the chains are.
    async fn write_surely(&self, draft: &Draft, keyring: &Keyring) -> Step<()> {
        for tried in 0..TRIES {
            pause(tried).await?;
            match self.write(draft, None, keyring).await? {
                Written::Yes => return Ok(()),
                Written::Again => {}
                Written::RecordChanged => {
                    return Err(Refused::conflict("Somebody else changed it at the same time.").into());
                }
            }
        }
        Err(Refused::conflict("Too many changes at the same time. Due: try again.").into())
    }

    fn put(
        &self,
        item: Item,
        condition: Option<String>,
        value: Option<(&str, AttributeValue)>,
    ) -> Result<TransactWriteItem, Fault> {
        let mut put = Put::builder().table_name(&self.gate.store.table).set_item(Some(item));
        put = put.set_condition_expression(condition);
        if let Some((name, value)) = value {
            put = put.expression_attribute_values(name, value);
        }
        let put = put.build().map_err(|e| Fault::new(format!("DynamoDB TransactWriteItems: {e}")))?;
        Ok(TransactWriteItem::builder().put(put).build())
    }

    /// `records` of the items come first; the rest is the audit.
    async fn transact(&self, items: Vec<TransactWriteItem>, records: usize) -> Result<Written, Fault> {
        let write = self.gate.store.client.transact_write_items().set_transact_items(Some(items));
        let Err(error) = Box::pin(write.send()).await else { return Ok(Written::Yes) };
        let fault = || Fault::new(format!("DynamoDB TransactWriteItems: {}", kind(&error)));
        match error.as_service_error() {
            Some(TransactWriteItemsError::TransactionCanceledException(cancelled)) => {
                let codes: Vec<&str> =
                    cancelled.cancellation_reasons().iter().map(|r| r.code().unwrap_or("None")).collect();
                let failed = |range: &[&str]| range.contains(&"ConditionalCheckFailed");
                let (of_records, of_audit) = codes.split_at(records.min(codes.len()));
                match () {
                    () if failed(of_records) => Ok(Written::RecordChanged),
                    () if failed(of_audit) || codes.contains(&"TransactionConflict") => Ok(Written::Again),
                    () => Err(fault()),
                }
            }
            Some(TransactWriteItemsError::TransactionInProgressException(_)) => Ok(Written::Again),
            _ => Err(fault()),
        }
    }

    /// Writes down that something was refused.
    async fn note_refusal(&self, command: &Command, refused: &Refused) {
        // What a holder tries in vain stands in the log. In the chain, which has one end, many could hold up everybody.
        let is_holder = matches!(self.actor.authority, Authority::Holder(_));
        if is_holder || matches!(refused.refusal, Refusal::NotFound) || is_reading(command) {
            return;
        }
        let tenant = match &self.actor.authority {
            // Nobody writes into another's chain by being refused there.
            Authority::Tenant(own) => Some(own.clone()),
            Authority::Operator | Authority::Holder(_) => None,
        };
        let Ok(keyring) = self.gate.keyring.get(self.now).await else { return };
        let client_id = match &self.actor.authority {
            Authority::Operator => client_of(command),
            Authority::Tenant(_) | Authority::Holder(_) => None,
        };
        let event = Event {
            subject: client_of(command).filter(|_| client_id.is_none()).map(|id| id.to_string()),
            outcome: EntryOutcome::Refused,
            why: Some(refused.text.clone()),
            ..self.event(command.name(), tenant, client_id.as_ref())
        };
        // Whoever was refused is told so in any case.
        let _ = self.write_surely(&Draft { events: vec![event], ..Draft::default() }, &keyring).await;
    }

    /// An event of this command that was done.
    fn event(&self, action: &str, tenant: Option<TenantId>, client: Option<&ClientId>) -> Event {
        Event {
            tenant,
            action: action.to_owned(),
            client_id: client.cloned(),
            subject: None,
            outcome: EntryOutcome::Done,
            why: None,
            before: None,
            after: None,
        }
    }

    fn matches(&self, given: &Given, version: u64) -> Step<()> {
        match given.if_match {
            Some(wanted) if wanted != version => {
                let text = format!("It is version {version} now. Due: read it again, then change it.");
                Err(Refused { refusal: Refusal::PreconditionFailed, text }.into())
            }
            _ => Ok(()),
        }
    }

    async fn items(&self, keys: Vec<Key>) -> Result<HashMap<Key, Item>, Fault> {
        let mut all = HashMap::new();
        for keys in keys.chunks(MOST_KEYS) {
            all.extend(self.gate.store.reads.items(keys.to_vec()).await?);
        }
        Ok(all)
    }

    async fn one<T: DeserializeOwned>(&self, key: &Key) -> Result<Option<There<T>>, Fault> {
        let items = self.items(vec![key.clone()]).await?;
        there(&items, key)
    }

    /// One page of a partition: items whose sort key begins so, and where to go on.
    async fn page(&self, asked: Page<'_>) -> Step<(Vec<Item>, Option<String>)> {
        let (from, to) = (format!("{}{}", asked.prefix, asked.from), format!("{}{}\u{10ffff}", asked.prefix, asked.to));
        if from > to {
            return Err(Refused::invalid("since: is after until").into());
        }
        let mut query = self
            .gate
            .store
            .client
            .query()
            .table_name(&self.gate.store.table)
            .consistent_read(true)
            .scan_index_forward(!asked.backward)
            .limit(i32::from(asked.limit))
            .key_condition_expression("pk = :pk AND sk BETWEEN :from AND :to")
            .expression_attribute_values(":pk", AttributeValue::S(asked.pk.clone()))
            .expression_attribute_values(":from", AttributeValue::S(from.clone()))
            .expression_attribute_values(":to", AttributeValue::S(to.clone()));
        if let Some(cursor) = asked.cursor {
            let sk = self.opened_cursor(&asked.pk, cursor).await?;
            if !sk.starts_with(asked.prefix) || sk < from || sk > to {
                return Err(not_a_cursor().into());
            }
            query = query.set_exclusive_start_key(Some(HashMap::from([
                ("pk".to_owned(), AttributeValue::S(asked.pk.clone())),
                ("sk".to_owned(), AttributeValue::S(sk)),
            ])));
        }
        let page = Box::pin(query.send()).await;
        let page = page.map_err(|e| Fault::new(format!("DynamoDB Query: {}", kind(&e))))?;
        let next = match page.last_evaluated_key.as_ref().and_then(|key| key.get("sk")?.as_s().ok()) {
            Some(sk) => Some(self.sealed_cursor(&asked.pk, sk).await?),
            None => None,
        };
        Ok((page.items.unwrap_or_default(), next))
    }

    /// Where a list goes on, for nobody to read, and good for that list alone.
    async fn sealed_cursor(&self, list: &str, place: &str) -> Result<String, Fault> {
        let keyring = self.gate.keyring.get(self.now).await?;
        let sealed = keyring.sealing.seal(&format!("cursor {list}"), &SecretText::new(place), random()?);
        Ok(sealed.map_err(|_| Fault::new("a cursor cannot be sealed"))?.into_text())
    }

    async fn opened_cursor(&self, list: &str, cursor: &str) -> Step<String> {
        let keyring = self.gate.keyring.get(self.now).await?;
        let opened = keyring.sealing.open(&format!("cursor {list}"), &Sealed::from_text(cursor));
        let place = opened.ok().and_then(|bytes| String::from_utf8(bytes.to_vec()).ok());
        Ok(place.ok_or_else(not_a_cursor)?)
    }
}

fn not_a_cursor() -> Refused {
    Refused::invalid("cursor: not one that this list gave out")
}

/// Which part of a partition.
struct Page<'a> {
    pk: String,
    prefix: &'a str,
    from: &'a str,
    to: &'a str,
    backward: bool,
    limit: u16,
    cursor: Option<&'a str>,
}

impl<'a> Page<'a> {
    fn of(pk: String, prefix: &'a str, cursor: Option<&'a str>, limit: Option<u16>) -> Step<Self> {
        Ok(Self { pk, prefix, from: "", to: "", backward: false, limit: page_size(limit)?, cursor })
    }
}

/// Waits a moment before a change is tried again, longer each time, and not as long as others.
async fn pause(tried: u32) -> Result<(), Fault> {
    if tried > 0 {
        let [random] = random::<1>()?;
        let most = u64::from(tried) * 10;
        tokio::time::sleep(std::time::Duration::from_millis(1 + u64::from(random) % most)).await;
    }
    Ok(())
}

/// Commands that change something without a version to name.
fn has_no_version(command: &Command) -> bool {
    let name = command.name();
    ["setRole", "deleteRole", "setIssuer", "deleteIssuer", "importApi", "revokeToken", "rotateKeyring", "forceKeyring"]
        .contains(&name)
}

fn page_size(limit: Option<u16>) -> Step<u16> {
    match limit.unwrap_or(PAGE) {
        limit @ 1..=MOST_PAGE => Ok(limit),
        _ => Err(Refused::invalid(format!("limit: from 1 to {MOST_PAGE}")).into()),
    }
}

/// An answer that is kept under the name of its request.
#[derive(Serialize, Deserialize)]
struct Answered {
    request: String,
    answer: Sealed,
    good_until: Timestamp,
}

#[derive(Deserialize)]
struct KeptDone {
    view: serde_json::Value,
    secrets: Vec<(String, SecretText)>,
    version: Option<u64>,
    created: bool,
}

fn known_secret(name: &str) -> Option<&'static str> {
    ["client_secret", "signing_secret", "key", "curl"].into_iter().find(|known| *known == name)
}

fn there<T: DeserializeOwned>(items: &HashMap<Key, Item>, key: &Key) -> Result<Option<There<T>>, Fault> {
    items.get(key).map(There::of).transpose()
}

fn is_reading(command: &Command) -> bool {
    let name = command.name();
    ["list", "show", "query", "verify", "diff"].iter().any(|verb| name.starts_with(verb))
}

/// The client that a command is about.
fn client_of(command: &Command) -> Option<ClientId> {
    match command {
        Command::ApproveClient(c) => Some(c.client_id.clone()),
        Command::ChangeClient(c) => Some(c.client_id.clone()),
        Command::SuspendClient(c) => Some(c.client_id.clone()),
        Command::ResumeClient(c) => Some(c.client_id.clone()),
        Command::PromoteClient(c) => Some(c.client_id.clone()),
        Command::DeleteClient(c) => Some(c.client_id.clone()),
        Command::RevokeClientTokens(c) => Some(c.client_id.clone()),
        Command::RotateSecret(c) => Some(c.client_id.clone()),
        Command::CancelSecretRotation(c) => Some(c.client_id.clone()),
        Command::RevokeSecret(c) => Some(c.client_id.clone()),
        Command::RequestGrant(c) => Some(c.client_id.clone()),
        Command::ApproveGrant(c) => Some(c.client_id.clone()),
        Command::ChangeGrant(c) => Some(c.client_id.clone()),
        Command::RevokeGrant(c) => Some(c.client_id.clone()),
        Command::IssueKey(c) => Some(c.client_id.clone()),
        Command::ImportKey(c) => Some(c.client_id.clone()),
        Command::RotateKey(c) => Some(c.client_id.clone()),
        Command::CancelKeyRotation(c) => Some(c.client_id.clone()),
        Command::RevokeKey(c) => Some(c.client_id.clone()),
        _ => None,
    }
}
