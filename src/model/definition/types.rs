//! The words for element types and profiles that definitions may use.
//!
//! The words are those of Hydrosphere's two command-line clients (2.x and 3.x), the aliases of its
//! Python SDK, TensorFlow's `DT_` names, and numpy's names as floe prints them. They are exact and
//! case-sensitive, as they were there; profiles are not. This is no general parser of dtypes:
//! [`DType`] reads its own names.
//!
//! Invariant: a word has one meaning. `float` is 64 bits wide, because the SDK had it so.

use super::keys::nearest;
use crate::model::DType;
use crate::model::contract::Profile;

/// What a word for a type means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Type {
    /// This element type.
    Is(DType),
    /// No element type in particular (`DT_INVALID`, and `DT_ANY` of 3.x).
    Open,
}

use DType::{
    BFloat16, Bool, Complex64, Complex128, Float16, Float32, Float64, Int8, Int16, Int32, Int64, QInt8,
    QInt16, QInt32, QUInt8, QUInt16, Resource, UInt8, UInt16, UInt32, UInt64, Variant,
};

/// Words beside the names of [`DType`].
const ALIASES: &[(&str, Type)] = &[
    // Both clients.
    ("half", Type::Is(Float16)),
    ("double", Type::Is(Float64)),
    // The 0.1.x client.
    ("invalid", Type::Open),
    // The SDK.
    ("str", Type::Is(DType::String)),
    ("single", Type::Is(Float32)),
    ("float", Type::Is(Float64)),
    ("byte", Type::Is(Int8)),
    ("short", Type::Is(Int16)),
    ("int", Type::Is(Int64)),
    ("ubyte", Type::Is(UInt8)),
    ("ushort", Type::Is(UInt16)),
    ("complex", Type::Is(Complex128)),
];

/// Names of TensorFlow's enumeration (tensorflow/core/framework/types.proto), and `DT_ANY` of
/// Hydrosphere 3.x.
const TENSORFLOW: &[(&str, Type)] = &[
    ("DT_INVALID", Type::Open),
    ("DT_ANY", Type::Open),
    ("DT_FLOAT", Type::Is(Float32)),
    ("DT_DOUBLE", Type::Is(Float64)),
    ("DT_INT32", Type::Is(Int32)),
    ("DT_UINT8", Type::Is(UInt8)),
    ("DT_INT16", Type::Is(Int16)),
    ("DT_INT8", Type::Is(Int8)),
    ("DT_STRING", Type::Is(DType::String)),
    ("DT_COMPLEX64", Type::Is(Complex64)),
    ("DT_INT64", Type::Is(Int64)),
    ("DT_BOOL", Type::Is(Bool)),
    ("DT_QINT8", Type::Is(QInt8)),
    ("DT_QUINT8", Type::Is(QUInt8)),
    ("DT_QINT32", Type::Is(QInt32)),
    ("DT_BFLOAT16", Type::Is(BFloat16)),
    ("DT_QINT16", Type::Is(QInt16)),
    ("DT_QUINT16", Type::Is(QUInt16)),
    ("DT_UINT16", Type::Is(UInt16)),
    ("DT_COMPLEX128", Type::Is(Complex128)),
    ("DT_HALF", Type::Is(Float16)),
    ("DT_RESOURCE", Type::Is(Resource)),
    ("DT_VARIANT", Type::Is(Variant)),
    ("DT_UINT32", Type::Is(UInt32)),
    ("DT_UINT64", Type::Is(UInt64)),
];

/// Every word, floe's own names first.
pub(super) fn words() -> impl Iterator<Item = &'static str> {
    let ours = DType::ALL.iter().map(|d| d.name());
    ours.chain(ALIASES.iter().map(|(w, _)| *w)).chain(TENSORFLOW.iter().map(|(w, _)| *w))
}

/// The meaning of a word; `None` where it is none of them.
pub(super) fn read(word: &str) -> Option<Type> {
    let ours = DType::ALL.iter().find(|d| d.name() == word).map(|d| Type::Is(*d));
    ours.or_else(|| ALIASES.iter().chain(TENSORFLOW).find(|(w, _)| *w == word).map(|(_, t)| *t))
}

/// What to write instead of a word that means nothing.
pub(super) fn advice(word: &str) -> String {
    if let Ok(number) = word.parse::<i32>() {
        return match DType::from_tensorflow(number) {
            Some(dtype) => format!("write the name of the type; TensorFlow's number {number} is `{dtype}`"),
            None => "write the name of the type, such as `float32`".to_owned(),
        };
    }
    // Names of other languages that are near nothing here.
    let foreign = match word.to_ascii_lowercase().as_str() {
        "long" | "integer" | "i64" => Some("int64"),
        "i32" => Some("int32"),
        "real" | "number" | "f64" => Some("float64"),
        "f32" => Some("float32"),
        "boolean" | "bool_" => Some("bool"),
        "text" | "bytes" | "char" | "object" => Some("string"),
        "any" | "dynamic" => Some("DT_ANY"),
        _ => None,
    };
    match foreign.or_else(|| nearest(word, words())) {
        Some(near) => format!("did you mean `{near}`?"),
        None => {
            "types are `string`, `bool`, `float32`, `float64`, `int64` and the others of numpy".to_owned()
        }
    }
}

/// Every word for a profile, and what it means; `none` means that there is none.
pub(super) const PROFILES: &[(&str, Option<Profile>)] = &[
    ("none", None),
    ("categorical", Some(Profile::Categorical)),
    ("nominal", Some(Profile::Nominal)),
    ("ordinal", Some(Profile::Ordinal)),
    ("numerical", Some(Profile::Numerical)),
    ("continuous", Some(Profile::Continuous)),
    ("interval", Some(Profile::Interval)),
    ("ratio", Some(Profile::Ratio)),
    ("image", Some(Profile::Image)),
    ("video", Some(Profile::Video)),
    ("audio", Some(Profile::Audio)),
    ("text", Some(Profile::Text)),
];

/// The profile of a word in any case; the outer `None` where it is none of them.
pub(super) fn profile(word: &str) -> Option<Option<Profile>> {
    PROFILES.iter().find(|(w, _)| w.eq_ignore_ascii_case(word)).map(|(_, p)| *p)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_both_clients_are_known() {
        let both = "string bool float16 half float32 float64 double int8 int16 int32 int64 uint8 uint16 uint32 uint64 \
                    qint8 qint16 qint32 quint8 quint16 complex64 complex128 variant";
        for word in both.split_whitespace() {
            assert!(matches!(read(word), Some(Type::Is(_))), "{word}");
        }
        for (word, dtype) in
            [("float", Float64), ("int", Int64), ("byte", Int8), ("single", Float32), ("half", Float16)]
        {
            assert_eq!(read(word), Some(Type::Is(dtype)), "{word}");
        }
        assert_eq!(read("invalid"), Some(Type::Open));
        assert_eq!(read("Float32"), None);
    }

    #[test]
    fn no_word_has_two_meanings() {
        let mut all: Vec<_> = words().collect();
        let count = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), count);
    }

    #[test]
    fn tensorflow_names_agree_with_the_numbers() {
        for (word, meaning) in TENSORFLOW {
            if let Type::Is(d) = meaning {
                assert!(d.tensorflow().is_some(), "{word}");
            }
        }
        let numbers: Vec<i32> = TENSORFLOW
            .iter()
            .filter_map(|(_, t)| if let Type::Is(d) = t { d.tensorflow() } else { None })
            .collect();
        assert_eq!(numbers, (1..=23).collect::<Vec<_>>());
    }

    #[test]
    fn c03_advice_names_the_nearest() {
        assert_eq!(advice("flot32"), "did you mean `float32`?");
        assert_eq!(advice("Int64"), "did you mean `int64`?");
        assert_eq!(advice("long"), "did you mean `int64`?");
        assert_eq!(advice("1"), "write the name of the type; TensorFlow's number 1 is `float32`");
        assert!(advice("#!").starts_with("types are"));
    }

    #[test]
    fn profiles_in_any_case() {
        assert_eq!(profile("IMAGE"), Some(Some(Profile::Image)));
        assert_eq!(profile("none"), Some(None));
        assert_eq!(profile("real"), None);
    }
}
