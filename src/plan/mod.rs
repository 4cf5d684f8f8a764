//! The plan: which layers an image gets and what its configuration says, as plain data.
//!
//! A [`Plan`] is decided once, from the tree, the definition and the detection, and holds no digest
//! yet. Everything clever happens before it; what follows makes bytes from it and chooses nothing.
//! It can be printed, stored, and frozen again years later to the same digest.
//!
//! Invariants: entries of a layer are in bytewise order of their path, each path once, every parent
//! folder present; contract files come last; the plan holds no absolute path of the machine, no
//! time and no owner of the files on disk.

pub mod path;
pub mod split;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::blob::codec::Codec;
use crate::error::{Error, Kind, Result};
use crate::oci::Digest;
use crate::oci::annotation;

pub use path::ImagePath;

/// Which rules make the bytes of an image. Everything that changes a byte raises it.
pub const LAYOUT: u32 = 1;
/// The largest contract that is put into an annotation as well.
pub const MAX_INLINE_CONTRACT: usize = 64 << 10;
/// When an image was made, if nobody says: the Unix epoch and a second, as the files in it.
pub const DEFAULT_CREATED: &str = "1970-01-01T00:00:01Z";
/// Modification time of every file in a model layer, in seconds.
pub const MTIME: u64 = 1;

/// How layers are to be compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// Each layer by what samples of its content say.
    Auto,
    /// All layers as they are.
    None,
    /// All layers with gzip.
    Gzip,
    /// All layers with zstd.
    Zstd,
}

impl Compression {
    /// The codec, where it does not depend on the content.
    pub fn fixed(self) -> Option<Codec> {
        match self {
            Self::Auto => None,
            Self::None => Some(Codec::None),
            Self::Gzip => Some(Codec::Gzip),
            Self::Zstd => Some(Codec::Zstd),
        }
    }
}

impl std::str::FromStr for Compression {
    type Err = Error;

    fn from_str(s: &str) -> Result<Self> {
        match s {
            "auto" => Ok(Self::Auto),
            other => Ok(match other.parse::<Codec>()? {
                Codec::None => Self::None,
                Codec::Gzip => Self::Gzip,
                Codec::Zstd => Self::Zstd,
            }),
        }
    }
}

/// Who owns the files of a model in the image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Owner {
    /// User number.
    pub uid: u32,
    /// Group number.
    pub gid: u32,
}

/// What an image will be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// The rules that make the bytes; [`LAYOUT`].
    pub layout: u32,
    /// Name of the model, as it stands in `MODEL_NAME`.
    pub model: String,
    /// When the image was made, RFC 3339.
    pub created: String,
    /// Registry reference of the base, where the definition or the catalog declares one. Where a
    /// base was fetched from for one build is not part of the image: mirrors give the same digest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_name: Option<String>,
    /// Owner of every file.
    pub owner: Owner,
    /// The layers over the base, lowest first.
    pub layers: Vec<LayerPlan>,
    /// What changes in the base's configuration.
    pub config: ConfigPlan,
    /// Annotations of the manifest, beside those about the base.
    pub annotations: BTreeMap<String, String>,
}

/// What a layer will be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LayerPlan {
    /// What its files are for: `weights`, `code+config`, `contract`, …
    pub role: String,
    /// How it is compressed.
    pub compression: Compression,
    /// Its entries, in order.
    pub entries: Vec<PlanEntry>,
}

/// One entry of a layer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlanEntry {
    /// Path in the image, relative to its root.
    pub path: ImagePath,
    /// What it is.
    pub kind: PlanKind,
}

/// What an entry is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum PlanKind {
    /// A folder.
    Dir,
    /// A file of the tree.
    File {
        /// Its path in the tree.
        from: ImagePath,
        /// Its size in bytes.
        size: u64,
        /// Whether it may be executed.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        executable: bool,
    },
    /// A file whose content stands in the plan: a contract.
    Inline {
        /// The content in base64.
        base64: String,
    },
    /// A symbolic link.
    Link {
        /// As it stands in the link.
        target: ImagePath,
    },
}

/// What changes in the configuration of the base.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConfigPlan {
    /// The working folder, where it changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub working_dir: Option<String>,
    /// The user, where it changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Environment variables to set.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// Environment variable that gets the model's id, which is known when the image is made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_id_env: Option<String>,
    /// Labels to set; `MODEL_NAME` and `MODEL_VERSION` are added when the image is made.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

impl LayerPlan {
    /// Whether the layer is one file (and its folders): such layers have their own rule in
    /// [`Compression::Auto`].
    pub fn is_single(&self) -> bool {
        let mut files = self.entries.iter().filter(|e| e.kind != PlanKind::Dir);
        matches!((files.next(), files.next()), (Some(PlanEntry { kind: PlanKind::File { .. }, .. }), None))
    }

    /// Total size of its files in bytes.
    pub fn size(&self) -> u64 {
        self.entries.iter().map(PlanEntry::size).sum()
    }

    /// Number of its files.
    pub fn files(&self) -> usize {
        self.entries
            .iter()
            .filter(|e| matches!(e.kind, PlanKind::File { .. } | PlanKind::Inline { .. }))
            .count()
    }

    /// What it is in the history of the image: `weights model.onnx`, `code+config, 12 files`. These words are
    /// part of the image's bytes, and stay as they are: `code, 1 files` too.
    pub fn title(&self) -> String {
        self.titled(&format!("{} files", self.files()))
    }

    /// The same for people.
    pub fn shown(&self) -> String {
        self.titled(&crate::error::counted(self.files(), "file", "files"))
    }

    fn titled(&self, several: &str) -> String {
        let mut files = self.entries.iter().filter(|e| e.kind != PlanKind::Dir);
        match (files.next(), files.next()) {
            (Some(one), None) => {
                let name = one.path.as_bytes().rsplit(|b| *b == b'/').next().unwrap_or_default();
                format!("{} {}", self.role, crate::error::show_bytes(name))
            }
            _ => format!("{}, {several}", self.role),
        }
    }
}

impl PlanEntry {
    /// Size of its content in bytes.
    pub fn size(&self) -> u64 {
        match &self.kind {
            PlanKind::File { size, .. } => *size,
            PlanKind::Inline { base64 } => decoded(base64).map_or(0, |b| b.len() as u64),
            PlanKind::Dir | PlanKind::Link { .. } => 0,
        }
    }
}

/// The content of an inline file.
pub fn decoded(base64: &str) -> Result<Vec<u8>> {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD
        .decode(base64)
        .map_err(|e| Error::new(Kind::Model, "the plan holds a file whose content is no base64").because(e))
}

fn encoded(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

impl Plan {
    /// Total size of all files in bytes.
    pub fn size(&self) -> u64 {
        self.layers.iter().map(LayerPlan::size).sum()
    }

    /// Makes sure that a plan from outside keeps the invariants, before it is frozen.
    pub fn check(&self) -> Result<()> {
        let wrong = |why: String| Err(Error::new(Kind::Model, format!("this plan cannot be frozen: {why}")));
        if self.layout != LAYOUT {
            return wrong(format!("it is of layout version {}, this floe makes {LAYOUT}", self.layout));
        }
        for (i, layer) in self.layers.iter().enumerate() {
            let folders: BTreeSet<&ImagePath> =
                layer.entries.iter().filter(|e| e.kind == PlanKind::Dir).map(|e| &e.path).collect();
            let mut before: Option<&PlanEntry> = None;
            for entry in &layer.entries {
                // What was read from JSON may be anything that the text of a link may be.
                let path = ImagePath::new(entry.path.as_bytes())?;
                if path.as_bytes().split(|b| *b == b'/').any(|part| part.starts_with(b".wh.")) {
                    return wrong(format!("in layer {i} `{path}` means a deletion"));
                }
                if before.is_some_and(|b| b.path >= entry.path) {
                    return wrong(format!("in layer {i} `{}` is out of order or there twice", entry.path));
                }
                if let Some(folder) = entry.path.folder()
                    && !folders.contains(&folder)
                {
                    return wrong(format!("in layer {i} the folder of `{}` is missing", entry.path));
                }
                if let PlanKind::Inline { base64 } = &entry.kind {
                    decoded(base64)?;
                }
                before = Some(entry);
            }
        }
        Ok(())
    }

    /// The annotations that carry a contract: its digest, and itself while it is small.
    pub fn contract_annotations(json: &[u8]) -> BTreeMap<String, String> {
        let mut out = BTreeMap::new();
        out.insert(annotation::CONTRACT_DIGEST.to_owned(), Digest::of(json).to_string());
        if let Ok(text) = std::str::from_utf8(json)
            && json.len() <= MAX_INLINE_CONTRACT
        {
            out.insert(annotation::CONTRACT.to_owned(), text.to_owned());
        }
        out
    }
}
