//! What users' hands already know: the rows that the present commands touch.

use std::fs::Permissions;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::bench::{Bench, ONNX};

const COMMANDS: [&str; 12] = [
    "build",
    "infer",
    "models",
    "versions",
    "inspect",
    "which",
    "copy",
    "inventory",
    "attach",
    "schema",
    "completions",
    "man",
];

/// The examples at the end of a help.
fn examples(help: &str) -> Vec<String> {
    let at = help.find("Examples:").unwrap_or_else(|| panic!("no examples: {help}"));
    let lines = help[at..].lines().skip(1).filter_map(|l| l.strip_prefix("  floe "));
    // A remark behind the command is set off by spaces.
    lines.map(|l| l.split("   ").next().unwrap().trim().to_owned()).collect()
}

#[test]
fn c01_examples_in_the_help_run() {
    let b = Bench::with_model();
    b.write("model/model.onnx", ONNX);
    b.write("saved_model/model.onnx", ONNX);
    b.answer("build model.onnx -q --name churn");
    b.write("churn/model.onnx", ONNX);
    for more in ["one", "two"] {
        b.write("churn/notes.txt", more);
        b.answer("build churn -q");
    }
    b.write("report.json", "{}");
    let mut ran = 0;
    for command in std::iter::once("").chain(COMMANDS) {
        for flag in ["-h", "--help"] {
            let help = b.answer(format!("{command} {flag}").trim());
            for line in examples(&help) {
                // What only exists elsewhere is understood, at least.
                let line = match &*line {
                    l if l.contains("localhost") || l.contains("registry.example") => {
                        assert_ne!(b.floe(&format!("{l} --no-such-flag")).code, 0);
                        continue;
                    }
                    l if l.starts_with("which ") => {
                        let version = b.json("versions churn --json")["versions"][0]["digest"].clone();
                        let digest = version.as_str().unwrap().to_owned();
                        let short = &digest["sha256:".len()..][..16];
                        l.replace("4a5b", &short[..8]).replace("0f1e2d3c4b5a6978", short)
                    }
                    l => l.to_owned(),
                };
                b.answer(&line);
                ran += 1;
            }
        }
    }
    assert!(ran >= 30, "{ran} examples");
}

#[test]
fn c01_short_help_is_a_screen() {
    let b = Bench::new();
    for command in std::iter::once("").chain(COMMANDS) {
        let lines = b.answer(format!("{command} -h").trim()).lines().count();
        assert!(lines <= 50, "`{command} -h` has {lines} lines");
    }
    let bare = b.floe("");
    assert_eq!((bare.code, bare.out.as_str()), (2, ""));
    assert!(bare.err.contains("\nCommands:\n") && bare.err.contains("\nExamples:\n"), "{bare:#?}");
}

#[test]
fn c02_version_says_commit_and_target() {
    let b = Bench::new();
    let name = concat!("floe ", env!("CARGO_PKG_VERSION"));
    assert_eq!(b.answer("-V"), format!("{name}\n"));
    let long = b.answer("--version");
    assert!(
        long.starts_with(&format!("{name} (")) && long.contains("linux") && long.contains("commit"),
        "{long}"
    );
}

#[test]
fn c04_colour_follows_the_flag_then_the_environment() {
    let b = Bench::new();
    let colored = |r: super::bench::Run| {
        let ran = r.go();
        assert_eq!(ran.out, "");
        assert!(ran.err.contains("error") && ran.err.contains("hint"), "{ran:#?}");
        ran.err.contains('\x1b')
    };
    let line = "build nowhere";
    assert!(!colored(b.command(line)));
    assert!(colored(b.command(line).env("CLICOLOR_FORCE", "1")));
    assert!(!colored(b.command(line).env("CLICOLOR_FORCE", "1").env("NO_COLOR", "1")));
    assert!(!colored(b.command(line).env("CLICOLOR_FORCE", "0")));
    assert!(colored(b.command("build nowhere --color always").env("NO_COLOR", "1")));
    assert!(!colored(b.command("build nowhere --color never").env("CLICOLOR_FORCE", "1")));
    assert!(colored(b.command(line).env("FLOE_COLOR", "always")));
    // A mistake on the command line is an error like others.
    assert!(colored(b.command("biuld").env("CLICOLOR_FORCE", "1")));
}

#[test]
fn c04_c06_a_terminal_gets_colour_and_a_pipe_gets_lines() {
    let b = Bench::with_model();
    let floe = env!("CARGO_BIN_EXE_floe");
    let on_terminal = |line: &str| {
        b.program("script", &["-qec", &format!("{floe} {line}"), "/dev/null"]).env("TERM", "xterm").go().out
    };
    assert!(on_terminal("build nowhere").contains("\x1b[31;1merror"));
    let shown = on_terminal("build model.onnx -o oci:l");
    assert!(shown.contains("1 file, 239 B") && shown.contains("oci:l:v1-"), "{shown:?}");
    // So little is done before a bar would be drawn.
    assert!(!shown.contains("\x1b["), "{shown:?}");
    for flags in ["", "-v", "-vv", "--progress plain", "--progress json"] {
        let ran = b.floe(&format!("build model.onnx -o oci:m {flags}"));
        assert!(!ran.err.contains(['\r', '\x1b']) && !ran.out.contains(['\r', '\x1b']), "{ran:#?}");
    }
}

#[test]
fn c05_c09_what_is_said_never_reaches_the_answer() {
    let b = Bench::with_model();
    let quiet = b.floe("build model.onnx -q");
    assert_eq!(quiet.err, "");
    let mut said = 0;
    for flags in ["", "-v", "-vv"] {
        let ran = b.floe(&format!("build model.onnx {flags}"));
        assert_eq!(ran.out, quiet.out);
        assert!(ran.err.len() > said, "{flags} says no more: {ran:#?}");
        said = ran.err.len();
    }
    for (level, same_as) in [("error", "-q"), ("info", ""), ("debug", "-v")] {
        let wanted = b.floe(&format!("build model.onnx {same_as}")).err;
        assert_eq!(b.command("build model.onnx").env("FLOE_LOG", level).go().err, wanted, "{level}");
    }
    // Warnings are heard at `warn`, and not below; the flag wins over the variable.
    b.write("n/weights.bin", "x");
    let at =
        |level: &str, flags: &str| b.command(&format!("build n {flags}")).env("FLOE_LOG", level).go().err;
    assert!(at("warn", "").starts_with("warning: "));
    assert_eq!(at("error", ""), "");
    assert_eq!(at("debug", "-q"), "");
    assert!(at("error", "-v").contains("open the base"));
    b.refused_run(b.command("build n").env("FLOE_LOG", "loud")).fails(
        2,
        r#"
        error: `--log` cannot be `loud`
        hint: use one of error, warn, info, debug, trace
    "#,
    );
}

#[test]
fn c07_ctrl_c_leaves_nothing_half_done() {
    let b = Bench::new();
    // Large enough to be still at work, and nothing to write to the disk.
    let file = std::fs::File::create(b.write("m/weights.bin", "")).unwrap();
    file.set_len(64 << 30).unwrap();
    for dest in ["oci:l", "oci-archive:x.tar"] {
        let mut child = b
            .command(&format!("build m -o {dest} --compression gzip"))
            .into_command()
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let temp = |b: &Bench| b.look_names().iter().any(|p| p.contains(".floe-tmp-"));
        let began = Instant::now();
        while !temp(&b) {
            assert!(began.elapsed() < Duration::from_secs(60), "nothing was begun");
            std::thread::sleep(Duration::from_millis(20));
        }
        let pid = child.id().to_string();
        let sent = b.program("kill", &["-INT", &pid]).go();
        assert_eq!(sent.code, 0, "{sent:#?}");
        let began = Instant::now();
        let out = loop {
            if child.try_wait().unwrap().is_some() {
                break child.wait_with_output().unwrap();
            }
            assert!(began.elapsed() < Duration::from_secs(60), "it goes on");
            std::thread::sleep(Duration::from_millis(20));
        };
        let err = String::from_utf8_lossy(&out.stderr);
        assert_eq!(out.status.code(), Some(130), "{err}");
        assert!(err.ends_with("error: stopped by the user\nnothing was published\n"), "{err}");
        assert!(out.stdout.is_empty() && !temp(&b), "{:?}", b.look_names());
        assert!(!b.path("x.tar").exists());
    }
    assert_eq!(b.floe("versions oci:l").code, 2);
}

#[test]
fn c08_a_closed_pipe_ends_quietly() {
    let b = Bench::with_model();
    for line in [
        "schema",
        "completions bash",
        "man build",
        "--help",
        "build --help",
        "--version",
        "build model.onnx -q",
        "models",
    ] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let out = b.command(line).into_command().stdout(writer).stderr(Stdio::piped()).output().unwrap();
        assert_eq!(
            (out.status.code(), String::from_utf8_lossy(&out.stderr).as_ref()),
            (Some(0), ""),
            "{line}"
        );
    }
    // Nobody listens to the talk either.
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let out = b.command("build model.onnx -vv").into_command().stderr(writer).output().unwrap();
    assert_eq!(out.status.code(), Some(0));
    assert!(out.stdout.starts_with(b"oci:"));
}

#[test]
fn c10_variables_stand_in_for_flags_and_flags_win() {
    let b = Bench::with_model();
    let help = b.answer("build --help");
    for name in [
        "OUTPUT",
        "NAME",
        "RUNTIME",
        "BASE",
        "PLATFORM",
        "COMPRESSION",
        "ALIAS",
        "JSON",
        "JOBS",
        "STORE",
        "AUTHFILE",
        "LOG",
    ] {
        assert!(help.contains(&format!("[env: FLOE_{name}]")), "{name}");
    }
    let digest = |r: super::bench::Run| {
        let ran = r.go();
        assert_eq!(ran.code, 0, "{ran:#?}");
        ran.out
    };
    let line = "build model.onnx -q";
    assert_eq!(digest(b.command(line).env("FLOE_OUTPUT", "oci:a\noci:b")).lines().count(), 2);
    assert!(digest(b.command(&format!("{line} -o oci:c")).env("FLOE_OUTPUT", "oci:a")).starts_with("oci:c:"));
    assert!(digest(b.command(line).env("FLOE_NAME", "churn")).contains(":churn:v1-"));
    assert!(digest(b.command(line).env("FLOE_JSON", "1")).starts_with('{'));
    for no in ["0", "false", ""] {
        assert!(digest(b.command(line).env("FLOE_JSON", no)).starts_with("oci:"), "{no:?}");
    }
    assert_eq!(b.command("build model.onnx").env("FLOE_QUIET", "1").go().err, "");
    assert!(b.command("build model.onnx -v").env("FLOE_QUIET", "1").go().err.contains("read the definition"));
    // A variable that is set to nothing is not set; one that a flag contradicts does not count.
    for name in [
        "FLOE_OUTPUT",
        "FLOE_BASE",
        "FLOE_PLATFORM",
        "FLOE_ALIAS",
        "FLOE_AUTHFILE",
        "FLOE_JOBS",
        "FLOE_PROGRESS",
    ] {
        digest(b.command(line).env(name, ""));
    }
    digest(b.command("build model.onnx -q --base scratch").env("FLOE_RUNTIME", "tensorflow-serving"));
    digest(b.command("build model.onnx -q --runtime modelcar").env("FLOE_BASE", "oci:nowhere"));
    // Help shows the names of variables and not what they hold.
    let shown = b.command("build --help").env("FLOE_AUTHFILE", "/run/secret").env("FLOE_NAME", "").go().out;
    assert_eq!(shown, help);
}

#[test]
fn c11_a_dash_is_standard_input() {
    let b = Bench::with_model();
    b.write("m/model.onnx", ONNX);
    let text = b"kind: Model\nname: piped\nlabels: {from: stdin}\n";
    let ran = b.command("build m -f - -o oci:l -q").input(text).go();
    assert_eq!(ran.code, 0, "{ran:#?}");
    let image = super::image::image(&b.path("l"));
    assert_eq!(image.config["config"]["Labels"]["from"], "stdin");
    let ran = b.command("build m -f -").input(b"kind: Model\nname: [\n").go();
    assert_eq!(ran.code, 3);
    assert!(ran.err.contains(":2:7: malformed YAML"), "{ran:#?}");
    b.answer("build m -q -o oci:n --digestfile -");
}

#[test]
fn c12_the_store_is_where_the_environment_says() {
    let b = Bench::with_model();
    std::fs::create_dir(b.path("home")).unwrap();
    let run = |line: &str| {
        b.command(line)
            .without("FLOE_STORE")
            .env("HOME", b.path("home"))
            .env("XDG_CACHE_HOME", b.path("cache"))
    };
    let build = "build model.onnx -q";
    for (run, store) in [
        (run("build model.onnx -q --store flag").env("FLOE_STORE", b.path("variable")), "flag"),
        (run(build).env("FLOE_STORE", b.path("variable")).env("XDG_DATA_HOME", b.path("data")), "variable"),
        (run(build).env("XDG_DATA_HOME", b.path("data")), "data/floe/store"),
    ] {
        let ran = run.go();
        assert_eq!(ran.code, 0, "{ran:#?}");
        assert!(b.path(store).join("index.json").exists(), "{store}");
        assert_eq!(std::fs::read_dir(b.path("home")).unwrap().count(), 0, "HOME was written to");
    }
    // Only an absolute folder counts (basedir-spec, "Environment variables").
    let ran = run(build).env("XDG_DATA_HOME", "relative").go();
    assert_eq!(ran.code, 0, "{ran:#?}");
    assert!(b.path("home/.local/share/floe/store/index.json").exists());
    // Without a home everything but the local store works, and that says what to do.
    let homeless = |line: &str| b.command(line).without("FLOE_STORE");
    assert_eq!(homeless("build model.onnx -q -o oci:l").go().code, 0);
    assert_eq!(homeless("infer model.onnx").go().code, 0);
    b.refused_run(homeless("build model.onnx")).fails(
        2,
        r#"
        error: `model` is a name in the local store, which has no folder
        hint: set FLOE_STORE, or name a destination with `-o oci:DIR`
    "#,
    );
    b.refused_run(homeless("models")).fails(
        2,
        r#"
        error: the local store has no folder
        hint: set FLOE_STORE, or name another place: `oci:DIR`, `docker://HOST/NAME`
    "#,
    );
}

#[test]
fn c13_completions_and_manual_pages_are_made_of_the_same_definitions() {
    let b = Bench::new();
    let script = b.write("completions.bash", b.answer("completions bash"));
    let checked = b.program("bash", &["-n", script.to_str().unwrap()]).go();
    assert_eq!(checked.code, 0, "{checked:#?}");
    assert!(b.answer("completions bash").contains("--payload-names"));
    let page = b.answer("man");
    assert!(page.contains(".TH floe 1"), "{page}");
    for command in COMMANDS {
        let page = b.answer(&format!("man {command}"));
        assert!(
            page.contains(&format!(".TH floe\\-{command} 1"))
                || page.contains(&format!(".TH floe-{command} 1")),
            "{page}"
        );
        assert!(page.contains("EXTRA") || page.contains("Examples"), "{page}");
    }
    let page = b.answer("man build");
    assert!(page.contains("FLOE_OUTPUT") && page.contains("Write the JSON document to a file"), "{page}");
    // The same for everybody.
    for line in ["man build", "completions zsh", "build --help"] {
        let other = b.command(line).env("FLOE_NAME", "x").env("FLOE_BASE", "").env("FLOE_STORE", "/s").go();
        assert_eq!(other.out, b.answer(line), "{line}");
    }
}

#[test]
fn c14_events_are_json_lines_with_a_version() {
    let b = Bench::with_model();
    let ran = b.floe("build model.onnx --progress json");
    let lines: Vec<Value> = ran.err.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!(lines[0], serde_json::json!({"event": "hello", "floe": 1}));
    let of = |name: &str| lines.iter().filter(|l| l["event"] == name).collect::<Vec<_>>();
    let contents = of("contents");
    assert_eq!((&contents[0]["files"], &contents[0]["bytes"]), (&1.into(), &239.into()));
    assert_eq!(contents[0]["largest"][0]["path"], "model.onnx");
    assert_eq!(of("begin").len(), of("end").len());
    let published = of("published");
    assert_eq!((published.len(), &published[0]["existed"]), (1, &false.into()));
    assert!(published[0]["reference"].as_str().unwrap().ends_with(published[0]["version"].as_str().unwrap()));
    // An error is an event too, and the last.
    let ran = b.floe("build nowhere --progress json");
    let last: Value = serde_json::from_str(ran.err.lines().last().unwrap()).unwrap();
    assert_eq!((&last["event"], &last["exit_code"], &last["floe"]), (&"error".into(), &3.into(), &1.into()));
    assert!(last["hint"].is_string());
}

#[test]
fn c15_people_get_units_and_programs_get_bytes() {
    let b = Bench::new();
    b.write("m/weights.bin", vec![7; 3 << 20]);
    b.write("m/code.py", vec![b'#'; 2000]);
    b.floe("build m -o oci:l --compression none").shows(r#"
        $ floe build m -o oci:l --compression none
        oci:l:v1-<16>
        | 2 files, 3.0 MiB (3147728 bytes)
        |   3.0 MiB  weights.bin
        |   2.0 KiB  code.py
        | warning: no format was recognised and no contract is declared; the image holds the files alone
        | hint: declare one in a serving.yaml: a `contract` with `inputs` and `outputs`; `floe schema` prints what may stand there
        | code code.py: written (4.5 KiB)
        | configuration: written (489 B)
        | weights weights.bin: written (3.0 MiB)
    "#);
    let doc = b.json("inspect oci:l --json");
    assert!(doc["size"].as_u64().unwrap() > 3 << 20);
    assert_eq!(doc["created"], "1970-01-01T00:00:01Z");
    assert!(b.answer("inspect oci:l").contains("3.0 MiB"));
}

#[test]
fn c16_a_pipe_gets_whole_tables() {
    let b = Bench::with_model();
    b.answer("build model.onnx -q");
    let digest = b.json("inspect model --json")["digest"].as_str().unwrap().to_owned();
    assert!(b.answer("versions model").contains(&digest));
    let floe = env!("CARGO_BIN_EXE_floe");
    let narrow = format!("stty cols 60; {floe} versions model");
    let shown = b.program("script", &["-qec", &narrow, "/dev/null"]).go().out;
    assert!(shown.contains('…') && !shown.contains(&digest), "{shown}");
    assert!(shown.lines().all(|l| l.trim_end().chars().count() <= 60), "{shown}");
}

#[test]
fn c18_exit_codes_are_in_help_and_manual() {
    let b = Bench::new();
    for line in ["--help", "build --help", "man", "man build"] {
        let text = b.answer(line).replace("\\-", "-");
        for code in ["definition or model", "integrity", "130"] {
            assert!(text.contains(code), "{line}: {code}");
        }
    }
}

#[test]
fn c20_names_from_outside_are_shown_escaped() {
    let b = Bench::new();
    b.write("m/model.onnx", ONNX);
    let odd = std::ffi::OsString::from_vec(b"a\xff\x1b[31m\nb.bin".to_vec());
    std::fs::write(b.path("m").join(&odd), "x").unwrap();
    b.floe("build m -o oci:l").shows(
        r#"
        $ floe build m -o oci:l
        oci:l:v1-<16>
        | 2 files, 240 B
        |   239 B  model.onnx
        |     1 B  a\xff\u{1b}[31m\nb.bin
        | onnx: `model.onnx` holds an ONNX model (`ir_version` and a graph)
        | configuration: written (491 B)
        | contract, 2 files: written (331 B)
        | weights, 2 files: written (470 B)
    "#,
    );
    let ran = b.command("build").arg(odd.clone()).go();
    assert_eq!(
        ran.err.lines().next().unwrap(),
        r"error: cannot open the model `a\xff\u{1b}[31m\nb.bin`: No such file or directory (os error 2)"
    );
    let ran = b.command("inspect").arg(std::ffi::OsString::from_vec(b"a\x1b[31mb".to_vec())).go();
    assert!(ran.code == 2 && !ran.err.contains('\x1b'), "{ran:#?}");
    let ran = b.command("build m --label").arg(odd).go();
    assert!(ran.code == 2 && !ran.err.contains('\x1b'), "{ran:#?}");
}

#[test]
fn c21_what_build_prints_is_read_by_skopeo() {
    let b = Bench::with_model();
    let dests = [
        "-o",
        "model",
        "-o",
        "oci:l",
        "-o",
        "oci-archive:a.tar",
        "-o",
        "docker-archive:b.tar",
        "-o",
        "oci-archive:c.tar:mine",
    ];
    let digest = b.answer("build model.onnx -q --print digest");
    let printed = b.answer(&format!("build model.onnx -q {}", dests.join(" ")));
    assert_eq!(printed.lines().count(), 5);
    for line in printed.lines() {
        let seen = b.program("skopeo", &["inspect", "--raw", line]).go();
        assert_eq!(seen.code, 0, "{line}: {seen:#?}");
        // Skopeo makes a manifest of its own of what Docker saved.
        if !line.starts_with("docker-archive:") {
            assert_eq!(floe::oci::Digest::of(seen.out.as_bytes()).to_string(), digest.trim(), "{line}");
        }
    }
}

#[test]
fn c39_umask_and_setgid_of_an_output_folder_are_respected() {
    let b = Bench::with_model();
    std::fs::create_dir(b.path("team")).unwrap();
    let floe = env!("CARGO_BIN_EXE_floe");
    for (umask, file, folder) in [("027", 0o640, 0o750), ("077", 0o600, 0o700), ("002", 0o664, 0o775)] {
        let line = format!(
            "umask {umask}; exec {floe} build model.onnx -q -o oci:l{umask} -o oci-archive:a{umask}.tar --digestfile d{umask}"
        );
        let ran = b.program("sh", &["-c", &line]).go();
        assert_eq!(ran.code, 0, "{ran:#?}");
        for (path, (mode, _)) in b.look() {
            let name = path.strip_prefix(b.path("")).unwrap().to_string_lossy().into_owned();
            if name.contains(umask) {
                let wanted = if path.is_dir() { folder } else { file };
                assert_eq!(mode & 0o777, wanted, "umask {umask}: {name} has {mode:o}");
            }
        }
    }
    std::fs::set_permissions(b.path("team"), Permissions::from_mode(0o2775)).unwrap();
    let group = if b.program("chgrp", &["65534", "team"]).go().code == 0 {
        65534
    } else {
        b.path("team").metadata().unwrap().gid()
    };
    std::fs::set_permissions(b.path("team"), Permissions::from_mode(0o2775)).unwrap();
    b.answer("build model.onnx -q -o oci:team/l -o oci-archive:team/a.tar");
    for name in ["team/l", "team/l/blobs/sha256", "team/l/index.json", "team/a.tar"] {
        let meta = b.path(name).metadata().unwrap();
        assert_eq!(meta.gid(), group, "{name}");
        assert!(!meta.is_dir() || meta.mode() & 0o2000 != 0, "{name} lost the setgid bit");
    }
}

#[test]
fn c43_any_user_without_home_and_capabilities_can_build() {
    let b = Bench::with_model();
    std::fs::create_dir(b.path("out")).unwrap();
    std::fs::set_permissions(b.path("out"), Permissions::from_mode(0o777)).unwrap();
    std::fs::set_permissions(b.path(""), Permissions::from_mode(0o555)).unwrap();
    let floe = b.for_others().display().to_string();
    let mut words = vec!["--no-new-privs"];
    // Only root can become somebody else; everybody else is nobody special already.
    if b.path("").metadata().unwrap().uid() == 0 {
        words.extend([
            "--reuid=12345",
            "--regid=12345",
            "--clear-groups",
            "--bounding-set=-all",
            "--inh-caps=-all",
        ]);
    }
    words.extend([floe.as_str(), "build", "model.onnx", "-o", "oci:out/l", "-o", "oci-archive:out/a.tar"]);
    let ran = b.program("setpriv", &words).without("FLOE_STORE").go();
    std::fs::set_permissions(b.path(""), Permissions::from_mode(0o755)).unwrap();
    assert_eq!(ran.code, 0, "{ran:#?}");
    assert_eq!(ran.out.lines().count(), 2);
}

#[test]
fn c40_a_step_of_github_gets_outputs_a_summary_and_annotations() {
    let b = Bench::with_model();
    let run = |line: &str| {
        b.command(line)
            .env("GITHUB_OUTPUT", b.path("outputs"))
            .env("GITHUB_STEP_SUMMARY", b.path("summary.md"))
    };
    // The file is shared by the tools of a step: what is there stays.
    b.write("outputs", "theirs=1\n");
    let ran = run("build model.onnx --github --json").go();
    assert_eq!(ran.code, 0, "{ran:#?}");
    let doc: Value = serde_json::from_str(&ran.out).unwrap();
    let (digest, version) = (doc["digest"].as_str().unwrap(), doc["version"].as_str().unwrap());
    let reference = doc["published"][0]["ref"].as_str().unwrap();
    let text = |name: &str| String::from_utf8(b.read(name)).unwrap();
    assert_eq!(text("outputs"), format!("theirs=1\ndigest={digest}\nversion={version}\nref={reference}\n"));
    let summary = text("summary.md");
    assert!(summary.starts_with("### floe: model\n\n| | |\n|---|---|\n"), "{summary}");
    assert!(summary.contains(&format!("| version | `{version}` |\n| digest | `{digest}` |\n")), "{summary}");
    assert!(summary.contains(&format!("| published | `{reference}` |\n")), "{summary}");
    assert!(!ran.err.contains("::error"), "{ran:#?}");

    // Several destinations: a line each, between delimiters.
    b.write("outputs", "");
    assert_eq!(run("build model.onnx -q -o oci:l -o oci-archive:a.tar").env("FLOE_GITHUB", "1").go().code, 0);
    let lines: Vec<String> = text("outputs").lines().map(str::to_owned).collect();
    let delimiter = lines[2].strip_prefix("ref<<").unwrap();
    assert!(lines[3].starts_with("oci:l:v1-") && lines[4].starts_with("oci-archive:a.tar:v1-"), "{lines:?}");
    assert_eq!((lines.len(), lines[5].as_str()), (6, delimiter));

    // An error is told to people and to the run; where lines are JSON it is an event only.
    b.write("outputs", "");
    let ran = run("build nowhere --github").go();
    assert_eq!((ran.code, ran.out.as_str()), (3, ""));
    let last = ran.err.lines().last().unwrap();
    assert!(ran.err.starts_with("error: cannot open the model `nowhere`"), "{ran:#?}");
    assert!(
        last.starts_with("::error title=floe::cannot open the model `nowhere`") && last.contains("%0Ahint: "),
        "{ran:#?}"
    );
    assert!(!run("build nowhere").go().err.contains("::error"));
    let ran = run("build nowhere --github --progress json").go();
    assert!(ran.err.lines().all(|l| serde_json::from_str::<Value>(l).is_ok()), "{ran:#?}");
    assert_eq!(text("outputs"), "", "nothing came of it");

    // Outside of such a step it is a mistake, and nothing is built.
    b.refused_run(b.command("build model.onnx --github").env("GITHUB_OUTPUT", "")).fails(
        2,
        r#"
        error: `--github` hands results on in the file GITHUB_OUTPUT, which is not set
        hint: leave it out where no step of GitHub Actions runs; `--digestfile` and `--json` work everywhere
        ::error title=floe::`--github` hands results on in the file GITHUB_OUTPUT, which is not set%0Ahint: leave it out where no step of GitHub Actions runs; `--digestfile` and `--json` work everywhere
    "#,
    );
}

#[test]
fn c42_a_task_of_tekton_gets_its_results() {
    let b = Bench::with_model();
    let registry = crate::support::registry::TestRegistry::start();
    std::fs::create_dir(b.path("results")).unwrap();
    let to = format!("docker://{}/team/", registry.addr());
    let doc = b.json(&format!("build model.onnx --json -o oci:l -o {to} --tekton results"));
    let text = |name: &str| String::from_utf8(b.read(&format!("results/{name}"))).unwrap();
    // As they are: a line break would be part of a result.
    assert_eq!(text("IMAGE_DIGEST"), doc["digest"].as_str().unwrap());
    assert_eq!(
        text("IMAGE_URL"),
        format!("{}/team/model:{}", registry.addr(), doc["version"].as_str().unwrap())
    );
    // Both together are a reference, as Tekton Chains puts them together.
    let whole = format!("{}@{}", text("IMAGE_URL"), text("IMAGE_DIGEST"));
    assert_eq!(b.json(&format!("inspect {whole} --json"))["digest"], doc["digest"]);

    // The variable of a task does the same; a folder that is not there is told before anything is published.
    std::fs::remove_file(b.path("results/IMAGE_URL")).unwrap();
    let line = format!("build model.onnx -q -o {to}");
    assert_eq!(b.command(&line).env("FLOE_TEKTON", "results").go().code, 0);
    assert!(b.path("results/IMAGE_URL").exists());
    registry.forget();
    assert_eq!(b.refused(&format!("build model.onnx -o {to} --tekton nowhere")).code, 1);
    assert!(registry.log().is_empty());
    b.refused("build model.onnx -o oci:m --tekton results").fails(
        2,
        r#"
        error: `--tekton` hands on the image in a registry, and none is a destination
        hint: add one: `-o docker://HOST/REPO`
    "#,
    );
}
