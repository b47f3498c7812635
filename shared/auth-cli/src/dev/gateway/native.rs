//! API Gateway's own JWT authorizers: no function, no store, no revocation. Keys are those of this deployment, which
//! is the one issuer whose keys can be had without a network.

use super::config::{Native, Route};
use auth_core::jws::UnverifiedJws;
use auth_core::keyring::Keyring;
use auth_core::time::Timestamp;
use serde_json::{Map, Value};

/// Why a token is not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refused {
    /// 401; the text stands in `WWW-Authenticate`.
    Invalid(&'static str),
    /// 403.
    Scope,
}

/// Judges a token as a native authorizer does: signature by a public key of the issuer, `iss`, `aud` (or `client_id`
/// where there is none), `exp`, `nbf`, `iat`, claims that are asked for, and one of the route's scopes.
pub(crate) fn judge(
    native: &Native,
    header: &str,
    route: &Route,
    keyring: &Keyring,
    now: Timestamp,
) -> Result<Map<String, Value>, Refused> {
    let invalid = Refused::Invalid;
    let text = header.strip_prefix("Bearer ").or_else(|| header.strip_prefix("bearer ")).unwrap_or(header);
    let jws = UnverifiedJws::parse(text).map_err(|_| invalid("the token is malformed"))?;
    if !native.algorithms.iter().any(|a| a == jws.unverified_algorithm().as_str()) {
        return Err(invalid("signing method is not accepted"));
    }
    let key = jws.unverified_kid().and_then(|kid| keyring.verifying_key(kid)).filter(|k| k.public_jwk().is_some());
    let claims = jws.verify(key.ok_or(invalid("kid not found"))?).map_err(|_| invalid("signature is invalid"))?;

    let text = |name: &str| claims.get(name).and_then(Value::as_str);
    let issuer = native.issuers.iter().find(|i| text("iss") == Some(&i.issuer));
    let issuer = issuer.ok_or(invalid("issuer is not accepted"))?;
    let audiences: Vec<&str> = match claims.get("aud") {
        Some(Value::Array(many)) => many.iter().filter_map(Value::as_str).collect(),
        Some(one) => one.as_str().into_iter().collect(),
        None => text("client_id").into_iter().collect(),
    };
    if !audiences.iter().any(|a| issuer.audiences.iter().any(|known| known == a)) {
        return Err(invalid("audience is not accepted"));
    }
    let time = |name: &str| claims.get(name).map(|v| v.as_f64().ok_or(invalid("a time is not a number"))).transpose();
    let now = now.0 as f64;
    match (time("exp")?, time("nbf")?, time("iat")?) {
        (None, _, _) => return Err(invalid("the token has no exp")),
        (Some(exp), _, _) if now >= exp => return Err(invalid("the token has expired")),
        (_, Some(nbf), _) if now < nbf => return Err(invalid("the token is not valid yet")),
        (_, _, Some(iat)) if now < iat => return Err(invalid("the token was issued in the future")),
        _ => {}
    }
    for (name, values) in &issuer.claims {
        if !text(name).is_some_and(|value| values.iter().any(|v| v == value)) {
            return Err(invalid("a claim is missing or has another value"));
        }
    }
    let granted: Vec<&str> = text("scope").or_else(|| text("scp")).unwrap_or_default().split(' ').collect();
    let mut wanted = route.operation.scopes.iter().flatten().peekable();
    if wanted.peek().is_some() && !wanted.any(|scope| granted.contains(&scope.as_str())) {
        return Err(Refused::Scope);
    }
    Ok(claims.clone())
}

/// Claims as an HTTP API hands them on: all are texts, and a list stands in brackets.
pub(crate) fn as_texts(claims: Map<String, Value>) -> Map<String, Value> {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let flat = |value: Value| match &value {
        Value::Array(list) => format!("[{}]", list.iter().map(text).collect::<Vec<_>>().join(" ")),
        other => text(other),
    };
    claims.into_iter().map(|(name, value)| (name, flat(value).into())).collect()
}
