//! Manifests and blobs: whole, verified, across cuts.

use super::*;

#[test]
fn a_blob_arrives_whole_across_cuts() {
    let content = bytes(11, LARGE);
    let wanted = Descriptor::of("x", &content);
    for switches in [
        vec![],
        vec![Switch::CutDownload { after: 1_000_000, count: 3 }],
        vec![Switch::CutDownload { after: 1_000_000, count: 3 }, Switch::NoRange],
        vec![Switch::CutDownload { after: 0, count: 2 }],
        vec![Switch::ShortDownload { bytes: 1000, count: 2 }],
        vec![Switch::Status { method: "GET", path: "/blobs/", status: 503, retry_after: None, count: 3 }],
        vec![Switch::Status { method: "GET", path: "/blobs/", status: 429, retry_after: Some(0), count: 3 }],
        vec![Switch::Redirect],
        vec![Switch::Redirect, Switch::CutDownload { after: 70_000, count: 1 }],
        vec![Switch::Bearer { requests: 1, login: None }, Switch::CutDownload { after: 70_000, count: 2 }],
        vec![Switch::Bearer { requests: 1, login: None }, Switch::Redirect],
    ] {
        let registry = TestRegistry::start();
        registry.add_blob("m", &content);
        switches.iter().for_each(|s| registry.set(s.clone()));
        let got =
            read(&repository(&registry, "m"), &wanted).unwrap_or_else(|e| panic!("{switches:?}: {e:?}"));
        assert!(got == content, "{switches:?}");
        assert!(registry.log().iter().all(|e| !e.foreign || e.authorization.is_none()), "{switches:?}");
    }
}

#[test]
fn c36_the_rest_is_asked_for_by_range() {
    let registry = TestRegistry::start().with(Switch::CutDownload { after: 1_000_000, count: 1 });
    let content = bytes(11, LARGE);
    registry.add_blob("m", &content);
    read(&repository(&registry, "m"), &Descriptor::of("x", &content)).unwrap();
    let gets: Vec<_> = registry.log().into_iter().filter(|e| e.method == "GET").collect();
    assert_eq!(gets.len(), 2);
    assert_eq!(gets[1].headers["range"], "bytes=1000000-");
}

#[test]
fn a_blob_that_is_damaged_or_without_end_is_refused() {
    let content = bytes(12, LARGE);
    let wanted = Descriptor::of("x", &content);
    for (switch, kind) in [
        (Switch::FlipDownload { count: u32::MAX }, Kind::Integrity),
        (Switch::ShortDownload { bytes: 300, count: u32::MAX }, Kind::Network),
        (Switch::CutDownload { after: 300, count: u32::MAX }, Kind::Network),
    ] {
        let registry = TestRegistry::start().with(switch);
        registry.add_blob("m", &content);
        assert_eq!(read(&repository(&registry, "m"), &wanted).unwrap_err().kind(), kind);
    }
    let registry = TestRegistry::start();
    registry.add_blob("m", &content);
    let less = Descriptor::new("x", wanted.digest, wanted.size - 1);
    assert_eq!(read(&repository(&registry, "m"), &less).unwrap_err().kind(), Kind::Integrity);
    let e = read(&repository(&registry, "m"), &Descriptor::of("x", b"not there")).unwrap_err();
    assert_eq!(e.kind(), Kind::Integrity);
    assert!(e.to_string().contains("404"), "{e}");
}

#[test]
fn a_manifest_must_be_what_its_name_says() {
    let registry = TestRegistry::start();
    let d = small(1);
    registry.add_tag("m", "v1", media_type::MANIFEST, &d.bytes);
    let from = repository(&registry, "m");
    assert_eq!(from.document(&d.descriptor).unwrap(), d);
    let wrong_size = Descriptor::new(media_type::MANIFEST, d.descriptor.digest, 7);
    assert_eq!(from.document(&wrong_size).unwrap_err().kind(), Kind::Integrity);
    let missing = from.document(&small(2).descriptor).unwrap_err();
    assert!(missing.kind() == Kind::Integrity && missing.to_string().contains("404"), "{missing}");
    // The header is checked by digest, and by tag where there is a body to check it with.
    registry.set(Switch::FalseDigestHeader(&["GET"]));
    assert_eq!(from.document(&d.descriptor).unwrap_err().kind(), Kind::Integrity);
    registry.set(Switch::NoHead);
    assert_eq!(from.resolve("v1").unwrap_err().kind(), Kind::Integrity);
    registry.clear();
    registry.set(Switch::FalseDigestHeader(&["HEAD"]));
    assert_eq!(from.resolve(&d.descriptor.digest.to_string()).unwrap_err().kind(), Kind::Integrity);
}

#[test]
fn a_manifest_has_a_limit() {
    let registry = TestRegistry::start().with(Switch::NoHead);
    let huge = format!("{{\"schemaVersion\":2,\"layers\":[],\"x\":\"{}\"}}", "x".repeat(5 << 20));
    registry.add_tag("m", "v1", media_type::MANIFEST, huge.as_bytes());
    let from = repository(&registry, "m");
    assert!(from.resolve("v1").unwrap_err().to_string().contains("more than 4194304 bytes"));
    let honest = Descriptor::of(media_type::MANIFEST, huge.as_bytes());
    assert!(from.document(&honest).unwrap_err().to_string().contains("at most 4194304 are accepted"));
    let lie = Descriptor::new(media_type::MANIFEST, honest.digest, 100);
    assert!(from.document(&lie).unwrap_err().to_string().contains("more than 4194304 bytes"));
}
