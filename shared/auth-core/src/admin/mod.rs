//! Administration: what may be asked for, by whom, and what becomes of the records. Pure, like the decision; the store
//! fetches what a rule needs, and writes what it says in one transaction.

pub mod apis;
pub mod chain;
pub mod clients;
pub mod command;
pub mod grants;
pub mod keys;
pub mod operations;
pub mod passwords;
pub mod secrets;

use crate::ids::{ClientId, Scope, TenantId};
use crate::refusal::Refusal;
use crate::secret::SecretText;
use crate::time::{Rfc3339, Timestamp};
use serde::Serialize;
use serde_json::{Map, Value};
use std::fmt;

/// For whom an administrator speaks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Authority {
    /// The operator of the deployment.
    Operator,
    /// A tenant, of its own things alone.
    Tenant(TenantId),
    /// The holder of a credential, of that client alone.
    Holder(ClientId),
}

/// Who asks, and by which way. Written into the audit.
#[derive(Debug, Clone)]
pub struct Actor {
    /// What is judged.
    pub authority: Authority,
    /// Who it is: a client id, or a person at a command line.
    pub name: String,
    /// The client that asks, if it is one: nobody approves what is their own.
    pub client_id: Option<ClientId>,
    /// What it may do itself; everything, for an operator with the table in hand. Nobody gives what they do not have.
    pub scopes: Option<Vec<Scope>>,
    /// On whose behalf (`user_login`).
    pub on_behalf_of: Option<String>,
    /// `api`, `cli`, `self` or `seed`.
    pub via: &'static str,
    /// The request that it came with; joins the audit with the decision lines.
    pub request_id: String,
}

impl Actor {
    /// That one scope of administration is had, beside the one that the command asks for.
    ///
    /// # Errors
    /// Names it.
    pub fn has(&self, scope: &str) -> Result<(), Refused> {
        let has = self.scopes.as_ref().is_none_or(|own| own.iter().any(|s| s.as_str() == scope));
        if has { Ok(()) } else { Err(Refused::forbidden(format!("That takes {scope} besides."))) }
    }

    /// That whoever hands out administrative scopes has them.
    ///
    /// # Errors
    /// Names the first that is not had.
    pub fn has_all<'a>(&self, handed_out: impl IntoIterator<Item = &'a Scope>) -> Result<(), Refused> {
        let Some(own) = &self.scopes else { return Ok(()) };
        let beyond = handed_out.into_iter().find(|scope| operations::is_administrative(scope) && !own.contains(scope));
        match beyond {
            None => Ok(()),
            Some(scope) => Err(Refused::forbidden(format!("Nobody hands out what they do not have: {scope}."))),
        }
    }
}

/// What is not done, and why: nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The entry of the catalogue.
    pub refusal: Refusal,
    /// What is wrong and which step is due, for the one who asked.
    pub text: String,
}

impl Refused {
    /// A field that is not as it must be.
    pub fn invalid(text: impl Into<String>) -> Self {
        Self { refusal: Refusal::InvalidRequest, text: text.into() }
    }

    /// There is no such thing.
    pub fn not_found(what: &str, name: impl fmt::Display) -> Self {
        Self { refusal: Refusal::NotFound, text: format!("There is no {what} {name}.") }
    }

    /// Not as things stand.
    pub fn conflict(text: impl Into<String>) -> Self {
        Self { refusal: Refusal::Conflict, text: text.into() }
    }

    /// Not by this administrator.
    pub fn forbidden(text: impl Into<String>) -> Self {
        Self { refusal: Refusal::NotPermitted, text: text.into() }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// A time at which something is to end.
///
/// # Errors
/// If it has passed; names the field.
fn to_come(field: &str, time: Option<Rfc3339>, now: Timestamp) -> Result<Option<Timestamp>, Refused> {
    match time.map(|Rfc3339(time)| time) {
        Some(time) if time.has_passed(now) => Err(Refused::invalid(format!("{field}: has passed already"))),
        time => Ok(time),
    }
}

/// What was done: what to show, and the secrets in it, which are shown this once.
#[derive(Clone, Default)]
pub struct Done {
    /// What may be shown at any time.
    pub view: Value,
    /// Members to add to it, this once.
    pub secrets: Vec<(&'static str, SecretText)>,
    /// The version of what is shown, where it has one.
    pub version: Option<u64>,
    /// Whether something came into being.
    pub created: bool,
}

impl fmt::Debug for Done {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Done({}, {} secrets)", self.view, self.secrets.len())
    }
}

impl Done {
    /// Something to show.
    pub fn of(view: Value) -> Self {
        Self { view, ..Self::default() }
    }

    /// Something to show that has a version.
    pub fn at(view: Value, version: u64) -> Self {
        Self { view, version: Some(version), ..Self::default() }
    }

    /// All of it as one text, secrets included.
    pub fn reveal(&self) -> SecretText {
        #[derive(Serialize)]
        struct Revealed<'a> {
            #[serde(flatten)]
            secrets: std::collections::BTreeMap<&'a str, &'a str>,
            #[serde(flatten)]
            view: &'a Map<String, Value>,
        }
        let text = match &self.view {
            Value::Object(view) => {
                let secrets = self.secrets.iter().map(|(name, secret)| (*name, secret.expose())).collect();
                serde_json::to_string(&Revealed { secrets, view })
            }
            other => serde_json::to_string(other),
        };
        SecretText::new(text.unwrap_or_default())
    }
}

/// Random bits for one command, from the one place that has any.
#[derive(Clone)]
pub struct Fresh {
    id: [u8; 4],
    secret: [u8; 32],
    signing: [u8; 32],
    nonces: [[u8; 12]; 2],
    key: [u8; 16],
    salt: [u8; 16],
}

impl fmt::Debug for Fresh {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[random bits]")
    }
}

impl Fresh {
    /// From 128 random bytes.
    pub fn new(bits: &[u8; 128]) -> Self {
        fn part<const N: usize>(bits: &[u8; 128], at: usize) -> [u8; N] {
            let mut part = [0; N];
            part.iter_mut().zip(bits.iter().skip(at)).for_each(|(to, from)| *to = *from);
            part
        }
        Self {
            id: part(bits, 0),
            secret: part(bits, 4),
            signing: part(bits, 36),
            nonces: [part(bits, 68), part(bits, 80)],
            key: part(bits, 92),
            salt: part(bits, 108),
        }
    }
}
