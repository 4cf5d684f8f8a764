//! Registries that are not there or do not let us in: told quickly, with what to do, and without a word
//! of the password.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::time::{Duration, Instant};

use serde_json::json;

use super::bench::Bench;

#[test]
fn a_registry_that_is_not_there() {
    let b = Bench::with_a_store();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let began = Instant::now();
    for line in [
        "build m -o docker://127.0.0.1:PORT/team/",
        "build m --base 127.0.0.1:PORT/x",
        "versions 127.0.0.1:PORT/x",
    ] {
        let ran = b.refused(&line.replace("PORT", &port.to_string()));
        assert_eq!(ran.code, 4, "{ran:#?}");
        let error = ran.error().replace(&port.to_string(), "PORT");
        assert!(error.contains("cannot reach the registry at `127.0.0.1:PORT`: cannot connect: "), "{error}");
        assert!(
            error.contains(
                "\nhint: check the name of the registry, the network, and whether a proxy is needed\n"
            ),
            "{error}"
        );
    }
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
}

/// A registry that wants a login and accepts none; ends with the process.
fn closed_registry() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { continue };
            std::thread::spawn(move || {
                let mut seen = Vec::new();
                let mut buffer = [0; 4096];
                while let Ok(n @ 1..) = stream.read(&mut buffer) {
                    seen.extend_from_slice(&buffer[..n]);
                    if seen.windows(4).any(|w| w == b"\r\n\r\n") {
                        let body =
                            r#"{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}"#;
                        let answer = format!(
                            "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"x\"\r\n\
                             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
                            body.len()
                        );
                        if stream.write_all(answer.as_bytes()).is_err() {
                            return;
                        }
                        seen.clear();
                    }
                }
            });
        }
    });
    port
}

#[test]
fn wrong_credentials() {
    let b = Bench::with_a_store();
    let port = closed_registry();
    let host = format!("127.0.0.1:{port}");
    // The password, in base64, must not show anywhere.
    let auths = json!({"auths": {host.clone(): {"auth": "bWU6aHVudGVyMg=="}}});
    b.write("auth.json", auths.to_string());
    for line in ["build m -o HOST/team/", "build m --base HOST/x", "versions HOST/x"] {
        for login in ["", " --authfile auth.json"] {
            let ran = b.refused(&format!("{}{login}", line.replace("HOST", &host)));
            assert_eq!(ran.code, 8, "{ran:#?}");
            let error = ran.error();
            assert!(error.contains(&host) && error.contains("\nhint: "), "{error}");
            assert!(!ran.err.contains("hunter2") && !ran.err.contains("bWU6"), "{error}");
        }
    }
    let shown =
        |line: &str| b.refused(&line.replace("HOST", &host)).error().replace(&port.to_string(), "PORT");
    assert_eq!(
        shown("build m -o HOST/team/"),
        "error: cannot list the tags in `127.0.0.1:PORT/team/m`: the registry answered 401 Unauthorized: \
         UNAUTHORIZED: authentication required\nhint: there are no credentials for `127.0.0.1:PORT` (no file \
         with credentials was given); log in with `floe login 127.0.0.1:PORT`\n"
    );
    assert_eq!(
        shown("build m -o HOST/team/ --authfile auth.json"),
        "error: cannot list the tags in `127.0.0.1:PORT/team/m`: the registry answered 401 Unauthorized: \
         UNAUTHORIZED: authentication required\nhint: the credentials for `127.0.0.1:PORT` from `auth.json` \
         were sent and do not suffice; log in again, or ask for the right\n"
    );
    // A file that is no JSON, and one that is named but not there.
    b.write("broken.json", "{");
    b.refused(&format!("build m -o {host}/x --authfile broken.json"));
    b.refused("build m --authfile nowhere.json -o oci:l").fails(
        2,
        r#"
        error: there is no file `nowhere.json` with logins
        hint: correct `--authfile`, or leave it out
    "#,
    );
}
