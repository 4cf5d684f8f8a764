//! `floe logout`.

use crate::cli::args::LogoutArgs;
use crate::cli::cmd::login::place;
use crate::cli::context::Context;
use crate::cli::usage;
use floe::Result;
use floe::error::show_bytes;
use floe::event::warn;
use floe::fs::show;
use floe::store::registry::{Keeper, Kept};

pub(crate) fn run(args: &LogoutArgs, context: &Context) -> Result<()> {
    let keeper = context.network().keeper()?;
    let file = keeper.path().to_owned();
    let Some(host) = &args.host else {
        if !args.all {
            return Err(usage("no registry is named", "write `floe logout HOST`, or `--all` for every one"));
        }
        let keys = keeper.forget_all()?;
        let all: Vec<String> = keys.iter().map(|k| show_bytes(k.as_bytes())).collect();
        context.fact(&match &all[..] {
            [] => format!("there was no login in `{}`", show(&file)),
            all => format!("forgot the logins for {} in `{}`", all.join(", "), show(&file)),
        });
        return Ok(());
    };
    let place = place(host)?;
    let (key, at) = (place.key(), show(&file));
    context.fact(&match keeper.forget(&key)? {
        Kept::File => format!("forgot the login for `{key}` in `{at}`"),
        Kept::Helper(name) => {
            format!("`docker-credential-{}` forgot the login for `{key}`", show_bytes(name.as_bytes()))
        }
        _ => format!("there was no login for `{key}` in `{at}`"),
    });
    // What other tools keep is theirs, but floe would still use it.
    for other in context.network().auth_files().into_iter().filter(|f| *f != file) {
        if Keeper::new(&other, Vec::new()).holds(&key)? {
            let other = show(&other);
            warn(
                context.see(),
                format!("`{other}` still has a login for `{key}`"),
                Some(&format!("`floe logout --authfile {other} {key}` forgets it")),
            );
        }
    }
    Ok(())
}
