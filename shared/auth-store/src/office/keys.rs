//! API keys.

use super::{Draft, Given, Office, Page, Step, There, there};
use crate::Fault;
use crate::item::number;
use crate::keys::Key as TableKey;
use crate::store::Record;
use auth_core::admin::chain::Event;
use auth_core::admin::command::{CancelKeyRotation, ImportKey, IssueKey, ListKeys, RevokeKey, RotateKey, ShowKey};
use auth_core::admin::keys::{self, Key};
use auth_core::admin::{Done, Fresh, Refused};
use auth_core::ids::{ClientId, KeyId};
use auth_core::keyring::Keyring;
use auth_core::records::{ApiKey, Grant, KeyListing};
use auth_core::secret::{Digest, SecretText};
use auth_core::time::Timestamp;
use serde_json::{Value, json};

/// A key and the versions of its two records.
struct KeyThere {
    key: Key,
    record: u64,
    listing: u64,
    last_used: Option<Timestamp>,
}

impl Office<'_> {
    async fn find_key(&self, client: &ClientId, id: &KeyId) -> Step<Option<KeyThere>> {
        let listing: Option<There<KeyListing>> = self.one(&TableKey::key_listing(client, id)).await?;
        match listing {
            Some(listing) => Ok(self.with_records(vec![listing]).await?.into_iter().next()),
            None => Ok(None),
        }
    }

    async fn key(&self, client: &ClientId, id: &KeyId) -> Step<KeyThere> {
        Ok(self.find_key(client, id).await?.ok_or_else(|| Refused::not_found("such key of client", client))?)
    }

    async fn with_records(&self, listings: Vec<There<KeyListing>>) -> Step<Vec<KeyThere>> {
        let of = |digest: &Digest| [TableKey::api_key(digest), TableKey::used(digest)];
        let items = self.items(listings.iter().flat_map(|l| of(&l.record.digest)).collect()).await?;
        let mut all = Vec::new();
        for There { record: listing, version } in listings {
            let [record, used] = of(&listing.digest);
            let last_used = items.get(&used).and_then(|item| number(item, "at")).map(Timestamp);
            let Some(there) = there::<ApiKey>(&items, &record)? else {
                return Err(Fault::new("a key is listed, but its record is missing").into());
            };
            let key = Key { record: there.record, listing };
            all.push(KeyThere { key, record: there.version, listing: version, last_used });
        }
        Ok(all)
    }

    fn replace_key(&self, draft: &mut Draft, action: &str, was: &KeyThere, key: &Key) -> Step<()> {
        draft.replace(&Record::ApiKey(key.listing.digest.clone(), key.record.clone()), was.record)?;
        draft.replace(&Record::KeyListing(Box::new(key.listing.clone())), was.listing)?;
        let before = Some(keys::view(&was.key, None, self.now));
        self.note_key(draft, action, key, before);
        Ok(())
    }

    fn add_key(&self, draft: &mut Draft, action: &str, key: &Key) -> Step<()> {
        draft.add(&Record::ApiKey(key.listing.digest.clone(), key.record.clone()))?;
        draft.add(&Record::KeyListing(Box::new(key.listing.clone())))?;
        self.note_key(draft, action, key, None);
        Ok(())
    }

    fn note_key(&self, draft: &mut Draft, action: &str, key: &Key, before: Option<Value>) {
        let event = self.event(action, Some(key.record.tenant.clone()), Some(&key.record.client_id));
        let after = Some(keys::view(key, None, self.now));
        draft.events.push(Event { subject: Some(key.record.key_id.to_string()), before, after, ..event });
    }

    fn show_new(&self, draft: &mut Draft, key: &Key, secret: Option<SecretText>) {
        let secrets = secret.map(|secret| ("key", secret)).into_iter().collect();
        draft.done = Done { view: keys::view(key, None, self.now), secrets, version: Some(1), created: true };
    }

    pub(super) async fn issue_key(&self, asked: IssueKey, keyring: &Keyring, fresh: &Fresh) -> Step<Draft> {
        let client = self.client(&asked.client_id).await?.client;
        let catalog = self.gate.store.fresh_catalog(self.now).await?;
        let place = keys::place(&client, asked.tenant.clone(), asked.apis.clone(), &catalog)?;
        let grant: Option<There<Grant>> = self.one(&TableKey::grant(&client.client_id, &place.0)).await?;
        let grant = grant.map(|g| g.record);
        self.may_speak_for(&client, &catalog).await?;
        let (key, secret) = keys::issue(asked, &client, place, grant.as_ref(), keyring, self.now, fresh)?;
        let mut draft = Draft::default();
        self.add_key(&mut draft, "issueKey", &key)?;
        self.show_new(&mut draft, &key, Some(secret));
        Ok(draft)
    }

    pub(super) async fn import_key(&self, asked: ImportKey, keyring: &Keyring) -> Step<Draft> {
        let client = self.client(&asked.client_id).await?.client;
        let catalog = self.gate.store.fresh_catalog(self.now).await?;
        let place = keys::place(&client, asked.tenant.clone(), asked.apis.clone(), &catalog)?;
        self.may_speak_for(&client, &catalog).await?;
        let key = keys::import(asked, &client, place, keyring, self.now)?;
        if self.one::<ApiKey>(&TableKey::api_key(&key.listing.digest)).await?.is_some() {
            return Err(Refused::conflict("The key is there already.").into());
        }
        let mut draft = Draft::default();
        self.add_key(&mut draft, "importKey", &key)?;
        self.show_new(&mut draft, &key, None);
        Ok(draft)
    }

    pub(super) async fn list_keys(&self, asked: ListKeys) -> Step<Draft> {
        let page = Page::of(TableKey::client(&asked.client_id).pk, "KEY#", asked.cursor.as_deref(), asked.limit)?;
        let (items, cursor) = self.page(page).await?;
        let listings = items.iter().map(There::of).collect::<Result<_, _>>()?;
        let all = self.with_records(listings).await?;
        let views: Vec<Value> = all.iter().map(|k| keys::view(&k.key, k.last_used, self.now)).collect();
        Ok(Draft::show(Done::of(json!({"keys": views, "next_cursor": cursor}))))
    }

    pub(super) async fn show_key(&self, asked: ShowKey) -> Step<Draft> {
        let there = self.key(&asked.client_id, &asked.key_id).await?;
        let view = keys::view(&there.key, there.last_used, self.now);
        Ok(Draft::show(Done::at(view, there.record)))
    }

    pub(super) async fn rotate_key(
        &self,
        asked: RotateKey,
        given: &Given,
        keyring: &Keyring,
        fresh: &Fresh,
    ) -> Step<Draft> {
        let was = self.key(&asked.client_id, &asked.key_id).await?;
        self.matches(given, was.record)?;
        let client = self.client(&asked.client_id).await?.client;
        let replaced = match &was.key.listing.replaces {
            Some(id) => self.find_key(&asked.client_id, id).await?,
            None => None,
        };
        let replacement = match &was.key.listing.replaced_by {
            Some(replacement) => self.find_key(&asked.client_id, &replacement.key_id).await?,
            None => None,
        };
        let (old, new, secret) = keys::rotate(
            was.key.clone(),
            (replaced.as_ref().map(|r| &r.key), replacement.as_ref().map(|r| &r.key)),
            &client,
            asked.overlap_seconds,
            keyring,
            self.now,
            fresh,
        )?;
        let mut draft = Draft::default();
        self.replace_key(&mut draft, "rotateKey", &was, &old)?;
        self.add_key(&mut draft, "rotateKey", &new)?;
        self.show_new(&mut draft, &new, Some(secret));
        Ok(draft)
    }

    pub(super) async fn cancel_key_rotation(&self, asked: CancelKeyRotation, given: &Given) -> Step<Draft> {
        let named = self.key(&asked.client_id, &asked.key_id).await?;
        self.matches(given, named.record)?;
        let none = || Refused::conflict("No rotation of the key is under way.");
        let (old, new) = match (&named.key.listing.replaced_by, &named.key.listing.replaces) {
            (Some(replacement), _) => {
                let new = self.find_key(&asked.client_id, &replacement.key_id).await?.ok_or_else(none)?;
                (named, new)
            }
            (None, Some(replaces)) => {
                let old = self.find_key(&asked.client_id, replaces).await?.ok_or_else(none)?;
                (old, named)
            }
            (None, None) => return Err(none().into()),
        };
        let (old_after, new_after) = keys::cancel(old.key.clone(), new.key.clone(), self.now)?;
        let mut draft = Draft::default();
        self.replace_key(&mut draft, "cancelKeyRotation", &old, &old_after)?;
        self.replace_key(&mut draft, "cancelKeyRotation", &new, &new_after)?;
        let view = keys::view(&old_after, old.last_used, self.now);
        draft.done = Done::at(view, old.record + 1);
        Ok(draft)
    }

    pub(super) async fn revoke_key(&self, asked: RevokeKey, given: &Given) -> Step<Draft> {
        let was = self.key(&asked.client_id, &asked.key_id).await?;
        self.matches(given, was.record)?;
        let key = keys::revoke(was.key.clone(), asked.reason)?;
        let mut draft = Draft::default();
        self.replace_key(&mut draft, "revokeKey", &was, &key)?;
        let view = keys::view(&key, was.last_used, self.now);
        draft.done = Done::at(view, was.record + 1);
        Ok(draft)
    }
}
