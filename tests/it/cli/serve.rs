//! `floe serve`: what it says before it serves anything.

use super::bench::Bench;

#[test]
fn c03_what_cannot_be_served_is_a_3_and_says_what_to_give() {
    let b = Bench::with_a_store();
    b.refused("serve nowhere --http-port 0 --grpc-port 0").fails(
        3,
        r#"
        error: cannot open the model `nowhere`: No such file or directory (os error 2)
        hint: name a folder with an ONNX model in it, or the `.onnx` file
    "#,
    );
    b.write("empty/notes.txt", "no model");
    b.refused("serve empty --http-port 0 --grpc-port 0").fails(
        3,
        r#"
        error: cannot serve `empty`: no model is in it
        hint: `floe serve` runs ONNX models: give a `.onnx` file, or a folder with one in it
    "#,
    );
    b.write("broken/contract.json", "{}");
    b.write("broken/files/model.onnx", "no model");
    let run = b.command("serve broken --http-port 0 --grpc-port 0").go();
    assert_eq!(run.code, 3, "{run:#?}");
    assert!(run.err.contains("contract.json"), "{run:#?}");
}

#[test]
fn c03_values_that_are_none_are_a_2_and_say_what_was_expected() {
    let b = Bench::with_a_store();
    for (flag, expected) in [
        ("--host example.org", "expected an IP address, as in 127.0.0.1 or ::"),
        ("--max-body much", "expected a size, as in 64MiB"),
        ("--deadline never", "expected a time, as in 30s"),
        ("--workers 0", "expected a number from 1 on"),
    ] {
        let run = b.command(&format!("serve m {flag}")).go();
        assert_eq!(run.code, 2, "{run:#?}");
        assert!(run.err.contains(expected), "{run:#?}");
    }
    let mut command = b.command("serve m --http-port 0 --grpc-port 0");
    command = command.env("FLOE_MODEL_ID", "xyz");
    let run = command.go();
    assert_eq!(run.code, 2, "{run:#?}");
    assert!(run.err.contains("expected a model id"), "{run:#?}");
}

#[test]
fn c10_every_flag_of_a_server_has_a_variable() {
    let b = Bench::with_a_store();
    let run = b.command("serve m --http-port 0 --grpc-port 0").env("FLOE_SERVE_MAX_BODY", "much").go();
    assert_eq!(run.code, 2, "{run:#?}");
    let help = b.command("serve --help").go();
    for flag in help.out.lines().filter_map(|l| l.trim_start().strip_prefix("--")) {
        let name = flag.split([' ', '[', '=']).next().unwrap();
        let own = format!("FLOE_SERVE_{}", name.to_uppercase().replace('-', "_"));
        let common = format!("FLOE_{}", name.to_uppercase().replace('-', "_"));
        assert!(help.out.contains(&own) || help.out.contains(&common), "{name} has no variable");
    }
}
