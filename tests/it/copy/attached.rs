//! Artifacts beside an image: attaching them, many at once; listing them; taking them along.

use std::collections::BTreeSet;
use std::process::{Command, Stdio};
use std::sync::Arc;

use floe::blob::{Blob, Bytes};
use floe::event::Quiet;
use floe::image::Referrer;
use floe::oci::{Descriptor, Digest};
use floe::store::registry::{Client, Registry, Settings};
use floe::store::{Document, Repository, Source, referrers};
use serde_json::Value;

use super::{World, index_of, request};
use crate::stores::material::{Image, image};
use crate::support::program::{Floe, skopeo};
use crate::support::registry::{Switch, TestRegistry};

fn artifact(kind: &str, text: &str, subject: &Descriptor) -> Referrer {
    let content: Arc<dyn Blob> = Arc::new(Bytes::new("text/plain", text.as_bytes().to_vec()));
    let notes = [("org.example.note".to_owned(), text.to_owned())].into();
    Referrer::of(kind, vec![content], &notes, subject)
}

fn open(addr: &str) -> Registry {
    Registry::open(&Client::new(Settings::default()), &format!("{addr}/team/m").parse().unwrap())
}

/// Sixteen at once, each with a client of its own; none is lost.
fn race(addr: &str) -> Digest {
    let image = image(&["a"]);
    image.store(&open(addr));
    let subject = &image.manifest.descriptor;
    std::thread::scope(|scope| {
        for i in 0..16 {
            scope.spawn(move || {
                let artifact = artifact("x/y", &i.to_string(), subject);
                referrers::attach(&open(addr), &artifact, &Quiet).unwrap();
            });
        }
    });
    let all = open(addr).referrers(&subject.digest).unwrap();
    let notes: BTreeSet<&str> =
        all.iter().map(|r| r.descriptor.annotations["org.example.note"].as_str()).collect();
    assert_eq!((all.len(), notes.len()), (16, 16));
    assert!(all.iter().all(|r| r.artifact_type.as_deref() == Some("x/y")));
    subject.digest
}

#[test]
fn many_attach_at_once_to_a_real_registry() {
    let world = World::new();
    let real = world.real.as_ref().unwrap();
    let subject = race(&real.host());
    // The list of the specification has them all, for tools that know nothing of floe.
    let (status, list) = real.get(&format!("/v2/team/m/manifests/sha256-{}", subject.hex())).unwrap();
    let list: Value = serde_json::from_slice(&list).unwrap();
    assert_eq!((status, list["manifests"].as_array().unwrap().len()), (200, 16));
}

#[test]
fn many_attach_at_once_where_there_is_no_referrers_api() {
    let ours = TestRegistry::start();
    let subject = race(ours.addr());
    assert!(ours.tags("team/m").contains_key(&format!("sha256-{}", subject.hex())));
}

#[test]
fn where_there_is_a_referrers_api_no_tag_is_needed() {
    let ours = TestRegistry::start().with(Switch::Referrers { page: 5 });
    race(ours.addr());
    assert!(ours.tags("team/m").is_empty());
}

/// An answer that was lost took the header that says who keeps the list along.
#[test]
fn a_lost_answer_does_not_bring_a_tag_where_the_api_is() {
    let ours = TestRegistry::start().with(Switch::Referrers { page: 5 });
    let image = image(&["a"]);
    image.store(&open(ours.addr()));
    ours.set(Switch::LostReply { method: "PUT", path: "/manifests/", count: 1 });
    let subject = &image.manifest.descriptor;
    referrers::attach(&open(ours.addr()), &artifact("x/y", "1", subject), &Quiet).unwrap();
    assert_eq!(open(ours.addr()).referrers(&subject.digest).unwrap().len(), 1);
    assert!(ours.tags("team/m").is_empty());
}

#[test]
fn processes_attach_at_once_and_inspect_shows_it() {
    let world = World::new();
    let floe = Floe::new(world.dir.path());
    let image = image(&["a"]);
    let seed = world.seed("seed", &image, &[&image.version(1)]);
    for to in [world.bare("docker-registry", "team/m"), "team/m".to_owned()] {
        let run = |arguments: &[&str]| {
            let mut command: Command = floe.command();
            command.args(arguments).env("SOURCE_DATE_EPOCH", "1700000000");
            command
        };
        let done = run(&["copy", &seed, &to]).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        let attached: Vec<_> = (0..8)
            .map(|i| {
                let file = world.path(&format!("report{i}.json"));
                std::fs::write(&file, format!("{{\"n\":{i}}}")).unwrap();
                let kind = "application/vnd.example.report+json";
                let mut command = run(&["attach", &to, file.to_str().unwrap(), "--artifact-type", kind]);
                command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
            })
            .map(|child| child.wait_with_output().unwrap())
            .collect();
        for out in &attached {
            assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        }
        let shown = run(&["inspect", &to, "--json"]).output().unwrap();
        let shown: Value = serde_json::from_slice(&shown.stdout).unwrap();
        let all = shown["referrers"].as_array().unwrap();
        assert_eq!(all.len(), 8);
        for r in all {
            assert_eq!(r["artifact_type"], "application/vnd.example.report+json");
            assert_eq!(r["created"], "2023-11-14T22:13:20Z");
            assert_eq!((&r["size"], &r["subject"]), (&7.into(), &shown["digest"]));
        }
        let text = run(&["inspect", &to]).output().unwrap();
        let text = String::from_utf8(text.stdout).unwrap();
        assert!(text.contains("ATTACHED") && text.contains("application/vnd.example.report+json"), "{text}");
    }
}

/// What cosign stores beside an image: a manifest under a tag.
fn signature(world: &World, at: &str, image: &Image, ending: &str) -> (String, Document) {
    let signature = artifact("application/vnd.dev.cosign", ending, &image.manifest.descriptor);
    let location = floe::store::location::Location::reference(at).unwrap();
    let repository = world.stores.repository(&location).unwrap();
    for blob in &signature.blobs {
        repository.put(&**blob, &Quiet).unwrap();
    }
    repository.put_document(&signature.manifest).unwrap();
    let tag = format!("sha256-{}.{ending}", image.manifest.descriptor.digest.hex());
    repository.point(&tag, &signature.manifest).unwrap();
    (tag, signature.manifest)
}

#[test]
fn c35_signatures_and_attestations_come_along_with_all() {
    let world = World::new();
    let image = image(&["a"]);
    let seed = world.seed("seed", &image, &[&image.version(1)]);
    let from = world.bare("docker-registry", "from");
    world.copy(&seed, &from).unwrap();
    let location = floe::store::location::Location::reference(&from).unwrap();
    let repository = world.stores.repository(&location).unwrap();
    let bom = artifact("example/sbom", "bom", &image.manifest.descriptor);
    referrers::attach(&*repository, &bom, &Quiet).unwrap();
    // A signature of the bill of materials.
    let signed = artifact("example/signature", "of the bom", &bom.manifest.descriptor);
    referrers::attach(&*repository, &signed, &Quiet).unwrap();
    let tagged: Vec<_> = ["sig", "att", "sbom"].map(|e| signature(&world, &from, &image, e)).into();

    let check = |source: &dyn Source, what: &str| {
        image.is_in(source, &image.manifest.descriptor.digest.to_string());
        let first = source.referrers(&image.manifest.descriptor.digest).unwrap();
        assert_eq!(first.len(), 1, "{what}");
        assert_eq!(first[0].descriptor.digest, bom.manifest.descriptor.digest);
        assert_eq!(first[0].artifact_type.as_deref(), Some("example/sbom"));
        let second = source.referrers(&bom.manifest.descriptor.digest).unwrap();
        assert_eq!(second[0].descriptor.digest, signed.manifest.descriptor.digest, "{what}");
        for (tag, document) in &tagged {
            let found = source.resolve(tag).unwrap().unwrap();
            assert_eq!(found.digest, document.descriptor.digest, "{what}");
            assert_eq!(source.document(&found).unwrap().bytes, document.bytes);
        }
    };
    let mut last = from.clone();
    for kind in ["ours", "oci", "oci-archive", "store", "docker-registry"] {
        let to = world.bare(kind, "all");
        let mut ask = request(&[&last], &to);
        ask.all = true;
        let copied = world.copy_with(&ask, &Quiet).unwrap();
        assert_eq!(copied[0].attached, 5, "{last} to {to}");
        check(&*world.source(&to), &to);
        // Once more changes nothing.
        let names = world.stores.repository(&floe::store::location::Location::reference(&to).unwrap());
        let before = names.as_ref().ok().map(|r| r.names().unwrap().len());
        world.copy_with(&ask, &Quiet).unwrap();
        assert_eq!(names.as_ref().ok().map(|r| r.names().unwrap().len()), before, "{to}");
        last = to;
    }
    // Without it, a layout and an archive hold the image alone, which others read without a name.
    for kind in ["oci", "oci-archive"] {
        let to = world.bare(kind, "alone");
        world.copy(&from, &to).unwrap();
        skopeo(&["inspect", "--raw", &to]);
    }
    assert_eq!(index_of(&world.path("alone.tar"))["manifests"].as_array().unwrap().len(), 1);
    // Floe finds the image in one that holds more.
    assert_eq!(
        world.source(&world.bare("oci", "all")).only().unwrap().unwrap().digest,
        image.manifest.descriptor.digest
    );
}

#[test]
fn another_signature_at_the_destination_is_left_as_it_is() {
    let world = World::small();
    let image = image(&["a"]);
    let seed = world.seed("seed", &image, &[&image.version(1)]);
    let to = world.bare("ours", "to");
    world.copy(&seed, &to).unwrap();
    let (tag, theirs) = signature(&world, &to, &image, "sig");
    let ours = artifact("application/vnd.dev.cosign", "ours", &image.manifest.descriptor);
    let layout = floe::store::layout::Layout::open(world.path("seed"), None, Default::default()).unwrap();
    use floe::store::Sink;
    for blob in &ours.blobs {
        layout.put(&**blob, &Quiet).unwrap();
    }
    layout.put_document(&ours.manifest).unwrap();
    layout.point(&tag, &ours.manifest).unwrap();
    let mut ask = request(&[&seed], &to);
    ask.all = true;
    world.copy_with(&ask, &Quiet).unwrap();
    assert_eq!(world.digest(&to, &tag), Some(theirs.descriptor.digest));
}
