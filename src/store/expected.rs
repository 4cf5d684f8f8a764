//! What is going to be stored, and what of it no registry and no runtime takes.
//!
//! A manifest that is too large would be refused after all of its layers were sent, so that its size is told
//! beforehand, as well as it is known then. Limits of single services are the business of the store that
//! reaches them.
//!
//! Invariant: what is refused here could be stored nowhere, or read by nobody.

use crate::error::{Error, Kind, Result, counted, show_bytes};
use crate::event::{Observe, warn};
use crate::oci::Descriptor;
use crate::oci::document::{MAX_CONFIG, MAX_MANIFEST};

/// How many layers container runtimes put over each other at most (moby, `layer/layer_store.go`, speaks of
/// 127 in some of its drivers).
pub const MAX_LAYERS: usize = 127;
/// The largest configuration that skopeo, podman and CRI-O read (containers/image,
/// `internal/iolimits`): 4 MiB.
const PEERS_CONFIG: u64 = 4 << 20;

/// What is going to be stored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expected {
    /// The layers, those of a base included.
    pub blobs: Vec<ExpectedBlob>,
    /// The manifests and indexes.
    pub manifests: Vec<ExpectedManifest>,
}

/// A layer that is going to be stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExpectedBlob {
    /// What it is, for people.
    pub title: String,
    /// How many bytes it will have at most.
    pub size: u64,
    /// Whether it will have exactly so many.
    pub exact: bool,
    /// What it is, where that is known: it may be there already.
    pub descriptor: Option<Descriptor>,
}

impl ExpectedBlob {
    /// A blob of which everything is known.
    pub fn of(descriptor: &Descriptor, what: &str) -> Self {
        Self {
            title: format!("{what} {}", descriptor.digest.short()),
            size: descriptor.size,
            exact: true,
            descriptor: Some(descriptor.clone()),
        }
    }
}

/// A manifest or index that is going to be stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExpectedManifest {
    /// What it is, for people.
    pub title: String,
    /// How many bytes it will have at least.
    pub size: u64,
    /// How many layers it names.
    pub layers: usize,
    /// How many bytes the configuration that it names will have at least.
    pub config: u64,
}

impl Expected {
    /// Refuses what can be stored nowhere, and warns of what few can read.
    ///
    /// # Errors
    ///
    /// [`Kind::Model`] for a manifest or a configuration that is too large.
    pub fn check(&self, see: &dyn Observe) -> Result<()> {
        self.manifests.iter().try_for_each(|m| m.check(see))
    }
}

impl ExpectedManifest {
    fn check(&self, see: &dyn Observe) -> Result<()> {
        let title = show_bytes(self.title.as_bytes());
        if self.size > MAX_MANIFEST as u64 {
            return Err(Error::new(
                Kind::Model,
                format!(
                    "{title} would have a manifest of {} bytes, and registries take {MAX_MANIFEST} at most",
                    self.size
                ),
            )
            .hint(
                "what is large in it are annotations: shorten those and the metadata, or take another base",
            ));
        }
        if self.config > MAX_CONFIG as u64 {
            return Err(Error::new(
                Kind::Model,
                format!(
                    "{title} would have a configuration of {} bytes, and {MAX_CONFIG} are read at most",
                    self.config
                ),
            )
            .hint("what is large in it are labels and environment: shorten those, or take another base"));
        }
        if self.config > PEERS_CONFIG {
            warn(
                see,
                format!(
                    "{title} has a configuration of {} bytes, and skopeo, podman and CRI-O read {PEERS_CONFIG} at most",
                    self.config
                ),
                Some("shorten labels and environment"),
            );
        }
        if self.layers > MAX_LAYERS {
            warn(
                see,
                format!(
                    "{title} has {}, and container runtimes put {MAX_LAYERS} over each other at most",
                    counted(self.layers, "layer", "layers")
                ),
                Some("it can be stored, and perhaps not be run; build it again with fewer layers"),
            );
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Event;
    use std::sync::Mutex;

    #[derive(Default)]
    struct Heard(Mutex<Vec<String>>);

    impl Observe for Heard {
        fn on(&self, event: Event) {
            if let Event::Warning { message, .. } = event {
                self.0.lock().unwrap().push(message);
            }
        }
    }

    fn told(size: u64, layers: usize, config: u64) -> (Result<()>, Vec<String>) {
        let heard = Heard::default();
        let manifest = ExpectedManifest { title: "`m`".to_owned(), size, layers, config };
        let result = Expected { manifests: vec![manifest], ..Expected::default() }.check(&heard);
        (result, heard.0.into_inner().unwrap())
    }

    #[test]
    fn a_manifest_of_four_mib_is_the_largest() {
        let most = MAX_MANIFEST as u64;
        let (result, heard) = told(most, 127, 4 << 20);
        assert!(result.is_ok() && heard.is_empty(), "{heard:?}");
        let (result, _) = told(most + 1, 1, 1);
        let e = result.unwrap_err();
        assert_eq!(e.kind(), Kind::Model);
        assert_eq!(
            e.to_string(),
            "`m` would have a manifest of 4194305 bytes, and registries take 4194304 at most"
        );
        assert!(e.hint_text().unwrap().contains("annotations"));
    }

    #[test]
    fn what_few_can_read_is_told_and_what_nobody_can_is_refused() {
        let (result, heard) = told(1, 128, 1);
        assert!(result.is_ok());
        assert_eq!(heard, ["`m` has 128 layers, and container runtimes put 127 over each other at most"]);
        let (result, heard) = told(1, 1, (4 << 20) + 1);
        assert!(result.is_ok() && heard[0].contains("skopeo, podman and CRI-O read 4194304"), "{heard:?}");
        let (result, _) = told(1, 1, (8 << 20) + 1);
        assert!(result.unwrap_err().to_string().contains("configuration of 8388609 bytes"));
    }
}
