//! What is refused: the message says what, expected, found and what to do; the exit code says whose
//! fault it is; and everything is as it was before.

use std::os::unix::fs::{PermissionsExt, symlink};

use serde_json::json;

use super::bench::{Bench, ONNX};
use super::image::{Layout, tar_of};

/// Whether this user may read everything whatever the mode says.
fn is_root(b: &Bench) -> bool {
    let probe = b.write("probe", "x");
    std::fs::set_permissions(&probe, PermissionsExt::from_mode(0o000)).unwrap();
    std::fs::read(&probe).is_ok()
}

/// The bench as another user would find it: everything is theirs.
fn give_away(b: &Bench) {
    let out = b.program("chown", &["-R", "65534:65534", "."]).go();
    assert_eq!(out.code, 0, "{out:#?}");
}

/// A line for a user who is bound by modes: this one, or nobody where this one is root.
fn as_somebody(b: &Bench, line: &str) -> super::bench::Run {
    if !is_root(b) {
        return b.command(line);
    }
    give_away(b);
    let floe = b.for_others().display().to_string();
    let mut words = vec!["--reuid=65534", "--regid=65534", "--clear-groups", &floe];
    words.extend(line.split_whitespace());
    b.program("setpriv", &words)
}

#[test]
fn an_unreadable_file() {
    let b = Bench::with_a_store();
    let file = b.write("m/weights.bin", "secret");
    std::fs::set_permissions(&file, PermissionsExt::from_mode(0o000)).unwrap();
    let run = as_somebody(&b, "build m -o oci:l");
    b.refused_run(run).fails(
        1,
        r#"
        error: cannot open `m/weights.bin`: Permission denied (os error 13)
        hint: check the owner and the mode of the file and its folders
    "#,
    );
    let b = Bench::with_a_store();
    b.refused("build nowhere").fails(
        3,
        r#"
        error: cannot open the model `nowhere`: No such file or directory (os error 2)
        hint: name the folder of the model, or the file if it is a single one
    "#,
    );
    b.refused("build m -f nowhere.yaml").fails(
        1,
        r#"
        error: cannot open `nowhere.yaml`: No such file or directory (os error 2)
        hint: check that the path is right, and that its file system can be used
    "#,
    );
}

#[test]
fn a_base_that_is_no_image() {
    let b = Bench::with_a_store();
    b.write("text.tar", "this is no archive at all\n".repeat(100));
    b.write("zip.tar", [&b"PK\x03\x04"[..], &[0; 2000]].concat());
    b.write("files.tar", tar_of(&[("etc/motd", b"hello\n")]));
    b.write("folder/x", "x");
    b.refuses(&[
        "build m --base oci-archive:text.tar",
        "build m --base oci-archive:files.tar",
        "build m --base docker-archive:files.tar",
        "build m --base oci:folder",
        "build m --base oci:nowhere",
        "build m --base oci-archive:nowhere.tar",
        "build m --base rootfs:nowhere",
        "build m --base rootfs:zip.tar",
        "build m --base /some/path",
        "build m --base sha256:0123",
    ], r#"
        $ floe build m --base oci-archive:text.tar
        exit code 5
        error: the base `oci-archive:text.tar`: the archive `text.tar`: it is no tar file
        hint: fetch or copy it again; if it stays, its source is damaged
        $ floe build m --base oci-archive:files.tar
        exit code 5
        error: the base `oci-archive:files.tar`: there is no `index.json` in the archive `files.tar`
        hint: it is no archive of an image; for a root file system write `rootfs:FILE`
        $ floe build m --base docker-archive:files.tar
        exit code 5
        error: the base `docker-archive:files.tar`: there is no `manifest.json` in the archive `files.tar`
        hint: it is no archive of an image; for a root file system write `rootfs:FILE`
        $ floe build m --base oci:folder
        exit code 2
        error: the base `oci:folder`: `folder` is no OCI layout, and it is not empty: it has `x`
        hint: check the path; a layout is a folder with a file `oci-layout` in it
        $ floe build m --base oci:nowhere
        exit code 1
        error: the base `oci:nowhere`: there is no OCI layout in `nowhere`
        hint: check the path; a layout is a folder with a file `oci-layout` in it
        $ floe build m --base oci-archive:nowhere.tar
        exit code 1
        error: the base `oci-archive:nowhere.tar`: cannot open `nowhere.tar`: No such file or directory (os error 2)
        hint: check that the path is right, and that its file system can be used
        $ floe build m --base rootfs:nowhere
        exit code 1
        error: cannot open the base `nowhere`: No such file or directory (os error 2)
        hint: check that the path is right, and that its file system can be used
        $ floe build m --base rootfs:zip.tar
        exit code 3
        error: `zip.tar` is not a tar archive
        hint: give a folder, or a tar of a file system that is plain or compressed with gzip or zstd
        $ floe build m --base /some/path
        exit code 2
        error: `/some/path` is no place for an image: it looks like a path, and a path needs a transport in front of it
        hint: write `oci:DIR`, `oci-archive:FILE`, `docker-archive:FILE` or `rootfs:PATH`
        $ floe build m --base sha256:0123
        exit code 2
        error: `sha256:0123` is no place for an image: a digest needs a name in front of it
        hint: write `NAME@sha256:0123`; `floe which sha256:0123` finds the name in the local store
    "#);
    // An artifact, such as a signature or a Helm chart, has a manifest too.
    let path = b.path("artifact");
    let l = Layout(&path);
    let config = l.blob("application/vnd.cncf.helm.config.v1+json", b"{}");
    let manifest = json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": config, "layers": [],
    });
    l.name("x", l.blob("application/vnd.oci.image.manifest.v1+json", manifest.to_string().as_bytes()));
    b.refused("build m --base oci:artifact:x").fails(3, r#"
        error: the base `oci:artifact:x` is no image but an artifact of the type `application/vnd.cncf.helm.config.v1+json`
        hint: give an image that a container can be started from, or `scratch`
    "#);
    b.refused("build m --base oci:artifact:y").fails(
        3,
        r#"
        error: the base `oci:artifact:y` does not exist
        hint: check the path and the name of the image in it; `skopeo inspect` shows what is there
    "#,
    );
}

#[test]
fn a_base_of_schema_1() {
    let b = Bench::with_a_store();
    let path = b.path("old");
    let l = Layout(&path);
    let manifest = json!({
        "schemaVersion": 1, "name": "library/old", "tag": "latest", "architecture": "amd64",
        "fsLayers": [{"blobSum": floe::oci::Digest::of(b"x").to_string()}], "history": [{"v1Compatibility": "{}"}],
    });
    for media_type in [
        "application/vnd.docker.distribution.manifest.v1+prettyjws",
        "application/vnd.docker.distribution.manifest.v1+json",
    ] {
        l.name("latest", l.blob(media_type, manifest.to_string().as_bytes()));
        b.refused("build m --base oci:old:latest").fails(3, r#"
        error: the base `oci:old:latest`: expected an OCI or Docker schema 2 image, found a schema 1 manifest
        hint: schema 1 images were retired in 2017; pull and push the image with a current Docker or skopeo to convert it
    "#);
    }
}

#[test]
fn a_wrong_digest() {
    let b = Bench::with_a_store();
    let path = b.path("base");
    let layer = Layout(&path).base("latest");
    let file = path.join("blobs/sha256").join(&layer["sha256:".len()..]);
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[600] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    // The first blob that is written is the damaged one, so the store stays as it is.
    b.refused("build m --base oci:base:latest").fails(
        5,
        r#"
        error: `base/blobs/sha256/<64>`: expected sha256:<64> with 2048 bytes, found sha256:<64>
        hint: the content was damaged or cut short; fetch or build it again
    "#,
    );
    // The manifest: nothing is read before it is right.
    let path = b.path("other");
    Layout(&path).base("latest");
    let index: serde_json::Value = serde_json::from_slice(&b.read("other/index.json")).unwrap();
    let digest = index["manifests"][0]["digest"].as_str().unwrap();
    let name = format!("other/blobs/sha256/{}", &digest["sha256:".len()..]);
    let text = String::from_utf8(b.read(&name)).unwrap();
    b.write(&name, text.replace("\"schemaVersion\":2", "\"schemaVersion\":3"));
    b.refused("build m --base oci:other:latest").fails(5, r#"
        error: the base `oci:other:latest`: `other/blobs/sha256/<64>`: expected sha256:<64> with 397 bytes, found sha256:<64>
        hint: the content was damaged or cut short; fetch or build it again
    "#);
}

#[test]
fn a_truncated_archive() {
    let b = Bench::with_a_store();
    b.answer("build m -q -o oci-archive:whole.tar");
    let whole = b.read("whole.tar");
    let mut refused = 0;
    for length in [1, 100, 511, 512, 700, 1024, whole.len() / 2, whole.len() - 1024 - 512, whole.len() - 1030]
    {
        b.write("cut.tar", &whole[..length]);
        for transport in ["oci-archive", "docker-archive"] {
            let ran = b.refused(&format!("build m --base {transport}:cut.tar -q"));
            assert_eq!(ran.code, 5, "{length}: {ran:#?}");
            assert!(ran.err.contains("cut.tar") && ran.err.contains("\nhint: "), "{length}: {ran:#?}");
            refused += 1;
        }
    }
    assert_eq!(refused, 18);
    b.write("cut.tar", &whole[..whole.len() / 2]);
    b.refused("inspect oci-archive:cut.tar").fails(
        5,
        r#"
        error: the archive `cut.tar`: it is cut short, something is missing at byte 5120
        hint: copy or download the file again
    "#,
    );
}

#[test]
fn a_path_with_dots() {
    let b = Bench::with_a_store();
    b.write("m/serving.yaml", "kind: Model\nname: m\npayload: [model.onnx, ../first/model.onnx]\n");
    b.refused("build m").fails(3, r#"
        error: m/serving.yaml:3:23: payload `../first/model.onnx` leaves the folder of the definition, and would leave the model's folder in the image
        3 | payload: [model.onnx, ../first/model.onnx]
          |                       ^^^^^^^^^^^^^^^^^^^
        hint: move it beside the definition; or pack each entry under its last name, as clients up to 2.x did, with `--payload-names basename`
    "#);
    std::fs::remove_file(b.path("m/serving.yaml")).unwrap();
    symlink("../../etc/passwd", b.path("m/link")).unwrap();
    b.refused("build m").fails(3, r#"
        error: the link `m/link` points to `../../etc/passwd`, which cannot be reached: No such file or directory (os error 2)
        hint: restore the target, remove the link, or name it in `.floeignore`
    "#);
    std::fs::remove_file(b.path("m/link")).unwrap();
    // In the names of an archive.
    let mut tar = tar_of(&[("aa/x", b"x"), ("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#)]);
    tar[..4].copy_from_slice(b"../x");
    let sum: u32 = (0..512).map(|i| if (148..156).contains(&i) { 32 } else { u32::from(tar[i]) }).sum();
    tar[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    b.write("dots.tar", tar);
    b.refused("build m --base oci-archive:dots.tar").fails(
        5,
        r#"
        error: the base `oci-archive:dots.tar`: the archive `dots.tar`: the name `../x` leaves the archive
        hint: fetch or copy it again; if it stays, its source is damaged
    "#,
    );
    b.refused("build m --base rootfs:dots.tar").fails(
        3,
        r#"
        error: `dots.tar` holds the path `../x`, which leaves the root
        hint: make the archive again from inside the folder: `tar -C FOLDER -cf FILE .`
    "#,
    );
    for name in ["../x", "a/../b", "a//b"] {
        let ran = b.refused(&format!("build m --name {name}"));
        assert_eq!(ran.code, 3, "{ran:#?}");
    }
}

#[test]
fn a_full_disk() {
    let b = Bench::with_a_store();
    b.write("m/weights.bin", vec![b'x'; 300_000]);
    // A limit on the size of files fails in the middle of a write, as a full disk does.
    let floe = env!("CARGO_BIN_EXE_floe");
    for (dest, flags) in [("oci:l", ""), ("oci-archive:x.tar", ""), ("", "")] {
        let dest = if dest.is_empty() { String::new() } else { format!("-o {dest}") };
        let line =
            format!("trap '' XFSZ; ulimit -f 100; exec {floe} build m --compression none {dest} {flags}");
        let ran = b.program("sh", &["-c", &line]).go();
        assert_eq!((ran.code, ran.out.as_str()), (1, ""), "{ran:#?}");
        assert!(ran.error().contains("File too large") && ran.error().contains("\nhint: "), "{ran:#?}");
        assert!(!b.path("x.tar").exists());
        for (path, _) in b.look() {
            assert!(!path.to_string_lossy().contains(".floe-tmp-"), "{} is left", path.display());
        }
    }
    // Nothing got a name, and the store still works.
    assert_eq!(b.json("models --json")["models"].as_array().unwrap().len(), 1);
    b.answer("build m -q");
    // The answer itself can meet a full disk.
    let line = format!("exec {floe} models > /dev/full");
    let ran = b.program("sh", &["-c", &line]).go();
    assert_eq!(ran.code, 1, "{ran:#?}");
    ran.fails(
        1,
        r#"
        error: cannot write to standard output: No space left on device (os error 28)
        hint: free some space, or choose another folder for the output
    "#,
    );
}

#[test]
fn an_unknown_platform() {
    let b = Bench::with_a_store();
    b.refused("build m --platform linux/vax").fails(
        2,
        r#"
        error: `linux/vax` is not a platform: unknown architecture `vax`
        hint: a platform is os/architecture or os/architecture/variant, such as linux/amd64 or linux/arm/v7
    "#,
    );
    b.refused("build m --platform linux").fails(
        2,
        r#"
        error: `linux` is not a platform: expected two or three parts between slashes
        hint: a platform is os/architecture or os/architecture/variant, such as linux/amd64 or linux/arm/v7
    "#,
    );
    Layout(&b.path("base")).base("latest");
    b.refused("build m --base oci:base:latest --platform linux/s390x").fails(
        3,
        r#"
        error: the base `oci:base:latest` is for linux/amd64, not for linux/s390x
        hint: name its platform with `--platform`, or choose another base
    "#,
    );
}

#[test]
fn a_read_only_destination() {
    let b = Bench::with_a_store();
    std::fs::create_dir(b.path("ro")).unwrap();
    std::fs::set_permissions(b.path("ro"), PermissionsExt::from_mode(0o555)).unwrap();
    b.refused_run(as_somebody(&b, "build m -o oci:ro/l")).fails(
        1,
        r#"
        error: cannot create the folder `ro/l`: Permission denied (os error 13)
        hint: check the owner and the mode of the file and its folders
    "#,
    );
    b.refused_run(as_somebody(&b, "build m -o oci-archive:ro/x.tar")).fails(
        1,
        r#"
        error: cannot create a temporary file in `ro`: permission denied
        hint: check the owner and the mode of the file and its folders
    "#,
    );
    b.refused_run(as_somebody(&b, "build m --store ro/store")).fails(
        1,
        r#"
        error: cannot create the folder `ro/store`: Permission denied (os error 13)
        hint: check the owner and the mode of the file and its folders
    "#,
    );
    b.refused_run(as_somebody(&b, "build m -o oci:out --digestfile ro/d")).fails(
        1,
        r#"
        error: cannot create a temporary file in `ro`: permission denied
        hint: check the owner and the mode of the file and its folders
    "#,
    );
    assert!(!b.path("out").exists());
    std::fs::set_permissions(b.path("ro"), PermissionsExt::from_mode(0o755)).unwrap();
    b.write("file", "x");
    b.refused("build m -o oci:file").fails(
        2,
        r#"
        error: `file` is not a folder, as an OCI layout is
        hint: for a tar file write `oci-archive:FILE` or `docker-archive:FILE`
    "#,
    );
    b.refused("build m -o oci:file/below").fails(
        2,
        r#"
        error: `file/below` is not a folder, as an OCI layout is
        hint: for a tar file write `oci-archive:FILE` or `docker-archive:FILE`
    "#,
    );
    b.refused("build m -o oci:first").fails(
        2,
        r#"
        error: `first` is no OCI layout, and it is not empty: it has `model.onnx`
        hint: name a new or empty folder, or the folder of a layout
    "#,
    );
    b.refused("build m -o oci-archive:first").fails(
        2,
        r#"
        error: `first` is no file that an archive could replace
        hint: name a file; it is written beside and renamed, so a pipe or device cannot take it
    "#,
    );
}

#[test]
fn c03_an_unknown_transport_runtime_flag_or_command() {
    let b = Bench::with_a_store();
    b.refuses(&[
        "build m -o foo://x/y",
        "build m -o oci-arcive:x/y.tar",
        "build m -o docker:host/x",
        "build m -o https://host/x",
        "build m -o containers-storage:x",
        "build m -o out/x.tar",
        "build m -o scratch",
        "build m -o rootfs:x",
        "build m -o name@sha256:x",
        "build m --runtime hydrosphere-python-3.9",
        "build m --alias v7",
        "build m --alias sha256-x",
        "build m --label x",
        "build m --owner root",
        "build m --compression lz4",
        "build m -j 0",
        "build m -o oci:l -o oci:l",
        "biuld m",
        "build m --ouptut x",
        "build m extra",
        "build m --print name",
        "inspect",
    ], r#"
        $ floe build m -o foo://x/y
        exit code 2
        error: `foo://x/y` is no place for an image: there is no transport `foo:`
        hint: the transports are docker://, oci:, oci-archive:, docker-archive:, rootfs:, scratch
        $ floe build m -o oci-arcive:x/y.tar
        exit code 2
        error: `oci-arcive:x/y.tar` is no place for an image: there is no transport `oci-arcive:`
        hint: did you mean `oci-archive:`?
        $ floe build m -o docker:host/x
        exit code 2
        error: `docker:host/x` is no place for an image: the transport of registries is `docker://`
        hint: write `docker://host/x`
        $ floe build m -o https://host/x
        exit code 2
        error: `https://host/x` is no place for an image: an image is no web address
        hint: write `docker://host/x`
        $ floe build m -o containers-storage:x
        exit code 2
        error: `containers-storage:x` is no place for an image: floe does not use the transport `containers-storage:`
        hint: use `oci:DIR`, then `skopeo copy --preserve-digests oci:DIR:TAG containers-storage:NAME`
        $ floe build m -o out/x.tar
        exit code 2
        error: `out/x.tar` is no place for an image: it looks like a path, and a path needs a transport in front of it
        hint: write `oci:DIR`, `oci-archive:FILE` or `docker-archive:FILE`
        $ floe build m -o scratch
        exit code 2
        error: `scratch` is no place for an image: `scratch` is the empty base
        hint: give another name
        $ floe build m -o rootfs:x
        exit code 2
        error: `rootfs:x` is no place for an image: a root file system is a base and nothing else
        hint: write `oci:DIR` or `oci-archive:FILE`
        $ floe build m -o name@sha256:x
        exit code 2
        error: `name@sha256:x` is not an image reference: `sha256:x` is not a digest: expected 64 lower-case hex digits
        hint: correct the command; `floe COMMAND -h` shows examples
        $ floe build m --runtime hydrosphere-python-3.9
        exit code 2
        error: there is no runtime `hydrosphere-python-3.9`
        hint: did you mean `hydrosphere-python-3.7`? An image of your own is given with `--base`
        $ floe build m --alias v7
        exit code 2
        error: `v7` cannot be an alias: it looks like the short form of a version
        hint: choose a name such as `latest`, `prod` or `2024-06`
        $ floe build m --alias sha256-x
        exit code 2
        error: `sha256-x` cannot be an alias: `sha256-…` belongs to the referrers of an image
        hint: choose a name such as `latest`, `prod` or `2024-06`
        $ floe build m --label x
        exit code 2
        error: `--label x` is no KEY=VALUE
        hint: write `--label KEY=VALUE`
        $ floe build m --owner root
        exit code 2
        error: `--owner root` is no UID:GID
        hint: write two numbers, as in `--owner 1000:1000`
        $ floe build m --compression lz4
        exit code 2
        error: `lz4` is not a compression
        hint: use auto, none, gzip or zstd
        $ floe build m -j 0
        exit code 2
        error: `--jobs 0` would do nothing
        hint: give 1 or more
        $ floe build m -o oci:l -o oci:l
        exit code 2
        error: the destination `oci:l` is given twice
        hint: give it once; a second alias is given with `--alias`
        $ floe biuld m
        exit code 2
        error: there is no command `biuld`
        hint: did you mean `build`?
        $ floe build m --ouptut x
        exit code 2
        error: there is no flag `--ouptut`
        hint: did you mean `--output`?
        $ floe build m extra
        exit code 2
        error: `extra` is one argument too many
        hint: write `floe build [OPTIONS] [DIR|FILE]`
        $ floe build m --print name
        exit code 2
        error: `--print` cannot be `name`
        hint: use one of ref, version, tag, digest
        $ floe inspect
        exit code 2
        error: `REF` is missing
        hint: write `floe inspect <REF>`
    "#);
    // Lists that grow.
    for (line, error, hint) in [
        ("build m --runtime zzz", "error: there is no runtime `zzz`\nhint: there are ", "tensorflow-serving"),
        (
            "build m --framework pytroch",
            "error: `pytroch` is not a format that can be read\nhint: the formats are: ",
            "onnx",
        ),
    ] {
        let shown = b.refused(line).error();
        assert!(shown.starts_with(error) && shown.contains(hint), "{shown}");
    }
}

#[test]
fn what_is_no_file_is_refused_by_name() {
    let b = Bench::with_a_store();
    let made = b.program("mkfifo", &["m/pipe"]).go();
    assert_eq!(made.code, 0);
    b.refused("build m").fails(
        3,
        r#"
        error: `m/pipe` is a FIFO, which cannot be packed
        hint: remove it from the model directory, or name it in `.floeignore`
    "#,
    );
    std::fs::remove_file(b.path("m/pipe")).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(b.path("m/socket")).unwrap();
    b.refused("build m").fails(
        3,
        r#"
        error: `m/socket` is a socket, which cannot be packed
        hint: remove it from the model directory, or name it in `.floeignore`
    "#,
    );
    std::fs::remove_file(b.path("m/socket")).unwrap();
    let made = b.program("mkfifo", &["pipe"]).go();
    assert_eq!(made.code, 0);
    b.refused("build pipe").fails(
        3,
        r#"
        error: `DIR/pipe` is a FIFO, which cannot be packed
        hint: remove it from the model directory, or name it in `.floeignore`
    "#,
    );
    b.refused("build m -o oci-archive:pipe").fails(
        2,
        r#"
        error: `pipe` is no file that an archive could replace
        hint: name a file; it is written beside and renamed, so a pipe or device cannot take it
    "#,
    );
}

#[test]
fn c50_a_link_out_of_the_model_is_refused_unless_links_are_followed() {
    let b = Bench::new();
    // As the cache of Hugging Face: every file is a link into `blobs`.
    b.write("hub/blobs/0123", ONNX);
    std::fs::create_dir_all(b.path("hub/snapshots/main")).unwrap();
    symlink("../../blobs/0123", b.path("hub/snapshots/main/model.onnx")).unwrap();
    b.refused("build hub/snapshots/main").fails(3, r#"
        error: the link `hub/snapshots/main/model.onnx` points out of the model, to `DIR/hub/blobs/0123`
        hint: pack what it points to with `--follow-links`, or name it in `.floeignore`; a Hugging Face cache consists of such links
    "#);
    b.answer("build hub/snapshots/main -q -o oci:l --follow-links");
    assert_eq!(super::image::image(&b.path("l")).files["model/files/model.onnx"], ONNX);
    // One that leads nowhere, and one that leads to itself.
    b.write("n/model.onnx", ONNX);
    symlink("nowhere", b.path("n/gone")).unwrap();
    b.refused("build n").fails(3, r#"
        error: the link `n/gone` points to `nowhere`, which cannot be reached: No such file or directory (os error 2)
        hint: restore the target, remove the link, or name it in `.floeignore`
    "#);
    std::fs::remove_file(b.path("n/gone")).unwrap();
    symlink("round", b.path("n/round")).unwrap();
    b.refused("build n").fails(3, r#"
        error: the link `n/round` points to `round`, which cannot be reached: Too many levels of symbolic links (os error 40)
        hint: restore the target, remove the link, or name it in `.floeignore`
    "#);
}

#[test]
fn c51_a_git_lfs_pointer_is_told_for_what_it_is() {
    let b = Bench::new();
    let pointer = "version https://git-lfs.github.com/spec/v1\n\
                   oid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 12345\n";
    b.write("m/model.onnx", pointer);
    b.refused("build m").shows(
        r#"
        $ floe build m
        exit code 3
        | 1 file, 130 B
        |   130 B  model.onnx
        | onnx: its name only, which is one of onnx
        | error: `model.onnx` is a Git LFS pointer and not the file itself; run `git lfs pull`
        | hint: repair the model, or declare its contract in a serving.yaml
    "#,
    );
    b.write("n/model.onnx", ONNX);
    b.write("n/extra.bin", pointer);
    b.floe("build n -o oci:l --progress none").shows(
        r#"
        $ floe build n -o oci:l --progress none
        oci:l:v1-<16>
        | warning: `extra.bin` is a Git LFS pointer and not the file itself; run `git lfs pull`
    "#,
    );
    b.floe("infer m").shows(
        r#"
        $ floe infer m
        exit code 3
        format     onnx
        framework  onnx
        file       model.onnx
        known by   its name only, which is one of onnx
        error lfs-pointer in model.onnx: `model.onnx` is a Git LFS pointer and not the file itself; run `git lfs pull`

        no contract: `model.onnx` is a Git LFS pointer and not the file itself; run `git lfs pull`
        | error: `model.onnx` is a Git LFS pointer and not the file itself; run `git lfs pull`
        | hint: repair the model, or declare its contract in a serving.yaml
    "#,
    );
}
