//! What is wrong with a deployment, and how to mend it.

use super::{Global, Output, show};
use crate::deployment::Deployment;
use crate::trouble::Trouble;
use auth_edge::clock;
use auth_store::aws::fetch;
use serde_json::{Value, json};

/// How far this machine's clock may be from the issuer's, in seconds.
const MOST_SKEW: i64 = 5;

/// A keyring older than this was not rotated for long, in days.
const OLD_KEYRING_DAYS: i64 = 90;

struct Finding {
    check: &'static str,
    /// `ok`, or what is wrong.
    found: Result<String, (String, &'static str)>,
}

pub(crate) async fn run(global: &Global) -> Result<(), Trouble> {
    let deployment = global.deployment().await?;
    let mut findings = vec![variables(&deployment)];
    findings.extend(table(&deployment).await);
    findings.push(keyring(&deployment).await);
    findings.extend(issuer(&deployment).await);
    findings.push(catalog(&deployment).await);
    let rows: Vec<Value> = findings
        .iter()
        .map(|f| match &f.found {
            Ok(found) => json!({"check": f.check, "result": "ok", "found": found}),
            Err((found, mend)) => json!({"check": f.check, "result": "WRONG", "found": found, "mend": mend}),
        })
        .collect();
    match global.output {
        Output::Json => show::pretty(&json!({ "checks": rows }))?,
        Output::Table => show::checks(&["check", "result", "found", "mend"], &rows)?,
    }
    match findings.iter().filter(|f| f.found.is_err()).count() {
        0 => Ok(()),
        wrong => Err(Trouble::refused(format!("{wrong} of {} checks found something wrong.", findings.len()))),
    }
}

fn variables(deployment: &Deployment) -> Finding {
    let settings = &deployment.settings;
    let found = format!(
        "table {}, secret {}, environment {}, issuer {}",
        settings.table_name,
        settings.keyring_secret_id,
        settings.environment.as_str(),
        settings.issuer
    );
    let plain = settings.issuer.starts_with("http://") && deployment.dev.is_none();
    let found = match plain {
        true => Err((found, "ISSUER: an https address, or tokens cross the network readable")),
        false => Ok(found),
    };
    Finding { check: "variables", found }
}

async fn table(deployment: &Deployment) -> Vec<Finding> {
    let store = &deployment.gate.store;
    let shape = match store.look().await {
        Ok(look) if !look.keys_are_right => {
            Err(("its keys are not pk and sk".to_owned(), "TABLE_NAME: name the table that the template made"))
        }
        Ok(look) if !look.expires => {
            Err(("items do not expire".to_owned(), "turn time to live on for the attribute ttl, as the template does"))
        }
        Ok(_) => Ok("pk and sk, ttl".to_owned()),
        Err(fault) => Err((
            fault.to_string(),
            "TABLE_NAME, AWS_REGION, credentials: is the table there, and may you describe it?",
        )),
    };
    let reading = match store.fresh_catalog(clock::now()).await {
        Ok(_) => Ok("read consistently".to_owned()),
        Err(fault) => Err((fault.to_string(), "allow dynamodb:BatchGetItem and dynamodb:Query on the table")),
    };
    let writing = match store.may_write().await {
        Ok(true) => Ok("a transaction is taken (and, on a condition that never holds, not made)".to_owned()),
        Ok(false) => {
            Err(("a transaction that must not be made was".to_owned(), "this is no DynamoDB; name another endpoint"))
        }
        Err(fault) => Err((
            fault.to_string(),
            "allow dynamodb:PutItem, dynamodb:DeleteItem and dynamodb:ConditionCheckItem on the table",
        )),
    };
    vec![
        Finding { check: "table", found: shape },
        Finding { check: "permission to read", found: reading },
        Finding { check: "permission to write", found: writing },
    ]
}

async fn keyring(deployment: &Deployment) -> Finding {
    let now = clock::now();
    let found = match deployment.gate.keyring.get(now).await {
        Err(fault) => {
            Err((fault.to_string(), "KEYRING_SECRET_ID: is it there, may you read it, and did the first rotation run?"))
        }
        Ok(keyring) => match (keyring.check_signing_keys(), keyring.age_days(now)) {
            (Err(bad), _) => Err((bad.to_string(), "put AWSCURRENT back on the version before")),
            (Ok(()), days) if days > OLD_KEYRING_DAYS => Err((
                format!("the youngest key has signed for {days} days"),
                "countersign keyring rotate; then see why the schedule does not",
            )),
            (Ok(()), days) => {
                let algorithms: Vec<&str> = keyring.algorithms().iter().map(|a| a.as_str()).collect();
                Ok(format!("signs {}, for {days} days", algorithms.join(" ")))
            }
        },
    };
    Finding { check: "keyring", found }
}

/// The issuer's own metadata, and the clock by which it was answered.
async fn issuer(deployment: &Deployment) -> Vec<Finding> {
    let issuer = &deployment.settings.issuer;
    let url = format!("{issuer}/.well-known/oauth-authorization-server");
    let answer = match fetch(&url).await {
        Ok(answer) => answer,
        Err(fault) => {
            let found = Err((format!("{url}: {fault}"), "ISSUER: the address at which the token function answers"));
            return vec![Finding { check: "issuer", found }];
        }
    };
    let metadata: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let said = metadata.get("issuer").and_then(Value::as_str).unwrap_or_default();
    let found = match said == issuer {
        true => Ok(format!("{url} says the same")),
        false => Err((
            format!("{url} answers {} and says {said:?}", answer.status),
            "ISSUER: must be exactly what the token function has; every token says it",
        )),
    };
    let mut findings = vec![Finding { check: "issuer", found }];
    if let Some(theirs) = answer.date {
        let skew = clock::now().since(theirs);
        let found = match skew.abs() <= MOST_SKEW {
            true => Ok(format!("{skew} s from the issuer's")),
            false => Err((
                format!("{skew} s from the issuer's"),
                "set this machine's clock (NTP): tokens and requests to AWS are judged by time",
            )),
        };
        findings.push(Finding { check: "clock", found });
    }
    findings
}

async fn catalog(deployment: &Deployment) -> Finding {
    let found = match deployment.gate.store.catalog().await {
        Err(fault) => Err((fault.to_string(), "see the table above")),
        Ok(catalog) if catalog.apis.is_empty() => Err((
            "no API is declared: every request is refused".to_owned(),
            "countersign api import FILE, with the OpenAPI document of yours",
        )),
        Ok(catalog) => Ok(format!("{} APIs, {} roles", catalog.apis.len(), catalog.roles.len())),
    };
    Finding { check: "APIs", found }
}
