//! Paths inside an image: raw bytes, as file names are.
//!
//! In JSON a path is a string where it is UTF-8 and `{"hex": "…"}` where it is not, so that no name
//! is lost. Invariant: relative, without empty, `.` or `..` components.

use std::fmt;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::error::{Error, Kind, Result, show_bytes};

/// A path relative to the root of an image, or the text of a link.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ImagePath(Vec<u8>);

impl ImagePath {
    /// A path of these bytes.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Result<Self> {
        let bytes = bytes.into();
        let bad = |part: &[u8]| part.is_empty() || part == b"." || part == b".." || part.contains(&0);
        if bytes.split(|b| *b == b'/').any(bad) {
            return Err(Error::new(
                Kind::Model,
                format!("`{}` is not a path inside an image", show_bytes(&bytes)),
            )
            .hint("it has to be relative, without empty parts, `.` and `..`"));
        }
        Ok(Self(bytes))
    }

    /// The text of a symbolic link, in which `..` may stand.
    pub fn link_target(bytes: impl Into<Vec<u8>>) -> Self {
        Self(bytes.into())
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The folder that holds it; `None` at the top.
    pub fn folder(&self) -> Option<Self> {
        let at = self.0.iter().rposition(|b| *b == b'/')?;
        Some(Self(self.0[..at].to_vec()))
    }

    /// The path with `rest` under it.
    pub fn join(&self, rest: &[u8]) -> Result<Self> {
        Self::new([&self.0[..], b"/", rest].concat())
    }
}

impl fmt::Display for ImagePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&show_bytes(&self.0))
    }
}

impl fmt::Debug for ImagePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Hex {
    hex: String,
}

impl Serialize for ImagePath {
    fn serialize<S: Serializer>(&self, s: S) -> std::result::Result<S::Ok, S::Error> {
        match std::str::from_utf8(&self.0) {
            Ok(text) => s.serialize_str(text),
            Err(_) => Hex { hex: self.0.iter().map(|b| format!("{b:02x}")).collect() }.serialize(s),
        }
    }
}

impl<'de> Deserialize<'de> for ImagePath {
    fn deserialize<D: Deserializer<'de>>(d: D) -> std::result::Result<Self, D::Error> {
        let value = serde_json::Value::deserialize(d)?;
        let bytes = match &value {
            serde_json::Value::String(text) => text.clone().into_bytes(),
            other => {
                let Hex { hex } = Hex::deserialize(other).map_err(D::Error::custom)?;
                (0..hex.len())
                    .step_by(2)
                    .map(|i| hex.get(i..i + 2).and_then(|h| u8::from_str_radix(h, 16).ok()))
                    .collect::<Option<Vec<u8>>>()
                    .ok_or_else(|| D::Error::custom("a path is not written in hex digits"))?
            }
        };
        if bytes.contains(&0) || bytes.is_empty() {
            return Err(D::Error::custom("a path is empty or holds a NUL"));
        }
        Ok(Self(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_is_lost_in_json() {
        for bytes in [&b"a/b"[..], b"\xff\x00"[..1].as_ref(), "ü".as_bytes()] {
            let path = ImagePath::new(bytes).unwrap();
            let text = serde_json::to_string(&path).unwrap();
            assert_eq!(serde_json::from_str::<ImagePath>(&text).unwrap(), path);
        }
    }

    #[test]
    fn paths_that_leave_the_image_are_refused() {
        for bad in ["", "/a", "a/", "a//b", "../a", "a/../b", "./a", "a\0"] {
            assert!(ImagePath::new(bad).is_err(), "{bad}");
        }
    }
}
