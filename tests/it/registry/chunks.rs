//! Blobs in chunks: when they are used, what they cost, and where they go on after a cut.

use super::*;

/// Where each chunk of a blob begins, and how long it is.
fn parts(size: u64, chunk: u64) -> Vec<(u64, u64)> {
    (0..size.div_ceil(chunk)).map(|i| (i * chunk, chunk.min(size - i * chunk))).collect()
}

const SIZE: u64 = LARGE as u64;

fn here(registry: &TestRegistry, content: &[u8]) {
    assert!(*registry.blob("m", &Digest::of(content)).expect("the blob is there") == content);
}

#[test]
fn a_blob_in_chunks_is_read_once_and_sent_once() {
    let registry = TestRegistry::start().with(Switch::StrictRange);
    let to = repository_with(&registry, "m", chunked(Some(Way::Chunked)));
    let weights = Weights::new(bytes(1, LARGE));
    let see = Recorder::default();
    let packed = to.ingest(&weights, &see).unwrap();
    assert_eq!(packed.descriptor, Descriptor::of(media_type::LAYER, &weights.bytes));
    assert_eq!(weights.opened.load(Ordering::Relaxed), 1);
    assert_eq!(see.sum(), (LARGE as i64, "written".to_owned()));
    let log = registry.log();
    assert_eq!(chunks(&log), parts(SIZE, CHUNK));
    assert_eq!(registry.steps().join(","), format!("POST uploads{},PUT uploads", ",PATCH uploads".repeat(5)));
    assert_eq!(uploaded(&log), SIZE);
    here(&registry, &weights.bytes);
    // What is smaller than a chunk, a multiple of one, or nothing.
    for n in [0, 1, CHUNK as usize - 1, CHUNK as usize, 2 * CHUNK as usize] {
        registry.forget();
        let content = bytes(n as u64, n);
        to.put(&Bytes::new("x", content.clone()), &Quiet).unwrap();
        assert_eq!(chunks(&registry.log()), parts(n as u64, CHUNK), "{n}");
        here(&registry, &content);
    }
}

/// A recipe that does not know how large it will be, as compressed layers do not.
struct Unsized(Weights);

impl Recipe for Unsized {
    fn title(&self) -> String {
        self.0.title()
    }
    fn size(&self) -> Option<u64> {
        None
    }
    fn work(&self) -> u64 {
        self.0.work()
    }
    fn open(&self) -> floe::Result<Box<dyn Pass + '_>> {
        self.0.open()
    }
}

#[test]
fn content_of_unknown_size_is_hashed_before_it_goes_in_chunks() {
    let registry = TestRegistry::start();
    let to = repository_with(&registry, "m", chunked(Some(Way::Chunked)));
    let recipe = Unsized(Weights::new(bytes(2, LARGE)));
    let see = Recorder::default();
    to.ingest(&recipe, &see).unwrap();
    assert_eq!(recipe.0.opened.load(Ordering::Relaxed), 2);
    assert_eq!(see.sum(), (LARGE as i64, "written".to_owned()));
    assert_eq!(chunks(&registry.log()), parts(SIZE, CHUNK));
    here(&registry, &recipe.0.bytes);
    // Now that the digest comes first, what is there is seen to be there.
    registry.forget();
    to.ingest(&recipe, &Quiet).unwrap();
    assert_eq!(registry.steps(), ["HEAD blobs"]);
}

#[test]
fn after_a_cut_less_than_a_chunk_goes_again() {
    for cut in [1, 300_000, 900_000] {
        let registry = TestRegistry::start().with(Switch::SessionSurvives);
        registry.set(Switch::CutUpload { after: cut, count: 3 });
        let to = repository_with(&registry, "m", chunked(Some(Way::Chunked)));
        let weights = Weights::new(bytes(3, LARGE));
        let see = Recorder::default();
        to.ingest(&weights, &see).unwrap();
        here(&registry, &weights.bytes);
        assert_eq!(see.sum().0, LARGE as i64);
        let log = registry.log();
        assert!(uploaded(&log) < SIZE + CHUNK, "{} of {SIZE}", uploaded(&log));
        assert_eq!(log.iter().filter(|e| e.short() == "POST uploads").count(), 1, "one session");
        assert_eq!(log.iter().filter(|e| e.short() == "GET uploads").count(), 3, "asked after each cut");
        // Each chunk goes on where the registry was.
        let starts = chunks(&log);
        assert!(starts.windows(2).all(|w| w[1].0 >= w[0].0), "{starts:?}");
    }
}

#[test]
fn a_lost_answer_to_a_chunk_sends_none_of_it_again() {
    let registry = TestRegistry::start().with(Switch::SessionSurvives);
    registry.set(Switch::LostReply { method: "PATCH", path: "", count: 2 });
    let to = repository_with(&registry, "m", chunked(Some(Way::Chunked)));
    let blob = Bytes::new("x", bytes(4, LARGE));
    to.put(&blob, &Quiet).unwrap();
    here(&registry, blob.as_slice());
    assert_eq!(uploaded(&registry.log()), SIZE);
}

#[test]
fn where_a_session_dies_with_a_cut_that_one_blob_starts_anew() {
    let registry = TestRegistry::start().with(Switch::CutUpload { after: 600_000, count: 1 });
    let to = repository_with(&registry, "m", chunked(Some(Way::Chunked)));
    let (first, second) = (Weights::new(bytes(5, LARGE)), Weights::new(bytes(6, LARGE)));
    to.ingest(&first, &Quiet).unwrap();
    to.ingest(&second, &Quiet).unwrap();
    here(&registry, &first.bytes);
    here(&registry, &second.bytes);
    assert!(uploaded(&registry.log()) < 2 * SIZE + CHUNK);
}

#[test]
fn a_cut_stream_goes_on_in_chunks_where_its_session_lives() {
    let registry = TestRegistry::start().with(Switch::SessionSurvives);
    registry.set(Switch::CutUpload { after: 3_000_000, count: 1 });
    let to = repository_with(&registry, "m", chunked(None));
    let weights = Weights::new(bytes(7, LARGE));
    let see = Recorder::default();
    to.ingest(&weights, &see).unwrap();
    here(&registry, &weights.bytes);
    assert_eq!(see.sum(), (LARGE as i64, "written".to_owned()));
    let log = registry.log();
    assert!(uploaded(&log) < SIZE + CHUNK, "{} of {SIZE}", uploaded(&log));
    let ranges: Vec<_> = log.iter().filter_map(|e| e.headers.get("content-range")).collect();
    let start: u64 = ranges[0].split('-').next().unwrap().parse().unwrap();
    assert!(start >= 3_000_000, "it goes on behind what was cut: {ranges:?}");
    // A cut is an accident: the next blob is one stream again.
    registry.forget();
    to.ingest(&Weights::new(bytes(8, LARGE)), &Quiet).unwrap();
    assert_eq!(registry.steps(), ["POST uploads", "PATCH uploads", "PUT uploads"]);
}

#[test]
fn a_stream_that_is_cut_again_and_again_goes_in_chunks() {
    // As a proxy does that ends connections after so many bytes.
    let registry = TestRegistry::start().with(Switch::CutUpload { after: CHUNK + 1, count: u32::MAX });
    let to = repository_with(&registry, "m", chunked(None));
    let weights = Weights::new(bytes(9, LARGE));
    to.ingest(&weights, &Quiet).unwrap();
    here(&registry, &weights.bytes);
}

#[test]
fn a_limit_on_bodies_is_learnt_once_for_the_run() {
    for (over, early) in [(3_000_000, false), (3_000_000, true), (300_000, false), (300_000, true)] {
        let registry = TestRegistry::start().with(Switch::TooLarge { over, early });
        let to = repository_with(&registry, "m", settings());
        for seed in [10, 11] {
            let weights = Weights::new(bytes(seed, LARGE));
            to.ingest(&weights, &Quiet).unwrap_or_else(|e| panic!("{over} {early}: {e:?}"));
            here(&registry, &weights.bytes);
            if seed == 10 {
                assert!(registry.log().iter().any(|e| e.status == 413));
                registry.forget();
            }
        }
        let log = registry.log();
        assert!(log.iter().all(|e| e.status != 413), "learnt");
        assert_eq!(uploaded(&log), SIZE);
        assert!(chunks(&log).iter().all(|c| c.1 <= over));
    }
}

#[test]
fn a_limit_below_reason_is_an_error_that_says_so() {
    let registry = TestRegistry::start().with(Switch::TooLarge { over: 1000, early: false });
    let e = repository(&registry, "m").put(&Bytes::new("x", bytes(12, LARGE)), &Quiet).unwrap_err();
    assert_eq!(e.kind(), Kind::Denied);
    assert!(e.to_string().contains("413") && e.hint_text().unwrap().contains("limit"), "{e:?}");
}

#[test]
fn ghcr_gets_chunks_of_4_mib() {
    let registry = TestRegistry::start().with(Switch::Ghcr416Over4MiB);
    let fixed = Uploads { way: Some(Way::Chunked), ..Uploads::default() };
    let to = repository_with(&registry, "m", Settings { uploads: fixed, ..settings() });
    for seed in [13, 14] {
        let blob = Bytes::new("x", bytes(seed, LARGE));
        to.put(&blob, &Quiet).unwrap();
        here(&registry, blob.as_slice());
    }
    let log = registry.log();
    assert_eq!(log.iter().filter(|e| e.status == 416).count(), 1, "learnt");
    let taken: Vec<Entry> = log.into_iter().filter(|e| e.status != 416).collect();
    assert!(chunks(&taken).iter().all(|c| c.1 <= 4 << 20));
}

#[test]
fn a_minimum_is_kept_up_to_what_a_header_may_demand() {
    // Larger chunks than wanted, as the registry says.
    let registry = TestRegistry::start().with(Switch::MinChunk(2 * CHUNK));
    for way in [None, Some(Way::Chunked)] {
        let to = repository_with(&registry, "m", chunked(way));
        registry.forget();
        let blob = Bytes::new("x", bytes(if way.is_some() { 15 } else { 16 }, LARGE));
        to.put(&blob, &Quiet).unwrap();
        assert_eq!(chunks(&registry.log()), parts(SIZE, 2 * CHUNK), "{way:?}");
        here(&registry, blob.as_slice());
    }
    // What is beyond all measure is not obeyed: a stream has no chunks.
    for least in [(256 << 20) + 1, u64::MAX] {
        let registry = TestRegistry::start().with(Switch::ClaimsMinChunk(least));
        let blob = Bytes::new("x", bytes(17, LARGE));
        let to = repository_with(&registry, "m", chunked(Some(Way::Chunked)));
        let e = to.put(&blob, &Quiet).unwrap_err();
        assert_eq!(e.kind(), Kind::Denied);
        assert!(e.to_string().contains(&least.to_string()), "{e}");
        assert!(registry.log().iter().all(|e| e.received == 0));
        let to = repository_with(&registry, "m", chunked(None));
        to.put(&blob, &Quiet).unwrap();
        here(&registry, blob.as_slice());
    }
    // A registry that wants more than it takes.
    let registry = TestRegistry::start().with(Switch::ClaimsMinChunk(8 << 20)).with(Switch::Ghcr416Over4MiB);
    let fixed = Uploads { way: Some(Way::Chunked), ..Uploads::default() };
    let to = repository_with(&registry, "m", Settings { uploads: fixed, ..settings() });
    let e = to.put(&Bytes::new("x", bytes(18, LARGE)), &Quiet).unwrap_err();
    assert!(e.to_string().contains("8388608") && e.to_string().contains("4194304"), "{e}");
}

#[test]
fn what_a_registry_says_of_its_bytes_is_checked_but_not_blindly_believed() {
    // Each of these says something else than what it has, or nothing, and has all.
    for switches in [
        vec![Switch::Ecr201StaleRange],
        vec![Switch::Patch204],
        vec![Switch::RangeOfChunk],
        vec![Switch::RangeOfChunk, Switch::NoStatus],
        vec![Switch::OutOfOrder],
    ] {
        for way in [None, Some(Way::Chunked)] {
            let registry = TestRegistry::start();
            switches.iter().for_each(|s| registry.set(s.clone()));
            let weights = Weights::new(bytes(19, LARGE));
            repository_with(&registry, "m", chunked(way))
                .ingest(&weights, &Quiet)
                .unwrap_or_else(|e| panic!("{switches:?} {way:?}: {e:?}"));
            here(&registry, &weights.bytes);
            // Where neither the range nor the status can be used, one more attempt shows that it is a habit.
            let again = if switches.len() > 1 && way.is_some() { 2 * CHUNK } else { 0 };
            assert!(uploaded(&registry.log()) <= SIZE + again, "{switches:?} {way:?}");
        }
    }
    // This one says what it lost.
    let registry = TestRegistry::start().with(Switch::ShortRange { count: 2 });
    let weights = Weights::new(bytes(20, LARGE));
    repository_with(&registry, "m", chunked(Some(Way::Chunked))).ingest(&weights, &Quiet).unwrap();
    here(&registry, &weights.bytes);
    assert!(uploaded(&registry.log()) <= SIZE + 2 * CHUNK);
}

#[test]
fn bytes_that_nobody_confirmed_and_that_are_not_there_go_another_way() {
    let drops = || TestRegistry::start().with(Switch::DropsLaterChunks).with(Switch::Ecr201StaleRange);
    let registry = drops();
    let to = repository_with(&registry, "m", chunked(Some(Way::Chunked)));
    let e = to.put(&Bytes::new("x", bytes(21, LARGE)), &Quiet).unwrap_err();
    assert_eq!(e.kind(), Kind::Integrity);
    assert!(e.hint_text().unwrap().contains("--upload auto"), "{e:?}");
    let registry = drops().with(Switch::ClaimsMinChunk(CHUNK));
    let to = repository_with(&registry, "m", chunked(None));
    for seed in [22, 23] {
        let blob = Bytes::new("x", bytes(seed, LARGE));
        to.put(&blob, &Quiet).unwrap();
        here(&registry, blob.as_slice());
    }
    assert_eq!(uploaded(&registry.log()), 3 * SIZE, "one blob twice, and no other");
}

#[test]
fn a_way_that_was_asked_for_is_the_only_one() {
    for (way, switch) in [
        (Way::Stream, Switch::NoPatch(405)),
        (Way::Stream, Switch::TooLarge { over: 100_000, early: false }),
        (Way::Whole, Switch::TooLarge { over: 100_000, early: false }),
        (Way::Chunked, Switch::NoPatch(405)),
        (Way::Chunked, Switch::NoChunks(416)),
    ] {
        let registry = TestRegistry::start().with(switch.clone());
        let to = repository_with(&registry, "m", chunked(Some(way)));
        let e = to.put(&Bytes::new("x", bytes(24, LARGE)), &Quiet).unwrap_err();
        assert_eq!(e.kind(), Kind::Denied, "{e}");
        assert!(e.hint_text().unwrap().contains("--upload auto"), "{way:?} {switch:?}: {e:?}");
        // Left to itself it finds one.
        let to = repository_with(&registry, "m", chunked(None));
        to.put(&Bytes::new("x", bytes(24, LARGE)), &Quiet).unwrap();
    }
}

#[test]
fn content_that_changes_while_it_goes_in_chunks_never_becomes_a_blob() {
    /// Gives other bytes each time, or more, or fewer.
    struct Changing(AtomicU32, [Vec<u8>; 2]);
    impl Recipe for Changing {
        fn title(&self) -> String {
            "changing".to_owned()
        }
        fn size(&self) -> Option<u64> {
            Some(LARGE as u64)
        }
        fn work(&self) -> u64 {
            0
        }
        fn open(&self) -> floe::Result<Box<dyn Pass + '_>> {
            let n = self.0.fetch_add(1, Ordering::Relaxed).min(1);
            Ok(Box::new(Reading(Hashing::new(&self.1[n as usize][..]))))
        }
    }
    for other in [bytes(26, LARGE), bytes(25, LARGE - 1), bytes(25, LARGE + 1)] {
        // Read in full before (as a registry that wants it whole does), or from the start after a cut.
        let registry = TestRegistry::start().with(Switch::SessionSurvives);
        registry.set(Switch::CutUpload { after: 1000, count: 1 });
        let to = repository_with(&registry, "m", chunked(Some(Way::Chunked)));
        let recipe = Changing(AtomicU32::new(0), [bytes(25, LARGE), other.clone()]);
        let result = to.ingest(&recipe, &Quiet);
        match result {
            // Of two readings with the same size the registry may have got the second one whole.
            Ok(packed) => {
                assert_eq!(packed.descriptor.digest, Digest::of(&other));
                here(&registry, &other);
            }
            Err(e) => assert!(matches!(e.kind(), Kind::Model | Kind::Integrity), "{e:?}"),
        }
        assert!(registry.blob("m", &Digest::of(&bytes(25, LARGE))).is_none());
    }
}
