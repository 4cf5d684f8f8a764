//! The text of a model: a header of `key=value` lines, the trees, and what comes after them.
//!
//! The header ends at an empty line. It lists how many bytes each tree has, so that the trees are
//! jumped over; before version 2.1 it did not, and then what comes after them is left unknown.

use serde_json::Value;

use crate::error::{Error, Kind, Result};
use crate::model::format::{MAX_ENTRIES, MAX_TEXT, json};
use crate::model::pb::Source;
use crate::model::pull::Stream;

/// The longest line of the header: the names of all features.
const MAX_LINE: usize = 16 << 20;
/// How much is read of what follows the trees: parameters, and categories that pandas had.
const MAX_TAIL: usize = 4 << 20;

/// What the text tells.
#[derive(Debug, Default)]
pub(super) struct Header {
    pub version: Option<String>,
    pub classes: u64,
    pub features: u64,
    pub names: Vec<String>,
    pub objective: Option<String>,
    /// Names of the features that hold categories.
    pub categorical: Vec<String>,
    pub trees: Option<u64>,
    pub boosting: Option<String>,
    pub pandas_categorical: Option<Value>,
}

/// Whether a file begins as a model does.
pub(super) fn looks_like(head: &[u8]) -> bool {
    let mut lines = head.split(|b| *b == b'\n').map(<[u8]>::trim_ascii_end);
    lines.next() == Some(b"tree")
        && lines.by_ref().take(8).any(|l| l.starts_with(b"num_class=") || l.starts_with(b"max_feature_idx="))
}

/// A line without its end; `None` at the end of the source.
fn line(s: &mut Stream<'_>) -> Result<Option<String>> {
    let mut out = Vec::new();
    loop {
        let chunk = s.chunk()?;
        if chunk.is_empty() {
            return Ok((!out.is_empty()).then(|| String::from_utf8_lossy(&out).into_owned()));
        }
        let end = chunk.iter().position(|b| *b == b'\n');
        let n = end.unwrap_or(chunk.len());
        if out.len() + n > MAX_LINE {
            return Err(broken(format_args!("a line of the header has more than {MAX_LINE} bytes")));
        }
        out.extend_from_slice(&chunk[..n]);
        s.consume(n + usize::from(end.is_some()));
        if end.is_some() {
            return Ok(Some(String::from_utf8_lossy(out.trim_ascii_end()).into_owned()));
        }
    }
}

fn broken(what: impl std::fmt::Display) -> Error {
    Error::new(Kind::Model, format!("broken model of LightGBM: {what}"))
}

/// Reads a model.
pub(super) fn read(source: &dyn Source, budget: u64) -> Result<Header> {
    let mut s = Stream::new(source, 0, budget);
    let mut header = Header::default();
    let (mut classes, mut last) = (None, None);
    let mut infos = Vec::new();
    let mut sizes: Option<Vec<u64>> = None;
    let mut average = false;
    let words = |value: &str| -> Result<Vec<String>> {
        let all: Vec<String> =
            value.split(' ').filter(|w| !w.is_empty()).take(MAX_ENTRIES + 1).map(str::to_owned).collect();
        if all.len() > MAX_ENTRIES {
            return Err(broken(format_args!("more than {MAX_ENTRIES} features")));
        }
        Ok(all)
    };
    loop {
        let Some(line) = line(&mut s)? else { break };
        // The header ends at an empty line, or with the first tree.
        if line.is_empty() || line.starts_with("Tree=") {
            break;
        }
        if line == "average_output" {
            average = true;
        }
        let Some((key, value)) = line.split_once('=') else { continue };
        match key {
            "version" => header.version = Some(value.to_owned()),
            "num_class" => classes = value.parse::<u64>().ok(),
            "max_feature_idx" => last = value.parse::<u64>().ok(),
            "objective" if value.len() <= MAX_TEXT => header.objective = Some(value.to_owned()),
            "feature_names" => header.names = words(value)?,
            "feature_infos" => infos = words(value)?,
            "tree_sizes" => sizes = value.split(' ').map(|n| n.parse().ok()).collect(),
            _ => {}
        }
    }
    let (Some(classes), Some(last)) = (classes.filter(|n| *n > 0), last) else {
        return Err(broken("the header has no number of classes or features"));
    };
    header.classes = classes;
    header.features = last.checked_add(1).ok_or_else(|| broken("the number of features"))?;
    // The loader refuses both.
    if header.names.len() as u64 != header.features {
        return Err(broken(format_args!(
            "{} features, but {} names of features",
            header.features,
            header.names.len()
        )));
    }
    if !infos.is_empty() && infos.len() != header.names.len() {
        return Err(broken(format_args!(
            "{} features, but {} ranges of features",
            header.features,
            infos.len()
        )));
    }
    header.categorical = header
        .names
        .iter()
        .zip(&infos)
        .filter(|(_, info)| *info != "none" && !info.starts_with('['))
        .map(|(name, _)| name.clone())
        .collect();
    header.trees = sizes.as_ref().map(|s| s.len() as u64);
    if average {
        header.boosting = Some("rf".to_owned());
    }
    let all = sizes.and_then(|s| s.iter().try_fold(0u64, |sum, n| sum.checked_add(*n)));
    if let Some(all) = all {
        if all > s.rest() {
            return Err(broken(format_args!("the trees claim {all} bytes, {} are left", s.rest())));
        }
        s.jump(all)?;
        tail(&mut s, &mut header)?;
    }
    Ok(header)
}

/// What follows the trees: nothing there is needed, but what is cut off there was not saved so.
fn tail(s: &mut Stream<'_>, header: &mut Header) -> Result<()> {
    let rest = usize::try_from(s.rest()).unwrap_or(usize::MAX);
    let Ok(bytes) = s.bytes(rest.min(MAX_TAIL)) else { return Ok(()) };
    let text = String::from_utf8_lossy(&bytes);
    let cut = |what| Err(broken(format_args!("the text is cut off: it has no `{what}`")));
    if !text.trim_start().starts_with("end of trees") {
        let marked = matches!(header.version.as_deref(), Some("v3" | "v4"));
        return if marked { cut("end of trees") } else { Ok(()) };
    }
    // A line by line search, since values may hold any text.
    let has = |line: &str| text.lines().any(|l| l.trim_end() == line);
    if rest <= MAX_TAIL && has("parameters:") && !has("end of parameters") {
        return cut("end of parameters");
    }
    const CATEGORIES: &str = "pandas_categorical:";
    let last = text.lines().next_back().filter(|l| !l.is_empty()).unwrap_or_default();
    if rest <= MAX_TAIL && last.starts_with("pandas_") && last.len() < CATEGORIES.len() {
        return cut(CATEGORIES);
    }
    for line in text.lines() {
        if let Some(boosting) = line.strip_prefix("[boosting: ").and_then(|r| r.strip_suffix(']')) {
            header.boosting = Some(boosting.to_owned());
        }
        if let Some(categories) = line.strip_prefix(CATEGORIES) {
            header.pandas_categorical = json::parse(categories.as_bytes()).ok();
            if header.pandas_categorical.is_none() && rest <= MAX_TAIL {
                return Err(broken("the list of categories is cut off"));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "tree\nversion=v4\nnum_class=1\nmax_feature_idx=1\nobjective=binary sigmoid:1\n\
        feature_names=a b\nfeature_infos=[0:1] 1:2\ntree_sizes=4 3\n\nTREETREend of trees\n\n\
        parameters:\n[boosting: dart]\nend of parameters\n\npandas_categorical:[[\"x\"]]\n";

    fn get(text: &str) -> Result<Header> {
        read(&text.as_bytes(), 1 << 20)
    }

    #[test]
    fn the_header_and_what_follows_the_trees_are_read() {
        assert!(looks_like(GOOD.as_bytes()));
        let header = get(GOOD).unwrap();
        assert_eq!((header.features, header.classes, header.trees), (2, 1, Some(2)));
        assert_eq!((header.categorical, header.boosting.as_deref()), (vec!["b".to_owned()], Some("dart")));
        assert_eq!(header.pandas_categorical, Some(serde_json::json!([["x"]])));
    }

    #[test]
    fn what_contradicts_itself_is_an_error() {
        for (from, to) in [
            ("max_feature_idx=1", "max_feature_idx=2"),
            ("max_feature_idx=1", "max_feature_idx=18446744073709551615"),
            ("max_feature_idx=1", "max_feature_idx=-1"),
            ("num_class=1", "num_class=0"),
            ("[0:1] 1:2", "[0:1]"),
            ("tree_sizes=4 3", "tree_sizes=4 300000"),
        ] {
            assert!(get(&GOOD.replace(from, to)).is_err(), "{to}");
        }
        // Sizes that are none are as if they were not there.
        assert_eq!(get(&GOOD.replace("tree_sizes=4 3", "tree_sizes=4 x")).unwrap().trees, None);
        for end in 0..GOOD.len() {
            drop(get(&GOOD[..end]));
        }
    }
}
