//! `model.ini`: `[info]` with `key = value` lines, `[columns]` with a name per line, `[domains]` with
//! `index: count file` (h2o-genmodel: hex/genmodel/ModelMojoReader.java).

use std::collections::BTreeMap;

use crate::error::{Error, Kind, Result};
use crate::model::format::MAX_ENTRIES;

/// The levels of a column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Domain {
    /// How many.
    pub count: u64,
    /// The name of the file with them, in `domains`.
    pub file: String,
}

/// What the file says.
#[derive(Debug, Default)]
pub(super) struct Ini {
    info: BTreeMap<String, String>,
    pub columns: Vec<String>,
    pub domains: BTreeMap<usize, Domain>,
    /// How many columns are inputs; they come first.
    pub features: usize,
}

/// Whether a text begins so.
pub(super) fn looks_like(head: &[u8]) -> bool {
    let mut lines = head.split(|b| *b == b'\n').map(<[u8]>::trim_ascii).filter(|l| !l.is_empty());
    lines.next() == Some(b"[info]")
        && lines.any(|l| {
            l.starts_with(b"algo =") || l.starts_with(b"h2o_version =") || l.starts_with(b"mojo_version =")
        })
}

fn broken(what: impl std::fmt::Display) -> Error {
    Error::new(Kind::Model, format!("broken `model.ini`: {what}"))
}

impl Ini {
    /// Reads the text.
    pub(super) fn parse(text: &[u8]) -> Result<Self> {
        let mut ini = Self::default();
        let text = String::from_utf8_lossy(text);
        let mut section = "";
        for line in text.lines() {
            // Names of columns may begin or end with blanks; what `trim` takes away is H2O's choice.
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') && section != "[columns]" {
                continue;
            }
            match line {
                "[info]" | "[columns]" | "[domains]" => section = line,
                _ if section == "[info]" => {
                    let Some((key, value)) = line.split_once(" = ") else { continue };
                    if ini.info.len() < MAX_ENTRIES {
                        ini.info.insert(key.trim().to_owned(), value.trim().to_owned());
                    }
                }
                _ if section == "[columns]" => {
                    if ini.columns.len() >= MAX_ENTRIES {
                        return Err(broken(format_args!("more than {MAX_ENTRIES} columns")));
                    }
                    ini.columns.push(line.to_owned());
                }
                _ if section == "[domains]" => ini.domain(line)?,
                _ => {}
            }
        }
        let count = |key: &str| ini.number(key).and_then(|n| usize::try_from(n).ok());
        let (features, columns) = (count("n_features"), count("n_columns"));
        if columns.is_some_and(|n| n != ini.columns.len()) {
            return Err(broken(format_args!(
                "{} columns are listed, `n_columns` is {}",
                ini.columns.len(),
                columns.unwrap_or(0)
            )));
        }
        let features = features.ok_or_else(|| broken("there is no `n_features`"))?;
        if features > ini.columns.len() {
            return Err(broken(format_args!("{features} features, but {} columns", ini.columns.len())));
        }
        ini.features = features;
        Ok(ini)
    }

    fn domain(&mut self, line: &str) -> Result<()> {
        let read = || {
            let (index, rest) = line.split_once(": ")?;
            let (count, file) = rest.split_once(' ')?;
            let plain = !file.contains(['/', '\\', '\0']) && file != "..";
            let domain = Domain { count: count.parse().ok()?, file: file.to_owned() };
            Some((index.parse::<usize>().ok()?, domain)).filter(|_| plain)
        };
        let (index, domain) = read().ok_or_else(|| broken("a line of `[domains]`"))?;
        self.domains.insert(index, domain);
        Ok(())
    }

    /// A value of `[info]`.
    pub(super) fn info(&self, key: &str) -> Option<&str> {
        self.info.get(key).map(String::as_str)
    }

    /// A number of `[info]`.
    pub(super) fn number(&self, key: &str) -> Option<u64> {
        self.info(key)?.parse().ok()
    }

    /// Which column the model predicts: the last one of a supervised model.
    pub(super) fn response(&self) -> Option<usize> {
        let supervised = self.info("supervised") == Some("true");
        self.columns.len().checked_sub(1).filter(|last| supervised && *last >= self.features)
    }

    /// A list of the form `[a, b]` in `[info]`.
    pub(super) fn list(&self, key: &str) -> Option<Vec<&str>> {
        let inner = self.info(key)?.strip_prefix('[')?.strip_suffix(']')?;
        Some(inner.split(',').map(str::trim).filter(|s| !s.is_empty()).collect())
    }

    /// The levels in a file, one per line; `None` where there are not `count`.
    pub(super) fn levels(&self, bytes: &[u8], count: u64) -> Option<Vec<String>> {
        let text = String::from_utf8_lossy(bytes);
        let escaped = self.info("escape_domain_values") == Some("true");
        let read = |line: &str| if escaped { unescape(line) } else { line.to_owned() };
        let levels: Vec<String> = text.split_terminator('\n').take(MAX_ENTRIES).map(read).collect();
        (levels.len() as u64 == count).then_some(levels)
    }
}

/// A line break inside of a level is written as `\n` (water.util.StringUtils / StringEscapeUtils).
fn unescape(line: &str) -> String {
    let mut out = String::new();
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        match chars.next() {
            Some('n') => out.push('\n'),
            Some('r') => out.push('\r'),
            Some('t') => out.push('\t'),
            Some(other) => out.push(other),
            None => out.push('\\'),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "[info]\nalgo = gbm\nsupervised = true\nn_features = 2\nn_columns = 3\nescape_domain_values = true\n\n\
        [columns]\na\nb c\ny\n\n[domains]\n2: 2 d000.txt\n";

    #[test]
    fn columns_and_levels_are_read() {
        assert!(looks_like(GOOD.as_bytes()));
        let ini = Ini::parse(GOOD.as_bytes()).unwrap();
        assert_eq!((ini.columns.len(), ini.features, ini.response()), (3, 2, Some(2)));
        assert_eq!(ini.levels(b"no\nye\\ns\n", 2), Some(vec!["no".to_owned(), "ye\ns".to_owned()]));
        assert_eq!(ini.levels(b"no\n", 2), None);
    }

    #[test]
    fn what_contradicts_itself_is_an_error() {
        for (from, to) in [
            ("n_columns = 3", "n_columns = 4"),
            ("n_features = 2", "n_features = 4"),
            ("n_features = 2", "n_features = x"),
            ("2: 2 d000.txt", "2: 2 ../../etc/passwd"),
            ("2: 2 d000.txt", "2: x d000.txt"),
            ("2: 2 d000.txt", "2"),
        ] {
            assert!(Ini::parse(GOOD.replace(from, to).as_bytes()).is_err(), "{to}");
        }
    }
}
