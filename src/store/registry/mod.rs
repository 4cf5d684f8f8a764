//! Registries: repositories that are reached over the network.
//!
//! A [`Registry`] is one repository on one registry. It implements the three traits of
//! [`crate::store`] by the OCI distribution specification, with what real registries do
//! differently. The [`Client`] is what all repositories of a run share: connections, tokens, and
//! what was learnt about each registry.
//!
//! ```no_run
//! use floe::store::Repository as _;
//! use floe::store::registry::{Client, Credentials, Registry, Settings};
//!
//! # fn main() -> floe::Result<()> {
//! let credentials = Credentials::load(&["/etc/floe/auth.json".into()])?;
//! let client = Client::new(Settings { credentials, ..Settings::default() });
//! let models = Registry::open(&client, &"ghcr.io/team/iris".parse()?);
//! println!("{:?}", models.names()?);
//! # Ok(())
//! # }
//! ```
//!
//! Which way a request takes: this file → `upload`, `download`, `names` (what is asked, and what
//! the answers mean), `session`, `chunks`, `body` (how a blob is sent) → `call` (401s, redirects, another
//! try), `patience` (pauses) → `auth`, `host` (what may go where) → `transport`, `tls`, `pipe` (bytes).
//! `registries` says where a name leads before all that, and `mirror` reads from several such places.
//! What is remembered: `habits` of a registry for a run, the `journal` of uploads for the next run.
//!
//! Invariants: what is read is verified; what a registry says about a write is checked by asking
//! again, never by its words; credentials go to the host and port they belong to and no other.

mod auth;
mod body;
mod call;
mod certificates;
mod chunks;
mod credentials;
mod download;
mod error;
mod habits;
mod host;
mod journal;
mod mirror;
mod names;
mod notice;
mod patience;
mod pipe;
mod preflight;
mod proxy;
mod referrers;
mod registries;
mod session;
mod tls;
mod transport;
mod upload;

use std::fmt;
use std::sync::Arc;

use reqwest::Method;

use self::auth::Scope;
use self::call::{Call, Target};
use self::host::Host;
use super::{Claim, Document, Expected, Outcome, Presence, Referring, Repository, Sink, Source};
use crate::blob::{Blob, Packed, Recipe};
use crate::error::Result;
use crate::event::Observe;
use crate::oci::{Descriptor, Digest, Reference};

pub use self::certificates::{Certificates, Shown};
pub use self::credentials::{AUTH_FILES, Credentials, Keeper, Kept, Login, Secret};
pub use self::habits::Way;
pub use self::mirror::Mirrored;
pub use self::proxy::Proxies;
pub use self::registries::Registries;
pub use self::transport::{Client, Retry, Settings, Timeouts, Uploads};

/// One repository on one registry.
#[derive(Clone)]
pub struct Registry {
    client: Client,
    host: Arc<Host>,
    repository: String,
}

impl Registry {
    /// The repository of a reference, at the place where [`Settings::registries`] has it; tag and
    /// digest only choose that place. Asks nothing yet; one that is blocked refuses when it is asked.
    pub fn open(client: &Client, reference: &Reference) -> Self {
        let route = client.settings().registries.route(reference);
        match route.blocked {
            None => Self::at(client, &route.at),
            Some(prefix) => {
                let host = Arc::new(Host::blocked(&reference.registry, &prefix));
                Self { host, ..Self::at(client, reference) }
            }
        }
    }

    /// The repository of a reference, as it stands there.
    fn at(client: &Client, reference: &Reference) -> Self {
        Self {
            client: client.clone(),
            host: client.host(&reference.registry),
            repository: reference.repository.clone(),
        }
    }

    /// Asks a registry whether it lets us in: the login is sent where it wants one.
    ///
    /// # Errors
    ///
    /// [`Kind::Denied`](crate::Kind::Denied) when it does not, and when it cannot be reached.
    pub fn greet(client: &Client, registry: &str, namespace: &str) -> Result<()> {
        let host = client.host(registry);
        let scope = Scope::default();
        let call = Call {
            client,
            host: &host,
            repository: namespace,
            method: Method::GET,
            target: Target::Path("v2/"),
            headers: Vec::new(),
            body: None,
            scope: &scope,
            doing: "log in",
        };
        let (reply, _) = call.ask(error::MAX_ERROR_BODY).map_err(|f| f.error)?;
        if reply.status.is_success() { Ok(()) } else { Err(call.refused(&reply).error) }
    }

    /// Host and port, as the user writes them.
    pub fn registry(&self) -> &str {
        &self.host.name
    }

    /// The repository on that host.
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// Host and repository, for messages.
    fn place(&self) -> String {
        format!("{}/{}", self.host.name, self.repository)
    }

    /// A request about this repository, without body and headers.
    fn call<'a>(&'a self, method: Method, path: &'a str, scope: &'a Scope, doing: &'a str) -> Call<'a> {
        Call {
            client: &self.client,
            host: &self.host,
            repository: &self.repository,
            method,
            target: Target::Path(path),
            headers: Vec::new(),
            body: None,
            scope,
            doing,
        }
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Registry({})", self.place())
    }
}

impl Source for Registry {
    fn resolve(&self, name: &str) -> Result<Option<Descriptor>> {
        names::resolve(self, name)
    }

    fn document(&self, descriptor: &Descriptor) -> Result<Document> {
        super::check_size(descriptor, crate::oci::document::MAX_MANIFEST)?;
        download::document(self, descriptor)
    }

    fn blob<'a>(&'a self, descriptor: &Descriptor) -> Result<Box<dyn Blob + 'a>> {
        Ok(Box::new(download::RemoteBlob::new(self, descriptor)))
    }

    fn referrers(&self, subject: &Digest) -> Result<Vec<Referring>> {
        referrers::list(self, subject)
    }
}

impl Sink for Registry {
    fn preflight(&self, expected: &Expected, see: &dyn Observe) -> Result<()> {
        expected.check(see)?;
        preflight::check(self, &expected.blobs, see)
    }

    fn presence(&self, descriptor: &Descriptor) -> Result<Presence> {
        upload::presence(self, descriptor)
    }

    fn put(&self, blob: &dyn Blob, see: &dyn Observe) -> Result<Outcome> {
        upload::put(self, blob, see)
    }

    fn ingest(&self, recipe: &dyn Recipe, see: &dyn Observe) -> Result<Packed> {
        upload::ingest(self, recipe, see)
    }

    fn put_document(&self, document: &Document) -> Result<()> {
        if document.bytes.len() > crate::oci::document::MAX_MANIFEST {
            return Err(names::too_large_to_send(self, document));
        }
        // The registry would refuse it too, but as one of its own errors.
        crate::oci::document::check(&document.bytes, &document.descriptor, "the document to be stored")?;
        names::put_document(self, document)
    }
}

impl Repository for Registry {
    fn names(&self) -> Result<Vec<String>> {
        names::list(self)
    }

    fn claim(&self, name: &str, document: &Document) -> Result<Claim> {
        names::claim(self, name, document)
    }

    fn point(&self, name: &str, document: &Document) -> Result<()> {
        names::point(self, name, document)
    }

    fn refer(&self, manifest: &Document, subject: &Descriptor) -> Result<()> {
        referrers::add(self, manifest, subject)
    }

    fn remove(&self, name: &str) -> Result<()> {
        names::remove(self, name)
    }
}
