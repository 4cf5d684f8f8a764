//! Where code of others runs: its panics become errors, its errors one line, its recursion has room.
//!
//! Invariant: nothing of a panic that is caught here reaches the terminal.

use std::cell::Cell;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Once;

use crate::error::show_bytes;

/// The stack for loading a model: an engine's analysis recurses over expressions and inner graphs.
const STACK: usize = 256 << 20;
/// The longest line that is passed on.
const MAX_LINE: usize = 400;
/// What the threads of rten's pools are called; a panic in one of them is caught by who asked.
const POOL: &str = "rten-";

thread_local! {
    static QUIET: Cell<bool> = const { Cell::new(false) };
}

/// Runs code that may panic; the panic's message is the error.
pub(super) fn caught<R>(run: impl FnOnce() -> R) -> Result<R, String> {
    // The hook of the process prints each panic, caught or not, and a caught one has nothing to tell
    // that the error does not. Panics of other code go on to the hook that was there.
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            let pool = std::thread::current().name().is_some_and(|n| n.starts_with(POOL));
            if !pool && !QUIET.get() {
                before(info);
            }
        }));
    });
    let outer = QUIET.replace(true);
    let result = panic::catch_unwind(AssertUnwindSafe(run));
    QUIET.set(outer);
    result.map_err(|panic| {
        let what = panic
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| panic.downcast_ref::<&str>().copied())
            .unwrap_or("no reason was given");
        line(what)
    })
}

/// As [`caught`], on a thread of its own with a large stack.
pub(super) fn roomy<R: Send>(run: impl FnOnce() -> R + Send) -> Result<R, String> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("floe-load".into()).stack_size(STACK);
        let started = thread.spawn_scoped(scope, || caught(run));
        let thread = started.map_err(|e| format!("cannot start a thread: {e}"))?;
        thread.join().unwrap_or_else(|_| Err("the loading thread ended".into()))
    })
}

/// What an engine says, as one line that can be shown; a backtrace is cut off.
pub(super) fn line(text: &str) -> String {
    let text = text.split("Stack backtrace").next().unwrap_or_default();
    let words: Vec<&str> = text.split_whitespace().collect();
    let shown = show_bytes(words.join(" ").as_bytes()).to_string();
    if shown.chars().count() <= MAX_LINE {
        return shown;
    }
    shown.chars().take(MAX_LINE).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_its_message() {
        assert_eq!(caught(|| 1), Ok(1));
        assert_eq!(caught(|| -> u8 { panic!("so\n it is") }), Err("so it is".into()));
        assert_eq!(roomy(|| -> u8 { panic!("so it is") }), Err("so it is".into()));
        assert_eq!(caught(|| -> u8 { panic::panic_any(7) }), Err("no reason was given".into()));
    }

    #[test]
    fn recursion_has_room() {
        fn deep(n: u64) -> u64 {
            if n == 0 { 0 } else { std::hint::black_box(1 + deep(n - 1)) }
        }
        assert_eq!(roomy(|| deep(100_000)), Ok(100_000));
    }

    #[test]
    fn a_line_has_no_backtrace_and_an_end() {
        assert_eq!(line("a\n  b\u{1b}[1m\n\nStack backtrace:\n 0: x"), "a b\\u{1b}[1m");
        assert_eq!(line(&"x".repeat(1000)).chars().count(), MAX_LINE + 1);
    }
}
