//! The secret that holds the keyring, as the one who rotates it sees it: versions and their staging labels.

use crate::Fault;
use crate::aws::Aws;
use crate::keyring::kind;
use aws_sdk_secretsmanager::operation::get_secret_value::GetSecretValueError;
use aws_sdk_secretsmanager::operation::put_secret_value::PutSecretValueError;
use aws_sdk_secretsmanager::operation::rotate_secret::RotateSecretError;
use std::collections::HashMap;
use zeroize::Zeroizing;

/// The label of the version that is in use.
pub const CURRENT: &str = "AWSCURRENT";
/// The label of the version that was in use before; Secrets Manager sets it.
pub const PREVIOUS: &str = "AWSPREVIOUS";
/// The label of the version that a rotation is making. Secrets Manager takes it away when the version comes into use.
pub const PENDING: &str = "AWSPENDING";

/// One secret and its versions.
#[derive(Debug)]
pub struct Vault {
    client: aws_sdk_secretsmanager::Client,
    secret_id: String,
}

/// The labels of each version that has any.
#[derive(Debug, Clone, Default)]
pub struct Labels(HashMap<String, Vec<String>>);

impl Labels {
    /// The version that holds a label.
    pub fn holder(&self, label: &str) -> Option<&str> {
        self.0.iter().find(|(_, labels)| labels.iter().any(|l| l == label)).map(|(version, _)| version.as_str())
    }
}

impl Vault {
    /// The secret of this name or ARN.
    pub fn new(aws: &Aws, secret_id: impl Into<String>) -> Self {
        Self { client: aws.secretsmanager(), secret_id: secret_id.into() }
    }

    /// Which version holds which label.
    ///
    /// # Errors
    /// If there is no such secret, or Secrets Manager does not answer.
    pub async fn labels(&self) -> Result<Labels, Fault> {
        let answer = self.client.describe_secret().secret_id(&self.secret_id).send().await;
        let answer = answer.map_err(|e| Fault::new(format!("Secrets Manager DescribeSecret: {}", kind(&e))))?;
        Ok(Labels(answer.version_ids_to_stages.unwrap_or_default()))
    }

    /// The text of a version; none, if it has none yet.
    ///
    /// # Errors
    /// If Secrets Manager does not answer, or the version holds something that is no text.
    pub async fn text(&self, version: &str) -> Result<Option<Zeroizing<String>>, Fault> {
        let answer = self.client.get_secret_value().secret_id(&self.secret_id).version_id(version).send().await;
        match answer {
            Ok(answer) if answer.secret_binary.is_some() => Err(Fault::new("the secret holds no text")),
            Ok(answer) => Ok(answer.secret_string.map(Zeroizing::new)),
            Err(error)
                if error.as_service_error().is_some_and(GetSecretValueError::is_resource_not_found_exception) =>
            {
                Ok(None)
            }
            Err(error) => Err(Fault::new(format!("Secrets Manager GetSecretValue: {}", kind(&error)))),
        }
    }

    /// Writes a version that is not in use yet, under a label. `false` if it is there already, with another text: then
    /// somebody else wrote it, and it stays.
    ///
    /// # Errors
    /// If Secrets Manager does not answer.
    pub async fn put(&self, version: &str, text: &str, label: &str) -> Result<bool, Fault> {
        let put = self.client.put_secret_value().secret_id(&self.secret_id).client_request_token(version);
        match put.secret_string(text).version_stages(label).send().await {
            Ok(_) => Ok(true),
            Err(error) if error.as_service_error().is_some_and(PutSecretValueError::is_resource_exists_exception) => {
                Ok(false)
            }
            Err(error) => Err(Fault::new(format!("Secrets Manager PutSecretValue: {}", kind(&error)))),
        }
    }

    /// Puts a version into use in the place of `from`. Secrets Manager refuses that if another version came into use
    /// in between.
    ///
    /// # Errors
    /// If it is refused, or Secrets Manager does not answer.
    pub async fn promote(&self, version: &str, from: Option<&str>) -> Result<(), Fault> {
        self.move_label(CURRENT, Some(version), from).await
    }

    /// Takes a label from a version.
    ///
    /// # Errors
    /// If Secrets Manager does not answer.
    pub async fn take_label(&self, label: &str, from: &str) -> Result<(), Fault> {
        self.move_label(label, None, Some(from)).await
    }

    /// Has Secrets Manager rotate the secret, which it does after it has answered. `false` if it will not: a rotation is
    /// under way, or no rotation function is set.
    ///
    /// # Errors
    /// If it does not answer.
    pub async fn rotate(&self) -> Result<bool, Fault> {
        let rotated = self.client.rotate_secret().secret_id(&self.secret_id).rotate_immediately(true).send().await;
        match rotated {
            Ok(_) => Ok(true),
            Err(error) if error.as_service_error().is_some_and(RotateSecretError::is_invalid_request_exception) => {
                Ok(false)
            }
            Err(error) => Err(Fault::new(format!("Secrets Manager RotateSecret: {}", kind(&error)))),
        }
    }

    async fn move_label(&self, label: &str, to: Option<&str>, from: Option<&str>) -> Result<(), Fault> {
        let moved = self
            .client
            .update_secret_version_stage()
            .secret_id(&self.secret_id)
            .version_stage(label)
            .set_move_to_version_id(to.map(str::to_owned))
            .set_remove_from_version_id(from.map(str::to_owned))
            .send()
            .await;
        let Err(error) = moved else { return Ok(()) };
        // The answer to a call that was done may have been lost, and the call repeated in vain.
        let labels = self.labels().await?;
        match to.map_or(labels.holder(label) != from, |to| labels.holder(label) == Some(to)) {
            true => Ok(()),
            false => Err(Fault::new(format!("Secrets Manager UpdateSecretVersionStage: {}", kind(&error)))),
        }
    }
}
