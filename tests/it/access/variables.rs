//! Logins from the environment: floe's own variables, and GitLab's.

use super::*;

#[test]
fn c10_a_password_of_the_environment_is_for_the_registry_that_is_written_to() {
    let p = Place::closed();
    let mine = |command: &mut Command| {
        command.env("FLOE_USERNAME", USER).env("FLOE_PASSWORD", PASSWORD);
    };
    let mut build = p.build();
    mine(&mut build);
    p.publishes(&mut build);
    let mut list = p.command("versions docker://HOST/team/m");
    mine(&mut list);
    p.publishes(&mut list);

    // The base is elsewhere, and gets nothing.
    let other = TestRegistry::start().with(basic());
    let mut build = p.build();
    mine(&mut build);
    let (code, _) =
        p.exit_code(build.args(["--base", &format!("{}/b", other.addr())]).env_remove("FLOE_RUNTIME"));
    assert_eq!(code, Some(8));
    assert!(other.log().iter().all(|e| e.authorization.is_none()), "{:?}", other.log());

    // Of two registries nobody can say whose it is.
    let to = format!("docker://{}/x", other.addr());
    let mut build = p.build();
    mine(&mut build);
    let (code, said) = p.exit_code(build.args(["-o", &to]));
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("FLOE_PASSWORD could be for") && said.contains("FLOE_REGISTRY=HOST"), "{said}");
    let mut build = p.build();
    mine(&mut build);
    let (code, said) = p.exit_code(build.args(["-o", &to]).env("FLOE_REGISTRY", other.addr()));
    assert_eq!(code, Some(8), "{said}");
    assert!(
        p.registry.log().iter().rev().take(1).all(|e| e.authorization.is_none()),
        "the first was not meant"
    );
    // A name without a password is nobody.
    let (code, _) = p.exit_code(p.build().env("FLOE_PASSWORD", PASSWORD));
    assert_eq!(code, Some(2));
}

#[test]
fn c41_gitlabs_variables_are_for_its_registry_alone() {
    let p = Place::closed();
    let job = |host: &str| {
        let mut command = p.build();
        command.env("CI_REGISTRY", host).env("CI_REGISTRY_USER", USER).env("CI_REGISTRY_PASSWORD", PASSWORD);
        command
    };
    p.publishes(&mut job(p.registry.addr()));
    // Another host, another port, and a name that only begins the same are not it.
    p.registry.forget();
    for host in
        ["registry.example", "127.0.0.1", "127.0.0.1:1", &p.registry.addr()[..p.registry.addr().len() - 1]]
    {
        let (code, _) = p.exit_code(job(host).args(["--label", "a=b"]));
        assert_eq!(code, Some(8), "{host}");
    }
    assert!(p.registry.log().iter().all(|e| e.authorization.is_none()));
    // A file that names the registry counts more.
    p.write("home/.docker/config.json", auths(p.registry.addr(), r#"{"auth":"Ym9iOndyb25n"}"#));
    let (code, _) = p.exit_code(&mut job(p.registry.addr()));
    assert_eq!(code, Some(8));
}

#[test]
fn c41_a_job_token_stands_in_for_a_password() {
    let p = Place::new();
    p.registry.set(Switch::Basic { user: "gitlab-ci-token", password: "a-token-of-a-job" });
    let mut build = p.build();
    build.env("CI_REGISTRY", p.registry.addr()).env("CI_JOB_TOKEN", "a-token-of-a-job");
    p.publishes(&mut build);
}
