//! YAML that a tool wrote beside a model, as one plain value.
//!
//! It is not the reader of definitions ([`crate::model::definition`]), which keeps places for errors.
//! Only plain data is taken: a tag of the file's own has no meaning here and makes nothing.
//!
//! Invariant: size, depth, nodes and what aliases may add are bounded.

use serde_json::Value;
use serde_saphyr::options::DuplicateKeyPolicy;

use crate::error::{Error, Kind, Result};

/// The largest file, in bytes.
pub(super) const MAX_BYTES: u64 = 16 << 20;
/// The most nodes.
const MAX_NODES: usize = 300_000;
/// The most bytes of text, with what aliases add.
const MAX_TEXTS: usize = 24 << 20;
/// How many nodes aliases may add.
const MAX_ALIASED: usize = 10_000;
/// The deepest nesting.
const MAX_DEPTH: usize = 48;

/// Reads the first document of a file.
pub(super) fn parse(bytes: &[u8]) -> Result<Value> {
    let wrong = |why: &str| Error::new(Kind::Model, format!("not the YAML that was expected: {why}"));
    let text = std::str::from_utf8(bytes).map_err(|_| wrong("it is not UTF-8"))?;
    let mut options = serde_saphyr::Options::default();
    // As PyYAML has it.
    options.duplicate_keys = DuplicateKeyPolicy::LastWins;
    options.with_snippet = false;
    options.alias_limits.max_total_replayed_events = MAX_ALIASED;
    if let Some(budget) = &mut options.budget {
        budget.max_documents = 2;
        budget.max_depth = MAX_DEPTH;
        budget.max_nodes = MAX_NODES;
        budget.max_total_scalar_bytes = MAX_TEXTS;
        budget.max_events = MAX_NODES * 2;
    }
    serde_saphyr::from_str_with_options(text, options)
        .map_err(|e| wrong(e.to_string().lines().next().unwrap_or_default()))
}

/// The first tag by which PyYAML's unsafe loaders make an object of a Python class, or call a function
/// (yaml/constructor.py, `UnsafeConstructor`); what stands in quotes or behind a `#` is text.
pub(super) fn python_tag(bytes: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(bytes);
    text.lines().find_map(|line| {
        let at = PYTHON_TAGS.iter().filter_map(|tag| line.find(tag)).min()?;
        let (before, tag) = line.split_at(at);
        let plain =
            !before.contains(['"', '\'', '#']) && before.chars().next_back().is_none_or(char::is_whitespace);
        let end = tag.find(char::is_whitespace).unwrap_or(tag.len());
        plain.then(|| tag[..end].to_owned())
    })
}

const PYTHON_TAGS: &[&str] = &["!!python/", "!<tag:yaml.org,2002:python/"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_aliases_repeat_is_not_copied_without_end() {
        let few = format!("a: &a {}\nb: [{}]", "x".repeat(10_000), "*a, ".repeat(10));
        assert_eq!(parse(few.as_bytes()).unwrap()["b"].as_array().unwrap().len(), 10);
        let many = format!("a: &a {}\nb: [{}]", "x".repeat(10_000), "*a, ".repeat(9_000));
        assert!(parse(many.as_bytes()).is_err());
    }

    #[test]
    fn tags_of_python_are_told_from_text() {
        let tag = |text: &str| python_tag(text.as_bytes());
        assert_eq!(
            tag("a: 1\nb: !!python/object/apply:os.system [x]").as_deref(),
            Some("!!python/object/apply:os.system")
        );
        assert_eq!(tag("- !!python/name:os.system").as_deref(), Some("!!python/name:os.system"));
        assert_eq!(tag("a: '!!python/name:os.system'\n# !!python/x\nb: !!str 1"), None);
    }
}
