//! Why a request is decided as it is: each check in order, what was compared, the one that failed, and what would have to
//! change for an Allow. An event is decided anew by the functions' own code; a request that was is told from its lines.

use super::{Global, Output, show};
use crate::deployment::Deployment;
use crate::trouble::{Trouble, broken};
use auth_core::api::Mechanism;
use auth_core::audit::{AuditLine, Outcome, shown};
use auth_core::settings::{LogLevel, Settings};
use auth_edge::event::AuthorizerEvent;
use auth_edge::{clock, header};
use auth_store::gate::Gate;
use serde_json::{Value, json};
use std::io::BufRead as _;
use std::path::PathBuf;

/// What `explain` is told.
#[derive(Debug, clap::Args)]
#[group(skip)]
#[command(group(clap::ArgGroup::new("what").args(["event", "request_id"]).required(true)))]
pub(crate) struct Arguments {
    /// An authorizer's event, as API Gateway sends it: it is decided now, with the deployment's data.
    event: Option<PathBuf>,
    /// A request that was decided: a running `dev` remembers, elsewhere --log says where the audit lines are.
    #[arg(long, value_name = "ID")]
    request_id: Option<String>,
    /// A file of audit lines (JSON, as CloudWatch Logs gives them out), or - for standard input.
    #[arg(long, value_name = "FILE", requires = "request_id")]
    log: Option<PathBuf>,
}

pub(crate) async fn run(arguments: Arguments, global: &Global) -> Result<(), Trouble> {
    if let Some(path) = &arguments.event {
        let deployment = global.deployment().await?;
        return replay(path, &deployment, global).await;
    }
    let id = arguments.request_id.unwrap_or_default();
    let lines = match &arguments.log {
        Some(path) => lines_in(path, &id)?,
        None => {
            let deployment = global.deployment().await?;
            let known = deployment.lines_of(&id).await;
            known.ok_or_else(|| {
                Trouble::Usage("no dev runs there that remembers requests; name the lines by --log".into())
            })?
        }
    };
    if lines.is_empty() {
        return Err(Trouble::refused(format!("There is no line of request {id}.")));
    }
    match global.output {
        Output::Json => show::pretty(&json!({ "lines": lines.iter().map(with_remedy).collect::<Vec<Value>>() })),
        Output::Table => lines.iter().try_for_each(tell),
    }
}

/// The audit lines of a request, wherever they stand in a log.
fn lines_in(path: &PathBuf, id: &str) -> Result<Vec<Value>, Trouble> {
    let name = path.display().to_string();
    let wrong = |e: std::io::Error| Trouble::Usage(format!("{name}: {e}"));
    let input: Box<dyn std::io::BufRead> = match name.as_str() {
        "-" => Box::new(std::io::BufReader::new(std::io::stdin())),
        _ => Box::new(std::io::BufReader::new(std::fs::File::open(path).map_err(wrong)?)),
    };
    let mut found = Vec::new();
    for line in input.lines() {
        let line = line.map_err(wrong)?;
        // A log may put a time before the line.
        let json = line.find('{').and_then(|at| line.get(at..)).unwrap_or_default();
        if let Ok(value) = serde_json::from_str::<Value>(json)
            && value.get("request_id").is_some_and(|v| v == id)
        {
            found.push(value);
        }
    }
    Ok(found)
}

async fn replay(path: &PathBuf, deployment: &Deployment, global: &Global) -> Result<(), Trouble> {
    let name = path.display().to_string();
    let wrong = |what: &dyn std::fmt::Display| Trouble::Usage(format!("{name}: {what}"));
    let text = std::fs::read(path).map_err(|e| wrong(&e))?;
    let event = auth_core::json::parse(&text).map_err(|e| wrong(&e))?;
    let mechanism = mechanism(&event, &name);
    let kind = if mechanism == Mechanism::ApiKey { ("api_key", "apikey") } else { ("jwt", "authorization") };
    let read = AuthorizerEvent::read(&event, kind.1).map_err(|e| {
        wrong(&format!(
            "{e}; events of the token, login and admin functions have no checks, only an answer that says it all"
        ))
    })?;
    let settings = Settings { log_level: LogLevel::Debug, ..deployment.settings.clone() };
    let gate = Gate { notes_use: false, ..Gate::new(&deployment.aws, &settings) };
    let now = clock::now();
    let mut line = AuditLine::new(kind.0, now, &read.request_id);
    let verdict = match mechanism {
        Mechanism::ApiKey => gate.api_key(&read.request, header::api_key(&read.request), now, &mut line).await,
        _ => gate.bearer(&read.request, header::bearer(&read.request), now, &mut line).await,
    };
    let verdict = verdict.map_err(broken)?;
    line.checks = Some(verdict.trail.clone());
    if let Ok(access) = &verdict.access {
        line.outcome = Outcome::Allowed;
        line.client_id = access.rights().client_id().map(ToString::to_string);
    }
    let line = json!(line);
    match global.output {
        Output::Json => show::pretty(&with_remedy(&line)),
        Output::Table => tell(&line),
    }
}

/// Which authorizer an event is for: its file says so, or the header that it has.
fn mechanism(event: &Value, name: &str) -> Mechanism {
    let file = name.rsplit('/').next().unwrap_or_default();
    let has_key = |headers: &Value| {
        let names = headers.as_object().into_iter().flatten().map(|(name, _)| name.to_ascii_lowercase());
        names.into_iter().any(|name| name == "apikey")
    };
    let headers = event.get("headers").is_some_and(has_key);
    let token = event.get("authorizationToken").and_then(Value::as_str);
    match () {
        () if file.starts_with("api-key-authorizer.") => Mechanism::ApiKey,
        () if file.starts_with("jwt-authorizer.") => Mechanism::Jwt,
        () if headers || token.is_some_and(|t| t.starts_with("ak_")) => Mechanism::ApiKey,
        () => Mechanism::Jwt,
    }
}

fn text<'a>(line: &'a Value, name: &str) -> &'a str {
    line.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn with_remedy(line: &Value) -> Value {
    let mut line = line.clone();
    let change = remedy(&line);
    if let (Some(members), Some(change)) = (line.as_object_mut(), change) {
        members.insert("to_allow_it".into(), change.into());
    }
    line
}

fn tell(line: &Value) -> Result<(), Trouble> {
    let who = [text(line, "client_id"), text(line, "customer_id")].into_iter().find(|w| !w.is_empty());
    let what = format!("{} {}", text(line, "method"), text(line, "route"));
    say(&format!(
        "{} {} {}: {}{}",
        text(line, "time"),
        text(line, "kind"),
        text(line, "outcome"),
        who.unwrap_or("somebody"),
        if what.trim().is_empty() { String::new() } else { format!(" at {}", what.trim()) },
    ))?;
    let checks = line.get("checks").and_then(Value::as_array).cloned().unwrap_or_default();
    for check in &checks {
        let passed = check.get("passed").and_then(Value::as_bool).unwrap_or(false);
        let compared = text(check, "compared");
        let compared = if compared.is_empty() { String::new() } else { format!(" ({compared})") };
        let found = text(check, "found");
        let found = if found.is_empty() { String::new() } else { format!(": {found}") };
        say(&format!("  {} {}{found}{compared}", if passed { "ok  " } else { "FAIL" }, text(check, "name")))?;
    }
    if text(line, "outcome") == "allowed" {
        return say("Allowed.");
    }
    let code = line.get("code").and_then(Value::as_i64).unwrap_or_default();
    say(&format!("Refused: {code} {}: {}.", text(line, "error"), text(line, "why")))?;
    if checks.is_empty() {
        say("The line has no checks; LOG_LEVEL=debug puts them into authorizers' lines.")?;
    }
    match remedy(line) {
        Some(change) => say(&format!("To allow it: {change}")),
        None => Ok(()),
    }
}

/// What would have to change. Of the check that failed, or of the refusal where there is none.
fn remedy(line: &Value) -> Option<String> {
    if text(line, "outcome") != "refused" {
        return None;
    }
    let failed = line.get("checks").and_then(Value::as_array).into_iter().flatten();
    let failed = failed.into_iter().find(|c| c.get("passed").is_some_and(|p| p == false));
    let check = failed.map(|check| text(check, "name")).unwrap_or_default();
    let or = |value: &'static str, name: &str| {
        let said = text(line, name);
        if said.is_empty() { value.to_owned() } else { said.to_owned() }
    };
    let (client, tenant, api) = (or("CLIENT", "client_id"), or("TENANT", "tenant"), or("API", "api"));
    let (scope, why) = (or("SCOPE", "scope"), text(line, "why"));
    Some(match (check, text(line, "error")) {
        ("client active", _) if why.contains("pending") => format!("countersign client approve {client}"),
        ("client active", _) if why.contains("suspended") => format!("countersign client resume {client}"),
        ("client active", _) => "the client was deleted; register another: countersign client register".into(),
        ("client known", _) => "use the id of a client that there is: countersign client list".into(),
        ("key known" | "key in shape", _) => format!("send a key that was issued: countersign key list {client}"),
        ("key active", _) => format!("the key is revoked for ever; issue another: countersign key issue {client}"),
        ("key in time", _) => format!("the key has expired; issue another: countersign key issue {client}"),
        ("key of the requested tenant", _) => {
            format!(
                "ask for tenant {tenant}, or issue a key for the other: countersign key issue {client} --tenant ..."
            )
        }
        ("environment" | "environment of the client", _) => {
            format!(
                "use a credential of this environment; a test client gets one by: countersign client promote {client}"
            )
        }
        ("scope", _) => {
            format!(
                "countersign grant change {client} --tenant {tenant} --scope (its scopes, and {scope}); for a token that was issued before: get a new one"
            )
        }
        ("tenant granted", _) if why.contains("not approved") => {
            format!("countersign grant approve {client} --tenant {tenant}")
        }
        ("tenant granted", _) if why.contains("disabled") => format!("countersign tenant enable {tenant}"),
        ("tenant granted", _) if why.contains("unknown tenant") => format!("countersign tenant provision {tenant}"),
        ("tenant granted" | "tenant of the token", _) => {
            format!("countersign grant request {client} --tenant {tenant}, and approve it")
        }
        ("requested tenant", _) => {
            "ask for the tenant that the credential acts for, or use one of that tenant's".into()
        }
        ("tenant has the API", _) => format!("countersign tenant set-apis {tenant} --api (its APIs, and {api})"),
        ("API assigned", _) => format!("countersign client change {client} --api (its APIs, and {api})"),
        ("audience", _) => format!("get a token for this API: resource={api}"),
        ("algorithm of the API", _) => format!("get a token for this API: resource={api}"),
        ("SKU", _) => format!("countersign grant change {client} --tenant {tenant} --sku (its SKUs, and this one)"),
        ("supplier", _) | (_, "supplier_mismatch") => {
            format!(
                "send a supplier code of the grant, or: countersign grant change {client} --tenant {tenant} --supplier ..."
            )
        }
        ("subject", _) => "use a credential of the kind that the operation is for".into(),
        ("mechanism", _) => "send the kind of credential that the operation takes".into(),
        ("token there" | "token in shape", _) | (_, "missing_token") => {
            "send a token as: Authorization: Bearer TOKEN".into()
        }
        ("key there", _) => "send the key in the header ApiKey".into(),
        ("token not revoked" | "tokens not revoked" | "credential of this client", _) | (_, "token_revoked") => {
            "get a new token; this one was revoked".into()
        }
        ("token in use", _) | (_, "token_expired") => "get a new token; this one has expired".into(),
        ("customer active", _) => format!("countersign customer enable {tenant} USERNAME"),
        (_, "endpoint_not_assigned") if api == "API" => {
            "import a document that declares the operation: countersign api import".into()
        }
        (_, "invalid_token") => "send a token of this issuer that is still good".into(),
        (_, "rate_limited") => "wait as Retry-After says".into(),
        (_, "invalid_request") => "send what the API's document describes".into(),
        _ => return None,
    })
}

/// Names and texts of callers are part of what is said.
fn say(text: &str) -> Result<(), Trouble> {
    show::say(&text.chars().map(shown).collect::<String>())
}
