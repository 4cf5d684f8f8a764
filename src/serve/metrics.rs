//! Metrics: what the server counts and measures, for Prometheus to fetch.
//!
//! They are about requests and the process, not about the model's quality. Both protocols tell of
//! their answers with [`Metrics::answered`]; what happens inside is told by [`super::Model`].
//!
//! Invariants: names end with their unit, in seconds or bytes; no label takes a value from a
//! request, so that callers cannot make the number of series grow.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

/// The media type of what [`Metrics::text`] gives.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Upper ends of the buckets in seconds: small models answer in fractions of a millisecond.
const SECONDS: [f64; 17] = [
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
    30.0,
];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Answer {
    protocol: &'static str,
    code: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Protocol {
    protocol: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Served {
    name: String,
    version: String,
    model_id: String,
    backend: String,
}

/// The numbers of one server.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    requests: Family<Answer, Counter>,
    durations: Family<Protocol, Histogram, fn() -> Histogram>,
    inference: Histogram,
    queue: Histogram,
    running: Gauge,
    waiting: Gauge,
    connections: Family<Protocol, Gauge>,
    bodies: Gauge,
    model: Family<Served, Gauge>,
}

/// Counts one up for as long as it lives.
#[derive(Debug)]
pub struct Held(Gauge);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.dec();
    }
}

fn hold(gauge: &Gauge) -> Held {
    gauge.inc();
    Held(gauge.clone())
}

fn histogram() -> Histogram {
    Histogram::new(SECONDS)
}

impl Default for Metrics {
    fn default() -> Self {
        let new = Self {
            registry: Registry::default(),
            requests: Family::default(),
            durations: Family::new_with_constructor(histogram),
            inference: histogram(),
            queue: histogram(),
            running: Gauge::default(),
            waiting: Gauge::default(),
            connections: Family::default(),
            bodies: Gauge::default(),
            model: Family::default(),
        };
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Process { started: now() }));
        let r = registry.sub_registry_with_prefix("floe");
        r.register("requests", "Answers, by protocol and status code", new.requests.clone());
        let help = "From the head of a request to its answer";
        r.register_with_unit("request_duration", help, Unit::Seconds, new.durations.clone());
        let help = "Time that the engine took for one request";
        r.register_with_unit("inference_duration", help, Unit::Seconds, new.inference.clone());
        let help = "Time that a request waited for its turn";
        r.register_with_unit("queue_duration", help, Unit::Seconds, new.queue.clone());
        r.register("requests_running", "Requests that the engine computes", new.running.clone());
        r.register("requests_waiting", "Requests that wait for their turn", new.waiting.clone());
        r.register("connections", "Open connections, by protocol", new.connections.clone());
        let help = "Memory that bodies of requests and answers hold";
        r.register_with_unit("body", help, Unit::Bytes, new.bodies.clone());
        r.register("model_info", "The model that is served", new.model.clone());
        Self { registry, ..new }
    }
}

impl Metrics {
    /// Counts an answer: by which protocol, with which code (`200`, `OK`), after how long.
    pub fn answered(&self, protocol: &'static str, code: &'static str, elapsed: Duration) {
        self.requests.get_or_create(&Answer { protocol, code }).inc();
        self.durations.get_or_create(&Protocol { protocol }).observe(elapsed.as_secs_f64());
    }

    /// Counts a connection for as long as the result lives.
    pub fn connected(&self, protocol: &'static str) -> Held {
        hold(&self.connections.get_or_create(&Protocol { protocol }))
    }

    /// Measures how long a request waited.
    pub fn queued(&self, elapsed: Duration) {
        self.queue.observe(elapsed.as_secs_f64());
    }

    /// Measures how long the engine took.
    pub fn inferred(&self, elapsed: Duration) {
        self.inference.observe(elapsed.as_secs_f64());
    }

    /// Counts a request that waits, for as long as the result lives.
    pub fn waiting(&self) -> Held {
        hold(&self.waiting)
    }

    /// Counts a request that runs, for as long as the result lives.
    pub fn running(&self) -> Held {
        hold(&self.running)
    }

    /// Counts bytes of bodies that are in memory; a negative number takes them back.
    pub fn bodies(&self, bytes: i64) {
        self.bodies.inc_by(bytes);
    }

    /// Names the model that is served.
    pub fn serves(&self, name: &str, version: &str, model_id: Option<&str>, backend: &str) {
        self.model.clear();
        let served = Served {
            name: name.to_owned(),
            version: version.to_owned(),
            model_id: model_id.unwrap_or_default().to_owned(),
            backend: backend.to_owned(),
        };
        self.model.get_or_create(&served).set(1);
    }

    /// All of them, in the text format of OpenMetrics.
    pub fn text(&self) -> String {
        let mut out = String::new();
        // A `String` takes whatever is written into it.
        let _always = text::encode(&mut out, &self.registry);
        out
    }
}

/// What is known of the process at the moment of asking.
#[derive(Debug)]
struct Process {
    started: f64,
}

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let started = ConstGauge::new(self.started);
        let help = "When the process started, since 1970.";
        let kind = started.metric_type();
        started.encode(encoder.encode_descriptor(
            "process_start_time",
            help,
            Some(&Unit::Seconds),
            kind,
        )?)?;
        if let Some(bytes) = resident() {
            let resident = ConstGauge::new(bytes);
            let help = "Memory of the process that is in RAM.";
            let kind = resident.metric_type();
            resident.encode(encoder.encode_descriptor(
                "process_resident_memory",
                help,
                Some(&Unit::Bytes),
                kind,
            )?)?;
        }
        Ok(())
    }
}

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

/// Resident memory in bytes, where the kernel tells (proc(5), `status`).
fn resident() -> Option<i64> {
    let text = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find_map(|l| l.strip_prefix("VmRSS:"))?;
    let kib: i64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c47_names_end_with_their_unit() {
        let m = Metrics::default();
        m.answered("rest", "200", Duration::from_millis(3));
        m.answered("rest", "200", Duration::from_millis(3));
        m.answered("grpc", "OK", Duration::from_millis(3));
        m.queued(Duration::from_micros(20));
        m.inferred(Duration::from_secs(2));
        m.serves("churn", "0123456789abcdef", Some("0123456789abcdef0000"), "tract");
        let (running, connection) = (m.running(), m.connected("rest"));
        m.bodies(2048);
        let text = m.text();
        for line in [
            "floe_requests_total{protocol=\"rest\",code=\"200\"} 2",
            "floe_requests_total{protocol=\"grpc\",code=\"OK\"} 1",
            "floe_request_duration_seconds_count{protocol=\"rest\"} 2",
            "floe_request_duration_seconds_bucket{le=\"0.005\",protocol=\"grpc\"} 1",
            "floe_queue_duration_seconds_count 1",
            "floe_inference_duration_seconds_sum 2.0",
            "floe_requests_running 1",
            "floe_requests_waiting 0",
            "floe_connections{protocol=\"rest\"} 1",
            "floe_body_bytes 2048",
            "floe_model_info{name=\"churn\",version=\"0123456789abcdef\",\
             model_id=\"0123456789abcdef0000\",backend=\"tract\"} 1",
        ] {
            assert!(text.lines().any(|l| l == line), "{line} is not in\n{text}");
        }
        assert!(text.contains("process_start_time_seconds "), "{text}");
        assert!(text.contains("process_resident_memory_bytes "), "{text}");
        assert!(text.ends_with("# EOF\n"));
        drop((running, connection));
        let text = m.text();
        assert!(text.contains("floe_requests_running 0\n"), "{text}");
        assert!(text.contains("floe_connections{protocol=\"rest\"} 0\n"), "{text}");
    }

    #[test]
    fn a_name_with_quotes_keeps_to_its_label() {
        let m = Metrics::default();
        m.serves("a\"b\nc", "dev", None, "rten");
        assert!(m.text().contains("name=\"a\\\"b\\nc\",version"), "{}", m.text());
    }
}
