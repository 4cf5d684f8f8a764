//! Tensors on their way into tract and out of it: one copy each way.
//!
//! Numbers are copied as bytes, so that a NaN keeps its bits. Strings are UTF-8 in tract.

use bytes::Bytes;
use tract_onnx::prelude::{DatumType, TValue, Tensor as Inner, TractError, TractResult, tract_ndarray};
use tract_onnx::tract_hir::internal::{SymbolValues, TDim};

use super::told;
use crate::engine::{Data, Failure, Tensor};
use crate::model::contract::DType;

// Both sides hold numbers in the byte order of the machine's: the same.
const _: () = assert!(cfg!(target_endian = "little"), "tensors cross this border as little-endian bytes");

/// tract's name of a dtype.
pub(super) fn datum_type(dtype: DType) -> Option<DatumType> {
    Some(match dtype {
        DType::Bool => DatumType::Bool,
        DType::UInt8 => DatumType::U8,
        DType::UInt16 => DatumType::U16,
        DType::UInt32 => DatumType::U32,
        DType::UInt64 => DatumType::U64,
        DType::Int8 => DatumType::I8,
        DType::Int16 => DatumType::I16,
        DType::Int32 => DatumType::I32,
        DType::Int64 => DatumType::I64,
        DType::Float16 => DatumType::F16,
        DType::Float32 => DatumType::F32,
        DType::Float64 => DatumType::F64,
        DType::String => DatumType::String,
        _ => return None,
    })
}

/// The dtype of what tract computes: quantised numbers are what they are stored as, dimensions int64.
pub(super) fn dtype(of: DatumType) -> Option<DType> {
    Some(match of {
        DatumType::Bool => DType::Bool,
        DatumType::U8 | DatumType::QU8(_) => DType::UInt8,
        DatumType::U16 => DType::UInt16,
        DatumType::U32 => DType::UInt32,
        DatumType::U64 => DType::UInt64,
        DatumType::I8 | DatumType::QI8(_) => DType::Int8,
        DatumType::I16 => DType::Int16,
        DatumType::I32 | DatumType::QI32(_) => DType::Int32,
        DatumType::I64 | DatumType::TDim => DType::Int64,
        DatumType::F16 => DType::Float16,
        DatumType::F32 => DType::Float32,
        DatumType::F64 => DType::Float64,
        DatumType::String => DType::String,
        _ => return None,
    })
}

/// A tensor as tract takes it.
pub(super) fn enter(tensor: &Tensor) -> Result<TValue, Failure> {
    let shape = tensor.shape();
    let engine = |e: TractError| Failure::Engine(told(e));
    let inner = match tensor.data() {
        // A byte that is neither 0 nor 1 must not become a `bool`.
        Data::Fixed(bytes) if tensor.dtype() == DType::Bool => {
            let bools: Vec<bool> = bytes.iter().map(|b| *b != 0).collect();
            Inner::from_shape(shape, &bools).map_err(engine)?
        }
        Data::Fixed(bytes) => {
            let Some(dtype) = datum_type(tensor.dtype()) else {
                return Err(Failure::Engine(format!("tract has no {}", tensor.dtype())));
            };
            let mut inner = Inner::zero_dt(dtype, shape).map_err(engine)?;
            let room = inner.as_bytes_mut();
            if room.len() != bytes.len() {
                let (have, want) = (bytes.len(), room.len());
                return Err(Failure::Engine(format!("{have} bytes were given, tract wants {want}")));
            }
            room.copy_from_slice(bytes);
            inner
        }
        Data::Strings(strings) => {
            let text = |s: &Bytes| std::str::from_utf8(s).map(str::to_owned);
            let strings: Result<Vec<String>, _> = strings.iter().map(text).collect();
            let Ok(strings) = strings else {
                return Err(Failure::Input("a string is not UTF-8, which this model takes".into()));
            };
            let array = tract_ndarray::ArrayD::from_shape_vec(shape, strings);
            array.map_err(|e| Failure::Engine(e.to_string()))?.into()
        }
    };
    Ok(inner.into())
}

/// A tensor as tract gives it, which must have the dtype of its port; dimensions have these sizes.
pub(super) fn leave(value: &TValue, want: DType, sizes: &SymbolValues) -> Result<Tensor, String> {
    let found = value.datum_type();
    if dtype(found) != Some(want) {
        return Err(format!("an output is {found:?}, the model says {want}"));
    }
    let out = || -> TractResult<Tensor> {
        let shape = value.shape().to_vec();
        Ok(match found {
            DatumType::String => {
                let strings = value.to_plain_array_view::<String>()?;
                let strings = strings.iter().map(|s| Bytes::from(s.clone().into_bytes())).collect();
                Tensor::strings(shape, strings)?
            }
            DatumType::TDim => {
                let dims = value.to_plain_array_view::<TDim>()?;
                let numbers = dims.iter().map(|d| d.eval(sizes).to_i64().map_err(TractError::from));
                let numbers = numbers.collect::<TractResult<Vec<i64>>>()?;
                let bytes: Vec<u8> = numbers.into_iter().flat_map(i64::to_le_bytes).collect();
                Tensor::fixed(want, shape, bytes)?
            }
            _ => Tensor::fixed(want, shape, Bytes::copy_from_slice(value.as_bytes()))?,
        })
    };
    out().map_err(told)
}
