//! Headers of the tar files that archives are, every byte of them written here.
//!
//! They are ustar (POSIX.1-1988), with one owner, one mode and one time for all, so that equal
//! content gives equal files. Sizes from 8 GiB stand in base 256, as GNU tar has them: unlike a PAX
//! record this needs no second header, whose place would have to be kept before the size is known.

/// Size of a header, and what everything in a tar is padded to.
pub(crate) const BLOCK: u64 = 512;
/// Sizes from here on do not fit into eleven octal digits.
const OCTAL_END: u64 = 1 << 33;
/// The time of every entry, in seconds: 1 rather than 0, which some tools take for "no time".
const MTIME: u64 = 1;

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A regular file, mode 0644.
    File,
    /// A folder, mode 0755.
    Folder,
}

/// The header of an entry. `name` has at most 100 bytes: those of archives are known and short.
pub(crate) fn header(name: &str, size: u64, kind: Kind) -> [u8; 512] {
    let (mode, flag) = match kind {
        Kind::File => (0o644, b'0'),
        Kind::Folder => (0o755, b'5'),
    };
    let mut h = [0; 512];
    let bytes = name.as_bytes();
    let length = bytes.len().min(100);
    h[..length].copy_from_slice(&bytes[..length]);
    octal(&mut h[100..108], mode);
    octal(&mut h[108..116], 0);
    octal(&mut h[116..124], 0);
    if size < OCTAL_END {
        octal(&mut h[124..136], size);
    } else {
        h[124] = 0x80;
        h[128..136].copy_from_slice(&size.to_be_bytes());
    }
    octal(&mut h[136..148], MTIME);
    h[156] = flag;
    h[257..265].copy_from_slice(b"ustar\x0000");
    octal(&mut h[329..337], 0);
    octal(&mut h[337..345], 0);
    let sum = checksum(&h);
    octal(&mut h[148..155], sum);
    h[155] = b' ';
    h
}

/// Fills a field with octal digits and a final NUL.
fn octal(field: &mut [u8], mut value: u64) {
    let Some((last, digits)) = field.split_last_mut() else { return };
    *last = 0;
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (value & 7) as u8;
        value >>= 3;
    }
}

/// The sum of a header's bytes, those of the sum itself taken as spaces.
pub(crate) fn checksum(h: &[u8; 512]) -> u64 {
    h.iter().enumerate().map(|(i, b)| if (148..156).contains(&i) { 32 } else { u64::from(*b) }).sum()
}

/// How many bytes fill the last block of content that long.
pub(crate) fn padding(size: u64) -> u64 {
    (BLOCK - size % BLOCK) % BLOCK
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tar_crate_reads_every_field() {
        for size in [0, 1, OCTAL_END - 1, OCTAL_END, 9 << 30, 1 << 50] {
            let bytes = header("blobs/sha256/abc", size, Kind::File);
            let h = tar::Header::from_byte_slice(&bytes);
            assert_eq!(h.entry_size().unwrap(), size);
            assert_eq!(h.path_bytes().as_ref(), b"blobs/sha256/abc");
            assert_eq!(
                (h.mode().unwrap(), h.uid().unwrap(), h.gid().unwrap(), h.mtime().unwrap()),
                (0o644, 0, 0, 1)
            );
            assert_eq!(u64::from(h.cksum().unwrap()), checksum(&bytes));
            assert!(h.as_ustar().is_some());
            assert!(h.entry_type().is_file());
        }
        let bytes = header("blobs/", 0, Kind::Folder);
        assert!(tar::Header::from_byte_slice(&bytes).entry_type().is_dir());
    }

    #[test]
    fn content_is_padded_to_whole_blocks() {
        assert_eq!([0, 1, 511, 512, 513].map(padding), [0, 511, 1, 0, 511]);
    }
}
