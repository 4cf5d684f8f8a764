//! Platforms: `os/arch[/variant]`.
//!
//! Names are Go's (image-spec, `image-index.md`, "platform"); the machine names that people type
//! (`x86_64`, `aarch64`) are accepted and normalised, as containerd does.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Kind, Result};

/// An operating system and a processor.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Platform {
    /// `linux`, `windows`, …
    pub os: String,
    /// `amd64`, `arm64`, …
    pub architecture: String,
    /// `v7`, `v8`, … where the architecture has variants.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
}

/// (operating system, architecture) pairs that container images are published for.
const KNOWN_ARCHITECTURES: &[&str] = &[
    "386", "amd64", "arm", "arm64", "loong64", "mips", "mips64", "mips64le", "mipsle", "ppc64", "ppc64le",
    "riscv64", "s390x", "wasm",
];
const KNOWN_SYSTEMS: &[&str] = &[
    "android",
    "darwin",
    "dragonfly",
    "freebsd",
    "linux",
    "netbsd",
    "openbsd",
    "solaris",
    "wasip1",
    "windows",
];

impl Platform {
    /// A platform from its parts, normalised.
    pub fn new(os: &str, architecture: &str, variant: Option<&str>) -> Self {
        let (architecture, implied) = match architecture {
            "x86_64" | "x86-64" => ("amd64", None),
            "aarch64" => ("arm64", None),
            "armhf" => ("arm", Some("v7")),
            "armel" => ("arm", Some("v6")),
            "i386" | "i686" => ("386", None),
            other => (other, None),
        };
        let variant = variant.filter(|v| !v.is_empty()).or(implied);
        // arm64 has one variant in practice, and images differ in whether they write it down.
        let variant = variant.filter(|v| !(architecture == "arm64" && *v == "v8"));
        Self { os: os.to_owned(), architecture: architecture.to_owned(), variant: variant.map(str::to_owned) }
    }

    /// Linux on the processor that runs this program.
    pub fn host() -> Self {
        Self::new("linux", std::env::consts::ARCH, None)
    }

    /// Whether an image for `self` is what was asked for; a variant counts only when asked for.
    pub fn satisfies(&self, wanted: &Self) -> bool {
        self.os == wanted.os
            && self.architecture == wanted.architecture
            && (wanted.variant.is_none() || self.variant == wanted.variant)
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        match &self.variant {
            Some(v) => write!(f, "/{v}"),
            None => Ok(()),
        }
    }
}

impl FromStr for Platform {
    type Err = Error;

    fn from_str(s: &str) -> Result<Self> {
        let wrong = |why: String| {
            Error::new(Kind::Usage, format!("`{}` is not a platform: {why}", crate::error::show_bytes(s.as_bytes())))
                .hint("a platform is os/architecture or os/architecture/variant, such as linux/amd64 or linux/arm/v7")
        };
        let parts: Vec<&str> = s.split('/').collect();
        let platform = match parts[..] {
            [os, arch] => Self::new(os, arch, None),
            [os, arch, variant] if !variant.is_empty() => Self::new(os, arch, Some(variant)),
            _ => return Err(wrong("expected two or three parts between slashes".to_owned())),
        };
        if !KNOWN_SYSTEMS.contains(&platform.os.as_str()) {
            return Err(wrong(format!("unknown operating system `{}`", platform.os)));
        }
        if !KNOWN_ARCHITECTURES.contains(&platform.architecture.as_str()) {
            return Err(wrong(format!("unknown architecture `{}`", platform.architecture)));
        }
        Ok(platform)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c24_platforms_parse_and_normalise() {
        for (text, shown) in [
            ("linux/amd64", "linux/amd64"),
            ("linux/x86_64", "linux/amd64"),
            ("linux/aarch64", "linux/arm64"),
            ("linux/arm64/v8", "linux/arm64"),
            ("linux/arm/v7", "linux/arm/v7"),
            ("linux/armhf", "linux/arm/v7"),
        ] {
            assert_eq!(text.parse::<Platform>().unwrap().to_string(), shown);
        }
        for bad in ["linux", "linux/", "/amd64", "linux/amd64/", "a/b/c/d", "linux/quantum", "beos/amd64"] {
            assert_eq!(bad.parse::<Platform>().unwrap_err().kind(), Kind::Usage, "{bad}");
        }
    }

    #[test]
    fn a_variant_counts_only_when_asked_for() {
        let v7: Platform = "linux/arm/v7".parse().unwrap();
        assert!(v7.satisfies(&"linux/arm".parse().unwrap()));
        assert!(!v7.satisfies(&"linux/arm/v6".parse().unwrap()));
    }
}
