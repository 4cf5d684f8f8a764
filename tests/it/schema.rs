//! Every document that floe writes holds against the JSON schemas of the image specification, and
//! so do those that it only passes on. The schemas are in `testdata/schema`.

use std::fs;
use std::path::{Path, PathBuf};

use boon::{Compiler, SchemaIndex, Schemas, UrlLoader};
use serde_json::{Value, json};

use crate::support::debian::DebianRegistry;
use crate::support::program::{Built, Floe};
use crate::support::{bases, models, walk};

fn schema(file: &str) -> Value {
    walk::json(&Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/schema").join(file))
}

/// Where the schemas are, for a compiler that thinks in URLs. They name each other by file, relative to ids that
/// change from place to place in them.
const PLACE: &str = "https://opencontainers.example/schema/";

struct Files;

impl UrlLoader for Files {
    fn load(&self, url: &str) -> Result<Value, Box<dyn std::error::Error>> {
        Ok(schema(url.rsplit('/').next().unwrap_or(url)))
    }
}

struct Validator {
    schemas: Schemas,
    root: SchemaIndex,
}

fn validator(file: &str) -> Validator {
    let (mut schemas, mut compiler) = (Schemas::new(), Compiler::new());
    compiler.use_loader(Box::new(Files));
    compiler.enable_format_assertions();
    let at = format!("{PLACE}{file}");
    compiler.add_resource(&at, schema(file)).unwrap();
    let root = compiler.compile(&at, &mut schemas).unwrap_or_else(|e| panic!("{file}: {e:#}"));
    Validator { schemas, root }
}

impl Validator {
    /// What is wrong with a document; nothing where it is valid.
    fn errors(&self, document: &Value) -> String {
        self.schemas.validate(document, self.root).err().map(|e| format!("{e:#}")).unwrap_or_default()
    }
}

fn schema_of(kind: &str) -> &'static str {
    match kind {
        "application/vnd.oci.image.manifest.v1+json" => "image-manifest-schema.json",
        "application/vnd.oci.image.index.v1+json" => "image-index-schema.json",
        "application/vnd.oci.image.config.v1+json" => "config-schema.json",
        other => panic!("floe wrote a document of the type {other}"),
    }
}

fn holds(file: &str, document: &Value) {
    let errors = validator(file).errors(document);
    assert!(errors.is_empty(), "{file}: {errors}\n{document:#}");
}

/// A layout and all in it; the media types of the documents, sorted.
fn layout_holds(folder: &Path) -> Vec<String> {
    holds("image-layout-schema.json", &walk::json(&folder.join("oci-layout")));
    holds("image-index-schema.json", &walk::json(&folder.join("index.json")));
    let mut kinds = Vec::new();
    for (kind, document) in walk::layout(folder).documents {
        // What is attached is of no type of the specification, but in its manifest.
        if matches!(
            kind.as_str(),
            "application/vnd.floe.facts.v1+json"
                | "application/vnd.floe.record.v1+json"
                | "application/vnd.oci.empty.v1+json"
        ) {
            continue;
        }
        holds(schema_of(&kind), &document);
        // A descriptor by itself has a schema of its own.
        for key in ["config", "layers", "manifests"] {
            let several = document[key].as_array().cloned();
            let one = document[key]["digest"].is_string().then(|| vec![document[key].clone()]);
            for descriptor in several.or(one).unwrap_or_default() {
                holds("content-descriptor.json", &descriptor);
            }
        }
        kinds.push(kind.rsplit('.').nth(1).unwrap().to_owned());
    }
    kinds.sort();
    kinds
}

/// An archive holds a layout: the same after unpacking.
fn archive_holds(file: &Path) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    tar::Archive::new(fs::File::open(file).unwrap()).unpack(folder.path()).unwrap();
    layout_holds(folder.path())
}

struct Case {
    folder: tempfile::TempDir,
    built: Built,
}

impl Case {
    /// Builds a model that uses every key of the plan, over a base.
    fn new(base: impl FnOnce(&Path) -> String, arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let model = folder.path().join("model");
        models::grouped(&model);
        let base = base(&folder.path().join("base"));
        let more = [
            ["--name", "team/m", "--base", &base, "--user", "1000:1000", "--workdir", "/model"],
            ["--env", "A=größe", "--label", "k=v", "--annotation", "org.example.a=b", "--metadata", "x=y"],
        ];
        let built = Floe::new(folder.path()).build(&model, &[&more.concat(), arguments].concat());
        Self { folder, built }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

/// Into a layout, both kinds of archive and the local store.
fn one_platform_holds(base: impl FnOnce(&Path) -> String) {
    let out = tempfile::tempdir().unwrap();
    let at = |kind: &str, name: &str| format!("{kind}:{}", out.path().join(name).display());
    let outputs = [at("oci", "layout"), at("oci-archive", "o.tar"), at("docker-archive", "d.tar")];
    let mut arguments: Vec<&str> = outputs.iter().flat_map(|o| ["-o", o]).collect();
    arguments.extend(["-o", "team/m", "--alias", "prod", "--number-tag"]);
    let case = Case::new(base, &arguments);
    assert_eq!(layout_holds(&out.path().join("layout")), ["config", "manifest"]);
    // With the facts and the publish record that are attached there.
    assert_eq!(
        layout_holds(&case.path("home/store")),
        ["config", "index", "manifest", "manifest", "manifest"]
    );
    for file in ["o.tar", "d.tar"] {
        assert_eq!(archive_holds(&out.path().join(file)), ["config", "manifest"]);
    }
}

#[test]
fn an_image_over_nothing_holds() {
    one_platform_holds(|_| "scratch".to_owned());
}

#[test]
fn an_image_over_floe_itself_holds() {
    one_platform_holds(|_| "floe".to_owned());
}

#[test]
fn an_image_over_an_oci_base_holds() {
    one_platform_holds(bases::plain);
}

#[test]
fn an_image_over_a_docker_base_holds() {
    one_platform_holds(bases::docker);
}

#[test]
fn an_index_over_several_platforms_holds() {
    let registry = DebianRegistry::start();
    let out = tempfile::tempdir().unwrap();
    let file = out.path().join("o.tar");
    let to = format!("docker://{}/team/m", registry.host());
    let archive = format!("oci-archive:{}", file.display());
    let case = Case::new(bases::several, &["--platform", "all", "-o", "team/m", "-o", &archive, "-o", &to]);
    let kinds = ["config", "config", "index", "manifest", "manifest"];
    assert_eq!(archive_holds(&file), kinds);
    // With the facts and the publish record that are attached there.
    let with_facts = ["config", "config", "index", "index", "manifest", "manifest", "manifest", "manifest"];
    assert_eq!(layout_holds(&case.path("home/store")), with_facts);
    // What the registry gives out is what was checked, byte for byte.
    let store = walk::layout(&case.path("home/store"));
    for digest in &store.named {
        let bytes = fs::read(walk::blob(&case.path("home/store"), digest)).unwrap();
        let document = bytes.starts_with(b"{\"") && bytes.windows(13).any(|w| w == b"schemaVersion");
        let kind = if document { "manifests" } else { "blobs" };
        let (status, body) = registry.get(&format!("/v2/team/m/{kind}/{digest}")).unwrap();
        assert_eq!((status, body), (200, bytes), "{kind}/{digest}");
    }
    assert_eq!(store.names[0].1, case.built.digest());
}

/// Schemas that accept everything would hold too.
#[test]
fn broken_documents_do_not_hold() {
    let case = Case::new(bases::several, &["--platform", "all", "-o", "team/m"]);
    let store = walk::layout(&case.path("home/store"));
    let of = |name: &str| {
        let kind = format!("application/vnd.oci.image.{name}.v1+json");
        store.documents.iter().find(|(k, _)| *k == kind).unwrap().1.clone()
    };
    let wrong = |file: &str, good: &Value, at: &str, value: Value| {
        holds(file, good);
        let mut bad = good.clone();
        *bad.pointer_mut(at).unwrap_or_else(|| panic!("no {at} in {good:#}")) = value;
        assert!(!validator(file).errors(&bad).is_empty(), "{file} takes {bad:#}");
    };
    let (manifest, index, config) = (of("manifest"), of("index"), of("config"));
    for (at, value) in [
        ("/schemaVersion", json!(1)),
        ("/config/digest", json!("sha256 without a colon")),
        ("/config/size", json!("7")),
        ("/layers/0/mediaType", json!("tar")),
        ("/layers/0/size", json!(-1)),
        ("/layers/0", json!({"digest": "sha256:00"})),
        ("/layers", json!([])),
        ("/annotations/org.example.a", json!(1)),
    ] {
        let mut good = manifest.clone();
        good["annotations"]["org.example.a"] = json!("b");
        wrong("image-manifest-schema.json", &good, at, value);
    }
    for (at, value) in [
        ("/manifests/0/platform", json!({"os": "linux"})),
        ("/manifests/0/digest", json!(null)),
        ("/manifests", json!({})),
        ("/mediaType", json!("/")),
    ] {
        wrong("image-index-schema.json", &index, at, value);
    }
    for (at, value) in [
        ("/created", json!("yesterday")),
        ("/rootfs/type", json!("tar")),
        ("/rootfs/diff_ids", json!("sha256:00")),
        ("/config/Labels", json!({"MODEL_NAME": 7})),
        ("/config/Env", json!({"A": "b"})),
        ("/history/0/empty_layer", json!("no")),
        ("/architecture", json!(64)),
    ] {
        let mut good = config.clone();
        good["history"][0]["empty_layer"] = json!(false);
        wrong("config-schema.json", &good, at, value);
    }
    wrong(
        "image-layout-schema.json",
        &json!({"imageLayoutVersion": "1.0.0"}),
        "/imageLayoutVersion",
        json!("2.0.0"),
    );
}
