//! Names at the destination: versions stay and are never overwritten, aliases move when asked.

use floe::Kind;
use floe::event::Quiet;

use super::{World, request};
use crate::stores::material::image;
use crate::support::registry::Switch;

#[test]
fn a_version_keeps_its_name_and_an_alias_comes_only_when_asked() {
    let world = World::small();
    let (one, two) = (image(&["1"]), image(&["2"]));
    world.seed("seed", &one, &[&one.version(1)]);
    let seed = world.seed("seed", &two, &[&two.version(2), "prod", "latest"]);
    // However it is named, it is the version that counts.
    for (i, name) in
        ["", ":2", ":v2", ":prod", &format!("@{}", two.manifest.descriptor.digest)].iter().enumerate()
    {
        let to = world.bare("ours", &format!("m{i}"));
        let copied = world.copy(&format!("{seed}{name}"), &to).unwrap();
        assert_eq!(copied[0].tags, [two.version(2)], "{name}");
        assert_eq!(world.ours.tags(&format!("m{i}")).len(), 1);
    }
    let mut ask = request(&[&seed], &world.bare("store", "team/m"));
    ask.aliases = vec!["stable".into()];
    assert_eq!(world.copy_with(&ask, &Quiet).unwrap()[0].tags, [two.version(2), "stable".into()]);
    // All of it, older versions first.
    let mut ask = request(&[&seed], &world.bare("ours", "all"));
    ask.all_tags = true;
    let copied = world.copy_with(&ask, &Quiet).unwrap();
    assert_eq!(copied.len(), 2);
    assert_eq!(copied[0].tags, [one.version(1)]);
    let names: Vec<String> = world.ours.tags("all").into_keys().collect();
    assert_eq!(names, ["latest".to_owned(), "prod".into(), one.version(1), two.version(2)]);
}

#[test]
fn what_floe_did_not_make_keeps_its_tag() {
    let world = World::small();
    let image = image(&["a"]);
    let seed = world.seed("seed", &image, &["x"]);
    for tag in ["16", "latest", "2.1-alpine"] {
        world.copy(&format!("{seed}:x"), &world.at("ours", "postgres", tag)).unwrap();
        let copied =
            world.copy(&world.at("ours", "postgres", tag), &world.bare("ours", &format!("m-{tag}"))).unwrap();
        assert_eq!(copied[0].tags, [tag]);
    }
    // Without a tag it is `latest`, as everywhere.
    let copied = world.copy(&world.bare("ours", "postgres"), &world.bare("ours", "bare")).unwrap();
    assert_eq!(copied[0].tags, ["latest"]);
    // Row 23: the digest counts, the tag is what it is called.
    let both = format!("{}@{}", world.at("ours", "postgres", "16"), image.manifest.descriptor.digest);
    assert_eq!(world.copy(&both, &world.bare("ours", "both")).unwrap()[0].tags, ["16"]);
    let only = format!("{}@{}", world.bare("ours", "postgres"), image.manifest.descriptor.digest);
    let e = world.copy(&only, &world.bare("ours", "none")).unwrap_err();
    assert_eq!(e.kind(), Kind::Usage);
    world.copy(&only, &world.at("ours", "none", "t")).unwrap();
    assert_eq!(world.ours.tags("none").len(), 1);
}

#[test]
fn a_version_is_never_overwritten() {
    let world = World::small();
    let (one, two) = (image(&["1"]), image(&["2"]));
    let seed = world.seed("seed", &one, &[&one.version(7)]);
    world.seed("other", &two, &["x"]);
    for kind in ["ours", "oci", "store"] {
        // Somebody has put another image under the name.
        let at = world.at(kind, "taken", "x");
        world.copy(&format!("oci:{}:x", world.path("other").display()), &at).unwrap();
        let location = floe::store::location::Location::reference(&at).unwrap();
        let repository = world.stores.repository(&location).unwrap();
        repository.point(&one.version(7), &two.manifest).unwrap();
        let e = world.copy(&seed, &world.bare(kind, "taken")).unwrap_err();
        assert_eq!((e.kind(), e.kind().exit_code()), (Kind::Conflict, 7));
        assert_eq!(world.digest(&at, &one.version(7)), Some(two.manifest.descriptor.digest));
    }
    // Nor is a version's name given to another content.
    let e = world.copy(&seed, &world.at("ours", "m", &two.version(7))).unwrap_err();
    assert_eq!(e.kind(), Kind::Usage);
}

#[test]
fn write_once_tags_are_success_for_the_same_and_a_conflict_for_another() {
    let world = World::small();
    let (one, two) = (image(&["1"]), image(&["2"]));
    let seed = world.seed("seed", &one, &["x"]);
    let other = world.seed("other", &two, &["x"]);
    world.ours.set(Switch::Immutable400);
    let to = world.at("ours", "m", "prod");
    for _ in 0..2 {
        world.copy(&format!("{seed}:x"), &to).unwrap();
    }
    let e = world.copy(&format!("{other}:x"), &to).unwrap_err();
    assert_eq!(e.kind(), Kind::Conflict, "{e}");
    assert_eq!(world.digest(&to, "prod"), Some(one.manifest.descriptor.digest));
    // Elsewhere a name that was written down moves, as with every other tool.
    world.ours.clear();
    world.copy(&format!("{other}:x"), &to).unwrap();
    assert_eq!(world.digest(&to, "prod"), Some(two.manifest.descriptor.digest));
}

#[test]
fn several_images_need_places_of_their_own() {
    let world = World::small();
    let (one, two) = (image(&["1"]), image(&["2"]));
    let seed = world.seed("seed", &one, &[&one.version(1)]);
    world.copy(&seed, "team/a").unwrap();
    let other = world.seed("other", &two, &[&two.version(1)]);
    world.copy(&other, "b").unwrap();
    let to = format!("docker://{}/mirror/", world.ours.addr());
    let copied = world.copy_with(&request(&["team/a", "b"], &to), &Quiet).unwrap();
    assert_eq!(copied.len(), 2);
    assert_eq!(world.ours.tags("mirror/team/a").len(), 1);
    assert_eq!(world.ours.tags("mirror/b").len(), 1);
    for bad in [world.bare("ours", "m"), world.at("ours", "m", "x"), world.at("oci-archive", "m", "x")] {
        let e = world.copy_with(&request(&["team/a", "b"], &bad), &Quiet).unwrap_err();
        assert_eq!(e.kind(), Kind::Usage, "{bad}");
    }
    assert!(world.ours.tags("m").is_empty());
    // What has no name cannot be appended.
    let e = world.copy(&seed, &to).unwrap_err();
    assert!(e.kind() == Kind::Usage && e.to_string().contains("no name"), "{e}");
}

#[test]
fn one_platform_of_a_version_becomes_the_next_version() {
    let world = World::small();
    let one = crate::stores::material::image_for("amd64", &["a"]);
    world.seed("seed", &one, &[]);
    let mut value: serde_json::Value =
        serde_json::from_slice(&crate::stores::material::index(&[&one]).bytes).unwrap();
    value["manifests"][0]["platform"] = serde_json::json!({"os": "linux", "architecture": "amd64"});
    let top = floe::store::Document::new(floe::oci::media_type::INDEX, floe::oci::json::canonical(&value));
    let version = format!("v4-{}", top.descriptor.digest.short());
    let seed = world.name("seed", &top, &[&version]);
    let mut ask = request(&[&seed], "m");
    ask.platform = Some("linux/amd64".parse().unwrap());
    assert_eq!(world.copy_with(&ask, &Quiet).unwrap()[0].tags, [one.version(1)]);
}
