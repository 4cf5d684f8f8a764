//! What several tests need: registries, the built program, models, bases, layouts to be checked.

pub(crate) mod bases;
pub(crate) mod debian;
pub(crate) mod models;
pub(crate) mod program;
pub(crate) mod walk;
