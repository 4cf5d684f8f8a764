//! Theano: compiled functions and graphs in pickles, also of its heirs Aesara and PyTensor.
//!
//! A pickled function has its inputs and outputs with their types, which say dtype and rank; sizes
//! come from the weights (`graph.rs`). It keeps the graph as its author wrote it beside the
//! optimized one, and the former is what is read. Arrays alone (`.npz`, lists of weights) are a table
//! of weights where there is no other model (`arrays.rs`).

mod arrays;
mod graph;

use std::collections::BTreeSet;

use crate::error::{Error, Kind, Result, show_bytes};
use crate::model::contract::{Contract, Known, Provenance, Signature, Tensor};
use crate::model::format::{
    Candidate, Folder, Format, MAX_ENTRIES, MAX_NAME, Reading, Role, Severity, Weight,
};
use crate::model::pickle::{self, Allow, Id, Limits, Peek};
use crate::model::tree::Tree;

use graph::{Graph, is_theano};

/// How deep in plain lists and dicts variables are looked for.
const MAX_DEPTH: usize = 3;

/// The format of Theano.
#[derive(Clone, Copy, Debug)]
pub struct Theano;

impl Format for Theano {
    fn name(&self) -> &'static str {
        "theano"
    }

    fn detect(&self, folder: &Folder<'_>) -> Result<Vec<Candidate>> {
        let mut found = Vec::new();
        for file in folder.files() {
            let Some((variant, what)) = file.pickle()?.and_then(recognise) else { continue };
            found.push(Candidate::in_file("theano", variant, file, format_args!("is a pickle of {what}")));
        }
        Ok(found)
    }

    fn detect_alone(&self, folder: &Folder<'_>) -> Result<Vec<Candidate>> {
        arrays::detect(folder)
    }

    fn read(&self, tree: &Tree, candidate: &Candidate, budget: u64) -> Result<Reading> {
        if arrays::VARIANTS.contains(&candidate.variant) {
            return arrays::read(tree, candidate, budget);
        }
        let content = tree.open(&candidate.file)?;
        let stored = pickle::open(&content, &Limits { bytes: budget, ..Limits::default() })?;
        let place = show_bytes(&candidate.file);
        let mut reading = Reading::default();
        reading.fact("pickle_protocol", stored.read.protocol);
        reading.fact("theano.kind", candidate.variant);
        stored.verdict(&Allow::THEANO, &place, &mut reading);
        let module = stored.read.uses.iter().map(|u| u.module.as_str()).find(|m| is_theano(m));
        reading.framework = module.and_then(|m| m.split('.').next()).map(str::to_owned);
        let tree = stored.pickle();
        let Some(root) = tree.root() else {
            let limit = stored.read.stopped.as_deref().unwrap_or("a limit");
            reading.find(
                Severity::Warning,
                "limit",
                place,
                format!("the pickle was read up to {limit}; what the model takes and gives is not known"),
            );
            return Ok(reading);
        };
        tree.ask(&mut reading, |reading| {
            let mut graph = Graph::new(tree);
            let model = if candidate.variant == "function" {
                function(&graph, root).ok_or_else(|| {
                    Error::new(
                        Kind::Model,
                        format!("`{place}` holds a function of Theano whose inputs and outputs are not as Theano writes them"),
                    )
                })?
            } else {
                symbolic(&graph, root)
            };
            model.tell(&mut graph, reading);
            Ok(())
        })?;
        Ok(reading)
    }

    fn role(&self, path: &[u8]) -> Option<Role> {
        arrays::is_named(path).then_some(Role::Weights)
    }
}

/// Which kind of model a pickle is, and what to call it.
fn recognise(peek: &Peek) -> Option<(&'static str, &'static str)> {
    match &peek.root {
        Some((module, name)) if is_theano(module) && name == "_constructor_Function" => {
            Some(("function", "a compiled function of Theano"))
        }
        Some((module, name)) if is_theano(module) && name.ends_with("Variable") => {
            Some(("graph", "a variable of Theano"))
        }
        Some(_) => None,
        None => {
            let has = |u: &pickle::Use| is_theano(&u.module) && u.name == "TensorVariable";
            (peek.plain.is_some() && peek.uses.iter().any(has)).then_some(("graph", "variables of Theano"))
        }
    }
}

/// One input or output, before its shape is known.
struct Value<'p> {
    variable: Id,
    name: Option<&'p str>,
    optional: bool,
}

/// What a model takes and gives.
struct Model<'p> {
    inputs: Option<Vec<Value<'p>>>,
    outputs: Vec<Value<'p>>,
}

/// A compiled function (theano/compile/function_module.py, `_pickle_Function`, `FunctionMaker`).
fn function<'p>(graph: &Graph<'p>, root: Id) -> Option<Model<'p>> {
    let tree = graph.tree;
    let maker = *tree.elements(tree.object(root)?.args?)?.first()?;
    let mut inputs = Vec::new();
    for input in tree.elements(tree.attr(maker, "inputs")?)? {
        let variable = tree.attr(*input, "variable")?;
        let is = |name| tree.attr(*input, name).and_then(|s| tree.bool(s)).unwrap_or(false);
        if is("shared") || graph.is_shared(variable) {
            continue;
        }
        let name = tree.attr(*input, "name").and_then(|n| tree.str(n)).filter(|n| !n.is_empty());
        let default = tree.attr(*input, "value").is_some_and(|v| !tree.is_none(v));
        inputs.push(Value {
            variable,
            name: name.or(graph.name(variable)),
            optional: default || is("implicit"),
        });
    }
    let outputs = tree.attr(maker, "outputs")?;
    // A function of one output need not have a list.
    let outputs = tree.elements(outputs).map_or_else(|| vec![outputs], <[Id]>::to_vec);
    let keys = tree.attr(maker, "output_keys").and_then(|k| tree.elements(k)).unwrap_or(&[]);
    let mut given = Vec::new();
    for (at, output) in outputs.into_iter().enumerate() {
        if tree.is_none(output) {
            continue;
        }
        let variable = tree.attr(output, "variable")?;
        let key = keys.get(at).and_then(|k| tree.str(*k));
        given.push(Value { variable, name: key.or(graph.name(variable)), optional: false });
    }
    Some(Model { inputs: Some(inputs), outputs: given })
}

/// A graph that was not compiled: what is made of something is an output. With no list of inputs,
/// they are what the outputs are made of.
fn symbolic<'p>(graph: &Graph<'p>, root: Id) -> Model<'p> {
    let tree = graph.tree;
    let mut outputs = Vec::new();
    let mut seen = BTreeSet::new();
    let mut todo = vec![(root, 0)];
    while let Some((id, depth)) = todo.pop() {
        if !seen.insert(id) || outputs.len() >= MAX_ENTRIES {
            continue;
        }
        if graph.is_variable(id) {
            if tree.attr(id, "owner").is_some_and(|o| !tree.is_none(o)) {
                outputs.push(Value { variable: id, name: graph.name(id), optional: false });
            }
        } else if depth < MAX_DEPTH && tree.object(id).is_none() {
            let inside: Vec<Id> = match (tree.elements(id), tree.pairs(id)) {
                (Some(list), _) => list.to_vec(),
                (None, Some(pairs)) => pairs.iter().map(|(_, v)| *v).collect(),
                (None, None) => Vec::new(),
            };
            todo.extend(inside.into_iter().rev().map(|v| (v, depth + 1)));
        }
    }
    Model { inputs: None, outputs }
}

impl Model<'_> {
    fn tell(self, graph: &mut Graph<'_>, reading: &mut Reading) {
        let variables: Vec<Id> = self.outputs.iter().map(|o| o.variable).collect();
        let (roots, whole) = graph.propagate(&variables);
        if !whole {
            reading
                .warnings
                .push("the graph is larger than what is looked at; sizes may be missing".to_owned());
        }
        let (shared, free): (Vec<Id>, Vec<Id>) = roots.into_iter().partition(|id| graph.is_shared(*id));
        let inputs = self.inputs.unwrap_or_else(|| {
            free.iter().map(|id| Value { variable: *id, name: graph.name(*id), optional: false }).collect()
        });
        let inputs = tensors(graph, &inputs, "input");
        let outputs = tensors(graph, &self.outputs, "output");
        if !outputs.is_empty() || !inputs.is_empty() {
            let signature =
                Signature { name: "function".to_owned(), known: Known::Convention, inputs, outputs };
            reading.contract = Some(Contract { signatures: vec![signature] });
        }
        let weights = shared.iter().enumerate().map(|(at, id)| Weight {
            name: graph.name(*id).map_or_else(|| format!("shared_{at}"), str::to_owned),
            dtype: graph.variable_type(*id).and_then(|t| t.dtype).map(|d| d.name().to_owned()),
            shape: graph.data_shape(*id).map(|s| s.iter().map(|n| Some(*n)).collect()),
        });
        let weights: Vec<Weight> = weights.collect();
        if !weights.is_empty() {
            reading.list_weights(weights);
        }
    }
}

/// Values as tensors; one without a name of its own, or with another's, is called by its place.
fn tensors(graph: &mut Graph<'_>, values: &[Value<'_>], side: &str) -> Vec<Tensor> {
    let mut taken = BTreeSet::new();
    let twice: BTreeSet<&str> =
        values.iter().filter_map(|v| v.name).filter(|name| !taken.insert(*name)).collect();
    let mut all = Vec::new();
    for (at, value) in values.iter().enumerate().take(MAX_ENTRIES) {
        let name = value.name.filter(|n| !twice.contains(n) && n.len() <= MAX_NAME);
        let kind = graph.variable_type(value.variable);
        let shape = graph.known_shape(value.variable);
        let (dtype, encoding) = kind.map_or((None, Default::default()), |t| (t.dtype, t.encoding));
        let known = Provenance {
            name: if name.is_some() { Known::Stored } else { Known::Convention },
            dtype: if dtype.is_some() { Known::Stored } else { Known::Unknown },
            shape: if shape.is_some() { Known::Derived } else { Known::Unknown },
        };
        let name = name.map_or_else(|| format!("{side}_{at}"), str::to_owned);
        let mut tensor = Tensor::new(name, dtype, shape, Known::Derived);
        tensor.known = known;
        tensor.encoding = encoding;
        tensor.optional = value.optional;
        all.push(tensor);
    }
    all
}
