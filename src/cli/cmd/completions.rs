//! `floe completions`.

use crate::cli::{args, output};
use floe::Result;

pub(crate) fn run(shell: clap_complete::Shell) -> Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut args::command(), "floe", &mut script);
    output::answer(&String::from_utf8_lossy(&script))
}
