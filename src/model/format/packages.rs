//! The packages that a model asks for, from the files in which Python projects list them.
//!
//! `requirements.txt` (pip's requirements file format), `pyproject.toml` (PEP 621, Poetry's table),
//! `conda.yaml`, `environment.yml` and MLflow's `python_env.yaml`, each as its tool reads it, as far
//! as that goes without a network. It is not a resolver: what is told stands in the file.
//!
//! Invariants: nothing is looked up or installed; a file that a list includes is read once, inside
//! the tree, and names and passwords in addresses are not told.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::error::Result;
use crate::model::format::{join, yaml};
use crate::model::tree::{EntryKind, Tree, folder_of, join_lexically};

/// The largest list that is read, in bytes.
const MAX_BYTES: u64 = 1 << 20;
/// The most packages that are told.
const MAX_PACKAGES: usize = 5_000;
/// The most lists that include each other.
const MAX_INCLUDED: usize = 16;
/// The longest requirement, in bytes.
const MAX_REQUIREMENT: usize = 2_000;

/// The packages that the first list names which one of the folders has.
pub(super) fn find(tree: &Tree, folders: &[&[u8]]) -> Option<Vec<String>> {
    folders.iter().find_map(|folder| in_folder(tree, folder))
}

fn in_folder(tree: &Tree, folder: &[u8]) -> Option<Vec<String>> {
    let read = |name: &str| bytes(tree, &join(folder, name.as_bytes())).ok().flatten();
    if read("requirements.txt").is_some() {
        let mut list = List::default();
        list.requirements(tree, &join(folder, b"requirements.txt"));
        return Some(list.found);
    }
    if let Some(bytes) = read("pyproject.toml")
        && let Some(found) = pyproject(&String::from_utf8_lossy(&bytes))
    {
        return Some(found);
    }
    for name in [
        "conda.yaml",
        "conda.yml",
        "environment.yml",
        "environment.yaml",
        "conda_env.yaml",
        "python_env.yaml",
    ] {
        let Some(bytes) = read(name) else { continue };
        let Ok(value) = yaml::parse(&bytes) else { continue };
        let Some(dependencies) = value.get("dependencies").and_then(Value::as_array) else { continue };
        let mut list = List::default();
        for entry in dependencies {
            match entry {
                Value::String(s) if name == "python_env.yaml" => list.line(tree, folder, s),
                Value::String(s) => list.add(s),
                Value::Object(map) => {
                    for line in map.get("pip").and_then(Value::as_array).into_iter().flatten() {
                        if let Value::String(line) = line {
                            list.line(tree, folder, line);
                        }
                    }
                }
                _ => {}
            }
        }
        return Some(list.found);
    }
    None
}

/// The content of a file, where it is one and not too large.
fn bytes(tree: &Tree, path: &[u8]) -> Result<Option<Vec<u8>>> {
    let small = tree.get(path).is_some_and(
        |e| matches!(&e.kind, EntryKind::File { stamp, .. } if stamp.size > 0 && stamp.size <= MAX_BYTES),
    );
    if small { tree.open(path)?.read_all(MAX_BYTES).map(Some) } else { Ok(None) }
}

/// Requirements in the order in which they were met.
#[derive(Default)]
struct List {
    found: Vec<String>,
    met: BTreeSet<String>,
    included: BTreeSet<Vec<u8>>,
}

impl List {
    fn add(&mut self, requirement: &str) {
        let text = without_secrets(requirement.trim());
        if !text.is_empty()
            && text.len() <= MAX_REQUIREMENT
            && self.found.len() < MAX_PACKAGES
            && self.met.insert(text.clone())
        {
            self.found.push(text);
        }
    }

    /// A requirements file, with what it includes.
    fn requirements(&mut self, tree: &Tree, path: &[u8]) {
        if self.included.len() >= MAX_INCLUDED || !self.included.insert(path.to_vec()) {
            return;
        }
        let Ok(Some(bytes)) = bytes(tree, path) else { return };
        let text = text_of(&bytes);
        let mut logical = String::new();
        for line in text.lines() {
            // A comment ends a line that a backslash continues, as pip has it.
            let comment = line.trim_start().starts_with('#');
            if let Some(part) = line.strip_suffix('\\').filter(|_| !comment) {
                logical.push_str(part);
                continue;
            }
            if comment && logical.is_empty() {
                continue;
            }
            if comment {
                logical.push(' ');
            }
            logical.push_str(line);
            self.line(tree, folder_of(path), &std::mem::take(&mut logical));
        }
        self.line(tree, folder_of(path), &logical);
    }

    /// One logical line of a requirements file.
    fn line(&mut self, tree: &Tree, folder: &[u8], line: &str) {
        // A `#` is a comment at the beginning and after a space.
        let mut end = line.len();
        let mut before = ' ';
        for (at, c) in line.char_indices() {
            if c == '#' && before.is_whitespace() {
                end = at;
                break;
            }
            before = c;
        }
        let line = line[..end].trim();
        let option = |names: [&str; 2]| {
            names.iter().find_map(|n| {
                let rest = line.strip_prefix(n)?;
                let rest = rest.strip_prefix('=').or_else(|| {
                    (rest.starts_with(char::is_whitespace) || (n.len() == 2 && !rest.is_empty()))
                        .then_some(rest)
                })?;
                Some(rest.trim())
            })
        };
        if let Some(file) = option(["--requirement", "-r"]) {
            if let Some(path) = join_lexically(folder, file.as_bytes()) {
                self.requirements(tree, &path);
            }
        } else if let Some(place) = option(["--editable", "-e"]) {
            self.add(&format!("-e {place}"));
        } else if !line.starts_with('-') {
            // Options of one requirement: hashes, settings of its build.
            self.add(line.split(" --").next().unwrap_or_default());
        }
    }
}

/// Requirements files are UTF-8, or UTF-16 with its mark, as Windows' shell writes them.
fn text_of(bytes: &[u8]) -> String {
    let wide = |from: fn([u8; 2]) -> u16| {
        let units: Vec<u16> = bytes[2..].chunks_exact(2).map(|c| from([c[0], c[1]])).collect();
        String::from_utf16_lossy(&units)
    };
    match bytes {
        [0xff, 0xfe, ..] => wide(u16::from_le_bytes),
        [0xfe, 0xff, ..] => wide(u16::from_be_bytes),
        _ => String::from_utf8_lossy(bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes)).into_owned(),
    }
}

/// An address without the name and the password in it.
fn without_secrets(text: &str) -> String {
    let Some((before, after)) = text.split_once("://") else { return text.to_owned() };
    let host = after.find(['/', '?', '#', ' ']).unwrap_or(after.len());
    match after[..host].rfind('@') {
        // `git@host` is no secret.
        Some(at) if after[..at].contains(':') || !before.contains("ssh") => {
            format!("{before}://{}", &after[at + 1..])
        }
        _ => text.to_owned(),
    }
}

/// The dependencies of a `pyproject.toml`: a list under `[project]`, or Poetry's table.
fn pyproject(text: &str) -> Option<Vec<String>> {
    let mut list = List::default();
    let mut told = false;
    let mut table = String::new();
    let mut rest = text;
    while !rest.is_empty() {
        let (line, after) = rest.split_once('\n').unwrap_or((rest, ""));
        let trimmed = line.trim();
        if let Some(name) = trimmed.strip_prefix('[').and_then(|l| l.split(']').next()) {
            table = name.split_whitespace().collect();
            rest = after;
            continue;
        }
        let entry = trimmed.split_once('=').map(|(key, value)| (key.trim().trim_matches(['"', '\'']), value));
        match (table.as_str(), entry) {
            ("project", Some(("dependencies", _))) => {
                let from = rest.find('=').map_or(rest.len(), |at| at + 1);
                let (values, used) = strings(&rest[from..])?;
                values.iter().for_each(|v| list.add(v));
                told = true;
                rest = &rest[from + used..];
                continue;
            }
            ("tool.poetry.dependencies", Some((name, value))) if name != "python" => {
                let version = strings(&format!("[{}]", value.split('#').next().unwrap_or_default().trim()))
                    .and_then(|(v, _)| v.into_iter().next());
                match version.as_deref() {
                    Some("*") | None => list.add(name),
                    Some(version) => list.add(&format!("{name} {version}")),
                }
                told = true;
            }
            _ => {}
        }
        rest = after;
    }
    told.then_some(list.found)
}

/// The strings of a TOML array, and how many bytes it takes; `None` for anything else in it.
fn strings(text: &str) -> Option<(Vec<String>, usize)> {
    let bytes = text.as_bytes();
    let mut at = text.len() - text.trim_start().len();
    if bytes.get(at) != Some(&b'[') {
        return None;
    }
    at += 1;
    let mut out = Vec::new();
    while let Some(c) = bytes.get(at) {
        match c {
            b']' => return Some((out, at + 1)),
            b' ' | b'\t' | b'\r' | b'\n' | b',' => at += 1,
            b'#' => at += text[at..].find('\n')?,
            quote @ (b'"' | b'\'') => {
                let mut value = String::new();
                let mut chars = text[at + 1..].char_indices();
                loop {
                    let (i, c) = chars.next()?;
                    match c {
                        '\n' => return None,
                        '\\' if *quote == b'"' => value.push(match chars.next()?.1 {
                            c @ ('"' | '\\') => c,
                            _ => return None,
                        }),
                        c if c == char::from(*quote) => {
                            at += 1 + i + 1;
                            break;
                        }
                        c => value.push(c),
                    }
                }
                if out.len() < MAX_PACKAGES {
                    out.push(value);
                }
            }
            _ => return None,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::tree::Selected;

    fn packages(files: &[(&str, &str)]) -> Option<Vec<String>> {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = dir.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let all = [Selected { source: dir.path().to_owned(), dest: Vec::new() }];
        find(&Tree::scan(&all, &|_, _| false, false).unwrap(), &[b"sub", b""])
    }

    #[test]
    fn c49_requirements_are_read_as_pip_does() {
        let text = "# all\nnumpy==1.0 # why\n\nscikit-learn>=0.2, \\\n  <1 ; python_version < '3'\n-r more/other.txt\n--index-url https://u:p@x/y\n-c constraints.txt\nurl#egg @ https://me:secret@host/x.whl#sha256=0 --hash=sha256:1\n-e ./here\n";
        assert_eq!(
            packages(&[
                ("requirements.txt", text),
                ("more/other.txt", "pandas\n-r ../requirements.txt\n-r ../../../etc/passwd\nnumpy==1.0\n")
            ])
            .unwrap(),
            [
                "numpy==1.0",
                "scikit-learn>=0.2,   <1 ; python_version < '3'",
                "pandas",
                "url#egg @ https://host/x.whl#sha256=0",
                "-e ./here"
            ]
        );
        let wide: Vec<u8> = "a==1\r\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert_eq!(text_of(&[b"\xff\xfe", &wide[..]].concat()), "a==1\r\n");
    }

    #[test]
    fn c49_projects_and_environments_are_read_too() {
        assert_eq!(
            packages(&[("sub/pyproject.toml", "[project]\nname = 'x'\ndependencies = [\n  \"a>=1\", # one\n  'b[c]; os == \"x\"',\n]\n[tool.x]\ndependencies = ['no']\n")]).unwrap(),
            ["a>=1", "b[c]; os == \"x\""]
        );
        assert_eq!(
            packages(&[("pyproject.toml", "[tool.poetry.dependencies]\npython = '^3.8'\na = \"^1.2\" # x\nb = {version = '1', extras = ['x']}\nc = '*'\n")]).unwrap(),
            ["a ^1.2", "b", "c"]
        );
        assert_eq!(packages(&[("pyproject.toml", "[build-system]\nrequires = ['x']\n")]), None);
        assert_eq!(
            packages(&[
                (
                    "conda.yaml",
                    "name: x\ndependencies:\n- python=3.8\n- pip<=2\n- pip:\n  - a==1\n  - -r r.txt\n"
                ),
                ("r.txt", "b\n")
            ])
            .unwrap(),
            ["python=3.8", "pip<=2", "a==1", "b"]
        );
        assert_eq!(packages(&[("a.txt", "x")]), None);
    }

    #[test]
    fn hostile_lists_end() {
        let good =
            "[project]\ndependencies = [\n 'a', \"b\\\"\", # x\n]\n[tool.poetry.dependencies]\nx = 'é'\n";
        for at in (0..good.len()).filter(|at| good.is_char_boundary(*at)) {
            pyproject(&good[..at]);
        }
        // Each is looked for among those that are there.
        let same: String =
            (0..4_999).map(|n| format!("a{n}\n")).chain((0..100_000).map(|_| "a4998\n".to_owned())).collect();
        assert_eq!(packages(&[("requirements.txt", &same)]).unwrap().len(), 4_999);
        let loops = packages(&[("requirements.txt", "-r requirements.txt\n-r\n-r \n-e\n--\n#\n\\\n\\")]);
        assert_eq!(loops.unwrap(), Vec::<String>::new());
    }
}
