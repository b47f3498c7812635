//! How many failed attempts are let through before answers say to slow down.
//!
//! Failures are counted in fixed windows, per name and per address. Over the limit, a login is not tried any more
//! until the window ends, be the password right or wrong; so an attacker gets 100 guesses in a quarter of an hour, and
//! a customer whose name is attacked waits no longer than that. A client's secret is of 128 random bits or more and
//! cannot be guessed: the right one is always taken, so that no failures can lock a client out, and only wrong ones are
//! told to slow down. How often an address asks for anything is limited apart from that ([`crate::rate`]).

use crate::rate::neighbourhood;
use crate::time::Timestamp;

/// A limit on failures of one subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// What is counted; part of the subject's name.
    pub what: &'static str,
    /// The most failures in a window.
    pub failures: i64,
    /// The window, in seconds.
    pub window_seconds: i64,
}

/// Failed logins under one name of one tenant. NIST SP 800-63B allows 100 at most.
pub const LOGINS_BY_NAME: Limit = Limit { what: "login", failures: 100, window_seconds: 900 };
/// Failed logins from one address; many customers may share one.
pub const LOGINS_BY_ADDRESS: Limit = Limit { what: "login-address", failures: 1000, window_seconds: 900 };
/// Failed client authentications under one client id.
pub const CLIENTS_BY_NAME: Limit = Limit { what: "client", failures: 1000, window_seconds: 300 };
/// Failed client authentications from one address.
pub const CLIENTS_BY_ADDRESS: Limit = Limit { what: "client-address", failures: 3000, window_seconds: 300 };

/// Failures of one subject under one limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempts {
    /// The limit.
    pub limit: Limit,
    /// A name, the digest of one, or an address.
    pub subject: String,
}

impl Attempts {
    /// The failures of a subject.
    pub fn new(limit: Limit, subject: impl Into<String>) -> Self {
        Self { limit, subject: subject.into() }
    }

    /// Those of an address, or of its [`neighbourhood`]. Where no address is known, all share the empty one.
    pub fn at(limit: Limit, address: &str) -> Self {
        Self { limit, subject: neighbourhood(address) }
    }

    /// The window that a time is in.
    pub fn window(&self, now: Timestamp) -> i64 {
        now.0.div_euclid(self.limit.window_seconds)
    }

    /// When the window ends.
    pub fn ends_at(&self, now: Timestamp) -> Timestamp {
        Timestamp(self.window(now).saturating_add(1).saturating_mul(self.limit.window_seconds))
    }
}

/// How many seconds to wait, if one of the subjects has failed too often. `failures` are those of each, in order.
pub fn wait_seconds(attempts: &[Attempts], failures: &[i64], now: Timestamp) -> Option<i64> {
    let over = attempts.iter().zip(failures).filter(|(attempts, failed)| **failed >= attempts.limit.failures);
    over.map(|(attempts, _)| attempts.ends_at(now).since(now).max(1)).max()
}

/// The same for a try that is counted already, where only those before it weigh. `counts` are with it.
pub fn wait_seconds_before(attempts: &[Attempts], counts: &[i64], now: Timestamp) -> Option<i64> {
    let before: Vec<i64> = counts.iter().map(|count| count.saturating_sub(1)).collect();
    wait_seconds(attempts, &before, now)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_is_until_the_window_ends_for_whoever_failed_too_often() {
        let now = Timestamp(900 * 10 + 100);
        let both = [Attempts::new(LOGINS_BY_NAME, "a"), Attempts::new(LOGINS_BY_ADDRESS, "192.0.2.1")];
        let rows = [
            ("nobody", [0, 0], None),
            ("one below", [99, 999], None),
            ("the name", [100, 0], Some(800)),
            ("the address", [0, 1000], Some(800)),
        ];
        for (who, failures, want) in rows {
            assert_eq!(wait_seconds(&both, &failures, now), want, "{who}");
            assert_eq!(wait_seconds_before(&both, &failures.map(|n| n + 1), now), want, "{who}, and this one");
        }
    }
}
