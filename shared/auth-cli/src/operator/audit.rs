//! The audit of changes: its end, a search, a check, all of it.

use super::arguments::{Audit, Query, Tail, Verify};
use super::{Global, Output, give, show};
use crate::deployment::Deployment;
use crate::trouble::{Trouble, broken};
use auth_core::refusal::Refusal;
use serde_json::{Value, json};
use std::time::Duration;

/// How often the end is looked for again.
const FOLLOW: Duration = Duration::from_secs(2);

pub(super) async fn run(audit: &Audit, deployment: &Deployment, global: &Global) -> Result<(), Trouble> {
    match audit {
        Audit::Tail(tail) => follow(tail, deployment, global).await,
        Audit::Query(query) => {
            let page = ask(query, deployment, None).await?;
            if global.output == Output::Json {
                return show::pretty(&page);
            }
            show::entries(&entries_of(&page))?;
            match page.get("next_cursor").and_then(Value::as_str) {
                Some(cursor) => show::say(&format!("\nmore: --cursor {cursor}")),
                None => Ok(()),
            }
        }
        Audit::Export(query) => {
            let mut cursor: Option<String> = None;
            loop {
                let page = ask(query, deployment, cursor).await?;
                entries_of(&page).iter().try_for_each(show::json_line)?;
                match page.get("next_cursor").and_then(Value::as_str) {
                    Some(next) => cursor = Some(next.to_owned()),
                    None => return Ok(()),
                }
            }
        }
        Audit::Verify(verify) => check(verify, deployment, global).await,
    }
}

fn entries_of(page: &Value) -> Vec<Value> {
    page.get("entries").and_then(Value::as_array).cloned().unwrap_or_default()
}

async fn ask(query: &Query, deployment: &Deployment, cursor: Option<String>) -> Result<Value, Trouble> {
    let mut fields = serde_json::to_value(query).map_err(broken)?;
    if let (Some(members), Some(cursor)) = (fields.as_object_mut(), cursor) {
        members.insert("cursor".into(), cursor.into());
    }
    let name = if query.tenant.is_some() { "queryTenantAudit" } else { "queryAudit" };
    Ok(give(deployment, name, fields, None, false, None).await?.view)
}

async fn follow(tail: &Tail, deployment: &Deployment, global: &Global) -> Result<(), Trouble> {
    let mut fields = json!({"limit": tail.limit});
    if let Some(members) = fields.as_object_mut() {
        members.extend(tail.tenant.iter().map(|t| ("tenant".to_owned(), t.as_str().into())));
        members.extend(tail.client.iter().map(|c| ("client_id".to_owned(), c.as_str().into())));
    }
    let name = if tail.tenant.is_some() { "queryTenantAudit" } else { "queryAudit" };
    let mut seen: Vec<Value> = Vec::new();
    loop {
        let page = give(deployment, name, fields.clone(), None, false, None).await?.view;
        let mut entries = entries_of(&page);
        entries.reverse();
        let new: Vec<Value> = entries.iter().filter(|entry| !seen.contains(entry)).cloned().collect();
        match global.output {
            Output::Json => new.iter().try_for_each(show::json_line)?,
            Output::Table if new.is_empty() && tail.follow => {}
            Output::Table => show::entries(&new)?,
        }
        if !tail.follow {
            return Ok(());
        }
        seen = entries;
        tokio::time::sleep(FOLLOW).await;
    }
}

async fn check(verify: &Verify, deployment: &Deployment, global: &Global) -> Result<(), Trouble> {
    let mut chains: Vec<Option<String>> = vec![verify.tenant.clone()];
    if verify.tenant.is_none() {
        let mut cursor: Option<String> = None;
        loop {
            let fields = cursor.take().map_or_else(|| json!({"limit": 100}), |c| json!({"limit": 100, "cursor": c}));
            let page = give(deployment, "listTenants", fields, None, false, None).await?.view;
            let tenants = page.get("tenants").and_then(Value::as_array).into_iter().flatten();
            chains.extend(tenants.filter_map(|t| Some(Some(t.get("tenant")?.as_str()?.to_owned()))));
            match page.get("next_cursor").and_then(Value::as_str) {
                Some(next) => cursor = Some(next.to_owned()),
                None => break,
            }
        }
    }
    let mut results = Vec::new();
    for tenant in chains {
        // The head that was kept is of the chain that is named, or else of the deployment's own.
        let head = verify.head.as_ref().filter(|_| tenant == verify.tenant);
        let fields = json!({"tenant": tenant, "head": head});
        results.push(give(deployment, "verifyAudit", fields, None, false, None).await?.view);
    }
    match global.output {
        Output::Json => show::pretty(&json!({ "chains": results }))?,
        Output::Table => show::checks(&["chain", "state", "entries", "last", "number", "what", "head"], &results)?,
    }
    if let Some(broken) = results.iter().find(|r| r.get("state").is_some_and(|s| s == "broken")) {
        let text = |name: &str| broken.get(name).and_then(Value::as_str).unwrap_or_default();
        let number = broken.get("number").and_then(Value::as_u64).unwrap_or_default();
        let refused = format!("The chain {} is broken: entry {number} {}.", text("chain"), text("what"));
        return Err(Trouble::Refused(auth_core::admin::Refused { refusal: Refusal::Conflict, text: refused }));
    }
    Ok(())
}
