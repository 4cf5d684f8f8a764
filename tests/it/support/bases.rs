//! Base images for the tests, in OCI layouts.

use std::path::Path;

use floe::blob::{Blob, Bytes};
use floe::event::Quiet;
use floe::oci::{Digest, json, media_type};
use floe::store::layout::{Layout, Options};
use floe::store::{Document, Repository, Sink};
use serde_json::{Value, json};

/// The media type of a layer in images of Docker's own kind.
const DOCKER_LAYER: &str = "application/vnd.docker.image.rootfs.diff.tar.gzip";

/// An image to build on.
pub(crate) struct Base {
    layer: Bytes,
    config: Bytes,
    manifest: Document,
}

/// The layer of a base as a tar: a folder, a file, and a program.
fn tar_of(architecture: &str) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (name, content, mode) in
        [("etc/base", architecture.as_bytes(), 0o644), ("bin/serve", &b"#!/bin/sh\n"[..], 0o755)]
    {
        let mut header = tar::Header::new_ustar();
        header.set_size(content.len() as u64);
        header.set_mode(mode);
        header.set_mtime(1);
        tar.append_data(&mut header, name, content).unwrap();
    }
    tar.into_inner().unwrap()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(6));
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

impl Base {
    /// An image of one architecture, OCI's or Docker's.
    pub(crate) fn new(architecture: &str, docker: bool) -> Self {
        let tar = tar_of(architecture);
        let (layer_type, config_type, manifest_type) = if docker {
            (DOCKER_LAYER, media_type::DOCKER_CONFIG, media_type::DOCKER_MANIFEST)
        } else {
            (media_type::LAYER_GZIP, media_type::CONFIG, media_type::MANIFEST)
        };
        let layer = Bytes::new(layer_type, gzip(&tar));
        let config = json!({
            "architecture": architecture, "os": "linux", "created": "2024-05-01T10:00:00.123456789Z",
            "author": "tests",
            "config": {
                "Env": ["PATH=/bin"], "Entrypoint": ["/bin/serve"], "Cmd": null, "User": "1000",
                "ExposedPorts": {"9090/tcp": {}}, "Volumes": {"/data": {}}, "Labels": {"a": "b"},
                "Healthcheck": {"Test": ["CMD", "true"], "Interval": 5_000_000_000_u64},
                "StopSignal": "SIGTERM", "OnBuild": null, "Shell": ["/bin/sh", "-c"],
            },
            "history": [
                {"created": "2024-05-01T10:00:00Z", "created_by": "COPY . /"},
                {"created": "2024-05-01T10:00:00Z", "created_by": "ENTRYPOINT", "empty_layer": true},
            ],
            "rootfs": {"type": "layers", "diff_ids": [Digest::of(&tar).to_string()]},
        });
        let config = Bytes::new(config_type, json::canonical(&config));
        let manifest = json!({
            "schemaVersion": 2, "mediaType": manifest_type,
            "config": config.descriptor().to_value(), "layers": [layer.descriptor().to_value()],
        });
        let manifest = Document::new(manifest_type, json::canonical(&manifest));
        Self { layer, config, manifest }
    }

    fn store(&self, to: &dyn Sink) {
        to.put(&self.layer, &Quiet).unwrap();
        to.put(&self.config, &Quiet).unwrap();
        to.put_document(&self.manifest).unwrap();
    }

    /// Writes it into a layout of its own, as `base`.
    pub(crate) fn layout(&self, folder: &Path) {
        let layout = Layout::create(folder, None, Options::default()).unwrap();
        self.store(&layout);
        layout.point("base", &self.manifest).unwrap();
    }
}

/// A base for amd64 in a layout, and what `--base` takes.
pub(crate) fn plain(folder: &Path) -> String {
    Base::new("amd64", false).layout(folder);
    format!("oci:{}:base", folder.display())
}

/// The same of Docker's kind.
pub(crate) fn docker(folder: &Path) -> String {
    Base::new("amd64", true).layout(folder);
    format!("oci:{}:base", folder.display())
}

/// A base for amd64 and arm64 in a layout, and what `--base` takes.
pub(crate) fn several(folder: &Path) -> String {
    let layout = Layout::create(folder, None, Options::default()).unwrap();
    let mut entries = Vec::new();
    for architecture in ["amd64", "arm64"] {
        let base = Base::new(architecture, false);
        base.store(&layout);
        let mut entry = base.manifest.descriptor.to_value();
        entry["platform"] = json!({"architecture": architecture, "os": "linux"});
        entries.push(entry);
    }
    let index: Value = json!({"schemaVersion": 2, "mediaType": media_type::INDEX, "manifests": entries});
    let index = Document::new(media_type::INDEX, json::canonical(&index));
    layout.put_document(&index).unwrap();
    layout.point("base", &index).unwrap();
    format!("oci:{}:base", folder.display())
}
