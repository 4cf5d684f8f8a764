//! What is kept out of the tree: a list of defaults, and `.floeignore` in the model's folder.
//!
//! The syntax of `.floeignore` is that of `.gitignore`: the last pattern that matches counts, `!`
//! takes back, `/` in front binds to the model's folder, `/` at the end means folders only. As
//! there, nothing inside a folder that is left out can be taken back; take back the folder. The
//! defaults come first, so that `!*.pem` brings certificates back.
//!
//! It is not a scan for secrets: that looks into files ([`super::secrets`]); here only names count.
//! It does not decide about what the author names in the payload: who lists `server.pem` gets it.
//!
//! Invariant: only the part of a path below the model's folder is matched. A model that lies inside
//! `mlruns/` is not left out because of where it lies.

use std::path::{Path, PathBuf};

use ::ignore::Match;
use ::ignore::gitignore::{Gitignore, GitignoreBuilder, Glob};

use crate::error::{Error, Kind, Result, show, show_bytes};

/// Name of the file with the author's patterns.
pub const FILE_NAME: &str = ".floeignore";
/// The largest such file, in bytes.
const MAX_BYTES: u64 = 256 * 1024;
/// The most patterns in it.
const MAX_PATTERNS: usize = 4096;

const SECRET: &str = "holds secrets";
const KEY: &str = "is a private key";
const HISTORY: &str = "is version control's own";
const CACHE: &str = "is made anew when needed";
const EXPERIMENT: &str = "is the record of experiments, not the model";
const DESKTOP: &str = "is left behind by a desktop or an editor";
const OURS: &str = "is the build's own";

/// What is left out unless `.floeignore` takes it back: a pattern, and why.
///
/// Key files are matched by their usual full names, not by `id_*`: a vocabulary called `id_map.json`
/// must not vanish. Public keys (`id_rsa.pub`) stay.
pub const DEFAULTS: &[(&str, &str)] = &[
    (".env*", SECRET),
    (".netrc", SECRET),
    ("_netrc", SECRET),
    (".pypirc", SECRET),
    (".npmrc", SECRET),
    (".pgpass", SECRET),
    (".htpasswd", SECRET),
    (".git-credentials", SECRET),
    (".boto", SECRET),
    (".s3cfg", SECRET),
    ("kaggle.json", SECRET),
    ("application_default_credentials.json", SECRET),
    (".aws/", SECRET),
    (".azure/", SECRET),
    (".gcloud/", SECRET),
    ("**/.config/gcloud/", SECRET),
    (".kube/", SECRET),
    (".docker/", SECRET),
    (".ssh/", SECRET),
    (".gnupg/", SECRET),
    (".huggingface/", SECRET),
    ("*.pem", KEY),
    ("*.p12", KEY),
    ("*.pfx", KEY),
    ("*.ppk", KEY),
    ("id_rsa", KEY),
    ("id_dsa", KEY),
    ("id_ecdsa", KEY),
    ("id_ecdsa_sk", KEY),
    ("id_ed25519", KEY),
    ("id_ed25519_sk", KEY),
    (".git", HISTORY),
    (".hg/", HISTORY),
    (".svn/", HISTORY),
    (".dvc/", HISTORY),
    ("__pycache__/", CACHE),
    (".ipynb_checkpoints/", CACHE),
    (".pytest_cache/", CACHE),
    (".mypy_cache/", CACHE),
    (".ruff_cache/", CACHE),
    (".venv/", CACHE),
    ("**/.cache/huggingface/", CACHE),
    ("wandb/", EXPERIMENT),
    ("mlruns/", EXPERIMENT),
    (".DS_Store", DESKTOP),
    ("._*", DESKTOP),
    ("Thumbs.db", DESKTOP),
    ("desktop.ini", DESKTOP),
    (".idea/", DESKTOP),
    (".vscode/", DESKTOP),
    ("*.swp", DESKTOP),
    (".hs/", OURS),
    (".floeignore", OURS),
    (".floe-tmp-*", OURS),
];

/// The rules for one model folder.
#[derive(Debug)]
pub struct Rules {
    root: PathBuf,
    /// The folder without links, which is how the tree walks it when it is itself a link.
    real: PathBuf,
    matcher: Gitignore,
    /// Single files that are left out whatever the patterns say.
    single: Vec<PathBuf>,
}

impl Rules {
    /// The defaults, and the patterns of `.floeignore` in `root` where there is one.
    ///
    /// A pattern that cannot be read is an error that names its line.
    pub fn load(root: &Path) -> Result<Self> {
        let file = root.join(FILE_NAME);
        let text = match std::fs::symlink_metadata(&file) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            _ => {
                crate::fs::check_inside(&file, root)?;
                crate::fs::read_capped(&file, MAX_BYTES)?
            }
        };
        // Paths are made relative here, because `Gitignore` strips prefixes of text, not of paths.
        let mut builder = GitignoreBuilder::new(".");
        for (pattern, _) in DEFAULTS {
            builder.add_line(None, pattern).map_err(|e| {
                Error::new(Kind::Bug, format!("the default pattern `{pattern}` cannot be read: {e}"))
            })?;
        }
        let bad = |line: usize, why: String| {
            Error::new(Kind::Model, format!("{}:{line}: {why}", show(&file)))
                .hint("the syntax is that of `.gitignore`")
        };
        let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&text);
        for (n, line) in text.split(|b| *b == b'\n').enumerate() {
            if n >= MAX_PATTERNS {
                return Err(bad(n + 1, format!("more than {MAX_PATTERNS} lines")));
            }
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            let line =
                std::str::from_utf8(line).map_err(|_| bad(n + 1, "the line is not UTF-8".to_owned()))?;
            builder.add_line(Some(file.clone()), line).map_err(|e| {
                bad(n + 1, format!("`{}` is not a pattern: {}", show_bytes(line.as_bytes()), reason(&e)))
            })?;
        }
        let matcher = builder.build().map_err(|e| {
            Error::new(Kind::Model, format!("the patterns of `{}` are too large: {e}", show(&file)))
        })?;
        let real = std::fs::canonicalize(root).unwrap_or_else(|_| root.to_owned());
        Ok(Self { root: root.to_owned(), real, matcher, single: Vec::new() })
    }

    /// Leaves one file out as well, such as the definition.
    #[must_use]
    pub fn leave_out(mut self, file: &Path) -> Self {
        self.single.push(std::fs::canonicalize(file).unwrap_or_else(|_| file.to_owned()));
        self
    }

    /// Whether a path on disk is left out; fits [`super::tree::Ignore`].
    ///
    /// Only the path itself is judged: folders above it were asked before.
    pub fn ignores(&self, path: &Path, is_dir: bool) -> bool {
        self.is_single(path) || matches!(self.matched(path, is_dir), Match::Ignore(_))
    }

    /// Why a path on disk is left out, for people; `None` where it is not.
    pub fn why(&self, path: &Path, is_dir: bool) -> Option<String> {
        if self.is_single(path) {
            return Some(OURS.to_owned());
        }
        let Match::Ignore(glob) = self.matched(path, is_dir) else { return None };
        if glob.from().is_some() {
            return Some(format!("`{}` in {FILE_NAME}", show_bytes(glob.original().as_bytes())));
        }
        let why = DEFAULTS.iter().find(|(pattern, _)| *pattern == glob.original()).map(|(_, why)| *why);
        why.map(|why| format!("{why} (`{}`)", glob.original()))
    }

    fn matched(&self, path: &Path, is_dir: bool) -> Match<&Glob> {
        let below = path.strip_prefix(&self.root).or_else(|_| path.strip_prefix(&self.real));
        // What lies elsewhere (a payload of `../x`) is judged by its own name.
        let relative = match below {
            Ok(p) => p,
            Err(_) => Path::new(path.file_name().unwrap_or_default()),
        };
        if relative.as_os_str().is_empty() {
            return Match::None;
        }
        self.matcher.matched(relative, is_dir)
    }

    fn is_single(&self, path: &Path) -> bool {
        self.single.iter().any(|s| {
            s.file_name() == path.file_name()
                && (s == path || std::fs::canonicalize(path).is_ok_and(|p| p == *s))
        })
    }
}

/// What is wrong with a pattern, without the pattern itself.
fn reason(e: &::ignore::Error) -> String {
    match e {
        ::ignore::Error::Glob { err, .. } => err.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::tree::{Selected, Tree};

    fn rules(text: &str) -> (tempfile::TempDir, Rules) {
        let d = tempfile::tempdir().unwrap();
        if !text.is_empty() {
            std::fs::write(d.path().join(FILE_NAME), text).unwrap();
        }
        let r = Rules::load(d.path()).unwrap();
        (d, r)
    }

    #[test]
    fn every_default_matches_something_and_says_why() {
        let (d, r) = rules("");
        for (pattern, why) in DEFAULTS {
            let dir = pattern.ends_with('/');
            let name = pattern.trim_end_matches('/').replace("**/", "sub/").replace('*', "x");
            let path = d.path().join(name);
            assert!(r.ignores(&path, dir), "{pattern}");
            assert_eq!(r.why(&path, dir), Some(format!("{why} (`{pattern}`)")));
        }
    }

    #[test]
    fn what_looks_alike_stays() {
        let (d, r) = rules("");
        for name in [
            "id_map.json",
            "id_rsa.pub",
            "environment.yml",
            "model.pt",
            "src/func_main.py",
            "wandb.json",
            ".hidden",
            "git",
            "pem",
            "saved_model.pb",
            "MLmodel",
            "conda.yaml",
            ".gitattributes",
            "docker/Dockerfile",
            "mlruns.txt",
        ] {
            assert!(!r.ignores(&d.path().join(name), false), "{name}");
            assert_eq!(r.why(&d.path().join(name), false), None);
        }
        assert!(!r.ignores(&d.path().join("wandb"), false), "a file is no folder");
        assert!(!r.ignores(d.path(), true), "the folder itself");
    }

    #[test]
    fn a_model_inside_mlruns_is_packed() {
        let d = tempfile::tempdir().unwrap();
        let model = d.path().join("mlruns/0/abc/artifacts/model");
        std::fs::create_dir_all(model.join("mlruns")).unwrap();
        std::fs::write(model.join("MLmodel"), "x").unwrap();
        let r = Rules::load(&model).unwrap();
        assert!(!r.ignores(&model.join("MLmodel"), false));
        assert!(!r.ignores(&model, true));
        assert!(r.ignores(&model.join("mlruns"), true));
    }

    #[test]
    fn the_authors_patterns_come_last() {
        let (d, r) = rules("# mine\r\n!*.pem\n*.ckpt\n/data\n!/data/keep\nlogs/\n\\#odd\nsub/*.txt\n");
        let p = |n: &str| d.path().join(n);
        assert!(!r.ignores(&p("ca.pem"), false));
        assert!(r.ignores(&p("a/b.ckpt"), false));
        assert!(r.ignores(&p("data"), true) && !r.ignores(&p("x/data"), true));
        assert!(r.ignores(&p("logs"), true) && !r.ignores(&p("logs"), false));
        assert!(r.ignores(&p("#odd"), false));
        assert!(r.ignores(&p("sub/a.txt"), false) && !r.ignores(&p("a.txt"), false));
        assert_eq!(r.why(&p("a.ckpt"), false).as_deref(), Some("`*.ckpt` in .floeignore"));
    }

    #[test]
    fn the_tree_leaves_out_what_the_rules_say() {
        let (d, r) = rules("*.log\n");
        for name in ["model.pt", "a.log", ".env", "serving.yaml"] {
            std::fs::write(d.path().join(name), "x").unwrap();
        }
        std::fs::create_dir_all(d.path().join("src/__pycache__")).unwrap();
        std::fs::write(d.path().join("src/__pycache__/a.pyc"), "x").unwrap();
        let r = r.leave_out(&d.path().join("serving.yaml"));
        // Through a link to the folder as well.
        let links = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(d.path(), links.path().join("m")).unwrap();
        for root in [d.path().to_owned(), links.path().join("m")] {
            let all = [Selected { source: root, dest: Vec::new() }];
            let t = Tree::scan(&all, &|p, dir| r.ignores(p, dir), false).unwrap();
            let paths: Vec<_> =
                t.entries().iter().map(|e| String::from_utf8_lossy(&e.path).into_owned()).collect();
            assert_eq!(paths, ["model.pt", "src"]);
            assert_eq!(t.ignored.len(), 5);
        }
    }

    #[test]
    fn a_bad_file_names_its_line() {
        let d = tempfile::tempdir().unwrap();
        let fails = |bytes: &[u8]| {
            std::fs::write(d.path().join(FILE_NAME), bytes).unwrap();
            Rules::load(d.path()).unwrap_err().to_string()
        };
        assert!(
            fails(b"ok\na{b\n").contains(".floeignore:2: `a{b` is not a pattern: "),
            "{}",
            fails(b"ok\na{b\n")
        );
        assert!(fails(b"ok\n\n\xff\n").contains(".floeignore:3: the line is not UTF-8"));
        assert!(fails(&b"x\n".repeat(MAX_PATTERNS + 1)).contains("more than 4096 lines"));
        assert!(fails(&vec![b'x'; 300_000]).contains("larger than"));
    }
}
