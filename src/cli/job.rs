//! What a job hands on to the steps after it: the files of GitHub Actions and of Tekton.
//!
//! GitHub reads `NAME=VALUE` from the file `$GITHUB_OUTPUT`, Markdown from `$GITHUB_STEP_SUMMARY`, and
//! `::error` lines from a step's output (docs.github.com, "Workflow commands for GitHub Actions"). Tekton
//! reads a result from the file of its name; Tekton Chains takes `IMAGE_URL` and `IMAGE_DIGEST` for an image
//! that was made (tekton.dev, "Chains", "Type Hinting").
//!
//! Invariant: the files are opened before anything is published, and only added to where they are shared.

use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use super::context;
use super::note::Note;
use super::usage;
use floe::build::Built;
use floe::error::{At, show_bytes};
use floe::store::location::Location;
use floe::{Error, Result};

/// The results that Tekton knows an image by.
const URL: &str = "IMAGE_URL";
const DIGEST: &str = "IMAGE_DIGEST";

/// Where a job hands its results on.
#[derive(Default)]
pub(crate) struct Job {
    /// Outputs of the step, by the path for messages.
    outputs: Option<(PathBuf, File)>,
    summary: Option<(PathBuf, File)>,
    results: Option<(Note, Note)>,
}

impl Job {
    /// Opens the files: those of GitHub where that is asked for, those of Tekton in a folder.
    pub(crate) fn open(github: bool, tekton: Option<&Path>, destinations: &[String]) -> Result<Self> {
        let mut job = Self::default();
        if github {
            let outputs = context::path("GITHUB_OUTPUT").ok_or_else(|| {
                usage(
                    "`--github` hands results on in the file GITHUB_OUTPUT, which is not set",
                    "leave it out where no step of GitHub Actions runs; `--digestfile` and `--json` work everywhere",
                )
            })?;
            job.outputs = Some(append(outputs)?);
            job.summary = context::path("GITHUB_STEP_SUMMARY").map(append).transpose()?;
        }
        if let Some(folder) = tekton {
            let registry =
                |text: &String| matches!(Location::destination(text, "model"), Ok(Location::Registry(_)));
            if !destinations.iter().any(registry) {
                return Err(usage(
                    "`--tekton` hands on the image in a registry, and none is a destination",
                    "add one: `-o docker://HOST/REPO`",
                ));
            }
            job.results = Some((Note::new(&folder.join(URL))?, Note::new(&folder.join(DIGEST))?));
        }
        Ok(job)
    }

    /// The files that Tekton's results are written to.
    pub(crate) fn files(tekton: Option<&Path>) -> Vec<PathBuf> {
        tekton.map(|t| vec![t.join(URL), t.join(DIGEST)]).unwrap_or_default()
    }

    /// Hands on what was built. Of several models Tekton gets the first.
    pub(crate) fn hand_on(self, built: &[Built]) -> Result<()> {
        if let Some((path, mut file)) = self.outputs {
            file.write_all(outputs(built, &delimiter()).as_bytes()).at("write", &path)?;
        }
        if let Some((path, mut file)) = self.summary {
            file.write_all(summary(built).as_bytes()).at("write", &path)?;
        }
        if let Some((url, digest)) = self.results
            && let Some((image, of)) = built.iter().find_map(in_registry)
        {
            url.write(image.as_bytes())?;
            digest.write(of.as_bytes())?;
        }
        Ok(())
    }
}

fn append(path: PathBuf) -> Result<(PathBuf, File)> {
    let file = OpenOptions::new().append(true).create(true).open(&path).at("open", &path)?;
    Ok((path, file))
}

/// The image as `HOST/REPO:TAG` and its digest, where it is in a registry.
fn in_registry(built: &Built) -> Option<(String, String)> {
    let digest = built.digest?.to_string();
    built.published.iter().find_map(|p| {
        let (name, _) = p.reference.strip_prefix("docker://")?.split_once('@')?;
        Some((format!("{name}:{}", p.tag), digest.clone()))
    })
}

/// A line that no value has.
fn delimiter() -> String {
    use std::hash::{BuildHasher as _, Hasher as _};
    format!("floe-{:016x}", std::hash::RandomState::new().build_hasher().finish())
}

/// The step's outputs; a value of several lines stands between delimiters.
fn outputs(built: &[Built], delimiter: &str) -> String {
    let refs = built.iter().flat_map(|b| &b.published).map(|p| p.reference.clone());
    let mut out = String::new();
    for (name, values) in [
        ("digest", built.iter().filter_map(|b| b.digest).map(|d| d.to_string()).collect::<Vec<_>>()),
        ("version", built.iter().filter_map(|b| b.version.clone()).collect()),
        ("ref", refs.collect()),
    ] {
        let value = values.join("\n");
        if value.contains(['\n', '\r']) {
            out.extend([format!("{name}<<{delimiter}\n{value}\n{delimiter}\n")]);
        } else if !value.is_empty() {
            out.extend([format!("{name}={value}\n")]);
        }
    }
    out
}

/// What the page of the run shows.
fn summary(built: &[Built]) -> String {
    // Neither a name nor a path may end the cell that it stands in.
    let cell = |text: &str| show_bytes(text.as_bytes()).replace('`', "'").replace('|', "\\|");
    let mut out = String::new();
    for b in built {
        out.extend([format!("### floe: {}\n\n| | |\n|---|---|\n", cell(&b.model))]);
        let mut row = |name: &str, value: &str| {
            // Writing to a text cannot fail.
            let _written = writeln!(out, "| {name} | `{}` |", cell(value));
        };
        b.version.iter().for_each(|v| row("version", v));
        b.digest.iter().for_each(|d| row("digest", &d.to_string()));
        b.model_id.iter().for_each(|id| row("model id", &id.to_string()));
        for p in &b.published {
            row(if p.existed { "was there before" } else { "published" }, &p.reference);
        }
        out.push('\n');
    }
    out
}

/// An error as an annotation of the run, in one line.
pub(crate) fn annotation(e: &Error) -> String {
    let hint = e.hint_text().map_or(String::new(), |h| format!("\nhint: {h}"));
    let text = format!("{e}{hint}").replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A");
    format!("::error title=floe::{text}\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use floe::Kind;

    #[test]
    fn c40_an_error_is_an_annotation_of_one_line() {
        let e = Error::new(Kind::Model, "50% of\n::set-output").hint("do\nthis");
        assert_eq!(annotation(&e), "::error title=floe::50%25 of%0A::set-output%0Ahint: do%0Athis\n");
    }

    #[test]
    fn c40_delimiters_differ() {
        assert_ne!(delimiter(), delimiter());
    }
}
