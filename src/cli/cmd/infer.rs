//! `floe infer`.

use std::path::Path;

use crate::cli::args::InferArgs;
use crate::cli::context::Context;
use crate::cli::output;
use floe::error::show_bytes;
use floe::event::warn;
use floe::model::definition::starter;
use floe::model::format::{Choice, Detection, Severity, document};
use floe::model::{Contract, Known, Tensor};
use floe::{Error, Kind, Result};
use serde_json::Value;

pub(crate) fn run(args: &InferArgs, context: &Context) -> Result<()> {
    let choice = Choice {
        framework: args.framework.as_deref(),
        path: args.model.as_ref().map(|m| m.trim_end_matches('/').as_bytes()),
    };
    let found = match floe::infer::infer(&args.path, &choice, args.follow_links) {
        Ok(found) => found,
        Err(e) => {
            if args.json {
                let several = floe::infer::candidates(&args.path, &choice, args.follow_links);
                let several = several.ok().filter(|c| c.len() > 1).unwrap_or_default();
                output::json(&document::error(&e, &several))?;
            }
            return Err(e);
        }
    };
    for w in &found.warnings {
        warn(context.see(), w.clone(), None);
    }
    if args.json {
        output::json(&document::found(&found))?;
    } else if args.yaml {
        output::answer(&starter(&name(&args.path), &found))?;
    } else {
        output::answer(&text(&found))?;
    }
    match found.failure {
        Some(failure) => Err(Error::new(Kind::Model, failure).hint(document::UNREADABLE)),
        None => Ok(()),
    }
}

/// What a build would call the model: the name of its folder, or of its file without the ending.
fn name(path: &Path) -> String {
    let real = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let name = if real.is_dir() { real.file_name() } else { real.file_stem() };
    let name = name.map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    floe::oci::reference::suggest_repository(&name).unwrap_or_else(|| "model".to_owned())
}

fn text(d: &Detection) -> String {
    let version = d.framework_version.iter().map(|v| format!(" {v}")).collect::<String>();
    let mut rows = vec![
        vec!["format".to_owned(), d.format.to_owned()],
        vec!["framework".to_owned(), show_bytes(format!("{}{version}", d.framework).as_bytes())],
        vec!["file".to_owned(), show_bytes(&d.file)],
        vec!["known by".to_owned(), d.evidence.clone()],
    ];
    for (key, value) in &d.facts {
        rows.push(vec![show_bytes(key.as_bytes()), fact(value)]);
    }
    let mut out = output::table(&rows);
    for f in &d.findings {
        let severity = match f.severity {
            Severity::Info => "info",
            Severity::Warning => "warning",
            Severity::Error => "error",
        };
        let place = show_bytes(f.place.as_bytes());
        out.extend([format!("{severity} {} in {place}: {}\n", f.code, show_bytes(f.message.as_bytes()))]);
    }
    if !d.tensors.is_empty() {
        out.push('\n');
        out.push_str(&weights(d));
    }
    match (&d.contract, &d.failure) {
        (Some(contract), _) if !contract.signatures.is_empty() => {
            out.push('\n');
            out.push_str(&contract_table(contract));
        }
        (_, None) => out.push_str("\nno contract: the files do not record one\n"),
        (_, Some(failure)) => out.extend([format!("\nno contract: {}\n", show_bytes(failure.as_bytes()))]),
    }
    out
}

/// How many weights are listed for people; the JSON document has all.
const SHOWN_WEIGHTS: usize = 20;
/// How many characters of a fact are shown to people.
const SHOWN_FACT: usize = 200;

fn fact(value: &Value) -> String {
    let text = match value {
        Value::String(s) => s.clone(),
        Value::Array(all) => all.iter().map(fact).collect::<Vec<_>>().join(", "),
        Value::Object(all) => {
            all.iter().map(|(k, v)| format!("{k} {}", fact(v))).collect::<Vec<_>>().join(", ")
        }
        other => other.to_string(),
    };
    let text = show_bytes(text.as_bytes());
    match text.char_indices().nth(SHOWN_FACT) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

fn weights(d: &Detection) -> String {
    let mut out = String::from("weights\n");
    let rows: Vec<Vec<String>> = d
        .tensors
        .iter()
        .take(SHOWN_WEIGHTS)
        .map(|w| {
            let shape = w.shape.as_ref().map_or("?".to_owned(), |dims| dimensions(dims, &[]));
            let dtype = w.dtype.as_deref().unwrap_or("?");
            vec![format!("  {}", show_bytes(w.name.as_bytes())), show_bytes(dtype.as_bytes()), shape]
        })
        .collect();
    out.push_str(&output::table(&rows));
    if let Some(more) = d.tensors.len().checked_sub(SHOWN_WEIGHTS).filter(|n| *n > 0) {
        out.extend([format!("  and {more} more; `--json` lists all\n")]);
    }
    out
}

/// A contract for people: a line a tensor.
pub(crate) fn contract_table(contract: &Contract) -> String {
    let mut out = String::new();
    for signature in &contract.signatures {
        out.extend([format!("signature {}\n", show_bytes(signature.name.as_bytes()))]);
        let mut rows = Vec::new();
        for (side, tensors) in [("in", &signature.inputs), ("out", &signature.outputs)] {
            for t in tensors {
                tensor(side, t, &mut rows);
            }
        }
        out.push_str(&output::table(&rows));
    }
    out
}

fn tensor(side: &str, t: &Tensor, rows: &mut Vec<Vec<String>>) {
    let dtype = match (&t.native_type, t.dtype) {
        (Some(native), _) => native.clone(),
        (None, Some(dtype)) => dtype.to_string(),
        (None, None) if !t.fields.is_empty() => "fields".to_owned(),
        (None, None) => "?".to_owned(),
    };
    let shape = t.shape.as_ref().map_or("?".to_owned(), |dims| dimensions(dims, &t.dim_names));
    let weakest = [t.known.name, t.known.dtype, t.known.shape].into_iter().max().unwrap_or(Known::Unknown);
    let mut known = format!("{weakest:?}").to_lowercase();
    if t.optional {
        known.push_str(", optional");
    }
    rows.push(vec![format!("  {side}"), show_bytes(t.name.as_bytes()), dtype, shape, known]);
    for c in t.columns.iter().take(SHOWN_COLUMNS) {
        let dtype = c.dtype.map_or("?".to_owned(), |d| d.to_string());
        let name = show_bytes(c.name.as_bytes());
        rows.push(vec![format!("  {side}"), format!("  column {name}"), dtype, String::new(), String::new()]);
    }
    if let Some(more) = t.columns.len().checked_sub(SHOWN_COLUMNS).filter(|n| *n > 0) {
        rows.push(vec![format!("  {side}"), format!("  and {more} more columns")]);
    }
    for field in &t.fields {
        tensor(&format!("{side}."), field, rows);
    }
}

/// How many columns of a tensor are listed for people.
const SHOWN_COLUMNS: usize = 50;

fn dimensions(dims: &[Option<u64>], names: &[Option<String>]) -> String {
    let dims: Vec<String> = dims
        .iter()
        .enumerate()
        .map(|(i, d)| match (d, names.get(i).and_then(Option::as_ref)) {
            (Some(n), _) => n.to_string(),
            (None, Some(name)) => show_bytes(name.as_bytes()),
            (None, None) => "?".to_owned(),
        })
        .collect();
    format!("[{}]", dims.join(", "))
}
