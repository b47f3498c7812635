//! The floor: `lambda_runtime` and nothing else. An answer of an authorizer's shape, made without looking.

use lambda_runtime::{Error, LambdaEvent, run, service_fn};
use serde_json::{Value, json};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    run(service_fn(|event: LambdaEvent<Value>| async move {
        let resource = event.payload.get("methodArn").cloned().unwrap_or_default();
        Ok::<Value, Error>(json!({"principalId": "partner", "policyDocument": {"Version": "2012-10-17", "Statement": [
            {"Action": "execute-api:Invoke", "Effect": "Allow", "Resource": resource}]}}))
    }))
    .await
}
