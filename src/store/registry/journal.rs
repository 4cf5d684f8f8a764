//! What the next run needs to know about uploads: the journal.
//!
//! One small file per registry, repository and digest, in a folder of its own per repository. A file
//! is a list of lines; the last whole one counts, so that a process that is killed while it writes
//! loses one line at most. Who has a file locked is the one that sends the blob; another process
//! that wants to send the same one does so in a session of its own, without a journal.
//!
//! The journal is a hint and never a truth: what it says is asked of the registry before anything
//! hangs on it, and a journal that cannot be read or written is none. It is bounded, may be removed
//! at any time, and is for the user's eyes alone, since the URL of a session can carry a right to
//! write.

use std::fs::File;
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use crate::fs::{create_private_dirs, open_own};
use crate::oci::Digest;

/// The form of a line.
const VERSION: u32 = 1;
/// Bytes of a file; over it the lines before the last are dropped.
const MAX_FILE: u64 = 64 << 10;
/// The longest URL of a session that is noted.
const MAX_URL: usize = 8 << 10;
/// Blobs that are remembered of a repository, and repositories; the oldest go first.
const MAX_ENTRIES: usize = 1024;

/// How far a blob is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "lowercase")]
pub(super) enum State {
    /// It is there.
    Done,
    /// It was linked from another repository.
    Mounted,
    /// It is being sent in chunks.
    Session {
        /// Where the next chunk goes.
        url: String,
        /// Bytes that the registry has confirmed.
        offset: u64,
        /// Bytes of a chunk, as it was last.
        chunk: u64,
    },
}

#[derive(Serialize, Deserialize)]
struct Line {
    version: u32,
    /// Host and repository: the name of the folder is only a hash of it.
    place: String,
    digest: String,
    upload: State,
}

/// One blob's lines, locked for us.
pub(super) struct Record {
    file: File,
    place: String,
    digest: Digest,
}

impl Record {
    /// The record of a blob; `None` where somebody else is sending it, or where there can be none.
    pub(super) fn open(folder: &Path, place: &str, digest: Digest) -> Option<Self> {
        let folder = folder.join(&Digest::of(place.as_bytes()).hex()[..32]);
        if !folder.is_dir() {
            create_private_dirs(&folder).ok()?;
            prune(crate::fs::parent(&folder), remove_folder);
        }
        let path = path(&folder, digest);
        if !path.exists() {
            prune(&folder, |p| std::fs::remove_file(p).is_ok());
        }
        let mut record = Self { file: open_own(&path).ok()??, place: place.to_owned(), digest };
        record.mend()?;
        Some(record)
    }

    /// The bytes, as far as they may go.
    fn text(&mut self) -> Option<Vec<u8>> {
        let mut text = Vec::new();
        self.file.rewind().ok()?;
        Read::by_ref(&mut self.file).take(2 * MAX_FILE).read_to_end(&mut text).ok()?;
        Some(text)
    }

    /// Takes off half a line that somebody who was killed has left: the next would be a part of it.
    fn mend(&mut self) -> Option<()> {
        let text = self.text()?;
        let whole = text.iter().rposition(|b| *b == b'\n').map_or(0, |end| end + 1);
        if whole < text.len() { self.file.set_len(whole as u64).ok() } else { Some(()) }
    }

    /// What the last whole line says, where it is about this blob.
    pub(super) fn state(&mut self) -> Option<State> {
        let text = self.text()?;
        let whole = &text[..text.iter().rposition(|b| *b == b'\n')?];
        let line: Line = whole.rsplit(|b| *b == b'\n').find_map(|l| serde_json::from_slice(l).ok())?;
        let ours =
            line.version == VERSION && line.place == self.place && line.digest == self.digest.to_string();
        ours.then_some(line.upload)
    }

    /// Notes how far the blob is. What cannot be noted is not: the upload does not hang on it.
    pub(super) fn note(&mut self, state: State) {
        let ends = !matches!(state, State::Session { .. });
        if matches!(&state, State::Session { url, .. } if url.len() > MAX_URL) {
            return;
        }
        let line = Line {
            version: VERSION,
            place: self.place.clone(),
            digest: self.digest.to_string(),
            upload: state,
        };
        let Ok(mut text) = serde_json::to_vec(&line) else { return };
        text.push(b'\n');
        if ends || self.file.metadata().is_ok_and(|m| m.len() > MAX_FILE) {
            self.clear();
        }
        // In one call, so that a killed process has written all of it or, at worst, half of one line.
        let _lost = self.file.write_all(&text);
    }

    /// Forgets the blob.
    pub(super) fn clear(&self) {
        let _kept = self.file.set_len(0);
    }
}

fn path(folder: &Path, digest: Digest) -> PathBuf {
    folder.join(digest.hex())
}

/// Whether anything is noted of a blob; cheaper than to open its record.
pub(super) fn knows(folder: &Path, place: &str, digest: Digest) -> bool {
    path(&folder.join(&Digest::of(place.as_bytes()).hex()[..32]), digest).exists()
}

fn remove_folder(path: &Path) -> bool {
    std::fs::remove_dir_all(path).is_ok()
}

/// Makes room for one more: the oldest go, a quarter at once, so that this is rarely done.
fn prune(folder: &Path, remove: impl Fn(&Path) -> bool) {
    let Ok(list) = std::fs::read_dir(folder) else { return };
    let mut all: Vec<(SystemTime, PathBuf)> = list
        .flatten()
        .filter_map(|item| Some((item.metadata().ok()?.modified().ok()?, item.path())))
        .collect();
    if all.len() < MAX_ENTRIES {
        return;
    }
    all.sort();
    for (_, path) in all.iter().take(MAX_ENTRIES / 4) {
        remove(path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn session(offset: u64) -> State {
        State::Session { url: "https://r.example/u?_state=x".into(), offset, chunk: 7 }
    }

    fn only_file(folder: &Path) -> PathBuf {
        let repository = std::fs::read_dir(folder).unwrap().next().unwrap().unwrap().path();
        std::fs::read_dir(repository).unwrap().next().unwrap().unwrap().path()
    }

    #[test]
    fn the_last_line_counts_and_the_next_run_reads_it() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("new/uploads");
        let digest = Digest::of(b"x");
        assert!(!knows(&folder, "r.example/m", digest));
        let mut record = Record::open(&folder, "r.example/m", digest).unwrap();
        assert_eq!(record.state(), None);
        record.note(session(1));
        record.note(session(2));
        assert_eq!(record.state(), Some(session(2)));
        // Nobody else sends it with a journal meanwhile, in this process or another.
        assert!(Record::open(&folder, "r.example/m", digest).is_none());
        assert!(Record::open(&folder, "r.example/m", Digest::of(b"y")).is_some());
        drop(record);
        let mut record = Record::open(&folder, "r.example/m", digest).unwrap();
        assert!(knows(&folder, "r.example/m", digest));
        assert_eq!(record.state(), Some(session(2)));
        record.note(State::Done);
        assert_eq!(record.state(), Some(State::Done));
        record.clear();
        assert_eq!(record.state(), None);
    }

    #[test]
    fn it_is_for_the_user_alone_and_small() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("uploads");
        let mut record = Record::open(&folder, "r/m", Digest::of(b"x")).unwrap();
        for i in 0..3000 {
            record.note(session(i));
        }
        assert_eq!(record.state(), Some(session(2999)));
        let file = only_file(&folder);
        let meta = std::fs::metadata(&file).unwrap();
        assert!(meta.len() <= MAX_FILE + 1024);
        assert_eq!(meta.permissions().mode() & 0o777, 0o600);
        for folder in [folder.as_path(), crate::fs::parent(&file)] {
            assert_eq!(std::fs::metadata(folder).unwrap().permissions().mode() & 0o777, 0o700);
        }
        record.note(State::Session { url: "x".repeat(MAX_URL + 1), offset: 1, chunk: 1 });
        assert_eq!(record.state(), Some(session(2999)), "an endless URL is not noted");
    }

    #[test]
    fn what_was_half_written_or_is_of_another_blob_says_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let digest = Digest::of(b"x");
        let mut record = Record::open(dir.path(), "r/m", digest).unwrap();
        record.note(session(5));
        let file = only_file(dir.path());
        let whole = std::fs::read(&file).unwrap();
        for cut in 1..whole.len() {
            std::fs::write(&file, [&whole[..], &whole[..cut]].concat()).unwrap();
            assert_eq!(record.state(), Some(session(5)), "{cut}");
            std::fs::write(&file, &whole[..cut]).unwrap();
            assert_eq!(record.state(), None, "{cut}");
        }
        drop(record);
        std::fs::write(&file, &whole[..whole.len() / 2]).unwrap();
        let mut record = Record::open(dir.path(), "r/m", digest).unwrap();
        record.note(session(6));
        assert_eq!(record.state(), Some(session(6)), "what is written after half a line is whole");
        let text = String::from_utf8(whole).unwrap();
        for other in [
            text.replace("r/m", "r/n"),
            text.replace("\"version\":1", "\"version\":2"),
            text.replace(digest.hex().as_str(), Digest::of(b"y").hex().as_str()),
            text.replace("\"offset\":5", "\"offset\":-5"),
            text.replace("session", "elsewhere"),
            "\n\n".to_owned(),
            "[]\n".to_owned(),
        ] {
            std::fs::write(&file, &other).unwrap();
            assert_eq!(record.state(), None, "{other}");
        }
    }

    #[test]
    fn a_link_in_its_place_is_not_written_through() {
        let dir = tempfile::tempdir().unwrap();
        let digest = Digest::of(b"x");
        drop(Record::open(dir.path(), "r/m", digest).unwrap());
        let file = only_file(dir.path());
        std::fs::remove_file(&file).unwrap();
        let victim = dir.path().join("victim");
        std::os::unix::fs::symlink(&victim, &file).unwrap();
        assert!(Record::open(dir.path(), "r/m", digest).is_none());
        assert!(!victim.exists());
    }

    #[test]
    fn the_oldest_make_room() {
        let dir = tempfile::tempdir().unwrap();
        for i in 0..MAX_ENTRIES {
            std::fs::write(dir.path().join(format!("{i}")), "").unwrap();
        }
        prune(dir.path(), |p| std::fs::remove_file(p).is_ok());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), MAX_ENTRIES - MAX_ENTRIES / 4);
        prune(dir.path(), |p| std::fs::remove_file(p).is_ok());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), MAX_ENTRIES - MAX_ENTRIES / 4);
    }

    #[test]
    fn a_folder_that_cannot_be_is_no_journal() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        std::fs::write(&file, "").unwrap();
        assert!(Record::open(&file, "r/m", Digest::of(b"x")).is_none());
    }
}
