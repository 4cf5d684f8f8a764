//! Reads an OCI layout with nothing but JSON, gzip and tar, so that what floe wrote is not judged by
//! floe; and writes bases for floe to read.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

use floe::oci::Digest;
use serde_json::{Value, json};

/// An image of a layout, taken apart.
pub(crate) struct Image {
    pub(crate) manifest: Value,
    pub(crate) config: Value,
    /// What the layers hold together, by path without the leading slash.
    pub(crate) files: BTreeMap<String, Vec<u8>>,
}

/// The only image of a layout, or its first.
pub(crate) fn image(layout: &Path) -> Image {
    let index: Value = serde_json::from_slice(&std::fs::read(layout.join("index.json")).unwrap()).unwrap();
    let manifest: Value = serde_json::from_slice(&blob(layout, &index["manifests"][0])).unwrap();
    let config = serde_json::from_slice(&blob(layout, &manifest["config"])).unwrap();
    let mut files = BTreeMap::new();
    for layer in manifest["layers"].as_array().unwrap() {
        let bytes = blob(layout, layer);
        let mut tar = Vec::new();
        if bytes.starts_with(&[0x1f, 0x8b]) {
            flate2::read::MultiGzDecoder::new(&bytes[..]).read_to_end(&mut tar).unwrap();
        } else {
            tar = bytes;
        }
        for entry in tar::Archive::new(&tar[..]).entries().unwrap() {
            let mut entry = entry.unwrap();
            let path = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
            let mut content = Vec::new();
            entry.read_to_end(&mut content).unwrap();
            files.insert(path, content);
        }
    }
    Image { manifest, config, files }
}

fn blob(layout: &Path, descriptor: &Value) -> Vec<u8> {
    let digest = descriptor["digest"].as_str().unwrap();
    std::fs::read(layout.join("blobs/sha256").join(&digest["sha256:".len()..])).unwrap()
}

/// A tar with these files.
pub(crate) fn tar_of(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (name, content) in files {
        let mut header = tar::Header::new_ustar();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        header.set_mtime(1);
        tar.append_data(&mut header, name, *content).unwrap();
    }
    tar.into_inner().unwrap()
}

/// A layout that is being written by hand, right or wrong.
pub(crate) struct Layout<'a>(pub(crate) &'a Path);

impl Layout<'_> {
    /// Stores bytes and gives their descriptor.
    pub(crate) fn blob(&self, media_type: &str, bytes: &[u8]) -> Value {
        let digest = Digest::of(bytes);
        let blobs = self.0.join("blobs/sha256");
        std::fs::create_dir_all(&blobs).unwrap();
        std::fs::write(blobs.join(digest.hex()), bytes).unwrap();
        json!({"mediaType": media_type, "digest": digest.to_string(), "size": bytes.len()})
    }

    /// Names a stored document.
    pub(crate) fn name(&self, name: &str, mut descriptor: Value) {
        descriptor["annotations"] = json!({"org.opencontainers.image.ref.name": name});
        let index = json!({"schemaVersion": 2, "manifests": [descriptor]});
        std::fs::write(self.0.join("index.json"), index.to_string()).unwrap();
        std::fs::write(self.0.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
    }

    /// A base of one layer for this machine's platform; gives the layer's digest.
    pub(crate) fn base(&self, name: &str) -> String {
        let tar = tar_of(&[("etc/motd", b"hello\n")]);
        let layer = self.blob("application/vnd.oci.image.layer.v1.tar", &tar);
        let config = json!({
            "architecture": floe::oci::Platform::host().architecture, "os": "linux",
            "config": {"Cmd": ["/bin/serve"]},
            "rootfs": {"type": "layers", "diff_ids": [layer["digest"]]},
        });
        let config = self.blob("application/vnd.oci.image.config.v1+json", config.to_string().as_bytes());
        let manifest = json!({
            "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": config, "layers": [layer],
        });
        let manifest =
            self.blob("application/vnd.oci.image.manifest.v1+json", manifest.to_string().as_bytes());
        self.name(name, manifest);
        layer["digest"].as_str().unwrap().to_owned()
    }
}
