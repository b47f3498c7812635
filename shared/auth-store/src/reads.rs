//! Reads of items by their keys. A process that has many requests at once, as `dev` has, sends together what is wanted at
//! the same moment. Nobody joins a read that was sent before: what is read is as fresh as if each had read alone.

use crate::Fault;
use crate::aws::OPERATION;
use crate::keyring::kind;
use crate::keys::{Item, Key};
use crate::store::{BATCH_PAUSES, Kept, wait_about};
use aws_sdk_dynamodb::types::KeysAndAttributes;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout, timeout_at};

/// So long others are waited for: who is not told by then reads alone.
const PATIENCE: Duration = Duration::from_millis(300);

const IN_PART: &str = "DynamoDB BatchGetItem: came back in part again and again";

/// The most keys that BatchGetItem takes.
pub(crate) const MOST_KEYS: usize = 100;

/// How an item is understood.
pub(crate) type Read = fn(Item) -> Said;

/// What an item says, if it is the record that it should be.
pub(crate) type Said = Result<Kept, Fault>;

/// Reads items of a table.
pub(crate) struct Reads(Arc<Shared>);

struct Shared {
    client: aws_sdk_dynamodb::Client,
    table: String,
    queue: Mutex<Queue>,
}

/// So many that wait are worth a call of their own while another is under way.
const ENOUGH: usize = 10;

/// While a read is under way, others gather for the next, which is sent when none is under way any more, or as soon as
/// enough have gathered: small calls beside each other would cost as many calls again.
#[derive(Default)]
struct Queue {
    under_way: usize,
    waiting: Vec<Waiting>,
}

impl Queue {
    /// Those who go now, as many as one call takes, of whoever still waits.
    fn next_group(&mut self) -> Vec<Waiting> {
        self.waiting.retain(|waiting| !waiting.told.is_closed());
        if self.under_way > 0 && self.waiting.len() < ENOUGH {
            return Vec::new();
        }
        let mut keys = 0;
        let fits = |waiting: &&Waiting| {
            keys += waiting.wanted.len();
            keys <= MOST_KEYS
        };
        let fit = self.waiting.iter().take_while(fits).count();
        self.under_way += usize::from(fit > 0);
        self.waiting.drain(..fit).collect()
    }
}

struct Waiting {
    wanted: Vec<(Key, Read)>,
    told: oneshot::Sender<Vec<Said>>,
}

/// Where a read stands.
enum Place {
    First(Turn),
    Waiting(oneshot::Receiver<Vec<Said>>),
}

impl Reads {
    pub(crate) fn new(client: aws_sdk_dynamodb::Client, table: String) -> Self {
        Self(Arc::new(Shared { client, table, queue: Mutex::default() }))
    }

    /// What the items of these keys say, each in its place, strongly consistent; all of them or a fault.
    ///
    /// # Errors
    /// If the table does not answer whole in the time of an operation, after [`PATIENCE`] where others were waited for.
    pub(crate) async fn get(&self, wanted: &[(&Key, Read)]) -> Result<Vec<Said>, Fault> {
        let _turn = match self.line_up(wanted) {
            Place::First(turn) => Some(turn),
            Place::Waiting(tells) => match timeout(PATIENCE, tells).await {
                Ok(Ok(said)) => return Ok(said),
                _ => None,
            },
        };
        let mut items = self.items(wanted.iter().map(|(key, _)| (*key).clone()).collect()).await?;
        Ok(wanted.iter().map(|(key, read)| items.remove(*key).map_or(Ok(Kept::Absent), read)).collect())
    }

    /// The items of so many keys as one call takes.
    ///
    /// # Errors
    /// As of [`Self::get`].
    pub(crate) async fn items(&self, keys: Vec<Key>) -> Result<HashMap<Key, Item>, Fault> {
        let until = Instant::now() + OPERATION;
        // The SDK keeps to that time by itself: where one call is all, no timer need be set beside.
        let (mut items, mut rest) = self.0.read_once(keys).await?;
        for pause in BATCH_PAUSES.into_iter().skip(1) {
            if rest.is_empty() {
                break;
            }
            let again = async {
                wait_about(pause).await?;
                self.0.read_once(rest).await
            };
            let found;
            (found, rest) = timeout_at(until, again).await.map_err(|_| Fault::new(IN_PART))??;
            items.extend(found);
        }
        // A record that did not come is not a record that is not there.
        if rest.is_empty() { Ok(items) } else { Err(Fault::new(IN_PART)) }
    }

    fn line_up(&self, wanted: &[(&Key, Read)]) -> Place {
        let mut queue = self.0.queue();
        if queue.under_way == 0 {
            queue.under_way += 1;
            return Place::First(Turn(Arc::clone(&self.0)));
        }
        let (told, tells) = oneshot::channel();
        let wanted = wanted.iter().map(|(key, read)| ((*key).clone(), *read)).collect();
        queue.waiting.push(Waiting { wanted, told });
        let enough = queue.next_group();
        drop(queue);
        if !enough.is_empty() {
            Turn(Arc::clone(&self.0)).hand_on(enough);
        }
        Place::Waiting(tells)
    }
}

/// The turn of a read. When it ends, in whatever way, it is the turn of those who have gathered.
struct Turn(Arc<Shared>);

impl Drop for Turn {
    fn drop(&mut self) {
        let group = {
            let mut queue = self.0.queue();
            queue.under_way = queue.under_way.saturating_sub(1);
            queue.next_group()
        };
        if !group.is_empty() {
            Self(Arc::clone(&self.0)).hand_on(group);
        }
    }
}

impl Turn {
    /// Without a runtime, they read alone.
    fn hand_on(self, group: Vec<Waiting>) {
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(self.read_together(group));
        }
    }

    /// Reads what all of them want. Who does not have everything after one try reads alone: nobody waits for what
    /// another's items bring with them.
    async fn read_together(self, group: Vec<Waiting>) {
        let all = group.iter().flat_map(|waiting| &waiting.wanted).map(|(key, read)| (key, *read));
        let all: HashMap<&Key, Read> = all.collect();
        let Ok((mut items, rest)) = self.0.read_once(all.keys().copied().cloned().collect()).await else { return };
        let read = all.into_iter().filter_map(|(key, read)| Some((key.clone(), read(items.remove(key)?))));
        let read: HashMap<Key, Said> = read.collect();
        for Waiting { wanted, told } in group {
            if !wanted.iter().any(|(key, _)| rest.contains(key)) {
                let theirs = wanted.iter().map(|(key, _)| read.get(key).cloned().unwrap_or(Ok(Kept::Absent)));
                let _ = told.send(theirs.collect());
            }
        }
    }
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One call: what is there, and the keys that were not looked at.
    async fn read_once(&self, keys: Vec<Key>) -> Result<(HashMap<Key, Item>, Vec<Key>), Fault> {
        let mut asked = KeysAndAttributes::builder().consistent_read(true);
        for key in keys {
            asked = asked.keys(key.into_item());
        }
        let asked = asked.build().map_err(|e| Fault::new(format!("DynamoDB BatchGetItem: {e}")))?;
        let get = self.client.batch_get_item().request_items(&self.table, asked);
        // Boxed: the SDK's futures are deep, and would be part of every future above.
        let answer = Box::pin(get.send()).await;
        let answer = answer.map_err(|e| Fault::new(format!("DynamoDB BatchGetItem: {}", kind(&e))))?;
        let of = |item: &Item| Key::of(item).ok_or_else(|| Fault::new("an item without its key"));
        let found = answer.responses.unwrap_or_default().remove(&self.table).unwrap_or_default();
        let items = found.into_iter().map(|item| Ok((of(&item)?, item))).collect::<Result<_, Fault>>()?;
        let rest = answer.unprocessed_keys.unwrap_or_default();
        let rest = rest.values().flat_map(|rest| &rest.keys).map(of).collect::<Result<_, Fault>>()?;
        Ok((items, rest))
    }
}
