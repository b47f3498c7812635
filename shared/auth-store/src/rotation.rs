//! The rotation of the keyring: the four steps that Secrets Manager asks for, and a fifth for after a leak. Each may be
//! repeated, skipped, or run twice at once; whatever fails, the version in use stays one that works.

use crate::aws::Aws;
use crate::keygen::{new_key, new_keyring, random};
use crate::vault::{CURRENT, Labels, PENDING, PREVIOUS, Vault};
use auth_core::keyring::{Change, Changes, KeyringDocument};
use auth_core::secret::hex;
use auth_core::time::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::fmt;

/// The steps that Secrets Manager asks for, in its order.
pub const STEPS: [&str; 4] = ["createSecret", "setSecret", "testSecret", "finishSecret"];

/// The label of the version that replaces a keyring after a leak, until it is in use and nothing else is at hand. Not
/// Secrets Manager's own, which would take a version that is left behind for a rotation that goes on for ever.
const FORCED: &str = "COUNTERSIGN-FORCED";

/// Why a step failed. What is in use works.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotRotated(String);

impl fmt::Display for NotRotated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<crate::Fault> for NotRotated {
    fn from(fault: crate::Fault) -> Self {
        Self(fault.0)
    }
}

impl From<auth_core::keyring::BadKeyring> for NotRotated {
    fn from(bad: auth_core::keyring::BadKeyring) -> Self {
        Self(bad.to_string())
    }
}

fn not<T>(why: impl Into<String>) -> Result<T, NotRotated> {
    Err(NotRotated(why.into()))
}

/// What is asked for.
#[derive(Debug, Clone, Copy, Deserialize, Serialize)]
pub enum Step {
    /// Makes the version that comes next.
    #[serde(rename = "createSecret")]
    Create,
    /// Sets it at the other end, which there is none.
    #[serde(rename = "setSecret")]
    Set,
    /// Looks whether it may be used.
    #[serde(rename = "testSecret")]
    Test,
    /// Puts it into use.
    #[serde(rename = "finishSecret")]
    Finish,
    /// Not a step of Secrets Manager: replaces every signing key at once. For an operator, after a leak.
    #[serde(rename = "force")]
    Force,
}

/// The event, as Secrets Manager sends it. It may get more members.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Event {
    step: Step,
    secret_id: String,
    client_request_token: Option<String>,
}

/// What was done, in words.
#[derive(Debug, Serialize)]
pub struct Done {
    /// The step.
    pub step: Step,
    /// In words.
    pub done: String,
}

/// Does one step: `event` is as Secrets Manager sends it.
///
/// # Errors
/// [`NotRotated`].
pub async fn rotate(aws: &Aws, event: &Value, now: Timestamp) -> Result<Done, NotRotated> {
    let Ok(Event { step, secret_id, client_request_token }) = Event::deserialize(event) else {
        return not("the event needs Step (createSecret, setSecret, testSecret, finishSecret or force) and SecretId");
    };
    let vault = Vault::new(aws, secret_id);
    let token = match (client_request_token, step) {
        (Some(token), _) => token,
        (None, Step::Force) => hex(&random::<16>()?),
        (None, _) => return not("the event needs ClientRequestToken"),
    };
    let done = match step {
        Step::Create => create(&vault, &token, now).await?,
        // The other end of this secret is its readers, who fetch it themselves.
        Step::Set => "there is nothing to set".into(),
        Step::Test => test(&vault, &token, now).await?,
        Step::Finish => finish(&vault, &token, now).await?,
        Step::Force => force(&vault, &token, now).await?,
    };
    Ok(Done { step, done })
}

/// Makes the keyring that comes next and keeps it beside the one in use.
async fn create(vault: &Vault, token: &str, now: Timestamp) -> Result<String, NotRotated> {
    let labels = vault.labels().await?;
    if labels.holder(CURRENT) == Some(token) {
        return Ok("the version is in use already".into());
    }
    // Secrets Manager labels the version before it asks for its text.
    let finished = [labels.holder(CURRENT), labels.holder(PREVIOUS)];
    let under_way = labels.holder(PENDING).filter(|version| !finished.contains(&Some(*version)));
    if under_way.is_some_and(|version| version != token) {
        return not("another rotation is under way");
    }
    if vault.text(token).await?.is_some() {
        return Ok("the version was made before".into());
    }
    let (document, done) = match in_use(vault, &labels).await? {
        None => {
            let first = new_keyring(now)?;
            first.accepts(&first, now)?;
            (first, "the first keyring was made".to_owned())
        }
        Some(current) => {
            let due = current.due().map(Timestamp::to_rfc3339).unwrap_or_default();
            let (next, changes) = current.rotated(now, new_key)?;
            current.accepts(&next, now)?;
            (next, if changes.is_empty() { format!("nothing is due before {due}") } else { told(&changes) })
        }
    };
    match vault.put(token, &document.to_text(), PENDING).await? {
        true => Ok(done),
        false => Ok("another run made the version".into()),
    }
}

/// Looks whether the version that was made may take the place of the one in use.
async fn test(vault: &Vault, token: &str, now: Timestamp) -> Result<String, NotRotated> {
    let labels = vault.labels().await?;
    if labels.holder(CURRENT) == Some(token) {
        return Ok("the version is in use already".into());
    }
    check(vault, &labels, token, now).await?;
    Ok("the version may be used".into())
}

async fn finish(vault: &Vault, token: &str, now: Timestamp) -> Result<String, NotRotated> {
    let labels = vault.labels().await?;
    let current = labels.holder(CURRENT);
    if current == Some(token) {
        return Ok("the version is in use already".into());
    }
    if labels.holder(PENDING) != Some(token) {
        return not("the version is not the one that is pending");
    }
    // Again: the step before may have been skipped, or the version in use may be another one since.
    check(vault, &labels, token, now).await?;
    vault.promote(token, current).await?;
    Ok("the version is in use".into())
}

async fn force(vault: &Vault, token: &str, now: Timestamp) -> Result<String, NotRotated> {
    let labels = vault.labels().await?;
    let Some(current) = labels.holder(CURRENT) else { return not("there is no keyring yet") };
    let mut done = "the version is in use already".to_owned();
    if current != token {
        let Some(leaked) = in_use(vault, &labels).await? else { return not("there is no keyring yet") };
        let (document, changes) = leaked.forced(now, new_key)?;
        // By itself: it has nothing to keep of what leaked, but must be one that works.
        document.accepts(&document, now)?;
        done = told(&changes);
        if !vault.put(token, &document.to_text(), FORCED).await? {
            // An earlier try of this very call wrote it, and its label says so; or the token is that of another version.
            let is_ours = vault.labels().await?.holder(FORCED) == Some(token);
            let made = vault.text(token).await?.and_then(|text| KeyringDocument::parse(&text).ok());
            if !is_ours || !made.is_some_and(|made| leaked.is_replaced_by(&made)) {
                return not("ClientRequestToken names a version of something else; leave it out, or take a new one");
            }
            done = "every key was replaced".into();
        }
        vault.promote(token, Some(current)).await?;
    }
    // What leaked must not be at hand as the version to go back to, nor what was to follow it.
    let labels = vault.labels().await?;
    for label in [PREVIOUS, PENDING, FORCED] {
        let held = labels.holder(label).filter(|version| label == FORCED || *version != token);
        if let Some(version) = held {
            vault.take_label(label, version).await?;
        }
    }
    Ok(done)
}

/// A version that is refused is given up, or every later rotation would wait for it.
async fn check(vault: &Vault, labels: &Labels, token: &str, now: Timestamp) -> Result<(), NotRotated> {
    let Some(text) = vault.text(token).await? else { return not("the version has no text yet") };
    let current = in_use(vault, labels).await?;
    let judged = KeyringDocument::parse(&text)
        .and_then(|document| current.as_ref().unwrap_or(&document).accepts(&document, now));
    if let Err(bad) = judged {
        if labels.holder(PENDING) == Some(token) {
            vault.take_label(PENDING, token).await?;
        }
        return not(format!("{bad}; the version is given up, and the next rotation begins anew"));
    }
    Ok(())
}

/// The keyring in use. None, if the secret is as the template makes it: empty, and never anything else. An empty secret
/// that has a version before was emptied by mistake, and the keyring there counts; if there is none, a person has to
/// look, because a new pepper would make every credential worthless.
async fn in_use(vault: &Vault, labels: &Labels) -> Result<Option<KeyringDocument>, NotRotated> {
    let Some(current) = labels.holder(CURRENT) else {
        return match labels.holder(PREVIOUS) {
            None => Ok(None),
            Some(_) => not("no version is in use, though one was; put AWSCURRENT on the version with the keyring"),
        };
    };
    let Some(text) = vault.text(current).await? else { return not("the version in use has no text") };
    if !matches!(text.trim(), "" | "{}") {
        // What is there is left alone.
        let no_keyring = |_| NotRotated("the secret holds something that is no keyring".into());
        return KeyringDocument::parse(&text).map(Some).map_err(no_keyring);
    }
    let Some(previous) = labels.holder(PREVIOUS) else { return Ok(None) };
    let text = vault.text(previous).await?;
    match text.and_then(|text| KeyringDocument::parse(&text).ok()) {
        Some(document) => Ok(Some(document)),
        None => not("the secret is empty and so is what it was before; put AWSCURRENT on the version with the keyring"),
    }
}

fn told(changes: &Changes) -> String {
    let word = |change| match change {
        Change::Made => "is published",
        Change::Promoted => "signs",
        Change::Retired => "only verifies",
        Change::Dropped => "is dropped",
    };
    changes.iter().map(|(kid, change)| format!("{kid} {}", word(*change))).collect::<Vec<_>>().join(", ")
}
