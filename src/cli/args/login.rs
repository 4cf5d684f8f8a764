//! The flags of `login` and `logout`.

use std::fmt;

use clap::Args;

/// A value of the command line that is shown nowhere else.
#[derive(Clone)]
pub(crate) struct Hidden(pub(crate) String);

impl From<String> for Hidden {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hidden")
    }
}

/// Flags of `login`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  floe login ghcr.io\n  floe login ghcr.io -u me --password-stdin <token.txt",
    after_long_help = LOGIN_LONG
)]
pub(crate) struct LoginArgs {
    /// The registry, perhaps with a namespace: HOST[:PORT][/NAMESPACE]
    #[arg(value_name = "HOST")]
    pub(crate) host: String,
    /// The user name; without it a terminal asks for it
    #[arg(short, long, env = "FLOE_USERNAME", value_name = "USER")]
    pub(crate) username: Option<String>,
    /// The password or access token, for all to see who list processes; better is the next one
    #[arg(hide_short_help = true, short, long, conflicts_with = "password_stdin", value_name = "PASSWORD")]
    pub(crate) password: Option<Hidden>,
    /// Read the password or access token from standard input
    #[arg(long)]
    pub(crate) password_stdin: bool,
    /// Keep the login without asking the registry whether it is right
    #[arg(hide_short_help = true, long)]
    pub(crate) no_verify: bool,
}

/// Where logins are kept, and what stands in for them.
const LOGIN_LONG: &str = concat!(
    "The login is kept in --authfile, else in $REGISTRY_AUTH_FILE, in $DOCKER_CONFIG/config.json, or in\n",
    "$XDG_RUNTIME_DIR/containers/auth.json, where podman keeps them too; a credential helper that this\n",
    "file names for the host keeps it instead.\n\n",
    "Without a login, and before any that is kept, every command uses FLOE_USERNAME and FLOE_PASSWORD, for\n",
    "the registry FLOE_REGISTRY, else for the one that it writes to or is about. In a job of GitLab\n",
    "CI_REGISTRY_USER and CI_REGISTRY_PASSWORD, else CI_JOB_TOKEN, count for CI_REGISTRY after all others.\n\n",
    "Examples:\n",
    "  floe login ghcr.io\n",
    "  floe login quay.io/team -u team+robot --password-stdin <token.txt",
);

/// Flags of `logout`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  floe logout ghcr.io\n  floe logout --all")]
pub(crate) struct LogoutArgs {
    /// The registry, as it was named at the login
    #[arg(value_name = "HOST", conflicts_with = "all")]
    pub(crate) host: Option<String>,
    /// Every registry of the file
    #[arg(long)]
    pub(crate) all: bool,
}
