//! floe freezes a machine-learning model into an OCI image: no Docker, no daemon, no root, and
//! nothing of the model is run.
//!
//! The values between the stages are the library's nouns, each in a module of its own:
//! a [`Definition`](model::definition::Definition) is what the author declares, a
//! [`Tree`](model::Tree) the snapshot of the files, a
//! [`Detection`](model::format::Detection) what the files tell, a [`Plan`](plan::Plan) what the
//! image will be, a [`pack::Layer`] a recipe for its bytes, an [`Image`](image::Image) manifest and
//! configuration, and a version ([`versions`]) its place in a collection that lives in a store
//! ([`store`]). [`build::build`] puts them in a row:
//!
//! ```
//! use floe::event::Quiet;
//! use floe::model::tree::Selected;
//! use floe::model::{Tree, format};
//! use floe::oci::Platform;
//! use floe::plan::split::{self, Material};
//! use floe::plan::{self, Compression, ImagePath};
//! use floe::store::{Sink, memory::Memory};
//! use floe::{image, pack, versions};
//!
//! # fn main() -> floe::Result<()> {
//! // The files, and what they tell.
//! let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/models/onnx/on_dev_scaler");
//! let all = [Selected { source: folder.into(), dest: Vec::new() }];
//! let tree = Tree::scan(&all, &|_, _| false, false)?;
//! let found = format::detect(&tree, &format::Choice::default())?;
//! assert_eq!(found.map(|d| d.format), Some("onnx"));
//!
//! // The plan: data, without a digest.
//! let layers = split::layers(&Material {
//!     tree: &tree,
//!     role: &|_| "weights",
//!     folder: ImagePath::new("model/files")?,
//!     contract: Vec::new(),
//!     compression: Compression::Auto,
//!     base_layers: 0,
//! })?;
//! let plan = plan::Plan {
//!     layout: plan::LAYOUT,
//!     model: "scaler".into(),
//!     created: plan::DEFAULT_CREATED.into(),
//!     base_name: None,
//!     owner: plan::Owner::default(),
//!     layers,
//!     config: plan::ConfigPlan::default(),
//!     annotations: Default::default(),
//! };
//!
//! // The bytes, in one pass, into a store.
//! let store = Memory::new();
//! let mut packed = Vec::new();
//! for layer in &plan.layers {
//!     let recipe = pack::Layer::new(layer, &tree, plan.owner, 2)?;
//!     let stored = store.ingest(&recipe, &Quiet)?;
//!     packed.push(image::Layer { packed: stored, role: layer.role.clone(), title: layer.title() });
//! }
//!
//! // The image, and its place in the collection.
//! let base = image::Base::scratch(&Platform::new("linux", "amd64", None));
//! let image = image::assemble(&base, &plan, &packed)?;
//! store.put(&image.config, &Quiet)?;
//! store.put_document(&image.manifest)?;
//! let published = versions::publish(&store, &image.manifest)?;
//! assert_eq!(published.number, 1);
//! assert!(published.tag.starts_with("v1-"));
//! # Ok(())
//! # }
//! ```

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod blob;
pub mod build;
pub mod copy;
#[cfg(feature = "serve")]
pub mod engine;
pub mod error;
pub mod event;
pub mod fs;
pub mod image;
pub mod infer;
pub mod inspect;
pub mod model;
pub mod oci;
pub mod pack;
pub mod plan;
pub mod runtimes;
#[cfg(feature = "serve")]
pub mod serve;
pub mod store;
pub mod tar;
pub mod verify;
pub mod versions;

pub use error::{Error, Kind, Result};
