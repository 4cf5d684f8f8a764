//! `floe man`.

use crate::cli::{args, mistake, output, usage};
use floe::Result;
use floe::error::At;

pub(crate) fn run(name: Option<&str>) -> Result<()> {
    let mut command = args::command();
    command.build();
    let page = match name {
        None => command,
        Some(name) => {
            let found = command.find_subcommand(name).cloned();
            let found = found.ok_or_else(|| {
                usage(
                    format!("there is no command `{}`", floe::error::show_bytes(name.as_bytes())),
                    mistake::commands(),
                )
            })?;
            found.name(format!("floe-{name}"))
        }
    };
    // A page is whole: what the short help leaves out has its words here.
    let page = page.mut_args(|arg| arg.hide_short_help(false));
    let mut text = Vec::new();
    clap_mangen::Man::new(page).render(&mut text).doing("write the manual page")?;
    output::answer(&String::from_utf8_lossy(&text))
}
