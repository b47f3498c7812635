//! Clients and their secrets.

use super::{Draft, Given, Office, Page, Step, There, there};
use crate::Fault;
use crate::item::parse;
use crate::keys::{Item, Key};
use crate::store::{Listed, Pair, Record};
use auth_core::admin::chain::Event;
use auth_core::admin::clients::{Equipped, Means};
use auth_core::admin::command::{
    ApproveClient, CancelSecretRotation, ChangeClient, DeleteClient, ListClients, PromoteClient, RegisterClient,
    ResumeClient, RevokeClientTokens, RevokeSecret, RevokeToken, RotateSecret, SecretUse, ShowClient, ShowPack,
    SuspendClient,
};
use auth_core::admin::{Authority, Done, Fresh, Refused, clients, secrets};
use auth_core::api::Catalog;
use auth_core::ids::{ApiName, ClientId, ClientKind, RoleName, TenantId};
use auth_core::keyring::Keyring;
use auth_core::records::{Client, ClientState, Grant, GrantState, Registration, Tenant};
use auth_core::secret::SecretText;
use auth_core::time::Timestamp;
use auth_core::token::MAX_LIFETIME_SECONDS;
use aws_sdk_dynamodb::types::AttributeValue;
use serde_json::{Value, json};

/// How many grants are copied in the one transaction of a promotion, each with its own entry of audit: it takes 100 items.
const MOST_GRANTS: usize = 12;

/// A client, and who asked for it.
pub(super) struct Bundle {
    pub(super) client: Client,
    pub(super) version: u64,
    pub(super) registration: Option<There<Registration>>,
}

impl Bundle {
    fn registration(&self) -> Option<&Registration> {
        self.registration.as_ref().map(|r| &r.record)
    }

    /// The tenant in whose chain changes of the client are written: its own, or the one that sponsors it.
    fn chain(&self) -> Option<TenantId> {
        self.client.tenant.clone().or_else(|| self.registration()?.sponsor.clone())
    }

    pub(super) fn view(&self, now: Timestamp) -> Value {
        clients::view(&self.client, self.registration(), now)
    }
}

impl Office<'_> {
    pub(super) async fn client(&self, id: &ClientId) -> Step<Bundle> {
        let (client, registration) = (Key::client(id), Key::registration(id));
        let items = self.items(vec![client.clone(), registration.clone()]).await?;
        let There { record, version } = there(&items, &client)?.ok_or_else(|| Refused::not_found("client", id))?;
        Ok(Bundle { client: record, version, registration: there(&items, &registration)? })
    }

    /// A draft that replaces a client, its registration with it, and says how both were and are.
    fn changed(
        &self,
        action: &str,
        was: &Bundle,
        client: Client,
        registration: Option<Registration>,
        given: &Given,
    ) -> Step<Draft> {
        self.matches(given, was.version)?;
        let mut draft = Draft::default();
        draft.replace(&Record::Client(Box::new(client.clone())), was.version)?;
        if let (Some(registration), Some(there)) = (&registration, &was.registration) {
            draft.replace(&Record::Registration(Box::new(registration.clone())), there.version)?;
        }
        let view = clients::view(&client, registration.as_ref(), self.now);
        let event = self.event(action, was.chain(), Some(&client.client_id));
        draft.events.push(Event { before: Some(was.view(self.now)), after: Some(view.clone()), ..event });
        draft.done = Done::at(view, was.version + 1);
        Ok(draft)
    }

    pub(super) async fn register_client(&self, asked: RegisterClient, fresh: &Fresh) -> Step<Draft> {
        let catalog = self.gate.store.fresh_catalog(self.now).await?;
        if let Some(tenant) = &asked.tenant {
            let there: Option<There<Tenant>> = self.one(&Key::tenant(tenant)).await?;
            there.ok_or_else(|| Refused::invalid(format!("tenant: there is no tenant {tenant}")))?;
        }
        let environment = self.gate.environment;
        let made = clients::register(asked, &self.actor.authority, environment, &catalog, self.now, fresh)?;
        let id = made.client.client_id.clone();
        if self.one::<Client>(&Key::client(&id)).await?.is_some() {
            let text = format!("There is a client {id} already, or was one; its name is not given again.");
            return Err(Refused::conflict(text).into());
        }
        self.is_free(&id).await?;
        self.may_hand_out(&made.client.roles, &catalog)?;
        if let Some(grant) = &made.grant {
            self.actor.has_all(&grant.scopes)?;
            self.may_hand_out(&grant.roles, &catalog)?;
        }
        let mut draft = Draft::default();
        draft.add(&Record::Client(Box::new(made.client.clone())))?;
        draft.add(&Record::Registration(Box::new(made.registration.clone())))?;
        draft.put(&Record::ListedClient(id.clone()))?;
        if let Some(grant) = &made.grant {
            draft.add(&Record::Grant(grant.clone()))?;
            draft.put(&Record::ClientOfTenant(grant.tenant.clone(), id.clone()))?;
        }
        let mut view = clients::view(&made.client, Some(&made.registration), self.now);
        if let (Some(members), Some(grant)) = (view.as_object_mut(), &made.grant) {
            members.insert("grant".into(), auth_core::admin::grants::view(grant));
        }
        let event = self.event("registerClient", made.registration.sponsor.clone(), Some(&id));
        draft.events.push(Event { after: Some(view.clone()), ..event });
        draft.done = Done { view, version: Some(1), created: true, ..Done::default() };
        Ok(draft)
    }

    /// That nobody stops themselves: who would let them in again?
    fn is_anothers(&self, id: &ClientId) -> Step<()> {
        match self.actor.client_id.as_ref() == Some(id) {
            true => Err(Refused::forbidden("A client does not stop itself.").into()),
            false => Ok(()),
        }
    }

    /// That no grant waits for somebody of this name.
    async fn is_free(&self, id: &ClientId) -> Step<()> {
        let page = Page::of(Key::client(id).pk, "GRANT#", None, Some(1))?;
        match self.page(page).await?.0.is_empty() {
            true => Ok(()),
            false => Err(Refused::conflict(format!("There are grants to a client {id} already.")).into()),
        }
    }

    /// That whoever hands out roles, or secrets of a client with roles of its own, has what they stand for.
    pub(super) fn may_hand_out(&self, roles: &[RoleName], catalog: &Catalog) -> Step<()> {
        Ok(self.actor.has_all(catalog.scopes_of(roles))?)
    }

    /// That whoever says what proves a client, by a secret, a key or a workload, has what that client may do: all of its
    /// own roles, and all that tenants granted it.
    pub(super) async fn may_speak_for(&self, client: &Client, catalog: &Catalog) -> Step<()> {
        self.may_hand_out(&client.roles, catalog)?;
        let mut cursor: Option<String> = None;
        loop {
            let page =
                Page::of(Key::client(&client.client_id).pk, "GRANT#", cursor.as_deref(), Some(super::MOST_PAGE))?;
            let (items, next) = self.page(page).await?;
            for item in &items {
                let grant: Grant = parse(item)?;
                self.actor.has_all(&grant.scopes)?;
                self.may_hand_out(&grant.roles, catalog)?;
            }
            match next {
                Some(next) => cursor = Some(next),
                None => return Ok(()),
            }
        }
    }

    pub(super) async fn list_clients(&self, asked: ListClients) -> Step<Draft> {
        let (pk, of_tenant) = match &asked.tenant {
            Some(tenant) => (Key::tenant(tenant).pk, true),
            None => ("CLIENTS".to_owned(), false),
        };
        let page = Page::of(pk, "CLIENT#", asked.cursor.as_deref(), asked.limit)?;
        let (lines, cursor) = self.page(page).await?;
        let ids = lines.iter().map(|item| match of_tenant {
            true => parse::<Pair>(item).map(|pair| pair.client_id),
            false => parse::<Listed>(item)?.id.parse().map_err(|_| Fault::new("a line of a list is not a client's")),
        });
        let ids = ids.collect::<Result<Vec<ClientId>, Fault>>()?;
        let keys: Vec<Key> = ids.iter().flat_map(|id| [Key::client(id), Key::registration(id)]).collect();
        let items = self.items(keys).await?;
        let mut views = Vec::new();
        for id in &ids {
            let Some(client) = there::<Client>(&items, &Key::client(id))? else { continue };
            let registration = there::<Registration>(&items, &Key::registration(id))?;
            if asked.state.is_none_or(|state| state == client.record.state) {
                views.push(clients::view(&client.record, registration.as_ref().map(|r| &r.record), self.now));
            }
        }
        Ok(Draft::show(Done::of(json!({"clients": views, "next_cursor": cursor}))))
    }

    pub(super) async fn show_client(&self, asked: ShowClient) -> Step<Draft> {
        let bundle = self.client(&asked.client_id).await?;
        let view = bundle.view(self.now);
        Ok(Draft::show(Done::at(view, bundle.version)))
    }

    /// The grants that a pack lists; a client of very many is told of the first.
    async fn some_grants(&self, client: &ClientId) -> Step<Vec<Grant>> {
        let page = Page::of(Key::client(client).pk, "GRANT#", None, Some(super::MOST_PAGE))?;
        let (items, _) = self.page(page).await?;
        Ok(items.iter().map(parse).collect::<Result<_, _>>()?)
    }

    pub(super) async fn show_pack(&self, asked: ShowPack) -> Step<Draft> {
        let bundle = self.client(&asked.client_id).await?;
        let catalog = self.gate.store.fresh_catalog(self.now).await?;
        let grants = self.some_grants(&asked.client_id).await?;
        Ok(Draft::show(Done::of(clients::pack(
            &bundle.client,
            &grants,
            &catalog,
            &self.gate.issuer,
            self.gate.environment,
        ))))
    }

    /// The pack of a client whose secrets were just made.
    fn packed(
        &self,
        client: &Client,
        grants: &[Grant],
        catalog: &Catalog,
        mut made: Vec<(&'static str, SecretText)>,
        version: u64,
    ) -> Done {
        let environment = self.gate.environment;
        let view = clients::pack(client, grants, catalog, &self.gate.issuer, environment);
        // Where it does not count, no command gets a token with it.
        let secret = made.iter().find(|(name, _)| *name == "client_secret" && client.environment == environment);
        let curl = secret.map(|(_, secret)| clients::curl(client, grants, catalog, &self.gate.issuer, secret));
        made.extend(curl.map(|curl| ("curl", curl)));
        Done { view, secrets: made, version: Some(version), created: false }
    }

    pub(super) async fn approve_client(
        &self,
        asked: ApproveClient,
        given: &Given,
        keyring: &Keyring,
        fresh: &Fresh,
    ) -> Step<Draft> {
        let was = self.client(&asked.client_id).await?;
        let catalog = self.gate.store.fresh_catalog(self.now).await?;
        self.may_speak_for(&was.client, &catalog).await?;
        let sponsor = match was.chain() {
            Some(tenant) => self.one::<Grant>(&Key::grant(&asked.client_id, &tenant)).await?,
            None => None,
        };
        let grant = sponsor.map(|g| g.record);
        let wanted = was.registration().map_or(&was.client.apis, |r| &r.wanted_apis);
        let wanted = asked.apis.as_ref().unwrap_or(wanted);
        if let Some(tenant) = &was.client.tenant {
            let there: Option<There<Tenant>> = self.one(&Key::tenant(tenant)).await?;
            let lacks = |api: &&ApiName| there.as_ref().is_none_or(|t| !t.record.apis.contains(api));
            if let Some(api) = wanted.iter().find(lacks) {
                let text = format!("Tenant {tenant} lacks API {api}. Due: give it the API, or assign another.");
                return Err(Refused::conflict(text).into());
            }
        }
        let means = Means { keyring, now: self.now, fresh };
        let Equipped { client, registration, secrets: made } =
            clients::approve(was.client.clone(), was.registration().cloned(), grant.as_ref(), asked, &catalog, means)?;
        let grants = self.some_grants(&client.client_id).await?;
        let mut draft = self.changed("approveClient", &was, client.clone(), registration, given)?;
        draft.done = self.packed(&client, &grants, &catalog, made, was.version + 1);
        Ok(draft)
    }

    pub(super) async fn change_client(&self, asked: ChangeClient, given: &Given) -> Step<Draft> {
        let was = self.client(&asked.client_id).await?;
        let catalog = self.gate.store.fresh_catalog(self.now).await?;
        let is_own = self.actor.client_id.as_ref() == Some(&asked.client_id);
        if is_own && (asked.roles.is_some() || asked.apis.is_some()) {
            return Err(Refused::forbidden("A client does not decide what it may do itself.").into());
        }
        self.may_hand_out(asked.roles.as_deref().unwrap_or_default(), &catalog)?;
        if asked.jwks.is_some() || asked.jwks_uri.is_some() || asked.workload_identities.is_some() {
            // What proves a client is as good as its secret; and who stole a token must not make it last.
            if is_own {
                return Err(Refused::forbidden("A client does not decide what it is proven by.").into());
            }
            self.actor.has("secrets:write")?;
            self.may_speak_for(&was.client, &catalog).await?;
        }
        let changed = clients::change(was.client.clone(), was.registration().cloned(), asked, &catalog, self.now)?;
        let view = clients::view(&changed.0, changed.1.as_ref(), self.now);
        if view == was.view(self.now) {
            self.matches(given, was.version)?;
            return Ok(Draft::show(Done::at(view, was.version)));
        }
        self.changed("changeClient", &was, changed.0, changed.1, given)
    }

    pub(super) async fn suspend_client(&self, asked: SuspendClient, given: &Given) -> Step<Draft> {
        self.is_anothers(&asked.client_id)?;
        let was = self.client(&asked.client_id).await?;
        let client = clients::suspend(was.client.clone())?;
        let registration = was.registration().cloned().map(|r| Registration { reason: asked.reason, ..r });
        self.changed("suspendClient", &was, client, registration, given)
    }

    pub(super) async fn resume_client(&self, asked: ResumeClient, given: &Given) -> Step<Draft> {
        let was = self.client(&asked.client_id).await?;
        let client = clients::resume(was.client.clone())?;
        let registration = was.registration().cloned().map(|r| Registration { reason: None, ..r });
        self.changed("resumeClient", &was, client, registration, given)
    }

    /// The record stays, without secrets and without what is said of people.
    pub(super) async fn delete_client(&self, asked: DeleteClient, given: &Given) -> Step<Draft> {
        self.is_anothers(&asked.client_id)?;
        let was = self.client(&asked.client_id).await?;
        self.matches(given, was.version)?;
        let client = clients::delete(was.client.clone())?;
        let view = clients::view(&client, None, self.now);
        let mut draft = Draft::default();
        draft.replace(&Record::Client(Box::new(client)), was.version)?;
        if was.registration.is_some() {
            draft.deletes.push(Key::registration(&asked.client_id));
        }
        // What is said of people is not written down once more on its way out.
        let before = clients::view(&was.client, None, self.now);
        let event = self.event("deleteClient", was.chain(), Some(&asked.client_id));
        let why = asked.reason.map(|r| r.to_string());
        draft.events.push(Event { before: Some(before), after: Some(view.clone()), why, ..event });
        draft.done = Done::at(view, was.version + 1);
        Ok(draft)
    }

    /// The live client, with credentials of its own, and a copy of each grant that the tenants have approved: all in one
    /// transaction, whose conditions are that the client and each of the grants are still as they were read.
    pub(super) async fn promote_client(
        &self,
        asked: PromoteClient,
        given: &Given,
        keyring: &Keyring,
        fresh: &Fresh,
    ) -> Step<Draft> {
        let was = self.client(&asked.client_id).await?;
        self.matches(given, was.version)?;
        let catalog = self.gate.store.fresh_catalog(self.now).await?;
        self.may_speak_for(&was.client, &catalog).await?;
        let before: Option<There<Client>> = match &was.client.promoted_to {
            Some(to) => self.one(&Key::client(to)).await?,
            None => None,
        };
        let is_gone = before.is_none_or(|there| there.record.state == ClientState::Deleted);
        let means = Means { keyring, now: self.now, fresh };
        let promoted = clients::promote(&was.client, is_gone, was.registration(), asked.new_client_id, means)?;
        let Equipped { client, registration, secrets: made } = promoted;
        let id = client.client_id.clone();
        if self.one::<Client>(&Key::client(&id)).await?.is_some() {
            return Err(Refused::conflict(format!("There is a client {id} already, or was one.")).into());
        }
        self.is_free(&id).await?;
        let page = Page::of(Key::client(&asked.client_id).pk, "GRANT#", None, Some(super::MOST_PAGE))?;
        let (items, more) = self.page(page).await?;
        let mut grants: Vec<There<Grant>> = items.iter().map(There::of).collect::<Result<_, _>>()?;
        grants.retain(|grant| grant.record.state == GrantState::Approved);
        if more.is_some() || grants.len() > MOST_GRANTS {
            let text = format!(
                "The client has more than {MOST_GRANTS} approved grants. Due: register the live client, and import its grants."
            );
            return Err(Refused::conflict(text).into());
        }
        if grants.is_empty() && client.kind != ClientKind::MultiTenant {
            let text = "No tenant consents to the client any more. Due: request a grant, and have it approved.";
            return Err(Refused::conflict(text).into());
        }
        let mut draft = Draft::default();
        draft.add(&Record::Client(Box::new(client.clone())))?;
        draft.put(&Record::ListedClient(id.clone()))?;
        if let Some(registration) = &registration {
            draft.add(&Record::Registration(Box::new(registration.clone())))?;
        }
        let from = Client { promoted_to: Some(id.clone()), ..was.client.clone() };
        draft.replace(&Record::Client(Box::new(from)), was.version)?;
        let mut copies = Vec::new();
        for There { record, version } in grants {
            // Written as it is: if its tenant withdraws it in this moment, one of the two finds another version.
            draft.replace(&Record::Grant(record.clone()), version)?;
            let copy = Grant { client_id: id.clone(), ..record };
            draft.add(&Record::Grant(copy.clone()))?;
            draft.put(&Record::ClientOfTenant(copy.tenant.clone(), id.clone()))?;
            if Some(&copy.tenant) != was.chain().as_ref() {
                let event = self.event("promoteClient", Some(copy.tenant.clone()), Some(&id));
                draft.events.push(Event { after: Some(auth_core::admin::grants::view(&copy)), ..event });
            }
            copies.push(copy);
        }
        let view = clients::view(&client, registration.as_ref(), self.now);
        let grants: Vec<Value> = copies.iter().map(auth_core::admin::grants::view).collect();
        let event = self.event("promoteClient", was.chain(), Some(&id));
        let subject = Some(asked.client_id.to_string());
        let after = Some(json!({"client": view, "grants": grants}));
        draft.events.push(Event { subject, before: Some(was.view(self.now)), after, ..event });
        draft.done = Done { created: true, ..self.packed(&client, &copies, &catalog, made, 1) };
        Ok(draft)
    }

    pub(super) async fn revoke_client_tokens(&self, asked: RevokeClientTokens, given: &Given) -> Step<Draft> {
        let was = self.client(&asked.client_id).await?;
        let client =
            Client { tokens_not_before: Some(after(self.now, was.client.tokens_not_before)), ..was.client.clone() };
        self.changed("revokeClientTokens", &was, client, was.registration().cloned(), given)
    }

    pub(super) async fn revoke_one_token(&self, asked: RevokeToken) -> Step<Draft> {
        // Never for less than a token may live: who names too early a time must not bring it back to life.
        let longest = self.now.plus(MAX_LIFETIME_SECONDS);
        let until = asked.expires_at.map_or(longest, |t| t.0.max(longest));
        let mut item: Item = Key::revoked(&asked.jti).into_item();
        item.insert("ttl".into(), AttributeValue::N(until.plus(86_400).0.to_string()));
        let view = json!({"jti": asked.jti, "state": "revoked", "until": until.to_rfc3339()});
        let event = self.event("revokeToken", None, None);
        let mut draft = Draft::default();
        draft.overwrite(item);
        draft.events.push(Event { subject: Some(asked.jti.to_string()), after: Some(view.clone()), ..event });
        draft.done = Done::of(view);
        Ok(draft)
    }

    pub(super) async fn rotate_secret(
        &self,
        asked: RotateSecret,
        given: &Given,
        keyring: &Keyring,
        fresh: &Fresh,
    ) -> Step<Draft> {
        let was = self.client(&asked.client_id).await?;
        let holder = matches!(self.actor.authority, Authority::Holder(_));
        if holder && asked.overlap_seconds < secrets::FEWEST_OF_A_HOLDER {
            let text = format!("overlap_seconds: at least {}; an operator may take less", secrets::FEWEST_OF_A_HOLDER);
            return Err(Refused::invalid(text).into());
        }
        let catalog = self.gate.store.fresh_catalog(self.now).await?;
        if !holder {
            self.may_speak_for(&was.client, &catalog).await?;
        }
        let mut client = was.client.clone();
        let secret = secrets::rotate(&mut client, asked.of, asked.overlap_seconds, keyring, self.now, fresh)?;
        let mut draft = self.changed("rotateSecret", &was, client, was.registration().cloned(), given)?;
        let name = match asked.of {
            SecretUse::Client => "client_secret",
            SecretUse::Signing => "signing_secret",
        };
        draft.done.secrets = vec![(name, secret)];
        draft.done.created = true;
        self.note_use(&mut draft, asked.of);
        Ok(draft)
    }

    pub(super) async fn cancel_secret_rotation(&self, asked: CancelSecretRotation, given: &Given) -> Step<Draft> {
        let was = self.client(&asked.client_id).await?;
        let mut client = was.client.clone();
        secrets::cancel(&mut client, asked.of, self.now)?;
        let mut draft = self.changed("cancelSecretRotation", &was, client, was.registration().cloned(), given)?;
        self.note_use(&mut draft, asked.of);
        Ok(draft)
    }

    pub(super) async fn revoke_secret(&self, asked: RevokeSecret, given: &Given) -> Step<Draft> {
        let was = self.client(&asked.client_id).await?;
        let mut client = was.client.clone();
        // Somebody who holds a secret may have stolen it: it ends an overlap, but does not lock the owner out.
        let holder = matches!(self.actor.authority, Authority::Holder(_));
        if holder && asked.which == auth_core::admin::command::Which::All {
            return Err(Refused::forbidden("Only an operator takes all secrets away.").into());
        }
        secrets::revoke(&mut client, asked.of, asked.which, self.now)?;
        let mut draft = self.changed("revokeSecret", &was, client, was.registration().cloned(), given)?;
        self.note_use(&mut draft, asked.of);
        Ok(draft)
    }

    fn note_use(&self, draft: &mut Draft, of: SecretUse) {
        let word = if of == SecretUse::Signing { "signing secret" } else { "client secret" };
        draft.events.iter_mut().for_each(|event| event.subject = Some(word.to_owned()));
    }
}

/// From when on tokens count again that are issued now: the next second, because of those issued in this one none may
/// stay good; and one more for each time that this is said within it.
pub(super) fn after(now: Timestamp, was: Option<Timestamp>) -> Timestamp {
    was.map_or(now.plus(1), |was| now.plus(1).max(was.plus(1)))
}

impl Draft {
    /// Writes an item, whatever is there.
    fn overwrite(&mut self, item: Item) {
        self.writes.push(super::Write { item, expect: super::Expect::Any });
    }
}
