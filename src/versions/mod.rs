//! Versions: the numbered, immutable images of one model.
//!
//! A collection is a [`Repository`](crate::store::Repository) and the tags in it. A version is the tag
//! `v<N>-<16 hex digits of the digest>`: two publishers of different content write different tags,
//! so that nothing is ever overwritten although registries have no compare-and-swap. It is not an
//! alias: aliases move, versions do not.
//!
//! Invariant: a version tag that is read counts only if the digest that it points to begins with
//! the digits that it carries.

pub mod list;
pub mod publish;
pub mod select;
pub mod tag;

pub use list::{Collection, Row, collection};
pub use publish::{Published, alias, publish, publish_numbered};
pub use select::{Selector, select};
pub use tag::{Name, check_alias};
