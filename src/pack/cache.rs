//! What earlier builds found out about layers: digests by the state of the files, so that an unchanged layer is
//! not read again.
//!
//! It is a memory and no store: it holds no content, and everything in it can be found out anew. A key is the
//! SHA-256 over all that decides a layer's bytes short of reading them: every header of its tar, the identity of each file
//! (device, inode, size, both times), the content of inline files, the codec, and the layout version.
//!
//! Invariants: an answer is only kept where the files were the same before and after they were read, and every
//! time stamp of theirs lay more than [`QUIET`] before the reading, so that a second write within the clock's
//! grain cannot hide (git's "racy" problem); where a digest matters, as when bytes are sent, it is verified again.
//! Files of the cache come into being whole and are never changed, so that processes share it without a lock;
//! deleting any of them, at any time, costs time only.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde_json::json;
use sha2::Digest as _;

use super::stream;
use crate::blob::Packed;
use crate::error::{At, Result};
use crate::fs::{Stamp, create_dirs, is_remote, read_capped, write_atomic};
use crate::model::Tree;
use crate::model::tree::EntryKind;
use crate::oci::{Descriptor, DiffId, Digest, json};
use crate::plan::{LAYOUT, LayerPlan, Owner, PlanKind};

/// A file that was written to within this time before it was read may be written to again unseen.
pub const QUIET: Duration = Duration::from_secs(2);
/// How many layers are remembered.
const MOST: usize = 20_000;
/// How many are forgotten at once when they are too many: those that were not used for longest.
const SWEPT: usize = MOST / 4;
/// A remembered layer is a few hundred bytes.
const MAX_FILE: u64 = 4096;
/// The version of what is remembered, and of how keys are made.
const VERSION: u32 = 1;

/// A folder with the digests of layers.
#[derive(Clone, Debug)]
pub struct Cache {
    folder: PathBuf,
    /// Whether files on network file systems are remembered too, whose times and inodes can lie.
    remote: bool,
}

/// All that decides the bytes of a layer, short of reading them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    digest: Digest,
    /// The newest time stamp of the files, in nanoseconds since 1970.
    newest: i128,
}

/// A key while it is made.
struct Making {
    hash: sha2::Sha256,
    newest: i128,
}

impl Making {
    fn new(what: &str) -> Self {
        let mut hash = sha2::Sha256::new();
        // Compressors are pinned to the layout version, and a release is a good moment to look again.
        hash.update(format!("floe {VERSION} {} {what}\n", env!("CARGO_PKG_VERSION")));
        Self { hash, newest: i128::MIN }
    }

    fn file(&mut self, stamp: &Stamp) {
        self.newest = self.newest.max(stamp.mtime).max(stamp.ctime);
        let Stamp { dev, ino, size, mtime, ctime } = stamp;
        self.hash.update(format!("{dev} {ino} {size} {mtime} {ctime}\n"));
    }

    fn key(self) -> Key {
        Key { digest: Digest::from_bytes(self.hash.finalize().into()), newest: self.newest }
    }
}

impl Cache {
    /// A cache in a folder, which is made when something is remembered.
    pub fn new(folder: PathBuf, remote: bool) -> Self {
        Self { folder, remote }
    }

    /// The key of a layer of a plan; `None` where its files cannot be told apart by their stamps.
    ///
    /// The compression is the plan's: where that leaves the choice open, what is remembered tells the codec too, so that
    /// no sample has to be read.
    pub fn layer(&self, plan: &LayerPlan, tree: &Tree, owner: Owner) -> Option<Key> {
        let mut making = Making::new(&format!("layer {LAYOUT} {:?}", plan.compression));
        let mut folders = BTreeMap::new();
        for entry in &plan.entries {
            making.hash.update(stream::header(entry, owner).ok()?);
            match &entry.kind {
                PlanKind::Dir | PlanKind::Link { .. } => {}
                PlanKind::Inline { base64 } => making.hash.update(base64),
                PlanKind::File { from, .. } => {
                    let found = tree.get(from.as_bytes())?;
                    let EntryKind::File { stamp, .. } = &found.kind else { return None };
                    let folder = crate::fs::parent(&found.source);
                    let mut far = || *folders.entry(folder.to_owned()).or_insert_with(|| is_remote(folder));
                    if !self.remote && far() {
                        return None;
                    }
                    making.file(stamp);
                }
            }
        }
        Some(making.key())
    }

    /// The key of a program that is packed as a layer; `None` as for layers.
    pub fn program(&self, path: &Path, stamp: &Stamp) -> Option<Key> {
        if !self.remote && is_remote(crate::fs::parent(path)) {
            return None;
        }
        let mut making = Making::new("program");
        making.file(stamp);
        Some(making.key())
    }

    /// Forgets what turned out to be wrong.
    pub fn forget(&self, key: &Key) {
        let _gone = std::fs::remove_file(self.path(key));
    }

    fn path(&self, key: &Key) -> PathBuf {
        let hex = key.digest.hex();
        self.folder.join(&hex[..2]).join(&hex[2..])
    }

    /// What is remembered under a key. Whatever is wrong with it is as if there were nothing.
    pub fn get(&self, key: &Key) -> Option<Packed> {
        let path = self.path(key);
        let bytes = read_capped(&path, MAX_FILE).ok()?;
        let packed = parse(&bytes, key)?;
        // What is used stays.
        let _late = std::fs::File::open(&path).and_then(|f| f.set_modified(SystemTime::now()));
        Some(packed)
    }

    /// Remembers what a reading found out that began at `begun`.
    ///
    /// # Errors
    ///
    /// When the folder cannot be written; nothing depends on it.
    pub fn put(&self, key: &Key, packed: &Packed, begun: SystemTime) -> Result<()> {
        if !is_quiet(key.newest, begun) {
            return Ok(());
        }
        let path = self.path(key);
        create_dirs(crate::fs::parent(&path))?;
        let d = &packed.descriptor;
        let value = json!({
            "floe": VERSION, "key": key.digest.to_string(), "digest": d.digest.to_string(), "size": d.size,
            "media_type": d.media_type, "diff_id": packed.diff_id.to_string(),
        });
        write_atomic(&path, &json::canonical(&value), false)?;
        // One in so many looks whether there are too many, so that no build pays for all.
        if key.digest.hex().starts_with("00") || key.digest.hex().starts_with("80") {
            self.sweep()
        } else {
            Ok(())
        }
    }

    /// Forgets what was not used for longest, where there is too much.
    fn sweep(&self) -> Result<()> {
        let mut all = Vec::new();
        for folder in
            std::fs::read_dir(&self.folder).at("list", &self.folder)?.filter_map(std::result::Result::ok)
        {
            let Ok(files) = std::fs::read_dir(folder.path()) else { continue };
            all.extend(files.filter_map(|f| {
                let f = f.ok()?;
                Some((f.metadata().ok()?.modified().ok()?, f.path()))
            }));
        }
        if all.len() <= MOST {
            return Ok(());
        }
        all.sort();
        for (_, path) in all.iter().take(all.len() - MOST + SWEPT) {
            // Another process may have been quicker.
            let _gone = std::fs::remove_file(path);
        }
        Ok(())
    }
}

/// Whether a time stamp lies long enough before the reading.
fn is_quiet(newest: i128, begun: SystemTime) -> bool {
    let begun = begun.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |d| d.as_nanos());
    let begun = i128::try_from(begun).unwrap_or(0);
    newest.saturating_add(i128::try_from(QUIET.as_nanos()).unwrap_or(0)) < begun
}

/// What a file of the cache says, where it is of this key and of this version.
fn parse(bytes: &[u8], key: &Key) -> Option<Packed> {
    let value: serde_json::Value = serde_json::from_slice(bytes).ok()?;
    let text = |name: &str| value[name].as_str();
    if value["floe"].as_u64() != Some(VERSION.into()) || text("key")? != key.digest.to_string() {
        return None;
    }
    let digest = text("digest")?.parse().ok()?;
    let descriptor = Descriptor::new(text("media_type")?, digest, value["size"].as_u64()?);
    Some(Packed { descriptor, diff_id: DiffId(text("diff_id")?.parse().ok()?) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packed(text: &str) -> Packed {
        let digest = Digest::of(text.as_bytes());
        Packed { descriptor: Descriptor::new("application/x", digest, 7), diff_id: DiffId(digest) }
    }

    fn key(text: &str, newest: i128) -> Key {
        Key { digest: Digest::of(text.as_bytes()), newest }
    }

    #[test]
    fn what_is_remembered_comes_back_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::new(dir.path().join("digests"), false);
        let (a, b) = (key("a", 0), key("b", 0));
        assert_eq!(cache.get(&a), None);
        cache.put(&a, &packed("1"), SystemTime::now()).unwrap();
        assert_eq!((cache.get(&a), cache.get(&b)), (Some(packed("1")), None));
        // A file under the name of another key, and nonsense, are nothing.
        std::fs::create_dir_all(crate::fs::parent(&cache.path(&b))).unwrap();
        std::fs::copy(cache.path(&a), cache.path(&b)).unwrap();
        assert_eq!(cache.get(&b), None);
        for nonsense in [&b""[..], b"{", b"{\"floe\":1}", b"[]", &[b' '; 5000]] {
            std::fs::write(cache.path(&b), nonsense).unwrap();
            assert_eq!(cache.get(&b), None);
        }
        cache.forget(&a);
        assert_eq!(cache.get(&a), None);
        std::fs::remove_dir_all(dir.path().join("digests")).unwrap();
        cache.put(&a, &packed("2"), SystemTime::now()).unwrap();
        assert_eq!(cache.get(&a), Some(packed("2")));
    }

    #[test]
    fn files_that_were_just_written_are_not_remembered() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::new(dir.path().to_owned(), false);
        let nanos = |t: SystemTime| {
            i128::try_from(t.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_nanos()).unwrap()
        };
        let now = SystemTime::now();
        for (newest, kept) in [
            (now - QUIET - Duration::from_millis(1), true),
            (now - QUIET, false),
            (now, false),
            (now + Duration::from_secs(3600), false),
        ] {
            let key = key("x", nanos(newest));
            cache.put(&key, &packed("1"), now).unwrap();
            assert_eq!(cache.get(&key).is_some(), kept);
            cache.forget(&key);
        }
    }

    #[test]
    fn it_does_not_grow_without_end() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::new(dir.path().to_owned(), false);
        let folder = dir.path().join("zz");
        std::fs::create_dir(&folder).unwrap();
        for i in 0..=MOST {
            std::fs::write(folder.join(i.to_string()), "x").unwrap();
        }
        let new = key("new", 0);
        cache.put(&new, &packed("1"), SystemTime::now()).unwrap();
        cache.sweep().unwrap();
        let left = std::fs::read_dir(&folder).unwrap().count();
        assert!(left <= MOST - SWEPT + 1, "{left}");
        assert!(cache.get(&new).is_some(), "the newest stays");
    }
}
