//! `floe verify`.

use serde_json::json;

use crate::cli::args::VerifyArgs;
use crate::cli::cmd::build::{jobs, owner};
use crate::cli::context::Context;
use crate::cli::{find, output, usage};
use floe::error::{counted, show_bytes};
use floe::oci::document::{Config, Index, MAX_CONFIG, Manifest};
use floe::oci::{Descriptor, DiffId, Platform, media_type};
use floe::plan::Owner;
use floe::store::{Source, read_small};
use floe::verify::running::{self, Packed, Running};
use floe::verify::{self, Report};
use floe::{Error, Kind, Result};

pub(crate) fn run(args: &VerifyArgs, context: &Context) -> Result<()> {
    if args.root.is_some() {
        return files(args, context);
    }
    let reference = args.reference.as_deref().unwrap_or_default();
    let stores = context.stores()?;
    let found = find::image(reference, &stores)?;
    let source = found.holder.source();
    let report =
        verify::verify(source, &found.descriptor, found.tag.as_deref(), jobs(args.jobs)?, context.see())?;
    if args.json {
        let mut value = json!({"floe": 1, "ok": report.is_clean(), "tag": found.tag});
        if let (Some(all), Ok(serde_json::Value::Object(fields))) =
            (value.as_object_mut(), serde_json::to_value(&report))
        {
            all.extend(fields);
        }
        output::json(&value)?;
    } else {
        output::answer(&text(&report))?;
    }
    let wrong = report.problems.len();
    if wrong == 0 {
        return Ok(());
    }
    let things = counted(wrong, "thing is", "things are");
    Err(Error::new(Kind::Integrity, format!("{things} wrong with `{}`", show_bytes(reference.as_bytes())))
        .hint("do not use it; copy it again from where it is whole, or build it again"))
}

fn text(report: &Report) -> String {
    let mut out = String::new();
    for note in &report.notes {
        out.extend([format!("note  {note}\n")]);
    }
    if report.is_clean() {
        let Report { digest, documents, referrers, blobs, bytes, .. } = report;
        let attached = match referrers {
            0 => String::new(),
            n => format!(" ({} among them)", counted(*n, "attached artifact", "attached artifacts")),
        };
        out.extend([format!(
            "ok  {digest}  {}{attached}, {}, {}\n",
            counted(*documents, "document", "documents"),
            counted(*blobs, "blob", "blobs"),
            output::size(*bytes)
        )]);
        return out;
    }
    let rows: Vec<Vec<String>> = report
        .problems
        .iter()
        .map(|p| {
            vec![
                "bad".to_owned(),
                p.code.to_owned(),
                show_bytes(p.subject.as_bytes()),
                show_bytes(p.message.as_bytes()),
            ]
        })
        .collect();
    out + &output::table(&rows)
}

/// `--root`: the files that are here, against an image or a model id.
fn files(args: &VerifyArgs, context: &Context) -> Result<()> {
    let root = args.root.as_deref().unwrap_or(std::path::Path::new("/model"));
    let owner = args.owner.as_deref().map_or(Ok(Owner::default()), owner)?;
    let image = args.reference.as_deref().map(|r| expected(r, args, context)).transpose()?;
    let base_layers = image.as_ref().map_or(1, |(_, base)| *base);
    let packed = running::pack(&Running { root, owner, base_layers, jobs: jobs(args.jobs)? }, context.see())?;
    let wrong = match (&image, &args.name, &args.model_id) {
        (Some((expected, _)), ..) => running::differences(&packed, expected),
        (None, Some(name), Some(id)) => {
            let found = running::model_id(name, &packed).to_string();
            let same = [found.as_str(), found.trim_start_matches("sha256:")]
                .iter()
                .any(|f| f.starts_with(&**id) && id.len() >= 16);
            if same { Vec::new() } else { vec![format!("expected the model id {id}, found {found}")] }
        }
        _ => {
            return Err(usage(
                "there is nothing to compare the files with",
                "name the image, as in `floe verify churn:3 --root /model`, or give `--name` and `--model-id`",
            ));
        }
    };
    if args.json {
        output::json(&json!({"floe": 1, "ok": wrong.is_empty(), "layers": packed, "problems": wrong}))?;
    } else {
        output::answer(&answer(&packed, &wrong))?;
    }
    if wrong.is_empty() {
        return Ok(());
    }
    Err(Error::new(
        Kind::Integrity,
        format!("the files in `{}` are not those of the image", floe::error::show(root)),
    )
    .hint("something wrote to them, or they are from another version; start the container anew"))
}

fn answer(packed: &[Packed], wrong: &[String]) -> String {
    if wrong.is_empty() {
        let layers = counted(packed.len(), "layer is as it was", "layers are as they were");
        return format!("ok  {layers} published\n");
    }
    wrong.iter().map(|w| format!("bad  {}\n", show_bytes(w.as_bytes()))).collect()
}

/// The diff ids of the model in an image, and how many layers lie below.
fn expected(reference: &str, args: &VerifyArgs, context: &Context) -> Result<(Vec<DiffId>, usize)> {
    let stores = context.stores()?;
    let found = find::image(reference, &stores)?;
    let source = found.holder.source();
    let manifest = manifest(source, &found.descriptor, args.platform.as_deref())?;
    let config = Config::parse(&read_small(source, &manifest.config, MAX_CONFIG)?)?;
    let (own, base) = running::expected(&manifest, &config);
    if own.is_empty() {
        return Err(Error::new(Kind::Model, format!("`{reference}` has no layer of a model"))
            .hint("name an image that floe built"));
    }
    Ok((own, base))
}

/// The manifest of one platform. The layers of a model are the same on each.
fn manifest(source: &dyn Source, found: &Descriptor, platform: Option<&str>) -> Result<Manifest> {
    let top = source.document(found)?;
    if !media_type::is_index(&top.descriptor.media_type) {
        return Manifest::parse(top.bytes, None);
    }
    let wanted = platform.map(str::parse::<Platform>).transpose()?;
    let index = Index::parse(top.bytes, None)?;
    let entry = index.entries.iter().filter(|e| !e.is_attestation()).find(|e| match &wanted {
        Some(w) => e.platform.as_ref().is_some_and(|p| p.satisfies(w)),
        None => true,
    });
    let entry = entry.ok_or_else(|| Error::new(Kind::Model, "the index names no image for that platform"))?;
    Manifest::parse(source.document(&entry.descriptor)?.bytes, None)
}
