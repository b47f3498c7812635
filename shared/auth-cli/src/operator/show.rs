//! What came of a command: a table for people, JSON for programs.

use super::{Global, Output};
use crate::trouble::{Trouble, broken};
use auth_core::admin::Done;
use auth_core::audit::{plain, shown};
use comfy_table::{Attribute, Cell, Color, ContentArrangement, Table, presets};
use serde_json::{Map, Value, json};
use std::io::Write as _;

/// The columns of each list, in the order in which people look for them.
const COLUMNS: [(&str, &[&str]); 9] = [
    ("tenants", &["tenant", "name", "state", "apis"]),
    ("clients", &["client_id", "name", "kind", "tenant", "environment", "state", "apis"]),
    ("grants", &["client_id", "tenant", "state", "roles", "scopes", "skus", "suppliers", "not_after"]),
    ("keys", &["key_id", "prefix", "last_four", "state", "tenant", "apis", "expires_at", "last_used", "label"]),
    ("customers", &["customer_id", "tenant", "state", "scopes", "password_imported"]),
    ("roles", &["role", "scopes"]),
    ("issuers", &["name", "issuer", "jwks"]),
    ("apis", &["name", "audience", "url", "document", "operations"]),
    ("changes", &["api", "change", "method", "path", "members"]),
];

/// The columns of entries of the audit.
const ENTRIES: &[&str] = &["time", "chain", "number", "actor", "action", "client_id", "subject", "outcome", "why"];

/// Writes to standard output; what cannot be written there was not said.
pub(super) fn say(text: &str) -> Result<(), Trouble> {
    let mut out = std::io::stdout().lock();
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        // Whoever reads has seen enough.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => std::process::exit(0),
        written => written.map_err(broken),
    }
}

/// Says what was done.
pub(super) fn done(name: &str, done: &Done, global: &Global) -> Result<(), Trouble> {
    if global.output == Output::Json {
        return say(&json_text(done)?);
    }
    if global.dry_run {
        say("Nothing was written. It would be:")?;
    }
    let is_list = name.starts_with("list") || ["diffApi", "importApi"].contains(&name);
    let list = COLUMNS.iter().find(|(list, _)| is_list && done.view.get(*list).is_some_and(Value::is_array));
    if let Some((list, columns)) = list {
        return rows(list, columns, &done.view);
    }
    if name == "showApi" {
        return operations(&done.view);
    }
    if name == "showKeyring" {
        return rows("keys", &["kid", "alg", "state", "since"], &done.view);
    }
    say(&members(&done.view).to_string())?;
    for (name, secret) in done.secrets.iter().filter(|(name, _)| *name != "curl") {
        say(&format!("\n{name}, shown this once:\n  {}", secret.expose()))?;
    }
    if let Some((_, curl)) = done.secrets.iter().find(|(name, _)| *name == "curl") {
        say(&format!("\nGet a token with it:\n\n{}", curl.expose()))?;
    }
    Ok(())
}

/// The whole answer, with its version.
fn json_text(done: &Done) -> Result<String, Trouble> {
    let text = done.reveal();
    let mut value: Value = serde_json::from_str(text.expose()).map_err(broken)?;
    if let (Some(members), Some(version)) = (value.as_object_mut(), done.version) {
        members.insert("version".into(), version.into());
    }
    serde_json::to_string_pretty(&value).map(plain).map_err(broken)
}

fn table() -> Table {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
    table
}

/// A list, and where it goes on.
fn rows(list: &str, columns: &[&str], view: &Value) -> Result<(), Trouble> {
    let rows = view.get(list).and_then(Value::as_array).cloned().unwrap_or_default();
    if rows.is_empty() {
        say(&format!("no {list}"))?;
    } else {
        say(&listing(columns, &rows).to_string())?;
    }
    match view.get("next_cursor").and_then(Value::as_str) {
        Some(cursor) => say(&format!("\nmore: --cursor {cursor}")),
        None => Ok(()),
    }
}

fn listing(columns: &[&str], rows: &[Value]) -> Table {
    let mut table = table();
    let title = |name: &&str| Cell::new(name.to_uppercase().replace('_', " ")).add_attribute(Attribute::Bold);
    table.set_header(columns.iter().map(title));
    for row in rows {
        table.add_row(columns.iter().map(|name| cell(name, row.get(*name).unwrap_or(&Value::Null))));
    }
    table
}

/// Entries of the audit, one a line.
pub(super) fn entries(entries: &[Value]) -> Result<(), Trouble> {
    if entries.is_empty() {
        return say("no changes");
    }
    say(&listing(ENTRIES, entries).to_string())?;
    let tampered = entries.iter().filter(|entry| entry.get("tampered").is_some()).count();
    match tampered {
        0 => Ok(()),
        count => say(&format!("\n{count} of these are not as this deployment wrote them: countersign audit verify")),
    }
}

fn operations(view: &Value) -> Result<(), Trouble> {
    let mut head = view.clone();
    let operations = head.as_object_mut().and_then(|members| members.remove("operations")).unwrap_or_default();
    say(&members(&head).to_string())?;
    let columns = ["method", "path", "mechanism", "subject", "scopes", "tenant", "sku", "supplier"];
    say(&format!("\n{}", listing(&columns, operations.as_array().map(Vec::as_slice).unwrap_or_default())))
}

/// One thing, a member a line; what is not set is left out.
fn members(view: &Value) -> Table {
    let mut table = table();
    let empty = Map::new();
    for (name, value) in view.as_object().unwrap_or(&empty) {
        if !value.is_null() && value.as_array().is_none_or(|list| !list.is_empty()) {
            table.add_row([Cell::new(name).add_attribute(Attribute::Bold), cell(name, value)]);
        }
    }
    table
}

/// Colours are only put out where a terminal reads them; the library sees to that.
fn cell(name: &str, value: &Value) -> Cell {
    let text = readable(value);
    let color = match (name, text.as_str()) {
        ("state", "active" | "approved" | "current" | "whole") => Some(Color::Green),
        ("state", "pending" | "requested" | "next" | "expired") => Some(Color::Yellow),
        ("state", "suspended" | "revoked" | "disabled" | "deleted" | "broken") => Some(Color::Red),
        ("outcome", "refused") => Some(Color::Red),
        ("change", "added") => Some(Color::Green),
        ("change", "removed") => Some(Color::Red),
        _ => None,
    };
    match color {
        Some(color) => Cell::new(text).fg(color),
        None => Cell::new(text),
    }
}

fn readable(value: &Value) -> String {
    let text = match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(list) => {
            let simple = list.iter().all(|v| !v.is_object());
            list.iter().map(readable).collect::<Vec<_>>().join(if simple { " " } else { "\n" })
        }
        Value::Object(members) => {
            let named = members.iter().filter(|(_, v)| !v.is_null());
            named.map(|(name, value)| format!("{name}={}", readable(value))).collect::<Vec<_>>().join(" ")
        }
        other => other.to_string(),
    };
    // A name must not write to the terminal.
    text.chars().map(|c| if c == '\n' { c } else { shown(c) }).collect()
}

/// A line of JSON.
pub(super) fn json_line(value: &Value) -> Result<(), Trouble> {
    say(&plain(value.to_string()))
}

/// A value, pretty.
pub(super) fn pretty(value: &Value) -> Result<(), Trouble> {
    say(&plain(serde_json::to_string_pretty(value).map_err(broken)?))
}

/// A list of checks.
pub(super) fn checks(columns: &[&str], rows: &[Value]) -> Result<(), Trouble> {
    say(&listing(columns, &json!(rows).as_array().cloned().unwrap_or_default()).to_string())
}
