//! One file a command: flags in, one call of the library, the answer out.

pub(super) mod attach;
pub(super) mod build;
pub(super) mod completions;
pub(super) mod copy;
pub(super) mod infer;
pub(super) mod inspect;
pub(super) mod inventory;
pub(super) mod login;
pub(super) mod logout;
pub(super) mod man;
pub(super) mod models;
pub(super) mod schema;
#[cfg(feature = "serve")]
pub(super) mod serve;
pub(super) mod verify;
pub(super) mod versions;
pub(super) mod which;
