//! Administration against a DynamoDB, with the time as an argument: what overlaps dies by itself, and whatever is lost on
//! the way, a change is whole or not there. On the embedded engine and on moto's.

use crate::engines::Engine;
use crate::proxy::{Loss, Proxy};
use auth_core::admin::command::Command;
use auth_core::admin::{Actor, Authority, Done, Refused};
use auth_core::audit::AuditLine;
use auth_core::client_authentication::UnverifiedClient;
use auth_core::ids::ClientId;
use auth_core::secret::SecretText;
use auth_core::time::Timestamp;
use auth_store::Fault;
use auth_store::aws::Aws;
use auth_store::client_proof::Asking;
use auth_store::gate::Gate;
use auth_store::office::{Given, Office, Once};
use auth_store::store::{Freshness, Store};
use serde_json::{Value, json};

const NOW: Timestamp = Timestamp(1_800_000_000);
const HOUR: i64 = 3600;

/// A deployment of its own on an engine.
struct Place {
    aws: Aws,
    gate: Gate,
}

impl Place {
    async fn new(engine: &Engine, table: &str, secret: &str) -> Self {
        let aws = engine.aws();
        let store = Store::new(&aws, format!("{table}-{}", std::process::id()), Freshness::default());
        store.ensure_table().await.unwrap();
        Self { gate: Gate { store, ..engine.gate(secret) }, aws }
    }

    async fn try_give(
        &self,
        name: &str,
        fields: Value,
        once: Option<&str>,
        at: Timestamp,
    ) -> Result<Result<Done, Refused>, Fault> {
        let actor = Actor {
            authority: Authority::Operator,
            name: "operator".into(),
            client_id: None,
            scopes: None,
            on_behalf_of: None,
            via: "cli",
            request_id: "r".into(),
        };
        let once = once.map(|name| Once { name: name.to_owned(), request: SecretText::new(fields.to_string()) });
        let given = Given { once, ..Given::default() };
        let office = Office::new(&self.gate, &self.aws, actor, at, None);
        office.execute(Command::read(name, fields).unwrap().unwrap(), given).await
    }

    async fn give(&self, name: &str, fields: Value, at: Timestamp) -> Done {
        self.try_give(name, fields, None, at).await.unwrap().unwrap_or_else(|refused| panic!("{name}: {refused}"))
    }

    /// Whether a secret proves the client at a time.
    async fn proves(&self, client: &str, secret: &SecretText, at: Timestamp) -> bool {
        let keyring = self.gate.keyring.get(at).await.unwrap();
        let claimed = UnverifiedClient::Secret(vec![(client.parse::<ClientId>().unwrap(), secret.clone())]);
        let asking = Asking { tenant: None, address: "192.0.2.1", audiences: &[] };
        let mut line = AuditLine::new("token", at, "r");
        self.gate.prove_client(&keyring, &claimed, asking, at, &mut line).await.unwrap().is_ok()
    }

    async fn is_whole(&self, tenant: Option<&str>) -> bool {
        let fields = tenant.map_or(json!({}), |tenant| json!({ "tenant": tenant }));
        self.give("verifyAudit", fields, NOW).await.view["state"] == "whole"
    }
}

fn secret_of(done: &Done) -> SecretText {
    done.secrets.iter().find(|(name, _)| *name == "client_secret").expect("a secret").1.clone()
}

/// A tenant, and a partner of it that is in use; its first secret.
async fn in_use(place: &Place, id: &str) -> SecretText {
    let _ = place.try_give("provisionTenant", json!({"tenant": "acme"}), None, NOW).await.unwrap();
    let contact = json!({"name": "Ann", "email": "ann@parts.example"});
    let register =
        json!({"tenant": "acme", "client_id": id, "name": id, "contacts": {"business": contact, "technical": contact}});
    place.give("registerClient", register, NOW).await;
    place.give("approveGrant", json!({"tenant": "acme", "client_id": id}), NOW).await;
    secret_of(&place.give("approveClient", json!({"client_id": id}), NOW).await)
}

async fn the_old_secret_dies_by_itself(engine: &Engine, secret: &str) {
    let place = Place::new(engine, "overlap", secret).await;
    let old = in_use(&place, "c1").await;
    let new = secret_of(&place.give("rotateSecret", json!({"client_id": "c1", "overlap_seconds": HOUR}), NOW).await);
    for (sentence, at, want) in [
        ("in the overlap both are good", NOW.plus(HOUR - 1), (true, true)),
        ("at its end the old one is not", NOW.plus(HOUR), (false, true)),
        ("nor later", NOW.plus(100 * HOUR), (false, true)),
    ] {
        assert_eq!(
            (place.proves("c1", &old, at).await, place.proves("c1", &new, at).await),
            want,
            "{}: {sentence}",
            engine.name
        );
    }
    let third = place.try_give("rotateSecret", json!({"client_id": "c1"}), None, NOW.plus(1)).await.unwrap();
    assert!(third.is_err(), "two are live at most");
    place.give("rotateSecret", json!({"client_id": "c1"}), NOW.plus(HOUR)).await;
    assert!(place.is_whole(None).await && place.is_whole(Some("acme")).await);
    // The other entries of the day, newest first, by pages.
    let mut seen = 0;
    let mut cursor = Value::Null;
    loop {
        let mut asked = json!({"limit": 2, "since": NOW.to_rfc3339()});
        if cursor.is_string() {
            asked["cursor"] = cursor;
        }
        let page = place.give("queryAudit", asked, NOW.plus(2 * HOUR)).await.view;
        seen += page["entries"].as_array().unwrap().len();
        cursor = page["next_cursor"].clone();
        if cursor.is_null() {
            break;
        }
    }
    assert_eq!(seen, 7, "{}: six that were done, and one that was refused", engine.name);
}

#[tokio::test]
async fn overlaps_on_the_embedded_dynamodb() {
    let engine = Engine::embedded();
    the_old_secret_dies_by_itself(&engine, "countersign/keyring").await;
}

#[tokio::test]
#[ignore = "needs moto: tests/engines/run"]
async fn overlaps_on_motos_dynamodb() {
    let engine = Engine::moto();
    let keyring = auth_store::keygen::new_keyring(NOW).unwrap();
    let secret = engine.create_secret("office", &keyring.to_text()).await;
    the_old_secret_dies_by_itself(&engine, &secret).await;
}

#[tokio::test]
async fn whatever_is_lost_a_change_is_whole_or_not_there() {
    let engine = Engine::embedded();
    let place = Place::new(&engine, "faults", "countersign/keyring").await;
    let proxy = Proxy::start(&engine.dynamodb).await;
    let through = engine.with_dynamodb(&proxy.url);
    let faulty = Place::new(&through, "faults", "countersign/keyring").await;
    faulty.gate.keyring.get(NOW).await.unwrap();
    let mut lost = 0;
    for loss in [Loss::Call, Loss::Answer, Loss::OneAnswer] {
        for calls in 0..12 {
            let id = format!("{}-{calls}", format!("{loss:?}").to_lowercase());
            let first = in_use(&place, &id).await;
            let rotate = json!({"client_id": id, "overlap_seconds": HOUR});
            let name = format!("rotate {id}");
            proxy.fail_after(Some((calls, loss)));
            let tried = faulty.try_give("rotateSecret", rotate.clone(), Some(&name), NOW).await;
            if !proxy.fail_after(None) {
                // All of its calls were served: there are no more to lose.
                assert!(tried.unwrap().is_ok());
                break;
            }
            lost += 1;
            let tried = tried.ok().map(|done| secret_of(&done.expect("a fault is not a refusal")));
            // Whoever lost the answer asks again by the same name: the same secret, and no other.
            let again = place.try_give("rotateSecret", rotate.clone(), Some(&name), NOW.plus(1)).await.unwrap();
            let again = secret_of(&again.unwrap_or_else(|refused| panic!("{id}: {refused}")));
            assert!(tried.is_none_or(|tried| tried.expose() == again.expose()), "{id}: one secret");
            assert!(
                place.proves(&id, &first, NOW.plus(2)).await && place.proves(&id, &again, NOW.plus(2)).await,
                "{id}"
            );
            let shown = place.give("showClient", json!({"client_id": id}), NOW.plus(2)).await.view;
            assert_eq!(shown["secrets"].as_array().unwrap().len(), 2, "{id}: {shown}");
            assert!(place.is_whole(Some("acme")).await, "{id}");
            let entries =
                place.give("queryTenantAudit", json!({"tenant": "acme", "client_id": id}), NOW.plus(2)).await.view;
            let rotations =
                entries["entries"].as_array().unwrap().iter().filter(|e| e["action"] == "rotateSecret").count();
            assert_eq!(rotations, 1, "{id}: one entry for one change");
        }
    }
    assert!(lost > 9, "{lost} losses");
}
