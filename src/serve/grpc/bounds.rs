//! How many parts a request may have, counted on the wire before any of them takes memory.
//!
//! A part of two bytes on the wire can become hundreds in memory: a body within its limit could fill
//! the machine. It is not the check of the contract, which comes later and knows the parts by name.
//!
//! Invariant: what passes becomes messages of at most a small multiple of its size.

use super::wire::{Fields, Value, varint};

/// Dimensions of one tensor.
pub(super) const DIMS: usize = 32;
/// Values of extensions, at each place that can have some.
const PARAMETERS: usize = 64;
/// Inputs or outputs beyond what the model has, so that the contract's check can name them.
const SPARE: usize = 32;

/// How many inputs and outputs the model has.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// What it takes.
    pub(super) inputs: usize,
    /// What it gives.
    pub(super) outputs: usize,
}

impl Bounds {
    /// Counts the parts of a `ModelInferRequest`.
    ///
    /// # Errors
    ///
    /// What there is too much of, or what is broken.
    pub(super) fn check(self, message: &[u8]) -> Result<(), String> {
        let mut parameters = Count::new("parameters", PARAMETERS);
        let mut inputs = Count::new("inputs", self.inputs.saturating_add(SPARE));
        let mut outputs = Count::new("outputs", self.outputs.saturating_add(SPARE));
        let mut raw = Count::new("raw input contents", self.inputs.saturating_add(SPARE));
        let mut fields = Fields::of(message);
        while let Some((number, value)) = fields.next()? {
            match (number, value) {
                (4, _) => parameters.add(1)?,
                (5, Value::Bytes(input)) => {
                    inputs.add(1)?;
                    tensor(input, 4)?;
                }
                (6, Value::Bytes(output)) => {
                    outputs.add(1)?;
                    tensor(output, 2)?;
                }
                (7, _) => raw.add(1)?,
                _ => (),
            }
        }
        Ok(())
    }
}

/// An input, or an output that is wanted, whose parameters have the given number.
fn tensor(message: &[u8], parameters_number: u64) -> Result<(), String> {
    let mut parameters = Count::new("parameters of one tensor", PARAMETERS);
    let mut dims = Count::new("dimensions", DIMS);
    let mut fields = Fields::of(message);
    while let Some((number, value)) = fields.next()? {
        match (number, value) {
            (n, _) if n == parameters_number => parameters.add(1)?,
            (3, Value::Bytes(mut packed)) => {
                while !packed.is_empty() {
                    varint(&mut packed)?;
                    dims.add(1)?;
                }
            }
            (3, _) => dims.add(1)?,
            _ => (),
        }
    }
    Ok(())
}

struct Count {
    what: &'static str,
    most: usize,
    found: usize,
}

impl Count {
    fn new(what: &'static str, most: usize) -> Self {
        Self { what, most, found: 0 }
    }

    fn add(&mut self, n: usize) -> Result<(), String> {
        self.found += n;
        if self.found > self.most {
            return Err(format!("expected at most {} {}, found more", self.most, self.what));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::messages::{
        Choice, InferInputTensor, InferParameter, InferRequestedOutputTensor, ModelInferRequest,
    };
    use super::*;
    use bytes::Bytes;
    use proptest::prelude::*;
    use prost::Message;

    const SMALL: Bounds = Bounds { inputs: 1, outputs: 1 };

    fn check(request: &ModelInferRequest) -> Result<(), String> {
        SMALL.check(&request.encode_to_vec())
    }

    proptest! {
        #[test]
        fn what_passes_stays_small(
            pieces in prop::collection::vec(
                prop_oneof![
                    prop::collection::vec(any::<u8>(), 0..6),
                    Just(b"\x2a\0".to_vec()),
                    Just(b"\x2a\x03\x1a\x01\x01".to_vec()),
                    Just(b"\x32\0".to_vec()),
                    Just(b"\x3a\0".to_vec()),
                    Just(b"\x22\x03\x0a\x01a".to_vec()),
                ],
                0..60,
            ),
        ) {
            let bytes = pieces.concat();
            if let (Ok(()), Ok(request)) = (SMALL.check(&bytes), ModelInferRequest::decode(bytes.as_slice())) {
                prop_assert!(request.inputs.len() <= 33 && request.outputs.len() <= 33);
                prop_assert!(request.raw_input_contents.len() <= 33);
                prop_assert!(request.inputs.iter().all(|i| i.shape.len() <= DIMS));
            }
        }
    }

    #[test]
    fn what_a_caller_sends_passes() {
        let parameter = InferParameter { parameter_choice: Some(Choice::Int64(7)) };
        let request = ModelInferRequest {
            parameters: [("priority".to_owned(), parameter.clone())].into(),
            inputs: vec![InferInputTensor {
                shape: vec![-1; DIMS],
                parameters: [("x".to_owned(), parameter)].into(),
                ..Default::default()
            }],
            outputs: vec![InferRequestedOutputTensor::default()],
            raw_input_contents: vec![Bytes::from_static(b"0123")],
            ..Default::default()
        };
        assert_eq!(check(&request), Ok(()));
    }

    #[test]
    fn parts_that_would_grow_in_memory_are_counted() {
        let many = |n: usize| (0..n).map(|i| (i.to_string(), InferParameter::default())).collect();
        let input = InferInputTensor::default();
        for (request, why) in [
            (ModelInferRequest { inputs: vec![input.clone(); 34], ..Default::default() }, "33 inputs"),
            (
                ModelInferRequest {
                    outputs: vec![InferRequestedOutputTensor::default(); 34],
                    ..Default::default()
                },
                "33 outputs",
            ),
            (
                ModelInferRequest { raw_input_contents: vec![Bytes::new(); 34], ..Default::default() },
                "33 raw input contents",
            ),
            (ModelInferRequest { parameters: many(65), ..Default::default() }, "64 parameters"),
            (
                ModelInferRequest {
                    inputs: vec![InferInputTensor { parameters: many(65), ..input.clone() }],
                    ..Default::default()
                },
                "64 parameters of one tensor",
            ),
            (
                ModelInferRequest {
                    outputs: vec![InferRequestedOutputTensor { parameters: many(65), ..Default::default() }],
                    ..Default::default()
                },
                "64 parameters of one tensor",
            ),
            (
                ModelInferRequest {
                    inputs: vec![InferInputTensor { shape: vec![1; 33], ..input }],
                    ..Default::default()
                },
                "32 dimensions",
            ),
        ] {
            assert_eq!(check(&request).unwrap_err(), format!("expected at most {why}, found more"));
        }
        // Dimensions that are not packed count too.
        let mut unpacked = [0x18, 1].repeat(33);
        let mut message = vec![0x2a, u8::try_from(unpacked.len()).unwrap()];
        message.append(&mut unpacked);
        assert!(SMALL.check(&message).unwrap_err().contains("32 dimensions"));
    }
}
