//! The template against the code: what is deployed is what there is, and says what the catalogue says.

use crate::harness::Dev;
use auth_core::ids::glob;
use auth_core::refusal::Refusal;
use serde_json::{Map, Value, json};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// A YAML file of CloudFormation's, its short tags written out: `!Ref x` becomes `{"Ref": "x"}`.
fn read(path: &str) -> Value {
    let text = std::fs::read_to_string(top().join(path)).expect(path);
    long(yaml_serde::from_str(&text).expect(path))
}

fn long(value: yaml_serde::Value) -> Value {
    match value {
        yaml_serde::Value::Tagged(tagged) => {
            let tag = tagged.tag.to_string().trim_start_matches('!').to_owned();
            let name = if tag == "Ref" || tag == "Condition" { tag } else { format!("Fn::{tag}") };
            json!({name: long(tagged.value)})
        }
        yaml_serde::Value::Sequence(list) => list.into_iter().map(long).collect(),
        yaml_serde::Value::Mapping(map) => {
            let members: Map<String, Value> =
                map.into_iter().map(|(k, v)| (k.as_str().expect("a text as a key").to_owned(), long(v))).collect();
            Value::Object(members)
        }
        other => serde_json::to_value(other).unwrap(),
    }
}

/// `template.yaml`.
pub(crate) struct Template(Value);

/// What a function may do.
pub(crate) struct Policy(Vec<(Vec<String>, Vec<String>)>);

impl Policy {
    /// Whether a call is allowed: `ForAllValues`, so every key must match.
    pub(crate) fn allows(&self, action: &str, keys: &[String]) -> bool {
        self.0.iter().any(|(actions, patterns)| {
            let matches = |key: &String| patterns.iter().any(|pattern| Self::matches(pattern, key));
            actions.iter().any(|a| a == action) && (patterns.is_empty() || keys.iter().all(matches))
        })
    }

    /// Each action with each pattern of keys; an empty one where the keys are not limited.
    pub(crate) fn permissions(&self) -> Vec<(String, String)> {
        let mut all = Vec::new();
        for (actions, patterns) in &self.0 {
            for action in actions {
                let patterns = if patterns.is_empty() { vec![String::new()] } else { patterns.clone() };
                all.extend(patterns.into_iter().map(|pattern| (action.clone(), pattern)));
            }
        }
        all
    }

    pub(crate) fn matches(pattern: &str, key: &str) -> bool {
        glob(pattern, key)
    }
}

fn texts(value: &Value) -> Vec<String> {
    match value {
        Value::Array(list) => list.iter().map(|v| v.as_str().unwrap().to_owned()).collect(),
        Value::String(text) => vec![text.clone()],
        other => panic!("texts are needed, not {other}"),
    }
}

impl Template {
    pub(crate) fn read() -> Self {
        Self(read("template.yaml"))
    }

    fn resources<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = (&'a String, &'a Value)> {
        let all = self.0["Resources"].as_object().unwrap();
        all.iter().filter(move |(_, resource)| resource["Type"] == kind).map(|(name, r)| (name, &r["Properties"]))
    }

    /// Each function's folder, and its resource.
    pub(crate) fn functions(&self) -> BTreeMap<String, &Value> {
        let all = self.0["Resources"].as_object().unwrap();
        let functions = all.values().filter(|r| r["Type"] == "AWS::Serverless::Function");
        functions
            .map(|r| (r["Metadata"]["BuildProperties"]["Binary"].as_str().unwrap().to_owned(), &r["Properties"]))
            .collect()
    }

    /// What the function may do.
    pub(crate) fn policy(&self, function: &str) -> Policy {
        let functions = self.functions();
        let policies = functions[function]["Policies"].as_array().unwrap();
        let statements = policies.iter().flat_map(|policy| policy["Statement"].as_array().unwrap());
        Policy(
            statements
                .map(|statement| {
                    assert_eq!(statement["Effect"], "Allow");
                    let conditions = statement["Condition"].as_object().into_iter().flatten();
                    let keys = conditions.flat_map(|(operator, condition)| {
                        assert!(operator.starts_with("ForAllValues:String"), "{operator}");
                        texts(&condition["dynamodb:LeadingKeys"])
                    });
                    (texts(&statement["Action"]), keys.collect())
                })
                .collect(),
        )
    }
}

#[test]
fn each_function_has_its_resource_and_each_variable_that_it_reads() {
    let template = Template::read();
    let folders: BTreeSet<String> = std::fs::read_dir(top().join("functions"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    let functions = template.functions();
    assert_eq!(functions.keys().cloned().collect::<BTreeSet<_>>(), folders);

    // What the settings read, they are asked for.
    let asked = RefCell::new(BTreeSet::new());
    let _ = auth_core::settings::Settings::read(|name| {
        asked.borrow_mut().insert(name.to_owned());
        Some(match name {
            "ISSUER" => "https://auth.example".into(),
            "ENVIRONMENT" => "test".into(),
            "LOG_LEVEL" => "info".into(),
            "HTTP_API_RESPONSE" => "simple".into(),
            _ => "1".into(),
        })
    });
    let of = |variables: &Value| -> BTreeSet<String> {
        variables["Environment"]["Variables"].as_object().into_iter().flatten().map(|(name, _)| name.clone()).collect()
    };
    let mut read = asked.into_inner();
    // This one is for the C library's allocator.
    read.insert("GLIBC_TUNABLES".to_owned());
    let globals = of(&template.0["Globals"]["Function"]);
    assert_eq!(globals, read, "the variables of all functions are those that the settings read");
    for (name, function) in functions {
        let wiring = std::fs::read_to_string(top().join(format!("functions/{name}/src/main.rs"))).unwrap();
        let own: BTreeSet<String> =
            wiring.split("std::env::var(\"").skip(1).map(|rest| rest.split('"').next().unwrap().to_owned()).collect();
        assert_eq!(of(function), own, "{name}: its own variables");
        assert!(function["MemorySize"].is_u64() && function["LoggingConfig"]["LogGroup"]["Ref"].is_string(), "{name}");
    }
}

#[test]
fn no_policy_is_wider_than_a_table_and_a_secret() {
    let template = Template::read();
    for (name, function) in template.functions() {
        for statement in
            function["Policies"].as_array().unwrap().iter().flat_map(|p| p["Statement"].as_array().unwrap())
        {
            let resource = &statement["Resource"];
            let is_ours = *resource == json!({"Fn::GetAtt": "Table.Arn"}) || *resource == json!({"Ref": "Keyring"});
            assert!(is_ours, "{name}: {resource}");
            assert!(texts(&statement["Action"]).iter().all(|action| !action.contains('*')), "{name}");
            let of_table = texts(&statement["Action"]).iter().any(|action| action.starts_with("dynamodb:"));
            assert_eq!(of_table, statement["Condition"].is_object(), "{name}: reads of the table name their keys");
        }
    }
    for (name, permission) in template.resources("AWS::Lambda::Permission") {
        assert!(!permission["SourceArn"].is_null(), "{name}: anybody's gateway could invoke it");
    }
    let table = &template.resources("AWS::DynamoDB::Table").next().unwrap().1;
    assert_eq!(table["TimeToLiveSpecification"]["AttributeName"], "ttl");
}

#[tokio::test]
async fn each_route_is_one_that_its_function_serves_and_refuses() {
    let template = Template::read();
    let mut routes = BTreeMap::new();
    for (_, route) in template.resources("AWS::ApiGatewayV2::Route") {
        let (method, path) = route["RouteKey"].as_str().unwrap().split_once(' ').unwrap();
        assert_eq!(method, "ANY", "{path}: the function refuses other methods by itself");
        let target = route["Target"]["Fn::Sub"].as_str().unwrap().to_owned();
        let functions = [("TokenIntegration", "token"), ("LoginIntegration", "login"), ("AdminIntegration", "admin")];
        let function = functions.iter().find(|(integration, _)| target.contains(integration)).unwrap().1;
        routes.insert(path.to_owned(), function);
    }
    let paths = [
        token::TOKEN_PATHS.as_slice(),
        &token::METADATA_PATHS,
        &[token::REVOKE_PATH, token::INTROSPECT_PATH, token::JWKS_PATH],
    ];
    let of_resources = [token::RESOURCE_PATH.to_owned(), format!("{}/{{proxy+}}", token::RESOURCE_PATH)];
    let served = paths.concat().into_iter().map(str::to_owned).chain(of_resources).map(|path| (path, "token"));
    let of_holders = [admin::SELF_PATH.to_owned(), format!("{}/{{proxy+}}", admin::SELF_PATH)];
    let served = served.chain([(login::LOGIN_PATH.to_owned(), "login")]);
    let served: BTreeMap<String, &str> = served.chain(of_holders.map(|path| (path, "admin"))).collect();
    assert_eq!(routes, served);

    let dev = Dev::demo();
    for path in served.keys() {
        let answer = dev.call("DELETE", path, &[], "").await;
        assert!([404, 405].contains(&answer.status), "{path}: {}", answer.status);
        for member in ["error", "error_description", "code", "request_id"] {
            assert!(!answer.json[member].is_null(), "{path}: {member} is missing in {}", answer.text);
        }
    }
    // Of the demo's operations the golden matrix holds who is refused.
    let golden = include_str!("golden/permissions.txt");
    for document in ["openapi.yaml", "openapi-keys.yaml"] {
        for (path, item) in read(document)["paths"].as_object().unwrap() {
            for operation in item.as_object().unwrap().values().filter_map(|o| o["operationId"].as_str()) {
                let rows: Vec<&str> = golden.lines().filter(|l| l.split_whitespace().any(|w| w == operation)).collect();
                let refused = rows.iter().filter(|row| row.contains(" 401") || row.contains(" 403")).count();
                assert!(refused > 3, "{path}: {operation} has no refusals in the matrix");
            }
        }
    }
}

#[test]
fn gateway_responses_say_what_the_catalogue_says() {
    let template = Template::read();
    let resources = template.0["Resources"].as_object().unwrap();
    let rows = [
        ("UNAUTHORIZED", Some(401), None),
        ("BAD_REQUEST_BODY", Some(400), Some(Refusal::InvalidRequest)),
        ("BAD_REQUEST_PARAMETERS", Some(400), Some(Refusal::InvalidRequest)),
        ("THROTTLED", Some(429), Some(Refusal::RateLimited)),
        ("QUOTA_EXCEEDED", Some(429), Some(Refusal::RateLimited)),
        ("DEFAULT_5XX", None, Some(Refusal::Unavailable)),
    ];
    for (file, api, unauthorized) in [
        ("openapi.yaml", "TokenApi", Refusal::InvalidToken),
        ("openapi-keys.yaml", "KeyApi", Refusal::InvalidApiKey),
        ("docs/attach/openapi.yaml", "", Refusal::InvalidToken),
        ("openapi-admin.yaml", "AdminApi", Refusal::InvalidToken),
    ] {
        let is_problem = file == "openapi-admin.yaml";
        let document = read(file);
        let responses = document["x-amazon-apigateway-gateway-responses"].as_object().unwrap();
        for (kind, response) in responses {
            let body = response["responseTemplates"]["application/json"].as_str().unwrap();
            if kind == "ACCESS_DENIED" {
                let words = ["error", "reason", "code"].map(|word| format!("$context.authorizer.{word}"));
                assert!(words.iter().all(|word| body.contains(word)) && response["statusCode"] == 403, "{file}");
                continue;
            }
            let (_, status, refusal) =
                rows.iter().find(|(k, ..)| k == kind).unwrap_or_else(|| panic!("{file}: {kind}"));
            let refusal = refusal.unwrap_or(unauthorized);
            let expected = json!({"error": refusal.error(), "error_description": refusal.description(),
                "code": refusal.code(), "request_id": "$context.requestId"});
            let mut said: Value = serde_json::from_str(body).unwrap();
            if is_problem {
                // RFC 9457's own members say the same.
                let members = said.as_object_mut().unwrap();
                let took = ["type", "title", "status", "detail"].map(|member| members.remove(member));
                assert_eq!(took[0].as_ref().unwrap(), &json!(format!("urn:countersign:problem:{}", refusal.error())));
                assert_eq!(took[2].as_ref().and_then(Value::as_i64), *status, "{kind}");
                assert_eq!(took[3], Some(json!(refusal.description())), "{kind}");
            }
            assert_eq!(said, expected, "{file}: {kind}");
            assert_eq!(response["statusCode"].as_i64(), *status, "{file}: {kind}");
        }
        let challenge = &responses["UNAUTHORIZED"]["responseParameters"]["gatewayresponse.header.WWW-Authenticate"];
        assert_eq!(challenge, "'Bearer'", "{file}");
        // The template has the very document, and what the document names is there.
        if !api.is_empty() {
            let include = &resources[api]["Properties"]["DefinitionBody"]["Fn::Transform"];
            assert_eq!(*include, json!({"Name": "AWS::Include", "Parameters": {"Location": file}}));
            let text = std::fs::read_to_string(top().join(file)).unwrap();
            let named: BTreeSet<&str> =
                text.split("functions/${").skip(1).map(|rest| rest.split('.').next().unwrap()).collect();
            assert!(named.iter().all(|name| resources.contains_key(*name)) && named.len() == 2, "{named:?}");
            if is_problem {
                continue;
            }
            let parameter = &template.0["Parameters"]["GatewayTtlSeconds"];
            assert_eq!((&parameter["Default"], &parameter["MaxValue"]), (&json!(0), &json!(3600)));
        }
    }
}

#[test]
fn the_admin_document_says_what_the_code_does() {
    use auth_core::admin::command::Command;
    use auth_core::admin::operations::{OPERATIONS, Reach};
    let document = read("openapi-admin.yaml");
    let described = auth_core::openapi::read(&document).unwrap();
    assert_eq!(described.operations.len(), OPERATIONS.len());
    for (api, operation) in &described.operations {
        let known = OPERATIONS.iter().find(|o| o.id == operation.id).expect(&operation.id);
        let name = known.id;
        assert_eq!(api.as_ref().unwrap().as_str(), "admin");
        assert_eq!((operation.method.as_str(), operation.path.to_string().as_str()), (known.method, known.path));
        assert_eq!(operation.scopes, vec![vec![known.scope.parse().unwrap()]], "{name}");
        let subject = match known.reach {
            Reach::Operator => auth_core::api::Subject::Internal,
            Reach::Tenant => auth_core::api::Subject::Administrator,
        };
        assert_eq!(operation.subject, subject, "{name}");

        // The fields of the body, of the path and of the query are those that the code takes.
        let raw = &document["paths"][known.path][known.method.to_lowercase()];
        let schema = raw["requestBody"]["content"]["application/json"]["schema"]["$ref"].as_str();
        let schema = schema.map(|r| &document["components"]["schemas"][r.rsplit('/').next().unwrap()]);
        let names = |value: &Value| -> BTreeSet<String> {
            value.as_object().into_iter().flatten().map(|(name, _)| name.clone()).collect()
        };
        let mut fields = schema.map(|s| names(&s["properties"])).unwrap_or_default();
        fields.extend(known.path.split('{').skip(1).map(|rest| rest.split('}').next().unwrap().to_owned()));
        let parameters = raw["parameters"].as_array().into_iter().flatten();
        for parameter in parameters.filter(|p| p["in"] == "query") {
            fields.insert(parameter["name"].as_str().unwrap().to_owned());
        }
        // Serde names all that it would take when it meets one that it does not.
        let error = Command::read(known.command(), json!({"no such field": 1})).unwrap().unwrap_err();
        let taken: BTreeSet<String> = error.split('`').skip(3).step_by(2).map(str::to_owned).collect();
        if name == "verifyAudit" {
            // A tenant's own chain is the other operation of this command.
            fields.insert("tenant".into());
        }
        assert_eq!(fields, taken, "{name}: {error}");
        let answers = names(&raw["responses"]);
        assert_eq!(answers.contains("201"), known.creates(), "{name}");
    }
    // Of the token endpoint's side, there is one more.
    let scopes: BTreeSet<&str> = OPERATIONS.iter().map(|o| o.scope).chain(["tokens:introspect"]).collect();
    let demo: Value = yaml_serde::from_str(include_str!("../shared/auth-cli/src/dev/demo.yaml")).unwrap();
    let operator = demo["roles"].as_array().unwrap().iter().find(|r| r["name"] == "operator").unwrap();
    let of_operator: BTreeSet<&str> = operator["scopes"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert_eq!(of_operator, scopes, "the demo's operator may do everything");
}
