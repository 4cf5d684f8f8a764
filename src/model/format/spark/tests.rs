use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use super::*;
use crate::model::contract::DType;
use crate::model::format::{Choice, Detection, detect};
use crate::model::tree::Selected;

const ML: &str = "org.apache.spark.ml";

fn look(dir: &Path) -> Option<Detection> {
    let all = Selected { source: dir.to_owned(), dest: Vec::new() };
    let tree = Tree::scan(&[all], &|_, _| false, false).unwrap();
    detect(&tree, &Choice::default()).unwrap()
}

fn save(dir: &Path, class: &str, uid: &str, params: &Value) {
    fs::create_dir_all(dir.join("metadata")).unwrap();
    let line = serde_json::json!({
        "class": class, "timestamp": 1, "sparkVersion": "3.5.3", "uid": uid, "paramMap": params, "defaultParamMap": {}
    });
    fs::write(dir.join("metadata/part-00000"), format!("{line}\n")).unwrap();
    fs::write(dir.join("metadata/_SUCCESS"), "").unwrap();
}

fn pipeline(dir: &Path, stages: &[(&str, Value)]) {
    let uids: Vec<String> = (0..stages.len()).map(|i| format!("s{i}")).collect();
    save(dir, &format!("{ML}.PipelineModel"), "p", &serde_json::json!({ "stageUids": uids }));
    let digits = stages.len().to_string().len();
    for (i, (class, params)) in stages.iter().enumerate() {
        save(&dir.join(format!("stages/{i:0digits$}_s{i}")), class, &uids[i], params);
    }
}

fn feature(name: &str) -> String {
    format!("{ML}.feature.{name}")
}

/// Names and shapes of inputs and outputs, in one line each.
fn told(d: &Detection) -> Vec<String> {
    let s = &d.contract.as_ref().unwrap().signatures[0];
    assert_eq!(s.name, "transform");
    let side = |all: &[crate::model::contract::Tensor], mark| {
        all.iter()
            .map(|t| {
                let dtype = t.dtype.map_or("?", DType::name);
                format!("{mark}{}: {dtype} {}", t.name, serde_json::to_string(&t.shape).unwrap())
            })
            .collect::<Vec<_>>()
    };
    [side(&s.inputs, '<'), side(&s.outputs, '>')].concat()
}

fn codes(d: &Detection) -> Vec<&str> {
    d.findings.iter().map(|f| f.code).collect()
}

#[test]
fn sizes_follow_forwards_and_backwards() {
    let dir = tempfile::tempdir().unwrap();
    let json = |s: &str| serde_json::from_str::<Value>(s).unwrap();
    let (hint, assembler, poly, scale) = (
        feature("VectorSizeHint"),
        feature("VectorAssembler"),
        feature("PolynomialExpansion"),
        feature("Normalizer"),
    );
    pipeline(
        dir.path(),
        &[
            (&scale, json(r#"{"inputCol": "v", "outputCol": "n"}"#)),
            (&assembler, json(r#"{"inputCols": ["n", "w"], "outputCol": "a"}"#)),
            (&hint, json(r#"{"inputCol": "w", "size": 2}"#)),
            (&poly, json(r#"{"inputCol": "a", "outputCol": "p", "degree": 2}"#)),
            (&hint, json(r#"{"inputCol": "p", "size": 20}"#)),
            (&assembler, json(r#"{"inputCols": ["x", "y"], "outputCol": "two"}"#)),
            (&hint, json(r#"{"inputCol": "two", "size": 2}"#)),
        ],
    );
    let d = look(dir.path()).unwrap();
    assert_eq!(
        told(&d),
        [
            "<v: float64 [null,3]",
            "<w: float64 [null,2]",
            "<x: ? [null]",
            "<y: ? [null]",
            ">n: float64 [null,3]",
            ">a: float64 [null,5]",
            ">p: float64 [null,20]",
            ">two: float64 [null,2]",
        ]
    );
    let inputs = &d.contract.as_ref().unwrap().signatures[0].inputs;
    assert_eq!(inputs[2].known.shape, Known::Convention);
    assert_eq!(inputs[2].known.dtype, Known::Unknown);
    assert_eq!(inputs[0].known.shape, Known::Derived);
    assert_eq!(codes(&d), Vec::<&str>::new());
    assert_eq!(d.framework_version.as_deref(), Some("3.5.3"));
}

#[test]
fn stages_that_disagree_are_told() {
    let dir = tempfile::tempdir().unwrap();
    let size = |n: u64| serde_json::json!({ "inputCol": "v", "size": n });
    let hint = feature("VectorSizeHint");
    pipeline(dir.path(), &[(&hint, size(2)), (&hint, size(3))]);
    assert_eq!(codes(&look(dir.path()).unwrap()), ["contradictory-sizes"]);
}

#[test]
fn a_stage_outside_of_its_folder_is_not_followed() {
    let dir = tempfile::tempdir().unwrap();
    for uid in ["../../x", "a/b", "..", ""] {
        save(dir.path(), &format!("{ML}.PipelineModel"), "p", &serde_json::json!({ "stageUids": [uid] }));
        assert_eq!(codes(&look(dir.path()).unwrap()), ["unsafe-path"], "{uid}");
    }
    save(dir.path(), &format!("{ML}.PipelineModel"), "p", &serde_json::json!({ "stageUids": ["gone"] }));
    assert_eq!(codes(&look(dir.path()).unwrap()), ["missing-stage"]);
    save(dir.path(), &format!("{ML}.PipelineModel"), "p", &serde_json::json!({}));
    assert_eq!(codes(&look(dir.path()).unwrap()), ["missing-stage"]);
}

#[test]
fn foreign_stages_missing_data_and_unfitted_ones_are_told() {
    let dir = tempfile::tempdir().unwrap();
    let io = serde_json::json!({ "inputCol": "a", "outputCol": "b" });
    pipeline(dir.path(), &[("com.example.Clean", io.clone()), (&feature("IDFModel"), io.clone())]);
    let d = look(dir.path()).unwrap();
    assert_eq!(codes(&d), ["unknown-stage", "broken-data"]);
    assert_eq!(told(&d), ["<a: float64 [null,null]", ">b: float64 [null,null]"]);
    pipeline(dir.path(), &[(&feature("NewOfTomorrow"), io.clone())]);
    let d = look(dir.path()).unwrap();
    assert_eq!((codes(&d), d.warnings.len()), (vec![], 1));
    pipeline(dir.path(), &[(&feature("StringIndexer"), io)]);
    let d = look(dir.path()).unwrap();
    assert_eq!(codes(&d), ["not-fitted"]);
    assert_eq!((d.contract, d.failure), (None, None));
}

#[test]
fn packed_metadata_are_read() {
    let dir = tempfile::tempdir().unwrap();
    save(dir.path(), &feature("Tokenizer"), "t", &serde_json::json!({ "inputCol": "a", "outputCol": "b" }));
    let plain = dir.path().join("metadata/part-00000");
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    std::io::Write::write_all(&mut packer, &fs::read(&plain).unwrap()).unwrap();
    fs::remove_file(&plain).unwrap();
    fs::write(dir.path().join("metadata/part-00000.gz"), packer.finish().unwrap()).unwrap();
    let d = look(dir.path()).unwrap();
    assert_eq!(told(&d), ["<a: string [null]", ">b: string [null,null]"]);
    // Hadoop's blocks, of one piece that is all literals.
    fs::remove_file(dir.path().join("metadata/part-00000.gz")).unwrap();
    save(dir.path(), &feature("Tokenizer"), "t", &serde_json::json!({ "inputCol": "a", "outputCol": "b" }));
    let line = fs::read(&plain).unwrap();
    fs::remove_file(&plain).unwrap();
    let (n, literal) = (line.len(), line.len() - 1);
    let head = [(n & 127 | 128) as u8, (n >> 7) as u8, 61 << 2, literal as u8, (literal >> 8) as u8];
    let mut stream = (n as u32).to_be_bytes().to_vec();
    stream.extend((head.len() as u32 + n as u32).to_be_bytes());
    stream.extend(head);
    stream.extend(&line);
    let packed = dir.path().join("metadata/part-00000.snappy");
    fs::write(&packed, &stream).unwrap();
    assert_eq!(told(&look(dir.path()).unwrap()).len(), 2);
    fs::write(&packed, &stream[..stream.len() - 1]).unwrap();
    assert!(look(dir.path()).is_none_or(|d| d.contract.is_none()));
    fs::remove_file(&packed).unwrap();
    // What Spark 4 writes.
    save(dir.path(), &feature("Tokenizer"), "t", &serde_json::json!({ "inputCol": "a", "outputCol": "b" }));
    fs::rename(&plain, dir.path().join("metadata/part-00000-1b2c-c000.txt")).unwrap();
    assert_eq!(told(&look(dir.path()).unwrap()).len(), 2);
}

#[test]
fn pipelines_in_pipelines_have_an_end() {
    let dir = tempfile::tempdir().unwrap();
    let mut at = dir.path().to_owned();
    for _ in 0..20 {
        save(&at, &format!("{ML}.PipelineModel"), "p", &serde_json::json!({ "stageUids": ["p"] }));
        at = at.join("stages/0_p");
    }
    let d = look(dir.path()).unwrap();
    assert_eq!(d.warnings.len(), 1, "{:?}", d.warnings);
}

#[test]
fn many_columns_take_no_time() {
    let dir = tempfile::tempdir().unwrap();
    let names = |p: &str| (0..50_000).map(|i| format!("{p}{i}")).collect::<Vec<_>>();
    let (a, b) = (feature("VectorAssembler"), feature("Binarizer"));
    let mut chain = names("x");
    chain.remove(0);
    pipeline(
        dir.path(),
        &[
            (&b, serde_json::json!({ "inputCols": names("x"), "outputCols": chain })),
            (&a, serde_json::json!({ "inputCols": names("x"), "outputCol": "all" })),
            (&a, serde_json::json!({ "inputCols": names("y"), "outputCol": "more" })),
            (&a, serde_json::json!({ "inputCols": ["all", "more"], "outputCol": "both" })),
        ],
    );
    let start = Instant::now();
    look(dir.path()).unwrap();
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
}

#[test]
fn a_label_that_a_selection_dropped_is_no_input() {
    let dir = tempfile::tempdir().unwrap();
    let (sql, scale, binary) = (feature("SQLTransformer"), feature("Normalizer"), feature("Binarizer"));
    let io = |a: &str, b: &str| serde_json::json!({ "inputCol": a, "outputCol": b });
    let stages = [
        (sql.as_str(), serde_json::json!({ "statement": "SELECT v, a + b AS c FROM __THIS__ WHERE d > 0" })),
        (&scale, io("v", "n")),
    ];
    pipeline(dir.path(), &stages);
    let d = look(dir.path()).unwrap();
    let inputs = ["<d: ? null", "<v: float64 [null,null]", "<a: ? null", "<b: ? null"];
    assert_eq!(told(&d), [&inputs[..], &[">c: ? null", ">n: float64 [null,null]"]].concat());
    assert_eq!(codes(&d), Vec::<&str>::new());
    let lost = [stages[0].clone(), (&binary, io("gone", "x"))];
    pipeline(dir.path(), &lost);
    assert_eq!(codes(&look(dir.path()).unwrap()), ["missing-column"]);
    let indexer = feature("StringIndexerModel");
    pipeline(dir.path(), &[stages[0].clone(), stages[1].clone(), (&indexer, io("gone", "x"))]);
    let d = look(dir.path()).unwrap();
    assert_eq!((told(&d).len(), codes(&d)), (6, vec!["broken-data"]));
}

/// Every file of real models, cut short and with flipped bytes.
#[test]
fn damaged_models_do_no_harm() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/models/spark");
    let dir = tempfile::tempdir().unwrap();
    let mut tried = 0;
    for case in ["sp_dev_tok_tf", "sp_dev_va_linreg"] {
        let model = root.join(case).join("model");
        let mut files = Vec::new();
        let mut folders = vec![model.clone()];
        while let Some(folder) = folders.pop() {
            for item in fs::read_dir(folder).unwrap() {
                let path = item.unwrap().path();
                let target = dir.path().join(case).join(path.strip_prefix(&model).unwrap());
                if path.is_dir() {
                    folders.push(path);
                } else {
                    fs::create_dir_all(target.parent().unwrap()).unwrap();
                    fs::copy(&path, &target).unwrap();
                    files.push(target);
                }
            }
        }
        for file in files {
            let good = fs::read(&file).unwrap();
            for at in (0..good.len()).step_by(good.len().div_ceil(60).max(1)) {
                let mut flipped = good.clone();
                flipped[at] = !flipped[at];
                for bytes in [&good[..at], &flipped] {
                    fs::write(&file, bytes).unwrap();
                    if let Some(found) = look(&dir.path().join(case)) {
                        assert!(found.contract.is_none() || found.failure.is_none());
                        tried += 1;
                    }
                }
            }
            fs::write(&file, good).unwrap();
        }
    }
    assert!(tried > 300, "{tried}");
}

/// Statements read what is there in letters of either case, and from 3.4 on what they just computed.
#[test]
fn statements_read_columns_before_they_write_them() {
    let dir = tempfile::tempdir().unwrap();
    let json = |s: &str| serde_json::from_str::<Value>(s).unwrap();
    let (tokens, sql) = (feature("Tokenizer"), feature("SQLTransformer"));
    let tokenizer = json(r#"{"inputCol": "text", "outputCol": "tok"}"#);
    let told_of = |statement: &str| {
        let _gone = fs::remove_dir_all(dir.path().join("stages"));
        let select = serde_json::json!({ "statement": statement });
        pipeline(dir.path(), &[(&tokens, tokenizer.clone()), (&sql, select)]);
        told(&look(dir.path()).unwrap())
    };
    assert_eq!(
        told_of("SELECT TOK AS words, Text AS tok FROM __THIS__"),
        ["<text: string [null]", ">words: string [null,null]", ">tok: string [null]"]
    );
    assert_eq!(
        told_of("SELECT x * 2 AS twice, twice > 1 AS big FROM __THIS__"),
        ["<text: string [null]", "<x: ? null", ">twice: ? null", ">big: bool [null]"]
    );
    assert_eq!(
        told_of("SELECT *, y AS n FROM (SELECT tok, x AS y FROM __THIS__) t"),
        ["<text: string [null]", "<x: ? null", ">tok: string [null,null]", ">y: ? null", ">n: ? null"]
    );
}

/// As Spark 4.2 saves without a cluster: plain files instead of folders.
#[test]
fn plain_files_are_read_as_folders_are() {
    let dir = tempfile::tempdir().unwrap();
    let at = |class: &str, params: &Value, data: &[u8]| {
        save(dir.path(), class, "s", params);
        let line = fs::read(dir.path().join("metadata/part-00000")).unwrap();
        fs::remove_dir_all(dir.path().join("metadata")).unwrap();
        fs::write(dir.path().join("metadata"), line).unwrap();
        fs::write(dir.path().join("data"), data).unwrap();
        let d = look(dir.path()).unwrap();
        fs::remove_file(dir.path().join("metadata")).unwrap();
        (told(&d), codes(&d).join(" "))
    };
    let columns = serde_json::json!({ "inputCols": ["a", "b"], "outputCols": ["x", "y"], "dropLast": true });
    let (told, codes) = at(&feature("OneHotEncoderModel"), &columns, b"\0\0\0\x02\0\0\0\x04\0\0\0\x03");
    assert_eq!(told, ["<a: ? [null]", "<b: ? [null]", ">x: float64 [null,3]", ">y: float64 [null,2]"]);
    assert_eq!(codes, "");
    let (told, codes) = at(&feature("OneHotEncoderModel"), &columns, b"\0\0\0\x02\0\0\0\x04");
    assert_eq!(told[2], ">x: float64 [null,null]");
    assert_eq!(codes, "broken-data");
}

/// A folder of `pyspark.ml.connect`, with the stages of a pipeline.
fn connect(dir: &Path, stages: &Value) {
    let all = serde_json::json!({
        "class": "pyspark.ml.connect.pipeline.PipelineModel", "timestamp": 1, "sparkVersion": "3.5.7", "uid": "p",
        "paramMap": {}, "defaultParamMap": {}, "type": "spark_connect", "stages": stages,
    });
    fs::write(dir.join("metadata.json"), all.to_string()).unwrap();
}

#[test]
fn models_of_connect_have_arrays_for_columns() {
    let dir = tempfile::tempdir().unwrap();
    let stages = serde_json::json!([
        {
            "class": "pyspark.ml.connect.feature.ArrayAssembler", "uid": "a", "sparkVersion": "4.0.1",
            "paramMap": {"inputCols": ["u", "v"], "outputCol": "w", "featureSizes": [3, 1]}, "defaultParamMap": {},
        },
        {
            "class": "pyspark.ml.connect.classification.LogisticRegressionModel", "uid": "l", "sparkVersion": "4.0.1",
            "paramMap": {"featuresCol": "w"}, "extra": {"num_features": 4, "num_classes": 3},
            "defaultParamMap": {"predictionCol": "prediction", "probabilityCol": "probability"},
        },
    ]);
    connect(dir.path(), &stages);
    let d = look(dir.path()).unwrap();
    assert_eq!(
        told(&d),
        [
            "<u: ? [null,3]",
            "<v: ? null",
            ">w: float64 [null,4]",
            ">prediction: int64 [null]",
            ">probability: float64 [null,3]",
        ]
    );
    assert_eq!((d.framework_version.as_deref(), codes(&d)), (Some("3.5.7"), vec![]));
    assert_eq!(d.facts["sparkml.stages"], serde_json::json!(["ArrayAssembler", "LogisticRegressionModel"]));
}

#[test]
fn what_a_model_of_connect_lacks_or_would_run_is_told() {
    let stage = |class: &str, file: &str| {
        serde_json::json!([{
            "class": format!("pyspark.ml.connect.{class}"), "uid": "s", "core_model_path": file,
            "paramMap": {"inputCol": "x", "outputCol": "y"}, "defaultParamMap": {},
        }])
    };
    let dir = tempfile::tempdir().unwrap();
    let tell = |class: &str, file: &str| {
        connect(dir.path(), &stage(class, file));
        let d = look(dir.path()).unwrap();
        codes(&d).into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(tell("feature.StandardScalerModel", "../s.sklearn.pkl"), ["unsafe-path"]);
    assert_eq!(tell("feature.StandardScalerModel", "none.sklearn.pkl"), ["missing-file"]);
    assert_eq!(tell("feature.StandardScaler", "none"), ["missing-file", "not-fitted"]);
    connect(dir.path(), &serde_json::json!([1]));
    assert_eq!(codes(&look(dir.path()).unwrap()), ["missing-stage"]);
    fs::write(dir.path().join("s.sklearn.pkl"), b"cos\nsystem\n(S'id'\ntR.").unwrap();
    assert_eq!(tell("feature.StandardScalerModel", "s.sklearn.pkl"), ["code-execution"]);
}
