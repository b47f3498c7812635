//! The rules of administration, as tables: what may follow what, and what is good at which time.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test says what is wrong by panicking"
)]

use auth_core::admin::clients::{Equipped, Means};
use auth_core::admin::command::{Command, SecretUse, Which};
use auth_core::admin::keys::{self, Key};
use auth_core::admin::{Actor, Authority, Fresh, Refused, clients, grants, secrets};
use auth_core::api::{Api, Catalog};
use auth_core::ids::{ClientKind, Environment};
use auth_core::keyring::{Keyring, KeyringDocument};
use auth_core::records::{Client, ClientState, Grant, GrantState, KeyLife, Registration};
use auth_core::secret::{Digest, DigestOf, SecretText};
use auth_core::time::Timestamp;
use serde_json::{Value, json};

const NOW: Timestamp = Timestamp(1_800_000_000);
const HOUR: i64 = 3600;

fn fresh(seed: u8) -> Fresh {
    Fresh::new(&[seed; 128])
}

fn keyring() -> Keyring {
    let jwks = json!({"keys": [{"kty": "oct", "alg": "HS256", "kid": "k", "k": "a".repeat(64)}]});
    let document = KeyringDocument::from_jwks(&jwks, [1; 32], [2; 32], NOW).unwrap();
    Keyring::parse(&document.to_text()).unwrap()
}

fn catalog() -> Catalog {
    let operation = |mechanism: &str| {
        json!([{"id": "o", "method": "GET", "path": "/o", "mechanism": mechanism, "scopes": [], "tenant": "token",
            "subject": "partner", "scope_refusal_is_401": false, "guard": false, "media_types": []}])
    };
    let api = |name: &str, mechanism: &str| Api {
        name: name.parse().unwrap(),
        audience: name.into(),
        url: None,
        document: "d".into(),
        token: Default::default(),
        operations: serde_json::from_value(operation(mechanism)).unwrap(),
    };
    let mut catalog = Catalog::default();
    for api in [api("orders", "jwt"), api("supplier", "api_key")] {
        catalog.apis.insert(api.name.clone(), api.into());
    }
    catalog.roles.insert("buyer".parse().unwrap(), vec!["orders:read".parse().unwrap()]);
    catalog
}

fn command(name: &str, fields: Value) -> Command {
    Command::read(name, fields).unwrap().unwrap()
}

fn registration(changes: &[(&str, Value)]) -> Result<Command, String> {
    let contact = json!({"name": "Ann Lee", "email": "ann@parts.example"});
    let mut fields = json!({"name": "Parts ERP", "tenant": "acme", "apis": ["orders"], "scopes": ["orders:read"],
        "suppliers": ["S1"], "contacts": {"business": contact, "technical": contact}});
    for (name, value) in changes {
        let (place, last) =
            name.rsplit_once('.').map_or((String::new(), *name), |(p, l)| (format!("/{}", p.replace('.', "/")), l));
        let object = fields.pointer_mut(&place).unwrap().as_object_mut().unwrap();
        match value {
            Value::String(text) if text == "GONE" => drop(object.remove(last)),
            value => drop(object.insert(last.to_owned(), value.clone())),
        }
    }
    Command::read("registerClient", fields).unwrap()
}

fn register(changes: &[(&str, Value)], authority: &Authority) -> Result<clients::Registered, Refused> {
    let Command::RegisterClient(asked) = registration(changes).map_err(Refused::invalid)? else { panic!() };
    clients::register(asked, authority, Environment::Test, &catalog(), NOW, &fresh(7))
}

#[test]
fn a_registration_names_whom_to_write_to_and_gets_nothing_yet() {
    let made = register(&[], &Authority::Operator).unwrap();
    assert_eq!(made.client.client_id.as_str(), "parts-erp-07070707");
    assert_eq!(made.client.state, ClientState::Pending);
    assert!(made.client.secrets.is_empty() && made.client.apis.is_empty(), "least privilege: nothing until approved");
    assert_eq!(made.grant.unwrap().state, GrantState::Requested);
    assert_eq!(made.registration.sponsor.unwrap().as_str(), "acme");

    let tenant = Authority::Tenant("acme".parse().unwrap());
    type Row<'a> = (&'a str, &'a [(&'a str, Value)], &'a Authority, &'a str);
    let rows: &[Row<'_>] = &[
        ("no business contact", &[("contacts.business", json!("GONE"))], &Authority::Operator, "business"),
        ("no technical contact", &[("contacts.technical", json!("GONE"))], &Authority::Operator, "technical"),
        ("a mail address that is none", &[("contacts.business.email", json!("ann"))], &Authority::Operator, "mail"),
        ("no name", &[("name", json!(""))], &Authority::Operator, "name"),
        (
            "an API that there is not",
            &[("apis", json!(["nothing"]))],
            &Authority::Operator,
            "apis: there is no API nothing",
        ),
        (
            "a role that there is not",
            &[("roles", json!(["boss"]))],
            &Authority::Operator,
            "roles: there is no role boss",
        ),
        ("no tenant", &[("tenant", json!("GONE"))], &Authority::Operator, "tenant"),
        ("a field that there is not", &[("colour", json!("red"))], &Authority::Operator, "colour"),
        ("dynamic without the mark", &[("kind", json!("dynamic_tenant"))], &Authority::Operator, "internal"),
        (
            "multi with a tenant",
            &[("kind", json!("multi_tenant")), ("internal", json!(true))],
            &Authority::Operator,
            "tenant",
        ),
        ("a partner marked internal", &[("internal", json!(true))], &Authority::Operator, "internal"),
        ("a tenant chooses the id", &[("client_id", json!("mine"))], &tenant, "operator"),
        (
            "a tenant asks for a dynamic one",
            &[("kind", json!("dynamic_tenant")), ("internal", json!(true))],
            &tenant,
            "operator",
        ),
        ("a tenant chooses the environment", &[("environment", json!("live"))], &tenant, "operator"),
    ];
    for (sentence, changes, authority, text) in rows {
        let refused = register(changes, authority).unwrap_err();
        assert!(refused.text.contains(text), "{sentence}: {}", refused.text);
    }
    assert!(register(&[], &tenant).is_ok(), "a tenant registers a partner of its own");
}

fn promote(from: &Client, registration: &Registration, seed: u8) -> Result<Equipped, Refused> {
    let (keyring, fresh) = (keyring(), fresh(seed));
    clients::promote(from, false, Some(registration), None, Means { keyring: &keyring, now: NOW, fresh: &fresh })
}

fn in_state(state: ClientState) -> (Client, Registration, Grant) {
    let made = register(&[], &Authority::Operator).unwrap();
    let grant = Grant { state: GrantState::Approved, ..made.grant.unwrap() };
    (Client { state, ..made.client }, made.registration, grant)
}

fn approve(client: Client, registration: Registration, grant: Option<&Grant>) -> Result<Client, Refused> {
    let Command::ApproveClient(asked) = command("approveClient", json!({"client_id": "c"})) else { panic!() };
    let keyring = keyring();
    let approved = clients::approve(
        client,
        Some(registration),
        grant,
        asked,
        &catalog(),
        Means { keyring: &keyring, now: NOW, fresh: &fresh(9) },
    );
    approved.map(|made| {
        assert_eq!(made.secrets.len(), 1, "the secret, once");
        made.client
    })
}

#[test]
fn each_step_follows_the_one_that_is_due() {
    use ClientState::{Active, Deleted, Pending, Suspended};
    type StepOf = fn(ClientState) -> Result<Client, Refused>;
    let steps: [(&str, StepOf, &[ClientState]); 5] = [
        (
            "approve",
            |state| {
                let (c, r, g) = in_state(state);
                approve(c, r, Some(&g))
            },
            &[Pending],
        ),
        ("suspend", |state| clients::suspend(in_state(state).0), &[Active]),
        ("resume", |state| clients::resume(in_state(state).0), &[Suspended]),
        ("delete", |state| clients::delete(in_state(state).0), &[Pending, Active, Suspended]),
        (
            "promote",
            |state| {
                let (client, registration, _) = in_state(state);
                promote(&client, &registration, 3).map(|made| made.client)
            },
            &[Active],
        ),
    ];
    for (step, run, from) in steps {
        for state in [Pending, Active, Suspended, Deleted] {
            match run(state) {
                Ok(_) => assert!(from.contains(&state), "{step} of a {} client", state.as_str()),
                Err(refused) => {
                    assert!(!from.contains(&state), "{step} of a {} client: {refused}", state.as_str());
                    assert!(refused.text.contains(state.as_str()), "{step}: says how it stands: {refused}");
                }
            }
        }
    }
    let (client, registration, grant) = in_state(Pending);
    let rows: [(&str, Option<Grant>, &str); 4] = [
        ("asked for only", Some(Grant { state: GrantState::Requested, ..grant.clone() }), "not approved yet"),
        ("withdrawn", Some(Grant { state: GrantState::Revoked, ..grant.clone() }), "request it again"),
        ("none", None, "has no grant"),
        ("of another tenant", Some(Grant { tenant: "globex".parse().unwrap(), ..grant }), "has no grant"),
    ];
    for (sentence, grant, text) in rows {
        let refused = approve(client.clone(), registration.clone(), grant.as_ref()).unwrap_err();
        assert!(refused.text.contains(text) && refused.text.contains("Due:"), "{sentence}: {refused}");
    }
}

#[test]
fn a_promoted_client_is_another_one_with_credentials_of_its_own() {
    let (client, registration, grant) = in_state(ClientState::Pending);
    let test = approve(client, registration.clone(), Some(&grant)).unwrap();
    let Equipped { client: live, registration: of_live, secrets: made } = promote(&test, &registration, 3).unwrap();
    assert_eq!((live.environment, live.state), (Environment::Live, ClientState::Active));
    assert!(live.client_id != test.client_id && live.apis == test.apis && made.len() == 1);
    assert!(!live.secrets[0].digest.matches(&test.secrets[0].digest));
    assert_eq!(of_live.unwrap().promoted_from, Some(test.client_id.clone()));
    let again = Client { promoted_to: Some(live.client_id.clone()), ..test.clone() };
    for (sentence, from) in [("twice", &again), ("a live one", &live)] {
        assert!(promote(from, &registration, 4).is_err(), "{sentence}");
    }
    let (keyring, fresh) = (keyring(), fresh(4));
    let means = Means { keyring: &keyring, now: NOW, fresh: &fresh };
    assert!(clients::promote(&again, true, Some(&registration), None, means).is_ok(), "once that one was deleted");
    let gone = clients::delete(test).unwrap();
    assert!(gone.secrets.is_empty() && gone.apis.is_empty() && gone.state == ClientState::Deleted);
}

fn with_secret() -> (Client, SecretText) {
    let (mut client, ..) = in_state(ClientState::Active);
    client.secrets = Vec::new();
    client.self_signing = Some(auth_core::records::SelfSigning { secrets: Vec::new(), max_lifetime_seconds: 900 });
    let first = secrets::rotate(&mut client, SecretUse::Client, 0, &keyring(), NOW, &fresh(1)).unwrap();
    secrets::rotate(&mut client, SecretUse::Signing, 0, &keyring(), NOW, &fresh(1)).unwrap();
    (client, first)
}

/// Which of the secrets are good at a time.
fn good(client: &Client, of: &[&SecretText], at: Timestamp) -> Vec<bool> {
    let is_good = |secret: &&SecretText| {
        let digest = Digest::of(&keyring().pepper, DigestOf::ClientSecret(client.client_id.as_str()), secret.expose());
        let live = client.secrets.iter().filter(|s| !s.expires_at.is_some_and(|t| t.has_passed(at)));
        live.into_iter().any(|s| s.digest.matches(&digest))
    };
    of.iter().map(is_good).collect()
}

#[test]
fn a_rotated_secret_overlaps_and_the_old_one_dies_by_itself() {
    let rotate = |client: &mut Client, overlap: i64, now: Timestamp, seed: u8| {
        secrets::rotate(client, SecretUse::Client, overlap, &keyring(), now, &fresh(seed))
    };
    let (mut client, first) = with_secret();
    let second = rotate(&mut client, HOUR, NOW, 2).unwrap();
    let both = [&first, &second];
    assert_eq!(good(&client, &both, NOW.plus(HOUR - 1)), [true, true], "in the overlap");
    assert_eq!(good(&client, &both, NOW.plus(HOUR)), [false, true], "at its end");
    assert!(rotate(&mut client.clone(), HOUR, NOW, 3).is_err(), "two are live at most");
    let third = rotate(&mut client.clone(), HOUR, NOW.plus(HOUR), 3);
    assert!(third.is_ok(), "once the old one is dead");

    let mut cancelled = client.clone();
    secrets::cancel(&mut cancelled, SecretUse::Client, NOW.plus(1)).unwrap();
    assert_eq!(good(&cancelled, &both, NOW.plus(100 * HOUR)), [true, false], "cancelled: as it was");
    assert!(secrets::cancel(&mut cancelled, SecretUse::Client, NOW.plus(1)).is_err(), "nothing to cancel");
    assert!(secrets::cancel(&mut client.clone(), SecretUse::Client, NOW.plus(HOUR)).is_err(), "the old one is dead");

    let mut cut = client.clone();
    secrets::revoke(&mut cut, SecretUse::Client, Which::Old, NOW.plus(1)).unwrap();
    assert_eq!(good(&cut, &both, NOW.plus(1)), [false, true], "cut short");
    assert!(secrets::revoke(&mut cut, SecretUse::Client, Which::Old, NOW.plus(1)).is_err(), "none is old");
    secrets::revoke(&mut cut, SecretUse::Client, Which::All, NOW.plus(1)).unwrap();
    assert_eq!(good(&cut, &both, NOW.plus(1)), [false, false], "all");

    // One that had an end of its own gets that back, and no other.
    let (mut ending, _) = with_secret();
    ending.secrets[0].expires_at = Some(NOW.plus(10 * HOUR));
    rotate(&mut ending, HOUR, NOW, 2).unwrap();
    secrets::cancel(&mut ending, SecretUse::Client, NOW.plus(1)).unwrap();
    assert_eq!(ending.secrets[0].expires_at, Some(NOW.plus(10 * HOUR)));

    let (mut at_once, first) = with_secret();
    let second = rotate(&mut at_once, 0, NOW, 2).unwrap();
    assert_eq!(good(&at_once, &[&first, &second], NOW), [false, true], "without an overlap");
    for overlap in [-1, 31 * 86_400] {
        assert!(rotate(&mut at_once.clone(), overlap, NOW, 2).is_err(), "an overlap of {overlap} s");
    }
    // The same of secrets that partners sign with.
    let (mut signing, _) = with_secret();
    secrets::rotate(&mut signing, SecretUse::Signing, HOUR, &keyring(), NOW, &fresh(2)).unwrap();
    let ends: Vec<Option<Timestamp>> = signing.self_signing.unwrap().secrets.iter().map(|s| s.expires_at).collect();
    assert_eq!(ends, [None, Some(NOW.plus(HOUR))]);
}

fn key(seed: u8) -> Key {
    let client = Client { apis: vec!["supplier".parse().unwrap()], ..in_state(ClientState::Active).0 };
    let Command::IssueKey(asked) = command("issueKey", json!({"client_id": "c"})) else { panic!() };
    let place = keys::place(&client, None, None, &catalog()).unwrap();
    let grant = in_state(ClientState::Active).2;
    keys::issue(asked, &client, place, Some(&grant), &keyring(), NOW, &fresh(seed)).unwrap().0
}

#[test]
fn a_rotated_key_overlaps_and_the_old_one_dies_by_itself() {
    let client = in_state(ClientState::Active).0;
    type Others<'a> = (Option<&'a Key>, Option<&'a Key>);
    let rotate = |old: Key, replaced: Others<'_>, now: Timestamp, seed: u8| {
        keys::rotate(old, replaced, &client, HOUR, &keyring(), now, &fresh(seed))
    };
    let first = key(1);
    let (old, new, secret) = rotate(first.clone(), (None, None), NOW, 2).unwrap();
    assert!(secret.expose().starts_with("ak_test_") && secret.expose().len() == 48);
    let live = |old: &Key, new: &Key, at| [old.is_live(at), new.is_live(at)];
    assert_eq!(live(&old, &new, NOW.plus(HOUR - 1)), [true, true]);
    assert_eq!(live(&old, &new, NOW.plus(HOUR)), [false, true]);
    assert!(rotate(old.clone(), (None, Some(&new)), NOW, 3).is_err(), "it is being replaced");
    assert!(rotate(new.clone(), (Some(&old), None), NOW, 3).is_err(), "two are live at most");
    assert!(rotate(new.clone(), (Some(&old), None), NOW.plus(HOUR), 3).is_ok(), "once the old one is dead");
    assert!(rotate(old.clone(), (None, None), NOW.plus(2 * HOUR), 3).is_err(), "a dead key");

    let (back, gone) = keys::cancel(old.clone(), new.clone(), NOW.plus(1)).unwrap();
    assert_eq!(live(&back, &gone, NOW.plus(100 * HOUR)), [true, false], "cancelled: as it was");
    assert!(keys::cancel(back, gone, NOW.plus(1)).is_err(), "nothing to cancel");
    assert!(keys::cancel(old.clone(), new.clone(), NOW.plus(HOUR)).is_err(), "the old one is dead");
    // The new one leaked and was revoked: the old one can be rotated once more, or kept after all.
    let leaked = keys::revoke(new.clone(), None).unwrap();
    let (_, third, _) = rotate(old.clone(), (None, Some(&leaked)), NOW.plus(1), 4).unwrap();
    assert!(third.is_live(NOW.plus(1)));
    let (kept, _) = keys::cancel(old.clone(), leaked, NOW.plus(1)).unwrap();
    assert!(kept.is_live(NOW.plus(100 * HOUR)), "as it was");
    let cut = keys::revoke(old, None).unwrap();
    assert_eq!(live(&cut, &new, NOW.plus(1)), [false, true], "cut short");
    assert!(keys::revoke(cut, None).is_err(), "twice");
}

#[test]
fn a_key_is_for_a_client_in_use_at_a_tenant_that_consents() {
    let issue = |state: ClientState, fields: Value, grant: Option<GrantState>| -> Result<Key, Refused> {
        let client = Client { apis: vec!["supplier".parse().unwrap()], ..in_state(state).0 };
        let Command::IssueKey(asked) = command("issueKey", fields) else { panic!() };
        let place = keys::place(&client, asked.tenant.clone(), asked.apis.clone(), &catalog())?;
        let grant = grant.map(|state| Grant { state, ..in_state(ClientState::Active).2 });
        keys::issue(asked, &client, place, grant.as_ref(), &keyring(), NOW, &fresh(5)).map(|(key, _)| key)
    };
    let plain = json!({"client_id": "c"});
    let with = |name: &str, value: Value| json!({"client_id": "c", name: value});
    let approved = Some(GrantState::Approved);
    let rows: Vec<(&str, Result<Key, Refused>, &str)> = vec![
        ("in use", issue(ClientState::Active, plain.clone(), approved), ""),
        ("pending", issue(ClientState::Pending, plain.clone(), approved), "Due: approve"),
        ("suspended", issue(ClientState::Suspended, plain.clone(), approved), "Due: resume"),
        ("not consented", issue(ClientState::Active, plain.clone(), Some(GrantState::Requested)), "not approved"),
        ("withdrawn", issue(ClientState::Active, plain.clone(), Some(GrantState::Revoked)), "not approved"),
        ("never asked for", issue(ClientState::Active, plain, None), "no grant"),
        ("another tenant", issue(ClientState::Active, with("tenant", json!("globex")), approved), "tenant"),
        (
            "an API that is not assigned",
            issue(ClientState::Active, with("apis", json!(["orders"])), approved),
            "assigned",
        ),
        (
            "expired already",
            issue(ClientState::Active, with("expires_at", json!("2020-01-01T00:00:00Z")), approved),
            "expires_at",
        ),
    ];
    for (sentence, got, text) in rows {
        match got {
            Ok(key) => assert!(text.is_empty() && key.record.state == KeyLife::Active, "{sentence}"),
            Err(refused) => assert!(!text.is_empty() && refused.text.contains(text), "{sentence}: {refused}"),
        }
    }
}

#[test]
fn consent_is_asked_for_given_changed_and_withdrawn_by_others_than_oneself() {
    use GrantState::{Approved, Requested, Revoked};
    let actor = |client: Option<&str>| Actor {
        authority: Authority::Tenant("acme".parse().unwrap()),
        name: "a".into(),
        client_id: client.map(|c| c.parse().unwrap()),
        scopes: None,
        on_behalf_of: None,
        via: "api",
        request_id: "r".into(),
    };
    let grant = |state| Grant { state, ..in_state(ClientState::Active).2 };
    let own = in_state(ClientState::Active).0.client_id;
    let change = || match command(
        "changeGrant",
        json!({"tenant": "acme", "client_id": "c", "scopes": ["x:y"], "not_after": null}),
    ) {
        Command::ChangeGrant(asked) => asked,
        _ => panic!(),
    };
    for state in [Requested, Approved, Revoked] {
        let who = actor(Some("approver"));
        assert_eq!(grants::approve(&who, grant(state)).is_ok(), state == Requested, "approve what is {state:?}");
        assert_eq!(grants::revoke(&who, grant(state)).is_ok(), state != Revoked, "revoke what is {state:?}");
        assert_eq!(
            grants::change(&who, grant(state), change(), &catalog(), NOW).is_ok(),
            state != Revoked,
            "{state:?}"
        );
        let oneself = actor(Some(own.as_str()));
        assert!(grants::approve(&oneself, grant(state)).is_err(), "nobody approves what is their own");
        assert!(grants::change(&oneself, grant(state), change(), &catalog(), NOW).is_err(), "nor changes it");
        let request = |client: &Client| match command("requestGrant", json!({"tenant": "acme", "client_id": "c"})) {
            Command::RequestGrant(asked) => grants::request(asked, client, Some(&grant(state)), &catalog(), NOW),
            _ => panic!(),
        };
        let client = in_state(ClientState::Active).0;
        assert_eq!(request(&client).is_ok(), state == Revoked, "asked for again when it was {state:?}");
        let multi = Client { kind: ClientKind::MultiTenant, tenant: None, ..client.clone() };
        let elsewhere = Client { tenant: "globex".parse().ok(), ..client.clone() };
        let gone = Client { state: ClientState::Deleted, ..client };
        for client in [multi, elsewhere, gone] {
            assert!(request(&client).is_err(), "{:?} of {:?}", client.kind, client.tenant);
        }
    }
    for (sentence, not_after, due) in
        [("this very second", "2027-01-15T08:00:00Z", false), ("the next", "2027-01-15T08:00:01Z", true)]
    {
        let fields = json!({"tenant": "acme", "client_id": "c", "not_after": not_after});
        let Command::RequestGrant(asked) = command("requestGrant", fields.clone()) else { panic!() };
        let Command::ChangeGrant(change) = command("changeGrant", fields) else { panic!() };
        let client = in_state(ClientState::Active).0;
        let ends = [
            grants::request(asked, &client, None, &catalog(), NOW),
            grants::change(&actor(Some("approver")), grant(Approved), change, &catalog(), NOW),
            register(&[("not_after", json!(not_after))], &Authority::Operator).map(|made| made.grant.unwrap()),
        ];
        for end in ends {
            assert_eq!(end.is_ok(), due, "a grant that ends {sentence}");
        }
    }
}
