//! The keys of a definition: which there are, what became of those that no longer do anything.
//!
//! One table is behind the loader and the schema. It is not the reading of their values; that is
//! [`super::model`]'s.
//!
//! Invariant: a key is in the table or it is an error. Nothing that an author wrote is passed over
//! in silence.

/// What a key does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    /// It is read.
    Kept,
    /// It is read, and has a better name or place: what is said about it, and what to do.
    Told(&'static str, &'static str),
    /// It is not read: why, and what to do instead.
    Unread(&'static str, &'static str),
}

/// A key of `kind: Model`. Keys of several words may be written with `_` too.
#[derive(Clone, Copy, Debug)]
pub(super) struct Key {
    pub(super) name: &'static str,
    pub(super) does: Use,
}

const fn kept(name: &'static str) -> Key {
    Key { name, does: Use::Kept }
}

/// Every key at the top of a `kind: Model` document.
pub(super) const MODEL: &[Key] = &[
    kept("kind"),
    kept("name"),
    kept("description"),
    kept("runtime"),
    kept("base"),
    kept("payload"),
    kept("contract"),
    kept("install-command"),
    kept("metadata"),
    kept("labels"),
    kept("annotations"),
    kept("env"),
    kept("user"),
    kept("workdir"),
    kept("source"),
    kept("revision"),
    kept("licenses"),
    Key {
        name: "training-data",
        does: Use::Told(
            "is kept for reference only: training data never enters the image",
            "remove it, or publish the data on its own",
        ),
    },
    Key {
        name: "model-type",
        does: Use::Told(
            "does not choose the image to build on",
            "name an image with `runtime` or `base`, and remove `model-type`",
        ),
    },
    Key { name: "signature", does: Use::Told("is read as `contract`", "rename it to `contract`") },
    Key {
        name: "version",
        does: Use::Unread(
            "has no effect: it marked the format of the file, and versions of a model are numbered when published",
            "remove it",
        ),
    },
    Key {
        name: "monitoring",
        does: Use::Unread(
            "has no effect on a build: metrics are attached to what is deployed",
            "remove it, or keep it for the monitoring system",
        ),
    },
    Key {
        name: "monitoring-configuration",
        does: Use::Unread(
            "has no effect on a build: metrics are attached to what is deployed",
            "remove it, or keep it for the monitoring system",
        ),
    },
    Key {
        name: "host-selector",
        does: Use::Unread(
            "has no effect on a build: it chose the machine at deployment",
            "use the node selector of your scheduler, and `--platform` for what the image runs on",
        ),
    },
    Key {
        name: "profileTypes",
        does: Use::Unread(
            "has no effect: profiles belong to the fields",
            "write `profile` beside the field's `type`",
        ),
    },
];

/// The keys of the older `model:` block.
pub(super) const BLOCK: &[&str] = &["name", "type", "contract", "payload", "description"];
/// The keys of `local_deploy:`.
pub(super) const LOCAL_DEPLOY: &[&str] = &["name", "runtime", "port", "build"];
/// The keys of a contract with one signature.
pub(super) const CONTRACT: &[&str] = &["name", "inputs", "outputs"];
/// The keys of a signature in a contract of several.
pub(super) const SIGNATURE: &[&str] = &["inputs", "outputs"];
/// The keys of a field.
pub(super) const FIELD: &[&str] = &["shape", "type", "fields", "profile"];

/// Kinds that describe what happens after the build.
pub(super) const OTHER_KINDS: &[(&str, &str)] = &[
    ("DeploymentConfiguration", "write it for the system that deploys"),
    ("Config", "name the registry with `--output`"),
    ("HostSelector", "use the node selector of your scheduler"),
    ("Runtime", "name the image with `runtime` in the model's document"),
    ("Environment", "use the node selector of your scheduler"),
];

/// The key with this spelling; `_` may stand for `-`.
pub(super) fn model_key(text: &str) -> Option<&'static Key> {
    MODEL.iter().find(|k| k.name == text || k.name.contains('-') && k.name == text.replace('_', "-"))
}

/// The spelling with `_` of a key that has one.
pub(super) fn snake(name: &str) -> Option<String> {
    name.contains('-').then(|| name.replace('-', "_"))
}

/// The candidate that somebody may have meant: nearest in letters, regardless of case.
pub(super) fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // A word longer than any key is no slip of the hand, and costs time to compare.
    if word.len() > 64 {
        return None;
    }
    let plain = |s: &str| s.to_lowercase().replace(['_', '-', ' '], "");
    let word = plain(word);
    candidates
        .into_iter()
        .map(|c| (strsim::damerau_levenshtein(&word, &plain(c)), c))
        .filter(|(distance, c)| *distance <= (c.len() / 3).max(1) && *distance < word.chars().count())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, c)| c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_spellings_are_one_key() {
        assert_eq!(model_key("install_command").unwrap().name, "install-command");
        assert_eq!(model_key("install-command").unwrap().name, "install-command");
        assert!(model_key("Name").is_none());
        assert!(model_key("profile_types").is_none());
    }

    #[test]
    fn c03_the_nearest_key_is_found() {
        let all = || MODEL.iter().map(|k| k.name);
        for (slip, meant) in [
            ("paylod", Some("payload")),
            ("Runtime", Some("runtime")),
            ("instal-command", Some("install-command")),
            ("installCommand", Some("install-command")),
            ("license", Some("licenses")),
            ("environment", None),
            ("x", None),
            ("", None),
        ] {
            assert_eq!(nearest(slip, all()), meant, "{slip}");
        }
        assert_eq!(nearest(&"a".repeat(1 << 20), all()), None);
    }
}
