//! Hashing while bytes pass, on the way out and on the way in.

use std::io::{self, Read};

use sha2::Digest as _;

use super::beside::Beside;
use crate::error::{Error, Kind};
use crate::oci::{Descriptor, Digest};

/// A reader that counts and hashes what passes through.
pub struct Hashing<R> {
    inner: R,
    state: State,
    bytes: u64,
}

/// Where the hash is computed.
enum State {
    Here(sha2::Sha256),
    Beside(Beside),
}

impl<R> Hashing<R> {
    /// Hashes what will be read from `inner`.
    pub fn new(inner: R) -> Self {
        Self { inner, state: State::Here(sha2::Sha256::new()), bytes: 0 }
    }

    /// The same on a thread of its own, where the system gives one.
    pub fn beside(inner: R) -> Self {
        let here = || State::Here(sha2::Sha256::new());
        Self { inner, state: Beside::start().map_or_else(here, State::Beside), bytes: 0 }
    }

    /// Digest and number of the bytes read so far, and the reader.
    #[must_use]
    pub fn finish(self) -> (Digest, u64, R) {
        let state = match self.state {
            State::Here(state) => state,
            State::Beside(beside) => beside.finish(),
        };
        (Digest::from_bytes(state.finalize().into()), self.bytes, self.inner)
    }
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buf)?;
        match &mut self.state {
            State::Here(state) => state.update(&buf[..n]),
            State::Beside(beside) => beside.update(&buf[..n]),
        }
        self.bytes += n as u64;
        Ok(n)
    }
}

/// A reader that ends in an error unless the bytes are those that a descriptor promises.
///
/// It never hands out more than the promised size, and reports the end of the content only after
/// the digest was compared.
pub struct Verify<R> {
    inner: R,
    state: Option<sha2::Sha256>,
    left: u64,
    wanted: Descriptor,
    what: String,
    failed: bool,
}

impl<R: Read> Verify<R> {
    /// Verifies `inner` against `wanted`; `what` names the content in the error.
    pub fn new(inner: R, wanted: &Descriptor, what: impl Into<String>) -> Self {
        Self {
            inner,
            state: Some(sha2::Sha256::new()),
            left: wanted.size,
            wanted: wanted.clone(),
            what: what.into(),
            failed: false,
        }
    }

    fn fail(&self, found: &str) -> io::Error {
        let Descriptor { digest, size, .. } = &self.wanted;
        Error::new(
            Kind::Integrity,
            format!("{}: expected {digest} with {size} bytes, found {found}", self.what),
        )
        .hint("the content was damaged or cut short; fetch or build it again")
        .into_io()
    }
}

impl<R: Read> Read for Verify<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        if self.left == 0 {
            if self.failed {
                return Err(self.fail("something else"));
            }
            if let Some(state) = &self.state {
                let mut one = [0];
                // An interruption here is tried again by the caller, with the digest still to come.
                let more = self.inner.read(&mut one)? > 0;
                let found = Digest::from_bytes(state.clone().finalize().into());
                self.state = None;
                self.failed = more || found != self.wanted.digest;
                if more {
                    return Err(self.fail("more bytes than that"));
                }
                if self.failed {
                    return Err(self.fail(&found.to_string()));
                }
            }
            return Ok(0);
        }
        let room = usize::try_from(self.left).unwrap_or(usize::MAX).min(buf.len());
        let n = self.inner.read(&mut buf[..room])?;
        if n == 0 {
            return Err(self.fail(&format!("only {} bytes", self.wanted.size - self.left)));
        }
        if let Some(state) = &mut self.state {
            state.update(&buf[..n]);
        }
        self.left -= n as u64;
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::At;

    fn read(bytes: &[u8], wanted: &Descriptor) -> crate::Result<Vec<u8>> {
        let mut out = Vec::new();
        Verify::new(bytes, wanted, "blob").read_to_end(&mut out).doing("read")?;
        Ok(out)
    }

    #[test]
    fn only_the_promised_bytes_pass() {
        let wanted = Descriptor::of("x", b"hello");
        assert_eq!(read(b"hello", &wanted).unwrap(), b"hello");
        for bad in [&b"hell"[..], b"hello!", b"hellO", b""] {
            assert_eq!(read(bad, &wanted).unwrap_err().kind(), Kind::Integrity);
        }
    }

    #[test]
    fn an_empty_blob_is_verified_too() {
        assert!(read(b"", &Descriptor::of("x", b"")).is_ok());
        let lie = Descriptor::new("x", Digest::of(b"y"), 0);
        assert!(read(b"", &lie).is_err());
    }

    #[test]
    fn an_error_is_repeated() {
        let wanted = Descriptor::of("x", b"hello");
        for bad in [&b"hellO"[..], b"hello!"] {
            let mut v = Verify::new(bad, &wanted, "blob");
            v.read_exact(&mut [0; 5]).unwrap();
            assert!(v.read(&mut [0; 1]).is_err());
            assert!(v.read(&mut [0; 1]).is_err());
        }
    }

    #[test]
    fn hashing_counts() {
        for mut h in [Hashing::new(&b"abc"[..]), Hashing::beside(&b"abc"[..])] {
            io::copy(&mut h, &mut io::sink()).unwrap();
            let (d, n, _) = h.finish();
            assert_eq!((d, n), (Digest::of(b"abc"), 3));
        }
    }
}
