//! Archives for sites without a network: whole ones, deltas, parts; and reading them back.

use std::path::Path;
use std::process::Command;

use floe::Kind;
use floe::blob::Blob;
use floe::copy::inventory::Inventory;
use floe::event::Quiet;
use floe::oci::Digest;
use floe::store::Presence;

use super::{World, index_of, request};
use crate::stores::material::{Image, image};
use crate::support::program::{output, run, said, skopeo, succeeded};

/// A site with a network, one without, and two versions that share a layer.
struct Sites {
    world: World,
    old: Image,
    new: Image,
}

impl Sites {
    fn new() -> Self {
        let world = World::small();
        let (old, new) = (image(&["base", "old"]), image(&["base", "new"]));
        world.seed("seed", &old, &[&old.version(1)]);
        let seed = world.seed("seed", &new, &[&new.version(2)]);
        let mut ask = request(&[&seed], "team/m");
        ask.all_tags = true;
        world.copy_with(&ask, &Quiet).unwrap();
        Self { world, old, new }
    }

    /// The old version, and nothing else, at the other site.
    fn behind(&self, repository: &str) -> String {
        let to = self.world.bare("ours", repository);
        self.world.copy("team/m:1", &to).unwrap();
        to
    }

    fn delta(&self, file: &str, since: Inventory) -> String {
        let to = format!("oci-archive:{}", self.world.path(file).display());
        let mut ask = request(&["team/m"], &to);
        ask.since = Some(since);
        let copied = self.world.copy_with(&ask, &Quiet).unwrap();
        assert_eq!(copied[0].left_out, 1, "the layer that both share");
        to
    }

    fn inventory(&self, of: &str) -> Inventory {
        Inventory::of(&[of.to_owned()], &self.world.stores, &Quiet).unwrap()
    }
}

#[test]
fn a_delta_holds_what_the_other_site_lacks_and_is_read_back() {
    let sites = Sites::new();
    let world = &sites.world;
    let there = sites.behind("site/m");
    let delta = sites.delta("d.tar", sites.inventory(&there));
    // The same inputs, the same bytes; and an image named by a reference serves as an inventory.
    sites.delta("e.tar", sites.inventory("team/m:1"));
    let d = std::fs::read(world.path("d.tar")).unwrap();
    sites.delta("f.tar", sites.inventory(&there));
    assert_eq!(d, std::fs::read(world.path("f.tar")).unwrap());
    let list = run("tar", &["-tf", world.path("d.tar").to_str().unwrap()]);
    let shared = sites.old.layers[0].descriptor().digest;
    assert_eq!(shared, sites.new.layers[0].descriptor().digest);
    assert!(!list.contains(&shared.hex()) && list.contains(&sites.new.layers[1].descriptor().digest.hex()));
    // It is a layout with one image, and says what it counts on.
    let index = index_of(&world.path("d.tar"));
    assert_eq!(index["manifests"].as_array().unwrap().len(), 1);
    let marker: Digest = index["annotations"]["dev.floe.delta"].as_str().unwrap().parse().unwrap();
    let member = format!("blobs/sha256/{}", marker.hex());
    let marker = run("tar", &["-xOf", world.path("d.tar").to_str().unwrap(), &member]);
    let marker: serde_json::Value = serde_json::from_str(&marker).unwrap();
    assert_eq!((&marker["floe"], &marker["type"]), (&1.into(), &"delta".into()));
    assert_eq!(marker["needs"][0]["digest"], shared.to_string());
    assert_eq!(marker["needs"][0]["in"], "site/m");

    for _ in 0..2 {
        let copied = world.copy(&delta, &there).unwrap();
        assert_eq!(copied[0].tags, [sites.new.version(2)]);
        sites.new.is_in(&*world.source(&there), &sites.new.version(2));
    }
    // Another repository of the same registry: the shared layer is linked from where it is.
    let other = world.bare("ours", "site/other");
    let copied = world.copy(&delta, &other).unwrap();
    assert_eq!(copied[0].blobs.mounted, 1, "{copied:?}");
    sites.new.is_in(&*world.source(&other), &sites.new.version(2));
}

#[test]
fn a_delta_is_refused_where_what_it_counts_on_is_missing() {
    let sites = Sites::new();
    let world = &sites.world;
    let delta = sites.delta("d.tar", sites.inventory("team/m:1"));
    let shared = sites.old.layers[0].descriptor();
    for kind in ["ours", "oci", "oci-archive"] {
        let to = world.bare(kind, "empty");
        let e = world.copy(&delta, &to).unwrap_err();
        assert_eq!((e.kind(), e.kind().exit_code()), (Kind::Integrity, 5), "{kind}");
        assert!(e.to_string().contains(&shared.digest.to_string()), "{e}");
        assert!(e.hint_text().unwrap().contains("--since"));
    }
    assert!(world.ours.tags("empty").is_empty());
    let sent = world.ours.log().iter().filter(|e| e.method == "PATCH").count();
    assert_eq!(sent, 0, "nothing was written");
    assert!(!world.path("empty").exists() && !world.path("empty.tar").exists());
}

#[test]
fn an_archive_is_checked_whole_before_anything_is_named() {
    let sites = Sites::new();
    let world = &sites.world;
    let file = world.path("m.tar");
    let at = format!("oci-archive:{}", file.display());
    let mut ask = request(&["team/m"], &at);
    ask.all_tags = true;
    world.copy_with(&ask, &Quiet).unwrap();
    // The site has the old version; a byte of a layer that it has is damaged in the archive.
    let there = sites.behind("site/m");
    let good = std::fs::read(&file).unwrap();
    let layer = sites.old.layers[0].as_slice();
    let place = good.windows(layer.len()).position(|w| w == layer).unwrap();
    let mut bad = good.clone();
    bad[place + 600] ^= 1;
    std::fs::write(&file, bad).unwrap();
    for to in [there.clone(), world.bare("oci", "fresh")] {
        let e = world.copy(&at, &to).unwrap_err();
        assert_eq!(e.kind(), Kind::Integrity, "{to}");
        assert!(e.to_string().contains(&sites.old.layers[0].descriptor().digest.to_string()), "{e}");
    }
    assert_eq!(world.ours.tags("site/m").len(), 1, "the new version has no name");
    assert!(world.source(&world.bare("oci", "fresh")).only().is_err());
    // Whole, all of it arrives, in an order that a site with write-once tags takes twice.
    std::fs::write(&file, good).unwrap();
    world.ours.set(crate::support::registry::Switch::Immutable400);
    for _ in 0..2 {
        let copied = world.copy(&at, &there).unwrap();
        assert_eq!(copied.len(), 2);
    }
    assert_eq!(world.ours.tags("site/m").len(), 2);
}

#[test]
fn several_models_travel_in_one_archive() {
    let world = World::small();
    let (one, two) = (image(&["1"]), image(&["2"]));
    let seed = world.seed("seed", &one, &[&one.version(1)]);
    world.copy(&seed, "team/one").unwrap();
    let other = world.seed("other", &two, &[&two.version(5)]);
    world.copy(&other, "two").unwrap();
    let file = world.path("all.tar");
    let at = format!("oci-archive:{}", file.display());
    let copied = world.copy_with(&request(&["team/one", "two"], &at), &Quiet).unwrap();
    assert_eq!(copied[1].tags, [format!("two:{}", two.version(5))]);
    for c in &copied {
        let raw = skopeo(&["inspect", "--raw", &c.reference]);
        assert_eq!(Digest::of(raw.as_bytes()), c.digest, "{}", c.reference);
    }
    // Each under its own name in a registry, and in another machine's local store.
    world.copy(&at, &format!("docker://{}/site/", world.ours.addr())).unwrap();
    assert_eq!(world.ours.tags("site/team/one").into_keys().collect::<Vec<_>>(), [one.version(1)]);
    assert_eq!(world.ours.tags("site/two").into_keys().collect::<Vec<_>>(), [two.version(5)]);
    let mut far = World::small();
    far.stores.local = Some(far.path("theirs"));
    far.copy(&at, "/").unwrap();
    one.is_in(&*far.source("team/one"), &one.version(1));
    two.is_in(&*far.source("two"), &two.version(5));
    // One of them by its name.
    far.copy(&copied[1].reference, &far.bare("ours", "picked")).unwrap();
    assert_eq!(far.ours.tags("picked").len(), 1);
    // Podman and Docker see both names.
    let list = run("tar", &["-xOf", file.to_str().unwrap(), "manifest.json"]);
    let list: serde_json::Value = serde_json::from_str(&list).unwrap();
    assert_eq!(list.as_array().unwrap().len(), 2);
    assert_eq!(list[0]["RepoTags"][0], format!("docker.io/team/one:{}", one.version(1)));
}

#[test]
fn an_archive_in_parts_is_read_as_it_is_and_joined_by_cat() {
    let sites = Sites::new();
    let world = &sites.world;
    let whole = format!("oci-archive:{}", world.path("w.tar").display());
    world.copy("team/m", &whole).unwrap();
    let file = world.path("p.tar");
    let at = format!("oci-archive:{}", file.display());
    let mut ask = request(&["team/m"], &at);
    ask.part = Some(3000);
    world.copy_with(&ask, &Quiet).unwrap();
    assert!(!file.exists());
    let script = "cd \"$0\" && sha256sum --quiet -c p.tar.sha256 && cat p.tar.[0-9]* | cmp - w.tar";
    succeeded(Command::new("sh").args(["-c", script]).arg(world.dir.path()));
    for (i, from) in [at.clone(), format!("{at}.000")].iter().enumerate() {
        let to = world.bare("oci", &format!("read{i}"));
        world.copy(from, &to).unwrap();
        sites.new.is_in(&*world.source(&to), &sites.new.version(2));
    }
    // A damaged part is named, then a lost one.
    let part = world.path("p.tar.001");
    let mut bytes = std::fs::read(&part).unwrap();
    bytes[100] ^= 1;
    std::fs::write(&part, bytes).unwrap();
    let to = world.bare("oci", "none");
    let e = world.copy(&at, &to).unwrap_err();
    assert!(e.kind() == Kind::Integrity && e.to_string().contains("p.tar.001"), "{e}");
    std::fs::remove_file(&part).unwrap();
    let e = world.copy(&at, &to).unwrap_err();
    assert!(e.kind() == Kind::Integrity && e.to_string().contains("p.tar.001"), "{e}");
    assert!(!world.path("none").exists());
}

#[test]
fn an_inventory_says_what_a_place_really_holds() {
    let sites = Sites::new();
    let world = &sites.world;
    let of = |text: &str| -> serde_json::Value { serde_json::to_value(sites.inventory(text)).unwrap() };
    let count = |v: &serde_json::Value, key: &str| v[key].as_array().unwrap().len();
    let all = of("team/m");
    assert_eq!((count(&all, "images"), count(&all, "manifests"), count(&all, "blobs")), (2, 2, 5));
    assert_eq!(all["images"][0]["ref"], format!("team/m:{}", sites.old.version(1)));
    assert_eq!(count(&of("team/m:2"), "blobs"), 3);
    // A delta does not hold what it counts on.
    let delta = sites.delta("d.tar", sites.inventory("team/m:1"));
    assert_eq!(count(&of(&delta), "blobs"), 2);
    let there = sites.behind("site/m");
    let registry = of(&there);
    assert_eq!(registry["blobs"][0]["in"], "site/m");
    assert!(!registry.to_string().contains(world.dir.path().to_str().unwrap()));
    // The whole local store.
    let store = Inventory::of(&[], &world.stores, &Quiet).unwrap();
    assert_eq!(store.total().0, 2);
    // What was removed from the folder is not claimed.
    use floe::store::Sink;
    let layout = world.stores.collection("team/m").unwrap();
    let layer = sites.new.layers[1].descriptor();
    assert_eq!(layout.presence(layer).unwrap(), Presence::Present);
    std::fs::remove_file(world.path("store/blobs/sha256").join(layer.digest.hex())).unwrap();
    assert_eq!(count(&of("team/m"), "blobs"), 4);
}

/// The whole trip where there is no network at all: a file and floe, a registry of the site's own, and
/// skopeo to look at what came out.
#[test]
fn a_site_without_a_network_needs_the_file_and_floe() {
    let sites = Sites::new();
    let world = &sites.world;
    let there = sites.behind("site/m");
    let mut ask = request(&["team/m"], &format!("oci-archive:{}", world.path("d.tar").display()));
    ask.since = Some(sites.inventory(&there));
    ask.part = Some(4096);
    world.copy_with(&ask, &Quiet).unwrap();
    world.copy("team/m:1", &format!("oci-archive:{}", world.path("first.tar").display())).unwrap();
    let folder = world.path("island");
    std::fs::create_dir(&folder).unwrap();
    for item in std::fs::read_dir(world.dir.path()).unwrap().map(|i| i.unwrap()) {
        let name = item.file_name().into_string().unwrap();
        if name.starts_with("d.tar.") || name == "first.tar" {
            std::fs::copy(item.path(), folder.join(name)).unwrap();
        }
    }
    let config = format!(
        "version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {}/data}}}}\nhttp: {{addr: \
         127.0.0.1:5000}}\n",
        folder.display()
    );
    std::fs::write(folder.join("config.yml"), config).unwrap();
    let script = format!(
        r#"set -e
        ! getent hosts example.org
        test "$(tail -n +3 /proc/net/dev | wc -l)" = 1
        docker-registry serve config.yml >registry.log 2>&1 &
        python3 -c 'import socket, time
        while socket.socket().connect_ex(("127.0.0.1", 5000)): time.sleep(.05)'
        export FLOE_STORE="$PWD/store"
        "$0" copy oci-archive:first.tar m
        "$0" copy oci-archive:d.tar m
        "$0" copy oci-archive:first.tar docker://127.0.0.1:5000/site/m
        "$0" inventory docker://127.0.0.1:5000/site/m -o have.json
        "$0" copy oci-archive:d.tar docker://127.0.0.1:5000/site/m
        "$0" copy oci-archive:d.tar docker://127.0.0.1:5000/site/m
        "$0" versions m
        skopeo inspect --tls-verify=false --raw docker://127.0.0.1:5000/site/m:{0} | sha256sum
        skopeo inspect --raw oci:store:m:{0} | sha256sum
        "#,
        sites.new.version(2)
    );
    let script = script.replace("\n        ", "\n");
    let mut command = Command::new("bwrap");
    command.env_clear().env("PATH", std::env::var("PATH").unwrap()).env("HOME", &folder);
    command.args(["--unshare-net", "--unshare-pid", "--die-with-parent", "--ro-bind", "/", "/"]);
    command.args(["--dev", "/dev", "--proc", "/proc", "--bind"]).arg(&folder).arg(&folder);
    command.arg("--chdir").arg(&folder).args(["--", "sh", "-c", &script, env!("CARGO_BIN_EXE_floe")]);
    let out = output(&mut command);
    assert!(out.status.success(), "{}\n{}", said(&out), log(&folder));
    let text = said(&out);
    let hex = sites.new.manifest.descriptor.digest.hex();
    assert_eq!(text.matches(&format!("{hex}  -")).count(), 2, "{text}");
    assert!(text.contains(&sites.old.version(1)) && text.contains(&sites.new.version(2)), "{text}");
}

fn log(folder: &Path) -> String {
    std::fs::read_to_string(folder.join("registry.log")).unwrap_or_default()
}
