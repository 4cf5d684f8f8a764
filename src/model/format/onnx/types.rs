//! ONNX's types: tensors, sequences, maps and optional values of each other.
//!
//! Numbers are those of onnx/onnx.proto, `TypeProto` and `TensorProto.DataType`; the text form
//! (`seq(map(int64,tensor(float)))`) is the one that ONNX Runtime shows.

use std::fmt;

use crate::error::{Error, Kind, Result, show_bytes};
use crate::model::contract::{DType, Encoding, Known, Tensor};
use crate::model::format::{MAX_NAME, MAX_RANK, MAX_TEXT, Reading, Severity};
use crate::model::pb::Message;

/// Element types: number, name in ONNX's words, dtype.
const ELEMENTS: &[(i64, &str, DType)] = &[
    (1, "float", DType::Float32),
    (2, "uint8", DType::UInt8),
    (3, "int8", DType::Int8),
    (4, "uint16", DType::UInt16),
    (5, "int16", DType::Int16),
    (6, "int32", DType::Int32),
    (7, "int64", DType::Int64),
    (8, "string", DType::String),
    (9, "bool", DType::Bool),
    (10, "float16", DType::Float16),
    (11, "double", DType::Float64),
    (12, "uint32", DType::UInt32),
    (13, "uint64", DType::UInt64),
    (14, "complex64", DType::Complex64),
    (15, "complex128", DType::Complex128),
    (16, "bfloat16", DType::BFloat16),
    (17, "float8e4m3fn", DType::Float8E4M3FN),
    (18, "float8e4m3fnuz", DType::Float8E4M3FNUZ),
    (19, "float8e5m2", DType::Float8E5M2),
    (20, "float8e5m2fnuz", DType::Float8E5M2FNUZ),
    (21, "uint4", DType::UInt4),
    (22, "int4", DType::Int4),
    (23, "float4e2m1", DType::Float4E2M1),
    (24, "float8e8m0", DType::Float8E8M0),
    (25, "uint2", DType::UInt2),
    (26, "int2", DType::Int2),
    (27, "float6e2m3", DType::Float6E2M3),
    (28, "float6e3m2", DType::Float6E3M2),
];

/// The dtype with ONNX's number.
pub(crate) fn dtype(number: i64) -> Option<DType> {
    ELEMENTS.iter().find(|(n, ..)| *n == number).map(|(.., d)| *d)
}

/// One dimension.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Dim {
    Size(u64),
    /// Not fixed, but everywhere the same in one graph.
    Named(String),
    Unknown,
}

/// What a value is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Type {
    Tensor {
        elem: Option<DType>,
        shape: Option<Vec<Dim>>,
        sparse: bool,
    },
    Sequence(Box<Self>),
    Map(Option<DType>, Box<Self>),
    Optional(Box<Self>),
    /// Of none of the kinds that we know.
    Other,
}

impl Type {
    /// A dense tensor.
    pub(crate) fn tensor(elem: Option<DType>, shape: Option<Vec<Dim>>) -> Self {
        Self::Tensor { elem, shape, sparse: false }
    }

    /// The dtype of what is innermost.
    fn innermost(&self) -> Option<DType> {
        match self {
            Self::Tensor { elem, .. } => *elem,
            Self::Sequence(inner) | Self::Map(_, inner) | Self::Optional(inner) => inner.innermost(),
            Self::Other => None,
        }
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name =
            |d: &Option<DType>| ELEMENTS.iter().find(|(.., e)| Some(*e) == *d).map_or("?", |(_, n, _)| n);
        match self {
            Self::Tensor { elem, sparse: false, .. } => write!(f, "tensor({})", name(elem)),
            Self::Tensor { elem, sparse: true, .. } => write!(f, "sparse_tensor({})", name(elem)),
            Self::Sequence(inner) => write!(f, "seq({inner})"),
            Self::Map(key, inner) => write!(f, "map({},{inner})", name(key)),
            Self::Optional(inner) => write!(f, "optional({inner})"),
            Self::Other => f.write_str("?"),
        }
    }
}

/// A `ValueInfoProto`: a name and perhaps a type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ValueInfo {
    pub name: String,
    pub ty: Option<Type>,
    /// Negative sizes that were met, which are not legal.
    pub negative: Vec<i64>,
}

/// Reads a `ValueInfoProto`.
pub(crate) fn value_info(mut message: Message<'_>) -> Result<ValueInfo> {
    let mut value = ValueInfo { name: String::new(), ty: None, negative: Vec::new() };
    while let Some(field) = message.next_field()? {
        match field.number {
            1 => value.name = field.text(MAX_TEXT)?,
            2 => value.ty = ty(field.message()?, &mut value.negative)?,
            _ => {}
        }
    }
    Ok(value)
}

/// Reads a `TypeProto`; `None` where it says nothing. The depth of messages bounds the recursion.
pub(crate) fn ty(mut message: Message<'_>, negative: &mut Vec<i64>) -> Result<Option<Type>> {
    let mut found = None;
    while let Some(field) = message.next_field()? {
        match field.number {
            1 | 8 => found = Some(tensor_type(field.message()?, field.number == 8, negative)?),
            4 => found = Some(Type::Sequence(Box::new(inner(field.message()?, 1, negative)?.1))),
            5 => {
                let (key, value) = inner(field.message()?, 2, negative)?;
                found = Some(Type::Map(key, Box::new(value)));
            }
            9 => found = Some(Type::Optional(Box::new(inner(field.message()?, 1, negative)?.1))),
            // An opaque type.
            7 => found = Some(Type::Other),
            _ => {}
        }
    }
    Ok(found)
}

/// The element type of a sequence, an optional or, with its key, of a map.
fn inner(mut message: Message<'_>, at: u32, negative: &mut Vec<i64>) -> Result<(Option<DType>, Type)> {
    let (mut key, mut value) = (None, None);
    while let Some(field) = message.next_field()? {
        match field.number {
            n if n == at => value = ty(field.message()?, negative)?,
            1 => key = dtype(field.int()?),
            _ => {}
        }
    }
    Ok((key, value.unwrap_or(Type::Other)))
}

fn tensor_type(mut message: Message<'_>, sparse: bool, negative: &mut Vec<i64>) -> Result<Type> {
    let (mut elem, mut dims) = (None, None);
    while let Some(field) = message.next_field()? {
        match field.number {
            1 => elem = dtype(field.int()?),
            2 => dims = Some(shape(field.message()?, negative)?),
            _ => {}
        }
    }
    Ok(Type::Tensor { elem, shape: dims, sparse })
}

fn shape(mut message: Message<'_>, negative: &mut Vec<i64>) -> Result<Vec<Dim>> {
    let mut dims = Vec::new();
    while let Some(field) = message.next_field()? {
        if field.number != 1 {
            continue;
        }
        if dims.len() >= MAX_RANK {
            return Err(Error::new(Kind::Model, format!("a shape has more than {MAX_RANK} dimensions")));
        }
        let mut dim = Dim::Unknown;
        let mut inner = field.message()?;
        while let Some(part) = inner.next_field()? {
            match part.number {
                1 => {
                    let size = part.int()?;
                    dim = u64::try_from(size).map_or(Dim::Unknown, Dim::Size);
                    if size < 0 {
                        negative.push(size);
                    }
                }
                2 => {
                    dim =
                        Some(part.text(MAX_NAME)?).filter(|n| !n.is_empty()).map_or(Dim::Unknown, Dim::Named);
                }
                _ => {}
            }
        }
        dims.push(dim);
    }
    Ok(dims)
}

/// The description of a value for the contract.
pub(crate) fn tensor(value: &ValueInfo, known: Known, reading: &mut Reading) -> Tensor {
    for size in &value.negative {
        reading.find(
            Severity::Warning,
            "bad-dimension",
            "",
            format!(
                "`{}` has a dimension of {size}; it is taken as unknown",
                show_bytes(value.name.as_bytes())
            ),
        );
    }
    let mut t = Tensor::new(&value.name, None, None, Known::Unknown);
    t.known.name = known;
    if let Some(ty) = &value.ty {
        describe(&mut t, ty, known);
    }
    t
}

/// Fills what a type says into a tensor of which dtype or shape is not known yet.
pub(crate) fn describe(t: &mut Tensor, ty: &Type, known: Known) {
    if t.dtype.is_none()
        && let Some(dtype) = ty.innermost()
    {
        t.dtype = Some(dtype);
        t.known.dtype = known;
    }
    let (encoding, of) = match ty {
        Type::Tensor { sparse: false, .. } => (Encoding::Dense, Some(ty)),
        Type::Tensor { sparse: true, .. } => (Encoding::Sparse, Some(ty)),
        Type::Sequence(_) => (Encoding::Sequence, None),
        Type::Map(..) => (Encoding::Map, None),
        // What it holds, if it holds anything.
        Type::Optional(inner) => (Encoding::Optional, Some(&**inner)),
        Type::Other => (Encoding::Composite, None),
    };
    if t.encoding == Encoding::Dense {
        t.encoding = encoding;
    }
    if t.encoding != Encoding::Dense {
        t.native_type = Some(ty.to_string());
    }
    if t.shape.is_none()
        && let Some(Type::Tensor { shape: Some(dims), .. }) = of
    {
        t.shape = Some(dims.iter().map(|d| if let Dim::Size(n) = d { Some(*n) } else { None }).collect());
        t.known.shape = known;
        if dims.iter().any(|d| matches!(d, Dim::Named(_))) {
            t.dim_names =
                dims.iter().map(|d| if let Dim::Named(n) = d { Some(n.clone()) } else { None }).collect();
        }
    }
}
