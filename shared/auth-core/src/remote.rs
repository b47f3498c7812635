//! Addresses of others, where they publish their keys: which may be fetched at all.
//!
//! Whoever registers an address has us send requests, from a place that may reach more than the public does. So: https
//! alone, a name and no number for a host, and no address that is not public (OWASP's server-side request forgery).

use crate::ids::Malformed;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// The longest address, in bytes.
const MAX_URL_BYTES: usize = 512;

/// An absolute `https` URL with a host name: no user, no fragment, no number for a host.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HttpsUrl(Box<str>);

impl HttpsUrl {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for HttpsUrl {
    type Err = Malformed;
    fn from_str(text: &str) -> Result<Self, Malformed> {
        let malformed = Malformed { what: "URL", rule: "an https URL with a host name, without user and fragment" };
        let plain = text.len() <= MAX_URL_BYTES
            && text.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'#' | b'@' | b'\\' | b'"' | b'<' | b'>'));
        let Some(rest) = text.strip_prefix("https://").filter(|_| plain) else { return Err(malformed) };
        let authority = rest.split(['/', '?']).next().unwrap_or_default();
        let (host, port) = match authority.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        };
        let port_ok =
            port.is_none_or(|p| p.bytes().all(|b| b.is_ascii_digit()) && p.parse::<u16>().is_ok_and(|p| p > 0));
        if is_host_name(host) && port_ok { Ok(Self(text.into())) } else { Err(malformed) }
    }
}

impl TryFrom<String> for HttpsUrl {
    type Error = Malformed;
    fn try_from(text: String) -> Result<Self, Malformed> {
        text.parse()
    }
}

impl From<HttpsUrl> for String {
    fn from(url: HttpsUrl) -> Self {
        url.0.into()
    }
}

impl fmt::Display for HttpsUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Labels of letters, digits and hyphens (RFC 1123 section 2.1), of which the last begins with a letter: a host that
/// ends in a number is an IPv4 address to some readers, in more spellings than one.
fn is_host_name(host: &str) -> bool {
    let label = |l: &str| {
        !l.is_empty()
            && l.len() <= 63
            && !l.starts_with('-')
            && !l.ends_with('-')
            && l.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
    };
    host.len() <= 253
        && host.split('.').all(label)
        && host.rsplit('.').next().is_some_and(|last| last.starts_with(|c: char| c.is_ascii_alphabetic()))
}

/// Whether an address is one that the public can reach, and that nothing of ours stands behind.
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_public_v4(v4),
        IpAddr::V6(v6) => is_public_v6(v6),
    }
}

/// All but the special-purpose blocks (RFC 6890).
fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    !(address.is_loopback()
        || address.is_private()
        || address.is_link_local()
        || address.is_multicast()
        || address.is_documentation()
        || a == 0
        || a >= 240
        || (a == 100 && (64..128).contains(&b))
        || (a == 192 && b == 0 && c == 0)
        || (a == 192 && b == 88 && c == 99)
        || (a == 198 && (18..20).contains(&b)))
}

/// Global unicast (RFC 4291 section 2.4) without what leads elsewhere: Teredo and its neighbours, documentation, 6to4.
/// Mapped, translated and local addresses stand outside of it.
fn is_public_v6(address: Ipv6Addr) -> bool {
    let [a, b, ..] = address.segments();
    (0x2000..0x4000).contains(&a)
        && !(a == 0x2001 && b < 0x0200)
        && !(a == 0x2001 && b == 0x0db8)
        && a != 0x2002
        && !(a == 0x3fff && b < 0x1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_over_https_are_fetched() {
        let rows = [
            ("plain", "https://keys.example.com/jwks.json", true),
            ("a port", "https://keys.example.com:8443/jwks.json", true),
            ("a query", "https://keys.example.com/keys?p=1", true),
            ("an issuer", "https://token.actions.githubusercontent.com", true),
            ("one label", "https://localhost/keys", true),
            ("http", "http://keys.example.com/jwks.json", false),
            ("upper-case scheme", "HTTPS://keys.example.com/", false),
            ("a file", "file:///etc/passwd", false),
            ("a user", "https://user@keys.example.com/", false),
            ("a fragment", "https://keys.example.com/#x", false),
            ("IPv4", "https://127.0.0.1/keys", false),
            ("IPv4 in one number", "https://2130706433/keys", false),
            ("IPv4, short", "https://127.1/keys", false),
            ("IPv4 in hex", "https://0x7f000001/keys", false),
            ("IPv6", "https://[::1]/keys", false),
            ("no host", "https:///keys", false),
            ("an empty label", "https://a..b/keys", false),
            ("a dot at the end", "https://localhost./keys", false),
            ("a port that is none", "https://a.example:x/keys", false),
            ("port 0", "https://a.example:0/keys", false),
            ("two ports", "https://a.example:1:2/keys", false),
            ("a backslash", "https://a.example\\@127.0.0.1/", false),
            ("a space", "https://a.example/ keys", false),
            ("CRLF", "https://a.example/\r\nHost: b", false),
            ("another script", "https://exämple.com/", false),
        ];
        for (sentence, text, want) in rows {
            assert_eq!(text.parse::<HttpsUrl>().is_ok(), want, "{sentence}");
        }
    }

    #[test]
    fn addresses_that_the_public_cannot_reach_are_left_alone() {
        let rows = [
            ("8.8.8.8", true),
            ("100.63.255.255", true),
            ("2606:4700::1111", true),
            ("127.0.0.1", false),
            ("127.255.0.1", false),
            ("0.0.0.0", false),
            ("10.0.0.1", false),
            ("172.16.0.1", false),
            ("192.168.1.1", false),
            ("169.254.169.254", false),
            ("169.254.170.2", false),
            ("100.64.0.1", false),
            ("192.0.0.8", false),
            ("192.0.2.1", false),
            ("198.18.0.1", false),
            ("224.0.0.1", false),
            ("240.0.0.1", false),
            ("255.255.255.255", false),
            ("::", false),
            ("::1", false),
            ("::ffff:127.0.0.1", false),
            ("::ffff:8.8.8.8", false),
            ("64:ff9b::7f00:1", false),
            ("fd00:ec2::254", false),
            ("fe80::1", false),
            ("ff02::1", false),
            ("2001:db8::1", false),
            ("2001:0:7f00:1::", false),
            ("2002:7f00:1::", false),
        ];
        for (address, want) in rows {
            assert_eq!(is_public(address.parse().unwrap()), want, "{address}");
        }
    }
}
