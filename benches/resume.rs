//! What sending a large layer takes: memory in each way, and what a kill in the middle costs.
//!
//! `cargo bench --bench resume [-- GIB_OF_EACH_WAY GIB_OF_THE_KILLED]`, by default 2 and 12. floe sends to the
//! registry of the tests, which hashes what it gets and keeps nothing. Prints a table, and fails
//! where memory is not flat or more than 60 MiB is sent again.

#![allow(missing_docs, unreachable_pub, dead_code, clippy::unwrap_used, clippy::print_stdout)]

#[path = "../tests/it/support/http.rs"]
mod http;
#[path = "../tests/it/support/registry/mod.rs"]
mod registry;
#[path = "../tests/it/support/sending.rs"]
mod sending;

use sending::{Ran, Sending};

/// The most memory that floe may have at once, in KiB.
const MEMORY: u64 = 64 << 10;
/// What may be sent again after a kill.
const AGAIN: u64 = 60 << 20;

fn row(what: &str, ran: &Ran) {
    let (mib, seconds) = (ran.arrived >> 20, ran.took.as_secs_f64());
    println!("| {what} | {mib} | {seconds:.1} | {:.1} |", ran.peak as f64 / 1024.0);
    assert!(ran.peak < MEMORY, "memory is not flat");
}

fn main() {
    let sizes: Vec<u64> = std::env::args().skip(1).filter_map(|a| a.parse().ok()).collect();
    let (each, killed) = (sizes.first().copied().unwrap_or(2), sizes.get(1).copied().unwrap_or(12));
    println!("| what | MiB sent | seconds | peak MiB |\n|---|---|---|---|");
    for way in ["stream", "whole", "chunked"] {
        let sending = Sending::new(each << 30);
        row(&format!("{each} GiB, {way}"), &sending.run("m", &["--upload", way], None));
    }
    let sending = Sending::new(killed << 30);
    let arguments = ["--upload", "chunked"];
    let first = sending.run("m", &arguments, Some(sending.size / 2));
    row(&format!("{killed} GiB, chunked, killed at half"), &first);
    let second = sending.run("m", &arguments, None);
    row("the run after it", &second);
    let again = first.arrived + second.arrived - sending.stored("m");
    println!("\nsent again: {:.1} MiB", again as f64 / f64::from(1 << 20));
    assert!(again < AGAIN, "too much was sent again");
}
