//! Grants.

use super::{Draft, Given, Office, Page, Step, There};
use crate::item::parse;
use crate::keys::Key;
use crate::store::{Pair, Record};
use auth_core::admin::chain::Event;
use auth_core::admin::command::{
    ApproveGrant, ChangeGrant, ListGrants, ListTenantGrants, RequestGrant, RevokeGrant, ShowGrant,
};
use auth_core::admin::{Authority, Done, Refused, grants};
use auth_core::api::Catalog;
use auth_core::ids::{ClientId, TenantId};
use auth_core::records::{Grant, Tenant};
use auth_core::refusal::Refusal;
use serde_json::json;

impl Office<'_> {
    async fn grant(&self, client: &ClientId, tenant: &TenantId) -> Step<There<Grant>> {
        let there = self.one(&Key::grant(client, tenant)).await?;
        Ok(there.ok_or_else(|| Refused::not_found("grant", format!("of tenant {tenant} to client {client}")))?)
    }

    fn changed_grant(&self, action: &str, was: Option<&There<Grant>>, grant: Grant, given: &Given) -> Step<Draft> {
        let mut draft = Draft::default();
        if let Some(was) = was {
            self.matches(given, was.version)?;
        }
        draft.set(&Record::Grant(grant.clone()), was.map(|w| w.version))?;
        let event = self.event(action, Some(grant.tenant.clone()), Some(&grant.client_id));
        let view = grants::view(&grant);
        draft.events.push(Event { before: was.map(|w| grants::view(&w.record)), after: Some(view.clone()), ..event });
        let version = was.map_or(1, |w| w.version + 1);
        draft.done = Done { view, version: Some(version), created: was.is_none(), ..Done::default() };
        Ok(draft)
    }

    /// That whoever consents to administrative scopes has them.
    fn may_grant(&self, grant: &Grant, catalog: &Catalog) -> Step<()> {
        self.actor.has_all(&grant.scopes)?;
        self.may_hand_out(&grant.roles, catalog)
    }

    pub(super) async fn request_grant(&self, asked: RequestGrant, given: &Given) -> Step<Draft> {
        let bundle = self.client(&asked.client_id).await?;
        // A tenant is not told of another's clients, not even that they are there.
        let own = bundle.client.tenant.as_ref().is_none_or(|tenant| *tenant == asked.tenant);
        if !own && self.actor.authority != Authority::Operator {
            return Err(Refused::not_found("client", &asked.client_id).into());
        }
        let tenant: Option<There<Tenant>> = self.one(&Key::tenant(&asked.tenant)).await?;
        tenant.ok_or_else(|| Refused::not_found("tenant", &asked.tenant))?;
        let catalog = self.gate.store.fresh_catalog(self.now).await?;
        let was: Option<There<Grant>> = self.one(&Key::grant(&asked.client_id, &asked.tenant)).await?;
        let grant = grants::request(asked, &bundle.client, was.as_ref().map(|w| &w.record), &catalog, self.now)?;
        if was.is_none() && given.if_match.is_some() {
            let text = "There is no such grant yet, of no version.".into();
            return Err(Refused { refusal: Refusal::PreconditionFailed, text }.into());
        }
        let listed = Record::ClientOfTenant(grant.tenant.clone(), grant.client_id.clone());
        let mut draft = self.changed_grant("requestGrant", was.as_ref(), grant, given)?;
        draft.put(&listed)?;
        Ok(draft)
    }

    pub(super) async fn approve_grant(&self, asked: ApproveGrant, given: &Given) -> Step<Draft> {
        let was = self.grant(&asked.client_id, &asked.tenant).await?;
        let catalog = self.gate.store.fresh_catalog(self.now).await?;
        let grant = grants::approve(&self.actor, was.record.clone())?;
        self.may_grant(&grant, &catalog)?;
        self.changed_grant("approveGrant", Some(&was), grant, given)
    }

    pub(super) async fn change_grant(&self, asked: ChangeGrant, given: &Given) -> Step<Draft> {
        let was = self.grant(&asked.client_id, &asked.tenant).await?;
        let catalog = self.gate.store.fresh_catalog(self.now).await?;
        let grant = grants::change(&self.actor, was.record.clone(), asked, &catalog, self.now)?;
        self.may_grant(&grant, &catalog)?;
        let view = grants::view(&grant);
        if view == grants::view(&was.record) {
            self.matches(given, was.version)?;
            return Ok(Draft::show(Done::at(view, was.version)));
        }
        self.changed_grant("changeGrant", Some(&was), grant, given)
    }

    pub(super) async fn revoke_grant(&self, asked: RevokeGrant, given: &Given) -> Step<Draft> {
        let was = self.grant(&asked.client_id, &asked.tenant).await?;
        let grant = grants::revoke(&self.actor, was.record.clone())?;
        let mut draft = self.changed_grant("revokeGrant", Some(&was), grant, given)?;
        let why = asked.reason.map(|r| r.to_string());
        draft.events.iter_mut().for_each(|event| event.why.clone_from(&why));
        Ok(draft)
    }

    pub(super) async fn show_grant(&self, asked: ShowGrant) -> Step<Draft> {
        let there = self.grant(&asked.client_id, &asked.tenant).await?;
        let view = grants::view(&there.record);
        Ok(Draft::show(Done::at(view, there.version)))
    }

    pub(super) async fn list_grants(&self, asked: ListGrants) -> Step<Draft> {
        let page = Page::of(Key::client(&asked.client_id).pk, "GRANT#", asked.cursor.as_deref(), asked.limit)?;
        let (items, cursor) = self.page(page).await?;
        let views = items.iter().map(|item| Ok(grants::view(&parse(item)?)));
        let views: Vec<_> = views.collect::<Result<_, crate::Fault>>()?;
        Ok(Draft::show(Done::of(json!({"grants": views, "next_cursor": cursor}))))
    }

    pub(super) async fn list_tenant_grants(&self, asked: ListTenantGrants) -> Step<Draft> {
        let page = Page::of(Key::tenant(&asked.tenant).pk, "CLIENT#", asked.cursor.as_deref(), asked.limit)?;
        let (lines, cursor) = self.page(page).await?;
        let clients = lines.iter().map(|item| parse::<Pair>(item).map(|pair| pair.client_id));
        let clients: Vec<ClientId> = clients.collect::<Result<_, _>>()?;
        let keys: Vec<Key> = clients.iter().map(|client| Key::grant(client, &asked.tenant)).collect();
        let items = self.items(keys.clone()).await?;
        let mut views = Vec::new();
        for key in &keys {
            views.extend(super::there::<Grant>(&items, key)?.map(|g| grants::view(&g.record)));
        }
        Ok(Draft::show(Done::of(json!({"grants": views, "next_cursor": cursor}))))
    }
}
