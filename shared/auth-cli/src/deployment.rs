//! The deployment that a command works on: named by the environment, as for a function.

use crate::trouble::Trouble;
use auth_core::settings::Settings;
use auth_store::aws::Aws;
use auth_store::gate::Gate;

/// What decisions there rest on.
///
/// # Errors
/// The first variable that is missing or wrong.
pub(crate) fn from_env() -> Result<Gate, Trouble> {
    let hint = "`countersign dev` prints what to export; docs/deploy.md says it for AWS";
    let settings =
        Settings::read(|name| std::env::var(name).ok()).map_err(|e| Trouble::Usage(format!("{e}; {hint}")))?;
    let aws = Aws::from_env().map_err(|e| Trouble::Usage(format!("{e}; {hint}")))?;
    Ok(Gate::new(&aws, &settings))
}
