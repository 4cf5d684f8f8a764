//! Secrets that must not be frozen into an image: keys and tokens whose form gives them away.
//!
//! Only forms that nothing else has are looked for: private keys in armour, and tokens with a
//! prefix and a fixed length. Passwords and random text are not; a finding stops a build, so it must
//! be right. It is not the list of names that are left out: that is [`super::ignore`]'s.
//!
//! Invariants: a secret itself is never in a finding, only its line and its kind; memory is bounded
//! whatever the size of the file; a secret is found wherever the reads of a file happen to end.

use std::fmt;
use std::io::{self, Read};
use std::sync::LazyLock;

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};
use serde::Serialize;

/// Files larger than this are not scanned, in bytes.
pub const MAX_BYTES: u64 = 16 << 20;
/// How much of a file [`is_text`] wants to see, in bytes.
pub const HEAD: usize = 8192;

/// Bytes that are scanned at a time.
const WINDOW: usize = 64 * 1024;
/// The most bytes behind its beginning that tell a secret.
const AHEAD: usize = 512;
/// The bytes in front of its beginning that are looked at.
const BEHIND: usize = 48;
/// The most findings in one file.
const MAX_FINDINGS: usize = 20;

/// A secret in a file: where, and of what kind.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Finding {
    /// Line, from 1.
    pub line: usize,
    /// What it is, such as `an AWS access key id`.
    pub what: &'static str,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.what)
    }
}

/// Whether a file that begins like this is text: no NUL, and hardly any other control characters.
pub fn is_text(head: &[u8]) -> bool {
    let head = &head[..head.len().min(HEAD)];
    if head.contains(&0) {
        return false;
    }
    // Without branches: this is asked of every file.
    let odd = |b: u8| {
        let control = (b < 0x20) | (b == 0x7f);
        control & (b != b'\t') & (b != b'\n') & (b != b'\r') & (b != 0x0c) & (b != 0x1b)
    };
    let odd: usize = head.iter().map(|b| usize::from(odd(*b))).sum();
    odd * 100 <= head.len()
}

/// The first secret in a text.
pub fn scan(bytes: &[u8]) -> Option<Finding> {
    let mut found = Vec::new();
    window(bytes, 0..bytes.len(), 1, &mut found);
    found.into_iter().next()
}

/// Every secret of a file up to [`MAX_BYTES`], in order; a binary file has none.
///
/// A larger file has none either; who knows the size beforehand spares the reading. At most 20
/// findings are told.
pub fn scan_reader(reader: impl Read) -> io::Result<Vec<Finding>> {
    let mut reader = reader.take(MAX_BYTES + 1);
    let mut buffer: Vec<u8> = Vec::with_capacity(WINDOW + AHEAD + BEHIND);
    let mut found = Vec::new();
    let (mut from, mut line, mut total) = (0, 1, 0);
    loop {
        let got = reader.by_ref().take(WINDOW as u64).read_to_end(&mut buffer)?;
        if total == 0 && !is_text(&buffer) {
            return Ok(Vec::new());
        }
        total += got as u64;
        let end = got < WINDOW;
        // What begins near the end of the window waits for the next one.
        let to = if end { buffer.len() } else { buffer.len().saturating_sub(AHEAD).max(from) };
        line = window(&buffer, from..to, line, &mut found);
        if end {
            return Ok(if total > MAX_BYTES { Vec::new() } else { found });
        }
        let keep = to.saturating_sub(BEHIND);
        buffer.drain(..keep);
        from = to - keep;
    }
}

/// What secrets begin with. All are looked for at once, which is many times faster than byte by byte.
static BEGINNINGS: LazyLock<AhoCorasick> = LazyLock::new(|| {
    let tokens = TOKENS.iter().map(|t| t.prefix);
    let all = tokens.chain([ARMOUR, AZURE, SLACK]);
    // Only for the leftmost match there is a search that looks at many bytes at a time.
    let mut automaton = AhoCorasick::builder();
    automaton.match_kind(MatchKind::LeftmostFirst).kind(Some(AhoCorasickKind::DFA));
    automaton.build(all).expect("a few short texts make an automaton")
});

/// Looks for secrets that begin in `range`; returns the line in which the range ends.
fn window(bytes: &[u8], range: std::ops::Range<usize>, mut line: usize, found: &mut Vec<Finding>) -> usize {
    let (mut at, mut counted) = (range.start, range.start);
    while let Some(start) = BEGINNINGS.find(&bytes[at..]).map(|m| at + m.start())
        && start < range.end
    {
        let Some((what, length)) = secret(bytes, start) else {
            at = start + 1;
            continue;
        };
        line += lines(&bytes[counted..start]);
        counted = start;
        if found.len() < MAX_FINDINGS {
            found.push(Finding { line, what });
        }
        at = (start + length).min(range.end);
    }
    line + lines(&bytes[counted..range.end])
}

fn lines(bytes: &[u8]) -> usize {
    bytes.iter().filter(|b| **b == b'\n').count()
}

/// A token with a prefix: what follows it, and how much.
struct Token {
    prefix: &'static [u8],
    alphabet: fn(u8) -> bool,
    /// Characters behind the prefix, at least and at most.
    length: (usize, usize),
    what: &'static str,
}

fn alnum(b: u8) -> bool {
    b.is_ascii_alphanumeric()
}

fn word(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b == b'_'
}

fn url(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b == b'_' || b == b'-'
}

fn base32(b: u8) -> bool {
    b.is_ascii_uppercase() || b.is_ascii_digit()
}

fn base64(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b == b'+' || b == b'/'
}

const TOKENS: &[Token] = &[
    Token { prefix: b"AKIA", alphabet: base32, length: (16, 16), what: "an AWS access key id" },
    Token { prefix: b"ASIA", alphabet: base32, length: (16, 16), what: "an AWS access key id" },
    Token { prefix: b"AIza", alphabet: url, length: (35, 35), what: "a Google API key" },
    Token { prefix: b"ghp_", alphabet: alnum, length: (36, 36), what: "a GitHub token" },
    Token { prefix: b"gho_", alphabet: alnum, length: (36, 36), what: "a GitHub token" },
    Token { prefix: b"ghu_", alphabet: alnum, length: (36, 36), what: "a GitHub token" },
    Token { prefix: b"ghs_", alphabet: alnum, length: (36, 36), what: "a GitHub token" },
    Token { prefix: b"ghr_", alphabet: alnum, length: (36, 76), what: "a GitHub token" },
    Token { prefix: b"github_pat_", alphabet: word, length: (82, 82), what: "a GitHub token" },
    Token { prefix: b"glpat-", alphabet: url, length: (20, 300), what: "a GitLab token" },
    Token { prefix: b"hf_", alphabet: alnum, length: (34, 34), what: "a Hugging Face token" },
    Token { prefix: b"sk-ant-", alphabet: url, length: (80, 200), what: "an Anthropic API key" },
    Token { prefix: b"sk-proj-", alphabet: url, length: (40, 250), what: "an OpenAI API key" },
    Token { prefix: b"sk_live_", alphabet: alnum, length: (24, 250), what: "a Stripe key" },
    Token { prefix: b"rk_live_", alphabet: alnum, length: (24, 250), what: "a Stripe key" },
];

/// How an armoured private key begins.
const ARMOUR: &[u8] = b"-----BEGIN ";
/// How the key of an Azure storage account begins.
const AZURE: &[u8] = b"AccountKey=";
/// How Slack's tokens begin.
const SLACK: &[u8] = b"xox";

/// The secret that begins at `at`, and its length.
fn secret(bytes: &[u8], at: usize) -> Option<(&'static str, usize)> {
    let here = &bytes[at..];
    match here.first()? {
        b'-' => return private_key(bytes, at),
        b'A' if here.starts_with(AZURE) => {
            // 64 bytes in base64.
            let key = &here[AZURE.len()..];
            let n = key.iter().take(AHEAD).take_while(|b| base64(**b)).count();
            return (n == 86 && key[n..].starts_with(b"==")).then_some(("an Azure storage key", 99));
        }
        _ => {}
    }
    // A token is no part of a longer word.
    if at > 0 && url(bytes[at - 1]) {
        return None;
    }
    if here.starts_with(SLACK) {
        return slack(here);
    }
    let token = TOKENS.iter().find(|t| here.starts_with(t.prefix))?;
    let body = &here[token.prefix.len()..];
    let n = body.iter().take(AHEAD).take_while(|b| (token.alphabet)(**b)).count();
    let body = &body[..n];
    let after = here.get(token.prefix.len() + n).copied();
    let ends = after.is_none_or(|b| !word(b));
    if !(token.length.0..=token.length.1).contains(&n) || !ends || is_sample(body) {
        return None;
    }
    Some((token.what, token.prefix.len() + n))
}

/// Keys that documentation shows: AWS's end in `EXAMPLE`, others repeat one character.
fn is_sample(body: &[u8]) -> bool {
    let mut seen = [false; 256];
    for b in body {
        seen[usize::from(*b)] = true;
    }
    let upper = body.to_ascii_uppercase();
    seen.iter().filter(|s| **s).count() < 6 || upper.windows(7).any(|w| w == b"EXAMPLE")
}

/// `xoxb-` and its like: numbers and letters in groups.
fn slack(here: &[u8]) -> Option<(&'static str, usize)> {
    if !matches!(here.get(3), Some(b'b' | b'a' | b'p' | b'r' | b's')) || here.get(4) != Some(&b'-') {
        return None;
    }
    let body = &here[5..];
    let n = body.iter().take(AHEAD - 5).take_while(|b| url(**b)).count();
    let body = &body[..n];
    let digits = body.iter().take_while(|b| b.is_ascii_digit()).count();
    (n >= 30 && digits >= 8 && body.get(digits) == Some(&b'-') && !is_sample(body))
        .then_some(("a Slack token", n + 5))
}

/// An armoured private key: its first line, and what must follow it.
fn private_key(bytes: &[u8], at: usize) -> Option<(&'static str, usize)> {
    const KINDS: &[(&[u8], &str)] = &[
        (b"PRIVATE KEY-----", "a private key"),
        (b"RSA PRIVATE KEY-----", "an RSA private key"),
        (b"EC PRIVATE KEY-----", "an EC private key"),
        (b"DSA PRIVATE KEY-----", "a DSA private key"),
        (b"OPENSSH PRIVATE KEY-----", "an OpenSSH private key"),
        (b"ENCRYPTED PRIVATE KEY-----", "an encrypted private key"),
        (b"ANY PRIVATE KEY-----", "a private key"),
        (b"PGP PRIVATE KEY BLOCK-----", "a PGP private key"),
    ];
    let rest = bytes[at..].strip_prefix(ARMOUR)?;
    let (kind, what) = KINDS.iter().find(|(kind, _)| rest.starts_with(kind))?;
    let mut body = &rest[kind.len()..];
    // Code that speaks of keys has the line too; only a key goes on with base64 or its headers.
    let mut skipped = 0;
    while skipped < 8 {
        body = match body {
            [b'\r' | b'\n' | b' ' | b'\t', tail @ ..] | [b'\\', b'n' | b'r', tail @ ..] => tail,
            _ => break,
        };
        skipped += 1;
    }
    let headers: [&[u8]; 4] = [b"Proc-Type:", b"DEK-Info:", b"Version:", b"Comment:"];
    let headed = headers.iter().any(|h| body.starts_with(h));
    let letters = body.iter().take(32).take_while(|b| base64(**b)).count();
    if skipped == 0 || !(headed || letters == 32) {
        return None;
    }
    let before = &bytes[at.saturating_sub(BEHIND)..at];
    let service = before.windows(13).any(|w| w == b"\"private_key\"");
    let what = if service { "the private key of a Google service account" } else { what };
    Some((what, ARMOUR.len() + kind.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    // Put together at run time, so that no scanner takes this file for a leak.
    fn samples() -> Vec<(String, &'static str)> {
        let body = |n: usize| "aB3dE5fG7hJ9kL1mN2pQ4rS6tU8vW0xY".chars().cycle().take(n).collect::<String>();
        let key = format!("{}\n{}\n", "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7", body(64));
        let pem = |kind: &str| format!("-----BEGIN {kind}-----\n{key}-----END {kind}-----");
        vec![
            (pem("PRIVATE KEY"), "a private key"),
            (pem("RSA PRIVATE KEY"), "an RSA private key"),
            (pem("EC PRIVATE KEY"), "an EC private key"),
            (pem("OPENSSH PRIVATE KEY"), "an OpenSSH private key"),
            (pem("ENCRYPTED PRIVATE KEY"), "an encrypted private key"),
            (
                format!("-----BEGIN RSA PRIVATE KEY-----\r\nProc-Type: 4,ENCRYPTED\r\n\r\n{key}"),
                "an RSA private key",
            ),
            (format!("-----BEGIN PGP PRIVATE KEY BLOCK-----\n\n{key}"), "a PGP private key"),
            (
                format!("\"private_key\": \"{}\"", pem("PRIVATE KEY").replace('\n', "\\n")),
                "the private key of a Google service account",
            ),
            (format!("AKIA{}", "Q3EGRIJ7KLMN2OPT"), "an AWS access key id"),
            (format!("ASIA{}", "Q3EGRIJ7KLMN2OPT"), "an AWS access key id"),
            (format!("AIza{}", body(35)), "a Google API key"),
            (format!("ghp_{}", body(36)), "a GitHub token"),
            (format!("github_pat_{}_{}", body(22), body(59)), "a GitHub token"),
            (format!("glpat-{}", body(20)), "a GitLab token"),
            (format!("xoxb-{}-{}-{}", "123456789012", "1234567890123", body(24)), "a Slack token"),
            (format!("hf_{}", body(34)), "a Hugging Face token"),
            (format!("sk-ant-api03-{}", body(95)), "an Anthropic API key"),
            (format!("sk-proj-{}", body(48)), "an OpenAI API key"),
            (format!("sk_live_{}", body(24)), "a Stripe key"),
            (format!("AccountName=x;AccountKey={}==;", body(86)), "an Azure storage key"),
        ]
    }

    #[test]
    fn each_kind_is_found_on_its_line() {
        for (secret, what) in samples() {
            let text = format!("import os\n\nx = '{secret}'\n");
            assert_eq!(scan(text.as_bytes()), Some(Finding { line: 3, what }), "{what}");
            assert_eq!(scan_reader(text.as_bytes()).unwrap(), [Finding { line: 3, what }], "{what}");
            assert_eq!(scan(secret.as_bytes()).unwrap().what, what, "alone");
        }
    }

    #[test]
    fn what_only_looks_like_a_secret_is_not_found() {
        let body: String = "aB3dE5fG7hJ9kL1mN2pQ4rS6tU8vW0xY".repeat(4);
        for text in [
            "if '-----BEGIN PRIVATE KEY-----' in data:".to_owned(),
            "-----BEGIN PRIVATE KEY-----\n...\n".to_owned(),
            "-----BEGIN PUBLIC KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSj\n".to_owned(),
            "-----BEGIN CERTIFICATE-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSj\n".to_owned(),
            format!("AKIA{}", "IOSFODNN7EXAMPLE"),
            format!("AKIA{}", "XXXXXXXXXXXXXXXX"),
            format!("BAKIA{}", "Q3EGRIJ7KLMN2OPT"),
            format!("AKIA{}Z", "Q3EGRIJ7KLMN2OPT"),
            format!("ghp_{}", "x".repeat(36)),
            format!("hf_{}", &body[..33]),
            format!("hf_{}", &body[..35]),
            "hf_hub_download hf_model_weights_only_loaded_from_disk".to_owned(),
            format!("sk_test_{}", &body[..24]),
            "xoxb-your-token-here-and-nothing-else-at-all".to_owned(),
            format!("AccountKey={};", &body[..40]),
            format!("task-ant-{body}"),
            String::new(),
        ] {
            assert_eq!(scan(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn findings_never_hold_the_secret() {
        for (secret, _) in samples() {
            let shown = format!("{0} {0:?}", scan(secret.as_bytes()).unwrap());
            assert!(!shown.contains(&secret[secret.len() - 12..]), "{shown}");
        }
    }

    /// Gives a few bytes at a time.
    struct Slow<'a>(&'a [u8], usize);

    impl Read for Slow<'_> {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            let n = self.1.min(self.0.len()).min(buf.len());
            buf[..n].copy_from_slice(&self.0[..n]);
            self.0 = &self.0[n..];
            Ok(n)
        }
    }

    #[test]
    fn a_secret_is_found_across_the_borders_of_windows() {
        for (secret, what) in samples() {
            for shift in [0, 1, 7, 20, AHEAD - 1, AHEAD, AHEAD + 1, AHEAD + BEHIND] {
                let text = format!("{}\n'{secret}'\n{}", "x".repeat(WINDOW - shift), "y\n".repeat(WINDOW));
                let found = scan_reader(Slow(text.as_bytes(), 4093)).unwrap();
                assert_eq!(found, [Finding { line: 2, what }], "{what} {shift}");
            }
        }
    }

    #[test]
    fn lines_are_counted_over_windows_and_findings_are_bounded() {
        let (secret, what) = samples().remove(8);
        let text = format!("{}{secret}\n", "line\n".repeat(50_000));
        assert_eq!(scan_reader(text.as_bytes()).unwrap(), [Finding { line: 50_001, what }]);
        let many = format!("{secret}\n").repeat(10_000);
        assert_eq!(scan_reader(many.as_bytes()).unwrap().len(), MAX_FINDINGS);
    }

    #[test]
    fn binary_and_large_files_are_not_scanned() {
        let (secret, _) = samples().remove(8);
        assert!(scan_reader(format!("\0\0{secret}").as_bytes()).unwrap().is_empty());
        let large = io::Cursor::new(secret.clone()).chain(io::repeat(b'\n').take(MAX_BYTES));
        assert!(scan_reader(large).unwrap().is_empty());
        let fits =
            io::Cursor::new(secret.clone()).chain(io::repeat(b'\n').take(MAX_BYTES - secret.len() as u64));
        assert_eq!(scan_reader(fits).unwrap().len(), 1);
        assert!(is_text("größe\tx\r\n".as_bytes()) && is_text(b"") && is_text(b"caf\xe9"));
        assert!(!is_text(b"\x89PNG\r\n\x1a\n\0") && !is_text(&[1, 2, 3]));
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200)) {
            let _ = scan(&bytes);
            let _ = scan_reader(bytes.as_slice());
        }
    }
}
