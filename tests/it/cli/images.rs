//! What an image inherits and what it gets, held against what the old builder's Dockerfile did.

use serde_json::{Value, json};

use super::bench::{Bench, ONNX};
use super::image::{Image, Layout, image, tar_of};

/// The configuration of a runtime as Docker keeps it, with everything that a model must not change.
fn runtime_config(diff_id: &str) -> Value {
    json!({
        "architecture": "amd64", "os": "linux", "created": "2021-12-01T00:00:00Z",
        "author": "somebody", "docker_version": "20.10.7",
        "config": {
            "User": "app", "WorkingDir": "/home/app", "Entrypoint": ["bash", "/home/app/start.sh"], "Cmd": null,
            "Env": ["PATH=/opt/pysetup/.venv/bin:/usr/bin", "APP_PORT=9091", "PYTHONUNBUFFERED=1"],
            "ExposedPorts": {"9091/tcp": {}}, "Volumes": {"/cache": {}},
            "Healthcheck": {"Test": ["CMD", "grpc_health_probe"], "Interval": 30_000_000_000_i64},
            "Shell": ["/bin/bash", "-c"], "OnBuild": ["RUN true"], "StopSignal": "SIGINT",
            "Labels": {"DEPLOYMENT_TYPE": "APP", "maintainer": "support"},
            "X-Unknown": {"kept": [1, 2.5, null]},
        },
        "history": [
            {"created": "2021-12-01T00:00:00Z", "created_by": "ADD rootfs"},
            {"created": "2021-12-01T00:00:00Z", "created_by": "ENV APP_PORT=9091", "empty_layer": true},
        ],
        "rootfs": {"type": "layers", "diff_ids": [diff_id]},
        "unknown": {"also": "kept"},
    })
}

/// A runtime as `docker save` of the old days wrote it: no manifest, files with any names.
fn docker_save(b: &Bench, file: &str) -> Value {
    let layer = tar_of(&[("home/app/start.sh", b"exec python3 main.py\n")]);
    let config = runtime_config(&floe::oci::Digest::of(&layer).to_string());
    let text = config.to_string();
    let list = json!([{"Config": "abc.json", "RepoTags": ["runtime:3.0.3"], "Layers": ["1/layer.tar"]}]);
    b.write(
        file,
        tar_of(&[
            ("abc.json", text.as_bytes()),
            ("1/layer.tar", &layer),
            ("manifest.json", list.to_string().as_bytes()),
        ]),
    );
    config
}

const DEFINITION: &str = "kind: Model\nname: census\nruntime: data\npayload: [model.onnx]\n";

fn model(b: &Bench) {
    b.write("m/model.onnx", ONNX);
    b.write("m/serving.yaml", DEFINITION);
}

/// The lines of the Dockerfile: FROM, two LABELs, ADD, WORKDIR, and nothing else.
#[track_caller]
fn is_as_the_dockerfile_made_it(made: &Image, base: &Value, working_dir: &str) {
    let mut wanted = base["config"].clone();
    let labels = made.config["config"]["Labels"].as_object().unwrap();
    assert_eq!(labels["MODEL_NAME"], "census");
    let version = labels["MODEL_VERSION"].as_str().unwrap();
    assert_eq!(version.len(), 16, "{version}");
    wanted["Labels"]["MODEL_NAME"] = json!("census");
    wanted["Labels"]["MODEL_VERSION"] = json!(version);
    wanted["WorkingDir"] = json!(working_dir);
    assert_eq!(made.config["config"], wanted);
    for key in ["architecture", "os", "author", "docker_version", "unknown"] {
        assert_eq!(made.config[key], base[key], "{key}");
    }
    // Every layer has a line of history, and the base's come first.
    let lines = made.config["history"].as_array().unwrap();
    assert_eq!(&lines[..2], base["history"].as_array().unwrap());
    let filled = lines.iter().filter(|l| l["empty_layer"] != true).count();
    assert_eq!(filled, made.manifest["layers"].as_array().unwrap().len());
    assert_eq!(filled, made.config["rootfs"]["diff_ids"].as_array().unwrap().len());
    assert_eq!(made.files["home/app/start.sh"], b"exec python3 main.py\n");
    assert!(
        made.files.contains_key("model/files/model.onnx")
            && made.files.contains_key("model/contract.protobin")
    );
}

#[test]
fn a_base_of_docker_keeps_everything_that_the_dockerfile_kept() {
    let b = Bench::new();
    model(&b);
    let base = docker_save(&b, "runtime.tar");
    b.answer(
        "build m -q -o oci:l --base docker-archive:runtime.tar --platform linux/amd64 --workdir /model/files",
    );
    let made = image(&b.path("l"));
    is_as_the_dockerfile_made_it(&made, &base, "/model/files");
    assert_eq!(made.manifest["mediaType"], "application/vnd.oci.image.manifest.v1+json");
    // A base given by hand keeps its own folder.
    b.answer("build m -q -o oci:own --base docker-archive:runtime.tar --platform linux/amd64");
    assert_eq!(image(&b.path("own")).config["config"]["WorkingDir"], "/home/app");
}

#[test]
fn a_base_of_schema_2_gives_an_oci_image_with_the_same_layers() {
    let b = Bench::new();
    model(&b);
    let layout = b.path("base");
    let l = Layout(&layout);
    let tar = tar_of(&[("home/app/start.sh", b"exec python3 main.py\n")]);
    let layer = l.blob("application/vnd.docker.image.rootfs.diff.tar", &tar);
    let config = runtime_config(layer["digest"].as_str().unwrap());
    let stored = l.blob("application/vnd.docker.container.image.v1+json", config.to_string().as_bytes());
    let media_type = "application/vnd.docker.distribution.manifest.v2+json";
    let manifest = json!({"schemaVersion": 2, "mediaType": media_type, "config": stored, "layers": [layer]});
    l.name("latest", l.blob(media_type, manifest.to_string().as_bytes()));
    b.answer("build m -q -o oci:l --base oci:base:latest --platform linux/amd64 --workdir /model/files");
    let made = image(&b.path("l"));
    is_as_the_dockerfile_made_it(&made, &config, "/model/files");
    let first = &made.manifest["layers"][0];
    assert_eq!(first["digest"], layer["digest"]);
    assert_eq!(first["mediaType"], "application/vnd.oci.image.layer.v1.tar");
}

#[test]
fn a_root_file_system_is_a_base() {
    let b = Bench::new();
    model(&b);
    b.write("root/etc/motd", "hello\n");
    b.write("root.tar", tar_of(&[("etc/motd", b"hello\n")]));
    for base in ["root", "root.tar"] {
        b.answer(&format!("build m -q -o oci:{base}-l --base rootfs:{base}"));
        assert_eq!(image(&b.path(&format!("{base}-l"))).files["etc/motd"], b"hello\n");
    }
}

#[test]
fn c24_platforms_are_repeated_or_separated_by_commas() {
    let b = Bench::with_model();
    let one = b.json("build model.onnx --base scratch --platform linux/amd64,linux/arm/v7 --json");
    let two = b.json("build model.onnx --base scratch --platform linux/amd64 --platform linux/arm/v7 --json");
    assert_eq!(one["platforms"], json!(["linux/amd64", "linux/arm/v7"]));
    assert_eq!(one["digest"], two["digest"]);
    b.refused("build model.onnx --base scratch --platform all").fails(
        2,
        r#"
        error: `scratch` has no platforms that `--platform all` could mean
        hint: name them: `--platform linux/amd64,linux/arm64`
    "#,
    );
    b.refused("build model.onnx --base scratch --platform linux/amd64,linux/arm64 -o docker-archive:x.tar")
        .fails(
            2,
            r#"
        error: `docker-archive:x.tar` can hold one platform, not 2
        hint: use `oci-archive:`, or build one platform with `--platform`
    "#,
        );
    for line in ["--platform linux/arm/v7", ""] {
        let doc = b.json(&format!("inspect model --json {line}"));
        assert_eq!(doc["platforms"], one["platforms"]);
    }
    b.refused("inspect model --platform linux/s390x").fails(
        3,
        r#"
        error: there is no image for linux/s390x
        hint: it has linux/amd64, linux/arm/v7
    "#,
    );
}

#[test]
fn c30_c31_times_and_annotations_follow_from_what_is_declared() {
    let b = Bench::new();
    model(&b);
    b.answer("build m -q -o oci:l");
    let plain = image(&b.path("l"));
    assert_eq!(plain.config["created"], "1970-01-01T00:00:01Z");
    let ran = b.command("build m -q -o oci:then").env("SOURCE_DATE_EPOCH", "1700000000").go();
    assert_eq!(ran.code, 0, "{ran:#?}");
    assert_eq!(image(&b.path("then")).config["created"], "2023-11-14T22:13:20Z");
    let annotations = plain.manifest["annotations"].as_object().unwrap();
    assert_eq!(annotations["org.opencontainers.image.title"], "census");
    for key in annotations.keys() {
        assert!(key.starts_with("org.opencontainers.image.") || key.starts_with("dev.floe."), "{key}");
    }
    for never in ["created", "revision", "source", "version"] {
        assert!(!annotations.contains_key(&format!("org.opencontainers.image.{never}")), "{never}");
    }
    b.refused_run(b.command("build m").env("SOURCE_DATE_EPOCH", "yesterday")).fails(
        2,
        r#"
        error: SOURCE_DATE_EPOCH is `yesterday`
        hint: it has to be a number of seconds since 1970-01-01, before the year 10000
    "#,
    );
    b.refused("build m --annotation dev.floe.x=1").fails(
        2,
        r#"
        error: the annotation `dev.floe.x` is floe's own
        hint: choose a key that does not begin with `dev.floe.`
    "#,
    );
}
