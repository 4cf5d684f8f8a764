//! Publishing: a document becomes the next version, or turns out to be one already.

use super::{Name, check_alias, list};
use crate::error::{Error, Kind, Result};
use crate::oci::{Digest, document::Document};
use crate::store::{Claim, Repository};

/// How often a number is tried before publishing gives up. Only 64 equal bits of two different
/// digests, or a store that forgets, can use up more than one.
const TRIES: u64 = 16;

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
        let name = Name::version(number, &digest);
        let tag = name.to_string();
        match repository.claim(&tag, document)? {
            Claim::Created => {
                // Somebody may have published the same content meanwhile, under a lower number.
                let names = repository.names()?;
                let tie = list::from_tags(&names).versions.iter().any(|r| r.number == number && r.tie);
                let own = Published { number, tag, digest, existed: false, tie };
                return Ok(match lowest(repository, &names, &digest)? {
                    Some(other) if other.number < own.number => other,
                    _ => own,
                });
            }
            Claim::Same => return Ok(Published { number, tag, digest, existed: true, tie: false }),
            Claim::Taken(_) => {}
        }
    }
    Err(Error::new(Kind::Conflict, format!("no number for {digest} was free after {TRIES} attempts"))
        .hint("the store gives out names that it does not list; run `floe versions` to see what it lists"))
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
