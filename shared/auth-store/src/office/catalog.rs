//! Roles, APIs, issuers of workload tokens, and the keyring.

use super::{Draft, Expect, Given, Office, Step, Write};
use crate::Fault;
use crate::keys::{Item, Key};
use crate::rotation;
use crate::store::{Record, catalog_versions};
use crate::vault::{CURRENT, Vault};
use auth_core::admin::chain::Event;
use auth_core::admin::command::{DeleteIssuer, DeleteRole, DiffApi, ImportApi, SetIssuer, SetRole, ShowApi, ShowRole};
use auth_core::admin::{Done, Refused, apis, clients, operations};
use auth_core::api::Catalog;
use auth_core::keyring::{Keyring, KeyringDocument};
use serde_json::{Value, json};
use std::sync::Arc;

/// So many APIs are replaced in one step, at most.
const MOST_APIS: usize = 50;

impl Draft {
    /// All processes are told, in the same transaction; of two changes at once, one finds another version.
    pub(super) fn change_catalog(&mut self, version: u64, changes: Vec<Item>) {
        self.writes.extend(changes.into_iter().map(|item| Write { item, expect: Expect::Any }));
        for (copy, item) in catalog_versions(version.saturating_add(1)).enumerate() {
            let expect = match (copy, version) {
                (0, 0) => Expect::Absent,
                (0, version) => Expect::Version(version),
                _ => Expect::Any,
            };
            self.writes.push(Write { item, expect });
        }
    }
}

impl Office<'_> {
    /// APIs and roles, and a version of them that is not newer.
    async fn versioned_catalog(&self) -> Step<(u64, Arc<Catalog>)> {
        let version = self.gate.store.catalog_version().await?;
        Ok((version, self.gate.store.fresh_catalog(self.now).await?))
    }

    pub(super) async fn set_role(&self, asked: SetRole) -> Step<Draft> {
        let (version, catalog) = self.versioned_catalog().await?;
        let before = catalog.roles.get(&asked.role);
        let added = asked.scopes.iter().filter(|scope| before.is_none_or(|before| !before.contains(scope)));
        self.actor.has_all(added)?;
        let after = json!({"role": asked.role, "scopes": asked.scopes});
        let mut draft = Draft::default();
        let item = Record::Role(asked.role.clone(), asked.scopes).item()?;
        draft.change_catalog(version, vec![item]);
        draft.events.push(Event {
            subject: Some(format!("role {}", asked.role)),
            before: before.map(|scopes| json!({"role": asked.role, "scopes": scopes})),
            after: Some(after.clone()),
            ..self.event("setRole", None, None)
        });
        draft.done = Done { view: after, created: before.is_none(), ..Done::default() };
        Ok(draft)
    }

    pub(super) async fn delete_role(&self, asked: DeleteRole) -> Step<Draft> {
        let (version, catalog) = self.versioned_catalog().await?;
        let scopes = catalog.roles.get(&asked.role).ok_or_else(|| Refused::not_found("role", &asked.role))?;
        let before = json!({"role": asked.role, "scopes": scopes});
        let mut draft = Draft::default();
        draft.change_catalog(version, Vec::new());
        draft.deletes.push(Key::role(&asked.role));
        draft.events.push(Event {
            subject: Some(format!("role {}", asked.role)),
            before: Some(before),
            ..self.event("deleteRole", None, None)
        });
        draft.done = Done::of(json!({"role": asked.role, "state": "deleted"}));
        Ok(draft)
    }

    pub(super) async fn list_roles(&self) -> Step<Draft> {
        let catalog = self.gate.store.fresh_catalog(self.now).await?;
        let roles: Vec<Value> =
            catalog.roles.iter().map(|(role, scopes)| json!({"role": role, "scopes": scopes})).collect();
        Ok(Draft::show(Done::of(json!({ "roles": roles }))))
    }

    pub(super) async fn show_role(&self, asked: ShowRole) -> Step<Draft> {
        let catalog = self.gate.store.fresh_catalog(self.now).await?;
        let scopes = catalog.roles.get(&asked.role).ok_or_else(|| Refused::not_found("role", &asked.role))?;
        Ok(Draft::show(Done::of(json!({"role": asked.role, "scopes": scopes}))))
    }

    /// An issuer stands beside the APIs: each process learns of it with the next decision.
    pub(super) async fn set_issuer(&self, asked: SetIssuer) -> Step<Draft> {
        let issuer = clients::issuer(asked)?;
        // Its keys may prove any client that trusts it, so whoever sets them could be any of those.
        self.actor.has_all(&operations::administrative())?;
        let (version, catalog) = self.versioned_catalog().await?;
        if let Some(other) = catalog.issuers.iter().find(|i| i.issuer == issuer.issuer && i.name != issuer.name) {
            return Err(Refused::conflict(format!("issuer: is set already, under the name {}", other.name)).into());
        }
        let before = catalog.issuers.iter().find(|i| i.name == issuer.name);
        let mut draft = Draft::default();
        draft.change_catalog(version, vec![Record::Issuer(issuer.clone()).item()?]);
        draft.events.push(Event {
            subject: Some(format!("issuer {}", issuer.name)),
            before: before.map(|i| json!(i)),
            after: Some(json!(issuer)),
            ..self.event("setIssuer", None, None)
        });
        draft.done = Done { view: json!(issuer), created: before.is_none(), ..Done::default() };
        Ok(draft)
    }

    pub(super) async fn list_issuers(&self) -> Step<Draft> {
        let catalog = self.gate.store.fresh_catalog(self.now).await?;
        Ok(Draft::show(Done::of(json!({ "issuers": catalog.issuers }))))
    }

    pub(super) async fn delete_issuer(&self, asked: DeleteIssuer) -> Step<Draft> {
        let (version, catalog) = self.versioned_catalog().await?;
        let before = catalog.issuers.iter().find(|i| i.name == asked.name);
        let before = before.ok_or_else(|| Refused::not_found("issuer", &asked.name))?;
        let mut draft = Draft::default();
        draft.change_catalog(version, Vec::new());
        draft.deletes.push(Key::issuer(&asked.name));
        draft.events.push(Event {
            subject: Some(format!("issuer {}", asked.name)),
            before: Some(json!(before)),
            ..self.event("deleteIssuer", None, None)
        });
        draft.done = Done::of(json!({"name": asked.name, "state": "deleted"}));
        Ok(draft)
    }

    pub(super) async fn import_api(&self, asked: ImportApi, keyring: &Keyring) -> Step<Draft> {
        let (version, catalog) = self.versioned_catalog().await?;
        let imported = apis::import(&asked, &catalog, &self.gate.issuer)?;
        if let Some(api) = imported.iter().find(|api| keyring.signing_key(api.token.alg).is_none()) {
            let wanted = api.token.alg.as_str();
            return Err(Refused::invalid(format!("token.alg: the keyring has no key of {wanted}")).into());
        }
        if imported.len() > MOST_APIS {
            return Err(Refused::invalid(format!("document: describes more than {MOST_APIS} APIs")).into());
        }
        let mut draft = Draft::default();
        let items = imported.iter().map(|api| Record::Api(Box::new(api.clone())).item());
        let items = items.collect::<Result<Vec<_>, Fault>>()?;
        draft.change_catalog(version, items);
        // One entry for all of them: they are replaced in one step, and a transaction has room for a hundred items.
        let names: Vec<&str> = imported.iter().map(|api| api.name.as_str()).collect();
        let before: Vec<Value> =
            imported.iter().filter_map(|api| catalog.apis.get(&api.name)).map(|api| apis::summary(api)).collect();
        draft.events.push(Event {
            subject: Some(format!("API {}", names.join(" "))),
            before: Some(json!({ "apis": before })),
            after: Some(json!({ "apis": imported.iter().map(apis::summary).collect::<Vec<Value>>() })),
            ..self.event("importApi", None, None)
        });
        let views: Vec<Value> = imported.iter().map(apis::summary).collect();
        draft.done = Done { view: json!({ "apis": views }), ..Done::default() };
        Ok(draft)
    }

    pub(super) async fn diff_api(&self, asked: DiffApi) -> Step<Draft> {
        let catalog = self.gate.store.fresh_catalog(self.now).await?;
        Ok(Draft::show(Done::of(apis::diff(&asked, &catalog)?)))
    }

    pub(super) async fn list_apis(&self) -> Step<Draft> {
        let catalog = self.gate.store.fresh_catalog(self.now).await?;
        let views: Vec<Value> = catalog.apis.values().map(|api| apis::summary(api)).collect();
        Ok(Draft::show(Done::of(json!({ "apis": views }))))
    }

    pub(super) async fn show_api(&self, asked: ShowApi) -> Step<Draft> {
        let catalog = self.gate.store.fresh_catalog(self.now).await?;
        let api = catalog.apis.get(&asked.api).ok_or_else(|| Refused::not_found("API", &asked.api))?;
        Ok(Draft::show(Done::of(apis::view(api))))
    }

    fn vault(&self) -> Vault {
        Vault::new(self.aws, self.gate.keyring.secret_id())
    }

    async fn described(&self) -> Step<Value> {
        let vault = self.vault();
        let labels = vault.labels().await?;
        let text = match labels.holder(CURRENT) {
            Some(version) => vault.text(version).await?,
            None => None,
        };
        let document = text.map(|text| KeyringDocument::parse(&text)).transpose();
        match document.map_err(|bad| Fault::new(bad.to_string()))? {
            Some(document) => Ok(document.describe()),
            None => Err(Fault::new("no version of the keyring is in use").into()),
        }
    }

    pub(super) async fn show_keyring(&self) -> Step<Draft> {
        Ok(Draft::show(Done::of(self.described().await?)))
    }

    /// Asks Secrets Manager, which asks the rotation function; that takes a while.
    pub(super) async fn rotate_keyring(&self, keyring: &Keyring, given: &Given) -> Step<Draft> {
        let view = json!({"state": "started", "then": "show the keyring to see what has changed"});
        if !given.dry_run {
            if !self.vault().rotate().await? {
                let text = "Secrets Manager refuses: a rotation is under way, or none is set up for the secret.";
                return Err(Refused::conflict(text).into());
            }
            let event = Event { subject: Some("keyring".into()), ..self.event("rotateKeyring", None, None) };
            self.write_surely(&Draft { events: vec![event], ..Draft::default() }, keyring).await?;
        }
        Ok(Draft::show(Done::of(view)))
    }

    /// After a leak: at once, and here. Another service keeps the secret, so the audit is written first: better a change
    /// that was announced and failed than one that nobody wrote down.
    pub(super) async fn force_keyring(&self, keyring: &Keyring, given: &Given) -> Step<Draft> {
        let before = self.described().await?;
        if given.dry_run {
            return Ok(Draft::show(Done::of(json!({"state": "not replaced", "keyring": before}))));
        }
        let event = self.event("forceKeyring", None, None);
        let event = Event { subject: Some("keyring".into()), before: Some(before), ..event };
        self.write_surely(&Draft { events: vec![event], ..Draft::default() }, keyring).await?;
        let event = json!({"Step": "force", "SecretId": self.gate.keyring.secret_id()});
        let done = rotation::rotate(self.aws, &event, self.now).await.map_err(|e| Fault(e.to_string()))?;
        let then = "functions that run go on with the keyring that they read for up to 300 seconds, and sign with it; \
            docs/deploy.md says how to end that at once";
        let keyring = self.described().await?;
        let view = json!({"state": "replaced", "what": done.done, "then": then, "keyring": keyring});
        Ok(Draft::show(Done::of(view)))
    }
}
