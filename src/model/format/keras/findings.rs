//! What of a configuration is code: what a loader would run, and whose it is.
//!
//! A Keras model is rebuilt by looking up each class and function that it names. Those of Keras are
//! harmless but for a few; a `Lambda` brings its own bytecode, and any other module is imported by
//! its name (CVE-2024-3660, CVE-2025-1550, CVE-2025-8747). A clean model has no finding.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::error::show_bytes;
use crate::model::format::keras::config::is_keras;
use crate::model::format::{Reading, Severity};

/// Packages by the makers of Keras, whose classes are layers and models.
const FRIENDS: &[&str] =
    &["keras_hub", "keras_nlp", "keras_cv", "keras_tuner", "keras_rs", "tensorflow_text"];
/// Modules that no model needs; naming one is an attempt to run a function of it.
const DANGEROUS: &[&str] = &[
    "os",
    "nt",
    "posix",
    "sys",
    "subprocess",
    "shutil",
    "socket",
    "pty",
    "ctypes",
    "importlib",
    "imp",
    "runpy",
    "pickle",
    "marshal",
    "code",
    "codeop",
    "commands",
    "multiprocessing",
    "webbrowser",
    "tempfile",
    "pathlib",
    "io",
    "inspect",
    "operator",
    "functools",
    "types",
    "pip",
    "pdb",
    "bdb",
    "timeit",
    "urllib",
    "requests",
    "http",
    "builtins",
];
/// Parts of Keras whose functions read, write or download files, or switch the safe mode off.
const INNER: &[&str] = &["utils", "saving", "config", "models", "datasets", "export", "callbacks", "legacy"];
/// How many places of one kind are told.
const MAX_TOLD: usize = 50;

/// Looks through a configuration.
pub(super) fn look(config: &Value, reading: &mut Reading) {
    let mut told = BTreeSet::new();
    let mut todo = vec![(config, String::new())];
    while let Some((value, place)) = todo.pop() {
        match value {
            Value::Array(items) => todo.extend(items.iter().rev().map(|v| (v, place.clone()))),
            Value::Object(o) => {
                let text = |key: &str| o.get(key).and_then(Value::as_str);
                let name = o
                    .get("config")
                    .and_then(|c| c.get("name"))
                    .and_then(Value::as_str)
                    .or_else(|| text("name"));
                let place = match name.filter(|n| text("class_name").is_some() && n.len() < 256) {
                    Some(name) => show_bytes(name.as_bytes()),
                    None => place,
                };
                if let Some(class) = text("class_name")
                    && told.len() < MAX_TOLD
                {
                    judge(class, value, &place, &mut told, reading);
                    named_functions(value, &place, &mut told, reading);
                }
                // In the order of the file, as far as its keys are sorted.
                todo.extend(o.values().rev().map(|v| (v, place.clone())));
            }
            _ => {}
        }
    }
}

/// Functions that a layer of Keras 2 is given as the text `package>name`: those of Keras have no
/// package (keras/utils/generic_utils.py, `get_registered_name`).
fn named_functions(value: &Value, place: &str, told: &mut BTreeSet<String>, reading: &mut Reading) {
    let Some(config) = value.get("config").and_then(Value::as_object) else { return };
    for (key, function) in config {
        let Some(name) = function.as_str().filter(|_| takes_function(key)) else { continue };
        let registered = name.split_once('>').is_some_and(|(package, name)| {
            !package.is_empty() && !name.is_empty() && !package.contains(char::is_whitespace)
        });
        if registered && told.insert(format!("foreign-module {name}")) {
            reading.find(
                Severity::Warning,
                "foreign-module",
                place,
                format!(
                    "the function `{}` is not one of Keras; the serving image must bring it",
                    show_bytes(name.as_bytes())
                ),
            );
        }
    }
}

/// Whether a setting of a layer is a function that may be told by its name.
fn takes_function(key: &str) -> bool {
    let kinds = ["activation", "initializer", "regularizer", "constraint"];
    key == "function"
        || kinds.iter().any(|k| key.strip_suffix(k).is_some_and(|r| r.is_empty() || r.ends_with('_')))
}

fn judge(class: &str, value: &Value, place: &str, told: &mut BTreeSet<String>, reading: &mut Reading) {
    let config = value.get("config");
    let mut find = |severity, code, key: String, message: String| {
        if told.insert(format!("{code} {key}")) {
            reading.find(severity, code, place, message);
        }
    };
    if class == "__lambda__" || class == "Lambda" && marshalled(config) {
        let key = place.to_owned();
        find(
            Severity::Error,
            "lambda-code",
            key,
            "the model brings Python bytecode that is run when it is loaded; replace the `Lambda` layer by a class, or keep the model out of safe mode knowingly".to_owned(),
        );
        return;
    }
    if class.starts_with("__") {
        return;
    }
    let Some(module) = value.get("module") else {
        // Before Keras 3 a class of the author's own is registered under a package's name, or it is a
        // model that records its graph, of which Keras itself has only these.
        let graph = config
            .is_some_and(|c| ["layers", "input_layers", "output_layers"].iter().all(|k| c.get(k).is_some()));
        let own = graph
            && !matches!(class, "Functional" | "Model" | "Sequential" | "Container" | "Network" | "Graph");
        if config.is_some() && (class.contains('>') || own) {
            find(
                Severity::Warning,
                "foreign-module",
                class.to_owned(),
                format!(
                    "the class `{}` is not one of Keras; the serving image must bring it",
                    show_bytes(class.as_bytes())
                ),
            );
        }
        return;
    };
    let what = if class == "function" {
        config
            .and_then(Value::as_str)
            .or_else(|| value.get("registered_name").and_then(Value::as_str))
            .unwrap_or(class)
    } else {
        class
    };
    let shown = show_bytes(what.as_bytes());
    let Some(module) = module.as_str() else {
        let name = value.get("registered_name").and_then(Value::as_str).unwrap_or(what);
        find(
            Severity::Warning,
            "foreign-module",
            name.to_owned(),
            format!(
                "`{}` is not a part of Keras; the serving image must bring it",
                show_bytes(name.as_bytes())
            ),
        );
        return;
    };
    let root = module.split('.').next().unwrap_or(module);
    let key = format!("{module}.{what}");
    let at = show_bytes(module.as_bytes());
    if is_keras(module) {
        let inner = module.split('.').any(|part| INNER.contains(&part));
        // Classes of models are in `keras.models` and `keras.src.models` too.
        if class == "function" && inner && module != "keras.src.legacy" {
            find(
                Severity::Error,
                "foreign-module",
                key,
                format!(
                    "the model names the function `{shown}` of `{at}`, which no layer needs; loading it may run it"
                ),
            );
        }
    } else if root == "builtins"
        && matches!(class, "function" | "type" | "dict" | "slice" | "object")
        && !is_builtin(what)
    {
        // What Keras writes for a function of the author's own.
        find(
            Severity::Warning,
            "foreign-module",
            key,
            format!("the function `{shown}` is not a part of Keras; the serving image must bring it"),
        );
    } else if DANGEROUS.contains(&root) {
        find(
            Severity::Error,
            "foreign-module",
            key,
            format!(
                "the model names `{shown}` of the module `{at}`, which is no part of any model; loading it may run it"
            ),
        );
    } else if !FRIENDS.contains(&root) {
        find(
            Severity::Warning,
            "foreign-module",
            key,
            format!(
                "`{shown}` comes from the module `{at}`, which is imported when the model is loaded; the serving image must bring it"
            ),
        );
    }
}

/// Functions of Python itself that run code or reach files.
fn is_builtin(name: &str) -> bool {
    matches!(
        name,
        "eval"
            | "exec"
            | "compile"
            | "open"
            | "__import__"
            | "getattr"
            | "setattr"
            | "input"
            | "breakpoint"
            | "globals"
            | "vars"
    )
}

/// Whether a `Lambda` of Keras 1 or 2 holds bytecode and not the name of a function.
fn marshalled(config: Option<&Value>) -> bool {
    let Some(config) = config else { return false };
    ["function", "output_shape", "mask", "arguments"].iter().any(|key| {
        let kind = config.get(format!("{key}_type")).and_then(Value::as_str);
        kind == Some("lambda") || *key == "function" && config.get(*key).is_some_and(Value::is_array)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(json: &str) -> Vec<(Severity, &'static str)> {
        let mut reading = Reading::default();
        look(&serde_json::from_str(json).unwrap(), &mut reading);
        reading.findings.iter().map(|f| (f.severity, f.code)).collect()
    }

    #[test]
    fn code_is_told_by_where_it_comes_from() {
        let error = vec![(Severity::Error, "foreign-module")];
        let warning = vec![(Severity::Warning, "foreign-module")];
        assert_eq!(
            found(r#"{"module":"os","class_name":"function","config":"system","registered_name":"system"}"#),
            error
        );
        assert_eq!(found(r#"{"module":"builtins","class_name":"function","config":"eval"}"#), error);
        assert_eq!(found(r#"{"module":"keras.utils","class_name":"function","config":"get_file"}"#), error);
        assert_eq!(
            found(r#"{"module":"keras.activations","class_name":"function","config":"relu"}"#),
            vec![]
        );
        assert_eq!(found(r#"{"module":"builtins","class_name":"function","config":"mine"}"#), warning);
        assert_eq!(found(r#"{"module":"my.layers","class_name":"Dense","config":{}}"#), warning);
        assert_eq!(
            found(r#"{"module":null,"class_name":"Mine","config":{},"registered_name":"Pack>Mine"}"#),
            warning
        );
        assert_eq!(found(r#"{"class_name":"Pack>Mine","config":{}}"#), warning);
        let dense = |rest: &str| found(&format!(r#"{{"class_name":"Dense","config":{{{rest}}}}}"#));
        assert_eq!(dense(r#""activation":"mine>myact""#), warning);
        assert_eq!(dense(r#""kernel_initializer":"mine>init""#), warning);
        // The same function in two places is told once.
        assert_eq!(dense(r#""activation":"mine>myact","recurrent_activation":"mine>myact""#), warning);
        for clean in ["relu", "hard_sigmoid", "leaky_relu", ">", "mine>", ">myact", "a b > c"] {
            assert_eq!(dense(&format!(r#""activation":"{clean}""#)), vec![], "{clean}");
        }
        // Only a function is looked up; a text elsewhere is a text.
        assert_eq!(dense(r#""name":"a>b","equation":"abc>ab""#), vec![]);
        let graph = r#""config":{"layers":[],"input_layers":[],"output_layers":[]}"#;
        assert_eq!(found(&format!(r#"{{"class_name":"Mine",{graph}}}"#)), warning);
        assert_eq!(found(&format!(r#"{{"class_name":"Functional",{graph}}}"#)), vec![]);
        assert_eq!(found(r#"{"class_name":"Dense","config":{"units":3}}"#), vec![]);
        assert_eq!(
            found(r#"{"class_name":"Lambda","config":{"function":["4wE="],"function_type":"lambda"}}"#),
            vec![(Severity::Error, "lambda-code")]
        );
        assert_eq!(
            found(r#"{"class_name":"Lambda","config":{"function":"f","function_type":"function"}}"#),
            vec![]
        );
        assert_eq!(
            found(r#"{"class_name":"__lambda__","config":{"code":"4wE="}}"#),
            vec![(Severity::Error, "lambda-code")]
        );
    }
}
