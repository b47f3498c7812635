//! `countersign seed`: imports a seed file into a deployment, on AWS or local.

use crate::operator::{Global, Output, operator, report, write};
use crate::seed::{self, Made, Seed, Source};
use crate::trouble::{Trouble, broken};
use auth_core::api::Api;
use auth_core::ids::ClientId;
use auth_edge::clock;
use auth_store::gate::Gate;
use auth_store::office::Office;
use auth_store::store::{Record, Wanted};
use serde_json::json;
use std::io::Write as _;
use std::path::{Path, PathBuf};

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
pub(crate) async fn run(arguments: Arguments, global: &Global) -> Result<(), Trouble> {
    let deployment = global.deployment().await?;
    let gate = &deployment.gate;
    let mut seed = Seed::read(&arguments.file)?;
    let folder = arguments.file.parent().unwrap_or(Path::new(""));
    let given = arguments.openapi.as_deref().map(Source::read).transpose()?;
    check(&seed, gate)?;
    seed.with_admin_api();
    let (apis, sources) = seed::apis(&seed, folder, given.as_slice(), &gate.issuer)?;
    let keyring = gate.keyring.get(clock::now()).await.map_err(broken)?;
    seed::check_algorithms(&apis, &keyring)?;
    let mut made = Vec::new();
    let rows = seed::rows_and_made(&seed, &keyring, &mut made)?;
    warn(&seed, &sources);

    // A document may hold APIs that this seed does not declare, but another one did.
    let is_declared = |api: &Api| seed.apis.iter().any(|declared| declared.name == api.name);
    let there = gate.store.catalog().await.map_err(broken)?;
    for staying in there.apis.values().filter(|api| !is_declared(api)) {
        apis.iter().filter(|api| is_declared(api)).try_for_each(|api| seed::keep_apart(api, staying))?;
    }
    let (declared, undeclared): (Vec<&Api>, Vec<&Api>) = apis.iter().partition(|api| is_declared(api));
    let replacing: Vec<Record> = declared
        .into_iter()
        .map(|api| Record::Api(Box::new(api.clone())))
        .chain(seed.roles.iter().map(|role| Record::Role(role.name.clone(), role.scopes.clone())))
        .collect();
    let imported = replacing.len();
    if !global.dry_run {
        // Written down before it is done: better announced and failed than done and not on record.
        let undeclared: Vec<Record> = undeclared.iter().map(|api| Record::Api(Box::new((*api).clone()))).collect();
        let office = Office::new(gate, &deployment.aws, operator("seed")?, clock::now(), None);
        office.note("seed", replacing.iter().chain(&undeclared).map(Record::name).collect()).await.map_err(broken)?;
        // APIs and roles first, and all processes are told, whatever becomes of the rest.
        gate.store.load(replacing, |_| {}).await.map_err(broken)?;
        for api in &undeclared {
            gate.store.add(api).await.map_err(broken)?;
        }
        gate.store.bump_catalog().await.map_err(broken)?;
    }
    let announced = announce(gate, &made, global.output, global.dry_run).await?;
    let moved = write(rows, &deployment, global.dry_run).await?;
    if global.output == Output::Table {
        let word = if global.dry_run { "would be imported" } else { "imported" };
        say(&format!("{imported} APIs and roles {word}"))?;
    }
    report(&moved, global)?;
    let lost = announced.iter().find(|id| moved.other.contains(&format!("client {id}")));
    match lost {
        Some(id) => say(&format!("client {id} was added by somebody else in between: a secret said above is not its")),
        None => Ok(()),
    }
}

/// Secrets that were made are said before they count: if anything breaks then, nothing is lost. Of clients that are there
/// already, nothing is said: theirs stay.
async fn announce(gate: &Gate, made: &[Made], output: Output, dry_run: bool) -> Result<Vec<ClientId>, Trouble> {
    let mut announced = Vec::new();
    for made in made.iter().filter(|_| !dry_run) {
        let wanted = Wanted { client: Some(&made.client_id), ..Wanted::default() };
        if gate.store.fetch(wanted, clock::now()).await.map_err(broken)?.facts.client.is_none() {
            match output {
                Output::Json => {
                    say(&json!({"client_id": made.client_id, "client_secret": made.secret.expose()}).to_string())?
                }
                Output::Table => {
                    say(&format!("made for client {}: client_secret {}", made.client_id, made.secret.expose()))?
                }
            }
            announced.push(made.client_id.clone());
        }
    }
    Ok(announced)
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
