//! A layer's tar as a reader.

use std::io::{self, Read};

use super::early;
use crate::error::{Error, Kind, Result};
use crate::model::Tree;
use crate::model::tree::{Content, EntryKind, changed};
use crate::plan::{LayerPlan, MTIME, Owner, PlanEntry, PlanKind, decoded};
use crate::tar;

/// Headers, contents and padding, one entry after the other.
pub(super) struct TarStream<'a> {
    tree: &'a Tree,
    owner: Owner,
    entries: std::slice::Iter<'a, PlanEntry>,
    state: State,
}

enum State {
    /// Bytes in memory: headers, padding, an inline file, the end.
    Bytes { bytes: Vec<u8>, at: usize, then: Then },
    /// In the content of a file.
    File { content: Content, at: u64 },
    /// After the last byte.
    Ended,
}

enum Then {
    Next,
    File(Content),
    End,
}

impl<'a> TarStream<'a> {
    pub(super) fn new(plan: &'a LayerPlan, tree: &'a Tree, owner: Owner) -> Self {
        let state = State::Bytes { bytes: Vec::new(), at: 0, then: Then::Next };
        Self { tree, owner, entries: plan.entries.iter(), state }
    }

    pub(super) fn check_ended(&self) -> Result<()> {
        if matches!(self.state, State::Ended) { Ok(()) } else { Err(early()) }
    }

    /// What comes after everything of the entry before was handed out.
    fn next(&mut self) -> Result<State> {
        let Some(entry) = self.entries.next() else {
            return Ok(State::Bytes { bytes: tar::END.to_vec(), at: 0, then: Then::End });
        };
        let mut bytes = header(entry, self.owner)?;
        let then = match &entry.kind {
            PlanKind::File { from, size, .. } => {
                let content = open(self.tree, from.as_bytes(), *size)?;
                if *size == 0 { Then::Next } else { Then::File(content) }
            }
            PlanKind::Inline { base64 } => {
                bytes.extend_from_slice(&decoded(base64)?);
                bytes.resize(bytes.len().next_multiple_of(tar::BLOCK), 0);
                Then::Next
            }
            PlanKind::Dir | PlanKind::Link { .. } => Then::Next,
        };
        Ok(State::Bytes { bytes, at: 0, then })
    }

    fn fill(&mut self, buf: &mut [u8]) -> Result<usize> {
        loop {
            match &mut self.state {
                State::Bytes { bytes, at, then } => {
                    if *at < bytes.len() {
                        let n = buf.len().min(bytes.len() - *at);
                        buf[..n].copy_from_slice(&bytes[*at..*at + n]);
                        *at += n;
                        return Ok(n);
                    }
                    self.state = match std::mem::replace(then, Then::Next) {
                        Then::Next => self.next()?,
                        Then::File(content) => State::File { content, at: 0 },
                        Then::End => State::Ended,
                    };
                }
                State::File { content, at } => {
                    let left = content.size() - *at;
                    if left > 0 {
                        let room = usize::try_from(left).unwrap_or(usize::MAX).min(buf.len());
                        let n = content.read_at(*at, &mut buf[..room])?;
                        if n == 0 {
                            return Err(changed(content.source()));
                        }
                        *at += n as u64;
                        return Ok(n);
                    }
                    content.check_unchanged()?;
                    let bytes = vec![0; tar::padding(content.size())];
                    self.state = State::Bytes { bytes, at: 0, then: Then::Next };
                }
                State::Ended => return Ok(0),
            }
        }
    }
}

impl Read for TarStream<'_> {
    /// Fills the buffer as far as it can: what comes after reads in pieces that do not depend on
    /// where files end.
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let mut done = 0;
        while done < buf.len() {
            match self.fill(&mut buf[done..]).map_err(Error::into_io)? {
                0 => break,
                n => done += n,
            }
        }
        Ok(done)
    }
}

/// Opens a file of the plan and makes sure that it has the size that the plan says.
pub(super) fn open(tree: &Tree, from: &[u8], size: u64) -> Result<Content> {
    let entry = tree.get(from).filter(|e| matches!(e.kind, EntryKind::File { .. })).ok_or_else(|| {
        Error::new(
            Kind::Model,
            format!(
                "the plan names the file `{}`, which the model does not have",
                crate::error::show_bytes(from)
            ),
        )
    })?;
    let content = Content::open(entry)?;
    if content.size() != size {
        return Err(changed(content.source()));
    }
    Ok(content)
}

/// The header of an entry, byte for byte.
pub(super) fn header(entry: &PlanEntry, owner: Owner) -> Result<Vec<u8>> {
    let (kind, mode) = match &entry.kind {
        PlanKind::Dir => (tar::Kind::Dir, 0o755),
        PlanKind::File { size, executable, .. } => {
            (tar::Kind::File { size: *size }, if *executable { 0o755 } else { 0o644 })
        }
        PlanKind::Inline { base64 } => (tar::Kind::File { size: decoded(base64)?.len() as u64 }, 0o644),
        PlanKind::Link { target } => (tar::Kind::Link { target: target.as_bytes().to_vec() }, 0o777),
    };
    let stamp = tar::Stamp { mode, uid: owner.uid.into(), gid: owner.gid.into(), mtime: MTIME };
    Ok(tar::header(entry.path.as_bytes(), &kind, stamp, &[]))
}

/// The exact size of a layer's tar.
pub(super) fn tar_size(plan: &LayerPlan, owner: Owner) -> u64 {
    let entries: u64 = plan
        .entries
        .iter()
        .map(|e| {
            let header = header(e, owner).map_or(tar::BLOCK, |h| h.len()) as u64;
            header + e.size().next_multiple_of(tar::BLOCK as u64)
        })
        .sum();
    entries + tar::END.len() as u64
}
