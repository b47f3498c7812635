//! Keys that others publish: a client's at its `jwks_uri`, an issuer's by OpenID discovery. Fetched by whoever asks for
//! a token, so that nobody can make us do much: https alone, to public addresses, no redirect, bounded in size and time,
//! one fetch at a time and address, kept for a while, and not tried again at once.

use crate::Fault;
use crate::http::{Http, MAY_NOT, May, authorities, in_pem};
use crate::store::kept_or_new;
use auth_core::jwk::{VerifyingKey, read_set};
use auth_core::remote::{HttpsUrl, is_public};
use auth_core::time::Timestamp;
use aws_smithy_runtime_api::client::http::HttpConnector as _;
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::byte_stream::ByteStream;
use quick_cache::sync::Cache;
use rustls::RootCertStore;
use rustls_native_certs::load_native_certs;
use serde_json::Value;
use std::sync::{Arc, OnceLock, RwLock};
use std::time::Duration;
use tokio::sync::Mutex;

/// So many sets are kept; an operator approves every client that brings an address.
const KEPT: usize = 1_000;
/// A set is asked for again after so many seconds.
const FRESH_SECONDS: i64 = 300;
/// An older one may be used for so long, if its address does not answer.
const STALE_SECONDS: i64 = 3_600;
/// An address that was just asked is not asked again for so many seconds, whatever kid is looked for.
const PAUSE_SECONDS: i64 = 10;
/// The longest document, in bytes.
const MOST_BYTES: usize = 128 * 1024;
/// The time of one document.
const PATIENCE: Duration = Duration::from_millis(1_500);

/// Where from, and how it is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KeysOf<'a> {
    /// The JWK set itself (`jwks_uri`).
    Address(&'a HttpsUrl),
    /// That of an issuer (OpenID Connect Discovery 1.0 section 4).
    Issuer(&'a HttpsUrl),
}

/// What is known of one address.
#[derive(Default)]
struct Kept {
    keys: RwLock<Option<Keys>>,
    /// When it was last asked, and why in vain if it was. Whoever asks holds it, so that nobody else does.
    tried: Mutex<Option<(Timestamp, Option<Missing>)>>,
}

/// When they were read, and what they are.
type Keys = (Timestamp, Arc<Vec<VerifyingKey>>);

/// Why keys are not to be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Missing {
    /// There is no answer, or that of a server out of order; whose doing that is, nobody can tell.
    #[error("{0}")]
    Broken(String),
    /// There is one, and it is no JWK set; or no such answer may be asked for.
    #[error("{0}")]
    Wrong(String),
}

fn wrong<T>(what: &str) -> Result<T, Missing> {
    Err(Missing::Wrong(what.to_owned()))
}

fn broken(what: &str) -> Missing {
    Missing::Broken(what.to_owned())
}

/// Whose keys a process has.
pub struct Remote {
    reach: Reach,
    connector: OnceLock<Http>,
    kept: Cache<String, Arc<Kept>>,
}

/// How far requests go.
#[derive(Debug, Clone, Default)]
pub enum Reach {
    /// To the public internet, to servers whose certificates the system trusts.
    #[default]
    Public,
    /// To this machine alone, to servers of this authority (PEM): for developers.
    Loopback(Vec<u8>),
}

impl std::fmt::Debug for Remote {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Remote")
    }
}

impl Remote {
    /// Nothing is fetched, and no certificate read, before it is needed.
    pub fn new(reach: Reach) -> Self {
        Self { reach, connector: OnceLock::new(), kept: Cache::new(KEPT) }
    }

    /// The keys of an address; newer ones, if those that are kept have none that is `wanted`.
    ///
    /// # Errors
    /// If they are not to be had.
    pub async fn keys(
        &self,
        of: KeysOf<'_>,
        wanted: impl Fn(&[VerifyingKey]) -> bool,
        now: Timestamp,
    ) -> Result<Arc<Vec<VerifyingKey>>, Missing> {
        let name = match of {
            KeysOf::Address(url) => format!("keys {url}"),
            KeysOf::Issuer(url) => format!("issuer {url}"),
        };
        let kept = kept_or_new(&self.kept, &name);
        let within = |at: Timestamp, seconds: i64| (0..seconds).contains(&now.since(at));
        let have = |seconds: i64| {
            let keys = kept.keys.read().ok()?.clone();
            keys.filter(|(at, _)| within(*at, seconds)).map(|(_, keys)| keys)
        };
        if let Some(keys) = have(FRESH_SECONDS).filter(|keys| wanted(keys)) {
            return Ok(keys);
        }
        // Whoever comes while it is fetched waits for that.
        let mut tried = kept.tried.lock().await;
        let just_tried =
            tried.as_ref().filter(|(at, _)| within(*at, PAUSE_SECONDS)).map(|(_, missing)| missing.clone());
        match (have(FRESH_SECONDS), just_tried) {
            (Some(keys), just_tried) if just_tried.is_some() || wanted(&keys) => return Ok(keys),
            (None, Some(Some(missing))) => return have(STALE_SECONDS).ok_or(missing),
            _ => {}
        }
        // Until there is an answer, and if nobody waits for it.
        *tried = Some((now, Some(broken("it was just asked for"))));
        let fetched = Box::pin(self.fetch_keys(of)).await.map(Arc::new);
        *tried = Some((now, fetched.as_ref().err().cloned()));
        let keep = |keys: Option<Keys>| {
            if let Ok(mut kept) = kept.keys.write() {
                *kept = keys;
            }
        };
        match fetched {
            Ok(keys) => {
                keep(Some((now, Arc::clone(&keys))));
                Ok(keys)
            }
            // Whoever takes keys away means it.
            Err(missing @ Missing::Wrong(_)) => {
                keep(None);
                Err(missing)
            }
            Err(missing @ Missing::Broken(_)) => have(STALE_SECONDS).ok_or(missing),
        }
    }

    async fn fetch_keys(&self, of: KeysOf<'_>) -> Result<Vec<VerifyingKey>, Missing> {
        let found;
        let address = match of {
            KeysOf::Address(url) => url,
            KeysOf::Issuer(issuer) => {
                let url = format!("{}/.well-known/openid-configuration", issuer.as_str().trim_end_matches('/'));
                let Ok(url) = url.parse() else { return wrong("the issuer's address is too long") };
                let metadata = self.fetch(&url).await?;
                if metadata.get("issuer").and_then(Value::as_str) != Some(issuer.as_str()) {
                    return wrong("the metadata are of another issuer");
                }
                let uri = metadata.get("jwks_uri").and_then(Value::as_str).and_then(|uri| uri.parse().ok());
                let Some(uri) = uri else { return wrong("the metadata hold no jwks_uri that may be fetched") };
                found = uri;
                &found
            }
        };
        match read_set(&self.fetch(address).await?) {
            Some(keys) => Ok(keys),
            None => wrong("not a JWK set"),
        }
    }

    async fn fetch(&self, url: &HttpsUrl) -> Result<Value, Missing> {
        let fetched = tokio::time::timeout(PATIENCE, self.fetch_slowly(url)).await;
        let body = fetched.map_err(|_| broken("timed out"))??;
        auth_core::json::parse(&body).or_else(|_| wrong("not JSON"))
    }

    async fn fetch_slowly(&self, url: &HttpsUrl) -> Result<Vec<u8>, Missing> {
        let connector = match self.connector.get() {
            Some(connector) => connector,
            // One that cannot be made now may be made the next time.
            None => {
                let made = connector(&self.reach).map_err(|fault| Missing::Broken(fault.0))?;
                self.connector.get_or_init(|| made)
            }
        };
        let mut request = HttpRequest::empty();
        if request.set_uri(url.as_str()).is_err() {
            return wrong("not an address");
        }
        request.headers_mut().insert("accept", "application/json");
        let answer = connector.call(request).await.map_err(|error| not_connected(&error))?;
        match answer.status().as_u16() {
            200 => {}
            // Out of order, or too busy: that may be over the next time.
            429 | 500.. => return Err(broken("not answered with 200")),
            // A redirect is an answer like any other that is not 200: nobody follows it.
            _ => return wrong("not answered with 200"),
        }
        bounded(answer.into_body()).await
    }
}

fn not_connected(error: &(dyn std::error::Error + 'static)) -> Missing {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if error.to_string() == MAY_NOT {
            return Missing::Wrong(MAY_NOT.to_owned());
        }
        cause = error.source();
    }
    broken("no connection")
}

/// A body, as far as it is not too long.
async fn bounded(body: SdkBody) -> Result<Vec<u8>, Missing> {
    let mut body = ByteStream::new(body);
    let mut bytes = Vec::new();
    while let Some(part) = body.next().await {
        let part = part.map_err(|_| broken("the answer broke off"))?;
        if bytes.len() + part.len() > MOST_BYTES {
            return wrong("the answer is too long");
        }
        bytes.extend_from_slice(&part);
    }
    Ok(bytes)
}

fn connector(reach: &Reach) -> Result<Http, Fault> {
    let roots = match reach {
        Reach::Public => {
            let mut roots = RootCertStore::empty();
            roots.add_parsable_certificates(load_native_certs().certs);
            if roots.is_empty() {
                return Err(Fault::new("the system has no certificates"));
            }
            roots
        }
        Reach::Loopback(authority) => authorities(in_pem(authority))?,
    };
    let may: May = match reach {
        Reach::Public => is_public,
        Reach::Loopback(_) => |address| address.is_loopback(),
    };
    Http::new(roots, may)
}
