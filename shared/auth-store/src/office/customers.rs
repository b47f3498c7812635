//! Customers.

use super::clients::after;
use super::{Draft, Given, Office, Page, Step, There};
use crate::Fault;
use crate::item::parse;
use crate::keys::Key;
use crate::store::Record;
use auth_core::admin::chain::Event;
use auth_core::admin::command::{CreateCustomer, ListCustomers, ResetCustomer, ShowCustomer};
use auth_core::admin::{Done, Fresh, Refused, passwords};
use auth_core::ids::{TenantId, Username};
use auth_core::keyring::Keyring;
use auth_core::password::StoredPassword;
use auth_core::records::{ActiveState, Customer, Tenant};
use auth_core::secret::{Digest, DigestOf, SecretText};
use auth_core::time::Timestamp;
use serde_json::{Value, json};

/// The username is shown where it was named; the table knows its digest alone.
fn view(customer: &Customer, username: Option<&Username>) -> Value {
    let mut view = json!({
        "tenant": customer.tenant, "customer_id": customer.customer_id, "scopes": customer.scopes,
        "state": customer.state, "password_imported": customer.password.is_imported(),
        "tokens_not_before": customer.tokens_not_before.map(Timestamp::to_rfc3339),
    });
    if let (Some(members), Some(username)) = (view.as_object_mut(), username) {
        members.insert("username".into(), username.as_str().into());
    }
    view
}

fn login_ref(keyring: &Keyring, tenant: &TenantId, username: &Username) -> Digest {
    Digest::of(&keyring.pepper, DigestOf::Username(tenant.as_str()), username.as_str())
}

impl Office<'_> {
    fn is_listed(&self, password: &SecretText) -> Result<bool, Fault> {
        let Some(path) = &self.breached_passwords else { return Ok(false) };
        let read = || passwords::is_listed(password, std::io::BufReader::new(std::fs::File::open(path)?));
        read().map_err(|e| Fault::new(format!("the list of breached passwords cannot be read: {}", e.kind())))
    }

    async fn customer(&self, keyring: &Keyring, tenant: &TenantId, name: &Username) -> Step<(Digest, There<Customer>)> {
        let digest = login_ref(keyring, tenant, name);
        let there = self.one(&Key::customer(tenant, digest.as_str())).await?;
        // The name is not repeated: it may hold what belongs in no log.
        let there = there.ok_or_else(|| Refused::not_found("customer of that name at tenant", tenant))?;
        Ok((digest, there))
    }

    fn changed_customer(
        &self,
        action: &str,
        was: (&Digest, &There<Customer>),
        customer: Customer,
        username: &Username,
        given: &Given,
    ) -> Step<Draft> {
        let (digest, was) = was;
        self.matches(given, was.version)?;
        let mut draft = Draft::default();
        draft.replace(&Record::Customer(digest.clone(), customer.clone()), was.version)?;
        let event = self.event(action, Some(customer.tenant.clone()), None);
        draft.events.push(Event {
            subject: Some(format!("customer {}", customer.customer_id)),
            before: Some(view(&was.record, None)),
            after: Some(view(&customer, None)),
            ..event
        });
        draft.done = Done { view: view(&customer, Some(username)), version: Some(was.version + 1), ..Done::default() };
        Ok(draft)
    }

    pub(super) async fn create_customer(&self, asked: CreateCustomer, keyring: &Keyring, fresh: &Fresh) -> Step<Draft> {
        let tenant: Option<There<Tenant>> = self.one(&Key::tenant(&asked.tenant)).await?;
        tenant.ok_or_else(|| Refused::not_found("tenant", &asked.tenant))?;
        let password = match (&asked.password, &asked.password_hash) {
            (Some(password), None) => passwords::hash(password, &asked.username, self.is_listed(password)?, fresh)?,
            (None, Some(hash)) => StoredPassword::import(hash).ok_or_else(|| {
                Refused::invalid("password_hash: argon2 as a PHC string or bcrypt, not dearer than a login may be")
            })?,
            _ => return Err(Refused::invalid("password, password_hash: exactly one of them").into()),
        };
        let digest = login_ref(keyring, &asked.tenant, &asked.username);
        if self.one::<Customer>(&Key::customer(&asked.tenant, digest.as_str())).await?.is_some() {
            return Err(Refused::conflict("There is a customer of that name already. Due: reset its password.").into());
        }
        let customer = Customer {
            tenant: asked.tenant,
            customer_id: asked.customer_id,
            password,
            scopes: asked.scopes,
            state: ActiveState::Active,
            tokens_not_before: None,
        };
        let mut draft = Draft::default();
        draft.add(&Record::Customer(digest, customer.clone()))?;
        let event = self.event("createCustomer", Some(customer.tenant.clone()), None);
        draft.events.push(Event {
            subject: Some(format!("customer {}", customer.customer_id)),
            after: Some(view(&customer, None)),
            ..event
        });
        let view = view(&customer, Some(&asked.username));
        draft.done = Done { view, version: Some(1), created: true, ..Done::default() };
        Ok(draft)
    }

    pub(super) async fn list_customers(&self, asked: ListCustomers) -> Step<Draft> {
        let page = Page::of(Key::tenant(&asked.tenant).pk, "CUSTOMER#", asked.cursor.as_deref(), asked.limit)?;
        let (items, cursor) = self.page(page).await?;
        let views = items.iter().map(|item| Ok(view(&parse(item)?, None)));
        let views: Vec<Value> = views.collect::<Result<_, Fault>>()?;
        Ok(Draft::show(Done::of(json!({"customers": views, "next_cursor": cursor}))))
    }

    pub(super) async fn show_customer(&self, asked: ShowCustomer, keyring: &Keyring) -> Step<Draft> {
        let (_, there) = self.customer(keyring, &asked.tenant, &asked.username).await?;
        let view = view(&there.record, Some(&asked.username));
        Ok(Draft::show(Done::at(view, there.version)))
    }

    pub(super) async fn reset_customer(
        &self,
        asked: ResetCustomer,
        given: &Given,
        keyring: &Keyring,
        fresh: &Fresh,
    ) -> Step<Draft> {
        let (digest, was) = self.customer(keyring, &asked.tenant, &asked.username).await?;
        let listed = self.is_listed(&asked.password)?;
        let customer = Customer {
            password: passwords::hash(&asked.password, &asked.username, listed, fresh)?,
            tokens_not_before: Some(after(self.now, was.record.tokens_not_before)),
            ..was.record.clone()
        };
        self.changed_customer("resetCustomer", (&digest, &was), customer, &asked.username, given)
    }

    pub(super) async fn switch_customer(
        &self,
        tenant: TenantId,
        username: Username,
        on: bool,
        given: &Given,
        keyring: &Keyring,
    ) -> Step<Draft> {
        let (digest, was) = self.customer(keyring, &tenant, &username).await?;
        let (state, action, word) = match on {
            true => (ActiveState::Active, "enableCustomer", "active"),
            false => (ActiveState::Disabled, "disableCustomer", "disabled"),
        };
        if was.record.state == state {
            return Err(Refused::conflict(format!("The customer is {word} already.")).into());
        }
        let before = was.record.tokens_not_before;
        let tokens_not_before = if on { before } else { Some(after(self.now, before)) };
        let customer = Customer { state, tokens_not_before, ..was.record.clone() };
        self.changed_customer(action, (&digest, &was), customer, &username, given)
    }
}
