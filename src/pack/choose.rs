//! Whether compressing a layer is worth it.
//!
//! Three samples of fixed place and size decide: the first, the middle and the last 256 KiB of the
//! layer's content. Weights as floats hardly shrink, and gzip would cost more time than the network
//! saves; code and text shrink to a third. The estimate is ours ([`crate::blob::codec::estimate`]),
//! so that the choice is the same in every release.

use super::stream;
use crate::blob::codec::{Codec, estimate};
use crate::error::Result;
use crate::model::Tree;
use crate::plan::{LayerPlan, PlanKind, decoded};

/// Bytes of one sample.
const SAMPLE: u64 = 256 << 10;
/// A file with its own layer is compressed when it shrinks to this many percent or less.
const SINGLE_PERCENT: u64 = 50;
/// The same for layers of several files.
const GROUP_PERCENT: u64 = 90;

/// Gzip where the samples shrink enough, else as it is.
pub fn codec(plan: &LayerPlan, tree: &Tree) -> Result<Codec> {
    let total = plan.size();
    let percent = if plan.is_single() && total >= crate::plan::split::OWN_LAYER {
        SINGLE_PERCENT
    } else {
        GROUP_PERCENT
    };
    let (mut before, mut after) = (0, 0);
    for (start, end) in ranges(total) {
        let bytes = read(plan, tree, start, end)?;
        before += bytes.len() as u64;
        after += estimate::deflated(&bytes);
    }
    Ok(if before > 0 && after * 100 <= before * percent { Codec::Gzip } else { Codec::None })
}

/// The samples of a content of `total` bytes; all of it where they would overlap.
fn ranges(total: u64) -> Vec<(u64, u64)> {
    if total <= 3 * SAMPLE {
        return vec![(0, total)];
    }
    let middle = (total - SAMPLE) / 2;
    vec![(0, SAMPLE), (middle, middle + SAMPLE), (total - SAMPLE, total)]
}

/// The bytes from `start` to `end` of all files of the layer as one content.
fn read(plan: &LayerPlan, tree: &Tree, start: u64, end: u64) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    let mut at = 0;
    for entry in &plan.entries {
        let size = entry.size();
        let (from, to) = (start.max(at), end.min(at + size));
        if from < to {
            let mut piece = vec![0; usize::try_from(to - from).unwrap_or(0)];
            match &entry.kind {
                PlanKind::File { from: path, size, .. } => {
                    let n = stream::open(tree, path.as_bytes(), *size)?.read_at(from - at, &mut piece)?;
                    piece.truncate(n);
                }
                PlanKind::Inline { base64 } => {
                    let first = usize::try_from(from - at).unwrap_or(0);
                    let last = first + piece.len();
                    piece.copy_from_slice(&decoded(base64)?[first..last]);
                }
                PlanKind::Dir | PlanKind::Link { .. } => {}
            }
            out.extend_from_slice(&piece);
        }
        at += size;
        if at >= end {
            break;
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_lie_where_they_are_promised() {
        assert_eq!(ranges(100), [(0, 100)]);
        assert_eq!(ranges(3 * SAMPLE), [(0, 3 * SAMPLE)]);
        assert_eq!(
            ranges(10 * SAMPLE),
            [(0, SAMPLE), (9 * SAMPLE / 2, 11 * SAMPLE / 2), (9 * SAMPLE, 10 * SAMPLE)]
        );
    }
}
