//! What a run leaves for the next: uploads that go on, and a journal that is never believed.

use std::path::Path;

use super::*;

fn journaled(folder: &Path, way: Option<Way>) -> Settings {
    let uploads = Uploads { way, chunk: CHUNK, journal: Some(folder.to_owned()) };
    Settings { uploads, ..settings() }
}

/// Settings of a run that ends at its first failure.
fn fragile(folder: &Path) -> Settings {
    let settings = journaled(folder, Some(Way::Chunked));
    Settings { retry: Retry { attempts: 0, ..settings.retry }, ..settings }
}

/// The one file of a journal.
fn file(folder: &Path) -> std::path::PathBuf {
    let repository = std::fs::read_dir(folder).unwrap().next().unwrap().unwrap().path();
    let mut files = std::fs::read_dir(repository).unwrap();
    let file = files.next().unwrap().unwrap().path();
    assert!(files.next().is_none());
    file
}

/// A registry that has three chunks of a blob, and the journal of the run that sent them.
fn half_sent(folder: &Path, blob: &Bytes, switches: &[Switch]) -> TestRegistry {
    let registry = TestRegistry::start().with(Switch::SessionSurvives);
    switches.iter().for_each(|s| registry.set(s.clone()));
    let to = repository_with(&registry, "m", fragile(folder));
    // The fourth chunk is cut, and the run gives up.
    let failing = FailsAfter { blob, bytes: 3 * CHUNK + 262_144, registry: &registry };
    to.put(&failing, &Quiet).unwrap_err();
    // The registry notices a moment later.
    let begun = Instant::now();
    while chunks(&registry.log()).len() < 4 {
        assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", registry.steps());
        std::thread::sleep(Duration::from_millis(2));
    }
    registry.forget();
    registry
}

/// A blob whose reading breaks, as that of a process that is killed.
struct FailsAfter<'a> {
    blob: &'a Bytes,
    bytes: u64,
    registry: &'a TestRegistry,
}

/// Breaks once the registry has got something of the fourth chunk.
struct Breaks<'a>(&'a [u8], u64, &'a TestRegistry);

impl Read for Breaks<'_> {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        let room = usize::try_from(self.1).unwrap().min(buf.len());
        if room == 0 {
            let begun = Instant::now();
            while self.2.arrived() <= 3 * CHUNK && begun.elapsed() < Duration::from_secs(20) {
                std::thread::sleep(Duration::from_millis(1));
            }
            return Err(std::io::Error::other("the disk broke"));
        }
        let n = self.0.read(&mut buf[..room])?;
        self.1 -= n as u64;
        Ok(n)
    }
}

impl Blob for FailsAfter<'_> {
    fn descriptor(&self) -> &Descriptor {
        self.blob.descriptor()
    }
    fn open(&self) -> floe::Result<Box<dyn Read + Send + '_>> {
        Ok(Box::new(Breaks(self.blob.as_slice(), self.bytes, self.registry)))
    }
}

const SIZE: u64 = LARGE as u64;

#[test]
fn the_next_run_goes_on_where_the_last_one_ended() {
    for way in [None, Some(Way::Chunked)] {
        let dir = tempfile::tempdir().unwrap();
        let blob = Bytes::new("x", bytes(30, LARGE));
        let registry = half_sent(dir.path(), &blob, &[]);
        let see = Recorder::default();
        let to = repository_with(&registry, "m", journaled(dir.path(), way));
        assert_eq!(to.put(&blob, &see).unwrap(), Outcome::Written);
        assert_eq!(see.sum(), (LARGE as i64, "written".to_owned()));
        assert!(*registry.blob("m", &blob.descriptor().digest).unwrap() == *blob.as_slice());
        let log = registry.log();
        assert_eq!(registry.steps()[..2], ["HEAD blobs", "GET uploads"]);
        assert!(chunks(&log)[0].0 >= 3 * CHUNK);
        assert!(uploaded(&log) <= SIZE - 3 * CHUNK);
        // Done: nothing of the session is kept.
        let text = std::fs::read_to_string(file(dir.path())).unwrap();
        assert!(text.contains("done") && !text.contains("http"), "{text}");
    }
}

#[test]
fn a_run_without_a_journal_begins_anew() {
    let dir = tempfile::tempdir().unwrap();
    let blob = Bytes::new("x", bytes(31, LARGE));
    let registry = half_sent(dir.path(), &blob, &[]);
    for settings in [chunked(Some(Way::Chunked)), journaled(&dir.path().join("another"), Some(Way::Chunked))]
    {
        repository_with(&registry, "m", settings).put(&blob, &Quiet).unwrap();
        assert_eq!(chunks(&registry.log())[0].0, 0);
        registry.forget();
        registry.lose_blob("m", &blob.descriptor().digest);
    }
    // Another blob, or the same one for another repository, has nothing to do with it.
    let other = Bytes::new("x", bytes(32, LARGE));
    repository_with(&registry, "m", journaled(dir.path(), None)).put(&other, &Quiet).unwrap();
    repository_with(&registry, "n", journaled(dir.path(), None)).put(&blob, &Quiet).unwrap();
    assert!(registry.log().iter().all(|e| e.short() != "GET uploads"));
}

#[test]
fn what_the_journal_says_is_asked_before_it_is_used() {
    let blob = Bytes::new("x", bytes(33, LARGE));
    let change = |what: &str| {
        let dir = tempfile::tempdir().unwrap();
        let registry = half_sent(dir.path(), &blob, &[]);
        let path = file(dir.path());
        let text = std::fs::read_to_string(&path).unwrap();
        let line = text.lines().last().unwrap();
        let mut value: serde_json::Value = serde_json::from_str(line).unwrap();
        let other = registry.other().to_owned();
        let upload = &mut value["upload"];
        let url = upload["url"].as_str().unwrap().to_owned();
        match what {
            "gone" => registry.set(Switch::LostSession { count: 1 }),
            "no status" => registry.set(Switch::NoStatus),
            "more than there is" => upload["offset"] = json!(3 * CHUNK + 262_145),
            "another host" => upload["url"] = json!(url.replace(registry.addr(), &other)),
            "no URL" => upload["url"] = json!("\u{0}\n"),
            "another scheme" => upload["url"] = json!("file:///etc/passwd"),
            "credentials" => upload["url"] = json!(url.replace("http://", "http://a:b@")),
            "half a line" => {}
            _ => unreachable!(),
        }
        let text =
            if what == "half a line" { line[..line.len() / 2].to_owned() } else { format!("{value}\n") };
        std::fs::write(&path, text).unwrap();
        let to = repository_with(&registry, "m", journaled(dir.path(), Some(Way::Chunked)));
        to.put(&blob, &Quiet).unwrap_or_else(|e| panic!("{what}: {e:?}"));
        assert!(*registry.blob("m", &blob.descriptor().digest).unwrap() == *blob.as_slice(), "{what}");
        let log = registry.log();
        assert_eq!(chunks(&log)[0].0, 0, "{what}: it begins anew");
        assert_eq!(uploaded(&log), SIZE, "{what}");
        assert!(log.iter().all(|e| !e.foreign), "{what}: nobody else is asked");
        let asked = log.iter().filter(|e| e.short() == "GET uploads").count();
        let hopeless =
            matches!(what, "another host" | "no URL" | "another scheme" | "credentials" | "half a line");
        assert_eq!(asked, usize::from(!hopeless), "{what}");
    };
    for what in [
        "gone",
        "no status",
        "more than there is",
        "another host",
        "no URL",
        "another scheme",
        "credentials",
        "half a line",
    ] {
        change(what);
    }
}

#[test]
fn a_session_that_holds_other_bytes_never_becomes_a_blob() {
    let dir = tempfile::tempdir().unwrap();
    let (blob, other) = (Bytes::new("x", bytes(34, LARGE)), Bytes::new("x", bytes(35, LARGE)));
    let registry = half_sent(dir.path(), &other, &[]);
    // Somebody made the journal say that these bytes are those of another blob.
    let path = file(dir.path());
    let text = std::fs::read_to_string(&path).unwrap();
    let text = text.replace(&other.descriptor().digest.to_string(), &blob.descriptor().digest.to_string());
    std::fs::write(path.with_file_name(blob.descriptor().digest.hex()), text).unwrap();
    let to = repository_with(&registry, "m", journaled(dir.path(), Some(Way::Chunked)));
    to.put(&blob, &Quiet).unwrap();
    assert!(*registry.blob("m", &blob.descriptor().digest).unwrap() == *blob.as_slice());
    // The registry refused the mixture, and all of it went once more.
    let log = registry.log();
    assert!(log.iter().any(|e| e.short() == "PUT uploads" && e.status == 400));
    assert!(uploaded(&log) <= 2 * SIZE);
}

#[test]
fn two_that_send_the_same_blob_do_not_share_a_session() {
    let dir = tempfile::tempdir().unwrap();
    let blob = Bytes::new("x", bytes(36, LARGE));
    let registry = half_sent(dir.path(), &blob, &[]);
    std::thread::scope(|s| {
        for _ in 0..4 {
            s.spawn(|| {
                let settings = journaled(dir.path(), Some(Way::Chunked));
                repository_with(&registry, "m", settings).put(&blob, &Quiet).unwrap()
            });
        }
    });
    assert!(*registry.blob("m", &blob.descriptor().digest).unwrap() == *blob.as_slice());
    let log = registry.log();
    assert!(log.iter().all(|e| e.status != 416), "no session had two writers");
}

#[test]
fn how_blobs_ended_is_noted_and_nothing_hangs_on_it() {
    let dir = tempfile::tempdir().unwrap();
    let registry = TestRegistry::start();
    let content = bytes(37, 5000);
    registry.add_blob("library/base", &content);
    let to = repository_with(&registry, "m", journaled(dir.path(), None));
    let origin = Origin { registry: registry.addr().to_owned(), repository: "library/base".to_owned() };
    let blob = publish::Elsewhere(Bytes::new("x", content.clone()), origin);
    assert_eq!(to.put(&blob, &Quiet).unwrap(), Outcome::Mounted);
    assert!(std::fs::read_to_string(file(dir.path())).unwrap().contains("mounted"));
    // The registry has lost it meanwhile: what the journal says does not make it be there.
    registry.lose_blob("m", &Digest::of(&content));
    assert_eq!(to.put(&Bytes::new("x", content.clone()), &Quiet).unwrap(), Outcome::Written);
    assert!(*registry.blob("m", &Digest::of(&content)).unwrap() == content);
    assert!(std::fs::read_to_string(file(dir.path())).unwrap().contains("done"));
}

#[test]
fn a_journal_that_cannot_be_kept_stops_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("a file");
    std::fs::write(&file, "x").unwrap();
    let registry = TestRegistry::start();
    let blob = Bytes::new("x", bytes(38, LARGE));
    repository_with(&registry, "m", journaled(&file, Some(Way::Chunked))).put(&blob, &Quiet).unwrap();
    assert!(registry.blob("m", &blob.descriptor().digest).is_some());
    assert_eq!(std::fs::read(&file).unwrap(), b"x");
}
