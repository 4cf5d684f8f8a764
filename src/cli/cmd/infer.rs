//! `floe infer`.

use crate::cli::args::InferArgs;
use crate::cli::context::Context;
use crate::cli::output;
use floe::Result;
use floe::error::show_bytes;
use floe::event::warn;
use floe::model::format::{Choice, Detection, Severity};
use floe::model::{Contract, Known, Tensor};

pub(crate) fn run(args: &InferArgs, context: &Context) -> Result<()> {
    let choice = Choice {
        framework: args.framework.as_deref(),
        path: args.model.as_ref().map(|m| m.trim_end_matches('/').as_bytes()),
    };
    let found = floe::infer::infer(&args.path, &choice, args.follow_links)?;
    for w in &found.warnings {
        warn(context.see(), w.clone(), None);
    }
    if args.json {
        let mut value = serde_json::json!({"floe": 1});
        if let (Some(all), Ok(serde_json::Value::Object(fields))) =
            (value.as_object_mut(), serde_json::to_value(&found))
        {
            all.extend(fields);
        }
        return output::json(&value);
    }
    output::answer(&text(&found))
}

fn text(d: &Detection) -> String {
    let mut rows = vec![
        vec!["format".to_owned(), d.format.to_owned()],
        vec!["file".to_owned(), show_bytes(&d.file)],
        vec!["known by".to_owned(), d.evidence.clone()],
    ];
    for (key, value) in &d.facts {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        rows.push(vec![show_bytes(key.as_bytes()), show_bytes(text.as_bytes())]);
    }
    let mut out = output::table(&rows);
    for f in &d.findings {
        let severity = match f.severity {
            Severity::Info => "info",
            Severity::Warning => "warning",
            Severity::Error => "error",
        };
        out.extend([format!("{severity}: {}\n", f.message)]);
    }
    match (&d.contract, &d.failure) {
        (Some(contract), _) => {
            out.push('\n');
            out.push_str(&contract_table(contract));
        }
        (None, Some(failure)) => out.extend([format!("\nno contract: {failure}\n")]),
        (None, None) => out.push_str("\nno contract: the files do not record one\n"),
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
    let shape = t.shape.as_ref().map_or("?".to_owned(), |dims| {
        let dims: Vec<String> = dims
            .iter()
            .enumerate()
            .map(|(i, d)| match (d, t.dim_names.get(i).and_then(Option::as_ref)) {
                (Some(n), _) => n.to_string(),
                (None, Some(name)) => show_bytes(name.as_bytes()),
                (None, None) => "?".to_owned(),
            })
            .collect();
        format!("[{}]", dims.join(", "))
    });
    let weakest = [t.known.name, t.known.dtype, t.known.shape].into_iter().max().unwrap_or(Known::Unknown);
    let mut known = format!("{weakest:?}").to_lowercase();
    if t.optional {
        known.push_str(", optional");
    }
    rows.push(vec![format!("  {side}"), show_bytes(t.name.as_bytes()), dtype, shape, known]);
    for field in &t.fields {
        tensor(&format!("{side}."), field, rows);
    }
}
