//! The bodies of the suite: what a store promises, whatever it is made of.

use std::collections::BTreeSet;
use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use floe::Kind;
use floe::blob::{Blob, Bytes};
use floe::event::{Event, Quiet};
use floe::oci::document::MAX_MANIFEST;
use floe::oci::{Descriptor, Digest, media_type};
use floe::store::{Claim, Document, Outcome, Presence};

use super::Fixture;
use super::material::{Liar, Made, Recorder, document, image, noise, nowhere, read};

fn bytes(content: &[u8]) -> Bytes {
    Bytes::new(media_type::LAYER, content.to_vec())
}

pub(crate) fn a_blob_comes_back(f: &Fixture) {
    let blob = bytes(b"hello");
    assert_ne!(f.one.presence(blob.descriptor()).unwrap(), Presence::Present);
    assert_eq!(f.one.put(&blob, &Quiet).unwrap(), Outcome::Written);
    assert_ne!(f.two.presence(blob.descriptor()).unwrap(), Presence::Absent);
    assert_eq!(read(&*f.two, blob.descriptor()).unwrap(), b"hello");
    let stored = f.two.blob(blob.descriptor()).unwrap();
    let mut rest = String::new();
    stored.open_at(3).unwrap().read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "lo");
    assert!(stored.open_at(6).is_err());
}

pub(crate) fn an_image_comes_back_by_name_and_by_digest(f: &Fixture) {
    let image = image(&["one", "two"]);
    image.store(&*f.one);
    let name = image.version(1);
    assert_eq!(f.one.claim(&name, &image.manifest).unwrap(), Claim::Created);
    f.one.commit(&image.manifest, &name).unwrap();
    image.is_in(&*f.two, &name);
    image.is_in(&*f.two, &image.manifest.descriptor.digest.to_string());
}

pub(crate) fn a_recipe_is_ingested_and_comes_back(f: &Fixture) {
    for size_known in [true, false] {
        let recipe = Made { size_known, ..Made::new(&noise(7, 70_000)) };
        let packed = f.one.ingest(&recipe, &Quiet).unwrap();
        assert_eq!(packed.descriptor.digest, Digest::of(&recipe.bytes));
        assert_eq!(packed.descriptor.size, 70_000);
        assert_eq!(read(&*f.two, &packed.descriptor).unwrap(), recipe.bytes);
    }
}

pub(crate) fn the_second_put_reads_nothing(f: &Fixture) {
    let blob = bytes(b"once");
    f.one.put(&blob, &Quiet).unwrap();
    let empty = Liar::new(b"once", b"");
    assert_eq!(f.two.put(&empty, &Quiet).unwrap(), Outcome::Present);
    assert_eq!(read(&*f.one, blob.descriptor()).unwrap(), b"once");
    let image = image(&["x"]);
    f.one.put(&image.config, &Quiet).unwrap();
    f.one.put(&image.layers[0], &Quiet).unwrap();
    f.one.put_document(&image.manifest).unwrap();
    f.two.put_document(&image.manifest).unwrap();
}

pub(crate) fn the_empty_blob_is_a_blob(f: &Fixture) {
    let blob = bytes(b"");
    f.one.put(&blob, &Quiet).unwrap();
    assert_eq!(read(&*f.two, blob.descriptor()).unwrap(), b"");
    let packed = f.one.ingest(&Made::new(b""), &Quiet).unwrap();
    assert_eq!(packed.descriptor.digest, Digest::of(b""));
}

pub(crate) fn a_large_blob_comes_back(f: &Fixture) {
    let blob = bytes(&noise(1, (5 << 20) + 3));
    f.one.put(&blob, &Quiet).unwrap();
    assert!(read(&*f.two, blob.descriptor()).unwrap() == blob.as_slice());
    let made = Made::new(&noise(2, (3 << 20) + 1));
    let packed = f.one.ingest(&made, &Quiet).unwrap();
    assert!(read(&*f.two, &packed.descriptor).unwrap() == made.bytes);
}

/// After a failure the store knows nothing of the content, and takes the true one.
fn is_untouched(f: &Fixture, promised: &[u8]) {
    let honest = bytes(promised);
    assert_ne!(f.two.presence(honest.descriptor()).unwrap(), Presence::Present);
    assert!(read(&*f.two, honest.descriptor()).is_err());
    assert_eq!(f.one.put(&honest, &Quiet).unwrap(), Outcome::Written);
    assert!(read(&*f.two, honest.descriptor()).unwrap() == promised);
}

pub(crate) fn a_lying_blob_is_refused_and_leaves_nothing(f: &Fixture) {
    for (promised, given) in [
        (&b"same size 1"[..], &b"same size 2"[..]),
        (b"too short", b"too s"),
        (b"too long", b"too long by far"),
        (b"nothing", b""),
    ] {
        let e = f.one.put(&Liar::new(promised, given), &Quiet).unwrap_err();
        assert_eq!(e.kind(), Kind::Integrity, "{e}");
        is_untouched(f, promised);
    }
}

pub(crate) fn a_source_that_breaks_leaves_nothing(f: &Fixture) {
    let content = noise(3, 3 << 20);
    let liar = Liar { breaks: true, ..Liar::new(&content, &content[..2 << 20]) };
    let e = f.one.put(&liar, &Quiet).unwrap_err();
    assert!(e.to_string().contains("the line went dead"), "{e}");
    is_untouched(f, &content);
}

pub(crate) fn a_recipe_that_breaks_leaves_nothing(f: &Fixture) {
    let content = noise(4, 1 << 20);
    let recipe = Made { breaks: true, ..Made::new(&content) };
    assert!(f.one.ingest(&recipe, &Quiet).unwrap_err().to_string().contains("the line went dead"));
    is_untouched(f, &content);
}

pub(crate) fn a_stopped_copy_leaves_nothing(f: &Fixture) {
    let see = Recorder::default();
    see.stop.store(true, Ordering::Relaxed);
    let content = noise(5, 4 << 20);
    assert_eq!(f.one.put(&bytes(&content), &see).unwrap_err().kind(), Kind::Interrupted);
    assert_eq!(f.one.ingest(&Made::new(&content), &see).unwrap_err().kind(), Kind::Interrupted);
    is_untouched(f, &content);
}

/// Number of bytes and the outcome of each piece.
fn sums(see: &Recorder) -> Vec<(i64, Option<u64>, String)> {
    let mut out = Vec::new();
    let mut open: Option<(u64, i64, Option<u64>)> = None;
    for event in see.take() {
        match event {
            Event::Begin { id, total, .. } => {
                assert!(open.is_none(), "a piece begins inside another");
                open = Some((id, 0, total));
            }
            Event::Progress { id, bytes } => {
                let piece = open.as_mut().unwrap();
                assert_eq!(piece.0, id);
                piece.1 += bytes;
            }
            Event::End { id, outcome } => {
                let piece = open.take().unwrap();
                assert_eq!(piece.0, id);
                out.push((piece.1, piece.2, outcome));
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(open.is_none(), "a piece does not end");
    out
}

pub(crate) fn the_events_of_a_piece_add_up(f: &Fixture) {
    let see = Recorder::default();
    let content = noise(6, 3 << 20);
    let size = content.len() as u64;
    f.one.put(&bytes(&content), &see).unwrap();
    assert_eq!(sums(&see), [(3 << 20, Some(size), "written".to_owned())]);
    f.one.put(&bytes(&content), &see).unwrap();
    assert_eq!(sums(&see), [(0, Some(size), "already there".to_owned())]);
    let unknown = Made { size_known: false, ..Made::new(b"12345") };
    f.one.ingest(&unknown, &see).unwrap();
    assert_eq!(sums(&see), [(5, None, "written".to_owned())]);
    f.one.put(&Liar::new(b"12", b"1"), &see).unwrap_err();
    assert_eq!(sums(&see), [(0, Some(2), "failed".to_owned())]);
}

pub(crate) fn a_claim_is_created_then_same_then_taken(f: &Fixture) {
    let (a, b) = (document(&*f.one, "a"), document(&*f.one, "b"));
    assert_eq!(f.one.claim("v1-0123456789abcdef", &a).unwrap(), Claim::Created);
    assert_eq!(f.two.claim("v1-0123456789abcdef", &a).unwrap(), Claim::Same);
    assert_eq!(f.two.claim("v1-0123456789abcdef", &b).unwrap(), Claim::Taken(a.descriptor.digest));
    assert_eq!(f.one.resolve("v1-0123456789abcdef").unwrap().unwrap(), a.descriptor);
}

pub(crate) fn names_are_listed_and_moved(f: &Fixture) {
    assert!(f.one.names().unwrap().is_empty());
    let (a, b) = (document(&*f.one, "a"), document(&*f.one, "b"));
    f.one.point("latest", &a).unwrap();
    f.one.point("prod", &a).unwrap();
    f.two.point("latest", &b).unwrap();
    assert_eq!(f.one.resolve("latest").unwrap().unwrap(), b.descriptor);
    let names: BTreeSet<String> = f.one.names().unwrap().into_iter().collect();
    assert_eq!(names.into_iter().collect::<Vec<_>>(), ["latest", "prod"]);
}

pub(crate) fn a_removed_name_is_gone_and_its_content_stays(f: &Fixture) {
    let (a, b) = (document(&*f.one, "a"), document(&*f.one, "b"));
    f.one.point("latest", &b).unwrap();
    f.one.point("prod", &a).unwrap();
    f.one.remove("prod").unwrap();
    f.one.remove("prod").unwrap();
    assert_eq!(f.two.names().unwrap(), ["latest"]);
    assert!(f.two.resolve("prod").unwrap().is_none());
    // What a removed name pointed to stays.
    assert_eq!(f.two.document(&a.descriptor).unwrap(), a);
}

pub(crate) fn what_is_not_there_is_told(f: &Fixture) {
    for _ in 0..2 {
        assert!(f.one.resolve("latest").unwrap().is_none());
        assert!(f.one.resolve(&nowhere().digest.to_string()).unwrap().is_none());
        let not_there = f.one.document(&nowhere()).unwrap_err();
        assert!(not_there.to_string().contains(&nowhere().digest.to_string()), "{not_there}");
        assert!(read(&*f.one, &nowhere()).is_err());
        f.one.remove("latest").unwrap();
        // Once more, when the store has something in it.
        document(&*f.one, "a");
    }
}

pub(crate) fn a_document_is_verified(f: &Fixture) {
    let good = document(&*f.one, "good");
    let mut lie = good.clone();
    lie.bytes.push(b' ');
    assert_eq!(f.one.put_document(&lie).unwrap_err().kind(), Kind::Integrity);
    let mut short = good.descriptor.clone();
    short.size -= 1;
    assert_eq!(f.one.document(&short).unwrap_err().kind(), Kind::Integrity);
    let huge = Descriptor::new(media_type::MANIFEST, good.descriptor.digest, MAX_MANIFEST as u64 + 1);
    assert!(f.one.document(&huge).unwrap_err().to_string().contains("at most"));
    assert_eq!(f.one.document(&good.descriptor).unwrap(), good);
}

pub(crate) fn names_that_no_store_can_have_are_refused(f: &Fixture) {
    let doc = document(&*f.one, "a");
    for bad in ["", "a b", "a\n", "../x", "-a", "\u{1b}[31m"] {
        assert_eq!(f.one.claim(bad, &doc).unwrap_err().kind(), Kind::Usage, "{bad:?}");
        assert_eq!(f.one.point(bad, &doc).unwrap_err().kind(), Kind::Usage, "{bad:?}");
    }
    assert!(f.one.names().unwrap().is_empty());
}

pub(crate) fn of_many_claims_of_a_name_exactly_one_wins(f: &Fixture) {
    let docs: Vec<Document> = (0..8).map(|i| document(&*f.one, &format!("doc {i}"))).collect();
    let answers: Vec<Claim> = std::thread::scope(|s| {
        let threads: Vec<_> = docs
            .iter()
            .enumerate()
            .map(|(i, doc)| {
                let store = Arc::clone(if i % 2 == 0 { &f.one } else { &f.two });
                s.spawn(move || store.claim("v1-0123456789abcdef", doc).unwrap())
            })
            .collect();
        threads.into_iter().map(|t| t.join().unwrap()).collect()
    });
    let winner = f.one.resolve("v1-0123456789abcdef").unwrap().unwrap().digest;
    for (doc, answer) in docs.iter().zip(answers) {
        let expected = if doc.descriptor.digest == winner { Claim::Created } else { Claim::Taken(winner) };
        assert_eq!(answer, expected);
    }
}

pub(crate) fn no_name_is_lost_when_many_write(f: &Fixture) {
    let doc = document(&*f.one, "a");
    std::thread::scope(|s| {
        for t in 0..4 {
            let (store, doc) = (Arc::clone(if t % 2 == 0 { &f.one } else { &f.two }), &doc);
            s.spawn(move || {
                for i in 0..6 {
                    store.point(&format!("t{t}.{i}"), doc).unwrap();
                }
                store.remove(&format!("t{t}.0")).unwrap();
            });
        }
    });
    assert_eq!(f.one.names().unwrap().len(), 20);
}

pub(crate) fn a_name_for_what_is_not_stored_is_refused(f: &Fixture) {
    let absent = image(&["never stored"]).manifest;
    assert_eq!(f.one.claim("a", &absent).unwrap_err().kind(), Kind::Integrity);
    assert_eq!(f.one.point("a", &absent).unwrap_err().kind(), Kind::Integrity);
    assert!(f.one.names().unwrap().is_empty());
}
