//! How well some bytes would compress, by integer arithmetic of our own.
//!
//! The answer decides whether a layer is gzipped and thereby its digest, so it may not depend on a
//! compressor's next release: this is no compressor but a rough model of one (greedy matches of
//! four bytes and more, literals at their order-0 entropy; or literals alone where that is less, as
//! for numbers of few values, whose matches are short). Changing anything here changes the layout version.

/// Entries of the table of last positions; a power of two.
const TABLE: usize = 1 << 15;
/// As far back as deflate can point.
const WINDOW: usize = 1 << 15;
/// The longest match of deflate.
const LONGEST: usize = 258;
/// What a match costs in 1/256 bit: length and distance codes with their extra bits, about.
const MATCH_COST: u64 = 20 * 256;

/// The estimated size of `bytes` after deflate, in bytes.
pub fn deflated(bytes: &[u8]) -> u64 {
    let mut last = vec![u32::MAX; TABLE];
    let mut literals = [0u64; 256];
    let mut matches = 0u64;
    let mut i = 0;
    while i < bytes.len() {
        let Some(word) = bytes.get(i..i + 4) else {
            literals[usize::from(bytes[i])] += 1;
            i += 1;
            continue;
        };
        let word = u32::from_le_bytes([word[0], word[1], word[2], word[3]]);
        let slot = (word.wrapping_mul(0x9e37_79b1) >> 17) as usize;
        let before = last[slot] as usize;
        last[slot] = u32::try_from(i).unwrap_or(u32::MAX);
        if before < i && i - before <= WINDOW {
            let length =
                bytes[i..].iter().take(LONGEST).zip(&bytes[before..]).take_while(|(a, b)| a == b).count();
            if length >= 4 {
                matches += 1;
                i += length;
                continue;
            }
        }
        literals[usize::from(bytes[i])] += 1;
        i += 1;
    }
    let mut all = [0u64; 256];
    bytes.iter().for_each(|b| all[usize::from(*b)] += 1);
    (entropy(&literals) + matches * MATCH_COST).min(entropy(&all)).div_ceil(8 * 256)
}

/// What literals that come so often take together, in 1/256 bit.
fn entropy(counts: &[u64; 256]) -> u64 {
    let total: u64 = counts.iter().sum();
    counts.iter().filter(|n| **n > 0).map(|n| n * (log2(total) - log2(*n))).sum()
}

/// The binary logarithm in 1/256, rounded down; 0 of 0.
fn log2(n: u64) -> u64 {
    let Some(whole) = n.checked_ilog2() else { return 0 };
    // The mantissa as a fixed-point number in [1, 2) with 30 fractional bits, squared once a digit.
    let mut m = if whole > 30 { n >> (whole - 30) } else { n << (30 - whole) };
    let mut digits = 0;
    for _ in 0..8 {
        m = (m * m) >> 30;
        digits <<= 1;
        if m >= 2 << 30 {
            m >>= 1;
            digits |= 1;
        }
    }
    u64::from(whole) * 256 + digits
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(len: usize) -> Vec<u8> {
        let mut s = 1u64;
        (0..len)
            .map(|_| {
                s = s.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (s >> 56) as u8
            })
            .collect()
    }

    #[test]
    fn logarithms() {
        assert_eq!([log2(1), log2(2), log2(1 << 40)], [0, 256, 40 * 256]);
        assert_eq!(log2(3), 405);
        assert_eq!(log2(0), 0);
    }

    #[test]
    fn noise_stays_and_text_shrinks() {
        let n = noise(1 << 18);
        assert!(deflated(&n) * 100 > n.len() as u64 * 98);
        let text = b"the quick brown fox jumps over the lazy dog ".repeat(1000);
        assert!(deflated(&text) * 10 < text.len() as u64);
        assert_eq!(deflated(b""), 0);
    }

    /// Weights: three random bytes and one of a few values. Deflate level 2 gives 0.927 or so.
    #[test]
    fn float_weights_are_not_worth_it() {
        let mut w = noise(1 << 18);
        for (i, b) in w.iter_mut().enumerate() {
            if i % 4 == 3 {
                *b = [0x3c, 0xbc, 0x3b, 0xbb][usize::from(*b & 3)];
            }
        }
        let permille = deflated(&w) * 1000 / w.len() as u64;
        assert!((750..1000).contains(&permille), "{permille}");
    }

    /// Floats that were widened from four bits, as dequantised weights are. Deflate level 2 gives 0.33 or so.
    #[test]
    fn numbers_of_few_values_are_worth_it() {
        let mut w = noise(1 << 18);
        for (i, b) in w.iter_mut().enumerate() {
            *b = match i % 4 {
                0 | 1 => 0,
                2 => *b & 0xf0,
                _ => [0x3c, 0xbc, 0x3b, 0xbb, 0x3d, 0xbd, 0x3c, 0xbc][usize::from(*b & 7)],
            };
        }
        let permille = deflated(&w) * 1000 / w.len() as u64;
        assert!((300..450).contains(&permille), "{permille}");
    }

    #[test]
    fn the_estimate_is_pinned() {
        let mut mixed = noise(100_000);
        mixed.extend(b"def predict(self, batch): return self.model(batch)\n".repeat(3000));
        assert_eq!(deflated(&mixed), 101_544);
    }
}
