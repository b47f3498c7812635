//! Starts `countersign dev` with the benchmark's seed, takes tokens from it, and writes down what its table and its
//! secret hold.

use crate::http::Client;
use crate::runtime::Event;
use crate::store::Recorded;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::io::Read as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const SEED: &str = include_str!("../seed.json");
/// Of the client of `seed.json`; it opens nothing else.
pub(crate) const SECRET: &str = "bench-secret-0123456789012345678901234567";
/// The header of a form.
pub(crate) const FORM: &str = "Content-Type: application/x-www-form-urlencoded\r\n";
const SHOP: &str = include_str!("../shop.json");
/// The exact `iss` of the seed.
pub(crate) const ISSUER: &str = "https://auth.example.test";
/// Account, API and stage of the events.
pub(crate) const ARN: &str = "arn:aws:execute-api:eu-west-1:123456789012:abcdef1234/prod";

/// A running `dev`; ends with its value.
pub(crate) struct Dev {
    child: Child,
    /// Its gateway, `127.0.0.1:PORT`.
    pub(crate) address: String,
    ready: Value,
}

impl Drop for Dev {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Dev {
    /// Starts the command at `binary`, with the benchmark's data.
    pub(crate) fn start(binary: &Path, folder: &Path) -> Result<Self, String> {
        let write =
            |name: &str, text: &str| std::fs::write(folder.join(name), text).map_err(|e| format!("{name}: {e}"));
        write("seed.json", SEED)?;
        write("shop.json", SHOP)?;
        let ready_file = folder.join("ready.json");
        let _ = std::fs::remove_file(&ready_file);
        let mut command = Command::new(binary);
        command
            .args(["dev", "--port", "0", "--seed"])
            .arg(folder.join("seed.json"))
            .arg("--ready-file")
            .arg(&ready_file);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|e| format!("{}: {e}", binary.display()))?;
        let started = Instant::now();
        let ready = loop {
            let text = std::fs::read_to_string(&ready_file).unwrap_or_default();
            if let Ok(ready) = serde_json::from_str::<Value>(&text) {
                break ready;
            }
            if started.elapsed() > Duration::from_secs(30) || child.try_wait().is_ok_and(|ended| ended.is_some()) {
                let mut said = String::new();
                let _ = child.kill();
                let _ = child.stderr.take().map(|mut e| e.read_to_string(&mut said));
                return Err(format!("dev did not start: {said}"));
            }
            std::thread::sleep(Duration::from_millis(20));
        };
        let address = text(&ready, "/gateway").trim_start_matches("http://").to_owned();
        Ok(Self { child, address, ready })
    }

    /// The process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Asks its table (`dynamodb_endpoint`) or its secret store (`secretsmanager_endpoint`).
    fn ask(&self, endpoint: &str, target: &str, body: &Value) -> Result<Value, String> {
        let address = text(&self.ready, &format!("/{endpoint}")).trim_start_matches("http://").to_owned();
        let headers = format!(
            "X-Amz-Target: {target}\r\nContent-Type: application/x-amz-json-1.0\r\nAuthorization: AWS4-HMAC-SHA256 \
             Credential=a/20260101/eu-west-1/x/aws4_request, SignedHeaders=host, Signature=0\r\nX-Amz-Date: 20260101T000000Z\r\n"
        );
        let mut client = Client::new(&address).map_err(|e| e.to_string())?;
        let answer = client.ask("POST", "/", &headers, body.to_string().as_bytes());
        let (status, answer) = answer.ok_or_else(|| format!("{target}: no answer"))?;
        match status {
            200 => serde_json::from_slice(&answer).map_err(|e| e.to_string()),
            _ => Err(format!("{target}: {}", String::from_utf8_lossy(&answer))),
        }
    }

    /// Has the signing keys rotated.
    pub(crate) fn rotate(&self) -> Result<(), String> {
        let id = json!({"SecretId": self.secret_id()});
        self.ask("secretsmanager_endpoint", "secretsmanager.RotateSecret", &id).map(|_| ())
    }

    /// Has all that the keyring waits for be over: its times are set back by so many seconds. Then a rotation is due.
    pub(crate) fn age_keys(&self, seconds: i64) -> Result<(), String> {
        let mut keyring: Value =
            serde_json::from_str(text(&self.secret()?, "/SecretString")).map_err(|e| e.to_string())?;
        for key in keyring.get_mut("keys").and_then(Value::as_array_mut).into_iter().flatten() {
            if let Some(since) = key.get_mut("since") {
                *since = json!(since.as_i64().ok_or("since is no number")? - seconds);
            }
        }
        let mut version = [0; 16];
        aws_lc_rs::rand::fill(&mut version).map_err(|e| e.to_string())?;
        let put = json!({"SecretId": self.secret_id(), "SecretString": keyring.to_string(),
            "ClientRequestToken": format!("{:032x}", u128::from_be_bytes(version))});
        self.ask("secretsmanager_endpoint", "secretsmanager.PutSecretValue", &put).map(|_| ())
    }

    /// The variables of a function beside its table and its secret.
    pub(crate) fn variables(&self) -> Vec<(String, String)> {
        let variables = self.ready.get("env").and_then(Value::as_object).into_iter().flatten();
        let variables = variables.map(|(name, value)| (name.clone(), value.as_str().unwrap_or_default().to_owned()));
        variables.chain([("GLIBC_TUNABLES".to_owned(), glibc_tunables().to_owned())]).collect()
    }

    /// What its table and its secret hold.
    pub(crate) fn record(&self) -> Result<Recorded, String> {
        let table = text(&self.ready, "/env/TABLE_NAME").to_owned();
        let scanned = self.ask("dynamodb_endpoint", "DynamoDB_20120810.Scan", &json!({"TableName": table}))?;
        let part = |item: &Value, name: &str| text(item, &format!("/{name}/S")).to_owned();
        let items: HashMap<_, _> = scanned
            .get("Items")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .map(|item| ((part(item, "pk"), part(item, "sk")), item.clone()))
            .collect();
        Ok(Recorded { table, items, secret: self.secret()?, secret_id: self.secret_id().to_owned() })
    }

    /// The answer to GetSecretValue.
    fn secret(&self) -> Result<Value, String> {
        let id = json!({"SecretId": self.secret_id(), "VersionStage": "AWSCURRENT"});
        self.ask("secretsmanager_endpoint", "secretsmanager.GetSecretValue", &id)
    }

    /// The secret's id.
    fn secret_id(&self) -> &str {
        text(&self.ready, "/env/KEYRING_SECRET_ID")
    }
}

/// What the template sets for the allocator of every function.
pub(crate) fn glibc_tunables() -> &'static str {
    let mut lines = include_str!("../../template.yaml").lines();
    lines.find_map(|line| line.trim().strip_prefix("GLIBC_TUNABLES: ")).unwrap_or_default()
}

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// A REST API's REQUEST event with a token, and what an answer that allows it must hold.
pub(crate) fn event_with_token(token: &str, api: &str, expected: &[(&str, Value)]) -> Event {
    let path = format!("/{api}/clients/acme/skus/AB-1");
    event(
        &path,
        &format!("/{api}/clients/{{tenant}}/skus/{{sku}}"),
        json!({"Authorization": format!("Bearer {token}"),
        "X-Partner-Supplier": "S-100"}),
        expected,
    )
}

/// A REST API's REQUEST event.
pub(crate) fn event(path: &str, resource: &str, headers: Value, expected: &[(&str, Value)]) -> Event {
    let mut headers = headers;
    for (name, value) in [
        ("Accept", "application/json"),
        ("Host", "abcdef1234.execute-api.eu-west-1.amazonaws.com"),
        ("User-Agent", "partner/1.0"),
        ("X-Amzn-Trace-Id", "Root=1-65f0a0a0-0123456789abcdef01234567"),
        ("X-Forwarded-For", "192.0.2.1"),
        ("X-Forwarded-Port", "443"),
        ("X-Forwarded-Proto", "https"),
    ] {
        if let Some(members) = headers.as_object_mut() {
            members.insert(name.into(), value.into());
        }
    }
    let listed: serde_json::Map<String, Value> =
        headers.as_object().into_iter().flatten().map(|(n, v)| (n.clone(), json!([v]))).collect();
    let body = json!({
        "type": "REQUEST", "methodArn": format!("{ARN}/GET{path}"), "resource": resource, "path": path,
        "httpMethod": "GET", "headers": headers, "multiValueHeaders": listed, "queryStringParameters": {},
        "multiValueQueryStringParameters": {}, "pathParameters": {"tenant": "acme", "sku": "AB-1"}, "stageVariables": {},
        "requestContext": {"accountId": "123456789012", "apiId": "abcdef1234", "httpMethod": "GET", "path": path,
            "requestId": "c6af9ac6-7b61-11e6-9a41-93e8deadbeef", "resourceId": "123abc", "resourcePath": resource,
            "stage": "prod", "identity": {"sourceIp": "192.0.2.1", "userAgent": "partner/1.0"}},
    });
    Event { body: body.to_string().into(), ..Event::default() }.expecting(expected)
}

/// What the client of `seed.json` asks for a token by; its secret opens nothing else.
pub(crate) fn token_form(api: &str) -> String {
    format!("grant_type=client_credentials&client_id=partner&client_secret={SECRET}&resource={api}")
}

/// A token of the benchmark's client for one of its APIs.
pub(crate) fn token(client: &mut Client, api: &str) -> Result<String, String> {
    let asked = client.ask("POST", "/oauth/token", FORM, token_form(api).as_bytes());
    let (_, answer) = asked.ok_or("dev does not answer")?;
    let answer: Value = serde_json::from_slice(&answer).map_err(|e| e.to_string())?;
    match answer.get("access_token").and_then(Value::as_str) {
        Some(token) => Ok(token.to_owned()),
        None => Err(format!("no token: {answer}")),
    }
}

/// A form request to the token endpoint, which gets its token.
pub(crate) fn token_request(api: &str) -> Event {
    posted("/oauth/token", "application/x-www-form-urlencoded", &token_form(api), 200)
}

/// A request with a body, as an HTTP API sends it, and the status that it gets.
pub(crate) fn posted(path: &str, content_type: &str, body: &str, status: u16) -> Event {
    let event = json!({
        "routeKey": format!("ANY {path}"), "rawPath": path, "rawQueryString": "",
        "headers": {"content-type": content_type, "host": "auth.example.test",
            "user-agent": "partner/1.0", "content-length": body.len().to_string()},
        "requestContext": {"accountId": "123456789012", "apiId": "abcdef1234", "domainName": "auth.example.test",
            "domainPrefix": "auth", "http": {"method": "POST", "path": path, "protocol": "HTTP/1.1",
            "sourceIp": "192.0.2.1", "userAgent": "partner/1.0"}, "requestId": "d6Wx3Hq9joEF3tA=",
            "routeKey": format!("ANY {path}"), "stage": "$default", "time": "25/Nov/2026:10:00:00 +0000",
            "timeEpoch": 1_795_600_000_000_u64},
        "body": body, "isBase64Encoded": false,
    });
    // Where API Gateway says it.
    let event = event.to_string().replacen('{', r#"{"version":"2.0","#, 1);
    Event { body: event.into(), ..Event::default() }.expecting(&[("/statusCode", json!(status))])
}
