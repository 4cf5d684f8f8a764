//! Short ways to name a version.

use std::collections::BTreeSet;

use super::{Name, list, tag};
use crate::error::{Error, Kind, Result, show_bytes};
use crate::oci::{Descriptor, Digest};
use crate::store::Repository;

/// The fewest hex digits that may stand for a digest.
const SHORTEST_PREFIX: usize = 4;

/// Which version of a collection is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selector {
    /// The one with the highest number.
    Newest,
    /// The one with this number: `7` or `v7`.
    Number(u64),
    /// A tag as it stands: a whole version tag or an alias.
    Tag(String),
    /// A digest.
    Digest(Digest),
    /// The beginning of a digest, in hex digits.
    Prefix(String),
}

impl Selector {
    /// Reads what stands after `NAME:` or `NAME@`; nothing means the newest.
    pub fn parse(text: Option<&str>) -> Result<Self> {
        let Some(text) = text.filter(|t| !t.is_empty()) else { return Ok(Self::Newest) };
        if let Some(hex) = text.strip_prefix("sha256:") {
            if hex.len() == 64 {
                return text.parse().map(Self::Digest);
            }
            if hex.len() >= SHORTEST_PREFIX && is_hex(hex) {
                return Ok(Self::Prefix(hex.to_owned()));
            }
            return Err(Error::new(
                Kind::Usage,
                format!("`{}` is not a digest", show_bytes(text.as_bytes())),
            )
            .hint(format!("give at least {SHORTEST_PREFIX} lower-case hex digits after `sha256:`")));
        }
        if tag::looks_like_number(text) {
            let digits = text.strip_prefix('v').unwrap_or(text);
            if let Ok(number) = digits.parse() {
                return Ok(Self::Number(number));
            }
        }
        Ok(Self::Tag(text.to_owned()))
    }
}

fn is_hex(s: &str) -> bool {
    s.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// What a selector means in a repository: the descriptor, and the name that it was found by.
pub fn select(
    repository: &dyn Repository,
    what: &str,
    selector: &Selector,
) -> Result<(Descriptor, Option<String>)> {
    let missing = |wanted: &str, found: &list::Collection| {
        let mut e = Error::new(Kind::Usage, format!("`{what}` has no {wanted}"));
        if let Some(last) = found.versions.last() {
            e = e.hint(format!("its newest version is {}; `floe versions` lists them all", last.tag));
        } else {
            e = e.hint("nothing has been published there; `floe models` lists what the local store holds");
        }
        e
    };
    let by_tag = |tag: &str| -> Result<Option<(Descriptor, Option<String>)>> {
        let Some(found) = repository.resolve(tag)? else { return Ok(None) };
        if let Name::Version { digits, .. } = Name::parse(tag)
            && found.digest.short() != digits
        {
            return Err(Error::new(
                Kind::Integrity,
                format!("the tag `{tag}` of `{what}` points to {}, which is another content", found.digest),
            )
            .hint("somebody overwrote the tag; publish the model again, or ask who did"));
        }
        Ok(Some((found, Some(tag.to_owned()))))
    };
    match selector {
        Selector::Digest(digest) => match repository.resolve(&digest.to_string())? {
            Some(found) => Ok((found, None)),
            None => Err(missing(&digest.to_string(), &super::collection(repository)?)),
        },
        Selector::Tag(tag) => {
            if let Some(found) = by_tag(tag)? {
                return Ok(found);
            }
            if tag.len() >= SHORTEST_PREFIX && is_hex(tag) {
                return select(repository, what, &Selector::Prefix(tag.clone()));
            }
            Err(missing(
                &format!("version or alias `{}`", show_bytes(tag.as_bytes())),
                &super::collection(repository)?,
            ))
        }
        Selector::Prefix(prefix) => {
            let all = super::collection(repository)?;
            let mut hits = BTreeSet::new();
            for row in &all.versions {
                let Name::Version { digits, .. } = Name::parse(&row.tag) else { continue };
                let near = prefix.len().min(digits.len());
                if digits[..near] != prefix[..near] {
                    continue;
                }
                if let Some((found, _)) = by_tag(&row.tag)?
                    && found.digest.hex().starts_with(prefix.as_str())
                {
                    hits.insert((row.tag.clone(), found.digest));
                }
            }
            match hits.len() {
                0 => Err(missing(&format!("content whose digest begins with `{prefix}`"), &all)),
                1 => {
                    let (tag, _) = hits.first().expect("there is one");
                    by_tag(tag)?.ok_or_else(|| missing(&format!("tag `{tag}` any more"), &all))
                }
                _ => Err(ambiguous(&format!("`{prefix}`"), what, hits.iter().map(|(t, _)| t.as_str()))),
            }
        }
        Selector::Number(_) | Selector::Newest => {
            let all = super::collection(repository)?;
            let number = match selector {
                Selector::Number(n) => *n,
                _ => all.versions.iter().flat_map(|r| std::iter::once(&r.tag).chain(&r.also)).fold(
                    0,
                    |max, t| {
                        if let Name::Version { number, .. } = Name::parse(t) { max.max(number) } else { max }
                    },
                ),
            };
            let hits: Vec<&str> = all
                .versions
                .iter()
                .flat_map(|r| std::iter::once(&r.tag).chain(&r.also))
                .filter(|t| matches!(Name::parse(t), Name::Version { number: n, .. } if n == number))
                .map(String::as_str)
                .collect();
            match hits[..] {
                [] if *selector == Selector::Newest => Err(missing("versions", &all)),
                // Digits alone may also be the beginning of a digest.
                [] if number.to_string().len() >= SHORTEST_PREFIX
                    && all.versions.iter().any(|r| digits_of(&r.tag).starts_with(&number.to_string())) =>
                {
                    select(repository, what, &Selector::Prefix(number.to_string()))
                }
                [] => Err(missing(&format!("version {number}"), &all)),
                [tag] => by_tag(tag)?.ok_or_else(|| missing(&format!("tag `{tag}` any more"), &all)),
                _ => Err(ambiguous(&format!("version {number}"), what, hits.into_iter())),
            }
        }
    }
}

/// The hex digits in a version tag.
fn digits_of(tag: &str) -> &str {
    tag.split_once('-').map_or("", |(_, digits)| digits)
}

fn ambiguous<'a>(wanted: &str, what: &str, tags: impl Iterator<Item = &'a str>) -> Error {
    let tags: Vec<&str> = tags.collect();
    Error::new(Kind::Conflict, format!("{wanted} of `{what}` is not one content: {}", tags.join(", ")))
        .hint("name one of them in full")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_forms() {
        let d = Digest::of(b"x");
        for (text, wanted) in [
            (None, Selector::Newest),
            (Some(""), Selector::Newest),
            (Some("7"), Selector::Number(7)),
            (Some("v7"), Selector::Number(7)),
            (Some("latest"), Selector::Tag("latest".into())),
            (Some("v7-0123456789abcdef"), Selector::Tag("v7-0123456789abcdef".into())),
            (Some("sha256:0123"), Selector::Prefix("0123".into())),
        ] {
            assert_eq!(Selector::parse(text).unwrap(), wanted);
        }
        assert_eq!(Selector::parse(Some(&d.to_string())).unwrap(), Selector::Digest(d));
        assert!(Selector::parse(Some("sha256:xyz")).is_err());
    }
}
