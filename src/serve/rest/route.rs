//! Routes: which path and method mean what.
//!
//! Invariant: a path is split before it is percent-decoded, so that a model's name may hold a `/`
//! that is written `%2F`.

use std::borrow::Cow;

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Route<'a> {
    Index,
    Metrics,
    Server,
    Live,
    Ready,
    Model(Named<'a>),
    ModelReady(Named<'a>),
    Infer(Named<'a>),
}

/// A model, perhaps in one version, as the path names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Named<'a> {
    pub(super) name: Cow<'a, str>,
    pub(super) version: Option<Cow<'a, str>>,
}

impl<'a> Route<'a> {
    /// What a path means; `None` where it means nothing.
    pub(super) fn of(path: &'a str) -> Option<Self> {
        let path = path.strip_prefix('/')?;
        let path = path.strip_suffix('/').filter(|p| !p.is_empty()).unwrap_or(path);
        let parts: Vec<&str> = path.split('/').take(8).collect();
        let (name, version, what) = match parts.as_slice() {
            [""] => return Some(Self::Index),
            ["metrics"] => return Some(Self::Metrics),
            ["v2"] => return Some(Self::Server),
            ["v2", "health", "live"] => return Some(Self::Live),
            ["v2", "health", "ready"] => return Some(Self::Ready),
            ["v2", "models", name, "versions", version, what @ ..] => (name, Some(version), what),
            ["v2", "models", name, what @ ..] => (name, None, what),
            _ => return None,
        };
        let version = match version {
            Some(v) => Some(decode(v)?),
            None => None,
        };
        let named = Named { name: decode(name)?, version };
        match what {
            [] => Some(Self::Model(named)),
            ["ready"] => Some(Self::ModelReady(named)),
            ["infer"] => Some(Self::Infer(named)),
            _ => None,
        }
    }

    /// The methods that are allowed.
    pub(super) fn methods(&self) -> &'static str {
        match self {
            Self::Infer(_) => "POST",
            _ => "GET, HEAD",
        }
    }
}

/// Undoes percent-encoding; `None` where that gives no UTF-8.
fn decode(part: &str) -> Option<Cow<'_, str>> {
    if !part.contains('%') {
        return Some(Cow::Borrowed(part));
    }
    let mut out = Vec::with_capacity(part.len());
    let mut bytes = part.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            out.push(byte);
            continue;
        }
        let high = char::from(bytes.next()?).to_digit(16)?;
        let low = char::from(bytes.next()?).to_digit(16)?;
        out.push(u8::try_from(high * 16 + low).ok()?);
    }
    String::from_utf8(out).ok().map(Cow::Owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str, version: Option<&str>) -> Named<'static> {
        Named { name: name.to_owned().into(), version: version.map(|v| v.to_owned().into()) }
    }

    #[test]
    fn c46_the_paths_of_the_protocol() {
        for (path, route) in [
            ("/", Some(Route::Index)),
            ("/metrics", Some(Route::Metrics)),
            ("/v2", Some(Route::Server)),
            ("/v2/", Some(Route::Server)),
            ("/v2/health/live", Some(Route::Live)),
            ("/v2/health/ready", Some(Route::Ready)),
            ("/v2/models/m", Some(Route::Model(named("m", None)))),
            ("/v2/models/m/ready", Some(Route::ModelReady(named("m", None)))),
            ("/v2/models/m/infer", Some(Route::Infer(named("m", None)))),
            ("/v2/models/m/versions/1", Some(Route::Model(named("m", Some("1"))))),
            ("/v2/models/m/versions/1/ready", Some(Route::ModelReady(named("m", Some("1"))))),
            ("/v2/models/m/versions/1/infer", Some(Route::Infer(named("m", Some("1"))))),
            ("/v2/models/a%2Fb%20%C3%A9/infer", Some(Route::Infer(named("a/b é", None)))),
            ("/v2/models/a/b/infer", None),
            ("/v2/models/m/versions", None),
            ("/v2/models/%zz", None),
            ("/v2/models/%ff", None),
            ("/v2/models/%4", None),
            ("/v2/models", None),
            ("/v2/health", None),
            ("/v1/models/m", None),
            ("//", None),
            ("*", None),
            ("", None),
        ] {
            assert_eq!(Route::of(path), route, "{path}");
        }
    }
}
