//! What clients and resource servers find out by themselves: the authorization server's metadata (RFC 8414), and what
//! is said of each protected resource (RFC 9728).

use crate::exchange::TOKEN_EXCHANGE;
use crate::{INTROSPECT_PATH, JWKS_PATH, REVOKE_PATH, TOKEN_PATHS};
use auth_core::api::{Api, Catalog, Mechanism, Subject};
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

/// How long a verifier may keep the keys and the metadata, in seconds.
const MAX_AGE: &str = "public, max-age=300";

/// How clients may prove who they are.
const METHODS: [&str; 3] = ["client_secret_basic", "client_secret_post", "private_key_jwt"];
/// What assertions may be signed by.
const ASSERTION_ALGORITHMS: [&str; 3] = ["RS256", "ES256", "EdDSA"];

/// The authorization server's metadata.
pub(crate) fn server(issuer: &str, keyring: &Keyring, catalog: &Catalog) -> Value {
    let algorithms: Vec<&str> = keyring.algorithms().into_iter().map(|a| a.as_str()).collect();
    let resources: Vec<&str> = resources(catalog).map(|api| api.audience.as_str()).collect();
    let scopes: BTreeSet<&str> = resources_scopes(resources_of_partners(catalog));
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
        "protected_resources": resources,
    });
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
    let is_at = |api: &Api, host: &str| {
        let identifier = api.audience.split_once("://").map(|(_, rest)| rest.trim_end_matches('/'));
        identifier == Some(format!("{host}{}", rest.trim_end_matches('/')).as_str())
    };
    let own_host = issuer.split_once("://").map(|(_, rest)| rest.split('/').next().unwrap_or_default());
    let named = || resources(catalog).find(|api| rest.strip_prefix('/') == Some(api.name.as_str()));
    let at = |host: Option<&str>| host.and_then(|host| resources(catalog).find(|api| is_at(api, host)));
    let api = at(host).or_else(|| at(own_host)).or_else(named)?;
    Some(json!({
        "resource": api.audience,
        "authorization_servers": [issuer],
        "scopes_supported": resources_scopes([api]),
        "bearer_methods_supported": ["header"],
        "resource_name": api.name,
        "authorization_details_types_supported": [details::TYPE],
    }))
}

/// APIs that tokens of clients are for.
fn resources(catalog: &Catalog) -> impl Iterator<Item = &Api> {
    let takes_tokens = |api: &&Api| api.operations.iter().any(|o| o.mechanism == Mechanism::Jwt);
    catalog.apis.values().filter(takes_tokens)
}

/// Of those, what partners may ask for.
fn resources_of_partners(catalog: &Catalog) -> impl Iterator<Item = &Api> {
    resources(catalog).filter(|api| api.operations.iter().any(|o| o.subject == Subject::Partner))
}

fn resources_scopes<'a>(apis: impl IntoIterator<Item = &'a Api>) -> BTreeSet<&'a str> {
    apis.into_iter()
        .flat_map(|api| &api.operations)
        .filter(|operation| operation.mechanism == Mechanism::Jwt)
        .flat_map(|operation| operation.scopes.iter().flatten())
        .map(|scope| scope.as_str())
        .collect()
}

/// A document that anybody may read and keep for a while.
pub(crate) fn public(document: &Value) -> Response<String> {
    let mut response = respond(200, document);
    response.headers_mut().remove(header::PRAGMA);
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static(MAX_AGE));
    response
}
