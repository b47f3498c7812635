//! Moving in with existing credentials, and out again, as JSON lines.

use super::{Global, Output, operator, show};
use crate::deployment::Deployment;
use crate::seed::{self, Seed};
use crate::trouble::{Trouble, broken};
use auth_core::ids::Environment;
use auth_core::secret::{Digest, DigestOf};
use auth_edge::clock;
use auth_store::office::{Exported, Moved, Office, Row};
use serde_json::{Map, Value, json};
use std::io::{BufRead, BufReader, Write as _};
use std::path::PathBuf;

/// How many lines are written at a time, and how often it is said how far it is.
const AT_ONCE: usize = 500;
const PROGRESS: usize = 10_000;

/// What `import` is told.
#[derive(Debug, clap::Args)]
pub(crate) struct ImportArguments {
    /// The file, one JSON object a line; `-` for standard input. Each has a `type`: tenant, role, client, grant, key or
    /// customer, and the members that a seed file has for it, or those that an export wrote.
    file: PathBuf,
}

/// What `export` is told.
#[derive(Debug, clap::Args)]
pub(crate) struct ExportArguments {
    /// Only these kinds: tenant, role, issuer, client, grant, key, customer.
    #[arg(long = "type", value_name = "TYPE", value_delimiter = ',', value_parser = ["tenant", "role", "issuer", "client", "grant", "key", "customer"])]
    types: Vec<String>,
    /// The file to write; standard output if not given. Only its owner may read it.
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
}

/// Reads all of the file before anything is written: of a file with a mistake nothing is.
pub(crate) async fn import(arguments: ImportArguments, global: &Global) -> Result<(), Trouble> {
    let deployment = global.deployment().await?;
    let keyring = deployment.gate.keyring.get(clock::now()).await.map_err(broken)?;
    let name = arguments.file.display().to_string();
    let input: Box<dyn BufRead> = match name.as_str() {
        "-" => Box::new(BufReader::new(std::io::stdin())),
        _ => {
            let file = std::fs::File::open(&arguments.file).map_err(|e| Trouble::Usage(format!("{name}: {e}")))?;
            Box::new(BufReader::new(file))
        }
    };
    let mut rows = Vec::new();
    for (index, line) in input.lines().enumerate() {
        let place = |what: &dyn std::fmt::Display| Trouble::Usage(format!("{name}:{}: {what}", index + 1));
        let line = line.map_err(|e| place(&e))?;
        if line.trim().is_empty() {
            continue;
        }
        let value = auth_core::json::parse(line.as_bytes()).map_err(|e| place(&e))?;
        match rows_of(value, deployment.gate.environment, &keyring) {
            Ok(new) => rows.extend(new),
            Err(Trouble::Usage(what)) => return Err(place(&what)),
            Err(other) => return Err(other),
        }
        if (index + 1) % (10 * PROGRESS) == 0 {
            progress(&format!("read {} lines", index + 1));
        }
    }
    let moved = write(rows, &deployment, global.dry_run).await?;
    report(&moved, global)
}

/// Writes rows, and says how far it is.
pub(crate) async fn write(rows: Vec<Row>, deployment: &Deployment, dry_run: bool) -> Result<Moved, Trouble> {
    let office = Office::new(&deployment.gate, &deployment.aws, operator("cli")?, clock::now(), None);
    let total = rows.len();
    let (mut moved, mut told, mut done) = (Moved::default(), 0, 0);
    let mut rows = rows.into_iter();
    loop {
        let some: Vec<Row> = rows.by_ref().take(AT_ONCE).collect();
        if some.is_empty() {
            return Ok(moved);
        }
        done += some.len();
        let part = office.import(some, dry_run).await.map_err(|fault| {
            Trouble::Broken(format!(
                "{fault}; {} of {total} rows were written. Give the same again to go on",
                moved.added
            ))
        })?;
        moved.added += part.added;
        moved.same += part.same;
        moved.other.extend(part.other);
        if done - told >= PROGRESS {
            told = done;
            progress(&format!("{done} of {total} rows"));
        }
    }
}

fn progress(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "importing: {text}");
}

/// What became of the rows. Those that were there and are others stay as they are, and are named.
pub(crate) fn report(moved: &Moved, global: &Global) -> Result<(), Trouble> {
    if global.output == Output::Json {
        let view = json!({"added": moved.added, "same": moved.same, "other": moved.other, "written": !global.dry_run});
        return show::pretty(&view);
    }
    let word = if global.dry_run { "would be added" } else { "added" };
    let (added, same, other) = (moved.added, moved.same, moved.other.len());
    show::say(&format!("{added} {word}, {same} were there already, {other} were there and are others: they stay"))?;
    for name in moved.other.iter().take(20) {
        show::say(&format!("  stays as it is: {name}"))?;
    }
    Ok(())
}

/// The rows of one line: as an export wrote it, or as a seed file says it.
pub(crate) fn rows_of(
    mut line: Value,
    environment: Environment,
    keyring: &auth_core::keyring::Keyring,
) -> Result<Vec<Row>, Trouble> {
    let kind = line.get("type").and_then(Value::as_str).unwrap_or_default().to_owned();
    if kind == "keyring" {
        // Digests under another pepper match nothing, and nobody would notice.
        return match line.get("mark").and_then(Value::as_str) == Some(mark_of(keyring).as_str()) {
            true => Ok(Vec::new()),
            false => Err(Trouble::refused(
                "The export was made under another keyring, and none of its credentials counts here. Without this line the rest moves.",
            )),
        };
    }
    let exported = line.get("record").is_some() || kind == "role";
    if exported {
        return Row::exported(line, clock::now()).map(|row| vec![row]).map_err(Trouble::Usage);
    }
    let list = match kind.as_str() {
        "tenant" => "tenants",
        "client" => "clients",
        "issuer" => "issuers",
        "key" => "api_keys",
        "customer" => "customers",
        "grant" => return seed::grant_row(line).map(|row| vec![row]),
        _ => return Err(Trouble::Usage("type: tenant, role, issuer, client, grant, key or customer".into())),
    };
    if let Some(members) = line.as_object_mut() {
        members.remove("type");
    }
    let mut whole = Map::new();
    whole.insert("environment".into(), environment.as_str().into());
    whole.insert(list.into(), json!([line]));
    let seed = Seed::read_part(Value::Object(whole))?;
    seed::rows(&seed, keyring)
}

/// Tells the keyring under which digests were made.
fn mark_of(keyring: &auth_core::keyring::Keyring) -> String {
    Digest::of(&keyring.pepper, DigestOf::Pepper, "").as_str().to_owned()
}

/// Writes everything that can move.
pub(crate) async fn export(arguments: ExportArguments, global: &Global) -> Result<(), Trouble> {
    let deployment = global.deployment().await?;
    let office = Office::new(&deployment.gate, &deployment.aws, operator("cli")?, clock::now(), None);
    let keyring = deployment.gate.keyring.get(clock::now()).await.map_err(broken)?;
    let first = json!({"type": "keyring", "mark": mark_of(&keyring)});
    let mut text: Vec<u8> = format!("{first}\n").into_bytes();
    if arguments.file.is_none() {
        show::json_line(&first)?;
    }
    let mut cursor: Option<Exported> = None;
    let mut count = 0;
    loop {
        let (lines, next) = office.export(cursor).await.map_err(broken)?;
        let wanted = |line: &&Value| {
            let kind = line.get("type").and_then(Value::as_str).unwrap_or_default();
            arguments.types.is_empty() || arguments.types.iter().any(|t| t == kind)
        };
        for line in lines.iter().filter(wanted) {
            count += 1;
            match &arguments.file {
                Some(_) => writeln!(text, "{line}").map_err(broken)?,
                None => show::json_line(line)?,
            }
            if count % PROGRESS == 0 {
                let _ = writeln!(std::io::stderr().lock(), "exporting: {count} rows");
            }
        }
        match next {
            Some(next) => cursor = Some(next),
            None => break,
        }
    }
    if let Some(path) = &arguments.file {
        let name = path.display();
        crate::trouble::write_whole(path, &text).map_err(|e| Trouble::Usage(format!("{name}: {e}")))?;
        show::say(&format!("{count} rows written to {name}"))?;
    }
    Ok(())
}
