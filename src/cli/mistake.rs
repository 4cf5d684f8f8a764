//! A command line that is not understood: what is wrong with it, and what to write instead.
//!
//! The parser finds the mistake; the words are ours, so that they look like every other error and
//! end with something to do.

use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::context::Color;
use super::{args, report, usage};
use floe::error::show_bytes;
use floe::{Error, Kind};

/// Shows the mistake on stderr.
pub(crate) fn show(e: &clap::Error) -> ExitCode {
    let color = Color::of_stderr(None);
    if matches!(e.kind(), ErrorKind::MissingSubcommand | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand)
    {
        report::plain(&args::command().render_help().to_string());
    } else {
        report::plain(&report::render(&understood(e), color));
    }
    ExitCode::from(Kind::Usage.exit_code())
}

fn understood(e: &clap::Error) -> Error {
    let text = |kind: ContextKind| -> Option<String> {
        match e.get(kind)? {
            ContextValue::String(s) => Some(show_bytes(s.as_bytes())),
            ContextValue::Strings(all) => all.first().map(|s| show_bytes(s.as_bytes())),
            ContextValue::StyledStr(s) => Some(s.to_string().trim_end().to_owned()),
            ContextValue::StyledStrs(all) => all.first().map(ToString::to_string),
            ContextValue::Number(n) => Some(n.to_string()),
            _ => None,
        }
    };
    let usage_line = text(ContextKind::Usage).map_or_else(
        || "`floe --help` lists the commands and flags".to_owned(),
        |u| format!("write `{}`", without_flags(u.trim_start_matches("Usage: "))),
    );
    let name = text(ContextKind::InvalidArg).unwrap_or_default();
    // `--name <NAME>` is known by its first word.
    let flag = name.split_whitespace().next().unwrap_or_default().trim_matches(['<', '>', '[', ']']);
    match e.kind() {
        ErrorKind::UnknownArgument if name.starts_with('-') => {
            let hint = match text(ContextKind::SuggestedArg) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("{usage_line}; -h lists the flags"),
            };
            usage(format!("there is no flag `{name}`"), hint)
        }
        ErrorKind::UnknownArgument => usage(format!("`{name}` is one argument too many"), usage_line),
        ErrorKind::InvalidSubcommand => {
            let wrong = text(ContextKind::InvalidSubcommand).unwrap_or_default();
            let hint = match text(ContextKind::SuggestedSubcommand) {
                Some(near) => format!("did you mean `{near}`?"),
                None => commands(),
            };
            usage(format!("there is no command `{wrong}`"), hint)
        }
        ErrorKind::InvalidValue | ErrorKind::ValueValidation => {
            let value = text(ContextKind::InvalidValue).unwrap_or_default();
            let hint = match (text(ContextKind::SuggestedValue), e.get(ContextKind::ValidValue)) {
                (Some(near), Some(ContextValue::Strings(all))) => {
                    format!("did you mean `{near}`? There are {}", all.join(", "))
                }
                (None, Some(ContextValue::Strings(all))) if !all.is_empty() => {
                    format!("use one of {}", all.join(", "))
                }
                // What reads a value of ours says what it expected.
                _ => match std::error::Error::source(e).map(ToString::to_string) {
                    Some(expected) if expected.starts_with("expected ") => expected,
                    _ => usage_line,
                },
            };
            if value.is_empty() {
                return usage(format!("`{flag}` needs a value"), format!("write `{name}`"));
            }
            usage(format!("`{flag}` cannot be `{value}`"), hint)
        }
        ErrorKind::ArgumentConflict => {
            let other = text(ContextKind::PriorArg).unwrap_or_default();
            let other = other.split_whitespace().next().unwrap_or_default();
            if other.is_empty() || other == flag {
                return usage(format!("`{flag}` is given twice"), "give it once");
            }
            usage(format!("`{flag}` and `{other}` exclude each other"), "give one of them")
        }
        ErrorKind::TooManyValues => usage(format!("`{flag}` takes no value"), "give it alone"),
        ErrorKind::MissingRequiredArgument => usage(format!("`{flag}` is missing"), usage_line),
        // Whatever else there is: the parser's own words, without its advice to read the help.
        _ => {
            let rendered = e.render().to_string();
            let first = rendered.lines().next().unwrap_or("the command line is not understood");
            usage(first.trim_start_matches("error: "), usage_line)
        }
    }
}

/// A line of usage without the flags that the parser was given already, by variables too.
fn without_flags(usage: &str) -> String {
    let mut words: Vec<&str> = Vec::new();
    let mut after_flag = false;
    for word in usage.split_whitespace() {
        let value = after_flag && word.starts_with('<');
        after_flag = word.starts_with('-');
        if !after_flag && !value {
            words.push(word);
        }
    }
    words.join(" ")
}

/// Where a command was expected: which there are.
pub(crate) fn commands() -> String {
    let command = args::command();
    let all: Vec<&str> = command.get_subcommands().map(clap::Command::get_name).collect();
    format!("the commands are {}", all.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(line: &str) -> Error {
        let words = std::iter::once("floe").chain(line.split(' '));
        understood(&args::command().try_get_matches_from(words).unwrap_err())
    }

    #[test]
    fn c03_an_unknown_word_names_the_nearest() {
        for (line, message, hint) in [
            ("buidl", "there is no command `buidl`", "did you mean `build`?"),
            ("build --nmae x", "there is no flag `--nmae`", "did you mean `--name`?"),
            (
                "build --progress jsn",
                "`--progress` cannot be `jsn`",
                "did you mean `json`? There are auto, plain, json, none",
            ),
            ("build --base", "`--base` needs a value", "write `--base <REF>`"),
            ("build --base a --runtime b", "`--base` and `--runtime` exclude each other", "give one of them"),
            ("build a b", "`b` is one argument too many", "write `floe build [OPTIONS] [DIR|FILE]`"),
            ("versions", "`NAME` is missing", "write `floe versions <NAME>`"),
            ("build --name a --name b", "`--name` is given twice", "give it once"),
            (
                "serve --host here",
                "`--host` cannot be `here`",
                "expected an IP address, as in 127.0.0.1 or ::",
            ),
            ("serve --max-body much", "`--max-body` cannot be `much`", "expected a size, as in 64MiB"),
            ("build --json=x", "`--json` takes no value", "give it alone"),
        ] {
            let e = of(line);
            assert_eq!((e.message(), e.hint_text()), (message, Some(hint)), "{line}");
        }
        let e = of("frobnicate");
        assert!(e.hint_text().unwrap().starts_with("the commands are build, infer, "), "{e:?}");
    }

    #[test]
    fn c19_no_mistake_is_answered_with_read_the_help() {
        for line in ["--zzz", "build -j x", "inspect", "build --dry-run=x", "build \x1b[31m x"] {
            let e = of(line);
            let hint = e.hint_text().unwrap();
            assert!(!e.to_string().contains('\x1b') && !hint.contains('\x1b'), "{e:?}");
            assert!(!hint.contains("more information"), "{e:?}");
        }
    }
}
