//! TorchScript archives: the methods of the root module as signatures, and its state as tensors.
//!
//! The class of the object in `data.pkl` names the file in `code/` with its source, whose method heads
//! have the names and the types of all arguments (`code.rs`). They have neither dtypes nor shapes: any
//! tensor is a `Tensor`. What a layer at the front needs follows from its weights, and nothing else is
//! said.
//!
//! Invariants: at most [`MAX_CODE`] bytes of source are read; a type that is no tensor has the dtype
//! that TorchScript gives it.

use std::collections::BTreeMap;

use crate::error::{Error, Kind, Result};
use crate::model::contract::{Contract, DType, Encoding, Known, Provenance, Signature, Tensor};
use crate::model::format::pytorch::code::{self, Class, Method, Param, Type};
use crate::model::format::pytorch::tensors;
use crate::model::format::{MAX_ENTRIES, MAX_NAME, Reading, Weight};
use crate::model::pickle::{Id, Pickle};
use crate::model::zip::Archive;

/// How many bytes of source are read of one archive.
const MAX_CODE: u64 = 16 << 20;
/// How deep modules may nest.
const MAX_DEPTH: usize = 64;

/// The classes of an archive by their qualified names, read as they are asked for.
pub(super) struct Library<'a, 's> {
    archive: &'a Archive<'s>,
    root: &'a str,
    files: BTreeMap<String, Vec<Class>>,
    left: u64,
}

impl<'a, 's> Library<'a, 's> {
    pub(super) fn new(archive: &'a Archive<'s>, root: &'a str) -> Self {
        Self { archive, root, files: BTreeMap::new(), left: MAX_CODE }
    }

    /// The class of a module and a name.
    fn class(&mut self, module: &str, name: &str) -> Result<Option<&Class>> {
        if !self.files.contains_key(module) {
            let path = format!("{}code/{}.py", self.root, module.replace('.', "/"));
            let mut classes = Vec::new();
            if let Some(entry) = self.archive.find(&path) {
                let text = self.archive.read(entry, self.left)?;
                self.left -= text.len() as u64;
                classes = code::classes(&String::from_utf8_lossy(&text));
            }
            self.files.insert(module.to_owned(), classes);
        }
        Ok(self.files.get(module).and_then(|c| c.iter().find(|c| c.name == name)))
    }

    /// The class of a qualified name: `__torch__.models.Net`.
    fn qualified(&mut self, name: &str) -> Result<Option<&Class>> {
        match name.rsplit_once('.') {
            Some((module, name)) => self.class(module, name),
            None => Ok(None),
        }
    }
}

/// Reads the contract and the tensors of a program.
pub(super) fn read(archive: &Archive<'_>, root: &str, pickle: &Pickle, reading: &mut Reading) -> Result<()> {
    let mut library = Library::new(archive, root);
    reading.framework = Some("torchscript".to_owned());
    let top = pickle.root().filter(|id| pickle.object(*id).is_some());
    let Some((module, name)) = top.and_then(|id| pickle.class(id)) else {
        return Err(Error::new(Kind::Model, "`data.pkl` of the program holds no module"));
    };
    let (module, name) = (module.to_owned(), name.to_owned());
    reading.fact("class", plain_class(&module, &name));
    let weights = weights(&mut library, pickle, top, reading)?;
    reading.list_weights(weights);
    facts(archive, root, reading);
    let Some(class) = library.class(&module, &name)?.cloned() else {
        if archive.find(&format!("{root}bytecode.pkl")).is_none() {
            reading.warnings.push(format!("the archive has no source of the class `{module}.{name}`"));
        }
        return Ok(());
    };
    let mut signatures = Vec::new();
    for method in class.methods.iter().filter(|m| !m.name.starts_with("__")).take(1000) {
        let mut signature = signature(&mut library, method)?;
        front(&mut library, pickle, top, &class, method, &mut signature)?;
        signatures.push(signature);
    }
    passed_on(pickle, &class, &mut signatures);
    // The method that `model(x)` calls comes first.
    signatures.sort_by_key(|s| s.name != "forward");
    if !signatures.is_empty() {
        reading.contract = Some(Contract { signatures });
    }
    Ok(())
}

/// An argument that a method hands to another method of the module has the type that it has there.
fn passed_on(pickle: &Pickle, class: &Class, signatures: &mut [Signature]) {
    let known: Vec<(String, Tensor)> = signatures
        .iter()
        .filter_map(|s| match s.inputs.as_slice() {
            [only] if only.dtype.is_some() => Some((s.name.clone(), only.clone())),
            _ => None,
        })
        .collect();
    for (signature, method) in signatures.iter_mut().filter_map(|s| {
        let method = class.methods.iter().find(|m| m.name == s.name)?;
        Some((s, method))
    }) {
        for input in signature.inputs.iter_mut().filter(|i| i.dtype.is_none()) {
            if pickle.look((method.body.len() / 8).saturating_mul(known.len() + 1)).is_none() {
                return;
            }
            let assigned = format!("{} = ", input.name);
            if method.body.lines().any(|l| l.trim_start().starts_with(&assigned)) {
                continue;
            }
            let called = |name: &str| method.body.contains(&format!("(self).{name}({}, )", input.name));
            if let Some((_, same)) = known.iter().find(|(name, _)| called(name)) {
                input.dtype = same.dtype;
                input.shape.clone_from(&same.shape);
                input.known.dtype = same.known.dtype;
                input.known.shape = same.known.shape;
            }
        }
    }
}

/// A class as its author named it, without what TorchScript puts around the name.
fn plain_class(module: &str, name: &str) -> String {
    let parts: Vec<&str> = module
        .split('.')
        .filter(|p| *p != "__torch__" && !p.starts_with("___torch_mangle_"))
        .chain([name])
        .collect();
    parts.join(".")
}

fn facts(archive: &Archive<'_>, root: &str, reading: &mut Reading) {
    reading.fact("serialization", "torchscript");
    let extra = format!("{root}extra/");
    let mut names: Vec<&str> = archive
        .entries()
        .iter()
        .filter_map(|e| e.name.strip_prefix(&extra))
        .filter(|n| !n.is_empty())
        .take(1000)
        .collect();
    names.sort_unstable();
    reading.fact("torchscript.extra_files", names);
    if archive.find(&format!("{root}bytecode.pkl")).is_some() {
        reading.fact("torchscript.lite", true);
    }
}

/// Tensors that `state_dict()` would have: parameters and buffers of each module.
fn weights(
    library: &mut Library<'_, '_>,
    pickle: &Pickle,
    top: Option<Id>,
    reading: &mut Reading,
) -> Result<Vec<Weight>> {
    let mut found = Vec::new();
    let mut todo: Vec<(String, Id, usize)> = top.map(|id| (String::new(), id, 0)).into_iter().collect();
    let mut seen = 0usize;
    while let Some((prefix, id, depth)) = todo.pop() {
        seen += 1;
        if seen > MAX_ENTRIES || depth > MAX_DEPTH || found.len() > MAX_ENTRIES {
            reading.warnings.push(format!(
                "the table of weights stops at {MAX_ENTRIES} modules or tensors, or {MAX_DEPTH} modules deep"
            ));
            break;
        }
        let class = match pickle.class(id) {
            Some((module, name)) => {
                library.class(module, name)?.map(|c| (c.parameters.clone(), c.buffers.clone()))
            }
            None => None,
        };
        let listed_names = class.iter().flat_map(|(a, b)| [a, b]).flatten().map(Vec::len).sum::<usize>();
        // The class is looked for among its file's, and its lists are gone through for each tensor.
        if pickle.look(code::MAX_CLASSES / 16 + listed_names).is_none() {
            break;
        }
        // Where the file does not list them, every tensor of a module counts as one.
        let (parameters, buffers) = class.unwrap_or_default();
        // torch 1.4 lists the parameters, and not the buffers.
        let listed = parameters.is_some() && buffers.is_some();
        let counts = |name: &String| {
            !listed || [&parameters, &buffers].iter().any(|l| l.as_ref().is_some_and(|l| l.contains(name)))
        };
        let state = pickle.object(id).and_then(|o| o.state).and_then(|s| pickle.pairs(s)).unwrap_or(&[]);
        let mut below = Vec::new();
        for (name, value) in state {
            if pickle.look(1).is_none() {
                return Ok(Vec::new());
            }
            let Some(name) = tensors::key(pickle, *name) else { continue };
            if let Some(info) = tensors::tensor(pickle, *value) {
                if pickle.look(listed_names).is_none() {
                    return Ok(Vec::new());
                }
                if counts(&name) && prefix.len() + name.len() <= MAX_NAME * 4 {
                    found.push(info.weight(format!("{prefix}{name}")));
                }
            } else if pickle.class(*value).is_some_and(|(module, _)| module.starts_with("__torch__")) {
                below.push((format!("{prefix}{name}."), *value, depth + 1));
            }
        }
        below.truncate(MAX_ENTRIES.saturating_sub(todo.len()));
        todo.extend(below.into_iter().rev());
    }
    Ok(found)
}

fn signature(library: &mut Library<'_, '_>, method: &Method) -> Result<Signature> {
    let mut inputs: Vec<Tensor> = Vec::new();
    for param in &method.params {
        inputs.push(input(param));
    }
    let mut outputs = Vec::new();
    if let Some(kind) = &method.returns {
        returned(library, method, kind, &mut outputs)?;
    }
    Ok(Signature { name: method.name.clone(), known: Known::Stored, inputs, outputs })
}

fn input(param: &Param) -> Tensor {
    let (kind, optional) = param.kind.optional();
    let mut tensor = of_type(&param.name, kind, Known::Stored);
    tensor.native_type = Some(param.kind.to_string());
    tensor.optional = param.default;
    if optional && tensor.encoding == Encoding::Dense {
        tensor.encoding = Encoding::Optional;
    }
    tensor
}

/// A value of a TorchScript type.
fn of_type(name: &str, kind: &Type, how: Known) -> Tensor {
    let mut tensor = Tensor::new(name, None, None, how);
    tensor.known = Provenance { name: how, dtype: Known::Unknown, shape: Known::Unknown };
    tensor.native_type = Some(kind.to_string());
    // An `int` has 64 bits and a `float` is a double (torch/csrc/jit/README, Type System).
    let scalar = match kind.name.as_str() {
        "int" => Some(DType::Int64),
        "float" => Some(DType::Float64),
        "bool" => Some(DType::Bool),
        "str" => Some(DType::String),
        "complex" => Some(DType::Complex128),
        _ => None,
    };
    if let Some(dtype) = scalar {
        tensor.dtype = Some(dtype);
        tensor.shape = Some(Vec::new());
        tensor.known.dtype = Known::Derived;
        tensor.known.shape = Known::Derived;
    }
    tensor.encoding = match kind.name.as_str() {
        "List" | "Tuple" => Encoding::Sequence,
        "Dict" => Encoding::Map,
        "Optional" => Encoding::Optional,
        "Tensor" => Encoding::Dense,
        _ if scalar.is_some() => Encoding::Dense,
        _ => Encoding::Composite,
    };
    tensor
}

/// The outputs of a method: the parts of a tuple, the keys of a dict, or one value.
fn returned(
    library: &mut Library<'_, '_>,
    method: &Method,
    kind: &Type,
    outputs: &mut Vec<Tensor>,
) -> Result<()> {
    if kind.name == "NoneType" {
        return Ok(());
    }
    if kind.name == "Tuple" {
        for (i, part) in kind.args.iter().enumerate() {
            outputs.push(of_type(&format!("output_{i}"), part, Known::Convention));
        }
        return Ok(());
    }
    if kind.name.starts_with("__torch__")
        && let Some(class) = library.qualified(&kind.name)?.filter(|c| c.base == "NamedTuple")
    {
        for (name, part) in &class.attributes {
            outputs.push(of_type(name, part, Known::Stored));
        }
        return Ok(());
    }
    if let ("Dict", [_, part], Some(keys)) =
        (kind.name.as_str(), kind.args.as_slice(), code::returned_keys(method))
    {
        let mut unique: Vec<&String> = keys.iter().collect();
        unique.sort_unstable();
        unique.dedup();
        if unique.len() == keys.len() {
            outputs.extend(keys.iter().map(|key| of_type(key, part, Known::Stored)));
            return Ok(());
        }
    }
    outputs.push(of_type("output", kind, Known::Convention));
    Ok(())
}

/// What a layer to which an argument goes at once needs: the type of its weights.
fn front(
    library: &mut Library<'_, '_>,
    pickle: &Pickle,
    top: Option<Id>,
    class: &Class,
    method: &Method,
    signature: &mut Signature,
) -> Result<()> {
    let Some(top) = top else { return Ok(()) };
    for tensor in signature.inputs.iter_mut().filter(|t| t.native_type.as_deref() == Some("Tensor")) {
        // `(layer).forward(x, )`, where `layer = self.layer` went before.
        if pickle.look(method.body.len() / 8).is_none() {
            return Ok(());
        }
        let call = format!(").forward({}, )", tensor.name);
        let assigned = |line: &str| line.trim_start().starts_with(&format!("{} = ", tensor.name));
        if method.body.lines().any(assigned) {
            continue;
        }
        let Some((before, _)) = method.body.split_once(&call) else { continue };
        let Some((_, local)) = before.rsplit_once('(') else { continue };
        let is_self = method.body.lines().any(|l| l.trim_start() == format!("{local} = self.{local}"));
        if !is_self {
            continue;
        }
        let Some((_, kind)) = class.attributes.iter().find(|(name, _)| name == local) else { continue };
        let Some(layer) = pickle.attr(top, local) else { continue };
        let Some(info) = pickle.attr(layer, "weight").and_then(|w| tensors::tensor(pickle, w)) else {
            continue;
        };
        let Some(own) = kind.name.strip_prefix("__torch__.torch.nn.modules.") else { continue };
        let last = own.rsplit('.').next().unwrap_or(own);
        let dtype: Option<DType> = info.dtype.as_deref().and_then(|d| d.parse().ok());
        let Some(layer_class) = library.qualified(&kind.name)? else { continue };
        let channels = layer_class.constant("in_channels").and_then(|n| u64::try_from(n).ok());
        let rank = match last {
            "Linear" => None,
            "Conv1d" => Some(1),
            "Conv2d" => Some(2),
            "Conv3d" => Some(3),
            _ => continue,
        };
        if dtype.is_none() || info.shape.as_ref().is_none_or(|s| s.len() < 2) {
            continue;
        }
        tensor.dtype = dtype;
        tensor.known.dtype = Known::Derived;
        if let Some(rank) = rank {
            let mut shape = vec![None, channels];
            shape.extend(vec![None; rank]);
            tensor.shape = Some(shape);
            tensor.known.shape = Known::Convention;
        }
    }
    Ok(())
}
