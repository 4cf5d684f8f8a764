//! What loading a pickle would do, judged by the names that it looks up.
//!
//! A pickle is a program, and its loader calls what it names. The names of a framework's own models
//! are known; another name is its author's code, which nobody has checked, or one that runs
//! programs. The judgement is about loading alone, and it is no proof that a pickle is harmless.
//!
//! Invariant: nothing passes for the package that it lies in. A package's modules also reach what
//! they import (`sklearn.utils.os.system`), so that only classes, which are told by their spelling
//! or by how they are used, and listed functions are a framework's own.

use std::collections::BTreeSet;

use crate::error::show_bytes;
use crate::model::format::{Reading, Severity};
use crate::model::pickle::machine::run;
use crate::model::pickle::names::{
    CODE, COMMON, DANGEROUS_MODULES, DANGEROUS_NAMES, DANGEROUS_ROOTS, FRAMEWORK_DANGERS, PLAIN_BUILTINS,
};
use crate::model::pickle::node::{Node, Pickle, Text};
use crate::model::pickle::stored::Stored;
use crate::model::pickle::told::{Limits, Note, Read, Use};
use crate::model::zip::{self, Archive};

/// The most findings about one pickle.
const MAX_FINDINGS: usize = 100;
/// The longest pickle inside another that is looked into.
const MAX_NESTED: u64 = 8 << 20;
/// The most pickles in a row that are looked into; the oldest `torch.save` writes five.
const IN_A_ROW: usize = 5;
/// What is read of a pickle inside another.
const NESTED: Limits = Limits { steps: 1 << 20, nodes: 1 << 18, bytes: 8 << 20, memory: 16 << 20 };

/// The names that one framework's pickles may have, besides plain data and numpy's.
#[derive(Clone, Copy, Debug)]
pub struct Allow {
    /// Packages whose classes are the framework's, and whose functions may be referred to: `sklearn`.
    pub packages: &'static [&'static str],
    /// Functions that may be called, as module and name. A module that ends with `*` stands for all
    /// that begin so, as does a name.
    pub calls: &'static [(&'static str, &'static str)],
}

/// What a name is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Fine,
    Unverified,
    Code,
    Danger,
}

/// Adds findings about what loading a pickle would do; `place` is its file, and entry in it.
///
/// [`Stored::verdict`] also looks at what follows the pickle and what lies inside.
pub fn verdict(read: &Read, allow: &Allow, place: &str, reading: &mut Reading) {
    let mut code = BTreeSet::new();
    let mut found = 0;
    for one in &read.uses {
        let name = format!("{}.{}", show_bytes(one.module.as_bytes()), show_bytes(one.name.as_bytes()));
        let what = judge(one, allow, &read.pickle);
        match what {
            Verdict::Fine => continue,
            Verdict::Code => {
                code.insert(name);
                continue;
            }
            Verdict::Unverified | Verdict::Danger => {}
        }
        found += 1;
        if found > MAX_FINDINGS {
            continue;
        }
        let place = format!("{place}: {name}");
        let does = if one.called { "calls" } else { "refers to" };
        if what == Verdict::Danger {
            reading.find(
                Severity::Error,
                "code-execution",
                place,
                format!("loading this pickle {does} `{name}`, which can run any code; do not load it"),
            );
        } else if one.module == "__main__" {
            reading.find(
                Severity::Warning,
                "unverified-code",
                place,
                format!(
                    "this pickle {does} `{name}`, which was defined in the script that saved it and is not in the file; it loads only where that code is defined again"
                ),
            );
        } else {
            reading.find(
                Severity::Warning,
                "unverified-code",
                place,
                format!(
                    "loading this pickle {does} `{name}`, which is no part of the framework; its code has to be there, and nobody checked it"
                ),
            );
        }
    }
    if found > MAX_FINDINGS {
        reading.warnings.push(format!(
            "`{place}` names {found} things that are no part of the framework; only the first {MAX_FINDINGS} are listed"
        ));
    }
    if !code.is_empty() {
        let names: Vec<_> = code.into_iter().collect();
        reading.find(
            Severity::Warning,
            "code-object",
            place,
            format!(
                "functions are stored in this pickle as code, which loading it makes and serving it runs (`{}`)",
                names.join("`, `")
            ),
        );
    }
    notes(read, place, reading);
}

fn notes(read: &Read, place: &str, reading: &mut Reading) {
    for note in read.notes.iter().take(MAX_FINDINGS) {
        match note {
            Note::Extension(number) => reading.find(
                Severity::Warning,
                "extension-registry",
                place,
                format!("this pickle names something by number {number} of `copyreg`'s extension registry, which only its author's programs know"),
            ),
            // What stored code is made by is told already.
            Note::ComputedCall(id) if read.pickle.class(*id).is_some_and(|(m, n)| listed(CODE, m, n)) => {}
            Note::ComputedCall(_) => reading.find(
                Severity::Warning,
                "unverified-code",
                place,
                "loading this pickle calls what another call gives, so that its name is not known",
            ),
            Note::Patched(id) => {
                let (module, name) = read.pickle.global(*id).unwrap_or(("", ""));
                let name = format!("{}.{}", show_bytes(module.as_bytes()), show_bytes(name.as_bytes()));
                reading.find(
                    Severity::Error,
                    "code-execution",
                    format!("{place}: {name}"),
                    format!("loading this pickle changes `{name}` for the whole program"),
                );
            }
            Note::SideFile(name) => reading.find(
                Severity::Warning,
                "side-file",
                place,
                format!(
                    "an array of this pickle lies in a file beside it, `{}`, as joblib before 0.10 wrote it; it was not read",
                    show_bytes(name.as_bytes())
                ),
            ),
            Note::Nested { .. } => {}
        }
    }
}

/// Whether a name is a danger, or would be with some arguments.
pub(super) fn may_be_danger(one: &Use) -> bool {
    // With a tree, it is its arguments that tell.
    let getattr = matches!(one.module.as_str(), "builtins" | "__builtin__") && one.name == "getattr";
    getattr || judge(one, &Allow::DATA, &Pickle::default()) == Verdict::Danger
}

/// What a name is, and what is done with it.
fn judge(one: &Use, allow: &Allow, tree: &Pickle) -> Verdict {
    let (module, name) = (one.module.as_str(), one.name.as_str());
    // A class that opens the file of its first argument; arrays are made of it by numpy's own function.
    if name == "memmap" && one.called && within(module, "numpy") {
        return Verdict::Danger;
    }
    if listed(COMMON, module, name) || listed(allow.calls, module, name) {
        return Verdict::Fine;
    }
    if name.starts_with('_') && DANGEROUS_NAMES.contains(&name) {
        return Verdict::Danger;
    }
    if listed(CODE, module, name) {
        return Verdict::Code;
    }
    if matches!(module, "builtins" | "__builtin__") {
        return builtin(one, tree);
    }
    // Where Python 2 has the exceptions, and protocols 0 to 2 name them.
    if module == "exceptions" && is_camel_case(name) {
        return Verdict::Fine;
    }
    let root = module.split('.').next().unwrap_or(module);
    // With dots, a name goes through attributes: to whatever a module imports.
    let mut parts = name.split('.');
    if DANGEROUS_MODULES.contains(&root)
        || DANGEROUS_ROOTS.contains(&root)
        || parts.any(|p| {
            DANGEROUS_MODULES.contains(&p) || DANGEROUS_NAMES.contains(&p) || p.starts_with("__builtin")
        })
        || FRAMEWORK_DANGERS.iter().any(|m| within(module, m))
    {
        return Verdict::Danger;
    }
    if !allow.packages.iter().any(|p| within(module, p)) || name.contains('.') {
        return Verdict::Unverified;
    }
    let is_test = module.split('.').any(|p| matches!(p, "tests" | "testing" | "_testing" | "conftest"));
    if is_test {
        return Verdict::Unverified;
    }
    let is_class = one.made || is_camel_case(name);
    // Cython's classes are made by a function that each of them has.
    let is_unpickler = name.starts_with("__pyx_unpickle_") || name == "newObj";
    if is_class || is_unpickler || !one.called { Verdict::Fine } else { Verdict::Unverified }
}

fn builtin(one: &Use, tree: &Pickle) -> Verdict {
    let name = one.name.as_str();
    let calls = || {
        tree.nodes().filter_map(|(_, node)| match node {
            Node::Object(o) if tree.global(o.class) == Some((&one.module, name)) => {
                Some(o.args.and_then(|a| tree.elements(a)).unwrap_or(&[]))
            }
            _ => None,
        })
    };
    // An exception's class, or a plain type.
    if PLAIN_BUILTINS.contains(&name) || is_camel_case(name) {
        return Verdict::Fine;
    }
    match name {
        // `type(None)`; with three arguments it makes a class.
        "type" if calls().all(|args| args.len() == 1) => Verdict::Fine,
        "type" => Verdict::Code,
        // A method, a member of an enumeration: of something that has a verdict of its own.
        "getattr" if one.called && calls().all(|args| is_plain_attribute(args, tree)) => Verdict::Fine,
        _ => Verdict::Danger,
    }
}

fn is_plain_attribute(args: &[crate::model::pickle::node::Id], tree: &Pickle) -> bool {
    let [of, name] = args else { return false };
    let (Node::Str(Text::Here(name)) | Node::Bytes(Text::Here(name))) = tree.node(*name) else {
        return false;
    };
    let Ok(name) = std::str::from_utf8(name) else { return false };
    let of_class = match tree.node(*of) {
        // Of a class: what a module has is not told by its name alone.
        Node::Global { name, .. } => is_camel_case(name) || PLAIN_BUILTINS.contains(&name.as_str()),
        Node::Object(_) => true,
        _ => false,
    };
    of_class
        && !name.starts_with('_')
        && !name.contains('.')
        && !DANGEROUS_NAMES.contains(&name)
        && !DANGEROUS_MODULES.contains(&name)
}

/// Whether a name is spelled as a class: `RandomForestClassifier`, `_TypeDict`.
fn is_camel_case(name: &str) -> bool {
    let bare = name.trim_start_matches('_');
    bare.starts_with(|c: char| c.is_ascii_uppercase())
        && bare.len() + 2 > name.len()
        && bare.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        && (bare.len() == 1
            || bare.contains(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
            || bare.len() <= 5)
}

fn listed(list: &[(&str, &str)], module: &str, name: &str) -> bool {
    // With dots, a name is a way through attributes.
    list.iter().any(|(m, n)| fits(m, module) && fits(n, name) && (*n == name || !name.contains('.')))
}

fn fits(pattern: &str, text: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(start) => text.starts_with(start),
        None => text == pattern,
    }
}

fn within(module: &str, package: &str) -> bool {
    module.strip_prefix(package).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

impl Stored<'_> {
    /// Adds findings about what loading this file would do: of its pickle, of pickles inside, and
    /// of one that follows.
    pub fn verdict(&self, allow: &Allow, place: &str, reading: &mut Reading) {
        verdict(&self.read, allow, place, reading);
        for note in self.read.notes.iter().take(MAX_FINDINGS) {
            let Note::Nested { by, text } = note else { continue };
            match self.text(text, MAX_NESTED) {
                Ok(bytes) => nested(&bytes, by, allow, place, reading),
                Err(_) => reading
                    .warnings
                    .push(format!("a pickle inside of `{place}`, for `{by}`, was not looked into")),
            }
        }
        if self.second.is_none() && self.trailing.is_some_and(|n| n > 0) {
            reading.find(
                Severity::Warning,
                "trailing-data",
                place,
                format!(
                    "bytes follow the pickle, which ends at byte {}; its loader does not read them, and nothing tells what they are",
                    self.read.end
                ),
            );
        }
        if self.second.is_some() {
            reading.find(
                Severity::Warning,
                "second-pickle",
                place,
                format!(
                    "another pickle follows the first one, at byte {}; most loaders stop before it, and scanners may",
                    self.read.end
                ),
            );
        }
    }
}

/// A pickle in a pickle, as `torch.save` or `pickle.dumps` wrote it.
fn nested(bytes: &[u8], by: &str, allow: &Allow, place: &str, reading: &mut Reading) {
    let place = format!("{place}: {by}");
    if zip::begins(bytes) {
        let Ok(archive) = Archive::open(&bytes) else { return };
        let pickles = archive.entries().iter().filter(|e| e.name.ends_with(".pkl"));
        for entry in pickles.take(IN_A_ROW) {
            if let Ok(inner) = archive.read(entry, MAX_NESTED) {
                let (read, _) = run(&inner, 0, &NESTED, None);
                verdict(&read, allow, &place, reading);
            }
        }
        return;
    }
    let mut at = 0;
    for _ in 0..IN_A_ROW {
        let (read, failure) = run(&bytes, at, &NESTED, None);
        if failure.is_some() && at > 0 {
            break;
        }
        verdict(&read, allow, &place, reading);
        if failure.is_some() || read.stopped.is_some() || read.end >= bytes.len() as u64 {
            break;
        }
        at = read.end;
    }
}
