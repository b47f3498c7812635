//! How many requests are let through in a window, over all processes together, and how a process comes by its share.
//!
//! A process takes permits from the table in blocks and gives them out without asking. All blocks of a window together
//! are never more than the limit, so no more is ever let through; what a process took and did not use is lost to the
//! others until the window ends, a block at most.

use crate::time::Timestamp;
use std::net::Ipv6Addr;

/// Into so many blocks the permits of a window are divided.
const BLOCKS: i64 = 20;

/// So many requests in a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allowance {
    /// The most in a window; 1 or more.
    pub most: i64,
    /// The window, in seconds.
    pub window_seconds: i64,
}

impl Allowance {
    /// So many a minute; none, if as many as anybody likes (0).
    pub fn a_minute(most: i64) -> Option<Self> {
        (most > 0).then_some(Self { most, window_seconds: 60 })
    }

    /// How many permits a process takes at once.
    pub fn block(self) -> i64 {
        (self.most / BLOCKS).max(1)
    }

    /// The window that a time is in.
    pub fn window(self, now: Timestamp) -> i64 {
        now.0.div_euclid(self.window_seconds)
    }

    /// When the window of a time ends.
    pub fn ends_at(self, now: Timestamp) -> Timestamp {
        Timestamp(self.window(now).saturating_add(1).saturating_mul(self.window_seconds))
    }

    /// In how many seconds a request may come again that has found no permit: when the window ends.
    pub fn wait_seconds(self, now: Timestamp) -> i64 {
        self.ends_at(now).since(now).max(1)
    }
}

/// What a process has of the permits of one subject.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Lease {
    window: i64,
    left: i64,
    /// The table has no more of this window.
    is_spent: bool,
}

/// What a request finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Permit {
    /// A permit; it is used.
    Given,
    /// None, and none are to be had before the window ends.
    Spent,
    /// None here: a block is to be taken from the table.
    ToBeTaken,
}

impl Lease {
    /// Uses a permit, if there is one for now.
    pub fn use_one(&mut self, allowance: Allowance, now: Timestamp) -> Permit {
        if self.window != allowance.window(now) {
            *self = Self { window: allowance.window(now), ..Self::default() };
        }
        match self {
            Self { left: 1.., .. } => {
                self.left -= 1;
                Permit::Given
            }
            Self { is_spent: true, .. } => Permit::Spent,
            _ => Permit::ToBeTaken,
        }
    }

    /// Notes that a block was taken at this time, or that there was none.
    pub fn note(&mut self, taken: bool, allowance: Allowance, now: Timestamp) {
        let left = if taken { allowance.block() } else { 0 };
        *self = Self { window: allowance.window(now), left, is_spent: !taken };
    }
}

/// Whom an address stands for: a host has one IPv4 address, and 2^64 of IPv6 to choose from.
pub fn neighbourhood(address: &str) -> String {
    match address.parse::<Ipv6Addr>() {
        Ok(six) => match six.to_ipv4_mapped() {
            Some(four) => four.to_string(),
            None => Ipv6Addr::from_bits(six.to_bits() >> 64 << 64).to_string() + "/64",
        },
        Err(_) => address.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_one_host_are_one() {
        let rows = [
            ("IPv4", "192.0.2.1", "192.0.2.1"),
            ("IPv4 as IPv6", "::ffff:192.0.2.1", "192.0.2.1"),
            ("IPv6", "2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
            ("another of the same host", "2001:DB8:1:2::7", "2001:db8:1:2::/64"),
            ("the next network", "2001:db8:1:3::7", "2001:db8:1:3::/64"),
            ("no address", "unknown", "unknown"),
        ];
        for (sentence, address, want) in rows {
            assert_eq!(neighbourhood(address), want, "{sentence}");
        }
    }

    /// A table with so many permits in each window.
    fn let_through(allowance: Allowance, requests: &[i64]) -> Vec<bool> {
        let (mut lease, mut table) = (Lease::default(), std::collections::HashMap::<i64, i64>::new());
        let mut one = |at: i64| {
            let now = Timestamp(at);
            loop {
                match lease.use_one(allowance, now) {
                    Permit::Given => return true,
                    Permit::Spent => return false,
                    Permit::ToBeTaken => {
                        let taken = table.entry(allowance.window(now)).or_default();
                        let has = *taken + allowance.block() <= allowance.most;
                        *taken += if has { allowance.block() } else { 0 };
                        lease.note(has, allowance, now);
                    }
                }
            }
        };
        requests.iter().map(|at| one(*at)).collect()
    }

    #[test]
    fn so_many_are_let_through_in_a_window_and_no_more() {
        let of = |most| Allowance { most, window_seconds: 60 };
        let rows = [
            ("one", of(1), vec![0, 1, 59, 60, 61], vec![true, false, false, true, false]),
            ("two", of(2), vec![0, 0, 0, 119, 119, 119], vec![true, true, false, true, true, false]),
            ("a clock that steps back, to a window that was used up", of(1), vec![60, 0, 60], vec![true, true, false]),
        ];
        for (sentence, allowance, requests, want) in rows {
            assert_eq!(let_through(allowance, &requests), want, "{sentence}");
        }
        for most in [1, 19, 20, 21, 100, 1000] {
            let let_through = let_through(of(most), &vec![30; 2000]).into_iter().filter(|one| *one).count() as i64;
            assert!(let_through <= most && let_through > most - of(most).block(), "{let_through} of {most}");
        }
        assert_eq!((of(5).wait_seconds(Timestamp(61)), of(5).wait_seconds(Timestamp(119))), (59, 1));
    }
}
