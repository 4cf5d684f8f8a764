//! Every command: what it answers, what it says beside that, and how it ends.

use super::bench::{Bench, ONNX};

#[test]
fn build_puts_the_next_version_into_the_local_store() {
    let b = Bench::with_model();
    b.floe("build model.onnx").shows(
        r#"
        $ floe build model.onnx
        oci:DIR/store:model:v1-<16>
        | 1 file, 239 B
        |   239 B  model.onnx
        | onnx: `model.onnx` holds an ONNX model (`ir_version` and a graph)
        | configuration: written (497 B)
        | contract, 2 files: written (331 B)
        | facts: already there
        | facts: written (850 B)
        | publish record: written (2 B)
        | publish record: written (304 B)
        | weights model.onnx: written (346 B)
    "#,
    );
    // Once more: the same content is the same version, and nothing is written.
    b.floe("build model.onnx").shows(
        r#"
        $ floe build model.onnx
        oci:DIR/store:model:v1-<16>
        | 1 file, 239 B
        |   239 B  model.onnx
        | onnx: `model.onnx` holds an ONNX model (`ir_version` and a graph)
        | configuration: already there
        | v1-<16> was there before, with the same content
    "#,
    );
    b.write("other/model.onnx", super::bench::ONNX);
    b.write("other/notes.txt", "more");
    b.floe("build other --name model").shows(
        r#"
        $ floe build other --name model
        oci:DIR/store:model:v2-<16>
        | 2 files, 243 B
        |   239 B  model.onnx
        |     4 B  notes.txt
        | onnx: `model.onnx` holds an ONNX model (`ir_version` and a graph)
        | config+weights, 2 files: written (389 B)
        | configuration: written (502 B)
        | facts: already there
        | facts: already there
        | publish record: already there
        | publish record: written (304 B)
    "#,
    );
}

#[test]
fn build_writes_every_kind_of_destination_from_one_reading() {
    let b = Bench::with_model();
    b.floe("build model.onnx -o oci:layout:latest -o oci-archive:a.tar -o docker-archive:sub/b.tar -o team/scaler").shows(r#"
        $ floe build model.onnx -o oci:layout:latest -o oci-archive:a.tar -o docker-archive:sub/b.tar -o team/scaler
        oci:layout:v1-<16>
        oci-archive:a.tar:v1-<16>
        docker-archive:sub/b.tar:model:v1-<16>
        oci:DIR/store:team/scaler:v1-<16>
        | 1 file, 239 B
        |   239 B  model.onnx
        | onnx: `model.onnx` holds an ONNX model (`ir_version` and a graph)
        | configuration to docker-archive:sub/b.tar: written (497 B)
        | configuration to oci-archive:a.tar: written (497 B)
        | configuration to oci:layout:latest: written (497 B)
        | configuration to team/scaler: written (497 B)
        | contract, 2 files to docker-archive:sub/b.tar: written (331 B)
        | contract, 2 files to oci-archive:a.tar: written (331 B)
        | contract, 2 files to oci:layout:latest: written (331 B)
        | contract, 2 files to team/scaler: written (331 B)
        | facts to team/scaler: already there
        | facts to team/scaler: written (850 B)
        | publish record to team/scaler: written (2 B)
        | publish record to team/scaler: written (304 B)
        | weights model.onnx to docker-archive:sub/b.tar: written (346 B)
        | weights model.onnx to oci-archive:a.tar: written (346 B)
        | weights model.onnx to oci:layout:latest: written (346 B)
        | weights model.onnx to team/scaler: written (346 B)
    "#);
    b.floe("build model.onnx -o oci-archive:c.tar:mine -o docker-archive:d.tar:team/scaler:7 -o oci:out/")
        .shows(
            r#"
        $ floe build model.onnx -o oci-archive:c.tar:mine -o docker-archive:d.tar:team/scaler:7 -o oci:out/
        oci-archive:c.tar:mine
        docker-archive:d.tar:team/scaler:7
        oci:out/model:v1-<16>
        | 1 file, 239 B
        |   239 B  model.onnx
        | onnx: `model.onnx` holds an ONNX model (`ir_version` and a graph)
        | configuration to docker-archive:d.tar:team/scaler:7: written (497 B)
        | configuration to oci-archive:c.tar:mine: written (497 B)
        | configuration to oci:out/model: written (497 B)
        | contract, 2 files to docker-archive:d.tar:team/scaler:7: written (331 B)
        | contract, 2 files to oci-archive:c.tar:mine: written (331 B)
        | contract, 2 files to oci:out/model: written (331 B)
        | weights model.onnx to docker-archive:d.tar:team/scaler:7: written (346 B)
        | weights model.onnx to oci-archive:c.tar:mine: written (346 B)
        | weights model.onnx to oci:out/model: written (346 B)
    "#,
        );
}

#[test]
fn build_prints_what_is_asked_for() {
    let b = Bench::with_model();
    for what in ["version", "tag", "digest"] {
        let ran = b.floe(&format!("build model.onnx -q -o oci:l -o oci-archive:a.tar --print {what}"));
        let lines: Vec<&str> = ran.out.lines().collect();
        assert_eq!((ran.code, ran.err.as_str(), lines.len()), (0, "", 2));
        assert_eq!(lines[0], lines[1]);
        assert_eq!(lines[0].starts_with("sha256:"), what == "digest");
        assert_eq!(lines[0].starts_with("v1-"), what != "digest");
    }
}

#[test]
fn c14_c29_build_answers_one_document_and_notes_it_down() {
    let b = Bench::with_model();
    let doc = b.json(
        "build model.onnx -o oci:l --alias latest --number-tag --json --digestfile d --metadata-file m",
    );
    assert_eq!(doc["floe"], 1);
    assert_eq!((&doc["model"], &doc["number"]), (&"model".into(), &1.into()));
    let digest = doc["digest"].as_str().unwrap();
    let version = doc["version"].as_str().unwrap();
    assert_eq!(version, format!("v1-{}", &digest["sha256:".len()..][..16]));
    assert!(doc["model_id"].as_str().unwrap().starts_with("sha256:"), "{doc:#}");
    let published = &doc["published"][0];
    assert_eq!(published["ref"], format!("oci:l:{version}"));
    assert_eq!((&published["tag"], &published["number"]), (&version.into(), &1.into()));
    assert_eq!(published["aliases"], serde_json::json!(["latest", "1"]));
    // As buildah writes it, without a line break; as buildx writes it, with its keys.
    assert_eq!(b.read("d"), digest.as_bytes());
    let metadata: serde_json::Value = serde_json::from_slice(&b.read("m")).unwrap();
    assert_eq!(metadata["version"], version);
    assert_eq!(metadata["containerimage.digest"], digest);
    assert_eq!(metadata["containerimage.descriptor"]["digest"], digest);
    assert_eq!(metadata["image.name"], published["ref"]);
    let size = metadata["containerimage.descriptor"]["size"].as_u64().unwrap();
    let blob = b.read(&format!("l/blobs/sha256/{}", &digest["sha256:".len()..]));
    assert_eq!(blob.len() as u64, size);
}

#[test]
fn build_rehearses_without_storing_anything() {
    let b = Bench::with_model();
    let before = b.look();
    b.floe("build model.onnx --dry-run").shows(
        r#"
        $ floe build model.onnx --dry-run
        model@?
        | 1 file, 239 B
        |   239 B  model.onnx
        | onnx: `model.onnx` holds an ONNX model (`ir_version` and a graph)
        | LAYER     FILES  BYTES  STORED  DIGEST
        | weights   1      239 B  ?       ?
        | contract  2      371 B  ?       ?
    "#,
    );
    b.floe("build model.onnx --dry-run=full -o oci:layout --print digest").shows(
        r#"
        $ floe build model.onnx --dry-run=full -o oci:layout --print digest
        sha256:<64>
        | 1 file, 239 B
        |   239 B  model.onnx
        | onnx: `model.onnx` holds an ONNX model (`ir_version` and a graph)
        | LAYER     FILES  BYTES  STORED  DIGEST
        | weights   1      239 B  346 B   sha256:<64>
        | contract  2      371 B  331 B   sha256:<64>
    "#,
    );
    let plan = b.json("build model.onnx --dry-run --json");
    assert_eq!((&plan["floe"], &plan["digest"], &plan["version"]), (&1.into(), &().into(), &().into()));
    assert_eq!(plan["layers"][0]["files"], 1);
    assert_eq!(plan["plan"]["layout"], 1);
    let full = b.json("build model.onnx --dry-run=full --json");
    assert_eq!(before, b.look());
    let real = b.json("build model.onnx --json");
    assert_eq!((&real["digest"], &real["model_id"]), (&full["digest"], &full["model_id"]));
}

#[test]
fn build_moves_aliases() {
    let b = Bench::with_model();
    b.answer("build model.onnx --alias latest,prod --number-tag");
    b.write("two/model.onnx", super::bench::ONNX);
    b.write("two/notes.txt", "more");
    b.answer("build two --name model --alias latest -o model:best");
    b.floe("versions model").shows(
        r#"
        $ floe versions model
        VERSION              DIGEST                                                                   ALIASES
        v2-<16>  sha256:<64>  best, latest
        v1-<16>  sha256:<64>  1, prod
    "#,
    );
    b.floe("models").shows(
        r#"
        $ floe models
        MODEL  VERSIONS  NEWEST               ALIASES
        model  2         v2-<16>  1, best, latest, prod
    "#,
    );
}

#[test]
fn infer_shows_what_is_known() {
    let b = Bench::with_model();
    b.floe("infer model.onnx").shows(
        r#"
        $ floe infer model.onnx
        format                 onnx
        framework              onnx
        file                   model.onnx
        known by               `model.onnx` holds an ONNX model (`ir_version` and a graph)
        onnx.domain            ai.onnx
        onnx.domains           ai.onnx, ai.onnx.ml
        onnx.graphName         ONNX(StandardScaler)
        onnx.irVersion         10
        onnx.modelVersion      0
        onnx.nodes             1
        onnx.opset.ai.onnx     22
        onnx.opset.ai.onnx.ml  1
        onnx.producerName      skl2onnx
        onnx.producerVersion   1.20.0
        onnx.serialization     protobuf

        signature predict
          in   X         float32  [?, 4]  stored
          out  variable  float32  [?, 4]  stored
    "#,
    );
    let doc = b.json("infer model.onnx --json");
    assert_eq!((&doc["floe"], &doc["format"]), (&1.into(), &"onnx".into()));
    let input = &doc["signatures"][0]["inputs"][0];
    assert_eq!((&input["name"], &input["dtype"]), (&"X".into(), &"float32".into()));
    assert_eq!(input["shape"], serde_json::json!([null, 4]));
    assert_eq!(input["how"], serde_json::json!({"name": "stored", "dtype": "stored", "shape": "stored"}));
    b.write("nothing/x.txt", "text");
    let ran = b.refused("infer nothing");
    assert_eq!(ran.code, 3);
    assert!(
        ran.err.starts_with("error: no model was recognised in `nothing`\nhint: floe reads "),
        "{ran:#?}"
    );
    assert!(ran.err.ends_with("; for others declare the contract in a serving.yaml\n"), "{ran:#?}");
}

#[test]
fn infer_reads_a_saved_model_with_several_signatures() {
    let b = Bench::new();
    let model = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/models/tensorflow/sm_dev_two_sigs/model");
    let out = b.answer(&format!("infer {model}"));
    let at = out.find("signature ").unwrap();
    assert_eq!(
        &out[at..],
        "signature serving_default\n  in   s  string  [?]  stored\n  out  u  string  [?]  stored\n\
         signature transpose\n  in   flag  bool   []      stored\n  in   m     int32  [2, ?]  stored\n  \
         out  t     int32  [?, 2]  stored\n"
    );
}

#[test]
fn an_empty_store_has_no_models() {
    let b = Bench::new();
    b.floe("models").shows(
        r#"
        $ floe models
        MODEL  VERSIONS  NEWEST  ALIASES
    "#,
    );
    assert_eq!(b.json("models --json"), serde_json::json!({"floe": 1, "models": []}));
    b.floe("versions scaler").shows(
        r#"
        $ floe versions scaler
        exit code 2
        | error: `scaler` has no versions
        | hint: check the name; `floe models` lists what the local store holds
    "#,
    );
    b.floe("inspect scaler").shows(
        r#"
        $ floe inspect scaler
        exit code 2
        | error: `scaler` has no versions
        | hint: nothing has been published there; `floe models` lists what the local store holds
    "#,
    );
    b.floe("which 0123").shows(
        r#"
        $ floe which 0123
        exit code 2
        | error: nothing in the local store belongs to `0123`
        | hint: name another collection, such as `docker://HOST/NAME` or `oci:DIR`
    "#,
    );
    // Looking does not make a store.
    assert!(!b.path("store").exists());
}

#[test]
fn versions_and_models_list_what_there_is() {
    let b = Bench::with_model();
    b.answer("build model.onnx --alias latest");
    let doc = b.json("versions model --json");
    assert_eq!(doc["floe"], 1);
    let row = &doc["versions"][0];
    assert_eq!((&row["number"], &row["tie"]), (&1.into(), &false.into()));
    assert_eq!(row["aliases"], serde_json::json!(["latest"]));
    assert!(row["digest"].as_str().unwrap().starts_with("sha256:"));
    let doc = b.json("models --json");
    assert_eq!((&doc["floe"], &doc["models"][0]["name"]), (&1.into(), &"model".into()));
    b.floe("versions oci:store").shows(
        r#"
        $ floe versions oci:store
        exit code 2
        | error: `oci:store` has no versions
        | hint: there are 3 other names: model:latest, model:sha256-<64>, model:v1-<16>
    "#,
    );
    b.floe("versions modle").shows(
        r#"
        $ floe versions modle
        exit code 2
        | error: `modle` has no versions
        | hint: check the name; `floe models` lists what the local store holds
    "#,
    );
}

#[test]
fn inspect_shows_what_an_image_is_made_of() {
    let b = Bench::with_model();
    b.answer("build model.onnx --no-record");
    b.floe("inspect model").shows(
        r#"
        $ floe inspect model
        model     model
        version   v1-<16>
        digest    sha256:<64>
        model id  sha256:<64>
        format    onnx
        platform  linux/amd64
        base      scratch
        created   1970-01-01T00:00:01Z
        size      677 B

        LAYER     SIZE   DIGEST                                                                   MEDIA TYPE
        weights   346 B  sha256:<64>  tar+gzip
        contract  331 B  sha256:<64>  tar+gzip

        ATTACHED                            SIZE   DIGEST                                                                   CREATED
        application/vnd.floe.facts.v1+json  850 B  sha256:<64>

        signature predict
          in   X         float32  [?, 4]  stored
          out  variable  float32  [?, 4]  stored

        versions  v1-<16>
    "#,
    );
    let doc = b.json("inspect model --json");
    assert_eq!(doc["floe"], 1);
    for key in
        ["digest", "model_id", "layers", "contract", "versions", "base", "labels", "annotations", "referrers"]
    {
        assert!(!doc[key].is_null(), "{key}: {doc:#}");
    }
    assert_eq!(doc["layers"][0]["role"], "weights");
    assert!(doc["layers"][0]["size"].as_u64().unwrap() > 0);
}

#[test]
fn c23_inspect_takes_every_way_to_name_a_version() {
    let b = Bench::with_model();
    let ran = b.json("build model.onnx --alias latest --json -o model -o oci:l -o oci-archive:a.tar -o docker-archive:b.tar");
    let digest = ran["digest"].as_str().unwrap().to_owned();
    let version = ran["version"].as_str().unwrap().to_owned();
    let hex = &digest["sha256:".len()..];
    let mut ways: Vec<String> = [
        "model",
        "model:1",
        "model:v1",
        "model:latest",
        "oci:l",
        "oci:l:latest",
        "oci:l:1",
        "oci-archive:a.tar",
        "docker-archive:b.tar",
    ]
    .map(str::to_owned)
    .to_vec();
    ways.push(format!("model:{version}"));
    ways.push(format!("model@{digest}"));
    ways.push(format!("model:{version}@{digest}"));
    ways.push(format!("model:{}", &hex[..8]));
    ways.push(format!("oci:l@{digest}"));
    ways.push(format!("oci-archive:a.tar:{version}"));
    // What `build` prints is read back.
    ways.extend(ran["published"].as_array().unwrap().iter().map(|p| p["ref"].as_str().unwrap().to_owned()));
    for way in ways {
        assert_eq!(b.json(&format!("inspect {way} --json"))["digest"], digest, "{way}");
    }
    for wrong in
        ["model:2", "model:prod", "model:0000", "oci-archive:a.tar:v9", "docker-archive:b.tar:other:1"]
    {
        let ran = b.floe(&format!("inspect {wrong}"));
        assert_eq!(ran.code, 2, "{ran:#?}");
        assert!(ran.err.contains("\nhint: "), "{ran:#?}");
    }
    b.floe("inspect model:2").shows(
        r#"
        $ floe inspect model:2
        exit code 2
        | error: `model` has no version 2
        | hint: its newest version is v1-<16>; `floe versions` lists them all
    "#,
    );
    b.floe("inspect model:prod").shows(
        r#"
        $ floe inspect model:prod
        exit code 2
        | error: `model` has no version or alias `prod`
        | hint: its newest version is v1-<16>; `floe versions` lists them all
    "#,
    );
}

#[test]
fn which_finds_the_version_of_a_digest() {
    let b = Bench::with_model();
    let doc = b.json("build model.onnx --json");
    let hex = |v: &serde_json::Value| v.as_str().unwrap()["sha256:".len()..].to_owned();
    let (digest, id, layer) = (hex(&doc["digest"]), hex(&doc["model_id"]), hex(&doc["layers"][0]["digest"]));
    for (what, role) in [(&digest, "image"), (&id, "model id"), (&layer, "layer")] {
        let found = b.json(&format!("which {} --json", &what[..16]));
        assert_eq!((&found["floe"], &found["found"][0]["role"]), (&1.into(), &role.into()));
        assert_eq!(found["found"][0]["digest"], doc["digest"]);
    }
    b.floe(&format!("which sha256:{digest} model")).shows(
        r#"
        $ floe which sha256:<64> model
        model:v1-<16>  image  sha256:<64>
    "#,
    );
    b.floe("which 0000 model").shows(
        r#"
        $ floe which 0000 model
        exit code 2
        | error: nothing in `model` belongs to `0000`
        | hint: name another collection, such as `docker://HOST/NAME` or `oci:DIR`
    "#,
    );
    b.floe("which xyz").shows(
        r#"
        $ floe which xyz
        exit code 2
        | error: `xyz` is no digest and no model id
        | hint: give 4 to 64 lower-case hex digits
    "#,
    );
}

#[test]
fn schema_completions_and_man_are_text_for_tools() {
    let b = Bench::new();
    let schema = b.json("schema");
    assert!(schema["$schema"].as_str().unwrap().contains("json-schema.org"), "{schema}");
    for (shell, word) in [
        ("bash", "complete -F"),
        ("zsh", "#compdef floe"),
        ("fish", "complete -c floe"),
        ("elvish", "edit:completion"),
        ("powershell", "Register-ArgumentCompleter"),
    ] {
        assert!(b.answer(&format!("completions {shell}")).contains(word), "{shell}");
    }
    b.floe("completions tcsh").shows(
        r#"
        $ floe completions tcsh
        exit code 2
        | error: `SHELL` cannot be `tcsh`
        | hint: did you mean `zsh`? There are bash, elvish, fish, powershell, zsh
    "#,
    );
    b.floe("man nope").shows(
        r#"
        $ floe man nope
        exit code 2
        | error: there is no command `nope`
        | hint: the commands are build, infer, serve, models, versions, inspect, which, verify, login, logout, copy, inventory, attach, schema, completions, man
    "#,
    );
}

#[test]
fn copy_and_inventory_say_what_they_did() {
    let b = Bench::with_model();
    b.answer("build model.onnx --no-record --alias prod");
    b.floe("copy model oci:images").shows(
        r#"
        $ floe copy model oci:images
        oci:images:v1-<16>
        | configuration: written (497 B)
        | layer <16>: written (331 B)
        | layer <16>: written (346 B)
        | model:v1-<16>: 3 blobs written (1.1 KiB)
    "#,
    );
    b.floe("copy model:prod oci:images:stable").shows(
        r#"
        $ floe copy model:prod oci:images:stable
        oci:images:stable
        | configuration: already there
        | layer <16>: already there
        | layer <16>: already there
        | model:prod: 3 blobs there before
    "#,
    );
    b.floe("copy model oci:images").shows(
        r#"
        $ floe copy model oci:images
        oci:images:v1-<16>
        | v1-<16> was there before, with the same content
    "#,
    );
    b.floe("inventory -o have.json").shows(
        r#"
        $ floe inventory -o have.json
        | 2 images, 2.0 KiB of blobs
    "#,
    );
    b.floe("copy model oci-archive:delta.tar --since have.json").shows(
        r#"
        $ floe copy model oci-archive:delta.tar --since have.json
        oci-archive:delta.tar:v1-<16>
        | model:v1-<16>: 3 blobs left out (1.1 KiB)
    "#,
    );
    b.floe("copy oci-archive:delta.tar oci:empty").shows(
        r#"
        $ floe copy oci-archive:delta.tar oci:empty
        exit code 5
        | error: `oci-archive:delta.tar:v1-<16>`: the archive counts on 3 blobs that the destination does not have: sha256:<64>, sha256:<64>, sha256:<64>
        | hint: copy to the place that `--since` was told of, or make the archive anew with its `floe inventory`
    "#,
    );
}

/// One of a thing is not told of as several, wherever things are counted.
#[test]
fn one_thing_is_told_of_as_one() {
    let b = Bench::with_model();
    b.answer("build model.onnx");
    let talk = |line: &str| {
        let ran = b.floe(line);
        format!("{}{}", ran.out, ran.err)
    };
    for (line, words) in [
        ("inventory model -o one.json", "1 image, 2.3 KiB of blobs\n"),
        ("verify model", "  3 documents (2 attached artifacts among them), 6 blobs, "),
        ("copy model oci:out", "model:v1-"),
        ("verify oci:out", "  1 document, 3 blobs, "),
        ("copy --all model oci:all", "model:v1-"),
    ] {
        let said = talk(line);
        assert!(said.contains(words), "{line}: {said}");
        let several = ["image", "document", "blob", "layer", "artifact", "file"];
        for noun in several.map(|noun| format!("{noun}s")) {
            // As a word of its own: `11 layers` is right.
            assert!(
                !said.split_whitespace().collect::<Vec<_>>().join(" ").contains(&format!(" 1 {noun}")),
                "{line}: {said}"
            );
        }
    }
    // Of two layers that are one blob's worth apart, one is written and two are there.
    b.write("churn/model.onnx", ONNX);
    b.answer("build churn");
    b.write("churn/notes.txt", "x");
    b.answer("build churn");
    b.answer("copy churn:1 oci:two");
    let said = talk("copy churn:2 oci:two");
    assert!(said.contains("2 blobs written (") && said.contains("1 blob there before"), "{said}");
}
