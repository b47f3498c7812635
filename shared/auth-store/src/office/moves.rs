//! Many records at once: moving in with existing credentials, and out again.

use super::{Draft, Expect, Office, Step, Stop, Write};
use crate::Fault;
use crate::item::{parse, text};
use crate::keyring::kind;
use crate::keys::{Item, Key, VERSION_COPIES};
use crate::store::Record;
use auth_core::admin::chain::Event;
use auth_core::admin::{clients, grants, keys};
use auth_core::ids::{ClientKind, Label, RoleName, Scope, TenantId};
use auth_core::keyring::Keyring;
use auth_core::password::StoredPassword;
use auth_core::records::{ApiKey, Client, Customer, Grant, KeyListing, Registration, Tenant, TrustedIssuer};
use auth_core::secret::{Digest, SecretText};
use auth_core::time::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap, HashSet};

/// A transaction takes so many items, the audit included.
const MOST_ITEMS: usize = 96;

/// Records that come together: the first says whether they are there already.
#[derive(Debug, Clone)]
pub struct Row {
    /// What it is, for people and for the audit.
    pub name: String,
    /// The records.
    pub records: Vec<Record>,
    /// The tenant in whose chain it is noted.
    tenant: Option<TenantId>,
    /// How it is; no secrets.
    view: Value,
}

/// What became of rows.
#[derive(Debug, Default, Clone)]
pub struct Moved {
    /// Written, or that would be.
    pub added: usize,
    /// Were there, and the same.
    pub same: usize,
    /// Were there, and others: they stay as they are.
    pub other: Vec<String>,
}

impl Row {
    /// A tenant.
    pub fn tenant(tenant: Tenant, name: Option<Label>) -> Self {
        let id = tenant.id.clone();
        let view = json!({"tenant": id, "apis": tenant.apis, "state": tenant.state});
        let records = vec![Record::Tenant(tenant), Record::ListedTenant(id.clone(), name)];
        Self { name: format!("tenant {id}"), records, tenant: Some(id), view }
    }

    /// A client, and who asked for it.
    pub fn client(client: Client, registration: Option<Registration>) -> Self {
        let id = client.client_id.clone();
        let tenant = client.tenant.clone();
        let view = clients::view(&client, registration.as_ref(), Timestamp(0));
        let mut records = vec![Record::Client(Box::new(client)), Record::ListedClient(id.clone())];
        records.extend(registration.map(|r| Record::Registration(Box::new(r))));
        Self { name: format!("client {id}"), records, tenant, view }
    }

    /// An issuer of workload tokens.
    pub fn issuer(issuer: TrustedIssuer) -> Self {
        let name = format!("issuer {}", issuer.name);
        let view = json!(issuer);
        Self { name, view, records: vec![Record::Issuer(issuer)], tenant: None }
    }

    /// A grant.
    pub fn grant(grant: Grant) -> Self {
        let view = grants::view(&grant);
        let tenant = Some(grant.tenant.clone());
        let listed = Record::ClientOfTenant(grant.tenant.clone(), grant.client_id.clone());
        let name = format!("grant of {} to {}", grant.tenant, grant.client_id);
        Self { name, records: vec![Record::Grant(grant), listed], tenant, view }
    }

    /// A key.
    pub fn key(record: ApiKey, listing: KeyListing) -> Self {
        let name = format!("key {} of {}", record.key_id, record.client_id);
        let tenant = Some(record.tenant.clone());
        let key = keys::Key { record, listing };
        let view = keys::view(&key, None, Timestamp(0));
        let keys::Key { record, listing } = key;
        let records = vec![Record::ApiKey(listing.digest.clone(), record), Record::KeyListing(Box::new(listing))];
        Self { name, records, tenant, view }
    }

    /// A customer, under the digest of the login name.
    pub fn customer(login_ref: Digest, customer: Customer) -> Self {
        let name = format!("customer {} of {}", customer.customer_id, customer.tenant);
        let tenant = Some(customer.tenant.clone());
        let view = json!({"customer_id": customer.customer_id, "scopes": customer.scopes, "state": customer.state});
        Self { name, records: vec![Record::Customer(login_ref, customer)], tenant, view }
    }

    /// A line of an export.
    ///
    /// # Errors
    /// Names the member that is wrong.
    pub fn exported(line: Value, now: Timestamp) -> Result<Self, String> {
        #[derive(Deserialize)]
        #[serde(tag = "type", rename_all = "lowercase", deny_unknown_fields)]
        enum Line {
            Tenant {
                record: Tenant,
                #[serde(default)]
                name: Option<Label>,
            },
            Role {
                role: RoleName,
                scopes: Vec<Scope>,
            },
            Issuer {
                record: TrustedIssuer,
            },
            Client {
                record: Box<Client>,
                #[serde(default)]
                registration: Option<Registration>,
            },
            Grant {
                record: Grant,
            },
            Key {
                digest: Digest,
                record: ApiKey,
                #[serde(default)]
                listing: Option<KeyListing>,
            },
            Customer {
                login_ref: Digest,
                record: Customer,
            },
        }
        let line: Line =
            serde_json::from_value(line).map_err(|e| auth_core::admin::command::without_value(&e.to_string()))?;
        Ok(match line {
            Line::Tenant { record, name } => Self::tenant(record, name),
            Line::Role { role, scopes } => Self {
                name: format!("role {role}"),
                view: json!({"role": role, "scopes": scopes}),
                records: vec![Record::Role(role, scopes)],
                tenant: None,
            },
            Line::Issuer { record } => Self::issuer(record),
            Line::Client { record, registration } => {
                let ours = registration.as_ref().is_none_or(|r| r.client_id == record.client_id);
                let two =
                    record.secrets.len() <= 2 && record.self_signing.as_ref().is_none_or(|s| s.secrets.len() <= 2);
                let tied = (record.kind == ClientKind::SingleTenant) == record.tenant.is_some();
                match (ours, two, tied) {
                    (false, ..) => return Err("registration: of another client".into()),
                    (_, false, _) => return Err("secrets: two at most".into()),
                    (.., false) => return Err("tenant: a single_tenant client has one, and no other".into()),
                    _ => Self::client(*record, registration),
                }
            }
            Line::Grant { record } => Self::grant(record),
            Line::Key { digest, record, listing } => {
                let listing = listing.unwrap_or_else(|| keys::listing(&record, digest.clone(), None, None, now));
                let is_its = listing.key_id == record.key_id && listing.client_id == record.client_id;
                if !is_its || listing.digest != digest {
                    return Err("listing: of another key".into());
                }
                Self::key(record, listing)
            }
            Line::Customer { login_ref, record } => {
                let hash = SecretText::new(record.password.as_stored());
                if StoredPassword::import(&hash).is_none() {
                    return Err("record.password: no hash that is taken".into());
                }
                Self::customer(login_ref, record)
            }
        })
    }

    fn holds_catalog(&self) -> bool {
        self.records.iter().any(|record| matches!(record, Record::Role(..) | Record::Issuer(_) | Record::Api(_)))
    }
}

impl Office<'_> {
    /// Writes down that these were written by other means: all of a seed's APIs and roles are replaced in one go.
    ///
    /// # Errors
    /// If the table does not answer.
    pub async fn note(&self, action: &str, names: Vec<String>) -> Result<(), Fault> {
        let keyring = self.gate.keyring.get(self.now).await?;
        let event = Event { after: Some(json!({ "written": names })), ..self.event(action, None, None) };
        match self.write_surely(&Draft { events: vec![event], ..Draft::default() }, &keyring).await {
            Ok(()) => Ok(()),
            Err(Stop::Broken(fault)) => Err(fault),
            Err(Stop::Refused(refused)) => Err(Fault::new(refused.text)),
        }
    }

    /// Writes rows that are not there yet, many in one transaction, each transaction with its entry of audit. What is
    /// there already stays as it is.
    ///
    /// # Errors
    /// A fault of ours. Rows before it may be written; the same rows can be given again.
    pub async fn import(&self, rows: Vec<Row>, dry_run: bool) -> Result<Moved, Fault> {
        let keyring = self.gate.keyring.get(self.now).await?;
        let mut moved = Moved::default();
        let mut batch: Vec<Row> = Vec::new();
        for row in rows {
            batch.push(row);
            if items(&batch) > MOST_ITEMS {
                let last = batch.pop();
                self.import_batch(std::mem::take(&mut batch), dry_run, &keyring, &mut moved).await?;
                batch.extend(last);
            }
        }
        self.import_batch(batch, dry_run, &keyring, &mut moved).await?;
        Ok(moved)
    }

    async fn import_batch(
        &self,
        rows: Vec<Row>,
        dry_run: bool,
        keyring: &Keyring,
        moved: &mut Moved,
    ) -> Result<(), Fault> {
        // A batch names no key twice.
        let keys: HashSet<Key> = rows.iter().filter_map(|row| row.records.first()).map(Record::key).collect();
        let there = self.items(keys.into_iter().collect()).await?;
        let mut new: Vec<Row> = Vec::new();
        let mut taken: HashSet<Key> = HashSet::new();
        for row in rows {
            let Some(first) = row.records.first() else { continue };
            match there.get(&first.key()) {
                None if row.records.iter().any(|record| taken.contains(&record.key())) => moved.other.push(row.name),
                None => {
                    taken.extend(row.records.iter().map(Record::key));
                    new.push(row);
                }
                Some(item) if is_same(item, &first.item()?) => moved.same += 1,
                Some(_) => moved.other.push(row.name),
            }
        }
        if dry_run || new.is_empty() {
            moved.added += new.len();
            return Ok(());
        }
        match self.write_rows(&new, keyring).await {
            Ok(()) => moved.added += new.len(),
            // Somebody else was at one of them: the others are written by themselves.
            Err(Stop::Refused(_)) => {
                for row in new {
                    match self.write_rows(std::slice::from_ref(&row), keyring).await {
                        Ok(()) => moved.added += 1,
                        Err(Stop::Refused(_)) => moved.other.push(row.name),
                        Err(Stop::Broken(fault)) => return Err(fault),
                    }
                }
            }
            Err(Stop::Broken(fault)) => return Err(fault),
        }
        Ok(())
    }

    async fn write_rows(&self, rows: &[Row], keyring: &Keyring) -> Step<()> {
        let mut draft = Draft::default();
        for record in rows.iter().flat_map(|row| &row.records) {
            let is_line =
                matches!(record, Record::ListedClient(_) | Record::ListedTenant(..) | Record::ClientOfTenant(..));
            let expect = if is_line { Expect::Any } else { Expect::Absent };
            draft.writes.push(Write { item: record.item()?, expect });
        }
        if rows.iter().any(Row::holds_catalog) {
            draft.change_catalog(self.gate.store.catalog_version().await?, Vec::new());
        }
        let mut by_tenant: BTreeMap<Option<&TenantId>, Vec<Value>> = BTreeMap::new();
        for row in rows {
            let line = json!({"what": row.name, "is": row.view});
            by_tenant.entry(row.tenant.as_ref()).or_default().push(line);
        }
        for (tenant, lines) in by_tenant {
            let event = self.event("import", tenant.cloned(), None);
            draft.events.push(Event { after: Some(json!({ "imported": lines })), ..event });
        }
        match self.write_surely(&draft, keyring).await {
            Err(Stop::Refused(refused)) if refused.text.starts_with("Too many") => {
                Err(Fault::new("DynamoDB TransactWriteItems: too many changes at the same time").into())
            }
            other => other,
        }
    }

    /// One page of everything that can move: lines that [`Row::exported`] reads, and where to go on.
    ///
    /// # Errors
    /// If the table does not answer, or holds something that is no record.
    pub async fn export(&self, cursor: Option<Exported>) -> Result<(Vec<Value>, Option<Exported>), Fault> {
        let scan = self.gate.store.client.scan().table_name(&self.gate.store.table).consistent_read(true);
        let scan = scan.set_exclusive_start_key(cursor.map(|c| c.0));
        let page = Box::pin(scan.send()).await;
        let page = page.map_err(|e| Fault::new(format!("DynamoDB Scan: {}", kind(&e))))?;
        let items = page.items.unwrap_or_default();
        let beside = self.items(items.iter().filter_map(beside).collect()).await?;
        let mut lines = Vec::new();
        for item in &items {
            lines.extend(line(item, &beside)?);
        }
        Ok((lines, page.last_evaluated_key.map(Exported)))
    }
}

/// How many items a transaction of these rows has: the records, for each chain an entry, its pointer and the head, and
/// the copies of the catalog's version.
fn items(rows: &[Row]) -> usize {
    let chains: HashSet<Option<&TenantId>> = rows.iter().map(|row| row.tenant.as_ref()).collect();
    let catalog = if rows.iter().any(Row::holds_catalog) { usize::from(VERSION_COPIES) } else { 0 };
    rows.iter().map(|row| row.records.len()).sum::<usize>() + 3 * chains.len() + catalog
}

/// Where an export goes on.
#[derive(Debug, Clone)]
pub struct Exported(Item);

fn is_same(there: &Item, new: &Item) -> bool {
    parse::<Value>(there).ok() == parse(new).ok()
}

/// The record that goes into the same line.
fn beside(item: &Item) -> Option<Key> {
    match (text(item, "pk").split_once('#')?, text(item, "sk")) {
        (("CLIENT", id), "CLIENT") => Some(Key::registration(&id.parse().ok()?)),
        (("KEY", _), "KEY") => {
            let key: ApiKey = parse(item).ok()?;
            Some(Key::key_listing(&key.client_id, &key.key_id))
        }
        (("TENANT", id), "TENANT") => Some(Key::listed_tenant(&id.parse().ok()?)),
        _ => None,
    }
}

fn line(item: &Item, others: &HashMap<Key, Item>) -> Result<Option<Value>, Fault> {
    let (pk, sk) = (text(item, "pk"), text(item, "sk"));
    let (kind, name) = pk.split_once('#').unwrap_or((pk, ""));
    let other = beside(item).and_then(|key| others.get(&key));
    let with = |mut line: Value, member: &str, value: Option<Value>| {
        if let (Some(members), Some(value)) = (line.as_object_mut(), value) {
            members.insert(member.to_owned(), value);
        }
        line
    };
    let record = parse::<Value>;
    let other_record = other.map(record).transpose()?;
    Ok(match (kind, sk) {
        ("TENANT", "TENANT") => {
            let label = other_record.and_then(|listed| listed.get("name").cloned());
            Some(with(json!({"type": "tenant", "record": record(item)?}), "name", label))
        }
        ("CLIENT", "CLIENT") => {
            Some(with(json!({"type": "client", "record": record(item)?}), "registration", other_record))
        }
        ("CLIENT", sk) if sk.starts_with("GRANT#") => Some(json!({"type": "grant", "record": record(item)?})),
        ("KEY", "KEY") => {
            let line = json!({"type": "key", "digest": name, "record": record(item)?});
            Some(with(line, "listing", other_record))
        }
        ("TENANT", sk) => sk
            .strip_prefix("CUSTOMER#")
            .map(|login_ref| {
                record(item).map(|record| json!({"type": "customer", "login_ref": login_ref, "record": record}))
            })
            .transpose()?,
        ("CATALOG", sk) if sk.starts_with("ROLE#") => {
            let role = record(item)?;
            Some(json!({"type": "role", "role": role.get("name"), "scopes": role.get("scopes")}))
        }
        ("CATALOG", sk) if sk.starts_with("ISSUER#") => Some(json!({"type": "issuer", "record": record(item)?})),
        _ => None,
    })
}
