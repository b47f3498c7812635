//! Table and secret on loopback, as they were recorded: what is asked for is looked up in a map, so that what is
//! measured is the function, and each call is counted. On request it speaks TLS.

use crate::http;
use crate::record::{ISSUER, glibc_tunables};
use auth_core::jws::sign;
use auth_core::keyring::Keyring;
use auth_core::token::TYP;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Map, Value, json};
use std::collections::HashMap;
use std::io::{BufReader, Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What a deployment held when it was recorded.
pub(crate) struct Recorded {
    pub(crate) table: String,
    /// Items by partition and sort key, as DynamoDB writes them.
    pub(crate) items: HashMap<(String, String), Value>,
    /// The answer to GetSecretValue.
    pub(crate) secret: Value,
    /// The secret's name.
    pub(crate) secret_id: String,
}

impl Recorded {
    /// The variables of a function beside this table and this secret, which keeps what it read for so many seconds.
    pub(crate) fn variables(&self, store: &Store, cache_seconds: &str) -> Vec<(String, String)> {
        let variables = [
            ("TABLE_NAME", self.table.as_str()),
            ("KEYRING_SECRET_ID", &self.secret_id),
            ("ISSUER", ISSUER),
            ("ENVIRONMENT", "test"),
            ("DECISION_CACHE_SECONDS", cache_seconds),
            ("AWS_ENDPOINT_URL_DYNAMODB", &store.address),
            ("AWS_ENDPOINT_URL_SECRETS_MANAGER", &store.address),
            ("GLIBC_TUNABLES", glibc_tunables()),
        ];
        variables.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec()
    }

    /// The keys of the keyring that sign now, each with its private part.
    pub(crate) fn keys(&self) -> Vec<Value> {
        let text = self.secret.get("SecretString").and_then(Value::as_str).unwrap_or_default();
        let document: Value = serde_json::from_str(text).unwrap_or_default();
        let keys = document.get("keys").and_then(Value::as_array).cloned().unwrap_or_default();
        let current = keys.into_iter().filter(|key| key.get("state").is_some_and(|state| state == "current"));
        current.filter_map(|key| key.get("jwk").cloned()).collect()
    }

    /// So many tokens like this one, which its key has signed: each with its own `jti`.
    pub(crate) fn more_tokens(&self, token: &str, algorithm: &str, count: usize) -> Result<Vec<String>, String> {
        let text = self.secret.get("SecretString").and_then(Value::as_str).unwrap_or_default();
        let keyring = Keyring::parse(text).map_err(|e| e.to_string())?;
        let key = algorithm.parse().ok().and_then(|a| keyring.signing_key(a)).ok_or("no key of this algorithm")?;
        let claims = token.split('.').nth(1).and_then(|part| URL_SAFE_NO_PAD.decode(part).ok()).ok_or("no token")?;
        let mut claims: Value = serde_json::from_slice(&claims).map_err(|e| e.to_string())?;
        let with = |n: usize| {
            if let Some(jti) = claims.get_mut("jti") {
                *jti = format!("{n:032x}").into();
            }
            sign(key, TYP, &claims).map_err(|e| e.to_string())
        };
        (0..count).map(with).collect()
    }

    /// An item. Of a client `many-N` and a tenant `acme-N`, of which there are as many as anybody likes: that of `many`
    /// and `acme`, under their names.
    fn item(&self, pk: &str, sk: &str) -> Option<Value> {
        if let Some(item) = self.items.get(&(pk.to_owned(), sk.to_owned())) {
            return Some(item.clone());
        }
        let (pk_of, sk_of) = (without_number(pk)?, without_number(sk)?);
        let item = self.items.get(&(pk_of.to_owned(), sk_of.to_owned()))?;
        let mut text = item.to_string();
        for (numbered, plain) in [(pk, pk_of), (sk, sk_of)] {
            if let (Some((_, numbered)), Some((_, plain))) = (numbered.split_once('#'), plain.split_once('#')) {
                text = text.replace(plain, numbered);
            }
        }
        serde_json::from_str(&text).ok()
    }
}

/// `CLIENT#many` of `CLIENT#many-17`; what has no number, as it is.
fn without_number(key: &str) -> Option<&str> {
    match key.rsplit_once('-') {
        Some((plain, number)) => number.bytes().all(|b| b.is_ascii_digit()).then_some(plain),
        None => Some(key),
    }
}

/// A server of that.
pub(crate) struct Store {
    pub(crate) address: String,
    /// Calls to the table, and to the secret.
    pub(crate) table_calls: Arc<AtomicU64>,
    pub(crate) secret_calls: Arc<AtomicU64>,
    /// The authority of its certificate (PEM), if it speaks TLS.
    pub(crate) authority: Option<String>,
}

impl Store {
    /// Serves until the process ends.
    pub(crate) fn start(recorded: &Arc<Recorded>, tls: bool) -> Result<Self, String> {
        let listener = TcpListener::bind("127.0.0.1:0").map_err(|e| e.to_string())?;
        let port = listener.local_addr().map_err(|e| e.to_string())?.port();
        let (config, authority) = if tls { certificate().map(|(c, a)| (Some(c), Some(a)))? } else { (None, None) };
        let scheme = if tls { "https://localhost" } else { "http://127.0.0.1" };
        let store = Self {
            address: format!("{scheme}:{port}"),
            table_calls: Arc::default(),
            secret_calls: Arc::default(),
            authority,
        };
        let (recorded, table, secret) =
            (Arc::clone(recorded), Arc::clone(&store.table_calls), Arc::clone(&store.secret_calls));
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (recorded, table, secret) = (Arc::clone(&recorded), Arc::clone(&table), Arc::clone(&secret));
                let config = config.clone();
                std::thread::spawn(move || {
                    let _ = stream.set_nodelay(true);
                    match config {
                        None => serve(stream, &recorded, &table, &secret),
                        Some(config) => {
                            if let Ok(session) = ServerConnection::new(config) {
                                serve(StreamOwned::new(session, stream), &recorded, &table, &secret);
                            }
                        }
                    }
                });
            }
        });
        Ok(store)
    }
}

/// A certificate for `localhost`, and the authority that signed it.
fn certificate() -> Result<(Arc<ServerConfig>, String), String> {
    let text = |e: rcgen::Error| e.to_string();
    let authority_key = rcgen::KeyPair::generate().map_err(text)?;
    let mut parameters = rcgen::CertificateParams::new(Vec::new()).map_err(text)?;
    parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let authority = parameters.self_signed(&authority_key).map_err(text)?.pem();
    let issuer = rcgen::Issuer::new(parameters, authority_key);
    let key = rcgen::KeyPair::generate().map_err(text)?;
    let own = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).map_err(text)?;
    let own = own.signed_by(&key, &issuer).map_err(text)?;
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let config = ServerConfig::builder().with_no_client_auth().with_single_cert(vec![own.der().clone()], key);
    Ok((Arc::new(config.map_err(|e| e.to_string())?), authority))
}

/// One stream for both directions, as TLS has it.
struct Both<S>(std::rc::Rc<std::cell::RefCell<S>>);

impl<S: Read> Read for Both<S> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        self.0.borrow_mut().read(into)
    }
}

impl<S: Write> Write for Both<S> {
    fn write(&mut self, from: &[u8]) -> std::io::Result<usize> {
        self.0.borrow_mut().write(from)
    }
    fn flush(&mut self) -> std::io::Result<()> {
        self.0.borrow_mut().flush()
    }
}

fn serve(stream: impl Read + Write, recorded: &Recorded, table: &AtomicU64, secret: &AtomicU64) {
    let stream = std::rc::Rc::new(std::cell::RefCell::new(stream));
    let mut to = Both(std::rc::Rc::clone(&stream));
    let mut from = BufReader::with_capacity(64 * 1024, Both(stream));
    while let Some(request) = http::read(&mut from) {
        let operation = request.header("x-amz-target").rsplit('.').next().unwrap_or_default().to_owned();
        let asked: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        let counted = if operation == "GetSecretValue" { secret } else { table };
        counted.fetch_add(1, Ordering::Relaxed);
        let body = answer(recorded, &operation, &asked).to_string();
        if http::answer(&mut to, "200 OK", "Content-Type: application/x-amz-json-1.0\r\n", body.as_bytes()).is_err() {
            return;
        }
    }
}

fn answer(recorded: &Recorded, operation: &str, asked: &Value) -> Value {
    match operation {
        "GetSecretValue" => recorded.secret.clone(),
        "BatchGetItem" => {
            let keys = asked.pointer(&format!("/RequestItems/{}/Keys", recorded.table)).and_then(Value::as_array);
            let found: Vec<Value> = keys
                .into_iter()
                .flatten()
                .filter_map(|key| {
                    let part = |name: &str| Some(key.pointer(&format!("/{name}/S"))?.as_str()?.to_owned());
                    recorded.item(&part("pk")?, &part("sk")?)
                })
                .collect();
            let mut responses = Map::new();
            responses.insert(recorded.table.clone(), json!(found));
            json!({"Responses": responses, "UnprocessedKeys": {}})
        }
        "Query" => {
            let pk = asked.pointer("/ExpressionAttributeValues/:pk/S").and_then(Value::as_str).unwrap_or_default();
            let found: Vec<&Value> =
                recorded.items.iter().filter(|((p, _), _)| p == pk).map(|(_, item)| item).collect();
            json!({"Items": found, "Count": found.len(), "ScannedCount": found.len()})
        }
        // Notes of last use, and the like: taken and forgotten.
        _ => json!({}),
    }
}
