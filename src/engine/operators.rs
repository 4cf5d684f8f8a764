//! The survey of a model file: which operators it uses, which values it takes and gives, which files
//! it names, and whether what it claims about sizes can be true.
//!
//! It is read with floe's own bounded reader before any engine sees the file, so that the engines
//! meet neither messages that are nested without end nor tensors that claim more than the file
//! holds. It is not the contract ([`crate::model::format`] reads that) and judges no operator
//! (`gate` does).
//!
//! Invariant: what was surveyed nests at most [`MAX_DEPTH`](crate::model::pb::MAX_DEPTH) messages
//! deep, and each of its tensors is as large as it says.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs::File;
use std::path::Path;

use super::claims::{self, Piece};
use crate::error::{At, Error, Kind, Result, show_bytes};
use crate::model::format::onnx::graph::{domain, opset};
use crate::model::format::onnx::types::{Dim, Type, ValueInfo, value_info};
use crate::model::pb::{Input, Message, Source};

/// The longest name of an operator, a domain or a value.
pub(super) const MAX_TEXT: usize = 64 << 10;
/// The most names of each kind that a model may have.
const MAX_NAMES: usize = 1_000_000;
/// How deep the name of a dimension may nest, which an engine parses as an expression, by recursion.
const MAX_DIM_DEPTH: usize = 16;
/// The most bytes that are read of a file which is not in memory: names and structure, not weights.
const BUDGET: u64 = 256 << 20;

/// An operator with the version of its set.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Operator {
    /// Whose it is; the standard's own is `ai.onnx`.
    pub domain: String,
    /// What it is called.
    pub name: String,
    /// The version of the operator set that the model asks for; 0 where it does not say.
    pub opset: i64,
}

impl fmt::Display for Operator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (domain, name) = (show_bytes(self.domain.as_bytes()), show_bytes(self.name.as_bytes()));
        write!(f, "{domain}.{name} (opset {})", self.opset)
    }
}

/// What a model file has in it.
#[derive(Debug, Default)]
pub(super) struct Survey {
    /// Inner graphs and local functions included.
    pub operators: BTreeSet<Operator>,
    /// What the main graph takes, weights that may be overridden left out.
    pub inputs: Vec<ValueInfo>,
    /// What the main graph gives.
    pub outputs: Vec<ValueInfo>,
    /// Which operator of the main graph makes an output, by the output's name.
    pub makers: BTreeMap<String, (String, String)>,
    /// Weights in other files.
    pub pieces: Vec<Piece>,
}

/// The operators of a model file, those of inner graphs and of local functions included.
///
/// The names of local functions are among them, where they are called.
///
/// # Errors
///
/// [`Kind::Io`] when the file cannot be read, [`Kind::Model`] when it is no ONNX model or claims
/// what it does not hold.
pub fn operators(file: &Path) -> Result<BTreeSet<Operator>> {
    let content = OnDisk::open(file)?;
    Ok(survey(&content, BUDGET)?.operators)
}

/// A file that is read in pieces.
struct OnDisk {
    file: File,
    size: u64,
    path: std::path::PathBuf,
}

impl OnDisk {
    fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).at("open", path)?;
        let size = file.metadata().at("look at", path)?.len();
        Ok(Self { file, size, path: path.to_owned() })
    }
}

impl Source for OnDisk {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<usize> {
        let mut done = 0;
        while done < buf.len() {
            let rest = buf.get_mut(done..).unwrap_or_default();
            match std::os::unix::fs::FileExt::read_at(&self.file, rest, offset + done as u64)
                .at("read", &self.path)?
            {
                0 => break,
                n => done += n,
            }
        }
        Ok(done)
    }
}

/// Surveys a model, of which at most `budget` bytes are read.
pub(super) fn survey(source: &dyn Source, budget: u64) -> Result<Survey> {
    let input = Input::new(source, budget);
    let mut walk = Walk::default();
    let mut graph = None;
    let mut opsets = BTreeMap::new();
    let mut functions = Vec::new();
    let mut message = input.message();
    while let Some(field) = message.next_field()? {
        match field.number {
            7 => graph = Some(field.message()?),
            8 => {
                let (name, version) = opset(field.message()?, MAX_TEXT)?;
                opsets.insert(domain(&name).to_owned(), version);
            }
            20 => walk.training(field.message()?)?,
            25 => {
                bounded(functions.len(), "functions")?;
                functions.push(field.message()?);
            }
            _ => {}
        }
    }
    let Some(graph) = graph else { return Err(Error::new(Kind::Model, "the ONNX model has no graph")) };
    walk.opsets = opsets;
    walk.graph(graph, true)?;
    for function in functions {
        walk.function(function)?;
    }
    let mut survey = walk.survey;
    survey.inputs.retain(|v| !walk.weights.contains(&v.name));
    // Only what makes an output is worth keeping.
    let outputs: BTreeSet<&str> = survey.outputs.iter().map(|v| v.name.as_str()).collect();
    survey.makers.retain(|name, _| outputs.contains(name.as_str()));
    Ok(survey)
}

fn bounded(n: usize, what: &str) -> Result<()> {
    if n < MAX_NAMES {
        return Ok(());
    }
    Err(Error::new(Kind::Model, format!("the ONNX model has more than {MAX_NAMES} {what}")))
}

/// On the way through all graphs.
#[derive(Default)]
struct Walk {
    survey: Survey,
    opsets: BTreeMap<String, i64>,
    /// Names of the main graph's weights.
    weights: BTreeSet<String>,
}

impl Walk {
    /// The recursion of graphs in nodes is bounded by the depth of messages.
    fn graph(&mut self, mut message: Message<'_>, main: bool) -> Result<()> {
        while let Some(field) = message.next_field()? {
            match field.number {
                1 => self.node(field.message()?, main)?,
                5 => {
                    let name = self.weight(field.message()?)?;
                    self.keep_weight(name, main)?;
                }
                15 => {
                    let name = self.sparse(field.message()?)?;
                    self.keep_weight(name, main)?;
                }
                11..=13 => {
                    let value = value_info(field.message()?)?;
                    dims_are_tame(&value)?;
                    let list = match field.number {
                        11 => &mut self.survey.inputs,
                        _ => &mut self.survey.outputs,
                    };
                    if main && field.number != 13 {
                        bounded(list.len(), "inputs or outputs")?;
                        list.push(value);
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn keep_weight(&mut self, name: String, main: bool) -> Result<()> {
        if main {
            bounded(self.weights.len(), "weights")?;
            self.weights.insert(name);
        }
        Ok(())
    }

    /// The graphs for initialization and for a step of a training; the engines read them too.
    fn training(&mut self, mut message: Message<'_>) -> Result<()> {
        let mut apart = Self::default();
        while let Some(field) = message.next_field()? {
            if matches!(field.number, 1 | 2) {
                apart.graph(field.message()?, false)?;
            }
        }
        self.survey.pieces.append(&mut apart.survey.pieces);
        Ok(())
    }

    fn function(&mut self, mut message: Message<'_>) -> Result<()> {
        let mut opsets = BTreeMap::new();
        let mut rest = message;
        while let Some(field) = rest.next_field()? {
            if field.number == 9 {
                let (name, version) = opset(field.message()?, MAX_TEXT)?;
                opsets.insert(domain(&name).to_owned(), version);
            }
        }
        let outer = std::mem::replace(&mut self.opsets, opsets);
        while let Some(field) = message.next_field()? {
            match field.number {
                7 => self.node(field.message()?, false)?,
                11 => self.attribute(field.message()?)?,
                12 => dims_are_tame(&value_info(field.message()?)?)?,
                _ => {}
            }
        }
        self.opsets = outer;
        Ok(())
    }

    fn node(&mut self, mut message: Message<'_>, main: bool) -> Result<()> {
        let (mut name, mut space) = (String::new(), String::new());
        let mut outputs = Vec::new();
        while let Some(field) = message.next_field()? {
            match field.number {
                2 if main => {
                    bounded(outputs.len(), "outputs of a node")?;
                    outputs.push(field.text(MAX_TEXT)?);
                }
                4 => name = field.text(MAX_TEXT)?,
                5 => self.attribute(field.message()?)?,
                7 => space = field.text(MAX_TEXT)?,
                _ => {}
            }
        }
        let space = domain(&space).to_owned();
        let opset = self.opsets.get(&space).copied().unwrap_or(0);
        for output in outputs {
            bounded(self.survey.makers.len(), "values")?;
            self.survey.makers.insert(output, (space.clone(), name.clone()));
        }
        bounded(self.survey.operators.len(), "operators")?;
        self.survey.operators.insert(Operator { domain: space, name, opset });
        Ok(())
    }

    fn attribute(&mut self, mut message: Message<'_>) -> Result<()> {
        while let Some(field) = message.next_field()? {
            match field.number {
                5 | 10 => drop(self.weight(field.message()?)?),
                6 | 11 => self.graph(field.message()?, false)?,
                22 | 23 => drop(self.sparse(field.message()?)?),
                // Numbers, of which there may be millions, are not looked at one by one.
                _ => {}
            }
        }
        Ok(())
    }

    /// The values carry the name of the whole.
    fn sparse(&mut self, mut message: Message<'_>) -> Result<String> {
        let mut name = String::new();
        while let Some(field) = message.next_field()? {
            match field.number {
                1 => name = self.weight(field.message()?)?,
                2 => drop(self.weight(field.message()?)?),
                _ => {}
            }
        }
        Ok(name)
    }

    /// Checks a `TensorProto` and returns its name.
    fn weight(&mut self, message: Message<'_>) -> Result<String> {
        let (name, piece) = claims::check(message)?;
        if let Some(piece) = piece {
            bounded(self.survey.pieces.len(), "weights in other files")?;
            self.survey.pieces.push(piece);
        }
        Ok(name)
    }
}

/// Refuses names of dimensions that would send a parser of expressions deep.
fn dims_are_tame(value: &ValueInfo) -> Result<()> {
    let mut ty = value.ty.as_ref();
    while let Some(now) = ty {
        ty = match now {
            Type::Sequence(inner) | Type::Map(_, inner) | Type::Optional(inner) => Some(inner),
            Type::Tensor { shape: Some(dims), .. } => {
                let names = dims.iter().filter_map(|d| if let Dim::Named(n) = d { Some(n) } else { None });
                for name in names {
                    let nested = name.matches(['(', '-']).count();
                    if nested > MAX_DIM_DEPTH {
                        let value = show_bytes(value.name.as_bytes());
                        return Err(Error::new(
                            Kind::Model,
                            format!("the value `{value}` has a dimension with a name of {nested} levels"),
                        ));
                    }
                }
                None
            }
            _ => None,
        };
    }
    Ok(())
}
