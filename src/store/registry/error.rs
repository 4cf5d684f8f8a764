//! What a registry's refusal means, in words that say what to do.
//!
//! A [`Failure`] is an error together with the question whether it is worth asking [`Again`].
//! The registry's own words are read as the distribution specification has them, capped, escaped,
//! and cleaned of the credentials that were sent: a server may echo what it got.

use std::error::Error as StdError;
use std::io;
use std::time::Duration;

use oci_client::errors::OciEnvelope;
use reqwest::StatusCode;

use super::call::Reply;
use super::credentials::Secret;
use super::notice;
use crate::error::{Error, Kind, show_bytes};

/// The largest error body that is read.
pub(super) const MAX_ERROR_BODY: usize = 64 << 10;
/// How much of a registry's own words is shown.
const MAX_WORDS: usize = 400;

/// Whether a failed request is worth another attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Again {
    /// It would fail again.
    Never,
    /// After a pause; the registry may have said how long.
    After(Option<Duration>),
    /// As [`Again::After`], but there is nobody at this address yet, so not for long.
    Unreached,
    /// The bytes arrived damaged: once more, from the start.
    Damaged,
    /// The registry does not take blobs in the way in which this one was sent; another may do.
    Otherwise(StatusCode),
    /// The chunk was too large; a smaller one may do.
    Smaller,
}

/// An error, and whether to try again.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) error: Error,
    pub(super) again: Again,
}

impl Failure {
    pub(super) fn never(error: Error) -> Self {
        Self { error, again: Again::Never }
    }

    pub(super) fn after(error: Error) -> Self {
        Self { error, again: Again::After(None) }
    }

    /// Whether the request may have been carried out although no answer came.
    pub(super) fn is_transient(&self) -> bool {
        matches!(self.again, Again::After(_) | Again::Unreached)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::never(error)
    }
}

/// A failure below HTTP: no connection, a cut, a certificate that is not believed.
pub(super) fn broken(e: reqwest::Error, what: &str) -> Failure {
    let connect = e.is_connect();
    let timeout = e.is_timeout();
    // URLs carry signatures of storage services; the message has the host from `what`.
    let e = e.without_url();
    let tls = find_tls(&e);
    let verb = if connect { "cannot connect" } else { "the connection failed" };
    let error = Error::new(Kind::Network, format!("cannot {what}: {verb}"));
    match tls {
        Some(rustls::Error::InvalidCertificate(reason)) => Failure::never(
            error.because(format!("the server's certificate is not believed ({reason:?})")).hint(
                "name the file of its authority with `--ca-file FILE`, or the host with `--insecure HOST`",
            ),
        ),
        Some(rustls::Error::AlertReceived(alert)) if wants_certificate(*alert) => Failure::never(
            error.because(format!("the server does not take our certificate ({alert:?})")).hint(
                "it wants the certificate of a client that it knows: `--cert FILE --key FILE`, or a folder of certs.d",
            ),
        ),
        // What a server without TLS answers is no TLS message.
        Some(rustls::Error::InvalidMessage(_)) => Failure::never(
            error
                .because("the server does not speak TLS")
                .hint("if it is meant to answer plain HTTP, name it with `--insecure HOST`"),
        ),
        _ => {
            let why = cause(&e);
            let hint = match (connect, timeout) {
                // Only a better hint hangs on these words of the HTTP library.
                (true, _) if why.contains("proxy auth") => PROXY_LOGIN,
                (true, false) => "check the name of the registry, the network, and whether a proxy is needed",
                (true, true) => {
                    "nobody answers at that address; check the name of the registry and the network"
                }
                _ => "try again; if it stays, look at the network between here and the registry",
            };
            let again = if connect { Again::Unreached } else { Again::After(None) };
            Failure { error: error.because(why).hint(hint), again }
        }
    }
}

/// What to do about a proxy that does not let us through.
const PROXY_LOGIN: &str =
    "the proxy wants a login: write http://USER:PASSWORD@HOST:PORT in the variable that names it";

/// Whether an alert is about the certificate that we showed, or did not show.
fn wants_certificate(alert: rustls::AlertDescription) -> bool {
    use rustls::AlertDescription as A;
    matches!(
        alert,
        A::CertificateRequired
            | A::BadCertificate
            | A::CertificateUnknown
            | A::CertificateExpired
            | A::UnknownCA
            | A::AccessDenied
    )
}

/// The innermost cause alone: the layers of the HTTP library say nothing to a person.
fn cause(e: &(dyn StdError + 'static)) -> String {
    let mut last = e;
    while let Some(next) = last.source() {
        last = next;
    }
    show_bytes(last.to_string().as_bytes())
}

fn find_tls<'a>(e: &'a (dyn StdError + 'static)) -> Option<&'a rustls::Error> {
    let mut next = Some(e);
    while let Some(e) = next {
        if let Some(found) = e.downcast_ref::<rustls::Error>() {
            return Some(found);
        }
        if let Some(inner) = e.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            return find_tls(inner);
        }
        next = e.source();
    }
    None
}

/// Whether a status says "not now" rather than "no".
pub(super) fn is_transient(status: StatusCode) -> bool {
    // Not 501, 505, 507 and their like: they say what will not change by waiting.
    matches!(status.as_u16(), 408 | 425 | 429 | 500 | 502 | 503 | 504 | 520..=530)
}

/// Who was asked, for what, and what could help, to make an [`Error`] of a [`Reply`].
pub(super) struct Asked<'a> {
    /// Host and port as the user writes them.
    pub(super) registry: &'a str,
    /// Repository; empty where none was meant.
    pub(super) repository: &'a str,
    /// What was being done, as in `store the manifest`.
    pub(super) doing: &'a str,
    /// What to do about a refusal, from the credentials.
    pub(super) advice: &'a str,
    /// What must not be shown.
    pub(super) secrets: &'a [Secret],
}

impl Asked<'_> {
    /// `cannot DOING in `HOST/REPOSITORY``.
    pub(super) fn what(&self) -> String {
        place(self.doing, self.registry, self.repository)
    }
}

/// What is being done, and where.
pub(super) fn place(doing: &str, registry: &str, repository: &str) -> String {
    if repository.is_empty() {
        format!("{doing} at `{registry}`")
    } else {
        format!("{doing} in `{registry}/{repository}`")
    }
}

/// The error for an answer that is not the one hoped for.
pub(super) fn refused(asked: &Asked<'_>, reply: &Reply) -> Failure {
    let status = reply.status;
    let words = words(reply, asked.secrets);
    let said = if words.is_empty() { String::new() } else { format!(": {words}") };
    let message = format!("cannot {}: the registry answered {status}{said}", asked.what());
    if is_transient(status) {
        let hint = if status == StatusCode::TOO_MANY_REQUESTS {
            let limit = notice::limit(&reply.headers).map_or(String::new(), |l| format!(" ({l})"));
            format!(
                "the registry limits how often it may be asked{limit}; wait, or log in for a higher limit"
            )
        } else {
            "the registry is in trouble; try again later".to_owned()
        };
        return Failure {
            error: Error::new(Kind::Network, message).hint(hint),
            again: Again::After(reply.retry_after()),
        };
    }
    let kind = if status.is_client_error() { Kind::Denied } else { Kind::Network };
    let mut error = Error::new(kind, message);
    if let Some(hint) = hint(asked, status, &words) {
        error = error.hint(hint);
    }
    Failure::never(error)
}

fn hint(asked: &Asked<'_>, status: StatusCode, words: &str) -> Option<String> {
    let host = asked.registry.split(':').next().unwrap_or(asked.registry);
    // ECR has repositories only after somebody made them, and answers 404 or 403 until then.
    if status == StatusCode::NOT_FOUND && host.ends_with(".amazonaws.com") {
        return Some(format!(
            "make the repository first: `aws ecr create-repository --repository-name {}`",
            asked.repository
        ));
    }
    Some(match status.as_u16() {
        // No decision hangs on these words; they only make the hint better.
        403 | 507 if words.to_ascii_lowercase().contains("quota") => {
            "the registry has no room left for you; delete what is not needed, or ask for more".to_owned()
        }
        400 | 415 if words.to_ascii_lowercase().contains("media type") => {
            "the registry takes some kinds of layers only; `--compression gzip` makes those that all take".to_owned()
        }
        401 | 403 => asked.advice.to_owned(),
        404 => "check the name of the repository; some registries want it to be made first".to_owned(),
        413 => "the registry, or a proxy before it, does not take so much at once; raise its limit, or split the file"
            .to_owned(),
        407 => PROXY_LOGIN.to_owned(),
        405 | 501 => "this registry does not support that".to_owned(),
        409 | 412 => "the tag may be immutable; use another one".to_owned(),
        300..=399 => "the registry sent us elsewhere where that is not allowed; use the name that it stands under".to_owned(),
        _ => return None,
    })
}

/// What the registry says itself, in one line.
fn words(reply: &Reply, secrets: &[Secret]) -> String {
    let text = match serde_json::from_slice::<OciEnvelope>(&reply.body) {
        Ok(envelope) => {
            let lines = envelope.errors.iter().map(|e| {
                let code = serde_json::to_value(&e.code).ok();
                let code = code.as_ref().and_then(|c| c.as_str()).unwrap_or("");
                let detail = e.detail.as_str().unwrap_or("");
                [code, e.message.as_str(), detail]
                    .into_iter()
                    .filter(|p| !p.is_empty())
                    .collect::<Vec<_>>()
                    .join(": ")
            });
            lines.collect::<Vec<_>>().join("; ")
        }
        Err(_) if reply.header("content-type").is_some_and(|t| t.starts_with("text/plain")) => {
            String::from_utf8_lossy(&reply.body).trim().to_owned()
        }
        Err(_) => String::new(),
    };
    let mut text = clean(text, secrets);
    if text.len() > MAX_WORDS {
        let end = (0..=MAX_WORDS).rev().find(|i| text.is_char_boundary(*i)).unwrap_or(0);
        text.truncate(end);
        text.push('…');
    }
    show_bytes(text.as_bytes())
}

/// Takes out what must not be shown.
pub(super) fn clean(mut text: String, secrets: &[Secret]) -> String {
    for secret in secrets {
        // One or two letters are no secret, and taking them out would garble every message.
        if secret.reveal().len() > 2 {
            text = text.replace(secret.reveal(), "…");
        }
    }
    text
}

/// The codes in the body of an answer, such as `DIGEST_INVALID`.
pub(super) fn has_code(reply: &Reply, code: &oci_client::errors::OciErrorCode) -> bool {
    serde_json::from_slice::<OciEnvelope>(&reply.body).is_ok_and(|e| e.errors.iter().any(|e| e.code == *code))
}

#[cfg(test)]
mod tests {
    use super::*;
    use reqwest::header::HeaderMap;

    fn failure(status: u16, body: &str, repository: &str, registry: &str) -> Failure {
        let reply = Reply {
            status: StatusCode::from_u16(status).unwrap(),
            headers: HeaderMap::new(),
            body: body.as_bytes().to_vec(),
        };
        let secrets = [Secret::new("hunter2")];
        let asked =
            Asked { registry, repository, doing: "store a blob", advice: "log in", secrets: &secrets };
        refused(&asked, &reply)
    }

    #[test]
    fn the_registrys_own_words_are_shown_but_no_secret() {
        let f = failure(
            403,
            r#"{"errors":[{"code":"DENIED","message":"no \u001b[31m for hunter2"},{"code":"X_Y"}]}"#,
            "m",
            "h:1",
        );
        assert_eq!(
            f.error.to_string(),
            "cannot store a blob in `h:1/m`: the registry answered 403 Forbidden: DENIED: no \\u{1b}[31m for …; X_Y"
        );
        assert_eq!((f.error.kind(), f.again), (Kind::Denied, Again::Never));
        assert_eq!(f.error.hint_text(), Some("log in"));
    }

    #[test]
    fn kinds_and_hints_follow_the_status() {
        for (status, kind, transient) in [
            (401, Kind::Denied, false),
            (404, Kind::Denied, false),
            (413, Kind::Denied, false),
            (429, Kind::Network, true),
            (500, Kind::Network, true),
            (501, Kind::Network, false),
            (408, Kind::Network, true),
        ] {
            let f = failure(status, "", "m", "h");
            assert_eq!((f.error.kind(), f.is_transient()), (kind, transient), "{status}");
            assert!(f.error.hint_text().is_some(), "{status}");
        }
        let ecr = failure(404, "", "models/x", "1.dkr.ecr.eu-west-1.amazonaws.com");
        assert!(ecr.error.hint_text().unwrap().contains("create-repository --repository-name models/x"));
        let kinds =
            failure(400, r#"{"errors":[{"code":"MANIFEST_INVALID","message":"bad media type"}]}"#, "m", "h");
        assert!(kinds.error.hint_text().unwrap().contains("--compression gzip"));
        let quota = failure(403, r#"{"errors":[{"code":"DENIED","message":"Quota exceeded"}]}"#, "m", "h");
        assert!(quota.error.hint_text().unwrap().contains("room"));
    }

    #[test]
    fn no_refusal_is_asked_again() {
        for status in [400, 401, 403, 404, 405, 409, 412, 413, 416, 501] {
            assert!(!is_transient(StatusCode::from_u16(status).unwrap()), "{status}");
        }
    }

    #[test]
    fn hostile_bodies_make_short_messages() {
        let long = format!(r#"{{"errors":[{{"code":"DENIED","message":"{}"}}]}}"#, "é".repeat(5000));
        assert!(failure(400, &long, "m", "h").error.message().len() < 600);
        for body in ["{", "[]", "{\"errors\":3}", "<html>", "\u{0}"] {
            assert!(failure(400, body, "m", "h").error.message().ends_with("400 Bad Request"), "{body}");
        }
    }
}
