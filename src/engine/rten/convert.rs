//! Tensors on their way into rten and out of it: one copy each way.
//!
//! Invariant: a number that rten cannot hold never enters; what it holds as int32 leaves as the int64
//! or bool that it stands for.

use bytes::Bytes;
use rten::Value;
use rten_tensor::Tensor as Inner;
use rten_tensor::prelude::*;

use crate::engine::{Data, Failure, Tensor};
use crate::error::show_bytes;
use crate::model::contract::DType;

/// A tensor as rten takes it.
pub(super) fn enter(name: &str, tensor: &Tensor) -> Result<Value, Failure> {
    let Data::Fixed(bytes) = tensor.data() else {
        return Err(Failure::Engine("rten has no strings".into()));
    };
    let shape = tensor.shape();
    let value = match tensor.dtype() {
        DType::Float32 => Value::from_shape(shape, words(bytes, f32::from_le_bytes)).ok(),
        DType::Int32 => Value::from_shape(shape, words(bytes, i32::from_le_bytes)).ok(),
        DType::Int8 => Value::from_shape(shape, words(bytes, i8::from_le_bytes)).ok(),
        DType::UInt8 => Value::from_shape(shape, bytes.to_vec()).ok(),
        DType::Bool => Value::from_shape(shape, words(bytes, |[b]| i32::from(b != 0))).ok(),
        DType::Int64 => {
            let narrow = |bytes| i32::try_from(i64::from_le_bytes(bytes));
            let numbers: Result<Vec<i32>, _> = bytes.as_chunks::<8>().0.iter().copied().map(narrow).collect();
            let Ok(numbers) = numbers else {
                return Err(Failure::Input(format!(
                    "the input `{}` has a number outside the range of int32, beyond which the engine (rten) \
                     does not compute this model",
                    show_bytes(name.as_bytes())
                )));
            };
            Value::from_shape(shape, numbers).ok()
        }
        other => return Err(Failure::Engine(format!("rten has no {other}"))),
    };
    value.ok_or_else(|| Failure::Engine(format!("rten takes no tensor of the shape {shape:?}")))
}

fn words<const N: usize, T>(bytes: &[u8], word: impl Fn([u8; N]) -> T) -> Vec<T> {
    bytes.as_chunks::<N>().0.iter().map(|c| word(*c)).collect()
}

/// A tensor as rten gives it, with the dtype of its port.
pub(super) fn leave(value: Value, want: DType) -> Result<Tensor, String> {
    let found = value.dtype();
    let made = match (value, want) {
        (Value::FloatTensor(t), DType::Float32) => out(&t, want, f32::to_le_bytes),
        (Value::Int32Tensor(t), DType::Int32) => out(&t, want, i32::to_le_bytes),
        (Value::Int32Tensor(t), DType::Int64) => out(&t, want, |n| i64::from(n).to_le_bytes()),
        (Value::Int32Tensor(t), DType::Bool) => out(&t, want, |n| [u8::from(n != 0)]),
        (Value::Int8Tensor(t), DType::Int8) => out(&t, want, i8::to_le_bytes),
        (Value::UInt8Tensor(t), DType::UInt8) => out(&t, want, u8::to_le_bytes),
        _ => return Err(format!("an output is {found}, the model says {want}")),
    };
    made.map_err(|e| e.message().to_owned())
}

fn out<T: Copy, const N: usize>(
    tensor: &Inner<T>,
    dtype: DType,
    word: impl Fn(T) -> [u8; N],
) -> crate::Result<Tensor> {
    let mut bytes = Vec::with_capacity(tensor.len().saturating_mul(N));
    for element in tensor.iter() {
        bytes.extend_from_slice(&word(*element));
    }
    Tensor::fixed(dtype, tensor.shape().to_vec(), Bytes::from(bytes))
}
