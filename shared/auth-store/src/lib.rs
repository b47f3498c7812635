//! The cellar of Countersign: the one DynamoDB table and the one secret, and the trips to them that a decision makes.
//! The only crate that names the AWS SDK.

pub mod aws;
pub mod client_proof;
pub mod gate;
mod http;
mod item;
pub mod keygen;
pub mod keyring;
mod keys;
pub mod office;
mod reads;
pub mod remote;
pub mod rotation;
pub mod store;
pub mod vault;

/// Something of ours is not to be had, or not as it should be. Never the caller's doing, so never a 401 and never an
/// Allow. Holds names of operations and kinds of errors, no text of a caller and no secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Fault(pub String);

impl Fault {
    fn new(what: impl Into<String>) -> Self {
        Self(what.into())
    }
}
