//! `floe copy`.

use std::io::Read;
use std::path::Path;

use crate::cli::args::CopyArgs;
use crate::cli::context::Context;
use crate::cli::{output, usage};
use floe::copy::inventory::{Inventory, MAX_INVENTORY};
use floe::copy::{self, Copied, Request, Surroundings};
use floe::error::{At, counted, show_bytes};
use floe::fs;
use floe::store::open::Stores;
use floe::{Kind, Result};

/// The largest list of references that is read.
const MAX_LIST: u64 = 16 << 20;

pub(crate) fn run(args: &CopyArgs, context: &Context) -> Result<()> {
    let stores = context.stores()?.with_sync(args.fsync);
    let (destination, sources) = args.places.split_last().expect("clap wants one place at least");
    let mut sources = sources.to_vec();
    if let Some(file) = &args.file {
        sources.extend(list(file)?);
    }
    if sources.is_empty() {
        return Err(match &args.file {
            Some(file) => {
                usage(format!("`{}` names nothing to copy", fs::show(file)), "write one reference a line")
            }
            None => usage("a copy needs a source and a destination", "write `floe copy SRC DST`"),
        });
    }
    for alias in &args.alias {
        floe::versions::check_alias(alias)?;
    }
    let mut since: Option<Inventory> = None;
    for text in &args.since {
        let next = known(text, &stores, context)?;
        since = Some(since.unwrap_or_default().and(next));
    }
    let request = Request {
        sources,
        destination: destination.clone(),
        platform: args.platform.as_deref().map(str::parse).transpose()?,
        all: args.all,
        all_tags: args.all_tags,
        aliases: args.alias.clone(),
        since,
        part: args.split_size.map(|s| s as u64),
        jobs: args.jobs,
        dry_run: args.dry_run,
    };
    let copied = copy::copy(&request, &Surroundings { stores: &stores, see: context.see() })?;
    context.finish();
    if args.json {
        return output::json(&serde_json::json!({"floe": 1, "dry_run": args.dry_run, "copied": copied}));
    }
    copied.iter().filter_map(|c| told(c, args.dry_run)).for_each(|line| context.fact(&line));
    let lines: Vec<&str> = copied.iter().map(|c| c.reference.as_str()).collect();
    output::answer(&lines.join("\n"))
}

/// One line about a copy, for people; what was there before is told already, when it is not a rehearsal.
fn told(c: &Copied, dry_run: bool) -> Option<String> {
    let source = show_bytes(c.source.as_bytes());
    if c.existed && c.blobs.written == 0 && c.attached == 0 {
        return dry_run.then(|| format!("{source}: is there, under that name"));
    }
    let mut parts = Vec::new();
    let mut part = |n: usize, one: &str, several: &str| {
        if n > 0 {
            parts.push(counted(n, one, several));
        }
    };
    let mut blobs = |n: usize, what: &str| part(n, &format!("blob {what}"), &format!("blobs {what}"));
    let written = if dry_run { "to be written" } else { "written" };
    blobs(c.blobs.written, &format!("{written} ({})", output::size(c.blobs.bytes)));
    blobs(c.blobs.mounted, "linked");
    blobs(c.blobs.present, "there before");
    blobs(c.left_out, &format!("left out ({})", output::size(c.left_out_bytes)));
    part(c.attached, "artifact attached", "artifacts attached");
    Some(format!("{source}: {}", parts.join(", ")))
}

/// The references in a file: one a line, without comments and empty lines.
fn list(file: &Path) -> Result<Vec<String>> {
    let bytes = read(file, MAX_LIST)?;
    let text = String::from_utf8(bytes).map_err(|e| {
        floe::Error::new(Kind::Usage, format!("`{}` is not UTF-8", fs::show(file))).because(e.utf8_error())
    })?;
    // A `#` within a word is none of a comment.
    let line = |l: &str| l.split(" #").next().unwrap_or_default().trim().to_owned();
    Ok(text.lines().map(line).filter(|l| !l.is_empty() && !l.starts_with('#')).collect())
}

/// What the other site has: an inventory where there is such a file, else what a reference names.
fn known(text: &str, stores: &Stores, context: &Context) -> Result<Inventory> {
    let file = Path::new(text);
    if text == "-" || file.is_file() {
        return Inventory::parse(&read(file, MAX_INVENTORY)?, &format!("`{}`", fs::show(file)));
    }
    let found = Inventory::of(&[text.to_owned()], stores, context.see())?;
    if found.total().0 == 0 {
        let text = show_bytes(text.as_bytes());
        return Err(usage(
            format!("`--since {text}` names nothing: there is no such file and no such image"),
            "give the file that `floe inventory` wrote at the other site, or an image that it has",
        ));
    }
    Ok(found)
}

/// A file, or standard input for `-`.
fn read(file: &Path, cap: u64) -> Result<Vec<u8>> {
    if file != Path::new("-") {
        return fs::read_capped(file, cap)
            .map_err(|e| if e.kind() == Kind::Model { e.with_kind(Kind::Usage) } else { e });
    }
    let mut bytes = Vec::new();
    std::io::stdin().lock().take(cap + 1).read_to_end(&mut bytes).doing("read standard input")?;
    if bytes.len() as u64 > cap {
        return Err(usage(format!("standard input has more than {cap} bytes"), "give less at once"));
    }
    Ok(bytes)
}
