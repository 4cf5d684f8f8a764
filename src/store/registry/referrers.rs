//! The referrers API of a registry (distribution-spec 1.1, "Listing Referrers").
//!
//! A registry that does not have it answers 404, and some answer anything else; what is no index counts
//! as "does not have it", and the tag of the specification takes its place.

use reqwest::header::ACCEPT;
use reqwest::{Method, StatusCode};
use serde_json::Value;

use super::Registry;
use super::auth::Scope;
use super::call::Target;
use super::names::{self, MAX_PAGE, next_page};
use crate::error::{Error, Kind, Result};
use crate::oci::document::Document;
use crate::oci::{Descriptor, Digest, media_type};
use crate::store::referrers::{self, Referring};

/// How many artifacts may refer to one image.
const MAX_REFERRERS: usize = 100_000;

/// What refers to a subject.
pub(super) fn list(registry: &Registry, subject: &Digest) -> Result<Vec<Referring>> {
    if let Some(all) = ask(registry, subject)? {
        return Ok(all);
    }
    let mut all = referrers::listed(registry, subject)?;
    all.extend(referrers::unlisted(registry, subject, &all)?);
    Ok(all)
}

/// Stores a manifest with a subject, and sees to it that it is listed.
pub(super) fn add(registry: &Registry, manifest: &Document, subject: &Descriptor) -> Result<()> {
    if names::put_referrer(registry, manifest)? {
        return Ok(());
    }
    // The header that says so may have been lost with its answer.
    let listed = ask(registry, &subject.digest)?;
    if listed.is_some_and(|l| l.iter().any(|r| r.descriptor.digest == manifest.descriptor.digest)) {
        return Ok(());
    }
    referrers::add_among_others(registry, manifest, &subject.digest, &|name, document| {
        names::overwrite(registry, name, document)
    })
}

/// The answer of the API; `None` where the registry does not have it.
fn ask(registry: &Registry, subject: &Digest) -> Result<Option<Vec<Referring>>> {
    let scope = Scope::pull(&registry.repository);
    let path = format!("v2/{}/referrers/{subject}", registry.repository);
    let doing = format!("list what refers to {subject}");
    let mut call = registry.call(Method::GET, &path, &scope, &doing);
    call.headers.push((ACCEPT, media_type::INDEX.to_owned()));
    let mut all: Vec<Referring> = Vec::new();
    loop {
        let (reply, url) = call.ask(MAX_PAGE).map_err(|f| f.error)?;
        match reply.status {
            StatusCode::OK => {}
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::TOO_MANY_REQUESTS => {
                return Err(call.refused(&reply).error);
            }
            s if s.is_server_error() && s != StatusCode::NOT_IMPLEMENTED => {
                return Err(call.refused(&reply).error);
            }
            _ => return Ok(None),
        }
        let value: Value = serde_json::from_slice(&reply.body).unwrap_or(Value::Null);
        let Some(entries) = value["manifests"].as_array() else { return Ok(None) };
        let before = all.len();
        for entry in entries {
            let found = Referring::from_value(entry)?;
            if !all.iter().any(|r| r.descriptor.digest == found.descriptor.digest) {
                all.push(found);
            }
        }
        let Some(next) = next_page(&reply, &url) else { return Ok(Some(all)) };
        if all.len() == before || all.len() > MAX_REFERRERS {
            let message = format!(
                "cannot {doing} in `{}`: its pages run in a circle, or there are too many",
                registry.place()
            );
            return Err(Error::new(Kind::Integrity, message));
        }
        // Whatever host the link names, it is this registry that is asked.
        let mut target = url;
        target.set_path(next.path());
        target.set_query(next.query());
        call.target = Target::Url(target);
    }
}
