//! The one place that reads the clock and the random source. Everything else takes them as arguments.

use auth_core::time::Timestamp;
use std::time::{Instant, SystemTime};

/// Now, by the wall clock: a sandbox that was frozen must know that time went on.
#[expect(clippy::disallowed_methods, reason = "this is where time comes from")]
pub fn now() -> Timestamp {
    let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |d| d.as_secs());
    Timestamp(i64::try_from(since_1970).unwrap_or(i64::MAX))
}

/// Starts measuring how long something takes.
#[expect(clippy::disallowed_methods, reason = "this is where time comes from")]
pub fn start() -> Instant {
    Instant::now()
}

/// Random bits from the operating system.
///
/// # Errors
/// If it has none, which ends whatever needed them.
#[expect(clippy::disallowed_methods, reason = "this is where randomness comes from")]
pub fn random<const N: usize>() -> Result<[u8; N], NoRandomness> {
    let mut bits = [0; N];
    aws_lc_rs::rand::fill(&mut bits).map_err(|_| NoRandomness)?;
    Ok(bits)
}

/// The operating system gave no random bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no random bits are to be had")]
pub struct NoRandomness;
