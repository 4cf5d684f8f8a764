//! Copies between all kinds of stores, bundles for sites without a network, and what is attached.

mod attached;
mod bundles;
mod command;
mod names;
mod pairs;
mod records;

use std::path::{Path, PathBuf};

use floe::Result;
use floe::copy::{self, Copied, Request, Surroundings};
use floe::event::{Observe, Quiet};
use floe::oci::Digest;
use floe::store::location::Location;
use floe::store::open::Stores;
use floe::store::registry::{Client, Retry, Settings};
use floe::store::{Document, Options, Source};

use crate::stores::material::Image;
use crate::support::debian::DebianRegistry;
use crate::support::registry::TestRegistry;

/// The kinds of stores that a copy reads and writes.
const KINDS: [&str; 6] = ["ours", "docker-registry", "oci", "store", "oci-archive", "docker-archive"];

/// One of each kind of store.
struct World {
    dir: tempfile::TempDir,
    ours: TestRegistry,
    real: Option<DebianRegistry>,
    stores: Stores,
}

impl World {
    /// Without a real registry, which takes a moment to start.
    fn small() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let retry = Retry { pause: std::time::Duration::from_millis(2), ..Settings::default().retry };
        let stores = Stores {
            client: Client::new(Settings { retry, ..Settings::default() }),
            local: Some(dir.path().join("store")),
            options: Options::default(),
        };
        Self { dir, ours: TestRegistry::start(), real: None, stores }
    }

    fn new() -> Self {
        Self { real: Some(DebianRegistry::start()), ..Self::small() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A place of a kind for a model, without a tag.
    fn bare(&self, kind: &str, model: &str) -> String {
        let path = self.path(&model.replace('/', "-"));
        match kind {
            "ours" => format!("docker://{}/{model}", self.ours.addr()),
            "docker-registry" => format!("docker://{}/{model}", self.real.as_ref().unwrap().host()),
            "store" => model.to_owned(),
            "oci" => format!("oci:{}", path.display()),
            "oci-archive" => format!("oci-archive:{}.tar", path.display()),
            "docker-archive" => format!("docker-archive:{}.tar", path.display()),
            other => panic!("{other}"),
        }
    }

    /// The same, with a tag.
    fn at(&self, kind: &str, model: &str, tag: &str) -> String {
        match kind {
            "docker-archive" => format!("{}:{model}:{tag}", self.bare(kind, model)),
            _ => format!("{}:{tag}", self.bare(kind, model)),
        }
    }

    /// Puts an image into a layout and gives it these names.
    fn seed(&self, model: &str, image: &Image, names: &[&str]) -> String {
        let layout = floe::store::layout::Layout::create(self.path(model), None, Options::default()).unwrap();
        image.store(&layout);
        self.name(model, &image.manifest, names)
    }

    /// Names a document of a layout.
    fn name(&self, model: &str, document: &Document, names: &[&str]) -> String {
        use floe::store::{Repository, Sink};
        let layout = floe::store::layout::Layout::create(self.path(model), None, Options::default()).unwrap();
        layout.put_document(document).unwrap();
        names.iter().for_each(|n| layout.point(n, document).unwrap());
        format!("oci:{}", self.path(model).display())
    }

    fn copy_with(&self, request: &Request, see: &dyn Observe) -> Result<Vec<Copied>> {
        copy::copy(request, &Surroundings { stores: &self.stores, see })
    }

    fn copy(&self, from: &str, to: &str) -> Result<Vec<Copied>> {
        self.copy_with(&request(&[from], to), &Quiet)
    }

    /// Opens a place to read from it.
    fn source(&self, at: &str) -> Box<dyn Source> {
        self.stores.source(&Location::reference(at).unwrap()).unwrap()
    }

    /// What a name in a place points to.
    fn digest(&self, at: &str, name: &str) -> Option<Digest> {
        self.source(at).resolve(name).unwrap().map(|d| d.digest)
    }
}

/// A plain copy.
pub(crate) fn request(from: &[&str], to: &str) -> Request {
    Request {
        sources: from.iter().map(|s| (*s).to_owned()).collect(),
        destination: to.to_owned(),
        platform: None,
        all: false,
        all_tags: false,
        aliases: Vec::new(),
        since: None,
        part: None,
        jobs: 4,
        dry_run: false,
    }
}

/// The entries of an archive's `index.json`, read by another tar.
fn index_of(file: &Path) -> serde_json::Value {
    let mut tar = tar::Archive::new(std::fs::File::open(file).unwrap());
    let mut entries = tar.entries().unwrap().map(|e| e.unwrap());
    let entry = entries.find(|e| e.path().unwrap().as_os_str() == "index.json").unwrap();
    serde_json::from_reader(entry).unwrap()
}
