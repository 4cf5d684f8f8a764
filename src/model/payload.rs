//! The payload: which files and folders a definition selects, and the paths that they get.
//!
//! An entry is a path or a pattern relative to the definition's folder. It is not the tree: folders
//! are not walked here, and nothing is opened.
//!
//! **Paths in the image.** An entry keeps its path as written ([`Naming::Verbatim`]), as Hydrosphere
//! 3.x had it: `model/src/` lies in `/model/files/model/src`. Clients up to 2.x kept the last
//! component only: there the same entry lay in `/model/files/src`, which is where the Python
//! runtimes look for `func_main.py`. A file does not tell which of the two its author had in mind,
//! and a rule that follows the runtime would give one definition two trees. So it is one rule for
//! all, the newer, and [`Naming::Basename`] for who asks for the older; where the older was likely
//! meant, a warning says so.
//!
//! **Patterns.** An entry that exists as written is no pattern. In others `*`, `?` and `[…]` match
//! within one component, `**` any number of folders; hidden names only where the pattern's component
//! begins with a dot, as in a shell. What a pattern matches goes through the ignore rules; what is
//! written out does not, for the author has named it.
//!
//! **Leaving the folder.** `~` and absolute paths are refused: they mean something else on the next
//! machine. `../x` would leave the image's folder too: it is refused under the newer rule, and taken
//! as `x` under the older.
//!
//! Invariants: a destination has no `.` and no `..`; matches are sorted by their bytes; no link on the
//! way to an entry leads out of the folder.

use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use globset::{GlobBuilder, GlobMatcher};

use super::definition::{Definition, Placed, Warning};
use super::tree::{Ignore, MAX_DEPTH, MAX_ENTRIES, Selected};
use crate::error::{At, Error, Kind, Result, show, show_bytes};
use crate::fs::path_from_bytes;

/// Which path an entry of the payload gets in the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Naming {
    /// The path as written.
    #[default]
    Verbatim,
    /// The last component, as clients up to 2.x had it.
    Basename,
}

/// What a payload selects.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Selection {
    /// Files and folders, for [`super::Tree::scan`].
    pub selected: Vec<Selected>,
    /// What patterns matched and the ignore rules left out, sorted.
    pub ignored: Vec<PathBuf>,
    /// What the author should know.
    pub warnings: Vec<Warning>,
}

/// Finds what a definition's payload selects below `root`, the definition's folder.
///
/// Without a payload it is the whole folder; that the definition itself is not packed with it is up
/// to the rules ([`super::ignore::Rules::leave_out`]). An entry that does not exist, and a pattern
/// that matches nothing, are errors.
pub fn select(
    definition: &Definition,
    root: &Path,
    naming: Naming,
    ignore: &Ignore<'_>,
) -> Result<Selection> {
    let mut out = Selection::default();
    let Some(payload) = &definition.payload else {
        out.selected.push(Selected { source: root.to_owned(), dest: Vec::new() });
        return Ok(out);
    };
    for entry in payload {
        let one = Entry { definition, root, naming, text: &entry.value, entry };
        one.select(ignore, &mut out)?;
    }
    out.ignored.sort();
    out.ignored.dedup();
    check_clashes(definition, &out.selected)?;
    Ok(out)
}

/// One entry of a payload.
struct Entry<'a> {
    definition: &'a Definition,
    root: &'a Path,
    naming: Naming,
    text: &'a str,
    entry: &'a Placed<String>,
}

/// An entry without `.` and inner `..`.
struct Clean<'a> {
    /// How many folders it climbs first.
    climbs: usize,
    parts: Vec<&'a str>,
}

impl<'a> Entry<'a> {
    fn error(&self, message: impl std::fmt::Display) -> Error {
        let text = show_bytes(self.text.as_bytes());
        self.definition.error(self.entry.place, format_args!("payload `{text}` {message}"))
    }

    fn select(&self, ignore: &Ignore<'_>, out: &mut Selection) -> Result<()> {
        let clean = self.clean()?;
        let mut source = self.root.to_owned();
        source.extend(std::iter::repeat_n("..", clean.climbs));
        let base = source.clone();
        source.extend(&clean.parts);
        let is_pattern = clean.parts.iter().any(|p| p.contains(['*', '?', '[']));
        match std::fs::symlink_metadata(&source) {
            Ok(meta) => {
                let folder = meta.is_dir() || meta.is_symlink() && source.is_dir();
                if self.text.ends_with('/') && !folder {
                    return Err(self.error("is a file").hint("write it without `/` at the end"));
                }
                let parts: Vec<&[u8]> = clean.parts.iter().map(|p| p.as_bytes()).collect();
                self.check_stays(&base, &source)?;
                self.note(&clean, folder, out);
                out.selected.push(Selected { source, dest: self.dest(clean.climbs, &parts)? });
                Ok(())
            }
            Err(e) if is_missing(&e) && is_pattern => self.pattern(&clean, &base, ignore, out),
            Err(e) if is_missing(&e) => Err(self.missing(&source)),
            Err(e) => Err(e).at("stat", &source),
        }
    }

    fn clean(&self) -> Result<Clean<'a>> {
        if self.text.starts_with('/') {
            return Err(self.error("is an absolute path").hint(
                "write it relative to the definition; what lies elsewhere is copied or linked into the model's folder",
            ));
        }
        if self.text == "~" || self.text.starts_with("~/") {
            return Err(self
                .error("begins with `~`, which is another folder for everybody")
                .hint("write it relative to the definition"));
        }
        let mut clean = Clean { climbs: 0, parts: Vec::new() };
        for part in self.text.split('/') {
            match part {
                "" | "." => {}
                ".." if clean.parts.pop().is_none() => clean.climbs += 1,
                ".." => {}
                other => clean.parts.push(other),
            }
        }
        if clean.climbs > 0 && self.naming == Naming::Verbatim {
            return Err(self.error("leaves the folder of the definition, and would leave the model's folder in the image")
                .hint("move it beside the definition; or pack each entry under its last name, as clients up to 2.x did, with `--payload-names basename`"));
        }
        if clean.climbs > 0 && clean.parts.is_empty() {
            return Err(self.error("is the folder above").hint("name what is needed from there"));
        }
        if clean.climbs + clean.parts.len() > MAX_DEPTH {
            return Err(self.error(format_args!("has more than {MAX_DEPTH} components")));
        }
        Ok(clean)
    }

    fn dest(&self, climbs: usize, parts: &[&[u8]]) -> Result<Vec<u8>> {
        match self.naming {
            Naming::Verbatim if climbs == 0 => Ok(parts.join(&b'/')),
            Naming::Verbatim => Err(self.error("leaves the folder of the definition")),
            Naming::Basename => Ok(parts.last().map_or_else(Vec::new, |p| p.to_vec())),
        }
    }

    /// The folders on the way to a file may be links, but only to what lies below `base`: the tree
    /// judges links that it meets, and would meet these no more.
    fn check_stays(&self, base: &Path, source: &Path) -> Result<()> {
        let folder = if source == base { source } else { source.parent().unwrap_or(base) };
        let real = std::fs::canonicalize(folder).at("resolve", folder)?;
        let base = std::fs::canonicalize(base).at("resolve", base)?;
        if real.starts_with(&base) {
            return Ok(());
        }
        let to = show(&real);
        Err(self
            .error(format_args!("goes through a link that leads out of the folder, to `{to}`"))
            .hint("name the link itself and pack it with `--follow-links`, or copy what is needed"))
    }

    /// The older rule is likely meant where a `src` folder would not be where runtimes look for it.
    fn note(&self, clean: &Clean<'_>, folder: bool, out: &mut Selection) {
        if self.naming == Naming::Verbatim
            && folder
            && clean.parts.len() > 1
            && clean.parts.last() == Some(&"src")
        {
            let path = clean.parts.join("/");
            let position = self.definition.position(self.entry.place);
            out.warnings.push(Warning {
                message: format!("{position}: the payload lies in `{}` in the image, not in `src`", show_bytes(path.as_bytes())),
                hint: Some(
                    "Hydrosphere's Python runtimes look for `src/func_main.py`; `--payload-names basename` packs each entry under its last name, as clients up to 2.x did"
                        .to_owned(),
                ),
            });
        }
    }

    fn missing(&self, source: &Path) -> Error {
        let e = self.error("does not exist");
        let folder = source.parent().unwrap_or(self.root);
        let Some(name) = source.file_name().and_then(|n| n.to_str()) else { return e };
        let near = names(folder, MAX_ENTRIES)
            .unwrap_or_default()
            .into_iter()
            .filter_map(|n| String::from_utf8(n).ok())
            .filter(|n| n.len() <= 255 && name.len() <= 255)
            .map(|n| (strsim::damerau_levenshtein(name, &n), n))
            .filter(|(distance, n)| *distance <= (n.chars().count() / 3).max(1))
            .min();
        match near {
            Some((_, n)) => e.hint(format!("did you mean `{}`?", show_bytes(n.as_bytes()))),
            None if self.text.contains('$') => e.hint("variables are not expanded; write the path itself"),
            None => e.hint(format!("paths are relative to `{}`", show(self.root))),
        }
    }

    fn pattern(
        &self,
        clean: &Clean<'_>,
        base: &Path,
        ignore: &Ignore<'_>,
        out: &mut Selection,
    ) -> Result<()> {
        let steps = clean.parts.iter().map(|p| self.step(p)).collect::<Result<Vec<_>>>()?;
        let mut walk = Walk { matches: Vec::new(), ignored: Vec::new(), ignore, looked: 0 };
        walk.step(base, &mut Vec::new(), &steps)
            .map_err(|e| e.context(self.definition.position(self.entry.place)))?;
        let folders_only = self.text.ends_with('/');
        let mut matches = walk.matches;
        matches.retain(|(path, _)| !folders_only || path.is_dir());
        matches.sort_by(|a, b| a.1.cmp(&b.1));
        matches.dedup();
        if matches.is_empty() {
            let e = self.error("matches nothing");
            return Err(match walk.ignored.first() {
                Some(p) => e.hint(format!(
                    "what it matches is left out, such as `{}`; take it back in `.floeignore`",
                    show(p)
                )),
                None => e.hint(format!(
                    "patterns are relative to `{}`, and match hidden names only with a dot",
                    show(self.root)
                )),
            });
        }
        for (source, parts) in matches {
            self.check_stays(base, &source)?;
            let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
            out.selected.push(Selected { source, dest: self.dest(clean.climbs, &parts)? });
        }
        out.ignored.extend(walk.ignored);
        Ok(())
    }

    fn step(&self, part: &str) -> Result<Step> {
        if part == "**" {
            return Ok(Step::Deep);
        }
        if !part.contains(['*', '?', '[']) {
            return Ok(Step::Name(part.as_bytes().to_vec()));
        }
        // Braces mean nothing to the clients whose patterns these are.
        let escaped = part.replace('{', "[{]").replace('}', "[}]");
        let glob = GlobBuilder::new(&escaped).literal_separator(true).backslash_escape(false).build();
        let glob = glob.map_err(|e| self.error(format_args!("is not a pattern: {}", e.kind())))?;
        Ok(Step::Match { matcher: glob.compile_matcher(), hidden: part.starts_with('.') })
    }
}

/// One component of a pattern.
enum Step {
    Name(Vec<u8>),
    Match {
        matcher: GlobMatcher,
        hidden: bool,
    },
    /// `**`
    Deep,
}

struct Walk<'a> {
    /// On disk, and the components below the base.
    matches: Vec<(PathBuf, Vec<Vec<u8>>)>,
    ignored: Vec<PathBuf>,
    ignore: &'a Ignore<'a>,
    looked: usize,
}

impl Walk<'_> {
    fn step(&mut self, folder: &Path, parts: &mut Vec<Vec<u8>>, steps: &[Step]) -> Result<()> {
        let Some((first, rest)) = steps.split_first() else {
            self.matches.push((folder.to_owned(), parts.clone()));
            return Ok(());
        };
        if parts.len() > MAX_DEPTH {
            return Err(Error::new(
                Kind::Model,
                format!("`{}` is nested more than {MAX_DEPTH} folders deep", show(folder)),
            ));
        }
        match first {
            Step::Name(name) => {
                let path = folder.join(path_from_bytes(name));
                if path.symlink_metadata().is_ok() {
                    self.enter(&path, name.clone(), parts, rest)?;
                }
                Ok(())
            }
            Step::Match { matcher, hidden } => {
                for name in self.names(folder)? {
                    if (*hidden || !name.starts_with(b".")) && matcher.is_match(path_from_bytes(&name)) {
                        let path = folder.join(path_from_bytes(&name));
                        if self.is_kept(&path) {
                            self.enter(&path, name, parts, rest)?;
                        }
                    }
                }
                Ok(())
            }
            Step::Deep => {
                // As `*` at the end of a pattern, so that `**` alone selects what is there.
                if !rest.is_empty() {
                    self.step(folder, parts, rest)?;
                }
                for name in self.names(folder)? {
                    let path = folder.join(path_from_bytes(&name));
                    if name.starts_with(b".") || !self.is_kept(&path) {
                        continue;
                    }
                    if rest.is_empty() {
                        self.enter(&path, name, parts, rest)?;
                    } else if path.symlink_metadata().is_ok_and(|m| m.is_dir()) {
                        self.enter(&path, name, parts, steps)?;
                    }
                }
                Ok(())
            }
        }
    }

    fn enter(&mut self, path: &Path, name: Vec<u8>, parts: &mut Vec<Vec<u8>>, rest: &[Step]) -> Result<()> {
        parts.push(name);
        let done = if rest.is_empty() || path.is_dir() { self.step(path, parts, rest) } else { Ok(()) };
        parts.pop();
        done
    }

    fn is_kept(&mut self, path: &Path) -> bool {
        let out = (self.ignore)(path, path.is_dir());
        if out {
            self.ignored.push(path.to_owned());
        }
        !out
    }

    fn names(&mut self, folder: &Path) -> Result<Vec<Vec<u8>>> {
        let names = names(folder, MAX_ENTRIES.saturating_sub(self.looked))?;
        self.looked += names.len();
        Ok(names)
    }
}

/// The names in a folder, sorted.
fn names(folder: &Path, cap: usize) -> Result<Vec<Vec<u8>>> {
    let mut out = Vec::new();
    for item in std::fs::read_dir(folder).at("list", folder)? {
        if out.len() >= cap {
            return Err(Error::new(Kind::Model, format!("the pattern meets more than {MAX_ENTRIES} files")));
        }
        out.push(item.at("list", folder)?.file_name().into_vec());
    }
    out.sort();
    Ok(out)
}

fn is_missing(e: &std::io::Error) -> bool {
    matches!(e.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory)
}

/// Two entries may not fall together: the folders `a/src` and `b/src` would be mixed into one.
fn check_clashes(definition: &Definition, selected: &[Selected]) -> Result<()> {
    let mut sorted: Vec<&Selected> = selected.iter().collect();
    sorted.sort_by(|a, b| a.dest.cmp(&b.dest));
    for pair in sorted.windows(2) {
        let [a, b] = pair else { continue };
        let same = || {
            let real = |s: &Selected| std::fs::canonicalize(&s.source).unwrap_or_else(|_| s.source.clone());
            a.source == b.source || real(a) == real(b)
        };
        if a.dest == b.dest && !same() {
            return Err(Error::new(
                Kind::Model,
                format!(
                    "{}: `{}` and `{}` of the payload would both become `{}` in the image",
                    show_bytes(definition.file.as_bytes()),
                    show(&a.source),
                    show(&b.source),
                    show_bytes(&a.dest)
                ),
            )
            .hint("give them different names, or keep their whole paths with `--payload-names verbatim`"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStrExt;

    use super::*;
    use crate::model::Tree;
    use crate::model::definition;
    use crate::model::ignore::Rules;

    /// A folder `m` with a definition, and something beside it.
    fn folder() -> tempfile::TempDir {
        let d = tempfile::tempdir().unwrap();
        for dir in ["m/src/lib", "m/a/src", "m/data/.hidden", "m/wandb", "out"] {
            std::fs::create_dir_all(d.path().join(dir)).unwrap();
        }
        for file in [
            "m/serving.yaml",
            "m/src/func_main.py",
            "m/src/lib/x.py",
            "m/src/.env",
            "m/a/src/b.py",
            "m/model.h5",
            "m/key.pem",
            "m/data/1.csv",
            "m/data/2.csv",
            "m/data/.hidden/3.csv",
            "m/w[1].bin",
            "m/.dot",
            "out/req.txt",
        ] {
            std::fs::write(d.path().join(file), file).unwrap();
        }
        d
    }

    fn run(d: &Path, payload: &[&str], naming: Naming) -> Result<Selection> {
        let list: String = payload.iter().map(|p| format!("  - '{p}'\n")).collect();
        let text = format!("kind: Model\nname: x\npayload:\n{list}");
        let definition = definition::load(&text, "serving.yaml").unwrap().definitions.remove(0);
        let root = d.join("m");
        let rules = Rules::load(&root).unwrap().leave_out(&root.join("serving.yaml"));
        select(&definition, &root, naming, &|p, dir| rules.ignores(p, dir))
    }

    fn dests(d: &Path, payload: &[&str], naming: Naming) -> Vec<String> {
        let s = run(d, payload, naming).unwrap();
        s.selected.iter().map(|s| String::from_utf8_lossy(&s.dest).into_owned()).collect()
    }

    fn fails(d: &Path, payload: &[&str], naming: Naming) -> String {
        let e = run(d, payload, naming).unwrap_err();
        assert_eq!(e.kind(), Kind::Model);
        format!("{e} | {}", e.hint_text().unwrap_or("-"))
    }

    #[test]
    fn paths_are_kept_as_written() {
        let d = folder();
        let v = Naming::Verbatim;
        let all = ["src/", "./model.h5", "a/src", "a/../data/1.csv", "key.pem", "w[1].bin", ".dot"];
        let dest = ["src", "model.h5", "a/src", "data/1.csv", "key.pem", "w[1].bin", ".dot"];
        assert_eq!(dests(d.path(), &all, v), dest);
        assert_eq!(dests(d.path(), &["./"], v), [""]);
    }

    #[test]
    fn the_older_rule_keeps_last_names() {
        let d = folder();
        let b = Naming::Basename;
        assert_eq!(
            dests(d.path(), &["a/src/", "../out/req.txt", "data/*"], b),
            ["src", "req.txt", "1.csv", "2.csv"]
        );
        assert!(fails(d.path(), &["a/src/", "src/"], b).contains("would both become `src` in the image"));
        assert_eq!(dests(d.path(), &["src", "./src/"], b), ["src", "src"]);
        assert!(fails(d.path(), &[".."], b).contains("is the folder above"));
    }

    #[test]
    fn a_folder_called_src_elsewhere_is_worth_a_warning() {
        let d = folder();
        let w = run(d.path(), &["a/src/"], Naming::Verbatim).unwrap().warnings;
        assert_eq!(w.len(), 1);
        assert_eq!(w[0].message, "serving.yaml:4:5: the payload lies in `a/src` in the image, not in `src`");
        assert!(run(d.path(), &["src/"], Naming::Verbatim).unwrap().warnings.is_empty());
        assert!(run(d.path(), &["a/src/"], Naming::Basename).unwrap().warnings.is_empty());
    }

    #[test]
    fn patterns_match_as_in_a_shell_and_heed_the_rules() {
        let d = folder();
        let v = Naming::Verbatim;
        assert_eq!(dests(d.path(), &["./*"], v), ["a", "data", "model.h5", "src", "w[1].bin"]);
        assert_eq!(dests(d.path(), &["data/?.csv"], v), ["data/1.csv", "data/2.csv"]);
        assert_eq!(dests(d.path(), &["data/[!1].csv"], v), ["data/2.csv"]);
        assert_eq!(dests(d.path(), &["**/*.py"], v), ["a/src/b.py", "src/func_main.py", "src/lib/x.py"]);
        assert_eq!(dests(d.path(), &["*/"], v), ["a", "data", "src"]);
        assert_eq!(dests(d.path(), &[".d*"], v), [".dot"]);
        let s = run(d.path(), &["*"], v).unwrap();
        let ignored: Vec<_> = s.ignored.iter().map(|p| p.file_name().unwrap().to_str().unwrap()).collect();
        assert_eq!(ignored, ["key.pem", "serving.yaml", "wandb"]);
    }

    #[test]
    fn what_is_missing_is_named_with_its_place() {
        let d = folder();
        let v = Naming::Verbatim;
        assert_eq!(
            fails(d.path(), &["src/", "modle.h5"], v),
            "serving.yaml:5:5: payload `modle.h5` does not exist | did you mean `model.h5`?"
        );
        assert!(fails(d.path(), &["no/such/file"], v).contains("paths are relative to"));
        assert!(fails(d.path(), &["model.h5/x"], v).contains("does not exist"));
        assert!(fails(d.path(), &["$HOME/x"], v).contains("variables are not expanded"));
        assert!(fails(d.path(), &["*.onnx"], v).contains("payload `*.onnx` matches nothing"));
        assert!(fails(d.path(), &["*.pem"], v).contains("take it back in `.floeignore`"));
        assert!(fails(d.path(), &["model.h5/"], v).contains("is a file"));
        assert!(fails(d.path(), &["data/[1"], v).contains("is not a pattern"));
    }

    #[test]
    fn what_leaves_the_folder_is_refused() {
        let d = folder();
        let v = Naming::Verbatim;
        let up = fails(d.path(), &["../out/req.txt"], v);
        assert!(up.contains("leaves the folder") && up.contains("--payload-names basename"), "{up}");
        assert!(fails(d.path(), &["src/../../out"], v).contains("leaves the folder"));
        for naming in [v, Naming::Basename] {
            assert!(fails(d.path(), &["/etc/passwd"], naming).contains("is an absolute path"));
            assert!(fails(d.path(), &["~/x"], naming).contains("begins with `~`"));
        }
        assert!(fails(d.path(), &[&"x/".repeat(100)], v).contains("more than 64 components"));
    }

    #[test]
    fn links_on_the_way_stay_in_the_folder() {
        use std::os::unix::fs::symlink;
        let d = folder();
        let m = d.path().join("m");
        symlink("../out", m.join("away")).unwrap();
        symlink("data", m.join("here")).unwrap();
        let v = Naming::Verbatim;
        for payload in ["away/req.txt", "away/*", "*/req.txt"] {
            assert!(
                fails(d.path(), &[payload], v).contains("goes through a link that leads out"),
                "{payload}"
            );
        }
        assert_eq!(dests(d.path(), &["here/*"], v), ["here/1.csv", "here/2.csv"]);
        // The link itself is the tree's to judge.
        assert_eq!(dests(d.path(), &["away"], v), ["away"]);
        symlink(&m, d.path().join("linked")).unwrap();
        let definition = definition::load("kind: Model\nname: x\npayload: [src/, '*.h5']\n", "f").unwrap();
        let s = select(&definition.definitions[0], &d.path().join("linked"), v, &|_, _| false).unwrap();
        assert_eq!(s.selected.len(), 2);
    }

    #[test]
    fn without_a_payload_it_is_the_folder_less_the_definition() {
        let d = folder();
        let root = d.path().join("m");
        let definition =
            definition::load("kind: Model\nname: x\n", "serving.yaml").unwrap().definitions.remove(0);
        let rules = Rules::load(&root).unwrap().leave_out(&root.join("serving.yaml"));
        let ignore = |p: &Path, dir| rules.ignores(p, dir);
        let s = select(&definition, &root, Naming::Verbatim, &ignore).unwrap();
        let t = Tree::scan(&s.selected, &ignore, false).unwrap();
        assert!(t.get(b"serving.yaml").is_none() && t.get(b"src/func_main.py").is_some());
        assert!(t.get(b"src/.env").is_none() && t.get(b"key.pem").is_none() && t.get(b".dot").is_some());
    }

    #[test]
    fn names_that_are_not_utf8_are_matched_too() {
        let d = folder();
        std::fs::write(d.path().join("m").join(path_from_bytes(b"\xff.bin")), "x").unwrap();
        let s = run(d.path(), &["*.bin"], Naming::Verbatim).unwrap();
        assert_eq!(s.selected[1].dest, b"\xff.bin");
        assert_eq!(s.selected[1].source.file_name().unwrap().as_bytes(), b"\xff.bin");
    }
}
