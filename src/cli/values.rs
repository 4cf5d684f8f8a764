//! Values of flags: sizes, times, numbers and addresses, as people write them.

#[cfg(feature = "serve")]
use std::net::IpAddr;
use std::time::Duration;

/// The longest time that can be asked for: what is longer is no limit at all.
const MAX_TIME: f64 = 86_400.0 * 365.0;

/// A size in bytes: `64MiB`, `1GB`, `4096`.
pub(super) fn size(text: &str) -> Result<usize, String> {
    let (number, unit) = split(text);
    let factor: u64 = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "kib" | "k" => 1 << 10,
        "mib" | "m" => 1 << 20,
        "gib" | "g" => 1 << 30,
        "kb" => 1000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        _ => return Err("expected a size, as in 64MiB".to_owned()),
    };
    let bytes = number.parse::<u64>().ok().and_then(|n| n.checked_mul(factor));
    let bytes = bytes.and_then(|b| usize::try_from(b).ok()).filter(|b| *b > 0);
    bytes.ok_or_else(|| "expected a size, as in 64MiB".to_owned())
}

/// A time: `30s`, `500ms`, `2m`; a number alone is seconds.
pub(super) fn time(text: &str) -> Result<Duration, String> {
    let (number, unit) = split(text);
    let factor = match unit {
        "ms" => 0.001,
        "" | "s" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3600.0,
        _ => return Err("expected a time, as in 30s".to_owned()),
    };
    let seconds = number.parse::<f64>().ok().map(|n| n * factor).filter(|s| (0.0..=MAX_TIME).contains(s));
    seconds.map(Duration::from_secs_f64).ok_or_else(|| "expected a time, as in 30s".to_owned())
}

/// A time that is not 0: what is given no time at all always fails.
pub(super) fn wait(text: &str) -> Result<Duration, String> {
    match time(text)? {
        Duration::ZERO => Err("expected a time that is not 0, as in 30".to_owned()),
        wait => Ok(wait),
    }
}

/// A number.
pub(super) fn count(text: &str) -> Result<usize, String> {
    // More can neither be had nor counted.
    let number = text.parse::<usize>().ok().filter(|n| *n <= 1 << 20);
    number.ok_or_else(|| "expected a number up to 1048576".to_owned())
}

/// A number that is not 0.
pub(super) fn at_least_one(text: &str) -> Result<usize, String> {
    match count(text)? {
        0 => Err("expected a number from 1 on".to_owned()),
        n => Ok(n),
    }
}

/// An address; names are not looked up, but for the one that means this machine.
#[cfg(feature = "serve")]
pub(super) fn host(text: &str) -> Result<IpAddr, String> {
    let bare = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')).unwrap_or(text);
    let bare = if bare == "localhost" { "127.0.0.1" } else { bare };
    bare.parse().map_err(|_| "expected an IP address, as in 127.0.0.1 or ::".to_owned())
}

/// Digits and what follows them.
fn split(text: &str) -> (&str, &str) {
    let at = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    (&text[..at], text[at..].trim_start())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_written_with_their_unit() {
        for (text, bytes) in
            [("64MiB", 64 << 20), ("1 GiB", 1 << 30), ("10kb", 10_000), ("4096", 4096), ("1B", 1)]
        {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for odd in ["", "MiB", "0", "-1", "1.5MiB", "64 parsecs", "99999999999999GiB", "1e3"] {
            assert!(size(odd).is_err(), "{odd}");
        }
    }

    #[test]
    fn times_are_written_with_their_unit() {
        for (text, ms) in [("30s", 30_000), ("500ms", 500), ("2m", 120_000), ("1.5", 1500), ("0s", 0)] {
            assert_eq!(time(text), Ok(Duration::from_millis(ms)), "{text}");
        }
        assert!(wait("0s").is_err());
        assert_eq!(wait("30"), Ok(Duration::from_secs(30)));
        for odd in ["", "s", "-1s", "1e9h", "NaN", "inf", "30 days", "99999999h"] {
            assert!(time(odd).is_err(), "{odd}");
        }
    }

    #[test]
    #[cfg(feature = "serve")]
    fn addresses_are_not_looked_up() {
        for (text, address) in
            [("127.0.0.1", "127.0.0.1"), ("::", "::"), ("[::1]", "::1"), ("localhost", "127.0.0.1")]
        {
            assert_eq!(host(text).unwrap().to_string(), address);
        }
        assert!(host("example.org").is_err());
        assert!(at_least_one("0").is_err() && count("0").is_ok() && count("1048577").is_err());
    }
}
