//! Snappy's block format, which Spark compresses parquet pages with unless told otherwise.
//!
//! It is not the framed format of `.sz` files (google/snappy, format_description.txt).
//!
//! Invariant: the result has exactly the length that the block claims, which was checked against a
//! cap before; a copy reaches back only to what is there already.

use crate::model::parquet::Fault;

/// Three bytes can stand for 64, not more.
const MAX_RATIO: usize = 32;

/// The content of a block.
pub(super) fn unpack(block: &[u8], cap: usize) -> Result<Vec<u8>, Fault> {
    let mut at = 0;
    let mut size = 0u64;
    loop {
        let byte = *block.get(at).filter(|_| at < 5).ok_or_else(ends)?;
        size |= u64::from(byte & 0x7f) << (7 * at);
        at += 1;
        if byte & 0x80 == 0 {
            break;
        }
    }
    let size = usize::try_from(size).ok().filter(|n| *n <= cap);
    let size = size.ok_or_else(|| Fault::Limit(format!("a page has more than {cap} bytes")))?;
    if size > block.len().saturating_mul(MAX_RATIO) {
        return Err(Fault::broken("a compressed page claims more bytes than it can hold"));
    }
    let mut out = Vec::with_capacity(size);
    while at < block.len() {
        let tag = usize::from(block[at]);
        at += 1;
        let mut little = |n: usize| {
            let bytes = block.get(at..at + n).ok_or_else(ends)?;
            at += n;
            Ok::<usize, Fault>(bytes.iter().rev().fold(0, |sum, b| sum << 8 | usize::from(*b)))
        };
        let (length, back) = match tag & 3 {
            0 => {
                let length = match tag >> 2 {
                    short @ 0..=59 => short,
                    long => little(long - 59)?,
                };
                let length = length.saturating_add(1);
                let end = at.checked_add(length).filter(|e| *e <= block.len()).ok_or_else(ends)?;
                if length > size - out.len() {
                    return Err(longer());
                }
                out.extend_from_slice(&block[at..end]);
                at = end;
                continue;
            }
            1 => ((tag >> 2 & 7) + 4, (tag >> 5) << 8 | little(1)?),
            2 => ((tag >> 2) + 1, little(2)?),
            _ => ((tag >> 2) + 1, little(4)?),
        };
        if length > size - out.len() {
            return Err(longer());
        }
        let start = out.len().checked_sub(back).filter(|_| back > 0);
        let start = start.ok_or_else(|| Fault::broken("a compressed page refers to bytes before it"))?;
        for i in start..start + length {
            // What is copied may be what was just written.
            out.push(out[i]);
        }
    }
    if out.len() == size { Ok(out) } else { Err(ends()) }
}

fn ends() -> Fault {
    Fault::broken("a compressed page ends too early")
}

fn longer() -> Fault {
    Fault::broken("a compressed page is longer than it claims")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_and_copies_are_unpacked() {
        assert_eq!(unpack(b"\x00", 10).unwrap(), b"");
        assert_eq!(unpack(b"\x03\x08abc", 100).unwrap(), b"abc");
        // "abc", then nine bytes from three back.
        assert_eq!(unpack(b"\x0c\x08abc\x15\x03", 100).unwrap(), b"abcabcabcabc");
        assert_eq!(unpack(b"\x0c\x08abc\x22\x03\x00", 100).unwrap(), b"abcabcabcabc");
    }

    #[test]
    fn lies_are_refused() {
        for bad in [
            &b""[..],
            b"\xff\xff\xff\xff\xff\x01",
            b"\xff\xff\x03",
            b"\x05\xfc\xff\xff\xff\xff",
            b"\x04\x00a\x05\x05",
            b"\x04\x00a\x05\x00",
            b"\x01\x08abc",
            b"\x0b\x08abc\x15\x03",
        ] {
            unpack(bad, 1 << 20).unwrap_err();
        }
    }
}
