//! What the functions cost: measured under a Runtime API on this machine, beside floors and peers in the same run, with
//! every answer checked. `benches/run` builds what it needs and starts it.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "it prints figures, and how far it is")]
#![allow(clippy::disallowed_methods, reason = "it measures time")]

mod figures;
mod first;
mod flat;
mod functions;
mod http;
mod process;
mod record;
mod runtime;
mod simulate;
mod soak;
mod store;
mod times;
mod tokens;

use clap::Parser;

#[derive(Debug, Parser)]
#[command(about = "What the functions cost, beside what people use instead")]
enum Command {
    /// The functions under a Runtime API: starts, warm invocations, memory, calls to the table.
    Functions(functions::Arguments),
    /// What one process's first signature takes beyond its second; `functions` starts such processes.
    #[command(hide = true)]
    First,
    /// What must not grow: a decision with many clients and grants, and memory under tokens that nobody issued.
    Flat(flat::Arguments),
    /// `dev` and the functions under load for half an hour.
    Soak(soak::Arguments),
    /// What the time of a refusal tells.
    Times(times::Arguments),
    /// Tokens a second of `dev`, beside `oidc-provider`.
    Tokens(tokens::Arguments),
    /// What to expect at which size, and at which settings.
    Simulate {
        /// `--help` says which.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
}

fn main() -> std::process::ExitCode {
    let done = match Command::parse() {
        Command::Functions(arguments) => functions::run(&arguments),
        Command::First => first::measure(),
        Command::Flat(arguments) => flat::run(&arguments),
        Command::Soak(arguments) => soak::run(&arguments),
        Command::Times(arguments) => times::run(&arguments),
        Command::Tokens(arguments) => tokens::run(&arguments),
        Command::Simulate { arguments } => simulate::run(&arguments),
    };
    match done {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(what) => {
            eprintln!("\nbench: {what}");
            std::process::ExitCode::FAILURE
        }
    }
}
