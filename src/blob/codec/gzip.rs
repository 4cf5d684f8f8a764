//! Gzip in independent blocks, compressed by the threads of a [`Pool`].
//!
//! The result is one ordinary gzip member. Every [`BLOCK`] of input is deflated by a compressor of
//! its own in a single call and ends on a byte boundary (a sync flush), so that blocks can be made
//! in any order and simply stand one after the other. zlib-rs gives other bytes when its input is
//! cut into other calls or when a compressor is used again; hence the one call and the fresh start.

use std::collections::VecDeque;
use std::io::{self, Read};
use std::sync::Arc;

use flate2::{Compress, Compression, Crc, FlushCompress, Status};

use super::pool::{Pending, Pool};

/// Bytes of input in a block. Changing it changes every gzip digest.
const BLOCK: usize = 1 << 20;
/// Deflate level. Changing it changes every gzip digest.
pub(super) const LEVEL: u32 = 2;
/// Deflate level of programs, which are packed anew in each build: a fifth larger in half the time.
pub(super) const QUICK: u32 = 1;
/// No name, no time, no flags, no operating system (RFC 1952, 2.3).
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0];

/// A reader of the gzip form of what another reader gives.
pub struct Gzip<R> {
    inner: R,
    level: u32,
    pool: Arc<Pool>,
    /// Blocks that are being compressed, in their order.
    pending: VecDeque<Pending>,
    /// Blocks whose memory can be used again.
    spare: Vec<Block>,
    out: Out,
    at: usize,
    crc: Crc,
    /// Whether the input is at its end.
    read: bool,
    ended: bool,
}

/// What is handed out.
enum Out {
    Bytes(Vec<u8>),
    Block(Block),
}

impl Out {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Block(block) => &block.output,
        }
    }
}

pub(super) struct Block {
    input: Vec<u8>,
    last: bool,
    output: Vec<u8>,
    crc: Crc,
}

impl<R: Read> Gzip<R> {
    pub(super) fn new(inner: R, level: u32, pool: &Arc<Pool>) -> Self {
        Self {
            inner,
            level,
            pool: Arc::clone(pool),
            pending: VecDeque::new(),
            spare: Vec::new(),
            out: Out::Bytes(HEADER.to_vec()),
            at: 0,
            crc: Crc::new(),
            read: false,
            ended: false,
        }
    }

    pub(super) fn into_inner(self) -> R {
        self.inner
    }

    /// Reads the next block.
    fn block(&mut self) -> io::Result<Block> {
        let mut block = self.spare.pop().unwrap_or_else(|| Block::new(Vec::with_capacity(BLOCK), false));
        block.input.clear();
        (&mut self.inner).take(BLOCK as u64).read_to_end(&mut block.input)?;
        self.read = block.input.len() < BLOCK;
        block.last = self.read;
        Ok(block)
    }

    /// Goes on to the next compressed block, and to the end after the last.
    fn refill(&mut self) -> io::Result<()> {
        self.at = 0;
        let before = std::mem::replace(&mut self.out, Out::Bytes(Vec::new()));
        if let Out::Block(block) = before {
            let last = block.last;
            self.spare.push(block);
            if last {
                self.ended = true;
                let (sum, amount) = (self.crc.sum(), self.crc.amount());
                self.out = Out::Bytes([sum.to_le_bytes(), amount.to_le_bytes()].concat());
                return Ok(());
            }
        }
        let block = if self.pool.threads() == 1 {
            let mut block = self.block()?;
            block.deflate(self.level)?;
            block
        } else {
            while !self.read && self.pool.admits(self.pending.len()) {
                let block = self.block()?;
                let pending = self.pool.give(block, self.level, self.pending.len());
                self.pending.push_back(pending);
            }
            let next = self.pending.pop_front();
            next.ok_or_else(|| io::Error::other("a stream was read on after an error"))?.wait()?
        };
        self.crc.combine(&block.crc);
        self.out = Out::Block(block);
        Ok(())
    }
}

impl Block {
    pub(super) fn new(input: Vec<u8>, last: bool) -> Self {
        Self { input, last, output: Vec::new(), crc: Crc::new() }
    }

    pub(super) fn deflate(&mut self, level: u32) -> io::Result<()> {
        self.crc.reset();
        self.crc.update(&self.input);
        self.output.clear();
        // Level 2 can make noise larger by a few percent; twice the size is more than it ever needs.
        self.output.reserve(self.input.len() * 2 + 1024);
        let mut compress = Compress::new(Compression::new(level), false);
        let flush = if self.last { FlushCompress::Finish } else { FlushCompress::Sync };
        let status = compress.compress_vec(&self.input, &mut self.output, flush).map_err(io::Error::other)?;
        let wanted = if self.last { Status::StreamEnd } else { Status::Ok };
        if status != wanted || compress.total_in() != self.input.len() as u64 {
            return Err(io::Error::other("a block did not fit into one call of the compressor"));
        }
        Ok(())
    }
}

impl<R: Read> Read for Gzip<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        while self.at == self.out.bytes().len() {
            if self.ended || buf.is_empty() {
                return Ok(0);
            }
            self.refill()?;
        }
        let left = &self.out.bytes()[self.at..];
        let n = buf.len().min(left.len());
        buf[..n].copy_from_slice(&left[..n]);
        self.at += n;
        Ok(n)
    }
}
