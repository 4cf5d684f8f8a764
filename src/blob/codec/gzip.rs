//! Gzip in independent blocks, compressed by several threads.
//!
//! The result is one ordinary gzip member. Every [`BLOCK`] of input is deflated by a compressor of
//! its own in a single call and ends on a byte boundary (a sync flush), so that blocks can be made
//! in any order and simply stand one after the other. zlib-rs gives other bytes when its input is
//! cut into other calls or when a compressor is used again; hence the one call and the fresh start.

use std::io::{self, Read};

use flate2::{Compress, Compression, Crc, FlushCompress, Status};

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
    threads: usize,
    out: Vec<u8>,
    at: usize,
    crc: Crc,
    ended: bool,
}

struct Block {
    input: Vec<u8>,
    last: bool,
    output: Vec<u8>,
    crc: Crc,
}

impl<R: Read> Gzip<R> {
    pub(super) fn new(inner: R, level: u32, threads: usize) -> Self {
        Self {
            inner,
            level,
            threads: threads.max(1),
            out: HEADER.to_vec(),
            at: 0,
            crc: Crc::new(),
            ended: false,
        }
    }

    pub(super) fn into_inner(self) -> R {
        self.inner
    }

    /// Compresses the next few blocks.
    fn refill(&mut self) -> io::Result<()> {
        let mut blocks = Vec::new();
        while blocks.len() < 2 * self.threads && !self.ended {
            let mut input = Vec::with_capacity(BLOCK);
            (&mut self.inner).take(BLOCK as u64).read_to_end(&mut input)?;
            self.ended = input.len() < BLOCK;
            blocks.push(Block { input, last: self.ended, output: Vec::new(), crc: Crc::new() });
        }
        if self.threads == 1 || blocks.len() < 2 {
            for block in &mut blocks {
                block.deflate(self.level)?;
            }
        } else {
            let (share, level) = (blocks.len().div_ceil(self.threads), self.level);
            std::thread::scope(|scope| {
                let running: Vec<_> = blocks
                    .chunks_mut(share)
                    .map(|mine| scope.spawn(move || mine.iter_mut().try_for_each(|b| b.deflate(level))))
                    .collect();
                running.into_iter().try_for_each(|t| {
                    t.join().unwrap_or_else(|_| Err(io::Error::other("a compressing thread died")))
                })
            })?;
        }
        self.out.clear();
        self.at = 0;
        for block in &blocks {
            self.out.extend_from_slice(&block.output);
            self.crc.combine(&block.crc);
        }
        if self.ended {
            self.out.extend_from_slice(&self.crc.sum().to_le_bytes());
            self.out.extend_from_slice(&self.crc.amount().to_le_bytes());
        }
        Ok(())
    }
}

impl Block {
    fn deflate(&mut self, level: u32) -> io::Result<()> {
        self.crc.update(&self.input);
        // Level 2 can make noise larger by a few percent; twice the size is more than it ever needs.
        let mut output = Vec::with_capacity(self.input.len() * 2 + 1024);
        let mut compress = Compress::new(Compression::new(level), false);
        let flush = if self.last { FlushCompress::Finish } else { FlushCompress::Sync };
        let status = compress.compress_vec(&self.input, &mut output, flush).map_err(io::Error::other)?;
        let wanted = if self.last { Status::StreamEnd } else { Status::Ok };
        if status != wanted || compress.total_in() != self.input.len() as u64 {
            return Err(io::Error::other("a block did not fit into one call of the compressor"));
        }
        self.input = Vec::new();
        self.output = output;
        Ok(())
    }
}

impl<R: Read> Read for Gzip<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.at == self.out.len() {
            if self.ended {
                return Ok(0);
            }
            self.refill()?;
        }
        let n = buf.len().min(self.out.len() - self.at);
        buf[..n].copy_from_slice(&self.out[self.at..self.at + n]);
        self.at += n;
        Ok(n)
    }
}
