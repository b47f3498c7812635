//! What may be asked for. One type a command, read from JSON whose members are named for the fields; commands come from
//! the admin API, from the command line, and from nowhere else.

use crate::api::TokenSettings;
use crate::ids::{
    ApiName, ClientId, ClientKind, CustomerId, Environment, IssuerName, Jti, KeyId, Label, RoleName, Scope, SkuPattern,
    SupplierCode, TenantId, Username,
};
use crate::records::{ClientState, Contact, GrantType, KeyLife, Rate, WorkloadIdentity};
use crate::remote::HttpsUrl;
use crate::secret::SecretText;
use crate::time::Rfc3339;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

macro_rules! commands {
    ($($name:ident = $operation:literal),* $(,)?) => {
        /// A command.
        #[derive(Debug, Clone)]
        #[allow(missing_docs, reason = "each variant is named for the type that it holds")]
        pub enum Command { $($name($name)),* }

        impl Command {
            /// The names of all commands: the `operationId`s of the admin API.
            pub const NAMES: &[&str] = &[$($operation),*];

            /// The command's name.
            pub fn name(&self) -> &'static str {
                match self { $(Self::$name(_) => $operation),* }
            }

            /// Reads the fields of the command of this name; `None` if there is none.
            ///
            /// # Errors
            /// Names the field that is missing, unknown or wrong; never the value.
            pub fn read(operation: &str, fields: Value) -> Option<Result<Self, String>> {
                match operation {
                    $($operation => Some(read::<$name>(fields).map(Self::$name)),)*
                    _ => None,
                }
            }
        }
    };
}

commands! {
    ProvisionTenant = "provisionTenant", ListTenants = "listTenants", ShowTenant = "showTenant",
    SetTenantApis = "setTenantApis", DisableTenant = "disableTenant", EnableTenant = "enableTenant",
    RegisterClient = "registerClient", ListClients = "listClients", ShowClient = "showClient",
    ShowPack = "showPack", ApproveClient = "approveClient", ChangeClient = "changeClient",
    SuspendClient = "suspendClient", ResumeClient = "resumeClient", PromoteClient = "promoteClient",
    DeleteClient = "deleteClient", RevokeClientTokens = "revokeClientTokens", RevokeToken = "revokeToken",
    RotateSecret = "rotateSecret", CancelSecretRotation = "cancelSecretRotation", RevokeSecret = "revokeSecret",
    RequestGrant = "requestGrant", ListGrants = "listGrants", ListTenantGrants = "listTenantGrants",
    ShowGrant = "showGrant", ApproveGrant = "approveGrant", ChangeGrant = "changeGrant", RevokeGrant = "revokeGrant",
    IssueKey = "issueKey", ImportKey = "importKey", ListKeys = "listKeys", ShowKey = "showKey",
    RotateKey = "rotateKey", CancelKeyRotation = "cancelKeyRotation", RevokeKey = "revokeKey",
    CreateCustomer = "createCustomer", ListCustomers = "listCustomers", ShowCustomer = "showCustomer",
    ResetCustomer = "resetCustomer", DisableCustomer = "disableCustomer", EnableCustomer = "enableCustomer",
    SetRole = "setRole", ListRoles = "listRoles", ShowRole = "showRole", DeleteRole = "deleteRole",
    SetIssuer = "setIssuer", ListIssuers = "listIssuers", DeleteIssuer = "deleteIssuer",
    ImportApi = "importApi", DiffApi = "diffApi", ListApis = "listApis", ShowApi = "showApi",
    ShowKeyring = "showKeyring", RotateKeyring = "rotateKeyring", ForceKeyring = "forceKeyring",
    QueryAudit = "queryAudit", QueryTenantAudit = "queryTenantAudit", VerifyAudit = "verifyAudit",
}

fn read<T: serde::de::DeserializeOwned>(fields: Value) -> Result<T, String> {
    serde_path_to_error::deserialize(fields).map_err(|error| {
        let text = without_value(&error.inner().to_string());
        match error.path().to_string().as_str() {
            "." => text,
            path => format!("{path}: {text}"),
        }
    })
}

/// An error's text without the value that it is about, which may be a secret in the wrong place.
pub fn without_value(error: &str) -> String {
    let kinds = ["invalid type: ", "invalid value: ", "unknown variant "];
    let parts = kinds.iter().find_map(|kind| error.split_once(kind));
    match parts.and_then(|(before, rest)| Some((before, rest.rsplit_once(", expected ")?.1))) {
        Some((before, expected)) => {
            let expected = match expected {
                "i64" | "i32" | "u64" | "u32" | "u16" | "u8" => "a whole number",
                "f64" => "a number",
                "a sequence" => "a list",
                other if other.starts_with("struct ") => "an object",
                other => other,
            };
            format!("{before}expected {expected}")
        }
        None => error.to_owned(),
    }
}

/// A field that is absent, null, or there: what is absent stays as it is, null takes it away.
fn some<'de, T: Deserialize<'de>, D: Deserializer<'de>>(d: D) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(d).map(Some)
}

/// A number, or a text that is one: a query parameter has no other form.
fn number<'de, D: Deserializer<'de>>(d: D) -> Result<Option<u16>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        Number(u16),
        Text(String),
    }
    match Written::deserialize(d) {
        Ok(Written::Number(number)) => Ok(Some(number)),
        Ok(Written::Text(text)) => text.parse().map(Some).map_err(|_| serde::de::Error::custom("a number is needed")),
        Err(_) => Err(serde::de::Error::custom("a number is needed")),
    }
}

/// What stands in a token, which has to go into a header.
const FEW: usize = 100;
/// What stands in a grant alone, which each decision reads.
const MANY: usize = 1000;

/// A list without what is there twice, of so many at most.
fn list<'de, T: Deserialize<'de> + Ord, D: Deserializer<'de>>(d: D, most: usize) -> Result<Vec<T>, D::Error> {
    let all: Vec<T> = Vec::deserialize(d)?;
    let mut unique = Vec::new();
    let mut seen = std::collections::BTreeSet::new();
    for (index, item) in all.iter().enumerate() {
        if seen.insert(item) {
            unique.push(index);
        }
    }
    if unique.len() > most {
        return Err(serde::de::Error::custom(format!("at most {most}")));
    }
    let keep: std::collections::BTreeSet<usize> = unique.into_iter().collect();
    Ok(all.into_iter().enumerate().filter(|(index, _)| keep.contains(index)).map(|(_, item)| item).collect())
}

fn few<'de, T: Deserialize<'de> + Ord, D: Deserializer<'de>>(d: D) -> Result<Vec<T>, D::Error> {
    list(d, FEW)
}

fn many<'de, T: Deserialize<'de> + Ord, D: Deserializer<'de>>(d: D) -> Result<Vec<T>, D::Error> {
    list(d, MANY)
}

fn some_few<'de, T: Deserialize<'de> + Ord, D: Deserializer<'de>>(d: D) -> Result<Option<Vec<T>>, D::Error> {
    list(d, FEW).map(Some)
}

fn some_many<'de, T: Deserialize<'de> + Ord, D: Deserializer<'de>>(d: D) -> Result<Option<Vec<T>>, D::Error> {
    list(d, MANY).map(Some)
}

fn client_credentials() -> Vec<GrantType> {
    vec![GrantType::ClientCredentials]
}

fn single_tenant() -> ClientKind {
    ClientKind::SingleTenant
}

fn active() -> KeyLife {
    KeyLife::Active
}

fn a_day() -> i64 {
    86_400
}

macro_rules! command {
    ($(#[$doc:meta])* $name:ident { $($(#[$attribute:meta])* $field:ident: $type:ty),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Deserialize)]
        #[serde(deny_unknown_fields)]
        #[allow(missing_docs, reason = "fields are named for what they are; their types say the rest")]
        pub struct $name { $($(#[$attribute])* pub $field: $type),* }
    };
}

command! {
    /// Makes a tenant.
    ProvisionTenant { tenant: TenantId, #[serde(default)] name: Option<Label>, #[serde(default, deserialize_with = "few")] apis: Vec<ApiName> }
}
command! {
    /// Lists tenants by id.
    ListTenants { #[serde(default)] cursor: Option<String>, #[serde(default, deserialize_with = "number")] limit: Option<u16> }
}
command! {
    /// Shows a tenant.
    ShowTenant { tenant: TenantId }
}
command! {
    /// Says which APIs a tenant has.
    SetTenantApis { tenant: TenantId, #[serde(deserialize_with = "few")] apis: Vec<ApiName> }
}
command! {
    /// Switches a tenant off: nobody reaches its data, nobody of it logs in.
    DisableTenant { tenant: TenantId }
}
command! {
    /// Switches a tenant on again.
    EnableTenant { tenant: TenantId }
}
command! {
    /// Asks for a client, through the tenant that sponsors it.
    RegisterClient {
        #[serde(default)] tenant: Option<TenantId>,
        #[serde(default)] client_id: Option<ClientId>,
        name: Label,
        contacts: Contacts,
        #[serde(default)] account_manager: Option<Label>,
        #[serde(default = "single_tenant")] kind: ClientKind,
        #[serde(default)] internal: bool,
        #[serde(default)] environment: Option<Environment>,
        #[serde(default = "client_credentials")] grant_types: Vec<GrantType>,
        #[serde(default)] self_signing: bool,
        #[serde(default)] jwks: Option<Value>,
        #[serde(default)] jwks_uri: Option<HttpsUrl>,
        #[serde(default, deserialize_with = "few")] workload_identities: Vec<WorkloadIdentity>,
        #[serde(default)] requires_user_login: bool,
        #[serde(default)] rate: Option<Rate>,
        #[serde(default, deserialize_with = "few")] apis: Vec<ApiName>,
        #[serde(default, deserialize_with = "few")] scopes: Vec<Scope>,
        #[serde(default, deserialize_with = "few")] roles: Vec<RoleName>,
        #[serde(default, deserialize_with = "many")] skus: Vec<SkuPattern>,
        #[serde(default, deserialize_with = "many")] suppliers: Vec<SupplierCode>,
        #[serde(default)] not_after: Option<Rfc3339>,
    }
}
command! {
    /// Whom to write to.
    Contacts { business: Contact, technical: Contact }
}
command! {
    /// Lists clients by id: all, or those that have to do with a tenant.
    ListClients {
        #[serde(default)] tenant: Option<TenantId>, #[serde(default)] state: Option<ClientState>,
        #[serde(default)] cursor: Option<String>, #[serde(default, deserialize_with = "number")] limit: Option<u16>,
    }
}
command! {
    /// Shows a client.
    ShowClient { client_id: ClientId }
}
command! {
    /// Shows what a partner needs to know, without the secrets.
    ShowPack { client_id: ClientId }
}
command! {
    /// Puts a registered client into use.
    ApproveClient {
        client_id: ClientId, #[serde(default, deserialize_with = "some_few")] apis: Option<Vec<ApiName>>, #[serde(default)] agreement: Option<Label>,
    }
}
command! {
    /// Changes what an operator says of a client.
    ChangeClient {
        client_id: ClientId,
        #[serde(default, deserialize_with = "some_few")] apis: Option<Vec<ApiName>>,
        #[serde(default)] agreement: Option<Label>,
        #[serde(default, deserialize_with = "some_few")] roles: Option<Vec<RoleName>>,
        #[serde(default, deserialize_with = "some")] rate: Option<Option<Rate>>,
        #[serde(default, deserialize_with = "some")] jwks: Option<Option<Value>>,
        #[serde(default, deserialize_with = "some")] jwks_uri: Option<Option<HttpsUrl>>,
        #[serde(default, deserialize_with = "some_few")] workload_identities: Option<Vec<WorkloadIdentity>>,
        #[serde(default)] requires_user_login: Option<bool>,
        #[serde(default)] contacts: Option<Contacts>,
        #[serde(default)] account_manager: Option<Label>,
        #[serde(default)] max_lifetime_seconds: Option<i64>,
    }
}
command! {
    /// Stops a client for a time.
    SuspendClient { client_id: ClientId, #[serde(default)] reason: Option<Label> }
}
command! {
    /// Puts a suspended client into use again.
    ResumeClient { client_id: ClientId }
}
command! {
    /// Makes the live client of a test client.
    PromoteClient { client_id: ClientId, #[serde(default)] new_client_id: Option<ClientId> }
}
command! {
    /// Ends a client for ever.
    DeleteClient { client_id: ClientId, #[serde(default)] reason: Option<Label> }
}
command! {
    /// Makes every token of a client worthless.
    RevokeClientTokens { client_id: ClientId }
}
command! {
    /// Makes one token worthless.
    RevokeToken { jti: Jti, #[serde(default)] expires_at: Option<Rfc3339> }
}

/// Which of a client's secrets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SecretUse {
    /// What the client shows at the token endpoint.
    #[default]
    Client,
    /// What it signs its own tokens with.
    Signing,
}

/// Which of two secrets during a rotation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Which {
    /// The one that was there before: cuts the overlap short.
    #[default]
    Old,
    /// Each; the client has none then, until it is given another.
    All,
}

command! {
    /// Gives a client another secret; the old one stays good for a while.
    RotateSecret {
        client_id: ClientId, #[serde(default, rename = "use")] of: SecretUse,
        #[serde(default = "a_day")] overlap_seconds: i64,
    }
}
command! {
    /// Takes a rotation back: the old secret stays, the new one dies.
    CancelSecretRotation { client_id: ClientId, #[serde(default, rename = "use")] of: SecretUse }
}
command! {
    /// Ends a secret at once.
    RevokeSecret {
        client_id: ClientId, #[serde(default, rename = "use")] of: SecretUse, #[serde(default)] which: Which,
    }
}
command! {
    /// Asks a tenant for access to its data.
    RequestGrant {
        tenant: TenantId, client_id: ClientId,
        #[serde(default, deserialize_with = "few")] scopes: Vec<Scope>, #[serde(default, deserialize_with = "few")] roles: Vec<RoleName>,
        #[serde(default, deserialize_with = "many")] skus: Vec<SkuPattern>, #[serde(default, deserialize_with = "many")] suppliers: Vec<SupplierCode>,
        #[serde(default)] not_after: Option<Rfc3339>,
    }
}
command! {
    /// Lists the grants of a client by tenant.
    ListGrants {
        client_id: ClientId, #[serde(default)] cursor: Option<String>,
        #[serde(default, deserialize_with = "number")] limit: Option<u16>,
    }
}
command! {
    /// Lists the grants of a tenant by client.
    ListTenantGrants {
        tenant: TenantId, #[serde(default)] cursor: Option<String>,
        #[serde(default, deserialize_with = "number")] limit: Option<u16>,
    }
}
command! {
    /// Shows a grant.
    ShowGrant { tenant: TenantId, client_id: ClientId }
}
command! {
    /// Consents to what was asked for.
    ApproveGrant { tenant: TenantId, client_id: ClientId }
}
command! {
    /// Changes what is consented to; what is not named stays.
    ChangeGrant {
        tenant: TenantId, client_id: ClientId,
        #[serde(default, deserialize_with = "some_few")] scopes: Option<Vec<Scope>>, #[serde(default, deserialize_with = "some_few")] roles: Option<Vec<RoleName>>,
        #[serde(default, deserialize_with = "some_many")] skus: Option<Vec<SkuPattern>>, #[serde(default, deserialize_with = "some_many")] suppliers: Option<Vec<SupplierCode>>,
        #[serde(default, deserialize_with = "some")] not_after: Option<Option<Rfc3339>>,
    }
}
command! {
    /// Withdraws consent.
    RevokeGrant { tenant: TenantId, client_id: ClientId, #[serde(default)] reason: Option<Label> }
}
command! {
    /// Issues an API key.
    IssueKey {
        client_id: ClientId, #[serde(default)] tenant: Option<TenantId>, #[serde(default, deserialize_with = "some_few")] apis: Option<Vec<ApiName>>,
        #[serde(default)] expires_at: Option<Rfc3339>, #[serde(default)] label: Option<Label>,
    }
}
command! {
    /// Takes over an API key that partners hold already: itself, its SHA-256 in hex, or its digest under the pepper of
    /// this deployment.
    ImportKey {
        client_id: ClientId, #[serde(default)] key: Option<SecretText>, #[serde(default)] sha256: Option<String>,
        #[serde(default)] digest: Option<String>,
        #[serde(default)] environment: Option<Environment>,
        #[serde(default)] tenant: Option<TenantId>, #[serde(default, deserialize_with = "some_few")] apis: Option<Vec<ApiName>>,
        #[serde(default)] expires_at: Option<Rfc3339>, #[serde(default)] label: Option<Label>,
        #[serde(default = "active")] state: KeyLife,
    }
}
command! {
    /// Lists the API keys of a client.
    ListKeys {
        client_id: ClientId, #[serde(default)] cursor: Option<String>,
        #[serde(default, deserialize_with = "number")] limit: Option<u16>,
    }
}
command! {
    /// Shows an API key, as far as it may be shown.
    ShowKey { client_id: ClientId, key_id: KeyId }
}
command! {
    /// Issues a key in the place of another, which stays good for a while.
    RotateKey { client_id: ClientId, key_id: KeyId, #[serde(default = "a_day")] overlap_seconds: i64 }
}
command! {
    /// Takes a rotation back: the old key stays, the new one is revoked. Named by either.
    CancelKeyRotation { client_id: ClientId, key_id: KeyId }
}
command! {
    /// Revokes a key.
    RevokeKey { client_id: ClientId, key_id: KeyId, #[serde(default)] reason: Option<Label> }
}
command! {
    /// Makes a customer.
    CreateCustomer {
        tenant: TenantId, username: Username, customer_id: CustomerId,
        #[serde(default)] password: Option<SecretText>, #[serde(default)] password_hash: Option<SecretText>,
        #[serde(default, deserialize_with = "few")] scopes: Vec<Scope>,
    }
}
command! {
    /// Lists the customers of a tenant.
    ListCustomers {
        tenant: TenantId, #[serde(default)] cursor: Option<String>,
        #[serde(default, deserialize_with = "number")] limit: Option<u16>,
    }
}
command! {
    /// Shows a customer.
    ShowCustomer { tenant: TenantId, username: Username }
}
command! {
    /// Gives a customer another password; tokens of before are worthless.
    ResetCustomer { tenant: TenantId, username: Username, password: SecretText }
}
command! {
    /// Switches a customer off; tokens of before are worthless.
    DisableCustomer { tenant: TenantId, username: Username }
}
command! {
    /// Switches a customer on again.
    EnableCustomer { tenant: TenantId, username: Username }
}
command! {
    /// Says what a role may do; counts on the next decision.
    SetRole { role: RoleName, #[serde(deserialize_with = "few")] scopes: Vec<Scope> }
}
command! {
    /// Lists roles.
    ListRoles {}
}
command! {
    /// Shows a role.
    ShowRole { role: RoleName }
}
command! {
    /// Takes a role away; whoever has it may do nothing by it.
    DeleteRole { role: RoleName }
}
command! {
    /// Trusts an issuer of workload tokens.
    SetIssuer { name: IssuerName, issuer: HttpsUrl, #[serde(default)] jwks: Option<Value> }
}
command! {
    /// Lists the issuers that are trusted.
    ListIssuers {}
}
command! {
    /// Trusts an issuer no more.
    DeleteIssuer { name: IssuerName }
}
command! {
    /// Replaces the requirements of the APIs that a document describes.
    ImportApi {
        document: Value, #[serde(default)] api: Option<ApiName>, #[serde(default)] source: Option<Label>,
        #[serde(default)] audience: Option<Label>, #[serde(default)] url: Option<Label>,
        #[serde(default)] token: Option<TokenSettings>,
    }
}
command! {
    /// Says what an import would change.
    DiffApi { document: Value, #[serde(default)] api: Option<ApiName> }
}
command! {
    /// Lists APIs.
    ListApis {}
}
command! {
    /// Shows what an API requires.
    ShowApi { api: ApiName }
}
command! {
    /// Shows the public parts of the keyring.
    ShowKeyring {}
}
command! {
    /// Rotates the keyring as far as that is due.
    RotateKeyring {}
}
command! {
    /// Replaces every signing key at once, after a leak.
    ForceKeyring {}
}
command! {
    /// Lists changes, newest first.
    QueryAudit {
        #[serde(default)] client_id: Option<ClientId>, #[serde(default)] since: Option<Rfc3339>,
        #[serde(default)] until: Option<Rfc3339>, #[serde(default)] outcome: Option<super::chain::EntryOutcome>,
        #[serde(default)] cursor: Option<String>, #[serde(default, deserialize_with = "number")] limit: Option<u16>,
    }
}
command! {
    /// Lists changes that have to do with a tenant, newest first.
    QueryTenantAudit {
        tenant: TenantId, #[serde(default)] client_id: Option<ClientId>, #[serde(default)] since: Option<Rfc3339>,
        #[serde(default)] until: Option<Rfc3339>, #[serde(default)] outcome: Option<super::chain::EntryOutcome>,
        #[serde(default)] cursor: Option<String>, #[serde(default, deserialize_with = "number")] limit: Option<u16>,
    }
}
command! {
    /// Checks a chain of the audit: of a tenant, or of the deployment itself; and that it still holds a head that was kept.
    VerifyAudit { #[serde(default)] tenant: Option<TenantId>, #[serde(default)] head: Option<String> }
}
