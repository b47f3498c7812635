//! What people write: `lambda_runtime` and `jsonwebtoken`. It verifies the token and answers with a policy of one ARN;
//! no table, no grants, no audit line.

use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use lambda_runtime::{Error, LambdaEvent, run, service_fn};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::HashMap;

#[derive(Deserialize)]
struct Claims {
    sub: String,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let set: JwkSet = serde_json::from_slice(&std::fs::read(std::env::var("JWKS_FILE")?)?)?;
    let algorithm: Algorithm = std::env::var("ALGORITHM")?.parse()?;
    let mut keys = HashMap::new();
    for jwk in &set.keys {
        keys.insert(jwk.common.key_id.clone().unwrap_or_default(), DecodingKey::from_jwk(jwk)?);
    }
    let mut validation = Validation::new(algorithm);
    validation.set_audience(&[std::env::var("AUDIENCE")?]);
    validation.set_issuer(&[std::env::var("ISSUER")?]);
    let (keys, validation) = (&keys, &validation);
    run(service_fn(|event: LambdaEvent<Value>| async move {
        let header = event.payload.pointer("/headers/Authorization").and_then(Value::as_str);
        let token = header.and_then(|header| header.strip_prefix("Bearer ")).ok_or("Unauthorized")?;
        let kid = decode_header(token).map_err(|_| "Unauthorized")?.kid.unwrap_or_default();
        let key = keys.get(&kid).ok_or("Unauthorized")?;
        let claims = decode::<Claims>(token, key, validation).map_err(|_| "Unauthorized")?.claims;
        let resource = event.payload.get("methodArn").cloned().unwrap_or_default();
        Ok::<Value, Error>(json!({"principalId": claims.sub, "policyDocument": {"Version": "2012-10-17", "Statement": [
            {"Action": "execute-api:Invoke", "Effect": "Allow", "Resource": resource}]}}))
    }))
    .await
}
