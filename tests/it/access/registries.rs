//! `registries.conf`: moved, mirrored, blocked and short names.

use super::*;
use crate::support::bases;
use floe::oci::Descriptor;

/// A base of one layer, put into a registry by hand.
fn add_base(registry: &TestRegistry, repository: &str) -> Descriptor {
    let dir = tempfile::tempdir().unwrap();
    let base = bases::plain(dir.path());
    let floe::store::location::Location::Layout { dir, .. } =
        floe::store::location::Location::base(&base).unwrap()
    else {
        panic!("{base}")
    };
    use floe::store::{Repository as _, Source as _};
    let layout = floe::store::layout::Layout::open(dir, None, floe::store::Options::default()).unwrap();
    let found = layout.resolve(&layout.names().unwrap()[0]).unwrap().unwrap();
    let document = layout.document(&found).unwrap();
    let manifest = floe::oci::Manifest::parse(document.bytes.clone(), None).unwrap();
    for blob in manifest.layers.iter().chain([&manifest.config]) {
        registry.add_blob(repository, &floe::store::read_small(&layout, blob, 1 << 20).unwrap());
    }
    registry.add_tag(repository, "1", &found.media_type, &document.bytes);
    found
}

impl Place {
    fn conf(&self, text: &str) -> PathBuf {
        self.write("registries.conf", text.replace("HOST", self.registry.addr()))
    }

    /// A build into a layout, over a base that is looked for.
    fn onto(&self, base: &str) -> Command {
        let mut command =
            self.command("build model --name m -o oci:out --json --registries-conf registries.conf");
        command.args(["--base", base]).env_remove("FLOE_RUNTIME");
        command
    }
}

#[test]
fn c27_mirrors_are_read_first_and_themselves_where_they_lack_something() {
    let p = Place::new();
    let mirror = TestRegistry::start();
    add_base(&p.registry, "bases/b");
    let empty = TestRegistry::start();
    let text = format!(
        "[[registry]]\nlocation = \"HOST\"\n[[registry.mirror]]\nlocation = \"127.0.0.1:1/x\"\n\
         [[registry.mirror]]\nlocation = \"{}\"\n[[registry.mirror]]\nlocation = \"{}/copy\"\n",
        empty.addr(),
        mirror.addr()
    );
    p.conf(&text);
    let base = format!("{}/bases/b:1", p.registry.addr());
    // Neither the first, where nobody is, nor the others have it.
    p.publishes(&mut p.onto(&base));
    let first = p.registry.log().len();
    assert!(first > 0);
    // Now the last one has it, but lacks a layer.
    add_base(&mirror, "copy/bases/b");
    p.registry.forget();
    p.publishes(p.onto(&base).args(["--label", "a=b"]));
    let from_itself = p.registry.log();
    assert!(from_itself.is_empty(), "{:?}", p.registry.steps());
    assert!(mirror.steps().iter().any(|s| s == "GET manifests"), "{:?}", mirror.steps());
    assert!(empty.log().iter().all(|e| e.status == 404));
    // The name in the image is the one that was written, whatever it was read from.
    let image = String::from_utf8(output(&mut p.command("inspect oci:out --json")).stdout).unwrap();
    assert!(!image.contains(mirror.addr()), "{image}");
}

#[test]
fn c27_a_mirror_gets_the_login_of_its_own_host_alone() {
    let p = Place::closed();
    add_base(&p.registry, "bases/b");
    let mirror = TestRegistry::start().with(basic());
    p.conf(&format!(
        "[[registry]]\nlocation = \"HOST\"\n[[registry.mirror]]\nlocation = \"{}\"\n",
        mirror.addr()
    ));
    let file = p.write("own.json", auth(p.registry.addr()));
    let base = format!("{}/bases/b:1", p.registry.addr());
    p.publishes(p.onto(&base).arg("--authfile").arg(file));
    assert!(!mirror.log().is_empty());
    assert!(mirror.log().iter().all(|e| e.authorization.is_none()), "{:?}", mirror.log());
}

#[test]
fn c27_names_are_moved_for_reading_and_writing_and_can_be_blocked() {
    let p = Place::new();
    p.conf("[[registry]]\nprefix = \"models.example/team\"\nlocation = \"HOST/moved\"\n[[registry]]\nprefix = \"evil.example\"\nblocked = true\n");
    let mut build =
        p.command("build model --name m -o docker://models.example/team/m --registries-conf registries.conf");
    let out = output(&mut build);
    assert!(out.status.success(), "{}", said(&out));
    assert!(said(&out).contains("models.example/team/m"), "the name stays as it was written: {}", said(&out));
    assert!(!p.registry.tags("moved/m").is_empty());
    let out = output(
        p.command("versions models.example/team/m")
            .env("CONTAINERS_REGISTRIES_CONF", p.path("registries.conf")),
    );
    assert!(out.status.success() && said(&out).contains("v1-"), "{}", said(&out));
    for line in
        ["versions evil.example/x", "build model --name m -o evil.example/x", "inspect evil.example/x:1"]
    {
        let (code, said) = p.exit_code(p.command(line).args(["--registries-conf", "registries.conf"]));
        assert_eq!(code, Some(8), "{said}");
        assert!(said.contains("registries.conf blocks `evil.example`"), "{said}");
    }
}

#[test]
fn c27_short_names_of_bases_have_aliases() {
    let p = Place::new();
    add_base(&p.registry, "bases/b");
    p.conf("[aliases]\n\"mine\" = \"HOST/bases/b\"\n");
    p.publishes(&mut p.onto("mine:1"));
    p.conf("unqualified-search-registries = [\"a.example\", \"b.example\"]\n");
    let (code, said) = p.exit_code(&mut p.onto("mine:1"));
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("`a.example/mine:1`, `b.example/mine:1`"), "{said}");
}

#[test]
fn c27_no_mode_of_short_names_lets_the_first_that_answers_decide() {
    let p = Place::new();
    add_base(&p.registry, "bases/b");
    for mode in ["enforcing", "permissive", "disabled"] {
        // One registry to look in is no choice.
        let at = format!("short-name-mode = \"{mode}\"\nunqualified-search-registries = ");
        p.conf(&format!("{at}[\"HOST/bases\"]\n"));
        p.publishes(p.onto("b:1").args(["--label", &format!("mode={mode}")]));
        p.conf(&format!("{at}[\"HOST/bases\", \"HOST/other\"]\n"));
        let (code, said) = p.exit_code(&mut p.onto("b:1"));
        assert_eq!(code, Some(2), "{mode}: {said}");
        assert!(said.contains("write which is meant, whatever `short-name-mode` says: `"), "{said}");
    }
    p.conf("short-name-mode = \"strict\"\n");
    let (code, said) = p.exit_code(&mut p.onto("b:1"));
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("`short-name-mode` cannot be `strict`"), "{said}");
}

#[test]
fn c27_credential_helpers_of_the_file_are_asked_in_their_order() {
    let p = Place::closed();
    p.program(
        "docker-credential-conf",
        "d=$(dirname \"$0\")\ncase $1 in store) cat >\"$d/kept\";; erase) rm -f \"$d/kept\";; get)\n\
         read host; echo \"$host\" >>\"$d/log\"\n\
         test -e \"$d/kept\" || { echo 'credentials not found in native keychain'; exit 1; }; cat \"$d/kept\";; esac",
    );
    let build = |more: &[&str]| {
        let mut command = p.build();
        command.args(["--registries-conf", "registries.conf"]).args(more);
        command.env("SECRETS_OF_THE_TEST", PASSWORD);
        command
    };
    p.conf("credential-helpers = [\"conf\"]\n");
    // The file is not asked where it is not named among them.
    p.write("home/.docker/config.json", auth(p.registry.addr()));
    let (code, _) = p.exit_code(&mut build(&[]));
    assert_eq!(code, Some(8));
    assert_eq!(std::fs::read_to_string(p.path("bin/log")).unwrap(), format!("{}\n", p.registry.addr()));
    p.conf("credential-helpers = [\"conf\", \"containers-auth.json\"]\n");
    p.publishes(&mut build(&[]));
    // One that was named by hand counts before all of them.
    p.conf("credential-helpers = [\"conf\"]\n");
    p.write("own.json", auth(p.registry.addr()));
    p.publishes(&mut build(&["--authfile", "own.json", "--label", "a=b"]));

    // A login goes to the first of them, and is found there; a logout takes it away.
    std::fs::remove_file(p.path("home/.docker/config.json")).unwrap();
    let mut login = p.command("login HOST -u ann --registries-conf registries.conf");
    let out = output(login.env("FLOE_PASSWORD", PASSWORD));
    assert_eq!(said(&out), "Login Succeeded! Kept by `docker-credential-conf`\n");
    p.publishes(&mut build(&["--label", "a=c"]));
    let out = p.run("logout HOST --registries-conf registries.conf");
    assert!(said(&out).starts_with("`docker-credential-conf` forgot the login for"), "{}", said(&out));
    assert!(!p.path("bin/kept").exists());
    let (code, _) = p.exit_code(&mut build(&["--label", "a=d"]));
    assert_eq!(code, Some(8));
}

#[test]
fn c27_the_files_of_the_user_are_found() {
    let p = Place::new();
    let text =
        "[[registry]]\nprefix = \"models.example\"\nlocation = \"HOST\"\n".replace("HOST", p.registry.addr());
    p.write("home/.config/containers/registries.conf", "");
    p.write("home/.config/containers/registries.conf.d/10.conf", text);
    let out = p.run("build model --name m -o docker://models.example/m");
    assert!(out.status.success(), "{}", said(&out));
    p.write("home/.config/containers/registries.conf.d/20.conf", "[registries.search]\n");
    let (code, said) = p.exit_code(&mut p.command("versions models.example/m"));
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("20.conf` cannot be used as a registries.conf: it is in version 1"), "{said}");
    let (code, _) = p.exit_code(&mut p.command("versions models.example/m --registries-conf none.conf"));
    assert_eq!(code, Some(2));
}
