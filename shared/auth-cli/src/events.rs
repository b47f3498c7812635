//! `countersign events`: puts fresh tokens into the event files that carry some, because tokens expire.

use crate::operator::Global;
use crate::trouble::{Trouble, broken};
use auth_core::api_key::UnverifiedApiKey;
use auth_core::decision::Deployment;
use auth_core::ids::{ClientId, Environment, Jti, TenantId, Username};
use auth_core::issue::{Asked, Plan, plan_for_client, plan_for_customer, tenant_of};
use auth_core::jwk::SigningKey;
use auth_core::jws::sign;
use auth_core::keyring::Keyring;
use auth_core::secret::{Digest, DigestOf, base64url};
use auth_core::time::Timestamp;
use auth_edge::clock;
use auth_store::gate::Gate;
use auth_store::store::Wanted;
use aws_lc_rs::hmac;
use regex::Regex;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// The file beside the events that says whose token each carries.
const TOKENS: &str = "tokens.yaml";

/// What `events` is told.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The folder of the events.
    #[arg(default_value = "events")]
    folder: PathBuf,
}

/// What token an event carries.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Carried {
    client: Option<ClientId>,
    signed_by: Option<ClientId>,
    asserted_by: Option<ClientId>,
    with: Option<Value>,
    exchanged_for: Option<String>,
    customer: Option<Username>,
    tenant: Option<TenantId>,
    #[serde(default)]
    age_seconds: i64,
    #[serde(default)]
    claims: Map<String, Value>,
    #[serde(default)]
    tampered: bool,
    #[serde(default)]
    revoked: bool,
}

/// Rewrites the files.
pub(crate) async fn run(arguments: Arguments, global: &Global) -> Result<(), Trouble> {
    let gate = global.deployment().await?.gate;
    if gate.environment == Environment::Live {
        return Err(Trouble::Usage("ENVIRONMENT: events carry tokens of test deployments only".into()));
    }
    let list = arguments.folder.join(TOKENS);
    let in_list = |what: &dyn std::fmt::Display| Trouble::Usage(format!("{}: {what}", list.display()));
    let text = std::fs::read_to_string(&list).map_err(|e| in_list(&e))?;
    let carried: BTreeMap<String, Carried> = yaml_serde::from_str(&text).map_err(|e| in_list(&e))?;
    let jwt = Regex::new(r"eyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*").map_err(broken)?;
    let now = clock::now();
    for (name, carried) in &carried {
        let token = token(&gate, carried, now).await.map_err(|what| in_list(&format!("{name}: {what}")))?;
        replace(&arguments.folder.join(format!("{name}.json")), &jwt, &token)?;
    }
    let said = format!("{} events carry fresh tokens of {}\n", carried.len(), gate.issuer);
    std::io::stdout().lock().write_all(said.as_bytes()).map_err(broken)
}

fn replace(path: &Path, jwt: &Regex, token: &str) -> Result<(), Trouble> {
    let wrong = |what: &dyn std::fmt::Display| Trouble::Usage(format!("{}: {what}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|e| wrong(&e))?;
    if !jwt.is_match(&text) {
        return Err(wrong(&"holds no token to replace"));
    }
    std::fs::write(path, jwt.replace_all(&text, token).as_bytes()).map_err(|e| wrong(&e))
}

async fn token(gate: &Gate, carried: &Carried, now: Timestamp) -> Result<String, String> {
    let keyring = gate.keyring.get(now).await.map_err(|e| e.to_string())?;
    let issued_at = now.plus(-carried.age_seconds);
    let mut token = match carried {
        Carried { client: Some(client), .. } => {
            let tenant = carried.tenant.as_ref().map(TenantId::as_str);
            let plan = client_plan(gate, client, tenant, issued_at).await?;
            issued(gate, &keyring, plan, carried, issued_at).await?
        }
        Carried { customer: Some(username), tenant: Some(tenant), .. } => {
            let plan = customer_plan(gate, &keyring, tenant, username, now).await?;
            issued(gate, &keyring, plan, carried, issued_at).await?
        }
        Carried { asserted_by: Some(client), with: Some(key), .. } => assertion(gate, client, key, issued_at)?,
        Carried { signed_by: Some(client), .. } => self_signed(gate, &keyring, client, issued_at).await?,
        _ => return Err("client, signed_by, asserted_by and with, or customer and tenant must be named".into()),
    };
    if carried.tampered {
        // The first character of a signature has no spare bits: another one is another signature.
        let at = token.rfind('.').map_or(0, |dot| dot + 1);
        let other = if token.get(at..=at) == Some("A") { "B" } else { "A" };
        token.replace_range(at..=at, other);
    }
    Ok(token)
}

async fn client_plan(gate: &Gate, client: &ClientId, tenant: Option<&str>, at: Timestamp) -> Result<Plan, String> {
    let fetch = async |tenant: Option<&TenantId>| {
        let wanted = Wanted { client: Some(client), tenant, ..Wanted::default() };
        gate.store.fetch(wanted, at).await.map_err(|e| e.to_string())
    };
    let record = fetch(None).await?.facts.client.ok_or("there is no such client")?;
    let user_login = record.requires_user_login.then_some("guysmiley");
    let asked = Asked { tenant, user_login, ..Asked::default() };
    let tenant = tenant_of(&record, asked).map_err(|e| format!("{e:?}"))?;
    let fetched = fetch(tenant.as_ref()).await?;
    let catalog = gate.store.catalog_for(&fetched).await.map_err(|e| e.to_string())?;
    let plan = plan_for_client(fetched.facts, tenant.as_ref(), asked, &catalog, gate.deployment(at));
    plan.map_err(|e| format!("{e:?}"))
}

async fn customer_plan(
    gate: &Gate,
    keyring: &Keyring,
    tenant: &TenantId,
    username: &Username,
    now: Timestamp,
) -> Result<Plan, String> {
    let digest = Digest::of(&keyring.pepper, DigestOf::Username(tenant.as_str()), username.as_str());
    let wanted = Wanted { tenant: Some(tenant), login_ref: Some(digest.as_str()), ..Wanted::default() };
    let fetched = gate.store.fetch(wanted, now).await.map_err(|e| e.to_string())?;
    let catalog = gate.store.catalog_for(&fetched).await.map_err(|e| e.to_string())?;
    let (Some(customer), Some(record)) = (&fetched.facts.customer, &fetched.facts.tenant) else {
        return Err("there is no such customer".into());
    };
    plan_for_customer(customer, &record.apis, digest.as_str(), &catalog).map_err(|e| format!("{e:?}"))
}

async fn issued(
    gate: &Gate,
    keyring: &Keyring,
    plan: Plan,
    carried: &Carried,
    at: Timestamp,
) -> Result<String, String> {
    let key = keyring.signing_key(plan.algorithm).ok_or("the keyring has no key of the API's algorithm")?;
    let jti = Jti::from_random(clock::random().map_err(|e| e.to_string())?);
    let claims = plan.claims(&gate.issuer, Deployment { environment: gate.environment, now: at }, jti);
    if carried.revoked {
        gate.store.revoke_token(&claims.jti, claims.exp).await.map_err(|e| e.to_string())?;
    }
    let mut claims = json!(claims);
    if let Some(members) = claims.as_object_mut() {
        members.extend(carried.claims.clone());
        if let Some(key) = &carried.exchanged_for {
            let key: UnverifiedApiKey = key.parse().map_err(|_| "exchanged_for is no API key".to_owned())?;
            members.insert("key_ref".into(), json!(key.digest(&keyring.pepper)));
        }
    }
    sign(key, "at+jwt", &claims).map_err(|e| e.to_string())
}

/// An assertion as a client makes it (RFC 7523 section 3), good for five minutes.
fn assertion(gate: &Gate, client: &ClientId, key: &Value, at: Timestamp) -> Result<String, String> {
    let key = SigningKey::from_jwk(key).map_err(|e| format!("with: {e}"))?;
    let jti = Jti::from_random(clock::random().map_err(|e| e.to_string())?);
    let claims = json!({"iss": client, "sub": client, "aud": gate.issuer, "jti": jti, "iat": at, "exp": at.plus(300)});
    sign(&key, "JWT", &claims).map_err(|e| e.to_string())
}

/// A token as a partner makes it, by the secret that is kept for it.
async fn self_signed(gate: &Gate, keyring: &Keyring, client: &ClientId, at: Timestamp) -> Result<String, String> {
    let wanted = Wanted { client: Some(client), ..Wanted::default() };
    let fetched = gate.store.fetch(wanted, at).await.map_err(|e| e.to_string())?;
    let signing =
        fetched.facts.client.and_then(|c| c.self_signing.clone()).ok_or("the client does not sign by itself")?;
    let sealed = &signing.secrets.first().ok_or("the client has no secret to sign with")?.sealed;
    let secret = keyring.sealing.open(client.as_str(), sealed).map_err(|e| e.to_string())?;
    Ok(partner_token(client.as_str(), &secret, at))
}

/// `{clientId, iat, exp}`, HS256, good for 15 minutes.
pub(crate) fn partner_token(client_id: &str, secret: &[u8], at: Timestamp) -> String {
    let part = |value: Value| base64url(value.to_string().as_bytes());
    let header = part(json!({"alg": "HS256", "typ": "JWT"}));
    let claims = part(json!({"clientId": client_id, "iat": at, "exp": at.plus(900)}));
    let text = format!("{header}.{claims}");
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), text.as_bytes());
    format!("{text}.{}", base64url(tag.as_ref()))
}
