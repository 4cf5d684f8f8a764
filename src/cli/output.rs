//! stdout is the answer, stderr is the talk.

use std::io::{self, IsTerminal, Write};

use floe::error::{At, show_bytes};
use floe::{Error, Kind, Result};

/// Writes the answer.
pub(crate) fn answer(text: &str) -> Result<()> {
    let mut out = io::stdout().lock();
    let write = |out: &mut io::StdoutLock<'_>| -> io::Result<()> {
        out.write_all(text.as_bytes())?;
        if !text.ends_with('\n') {
            out.write_all(b"\n")?;
        }
        out.flush()
    };
    write(&mut out).doing("write to standard output")
}

/// Writes the answer as one JSON document.
pub(crate) fn json(value: &impl serde::Serialize) -> Result<()> {
    let text = serde_json::to_string_pretty(value)
        .map_err(|e| Error::new(Kind::Bug, "the answer cannot be written as JSON").because(e))?;
    answer(&text)
}

/// Whether the reader of our output went away, as `head` does: no error.
pub(crate) fn is_closed_pipe(e: &Error) -> bool {
    let mut next: Option<&(dyn std::error::Error + 'static)> = Some(e);
    while let Some(e) = next {
        if e.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe) {
            return true;
        }
        next = e.source();
    }
    false
}

/// A size for people.
pub(crate) fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64;
    let mut unit = "B";
    for next in UNITS {
        // What would round up to 1024 is shown in the next unit.
        if value < 1023.95 {
            break;
        }
        value /= 1024.0;
        unit = next;
    }
    format!("{value:.1} {unit}")
}

/// Lines up columns; the last is never padded. On a terminal the table is made to fit; a pipe or
/// a file gets everything.
pub(crate) fn table(rows: &[Vec<String>]) -> String {
    let out = io::stdout();
    let columns = if out.is_terminal() { rustix::termios::tcgetwinsize(&out).ok() } else { None };
    fit(rows, columns.map(|w| usize::from(w.ws_col)).filter(|w| *w > 0))
}

/// Hex digits that a digest is shortened to where there is no room for all.
const SHORT_DIGEST: usize = "sha256:0123456789ab".len();
/// No column is made narrower than this.
const NARROWEST: usize = 8;

/// The table within a width: digests are shortened first, then the widest column is cut.
fn fit(rows: &[Vec<String>], width: Option<usize>) -> String {
    // What stands in a cell may come from an image.
    let shown = |row: &Vec<String>| row.iter().map(|c| show_bytes(c.as_bytes())).collect();
    let mut rows: Vec<Vec<String>> = rows.iter().map(shown).collect();
    let excess = |rows: &[Vec<String>]| {
        let widths = widths(rows);
        let total = widths.iter().sum::<usize>() + 2 * widths.len().saturating_sub(1);
        width.map_or(0, |w| total.saturating_sub(w))
    };
    if excess(&rows) > 0 {
        for cell in rows.iter_mut().flatten().filter(|c| c.starts_with("sha256:")) {
            cut(cell, SHORT_DIGEST + 1);
        }
    }
    // Each turn makes one column as narrow as it has to be; there is nothing to gain after one each.
    for _ in 0..widths(&rows).len() {
        let excess = excess(&rows);
        let widest = widths(&rows).into_iter().enumerate().max_by_key(|(_, w)| *w);
        let Some((column, wide)) = widest.filter(|_| excess > 0) else { break };
        let to = wide.saturating_sub(excess).max(NARROWEST);
        rows.iter_mut().filter_map(|r| r.get_mut(column)).for_each(|cell| cut(cell, to));
    }
    lay_out(&rows)
}

/// Shortens a cell to so many characters, the last of which tells that there was more.
fn cut(cell: &mut String, to: usize) {
    if cell.chars().count() > to {
        *cell = cell.chars().take(to.saturating_sub(1)).chain(['…']).collect();
    }
}

fn widths(rows: &[Vec<String>]) -> Vec<usize> {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |c: usize| rows.iter().filter_map(|r| r.get(c)).map(|s| s.chars().count()).max().unwrap_or(0);
    (0..columns).map(width).collect()
}

fn lay_out(rows: &[Vec<String>]) -> String {
    let widths = widths(rows);
    let mut out = String::new();
    for row in rows {
        let mut line = String::new();
        for (c, cell) in row.iter().enumerate() {
            line.push_str(cell);
            if c + 1 < row.len() {
                let pad = widths[c].saturating_sub(cell.chars().count()) + 2;
                line.extend(std::iter::repeat_n(' ', pad));
            }
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c15_sizes_for_people() {
        for (bytes, shown) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1_048_575, "1.0 MiB"),
            (5 << 20, "5.0 MiB"),
            (3 << 39, "1.5 TiB"),
        ] {
            assert_eq!(size(bytes), shown);
        }
    }

    #[test]
    fn c16_tables_line_up_and_are_never_cut() {
        let rows = [vec!["a".to_owned(), "long ".repeat(100)], vec!["bbb".to_owned(), "x".to_owned()]];
        let text = table(&rows);
        assert!(text.starts_with("a    long long"));
        assert!(text.ends_with("bbb  x\n"));
        assert!(text.lines().next().unwrap().len() > 400);
    }

    #[test]
    fn c16_tables_fit_a_terminal() {
        let digest = format!("sha256:{}", "0123456789abcdef".repeat(4));
        let row = |a: &str, b: &str| vec![a.to_owned(), digest.clone(), b.to_owned()];
        let rows = [row("v1", "latest"), row("v2", &"x".repeat(60))];
        assert!(fit(&rows, Some(200)).contains(&digest));
        let narrow = fit(&rows, Some(80));
        assert!(narrow.lines().all(|l| l.chars().count() <= 80), "{narrow}");
        assert_eq!(narrow.lines().next().unwrap(), "v1  sha256:0123456789ab…  latest");
        assert!(narrow.ends_with("x…\n"));
        assert!(fit(&rows, Some(40)).lines().all(|l| l.chars().count() <= 40));
        assert_eq!(fit(&rows, None), lay_out(&rows));
        // A width that nothing fits into ends too.
        assert!(fit(&rows, Some(1)).contains("v2"));
    }
}
