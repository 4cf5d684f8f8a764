//! Loading: the choice of the engine that runs a model, and the ports that it has.
//!
//! tract comes first, with symbols for the dimensions that a request fixes; then rten, for models
//! whose every operator it is trusted with; then tract with the shapes of each request. It is not the
//! check of a build, which also runs the model ([`super::check()`]).
//!
//! Invariants: no library sees a file that was not surveyed, nor opens a file beside the model that
//! was not checked; the choice depends on the model alone.

use std::path::Path;

use prost::Message as _;
use tract_onnx::Onnx;
use tract_onnx::pb::ModelProto;
use tract_onnx::prelude::InferenceModel;

use super::gate::{self, Facts, Refused};
use super::operators::{Operator, Survey, survey};
use super::rten::Rten;
use super::tract::{Fixed, Output, Symbolic};
use super::{Engine, Port, external, guard, rten, tract};
use crate::error::{At, Error, Kind, Result, show, show_bytes};
use crate::model::contract::{DType, Shape};
use crate::model::format::onnx::types::{Dim, Type, ValueInfo};

/// How many operators an error names.
const MAX_NAMED: usize = 10;
/// The most elements of a tensor that a node makes of a constant shape, whatever is asked.
const MAX_CONSTANT: i64 = 1 << 30;
/// What can be done about a model that no engine runs.
const HINT: &str = "serve it with a runtime that has all of ONNX, such as ONNX Runtime in a Python base";
/// The sizes that are tried for dimensions that are not known, where a shape must be made up.
pub(super) const MADE_UP: &[usize] = &[1, 2, 3, 4, 8, 16, 32, 64, 224];

/// Loads an ONNX model with the first engine that can be trusted with it.
///
/// A request is computed by at most `threads` threads.
///
/// # Errors
///
/// [`Kind::Io`] when the file cannot be read, [`Kind::Model`] when it is no model, names files
/// outside its folder, or needs what no engine has; then the operators are named.
pub fn load(file: &Path, threads: usize) -> Result<Engine> {
    load_with(file, threads, None)
}

/// As [`load`], but with one engine only, `tract` or `rten`, and rten without asking whether it is
/// trusted with the model's operators: for measuring the engines, not for answers.
///
/// # Errors
///
/// Those of [`load`]; [`Kind::Usage`] for another name.
pub fn load_with(file: &Path, threads: usize, only: Option<&str>) -> Result<Engine> {
    if let Some(other) = only.filter(|name| ![tract::NAME, rten::NAME].contains(name)) {
        let text = format!("there is no engine `{}`, only tract and rten", show_bytes(other.as_bytes()));
        return Err(Error::new(Kind::Usage, text));
    }
    let bytes = std::fs::read(file).at("read", file)?;
    let loaded = guard::roomy(|| Loading::new(file, bytes)?.engine(threads, only));
    loaded
        .unwrap_or_else(|panic| Err(Error::new(Kind::Model, format!("the engine panicked: {panic}"))))
        .map_err(|e| match e.kind() {
            Kind::Model => e.context(format_args!("cannot load `{}`", show(file))),
            _ => e,
        })
}

/// A port as the file describes it.
struct Described {
    name: String,
    /// Not known where the file does not say.
    dtype: Option<DType>,
    shape: Option<Shape>,
}

impl Described {
    fn port(&self, found: Option<&Output>) -> Result<Port> {
        let dtype = self.dtype.or_else(|| found.and_then(|o| o.dtype)).ok_or_else(|| {
            let name = show_bytes(self.name.as_bytes());
            Error::new(Kind::Model, format!("the type of the output `{name}` is not known"))
        })?;
        let shape = self.shape.clone().or_else(|| found.map(|o| o.shape.clone()));
        Ok(Port { name: self.name.clone(), dtype, shape })
    }
}

/// A model on its way into an engine.
struct Loading<'f> {
    file: &'f Path,
    bytes: Vec<u8>,
    files: external::Files,
    survey: Survey,
    framework: Onnx,
}

/// What an engine said no to, and why.
type Tried = Vec<(&'static str, String)>;

impl<'f> Loading<'f> {
    fn new(file: &'f Path, bytes: Vec<u8>) -> Result<Self> {
        // All is in memory: the budget only bounds what is read of files that are not.
        let survey = survey(&bytes, u64::MAX)?;
        let files = external::check(file, &survey.pieces)?;
        Ok(Self { file, bytes, files, survey, framework: tract::framework() })
    }

    fn has(&self, name: &str) -> bool {
        self.framework.op_register.0.contains_key(name)
    }

    fn engine(self, threads: usize, only: Option<&str>) -> Result<Engine> {
        let inputs = self.inputs()?;
        let outputs = self.outputs()?;
        let proto = ModelProto::decode(self.bytes.as_slice())
            .map_err(|e| Error::new(Kind::Model, format!("broken protobuf: {e}")))?;
        let facts = Facts::new(&proto);
        if let Some(name) = facts.missing(&self.survey.outputs) {
            let text = format!("nothing gives the value `{}`", show_bytes(name.as_bytes()));
            return Err(Error::new(Kind::Model, text));
        }
        if let Some((operator, count)) = facts.larger_than(MAX_CONSTANT) {
            let text = format!(
                "{operator} would make a tensor of {count} elements, at most {MAX_CONSTANT} are made"
            );
            return Err(Error::new(Kind::Model, text));
        }
        let not_tract = gate::tract::refused(&facts, &|name| self.has(name));
        let not_rten = gate::rten::refused(&facts);
        if only.is_none() {
            needed(&not_tract, &not_rten)?;
        }
        let unheld = gate::rten::unheld(&facts).or_else(|| unheld(&inputs, &outputs));
        let mut tried = Tried::new();
        let mut parsed = None;
        if only.is_none_or(|name| name == tract::NAME) {
            match self.parse(&proto, &not_tract) {
                Ok(model) => parsed = Some(model),
                Err(why) => tried.push((tract::NAME, why)),
            }
        }
        drop(proto);
        if let Some(model) = &parsed {
            match guard::caught(|| Symbolic::new(model)).and_then(|made| made) {
                Ok((backend, found)) => match ports(&outputs, &found) {
                    Ok(outputs) => {
                        let backend = backend.giving(dtypes(&outputs));
                        return Ok(Engine::new(inputs, outputs, Box::new(backend)));
                    }
                    // The graph is not what the file says of it: nobody should run it.
                    Err(why) => return Err(Error::new(Kind::Model, why)),
                },
                Err(why) => tried.push((tract::NAME, why)),
            }
        }
        if only.is_none_or(|name| name == rten::NAME) {
            let refused = unheld.or_else(|| not_rten.iter().next().map(|(o, why)| format!("{o}: {why}")));
            match refused.filter(|_| only.is_none()) {
                Some(why) => tried.push((rten::NAME, why)),
                None => match self.rten(threads, &inputs, &outputs) {
                    Ok(engine) => return Ok(engine),
                    Err(why) => tried.push((rten::NAME, why)),
                },
            }
        }
        if let Some(model) = parsed {
            match fixed(model, &inputs, &outputs) {
                Ok(engine) => return Ok(engine),
                Err(why) => tried.push((tract::NAME, why)),
            }
        }
        Err(nobody(&tried))
    }

    fn parse(&self, proto: &ModelProto, refused: &Refused) -> std::result::Result<InferenceModel, String> {
        if let Some((operator, why)) = refused.iter().next() {
            return Err(format!("{operator}: {why}"));
        }
        let folder = external::folder(self.file).map_err(|e| e.to_string())?;
        if !self.files.is_empty() && folder.to_str().is_none() {
            return Err("tract opens no weights in a folder whose name is not UTF-8".into());
        }
        guard::caught(|| tract::parse(&self.framework, proto, &folder)).and_then(|parsed| parsed)
    }

    fn rten(
        &self,
        threads: usize,
        inputs: &[Port],
        outputs: &[Described],
    ) -> std::result::Result<Engine, String> {
        let ports: Result<Vec<Port>> = outputs.iter().map(|o| o.port(None)).collect();
        let ports = ports.map_err(|e| e.message().to_owned())?;
        let load = || Rten::load(self.bytes.clone(), &self.files, threads, inputs, &ports);
        let backend = guard::caught(load).and_then(|loaded| loaded)?;
        Ok(Engine::new(inputs.to_vec(), ports, Box::new(backend)))
    }

    fn inputs(&self) -> Result<Vec<Port>> {
        let port = |value: &ValueInfo| {
            let name = show_bytes(value.name.as_bytes());
            match &value.ty {
                Some(Type::Tensor { elem: Some(dtype), shape: dims, sparse: false }) => {
                    Ok(Port { name: value.name.clone(), dtype: *dtype, shape: dims.as_deref().map(shape) })
                }
                Some(ty) => Err(Error::new(
                    Kind::Model,
                    format!("the input `{name}` is {ty}, and an engine takes tensors only"),
                )
                .hint(HINT)),
                None => Err(Error::new(Kind::Model, format!("the input `{name}` has no type"))),
            }
        };
        self.survey.inputs.iter().map(port).collect()
    }

    fn outputs(&self) -> Result<Vec<Described>> {
        let describe = |value: &ValueInfo| {
            let name = value.name.clone();
            match &value.ty {
                Some(Type::Tensor { elem, shape: dims, sparse: false }) => {
                    Ok(Described { name, dtype: *elem, shape: dims.as_deref().map(shape) })
                }
                None => Ok(Described { name, dtype: None, shape: None }),
                // The scores, a row for each row of the input, before they are spread into maps.
                Some(_) if self.is_zip_map(&value.name) => {
                    Ok(Described { name, dtype: Some(DType::Float32), shape: None })
                }
                Some(ty) => Err(Error::new(
                    Kind::Model,
                    format!(
                        "the output `{}` is {ty}, and an engine gives tensors only",
                        show_bytes(name.as_bytes())
                    ),
                )
                .hint(HINT)),
            }
        };
        self.survey.outputs.iter().map(describe).collect()
    }

    fn is_zip_map(&self, output: &str) -> bool {
        let maker = self.survey.makers.get(output).map(|(domain, name)| (domain.as_str(), name.as_str()));
        maker == Some(("ai.onnx.ml", "ZipMap")) && self.has("ZipMap")
    }
}

fn shape(dims: &[Dim]) -> Shape {
    dims.iter().map(|d| if let Dim::Size(n) = d { Some(*n) } else { None }).collect()
}

fn dtypes(ports: &[Port]) -> Vec<DType> {
    ports.iter().map(|p| p.dtype).collect()
}

/// The ports of outputs, which tract must see as the file describes them.
fn ports(described: &[Described], found: &[Output]) -> std::result::Result<Vec<Port>, String> {
    if described.len() != found.len() {
        return Err(format!("the graph has {} outputs, tract sees {}", described.len(), found.len()));
    }
    let port = |(described, found): (&Described, &Output)| {
        let port = described.port(Some(found)).map_err(|e| e.message().to_owned())?;
        match found.dtype {
            Some(dtype) if dtype == port.dtype => Ok(port),
            other => Err(format!(
                "the output `{}` is {}, the model says {}",
                show_bytes(port.name.as_bytes()),
                other.map_or("of another type", DType::name),
                port.dtype
            )),
        }
    };
    described.iter().zip(found).map(port).collect()
}

/// Why rten cannot take the inputs or give the outputs of a model.
fn unheld(inputs: &[Port], outputs: &[Described]) -> Option<String> {
    let inputs = inputs.iter().map(|p| (&p.name, Some(p.dtype)));
    let outputs = outputs.iter().map(|d| (&d.name, d.dtype));
    let (name, dtype) = inputs.chain(outputs).find(|(_, d)| d.is_none_or(|d| !rten::holds(d)))?;
    let dtype = dtype.map_or("of a type that is not written down", DType::name);
    Some(format!("`{}` is {dtype}, which rten does not hold", show_bytes(name.as_bytes())))
}

/// tract with the shapes of each request, after a trial with shapes that are made up.
fn fixed(
    model: InferenceModel,
    inputs: &[Port],
    outputs: &[Described],
) -> std::result::Result<Engine, String> {
    let backend = Fixed::new(model);
    let mut why = None;
    for size in MADE_UP {
        let shapes: Vec<_> = inputs.iter().map(|p| (p.dtype, made_up(p, *size))).collect();
        match backend.outputs(&shapes) {
            Ok(found) => {
                let mut ports = ports(outputs, &found)?;
                for (port, described) in ports.iter_mut().zip(outputs) {
                    // What was found is true of the shapes that were made up.
                    port.shape.clone_from(&described.shape);
                }
                let backend = backend.giving(dtypes(&ports));
                return Ok(Engine::new(inputs.to_vec(), ports, Box::new(backend)));
            }
            // Bodies of loops and branches are parsed with the graph, and found wanting only here.
            Err(e) if is_lack(&e) => return Err(e),
            Err(e) => why = why.or(Some(e)),
        }
    }
    let open = |p: &Port| p.shape.as_ref().is_none_or(|s| s.iter().any(Option::is_none));
    let why = why.unwrap_or_else(|| "no shapes fit its inputs".into());
    // Shapes that fit may be others, as those of a state are; whatever else is wrong stays wrong.
    if !inputs.iter().any(open) || !why.contains("unify") || why.contains("datum_type") {
        return Err(why);
    }
    let ports: Result<Vec<Port>> = outputs.iter().map(|o| o.port(None)).collect();
    let ports = ports.map_err(|e| e.message().to_owned())?;
    let backend = backend.giving(dtypes(&ports));
    Ok(Engine::new(inputs.to_vec(), ports, Box::new(backend)))
}

/// A shape for an input, with one size for all dimensions that are not known.
pub(super) fn made_up(port: &Port, size: usize) -> Vec<usize> {
    let known = |d: &Option<u64>| d.and_then(|d| usize::try_from(d).ok()).unwrap_or(size);
    port.shape.as_ref().map_or_else(|| vec![size], |shape| shape.iter().map(known).collect())
}

/// Whether an engine's message says that it lacks something, whatever the values.
pub(super) fn is_lack(message: &str) -> bool {
    let message = message.to_ascii_lowercase();
    ["unimplemented", "not implemented", "unsupported", "not supported"].iter().any(|w| message.contains(w))
}

/// Refuses a model with operators that no engine has, or for which none engine has all.
fn needed(not_tract: &Refused, not_rten: &Refused) -> Result<()> {
    if not_tract.is_empty() || not_rten.is_empty() {
        return Ok(());
    }
    let nobodys: Vec<&Operator> = not_tract.keys().filter(|o| not_rten.contains_key(o)).collect();
    let text = if nobodys.is_empty() {
        let (tract, rten) = (named(not_tract.keys()), named(not_rten.keys()));
        format!("no engine has all operators of the model: tract lacks {tract}; rten lacks {rten}")
    } else {
        format!("no engine has the operators {}", named(nobodys.into_iter()))
    };
    Err(Error::new(Kind::Model, text).hint(HINT))
}

fn named<'o>(operators: impl ExactSizeIterator<Item = &'o Operator>) -> String {
    let more = operators.len().saturating_sub(MAX_NAMED);
    let names: Vec<String> = operators.take(MAX_NAMED).map(ToString::to_string).collect();
    let names = names.join(", ");
    if more == 0 { names } else { format!("{names} and {more} more") }
}

/// What all engines said.
fn nobody(tried: &Tried) -> Error {
    let mut said: Vec<String> = Vec::new();
    for (name, why) in tried {
        let text = format!("{name}: {why}");
        if !said.contains(&text) {
            said.push(text);
        }
    }
    Error::new(Kind::Model, format!("no engine runs it: {}", said.join("; "))).hint(HINT)
}
