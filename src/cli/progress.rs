//! Events become a bar on a terminal, plain lines without one, or JSON lines.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use floe::event::{EVENT_VERSION, Event, Observe};
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
    fn finish(&self);
}

/// The talk for a mode. `verbosity` is -1 with `-q`, else the number of `-v`.
pub(crate) fn talk(mode: Progress, verbosity: i32, color: Color, stop: Arc<AtomicBool>) -> Box<dyn Talk> {
    let shared = Arc::new(Shared {
        state: Mutex::new(State::default()),
        done: Condvar::new(),
        mode,
        verbosity,
        color,
    });
    Box::new(Speaker { shared, stop, heart: Mutex::new(None) })
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
}

#[derive(Default)]
struct State {
    pieces: BTreeMap<u64, Piece>,
    began: Option<Instant>,
    spoke: Option<Instant>,
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
        match &state.bar {
            Some(bar) => bar.suspend(|| write_line(line)),
            None => write_line(line),
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
            }
            Event::Warning { message, hint } => {
                let mut line = format!("{}: {message}", self.color.paint("33;1", "warning"));
                if let Some(hint) = hint {
                    line.push_str(&format!("\n{}: {hint}", self.color.paint("36;1", "hint")));
                }
                self.say(state, &line);
            }
            Event::Note { message } => {
                if self.verbosity >= 0 {
                    self.say(state, &message);
                }
            }
            Event::Begin { id, title, total } => {
                state.began.get_or_insert_with(Instant::now);
                state.total += total.unwrap_or(0);
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
                {
                    let line = format!("{}: {outcome} ({})", piece.title, output::size(piece.bytes));
                    self.say(state, &line);
                }
            }
            Event::Published { reference, version, .. } => {
                if self.verbosity >= 1 {
                    self.say(state, &format!("published {version} as {reference}"));
                }
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
                self.done.wait_timeout(state, HEARTBEAT / 4).unwrap_or_else(PoisonError::into_inner);
            state = next;
            let last = state.spoke.or(state.began);
            if !state.finished && last.is_some_and(|l| l.elapsed() >= HEARTBEAT) {
                let line = format!("working: {} of {}", output::size(state.bytes), output::size(state.total));
                self.say(&mut state, &line);
            }
        }
    }
}

fn write_line(line: &str) {
    let mut err = std::io::stderr().lock();
    // Talk that nobody can hear is no reason to stop the work.
    let _gone = writeln!(err, "{line}");
}

impl Observe for Speaker {
    fn on(&self, event: Event) {
        let begin = matches!(event, Event::Begin { .. });
        let mut state = self.shared.state();
        match self.shared.mode {
            Progress::Json => self.shared.json(&mut state, &event),
            Progress::None => {
                if matches!(event, Event::Warning { .. }) && self.shared.verbosity >= 0 {
                    self.shared.people(&mut state, event);
                }
            }
            Progress::Auto | Progress::Plain => self.shared.people(&mut state, event),
        }
        drop(state);
        if begin && self.shared.mode == Progress::Plain && self.shared.verbosity >= 0 {
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
