use super::*;
use crate::model::contract::{DType, Encoding};
use crate::model::format::{Choice, Detection, detect};
use crate::model::tree::Selected;

fn found(files: &[(&str, &[u8])]) -> Result<Option<Detection>> {
    let dir = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        let path = dir.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
    let all = [Selected { source: dir.path().to_owned(), dest: Vec::new() }];
    detect(&Tree::scan(&all, &|_, _| false, false).unwrap(), &Choice::default())
}

fn model(text: &str) -> Detection {
    found(&[("MLmodel", text.as_bytes())]).unwrap().unwrap()
}

fn onnx() -> Vec<u8> {
    let example = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("testdata/models/onnx/on_dev_scaler/model.onnx");
    std::fs::read(example).unwrap()
}

const PLAIN: &str = "flavors:\n  onnx:\n    data: model.onnx\n    onnx_version: 1.9.0\n  python_function:\n    data: model.onnx\n    loader_module: mlflow.onnx\n    python_version: 3.8.10\nmlflow_version: 2.1.1\nrun_id: abc\n";

#[test]
fn columns_of_every_type() {
    let json = r#"[{"type":"double","name":"a","required":false},{"type":"integer","name":"b","optional":true},{"type":"datetime","name":"c"},{"type":"binary","name":"d"},{"type":"array","items":{"type":"array","items":{"type":"float"}},"name":"e","required":true},{"type":"object","properties":{"x":{"type":"string"},"y":{"type":"map","values":{"type":"long"},"required":false}},"name":"f"},{"type":"any","name":"g"},{"type":"sparkml_vector","name":"h"}]"#;
    let d = model(&format!(
        "{PLAIN}signature:\n  inputs: '{json}'\n  outputs: '[{{\"type\": \"tensor\", \"tensor-spec\": {{\"dtype\": \"uint8\", \"shape\": [-1, 3]}}}}]'\n  params: '[{{\"name\": \"t\", \"type\": \"float\", \"default\": 0.5, \"shape\": null}}]'\n"
    ));
    let s = &d.contract.as_ref().unwrap().signatures[0];
    let told: Vec<_> = s
        .inputs
        .iter()
        .map(|t| (t.name.as_str(), t.dtype, t.shape.clone(), t.optional, t.native_type.as_deref()))
        .collect();
    let rows = || Some(vec![None]);
    assert_eq!(
        told,
        [
            ("a", Some(DType::Float64), rows(), true, None),
            ("b", Some(DType::Int32), rows(), true, None),
            ("c", None, rows(), false, Some("datetime")),
            ("d", Some(DType::String), rows(), false, Some("binary")),
            ("e", Some(DType::Float32), None, false, Some("array(array(float))")),
            ("f", None, rows(), false, Some("object")),
            ("g", None, rows(), false, Some("any")),
            ("h", Some(DType::Float64), None, false, Some("sparkml_vector")),
        ]
    );
    let fields: Vec<_> = s.inputs[5].fields.iter().map(|t| (t.name.as_str(), t.dtype, t.optional)).collect();
    assert_eq!(fields, [("x", Some(DType::String), false), ("y", Some(DType::Int64), true)]);
    assert_eq!(s.inputs[5].fields[1].encoding, Encoding::Map);
    assert_eq!(
        (s.outputs[0].dtype, s.outputs[0].shape.clone()),
        (Some(DType::UInt8), Some(vec![None, Some(3)]))
    );
    assert_eq!(s.outputs[0].known.name, Known::Unknown);
    assert_eq!(d.facts["mlflow.params"][0]["name"], "t");
    assert_eq!(d.facts["mlflow.flavors"], serde_json::json!(["onnx", "python_function"]));
    assert_eq!((d.facts["python"].as_str(), d.framework_version.as_deref()), (Some("3.8.10"), Some("2.1.1")));
    assert_eq!(d.facts["mlflow.flavor_versions"]["onnx"], "1.9.0");
    assert!(d.findings.is_empty(), "{:?}", d.findings);
}

#[test]
fn without_a_signature_the_flavour_tells() {
    let d = found(&[("m/MLmodel", PLAIN.as_bytes()), ("m/model.onnx", &onnx())]).unwrap().unwrap();
    assert_eq!((d.format, d.location.as_slice()), ("mlflow", &b"m"[..]));
    assert_eq!(d.facts["mlflow.inner_format"], "onnx");
    assert_eq!(d.facts["mlflow.signature"], "flavor");
    assert!(d.facts.contains_key("onnx.irVersion") && d.contract.is_some());
    assert!(d.warnings[0].contains("holds no signature"), "{:?}", d.warnings);
    assert_eq!(d.required, [b"m/model.onnx".to_vec()]);
}

#[test]
fn a_stored_signature_wins_and_a_conflict_is_told() {
    let one = found(&[("a.onnx", &onnx())]).unwrap().unwrap().contract.unwrap();
    let columns = one.signatures[0].inputs[0].shape.as_ref().unwrap()[1].unwrap();
    let list = |n: u64| {
        let all: Vec<String> =
            (0..n).map(|i| format!("{{\"type\": \"double\", \"name\": \"c{i}\"}}")).collect();
        format!("{PLAIN}signature:\n  inputs: '[{}]'\n  outputs: null\n", all.join(", "))
    };
    let read = |n| found(&[("MLmodel", list(n).as_bytes()), ("model.onnx", &onnx())]).unwrap().unwrap();
    let d = read(columns);
    assert_eq!(d.contract.as_ref().unwrap().signatures[0].inputs.len() as u64, columns);
    assert!(!d.warnings.iter().any(|w| w.contains("columns")), "{:?}", d.warnings);
    // The side that it leaves out stays open.
    assert!(d.contract.unwrap().signatures[0].outputs.is_empty());
    let d = read(columns + 1);
    assert!(d.warnings.iter().any(|w| w.contains("columns")), "{:?}", d.warnings);
}

#[test]
fn what_loading_runs_is_a_finding() {
    let codes = |text: &str, files: &[(&str, &[u8])]| {
        let all = [&[("MLmodel", text.as_bytes())], files].concat();
        let d = found(&all).unwrap().unwrap();
        d.findings.iter().map(|f| f.code).collect::<Vec<_>>()
    };
    let pyfunc =
        |more: &str| format!("flavors:\n  python_function:\n    loader_module: mlflow.pyfunc.model\n{more}");
    assert_eq!(codes("flavors:\n  python_function:\n    loader_module: evil\n", &[]), ["custom-loader"]);
    assert_eq!(codes("flavors:\n  python_function:\n    loader_module: mlflow_x\n", &[]), ["custom-loader"]);
    assert_eq!(codes(&pyfunc("    python_model: python_model.pkl\n"), &[]), ["pickled-code"]);
    assert_eq!(codes(&pyfunc("    model_code_path: a.py\n"), &[]), ["code-on-load"]);
    assert_eq!(codes(&pyfunc("    code: code\n"), &[("code/a.py", b"")]), ["bundled-code"]);
    assert_eq!(codes(&pyfunc("    code: code\n"), &[]), [""; 0]);
    assert_eq!(codes(&pyfunc("    data: ../../etc\n"), &[]), ["outside-path"]);
    assert_eq!(codes(&pyfunc("    data: /etc\n"), &[]), ["outside-path"]);
}

#[test]
fn an_mlmodel_in_an_mlmodel_is_not_read() {
    let deep: String = (0..30).map(|_| "data/").collect();
    let mut files = Vec::new();
    let text = "flavors:\n  x:\n    data: data\n";
    let paths: Vec<String> = (0..30).map(|n| format!("{}MLmodel", &deep[..n * 5])).collect();
    for p in &paths {
        files.push((p.as_str(), text.as_bytes()));
    }
    let d = found(&files).unwrap().unwrap();
    assert!(d.warnings[0].contains("MLflow model again"), "{:?}", d.warnings);
}

#[test]
fn hostile_files_are_errors() {
    for text in [
        "flavors: 1\n",
        "flavors: {}\nx: [\n",
        "flavors: {}\nsignature: {inputs: '['}\n",
        "flavors: {}\nsignature: {inputs: '[1]'}\n",
        "flavors: {}\nsignature: {inputs: '[{\"type\": \"tensor\"}]'}\n",
        "flavors: {}\nsignature: {inputs: '[{\"type\": \"long\", \"name\": \"a\"}, {\"type\": \"long\", \"name\": \"a\"}]'}\n",
    ] {
        assert!(model(text).failure.is_some(), "{text}");
    }
    // What is tagged is data, and nothing is made of it.
    let d = model("flavors: {}\nmodel_uuid: !!python/object/apply:os.system [true]\n");
    assert!(d.failure.is_none() && !d.facts.contains_key("mlflow.model_uuid"));
    let nested =
        format!("flavors: {{}}\nsignature: {{inputs: '{}1{}'}}\n", "[".repeat(100_000), "]".repeat(100_000));
    assert!(model(&nested).failure.is_some());
    let nested = format!(
        "flavors: {{}}\nsignature: {{inputs: '[{}\"long\"{}]'}}\n",
        "{\"type\": \"array\", \"items\": ".repeat(60),
        "}".repeat(60)
    );
    let d = model(&nested);
    assert_eq!(d.contract.unwrap().signatures[0].inputs[0].dtype, None);
    let bomb: String = std::iter::once("flavors: {}\na0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned())
        .chain((1..12).map(|n| {
            let all = vec![format!("*a{}", n - 1); 9].join(", ");
            format!("a{n}: &a{n} [{all}]\n")
        }))
        .collect();
    assert!(model(&bomb).failure.is_some());
    let good = format!(
        "{PLAIN}signature:\n  inputs: '[{{\"type\": \"array\", \"items\": {{\"type\": \"long\"}}, \"name\": \"é\"}}]'\n"
    );
    for at in (0..good.len()).filter(|a| good.is_char_boundary(*a)) {
        let _ = found(&[("MLmodel", &good.as_bytes()[..at])]).unwrap();
    }
}
