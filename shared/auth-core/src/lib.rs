//! The rules of Countersign: what a credential is, who stands behind it, what it may do, and why.
//!
//! Nothing here is asynchronous, and nothing reads a clock, a random source, the environment or the network: time
//! and randomness are arguments, records are values. What a caller sends is text until it has become a type of this
//! crate; types that carry trust ([`token::VerifiedToken`], [`decision::Access`]) have private fields and are made
//! in one place only.

pub mod admin;
pub mod api;
pub mod api_key;
pub mod audit;
pub mod backoff;
pub mod client_authentication;
pub mod decision;
pub mod details;
pub mod ids;
pub mod issue;
pub mod json;
pub mod jwk;
pub mod jws;
pub mod keyring;
pub mod openapi;
pub mod password;
pub mod policy;
pub mod rate;
pub mod records;
pub mod refusal;
pub mod remote;
pub mod secret;
pub mod settings;
pub mod time;
pub mod token;
#[cfg(test)]
mod wycheproof;
