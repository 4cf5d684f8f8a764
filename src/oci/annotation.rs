//! Annotation keys that floe writes and reads.
//!
//! Keys of the image specification keep their formats (image-spec, `annotations.md`); floe's own
//! stand under `dev.floe.`.

/// A title for people.
pub const TITLE: &str = "org.opencontainers.image.title";
/// When an artifact was made, in RFC 3339.
pub const CREATED: &str = "org.opencontainers.image.created";
/// Digest of the base image's manifest.
pub const BASE_DIGEST: &str = "org.opencontainers.image.base.digest";
/// Normalised registry reference of the base image.
pub const BASE_NAME: &str = "org.opencontainers.image.base.name";
/// Reference name of an entry in a layout's index.
pub const REF_NAME: &str = "org.opencontainers.image.ref.name";
/// The name under which containerd and podman show a loaded archive.
pub const CONTAINERD_NAME: &str = "io.containerd.image.name";
/// Layout version of the image: which rules made its bytes.
pub const LAYOUT: &str = "dev.floe.layout";
/// Name of the model.
pub const MODEL: &str = "dev.floe.model.name";
/// Full model id.
pub const MODEL_ID: &str = "dev.floe.model.id";
/// Name of the format that was recognised.
pub const FORMAT: &str = "dev.floe.model.format";
/// Digest of `contract.json`.
pub const CONTRACT_DIGEST: &str = "dev.floe.contract.digest";
/// `contract.json` itself, up to 64 KiB.
pub const CONTRACT: &str = "dev.floe.contract";
/// What a layer is for: `weights`, `code`, …
pub const LAYER_ROLE: &str = "dev.floe.layer.role";
/// The version tag, on the entry of an index.
pub const VERSION: &str = "dev.floe.version";

/// The prefix that is floe's alone.
pub const PREFIX: &str = "dev.floe.";
