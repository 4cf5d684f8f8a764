//! Tags: claimed once, moved, listed, removed.

use super::*;

#[test]
fn a_name_is_claimed_once() {
    for switch in [None, Some(Switch::Immutable400), Some(Switch::NoDigestHeader), Some(Switch::NoHead)] {
        let registry = TestRegistry::start();
        switch.into_iter().for_each(|s| registry.set(s));
        let to = repository(&registry, "m");
        let (one, two) = (small(1), small(2));
        assert_eq!(to.resolve("v1").unwrap(), None);
        assert_eq!(to.claim("v1", &one).unwrap(), Claim::Created);
        assert_eq!(to.claim("v1", &one).unwrap(), Claim::Same);
        assert_eq!(to.claim("v1", &two).unwrap(), Claim::Taken(one.descriptor.digest));
        assert_eq!(to.resolve("v1").unwrap(), Some(one.descriptor.clone()));
        assert_eq!(to.resolve(&one.descriptor.digest.to_string()).unwrap(), Some(one.descriptor.clone()));
        assert_eq!(to.resolve("not a tag").unwrap(), None);
    }
}

#[test]
fn a_201_is_not_believed() {
    let registry = TestRegistry::start().with(Switch::Harbor201ButLost { count: 1 });
    let Claim::Taken(winner) = repository(&registry, "m").claim("v1", &small(1)).unwrap() else {
        panic!("believed")
    };
    assert_eq!(registry.tags("m")["v1"], winner.to_string());
    registry.set(Switch::Harbor201ButLost { count: 1 });
    let e = repository(&registry, "m").point("latest", &small(1)).unwrap_err();
    assert_eq!(e.kind(), Kind::Conflict, "{e}");
}

#[test]
fn an_alias_moves_unless_tags_are_immutable() {
    let registry = TestRegistry::start();
    let to = repository(&registry, "m");
    to.point("latest", &small(1)).unwrap();
    to.point("latest", &small(2)).unwrap();
    assert_eq!(to.resolve("latest").unwrap(), Some(small(2).descriptor));
    registry.set(Switch::Immutable400);
    to.point("latest", &small(2)).unwrap();
    let e = to.point("latest", &small(3)).unwrap_err();
    assert_eq!(e.kind(), Kind::Denied);
    assert!(e.hint_text().unwrap().contains("points to"), "{e:?}");
    assert!(to.point("../x", &small(3)).is_err());
}

#[test]
fn a_lost_reply_does_not_lose_a_name() {
    for path in ["/manifests/sha256", "/manifests/v1"] {
        let registry = TestRegistry::start().with(Switch::LostReply { method: "PUT", path, count: 2 });
        let to = repository(&registry, "m");
        to.put_document(&small(1)).unwrap();
        assert_eq!(to.claim("v1", &small(1)).unwrap(), Claim::Created);
        let writes = registry.log().iter().filter(|e| e.method == "PUT").count();
        assert_eq!(writes, 2, "looking is enough");
    }
}

#[test]
fn a_tag_that_never_shows_is_an_error() {
    let registry = TestRegistry::start().with(Switch::SlowTags(99));
    let e = repository(&registry, "m").claim("v1", &small(1)).unwrap_err();
    assert_eq!(e.kind(), Kind::Network);
    assert!(e.to_string().contains("does not show it"), "{e}");
}

#[test]
fn c36_names_come_from_all_pages() {
    let wanted: Vec<String> = (0..25).map(|i| format!("v{i}-0123456789abcdef")).collect();
    for switches in
        [vec![], vec![Switch::Page(4)], vec![Switch::Page(7), Switch::UnsortedTags], vec![Switch::MaxN(100)]]
    {
        let registry = TestRegistry::start();
        let to = repository(&registry, "m");
        assert!(to.names().unwrap().is_empty(), "a repository that is not there has no names");
        for name in &wanted {
            registry.add_tag("m", name, media_type::MANIFEST, b"{}");
        }
        switches.iter().for_each(|s| registry.set(s.clone()));
        let mut names = to.names().unwrap();
        names.sort();
        let mut wanted = wanted.clone();
        wanted.sort();
        assert_eq!(names, wanted, "{switches:?}");
    }
}

#[test]
fn a_name_is_removed_and_its_document_stays() {
    let registry = TestRegistry::start();
    let to = repository(&registry, "m");
    to.claim("v1", &small(1)).unwrap();
    to.claim("t1", &small(1)).unwrap();
    to.remove("v1").unwrap();
    to.remove("v1").unwrap();
    assert_eq!(to.names().unwrap(), ["t1"]);
    assert!(to.resolve(&small(1).descriptor.digest.to_string()).unwrap().is_some());
    registry.set(Switch::NoTagDelete);
    let e = to.remove("t1").unwrap_err();
    assert_eq!(e.kind(), Kind::Denied);
    assert!(e.hint_text().unwrap().contains("cannot remove a tag"), "{e:?}");
    assert_eq!(to.names().unwrap(), ["t1"]);
    assert!(
        registry.log().iter().all(|e| e.method != "DELETE" || !e.path.contains("sha256:")),
        "never by digest"
    );
}

/// A registry whose pages never end, each at another address and none with anything new.
#[test]
fn pages_without_an_end_are_left() {
    use std::io::{BufRead, BufReader, Write};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let pages = std::sync::Arc::new(std::sync::atomic::AtomicU32::new(0));
    let count = std::sync::Arc::clone(&pages);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let count = std::sync::Arc::clone(&count);
            std::thread::spawn(move || {
                let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
                while let Some(Ok(first)) = lines.next() {
                    while lines.next().is_some_and(|l| l.is_ok_and(|l| !l.is_empty())) {}
                    let n = count.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                    let body = r#"{"name":"m","tags":["v1"]}"#;
                    let link = if first.contains("tags/list") {
                        format!("Link: </v2/m/tags/list?last={n}>; rel=\"next\"\r\n")
                    } else {
                        String::new()
                    };
                    let head = format!("HTTP/1.1 200 OK\r\n{link}Content-Length: {}\r\n\r\n", body.len());
                    if stream.write_all(format!("{head}{body}").as_bytes()).is_err() {
                        return;
                    }
                }
            });
        }
    });
    let to = Registry::open(&client(), &format!("{addr}/m").parse().unwrap());
    let e = to.names().unwrap_err();
    assert_eq!(e.kind(), Kind::Integrity);
    assert!(pages.load(std::sync::atomic::Ordering::SeqCst) < 50);
}
