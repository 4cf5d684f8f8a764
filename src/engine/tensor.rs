//! A tensor with its values: dtype, shape and data, as it crosses the border of the engine.
//!
//! It is not [`crate::model::contract::Tensor`], which describes one and holds no values.
//! Invariant: the data holds exactly as many elements as the shape says; numbers lie as
//! little-endian bytes in row-major order, which is what the Open Inference Protocol carries too.

use bytes::Bytes;

use crate::error::{Error, Kind, Result};
use crate::model::contract::DType;

/// The values of a tensor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Data {
    /// Elements of a fixed size: little-endian, row-major; a boolean is a byte, 0 or 1.
    Fixed(Bytes),
    /// Strings, row-major; bytes of any kind.
    Strings(Vec<Bytes>),
}

/// A tensor with its values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tensor {
    dtype: DType,
    shape: Vec<usize>,
    data: Data,
}

/// Bytes of one element, for the dtypes that the engine carries as [`Data::Fixed`].
pub fn width(dtype: DType) -> Option<usize> {
    Some(match dtype {
        DType::Bool | DType::Int8 | DType::UInt8 => 1,
        DType::Int16 | DType::UInt16 | DType::Float16 | DType::BFloat16 => 2,
        DType::Int32 | DType::UInt32 | DType::Float32 => 4,
        DType::Int64 | DType::UInt64 | DType::Float64 => 8,
        _ => return None,
    })
}

/// Number of elements of a shape; `None` where it overflows.
pub fn elements(shape: &[usize]) -> Option<usize> {
    shape.iter().try_fold(1usize, |n, d| n.checked_mul(*d))
}

impl Tensor {
    /// A tensor of numbers or booleans.
    ///
    /// # Errors
    ///
    /// When the bytes are not as many as dtype and shape ask, or the dtype has no fixed width.
    pub fn fixed(dtype: DType, shape: Vec<usize>, bytes: impl Into<Bytes>) -> Result<Self> {
        let bytes = bytes.into();
        let wanted = width(dtype).and_then(|w| elements(&shape).and_then(|n| n.checked_mul(w)));
        if wanted != Some(bytes.len()) {
            let wanted = wanted.map_or("no number of".to_owned(), |n| n.to_string());
            return Err(Error::new(
                Kind::Model,
                format!(
                    "a {dtype} tensor of the shape {shape:?} has {wanted} bytes, {} were given",
                    bytes.len()
                ),
            ));
        }
        Ok(Self { dtype, shape, data: Data::Fixed(bytes) })
    }

    /// A tensor of strings.
    ///
    /// # Errors
    ///
    /// When the strings are not as many as the shape asks.
    pub fn strings(shape: Vec<usize>, strings: Vec<Bytes>) -> Result<Self> {
        if elements(&shape) != Some(strings.len()) {
            return Err(Error::new(
                Kind::Model,
                format!("a string tensor of the shape {shape:?} cannot have {} elements", strings.len()),
            ));
        }
        Ok(Self { dtype: DType::String, shape, data: Data::Strings(strings) })
    }

    /// Element type.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// Dimensions.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The values.
    pub fn data(&self) -> &Data {
        &self.data
    }

    /// Takes the values out.
    pub fn into_data(self) -> Data {
        self.data
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_data_must_fit_the_shape() {
        assert!(Tensor::fixed(DType::Float32, vec![2, 3], vec![0; 24]).is_ok());
        assert!(Tensor::fixed(DType::Float32, vec![], vec![0; 4]).is_ok());
        assert!(Tensor::fixed(DType::Float32, vec![0, 7], vec![]).is_ok());
        let e = Tensor::fixed(DType::Float32, vec![2, 3], vec![0; 23]).unwrap_err();
        assert_eq!(e.message(), "a float32 tensor of the shape [2, 3] has 24 bytes, 23 were given");
        assert!(Tensor::fixed(DType::Float32, vec![usize::MAX, 2], vec![]).is_err());
        assert!(Tensor::fixed(DType::String, vec![1], vec![0]).is_err());
        assert!(Tensor::strings(vec![2], vec![Bytes::from_static(b"a")]).is_err());
    }
}
