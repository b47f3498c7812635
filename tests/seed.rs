//! `countersign seed`: a deployment gets its first partner, as docs/deploy.md says.

use crate::harness::{self, Dev, basic};
use std::path::Path;
use std::process::{Command, Output};

fn seed(dev: &Dev, file: &Path) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } =
        Command::new(harness::binary()).arg("seed").arg(file).envs(dev.variables()).output().unwrap();
    (status.code(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

#[tokio::test]
async fn the_first_partner_of_a_deployment_gets_a_token_and_calls() {
    let dev = Dev::demo();
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/first-partner.yaml");
    let (code, said, _) = seed(&dev, &file);
    assert_eq!(code, Some(0), "{said}");
    let secret = said.lines().find_map(|l| l.strip_prefix("made for client first-partner: client_secret ")).unwrap();
    let credentials = basic("first-partner", secret);
    let headers = [("Authorization", credentials.as_str()), ("Content-Type", "application/x-www-form-urlencoded")];
    let token = dev.call("POST", "/oauth/token", &headers, "grant_type=client_credentials").await;
    let bearer = format!("Bearer {}", token.json["access_token"].as_str().unwrap());
    let headers = [("Authorization", bearer.as_str()), ("X-Partner-Supplier", "S-100")];
    assert_eq!(dev.call("GET", "/clients/acme/skus/AB-1", &headers, "").await.status, 200);

    // Again: nothing that is there is changed, and no secret is made that would not count.
    let (code, said, _) = seed(&dev, &file);
    assert_eq!(code, Some(0));
    assert!(!said.contains("client_secret") && said.contains("\n0 added"), "{said}");
    assert_eq!(dev.call("GET", "/clients/acme/skus/AB-1", &headers, "").await.status, 200);
    // Nor are the APIs of the document that this seed does not declare.
    assert_eq!(dev.token_answer("reseller", &[]).await.status, 200);
}

#[test]
fn a_seed_for_another_deployment_is_refused_by_name() {
    let dev = Dev::demo();
    let folder = harness::folder();
    let rows = [
        ("environment: live", "environment: the seed is for live"),
        ("issuer: https://auth.example", "issuer: the seed says https://auth.example"),
        ("keyring: ./k.json", "keyring: a deployment has its own"),
        ("apis: [{ name: one }]", "apis[0].openapi: missing"),
        ("clientz: []", "clientz"),
        // A secret in a wrong place is not told to the terminal.
        ("api_keys: [ak_test_secret]", "api_keys[0]: expected"),
        ("{\"clients\": [{\"client_id\": \"c\", \"client_secret\": 987654321}]}", "clients[0].client_secret: expected"),
        // Another API's routes are not taken over.
        (
            "apis: [{ name: thief, openapi: thief.yaml }]",
            "GET /test/partner of API thief and GET /test/partner of API partner",
        ),
    ];
    let thief = "openapi: 3.0.1\ninfo: { title: Thief, version: '1' }\ncomponents: { securitySchemes: { t: { type: http, scheme: bearer } } }\npaths: { /test/partner: { get: { security: [{ t: [] }] } } }\n";
    std::fs::write(folder.join("thief.yaml"), thief).unwrap();
    for (text, expected) in rows {
        let file = folder.join("seed.yaml");
        std::fs::write(&file, text).unwrap();
        let (code, _, complained) = seed(&dev, &file);
        assert_eq!(code, Some(2), "{text}: {complained}");
        assert!(complained.contains(expected), "{text}: {complained}");
        assert!(!complained.contains("987654321") && !complained.contains("ak_test_secret"), "{complained}");
    }
    // What a gateway on AWS would leave open is told.
    let open = thief.replace("/test/partner: { get: { security: [{ t: [] }] } }", "/open: { get: {} }");
    let open = open.replace("scheme: bearer", "scheme: bearer, x-amazon-apigateway-authorizer: { type: request }");
    std::fs::write(folder.join("thief.yaml"), format!("{open}security: [{{ t: [] }}]\n")).unwrap();
    std::fs::write(folder.join("seed.yaml"), "apis: [{ name: thief, openapi: thief.yaml }]").unwrap();
    let (code, _, complained) = seed(&dev, &folder.join("seed.yaml"));
    assert!(code == Some(0) && complained.contains("GET /open relies on the security at the top"), "{complained}");
    std::fs::remove_dir_all(&folder).unwrap();
    let nothing = Command::new(harness::binary()).args(["seed", "x.yaml"]).env_clear().output().unwrap();
    assert_eq!(nothing.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&nothing.stderr).contains("ISSUER: must be set"));
}
