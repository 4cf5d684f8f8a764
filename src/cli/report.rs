//! An error becomes text: the only such place.

use std::io::Write;

use super::context::{Color, Context};
use super::job;
use floe::error::show_lines;
use floe::{Error, Kind};

/// Shows an error on stderr: what happened, the excerpt, and what to do on a line of its own.
pub(crate) fn error(e: &Error, context: &Context) {
    if context.json_errors() {
        let value = serde_json::json!({
            "floe": 1, "event": "error", "message": e.to_string(), "exit_code": e.kind().exit_code(),
            "hint": e.hint_text().or(advice(e.kind())), "snippet": e.snippet_text(),
        });
        context.line(&value.to_string());
        return;
    }
    plain(&render(e, context.color()));
}

/// Says what an error did not undo: what was published stays published.
pub(crate) fn done_before(e: &Error, context: &Context) {
    if context.json_errors() {
        return;
    }
    let published = context.published();
    if !published.is_empty() {
        plain(&format!("published before that: {}\n", published.join(", ")));
    } else if e.kind() == Kind::Interrupted {
        plain("nothing was published\n");
    }
}

/// Shows an error as an annotation of a run of GitHub Actions. Where each line is JSON there is none.
pub(crate) fn annotation(e: &Error, context: &Context) {
    if !context.json_errors() {
        plain(&job::annotation(e));
    }
}

/// Writes text to stderr.
pub(crate) fn plain(text: &str) {
    let mut err = std::io::stderr().lock();
    // Nothing is left to tell it to when stderr is gone.
    let _gone = err.write_all(text.as_bytes());
}

/// An error for people.
pub(crate) fn render(e: &Error, color: Color) -> String {
    let mut out = format!("{}: {}\n", color.paint("31;1", "error"), show_lines(&e.to_string()));
    if let Some(snippet) = e.snippet_text() {
        for line in snippet.trim_end().lines() {
            out.push_str(&show_lines(line));
            out.push('\n');
        }
    }
    if let Some(hint) = e.hint_text().or(advice(e.kind())) {
        out.extend([format!("{}: {hint}\n", color.paint("36;1", "hint"))]);
    }
    out
}

/// What to do about an error that does not say so itself: who has to act, and where.
fn advice(kind: Kind) -> Option<&'static str> {
    Some(match kind {
        Kind::Io => "check that the path is right, and that its file system can be used",
        Kind::Usage => "correct the command; `floe COMMAND -h` shows examples",
        Kind::Model => "correct the model or its definition, then run the same command again",
        Kind::Network => "try again; if it stays, ask who runs the registry or the network",
        Kind::Integrity => "fetch or copy it again; if it stays, its source is damaged",
        Kind::Contract => "publish under another name, or keep the old inputs and outputs",
        Kind::Conflict => "look at what is there with `floe versions`, and name what you mean in full",
        Kind::Denied => "log in, or ask the owner of the repository for the right to do this",
        Kind::Findings => "look at the findings; allow them if they are meant",
        Kind::Bug => "this is a bug in floe: please report it with the command that you ran",
        // What to do is known to whoever stopped it.
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c04_colour_never_carries_meaning_alone() {
        let e = Error::new(Kind::Model, "no").hint("yes");
        assert_eq!(render(&e, Color::Never), "error: no\nhint: yes\n");
        assert!(render(&e, Color::Always).contains("error"));
    }

    #[test]
    fn c19_errors_end_with_what_to_do() {
        for kind in
            [Kind::Io, Kind::Usage, Kind::Model, Kind::Network, Kind::Integrity, Kind::Denied, Kind::Bug]
        {
            let text = render(&Error::new(kind, "no"), Color::Never);
            assert!(text.lines().last().unwrap().starts_with("hint: "), "{text}");
        }
    }
}
