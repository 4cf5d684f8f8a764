//! Compression of layers.
//!
//! A [`Codec`] turns the bytes of a tar into the bytes of a blob. Invariant: the output is a pure
//! function of the input: the number of threads, the sizes of reads and the machine do not show in
//! it. Levels and block sizes are constants; changing one changes the digest of every compressed
//! layer and so needs a new layout version.

pub mod estimate;
mod gzip;
mod pool;

use std::fmt;
use std::io::{self, BufReader, Read};
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::error::{At, Error, Kind, Result};
use crate::oci::media_type;

pub use pool::Pool;

/// The level of zstd layers.
const ZSTD_LEVEL: i32 = 3;

/// How the bytes of a layer are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Codec {
    /// As they are: digest and diff id are the same number.
    None,
    /// One gzip member of independent 1 MiB blocks.
    Gzip,
    /// One zstd frame.
    Zstd,
}

/// Every codec; the suite below walks it.
pub const CODECS: &[Codec] = &[Codec::None, Codec::Gzip, Codec::Zstd];

impl Codec {
    /// The media type of a layer stored in this way.
    pub fn media_type(self) -> &'static str {
        match self {
            Self::None => media_type::LAYER,
            Self::Gzip => media_type::LAYER_GZIP,
            Self::Zstd => media_type::LAYER_ZSTD,
        }
    }

    /// The codec of a media type that [`Codec::media_type`] gives.
    pub fn of(media_type: &str) -> Option<Self> {
        CODECS.iter().copied().find(|c| c.media_type() == media_type)
    }

    /// Starts compressing what `from` gives. Gzip shares the pool with other streams; zstd, whose library has
    /// threads of its own, takes as many as are given.
    pub fn encode<R: Read + Send>(self, from: R, threads: usize, pool: &Arc<Pool>) -> Result<Encoder<R>> {
        Ok(match self {
            Self::None => Encoder::None(from),
            Self::Gzip => Encoder::Gzip(gzip::Gzip::new(from, gzip::LEVEL, pool)),
            Self::Zstd => Encoder::Zstd(zstd_encoder(from, threads).doing("start zstd")?),
        })
    }

    /// Starts undoing the compression.
    pub fn decode<'a>(self, from: impl Read + Send + 'a) -> Result<Box<dyn Read + Send + 'a>> {
        Ok(match self {
            Self::None => Box::new(from),
            Self::Gzip => Box::new(flate2::read::MultiGzDecoder::new(from)),
            Self::Zstd => Box::new(zstd::stream::read::Decoder::new(from).doing("start zstd")?),
        })
    }

    /// The codec whose stored form begins with these bytes.
    pub fn sniff(head: &[u8]) -> Self {
        match head {
            [0x1f, 0x8b, ..] => Self::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Self::Zstd,
            _ => Self::None,
        }
    }
}

impl fmt::Display for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        })
    }
}

impl FromStr for Codec {
    type Err = Error;

    fn from_str(s: &str) -> Result<Self> {
        CODECS.iter().copied().find(|c| c.to_string() == s).ok_or_else(|| {
            Error::new(Kind::Usage, format!("`{s}` is not a compression"))
                .hint("use auto, none, gzip or zstd")
        })
    }
}

fn zstd_encoder<R: Read>(from: R, threads: usize) -> io::Result<Zstd<R>> {
    let mut encoder = zstd::stream::read::Encoder::new(from, ZSTD_LEVEL)?;
    // Without workers zstd cuts its blocks elsewhere; with one or more the bytes are the same.
    encoder.multithread(u32::try_from(threads.max(1)).unwrap_or(1))?;
    Ok(Box::new(encoder))
}

type Zstd<R> = Box<zstd::stream::read::Encoder<'static, BufReader<R>>>;

/// Starts compressing with gzip at its quickest, for what is packed anew each time and is not a model's.
pub fn quick_gzip<R: Read + Send>(from: R, threads: usize) -> Encoder<R> {
    Encoder::Gzip(gzip::Gzip::new(from, gzip::QUICK, &Pool::new(threads)))
}

/// A reader of the compressed bytes.
#[expect(missing_docs, reason = "one variant a codec")]
pub enum Encoder<R: Read> {
    None(R),
    Gzip(gzip::Gzip<R>),
    Zstd(Zstd<R>),
}

impl<R: Read> Encoder<R> {
    /// The reader underneath, after the last byte was read.
    pub fn into_inner(self) -> R {
        match self {
            Self::None(r) => r,
            Self::Gzip(g) => g.into_inner(),
            Self::Zstd(z) => z.finish().into_inner(),
        }
    }
}

impl<R: Read + Send> Read for Encoder<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::None(r) => r.read(buf),
            Self::Gzip(g) => g.read(buf),
            Self::Zstd(z) => z.read(buf),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Half text, half noise, so that every codec has something to do and something to give up on.
    fn sample(len: usize) -> Vec<u8> {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        (0..len)
            .map(|i| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                if (i >> 16) & 1 == 0 { b"weights and biases "[i % 19] } else { (state >> 32) as u8 }
            })
            .collect()
    }

    /// Gives at most `n` bytes a read.
    struct Sip<'a>(&'a [u8], usize);

    impl Read for Sip<'_> {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            let n = self.0.len().min(self.1).min(buf.len());
            buf[..n].copy_from_slice(&self.0[..n]);
            self.0 = &self.0[n..];
            Ok(n)
        }
    }

    fn encode(codec: Codec, bytes: &[u8], sip: usize, threads: usize) -> Vec<u8> {
        let mut out = Vec::new();
        codec.encode(Sip(bytes, sip), threads, &Pool::new(threads)).unwrap().read_to_end(&mut out).unwrap();
        out
    }

    #[test]
    fn every_codec_gives_back_what_it_got() {
        for codec in CODECS {
            for len in [0, 1, 1 << 20, (1 << 20) + 1, 3_500_000] {
                let bytes = sample(len);
                let stored = encode(*codec, &bytes, usize::MAX, 2);
                let mut back = Vec::new();
                codec.decode(&stored[..]).unwrap().read_to_end(&mut back).unwrap();
                assert!(back == bytes, "{codec} of {len} bytes");
                if len > 1 {
                    assert_eq!(Codec::sniff(&stored), *codec);
                }
            }
        }
    }

    #[test]
    fn threads_and_read_sizes_do_not_show() {
        let bytes = sample(5_000_000);
        for codec in CODECS {
            let first = encode(*codec, &bytes, usize::MAX, 1);
            for (sip, threads) in [(1000, 1), (77_777, 2), (usize::MAX, 3), (4096, 8)] {
                assert!(encode(*codec, &bytes, sip, threads) == first, "{codec} {sip} {threads}");
            }
        }
    }

    #[test]
    fn several_streams_share_a_pool() {
        let (bytes, pool) = (sample(5_000_000), Pool::new(2));
        let alone = encode(Codec::Gzip, &bytes, usize::MAX, 1);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let mut out = Vec::new();
                    Codec::Gzip.encode(&bytes[..], 1, &pool).unwrap().read_to_end(&mut out).unwrap();
                    assert!(out == alone);
                });
            }
        });
    }

    #[test]
    fn an_input_that_fails_is_an_error_and_no_end() {
        struct Fails(usize);
        impl Read for Fails {
            fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
                self.0 = self.0.checked_sub(buf.len()).ok_or_else(|| io::Error::other("broken"))?;
                buf.fill(7);
                Ok(buf.len())
            }
        }
        for threads in [1, 2] {
            let mut stream = Codec::Gzip.encode(Fails(5 << 20), threads, &Pool::new(threads)).unwrap();
            let e = io::copy(&mut stream, &mut io::sink()).unwrap_err();
            assert_eq!(e.to_string(), "broken");
        }
    }

    #[test]
    fn the_bytes_are_pinned() {
        let bytes = sample(2_500_000);
        let digests: Vec<String> = CODECS
            .iter()
            .map(|c| crate::oci::Digest::of(&encode(*c, &bytes, usize::MAX, 2)).short())
            .collect();
        assert_eq!(digests, ["67aa2feb13e4fb7b", "8876af53fe1d6d92", "a74761856e4991f2"]);
    }
}
