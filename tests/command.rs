//! The operator's command as a process: what it does, what it says, how it ends.

use crate::harness::{self, Dev, basic};
use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

struct Ended {
    code: i32,
    said: String,
    complained: String,
}

impl Ended {
    fn json(&self) -> Value {
        serde_json::from_str(&self.said).unwrap_or_else(|_| panic!("{} {}", self.said, self.complained))
    }
}

/// A deployment, and the command with its variables.
struct Operator<'a>(&'a Dev);

impl Operator<'_> {
    fn run(&self, line: &str) -> Ended {
        self.with(&words(line), "")
    }

    /// With something on standard input.
    fn with(&self, arguments: &[String], input: &str) -> Ended {
        run(arguments, &self.0.variables(), input)
    }

    fn done(&self, line: &str) -> Ended {
        let ended = self.run(line);
        assert_eq!(ended.code, 0, "{line}: {}", ended.complained);
        ended
    }

    fn json(&self, line: &str) -> Value {
        self.done(&format!("{line} --output json")).json()
    }
}

fn run(arguments: &[String], variables: &[(String, String)], input: &str) -> Ended {
    let mut child = Command::new(harness::binary())
        .args(arguments)
        .env_clear()
        .envs(variables.iter().cloned())
        .env("USER", "ann")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    Ended {
        code: output.status.code().unwrap_or(-1),
        said: String::from_utf8(output.stdout).unwrap(),
        complained: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Words, divided by spaces; what stands between quotes is one.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut quoted) = (Vec::new(), false);
    for (index, part) in line.split('\'').enumerate() {
        quoted = index % 2 == 1;
        match quoted {
            true => words.push(part.to_owned()),
            false => words.extend(part.split_whitespace().map(str::to_owned)),
        }
    }
    assert!(!quoted, "{line}");
    words
}

async fn token(dev: &Dev, id: &str, secret: &str) -> u16 {
    let basic = basic(id, secret);
    let headers = [("Authorization", basic.as_str()), ("Content-Type", "application/x-www-form-urlencoded")];
    dev.call("POST", "/oauth/token", &headers, "grant_type=client_credentials").await.status
}

const REGISTER: &str = "client register 'Parts ERP' --tenant acme --business-contact 'Ann Lee <ann@parts.example>' \
    --technical-contact 'Bo Ode <bo@parts.example>' --account-manager Max --api partner --scope sku:read --sku 'AB-*' \
    --supplier S-100";

#[tokio::test]
async fn the_life_of_a_partner_at_the_command_line() {
    let dev = Dev::demo();
    let operator = Operator(&dev);
    let registered = operator.json(REGISTER);
    let id = registered["client_id"].as_str().unwrap();
    assert_eq!((&registered["state"], &registered["sponsor"]), (&json!("pending"), &json!("acme")));
    let early = operator.run(&format!("client approve {id}"));
    assert_eq!(early.code, 1);
    assert!(early.complained.contains("Due: the tenant approves"), "{}", early.complained);
    operator.done(&format!("grant approve {id} --tenant acme"));
    let pack = operator.json(&format!("client approve {id} --agreement 'MSA 1'"));
    let secret = pack["client_secret"].as_str().unwrap();
    assert_eq!(token(&dev, id, secret).await, 200);
    let shown = operator.done(&format!("client show {id}")).said;
    assert!(shown.contains("account_manager") && !shown.contains(secret), "{shown}");
    assert!(operator.done(&format!("client pack {id}")).said.contains("token_url"));

    let new = operator.json(&format!("secret rotate {id} --overlap 1h"));
    let new = new["client_secret"].as_str().unwrap();
    assert_eq!((token(&dev, id, secret).await, token(&dev, id, new).await), (200, 200));
    assert_eq!(operator.run(&format!("secret rotate {id}")).code, 1, "two are live at most");
    operator.done(&format!("secret cancel {id} --yes"));
    assert_eq!((token(&dev, id, secret).await, token(&dev, id, new).await), (200, 401));
    let new = operator.json(&format!("secret rotate {id}"));
    operator.done(&format!("secret revoke {id} --yes"));
    assert_eq!(token(&dev, id, secret).await, 401);
    assert_eq!(token(&dev, id, new["client_secret"].as_str().unwrap()).await, 200);

    operator.done(&format!("client suspend {id} --reason unpaid"));
    assert_eq!(operator.run(&format!("client promote {id}")).code, 1);
    operator.done(&format!("client resume {id}"));
    let live = operator.json(&format!("client promote {id} --new-client-id parts-live"));
    assert_eq!((&live["client_id"], &live["environment"]), (&json!("parts-live"), &json!("live")));
    // The same command reaches it by the gateway's address alone.
    let by_address = run(&words(&format!("client list --tenant acme --endpoint {}", dev.url)), &[], "");
    assert!(by_address.code == 0 && by_address.said.contains("parts-live"), "{}", by_address.complained);

    let entries = operator.json(&format!("audit query --client {id}"));
    let actors: Vec<&Value> = entries["entries"].as_array().unwrap().iter().map(|e| &e["actor"]).collect();
    assert!(actors.iter().all(|actor| **actor == "cli:ann"), "{actors:?}");
    assert!(operator.done("audit tail --tenant acme -n 5").said.contains("promoteClient"));
    let whole = operator.json("audit verify");
    assert!(whole["chains"].as_array().unwrap().iter().all(|chain| chain["state"] == "whole"));
    let head = whole["chains"].as_array().unwrap().iter().find(|c| c["chain"] == "acme").unwrap()["head"].clone();
    let head = head.as_str().unwrap();
    operator.done(&format!("client delete {id} --yes"));
    operator.done(&format!("audit verify --tenant acme --head {head}"));
    let forged = format!("{}x", &head[..head.len() - 1]);
    assert_eq!(
        operator.run(&format!("audit verify --tenant acme --head {forged}")).code,
        1,
        "a head that it never had"
    );
    let exported = operator.done("audit export --tenant acme").said;
    assert!(exported.lines().count() > 10 && exported.lines().all(|l| serde_json::from_str::<Value>(l).is_ok()));
}

#[tokio::test]
async fn keys_grants_roles_apis_tenants_tokens_and_the_keyring() {
    let dev = Dev::demo();
    let operator = Operator(&dev);
    let list = async |key: &str| {
        let headers = [("ApiKey", key), ("Content-Type", "application/json")];
        dev.call("POST", "/Supplier/Products/List", &headers, r#"{"page":1}"#).await.status
    };
    let issued = operator.json("key issue shop-server --api supplier --label ci");
    let (key, key_id) = (issued["key"].as_str().unwrap(), issued["key_id"].as_str().unwrap());
    assert_eq!(list(key).await, 200);
    let rotated = operator.json(&format!("key rotate shop-server {key_id} --overlap 1h"));
    let (new, new_id) = (rotated["key"].as_str().unwrap(), rotated["key_id"].as_str().unwrap());
    assert_eq!((list(key).await, list(new).await), (200, 200));
    operator.done(&format!("key cancel shop-server {new_id} --yes"));
    assert_eq!((list(key).await, list(new).await), (200, 401));
    operator.done(&format!("key revoke shop-server {key_id} --reason leaked --yes"));
    assert_eq!(list(key).await, 401);
    let shown = operator.done("key list shop-server").said;
    assert!(shown.contains(&key[44..]) && !shown.contains(&key[..40]), "{shown}");
    assert!(operator.json(&format!("key show shop-server {key_id}"))["last_used"].is_string());
    // A key that a partner holds already: itself, and one of which another system kept the SHA-256.
    let held = "ak_test_00112233445566778899aabbccddeeff";
    let moved = operator.with(&words("key import shop-server --api supplier"), &format!("{held}\n"));
    assert_eq!((moved.code, list(held).await), (0, 200), "{}", moved.complained);
    let (other, sha256) = (
        "ak_test_ffeeddccbbaa99887766554433221100",
        "2de54881168776ac58f7d36a5ca506b07808db3af5feb0eae083f47e02e005ba",
    );
    operator.done(&format!("key import shop-server --api supplier --sha256 {sha256}"));
    assert_eq!(list(other).await, 200);
    assert_eq!(operator.with(&words("key import shop-server --api supplier"), held).code, 1, "twice");
    assert_eq!(operator.with(&words("key import shop-server"), "ak_test_cut").code, 1);

    operator.done("tenant provision initech --name 'Initech Inc' --api partner,supplier");
    assert!(operator.done("tenant list").said.contains("Initech Inc"));
    assert_eq!(operator.json("tenant show initech")["apis"], json!(["partner", "supplier"]));
    operator.done("tenant set-apis initech --api partner");
    operator.done("tenant disable initech --yes");
    operator.done("tenant enable initech");
    operator.done("grant request gains-multi --tenant initech --scope sku:read --sku 'Z-*' --supplier Q1 --not-after 2030-01-01T00:00:00Z");
    operator.done("grant approve gains-multi --tenant initech");
    operator.done("grant change gains-multi --tenant initech --supplier Q1,Q2 --clear not_after");
    let grant = operator.json("grant show gains-multi --tenant initech");
    assert_eq!(
        (&grant["suppliers"], &grant["not_after"], &grant["skus"]),
        (&json!(["Q1", "Q2"]), &Value::Null, &json!(["Z-*"]))
    );
    let version = grant["version"].as_u64().unwrap();
    let stale =
        operator.run(&format!("grant change gains-multi --tenant initech --sku '*' --if-version {}", version - 1));
    assert_eq!(stale.code, 1, "{}", stale.complained);
    operator.done("grant revoke gains-multi --tenant initech --yes");
    assert!(operator.done("grant list --client gains-multi").said.contains("revoked"));
    assert!(operator.done("grant list --tenant initech").said.contains("gains-multi"));

    operator.done("role set buyer --scope orders:read");
    assert_eq!(operator.json("role show buyer")["scopes"], json!(["orders:read"]));
    operator.done("role delete buyer --yes");
    assert_eq!(operator.run("role show buyer").code, 1);
    let document = Path::new(env!("CARGO_MANIFEST_DIR")).join("../openapi.yaml").display().to_string();
    assert!(operator.done(&format!("api diff {document}")).said.contains("no changes"));
    operator.done(&format!("api import {document} --name reseller --alg ES256 --lifetime-seconds 60"));
    assert_eq!(operator.json("api show reseller")["token"]["alg"], "ES256");
    assert!(operator.done("api list").said.contains("warehouse"));

    let token = dev.token("gains-partner", &[]).await;
    let call = async || {
        let bearer = format!("Bearer {token}");
        let headers = [("Authorization", bearer.as_str()), ("X-Partner-Supplier", "S-100")];
        dev.call("GET", "/clients/acme/skus/AB-1", &headers, "").await.status
    };
    assert_eq!(call().await, 200);
    operator.done("token revoke-all gains-partner --yes");
    assert_eq!(call().await, 401);
    operator.done("token revoke 00112233445566778899aabbccddeeff --yes");

    let before = operator.json("keyring show")["keys"].clone();
    assert_eq!(before.as_array().unwrap().len(), 8, "of each algorithm one that signs and one that will");
    assert_eq!(operator.run("keyring force").code, 2, "nobody is there to ask");
    operator.done("keyring force --yes");
    let after = operator.json("keyring show")["keys"].clone();
    assert!(before.as_array().unwrap().iter().all(|k| !after.as_array().unwrap().iter().any(|n| n["kid"] == k["kid"])));
    operator.done("keyring rotate");
    assert!(!after.to_string().contains("\"d\""));
}

#[tokio::test]
async fn customers_and_their_passwords() {
    let dev = Dev::demo();
    let operator = Operator(&dev);
    let login = async |name: &str, password: &str| {
        let body = json!({"tenant": "acme", "username": name, "password": password}).to_string();
        dev.call("POST", "/login", &[("Content-Type", "application/json")], &body).await.status
    };
    let create = words("customer create acme bob@example.com --customer-id cu-9 --scope cart:read");
    assert_eq!(operator.with(&create, "short\n").code, 1);
    let made = operator.with(&create, "a long way to Tipperary\n");
    assert_eq!((made.code, login("bob@example.com", "a long way to Tipperary").await), (0, 200), "{}", made.complained);
    assert_eq!(operator.with(&create, "a long way to Tipperary\n").code, 1, "twice");
    let reset = words("customer reset acme bob@example.com");
    let folder = harness::folder();
    let list = folder.join("breached.txt");
    std::fs::write(&list, "correct horse battery staple\n").unwrap();
    let listed = [reset.clone(), vec!["--breached-list".into(), list.display().to_string()]].concat();
    let refused = operator.with(&listed, "correct horse battery staple");
    assert!(refused.code == 1 && refused.complained.contains("breach"), "{}", refused.complained);
    assert_eq!(operator.with(&listed, "another long password").code, 0);
    assert_eq!(login("bob@example.com", "a long way to Tipperary").await, 401);
    assert_eq!(login("bob@example.com", "another long password").await, 200);
    operator.done("customer disable acme bob@example.com");
    assert_eq!(login("bob@example.com", "another long password").await, 401);
    operator.done("customer enable acme bob@example.com");
    assert!(operator.done("customer list acme").said.contains("cu-9"));
    let hash = "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW";
    let moved = operator.with(&words("customer create acme eve --customer-id cu-8 --hash"), hash);
    assert_eq!((moved.code, login("eve", "U*U").await), (0, 200), "{}", moved.complained);
    assert_eq!(operator.json("customer show acme eve")["password_imported"], false);
    std::fs::remove_dir_all(folder).unwrap();
}

#[tokio::test]
async fn a_company_moves_in_with_its_credentials_and_out_again() {
    let dev = Dev::demo();
    let operator = Operator(&dev);
    let lines = [
        json!({"type": "tenant", "id": "initech", "apis": ["supplier", "storefront"]}),
        json!({"type": "role", "role": "lister", "scopes": ["products:list"]}),
        json!({"type": "issuer", "name": "ci", "issuer": "https://ci.example.com"}),
        json!({"type": "client", "client_id": "old one", "client_secret_sha256": "fcf730b6d95236ecd3c9fc2d92d7b6b2bb061514961aec041d6c7a7192f592e4", "kind": "single_tenant", "tenant": "initech", "apis": ["supplier"]}),
        json!({"type": "grant", "client_id": "old one", "tenant": "initech", "state": "approved", "roles": ["lister"]}),
        json!({"type": "key", "sha256": "e9fe6fd49f3cbeb1c1a01a12c5a6a3c4b4a1a3a5a7a9abadafb1b3b5b7b9bbbd", "client_id": "old one", "tenant": "initech", "apis": ["supplier"]}),
        json!({"type": "key", "key": "ak_test_11223344556677889900aabbccddeeff", "client_id": "old one", "tenant": "initech", "apis": ["supplier"]}),
        json!({"type": "customer", "tenant": "initech", "username": "eve", "customer_id": "cu-1", "password_hash": "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"}),
    ];
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    let import = |input: &str, more: &str| operator.with(&words(&format!("import - {more}")), input);
    let dry = import(&text, "--dry-run");
    assert!(dry.code == 0 && dry.said.contains("8 would be added"), "{} {}", dry.said, dry.complained);
    assert_eq!(operator.run("tenant show initech").code, 1, "nothing was written");
    let done = import(&text, "");
    assert!(done.code == 0 && done.said.contains("8 added"), "{} {}", done.said, done.complained);
    // Known by no more than the SHA-256 of its secret.
    assert_eq!(token(&dev, "old one", "secret123").await, 200);
    let key = "ak_test_11223344556677889900aabbccddeeff";
    let headers = [("ApiKey", key), ("Content-Type", "application/json")];
    assert_eq!(dev.call("POST", "/Supplier/Products/List", &headers, r#"{"page":1}"#).await.status, 200);
    let again = import(&text, "--output json").json();
    assert_eq!((&again["added"], &again["same"]), (&json!(0), &json!(8)), "{again}");

    let changed = r#"{"type":"role","role":"lister","scopes":["products:order"]}"#;
    let changed = import(changed, "--output json").json();
    assert_eq!((&changed["same"], &changed["other"]), (&json!(0), &json!(["role lister"])), "{changed}");
    assert!(operator.done("role show lister").said.contains("products:list"), "what is there stays");
    let twice = "{\"type\":\"tenant\",\"id\":\"twice\",\"apis\":[]}\n".repeat(2);
    let twice = import(&twice, "--output json").json();
    assert_eq!((&twice["added"], &twice["other"]), (&json!(1), &json!(["tenant twice"])), "{twice}");
    let noted = operator.done("audit query --tenant initech").said;
    assert!(noted.contains("import"), "in the chain of the tenant: {noted}");
    // Out, and in again elsewhere, as it is: digests and all.
    let exported = operator.done("export").said;
    assert!(!exported.contains("11223344556677889900aabbccddeeff"), "no key");
    let kinds = |kind: &str| exported.lines().filter(|l| l.contains(&format!("\"type\":\"{kind}\""))).count();
    assert_eq!((kinds("tenant"), kinds("key"), kinds("customer"), kinds("role")), (6, 6, 4, 7));
    let clients = dev.ready["demo"]["clients"].as_array().unwrap().len() + 1;
    assert_eq!(kinds("client"), clients);
    assert_eq!(kinds("issuer"), 1);
    let same = import(&exported, "--output json").json();
    assert_eq!((&same["added"], &same["other"]), (&json!(0), &json!([])), "what is there is the same: {same}");
    let folder = harness::folder();
    let file = folder.join("all.jsonl");
    operator.done(&format!("export --type client,grant --file {}", file.display()));
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    }
    let empty = Dev::start(&["--seed", "FOLDER/seed.yaml"], &[("seed.yaml", "apis: []\n".into())], &[]);
    let elsewhere = Operator(&empty);
    // Digests of another keyring would match nothing, and nobody would notice.
    let refused = elsewhere.with(&words("import -"), &exported);
    assert!(refused.code == 1 && refused.complained.contains("another keyring"), "{}", refused.complained);
    let (_, rest) = exported.split_once('\n').unwrap();
    let moved = elsewhere.with(&words("import -"), rest);
    assert!(moved.code == 0 && moved.said.contains(" 0 were there already"), "{} {}", moved.said, moved.complained);
    assert!(elsewhere.done("client list --tenant initech").said.contains("old one"));

    // Of a file with a mistake nothing is written, and the mistake is named by its line.
    let rows = [
        ("not JSON", "{\"type\":\"tenant\",\"id\":\"t1\",\"apis\":[]}\n{", "-:2: not one JSON value"),
        ("an unknown type", "{\"type\":\"planet\"}", "-:1: type:"),
        ("a member that there is not", "{\"type\":\"tenant\",\"id\":\"t1\",\"apis\":[],\"x\":1}", "unknown field `x`"),
        (
            "a secret of another type",
            "{\"type\":\"client\",\"client_id\":\"c\",\"client_secret\":987654321,\"kind\":\"multi_tenant\"}",
            "client_secret: expected",
        ),
        (
            "three secrets",
            "{\"type\":\"client\",\"client_id\":\"c\",\"client_secret\":\"s\",\"kind\":\"multi_tenant\",\"previous_secrets\":[{\"secret\":\"a\",\"expires_at\":\"2030-01-01T00:00:00Z\"},{\"secret\":\"b\",\"expires_at\":\"2030-01-01T00:00:00Z\"}]}",
            "previous_secrets: one at most",
        ),
        (
            "no tenant",
            "{\"type\":\"client\",\"client_id\":\"c\",\"client_secret\":\"s\",\"kind\":\"single_tenant\"}",
            "tenant: missing",
        ),
        (
            "a hash that costs too much",
            "{\"type\":\"customer\",\"login_ref\":\"x\",\"record\":{\"tenant\":\"t\",\"customer_id\":\"c\",\"password\":\"$2b$31$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW\",\"scopes\":[],\"state\":\"active\"}}",
            "no hash that is taken",
        ),
        ("no secret", "{\"type\":\"client\",\"client_id\":\"c\",\"kind\":\"multi_tenant\"}", "client_secret"),
        (
            "a digest that is cut",
            "{\"type\":\"key\",\"sha256\":\"00\",\"client_id\":\"c\",\"tenant\":\"t\",\"apis\":[]}",
            "64 hex digits",
        ),
    ];
    for (sentence, input, text) in rows {
        let ended = import(input, "");
        assert_eq!(ended.code, 2, "{sentence}: {}", ended.complained);
        assert!(
            ended.complained.contains(text) && !ended.complained.contains("987654321"),
            "{sentence}: {}",
            ended.complained
        );
    }
    assert_eq!(operator.run("tenant show t1").code, 1, "nothing of a file with a mistake");
    std::fs::remove_dir_all(folder).unwrap();
}

/// `--output json` is for programs: each decision as a function writes it, and nothing else on standard output.
#[tokio::test]
async fn programs_read_dev_and_mistakes_as_json() {
    let folder = harness::folder();
    let file = folder.join("ready.json");
    let mut child = Command::new(harness::binary())
        .args(["--output", "json", "dev", "--port", "0", "--ready-file"])
        .arg(&file)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut told = BufReader::new(child.stderr.take().unwrap()).lines();
    assert!(told.any(|line| line.unwrap().starts_with("ready file written")), "it runs");
    let ready: Value = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
    let url = ready["gateway"].as_str().unwrap();
    let id = harness::raw(url, "GET", "/nowhere", &[], b"").await.header("x-amzn-requestid").unwrap().to_owned();
    let line: Value = serde_json::from_str(&said.next().unwrap().unwrap()).unwrap();
    assert_eq!((&line["request_id"], &line["outcome"]), (&json!(id), &json!("refused")), "{line}");

    // The same `dev` is all that `events` needs to know.
    let events = folder.join("events");
    std::fs::create_dir(&events).unwrap();
    let list = "a:\n  client: gains-partner\n  tenant: acme\n";
    std::fs::write(events.join("tokens.yaml"), list).unwrap();
    std::fs::write(events.join("a.json"), r#"{"authorizationToken":"Bearer eyJh.eyJi.eyJj"}"#).unwrap();
    let ended = run(&words(&format!("events {} --endpoint {url}", events.display())), &[], "");
    assert!(ended.code == 0 && ended.said.starts_with("1 events carry fresh tokens"), "{}", ended.complained);

    let ended = run(&words("client show --output json"), &[], "");
    let problem: Value = serde_json::from_str(&ended.complained).unwrap_or_default();
    assert!(ended.code == 2 && problem.to_string().contains("required"), "{}", ended.complained);
    child.kill().unwrap();
    child.wait().unwrap();
    std::fs::remove_dir_all(folder).unwrap();
}

#[tokio::test]
async fn a_refusal_is_explained_by_the_decision_itself() {
    let dev = Dev::demo();
    let operator = Operator(&dev);
    let token = dev.token("gains-reader", &[]).await;
    let bearer = format!("Bearer {token}");
    let headers =
        [("Authorization", bearer.as_str()), ("Content-Type", "application/json"), ("X-Partner-Supplier", "S-100")];
    let refused = dev.call("PUT", "/clients/acme/skus/AB-1", &headers, r#"{"vendorLeadTimeDays":1}"#).await;
    assert_eq!(refused.outcome(), (403, -30));
    let id = refused.json["request_id"].as_str().unwrap();
    assert!(dev.said_so(&format!("countersign explain --request-id {id}")), "the line names the command");
    let told = operator.done(&format!("explain --request-id {id}")).said;
    for text in [
        "ok   client active (client gains-reader is active)",
        "FAIL scope",
        "wanted sku:write; granted sku:read",
        "To allow it: countersign grant change gains-reader --tenant acme",
    ] {
        assert!(told.contains(text), "{text} in:\n{told}");
    }
    assert!(!told.contains(&token));
    assert_eq!(operator.run("explain --request-id nothing").code, 1);
    // The lines of a log say the same, where no dev runs.
    let folder = harness::folder();
    let log = folder.join("log");
    let line = json!({"time": "t", "request_id": "r1", "kind": "jwt", "outcome": "refused", "code": -31, "error": "tenant_not_granted", "why": "the grant is not approved yet", "client_id": "c1", "tenant": "acme", "checks": [{"name": "client known", "passed": true}, {"name": "tenant granted", "passed": false, "found": "the grant is not approved yet"}]});
    std::fs::write(&log, format!("2026-11-25T00:00:00Z {line}\nnoise\n")).unwrap();
    let told = operator.done(&format!("explain --request-id r1 --log {}", log.display())).said;
    assert!(told.contains("To allow it: countersign grant approve c1 --tenant acme"), "{told}");

    // Events are decided anew, by the same code: what each expects is what is told.
    let cases = crate::events::cases(&dev);
    let mut count = 0;
    for case in cases.iter().filter(|c| ["jwt-authorizer", "api-key-authorizer"].contains(&c.function())) {
        if !case.name.contains(".rest-") {
            continue;
        }
        let file = folder.join(format!("{}.json", case.name));
        std::fs::write(&file, &case.text).unwrap();
        let allowed = case.name.contains(".allowed");
        let ended = operator.run(&format!("explain {}", file.display()));
        if ended.code == 2 {
            continue; // No authorizer's event at all.
        }
        assert_eq!(ended.code, 0, "{}: {}", case.name, ended.complained);
        assert_eq!(ended.said.contains("\nAllowed."), allowed, "{}: {}", case.name, ended.said);
        assert!(allowed || ended.said.contains("To allow it: "), "{}: {}", case.name, ended.said);
        count += 1;
    }
    assert!(count > 30, "{count} events");
    std::fs::remove_dir_all(folder).unwrap();
}

#[tokio::test]
async fn each_way_to_end_has_its_number_and_its_words() {
    let dev = Dev::demo();
    let operator = Operator(&dev);
    let rows = [
        ("done", "client show gains-partner", 0, ""),
        ("refused", "client show nobody", 1, "There is no client nobody."),
        ("refused by a rule", "client approve gains-partner", 1, "The client is active"),
        ("an unknown command", "client dance", 2, "unrecognized subcommand"),
        ("an argument that is missing", "grant approve gains-partner", 2, "--tenant"),
        ("a name that is none", "tenant show a/b", 2, "tenant must be 1 to 64"),
        ("a time that is none", "secret rotate gains-partner --overlap soon", 2, "90s, 30m, 24h"),
        (
            "a contact that is none",
            "client register X --tenant acme --business-contact ann --technical-contact bo",
            2,
            "Ann Lee <ann@example.com>",
        ),
        ("nobody to ask", "client delete gains-partner", 2, "say --yes"),
        ("a role of nothing", "role set buyer", 2, "--scope"),
        ("a secret that ends at once", "secret rotate gains-partner --overlap 0s", 2, "say --yes"),
        ("nothing typed", "key import shop-server", 2, "nothing came on standard input"),
    ];
    for (sentence, line, code, text) in rows {
        let ended = operator.run(line);
        assert_eq!(ended.code, code, "{sentence}: {} {}", ended.said, ended.complained);
        assert!(ended.complained.contains(text), "{sentence}: {}", ended.complained);
    }
    let problem: Value = serde_json::from_str(&operator.run("client show nobody --output json").complained).unwrap();
    assert_eq!((&problem["error"], &problem["code"]), (&json!("not_found"), &json!(-42)));
    let mut dead = dev.variables();
    for (name, value) in &mut dead {
        if name.starts_with("AWS_ENDPOINT") {
            *value = "http://127.0.0.1:1".into();
        }
    }
    let ended = run(&words("client list"), &dead, "");
    assert_eq!(ended.code, 3, "unavailable: {}", ended.complained);
    let nobody = run(&words("client list --endpoint http://127.0.0.1:1"), &[], "");
    assert!(
        nobody.code == 3 && nobody.complained.contains("http://127.0.0.1:1: no connection"),
        "{}",
        nobody.complained
    );
    let nothing = run(&words("client list"), &[], "");
    assert!(nothing.code == 2 && nothing.complained.contains("ISSUER: must be set"), "{}", nothing.complained);
    // What would be done is not.
    let would = operator.done("client suspend gains-partner --dry-run").said;
    assert!(would.contains("Nothing was written") && would.contains("suspended"), "{would}");
    assert_eq!(operator.json("client show gains-partner")["state"], "active");
    assert!(operator.json("key issue shop-server --api supplier --dry-run")["key"].is_null(), "no key that counts");
    // Colours are for terminals.
    assert!(!operator.done("client list").said.contains('\u{1b}'));
    for shell in ["bash", "zsh", "fish"] {
        assert!(operator.done(&format!("completions {shell}")).said.contains("keyring"), "{shell}");
    }

    let well = operator.json("doctor");
    assert!(well["checks"].as_array().unwrap().iter().all(|c| c["result"] == "ok"), "{well}");
    let wrong = |name: &str, value: &str| {
        let mut variables = dev.variables();
        for (n, v) in &mut variables {
            if n == name {
                value.clone_into(v);
            }
        }
        let ended = run(&words("doctor --output json"), &variables, "");
        assert_eq!(ended.code, 1, "{name}: {}", ended.complained);
        let checks = ended.json()["checks"].clone();
        let wrong: Vec<String> = checks
            .as_array()
            .unwrap()
            .iter()
            .filter(|c| c["result"] == "WRONG")
            .map(|c| {
                assert!(c["mend"].is_string());
                c["check"].as_str().unwrap().to_owned()
            })
            .collect();
        wrong
    };
    let rows = [
        ("another table", "TABLE_NAME", "nothing", vec!["table", "permission to read", "permission to write", "APIs"]),
        ("another secret", "KEYRING_SECRET_ID", "nothing", vec!["keyring"]),
        ("another issuer", "ISSUER", "http://127.0.0.1:1", vec!["issuer"]),
    ];
    for (sentence, name, value, expected) in rows {
        assert_eq!(wrong(name, value), expected, "{sentence}");
    }
}

#[tokio::test]
async fn a_client_is_given_keys_and_workloads_and_loses_them_again() {
    let dev = Dev::demo();
    let operator = Operator(&dev);
    let folder = harness::folder();
    let (private, public) = crate::standards::pair(auth_core::jws::Algorithm::ES256, "k1");
    let file = |name: &str, keys: Value| {
        let path = folder.join(name);
        std::fs::write(&path, json!({ "keys": keys }).to_string()).unwrap();
        path.display().to_string()
    };
    let good = file("good.json", json!([public]));
    let rows = [
        ("a private key", file("private.json", json!([private])), "jwks.keys[0].d: a private member"),
        ("an HMAC key", file("hmac.json", json!([{"kty": "oct", "kid": "k", "alg": "HS256", "k": "AA"}])), "kty"),
        ("no key", file("none.json", json!([])), "jwks.keys: 1 to 10"),
        ("one name twice", file("twice.json", json!([public, public])), "jwks.keys[1].kid"),
    ];
    for (sentence, path, complaint) in rows {
        let ended = operator.run(&format!("client change insurer --jwks {path}"));
        assert!(ended.code == 1 && ended.complained.contains(complaint), "{sentence}: {}", ended.complained);
    }
    let rows = [
        ("http", "--jwks-uri http://keys.example.com/", 2, "must be an https URL"),
        ("an address", "--jwks-uri https://127.0.0.1/", 2, "must be an https URL"),
        ("an issuer that nobody trusts", "--workload 'https://ci.example.com main'", 1, "is not trusted here"),
    ];
    for (sentence, option, code, complaint) in rows {
        let ended = operator.run(&format!("client change insurer {option}"));
        assert!(ended.code == code && ended.complained.contains(complaint), "{sentence}: {}", ended.complained);
    }
    let changed = operator.json(&format!("client change insurer --jwks {good}"));
    assert_eq!(changed["jwks"]["keys"][0]["kid"], "k1");
    operator.done("issuer set ci --issuer https://ci.example.com");
    assert_eq!(operator.run("issuer set other --issuer https://ci.example.com").code, 1, "one name for one issuer");
    let changed = operator.json("client change insurer --workload 'https://ci.example.com main'");
    assert_eq!(changed["workload_identities"], json!([{"issuer": "https://ci.example.com", "subject": "main"}]));
    assert_eq!(changed["jwks"]["keys"][0]["kid"], "k1", "what is not named stays");
    let changed = operator.json("client change insurer --jwks-uri https://keys.example.com/");
    assert_eq!((&changed["jwks"], &changed["jwks_uri"]), (&json!(null), &json!("https://keys.example.com/")));
    let changed = operator.json("client change insurer --no-keys --no-workloads");
    assert_eq!((&changed["jwks_uri"], &changed["workload_identities"]), (&json!(null), &json!([])));

    // A client that needs no secret gets none; its live client does, because nothing of a test client proves it.
    let contact = "'Ann <ann@parts.example>'";
    let register = format!(
        "client register Keyed --client-id keyed --tenant acme --api partner --scope sku:read --jwks {good} \
         --business-contact {contact} --technical-contact {contact}"
    );
    operator.done(&register);
    operator.done("grant approve keyed --tenant acme");
    let pack = operator.json("client approve keyed");
    assert_eq!(pack["client_secret"], json!(null), "{pack}");
    let claims = json!({"iss": "keyed", "sub": "keyed", "aud": dev.ready["issuer"], "jti": "1",
        "exp": crate::standards::now() + 60});
    let assertion = crate::standards::signed(&private, "JWT", &claims);
    let parameters = [
        ("grant_type", "client_credentials"),
        ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
        ("client_assertion", &assertion),
    ];
    assert_eq!(crate::standards::post(&dev, "/oauth/token", &parameters).await.status, 200);
    assert!(operator.json("client promote keyed")["client_secret"].is_string());
    assert!(operator.done("issuer list").said.contains("https://ci.example.com"));
    operator.done("issuer delete ci --yes");
    assert_eq!(operator.run("issuer delete ci --yes").code, 1, "there is none any more");
    assert!(operator.done("audit query").said.contains("issuer ci"));
    std::fs::remove_dir_all(folder).unwrap();
}

#[expect(clippy::disallowed_methods, reason = "how long a process lives is a time of the wall clock")]
fn instant() -> Instant {
    Instant::now()
}

/// Whenever a command is killed, what it was to do is done as a whole, with its entry in the audit, or not at all.
/// `KILLS` says how many are.
#[tokio::test]
async fn a_command_that_is_killed_has_done_all_or_nothing() {
    let kills: u32 = std::env::var("KILLS").map_or(120, |kills| kills.parse().unwrap());
    let dev = Dev::demo();
    let operator = Operator(&dev);
    let begun = instant();
    operator.done("tenant provision whole --api partner");
    let whole = begun.elapsed();
    for n in 0..kills {
        let mut child = Command::new(harness::binary())
            .args(["tenant", "provision", &format!("t-{n}"), "--api", "partner"])
            .env_clear()
            .envs(dev.variables())
            .env("USER", "ann")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // From its start to a little past its end, each time at another moment.
        std::thread::sleep(whole * (n * 37 % kills) / kills * 6 / 5);
        let _ = child.kill();
        child.wait().unwrap();
    }
    let (mut there, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = operator.json(&format!("tenant list --limit 100 {cursor}"));
        let ids = page["tenants"].as_array().unwrap().iter().filter_map(|t| t["tenant"].as_str());
        there.extend(ids.filter(|id| id.starts_with("t-")).map(str::to_owned));
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("--cursor {next}"),
            None => break,
        }
    }
    let count = u32::try_from(there.len()).unwrap();
    assert!((5..kills - 5).contains(&count), "{count} of {kills} were done: they were killed at the wrong moments");
    for n in 0..kills {
        let id = format!("t-{n}");
        let entries = operator.json(&format!("audit query --tenant {id}"));
        let entries = entries["entries"].as_array().unwrap().len();
        assert_eq!(entries, usize::from(there.contains(&id)), "{id}: an entry for what was done, and for no more");
    }
    let chains = operator.json("audit verify");
    assert!(chains["chains"].as_array().unwrap().iter().all(|chain| chain["state"] == "whole"), "{chains}");
}
