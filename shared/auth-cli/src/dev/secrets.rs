//! A secret store that speaks the calls of Secrets Manager that are used here, with its staging labels.

use crate::trouble::write_whole;
use auth_core::time::Timestamp;
use auth_edge::clock;
use auth_store::vault::{CURRENT, PENDING, PREVIOUS};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Mutex;

/// All secrets; in memory, or in one file that only its owner reads.
pub(crate) struct Secrets {
    state: Mutex<BTreeMap<String, Secret>>,
    file: Option<PathBuf>,
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secrets")
    }
}

#[derive(Clone, Serialize, Deserialize)]
struct Secret {
    versions: BTreeMap<String, Version>,
    created_at: Timestamp,
}

#[derive(Clone, Serialize, Deserialize)]
struct Version {
    /// None, between the start of a rotation and its first step.
    text: Option<String>,
    stages: Vec<String>,
    created_at: Timestamp,
}

/// An error as Secrets Manager spells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct ApiError(&'static str, &'static str);

const NOT_FOUND: ApiError = ApiError("ResourceNotFoundException", "Secrets Manager can't find the specified secret.");
const INVALID: ApiError = ApiError("InvalidParameterException", "A parameter is missing or not of its form.");

impl Secrets {
    pub(crate) fn open(file: Option<PathBuf>) -> Result<Self, String> {
        let state = match &file {
            Some(path) if path.exists() => {
                let text = std::fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
                serde_json::from_str(&text).map_err(|_| format!("{}: not a file of secrets", path.display()))?
            }
            _ => BTreeMap::new(),
        };
        Ok(Self { state: Mutex::new(state), file })
    }

    /// The current text of a secret.
    pub(crate) fn current(&self, id: &str) -> Option<String> {
        let state = self.state.lock().ok()?;
        staged(state.get(id)?, CURRENT).and_then(|(_, version)| version.text.clone())
    }

    /// Creates a secret, or gives it a new current version.
    pub(crate) fn put(&self, id: &str, text: &str) -> Result<(), String> {
        let name = if self.current(id).is_some() { "PutSecretValue" } else { "CreateSecret" };
        let member = if name == "CreateSecret" { "Name" } else { "SecretId" };
        let (status, _) = self.call(name, &json!({member: id, "SecretString": text}));
        if status == 200 { Ok(()) } else { Err("the secret cannot be written".into()) }
    }

    /// Answers one call: `operation` is what stands in `X-Amz-Target` after the dot.
    pub(crate) fn call(&self, operation: &str, input: &Value) -> (u16, Value) {
        let result = self.state.lock().map_err(|_| INVALID).and_then(|mut state| {
            let mut next = state.clone();
            let answer = answer(&mut next, operation, input)?;
            if !matches!(operation, "GetSecretValue" | "DescribeSecret") {
                self.keep(&next)?;
                *state = next;
            }
            Ok(answer)
        });
        match result {
            Ok(answer) => (200, answer),
            Err(ApiError(kind, text)) => (400, json!({"__type": kind, "Message": text, "message": text})),
        }
    }

    fn keep(&self, state: &BTreeMap<String, Secret>) -> Result<(), ApiError> {
        let Some(path) = &self.file else { return Ok(()) };
        let failed = |_| ApiError("InternalServiceError", "The file of secrets cannot be written.");
        let text = serde_json::to_vec(state).map_err(|_| INVALID)?;
        write_whole(path, &text).map_err(failed)
    }
}

fn answer(state: &mut BTreeMap<String, Secret>, operation: &str, input: &Value) -> Result<Value, ApiError> {
    let text = |name: &str| input.get(name).and_then(Value::as_str);
    let now = clock::now();
    let token = || match text("ClientRequestToken") {
        Some(token) => Ok(token.to_owned()),
        None => clock::random::<16>().map(|bits| auth_core::secret::hex(&bits)).map_err(|_| INVALID),
    };
    if operation == "CreateSecret" {
        let name = text("Name").ok_or(INVALID)?;
        if state.contains_key(name) {
            return Err(ApiError("ResourceExistsException", "A secret of this name exists."));
        }
        let mut secret = Secret { versions: BTreeMap::new(), created_at: now };
        let mut version_id = Value::Null;
        if let Some(value) = text("SecretString") {
            let id = token()?;
            let version = Version { text: Some(value.to_owned()), stages: vec![CURRENT.into()], created_at: now };
            secret.versions.insert(id.clone(), version);
            version_id = id.into();
        }
        state.insert(name.to_owned(), secret);
        return Ok(json!({"ARN": arn(name), "Name": name, "VersionId": version_id}));
    }
    let id = text("SecretId").ok_or(INVALID)?;
    let name = state.keys().find(|name| *name == id || arn(name) == id).cloned().ok_or(NOT_FOUND)?;
    let secret = state.get_mut(&name).ok_or(NOT_FOUND)?;
    match operation {
        "GetSecretValue" => {
            let found = match (text("VersionId"), text("VersionStage")) {
                (Some(version), _) => secret.versions.get_key_value(version),
                (None, stage) => staged(secret, stage.unwrap_or(CURRENT)),
            };
            let (version_id, version) = found.ok_or(NOT_FOUND)?;
            let text = version.text.as_ref().ok_or(NOT_FOUND)?;
            Ok(json!({"ARN": arn(&name), "Name": name, "VersionId": version_id, "SecretString": text,
                "VersionStages": version.stages, "CreatedDate": version.created_at}))
        }
        "DescribeSecret" => {
            let stages: BTreeMap<&String, &Vec<String>> =
                secret.versions.iter().filter(|(_, v)| !v.stages.is_empty()).map(|(id, v)| (id, &v.stages)).collect();
            Ok(json!({"ARN": arn(&name), "Name": name, "CreatedDate": secret.created_at, "VersionIdsToStages": stages}))
        }
        "PutSecretValue" => {
            let value = text("SecretString").ok_or(INVALID)?;
            let stages: Vec<String> = match input.get("VersionStages").and_then(Value::as_array) {
                Some(list) => list.iter().filter_map(|s| s.as_str().map(str::to_owned)).collect(),
                None => vec![CURRENT.into()],
            };
            let id = token()?;
            let version = Version { text: None, stages: Vec::new(), created_at: now };
            let version = secret.versions.entry(id.clone()).or_insert(version);
            // The same token with the same text is the same call; with another text it is a mistake.
            if version.text.as_ref().is_some_and(|text| text != value) {
                return Err(ApiError("ResourceExistsException", "The version exists with another value."));
            }
            version.text = Some(value.to_owned());
            for stage in &stages {
                move_stage(secret, stage, Some(&id));
            }
            Ok(json!({"ARN": arn(&name), "Name": name, "VersionId": id, "VersionStages": stages}))
        }
        "UpdateSecretVersionStage" => {
            let stage = text("VersionStage").ok_or(INVALID)?;
            let holder = staged(secret, stage).map(|(id, _)| id.clone());
            let to = text("MoveToVersionId");
            if to.is_some_and(|id| !secret.versions.contains_key(id)) {
                return Err(NOT_FOUND);
            }
            if text("RemoveFromVersionId") != holder.as_deref() {
                return Err(ApiError("InvalidParameterException", "Say from which version the label is removed."));
            }
            if stage == CURRENT && to.is_none() {
                return Err(ApiError("InvalidParameterException", "AWSCURRENT can be moved, not removed."));
            }
            move_stage(secret, stage, to);
            if let Some(version) = to.filter(|_| stage == CURRENT).and_then(|id| secret.versions.get_mut(id)) {
                // A rotation is complete when its version comes into use; the label goes in the same call.
                version.stages.retain(|stage| stage != PENDING);
            }
            Ok(json!({"ARN": arn(&name), "Name": name}))
        }
        "RotateSecret" => {
            let id = token()?;
            let under_way = staged(secret, PENDING).map(|(id, _)| id).filter(|pending| **pending != id);
            if under_way.is_some() && under_way != staged(secret, CURRENT).map(|(id, _)| id) {
                return Err(ApiError("InvalidRequestException", "A previous rotation isn't complete."));
            }
            // The version is there before the rotation function is asked for its text.
            secret.versions.entry(id.clone()).or_insert(Version { text: None, stages: Vec::new(), created_at: now });
            move_stage(secret, PENDING, Some(&id));
            Ok(json!({"ARN": arn(&name), "Name": name, "VersionId": id}))
        }
        _ => Err(ApiError("UnknownOperationException", "This call is not offered locally.")),
    }
}

fn staged<'a>(secret: &'a Secret, stage: &str) -> Option<(&'a String, &'a Version)> {
    secret.versions.iter().find(|(_, version)| version.stages.iter().any(|s| s == stage))
}

/// Moves a label. What loses `AWSCURRENT` gets `AWSPREVIOUS`. A version without a label stays for whoever knows its id,
/// as it does on AWS for a day at least.
fn move_stage(secret: &mut Secret, stage: &str, to: Option<&str>) {
    let from = staged(secret, stage).map(|(id, _)| id.clone());
    if from.as_deref() == to {
        return;
    }
    for version in secret.versions.values_mut() {
        version.stages.retain(|s| s != stage);
    }
    if let Some(version) = to.and_then(|id| secret.versions.get_mut(id)) {
        version.stages.push(stage.to_owned());
    }
    if stage == CURRENT && from.is_some() {
        move_stage(secret, PREVIOUS, from.as_deref());
    }
}

fn arn(name: &str) -> String {
    format!("arn:aws:secretsmanager:eu-west-1:000000000000:secret:{name}")
}
