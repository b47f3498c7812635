//! APIs: what a document requires is imported in one step, shown, and compared before.

use super::Refused;
use super::command::{DiffApi, ImportApi};
use crate::api::{Api, Catalog, Operation, TokenSettings};
use crate::ids::ApiName;
use crate::openapi;
use crate::policy::operations_meet;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Two APIs must not be for the same requests, nor for the same audience.
///
/// # Errors
/// Names both.
pub fn keep_apart(api: &Api, other: &Api) -> Result<(), String> {
    if api.audience == other.audience {
        return Err(format!("APIs {} and {} have the same audience, {}", api.name, other.name, api.audience));
    }
    let pairs = api.operations.iter().flat_map(|a| other.operations.iter().map(move |b| (a, b)));
    // Within one document the gateway chooses; of two documents, each would be a gateway of its own.
    let mut clash = pairs.filter(|(a, b)| {
        let same = a.method == b.method && a.path.fill(|_| "{}".into()) == b.path.fill(|_| "{}".into());
        same || (api.document != other.document && operations_meet(a, b))
    });
    match clash.next() {
        None => Ok(()),
        Some((a, b)) => Err(format!(
            "{} {} of API {} and {} {} of API {} are for the same requests",
            a.method, a.path, api.name, b.method, b.path, other.name
        )),
    }
}

/// The life and the idle life of tokens are within bounds.
///
/// # Errors
/// Names the member.
pub fn check_token_settings(token: &TokenSettings) -> Result<(), &'static str> {
    if !(1..=86_400).contains(&token.lifetime_seconds) {
        return Err("token.lifetime_seconds: from 1 to 86400");
    }
    if token.idle_seconds.is_some_and(|idle| idle < 1) {
        return Err("token.idle_seconds: 1 or more, or null");
    }
    Ok(())
}

/// Where the APIs of a document are served: its first server, if that is an address.
pub fn server_url(document: &Value) -> Option<String> {
    let url = document.pointer("/servers/0/url").and_then(Value::as_str)?;
    let is_address = url.starts_with("https://") || url.starts_with("http://");
    (is_address && !url.contains('{')).then(|| url.trim_end_matches('/').to_owned())
}

/// The APIs that a document describes, as they will be. What an API had before, and the import does not name, stays.
///
/// # Errors
/// If the document cannot be read, or its operations are another API's.
pub fn import(asked: &ImportApi, catalog: &Catalog, issuer: &str) -> Result<Vec<Api>, Refused> {
    let document = &asked.document;
    let groups = operations_by_api(document, asked.api.as_ref())?;
    if groups.len() > 1 && (asked.audience.is_some() || asked.url.is_some()) {
        return Err(Refused::invalid("api: the document describes several APIs; say which has this audience and url"));
    }
    if let Some(token) = &asked.token {
        check_token_settings(token).map_err(Refused::invalid)?;
    }
    let title = document.pointer("/info/title").and_then(Value::as_str).unwrap_or_default();
    let mut apis = Vec::new();
    for (name, operations) in groups {
        let there = catalog.apis.get(&name);
        apis.push(Api {
            audience: asked
                .audience
                .as_ref()
                .map(ToString::to_string)
                .unwrap_or_else(|| there.map_or_else(|| format!("{issuer}/apis/{name}"), |api| api.audience.clone())),
            url: asked
                .url
                .as_ref()
                .map(ToString::to_string)
                .or_else(|| server_url(document))
                .or_else(|| there?.url.clone()),
            document: asked
                .source
                .as_ref()
                .map(ToString::to_string)
                .unwrap_or_else(|| there.map_or_else(|| title.to_owned(), |api| api.document.clone())),
            token: asked.token.or_else(|| Some(there?.token)).unwrap_or_default(),
            name,
            operations,
        });
    }
    let staying = catalog.apis.values().filter(|api| !apis.iter().any(|new| new.name == api.name));
    for other in staying {
        apis.iter().try_for_each(|api| keep_apart(api, other)).map_err(Refused::conflict)?;
    }
    for (index, api) in apis.iter().enumerate() {
        let mut others = apis.iter().skip(index + 1);
        others.try_for_each(|other| keep_apart(api, other)).map_err(Refused::conflict)?;
    }
    Ok(apis)
}

fn operations_by_api(
    document: &Value,
    only: Option<&ApiName>,
) -> Result<BTreeMap<ApiName, Vec<Arc<Operation>>>, Refused> {
    let read = openapi::read(document).map_err(|e| Refused::invalid(format!("document: {e}")))?;
    let mut groups: BTreeMap<ApiName, Vec<Arc<Operation>>> = BTreeMap::new();
    let named = read.operations.iter().any(|(api, _)| api.is_some());
    for (api, operation) in read.operations {
        // A document that names no API is wholly of the one that is asked for, or of its title.
        let name = match (api, only) {
            (Some(api), _) => api,
            (None, Some(only)) if !named => only.clone(),
            (None, _) => read.name.clone(),
        };
        groups.entry(name).or_default().push(operation);
    }
    if let Some(only) = only {
        groups.retain(|name, _| name == only);
        if groups.is_empty() {
            return Err(Refused::invalid(format!("document: it has no operation of API {only}")));
        }
    }
    Ok(groups)
}

/// What an API requires, operation by operation.
pub fn view(api: &Api) -> Value {
    json!({
        "name": api.name, "audience": api.audience, "url": api.url, "document": api.document, "token": api.token,
        "operations": api.operations.iter().map(|o| json!(o)).collect::<Vec<Value>>(),
    })
}

/// An API without its operations, for lists and for the audit.
pub fn summary(api: &Api) -> Value {
    json!({
        "name": api.name, "audience": api.audience, "url": api.url, "document": api.document, "token": api.token,
        "operations": api.operations.len(),
    })
}

/// What an import would change: operations that come, go, and change, with the members that differ.
///
/// # Errors
/// If the document cannot be read.
pub fn diff(asked: &DiffApi, catalog: &Catalog) -> Result<Value, Refused> {
    let groups = operations_by_api(&asked.document, asked.api.as_ref())?;
    let mut changes = Vec::new();
    for (name, new) in groups {
        let old = catalog.apis.get(&name).map(|api| api.operations.as_slice()).unwrap_or_default();
        let is_same = |a: &Operation, b: &Operation| a.method == b.method && a.path == b.path;
        let mut note = |change: &str, o: &Operation, members: Value| {
            changes
                .push(json!({"api": name, "change": change, "method": o.method, "path": o.path, "members": members}));
        };
        for gone in old.iter().filter(|o| !new.iter().any(|n| is_same(o, n))) {
            note("removed", gone, json!({}));
        }
        for operation in &new {
            match old.iter().find(|o| is_same(o, operation)) {
                None => note("added", operation, json!({})),
                Some(old) => {
                    let (before, after) = (json!(old), json!(operation));
                    let members = differing(&before, &after);
                    if !members.is_empty() {
                        note("changed", operation, Value::Object(members));
                    }
                }
            }
        }
    }
    Ok(json!({ "changes": changes }))
}

/// The members that differ between two objects, each with how it was and how it is.
pub fn differing(before: &Value, after: &Value) -> Map<String, Value> {
    let empty = Map::new();
    let (before, after) = (before.as_object().unwrap_or(&empty), after.as_object().unwrap_or(&empty));
    let mut names: Vec<&String> = before.keys().chain(after.keys()).collect();
    names.sort();
    names.dedup();
    names
        .into_iter()
        .filter(|name| before.get(*name) != after.get(*name))
        .map(|name| (name.clone(), json!({"before": before.get(name), "after": after.get(name)})))
        .collect()
}
