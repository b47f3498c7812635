//! Statements of the source documents that administration shows, each twice: through the command and through the API.
//! Each row begins with the number of its statement: `r1_23` is statement 1.23.

use crate::harness::{self, Answer, Dev, basic};
use serde_json::{Value, json};
use std::process::{Command, Stdio};

/// How a command of the core is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Command,
    Api,
}

struct Desk<'a> {
    way: Way,
    dev: &'a Dev,
    token: String,
}

impl Desk<'_> {
    /// Gives a command by its name and its fields: whether it was done, and what came of it.
    async fn give(&self, name: &str, fields: Value) -> (bool, Value) {
        match self.way {
            Way::Api => self.over_http(name, fields).await,
            Way::Command => self.at_the_command_line(name, &fields),
        }
    }

    async fn done(&self, name: &str, fields: Value) -> Value {
        let (done, answer) = self.give(name, fields).await;
        assert!(done, "{:?} {name}: {answer}", self.way);
        answer
    }

    async fn over_http(&self, name: &str, mut fields: Value) -> (bool, Value) {
        let all = auth_core::admin::operations::OPERATIONS;
        let operation = all.iter().find(|o| o.id == name).unwrap();
        let members = fields.as_object_mut().unwrap();
        let mut path = operation.path.to_owned();
        for part in operation.path.split('{').skip(1).map(|rest| rest.split('}').next().unwrap()) {
            let value = members.remove(part).unwrap();
            path = path.replace(&format!("{{{part}}}"), value.as_str().unwrap());
        }
        let body = if members.is_empty() || operation.reads() { String::new() } else { fields.to_string() };
        let answer = self.dev.with_token(&self.token, operation.method, &path, &body).await;
        ([200, 201].contains(&answer.status), answer.json)
    }

    fn at_the_command_line(&self, name: &str, fields: &Value) -> (bool, Value) {
        let text = |field: &str| fields[field].as_str().unwrap_or_default().to_owned();
        let mut words: Vec<String> = Vec::new();
        let mut say = |line: &str| words.extend(line.split(' ').map(str::to_owned));
        match name {
            "registerClient" => say("client register"),
            "approveClient" => say(&format!("client approve {}", text("client_id"))),
            "showClient" => say(&format!("client show {}", text("client_id"))),
            "changeClient" => say(&format!("client change {}", text("client_id"))),
            "suspendClient" => say(&format!("client suspend {}", text("client_id"))),
            "promoteClient" => say(&format!("client promote {}", text("client_id"))),
            "rotateSecret" => {
                say(&format!("secret rotate {} --overlap {}s", text("client_id"), fields["overlap_seconds"]))
            }
            "revokeSecret" => say(&format!("secret revoke {} --yes", text("client_id"))),
            "approveGrant" => say(&format!("grant approve {} --tenant {}", text("client_id"), text("tenant"))),
            "requestGrant" => say(&format!("grant request {} --tenant {}", text("client_id"), text("tenant"))),
            "changeGrant" => say(&format!("grant change {} --tenant {}", text("client_id"), text("tenant"))),
            "revokeGrant" => say(&format!("grant revoke {} --tenant {} --yes", text("client_id"), text("tenant"))),
            "issueKey" => say(&format!("key issue {}", text("client_id"))),
            "rotateKey" => {
                say(&format!(
                    "key rotate {} {} --overlap {}s",
                    text("client_id"),
                    text("key_id"),
                    fields["overlap_seconds"]
                ));
            }
            "revokeKey" => say(&format!("key revoke {} {} --yes", text("client_id"), text("key_id"))),
            "setRole" => say(&format!("role set {}", text("role"))),
            "provisionTenant" => say(&format!("tenant provision {}", text("tenant"))),
            "queryTenantAudit" => say(&format!("audit query --tenant {}", text("tenant"))),
            other => panic!("{other} is not spelt here"),
        }
        // What is left is spelt alike.
        let flags = [
            ("apis", "--api"),
            ("scopes", "--scope"),
            ("roles", "--role"),
            ("skus", "--sku"),
            ("suppliers", "--supplier"),
        ];
        for (field, flag) in flags {
            for value in fields[field].as_array().into_iter().flatten() {
                words.extend([flag.to_owned(), value.as_str().unwrap().to_owned()]);
            }
        }
        let texts = [
            ("account_manager", "--account-manager"),
            ("kind", "--kind"),
            ("agreement", "--agreement"),
            ("client_id", "--client-id"),
        ];
        for (field, flag) in texts {
            if (field != "client_id" || name == "registerClient") && fields[field].is_string() {
                words.extend([flag.to_owned(), text(field)]);
            }
        }
        if name == "registerClient" {
            words.push(text("name"));
            if fields["tenant"].is_string() {
                words.extend(["--tenant".to_owned(), text("tenant")]);
            }
            if fields["internal"] == true {
                words.push("--internal".into());
            }
            if fields["self_signing"] == true {
                words.push("--self-signing".into());
            }
            for (who, flag) in [("business", "--business-contact"), ("technical", "--technical-contact")] {
                let contact = &fields["contacts"][who];
                if contact.is_object() {
                    let contact =
                        format!("{} <{}>", contact["name"].as_str().unwrap(), contact["email"].as_str().unwrap());
                    words.extend([flag.to_owned(), contact]);
                }
            }
        }
        let output = Command::new(harness::binary())
            .args(&words)
            .args(["--output", "json"])
            .envs(self.dev.variables())
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let said = if output.status.success() { &output.stdout } else { &output.stderr };
        (output.status.success(), serde_json::from_slice(said).unwrap_or(json!(String::from_utf8_lossy(said))))
    }
}

/// A table of sentences; says all that do not hold, not only the first.
struct Table(Way, Vec<String>);

impl Table {
    fn row<T: PartialEq + std::fmt::Debug>(&mut self, sentence: &str, got: T, want: T) {
        if got != want {
            self.1.push(format!("{:?}: {sentence}\n    got {got:?}, want {want:?}", self.0));
        }
    }
}

async fn token_answer(dev: &Dev, id: &str, secret: &str, more: &str) -> Answer {
    let basic = basic(id, secret);
    let headers = [("Authorization", basic.as_str()), ("Content-Type", "application/x-www-form-urlencoded")];
    dev.call("POST", "/oauth/token", &headers, &format!("grant_type=client_credentials{more}")).await
}

async fn sku(dev: &Dev, token: &str, method: &str, path: &str) -> (u16, i64) {
    let bearer = format!("Bearer {token}");
    let headers =
        [("Authorization", bearer.as_str()), ("X-Partner-Supplier", "S-100"), ("Content-Type", "application/json")];
    let body = if method == "PUT" { r#"{"vendorLeadTimeDays":1}"# } else { "" };
    dev.call(method, path, &headers, body).await.outcome()
}

fn contacts() -> Value {
    let contact = |name: &str| json!({"name": name, "email": "ann@parts.example"});
    json!({"business": contact("Ann"), "technical": contact("Bo")})
}

#[tokio::test]
async fn each_statement_through_the_command_and_through_the_api() {
    for way in [Way::Command, Way::Api] {
        let dev = Dev::demo();
        let desk = Desk { way, dev: &dev, token: dev.token("operator", &[]).await };
        let mut t = Table(way, Vec::new());
        partners(&desk, &mut t).await;
        keys(&desk, &mut t).await;
        accounts(&desk, &mut t).await;
        kinds(&desk, &mut t).await;
        assert!(t.1.is_empty(), "{} rows do not hold:\n{}", t.1.len(), t.1.join("\n"));
    }
}

/// Document 0: partners of tenants.
async fn partners(desk: &Desk<'_>, t: &mut Table) {
    let dev = desk.dev;
    let register = json!({"tenant": "acme", "name": "Parts ERP", "contacts": contacts(), "apis": ["partner"],
        "scopes": ["sku:read", "sku:write"], "skus": ["AB-*"], "suppliers": ["S-100"]});
    let mut without = register.clone();
    without["contacts"].as_object_mut().unwrap().remove("technical");
    t.row(
        "r0_24 a registration without technical information is refused",
        desk.give("registerClient", without).await.0,
        false,
    );
    let registered = desk.done("registerClient", register).await;
    let id = registered["client_id"].as_str().unwrap();
    t.row("r0_23 the record names the sponsoring tenant", registered["sponsor"].clone(), json!("acme"));
    t.row("r0_24 business information is kept", registered["contacts"]["business"]["name"].clone(), json!("Ann"));
    t.row("r0_24 and technical information", registered["contacts"]["technical"]["name"].clone(), json!("Bo"));
    t.row(
        "r0_03 before its tenant has approved, the operator cannot",
        desk.give("approveClient", json!({"client_id": id})).await.0,
        false,
    );
    t.row("r0_03 a pending partner gets no token", token_answer(dev, id, "x", "").await.status, 401);
    let grant = json!({"tenant": "acme", "client_id": id});
    desk.done("approveGrant", grant.clone()).await;
    let pack = desk.done("approveClient", json!({"client_id": id})).await;
    let secret = pack["client_secret"].as_str().unwrap();
    t.row("r0_04 approval yields id and secret", pack["client_id"].clone(), json!(id));
    t.row("r0_25 and supplier codes", pack["supplier_codes"].clone(), json!(["S-100"]));
    let shown = desk.done("showClient", json!({"client_id": id})).await;
    t.row("r0_04 which are shown once", shown.to_string().contains(secret), false);
    let answer = token_answer(dev, id, secret, "").await;
    t.row("r0_03 an approved partner gets a token", answer.status, 200);
    let token = answer.json["access_token"].as_str().unwrap();
    let at = "/clients/acme/skus/AB-1";
    t.row("r0_12 an SKU of the grant", sku(dev, token, "GET", at).await, (200, 0));
    t.row("r0_12 another", sku(dev, token, "GET", "/clients/acme/skus/ZZ-1").await, (403, -32));
    t.row("r0_13 an operation of the grant", sku(dev, token, "PUT", at).await, (200, 0));
    let mut narrower = grant.clone();
    narrower["scopes"] = json!(["sku:read"]);
    desk.done("changeGrant", narrower).await;
    t.row("r0_13 one that was taken away", sku(dev, token, "PUT", at).await, (403, -30));
    t.row("r0_13 the other stands", sku(dev, token, "GET", at).await, (200, 0));
    let echo = dev.with_token(token, "GET", "/test/partner", "").await;
    t.row("r0_26 the test endpoint says who one is", echo.json["authorizer"]["client_id"].clone(), json!(id));

    for tenant in ["acme", "globex"] {
        let grant = json!({"tenant": tenant, "client_id": "gains-multi"});
        let _ = desk.give("revokeGrant", grant.clone()).await;
        let mut wanted = grant.clone();
        wanted["scopes"] = json!(["sku:read"]);
        wanted["skus"] = json!(["*"]);
        wanted["suppliers"] = json!(["S-100"]);
        desk.done("requestGrant", wanted).await;
        desk.done("approveGrant", grant).await;
    }
    let multi = async |tenant: &str| dev.token("gains-multi", &[("tpl", tenant)]).await;
    let (acme, globex) = (multi("acme").await, multi("globex").await);
    let there = |tenant: &str| format!("/clients/{tenant}/skus/AB-1");
    t.row("r0_10 one partner acts for one tenant", sku(dev, &acme, "GET", &there("acme")).await, (200, 0));
    t.row("r0_10 and for another", sku(dev, &globex, "GET", &there("globex")).await, (200, 0));
    desk.done("revokeGrant", json!({"tenant": "acme", "client_id": "gains-multi"})).await;
    t.row("r0_11 a withdrawn grant refuses the next call", sku(dev, &acme, "GET", &there("acme")).await, (403, -31));
    t.row("r0_11 the other stands", sku(dev, &globex, "GET", &there("globex")).await, (200, 0));
    let audit = desk.done("queryTenantAudit", json!({"tenant": "acme"})).await;
    let actions: Vec<&str> = audit["entries"].as_array().unwrap().iter().filter_map(|e| e["action"].as_str()).collect();
    for action in ["registerClient", "approveGrant", "approveClient", "changeGrant", "revokeGrant"] {
        t.row(&format!("r0_14 the audit has {action}"), actions.contains(&action), true);
    }

    let live = desk.done("promoteClient", json!({"client_id": id})).await;
    let (live_id, live_secret) = (live["client_id"].as_str().unwrap(), live["client_secret"].as_str().unwrap());
    t.row("r0_27 promotion gives new credentials", (live_id != id, live_secret != secret), (true, true));
    t.row("r0_27 for production", live["environment"].clone(), json!("live"));
    t.row(
        "r0_27 which are not for the test environment",
        token_answer(dev, live_id, live_secret, "").await.status,
        401,
    );
}

/// Document 1: keys. Document 2: rotation.
async fn keys(desk: &Desk<'_>, t: &mut Table) {
    let dev = desk.dev;
    let issued = desk.done("issueKey", json!({"client_id": "shop-server", "apis": ["supplier"]})).await;
    let key = issued["key"].as_str().unwrap().to_owned();
    let list = async |header: &str, key: &str| {
        let headers = [(header, key), ("Content-Type", "application/json")];
        dev.call("POST", "/Supplier/Products/List", &headers, r#"{"page":1}"#).await.status
    };
    t.row(
        "r1_19 an issued key has the documents' shape, and a checksum",
        (key.starts_with("ak_test_"), key.len()),
        (true, 48),
    );
    t.row("r1_16 it has no end", issued["expires_at"].clone(), Value::Null);
    for header in ["ApiKey", "apikey", "APIKEY"] {
        t.row(&format!("r1_17 r1_18 r1_20 in the header {header}"), list(header, &key).await, 200);
    }
    let rotate = json!({"client_id": "shop-server", "key_id": issued["key_id"], "overlap_seconds": 3600});
    let new = desk.done("rotateKey", rotate).await;
    let new_key = new["key"].as_str().unwrap();
    t.row("r1_22 rotation yields a new key at once", list("ApiKey", new_key).await, 200);
    t.row("r1_22 and the old one has its overlap", list("ApiKey", &key).await, 200);
    desk.done("revokeKey", json!({"client_id": "shop-server", "key_id": issued["key_id"]})).await;
    t.row("r1_23 a revoked key is refused on the next request", list("ApiKey", &key).await, 401);
    t.row("r1_23 the new one stands", list("ApiKey", new_key).await, 200);
    let hidden = desk.done("showClient", json!({"client_id": "shop-server"})).await.to_string();
    t.row("r1_21 a key is shown once", hidden.contains(new_key), false);

    let old = dev.secret("reseller");
    let rotated = desk.done("rotateSecret", json!({"client_id": "reseller", "overlap_seconds": 3600})).await;
    let new = rotated["client_secret"].as_str().unwrap();
    let both =
        (token_answer(dev, "reseller", &old, "").await.status, token_answer(dev, "reseller", new, "").await.status);
    t.row("r2_20 both secrets are good in the overlap", both, (200, 200));
    desk.done("revokeSecret", json!({"client_id": "reseller"})).await;
    t.row("r2_20 the old one is refused after", token_answer(dev, "reseller", &old, "").await.status, 401);
    let token = token_answer(dev, "reseller", new, "").await.json["access_token"].as_str().unwrap().to_owned();
    let order = async || {
        dev.with_token(&token, "POST", "/Orders/Create", r#"{"lines":[{"sku":"A","quantity":1}]}"#).await.outcome()
    };
    t.row("r1_13 what the server says of scopes", order().await, (200, 0));
    desk.done("setRole", json!({"role": "buyer", "scopes": ["orders:read"]})).await;
    t.row("r1_13 r3_18 r4_27 counts on the next decision, of the same token", order().await, (403, -30));
    desk.done("setRole", json!({"role": "clerk", "scopes": ["orders:create"]})).await;
    desk.done("changeGrant", json!({"tenant": "acme", "client_id": "reseller", "roles": ["buyer", "clerk"]})).await;
    let scope = token_answer(dev, "reseller", new, "").await.json["scope"].clone();
    t.row("r4_28 a set of roles counts together", scope, json!("orders:create orders:read"));
}

/// Document 3: accounts of the gateway.
async fn accounts(desk: &Desk<'_>, t: &mut Table) {
    let dev = desk.dev;
    let register = json!({"tenant": "acme", "name": "Insurer B2B", "contacts": contacts(), "apis": ["messages"],
        "account_manager": "Max", "roles": ["claims-handler"]});
    let registered = desk.done("registerClient", register.clone()).await;
    let id = registered["client_id"].as_str().unwrap();
    t.row(
        "r3_04 an account is asked for through its account manager",
        registered["account_manager"].clone(),
        json!("Max"),
    );
    t.row("r3_01 a new account may use no API", registered["apis"].clone(), json!([]));
    desk.done("approveGrant", json!({"tenant": "acme", "client_id": id})).await;
    let pack = desk.done("approveClient", json!({"client_id": id, "agreement": "SA-2026-7"})).await;
    let secret = pack["client_secret"].as_str().unwrap().to_owned();
    t.row("r3_05 id and secret are issued", secret.len() > 40, true);
    for member in ["token_url", "environment", "issuer", "jwks_url"] {
        t.row(&format!("r3_06 the pack has {member}"), pack[member].is_string(), true);
    }
    t.row("r3_06 and each API's address", pack["apis"][0]["url"].clone(), json!(dev.url));
    let shown = desk.done("showClient", json!({"client_id": id})).await;
    t.row("r3_07 the assignment has its agreement", shown["assigned"][0]["agreement"].clone(), json!("SA-2026-7"));
    t.row("r3_07 and its date", shown["assigned"][0]["since"].is_string(), true);
    let token = token_answer(dev, id, &secret, "").await.json["access_token"].as_str().unwrap().to_owned();
    let post = async |path: &str| {
        dev.with_token(&token, "POST", path, r#"{"header":{"messageId":"m"},"body":{}}"#).await.status
    };
    t.row("r3_03 r3_17 a message type of the account", post("/messages/claim").await, 200);
    t.row("r3_17 another", post("/messages/quote").await, 401);
    let mut roles = json!({"role": "claims-handler", "scopes": ["message:quote"]});
    desk.done("setRole", roles.take()).await;
    t.row("r3_18 a role decides of message types, at once", post("/messages/claim").await, 401);
    desk.done("setRole", json!({"role": "claims-handler", "scopes": ["message:claim"]})).await;
    desk.done("changeClient", json!({"client_id": id, "apis": ["messages", "partner"]})).await;
    let shown = desk.done("showClient", json!({"client_id": id})).await;
    t.row("r3_07 the list can be edited", shown["apis"].clone(), json!(["messages", "partner"]));
    let second = desk.done("registerClient", register).await;
    t.row("r3_15 each application has credentials of its own", second["client_id"] != json!(id), true);
    t.row(
        "r3_16 a token from elsewhere is refused",
        dev.with_token("e30.e30.e30", "POST", "/messages/claim", "").await.status,
        401,
    );
}

/// Document 4: three kinds of credential.
async fn kinds(desk: &Desk<'_>, t: &mut Table) {
    let dev = desk.dev;
    let dynamic = json!({"tenant": "acme", "name": "Dock app", "contacts": contacts(), "apis": ["partner"],
        "kind": "dynamic_tenant", "scopes": ["sku:read"], "skus": ["*"], "suppliers": ["S-100"]});
    t.row(
        "r4_06 a dynamic credential wants the operator's mark",
        desk.give("registerClient", dynamic.clone()).await.0,
        false,
    );
    let mut marked = dynamic;
    marked["internal"] = json!(true);
    let registered = desk.done("registerClient", marked).await;
    let id = registered["client_id"].as_str().unwrap();
    t.row("r4_01 the kind stands in the record", registered["kind"].clone(), json!("dynamic_tenant"));
    desk.done("approveGrant", json!({"tenant": "acme", "client_id": id})).await;
    let pack = desk.done("approveClient", json!({"client_id": id})).await;
    let secret = pack["client_secret"].as_str().unwrap();
    t.row("r4_04 a dynamic client must name its tenant", token_answer(dev, id, secret, "").await.status, 400);
    t.row("r4_03 and gets a token for it", token_answer(dev, id, secret, "&tpl=acme").await.status, 200);
    t.row("r4_03 but for none that did not grant it", token_answer(dev, id, secret, "&tpl=globex").await.status, 400);

    let multi = json!({"name": "Maintainer", "contacts": contacts(), "apis": ["warehouse"], "kind": "multi_tenant",
        "internal": true, "roles": ["tenant-maintainer"]});
    let registered = desk.done("registerClient", multi).await;
    let id = registered["client_id"].as_str().unwrap();
    let pack = desk.done("approveClient", json!({"client_id": id})).await;
    let secret = pack["client_secret"].as_str().unwrap();
    let token = token_answer(dev, id, secret, "").await.json["access_token"].as_str().unwrap().to_owned();
    t.row(
        "r4_05 a multi-tenant credential maintains tenants",
        dev.with_token(&token, "POST", "/tenants", r#"{"name":"n"}"#).await.status,
        200,
    );
    t.row("r4_05 and reaches no tenant's data", dev.with_token(&token, "GET", "/customers/17", "").await.status, 403);
    desk.done("provisionTenant", json!({"tenant": "new-3pl", "apis": ["warehouse"]})).await;
    t.row(
        "r4_05 tenants are provisioned once",
        desk.give("provisionTenant", json!({"tenant": "new-3pl"})).await.0,
        false,
    );

    let single = json!({"tenant": "globex", "name": "Single", "contacts": contacts(), "apis": ["partner"], "scopes": ["sku:read"],
        "skus": ["*"], "suppliers": ["S-100"]});
    let registered = desk.done("registerClient", single).await;
    let id = registered["client_id"].as_str().unwrap();
    t.row(
        "r4_02 a static credential asks for no other tenant",
        desk.give("requestGrant", json!({"tenant": "acme", "client_id": id})).await.0,
        false,
    );
    desk.done("approveGrant", json!({"tenant": "globex", "client_id": id})).await;
    let pack = desk.done("approveClient", json!({"client_id": id})).await;
    let secret = pack["client_secret"].as_str().unwrap();
    t.row("r4_02 nor gets a token for one", token_answer(dev, id, secret, "&tpl=acme").await.status, 400);
    let token = token_answer(dev, id, secret, "").await.json["access_token"].as_str().unwrap().to_owned();
    t.row("r4_02 its own is reached", sku(dev, &token, "GET", "/clients/globex/skus/A").await, (200, 0));
    t.row("r4_02 no other is", sku(dev, &token, "GET", "/clients/acme/skus/A").await, (403, -31));
    desk.done("suspendClient", json!({"client_id": id})).await;
    t.row(
        "r4_07 a credential that was shared can be stopped",
        sku(dev, &token, "GET", "/clients/globex/skus/A").await.0,
        401,
    );
}
