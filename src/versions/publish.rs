//! Publishing: a document becomes the next version, or turns out to be one already.

use super::tag::MAX_NUMBER;
use super::{Name, check_alias, list};
use crate::error::{Error, Kind, Result};
use crate::oci::{Digest, document::Document};
use crate::store::{Claim, Repository};

/// How often a number is tried before publishing gives up. Only 64 equal bits of two different
/// digests, or a store that forgets, can use up more than one.
const TRIES: u64 = 16;
/// The same where bare numbers are claimed: each attempt that fails means that another publisher got one.
const NUMBERED_TRIES: u64 = 1000;

/// A published version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// Its number.
    pub number: u64,
    /// Its tag.
    pub tag: String,
    /// What it points to.
    pub digest: Digest,
    /// Whether it had been published before.
    pub existed: bool,
    /// Whether another content has the same number.
    pub tie: bool,
}

/// Gives a stored document its place in the collection.
///
/// The same content always comes back with the same tag. Where the store can keep others out, the
/// number is unique; elsewhere two publishers may take one number for two contents, which both
/// remain valid and which the result tells.
pub fn publish(repository: &dyn Repository, document: &Document) -> Result<Published> {
    let _alone = repository.exclusive()?;
    let digest = document.descriptor.digest;
    let names = repository.names()?;
    if let Some(found) = lowest(repository, &names, &digest)? {
        return Ok(found);
    }
    let mut number = list::from_tags(&names).highest;
    for _ in 0..TRIES {
        number += 1;
        if let Some(done) = take(repository, document, number)? {
            return Ok(done);
        }
    }
    Err(none_free(&digest, TRIES))
}

/// As [`publish`], with the bare number as a tag too, which is claimed before the version's.
///
/// Where tags are written once, as Amazon's, Google's, Harbor's and Quay's registries can be told to keep
/// them, the claim is the lock that a registry lacks otherwise: each number is of exactly one content. Where tags
/// can be overwritten, a race may still end in a tie, as without it.
///
/// # Errors
///
/// [`Kind::Conflict`] where the content was published before, and its number is a tag of another content.
pub fn publish_numbered(repository: &dyn Repository, document: &Document) -> Result<Published> {
    let _alone = repository.exclusive()?;
    let digest = document.descriptor.digest;
    let mut names = repository.names()?;
    if let Some(found) = lowest(repository, &names, &digest)? {
        return match repository.claim(&found.number.to_string(), document)? {
            Claim::Created | Claim::Same => Ok(found),
            Claim::Taken(other) => Err(Error::new(
                Kind::Conflict,
                format!("the number {} of `{}` is a tag of {other} already", found.number, found.tag),
            )
            .hint("the version itself stands; publish without `--number-tag`, or name it by its whole tag")),
        };
    }
    for _ in 0..NUMBERED_TRIES {
        let number = list::from_tags(&names).highest.max(highest_bare(&names)) + 1;
        // A publisher that died after its claim left the number to its content.
        let own = bare(&names, repository, &digest)?.unwrap_or(number);
        match repository.claim(&own.to_string(), document)? {
            Claim::Created | Claim::Same => {
                if let Some(done) = take(repository, document, own)? {
                    return Ok(done);
                }
            }
            Claim::Taken(_) => {}
        }
        // Whoever was first has a number now, and perhaps others behind.
        let before = names.len();
        names = repository.names()?;
        if names.len() == before {
            // A registry that shows what was written late: step over what it does not list yet.
            names.push(own.to_string());
        }
    }
    Err(none_free(&digest, NUMBERED_TRIES))
}

/// Claims the version tag of a number; `None` where the tag is another content's.
fn take(repository: &dyn Repository, document: &Document, number: u64) -> Result<Option<Published>> {
    let digest = document.descriptor.digest;
    let tag = Name::version(number, &digest).to_string();
    match repository.claim(&tag, document)? {
        Claim::Created => {
            // Somebody may have published the same content meanwhile, under a lower number.
            let names = repository.names()?;
            let tie = list::from_tags(&names).versions.iter().any(|r| r.number == number && r.tie);
            let own = Published { number, tag, digest, existed: false, tie };
            Ok(Some(match lowest(repository, &names, &digest)? {
                Some(other) if other.number < own.number => other,
                _ => own,
            }))
        }
        Claim::Same => Ok(Some(Published { number, tag, digest, existed: true, tie: false })),
        Claim::Taken(_) => Ok(None),
    }
}

/// A tag that is a bare number of a version.
fn bare_number(tag: &str) -> Option<u64> {
    let plain = !tag.starts_with('0') && tag.bytes().all(|b| b.is_ascii_digit());
    tag.parse().ok().filter(|n| plain && *n <= MAX_NUMBER)
}

/// The highest bare number among the names.
fn highest_bare(names: &[String]) -> u64 {
    names.iter().filter_map(|n| bare_number(n)).max().unwrap_or(0)
}

/// The bare number above all versions that points to this content.
fn bare(names: &[String], repository: &dyn Repository, digest: &Digest) -> Result<Option<u64>> {
    let highest = list::from_tags(names).highest;
    for number in names.iter().filter_map(|n| bare_number(n)).filter(|n| *n > highest) {
        if repository.resolve(&number.to_string())?.is_some_and(|d| d.digest == *digest) {
            return Ok(Some(number));
        }
    }
    Ok(None)
}

fn none_free(digest: &Digest, tries: u64) -> Error {
    Error::new(Kind::Conflict, format!("no number for {digest} was free after {tries} attempts"))
        .hint("the store gives out names that it does not list; run `floe versions` to see what it lists")
}

/// The lowest version of exactly this content among the names.
fn lowest(repository: &dyn Repository, names: &[String], digest: &Digest) -> Result<Option<Published>> {
    let collection = list::from_tags(names);
    let digits = digest.short();
    for row in &collection.versions {
        for tag in std::iter::once(&row.tag).chain(&row.also) {
            let Name::Version { number, digits: found } = Name::parse(tag) else { continue };
            // Sixteen digits find it, the full digest decides.
            if found == digits && repository.resolve(tag)?.is_some_and(|d| d.digest == *digest) {
                return Ok(Some(Published {
                    number,
                    tag: tag.clone(),
                    digest: *digest,
                    existed: true,
                    tie: row.tie,
                }));
            }
        }
    }
    Ok(None)
}

/// Moves an alias to a stored document.
pub fn alias(repository: &dyn Repository, alias: &str, document: &Document) -> Result<()> {
    check_alias(alias)?;
    repository.point(alias, document)
}
