//! The one error of the crate.
//!
//! An [`Error`] says what was being done, to what, what was expected and what was found; a hint
//! on its own line says what to do about it. Its [`Kind`] tells whose fault it is and thereby the
//! exit code. It is opaque: no error type of a dependency is part of the interface.
//!
//! Invariant: no [`std::io::Error`] leaves the crate without a verb and a path. The only way to
//! convert one is [`At::at`].

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// The result of everything in the crate that can fail.
pub type Result<T> = std::result::Result<T, Error>;

/// Whose fault a failure is; decides the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// A bug in floe.
    Bug,
    /// Somebody else was first, or two contents claim one name.
    Conflict,
    /// A new version breaks the callers of an old one.
    Contract,
    /// Not allowed: authentication, quota, an immutable tag.
    Denied,
    /// Findings that the caller declared to be errors.
    Findings,
    /// Bytes that are not what their digest or size says.
    Integrity,
    /// Stopped by the user.
    Interrupted,
    /// The local file system.
    Io,
    /// The definition or the model.
    Model,
    /// A registry or the network; worth a retry.
    Network,
    /// The command line.
    Usage,
}

impl Kind {
    /// Its name in documents: lower case.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bug => "bug",
            Self::Conflict => "conflict",
            Self::Contract => "contract",
            Self::Denied => "denied",
            Self::Findings => "findings",
            Self::Integrity => "integrity",
            Self::Interrupted => "interrupted",
            Self::Io => "io",
            Self::Model => "model",
            Self::Network => "network",
            Self::Usage => "usage",
        }
    }

    /// The exit code of the command line for this kind.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Io => 1,
            Self::Usage => 2,
            Self::Model => 3,
            Self::Network => 4,
            Self::Integrity => 5,
            Self::Contract => 6,
            Self::Conflict => 7,
            Self::Denied => 8,
            Self::Findings => 9,
            Self::Bug => 70,
            Self::Interrupted => 130,
        }
    }
}

/// What went wrong, with a kind, a chain of causes, perhaps a source snippet and a hint.
pub struct Error(Box<Inner>);

struct Inner {
    kind: Kind,
    message: String,
    snippet: Option<String>,
    hint: Option<String>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    /// An error with a message: a lower-case fragment without a full stop.
    #[must_use]
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self(Box::new(Inner { kind, message: message.into(), snippet: None, hint: None, source: None }))
    }

    /// Adds what the user can do about it; a full sentence fragment, shown on its own line.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    /// Adds an excerpt of the file that is at fault, already laid out in lines.
    #[must_use]
    pub fn snippet(mut self, snippet: impl Into<String>) -> Self {
        self.0.snippet = Some(snippet.into());
        self
    }

    /// Adds the cause.
    #[must_use]
    pub fn because(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// Puts what was being done in front: `context: message`.
    #[must_use]
    pub fn context(mut self, context: impl fmt::Display) -> Self {
        self.0.message = format!("{context}: {}", self.0.message);
        self
    }

    /// Changes the kind, where a caller knows better whose fault it is.
    #[must_use]
    pub fn with_kind(mut self, kind: Kind) -> Self {
        self.0.kind = kind;
        self
    }

    /// Whose fault it is.
    pub fn kind(&self) -> Kind {
        self.0.kind
    }

    /// The message alone, without causes and hint.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// What the user can do about it.
    pub fn hint_text(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }

    /// The excerpt of the file at fault.
    pub fn snippet_text(&self) -> Option<&str> {
        self.0.snippet.as_deref()
    }

    /// Wraps it so that it can travel through a [`std::io::Read`]; [`At::at`] takes it out again.
    pub fn into_io(self) -> io::Error {
        io::Error::other(self)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)?;
        let mut next = self.source();
        while let Some(cause) = next {
            write!(f, ": {cause}")?;
            // Our own errors print their chain themselves.
            if cause.is::<Self>() {
                break;
            }
            next = cause.source();
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {self}", self.0.kind)?;
        if let Some(hint) = &self.0.hint {
            write!(f, " (hint: {hint})")?;
        }
        Ok(())
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|e| e as &(dyn StdError + 'static))
    }
}

/// Gives an [`io::Error`] a verb and a path.
pub trait At<T> {
    /// `verb` is what was being done (`open`, `read`, `rename`), `path` to what.
    fn at(self, verb: &str, path: impl AsRef<Path>) -> Result<T>;
    /// As [`At::at`], for what is no path: a registry host, a pipe.
    fn doing(self, what: impl fmt::Display) -> Result<T>;
}

impl<T> At<T> for io::Result<T> {
    fn at(self, verb: &str, path: impl AsRef<Path>) -> Result<T> {
        self.map_err(|e| from_io(e, format!("cannot {verb} `{}`", show(path.as_ref()))))
    }

    fn doing(self, what: impl fmt::Display) -> Result<T> {
        self.map_err(|e| from_io(e, format!("cannot {what}")))
    }
}

fn from_io(e: io::Error, message: String) -> Error {
    // An error of ours that travelled through a `Read` already says everything.
    match e.downcast::<Error>() {
        Ok(ours) => ours,
        Err(e) => {
            let hint = match e.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                    Some("free some space, or choose another folder for the output")
                }
                io::ErrorKind::FileTooLarge => {
                    Some("allow larger files (`ulimit -f`), or choose a file system that does")
                }
                io::ErrorKind::ReadOnlyFilesystem => {
                    Some("choose an output on a file system that can be written")
                }
                io::ErrorKind::PermissionDenied => {
                    Some("check the owner and the mode of the file and its folders")
                }
                _ => None,
            };
            let mut error = Error::new(Kind::Io, message).because(e);
            if let Some(hint) = hint {
                error = error.hint(hint);
            }
            error
        }
    }
}

/// Shows a path to a person: what is not printable UTF-8 is escaped.
pub fn show(path: &Path) -> String {
    show_bytes(path.as_os_str().as_bytes())
}

/// Shows lines to a person: as [`show_bytes`], but line ends stay.
pub fn show_lines(text: &str) -> String {
    text.split('\n').map(|line| show_bytes(line.as_bytes())).collect::<Vec<_>>().join("\n")
}

/// Shows a name to a person: control characters and bytes that are not UTF-8 are escaped.
pub fn show_bytes(name: &[u8]) -> String {
    let mut out = String::with_capacity(name.len());
    for chunk in name.utf8_chunks() {
        for c in chunk.valid().chars() {
            // Marks that turn the direction of writing can make one name look like another.
            if c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}') {
                out.extend(c.escape_default());
            } else {
                out.push(c);
            }
        }
        for byte in chunk.invalid() {
            out.push_str("\\x");
            out.push(char::from_digit(u32::from(byte >> 4), 16).unwrap_or('0'));
            out.push(char::from_digit(u32::from(byte & 15), 16).unwrap_or('0'));
        }
    }
    out
}

/// A number of things for people: `1 layer`, `2 layers`.
pub fn counted(number: impl TryInto<u64>, one: &str, several: &str) -> String {
    let number = number.try_into().unwrap_or(u64::MAX);
    format!("{number} {}", if number == 1 { one } else { several })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_thing_is_not_told_of_as_several() {
        let told = |n: usize| counted(n, "entry", "entries");
        assert_eq!([told(0), told(1), told(2)], ["0 entries", "1 entry", "2 entries"]);
        assert_eq!(counted(1_u64 << 40, "byte", "bytes"), "1099511627776 bytes");
    }

    #[test]
    fn an_io_error_gets_a_verb_and_a_path() {
        let e = std::fs::File::open("/no/such/file").at("open", "/no/such/file").unwrap_err();
        assert_eq!(e.kind(), Kind::Io);
        assert!(e.to_string().starts_with("cannot open `/no/such/file`: No such file"), "{e}");
    }

    #[test]
    fn c20_names_are_shown_escaped() {
        assert_eq!(show_bytes(b"a\xff\x1b[31m\n"), "a\\xff\\u{1b}[31m\\n");
        assert_eq!(show_bytes("größe".as_bytes()), "größe");
    }

    #[test]
    fn our_error_survives_the_journey_through_io() {
        let inner = Error::new(Kind::Integrity, "digest differs").hint("pull again");
        let back = Err::<(), _>(inner.into_io()).at("read", "x").unwrap_err();
        assert_eq!(back.kind(), Kind::Integrity);
        assert_eq!(back.hint_text(), Some("pull again"));
    }

    #[test]
    fn kinds_have_the_documented_exit_codes() {
        let codes = [Kind::Io, Kind::Usage, Kind::Model, Kind::Network, Kind::Integrity, Kind::Contract]
            .map(Kind::exit_code);
        assert_eq!(codes, [1, 2, 3, 4, 5, 6]);
        let codes =
            [Kind::Conflict, Kind::Denied, Kind::Findings, Kind::Bug, Kind::Interrupted].map(Kind::exit_code);
        assert_eq!(codes, [7, 8, 9, 70, 130]);
    }
}
