//! The flags of the commands that move what is published: `copy`, `inventory`, `attach`.

use std::path::PathBuf;

use clap::Args;
use clap::builder::FalseyValueParser;

use crate::cli::values;

macro_rules! copy_examples {
    () => {
        "Examples:
  floe copy churn docker://registry.example/team/churn
  floe copy --all -f list.txt docker://registry.example/models/
  floe copy churn oci-archive:delta.tar --since churn:1 --split-size 4GiB
  floe copy oci-archive:delta.tar churn"
    };
}

/// Flags of `copy`.
#[derive(Debug, Args)]
#[command(
    override_usage = "floe copy [OPTIONS] SRC... DST\n       floe copy [OPTIONS] -f FILE DST",
    after_help = concat!(copy_examples!(), "\n\nAll flags with --help."),
    after_long_help = concat!(
        "Every digest is kept: nothing is recompressed, nothing is written anew. What the destination has is\n",
        "skipped, blobs elsewhere on its registry are linked, the rest is verified on its way. Names come last.\n\n",
        "SRC is NAME (the newest version), NAME:7, an alias, a digest, docker://..., oci:..., or an archive.\n",
        "Without a tag in DST an image keeps its version, or else the tag that it was named by. DST/ appends each\n",
        "model's name; `/` alone is the local store. A version is never overwritten: where its name points to\n",
        "another image, nothing is done and the exit code is 7.\n\n",
        "With --since an archive lacks the blobs that the other site has. It is read back like any archive:\n",
        "all of it is checked, and nothing is named unless the destination has the rest. Parts made by\n",
        "--split-size are read by the name of the whole (FILE) or of the first part (FILE.000); `cat FILE.[0-9]*`\n",
        "joins them, `sha256sum -c FILE.sha256` checks them.\n\n",
        copy_examples!()
    )
)]
pub(crate) struct CopyArgs {
    /// What is copied, and last where it goes
    #[arg(value_name = "SRC... DST", required = true)]
    pub(crate) places: Vec<String>,
    /// Read what is copied from a file, one reference a line; `-` is standard input
    #[arg(short, long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// Also copy what is attached: signatures, attestations, facts, all referrers
    #[arg(short, long, env = "FLOE_COPY_ALL", value_parser = FalseyValueParser::new())]
    pub(crate) all: bool,
    /// Copy every version and every alias of a collection
    #[arg(long)]
    pub(crate) all_tags: bool,
    /// Take one platform out of an image that has several
    #[arg(long, value_name = "PLATFORM")]
    pub(crate) platform: Option<String>,
    /// Also move this alias to the image at the destination; repeatable
    #[arg(long, value_delimiter = ',', value_name = "NAME")]
    pub(crate) alias: Vec<String>,
    /// Leave out what the other site has: an inventory file, or a reference; repeatable
    #[arg(long, value_name = "FILE|REF")]
    pub(crate) since: Vec<String>,
    /// Cut the archive into parts of this size
    #[arg(long, value_parser = values::size, value_name = "SIZE")]
    pub(crate) split_size: Option<usize>,
    /// Show what would be copied
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Print one JSON document instead of lines
    #[arg(long, env = "FLOE_JSON", value_parser = FalseyValueParser::new())]
    pub(crate) json: bool,
    /// Blobs that are on their way at once
    #[arg(hide_short_help = true, short, long, env = "FLOE_COPY_JOBS", default_value = "4", value_parser = values::at_least_one, value_name = "N")]
    pub(crate) jobs: usize,
    /// Make what is written outlast a power failure
    #[arg(hide_short_help = true, long, env = "FLOE_FSYNC", value_parser = FalseyValueParser::new())]
    pub(crate) fsync: bool,
}

/// Flags of `inventory`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  floe inventory -o site.json\n  floe inventory churn:2\n  floe inventory docker://localhost:5000/team/churn -o site.json"
)]
pub(crate) struct InventoryArgs {
    /// Collections, images, layouts or archives; nothing means the whole local store
    #[arg(value_name = "NAME|STORE")]
    pub(crate) names: Vec<String>,
    /// Write it to a file instead of standard output
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
}

/// Flags of `attach`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  floe attach churn:2 report.json --artifact-type application/vnd.example.report+json\n  floe attach docker://localhost:5000/team/churn --artifact-type example/approval --annotation by=risk"
)]
pub(crate) struct AttachArgs {
    /// The image: a reference as everywhere
    #[arg(value_name = "REF")]
    pub(crate) reference: String,
    /// What is attached to it
    #[arg(value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// What it is
    #[arg(long, value_name = "TYPE")]
    pub(crate) artifact_type: String,
    /// The media type of the files [default: by their names]
    #[arg(long, value_name = "TYPE")]
    pub(crate) media_type: Option<String>,
    /// An annotation of the artifact
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) annotation: Vec<String>,
    /// Print a JSON document
    #[arg(long, env = "FLOE_JSON", value_parser = FalseyValueParser::new())]
    pub(crate) json: bool,
}
