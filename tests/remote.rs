//! Keys that others publish, fetched from a real HTTPS server: what is believed, how often it is asked, and that nobody
//! can send us anywhere.

use crate::harness::Dev;
use crate::standards::{form, now, pair, signed};
use auth_core::jwk::VerifyingKey;
use auth_core::jws::Algorithm;
use auth_core::remote::HttpsUrl;
use auth_core::time::Timestamp;
use auth_store::remote::{KeysOf, Missing, Reach, Remote};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

const NOW: Timestamp = Timestamp(1_800_000_000);

/// A server of keys, and how often it was asked for what.
struct Server {
    port: u16,
    authority: String,
    asked: Arc<Mutex<HashMap<String, usize>>>,
    answers: Arc<Mutex<HashMap<String, (u16, String)>>>,
}

impl Server {
    async fn start() -> Self {
        let authority_key = rcgen::KeyPair::generate().unwrap();
        let mut parameters = rcgen::CertificateParams::new(Vec::new()).unwrap();
        parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let authority = parameters.self_signed(&authority_key).unwrap();
        let issuer = rcgen::Issuer::new(parameters, authority_key);
        let key = rcgen::KeyPair::generate().unwrap();
        let own =
            rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let config = ServerConfig::builder().with_no_client_auth();
        let config = config.with_single_cert(vec![own.der().clone()], key).unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = Self {
            port: listener.local_addr().unwrap().port(),
            authority: authority.pem(),
            asked: Arc::default(),
            answers: Arc::default(),
        };
        let (asked, answers) = (Arc::clone(&server.asked), Arc::clone(&server.answers));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                *asked.lock().unwrap().entry("a connection".into()).or_default() += 1;
                let (acceptor, asked, answers) = (acceptor.clone(), Arc::clone(&asked), Arc::clone(&answers));
                tokio::spawn(async move {
                    let Ok(mut stream) = acceptor.accept(stream).await else { return };
                    let (mut head, mut part) = (Vec::new(), [0; 1024]);
                    while !head.windows(4).any(|w| w == b"\r\n\r\n") {
                        match stream.read(&mut part).await {
                            Ok(n) if n > 0 => head.extend_from_slice(&part[..n]),
                            _ => return,
                        }
                    }
                    let path = String::from_utf8_lossy(&head).split(' ').nth(1).unwrap().to_owned();
                    *asked.lock().unwrap().entry(path.clone()).or_default() += 1;
                    let answer = answers.lock().unwrap().get(&path).cloned();
                    // What is not known is never answered.
                    let Some((status, body)) = answer else { return std::future::pending().await };
                    let length = body.len();
                    let head = format!(
                        "HTTP/1.1 {status} X\r\nConnection: close\r\nLocation: /keys\r\nContent-Length: {length}\r\n\r\n"
                    );
                    let _ = stream.write_all(format!("{head}{body}").as_bytes()).await;
                    let _ = stream.shutdown().await;
                });
            }
        });
        server
    }

    fn url(&self, path: &str) -> HttpsUrl {
        format!("https://localhost:{}{path}", self.port).parse().unwrap()
    }

    fn answer(&self, path: &str, status: u16, body: impl std::fmt::Display) {
        self.answers.lock().unwrap().insert(path.to_owned(), (status, body.to_string()));
    }

    fn asked(&self, path: &str) -> usize {
        self.asked.lock().unwrap().get(path).copied().unwrap_or(0)
    }

    fn remote(&self) -> Remote {
        Remote::new(Reach::Loopback(self.authority.clone().into_bytes()))
    }
}

fn any(_: &[VerifyingKey]) -> bool {
    true
}

#[tokio::test]
async fn a_set_is_believed_or_it_is_not() {
    let server = Server::start().await;
    let key = pair(Algorithm::ES256, "k1").1;
    let set =
        json!({"keys": [key, {"kty": "RSA", "n": "AQAB", "e": "AQAB", "kid": "weak"}, {"kty": "oct", "k": "AA"}]});
    let metadata = |issuer: HttpsUrl, uri: String| json!({"issuer": issuer.as_str(), "jwks_uri": uri});
    server.answer("/keys", 200, &set);
    server.answer("/redirect", 302, &set);
    server.answer("/error", 500, &set);
    server.answer("/nonsense", 200, "nonsense");
    server.answer("/no-set", 200, json!({"key": []}));
    server.answer("/twice", 200, r#"{"keys":[],"keys":[]}"#);
    server.answer("/long", 200, format!("{}{}", set, " ".repeat(128 * 1024)));
    let own = server.url("/keys").to_string();
    let well_known = |name: &str| format!("/{name}/.well-known/openid-configuration");
    server.answer(&well_known("issuer"), 200, metadata(server.url("/issuer"), own.clone()));
    server.answer(&well_known("liar"), 200, metadata(server.url("/issuer"), own.clone()));
    server.answer(&well_known("inward"), 200, metadata(server.url("/inward"), "http://169.254.169.254/".into()));
    server.answer(&well_known("plain"), 200, metadata(server.url("/plain"), own.replace("https", "http")));
    let remote = server.remote();
    let rows = [
        ("the keys that we take, of a set", "/keys", true),
        ("a redirect", "/redirect", false),
        ("an error", "/error", false),
        ("nonsense", "/nonsense", false),
        ("another document", "/no-set", false),
        ("a member twice", "/twice", false),
        ("more than 128 KiB", "/long", false),
        ("no answer", "/never", false),
    ];
    for (sentence, path, want) in rows {
        let url = server.url(path);
        let got = remote.keys(KeysOf::Address(&url), any, NOW).await;
        assert_eq!(got.as_ref().map(|keys| keys.len()).ok(), want.then_some(1), "{sentence}: {got:?}");
    }
    assert_eq!(server.asked("/keys"), 1, "no redirect was followed");
    let rows = [
        ("an issuer, by discovery", "/issuer", true),
        ("an issuer with a slash, which is another", "/issuer/", false),
        ("metadata of another issuer", "/liar", false),
        ("keys at an address inside", "/inward", false),
        ("keys without https", "/plain", false),
    ];
    for (sentence, path, want) in rows {
        let url = server.url(path);
        assert_eq!(remote.keys(KeysOf::Issuer(&url), any, NOW).await.is_ok(), want, "{sentence}");
    }
}

#[tokio::test]
async fn nobody_sends_us_inside() {
    let server = Server::start().await;
    server.answer("/keys", 200, json!({"keys": []}));
    let url = server.url("/keys");
    let public = Remote::new(Reach::Public);
    let refused = public.keys(KeysOf::Address(&url), any, NOW).await;
    assert_eq!(refused.unwrap_err(), Missing::Wrong("an address that is not public".into()), "a name of this machine");
    assert_eq!(server.asked("a connection"), 0, "nothing was connected to");
    let other = Server::start().await;
    let stranger = Remote::new(Reach::Loopback(other.authority.into_bytes()));
    assert!(stranger.keys(KeysOf::Address(&url), any, NOW).await.is_err(), "a certificate of another authority");
    assert_eq!(server.asked("/keys"), 0, "nothing was asked of it");
}

#[tokio::test]
async fn it_is_asked_as_seldom_as_can_be() {
    let server = Server::start().await;
    let url = server.url("/keys");
    let of = KeysOf::Address(&url);
    let publish = |kid: &str| server.answer("/keys", 200, json!({"keys": [pair(Algorithm::ES256, kid).1]}));
    let has = |kid: &'static str| move |keys: &[VerifyingKey]| keys.iter().any(|key| key.kid() == kid);
    let remote = Arc::new(server.remote());
    publish("k1");
    let many = (0..50).map(|_| {
        let (remote, url) = (Arc::clone(&remote), url.clone());
        tokio::spawn(async move { remote.keys(KeysOf::Address(&url), any, NOW).await.is_ok() })
    });
    for one in many.collect::<Vec<_>>() {
        assert!(one.await.unwrap());
    }
    assert_eq!(server.asked("/keys"), 1, "fifty at once are one");
    publish("k2");
    let found = async |kid: &'static str, at: i64| remote.keys(of, has(kid), NOW.plus(at)).await.map(|k| has(kid)(&k));
    assert_eq!(found("k1", 5).await, Ok(true));
    for _ in 0..20 {
        assert_eq!(found("k2", 9).await, Ok(false), "an unknown kid, right after it was asked");
    }
    assert_eq!(server.asked("/keys"), 1);
    assert_eq!(found("k2", 10).await, Ok(true), "a new key, ten seconds later");
    assert_eq!(found("k2", 309).await, Ok(true));
    assert_eq!(server.asked("/keys"), 2);
    assert_eq!(found("k2", 310).await, Ok(true), "five minutes later it is asked anew");
    assert_eq!(server.asked("/keys"), 3);
    server.answer("/keys", 500, "");
    assert_eq!(found("k2", 700).await, Ok(true), "out of order: what was read still counts");
    assert_eq!(found("k2", 705).await, Ok(true));
    assert_eq!(server.asked("/keys"), 4, "and it is not asked again at once");
    assert!(found("k2", 310 + 3600).await.is_err(), "for an hour");
    assert!(found("k2", 310 + 3605).await.is_err());
    assert_eq!(server.asked("/keys"), 5);
    publish("k3");
    assert_eq!(found("k3", 310 + 3610).await, Ok(true), "in order again");
    let asked = server.asked("/keys");
    server.answer("/keys", 404, "");
    assert_eq!(found("k3", 310 + 3620).await, Ok(true), "whose keys are known need not be asked");
    let taken = |at: i64| found("k3", at);
    assert!(matches!(taken(310 + 3910).await, Err(Missing::Wrong(_))), "keys that were taken away are gone");
    assert!(matches!(taken(310 + 3915).await, Err(Missing::Wrong(_))), "and stay so");
    assert_eq!(server.asked("/keys"), asked + 1, "without asking again at once");
}

#[tokio::test]
async fn a_client_publishes_its_keys_and_an_issuer_its_own() {
    let server = Server::start().await;
    let (own, ci) = (pair(Algorithm::ES256, "own"), pair(Algorithm::RS256, "ci"));
    server.answer("/keys", 200, json!({"keys": [own.1]}));
    server.answer("/ci-keys", 200, json!({"keys": [ci.1]}));
    let issuer = server.url("/ci").to_string();
    let metadata = json!({"issuer": issuer, "jwks_uri": server.url("/ci-keys").as_str()});
    server.answer("/ci/.well-known/openid-configuration", 200, metadata);
    let lost = server.url("/lost").to_string();
    server.answer("/odd", 404, "");
    server.answer("/broken", 500, "");
    server.answer("/busy", 429, "");
    let client = |id: &str, name: &str, value: Value| {
        let mut client = json!({"client_id": id, "kind": "multi_tenant"});
        client[name] = value;
        client
    };
    let seed = json!({
        "issuers": [{"name": "ci", "issuer": issuer}, {"name": "lost", "issuer": lost}],
        "clients": [
            client("app", "jwks_uri", json!(server.url("/keys").as_str())),
            client("dark", "jwks_uri", json!(server.url("/never").as_str())),
            client("odd", "jwks_uri", json!(server.url("/odd").as_str())),
            client("broken", "jwks_uri", json!(server.url("/broken").as_str())),
            client("busy", "jwks_uri", json!(server.url("/busy").as_str())),
            client("lost", "workload_identities", json!([{"issuer": lost, "subject": "main"}])),
            client("build", "workload_identities", json!([{"issuer": issuer, "subject": "main"}])),
        ],
    });
    let files = [("seed.json", seed.to_string()), ("ca.pem", server.authority.clone())];
    let dev = Dev::start(&["--seed", "FOLDER/seed.json", "--local-keys", "FOLDER/ca.pem"], &files, &[]);
    let us = dev.ready["issuer"].as_str().unwrap().to_owned();
    let claims = |iss: &str, sub: &str| json!({"iss": iss, "sub": sub, "aud": us, "jti": "j", "exp": now() + 60});
    let stranger = pair(Algorithm::ES256, "own").0;
    let rows = [
        ("a client's own key", signed(&own.0, "JWT", &claims("app", "app")), "app", 200),
        ("a stranger's of the same name", signed(&stranger, "JWT", &claims("app", "app")), "app", 401),
        ("of a client whose address does not answer", signed(&own.0, "JWT", &claims("dark", "dark")), "dark", 503),
        ("of one whose address answers with something else", signed(&own.0, "JWT", &claims("odd", "odd")), "odd", 401),
        ("of one whose address is out of order", signed(&own.0, "JWT", &claims("broken", "broken")), "broken", 503),
        ("of one whose address is too busy", signed(&own.0, "JWT", &claims("busy", "busy")), "busy", 503),
        ("a workload of an issuer that does not answer", signed(&ci.0, "JWT", &claims(&lost, "main")), "lost", 503),
        ("a workload's token", signed(&ci.0, "JWT", &claims(&issuer, "main")), "build", 200),
        ("another workload's", signed(&ci.0, "JWT", &claims(&issuer, "other")), "build", 401),
    ];
    for (sentence, assertion, client, status) in rows {
        let body = form(&[
            ("grant_type", "client_credentials"),
            ("client_id", client),
            ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
            ("client_assertion", &assertion),
        ]);
        let headers = [("Content-Type", "application/x-www-form-urlencoded")];
        let answer = dev.call("POST", "/oauth/token", &headers, &body).await;
        assert_eq!(answer.status, status, "{sentence}: {}", answer.text);
    }
    assert!(dev.said_so("the keys at jwks_uri cannot be had: not answered with 200"));
    assert!(dev.said_so("jwks_uri: timed out") && dev.said_so("keys of issuer lost: timed out"));
    assert_eq!((server.asked("/keys"), server.asked("/ci-keys")), (1, 1));
}
