//! The entries of an `index.json`: which names a layout has, in a folder or in a tar.
//!
//! Pure data, edited as JSON so that nothing that other tools wrote is lost: unknown keys stay, and
//! so do entries that floe cannot read. An entry is a name for a document, not the document.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::Document;
use crate::error::{Error, Kind, Result, show_bytes};
use crate::oci::document::{MAX_CONFIG, kind_of};
use crate::oci::{Config, Descriptor, Digest, Manifest, annotation, json as canon, media_type};

/// The largest `index.json` that is read; a local store of a hundred thousand versions fits.
pub(crate) const MAX_INDEX: u64 = 64 << 20;
/// How many names an error lists.
const SHOWN_NAMES: usize = 8;

/// One entry of a layout's index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name, `org.opencontainers.image.ref.name`.
    pub name: Option<String>,
    /// The version tag, `dev.floe.version`, which stands there even where the name is an alias.
    pub version: Option<String>,
    /// The name that containerd and podman show, `io.containerd.image.name`.
    pub image: Option<String>,
    /// What else the entry is annotated with.
    pub annotations: BTreeMap<String, String>,
    /// What it points to, without the annotations of the entry.
    pub descriptor: Descriptor,
}

impl Entry {
    fn from_value(value: &Value) -> Result<Self> {
        let mut descriptor = Descriptor::from_value(value, "an entry of index.json")?;
        let mut notes = std::mem::take(&mut descriptor.annotations);
        Ok(Self {
            name: notes.remove(annotation::REF_NAME),
            version: notes.remove(annotation::VERSION),
            image: notes.remove(annotation::CONTAINERD_NAME),
            annotations: notes,
            descriptor,
        })
    }
}

/// An `index.json`.
#[derive(Clone, Debug)]
pub(crate) struct Entries(Value);

impl Entries {
    /// An index without entries.
    pub(crate) fn new() -> Self {
        Self(json!({"schemaVersion": 2, "mediaType": media_type::INDEX, "manifests": []}))
    }

    /// Parses an index; `what` names it in errors.
    pub(crate) fn parse(bytes: &[u8], what: &str) -> Result<Self> {
        let cap = usize::try_from(MAX_INDEX).unwrap_or(usize::MAX);
        let mut value = canon::parse(bytes, cap, what)?;
        let Some(map) = value.as_object_mut() else {
            return Err(Error::new(Kind::Integrity, format!("{what} is no JSON object")));
        };
        // Go programs write an empty list as `null`.
        if map.get("manifests").is_none_or(Value::is_null) {
            map.insert("manifests".to_owned(), json!([]));
        }
        if !map["manifests"].is_array() {
            return Err(Error::new(Kind::Integrity, format!("{what} has no list `manifests`")));
        }
        Ok(Self(value))
    }

    /// The bytes to be written.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        canon::canonical(&self.0)
    }

    fn values(&self) -> &[Value] {
        self.0["manifests"].as_array().map_or(&[], Vec::as_slice)
    }

    /// All entries that can be read.
    pub(crate) fn all(&self) -> Vec<Entry> {
        self.values().iter().filter_map(|v| Entry::from_value(v).ok()).collect()
    }

    /// The names, also of entries that cannot be read.
    pub(crate) fn names(&self) -> Vec<&str> {
        self.values().iter().filter_map(name_of).collect()
    }

    /// The first entry with a name, as skopeo finds it.
    pub(crate) fn find(&self, name: &str) -> Result<Option<Entry>> {
        self.values().iter().find(|v| name_of(v) == Some(name)).map(Entry::from_value).transpose()
    }

    /// What a digest points to, where an entry does.
    pub(crate) fn find_digest(&self, digest: &Digest) -> Option<Descriptor> {
        self.all().into_iter().map(|e| e.descriptor).find(|d| d.digest == *digest)
    }

    /// The entry at a place, counted from 0: `@N`.
    pub(crate) fn at(&self, place: &str) -> Result<Option<Entry>> {
        let Ok(place) = place.parse::<usize>() else { return Ok(None) };
        self.values().get(place).map(Entry::from_value).transpose()
    }

    /// An annotation of the index itself.
    pub(crate) fn annotation(&self, key: &str) -> Option<&str> {
        self.0["annotations"][key].as_str()
    }

    /// Annotates the index itself.
    pub(crate) fn annotate(&mut self, key: &str, value: &str) {
        self.0["annotations"][key] = json!(value);
    }

    /// The one image that is meant when no name is given; `what` names the layout in errors. What is
    /// attached to an image is none.
    pub(crate) fn only(&self, what: &str) -> Result<Descriptor> {
        let mut found: Vec<Descriptor> = Vec::new();
        for entry in self.all() {
            if entry.name.as_deref().is_some_and(is_attached) {
                continue;
            }
            if !found.iter().any(|d| d.digest == entry.descriptor.digest) {
                found.push(entry.descriptor);
            }
        }
        if found.len() > 1 {
            return Err(several(what, found.len(), &self.names()));
        }
        found.pop().ok_or_else(|| Error::new(Kind::Integrity, format!("there is no image in {what}")))
    }

    /// Makes a name point to an entry: in the place of the first that had the name, else at the end.
    pub(crate) fn set(&mut self, name: &str, entry: Value) {
        let place = self.values().iter().position(|v| name_of(v) == Some(name));
        self.remove(name);
        if let Some(list) = self.0["manifests"].as_array_mut() {
            list.insert(place.unwrap_or(list.len()), entry);
        }
    }

    /// Removes all entries with a name.
    pub(crate) fn remove(&mut self, name: &str) {
        if let Some(list) = self.0["manifests"].as_array_mut() {
            list.retain(|v| name_of(v) != Some(name));
        }
    }
}

fn name_of(value: &Value) -> Option<&str> {
    value["annotations"][annotation::REF_NAME].as_str()
}

/// More than one image, and none was named.
pub(crate) fn several(what: &str, count: usize, names: &[&str]) -> Error {
    let mut list: Vec<String> = names.iter().take(SHOWN_NAMES).map(|n| show_bytes(n.as_bytes())).collect();
    if names.len() > SHOWN_NAMES {
        list.push("…".to_owned());
    }
    let e = Error::new(Kind::Usage, format!("there are {count} images in {what}, and none was named"));
    if list.is_empty() {
        e.hint("add the place of one, such as `:@0`")
    } else {
        e.hint(format!("add a colon and one of the names: {}", list.join(", ")))
    }
}

/// Whether a name is one of those under which artifacts are attached to an image: the list of its
/// referrers, or a signature's (`sha256-<64 hex digits>`, with or without an ending).
pub(crate) fn is_attached(name: &str) -> bool {
    let tag = name.rsplit_once(':').map_or(name, |(_, tag)| tag);
    let hex = tag.strip_prefix("sha256-").map(|rest| rest.split_once('.').map_or(rest, |(hex, _)| hex));
    hex.is_some_and(|h| h.len() == 64 && h.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')))
}

/// Whether a name has the form of a version tag: `v<N>-<16 hex digits>`.
pub(crate) fn is_version(name: &str) -> bool {
    let Some((number, hex)) = name.strip_prefix('v').and_then(|r| r.split_once('-')) else { return false };
    !number.is_empty()
        && number.bytes().all(|b| b.is_ascii_digit())
        && !number.starts_with('0')
        && hex.len() == 16
        && hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// The entry for a document. `read` gives the bytes of a small blob, to find out the platform. What the
/// document's descriptor is annotated with, the entry is too.
pub(crate) fn entry(
    document: &Document,
    name: &str,
    version: Option<&str>,
    image: Option<&str>,
    read: impl Fn(&Descriptor) -> Result<Vec<u8>>,
) -> Value {
    let mut value = document.descriptor.to_value();
    let mut notes = json!(document.descriptor.annotations);
    notes[annotation::REF_NAME] = json!(name);
    if let Some(version) = version {
        notes[annotation::VERSION] = json!(version);
    }
    if let Some(image) = image {
        notes[annotation::CONTAINERD_NAME] = json!(image);
    }
    value["annotations"] = notes;
    if let Some(platform) = platform(document, read) {
        value["platform"] = platform;
    }
    value
}

/// The platform that a manifest's configuration names; artifacts and indexes have none.
fn platform(document: &Document, read: impl Fn(&Descriptor) -> Result<Vec<u8>>) -> Option<Value> {
    if !media_type::is_manifest(&document.descriptor.media_type) {
        return None;
    }
    let manifest = Manifest::parse(document.bytes.clone(), Some(&document.descriptor.media_type)).ok()?;
    if !manifest.is_image() || manifest.config.size > MAX_CONFIG as u64 {
        return None;
    }
    let config = Config::parse(&read(&manifest.config).ok()?).ok()?;
    serde_json::to_value(config.platform).ok()
}

/// The descriptor of a document of which only the bytes are known.
pub(crate) fn describe(bytes: &[u8], what: &str) -> Result<Descriptor> {
    let value = canon::parse(bytes, crate::oci::document::MAX_MANIFEST, what)?;
    let kind = kind_of(&value, None).map_err(|e| e.context(what))?;
    Ok(Descriptor::of(kind, bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: &Value) -> Entries {
        let v = json!({"schemaVersion": 2, "manifests": values, "x-own": 1});
        Entries::parse(&canon::canonical(&v), "index.json").unwrap()
    }

    fn doc(text: &str) -> Document {
        Document::new(media_type::MANIFEST, text.as_bytes().to_vec())
    }

    fn plain(document: &Document, name: &str) -> Value {
        entry(document, name, None, None, |_| Err(Error::new(Kind::Io, "none")))
    }

    #[test]
    fn c32_what_others_wrote_is_kept() {
        let foreign = json!({"mediaType": "x/y", "digest": "sha512:00", "size": 1, "own": [1]});
        let mut entries = of(&json!([foreign]));
        entries.set("a", plain(&doc("1"), "a"));
        entries.set("b", plain(&doc("2"), "b"));
        entries.set("a", plain(&doc("3"), "a"));
        entries.remove("b");
        let v: Value = serde_json::from_slice(&entries.bytes()).unwrap();
        assert_eq!((&v["x-own"], &v["manifests"][0]), (&json!(1), &foreign));
        assert_eq!(entries.names(), ["a"]);
        assert_eq!(entries.find("a").unwrap().unwrap().descriptor, doc("3").descriptor);
        assert_eq!(entries.all().len(), 1, "the foreign entry cannot be read, and does no harm");
    }

    #[test]
    fn what_an_entry_is_annotated_with_stays() {
        let mut document = doc("1");
        document.descriptor.annotations.insert("x".to_owned(), "y".to_owned());
        document.descriptor.annotations.insert(annotation::REF_NAME.to_owned(), "other".to_owned());
        let mut entries = Entries::new();
        entries.set("a", plain(&document, "a"));
        let entry = entries.find("a").unwrap().unwrap();
        assert_eq!(entry.annotations, BTreeMap::from([("x".to_owned(), "y".to_owned())]));
        assert_eq!(entry.descriptor, doc("1").descriptor);
        assert_eq!(entries.annotation("k"), None);
        entries.annotate("k", "v");
        assert_eq!(entries.annotation("k"), Some("v"));
    }

    #[test]
    fn the_only_image_is_found_without_a_name() {
        assert_eq!(Entries::new().only("x").unwrap_err().kind(), Kind::Integrity);
        let (one, two) = (doc("1"), doc("2"));
        let entries = of(&json!([plain(&one, "v1"), plain(&one, "latest")]));
        assert_eq!(entries.only("x").unwrap(), one.descriptor);
        let e = of(&json!([plain(&one, "a"), plain(&two, "b")])).only("x").unwrap_err();
        assert!(e.hint_text().unwrap().ends_with("a, b"), "{e:?}");
        assert_eq!(entries.at("1").unwrap().unwrap().name.as_deref(), Some("latest"));
        let attached = format!("sha256-{}", one.descriptor.digest.hex());
        for name in [attached.clone(), format!("m:{attached}"), format!("{attached}.sig")] {
            let entries = of(&json!([plain(&one, "a"), plain(&two, &name)]));
            assert_eq!(entries.only("x").unwrap(), one.descriptor, "{name}");
        }
        assert!(!is_attached("sha256-0") && !is_attached("v1"));
        assert!(entries.at("2").unwrap().is_none());
    }

    #[test]
    fn hostile_indexes_are_errors() {
        for bad in ["", "[]", "1", "{\"manifests\":{}}", "{\"manifests\":"] {
            assert_eq!(
                Entries::parse(bad.as_bytes(), "index.json").unwrap_err().kind(),
                Kind::Integrity,
                "{bad}"
            );
        }
        let null = Entries::parse(b"{\"manifests\":null}", "index.json").unwrap();
        assert!(null.all().is_empty());
        let odd = of(&json!([1, null, {"annotations": 1}, {"annotations": {annotation::REF_NAME: "a"}}]));
        assert_eq!(odd.names(), ["a"]);
        assert_eq!(odd.find("a").unwrap_err().kind(), Kind::Integrity);
    }

    #[test]
    fn versions_are_told_from_aliases() {
        for good in ["v1-0123456789abcdef", "v120-ffffffffffffffff"] {
            assert!(is_version(good), "{good}");
        }
        for bad in [
            "latest",
            "v1",
            "v-0123456789abcdef",
            "v01-0123456789abcdef",
            "v1-0123456789ABCDEF",
            "v1-0",
            "7",
            "v",
        ] {
            assert!(!is_version(bad), "{bad}");
        }
    }
}
