//! `floe inspect`.

use crate::cli::args::InspectArgs;
use crate::cli::cmd::infer::contract_table;
use crate::cli::context::Context;
use crate::cli::{output, usage};
use floe::Result;
use floe::inspect::{self, Inspection};
use floe::oci::Platform;
use floe::store::location::Location;
use floe::versions;

pub(crate) fn run(args: &InspectArgs, context: &Context) -> Result<()> {
    let location = Location::reference(&args.reference)?;
    let stores = context.stores()?;
    let platform = args.platform.as_deref().map(str::parse::<Platform>).transpose()?;
    let shown = match &location {
        Location::OciArchive { .. } | Location::DockerArchive { .. } => {
            let source = stores.source(&location)?;
            let found = match location.tag() {
                Some(name) => source.resolve(name)?,
                None => source.only()?,
            };
            let found = found.ok_or_else(|| {
                usage(format!("`{location}` holds no such image"), "name one that it holds, or none")
            })?;
            inspect::inspect(&*source, &found, location.tag().map(str::to_owned), platform.as_ref(), None)?
        }
        _ => {
            let repository = stores.repository(&location)?;
            let wanted = match &location {
                Location::Registry(r) => r.digest.map(|d| d.to_string()).or_else(|| r.tag.clone()),
                Location::Store { tag, digest, .. } => digest.map(|d| d.to_string()).or_else(|| tag.clone()),
                other => other.tag().map(str::to_owned),
            };
            let what = collection(&location);
            let (found, tag) = inspect::select(&*repository, &what, wanted.as_deref())?;
            let collection = versions::collection(&*repository)?;
            inspect::inspect(&*repository, &found, tag, platform.as_ref(), Some(collection))?
        }
    };
    if args.json {
        let mut value = serde_json::json!({"floe": 1});
        if let (Some(all), Ok(serde_json::Value::Object(fields))) =
            (value.as_object_mut(), serde_json::to_value(&shown))
        {
            all.extend(fields);
        }
        return output::json(&value);
    }
    output::answer(&text(&shown))
}

/// The collection that a reference is about, without what stands for a version.
fn collection(location: &Location) -> String {
    match location {
        Location::Registry(r) => format!("docker://{}", r.name()),
        Location::Store { name, .. } => name.clone(),
        Location::Layout { dir, .. } => Location::Layout { dir: dir.clone(), name: None }.to_string(),
        other => other.to_string(),
    }
}

fn text(i: &Inspection) -> String {
    let mut rows = Vec::new();
    let mut row = |key: &str, value: String| {
        if !value.is_empty() {
            rows.push(vec![key.to_owned(), floe::error::show_bytes(value.as_bytes())]);
        }
    };
    row("model", i.model.clone().unwrap_or_default());
    row("version", i.tag.clone().unwrap_or_default());
    row("digest", i.digest.to_string());
    row("model id", i.model_id.clone().unwrap_or_default());
    row("format", i.format.clone().unwrap_or_default());
    row("platform", i.platforms.join(", "));
    let base = match (&i.base.name, &i.base.digest) {
        (Some(name), Some(digest)) => format!("{name}@{digest}"),
        (None, Some(digest)) => digest.clone(),
        _ if i.base.layers > 0 => format!("{} layers", i.base.layers),
        _ => "scratch".to_owned(),
    };
    row("base", base);
    row("created", i.created.clone().unwrap_or_default());
    row("command", i.command.join(" "));
    row("size", output::size(i.size));
    let mut out = output::table(&rows);

    let mut rows =
        vec![vec!["LAYER".to_owned(), "SIZE".to_owned(), "DIGEST".to_owned(), "MEDIA TYPE".to_owned()]];
    for l in &i.layers {
        let kind = l.media_type.rsplit('.').next().unwrap_or_default().to_owned();
        rows.push(vec![
            floe::error::show_bytes(l.role.as_bytes()),
            output::size(l.size),
            l.digest.to_string(),
            kind,
        ]);
    }
    out.push('\n');
    out.push_str(&output::table(&rows));
    if let Some(contract) = &i.contract {
        out.push('\n');
        out.push_str(&contract_table(contract));
    }
    if let Some(versions) = &i.versions
        && !versions.versions.is_empty()
    {
        let tags: Vec<&str> = versions.versions.iter().rev().map(|v| v.tag.as_str()).collect();
        out.extend([format!("\nversions  {}\n", tags.join(", "))]);
    }
    out
}
