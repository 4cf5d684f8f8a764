//! Events become a bar on a terminal, plain lines without one, or JSON lines.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use floe::error::{counted, show_bytes, show_lines};
use floe::event::{EVENT_VERSION, Event, FileSize, Observe};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::args::Progress;
use super::context::Color;
use super::output;

/// Work that is done sooner shows no bar.
const BEFORE_BAR: Duration = Duration::from_millis(250);
/// A job's log sees life at least this often.
const HEARTBEAT: Duration = Duration::from_secs(10);

/// Shows events, and can be told that there will be no more.
pub(crate) trait Talk: Send + Sync {
    fn observer(&self) -> &dyn Observe;
    /// What was published so far.
    fn published(&self) -> Vec<String>;
    fn finish(&self);
}

/// The talk for a mode. `verbosity` is -2 for errors only, -1 for warnings too, else the number of
/// `-v`.
pub(crate) fn talk(mode: Progress, verbosity: i32, color: Color, stop: Arc<AtomicBool>) -> Arc<dyn Talk> {
    let shared = Arc::new(Shared {
        state: Mutex::new(State::default()),
        done: Condvar::new(),
        mode,
        verbosity,
        color,
        began: Instant::now(),
        silence: HEARTBEAT,
    });
    Arc::new(Speaker { shared, stop, heart: Mutex::new(None) })
}

/// The same talk for those that need an observer of their own.
pub(crate) struct Heard(pub(crate) Arc<dyn Talk>);

impl Observe for Heard {
    fn on(&self, event: Event) {
        self.0.observer().on(event);
    }

    fn stop(&self) -> bool {
        self.0.observer().stop()
    }
}

struct Speaker {
    shared: Arc<Shared>,
    stop: Arc<AtomicBool>,
    heart: Mutex<Option<std::thread::JoinHandle<()>>>,
}

struct Shared {
    state: Mutex<State>,
    done: Condvar,
    mode: Progress,
    verbosity: i32,
    color: Color,
    began: Instant,
    /// How long nothing may be said.
    silence: Duration,
}

#[derive(Default)]
struct State {
    pieces: BTreeMap<u64, Piece>,
    began: Option<Instant>,
    spoke: Option<Instant>,
    stage: String,
    published: Vec<String>,
    total: u64,
    bytes: u64,
    bar: Option<ProgressBar>,
    greeted: bool,
    finished: bool,
}

struct Piece {
    title: String,
    bytes: u64,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        // A thread that panicked while it spoke leaves a state that can still be shown.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn say(&self, state: &mut State, line: &str) {
        state.spoke = Some(Instant::now());
        let line = if self.verbosity >= 2 {
            format!("{:>8.3}s {line}", self.began.elapsed().as_secs_f64())
        } else {
            line.to_owned()
        };
        match &state.bar {
            Some(bar) => bar.suspend(|| write_line(&line)),
            None => write_line(&line),
        }
    }

    fn json(&self, state: &mut State, event: &Event) {
        if !state.greeted {
            state.greeted = true;
            write_line(&serde_json::json!({"floe": EVENT_VERSION, "event": "hello"}).to_string());
        }
        if let Ok(line) = serde_json::to_string(event) {
            write_line(&line);
        }
    }

    fn people(&self, state: &mut State, event: Event) {
        match event {
            Event::Stage { name } => {
                if self.verbosity >= 1 {
                    self.say(state, &name);
                }
                state.stage = name;
            }
            Event::Contents { files, bytes, largest, ignored } if self.verbosity >= 0 => {
                for line in contents(files, bytes, &largest, &ignored, self.verbosity >= 1) {
                    self.say(state, &line);
                }
            }
            Event::Warning { message, hint } => {
                let message = show_lines(&message);
                let mut line = format!("{}: {message}", self.color.paint("33;1", "warning"));
                if let Some(hint) = hint {
                    line.extend([format!("\n{}: {hint}", self.color.paint("36;1", "hint"))]);
                }
                self.say(state, &line);
            }
            Event::Note { message } if self.verbosity >= 0 => self.say(state, &message),
            Event::Detail { message } if self.verbosity >= 1 => self.say(state, &message),
            Event::Begin { id, title, total } => {
                state.began.get_or_insert_with(Instant::now);
                state.total = state.total.saturating_add(total.unwrap_or(0));
                if self.verbosity >= 2 {
                    let size = total.map_or(String::new(), |t| format!(", {}", output::size(t)));
                    self.say(state, &format!("{title}: begins{size}"));
                }
                state.pieces.insert(id, Piece { title, bytes: 0 });
            }
            Event::Progress { id, bytes } => {
                state.bytes = state.bytes.saturating_add_signed(bytes);
                if let Some(piece) = state.pieces.get_mut(&id) {
                    piece.bytes = piece.bytes.saturating_add_signed(bytes);
                }
                if self.mode == Progress::Auto {
                    self.draw(state);
                }
            }
            Event::End { id, outcome } => {
                if let Some(piece) = state.pieces.remove(&id)
                    && (self.verbosity >= 1 || (self.mode == Progress::Plain && self.verbosity >= 0))
                    // Why it failed is told by the error, if it was not tried again with success.
                    && (outcome != "failed" || self.verbosity >= 1)
                {
                    let bytes = if piece.bytes > 0 {
                        format!(" ({})", output::size(piece.bytes))
                    } else {
                        String::new()
                    };
                    let line = format!("{}: {outcome}{bytes}", piece.title);
                    self.say(state, &line);
                }
            }
            Event::Published { reference, version, existed, .. } => {
                if existed && self.verbosity >= 0 {
                    self.say(state, &format!("{version} was there before, with the same content"));
                }
                if self.verbosity >= 1 {
                    self.say(state, &format!("published {version} as {reference}"));
                }
            }
            Event::Serving { name, http, grpc } if self.verbosity >= 0 => {
                let name = show_bytes(name.as_bytes());
                self.say(state, &format!("serving `{name}` over http://{http} (REST) and {grpc} (gRPC)"));
            }
            _ => {}
        }
    }

    fn draw(&self, state: &mut State) {
        if state.began.is_none_or(|b| b.elapsed() < BEFORE_BAR) {
            return;
        }
        let (total, bytes) = (state.total.max(state.bytes), state.bytes);
        let message = state.pieces.values().next().map_or(String::new(), |p| p.title.clone());
        let bar = state.bar.get_or_insert_with(|| {
            let style = "{bar:30} {binary_bytes:>10} of {binary_total_bytes:<10} {binary_bytes_per_sec:>12}  {wide_msg}";
            let style = ProgressStyle::with_template(style).unwrap_or_else(|_| ProgressStyle::default_bar());
            ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr_with_hz(10)).with_style(style)
        });
        bar.set_length(total);
        bar.set_position(bytes);
        bar.set_message(message);
    }

    /// Runs until the work is finished: a line whenever nothing was said for too long.
    fn beat(&self) {
        let mut state = self.state();
        while !state.finished {
            let (next, _) =
                self.done.wait_timeout(state, self.silence / 4).unwrap_or_else(PoisonError::into_inner);
            state = next;
            if !state.finished
                && let Some(line) = self.overdue(&state)
            {
                self.say(&mut state, &line);
            }
        }
    }

    /// A sign of life, where nothing was said for too long.
    fn overdue(&self, state: &State) -> Option<String> {
        if state.spoke.unwrap_or(self.began).elapsed() < self.silence {
            return None;
        }
        let what = state.pieces.values().next().map_or(state.stage.as_str(), |p| p.title.as_str());
        let what = if what.is_empty() { "the work goes on" } else { what };
        let far = match (state.bytes, state.total) {
            (0, _) => String::new(),
            (bytes, total) if total >= bytes => {
                format!(", {} of {}", output::size(bytes), output::size(total))
            }
            (bytes, _) => format!(", {}", output::size(bytes)),
        };
        Some(format!("working for {} s: {what}{far}", self.began.elapsed().as_secs()))
    }
}

/// How many of the ignored paths are named; the rest is counted.
const IGNORED: usize = 10;

/// What will be packed: how much, the largest files, and what was left out.
fn contents(files: usize, bytes: u64, largest: &[FileSize], ignored: &[String], all: bool) -> Vec<String> {
    let exact = if bytes < 1024 { String::new() } else { format!(" ({bytes} bytes)") };
    let mut lines = vec![format!("{}, {}{exact}", counted(files, "file", "files"), output::size(bytes))];
    let sizes: Vec<String> = largest.iter().map(|f| output::size(f.size)).collect();
    let width = sizes.iter().map(String::len).max().unwrap_or(0);
    lines.extend(largest.iter().zip(&sizes).map(|(f, size)| format!("  {size:>width$}  {}", f.path)));
    if files > largest.len() {
        let rest = files - largest.len();
        lines.push(format!("  and {}", counted(rest, "smaller file", "smaller files")));
    }
    if !ignored.is_empty() {
        let named = if all { ignored } else { &ignored[..ignored.len().min(IGNORED)] };
        let more = match ignored.len() - named.len() {
            0 => String::new(),
            n => format!(" and {n} more (-v shows them)"),
        };
        lines.push(format!("left out: {}{more}", named.join(", ")));
    }
    lines
}

fn write_line(line: &str) {
    let mut err = std::io::stderr().lock();
    // Talk that nobody can hear is no reason to stop the work.
    let _gone = writeln!(err, "{line}");
}

impl Observe for Speaker {
    fn on(&self, event: Event) {
        let mut state = self.shared.state();
        if let Event::Published { reference, .. } = &event {
            state.published.push(reference.clone());
        }
        if let Event::Serving { .. } = &event {
            // A server that waits for requests is no work that has to show life.
            state.finished = true;
            self.shared.done.notify_all();
        }
        match self.shared.mode {
            Progress::Json => self.shared.json(&mut state, &event),
            Progress::None => {
                if matches!(event, Event::Warning { .. }) && self.shared.verbosity >= -1 {
                    self.shared.people(&mut state, event);
                }
            }
            Progress::Auto | Progress::Plain => self.shared.people(&mut state, event),
        }
        drop(state);
        if self.shared.mode == Progress::Plain && self.shared.verbosity >= 0 {
            let mut heart = self.heart.lock().unwrap_or_else(PoisonError::into_inner);
            if heart.is_none() {
                let shared = Arc::clone(&self.shared);
                *heart = Some(std::thread::spawn(move || shared.beat()));
            }
        }
    }

    fn stop(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

impl Talk for Speaker {
    fn observer(&self) -> &dyn Observe {
        self
    }

    fn published(&self) -> Vec<String> {
        self.shared.state().published.clone()
    }

    fn finish(&self) {
        let mut state = self.shared.state();
        state.finished = true;
        if let Some(bar) = state.bar.take() {
            bar.finish_and_clear();
        }
        drop(state);
        self.shared.done.notify_all();
        if let Some(heart) = self.heart.lock().unwrap_or_else(PoisonError::into_inner).take() {
            // A heart that panicked has nothing more to say.
            let _dead = heart.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, size: u64) -> FileSize {
        FileSize { path: path.to_owned(), size }
    }

    #[test]
    fn c15_what_is_packed_is_told_in_sizes_for_people() {
        assert_eq!(
            contents(1, 239, &[file("m.onnx", 239)], &[], false),
            ["1 file, 239 B", "  239 B  m.onnx"]
        );
        let largest = [file("big", 5 << 20), file("small", 7)];
        let ignored: Vec<String> = (0..12).map(|i| format!("i{i}")).collect();
        assert_eq!(
            contents(3, (5 << 20) + 8, &largest, &ignored, false),
            [
                "3 files, 5.0 MiB (5242888 bytes)",
                "  5.0 MiB  big",
                "      7 B  small",
                "  and 1 smaller file",
                "left out: i0, i1, i2, i3, i4, i5, i6, i7, i8, i9 and 2 more (-v shows them)",
            ]
        );
        assert!(contents(3, 8, &largest, &ignored, true).last().unwrap().ends_with("i10, i11"));
    }

    #[test]
    fn c06_a_job_sees_life_when_nothing_was_said_for_long() {
        let mut shared = Shared {
            state: Mutex::default(),
            done: Condvar::new(),
            mode: Progress::Plain,
            verbosity: 0,
            color: Color::Never,
            began: Instant::now(),
            silence: HEARTBEAT,
        };
        assert!(HEARTBEAT <= Duration::from_secs(10));
        let mut state = State { stage: "open the base".to_owned(), ..State::default() };
        assert_eq!(shared.overdue(&state), None);
        shared.silence = Duration::ZERO;
        assert_eq!(shared.overdue(&state).unwrap(), "working for 0 s: open the base");
        state.pieces.insert(1, Piece { title: "weights m.onnx".to_owned(), bytes: 0 });
        (state.bytes, state.total) = (1 << 20, 3 << 20);
        assert_eq!(shared.overdue(&state).unwrap(), "working for 0 s: weights m.onnx, 1.0 MiB of 3.0 MiB");
        // What was said counts from then on.
        shared.silence = HEARTBEAT;
        shared.say(&mut state, "c06: said");
        assert_eq!(shared.overdue(&state), None);
    }
}
