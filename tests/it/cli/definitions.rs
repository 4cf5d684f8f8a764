//! Definitions of every generation, what flags change of them, and what they may not say.

use super::bench::{Bench, ONNX};
use super::image::{Image, Layout, image};

/// A signature of which the bytes in both generations are known, from `protoc` and the original
/// definitions of the messages.
const SIGNATURE_A: &str = "
contract:
  name: predict
  inputs:
    x: {shape: [-1, 2], type: double, profile: numerical}
  outputs:
    y: {shape: scalar, type: int64, profile: categorical}
    z: {type: string}
";
const A_THREE: &str = "0a077072656469637412160a0178120d0a0bffffffffffffffffff01022002280\
                       21a090a01791200200928011a050a017a2007";
const A_TWO: &str = "0a056d6f64656c12370a0770726564696374121a0a01781211120b08ffffffffffffffffff01\
                     12020802200250021a090a01791200200950011a050a017a2007";

/// Another one, with fields within fields and halves.
const SIGNATURE_B: &str = "
contract:
  name: infer
  inputs:
    m:
      shape: [3]
      fields:
        k: {shape: scalar, type: float32}
        l: {type: bool}
  outputs:
    y: {shape: [1, -1], type: half}
";
const B_THREE: &str = "0a05696e666572121a0a016d12030a01031a100a070a016b120020010a050a016c200a1a140a01\
                       79120d0a0b01ffffffffffffffffff012013";
const B_TWO: &str = "0a056d6f64656c123e0a05696e666572121b0a016d1204120208031a100a070a016b120020010a\
                     050a016c200a1a180a0179121112020801120b08ffffffffffffffffff012013";

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// A folder `m` with some files and this definition.
fn defined(text: &str) -> Bench {
    let b = Bench::new();
    b.write("m/serving.yaml", text);
    b.write("m/src/func_main.py", "def predict(x): return x\n");
    b.write("m/weights.bin", [7; 100]);
    b
}

/// The model `m`, built on nothing.
#[track_caller]
fn built(b: &Bench, flags: &str) -> Image {
    b.answer(&format!("build m -q -o oci:l {flags}"));
    image(&b.path("l"))
}

fn payload(i: &Image) -> Vec<&str> {
    i.files
        .keys()
        .filter_map(|k| k.strip_prefix("model/files/"))
        .filter(|k| !k.is_empty() && !k.ends_with('/'))
        .collect()
}

#[test]
fn the_contract_has_the_bytes_that_the_old_runtimes_read() {
    for (signature, three, two) in [(SIGNATURE_A, A_THREE, A_TWO), (SIGNATURE_B, B_THREE, B_TWO)] {
        let b = defined(&format!("kind: Model\nname: m\npayload: [src/]\n{signature}"));
        let shown = built(&b, "--base scratch");
        assert_eq!(hex(&shown.files["model/contract.protobin"]), three);
        // An image of the second generation is known by its tag.
        let base = b.path("runtime");
        Layout(&base).base("2.4.0");
        b.answer("build m -q -o oci:two --base oci:runtime:2.4.0");
        assert_eq!(hex(&image(&b.path("two")).files["model/contract.protobin"]), two);
    }
}

#[test]
fn a_definition_of_3_x_is_built_as_it_says() {
    let text = format!(
        "kind: Model\nname: boiler\nruntime: data\npayload: [src/, weights.bin]\n\
         metadata: {{site: north, build: 3.10}}\nmonitoring-configuration: {{batch-size: 50}}\n{SIGNATURE_A}"
    );
    let b = defined(&text);
    let i = built(&b, "");
    assert_eq!(payload(&i), ["src/func_main.py", "weights.bin"]);
    assert_eq!(i.config["config"]["Labels"]["MODEL_NAME"], "boiler");
    assert_eq!(i.manifest["annotations"]["dev.floe.metadata.site"], "north");
    assert_eq!(i.manifest["annotations"]["dev.floe.metadata.build"], "3.10");
}

#[test]
fn a_definition_of_2_x_may_have_fields_and_no_shape() {
    let b = defined(&format!("kind: Model\nname: m\nhost-selector: large\npayload: [src/]\n{SIGNATURE_B}"));
    let ran = b.floe("build m -o oci:l --base scratch");
    ran.shows(r#"
        $ floe build m -o oci:l --base scratch
        oci:l:v1-<16>
        | warning: m/serving.yaml:3:1: `host-selector` has no effect on a build: it chose the machine at deployment
        | hint: use the node selector of your scheduler, and `--platform` for what the image runs on
        | 1 file, 25 B
        |   25 B  src/func_main.py
        | function: `src/func_main.py` is what Hydrosphere's Python runtimes import
        | code func_main.py: written (204 B)
        | configuration: written (492 B)
        | contract, 2 files: written (385 B)
    "#);
}

/// What the author's function takes is not what the model does that it loads.
#[test]
fn a_contract_of_a_function_need_not_be_that_of_the_model_beside_it() {
    let text = "kind: Model\nname: m\nruntime: hydrosphere/serving-runtime-python-3.7:3.0.3\ncontract:\n  \
                name: predict\n  inputs:\n    x: {shape: scalar, type: string}\n  outputs:\n    \
                X: {shape: [3], type: int8}\n    variable: {shape: [7], type: bool}\n";
    let b = defined(text);
    b.write("m/model.onnx", ONNX);
    let i = built(&b, "--base scratch");
    assert!(payload(&i).iter().any(|p| p.ends_with("model.onnx")));
    std::fs::remove_file(b.path("m/src/func_main.py")).unwrap();
    let ran = b.refused("build m -o oci:l2 --base scratch");
    assert!(ran.err.contains("the definition says"), "{ran:#?}");
}

#[test]
fn a_definition_of_0_1_has_a_map_of_signatures() {
    let b = defined(
        "version: v2-alpha\nkind: Model\nname: sums\nmodel-type: python:3.6\npayload: [src/]\ncontract:\n  \
         add:\n    inputs:\n      a: {shape: scalar, type: float64}\n    outputs:\n      \
         sum: {shape: scalar, type: float64}\n  double:\n    inputs:\n      a: {shape: scalar, type: float64}\n    \
         outputs:\n      twice: {shape: scalar, type: float64}\n",
    );
    let i = built(&b, "");
    let contract = String::from_utf8(i.files["model/contract.json"].clone()).unwrap();
    assert!(contract.contains("\"add\"") && contract.contains("\"double\""), "{contract}");
}

#[test]
fn a_definition_of_0_0_is_a_block_with_a_contract_file() {
    let b = defined(
        "model:\n  name: tides\n  type: python:3.6\n  contract: contract.prototxt\n  payload: [src/]\n",
    );
    b.write(
        "m/contract.prototxt",
        "signatures { signature_name: \"high\" inputs { name: \"t\" dtype: DT_DOUBLE } \
         outputs { name: \"h\" dtype: DT_DOUBLE } }",
    );
    let i = built(&b, "");
    assert_eq!(i.config["config"]["Labels"]["MODEL_NAME"], "tides");
    assert!(String::from_utf8_lossy(&i.files["model/contract.json"]).contains("\"high\""));
}

#[test]
fn every_model_of_a_file_is_checked_before_the_first_is_published() {
    let two = "kind: Model\nname: first\npayload: [src/]\n---\nkind: Application\nname: pair\n---\n\
               kind: Model\nname: second\npayload: [weights.bin]\n";
    let b = defined(&two.replace("weights.bin", "gone.bin"));
    b.refused("build m").fails(
        3,
        r#"
        error: m/serving.yaml:10:11: payload `gone.bin` does not exist
        10 | payload: [gone.bin]
           |           ^^^^^^^^
        hint: paths are relative to `m`
    "#,
    );
    b.write("m/serving.yaml", two);
    b.refused("build m --name one").fails(
        2,
        r#"
        error: `--name` is one name, but `m/serving.yaml` declares 2 models
        hint: rename the models in the file
    "#,
    );
    let doc = b.json("build m --json");
    assert_eq!(doc["floe"], 1);
    let names: Vec<_> =
        doc["models"].as_array().unwrap().iter().map(|m| m["model"].as_str().unwrap()).collect();
    assert_eq!(names, ["first", "second"]);
    assert_eq!(b.answer("build m -q --print version").lines().count(), 2);
}

#[test]
fn a_file_of_applications_alone_builds_nothing() {
    let b = defined("kind: Application\nname: pair\nsingular: {model: m:1}\n");
    b.refused("build m").fails(
        3,
        r#"
        error: `m/serving.yaml` declares no model
        hint: a model is a document with `kind: Model`, a `name` and a `payload`
    "#,
    );
}

#[test]
fn flags_win_over_the_definition() {
    let text = format!(
        "kind: Model\nname: Boiler_7\nruntime: hydrosphere/serving-runtime-python-3.7:3.0.3\npayload: [src/]\n\
         metadata: {{site: north}}\nlabels: {{tier: one}}\nenv: {{MODE: slow}}\nuser: nobody\n{SIGNATURE_A}"
    );
    let b = defined(&text);
    let i = built(
        &b,
        "--name boiler --base scratch --label tier=two --annotation org.opencontainers.image.url=http://x \
         --env MODE=fast --user 7 --workdir /w --payload weights.bin --metadata site=south --owner 5:6",
    );
    let config = &i.config["config"];
    assert_eq!(config["Labels"]["MODEL_NAME"], "Boiler_7");
    assert_eq!(config["Labels"]["tier"], "two");
    assert_eq!(config["Env"], serde_json::json!(["MODE=fast"]));
    assert_eq!((&config["User"], &config["WorkingDir"]), (&"7".into(), &"/w".into()));
    let annotations = &i.manifest["annotations"];
    assert_eq!(annotations["org.opencontainers.image.url"], "http://x");
    assert_eq!(annotations["dev.floe.metadata.site"], "south");
    assert_eq!(payload(&i), ["weights.bin"]);
    let listed = b.json("versions oci:l --json");
    assert_eq!(listed["versions"].as_array().unwrap().len(), 1);
    // A runtime of the catalog instead of the one that the definition names.
    let doc = b.json("build m --name boiler --runtime modelcar --dry-run --json");
    assert!(doc["plan"].to_string().contains("models/src/func_main.py"), "{doc:#}");
}

#[test]
fn payload_names_follow_one_rule_with_a_flag_for_the_other() {
    let b = defined("kind: Model\nname: m\npayload: [src/func_main.py, weights.bin]\n");
    assert_eq!(payload(&built(&b, "")), ["src/func_main.py", "weights.bin"]);
    let b = defined("kind: Model\nname: m\npayload: [src/func_main.py, weights.bin]\n");
    assert_eq!(payload(&built(&b, "--payload-names basename")), ["func_main.py", "weights.bin"]);
    let b = defined("kind: Model\nname: m\npayload: ['*.bin', 'src/*.py']\n");
    assert_eq!(payload(&built(&b, "")), ["src/func_main.py", "weights.bin"]);
}

#[test]
fn a_definition_can_come_from_elsewhere() {
    let b = defined("kind: Model\nname: inside\n");
    b.write("other.yaml", "kind: Model\nname: outside\npayload: [src/]\n");
    assert!(b.answer("build m -f other.yaml -q").contains(":outside:v1-"));
    // The definition itself stands for its folder.
    assert!(b.answer("build m/serving.yaml -q").contains(":inside:v1-"));
}

#[test]
fn what_a_definition_may_not_say_is_told_with_its_place() {
    for (text, line, code, wanted) in [
        (
            "kind: Model\nname: m\npayload: [src/, gone.txt]\n",
            "build m",
            3,
            r#"
            error: m/serving.yaml:3:17: payload `gone.txt` does not exist
            3 | payload: [src/, gone.txt]
              |                 ^^^^^^^^
            hint: paths are relative to `m`
            "#,
        ),
        (
            "kind: Model\nname: m\npayload: [../secret]\n",
            "build m",
            3,
            r#"
            error: m/serving.yaml:3:11: payload `../secret` leaves the folder of the definition, and would leave the model's folder in the image
            3 | payload: [../secret]
              |           ^^^^^^^^^
            hint: move it beside the definition; or pack each entry under its last name, as clients up to 2.x did, with `--payload-names basename`
            "#,
        ),
        (
            "kind: Model\nname: m\ninstall-command: pip install -r requirements.txt\n",
            "build m",
            3,
            r#"
            error: m/serving.yaml:3:18: the definition has an `install-command`, which this floe does not run
            3 | install-command: pip install -r requirements.txt
              |                  ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
            hint: install what the model needs in the base image, name that with `--base`, and remove the key
            "#,
        ),
        (
            "kind: Model\nname: Light GBM\n",
            "build m",
            3,
            r#"
            error: m/serving.yaml:2:7: the model's name `Light GBM` cannot name a repository
            2 | name: Light GBM
              |       ^^^^^^^^^
            hint: give one with `--name light-gbm`; the label MODEL_NAME keeps the original
            "#,
        ),
        (
            "kind: Model\nname: m\npayloads: [src/]\n",
            "build m",
            3,
            r#"
            error: m/serving.yaml:3:1: unknown key `payloads` in a model
            3 | payloads: [src/]
              | ^^^^^^^^
            hint: did you mean `payload`?
            "#,
        ),
        (
            "kind: Model\nname: [\n",
            "build m",
            3,
            r#"
            error: m/serving.yaml:2:7: malformed YAML: unclosed bracket '['
            2 | name: [
              |       ^
            hint: check the indentation, the quotes and the brackets here and on the line before
            "#,
        ),
        (
            "kind: Modle\nname: m\n",
            "build m",
            3,
            r#"
            error: m/serving.yaml:1:7: unknown kind `Modle`
            1 | kind: Modle
              |       ^^^^^
            hint: did you mean `Model`?
            "#,
        ),
        (
            "kind: Model\nname: m\npayload: [src/]\n",
            "build m --payload nowhere",
            3,
            r#"
            error: command line: payload `nowhere` does not exist
            hint: paths are relative to `m`
            "#,
        ),
    ] {
        defined(text).refused(line).fails(code, wanted);
    }
}

#[test]
fn a_contract_against_what_the_model_records_is_an_error() {
    let b = Bench::new();
    b.write("m/model.onnx", ONNX);
    b.write(
        "m/serving.yaml",
        "kind: Model\nname: m\ncontract:\n  inputs: {X: {shape: [-1, 4], type: int8}}\n  \
         outputs: {variable: {shape: [-1, 4], type: float32}}\n",
    );
    b.refused("build m").fails(
        3,
        r#"
        error: dtype of the input `X` of `predict`: the definition says `int8`, the model `float32`
        hint: correct the definition, remove its contract, or keep it with `--trust-definition`
    "#,
    );
    let ran = b.floe("build m -o oci:l --trust-definition --progress none");
    ran.shows(
        r#"
        $ floe build m -o oci:l --trust-definition --progress none
        oci:l:v1-<16>
        | warning: dtype of the input `X` of `predict`: the definition says `int8`, the model `float32`
        | hint: the definition is trusted
    "#,
    );
    assert!(String::from_utf8_lossy(&image(&b.path("l")).files["model/contract.json"]).contains("int8"));
}

#[test]
fn a_model_that_is_not_recognised_needs_a_contract_on_a_runtime_only() {
    let b = Bench::new();
    b.write("m/weights.bin", [7; 100]);
    b.floe("build m -o oci:l --progress none").shows(r#"
        $ floe build m -o oci:l --progress none
        oci:l:v1-<16>
        | warning: no format was recognised and no contract is declared; the image holds the files alone
        | hint: declare one in a serving.yaml: a `contract` with `inputs` and `outputs`; `floe schema` prints what may stand there
    "#);
    b.refused("build m --runtime hydrosphere-python-3.7").fails(3, r#"
        error: no format was recognised, and the runtime `hydrosphere-python-3.7` needs a contract
        hint: declare one in a serving.yaml: a `contract` with `inputs` and `outputs`; `floe schema` prints what may stand there
    "#);
    b.write("d/weights.bin", [7; 100]);
    b.write("d/serving.yaml", format!("kind: Model\nname: d\n{SIGNATURE_A}"));
    b.floe("build d -o oci:l2 --progress none").shows(
        r#"
        $ floe build d -o oci:l2 --progress none
        oci:l2:v1-<16>
    "#,
    );
}

#[test]
fn a_runtime_that_cannot_serve_the_format_is_refused() {
    let b = Bench::with_model();
    b.refused("build model.onnx --runtime tensorflow-serving").fails(
        3,
        r#"
        error: the runtime `tensorflow-serving` serves tensorflow, and the format of the model is onnx
        hint: choose another one with `--runtime`, or give a base by hand with `--base`
    "#,
    );
}

#[test]
fn what_should_not_be_published_stays_out() {
    let b = Bench::new();
    for name in [
        ".env",
        ".env.local",
        ".netrc",
        "server.pem",
        "id_rsa",
        ".aws/credentials",
        ".git/HEAD",
        "__pycache__/a.pyc",
        ".ipynb_checkpoints/x.ipynb",
        "wandb/run",
        "mlruns/0/meta.yaml",
        "notes.md",
        "data/big.csv",
        "model.onnx",
    ] {
        b.write(&format!("m/{name}"), if name == "model.onnx" { ONNX } else { b"x" });
    }
    b.write("m/.floeignore", "*.md\n/data/\n");
    b.floe("build m -o oci:l").shows(r#"
        $ floe build m -o oci:l
        oci:l:v1-<16>
        | 1 file, 239 B
        |   239 B  model.onnx
        | left out: m/.aws, m/.env, m/.env.local, m/.floeignore, m/.git, m/.ipynb_checkpoints, m/.netrc, m/__pycache__, m/data, m/id_rsa and 4 more (-v shows them)
        | onnx: `model.onnx` holds an ONNX model (`ir_version` and a graph)
        | configuration: written (493 B)
        | contract, 2 files: written (331 B)
        | weights model.onnx: written (346 B)
    "#);
    assert_eq!(payload(&image(&b.path("l"))), ["model.onnx"]);
    // What the author asks for in so many words is packed.
    b.write("m/.floeignore", "!notes.md\n!.env.local\n");
    b.answer("build m -o oci:l2");
    let again = image(&b.path("l2"));
    assert!(
        payload(&again).contains(&"notes.md") && payload(&again).contains(&".env.local"),
        "{:?}",
        payload(&again)
    );
}

#[test]
fn a_credential_is_refused_unless_it_is_allowed_by_name() {
    let b = Bench::with_model();
    std::fs::create_dir(b.path("m")).unwrap();
    std::fs::rename(b.path("model.onnx"), b.path("m/model.onnx")).unwrap();
    // Taken apart, so that this file holds none.
    let key = format!(
        "aws_access_key_id = {}{}\naws_secret_access_key = {}\n",
        "AKIA",
        "Z7Q2M4X6B8N3V5C1",
        "q9".repeat(20)
    );
    b.write("m/config.txt", format!("# settings\n{key}"));
    b.refused("build m").fails(3, r#"
        error: `m/config.txt` holds an AWS access key id in line 2
        hint: remove it, name the file in `.floeignore`, or pack it all the same with `--allow-secret config.txt`
    "#);
    b.refused("build m --allow-secret other.txt");
    b.answer("build m --allow-secret config.txt");
    b.answer("build m --allow-secret m/config.txt");
}

#[test]
fn several_models_do_not_share_a_destination() {
    let b =
        defined("kind: Model\nname: one\npayload: [src/]\n---\nkind: Model\nname: two\npayload: [src/]\n");
    for to in ["oci-archive:all.tar", "oci:all", "docker://127.0.0.1:1/all"] {
        let said = b.command(&format!("build m -o {to}")).go();
        assert_eq!(said.code, 2, "{said:#?}");
        assert!(said.err.contains("several models would be published to"), "{said:#?}");
    }
    assert_eq!(b.answer("build m -q -o oci:each/").lines().count(), 2);
    // Two spellings are one file.
    let said = b.command("build m/src -q -o oci-archive:a.tar -o docker-archive:./a.tar").go();
    assert!(said.code == 2 && said.err.contains("given twice"), "{said:#?}");
}

#[test]
fn a_name_like_a_host_stays_in_the_local_store() {
    let b = Bench::with_model();
    let said = b.answer("build model.onnx -q --name localhost.x/m");
    assert!(said.starts_with("oci:") && said.contains("store:localhost.x/m:v1-"), "{said}");
}

#[test]
fn what_a_build_writes_is_not_packed_by_the_next() {
    let b = Bench::new();
    b.write("m/model.onnx", ONNX);
    let line = "build m -q -o oci:m/out -o oci-archive:m/out.tar --digestfile m/digest";
    let first = b.answer(line);
    assert_eq!(b.answer(line), first);
    assert_eq!(b.answer(line), first);
}

#[test]
fn a_definition_behind_a_link_that_leaves_the_model_is_not_read() {
    let b = Bench::new();
    b.write("m/model.onnx", ONNX);
    b.write("secret", "password: hunter2\n");
    for name in ["serving.yaml", ".floeignore"] {
        std::os::unix::fs::symlink("../secret", b.path("m").join(name)).unwrap();
        let said = b.command("build m").go();
        assert_eq!(said.code, 3, "{said:#?}");
        assert!(said.err.contains("a link that leads out") && !said.err.contains("hunter2"), "{said:#?}");
        std::fs::remove_file(b.path("m").join(name)).unwrap();
    }
}

#[test]
fn the_order_of_platforms_does_not_show() {
    let b = Bench::with_model();
    let one = b.answer("build model.onnx -q --print digest --platform linux/amd64,linux/arm64");
    assert_eq!(b.answer("build model.onnx -q --print digest --platform linux/arm64,linux/amd64"), one);
}
