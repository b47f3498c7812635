//! Tenants.

use super::{Draft, Given, Office, Page, Step, There, there};
use crate::item::parse;
use crate::keys::Key;
use crate::store::{Listed, Record};
use auth_core::admin::chain::Event;
use auth_core::admin::command::{ListTenants, ProvisionTenant, SetTenantApis, ShowTenant};
use auth_core::admin::{Done, Refused, clients};
use auth_core::ids::{Label, TenantId};
use auth_core::records::{ActiveState, Tenant};
use auth_core::refusal::Refusal;
use serde_json::{Value, json};

fn view(tenant: &Tenant, name: Option<&Label>) -> Value {
    json!({"tenant": tenant.id, "name": name, "apis": tenant.apis, "state": tenant.state})
}

impl Office<'_> {
    async fn tenant(&self, id: &TenantId) -> Step<(There<Tenant>, Option<Label>)> {
        let (record, listed) = (Key::tenant(id), Key::listed_tenant(id));
        let items = self.items(vec![record.clone(), listed.clone()]).await?;
        let tenant = there(&items, &record)?.ok_or_else(|| Refused::not_found("tenant", id))?;
        Ok((tenant, there::<Listed>(&items, &listed)?.and_then(|l| l.record.name)))
    }

    fn changed_tenant(
        &self,
        action: &str,
        was: &There<Tenant>,
        name: Option<&Label>,
        tenant: Tenant,
        given: &Given,
    ) -> Step<Draft> {
        self.matches(given, was.version)?;
        let mut draft = Draft::default();
        draft.replace(&Record::Tenant(tenant.clone()), was.version)?;
        let after = view(&tenant, name);
        let event = self.event(action, Some(tenant.id), None);
        draft.events.push(Event { before: Some(view(&was.record, name)), after: Some(after.clone()), ..event });
        draft.done = Done { view: after, version: Some(was.version + 1), ..Done::default() };
        Ok(draft)
    }

    pub(super) async fn provision_tenant(&self, asked: ProvisionTenant, given: &Given) -> Step<Draft> {
        let catalog = self.gate.store.fresh_catalog(self.now).await?;
        clients::known(&catalog, &asked.apis, &[])?;
        if let Some(there) = self.one::<Tenant>(&Key::tenant(&asked.tenant)).await? {
            self.matches(given, there.version)?;
            return Err(Refused::conflict(format!("There is a tenant {} already.", asked.tenant)).into());
        }
        if given.if_match.is_some() {
            let text = "There is no such tenant yet, of no version.".into();
            return Err(Refused { refusal: Refusal::PreconditionFailed, text }.into());
        }
        let tenant = Tenant { id: asked.tenant, apis: asked.apis, state: ActiveState::Active };
        let mut draft = Draft::default();
        draft.add(&Record::Tenant(tenant.clone()))?;
        draft.put(&Record::ListedTenant(tenant.id.clone(), asked.name.clone()))?;
        let view = view(&tenant, asked.name.as_ref());
        let event = self.event("provisionTenant", Some(tenant.id), None);
        draft.events.push(Event { after: Some(view.clone()), ..event });
        draft.done = Done { view, version: Some(1), created: true, ..Done::default() };
        Ok(draft)
    }

    pub(super) async fn list_tenants(&self, asked: ListTenants) -> Step<Draft> {
        let page = Page::of("TENANTS".into(), "TENANT#", asked.cursor.as_deref(), asked.limit)?;
        let (lines, cursor) = self.page(page).await?;
        let lines: Vec<Listed> = lines.iter().map(parse).collect::<Result<_, _>>()?;
        let ids = lines.iter().filter_map(|line| line.id.parse::<TenantId>().ok());
        let keys: Vec<Key> = ids.map(|id| Key::tenant(&id)).collect();
        let items = self.items(keys.clone()).await?;
        let mut views = Vec::new();
        for (key, line) in keys.iter().zip(&lines) {
            views.extend(there::<Tenant>(&items, key)?.map(|t| view(&t.record, line.name.as_ref())));
        }
        Ok(Draft::show(Done::of(json!({"tenants": views, "next_cursor": cursor}))))
    }

    pub(super) async fn show_tenant(&self, asked: ShowTenant) -> Step<Draft> {
        let (there, name) = self.tenant(&asked.tenant).await?;
        let view = view(&there.record, name.as_ref());
        Ok(Draft::show(Done::at(view, there.version)))
    }

    pub(super) async fn set_tenant_apis(&self, asked: SetTenantApis, given: &Given) -> Step<Draft> {
        let (was, name) = self.tenant(&asked.tenant).await?;
        let catalog = self.gate.store.fresh_catalog(self.now).await?;
        clients::known(&catalog, &asked.apis, &[])?;
        let tenant = Tenant { apis: asked.apis, ..was.record.clone() };
        self.changed_tenant("setTenantApis", &was, name.as_ref(), tenant, given)
    }

    pub(super) async fn switch_tenant(&self, id: TenantId, on: bool, given: &Given) -> Step<Draft> {
        let (was, name) = self.tenant(&id).await?;
        let (state, action, word) = match on {
            true => (ActiveState::Active, "enableTenant", "active"),
            false => (ActiveState::Disabled, "disableTenant", "disabled"),
        };
        if was.record.state == state {
            return Err(Refused::conflict(format!("The tenant is {word} already.")).into());
        }
        let tenant = Tenant { state, ..was.record.clone() };
        self.changed_tenant(action, &was, name.as_ref(), tenant, given)
    }
}
