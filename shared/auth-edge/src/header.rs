//! The two headers that carry credentials. Each is there once, or not at all.

use auth_core::api::{Found, Request};
use auth_core::refusal::{Reason, Refusal};

/// The bearer token of a request (RFC 6750 section 2.1): scheme in any case, one to eight spaces, one token.
///
/// # Errors
/// [`Refusal::MissingToken`] without header or scheme, [`Refusal::InvalidToken`] for more than one header.
pub fn bearer(request: &Request) -> Result<&str, Reason> {
    let missing = |why| Err(Reason::new(Refusal::MissingToken, why));
    let value = match request.header("authorization") {
        Found::One(value) => value,
        Found::Absent | Found::Unseen => return missing("no Authorization header"),
        Found::Many => return Err(Reason::new(Refusal::InvalidToken, "more than one Authorization header")),
    };
    let Some((scheme, rest)) = value.split_once(' ') else { return missing("no Bearer prefix") };
    if !scheme.eq_ignore_ascii_case("bearer") {
        return missing("no Bearer prefix");
    }
    let token = rest.trim_start_matches(' ');
    if rest.len() - token.len() > 7 {
        return missing("more spaces than a Bearer prefix has");
    }
    Ok(token)
}

/// The API key of a request, as it was sent.
///
/// # Errors
/// [`Refusal::InvalidApiKey`].
pub fn api_key(request: &Request) -> Result<&str, Reason> {
    let invalid = |why| Err(Reason::new(Refusal::InvalidApiKey, why));
    match request.header("apikey") {
        Found::One(value) => Ok(value),
        Found::Absent | Found::Unseen => invalid("no ApiKey header"),
        Found::Many => invalid("more than one ApiKey header"),
    }
}
