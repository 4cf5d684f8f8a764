//! Runs the binary in a folder of its own, with an environment of which every test knows every
//! variable, and holds what it says against what it should say.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt::Write as _;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

/// A model that is recognised and small.
pub(crate) const ONNX: &[u8] = include_bytes!("../../../testdata/models/onnx/on_dev_scaler/model.onnx");

/// A folder to work in; its `store` is the local store.
pub(crate) struct Bench {
    dir: tempfile::TempDir,
    /// Where everybody may come, beside the folder whose content is compared.
    open: std::cell::OnceCell<tempfile::TempDir>,
}

/// A command before it runs.
pub(crate) struct Run {
    command: Command,
    input: Vec<u8>,
    dir: PathBuf,
    line: String,
}

/// What came of it.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
    line: String,
    dir: PathBuf,
}

impl Bench {
    pub(crate) fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("floe-cli-").tempdir().unwrap();
        Self { dir, open: std::cell::OnceCell::new() }
    }

    /// With `model.onnx`, which is recognised and has a contract.
    pub(crate) fn with_model() -> Self {
        let bench = Self::new();
        bench.write("model.onnx", ONNX);
        bench
    }

    /// With a folder `m` that holds a model, and a store that holds a version of another one.
    pub(crate) fn with_a_store() -> Self {
        let bench = Self::new();
        bench.write("m/model.onnx", ONNX);
        bench.write("first/model.onnx", ONNX);
        bench.answer("build first -q");
        bench
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, bytes).unwrap();
        path
    }

    pub(crate) fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
    }

    /// The binary where other users can run it: the checkout may lie in a folder that is closed to them.
    pub(crate) fn for_others(&self) -> PathBuf {
        use std::os::unix::fs::PermissionsExt;
        let open = self.open.get_or_init(|| {
            let open = tempfile::Builder::new().prefix("floe-bin-").tempdir().unwrap();
            std::fs::set_permissions(open.path(), PermissionsExt::from_mode(0o755)).unwrap();
            // By another process, as in `sandbox`: a file open for writing here may not be run.
            let target = open.path().join("floe");
            crate::support::program::run("cp", &[env!("CARGO_BIN_EXE_floe"), target.to_str().unwrap()]);
            open
        });
        open.path().join("floe")
    }

    /// The binary with the words of a line, ready to run.
    pub(crate) fn command(&self, line: &str) -> Run {
        let mut command = Command::new(env!("CARGO_BIN_EXE_floe"));
        command.args(line.split_whitespace());
        self.prepared(command, format!("floe {line}"))
    }

    /// Another program, in the same folder and environment.
    pub(crate) fn program(&self, program: &str, args: &[&str]) -> Run {
        let mut command = Command::new(program);
        command.args(args);
        self.prepared(command, format!("{program} {}", args.join(" ")))
    }

    fn prepared(&self, mut command: Command, line: String) -> Run {
        command.env_clear().current_dir(self.dir.path()).env("FLOE_STORE", self.path("store"));
        // Most tests are of what is the same for all bases; the one that floe carries is large.
        command.env("FLOE_RUNTIME", "data");
        if let Some(path) = std::env::var_os("PATH") {
            command.env("PATH", path);
        }
        Run { command, input: Vec::new(), dir: self.dir.path().to_owned(), line }
    }

    /// Runs the binary with the words of a line.
    pub(crate) fn floe(&self, line: &str) -> Ran {
        self.command(line).go()
    }

    /// Runs the binary, which must succeed, and gives what it answers.
    #[track_caller]
    pub(crate) fn answer(&self, line: &str) -> String {
        let ran = self.floe(line);
        assert_eq!(ran.code, 0, "{ran:#?}");
        ran.out
    }

    /// As [`Bench::answer`], read as JSON.
    #[track_caller]
    pub(crate) fn json(&self, line: &str) -> Value {
        let answer = self.answer(line);
        serde_json::from_str(&answer).unwrap_or_else(|e| panic!("{e}: {answer}"))
    }

    /// Every path below the folder with what is in it and its mode, to be held against a later look.
    pub(crate) fn look(&self) -> BTreeMap<PathBuf, (u32, Vec<u8>)> {
        let mut seen = BTreeMap::new();
        let mut left = vec![self.dir.path().to_owned()];
        while let Some(folder) = left.pop() {
            for item in std::fs::read_dir(&folder).unwrap() {
                let path = item.unwrap().path();
                let meta = path.symlink_metadata().unwrap();
                let content = if meta.is_dir() {
                    left.push(path.clone());
                    Vec::new()
                } else if meta.is_symlink() {
                    std::fs::read_link(&path).unwrap().into_os_string().into_encoded_bytes()
                } else if meta.is_file() {
                    std::fs::read(&path).unwrap_or_default()
                } else {
                    Vec::new()
                };
                seen.insert(path, (meta.mode(), content));
            }
        }
        seen
    }

    /// The names of everything below the folder, whatever comes and goes meanwhile.
    pub(crate) fn look_names(&self) -> Vec<String> {
        let mut names = Vec::new();
        let mut left = vec![self.dir.path().to_owned()];
        while let Some(folder) = left.pop() {
            for item in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
                names.push(item.path().to_string_lossy().into_owned());
                if item.file_type().is_ok_and(|t| t.is_dir()) {
                    left.push(item.path());
                }
            }
        }
        names
    }

    /// Runs a line that must be refused and must leave everything as it was.
    #[track_caller]
    pub(crate) fn refused(&self, line: &str) -> Ran {
        self.refused_run(self.command(line))
    }

    /// Runs lines that must all be refused, each as [`Bench::refused`], and holds what they say
    /// against one transcript.
    #[track_caller]
    pub(crate) fn refuses(&self, lines: &[&str], wanted: &str) {
        let mut shown = String::new();
        for line in lines {
            let ran = self.refused(line);
            writeln!(shown, "$ floe {line}\nexit code {}", ran.code).unwrap();
            shown.push_str(&ran.error());
        }
        let wanted = dedent(wanted);
        assert!(shown == wanted, "{}", difference(&wanted, &shown));
    }

    #[track_caller]
    pub(crate) fn refused_run(&self, run: Run) -> Ran {
        let before = self.look();
        let ran = run.go();
        assert_ne!(ran.code, 0, "{ran:#?}");
        assert_eq!(ran.out, "", "{ran:#?}");
        let after = self.look();
        let changed: Vec<_> = after
            .iter()
            .filter(|(p, c)| before.get(*p) != Some(c))
            .map(|(p, _)| p)
            .chain(before.keys().filter(|p| !after.contains_key(*p)))
            .collect();
        assert!(changed.is_empty(), "a refusal changed {changed:?}: {ran:#?}");
        ran
    }
}

impl Run {
    pub(crate) fn env(mut self, key: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(key, value);
        self
    }

    pub(crate) fn without(mut self, key: &str) -> Self {
        self.command.env_remove(key);
        self
    }

    pub(crate) fn arg(mut self, arg: impl Into<OsString>) -> Self {
        self.command.arg(arg.into());
        self
    }

    pub(crate) fn input(mut self, bytes: &[u8]) -> Self {
        self.input = bytes.to_vec();
        self
    }

    /// The command itself, for what this runner does not do.
    pub(crate) fn into_command(self) -> Command {
        self.command
    }

    pub(crate) fn go(mut self) -> Ran {
        let kept = crate::support::secrets::of(&self.command);
        let mut child = self
            .command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|e| panic!("`{}` is needed for this test: {e}", self.line));
        let mut stdin = child.stdin.take().unwrap();
        let input = std::mem::take(&mut self.input);
        // Who does not read its input closes the pipe; that is no fault of the test.
        let feed = std::thread::spawn(move || std::io::Write::write_all(&mut stdin, &input).is_ok());
        let out = child.wait_with_output().unwrap();
        let _fed = feed.join();
        crate::support::secrets::check(&self.command, &kept, &[&out.stdout, &out.stderr]);
        Ran {
            code: out.status.code().unwrap_or(-1),
            out: String::from_utf8(out.stdout).expect("stdout is text"),
            err: String::from_utf8(out.stderr).expect("stderr is text"),
            line: self.line,
            dir: self.dir,
        }
    }
}

impl Ran {
    /// Holds the whole run against a transcript: the line, the exit code where it is not zero,
    /// stdout, and stderr behind `|`. Digests, their short forms and the folder are replaced.
    #[track_caller]
    pub(crate) fn shows(&self, wanted: &str) -> &Self {
        let shown = self.transcript();
        let wanted = dedent(wanted);
        assert!(shown == wanted, "{}", difference(&wanted, &shown));
        self
    }

    pub(crate) fn transcript(&self) -> String {
        let mut text = format!("$ {}\n", self.line);
        if self.code != 0 {
            writeln!(text, "exit code {}", self.code).unwrap();
        }
        text.push_str(&self.out);
        // Threads end in any order; what they say is held together, so a run of it is sorted.
        let ended = |l: &&str| [": written", ": already there", ": mounted"].iter().any(|w| l.contains(w));
        let lines: Vec<&str> = self.err.lines().collect();
        for run in lines.chunk_by(|a, b| ended(a) && ended(b)) {
            let mut run = run.to_vec();
            run.sort_unstable();
            run.iter().for_each(|line| writeln!(text, "| {line}").unwrap());
        }
        filtered(&text, &self.dir)
    }

    /// The last lines of stderr, which begin with the error.
    pub(crate) fn error(&self) -> String {
        let at = self.err.find("error: ").unwrap_or_else(|| panic!("no error: {self:#?}"));
        filtered(&self.err[at..], &self.dir)
    }

    /// The exit code and the error.
    #[track_caller]
    pub(crate) fn fails(&self, code: i32, wanted: &str) {
        let shown = self.error();
        let wanted = dedent(wanted);
        assert!(shown == wanted, "{}", difference(&wanted, &shown));
        assert_eq!(self.code, code, "{self:#?}");
    }
}

fn difference(wanted: &str, shown: &str) -> String {
    let mut text = String::from("what is shown is not what should be\n");
    let (w, s): (Vec<&str>, Vec<&str>) = (wanted.lines().collect(), shown.lines().collect());
    for i in 0..w.len().max(s.len()) {
        match (w.get(i), s.get(i)) {
            (Some(w), Some(s)) if w == s => writeln!(text, "  {w}").unwrap(),
            (w, s) => {
                w.iter().for_each(|w| writeln!(text, "- {w}").unwrap());
                s.iter().for_each(|s| writeln!(text, "+ {s}").unwrap());
            }
        }
    }
    text
}

/// The text without the indentation that its lines share, and without its first and last line
/// break.
fn dedent(text: &str) -> String {
    let text = text.strip_prefix('\n').unwrap_or(text);
    let lines: Vec<&str> = text.lines().collect();
    let indent = |l: &&str| l.len() - l.trim_start().len();
    let depth = lines.iter().filter(|l| !l.trim().is_empty()).map(indent).min().unwrap_or(0);
    let mut out = String::new();
    for (i, line) in lines.iter().enumerate() {
        if i + 1 == lines.len() && line.trim().is_empty() {
            break;
        }
        writeln!(out, "{}", line.get(depth..).unwrap_or("")).unwrap();
    }
    out
}

/// Whether a text begins with the time of this run, in RFC 3339: fixed times are of 1970.
fn begins_with_now(text: &str) -> bool {
    const FORM: &[u8] = b"20dd-dd-ddTdd:dd:ddZ";
    text.len() >= FORM.len()
        && FORM.iter().zip(text.bytes()).all(|(f, b)| if *f == b'd' { b.is_ascii_digit() } else { *f == b })
}

/// Replaces what differs from run to run and what other tests pin: the folder, the time, and runs of 64
/// or 16 hex digits.
fn filtered(text: &str, dir: &Path) -> String {
    let mut text = text.replace(&*dir.to_string_lossy(), "DIR");
    // The folder behind a link, as on systems whose temporary folder is one.
    if let Ok(real) = dir.canonicalize() {
        text = text.replace(&*real.to_string_lossy(), "DIR");
    }
    while let Some((at, _)) = text.char_indices().find(|(at, _)| begins_with_now(&text[*at..])) {
        text.replace_range(at..at + 20, "<now>");
    }
    let mut out = String::new();
    let mut run = String::new();
    for c in text.chars().chain(['\0']) {
        if c.is_ascii_alphanumeric() {
            run.push(c);
            continue;
        }
        let hex = run.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        match run.len() {
            64 if hex => out.push_str("<64>"),
            16 if hex => out.push_str("<16>"),
            _ => out.push_str(&run),
        }
        run.clear();
        if c != '\0' {
            out.push(c);
        }
    }
    out
}
