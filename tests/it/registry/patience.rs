//! How long floe goes on trying, and what ends it.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::*;

fn busy(method: &'static str, path: &'static str, status: u16, retry_after: Option<u64>) -> Switch {
    Switch::Status { method, path, status, retry_after, count: u32::MAX }
}

#[test]
fn c37_a_date_to_come_back_at_is_kept() {
    for (method, path) in
        [("POST", ""), ("PATCH", ""), ("HEAD", "/blobs/"), ("PUT", "/manifests/"), ("GET", "/tags/")]
    {
        let registry = TestRegistry::start().with(Switch::RetryDate { method, path, seconds: 2, count: 1 });
        let to = repository(&registry, "m");
        let start = Instant::now();
        publish(&to, 3).unwrap();
        to.names().unwrap();
        // A date has whole seconds only.
        assert!(start.elapsed() >= Duration::from_millis(990), "{method} {path}");
    }
}

#[test]
fn a_registry_does_not_decide_how_long_floe_waits() {
    let registry = TestRegistry::start().with(busy("POST", "", 429, Some(3600)));
    let patience = Duration::from_millis(50);
    let retry = Retry { attempts: 2, patience, ..settings().retry };
    let to = repository_with(&registry, "m", Settings { retry, ..settings() });
    let start = Instant::now();
    let e = to.put(&Bytes::new("x", bytes(1, 99)), &Quiet).unwrap_err();
    assert_eq!(e.kind(), Kind::Network);
    assert!(start.elapsed() < Duration::from_secs(20));
}

#[test]
fn each_transient_answer_is_tried_again_and_no_other() {
    for status in [408, 425, 429, 500, 502, 503, 504] {
        let registry = TestRegistry::start();
        for (method, path) in [("HEAD", "/blobs/"), ("POST", ""), ("PATCH", ""), ("PUT", "/uploads/")] {
            registry.set(Switch::Status { method, path, status, retry_after: None, count: 1 });
        }
        let content = bytes(2, 5000);
        repository(&registry, "m").put(&Bytes::new("x", content.clone()), &Quiet).unwrap();
        assert!(*registry.blob("m", &Digest::of(&content)).unwrap() == content, "{status}");
    }
}

#[test]
fn the_retries_of_a_run_are_counted_together() {
    let registry = TestRegistry::start().with(busy("POST", "", 503, None));
    let retry = Retry { attempts: 4, run: 6, ..settings().retry };
    let client = Client::new(Settings { retry, ..settings() });
    let asked = |name: &str| {
        registry.forget();
        let to = Registry::open(&client, &registry.reference(name));
        let e = to.put(&Bytes::new("x", bytes(1, 99)), &Quiet).unwrap_err();
        (registry.steps().iter().filter(|s| *s == "POST uploads").count(), e)
    };
    let (first, e) = asked("a");
    assert_eq!(first, 5, "{e}");
    let (second, e) = asked("b");
    assert_eq!(second, 3, "two retries were left");
    assert!(e.to_string().contains("used up its 6 retries") && e.hint_text().is_some(), "{e:?}");
    assert_eq!(e.kind(), Kind::Network);
    let (third, _) = asked("c");
    assert_eq!(third, 1);
    // A run with its own client has a budget of its own, and pauses count too.
    let retry =
        Retry { run_pauses: Duration::from_millis(100), patience: Duration::from_millis(60), ..retry };
    let slow = TestRegistry::start().with(busy("POST", "", 503, Some(9)));
    let to = repository_with(&slow, "m", Settings { retry, ..settings() });
    let e = to.put(&Bytes::new("x", bytes(1, 99)), &Quiet).unwrap_err();
    assert!(e.to_string().contains("of pauses"), "{e}");
    assert_eq!(slow.steps().iter().filter(|s| *s == "POST uploads").count(), 2);
}

#[test]
fn no_retries_means_none() {
    let registry = TestRegistry::start().with(busy("POST", "", 503, None));
    let retry = Retry { attempts: 0, ..settings().retry };
    let to = repository_with(&registry, "m", Settings { retry, ..settings() });
    to.put(&Bytes::new("x", bytes(1, 99)), &Quiet).unwrap_err();
    assert_eq!(registry.steps(), ["HEAD blobs", "POST uploads", "HEAD blobs"], "a look, and no other POST");
}

#[test]
fn a_stall_is_a_failure_and_is_tried_again() {
    for (survives, way) in [(false, None), (true, None), (true, Some(Way::Chunked))] {
        let registry = TestRegistry::start().with(Switch::Stall { after: 500_000, count: 1 });
        if survives {
            registry.set(Switch::SessionSurvives);
        }
        let timeouts = Timeouts {
            stall: Duration::from_millis(500),
            commit: Duration::from_secs(2),
            ..settings().timeouts
        };
        let to = repository_with(&registry, "m", Settings { timeouts, ..chunked(way) });
        let weights = Weights::new(bytes(4, LARGE));
        to.ingest(&weights, &Quiet).unwrap();
        assert!(*registry.blob("m", &Digest::of(&weights.bytes)).unwrap() == weights.bytes);
    }
}

#[test]
fn c07_a_pause_ends_when_the_user_wants_to_stop() {
    for (method, path) in
        [("HEAD", "/manifests/"), ("HEAD", "/blobs/"), ("GET", "/tags/"), ("POST", ""), ("GET", "/blobs/")]
    {
        let registry = TestRegistry::start().with(busy(method, path, 503, Some(600)));
        let content = bytes(5, 99);
        registry.add_blob("b", &content);
        let stop = Arc::new(AtomicBool::new(false));
        let retry = Retry { patience: Duration::from_secs(600), ..settings().retry };
        let client = Client::new(Settings { retry, stop: Arc::clone(&stop), ..settings() });
        let to = Registry::open(&client, &registry.reference("m"));
        let from = Registry::open(&client, &registry.reference("b"));
        let begun = Instant::now();
        let e = std::thread::scope(|s| {
            s.spawn(|| {
                while registry.log().iter().all(|e| e.status != 503) {
                    std::thread::sleep(Duration::from_millis(5));
                }
                stop.store(true, Ordering::Relaxed);
            });
            let wanted = Descriptor::of("x", &content);
            match (method, path) {
                ("HEAD", "/manifests/") => to.resolve("v1").map(drop),
                ("GET", "/tags/") => to.names().map(drop),
                ("GET", _) => read(&from, &wanted).map(drop),
                ("HEAD", _) => to.presence(&wanted).map(drop),
                _ => to.put(&Bytes::new("x", bytes(6, 99)), &Quiet).map(drop),
            }
            .unwrap_err()
        });
        assert_eq!(e.kind(), Kind::Interrupted, "{method} {path}: {e:?}");
        assert!(begun.elapsed() < Duration::from_secs(60));
    }
}

#[test]
fn c07_an_answer_that_does_not_come_is_not_waited_for() {
    let registry = TestRegistry::start().with(Switch::Stall { after: 1, count: u32::MAX });
    let stop = Arc::new(AtomicBool::new(false));
    let timeouts =
        Timeouts { stall: Duration::from_secs(600), commit: Duration::from_secs(600), ..settings().timeouts };
    let settings = Settings { timeouts, stop: Arc::clone(&stop), ..settings() };
    let to = repository_with(&registry, "m", settings);
    let begun = Instant::now();
    std::thread::scope(|s| {
        s.spawn(|| {
            while registry.arrived() == 0 {
                std::thread::sleep(Duration::from_millis(5));
            }
            stop.store(true, Ordering::Relaxed);
        });
        let e = to.put(&Bytes::new("x", bytes(7, 1000)), &Quiet).unwrap_err();
        assert_eq!(e.kind(), Kind::Interrupted, "{e:?}");
    });
    assert!(begun.elapsed() < Duration::from_secs(60));
}
