//! What stands in `WWW-Authenticate` (RFC 9110, section 11.6.1).

use std::collections::BTreeMap;

use reqwest::header::{HeaderMap, WWW_AUTHENTICATE};

/// How many challenges and parameters of a header are read.
const MAX_PARTS: usize = 64;

/// One challenge of a `WWW-Authenticate` header.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Challenge {
    pub(super) scheme: String,
    params: BTreeMap<String, String>,
}

impl Challenge {
    pub(super) fn get(&self, key: &str) -> Option<&str> {
        self.params.get(key).map(String::as_str)
    }
}

/// All challenges of an answer. One header may carry several; what cannot be read is passed over.
pub(super) fn challenges(headers: &HeaderMap) -> Vec<Challenge> {
    headers
        .get_all(WWW_AUTHENTICATE)
        .iter()
        .filter_map(|v| v.to_str().ok())
        .flat_map(parse_challenges)
        .collect()
}

/// `scheme token68-or-params, scheme param=value, …`. A word that is followed by `=` is a parameter
/// of the challenge before it, any other word begins a new one.
fn parse_challenges(text: &str) -> Vec<Challenge> {
    let mut out: Vec<Challenge> = Vec::new();
    let mut rest = text;
    for _ in 0..MAX_PARTS {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        let end = rest.find(|c: char| !is_token(c)).unwrap_or(rest.len());
        if end == 0 {
            break;
        }
        let (word, after) = rest.split_at(end);
        let value = after.trim_start_matches([' ', '\t']).strip_prefix('=');
        match (value, out.last_mut()) {
            (Some(value), Some(challenge)) => {
                let (value, after) = parse_value(value.trim_start_matches([' ', '\t']));
                challenge.params.entry(word.to_ascii_lowercase()).or_insert(value);
                rest = after;
            }
            (Some(_), None) => break,
            (None, _) => {
                out.push(Challenge { scheme: word.to_owned(), params: BTreeMap::new() });
                rest = after;
            }
        }
    }
    out
}

fn is_token(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c)
}

/// A quoted string or a bare word, and what follows it.
fn parse_value(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([',', ' ', '\t']).unwrap_or(text.len());
        return (text[..end].to_owned(), &text[end..]);
    };
    let mut value = String::new();
    let mut chars = quoted.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return (value, &quoted[at + 1..]),
            '\\' => value.extend(chars.next().map(|(_, c)| c)),
            c => value.push(c),
        }
    }
    (value, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params(text: &str) -> Vec<(String, Vec<(String, String)>)> {
        parse_challenges(text).into_iter().map(|c| (c.scheme, c.params.into_iter().collect())).collect()
    }

    fn pair(a: &str, b: &str) -> (String, String) {
        (a.to_owned(), b.to_owned())
    }

    #[test]
    fn challenges_of_real_registries() {
        assert_eq!(
            params(
                r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull,push""#
            ),
            [(
                "Bearer".to_owned(),
                vec![
                    pair("realm", "https://auth.docker.io/token"),
                    pair("scope", "repository:a/b:pull,push"),
                    pair("service", "registry.docker.io"),
                ]
            )]
        );
        assert_eq!(
            params(r#"Basic realm="a \"b\"", Bearer REALM = https://x/t , service=s"#),
            [
                ("Basic".to_owned(), vec![pair("realm", "a \"b\"")]),
                ("Bearer".to_owned(), vec![pair("realm", "https://x/t"), pair("service", "s")]),
            ]
        );
        assert_eq!(params("Negotiate"), [("Negotiate".to_owned(), vec![])]);
    }

    #[test]
    fn hostile_challenges_end() {
        for bad in [
            "",
            ",,,",
            "=",
            "=x",
            "a=b",
            "Bearer realm=\"",
            "Bearer realm=\"\\",
            "Bearer realm",
            "é",
            "Bearer \"x\"",
        ] {
            assert!(parse_challenges(bad).iter().all(|c| c.params.len() <= 1), "{bad}");
        }
        assert!(parse_challenges(&"a ".repeat(100_000)).len() <= MAX_PARTS);
    }
}
