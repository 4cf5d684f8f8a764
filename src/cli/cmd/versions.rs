//! `floe versions`.

use serde::Serialize;

use crate::cli::args::VersionsArgs;
use crate::cli::context::Context;
use crate::cli::{output, usage};
use floe::Result;
use floe::oci::Digest;
use floe::store::location::Location;
use floe::versions::{self, Row};

/// How many names that are no versions are shown.
const NAMES: usize = 10;

#[derive(Serialize)]
struct Line<'a> {
    #[serde(flatten)]
    row: &'a Row,
    digest: Option<Digest>,
    aliases: Vec<String>,
}

pub(crate) fn run(args: &VersionsArgs, context: &Context) -> Result<()> {
    let location = Location::reference(&args.name)?;
    let repository = context.stores()?.repository(&location)?;
    let collection = versions::collection(&*repository)?;
    if collection.versions.is_empty() {
        let hint = match collection.aliases.len() {
            0 => "check the name; `floe models` lists what the local store holds".to_owned(),
            1 => format!("there is another name: {}", collection.aliases[0]),
            n => {
                let some: Vec<&str> = collection.aliases.iter().take(NAMES).map(String::as_str).collect();
                format!(
                    "there are {n} other names: {}{}",
                    some.join(", "),
                    if n > NAMES { ", …" } else { "" }
                )
            }
        };
        return Err(usage(format!("`{location}` has no versions"), hint));
    }
    let mut aliases = Vec::new();
    for alias in &collection.aliases {
        if let Some(found) = repository.resolve(alias)? {
            aliases.push((alias.clone(), found.digest));
        }
    }
    let mut lines = Vec::new();
    for row in &collection.versions {
        let digest = repository.resolve(&row.tag)?.map(|d| d.digest);
        let of = aliases.iter().filter(|(_, d)| Some(*d) == digest).map(|(a, _)| a.clone()).collect();
        lines.push(Line { row, digest, aliases: of });
    }
    if args.json {
        let document = serde_json::json!({"floe": 1, "name": location.to_string(), "versions": lines});
        return output::json(&document);
    }
    let mut rows = vec![vec!["VERSION".to_owned(), "DIGEST".to_owned(), "ALIASES".to_owned()]];
    for line in lines.iter().rev() {
        let digest = line.digest.map_or("gone".to_owned(), |d| d.to_string());
        let mut notes = line.aliases.clone();
        notes.extend(line.row.also.iter().map(|t| format!("also {t}")));
        if line.digest.is_some_and(|d| !line.row.tag.ends_with(&d.short())) {
            notes.push("overwritten: the digest is another content's".to_owned());
        }
        if line.row.tie {
            notes.push(format!("shares number {}", line.row.number));
        }
        rows.push(vec![line.row.tag.clone(), digest, notes.join(", ")]);
    }
    output::answer(&output::table(&rows))
}
