//! The `countersign` command.

mod deployment;
mod dev;
pub mod doors;
mod events;
mod load;
mod operator;
mod seed;
mod trouble;

use clap::{CommandFactory as _, Parser, Subcommand};
use operator::{ExplainArguments, ExportArguments, Global, ImportArguments, Output, Subject};
use std::io::Write as _;
use std::process::ExitCode;
use trouble::Trouble;

/// Partner authentication for APIs on AWS.
#[derive(Debug, Parser)]
#[command(name = "countersign", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    global: Global,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run all of it on this machine: table, secrets, functions and a gateway, without an AWS account.
    Dev(dev::Arguments),
    /// Import APIs, roles, tenants, clients, keys and customers into the table; what is there already stays.
    Seed(load::Arguments),
    /// Put fresh tokens into event files, for `cargo lambda invoke`; tokens expire.
    Events(events::Arguments),
    #[command(flatten)]
    Subject(Subject),
    /// Take over many records from JSON lines: with credentials as they are, or by their digests.
    Import(ImportArguments),
    /// Write everything that can move as JSON lines, which an import reads.
    Export(ExportArguments),
    /// Say why a request is decided as it is: each check in order, what was compared, and what would have to change.
    Explain(ExplainArguments),
    /// Look for what is wrong with a deployment, and say how to mend it.
    Doctor,
    /// Print the completions of a shell.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
}

/// Does what the arguments of the process say.
pub async fn run() -> ExitCode {
    let Arguments { command, global } = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        // Nobody has read `--output` yet.
        Err(error) if error.use_stderr() && std::env::args_os().any(|a| a == "json" || a == "--output=json") => {
            return ended(&Trouble::Usage(error.to_string()), Output::Json);
        }
        Err(error) => error.exit(),
    };
    let result = match command {
        Command::Dev(arguments) => dev::run(arguments, &global).await,
        Command::Seed(arguments) => load::run(arguments, &global).await,
        Command::Events(arguments) => events::run(arguments, &global).await,
        Command::Subject(subject) => Box::pin(operator::run(subject, &global)).await,
        Command::Import(arguments) => operator::import(arguments, &global).await,
        Command::Export(arguments) => operator::export(arguments, &global).await,
        Command::Explain(arguments) => Box::pin(operator::explain(arguments, &global)).await,
        Command::Doctor => operator::doctor(&global).await,
        Command::Completions { shell } => completions(shell),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(trouble) => ended(&trouble, global.output),
    }
}

/// Says why it ends.
fn ended(trouble: &Trouble, output: Output) -> ExitCode {
    let mut err = std::io::stderr().lock();
    let _ = match output {
        Output::Json => writeln!(err, "{}", operator::problem(trouble)),
        Output::Table => writeln!(err, "countersign: {trouble}"),
    };
    ExitCode::from(trouble.exit_code())
}

fn completions(shell: clap_complete::Shell) -> Result<(), Trouble> {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "countersign", &mut text);
    match std::io::stdout().lock().write_all(&text) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        written => written.map_err(trouble::broken),
    }
}
