//! The base that floe carries: its own program over nothing, for models that it can serve.
//!
//! A small hand-made program stands for floe wherever the bytes of the program do not matter; the
//! last test lays the real one.

use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use floe::oci::Digest;
use serde_json::{Value, json};

use crate::support::elf::{self, AMD64, ARM64};
use crate::support::models::example;
use crate::support::program::{Built, Floe, output, run, said, skopeo, succeeded};
use crate::support::walk;

const MODEL: &str = "onnx/on_dev_scaler";

struct Place {
    dir: tempfile::TempDir,
    floe: Floe,
}

/// An image of a layout.
struct Image {
    manifest: Value,
    config: Value,
    /// The tar of the first layer.
    first: Vec<u8>,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let floe = Floe::new(dir.path());
        for (name, bytes) in [
            ("amd64", elf::fixed(AMD64)),
            ("arm64", elf::fixed(ARM64)),
            ("linked", elf::linked(AMD64)),
            ("script", b"#!/bin/sh\nexec floe \"$@\"\n".to_vec()),
            ("text", b"a text that somebody took for a program".to_vec()),
            ("cut", elf::fixed(AMD64)[..100].to_vec()),
        ] {
            fs::write(dir.path().join(name), bytes).unwrap();
        }
        Self { dir, floe }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A build that nobody told what to lay the model on, with the words of a line; `~` is the folder.
    fn command(&self, model: &str, line: &str) -> Command {
        let mut command = self.floe.command();
        command.env_remove("FLOE_RUNTIME").env_remove("FLOE_BINARY").arg("build").arg(example(model));
        let home = self.dir.path().display().to_string();
        command.args(line.split_whitespace().map(|word| word.replace('~', &home)));
        command
    }

    fn build(&self, model: &str, line: &str) -> Built {
        Built::of(&output(self.command(model, line).arg("--json")))
    }

    /// The exit code and what was said; nothing may have been stored.
    fn refused(&self, model: &str, line: &str) -> (i32, String) {
        let out = output(
            self.command(model, line).args(["-q", "-o"]).arg(format!("oci:{}", self.path("no").display())),
        );
        assert!(!out.status.success(), "{line} was expected to be refused");
        assert!(!self.path("no").exists() && !self.floe.store().exists(), "{line}");
        (out.status.code().unwrap(), said(&out))
    }

    fn image(&self, layout: &str, digest: &str) -> Image {
        let layout = self.path(layout);
        walk::layout(&layout);
        let document = |digest: &Value| walk::json(&walk::blob(&layout, digest.as_str().unwrap()));
        let manifest = document(&json!(digest));
        let config = document(&manifest["config"]["digest"]);
        let stored =
            fs::read(walk::blob(&layout, manifest["layers"][0]["digest"].as_str().unwrap())).unwrap();
        let mut first = Vec::new();
        flate2::read::MultiGzDecoder::new(&stored[..]).read_to_end(&mut first).unwrap();
        Image { manifest, config, first }
    }
}

/// The only file of a tar, and its mode.
fn only_file(tar: &[u8]) -> (String, u32, Vec<u8>) {
    let mut archive = tar::Archive::new(tar);
    let mut entries = archive.entries().unwrap();
    let mut entry = entries.next().unwrap().unwrap();
    let head = entry.header();
    assert_eq!((head.uid().unwrap(), head.gid().unwrap(), head.mtime().unwrap()), (0, 0, 1));
    let (path, mode) = (String::from_utf8(entry.path_bytes().into_owned()).unwrap(), head.mode().unwrap());
    let mut content = Vec::new();
    entry.read_to_end(&mut content).unwrap();
    assert!(entries.next().is_none());
    (path, mode, content)
}

const AMD: &str = "--platform linux/amd64 --floe-binary linux/amd64=~/amd64";

#[test]
fn an_onnx_model_is_laid_on_floe_itself() {
    let p = Place::new();
    let built = p.build(MODEL, &format!("{AMD} --name team/scaler -o oci:~/out"));
    let image = p.image("out", built.digest());
    let config = &image.config["config"];
    assert_eq!(config["Entrypoint"], json!(["/floe", "serve"]));
    assert_eq!(config["User"], "65532");
    assert_eq!(config["ExposedPorts"], json!({"8080/tcp": {}, "8081/tcp": {}}));
    assert_eq!(
        config["Env"],
        json!([
            "PATH=/",
            "FLOE_SERVE_HOST=::",
            format!("FLOE_MODEL_ID={}", built.model_id()),
            "FLOE_MODEL_NAME=team/scaler"
        ])
    );
    assert_eq!((&config["WorkingDir"], &config["Healthcheck"]), (&Value::Null, &Value::Null));
    assert_eq!(image.config["created"], "1970-01-01T00:00:01Z");
    assert_eq!((&image.config["os"], &image.config["architecture"]), (&json!("linux"), &json!("amd64")));
    let history = image.config["history"].as_array().unwrap();
    assert_eq!(history.len(), 1 + built.layers("digest").len());
    assert_eq!(history[0]["created_by"], "floe: its own program");

    let (path, mode, content) = only_file(&image.first);
    assert_eq!((path.as_str(), mode, content), ("floe", 0o755, elf::fixed(AMD64)));
    assert_eq!(image.config["rootfs"]["diff_ids"][0], Digest::of(&image.first).to_string());
    assert_eq!(image.manifest["layers"][0]["mediaType"], "application/vnd.oci.image.layer.v1.tar+gzip");

    // A base like any other, but one that nobody can pull: a digest and no name.
    let notes = &image.manifest["annotations"];
    assert_eq!(notes["org.opencontainers.image.base.digest"], built.json["base"][0]);
    assert!(notes["org.opencontainers.image.base.name"].is_null());
    assert_eq!(notes["dev.floe.model.id"], built.model_id());
    let at = format!("oci:{}", p.path("out").display());
    let seen = succeeded(p.floe.command().args(["inspect", "--json", &at]));
    let seen: Value = serde_json::from_str(&seen).unwrap();
    assert_eq!(seen["base"]["digest"], built.json["base"][0]);
    assert_eq!(seen["base"]["layers"], 1);
}

/// The digest of the base is a function of the program and the platform, and of nothing else.
#[test]
fn the_base_is_the_same_for_every_model_and_compression() {
    let p = Place::new();
    let first = p.build(MODEL, &format!("{AMD} -o oci:~/first"));
    let (base, layer) = (&first.json["base"], &p.image("first", first.digest()).manifest["layers"][0]);
    for (i, (model, more)) in [
        (MODEL, ""),
        (MODEL, "--compression none"),
        (MODEL, "--compression zstd --jobs 1"),
        (MODEL, "--user 7 --workdir /w --env A=b --name other"),
        ("onnx/made_slices", ""),
    ]
    .iter()
    .enumerate()
    {
        let to = format!("again-{i}");
        let built = p.build(model, &format!("{AMD} {more} -o oci:~/{to}"));
        assert_eq!(&built.json["base"], base, "{more}");
        assert_eq!(&p.image(&to, built.digest()).manifest["layers"][0], layer, "{more}");
        if model == &MODEL && more.is_empty() {
            assert_eq!(built.digest(), first.digest());
        }
    }
    fs::write(p.path("amd64"), [elf::fixed(AMD64), b"x".to_vec()].concat()).unwrap();
    assert_ne!(&p.build(MODEL, &format!("{AMD} --dry-run=full")).json["base"], base);
}

#[test]
fn the_base_has_a_name_and_the_variable_names_programs_too() {
    let p = Place::new();
    let wanted = p.build(MODEL, &format!("{AMD} --dry-run=full"));
    for line in [format!("{AMD} --base floe"), format!("{AMD} --runtime onnx")] {
        assert_eq!(p.build(MODEL, &format!("{line} --dry-run=full")).digest(), wanted.digest());
    }
    let lines = ["amd64", "arm64"].map(|a| format!("linux/{a}={}", p.path(a).display())).join("\n");
    let mut command = p.command(MODEL, "--platform linux/amd64 --dry-run=full --json");
    assert_eq!(Built::of(&output(command.env("FLOE_BINARY", lines))).digest(), wanted.digest());
    // What stands in a definition counts like a flag.
    let model = p.path("model");
    fs::create_dir(&model).unwrap();
    fs::copy(example(MODEL).join("model.onnx"), model.join("model.onnx")).unwrap();
    for key in ["base: floe", "runtime: onnx", "runtime: floe", "description: none of both"] {
        let text = format!("kind: Model\nname: on_dev_scaler\npayload: [model.onnx]\n{key}\n");
        fs::write(model.join("serving.yaml"), text).unwrap();
        let built = p.build(model.to_str().unwrap(), &format!("{AMD} --dry-run=full"));
        assert_eq!(built.json["base"], wanted.json["base"], "{key}");
    }
}

#[test]
fn every_platform_gets_its_own_program() {
    let p = Place::new();
    let given = "--floe-binary linux/amd64=~/amd64 --floe-binary linux/arm64=~/arm64";
    let built = p.build(MODEL, &format!("--platform linux/arm64,linux/amd64 {given} -o oci:~/out"));
    assert_eq!(built.json["platforms"], json!(["linux/amd64", "linux/arm64"]));
    assert_ne!(built.json["base"][0], built.json["base"][1]);
    let index = walk::json(&walk::blob(&p.path("out"), built.digest()));
    for (entry, program) in index["manifests"].as_array().unwrap().iter().zip([AMD64, ARM64]) {
        let image = p.image("out", entry["digest"].as_str().unwrap());
        assert_eq!(entry["platform"]["architecture"], image.config["architecture"]);
        assert_eq!(only_file(&image.first).2, elf::fixed(program));
    }
    // All that there are programs for: this machine's is always among them.
    let all = p.build(MODEL, &format!("--platform all {given} --dry-run"));
    assert_eq!(all.json["platforms"], json!(["linux/amd64", "linux/arm64"]));
    // A variant is served by the program of its architecture.
    let variant = "--platform linux/amd64/v3 --floe-binary linux/amd64=~/amd64";
    assert_eq!(p.build(MODEL, &format!("{variant} --dry-run")).json["platforms"], json!(["linux/amd64/v3"]));
}

#[test]
fn a_program_that_could_not_start_is_refused() {
    let p = Place::new();
    for (file, why) in [
        (
            "linked",
            "linked` is linked against the system's libraries (its interpreter is `/lib64/ld-linux-x86-64.so.2`), so it cannot run on `scratch`",
        ),
        ("arm64", "is a program for linux/arm64, not for linux/amd64"),
        ("script", "is a script"),
        ("text", "is no ELF file"),
        ("cut", "is cut off"),
    ] {
        for mode in ["", "--dry-run"] {
            let (code, said) = p
                .refused(MODEL, &format!("--platform linux/amd64 --floe-binary linux/amd64=~/{file} {mode}"));
            assert_eq!(code, 3, "{said}");
            assert!(said.contains(why), "{said}");
            assert!(said.contains("`--floe-binary linux/amd64=PATH`"), "{said}");
        }
    }
    let (code, said) = p.refused(MODEL, "--platform linux/amd64 --floe-binary linux/amd64=~/nowhere");
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("nowhere"), "{said}");
}

#[test]
fn a_platform_without_a_program_says_what_to_give() {
    let p = Place::new();
    let (code, said) = p.refused(MODEL, "--platform linux/s390x");
    assert_eq!(code, 2);
    assert_eq!(
        said,
        "error: there is no program of floe for linux/s390x, which the base `floe` consists of\n\
         hint: give a floe that was built for it with `--floe-binary linux/s390x=PATH`, or pack the model \
         without a server with `--runtime data`\n"
    );
    for (line, why) in [
        ("--floe-binary amd64", "is no PLATFORM=PATH"),
        ("--floe-binary linux/amd64=", "is no PLATFORM=PATH"),
        ("--floe-binary amd64=~/amd64", "is not a platform"),
        ("--floe-binary linux/amd64=~/a --floe-binary linux/x86_64=~/b", "for the second time"),
        ("--platform windows/amd64 --floe-binary windows/amd64=~/amd64", "only for Linux"),
    ] {
        let (code, said) = p.refused(MODEL, line);
        assert_eq!(code, 2, "{said}");
        assert!(said.contains(why) && said.contains("\nhint: "), "{said}");
    }
}

#[test]
fn what_floe_cannot_serve_is_packed_without_it() {
    let p = Place::new();
    let built = p.build("tensorflow", &format!("{AMD} --model {} --dry-run", first_tensorflow()));
    assert_eq!(built.json["base"], json!([null]));
    let (code, said) =
        p.refused("tensorflow", &format!("{AMD} --model {} --runtime onnx", first_tensorflow()));
    assert_eq!(code, 3, "{said}");
    assert!(
        said.contains("the runtime `onnx` serves onnx, and the format of the model is tensorflow"),
        "{said}"
    );
}

/// One of the examples, as `--model` takes it.
fn first_tensorflow() -> String {
    let truth = |dir: &Path| dir.join("truth.json").is_file();
    let mut all: Vec<PathBuf> = fs::read_dir(example("tensorflow"))
        .unwrap()
        .map(|d| d.unwrap().path())
        .filter(|d| truth(d))
        .collect();
    all.sort();
    all[0].file_name().unwrap().to_str().unwrap().to_owned()
}

/// The server runs the graph as it is; a definition that is trusted against it would give an image
/// that refuses every request.
#[test]
fn a_contract_that_the_graph_cannot_keep_is_refused_even_when_trusted() {
    let p = Place::new();
    let model = p.path("model");
    fs::create_dir(&model).unwrap();
    fs::copy(example(MODEL).join("model.onnx"), model.join("model.onnx")).unwrap();
    let text = "kind: Model\nname: m\npayload: [model.onnx]\ncontract:\n  name: predict\n  inputs:\n    \
                other: {shape: [-1, 4], type: float32}\n  outputs:\n    variable: {shape: [-1, 4], type: float32}\n";
    fs::write(model.join("serving.yaml"), text).unwrap();
    let model = model.to_str().unwrap();
    for mode in ["", "--dry-run"] {
        let (code, said) = p.refused(model, &format!("{AMD} --trust-definition {mode}"));
        assert_eq!(code, 3, "{said}");
        assert!(said.contains("the runtime `onnx` serves the model as it is"), "{said}");
        assert!(said.contains("the definition says `other`"), "{said}");
    }
    // Any other base takes the author's word.
    p.build(model, "--trust-definition --runtime data --dry-run");
}

/// In the image nobody says which of several models is meant, and the server would not start.
#[test]
fn of_several_models_the_files_of_one_are_packed() {
    let p = Place::new();
    let model = p.path("several");
    fs::create_dir(&model).unwrap();
    for name in ["a.onnx", "b.onnx"] {
        fs::copy(example(MODEL).join("model.onnx"), model.join(name)).unwrap();
    }
    let model = model.to_str().unwrap();
    let (code, said) = p.refused(model, &format!("{AMD} --model b.onnx"));
    assert_eq!(code, 3, "{said}");
    assert!(said.contains("beside `b.onnx` there are other models"), "{said}");
    p.build(model, &format!("{AMD} --model b.onnx --payload b.onnx --dry-run"));
    p.build(model, "--model b.onnx --runtime data --dry-run");
}

#[test]
fn c33_peers_read_an_image_over_floe() {
    let p = Place::new();
    let built = p.build(MODEL, &format!("{AMD} --name m -o oci:~/out -o docker-archive:~/m.tar"));
    let at = format!("{}:{}", p.path("out").display(), built.version());
    let seen: Value = serde_json::from_str(&skopeo(&["inspect", &format!("oci:{at}")])).unwrap();
    assert_eq!(seen["Digest"], built.digest());
    assert_eq!(seen["Layers"].as_array().unwrap().len(), 1 + built.layers("digest").len());
    let copy = format!("oci:{}:it", p.path("copy").display());
    skopeo(&["copy", "-q", "--preserve-digests", &format!("oci:{at}"), &copy]);

    let bundle = p.path("bundle");
    run("umoci", &["unpack", "--rootless", "--image", &at, bundle.to_str().unwrap()]);
    let program = bundle.join("rootfs/floe");
    assert_eq!(fs::read(&program).unwrap(), elf::fixed(AMD64));
    assert_eq!(program.metadata().unwrap().permissions().mode() & 0o7777, 0o755);
    assert!(bundle.join("rootfs/model/files/model.onnx").is_file());
    assert!(bundle.join("rootfs/model/contract.json").is_file());

    let podman = |arguments: &[&str]| {
        let mut command = Command::new("podman");
        command.current_dir(p.dir.path()).args(["--root", "root", "--runroot", "state"]);
        succeeded(command.args(["--storage-driver", "vfs"]).args(arguments))
    };
    podman(&["load", "-i", "m.tar"]);
    let name = format!("docker.io/library/m:{}", built.version());
    let seen: Value = serde_json::from_str(&podman(&["image", "inspect", &name])).unwrap();
    let seen = &seen[0];
    assert_eq!((&seen["User"], &seen["Architecture"]), (&json!("65532"), &json!("amd64")));
    assert_eq!(seen["Config"]["Entrypoint"], json!(["/floe", "serve"]));
    assert_eq!(seen["Config"]["ExposedPorts"], json!({"8080/tcp": {}, "8081/tcp": {}}));
}

/// The program under test as its own base: static, whole, and it starts where nothing else is.
#[test]
fn c58_the_real_program_runs_over_nothing() {
    let p = Place::new();
    let built = p.build(MODEL, "-o oci:~/out");
    assert_eq!(built.json["platforms"], json!([elf::host().0]));
    let (_, _, content) = only_file(&p.image("out", built.digest()).first);
    assert!(content == fs::read(env!("CARGO_BIN_EXE_floe")).unwrap());
    let interpreter = elf::interpreter(&content).map(String::from_utf8_lossy);
    assert_eq!(interpreter, None, "floe is linked dynamically: was it built with RUSTFLAGS set?");

    let root = p.path("root");
    fs::create_dir(&root).unwrap();
    fs::write(root.join("floe"), content).unwrap();
    fs::set_permissions(root.join("floe"), fs::Permissions::from_mode(0o755)).unwrap();
    let mut alone = Command::new("bwrap");
    alone.args(["--unshare-user", "--uid", "65532", "--gid", "0", "--clearenv", "--chdir", "/", "--ro-bind"]);
    let said = succeeded(alone.arg(&root).args(["/", "/floe", "--version"]));
    assert!(said.starts_with("floe "), "{said}");
}
