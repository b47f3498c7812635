//! The demo: data for every way in, and what is said about it at the start.

use crate::events::partner_token;
use crate::seed::{ADMIN_API, Made, Seed, SeedApi, Source};
use crate::trouble::Trouble;
use auth_core::api::TokenSettings;
use auth_core::ids::{ApiName, ClientKind, Scope};
use auth_core::keyring::Keyring;
use auth_core::openapi::read;
use auth_core::records::ClientState;
use auth_core::secret::SecretText;
use auth_edge::clock;
use serde_json::{Value, json};
use std::collections::BTreeSet;

const SEED: &str = include_str!("demo.yaml");
const OPENAPI: [(&str, &str); 4] = [
    ("openapi.yaml", include_str!("../../../../openapi.yaml")),
    ("openapi-keys.yaml", include_str!("../../../../openapi-keys.yaml")),
    ("demo-stream.yaml", include_str!("demo-stream.yaml")),
    ("demo-graphql.yaml", include_str!("demo-graphql.yaml")),
];

/// The demo's clients, keys and tenants.
pub(crate) fn seed() -> Result<Seed, Trouble> {
    Seed::parse(SEED, "the demo seed")
}

/// The documents of the demo's APIs.
pub(crate) fn openapi() -> Result<Vec<Source>, Trouble> {
    OPENAPI.iter().map(|(name, text)| Source::parse(text, name)).collect()
}

/// The demo's data with the APIs of another document in the place of its own; every demo credential may use them.
pub(crate) fn seed_for(source: &Source) -> Result<Seed, Trouble> {
    let mut seed = seed()?;
    let document = read(&source.document).map_err(|e| Trouble::Usage(format!("{}: {e}", source.name)))?;
    let names: BTreeSet<ApiName> =
        document.operations.iter().map(|(api, _)| api.clone().unwrap_or_else(|| document.name.clone())).collect();
    let scopes: BTreeSet<Scope> =
        document.operations.iter().flat_map(|(_, o)| o.scopes.iter().flatten().cloned()).collect();
    let known = |name: &ApiName| seed.apis.iter().find(|api| api.name == *name);
    let apis: Vec<SeedApi> = names
        .iter()
        .map(|name| SeedApi {
            name: name.clone(),
            openapi: None,
            url: None,
            audience: known(name).and_then(|api| api.audience.clone()),
            token: known(name).map_or_else(TokenSettings::default, |api| api.token),
        })
        .collect();
    // One token for all of them needs one algorithm.
    let same = apis.iter().all(|api| Some(api.token.alg) == apis.first().map(|first| first.token.alg));
    seed.apis = apis
        .into_iter()
        .map(|api| if same { api } else { SeedApi { token: TokenSettings::default(), ..api } })
        .collect();
    let all: Vec<ApiName> = names.into_iter().collect();
    // Who administers goes on to.
    let administers = |apis: &[ApiName]| apis.iter().any(|api| api.as_str() == ADMIN_API);
    for tenant in &mut seed.tenants {
        tenant.apis.retain(|api| api.as_str() == ADMIN_API);
        tenant.apis.extend(all.iter().cloned());
    }
    for client in seed.clients.iter_mut().filter(|client| !administers(&client.apis)) {
        client.apis.clone_from(&all);
        for grant in &mut client.grants {
            grant.scopes = scopes.iter().cloned().collect();
        }
    }
    for key in &mut seed.api_keys {
        key.apis.clone_from(&all);
    }
    Ok(seed)
}

/// The credentials of a seed, for the ready file.
pub(crate) fn credentials(seed: &Seed, made: &[Made]) -> Value {
    let clients: Vec<Value> = seed
        .clients
        .iter()
        .map(|client| {
            let made = made.iter().find(|m| m.client_id == client.client_id).map(|m| &m.secret);
            let text = |secret: Option<&SecretText>| secret.map(|s| s.expose().to_owned());
            json!({
                "client_id": client.client_id, "client_secret": text(client.client_secret.as_ref().or(made)),
                "kind": client.kind, "tenant": client.tenant, "self_signing": client.self_signing,
                "signing_secret": text(client.signing_secret.as_ref().or(client.client_secret.as_ref()).or(made))
                    .filter(|_| client.self_signing),
            })
        })
        .collect();
    let keys: Vec<Value> = seed
        .api_keys
        .iter()
        .filter_map(|k| Some((k.key.as_ref()?, k)))
        .map(|(key, k)| json!({"key": key.expose(), "client_id": k.client_id, "tenant": k.tenant, "apis": k.apis}))
        .collect();
    let customers: Vec<Value> = seed
        .customers
        .iter()
        .filter_map(|c| Some((c.password.as_ref()?, c)))
        .map(|(password, c)| json!({"tenant": c.tenant, "username": c.username, "password": password.expose()}))
        .collect();
    json!({"clients": clients, "api_keys": keys, "customers": customers})
}

/// What is said at the start: the five ways in, each as a command that works when it is pasted.
pub(crate) fn greeting(url: &str, keyring: &Keyring, seed: &Seed, other_apis: bool) -> String {
    let client = |id: &str| seed.clients.iter().find(|c| c.client_id.as_str() == id);
    let secret = |id: &str| client(id).and_then(|c| c.client_secret.as_ref()).map_or("", SecretText::expose);
    let key = seed.api_keys.iter().find_map(|k| k.key.as_ref()).map_or("", SecretText::expose);
    let (username, password) = {
        let first = seed.customers.iter().find_map(|c| Some((c.username.as_str(), c.password.as_ref()?.expose())));
        first.unwrap_or_default()
    };
    let signed = partner_token("portfolio-partner", secret("portfolio-partner").as_bytes(), clock::now());
    let take = r#"sed 's/.*"access_token":"\([^"]*\)".*/\1/'"#;
    if other_apis {
        let mut text = String::from("\nThe demo's credentials may use every API of your document:\n");
        let single =
            seed.clients.iter().filter(|c| c.kind == ClientKind::SingleTenant && c.state == ClientState::Active);
        for (id, secret) in single.filter_map(|c| Some((&c.client_id, c.client_secret.as_ref()?.expose()))) {
            text.push_str(&format!("  curl -s -u {id}:{secret} -d grant_type=client_credentials {url}/oauth/token\n"));
        }
        text.push_str(&format!("  curl -i -H 'ApiKey: {key}' {url}/...\n"));
        return text;
    }
    let algorithms: Vec<&str> = keyring.algorithms().iter().map(|a| a.as_str()).collect();
    format!(
        r#"tokens are signed by {algorithms}; every secret below is the demo's own and public

1. A partner gets a token (client_credentials) and calls an API with it:
  TOKEN=$(curl -s -u gains-partner:{gains} -d grant_type=client_credentials {url}/oauth/token | {take})
  curl -i -H "Authorization: Bearer $TOKEN" -H 'X-Partner-Supplier: S-100' {url}/clients/acme/skus/AB-1

2. A server calls with an API key:
  curl -i -H 'ApiKey: {key}' -H 'Content-Type: application/json' -d '{{"page":1}}' {url}/Supplier/Products/List

3. A partner calls with a JWT that it signed itself (this one is good for 15 minutes):
  curl -i -H 'Content-Type: application/json' -H 'Authorization: Bearer {signed}' {url}/portfolio

4. An internal application names its tenant when it gets its token:
  TOKEN=$(curl -s -u 3pl-app:{threepl} -H 'Content-Type: application/json' -d '{{"grant_type":"client_credentials","tpl":"{tpl}","user_login":"guysmiley"}}' {url}/AuthServer/api/Token | {take})
  curl -i -H "Authorization: Bearer $TOKEN" -H 'Accept: application/hal+json' {url}/customers/17

5. A customer logs in:
  TOKEN=$(curl -s -H 'Content-Type: application/json' -d '{{"tenant":"acme","username":"{username}","password":"{password}"}}' {url}/login | {take})
  curl -i -H "Authorization: Bearer $TOKEN" {url}/Storefront/Cart
"#,
        algorithms = algorithms.join(", "),
        gains = secret("gains-partner"),
        threepl = secret("3pl-app"),
        tpl = seed.tenants.iter().find(|t| t.id.as_str().len() == 36).map_or("", |t| t.id.as_str()),
    )
}
