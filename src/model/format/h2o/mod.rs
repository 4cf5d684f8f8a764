//! H2O: a MOJO, which is a zip archive or a folder with `model.ini`.
//!
//! `model.ini` lists the columns in order and, for those that hold categories, files with the levels;
//! the outputs follow from the category of the model (`outputs.rs`). A POJO, which is Java source, is
//! named and not read.

mod ini;
mod outputs;

use serde_json::{Value, json};

use crate::error::{Error, Kind, Result, show_bytes};
use crate::model::contract::{Contract, DType, Known, Signature, Tensor};
use crate::model::format::{
    Candidate, File, Folder, Format, MAX_ENTRIES, Reading, Role, Severity, ends_in, file_name, join,
};
use crate::model::pull::{Json, Pull, Stream};
use crate::model::tree::Tree;
use crate::model::zip::{self, Archive};

use ini::Ini;

/// The longest `model.ini` in bytes.
const MAX_INI: u64 = 32 << 20;
/// The longest list of levels in bytes.
const MAX_LEVELS: u64 = 16 << 20;
/// How many bytes of all lists of levels are read.
const MAX_ALL_LEVELS: u64 = 48 << 20;
/// The longest description of the model for people.
const MAX_DETAILS: u64 = 16 << 20;
/// How many levels of an input are told.
const MAX_TOLD: usize = 1000;

/// The format of H2O.
#[derive(Clone, Copy, Debug)]
pub struct H2o;

impl Format for H2o {
    fn name(&self) -> &'static str {
        "h2o"
    }

    fn framework(&self) -> &'static str {
        "h2o-mojo"
    }

    fn detect(&self, folder: &Folder<'_>) -> Result<Vec<Candidate>> {
        let mut found = Vec::new();
        let mut add = |variant, location: &[u8], file: &File<'_>, what: &str, claims| {
            found.push(Candidate {
                format: "h2o",
                variant,
                location: location.to_vec(),
                file: file.path().to_vec(),
                evidence: format!("`{}` holds {what}", show_bytes(file.path())),
                warnings: Vec::new(),
                claims,
            });
        };
        for file in folder.files() {
            let head = file.head()?;
            if file.name() == b"model.ini" && ini::looks_like(head) {
                let parts: [&[u8]; 6] = [
                    b"domains",
                    b"trees",
                    b"models",
                    b"experimental",
                    b"feature_transformations",
                    b"model.ini",
                ];
                let claims = parts.iter().map(|p| join(folder.path(), p)).collect();
                add("folder", folder.path(), file, "an unpacked MOJO of H2O (`[info]` with `algo`)", claims);
            } else if zip::begins(head) {
                let content = file.open()?;
                let mojo = Archive::open(&content).ok().is_some_and(|archive| {
                    let ini = archive.find("model.ini").and_then(|e| archive.head(e, 4096).ok());
                    ini.is_some_and(|head| ini::looks_like(&head))
                });
                if mojo {
                    add("zip", file.path(), file, "a MOJO of H2O (`model.ini` in a zip archive)", Vec::new());
                }
            } else if file.name().ends_with(b".java") && is_pojo(head) {
                add("pojo", file.path(), file, "a POJO of H2O (`extends GenModel`)", Vec::new());
            }
        }
        Ok(found)
    }

    fn read(&self, tree: &Tree, candidate: &Candidate, budget: u64) -> Result<Reading> {
        let mut reading = Reading::default();
        reading.fact("serialization", candidate.variant);
        match candidate.variant {
            "pojo" => {
                reading.framework = Some("h2o-pojo".to_owned());
                reading.find(
                    Severity::Warning,
                    "unread-serialization",
                    "",
                    format!(
                        "`{}` is a model of H2O as Java source, which floe does not read; declare its contract, or pack the MOJO",
                        show_bytes(&candidate.file)
                    ),
                );
            }
            "zip" => {
                let content = tree.open(&candidate.file)?;
                let archive = Archive::open(&content)?;
                for entry in archive.entries().iter().filter(|e| e.escapes()).take(10) {
                    reading.find(
                        Severity::Error,
                        "zip-slip",
                        entry.name.clone(),
                        format!("the entry `{}` would be unpacked outside of its folder", entry.name),
                    );
                }
                let files = |name: &str, cap: u64| match archive.find(name) {
                    Some(entry) => archive.read(entry, cap).map(Some),
                    None => Ok(None),
                };
                read(&files, budget, &mut reading)?;
            }
            _ => {
                let files = |name: &str, cap: u64| {
                    let path = join(&candidate.location, name.as_bytes());
                    match tree.get(&path) {
                        Some(_) => tree.open(&path)?.read_all(cap).map(Some),
                        None => Ok(None),
                    }
                };
                read(&files, budget, &mut reading)?;
            }
        }
        Ok(reading)
    }

    fn expects(&self, name: &[u8]) -> bool {
        ends_in(name, &[".mojo"])
    }

    fn role(&self, path: &[u8]) -> Option<Role> {
        let name = file_name(path);
        match name {
            b"model.ini" => Some(Role::Graph),
            _ if name.ends_with(b".zip") || name.ends_with(b".mojo") || name.ends_with(b".bin") => {
                Some(Role::Weights)
            }
            _ => None,
        }
    }
}

fn is_pojo(head: &[u8]) -> bool {
    let has = |key: &[u8]| head.windows(key.len()).any(|w| w == key);
    has(b"extends GenModel") || has(b"hex.genmodel.") && has(b"ModelPojo")
}

/// A file of the model: its content of at most so many bytes, `None` where it is not there.
type Files<'f> = dyn Fn(&str, u64) -> Result<Option<Vec<u8>>> + 'f;

fn read(files: &Files<'_>, budget: u64, reading: &mut Reading) -> Result<()> {
    let text = files("model.ini", MAX_INI.min(budget))?;
    let text = text.ok_or_else(|| Error::new(Kind::Model, "the MOJO has no `model.ini`"))?;
    let ini = Ini::parse(&text)?;
    let mut left = MAX_ALL_LEVELS.min(budget);
    // The levels of the response are asked for first: they are the classes.
    let response = ini.response();
    let classes = response.and_then(|at| ini.domains.get(&at));
    let classes = match classes {
        Some(domain) => levels(files, domain, &ini, &mut left, reading)?,
        None => None,
    };
    facts(&ini, classes.as_deref(), reading);
    let types = types(files, budget)?;
    let gam = outputs::gam(&ini, files)?;
    let needed = outputs::needed(&ini);
    let mut inputs = Vec::new();
    let mut categories = serde_json::Map::new();
    for (at, name) in ini.columns.iter().enumerate().take(ini.features.min(MAX_ENTRIES)) {
        if gam.as_ref().is_some_and(|(_, made)| made.contains(name)) {
            continue;
        }
        let domain = ini.domains.get(&at);
        let dtype = match types.get(at).map(String::as_str) {
            _ if domain.is_some() => Some(DType::String),
            // Points in time: as which type a caller gives them is up to the caller's library.
            Some("Time" | "UUID" | "Bad") => None,
            Some("String") => Some(DType::String),
            _ => Some(outputs::input(&ini)),
        };
        let mut tensor = Tensor::new(name.clone(), dtype, Some(vec![None]), Known::Stored);
        tensor.optional = at >= needed;
        if dtype.is_none() {
            tensor.known.dtype = Known::Unknown;
            tensor.native_type = types.get(at).map(|t| t.to_ascii_lowercase());
        }
        if let Some(domain) = domain {
            tensor.native_type = Some("enum".to_owned());
            if let Some(levels) = levels(files, domain, &ini, &mut left, reading)? {
                categories.insert(name.clone(), json!(levels.into_iter().take(MAX_TOLD).collect::<Vec<_>>()));
            }
        }
        inputs.push(tensor);
    }
    for name in gam.map(|(names, _)| names).unwrap_or_default() {
        inputs.push(Tensor::new(name, Some(DType::Float64), Some(vec![None]), Known::Stored));
    }
    outputs::unique(&mut inputs, reading);
    reading.fact("h2o.domains", Value::Object(categories));
    let outputs = outputs::outputs(&ini, classes.as_deref(), files, reading)?;
    let name = "predict".to_owned();
    reading.contract =
        Some(Contract { signatures: vec![Signature { name, known: Known::Convention, inputs, outputs }] });
    Ok(())
}

/// H2O's own types of the columns, where a newer MOJO lists them; empty where it does not.
fn types(files: &Files<'_>, budget: u64) -> Result<Vec<String>> {
    let path = "experimental/modelDetails.json";
    let bytes = match files(path, MAX_DETAILS.min(budget)) {
        Ok(bytes) => bytes.unwrap_or_default(),
        Err(e) if e.kind() == Kind::Model => return Ok(Vec::new()),
        Err(e) => return Err(e),
    };
    let mut p = Json::new(Stream::new(&bytes, 0, MAX_DETAILS));
    let mut read = || -> Result<Vec<String>> {
        let mut found = Vec::new();
        if !p.object()? {
            return Ok(found);
        }
        while let Some(key) = p.key()? {
            if key != "output" || !found.is_empty() {
                p.skip()?;
            } else if p.object()? {
                while let Some(key) = p.key()? {
                    if key == "column_types" {
                        found = p.texts(MAX_ENTRIES)?.unwrap_or_default();
                    } else {
                        p.skip()?;
                    }
                }
            }
        }
        Ok(found)
    };
    // A copy for people of what `model.ini` says: damage there is no reason to know less.
    Ok(read().unwrap_or_default())
}

/// The levels of a column that holds categories; `None` where they are too many to be read.
fn levels(
    files: &Files<'_>,
    domain: &ini::Domain,
    ini: &Ini,
    left: &mut u64,
    reading: &mut Reading,
) -> Result<Option<Vec<String>>> {
    // A name of a file and nothing else: it is looked up beside `model.ini`.
    let path = format!("domains/{}", domain.file);
    let cap = MAX_LEVELS.min(*left);
    let bytes = match files(&path, cap) {
        Ok(Some(bytes)) => bytes,
        Ok(None) => {
            reading.find(
                Severity::Error,
                "missing-file",
                path.clone(),
                format!("`{path}`, with the levels of a column, is not in the MOJO"),
            );
            return Ok(None);
        }
        Err(e) if e.kind() == Kind::Model => {
            reading.warnings.push(format!("the levels in `{path}` are unknown: {e}"));
            return Ok(None);
        }
        Err(e) => return Err(e),
    };
    *left = left.saturating_sub(bytes.len() as u64);
    let levels = ini.levels(&bytes, domain.count);
    if levels.is_none() {
        reading.warnings.push(format!("`{path}` does not hold the {} levels that it should", domain.count));
    }
    Ok(levels)
}

fn facts(ini: &Ini, classes: Option<&[String]>, reading: &mut Reading) {
    reading.framework_version = ini.info("h2o_version").map(str::to_owned);
    for (key, name) in [
        ("estimator", "algo"),
        ("task", "category"),
        ("objective", "distribution"),
        ("h2o.algorithm", "algorithm"),
        ("h2o.category", "category"),
        ("h2o.mojoVersion", "mojo_version"),
        ("h2o.linkFunction", "link_function"),
        ("h2o.family", "family"),
        ("h2o.offsetColumn", "offset_column"),
        ("h2o.foldColumn", "fold_column"),
        ("h2o.weightsColumn", "weights_column"),
    ] {
        let value = ini.info(name).filter(|v| *v != "null").map(str::to_owned);
        let value = if key == "task" { value.map(|v| v.to_ascii_lowercase()) } else { value };
        reading.fact(key, value);
    }
    reading.fact("h2o.trees", ini.number("n_trees"));
    reading.fact("h2o.response", ini.response().and_then(|at| ini.columns.get(at)).cloned());
    reading.fact("classes", classes.map(<[String]>::to_vec));
}
