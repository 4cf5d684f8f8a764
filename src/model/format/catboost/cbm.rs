//! `.cbm`: `CBM1`, a size, and a flatbuffer `TModelCore` (catboost/libs/model/flatbuffers/model.fbs,
//! features.fbs). Of what follows it, tables of statistics about categories, only the sizes are read.

use crate::error::{Error, Kind as ErrorKind, Result};
use crate::model::flat::{Flat, Table};
use crate::model::format::{MAX_ENTRIES, MAX_TEXT};
use crate::model::pb::Source;

use super::{Kind, Model};

/// How such a file begins.
pub(super) const MAGIC: &[u8] = b"CBM1";
/// The one version of the core that there is; the misspelling is theirs.
const VERSION: &str = "FlabuffersModel_v1";
/// Slots of `TModelTrees`: kind, its vector, and in its elements the place and the name.
const FEATURES: [(Kind, u16, u16, u16); 4] = [
    (Kind::Categorical, 12, 6, 8),
    (Kind::Float, 14, 8, 12),
    (Kind::Text, 28, 6, 8),
    (Kind::Embedding, 40, 6, 8),
];

/// Reads a model from the beginning of a source.
pub(super) fn read(source: &dyn Source, budget: u64) -> Result<Model> {
    let mut head = [0; 8];
    let broken = |what: &str| Error::new(ErrorKind::Model, format!("broken `.cbm`: {what}"));
    if source.read_at(0, &mut head)? < 8 || !head.starts_with(MAGIC) {
        return Err(broken("it does not begin with `CBM1` and a size"));
    }
    let size = u64::from(u32::from_le_bytes([head[4], head[5], head[6], head[7]]));
    if size > source.size() - 8 {
        return Err(broken(&format!("its core claims {size} bytes, {} are left", source.size() - 8)));
    }
    let flat = Flat::new(source, 8, size, budget);
    let core = flat.root()?;
    match core.text(4, 100)? {
        Some(version) if version == VERSION => {}
        other => return Err(broken(&format!("its version is `{}`", other.unwrap_or_default()))),
    }
    let mut model = Model::default();
    if let Some(trees) = core.table(6)? {
        model.dimension = u64::try_from(trees.i32(4, 1)?).ok().filter(|n| *n > 0);
        model.trees = trees.vector(8, 4)?.map(|v| v.length()).or(Some(0));
        for (kind, slot, place, name) in FEATURES {
            features(&mut model, trees, kind, slot, place, name)?;
        }
    }
    info(&mut model, core)?;
    tables(source, core, 8 + size)?;
    Ok(model)
}

/// Sees that the tables of statistics are there, which follow the core: a count, and each with its size
/// (catboost/libs/model/static_ctr_provider.cpp, `Save`).
fn tables(source: &dyn Source, core: Table<'_>, mut at: u64) -> Result<()> {
    let mut names = Vec::new();
    if let Some(parts) = core.vector(10, 4)? {
        for i in 0..parts.length().min(2) {
            names.push(parts.text(i, 100)?);
        }
    }
    if names != ["static_provider_v1"] {
        return Ok(());
    }
    let cut = || Error::new(ErrorKind::Model, "broken `.cbm`: it ends inside of its tables of categories");
    let number = |at: u64| -> Result<u64> {
        let mut four = [0; 4];
        if source.read_at(at, &mut four)? < 4 { Err(cut()) } else { Ok(u64::from(u32::from_le_bytes(four))) }
    };
    let count = number(at)?;
    at += 4;
    for _ in 0..count.min(MAX_ENTRIES as u64) {
        at += 4 + number(at)?;
    }
    if at > source.size() { Err(cut()) } else { Ok(()) }
}

fn features(model: &mut Model, trees: Table<'_>, kind: Kind, slot: u16, place: u16, name: u16) -> Result<()> {
    let Some(all) = trees.vector(slot, 4)? else { return Ok(()) };
    if all.length() > MAX_ENTRIES as u64 {
        return Err(Error::new(
            ErrorKind::Model,
            format!("{} features, at most {MAX_ENTRIES} are read", all.length()),
        ));
    }
    for feature in all.tables(MAX_ENTRIES) {
        let feature = feature?;
        let place = u64::try_from(feature.i32(place, -1)?);
        let place = place.map_err(|_| Error::new(ErrorKind::Model, "a feature without a place in a row"))?;
        let name = feature.text(name, MAX_TEXT)?.filter(|n| !n.is_empty());
        model.feature(place, kind, name)?;
    }
    Ok(())
}

fn info(model: &mut Model, core: Table<'_>) -> Result<()> {
    let Some(all) = core.vector(8, 4)? else { return Ok(()) };
    for pair in all.tables(1000) {
        let pair = pair?;
        let key = pair.text(4, MAX_TEXT)?.unwrap_or_default();
        let json = || -> Result<serde_json::Value> {
            Ok(serde_json::from_str(&pair.text(6, 16 * MAX_TEXT)?.unwrap_or_default()).unwrap_or_default())
        };
        match key.as_str() {
            "params" => model.params = json()?,
            // Its name before version 0.20.
            "class_params" | "multiclass_params" => model.class_params = json()?,
            "catboost_version_info" => model.version_info = pair.text(6, MAX_TEXT)?,
            _ => {}
        }
    }
    Ok(())
}
