//! A tenant's consent: requested, approved, changed, revoked.

use super::clients::known;
use super::command::{ChangeGrant, RequestGrant};
use super::{Actor, Authority, Refused, to_come};
use crate::api::Catalog;
use crate::ids::ClientKind;
use crate::records::{Client, ClientState, Grant, GrantState};
use crate::time::Timestamp;
use serde_json::{Value, json};

/// That whoever consents is not the one who is consented to. An operator at the command line is nobody's client.
///
/// # Errors
/// If it is.
pub fn not_ones_own(actor: &Actor, grant: &Grant) -> Result<(), Refused> {
    match &actor.client_id {
        Some(own) if *own == grant.client_id => Err(Refused::forbidden("A client does not decide on its own grants.")),
        _ => Ok(()),
    }
}

/// Asks for consent. What was revoked may be asked for again.
///
/// # Errors
/// If the client cannot have such a grant, or has one, or its end has passed.
pub fn request(
    asked: RequestGrant,
    client: &Client,
    there: Option<&Grant>,
    catalog: &Catalog,
    now: Timestamp,
) -> Result<Grant, Refused> {
    let not_after = to_come("not_after", asked.not_after, now)?;
    known(catalog, &[], &asked.roles)?;
    match client.kind {
        _ if client.state == ClientState::Deleted => {
            return Err(Refused::conflict("The client was deleted. Due: register another."));
        }
        ClientKind::MultiTenant => {
            return Err(Refused::conflict("A multi_tenant client maintains tenants and reaches no tenant's data."));
        }
        ClientKind::SingleTenant if client.tenant.as_ref() != Some(&asked.tenant) => {
            return Err(Refused::conflict(
                "The client is tied to another tenant for ever. Due: register one for this.",
            ));
        }
        _ => {}
    }
    match there.map(|g| g.state) {
        None | Some(GrantState::Revoked) => {}
        Some(GrantState::Requested) => {
            return Err(Refused::conflict("The grant is requested already. Due: the tenant approves or revokes it."));
        }
        Some(GrantState::Approved) => {
            return Err(Refused::conflict("The grant is approved already. Due: change it, or revoke it."));
        }
    }
    Ok(Grant {
        client_id: asked.client_id,
        tenant: asked.tenant,
        state: GrantState::Requested,
        scopes: asked.scopes,
        roles: asked.roles,
        skus: asked.skus,
        suppliers: asked.suppliers,
        not_after,
    })
}

/// Consents.
///
/// # Errors
/// If nothing is asked for.
pub fn approve(actor: &Actor, mut grant: Grant) -> Result<Grant, Refused> {
    not_ones_own(actor, &grant)?;
    match grant.state {
        GrantState::Requested => {
            grant.state = GrantState::Approved;
            Ok(grant)
        }
        GrantState::Approved => Err(Refused::conflict("The grant is approved already.")),
        GrantState::Revoked => Err(Refused::conflict("The grant was revoked. Due: request it again.")),
    }
}

/// Changes what is consented to.
///
/// # Errors
/// If it was revoked, names a role that there is not, or an end that has passed.
pub fn change(
    actor: &Actor,
    mut grant: Grant,
    asked: ChangeGrant,
    catalog: &Catalog,
    now: Timestamp,
) -> Result<Grant, Refused> {
    not_ones_own(actor, &grant)?;
    if grant.state == GrantState::Revoked {
        return Err(Refused::conflict("The grant was revoked. Due: request it again."));
    }
    known(catalog, &[], asked.roles.as_deref().unwrap_or_default())?;
    grant.scopes = asked.scopes.unwrap_or(grant.scopes);
    grant.roles = asked.roles.unwrap_or(grant.roles);
    grant.skus = asked.skus.unwrap_or(grant.skus);
    grant.suppliers = asked.suppliers.unwrap_or(grant.suppliers);
    if let Some(not_after) = asked.not_after {
        grant.not_after = to_come("not_after", not_after, now)?;
    }
    Ok(grant)
}

/// Withdraws consent.
///
/// # Errors
/// If it was withdrawn before.
pub fn revoke(actor: &Actor, mut grant: Grant) -> Result<Grant, Refused> {
    // A client may give up what it has; an approver does not decide on itself in any other way.
    let holder = matches!(&actor.authority, Authority::Holder(own) if *own == grant.client_id);
    if !holder {
        not_ones_own(actor, &grant)?;
    }
    if grant.state == GrantState::Revoked {
        return Err(Refused::conflict("The grant was revoked before."));
    }
    grant.state = GrantState::Revoked;
    Ok(grant)
}

/// What is shown of a grant.
pub fn view(grant: &Grant) -> Value {
    json!({
        "client_id": grant.client_id, "tenant": grant.tenant, "state": grant.state, "scopes": grant.scopes,
        "roles": grant.roles, "skus": grant.skus, "suppliers": grant.suppliers,
        "not_after": grant.not_after.map(Timestamp::to_rfc3339),
    })
}
