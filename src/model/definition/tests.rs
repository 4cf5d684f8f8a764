//! The loader as a whole, on the files of `testdata/definitions`, and the schema beside it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::*;
use crate::model::contract::{DType, Known, Profile};

/// Files of `testdata/definitions` whose names begin with `prefix`, with their text.
fn files(prefix: &str) -> Vec<(String, String)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("testdata/definitions");
    let mut out: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|e| e.unwrap().path())
        .filter(|p| p.extension().is_some_and(|e| e == "yaml"))
        .map(|p| (p.file_name().unwrap().to_str().unwrap().to_owned(), std::fs::read_to_string(&p).unwrap()))
        .filter(|(name, _)| name.starts_with(prefix))
        .collect();
    out.sort();
    assert!(!out.is_empty(), "no file begins with `{prefix}`");
    out
}

fn loaded(name: &str) -> Loaded {
    let (name, text) = files(name).remove(0);
    load(&text, &name).unwrap()
}

/// Message, excerpt and hint, as the command line shows them.
fn rendered(text: &str) -> String {
    let e = load(text, "serving.yaml").unwrap_err();
    assert_eq!(e.kind(), Kind::Model);
    format!("{e}\n{}\nhint: {}", e.snippet_text().unwrap_or("-"), e.hint_text().unwrap_or("-"))
}

fn said(l: &Loaded) -> Vec<&str> {
    l.warnings.iter().map(|w| w.message.as_str()).collect()
}

fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
}

fn value<T: Clone>(p: &Option<Placed<T>>) -> Option<T> {
    p.as_ref().map(|p| p.value.clone())
}

#[test]
fn every_key_of_3_is_read() {
    let l = loaded("three");
    let d = &l.definitions[0];
    assert_eq!((d.name.as_str(), d.generation), ("boiler", Generation::V3));
    assert_eq!(value(&d.runtime).unwrap(), "hydrosphere/serving-runtime-python-3.7:3.0.3");
    assert_eq!(value(&d.install_command).unwrap(), "pip install -r requirements.txt");
    assert_eq!(d.training_data.as_deref(), Some("s3://measurements/boiler.csv"));
    assert_eq!(d.metadata, map(&[("build", "3.10"), ("checked", "true"), ("site", "north")]));
    let payload = d.payload.as_ref().unwrap();
    assert_eq!(payload.iter().map(|p| p.value.as_str()).collect::<Vec<_>>(), ["src/", "requirements.txt"]);
    assert_eq!(d.position(payload[1].place), "three.yaml:7:5");
    let s = &d.contract.as_ref().unwrap().signatures[0];
    assert_eq!((s.name.as_str(), s.known), ("predict", Known::Declared));
    assert_eq!(s.inputs.iter().map(|t| t.name.as_str()).collect::<Vec<_>>(), ["pressure", "kind"]);
    assert_eq!(s.inputs[0].shape, Some(vec![None, Some(4)]));
    assert_eq!(
        (s.inputs[1].shape.as_ref().unwrap().len(), s.inputs[1].profile),
        (0, Some(Profile::Categorical))
    );
    assert_eq!((s.outputs[0].dtype, s.outputs[0].profile), (Some(DType::Float64), None));
    assert_eq!(
        said(&l),
        [
            "three.yaml:9:1: `training-data` is kept for reference only: training data never enters the image",
            "three.yaml:14:1: `monitoring` has no effect on a build: metrics are attached to what is deployed",
            "three.yaml:20:1: `monitoring-configuration` has no effect on a build: metrics are attached to what is deployed",
        ]
    );
    assert!(l.warnings.iter().all(|w| w.hint.is_some()));
}

#[test]
fn what_2_took_is_taken() {
    let l = loaded("two");
    let bare = &l.definitions[0];
    assert_eq!((bare.name.as_str(), bare.generation, bare.payload.is_none()), ("bare", Generation::V2, true));
    let l = loaded("two.");
    let d = &l.definitions[0];
    assert_eq!((d.generation, value(&d.install_command).unwrap().as_str()), (Generation::V2, "sh setup.sh"));
    let s = &d.contract.as_ref().unwrap().signatures[0];
    assert_eq!((s.name.as_str(), s.known), (DEFAULT_SIGNATURE, Known::Convention));
    let parcel = &s.inputs[0];
    assert_eq!((parcel.dtype, parcel.fields.len(), parcel.fields[1].fields.len()), (None, 2, 2));
    assert_eq!(parcel.fields[1].fields[1].dtype, Some(DType::Variant));
    let tags = &s.inputs[1];
    assert_eq!(
        (tags.shape.is_none(), tags.known.shape, tags.known.dtype),
        (true, Known::Unknown, Known::Declared)
    );
    assert_eq!(s.outputs[0].shape, Some(vec![]));
    let keys: Vec<_> = said(&l).iter().map(|m| m.split('`').nth(1).unwrap().to_owned()).collect();
    assert_eq!(keys, ["host-selector", "training_data", "monitoring_configuration"]);
}

#[test]
fn signatures_of_0_1_are_read() {
    let l = loaded("one");
    let d = &l.definitions[0];
    assert_eq!(
        (d.generation, d.model_type.as_deref(), d.runtime.is_none()),
        (Generation::V0_1, Some("python:3.6"), true)
    );
    let c = d.contract.as_ref().unwrap();
    assert_eq!(c.signatures.iter().map(|s| s.name.as_str()).collect::<Vec<_>>(), ["add", "multiply"]);
    assert_eq!(c.signatures[1].inputs[0].dtype, Some(DType::Float64));
    assert_eq!(
        (c.signatures[1].outputs[0].dtype, c.signatures[1].outputs[0].known.dtype),
        (None, Known::Unknown)
    );
    let hints: Vec<_> = l.warnings.iter().map(|w| w.hint.as_deref().unwrap()).collect();
    assert_eq!(l.warnings.len(), 6, "{:?}", l.warnings);
    assert!(hints.contains(&"write `float32` or `float64`"));
    assert!(said(&l).contains(&"one-signatures.yaml:14:50: `real` is not a profile, the field gets none"));
}

#[test]
fn the_block_of_0_0_is_read() {
    let l = loaded("zero-b");
    let d = &l.definitions[0];
    assert_eq!((d.name.as_str(), d.generation), ("tides", Generation::V0_0));
    assert_eq!(value(&d.runtime).unwrap(), "hydrosphere/serving-runtime-python:3.6-latest");
    assert_eq!(value(&d.contract_file).unwrap(), "contract.prototxt");
    assert_eq!(l.warnings.len(), 3);
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("testdata/definitions");
    let text = std::fs::read_to_string(folder.join("contract.prototxt")).unwrap();
    let c = prototxt::parse(&text, "contract.prototxt").unwrap();
    assert_eq!(c.signatures[0].inputs[0].shape, Some(vec![None, Some(2)]));
}

#[test]
fn documents_that_build_nothing_are_told() {
    let l = loaded("many");
    let names: Vec<_> = l.definitions.iter().map(|d| d.name.as_str()).collect();
    assert_eq!((names, l.applications.as_slice()), (vec!["first", "second"], ["pair".to_owned()].as_slice()));
    let first = &l.definitions[0].contract.as_ref().unwrap().signatures[0];
    assert_eq!(first.inputs[0].shape, Some(vec![None, Some(8)]));
    let nothing = said(&l).iter().filter(|m| m.contains("builds nothing")).count();
    assert_eq!(nothing, 5);
    assert!(said(&l).iter().any(|m| m.contains("`signature` is read as `contract`")));
    assert_eq!(loaded("zero-a").applications, ["harbour"]);
    assert!(loaded("zero-a").definitions.is_empty());
}

#[test]
fn the_keys_of_floe_are_read() {
    let l = loaded("floe");
    let d = &l.definitions[0];
    assert!(l.warnings.is_empty());
    assert_eq!(value(&d.base).as_deref(), Some("oci:bases:python"));
    assert_eq!(d.labels, map(&[("org.example.team", "orchard")]));
    assert_eq!(d.annotations, map(&[("org.example.season", "2024")]));
    assert_eq!(d.env, map(&[("THREADS", "4"), ("EMPTY", "")]));
    assert_eq!((d.user.as_deref(), d.workdir.as_deref()), (Some("1000:1000"), Some("/srv")));
    assert_eq!((d.revision.as_deref(), d.licenses.as_deref()), (Some("4f2a"), Some("Apache-2.0 OR MIT")));
    let json = serde_json::to_value(d).unwrap();
    assert_eq!(json["generation"], "2");
    assert_eq!(json["base"]["place"]["line"], 5);
}

#[test]
fn a_name_that_is_no_repository_gets_a_suggestion() {
    let d = loaded("not-a").definitions.remove(0);
    assert_eq!(d.name, "Apple_Grader V2");
    let e = check_name(&d.name).unwrap_err();
    assert_eq!(e.to_string(), "the model's name `Apple_Grader V2` cannot name a repository");
    assert_eq!(
        e.hint_text(),
        Some("give one with `--name apple_grader-v2`; the label MODEL_NAME keeps the original")
    );
    assert!(check_name("模型").unwrap_err().hint_text().unwrap().contains("--name"));
    check_name("tools/grader").unwrap();
}

#[test]
fn mistakes_are_shown_where_they_are() {
    let bad: BTreeMap<String, String> = files("bad-").into_iter().collect();
    let expected = [
        (
            "bad-unknown-key.yaml",
            "serving.yaml:3:1: unknown key `paylod` in a model\n3 | paylod:\n  | ^^^^^^\nhint: did you mean `payload`?",
        ),
        (
            "bad-unknown-field-key.yaml",
            "serving.yaml:6:7: unknown key `dtype` in a field\n6 |       dtype: int64\n  |       ^^^^^\nhint: did you mean `type`?",
        ),
        (
            "bad-unknown-kind.yaml",
            "serving.yaml:1:7: unknown kind `Modle`\n1 | kind: Modle\n  |       ^^^^^\nhint: did you mean `Model`?",
        ),
        (
            "bad-block-key.yaml",
            "serving.yaml:3:3: unknown key `payloads` in a `model` block\n3 |   payloads: [src/]\n  |   ^^^^^^^^\nhint: did you mean `payload`?",
        ),
        (
            "bad-no-name.yaml",
            "serving.yaml:1:1: the model has no `name`\n1 | kind: Model\n  | ^\nhint: write `name: …`, in lower case",
        ),
        (
            "bad-type.yaml",
            "serving.yaml:5:15: `Float32` is not a type\n5 |     a: {type: Float32, shape: [1]}\n  |               ^^^^^^^\nhint: did you mean `float32`?",
        ),
        (
            "bad-shape.yaml",
            "serving.yaml:7:14: `any` is not a shape\n7 |       shape: any\n  |              ^^^\nhint: leave `shape` out where every rank is allowed, or write `[-1]` for one unknown size",
        ),
        (
            "bad-yaml.yaml",
            "serving.yaml:4:9: malformed YAML: illegal placement of ':' indicator\n4 | contract: {}\n  |         ^\nhint: check the indentation, the quotes and the brackets here and on the line before",
        ),
        (
            "bad-twice.yaml",
            "serving.yaml:3:1: the key `name` stands twice in one map\n3 | name: y\n  | ^^^^\nhint: remove one of the two",
        ),
        (
            "bad-tab.yaml",
            "serving.yaml:4:2: malformed YAML: tabs disallowed within this context (block indentation)\n4 |     inputs: {}\n  |     ^\nhint: YAML is indented with spaces, never with tabs",
        ),
    ];
    assert_eq!(bad.len(), expected.len());
    for (name, shown) in expected {
        assert_eq!(rendered(&bad[name]), shown, "{name}");
    }
}

#[test]
fn other_mistakes_have_a_message_of_their_own() {
    let model = |rest: &str| format!("kind: Model\nname: x\n{rest}\n");
    let field = |rest: &str| model(&format!("contract:\n  inputs:\n    a: {rest}\n  outputs: {{}}"));
    for (text, message) in [
        ("kind: Model\nname:\n".to_owned(), "`name` is text, found nothing"),
        ("kind: Model\nname: ''\n".to_owned(), "`name` is empty"),
        ("kind: Model\nname: [x]\n".to_owned(), "`name` is text, found a list"),
        ("name: x\n".to_owned(), "the document has no `kind`"),
        ("kind: 1\nname: x\n".to_owned(), "unknown kind `1`"),
        ("kind: [Model]\n".to_owned(), "`kind` is text, found a list"),
        ("- kind: Model\n".to_owned(), "a document is a map of keys, found a list"),
        ("hello\n".to_owned(), "a document is a map of keys, found text"),
        ("# nothing\n".to_owned(), "declares nothing"),
        ("model:\n  type: python\n".to_owned(), "the model has no `name`"),
        ("model: {name: x}\nlocal: 1\n".to_owned(), "unknown key `local`"),
        (
            "model: {name: x}\nlocal_deploy: {runtime: {repo: y}}\n".to_owned(),
            "unknown key `repo` in `runtime`",
        ),
        (format!("{}---\n{}", model(""), model("")), "two models are named `x`, in lines 2 and 6"),
        (model("payload: src/"), "`payload` is a list, found text"),
        (model("payload: []"), "`payload` lists nothing"),
        (model("payload: [[a]]"), "`payload` is text, found a list"),
        (
            model("install-command: a\ninstall_command: b"),
            "`install_command` and `install-command` are the same key",
        ),
        (model("metadata: {a: {b: 1}}"), "`metadata.a` is text, found a map"),
        (model("env: {A: }"), "`env.A` is text, found nothing"),
        (model("env: {'A=B': c}"), "`A=B` is not the name of a variable"),
        (model("labels: {MODEL_NAME: y}"), "the label `MODEL_NAME` is written by floe"),
        (model("labels: [a]"), "`labels` is a map, found a list"),
        (model("workdir: srv"), "`workdir` is an absolute path"),
        (model("contract: contract.prototxt"), "`contract` is a map with `inputs` and `outputs`, found text"),
        (model("contract: {}"), "`contract` has no signature"),
        (model("contract: {inputs: {}}"), "the signature `predict` has no `outputs`"),
        (model("contract: {input: {a: {type: int64}}, output: {}}"), "unknown key `input` in a contract"),
        (model("contract: {add: {inputs: {}}}"), "the signature `add` has no `outputs`"),
        (model("contract: {inputs: {}, outputs: {}, extra: 1}"), "unknown key `extra` in a contract"),
        (
            model("contract: {inputs: {}, outputs: {}}\nsignature: {inputs: {}, outputs: {}}"),
            "both `contract` and `signature`",
        ),
        (field("float32"), "`a` is a map with `type` and `shape`, found text"),
        (field("{shape: [1]}"), "the field `a` has no `type`"),
        (field("{type: int8, fields: {b: {type: int8}}}"), "has both a `type` and `fields`"),
        (field("{fields: {}}"), "`fields` holds no field"),
        (field("{type: 1}"), "`1` is not a type"),
        (field("{type: int8, shape: 3}"), "found the number 3"),
        (field("{type: int8, shape: [-2]}"), "found -2"),
        (field("{type: int8, shape: [1.5]}"), "a size is a whole number, found `1.5`"),
        (field("{type: int8, shape: ['1']}"), "a size is a whole number, found `1`"),
        (field("{type: int8, shape: [[1]]}"), "a size is a whole number, found `a list`"),
        (field("{type: int8, shape: [99999999999999999999]}"), "a size is a whole number"),
        (field("{type: int8, shape: {dims: 1}}"), "`shape` is `scalar` or a list of sizes, found a map"),
        (field("{type: int8, shape: true}"), "`shape` is `scalar` or a list of sizes, found a truth value"),
        (model("contract: {inputs: {'': {type: int8}}, outputs: {}}"), "the name of a field is empty"),
    ] {
        let shown = rendered(&text);
        assert!(shown.contains(message), "{text}\n{shown}");
        assert!(shown.starts_with("serving.yaml:"), "{shown}");
    }
}

#[test]
fn hostile_definitions_are_bounded() {
    let many = |n: usize| format!("kind: Model\nname: x\npayload: [{}]\n", "a,".repeat(n));
    assert!(rendered(&many(5000)).contains("at most 4096 are read"));
    let dims = format!(
        "kind: Model\nname: x\ncontract: {{inputs: {{a: {{type: int8, shape: [{}]}}}}, outputs: {{}}}}\n",
        "1,".repeat(255)
    );
    assert!(rendered(&dims).contains("at most 254 are read"));
    let nested = format!("kind: Model\nname: x\ncontract: {{inputs: {{a: {}", "{fields: {a: ".repeat(200));
    assert!(load(&nested, "f").is_err());
    // Each field would warn, in one line that is searched for each warning.
    let fields: String = (0..20_000).map(|n| format!("a{n}: {{type: float}}, ")).collect();
    let text = format!("kind: Model\nname: x\ncontract: {{inputs: {{{fields}}}, outputs: {{}}}}\n");
    assert_eq!(load(&text, "f").unwrap().warnings.len(), 200);
    let long = format!("kind: Model\nname: x\n? {}\n: 1\n", "k".repeat(100_000));
    assert!(load(&long, "f").unwrap_err().to_string().len() < 300);
    let text = format!("kind: Model\nname: {}\n", "n".repeat(100_000));
    assert!(rendered(&text).contains("has more than 65536 bytes"));
}

#[test]
fn a_file_is_found_and_read() {
    let d = tempfile::tempdir().unwrap();
    assert_eq!(find(d.path()).unwrap(), None);
    let path = d.path().join("serving.yml");
    std::fs::write(&path, "\u{feff}kind: Model\r\nname: x\r\n").unwrap();
    assert_eq!(find(d.path()).unwrap().as_ref(), Some(&path));
    assert_eq!(load_file(&path).unwrap().definitions[0].name, "x");
    std::fs::write(&path, b"kind: Model\nname: \xff\n").unwrap();
    assert!(load_file(&path).unwrap_err().to_string().contains("serving.yml:2: the text is not UTF-8"));
    std::fs::write(d.path().join("serving.yaml"), "").unwrap();
    assert!(find(d.path()).unwrap_err().to_string().contains("there are both"));
}

/// The documents of a file as an editor sees them.
fn documents(text: &str) -> Vec<serde_json::Value> {
    serde_saphyr::from_multiple(text).unwrap()
}

/// Whether a document is valid by our own schema.
fn valid() -> impl Fn(&serde_json::Value) -> bool {
    let (mut schemas, mut compiler) = (boon::Schemas::new(), boon::Compiler::new());
    let at = "https://floe.example/serving.schema.json";
    compiler.add_resource(at, schema()).unwrap();
    let root = compiler.compile(at, &mut schemas).unwrap();
    move |document| schemas.validate(document, root).is_ok()
}

#[test]
fn what_loads_is_valid_by_the_schema() {
    let valid = valid();
    for (name, text) in files("") {
        if name.starts_with("bad-") {
            continue;
        }
        for document in documents(&text) {
            assert!(valid(&document), "{name}: {document:#}");
        }
    }
}

#[test]
fn what_the_schema_can_see_it_refuses_too() {
    let valid = valid();
    for (name, text) in files("bad-") {
        if matches!(name.as_str(), "bad-yaml.yaml" | "bad-twice.yaml" | "bad-tab.yaml") {
            continue;
        }
        assert!(!documents(&text).iter().all(&valid), "{name}");
    }
}

#[test]
fn schema_and_loader_know_the_same_keys() {
    let schema = schema();
    let valid = valid();
    let of = |pointer: &str| -> Vec<String> {
        let properties = schema.pointer(pointer).unwrap_or_else(|| panic!("{pointer}")).as_object().unwrap();
        properties.keys().cloned().collect()
    };
    let mut ours: Vec<String> = keys::MODEL
        .iter()
        .flat_map(|k| std::iter::once(k.name.to_owned()).chain(keys::snake(k.name)))
        .collect();
    ours.sort();
    assert_eq!(of("/$defs/Model/properties"), ours);
    for (pointer, table) in [
        ("/$defs/ModelBlock/properties", keys::BLOCK),
        ("/$defs/LocalDeploy/properties", keys::LOCAL_DEPLOY),
        ("/$defs/Signature/properties", keys::SIGNATURE),
        ("/$defs/Field/properties", keys::FIELD),
    ] {
        let mut table: Vec<String> = table.iter().map(|k| (*k).to_owned()).collect();
        table.sort();
        assert_eq!(of(pointer), table, "{pointer}");
    }
    // A key that is in the schema must not be unknown to the loader, and the other way round.
    let with = |key: &str| format!("kind: Model\nname: x\n{key}: null\n");
    for key in
        of("/$defs/Model/properties").iter().map(String::as_str).chain(["Payload", "profile_types", "x"])
    {
        if matches!(key, "kind" | "name" | "payload") {
            continue;
        }
        let is_valid = valid(&documents(&with(key))[0]);
        assert_eq!(load(&with(key), "f").is_ok(), is_valid, "{key}");
    }
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
}

proptest::proptest! {
    #[test]
    fn no_definition_makes_it_panic(
        text in "((kind|name|model|payload|contract|inputs|outputs|type|shape|fields|metadata|local_deploy): ?\
                 (Model|x|\\[-1, 2\\]|\\{|\\}|int8|scalar|null|~|)?\n? {0,6}){0,12}"
    ) {
        let _ = load(&text, "f");
    }
}
