//! The `countersign` command.

use std::process::ExitCode;

/// `dev` has table, secrets, gateway and functions in one process: a quarter of its time went into the system's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> ExitCode {
    auth_edge::process::keep_no_core();
    auth_cli::run().await
}
