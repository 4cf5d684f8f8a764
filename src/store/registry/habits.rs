//! The ways in which a blob can be sent, and which of them a registry takes.
//!
//! A *way* is how the bytes of one blob become requests. Which one is tried next after a refusal,
//! and how large a chunk may be, is decided here alone, from numbers: no request is made in this
//! file. What one upload learns about a registry is kept for the run, so that the next does not
//! learn it again.
//!
//! Invariant: what a registry asks for in a header never makes floe do more than [`MAX_CHUNK`].

use reqwest::StatusCode;

/// A way to send a blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// One PATCH of unknown length, as Docker does it, and a PUT that names the digest.
    Stream,
    /// One PUT of all bytes; the digest has to be known before.
    Whole,
    /// PATCHes with `Content-Range`, which can go on after a cut, and a PUT that names the digest.
    Chunked,
}

impl Way {
    /// For people, as in `a blob is sent in chunks`.
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Stream => "as a stream",
            Self::Whole => "in one PUT",
            Self::Chunked => "in chunks",
        }
    }
}

/// What was learnt about how a registry takes blobs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Habits {
    /// The way that worked after the usual one was refused.
    pub(super) way: Option<Way>,
    /// The largest chunk that may still work: larger ones were refused.
    pub(super) largest: Option<u64>,
}

/// The most that a registry may demand of one chunk by `OCI-Chunk-Min-Length`: a cut sends a chunk
/// again, so that without a cap a header could turn resuming off.
pub(super) const MAX_CHUNK: u64 = 256 << 20;
/// The smallest chunk that is tried. Below it there is no registry, but a wrong setting.
pub(super) const MIN_CHUNK: u64 = 64 << 10;
/// GHCR answers 416 to a PATCH whose length is over 4 MiB (oras-project/rust-oci-client, issue 35).
pub(super) const SMALL: u64 = 4 << 20;
/// Proxies such as Cloudflare's refuse bodies over 100 MB (cloudflare/serverless-registry, issue 67).
const PROXY: u64 = 100_000_000;

/// The next smaller chunk after one of `length` was too large; `None` where there is none.
pub(super) fn below(length: u64) -> Option<u64> {
    let next = match length {
        n if n > PROXY => PROXY,
        n if n > SMALL => (n / 2).max(SMALL),
        n => n / 2,
    };
    (next >= MIN_CHUNK).then_some(next)
}

/// A registry wants chunks that cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unfit {
    /// It wants at least so many bytes, which is over [`MAX_CHUNK`].
    Demand(u64),
    /// It wants at least so many bytes, and refused so many as too many.
    Contradiction(u64, u64),
}

/// How long a chunk is, by what floe would like, what was refused before, and what the registry
/// wants at least.
pub(super) fn chunk(wanted: u64, largest: Option<u64>, least: Option<u64>) -> Result<u64, Unfit> {
    let least = least.unwrap_or(0);
    if least > MAX_CHUNK {
        return Err(Unfit::Demand(least));
    }
    let largest = largest.unwrap_or(MAX_CHUNK);
    if least > largest {
        return Err(Unfit::Contradiction(least, largest));
    }
    Ok(wanted.clamp(least.max(1), largest.max(1)))
}

/// The way to try after `refused` was answered with a status; never one of `tried`.
pub(super) fn next_way(refused: Way, status: StatusCode, tried: &[Way]) -> Option<Way> {
    let order = match refused {
        // Too much at once: less at once.
        Way::Stream if matches!(status.as_u16(), 413 | 416) => [Way::Chunked, Way::Whole],
        Way::Stream => [Way::Whole, Way::Chunked],
        Way::Whole => [Way::Chunked, Way::Stream],
        Way::Chunked => [Way::Whole, Way::Stream],
    };
    order.into_iter().find(|way| *way != refused && !tried.contains(way))
}

/// Whether a status says that a request of this kind is not taken, rather than this one.
pub(super) fn is_unsupported(status: StatusCode) -> bool {
    matches!(status.as_u16(), 400 | 405 | 411 | 413 | 416 | 501)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_get_smaller_by_known_steps() {
        let mut steps = vec![200_000_000];
        while let Some(next) = below(*steps.last().unwrap()) {
            steps.push(next);
        }
        assert_eq!(steps[1], PROXY);
        assert!(steps.contains(&SMALL) && steps.contains(&(1 << 20)), "nginx's usual limit is 1 MiB");
        assert!(steps.windows(2).all(|w| w[1] < w[0]));
        assert!(*steps.last().unwrap() >= MIN_CHUNK);
        assert_eq!(below(0), None);
    }

    #[test]
    fn a_header_cannot_demand_everything() {
        assert_eq!(chunk(32 << 20, None, None), Ok(32 << 20));
        assert_eq!(chunk(32 << 20, Some(SMALL), None), Ok(SMALL));
        assert_eq!(chunk(32 << 20, None, Some(64 << 20)), Ok(64 << 20));
        assert_eq!(chunk(32 << 20, None, Some(5)), Ok(32 << 20));
        assert_eq!(chunk(1, None, Some(MAX_CHUNK)), Ok(MAX_CHUNK));
        assert_eq!(chunk(1, None, Some(MAX_CHUNK + 1)), Err(Unfit::Demand(MAX_CHUNK + 1)));
        assert_eq!(chunk(1, None, Some(u64::MAX)), Err(Unfit::Demand(u64::MAX)));
        assert_eq!(chunk(1, Some(SMALL), Some(SMALL + 1)), Err(Unfit::Contradiction(SMALL + 1, SMALL)));
        assert_eq!(chunk(u64::MAX, None, Some(0)), Ok(MAX_CHUNK));
        assert_eq!(chunk(0, Some(0), Some(0)), Ok(1));
    }

    #[test]
    fn every_way_is_tried_once() {
        for first in [Way::Stream, Way::Whole, Way::Chunked] {
            for status in [400, 405, 413, 416] {
                let status = StatusCode::from_u16(status).unwrap();
                let mut tried = vec![first];
                while let Some(next) = next_way(*tried.last().unwrap(), status, &tried) {
                    assert!(!tried.contains(&next));
                    tried.push(next);
                }
                assert_eq!(tried.len(), 3, "{first:?} {status}");
            }
        }
        assert_eq!(next_way(Way::Stream, StatusCode::PAYLOAD_TOO_LARGE, &[]), Some(Way::Chunked));
        assert_eq!(next_way(Way::Stream, StatusCode::METHOD_NOT_ALLOWED, &[]), Some(Way::Whole));
    }
}
