//! B-trees: of version 1, as groups of old have them for their symbols, and of version 2, for links
//! and attributes in dense storage.
//!
//! A tree is gone through as a whole; nothing is searched in it.
//!
//! Invariant: no node is read twice, a tree is at most [`MAX_DEPTH`] deep and the number of nodes
//! and records is limited.

use std::collections::BTreeSet;

use crate::error::Result;
use crate::model::hdf5::bytes::{Reader, broken, log2};

/// How deep a tree may be; one of depth 4 already holds billions of records.
const MAX_DEPTH: u16 = 16;
/// The most records of one tree, and the most nodes.
const MAX_RECORDS: usize = 200_000;

/// The addresses of all symbol nodes of a group, in order.
pub(super) fn symbol_nodes(reader: &Reader<'_>, root: u64) -> Result<Vec<u64>> {
    let mut found = Vec::new();
    let mut seen = BTreeSet::new();
    // Last in, first out: children are pushed in reverse to come in order.
    let mut todo = vec![(root, None::<u8>)];
    let width = usize::from(reader.widths.address);
    let key = usize::from(reader.widths.length);
    while let Some((at, level)) = todo.pop() {
        if !seen.insert(at) || seen.len() > MAX_RECORDS {
            return Err(broken("the tree of a group leads into itself"));
        }
        let head = reader.bytes(at, 8)?;
        let mut f = reader.fields(&head);
        f.signature(b"TREE")?;
        let (kind, here, used) = (f.u8()?, f.u8()?, usize::from(f.u16()?));
        if kind != 0 || level.is_some_and(|l| l != here) {
            return Err(broken("a node of another tree in the tree of a group"));
        }
        let body = reader.bytes(at.saturating_add(8), 2 * width + used * (width + key))?;
        let mut f = reader.fields(&body);
        f.skip(2 * width)?;
        let mut children = Vec::with_capacity(used);
        for _ in 0..used {
            f.skip(key)?;
            children.extend(f.address()?);
        }
        match here.checked_sub(1) {
            None => found.extend(children),
            Some(below) => todo.extend(children.into_iter().rev().map(|c| (c, Some(below)))),
        }
        if found.len() > MAX_RECORDS || todo.len() > MAX_RECORDS {
            return Err(broken(format!("a group of more than {MAX_RECORDS} nodes")));
        }
    }
    Ok(found)
}

/// All records of a tree of version 2, each as its bytes.
pub(super) fn records(reader: &Reader<'_>, header: u64, kinds: &[u8]) -> Result<Vec<Vec<u8>>> {
    let width = usize::from(reader.widths.address);
    let head = reader.bytes(header, 16 + width + 2)?;
    let mut f = reader.fields(&head);
    f.signature(b"BTHD")?;
    let (version, kind) = (f.u8()?, f.u8()?);
    if version != 0 || !kinds.contains(&kind) {
        return Err(broken(format!("a tree of kind {kind} where one of {kinds:?} was expected")));
    }
    let node_size = u64::from(f.u32()?);
    let record = usize::from(f.u16()?);
    let depth = f.u16()?;
    f.skip(2)?;
    let root = f.address()?;
    let in_root = u64::from(f.u16()?);
    let Some(root) = root else { return Ok(Vec::new()) };
    if depth > MAX_DEPTH || record == 0 || node_size < 16 {
        return Err(broken(format!("a tree {depth} deep with records of {record} bytes")));
    }
    let sizes = Sizes::of(node_size, record as u64, width as u64, depth);
    let mut found = Vec::new();
    let mut seen = BTreeSet::new();
    let mut todo = vec![(root, depth, in_root)];
    while let Some((at, depth, count)) = todo.pop() {
        if !seen.insert(at) || seen.len() > MAX_RECORDS {
            return Err(broken("a tree leads into itself"));
        }
        let count = usize::try_from(count).ok().filter(|n| *n <= MAX_RECORDS);
        let Some(count) = count else { return Err(broken("a node of a tree has too many records")) };
        let total = sizes.child(depth);
        let pointers = if depth == 0 { 0 } else { (count + 1) * (width + sizes.count + total) };
        let bytes = reader.bytes(at, 6 + count * record + pointers)?;
        let mut f = reader.fields(&bytes);
        f.signature(if depth == 0 { b"BTLF" } else { b"BTIN" })?;
        f.skip(2)?;
        for _ in 0..count {
            found.push(f.take(record)?.to_vec());
        }
        if found.len() > MAX_RECORDS {
            return Err(broken(format!("a tree of more than {MAX_RECORDS} records")));
        }
        let Some(below) = depth.checked_sub(1) else { continue };
        for _ in 0..=count {
            let child = f.address()?.ok_or_else(|| broken("a tree without one of its nodes"))?;
            let records = f.uint(sizes.count)?;
            f.skip(total)?;
            todo.push((child, below, records));
        }
    }
    Ok(found)
}

/// How wide the numbers beside a child's address are; they follow from how many records fit.
struct Sizes {
    count: usize,
    totals: Vec<usize>,
}

impl Sizes {
    /// As `H5B2__hdr_init` of the library computes them.
    fn of(node: u64, record: u64, address: u64, depth: u16) -> Self {
        const FRAME: u64 = 10;
        let encoded = |n: u64| u64::from(log2(n)) / 8 + 1;
        let leaf = node.saturating_sub(FRAME) / record;
        let count = encoded(leaf);
        let (mut cumulative, mut width) = (leaf, 0);
        let mut totals = vec![0];
        for _ in 0..depth {
            let pointer = address + count + width;
            let most = node.saturating_sub(FRAME + pointer) / (record + pointer);
            cumulative = (most + 1).saturating_mul(cumulative).saturating_add(most);
            width = encoded(cumulative);
            totals.push(usize::try_from(width).unwrap_or(8));
        }
        Self { count: usize::try_from(count).unwrap_or(8), totals }
    }

    /// How wide the total of a child is in a node of this depth.
    fn child(&self, depth: u16) -> usize {
        depth.checked_sub(1).and_then(|d| self.totals.get(usize::from(d))).copied().unwrap_or(0)
    }
}
