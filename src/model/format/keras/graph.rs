//! Models: how their layers are connected, what they take, and what they give.
//!
//! A model is a chain (`Sequential`) or a graph (`Functional`, before Keras 2.4 `Model`). Calls of
//! layers are gone through in the order of what they need. Keras 3 records the shape and dtype of
//! every tensor that a layer takes; those count more than what follows from rules.
//!
//! Invariants: no call is followed twice for one model, models inside models go through the limits of
//! [`Ctx`], and a connection to what is not there is a tensor of which nothing is known.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::model::contract::{DType, Encoding, Shape};
use crate::model::format::MAX_ENTRIES;
use crate::model::format::keras::config::{self, Layer, list};
use crate::model::format::keras::layers::{self, Ctx};
use crate::model::format::keras::spec::{Arg, Args, Spec};

/// How often the calls that wait for others are gone through.
const MAX_PASSES: usize = 64;
/// How many chains may come together at the beginning of another one.
const MAX_MERGED: usize = 32;
/// How deep arguments may nest.
const MAX_NESTED: usize = 16;

/// An input or output of a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Port {
    pub(super) name: String,
    /// Whether the name stands in the file.
    pub(super) named: bool,
    pub(super) spec: Spec,
    pub(super) optional: bool,
    /// Whether shape and dtype follow from rules.
    pub(super) derived: bool,
}

/// What a model takes and gives.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Model {
    pub(super) inputs: Vec<Port>,
    pub(super) outputs: Vec<Port>,
}

/// Whether a layer is a model, by the layers that it lists.
pub(super) fn is_model(layer: &Layer<'_>) -> bool {
    match layer.class {
        "Sequential" => true,
        "Functional" | "Model" | "Container" | "Network" => layer.config.get("layers").is_some(),
        _ => is_graph(layer),
    }
}

/// A class of the author's own may still record its graph.
fn is_graph(layer: &Layer<'_>) -> bool {
    ["layers", "input_layers", "output_layers"].iter().all(|k| layer.config.get(k).is_some())
        && layer.config.get("layers").is_some_and(Value::is_array)
}

/// The outputs of a model that is called as a layer.
pub(super) fn call(ctx: &Ctx, layer: &Layer<'_>, args: &Args<'_>) -> Vec<Spec> {
    let inputs = args.inputs();
    if layer.class == "Sequential" {
        let Some(x) = inputs.into_iter().next() else { return Vec::new() };
        let own = sequential_input(ctx, layer).and_then(|port| port.spec.shape);
        let same = own.is_some() && own == x.shape;
        return vec![chain(ctx, layer, x, same).spec];
    }
    graph(ctx, layer, Some(&inputs)).outputs.into_iter().map(|p| p.spec).collect()
}

/// What the model of a file takes and gives; `None` where it does not record that.
pub(super) fn model(ctx: &Ctx, layer: &Layer<'_>) -> Option<Model> {
    if layer.class == "Sequential" {
        if let Some(merge) = chained(layer).first().filter(|l| l.class == "Merge") {
            return merged(ctx, layer, merge);
        }
        let input = sequential_input(ctx, layer)?;
        let output = chain(ctx, layer, input.spec.clone(), true);
        return Some(Model { inputs: vec![input], outputs: vec![output] });
    }
    is_model(layer).then(|| graph(ctx, layer, None)).filter(|m| !m.inputs.is_empty() && !m.outputs.is_empty())
}

/// The layers of a chain: a bare list in Keras 1 and early 2.
fn chained<'a>(layer: &Layer<'a>) -> Vec<Layer<'a>> {
    let items = layer.config.get("layers").and_then(list).or_else(|| list(layer.config));
    items.into_iter().flatten().take(MAX_ENTRIES).filter_map(Layer::of).collect()
}

/// Goes through a chain; `same` is whether it is called with what it was made for.
fn chain(ctx: &Ctx, layer: &Layer<'_>, input: Spec, same: bool) -> Port {
    let items = chained(layer);
    ctx.pay(items.len());
    let mut spec = input;
    let mut derived = false;
    for (i, item) in items.iter().enumerate() {
        // What comes first may be the input, or was called already ([`merged`]).
        if i == 0 && matches!(item.class, "InputLayer" | "Merge") {
            continue;
        }
        derived = true;
        let mut out = layers::apply(ctx, item, &Args::one(spec)).into_iter();
        spec = out.next().filter(|_| out.next().is_none()).unwrap_or_default();
        // What the next layer was built for is what this one gives.
        if same
            && spec.shape.is_none()
            && let Some(next) = items.get(i + 1)
        {
            spec.shape = next.built_for().map(free_batch);
        }
    }
    let last = items.iter().rev().find(|l| l.class != "InputLayer").or(items.last());
    let name = last.map_or_else(String::new, |l| l.name.to_owned());
    Port { named: !name.is_empty(), name, spec, optional: false, derived }
}

/// A chain of Keras 1 that begins with several chains and a layer that merges them.
fn merged(ctx: &Ctx, layer: &Layer<'_>, merge: &Layer<'_>) -> Option<Model> {
    let (mut inputs, mut args): (Vec<Port>, Vec<Arg<'_>>) = (Vec::new(), Vec::new());
    for branch in list(merge.get("layers")?)?.iter().take(MAX_MERGED) {
        let branch = model(ctx, &Layer::of(branch).filter(|l| l.class == "Sequential")?)?;
        args.extend(branch.outputs.into_iter().map(|o| Arg::Tensor(o.spec)));
        inputs.extend(branch.inputs);
    }
    for i in 0..inputs.len() {
        let (before, rest) = inputs.split_at_mut(i);
        let stem = rest[0].name.trim_end_matches(|c: char| c.is_ascii_digit()).to_owned();
        let mut n = 1;
        while before.iter().any(|p| p.name == rest[0].name) {
            n += 1;
            rest[0].name = format!("{stem}{n}");
        }
    }
    let args = Args { args: vec![Arg::List(args)], kwargs: BTreeMap::new() };
    let first = layers::apply(ctx, merge, &args).into_iter().next().unwrap_or_default();
    Some(Model { inputs, outputs: vec![chain(ctx, layer, first, true)] })
}

/// A shape as it was met once, whose batch says nothing.
pub(super) fn free_batch(mut shape: Shape) -> Shape {
    if let Some(batch) = shape.first_mut() {
        *batch = None;
    }
    shape
}

/// The one input of a chain: its `InputLayer`, or what its first layer was told.
fn sequential_input(ctx: &Ctx, layer: &Layer<'_>) -> Option<Port> {
    let first = chained(layer).into_iter().next();
    if let Some(first) = first {
        if first.class == "InputLayer" {
            return Some(input(ctx, &first));
        }
        // The input of a model that comes first is that of its own first layer.
        let mut inner = first;
        for _ in 0..8 {
            if !is_model(&inner) {
                break;
            }
            match chained(&inner).into_iter().next() {
                Some(next) => inner = next,
                None => break,
            }
        }
        // Before Keras 2.2 a chain took over the input of a model that came first.
        if ctx.early && is_model(&first) {
            let inputs = model(ctx, &first)?.inputs;
            return inputs.into_iter().next();
        }
        // Keras 1 counted the inputs that it made itself, from one on in each process.
        let counted = ctx.keras < 2;
        let name = match counted {
            true => format!("{}_input_1", first.class.to_lowercase()),
            false => format!("{}_input", first.name),
        };
        let port = |spec| Port { named: !counted, name, spec, optional: false, derived: true };
        if let Some(shape) = inner.get("batch_input_shape").or_else(|| inner.get("batch_shape")) {
            let told = inner.text("input_dtype").and_then(config::dtype);
            let own = inner.get("dtype").and_then(config::policy).map(|p| p.variable);
            let spec = Spec::new(config::shape(shape), told.or(own).or(ctx.floatx));
            return Some(port(spec));
        }
        let built = layer.get("build_input_shape").and_then(config::shape).or_else(|| layer.built_for());
        return built.map(|shape| {
            let mut port = port(Spec::new(Some(free_batch(shape)), None));
            // No tensor of the model has this name yet.
            port.named = false;
            port
        });
    }
    None
}

/// An `InputLayer`.
fn input(ctx: &Ctx, layer: &Layer<'_>) -> Port {
    let shape = layer.get("batch_shape").or_else(|| layer.get("batch_input_shape"));
    let shape = shape.and_then(config::shape);
    let dtype = match layer.get("dtype").or_else(|| layer.get("input_dtype")) {
        Some(Value::String(name)) => config::dtype(name),
        Some(other) => config::policy(other).map(|p| p.compute),
        None => ctx.floatx,
    };
    let encoding = match (layer.flag("sparse"), layer.flag("ragged")) {
        (true, _) => Encoding::Sparse,
        (_, true) => Encoding::Ragged,
        _ => Encoding::Dense,
    };
    Port {
        name: layer.name.to_owned(),
        named: !layer.name.is_empty(),
        spec: Spec { shape, dtype, encoding },
        optional: layer.flag("optional"),
        derived: false,
    }
}

/// One tensor of a graph: its layer, which of the layer's calls, which of its outputs.
type Key = (usize, u64, usize);

struct Graph<'a> {
    layers: Vec<Layer<'a>>,
    by_name: BTreeMap<&'a str, usize>,
    /// Shapes and dtypes that the file records.
    told: BTreeMap<Key, Spec>,
    /// What the calls give.
    known: BTreeMap<(usize, u64), Vec<Spec>>,
    keras: u8,
}

fn graph(ctx: &Ctx, layer: &Layer<'_>, given: Option<&[Spec]>) -> Model {
    let items: Vec<Layer<'_>> = layer
        .config
        .get("layers")
        .and_then(list)
        .into_iter()
        .flatten()
        .take(MAX_ENTRIES)
        .filter_map(Layer::of)
        .collect();
    ctx.pay(items.len());
    let by_name = items.iter().enumerate().map(|(i, l)| (l.name, i)).collect();
    let mut g =
        Graph { layers: items, by_name, told: BTreeMap::new(), known: BTreeMap::new(), keras: ctx.keras };
    let mut inputs = Vec::new();
    let mut same = true;
    for (at, (key, reference)) in references(layer.config.get("input_layers")).into_iter().enumerate() {
        let Some((i, node, _)) = g.key(reference) else { continue };
        let mut port = input(ctx, &g.layers[i]);
        if ctx.keras < 2 && g.layers[i].class != "InputLayer" {
            port.spec = g.unchanged(ctx, i).unwrap_or_default();
        }
        if let Some(given) = given {
            let spec = given.get(at).cloned().unwrap_or_default();
            same &= spec.shape == port.spec.shape;
            port.spec = spec;
        }
        if let Some(key) = key {
            port.name = key;
        }
        g.known.insert((i, node), vec![port.spec.clone()]);
        inputs.push(port);
    }
    g.follow(ctx, given.is_none() || same);
    let mut names: BTreeMap<String, usize> = BTreeMap::new();
    let mut taken = BTreeSet::new();
    let mut outputs: Vec<Port> = Vec::new();
    for (key, reference) in references(layer.config.get("output_layers")) {
        let Some(tensor) = g.key(reference) else { continue };
        let own = g.layers[tensor.0].name.to_owned();
        let plain = key.unwrap_or(own);
        // Two outputs of one layer get numbers, as Keras 2 counts them.
        let mut name = plain.clone();
        while !taken.insert(name.clone()) {
            let count = names.entry(plain.clone()).or_insert(0);
            *count += 1;
            name = format!("{plain}_{count}");
        }
        let derived = g.layers[tensor.0].class != "InputLayer";
        // A chain's own name is lost when Keras 1 and early 2 load it.
        let bare = g.layers[tensor.0].config.is_array();
        outputs.push(Port {
            named: name == plain && !bare,
            name,
            spec: g.spec(tensor),
            optional: false,
            derived,
        });
    }
    Model { inputs, outputs }
}

/// `[layer, call, output]`, or a list or an object of such, with the keys of the object.
fn references(value: Option<&Value>) -> Vec<(Option<String>, &Value)> {
    fn add<'v>(
        key: Option<&str>,
        value: &'v Value,
        depth: usize,
        out: &mut Vec<(Option<String>, &'v Value)>,
    ) {
        if depth > MAX_NESTED || out.len() >= MAX_ENTRIES {
            return;
        }
        match value {
            Value::Array(items) if items.first().is_some_and(Value::is_string) => {
                out.push((key.map(str::to_owned), value));
            }
            // A key that stands for several tensors is the name of none.
            Value::Array(items) => items.iter().for_each(|v| add(None, v, depth + 1, out)),
            Value::Object(o) => match list(value) {
                Some(items) => items.iter().for_each(|v| add(None, v, depth + 1, out)),
                None => o.iter().for_each(|(k, v)| add(Some(k), v, depth + 1, out)),
            },
            _ => {}
        }
    }
    let mut out = Vec::new();
    if let Some(value) = value {
        add(None, value, 0, &mut out);
    }
    out
}

/// A tensor that Keras 3 wrote as an object.
fn keras_tensor(value: &Value) -> Option<(&Value, Spec)> {
    let is = value.get("class_name").and_then(Value::as_str) == Some("__keras_tensor__");
    let config = value.get("config").filter(|_| is)?;
    let dtype = config.get("dtype").and_then(Value::as_str).and_then(config::dtype);
    let spec = Spec::new(config.get("shape").and_then(config::shape), dtype);
    Some((config.get("keras_history")?, spec))
}

impl<'a> Graph<'a> {
    /// What a layer takes that stands as an input of the model: Keras 1 loses which layer an input
    /// belongs to where another one gives it back as it is.
    fn unchanged(&self, ctx: &Ctx, at: usize) -> Option<Spec> {
        let calls = self.layers[at].raw.get("inbound_nodes").and_then(Value::as_array)?;
        let [Value::Array(tensors)] = calls.as_slice() else { return None };
        let [one] = tensors.as_slice() else { return None };
        let source = &self.layers[self.key(one)?.0];
        let same = source.class == "InputLayer" && self.layers[at].class == "ActivityRegularization";
        same.then(|| input(ctx, source).spec)
    }

    /// The tensor that a reference means; `None` where there is no such layer.
    fn key(&self, reference: &Value) -> Option<Key> {
        let parts = reference.as_array()?;
        let at = *self.by_name.get(parts.first()?.as_str()?)?;
        let call = parts.get(1).and_then(Value::as_u64).unwrap_or(0);
        let output = parts.get(2).and_then(Value::as_u64).and_then(|n| usize::try_from(n).ok()).unwrap_or(0);
        // A model has a call of its own before those of the graph around it, which is counted but
        // not listed. Chains are such models before Keras 3 (`get_config` of `Functional`).
        let layer = &self.layers[at];
        let counted = match layer.class {
            "Sequential" => self.keras < 3,
            _ => is_model(layer),
        };
        Some((at, if counted { call.saturating_sub(1) } else { call }, output))
    }

    /// What is known of a tensor.
    fn spec(&self, key: Key) -> Spec {
        if let Some(spec) = self.told.get(&key) {
            return spec.clone();
        }
        self.known.get(&(key.0, key.1)).and_then(|all| all.get(key.2)).cloned().unwrap_or_default()
    }

    /// Goes through all calls; `trust` is for what the file tells of tensors, which holds for the
    /// inputs that the model was made for.
    fn follow(&mut self, ctx: &Ctx, trust: bool) {
        let mut waiting: Vec<(usize, u64, &'a Value)> = Vec::new();
        for (i, layer) in self.layers.iter().enumerate() {
            let calls = layer.raw.get("inbound_nodes").and_then(Value::as_array);
            for (n, call) in calls.into_iter().flatten().enumerate() {
                if !self.known.contains_key(&(i, n as u64)) && waiting.len() < MAX_ENTRIES {
                    waiting.push((i, n as u64, call));
                }
            }
            // An input that the model does not list is one of a model inside.
            if layer.class == "InputLayer" && !self.known.contains_key(&(i, 0)) {
                let spec = input(ctx, layer).spec;
                self.known.insert((i, 0), vec![spec]);
            }
        }
        if trust {
            for (_, _, call) in &waiting {
                self.note(call, 0);
            }
        }
        for pass in 0..=MAX_PASSES {
            let before = waiting.len();
            let last = pass == MAX_PASSES;
            waiting.retain(|&(i, n, call)| {
                if ctx.exhausted() || !(last || self.ready(call, 0)) {
                    return true;
                }
                let mut args = self.arguments(call);
                if trust {
                    self.build_shape(i, &mut args);
                }
                let out = layers::apply(ctx, &self.layers[i], &args);
                self.known.insert((i, n), out);
                false
            });
            if waiting.is_empty() || waiting.len() == before {
                break;
            }
        }
    }

    /// Where nothing is known of the one tensor of a layer's only call, its shape is the one that the
    /// layer was built for.
    fn build_shape(&self, at: usize, args: &mut Args<'_>) {
        let layer = &self.layers[at];
        let calls = layer.raw.get("inbound_nodes").and_then(Value::as_array).map_or(0, Vec::len);
        if let [Arg::Tensor(spec)] = args.args.as_mut_slice()
            && spec.shape.is_none()
            && calls == 1
        {
            spec.shape = layer.built_for().map(free_batch);
        }
    }

    /// Notes what the file tells of the tensors of a call.
    fn note(&mut self, value: &Value, depth: usize) {
        if depth > MAX_NESTED {
            return;
        }
        if let Some((history, spec)) = keras_tensor(value) {
            if let Some(key) = self.key(history) {
                // An input knows more of itself: whether it is sparse.
                if self.layers[key.0].class != "InputLayer" {
                    self.told.entry(key).or_insert(spec);
                }
            }
            return;
        }
        match value {
            Value::Array(items) => items.iter().for_each(|v| self.note(v, depth + 1)),
            Value::Object(o) => o.values().for_each(|v| self.note(v, depth + 1)),
            _ => {}
        }
    }

    /// Whether all tensors of a call are known, or will never be.
    fn ready(&self, value: &Value, depth: usize) -> bool {
        if depth > MAX_NESTED {
            return true;
        }
        let reference = keras_tensor(value).map(|(history, _)| history).or_else(|| self.reference(value));
        if let Some(reference) = reference {
            let there = self
                .key(reference)
                .is_none_or(|key| self.told.contains_key(&key) || self.known.contains_key(&(key.0, key.1)));
            // The arguments of a call by name stand beside its first tensor.
            let more = reference.as_array().and_then(|r| r.get(3));
            return there && more.is_none_or(|more| self.ready(more, depth + 1));
        }
        match value {
            Value::Array(items) => items.iter().all(|v| self.ready(v, depth + 1)),
            Value::Object(o) => o.values().all(|v| self.ready(v, depth + 1)),
            _ => true,
        }
    }

    /// `[layer, call, output, …]` as Keras 1 and 2 write it.
    fn reference<'v>(&self, value: &'v Value) -> Option<&'v Value> {
        let parts = value.as_array()?;
        let plain = matches!(parts.len(), 3 | 4) && parts[1].is_u64() && parts[2].is_u64();
        let known = parts.first()?.as_str().is_some_and(|name| self.by_name.contains_key(name));
        (self.keras < 3 && plain && known).then_some(value)
    }

    fn arguments<'v>(&self, call: &'v Value) -> Args<'v> {
        let mut args = Args::default();
        if let Some(o) = call.as_object().filter(|o| o.contains_key("args")) {
            let positional = o.get("args").and_then(list).into_iter().flatten();
            args.args.extend(positional.map(|v| self.argument(v, 0)));
            if let Some(Value::Object(named)) = o.get("kwargs") {
                args.kwargs.extend(named.iter().map(|(k, v)| (k.clone(), self.argument(v, 0))));
            }
            return args;
        }
        // Before Keras 3: the tensors of the first argument, and what was given by name in the first.
        let named = first_named(call, 0);
        let mut first = match call.as_array().map(Vec::as_slice) {
            Some([one]) => self.argument(one, 0),
            _ => self.argument(call, 0),
        };
        if let Arg::List(items) = &mut first
            && items.len() == 1
        {
            first = items.remove(0);
        }
        args.args.push(first);
        if let Some(Value::Object(named)) = named {
            args.kwargs.extend(named.iter().map(|(k, v)| (k.clone(), self.argument(v, 0))));
        }
        args
    }

    fn argument<'v>(&self, value: &'v Value, depth: usize) -> Arg<'v> {
        if depth > MAX_NESTED {
            return Arg::Const(value);
        }
        if let Some((history, told)) = keras_tensor(value) {
            let spec = match self.key(history) {
                Some(key) => self.spec(key),
                None => told,
            };
            return Arg::Tensor(spec);
        }
        if let Some(reference) = self.reference(value) {
            return Arg::Tensor(self.key(reference).map(|k| self.spec(k)).unwrap_or_default());
        }
        if !self.holds_tensor(value, depth) {
            return Arg::Const(value);
        }
        match value {
            Value::Object(o) => match list(value) {
                Some(items) => Arg::List(items.iter().map(|v| self.argument(v, depth + 1)).collect()),
                None => Arg::Dict(o.iter().map(|(k, v)| (k.clone(), self.argument(v, depth + 1))).collect()),
            },
            Value::Array(items) => Arg::List(items.iter().map(|v| self.argument(v, depth + 1)).collect()),
            _ => Arg::Const(value),
        }
    }

    fn holds_tensor(&self, value: &Value, depth: usize) -> bool {
        if depth > MAX_NESTED {
            return false;
        }
        match value {
            Value::Array(items) => {
                self.reference(value).is_some() || items.iter().any(|v| self.holds_tensor(v, depth + 1))
            }
            Value::Object(o) => {
                keras_tensor(value).is_some() || o.values().any(|v| self.holds_tensor(v, depth + 1))
            }
            _ => false,
        }
    }
}

/// What the first tensor of a call has beside it.
fn first_named(value: &Value, depth: usize) -> Option<&Value> {
    let items = value.as_array().filter(|_| depth < MAX_NESTED)?;
    match items.first()? {
        Value::String(_) => items.get(3),
        first => first_named(first, depth + 1),
    }
}

/// The dtype of floats where layers name none: that of the inputs.
pub(super) fn float_of_inputs(value: &Value) -> Option<DType> {
    let mut todo = vec![value];
    let mut found = None;
    while let Some(value) = todo.pop() {
        if let Some(layer) = Layer::of(value)
            && layer.class == "InputLayer"
            && let Some(dtype) =
                layer.text("dtype").or_else(|| layer.text("input_dtype")).and_then(config::dtype)
            && layers::is_float(dtype)
        {
            if found.is_some_and(|f| f != dtype) {
                return None;
            }
            found = Some(dtype);
        }
        match value {
            Value::Array(items) => todo.extend(items),
            Value::Object(o) => todo.extend(o.values()),
            _ => {}
        }
    }
    found
}

/// The dtype of floats that Keras 3 has where nothing else is told: what it begins with, unless the
/// inputs and layers only know other floats, which is how a model looks whose author changed it.
pub(super) fn default_float(value: &Value) -> Option<DType> {
    let mut todo = vec![value];
    let mut others = false;
    while let Some(value) = todo.pop() {
        // Tensors are written as objects with a class too.
        if let Some(layer) = Layer::of(value).filter(|l| !l.class.starts_with("__"))
            && let Some(policy) = layer.get("dtype").and_then(config::policy)
        {
            if policy.variable == DType::Float32 {
                return Some(DType::Float32);
            }
            others |= layers::is_float(policy.variable) && layer.class != "InputLayer";
        }
        match value {
            Value::Array(items) => todo.extend(items),
            Value::Object(o) => todo.extend(o.values()),
            _ => {}
        }
    }
    (!others).then_some(DType::Float32)
}

/// The least that the second number of the version of Keras 3 can be, by what inputs are told: `ragged`
/// from 3.9 on and `optional` from 3.13 on (keras/src/layers/core/input_layer.py, `get_config`).
pub(super) fn least_minor(value: &Value) -> u32 {
    let mut todo = vec![value];
    let mut least = 0;
    while let Some(value) = todo.pop() {
        if let Some(layer) = Layer::of(value).filter(|l| l.class == "InputLayer") {
            let since =
                [("optional", 13), ("ragged", 9)].into_iter().find(|(k, _)| layer.config.get(*k).is_some());
            least = since.map_or(least, |(_, minor)| least.max(minor));
        }
        match value {
            Value::Array(items) => todo.extend(items),
            Value::Object(o) => todo.extend(o.values()),
            _ => {}
        }
    }
    least
}
