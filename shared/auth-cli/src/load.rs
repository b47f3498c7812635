//! `countersign seed`: imports a seed file into a deployment, on AWS or local.

use crate::deployment;
use crate::seed::{self, Made, Seed, Source};
use crate::trouble::{Trouble, broken};
use auth_core::api::Api;
use auth_core::ids::ClientId;
use auth_edge::clock;
use auth_store::gate::Gate;
use auth_store::store::{Added, Record, Wanted};
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// How often it is said how far the import is, in records.
const PROGRESS: usize = 1000;

/// What `seed` is told. Table, secret, issuer, region and credentials come from the environment, as for a function.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The seed file, YAML or JSON.
    file: PathBuf,
    /// The OpenAPI 3 document of those APIs that name none.
    #[arg(long, value_name = "FILE")]
    openapi: Option<PathBuf>,
}

/// Writes the records. APIs and roles replace those of their names; of the rest, what is there already stays.
pub(crate) async fn run(arguments: Arguments) -> Result<(), Trouble> {
    let gate = deployment::from_env()?;
    let seed = Seed::read(&arguments.file)?;
    let folder = arguments.file.parent().unwrap_or(Path::new(""));
    let given = arguments.openapi.as_deref().map(Source::read).transpose()?;
    check(&seed, &gate)?;
    let (apis, sources) = seed::apis(&seed, folder, given.as_slice(), &gate.issuer)?;
    let keyring = gate.keyring.get(clock::now()).await.map_err(broken)?;
    seed::check_algorithms(&apis, &keyring)?;
    let (records, made) = seed::records(&seed, &apis, &keyring)?;
    warn(&seed, &sources);

    // A document may hold APIs that this seed does not declare, but another one did.
    let is_declared = |api: &Api| seed.apis.iter().any(|declared| declared.name == api.name);
    let there = gate.store.catalog().await.map_err(broken)?;
    for staying in there.apis.values().filter(|api| !is_declared(api)) {
        apis.iter().filter(|api| is_declared(api)).try_for_each(|api| seed::keep_apart(api, staying))?;
    }
    let replaces = |record: &Record| match record {
        Record::Api(api) => is_declared(api),
        Record::Role(..) => true,
        _ => false,
    };
    let (replacing, rest): (Vec<Record>, Vec<Record>) = records.into_iter().partition(replaces);
    let (undeclared, rest): (Vec<Record>, Vec<Record>) = rest.into_iter().partition(|r| matches!(r, Record::Api(_)));

    // APIs and roles first, and all processes are told, whatever becomes of the rest.
    let imported = replacing.len();
    gate.store.load(replacing, |_| {}).await.map_err(broken)?;
    for api in &undeclared {
        gate.store.add(api).await.map_err(broken)?;
    }
    gate.store.bump_catalog().await.map_err(broken)?;

    let mut added = 0;
    for (index, record) in rest.iter().enumerate() {
        let is_new = match record {
            Record::Client(client) => {
                let made = made.iter().find(|m| m.client_id == client.client_id);
                add_client(&gate, record, &client.client_id, made).await?
            }
            _ => gate.store.add(record).await.map_err(broken)? == Added::New,
        };
        added += usize::from(is_new);
        if (index + 1) % PROGRESS == 0 {
            let _ = writeln!(std::io::stderr().lock(), "seeding: {} of {} records", index + 1, rest.len());
        }
    }
    let stayed = rest.len() - added;
    say(&format!("{imported} APIs and roles imported, {added} records added, {stayed} were there and stay as they are"))
}

/// Adds a client. A secret that was made for it is said before it counts: if anything breaks then, nothing is lost.
async fn add_client(gate: &Gate, record: &Record, id: &ClientId, made: Option<&Made>) -> Result<bool, Trouble> {
    let wanted = Wanted { client: Some(id), ..Wanted::default() };
    if gate.store.fetch(wanted, clock::now()).await.map_err(broken)?.facts.client.is_some() {
        return Ok(false);
    }
    if let Some(made) = made {
        say(&format!("made for client {id}: client_secret {}", made.secret.expose()))?;
    }
    match gate.store.add(record).await.map_err(broken)? {
        Added::New | Added::Same => Ok(true),
        Added::Other => {
            say(&format!("client {id} was added by somebody else in between: a secret said above is not its"))?;
            Ok(false)
        }
    }
}

fn warn(seed: &Seed, sources: &[Source]) {
    let mut err = std::io::stderr().lock();
    for name in seed.unknown_apis() {
        let what = "which it does not declare; unless it is in the table already, nothing of it is ever allowed";
        let _ = writeln!(err, "warning: the seed names API {name}, {what}");
    }
    for warning in sources.iter().flat_map(Source::open_on_aws) {
        let _ = writeln!(err, "warning: {warning}");
    }
}

/// What a seed may say for `dev` only, or for another deployment.
fn check(seed: &Seed, gate: &Gate) -> Result<(), Trouble> {
    let wrong = |what: String| Err(Trouble::Usage(what));
    if seed.keyring.is_some() {
        return wrong("keyring: a deployment has its own, which its rotation function made".into());
    }
    if seed.environment != gate.environment {
        let (of_seed, of_deployment) = (seed.environment.as_str(), gate.environment.as_str());
        return wrong(format!("environment: the seed is for {of_seed}, the deployment is {of_deployment}"));
    }
    match &seed.issuer {
        Some(issuer) if *issuer != gate.issuer => {
            wrong(format!("issuer: the seed says {issuer}, the deployment is {}", gate.issuer))
        }
        _ => Ok(()),
    }
}

fn say(text: &str) -> Result<(), Trouble> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{text}").and_then(|()| out.flush()).map_err(broken)
}
