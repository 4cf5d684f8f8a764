//! What can be known of an upload before its first byte: limits of well-known registries, and whether floe
//! may write at all.
//!
//! A layer that a registry never takes would be refused after an hour, and so would a job without the right
//! to push. The limits are those that the services publish (docs.github.com, "Working with the Container registry":
//! 10 GB a layer and ten minutes an upload; docs.aws.amazon.com, "Amazon ECR service quotas": 52,000 MiB a layer, 10,000
//! for the public one); a registry that is not in the table is only asked.
//!
//! Invariant: nothing is stored here; an upload that was opened for asking is cancelled.

use reqwest::{Method, StatusCode};

use super::Registry;
use super::auth::Scope;
use super::call::Target;
use super::error::MAX_ERROR_BODY;
use super::upload;
use crate::error::{Error, Kind, Result, show_bytes};
use crate::event::{Observe, warn};
use crate::store::{ExpectedBlob, Presence};

/// From so many bytes on a registry is asked beforehand; less is quickly sent.
const ASK_FROM: u64 = 64 << 20;
const MB: u64 = 1_000_000;
const MIB: u64 = 1 << 20;

/// What a service says of itself.
struct Limits {
    /// Whose limits they are.
    service: &'static str,
    /// The largest layer in bytes.
    layer: u64,
    /// After how many seconds an upload is cut.
    seconds: Option<u64>,
}

/// The limits of a host, where they are known.
fn limits(host: &str) -> Option<Limits> {
    let name = host.split(':').next().unwrap_or(host).to_ascii_lowercase();
    let ecr = name.contains(".dkr.ecr.")
        && (name.ends_with(".amazonaws.com") || name.ends_with(".amazonaws.com.cn"));
    match name.as_str() {
        "ghcr.io" => Some(Limits { service: "GitHub's registry", layer: 10_000 * MB, seconds: Some(600) }),
        "public.ecr.aws" => {
            Some(Limits { service: "Amazon's public registry", layer: 10_000 * MIB, seconds: None })
        }
        _ if ecr => Some(Limits { service: "Amazon's registry", layer: 52_000 * MIB, seconds: None }),
        _ if name.ends_with(".azurecr.io") => {
            Some(Limits { service: "Azure's registry", layer: 200 << 30, seconds: None })
        }
        _ => None,
    }
}

/// Refuses what the registry is known not to take, and asks whether floe may write.
pub(super) fn check(registry: &Registry, blobs: &[ExpectedBlob], see: &dyn Observe) -> Result<()> {
    if let Some(limits) = limits(&registry.host.name) {
        let there = |blob: &ExpectedBlob| match &blob.descriptor {
            Some(descriptor) => Ok(upload::presence(registry, descriptor)? == Presence::Present),
            None => Ok(false),
        };
        for blob in blobs {
            sized(&registry.host.name, &limits, blob, &there, see)?;
        }
    }
    let total = blobs.iter().fold(0u64, |sum, b| sum.saturating_add(b.size));
    if total >= ASK_FROM { ask(registry) } else { Ok(()) }
}

/// Whether one layer is small enough. One that is `there` already is, whatever the table says.
fn sized(
    host: &str,
    limits: &Limits,
    blob: &ExpectedBlob,
    there: &dyn Fn(&ExpectedBlob) -> Result<bool>,
    see: &dyn Observe,
) -> Result<()> {
    let title = show_bytes(blob.title.as_bytes());
    if blob.exact && blob.size > limits.layer {
        if there(blob)? {
            return Ok(());
        }
        return Err(Error::new(
            Kind::Denied,
            format!(
                "the layer `{title}` has {} bytes, and {} (`{host}`) takes {} at most",
                blob.size, limits.service, limits.layer
            ),
        )
        .hint(
            "one file is one layer and cannot be cut: save the model in smaller shards (Hugging Face: `save_pretrained(max_shard_size=\"5GB\")`; \
             ONNX: several files of external data), or publish to another registry",
        ));
    }
    if let Some(seconds) = limits.seconds {
        let needed = blob.size / seconds / MB;
        // Below that nearly every line is quick enough.
        if needed >= 5 && !there(blob)? {
            warn(
                see,
                format!(
                    "{} ends an upload after {} minutes: the layer `{title}` needs a line of {needed} MB/s",
                    limits.service,
                    seconds / 60
                ),
                Some("save the model in smaller shards where the line is slower"),
            );
        }
    }
    Ok(())
}

/// Opens an upload and cancels it: the one question that every registry answers truly.
fn ask(registry: &Registry) -> Result<()> {
    let path = format!("v2/{}/blobs/uploads/", registry.repository);
    let scope = Scope::push(&registry.repository);
    let mut call = registry.call(Method::POST, &path, &scope, "ask for the right to push");
    call.body = Some(&[]);
    let (reply, url) = call.ask(MAX_ERROR_BODY).map_err(|f| f.error)?;
    if reply.status != StatusCode::ACCEPTED {
        return Err(call.refused(&reply).error);
    }
    // Registries forget sessions by themselves; cancelling is a courtesy (distribution-spec, end-14).
    if let Ok(Some(session)) = registry.host.follow(&registry.client, &url, &reply.headers) {
        let mut cancel = registry.call(Method::DELETE, "", &scope, "cancel an upload");
        cancel.target = Target::Url(session);
        let _told = cancel.once(MAX_ERROR_BODY);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Event, Quiet};
    use std::sync::Mutex;

    fn blob(size: u64, exact: bool) -> ExpectedBlob {
        ExpectedBlob { title: "weights big.bin".into(), size, exact, descriptor: None }
    }

    fn size_of(host: &str, limits: &Limits, blob: &ExpectedBlob) -> Result<()> {
        sized(host, limits, blob, &|_| Ok(false), &Quiet)
    }

    #[test]
    fn what_is_too_large_is_refused_with_what_to_do() {
        for (host, most) in [
            ("ghcr.io", 10_000_000_000),
            ("public.ecr.aws", 10_000 << 20),
            ("1.dkr.ecr.eu-west-1.amazonaws.com", 52_000 << 20),
            ("1.dkr.ecr.cn-north-1.amazonaws.com.cn", 52_000 << 20),
        ] {
            let limits = limits(host).unwrap();
            assert!(size_of(host, &limits, &blob(most, true)).is_ok(), "{host}");
            let e = size_of(host, &limits, &blob(most + 1, true)).unwrap_err();
            assert_eq!(e.kind(), Kind::Denied, "{host}");
            assert!(
                e.message().contains("weights big.bin") && e.message().contains(&most.to_string()),
                "{e}"
            );
            assert!(e.hint_text().unwrap().contains("shard"), "{host}");
            // What is compressed on the way may come out smaller.
            assert!(size_of(host, &limits, &blob(most + 1, false)).is_ok(), "{host}");
            // Where it is already, nobody has to take it.
            assert!(sized(host, &limits, &blob(most + 1, true), &|_| Ok(true), &Quiet).is_ok(), "{host}");
        }
        for host in ["registry.example", "ghcr.io.example", "dkr.ecr.example"] {
            assert!(limits(host).is_none(), "{host}");
        }
    }

    #[test]
    fn a_line_that_has_to_be_quick_is_told_of() {
        #[derive(Default)]
        struct Record(Mutex<Vec<String>>);
        impl Observe for Record {
            fn on(&self, event: Event) {
                if let Event::Warning { message, .. } = event {
                    self.0.lock().unwrap().push(message);
                }
            }
        }
        let see = Record::default();
        let ghcr = limits("ghcr.io").unwrap();
        let there = |_: &ExpectedBlob| Ok(false);
        sized("ghcr.io", &ghcr, &blob(1_000_000_000, true), &there, &see).unwrap();
        assert!(see.0.lock().unwrap().is_empty());
        sized("ghcr.io", &ghcr, &blob(9_000_000_000, true), &there, &see).unwrap();
        assert!(see.0.lock().unwrap()[0].contains("15 MB/s"), "{:?}", see.0);
    }
}
