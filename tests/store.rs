//! The store against a DynamoDB: the embedded engine, and moto's. The two are known to differ in consumed capacity,
//! `UPDATED_NEW`, client tokens of transactions and unused expression values; the store needs none of these.

use crate::engines::Engine;
use crate::proxy::{Loss, Proxy, Spoilt};
use auth_core::api::Api;
use auth_core::backoff::{Attempts, CLIENTS_BY_NAME};
use auth_core::ids::{ApiName, ClientId, Jti, Scope, TenantId};
use auth_core::password::StoredPassword;
use auth_core::records::{ActiveState, Customer};
use auth_core::secret::{Digest, DigestOf, Pepper, SecretText};
use auth_core::time::Timestamp;
use auth_store::Fault;
use auth_store::store::{Added, Fetched, Freshness, Record, Store, Wanted};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::task::JoinSet;

const NOW: Timestamp = Timestamp(1_800_000_000);

fn parse<T: DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}

fn client(id: &str) -> Record {
    Record::Client(Box::new(parse(json!({"client_id": id, "kind": "single_tenant", "tenant": "acme",
        "environment": "test", "state": "active", "internal": false, "grant_types": ["client_credentials"],
        "secrets": [], "requires_user_login": false, "apis": ["one"], "roles": [], "tokens_not_before": null}))))
}

fn tenant(apis: &[&str]) -> Record {
    Record::Tenant(parse(json!({"id": "acme", "apis": apis, "state": "active"})))
}

fn grant(client: &str, scope: &str) -> Record {
    Record::Grant(parse(json!({"client_id": client, "tenant": "acme", "state": "approved", "scopes": [scope],
        "roles": [], "skus": [], "suppliers": []})))
}

fn api(name: &str) -> Record {
    Record::Api(Box::new(Api {
        name: name.parse().unwrap(),
        audience: format!("https://{name}.example"),
        url: None,
        document: "d".into(),
        token: Default::default(),
        operations: Vec::new(),
    }))
}

struct Subject {
    store: Store,
    client: ClientId,
    tenant: TenantId,
}

impl Subject {
    async fn new(engine: &Engine, table: &str, freshness: Freshness) -> Self {
        let store = Store::new(&engine.aws(), format!("{table}-{}", std::process::id()), freshness);
        store.ensure_table().await.unwrap();
        Self { store, client: "c1".parse().unwrap(), tenant: "acme".parse().unwrap() }
    }

    async fn fetch(&self, now: Timestamp) -> Fetched {
        let wanted = Wanted { client: Some(&self.client), tenant: Some(&self.tenant), ..Wanted::default() };
        self.store.fetch(wanted, now).await.unwrap()
    }
}

async fn what_is_written_is_read_at_once(engine: &Engine) {
    let subject = Subject::new(engine, "records", Freshness::default()).await;
    let store = &subject.store;
    store.ensure_table().await.expect("a table that is there is no error");
    let nothing = subject.fetch(NOW).await;
    assert!(nothing.facts.client.is_none() && nothing.facts.grant.is_none() && nothing.facts.tenant.is_none());

    let digest = Digest::of(&Pepper::new(&[1; 32]), DigestOf::Username("acme"), "ann");
    let key = json!({"key_id": "key-1", "client_id": "c1", "tenant": "acme", "apis": ["one"], "environment": "test",
        "state": "active"});
    let mut records =
        vec![client("c1"), tenant(&["one"]), grant("c1", "a:read"), Record::ApiKey(digest.clone(), parse(key))];
    // More than the engine takes at once, several times over.
    records.extend((0..130).map(|n| grant(&format!("other-{n}"), "a:read")));
    let (total, mut told) = (records.len(), 0);
    store.load(records, |written| told = written).await.unwrap();
    assert_eq!(told, total);
    let facts = subject.fetch(NOW).await.facts;
    assert_eq!(facts.client.unwrap().client_id, subject.client);
    assert_eq!(facts.tenant.unwrap().id, subject.tenant);
    assert_eq!(facts.grant.unwrap().scopes[0].as_str(), "a:read");
    let found = store.fetch(Wanted { key: Some(&digest), ..Wanted::default() }, NOW).await.unwrap();
    assert_eq!(found.facts.key.unwrap().key_id.as_str(), "key-1");
    let last: ClientId = "other-129".parse().unwrap();
    let wanted = Wanted { client: Some(&last), tenant: Some(&subject.tenant), ..Wanted::default() };
    assert!(store.fetch(wanted, NOW).await.unwrap().facts.grant.is_some());

    // What is there is not written over.
    assert_eq!(store.add(&grant("c1", "b:write")).await.unwrap(), Added::Other);
    assert_eq!(store.add(&grant("c2", "b:write")).await.unwrap(), Added::New);
    assert_eq!(store.add(&grant("c2", "b:write")).await.unwrap(), Added::Same);
    assert_eq!(subject.fetch(NOW).await.facts.grant.unwrap().scopes[0].as_str(), "a:read");
}

async fn a_password_is_renewed_unless_its_customer_was_changed(engine: &Engine) {
    let subject = Subject::new(engine, "customers", Freshness::default()).await;
    let login = Digest::of(&Pepper::new(&[1; 32]), DigestOf::Username("acme"), "ann");
    let text = |text: &str| SecretText::new(text);
    let moved_in =
        StoredPassword::import(&text("$2b$04$abcdefghijklmnopqrstuuT9S6wXbOpCQ4t9xgG0L2nE0sFqJ6Y7m")).unwrap();
    let customer: Customer = parse(json!({"tenant": "acme", "customer_id": "k-1", "password": moved_in,
        "scopes": ["a:read"], "state": "active"}));
    let disabled = Customer { state: ActiveState::Disabled, ..customer.clone() };
    for (sentence, there, renewed) in [("as it was read", &customer, true), ("disabled since", &disabled, false)] {
        let record = Record::Customer(login.clone(), there.clone());
        subject.store.load(vec![record], |_| ()).await.unwrap();
        let new = StoredPassword::hash(&text("correct horse"), [7; 16]).unwrap();
        subject.store.renew_password(&customer, login.as_str(), new).await.unwrap();
        let wanted = Wanted { tenant: Some(&subject.tenant), login_ref: Some(login.as_str()), ..Wanted::default() };
        let found = subject.store.fetch(wanted, NOW).await.unwrap().facts.customer.unwrap();
        assert_eq!((found.password.is_imported(), found.state), (!renewed, there.state), "{sentence}");
    }
}

async fn tokens_are_revoked_and_seen(engine: &Engine) {
    let subject = Subject::new(engine, "tokens", Freshness::default()).await;
    let (one, other): (Jti, Jti) = ("a".repeat(32).parse().unwrap(), "b".repeat(32).parse().unwrap());
    let state = async |jti: &Jti| {
        let wanted = Wanted { jti: Some(jti), last_seen: true, ..Wanted::default() };
        let facts = subject.store.fetch(wanted, NOW).await.unwrap().facts;
        (facts.revoked, facts.last_seen)
    };
    assert_eq!(state(&one).await, (false, None));
    subject.store.note_seen(&one, NOW, NOW.plus(60)).await.unwrap();
    subject.store.note_seen(&one, NOW.plus(5), NOW.plus(60)).await.unwrap();
    assert_eq!(state(&one).await, (false, Some(NOW.plus(5))));
    subject.store.revoke_token(&one, NOW.plus(60)).await.unwrap();
    subject.store.revoke_token(&one, NOW.plus(60)).await.expect("twice is once");
    assert_eq!((state(&one).await, state(&other).await), ((true, Some(NOW.plus(5))), (false, None)));
}

async fn every_failure_is_counted(engine: &Engine) {
    let subject = Subject::new(engine, "counts", Freshness::default()).await;
    let attempts = [Attempts::new(CLIENTS_BY_NAME, "somebody"), Attempts::new(CLIENTS_BY_NAME, "another")];
    let many: Vec<_> = (0..10).map(|_| subject.store.count_attempts(&attempts, 1, NOW)).collect();
    let mut highest = 0;
    // Side by side, as sandboxes do.
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..10 {
        let (aws, table) = (engine.aws(), format!("counts-{}", std::process::id()));
        let attempts = attempts.clone();
        tasks.spawn(async move {
            let store = Store::new(&aws, table, Freshness::default());
            store.count_attempts(&attempts, 1, NOW).await.unwrap()[0]
        });
        // moto loses one of two updates at once, now and then.
        if engine.name == "moto" {
            highest = highest.max(tasks.join_next().await.unwrap().unwrap());
        }
    }
    for counted in many {
        highest = highest.max(counted.await.unwrap()[0]);
    }
    while let Some(count) = tasks.join_next().await {
        highest = highest.max(count.unwrap());
    }
    assert_eq!(highest, 20, "{}: none is lost, and whoever is last sees all", engine.name);
    assert_eq!(subject.store.count_attempts(&attempts[..1], -1, NOW).await.unwrap(), [19]);
    let next_window = NOW.plus(CLIENTS_BY_NAME.window_seconds);
    assert_eq!(subject.store.count_attempts(&attempts, 1, next_window).await.unwrap(), [1, 1]);
}

async fn a_changed_catalog_counts_on_the_next_fetch(engine: &Engine) {
    let subject = Subject::new(engine, "catalog", Freshness::default()).await;
    let other = Subject::new(engine, "catalog", Freshness::default()).await;
    let names = async |subject: &Subject| -> Vec<String> {
        let fetched = subject.fetch(NOW).await;
        let catalog = subject.store.catalog_for(&fetched).await.unwrap();
        catalog.apis.keys().map(ToString::to_string).collect()
    };
    let role = Record::Role("clerk".parse().unwrap(), vec!["a:read".parse().unwrap()]);
    subject.store.load(vec![api("one"), api("two"), role], |_| {}).await.unwrap();
    subject.store.bump_catalog().await.unwrap();
    assert_eq!(names(&subject).await, ["one", "two"]);
    assert_eq!(names(&other).await, ["one", "two"]);
    subject.store.load(vec![api("three")], |_| {}).await.unwrap();
    assert_eq!(names(&other).await, ["one", "two"], "until it is told");
    subject.store.bump_catalog().await.unwrap();
    assert_eq!(names(&other).await, ["one", "three", "two"]);
    let kept: [ApiName; 1] = ["three".parse().unwrap()];
    subject.store.keep_only_apis(&kept).await.unwrap();
    subject.store.bump_catalog().await.unwrap();
    assert_eq!(names(&other).await, ["three"]);
    let catalog = other.store.catalog().await.unwrap();
    assert_eq!(catalog.roles.len(), 1, "roles stay");
}

async fn a_catalog_of_several_pages_is_read_whole(engine: &Engine) {
    // An answer of Query ends at 1 MB.
    let subject = Subject::new(engine, "pages", Freshness::default()).await;
    let scopes: Vec<Scope> = (0..4000).map(|n| format!("a-scope-of-some-length-{n}:read").parse().unwrap()).collect();
    for n in 0..12 {
        let role = Record::Role(format!("role-{n}").parse().unwrap(), scopes.clone());
        subject.store.load(vec![role], |_| {}).await.unwrap();
    }
    assert_eq!(subject.store.catalog().await.unwrap().roles.len(), 12);
}

async fn kept_answers_are_as_old_as_they_may_be(engine: &Engine) {
    let proxy = Proxy::start(&engine.dynamodb).await;
    let through = engine.with_dynamodb(&proxy.url);
    let freshness = Freshness { cache_seconds: 10, stale_if_error_seconds: 60 };
    let kept = Subject::new(&through, "kept", freshness).await;
    let writer = Subject::new(engine, "kept", Freshness::default()).await;
    writer.store.load(vec![client("c1"), tenant(&["one"]), grant("c1", "a:read")], |_| {}).await.unwrap();
    let scope = |fetched: Fetched| fetched.facts.grant.unwrap().scopes[0].to_string();
    assert_eq!(scope(kept.fetch(NOW).await), "a:read");
    writer.store.load(vec![grant("c1", "b:write")], |_| {}).await.unwrap();
    let rows = [
        ("kept, so old", NOW, "a:read"),
        ("for ten seconds", NOW.plus(9), "a:read"),
        ("and no longer", NOW.plus(10), "b:write"),
    ];
    for (why, now, expected) in rows {
        assert_eq!(scope(kept.fetch(now).await), expected, "{why}");
    }
    // The table is away: what was read ten seconds in still counts, for a minute.
    proxy.fail_after(Some((0, Loss::Call)));
    let wanted = Wanted { client: Some(&kept.client), tenant: Some(&kept.tenant), ..Wanted::default() };
    let at = async |seconds: i64| kept.store.fetch(wanted, NOW.plus(seconds)).await.map(scope).ok();
    assert_eq!(at(69).await.as_deref(), Some("b:write"));
    assert_eq!(at(70).await, None);
    proxy.fail_after(None);
    assert_eq!(at(70).await.as_deref(), Some("b:write"), "and it is read again as soon as it is back");
    proxy.spoil(Some((1, Spoilt::Bare)));
    assert_eq!(at(90).await, None, "a record that cannot be read is there: what was kept does not stand in for it");
    // Nobody is proven by what is kept, however young it is.
    let proof = Wanted { proves: true, ..wanted };
    writer.store.load(vec![grant("c1", "c:prove")], |_| {}).await.unwrap();
    assert_eq!(at(71).await.as_deref(), Some("b:write"), "kept for a second");
    assert_eq!(scope(kept.store.fetch(proof, NOW.plus(71)).await.unwrap()), "c:prove");
    proxy.fail_after(Some((0, Loss::Call)));
    assert!(kept.store.fetch(proof, NOW.plus(71)).await.is_err(), "nor while the table is away");
    proxy.fail_after(None);
    let fresh = Subject::new(&through, "kept", Freshness::default()).await;
    proxy.fail_after(Some((0, Loss::Call)));
    assert!(fresh.store.fetch(wanted, NOW).await.is_err(), "with the default settings, never");
    proxy.fail_after(None);
}

/// What each of these clients is granted for the tenant, all asked at once.
async fn granted_at_once(store: &Arc<Store>, names: &[String]) -> JoinSet<(String, Result<Option<String>, Fault>)> {
    let mut asked = JoinSet::new();
    for name in names {
        let (store, name) = (Arc::clone(store), name.clone());
        asked.spawn(async move {
            let (client, tenant) = (name.parse().unwrap(), "acme".parse().unwrap());
            let wanted = Wanted { client: Some(&client), tenant: Some(&tenant), ..Wanted::default() };
            let scope = |fetched: Fetched| fetched.facts.grant.map(|grant| grant.scopes[0].to_string());
            let granted = store.fetch(wanted, NOW).await.map(scope);
            (name, granted)
        });
    }
    // Now each has begun.
    tokio::task::yield_now().await;
    asked
}

async fn reads_of_one_moment_travel_together(engine: &Engine) {
    let proxy = Proxy::start(&engine.dynamodb).await;
    let writer = Subject::new(engine, "together", Freshness::default()).await;
    let names: Vec<String> = (0..60).map(|n| format!("c{n}")).collect();
    let grants = names.iter().skip(1).map(|name| grant(name, &format!("{name}:read")));
    let records = names.iter().map(|name| client(name)).chain(grants).chain([tenant(&["one"])]).collect();
    writer.store.load(records, |_| {}).await.unwrap();
    let store = Arc::new(Subject::new(&engine.with_dynamodb(&proxy.url), "together", Freshness::default()).await.store);
    let throttled = Spoilt::Refused(400, "ProvisionedThroughputExceededException");
    let rows = [
        ("one goes first; of the others as many share a call as it takes keys", None, 4..=59),
        (
            "of what a call is to read for many nothing is looked at: each reads alone",
            Some(Spoilt::NotLookedAt),
            60..=200,
        ),
        ("a call for many is refused, thrice: each reads alone", Some(throttled), 60..=200),
        ("it breaks off", Some(Spoilt::Half), 60..=200),
    ];
    for (why, spoilt, calls) in rows {
        proxy.take_calls();
        proxy.spoil_of_many(spoilt);
        for (name, scope) in granted_at_once(&store, &names).await.join_all().await {
            let own = Some(format!("{name}:read")).filter(|_| name != "c0");
            assert_eq!(scope, Ok(own), "{why}: {name}");
        }
        let made = proxy.take_calls().len();
        assert!(calls.contains(&made), "{why}: {made} calls");
    }
    proxy.spoil_of_many(None);
    // The first hangs, and one of those who then read alone: of the others nobody waits for that.
    proxy.take_calls();
    proxy.spoil(Some((2, Spoilt::Silence)));
    for (name, scope) in granted_at_once(&store, &names[..5]).await.join_all().await {
        assert_eq!(scope.is_ok_and(|scope| scope.is_some()), name != "c0", "beside two that hang: {name}");
    }
    assert!(proxy.take_calls().len() >= 2 + 3 + 2, "two that hang, three alone, and the two once more");
    // Those who are read for go away, and the one that goes first before them: nobody else waits for them.
    let mut asked = granted_at_once(&store, &names).await;
    let (mut gone, mut told) = (0, 0);
    asked.abort_all();
    let others = granted_at_once(&store, &names).await;
    while let Some(ended) = asked.join_next().await {
        gone += usize::from(ended.is_err());
    }
    for (name, scope) in others.join_all().await {
        told += usize::from(scope.is_ok_and(|scope| scope.is_some() || name == "c0"));
    }
    assert_eq!((gone, told), (60, 60), "all of those that went away, and all of the others");
    // Whatever is under way: what was written before a read is in it.
    let busy = tokio::spawn({
        let (store, names) = (Arc::clone(&store), names.clone());
        async move {
            loop {
                granted_at_once(&store, &names).await.join_all().await;
            }
        }
    });
    for n in 0..40 {
        let scope = format!("at:{n}");
        writer.store.load(vec![grant("c0", &scope)], |_| {}).await.unwrap();
        let (_, granted) = granted_at_once(&store, &names[..1]).await.join_all().await.remove(0);
        assert_eq!(granted, Ok(Some(scope)), "what was just written");
    }
    busy.abort();
}

async fn everything(engine: &Engine) {
    what_is_written_is_read_at_once(engine).await;
    a_password_is_renewed_unless_its_customer_was_changed(engine).await;
    tokens_are_revoked_and_seen(engine).await;
    every_failure_is_counted(engine).await;
    a_changed_catalog_counts_on_the_next_fetch(engine).await;
    kept_answers_are_as_old_as_they_may_be(engine).await;
    reads_of_one_moment_travel_together(engine).await;
}

#[tokio::test]
async fn the_store_on_the_embedded_dynamodb() {
    let engine = Engine::embedded();
    everything(&engine).await;
    // Not on moto, which takes longer over such an answer than the store waits for one.
    a_catalog_of_several_pages_is_read_whole(&engine).await;
}

#[tokio::test]
#[ignore = "needs moto: tests/engines/run"]
async fn the_store_on_motos_dynamodb() {
    everything(&Engine::moto()).await;
}
