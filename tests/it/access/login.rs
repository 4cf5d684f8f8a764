//! `floe login` and `floe logout`.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;

use super::*;
use crate::support::debian::DebianRegistry;

impl Place {
    /// A login with the password on standard input.
    fn login(&self, line: &str, password: &str) -> Output {
        let mut child = self
            .command(line)
            .env("XDG_RUNTIME_DIR", self.path("run"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(password.as_bytes()).unwrap();
        let out = child.wait_with_output().unwrap();
        assert!(password.is_empty() || !said(&out).contains(password.trim()), "{}", said(&out));
        out
    }
}

#[test]
fn c25_a_login_is_kept_where_podman_and_docker_find_it() {
    for switch in [basic(), bearer()] {
        let p = Place::new();
        p.registry.set(switch);
        let out = p.login("login HOST -u ann --password-stdin", &format!("{PASSWORD}\n"));
        assert!(out.status.success(), "{}", said(&out));
        assert!(out.stdout.is_empty(), "talk is no data");
        let file = p.path("run/containers/auth.json");
        assert_eq!(
            said(&out),
            format!("Login Succeeded! Kept in `{}`, for you alone to read\n", file.display())
        );
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        let shown = crate::support::program::run(
            "skopeo",
            &["login", "--get-login", "--authfile", file.to_str().unwrap(), p.registry.addr()],
        );
        assert_eq!(shown.trim(), USER);
        p.publishes(p.build().env("XDG_RUNTIME_DIR", p.path("run")));

        let out = p.login("logout HOST", "");
        assert_eq!(
            said(&out),
            format!("forgot the login for `{}` in `{}`\n", p.registry.addr(), file.display())
        );
        let (code, _) = p.exit_code(p.build().args(["--label", "a=b"]).env("XDG_RUNTIME_DIR", p.path("run")));
        assert_eq!(code, Some(8));
        let out = p.login("logout HOST", "");
        assert!(out.status.success() && said(&out).starts_with("there was no login for"), "{}", said(&out));
    }
}

#[test]
fn a_login_that_is_refused_is_not_kept() {
    for switch in [basic(), bearer()] {
        let p = Place::new();
        p.registry.set(switch);
        let out = p.login("login HOST -u ann --password-stdin", "wrong-horse");
        assert_eq!(out.status.code(), Some(8), "{}", said(&out));
        assert!(said(&out).contains("hint: check the user name, and the password"), "{}", said(&out));
        assert!(!p.path("run").exists());
        let out = p.login("login HOST -u ann --password-stdin --no-verify", "wrong-horse");
        assert!(out.status.success() && said(&out).starts_with("Login kept in"), "{}", said(&out));
    }
}

#[test]
fn c25_dockers_file_is_written_where_it_was_moved_and_keeps_the_rest() {
    let p = Place::closed();
    p.write("docker/config.json", r#"{"detachKeys":"ctrl-e","auths":{"other.example":{"auth":"YTpi"}}}"#);
    let run = |line: &str| {
        output(p.command(line).env("DOCKER_CONFIG", p.path("docker")).env("FLOE_PASSWORD", PASSWORD))
    };
    let out = run("login HOST -u ann");
    assert!(out.status.success(), "{}", said(&out));
    let file = || -> serde_json::Value {
        serde_json::from_slice(&std::fs::read(p.path("docker/config.json")).unwrap()).unwrap()
    };
    assert_eq!(file()["detachKeys"], "ctrl-e");
    assert_eq!(file()["auths"].as_object().unwrap().len(), 2);
    let out = run("logout --all");
    assert!(said(&out).starts_with("forgot the logins for "), "{}", said(&out));
    assert_eq!(file(), serde_json::json!({"detachKeys": "ctrl-e", "auths": {}}));
}

#[test]
fn c26_a_configured_helper_keeps_the_login() {
    let p = Place::closed();
    p.program(
        "docker-credential-t",
        "d=$(dirname \"$0\")\ncase $1 in store) cat >\"$d/kept\";; get) cat \"$d/kept\";; erase) rm -f \"$d/kept\";; esac",
    );
    p.write("own.json", r#"{"credsStore": "t"}"#);
    let out = p.login("login HOST -u ann --password-stdin --authfile own.json", PASSWORD);
    assert_eq!(said(&out), "Login Succeeded! Kept by `docker-credential-t`\n");
    let text = std::fs::read_to_string(p.path("own.json")).unwrap();
    assert!(text.contains(p.registry.addr()) && !text.contains(&base64("ann:")[..4]), "{text}");
    p.publishes(p.build().args(["--authfile", "own.json"]).env("SECRETS_OF_THE_TEST", PASSWORD));
    let out = p.login("logout HOST --authfile own.json", "");
    assert!(said(&out).starts_with("`docker-credential-t` forgot the login for"), "{}", said(&out));
    assert!(!p.path("bin/kept").exists());
}

#[test]
fn what_is_missing_for_a_login_is_told() {
    let p = Place::closed();
    for (line, code, words) in [
        ("login", 2, "`HOST` is missing"),
        ("login nonsense", 2, "`nonsense` is not a registry"),
        ("login HOST --password-stdin", 2, "there is no user name"),
        ("login HOST -u ann", 2, "there is no password, and no terminal to ask for it"),
        ("login HOST -u ann -p x --password-stdin", 2, "exclude each other"),
        ("logout", 2, "no registry is named"),
        ("logout --all HOST", 2, "exclude each other"),
    ] {
        let out =
            output(p.command(line.replace("login HOST", "login h.example").as_str()).stdin(Stdio::null()));
        assert_eq!(out.status.code(), Some(code), "{line}: {}", said(&out));
        assert!(said(&out).contains(words), "{line}: {}", said(&out));
    }
    let out = p.run("login HOST -u ann -p correct-horse-battery");
    assert!(
        out.status.success() && said(&out).contains("warning: a password on the command line"),
        "{}",
        said(&out)
    );
}

#[test]
fn a_logout_says_which_other_file_still_has_a_login() {
    let p = Place::closed();
    p.write("home/.docker/config.json", auth(p.registry.addr()));
    let out = p.login("logout HOST", "");
    let other = p.path("home/.docker/config.json");
    assert!(
        said(&out).contains(&format!("warning: `{}` still has a login", other.display())),
        "{}",
        said(&out)
    );
}

/// Types at a terminal what is asked for, and shows what the terminal showed.
const TYPE: &str = r#"
import os, pty, sys
pid, terminal = pty.fork()
if pid == 0:
    os.execv(sys.argv[2], sys.argv[2:])
seen = b""
def read(until):
    global seen
    while until is None or until not in seen:
        try:
            piece = os.read(terminal, 1024)
        except OSError:
            break
        if not piece:
            break
        seen += piece
read(b"User name for ")
os.write(terminal, b"ann\n")
read(b"Password for ")
os.write(terminal, sys.argv[1].encode().decode("unicode_escape").encode())
read(None)
sys.stdout.buffer.write(seen)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"#;

#[test]
fn a_terminal_is_asked_and_shows_no_password() {
    let p = Place::closed();
    let typed = |keys: &str| {
        let mut command = Command::new("python3");
        command.args(["-c", TYPE, keys, env!("CARGO_BIN_EXE_floe"), "login", p.registry.addr()]);
        output(command.env_clear().env("HOME", p.path("home")).env("PATH", std::env::var("PATH").unwrap()))
    };
    // With a slip that is taken back.
    let out = typed("correct-horsf\\x7fe-battery\\n");
    assert!(out.status.success(), "{}", said(&out));
    assert!(said(&out).contains("Login Succeeded!"), "{}", said(&out));
    assert!(!said(&out).contains("horse") && !said(&out).contains("battery"), "{}", said(&out));
    assert!(p.path("home/.config/containers/auth.json").exists());
    // Ctrl-C.
    assert_eq!(typed("correct\\x03").status.code(), Some(130));
}

/// Ann's line of htpasswd, with bcrypt, as `python3 -c "import crypt; print(crypt.crypt(PASSWORD,
/// crypt.mksalt(crypt.METHOD_BLOWFISH, rounds=32)))"` makes it.
const HTPASSWD: &str = "ann:$2b$05$i100ZPDdVTynFTpGWcjUg.4ds/pg4DiEt5rGU0vhvNyK5OkZjtFru";

#[test]
fn c25_a_real_registry_and_skopeo_take_our_logins_and_we_take_theirs() {
    let debian = DebianRegistry::closed(HTPASSWD);
    let p = Place::new();
    let host = debian.host();
    let out = p.login(&format!("login {host} -u ann --password-stdin --authfile ours.json"), "wrong-horse");
    assert_eq!(out.status.code(), Some(8), "{}", said(&out));
    let out = p.login(&format!("login {host} -u ann --password-stdin --authfile ours.json"), PASSWORD);
    assert!(out.status.success(), "{}", said(&out));
    let line = format!("build model --name m -o docker://{host}/team/m --alias latest --authfile");
    p.publishes(&mut p.command(&format!("{line} ours.json")));
    let ours = p.path("ours.json");
    let image = format!("docker://{host}/team/m:latest");
    crate::support::program::skopeo(&[
        "inspect",
        "--tls-verify=false",
        "--authfile",
        ours.to_str().unwrap(),
        &image,
    ]);
    // And the other way round.
    let theirs = p.path("theirs.json");
    let mut login = Command::new("skopeo");
    login
        .args(["login", "--tls-verify=false", "-u", USER, "-p", PASSWORD, "--authfile"])
        .arg(&theirs)
        .arg(&host);
    crate::support::program::succeeded(&mut login);
    p.publishes(&mut p.command(&format!("{line} theirs.json --label a=b")));
    let out = p.login(&format!("logout {host} --authfile theirs.json"), "");
    assert!(said(&out).starts_with("forgot the login"), "{}", said(&out));
    assert_eq!(p.exit_code(&mut p.command(&format!("{line} theirs.json --label c=d"))).0, Some(8));
}
