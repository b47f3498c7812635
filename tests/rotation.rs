//! The rotation of the keyring, against a secret store that speaks Secrets Manager's calls: the local one, and moto's.

use crate::engines::Engine;
use crate::proxy::{ALWAYS, Loss, Proxy, SPOILT, Spoilt};
use auth_core::jws::{Algorithm, sign};
use auth_core::keyring::{Keyring, PENDING_SECONDS, PUBLISHED_SECONDS, RETIRED_SECONDS};
use auth_core::time::Timestamp;
use auth_core::token::{MAX_LIFETIME_SECONDS, UnverifiedToken};
use auth_store::gate::Gate;
use auth_store::rotation::STEPS;
use auth_store::vault::{CURRENT, PENDING, PREVIOUS, Vault};
use serde_json::{Value, json};
use std::sync::Arc;

const NOW: Timestamp = Timestamp(1_800_000_000);

fn event(step: &str, secret: &str, token: &str) -> Value {
    json!({"Step": step, "SecretId": secret, "ClientRequestToken": token})
}

/// One secret of an engine, and the rotation function that is asked to rotate it.
struct Subject<'a> {
    engine: &'a Engine,
    secret: String,
    vault: Vault,
}

impl<'a> Subject<'a> {
    /// A new secret with this text.
    async fn new(engine: &'a Engine, name: &str, text: &str) -> Self {
        let secret = engine.create_secret(name, text).await;
        Self { engine, vault: Vault::new(&engine.aws(), &secret), secret }
    }

    async fn step(&self, step: &str, token: &str, now: Timestamp) -> Result<String, String> {
        let done = auth_store::rotation::rotate(&self.engine.aws(), &event(step, &self.secret, token), now).await;
        if step == "finishSecret" && done.is_ok() && self.engine.name == "moto" {
            // AWS's documentation: AWSPENDING goes in the same call that moves AWSCURRENT. Moto leaves it.
            let labels = self.vault.labels().await.unwrap();
            if let Some(version) = labels.holder(PENDING).filter(|v| Some(*v) == labels.holder(CURRENT)) {
                self.vault.take_label(PENDING, version).await.unwrap();
            }
        }
        done.map(|d| d.done).map_err(|e| e.to_string())
    }

    async fn rotate(&self, token: &str, now: Timestamp) {
        for step in STEPS {
            self.step(step, token, now).await.unwrap_or_else(|e| panic!("{step}: {e}"));
        }
    }

    /// The text in use.
    async fn text(&self) -> String {
        let labels = self.vault.labels().await.unwrap();
        self.vault.text(labels.holder(CURRENT).unwrap()).await.unwrap().unwrap().to_string()
    }

    async fn keyring(&self) -> Keyring {
        Keyring::parse(&self.text().await).unwrap()
    }

    /// The pepper, and the keys of a state.
    async fn keys(&self, state: &str) -> (String, Vec<String>) {
        let document: Value = serde_json::from_str(&self.text().await).unwrap();
        let of_state = document["keys"].as_array().unwrap().iter().filter(|k| k["state"] == state);
        let names = of_state.map(|k| k["jwk"]["kid"].as_str().unwrap().to_owned()).collect();
        (document["pepper"].as_str().unwrap().to_owned(), names)
    }
}

fn token_of(n: u32) -> String {
    format!("{n:032}")
}

async fn steps_may_come_as_they_like(engine: &Engine) {
    // An empty secret is given its first keyring, whatever empty is.
    for (n, empty) in ["{}", " {} "].into_iter().enumerate() {
        let subject = Subject::new(engine, &format!("empty{n}"), empty).await;
        subject.rotate(&token_of(1), NOW).await;
        assert_eq!(subject.keyring().await.algorithms(), Algorithm::ALL);
    }

    let subject = Subject::new(engine, "steps", "{}").await;
    subject.rotate(&token_of(1), NOW).await;
    let first = subject.text().await;
    let later = NOW.plus(PUBLISHED_SECONDS);
    let (pepper, next) = subject.keys("next").await;
    type Row<'a> = (&'a str, &'a str, u32, Timestamp, Result<&'a str, &'a str>);
    let rows: [Row<'_>; 15] = [
        ("a step of the version in use is done already", "createSecret", 1, later, Ok("in use already")),
        ("the same, at the end", "finishSecret", 1, later, Ok("in use already")),
        ("nothing can be finished that was not made", "finishSecret", 2, later, Err("not the one that is pending")),
        ("nothing can be tested that was not made", "testSecret", 2, later, Err("no text yet")),
        ("the next version is made", "createSecret", 2, later, Ok("signs")),
        ("once", "createSecret", 2, later, Ok("made before")),
        ("another rotation waits for this one", "createSecret", 3, later, Err("another rotation is under way")),
        ("nothing is to be set", "setSecret", 2, later, Ok("nothing to set")),
        ("a test may be left out, or repeated", "testSecret", 2, later, Ok("may be used")),
        ("the same", "testSecret", 2, later, Ok("may be used")),
        ("a version that nobody made cannot be finished", "finishSecret", 3, later, Err("not the one that is pending")),
        ("the version is taken into use", "finishSecret", 2, later, Ok("is in use")),
        ("once", "finishSecret", 2, later, Ok("in use already")),
        ("too early for another: what there is goes on", "createSecret", 4, later, Ok("nothing is due before")),
        ("and may be finished all the same", "finishSecret", 4, later, Ok("is in use")),
    ];
    for (why, step, token, now, expected) in rows {
        let got = subject.step(step, &token_of(token), now).await;
        let fits = match (&got, expected) {
            (Ok(got), Ok(expected)) | (Err(got), Err(expected)) => got.contains(expected),
            _ => false,
        };
        assert!(fits, "{}: {why}: {step} {token}: {got:?}", engine.name);
    }
    let (kept, current) = subject.keys("current").await;
    assert_eq!((kept, current), (pepper, next), "the published keys sign, and no more than that has happened");
    assert_ne!(subject.text().await, first);

    // What is no event is refused by name; what is no keyring is left as it is.
    for (bad, named) in [(json!({}), "Step"), (json!({"Step": "createSecret", "SecretId": "x"}), "ClientRequestToken")]
    {
        let error = auth_store::rotation::rotate(&engine.aws(), &bad, NOW).await.unwrap_err().to_string();
        assert!(error.contains(named), "{error}");
    }
    let foreign = Subject::new(engine, "foreign", r#"{"password":"somebody's"}"#).await;
    let error = foreign.step("createSecret", &token_of(1), NOW).await.unwrap_err();
    assert!(error.contains("no keyring") && !error.contains("somebody"), "{error}");
    assert_eq!(foreign.text().await, r#"{"password":"somebody's"}"#);

    // A secret that was emptied by mistake gets back the keyring that it had.
    let emptied = Subject::new(engine, "emptied", "{}").await;
    emptied.rotate(&token_of(1), NOW).await;
    let (pepper, current) = emptied.keys("current").await;
    engine.put_secret(&emptied.secret, &"9".repeat(32), &token_of(1), "{}").await;
    emptied.rotate(&token_of(2), NOW).await;
    assert_eq!(emptied.keys("current").await, (pepper.clone(), current.clone()));
    // Emptied twice, it says where the keyring is, and makes no other: every credential rests on the one that was.
    engine.put_secret(&emptied.secret, &"8".repeat(32), &token_of(2), "{}").await;
    engine.put_secret(&emptied.secret, &"7".repeat(32), &"8".repeat(32), "{}").await;
    let error = emptied.step("createSecret", &token_of(3), NOW).await.unwrap_err();
    assert!(error.contains("put AWSCURRENT on the version with the keyring"), "{error}");
    emptied.vault.promote(&token_of(2), Some(&"7".repeat(32))).await.unwrap();
    assert_eq!(emptied.keys("current").await, (pepper, current));

    // A version that comes into use long after it was made would have its keys dropped too early: it is given up.
    let late = Subject::new(engine, "late", "{}").await;
    late.rotate(&token_of(1), NOW).await;
    let (_, next) = late.keys("next").await;
    late.step("createSecret", &token_of(2), later).await.unwrap();
    let (too_late, again) = (later.plus(PENDING_SECONDS + 1), later.plus(PENDING_SECONDS + 2));
    let error = late.step("finishSecret", &token_of(2), too_late).await.unwrap_err();
    assert!(error.contains("too long ago") && error.contains("given up"), "{error}");
    late.rotate(&token_of(3), again).await;
    assert_eq!(late.keys("current").await.1, next, "and the next rotation does what was due");

    // A token that names another version puts nothing into use.
    let error = late.step("force", &token_of(1), again).await.unwrap_err();
    assert!(error.contains("ClientRequestToken names a version of something else"), "{error}");
    assert_eq!(late.keys("current").await.1, next);
}

async fn two_at_once_leave_one_keyring(engine: &Engine) {
    let subject = Subject::new(engine, "race", "{}").await;
    let (a, b, c) = (token_of(1), token_of(2), token_of(3));
    let _ = tokio::join!(subject.step("createSecret", &a, NOW), subject.step("createSecret", &a, NOW));
    let _ = tokio::join!(subject.step("finishSecret", &a, NOW), subject.step("finishSecret", &a, NOW));
    let (pepper, next) = subject.keys("next").await;

    // Two rotations: whatever they do to one another, at most one step forward is made, and nothing is lost.
    let later = NOW.plus(PUBLISHED_SECONDS);
    let _ = tokio::join!(subject.step("createSecret", &b, later), subject.step("createSecret", &c, later));
    let _ = tokio::join!(subject.step("finishSecret", &b, later), subject.step("finishSecret", &c, later));
    let (kept, current) = subject.keys("current").await;
    assert_eq!((kept, current), (pepper, next), "{}", engine.name);

    // A version that was made before a leak cannot come into use after it.
    let much_later = later.plus(RETIRED_SECONDS);
    subject.step("createSecret", &token_of(4), much_later).await.unwrap();
    subject.step("force", &token_of(5), much_later).await.unwrap();
    let after = subject.text().await;
    assert!(subject.step("finishSecret", &token_of(4), much_later).await.is_err());
    assert_eq!(subject.text().await, after);
    let labels = subject.vault.labels().await.unwrap();
    assert_eq!(labels.holder(PREVIOUS), None, "what leaked is not at hand as the version before");
    // Nor is the next rotation kept from its work.
    assert_eq!(labels.holder(PENDING), None);
    subject.rotate(&token_of(6), much_later.plus(PUBLISHED_SECONDS)).await;
}

/// What is done to a secret while calls are lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Work {
    First,
    Rotation,
    Force,
}

/// Every call of the work is lost once, before and after it was done.
async fn a_fault_leaves_a_keyring_that_works(engine: &Engine) {
    let proxy = Proxy::start(&engine.secretsmanager).await;
    let through = engine.with_secretsmanager(&proxy.url);
    let made = auth_store::keygen::new_keyring(NOW).unwrap().to_text();
    let all = [Loss::Call, Loss::Answer, Loss::OneAnswer];
    for (work, loss) in [Work::First, Work::Rotation, Work::Force].into_iter().flat_map(|w| all.map(|l| (w, l))) {
        let steps: &[&str] = if work == Work::Force { &["force"] } else { &STEPS };
        let mut calls = 0;
        loop {
            let name = format!("faults-{work:?}-{loss:?}-{calls}");
            let subject = Subject::new(engine, &name, if work == Work::First { "{}" } else { &made }).await;
            let before = match work {
                Work::First => None,
                _ => Some((subject.keys("current").await, subject.keys("next").await.1)),
            };
            let now = NOW.plus(PUBLISHED_SECONDS);

            proxy.fail_after(Some((calls, loss)));
            let mut failed = false;
            for step in steps {
                let event = event(step, &subject.secret, &token_of(2));
                failed = auth_store::rotation::rotate(&through.aws(), &event, now).await.is_err();
                if failed {
                    break;
                }
            }
            let spent = proxy.fail_after(None);
            // A caller's own second try makes up for one lost answer.
            assert!(!failed || loss != Loss::OneAnswer, "{}: {name}", engine.name);
            let text = subject.text().await;
            let pepper = (text != "{}").then(|| serde_json::from_str::<Value>(&text).unwrap()["pepper"].clone());
            if work == Work::Rotation {
                let keyring = subject.keyring().await;
                let ((_, old), next) = before.as_ref().unwrap();
                let all_verify = old.iter().chain(next).all(|kid| keyring.verifying_key(kid).is_some());
                assert!(all_verify, "{}: {name}: a key that is needed is gone", engine.name);
            }
            // The steps are tried again, as Secrets Manager and operators do.
            for step in steps {
                subject.step(step, &token_of(2), now).await.unwrap_or_else(|e| panic!("{name}: {step}: {e}"));
            }
            let (now_pepper, current) = subject.keys("current").await;
            assert!(
                pepper.is_none_or(|pepper| pepper == now_pepper.as_str()),
                "{}: {name}: another pepper",
                engine.name
            );
            let labels = subject.vault.labels().await.unwrap();
            match before {
                None => assert_eq!(current.len(), 4),
                Some(((pepper, _), next)) if work == Work::Rotation => {
                    assert_eq!((now_pepper, current), (pepper, next), "{}: {name}", engine.name);
                }
                Some(((pepper, old), next)) => {
                    assert_eq!(now_pepper, pepper, "{}: {name}", engine.name);
                    let keyring = subject.keyring().await;
                    let gone = old.iter().chain(&next).all(|kid| keyring.verifying_key(kid).is_none());
                    let tidy = [PREVIOUS, "COUNTERSIGN-FORCED"].iter().all(|label| labels.holder(label).is_none());
                    assert!(gone && tidy, "{}: {name}: {labels:?}", engine.name);
                }
            }
            if !spent {
                break;
            }
            calls += 1;
        }
        assert!(calls > 4, "{work:?}: only {calls} calls were lost");
    }
}

/// From one step of a rotation on, the secret store is ill, in one way.
async fn a_rotation_with_an_ill_store(engine: &Engine, sentence: &str, spoilt: Spoilt, ill_from: usize) {
    let name = format!("{sentence}, from {} on", STEPS[ill_from]);
    let made = auth_store::keygen::new_keyring(NOW).unwrap().to_text();
    let subject = Subject::new(engine, &name.replace([' ', ','], "-"), &made).await;
    let ((pepper, old), (_, next)) = (subject.keys("current").await, subject.keys("next").await);
    let proxy = Proxy::start(&engine.secretsmanager).await;
    let through = engine.with_secretsmanager(&proxy.url);
    let now = NOW.plus(PUBLISHED_SECONDS);
    let mut failed = Vec::new();
    for (n, step) in STEPS.iter().enumerate() {
        proxy.spoil((n >= ill_from).then_some((ALWAYS, spoilt)));
        let event = event(step, &subject.secret, &token_of(2));
        if let Err(error) = auth_store::rotation::rotate(&through.aws(), &event, now).await {
            assert!(!error.to_string().contains(&pepper), "{name}: {error}");
            failed.push(n);
        }
    }
    let ill: Vec<usize> = (ill_from..STEPS.len()).filter(|n| STEPS[*n] != "setSecret").collect();
    assert_eq!(failed, ill, "{name}: no step is told done by a store that does not say so");
    let keyring = subject.keyring().await;
    assert!(old.iter().chain(&next).all(|kid| keyring.verifying_key(kid).is_some()), "{name}: a key is gone");
    for step in STEPS {
        subject.step(step, &token_of(2), now).await.unwrap_or_else(|e| panic!("{name}: well again: {step}: {e}"));
    }
    assert_eq!(subject.keys("current").await, (pepper, next), "{name}: well again");
}

/// A token of the longest life.
fn token(gate: &Gate, keyring: &Keyring, algorithm: Algorithm, now: Timestamp) -> String {
    let claims = json!({"iss": gate.issuer, "sub": "c", "client_id": "c", "aud": "https://a.example", "iat": now,
        "nbf": now, "exp": now.plus(MAX_LIFETIME_SECONDS), "jti": "00112233445566778899aabbccddeeff", "scope": "a:b",
        "roles": [], "token_use": "partner", "tenant": "acme", "environment": "test"});
    sign(keyring.signing_key(algorithm).unwrap(), "at+jwt", &claims).unwrap()
}

/// Whether a process takes a token, by its keyring and what it remembers of it.
async fn takes(gate: &Gate, text: &str, now: Timestamp) -> bool {
    let token = match gate.keyring.proven(text, &gate.issuer, now) {
        Some(token) => Ok(token),
        None => {
            let UnverifiedToken::Issued(token) = UnverifiedToken::parse(text).unwrap() else { panic!("not ours") };
            gate.keyring.prove(token, text, &gate.issuer, now).await.unwrap()
        }
    };
    token.is_ok_and(|token| token.in_time(&gate.expected(now)).is_ok())
}

/// Somebody else's verifier, which keeps our public keys for two hours whatever it meets: API Gateway is not as bad.
#[derive(Default)]
struct Outside {
    kept: Option<(Timestamp, Value)>,
}

impl Outside {
    async fn knows(&mut self, gate: &Gate, token: &str, now: Timestamp) -> bool {
        let kept = self.kept.take().filter(|(at, _)| now.since(*at) < 2 * 3600);
        let (at, keys) = match kept {
            Some(kept) => kept,
            None => (now, gate.keyring.get(now).await.unwrap().public_jwks()),
        };
        let UnverifiedToken::Issued(token) = UnverifiedToken::parse(token).unwrap() else { panic!("not one of ours") };
        let knows = keys["keys"].as_array().unwrap().iter().any(|k| k["kid"] == token.unverified_kid());
        assert!(keys["keys"].as_array().unwrap().len() <= 10);
        self.kept = Some((at, keys));
        knows
    }
}

/// Four processes with keyrings of different age issue and verify through three rotations and a leak. Time is an
/// argument everywhere, so days pass in seconds: in steps of a minute around a rotation, of ten minutes elsewhere.
async fn no_good_token_is_refused_and_none_of_a_dropped_key_taken(engine: &Engine) {
    /// The third comes too early to change anything.
    const ROTATIONS: [i64; 5] = [0, 2 * 86_400, 2 * 86_400 + 21_600, 4 * 86_400, 6 * 86_400];
    const LEAK: i64 = 7 * 86_400;
    const AGES: [usize; 5] = [0, 2, 14, 62, 270];
    let subject = Subject::new(engine, "continuous", "{}").await;
    let gates: Vec<Gate> = (0..4).map(|_| engine.gate(&subject.secret)).collect();
    let mut outside = Outside::default();
    // Tokens that are good, by the time of their issue; keyrings that were in use, from which a forger signs.
    let mut good: Vec<(Timestamp, String)> = Vec::new();
    let mut stolen: Vec<Keyring> = Vec::new();
    // Tokens that every process has taken, until there was a leak.
    let mut taken: Vec<String> = Vec::new();
    let (mut verified, mut refused) = (0, 0);
    let step = |at: i64| if ROTATIONS.iter().chain([&LEAK]).any(|r| (at - r).abs() < 1200) { 60 } else { 600 };
    let mut at = 0;
    while at <= LEAK + 3600 {
        let now = NOW.plus(at);
        if let Some(n) = ROTATIONS.iter().position(|r| *r == at) {
            subject.rotate(&token_of(n as u32 + 1), now).await;
            stolen.push(subject.keyring().await);
        }
        if at == LEAK {
            subject.step("force", &token_of(99), now).await.unwrap();
            taken.extend(good.drain(..).rev().take(40).map(|(_, token)| token));
        }
        // After a leak, a process may go on by its kept keyring for five minutes: what it signs then is not good.
        let settled = !(LEAK..LEAK + 300).contains(&at);
        if settled {
            for (n, gate) in gates.iter().enumerate().take(2) {
                let algorithm = Algorithm::ALL[(at as usize / 60 + n) % 4];
                let keyring = gate.keyring.get(now).await.unwrap();
                good.push((now, token(gate, &keyring, algorithm, now)));
            }
            for age in AGES {
                let Some(index) = good.len().checked_sub(1 + age) else { continue };
                let (issued, token) = &good[index];
                if now.since(*issued) >= MAX_LIFETIME_SECONDS {
                    continue;
                }
                for gate in &gates {
                    assert!(takes(gate, token, now).await, "{}: refused {at} s in, aged {age}", engine.name);
                    verified += 1;
                }
                // After a leak, who keeps our keys for two hours and does not look again is out of step for as long.
                if !token.starts_with(HS256) && at < LEAK {
                    assert!(outside.knows(&gates[3], token, now).await, "{}: {at} s in, aged {age}", engine.name);
                }
            }
        }
        // What was proven by a key counts no longer than the key.
        for (token, gate) in taken.iter().flat_map(|token| gates.iter().map(move |gate| (token, gate))) {
            assert!(!settled || !takes(gate, token, now).await, "{}: remembered {at} s in", engine.name);
        }
        // A forger with a key that was dropped gets nowhere, once the keyrings that were kept are read again.
        let last_rotation = ROTATIONS.iter().rev().find(|r| **r <= at - 300).copied().unwrap_or(0);
        if at % 3600 != 0 || at - last_rotation < 300 {
            at += step(at);
            continue;
        }
        let keyring_now = subject.keyring().await;
        for old in &stolen {
            for algorithm in Algorithm::ALL {
                let key = old.signing_key(algorithm).unwrap();
                let is_dropped = keyring_now.verifying_key(key.verifying().kid()).is_none();
                if !is_dropped || (LEAK..LEAK + 300).contains(&at) {
                    continue;
                }
                let forged = token(&gates[0], old, algorithm, now);
                for gate in &gates {
                    assert!(!takes(gate, &forged, now).await, "{}: a dropped key counts {at} s in", engine.name);
                    refused += 1;
                }
            }
        }
        at += step(at);
    }
    assert!(verified > 10_000 && refused > 200, "{verified} verified, {refused} refused");
}

/// How the header of an HS256 token of ours begins; such a key is never published.
const HS256: &str = "eyJ0eXAiOiJhdCtqd3QiLCJhbGciOiJIUzI1NiIs";

#[tokio::test]
async fn steps_and_races_in_the_local_secret_store() {
    let engine = Engine::embedded();
    steps_may_come_as_they_like(&engine).await;
    two_at_once_leave_one_keyring(&engine).await;
}

#[tokio::test]
async fn faults_in_the_local_secret_store() {
    a_fault_leaves_a_keyring_that_works(&Engine::embedded()).await;
}

#[tokio::test]
async fn a_secret_store_that_is_ill_holds_a_rotation_up_and_does_no_harm() {
    let engine = Engine::embedded();
    for (sentence, spoilt) in SPOILT {
        let ill = |from| a_rotation_with_an_ill_store(&engine, sentence, spoilt, from);
        tokio::join!(ill(0), ill(2), ill(3));
    }
}

#[tokio::test]
async fn three_rotations_and_a_leak_in_the_local_secret_store() {
    no_good_token_is_refused_and_none_of_a_dropped_key_taken(&Engine::embedded()).await;
}

/// Somebody gives the secret a text by hand, in which a private half is not that of its key.
#[tokio::test]
async fn a_keyring_that_signs_is_not_given_up_for_one_that_does_not() {
    let engine = Engine::embedded();
    let subject = Subject::new(&engine, "spoilt", "{}").await;
    subject.rotate(&token_of(1), NOW).await;
    let running = engine.gate(&subject.secret);
    let signs = running.keyring.get(NOW).await.unwrap();

    let mut document: Value = serde_json::from_str(&subject.text().await).unwrap();
    let keys = document["keys"].as_array_mut().unwrap().iter_mut();
    let [current, next] = &mut keys.filter(|k| k["jwk"]["alg"] == "EdDSA").collect::<Vec<_>>()[..] else { panic!() };
    current["jwk"]["d"] = next["jwk"]["d"].take();
    next["jwk"]["d"] = current["jwk"]["d"].clone();
    engine.put_secret(&subject.secret, &"9".repeat(32), &token_of(1), &document.to_string()).await;

    let later = NOW.plus(301);
    let kept = running.keyring.get(later).await.unwrap();
    assert!(Arc::ptr_eq(&signs, &kept), "who has one that signs goes on with it");
    token(&running, &kept, Algorithm::EdDSA, later);
    let started = engine.gate(&subject.secret).keyring.get(later).await.unwrap();
    let key = started.signing_key(Algorithm::EdDSA).unwrap();
    assert!(sign(key, "at+jwt", &json!({})).is_err(), "who starts now has no token of the key");
    assert!(started.check_signing_keys().is_err());
}

/// `RotateSecret`, as Secrets Manager does it: the version is there, without a text, before the function is asked.
#[tokio::test]
async fn rotate_secret_makes_the_first_keyring_of_an_empty_secret() {
    let engine = Engine::embedded();
    let subject = Subject::new(&engine, "asked", "{}").await;
    engine.rotate_secret(&subject.secret).await;
    let patience = std::time::Duration::from_secs(60);
    let made = tokio::time::timeout(patience, async { while subject.text().await == "{}" {} }).await;
    assert!(made.is_ok(), "no keyring was made");
    assert_eq!(subject.keyring().await.algorithms(), Algorithm::ALL);
    let labels = subject.vault.labels().await.unwrap();
    assert_eq!(labels.holder(PENDING), None, "the rotation is complete");
    engine.rotate_secret(&subject.secret).await;
}

#[tokio::test]
#[ignore = "needs moto: tests/engines/run"]
async fn the_keyring_rotates_in_motos_secrets_manager() {
    let engine = Engine::moto();
    steps_may_come_as_they_like(&engine).await;
    two_at_once_leave_one_keyring(&engine).await;
    a_fault_leaves_a_keyring_that_works(&engine).await;
    no_good_token_is_refused_and_none_of_a_dropped_key_taken(&engine).await;
}
