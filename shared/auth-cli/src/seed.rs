//! The seed file: APIs, roles, tenants, clients, keys and customers, as they shall stand at the start.

use crate::trouble::{Trouble, broken};
use auth_core::admin::apis::server_url;
use auth_core::admin::command::SetIssuer;
use auth_core::admin::{clients, keys};
use auth_core::api::{Api, TokenSettings};
use auth_core::api_key::UnverifiedApiKey;
use auth_core::ids::{
    ApiName, ClientId, ClientKind, CustomerId, Environment, IssuerName, KeyId, RoleName, Scope, SkuPattern,
    SupplierCode, TenantId, Username,
};
use auth_core::keyring::Keyring;
use auth_core::openapi;
use auth_core::password::StoredPassword;
use auth_core::records::{
    ActiveState, ApiKey, Client, ClientState, Customer, Grant, GrantState, GrantType, KeyLife, Rate, SealedSecret,
    SelfSigning, StoredSecret, Tenant, WorkloadIdentity,
};
use auth_core::remote::HttpsUrl;
use auth_core::secret::{Digest, DigestOf, SecretText, base64url};
use auth_core::time::{Rfc3339, Timestamp};
use auth_edge::clock;
use auth_store::office::Row;
use auth_store::store::Record;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// The whole file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Seed {
    pub(crate) issuer: Option<String>,
    #[serde(default = "test")]
    pub(crate) environment: Environment,
    pub(crate) keyring: Option<PathBuf>,
    #[serde(default)]
    pub(crate) apis: Vec<SeedApi>,
    #[serde(default)]
    pub(crate) roles: Vec<SeedRole>,
    #[serde(default)]
    pub(crate) issuers: Vec<SeedIssuer>,
    #[serde(default)]
    pub(crate) tenants: Vec<SeedTenant>,
    #[serde(default)]
    pub(crate) clients: Vec<SeedClient>,
    #[serde(default)]
    pub(crate) api_keys: Vec<SeedKey>,
    #[serde(default)]
    pub(crate) customers: Vec<SeedCustomer>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SeedApi {
    pub(crate) name: ApiName,
    pub(crate) openapi: Option<PathBuf>,
    pub(crate) audience: Option<String>,
    pub(crate) url: Option<String>,
    #[serde(default)]
    pub(crate) token: TokenSettings,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SeedRole {
    pub(crate) name: RoleName,
    pub(crate) scopes: Vec<Scope>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SeedIssuer {
    name: IssuerName,
    issuer: HttpsUrl,
    /// A JWK set, or the file of one: then nothing is fetched.
    jwks: Option<Value>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SeedTenant {
    pub(crate) id: TenantId,
    pub(crate) apis: Vec<ApiName>,
    #[serde(default = "active")]
    pub(crate) state: ActiveState,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SeedClient {
    pub(crate) client_id: ClientId,
    pub(crate) client_secret: Option<SecretText>,
    /// Where no more was kept of it.
    client_secret_sha256: Option<String>,
    #[serde(default)]
    previous_secrets: Vec<SeedSecret>,
    #[serde(default = "client_credentials")]
    grant_types: Vec<GrantType>,
    pub(crate) kind: ClientKind,
    pub(crate) tenant: Option<TenantId>,
    environment: Option<Environment>,
    #[serde(default = "active_client")]
    pub(crate) state: ClientState,
    /// A JWK set, or the file of one.
    jwks: Option<Value>,
    jwks_uri: Option<HttpsUrl>,
    #[serde(default)]
    workload_identities: Vec<WorkloadIdentity>,
    #[serde(default)]
    pub(crate) self_signing: bool,
    pub(crate) signing_secret: Option<SecretText>,
    #[serde(default)]
    requires_user_login: bool,
    pub(crate) rate: Option<Rate>,
    #[serde(default)]
    pub(crate) apis: Vec<ApiName>,
    #[serde(default)]
    roles: Vec<RoleName>,
    #[serde(default)]
    pub(crate) grants: Vec<SeedGrant>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SeedSecret {
    secret: SecretText,
    expires_at: Rfc3339,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SeedGrant {
    tenant: TenantId,
    state: GrantState,
    #[serde(default)]
    roles: Vec<RoleName>,
    #[serde(default)]
    pub(crate) scopes: Vec<Scope>,
    #[serde(default)]
    skus: Vec<SkuPattern>,
    #[serde(default)]
    suppliers: Vec<SupplierCode>,
    not_after: Option<Rfc3339>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SeedKey {
    pub(crate) key: Option<SecretText>,
    /// Where no more was kept of it.
    sha256: Option<String>,
    environment: Option<Environment>,
    pub(crate) client_id: ClientId,
    pub(crate) tenant: TenantId,
    pub(crate) apis: Vec<ApiName>,
    expires_at: Option<Rfc3339>,
    #[serde(default = "active_key")]
    state: KeyLife,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SeedCustomer {
    pub(crate) tenant: TenantId,
    pub(crate) username: Username,
    pub(crate) password: Option<SecretText>,
    password_hash: Option<SecretText>,
    customer_id: CustomerId,
    #[serde(default)]
    scopes: Vec<Scope>,
    #[serde(default = "active")]
    state: ActiveState,
}

fn test() -> Environment {
    Environment::Test
}
fn active() -> ActiveState {
    ActiveState::Active
}
fn active_client() -> ClientState {
    ClientState::Active
}
fn active_key() -> KeyLife {
    KeyLife::Active
}
fn client_credentials() -> Vec<GrantType> {
    vec![GrantType::ClientCredentials]
}

impl Seed {
    /// Reads a file, JSON or YAML.
    pub(crate) fn read(path: &Path) -> Result<Self, Trouble> {
        let name = path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|e| Trouble::Usage(format!("{name}: {e}")))?;
        let mut seed = Self::parse(&text, &name)?;
        let folder = path.parent().unwrap_or(Path::new("."));
        let issuers = seed.issuers.iter_mut().map(|issuer| &mut issuer.jwks);
        for jwks in issuers.chain(seed.clients.iter_mut().map(|client| &mut client.jwks)).flatten() {
            if let Value::String(file) = jwks {
                *jwks = Source::read(&folder.join(file))?.document;
            }
        }
        Ok(seed)
    }

    /// Reads JSON or YAML.
    pub(crate) fn parse(text: &str, name: &str) -> Result<Self, Trouble> {
        let wrong = |path: String, error: String| {
            let error = auth_core::admin::command::without_value(&error);
            match path.as_str() {
                "." => Trouble::Usage(format!("{name}: {error}")),
                // YAML's errors begin with the path themselves.
                _ => Trouble::Usage(format!("{name}: {path}: {}", error.trim_start_matches(&format!("{path}: ")))),
            }
        };
        let seed: Self = if text.trim_start().starts_with('{') {
            let mut json = serde_json::Deserializer::from_str(text);
            let seed = serde_path_to_error::deserialize(&mut json)
                .map_err(|e| wrong(e.path().to_string(), e.inner().to_string()))?;
            json.end().map_err(|e| wrong(".".into(), e.to_string()))?;
            seed
        } else {
            serde_path_to_error::deserialize(yaml_serde::Deserializer::from_str(text))
                .map_err(|e| wrong(e.path().to_string(), e.inner().to_string()))?
        };
        seed.check(true).map_err(|text| Trouble::Usage(format!("{name}: {text}")))?;
        Ok(seed)
    }

    /// A part of one, whose other parts are in the table already: names that are not here may be there.
    pub(crate) fn read_part(value: Value) -> Result<Self, Trouble> {
        // The list and the place in it are of our own making.
        let own = |text: String| text.split_once("[0].").map_or(text.clone(), |(_, rest)| rest.to_owned());
        let seed: Self = serde_path_to_error::deserialize(value).map_err(|e| {
            let text = auth_core::admin::command::without_value(&e.inner().to_string());
            let path = e.path().to_string();
            // The list and the place in it are of our own making.
            let place = path.split_once("].").map_or("", |(_, rest)| rest);
            Trouble::Usage(if place.is_empty() { text } else { format!("{place}: {text}") })
        })?;
        seed.check(false).map_err(|text| Trouble::Usage(own(text)))?;
        Ok(seed)
    }

    /// Holds the parts against one another; names the place of the first that does not fit.
    fn check(&self, is_whole: bool) -> Result<(), String> {
        once("apis", "name", self.apis.iter().map(|a| &a.name))?;
        once("apis", "audience", self.apis.iter().filter_map(|a| a.audience.as_ref()))?;
        once("roles", "name", self.roles.iter().map(|r| &r.name))?;
        once("issuers", "name", self.issuers.iter().map(|i| &i.name))?;
        once("issuers", "issuer", self.issuers.iter().map(|i| &i.issuer))?;
        once("tenants", "id", self.tenants.iter().map(|t| &t.id))?;
        once("clients", "client_id", self.clients.iter().map(|c| &c.client_id))?;
        once("api_keys", "key", self.api_keys.iter().filter_map(|k| Some(k.key.as_ref()?.expose())))?;
        once("customers", "username", self.customers.iter().map(|c| (&c.tenant, &c.username)))?;
        let issuer_ok = |i: &str| auth_core::settings::is_issuer(i);
        if self.issuer.as_deref().is_some_and(|issuer| !issuer_ok(issuer)) {
            return Err("issuer: an absolute URL without user, query, fragment and trailing slash".into());
        }
        let tenants: BTreeSet<&TenantId> = self.tenants.iter().map(|t| &t.id).collect();
        let roles: BTreeSet<&RoleName> = self.roles.iter().map(|r| &r.name).collect();
        let clients: BTreeSet<&ClientId> = self.clients.iter().map(|c| &c.client_id).collect();
        let known_roles =
            |place: String, named: &[RoleName]| match named.iter().find(|r| is_whole && !roles.contains(r)) {
                Some(role) => Err(format!("{place}.roles: no role {role}")),
                None => Ok(()),
            };
        let known_tenant = |place: String, named: &TenantId| match !is_whole || tenants.contains(named) {
            true => Ok(()),
            false => Err(format!("{place}.tenant: no tenant {named}")),
        };
        for (index, api) in self.apis.iter().enumerate() {
            let good = auth_core::admin::apis::check_token_settings(&api.token);
            good.map_err(|what| format!("apis[{index}].{what}"))?;
        }
        for (index, client) in self.clients.iter().enumerate() {
            let place = format!("clients[{index}]");
            match (client.kind, &client.tenant) {
                (ClientKind::SingleTenant, None) => {
                    return Err(format!("{place}.tenant: missing for a single_tenant client"));
                }
                (ClientKind::SingleTenant, Some(tenant)) => known_tenant(place.clone(), tenant)?,
                (_, Some(_)) => return Err(format!("{place}.tenant: only for a single_tenant client")),
                (_, None) => {}
            }
            let mut secrets = client.client_secret.iter().chain(&client.signing_secret);
            if secrets.any(|s| s.expose().is_empty() || !s.expose().chars().all(|c| matches!(c, '\x20'..='\x7e'))) {
                return Err(format!("{place}.client_secret, signing_secret: printable ASCII, not empty"));
            }
            if client.previous_secrets.len() > 1 {
                return Err(format!("{place}.previous_secrets: one at most; two secrets are live during a rotation"));
            }
            if client.jwks.is_some() && client.jwks_uri.is_some() {
                return Err(format!("{place}.jwks, jwks_uri: one of the two"));
            }
            let is_trusted = |w: &&WorkloadIdentity| !is_whole || self.issuers.iter().any(|i| i.issuer == w.issuer);
            if let Some(other) = client.workload_identities.iter().find(|w| !is_trusted(w)) {
                return Err(format!("{place}.workload_identities: no issuer {}", other.issuer));
            }
            known_roles(place.clone(), &client.roles)?;
            once(&format!("{place}.grants"), "tenant", client.grants.iter().map(|g| &g.tenant))?;
            for (index, grant) in client.grants.iter().enumerate() {
                let place = format!("{place}.grants[{index}]");
                known_tenant(place.clone(), &grant.tenant)?;
                known_roles(place, &grant.roles)?;
            }
        }
        for (index, key) in self.api_keys.iter().enumerate() {
            let place = format!("api_keys[{index}]");
            if let Some(key) = &key.key {
                key.expose().parse::<UnverifiedApiKey>().map_err(|e| format!("{place}.key: {e}"))?;
            } else if key.sha256.is_none() {
                return Err(format!("{place}: missing field `key`"));
            }
            known_tenant(place.clone(), &key.tenant)?;
            if is_whole && !clients.contains(&key.client_id) {
                return Err(format!("{place}.client_id: no client {}", key.client_id));
            }
        }
        for (index, customer) in self.customers.iter().enumerate() {
            if customer.password.is_none() && customer.password_hash.is_none() {
                return Err(format!("customers[{index}]: missing field `password`"));
            }
            known_tenant(format!("customers[{index}]"), &customer.tenant)?;
        }
        Ok(())
    }
}

/// That nothing is there twice.
fn once<T: Ord>(place: &str, member: &str, values: impl Iterator<Item = T>) -> Result<(), String> {
    let mut seen = BTreeSet::new();
    for (index, value) in values.enumerate() {
        if !seen.insert(value) {
            return Err(format!("{place}[{index}].{member}: already there"));
        }
    }
    Ok(())
}

impl Seed {
    /// Has the admin API served, too, unless the seed says something of it already.
    pub(crate) fn with_admin_api(&mut self) {
        let name: Result<ApiName, _> = ADMIN_API.parse();
        if let Ok(name) = name
            && !self.apis.iter().any(|api| api.name == name)
        {
            let token = TokenSettings::default();
            self.apis.push(SeedApi { name, openapi: None, audience: None, url: None, token });
        }
    }

    /// APIs that are named somewhere and declared nowhere: likely a typing mistake, and never allowed.
    pub(crate) fn unknown_apis(&self) -> BTreeSet<&ApiName> {
        let known: BTreeSet<&ApiName> = self.apis.iter().map(|a| &a.name).collect();
        let tenants = self.tenants.iter().flat_map(|t| &t.apis);
        let clients = self.clients.iter().flat_map(|c| &c.apis);
        let keys = self.api_keys.iter().flat_map(|k| &k.apis);
        tenants.chain(clients).chain(keys).filter(|name| !known.contains(name)).collect()
    }
}

/// The name of the admin API, and the document that describes it.
pub(crate) const ADMIN_API: &str = "admin";
const ADMIN_DOCUMENT: &str = include_str!("../../../openapi-admin.yaml");

/// A document, and where it came from.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    pub(crate) name: String,
    pub(crate) document: Value,
}

impl Source {
    /// The admin API's.
    pub(crate) fn admin() -> Result<Self, Trouble> {
        Self::parse(ADMIN_DOCUMENT, "openapi-admin.yaml")
    }

    pub(crate) fn read(path: &Path) -> Result<Self, Trouble> {
        let name = path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|e| Trouble::Usage(format!("{name}: {e}")))?;
        Self::parse(&text, &name)
    }

    /// Operations that a gateway on AWS would leave open to everybody: it does not read the `security` at the top.
    pub(crate) fn open_on_aws(&self) -> Vec<String> {
        let schemes = self.document.pointer("/components/securitySchemes").and_then(Value::as_object);
        let of_gateway = |scheme: &Value| scheme.get("x-amazon-apigateway-authorizer").is_some();
        let top = self.document.get("security").and_then(Value::as_array).is_some_and(|list| !list.is_empty());
        if !top || !schemes.is_some_and(|all| all.values().any(of_gateway)) {
            return Vec::new();
        }
        let items = self.document.get("paths").and_then(Value::as_object).into_iter().flatten();
        let operations = items.flat_map(|(path, item)| {
            let methods = openapi::METHODS.iter().filter_map(move |(name, method)| Some((*method, item.get(*name)?)));
            methods.map(move |(method, operation)| (path, method, operation))
        });
        let open = operations.filter(|(_, _, operation)| operation.get("security").is_none());
        open.map(|(path, method, _)| {
            let what =
                "relies on the security at the top, which API Gateway does not read: on AWS it is open to everybody";
            format!("{}: {method} {path} {what}; write security at the operation", self.name)
        })
        .collect()
    }

    pub(crate) fn parse(text: &str, name: &str) -> Result<Self, Trouble> {
        let document: Value = yaml_serde::from_str(text).map_err(|e| Trouble::Usage(format!("{name}: {e}")))?;
        Ok(Self { name: name.to_owned(), document })
    }
}

/// The APIs of the seed with their documents. `given` is the document of `--openapi`, or those of the demo.
pub(crate) fn apis(
    seed: &Seed,
    folder: &Path,
    given: &[Source],
    issuer: &str,
) -> Result<(Vec<Api>, Vec<Source>), Trouble> {
    let mut sources: Vec<(PathBuf, Source)> = Vec::new();
    let mut apis = Vec::new();
    // What the caller gave, and then ours.
    let admin = Source::admin()?;
    let own = given;
    let given: Vec<Source> = own.iter().cloned().chain([admin]).collect();
    let declared = seed.apis.iter().filter(|api| api.name.as_str() != ADMIN_API).count();
    for (index, entry) in seed.apis.iter().enumerate() {
        let place = format!("apis[{index}]");
        let source = match &entry.openapi {
            Some(path) => {
                let path = folder.join(path);
                match sources.iter().find(|(p, _)| *p == path) {
                    Some((_, source)) => source.clone(),
                    None => {
                        let source = Source::read(&path)?;
                        sources.push((path, source.clone()));
                        source
                    }
                }
            }
            None => match given.iter().find(|source| declares(source, &entry.name)).or(own.first()) {
                Some(given) => given.clone(),
                None => return Err(Trouble::Usage(format!("{place}.openapi: missing, and no --openapi was given"))),
            },
        };
        let read = openapi::read(&source.document).map_err(|e| Trouble::Usage(format!("{}: {e}", source.name)))?;
        let alone = declared == 1 || entry.openapi.is_some();
        let operations: Vec<_> = read
            .operations
            .into_iter()
            .filter(|(api, _)| api.as_ref().map_or(alone || read.name == entry.name, |api| *api == entry.name))
            .map(|(_, operation)| operation)
            .collect();
        if operations.is_empty() {
            return Err(Trouble::Usage(format!("{place}: {} has no operation of API {}", source.name, entry.name)));
        }
        apis.push(Api {
            name: entry.name.clone(),
            audience: entry.audience.clone().unwrap_or_else(|| format!("{issuer}/apis/{}", entry.name)),
            url: entry.url.clone().or_else(|| server_url(&source.document)),
            document: source.name.clone(),
            token: entry.token,
            operations,
        });
    }
    let mut documents: Vec<Source> = sources.into_iter().map(|(_, source)| source).collect();
    documents.extend(given.iter().filter(|g| apis.iter().any(|api| api.document == g.name)).cloned());
    undeclared(&mut apis, &documents, issuer)?;
    for (index, api) in apis.iter().enumerate() {
        apis.iter().skip(index + 1).try_for_each(|other| keep_apart(api, other))?;
    }
    Ok((apis, documents))
}

/// Two APIs must not be for the same requests, nor for the same audience.
pub(crate) fn keep_apart(api: &Api, other: &Api) -> Result<(), Trouble> {
    auth_core::admin::apis::keep_apart(api, other).map_err(Trouble::Usage)
}

/// Whether a document has operations that it says are of this API.
fn declares(source: &Source, name: &ApiName) -> bool {
    let document = openapi::read(&source.document);
    document.is_ok_and(|d| d.operations.iter().any(|(api, _)| api.as_ref() == Some(name)))
}

/// A credential that can be used, for the printed demo and for the ready file.
#[derive(Debug, Clone)]
pub(crate) struct Made {
    pub(crate) client_id: ClientId,
    pub(crate) secret: SecretText,
}

/// A document may have operations of APIs that the seed does not declare. The gateway routes them, so the decision must
/// know them: as APIs that nobody is assigned.
fn undeclared(apis: &mut Vec<Api>, documents: &[Source], issuer: &str) -> Result<(), Trouble> {
    let token = apis.first().map_or_else(TokenSettings::default, |api| api.token);
    for source in documents {
        let read = openapi::read(&source.document).map_err(|e| Trouble::Usage(format!("{}: {e}", source.name)))?;
        for (name, operation) in read.operations {
            let Some(name) = name else { continue };
            match apis.iter_mut().find(|api| api.name == name) {
                Some(api)
                    if api.operations.iter().any(|o| o.method == operation.method && o.path == operation.path) => {}
                Some(api) if api.document == source.name => api.operations.push(operation),
                Some(_) => {}
                None => apis.push(Api {
                    audience: format!("{issuer}/apis/{name}"),
                    url: server_url(&source.document),
                    name,
                    document: source.name.clone(),
                    token,
                    operations: vec![operation],
                }),
            }
        }
    }
    Ok(())
}

/// The row of a grant by itself.
pub(crate) fn grant_row(line: Value) -> Result<Row, Trouble> {
    let mut line = line;
    let members = line.as_object_mut();
    let client_id = members.and_then(|members| {
        members.remove("type");
        members.remove("client_id")
    });
    let client_id: ClientId = match client_id.and_then(|id| id.as_str()?.parse().ok()) {
        Some(id) => id,
        None => return Err(Trouble::Usage("client_id: missing, or not a client's id".into())),
    };
    let grant: SeedGrant = serde_path_to_error::deserialize(line)
        .map_err(|e| Trouble::Usage(auth_core::admin::command::without_value(&e.inner().to_string())))?;
    Ok(Row::grant(grant_of(&client_id, &grant)))
}

fn grant_of(client_id: &ClientId, grant: &SeedGrant) -> Grant {
    Grant {
        client_id: client_id.clone(),
        tenant: grant.tenant.clone(),
        state: grant.state,
        scopes: grant.scopes.clone(),
        roles: grant.roles.clone(),
        skus: grant.skus.clone(),
        suppliers: grant.suppliers.clone(),
        not_after: grant.not_after.map(|t| t.0),
    }
}

/// Whether the keyring can sign what the APIs ask for.
pub(crate) fn check_algorithms(apis: &[Api], keyring: &Keyring) -> Result<(), Trouble> {
    match apis.iter().find(|api| keyring.signing_key(api.token.alg).is_none()) {
        None => Ok(()),
        Some(api) => {
            let wanted = api.token.alg.as_str();
            Err(Trouble::Usage(format!("apis: API {} wants {wanted}, but the keyring has no such key", api.name)))
        }
    }
}

/// The records of the APIs alone.
pub(crate) fn api_records(apis: &[Api]) -> Vec<Record> {
    apis.iter().map(|api| Record::Api(Box::new(api.clone()))).collect()
}

/// The records of the seed, and the client secrets that it left to be made.
pub(crate) fn records(seed: &Seed, apis: &[Api], keyring: &Keyring) -> Result<(Vec<Record>, Vec<Made>), Trouble> {
    let mut records = api_records(apis);
    records.extend(seed.roles.iter().map(|role| Record::Role(role.name.clone(), role.scopes.clone())));
    let mut made = Vec::new();
    let rows = rows_and_made(seed, keyring, &mut made)?;
    records.extend(rows.into_iter().flat_map(|row| row.records));
    Ok((records, made))
}

/// The rows of the seed but for APIs and roles. Every client must have its secret, in whatever form.
pub(crate) fn rows(seed: &Seed, keyring: &Keyring) -> Result<Vec<Row>, Trouble> {
    let mut made = Vec::new();
    let rows = rows_and_made(seed, keyring, &mut made)?;
    match made.is_empty() {
        true => Ok(rows),
        false => {
            Err(Trouble::Usage("client_secret or client_secret_sha256: missing; nobody would learn a made one".into()))
        }
    }
}

/// The rows of the seed but for APIs and roles, in the order in which they need one another.
pub(crate) fn rows_and_made(seed: &Seed, keyring: &Keyring, made: &mut Vec<Made>) -> Result<Vec<Row>, Trouble> {
    let mut rows = Vec::new();
    for SeedIssuer { name, issuer, jwks } in &seed.issuers {
        let asked = SetIssuer { name: name.clone(), issuer: issuer.clone(), jwks: jwks.clone() };
        let issuer = clients::issuer(asked);
        rows.push(Row::issuer(issuer.map_err(|e| Trouble::Usage(format!("issuers: {name}: {e}")))?));
    }
    for tenant in &seed.tenants {
        let record = Tenant { id: tenant.id.clone(), apis: tenant.apis.clone(), state: tenant.state };
        rows.push(Row::tenant(record, None));
    }
    for client in &seed.clients {
        rows.push(client_row(client, seed.environment, keyring, made)?);
        rows.extend(client.grants.iter().map(|grant| Row::grant(grant_of(&client.client_id, grant))));
    }
    for key in &seed.api_keys {
        rows.push(key_row(key, seed.environment, keyring)?);
    }
    for customer in &seed.customers {
        let digest =
            Digest::of(&keyring.pepper, DigestOf::Username(customer.tenant.as_str()), customer.username.as_str());
        let wrong = |what: &str| Trouble::Usage(format!("customers: {what}"));
        let password = match (&customer.password, &customer.password_hash) {
            (Some(password), None) => {
                StoredPassword::hash(password, random()?).ok_or_else(|| wrong("a password has 1 to 1,024 bytes"))?
            }
            (None, Some(hash)) => StoredPassword::import(hash).ok_or_else(|| {
                wrong("password_hash is argon2 as a PHC string or bcrypt, not dearer than a login may be")
            })?,
            _ => return Err(wrong("exactly one of password and password_hash is needed")),
        };
        let record = Customer {
            tenant: customer.tenant.clone(),
            customer_id: customer.customer_id.clone(),
            password,
            scopes: customer.scopes.clone(),
            state: customer.state,
            tokens_not_before: None,
        };
        rows.push(Row::customer(digest, record));
    }
    Ok(rows)
}

fn key_row(key: &SeedKey, environment: Environment, keyring: &Keyring) -> Result<Row, Trouble> {
    let wrong = |what: &dyn std::fmt::Display| Trouble::Usage(format!("api_keys: {what}"));
    let (digest, environment, last_four) = match (&key.key, &key.sha256) {
        (Some(key), None) => {
            let key: UnverifiedApiKey = key.expose().parse().map_err(|e| wrong(&e))?;
            (key.digest(&keyring.pepper), key.environment(), Some(key.shown().1))
        }
        (None, Some(sha256)) => {
            let digest = Digest::of_sha256(&keyring.pepper, DigestOf::ApiKey, sha256);
            let digest = digest.ok_or_else(|| wrong(&"sha256 has 64 hex digits"))?;
            (digest, key.environment.unwrap_or(environment), None)
        }
        _ => return Err(wrong(&"exactly one of key and sha256 is needed")),
    };
    let record = ApiKey {
        key_id: KeyId::of(&digest),
        client_id: key.client_id.clone(),
        tenant: key.tenant.clone(),
        apis: key.apis.clone(),
        within_client: false,
        environment,
        state: key.state,
        expires_at: key.expires_at.map(|t| t.0),
    };
    let listing = keys::listing(&record, digest, last_four, None, clock::now());
    Ok(Row::key(record, listing))
}

fn client_row(
    client: &SeedClient,
    environment: Environment,
    keyring: &Keyring,
    made: &mut Vec<Made>,
) -> Result<Row, Trouble> {
    let id = &client.client_id;
    let wrong = |what: &str| Trouble::Usage(format!("client {id}: {what}"));
    let kind = DigestOf::ClientSecret(id.as_str());
    let keys = clients::keys(client.jwks.as_ref(), client.jwks_uri.clone()).map_err(|e| wrong(&e.text))?;
    let needs_no_secret = keys.is_some() || !client.workload_identities.is_empty();
    let made_now;
    let (digest, secret) = match (&client.client_secret, &client.client_secret_sha256) {
        (Some(_), Some(_)) => return Err(wrong("one of client_secret and client_secret_sha256")),
        (Some(secret), None) => (Some(Digest::of(&keyring.pepper, kind, secret.expose())), Some(secret)),
        (None, Some(sha256)) => {
            let digest = Digest::of_sha256(&keyring.pepper, kind, sha256);
            (Some(digest.ok_or_else(|| wrong("client_secret_sha256 has 64 hex digits"))?), None)
        }
        (None, None) if needs_no_secret => (None, None),
        (None, None) => {
            made_now = SecretText::new(format!("cs_{}", base64url(&random::<32>()?)));
            made.push(Made { client_id: id.clone(), secret: made_now.clone() });
            (Some(Digest::of(&keyring.pepper, kind, made_now.expose())), Some(&made_now))
        }
    };
    let previous = || client.previous_secrets.iter().map(|p| (&p.secret, Some(p.expires_at.0)));
    let self_signing = if client.self_signing {
        let live: Vec<(&SecretText, Option<Timestamp>)> = match (&client.signing_secret, secret) {
            (Some(signing), _) => vec![(signing, None)],
            (None, Some(secret)) => [(secret, None)].into_iter().chain(previous()).collect(),
            (None, None) => return Err(wrong("signing_secret: its SHA-256 does not verify what a partner signs")),
        };
        let mut secrets = Vec::new();
        for (secret, expires_at) in live {
            let sealed = keyring.sealing.seal(id.as_str(), secret, random()?).map_err(broken)?;
            secrets.push(SealedSecret { sealed, created_at: None, expires_at, expired_at: None });
        }
        Some(SelfSigning { secrets, max_lifetime_seconds: auth_core::admin::clients::SELF_SIGNED_SECONDS })
    } else {
        None
    };
    let newest = |digest| StoredSecret { digest, created_at: None, expires_at: None, expired_at: None };
    let mut secrets: Vec<StoredSecret> = digest.into_iter().map(newest).collect();
    secrets.extend(previous().map(|(secret, expires_at)| StoredSecret {
        digest: Digest::of(&keyring.pepper, kind, secret.expose()),
        created_at: None,
        expires_at,
        expired_at: None,
    }));
    let record = Client {
        client_id: id.clone(),
        kind: client.kind,
        tenant: client.tenant.clone(),
        environment: client.environment.unwrap_or(environment),
        state: client.state,
        // A seed is written by the operator, who says by the kind what is internal.
        internal: client.kind != ClientKind::SingleTenant,
        grant_types: client.grant_types.clone(),
        secrets,
        keys,
        workload_identities: client.workload_identities.clone(),
        self_signing,
        requires_user_login: client.requires_user_login,
        rate: client.rate,
        apis: client.apis.clone(),
        roles: client.roles.clone(),
        tokens_not_before: None,
        promoted_to: None,
    };
    Ok(Row::client(record, None))
}

fn random<const N: usize>() -> Result<[u8; N], Trouble> {
    clock::random().map_err(|e| Trouble::Broken(e.to_string()))
}
