//! A `serving.yaml` to start from: what was found in a model, in the words that definitions use.
//!
//! It is text for an author to go on with, not a document with a promise: comments say how each
//! part is known, and where nobody knows, what to fill in.
//!
//! Invariant: what is written here is read back by this module's parent as the same contract, up to
//! what a definition cannot say (names of dimensions, columns, what may be left out).

use std::fmt::Write;

use crate::error::show_bytes;
use crate::model::contract::{Known, Signature, Tensor};
use crate::model::format::Detection;

/// The definition of a model that was found, under a name.
pub fn starter(name: &str, detection: &Detection) -> String {
    let mut out = String::new();
    let version = detection.framework_version.iter().map(|v| format!(" {v}")).collect::<String>();
    let file = show_bytes(&detection.file);
    // What a model says of itself may have a line break in it, and ends no comment.
    let framework = show_bytes(format!("{}{version}", detection.framework).as_bytes());
    comment(&mut out, 0, &format!("Found in `{file}`: {framework}."));
    comment(
        &mut out,
        0,
        "The comments say how each part is known; correct what is wrong, and fill in what is unknown.",
    );
    line(&mut out, 0, "kind: Model");
    line(&mut out, 0, &format!("name: {}", quoted(name)));
    let signatures = detection.contract.iter().flat_map(|c| &c.signatures).collect::<Vec<_>>();
    match signatures.as_slice() {
        [] => {
            comment(
                &mut out,
                0,
                "The files record no contract. Without one the image says nothing of inputs and outputs:",
            );
            for text in
                ["contract:", "  name: predict", "  inputs:", "    x: {type: float32, shape: [-1, 4]}"]
            {
                comment(&mut out, 0, text);
            }
            for text in ["  outputs:", "    y: {type: float32, shape: [-1]}"] {
                comment(&mut out, 0, text);
            }
        }
        [one] => {
            line(&mut out, 0, "contract:");
            line(&mut out, 1, &format!("name: {}  # {}", quoted(&one.name), how(one.known)));
            sides(&mut out, 1, one);
        }
        several => {
            line(&mut out, 0, "contract:");
            for s in several {
                line(&mut out, 1, &format!("{}:  # {}", quoted(&s.name), how(s.known)));
                sides(&mut out, 2, s);
            }
        }
    }
    out
}

fn sides(out: &mut String, depth: usize, signature: &Signature) {
    for (side, tensors) in [("inputs", &signature.inputs), ("outputs", &signature.outputs)] {
        fields(out, depth, side, tensors);
    }
}

fn fields(out: &mut String, depth: usize, key: &str, tensors: &[Tensor]) {
    if tensors.is_empty() {
        return line(out, depth, &format!("{key}: {{}}"));
    }
    line(out, depth, &format!("{key}:"));
    for t in tensors {
        let optional = if t.optional { "  # may be left out" } else { "" };
        line(out, depth + 1, &format!("{}:{optional}", quoted(&t.name)));
        match &t.shape {
            None => comment(out, depth + 2, "shape: of any rank, or unknown"),
            Some(dims) if dims.is_empty() => {
                line(out, depth + 2, &format!("shape: scalar  # {}", how(t.known.shape)));
            }
            Some(dims) => {
                let dims: Vec<String> =
                    dims.iter().map(|d| d.map_or("-1".to_owned(), |n| n.to_string())).collect();
                line(out, depth + 2, &format!("shape: [{}]  # {}", dims.join(", "), how(t.known.shape)));
            }
        }
        if !t.fields.is_empty() {
            fields(out, depth + 2, "fields", &t.fields);
            continue;
        }
        match t.dtype {
            Some(dtype) => line(out, depth + 2, &format!("type: {dtype}  # {}", how(t.known.dtype))),
            None => line(out, depth + 2, "type: DT_ANY  # unknown: write what the model takes or gives"),
        }
        if !t.columns.is_empty() {
            let names: Vec<String> = t.columns.iter().map(|c| show_bytes(c.name.as_bytes())).collect();
            comment(out, depth + 2, &format!("columns: {}", names.join(", ")));
        }
    }
}

fn how(known: Known) -> &'static str {
    match known {
        Known::Declared => "declared",
        Known::Stored => "stored in the file",
        Known::Derived => "follows from the file",
        Known::Convention => "a name of floe's",
        Known::Unknown => "unknown",
    }
}

fn line(out: &mut String, depth: usize, text: &str) {
    // Writing to a string cannot fail.
    let _infallible = writeln!(out, "{:1$}{text}", "", 2 * depth);
}

fn comment(out: &mut String, depth: usize, text: &str) {
    line(out, depth, &format!("# {text}"));
}

/// As YAML reads it back: plain where that is safe, else as JSON, which YAML includes.
fn quoted(text: &str) -> String {
    let plain = text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '/' | '.'))
        && !RESERVED.contains(&text.to_ascii_lowercase().as_str());
    if plain { text.to_owned() } else { serde_json::Value::from(text).to_string() }
}

/// Words that YAML 1.1 or 1.2 reads as something else than text.
const RESERVED: &[&str] = &["y", "n", "yes", "no", "on", "off", "true", "false", "null", "nan", "inf"];

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::model::contract::{Contract, DType};
    use crate::model::definition;

    fn detection(signatures: Vec<Signature>) -> Detection {
        Detection {
            format: "sklearn",
            framework: "scikit-learn".to_owned(),
            framework_version: Some("1.5.2".to_owned()),
            location: Vec::new(),
            file: b"model.pkl".to_vec(),
            evidence: String::new(),
            contract: Some(Contract { signatures }),
            tensors: Vec::new(),
            facts: BTreeMap::new(),
            findings: Vec::new(),
            warnings: Vec::new(),
            required: Vec::new(),
            failure: None,
        }
    }

    fn signature(name: &str) -> Signature {
        let tensor = |name: &str, dtype, shape| Tensor::new(name, dtype, shape, Known::Derived);
        Signature {
            name: name.to_owned(),
            known: Known::Stored,
            inputs: vec![
                tensor("X", Some(DType::Float64), Some(vec![None, Some(4)])),
                tensor("sepal length (cm)", Some(DType::String), Some(vec![])),
                tensor("no", None, None),
                tensor("a: \"b\" #c", Some(DType::Int8), Some(vec![Some(0)])),
            ],
            outputs: vec![],
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        for names in [&["predict"][..], &["predict", "predict_proba"]] {
            let found = detection(names.iter().map(|n| signature(n)).collect());
            let text = starter("team/iris 1", &found);
            let read = definition::load(&text.replace("iris 1", "iris"), "serving.yaml").unwrap();
            let contract = read.definitions[0].contract.clone().unwrap();
            let bare = |c: &Contract| -> Vec<_> {
                let tensor = |t: &Tensor| (t.name.clone(), t.dtype, t.shape.clone());
                c.signatures
                    .iter()
                    .map(|s| (s.name.clone(), s.inputs.iter().map(tensor).collect::<Vec<_>>()))
                    .collect()
            };
            assert_eq!(bare(&contract), bare(found.contract.as_ref().unwrap()), "{text}");
        }
    }

    #[test]
    fn a_version_ends_no_comment() {
        let mut found = detection(vec![signature("predict")]);
        found.framework_version = Some("1\ninstall-command: rm -rf /\n#".to_owned());
        let read = definition::load(&starter("iris", &found), "serving.yaml").unwrap();
        assert_eq!(read.definitions[0].install_command, None);
    }

    #[test]
    fn words_that_mean_something_else_are_quoted() {
        assert_eq!(quoted("X"), "X");
        assert_eq!(quoted("no"), "\"no\"");
        assert_eq!(quoted("1"), "\"1\"");
        assert_eq!(quoted("a b"), "\"a b\"");
    }
}
