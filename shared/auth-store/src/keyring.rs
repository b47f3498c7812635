//! The keyring, from Secrets Manager, kept for a while; and what it has proven.

use crate::Fault;
use crate::aws::Aws;
use crate::vault::CURRENT;
use auth_core::keyring::{KEPT_SECONDS, Keyring};
use auth_core::refusal::Reason;
use auth_core::time::Timestamp;
use auth_core::token::{SignedToken, UnverifiedIssued};
use quick_cache::sync::Cache;
use std::sync::{Arc, RwLock};
use tokio::sync::Mutex;
use zeroize::Zeroizing;

/// How long a keyring is used before it is read again.
const FRESH_SECONDS: i64 = 300;

/// An unknown `kid` has the keyring read again, at most once in so many seconds: a flood of made-up names must not
/// become a flood of calls.
const UNKNOWN_KID_SECONDS: i64 = 10;

/// How many tokens that were proven are remembered, and how long they may be, in bytes. A token is remembered by its
/// imprint; what is kept of it is not much more than its text, so that all of them take some megabytes at most.
const PROVEN: usize = 2048;
const PROVEN_BYTES: usize = 2048;

/// Reads and keeps the keyring.
pub struct KeyringSource {
    client: aws_sdk_secretsmanager::Client,
    secret_id: String,
    signs: bool,
    kept: RwLock<Option<Kept>>,
    /// Held while reading, so that all who wait share one call.
    tries: Mutex<Tries>,
    /// Tokens whose signature and claims this keyring has proven. The same text under the same keyring is the same again,
    /// whatever the time, which is judged each time; only what was proven gets in, so that made-up tokens push nothing out.
    proven: Cache<[u8; 32], Arc<SignedToken>>,
}

/// When reading last failed, if it did not succeed since.
#[derive(Default)]
struct Tries {
    failed: Option<Timestamp>,
}

fn is_recent(at: Timestamp, now: Timestamp) -> bool {
    (0..UNKNOWN_KID_SECONDS).contains(&now.since(at))
}

#[derive(Clone)]
struct Kept {
    keyring: Arc<Keyring>,
    read_at: Timestamp,
}

impl std::fmt::Debug for KeyringSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "KeyringSource({})", self.secret_id)
    }
}

impl KeyringSource {
    /// A source that has not read anything yet.
    pub fn new(aws: &Aws, secret_id: impl Into<String>) -> Self {
        Self {
            client: aws.secretsmanager(),
            secret_id: secret_id.into(),
            signs: true,
            kept: RwLock::new(None),
            tries: Mutex::new(Tries::default()),
            proven: Cache::new(PROVEN),
        }
    }

    /// The same, for those who only verify.
    pub fn verifying(aws: &Aws, secret_id: impl Into<String>) -> Self {
        Self { signs: false, ..Self::new(aws, secret_id) }
    }

    /// The name or the ARN of the secret.
    pub fn secret_id(&self) -> &str {
        &self.secret_id
    }

    /// The keyring, at most [`FRESH_SECONDS`] old; if it cannot be read again, at most [`KEPT_SECONDS`], after which
    /// nothing is decided any more.
    ///
    /// # Errors
    /// If it cannot be read and none that may still be used is kept.
    pub async fn get(&self, now: Timestamp) -> Result<Arc<Keyring>, Fault> {
        if let Some(kept) = self.kept_for(now, FRESH_SECONDS) {
            return Ok(kept);
        }
        let mut tries = self.tries.lock().await;
        if let Some(kept) = self.kept_for(now, FRESH_SECONDS) {
            return Ok(kept);
        }
        let stale = self.kept_for(now, KEPT_SECONDS);
        match (tries.failed.filter(|at| is_recent(*at, now)), stale) {
            // It was just tried in vain: nobody else waits for that again while an older one may be used.
            (Some(_), Some(stale)) => Ok(stale),
            (_, stale) => match self.read(now, &mut tries).await {
                Ok(keyring) => Ok(keyring),
                Err(fault) => stale.ok_or(fault),
            },
        }
    }

    /// The keyring, read again because a token names a key that is not in it; unless that was just done.
    ///
    /// # Errors
    /// If it cannot be read now, or could not be a moment ago: then the key may well exist.
    async fn get_for_unknown_kid(&self, now: Timestamp) -> Result<Arc<Keyring>, Fault> {
        let mut tries = self.tries.lock().await;
        if tries.failed.is_some_and(|at| is_recent(at, now)) {
            return Err(Fault::new("the keyring could not be read a moment ago"));
        }
        if let Some(kept) = self.kept_for(now, UNKNOWN_KID_SECONDS) {
            return Ok(kept);
        }
        self.read(now, &mut tries).await
    }

    /// The token of this text, if the keyring that is kept has proven it before.
    pub fn proven(&self, text: &str, issuer: &str, now: Timestamp) -> Option<Arc<SignedToken>> {
        let keyring = self.kept_for(now, FRESH_SECONDS).filter(|_| text.len() <= PROVEN_BYTES)?;
        self.proven.get(&keyring.imprint(issuer, text))
    }

    /// Proves a token, whose text this is, by the keyring that knows the key that it names.
    ///
    /// # Errors
    /// If the keyring cannot be read. Inside, the refusal.
    pub async fn prove(
        &self,
        token: UnverifiedIssued<'_>,
        text: &str,
        issuer: &str,
        now: Timestamp,
    ) -> Result<Result<Arc<SignedToken>, Reason>, Fault> {
        let keyring = self.get_for_kid(token.unverified_kid(), now).await?;
        let proven = token.prove(&keyring, issuer).map(Arc::new);
        if let (Ok(token), true) = (&proven, text.len() <= PROVEN_BYTES) {
            self.proven.insert(keyring.imprint(issuer, text), Arc::clone(token));
        }
        Ok(proven)
    }

    /// The keyring that knows the key of this name, read again if the one that is kept does not.
    ///
    /// # Errors
    /// If it cannot be read. A key that may merely not be known yet is never called unknown.
    async fn get_for_kid(&self, kid: &str, now: Timestamp) -> Result<Arc<Keyring>, Fault> {
        let keyring = self.get(now).await?;
        if keyring.verifying_key(kid).is_some() {
            return Ok(keyring);
        }
        self.get_for_unknown_kid(now).await
    }

    fn kept_for(&self, now: Timestamp, seconds: i64) -> Option<Arc<Keyring>> {
        let kept = self.kept.read().ok()?.clone()?;
        // A clock that went backwards makes an age negative: then nothing is known of it.
        (0..seconds).contains(&now.since(kept.read_at)).then_some(kept.keyring)
    }

    async fn read(&self, now: Timestamp, tries: &mut Tries) -> Result<Arc<Keyring>, Fault> {
        tries.failed = Some(now);
        let keyring = self.read_now(now).await?;
        tries.failed = None;
        Ok(keyring)
    }

    async fn read_now(&self, now: Timestamp) -> Result<Arc<Keyring>, Fault> {
        let get = self.client.get_secret_value().secret_id(&self.secret_id).version_stage(CURRENT);
        // Boxed: the SDK's futures are deep, and would be part of every future above.
        let answer = Box::pin(get.send()).await;
        let answer = answer.map_err(|error| Fault::new(format!("Secrets Manager GetSecretValue: {}", kind(&error))))?;
        let text = answer.secret_string.map(Zeroizing::new);
        let text = text.ok_or_else(|| Fault::new("the keyring secret holds no text"))?;
        let is_first = self.kept.read().is_ok_and(|kept| kept.is_none());
        let keyring = match self.signs {
            false => Keyring::parse_to_verify(&text),
            true if is_first => Keyring::parse_to_sign(&text),
            // A keyring that signs is not given up for one that does not.
            true => Keyring::parse(&text),
        };
        let keyring = Arc::new(keyring.map_err(|bad| Fault::new(bad.to_string()))?);
        if let Ok(mut kept) = self.kept.write() {
            *kept = Some(Kept { keyring: Arc::clone(&keyring), read_at: now });
        }
        Ok(keyring)
    }
}

/// What kind of error the SDK met; its full text may hold parts of a request.
pub(crate) fn kind<E, R>(error: &aws_sdk_dynamodb::error::SdkError<E, R>) -> String
where
    E: aws_sdk_dynamodb::error::ProvideErrorMetadata,
{
    use aws_sdk_dynamodb::error::SdkError;
    match error {
        SdkError::ConstructionFailure(_) => "the request could not be built".into(),
        SdkError::TimeoutError(_) => "timed out".into(),
        SdkError::DispatchFailure(_) => "no connection".into(),
        SdkError::ResponseError(_) => "an answer that cannot be read".into(),
        SdkError::ServiceError(inner) => inner.err().code().unwrap_or("an error without a code").to_owned(),
        _ => "an error".into(),
    }
}
