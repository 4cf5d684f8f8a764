//! The grammar of names in a collection.

use std::fmt;

use crate::error::{Error, Kind, Result, show_bytes};
use crate::oci::Digest;
use crate::oci::reference::is_tag;

/// The highest number that counts as a version's.
pub const MAX_NUMBER: u64 = 1_000_000_000_000;

/// What a tag in a collection is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Name {
    /// `v<N>-<16 hex digits>`: a version.
    Version {
        /// Its number, from 1.
        number: u64,
        /// The first 16 hex digits of the digest.
        digits: String,
    },
    /// `t<N>-<16 hex digits>`: a version that was deleted; its number is not given out again.
    Tombstone {
        /// Its number.
        number: u64,
        /// The first 16 hex digits of the digest.
        digits: String,
    },
    /// `sha256-…`: the fallback tags of the referrers API; not ours to read or write.
    Referrers(String),
    /// Anything else: a name that may move.
    Alias(String),
}

impl Name {
    /// The version tag for a content.
    pub fn version(number: u64, digest: &Digest) -> Self {
        Self::Version { number, digits: digest.short() }
    }

    /// Sorts a tag into its kind.
    pub fn parse(tag: &str) -> Self {
        if tag.starts_with("sha256-") {
            return Self::Referrers(tag.to_owned());
        }
        match numbered(tag, 'v') {
            Some((number, digits)) => Self::Version { number, digits },
            None => match numbered(tag, 't') {
                Some((number, digits)) => Self::Tombstone { number, digits },
                None => Self::Alias(tag.to_owned()),
            },
        }
    }
}

/// `<letter><N>-<16 lower-case hex digits>` without leading zeros.
fn numbered(tag: &str, letter: char) -> Option<(u64, String)> {
    let (number, digits) = tag.strip_prefix(letter)?.split_once('-')?;
    let hex = digits.len() == 16 && digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    let plain = number.bytes().all(|b| b.is_ascii_digit()) && !number.starts_with('0');
    let number: u64 = number.parse().ok()?;
    // No collection has so many versions; a number from elsewhere must not use up the range.
    (hex && plain && number <= MAX_NUMBER).then(|| (number, digits.to_owned()))
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Version { number, digits } => write!(f, "v{number}-{digits}"),
            Self::Tombstone { number, digits } => write!(f, "t{number}-{digits}"),
            Self::Referrers(tag) | Self::Alias(tag) => f.write_str(tag),
        }
    }
}

/// Refuses an alias that could be taken for something else.
pub fn check_alias(alias: &str) -> Result<()> {
    let wrong = |why: &str| {
        Err(Error::new(Kind::Usage, format!("`{}` cannot be an alias: {why}", show_bytes(alias.as_bytes())))
            .hint("choose a name such as `latest`, `prod` or `2024-06`"))
    };
    if !is_tag(alias) {
        return wrong("it is not a tag");
    }
    match Name::parse(alias) {
        Name::Version { .. } => wrong("it looks like a version"),
        Name::Tombstone { .. } => wrong("it looks like a deleted version"),
        Name::Referrers(_) => wrong("`sha256-…` belongs to the referrers of an image"),
        Name::Alias(_) if looks_like_number(alias) => wrong("it looks like the short form of a version"),
        Name::Alias(_) if looks_numbered(alias) => wrong("it looks like a version"),
        Name::Alias(_) => Ok(()),
    }
}

/// Whether it has the shape of a version or a deleted one, whatever its number.
fn looks_numbered(text: &str) -> bool {
    let parts = text.strip_prefix(['v', 't']).and_then(|t| t.split_once('-'));
    parts.is_some_and(|(number, digits)| {
        number.bytes().all(|b| b.is_ascii_digit())
            && digits.len() == 16
            && digits.bytes().all(|b| b.is_ascii_hexdigit())
    })
}

/// Whether it is `7` or `v7`, the short forms of a version.
pub(super) fn looks_like_number(text: &str) -> bool {
    let digits = text.strip_prefix('v').unwrap_or(text);
    !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_what_they_say() {
        let d = "0123456789abcdef";
        for (tag, wanted) in [
            (format!("v7-{d}"), Name::Version { number: 7, digits: d.into() }),
            (format!("t12-{d}"), Name::Tombstone { number: 12, digits: d.into() }),
            (format!("sha256-{d}"), Name::Referrers(format!("sha256-{d}"))),
            ("latest".into(), Name::Alias("latest".into())),
            (format!("v07-{d}"), Name::Alias(format!("v07-{d}"))),
            (format!("v0-{d}"), Name::Alias(format!("v0-{d}"))),
            (format!("v+7-{d}"), Name::Alias(format!("v+7-{d}"))),
            (format!("v7-{d}0"), Name::Alias(format!("v7-{d}0"))),
            (format!("v18446744073709551615-{d}"), Name::Alias(format!("v18446744073709551615-{d}"))),
        ] {
            assert_eq!(Name::parse(&tag), wanted, "{tag}");
            assert_eq!(Name::parse(&tag).to_string(), tag);
        }
    }

    #[test]
    fn an_alias_may_not_look_like_something_else() {
        for bad in [
            "v1-0123456789abcdef",
            "v007-0123456789abcdef",
            "t1-0123456789abcdef",
            "sha256-00",
            "7",
            "v7",
            "",
            "-x",
            "a b",
        ] {
            assert!(check_alias(bad).is_err(), "{bad}");
        }
        for good in ["latest", "prod", "v", "v1.2", "2024-06"] {
            check_alias(good).unwrap();
        }
    }
}
