//! The engines that the store and the rotation are held against: the embedded one, and moto, which others wrote.

use crate::harness::Dev;
use auth_core::settings::Settings;
use auth_store::aws::Aws;
use auth_store::gate::Gate;
use serde_json::{Value, json};

/// Where a DynamoDB and a Secrets Manager are spoken.
pub(crate) struct Engine {
    pub(crate) name: &'static str,
    pub(crate) dynamodb: String,
    pub(crate) secretsmanager: String,
    /// Runs as long as the engine is wanted.
    _dev: Option<Dev>,
}

impl Engine {
    /// The engines inside `dev`.
    pub(crate) fn embedded() -> Self {
        let dev = Dev::demo();
        let at = |name: &str| dev.ready[name].as_str().unwrap().to_owned();
        let (dynamodb, secretsmanager) = (at("dynamodb_endpoint"), at("secretsmanager_endpoint"));
        Self { name: "embedded", dynamodb, secretsmanager, _dev: Some(dev) }
    }

    /// A moto server that runs already.
    pub(crate) fn moto() -> Self {
        let url = std::env::var("MOTO_ENDPOINT").expect("MOTO_ENDPOINT: tests/engines/run sets it");
        Self { name: "moto", dynamodb: url.clone(), secretsmanager: url, _dev: None }
    }

    /// The same with another way to the secrets.
    pub(crate) fn with_secretsmanager(&self, url: &str) -> Self {
        Self { name: self.name, dynamodb: self.dynamodb.clone(), secretsmanager: url.to_owned(), _dev: None }
    }

    /// The same with another way to the table.
    pub(crate) fn with_dynamodb(&self, url: &str) -> Self {
        Self { name: self.name, dynamodb: url.to_owned(), secretsmanager: self.secretsmanager.clone(), _dev: None }
    }

    fn variable(&self, name: &str, secret: &str) -> Option<String> {
        let value = match name {
            "AWS_ENDPOINT_URL_DYNAMODB" => &self.dynamodb,
            "AWS_ENDPOINT_URL_SECRETS_MANAGER" => &self.secretsmanager,
            "AWS_REGION" => "eu-west-1",
            "AWS_ACCESS_KEY_ID" | "AWS_SECRET_ACCESS_KEY" => "local",
            "TABLE_NAME" => "engines",
            "KEYRING_SECRET_ID" => secret,
            "ISSUER" => "https://auth.example",
            "ENVIRONMENT" => "test",
            _ => return None,
        };
        Some(value.to_owned())
    }

    pub(crate) fn aws(&self) -> Aws {
        Aws::read(|name| self.variable(name, "")).unwrap()
    }

    /// What a process of a function stands on, with this secret.
    pub(crate) fn gate(&self, secret: &str) -> Gate {
        Gate::new(&self.aws(), &Settings::read(|name| self.variable(name, secret)).unwrap())
    }

    /// Creates a secret, named apart from those of other runs; its ARN.
    pub(crate) async fn create_secret(&self, name: &str, text: &str) -> String {
        let name = format!("{name}-{}-{:p}", std::process::id(), self);
        let created = self.secrets_call("CreateSecret", &json!({"Name": name, "SecretString": text})).await;
        created["ARN"].as_str().expect("an ARN").to_owned()
    }

    /// Gives a secret another current text, past the rotation function. By two calls: after PutSecretValue alone, moto
    /// has two current versions, where AWS's documentation says that the label moves.
    pub(crate) async fn put_secret(&self, secret: &str, version: &str, current: &str, text: &str) {
        let stages = json!(["MADE-BY-HAND"]);
        let put =
            json!({"SecretId": secret, "ClientRequestToken": version, "SecretString": text, "VersionStages": stages});
        self.secrets_call("PutSecretValue", &put).await;
        let moved = json!({"SecretId": secret, "VersionStage": "AWSCURRENT", "MoveToVersionId": version,
            "RemoveFromVersionId": current});
        self.secrets_call("UpdateSecretVersionStage", &moved).await;
    }

    /// Has Secrets Manager ask for a rotation.
    pub(crate) async fn rotate_secret(&self, secret: &str) {
        self.secrets_call("RotateSecret", &json!({"SecretId": secret})).await;
    }

    async fn secrets_call(&self, operation: &str, input: &Value) -> Value {
        let target = format!("secretsmanager.{operation}");
        let authorization = "AWS4-HMAC-SHA256 Credential=local/20260101/eu-west-1/secretsmanager/aws4_request, SignedHeaders=host, Signature=0";
        let headers: Vec<(String, Vec<u8>)> = [
            ("X-Amz-Target", target.as_str()),
            ("Content-Type", "application/x-amz-json-1.1"),
            ("Authorization", authorization),
        ]
        .map(|(n, v)| (n.to_owned(), v.as_bytes().to_vec()))
        .to_vec();
        let answer =
            crate::harness::raw(&self.secretsmanager, "POST", "/", &headers, input.to_string().as_bytes()).await;
        assert_eq!(answer.status, 200, "{operation}: {}", answer.text);
        answer.json
    }
}
