//! Which commit is checked out where a model lies, by the files that git keeps (gitrepository-layout(5)).
//!
//! No command is run: git's own would follow what a repository's configuration says. A commit says what was
//! checked out; whether a file was changed since then nobody is asked. Not here: what a CI system says of
//! its run, which counts more (`circumstances`).
//!
//! Invariant: what is not certain is `None`, and nothing of a file is shown but a hash.

use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use floe::fs::{path_from_bytes, read_capped};

/// The largest `HEAD`, `.git`, `commondir` or branch that is read.
const MAX_SMALL: u64 = 16 << 10;
/// The largest configuration that is read.
const MAX_CONFIG: u64 = 1 << 20;
/// The largest list of packed branches that is read: some 200,000 of them.
const MAX_PACKED: u64 = 16 << 20;
/// How many names may lead to each other.
const MAX_DEPTH: usize = 5;
/// Names that each work tree has for itself (gitrepository-layout(5), "refs").
const OWN_REFS: [&str; 3] = ["refs/bisect/", "refs/worktree/", "refs/rewritten/"];

/// The commit that is checked out in the work tree around a model.
pub(crate) fn commit(model: &Path) -> Option<String> {
    let real = std::fs::canonicalize(model).ok()?;
    let folder = if real.is_dir() { real.as_path() } else { real.parent()? };
    let device = folder.metadata().ok()?.dev();
    for place in folder.ancestors() {
        // Git does not look beyond a file system either.
        if place.metadata().ok()?.dev() != device {
            return None;
        }
        let mark = place.join(".git");
        match mark.symlink_metadata() {
            Err(e) if e.kind() == ErrorKind::NotFound => {}
            Err(_) => return None,
            Ok(_) => return Repository::of(&mark, place)?.head(),
        }
    }
    None
}

/// The folders of a repository.
struct Repository {
    /// Of this work tree: `HEAD` is here.
    own: PathBuf,
    /// Of all of its work trees: branches are here.
    common: PathBuf,
}

impl Repository {
    /// The repository that `.git` in a work tree is or names.
    fn of(mark: &Path, tree: &Path) -> Option<Self> {
        let own = if mark.is_dir() { mark.to_owned() } else { tree.join(path(&small(mark)?, b"gitdir: ")?) };
        let (common, linked) = match small(&own.join("commondir")) {
            Some(bytes) => (own.join(path(&bytes, b"")?), true),
            None => (own.clone(), false),
        };
        if !common.join("objects").is_dir() || !common.join("refs").is_dir() {
            return None;
        }
        let here = |path: &Path| std::fs::canonicalize(path).ok();
        if linked {
            // Both name each other, unless one of them was moved.
            let back = path(&small(&own.join("gitdir"))?, b"")?;
            return (here(&own.join(back))? == here(mark)?).then_some(Self { own, common });
        }
        for file in ["config", "config.worktree"] {
            let path = own.join(file);
            if !path.exists() {
                continue;
            }
            let core = Core::parse(&read_capped(&path, MAX_CONFIG).ok()?)?;
            let elsewhere = core.work_tree.is_some_and(|w| here(&own.join(w)).as_deref() != Some(tree));
            if core.bare || elsewhere {
                return None;
            }
        }
        Some(Self { own, common })
    }

    /// The commit that is checked out.
    fn head(&self) -> Option<String> {
        let file = self.own.join("HEAD");
        if file.symlink_metadata().ok()?.is_symlink() {
            return None;
        }
        self.follow(&small(&file)?, 0)
    }

    /// A commit, or the name of what has one.
    fn follow(&self, bytes: &[u8], depth: usize) -> Option<String> {
        let text = std::str::from_utf8(bytes).ok()?.trim_end();
        match text.strip_prefix("ref:") {
            None => hash(text),
            Some(name) if depth < MAX_DEPTH => self.reference(name.trim_start(), depth),
            Some(_) => None,
        }
    }

    fn reference(&self, name: &str, depth: usize) -> Option<String> {
        let plain = |part: &str| !part.is_empty() && !part.starts_with('.') && !part.contains(['\0', '\\']);
        let own = OWN_REFS.iter().any(|o| name.starts_with(o));
        if !name.starts_with("refs/") || own || !name.split('/').all(plain) {
            return None;
        }
        // Git packs a branch before it removes its file: whoever looks in this order misses none.
        let file = self.common.join(name);
        match file.symlink_metadata() {
            Ok(meta) if meta.is_file() => return self.follow(&small(&file)?, depth + 1),
            // Of other branches there may be a folder of that name, or nothing.
            Ok(meta) if meta.is_dir() => {}
            Ok(_) => return None,
            Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {}
            Err(_) => return None,
        }
        let packed = read_capped(&self.common.join("packed-refs"), MAX_PACKED).ok()?;
        let lines = packed.split(|b| *b == b'\n').filter_map(|line| std::str::from_utf8(line).ok());
        let (commit, _) = lines.filter_map(|l| l.split_once(' ')).find(|(_, n)| *n == name)?;
        hash(commit)
    }
}

/// What `[core]` says of where the files are.
#[derive(Debug, Default, PartialEq, Eq)]
struct Core {
    bare: bool,
    work_tree: Option<PathBuf>,
}

impl Core {
    /// Reads a configuration; `None` where it says it in a way that would have to be interpreted.
    fn parse(bytes: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?;
        let (mut core, mut inside) = (Self::default(), false);
        for line in text.lines().map(str::trim) {
            let line = match line.strip_prefix('[') {
                Some(rest) => {
                    let (section, rest) = rest.split_once(']')?;
                    inside = section.trim().eq_ignore_ascii_case("core");
                    rest.trim()
                }
                None => line,
            };
            if !inside || line.is_empty() || line.starts_with(['#', ';']) {
                continue;
            }
            let (key, value) = line.split_once('=').map_or((line, "true"), |(k, v)| (k.trim(), v.trim()));
            let clear = !value.contains(['"', '\\', '#', ';']);
            if key.eq_ignore_ascii_case("bare") {
                core.bare = !matches!(value.to_ascii_lowercase().as_str(), "false" | "no" | "off" | "0" | "");
            } else if key.eq_ignore_ascii_case("worktree") {
                core.work_tree = Some(PathBuf::from(clear.then_some(value)?));
            }
        }
        Some(core)
    }
}

/// A whole small file.
fn small(path: &Path) -> Option<Vec<u8>> {
    read_capped(path, MAX_SMALL).ok()
}

/// The path in a file of one line, behind what such a line begins with.
fn path(bytes: &[u8], prefix: &[u8]) -> Option<PathBuf> {
    let line = bytes.strip_prefix(prefix)?;
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    (!line.is_empty() && !line.contains(&b'\n') && !line.contains(&0)).then(|| path_from_bytes(line))
}

/// A commit: 40 hex digits, or 64 in repositories of SHA-256.
fn hash(text: &str) -> Option<String> {
    let hex = text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    let real = text.bytes().any(|b| b != b'0');
    (hex && real && matches!(text.len(), 40 | 64)).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "1111111111111111111111111111111111111111";
    const TWO: &str = "2222222222222222222222222222222222222222";

    struct Tree(tempfile::TempDir);

    impl Tree {
        /// A repository whose branch `main` has a commit, and a model in a folder of it.
        fn new() -> Self {
            let tree = Self(tempfile::tempdir().unwrap());
            tree.write(".git/HEAD", "ref: refs/heads/main\n");
            tree.write(".git/refs/heads/main", &format!("{ONE}\n"));
            tree.write(".git/objects/pack/x", "");
            tree.write(
                ".git/config",
                "[core]\n\trepositoryformatversion = 0\n\tbare = false\n[remote \"o\"]\n\turl = x\n",
            );
            tree.write("models/churn/m.onnx", "");
            tree
        }

        fn path(&self, name: &str) -> PathBuf {
            self.0.path().join(name)
        }

        fn write(&self, name: &str, text: &str) {
            let path = self.path(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }

        fn commit(&self) -> Option<String> {
            commit(&self.path("models/churn"))
        }
    }

    #[test]
    fn the_commit_of_the_branch_is_found_from_any_folder_and_from_a_file() {
        let tree = Tree::new();
        for place in ["", "models", "models/churn", "models/churn/m.onnx"] {
            assert_eq!(commit(&tree.path(place)).as_deref(), Some(ONE), "{place}");
        }
        // A branch that was packed, and one that moved since.
        let packed =
            format!("# pack-refs with: peeled fully-peeled sorted \n{TWO} refs/heads/main\n^{ONE}\n");
        tree.write(".git/packed-refs", &packed);
        assert_eq!(tree.commit().as_deref(), Some(ONE));
        std::fs::remove_file(tree.path(".git/refs/heads/main")).unwrap();
        assert_eq!(tree.commit().as_deref(), Some(TWO));
        // No branch, and a commit of SHA-256.
        for hash in [ONE.to_owned(), "a1".repeat(32)] {
            tree.write(".git/HEAD", &format!("{hash}\n"));
            assert_eq!(tree.commit(), Some(hash));
        }
        // Where a link leads, not where it lies.
        let elsewhere = tempfile::tempdir().unwrap();
        let link = elsewhere.path().join("model");
        std::os::unix::fs::symlink(tree.path("models/churn"), &link).unwrap();
        assert!(commit(&link).is_some());
        assert_eq!(commit(elsewhere.path()), None);
    }

    #[test]
    fn work_trees_and_submodules_have_a_file_in_place_of_the_folder() {
        let tree = Tree::new();
        // A linked work tree: a branch of its own, branches in the common folder.
        tree.write("linked/.git", &format!("gitdir: {}\n", tree.path(".git/worktrees/linked").display()));
        tree.write(".git/worktrees/linked/HEAD", "ref: refs/heads/two\n");
        tree.write(".git/worktrees/linked/commondir", "../..\n");
        let back = tree.path("linked/.git").display().to_string();
        tree.write(".git/worktrees/linked/gitdir", &back);
        tree.write(".git/refs/heads/two", TWO);
        tree.write("linked/model/x", "");
        assert_eq!(commit(&tree.path("linked/model")).as_deref(), Some(TWO));
        tree.write(".git/worktrees/linked/gitdir", "/elsewhere/.git\n");
        assert_eq!(commit(&tree.path("linked/model")), None, "one of the two was moved");
        // A submodule: a relative path, and a configuration that says where the files are.
        tree.write("sub/.git", "gitdir: ../.git/modules/sub\n");
        tree.write(".git/modules/sub/HEAD", TWO);
        tree.write(".git/modules/sub/refs/x", "");
        tree.write(".git/modules/sub/objects/x", "");
        tree.write(".git/modules/sub/config", "[core]\n\tworktree = ../../../sub\n");
        assert_eq!(commit(&tree.path("sub")).as_deref(), Some(TWO));
        tree.write(".git/modules/sub/config", "[core]\n\tworktree = ../../../models\n");
        assert_eq!(commit(&tree.path("sub")), None);
    }

    #[test]
    fn what_is_not_certain_is_not_said() {
        for (file, text) in [
            (".git/HEAD", "ref: refs/heads/unborn\n"),
            (".git/HEAD", "ref: refs/../../../etc/passwd\n"),
            (".git/HEAD", "ref: /etc/passwd\n"),
            (".git/HEAD", "ref: refs/heads/.invalid\n"),
            (".git/HEAD", "ref: refs/bisect/good\n"),
            (".git/HEAD", "ref: ref: refs/heads/main\n"),
            (".git/HEAD", "0000000000000000000000000000000000000000\n"),
            (".git/HEAD", "1111\n"),
            (".git/HEAD", "not a hash at all, but forty characters!\n"),
            (".git/HEAD", ""),
            (".git/refs/heads/main", "ref: refs/heads/main\n"),
            (".git/refs/heads/main", "garbage"),
            (".git/config", "[core]\n bare = true\n"),
            (".git/config", "[core]\n bare\n"),
            (".git/config", "[core] worktree = /elsewhere\n"),
            (".git/config", "[core]\n worktree = \"quoted\"\n"),
            (".git/config.worktree", "[core]\n worktree = /elsewhere\n"),
        ] {
            let tree = Tree::new();
            tree.write(file, text);
            assert_eq!(tree.commit(), None, "{file}: {text}");
        }
        for gone in [".git/HEAD", ".git/objects", ".git/refs"] {
            let tree = Tree::new();
            let path = tree.path(gone);
            if path.is_dir() { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) }.unwrap();
            assert_eq!(tree.commit(), None, "{gone}");
        }
        // The nearest one decides, whatever lies above.
        let tree = Tree::new();
        tree.write("models/.git", "nonsense");
        assert_eq!(tree.commit(), None);
        let nowhere = tempfile::tempdir().unwrap();
        assert_eq!(commit(nowhere.path()), None);
        assert_eq!(commit(&nowhere.path().join("none")), None);
    }

    #[test]
    fn what_blocks_or_never_ends_is_passed_over() {
        for file in [".git/HEAD", ".git/refs/heads/main", ".git/config"] {
            let tree = Tree::new();
            let path = tree.path(file);
            std::fs::remove_file(&path).unwrap();
            rustix::fs::mknodat(
                rustix::fs::CWD,
                &path,
                rustix::fs::FileType::Fifo,
                rustix::fs::Mode::from_raw_mode(0o600),
                0,
            )
            .unwrap();
            assert_eq!(tree.commit(), None, "{file}");
            std::fs::remove_file(&path).unwrap();
            std::os::unix::fs::symlink("/dev/zero", &path).unwrap();
            assert_eq!(tree.commit(), None, "{file}");
            std::fs::remove_file(&path).unwrap();
            std::fs::File::create(&path).unwrap().set_len(1 << 40).unwrap();
            assert_eq!(tree.commit(), None, "{file}");
        }
    }
}
