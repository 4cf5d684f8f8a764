//! Content addresses.
//!
//! A [`Digest`] names the bytes of a blob as they are stored; a [`DiffId`] names the uncompressed
//! tar inside a layer. They are two types because they are two numbers as soon as a layer is
//! compressed. Only SHA-256 is read or written
//! (image-spec, `descriptor.md`, "Registered algorithms").

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::Digest as _;

use crate::error::{Error, Kind, Result};

/// The SHA-256 of some stored bytes, printed as `sha256:<64 hex digits>`.
///
/// ```
/// let digest = floe::oci::Digest::of(b"");
/// assert_eq!(digest.short(), "e3b0c44298fc1c14");
/// assert_eq!(digest.to_string().parse::<floe::oci::Digest>()?, digest);
/// # Ok::<(), floe::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; 32]);

impl Digest {
    /// The digest of bytes in memory.
    pub fn of(bytes: &[u8]) -> Self {
        Self(sha2::Sha256::digest(bytes).into())
    }

    /// The digest with these 32 bytes.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 64 hex digits, without the algorithm.
    pub fn hex(&self) -> String {
        let mut out = String::with_capacity(64);
        for b in self.0 {
            for nibble in [b >> 4, b & 15] {
                out.push(char::from_digit(u32::from(nibble), 16).unwrap_or('0'));
            }
        }
        out
    }

    /// The first 16 hex digits: what a version tag carries.
    pub fn short(&self) -> String {
        self.hex()[..16].to_owned()
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", self.hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Digest {
    type Err = Error;

    fn from_str(s: &str) -> Result<Self> {
        let wrong = |why: &str| {
            Error::new(
                Kind::Integrity,
                format!("`{}` is not a digest: {why}", crate::error::show_bytes(s.as_bytes())),
            )
            .hint("a digest is `sha256:` and 64 lower-case hex digits")
        };
        let Some((algorithm, hex)) = s.split_once(':') else { return Err(wrong("there is no colon")) };
        if algorithm != "sha256" {
            return Err(wrong("the algorithm is not sha256"));
        }
        if hex.len() != 64 || !hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(wrong("expected 64 lower-case hex digits"));
        }
        let mut bytes = [0; 32];
        for (i, b) in bytes.iter_mut().enumerate() {
            *b = u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).map_err(|_| wrong("not hex"))?;
        }
        Ok(Self(bytes))
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, s: S) -> std::result::Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(d: D) -> std::result::Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(|e: Error| serde::de::Error::custom(e.message()))
    }
}

/// The SHA-256 of a layer's uncompressed tar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DiffId(pub Digest);

impl fmt::Display for DiffId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn parses_what_it_prints() {
        let d: Digest = EMPTY.parse().unwrap();
        assert_eq!(d, Digest::of(b""));
        assert_eq!(d.to_string(), EMPTY);
        assert_eq!(d.short(), "e3b0c44298fc1c14");
    }

    #[test]
    fn refuses_what_is_no_digest() {
        let long = format!("{EMPTY}0");
        let upper = EMPTY.to_uppercase().replace("SHA", "sha");
        for bad in ["", "sha256:", "e3b0", &long, &upper, "sha512:00", "sha256:..%2f", "sha256:é"] {
            assert!(bad.parse::<Digest>().is_err(), "{bad}");
        }
    }
}
