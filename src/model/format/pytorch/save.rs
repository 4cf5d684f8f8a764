//! What `torch.save` wrote: a table of tensors, a checkpoint around one, or whole modules.

use serde_json::{Map, Value};

use crate::error::{Error, Kind, Result};
use crate::model::contract::{Contract, Known, Provenance, Signature, Tensor};
use crate::model::format::pytorch::modules::{self, Table};
use crate::model::format::pytorch::sequence::{self, Chain};
use crate::model::format::{MAX_NAME, Reading};
use crate::model::pb::Source;
use crate::model::pickle::{Id, Node, Pickle, Read};
use crate::model::zip::Archive;

/// The most entries of one fact.
const MAX_LIST: usize = 200;

/// The pickle of an archive.
pub(crate) fn data<'s>(archive: &Archive<'s>, root: &str, budget: u64) -> Result<Box<dyn Source + 's>> {
    let name = format!("{root}data.pkl");
    let entry = archive
        .find(&name)
        .ok_or_else(|| Error::new(Kind::Model, format!("the zip archive has no `{name}`")))?;
    Ok(match archive.stored(entry)? {
        Some(section) => Box::new(section),
        None => Box::new(archive.read(entry, budget)?),
    })
}

/// Takes fastai's list out of the uses: `learn.save` leaves it in the state of the optimizer.
pub(crate) fn forgive(read: &mut Read) {
    read.uses.retain(|one| (one.module.as_str(), one.name.as_str()) != ("fastcore.foundation", "L"));
}

/// Says at which limit the reading of a pickle stopped.
pub(crate) fn limit(read: &Read, reading: &mut Reading) {
    if let Some(why) = &read.stopped {
        reading.warnings.push(format!("the pickle was not read to its end: {why}"));
    }
}

/// Reads what was saved.
pub(crate) fn read(read: &Read, serialization: &str, reading: &mut Reading) -> Result<()> {
    let pickle = &read.pickle;
    limit(read, reading);
    reading.fact("serialization", serialization);
    reading.fact("pickle_protocol", read.protocol);
    let Some(root) = pickle.root() else { return Ok(()) };
    pickle.ask(reading, |reading| {
        object(pickle, root, reading);
        Ok(())
    })
}

fn object(pickle: &Pickle, root: Id, reading: &mut Reading) {
    if modules::is_module(pickle, root) {
        module(pickle, root, reading);
        return;
    }
    checkpoint(pickle, root, reading);
    let Some((table, inner)) = modules::table(pickle, root) else { return };
    reading.fact("pytorch.state_dict_key", table.key.clone());
    if let Some(inner) = inner {
        module(pickle, inner, reading);
    }
    let layouts: Map<String, Value> =
        table.layouts.iter().map(|(name, n)| ((*name).to_owned(), Value::from(*n))).collect();
    reading.fact("pytorch.layouts", layouts);
    cut(table.cut, reading);
    hints(&table, reading);
    reading.list_weights(table.weights);
}

fn cut(cut: bool, reading: &mut Reading) {
    if cut {
        reading.warnings.push(
            "the table of weights is not complete: it has more tensors or longer names than are listed"
                .to_owned(),
        );
    }
}

/// What the first and the last matrix of a table suggest about input and output; it is a hint and no
/// contract, since the order in the table need not be the order of the computation.
fn hints(table: &Table, reading: &mut Reading) {
    let matrix = |w: &&crate::model::format::Weight| {
        w.name.ends_with("weight") && w.shape.as_ref().is_some_and(|s| s.len() >= 2)
    };
    let dim = |w: &crate::model::format::Weight, i: usize| {
        w.shape.as_ref().and_then(|s| s.get(i).copied().flatten())
    };
    if let Some(n) = table.weights.iter().find(matrix).and_then(|w| dim(w, 1)) {
        reading.fact("pytorch.hint.inputs", n);
    }
    if let Some(n) = table.weights.iter().rev().find(matrix).and_then(|w| dim(w, 0)) {
        reading.fact("pytorch.hint.outputs", n);
    }
}

/// What stands beside the weights in a checkpoint.
fn checkpoint(pickle: &Pickle, root: Id, reading: &mut Reading) {
    let number = |key: &str| pickle.get(root, key).and_then(|v| pickle.int(v));
    reading.fact("epoch", number("epoch"));
    reading.fact("global_step", number("global_step"));
    if let Some(version) = pickle.get(root, "pytorch-lightning_version").and_then(|v| pickle.str(v)) {
        if version.len() <= MAX_NAME {
            reading.fact("lightning", version);
        }
        let settings = pickle.get(root, "hyper_parameters").map(|h| settings(pickle, h));
        reading.fact("hyper_parameters", settings);
    }
    let plain: Vec<&str> = pickle
        .pairs(root)
        .unwrap_or(&[])
        .iter()
        .filter(|(_, v)| super::tensors::tensor(pickle, *v).is_none())
        .filter_map(|(k, _)| pickle.str(*k))
        .filter(|k| k.len() <= MAX_NAME)
        .take(MAX_LIST)
        .collect();
    reading.fact("pytorch.keys", plain);
}

/// The plain values of a dict.
fn settings(pickle: &Pickle, id: Id) -> Map<String, Value> {
    let mut found = Map::new();
    for (key, value) in pickle.pairs(id).unwrap_or(&[]).iter().take(MAX_LIST) {
        let Some(key) = pickle.str(*key).filter(|k| k.len() <= MAX_NAME) else { continue };
        let value = match pickle.node(*value) {
            Node::Bool(b) => Value::from(*b),
            Node::Int(n) => Value::from(*n),
            Node::Float(x) => Value::from(*x),
            _ => match pickle.str(*value) {
                Some(s) if s.len() <= MAX_NAME => Value::from(s),
                _ => continue,
            },
        };
        found.insert(key.to_owned(), value);
    }
    found
}

/// A whole module: its tree, and what goes in and out where it is a chain of known layers.
pub(crate) fn module(pickle: &Pickle, root: Id, reading: &mut Reading) {
    let walk = modules::walk(pickle, root);
    reading.fact("class", modules::class(pickle, root).map(|(module, name)| format!("{module}.{name}")));
    let classes: Map<String, Value> =
        walk.classes.iter().take(MAX_LIST).map(|(name, n)| (name.clone(), Value::from(*n))).collect();
    reading.fact("pytorch.modules", classes);
    cut(walk.cut, reading);
    reading.list_weights(walk.weights);
    let chain = sequence::layers(pickle, root).and_then(|layers| sequence::chain(pickle, &layers));
    if let Some(chain) = chain {
        reading.contract = Some(Contract { signatures: vec![forward(&chain)] });
    }
}

/// The signature of a module that is a chain.
fn forward(chain: &Chain) -> Signature {
    let tensor = |name: &str, value: &sequence::Value| {
        let how = |known: bool| {
            if known { Known::Derived } else { Known::Unknown }
        };
        let mut t = Tensor::new(name, value.dtype, value.shape.clone(), Known::Derived);
        t.known = Provenance {
            name: Known::Convention,
            dtype: how(value.dtype.is_some()),
            shape: how(value.shape.is_some()),
        };
        t
    };
    Signature {
        name: "forward".to_owned(),
        known: Known::Derived,
        inputs: vec![tensor("input", &chain.input)],
        outputs: vec![tensor("output", &chain.output)],
    }
}
