//! `floe attach`.

use std::path::Path;
use std::sync::Arc;

use crate::cli::args::AttachArgs;
use crate::cli::cmd::build::pairs;
use crate::cli::context::Context;
use crate::cli::find::{self, Holder};
use crate::cli::{output, usage};
use floe::Result;
use floe::blob::{Blob, File};
use floe::image::Referrer;
use floe::oci::annotation::{CREATED, TITLE};
use floe::store::referrers;

pub(crate) fn run(args: &AttachArgs, context: &Context) -> Result<()> {
    if !is_media_type(&args.artifact_type) || args.media_type.as_deref().is_some_and(|t| !is_media_type(t)) {
        return Err(usage(
            format!("`{}` is no media type", floe::error::show_bytes(args.artifact_type.as_bytes())),
            "write it as `application/vnd.example.report+json`",
        ));
    }
    let found = find::image(&args.reference, &context.stores()?)?;
    let Holder::Collection(repository) = &found.holder else {
        return Err(usage(
            format!("nothing can be attached in `{}`", floe::error::show_bytes(args.reference.as_bytes())),
            "copy the image into a registry, a layout or the local store, and attach it there",
        ));
    };
    let image = found.descriptor;
    let mut annotations = pairs("--annotation", &args.annotation)?;
    if !annotations.contains_key(CREATED) {
        annotations.insert(CREATED.to_owned(), context.now()?);
    }
    let mut content: Vec<Arc<dyn Blob>> = Vec::new();
    for path in &args.files {
        let kind = args.media_type.as_deref().unwrap_or_else(|| by_name(path));
        let title = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        content.push(Arc::new(File::hash(path, kind)?.with_annotation(TITLE, title)));
    }
    let referrer = Referrer::of(&args.artifact_type, content, &annotations, &image);
    referrers::attach(&**repository, &referrer, context.see())?;
    context.finish();
    let digest = referrer.manifest.descriptor.digest;
    if args.json {
        return output::json(&serde_json::json!({
            "floe": 1, "subject": image.digest, "digest": digest, "artifact_type": args.artifact_type,
        }));
    }
    output::answer(&digest.to_string())
}

/// Whether it is `type/subtype` (RFC 6838, section 4.2).
fn is_media_type(text: &str) -> bool {
    let part = |p: &str| {
        !p.is_empty()
            && p.len() <= 127
            && p.starts_with(|c: char| c.is_ascii_alphanumeric())
            && p.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&b))
    };
    text.split_once('/').is_some_and(|(kind, sub)| part(kind) && part(sub))
}

fn by_name(path: &Path) -> &'static str {
    match path.extension().and_then(|e| e.to_str()) {
        Some("json") => "application/json",
        Some("txt" | "log") => "text/plain",
        Some("md") => "text/markdown",
        Some("html") => "text/html",
        Some("pdf") => "application/pdf",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn media_types_are_told_from_other_text() {
        for good in ["application/vnd.example.report.v1+json", "a/b"] {
            assert!(is_media_type(good), "{good}");
        }
        for bad in ["", "a", "a/", "/b", "a/b/c", "a b/c", "a/b;c=d", "é/b"] {
            assert!(!is_media_type(bad), "{bad}");
        }
    }
}
