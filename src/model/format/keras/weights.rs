//! The weights of a Keras model, as the groups and datasets of its HDF5 file list them.
//!
//! Whole models and weights of Keras 1 and 2 have a group for each layer, in the order of the
//! attribute `layer_names`; Keras 3 has `layers/<name>/vars/<number>`. What belongs to an optimizer
//! or to a source of random numbers is not listed. No number is read.

use std::collections::BTreeSet;

use crate::error::{Result, show_bytes};
use crate::model::format::{Reading, Severity, Weight};
use crate::model::hdf5::{File, Met, Object, Value};

/// What the attributes of the top of a file say.
#[derive(Debug, Default)]
pub(super) struct Top {
    pub(super) model: Option<String>,
    pub(super) training: Option<String>,
    pub(super) version: Option<String>,
    pub(super) backend: Option<String>,
    pub(super) names_layers: bool,
}

/// Whether a file is one of Keras: `model` for a whole model, `weights` for weights alone.
pub(super) fn kind(file: &File<'_>) -> Result<Option<&'static str>> {
    let root = file.root()?;
    let names: BTreeSet<String> = file.attributes(&root)?.into_iter().map(|a| a.name).collect();
    let has = |name: &str| names.contains(name);
    if has("model_config") {
        return Ok(Some("h5"));
    }
    if has("layer_names") || has("layer_names0") || has("nb_layers") {
        return Ok(Some("weights"));
    }
    let links: BTreeSet<String> = file.links(&root)?.into_iter().map(|l| l.name).collect();
    // Keras 3 puts layers in `layers`, or in the attribute of the model that holds them.
    let own = |name: &str| links.contains(name);
    Ok((own("vars") && (own("layers") || own("_layer_checkpoint_dependencies") || own("optimizer")))
        .then_some("weights"))
}

/// Reads the attributes of the top.
pub(super) fn top(file: &File<'_>) -> Result<Top> {
    let root = file.root()?;
    let mut top = Top::default();
    for attribute in file.attributes(&root)? {
        let field = match attribute.name.as_str() {
            "model_config" => &mut top.model,
            "training_config" => &mut top.training,
            "keras_version" => &mut top.version,
            "backend" => &mut top.backend,
            "layer_names" | "layer_names0" => {
                top.names_layers = true;
                continue;
            }
            _ => continue,
        };
        *field = match file.value(&attribute)? {
            Value::Text(text) => Some(text),
            Value::Texts(mut texts) if texts.len() == 1 => texts.pop(),
            _ => None,
        };
    }
    Ok(top)
}

/// Lists the weights of a file, and tells of data that lies elsewhere.
pub(super) fn list(file: &File<'_>, place: &str, reading: &mut Reading) -> Result<()> {
    let root = file.root()?;
    let inside = file.child(&root, "model_weights")?;
    let (mut weights, mut outside) = (Vec::new(), Vec::new());
    // An optimizer's numbers are no weights of the model, but a loader opens what they refer to.
    let stopped = file.walk(&root, &|_| true, |path, object, met| match met {
        Met::Dataset(dataset) => {
            if dataset.outside {
                outside.push(format!("the data of `{}` lies in other files", show_bytes(path.as_bytes())));
            }
            let name = match inside {
                Some(_) => path.strip_prefix("model_weights/"),
                None => Some(path).filter(|p| !p.starts_with("optimizer")),
            };
            if let Some(name) = name.filter(|n| !is_random(n)) {
                let dtype = dataset.dtype.map(str::to_owned).or_else(|| noted_dtype(file, object));
                weights.push(Weight { name: name.to_owned(), dtype, shape: dataset.shape });
            }
        }
        Met::External(target) => outside.push(format!(
            "`{}` is a link into the file `{}`",
            show_bytes(path.as_bytes()),
            show_bytes(target.as_bytes())
        )),
    });
    let group = inside.unwrap_or(root);
    if let Some(why) = stopped {
        reading.warnings.push(format!("the weights were not listed to their end: {why}"));
    }
    for what in outside.into_iter().take(20) {
        let message = format!("{what}, which the loader would open wherever it is (CVE-2026-1669)");
        reading.find(Severity::Error, "external-link", place, message);
    }
    reading.list_weights(order(file, &group, weights)?);
    Ok(())
}

/// Keras 3 stores what numpy has no type for as bytes, and the dtype beside it.
fn noted_dtype(file: &File<'_>, object: &Object) -> Option<String> {
    let attributes = file.attributes(object).ok()?;
    let noted = attributes.iter().find(|a| a.name == "dtype")?;
    match file.value(noted).ok()? {
        Value::Text(text) if text.len() < 32 => Some(text),
        _ => None,
    }
}

/// The state of a layer's random numbers, which is no weight.
fn is_random(path: &str) -> bool {
    path.split('/').any(|part| part.contains("seed_generator") || part.starts_with("seed_generator_state"))
}

/// Puts the weights in the order of the layers, where the file has one; their names then are those
/// that they have in the model, without the layer's group.
fn order(file: &File<'_>, group: &Object, weights: Vec<Weight>) -> Result<Vec<Weight>> {
    let mut names = Vec::new();
    let mut attributes = file.attributes(group)?;
    attributes.sort_by_key(|a| a.name.strip_prefix("layer_names").and_then(|n| n.parse::<u32>().ok()));
    for attribute in attributes.iter().filter(|a| a.name.starts_with("layer_names")) {
        if let Value::Texts(texts) = file.value(attribute)? {
            names.extend(texts);
        }
    }
    if names.is_empty() {
        return Ok(weights);
    }
    let place = |w: &Weight| {
        let layer = w.name.split('/').next().unwrap_or("");
        names.iter().position(|n| n == layer).unwrap_or(usize::MAX)
    };
    let mut placed: Vec<(usize, Weight)> = if names.len().saturating_mul(weights.len()) > 50_000_000 {
        weights.into_iter().map(|w| (0, w)).collect()
    } else {
        weights.into_iter().map(|w| (place(&w), w)).collect()
    };
    placed.sort_by_key(|(place, _)| *place);
    let short = |name: &str| name.split_once('/').map(|(_, rest)| rest.to_owned());
    let shorts: BTreeSet<String> = placed.iter().filter_map(|(_, w)| short(&w.name)).collect();
    let unique = shorts.len() == placed.len();
    Ok(placed
        .into_iter()
        .map(|(_, w)| match short(&w.name).filter(|_| unique) {
            Some(name) => Weight { name, ..w },
            None => w,
        })
        .collect())
}
