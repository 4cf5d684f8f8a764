//! floe is killed in the middle of a layer that goes in chunks, and the next run goes on there.

use crate::support::sending::{Ran, Sending};

/// Bytes of the layer. `cargo bench --bench resume` does the same with 12 GiB.
const WEIGHTS: u64 = 192 << 20;
/// What may be sent again.
const AGAIN: u64 = 60 << 20;
/// The most memory that floe may have at once, in KiB.
const MEMORY: u64 = 64 << 10;

/// Bytes that were sent twice when floe was killed at half and run again.
fn sent_again(arguments: &[&str]) -> u64 {
    let sending = Sending::new(WEIGHTS);
    let killed = sending.run("m", arguments, Some(WEIGHTS / 2));
    assert!(sending.registry.tags("m").is_empty());
    let again = sending.run("m", arguments, None);
    let tags = sending.registry.tags("m");
    assert_eq!(tags.keys().filter(|t| t.starts_with("v1-")).count(), 1, "{tags:?}");
    assert!(sending.stored("m") > WEIGHTS);
    for Ran { peak, .. } in [&killed, &again] {
        assert!(*peak > 0 && *peak < MEMORY, "{peak} KiB of memory");
    }
    killed.arrived + again.arrived - sending.stored("m")
}

#[test]
fn a_killed_upload_goes_on_where_it_was_in_flat_memory() {
    let again = sent_again(&["--upload", "chunked"]);
    assert!(again < AGAIN, "{again} bytes were sent again");
}

#[test]
fn without_a_cache_it_begins_anew() {
    let again = sent_again(&["--upload", "chunked", "--no-cache"]);
    assert!(again >= WEIGHTS / 2, "{again} bytes were sent again");
}
