//! Pauses between attempts, and how many of them a run may have.
//!
//! A request has its own number of attempts; all requests of a run together have a budget, so that
//! a registry in trouble is given up for good instead of once per layer. A pause ends when the
//! caller wants the work to stop.
//!
//! Not here: whether a failure is worth another attempt, which [`super::error`] says.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use super::transport::{Client, Retry};
use crate::error::{Error, Kind, Result};

/// How long a pause is slept before looking whether the work should stop.
const NAP: Duration = Duration::from_millis(50);

/// What a run has used of its budget.
#[derive(Debug, Default)]
pub(super) struct Spent {
    retries: AtomicU32,
    milliseconds: AtomicU64,
}

impl Spent {
    /// Takes one retry out of the budget; what was spent, where nothing is left.
    fn take(&self, retry: &Retry, pause: Duration) -> std::result::Result<(), String> {
        let retries = self.retries.fetch_add(1, Ordering::Relaxed);
        if retries >= retry.run {
            return Err(format!("{} retries", retry.run));
        }
        let pause = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
        let before = self.milliseconds.fetch_add(pause, Ordering::Relaxed);
        let most = u64::try_from(retry.run_pauses.as_millis()).unwrap_or(u64::MAX);
        if before.saturating_add(pause) > most {
            return Err(format!("{} seconds of pauses", retry.run_pauses.as_secs()));
        }
        Ok(())
    }
}

impl Client {
    /// Takes a pause out of the budget of the run; gives the error back, with the reason, where nothing
    /// is left.
    pub(super) fn spend(&self, pause: Duration, error: Error) -> Result<()> {
        self.spent().take(&self.settings().retry, pause).map_err(|what| {
            error.context(format!("this run has used up its {what}, and gives up")).hint(
                "the registry or the network is in trouble; run it again later: what is stored is not sent again",
            )
        })
    }

    /// Sleeps, unless the work should stop.
    pub(super) fn nap(&self, pause: Duration) -> Result<()> {
        nap(pause, || is_set(&self.settings().stop))
    }
}

/// Sleeps until the time is over, or until `stop` says so.
pub(super) fn nap(pause: Duration, stop: impl Fn() -> bool) -> Result<()> {
    let end = Instant::now() + pause;
    loop {
        if stop() {
            return Err(stopped());
        }
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(());
        }
        std::thread::sleep(left.min(NAP));
    }
}

/// The error for work that the caller wants to end.
pub(super) fn stopped() -> Error {
    Error::new(Kind::Interrupted, "stopped by the user")
}

/// Whether the flag is up.
pub(super) fn is_set(flag: &AtomicBool) -> bool {
    flag.load(Ordering::Relaxed)
}

/// How long a `Retry-After` asks to wait: seconds, or a date (RFC 9110, section 10.2.3). A date that
/// is over asks for no pause.
pub(super) fn retry_after(text: &str, now: SystemTime) -> Option<Duration> {
    let text = text.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(text).ok()?;
    Some(date.duration_since(now).unwrap_or(Duration::ZERO))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c37_a_pause_is_asked_for_in_seconds_or_until_a_date() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        for (text, seconds) in [
            ("7", Some(7)),
            (" 120 ", Some(120)),
            ("Sun, 06 Nov 1994 08:49:47 GMT", Some(10)),
            ("Sunday, 06-Nov-94 08:50:37 GMT", Some(60)),
            ("Sun Nov  6 08:49:38 1994", Some(1)),
            ("Sun, 06 Nov 1994 08:00:00 GMT", Some(0)),
            ("soon", None),
            ("-1", None),
            ("1.5", None),
            ("", None),
        ] {
            assert_eq!(retry_after(text, now), seconds.map(Duration::from_secs), "{text}");
        }
    }

    #[test]
    fn a_pause_ends_when_the_work_should_stop() {
        let begun = Instant::now();
        let flag = AtomicBool::new(true);
        assert_eq!(nap(Duration::from_secs(60), || is_set(&flag)).unwrap_err().kind(), Kind::Interrupted);
        assert!(begun.elapsed() < Duration::from_secs(10));
        nap(Duration::from_millis(1), || false).unwrap();
    }

    #[test]
    fn a_run_has_a_budget() {
        let retry = Retry { run: 3, run_pauses: Duration::from_secs(5), ..Retry::default() };
        let spent = Spent::default();
        let second = Duration::from_secs(1);
        assert!((0..3).all(|_| spent.take(&retry, second).is_ok()));
        assert!(spent.take(&retry, second).unwrap_err().contains("3 retries"));
        let spent = Spent::default();
        assert!(spent.take(&retry, second * 5).is_ok());
        assert!(spent.take(&retry, second).unwrap_err().contains("5 seconds"));
    }
}
