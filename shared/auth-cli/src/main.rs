//! The `countersign` command.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    auth_cli::run().await
}
