//! Compressed streams as sources: inflated as they are read, forward, and never kept.
//!
//! A read behind the place that was reached begins anew. What joblib compresses with is in
//! joblib/compressor.py.
//!
//! Invariants: the work is bounded, in bytes that go in and come out; so is the memory, whatever
//! window or dictionary a stream asks for.

use std::cell::{Cell, RefCell};
use std::io::{self, BufReader, Read};
use std::rc::Rc;

use crate::error::{At, Error, Result};
use crate::model::pb::Source;

/// How much work one stream may be, in bytes of zlib's output: about two seconds.
const WORK: u64 = 256 << 20;
/// The largest dictionary of xz and LZMA, in KiB, with what belongs to it.
const MAX_DICTIONARY: u32 = 66 << 10;
/// How much is left out at once.
const CHUNK: usize = 64 << 10;

/// What a stream is compressed with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Codec {
    Zlib,
    Gzip,
    Bzip2,
    Xz,
    Lzma,
    Lz4,
    /// zlib behind the length in hexadecimal digits (joblib before 0.10, `write_zfile`).
    Zf,
}

/// How many bytes stand before the stream in joblib's old files: `ZF` and the length, padded to 19.
const ZF_HEADER: u64 = 21;

impl Codec {
    /// The codec that the first bytes of a stream tell.
    pub(super) fn of(head: &[u8]) -> Option<Self> {
        match head {
            // The second byte also makes the first two a multiple of 31 (RFC 1950, §2.2).
            [0x78, 0x01 | 0x5e | 0x9c | 0xda, ..] => Some(Self::Zlib),
            [0x1f, 0x8b, 8, ..] => Some(Self::Gzip),
            [b'B', b'Z', b'h', b'1'..=b'9', ..] => Some(Self::Bzip2),
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Some(Self::Xz),
            [0x5d, 0, 0, ..] => Some(Self::Lzma),
            [0x04, 0x22, 0x4d, 0x18, ..] => Some(Self::Lz4),
            [b'Z', b'F', b'0', b'x', ..] => Some(Self::Zf),
            _ => None,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Zlib | Self::Zf => "zlib",
            Self::Gzip => "gzip",
            Self::Bzip2 => "bzip2",
            Self::Xz => "xz",
            Self::Lzma => "lzma",
            Self::Lz4 => "lz4",
        }
    }

    /// What a byte that goes in and one that comes out cost, beside zlib's.
    fn costs(self) -> (u64, u64) {
        match self {
            Self::Zlib | Self::Gzip | Self::Lz4 | Self::Zf => (1, 1),
            Self::Bzip2 => (1, 6),
            Self::Xz | Self::Lzma => (8, 1),
        }
    }
}

/// A compressed stream as what it holds.
pub(super) struct Inflated<'s> {
    source: &'s dyn Source,
    codec: Codec,
    state: RefCell<State<'s>>,
    work: Cell<u64>,
    fed: Rc<Cell<u64>>,
    /// Set when the work was done before the end was reached.
    pub(super) cut: Cell<bool>,
}

struct State<'s> {
    reader: Option<Box<dyn Read + 's>>,
    at: u64,
}

impl<'s> Inflated<'s> {
    pub(super) fn new(source: &'s dyn Source, codec: Codec) -> Self {
        Self {
            source,
            codec,
            state: RefCell::new(State { reader: None, at: 0 }),
            work: Cell::new(WORK),
            fed: Rc::default(),
            cut: Cell::new(false),
        }
    }

    /// As [`Inflated::new`], for a look at the beginning.
    pub(super) fn beginning(source: &'s dyn Source, codec: Codec) -> Self {
        Self { work: Cell::new(WORK / 16), ..Self::new(source, codec) }
    }

    pub(super) fn codec(&self) -> Codec {
        self.codec
    }

    fn reader(&self) -> io::Result<Box<dyn Read + 's>> {
        let at = match self.codec {
            Codec::Zf => self.behind_header().map_err(Error::into_io)?,
            _ => 0,
        };
        let input =
            BufReader::with_capacity(CHUNK, Cursor { source: self.source, at, fed: Rc::clone(&self.fed) });
        Ok(match self.codec {
            Codec::Zlib | Codec::Zf => Box::new(flate2::bufread::ZlibDecoder::new(input)),
            Codec::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(input)),
            Codec::Bzip2 => Box::new(bzip2::bufread::MultiBzDecoder::new(input)),
            Codec::Xz => Box::new(lzma_rust2::XzReader::new_mem_limit(input, true, MAX_DICTIONARY)),
            Codec::Lzma => Box::new(lzma_rust2::LzmaReader::new_mem_limit(input, MAX_DICTIONARY, None)?),
            Codec::Lz4 => Box::new(lz4_flex::frame::FrameDecoder::new(input)),
        })
    }

    /// Where the stream begins in joblib's old files: until 0.8.4 Python 2 padded by one more.
    fn behind_header(&self) -> Result<u64> {
        let mut next = [0];
        let got = self.source.read_at(ZF_HEADER, &mut next)?;
        Ok(ZF_HEADER + u64::from(got == 1 && next == *b" "))
    }

    /// Reads from where the stream is; fewer bytes than asked for only at its end.
    fn fill(&self, state: &mut State<'s>, buf: &mut [u8]) -> io::Result<usize> {
        let mut done = 0;
        while done < buf.len() {
            let (cost_in, cost_out) = self.codec.costs();
            let Some(reader) = &mut state.reader else { break };
            if self.work.get() == 0 {
                self.cut.set(true);
                break;
            }
            let got = reader.read(&mut buf[done..])?;
            if got == 0 {
                break;
            }
            done += got;
            state.at += got as u64;
            let spent = got as u64 * cost_out + self.fed.take() * cost_in;
            self.work.set(self.work.get().saturating_sub(spent));
        }
        Ok(done)
    }
}

impl Source for Inflated<'_> {
    /// Nobody knows before the end.
    fn size(&self) -> u64 {
        u64::MAX
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<usize> {
        let state = &mut *self.state.borrow_mut();
        let inflate = |e| Err(e).doing(format!("inflate what is compressed with {}", self.codec.name()));
        if state.reader.is_none() || offset < state.at {
            match self.reader() {
                Ok(reader) => *state = State { reader: Some(reader), at: 0 },
                Err(e) => return inflate(e),
            }
        }
        let mut scratch = vec![0; if offset > state.at { CHUNK } else { 0 }];
        while state.at < offset {
            let want = usize::try_from(offset - state.at).unwrap_or(CHUNK).min(CHUNK);
            match self.fill(state, &mut scratch[..want]) {
                Ok(0) => return Ok(0),
                Ok(_) => {}
                Err(e) => return inflate(e),
            }
        }
        self.fill(state, buf).or_else(inflate)
    }
}

/// A source read from its beginning.
struct Cursor<'s> {
    source: &'s dyn Source,
    at: u64,
    /// What was read since somebody last asked.
    fed: Rc<Cell<u64>>,
}

impl Read for Cursor<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let got = self.source.read_at(self.at, buf).map_err(Error::into_io)?;
        self.at += got as u64;
        self.fed.set(self.fed.get() + got as u64);
        Ok(got)
    }
}
