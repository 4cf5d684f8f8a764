//! Programs for Linux that are a few bytes long: enough of an ELF file to be looked at, not to be run.

/// What a linker names as the interpreter on amd64.
pub(crate) const LINKER: &[u8] = b"/lib64/ld-linux-x86-64.so.2\0";

/// Numbers of machines.
pub(crate) const AMD64: u16 = 62;
pub(crate) const ARM64: u16 = 183;

const LOAD: u32 = 1;
const INTERPRETER: u32 = 3;

/// This machine's platform, and its number.
pub(crate) fn host() -> (String, u16) {
    let machine = match std::env::consts::ARCH {
        "x86_64" => AMD64,
        "aarch64" => ARM64,
        other => panic!("add the number of `{other}` (elf.h, EM_…) here"),
    };
    (floe::oci::Platform::host().to_string(), machine)
}

/// A program that needs nothing.
pub(crate) fn fixed(machine: u16) -> Vec<u8> {
    program(machine, &[(LOAD, b"not really code")])
}

/// A program that needs a linker.
pub(crate) fn linked(machine: u16) -> Vec<u8> {
    program(machine, &[(INTERPRETER, LINKER), (LOAD, b"not really code")])
}

/// The header, the program headers, and what they speak of: 64 bits, lowest byte first (gABI,
/// chapters 4 and 5).
fn program(machine: u16, parts: &[(u32, &[u8])]) -> Vec<u8> {
    let mut bytes = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    for half in [2, machine] {
        bytes.extend(half.to_le_bytes());
    }
    bytes.extend(1u32.to_le_bytes());
    // Where it begins, its program headers, and its sections, of which there are none.
    for address in [0x40_0000_u64, 64, 0] {
        bytes.extend(address.to_le_bytes());
    }
    bytes.extend(0u32.to_le_bytes());
    for half in [64, 56, u16::try_from(parts.len()).unwrap(), 64, 0, 0] {
        bytes.extend(half.to_le_bytes());
    }
    assert_eq!(bytes.len(), 64);
    let mut offset = 64 + 56 * parts.len() as u64;
    for (kind, content) in parts {
        let length = content.len() as u64;
        bytes.extend(kind.to_le_bytes());
        bytes.extend(5u32.to_le_bytes());
        for number in [offset, 0x40_0000 + offset, 0x40_0000 + offset, length, length, 4096] {
            bytes.extend(number.to_le_bytes());
        }
        offset += length;
    }
    parts.iter().for_each(|(_, content)| bytes.extend_from_slice(content));
    bytes
}

/// The interpreter of a program of 64 bits, lowest byte first, read on other ways than floe's.
pub(crate) fn interpreter(bytes: &[u8]) -> Option<&[u8]> {
    let number = |at: usize, length: usize| {
        bytes[at..at + length].iter().rev().fold(0usize, |n, b| n << 8 | usize::from(*b))
    };
    let (table, count) = (number(32, 8), number(56, 2));
    assert!(count > 1, "a real program has several headers");
    let header = (0..count).map(|i| table + 56 * i).find(|at| number(*at, 4) == INTERPRETER as usize)?;
    Some(&bytes[number(header + 8, 8)..][..number(header + 32, 8)])
}
