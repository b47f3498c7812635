//! What an API requires of a request, operation by operation, and how a path finds its operation.

use crate::ids::{ApiName, RoleName, Scope};
use crate::jws::Algorithm;
use crate::policy::KnownRoutes;
use crate::records::TrustedIssuer;
use serde::{Deserialize, Serialize};
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// A protected surface.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Api {
    /// Its name.
    pub name: ApiName,
    /// What stands in the `aud` of tokens for it (RFC 8707).
    pub audience: String,
    /// Where it is served, for those who are told to call it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// The document that describes it. APIs of one document stand behind one gateway.
    pub document: String,
    /// How tokens for it are made.
    pub token: TokenSettings,
    /// What each operation asks for.
    pub operations: Vec<Arc<Operation>>,
}

impl Api {
    /// Whether the API is for customers: any of its operations is.
    pub fn is_for_customers(&self) -> bool {
        self.operations.iter().any(|o| o.subject == Subject::Customer)
    }
}

/// How tokens for an API are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenSettings {
    /// By which algorithm.
    #[serde(default = "TokenSettings::default_algorithm")]
    pub alg: Algorithm,
    /// For how many seconds.
    #[serde(default = "TokenSettings::default_lifetime")]
    pub lifetime_seconds: i64,
    /// A token that was not used for so many seconds has expired.
    #[serde(default)]
    pub idle_seconds: Option<i64>,
}

impl TokenSettings {
    fn default_algorithm() -> Algorithm {
        Algorithm::RS256
    }
    fn default_lifetime() -> i64 {
        3600
    }
}

impl Default for TokenSettings {
    fn default() -> Self {
        Self { alg: Self::default_algorithm(), lifetime_seconds: Self::default_lifetime(), idle_seconds: None }
    }
}

/// How an operation's callers prove who they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mechanism {
    /// A bearer token.
    Jwt,
    /// A key in the `ApiKey` header.
    ApiKey,
    /// Not at all: the document says `security: []`.
    None,
}

/// For whom an operation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Subject {
    /// Clients that act on a tenant's data.
    Partner,
    /// Customers who logged in.
    Customer,
    /// The platform's own applications.
    Internal,
    /// Who administers the requested tenant: applications that maintain tenants, and clients of that tenant itself.
    Administrator,
}

/// Where a value stands in a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Source {
    /// A path parameter.
    Path(String),
    /// A header.
    Header(String),
    /// A query parameter.
    Query(String),
    /// The first label of the host name.
    Host,
    /// The token itself.
    Token,
}

impl TryFrom<String> for Source {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        let named = |name: &str| (!name.is_empty()).then(|| name.to_owned());
        let source = match text.split_once('.') {
            Some(("path", name)) => named(name).map(Self::Path),
            Some(("header", name)) => named(name).map(Self::Header),
            Some(("query", name)) => named(name).map(Self::Query),
            None if text == "host" => Some(Self::Host),
            None if text == "token" => Some(Self::Token),
            _ => None,
        };
        source.ok_or_else(|| "path.NAME, header.NAME, query.NAME, host or token".to_owned())
    }
}

impl From<Source> for String {
    fn from(source: Source) -> Self {
        match source {
            Source::Path(name) => format!("path.{name}"),
            Source::Header(name) => format!("header.{name}"),
            Source::Query(name) => format!("query.{name}"),
            Source::Host => "host".into(),
            Source::Token => "token".into(),
        }
    }
}

/// One operation of an API.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Operation {
    /// `operationId`, or method and path.
    pub id: String,
    /// Upper case; `ANY` stands for all.
    pub method: String,
    /// The path template.
    pub path: PathTemplate,
    /// How callers prove who they are.
    pub mechanism: Mechanism,
    /// Sets of scopes, one of which must be granted as a whole. Empty: none is asked for.
    pub scopes: Vec<Vec<Scope>>,
    /// Where the requested tenant stands.
    pub tenant: Source,
    /// Where the requested SKU stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sku: Option<Source>,
    /// Where the supplier code stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub supplier: Option<Source>,
    /// For whom it is.
    pub subject: Subject,
    /// Whether a missing scope is answered with 401.
    pub scope_refusal_is_401: bool,
    /// Whether the backend runs the guard.
    pub guard: bool,
    /// The media types of bodies; empty, if the document says nothing of them.
    pub media_types: Vec<String>,
}

/// A path template of OpenAPI, with API Gateway's greedy `{name+}` at the end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PathTemplate {
    text: String,
    segments: Vec<Segment>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Segment {
    // In the order in which API Gateway prefers them.
    Literal(String),
    Parameter(String),
    Greedy(String),
}

impl TryFrom<String> for PathTemplate {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        let Some(rest) = text.strip_prefix('/') else { return Err("a path begins with /".into()) };
        let mut segments = Vec::new();
        for part in rest.split('/').filter(|_| !rest.is_empty()) {
            let segment = match part.strip_prefix('{').and_then(|p| p.strip_suffix('}')) {
                Some(name) => match name.strip_suffix('+') {
                    Some(name) => Segment::Greedy(name.to_owned()),
                    None => Segment::Parameter(name.to_owned()),
                },
                None => Segment::Literal(part.to_owned()),
            };
            let (Segment::Literal(name) | Segment::Parameter(name) | Segment::Greedy(name)) = &segment;
            if name.is_empty() || name.contains(['{', '}', '*', '?', '%']) {
                return Err("a segment is a text or one {parameter}, without * ? %".into());
            }
            if matches!(segments.last(), Some(Segment::Greedy(_))) {
                return Err("a greedy {parameter+} stands last".into());
            }
            segments.push(segment);
        }
        Ok(Self { text, segments })
    }
}

impl From<PathTemplate> for String {
    fn from(template: PathTemplate) -> Self {
        template.text
    }
}

impl fmt::Display for PathTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The parameters of a path: names and the text that stands in their place, as it was sent.
pub type PathParameters = Vec<(String, String)>;

impl PathTemplate {
    /// The parameters, if the path is of this template. Paths are compared byte for byte: no case is folded, no
    /// escape decoded, no slash merged; a segment is never empty, `.` or `..`.
    pub fn matches(&self, path: &str) -> Option<PathParameters> {
        let parts = segments_of(path)?;
        self.fits(&parts).then(|| self.parameters(&parts))
    }

    /// Whether a path of these segments is of this template.
    fn fits(&self, parts: &[&str]) -> bool {
        let enough = match self.is_greedy() {
            true => parts.len() >= self.segments.len(),
            false => parts.len() == self.segments.len(),
        };
        enough
            && self.segments.iter().zip(parts).all(|(segment, part)| match segment {
                Segment::Literal(text) => text == part,
                Segment::Parameter(_) | Segment::Greedy(_) => true,
            })
    }

    /// The parameters of a path that fits.
    fn parameters(&self, parts: &[&str]) -> PathParameters {
        let of = |(index, segment): (usize, &Segment)| match segment {
            Segment::Literal(_) => None,
            Segment::Parameter(name) => Some((name.clone(), (*parts.get(index)?).to_owned())),
            Segment::Greedy(name) => Some((name.clone(), parts.get(index..)?.join("/"))),
        };
        self.segments.iter().enumerate().filter_map(of).collect()
    }

    /// Whether a parameter of this name stands in the template.
    pub fn has_parameter(&self, name: &str) -> bool {
        self.segments.iter().any(|s| matches!(s, Segment::Parameter(n) | Segment::Greedy(n) if n == name))
    }

    /// Whether one of its segments is this word.
    pub(crate) fn has_word(&self, word: &str) -> bool {
        self.segments.iter().any(|s| matches!(s, Segment::Literal(text) if text == word))
    }

    /// How many segments it has.
    pub(crate) fn depth(&self) -> usize {
        self.segments.len()
    }

    /// Whether it is a longer template that begins with all of a shorter one.
    pub(crate) fn begins_with(&self, shorter: &Self) -> bool {
        self.segments.len() > shorter.segments.len() && self.segments.starts_with(&shorter.segments)
    }

    /// Whether it is a longer template, and all that it adds to a shorter one is words.
    pub(crate) fn adds_words_to(&self, shorter: &Self) -> bool {
        let added = self.segments.get(shorter.segments.len()..).unwrap_or_default();
        self.begins_with(shorter) && added.iter().all(|s| matches!(s, Segment::Literal(_)))
    }

    /// Whether its last parameter takes the whole rest of a path.
    pub(crate) fn is_greedy(&self) -> bool {
        matches!(self.segments.last(), Some(Segment::Greedy(_)))
    }

    /// The path with each parameter replaced.
    pub fn fill(&self, mut value: impl FnMut(&str) -> String) -> String {
        let mut path = String::new();
        for segment in &self.segments {
            path.push('/');
            match segment {
                Segment::Literal(text) => path.push_str(text),
                Segment::Parameter(name) | Segment::Greedy(name) => path.push_str(&value(name)),
            }
        }
        if path.is_empty() { "/".into() } else { path }
    }
}

/// All APIs and roles of a deployment.
#[derive(Debug, Clone, Default)]
pub struct Catalog {
    /// By name.
    pub apis: BTreeMap<ApiName, Arc<Api>>,
    /// What each role allows.
    pub roles: BTreeMap<RoleName, Vec<Scope>>,
    /// Whose workload tokens may prove a client.
    pub issuers: Vec<TrustedIssuer>,
    /// What rights came to by these APIs. It is made once and goes with them.
    pub known_routes: KnownRoutes,
}

/// An operation that a request is for.
#[derive(Debug, Clone)]
pub struct Matched {
    /// The API.
    pub api: Arc<Api>,
    /// The operation.
    pub operation: Arc<Operation>,
    /// The path's parameters.
    pub parameters: PathParameters,
}

impl Catalog {
    /// The operation that a method and path are for.
    pub fn find(&self, method: &str, path: &str) -> Option<Matched> {
        let all = self.apis.values().flat_map(|api| api.operations.iter().map(move |o| ((api, o), o.as_ref())));
        let ((api, operation), parameters) = find_operation(all, method, path)?;
        Some(Matched { api: Arc::clone(api), operation: Arc::clone(operation), parameters })
    }

    /// Whether any API has an idle life, so that the use of its tokens is noted.
    pub fn knows_idle_lives(&self) -> bool {
        self.apis.values().any(|api| api.token.idle_seconds.is_some())
    }

    /// The scopes that roles stand for.
    pub fn scopes_of<'a>(&'a self, roles: &'a [RoleName]) -> impl Iterator<Item = &'a Scope> {
        roles.iter().filter_map(|role| self.roles.get(role)).flatten()
    }
}

/// The segments of a path; none is empty, `.` or `..`.
fn segments_of(path: &str) -> Option<Vec<&str>> {
    let rest = path.strip_prefix('/')?;
    let parts: Vec<&str> = if rest.is_empty() { Vec::new() } else { rest.split('/').collect() };
    (!parts.iter().any(|p| matches!(*p, "" | "." | ".."))).then_some(parts)
}

/// The operation that a method and path are for, as API Gateway would choose it: a text before a parameter before a
/// greedy one, segment by segment, and a declared method before `ANY`. Each operation comes with whatever belongs
/// to it.
pub fn find_operation<'a, T>(
    operations: impl Iterator<Item = (T, &'a Operation)>,
    method: &str,
    path: &str,
) -> Option<(T, PathParameters)> {
    let parts = segments_of(path)?;
    let (with, operation) = operations
        .filter(|(_, o)| (o.method == method || o.method == "ANY") && o.path.fits(&parts))
        .min_by(|(_, a), (_, b)| preference(a, b))?;
    Some((with, operation.path.parameters(&parts)))
}

/// Which of two operations that match the same path the gateway prefers: the lesser.
pub(crate) fn preference(a: &Operation, b: &Operation) -> Ordering {
    fn kinds(operation: &Operation) -> impl Iterator<Item = u8> {
        operation.path.segments.iter().map(|segment| match segment {
            Segment::Literal(_) => 0,
            Segment::Parameter(_) => 1,
            Segment::Greedy(_) => 2,
        })
    }
    kinds(a).cmp(kinds(b)).then_with(|| (a.method == "ANY").cmp(&(b.method == "ANY")))
}

/// A request, as far as a decision looks at it. Headers and query are absent where the event does not carry them
/// (a TOKEN authorizer sees neither).
#[derive(Clone, Default)]
pub struct Request {
    /// Upper case.
    pub method: String,
    /// With a leading slash, as it was sent.
    pub path: String,
    /// Names in lower case.
    pub headers: Option<Vec<(String, String)>>,
    /// Decoded once.
    pub query: Option<Vec<(String, String)>>,
}

impl fmt::Debug for Request {
    /// Headers and query hold credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Request({} {})", self.method, self.path)
    }
}

/// What stands at a place of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found<'a> {
    /// The event does not show that place.
    Unseen,
    /// Nothing.
    Absent,
    /// One value, white space around it removed.
    One(&'a str),
    /// More than one: none is taken.
    Many,
}

impl Request {
    /// The header of this name, in any case.
    pub fn header(&self, name: &str) -> Found<'_> {
        match &self.headers {
            None => Found::Unseen,
            Some(headers) => only(headers.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name))),
        }
    }

    /// Whether a header of this name is there at all, empty or not.
    pub fn has_header(&self, name: &str) -> bool {
        self.headers.iter().flatten().any(|(n, _)| n.eq_ignore_ascii_case(name))
    }

    /// The value at a source.
    pub fn at<'a>(&'a self, source: &Source, parameters: &'a [(String, String)]) -> Found<'a> {
        match source {
            Source::Path(name) => only(parameters.iter().filter(|(n, _)| n == name)),
            Source::Header(name) => self.header(name),
            Source::Query(name) => match &self.query {
                None => Found::Unseen,
                Some(query) => only(query.iter().filter(|(n, _)| n == name)),
            },
            Source::Host => match self.header("host") {
                Found::One(host) => Found::One(host.split('.').next().unwrap_or(host)),
                other => other,
            },
            Source::Token => Found::Unseen,
        }
    }
}

fn only<'a>(mut values: impl Iterator<Item = &'a (String, String)>) -> Found<'a> {
    match (values.next(), values.next()) {
        (None, _) => Found::Absent,
        (Some((_, value)), None) => match value.trim_matches([' ', '\t']) {
            "" => Found::Absent,
            value => Found::One(value),
        },
        _ => Found::Many,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn template(text: &str) -> PathTemplate {
        text.to_owned().try_into().unwrap()
    }

    #[test]
    fn a_path_is_compared_byte_for_byte() {
        let rows = [
            ("the same", "/a/{x}", "/a/1", true),
            ("another case", "/a/{x}", "/A/1", false),
            ("a trailing slash", "/a/{x}", "/a/1/", false),
            ("a double slash", "/a/{x}", "//a/1", false),
            ("a dot segment", "/a/{x}", "/a/..", false),
            ("an escaped letter", "/a/{x}", "/%61/1", false),
            ("an escape in a parameter stays as it is", "/a/{x}", "/a/%2F", true),
            ("too short", "/a/{x}", "/a", false),
            ("too long", "/a/{x}", "/a/1/2", false),
            ("greedy", "/a/{x+}", "/a/1/2", true),
            ("greedy, but nothing there", "/a/{x+}", "/a", false),
            ("root", "/", "/", true),
            ("no leading slash", "/a", "a", false),
        ];
        for (sentence, t, path, want) in rows {
            assert_eq!(template(t).matches(path).is_some(), want, "{sentence}");
        }
    }

    #[test]
    fn a_template_is_texts_and_whole_parameters() {
        for bad in ["a", "/a/", "/{x}y", "/{}", "/*", "/a?", "/{p+}/b"] {
            assert!(PathTemplate::try_from(bad.to_owned()).is_err(), "{bad}");
        }
    }
}
