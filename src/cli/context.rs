//! What the surroundings say: the environment, the terminal, the user's folders.
//!
//! Only here is the environment read; commands get values.

use std::env;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{SystemTime, UNIX_EPOCH};

use super::args::{Command, Global, Progress};
use super::checkout;
use super::circumstances;
use super::network::Network;
use super::progress::{self, Heard, Talk};
use super::usage;
use floe::build::Circumstances;
use floe::event::{Event, Observe, Watch};
use floe::pack::cache::Cache;
use floe::store::open::Stores;
use floe::store::registry::{Client, Retry, Settings, Timeouts, Uploads, Way};
use floe::{Kind, Result};

/// Whether colours are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Color {
    Always,
    Never,
}

impl Color {
    /// Whether stderr gets colours: what `--color` says, else what the environment does.
    pub(crate) fn of_stderr(flag: Option<&str>) -> Self {
        let dumb = env::var_os("TERM").is_some_and(|t| t == "dumb");
        match flag {
            Some("always") => Self::Always,
            Some("never") => Self::Never,
            _ if set("NO_COLOR") => Self::Never,
            _ if set("CLICOLOR_FORCE") => Self::Always,
            _ if std::io::stderr().is_terminal() && !dumb => Self::Always,
            _ => Self::Never,
        }
    }

    /// The text, coloured where colours are shown.
    pub(crate) fn paint(self, code: &str, text: &str) -> String {
        match self {
            Self::Always => format!("\x1b[{code}m{text}\x1b[0m"),
            Self::Never => text.to_owned(),
        }
    }
}

/// Everything that commands need to know of their surroundings.
pub(crate) struct Context {
    color: Color,
    progress: Progress,
    talk: Arc<dyn Talk>,
    store: Option<PathBuf>,
    network: Network,
    timeouts: Timeouts,
    retry: Retry,
    uploads: Uploads,
    cache: Option<PathBuf>,
    stop: Arc<AtomicBool>,
}

impl Context {
    pub(crate) fn new(global: &Global, command: &Command) -> Self {
        let terminal = std::io::stderr().is_terminal();
        let color = Color::of_stderr(global.color.as_deref());
        let verbosity = verbosity(global);
        let progress = match global.progress {
            Progress::Json => Progress::Json,
            _ if verbosity < 0 => Progress::None,
            Progress::Auto if terminal => Progress::Auto,
            Progress::Auto => Progress::Plain,
            other => other,
        };
        let stop = Arc::new(AtomicBool::new(false));
        if command.heeds_signals() {
            watch_signals(&stop);
        }
        let cache = global.cache.clone().or_else(default_cache).filter(|_| !global.no_cache);
        let talk = progress::talk(progress, verbosity, color, Arc::clone(&stop));
        Self {
            color,
            progress,
            talk,
            store: global.store.clone().or_else(default_store),
            network: Network::new(global, command),
            timeouts: Timeouts { stall: global.stall, ..Timeouts::default() },
            retry: Retry { attempts: u32::try_from(global.retries).unwrap_or(u32::MAX), ..Retry::default() },
            uploads: uploads(global, cache.as_deref()),
            cache,
            stop,
        }
    }

    /// How registries are reached.
    pub(crate) fn network(&self) -> &Network {
        &self.network
    }

    /// Who is told of what registries say.
    pub(crate) fn watch(&self) -> Watch {
        Watch::new(Arc::new(Heard(Arc::clone(&self.talk))))
    }

    /// Who is told of events.
    pub(crate) fn see(&self) -> &dyn Observe {
        self.talk.observer()
    }

    pub(crate) fn color(&self) -> Color {
        self.color
    }

    /// Whether errors are JSON lines like the events before them.
    pub(crate) fn json_errors(&self) -> bool {
        self.progress == Progress::Json
    }

    /// A line of talk.
    pub(crate) fn line(&self, text: &str) {
        let mut err = std::io::stderr().lock();
        let _gone = writeln!(err, "{text}");
    }

    /// Some lines about the work, for who did not ask for silence.
    pub(crate) fn fact(&self, text: &str) {
        self.see().on(Event::Note { message: text.trim_end().to_owned() });
    }

    /// What was published so far, as stdout names it.
    pub(crate) fn published(&self) -> Vec<String> {
        self.talk.published()
    }

    /// Ends what moves on the terminal.
    pub(crate) fn finish(&self) {
        self.talk.finish();
    }

    /// What opens stores. Nothing is read and nothing is reached before one is.
    pub(crate) fn stores(&self) -> Result<Stores> {
        let settings = Settings {
            timeouts: self.timeouts,
            retry: self.retry,
            uploads: self.uploads.clone(),
            stop: Arc::clone(&self.stop),
            ..self.network.settings(self.watch())?
        };
        Ok(Stores {
            client: Client::new(settings),
            local: self.store.clone(),
            options: floe::store::Options::default(),
        })
    }

    /// What earlier builds found out; for files on network file systems only where `FLOE_CACHE_REMOTE` asks for it.
    pub(crate) fn cache(&self) -> Option<Cache> {
        Some(Cache::new(self.cache.as_ref()?.join("digests"), set("FLOE_CACHE_REMOTE")))
    }

    /// The model's name and id, as an image gives them to what serves it.
    #[cfg(feature = "serve")]
    pub(crate) fn served(&self) -> (Option<String>, Option<String>) {
        (text("FLOE_MODEL_NAME"), text("FLOE_MODEL_ID"))
    }

    /// What is known of this run and of where the model lies, for the publish record.
    pub(crate) fn circumstances(&self, model: &Path) -> Result<Circumstances> {
        let builder = concat!("floe ", env!("CARGO_PKG_VERSION"));
        let get = |name: &str| env::var(name).ok().filter(|v| !v.is_empty());
        let mut all = circumstances::of(self.now()?, builder, &get);
        // A CI system knows what it runs for; a model may come from another repository.
        all.revision = all.revision.or_else(|| checkout::commit(model));
        Ok(all)
    }

    /// The time, which `SOURCE_DATE_EPOCH` may have stopped.
    pub(crate) fn now(&self) -> Result<String> {
        let clock = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
        Ok(rfc3339(self.source_date_epoch()?.unwrap_or_else(clock)))
    }

    /// When the image was made: `SOURCE_DATE_EPOCH`, in seconds since 1970.
    pub(crate) fn source_date_epoch(&self) -> Result<Option<u64>> {
        let Some(text) = env::var_os("SOURCE_DATE_EPOCH").filter(|t| !t.is_empty()) else { return Ok(None) };
        let number = text.to_str().and_then(|t| t.parse::<u64>().ok()).filter(|n| *n < 253_402_300_800);
        number.map(Some).ok_or_else(|| {
            usage(
                format!("SOURCE_DATE_EPOCH is `{}`", text.to_string_lossy().escape_debug()),
                "it has to be a number of seconds since 1970-01-01, before the year 10000",
            )
        })
    }
}

/// How much is said: -2 errors only, -1 warnings too, 0 as usual, more with every `-v`. The short
/// flags win over the level, which a variable may have set.
fn verbosity(global: &Global) -> i32 {
    match (global.verbose, global.quiet, global.log.as_deref()) {
        (0, true, _) | (0, _, Some("error")) => -2,
        (0, _, Some("warn")) => -1,
        (0, _, Some("debug")) => 1,
        (0, _, Some("trace")) => 2,
        (verbose, ..) => i32::from(verbose),
    }
}

fn set(name: &str) -> bool {
    env::var_os(name).is_some_and(|v| !v.is_empty() && v != "0")
}

/// A path in a variable; one that is empty is not set.
pub(super) fn path(name: &str) -> Option<PathBuf> {
    env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from)
}

/// A text in a variable.
pub(super) fn text(name: &str) -> Option<String> {
    path(name).map(|v| v.to_string_lossy().into_owned())
}

/// `$XDG_DATA_HOME/floe`, else `~/.local/share/floe`.
fn default_store() -> Option<PathBuf> {
    let data = path("XDG_DATA_HOME")
        .filter(|p| p.is_absolute())
        .or_else(|| path("HOME").map(|h| h.join(".local/share")))?;
    Some(data.join("floe/store"))
}

/// How layers go to a registry, and where unfinished ones are noted.
fn uploads(global: &Global, cache: Option<&Path>) -> Uploads {
    let way = match global.upload.as_str() {
        "stream" => Some(Way::Stream),
        "whole" => Some(Way::Whole),
        "chunked" => Some(Way::Chunked),
        _ => None,
    };
    Uploads { way, journal: cache.map(|c| c.join("uploads")), ..Uploads::default() }
}

/// `$XDG_CACHE_HOME/floe`, else `~/.cache/floe`.
fn default_cache() -> Option<PathBuf> {
    let cache = path("XDG_CACHE_HOME")
        .filter(|p| p.is_absolute())
        .or_else(|| path("HOME").map(|h| h.join(".cache")))?;
    Some(cache.join("floe"))
}

/// The first Ctrl-C asks the work to stop, the second ends the process at once.
fn watch_signals(stop: &Arc<AtomicBool>) {
    let code = i32::from(Kind::Interrupted.exit_code());
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        // Without the handlers the signals end the process, which is safe too.
        let _first = signal_hook::flag::register_conditional_shutdown(signal, code, Arc::clone(stop));
        let _second = signal_hook::flag::register(signal, Arc::clone(stop));
    }
}

/// `SECONDS` since 1970 as RFC 3339 in UTC.
pub(crate) fn rfc3339(seconds: u64) -> String {
    let days = seconds / 86_400;
    // Civil from days, with years that begin in March (H. Hinnant, "chrono-compatible low-level
    // date algorithms").
    let z = days + 719_468;
    let era = z / 146_097;
    let doe = z % 146_097;
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let day = doy - (153 * mp + 2) / 5 + 1;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    let year = yoe + era * 400 + u64::from(month <= 2);
    let (h, m, s) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{h:02}:{m:02}:{s:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c31_times_are_rfc_3339() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (1, "1970-01-01T00:00:01Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_700_000_000, "2023-11-14T22:13:20Z"),
            (4_102_444_799, "2099-12-31T23:59:59Z"),
        ] {
            assert_eq!(rfc3339(seconds), text);
        }
    }
}
