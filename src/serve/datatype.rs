//! The protocol's words for element types: `FP32`, `BYTES`.
//!
//! They are words of the wire alone; people and contracts have numpy's (`float32`), which are
//! [`DType`]'s own. Source: the Open Inference Protocol, version 2, "Tensor Data Types"; `BF16` is
//! an addition that its servers share.
//!
//! Invariant: no two element types have one word, and [`parse`] undoes [`word`].

use crate::model::contract::DType;

/// Every element type that the protocol can carry, with its word.
const WORDS: &[(DType, &str)] = &[
    (DType::Bool, "BOOL"),
    (DType::UInt8, "UINT8"),
    (DType::UInt16, "UINT16"),
    (DType::UInt32, "UINT32"),
    (DType::UInt64, "UINT64"),
    (DType::Int8, "INT8"),
    (DType::Int16, "INT16"),
    (DType::Int32, "INT32"),
    (DType::Int64, "INT64"),
    (DType::Float16, "FP16"),
    (DType::BFloat16, "BF16"),
    (DType::Float32, "FP32"),
    (DType::Float64, "FP64"),
    (DType::String, "BYTES"),
];

/// The protocol's word; `None` where the protocol has no such type.
pub fn word(dtype: DType) -> Option<&'static str> {
    WORDS.iter().find(|(d, _)| *d == dtype).map(|(_, word)| *word)
}

/// The element type that a word of the protocol means; words are in capitals.
pub fn parse(word: &str) -> Option<DType> {
    WORDS.iter().find(|(_, w)| *w == word).map(|(dtype, _)| *dtype)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::tensor::width;

    #[test]
    fn c52_every_word_is_read_back_as_the_type_it_was_written_for() {
        for dtype in DType::ALL {
            match word(*dtype) {
                Some(word) => assert_eq!(parse(word), Some(*dtype), "{word}"),
                None => assert!(WORDS.iter().all(|(d, _)| d != dtype)),
            }
        }
        assert_eq!(word(DType::Float32), Some("FP32"));
        assert_eq!(word(DType::String), Some("BYTES"));
        assert_eq!(word(DType::Complex64), None);
    }

    #[test]
    fn c52_the_wire_knows_neither_small_letters_nor_numpys_names() {
        for wrong in ["fp32", "float32", "FP32 ", "", "STRING", "FLOAT32"] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn what_the_engine_carries_has_a_word() {
        for dtype in DType::ALL.iter().filter(|d| width(**d).is_some()) {
            assert!(word(*dtype).is_some(), "{dtype}");
        }
    }
}
