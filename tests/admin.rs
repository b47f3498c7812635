//! Administration from outside: the admin API, what holders do with their credentials, and what whoever has the table
//! in hand cannot do unseen.

use crate::harness::{Answer, Dev, basic, raw};
use auth_core::admin::operations::{OPERATIONS, Reach};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// An administrator: a token, and requests with it.
struct Desk<'a> {
    dev: &'a Dev,
    token: String,
}

impl<'a> Desk<'a> {
    async fn of(dev: &'a Dev, client: &str) -> Self {
        Self { dev, token: dev.token(client, &[]).await }
    }

    async fn call(&self, method: &str, path: &str, body: Value) -> Answer {
        self.with(method, path, &[], body).await
    }

    async fn with(&self, method: &str, path: &str, headers: &[(&str, &str)], body: Value) -> Answer {
        let bearer = format!("Bearer {}", self.token);
        let mut all = vec![("Authorization", bearer.as_str())];
        all.extend_from_slice(headers);
        let text = if body.is_null() { String::new() } else { body.to_string() };
        if !text.is_empty() {
            all.push(("Content-Type", "application/json"));
        }
        self.dev.call(method, path, &all, &text).await
    }

    /// One that is done.
    async fn done(&self, method: &str, path: &str, body: Value) -> Value {
        let answer = self.call(method, path, body).await;
        assert!([200, 201].contains(&answer.status), "{method} {path}: {} {}", answer.status, answer.text);
        answer.json
    }
}

fn partner(name: &str) -> Value {
    let contact = json!({"name": "Ann Lee", "email": "ann@parts.example"});
    json!({"name": name, "contacts": {"business": contact, "technical": contact}, "apis": ["partner"],
        "scopes": ["sku:read"], "skus": ["AB-*"], "suppliers": ["S-100"]})
}

/// Registers a partner of acme, and takes it to where it is in use.
async fn in_use(operator: &Desk<'_>, approver: &Desk<'_>, name: &str) -> (String, String) {
    let id = approver.done("POST", "/admin/tenants/acme/clients", partner(name)).await["client_id"].clone();
    let id = id.as_str().unwrap().to_owned();
    approver.done("POST", &format!("/admin/tenants/acme/grants/{id}/approve"), Value::Null).await;
    let pack = operator.done("POST", &format!("/admin/clients/{id}/approve"), json!({})).await;
    (id, pack["client_secret"].as_str().unwrap().to_owned())
}

async fn token_of(dev: &Dev, id: &str, secret: &str) -> Answer {
    let basic = basic(id, secret);
    let headers = [("Authorization", basic.as_str()), ("Content-Type", "application/x-www-form-urlencoded")];
    dev.call("POST", "/oauth/token", &headers, "grant_type=client_credentials").await
}

async fn call_with(dev: &Dev, token: &str) -> (u16, i64) {
    let bearer = format!("Bearer {token}");
    let headers = [("Authorization", bearer.as_str()), ("X-Partner-Supplier", "S-100")];
    dev.call("GET", "/clients/acme/skus/AB-1", &headers, "").await.outcome()
}

#[tokio::test]
async fn the_life_of_a_partner() {
    let dev = Dev::demo();
    let (operator, approver) = (Desk::of(&dev, "operator").await, Desk::of(&dev, "acme-approver").await);
    let registered = approver.call("POST", "/admin/tenants/acme/clients", partner("Parts ERP")).await;
    assert_eq!(registered.status, 201, "{}", registered.text);
    assert_eq!((&registered.json["state"], &registered.json["sponsor"]), (&json!("pending"), &json!("acme")));
    assert_eq!((&registered.json["apis"], &registered.json["wanted_apis"]), (&json!([]), &json!(["partner"])));
    assert_eq!(registered.json["grant"]["state"], "requested");
    let id = registered.json["client_id"].as_str().unwrap().to_owned();
    let (client, grant) = (format!("/admin/clients/{id}"), format!("/admin/tenants/acme/grants/{id}"));

    let early = operator.call("POST", &format!("{client}/approve"), json!({})).await;
    assert_eq!(early.outcome(), (409, -43));
    assert!(early.json["detail"].as_str().unwrap().contains("Due: the tenant approves"), "{}", early.text);
    approver.done("POST", &format!("{grant}/approve"), Value::Null).await;
    let pack = operator.done("POST", &format!("{client}/approve"), json!({"agreement": "MSA 1"})).await;
    let secret = pack["client_secret"].as_str().unwrap().to_owned();
    assert_eq!(pack["token_url"], format!("{}/oauth/token", dev.url));
    assert_eq!(pack["apis"][0]["url"], dev.url);
    assert_eq!((&pack["environment"], &pack["supplier_codes"]), (&json!("test"), &json!(["S-100"])));

    // The command in the pack works as it is pasted.
    let curl = pack["curl"].as_str().unwrap();
    let pasted = tokio::process::Command::new("sh").args(["-c", curl]).output().await.unwrap();
    let token: Value = serde_json::from_slice(&pasted.stdout).unwrap();
    let token = token["access_token"].as_str().unwrap();
    assert_eq!(call_with(&dev, token).await, (200, 0));

    let shown = operator.done("GET", &client, Value::Null).await;
    assert_eq!(shown["assigned"][0]["agreement"], "MSA 1");
    assert!(!shown.to_string().contains(&secret) && shown["client_secret"].is_null(), "shown once: {shown}");

    // Each step counts on the next request.
    operator.done("POST", &format!("{client}/suspend"), json!({"reason": "unpaid"})).await;
    assert_eq!(call_with(&dev, token).await.0, 401);
    assert_eq!(token_of(&dev, &id, &secret).await.status, 401);
    operator.done("POST", &format!("{client}/resume"), Value::Null).await;
    assert_eq!(call_with(&dev, token).await, (200, 0));
    approver.done("PATCH", &grant, json!({"skus": ["ZZ-*"]})).await;
    assert_eq!(call_with(&dev, token).await, (403, -32));
    approver.done("PATCH", &grant, json!({"skus": ["*"]})).await;
    approver.done("POST", &format!("{grant}/revoke"), json!({"reason": "contract ended"})).await;
    assert_eq!(call_with(&dev, token).await, (403, -31));
    approver.done("PUT", &grant, json!({"scopes": ["sku:read"], "skus": ["*"], "suppliers": ["S-100"]})).await;
    approver.done("POST", &format!("{grant}/approve"), Value::Null).await;
    assert_eq!(call_with(&dev, token).await, (200, 0));
    operator.done("PATCH", &client, json!({"apis": ["reseller"]})).await;
    assert_eq!(call_with(&dev, token).await, (403, -33));
    operator.done("PATCH", &client, json!({"apis": ["partner"]})).await;

    // The live client is another one, with other credentials; here, in the test environment, they are refused.
    let live = operator.done("POST", &format!("{client}/promote"), Value::Null).await;
    assert_eq!(live["environment"], "live");
    assert!(live["client_id"] != pack["client_id"] && live["client_secret"] != pack["client_secret"]);
    let (live_id, live_secret) = (live["client_id"].as_str().unwrap(), live["client_secret"].as_str().unwrap());
    assert_eq!(token_of(&dev, live_id, live_secret).await.status, 401);
    assert_eq!(token_of(&dev, &id, &secret).await.status, 200);

    operator.done("POST", &format!("{client}/tokens/revoke"), Value::Null).await;
    assert_eq!(call_with(&dev, token).await.0, 401);
    let new = token_of(&dev, &id, &secret).await;
    assert_eq!(
        call_with(&dev, new.json["access_token"].as_str().unwrap()).await,
        (200, 0),
        "issued in the same second"
    );
    operator.done("DELETE", &client, json!({"reason": "gone"})).await;
    assert_eq!(token_of(&dev, &id, &secret).await.status, 401);
    let again =
        json!({"client_id": id, "tenant": "acme", "name": "Somebody else", "contacts": partner("x")["contacts"]});
    let taken = operator.call("POST", "/admin/clients", again).await;
    assert_eq!(taken.outcome(), (409, -43), "a name is not given again, with its grants");

    // All of it stands in the audit, in its order, with who and how it was; and no secret does.
    let entries = operator.done("GET", "/admin/tenants/acme/audit?limit=100", Value::Null).await;
    let mut actions: Vec<&str> =
        entries["entries"].as_array().unwrap().iter().filter_map(|e| e["action"].as_str()).collect();
    actions.reverse();
    assert_eq!(actions[..3], ["registerClient", "approveGrant", "approveClient"]);
    assert_eq!(actions.last(), Some(&"deleteClient"));
    let text = entries.to_string();
    assert!(!text.contains(&secret) && !text.contains(live_secret) && !text.contains("digest"));
    let approved = entries["entries"].as_array().unwrap().iter().find(|e| e["action"] == "approveGrant").unwrap();
    assert_eq!((&approved["actor"], &approved["via"]), (&json!("acme-approver"), &json!("api")));
    assert_eq!((&approved["before"]["state"], &approved["after"]["state"]), (&json!("requested"), &json!("approved")));
    // The entry and the line of the decision that let it through have one request id.
    let lines = format!("/.well-known/countersign-dev/requests/{}", approved["request_id"].as_str().unwrap());
    let lines = dev.call("GET", &lines, &[], "").await.json;
    let kinds: Vec<&Value> = lines.as_array().unwrap().iter().map(|line| &line["kind"]).collect();
    assert_eq!(kinds, [&json!("jwt"), &json!("admin")], "{lines}");
    let refused = operator.done("GET", &format!("/admin/audit?client_id={id}&outcome=refused"), Value::Null).await;
    assert_eq!(refused["entries"].as_array().unwrap().len(), 1, "the early approval: {refused}");
    for path in ["/admin/audit/verify", "/admin/tenants/acme/audit/verify"] {
        assert_eq!(operator.done("GET", path, Value::Null).await["state"], "whole", "{path}");
    }
}

#[tokio::test]
async fn every_operation_is_for_whom_its_row_says() {
    let dev = Dev::demo();
    let mut desks = Vec::new();
    for client in ["operator", "acme-approver", "globex-approver", "gains-partner", "3pl-operator"] {
        desks.push((client, Desk::of(&dev, client).await));
    }
    desks.push(("nobody", Desk { dev: &dev, token: String::new() }));
    let approver = "tenants:read clients:register grants:read grants:request grants:approve customers:read \
        customers:write audit:read";
    let mut wrong = Vec::new();
    for operation in OPERATIONS {
        // Names of nothing, so that whoever may do it does no harm.
        let path = operation.path.replace("{tenant}", "acme").replace("{client_id}", "no-client");
        let path = path.replace("{key_id}", "no-key").replace("{username}", "nobody");
        let path = path.replace("{role}", "no-role").replace("{api}", "no-api");
        for (who, desk) in &desks {
            if *who == "operator" && operation.id.ends_with("Keyring") && !operation.reads() {
                continue;
            }
            let may = match *who {
                "operator" => true,
                "acme-approver" => {
                    operation.reach == Reach::Tenant && approver.split(' ').any(|s| s == operation.scope)
                }
                _ => false,
            };
            let answer = desk.call(operation.method, &path, Value::Null).await;
            let expected = if *who == "nobody" { [401].as_slice() } else { [403].as_slice() };
            if may == expected.contains(&answer.status) || answer.status >= 500 {
                wrong.push(format!("{who} {}: {} {}", operation.id, answer.status, answer.text));
            }
            if !may {
                let problem = answer.header("content-type") == Some("application/problem+json");
                let members = ["type", "title", "status", "detail", "error", "error_description", "code", "request_id"];
                if !problem || members.iter().any(|member| answer.json[member].is_null()) {
                    wrong.push(format!("{who} {}: no problem document: {}", operation.id, answer.text));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn nobody_administers_what_is_anothers() {
    let dev = Dev::demo();
    let (operator, acme, globex) = (
        Desk::of(&dev, "operator").await,
        Desk::of(&dev, "acme-approver").await,
        Desk::of(&dev, "globex-approver").await,
    );
    let (id, _) = in_use(&operator, &acme, "Parts").await;
    let grant = format!("/admin/tenants/acme/grants/{id}");
    // A grant of globex to a client that acts for it, and acme's approver after it.
    operator.done("PUT", "/admin/tenants/globex/grants/3pl-app", json!({"scopes": ["sku:read"]})).await;
    let own = "/admin/tenants/acme/grants/acme-approver";
    type Row<'a> = (&'a str, &'a Desk<'a>, &'a str, String, Value, (u16, i64));
    let rows: Vec<Row<'_>> = vec![
        ("another tenant's grant", &globex, "POST", format!("{grant}/revoke"), Value::Null, (403, -31)),
        ("another tenant's list", &globex, "GET", "/admin/tenants/acme/grants".into(), Value::Null, (403, -31)),
        ("another tenant's audit", &globex, "GET", "/admin/tenants/acme/audit".into(), Value::Null, (403, -31)),
        ("another tenant's customers", &globex, "GET", "/admin/tenants/acme/customers".into(), Value::Null, (403, -31)),
        (
            "another tenant's registration",
            &globex,
            "POST",
            "/admin/tenants/acme/clients".into(),
            partner("x"),
            (403, -31),
        ),
        (
            "a tenant in the body as well",
            &acme,
            "POST",
            "/admin/tenants/acme/clients".into(),
            {
                let mut partner = partner("x");
                partner["tenant"] = json!("globex");
                partner
            },
            (400, -41),
        ),
        (
            "a client in the body as well",
            &acme,
            "PATCH",
            grant.clone(),
            json!({"client_id": "acme-approver"}),
            (400, -41),
        ),
        (
            "the same client at one's own tenant",
            &globex,
            "POST",
            format!("/admin/tenants/globex/grants/{id}/approve"),
            Value::Null,
            (404, -42),
        ),
        ("one's own grant, wider", &acme, "PATCH", own.into(), json!({"roles": ["operator"]}), (403, -35)),
        ("one's own grant, revoked", &acme, "POST", format!("{own}/revoke"), Value::Null, (403, -35)),
        ("an operator's step", &acme, "POST", format!("/admin/clients/{id}/approve"), Value::Null, (403, -34)),
        ("an encoded tenant", &globex, "GET", "/admin/tenants/acm%65/grants".into(), Value::Null, (403, -31)),
        ("a climb", &globex, "GET", "/admin/tenants/globex/../acme/grants".into(), Value::Null, (403, 0)),
        ("two cursors", &acme, "GET", "/admin/tenants/acme/grants?cursor=YQ&cursor=YQ".into(), Value::Null, (400, -41)),
        (
            "a cursor of another list",
            &acme,
            "GET",
            "/admin/tenants/acme/grants?cursor=VEVOQU5U".into(),
            Value::Null,
            (400, -41),
        ),
        (
            "a tenant in the query",
            &acme,
            "GET",
            "/admin/tenants/acme/grants?tenant=globex".into(),
            Value::Null,
            (400, -41),
        ),
    ];
    for (sentence, desk, method, path, body, want) in rows {
        let got = desk.call(method, &path, body).await;
        let (status, code) = got.outcome();
        assert!(status == want.0 && (want.1 == 0 || code == want.1), "{sentence}: {status} {}", got.text);
    }
    // A grant that an approver gives does not make more administrators than the operator allows.
    acme.done("PATCH", &grant, json!({"roles": ["tenant-approver"]})).await;
    assert_eq!(operator.done("GET", &format!("/admin/clients/{id}"), Value::Null).await["apis"], json!(["partner"]));
}

#[tokio::test]
async fn nobody_hands_out_what_they_do_not_have() {
    let dev = Dev::demo();
    let operator = Desk::of(&dev, "operator").await;
    let helper = json!({"scopes": ["clients:read", "clients:write", "clients:approve", "roles:write", "secrets:write", "issuers:write", "keys:write"]});
    operator.done("PUT", "/admin/roles/helper", helper).await;
    let register = json!({"client_id": "helper", "name": "Helper", "contacts": partner("x")["contacts"], "apis": ["admin"],
        "kind": "multi_tenant", "internal": true, "roles": ["helper"]});
    operator.done("POST", "/admin/clients", register.clone()).await;
    let pack = operator.done("POST", "/admin/clients/helper/approve", Value::Null).await;
    let token = token_of(&dev, "helper", pack["client_secret"].as_str().unwrap()).await;
    let helper = Desk { dev: &dev, token: token.json["access_token"].as_str().unwrap().to_owned() };
    let approver = Desk::of(&dev, "acme-approver").await;
    // Not approved yet, but there is a grant to come.
    let awaited = json!({"client_id": "awaited", "name": "Awaited", "contacts": partner("x")["contacts"],
        "apis": ["admin"], "kind": "single_tenant", "tenant": "acme", "scopes": ["grants:approve"]});
    operator.done("POST", "/admin/clients", awaited).await;
    let mut mighty = register.clone();
    mighty["client_id"] = json!("mighty");
    mighty["roles"] = json!(["operator"]);
    type Row<'a> = (&'a str, &'a Desk<'a>, &'a str, &'a str, Value, u16);
    let rows: Vec<Row<'_>> = vec![
        ("roles to itself", &helper, "PATCH", "/admin/clients/helper", json!({"roles": ["operator"]}), 403),
        ("its own roles to itself", &helper, "PATCH", "/admin/clients/helper", json!({"roles": ["helper"]}), 403),
        ("APIs to itself", &helper, "PATCH", "/admin/clients/helper", json!({"apis": ["admin", "partner"]}), 403),
        ("roles to another", &helper, "PATCH", "/admin/clients/3pl-operator", json!({"roles": ["operator"]}), 403),
        ("what it has, to another", &helper, "PATCH", "/admin/clients/3pl-operator", json!({"roles": ["helper"]}), 200),
        (
            "keys to one with more",
            &helper,
            "PATCH",
            "/admin/clients/operator",
            json!({"jwks_uri": "https://helper.example/jwks.json"}),
            403,
        ),
        (
            "keys to itself",
            &helper,
            "PATCH",
            "/admin/clients/helper",
            json!({"jwks_uri": "https://helper.example/jwks.json"}),
            403,
        ),
        (
            "keys to a partner",
            &helper,
            "PATCH",
            "/admin/clients/gains-reader",
            json!({"jwks_uri": "https://partner.example/jwks.json"}),
            200,
        ),
        (
            "keys to a tenant's approver",
            &helper,
            "PATCH",
            "/admin/clients/acme-approver",
            json!({"jwks_uri": "https://helper.example/jwks.json"}),
            403,
        ),
        (
            "a secret of a tenant's approver",
            &helper,
            "POST",
            "/admin/clients/acme-approver/secrets/rotate",
            Value::Null,
            403,
        ),
        (
            "the secret that a tenant's approver would have in another environment",
            &helper,
            "POST",
            "/admin/clients/acme-approver/promote",
            Value::Null,
            403,
        ),
        (
            "the first secret of a client that asks for more",
            &helper,
            "POST",
            "/admin/clients/awaited/approve",
            Value::Null,
            403,
        ),
        (
            "an API key of a tenant's approver",
            &helper,
            "POST",
            "/admin/clients/acme-approver/keys",
            json!({"tenant": "acme", "apis": ["admin"]}),
            403,
        ),
        (
            "an API key of one with more, moved in",
            &helper,
            "POST",
            "/admin/clients/operator/keys/import",
            json!({"key": "ak_test_22223333444455556666777788889999", "tenant": "acme", "apis": ["admin"]}),
            403,
        ),
        (
            "an issuer that others may trust",
            &helper,
            "PUT",
            "/admin/issuers/mine",
            json!({"issuer": "https://helper.example"}),
            403,
        ),
        ("a client with more", &helper, "POST", "/admin/clients", mighty, 403),
        ("the secret of one with more", &helper, "POST", "/admin/clients/operator/secrets/rotate", Value::Null, 403),
        ("the live client of one with more", &helper, "POST", "/admin/clients/operator/promote", Value::Null, 403),
        (
            "a scope to its role",
            &helper,
            "PUT",
            "/admin/roles/helper",
            json!({"scopes": ["clients:read", "keyring:write"]}),
            403,
        ),
        (
            "a scope of APIs to a role",
            &helper,
            "PUT",
            "/admin/roles/buyer",
            json!({"scopes": ["orders:read", "x:y"]}),
            200,
        ),
        (
            "roles in a grant",
            &approver,
            "PATCH",
            "/admin/tenants/acme/grants/gains-reader",
            json!({"roles": ["operator"]}),
            403,
        ),
        (
            "scopes in a grant",
            &approver,
            "PATCH",
            "/admin/tenants/acme/grants/gains-reader",
            json!({"scopes": ["keyring:write"]}),
            403,
        ),
    ];
    for (sentence, desk, method, path, body, status) in rows {
        let answer = desk.call(method, path, body).await;
        assert_eq!(answer.status, status, "{sentence}: {}", answer.text);
    }
}

#[tokio::test]
async fn of_two_administrators_at_once_one_wins_and_the_others_are_told() {
    let dev = Dev::demo();
    let (operator, approver) = (Desk::of(&dev, "operator").await, Desk::of(&dev, "acme-approver").await);
    for round in 0..3 {
        let id =
            approver.done("POST", "/admin/tenants/acme/clients", partner(&format!("Race {round}"))).await["client_id"]
                .as_str()
                .unwrap()
                .to_owned();
        let statuses = |answers: Vec<Answer>| {
            let mut statuses: Vec<u16> = answers.iter().map(|a| a.status).collect();
            statuses.sort_unstable();
            statuses
        };
        let grant = format!("/admin/tenants/acme/grants/{id}");
        let at_once = |desk: &'static str, path: String, body: Value, headers: Vec<(&'static str, String)>| {
            let desk = if desk == "operator" { &operator } else { &approver };
            let calls = (0..6).map(move |_| {
                let (path, body, headers) = (path.clone(), body.clone(), headers.clone());
                async move {
                    let headers: Vec<(&str, &str)> = headers.iter().map(|(n, v)| (*n, v.as_str())).collect();
                    desk.with(if body.is_null() { "POST" } else { "PATCH" }, &path, &headers, body).await
                }
            });
            join(calls)
        };
        let answers = at_once("approver", format!("{grant}/approve"), Value::Null, vec![]).await;
        assert_eq!(statuses(answers), [200, 409, 409, 409, 409, 409], "one approves the grant");
        let answers = at_once("operator", format!("/admin/clients/{id}/approve"), Value::Null, vec![]).await;
        let secrets: BTreeSet<String> =
            answers.iter().filter_map(|a| a.json["client_secret"].as_str()).map(str::to_owned).collect();
        assert_eq!((statuses(answers.clone()), secrets.len()), (vec![200, 409, 409, 409, 409, 409], 1), "one pack");
        let answers = at_once("operator", format!("/admin/clients/{id}/promote"), Value::Null, vec![]).await;
        assert_eq!(statuses(answers), [201, 409, 409, 409, 409, 409], "one live client");
        let answers = at_once("operator", format!("/admin/clients/{id}/secrets/rotate"), Value::Null, vec![]).await;
        assert_eq!(statuses(answers), [201, 409, 409, 409, 409, 409], "two secrets are live at most");

        // With the version that was read, the second change is one of something else.
        let shown = operator.with("GET", &format!("/admin/clients/{id}"), &[], Value::Null).await;
        let tag = shown.header("etag").unwrap().to_owned();
        let change = json!({"account_manager": "Max"});
        let answers = at_once("operator", format!("/admin/clients/{id}"), change, vec![("If-Match", tag)]).await;
        let statuses = statuses(answers);
        assert_eq!(statuses.iter().filter(|s| **s == 200).count(), 1, "{statuses:?}");
        assert!(statuses[1..].iter().all(|s| [409, 412].contains(s)), "{statuses:?}");
    }
    for path in ["/admin/audit/verify", "/admin/tenants/acme/audit/verify"] {
        assert_eq!(operator.done("GET", path, Value::Null).await["state"], "whole", "{path}");
    }
}

/// All of these at once.
pub(crate) async fn join<T>(calls: impl Iterator<Item = impl Future<Output = T>>) -> Vec<T> {
    let mut calls: Vec<_> = calls.map(|call| (Box::pin(call), None)).collect();
    std::future::poll_fn(|context| {
        let mut all = true;
        for (call, done) in &mut calls {
            if done.is_none() {
                match call.as_mut().poll(context) {
                    std::task::Poll::Ready(value) => *done = Some(value),
                    std::task::Poll::Pending => all = false,
                }
            }
        }
        if all { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    calls.into_iter().map(|(_, done)| done.unwrap()).collect()
}

#[tokio::test]
async fn a_named_request_counts_once_and_its_answer_is_not_lost() {
    let dev = Dev::demo();
    let operator = Desk::of(&dev, "operator").await;
    let path = "/admin/clients/shop-server/keys";
    let issue =
        async |name: &'static str, body: Value| operator.with("POST", path, &[("Idempotency-Key", name)], body).await;
    let body = json!({"apis": ["supplier"], "label": "ci"});
    let first = issue("one", body.clone()).await;
    assert_eq!(first.status, 201, "{}", first.text);
    let again = issue("one", body.clone()).await;
    assert_eq!((again.status, &again.json), (201, &first.json), "the same key, shown again to who lost the answer");
    let other = issue("two", body.clone()).await;
    assert_ne!(other.json["key"], first.json["key"]);
    assert_eq!(issue("one", json!({"apis": ["payment"]})).await.outcome(), (409, -43), "another request of that name");
    let approver = Desk::of(&dev, "acme-approver").await;
    let mine = approver.with("POST", "/admin/tenants/acme/clients", &[("Idempotency-Key", "one")], partner("p")).await;
    assert_eq!(mine.status, 201, "a name is its caller's own");

    let at_once = join((0..5).map(|_| issue("race", body.clone()))).await;
    let keys: BTreeSet<&str> = at_once.iter().filter_map(|a| a.json["key"].as_str()).collect();
    assert!(
        at_once.iter().all(|a| a.status == 201) && keys.len() == 1,
        "{:?}",
        at_once.iter().map(|a| &a.text).collect::<Vec<_>>()
    );
    let listed = operator.done("GET", path, Value::Null).await;
    let labelled = listed["keys"].as_array().unwrap().iter().filter(|k| k["label"] == "ci").count();
    assert_eq!(labelled, 3, "one, two, race");
    assert!(!listed.to_string().contains(first.json["key"].as_str().unwrap()), "lists hold no key");
    // A password is no part of what is remembered of a request: a digest of it could be guessed fast.
    let customer = async |password: &'static str, username: &'static str| {
        let body = json!({"username": username, "password": password, "customer_id": "C-9"});
        operator.with("POST", "/admin/tenants/acme/customers", &[("Idempotency-Key", "customer")], body).await
    };
    let made = customer("a long passphrase of the first", "ann-2").await;
    assert_eq!(made.status, 201, "{}", made.text);
    assert_eq!(customer("another long passphrase", "ann-2").await.json, made.json);
    assert_eq!(customer("another long passphrase", "bob-2").await.outcome(), (409, -43));

    for (sentence, name) in [("empty", ""), ("too long", "x".repeat(256).as_str())] {
        let answer = operator.with("POST", path, &[("Idempotency-Key", name)], body.clone()).await;
        assert_eq!(answer.status, 400, "{sentence}: {}", answer.text);
    }
}

#[tokio::test]
async fn what_an_administrator_says_is_what_a_partner_gets() {
    let dev = Dev::demo();
    let (operator, approver) = (Desk::of(&dev, "operator").await, Desk::of(&dev, "acme-approver").await);
    // A rate that is set counts at once.
    let reader = dev.token("gains-reader", &[]).await;
    operator.done("PATCH", "/admin/clients/gains-reader", json!({"rate": {"per_day": 2}})).await;
    let mut outcomes = Vec::new();
    for _ in 0..3 {
        outcomes.push(call_with(&dev, &reader).await);
    }
    assert_eq!(outcomes, [(200, 0), (200, 0), (429, -50)]);
    operator.done("PATCH", "/admin/clients/gains-reader", json!({"rate": null})).await;
    assert_eq!(call_with(&dev, &reader).await, (200, 0));
    // The pasted command works for a client whose APIs want different algorithms, too.
    let mut both = partner("Both");
    both["apis"] = json!(["partner", "reseller", "partner"]);
    let id = approver.done("POST", "/admin/tenants/acme/clients", both).await["client_id"].as_str().unwrap().to_owned();
    approver.done("POST", &format!("/admin/tenants/acme/grants/{id}/approve"), Value::Null).await;
    let pack = operator.done("POST", &format!("/admin/clients/{id}/approve"), Value::Null).await;
    assert_eq!(pack["apis"].as_array().unwrap().len(), 2, "nothing is there twice");
    let pasted =
        tokio::process::Command::new("sh").args(["-c", pack["curl"].as_str().unwrap()]).output().await.unwrap();
    let token: Value = serde_json::from_slice(&pasted.stdout).unwrap();
    assert_eq!(call_with(&dev, token["access_token"].as_str().unwrap()).await, (200, 0), "{token}");
    let shown = operator.done("PATCH", &format!("/admin/clients/{id}"), json!({"agreement": "MSA 2"})).await;
    assert_eq!(shown["assigned"][1]["agreement"], "MSA 2");
    // Where the credentials do not count, it says so, and offers no command.
    let live = operator.done("POST", &format!("/admin/clients/{id}/promote"), Value::Null).await;
    assert!(live["counts"].as_str().unwrap().contains("live environment") && live["curl"].is_null(), "{live}");
    approver.done("POST", &format!("/admin/tenants/acme/grants/{id}/revoke"), Value::Null).await;
    let live_id = live["client_id"].as_str().unwrap();
    operator.done("DELETE", &format!("/admin/clients/{live_id}"), Value::Null).await;
    let refused = [
        ("no tenant consents any more", "POST", format!("/admin/clients/{id}/promote"), Value::Null, 409),
        ("oneself", "POST", "/admin/clients/operator/suspend".into(), Value::Null, 403),
        ("oneself, for ever", "DELETE", "/admin/clients/operator".into(), Value::Null, 403),
        ("a rate of nothing", "PATCH", format!("/admin/clients/{id}"), json!({"rate": {"per_second": 0}}), 400),
        (
            "the past",
            "PUT",
            format!("/admin/tenants/acme/grants/{id}"),
            json!({"not_after": "2020-01-01T00:00:00Z"}),
            400,
        ),
        ("a version of what has none", "PUT", "/admin/roles/buyer".into(), json!({"scopes": []}), 400),
        ("a tenant that there is not", "GET", "/admin/tenants/nowhere/audit/verify".into(), Value::Null, 404),
    ];
    for (sentence, method, path, body, status) in refused {
        let headers: &[(&str, &str)] = if sentence.starts_with("a version") { &[("If-Match", "\"1\"")] } else { &[] };
        let answer = operator.with(method, &path, headers, body).await;
        assert_eq!(answer.status, status, "{sentence}: {}", answer.text);
    }
    // An API that the tenant lacks is nobody's.
    let globex = Desk::of(&dev, "globex-approver").await;
    let mut lacking = partner("Lacking");
    lacking["apis"] = json!(["warehouse"]);
    let id =
        globex.done("POST", "/admin/tenants/globex/clients", lacking).await["client_id"].as_str().unwrap().to_owned();
    globex.done("POST", &format!("/admin/tenants/globex/grants/{id}/approve"), Value::Null).await;
    let early = operator.call("POST", &format!("/admin/clients/{id}/approve"), Value::Null).await;
    assert!(early.status == 409 && early.text.contains("lacks API warehouse"), "{}", early.text);
}

#[tokio::test]
async fn bad_requests_are_told_which_field() {
    let dev = Dev::demo();
    let operator = Desk::of(&dev, "operator").await;
    let register = |change: &dyn Fn(&mut Value)| {
        let mut body = partner("x");
        body["tenant"] = json!("acme");
        change(&mut body);
        body
    };
    let rows: Vec<(&str, &str, &str, Value, u16, &str)> = vec![
        (
            "no technical contact",
            "POST",
            "/admin/clients",
            register(&|b| drop(b["contacts"].as_object_mut().unwrap().remove("technical"))),
            400,
            "technical",
        ),
        (
            "a mail address",
            "POST",
            "/admin/clients",
            register(&|b| b["contacts"]["business"]["email"] = json!("x")),
            400,
            "contacts.business.email",
        ),
        ("an unknown member", "POST", "/admin/clients", register(&|b| b["colour"] = json!(1)), 400, "colour"),
        ("an unknown API", "POST", "/admin/clients", register(&|b| b["apis"] = json!(["x"])), 400, "apis"),
        (
            "a scope with a space",
            "POST",
            "/admin/clients",
            register(&|b| b["scopes"] = json!(["a b"])),
            400,
            "scopes[0]",
        ),
        (
            "words for a number",
            "POST",
            "/admin/clients/gains-partner/secrets/rotate",
            json!({"overlap_seconds": "long"}),
            400,
            "overlap_seconds: expected a whole number",
        ),
        ("a limit of 0", "GET", "/admin/clients?limit=0", Value::Null, 400, "limit"),
        ("a limit of words", "GET", "/admin/clients?limit=many", Value::Null, 400, "limit"),
        ("a time of words", "GET", "/admin/audit?since=yesterday", Value::Null, 400, "since"),
        (
            "times the wrong way round",
            "GET",
            "/admin/tenants/acme/audit?since=2026-02-01T00:00:00Z&until=2026-01-01T00:00:00Z",
            Value::Null,
            400,
            "since",
        ),
        ("no such client", "GET", "/admin/clients/nobody", Value::Null, 404, "nobody"),
        ("a list of things", "POST", "/admin/clients", json!([1]), 400, "object"),
        (
            "a short password",
            "POST",
            "/admin/tenants/acme/customers",
            json!({"username": "u", "customer_id": "c", "password": "short"}),
            400,
            "15 characters",
        ),
        (
            "a hash of another kind",
            "POST",
            "/admin/tenants/acme/customers",
            json!({"username": "u", "customer_id": "c", "password_hash": "5f4dcc3b5aa765d61d8327deb882cf99"}),
            400,
            "password_hash",
        ),
        (
            "neither",
            "POST",
            "/admin/tenants/acme/customers",
            json!({"username": "u", "customer_id": "c"}),
            400,
            "password",
        ),
        (
            "an overlap of a year",
            "POST",
            "/admin/clients/shop-server/secrets/rotate",
            json!({"overlap_seconds": 31_536_000}),
            400,
            "overlap_seconds",
        ),
        (
            "more than a grant holds",
            "PATCH",
            "/admin/tenants/acme/grants/gains-reader",
            json!({"skus": (0..20_000).map(|n| format!("AB-{n:020}")).collect::<Vec<_>>()}),
            400,
            "at most 1000",
        ),
        ("a document that is none", "POST", "/admin/apis/import", json!({"document": {}}), 400, "document"),
    ];
    for (sentence, method, path, body, status, text) in rows {
        let answer = operator.call(method, path, body).await;
        assert_eq!(answer.status, status, "{sentence}: {}", answer.text);
        assert!(answer.json["detail"].as_str().unwrap().contains(text), "{sentence}: {}", answer.text);
        assert!(!answer.text.contains("5f4dcc3b"), "{sentence}: {}", answer.text);
    }
    let bearer = format!("Bearer {}", operator.token);
    for (sentence, kind, body, status) in [
        ("a form", "application/x-www-form-urlencoded", "name=x", 415),
        ("a member twice", "application/json", r#"{"name":"a","name":"b"}"#, 400),
        ("not JSON", "application/json", "{", 400),
    ] {
        let headers = [("Authorization", bearer.as_str()), ("Content-Type", kind)];
        assert_eq!(dev.call("POST", "/admin/clients", &headers, body).await.status, status, "{sentence}");
    }
}

#[tokio::test]
async fn lists_go_on_by_cursors() {
    let dev = Dev::demo();
    let operator = Desk::of(&dev, "operator").await;
    let mut seen = Vec::new();
    let mut path = "/admin/clients?limit=5".to_owned();
    loop {
        let page = operator.done("GET", &path, Value::Null).await;
        let ids = page["clients"].as_array().unwrap();
        assert!(ids.len() <= 5);
        seen.extend(ids.iter().map(|c| c["client_id"].as_str().unwrap().to_owned()));
        match page["next_cursor"].as_str() {
            Some(cursor) => path = format!("/admin/clients?limit=5&cursor={cursor}"),
            None => break,
        }
    }
    let unique: BTreeSet<&String> = seen.iter().collect();
    assert_eq!((unique.len(), seen.len()), (dev.ready["demo"]["clients"].as_array().unwrap().len(), seen.len()));
    for cursor in ["x", "AAAA", "VEVOQU5UI2FjbWU", "Q0xJRU5U"] {
        let answer = operator.call("GET", &format!("/admin/clients?cursor={cursor}"), Value::Null).await;
        assert_eq!(answer.outcome(), (400, -41), "{cursor}");
    }
    let mine = operator.done("GET", "/admin/clients?tenant=globex", Value::Null).await;
    let mine: Vec<&str> = mine["clients"].as_array().unwrap().iter().filter_map(|c| c["client_id"].as_str()).collect();
    assert_eq!(mine, ["gains-multi", "globex-approver"]);
}

#[tokio::test]
async fn a_holder_manages_its_own_credential_and_no_other() {
    let dev = Dev::demo();
    let operator = Desk::of(&dev, "operator").await;
    let secret = dev.secret("shop-server");
    let as_client = async |secret: &str, method: &str, path: &str, body: &str| {
        let basic = basic("shop-server", secret);
        let headers = [("Authorization", basic.as_str()), ("Content-Type", "application/json")];
        dev.call(method, path, &headers, body).await
    };
    let keys = as_client(&secret, "GET", "/self/keys", "").await;
    assert_eq!(keys.json["keys"].as_array().unwrap().len(), 4, "{}", keys.text);
    assert!(!keys.text.contains("8f3b1c0e5a4d4f2c") && keys.text.contains("3c2d"), "the last four, and no key");

    let rotated = as_client(&secret, "POST", "/self/secrets/rotate", r#"{"overlap_seconds":3600}"#).await;
    assert_eq!(rotated.status, 201, "{}", rotated.text);
    let new = rotated.json["client_secret"].as_str().unwrap();
    for secret in [secret.as_str(), new] {
        assert_eq!(token_of(&dev, "shop-server", secret).await.status, 200, "both are good in the overlap");
    }
    assert_eq!(as_client(new, "POST", "/self/secrets/revoke", "").await.status, 200);
    assert_eq!(token_of(&dev, "shop-server", &secret).await.status, 401, "cut short");
    assert_eq!(token_of(&dev, "shop-server", new).await.status, 200);

    // The key by itself: seen, then revoked by whoever finds it on the street.
    let key = "ak_test_0f1e2d3c4b5a69788796a5b4c3d2e1f0";
    let with_key = async |method: &str, path: &str| dev.call(method, path, &[("apikey", key)], "").await;
    let list = async || {
        let headers = [("ApiKey", key), ("Content-Type", "application/json")];
        dev.call("POST", "/Supplier/Products/List", &headers, r#"{"page":1}"#).await.status
    };
    assert_eq!(list().await, 200);
    let shown = with_key("GET", "/self/key").await;
    assert_eq!(shown.json["last_four"], "e1f0", "{}", shown.text);
    assert!(shown.json["last_used"].is_string(), "its use was noted: {}", shown.text);
    assert_eq!(with_key("POST", "/self/key/revoke").await.status, 200);
    assert_eq!(list().await, 401, "on the very next request");
    assert_eq!(with_key("GET", "/self/key").await.outcome(), (401, -23));

    let others = Desk::of(&dev, "gains-partner").await;
    let rows: Vec<(&str, Answer, (u16, i64))> = vec![
        ("a token is no proof", others.call("GET", "/self/keys", Value::Null).await, (401, -21)),
        ("nor is nothing", dev.call("GET", "/self", &[], "").await, (401, -21)),
        ("a wrong secret", as_client("wrong", "GET", "/self", "").await, (401, -21)),
        ("a key where a secret is asked for", with_key("GET", "/self/keys").await, (401, -21)),
        (
            "another's client in the body",
            as_client(new, "POST", "/self/secrets/rotate", r#"{"client_id":"gains-partner"}"#).await,
            (400, -41),
        ),
        ("all secrets at once", as_client(new, "POST", "/self/secrets/revoke", r#"{"which":"all"}"#).await, (403, -35)),
        ("a key of nobody's", as_client(new, "POST", "/self/keys/key-nothing/revoke", "").await, (404, -42)),
        ("another path", as_client(new, "GET", "/self/grants", "").await, (404, -42)),
        ("another method", as_client(new, "DELETE", "/self/keys", "").await, (405, -41)),
    ];
    for (sentence, answer, want) in rows {
        assert_eq!(answer.outcome(), want, "{sentence}: {}", answer.text);
        assert!(!answer.text.contains(new), "{sentence}");
    }
    assert!(dev.said_so("-21 invalid_client: wrong secret"), "the line says what the caller was told");
    // Whoever found a secret does not lock its owner out.
    let at_once = as_client(new, "POST", "/self/secrets/rotate", r#"{"overlap_seconds":0}"#).await;
    assert_eq!(at_once.outcome(), (400, -41), "{}", at_once.text);
    assert_eq!(as_client(new, "POST", "/self/secrets/cancel", "").await.status, 404);
    // A key is good for those of its APIs alone that its client still has.
    let issued = operator.done("POST", "/admin/clients/shop-server/keys", json!({"apis": ["supplier"]})).await;
    let headers = [("ApiKey", issued["key"].as_str().unwrap()), ("Content-Type", "application/json")];
    let call = async || dev.call("POST", "/Supplier/Products/List", &headers, r#"{"page":1}"#).await.outcome();
    assert_eq!(call().await, (200, 0));
    operator.done("PATCH", "/admin/clients/shop-server", json!({"apis": ["payment"]})).await;
    assert_eq!(call().await, (403, -33));
    let suspended = operator.call("POST", "/admin/clients/shop-server/suspend", Value::Null).await;
    assert_eq!(suspended.status, 200);
    assert_eq!(as_client(new, "GET", "/self", "").await.status, 401, "a suspended client is nobody");
}

#[tokio::test]
async fn a_revocation_counts_from_the_moment_that_it_is_answered() {
    let dev = Arc::new(Dev::demo());
    let operator = Desk::of(&dev, "operator").await;
    let issued = operator.done("POST", "/admin/clients/shop-server/keys", json!({"apis": ["supplier"]})).await;
    let (key, key_id) = (issued["key"].as_str().unwrap().to_owned(), issued["key_id"].as_str().unwrap().to_owned());
    let partner = dev.token("gains-partner", &[]).await;
    let reader = dev.token("gains-reader", &[]).await;
    let reseller = dev.token("reseller", &[]).await;
    let jti = {
        use base64::Engine as _;
        let claims = reseller.split('.').nth(1).unwrap();
        let claims = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(claims).unwrap();
        serde_json::from_slice::<Value>(&claims).unwrap()["jti"].as_str().unwrap().to_owned()
    };
    let supplier = ("X-Partner-Supplier".to_owned(), "S-100".to_owned());
    let bearer = |token: &str| ("Authorization".to_owned(), format!("Bearer {token}"));
    let json_body = ("Content-Type".to_owned(), "application/json".to_owned());
    type Call = (&'static str, &'static str, Vec<(String, String)>, &'static str);
    let sku = "/clients/acme/skus/AB-1";
    let rows: Vec<(&str, Call, &str, String, Value)> = vec![
        (
            "a key",
            ("POST", "/Supplier/Products/List", vec![("ApiKey".into(), key), json_body.clone()], r#"{"page":1}"#),
            "POST",
            format!("/admin/clients/shop-server/keys/{key_id}/revoke"),
            json!({}),
        ),
        (
            "a client",
            ("GET", sku, vec![bearer(&partner), supplier.clone()], ""),
            "POST",
            "/admin/clients/gains-partner/suspend".into(),
            json!({}),
        ),
        (
            "a grant",
            ("GET", sku, vec![bearer(&reader), supplier], ""),
            "POST",
            "/admin/tenants/acme/grants/gains-reader/revoke".into(),
            json!({}),
        ),
        (
            "a token",
            ("POST", "/Orders/Create", vec![bearer(&reseller), json_body], r#"{"lines":[{"sku":"A","quantity":1}]}"#),
            "POST",
            "/admin/tokens/revoke".into(),
            json!({"jti": jti}),
        ),
    ];
    for (what, (method, path, headers, body), revoke_method, revoke, fields) in rows {
        let (revoked, stop) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let headers: Vec<(String, Vec<u8>)> = headers.into_iter().map(|(n, v)| (n, v.into_bytes())).collect();
        let mut callers = Vec::new();
        for _ in 0..8 {
            let (dev, headers) = (Arc::clone(&dev), headers.clone());
            let (revoked, stop) = (Arc::clone(&revoked), Arc::clone(&stop));
            callers.push(tokio::spawn(async move {
                let (mut before, mut after, mut let_through) = (0, 0, 0);
                while !stop.load(Ordering::SeqCst) {
                    let is_after = revoked.load(Ordering::SeqCst);
                    let status = raw(&dev.url, method, path, &headers, body.as_bytes()).await.status;
                    match (is_after, status) {
                        (true, 200) => let_through += 1,
                        (true, 401 | 403) => after += 1,
                        (false, 200) => before += 1,
                        (false, 401 | 403) => {}
                        (_, other) => panic!("{other}"),
                    }
                    if after >= 25 {
                        break;
                    }
                }
                (before, after, let_through)
            }));
        }
        // Under load: some have been let through before.
        for _ in 0..5 {
            let status = raw(&dev.url, method, path, &headers, body.as_bytes()).await.status;
            assert_eq!(status, 200, "{what}");
        }
        operator.done(revoke_method, &revoke, fields).await;
        revoked.store(true, Ordering::SeqCst);
        let mut sums = (0, 0, 0);
        for caller in callers {
            let (before, after, let_through) = caller.await.unwrap();
            sums = (sums.0 + before, sums.1 + after, sums.2 + let_through);
        }
        stop.store(true, Ordering::SeqCst);
        assert!(sums.0 > 0 && sums.1 >= 200, "{what}: {sums:?}");
        assert_eq!(sums.2, 0, "{what}: let through after the revocation returned, of {}", sums.1);
    }
}

/// The engine wants to see that a request is signed, and does not look how.
const SIGNED: &str = "AWS4-HMAC-SHA256 Credential=local/20260101/us-east-1/dynamodb/aws4_request, \
    SignedHeaders=host;x-amz-date;x-amz-target, Signature=0000000000000000000000000000000000000000000000000000000000000000";

/// One call of DynamoDB's, past everything that administers.
async fn dynamodb(dev: &Dev, operation: &str, input: Value) -> Value {
    let headers = [
        ("X-Amz-Target".to_owned(), format!("DynamoDB_20120810.{operation}").into_bytes()),
        ("Content-Type".to_owned(), b"application/x-amz-json-1.0".to_vec()),
        ("X-Amz-Date".to_owned(), b"20260101T000000Z".to_vec()),
        ("Authorization".to_owned(), SIGNED.as_bytes().to_vec()),
    ];
    let url = dev.ready["dynamodb_endpoint"].as_str().unwrap();
    let mut input = input;
    input["TableName"] = json!("countersign");
    let answer = raw(url, "POST", "/", &headers, input.to_string().as_bytes()).await;
    assert_eq!(answer.status, 200, "{operation}: {}", answer.text);
    answer.json
}

#[tokio::test]
async fn whoever_writes_the_table_is_found_by_the_audit() {
    let dev = Dev::demo();
    let operator = Desk::of(&dev, "operator").await;
    for n in 0..4 {
        let tenant = format!("/admin/tenants/acme/{}", if n % 2 == 0 { "disable" } else { "enable" });
        operator.done("POST", &tenant, Value::Null).await;
    }
    let verify = async || operator.done("GET", "/admin/tenants/acme/audit/verify", Value::Null).await;
    let whole = verify().await;
    assert_eq!((&whole["state"], &whole["entries"]), (&json!("whole"), &json!(4)));
    let query =
        json!({"KeyConditionExpression": "pk = :pk", "ExpressionAttributeValues": {":pk": {"S": "AUDIT#acme"}}});
    let items = dynamodb(&dev, "Query", query).await["Items"].as_array().unwrap().clone();
    let entries: Vec<&Value> = items.iter().filter(|i| i["sk"]["S"].as_str().unwrap().starts_with("ENTRY#")).collect();
    let head = items.iter().find(|i| i["sk"]["S"] == "HEAD").unwrap();
    assert_eq!(entries.len(), 4);
    let put = async |item: &Value| drop(dynamodb(&dev, "PutItem", json!({"Item": item})).await);
    let delete = async |item: &Value| {
        drop(dynamodb(&dev, "DeleteItem", json!({"Key": {"pk": item["pk"], "sk": item["sk"]}})).await);
    };
    let edited = |item: &Value, from: &str, to: &str| {
        let mut item = item.clone();
        let text = item["entry"]["S"].as_str().unwrap();
        assert!(text.contains(from), "{text}");
        item["entry"]["S"] = json!(text.replace(from, to));
        item
    };
    let swapped = |place: &Value, content: &Value| {
        let mut item = content.clone();
        item["sk"] = place["sk"].clone();
        item
    };
    // Each is done, found, and undone.
    let broken_at = async |sentence: &str, number: u64| {
        let found = verify().await;
        assert_eq!((&found["state"], &found["number"]), (&json!("broken"), &json!(number)), "{sentence}: {found}");
    };
    put(&edited(entries[1], "\"actor\":\"operator\"", "\"actor\":\"somebody\"")).await;
    broken_at("edited", 2).await;
    let without = |item: &Value, name: &str| {
        let mut item = item.clone();
        item.as_object_mut().unwrap().remove(name);
        item
    };
    for name in ["entry", "mark"] {
        put(&without(entries[1], name)).await;
        broken_at(&format!("without its {name}"), 2).await;
    }
    put(entries[1]).await;
    for name in ["number", "time", "mark"] {
        put(&without(head, name)).await;
        for (method, path) in [("GET", "audit/verify"), ("POST", "disable")] {
            let answer = operator.call(method, &format!("/admin/tenants/acme/{path}"), Value::Null).await;
            assert_eq!(answer.status, 503, "{path}, with an end of the chain that has no {name}: {}", answer.text);
        }
    }
    put(head).await;
    delete(entries[2]).await;
    broken_at("removed from the middle", 3).await;
    put(entries[2]).await;
    delete(entries[3]).await;
    broken_at("the last removed", 4).await;
    put(entries[3]).await;
    put(&swapped(entries[0], entries[1])).await;
    put(&swapped(entries[1], entries[0])).await;
    broken_at("two in each other's place", 1).await;
    put(entries[0]).await;
    put(entries[1]).await;
    delete(head).await;
    broken_at("the head removed", 5).await;
    put(head).await;
    assert_eq!(verify().await["state"], "whole");
    // One of a later time than all others, made without the secret, and the newest of them left standing after an older
    // head: neither hides what is missing.
    let mut forged = edited(entries[3], "\"number\":4", "\"number\":999");
    forged["sk"] = json!({"S": "ENTRY#9999-01-01T00:00:00Z#000000000999"});
    put(&forged).await;
    broken_at("one that was put in", 5).await;
    let shown = operator.done("GET", "/admin/tenants/acme/audit", Value::Null).await;
    assert_eq!(shown["entries"][0]["tampered"], true, "and is not shown as genuine");
    delete(&forged).await;
    let mut older = head.clone();
    for (name, value) in [("number", json!({"N": "1"})), ("mark", entries[0]["mark"].clone())] {
        older[name] = value;
    }
    put(&older).await;
    delete(entries[1]).await;
    delete(entries[2]).await;
    broken_at("put back to an older head, but for the newest", 2).await;
    put(entries[1]).await;
    put(entries[2]).await;
    put(head).await;
    let kept = verify().await["head"].as_str().unwrap().to_owned();
    let with_head = async |head: &str| {
        operator.done("GET", &format!("/admin/tenants/acme/audit/verify?head={head}"), Value::Null).await["state"]
            .clone()
    };
    assert_eq!(with_head(&kept).await, "whole");
    assert_eq!(with_head(&kept.replace("4:", "3:")).await, "broken", "a head that the chain never had");
    // A chain that was tampered with is not mended by the next change.
    put(&edited(entries[0], "disabled", "active")).await;
    operator.done("POST", "/admin/tenants/acme/disable", Value::Null).await;
    broken_at("and gone on from", 1).await;
}

#[tokio::test]
async fn what_is_said_of_roles_apis_tenants_and_customers_counts_on_the_next_decision() {
    let dev = Dev::demo();
    let operator = Desk::of(&dev, "operator").await;
    let reseller = dev.token("reseller", &[]).await;
    let order = async || {
        dev.with_token(&reseller, "POST", "/Orders/Create", r#"{"lines":[{"sku":"A","quantity":1}]}"#).await.outcome()
    };
    assert_eq!(order().await, (200, 0));
    operator.done("PUT", "/admin/roles/buyer", json!({"scopes": ["orders:read"]})).await;
    assert_eq!(order().await, (403, -30), "a role that lost its scope");
    operator.done("PUT", "/admin/roles/buyer", json!({"scopes": ["orders:create", "orders:read"]})).await;
    assert_eq!(order().await, (200, 0));
    operator.done("DELETE", "/admin/roles/buyer", Value::Null).await;
    assert_eq!(order().await, (403, -30), "a role that is gone");
    operator.done("PUT", "/admin/roles/buyer", json!({"scopes": ["orders:create"]})).await;
    operator.done("PUT", "/admin/tenants/acme/apis", json!({"apis": ["admin", "storefront"]})).await;
    assert_eq!(order().await, (403, -33), "an API that the tenant lost");
    operator.done("PUT", "/admin/tenants/acme/apis", json!({"apis": ["admin", "storefront", "reseller"]})).await;
    operator.done("POST", "/admin/tenants/acme/disable", Value::Null).await;
    assert_eq!(order().await, (403, -31), "a tenant that is switched off");
    operator.done("POST", "/admin/tenants/acme/enable", Value::Null).await;
    assert_eq!(order().await, (200, 0));

    let mut document: Value = yaml_serde::from_str(include_str!("../openapi.yaml")).unwrap();
    document["paths"]["/Orders/Create"]["post"]["security"] = json!([{"token": ["orders:approve"]}]);
    let import = json!({"document": document, "api": "reseller", "source": "openapi.yaml"});
    let diff = operator.done("POST", "/admin/apis/diff", json!({"document": document, "api": "reseller"})).await;
    let change = &diff["changes"][0];
    assert_eq!((&change["change"], &change["path"]), (&json!("changed"), &json!("/Orders/Create")));
    assert_eq!(change["members"]["scopes"]["after"], json!([["orders:approve"]]));
    assert_eq!(order().await, (200, 0), "a diff changes nothing");
    operator.done("POST", "/admin/apis/import", import).await;
    assert_eq!(order().await, (403, -30), "a requirement that changed");
    let thief = json!({"openapi": "3.0.1", "info": {"title": "Thief", "version": "1"},
        "components": {"securitySchemes": {"t": {"type": "http", "scheme": "bearer"}}},
        "paths": {"/Orders/Create": {"post": {"security": [{"t": []}]}}}});
    assert_eq!(operator.call("POST", "/admin/apis/import", json!({"document": thief})).await.outcome(), (409, -43));

    // A tenant that the platform's own application provisions, and its customer.
    operator.done("PUT", "/admin/tenants/initech", json!({"name": "Initech", "apis": ["storefront"]})).await;
    let again = operator.call("PUT", "/admin/tenants/initech", json!({})).await;
    assert_eq!(again.outcome(), (409, -43));
    let create = json!({"username": "bob@example.com", "customer_id": "cu-9", "password": "a long way to Tipperary", "scopes": ["cart:read"]});
    operator.done("POST", "/admin/tenants/initech/customers", create).await;
    let login = async |password: &str| {
        let body = json!({"tenant": "initech", "username": "bob@example.com", "password": password}).to_string();
        dev.call("POST", "/login", &[("Content-Type", "application/json")], &body).await
    };
    let token = login("a long way to Tipperary").await.json["access_token"].as_str().unwrap().to_owned();
    let cart = async |token: &str| dev.with_token(token, "GET", "/Storefront/Cart", "").await.status;
    assert_eq!(cart(&token).await, 200);
    operator
        .done(
            "POST",
            "/admin/tenants/initech/customers/bob%40example.com/reset",
            json!({"password": "another long password"}),
        )
        .await;
    assert_eq!(cart(&token).await, 401, "tokens of before a reset");
    assert_eq!(login("a long way to Tipperary").await.status, 401);
    let token = login("another long password").await.json["access_token"].as_str().unwrap().to_owned();
    assert_eq!(cart(&token).await, 200, "issued in the second of the reset");
    operator.done("POST", "/admin/tenants/initech/customers/bob@example.com/disable", Value::Null).await;
    assert_eq!((cart(&token).await, login("another long password").await.status), (401, 401));

    // A hash of another system moves in, and is ours after the first login.
    let hash = json!({"username": "eve", "customer_id": "cu-8", "password_hash": "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"});
    let made = operator.done("POST", "/admin/tenants/initech/customers", hash).await;
    assert_eq!(made["password_imported"], true);
    let eve = json!({"tenant": "initech", "username": "eve", "password": "U*U"}).to_string();
    for _ in 0..2 {
        assert_eq!(dev.call("POST", "/login", &[("Content-Type", "application/json")], &eve).await.status, 200);
        let shown = operator.done("GET", "/admin/tenants/initech/customers/eve", Value::Null).await;
        assert_eq!(shown["password_imported"], false, "{shown}");
    }
}
