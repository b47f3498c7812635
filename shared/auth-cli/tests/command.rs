//! The command as a process: what it says, and how it ends.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    reason = "a test says what is wrong by panicking"
)]

use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::process::{Command, Output, Stdio};

fn dev(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_countersign"));
    command.arg("dev").args(arguments);
    command
}

fn file(name: &str, text: &str) -> String {
    let path = std::env::temp_dir().join(format!("countersign-command-{}-{name}", std::process::id()));
    std::fs::write(&path, text).unwrap();
    path.display().to_string()
}

fn refused(arguments: &[&str]) -> String {
    let Output { status, stderr, .. } = dev(arguments).output().unwrap();
    assert_eq!(status.code(), Some(2), "{arguments:?}: {}", String::from_utf8_lossy(&stderr));
    let text = String::from_utf8(stderr).unwrap();
    assert_eq!(text.trim().lines().count(), 1, "one sentence: {text}");
    text
}

#[test]
fn what_cannot_be_done_is_one_clear_sentence_and_exit_code_2() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let api = file(
        "api.yaml",
        "openapi: 3.0.1\ninfo: { title: T, version: '1' }\ncomponents: { securitySchemes: { j: { type: http, scheme: bearer } } }\npaths: { /a: { get: { security: [{ j: [] }] } } }\n",
    );
    let seed = |name: &str, text: &str| {
        file(name, &format!("apis: [{{ name: t, openapi: {api} }}]\ntenants: [{{ id: acme, apis: [t] }}]\n{text}"))
    };
    let no_yaml = file("no.yaml", "a: [");
    let no_openapi = file("swagger.yaml", "swagger: '2.0'");
    let unknown = seed("unknown.yaml", "clientz: []");
    let missing = seed("missing.yaml", "clients: [{ client_id: c1, tenant: acme }]");
    let deep = seed(
        "deep.yaml",
        "clients: [{ client_id: c1, kind: single_tenant, tenant: acme, grants: [{ tenant: acme, state: maybe }] }]",
    );
    let tenant = seed("tenant.yaml", "clients: [{ client_id: c1, kind: single_tenant, tenant: nowhere }]");
    let scope = seed(
        "scope.yaml",
        "clients: [{ client_id: c1, kind: single_tenant, tenant: acme, grants: [{ tenant: acme, state: approved, scopes: ['a b'] }] }]",
    );
    let twice = file(
        "twice.yaml",
        &format!(
            "apis: [{{ name: t, openapi: {api} }}]\ntenants: [{{ id: acme, apis: [t] }}, {{ id: acme, apis: [t] }}]"
        ),
    );
    let issuer = seed("issuer.yaml", "issuer: auth.example");
    let misspelt = file(
        "misspelt.yaml",
        "openapi: 3.0.1\ninfo: { title: T, version: '1' }\npaths: { /a: { x-countersign-tennant: path.t, get: { security: [] } } }\n",
    );
    let rows: &[(&str, &[&str], &str)] = &[
        ("a port in use", &["--port", &port], "is in use"),
        ("no such seed", &["--port", "0", "--seed", "/nowhere/seed.yaml"], "/nowhere/seed.yaml"),
        ("a seed that is no YAML", &["--port", "0", "--seed", &no_yaml], "no.yaml"),
        ("an unknown member, by name", &["--port", "0", "--seed", &unknown], "clientz"),
        ("a missing member, by path", &["--port", "0", "--seed", &missing], "clients[0]: missing field `kind`"),
        ("a wrong value, by path", &["--port", "0", "--seed", &deep], "clients[0].grants[0].state"),
        ("a tenant that is not there, by path", &["--port", "0", "--seed", &tenant], "clients[0].tenant"),
        ("a malformed name, by path", &["--port", "0", "--seed", &scope], "clients[0].grants[0].scopes[0]"),
        ("a tenant that is there twice, by path", &["--port", "0", "--seed", &twice], "tenants[1].id"),
        ("an issuer that is none, by name", &["--port", "0", "--seed", &issuer], "issuer: "),
        (
            "an extension that is misspelt, by path",
            &["--port", "0", "--openapi", &misspelt],
            "paths./a.x-countersign-tennant",
        ),
        ("a ready file where there is no folder", &["--port", "0", "--ready-file", "/nowhere/ready.json"], "/nowhere"),
        ("a document that is not OpenAPI 3", &["--port", "0", "--openapi", &no_openapi], "openapi"),
        ("no such document", &["--port", "0", "--openapi", "/nowhere/api.yaml"], "/nowhere/api.yaml"),
    ];
    for (sentence, arguments, part) in rows {
        let said = refused(arguments);
        assert!(said.contains(part), "{sentence}: {said}");
    }
}

#[cfg(unix)]
#[test]
fn it_stops_cleanly_when_it_is_told() {
    for signal in ["INT", "TERM"] {
        let mut child = dev(&["--port", "0"]).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert!(lines.next().unwrap().unwrap().starts_with("listening on http://127.0.0.1:"));
        assert!(lines.by_ref().any(|line| line.unwrap().starts_with("Each decision follows")));
        let told = Command::new("kill").args([format!("-{signal}"), child.id().to_string()]).status().unwrap();
        assert!(told.success());
        assert_eq!(lines.next().unwrap().unwrap(), "stopped");
        assert!(child.wait().unwrap().success(), "exit code 0 after SIG{signal}");
    }
}
