//! `floe login`.

use std::io::{IsTerminal, Read};

use crate::cli::args::LoginArgs;
use crate::cli::context::{self, Context};
use crate::cli::{prompt, usage};
use floe::error::{At, show_bytes};
use floe::event::warn;
use floe::fs::show;
use floe::oci::Reference;
use floe::store::registry::{Client, Credentials, Kept, Login, Registry, Settings};
use floe::{Kind, Result};

/// The longest password that is read from standard input.
const MAX_PASSWORD: u64 = 64 << 10;

/// What a login is for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) registry: String,
    /// Empty for the whole registry.
    pub(crate) namespace: String,
}

impl Place {
    /// As files of logins name it.
    pub(crate) fn key(&self) -> String {
        if self.namespace.is_empty() {
            self.registry.clone()
        } else {
            format!("{}/{}", self.registry, self.namespace)
        }
    }

    /// A repository there, for what asks for one.
    pub(crate) fn reference(&self) -> Reference {
        let repository = if self.namespace.is_empty() { "x".to_owned() } else { self.namespace.clone() };
        Reference { registry: self.registry.clone(), repository, tag: None, digest: None }
    }
}

/// Reads a host, perhaps with a namespace. Docker's URLs are its hosts.
pub(crate) fn place(text: &str) -> Result<Place> {
    let bare = ["https://", "http://"].iter().find_map(|s| text.strip_prefix(s)).unwrap_or(text);
    let mut bare = bare.trim_end_matches('/');
    for api in ["/v1", "/v2"] {
        bare = bare.strip_suffix(api).unwrap_or(bare);
    }
    let wrong = || {
        usage(
            format!("`{}` is not a registry", show_bytes(text.as_bytes())),
            "write its host, as in `ghcr.io`, `localhost:5000` or `quay.io/team`",
        )
    };
    let (host, namespace) = bare.split_once('/').unwrap_or((bare, ""));
    let repository = if namespace.is_empty() { "x" } else { namespace };
    let full = format!("{host}/{repository}");
    if !Reference::names_a_host(&full) {
        return Err(wrong());
    }
    let reference: Reference = full.parse().map_err(|_| wrong())?;
    if reference.tag.is_some() || reference.digest.is_some() {
        return Err(wrong());
    }
    Ok(Place { registry: reference.registry, namespace: namespace.to_owned() })
}

pub(crate) fn run(args: &LoginArgs, context: &Context) -> Result<()> {
    let place = place(&args.host)?;
    let keeper = context.network().keeper()?;
    let user = match &args.username {
        Some(user) => user.clone(),
        None if args.password_stdin || !std::io::stdin().is_terminal() => {
            return Err(usage("there is no user name", "give it with `--username USER`"));
        }
        None => prompt::line(&format!("User name for {}: ", place.key()))?,
    };
    let password = password(args, context, &place)?;
    if user.is_empty() || password.is_empty() {
        let what = if user.is_empty() { "user name" } else { "password" };
        return Err(usage(
            format!("the {what} is empty"),
            "type it, or give a password with `--password-stdin`",
        ));
    }
    let login = Login::new(user, password);
    if !args.no_verify {
        let credentials = Credentials::none().with_login(&place.key(), login.clone());
        let settings = Settings { credentials, ..context.network().without_logins(context.watch())? };
        Registry::greet(&Client::new(settings), &place.registry, &place.namespace).map_err(|e| {
            match e.kind() {
                Kind::Denied => {
                    e.hint("check the user name, and the password or access token; nothing was kept")
                }
                _ => e,
            }
        })?;
    }
    let kept = keeper.keep(&place.key(), &login)?;
    let by = match &kept {
        Kept::Helper(name) => format!("by `docker-credential-{}`", show_bytes(name.as_bytes())),
        _ => format!("in `{}`, for you alone to read", show(keeper.path())),
    };
    let verb = if args.no_verify { "Login kept" } else { "Login Succeeded! Kept" };
    context.fact(&format!("{verb} {by}"));
    Ok(())
}

fn password(args: &LoginArgs, context: &Context, place: &Place) -> Result<String> {
    if let Some(password) = &args.password {
        warn(
            context.see(),
            "a password on the command line is seen by everybody who lists processes",
            Some("use `--password-stdin`"),
        );
        return Ok(password.0.clone());
    }
    if args.password_stdin {
        let mut bytes = Vec::new();
        std::io::stdin().lock().take(MAX_PASSWORD).read_to_end(&mut bytes).doing("read standard input")?;
        let text = String::from_utf8(bytes)
            .map_err(|_| usage("the password is not UTF-8", "check what is written to standard input"))?;
        let line = text.strip_suffix('\n').unwrap_or(&text);
        return Ok(line.strip_suffix('\r').unwrap_or(line).to_owned());
    }
    if let Some(password) = context::text("FLOE_PASSWORD") {
        return Ok(password);
    }
    if std::io::stdin().is_terminal() {
        return prompt::secret(&format!("Password for {}: ", place.key()));
    }
    Err(usage(
        "there is no password, and no terminal to ask for it",
        "write it to standard input: `--password-stdin`",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registry_is_a_host_perhaps_with_a_namespace() {
        for (text, registry, namespace) in [
            ("ghcr.io", "ghcr.io", ""),
            ("localhost", "localhost", ""),
            ("localhost:5000", "localhost:5000", ""),
            ("[::1]:5000/", "[::1]:5000", ""),
            ("quay.io/team/x", "quay.io", "team/x"),
            ("https://index.docker.io/v1/", "docker.io", ""),
            ("https://r.example/v2/", "r.example", ""),
        ] {
            let place = place(text).unwrap();
            assert_eq!((place.registry.as_str(), place.namespace.as_str()), (registry, namespace), "{text}");
        }
        for bad in ["", "name", "a b.c", "ghcr.io/x:1", "ghcr.io/X", "u:p@h.example", "h.example?x", "-.-"] {
            assert!(place(bad).is_err(), "{bad}");
        }
    }
}
