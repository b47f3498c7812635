//! The table: reads that decide, and the writes that local and tests share with administration.

use crate::Fault;
use crate::aws::Aws;
use crate::item::{RECORD, json, number, parse, text, written};
use crate::keygen::random;
use crate::keyring::kind;
use crate::keys::{Item, Key, VERSION_COPIES};
use crate::reads::{Read, Reads, Said};
use auth_core::api::{Api, Catalog};
use auth_core::backoff::Attempts;
use auth_core::client_authentication::OneUse;
use auth_core::ids::{ApiName, ClientId, Jti, KeyId, Label, RoleName, Scope, TenantId};
use auth_core::password::StoredPassword;
use auth_core::rate::{Allowance, Lease, Permit};
use auth_core::records::{ApiKey, Client, Customer, Facts, Grant, KeyListing, Registration, Tenant, TrustedIssuer};
use auth_core::secret::{Digest, hex};
use auth_core::time::Timestamp;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue, BillingMode, KeySchemaElement, KeyType, Put, PutRequest, ReturnValue,
    ReturnValuesOnConditionCheckFailure, ScalarAttributeType, TimeToLiveSpecification, TransactWriteItem, WriteRequest,
};
use quick_cache::sync::Cache;
use serde::Serialize;
use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, RwLock};
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::task::{JoinError, JoinSet};

/// How many items and bindings are kept. Bounded, so that made-up names cannot fill the memory.
const KEPT: usize = 10_000;

/// The use of a key is noted once in so many seconds.
const USE_NOTED_SECONDS: i64 = 60;

/// How often the version of the catalog is raised, if others raise it as well.
const BUMP_TRIES: u32 = 8;

/// Milliseconds before each try of a batch that came back in part, half of them more or less.
pub(crate) const BATCH_PAUSES: [u64; 4] = [0, 20, 60, 180];

/// The most that BatchWriteItem takes, and how many of them are under way at once.
const BATCH: usize = 25;
const BATCHES_AT_ONCE: usize = 4;

/// How fresh what is read must be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Freshness {
    /// What was read so many seconds ago still counts.
    pub cache_seconds: i64,
    /// What was read so many seconds ago counts if the table does not answer.
    pub stale_if_error_seconds: i64,
}

/// What is kept of one item: what it says, read once. Absent is something to know as well.
#[derive(Clone)]
pub(crate) enum Kept {
    Absent,
    Client(Arc<Client>),
    Grant(Arc<Grant>),
    Tenant(Arc<Tenant>),
    Customer(Arc<Customer>),
    ApiKey(Arc<ApiKey>),
    There,
    SeenAt(Timestamp),
    Version(u64),
}

/// The table, and what a process keeps of it.
pub struct Store {
    pub(crate) client: aws_sdk_dynamodb::Client,
    pub(crate) table: String,
    pub(crate) reads: Reads,
    freshness: Freshness,
    catalog: RwLock<Option<(u64, Arc<Catalog>)>>,
    loading: Mutex<()>,
    kept: Cache<Key, (Timestamp, Kept)>,
    /// Which client and tenant a key or a client belongs to. That never changes, so one trip can fetch all; what is
    /// fetched is what counts.
    bindings: Cache<String, (ClientId, TenantId)>,
    /// When the use of a key was last noted by this process.
    used: Cache<KeyId, Timestamp>,
    /// What this process has of the permits of subjects.
    leases: Cache<String, Arc<Mutex<Lease>>>,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Store({})", self.table)
    }
}

/// What a decision needs from the table.
#[derive(Debug, Clone, Copy, Default)]
pub struct Wanted<'a> {
    /// The client.
    pub client: Option<&'a ClientId>,
    /// The tenant, and with a client its grant.
    pub tenant: Option<&'a TenantId>,
    /// Whether this token was revoked.
    pub jti: Option<&'a Jti>,
    /// When this token was last used, as well.
    pub last_seen: bool,
    /// The customer of the tenant with this login digest.
    pub login_ref: Option<&'a str>,
    /// The API key.
    pub key: Option<&'a Digest>,
    /// Whether a client is to be proven by it: then nothing that is kept will do, and as much is read without a tenant as
    /// with one, so that how long it takes does not tell which clients this process knows.
    pub proves: bool,
}

/// What the table has.
#[derive(Debug, Clone, Default)]
pub struct Fetched {
    /// The records of the decision.
    pub facts: Facts,
    catalog_version: u64,
}

impl Store {
    /// The table of this name.
    pub fn new(aws: &Aws, table: impl Into<String>, freshness: Freshness) -> Self {
        let (client, table) = (aws.dynamodb(), table.into());
        Self {
            reads: Reads::new(client.clone(), table.clone()),
            client,
            table,
            freshness,
            catalog: RwLock::new(None),
            loading: Mutex::new(()),
            kept: Cache::new(KEPT),
            bindings: Cache::new(KEPT),
            used: Cache::new(KEPT),
            leases: Cache::new(KEPT),
        }
    }

    /// All that a decision needs, in one strongly consistent round trip.
    ///
    /// # Errors
    /// If the table does not answer, or not with what it should hold.
    pub async fn fetch(&self, wanted: Wanted<'_>, now: Timestamp) -> Result<Fetched, Fault> {
        let client = wanted.client.map(Key::client);
        let tenant = wanted.tenant.map(Key::tenant);
        let grant = wanted.client.zip(wanted.tenant).map(|(c, t)| Key::grant(c, t));
        let revoked = wanted.jti.map(Key::revoked);
        let seen = wanted.jti.filter(|_| wanted.last_seen).map(Key::seen);
        let customer = wanted.tenant.zip(wanted.login_ref).map(|(t, l)| Key::customer(t, l));
        let api_key = wanted.key.map(Key::api_key);
        // Any name will do to spread the copies of the version.
        let copy = [&client, &api_key, &tenant].into_iter().flatten().next();
        let copy = copy.map_or(0, |key| key.pk.bytes().fold(0, u8::wrapping_add));
        let version = Key::catalog_version(copy);

        let read: [(&Option<Key>, Read); 6] = [
            (&client, |item| Ok(Kept::Client(Arc::new(parse(&item)?)))),
            (&tenant, |item| Ok(Kept::Tenant(Arc::new(parse(&item)?)))),
            (&grant, |item| Ok(Kept::Grant(Arc::new(parse(&item)?)))),
            // The table's own deletion lags by days, and a revocation outlives its token only by that.
            (&revoked, |_| Ok(Kept::There)),
            (&customer, |item| Ok(Kept::Customer(Arc::new(parse(&item)?)))),
            (&api_key, |item| Ok(Kept::ApiKey(Arc::new(parse(&item)?)))),
        ];
        let version = Some(version);
        let read = read.into_iter().chain([(&version, version_of as Read)]);
        let read: Vec<(&Key, Read)> = read.filter_map(|(key, how)| Some((key.as_ref()?, how))).collect();
        // What is noted is not kept: it would stand still while it is used.
        let nothing = wanted.client.filter(|_| wanted.proves && tenant.is_none()).map(Key::nothing_of);
        let seen = seen.iter().map(|key| (key, seen_at as Read));
        let nothing = nothing.iter().flatten().map(|key| (key, (|_| Ok(Kept::Absent)) as Read));
        let beside: Vec<(&Key, Read)> = seen.chain(nothing).collect();
        let kept = self.read(&read, &beside, wanted.proves || !beside.is_empty(), now).await?;

        let mut fetched = Fetched::default();
        for kept in kept {
            let facts = &mut fetched.facts;
            match kept {
                Kept::Absent => {}
                Kept::Client(client) => facts.client = Some(client),
                Kept::Grant(grant) => facts.grant = Some(grant),
                Kept::Tenant(tenant) => facts.tenant = Some(tenant),
                Kept::Customer(customer) => facts.customer = Some(customer),
                Kept::ApiKey(key) => facts.key = Some(key),
                Kept::There => facts.revoked = true,
                Kept::SeenAt(at) => facts.last_seen = Some(at),
                Kept::Version(version) => fetched.catalog_version = version,
            }
        }
        Ok(fetched)
    }

    /// What these items say, and those beside them, of which nothing is kept. If all of the former is kept and fresh, and
    /// nothing else is wanted, there is no trip.
    async fn read(
        &self,
        read: &[(&Key, Read)],
        beside: &[(&Key, Read)],
        wants_trip: bool,
        now: Timestamp,
    ) -> Result<Vec<Kept>, Fault> {
        let Freshness { cache_seconds, stale_if_error_seconds } = self.freshness;
        let keeps = cache_seconds.max(stale_if_error_seconds) > 0;
        // A clock that went backwards makes an age negative: then what is kept is not used.
        let within = |at: Timestamp, seconds: i64| (0..seconds).contains(&now.since(at));
        let look = |key: &Key| if keeps { self.kept.get(key) } else { None };
        let known: Vec<Option<(Timestamp, Kept)>> = read.iter().map(|(key, _)| look(key)).collect();
        let fresh = |known: &Option<(Timestamp, Kept)>| {
            // Where there is a trip anyway, all is fetched.
            let may = |at: Timestamp| !wants_trip && within(at, cache_seconds);
            known.as_ref().filter(|(at, _)| may(*at)).map(|(_, kept)| kept.clone())
        };
        let mut kept: Vec<Option<Kept>> = known.iter().map(fresh).collect();
        let old = read.iter().zip(&kept).filter(|(_, kept)| kept.is_none()).map(|(read, _)| read);
        let wanted: Vec<(&Key, Read)> = old.chain(beside).copied().collect();
        let mut new = Vec::new().into_iter();
        if !wanted.is_empty() {
            match self.reads.get(&wanted).await {
                Ok(found) => new = found.into_iter(),
                // That is not to be had from anywhere else.
                Err(fault) if wants_trip => return Err(fault),
                Err(fault) => {
                    for (kept, known) in kept.iter_mut().zip(&known).filter(|(kept, _)| kept.is_none()) {
                        let stale = known.as_ref().filter(|(at, _)| within(*at, stale_if_error_seconds));
                        *kept = Some(stale.map(|(_, kept)| kept.clone()).ok_or_else(|| fault.clone())?);
                    }
                }
            }
        }
        let mut all = Vec::with_capacity(read.len() + beside.len());
        for ((key, _), kept) in read.iter().zip(kept) {
            all.push(match kept {
                Some(kept) => kept,
                None => {
                    // A record that cannot be read is there: what was kept before does not stand in for it.
                    let kept = new.next().unwrap_or(Ok(Kept::Absent))?;
                    if keeps {
                        self.kept.insert((*key).clone(), (now, kept.clone()));
                    }
                    kept
                }
            });
        }
        for said in new {
            all.push(said?);
        }
        Ok(all)
    }

    /// All APIs and roles, as this process knows them.
    ///
    /// # Errors
    /// If they are not known yet and the table does not answer.
    pub async fn catalog(&self) -> Result<Arc<Catalog>, Fault> {
        match self.known_catalog() {
            Some((_, catalog)) => Ok(catalog),
            None => Box::pin(self.load_catalog(None)).await,
        }
    }

    /// All APIs and roles, at least as new as the version that was seen with what was fetched.
    ///
    /// # Errors
    /// If they changed and the table does not answer.
    pub async fn catalog_for(&self, fetched: &Fetched) -> Result<Arc<Catalog>, Fault> {
        match self.known_catalog() {
            // What was kept for a while may be of an older version; that is no reason to load again.
            Some((version, catalog)) if version >= fetched.catalog_version => Ok(catalog),
            _ => Box::pin(self.load_catalog(Some(fetched.catalog_version))).await,
        }
    }

    /// All APIs and roles as they are now; one trip, for those who fetch nothing else.
    ///
    /// # Errors
    /// If the table does not answer.
    pub async fn fresh_catalog(&self, now: Timestamp) -> Result<Arc<Catalog>, Fault> {
        self.catalog_for(&self.fetch(Wanted::default(), now).await?).await
    }

    pub(crate) fn known_catalog(&self) -> Option<(u64, Arc<Catalog>)> {
        self.catalog.read().ok()?.clone()
    }

    /// Loads it, unless others have loaded it in the meantime. `seen` is the version that was just read.
    async fn load_catalog(&self, seen: Option<u64>) -> Result<Arc<Catalog>, Fault> {
        let _one_at_a_time = self.loading.lock().await;
        if let Some((version, catalog)) = self.known_catalog()
            && seen.is_none_or(|seen| version >= seen)
        {
            return Ok(catalog);
        }
        // The version first: if it changes in between, what is loaded counts as old and is loaded again.
        let version = match seen {
            Some(version) => version,
            None => self.catalog_version().await?,
        };
        let mut catalog = Catalog::default();
        let mut pages = self
            .client
            .query()
            .table_name(&self.table)
            .consistent_read(true)
            .key_condition_expression("pk = :pk")
            .expression_attribute_values(":pk", AttributeValue::S("CATALOG".into()))
            .into_paginator()
            .items()
            .send();
        while let Some(item) = pages.next().await {
            let item = item.map_err(|e| Fault::new(format!("DynamoDB Query: {}", kind(&e))))?;
            match text(&item, "sk") {
                sk if sk.starts_with("API#") => {
                    let api: Api = parse(&item)?;
                    catalog.apis.insert(api.name.clone(), Arc::new(api));
                }
                sk if sk.starts_with("ROLE#") => {
                    let role: Role = parse(&item)?;
                    catalog.roles.insert(role.name, role.scopes);
                }
                sk if sk.starts_with("ISSUER#") => catalog.issuers.push(parse(&item)?),
                _ => return Err(Fault::new("the catalog holds an item that is neither API nor role nor issuer")),
            }
        }
        let catalog = Arc::new(catalog);
        if let Ok(mut known) = self.catalog.write() {
            *known = Some((version, Arc::clone(&catalog)));
        }
        Ok(catalog)
    }

    pub(crate) async fn catalog_version(&self) -> Result<u64, Fault> {
        match self.reads.get(&[(&Key::catalog_version(0), version_of)]).await?.pop() {
            Some(Ok(Kept::Version(version))) => Ok(version),
            Some(Err(fault)) => Err(fault),
            _ => Ok(0),
        }
    }

    /// What a key or a client was last known to belong to.
    pub(crate) fn binding(&self, name: &str) -> Option<(ClientId, TenantId)> {
        self.bindings.get(name)
    }

    pub(crate) fn bind(&self, name: &str, client: &ClientId, tenant: &TenantId) {
        self.bindings.insert(name.to_owned(), (client.clone(), tenant.clone()));
    }

    pub(crate) fn unbind(&self, name: &str) {
        self.bindings.remove(name);
    }

    /// Notes that a token was used, for APIs with an idle life. `expires_at` is the token's.
    ///
    /// # Errors
    /// If the table does not answer.
    pub async fn note_seen(&self, jti: &Jti, now: Timestamp, expires_at: Timestamp) -> Result<(), Fault> {
        let mut item = Key::seen(jti).into_item();
        item.insert("at".into(), AttributeValue::N(now.0.to_string()));
        self.put_until(item, expires_at).await
    }

    /// Notes that an API key was used, at most once a minute over all processes; for lists alone.
    ///
    /// # Errors
    /// If the table does not answer.
    pub async fn note_used(&self, digest: &Digest, now: Timestamp) -> Result<(), Fault> {
        let mut item = Key::used(digest).into_item();
        item.insert("at".into(), AttributeValue::N(now.0.to_string()));
        let put = self.client.put_item().table_name(&self.table).set_item(Some(item));
        let put = put.condition_expression("attribute_not_exists(pk) OR #at < :before");
        let put = put.expression_attribute_names("#at", "at");
        let before = now.plus(-USE_NOTED_SECONDS).0.to_string();
        match Box::pin(put.expression_attribute_values(":before", AttributeValue::N(before)).send()).await {
            Ok(_) => Ok(()),
            Err(error) if error.as_service_error().is_some_and(PutItemError::is_conditional_check_failed_exception) => {
                Ok(())
            }
            Err(error) => Err(Fault::new(format!("DynamoDB PutItem: {}", kind(&error)))),
        }
    }

    /// Whether the use of a key is to be noted: this process has not done so for a minute.
    pub(crate) fn is_use_unnoted(&self, key: &KeyId, now: Timestamp) -> bool {
        let noted = self.used.get(key).is_some_and(|at| (0..USE_NOTED_SECONDS).contains(&now.since(at)));
        if !noted {
            self.used.insert(key.clone(), now);
        }
        !noted
    }

    /// Revokes one token until it would have expired.
    ///
    /// # Errors
    /// If the table does not answer.
    pub async fn revoke_token(&self, jti: &Jti, expires_at: Timestamp) -> Result<(), Fault> {
        self.put_until(Key::revoked(jti).into_item(), expires_at).await
    }

    /// Spends the one use of an assertion; `false` if somebody else has. A write that was repeated because its answer was
    /// lost is known by a mark of its own.
    ///
    /// # Errors
    /// If the table does not answer.
    pub async fn spend(&self, once: &OneUse) -> Result<bool, Fault> {
        let mut item = Key::assertion(&once.name).into_item();
        item.insert("mark".into(), AttributeValue::S(hex(&random::<16>()?)));
        // The table's own deletion lags, so nothing that may still be good is forgotten by it.
        item.insert("ttl".into(), AttributeValue::N(once.until.plus(86_400).0.to_string()));
        Ok(self.add_item(item).await? != Added::Other)
    }

    /// Counts an attempt of each of these, and says how many there are now in their windows. `by` is 1, or -1 for one
    /// that turned out not to have failed.
    ///
    /// # Errors
    /// If the table does not answer.
    pub async fn count_attempts(&self, attempts: &[Attempts], by: i8, now: Timestamp) -> Result<Vec<i64>, Fault> {
        let mut counts = Vec::with_capacity(attempts.len());
        for attempts in attempts {
            let update = self
                .client
                .update_item()
                .table_name(&self.table)
                .set_key(Some(Key::failures(attempts, now).into_item()))
                .update_expression("ADD failures :by SET #ttl = :ttl")
                .expression_attribute_names("#ttl", "ttl")
                .expression_attribute_values(":by", AttributeValue::N(by.to_string()))
                .expression_attribute_values(":ttl", AttributeValue::N(attempts.ends_at(now).0.to_string()))
                .return_values(ReturnValue::AllNew);
            let counted = Box::pin(update.send()).await;
            let counted = counted.map_err(|e| Fault::new(format!("DynamoDB UpdateItem: {}", kind(&e))))?;
            counts.push(counted.attributes.and_then(|item| number(&item, "failures")).unwrap_or(0));
        }
        Ok(counts)
    }

    /// Uses a permit of a subject, which stands for a kind of requests and whose they are; `false` if there is none before
    /// the window ends. Most requests find one here; the table is asked once for a block of them.
    ///
    /// # Errors
    /// If the table is asked and does not answer.
    pub(crate) async fn permits(&self, subject: &str, allowance: Allowance, now: Timestamp) -> Result<bool, Fault> {
        let lease = kept_or_new(&self.leases, subject);
        // Whoever comes while a block is taken waits for that.
        let mut lease = lease.lock().await;
        loop {
            match lease.use_one(allowance, now) {
                Permit::Given => return Ok(true),
                Permit::Spent => return Ok(false),
                Permit::ToBeTaken => {
                    let taken = self.take_permits(subject, allowance, now).await?;
                    lease.note(taken, allowance, now);
                }
            }
        }
    }

    async fn take_permits(&self, subject: &str, allowance: Allowance, now: Timestamp) -> Result<bool, Fault> {
        let number = |n: i64| AttributeValue::N(n.to_string());
        let update = self
            .client
            .update_item()
            .table_name(&self.table)
            .set_key(Some(Key::permits(subject, allowance.window(now)).into_item()))
            .update_expression("ADD taken :block SET #ttl = :ttl")
            .condition_expression("attribute_not_exists(taken) OR taken <= :rest")
            .expression_attribute_names("#ttl", "ttl")
            .expression_attribute_values(":block", number(allowance.block()))
            .expression_attribute_values(":rest", number(allowance.most - allowance.block()))
            .expression_attribute_values(":ttl", number(allowance.ends_at(now).plus(86_400).0));
        match Box::pin(update.send()).await {
            Ok(_) => Ok(true),
            Err(error) => match error.as_service_error() {
                Some(UpdateItemError::ConditionalCheckFailedException(_)) => Ok(false),
                _ => Err(Fault::new(format!("DynamoDB UpdateItem: {}", kind(&error)))),
            },
        }
    }

    /// Writes what is of no use a day after some time, clocks and leeway included: the table deletes it then.
    async fn put_until(&self, mut item: Item, time: Timestamp) -> Result<(), Fault> {
        item.insert("ttl".into(), AttributeValue::N(time.plus(86_400).0.to_string()));
        let put = self.client.put_item().table_name(&self.table).set_item(Some(item));
        Box::pin(put.send()).await.map(|_| ()).map_err(|e| Fault::new(format!("DynamoDB PutItem: {}", kind(&e))))
    }

    /// Makes the table, as the template does on AWS, if it is not there. For the local product and for tests.
    ///
    /// # Errors
    /// If the engine does not answer.
    pub async fn ensure_table(&self) -> Result<(), Fault> {
        let built = |e| Fault::new(format!("DynamoDB CreateTable: {e}"));
        let attribute = |name: &str| {
            AttributeDefinition::builder().attribute_name(name).attribute_type(ScalarAttributeType::S).build()
        };
        let key = |name: &str, key_type| KeySchemaElement::builder().attribute_name(name).key_type(key_type).build();
        let created = self
            .client
            .create_table()
            .table_name(&self.table)
            .billing_mode(BillingMode::PayPerRequest)
            .attribute_definitions(attribute("pk").map_err(built)?)
            .attribute_definitions(attribute("sk").map_err(built)?)
            .key_schema(key("pk", KeyType::Hash).map_err(built)?)
            .key_schema(key("sk", KeyType::Range).map_err(built)?)
            .send()
            .await;
        if let Err(error) = created {
            let there = error.as_service_error().is_some_and(|e| e.is_resource_in_use_exception());
            return if there { Ok(()) } else { Err(Fault::new(format!("DynamoDB CreateTable: {}", kind(&error)))) };
        }
        let ttl = TimeToLiveSpecification::builder().enabled(true).attribute_name("ttl").build().map_err(built)?;
        self.client
            .update_time_to_live()
            .table_name(&self.table)
            .time_to_live_specification(ttl)
            .send()
            .await
            .map(|_| ())
            .map_err(|e| Fault::new(format!("DynamoDB UpdateTimeToLive: {}", kind(&e))))
    }

    /// How the table is made.
    ///
    /// # Errors
    /// If there is none, or it may not be looked at.
    pub async fn look(&self) -> Result<Look, Fault> {
        let described = self.client.describe_table().table_name(&self.table).send().await;
        let described = described.map_err(|e| Fault::new(format!("DynamoDB DescribeTable: {}", kind(&e))))?;
        let table = described.table.ok_or_else(|| Fault::new("DynamoDB DescribeTable: no table"))?;
        let keys: Vec<(&str, &KeyType)> =
            table.key_schema().iter().map(|k| (k.attribute_name(), k.key_type())).collect();
        let keys_are_right = keys == [("pk", &KeyType::Hash), ("sk", &KeyType::Range)];
        let ttl = self.client.describe_time_to_live().table_name(&self.table).send().await;
        let ttl = ttl.map_err(|e| Fault::new(format!("DynamoDB DescribeTimeToLive: {}", kind(&e))))?;
        let expires = ttl.time_to_live_description.is_some_and(|d| d.attribute_name() == Some("ttl"));
        Ok(Look { keys_are_right, expires })
    }

    /// Whether transactions are taken: one is given whose condition never holds. `false` if it was made nevertheless.
    ///
    /// # Errors
    /// If it is not taken.
    pub async fn may_write(&self) -> Result<bool, Fault> {
        let built = |e| Fault::new(format!("DynamoDB TransactWriteItems: {e}"));
        let never = "attribute_exists(pk) AND attribute_not_exists(pk)";
        let item = Key::audit_head("doctor").into_item();
        let put = Put::builder().table_name(&self.table).set_item(Some(item)).condition_expression(never);
        let items = vec![TransactWriteItem::builder().put(put.build().map_err(built)?).build()];
        match Box::pin(self.client.transact_write_items().set_transact_items(Some(items)).send()).await {
            Ok(_) => Ok(false),
            Err(error) if error.as_service_error().is_some_and(|e| e.is_transaction_canceled_exception()) => Ok(true),
            Err(error) => Err(Fault::new(format!("DynamoDB TransactWriteItems: {}", kind(&error)))),
        }
    }

    /// Replaces the hash of a password that moved in by one of ours, unless anything of the customer was changed in between.
    ///
    /// # Errors
    /// If the table does not answer.
    pub async fn renew_password(&self, was: &Customer, login_ref: &str, new: StoredPassword) -> Result<(), Fault> {
        let renewed = Customer { password: new, ..was.clone() };
        let update = self
            .client
            .update_item()
            .table_name(&self.table)
            .set_key(Some(Key::customer(&was.tenant, login_ref).into_item()))
            .update_expression("SET #record = :new")
            .condition_expression("#record = :was")
            .expression_attribute_names("#record", RECORD)
            .expression_attribute_values(":new", AttributeValue::S(json(&renewed)?))
            .expression_attribute_values(":was", AttributeValue::S(json(was)?));
        match Box::pin(update.send()).await {
            Ok(_) => Ok(()),
            Err(error) if error.as_service_error().is_some_and(|e| e.is_conditional_check_failed_exception()) => Ok(()),
            Err(error) => Err(Fault::new(format!("DynamoDB UpdateItem: {}", kind(&error)))),
        }
    }

    /// Writes records as they are, in batches; for seeding. `progress` is told how many are written.
    ///
    /// # Errors
    /// If a record cannot be written.
    pub async fn load(&self, records: Vec<Record>, mut progress: impl FnMut(usize)) -> Result<(), Fault> {
        let mut written = 0;
        let mut under_way: JoinSet<Result<usize, Fault>> = JoinSet::new();
        for batch in records.chunks(BATCH) {
            if under_way.len() >= BATCHES_AT_ONCE {
                written += joined(under_way.join_next().await)?;
                progress(written);
            }
            let mut requests = Vec::with_capacity(batch.len());
            for record in batch {
                let put = PutRequest::builder().set_item(Some(record.item()?)).build();
                let put = put.map_err(|e| Fault::new(format!("DynamoDB BatchWriteItem: {e}")))?;
                requests.push(WriteRequest::builder().put_request(put).build());
            }
            under_way.spawn(write_batch(self.client.clone(), self.table.clone(), requests));
        }
        while !under_way.is_empty() {
            written += joined(under_way.join_next().await)?;
            progress(written);
        }
        Ok(())
    }

    /// Writes a record if there is none under its key.
    ///
    /// # Errors
    /// If the table does not answer.
    pub async fn add(&self, record: &Record) -> Result<Added, Fault> {
        self.add_item(record.item()?).await
    }

    async fn add_item(&self, item: Item) -> Result<Added, Fault> {
        let put = self.client.put_item().table_name(&self.table).set_item(Some(item.clone()));
        let put = put
            .condition_expression("attribute_not_exists(pk)")
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        let Err(error) = Box::pin(put.send()).await else { return Ok(Added::New) };
        match error.as_service_error() {
            Some(PutItemError::ConditionalCheckFailedException(there)) => match there.item() {
                // Or our own write, whose answer was lost.
                Some(there) if *there == item => Ok(Added::Same),
                _ => Ok(Added::Other),
            },
            _ => Err(Fault::new(format!("DynamoDB PutItem: {}", kind(&error)))),
        }
    }

    /// Deletes the APIs that are not among these.
    ///
    /// # Errors
    /// If the table does not answer.
    pub async fn keep_only_apis(&self, names: &[ApiName]) -> Result<(), Fault> {
        let known = Box::pin(self.load_catalog(None)).await?;
        for gone in known.apis.keys().filter(|name| !names.contains(name)) {
            let delete = self.client.delete_item().table_name(&self.table).set_key(Some(Key::api(gone).into_item()));
            let deleted = Box::pin(delete.send()).await;
            deleted.map_err(|e| Fault::new(format!("DynamoDB DeleteItem: {}", kind(&e))))?;
        }
        Ok(())
    }

    /// Tells all processes that APIs or roles changed: all copies of the version become one higher, or none does.
    ///
    /// # Errors
    /// If the table does not answer.
    pub async fn bump_catalog(&self) -> Result<(), Fault> {
        let built = |e| Fault::new(format!("DynamoDB TransactWriteItems: {e}"));
        for _ in 0..BUMP_TRIES {
            let version = self.catalog_version().await?;
            let mut items = Vec::new();
            for (copy, item) in catalog_versions(version.saturating_add(1)).enumerate() {
                let mut put = Put::builder().table_name(&self.table).set_item(Some(item));
                // Two at once must not come to the same version: a process that knows the first would not see the second.
                if copy == 0 && version == 0 {
                    put = put.condition_expression("attribute_not_exists(pk)");
                } else if copy == 0 {
                    put = put.condition_expression("version = :version");
                    put = put.expression_attribute_values(":version", AttributeValue::N(version.to_string()));
                }
                items.push(TransactWriteItem::builder().put(put.build().map_err(built)?).build());
            }
            let written = Box::pin(self.client.transact_write_items().set_transact_items(Some(items)).send()).await;
            match written {
                Ok(_) => return Ok(()),
                Err(error) if error.as_service_error().is_some_and(|e| e.is_transaction_canceled_exception()) => {}
                Err(error) => return Err(Fault::new(format!("DynamoDB TransactWriteItems: {}", kind(&error)))),
            }
        }
        Err(Fault::new("DynamoDB TransactWriteItems: the catalog changed again and again"))
    }
}

/// What is kept of a name; the default, if it is new.
pub(crate) fn kept_or_new<T: Default>(kept: &Cache<String, Arc<T>>, name: &str) -> Arc<T> {
    let made = kept.get_or_insert_with(name, || Ok::<_, Infallible>(Arc::default()));
    made.unwrap_or_else(|never| match never {})
}

/// All copies of a version of the catalog.
pub(crate) fn catalog_versions(version: u64) -> impl Iterator<Item = Item> {
    (0..VERSION_COPIES).map(move |copy| {
        let mut item = Key::catalog_version(copy).into_item();
        item.insert("version".into(), AttributeValue::N(version.to_string()));
        item
    })
}

/// Waits for half to one and a half of so many milliseconds: not all try again at once that were turned away at once.
pub(crate) async fn wait_about(pause: u64) -> Result<(), Fault> {
    if pause > 0 {
        let [jitter] = random()?;
        tokio::time::sleep(Duration::from_millis(pause * (128 + u64::from(jitter)) / 256)).await;
    }
    Ok(())
}

async fn write_batch(
    client: aws_sdk_dynamodb::Client,
    table: String,
    requests: Vec<WriteRequest>,
) -> Result<usize, Fault> {
    let count = requests.len();
    let mut rest = HashMap::from([(table, requests)]);
    for pause in BATCH_PAUSES {
        wait_about(pause).await?;
        let answer = client.batch_write_item().set_request_items(Some(rest)).send().await;
        let answer = answer.map_err(|e| Fault::new(format!("DynamoDB BatchWriteItem: {}", kind(&e))))?;
        rest = answer.unprocessed_items.unwrap_or_default();
        if rest.is_empty() {
            return Ok(count);
        }
    }
    Err(Fault::new("DynamoDB BatchWriteItem: came back in part again and again"))
}

fn joined(done: Option<Result<Result<usize, Fault>, JoinError>>) -> Result<usize, Fault> {
    match done {
        None => Ok(0),
        Some(Ok(result)) => result,
        Some(Err(_)) => Err(Fault::new("a batch was not written to its end")),
    }
}

#[derive(Serialize, serde::Deserialize)]
struct Role {
    name: RoleName,
    scopes: Vec<Scope>,
}

/// How a table is made.
#[derive(Debug, Clone, Copy)]
pub struct Look {
    /// `pk` and `sk`.
    pub keys_are_right: bool,
    /// Items whose time has passed are deleted.
    pub expires: bool,
}

/// What became of a record that was to be added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Added {
    /// It was written.
    New,
    /// The very same is there.
    Same,
    /// Another is there, and stays.
    Other,
}

/// A record to write.
#[derive(Debug, Clone)]
pub enum Record {
    /// A client.
    Client(Box<Client>),
    /// A grant.
    Grant(Grant),
    /// A tenant.
    Tenant(Tenant),
    /// An API key, under its digest.
    ApiKey(Digest, ApiKey),
    /// A customer, under the digest of its login name.
    Customer(Digest, Customer),
    /// An API.
    Api(Box<Api>),
    /// A role and its scopes.
    Role(RoleName, Vec<Scope>),
    /// An issuer of workload tokens.
    Issuer(TrustedIssuer),
    /// That a client acts for a tenant, for lists.
    ClientOfTenant(TenantId, ClientId),
    /// Who asked for a client.
    Registration(Box<Registration>),
    /// What lists say of an API key.
    KeyListing(Box<KeyListing>),
    /// That there is a client, for lists.
    ListedClient(ClientId),
    /// That there is a tenant, and what people call it, for lists.
    ListedTenant(TenantId, Option<Label>),
}

impl Record {
    /// What it is, for people and for the audit.
    pub fn name(&self) -> String {
        match self {
            Self::Api(api) => format!("API {}", api.name),
            Self::Role(name, _) => format!("role {name}"),
            Self::Issuer(issuer) => format!("issuer {}", issuer.name),
            other => other.key().sk.into(),
        }
    }

    /// Where it stands.
    pub(crate) fn key(&self) -> Key {
        match self {
            Self::Client(client) => Key::client(&client.client_id),
            Self::Grant(grant) => Key::grant(&grant.client_id, &grant.tenant),
            Self::Tenant(tenant) => Key::tenant(&tenant.id),
            Self::ApiKey(digest, _) => Key::api_key(digest),
            Self::Customer(digest, customer) => Key::customer(&customer.tenant, digest.as_str()),
            Self::Api(api) => Key::api(&api.name),
            Self::Role(name, _) => Key::role(name),
            Self::Issuer(issuer) => Key::issuer(&issuer.name),
            Self::ClientOfTenant(tenant, client) => Key::client_of_tenant(tenant, client),
            Self::Registration(registration) => Key::registration(&registration.client_id),
            Self::KeyListing(listing) => Key::key_listing(&listing.client_id, &listing.key_id),
            Self::ListedClient(client) => Key::listed_client(client),
            Self::ListedTenant(tenant, _) => Key::listed_tenant(tenant),
        }
    }

    pub(crate) fn item(&self) -> Result<Item, Fault> {
        let mut item = match self {
            Self::Client(client) => written(client),
            Self::Grant(grant) => written(grant),
            Self::Tenant(tenant) => written(tenant),
            Self::ApiKey(_, key) => written(key),
            Self::Customer(_, customer) => written(customer),
            Self::Api(api) => written(api),
            Self::Issuer(issuer) => written(issuer),
            Self::Role(name, scopes) => written(&Role { name: name.clone(), scopes: scopes.clone() }),
            Self::ClientOfTenant(tenant, client) => {
                written(&Pair { tenant: tenant.clone(), client_id: client.clone() })
            }
            Self::Registration(registration) => written(registration),
            Self::KeyListing(listing) => written(listing),
            Self::ListedClient(client) => written(&Listed { id: client.to_string(), name: None }),
            Self::ListedTenant(tenant, name) => written(&Listed { id: tenant.to_string(), name: name.clone() }),
        }?;
        item.extend(self.key().into_item());
        Ok(item)
    }
}

/// A line of a list.
#[derive(Serialize, serde::Deserialize)]
pub(crate) struct Listed {
    pub(crate) id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<Label>,
}

/// That a client has to do with a tenant.
#[derive(Serialize, serde::Deserialize)]
pub(crate) struct Pair {
    pub(crate) tenant: TenantId,
    pub(crate) client_id: ClientId,
}

fn version_of(item: Item) -> Said {
    let version = number(&item, "version").unwrap_or_default();
    Ok(Kept::Version(u64::try_from(version).unwrap_or_default()))
}

fn seen_at(item: Item) -> Said {
    Ok(number(&item, "at").map_or(Kept::Absent, |at| Kept::SeenAt(Timestamp(at))))
}
