//! Commands, their flags, and what the two output streams may show.

mod args;
mod checkout;
mod circumstances;
mod cmd;
mod context;
mod find;
mod job;
mod mistake;
mod network;
mod note;
mod output;
mod progress;
mod prompt;
mod report;
mod values;

use std::process::ExitCode;

use clap::FromArgMatches;

use args::{Cli, Command};
use context::Context;
use floe::{Error, Kind, Result};

/// Runs the program and gives its exit code.
pub(crate) fn main() -> ExitCode {
    let parsed = args::command().try_get_matches().and_then(|m| Cli::from_arg_matches(&m));
    let cli = match parsed {
        Ok(cli) => cli,
        Err(e) if e.use_stderr() => return mistake::show(&e),
        // `--help` and `--version` are answers. Whoever closed the pipe has read enough of them.
        Err(e) => {
            let _gone = e.print();
            return ExitCode::SUCCESS;
        }
    };
    let context = Context::new(&cli.global, &cli.command);
    let result = run(&cli.command, &context);
    context.finish();
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) if output::is_closed_pipe(&e) => ExitCode::SUCCESS,
        Err(e) => {
            report::error(&e, &context);
            report::done_before(&e, &context);
            if cli.command.annotates() {
                report::annotation(&e, &context);
            }
            ExitCode::from(e.kind().exit_code())
        }
    }
}

fn run(command: &Command, context: &Context) -> Result<()> {
    match command {
        Command::Build(args) => cmd::build::run(args, context),
        Command::Infer(args) => cmd::infer::run(args, context),
        #[cfg(feature = "serve")]
        Command::Serve(args) => cmd::serve::run(args, context),
        Command::Models(args) => cmd::models::run(args, context),
        Command::Versions(args) => cmd::versions::run(args, context),
        Command::Inspect(args) => cmd::inspect::run(args, context),
        Command::Which(args) => cmd::which::run(args, context),
        Command::Verify(args) => cmd::verify::run(args, context),
        Command::Login(args) => cmd::login::run(args, context),
        Command::Logout(args) => cmd::logout::run(args, context),
        Command::Copy(args) => cmd::copy::run(args, context),
        Command::Inventory(args) => cmd::inventory::run(args, context),
        Command::Attach(args) => cmd::attach::run(args, context),
        Command::Schema => cmd::schema::run(),
        Command::Completions { shell } => cmd::completions::run(*shell),
        Command::Man { command } => cmd::man::run(command.as_deref()),
    }
}

/// A usage error with what to do about it.
fn usage(message: impl Into<String>, hint: impl Into<String>) -> Error {
    Error::new(Kind::Usage, message).hint(hint)
}
