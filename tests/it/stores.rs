//! One suite over all stores, and what each medium promises beyond it.
//!
//! A body of the suite is written once, in `stores/bodies.rs`, and runs for every row below. A new
//! store is a new row: a function that opens it, and one line `suite!`. Registries, which have no
//! atomic claim, take `suite!` without `atomic!`.

#![allow(clippy::unwrap_used)]

mod archives;
mod bodies;
mod layout;
pub(crate) mod material;
mod peers;

use std::path::Path;
use std::sync::Arc;

use floe::store::Repository;
use floe::store::layout::{Layout, Options};
use floe::store::memory::Memory;
use floe::store::registry::{Client, Registry, Settings};

use crate::support::debian::DebianRegistry;
use crate::support::registry::TestRegistry;

/// Two handles on one store, as two processes would have them.
pub(crate) struct Fixture {
    pub(crate) one: Arc<dyn Repository>,
    pub(crate) two: Arc<dyn Repository>,
    /// What must live as long as the store: a folder, the guard of a server.
    _keep: Box<dyn std::any::Any>,
}

fn memory() -> Fixture {
    let one: Arc<dyn Repository> = Arc::new(Memory::new());
    Fixture { two: Arc::clone(&one), one, _keep: Box::new(()) }
}

fn on_disk(open: impl Fn(&Path) -> Layout) -> Fixture {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store");
    Fixture { one: Arc::new(open(&path)), two: Arc::new(open(&path)), _keep: Box::new(dir) }
}

fn plain_layout() -> Fixture {
    on_disk(|p| Layout::create(p, None, Options::default()).unwrap())
}

fn synced_layout() -> Fixture {
    on_disk(|p| Layout::create(p, None, Options { sync: true }).unwrap())
}

fn collection() -> Fixture {
    on_disk(|p| Layout::create(p, Some("team/model:".into()), Options::default()).unwrap())
}

fn at_registry(addr: &str, keep: Box<dyn std::any::Any>) -> Fixture {
    let reference = format!("{addr}/team/model").parse().unwrap();
    // Two clients, so that one learns nothing from what the other was told.
    let open = || Registry::open(&Client::new(Settings::default()), &reference);
    Fixture { one: Arc::new(open()), two: Arc::new(open()), _keep: keep }
}

fn our_registry() -> Fixture {
    let server = TestRegistry::start();
    let addr = server.addr().to_owned();
    at_registry(&addr, Box::new(server))
}

fn docker_registry() -> Fixture {
    let server = DebianRegistry::start();
    at_registry(&server.host(), Box::new(server))
}

macro_rules! tests {
    ($open:path: $($body:ident)*) => { $( #[test] fn $body() { crate::stores::bodies::$body(&$open()); } )* };
}

/// What every store promises.
macro_rules! suite {
    ($open:path) => {
        tests! { $open:
            a_blob_comes_back
            an_image_comes_back_by_name_and_by_digest
            a_recipe_is_ingested_and_comes_back
            the_second_put_reads_nothing
            the_empty_blob_is_a_blob
            a_large_blob_comes_back
            a_lying_blob_is_refused_and_leaves_nothing
            a_source_that_breaks_leaves_nothing
            a_recipe_that_breaks_leaves_nothing
            a_stopped_copy_leaves_nothing
            the_events_of_a_piece_add_up
            a_claim_is_created_then_same_then_taken
            names_are_listed_and_moved
            what_is_not_there_is_told
            a_document_is_verified
            names_that_no_store_can_have_are_refused
        }
    };
}

/// What stores promise that can take a name away and leave what it pointed to. Debian's registry
/// cannot: `a_real_registry_takes_and_gives_it_all` in `registry/real.rs` shows what it says.
macro_rules! removable {
    ($open:path) => {
        tests! { $open: a_removed_name_is_gone_and_its_content_stays }
    };
}

/// What stores promise that can change a name in one step.
macro_rules! atomic {
    ($open:path) => {
        tests! { $open:
            of_many_claims_of_a_name_exactly_one_wins
            no_name_is_lost_when_many_write
            a_name_for_what_is_not_stored_is_refused
        }
    };
}

mod in_memory {
    suite!(super::memory);
    removable!(super::memory);
    atomic!(super::memory);
}

mod in_a_layout {
    suite!(super::plain_layout);
    removable!(super::plain_layout);
    atomic!(super::plain_layout);
}

mod in_a_synced_layout {
    suite!(super::synced_layout);
    removable!(super::synced_layout);
    atomic!(super::synced_layout);
}

mod in_a_collection {
    suite!(super::collection);
    removable!(super::collection);
    atomic!(super::collection);
}

mod in_our_registry {
    suite!(super::our_registry);
    removable!(super::our_registry);
}

mod in_docker_registry {
    suite!(super::docker_registry);
}
