//! Every kind of credential against every kind of operation, in every state of the records behind it, held against the
//! contract's rules as they would be told to somebody: written apart from the code, without a look at how it decides.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test says what is wrong by panicking"
)]

use auth_core::api::{
    Api, Catalog, Found, Mechanism, Operation, PathTemplate, Request, Source, Subject, TokenSettings,
};
use auth_core::decision::{
    Deployment, Rights, Trail, authorize, establish_key, establish_self_signed, establish_token,
};
use auth_core::ids::{Environment, TenantId};
use auth_core::jws::Algorithm;
use auth_core::keyring::{Keyring, KeyringDocument};
use auth_core::records::{Client, Facts};
use auth_core::refusal::Reason;
use auth_core::secret::SecretText;
use auth_core::time::Timestamp;
use auth_core::token::{Expected, SelfSigned, UnverifiedToken, VerifiedToken};
use serde_json::{Value, json};

const NOW: Timestamp = Timestamp(1_800_000_000);

/// Who comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Who {
    /// A partner's application, with a token of one tenant.
    Partner,
    /// An application of the platform's, with a token for a tenant that it named.
    Internal,
    /// One that maintains tenants.
    Maintainer,
    Customer,
    /// A partner's server, with an API key.
    Key,
    /// A partner that signed its token itself.
    SelfSigned,
}
const WHO: [Who; 6] = [Who::Partner, Who::Internal, Who::Maintainer, Who::Customer, Who::Key, Who::SelfSigned];

/// What the records say.
#[derive(Debug, Clone, Copy)]
struct Records {
    client: &'static str,
    grant: &'static str,
    tenant: &'static str,
    api_of_client: bool,
    api_of_tenant: bool,
    has_scope: bool,
    of_this_environment: bool,
}

/// What is asked.
#[derive(Debug, Clone, Copy)]
struct Asked {
    subject: Subject,
    mechanism: Mechanism,
    /// Where the tenant stands: in the path, in a header, or in the token alone.
    place: &'static str,
    /// Which one the request names; of its own, or another, or none.
    names: &'static str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Allowed,
    /// 401: nobody knows who that is.
    Unknown,
    /// 403.
    Forbidden,
}

/// The rules, as they would be told.
fn told(who: Who, records: Records, asked: Asked) -> Outcome {
    let has_client = who != Who::Customer;
    let wrong_tenant = asked.place != "token" && asked.names != "own";
    // Who is it?
    if !records.of_this_environment {
        return Outcome::Unknown;
    }
    if has_client && records.client != "active" {
        return Outcome::Unknown;
    }
    if who == Who::Key && wrong_tenant {
        return Outcome::Unknown;
    }
    if (who == Who::Key) != (asked.mechanism == Mechanism::ApiKey) {
        return Outcome::Unknown;
    }
    // Is the operation for such?
    let for_such = match asked.subject {
        Subject::Customer => who == Who::Customer,
        Subject::Internal => matches!(who, Who::Internal | Who::Maintainer),
        Subject::Partner | Subject::Administrator => has_client,
    };
    if !for_such || (has_client && !records.api_of_client) {
        return Outcome::Forbidden;
    }
    // A maintainer has no tenant, and needs one where data is called for.
    if who == Who::Maintainer {
        let maintains = matches!(asked.subject, Subject::Internal | Subject::Administrator);
        return if maintains && records.has_scope { Outcome::Allowed } else { Outcome::Forbidden };
    }
    let granted = who == Who::Customer || records.grant == "approved";
    let may = granted && records.tenant == "active" && records.api_of_tenant && records.has_scope && !wrong_tenant;
    if may { Outcome::Allowed } else { Outcome::Forbidden }
}

struct House {
    keyring: Keyring,
    tokens: Vec<(Who, bool, VerifiedToken)>,
    self_signed: SelfSigned,
}

fn text(environment: bool) -> &'static str {
    if environment { "test" } else { "live" }
}

impl House {
    fn new() -> Self {
        let jwks: Value = serde_json::from_str(include_str!("../../../tests/corpus/private.jwks.json")).unwrap();
        let document = KeyringDocument::from_jwks(&jwks, [1; 32], [2; 32], Timestamp(0)).unwrap();
        let keyring = Keyring::parse(&document.to_text()).unwrap();
        let expected = Expected { issuer: "i", leeway_seconds: 0, now: NOW };
        let token = |who: Who, environment: bool| {
            let token_use = match who {
                Who::Customer => "customer",
                Who::Internal | Who::Maintainer => "internal",
                _ => "partner",
            };
            let mut claims = json!({"iss": "i", "aud": "aud", "sub": "c", "iat": NOW.0, "exp": NOW.0 + 60,
                "scope": "a:b other:c", "token_use": token_use, "environment": text(environment)});
            if who != Who::Maintainer {
                claims["tenant"] = json!("own");
            }
            if who == Who::Customer {
                claims["sub"] = json!("C-1");
                claims["customer_id"] = json!("C-1");
                claims["login_ref"] = json!("x");
            }
            let key = keyring.signing_key(Algorithm::EdDSA).unwrap();
            let token = auth_core::jws::sign(key, "at+jwt", &claims).unwrap();
            let Ok(UnverifiedToken::Issued(token)) = UnverifiedToken::parse(&token) else { panic!("a token of ours") };
            (who, environment, token.verify(&keyring, &expected).unwrap())
        };
        let issued = [Who::Partner, Who::Internal, Who::Maintainer, Who::Customer];
        let tokens = issued.into_iter().flat_map(|who| [token(who, true), token(who, false)]).collect();
        // The partner's own token says no environment; its record does.
        let sealed = keyring.sealing.seal("c", &SecretText::new("0123456789abcdef0123456789abcdef"), [9; 12]).unwrap();
        let mut client = client(Who::SelfSigned, "active", true, true);
        client["self_signing"] = json!({"secrets": [{"sealed": sealed.into_text()}], "max_lifetime_seconds": 60});
        let client: Client = serde_json::from_value(client).unwrap();
        let signed = own_token();
        let Ok(UnverifiedToken::SelfSigned(token)) = UnverifiedToken::parse(&signed) else { panic!("one's own token") };
        let self_signed = token.verify(Some(&client), &keyring, &expected, &[]).unwrap().unwrap();
        Self { keyring, tokens, self_signed }
    }
}

/// A JWT by HS256, as a partner makes it.
fn own_token() -> String {
    use auth_core::secret::base64url;
    let head = base64url(br#"{"alg":"HS256","typ":"JWT"}"#);
    let body = base64url(json!({"clientId": "c", "iat": NOW.0, "exp": NOW.0 + 60}).to_string().as_bytes());
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, b"0123456789abcdef0123456789abcdef");
    let signature = aws_lc_rs::hmac::sign(&key, format!("{head}.{body}").as_bytes());
    format!("{head}.{body}.{}", base64url(signature.as_ref()))
}

fn client(who: Who, state: &str, has_api: bool, environment: bool) -> Value {
    let kind = match who {
        Who::Internal => "dynamic_tenant",
        Who::Maintainer => "multi_tenant",
        _ => "single_tenant",
    };
    let mut client = json!({"client_id": "c", "kind": kind, "environment": text(environment), "state": state,
        "internal": kind != "single_tenant", "grant_types": [], "secrets": [], "requires_user_login": false,
        "apis": if has_api { vec!["api"] } else { vec![] }, "roles": []});
    if kind == "single_tenant" {
        client["tenant"] = json!("own");
    }
    client
}

fn facts(who: Who, records: Records) -> Facts {
    let scopes = if records.has_scope { vec!["a:b"] } else { vec!["other:c"] };
    let mut client = client(who, records.client, records.api_of_client, records.of_this_environment);
    if who == Who::Maintainer {
        client["roles"] = json!([if records.has_scope { "may" } else { "may-not" }]);
    }
    let mut grant = json!({"client_id": "c", "tenant": "own", "scopes": scopes, "roles": [], "skus": [],
        "suppliers": [], "state": if records.grant == "ended" { "approved" } else { records.grant }});
    if records.grant == "ended" {
        grant["not_after"] = json!(NOW.0 - 1);
    }
    let apis = if records.api_of_tenant { vec!["api"] } else { vec![] };
    let read = |value: Value, there: bool| if there { value } else { Value::Null };
    Facts {
        client: serde_json::from_value(read(client, who != Who::Customer)).unwrap(),
        grant: serde_json::from_value(read(grant, records.grant != "missing")).unwrap(),
        tenant: serde_json::from_value(read(
            json!({"id": "own", "apis": apis, "state": records.tenant}),
            records.tenant != "missing",
        ))
        .unwrap(),
        customer: serde_json::from_value(read(
            json!({"tenant": "own", "customer_id": "C-1", "scopes": scopes, "state": "active",
                "password": "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0$aGFzaGhhc2hoYXNoaGFzaGhhc2hoYXNo"}),
            who == Who::Customer,
        ))
        .unwrap(),
        key: serde_json::from_value(read(
            json!({"key_id": "k", "client_id": "c", "tenant": "own", "apis": ["api"], "within_client": true,
                "environment": text(records.of_this_environment), "state": "active"}),
            who == Who::Key,
        ))
        .unwrap(),
        ..Facts::default()
    }
}

fn catalog(asked: Asked) -> Catalog {
    let (path, tenant) = match asked.place {
        "path" => ("/t/{tenant}", Source::Path("tenant".into())),
        "header" => ("/t", Source::Header("X-Tenant".into())),
        _ => ("/t", Source::Token),
    };
    let operation = Operation {
        id: "o".into(),
        method: "GET".into(),
        path: PathTemplate::try_from(path.to_owned()).unwrap(),
        mechanism: asked.mechanism,
        scopes: vec![vec!["a:b".parse().unwrap()]],
        tenant,
        sku: None,
        supplier: None,
        subject: asked.subject,
        scope_refusal_is_401: false,
        guard: false,
        media_types: Vec::new(),
    };
    let token = TokenSettings { alg: Algorithm::EdDSA, ..TokenSettings::default() };
    let name: auth_core::ids::ApiName = "api".parse().unwrap();
    let api = Api {
        name: name.clone(),
        audience: "aud".into(),
        url: None,
        document: "d".into(),
        token,
        operations: vec![operation.into()],
    };
    let role = |name: &str, scope: &str| (name.parse().unwrap(), vec![scope.parse().unwrap()]);
    Catalog {
        apis: [(name, api.into())].into(),
        roles: [role("may", "a:b"), role("may-not", "other:c")].into(),
        ..Catalog::default()
    }
}

/// What the code decides.
fn decided(house: &House, who: Who, facts: Facts, catalog: &Catalog, records: Records, asked: Asked) -> Outcome {
    let path = match (asked.place, asked.names) {
        ("path", name) => format!("/t/{name}"),
        _ => "/t".to_owned(),
    };
    let headers = match (asked.place, asked.names) {
        ("header", "none") => Vec::new(),
        ("header", name) => vec![("x-tenant".to_owned(), name.to_owned())],
        _ => Vec::new(),
    };
    let request = Request { method: "GET".into(), path, headers: Some(headers), query: Some(Vec::new()) };
    let matched = catalog.find(&request.method, &request.path).unwrap();
    let deployment = Deployment { environment: Environment::Test, now: NOW };
    let trail = &mut Trail::default();
    let own: TenantId = "own".parse().unwrap();
    let rights: Result<Rights, Reason> = match who {
        Who::Key => {
            let requested = match matched.operation.tenant {
                Source::Token => Found::Unseen,
                ref source => request.at(source, &matched.parameters),
            };
            establish_key(facts, catalog, deployment, &requested, trail)
        }
        Who::SelfSigned => establish_self_signed(&house.self_signed, Some(&own), facts, catalog, deployment, trail),
        _ => {
            let is_it = |(of, environment, _): &&(Who, bool, VerifiedToken)| {
                *of == who && *environment == records.of_this_environment
            };
            let token = house.tokens.iter().find(is_it).unwrap().2.clone();
            establish_token(token, facts, catalog, deployment, Some(&matched.api), trail)
        }
    };
    match rights.and_then(|rights| authorize(&rights.into(), &matched, &request, trail)) {
        Ok(_) => Outcome::Allowed,
        Err(reason) if reason.is_unauthorized() => Outcome::Unknown,
        Err(_) => Outcome::Forbidden,
    }
}

#[test]
fn every_credential_in_every_state_is_decided_as_the_rules_are_told() {
    let house = House::new();
    assert!(house.keyring.signing_key(Algorithm::EdDSA).is_some());
    let mut all_asked = Vec::new();
    for subject in [Subject::Partner, Subject::Customer, Subject::Internal, Subject::Administrator] {
        for mechanism in [Mechanism::Jwt, Mechanism::ApiKey] {
            for (place, names) in [
                ("token", "none"),
                ("path", "own"),
                ("path", "other"),
                ("header", "own"),
                ("header", "other"),
                ("header", "none"),
            ] {
                all_asked.push(Asked { subject, mechanism, place, names });
            }
        }
    }
    let mut all_records = Vec::new();
    for client in ["pending", "active", "suspended", "deleted"] {
        for grant in ["missing", "requested", "approved", "revoked", "ended"] {
            for tenant in ["missing", "active", "disabled"] {
                for bits in 0..16 {
                    let bit = |n: u32| bits & (1 << n) != 0;
                    all_records.push(Records {
                        client,
                        grant,
                        tenant,
                        api_of_client: bit(0),
                        api_of_tenant: bit(1),
                        has_scope: bit(2),
                        of_this_environment: bit(3),
                    });
                }
            }
        }
    }
    let catalogs: Vec<(Asked, Catalog)> = all_asked.into_iter().map(|asked| (asked, catalog(asked))).collect();
    let (mut count, mut allowed) = (0, 0);
    for who in WHO {
        for records in &all_records {
            let facts = facts(who, *records);
            for (asked, catalog) in &catalogs {
                let got = decided(&house, who, facts.clone(), catalog, *records, *asked);
                assert_eq!(got, told(who, *records, *asked), "{who:?} {records:?} {asked:?}");
                count += 1;
                allowed += usize::from(got == Outcome::Allowed);
            }
        }
    }
    assert!(count > 250_000 && allowed > 100, "{count} decided, {allowed} allowed");
}
