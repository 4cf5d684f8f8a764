//! Asking for a secret at the terminal, without showing it.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};

use floe::error::At;
use floe::{Error, Kind, Result};
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

/// The terminal of this process, whatever its streams are.
const TERMINAL: &str = "/dev/tty";
/// The longest line that is taken.
const MAX_LINE: usize = 64 << 10;

/// A terminal that shows nothing of what is typed, until it is dropped.
struct Silent {
    terminal: File,
    before: Termios,
}

impl Silent {
    fn open() -> Result<Self> {
        let terminal = OpenOptions::new().read(true).write(true).open(TERMINAL).at("open", TERMINAL)?;
        let before = tcgetattr(&terminal).map_err(std::io::Error::from).at("read the modes of", TERMINAL)?;
        let mut silent = before.clone();
        // Keys that interrupt are read as what they are, so that the modes are set back in any case.
        silent.local_modes.remove(LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG);
        tcsetattr(&terminal, OptionalActions::Flush, &silent)
            .map_err(std::io::Error::from)
            .at("change the modes of", TERMINAL)?;
        Ok(Self { terminal, before })
    }
}

impl Drop for Silent {
    fn drop(&mut self) {
        // Nothing more can be done for a terminal that went away.
        let _gone = tcsetattr(&self.terminal, OptionalActions::Flush, &self.before);
        let _newline = self.terminal.write_all(b"\n");
    }
}

/// Asks for a secret.
pub(crate) fn secret(question: &str) -> Result<String> {
    let mut silent = Silent::open()?;
    silent.terminal.write_all(question.as_bytes()).at("write to", TERMINAL)?;
    let mut line = Vec::new();
    let mut byte = [0];
    while silent.terminal.read(&mut byte).at("read from", TERMINAL)? == 1 {
        if !typed(&mut line, byte[0])? {
            break;
        }
    }
    String::from_utf8(line).map_err(|_| super::usage("what was typed is not UTF-8", "type it again"))
}

/// Asks for what may be seen.
pub(crate) fn line(question: &str) -> Result<String> {
    let mut terminal = OpenOptions::new().read(true).write(true).open(TERMINAL).at("open", TERMINAL)?;
    terminal.write_all(question.as_bytes()).at("write to", TERMINAL)?;
    let mut text = Vec::new();
    let mut byte = [0];
    while text.len() < MAX_LINE
        && terminal.read(&mut byte).at("read from", TERMINAL)? == 1
        && byte[0] != b'\n'
    {
        text.push(byte[0]);
    }
    String::from_utf8(text)
        .map(|t| t.trim().to_owned())
        .map_err(|_| super::usage("what was typed is not UTF-8", "type it again"))
}

/// Takes a key; false at the end of the line.
fn typed(line: &mut Vec<u8>, key: u8) -> Result<bool> {
    match key {
        b'\n' | b'\r' | 0x04 => return Ok(false),
        0x03 | 0x1c => return Err(Error::new(Kind::Interrupted, "stopped by the user")),
        // Erase: the last character, all of its bytes.
        0x08 | 0x7f => while line.pop().is_some_and(|b| b & 0xc0 == 0x80) {},
        0x15 => line.clear(),
        key if line.len() < MAX_LINE => line.push(key),
        _ => {}
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_edit_the_line() {
        for (keys, text) in [
            ("abc\n", "abc"),
            ("ab\u{7f}c\r", "ac"),
            ("aé\u{7f}b\n", "ab"),
            ("\u{7f}a\n", "a"),
            ("wrong\u{15}right\u{4}", "right"),
        ] {
            let mut line = Vec::new();
            for key in keys.bytes() {
                if !typed(&mut line, key).unwrap() {
                    break;
                }
            }
            assert_eq!(String::from_utf8(line).unwrap(), text, "{keys:?}");
        }
        assert_eq!(typed(&mut Vec::new(), 3).unwrap_err().kind(), Kind::Interrupted);
    }
}
