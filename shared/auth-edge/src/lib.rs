//! The porch of Countersign: what API Gateway sends becomes values of the rules, and what the rules decide becomes
//! what API Gateway and OAuth clients expect. No store, no decision.

pub mod answer;
pub mod arn;
pub mod authorizer;
pub mod clock;
pub mod event;
pub mod guard;
pub mod header;
#[cfg(feature = "http")]
pub mod http_request;
pub mod oauth;
pub mod process;
pub mod report;
