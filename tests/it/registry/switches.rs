//! A whole publish under every bad habit, and under seeded combinations of them.
//!
//! What is asserted each time: all is there in the end, in the right order (mount before upload,
//! manifest after its blobs, tag after manifest), no credentials went elsewhere, and no more bytes were
//! sent than the habit costs: nothing, the one blob that failed, or less than a chunk of it.

use super::*;

/// How much more than the content is sent.
#[derive(Clone, Copy, Debug)]
enum Cost {
    Nothing,
    /// The large blob so many times more.
    Blobs(u64),
    /// Less than so many chunks, beside the small blobs.
    Chunks(u64),
    /// It is refused.
    Refused(Kind),
}

use Cost::{Blobs, Chunks, Nothing, Refused};

const ALWAYS: u32 = u32::MAX;
/// The small blobs, which may go again too.
const SMALL: u64 = 2000;

struct Row {
    name: &'static str,
    switches: Vec<Switch>,
    /// With the way left to floe, and in chunks.
    cost: [Cost; 2],
}

fn row(name: &'static str, switches: &[Switch], auto: Cost, chunked: Cost) -> Row {
    Row { name, switches: switches.to_vec(), cost: [auto, chunked] }
}

fn status(method: &'static str, path: &'static str, status: u16, count: u32) -> Switch {
    Switch::Status { method, path, status, retry_after: None, count }
}

fn lost(method: &'static str, path: &'static str) -> Switch {
    Switch::LostReply { method, path, count: 1 }
}

/// Every switch that a publish meets. Reading has its own test, and so have logins.
fn rows() -> Vec<Row> {
    let bearer = |requests| Switch::Bearer { requests, login: None };
    let cut = |after, count| Switch::CutUpload { after, count };
    let lives = Switch::SessionSurvives;
    vec![
        row("none", &[], Nothing, Nothing),
        row("relative location", &[Switch::RelativeLocation], Nothing, Nothing),
        row("foreign location", &[Switch::ForeignLocation], Nothing, Nothing),
        row("no digest header", &[Switch::NoDigestHeader], Nothing, Nothing),
        row("false digest on PUT", &[Switch::FalseDigestHeader(&["PUT"])], Nothing, Nothing),
        row("no HEAD of manifests", &[Switch::NoHead], Nothing, Nothing),
        row("slow tags", &[Switch::SlowTags(3)], Nothing, Nothing),
        row("unsorted tags", &[Switch::UnsortedTags, Switch::Page(1)], Nothing, Nothing),
        row("pages of at most 100", &[Switch::MaxN(100)], Nothing, Nothing),
        row("If-None-Match is heeded", &[Switch::IfNoneMatch], Nothing, Nothing),
        row("immutable tags, ECR", &[Switch::Immutable400], Nothing, Nothing),
        row("immutable tags, Harbor", &[Switch::Immutable(412)], Nothing, Nothing),
        row("immutable tags, Quay", &[Switch::Immutable(409)], Nothing, Nothing),
        row("immutable tags, zot and GAR", &[Switch::Immutable(403)], Nothing, Nothing),
        row("media types, Quay", &[Switch::MediaTypes(&[media_type::LAYER])], Nothing, Nothing),
        row(
            "media types, none of ours",
            &[Switch::MediaTypes(&[])],
            Refused(Kind::Denied),
            Refused(Kind::Denied),
        ),
        row("no repository, ECR", &[Switch::NoRepository], Refused(Kind::Denied), Refused(Kind::Denied)),
        row("mount opens an upload", &[Switch::Mount202], Nothing, Nothing),
        row("mount refused, Artifactory", &[Switch::MountFails(404)], Nothing, Nothing),
        row("mount refused, Harbor", &[Switch::MountFails(403)], Nothing, Nothing),
        row("mount fails", &[Switch::MountFails(500)], Nothing, Nothing),
        row("mount needs a source, Quay", &[Switch::MountNeedsFrom], Nothing, Nothing),
        row("sessions survive", std::slice::from_ref(&lives), Nothing, Nothing),
        row("no status of uploads", &[Switch::NoStatus], Nothing, Nothing),
        row("ranges are not looked at, 2.8", &[Switch::OutOfOrder], Nothing, Nothing),
        row("ranges are wanted", &[Switch::StrictRange], Blobs(1), Nothing),
        row("no chunks, GAR", &[Switch::NoChunks(416)], Nothing, Refused(Kind::Denied)),
        row("no chunks, 400", &[Switch::NoChunks(400)], Nothing, Refused(Kind::Denied)),
        row("a minimum", &[Switch::MinChunk(2 * CHUNK)], Nothing, Nothing),
        row("a mad minimum", &[Switch::ClaimsMinChunk(u64::MAX)], Nothing, Refused(Kind::Denied)),
        row("4 MiB, GHCR", &[Switch::Ghcr416Over4MiB], Nothing, Nothing),
        row("201 and a stale range, ECR", &[Switch::Ecr201StaleRange], Nothing, Nothing),
        row(
            "later chunks dropped",
            &[Switch::DropsLaterChunks, Switch::Ecr201StaleRange],
            Nothing,
            Refused(Kind::Integrity),
        ),
        row("204, pulp", &[Switch::Patch204], Nothing, Nothing),
        row("range of the chunk, zot", &[Switch::RangeOfChunk], Nothing, Nothing),
        row("short range", &[Switch::ShortRange { count: 1 }], Blobs(1), Chunks(1)),
        row("3 MB at once", &[Switch::TooLarge { over: 3_000_000, early: false }], Blobs(1), Nothing),
        row(
            "3 MB at once, told early",
            &[Switch::TooLarge { over: 3_000_000, early: true }],
            Blobs(1),
            Nothing,
        ),
        row("600 kB at once", &[Switch::TooLarge { over: 600_000, early: false }], Blobs(2), Chunks(2)),
        row("no PATCH, 405", &[Switch::NoPatch(405)], Blobs(1), Refused(Kind::Denied)),
        row("no PATCH, 400", &[Switch::NoPatch(400)], Blobs(1), Refused(Kind::Denied)),
        row("503 on POST", &[status("POST", "", 503, 2)], Nothing, Nothing),
        row("503 on HEAD", &[status("HEAD", "", 503, 2)], Nothing, Nothing),
        row("425 on PATCH", &[status("PATCH", "", 425, 1)], Blobs(1), Chunks(1)),
        row("408 on PATCH", &[status("PATCH", "", 408, 1)], Blobs(1), Chunks(1)),
        row("503 on PATCH", &[status("PATCH", "", 503, 3)], Blobs(3), Chunks(3)),
        row("spurious 416", &[status("PATCH", "", 416, 1)], Blobs(1), Refused(Kind::Denied)),
        row("502 on the last PUT", &[status("PUT", "/uploads/", 502, 1)], Nothing, Nothing),
        row("500 on manifests", &[status("PUT", "/manifests/", 500, 2)], Nothing, Nothing),
        row("every 5th is 500", &[Switch::EveryNth { n: 5, status: 500 }], Blobs(2), Chunks(8)),
        row("every 4th is 503", &[Switch::EveryNth { n: 4, status: 503 }], Blobs(3), Chunks(12)),
        row("lost reply of a blob", &[lost("PUT", "/uploads/")], Nothing, Nothing),
        row("lost reply of a manifest", &[lost("PUT", "/manifests/")], Nothing, Nothing),
        row("lost reply of a POST", &[lost("POST", "")], Nothing, Nothing),
        row("lost reply of a PATCH", &[lost("PATCH", "")], Blobs(1), Chunks(1)),
        row("lost reply of a PATCH that lives", &[lost("PATCH", ""), lives.clone()], Nothing, Nothing),
        row("no location once", &[Switch::NoLocation { count: 1 }], Nothing, Nothing),
        row(
            "no location ever",
            &[Switch::NoLocation { count: ALWAYS }],
            Refused(Kind::Network),
            Refused(Kind::Network),
        ),
        row("lost session", &[Switch::LostSession { count: 1 }], Blobs(1), Chunks(1)),
        row("another is first, Nexus", &[Switch::Concurrent400 { count: 2 }], Nothing, Nothing),
        row("a flipped bit", &[Switch::FlipUpload { count: 1 }], Blobs(1), Blobs(1)),
        row("cut", &[cut(1_000_000, 1)], Blobs(1), Chunks(1)),
        row("cut three times", &[cut(300_000, 3)], Blobs(1), Chunks(3)),
        row("cut late", &[cut(4_000_000, 1)], Blobs(1), Nothing),
        row("cut, and lives", &[cut(1_000_000, 1), lives.clone()], Chunks(1), Chunks(1)),
        row("cut three times, and lives", &[cut(300_000, 3), lives.clone()], Chunks(3), Chunks(3)),
        row("cut after 1.5 MB, always", &[cut(1_500_000, ALWAYS)], Blobs(1), Nothing),
        row("tokens for 1", &[bearer(1)], Blobs(2), Chunks(6)),
        row("tokens for 3", &[bearer(3)], Blobs(1), Chunks(3)),
        row("tokens for 20", &[bearer(20)], Nothing, Chunks(1)),
        row("tokens for all", &[bearer(ALWAYS)], Nothing, Nothing),
        row(
            "much at once",
            &[
                bearer(2),
                status("PATCH", "", 503, 1),
                cut(500_000, 1),
                Switch::RelativeLocation,
                Switch::NoDigestHeader,
            ],
            Blobs(3),
            Blobs(1),
        ),
    ]
}

/// What a publish under switches did.
struct Done {
    log: Vec<Entry>,
    /// Bytes of the content that was not there before.
    size: u64,
}

/// A base layer that lies elsewhere in the registry, a layer made while it is sent, two small blobs, a
/// manifest, a tag.
fn publish_under(name: &str, switches: &[Switch], settings: Settings) -> floe::Result<Done> {
    let registry = TestRegistry::start();
    let base = bytes(70, 900);
    registry.add_blob("library/base", &base);
    switches.iter().for_each(|s| registry.set(s.clone()));
    let to = repository_with(&registry, "models/m", settings);
    let origin = Origin { registry: registry.addr().to_owned(), repository: "library/base".to_owned() };
    let base_blob = publish::Elsewhere(Bytes::new(media_type::LAYER, base.clone()), origin);
    let mounted = to.put(&base_blob, &Quiet)? == Outcome::Mounted;
    let (document, contents) = publish(&to, 7)?;
    let claim = to.claim(&tag(&document), &document)?;
    assert_eq!(claim, Claim::Created, "{name}");
    assert_eq!(to.claim(&tag(&document), &document)?, Claim::Same, "{name}");
    assert_eq!(to.names()?, [tag(&document)], "{name}");
    for content in contents.iter().chain([&base]) {
        let kept = registry.blob("models/m", &Digest::of(content));
        assert!(kept.is_some_and(|k| *k == *content), "{name}: a blob is missing or wrong");
    }
    assert_eq!(registry.tags("models/m")[&tag(&document)], document.descriptor.digest.to_string(), "{name}");
    let log = registry.log();
    in_order(name, &log, &document, &base);
    let size = total(&contents) + if mounted { 0 } else { base.len() as u64 };
    Ok(Done { log, size })
}

/// What may never be the other way round.
fn in_order(name: &str, log: &[Entry], document: &Document, base: &[u8]) {
    // What is not this registry gets no credentials, whatever stands in its answers.
    assert!(log.iter().all(|e| !e.foreign || e.authorization.is_none()), "{name}");
    let param = |e: &Entry, key: &str| e.query.iter().find(|q| q.0 == key).map(|q| q.1.clone());
    let base = Digest::of(base).to_string();
    let mount = log.iter().position(|e| param(e, "mount").as_ref() == Some(&base));
    let mount = mount.unwrap_or_else(|| panic!("{name}: no mount was asked for"));
    let sent = log.iter().position(|e| e.received > 0 && e.path.contains("/uploads/"));
    assert!(sent.is_none_or(|sent| mount < sent), "{name}: mount before upload");
    assert!(log[..mount].iter().all(|e| e.method != "POST"), "{name}: mount before upload");
    let last_blob = log.iter().rposition(|e| e.short() == "PUT uploads").unwrap();
    let first_manifest = log.iter().position(|e| e.short() == "PUT manifests").unwrap();
    assert!(last_blob < first_manifest, "{name}: manifest after its blobs");
    let by = |what: &str| log.iter().position(|e| e.short() == "PUT manifests" && e.path.ends_with(what));
    let digest = by(&document.descriptor.digest.to_string()).unwrap();
    assert!(by(&tag(document)).is_some_and(|t| digest < t), "{name}: tag after manifest");
    // Each session is written by one PATCH after the other, never below where it was.
    let mut at = std::collections::BTreeMap::new();
    for e in log.iter().filter(|e| e.method == "PATCH" && e.status / 100 == 2) {
        let start = e.headers.get("content-range").and_then(|r| r.split('-').next()?.parse::<u64>().ok());
        let before = at.insert(e.path.clone(), start);
        assert!(before.is_none_or(|b| b <= start), "{name}: {} went back", e.path);
    }
}

fn check(name: &str, way: Option<Way>, cost: Cost, result: floe::Result<Done>) {
    let what = format!("{name} ({})", way.map_or("auto".to_owned(), |w| format!("{w:?}")));
    let extra = match (cost, result) {
        (Refused(kind), Err(e)) => {
            return assert_eq!(e.kind(), kind, "{what}: {e:?}");
        }
        (Refused(_), Ok(_)) => panic!("{what}: was not refused"),
        (_, Err(e)) => panic!("{what}: {e:?}"),
        (_, Ok(done)) => {
            let sent = uploaded(&done.log);
            assert!(sent >= done.size, "{what}: {sent} of {}", done.size);
            sent - done.size
        }
    };
    let most = match cost {
        Nothing => 0,
        Blobs(n) => n * LARGE as u64 + SMALL,
        Chunks(n) => n * CHUNK + SMALL,
        Refused(_) => unreachable!(),
    };
    assert!(extra <= most, "{what}: {extra} bytes in vain, at most {most} are needed");
}

#[test]
fn a_publish_gets_over_every_habit() {
    for row in rows() {
        for (way, cost) in [None, Some(Way::Chunked)].into_iter().zip(row.cost) {
            check(row.name, way, cost, publish_under(row.name, &row.switches, chunked(way)));
        }
    }
}

/// Numbers for a seed, the same each time.
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }
}

/// Some habits that go together with each other, and how many times they break something.
fn combination(random: &mut Random) -> Vec<Switch> {
    let methods = ["PATCH", "PUT", "POST", "HEAD"];
    let statuses = [408, 429, 500, 502, 503, 504];
    let mut switches = Vec::new();
    for _ in 0..2 + random.below(4) {
        let method = methods[random.below(4) as usize];
        let count = 1 + random.below(2) as u32;
        switches.push(match random.below(14) {
            0 | 1 => status(method, "", statuses[random.below(6) as usize], count),
            2 => Switch::LostReply { method, path: "", count },
            3 | 4 => Switch::CutUpload { after: 1 + random.below(LARGE as u64), count },
            // Damaged content is sent once more, and not twice.
            5 if !switches.contains(&Switch::FlipUpload { count: 1 }) => Switch::FlipUpload { count: 1 },
            5 => Switch::NoStatus,
            6 => Switch::LostSession { count },
            7 => Switch::NoDigestHeader,
            8 => {
                if random.below(2) == 0 {
                    Switch::RelativeLocation
                } else {
                    Switch::ForeignLocation
                }
            }
            9 => Switch::Bearer { requests: 1 + random.below(6) as u32, login: None },
            10 => [Switch::Patch204, Switch::RangeOfChunk, Switch::Ecr201StaleRange]
                [random.below(3) as usize]
                .clone(),
            11 => {
                Switch::Sometimes { percent: 5 + random.below(15) as u32, seed: random.below(1 << 16) as u32 }
            }
            12 => {
                Switch::TooLarge { over: 700_000 + random.below(LARGE as u64), early: random.below(2) == 0 }
            }
            _ => [Switch::Mount202, Switch::SlowTags(2), Switch::Concurrent400 { count: 1 }]
                [random.below(3) as usize]
                .clone(),
        });
    }
    if random.below(2) == 0 {
        switches.push(Switch::SessionSurvives);
    }
    switches
}

#[test]
fn a_publish_gets_over_combinations() {
    for seed in 0..48 {
        let mut random = Random(seed);
        let switches = combination(&mut random);
        let way = [None, Some(Way::Chunked)][random.below(2) as usize];
        let settings = chunked(way);
        // So many faults may meet in one request.
        let retry = Retry { attempts: 12, ..settings.retry };
        let name = format!("seed {seed}: {switches:?}");
        let result = publish_under(&name, &switches, Settings { retry, ..settings });
        check(&name, way, Blobs(8), result);
    }
}
