//! Files that strangers may have written, read as the command reads them and no further; for those who try what bytes do.

use crate::operator::rows_of;
use crate::seed::Seed;
use auth_core::ids::Environment;
use auth_core::keyring::Keyring;

/// A seed file.
///
/// # Errors
/// What is said of a file that is none.
pub fn seed_file(text: &str) -> Result<(), String> {
    Seed::parse(text, "seed").map(|_| ()).map_err(|trouble| trouble.to_string())
}

/// A line of an import: how many rows it makes.
///
/// # Errors
/// What is said of a line that is none.
pub fn import_line(line: &str, environment: Environment, keyring: &Keyring) -> Result<usize, String> {
    let value = auth_core::json::parse(line.as_bytes()).map_err(|error| error.to_string())?;
    rows_of(value, environment, keyring).map(|rows| rows.len()).map_err(|trouble| trouble.to_string())
}
