//! The catalog of runtimes: base images that can serve some formats, and how a model lies in them.
//!
//! A runtime is described by one file of `runtimes/`, which is embedded. It names formats by their
//! strings, so that the catalog and the formats do not depend on each other; a test holds them
//! together. An image that is not in the catalog can still be a base, given by hand.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Kind, Result};

/// Where models lie unless a runtime says otherwise, as in Hydrosphere Serving.
pub const MODEL_DIR: &str = "/model/files";

const EMBEDDED: &[(&str, &str)] = &[
    ("data", include_str!("../runtimes/data.yaml")),
    ("hydrosphere-python-3.7", include_str!("../runtimes/hydrosphere-python-3.7.yaml")),
    ("hydrosphere-python-3.8", include_str!("../runtimes/hydrosphere-python-3.8.yaml")),
    ("hydrosphere-spark-2.2.0", include_str!("../runtimes/hydrosphere-spark-2.2.0.yaml")),
    ("hydrosphere-tensorflow-1.13.1", include_str!("../runtimes/hydrosphere-tensorflow-1.13.1.yaml")),
    ("modelcar", include_str!("../runtimes/modelcar.yaml")),
    ("onnx", include_str!("../runtimes/onnx.yaml")),
    ("tensorflow-serving", include_str!("../runtimes/tensorflow-serving.yaml")),
];

/// The runtime that is used when nobody names one, and floe cannot serve the format itself.
pub const DEFAULT: &str = "data";
/// How the base that floe carries is written: its own program over nothing.
pub const OWN_BASE: &str = "floe";

/// Which generation of `contract.protobin` a runtime reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub enum ContractGeneration {
    /// A `ModelContract`, as Hydrosphere 2.x.
    Two,
    /// A bare `ModelSignature`, as Hydrosphere 3.x.
    Three,
}

impl TryFrom<u8> for ContractGeneration {
    type Error = String;

    fn try_from(n: u8) -> std::result::Result<Self, String> {
        match n {
            2 => Ok(Self::Two),
            3 => Ok(Self::Three),
            _ => Err(format!("there is no contract generation {n}")),
        }
    }
}

impl From<ContractGeneration> for u8 {
    fn from(g: ContractGeneration) -> Self {
        match g {
            ContractGeneration::Two => 2,
            ContractGeneration::Three => 3,
        }
    }
}

/// A base image that can serve some formats.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Runtime {
    /// Its name on the command line.
    pub name: String,
    /// One line for people.
    pub summary: String,
    /// The base, as `--base` takes it.
    pub base: String,
    /// Names of the formats that it serves; `*` stands for all.
    pub formats: Vec<String>,
    /// Whether it cannot start without a contract.
    #[serde(default)]
    pub needs_contract: bool,
    /// Where the model's files go; `{name}` stands for the model's name.
    pub model_dir: String,
    /// Whether that folder is the working folder too.
    pub working_dir: bool,
    /// The generation of `contract.protobin` that it reads, where it reads one.
    #[serde(default)]
    pub contract: Option<ContractGeneration>,
    /// Environment variables that it needs; `{name}` stands for the model's name.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// The environment variable in which it reads the model's id.
    #[serde(default)]
    pub model_id_env: Option<String>,
}

impl Runtime {
    /// Whether it serves models of this format.
    pub fn serves(&self, format: &str) -> bool {
        self.formats.iter().any(|f| f == "*" || f == format)
    }

    /// Whether its base is floe's own program.
    pub fn is_own(&self) -> bool {
        self.base == OWN_BASE
    }

    /// Where the files of a model go.
    pub fn folder(&self, model: &str) -> String {
        self.model_dir.replace("{name}", model)
    }

    /// The environment for a model.
    pub fn environment(&self, model: &str) -> BTreeMap<String, String> {
        self.env.iter().map(|(k, v)| (k.clone(), v.replace("{name}", model))).collect()
    }

    /// What is assumed of an image that a `serving.yaml` names as its runtime: that it is one of
    /// Hydrosphere's, whose builder laid every model in the same way whatever the image was.
    pub fn of_image(reference: &str) -> Self {
        Self {
            name: reference.to_owned(),
            summary: "named by the definition".to_owned(),
            base: reference.to_owned(),
            formats: vec!["*".to_owned()],
            needs_contract: is_hydrosphere(reference),
            model_dir: MODEL_DIR.to_owned(),
            working_dir: true,
            contract: Some(generation_of(reference)),
            env: BTreeMap::new(),
            model_id_env: None,
        }
    }
}

/// Whether an image is one of Hydrosphere's runtimes, by its name.
pub fn is_hydrosphere(reference: &str) -> bool {
    reference.contains("hydrosphere/serving-runtime-")
}

/// The generation of an image's contract, by the major version in its tag. Tags such as
/// `3.6-latest` are Python's version and belong to images of the second generation.
fn generation_of(reference: &str) -> ContractGeneration {
    let tag = reference.rsplit_once(':').map_or("", |(_, tag)| tag);
    let old_name = reference.contains("serving-runtime-python:");
    if old_name || tag.starts_with("2.") || tag.starts_with("0.") || tag.starts_with("1.") {
        ContractGeneration::Two
    } else {
        ContractGeneration::Three
    }
}

/// All runtimes, by name.
pub fn all() -> Result<Vec<Runtime>> {
    EMBEDDED.iter().map(|(name, text)| parse(name, text)).collect()
}

/// The runtime with this name.
///
/// ```
/// let runtime = floe::runtimes::find("tensorflow-serving")?;
/// assert_eq!(runtime.folder("churn"), "/models/churn/1");
/// # Ok::<(), floe::Error>(())
/// ```
pub fn find(name: &str) -> Result<Runtime> {
    if let Some((name, text)) = EMBEDDED.iter().find(|(n, _)| *n == name) {
        return parse(name, text);
    }
    let near = EMBEDDED
        .iter()
        .map(|(n, _)| (strsim::damerau_levenshtein(n, name), *n))
        .min()
        .filter(|(distance, n)| *distance <= n.len().div_ceil(3));
    let names: Vec<&str> = EMBEDDED.iter().map(|(n, _)| *n).collect();
    let hint = match near {
        Some((_, near)) => format!("did you mean `{near}`? An image of your own is given with `--base`"),
        None => format!("there are {}; an image of your own is given with `--base`", names.join(", ")),
    };
    Err(Error::new(
        Kind::Usage,
        format!("there is no runtime `{}`", crate::error::show_bytes(name.as_bytes())),
    )
    .hint(hint))
}

/// The runtime that models of this format get when nobody names one: floe's own server where that
/// serves the format, else [`DEFAULT`]. `None` is a model whose format was not recognised.
pub fn default_for(format: Option<&str>) -> Result<Runtime> {
    let own = all()?.into_iter().find(|r| r.is_own() && format.is_some_and(|f| r.serves(f)));
    own.map_or_else(|| find(DEFAULT), Ok)
}

/// The runtime whose base is floe's own program.
pub fn own() -> Result<Runtime> {
    let own = all()?.into_iter().find(Runtime::is_own);
    own.ok_or_else(|| Error::new(Kind::Bug, "the catalog has no runtime over floe's own program"))
}

/// Whether the catalog has a runtime with this name.
pub fn is_known(name: &str) -> bool {
    EMBEDDED.iter().any(|(n, _)| *n == name)
}

fn parse(name: &str, text: &str) -> Result<Runtime> {
    let runtime: Runtime = serde_saphyr::from_str(text)
        .map_err(|e| Error::new(Kind::Bug, format!("the embedded runtime `{name}` cannot be read: {e}")))?;
    Ok(runtime)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_runtime_can_be_read_and_is_embedded() {
        let all = all().unwrap();
        let names: Vec<&str> = all.iter().map(|r| r.name.as_str()).collect();
        assert!(names.is_sorted());
        assert!(names.contains(&DEFAULT));
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("runtimes");
        let mut files: Vec<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|f| f.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned())
            .collect();
        files.sort();
        assert_eq!(names, files);
    }

    #[test]
    fn floe_serves_what_it_can_and_packs_the_rest() {
        assert_eq!(default_for(Some("onnx")).unwrap(), own().unwrap());
        assert_eq!(own().unwrap().name, "onnx");
        for format in [Some("tensorflow"), Some("sklearn"), None] {
            assert_eq!(default_for(format).unwrap().name, DEFAULT);
        }
    }

    #[test]
    fn c03_an_unknown_runtime_names_the_nearest() {
        let e = find("hydrosphere-python-3.9").unwrap_err();
        assert!(e.hint_text().unwrap().contains("`hydrosphere-python-3."), "{e:?}");
        assert!(find("nothing-like-it").unwrap_err().hint_text().unwrap().contains("data, "));
    }

    #[test]
    fn the_generation_follows_from_the_tag() {
        for (image, generation) in [
            ("hydrosphere/serving-runtime-python-3.7:3.0.3", 3),
            ("hydrosphere/serving-runtime-python-3.6:2.4.0", 2),
            ("hydrosphere/serving-runtime-python-3.6:0.1.2-rc0", 2),
            ("hydrosphere/serving-runtime-python:3.6-latest", 2),
            ("hydrosphere/serving-runtime-tensorflow-1.13.1:2.3.0", 2),
            ("registry:5000/own:latest", 3),
        ] {
            assert_eq!(u8::from(Runtime::of_image(image).contract.unwrap()), generation, "{image}");
        }
    }
}
