//! The `countersign` command.

mod deployment;
mod dev;
mod events;
mod load;
mod seed;
mod trouble;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Partner authentication for APIs on AWS.
#[derive(Debug, Parser)]
#[command(name = "countersign", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run all of it on this machine: table, secrets, functions and a gateway, without an AWS account.
    Dev(dev::Arguments),
    /// Import APIs, roles, tenants, clients, keys and customers into the table; what is there already stays.
    Seed(load::Arguments),
    /// Put fresh tokens into event files, for `cargo lambda invoke`; tokens expire.
    Events(events::Arguments),
}

#[tokio::main]
async fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Dev(arguments) => dev::run(arguments).await,
        Command::Seed(arguments) => load::run(arguments).await,
        Command::Events(arguments) => events::run(arguments).await,
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(trouble) => {
            use std::io::Write as _;
            let _ = writeln!(std::io::stderr().lock(), "countersign: {trouble}");
            ExitCode::from(trouble.exit_code())
        }
    }
}
