//! What a function is told through its environment. A wrong value stops it at start and is named.

use crate::ids::Environment;
use crate::token::MAX_LEEWAY_SECONDS;

/// A variable that is missing or wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{variable}: {what}")]
pub struct BadSetting {
    /// The variable.
    pub variable: &'static str,
    /// What it must be.
    pub what: String,
}

/// The settings of every function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// `TABLE_NAME`: the one table.
    pub table_name: String,
    /// `KEYRING_SECRET_ID`: name or ARN of the one secret.
    pub keyring_secret_id: String,
    /// `ISSUER`: the exact `iss` of our tokens, an absolute URL without a trailing slash.
    pub issuer: String,
    /// `ENVIRONMENT`: `live` or `test`.
    pub environment: Environment,
    /// `DECISION_CACHE_SECONDS`: for how long a process may go on with what it read; 0 to 3600, default 0.
    pub decision_cache_seconds: i64,
    /// `STALE_IF_ERROR_SECONDS`: how old what it read may be when the store does not answer; 0 to 3600, default 0.
    pub stale_if_error_seconds: i64,
    /// `CLOCK_LEEWAY_SECONDS`: how far clocks may differ; 0 to 60, default 60.
    pub clock_leeway_seconds: i64,
    /// `TOKEN_REQUESTS_PER_MINUTE`: how often a client may ask the token function for anything, over all processes; 1 to
    /// 1,000,000, and 0, the default, as often as it likes.
    pub token_requests_per_minute: i64,
    /// `ADDRESS_REQUESTS_PER_MINUTE`: how often an address may ask the token function or log in, over all processes; 1 to
    /// 1,000,000, or 0: as often as it likes. Default 0.
    pub address_requests_per_minute: i64,
    /// `REFUSALS_LOGGED_PER_MINUTE`: how many refusals of one reason a process writes in a minute; the next line says how
    /// many it did not. 1 to 1,000,000, or 0: all. Default 0.
    pub refusals_logged_per_minute: u64,
    /// `LOG_LEVEL`: what is written beside the audit lines.
    pub log_level: LogLevel,
    /// `HTTP_API_RESPONSE`: how an HTTP API 2.0 authorizer answers.
    pub http_api_response: HttpApiResponse,
}

/// What is written beside the audit lines, which are always written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogLevel {
    /// Nothing more.
    Info,
    /// Each decision's checks as well.
    Debug,
}

/// How an HTTP API 2.0 authorizer answers; must agree with the authorizer's `EnableSimpleResponses`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HttpApiResponse {
    /// `isAuthorized`.
    Simple,
    /// An IAM policy.
    Policy,
}

/// Whether a text can be an `iss`: an absolute URL without user, query, fragment and trailing slash.
pub fn is_issuer(text: &str) -> bool {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    rest.is_some_and(|rest| !rest.is_empty() && !rest.ends_with('/') && !rest.contains(['?', '#', '@', ' ']))
}

impl Settings {
    /// Reads the settings through `read`, which gives a variable's value.
    ///
    /// # Errors
    /// The first variable that is missing or wrong.
    pub fn read(read: impl Fn(&str) -> Option<String>) -> Result<Self, BadSetting> {
        let given = |variable: &'static str| read(variable).filter(|v| !v.is_empty());
        let needed = |variable| given(variable).ok_or(BadSetting { variable, what: "must be set".into() });
        let seconds = |variable, default: i64, most: i64| match given(variable).map(|v| v.parse::<i64>()) {
            None => Ok(default),
            Some(Ok(n)) if (0..=most).contains(&n) => Ok(n),
            Some(_) => Err(BadSetting { variable, what: format!("must be a number of seconds from 0 to {most}") }),
        };
        let requests = |variable| match given(variable).map(|v| v.parse::<i64>()) {
            None => Ok(0),
            Some(Ok(n)) if (0..=1_000_000).contains(&n) => Ok(n),
            Some(_) => Err(BadSetting { variable, what: "must be a number from 0 to 1000000".into() }),
        };
        let one_of = |variable, what: &str| BadSetting { variable, what: format!("must be {what}") };
        let issuer = needed("ISSUER")?;
        if !is_issuer(&issuer) {
            return Err(one_of("ISSUER", "an absolute URL without user, query, fragment and trailing slash"));
        }
        Ok(Self {
            table_name: needed("TABLE_NAME")?,
            keyring_secret_id: needed("KEYRING_SECRET_ID")?,
            issuer,
            environment: needed("ENVIRONMENT")?.parse().map_err(|_| one_of("ENVIRONMENT", "live or test"))?,
            decision_cache_seconds: seconds("DECISION_CACHE_SECONDS", 0, 3600)?,
            stale_if_error_seconds: seconds("STALE_IF_ERROR_SECONDS", 0, 3600)?,
            clock_leeway_seconds: seconds("CLOCK_LEEWAY_SECONDS", 60, MAX_LEEWAY_SECONDS)?,
            token_requests_per_minute: requests("TOKEN_REQUESTS_PER_MINUTE")?,
            address_requests_per_minute: requests("ADDRESS_REQUESTS_PER_MINUTE")?,
            refusals_logged_per_minute: requests("REFUSALS_LOGGED_PER_MINUTE")?.unsigned_abs(),
            log_level: match given("LOG_LEVEL").map(|v| v.to_ascii_lowercase()).as_deref() {
                None | Some("error" | "warn" | "info") => LogLevel::Info,
                Some("debug" | "trace") => LogLevel::Debug,
                Some(_) => return Err(one_of("LOG_LEVEL", "error, info or debug")),
            },
            http_api_response: match given("HTTP_API_RESPONSE").as_deref() {
                None | Some("simple") => HttpApiResponse::Simple,
                Some("policy") => HttpApiResponse::Policy,
                Some(_) => return Err(one_of("HTTP_API_RESPONSE", "simple or policy")),
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_variable_is_named() {
        let good = [
            ("TABLE_NAME", "t"),
            ("KEYRING_SECRET_ID", "k"),
            ("ISSUER", "https://auth.example"),
            ("ENVIRONMENT", "test"),
        ];
        let with = |name: &str, value: &str| {
            Settings::read(|n| {
                if n == name {
                    Some(value.to_owned())
                } else {
                    good.iter().find(|(g, _)| *g == n).map(|(_, v)| (*v).to_owned())
                }
            })
        };
        assert!(with("", "").is_ok());
        let rows = [
            ("TABLE_NAME", ""),
            ("KEYRING_SECRET_ID", ""),
            ("ISSUER", "auth.example"),
            ("ISSUER", "https://auth.example/"),
            ("ENVIRONMENT", "prod"),
            ("DECISION_CACHE_SECONDS", "-1"),
            ("STALE_IF_ERROR_SECONDS", "x"),
            ("CLOCK_LEEWAY_SECONDS", "61"),
            ("TOKEN_REQUESTS_PER_MINUTE", "-1"),
            ("ADDRESS_REQUESTS_PER_MINUTE", "1000001"),
            ("REFUSALS_LOGGED_PER_MINUTE", "all"),
            ("LOG_LEVEL", "loud"),
            ("HTTP_API_RESPONSE", "both"),
        ];
        for (name, value) in rows {
            assert_eq!(with(name, value).unwrap_err().variable, name, "{name}={value}");
        }
    }
}
