//! Hadoop's stream of compressed blocks: what it writes with Snappy and LZ4, in text files and in
//! parquet pages of its old LZ4.
//!
//! Each block begins with its length unpacked, then come one or more pieces with their length packed,
//! both four bytes, the highest first (Hadoop's `BlockCompressorStream`). It is neither the framed
//! format of `.sz` files nor that of `lz4` on the command line.
//!
//! Invariant: no more is unpacked than the cap allows, and nothing is allocated that no packed bytes
//! could stand for.

use crate::model::parquet::{Fault, snappy};

/// One byte of LZ4 stands for at most 255.
const MAX_RATIO: usize = 256;

/// How the pieces of a block are packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Codec {
    /// Google's, as one block.
    Snappy,
    /// LZ4, as one block.
    Lz4,
}

/// The content of a stream, at most `cap` bytes.
pub(crate) fn unpack(codec: Codec, bytes: &[u8], cap: usize) -> Result<Vec<u8>, Fault> {
    let ends = || Fault::broken("a compressed stream ends inside a block");
    let mut rest = bytes;
    let mut out = Vec::new();
    while let Some((whole, after)) = length(rest) {
        rest = after;
        let end = out.len().checked_add(whole).filter(|n| *n <= cap);
        let end = end.ok_or_else(|| Fault::Limit(format!("a stream has more than {cap} bytes")))?;
        while out.len() < end {
            let (n, after) = length(rest).ok_or_else(ends)?;
            let (piece, after) = after.split_at_checked(n).ok_or_else(ends)?;
            rest = after;
            let left = end - out.len();
            let part = match codec {
                Codec::Snappy => snappy::unpack(piece, left)?,
                Codec::Lz4 => lz4(piece, left)?,
            };
            if part.is_empty() {
                return Err(Fault::broken("a piece of a compressed stream is empty"));
            }
            out.extend_from_slice(&part);
        }
    }
    Ok(out)
}

fn length(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let (n, after) = bytes.split_first_chunk()?;
    Some((u32::from_be_bytes(*n) as usize, after))
}

/// The content of one block of LZ4, at most `cap` bytes.
pub(super) fn lz4(block: &[u8], cap: usize) -> Result<Vec<u8>, Fault> {
    let mut out = vec![0; cap.min(block.len().saturating_mul(MAX_RATIO))];
    let n = lz4_flex::block::decompress_into(block, &mut out)
        .map_err(|e| Fault::broken(format!("a compressed page cannot be unpacked: {e}")))?;
    out.truncate(n);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(blocks: &[(usize, &[&[u8]])]) -> Vec<u8> {
        let mut all = Vec::new();
        for (whole, pieces) in blocks {
            all.extend((*whole as u32).to_be_bytes());
            for piece in *pieces {
                all.extend((piece.len() as u32).to_be_bytes());
                all.extend_from_slice(piece);
            }
        }
        all
    }

    #[test]
    fn blocks_of_several_pieces_are_joined() {
        let snappy: [&[u8]; 2] = [b"\x03\x08abc", b"\x02\x04de"];
        let bytes = stream(&[(5, &snappy), (3, &snappy[..1]), (0, &[])]);
        assert_eq!(unpack(Codec::Snappy, &bytes, 100).unwrap(), b"abcdeabc");
        // Three literals, then nine bytes from three back; the last five are literals.
        let lz4: &[u8] = b"\x35abc\x03\x00\x50ababc";
        let bytes = stream(&[(17, &[lz4])]);
        assert_eq!(unpack(Codec::Lz4, &bytes, 17).unwrap(), b"abcabcabcabcababc");
        assert_eq!(unpack(Codec::Lz4, b"", 17).unwrap(), b"");
    }

    #[test]
    fn lies_are_refused() {
        let good: &[u8] = b"\x03\x08abc";
        for bad in [
            stream(&[(3, &[])]),
            stream(&[(3, &[b""])]),
            stream(&[(2, &[good])]),
            stream(&[(4, &[good])]),
            stream(&[(1 << 31, &[good])]),
            stream(&[(3, &[good])])[..9].to_vec(),
        ] {
            unpack(Codec::Snappy, &bad, 1 << 20).unwrap_err();
            unpack(Codec::Lz4, &bad, 1 << 20).unwrap_err();
        }
        // Nothing in, nothing allocated for what is claimed.
        assert!(lz4(b"\xff\xff\xff", usize::MAX).is_err());
    }
}
