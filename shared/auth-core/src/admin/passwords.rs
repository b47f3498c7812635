//! Which passwords customers may choose: long ones (NIST SP 800-63B-4 section 3.1.1.2), of any characters, and none that
//! everybody tries. No rules of composition, and no expiry.

use super::{Fresh, Refused};
use crate::ids::Username;
use crate::password::{MAX_PASSWORD_BYTES, StoredPassword};
use crate::secret::SecretText;
use std::io::BufRead;
use unicode_normalization::UnicodeNormalization as _;

/// The fewest characters of a password that is the only proof, as it is here.
pub const FEWEST_CHARACTERS: usize = 15;

/// Hashes a password that a customer chose. `listed` says whether it is on a list of known ones.
///
/// # Errors
/// What is wrong with it; never the password.
pub fn hash(
    password: &SecretText,
    username: &Username,
    listed: bool,
    fresh: &Fresh,
) -> Result<StoredPassword, Refused> {
    let characters = password.expose().nfkc().count();
    if characters < FEWEST_CHARACTERS || password.expose().len() > MAX_PASSWORD_BYTES {
        return Err(Refused::invalid(format!(
            "password: at least {FEWEST_CHARACTERS} characters and at most {MAX_PASSWORD_BYTES} bytes"
        )));
    }
    if password.expose().to_lowercase().contains(&username.as_str().to_lowercase()) && username.as_str().len() > 3 {
        return Err(Refused::invalid("password: holds the username"));
    }
    if listed {
        return Err(Refused::invalid("password: is known from a breach; choose another"));
    }
    StoredPassword::hash(password, fresh.salt).ok_or_else(|| Refused::invalid("password: cannot be used"))
}

/// Whether a password is on a list: one a line, as it is or as the SHA-1 of it in hex, which may be followed by `:` and a
/// count (the form in which collections of breached passwords are given out).
///
/// # Errors
/// If the list cannot be read.
pub fn is_listed(password: &SecretText, list: impl BufRead) -> std::io::Result<bool> {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA1_FOR_LEGACY_USE_ONLY, password.expose().as_bytes());
    let digest = crate::secret::hex(digest.as_ref());
    for line in list.lines() {
        let line = line?;
        let word = line.trim_end_matches('\r');
        let of_hash = word.split(':').next().unwrap_or_default();
        if word == password.expose() || of_hash.eq_ignore_ascii_case(&digest) {
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_long_and_unknown_and_nothing_else() {
        let ann: Username = "ann@example.com".parse().unwrap();
        let hash = |text: &str| hash(&SecretText::new(text), &ann, false, &Fresh::new(&[1; 128])).is_ok();
        let rows: &[(&str, bool, bool)] = &[
            ("15 letters of one kind", hash("aaaaaaaaaaaaaaa"), true),
            ("14", hash("aaaaaaaaaaaaaa"), false),
            ("a sentence with spaces", hash("correct horse battery staple"), true),
            ("letters of another script", hash("пароль из многих слов"), true),
            (
                "15 characters counted as people see them",
                hash("e\u{301}e\u{301}e\u{301}e\u{301}e\u{301}e\u{301}e\u{301}"),
                false,
            ),
            ("the username in it", hash("my-ANN@example.com-1"), false),
            ("1,025 bytes", hash(&"x".repeat(1025)), false),
        ];
        for (sentence, got, want) in rows {
            assert_eq!(got, want, "{sentence}");
        }
        let listed = |password: &str, list: &str| is_listed(&SecretText::new(password), list.as_bytes()).unwrap();
        let rows: &[(&str, bool, bool)] = &[
            ("as it is", listed("trustno1trustno1", "a\ntrustno1trustno1\r\n"), true),
            ("by its SHA-1", listed("password", "5BAA61E4C9B93F3F0682250B6CF8331B7EE68FD8:3861493\n"), true),
            ("another", listed("passwords", "5BAA61E4C9B93F3F0682250B6CF8331B7EE68FD8:3861493\n"), false),
            ("an empty list", listed("password", ""), false),
        ];
        for (sentence, got, want) in rows {
            assert_eq!(got, want, "{sentence}");
        }
    }
}
