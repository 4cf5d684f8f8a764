//! Media types, in one table.
//!
//! Docker's schema 2 types and their OCI counterparts stand in the same row: what comes in as
//! Docker goes out as OCI while the bytes of the layers stay
//! (image-spec, `media-types.md`, "Compatibility Matrix").

/// `application/vnd.oci.image.index.v1+json`.
pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// `application/vnd.oci.image.manifest.v1+json`.
pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// `application/vnd.oci.image.config.v1+json`.
pub const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
/// An uncompressed layer.
pub const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
/// A gzipped layer.
pub const LAYER_GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
/// A zstd layer.
pub const LAYER_ZSTD: &str = "application/vnd.oci.image.layer.v1.tar+zstd";
/// Docker's manifest list.
pub const DOCKER_INDEX: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
/// Docker's manifest, schema 2.
pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
/// Docker's image configuration.
pub const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";

/// (Docker, OCI).
const PAIRS: &[(&str, &str)] = &[
    (DOCKER_INDEX, INDEX),
    (DOCKER_MANIFEST, MANIFEST),
    (DOCKER_CONFIG, CONFIG),
    ("application/vnd.docker.image.rootfs.diff.tar", LAYER),
    ("application/vnd.docker.image.rootfs.diff.tar.gzip", LAYER_GZIP),
    ("application/vnd.docker.image.rootfs.diff.tar.zstd", LAYER_ZSTD),
    (
        "application/vnd.docker.image.rootfs.foreign.diff.tar",
        "application/vnd.oci.image.layer.nondistributable.v1.tar",
    ),
    (
        "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
        "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
    ),
];

/// Manifests that a registry is asked for, best first.
pub const ACCEPT: &[&str] = &[INDEX, MANIFEST, DOCKER_INDEX, DOCKER_MANIFEST];

/// The OCI counterpart of a type; types that have none come back as they are.
pub fn to_oci(media_type: &str) -> &str {
    PAIRS.iter().find(|(docker, _)| *docker == media_type).map_or(media_type, |(_, oci)| oci)
}

/// Whether a document of this type lists manifests.
pub fn is_index(media_type: &str) -> bool {
    to_oci(media_type) == INDEX
}

/// Whether a document of this type is an image manifest.
pub fn is_manifest(media_type: &str) -> bool {
    to_oci(media_type) == MANIFEST
}

/// Whether a document of this type is Docker's schema 1, which names layers by no digest of theirs.
pub fn is_schema_1(media_type: &str) -> bool {
    matches!(
        media_type,
        "application/vnd.docker.distribution.manifest.v1+json"
            | "application/vnd.docker.distribution.manifest.v1+prettyjws"
    )
}

/// Whether a blob of this type is a file system layer.
pub fn is_layer(media_type: &str) -> bool {
    to_oci(media_type).starts_with("application/vnd.oci.image.layer.")
}

/// Whether a layer of this type may lie outside the registry that names it.
pub fn is_foreign_layer(media_type: &str) -> bool {
    to_oci(media_type).starts_with("application/vnd.oci.image.layer.nondistributable.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_one_to_one() {
        for (i, (docker, oci)) in PAIRS.iter().enumerate() {
            assert_eq!(to_oci(docker), *oci);
            assert_eq!(to_oci(oci), *oci);
            assert!(PAIRS[i + 1..].iter().all(|(d, o)| d != docker && o != oci));
        }
        assert_eq!(to_oci("text/plain"), "text/plain");
    }
}
