//! Base, plan and layers become a manifest and a configuration.

use std::collections::BTreeMap;

use oci_spec::image::{ImageIndexBuilder, ImageManifestBuilder, PlatformBuilder};
use serde_json::{Map, Value, json};

use super::{Base, Image, Layer, ModelId};
use crate::blob::{Blob, Bytes};
use crate::error::{Error, Kind, Result};
use crate::oci::document::Document;
use crate::oci::{Descriptor, DiffId, Platform, annotation, json, media_type};
use crate::plan::{ConfigPlan, Plan};

/// The label with the model's name, as Hydrosphere writes it.
pub const LABEL_NAME: &str = "MODEL_NAME";
/// The label with the model's version: the model id's first digits.
pub const LABEL_VERSION: &str = "MODEL_VERSION";

/// Makes the image of one platform.
pub fn assemble(base: &Base, plan: &Plan, layers: &[Layer]) -> Result<Image> {
    let ours: Vec<DiffId> = layers.iter().map(|l| l.packed.diff_id).collect();
    let model_id = ModelId::new(&plan.model, &ours);
    let config = config(base, plan, layers, model_id)?;
    let config = Bytes::new(media_type::CONFIG, json::canonical(&config));

    let mut descriptors = base.layers.clone();
    for layer in layers {
        let mut d = layer.packed.descriptor.clone();
        d.annotations.insert(annotation::LAYER_ROLE.to_owned(), layer.role.clone());
        descriptors.push(d);
    }
    let annotations = annotations(base, plan, Some(model_id));
    let manifest = ImageManifestBuilder::default()
        .schema_version(2u32)
        .media_type(media_type::MANIFEST)
        .config(config.descriptor().to_spec())
        .layers(descriptors.iter().map(Descriptor::to_spec).collect::<Vec<_>>())
        .annotations(for_spec(annotations))
        .build()
        .map_err(|e| Error::new(Kind::Bug, "the manifest cannot be built").because(e))?;
    let manifest = Document::new(media_type::MANIFEST, json::to_canonical(&manifest)?);
    let diff_ids = base.config.diff_ids.iter().copied().chain(ours).collect();
    Ok(Image {
        manifest,
        config,
        platform: base.config.platform.clone(),
        model_id,
        layers: descriptors,
        diff_ids,
    })
}

/// Makes the index over the images of several platforms, in their order.
pub fn index(images: &[Image], plan: &Plan) -> Result<Document> {
    let broken = |e| Error::new(Kind::Bug, "the index cannot be built").because(e);
    let mut entries = Vec::new();
    for image in images {
        let mut entry = image.manifest.descriptor.to_spec();
        entry.set_platform(Some(spec_platform(&image.platform)?));
        entries.push(entry);
    }
    let annotations = annotations_of_model(plan, images.first().map(|i| i.model_id));
    let index = ImageIndexBuilder::default()
        .schema_version(2u32)
        .media_type(media_type::INDEX)
        .manifests(entries)
        .annotations(for_spec(annotations))
        .build()
        .map_err(broken)?;
    Ok(Document::new(media_type::INDEX, json::to_canonical(&index)?))
}

/// What the builders of `oci-spec` take; the canonical writer sorts it again.
#[expect(clippy::disallowed_types, reason = "the type of a dependency's interface")]
fn for_spec(annotations: BTreeMap<String, String>) -> std::collections::HashMap<String, String> {
    annotations.into_iter().collect()
}

fn spec_platform(p: &Platform) -> Result<oci_spec::image::Platform> {
    let mut builder = PlatformBuilder::default().os(p.os.as_str()).architecture(p.architecture.as_str());
    if let Some(variant) = &p.variant {
        builder = builder.variant(variant.as_str());
    }
    builder
        .build()
        .map_err(|e| Error::new(Kind::Bug, format!("the platform {p} cannot be written")).because(e))
}

fn annotations_of_model(plan: &Plan, id: Option<ModelId>) -> BTreeMap<String, String> {
    let mut all = plan.annotations.clone();
    all.insert(annotation::LAYOUT.to_owned(), plan.layout.to_string());
    all.insert(annotation::MODEL.to_owned(), plan.model.clone());
    if let Some(id) = id {
        all.insert(annotation::MODEL_ID.to_owned(), id.to_string());
    }
    all
}

fn annotations(base: &Base, plan: &Plan, id: Option<ModelId>) -> BTreeMap<String, String> {
    let mut all = annotations_of_model(plan, id);
    if let Some(digest) = base.digest {
        all.insert(annotation::BASE_DIGEST.to_owned(), digest.to_string());
        // A name of nothing would be a lie.
        if let Some(name) = &plan.base_name {
            all.insert(annotation::BASE_NAME.to_owned(), name.clone());
        }
    }
    all
}

/// The configuration of the base with our changes; everything else stays as it was.
fn config(base: &Base, plan: &Plan, layers: &[Layer], id: ModelId) -> Result<Value> {
    let broken =
        |what: &str| Error::new(Kind::Integrity, format!("the configuration of the base has a bad `{what}`"));
    let mut value = base.config.value.clone();
    let root = value.as_object_mut().ok_or_else(|| broken("root"))?;
    let created = json!(plan.created);
    root.insert("created".to_owned(), created.clone());
    root.entry("architecture").or_insert_with(|| json!(base.config.platform.architecture));
    root.entry("os").or_insert_with(|| json!(base.config.platform.os));

    let diff_ids: Vec<String> = base
        .config
        .diff_ids
        .iter()
        .copied()
        .chain(layers.iter().map(|l| l.packed.diff_id))
        .map(|d| d.to_string())
        .collect();
    let rootfs = object(root, "rootfs").ok_or_else(|| broken("rootfs"))?;
    rootfs.insert("type".to_owned(), json!("layers"));
    rootfs.insert("diff_ids".to_owned(), json!(diff_ids));

    let mut history = match root.get("history") {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::Array(h)) => h.clone(),
        Some(_) => return Err(broken("history")),
    };
    let told = history.iter().filter(|h| h["empty_layer"] != json!(true)).count();
    // Readers match layers to entries from the front: what the base leaves out is filled in first.
    for _ in told..base.config.diff_ids.len() {
        history.push(json!({"created": created, "created_by": "floe: layer of the base"}));
    }
    for layer in layers {
        history.push(json!({"created": created, "created_by": format!("floe: {}", layer.title)}));
    }
    root.insert("history".to_owned(), Value::Array(history));

    let config = object(root, "config").ok_or_else(|| broken("config"))?;
    apply(config, &plan.config, id).ok_or_else(|| broken("config"))?;
    let labels = object(config, "Labels").ok_or_else(|| broken("config.Labels"))?;
    labels.insert(LABEL_NAME.to_owned(), json!(plan.model));
    labels.insert(LABEL_VERSION.to_owned(), json!(id.short()));
    Ok(value)
}

fn apply(config: &mut Map<String, Value>, plan: &ConfigPlan, id: ModelId) -> Option<()> {
    if let Some(dir) = &plan.working_dir {
        config.insert("WorkingDir".to_owned(), json!(dir));
    }
    if let Some(user) = &plan.user {
        config.insert("User".to_owned(), json!(user));
    }
    let mut wanted = plan.env.clone();
    wanted.extend(plan.model_id_env.iter().map(|key| (key.clone(), id.to_string())));
    if !wanted.is_empty() {
        let mut env = match config.get("Env") {
            None | Some(Value::Null) => Vec::new(),
            Some(Value::Array(e)) => e.clone(),
            Some(_) => return None,
        };
        for (key, value) in &wanted {
            let line = json!(format!("{key}={value}"));
            let same = |l: &Value| l.as_str().is_some_and(|l| l.split('=').next() == Some(key));
            match env.iter_mut().find(|l| same(l)) {
                Some(old) => *old = line,
                None => env.push(line),
            }
        }
        config.insert("Env".to_owned(), Value::Array(env));
    }
    if !plan.labels.is_empty() {
        let labels = object(config, "Labels")?;
        for (key, value) in &plan.labels {
            labels.insert(key.clone(), json!(value));
        }
    }
    Some(())
}

/// The object under `key`, made where it is missing or null; `None` where it is something else.
fn object<'a>(parent: &'a mut Map<String, Value>, key: &str) -> Option<&'a mut Map<String, Value>> {
    let slot = parent.entry(key).or_insert(Value::Null);
    if slot.is_null() {
        *slot = Value::Object(Map::new());
    }
    slot.as_object_mut()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blob::Packed;
    use crate::oci::{Config, Digest, Manifest};
    use crate::plan::{DEFAULT_CREATED, LAYOUT, Owner};

    fn plan() -> Plan {
        Plan {
            layout: LAYOUT,
            model: "m".into(),
            created: DEFAULT_CREATED.into(),
            base_name: Some("docker.io/library/b:1".into()),
            owner: Owner::default(),
            layers: Vec::new(),
            config: ConfigPlan {
                working_dir: Some("/model/files".into()),
                user: None,
                env: [("A".to_owned(), "2".to_owned()), ("C".to_owned(), "3".to_owned())].into(),
                model_id_env: None,
                labels: [("x".to_owned(), "y".to_owned())].into(),
            },
            annotations: BTreeMap::new(),
        }
    }

    fn layer() -> Layer {
        let descriptor = Descriptor::of(media_type::LAYER, b"layer");
        let packed = Packed { diff_id: DiffId(descriptor.digest), descriptor };
        Layer { packed, role: "code".into(), title: "code, 1 files".into() }
    }

    fn base(config: &Value) -> Base {
        let config_bytes = json::canonical(config);
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": media_type::DOCKER_MANIFEST,
            "config": Descriptor::of(media_type::DOCKER_CONFIG, &config_bytes).to_value(),
            "layers": [Descriptor::of("application/vnd.docker.image.rootfs.diff.tar.gzip", b"b").to_value()],
        });
        let manifest = Manifest::parse(json::canonical(&manifest), None).unwrap();
        Base::new(&manifest, Config::parse(&config_bytes).unwrap())
    }

    fn base_config() -> Value {
        json!({
            "architecture": "amd64", "os": "linux", "created": "2020-01-01T00:00:00Z", "author": "someone",
            "config": {
                "Env": ["A=1", "B=2"], "Cmd": ["run"], "Healthcheck": {"Test": ["NONE"]}, "Shell": ["/bin/bash"],
                "OnBuild": ["RUN x"], "StopTimeout": 5, "X-Unknown": {"deep": [1, 2.5]}, "Labels": null,
                "WorkingDir": "/old", "Volumes": {"/v": {}}
            },
            "moby.buildkit.trace": "abc",
            "history": [{"created_by": "FROM"}, {"created_by": "ENV", "empty_layer": true}],
            "rootfs": {"type": "layers", "diff_ids": [Digest::of(b"b").to_string()]},
        })
    }

    #[test]
    fn everything_of_the_base_is_kept() {
        let image = assemble(&base(&base_config()), &plan(), &[layer()]).unwrap();
        let found: Value = serde_json::from_slice(image.config.as_slice()).unwrap();
        let mut wanted = base_config();
        wanted["created"] = json!(DEFAULT_CREATED);
        wanted["config"]["Env"] = json!(["A=2", "B=2", "C=3"]);
        wanted["config"]["WorkingDir"] = json!("/model/files");
        wanted["config"]["Labels"] =
            json!({"x": "y", "MODEL_NAME": "m", "MODEL_VERSION": image.model_id.short()});
        wanted["history"]
            .as_array_mut()
            .unwrap()
            .push(json!({"created": DEFAULT_CREATED, "created_by": "floe: code, 1 files"}));
        wanted["rootfs"]["diff_ids"] =
            json!([Digest::of(b"b").to_string(), Digest::of(b"layer").to_string()]);
        assert_eq!(found, wanted);
    }

    #[test]
    fn a_docker_base_gives_an_oci_manifest_over_the_same_layer() {
        let image = assemble(&base(&base_config()), &plan(), &[layer()]).unwrap();
        let m = Manifest::parse(image.manifest.bytes.clone(), None).unwrap();
        assert_eq!(m.descriptor.media_type, media_type::MANIFEST);
        assert_eq!(m.layers[0].media_type, media_type::LAYER_GZIP);
        assert_eq!(m.layers[0].digest, Digest::of(b"b"));
        assert_eq!(m.layers[1].annotations[annotation::LAYER_ROLE], "code");
        assert_eq!(m.annotation(annotation::BASE_NAME), Some("docker.io/library/b:1"));
        assert!(m.annotation(annotation::BASE_DIGEST).is_some());
    }

    #[test]
    fn a_short_history_is_padded_first() {
        for history in [json!([]), json!(null), json!([{"created_by": "ENV", "empty_layer": true}])] {
            let mut config = base_config();
            config["history"] = history.clone();
            let image = assemble(&base(&config), &plan(), &[layer()]).unwrap();
            let found: Value = serde_json::from_slice(image.config.as_slice()).unwrap();
            let layers: Vec<&str> = found["history"]
                .as_array()
                .unwrap()
                .iter()
                .filter(|h| h["empty_layer"] != json!(true))
                .map(|h| h["created_by"].as_str().unwrap())
                .collect();
            assert_eq!(layers, ["floe: layer of the base", "floe: code, 1 files"], "{history}");
        }
    }

    #[test]
    fn a_runtime_is_told_the_model_id() {
        let mut plan = plan();
        plan.config.model_id_env = Some("B".to_owned());
        let image = assemble(&base(&base_config()), &plan, &[layer()]).unwrap();
        let found: Value = serde_json::from_slice(image.config.as_slice()).unwrap();
        assert_eq!(found["config"]["Env"], json!(["A=2", format!("B={}", image.model_id), "C=3"]));
    }

    #[test]
    fn the_model_id_does_not_depend_on_the_base() {
        let one = assemble(&base(&base_config()), &plan(), &[layer()]).unwrap();
        let two =
            assemble(&Base::scratch(&Platform::new("linux", "arm64", None)), &plan(), &[layer()]).unwrap();
        assert_eq!(one.model_id, two.model_id);
        assert_ne!(one.manifest.descriptor.digest, two.manifest.descriptor.digest);
    }

    #[test]
    fn the_bytes_are_the_same_every_time() {
        let make =
            || assemble(&base(&base_config()), &plan(), &[layer()]).unwrap().manifest.descriptor.digest;
        let first = make();
        assert!((0..50).all(|_| make() == first));
    }
}
