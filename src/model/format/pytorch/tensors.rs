//! Tensors in PyTorch's pickles: what the calls that rebuild them say about type and shape.
//!
//! A tensor is a call of one of `torch._utils._rebuild_…` with a storage, which is a persistent id,
//! and a size; its dtype follows from the storage's class, or stands in the arguments
//! (torch/_utils.py, torch/_tensor.py `__reduce_ex__`). Numbers are never read.
//!
//! Invariants: calls that wrap one another are followed [`MAX_WRAPS`] deep; a call that is not known
//! gives no tensor, and an argument that is not understood gives an unknown type or shape.

use crate::model::contract::Shape;
use crate::model::format::{MAX_RANK, Weight};
use crate::model::pickle::{Id, Limits, Node, Object, Pickle, Text, read};

/// How deep rebuilding calls may wrap one another: a parameter of a subclass of a tensor.
const MAX_WRAPS: usize = 16;

/// Type and shape of a tensor.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Info {
    /// The type of its elements, with numpy's names where numpy has one.
    pub dtype: Option<String>,
    /// Its shape; `None` where the rank is unknown.
    pub shape: Option<Shape>,
    /// How its elements lie, where that is not one dense array.
    pub layout: Option<&'static str>,
}

impl Info {
    /// As a row of the table of weights.
    pub(crate) fn weight(self, name: String) -> Weight {
        Weight { name, dtype: self.dtype, shape: self.shape }
    }
}

/// The tensor that a node would become; `None` where it is none.
pub(crate) fn tensor(pickle: &Pickle, id: Id) -> Option<Info> {
    let mut id = id;
    for _ in 0..MAX_WRAPS {
        let object = pickle.object(id)?;
        let (module, name) = pickle.global(object.class)?;
        let args = object.args.and_then(|a| pickle.elements(a)).unwrap_or(&[]);
        let (mut name, mut args) = (name, args);
        if !rebuilds(module) {
            return None;
        }
        if matches!(name, "_rebuild_from_type_v2" | "_rebuild_from_type") {
            // The function that rebuilds, the class, and the arguments of the function.
            name = pickle.global(*args.first()?)?.1;
            args = pickle.elements(*args.get(2)?)?;
        }
        match name {
            "_rebuild_parameter" | "_rebuild_parameter_with_state" => id = *args.first()?,
            "_rebuild_device_tensor_from_cpu_tensor" => id = *args.first()?,
            _ => return rebuilt(pickle, name, args),
        }
    }
    None
}

/// Whether a module has functions that rebuild tensors.
fn rebuilds(module: &str) -> bool {
    matches!(module, "torch._utils" | "torch._tensor" | "torch.tensor" | "torch.nn.parameter")
}

fn rebuilt(pickle: &Pickle, name: &str, args: &[Id]) -> Option<Info> {
    let at = |i: usize| args.get(i).copied();
    let storage_type = |i| at(i).and_then(|id| storage(pickle, id));
    let size = |i| at(i).and_then(|id| size(pickle, id));
    let named = |i| at(i).and_then(|id| dtype(pickle, id));
    let dense = |dtype, shape| Some(Info { dtype, shape, layout: None });
    match name {
        "_rebuild_tensor" | "_rebuild_tensor_v2" => dense(storage_type(0), size(2)),
        "_rebuild_tensor_v3" => dense(named(6), size(2)),
        "_rebuild_qtensor" => {
            Some(Info { dtype: storage_type(0), shape: size(2), layout: Some("quantized") })
        }
        "_rebuild_meta_tensor_no_storage" => dense(named(0), size(1)),
        "_rebuild_wrapper_subclass" => dense(named(1), size(2)),
        "_rebuild_device_tensor_from_numpy" | "_rebuild_xla_tensor" => {
            let shape =
                at(0).and_then(|id| pickle.array(id)).map(|a| a.shape.iter().map(|d| Some(*d)).collect());
            dense(named(1), shape)
        }
        "_rebuild_sparse_tensor" | "_rebuild_sparse_csr_tensor" => {
            // Layout, and the parts: the values' type is the tensor's, the size stands behind them.
            let parts = at(1).and_then(|id| pickle.elements(id)).unwrap_or(&[]);
            let compressed = at(0).is_some_and(|id| !is_coo(pickle, id));
            let (values, sizes) = if compressed { (2, 3) } else { (1, 2) };
            Some(Info {
                dtype: parts.get(values).and_then(|v| tensor_once(pickle, *v)),
                shape: parts.get(sizes).and_then(|s| self::size(pickle, *s)),
                layout: Some(if compressed { "sparse_csr" } else { "sparse_coo" }),
            })
        }
        "_rebuild_nested_tensor" => Some(Info {
            dtype: at(0).and_then(|id| tensor_once(pickle, id)),
            shape: None,
            layout: Some("nested"),
        }),
        _ => None,
    }
}

/// The dtype of a part, which is a plain tensor: no part has parts again.
fn tensor_once(pickle: &Pickle, id: Id) -> Option<String> {
    let object = pickle.object(id)?;
    let (_, name) = pickle.global(object.class)?;
    let args = pickle.elements(object.args?)?;
    match name {
        "_rebuild_tensor" | "_rebuild_tensor_v2" => storage(pickle, *args.first()?),
        "_rebuild_tensor_v3" => dtype(pickle, *args.get(6)?),
        _ => None,
    }
}

/// Whether a layout is that of coordinates; it is pickled as a call with its name.
fn is_coo(pickle: &Pickle, id: Id) -> bool {
    let named = match pickle.object(id) {
        Some(o) => o.args.and_then(|a| pickle.elements(a)).and_then(|a| pickle.str(*a.first()?)),
        None => pickle.global(id).map(|(_, name)| name),
    };
    named.is_some_and(|n| n.ends_with("sparse_coo"))
}

/// A size: a tuple of integers, or a `torch.Size` of one.
fn size(pickle: &Pickle, id: Id) -> Option<Shape> {
    let dims = match pickle.elements(id) {
        Some(dims) => dims,
        None => pickle.elements(*pickle.elements(pickle.object(id)?.args?)?.first()?)?,
    };
    if dims.len() > MAX_RANK {
        return None;
    }
    dims.iter().map(|d| pickle.int(*d).and_then(|n| u64::try_from(n).ok()).map(Some)).collect()
}

/// The type of a storage: of a persistent id, or of one that is a pickle within the pickle.
fn storage(pickle: &Pickle, id: Id) -> Option<String> {
    match pickle.node(id) {
        Node::Persistent(id) => {
            let parts = pickle.elements(*id)?;
            if pickle.str(*parts.first()?)? != "storage" {
                return None;
            }
            let (_, class) = pickle.global(*parts.get(1)?)?;
            storage_dtype(class).map(str::to_owned)
        }
        Node::Object(o) => nested(pickle, o),
        _ => None,
    }
}

/// `torch.storage._load_from_bytes`: a whole legacy file in a byte string, holding one storage; or a
/// `TypedStorage` with its type in an attribute.
fn nested(pickle: &Pickle, object: &Object) -> Option<String> {
    let (module, name) = pickle.global(object.class)?;
    let args = object.args.and_then(|a| pickle.elements(a)).unwrap_or(&[]);
    match (module, name) {
        ("torch.storage", "_load_from_bytes") => {
            // What is too long to be kept is known to hold numbers, and not what type they have.
            let Node::Bytes(Text::Here(bytes)) = pickle.node(*args.first()?) else { return None };
            let objects = super::legacy::objects(bytes)?;
            let limits = Limits { steps: 10_000, nodes: 1_000, bytes: 64 << 10, ..Limits::default() };
            let read = read(bytes, objects, &limits).ok()?;
            storage(&read.pickle, read.pickle.root()?).filter(|_| is_persistent(&read.pickle))
        }
        _ => None,
    }
}

/// Whether the result is a persistent id: a storage inside of bytes does not hold bytes again.
fn is_persistent(pickle: &Pickle) -> bool {
    pickle.root().is_some_and(|id| matches!(pickle.node(id), Node::Persistent(_)))
}

/// A dtype that is written as the global `torch.float8_e4m3fn`.
fn dtype(pickle: &Pickle, id: Id) -> Option<String> {
    let (_, name) = pickle.global(id)?;
    dtype_name(name).map(str::to_owned)
}

/// Numpy's name of one of PyTorch's dtypes (torch/csrc/utils/tensor_dtypes.cpp).
pub(crate) fn dtype_name(name: &str) -> Option<&'static str> {
    Some(match name {
        "float32" | "float" => "float32",
        "float64" | "double" => "float64",
        "float16" | "half" => "float16",
        "bfloat16" => "bfloat16",
        "int64" | "long" => "int64",
        "int32" | "int" => "int32",
        "int16" | "short" => "int16",
        "int8" => "int8",
        "uint8" => "uint8",
        "uint16" => "uint16",
        "uint32" => "uint32",
        "uint64" => "uint64",
        "bool" => "bool",
        "complex64" | "cfloat" => "complex64",
        "complex128" | "cdouble" => "complex128",
        "complex32" | "chalf" => "complex32",
        "qint8" => "qint8",
        "quint8" => "quint8",
        "qint32" => "qint32",
        "quint4x2" => "quint4x2",
        "quint2x4" => "quint2x4",
        "float8_e4m3fn" => "float8_e4m3fn",
        "float8_e5m2" => "float8_e5m2",
        "float8_e4m3fnuz" => "float8_e4m3fnuz",
        "float8_e5m2fnuz" => "float8_e5m2fnuz",
        "float8_e8m0fnu" => "float8_e8m0fnu",
        "float4_e2m1fn_x2" => "float4_e2m1fn_x2",
        _ => return None,
    })
}

/// The type of the numbers in a storage (torch/storage.py, `_dtype_to_storage_type_map`).
fn storage_dtype(class: &str) -> Option<&'static str> {
    Some(match class {
        "FloatStorage" => "float32",
        "DoubleStorage" => "float64",
        "HalfStorage" => "float16",
        "BFloat16Storage" => "bfloat16",
        "LongStorage" => "int64",
        "IntStorage" => "int32",
        "ShortStorage" => "int16",
        "CharStorage" => "int8",
        "ByteStorage" => "uint8",
        "BoolStorage" => "bool",
        "ComplexFloatStorage" => "complex64",
        "ComplexDoubleStorage" => "complex128",
        "QInt8Storage" => "qint8",
        "QUInt8Storage" => "quint8",
        "QInt32Storage" => "qint32",
        "QUInt4x2Storage" => "quint4x2",
        "QUInt2x4Storage" => "quint2x4",
        // An `UntypedStorage` has no type of its own.
        _ => return None,
    })
}

/// How many bytes an element of a storage has.
pub(super) fn storage_item(class: &str) -> Option<u64> {
    Some(match storage_dtype(class)? {
        "bool" | "int8" | "uint8" | "qint8" | "quint8" => 1,
        "float16" | "bfloat16" | "int16" => 2,
        "float32" | "int32" | "qint32" => 4,
        "float64" | "int64" | "complex64" => 8,
        "complex128" => 16,
        _ => return None,
    })
}

/// The name of an attribute or a key, as state dicts name tensors.
pub(crate) fn key(pickle: &Pickle, id: Id) -> Option<String> {
    match pickle.node(id) {
        Node::Int(n) => Some(n.to_string()),
        _ => {
            let name = pickle.str(id)?;
            pickle.copy(name.len())?;
            Some(name.to_owned())
        }
    }
}
