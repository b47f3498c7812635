//! What clients and resource servers find out by themselves: the authorization server's metadata (RFC 8414), and what
//! is said of each protected resource (RFC 9728).

use crate::exchange::TOKEN_EXCHANGE;
use crate::{INTROSPECT_PATH, JWKS_PATH, REVOKE_PATH, TOKEN_PATHS};
use auth_core::api::{Api, Catalog, Mechanism, Operation, Subject};
use auth_core::details;
use auth_core::keyring::Keyring;
use auth_edge::oauth::respond;
use http::{HeaderValue, Response, header};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// The metadata (RFC 8414), and the same for clients of OpenID Connect discovery.
pub const METADATA_PATHS: [&str; 2] = ["/.well-known/oauth-authorization-server", "/.well-known/openid-configuration"];
/// What is said of a protected resource (RFC 9728 section 3); the resource's path follows, or the API's name.
pub const RESOURCE_PATH: &str = "/.well-known/oauth-protected-resource";

/// What follows [`RESOURCE_PATH`] in a path; `None` if the path is another.
pub fn resource_of(path: &str) -> Option<&str> {
    path.strip_prefix(RESOURCE_PATH).filter(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// How long a verifier may keep the keys and the metadata, in seconds.
const MAX_AGE: &str = "public, max-age=300";

/// How clients may prove who they are.
const METHODS: [&str; 3] = ["client_secret_basic", "client_secret_post", "private_key_jwt"];
/// What assertions may be signed by.
const ASSERTION_ALGORITHMS: [&str; 3] = ["RS256", "ES256", "EdDSA"];

/// The authorization server's metadata.
pub(crate) fn server(issuer: &str, keyring: &Keyring, catalog: &Catalog) -> Value {
    let algorithms: Vec<&str> = keyring.algorithms().into_iter().map(|a| a.as_str()).collect();
    let audiences: Vec<&str> = resources(catalog).map(|api| api.audience.as_str()).collect();
    let scopes: BTreeSet<&str> = scopes_of(resources(catalog));
    let mut metadata = json!({
        "issuer": issuer,
        "token_endpoint": format!("{issuer}{}", TOKEN_PATHS[0]),
        "jwks_uri": format!("{issuer}{JWKS_PATH}"),
        "revocation_endpoint": format!("{issuer}{REVOKE_PATH}"),
        "introspection_endpoint": format!("{issuer}{INTROSPECT_PATH}"),
        "grant_types_supported": ["client_credentials", TOKEN_EXCHANGE],
        // Required (RFC 8414 section 2), and never empty (section 3.2): there is no authorization endpoint to take any.
        "response_types_supported": ["none"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": algorithms,
        "scopes_supported": scopes,
        "authorization_details_types_supported": [details::TYPE],
        "protected_resources": audiences,
    });
    leave_out_empty(&mut metadata);
    if let Some(members) = metadata.as_object_mut() {
        for endpoint in ["token_endpoint", "revocation_endpoint", "introspection_endpoint"] {
            members.insert(format!("{endpoint}_auth_methods_supported"), json!(METHODS));
            members.insert(format!("{endpoint}_auth_signing_alg_values_supported"), json!(ASSERTION_ALGORITHMS));
        }
    }
    metadata
}

/// What is said of the resource that the rest of a path names, asked for at `host`; `None` if it is none.
pub(crate) fn resource(issuer: &str, host: Option<&str>, rest: &str, catalog: &Catalog) -> Option<Value> {
    // The resource's own identifier (section 3.1): host, then path. Behind another name, that of the issuer stands for it.
    let rest = rest.trim_end_matches('/');
    let is_at = |api: &Api, host: &str| {
        let identifier = api.audience.split_once("://").map_or("", |(_, rest)| rest.trim_end_matches('/'));
        let (own_host, path) = identifier.split_at(identifier.find('/').unwrap_or(identifier.len()));
        own_host.eq_ignore_ascii_case(host) && path == rest
    };
    let own_host = issuer.split_once("://").map(|(_, rest)| rest.split('/').next().unwrap_or_default());
    let named = || resources(catalog).find(|api| rest.strip_prefix('/') == Some(api.name.as_str()));
    let at = |host: Option<&str>| host.and_then(|host| resources(catalog).find(|api| is_at(api, host)));
    let api = at(host).or_else(|| at(own_host)).or_else(named)?;
    let mut said = json!({
        "resource": api.audience,
        "authorization_servers": [issuer],
        "scopes_supported": scopes_of([api]),
        "bearer_methods_supported": ["header"],
        "resource_name": api.name,
        "authorization_details_types_supported": [details::TYPE],
    });
    leave_out_empty(&mut said);
    Some(said)
}

/// An empty list is left out (RFC 8414 section 3.2, RFC 9728 section 3.2).
fn leave_out_empty(document: &mut Value) {
    if let Some(members) = document.as_object_mut() {
        members.retain(|_, value| value.as_array().is_none_or(|list| !list.is_empty()));
    }
}

/// An operation that a partner calls with a token. What is the platform's own, or its customers', is nobody's business.
fn is_for_partners(operation: &Operation) -> bool {
    operation.mechanism == Mechanism::Jwt && operation.subject == Subject::Partner
}

/// APIs that partners call with tokens, as far as their audience is an address (RFC 9728 section 1.2).
fn resources(catalog: &Catalog) -> impl Iterator<Item = &Api> {
    let is_one = |api: &&Api| api.audience.contains("://") && api.operations.iter().any(|o| is_for_partners(o));
    catalog.apis.values().map(AsRef::as_ref).filter(is_one)
}

fn scopes_of<'a>(apis: impl IntoIterator<Item = &'a Api>) -> BTreeSet<&'a str> {
    let operations = apis.into_iter().flat_map(|api| &api.operations).filter(|operation| is_for_partners(operation));
    operations.flat_map(|operation| operation.scopes.iter().flatten()).map(|scope| scope.as_str()).collect()
}

/// A document that anybody may read and keep for a while.
pub(crate) fn public(document: &Value) -> Response<String> {
    let mut response = respond(200, document);
    response.headers_mut().remove(header::PRAGMA);
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static(MAX_AGE));
    response
}
