//! What every Learner has: a model, data loaders with their transforms, a vocabulary.
//!
//! Names of attributes are those of fastai 2 (fastai/learner.py, data/core.py, data/transforms.py).
//!
//! Invariants: an attribute that is not there, or is of another class than fastai's own, tells
//! nothing; lists are read up to a limit.

use serde_json::Value;

use crate::model::contract::{Contract, DType, Known, Provenance, Shape, Signature, Tensor};
use crate::model::format::fastai::tabular;
use crate::model::format::pytorch::{module, modules, sequence};
use crate::model::format::{MAX_NAME, MAX_TEXT, Reading};
use crate::model::pickle::{Id, Node, Pickle};

/// The most classes that are listed.
const MAX_CLASSES: usize = 10_000;

/// Reads a Learner.
pub(super) fn read(pickle: &Pickle, root: Id, reading: &mut Reading) {
    let class = modules::class(pickle, root).map(|(module, name)| format!("{module}.{name}"));
    let model = pickle.attr(root, "model").filter(|m| modules::is_module(pickle, *m));
    if let Some(model) = model {
        module(pickle, model, reading);
        let class = reading.facts.remove("class");
        reading.fact("fastai.model", class);
    }
    reading.fact("class", class);
    // What the chain of layers told is one of the signatures that follow.
    let chain = reading.contract.take().and_then(|c| c.signatures.into_iter().next());
    let loss = pickle.attr(root, "loss_func").and_then(|l| name_of(pickle, l));
    reading.fact("fastai.loss", loss);
    let Some(loaders) = pickle.attr(root, "dls") else {
        reading.warnings.push("the Learner has no data loaders, so that only its model is known".to_owned());
        finish(&[], chain, reading);
        return;
    };
    let loader =
        pickle.attr(loaders, "loaders").and_then(|l| list(pickle, l)).and_then(|l| l.first().copied());
    let Some(loader) = loader else {
        finish(&[], chain, reading);
        return;
    };
    if let Some(data) = pickle.attr(loader, "dataset").filter(|d| pickle.attr(*d, "cat_names").is_some()) {
        let signatures = tabular::read(pickle, data, model, reading);
        reading.contract = Some(Contract { signatures }).filter(|c| !c.signatures.is_empty());
        return;
    }
    let transforms = transforms(pickle, loader);
    let classes = transforms.iter().find_map(|t| {
        let (module, name) = modules::class(pickle, *t)?;
        let own = module == "fastai.data.transforms"
            && matches!(name, "Categorize" | "MultiCategorize" | "EncodedMultiCategorize");
        own.then(|| pickle.attr(*t, "vocab")).flatten().and_then(|v| categories(pickle, v))
    });
    let count = classes.as_ref().map(Vec::len);
    reading.fact("classes", classes);
    let image = image(pickle, &transforms, reading);
    text(pickle, &transforms, reading);
    finish(&image, chain.or_else(|| model.and_then(|m| body(pickle, m))), reading);
    // Layers of fastai's and PyTorch's own keep the type.
    let own = model.is_some_and(|m| {
        modules::walk(pickle, m).classes.keys().all(|c| OWN.iter().any(|p| c.starts_with(p)))
    });
    outputs(own, loss, count, reading);
}

/// What the output must be where the layers do not tell: as many numbers as classes, of the input's type.
fn outputs(own: bool, loss: Option<&str>, classes: Option<usize>, reading: &mut Reading) {
    let known = loss.is_some_and(|l| matches!(l, "CrossEntropyLossFlat" | "CrossEntropyLoss"));
    let Some(contract) = &mut reading.contract else { return };
    for signature in &mut contract.signatures {
        let float = signature.inputs.iter().find_map(|i| i.dtype.filter(|d| *d != DType::Int64));
        for output in &mut signature.outputs {
            if output.dtype.is_none() && own && float.is_some() {
                output.dtype = float;
                output.known.dtype = Known::Derived;
            }
            // The loss takes one row of numbers for each image, unless the target is an image too.
            if let Some(classes) = classes.filter(|_| known && own && output.shape.is_none()) {
                output.shape = Some(vec![None, Some(classes as u64)]);
                output.known.shape = Known::Derived;
            }
        }
    }
}

/// The signature of the model's own `forward`, with what is known of its input from the pipeline.
fn finish(shape: &[Option<u64>], chain: Option<Signature>, reading: &mut Reading) {
    let Some(mut signature) = chain else { return };
    signature.name = "model.forward".to_owned();
    signature.known = Known::Derived;
    if let (Some(input), [height, width]) = (signature.inputs.first_mut(), shape)
        && let Some([_, _, h, w]) = input.shape.as_deref_mut()
    {
        *h = *height;
        *w = *width;
    }
    reading.contract = Some(Contract { signatures: vec![signature] });
}

/// The input of a model whose first layers are a chain, as the body of a vision learner is: what the
/// whole gives does not follow.
fn body(pickle: &Pickle, model: Id) -> Option<Signature> {
    let mut id = model;
    for _ in 0..32 {
        if sequence::is_sequential(pickle, id) {
            id = modules::children(pickle, id).first()?.1;
            continue;
        }
        // A module of fastai's that puts its layers one after the other, with a convolution first.
        break;
    }
    let chain = sequence::chain(pickle, &[id])?;
    let input = derived("input", Known::Convention, chain.input.dtype, chain.input.shape);
    let output = derived("output", Known::Convention, None, None);
    Some(Signature {
        name: "model.forward".to_owned(),
        known: Known::Derived,
        inputs: vec![input],
        outputs: vec![output],
    })
}

/// Where the classes of fastai's own models are defined.
const OWN: &[&str] = &["torch.nn.modules.", "torchvision.models.", "fastai."];

fn known(is: bool) -> Known {
    if is { Known::Derived } else { Known::Unknown }
}

/// Height and width of the images, which the pipeline's transforms say.
fn image(pickle: &Pickle, transforms: &[Id], reading: &mut Reading) -> Vec<Option<u64>> {
    let mut size = Vec::new();
    for id in transforms {
        let Some((module, name)) = modules::class(pickle, *id) else { continue };
        if !(module.starts_with("fastai.") || module.starts_with("fasttransform.")) {
            // What a transform of somebody else makes of an image is not known.
            size.clear();
            continue;
        }
        let own = pickle.attr(*id, "size").filter(|s| !pickle.is_none(*s));
        match (name, own) {
            // They keep what was given as height and width the other way round, as PIL wants it
            // (fastai/vision/augment.py, `_process_sz`).
            ("Resize" | "RandomResizedCrop" | "CropPad", Some(own)) => {
                size = pair(pickle, own).map(|[w, h]| vec![Some(h), Some(w)]).unwrap_or_default();
            }
            ("Normalize", _) => reading.fact("fastai.normalized", true),
            (_, Some(own)) => {
                let square = pair(pickle, own).filter(|[a, b]| a == b);
                size = square.map(|[a, b]| vec![Some(a), Some(b)]).unwrap_or_default();
            }
            _ => {}
        }
    }
    let plain: Option<Vec<u64>> = size.iter().copied().collect();
    reading.fact("fastai.image_size", plain);
    size
}

/// Two numbers; one stands for both. fastai keeps them as a tuple of its own class.
fn pair(pickle: &Pickle, id: Id) -> Option<[u64; 2]> {
    let number = |id: Id| pickle.int(id).and_then(|n| u64::try_from(n).ok());
    if let Some(n) = number(id) {
        return Some([n, n]);
    }
    let both = match pickle.object(id) {
        Some(o) => pickle.elements(o.args.and_then(|a| pickle.elements(a))?.first().copied()?),
        None => pickle.elements(id),
    };
    match both? {
        [a, b] => Some([number(*a)?, number(*b)?]),
        _ => None,
    }
}

/// The vocabulary and the length of what a text learner reads.
fn text(pickle: &Pickle, transforms: &[Id], reading: &mut Reading) {
    for id in transforms {
        let Some(("fastai.text.data", "Numericalize")) = modules::class(pickle, *id) else { continue };
        if let Some(vocab) = pickle.attr(*id, "vocab").and_then(|v| list(pickle, v)) {
            reading.fact("fastai.vocabulary", vocab.len());
        }
    }
}

/// The transforms of a loader and of its data set, in the order in which they run.
fn transforms(pickle: &Pickle, loader: Id) -> Vec<Id> {
    let mut found = Vec::new();
    let mut add = |pipeline: Option<Id>| {
        let all = pipeline.and_then(|p| pickle.attr(p, "fs")).and_then(|l| list(pickle, l)).unwrap_or(&[]);
        found.extend(all.iter().take(1000));
    };
    // `Datasets.tls` is a list of lists of transforms: of the items, and of the targets.
    let data = pickle.attr(loader, "dataset");
    let lists = data.and_then(|d| pickle.attr(d, "tls")).and_then(|l| list(pickle, l)).unwrap_or(&[]);
    for one in lists.iter().take(64) {
        add(pickle.attr(*one, "tfms"));
    }
    for name in ["after_item", "before_batch", "after_batch"] {
        add(pickle.attr(loader, name));
    }
    found
}

/// The elements of a list, or of fastcore's `L` around one.
pub(super) fn list(pickle: &Pickle, id: Id) -> Option<&[Id]> {
    match modules::class(pickle, id) {
        Some((_, "L" | "CategoryMap" | "TfmdLists")) => {
            let inner = pickle.attr(id, "items")?;
            if modules::class(pickle, inner).is_some() {
                return pickle.attr(inner, "items").and_then(|i| pickle.elements(i));
            }
            pickle.elements(inner)
        }
        _ => pickle.elements(id),
    }
}

/// The values of a vocabulary.
pub(super) fn categories(pickle: &Pickle, id: Id) -> Option<Vec<Value>> {
    let values = list(pickle, id)?;
    let mut length = 0;
    let mut found = Vec::new();
    pickle.look(values.len())?;
    for id in values.iter().take(MAX_CLASSES) {
        let value = match pickle.node(*id) {
            Node::Bool(b) => Value::from(*b),
            Node::Float(x) => Value::from(*x),
            Node::Array(a) if a.is_bool() => Value::from(a.scalar_int()? != 0),
            _ => match (pickle.int(*id), pickle.str(*id)) {
                (Some(n), _) => Value::from(n),
                (_, Some(s)) => {
                    length += s.len();
                    pickle.copy(s.len())?;
                    Value::from(s)
                }
                _ => pickle.float(*id).map(Value::from)?,
            },
        };
        found.push(value);
        if length > MAX_TEXT {
            return None;
        }
    }
    (values.len() <= MAX_CLASSES).then_some(found)
}

/// Names of columns.
pub(super) fn names(pickle: &Pickle, id: Id) -> Option<Vec<String>> {
    let names = list(pickle, id)?;
    pickle.look(names.len())?;
    names
        .iter()
        .filter(|n| pickle.copy(pickle.str(**n).map_or(0, str::len)).is_some())
        .map(|n| pickle.str(*n).filter(|n| n.len() <= MAX_NAME).map(str::to_owned))
        .collect()
}

/// The name of a class or function, or of the class of an object.
fn name_of(pickle: &Pickle, id: Id) -> Option<&str> {
    modules::class(pickle, id).or_else(|| pickle.global(id)).map(|(_, name)| name)
}

/// An input or output by rule.
pub(super) fn derived(name: &str, how: Known, dtype: Option<DType>, shape: Option<Shape>) -> Tensor {
    let mut t = Tensor::new(name, dtype, shape, how);
    t.known = Provenance { name: how, dtype: known(t.dtype.is_some()), shape: known(t.shape.is_some()) };
    t
}

/// A Learner of fastai 1: a dict with the model and the data's own state.
pub(super) fn first_version(pickle: &Pickle, reading: &mut Reading) {
    reading.fact("serialization", "legacy");
    reading.fact("fastai.generation", 1);
    let Some(root) = pickle.root() else { return };
    if let Some(model) = pickle.get(root, "model").filter(|m| modules::is_module(pickle, *m)) {
        module(pickle, model, reading);
        reading.contract = None;
    }
    reading.warnings.push(
        "the Learner is one of fastai 1, of which only the weights are read; export it again with fastai 2, or declare its contract"
            .to_owned(),
    );
}
