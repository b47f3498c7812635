//! The keyring, from Secrets Manager, kept for a while.

use crate::Fault;
use crate::aws::Aws;
use crate::vault::CURRENT;
use auth_core::keyring::{KEPT_SECONDS, Keyring};
use auth_core::time::Timestamp;
use std::sync::{Arc, RwLock};
use tokio::sync::Mutex;
use zeroize::Zeroizing;

/// How long a keyring is used before it is read again.
const FRESH_SECONDS: i64 = 300;

/// An unknown `kid` has the keyring read again, at most once in so many seconds: a flood of made-up names must not
/// become a flood of calls.
const UNKNOWN_KID_SECONDS: i64 = 10;

/// Reads and keeps the keyring.
pub struct KeyringSource {
    client: aws_sdk_secretsmanager::Client,
    secret_id: String,
    signs: bool,
    kept: RwLock<Option<Kept>>,
    /// Held while reading, so that all who wait share one call.
    tries: Mutex<Tries>,
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
    pub async fn get_for_unknown_kid(&self, now: Timestamp) -> Result<Arc<Keyring>, Fault> {
        let mut tries = self.tries.lock().await;
        if tries.failed.is_some_and(|at| is_recent(at, now)) {
            return Err(Fault::new("the keyring could not be read a moment ago"));
        }
        if let Some(kept) = self.kept_for(now, UNKNOWN_KID_SECONDS) {
            return Ok(kept);
        }
        self.read(now, &mut tries).await
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
        let keyring = if self.signs { Keyring::parse(&text) } else { Keyring::parse_to_verify(&text) };
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
