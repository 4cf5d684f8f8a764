//! The command line: parse, run, exit code.
//!
//! The binary is the library's first outside user and sees its public interface only.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod cli;

fn main() -> std::process::ExitCode {
    cli::main()
}
