//! What the engines can do: coverage, agreement, latency and memory over a folder of cases.
//!
//! usage: python3 benches/corpus.py CORPUS && cargo bench --bench engines -- CORPUS [--list]
//!
//! Prints two tables as Markdown: per group of cases how many each engine runs and how many of those
//! agree (floats: rtol 1e-4, atol 1e-5, half precision 1e-2 and 1e-3; integers and strings equal),
//! and per network latency with one thread and the process's peak memory, beside ONNX Runtime's
//! numbers that `corpus.py` wrote down. `--list` names every case that is not ok, for floe's choice.
//! Each case runs in a process of its own, so that an engine that aborts counts as one crash.

#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::exit)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use floe::engine::{Data, Engine, Tensor, load_with};
use floe::model::DType;
use serde_json::Value;

const ENGINES: &[&str] = &["tract", "rten", "floe"];
/// Groups whose cases are timed.
const TIMED: &[&str] = &["light", "networks", "skl2onnx"];

fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    match &args[..] {
        [one, engine, case] if one == "--one" => println!("{}", one_case(engine, Path::new(case))),
        [corpus] => tables(Path::new(corpus), false),
        [corpus, list] if list == "--list" => tables(Path::new(corpus), true),
        _ => {
            println!("usage: cargo bench --bench engines -- CORPUS [--list]");
            std::process::exit(2);
        }
    }
}

fn folders(dir: &Path) -> Vec<PathBuf> {
    let mut all: Vec<PathBuf> =
        std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()).filter(|p| p.is_dir()).collect();
    all.sort();
    all
}

fn name(path: &Path) -> String {
    path.file_name().unwrap().to_string_lossy().into_owned()
}

fn tables(corpus: &Path, list: bool) {
    let mut timed = Vec::new();
    println!("| cases | number | not tensors | {} |", ENGINES.join(" | "));
    println!("|---|---|---|{}", "---|".repeat(ENGINES.len()));
    for group in folders(corpus) {
        let cases = folders(&group);
        let mut counts: BTreeMap<&str, BTreeMap<String, usize>> = BTreeMap::new();
        for case in &cases {
            for engine in ENGINES {
                let answer = run(engine, case);
                let outcome = answer["outcome"].as_str().unwrap().to_owned();
                if list && *engine == "floe" && outcome != "ok" {
                    println!(
                        "{}/{}: {outcome}: {}",
                        name(&group),
                        name(case),
                        answer["why"].as_str().unwrap_or("")
                    );
                }
                *counts.entry(engine).or_default().entry(outcome).or_default() += 1;
                if TIMED.contains(&name(&group).as_str()) {
                    timed.push((name(&group), name(case), *engine, answer));
                }
            }
        }
        let of = |engine: &str, outcome: &str| {
            counts.get(engine).and_then(|c| c.get(outcome)).copied().unwrap_or(0)
        };
        let cells: Vec<String> = ENGINES
            .iter()
            .map(|e| {
                let mut cell = format!("{} ok", of(e, "ok"));
                for bad in ["refused", "failed", "wrong", "crashed"] {
                    match of(e, bad) {
                        0 => {}
                        n => cell.extend([format!(", {n} {bad}")]),
                    }
                }
                cell
            })
            .collect();
        println!("| {} | {} | {} | {} |", name(&group), cases.len(), of("floe", "other"), cells.join(" | "));
    }
    println!(
        "\n| model | engine | load ms | p50 ms | p50 to ONNX Runtime's | peak MiB |\n|---|---|---|---|---|---|"
    );
    for (group, case, engine, answer) in timed {
        if answer["outcome"] != "ok" || (engine != "floe" && group == "skl2onnx") {
            continue;
        }
        let number = |key: &str| answer[key].as_f64().unwrap_or(f64::NAN);
        println!(
            "| {group}/{case} | {} | {:.1} | {:.4} | {:.2} | {:.0} |",
            if engine == "floe" {
                format!("floe ({})", answer["backend"].as_str().unwrap_or(""))
            } else {
                engine.to_owned()
            },
            number("load_ms"),
            number("p50_ms"),
            number("p50_ms") / number("onnxruntime_p50_ms"),
            number("peak_mib"),
        );
    }
}

/// Runs one case in a process of its own.
fn run(engine: &str, case: &Path) -> Value {
    let me = std::env::current_exe().unwrap();
    let mut child = Command::new("timeout")
        .arg("120")
        .arg(me)
        .args(["--one", engine])
        .arg(case)
        .stderr(std::process::Stdio::null())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut text = String::new();
    std::io::Read::read_to_string(&mut child.stdout.take().unwrap(), &mut text).unwrap();
    child.wait().unwrap();
    serde_json::from_str(&text).unwrap_or_else(|_| serde_json::json!({"outcome": "crashed"}))
}

fn one_case(engine: &str, case: &Path) -> Value {
    let meta: Value = serde_json::from_slice(&std::fs::read(case.join("sets.json")).unwrap()).unwrap();
    let sets = meta["sets"].as_array().unwrap();
    let other =
        |side: &str| sets.iter().any(|s| s[side].as_array().unwrap().iter().any(|t| !t["other"].is_null()));
    if other("inputs") || other("outputs") {
        return serde_json::json!({"outcome": "other"});
    }
    let start = Instant::now();
    let only = (engine != "floe").then_some(engine);
    let loaded = match load_with(&case.join("model.onnx"), 1, only) {
        Ok(loaded) => loaded,
        Err(e) => return serde_json::json!({"outcome": "refused", "why": e.to_string()}),
    };
    let load = start.elapsed();
    let mut times = Vec::new();
    for set in sets {
        let inputs = in_order(&loaded, set);
        let outputs = match loaded.run(inputs.clone()) {
            Ok(outputs) => outputs,
            Err(e) => return serde_json::json!({"outcome": "failed", "why": format!("{e:?}")}),
        };
        for (at, wanted) in set["outputs"].as_array().unwrap().iter().enumerate() {
            let name = wanted["name"].as_str().unwrap();
            let port = loaded.outputs().iter().position(|p| p.name == name).unwrap_or(at);
            let same =
                outputs.get(port).ok_or("missing".to_owned()).and_then(|got| agree(got, &tensor(wanted)));
            if let Err(why) = same {
                return serde_json::json!({"outcome": "wrong", "why": format!("{name}: {why}")});
            }
        }
        let until = Instant::now() + Duration::from_millis(500);
        while meta["onnxruntime"].is_object()
            && (times.len() < 5 || Instant::now() < until && times.len() < 2000)
        {
            let given = inputs.clone();
            let start = Instant::now();
            loaded.run(given).unwrap();
            times.push(start.elapsed());
        }
    }
    times.sort();
    let ms = |d: Duration| d.as_secs_f64() * 1e3;
    serde_json::json!({
        "outcome": "ok",
        "backend": loaded.backend(),
        "load_ms": ms(load),
        "p50_ms": times.get(times.len() / 2).copied().map(ms),
        "onnxruntime_p50_ms": meta["onnxruntime"]["p50_ms"],
        "peak_mib": peak_mib(),
    })
}

fn in_order(engine: &Engine, set: &Value) -> Vec<Tensor> {
    let given = set["inputs"].as_array().unwrap();
    let named = |name: &str| given.iter().find(|t| t["name"] == name);
    engine
        .inputs()
        .iter()
        .enumerate()
        .filter_map(|(at, p)| named(&p.name).or(given.get(at)))
        .map(tensor)
        .collect()
}

fn tensor(t: &Value) -> Tensor {
    let shape: Vec<usize> =
        t["shape"].as_array().unwrap().iter().map(|d| d.as_u64().unwrap() as usize).collect();
    if let Some(strings) = t["strings"].as_array() {
        let strings = strings.iter().map(|s| s.as_str().unwrap().to_owned().into()).collect();
        return Tensor::strings(shape, strings).unwrap();
    }
    let dtype: DType = t["dtype"].as_str().unwrap().parse().unwrap();
    Tensor::fixed(dtype, shape, STANDARD.decode(t["data"].as_str().unwrap()).unwrap()).unwrap()
}

/// Whether two tensors are the same within the tolerance of their dtype.
fn agree(got: &Tensor, want: &Tensor) -> Result<(), String> {
    if (got.dtype(), got.shape()) != (want.dtype(), want.shape()) {
        return Err(format!("{} {:?}, not {} {:?}", got.dtype(), got.shape(), want.dtype(), want.shape()));
    }
    let (a, b) = match (got.data(), want.data()) {
        (Data::Fixed(a), Data::Fixed(b)) => (a, b),
        (a, b) => return if a == b { Ok(()) } else { Err("other strings".into()) },
    };
    let (rtol, atol) = match want.dtype() {
        DType::Float16 => (1e-2, 1e-3),
        DType::Float32 | DType::Float64 => (1e-4, 1e-5),
        _ => return if a == b { Ok(()) } else { Err("other integers".into()) },
    };
    for (x, y) in floats(want.dtype(), a).into_iter().zip(floats(want.dtype(), b)) {
        let close = x == y || x.is_nan() && y.is_nan() || (x - y).abs() <= atol + rtol * y.abs();
        if !close {
            return Err(format!("{x}, not {y}"));
        }
    }
    Ok(())
}

fn floats(dtype: DType, bytes: &[u8]) -> Vec<f64> {
    match dtype {
        DType::Float64 => bytes.chunks_exact(8).map(|c| f64::from_le_bytes(c.try_into().unwrap())).collect(),
        DType::Float32 => {
            bytes.chunks_exact(4).map(|c| f32::from_le_bytes(c.try_into().unwrap()).into()).collect()
        }
        _ => bytes.chunks_exact(2).map(|c| half(u16::from_le_bytes(c.try_into().unwrap()))).collect(),
    }
}

/// IEEE 754 binary16.
fn half(bits: u16) -> f64 {
    let sign = if bits >> 15 == 1 { -1.0 } else { 1.0 };
    let (exponent, fraction) = (i32::from(bits >> 10 & 31), f64::from(bits & 1023));
    sign * match exponent {
        0 => fraction * 2f64.powi(-24),
        31 if fraction == 0.0 => f64::INFINITY,
        31 => f64::NAN,
        e => (1.0 + fraction / 1024.0) * 2f64.powi(e - 15),
    }
}

/// Most memory that this process ever had.
fn peak_mib() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|l| l.starts_with("VmHWM:"))?;
    Some(line.split_whitespace().nth(1)?.parse::<f64>().ok()? / 1024.0)
}
