//! The deployment that a command works on: named by the environment, as for a function, or by the address of an emulator.

use crate::trouble::Trouble;
use auth_core::settings::Settings;
use auth_store::aws::{Aws, fetch};
use auth_store::gate::Gate;
use serde_json::Value;
use std::collections::BTreeMap;

/// Where `dev` says what to export, and below it what it knows of a request.
pub(crate) const DEV_PATH: &str = "/.well-known/countersign-dev";

/// A deployment.
pub(crate) struct Deployment {
    pub(crate) gate: Gate,
    pub(crate) aws: Aws,
    pub(crate) settings: Settings,
    /// An address at which a `dev` may be asked what it knows of a request.
    pub(crate) dev: Option<String>,
}

/// The deployment that the environment names.
///
/// # Errors
/// The first variable that is missing or wrong.
pub(crate) fn from_env() -> Result<Deployment, Trouble> {
    read(&|name| std::env::var(name).ok())
}

/// The deployment behind an address: a `dev` says itself what it is; of another emulator only the address is taken.
///
/// # Errors
/// The first variable that is missing or wrong.
pub(crate) async fn at(url: &str) -> Result<Deployment, Trouble> {
    let url = url.trim_end_matches('/');
    if !url.starts_with("http://") && !url.starts_with("https://") {
        return Err(Trouble::Usage("--endpoint: a URL is needed, as http://127.0.0.1:8080".into()));
    }
    let answer = fetch(&format!("{url}{DEV_PATH}")).await.map_err(|e| Trouble::Broken(format!("{url}: {e}")))?;
    let said = Some(answer).filter(|answer| answer.status == 200);
    let env: Option<BTreeMap<String, String>> = said.and_then(|answer| serde_json::from_slice(&answer.body).ok());
    match env {
        Some(env) => read(&|name| env.get(name).cloned()),
        None => read(&|name| match name {
            "AWS_ENDPOINT_URL" => Some(url.to_owned()),
            "AWS_ENDPOINT_URL_DYNAMODB" | "AWS_ENDPOINT_URL_SECRETS_MANAGER" => None,
            _ => std::env::var(name).ok(),
        }),
    }
}

fn read(variable: &dyn Fn(&str) -> Option<String>) -> Result<Deployment, Trouble> {
    let hint =
        "`countersign dev` prints what to export, or give its address by --endpoint; docs/deploy.md says it for AWS";
    let wrong = |e: &dyn std::fmt::Display| Trouble::Usage(format!("{e}; {hint}"));
    let settings = Settings::read(variable).map_err(|e| wrong(&e))?;
    let aws = Aws::read(variable).map_err(|e| wrong(&e))?;
    let gate = Gate::new(&aws, &settings);
    let dev = variable("AWS_ENDPOINT_URL_SECRETS_MANAGER").filter(|url| url.starts_with("http://"));
    Ok(Deployment { gate, aws, settings, dev })
}

impl Deployment {
    /// What a running `dev` knows of a request: its lines, as functions write them. None, if this is no `dev`.
    pub(crate) async fn lines_of(&self, request_id: &str) -> Option<Vec<Value>> {
        let answer = fetch(&format!("{}{DEV_PATH}/requests/{request_id}", self.dev.as_ref()?)).await.ok()?;
        serde_json::from_slice(&answer.body).ok().filter(|_| answer.status == 200)
    }
}
