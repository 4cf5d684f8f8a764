//! The flags, as close to what was typed as possible: no file is read and nothing is looked up, so
//! that `--help` never fails.

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{BoolishValueParser, FalseyValueParser};
use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};

use super::values;

const VERSION: &str = env!("CARGO_PKG_VERSION");
const LONG_VERSION: &str =
    concat!(env!("CARGO_PKG_VERSION"), " (", env!("FLOE_COMMIT"), ", ", env!("FLOE_TARGET"), ")");

/// The exit codes, for long helps.
macro_rules! exit_codes {
    () => {
        "Exit codes:
  0  ok                               6  contract break
  1  local file system                7  conflict
  2  usage                            8  not allowed (login, quota, immutable)
  3  definition or model              9  findings denied
  4  registry or network, retry      70  bug
  5  integrity                      130  interrupted"
    };
}

mod login;
mod moving;
#[cfg(feature = "serve")]
mod serve;

pub(crate) use login::{LoginArgs, LogoutArgs};
pub(crate) use moving::{AttachArgs, CopyArgs, InventoryArgs};
#[cfg(feature = "serve")]
pub(crate) use serve::ServeArgs;

/// The examples of `build`, for both of its helps.
macro_rules! build_examples {
    () => {
        "Examples:
  floe build ./model --name churn
  floe build model.onnx --base scratch --dry-run
  floe build ./model -o oci-archive:model.tar -o oci:images --alias latest
  floe build . -o docker://localhost:5000/team/"
    };
}

/// Freezes a machine-learning model into an OCI image: no Docker, no daemon, no root.
#[derive(Debug, Parser)]
#[command(
    name = "floe",
    version = VERSION,
    long_version = LONG_VERSION,
    propagate_version = false,
    subcommand_required = true,
    after_help = "Examples:\n  floe build ./model\n  floe build model.onnx -o oci:images\n  floe versions model\n\nMore with --help.",
    after_long_help = AFTER_LONG,
    max_term_width = 100
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

const AFTER_LONG: &str = concat!(
    "stdout is the answer, stderr is the talk. SOURCE_DATE_EPOCH, NO_COLOR and CLICOLOR_FORCE are\n",
    "honoured. A flag wins over its variable; a variable that is empty is not set.\n\n",
    exit_codes!(),
    "\n\n",
    "Examples:\n",
    "  floe build ./model                               the next version in the local store\n",
    "  floe build model.onnx -o oci-archive:model.tar   a file for a site without a network\n",
    "  floe build ./model -o registry.example/team/     the next version in a registry\n",
    "  floe inspect model:1 --json                      what is in it",
);

/// The command line as it is understood here and now.
///
/// A variable that is set to nothing counts as not set, as jobs set variables that they have no
/// value for; so does one that a flag of this run contradicts. Help, completions and manual pages
/// are the same whatever is set.
pub(crate) fn command() -> clap::Command {
    fn plain(command: clap::Command, given: &[String]) -> clap::Command {
        let said = |flag: &str| given.iter().any(|g| g == flag || g.starts_with(&format!("{flag}=")));
        command
            .mut_args(|arg| {
                let empty = arg.get_env().and_then(std::env::var_os).is_some_and(|v| v.is_empty());
                let other = match arg.get_id().as_str() {
                    "runtime" => said("--base"),
                    "base" => said("--runtime"),
                    _ => false,
                };
                let arg = arg.hide_env_values(true);
                // Help is asked for before variables are read, and shows their names.
                if (empty || other) && !HELP.iter().any(|h| said(h)) {
                    arg.env(None::<&'static str>)
                } else {
                    arg
                }
            })
            .mut_subcommands(|c| plain(c, given))
    }
    let given: Vec<String> = std::env::args_os().skip(1).map(|a| a.to_string_lossy().into_owned()).collect();
    plain(Cli::command(), &given)
}

/// What asks for text that shows the names of variables.
const HELP: [&str; 4] = ["-h", "--help", "help", "man"];

/// Flags of every command.
#[derive(Debug, Args)]
pub(crate) struct Global {
    /// How progress is shown
    #[arg(
        hide_short_help = true,
        long,
        global = true,
        value_enum,
        default_value = "auto",
        env = "FLOE_PROGRESS",
        value_name = "HOW"
    )]
    pub(crate) progress: Progress,
    /// Say nothing but errors
    #[arg(short, long, global = true, env = "FLOE_QUIET", value_parser = FalseyValueParser::new())]
    pub(crate) quiet: bool,
    /// How much is said: `info` is usual, `error` is -q, `debug` is -v, `trace` is -vv
    #[arg(hide_short_help = true, long, global = true, env = "FLOE_LOG", value_parser = ["error", "warn", "info", "debug", "trace"], value_name = "LEVEL")]
    pub(crate) log: Option<String>,
    /// Say more; twice for details
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
    /// Colours on stderr
    #[arg(hide_short_help = true, long, global = true, value_parser = ["auto", "always", "never"], env = "FLOE_COLOR", value_name = "WHEN")]
    pub(crate) color: Option<String>,
    /// The folder of the local store
    #[arg(hide_short_help = true, long, global = true, env = "FLOE_STORE", value_name = "DIR")]
    pub(crate) store: Option<PathBuf>,
    /// A registry host that may be reached without TLS, or with a certificate nobody vouches for
    #[arg(
        hide_short_help = true,
        long,
        global = true,
        env = "FLOE_INSECURE",
        value_delimiter = ',',
        value_name = "HOST"
    )]
    pub(crate) insecure: Vec<String>,
    /// The file with logins for registries
    #[arg(hide_short_help = true, long, global = true, env = "FLOE_AUTHFILE", value_name = "FILE")]
    pub(crate) authfile: Option<PathBuf>,
    /// How layers go to a registry: one stream, one PUT, chunks that can be resumed, or what it takes
    #[arg(hide_short_help = true, long, global = true, env = "FLOE_UPLOAD", default_value = "auto", value_parser = ["auto", "stream", "whole", "chunked"], value_name = "HOW")]
    pub(crate) upload: String,
    /// How often a request to a registry is made again where that may help
    #[arg(hide_short_help = true, long, global = true, env = "FLOE_RETRIES", default_value = "5", value_parser = values::count, value_name = "N")]
    pub(crate) retries: usize,
    /// Seconds without a byte after which a connection to a registry counts as dead
    #[arg(hide_short_help = true, long, global = true, env = "FLOE_STALL", default_value = "30", value_parser = values::wait, value_name = "SECONDS")]
    pub(crate) stall: Duration,
    /// The folder of what is remembered: digests of layers, unfinished uploads [default: $XDG_CACHE_HOME/floe]
    #[arg(hide_short_help = true, long, global = true, env = "FLOE_CACHE", value_name = "DIR")]
    pub(crate) cache: Option<PathBuf>,
    /// Read everything anew, and remember nothing for the next run
    #[arg(hide_short_help = true, long, global = true, env = "FLOE_NO_CACHE", value_parser = FalseyValueParser::new())]
    pub(crate) no_cache: bool,
    /// A file with certificates of authorities that count besides the system's; repeatable
    #[arg(
        hide_short_help = true,
        long,
        global = true,
        env = "FLOE_CA_FILE",
        value_delimiter = ',',
        value_name = "FILE"
    )]
    pub(crate) ca_file: Vec<PathBuf>,
    /// The certificate to show to the registries that are named here
    #[arg(
        hide_short_help = true,
        long,
        global = true,
        env = "FLOE_CERT",
        requires = "key",
        value_name = "FILE"
    )]
    pub(crate) cert: Option<PathBuf>,
    /// The key of that certificate
    #[arg(
        hide_short_help = true,
        long,
        global = true,
        env = "FLOE_KEY",
        requires = "cert",
        value_name = "FILE"
    )]
    pub(crate) key: Option<PathBuf>,
    /// A folder with `*.crt`, `*.cert` and `*.key` for the registries that are named here, or with a
    /// folder HOST[:PORT] of these for each host, as certs.d has them
    #[arg(hide_short_help = true, long, global = true, env = "FLOE_CERT_DIR", value_name = "DIR")]
    pub(crate) cert_dir: Option<PathBuf>,
    /// `false` reaches the registries that are named here as --insecure does
    #[arg(hide_short_help = true, long, global = true, env = "FLOE_TLS_VERIFY", num_args = 0..=1, default_missing_value = "true", require_equals = true, value_parser = BoolishValueParser::new(), value_name = "BOOL")]
    pub(crate) tls_verify: Option<bool>,
    /// The registries.conf to use in place of the user's and the system's
    #[arg(hide_short_help = true, long, global = true, env = "FLOE_REGISTRIES_CONF", value_name = "FILE")]
    pub(crate) registries_conf: Option<PathBuf>,
}

/// How progress is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Progress {
    /// A bar on a terminal, plain lines elsewhere
    Auto,
    /// Plain lines
    Plain,
    /// One JSON object a line
    Json,
    /// Warnings and errors only
    None,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Freeze a model into an image and publish it as the next version
    Build(Box<BuildArgs>),
    /// Show which framework wrote a model and what goes in and out, without running it
    Infer(InferArgs),
    /// Serve an ONNX model over the Open Inference Protocol, REST and gRPC
    #[cfg(feature = "serve")]
    Serve(Box<ServeArgs>),
    /// List the models of the local store
    Models(ModelsArgs),
    /// List the versions of a model
    Versions(VersionsArgs),
    /// Show what an image is made of
    Inspect(InspectArgs),
    /// Find the version that a digest or model id belongs to
    Which(WhichArgs),
    /// Read an image again and hold it against all that is said of it
    Verify(VerifyArgs),
    /// Log in to a registry, and keep the login where podman and Docker find it
    Login(LoginArgs),
    /// Forget the login for a registry
    Logout(LogoutArgs),
    /// Copy images between registries, layouts, archives and the local store; every digest stays
    Copy(Box<CopyArgs>),
    /// Write down what a place has, for `copy --since`
    Inventory(InventoryArgs),
    /// Attach files to an image, which stays as it is
    Attach(AttachArgs),
    /// Print the JSON schema of serving.yaml
    #[command(after_help = "Examples:\n  floe schema")]
    Schema,
    /// Print a completion script for a shell
    #[command(after_help = "Examples:\n  floe completions bash\n  floe completions zsh")]
    Completions {
        /// bash, zsh, fish, elvish or powershell
        shell: clap_complete::Shell,
    },
    /// Print a manual page
    #[command(after_help = "Examples:\n  floe man\n  floe man build")]
    Man {
        /// The command; without it the page of floe itself
        command: Option<String>,
    },
}

impl Command {
    /// Whether errors are annotations of a run of GitHub Actions too.
    pub(crate) fn annotates(&self) -> bool {
        matches!(self, Self::Build(args) if args.github)
    }

    /// Whether a signal asks it to stop in order, rather than ending it at once.
    pub(crate) fn heeds_signals(&self) -> bool {
        match self {
            Self::Build(_) | Self::Copy(_) | Self::Verify(_) => true,
            #[cfg(feature = "serve")]
            Self::Serve(_) => true,
            _ => false,
        }
    }
}

/// Flags of `build`.
#[derive(Debug, Args)]
#[command(
    after_help = concat!(build_examples!(), "\n\nAll flags with --help."),
    after_long_help = concat!(exit_codes!(), "\n\n", build_examples!())
)]
pub(crate) struct BuildArgs {
    /// The model: a folder, with or without a serving.yaml, or a single file
    #[arg(default_value = ".", value_name = "DIR|FILE")]
    pub(crate) path: PathBuf,
    /// The definition, where it is not DIR/serving.yaml; `-` reads standard input
    #[arg(short, long, env = "FLOE_FILE", value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// Where the image goes: docker://HOST/REPO[:ALIAS], oci:DIR[:ALIAS], oci-archive:FILE[:NAME],
    /// docker-archive:FILE[:NAME], or a name in the local store; one that ends in `/` gets the model's
    /// name. Repeatable (in the variable one a line); all are written from one reading
    #[arg(short, long, env = "FLOE_OUTPUT", value_delimiter = '\n', value_name = "DEST")]
    pub(crate) output: Vec<String>,
    /// The model's name, as repository; MODEL_NAME keeps what the definition says
    #[arg(long, env = "FLOE_NAME")]
    pub(crate) name: Option<String>,
    /// A runtime of the catalog to lay the model on; without one floe itself for ONNX models, which
    /// then serve (`onnx`), and nothing for others (`data`)
    #[arg(long, env = "FLOE_RUNTIME", value_name = "NAME", conflicts_with = "base")]
    pub(crate) runtime: Option<String>,
    /// A base image: a registry reference, oci:DIR[:TAG], oci-archive:FILE, docker-archive:FILE,
    /// rootfs:DIR|TAR, scratch, or floe, which is floe's own server
    #[arg(long, env = "FLOE_BASE", value_name = "REF")]
    pub(crate) base: Option<String>,
    /// What the image names as its base, where --base is a mirror of it
    #[arg(long, env = "FLOE_BASE_NAME", value_name = "REF")]
    pub(crate) base_name: Option<String>,
    /// Build for os/arch[/variant]; repeatable, or `all` that the base has
    #[arg(long, env = "FLOE_PLATFORM", value_delimiter = ',', value_name = "PLATFORM")]
    pub(crate) platform: Vec<String>,
    /// The static floe to lay ONNX models on, for another platform than this one's; repeatable (in the
    /// variable one a line)
    #[arg(
        hide_short_help = true,
        long,
        env = "FLOE_BINARY",
        value_delimiter = '\n',
        value_name = "PLATFORM=PATH"
    )]
    pub(crate) floe_binary: Vec<String>,
    /// auto, none, gzip or zstd
    #[arg(long, env = "FLOE_COMPRESSION", default_value = "auto", value_name = "HOW")]
    pub(crate) compression: String,
    /// A label of the image
    #[arg(hide_short_help = true, long, value_name = "KEY=VALUE")]
    pub(crate) label: Vec<String>,
    /// An annotation of the manifest
    #[arg(hide_short_help = true, long, value_name = "KEY=VALUE")]
    pub(crate) annotation: Vec<String>,
    /// An environment variable of the image
    #[arg(hide_short_help = true, long, value_name = "KEY=VALUE")]
    pub(crate) env: Vec<String>,
    /// Metadata of the model, kept as an annotation
    #[arg(hide_short_help = true, long, value_name = "KEY=VALUE")]
    pub(crate) metadata: Vec<String>,
    /// The user that the image runs as
    #[arg(hide_short_help = true, long, env = "FLOE_USER", value_name = "USER")]
    pub(crate) user: Option<String>,
    /// The working folder of the image
    #[arg(hide_short_help = true, long, env = "FLOE_WORKDIR", value_name = "DIR")]
    pub(crate) workdir: Option<String>,
    /// Owner of the model's files in the image
    #[arg(hide_short_help = true, long, env = "FLOE_OWNER", value_name = "UID:GID")]
    pub(crate) owner: Option<String>,
    /// A file, folder or pattern to pack, relative to the definition; replaces its payload
    #[arg(hide_short_help = true, long, value_name = "PATH")]
    pub(crate) payload: Vec<String>,
    /// How payload paths become paths in the image: as written (3.x), or by base name (2.x)
    #[arg(hide_short_help = true, long, env = "FLOE_PAYLOAD_NAMES", value_parser = ["verbatim", "basename"], value_name = "RULE")]
    pub(crate) payload_names: Option<String>,
    /// Pack what links point to, where that lies outside the model
    #[arg(hide_short_help = true, long, env = "FLOE_FOLLOW_LINKS", value_parser = FalseyValueParser::new())]
    pub(crate) follow_links: bool,
    /// Pack this file although it holds a credential
    #[arg(hide_short_help = true, long, value_name = "PATH")]
    pub(crate) allow_secret: Vec<String>,
    /// The framework, where several are recognised
    #[arg(hide_short_help = true, long, env = "FLOE_FRAMEWORK", value_name = "NAME")]
    pub(crate) framework: Option<String>,
    /// The model within DIR, where several are recognised
    #[arg(hide_short_help = true, long, value_name = "PATH")]
    pub(crate) model: Option<String>,
    /// Let the declared contract stand although the model contradicts it
    #[arg(hide_short_help = true, long, env = "FLOE_TRUST_DEFINITION", value_parser = FalseyValueParser::new())]
    pub(crate) trust_definition: bool,
    /// Build nothing where the model does something on load that its author should look at
    #[arg(long, env = "FLOE_DENY", value_delimiter = ',', value_parser = ["findings"], value_name = "WHAT")]
    pub(crate) deny: Vec<String>,
    /// Also move this alias to the new version; repeatable
    #[arg(long, env = "FLOE_ALIAS", value_delimiter = ',', value_name = "NAME")]
    pub(crate) alias: Vec<String>,
    /// Also write the bare number as a tag
    #[arg(hide_short_help = true, long, env = "FLOE_NUMBER_TAG", value_parser = FalseyValueParser::new())]
    pub(crate) number_tag: bool,
    /// Attach no record of who published what, when and from where
    #[arg(hide_short_help = true, long, env = "FLOE_NO_RECORD", value_parser = FalseyValueParser::new())]
    pub(crate) no_record: bool,
    /// Show what would be built; `full` also reads and hashes everything
    #[arg(long, num_args = 0..=1, default_missing_value = "plan", require_equals = true, value_parser = ["plan", "full"], value_name = "HOW")]
    pub(crate) dry_run: Option<String>,
    /// Print one JSON document instead of lines
    #[arg(long, env = "FLOE_JSON", value_parser = FalseyValueParser::new())]
    pub(crate) json: bool,
    /// What each line is: ref, version, tag or digest
    #[arg(long, env = "FLOE_PRINT", value_parser = ["ref", "version", "tag", "digest"], default_value = "ref", value_name = "WHAT")]
    pub(crate) print: String,
    /// Write the digest to a file
    #[arg(hide_short_help = true, long, env = "FLOE_DIGESTFILE", value_name = "FILE")]
    pub(crate) digestfile: Option<PathBuf>,
    /// Write the JSON document to a file
    #[arg(hide_short_help = true, long, env = "FLOE_METADATA_FILE", value_name = "FILE")]
    pub(crate) metadata_file: Option<PathBuf>,
    /// Hand digest, version and ref on in $GITHUB_OUTPUT, with a summary and errors as annotations, in a
    /// step of GitHub Actions
    #[arg(hide_short_help = true, long, env = "FLOE_GITHUB", value_parser = FalseyValueParser::new())]
    pub(crate) github: bool,
    /// Write the results IMAGE_URL and IMAGE_DIGEST into this folder of a Tekton task
    #[arg(hide_short_help = true, long, env = "FLOE_TEKTON", value_name = "DIR")]
    pub(crate) tekton: Option<PathBuf>,
    /// Threads for hashing and compressing
    #[arg(hide_short_help = true, short, long, env = "FLOE_JOBS", value_name = "N")]
    pub(crate) jobs: Option<usize>,
    /// Make what is written outlast a power failure
    #[arg(hide_short_help = true, long, env = "FLOE_FSYNC", value_parser = FalseyValueParser::new())]
    pub(crate) fsync: bool,
}

/// Flags of `infer`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  floe infer model.onnx\n  floe infer ./saved_model --json\n  floe infer model.onnx --yaml"
)]
pub(crate) struct InferArgs {
    /// The model: a folder or a single file
    #[arg(default_value = ".", value_name = "DIR|FILE")]
    pub(crate) path: PathBuf,
    /// The framework, where several are recognised
    #[arg(long, env = "FLOE_FRAMEWORK", value_name = "NAME")]
    pub(crate) framework: Option<String>,
    /// The model within DIR, where several are recognised
    #[arg(long, value_name = "PATH")]
    pub(crate) model: Option<String>,
    /// Follow links that lead out of the model
    #[arg(long, env = "FLOE_FOLLOW_LINKS", value_parser = FalseyValueParser::new())]
    pub(crate) follow_links: bool,
    /// Print a serving.yaml to start from
    #[arg(long, conflicts_with = "json")]
    pub(crate) yaml: bool,
    /// Print a JSON document
    #[arg(long, env = "FLOE_JSON", value_parser = FalseyValueParser::new())]
    pub(crate) json: bool,
}

/// Flags of `models`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  floe models\n  floe models --json")]
pub(crate) struct ModelsArgs {
    /// Print a JSON document
    #[arg(long, env = "FLOE_JSON", value_parser = FalseyValueParser::new())]
    pub(crate) json: bool,
}

/// Flags of `versions`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  floe versions churn\n  floe versions docker://localhost:5000/team/churn --json"
)]
pub(crate) struct VersionsArgs {
    /// A model of the local store, or a repository: docker://HOST/REPO, oci:DIR
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    /// Print a JSON document
    #[arg(long, env = "FLOE_JSON", value_parser = FalseyValueParser::new())]
    pub(crate) json: bool,
}

/// Flags of `inspect`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  floe inspect churn\n  floe inspect churn:3 --json\n  floe inspect oci-archive:model.tar"
)]
pub(crate) struct InspectArgs {
    /// NAME, NAME:7, NAME:v7-…, NAME:ALIAS, NAME@DIGEST, docker://…, oci:…, oci-archive:…
    #[arg(value_name = "REF")]
    pub(crate) reference: String,
    /// The platform, where the image has several
    #[arg(long, env = "FLOE_PLATFORM", value_name = "PLATFORM")]
    pub(crate) platform: Option<String>,
    /// Print a JSON document
    #[arg(long, env = "FLOE_JSON", value_parser = FalseyValueParser::new())]
    pub(crate) json: bool,
}

/// Flags of `which`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  floe which sha256:4a5b churn\n  floe which 0f1e2d3c4b5a6978")]
pub(crate) struct WhichArgs {
    /// A digest or a model id, or the beginning of one
    #[arg(value_name = "DIGEST|ID")]
    pub(crate) what: String,
    /// A model of the local store, or a repository; without it all models of the local store
    #[arg(value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// Print a JSON document
    #[arg(long, env = "FLOE_JSON", value_parser = FalseyValueParser::new())]
    pub(crate) json: bool,
}

/// Flags of `verify`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  floe verify churn:3\n  floe verify docker://registry.example/team/churn --json\n  floe verify churn:3 --root /model",
    after_long_help = concat!(exit_codes!(), "\n\nExamples:\n  floe verify churn:3\n  floe verify churn:3 --root /model\n  floe verify --root /model --model-id 0f1e…")
)]
pub(crate) struct VerifyArgs {
    /// NAME, NAME:7, NAME:v7-…, NAME:ALIAS, NAME@DIGEST, docker://…, oci:…, oci-archive:…
    #[arg(value_name = "REF", required_unless_present = "root")]
    pub(crate) reference: Option<String>,
    /// Pack the files of a running container again, whose `/model` is here, and compare them with REF or with a model id
    #[arg(long, value_name = "DIR")]
    pub(crate) root: Option<PathBuf>,
    /// With --root and without REF: the model's name
    #[arg(hide_short_help = true, long, env = "FLOE_MODEL_NAME", requires = "root", value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// With --root and without REF: the model id that the files should have
    #[arg(hide_short_help = true, long, env = "FLOE_MODEL_ID", requires = "root", value_name = "ID")]
    pub(crate) model_id: Option<String>,
    /// With --root: the owner that the files were packed with
    #[arg(hide_short_help = true, long, env = "FLOE_OWNER", requires = "root", value_name = "UID:GID")]
    pub(crate) owner: Option<String>,
    /// With --root: the platform, where the image has several
    #[arg(hide_short_help = true, long, env = "FLOE_PLATFORM", value_name = "PLATFORM")]
    pub(crate) platform: Option<String>,
    /// Print a JSON document
    #[arg(long, env = "FLOE_JSON", value_parser = FalseyValueParser::new())]
    pub(crate) json: bool,
    /// How many blobs are read at once
    #[arg(hide_short_help = true, short, long, env = "FLOE_JOBS", value_name = "N")]
    pub(crate) jobs: Option<usize>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flags_agree_with_each_other() {
        Cli::command().debug_assert();
    }

    #[test]
    fn c01_help_is_a_screen_and_ends_with_examples() {
        let mut command = command();
        command.build();
        let all = std::iter::once(command.clone()).chain(command.get_subcommands().cloned());
        for mut page in all.filter(|s| s.get_name() != "help") {
            let (short, long) = (page.render_help().to_string(), page.render_long_help().to_string());
            let name = page.get_name();
            assert!(short.lines().count() <= 50, "{name}: {} lines", short.lines().count());
            for text in [&short, &long] {
                let at = text.find("Examples:").unwrap_or_else(|| panic!("{name} has no examples:\n{text}"));
                assert!(text[at..].lines().count() <= 7, "{name} does not end with examples:\n{text}");
            }
        }
    }

    #[test]
    fn c18_exit_codes_are_in_the_help() {
        let long = command().render_long_help().to_string();
        for code in ["0  ok", "3  definition", "8  not allowed", "130  interrupted"] {
            assert!(long.contains(code), "{code}");
        }
    }

    #[test]
    fn c10_what_a_job_sets_has_a_variable() {
        let command = Cli::command();
        let build = command.get_subcommands().find(|s| s.get_name() == "build").unwrap();
        for flag in ["output", "name", "runtime", "base", "platform", "compression", "alias", "json", "jobs"]
        {
            let arg = build.get_arguments().find(|a| a.get_id() == flag).unwrap();
            let env = arg.get_env().unwrap().to_string_lossy().into_owned();
            assert_eq!(env, format!("FLOE_{}", flag.to_uppercase()));
        }
    }
}
