//! What a collection holds, from its tags.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::Name;
use crate::error::Result;
use crate::store::Repository;

/// One content of a collection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Row {
    /// Its number: of several the lowest.
    pub number: u64,
    /// Its version tag, with that number.
    pub tag: String,
    /// Further version tags of the same content, which two publishers may have written at once.
    pub also: Vec<String>,
    /// Whether another content has the same number.
    pub tie: bool,
}

/// What the names of a repository say.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Collection {
    /// The versions, lowest number first.
    pub versions: Vec<Row>,
    /// The highest number given out, deleted ones counted.
    pub highest: u64,
    /// Names that may move.
    pub aliases: Vec<String>,
}

/// Reads the collection in a repository.
pub fn collection(repository: &dyn Repository) -> Result<Collection> {
    Ok(from_tags(&repository.names()?))
}

/// Sorts tags into versions and aliases; pure, so that it can be tested on any list.
pub fn from_tags(tags: &[String]) -> Collection {
    let mut contents: BTreeMap<String, BTreeSet<u64>> = BTreeMap::new();
    let mut owners: BTreeMap<u64, BTreeSet<String>> = BTreeMap::new();
    let mut highest = 0;
    let mut aliases = BTreeSet::new();
    for tag in tags {
        match Name::parse(tag) {
            Name::Version { number, digits } => {
                highest = highest.max(number);
                owners.entry(number).or_default().insert(digits.clone());
                contents.entry(digits).or_default().insert(number);
            }
            Name::Tombstone { number, .. } => highest = highest.max(number),
            Name::Alias(alias) => {
                aliases.insert(alias);
            }
            Name::Referrers(_) => {}
        }
    }
    let mut versions: Vec<Row> = contents
        .into_iter()
        .filter_map(|(digits, numbers)| {
            let mut tags =
                numbers.iter().map(|n| Name::Version { number: *n, digits: digits.clone() }.to_string());
            let number = *numbers.first()?;
            let tie = owners.get(&number).is_some_and(|o| o.len() > 1);
            Some(Row { number, tag: tags.next()?, also: tags.collect(), tie })
        })
        .collect();
    versions.sort_by(|a, b| (a.number, &a.tag).cmp(&(b.number, &b.tag)));
    Collection { versions, highest, aliases: aliases.into_iter().collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_contents() {
        let (a, b) = ("aaaaaaaaaaaaaaaa", "bbbbbbbbbbbbbbbb");
        let tags = [
            format!("v10-{b}"),
            format!("v2-{a}"),
            format!("v3-{a}"),
            format!("v2-{b}"),
            format!("t12-{a}"),
            "latest".to_owned(),
            format!("sha256-{a}"),
        ];
        let c = from_tags(&tags);
        assert_eq!(c.highest, 12);
        assert_eq!(c.aliases, ["latest"]);
        let rows: Vec<(u64, &str, usize, bool)> =
            c.versions.iter().map(|r| (r.number, r.tag.as_str(), r.also.len(), r.tie)).collect();
        assert_eq!(rows, [(2, &*format!("v2-{a}"), 1, true), (2, &*format!("v2-{b}"), 1, true)]);
    }
}
