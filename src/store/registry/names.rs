//! Names in a repository: what a tag points to, and making it point somewhere.
//!
//! A registry has no operation "create unless it exists", some answer 201 to a tag that they did
//! not write, some refuse a tag that already is what it should be. So after each write the tag is
//! looked at, and that look decides; status codes and messages only say why.

use std::collections::BTreeSet;

use reqwest::header::{ACCEPT, CONTENT_TYPE, LINK};
use reqwest::{Method, StatusCode, Url};

use super::Registry;
use super::auth::Scope;
use super::call::{Reply, Target, retrying};
use super::error::{Failure, MAX_ERROR_BODY, is_transient};
use crate::error::{Error, Kind, Result, show_bytes};
use crate::oci::document::{MAX_MANIFEST, kind_of};
use crate::oci::reference::is_tag;
use crate::oci::{Descriptor, Digest, media_type};
use crate::store::{Claim, Document};

/// The page size that is asked for; ECR's largest.
const PAGE: u32 = 1000;
/// The largest page that is read.
pub(super) const MAX_PAGE: usize = 16 << 20;
/// How many names a repository may have.
const MAX_NAMES: usize = 2_000_000;
/// How often a written name is looked for; some registries show it late.
const LOOKS: u32 = 6;
/// How often after a refusal: somebody who was first may be seen late too.
const LOOKS_REFUSED: u32 = 3;

/// What `Accept` says when a manifest or index is wanted.
pub(super) fn accept() -> String {
    media_type::ACCEPT.join(", ")
}

/// What a name points to.
pub(super) fn resolve(registry: &Registry, name: &str) -> Result<Option<Descriptor>> {
    retrying(&registry.client, &registry.host, || look(registry, name, &Scope::pull(&registry.repository)))
        .map_err(|f| f.error)
}

/// One look at a name, by HEAD where that says everything.
fn look(registry: &Registry, name: &str, scope: &Scope) -> std::result::Result<Option<Descriptor>, Failure> {
    let wanted = name.parse::<Digest>().ok();
    if wanted.is_none() && !is_tag(name) {
        return Ok(None);
    }
    let path = format!("v2/{}/manifests/{name}", registry.repository);
    let doing = format!("look up `{name}`");
    let mut call = registry.call(Method::HEAD, &path, scope, &doing);
    call.headers.push((ACCEPT, accept()));
    let (reply, _) = call.once(MAX_ERROR_BODY)?;
    let found = match reply.status {
        StatusCode::NOT_FOUND => return Ok(None),
        StatusCode::OK => described(&reply),
        // Some do not know HEAD here.
        StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_IMPLEMENTED | StatusCode::BAD_REQUEST => None,
        _ => return Err(call.refused(&reply)),
    };
    let found = if let Some(found) = found {
        found
    } else {
        call.method = Method::GET;
        let (reply, _) = call.once(MAX_MANIFEST)?;
        match reply.status {
            StatusCode::NOT_FOUND => return Ok(None),
            StatusCode::OK => described_by_body(registry, name, &reply)?,
            _ => return Err(call.refused(&reply)),
        }
    };
    if let Some(wanted) = wanted
        && wanted != found.digest
    {
        return Err(lie(registry, &wanted.to_string(), &found.digest).into());
    }
    Ok(Some(found))
}

/// The descriptor in the headers of an answer to HEAD, where all of it is there.
fn described(reply: &Reply) -> Option<Descriptor> {
    let kind = reply.header("content-type")?.split(';').next()?.trim();
    if !media_type::ACCEPT.contains(&kind) && !media_type::is_schema_1(kind) {
        return None;
    }
    let size = reply.header("content-length")?.parse().ok()?;
    Some(Descriptor::new(kind, reply.digest()?, size))
}

fn described_by_body(registry: &Registry, name: &str, reply: &Reply) -> Result<Descriptor> {
    let (claimed, kind) = (reply.digest(), reply.header("content-type").map(str::to_owned));
    if reply.body.len() > MAX_MANIFEST {
        return Err(too_large(registry, name));
    }
    let found = Digest::of(&reply.body);
    if let Some(claimed) = claimed
        && claimed != found
    {
        return Err(lie(registry, &format!("{claimed} for `{name}`, as its header says,"), &found));
    }
    let value = serde_json::from_slice(&reply.body).unwrap_or(serde_json::Value::Null);
    let kind = kind_of(&value, kind.as_deref()).ok().or(kind).unwrap_or_default();
    Ok(Descriptor::new(kind, found, reply.body.len() as u64))
}

/// The error for a registry whose bytes are not those that it names.
pub(super) fn lie(registry: &Registry, wanted: &str, found: &Digest) -> Error {
    Error::new(
        Kind::Integrity,
        format!("`{}` contradicts itself: expected {wanted} and found {found}", registry.place()),
    )
    .hint("the registry, or a proxy before it, is broken or tampered with; do not use what it gave")
}

/// The error for a manifest beyond all measure.
pub(super) fn too_large(registry: &Registry, name: &str) -> Error {
    Error::new(
        Kind::Integrity,
        format!("the manifest `{name}` in `{}` has more than {MAX_MANIFEST} bytes", registry.place()),
    )
}

/// The error for a manifest that no registry has to take (distribution-spec, "Pushing Manifests").
pub(super) fn too_large_to_send(registry: &Registry, document: &Document) -> Error {
    let Descriptor { digest, size, .. } = &document.descriptor;
    Error::new(
        Kind::Model,
        format!(
            "the manifest {digest} for `{}` has {size} bytes, and registries take {MAX_MANIFEST} at most",
            registry.place()
        ),
    )
    .hint("shorten its annotations; a list of what is attached gets shorter when old artifacts are removed")
}

/// Stores a document by its digest.
pub(super) fn put_document(registry: &Registry, document: &Document) -> Result<()> {
    put(registry, document).map(|_| ())
}

/// Stores a document that has a subject; whether the registry lists it among the subject's referrers
/// (distribution-spec, "Pushing Manifests with Subject").
pub(super) fn put_referrer(registry: &Registry, document: &Document) -> Result<bool> {
    put(registry, document)
}

/// Stores a document by its digest; whether the registry understood its subject.
fn put(registry: &Registry, document: &Document) -> Result<bool> {
    let name = document.descriptor.digest.to_string();
    let scope = Scope::push(&registry.repository);
    let is_there =
        || matches!(look(registry, &name, &scope), Ok(Some(d)) if d.digest == document.descriptor.digest);
    retrying(&registry.client, &registry.host, || match write(registry, &name, document, &scope) {
        Ok(w) if w.digest == Some(document.descriptor.digest) => Ok(w.subject),
        Ok(w) if is_there() => Ok(w.subject),
        Ok(_) => Err(Failure::after(invisible(registry, &name))),
        // The reply may have been lost after the deed.
        Err(f) if f.is_transient() && is_there() => Ok(false),
        Err(f) => Err(f),
    })
    .map_err(|f| f.error)
}

/// What the registry said to a PUT.
struct Written {
    /// The digest that it says the document has.
    digest: Option<Digest>,
    /// Whether it knows what a subject is.
    subject: bool,
}

/// One PUT of a document under a name.
fn write(
    registry: &Registry,
    name: &str,
    document: &Document,
    scope: &Scope,
) -> std::result::Result<Written, Failure> {
    let path = format!("v2/{}/manifests/{name}", registry.repository);
    let doing = format!("store the manifest `{name}`");
    let mut call = registry.call(Method::PUT, &path, scope, &doing);
    call.headers.push((CONTENT_TYPE, document.descriptor.media_type.clone()));
    call.body = Some(&document.bytes);
    let (reply, _) = call.once(MAX_ERROR_BODY)?;
    if reply.status.is_success() {
        let subject = reply.headers.contains_key("OCI-Subject");
        return Ok(Written { digest: reply.digest(), subject });
    }
    let refused = call.refused(&reply);
    // distribution 2.8 writes its links to blobs in place: while another publisher stores the same
    // content, a blob that is there can look missing for a moment.
    let unsettled =
        reply.status == StatusCode::BAD_REQUEST && refused.error.to_string().contains("BLOB_UNKNOWN");
    Err(if unsettled { Failure::after(refused.error.with_kind(Kind::Network)) } else { refused })
}

/// Writes a tag, again where no answer came; what came of it is for a look to say.
fn write_tag(registry: &Registry, name: &str, document: &Document) -> std::result::Result<(), Failure> {
    let scope = Scope::push(&registry.repository);
    retrying(&registry.client, &registry.host, || match write(registry, name, document, &scope) {
        Ok(_) => Ok(()),
        Err(f) if f.is_transient() => match look(registry, name, &scope) {
            // Ours came through, and is not written twice: meanwhile it may have been moved on purpose.
            Ok(Some(d)) if d.digest == document.descriptor.digest => Ok(()),
            _ => Err(f),
        },
        Err(f) => Err(f),
    })
}

/// Looks at a tag until it is `hoped` for, at most `looks` times.
fn settle(
    registry: &Registry,
    name: &str,
    looks: u32,
    hoped: impl Fn(Option<&Digest>) -> bool,
) -> Result<Option<Digest>> {
    let scope = Scope::push(&registry.repository);
    let mut tried = 0;
    loop {
        let seen = retrying(&registry.client, &registry.host, || look(registry, name, &scope))
            .map_err(|f| f.error)?
            .map(|d| d.digest);
        tried += 1;
        if hoped(seen.as_ref()) || tried >= looks {
            return Ok(seen);
        }
        registry.client.nap(registry.client.pause(tried - 1, None))?;
    }
}

/// Makes a tag unless it exists.
pub(super) fn claim(registry: &Registry, name: &str, document: &Document) -> Result<Claim> {
    check_tag(name)?;
    let ours = document.descriptor.digest;
    let scope = Scope::push(&registry.repository);
    let before =
        retrying(&registry.client, &registry.host, || look(registry, name, &scope)).map_err(|f| f.error)?;
    match before {
        Some(d) if d.digest == ours => return Ok(Claim::Same),
        Some(d) => return Ok(Claim::Taken(d.digest)),
        None => {}
    }
    let wrote = write_tag(registry, name, document);
    let looks = if wrote.is_ok() { LOOKS } else { LOOKS_REFUSED };
    let seen = settle(registry, name, looks, |seen| seen.is_some())?;
    match (seen, wrote) {
        (Some(d), _) if d == ours => Ok(Claim::Created),
        (Some(d), _) => Ok(Claim::Taken(d)),
        (None, Ok(())) => Err(invisible(registry, name)),
        (None, Err(f)) => Err(f.error),
    }
}

/// Makes a tag point to a document.
pub(super) fn point(registry: &Registry, name: &str, document: &Document) -> Result<()> {
    check_tag(name)?;
    let ours = document.descriptor.digest;
    let wrote = write_tag(registry, name, document);
    let seen = settle(registry, name, LOOKS, |seen| seen == Some(&ours) || wrote.is_err())?;
    match (seen, wrote) {
        (Some(d), _) if d == ours => Ok(()),
        (None, Ok(())) => Err(invisible(registry, name)),
        (Some(other), Ok(())) => Err(Error::new(
            Kind::Conflict,
            format!("`{}:{name}` was written, but points to {other} and not to {ours}", registry.place()),
        )
        .hint("somebody else moved it at the same time, or the registry keeps its tags as they are")),
        (Some(other), Err(f)) if f.error.kind() == Kind::Denied => Err(f
            .error
            .hint(format!("`{name}` points to {other} already; the registry may keep its tags as they are"))),
        (_, Err(f)) => Err(f.error),
    }
}

/// Makes a tag point to a document, without looking whether it does: for who looks anyway.
pub(super) fn overwrite(registry: &Registry, name: &str, document: &Document) -> Result<()> {
    check_tag(name)?;
    write_tag(registry, name, document).map_err(|f| f.error)
}

/// Removes a tag, where the registry can do that without removing what it points to.
pub(super) fn remove(registry: &Registry, name: &str) -> Result<()> {
    check_tag(name)?;
    if resolve(registry, name)?.is_none() {
        return Ok(());
    }
    let path = format!("v2/{}/manifests/{name}", registry.repository);
    let doing = format!("remove the tag `{name}`");
    let scope = Scope::delete(&registry.repository);
    let call = registry.call(Method::DELETE, &path, &scope, &doing);
    let (reply, _) = call.ask(MAX_ERROR_BODY).map_err(|f| f.error)?;
    match reply.status {
        s if s.is_success() => Ok(()),
        // It was there a moment ago, so a 404 can also mean that there is no such operation.
        StatusCode::NOT_FOUND if resolve(registry, name)?.is_none() => Ok(()),
        StatusCode::NOT_FOUND
        | StatusCode::BAD_REQUEST
        | StatusCode::METHOD_NOT_ALLOWED
        | StatusCode::NOT_IMPLEMENTED => Err(call
            .refused(&reply)
            .error
            .with_kind(Kind::Denied)
            .hint("this registry cannot remove a tag and keep what it points to; remove it with the registry's own tools")),
        _ => Err(call.refused(&reply).error),
    }
}

fn check_tag(name: &str) -> Result<()> {
    if is_tag(name) {
        return Ok(());
    }
    Err(Error::new(Kind::Usage, format!("`{}` is not a tag", show_bytes(name.as_bytes()))))
}

fn invisible(registry: &Registry, name: &str) -> Error {
    Error::new(Kind::Network, format!("`{}` accepted `{name}`, but does not show it", registry.place()))
        .hint("some registries show what was written late; look again before you publish again")
}

/// How many pages in a row may bring no new tag.
const MAX_BARREN: u32 = 10;

/// All tags, from all pages.
pub(super) fn list(registry: &Registry) -> Result<Vec<String>> {
    let scope = Scope::pull(&registry.repository);
    let first = format!("v2/{}/tags/list?n={PAGE}", registry.repository);
    let plain = format!("v2/{}/tags/list", registry.repository);
    let mut call = registry.call(Method::GET, &first, &scope, "list the tags");
    let (mut names, mut pages) = (BTreeSet::new(), BTreeSet::new());
    let mut barren = 0;
    loop {
        let before = names.len();
        let (reply, url) = call.ask(MAX_PAGE).map_err(|f| f.error)?;
        match reply.status {
            StatusCode::OK => {}
            // A repository that nobody has written to yet.
            StatusCode::NOT_FOUND => return Ok(names.into_iter().collect()),
            // Some have a limit on `n` and tell it in words only.
            StatusCode::BAD_REQUEST if matches!(call.target, Target::Path(p) if p == first) => {
                call.target = Target::Path(&plain);
                continue;
            }
            s if is_transient(s) => return Err(call.refused(&reply).error),
            _ => return Err(call.refused(&reply).error),
        }
        let next = next_page(&reply, &url);
        read_page(&reply, &mut names).map_err(|why| {
            Error::new(Kind::Integrity, format!("cannot list the tags in `{}`: {why}", registry.place()))
        })?;
        let Some(next) = next else { return Ok(names.into_iter().collect()) };
        // Whatever host the link names, it is this registry that is asked.
        let mut target = url;
        target.set_path(next.path());
        target.set_query(next.query());
        // Pages without a new name lead nowhere, however their addresses differ.
        barren = if names.len() == before { barren + 1 } else { 0 };
        if !pages.insert(target.to_string()) || barren > MAX_BARREN {
            let message =
                format!("cannot list the tags in `{}`: its pages run in a circle", registry.place());
            return Err(Error::new(Kind::Integrity, message));
        }
        call.target = Target::Url(target);
    }
}

fn read_page(reply: &Reply, names: &mut BTreeSet<String>) -> std::result::Result<(), &'static str> {
    if reply.body.len() > MAX_PAGE {
        return Err("a page is too large");
    }
    let value: serde_json::Value = serde_json::from_slice(&reply.body).map_err(|_| "a page is not JSON")?;
    // An empty repository has `null` at some registries.
    let Some(tags) = value["tags"].as_array() else {
        return if value["tags"].is_null() && value.is_object() {
            Ok(())
        } else {
            Err("a page has no list `tags`")
        };
    };
    // What is no tag cannot be asked for, and must not reach a terminal.
    names.extend(tags.iter().filter_map(|t| t.as_str()).filter(|t| is_tag(t)).map(str::to_owned));
    if names.len() > MAX_NAMES { Err("there are too many") } else { Ok(()) }
}

/// The next page by the `Link` header (RFC 8288): `<URL>; rel="next"`.
pub(super) fn next_page(reply: &Reply, asked: &Url) -> Option<Url> {
    let links = reply.headers.get_all(LINK);
    links
        .iter()
        .filter_map(|l| l.to_str().ok())
        .find_map(|text| next_link(text))
        .and_then(|l| asked.join(l).ok())
}

fn next_link(text: &str) -> Option<&str> {
    let mut rest = text;
    loop {
        let (_, after) = rest.split_once('<')?;
        let (target, after) = after.split_once('>')?;
        let end = after.find('<').unwrap_or(after.len());
        let is_next = after[..end].split([';', ',']).any(|p| {
            let (key, value) = p.split_once('=').unwrap_or((p, ""));
            key.trim().eq_ignore_ascii_case("rel")
                && value.trim().trim_matches('"').split(' ').any(|v| v.eq_ignore_ascii_case("next"))
        });
        if is_next {
            return Some(target);
        }
        rest = &after[end..];
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use reqwest::header::HeaderMap;

    #[test]
    fn c36_links_to_the_next_page() {
        for (text, next) in [
            ("</v2/a/tags/list?last=x&n=2>; rel=\"next\"", Some("/v2/a/tags/list?last=x&n=2")),
            ("</a>; rel=prev, </b>; title=\"x\"; REL=Next", Some("/b")),
            ("</a>; rel=\"prev next\"", Some("/a")),
            ("</a>", None),
            ("</a>; rel=\"nextish\"", None),
            ("</a; rel=next", None),
            ("", None),
            ("<<<>>>", None),
        ] {
            assert_eq!(next_link(text), next, "{text}");
        }
    }

    #[test]
    fn pages_from_outside_are_bounded_and_clean() {
        let page = |body: &str| {
            let mut names = BTreeSet::new();
            let body = body.as_bytes().to_vec();
            read_page(&Reply { status: StatusCode::OK, headers: HeaderMap::new(), body }, &mut names)
                .map(|()| names)
        };
        let good = page(r#"{"tags":["b","a","a","\u001b[31m","","../x",7]}"#).unwrap();
        assert_eq!(good.into_iter().collect::<Vec<_>>(), ["a", "b"]);
        assert!(page(r#"{"tags":null}"#).unwrap().is_empty());
        for bad in ["", "[]", "{\"tags\":{}}", "null", "{\"tags\":\"x\"}"] {
            assert!(page(bad).is_err(), "{bad}");
        }
    }
}
