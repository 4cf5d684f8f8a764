//! `floe verify`: every broken blob is named, every claim is held against what is there.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::support::debian::DebianRegistry;
use crate::support::models;
use crate::support::program::{Built, Floe, output, said};
use crate::support::registry::{Switch, TestRegistry};
use crate::support::walk;
use floe::oci::Digest;

/// A model in a layout of its own.
struct Case {
    dir: tempfile::TempDir,
    floe: Floe,
    layout: PathBuf,
    built: Built,
}

impl Case {
    fn new(arguments: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let floe = Floe::new(dir.path());
        let model = dir.path().join("model");
        models::grouped(&model);
        let layout = dir.path().join("layout");
        let to = format!("oci:{}", layout.display());
        let built = floe.build(&model, &[&["--name", "churn", "-o", &to], arguments].concat());
        Self { dir, floe, layout, built }
    }

    fn blob(&self, digest: &str) -> PathBuf {
        self.layout.join("blobs").join(digest.replace(':', "/"))
    }

    fn json(&self, digest: &str) -> Value {
        walk::json(&self.blob(digest))
    }

    /// Exit code and answer of `floe verify` of the layout.
    fn verify(&self) -> (i32, Value) {
        verify(&self.floe, &[&format!("oci:{}", self.layout.display())])
    }

    /// Writes a blob, and gives a descriptor with its digest and size.
    fn write(&self, like: &Value, bytes: &[u8]) -> Value {
        let digest = Digest::of(bytes).to_string();
        fs::write(self.blob(&digest), bytes).unwrap();
        let mut descriptor = like.clone();
        descriptor["digest"] = json!(digest);
        descriptor["size"] = json!(bytes.len());
        descriptor
    }

    /// Lets the layout's only entry be another manifest, under a tag that makes no claim.
    fn manifest(&self, manifest: &Value) {
        let mut index = walk::json(&self.layout.join("index.json"));
        let mut entry = self.write(&index["manifests"][0], &serde_json::to_vec(manifest).unwrap());
        entry["annotations"] = json!({"org.opencontainers.image.ref.name": "forged"});
        index["manifests"] = json!([entry]);
        fs::write(self.layout.join("index.json"), serde_json::to_vec(&index).unwrap()).unwrap();
    }

    /// The manifest, changed.
    fn forge(&self, change: impl FnOnce(&mut Value)) {
        let mut manifest = self.json(self.built.digest());
        change(&mut manifest);
        self.manifest(&manifest);
    }

    /// The configuration, changed.
    fn configure(&self, change: impl FnOnce(&mut Value)) {
        self.forge(|manifest| {
            let mut config = self.json(manifest["config"]["digest"].as_str().unwrap());
            change(&mut config);
            manifest["config"] = self.write(&manifest["config"], &serde_json::to_vec(&config).unwrap());
        });
    }

    /// One layer with other bytes, its diff id told truly, so that only what is in it is at fault.
    fn layer(&self, at: usize, tar: &[u8]) {
        self.forge(|manifest| {
            let mut config = self.json(manifest["config"]["digest"].as_str().unwrap());
            config["rootfs"]["diff_ids"][at] = json!(Digest::of(tar).to_string());
            manifest["config"] = self.write(&manifest["config"], &serde_json::to_vec(&config).unwrap());
            let mut like = manifest["layers"][at].clone();
            like["mediaType"] = json!("application/vnd.oci.image.layer.v1.tar");
            manifest["layers"][at] = self.write(&like, tar);
        });
    }
}

fn verify(floe: &Floe, arguments: &[&str]) -> (i32, Value) {
    let out = output(floe.command().arg("verify").arg("--json").args(arguments));
    let value = serde_json::from_slice(&out.stdout).unwrap_or_else(|e| panic!("{e}: {}", said(&out)));
    (out.status.code().unwrap(), value)
}

/// The codes of all problems.
fn codes(report: &Value) -> Vec<&str> {
    let mut codes: Vec<&str> =
        report["problems"].as_array().unwrap().iter().map(|p| p["code"].as_str().unwrap()).collect();
    codes.dedup();
    codes
}

#[test]
fn what_was_built_is_whole_wherever_it_lies() {
    let case = Case::new(&["--compression", "gzip"]);
    let (registry, file) = (DebianRegistry::start(), case.dir.path().join("churn.tar"));
    let places = [format!("docker://{}/churn", registry.host()), format!("oci-archive:{}", file.display())];
    let model = case.dir.path().join("model");
    case.floe
        .build(&model, &["--name", "churn", "--compression", "gzip", "-o", &places[0], "-o", &places[1]]);
    case.floe.build(&model, &["--name", "churn", "--compression", "gzip"]);
    let layout = format!("oci:{}", case.layout.display());
    for place in [layout.as_str(), "churn", "churn:1", &places[0], &places[1]] {
        let (code, report) = verify(&case.floe, &[place]);
        assert_eq!((code, &report["ok"]), (0, &json!(true)), "{place}: {report}");
        assert_eq!(report["digest"], case.built.digest(), "{place}");
        // Manifest; configuration, two groups of files, the contract. Beside them facts and publish record,
        // each with its content, and the empty configuration that both have.
        let attached = !place.starts_with("oci");
        let counts = if attached { [2, 3, 7] } else { [0, 1, 4] };
        let found = ["referrers", "documents", "blobs"].map(|key| report[key].as_u64().unwrap());
        assert_eq!(found, counts, "{place}: {report}");
        assert_eq!(report["notes"], json!([]), "{place}");
    }
}

#[test]
fn an_index_is_verified_with_all_its_platforms() {
    let case = Case::new(&["--base", "scratch", "--platform", "linux/amd64,linux/arm64"]);
    let (code, report) = case.verify();
    assert_eq!(code, 0, "{report}");
    assert_eq!((&report["documents"], &report["blobs"]), (&json!(3), &json!(5)));
    // Platforms that are exchanged are told for both images.
    let mut index = case.json(case.built.digest());
    let (a, b) = (index["manifests"][0]["platform"].clone(), index["manifests"][1]["platform"].clone());
    (index["manifests"][0]["platform"], index["manifests"][1]["platform"]) = (b, a);
    case.manifest(&index);
    let (code, report) = case.verify();
    assert_eq!((code, codes(&report)), (5, vec!["platform"]), "{report}");
    assert_eq!(report["problems"].as_array().unwrap().len(), 2);
}

#[test]
fn each_broken_blob_is_named() {
    for codec in ["none", "gzip", "zstd"] {
        let case = Case::new(&["--compression", codec]);
        let folder = case.layout.join("blobs/sha256");
        let names: Vec<String> =
            fs::read_dir(&folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        assert_eq!(names.len(), 5);
        for name in &names {
            let (path, digest) = (folder.join(name), format!("sha256:{name}"));
            let whole = fs::read(&path).unwrap();
            let at = whole.len() / 2;
            for (how, bytes) in [
                ("a flipped bit", [&whole[..at], &[whole[at] ^ 4], &whole[at + 1..]].concat()),
                ("cut short", whole[..at].to_vec()),
                ("with more behind it", [&whole[..], b"more"].concat()),
                ("empty", Vec::new()),
            ] {
                fs::write(&path, bytes).unwrap();
                let out =
                    output(case.floe.command().args(["verify", &format!("oci:{}", case.layout.display())]));
                assert_eq!(out.status.code(), Some(5), "{codec}, {how}: {}", said(&out));
                assert!(said(&out).contains(&digest), "{codec}, {how}, {digest}: {}", said(&out));
            }
            fs::remove_file(&path).unwrap();
            let out = output(case.floe.command().args(["verify", &format!("oci:{}", case.layout.display())]));
            assert_eq!(out.status.code(), Some(5), "{codec}, not there: {}", said(&out));
            assert!(said(&out).contains(&digest), "{codec}, not there, {digest}: {}", said(&out));
            fs::write(&path, whole).unwrap();
        }
        assert_eq!(case.verify().0, 0, "{codec}: the layout is whole again");
        // Two at once are two problems.
        for name in &names[..2] {
            fs::write(folder.join(name), b"x").unwrap();
        }
        let (code, report) = case.verify();
        assert_eq!(code, 5);
        if !names[..2].iter().any(|n| case.built.digest().ends_with(n.as_str())) {
            for name in &names[..2] {
                assert!(report["problems"].to_string().contains(name.as_str()), "{report}");
            }
        }
    }
}

#[test]
fn claims_that_are_not_true_are_told() {
    let case = Case::new(&["--compression", "none"]);
    let expect = |code: &str, message: &str| {
        let (exit, report) = case.verify();
        assert_eq!(exit, 5, "{code}: {report}");
        let found = report["problems"].as_array().unwrap().iter().find(|p| p["code"] == code);
        let found = found.unwrap_or_else(|| panic!("no `{code}` in {report}"));
        assert!(found["message"].as_str().unwrap().contains(message), "{message}: {found}");
    };
    case.configure(|c| c["config"]["Labels"]["MODEL_NAME"] = json!("other"));
    expect("model-id", "expected `churn`, found `other`");
    case.configure(|c| c["config"]["Labels"]["MODEL_VERSION"] = json!("0000000000000000"));
    expect("model-id", "label with the model's version");
    case.forge(|m| m["annotations"]["dev.floe.model.id"] = json!(Digest::of(b"").to_string()));
    expect("model-id", "the model id");
    case.forge(|m| m["annotations"]["dev.floe.contract"] = json!("{\"floe\":1,\"signatures\":[]}"));
    expect("contract", "in the annotation is another one");
    case.forge(|m| m["annotations"]["dev.floe.contract.digest"] = json!(Digest::of(b"").to_string()));
    expect("contract", "the annotation names");
    case.configure(|c| {
        let ids = c["rootfs"]["diff_ids"].as_array_mut().unwrap();
        ids.swap(0, 1);
    });
    expect("diff-id", "expected a tar with the diff id");
    case.configure(|c| drop(c["rootfs"]["diff_ids"].as_array_mut().unwrap().pop()));
    expect("diff-id", "has 3 layers, its configuration 2 diff ids");
    case.configure(|c| c["history"].as_array_mut().unwrap().push(json!({"created_by": "more"})));
    expect("history", "tells of 4 layers, the image has 3");
    case.forge(|m| m["layers"][0]["mediaType"] = json!("text/plain"));
    expect("media-type", "is no layer of an image");
    case.forge(|m| m["layers"][0]["mediaType"] = json!("application/vnd.oci.image.layer.v1.tar+gzip"));
    expect("document", "");
    case.forge(|m| m["layers"][0]["size"] = json!(12));
    expect("digest", "12");
    case.forge(|m| m["mediaType"] = json!("application/vnd.docker.distribution.manifest.v2+json"));
    expect("media-type", "as it says itself");
    case.forge(|m| drop(m["layers"].as_array_mut().unwrap().pop()));
    expect("contract", "the image has none");
    // A name that promises another digest.
    let mut index = walk::json(&case.layout.join("index.json"));
    index["manifests"][0]["annotations"] = json!({"org.opencontainers.image.ref.name": "v1-0123456789abcdef", "dev.floe.version": "v1-0123456789abcdef"});
    fs::write(case.layout.join("index.json"), serde_json::to_vec(&index).unwrap()).unwrap();
    let out = output(
        case.floe.command().args(["verify", &format!("oci:{}:v1-0123456789abcdef", case.layout.display())]),
    );
    assert_eq!(out.status.code(), Some(5), "{}", said(&out));
    assert!(said(&out).contains("which is another content"), "{}", said(&out));
}

/// The tar of the contract's layer, with another file in place of one of the two.
fn with_other(tar: &[u8], name: &str, other: Option<&[u8]>) -> Vec<u8> {
    let mut out = tar::Builder::new(Vec::new());
    for entry in tar::Archive::new(tar).entries().unwrap() {
        let mut entry = entry.unwrap();
        let mut content = Vec::new();
        std::io::Read::read_to_end(&mut entry, &mut content).unwrap();
        let mut header = entry.header().clone();
        if entry.path_bytes().ends_with(name.as_bytes()) {
            let Some(other) = other else { continue };
            content = other.to_vec();
            header.set_size(content.len() as u64);
            header.set_cksum();
        }
        out.append(&header, &content[..]).unwrap();
    }
    out.into_inner().unwrap()
}

#[test]
fn both_encodings_of_the_contract_are_held_against_each_other() {
    use floe::model::contract::protobin::{self, Generation};
    let case = Case::new(&["--compression", "none"]);
    let at = case.built.layers("digest").len() - 1;
    let whole = fs::read(case.blob(case.built.layers("digest")[at])).unwrap();
    let shown =
        output(case.floe.command().args(["inspect", "--json", &format!("oci:{}", case.layout.display())]));
    let shown: Value = serde_json::from_slice(&shown.stdout).unwrap();
    let shown = shown["contract"]["signatures"].clone();
    let mut signatures: Vec<floe::model::contract::Signature> = serde_json::from_value(shown).unwrap();
    let contract = |report: &Value| -> Vec<String> {
        let all = report["problems"].as_array().unwrap().iter().filter(|p| p["code"] == "contract");
        all.map(|p| p["message"].as_str().unwrap().to_owned()).collect()
    };
    // The same contract in either generation is the same contract.
    for generation in [Generation::Two, Generation::Three] {
        let same = protobin::write(&signatures[0], generation, "churn").unwrap();
        case.layer(at, &with_other(&whole, "contract.protobin", Some(&same)));
        assert_eq!(contract(&case.verify().1), [""; 0], "{generation:?}");
    }
    case.layer(at, &with_other(&whole, "contract.protobin", None));
    assert_eq!(contract(&case.verify().1), [""; 0], "a runtime need not have it");
    // Another contract, no contract, and one that stands alone.
    signatures[0].inputs[0].shape = Some(vec![Some(1), Some(2), Some(3)]);
    let other = protobin::write(&signatures[0], Generation::Three, "").unwrap();
    for (file, content, told) in [
        (
            "contract.protobin",
            Some(&other[..]),
            "`contract.protobin` has another contract than `contract.json`",
        ),
        ("contract.protobin", Some(b"nonsense"), "`contract.protobin` cannot be read"),
        ("contract.json", None, "has a `contract.protobin`, and no `contract.json`"),
    ] {
        case.layer(at, &with_other(&whole, file, content));
        let (code, report) = case.verify();
        assert_eq!(code, 5, "{report}");
        assert!(contract(&report).iter().any(|m| m.contains(told)), "{told}: {report}");
    }
}

/// A place with an image to which two artifacts are attached, the second to the first.
struct Attached {
    case: Case,
    reference: String,
    /// Manifests of the two, and the blob that is the first one's content.
    digests: [String; 3],
}

impl Attached {
    fn to(reference: &str) -> Self {
        let case = Case::new(&[]);
        let model = case.dir.path().join("model");
        case.floe.build(&model, &["--name", "churn", "--no-record", "-o", reference]);
        let attach = |to: &str, text: &str| -> String {
            let file = case.dir.path().join("report.json");
            fs::write(&file, text).unwrap();
            let file = file.display().to_string();
            let words = ["attach", to, &file, "--artifact-type", "example/report", "--json"];
            let out = output(case.floe.command().args(words));
            assert!(out.status.success(), "{}", said(&out));
            let told: Value = serde_json::from_slice(&out.stdout).unwrap();
            told["digest"].as_str().unwrap().to_owned()
        };
        let first = attach(reference, "{\"a\":1}");
        let second = attach(&format!("{reference}@{first}"), "{\"of\":\"the first\"}");
        let content = Digest::of(b"{\"a\":1}").to_string();
        Self { digests: [first, second, content], reference: reference.to_owned(), case }
    }

    fn verify(&self) -> (i32, Value) {
        verify(&self.case.floe, &[&self.reference])
    }

    /// Facts, the report, and the report on the report.
    fn whole(&self) {
        let (code, report) = self.verify();
        assert_eq!((code, &report["referrers"]), (0, &json!(3)), "{report}");
        assert_eq!(report["notes"], json!([]), "{report}");
    }

    fn names(&self, digest: &str) {
        let (code, report) = self.verify();
        assert_eq!(code, 5, "{report}");
        let subjects: Vec<&str> =
            report["problems"].as_array().unwrap().iter().map(|p| p["subject"].as_str().unwrap()).collect();
        assert_eq!(subjects, [digest], "{report}");
        let out = output(self.case.floe.command().args(["verify", &self.reference]));
        assert!(said(&out).contains(digest) && out.status.code() == Some(5), "{}", said(&out));
    }
}

#[test]
fn what_is_attached_is_read_again_and_named_when_it_is_broken() {
    for api in [None, Some(Switch::Referrers { page: 1 })] {
        let registry = TestRegistry::start();
        api.into_iter().for_each(|switch| registry.set(switch));
        let attached = Attached::to(&format!("docker://{}/team/churn", registry.addr()));
        attached.whole();
        for digest in &attached.digests {
            registry.damage("team/churn", digest);
            attached.names(digest);
            // Flipped once more it is whole again.
            registry.damage("team/churn", digest);
        }
        attached.whole();
        let content = attached.digests[2].parse().unwrap();
        registry.lose_blob("team/churn", &content);
        attached.names(&attached.digests[2]);
    }
}

#[test]
fn what_is_attached_in_a_real_registry_and_in_the_local_store_is_read_again() {
    let registry = DebianRegistry::start();
    Attached::to(&format!("docker://{}/team/churn", registry.host())).whole();
    let attached = Attached::to("churn");
    attached.whole();
    for digest in &attached.digests {
        let path = attached.case.floe.store().join("blobs").join(digest.replace(':', "/"));
        let bytes = fs::read(&path).unwrap();
        fs::write(&path, b"short").unwrap();
        attached.names(digest);
        fs::remove_file(&path).unwrap();
        attached.names(digest);
        fs::write(&path, bytes).unwrap();
    }
    attached.whole();
}

#[test]
fn a_list_of_what_is_attached_is_held_against_what_it_names() {
    let registry = TestRegistry::start();
    let attached = Attached::to(&format!("docker://{}/team/churn", registry.addr()));
    let tag = format!("sha256-{}", attached.case.built.digest().trim_start_matches("sha256:"));
    // The report on the report is listed for the image.
    let size = |digest: &str| registry.manifest("team/churn", digest).unwrap().len();
    let kind = "application/vnd.oci.image.manifest.v1+json";
    let entry =
        |d: &str| json!({"mediaType": kind, "digest": d, "size": size(d), "artifactType": "example/report"});
    let list = json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [entry(&attached.digests[1])],
    });
    registry.add_tag(
        "team/churn",
        &tag,
        "application/vnd.oci.image.index.v1+json",
        list.to_string().as_bytes(),
    );
    let (code, report) = attached.verify();
    assert_eq!((code, codes(&report)), (5, vec!["referrer"]), "{report}");
    assert_eq!(report["problems"][0]["subject"], attached.digests[1].as_str());
    // What is no list is somebody else's, and no fault of the image.
    registry.add_tag(
        "team/churn",
        &tag,
        kind,
        &registry.manifest("team/churn", &attached.digests[0]).unwrap(),
    );
    let (code, report) = attached.verify();
    assert_eq!(code, 0, "{report}");
    assert!(report["notes"][0].as_str().unwrap().contains("is not a list of referrers"), "{report}");
}

/// A tar with entries of any kind and path, which no writer of tars would make.
fn tar(entries: &[(&str, u8, &str)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (path, kind, link) in entries {
        let mut header = tar::Header::new_ustar();
        header.as_mut_bytes()[..path.len()].copy_from_slice(path.as_bytes());
        header.as_mut_bytes()[157..157 + link.len()].copy_from_slice(link.as_bytes());
        header.set_entry_type(tar::EntryType::new(*kind));
        header.set_mode(0o644);
        header.set_size(0);
        header.set_cksum();
        out.extend_from_slice(header.as_bytes());
    }
    out.extend_from_slice(&[0; 1024]);
    out
}

#[test]
fn paths_that_no_layer_may_have_are_told() {
    let case = Case::new(&["--compression", "none"]);
    for (entries, message) in [
        (&[("../etc/passwd", b'0', "")][..], "leads out of the image"),
        (&[("/etc/passwd", b'0', "")], "leads out of the image"),
        (&[("model/../../x", b'0', "")], "leads out of the image"),
        (&[("model/a", b'1', "../../etc/passwd")], "hard link that leads out"),
        (&[("model/a", b'0', ""), ("./model/a", b'0', "")], "`model/a` is there twice"),
        (&[("model", b'5', ""), ("model/", b'5', "")], "`model` is there twice"),
        (&[("model/dev", b'3', "")], "neither a file nor a folder nor a link"),
        (&[("model/fifo", b'6', "")], "neither a file nor a folder nor a link"),
    ] {
        case.layer(0, &tar(entries));
        let (code, report) = case.verify();
        assert_eq!(code, 5, "{message}: {report}");
        let told = report["problems"].as_array().unwrap().iter().find(|p| p["code"] == "path");
        let told = told.unwrap_or_else(|| panic!("{message}: {report}"));
        assert!(told["message"].as_str().unwrap().contains(message), "{told}");
    }
    let many: Vec<(String, u8, &str)> = (0..100).map(|i| (format!("../{i}"), b'0', "")).collect();
    let many: Vec<(&str, u8, &str)> = many.iter().map(|(p, k, l)| (p.as_str(), *k, *l)).collect();
    case.layer(0, &tar(&many));
    let (_, report) = case.verify();
    assert!(report["problems"].to_string().contains("80 more paths are wrong"), "{report}");
    for nonsense in [&b"not a tar"[..], &[7; 5000], b""] {
        case.layer(0, nonsense);
        let (code, report) = case.verify();
        assert_eq!(code, 5, "{report}");
    }
}

/// Lays the layers of an image out as a container sees them.
fn unpack(case: &Case, to: &Path) {
    let manifest = case.json(case.built.digest());
    for layer in manifest["layers"].as_array().unwrap() {
        let bytes = fs::read(case.blob(layer["digest"].as_str().unwrap())).unwrap();
        tar::Archive::new(&bytes[..]).unpack(to).unwrap();
    }
}

#[test]
fn the_files_of_a_container_are_packed_again() {
    let case = Case::new(&["--compression", "none"]);
    let root = case.dir.path().join("rootfs");
    unpack(&case, &root);
    let (model, reference) = (root.join("model"), format!("oci:{}", case.layout.display()));
    let folder = model.display().to_string();
    let by_image = || verify(&case.floe, &[&reference, "--root", &folder]);
    let id = case.built.model_id();
    let by_id = || verify(&case.floe, &["--root", &folder, "--name", "churn", "--model-id", id]);
    for (code, report) in [by_image(), by_id()] {
        assert_eq!((code, &report["ok"]), (0, &json!(true)), "{report}");
        assert_eq!(report["layers"].as_array().unwrap().len(), 3);
    }
    let file = model.join("files/medium-a.bin");
    let whole = fs::read(&file).unwrap();
    fs::write(&file, [&whole[..9], &[whole[9] ^ 1], &whole[10..]].concat()).unwrap();
    for (code, report) in [by_image(), by_id()] {
        assert_eq!(code, 5, "{report}");
    }
    // The layer of files of a MiB and more, and what should be there instead.
    assert_eq!(by_image().1["problems"].as_array().unwrap().len(), 2);
    fs::write(&file, whole).unwrap();
    assert_eq!(by_image().0, 0);
    fs::write(model.join("files/new.txt"), "new").unwrap();
    assert_eq!(by_image().0, 5, "a file more");
    fs::remove_file(model.join("files/new.txt")).unwrap();
    fs::write(model.join("contract.json"), "{}").unwrap();
    assert_eq!(by_id().0, 5, "another contract");

    let out = output(case.floe.command().args(["verify", "--root", &folder]));
    assert_eq!(out.status.code(), Some(2), "{}", said(&out));
    assert!(said(&out).contains("nothing to compare"), "{}", said(&out));
    let out = output(case.floe.command().args(["verify", &reference, "--root", "nowhere"]));
    assert_eq!(out.status.code(), Some(3), "{}", said(&out));
}
