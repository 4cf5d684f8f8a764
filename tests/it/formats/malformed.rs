//! What is broken, hostile or no model at all, and the verdict that each has to get.

use std::fs;
use std::path::Path;

use floe::model::format::{Choice, Detection, Severity, detect};
use floe::{Error, Result};

use super::score::tree;

/// The files of one case.
type Files = Vec<(&'static str, Vec<u8>)>;

/// What has to come of it.
enum Verdict {
    /// An error, or a model that is recognised and says why it cannot be read.
    Broken,
    /// No model.
    Nothing,
    /// A finding of this code, that is at least a warning.
    Finding(&'static str),
    /// Several models, none of which is chosen.
    Ambiguous,
}
use Verdict::{Ambiguous, Broken, Finding, Nothing};

fn infer(files: &Files) -> Result<Option<Detection>> {
    let dir = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    detect(&tree(dir.path()), &Choice::default())
}

fn check(name: &str, files: &Files, verdict: &Verdict) -> std::result::Result<(), String> {
    let found = infer(files);
    let shown = format!("{name}: {found:?}");
    let right = match (verdict, found) {
        (Broken, Err(_)) => true,
        (Broken, Ok(Some(d))) => d.failure.is_some() && d.contract.is_none(),
        (Nothing, Ok(found)) => found.is_none(),
        (Finding(code), Ok(Some(d))) => {
            d.findings.iter().any(|f| f.code == *code && f.severity > Severity::Info && !f.place.is_empty())
        }
        (Ambiguous, Err(e)) => e.message().contains("ambiguous") && is_helpful(&e),
        _ => false,
    };
    if right { Ok(()) } else { Err(shown) }
}

fn is_helpful(e: &Error) -> bool {
    e.hint_text().is_some_and(|h| h.contains("--model") || h.contains("--framework"))
}

/// A zip archive of entries that are not compressed.
pub(super) fn zip(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let (mut out, mut directory) = (Vec::new(), Vec::new());
    for (name, content) in entries {
        let mut crc = flate2::Crc::new();
        crc.update(content);
        let mut common = vec![20, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        for v in [crc.sum(), content.len() as u32, content.len() as u32] {
            common.extend(v.to_le_bytes());
        }
        common.extend((name.len() as u16).to_le_bytes());
        common.extend([0, 0]);
        directory.extend(b"PK\x01\x02\x14\0");
        directory.extend(&common);
        directory.extend([0; 10]);
        directory.extend((out.len() as u32).to_le_bytes());
        directory.extend(name.as_bytes());
        out.extend(b"PK\x03\x04");
        out.extend(&common);
        out.extend(name.as_bytes());
        out.extend(*content);
    }
    let offset = out.len() as u32;
    out.extend(&directory);
    out.extend(b"PK\x05\x06\0\0\0\0");
    for _ in 0..2 {
        out.extend((entries.len() as u16).to_le_bytes());
    }
    out.extend((directory.len() as u32).to_le_bytes());
    out.extend(offset.to_le_bytes());
    out.extend([0, 0]);
    out
}

fn safetensors(header: &str, data: usize) -> Vec<u8> {
    let mut out = (header.len() as u64).to_le_bytes().to_vec();
    out.extend(header.as_bytes());
    out.extend(vec![0; data]);
    out
}

const LFS: &[u8] = b"version https://git-lfs.github.com/spec/v1\noid sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\nsize 1234\n";
const PAGE: &[u8] = b"<!DOCTYPE html><html><body>Sign in to continue</body></html>";

/// A pickle of protocol 2 that calls `module.name(argument)`.
fn call(module: &str, name: &str, argument: &str) -> Vec<u8> {
    let mut out = format!("\u{0}c{module}\n{name}\n").into_bytes();
    out.splice(0..1, [0x80, 2]);
    out.push(b'X');
    out.extend((argument.len() as u32).to_le_bytes());
    out.extend(argument.as_bytes());
    out.extend([0x85, b'R', b'.']);
    out
}

/// A pickled estimator of scikit-learn without a state worth speaking of.
fn estimator() -> Vec<u8> {
    b"\x80\x02csklearn.linear_model._base\nLinearRegression\n)\x81}X\x0e\x00\x00\x00n_features_in_K\x04sb."
        .to_vec()
}

fn keras(config: &str) -> Vec<u8> {
    let metadata = br#"{"keras_version": "3.15.1", "date_saved": "2026-01-01@00:00:00"}"#;
    zip(&[("metadata.json", metadata), ("config.json", config.as_bytes()), ("model.weights.h5", b"")])
}

fn keras_with(layer: &str) -> Vec<u8> {
    keras(&format!(
        r#"{{"module":"keras","class_name":"Sequential","config":{{"name":"s","layers":[
        {{"module":"keras.layers","class_name":"InputLayer","config":{{"batch_shape":[null,4],"dtype":"float32","name":"x"}},"registered_name":null}},
        {layer}]}},"registered_name":null}}"#
    ))
}

fn deep(open: &str, n: usize) -> Vec<u8> {
    open.repeat(n).into_bytes()
}

#[test]
fn each_gets_the_right_verdict() {
    let onnx = fs::read(super::root().join("models/onnx/on_dev_scaler/model.onnx")).unwrap();
    let mut cases: Vec<(String, Files, Verdict)> = Vec::new();
    let mut add = |name: &str, files: Files, verdict: Verdict| cases.push((name.to_owned(), files, verdict));

    // What stands where a model should be.
    for name in [
        "model.onnx",
        "model.safetensors",
        "model.gguf",
        "model.keras",
        "model.h5",
        "model.tflite",
        "model.cbm",
        "model.pt",
        "saved_model.pb",
        "model.ubj",
        "model.skops",
        "model.joblib",
        "model.pkl",
    ] {
        add(&format!("pointer {name}"), vec![(name, LFS.to_vec())], Finding("lfs-pointer"));
        add(&format!("pointer {name} fails"), vec![(name, LFS.to_vec())], Broken);
        add(&format!("page {name}"), vec![(name, PAGE.to_vec())], Finding("web-page"));
        add(&format!("empty {name}"), vec![(name, Vec::new())], Finding("empty-file"));
        // Other things are pickled too.
        let noise = if name == "model.pkl" { Nothing } else { Broken };
        let bytes = b"\xde\xad\xbe\xef not a model of any kind".to_vec();
        add(&format!("noise {name}"), vec![(name, bytes)], noise);
    }
    add("text", vec![("notes.txt", b"hello".to_vec()), ("data.csv", b"a,b\n1,2\n".to_vec())], Nothing);
    add("json", vec![("settings.json", br#"{"a": 1}"#.to_vec())], Nothing);
    add("config alone", vec![("config.json", br#"{"model_type": "bert"}"#.to_vec())], Nothing);

    // Several.
    add("two of one kind", vec![("a.onnx", onnx.clone()), ("b.onnx", onnx.clone())], Ambiguous);
    let st = safetensors(r#"{"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#, 8);
    add("two kinds", vec![("a.onnx", onnx.clone()), ("b.safetensors", st)], Ambiguous);

    // Lies about sizes.
    for (name, header, data) in [
        (
            "overlap",
            r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}"#,
            12,
        ),
        (
            "hole",
            r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"b":{"dtype":"F32","shape":[1],"data_offsets":[8,12]}}"#,
            12,
        ),
        ("short", r#"{"a":{"dtype":"F32","shape":[100],"data_offsets":[0,400]}}"#, 10),
        ("wrong size", r#"{"a":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}}"#, 8),
        (
            "overflow",
            r#"{"a":{"dtype":"F32","shape":[4294967296,4294967296,4294967296],"data_offsets":[0,8]}}"#,
            8,
        ),
        (
            "twice",
            r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}"#,
            8,
        ),
        ("negative", r#"{"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}}"#, 4),
    ] {
        add(&format!("safetensors {name}"), vec![("model.safetensors", safetensors(header, data))], Broken);
    }
    let mut long = safetensors("{}", 0);
    long[..8].copy_from_slice(&u64::MAX.to_le_bytes());
    add("safetensors header length", vec![("model.safetensors", long)], Broken);
    let gguf = |tensors: u64, settings: u64| {
        let mut out = b"GGUF\x03\0\0\0".to_vec();
        out.extend(tensors.to_le_bytes());
        out.extend(settings.to_le_bytes());
        out
    };
    add("gguf of many tensors", vec![("model.gguf", gguf(u64::MAX, 0))], Broken);
    add("gguf of many settings", vec![("model.gguf", gguf(0, u64::MAX))], Broken);
    let mut flat = vec![0xff, 0xff, 0xff, 0x7f];
    flat.extend(b"TFL3");
    flat.extend([0; 64]);
    add("tflite root offset", vec![("model.tflite", flat)], Broken);
    add("catboost", vec![("model.cbm", b"CBM1\xff\xff\xff\xff\0\0\0\0\0\0\0\0".to_vec())], Broken);
    let mut h5 = b"\x89HDF\r\n\x1a\n\0\0\0\0\0\x08\x08\0".to_vec();
    h5.extend([0xff; 80]);
    add("hdf5 addresses", vec![("model.h5", h5)], Broken);

    // Archives.
    let twice = zip(&[("metadata.json", b"{}"), ("config.json", b"{}"), ("config.json", b"[]")]);
    add("keras with a name twice", vec![("model.keras", twice)], Broken);
    let dense = r#"{"module":"keras.layers","class_name":"Dense","config":{"name":"y","units":1,"activation":"linear","dtype":"float32"},"registered_name":null,"build_config":{"input_shape":[null,4]}}"#;
    add("zip without an end", vec![("model.keras", keras_with(dense)[..200].to_vec())], Broken);

    // Code.
    for (module, name) in [
        ("os", "system"),
        ("posix", "system"),
        ("subprocess", "Popen"),
        ("__builtin__", "eval"),
        ("builtins", "exec"),
        ("importlib", "import_module"),
        ("runpy", "run_path"),
        ("nt", "system"),
        ("builtins", "getattr"),
    ] {
        let mut inside = b"\x80\x02(".to_vec();
        inside.extend(&call(module, name, "true")[2..][..call(module, name, "true").len() - 3]);
        inside.extend(&estimator()[2..estimator().len() - 1]);
        inside.extend(b"t.");
        add(&format!("pickle {module}.{name}"), vec![("model.pkl", inside)], Finding("code-execution"));
    }
    let mut second = estimator();
    second.extend(call("os", "system", "true"));
    add("a second pickle", vec![("model.pkl", second)], Finding("second-pickle"));
    let mut garbage = estimator();
    garbage.extend([0; 9]);
    add("bytes after a pickle", vec![("model.pkl", garbage)], Finding("trailing-data"));
    // A pickle is judged that holds no model, or that breaks after it has run.
    for name in ["model.pkl", "weights.bin", "model.onnx", "data"] {
        let bare = call("os", "system", "true");
        add(&format!("bare {name}"), vec![(name, bare)], Finding("code-execution"));
    }
    for (module, name) in [
        ("code", "interact"),
        ("trace", "main"),
        ("profile", "run"),
        ("idlelib.pyshell", "ModifiedInterpreter.runcode"),
        ("numpy.testing._private.utils", "runstring"),
        ("torch.hub", "load"),
        ("pip._internal.cli.main", "main"),
        ("numpy", "memmap"),
    ] {
        let bare = call(module, name, "true");
        add(&format!("bare {module}.{name}"), vec![("model.pkl", bare)], Finding("code-execution"));
    }
    let mut cut = call("os", "system", "true");
    cut.pop();
    cut.extend(&estimator()[2..40]);
    add("a pickle that breaks after a call", vec![("model.pkl", cut)], Finding("code-execution"));

    // PyTorch's containers.
    let evil = &call("os", "system", "true")[..];
    let good = &b"\x80\x02ccollections\nOrderedDict\n)R."[..];
    /// A name for people, and the entries of an archive.
    type Packed<'a> = (&'a str, &'a [(&'a str, &'a [u8])]);
    let archives: [Packed<'_>; 5] = [
        ("data.pkl", &[("a/data.pkl", evil), ("a/version", b"3")]),
        ("bytecode.pkl", &[("a/data.pkl", evil), ("a/bytecode.pkl", b"\x80\x02)."), ("a/version", b"3")]),
        ("first folder", &[("b/data.pkl", evil), ("a/data.pkl", good), ("b/version", b"3")]),
        ("other folder", &[("a/data.pkl", good), ("b/data.pkl", evil), ("a/version", b"3")]),
        ("other entry", &[("a/data.pkl", good), ("a/Extra.PKL", evil), ("a/version", b"3")]),
    ];
    for (name, entries) in archives {
        add(&format!("torch {name}"), vec![("model.pt", zip(entries))], Finding("code-execution"));
    }
    let slip = zip(&[("a/data.pkl", good), ("a/version", b"3"), ("a/../../x", b"")]);
    add("torch zip-slip", vec![("model.pt", slip)], Finding("zip-slip"));
    let twice = zip(&[("a/data.pkl", good), ("a/version", b"3"), ("a/data/0", b""), ("a/data/0", b"")]);
    add("torch twice", vec![("model.pt", twice)], Finding("duplicate-entry"));
    let magic = &b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."[..];
    let parts: [&[u8]; 5] = [magic, b"\x80\x02M\xe9\x03.", b"\x80\x02}.", good, b"\x80\x02]."];
    for at in 1..5 {
        let mut parts = parts.map(<[u8]>::to_vec);
        parts[at] = evil.to_vec();
        add(&format!("legacy torch {at}"), vec![("model.pt", parts.concat())], Finding("code-execution"));
    }

    // Arrays.
    let npy = |descr: &str, shape: &str, data: &[u8]| {
        let header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}\n");
        [b"\x93NUMPY\x01\0", &(header.len() as u16).to_le_bytes()[..], header.as_bytes(), data].concat()
    };
    add("npy of objects", vec![("w.npy", npy("|O", "(1,)", evil))], Finding("code-execution"));
    let npz = zip(&[("arr_0.npy", &npy("|O", "(1,)", evil))]);
    add("npz of objects", vec![("w.npz", npz)], Finding("code-execution"));
    add("npy that is cut", vec![("w.npy", npy("<f4", "(3,)", &[0; 11]))], Broken);
    add("npy without a size", vec![("w.npy", npy("<f4", "(9999999999999, 9999999999999)", b""))], Broken);
    add("npz that is cut", vec![("w.npz", zip(&[("arr_0.npy", &npy("<f4", "(3,)", &[0; 11]))]))], Broken);
    for name in ["x_train", "labels", "X"] {
        let entry = format!("{name}.npy");
        let data = zip(&[(&entry, &npy("<f4", "(3,)", &[0; 12]))]);
        add(&format!("data {name}"), vec![("data.npz", data)], Nothing);
    }

    // What is known by name only.
    add(
        "mleap",
        vec![("bundle.json", b"{}".to_vec()), ("root/model.json", b"{}".to_vec())],
        Finding("unread-serialization"),
    );
    add("old joblib", vec![("m.z", b"ZF0x10              x".to_vec())], Finding("unread-serialization"));
    add("ggml", vec![("m.bin", b"tjgg\x03\0\0\0".to_vec())], Finding("unread-serialization"));
    add("pointer weights", vec![("weights", LFS.to_vec())], Finding("lfs-pointer"));
    for name in ["model.json", "model.txt"] {
        add(&format!("pointer {name}"), vec![(name, LFS.to_vec())], Finding("lfs-pointer"));
        add(&format!("empty {name}"), vec![(name, Vec::new())], Finding("empty-file"));
    }

    let lambda = r#"{"module":"keras.layers","class_name":"Lambda","config":{"name":"l","function":{"class_name":"__lambda__","config":{"code":"4wEAAAA=","defaults":null,"closure":null}},"dtype":"float32"},"registered_name":null}"#;
    add("keras lambda", vec![("model.keras", keras_with(lambda))], Finding("lambda-code"));
    let foreign =
        r#"{"module":"subprocess","class_name":"run","config":{"args":["true"]},"registered_name":"run"}"#;
    add("keras module", vec![("model.keras", keras_with(foreign))], Finding("foreign-module"));
    let tag = b"flavors: !!python/object/apply:os.system [true]\nsignature: null\n".to_vec();
    add("mlflow tag", vec![("MLmodel", tag)], Broken);
    let tag =
        b"flavors: {sklearn: {pickled_model: m}}\nrun_id: !!python/object/apply:os.system [true]\n".to_vec();
    add("mlflow tag that is passed over", vec![("MLmodel", tag)], Finding("yaml-tag"));

    // Depth and breadth.
    let mut bomb = b"\x80\x02".to_vec();
    bomb.extend(deep("]", 2_000_000));
    add("pickle without an end", vec![("model.pkl", bomb)], Nothing);
    add(
        "deep symbol",
        vec![("net-symbol.json", [br#"{"nodes":"#.to_vec(), deep("[", 100_000)].concat())],
        Broken,
    );
    add("deep keras", vec![("model.keras", keras(&String::from_utf8(deep("[", 100_000)).unwrap()))], Broken);
    add(
        "deep xgboost",
        vec![("model.json", [br#"{"learner":"#.to_vec(), deep("[", 1_000_000)].concat())],
        Broken,
    );
    add(
        "lightgbm",
        vec![("model.txt", b"tree\nversion=v4\nnum_class=1\nmax_feature_idx=99\nfeature_names=a\n".to_vec())],
        Broken,
    );

    let wrong: Vec<String> =
        cases.iter().filter_map(|(name, files, verdict)| check(name, files, verdict).err()).collect();
    assert!(wrong.is_empty(), "{} of {}: {wrong:#?}", wrong.len(), cases.len());
}

/// Whatever a name says, what is no file is never opened.
#[test]
fn pipes_and_loops_do_not_stop_the_search() {
    let dir = tempfile::tempdir().unwrap();
    let onnx = super::root().join("models/onnx/on_dev_scaler/model.onnx");
    fs::copy(onnx, dir.path().join("model.onnx")).unwrap();
    std::os::unix::fs::symlink("loop.pkl", dir.path().join("loop.pkl")).unwrap();
    let pipe = dir.path().join("pipe.pkl");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let found = floe::infer::infer(Path::new(dir.path()), &Choice::default(), false);
    // Either is an answer; to wait for the pipe would be none.
    if let Ok(found) = found {
        assert_eq!(found.format, "onnx");
    }
}
