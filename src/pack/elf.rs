//! The head of an ELF file: what it is, for which machine, and what it needs to start.
//!
//! Only what decides whether a program can run alone is read: the header, the program headers, the
//! name of the interpreter and the dynamic entries (gABI, chapters 4 and 5; `elf.h` of the kernel).
//! It is no linker and looks at no section. The bytes are hostile: every table is bounded, every
//! offset is checked, nothing is believed about what was not read.

use std::io::{self, Read, Seek, SeekFrom};

/// The most program headers that are read; real programs have a dozen.
const MAX_HEADERS: u16 = 512;
/// The longest interpreter that is read (`PATH_MAX`).
const MAX_INTERPRETER: u64 = 4096;
/// The most bytes of dynamic entries that are read.
const MAX_DYNAMIC: u64 = 64 << 10;

const PT_LOAD: u32 = 1;
const PT_DYNAMIC: u32 = 2;
const PT_INTERP: u32 = 3;
const DT_NULL: u64 = 0;
const DT_NEEDED: u64 = 1;

/// What the head of an executable says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Elf {
    /// Number of the machine.
    machine: u16,
    /// Whether addresses have 64 bits.
    wide: bool,
    /// Whether the lowest byte of a number comes first.
    little: bool,
    /// The program that has to load it, where it names one.
    pub(super) interpreter: Option<Vec<u8>>,
    /// Whether it names libraries that have to be loaded with it.
    pub(super) needs_libraries: bool,
}

/// Why a file is no program that could be looked at.
#[derive(Debug)]
pub(super) enum Fault {
    /// It cannot be read.
    Io(io::Error),
    /// What it is instead, or what is broken in it: goes on after the file's name.
    Wrong(String),
}

impl From<io::Error> for Fault {
    fn from(e: io::Error) -> Self {
        match e.kind() {
            io::ErrorKind::UnexpectedEof => wrong("is cut off: it ends before what its header says"),
            _ => Self::Io(e),
        }
    }
}

fn wrong(why: impl Into<String>) -> Fault {
    Fault::Wrong(why.into())
}

impl Elf {
    /// Reads the head of a file of `size` bytes.
    pub(super) fn read(file: &mut (impl Read + Seek), size: u64) -> Result<Self, Fault> {
        let mut head = Vec::new();
        file.seek(SeekFrom::Start(0))?;
        file.take(64).read_to_end(&mut head)?;
        let ident = match head.get(..16) {
            Some(ident) if ident.starts_with(b"\x7fELF") => ident,
            _ if head.starts_with(b"#!") => return Err(wrong("is a script, and there is nothing to run it")),
            _ => return Err(wrong("is no ELF file, which a program for Linux is")),
        };
        let wide = match ident[4] {
            1 => false,
            2 => true,
            _ => return Err(wrong("is an ELF file of no known class")),
        };
        let little = match ident[5] {
            1 => true,
            2 => false,
            _ => return Err(wrong("is an ELF file of no known byte order")),
        };
        // System V and Linux.
        if !matches!(ident[7], 0 | 3) {
            return Err(wrong("is a program for another system than Linux"));
        }
        let field = Fields { bytes: &head, wide, little };
        let (kind, machine) = (field.half(16)?, field.half(18)?);
        let mut elf = Self { machine, wide, little, interpreter: None, needs_libraries: false };
        // ET_EXEC, and ET_DYN with a place to begin: a program that can be loaded anywhere.
        if !matches!(kind, 2 | 3) || field.address(24)? == 0 {
            return Err(wrong("is an ELF file, but no program that can be started"));
        }
        let table = field.address(if wide { 32 } else { 28 })?;
        let (each, count) = if wide { (56, 54) } else { (32, 42) };
        if field.half(count)? != each {
            return Err(wrong("is broken: its program headers have a size that they cannot have"));
        }
        let count = field.half(count + 2)?;
        if count > MAX_HEADERS {
            return Err(wrong(format!("has {count} program headers, at most {MAX_HEADERS} are read")));
        }
        let mut headers = vec![0; usize::from(count) * usize::from(each)];
        file.seek(SeekFrom::Start(table))?;
        file.read_exact(&mut headers)?;
        let mut loaded = false;
        for header in headers.chunks_exact(usize::from(each)) {
            let field = Fields { bytes: header, wide, little };
            let (offset, length) = match wide {
                true => (field.address(8)?, field.address(32)?),
                false => (field.address(4)?, field.address(16)?),
            };
            let kind = field.word(0)?;
            if matches!(kind, PT_LOAD | PT_DYNAMIC | PT_INTERP)
                && offset.checked_add(length).is_none_or(|end| end > size)
            {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
            }
            match kind {
                PT_LOAD => loaded = true,
                PT_INTERP => {
                    let name = piece(file, offset, length.min(MAX_INTERPRETER))?;
                    let end = name.iter().position(|b| *b == 0).unwrap_or(name.len());
                    elf.interpreter = Some(name.get(..end).unwrap_or_default().to_vec());
                }
                PT_DYNAMIC => {
                    let entries = piece(file, offset, length.min(MAX_DYNAMIC))?;
                    elf.needs_libraries |= elf.names_libraries(&entries)?;
                }
                _ => {}
            }
        }
        if !loaded {
            return Err(wrong("is an ELF file with nothing in it to be loaded"));
        }
        Ok(elf)
    }

    fn names_libraries(&self, entries: &[u8]) -> Result<bool, Fault> {
        for entry in entries.chunks_exact(if self.wide { 16 } else { 8 }) {
            match (Fields { bytes: entry, wide: self.wide, little: self.little }).address(0)? {
                DT_NULL => return Ok(false),
                DT_NEEDED => return Ok(true),
                _ => {}
            }
        }
        Ok(false)
    }

    /// The architecture as platforms name it; `None` for one that no image is published for.
    pub(super) fn architecture(&self) -> Option<&'static str> {
        Some(match (self.machine, self.wide, self.little) {
            (3, false, true) => "386",
            (21, true, true) => "ppc64le",
            (21, true, false) => "ppc64",
            (22, true, false) => "s390x",
            (40, false, true) => "arm",
            (62, true, true) => "amd64",
            (183, true, true) => "arm64",
            (243, true, true) => "riscv64",
            (258, true, true) => "loong64",
            _ => return None,
        })
    }

    /// The number of the machine, for who has no name for it.
    pub(super) fn machine(&self) -> u16 {
        self.machine
    }
}

fn piece(file: &mut (impl Read + Seek), offset: u64, length: u64) -> Result<Vec<u8>, Fault> {
    let mut bytes = vec![0; usize::try_from(length).unwrap_or(0)];
    file.seek(SeekFrom::Start(offset))?;
    file.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// Numbers of a header, in the class and byte order of the file.
struct Fields<'a> {
    bytes: &'a [u8],
    wide: bool,
    little: bool,
}

impl Fields<'_> {
    fn number(&self, at: usize, length: usize) -> Result<u64, Fault> {
        let bytes = self.bytes.get(at..at + length).ok_or(io::Error::from(io::ErrorKind::UnexpectedEof))?;
        let push = |n: u64, b: &u8| n << 8 | u64::from(*b);
        Ok(if self.little { bytes.iter().rev().fold(0, push) } else { bytes.iter().fold(0, push) })
    }

    fn half(&self, at: usize) -> Result<u16, Fault> {
        self.number(at, 2).map(|n| n as u16)
    }

    fn word(&self, at: usize) -> Result<u32, Fault> {
        self.number(at, 4).map(|n| n as u32)
    }

    /// An address, an offset or a size: as wide as the class.
    fn address(&self, at: usize) -> Result<u64, Fault> {
        self.number(at, if self.wide { 8 } else { 4 })
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A 64-bit little-endian program of the machine, with headers of (kind, content) behind it.
    pub(crate) fn program(machine: u16, parts: &[(u32, &[u8])]) -> Vec<u8> {
        let mut b = vec![0; 64];
        b[..8].copy_from_slice(b"\x7fELF\x02\x01\x01\0");
        let mut put = |at: usize, bytes: &[u8]| b[at..at + bytes.len()].copy_from_slice(bytes);
        put(16, &3u16.to_le_bytes());
        put(18, &machine.to_le_bytes());
        put(24, &0x1000u64.to_le_bytes());
        put(32, &64u64.to_le_bytes());
        put(54, &56u16.to_le_bytes());
        put(56, &(parts.len() as u16).to_le_bytes());
        let mut offset = 64 + 56 * parts.len() as u64;
        for (kind, content) in parts {
            let mut header = [0; 56];
            header[..4].copy_from_slice(&kind.to_le_bytes());
            header[8..16].copy_from_slice(&offset.to_le_bytes());
            header[32..40].copy_from_slice(&(content.len() as u64).to_le_bytes());
            b.extend_from_slice(&header);
            offset += content.len() as u64;
        }
        parts.iter().for_each(|(_, content)| b.extend_from_slice(content));
        b
    }

    fn read(bytes: &[u8]) -> Result<Elf, Fault> {
        Elf::read(&mut io::Cursor::new(bytes), bytes.len() as u64)
    }

    fn why(bytes: &[u8]) -> String {
        match read(bytes) {
            Err(Fault::Wrong(why)) => why,
            other => panic!("{other:?}"),
        }
    }

    fn dynamic(tag: u64) -> Vec<u8> {
        [tag, 1, DT_NULL, 0].iter().flat_map(|n| n.to_le_bytes()).collect()
    }

    #[test]
    fn a_static_program_needs_nothing() {
        let elf = read(&program(62, &[(PT_LOAD, b"code"), (PT_DYNAMIC, &dynamic(5))])).unwrap();
        assert_eq!((elf.architecture(), elf.interpreter, elf.needs_libraries), (Some("amd64"), None, false));
        for (machine, name) in [(183, "arm64"), (243, "riscv64"), (21, "ppc64le"), (258, "loong64")] {
            assert_eq!(read(&program(machine, &[(PT_LOAD, b"x")])).unwrap().architecture(), Some(name));
        }
        assert_eq!(read(&program(8, &[(PT_LOAD, b"x")])).unwrap().architecture(), None);
    }

    #[test]
    fn what_a_program_needs_is_told() {
        let linker = b"/lib64/ld-linux-x86-64.so.2\0";
        let elf = read(&program(62, &[(PT_INTERP, linker), (PT_LOAD, b"code")])).unwrap();
        assert_eq!(elf.interpreter.as_deref(), linker.split_last().map(|(_, name)| name));
        let elf = read(&program(62, &[(PT_LOAD, b"code"), (PT_DYNAMIC, &dynamic(DT_NEEDED))])).unwrap();
        assert!(elf.needs_libraries && elf.interpreter.is_none());
    }

    #[test]
    fn other_classes_and_byte_orders_are_read() {
        let mut b = vec![0; 52 + 32];
        b[..8].copy_from_slice(b"\x7fELF\x01\x01\x01\0");
        for (at, n) in [(16, 2u16), (18, 40), (42, 32), (44, 1)] {
            b[at..at + 2].copy_from_slice(&n.to_le_bytes());
        }
        b[24] = 1;
        b[28] = 52;
        b[52] = 1;
        assert_eq!(read(&b).unwrap().architecture(), Some("arm"));
        let mut big = vec![0; 64 + 56];
        big[..8].copy_from_slice(b"\x7fELF\x02\x02\x01\0");
        for (at, n) in [(16, 2u16), (18, 22), (54, 56), (56, 1)] {
            big[at..at + 2].copy_from_slice(&n.to_be_bytes());
        }
        (big[31], big[39], big[67]) = (1, 64, 1);
        assert_eq!(read(&big).unwrap().architecture(), Some("s390x"));
    }

    #[test]
    fn what_is_no_program_is_told_for_what_it_is() {
        assert!(why(b"#!/bin/sh\n").contains("a script"));
        assert!(why(b"").contains("no ELF file"));
        assert!(why(b"\x7fELF").contains("no ELF file"));
        let good = program(62, &[(PT_LOAD, b"code")]);
        let with = |at: usize, byte: u8| {
            let mut b = good.clone();
            b[at] = byte;
            why(&b)
        };
        assert!(with(4, 9).contains("class"));
        assert!(with(5, 0).contains("byte order"));
        assert!(with(7, 9).contains("another system"));
        // An object file, a library without a beginning, headers of a wrong size, too many of them.
        assert!(with(16, 1).contains("no program"));
        assert!(with(25, 0).contains("no program"));
        assert!(with(54, 55).contains("cannot have"));
        assert!(with(57, 0xff).contains("program headers"));
        assert!(why(&program(62, &[(PT_DYNAMIC, b"")])).contains("nothing in it"));
    }

    #[test]
    fn a_file_that_was_cut_off_is_refused_wherever_it_was() {
        let linker: &[u8] = b"/lib/ld.so\0";
        let whole = program(62, &[(PT_INTERP, linker), (PT_LOAD, b"code"), (PT_DYNAMIC, &dynamic(5))]);
        read(&whole).unwrap();
        for end in 0..whole.len() {
            let why = why(&whole[..end]);
            assert!(why.contains("cut off") || why.contains("no ELF"), "{end}: {why}");
        }
    }

    #[test]
    fn hostile_numbers_are_refused_and_ask_for_no_memory() {
        let whole = program(62, &[(PT_INTERP, b"/lib/ld.so\0"), (PT_LOAD, b"code")]);
        for at in [24, 32, 64 + 8, 64 + 32, 120 + 8, 120 + 32] {
            let mut b = whole.clone();
            b[at..at + 8].fill(0xff);
            if at == 24 {
                read(&b).unwrap();
            } else {
                assert!(read(&b).is_err(), "{at}");
            }
        }
        // Any byte may be anything.
        for at in 0..whole.len() {
            for byte in [0, 1, 0x7f, 0x80, 0xff] {
                let mut b = whole.clone();
                b[at] = byte;
                let _whatever = read(&b);
            }
        }
    }
}
