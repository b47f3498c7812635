//! What an OpenAPI 3 document says about who may call: `security`, and the `x-countersign-*` extensions.
//!
//! The same document configures the gateway through AWS's own `x-amazon-apigateway-*` extensions, which are read
//! elsewhere.

use crate::api::{Mechanism, Operation, PathTemplate, Source, Subject};
use crate::ids::{ApiName, Scope};
use serde_json::{Map, Value};
use std::sync::Arc;

/// A document that cannot be read; names the place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {what}")]
pub struct BadDocument {
    /// Where, as a path from the top of the document.
    pub place: String,
    /// What is wrong there.
    pub what: String,
}

fn bad<T>(place: impl Into<String>, what: impl Into<String>) -> Result<T, BadDocument> {
    Err(BadDocument { place: place.into(), what: what.into() })
}

/// What a document says.
#[derive(Debug, Clone)]
pub struct Document {
    /// `info.title`, slugged.
    pub name: ApiName,
    /// Each operation, and the API that it names by `x-countersign-api`, if it does.
    pub operations: Vec<(Option<ApiName>, Arc<Operation>)>,
}

/// The methods of a path item, in the document's spelling and in HTTP's.
pub const METHODS: [(&str, &str); 9] = [
    ("get", "GET"),
    ("put", "PUT"),
    ("post", "POST"),
    ("delete", "DELETE"),
    ("options", "OPTIONS"),
    ("head", "HEAD"),
    ("patch", "PATCH"),
    ("trace", "TRACE"),
    ("x-amazon-apigateway-any-method", "ANY"),
];

/// Reads a document.
///
/// # Errors
/// [`BadDocument`]; the first thing that is wrong.
pub fn read(document: &Value) -> Result<Document, BadDocument> {
    let Some(top) = document.as_object() else { return bad("document", "an OpenAPI document is an object") };
    match top.get("openapi").and_then(Value::as_str) {
        Some(version) if version.starts_with("3.") => {}
        _ => return bad("openapi", "only OpenAPI 3 is read; write openapi: 3.0.1"),
    }
    let title = document.pointer("/info/title").and_then(Value::as_str).unwrap_or_default();
    let Ok(name) = slug(title).parse() else { return bad("info.title", "a title with letters or digits is needed") };
    let Some(paths) = top.get("paths").and_then(Value::as_object) else { return bad("paths", "an object is needed") };
    known_extensions("document", top)?;
    let mut operations = Vec::new();
    for (path, item) in paths {
        let place = format!("paths.{path}");
        let Some(item) = item.as_object() else { return bad(place, "an object is needed") };
        known_extensions(&place, item)?;
        if item.contains_key("$ref") {
            return bad(place, "$ref is not followed here; write the path out");
        }
        let template = match PathTemplate::try_from(path.clone()) {
            Ok(template) => template,
            Err(what) => return bad(place, what),
        };
        for (spelling, method) in METHODS {
            let Some(operation) = item.get(spelling) else { continue };
            let place = format!("{place}.{spelling}");
            let Some(operation) = operation.as_object() else { return bad(place, "an object is needed") };
            known_extensions(&place, operation)?;
            let (api, operation) = Reader { top, item, operation, place }.operation(method, &template)?;
            operations.push((api, Arc::new(operation)));
        }
    }
    if operations.is_empty() {
        return bad("paths", "no operation stands there");
    }
    Ok(Document { name, operations })
}

/// The extensions that are read; one that is misspelt would be a check that silently is not made.
const EXTENSIONS: [&str; 7] = ["api", "tenant", "sku", "supplier", "subject", "refusal", "guard"];

fn known_extensions(place: &str, members: &Map<String, Value>) -> Result<(), BadDocument> {
    let ours = members.keys().filter_map(|name| Some((name, name.strip_prefix("x-countersign-")?)));
    match ours.into_iter().find(|(_, extension)| !EXTENSIONS.contains(extension)) {
        Some((name, _)) => bad(format!("{place}.{name}"), "there is no such extension"),
        None => Ok(()),
    }
}

/// Lower-case letters and digits, joined by `-`.
pub fn slug(title: &str) -> String {
    let words: Vec<String> = title
        .split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_ascii_lowercase)
        .collect();
    words.join("-").chars().take(64).collect()
}

struct Reader<'a> {
    top: &'a Map<String, Value>,
    item: &'a Map<String, Value>,
    operation: &'a Map<String, Value>,
    place: String,
}

impl<'a> Reader<'a> {
    /// An extension of the operation, else of the path, else of the document.
    fn extension(&self, name: &str) -> Option<&'a Value> {
        [self.operation, self.item, self.top].into_iter().find_map(|level| level.get(name))
    }

    fn text(&self, name: &'static str) -> Result<Option<&'a str>, BadDocument> {
        match self.extension(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => bad(format!("{}.{name}", self.place), "a text is needed"),
        }
    }

    fn source(&self, name: &'static str, template: &PathTemplate) -> Result<Option<Source>, BadDocument> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        let place = format!("{}.{name}", self.place);
        match Source::try_from(text.to_owned()) {
            Ok(Source::Path(parameter)) if !template.has_parameter(&parameter) => {
                // Said once for a document, it means the paths that have the parameter.
                if self.operation.contains_key(name) || self.item.contains_key(name) {
                    bad(place, format!("the path has no parameter {parameter}"))
                } else {
                    Ok(None)
                }
            }
            Ok(source) => Ok(Some(source)),
            Err(what) => bad(place, what),
        }
    }

    fn operation(&self, method: &str, template: &PathTemplate) -> Result<(Option<ApiName>, Operation), BadDocument> {
        let in_place = |name: &str| format!("{}.{name}", self.place);
        let api = match self.text("x-countersign-api")?.map(str::parse) {
            None => None,
            Some(Ok(name)) => Some(name),
            Some(Err(error)) => return bad(in_place("x-countersign-api"), format!("{error}")),
        };
        let subject = match self.text("x-countersign-subject")? {
            None | Some("partner") => Subject::Partner,
            Some("customer") => Subject::Customer,
            Some("internal") => Subject::Internal,
            Some("administrator") => Subject::Administrator,
            Some(_) => {
                return bad(in_place("x-countersign-subject"), "partner, customer, internal or administrator");
            }
        };
        let scope_refusal_is_401 = match self.extension("x-countersign-refusal").map(Value::as_i64) {
            None | Some(Some(403)) => false,
            Some(Some(401)) => true,
            Some(_) => return bad(in_place("x-countersign-refusal"), "401 or 403"),
        };
        let guard = match self.extension("x-countersign-guard") {
            None => false,
            Some(Value::Bool(guard)) => *guard,
            Some(_) => return bad(in_place("x-countersign-guard"), "true or false"),
        };
        let supplier = self.source("x-countersign-supplier", template)?;
        if supplier.as_ref().is_some_and(|s| !matches!(s, Source::Header(_))) {
            return bad(in_place("x-countersign-supplier"), "header.NAME");
        }
        let sku = self.source("x-countersign-sku", template)?;
        if sku.as_ref().is_some_and(|s| !matches!(s, Source::Path(_) | Source::Query(_))) {
            return bad(in_place("x-countersign-sku"), "path.NAME or query.NAME");
        }
        let (mechanism, scopes) = self.security()?;
        let id = match self.operation.get("operationId").and_then(Value::as_str) {
            Some(id) => id.to_owned(),
            None => format!("{method} {template}"),
        };
        let content = self.operation.get("requestBody").and_then(|b| b.get("content")).and_then(Value::as_object);
        let media_types =
            content.into_iter().flatten().map(|(media_type, _)| media_type.to_ascii_lowercase()).collect();
        Ok((
            api,
            Operation {
                id,
                method: method.to_owned(),
                path: template.clone(),
                mechanism,
                scopes,
                tenant: self.source("x-countersign-tenant", template)?.unwrap_or(Source::Token),
                sku,
                supplier,
                subject,
                scope_refusal_is_401,
                guard,
                media_types,
            },
        ))
    }

    fn security(&self) -> Result<(Mechanism, Vec<Vec<Scope>>), BadDocument> {
        let place = format!("{}.security", self.place);
        let security = self.operation.get("security").or_else(|| self.top.get("security"));
        let Some(requirements) = security.and_then(Value::as_array) else {
            return bad(place, "missing; say how callers prove who they are, or security: [] for nobody at all");
        };
        let mut mechanism = None;
        let mut alternatives = Vec::new();
        for requirement in requirements {
            let Some((scheme, scopes)) = requirement.as_object().filter(|r| r.len() == 1).and_then(|r| r.iter().next())
            else {
                return bad(place, "each requirement names exactly one scheme; API Gateway runs one authorizer");
            };
            let this = self.scheme(scheme, &place)?;
            if mechanism.is_some_and(|m| m != this) {
                return bad(place, "two kinds of credential for one operation; API Gateway runs one authorizer");
            }
            mechanism = Some(this);
            let scopes: Option<Vec<Scope>> = scopes
                .as_array()
                .and_then(|list| list.iter().map(|s| s.as_str().and_then(|s| s.parse().ok())).collect());
            match scopes {
                Some(scopes) => alternatives.push(scopes),
                None => return bad(format!("{place}.{scheme}"), "a list of scopes is needed"),
            }
        }
        if alternatives.iter().any(Vec::is_empty) {
            alternatives.clear();
        }
        Ok((mechanism.unwrap_or(Mechanism::None), alternatives))
    }

    fn scheme(&self, name: &str, place: &str) -> Result<Mechanism, BadDocument> {
        let schemes = self.top.get("components").and_then(|c| c.get("securitySchemes"));
        let Some(scheme) = schemes.and_then(|s| s.get(name)).and_then(Value::as_object) else {
            return bad(place, format!("components.securitySchemes has no {name}"));
        };
        let text = |member: &str| scheme.get(member).and_then(Value::as_str).unwrap_or_default();
        match (text("type"), text("in"), text("name").to_ascii_lowercase().as_str()) {
            ("oauth2" | "openIdConnect", _, _) => Ok(Mechanism::Jwt),
            ("http", _, _) if text("scheme").eq_ignore_ascii_case("bearer") => Ok(Mechanism::Jwt),
            // API Gateway spells a custom authorizer of a bearer token as an apiKey scheme.
            ("apiKey", "header", "authorization") => Ok(Mechanism::Jwt),
            ("apiKey", "header", "apikey") => Ok(Mechanism::ApiKey),
            _ => bad(
                format!("components.securitySchemes.{name}"),
                "oauth2, http bearer, or apiKey in the header ApiKey or Authorization",
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn document() -> Value {
        json!({
            "openapi": "3.0.1",
            "info": {"title": "Partner API", "version": "1"},
            "components": {"securitySchemes": {
                "jwt": {"type": "http", "scheme": "bearer"},
                "key": {"type": "apiKey", "in": "header", "name": "ApiKey"}
            }},
            "security": [{"jwt": ["a:read"]}],
            "paths": {"/a/{t}": {"get": {"x-countersign-tenant": "path.t"}}}
        })
    }

    #[test]
    fn a_document_is_read_or_refused_by_place() {
        let first = |d: &Value| read(d).map(|d| d.operations.into_iter().next().unwrap().1);
        let good = first(&document()).unwrap();
        assert_eq!(good.tenant, Source::Path("t".into()));
        assert_eq!(good.scopes, vec![vec!["a:read".parse().unwrap()]]);
        assert_eq!(read(&document()).unwrap().name.as_str(), "partner-api");

        let rows: &[(&str, &str, Value, &str)] = &[
            ("another version", "/openapi", json!("2.0"), "openapi"),
            ("no title", "/info/title", json!("***"), "info.title"),
            ("an unknown scheme", "/security", json!([{"x": []}]), "paths./a/{t}.get.security"),
            ("two schemes at once", "/security", json!([{"jwt": [], "key": []}]), "paths./a/{t}.get.security"),
            ("two mechanisms", "/security", json!([{"jwt": []}, {"key": []}]), "paths./a/{t}.get.security"),
            ("no security", "/security", json!(null), "paths./a/{t}.get.security"),
            (
                "a parameter that is not there",
                "/paths/~1a~1{t}/get/x-countersign-tenant",
                json!("path.x"),
                "paths./a/{t}.get.x-countersign-tenant",
            ),
            ("no operation", "/paths", json!({}), "paths"),
        ];
        for (sentence, pointer, value, place) in rows {
            let mut document = document();
            *document.pointer_mut(pointer).unwrap() = value.clone();
            assert_eq!(read(&document).unwrap_err().place, *place, "{sentence}");
        }
    }
}
