//! Rotates the keyring: the four steps that Secrets Manager asks for, and a fifth for after a leak. Each may be
//! repeated, skipped, or run twice at once; whatever fails, the version in use stays one that works.

use auth_core::audit::Outcome;
use auth_core::keyring::{Change, Changes, Keyring, KeyringDocument};
use auth_core::secret::hex;
use auth_core::time::Timestamp;
use auth_edge::clock;
use auth_edge::report::{Report, Sink};
use auth_store::aws::Aws;
use auth_store::keygen::{new_key, new_keyring, random};
use auth_store::vault::{CURRENT, Labels, PENDING, PREVIOUS, Vault};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::fmt;

/// Why a step failed. Nothing in use was changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotRotated(String);

impl fmt::Display for NotRotated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<auth_store::Fault> for NotRotated {
    fn from(fault: auth_store::Fault) -> Self {
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
enum Step {
    #[serde(rename = "createSecret")]
    Create,
    #[serde(rename = "setSecret")]
    Set,
    #[serde(rename = "testSecret")]
    Test,
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
    step: Step,
    /// In words.
    pub done: String,
}

/// Answers one event. `request_id` is the function's own.
///
/// # Errors
/// [`NotRotated`].
pub async fn handle(aws: &Aws, sink: &dyn Sink, event: &Value, request_id: &str) -> Result<Value, NotRotated> {
    let now = clock::now();
    let mut report = Report::begin("rotation", now, request_id);
    let result = rotate(aws, event, now).await;
    match &result {
        Ok(Done { step, done }) => {
            report.line.outcome = Outcome::Allowed;
            report.line.why = Some(format!("{step:?}: {done}"));
        }
        Err(why) => report.broken(why),
    }
    report.end(sink);
    result.map(|done| json!(done))
}

/// The same, with the time as an argument.
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
    // Secrets Manager labels the version before it asks for its text, and leaves the label when it is in use.
    let under_way = labels.holder(PENDING).filter(|version| Some(*version) != labels.holder(CURRENT));
    if under_way.is_some_and(|version| version != token) {
        return not("another rotation is under way");
    }
    if vault.text(token).await?.is_some() {
        return Ok("the version was made before".into());
    }
    let (document, done) = match in_use(vault, &labels).await? {
        None => (new_keyring(now)?, "the first keyring was made".to_owned()),
        Some(document) => {
            let due = document.due().map(Timestamp::to_rfc3339).unwrap_or_default();
            let (document, changes) = document.rotated(now, new_key)?;
            (document, if changes.is_empty() { format!("nothing is due before {due}") } else { told(&changes) })
        }
    };
    match vault.put_pending(token, &document.to_text()).await? {
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
    let is_pending = labels.holder(PENDING) == Some(token);
    if current != Some(token) {
        if !is_pending {
            return not("the version is not the one that is pending");
        }
        // Again: the step before may have been skipped, or the version in use may be another one since.
        check(vault, &labels, token, now).await?;
        vault.promote(token, current).await?;
    }
    if is_pending {
        // Left where it is, it would keep the next rotation waiting if somebody put another version into use by hand.
        vault.take_label(PENDING, token).await?;
    }
    Ok(if current == Some(token) { "the version is in use already" } else { "the version is in use" }.into())
}

async fn force(vault: &Vault, token: &str, now: Timestamp) -> Result<String, NotRotated> {
    let labels = vault.labels().await?;
    let Some(current) = labels.holder(CURRENT) else { return not("there is no keyring yet") };
    if current == token {
        return Ok("the version is in use already".into());
    }
    let Some(document) = in_use(vault, &labels).await? else { return not("there is no keyring yet") };
    let (document, changes) = document.forced(now, new_key)?;
    Keyring::parse(&document.to_text())?;
    vault.put_pending(token, &document.to_text()).await?;
    vault.promote(token, Some(current)).await?;
    vault.take_label(PENDING, token).await?;
    // What leaked must not be at hand as the version to go back to.
    vault.take_label(PREVIOUS, current).await?;
    Ok(told(&changes))
}

async fn check(vault: &Vault, labels: &Labels, token: &str, now: Timestamp) -> Result<(), NotRotated> {
    let Some(text) = vault.text(token).await? else { return not("the version has no text yet") };
    let document = KeyringDocument::parse(&text)?;
    match in_use(vault, labels).await? {
        Some(current) => current.accepts(&document, now)?,
        None => document.accepts(&document, now)?,
    }
    Ok(())
}

/// The keyring in use. None, if the secret is empty: then the first is made. An empty secret that holds a keyring in its
/// previous version was emptied by mistake, and that one counts: a new pepper would make every credential worthless.
async fn in_use(vault: &Vault, labels: &Labels) -> Result<Option<KeyringDocument>, NotRotated> {
    for label in [CURRENT, PREVIOUS] {
        let Some(version) = labels.holder(label) else { continue };
        match vault.text(version).await?.as_deref().map(|text| text.trim()) {
            None | Some("" | "{}") => {}
            Some(text) => match (KeyringDocument::parse(text), label) {
                (Ok(document), _) => return Ok(Some(document)),
                // What is there is left alone: a person has to look.
                (Err(_), CURRENT) => return not("the secret holds something that is no keyring"),
                (Err(_), _) => {}
            },
        }
    }
    Ok(None)
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
