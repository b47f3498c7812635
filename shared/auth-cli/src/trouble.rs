//! How a command ends that does not do what it was asked for.

use auth_core::admin::Refused;
use auth_core::audit::shown;
use auth_core::refusal::Refusal;
use std::fmt;
use std::path::Path;

/// Why the command ends: one sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// It was understood, and refused by a rule.
    Refused(Refused),
    /// What was asked for cannot be done as it was asked.
    Usage(String),
    /// Something does not work.
    Broken(String),
}

impl Trouble {
    /// Refused, in these words.
    pub(crate) fn refused(text: impl Into<String>) -> Self {
        Self::Refused(Refused { refusal: Refusal::Conflict, text: text.into() })
    }

    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Refused(_) => 1,
            Self::Usage(_) => 2,
            Self::Broken(_) => 3,
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Usage(text) | Self::Broken(text) | Self::Refused(Refused { text, .. })) = self;
        let line: String = text.chars().map(|c| if matches!(c, '\n' | '\r') { ' ' } else { shown(c) }).collect();
        f.write_str(&line)
    }
}

pub(crate) fn broken(error: impl fmt::Display) -> Trouble {
    Trouble::Broken(error.to_string())
}

/// Writes a file so that a reader finds it whole or not at all, and only its owner reads it. It holds credentials.
pub(crate) fn write_whole(path: &Path, text: &[u8]) -> std::io::Result<()> {
    let beside = path.with_extension("partial");
    write_private(&beside, text)?;
    std::fs::rename(beside, path)
}

/// Writes a file that only its owner may read.
pub(crate) fn write_private(path: &Path, text: &[u8]) -> std::io::Result<()> {
    use std::io::Write as _;
    // Made anew: an old file might be a link, or readable by others.
    let _ = std::fs::remove_file(path);
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600);
    }
    let mut file = options.open(path)?;
    file.write_all(text)?;
    file.sync_all()
}
