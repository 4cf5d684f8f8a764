//! `floe inspect`.

use crate::cli::args::InspectArgs;
use crate::cli::cmd::infer::contract_table;
use crate::cli::context::Context;
use crate::cli::find::{self, Holder};
use crate::cli::output;
use floe::Result;
use floe::inspect::{self, Attached, Inspection};
use floe::oci::Platform;
use floe::store::Source;
use floe::versions;

pub(crate) fn run(args: &InspectArgs, context: &Context) -> Result<()> {
    let stores = context.stores()?;
    let platform = args.platform.as_deref().map(str::parse::<Platform>).transpose()?;
    let found = find::image(&args.reference, &stores)?;
    let collection = match &found.holder {
        Holder::Archive(_) => None,
        Holder::Collection(repository) => Some(versions::collection(&**repository)?),
    };
    let source = found.holder.source();
    let shown =
        inspect::inspect(source, &found.descriptor, found.tag.clone(), platform.as_ref(), collection)?;
    let attached = attached(source, &shown, context);
    if args.json {
        let mut value = serde_json::json!({"floe": 1});
        if let (Some(all), Ok(serde_json::Value::Object(fields))) =
            (value.as_object_mut(), serde_json::to_value(&shown))
        {
            all.extend(fields);
            all.insert("referrers".to_owned(), serde_json::json!(attached));
        }
        return output::json(&value);
    }
    output::answer(&text(&shown, &attached))
}

/// What is attached to an image. A registry that does not say so hides nothing else of the image.
fn attached(source: &dyn Source, shown: &Inspection, context: &Context) -> Vec<Attached> {
    let mut subjects = vec![shown.digest];
    if shown.manifest != shown.digest {
        subjects.push(shown.manifest);
    }
    inspect::attached(source, &subjects).unwrap_or_else(|e| {
        floe::event::warn(context.see(), format!("what is attached is not known: {e}"), e.hint_text());
        Vec::new()
    })
}

fn text(i: &Inspection, attached: &[Attached]) -> String {
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
        _ if i.base.layers > 0 => floe::error::counted(i.base.layers, "layer", "layers"),
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
    if !attached.is_empty() {
        let head = ["ATTACHED", "SIZE", "DIGEST", "CREATED"];
        let mut rows = vec![head.map(str::to_owned).to_vec()];
        rows.extend(attached.iter().map(|a| {
            let kind = a.artifact_type.as_deref().unwrap_or("-");
            let size = a.size.map_or("-".to_owned(), output::size);
            vec![kind.to_owned(), size, a.digest.to_string(), a.created.clone().unwrap_or_default()]
        }));
        out.push('\n');
        out.push_str(&output::table(&rows));
    }
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
