//! Tokens: asked for at a realm, in exchange for a login or for nothing.
//!
//! A password goes by GET (distribution's `spec/auth/token.md`), an identity token by POST
//! (`spec/auth/oauth.md`), so that it is in no log of addresses. Not here: whether the realm may be
//! asked at all.

use std::time::{Duration, Instant};

use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Method, StatusCode, Url};

use super::Scope;
use crate::error::{Error, Kind};
use crate::store::registry::call::{Body, Reply, retrying, transmit};
use crate::store::registry::credentials::{Login, Secret};
use crate::store::registry::error::{self, Asked, Failure, MAX_ERROR_BODY};
use crate::store::registry::host::Host;
use crate::store::registry::transport::Client;

/// How long a token lives whose answer does not say (distribution, `spec/auth/token.md`).
const DEFAULT_LIFE: Duration = Duration::from_secs(60);
/// The longest life that is believed.
const MAX_LIFE: Duration = Duration::from_secs(24 * 3600);
/// A token is renewed so long before its end, or at three quarters of a short life.
const MARGIN: Duration = Duration::from_secs(15);

/// A token that a realm gave.
pub(super) struct Token {
    pub(super) value: Secret,
    pub(super) renew_at: Instant,
}

/// The value of an `Authorization` header.
pub(super) fn header(scheme: &str, secret: &Secret) -> Result<HeaderValue, Failure> {
    let mut value = HeaderValue::from_str(&format!("{scheme} {}", secret.reveal()))
        .map_err(|_| Error::new(Kind::Denied, "the registry gave a token that no header can carry"))?;
    value.set_sensitive(true);
    Ok(value)
}

/// Which token is wanted, and from where.
pub(super) struct Wanted<'a> {
    pub(super) realm: &'a Url,
    pub(super) service: Option<&'a str>,
    pub(super) scope: &'a Scope,
}

impl Wanted<'_> {
    /// The request of `spec/auth/token.md`: everything is in the query.
    fn query(&self) -> Url {
        let mut url = self.realm.clone();
        let mut query = url.query_pairs_mut();
        if let Some(service) = self.service {
            query.append_pair("service", service);
        }
        for scope in &self.scope.0 {
            query.append_pair("scope", scope);
        }
        query.append_pair("client_id", CLIENT);
        drop(query);
        url
    }

    /// The request of `spec/auth/oauth.md`: everything is in the body, scopes with spaces between.
    fn form(&self, token: &Secret) -> Vec<u8> {
        let mut url = self.realm.clone();
        url.set_query(None);
        let mut form = url.query_pairs_mut();
        form.append_pair("grant_type", "refresh_token");
        form.append_pair("refresh_token", token.reveal());
        if let Some(service) = self.service {
            form.append_pair("service", service);
        }
        if !self.scope.0.is_empty() {
            form.append_pair("scope", &self.scope.0.join(" "));
        }
        form.append_pair("client_id", CLIENT);
        drop(form);
        url.query().unwrap_or("").as_bytes().to_vec()
    }
}

/// What floe calls itself at token servers.
const CLIENT: &str = "floe";

/// Gets a token from a realm.
pub(super) fn fetch(
    client: &Client,
    host: &Host,
    repository: &str,
    wanted: &Wanted<'_>,
    login: Option<&Login>,
) -> Result<Token, Failure> {
    let at = wanted.realm.host_str().unwrap_or("?").to_owned();
    let secrets = login.map_or_else(Vec::new, Login::secrets);
    let advice = client.settings().credentials.advice(&host.name, repository);
    let asked =
        Asked { registry: &at, repository: "", doing: "get a token", advice: &advice, secrets: &secrets };
    let ask = |method: Method, url: Url, headers: HeaderMap, body: Option<Vec<u8>>| {
        retrying(client, host, || {
            let asked_at = Instant::now();
            let body = body.clone().map_or(Body::None, Body::Bytes);
            let limit = client.settings().timeouts.stall;
            let response =
                transmit(client, method.clone(), url.clone(), headers.clone(), body, limit, &asked.what())?;
            let reply = Reply::read(client, response, MAX_TOKEN, &asked.what())?;
            if error::is_transient(reply.status) {
                Err(error::refused(&asked, &reply))
            } else {
                Ok((reply, asked_at))
            }
        })
    };
    let mut basic = login.and_then(Login::basic);
    if let Some(token) = login.and_then(Login::identity_token) {
        let form = HeaderValue::from_static("application/x-www-form-urlencoded");
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, form)]);
        let (reply, asked_at) = ask(Method::POST, wanted.realm.clone(), headers, Some(wanted.form(token)))?;
        // Some do not know OAuth2, and take the token as a password.
        if !matches!(reply.status, StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED) {
            return granted(&asked, &reply, asked_at);
        }
        basic = login.and_then(Login::identity_as_basic);
    }
    let mut headers = HeaderMap::new();
    if let Some(basic) = basic {
        headers.insert(AUTHORIZATION, header("Basic", &basic)?);
    }
    let (reply, asked_at) = ask(Method::GET, wanted.query(), headers, None)?;
    granted(&asked, &reply, asked_at)
}

/// The token in an answer.
fn granted(asked: &Asked<'_>, reply: &Reply, asked_at: Instant) -> Result<Token, Failure> {
    if reply.status != StatusCode::OK {
        return Err(error::refused(asked, reply));
    }
    parse_token(&reply.body, asked_at).map_err(|why| {
        Failure::never(Error::new(Kind::Denied, format!("cannot {}: the answer {why}", asked.what())))
    })
}

/// The largest answer with a token that is read.
const MAX_TOKEN: usize = 2 * MAX_ERROR_BODY;

fn parse_token(body: &[u8], asked_at: Instant) -> Result<Token, &'static str> {
    // What serde_json says could quote the token.
    let value: serde_json::Value = serde_json::from_slice(body).map_err(|_| "is not JSON")?;
    let text = |key: &str| value[key].as_str().filter(|t| !t.is_empty());
    let token = text("token").or_else(|| text("access_token")).ok_or("has no `token`")?;
    let life = value["expires_in"].as_u64().map_or(DEFAULT_LIFE, Duration::from_secs).min(MAX_LIFE);
    let margin = MARGIN.min(life / 4);
    Ok(Token { value: Secret::new(token), renew_at: asked_at + (life - margin) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c26_an_identity_token_is_traded_in_a_body() {
        let realm = Url::parse("https://auth.example/token?a=b").unwrap();
        let scope = Scope::push("m").and_pull("other/m");
        let wanted = Wanted { realm: &realm, service: Some("r.example"), scope: &scope };
        assert_eq!(
            String::from_utf8(wanted.form(&Secret::new("a b&c"))).unwrap(),
            "grant_type=refresh_token&refresh_token=a+b%26c&service=r.example\
             &scope=repository%3Am%3Apull%2Cpush+repository%3Aother%2Fm%3Apull&client_id=floe"
        );
        assert_eq!(
            wanted.query().as_str(),
            "https://auth.example/token?a=b&service=r.example&scope=repository%3Am%3Apull%2Cpush\
             &scope=repository%3Aother%2Fm%3Apull&client_id=floe"
        );
    }

    #[test]
    fn tokens_are_renewed_before_their_end() {
        let now = Instant::now();
        for (body, secs) in [
            (r#"{"token":"a"}"#, 45.0),
            (r#"{"access_token":"a","expires_in":300}"#, 285.0),
            (r#"{"token":"a","expires_in":4}"#, 3.0),
            (r#"{"token":"a","expires_in":0}"#, 0.0),
            (r#"{"token":"a","expires_in":18446744073709551615}"#, 86385.0),
            (r#"{"token":"a","expires_in":-5}"#, 45.0),
        ] {
            let token = parse_token(body.as_bytes(), now).ok().unwrap();
            assert_eq!((token.renew_at - now).as_secs_f64(), secs, "{body}");
        }
        for bad in ["", "{}", "[]", r#"{"token":""}"#, r#"{"token":7}"#] {
            assert!(parse_token(bad.as_bytes(), now).is_err(), "{bad}");
        }
    }
}
