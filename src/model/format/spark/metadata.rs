//! What a stage says about itself: one line of JSON in `metadata/part-00000`.
//!
//! Spark writes it with `DefaultParamsWriter` (mllib, org.apache.spark.ml.util.ReadWrite): class, uid,
//! time, version, the parameters that were set, from 2.4 on the defaults too, and what the class adds.
//! It is not the trained data, which lies in parquet files beside it (`data.rs`).
//!
//! Invariant: a parameter that was set counts before its default; before 2.4 all lie together.

use std::cell::Cell;
use std::io::Read;

use serde_json::{Map, Value};

use crate::error::{Error, Kind, Result, show_bytes};
use crate::model::format::{MAX_TEXT, file_name, join, json};
use crate::model::parquet::blocks::{self, Codec};
use crate::model::tree::{EntryKind, Tree};

/// The longest line in bytes; OneVsRest and label lists make long ones.
const MAX_LINE: u64 = 32 << 20;
/// The most names of one list of columns.
const MAX_COLUMNS: usize = 100_000;

/// A stage's own words.
#[derive(Clone, Debug, Default)]
pub(super) struct Metadata {
    /// The class, with its package.
    pub class: String,
    /// Its identity, part of its folder's name.
    pub uid: String,
    /// The version that wrote it.
    pub version: Option<String>,
    /// Everything else, by key.
    pub rest: Map<String, Value>,
    params: Map<String, Value>,
    defaults: Map<String, Value>,
}

impl Metadata {
    /// Reads what lies in the folder of a stage.
    pub(super) fn open(tree: &Tree, folder: &[u8], budget: &Cell<u64>) -> Result<Self> {
        let missing = || {
            Error::new(
                Kind::Model,
                format!(
                    "`{}` is not a stage that Spark saved: it has no `metadata/part-00000`",
                    show_bytes(folder)
                ),
            )
        };
        let place = join(folder, b"metadata");
        let part = match tree.get(&place).map(|e| &e.kind) {
            // Spark 4.1 writes one plain file where it saves without a cluster.
            Some(EntryKind::File { .. }) => place,
            _ => parts(tree, &place).into_iter().next().ok_or_else(missing)?,
        };
        let line = first_line(tree, &part, budget)?;
        Self::parse(&line).map_err(|e| e.context(format!("in `{}`", show_bytes(&part))))
    }

    /// Reads the line.
    pub(super) fn parse(line: &[u8]) -> Result<Self> {
        let broken =
            |what: &str| Error::new(Kind::Model, format!("broken metadata of a Spark stage: {what}"));
        let Ok(Value::Object(all)) = json::parse(line) else {
            return Err(broken("the first line is not a JSON object"));
        };
        Self::new(all)
    }

    /// Sorts out what was read.
    pub(super) fn new(mut all: Map<String, Value>) -> Result<Self> {
        let mut take = |key: &str| match all.remove(key) {
            Some(Value::String(s)) if s.len() <= MAX_TEXT => Some(s),
            _ => None,
        };
        let class = take("class")
            .ok_or_else(|| Error::new(Kind::Model, "broken metadata of a Spark stage: it has no `class`"))?;
        let (uid, version) = (take("uid").unwrap_or_default(), take("sparkVersion"));
        let mut map = |key: &str| match all.remove(key) {
            Some(Value::Object(map)) => map,
            _ => Map::new(),
        };
        let (params, defaults) = (map("paramMap"), map("defaultParamMap"));
        Ok(Self { class, uid, version, rest: all, params, defaults })
    }

    /// The class without its package.
    pub(super) fn short(&self) -> &str {
        self.class.rsplit('.').next().unwrap_or(&self.class)
    }

    /// Whether the class is Spark's own, on either side of the bridge to Python.
    pub(super) fn is_sparks(&self) -> bool {
        ["org.apache.spark.ml.", "pyspark.ml."].iter().any(|p| self.class.starts_with(p))
    }

    /// Whether the version is at least this one; an unknown one is.
    pub(super) fn since(&self, major: u32, minor: u32) -> bool {
        let version = self.version.as_deref().unwrap_or("");
        let mut parts = version.split('.').map(|p| p.parse::<u32>().ok());
        match (parts.next().flatten(), parts.next().flatten()) {
            (Some(a), Some(b)) => (a, b) >= (major, minor),
            _ => true,
        }
    }

    /// A parameter, set or by default.
    pub(super) fn param(&self, name: &str) -> Option<&Value> {
        self.params.get(name).or_else(|| self.defaults.get(name)).filter(|v| !v.is_null())
    }

    /// A parameter that is text; `None` where it is empty too.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.param(name)?.as_str().filter(|s| !s.is_empty() && s.len() <= MAX_TEXT)
    }

    /// A text that the class added.
    pub(super) fn text_of(&self, name: &str) -> Option<&str> {
        self.rest.get(name)?.as_str().filter(|s| s.len() <= MAX_TEXT)
    }

    /// A parameter that is a count.
    pub(super) fn count(&self, name: &str) -> Option<u64> {
        self.param(name)?.as_u64()
    }

    /// A parameter that is true or false.
    pub(super) fn flag(&self, name: &str) -> Option<bool> {
        self.param(name)?.as_bool()
    }

    /// A parameter that is a list of texts.
    pub(super) fn texts(&self, name: &str) -> Option<Vec<&str>> {
        let list = self.param(name)?.as_array().filter(|l| l.len() <= MAX_COLUMNS)?;
        list.iter().map(Value::as_str).collect()
    }

    /// How long a parameter that is a list is.
    pub(super) fn length(&self, name: &str) -> Option<u64> {
        self.param(name)?.as_array().map(|l| l.len() as u64)
    }

    /// How long a parameter that is a vector is (`JsonVectorConverter`).
    pub(super) fn vector(&self, name: &str) -> Option<u64> {
        let v = self.param(name)?.as_object()?;
        v.get("size").and_then(Value::as_u64).or_else(|| v.get("values")?.as_array().map(|l| l.len() as u64))
    }

    /// A count that the class added.
    pub(super) fn extra(&self, name: &str) -> Option<u64> {
        self.rest.get(name)?.as_u64()
    }

    /// The columns of two parameters of which one is set: one name, or several.
    pub(super) fn columns(&self, one: &str, several: &str) -> Vec<&str> {
        match self.texts(several).filter(|l| !l.is_empty()) {
            Some(list) => list,
            None => self.text(one).into_iter().collect(),
        }
    }
}

/// The parts of a file that Hadoop split, in order; empty ones and checksums are none.
pub(super) fn parts(tree: &Tree, folder: &[u8]) -> Vec<Vec<u8>> {
    let prefix = join(folder, b"");
    let entries = tree.entries();
    let start = entries.partition_point(|e| e.path < prefix);
    let inside = entries[start..].iter().take_while(|e| e.path.starts_with(&prefix));
    inside
        .filter(|e| {
            file_name(&e.path).starts_with(b"part-")
                && e.path.len() == prefix.len() + file_name(&e.path).len()
        })
        .filter(|e| match tree.get(&e.path).map(|e| &e.kind) {
            Some(EntryKind::File { stamp, .. }) => stamp.size > 0,
            _ => false,
        })
        .map(|e| e.path.clone())
        .collect()
}

/// The first line of a text file, unpacked where its name says that it is packed.
fn first_line(tree: &Tree, path: &[u8], budget: &Cell<u64>) -> Result<Vec<u8>> {
    let content = tree.open(path)?;
    let cap = MAX_LINE.min(budget.get());
    let too_long = || Error::new(Kind::Model, format!("`{}` has more than {cap} bytes", show_bytes(path)));
    if content.size() > cap {
        return Err(too_long());
    }
    let bytes = content.read_all(cap)?;
    let unpacked = unpack(path, bytes, cap, true)?;
    if unpacked.len() as u64 > cap {
        return Err(too_long());
    }
    budget.set(budget.get().saturating_sub(content.size().saturating_add(unpacked.len() as u64)));
    let end = unpacked.iter().position(|b| *b == b'\n').unwrap_or(unpacked.len());
    Ok(unpacked[..end].to_vec())
}

fn blocks(codec: Codec, path: &[u8], bytes: &[u8], cap: u64) -> Result<Vec<u8>> {
    blocks::unpack(codec, bytes, usize::try_from(cap).unwrap_or(usize::MAX))
        .map_err(|e| Error::new(Kind::Model, format!("`{}` cannot be unpacked: {e}", show_bytes(path))))
}

/// Undoes Hadoop's compression, which the ending of the file's name tells. At most one byte more
/// than `cap` is unpacked; where the bytes are not `whole`, as much as there is.
pub(super) fn unpack(path: &[u8], bytes: Vec<u8>, cap: u64, whole: bool) -> Result<Vec<u8>> {
    let name = file_name(path);
    let stream = |reader: &mut dyn Read| {
        let mut out = Vec::new();
        match reader.take(cap + 1).read_to_end(&mut out) {
            Ok(_) => Ok(out),
            // What was unpacked before is there.
            Err(_) if !whole => Ok(out),
            Err(e) => {
                Err(Error::new(Kind::Model, format!("`{}` cannot be unpacked", show_bytes(path))).because(e))
            }
        }
    };
    match name.rsplit(|b| *b == b'.').next() {
        Some(b"gz") => stream(&mut flate2::read::MultiGzDecoder::new(&*bytes)),
        Some(b"deflate") => stream(&mut flate2::read::ZlibDecoder::new(&*bytes)),
        Some(b"zst") => {
            let decoder = zstd::stream::read::Decoder::with_buffer(&*bytes);
            let broken =
                |e| Error::new(Kind::Model, format!("`{}` cannot be unpacked", show_bytes(path))).because(e);
            let mut decoder = decoder.map_err(broken)?;
            decoder.window_log_max(24).map_err(broken)?;
            stream(&mut decoder)
        }
        Some(b"bz2") => stream(&mut bzip2::read::MultiBzDecoder::new(&*bytes)),
        Some(b"snappy") => blocks(Codec::Snappy, path, &bytes, cap),
        Some(b"lz4") => blocks(Codec::Lz4, path, &bytes, cap),
        Some(b"lzo") => Err(Error::new(
            Kind::Model,
            format!("`{}` is packed in a way that floe does not read", show_bytes(path)),
        )
        .hint("save the model again with `spark.hadoop.mapreduce.output.fileoutputformat.compress=false`")),
        _ => Ok(bytes),
    }
}
