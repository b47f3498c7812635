//! The operations of the admin API, and who may give which command.
//!
//! Each command has one scope. An application of the platform's own that maintains tenants (`multi_tenant`) may do what
//! its scopes say, anywhere; a tenant's own credential may do what touches that tenant alone; the holder of a credential
//! may do what touches that credential alone. Whatever is not said here is refused.

use super::command::Command;
use super::{Actor, Authority, Refused};
use crate::ids::{ClientId, Scope, TenantId};

/// Who may call an operation, beside applications that maintain tenants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// Nobody.
    Operator,
    /// The tenant that the path names.
    Tenant,
}

/// One operation of the admin API.
#[derive(Debug, Clone, Copy)]
pub struct Operation {
    /// The command's name, and the document's `operationId`.
    pub id: &'static str,
    /// The method.
    pub method: &'static str,
    /// The path template.
    pub path: &'static str,
    /// The scope that is asked for.
    pub scope: &'static str,
    /// Who may call it.
    pub reach: Reach,
}

const fn o(id: &'static str, method: &'static str, path: &'static str, scope: &'static str, reach: Reach) -> Operation {
    Operation { id, method, path, scope, reach }
}

const OPERATOR: Reach = Reach::Operator;
const TENANT: Reach = Reach::Tenant;

/// All operations. `openapi-admin.yaml` says the same; a test holds one against the other.
pub const OPERATIONS: [Operation; 60] = [
    o("listTenants", "GET", "/admin/tenants", "tenants:read", OPERATOR),
    o("provisionTenant", "PUT", "/admin/tenants/{tenant}", "tenants:write", OPERATOR),
    o("showTenant", "GET", "/admin/tenants/{tenant}", "tenants:read", TENANT),
    o("setTenantApis", "PUT", "/admin/tenants/{tenant}/apis", "tenants:write", OPERATOR),
    o("disableTenant", "POST", "/admin/tenants/{tenant}/disable", "tenants:write", OPERATOR),
    o("enableTenant", "POST", "/admin/tenants/{tenant}/enable", "tenants:write", OPERATOR),
    o("registerPartner", "POST", "/admin/tenants/{tenant}/clients", "clients:register", TENANT),
    o("listTenantGrants", "GET", "/admin/tenants/{tenant}/grants", "grants:read", TENANT),
    o("showGrant", "GET", "/admin/tenants/{tenant}/grants/{client_id}", "grants:read", TENANT),
    o("requestGrant", "PUT", "/admin/tenants/{tenant}/grants/{client_id}", "grants:request", TENANT),
    o("changeGrant", "PATCH", "/admin/tenants/{tenant}/grants/{client_id}", "grants:approve", TENANT),
    o("approveGrant", "POST", "/admin/tenants/{tenant}/grants/{client_id}/approve", "grants:approve", TENANT),
    o("revokeGrant", "POST", "/admin/tenants/{tenant}/grants/{client_id}/revoke", "grants:approve", TENANT),
    o("listCustomers", "GET", "/admin/tenants/{tenant}/customers", "customers:read", TENANT),
    o("createCustomer", "POST", "/admin/tenants/{tenant}/customers", "customers:write", TENANT),
    o("showCustomer", "GET", "/admin/tenants/{tenant}/customers/{username}", "customers:read", TENANT),
    o("resetCustomer", "POST", "/admin/tenants/{tenant}/customers/{username}/reset", "customers:write", TENANT),
    o("disableCustomer", "POST", "/admin/tenants/{tenant}/customers/{username}/disable", "customers:write", TENANT),
    o("enableCustomer", "POST", "/admin/tenants/{tenant}/customers/{username}/enable", "customers:write", TENANT),
    o("queryTenantAudit", "GET", "/admin/tenants/{tenant}/audit", "audit:read", TENANT),
    o("listClients", "GET", "/admin/clients", "clients:read", OPERATOR),
    o("registerClient", "POST", "/admin/clients", "clients:write", OPERATOR),
    o("showClient", "GET", "/admin/clients/{client_id}", "clients:read", OPERATOR),
    o("changeClient", "PATCH", "/admin/clients/{client_id}", "clients:write", OPERATOR),
    o("deleteClient", "DELETE", "/admin/clients/{client_id}", "clients:write", OPERATOR),
    o("showPack", "GET", "/admin/clients/{client_id}/pack", "clients:read", OPERATOR),
    o("approveClient", "POST", "/admin/clients/{client_id}/approve", "clients:approve", OPERATOR),
    o("suspendClient", "POST", "/admin/clients/{client_id}/suspend", "clients:write", OPERATOR),
    o("resumeClient", "POST", "/admin/clients/{client_id}/resume", "clients:write", OPERATOR),
    o("promoteClient", "POST", "/admin/clients/{client_id}/promote", "clients:approve", OPERATOR),
    o("listGrants", "GET", "/admin/clients/{client_id}/grants", "grants:read", OPERATOR),
    o("rotateSecret", "POST", "/admin/clients/{client_id}/secrets/rotate", "secrets:write", OPERATOR),
    o("cancelSecretRotation", "POST", "/admin/clients/{client_id}/secrets/cancel", "secrets:write", OPERATOR),
    o("revokeSecret", "POST", "/admin/clients/{client_id}/secrets/revoke", "secrets:write", OPERATOR),
    o("revokeClientTokens", "POST", "/admin/clients/{client_id}/tokens/revoke", "tokens:revoke", OPERATOR),
    o("revokeToken", "POST", "/admin/tokens/revoke", "tokens:revoke", OPERATOR),
    o("listKeys", "GET", "/admin/clients/{client_id}/keys", "keys:read", OPERATOR),
    o("issueKey", "POST", "/admin/clients/{client_id}/keys", "keys:write", OPERATOR),
    o("importKey", "POST", "/admin/clients/{client_id}/keys/import", "keys:write", OPERATOR),
    o("showKey", "GET", "/admin/clients/{client_id}/keys/{key_id}", "keys:read", OPERATOR),
    o("rotateKey", "POST", "/admin/clients/{client_id}/keys/{key_id}/rotate", "keys:write", OPERATOR),
    o("cancelKeyRotation", "POST", "/admin/clients/{client_id}/keys/{key_id}/cancel", "keys:write", OPERATOR),
    o("revokeKey", "POST", "/admin/clients/{client_id}/keys/{key_id}/revoke", "keys:write", OPERATOR),
    o("listRoles", "GET", "/admin/roles", "roles:read", OPERATOR),
    o("showRole", "GET", "/admin/roles/{role}", "roles:read", OPERATOR),
    o("setRole", "PUT", "/admin/roles/{role}", "roles:write", OPERATOR),
    o("deleteRole", "DELETE", "/admin/roles/{role}", "roles:write", OPERATOR),
    o("listIssuers", "GET", "/admin/issuers", "issuers:read", OPERATOR),
    o("setIssuer", "PUT", "/admin/issuers/{name}", "issuers:write", OPERATOR),
    o("deleteIssuer", "DELETE", "/admin/issuers/{name}", "issuers:write", OPERATOR),
    o("listApis", "GET", "/admin/apis", "apis:read", OPERATOR),
    o("importApi", "POST", "/admin/apis/import", "apis:write", OPERATOR),
    o("diffApi", "POST", "/admin/apis/diff", "apis:read", OPERATOR),
    o("showApi", "GET", "/admin/apis/{api}", "apis:read", OPERATOR),
    o("showKeyring", "GET", "/admin/keyring", "keyring:read", OPERATOR),
    o("rotateKeyring", "POST", "/admin/keyring/rotate", "keyring:write", OPERATOR),
    o("forceKeyring", "POST", "/admin/keyring/force", "keyring:write", OPERATOR),
    o("queryAudit", "GET", "/admin/audit", "audit:read", OPERATOR),
    o("verifyAudit", "GET", "/admin/audit/verify", "audit:read", OPERATOR),
    o("verifyTenantAudit", "GET", "/admin/tenants/{tenant}/audit/verify", "audit:read", TENANT),
];

impl Operation {
    /// The command that it gives: two operations may give one, for two kinds of administrators.
    pub fn command(&self) -> &'static str {
        match self.id {
            "registerPartner" => "registerClient",
            "verifyTenantAudit" => "verifyAudit",
            id => id,
        }
    }

    /// Whether it makes something: such a request may be named, and then counts once.
    pub fn creates(&self) -> bool {
        matches!(
            self.command(),
            "provisionTenant"
                | "registerClient"
                | "approveClient"
                | "promoteClient"
                | "rotateSecret"
                | "requestGrant"
                | "issueKey"
                | "importKey"
                | "rotateKey"
                | "createCustomer"
        )
    }

    /// Whether it only reads.
    pub fn reads(&self) -> bool {
        self.method == "GET" || self.id == "diffApi"
    }
}

/// Whether a scope is one of administration.
pub fn is_administrative(scope: &Scope) -> bool {
    scope.as_str() == MAY_INTROSPECT || OPERATIONS.iter().any(|operation| operation.scope == scope.as_str())
}

/// All scopes of administration.
pub fn administrative() -> Vec<Scope> {
    OPERATIONS.iter().map(|operation| operation.scope).chain([MAY_INTROSPECT]).filter_map(|s| s.parse().ok()).collect()
}

/// The scope by which an application of the platform may ask of every token what it is worth.
pub const MAY_INTROSPECT: &str = "tokens:introspect";

/// Whether an administrator may give a command at all. What is then said of the records is judged where they are.
///
/// # Errors
/// [`Refused::forbidden`].
pub fn authorize(actor: &Actor, command: &Command) -> Result<(), Refused> {
    let may = match &actor.authority {
        Authority::Operator => true,
        Authority::Tenant(own) => of_tenant(command).is_some_and(|tenant| tenant == own),
        Authority::Holder(own) => of_holder(command).is_some_and(|client| client == own),
    };
    if may { Ok(()) } else { Err(Refused::forbidden("That is not this administrator's to say.")) }
}

/// The tenant that a command touches, of the commands that a tenant may give.
fn of_tenant(command: &Command) -> Option<&TenantId> {
    match command {
        Command::ShowTenant(c) => Some(&c.tenant),
        Command::RegisterClient(c) => c.tenant.as_ref(),
        Command::ListTenantGrants(c) => Some(&c.tenant),
        Command::ShowGrant(c) => Some(&c.tenant),
        Command::RequestGrant(c) => Some(&c.tenant),
        Command::ApproveGrant(c) => Some(&c.tenant),
        Command::ChangeGrant(c) => Some(&c.tenant),
        Command::RevokeGrant(c) => Some(&c.tenant),
        Command::ListCustomers(c) => Some(&c.tenant),
        Command::CreateCustomer(c) => Some(&c.tenant),
        Command::ShowCustomer(c) => Some(&c.tenant),
        Command::ResetCustomer(c) => Some(&c.tenant),
        Command::DisableCustomer(c) => Some(&c.tenant),
        Command::EnableCustomer(c) => Some(&c.tenant),
        Command::QueryTenantAudit(c) => Some(&c.tenant),
        Command::VerifyAudit(c) => c.tenant.as_ref(),
        _ => None,
    }
}

/// The client that a command touches, of the commands that the holder of a credential may give.
fn of_holder(command: &Command) -> Option<&ClientId> {
    match command {
        Command::ShowClient(c) => Some(&c.client_id),
        Command::ShowPack(c) => Some(&c.client_id),
        Command::ListKeys(c) => Some(&c.client_id),
        Command::ShowKey(c) => Some(&c.client_id),
        Command::RotateKey(c) => Some(&c.client_id),
        Command::CancelKeyRotation(c) => Some(&c.client_id),
        Command::RevokeKey(c) => Some(&c.client_id),
        Command::RotateSecret(c) => Some(&c.client_id),
        Command::RevokeSecret(c) => Some(&c.client_id),
        Command::RevokeClientTokens(c) => Some(&c.client_id),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::collections::BTreeSet;

    #[test]
    fn every_command_has_an_operation_and_every_operation_a_command() {
        let commands: BTreeSet<&str> = Command::NAMES.iter().copied().collect();
        let served: BTreeSet<&str> = OPERATIONS.iter().map(Operation::command).collect();
        assert_eq!(commands, served);
        let ids: BTreeSet<&str> = OPERATIONS.iter().map(|o| o.id).collect();
        let places: BTreeSet<(&str, &str)> = OPERATIONS.iter().map(|o| (o.method, o.path)).collect();
        assert_eq!((ids.len(), places.len()), (OPERATIONS.len(), OPERATIONS.len()));
        for operation in OPERATIONS {
            assert_eq!(
                operation.reach == TENANT,
                operation.path.contains("{tenant}") && !operation.scope.starts_with("tenants:write"),
                "{}",
                operation.id
            );
        }
    }

    #[test]
    fn each_administrator_gives_the_commands_of_its_own_things_alone() {
        // Enough fields for every command that a tenant or a holder may give.
        let fields = json!({"tenant": "acme", "client_id": "c1", "key_id": "key-1", "username": "ann"});
        let command = |name: &str| {
            let mut fields = fields.clone();
            loop {
                match Command::read(name, fields.clone()).unwrap() {
                    Ok(command) => return Some(command),
                    Err(text) => {
                        let field = text.split('`').nth(1)?.to_owned();
                        if !text.contains("unknown field") || fields.as_object_mut()?.remove(&field).is_none() {
                            return None;
                        }
                    }
                }
            }
        };
        let actor = |authority: Authority| Actor {
            authority,
            name: "a".into(),
            client_id: None,
            scopes: None,
            on_behalf_of: None,
            via: "api",
            request_id: "r".into(),
        };
        let rows = [
            ("the operator", Authority::Operator, true, true),
            ("the tenant", Authority::Tenant("acme".parse().unwrap()), true, false),
            ("another tenant", Authority::Tenant("globex".parse().unwrap()), false, false),
            ("the holder", Authority::Holder("c1".parse().unwrap()), false, true),
            ("another holder", Authority::Holder("c2".parse().unwrap()), false, false),
        ];
        for (sentence, authority, of_the_tenant, of_the_holder) in rows {
            let actor = actor(authority);
            let may = |name: &str| authorize(&actor, &command(name).unwrap()).is_ok();
            for name in ["approveGrant", "changeGrant", "revokeGrant", "showGrant", "listTenantGrants", "showCustomer"]
            {
                assert_eq!(may(name), of_the_tenant, "{sentence}: {name}");
            }
            for name in ["rotateSecret", "revokeSecret", "listKeys", "revokeKey", "rotateKey"] {
                assert_eq!(may(name), of_the_holder, "{sentence}: {name}");
            }
            for name in [
                "approveClient",
                "deleteClient",
                "promoteClient",
                "disableTenant",
                "issueKey",
                "forceKeyring",
                "queryAudit",
            ] {
                assert_eq!(may(name), actor.authority == Authority::Operator, "{sentence}: {name}");
            }
        }
    }
}
