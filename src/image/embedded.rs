//! The base that floe carries: its own program over nothing, as an image like any other.
//!
//! It has a manifest and a digest, so that an image that is laid on it names its base as it would
//! name any. Nobody has to publish that manifest: it is known from the program. It says how the
//! program is started and by whom, and knows nothing of a model.
//!
//! Invariant: the digest is a function of the program's layer and the platform alone.

use serde_json::json;

use super::Base;
use crate::blob::Packed;
use crate::error::Result;
use crate::oci::{Config, Descriptor, Manifest, Platform, json, media_type};
use crate::plan::DEFAULT_CREATED;

/// The user that the program runs as: nobody's number, which needs no line in `/etc/passwd`.
pub const USER: &str = "65532";
/// Where REST is served, and where gRPC.
pub const PORTS: [u16; 2] = [8080, 8081];

/// The base whose only layer is the packed program.
pub fn base(platform: &Platform, program: &Packed) -> Result<Base> {
    let mut config = json!({
        "created": DEFAULT_CREATED,
        "architecture": platform.architecture,
        "os": platform.os,
        "config": {
            "User": USER,
            "ExposedPorts": {},
            // All addresses, of both families: in a container nobody else listens. And the program
            // is found by who looks into a running one (`podman exec NAME floe …`).
            "Env": ["PATH=/", "FLOE_SERVE_HOST=::"],
            "Entrypoint": ["/floe", "serve"],
        },
        "history": [{"created": DEFAULT_CREATED, "created_by": "floe: its own program"}],
        "rootfs": {"type": "layers", "diff_ids": [program.diff_id.to_string()]},
    });
    for port in PORTS {
        config["config"]["ExposedPorts"][format!("{port}/tcp")] = json!({});
    }
    if let Some(variant) = &platform.variant {
        config["variant"] = json!(variant);
    }
    let config = json::canonical(&config);
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": media_type::MANIFEST,
        "config": Descriptor::of(media_type::CONFIG, &config).to_value(),
        "layers": [program.descriptor.to_value()],
    });
    let manifest = Manifest::parse(json::canonical(&manifest), None)?;
    Ok(Base::new(&manifest, Config::parse(&config)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oci::{DiffId, Digest};

    fn program(content: &[u8]) -> Packed {
        Packed {
            descriptor: Descriptor::of(media_type::LAYER_GZIP, content),
            diff_id: DiffId(Digest::of(content)),
        }
    }

    #[test]
    fn c43_it_runs_as_nobody_and_says_how_it_is_started() {
        let base = base(&"linux/arm/v7".parse().unwrap(), &program(b"p")).unwrap();
        let found = &base.config.value;
        assert_eq!(found["config"]["User"], "65532");
        assert_eq!(found["config"]["Entrypoint"], json!(["/floe", "serve"]));
        assert_eq!(found["config"]["ExposedPorts"], json!({"8080/tcp": {}, "8081/tcp": {}}));
        assert_eq!((&found["architecture"], &found["variant"]), (&json!("arm"), &json!("v7")));
        assert_eq!(found["config"].get("Healthcheck"), None);
        assert_eq!(base.layers, [program(b"p").descriptor]);
        assert_eq!(base.config.diff_ids, [program(b"p").diff_id]);
    }

    #[test]
    fn the_digest_follows_from_program_and_platform() {
        let digest =
            |platform: &str, p: &[u8]| base(&platform.parse().unwrap(), &program(p)).unwrap().digest.unwrap();
        assert_eq!(digest("linux/amd64", b"p"), digest("linux/amd64", b"p"));
        assert_ne!(digest("linux/amd64", b"p"), digest("linux/amd64", b"q"));
        assert_ne!(digest("linux/amd64", b"p"), digest("linux/arm64", b"p"));
    }
}
