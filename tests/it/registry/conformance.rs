//! What the tests rely on in the registry of the tests, asked of it and of a real one.
//!
//! Each function is one behaviour, in plain HTTP without floe's client, so that a mistake that both
//! share would show.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;

use super::*;
use crate::support::debian::DebianRegistry;

/// An answer.
struct Said {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Said {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str())
    }

    /// Path and query of the `Location`.
    fn location(&self) -> String {
        let location = self.header("location").expect("a Location");
        match location.strip_prefix("http://") {
            Some(rest) => rest[rest.find('/').unwrap()..].to_owned(),
            None => location.to_owned(),
        }
    }

    /// The codes of an error's body.
    fn codes(&self) -> Vec<String> {
        let value: serde_json::Value = serde_json::from_slice(&self.body).unwrap_or_default();
        let errors = value["errors"].as_array().cloned().unwrap_or_default();
        errors.iter().filter_map(|e| Some(e["code"].as_str()?.to_owned())).collect()
    }
}

/// Asks over a connection of its own. `promised` is a length that is more than what is sent.
fn send(
    host: &str,
    method: &str,
    target: &str,
    headers: &[(&str, &str)],
    body: &[u8],
    promised: usize,
) -> Option<Said> {
    let mut stream = TcpStream::connect(host).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut head = format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n");
    for (name, value) in headers {
        head.extend([name, ": ", value, "\r\n"]);
    }
    if promised > 0 || method != "GET" && method != "HEAD" {
        head.extend(["Content-Length: ", &promised.to_string(), "\r\n"]);
    }
    head.push_str("\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(body).unwrap();
    if promised > body.len() {
        stream.shutdown(std::net::Shutdown::Both).unwrap();
        return None;
    }
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    let status = line.split(' ').nth(1).unwrap().parse().unwrap();
    let mut said = Said { status, headers: Vec::new(), body: Vec::new() };
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        said.headers.push((name.to_owned(), value.trim().to_owned()));
    }
    if method != "HEAD" {
        let length = said.header("content-length").map_or(0, |l| l.parse().unwrap());
        assert!(said.header("transfer-encoding").is_none(), "{method} {target}: the answer comes in chunks");
        reader.take(length).read_to_end(&mut said.body).unwrap();
    }
    Some(said)
}

fn ask(host: &str, method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Said {
    send(host, method, target, headers, body, body.len()).unwrap()
}

fn with_digest(location: &str, content: &[u8]) -> String {
    let mark = if location.contains('?') { '&' } else { '?' };
    format!("{location}{mark}digest={}", Digest::of(content))
}

/// Opens an upload.
fn begin(host: &str, repository: &str) -> String {
    let said = ask(host, "POST", &format!("/v2/{repository}/blobs/uploads/"), &[], b"");
    assert_eq!(said.status, 202);
    assert_eq!(said.header("range"), Some("0-0"));
    said.location()
}

/// Stores a blob with one PATCH.
fn store(host: &str, repository: &str, content: &[u8]) -> String {
    let said = ask(host, "PATCH", &begin(host, repository), &[], content);
    assert_eq!(said.status, 202);
    let said = ask(host, "PUT", &with_digest(&said.location(), content), &[], b"");
    assert_eq!(said.status, 201);
    assert_eq!(said.header("docker-content-digest"), Some(Digest::of(content).to_string().as_str()));
    Digest::of(content).to_string()
}

fn chunks_are_appended_and_ranges_say_how_far(host: &str) {
    let content = bytes(80, 10_000);
    let mut location = begin(host, "c/chunks");
    for (i, part) in content.chunks(4000).enumerate() {
        let (start, end) = (i * 4000, i * 4000 + part.len() - 1);
        let said = ask(host, "PATCH", &location, &[("Content-Range", &format!("{start}-{end}"))], part);
        assert_eq!(said.status, 202);
        assert_eq!(said.header("range"), Some(format!("0-{end}").as_str()));
        let stale = std::mem::replace(&mut location, said.location());
        let status = ask(host, "GET", &location, &[], b"");
        assert_eq!(status.status, 204);
        assert_eq!(status.header("range"), Some(format!("0-{end}").as_str()));
        // The state before the last PATCH is not known any more.
        if i > 0 {
            assert_ne!(stale, location);
        }
    }
    assert_eq!(ask(host, "PUT", &with_digest(&location, &content), &[], b"").status, 201);
    let said = ask(host, "GET", &format!("/v2/c/chunks/blobs/{}", Digest::of(&content)), &[], b"");
    assert!(said.status == 200 && said.body == content);
}

fn a_body_of_unknown_length_is_taken(host: &str) {
    let content = b"hello".to_vec();
    let location = begin(host, "c/stream");
    let mut stream = TcpStream::connect(host).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    write!(
        stream,
        "PATCH {location} HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n"
    )
    .unwrap();
    let mut head = String::new();
    let mut lines = BufReader::new(stream);
    while !head.ends_with("\r\n\r\n") {
        assert!(lines.read_line(&mut head).unwrap() > 0, "{head}");
    }
    assert!(head.starts_with("HTTP/1.1 202"), "{head}");
    let location = head.lines().find_map(|l| l.strip_prefix("Location: ")).unwrap();
    let location = &location["http://".len()..];
    let location = &location[location.find('/').unwrap()..];
    assert_eq!(ask(host, "PUT", &with_digest(location, &content), &[], b"").status, 201);
}

fn a_put_may_have_all_of_it_and_a_wrong_digest_is_refused(host: &str) {
    let content = bytes(81, 5000);
    let said = ask(host, "PUT", &with_digest(&begin(host, "c/put"), &content), &[], &content);
    assert_eq!(said.status, 201);
    let said = ask(host, "PUT", &with_digest(&begin(host, "c/put"), b"another"), &[], &content);
    assert_eq!((said.status, said.codes()), (400, vec!["DIGEST_INVALID".to_owned()]));
    let said = ask(host, "HEAD", &format!("/v2/c/put/blobs/{}", Digest::of(b"another")), &[], b"");
    assert_eq!(said.status, 404);
}

fn a_cut_body_ends_its_session(host: &str) {
    let location = begin(host, "c/cut");
    assert!(send(host, "PATCH", &location, &[], &[7; 1000], 5000).is_none());
    // It takes the registry a moment to notice.
    let begun = Instant::now();
    while ask(host, "GET", &location, &[], b"").status != 404 {
        assert!(begun.elapsed() < Duration::from_secs(20), "the session lives");
        std::thread::sleep(Duration::from_millis(10));
    }
    for method in ["PATCH", "PUT"] {
        let said = ask(host, method, &with_digest(&location, b"x"), &[], b"x");
        assert_eq!(said.status, 404, "{method}");
    }
}

fn blobs_are_looked_at_and_read_in_part(host: &str) {
    let content = bytes(82, 3000);
    let digest = store(host, "c/read", &content);
    let path = format!("/v2/c/read/blobs/{digest}");
    let said = ask(host, "HEAD", &path, &[], b"");
    assert_eq!((said.status, said.header("content-length")), (200, Some("3000")));
    assert_eq!(said.header("docker-content-digest"), Some(digest.as_str()));
    let said = ask(host, "GET", &path, &[("Range", "bytes=1000-")], b"");
    assert_eq!((said.status, said.header("content-range")), (206, Some("bytes 1000-2999/3000")));
    assert!(said.body == content[1000..]);
    let said = ask(host, "GET", &format!("/v2/c/read/blobs/{}", Digest::of(b"no")), &[], b"");
    assert_eq!((said.status, said.codes()), (404, vec!["BLOB_UNKNOWN".to_owned()]));
}

fn a_mount_links_what_is_there_and_else_opens_an_upload(host: &str) {
    let digest = store(host, "c/source", b"a base layer");
    let mount = |from: &str| format!("/v2/c/target/blobs/uploads/?mount={digest}&from={from}");
    let said = ask(host, "POST", &mount("c%2Fsource"), &[], b"");
    assert_eq!((said.status, said.header("docker-content-digest")), (201, Some(digest.as_str())));
    assert_eq!(ask(host, "HEAD", &format!("/v2/c/target/blobs/{digest}"), &[], b"").status, 200);
    let said = ask(host, "POST", &mount("c%2Felsewhere"), &[], b"");
    assert_eq!(said.status, 202);
    said.location();
}

fn manifests_need_their_blobs_and_tags_are_listed(host: &str) {
    let repository = "/v2/c/docs";
    let list = ask(host, "GET", &format!("{repository}/tags/list"), &[], b"");
    assert_eq!((list.status, list.codes()), (404, vec!["NAME_UNKNOWN".to_owned()]));
    let kind = [("Content-Type", media_type::MANIFEST), ("Accept", media_type::MANIFEST)];
    let config = Descriptor::of(media_type::CONFIG, b"{}");
    let manifest = json!({
        "schemaVersion": 2, "mediaType": media_type::MANIFEST, "config": config.to_value(), "layers": [],
    });
    let manifest = serde_json::to_vec(&manifest).unwrap();
    let digest = Digest::of(&manifest).to_string();
    let by = |name: &str| format!("{repository}/manifests/{name}");
    let said = ask(host, "PUT", &by("v1"), &kind, &manifest);
    assert_eq!((said.status, said.codes()), (400, vec!["MANIFEST_BLOB_UNKNOWN".to_owned()]));
    store(host, "c/docs", b"{}");
    let said = ask(host, "PUT", &by(&Digest::of(b"x").to_string()), &kind, &manifest);
    assert_eq!((said.status, said.codes()), (400, vec!["DIGEST_INVALID".to_owned()]));
    for name in [digest.as_str(), "v2", "v1"] {
        let said = ask(host, "PUT", &by(name), &kind, &manifest);
        assert_eq!((said.status, said.header("docker-content-digest")), (201, Some(digest.as_str())));
    }
    for name in [digest.as_str(), "v1"] {
        let said = ask(host, "HEAD", &by(name), &kind[1..], b"");
        assert_eq!((said.status, said.header("docker-content-digest")), (200, Some(digest.as_str())));
        assert_eq!(said.header("content-type"), Some(media_type::MANIFEST));
        assert_eq!(said.header("content-length"), Some(manifest.len().to_string().as_str()));
        assert!(ask(host, "GET", &by(name), &kind[1..], b"").body == manifest);
    }
    assert_eq!(ask(host, "HEAD", &by("v3"), &kind[1..], b"").status, 404);
    // A condition is not heeded: a tag is no compare-and-swap.
    let conditional = [kind[0], ("If-None-Match", "*")];
    assert_eq!(ask(host, "PUT", &by("v1"), &conditional, &manifest).status, 201);
    let list = ask(host, "GET", &format!("{repository}/tags/list?n=1"), &[], b"");
    assert_eq!(list.status, 200);
    let value: serde_json::Value = serde_json::from_slice(&list.body).unwrap();
    let tags = value["tags"].as_array().unwrap().len();
    // A page of one and a link to the next; 2.8 gives all of them at once.
    assert_eq!(tags, if list.header("link").is_some_and(|l| l.contains("rel=\"next\"")) { 1 } else { 2 });
    // No referrers, and so the fallback tag.
    let said = ask(host, "GET", &format!("{repository}/referrers/{digest}"), &[], b"");
    assert_eq!(said.status, 404);
}

fn all(host: &str) {
    chunks_are_appended_and_ranges_say_how_far(host);
    a_body_of_unknown_length_is_taken(host);
    a_put_may_have_all_of_it_and_a_wrong_digest_is_refused(host);
    a_cut_body_ends_its_session(host);
    blobs_are_looked_at_and_read_in_part(host);
    a_mount_links_what_is_there_and_else_opens_an_upload(host);
    manifests_need_their_blobs_and_tags_are_listed(host);
}

#[test]
fn the_registry_of_the_tests_behaves() {
    all(TestRegistry::start().addr());
}

#[test]
fn a_real_registry_behaves_like_that_of_the_tests() {
    all(&DebianRegistry::start().host());
}

#[test]
fn a_real_registry_takes_blobs_in_every_way() {
    let debian = DebianRegistry::start();
    for (seed, way) in [(90, Way::Stream), (91, Way::Whole), (92, Way::Chunked)] {
        let reference: Reference = format!("{}/ways", debian.host()).parse().unwrap();
        let to = Registry::open(&Client::new(chunked(Some(way))), &reference);
        let (document, contents) = publish(&to, seed).unwrap();
        to.claim(&tag(&document), &document).unwrap();
        read_back(&debian.host(), "ways", &tag(&document), &document, &contents);
    }
}
