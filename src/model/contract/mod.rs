//! The contract: named signatures, each with named, typed, shaped inputs and outputs.
//!
//! It says what a model takes and gives, and how each part of that is known. It is not the set of
//! facts about a model (versions, operators, parameters): those are in [`super::format::Detection`].
//!
//! Invariants: a shape of `None` means that the rank is unknown, an empty shape is a scalar, and a
//! dimension of `None` is unknown; the three are never confused. Names are unique within one side
//! of a signature.

pub mod json;
pub mod protobin;

mod compare;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Kind, Result};

pub use compare::{Comparison, Contradiction, compare};

/// How a name, dtype or shape is known, strongest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Known {
    /// The definition says so.
    Declared,
    /// The file records it.
    Stored,
    /// It follows from recorded facts.
    Derived,
    /// A name or shape that we chose.
    Convention,
    /// Nobody knows.
    Unknown,
}

macro_rules! dtypes {
    ($($(#[$doc:meta])* $variant:ident $name:literal $tf:expr;)*) => {
        /// Element type of a tensor, with numpy's names.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        #[expect(missing_docs, reason = "the variants are the names")]
        pub enum DType { $($(#[$doc])* $variant,)* }

        impl DType {
            /// Every element type.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The name that people see and `contract.json` holds.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// TensorFlow's `DataType` number, which Hydrosphere's protobuf uses too; `None` where
            /// TensorFlow has no such type (tensorflow/core/framework/types.proto).
            pub fn tensorflow(self) -> Option<i32> {
                match self { $(Self::$variant => $tf,)* }
            }
        }
    };
}

dtypes! {
    Float32 "float32" Some(1);
    Float64 "float64" Some(2);
    Int32 "int32" Some(3);
    UInt8 "uint8" Some(4);
    Int16 "int16" Some(5);
    Int8 "int8" Some(6);
    String "string" Some(7);
    Complex64 "complex64" Some(8);
    Int64 "int64" Some(9);
    Bool "bool" Some(10);
    QInt8 "qint8" Some(11);
    QUInt8 "quint8" Some(12);
    QInt32 "qint32" Some(13);
    BFloat16 "bfloat16" Some(14);
    QInt16 "qint16" Some(15);
    QUInt16 "quint16" Some(16);
    UInt16 "uint16" Some(17);
    Complex128 "complex128" Some(18);
    Float16 "float16" Some(19);
    Resource "resource" Some(20);
    Variant "variant" Some(21);
    UInt32 "uint32" Some(22);
    UInt64 "uint64" Some(23);
    Float8E5M2 "float8_e5m2" Some(24);
    Float8E4M3FN "float8_e4m3fn" Some(25);
    Float8E4M3FNUZ "float8_e4m3fnuz" Some(26);
    Float8E4M3B11FNUZ "float8_e4m3b11fnuz" Some(27);
    Float8E5M2FNUZ "float8_e5m2fnuz" Some(28);
    Int4 "int4" Some(29);
    UInt4 "uint4" Some(30);
    Int2 "int2" Some(31);
    UInt2 "uint2" Some(32);
    Float4E2M1 "float4_e2m1fn" None;
    Float8E8M0 "float8_e8m0fnu" None;
    Float6E2M3 "float6_e2m3fn" None;
    Float6E3M2 "float6_e3m2fn" None;
    Object "object" None;
}

impl DType {
    /// The element type with TensorFlow's number; reference types (number over 100) are their target.
    pub fn from_tensorflow(number: i32) -> Option<Self> {
        let number = if number > 100 { number - 100 } else { number };
        Self::ALL.iter().copied().find(|d| d.tensorflow() == Some(number))
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for DType {
    type Err = Error;

    /// Reads numpy's names only; the aliases of definitions are [`super::definition`]'s business.
    fn from_str(s: &str) -> Result<Self> {
        Self::ALL.iter().copied().find(|d| d.name() == s).ok_or_else(|| {
            Error::new(Kind::Model, format!("`{}` is not a dtype", crate::error::show_bytes(s.as_bytes())))
        })
    }
}

impl Serialize for DType {
    fn serialize<S: serde::Serializer>(&self, s: S) -> std::result::Result<S::Ok, S::Error> {
        s.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for DType {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> std::result::Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(|e: Error| serde::de::Error::custom(e.message()))
    }
}

/// Dimensions of a tensor; `None` is a dimension whose size is not fixed or not known.
pub type Shape = Vec<Option<u64>>;

/// How the values of a tensor are laid out, where that is not one dense array.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Encoding {
    /// One array.
    #[default]
    Dense,
    /// Coordinates and values.
    Sparse,
    /// Rows of different lengths.
    Ragged,
    /// A list of tensors.
    Sequence,
    /// Keys to values.
    Map,
    /// A value or nothing.
    Optional,
    /// Something else of the framework's own.
    Composite,
}

/// What a value stands for, in Hydrosphere's words (`hydrosphere.contract.DataProfileType`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the variants are the names")]
pub enum Profile {
    Categorical,
    Nominal,
    Ordinal,
    Numerical,
    Continuous,
    Interval,
    Ratio,
    Image,
    Video,
    Audio,
    Text,
}

/// How the parts of a tensor's description are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Provenance {
    /// Of the name.
    pub name: Known,
    /// Of the dtype.
    pub dtype: Known,
    /// Of the shape.
    pub shape: Known,
}

impl Provenance {
    /// The same for all three.
    pub fn all(known: Known) -> Self {
        Self { name: known, dtype: known, shape: known }
    }
}

/// One column of a tensor whose rows are records.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Element type; `None` where unknown.
    pub dtype: Option<DType>,
    /// Whether a caller may leave it out.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub optional: bool,
}

/// One input or output.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tensor {
    /// Its name.
    pub name: String,
    /// Element type; `None` where unknown, or where there are `fields`.
    pub dtype: Option<DType>,
    /// Shape; `None` where the rank is unknown.
    pub shape: Option<Shape>,
    /// How that is known.
    pub known: Provenance,
    /// Names of dimensions, one per dimension of `shape`; empty where none has a name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dim_names: Vec<Option<String>>,
    /// How the values are laid out.
    #[serde(default, skip_serializing_if = "is_dense")]
    pub encoding: Encoding,
    /// The framework's own words for the type, where numpy's do not suffice: `seq(tensor(float))`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub native_type: Option<String>,
    /// Whether a caller may leave it out.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub optional: bool,
    /// The columns of the last dimension by name, in order; empty where they have no names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub columns: Vec<Column>,
    /// Fields of a structured value, instead of a dtype.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<Self>,
    /// What the value stands for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<Profile>,
}

fn is_dense(e: &Encoding) -> bool {
    *e == Encoding::Dense
}

impl Tensor {
    /// A dense tensor of which everything is known in the same way.
    pub fn new(name: impl Into<String>, dtype: Option<DType>, shape: Option<Shape>, known: Known) -> Self {
        Self {
            name: name.into(),
            dtype,
            shape,
            known: Provenance::all(known),
            dim_names: Vec::new(),
            encoding: Encoding::Dense,
            native_type: None,
            optional: false,
            columns: Vec::new(),
            fields: Vec::new(),
            profile: None,
        }
    }
}

/// One way to call a model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signature {
    /// Its name.
    pub name: String,
    /// How the name is known.
    pub known: Known,
    /// What it takes.
    pub inputs: Vec<Tensor>,
    /// What it gives.
    pub outputs: Vec<Tensor>,
}

/// All ways to call a model.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Contract {
    /// The signatures, the one that serves by default first.
    pub signatures: Vec<Signature>,
}

impl Contract {
    /// The signature that a runtime with room for one gets: `serving_default`, `predict`, the first.
    pub fn default_signature(&self) -> Option<&Signature> {
        ["serving_default", "predict"]
            .iter()
            .find_map(|n| self.signatures.iter().find(|s| s.name == *n))
            .or(self.signatures.first())
    }
}
