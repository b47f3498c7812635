//! Administration from the command line. Each command is the core's own, given straight to the table: what the admin API
//! does over HTTP, an operator with access to the table does here.

mod arguments;
mod audit;
mod doctor;
mod explain;
mod moves;
mod show;

pub(crate) use arguments::Subject;
pub(crate) use doctor::run as doctor;
pub(crate) use explain::{Arguments as ExplainArguments, run as explain};
pub(crate) use moves::{ExportArguments, ImportArguments, export, import, report, rows_of, write};

use crate::deployment::{self, Deployment};
use crate::trouble::{Trouble, broken};
use auth_core::admin::command::Command;
use auth_core::admin::{Actor, Authority, Done};
use auth_core::secret::{SecretText, hex};
use auth_edge::clock;
use auth_store::office::{Given, Office};
use serde_json::{Value, json};
use std::io::{IsTerminal as _, Read as _, Write as _};
use std::path::PathBuf;

/// What every command takes.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Global {
    /// The address of a running `countersign dev` (its gateway), or of another emulator of AWS. Without it, the
    /// environment says where the deployment is, as for a function.
    #[arg(long, global = true, value_name = "URL", help_heading = "For every command")]
    endpoint: Option<String>,
    /// How to answer: a table for people, or JSON for programs.
    #[arg(long, global = true, value_enum, default_value_t, help_heading = "For every command")]
    pub(crate) output: Output,
    /// Do not ask before something that cannot be taken back.
    #[arg(long, global = true, help_heading = "For every command")]
    yes: bool,
    /// Say what would be done, and write nothing.
    #[arg(long, global = true, help_heading = "For every command")]
    pub(crate) dry_run: bool,
}

/// How to answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Output {
    /// For people.
    #[default]
    Table,
    /// For programs.
    Json,
}

impl Global {
    /// The deployment that is meant.
    pub(crate) async fn deployment(&self) -> Result<Deployment, Trouble> {
        match &self.endpoint {
            Some(url) => deployment::at(url).await,
            None => deployment::from_env(),
        }
    }

    /// Asks, where somebody is there to answer.
    fn confirm(&self, question: &str) -> Result<(), Trouble> {
        if self.yes || self.dry_run {
            return Ok(());
        }
        if !std::io::stdin().is_terminal() {
            return Err(Trouble::Usage(format!("{question} Nobody is there to ask; say --yes")));
        }
        let mut err = std::io::stderr().lock();
        let _ = write!(err, "{question} [y/N] ");
        let _ = err.flush();
        let mut answer = String::new();
        std::io::stdin().read_line(&mut answer).map_err(broken)?;
        match answer.trim().to_ascii_lowercase().as_str() {
            "y" | "yes" => Ok(()),
            _ => Err(Trouble::refused("Nothing was done.")),
        }
    }
}

/// An operator at the command line. Who that is, the machine says; on AWS the access key joins it with CloudTrail.
pub(crate) fn operator(via: &'static str) -> Result<Actor, Trouble> {
    let said = |name: &str| std::env::var(name).ok().filter(|v| !v.is_empty());
    let person = said("USER").or_else(|| said("USERNAME")).unwrap_or_else(|| "somebody".into());
    let key = said("AWS_ACCESS_KEY_ID").filter(|key| key != "local").map(|key| format!(" with {key}"));
    let name = format!("{via}:{person}{}", key.unwrap_or_default());
    Ok(Actor {
        authority: Authority::Operator,
        name: auth_core::audit::cut(&name),
        client_id: None,
        scopes: None,
        on_behalf_of: None,
        via,
        request_id: hex(&clock::random::<16>().map_err(broken)?),
    })
}

/// Runs one command on a subject.
pub(crate) async fn run(subject: Subject, global: &Global) -> Result<(), Trouble> {
    let asked = subject.asked()?;
    let deployment = global.deployment().await?;
    if let Subject::Audit(arguments) = &subject {
        return audit::run(arguments, &deployment, global).await;
    }
    if let Some(question) = subject.question() {
        global.confirm(&question)?;
    }
    let done = give(&deployment, asked.name, asked.fields, asked.if_match, global.dry_run, asked.breached).await?;
    show::done(asked.name, &done, global)
}

/// Gives a command of the core.
pub(crate) async fn give(
    deployment: &Deployment,
    name: &str,
    fields: Value,
    if_match: Option<u64>,
    dry_run: bool,
    breached: Option<PathBuf>,
) -> Result<Done, Trouble> {
    let command = match Command::read(name, fields) {
        Some(Ok(command)) => command,
        Some(Err(text)) => return Err(Trouble::Usage(text)),
        None => return Err(Trouble::Broken(format!("there is no command {name}"))),
    };
    let office = Office::new(&deployment.gate, &deployment.aws, operator("cli")?, clock::now(), breached);
    let given = Given { if_match, once: None, dry_run };
    let mut done = office.execute(command, given).await.map_err(broken)?.map_err(Trouble::Refused)?;
    if dry_run {
        // What was not written is no secret of anybody's.
        done.secrets.clear();
    }
    Ok(done)
}

/// A secret, from standard input or typed without being shown. Never from the arguments, which other processes can read
/// and shells remember.
pub(crate) fn ask_secret(what: &str, twice: bool) -> Result<SecretText, Trouble> {
    let stdin = std::io::stdin();
    let text = if stdin.is_terminal() {
        let typed = rpassword::prompt_password(format!("{what}: ")).map_err(broken)?;
        if twice && rpassword::prompt_password(format!("{what}, again: ")).map_err(broken)? != typed {
            return Err(Trouble::Usage(format!("{what}: not the same twice")));
        }
        typed
    } else {
        let mut text = String::new();
        stdin.lock().take(64 * 1024).read_to_string(&mut text).map_err(|e| Trouble::Usage(format!("{what}: {e}")))?;
        text
    };
    let text = SecretText::new(text.trim_end_matches(['\n', '\r']));
    match text.expose().is_empty() {
        true => Err(Trouble::Usage(format!("{what}: nothing came on standard input"))),
        false => Ok(text),
    }
}

/// What goes wrong, for programs.
pub(crate) fn problem(trouble: &Trouble) -> Value {
    let (error, code) = match trouble {
        Trouble::Refused(refused) => (refused.refusal.error(), Some(refused.refusal.code())),
        Trouble::Usage(_) => ("usage", None),
        Trouble::Broken(_) => ("unavailable", Some(auth_core::refusal::Refusal::Unavailable.code())),
    };
    json!({"error": error, "error_description": trouble.to_string(), "code": code})
}
