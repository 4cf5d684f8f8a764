//! An error becomes text: the only such place.

use std::io::Write;

use super::context::{Color, Context};
use floe::Error;

/// Shows an error on stderr: what happened, the excerpt, and what to do on a line of its own.
pub(crate) fn error(e: &Error, context: &Context) {
    if context.json_errors() {
        let value = serde_json::json!({
            "floe": 1, "event": "error", "message": e.to_string(), "exit_code": e.kind().exit_code(),
            "hint": e.hint_text(), "snippet": e.snippet_text(),
        });
        context.line(&value.to_string());
        return;
    }
    let text = render(e, context.color());
    let mut err = std::io::stderr().lock();
    // Nothing is left to tell it to when stderr is gone.
    let _gone = err.write_all(text.as_bytes());
}

fn render(e: &Error, color: Color) -> String {
    let mut out = format!("{}: {e}\n", color.paint("31;1", "error"));
    if let Some(snippet) = e.snippet_text() {
        for line in snippet.trim_end().lines() {
            out.push_str(line);
            out.push('\n');
        }
    }
    if let Some(hint) = e.hint_text() {
        out.push_str(&format!("{}: {hint}\n", color.paint("36;1", "hint")));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use floe::Kind;

    #[test]
    fn c04_colour_never_carries_meaning_alone() {
        let e = Error::new(Kind::Model, "no").hint("yes");
        assert_eq!(render(&e, Color::Never), "error: no\nhint: yes\n");
        assert!(render(&e, Color::Always).contains("error"));
    }
}
