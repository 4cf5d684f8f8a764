//! How registries are reached and who we are there, from flags and the environment.
//!
//! The library looks at no environment; what a user of podman, Docker, curl or GitLab has set there
//! becomes values here. Nothing is read from disk before a store is opened.
//!
//! Invariant: a secret of the environment is for one host. Which one is said by the environment, or
//! by the command line where it names one alone; never by a definition, a base or a registry.

use std::env;
use std::path::PathBuf;

use super::args::{Command, Global};
use super::{context, usage};
use floe::Result;
use floe::event::Watch;
use floe::fs::show;
use floe::oci::Reference;
use floe::store::location::Location;
use floe::store::registry::{
    AUTH_FILES, Certificates, Credentials, Keeper, Login, Proxies, Registries, Settings, Shown,
};

/// The user for whom GitLab's token of a job is (docs.gitlab.com, "CI/CD job token").
const JOB_USER: &str = "gitlab-ci-token";

/// What is known of the network before it is used.
pub(crate) struct Network {
    insecure: Vec<String>,
    authfile: Option<PathBuf>,
    ca_file: Vec<PathBuf>,
    shown: Option<(PathBuf, PathBuf)>,
    cert_dir: Option<PathBuf>,
    tls_verify: bool,
    registries_conf: Option<PathBuf>,
    named: Named,
}

/// The registries that a command line names.
#[derive(Debug, Default, PartialEq, Eq)]
struct Named {
    /// Those that are written to, or that the command is about.
    main: Vec<Reference>,
    /// The base besides.
    base: Option<Reference>,
}

impl Named {
    fn of(command: &Command) -> Self {
        let registry = |location: Result<Location>| match location {
            Ok(Location::Registry(reference)) => Some(reference),
            _ => None,
        };
        let of_text = |text: &str| registry(Location::reference(text));
        match command {
            Command::Build(args) => Self {
                main: args
                    .output
                    .iter()
                    .filter_map(|o| registry(Location::destination(o, "model")))
                    .collect(),
                base: args.base.as_deref().and_then(|b| registry(Location::base(b))),
            },
            Command::Versions(args) => Self { main: of_text(&args.name).into_iter().collect(), base: None },
            Command::Inspect(args) => {
                Self { main: of_text(&args.reference).into_iter().collect(), base: None }
            }
            Command::Verify(args) => {
                Self { main: args.reference.as_deref().and_then(of_text).into_iter().collect(), base: None }
            }
            Command::Which(args) => {
                Self { main: args.name.as_deref().and_then(of_text).into_iter().collect(), base: None }
            }
            // What is written to comes last, or is all that a list leaves to be named.
            Command::Copy(args) => match args.places.split_last() {
                Some((to, from)) => Self {
                    main: registry(Location::destination(to, "model")).into_iter().collect(),
                    base: from.iter().find_map(|f| of_text(f)),
                },
                None => Self::default(),
            },
            Command::Inventory(args) => {
                Self { main: args.names.iter().filter_map(|n| of_text(n)).collect(), base: None }
            }
            Command::Attach(args) => {
                Self { main: of_text(&args.reference).into_iter().collect(), base: None }
            }
            Command::Login(args) => {
                let reference = super::cmd::login::place(&args.host).ok().map(|p| p.reference());
                Self { main: reference.into_iter().collect(), base: None }
            }
            _ => Self::default(),
        }
    }

    /// Hosts as they are named, and as they are reached.
    fn hosts<'a>(references: impl Iterator<Item = &'a Reference>, registries: &Registries) -> Vec<String> {
        let mut all: Vec<String> =
            references.flat_map(|r| [r.registry.clone(), registries.place(r).registry]).collect();
        all.sort();
        all.dedup();
        all
    }
}

impl Network {
    pub(crate) fn new(global: &Global, command: &Command) -> Self {
        Self {
            insecure: global.insecure.clone(),
            authfile: global.authfile.clone(),
            ca_file: global.ca_file.clone(),
            shown: global.cert.clone().zip(global.key.clone()),
            cert_dir: global.cert_dir.clone(),
            tls_verify: global.tls_verify.unwrap_or(true),
            registries_conf: global.registries_conf.clone(),
            named: Named::of(command),
        }
    }

    /// The settings for everything but a login.
    pub(crate) fn settings(&self, see: Watch) -> Result<Settings> {
        if let Some(file) = self.authfile.as_ref().filter(|f| !f.exists()) {
            return Err(usage(
                format!("there is no file `{}` with logins", show(file)),
                "correct `--authfile`, or leave it out",
            ));
        }
        let settings = self.without_logins(see)?;
        let credentials = self.credentials(&settings.registries)?;
        Ok(Settings { credentials, ..settings })
    }

    /// The settings of somebody whom nobody knows yet.
    pub(crate) fn without_logins(&self, see: Watch) -> Result<Settings> {
        let registries = Registries::load(&self.registries_files()?)?;
        let named = Named::hosts(self.named.main.iter().chain(&self.named.base), &registries);
        let mut insecure = self.insecure.clone();
        if !self.tls_verify {
            insecure.extend(named.iter().cloned());
        }
        Ok(Settings {
            insecure,
            certificates: self.certificates(named),
            proxies: proxies(),
            registries,
            see,
            ..Settings::default()
        })
    }

    fn certificates(&self, named: Vec<String>) -> Certificates {
        let mut by_host: Vec<PathBuf> = self.cert_dir.iter().cloned().collect();
        by_host.extend(config().map(|c| c.join("containers/certs.d")));
        by_host.extend(["/etc/containers/certs.d", "/etc/docker/certs.d"].map(PathBuf::from));
        let mut instead: Vec<PathBuf> = context::path("SSL_CERT_FILE").into_iter().collect();
        instead.extend(list("SSL_CERT_DIR"));
        Certificates {
            instead,
            besides: self.ca_file.clone(),
            by_host,
            for_named: self.cert_dir.clone().map(|dir| (dir, named.clone())),
            shown: self.shown.clone().map(|(certificate, key)| Shown { certificate, key, hosts: named }),
        }
    }

    /// Logins: those of floe's own variables, then the files, then GitLab's.
    fn credentials(&self, registries: &Registries) -> Result<Credentials> {
        let mut all = Credentials::load(&self.auth_files())?
            .with_helpers_in(programs())
            .kept_by(&self.keeps(registries));
        if let Some(password) = context::text("FLOE_PASSWORD") {
            let user = context::text("FLOE_USERNAME").ok_or_else(|| {
                usage("FLOE_PASSWORD is set and FLOE_USERNAME is not", "set both, or none of them")
            })?;
            if let Some(host) = self.host_of_password(registries)? {
                all = all.with_login(&host, Login::new(user, password));
            }
        }
        if let Some(host) = context::text("CI_REGISTRY") {
            let pair = context::text("CI_REGISTRY_USER").zip(context::text("CI_REGISTRY_PASSWORD"));
            let token = || context::text("CI_JOB_TOKEN").map(|t| (JOB_USER.to_owned(), t));
            if let Some((user, password)) = pair.or_else(token) {
                all = all.with_ambient(&host, Login::new(user, password));
            }
        }
        Ok(all)
    }

    /// Whose password FLOE_PASSWORD is. A base may be anywhere, so that it never counts.
    fn host_of_password(&self, registries: &Registries) -> Result<Option<String>> {
        if let Some(host) = context::text("FLOE_REGISTRY") {
            return Ok(Some(host));
        }
        let mut hosts: Vec<String> = self.named.main.iter().map(|r| registries.place(r).registry).collect();
        hosts.sort();
        hosts.dedup();
        match &hosts[..] {
            [] => Ok(None),
            [one] => Ok(Some(one.clone())),
            several => Err(usage(
                format!("FLOE_PASSWORD could be for {}", several.join(" or for ")),
                "say which one it is for: FLOE_REGISTRY=HOST",
            )),
        }
    }

    /// The files that may hold credentials, first match wins: as containers-auth.json(5) has them,
    /// then Docker's.
    pub(crate) fn auth_files(&self) -> Vec<PathBuf> {
        if let Some(file) = self.named_auth_file() {
            return vec![file];
        }
        let mut files = Vec::new();
        if let Some(dir) = context::path("XDG_RUNTIME_DIR") {
            files.push(dir.join("containers/auth.json"));
        }
        files.extend(config().map(|c| c.join("containers/auth.json")));
        match context::path("DOCKER_CONFIG") {
            Some(dir) => files.push(dir.join("config.json")),
            None => files.extend(context::path("HOME").map(|h| h.join(".docker/config.json"))),
        }
        files
    }

    /// Who keeps logins: the file, or the helper that registries.conf names first.
    pub(crate) fn keeper(&self) -> Result<Keeper> {
        let registries = Registries::load(&self.registries_files()?)?;
        Ok(Keeper::new(self.login_file()?, programs()).kept_by(&self.keeps(&registries)))
    }

    /// Where logins are kept by registries.conf. A file that was named by hand counts before its helpers.
    fn keeps(&self, registries: &Registries) -> Vec<String> {
        let mut all = registries.credential_helpers().to_vec();
        if !all.is_empty() && self.named_auth_file().is_some() {
            all.retain(|name| name != AUTH_FILES);
            all.insert(0, AUTH_FILES.to_owned());
        }
        all
    }

    fn named_auth_file(&self) -> Option<PathBuf> {
        self.authfile.clone().or_else(|| context::path("REGISTRY_AUTH_FILE"))
    }

    /// The file that a login is written to: podman's place, or Docker's where that was moved. Without
    /// a folder that lasts as long as the session it is the one that stays.
    fn login_file(&self) -> Result<PathBuf> {
        if let Some(file) = self.named_auth_file() {
            return Ok(file);
        }
        if let Some(dir) = context::path("DOCKER_CONFIG") {
            return Ok(dir.join("config.json"));
        }
        let folder = context::path("XDG_RUNTIME_DIR").or_else(config);
        folder
            .map(|f| f.join("containers/auth.json"))
            .ok_or_else(|| usage("there is no place to keep a login", "name one: `--authfile FILE`"))
    }

    /// The one that is named alone, else the user's, else the system's with both folders beside it.
    fn registries_files(&self) -> Result<Vec<PathBuf>> {
        let variable =
            || ["CONTAINERS_REGISTRIES_CONF", "REGISTRIES_CONFIG_PATH"].into_iter().find_map(context::path);
        if let Some(file) = self.registries_conf.clone().or_else(variable) {
            if !file.exists() {
                return Err(usage(
                    format!("there is no file `{}`", show(&file)),
                    "correct `--registries-conf` or CONTAINERS_REGISTRIES_CONF, or leave it out",
                ));
            }
            return Ok(vec![file]);
        }
        let folder = |dir: PathBuf| dir.join("registries.conf.d");
        let own = config().map(|c| c.join("containers"));
        if let Some(dir) = &own
            && dir.join("registries.conf").exists()
        {
            return Ok(vec![dir.join("registries.conf"), folder(dir.clone())]);
        }
        let system = PathBuf::from("/etc/containers");
        let mut all = vec![system.join("registries.conf"), folder(system)];
        all.extend(own.map(folder));
        Ok(all)
    }
}

/// `$XDG_CONFIG_HOME`, else `~/.config`.
fn config() -> Option<PathBuf> {
    context::path("XDG_CONFIG_HOME").or_else(|| context::path("HOME").map(|h| h.join(".config")))
}

/// A list of folders in a variable.
fn list(name: &str) -> Vec<PathBuf> {
    let value = context::path(name).unwrap_or_default();
    env::split_paths(&value).filter(|p| !p.as_os_str().is_empty()).collect()
}

/// Where credential helpers are looked for. Not in the present folder: it may be a model's.
fn programs() -> Vec<PathBuf> {
    list("PATH").into_iter().filter(|p| p.is_absolute()).collect()
}

/// The proxies of the environment, small letters first as curl reads them. In a CGI program the
/// sender of a request decides what HTTP_PROXY is, so that it does not count there (httpoxy.org).
fn proxies() -> Proxies {
    let first = |names: &[&str]| names.iter().find_map(|n| context::text(n));
    let all = first(&["all_proxy", "ALL_PROXY"]);
    let http = match env::var_os("REQUEST_METHOD") {
        Some(_) => first(&["http_proxy"]),
        None => first(&["http_proxy", "HTTP_PROXY"]),
    };
    let https = first(&["https_proxy", "HTTPS_PROXY"]);
    let except = first(&["no_proxy", "NO_PROXY"]).unwrap_or_default();
    Proxies::new(
        http.as_ref().or(all.as_ref()).map(String::as_str),
        https.as_ref().or(all.as_ref()).map(String::as_str),
        &except,
    )
}

#[cfg(test)]
mod tests {
    use super::super::args::{Cli, command};
    use super::*;
    use clap::FromArgMatches;

    fn named(line: &str) -> Named {
        let words = std::iter::once("floe").chain(line.split(' '));
        let cli = Cli::from_arg_matches(&command().try_get_matches_from(words).unwrap()).unwrap();
        Named::of(&cli.command)
    }

    #[test]
    fn c28_the_registries_that_a_line_names() {
        let hosts = |n: &Named| n.main.iter().map(|r| r.registry.clone()).collect::<Vec<_>>();
        let n = named("build m -o docker://a:1/x/ -o oci:dir -o b.example/y:z --base debian");
        assert_eq!(hosts(&n), ["a:1", "b.example"]);
        assert_eq!(n.base.unwrap().registry, "docker.io");
        assert_eq!(hosts(&named("versions docker://[::1]:5000/x")), ["[::1]:5000"]);
        assert_eq!(hosts(&named("inspect a.example/x:1")), ["a.example"]);
        assert_eq!(hosts(&named("login a.example/team")), ["a.example"]);
        for nothing in ["versions churn", "models", "build m", "which sha256:00"] {
            assert_eq!(named(nothing), Named::default(), "{nothing}");
        }
    }
}
