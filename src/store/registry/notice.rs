//! What a registry lets its users know beside its answers: warnings and limits.
//!
//! A `Warning` header is shown as the distribution specification has it ("Warnings"): code 299 alone,
//! each text once in a run. How often one may still ask (`RateLimit-…`, as Docker Hub sends it) is a
//! detail until nothing is left. Neither changes what floe does.

use std::collections::BTreeSet;
use std::sync::Mutex;

use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue, WARNING};
use reqwest::{StatusCode, Url};

use super::call::header;
use super::credentials::Secret;
use super::error::clean;
use super::transport::{Client, locked};
use crate::error::show_bytes;
use crate::event::Event;

/// The longest header that is shown (distribution-spec, "Warnings": 4096 in all).
const MAX_WARNING: usize = 1024;
/// How many notices a run keeps in mind.
const MAX_NOTICES: usize = 256;

/// What was said already.
#[derive(Default)]
pub(super) struct Notices(Mutex<BTreeSet<String>>);

impl Notices {
    /// Whether it is new.
    fn first(&self, text: &str) -> bool {
        let mut said = locked(&self.0);
        said.len() < MAX_NOTICES && said.insert(text.to_owned())
    }
}

/// Shows what the headers of an answer from a registry's API have to say.
pub(super) fn read(
    client: &Client,
    url: &Url,
    status: StatusCode,
    answer: &HeaderMap,
    sent: Option<&HeaderValue>,
) {
    // Storage services and token servers have limits of their own, which mean nothing here.
    if !url.path().starts_with("/v2/") {
        return;
    }
    let at =
        url.host_str().unwrap_or("?").to_owned() + &url.port().map_or(String::new(), |p| format!(":{p}"));
    let see = &client.settings().see;
    for text in answer.get_all(WARNING).iter().filter_map(|v| v.to_str().ok()).filter_map(warning) {
        // It may repeat what it was sent.
        let mut secrets = client.settings().credentials.all_secrets();
        secrets.extend(sent.and_then(token_of));
        let text = clean(text, &secrets);
        let message = format!("`{at}` says: {}", show_bytes(text.as_bytes()));
        if client.notices().first(&message) {
            see.on(Event::Warning { message, hint: None });
        }
    }
    if let Some(limit) = limit(answer)
        && status != StatusCode::TOO_MANY_REQUESTS
        && client.notices().first(&format!("limit {at}"))
    {
        see.detail(format!("`{at}` limits requests: {limit}"));
    }
}

/// The credentials in an `Authorization` header, without the scheme.
fn token_of(sent: &HeaderValue) -> Option<Secret> {
    sent.to_str().ok()?.split_once(' ').map(|(_, token)| Secret::new(token))
}

/// The header that carries credentials in a request.
pub(super) fn authorization(headers: &HeaderMap) -> Option<HeaderValue> {
    headers.get(AUTHORIZATION).cloned()
}

/// The text of `299 - "text"`; nothing for any other code or form.
fn warning(value: &str) -> Option<String> {
    let rest = value.trim().strip_prefix("299")?.strip_prefix(' ')?.trim_start();
    let quoted = rest.strip_prefix('-')?.trim_start().strip_prefix('"')?;
    let mut text = String::new();
    let mut chars = quoted.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => break,
            '\\' => text.extend(chars.next()),
            c => text.push(c),
        }
        if text.len() > MAX_WARNING {
            text.push('…');
            break;
        }
    }
    (!text.is_empty()).then_some(text)
}

/// What an answer says of how often one may ask: `76 of 100 left, in 21600 s`.
pub(super) fn limit(headers: &HeaderMap) -> Option<String> {
    let number = |names: &[&str]| {
        let value = names.iter().find_map(|n| header(headers, n))?;
        let mut parts = value.split(';').map(str::trim);
        let count: u64 = parts.next()?.parse().ok()?;
        let window = parts.find_map(|p| p.strip_prefix("w=")?.parse::<u64>().ok());
        Some((count, window))
    };
    let all = number(&["ratelimit-limit", "x-ratelimit-limit"]);
    let left = number(&["ratelimit-remaining", "x-ratelimit-remaining"]);
    let reset = number(&["ratelimit-reset"]).map(|(seconds, _)| format!("; anew in {seconds} s"));
    let window = all.or(left).and_then(|(_, w)| w).map(|w| format!(", in {w} s"));
    let counts = match (left, all) {
        (Some((left, _)), Some((all, _))) => format!("{left} of {all} left"),
        (Some((left, _)), None) => format!("{left} left"),
        (None, Some((all, _))) => format!("{all} in all"),
        (None, None) => return None,
    };
    Some(counts + &window.unwrap_or_default() + &reset.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c36_only_warnings_of_the_specification_are_shown() {
        for (value, text) in [
            (r#"299 - "this repository moves in May""#, Some("this repository moves in May")),
            (r#" 299 - "a \"b\" c" "Sat, 25 Aug 2012 23:34:45 GMT""#, Some("a \"b\" c")),
            (r#"199 - "other""#, None),
            (r#"299 proxy "other""#, None),
            ("299 - plain", None),
            ("299 - \"\"", None),
            ("299", None),
            ("", None),
        ] {
            assert_eq!(warning(value).as_deref(), text, "{value}");
        }
        assert!(warning(&format!("299 - \"{}", "é".repeat(5000))).unwrap().len() < MAX_WARNING + 8);
    }

    #[test]
    fn c37_limits_of_docker_hub_and_of_others() {
        let said = |pairs: &[(&'static str, &'static str)]| {
            limit(&pairs.iter().map(|(n, v)| (n.parse().unwrap(), HeaderValue::from_static(v))).collect())
        };
        assert_eq!(
            said(&[("ratelimit-limit", "100;w=21600"), ("ratelimit-remaining", "76;w=21600")]).as_deref(),
            Some("76 of 100 left, in 21600 s")
        );
        assert_eq!(
            said(&[("x-ratelimit-remaining", "0"), ("ratelimit-reset", "30")]).as_deref(),
            Some("0 left; anew in 30 s")
        );
        assert_eq!(said(&[("ratelimit-limit", "5000")]).as_deref(), Some("5000 in all"));
        assert_eq!(said(&[("ratelimit-limit", "many")]), None);
        assert_eq!(said(&[]), None);
    }
}
