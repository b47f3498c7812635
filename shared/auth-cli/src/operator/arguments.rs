//! The arguments of each command. Members are named as the core's commands name their fields.

use super::ask_secret;
use crate::seed::Source;
use crate::trouble::Trouble;
use auth_core::admin::command::Command;
use auth_core::secret::SecretText;
use clap::{Args, Subcommand};
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::path::PathBuf;

/// What is administered.
#[derive(Debug, Subcommand)]
pub(crate) enum Subject {
    /// Tenants: the customers of the platform.
    #[command(subcommand)]
    Tenant(Tenant),
    /// Clients: partners' applications, from registration to deletion.
    #[command(subcommand)]
    Client(Box<Client>),
    /// Client secrets and signing secrets: rotated with an overlap, taken back, revoked.
    #[command(subcommand)]
    Secret(Secret),
    /// Grants: a tenant's consent that a client acts on its data.
    #[command(subcommand)]
    Grant(Grant),
    /// API keys.
    #[command(subcommand)]
    Key(Key),
    /// Tokens that were issued.
    #[command(subcommand)]
    Token(Token),
    /// Customers: the end users of a tenant's storefront.
    #[command(subcommand)]
    Customer(Customer),
    /// Roles: named sets of scopes.
    #[command(subcommand)]
    Role(Role),
    /// Issuers of workload tokens: clouds and CI systems whose tokens may prove a client.
    #[command(subcommand)]
    Issuer(Issuer),
    /// APIs and what they require, from their OpenAPI documents.
    #[command(subcommand)]
    Api(Api),
    /// The keyring: the keys that sign tokens.
    #[command(subcommand)]
    Keyring(Keyring),
    /// The audit of changes.
    #[command(subcommand)]
    Audit(Audit),
}

#[derive(Debug, Subcommand)]
pub(crate) enum Tenant {
    /// Make a tenant.
    Provision(ProvisionTenant),
    /// List tenants by id.
    List(Page),
    /// Show a tenant.
    Show(TenantName),
    /// Say which APIs a tenant has.
    SetApis(SetTenantApis),
    /// Switch a tenant off: nobody reaches its data, nobody of it logs in.
    Disable(TenantName),
    /// Switch a tenant on again.
    Enable(TenantName),
}

#[derive(Debug, Args, Serialize)]
pub(crate) struct ProvisionTenant {
    /// The tenant's id.
    tenant: String,
    /// What people call it.
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    /// An API that it has.
    #[arg(long = "api", alias = "apis", value_name = "API", value_delimiter = ',')]
    apis: Vec<String>,
}

#[derive(Debug, Args, Serialize)]
pub(crate) struct Page {
    /// How many at most, 1 to 100.
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=100))]
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<u16>,
    /// Go on where the page before ended.
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    cursor: Option<String>,
}

#[derive(Debug, Args, Serialize)]
pub(crate) struct TenantName {
    /// The tenant's id.
    tenant: String,
}

#[derive(Debug, Args, Serialize)]
pub(crate) struct SetTenantApis {
    /// The tenant's id.
    tenant: String,
    /// An API that it has; none takes all away.
    #[arg(long = "api", alias = "apis", value_name = "API", value_delimiter = ',')]
    apis: Vec<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Client {
    /// Register a client; it is pending until its tenant has approved the grant and you have approved the client.
    Register(Register),
    /// Put a registered client into use; prints its credential pack, with the secrets this one time.
    Approve(ApproveClient),
    /// Show a client.
    Show(ClientName),
    /// List clients by id.
    List(ListClients),
    /// Print what a partner needs to know, without the secrets.
    Pack(ClientName),
    /// Change what you say of a client; what is not named stays.
    Change(ChangeClient),
    /// Stop a client for a time; counts on the next request.
    Suspend(ClientReason),
    /// Put a suspended client into use again.
    Resume(ClientName),
    /// Make the live client of a test client; prints its pack, with the secrets this one time.
    Promote(PromoteClient),
    /// End a client for ever; its name is not given again.
    Delete(ClientReason),
}

#[derive(Debug, Args, Serialize)]
pub(crate) struct Register {
    /// What people call the application.
    name: String,
    /// The tenant that sponsors it; of a single_tenant client, the one that it is tied to.
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    tenant: Option<String>,
    /// Whom to write to about contracts: `NAME <MAIL>`.
    #[arg(long, value_name = "NAME <MAIL>", value_parser = contact)]
    #[serde(skip)]
    business_contact: Value,
    /// Whom to write to about incidents: `NAME <MAIL>`.
    #[arg(long, value_name = "NAME <MAIL>", value_parser = contact)]
    #[serde(skip)]
    technical_contact: Value,
    /// Who looks after the partner on our side.
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    account_manager: Option<String>,
    /// Which tenants it can reach: single_tenant, dynamic_tenant or multi_tenant.
    #[arg(long, default_value = "single_tenant")]
    kind: String,
    /// It is the platform's own application; only such are dynamic_tenant or multi_tenant.
    #[arg(long)]
    internal: bool,
    /// test or live; default: the deployment's.
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    environment: Option<String>,
    /// Its id, where an existing one moves in; default: one is made.
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    client_id: Option<String>,
    /// It may sign its own tokens.
    #[arg(long)]
    self_signing: bool,
    /// It does not ask for tokens; for clients that only sign them, or have keys.
    #[arg(long)]
    #[serde(skip)]
    no_client_credentials: bool,
    #[command(flatten)]
    #[serde(skip)]
    proof: Proof,
    /// Every token request names a user_login.
    #[arg(long)]
    requires_user_login: bool,
    #[command(flatten)]
    #[serde(skip)]
    rate: Rate,
    /// An API that it wants.
    #[arg(long = "api", alias = "apis", value_name = "API", value_delimiter = ',')]
    apis: Vec<String>,
    #[command(flatten)]
    #[serde(flatten)]
    grant: GrantTerms,
}

#[derive(Debug, Args)]
pub(crate) struct Rate {
    /// Requests a second, in the long run.
    #[arg(long)]
    rate_per_second: Option<u32>,
    /// Requests at once.
    #[arg(long)]
    rate_burst: Option<u32>,
    /// Requests a day.
    #[arg(long)]
    rate_per_day: Option<u32>,
}

impl Rate {
    fn put(&self, fields: &mut Map<String, Value>) {
        let members = [self.rate_per_second, self.rate_burst, self.rate_per_day];
        if members.iter().any(Option::is_some) {
            let [per_second, burst, per_day] = members;
            let rate = json!({"per_second": per_second, "burst": burst, "per_day": per_day});
            fields.insert("rate".into(), rate);
        }
    }
}

#[derive(Debug, Args, Serialize)]
pub(crate) struct GrantTerms {
    /// A scope of the grant.
    #[arg(long = "scope", alias = "scopes", value_name = "SCOPE", value_delimiter = ',')]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    scopes: Vec<String>,
    /// A role of the grant; of a multi_tenant client, of itself.
    #[arg(long = "role", alias = "roles", value_name = "ROLE", value_delimiter = ',')]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    roles: Vec<String>,
    /// An SKU of the grant, in which * stands for any run of characters.
    #[arg(long = "sku", alias = "skus", value_name = "SKU", value_delimiter = ',')]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    skus: Vec<String>,
    /// A supplier code of the grant.
    #[arg(long = "supplier", alias = "suppliers", value_name = "CODE", value_delimiter = ',')]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    suppliers: Vec<String>,
    /// When the grant ends, as 2026-12-01T00:00:00Z.
    #[arg(long, value_name = "TIME")]
    #[serde(skip_serializing_if = "Option::is_none")]
    not_after: Option<String>,
}

#[derive(Debug, Args, Serialize)]
pub(crate) struct ApproveClient {
    /// The client's id.
    client_id: String,
    /// An API to assign; default: those that were asked for.
    #[arg(long = "api", alias = "apis", value_name = "API", value_delimiter = ',')]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    apis: Vec<String>,
    /// The agreement that says so.
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    agreement: Option<String>,
}

#[derive(Debug, Args, Serialize)]
pub(crate) struct ClientName {
    /// The client's id.
    client_id: String,
}

#[derive(Debug, Args, Serialize)]
pub(crate) struct ListClients {
    /// Those that have to do with this tenant.
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    tenant: Option<String>,
    /// pending, active, suspended or deleted.
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<String>,
    #[command(flatten)]
    #[serde(flatten)]
    page: Page,
}

#[derive(Debug, Args, Serialize)]
pub(crate) struct ChangeClient {
    /// The client's id.
    client_id: String,
    /// All APIs that are assigned from now on.
    #[arg(long = "api", alias = "apis", value_name = "API", value_delimiter = ',')]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    apis: Vec<String>,
    /// No API is assigned from now on.
    #[arg(long, conflicts_with = "apis")]
    #[serde(skip)]
    no_apis: bool,
    /// The agreement that says so.
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    agreement: Option<String>,
    /// All roles that a multi_tenant client has from now on.
    #[arg(long = "role", alias = "roles", value_name = "ROLE", value_delimiter = ',')]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    roles: Vec<String>,
    #[command(flatten)]
    #[serde(skip)]
    rate: Rate,
    /// No rate from now on.
    #[arg(long, conflicts_with_all = ["rate_per_second", "rate_burst", "rate_per_day"])]
    #[serde(skip)]
    no_rate: bool,
    #[command(flatten)]
    #[serde(skip)]
    proof: Proof,
    /// It has no keys from now on.
    #[arg(long, conflicts_with_all = ["jwks", "jwks_uri"])]
    #[serde(skip)]
    no_keys: bool,
    /// No workload proves it from now on.
    #[arg(long, conflicts_with = "workloads")]
    #[serde(skip)]
    no_workloads: bool,
    /// Whether every token request names a user_login.
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    requires_user_login: Option<bool>,
    /// The longest life of a token that it signs itself, in seconds.
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    max_lifetime_seconds: Option<i64>,
    /// Who looks after the partner on our side.
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    account_manager: Option<String>,
    /// Whom to write to about contracts.
    #[arg(long, value_name = "NAME <MAIL>", value_parser = contact, requires = "technical_contact")]
    #[serde(skip)]
    business_contact: Option<Value>,
    /// Whom to write to about incidents.
    #[arg(long, value_name = "NAME <MAIL>", value_parser = contact, requires = "business_contact")]
    #[serde(skip)]
    technical_contact: Option<Value>,
    /// Only if it is still of this version, as `show --output json` says.
    #[arg(long)]
    #[serde(skip)]
    if_version: Option<u64>,
}

#[derive(Debug, Args, Serialize)]
pub(crate) struct ClientReason {
    /// The client's id.
    client_id: String,
    /// Why.
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

#[derive(Debug, Args, Serialize)]
pub(crate) struct PromoteClient {
    /// The test client's id.
    client_id: String,
    /// The live client's id; default: one is made.
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    new_client_id: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Secret {
    /// Give a client another secret, printed this one time; the old one stays good for the overlap.
    Rotate(RotateSecret),
    /// Take a rotation back: the old secret stays, the new one dies.
    Cancel(SecretOf),
    /// End the old secret of a rotation at once.
    Revoke(RevokeSecret),
}

#[derive(Debug, Args, Serialize)]
pub(crate) struct SecretOf {
    /// The client's id.
    client_id: String,
    /// The secret that it signs its own tokens with, not the one for the token endpoint.
    #[arg(long)]
    #[serde(skip)]
    signing: bool,
}

impl SecretOf {
    fn put(&self, fields: &mut Map<String, Value>) {
        if self.signing {
            fields.insert("use".into(), "signing".into());
        }
    }
}

#[derive(Debug, Args, Serialize)]
pub(crate) struct RotateSecret {
    #[command(flatten)]
    #[serde(flatten)]
    of: SecretOf,
    /// For how long the old secret stays good: 90s, 30m, 24h, 7d.
    #[arg(long, value_name = "TIME", default_value = "24h", value_parser = seconds)]
    #[serde(rename = "overlap_seconds")]
    overlap: i64,
}

#[derive(Debug, Args, Serialize)]
pub(crate) struct RevokeSecret {
    #[command(flatten)]
    #[serde(flatten)]
    of: SecretOf,
    /// All of them: the client has none then, until it is given another.
    #[arg(long)]
    #[serde(skip)]
    all: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Grant {
    /// Ask a tenant for access to its data.
    Request(RequestGrant),
    /// Consent to what was asked for, on the tenant's behalf.
    Approve(GrantOf),
    /// Change what is consented to; what is not named stays.
    Change(ChangeGrant),
    /// Withdraw consent; counts on the next request.
    Revoke(RevokeGrant),
    /// Show a grant.
    Show(GrantOf),
    /// List the grants of a client, or of a tenant.
    List(ListGrants),
}

#[derive(Debug, Args, Serialize)]
pub(crate) struct GrantOf {
    /// The client's id.
    client_id: String,
    /// The tenant whose data it is.
    #[arg(long)]
    tenant: String,
}

#[derive(Debug, Args, Serialize)]
pub(crate) struct RequestGrant {
    #[command(flatten)]
    #[serde(flatten)]
    of: GrantOf,
    #[command(flatten)]
    #[serde(flatten)]
    terms: GrantTerms,
}

#[derive(Debug, Args, Serialize)]
pub(crate) struct ChangeGrant {
    #[command(flatten)]
    #[serde(flatten)]
    of: GrantOf,
    #[command(flatten)]
    #[serde(flatten)]
    terms: GrantTerms,
    /// Take one kind of thing away altogether: scopes, roles, skus, suppliers or not_after.
    #[arg(long = "clear", value_name = "WHAT", value_delimiter = ',', value_parser = ["scopes", "roles", "skus", "suppliers", "not_after"])]
    #[serde(skip)]
    cleared: Vec<String>,
    /// Only if it is still of this version.
    #[arg(long)]
    #[serde(skip)]
    if_version: Option<u64>,
}

#[derive(Debug, Args, Serialize)]
pub(crate) struct RevokeGrant {
    #[command(flatten)]
    #[serde(flatten)]
    of: GrantOf,
    /// Why.
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

#[derive(Debug, Args, Serialize)]
#[group(skip)]
#[command(group(clap::ArgGroup::new("whose").args(["client_id", "tenant"]).required(true)))]
pub(crate) struct ListGrants {
    /// Of this client.
    #[arg(long = "client", value_name = "CLIENT")]
    #[serde(skip_serializing_if = "Option::is_none")]
    client_id: Option<String>,
    /// Of this tenant.
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    tenant: Option<String>,
    #[command(flatten)]
    #[serde(flatten)]
    page: Page,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Key {
    /// Issue an API key, printed this one time.
    Issue(IssueKey),
    /// Take over a key that a partner holds already: the key on standard input, or a digest of it.
    Import(ImportKey),
    /// List the keys of a client; never the keys themselves.
    List(ListKeys),
    /// Show a key, as far as it may be shown.
    Show(KeyOf),
    /// Issue a key in the place of another, which stays good for the overlap.
    Rotate(RotateKey),
    /// Take a rotation back, named by either key.
    Cancel(KeyOf),
    /// Revoke a key; counts on the next request.
    Revoke(RevokeKey),
}

#[derive(Debug, Args, Serialize)]
pub(crate) struct KeyTerms {
    /// The client's id.
    client_id: String,
    /// The tenant that it is for; default: the client's own.
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    tenant: Option<String>,
    /// An API that it is for; default: those of the client that take keys.
    #[arg(long = "api", alias = "apis", value_name = "API", value_delimiter = ',')]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    apis: Vec<String>,
    /// When it ends, as 2026-12-01T00:00:00Z; default: never.
    #[arg(long, value_name = "TIME")]
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<String>,
    /// What its owner calls it.
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    label: Option<String>,
}

#[derive(Debug, Args, Serialize)]
pub(crate) struct IssueKey {
    #[command(flatten)]
    #[serde(flatten)]
    terms: KeyTerms,
}

#[derive(Debug, Args, Serialize)]
pub(crate) struct ImportKey {
    #[command(flatten)]
    #[serde(flatten)]
    terms: KeyTerms,
    /// The SHA-256 of the key in hex, where no more was kept of it.
    #[arg(long, conflicts_with = "digest")]
    #[serde(skip_serializing_if = "Option::is_none")]
    sha256: Option<String>,
    /// Its digest under the pepper of this very deployment, as an export has it.
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    digest: Option<String>,
}

#[derive(Debug, Args, Serialize)]
pub(crate) struct ListKeys {
    /// The client's id.
    client_id: String,
    #[command(flatten)]
    #[serde(flatten)]
    page: Page,
}

#[derive(Debug, Args, Serialize)]
pub(crate) struct KeyOf {
    /// The client's id.
    client_id: String,
    /// The key's id.
    key_id: String,
}

#[derive(Debug, Args, Serialize)]
pub(crate) struct RotateKey {
    #[command(flatten)]
    #[serde(flatten)]
    of: KeyOf,
    /// For how long the old key stays good: 90s, 30m, 24h, 7d.
    #[arg(long, value_name = "TIME", default_value = "24h", value_parser = seconds)]
    #[serde(rename = "overlap_seconds")]
    overlap: i64,
}

#[derive(Debug, Args, Serialize)]
pub(crate) struct RevokeKey {
    #[command(flatten)]
    #[serde(flatten)]
    of: KeyOf,
    /// Why.
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Token {
    /// Make one token worthless.
    Revoke(RevokeToken),
    /// Make every token of a client worthless.
    RevokeAll(ClientName),
}

#[derive(Debug, Args, Serialize)]
pub(crate) struct RevokeToken {
    /// The token's jti, as the audit lines have it.
    jti: String,
    /// When the token expires; default: a day from now, the longest that one lives.
    #[arg(long, value_name = "TIME")]
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Customer {
    /// Make a customer; the password, or the hash of one, comes on standard input or is asked for.
    Create(CreateCustomer),
    /// List the customers of a tenant; the table knows their names by digest alone.
    List(ListCustomers),
    /// Show a customer.
    Show(CustomerName),
    /// Give a customer another password; tokens of before are worthless.
    Reset(ResetCustomer),
    /// Switch a customer off; tokens of before are worthless.
    Disable(CustomerName),
    /// Switch a customer on again.
    Enable(CustomerName),
}

#[derive(Debug, Args, Serialize)]
pub(crate) struct CustomerName {
    /// The tenant whose customer it is.
    tenant: String,
    /// The name under which the customer logs in.
    username: String,
}

#[derive(Debug, Args, Serialize)]
pub(crate) struct CreateCustomer {
    #[command(flatten)]
    #[serde(flatten)]
    of: CustomerName,
    /// The customer, as the tenant's own systems know it.
    #[arg(long)]
    customer_id: String,
    /// What the customer may do.
    #[arg(long = "scope", alias = "scopes", value_name = "SCOPE", value_delimiter = ',')]
    scopes: Vec<String>,
    /// What comes on standard input is a hash that moves in: argon2 (PHC) or bcrypt.
    #[arg(long)]
    #[serde(skip)]
    hash: bool,
    /// Passwords that customers may not choose, one a line, as they are or by their SHA-1.
    #[arg(long, value_name = "FILE")]
    #[serde(skip)]
    breached_list: Option<PathBuf>,
}

#[derive(Debug, Args, Serialize)]
pub(crate) struct ResetCustomer {
    #[command(flatten)]
    #[serde(flatten)]
    of: CustomerName,
    /// Passwords that customers may not choose, one a line, as they are or by their SHA-1.
    #[arg(long, value_name = "FILE")]
    #[serde(skip)]
    breached_list: Option<PathBuf>,
}

#[derive(Debug, Args, Serialize)]
pub(crate) struct ListCustomers {
    /// The tenant whose customers they are.
    tenant: String,
    #[command(flatten)]
    #[serde(flatten)]
    page: Page,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Role {
    /// Say what a role may do; counts on the next decision.
    Set(SetRole),
    /// List roles.
    List,
    /// Show a role.
    Show(RoleName),
    /// Take a role away; whoever has it may do nothing by it.
    Delete(RoleName),
}

#[derive(Debug, Args, Serialize)]
pub(crate) struct SetRole {
    /// The role's name.
    role: String,
    /// A scope of it.
    #[arg(long = "scope", alias = "scopes", value_name = "SCOPE", required = true, value_delimiter = ',')]
    scopes: Vec<String>,
}

#[derive(Debug, Args, Serialize)]
pub(crate) struct RoleName {
    /// The role's name.
    role: String,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Issuer {
    /// Trust an issuer; counts on the next request.
    Set(SetIssuer),
    /// List the issuers that are trusted.
    List,
    /// Trust an issuer no more; its workloads prove no client then.
    Delete(IssuerName),
}

#[derive(Debug, Args, Serialize)]
pub(crate) struct SetIssuer {
    /// What you call it.
    name: String,
    /// The exact `iss` of its tokens; its keys are found by OpenID discovery.
    #[arg(long, value_name = "URL")]
    issuer: String,
    /// Its keys, a JWK set: then nothing is fetched.
    #[arg(long, value_name = "FILE")]
    #[serde(skip)]
    jwks: Option<PathBuf>,
}

#[derive(Debug, Args, Serialize)]
pub(crate) struct IssuerName {
    /// What you call it.
    name: String,
}

/// How a client proves itself without a secret.
#[derive(Debug, Args)]
pub(crate) struct Proof {
    /// Its public keys, a JWK set, for private_key_jwt.
    #[arg(long, value_name = "FILE")]
    jwks: Option<PathBuf>,
    /// Where it publishes its keys, for private_key_jwt.
    #[arg(long, value_name = "URL", conflicts_with = "jwks")]
    jwks_uri: Option<String>,
    /// A workload whose tokens prove it: issuer, subject, and the audience where it is not our issuer.
    #[arg(long = "workload", value_name = "ISSUER SUBJECT [AUDIENCE]", value_parser = workload)]
    workloads: Vec<Value>,
}

impl Proof {
    fn put(&self, fields: &mut Map<String, Value>) -> Result<(), Trouble> {
        if let Some(file) = &self.jwks {
            fields.insert("jwks".into(), Source::read(file)?.document);
        }
        if let Some(uri) = &self.jwks_uri {
            fields.insert("jwks_uri".into(), uri.clone().into());
        }
        if !self.workloads.is_empty() {
            fields.insert("workload_identities".into(), self.workloads.clone().into());
        }
        Ok(())
    }
}

fn workload(text: &str) -> Result<Value, String> {
    let mut parts = text.split_whitespace();
    match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some(issuer), Some(subject), None, _) => Ok(json!({"issuer": issuer, "subject": subject})),
        (Some(issuer), Some(subject), Some(audience), None) => {
            Ok(json!({"issuer": issuer, "subject": subject, "audience": audience}))
        }
        _ => Err("an issuer and a subject are needed, divided by a space; an audience may follow".into()),
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Api {
    /// Replace the requirements of the APIs that an OpenAPI document describes, in one step.
    Import(ImportApi),
    /// Say what an import would change.
    Diff(DiffApi),
    /// List APIs.
    List,
    /// Show what an API requires.
    Show(ApiName),
}

#[derive(Debug, Args, Serialize)]
#[group(skip)]
#[command(group(clap::ArgGroup::new("which").args(["file", "admin"]).required(true)))]
pub(crate) struct ImportApi {
    /// The document, YAML or JSON.
    #[serde(skip)]
    file: Option<PathBuf>,
    /// The admin API's own document, which this command carries.
    #[arg(long)]
    #[serde(skip)]
    admin: bool,
    /// Only this API of the document; one that names none is wholly of it.
    #[arg(long = "name", value_name = "API")]
    #[serde(skip_serializing_if = "Option::is_none")]
    api: Option<String>,
    /// What stands in the aud of its tokens; default: as before, or the issuer's address of it.
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    audience: Option<String>,
    /// Where it is served, for credential packs; default: the document's first server.
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<String>,
    /// By which algorithm its tokens are signed: HS256, RS256, ES256, EdDSA.
    #[arg(long)]
    #[serde(skip)]
    alg: Option<String>,
    /// For how many seconds its tokens are good.
    #[arg(long)]
    #[serde(skip)]
    lifetime_seconds: Option<i64>,
    /// A token that was not used for so many seconds has expired.
    #[arg(long)]
    #[serde(skip)]
    idle_seconds: Option<i64>,
}

#[derive(Debug, Args, Serialize)]
pub(crate) struct DiffApi {
    /// The document, YAML or JSON.
    #[serde(skip)]
    file: PathBuf,
    /// Only this API of the document.
    #[arg(long = "name", value_name = "API")]
    #[serde(skip_serializing_if = "Option::is_none")]
    api: Option<String>,
}

#[derive(Debug, Args, Serialize)]
pub(crate) struct ApiName {
    /// The API's name.
    api: String,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Keyring {
    /// Show which signing keys there are, and where each stands in its life.
    Show,
    /// Rotate the keyring as far as that is due.
    Rotate,
    /// Replace every signing key at once, after a leak: within five minutes every token is worthless.
    Force,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Audit {
    /// Print the newest changes, the oldest of them first.
    Tail(Tail),
    /// List changes, newest first.
    Query(Query),
    /// Check that no entry was edited, removed or moved.
    Verify(Verify),
    /// Print entries as JSON lines, newest first.
    Export(Query),
}

#[derive(Debug, Args)]
pub(crate) struct Tail {
    /// How many.
    #[arg(short = 'n', long = "lines", default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=100))]
    pub(super) limit: u16,
    /// Only what has to do with this tenant.
    #[arg(long)]
    pub(super) tenant: Option<String>,
    /// Only what is about this client.
    #[arg(long = "client", value_name = "CLIENT")]
    pub(super) client: Option<String>,
    /// Go on printing what comes, until Ctrl-C.
    #[arg(short, long)]
    pub(super) follow: bool,
}

#[derive(Debug, Clone, Args, Serialize)]
pub(crate) struct Query {
    /// Only what has to do with this tenant.
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) tenant: Option<String>,
    /// Only what is about this client.
    #[arg(long = "client", value_name = "CLIENT")]
    #[serde(skip_serializing_if = "Option::is_none")]
    client_id: Option<String>,
    /// From this time on, as 2026-12-01T00:00:00Z; default: of one chain all, of all chains a month.
    #[arg(long, value_name = "TIME")]
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<String>,
    /// Until this time.
    #[arg(long, value_name = "TIME")]
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<String>,
    /// done or refused.
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<String>,
    /// How many at most, 1 to 100; an export goes on to the end.
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=100))]
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<u16>,
    /// Go on where the page before ended.
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    cursor: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Verify {
    /// Only the chain of this tenant. Without it, the deployment's own and that of each tenant.
    #[arg(long)]
    pub(super) tenant: Option<String>,
    /// The head that was printed before (NUMBER:MARK): the tenant's chain, or else the deployment's own, must still hold
    /// it.
    #[arg(long, value_name = "HEAD")]
    pub(super) head: Option<String>,
}

/// `NAME <MAIL>`.
fn contact(text: &str) -> Result<Value, String> {
    let parts = text.strip_suffix('>').and_then(|rest| rest.rsplit_once('<'));
    match parts.map(|(name, mail)| (name.trim(), mail.trim())) {
        Some((name, mail)) if !name.is_empty() => Ok(json!({"name": name, "email": mail})),
        _ => Err("a contact is written as: Ann Lee <ann@example.com>".into()),
    }
}

/// A time in seconds, minutes, hours or days.
fn seconds(text: &str) -> Result<i64, String> {
    let wrong = || "a time is written as 90s, 30m, 24h or 7d".to_owned();
    let (number, unit) = match text.char_indices().last() {
        Some((at, unit)) if unit.is_ascii_alphabetic() => (text.get(..at).unwrap_or_default(), unit),
        _ => (text, 's'),
    };
    let factor = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 86_400,
        _ => return Err(wrong()),
    };
    let number: i64 = number.parse().map_err(|_| wrong())?;
    number.checked_mul(factor).filter(|n| *n >= 0).ok_or_else(wrong)
}

/// A command of the core: its name and its fields.
pub(super) struct Asked {
    pub(super) name: &'static str,
    pub(super) fields: Value,
    pub(super) if_match: Option<u64>,
    pub(super) breached: Option<PathBuf>,
}

impl Asked {
    fn new(name: &'static str, arguments: &impl Serialize) -> Result<Self, Trouble> {
        debug_assert!(Command::NAMES.contains(&name), "{name}");
        let fields = serde_json::to_value(arguments).map_err(|e| Trouble::Usage(e.to_string()))?;
        let fields = if fields.is_null() { json!({}) } else { fields };
        Ok(Self { name, fields, if_match: None, breached: None })
    }

    fn with(mut self, change: impl FnOnce(&mut Map<String, Value>)) -> Self {
        if let Some(fields) = self.fields.as_object_mut() {
            change(fields);
        }
        self
    }

    fn try_with(
        mut self,
        change: impl FnOnce(&mut Map<String, Value>) -> Result<(), Trouble>,
    ) -> Result<Self, Trouble> {
        if let Some(fields) = self.fields.as_object_mut() {
            change(fields)?;
        }
        Ok(self)
    }

    fn secret(self, member: &str, secret: &SecretText) -> Self {
        self.with(|fields| drop(fields.insert(member.to_owned(), secret.expose().into())))
    }
}

impl Subject {
    /// The command of the core. Secrets are asked for here.
    pub(super) fn asked(&self) -> Result<Asked, Trouble> {
        match self {
            Self::Tenant(tenant) => match tenant {
                Tenant::Provision(a) => Asked::new("provisionTenant", a),
                Tenant::List(a) => Asked::new("listTenants", a),
                Tenant::Show(a) => Asked::new("showTenant", a),
                Tenant::SetApis(a) => Asked::new("setTenantApis", a),
                Tenant::Disable(a) => Asked::new("disableTenant", a),
                Tenant::Enable(a) => Asked::new("enableTenant", a),
            },
            Self::Client(client) => client.asked(),
            Self::Secret(secret) => match secret {
                Secret::Rotate(a) => Ok(Asked::new("rotateSecret", a)?.with(|f| a.of.put(f))),
                Secret::Cancel(a) => Ok(Asked::new("cancelSecretRotation", a)?.with(|f| a.put(f))),
                Secret::Revoke(a) => Ok(Asked::new("revokeSecret", a)?.with(|f| {
                    a.of.put(f);
                    f.insert("which".into(), if a.all { "all" } else { "old" }.into());
                })),
            },
            Self::Grant(grant) => match grant {
                Grant::Request(a) => Asked::new("requestGrant", a),
                Grant::Approve(a) => Asked::new("approveGrant", a),
                Grant::Change(a) => {
                    let asked = Asked::new("changeGrant", a)?.with(|f| {
                        for what in &a.cleared {
                            let nothing = if what == "not_after" { Value::Null } else { json!([]) };
                            f.insert(what.clone(), nothing);
                        }
                    });
                    Ok(Asked { if_match: a.if_version, ..asked })
                }
                Grant::Revoke(a) => Asked::new("revokeGrant", a),
                Grant::Show(a) => Asked::new("showGrant", a),
                Grant::List(a) => match a.tenant {
                    Some(_) => Asked::new("listTenantGrants", a),
                    None => Asked::new("listGrants", a),
                },
            },
            Self::Key(key) => match key {
                Key::Issue(a) => Asked::new("issueKey", a),
                Key::Import(a) if a.sha256.is_some() || a.digest.is_some() => Asked::new("importKey", a),
                Key::Import(a) => Ok(Asked::new("importKey", a)?.secret("key", &ask_secret("API key", false)?)),
                Key::List(a) => Asked::new("listKeys", a),
                Key::Show(a) => Asked::new("showKey", a),
                Key::Rotate(a) => Asked::new("rotateKey", a),
                Key::Cancel(a) => Asked::new("cancelKeyRotation", a),
                Key::Revoke(a) => Asked::new("revokeKey", a),
            },
            Self::Token(token) => match token {
                Token::Revoke(a) => Asked::new("revokeToken", a),
                Token::RevokeAll(a) => Asked::new("revokeClientTokens", a),
            },
            Self::Customer(customer) => match customer {
                Customer::Create(a) => {
                    let (member, what) = if a.hash { ("password_hash", "hash") } else { ("password", "password") };
                    let secret = ask_secret(what, !a.hash)?;
                    let asked = Asked::new("createCustomer", a)?.secret(member, &secret);
                    Ok(Asked { breached: a.breached_list.clone(), ..asked })
                }
                Customer::List(a) => Asked::new("listCustomers", a),
                Customer::Show(a) => Asked::new("showCustomer", a),
                Customer::Reset(a) => {
                    let asked = Asked::new("resetCustomer", a)?.secret("password", &ask_secret("password", true)?);
                    Ok(Asked { breached: a.breached_list.clone(), ..asked })
                }
                Customer::Disable(a) => Asked::new("disableCustomer", a),
                Customer::Enable(a) => Asked::new("enableCustomer", a),
            },
            Self::Role(role) => match role {
                Role::Set(a) => Asked::new("setRole", a),
                Role::List => Asked::new("listRoles", &()),
                Role::Show(a) => Asked::new("showRole", a),
                Role::Delete(a) => Asked::new("deleteRole", a),
            },
            Self::Issuer(issuer) => match issuer {
                Issuer::Set(a) => {
                    let jwks = a.jwks.as_deref().map(Source::read).transpose()?;
                    Ok(Asked::new("setIssuer", a)?.with(|f| f.extend(jwks.map(|j| ("jwks".to_owned(), j.document)))))
                }
                Issuer::List => Asked::new("listIssuers", &()),
                Issuer::Delete(a) => Asked::new("deleteIssuer", a),
            },
            Self::Api(api) => match api {
                Api::Import(a) => a.asked(),
                Api::Diff(a) => {
                    let document = Source::read(&a.file)?.document;
                    Ok(Asked::new("diffApi", a)?.with(|f| drop(f.insert("document".into(), document))))
                }
                Api::List => Asked::new("listApis", &()),
                Api::Show(a) => Asked::new("showApi", a),
            },
            Self::Keyring(keyring) => match keyring {
                Keyring::Show => Asked::new("showKeyring", &()),
                Keyring::Rotate => Asked::new("rotateKeyring", &()),
                Keyring::Force => Asked::new("forceKeyring", &()),
            },
            Self::Audit(_) => Asked::new("queryAudit", &()),
        }
    }

    /// What to ask before something that cannot be taken back.
    pub(super) fn question(&self) -> Option<String> {
        match self {
            Self::Client(client) => match client.as_ref() {
                Client::Delete(a) => Some(format!("Delete client {} for ever?", a.client_id)),
                _ => None,
            },
            Self::Secret(Secret::Cancel(a)) => Some(format!("Take the new secret of client {} away?", a.client_id)),
            Self::Secret(Secret::Rotate(a)) if a.overlap == 0 => {
                Some(format!("Replace the secret of client {} at once?", a.of.client_id))
            }
            Self::Key(Key::Cancel(a)) => Some(format!("Take the rotation of key {} back?", a.key_id)),
            Self::Key(Key::Rotate(a)) if a.overlap == 0 => Some(format!("Replace key {} at once?", a.of.key_id)),
            Self::Token(Token::Revoke(a)) => Some(format!("Revoke token {}?", a.jti)),
            Self::Secret(Secret::Revoke(a)) => {
                let which = if a.all { "every secret" } else { "the old secret" };
                Some(format!("Revoke {which} of client {} at once?", a.of.client_id))
            }
            Self::Grant(Grant::Revoke(a)) => {
                Some(format!("Revoke the grant of {} to client {}?", a.of.tenant, a.of.client_id))
            }
            Self::Key(Key::Revoke(a)) => Some(format!("Revoke key {} of client {}?", a.of.key_id, a.of.client_id)),
            Self::Token(Token::RevokeAll(a)) => Some(format!("Revoke every token of client {}?", a.client_id)),
            Self::Tenant(Tenant::Disable(a)) => Some(format!("Switch tenant {} off?", a.tenant)),
            Self::Role(Role::Delete(a)) => Some(format!("Delete role {}?", a.role)),
            Self::Issuer(Issuer::Delete(a)) => Some(format!("Trust issuer {} no more?", a.name)),
            Self::Keyring(Keyring::Force) => {
                Some("Replace every signing key? Within five minutes every token is worthless.".to_owned())
            }
            _ => None,
        }
    }
}

impl Client {
    fn asked(&self) -> Result<Asked, Trouble> {
        match self {
            Self::Register(a) => Asked::new("registerClient", a)?.try_with(|f| {
                let contacts = json!({"business": a.business_contact, "technical": a.technical_contact});
                f.insert("contacts".into(), contacts);
                a.rate.put(f);
                if a.no_client_credentials {
                    f.insert("grant_types".into(), json!([]));
                }
                a.proof.put(f)
            }),
            Self::Approve(a) => Asked::new("approveClient", a),
            Self::Show(a) => Asked::new("showClient", a),
            Self::List(a) => Asked::new("listClients", a),
            Self::Pack(a) => Asked::new("showPack", a),
            Self::Change(a) => {
                let asked = Asked::new("changeClient", a)?.try_with(|f| {
                    a.rate.put(f);
                    if a.no_rate {
                        f.insert("rate".into(), Value::Null);
                    }
                    if a.no_apis {
                        f.insert("apis".into(), json!([]));
                    }
                    if let (Some(business), Some(technical)) = (&a.business_contact, &a.technical_contact) {
                        f.insert("contacts".into(), json!({"business": business, "technical": technical}));
                    }
                    if a.no_keys {
                        f.extend(["jwks", "jwks_uri"].map(|name| (name.to_owned(), Value::Null)));
                    }
                    if a.no_workloads {
                        f.insert("workload_identities".into(), json!([]));
                    }
                    a.proof.put(f)
                })?;
                Ok(Asked { if_match: a.if_version, ..asked })
            }
            Self::Suspend(a) => Asked::new("suspendClient", a),
            Self::Resume(a) => Asked::new("resumeClient", a),
            Self::Promote(a) => Asked::new("promoteClient", a),
            Self::Delete(a) => Asked::new("deleteClient", a),
        }
    }
}

impl ImportApi {
    fn asked(&self) -> Result<Asked, Trouble> {
        let source = match &self.file {
            Some(file) => Source::read(file)?,
            None => Source::admin()?,
        };
        let mut token = Map::new();
        let settings = [
            ("alg", self.alg.clone().map(Value::from)),
            ("lifetime_seconds", self.lifetime_seconds.map(Value::from)),
            ("idle_seconds", self.idle_seconds.map(Value::from)),
        ];
        token.extend(settings.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
        Ok(Asked::new("importApi", self)?.with(|f| {
            f.insert("document".into(), source.document);
            let name: String = source.name.rsplit('/').next().unwrap_or_default().chars().take(200).collect();
            f.insert("source".into(), name.into());
            if !token.is_empty() {
                f.insert("token".into(), Value::Object(token));
            }
        }))
    }
}
