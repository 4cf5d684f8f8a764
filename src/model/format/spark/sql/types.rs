//! The types of expressions that say them.
//!
//! Only what is the same in every version of Spark and whatever the columns hold; an expression whose
//! type follows from that of a column has none here.

use crate::model::contract::DType;
use crate::model::format::spark::sql::tokens::Token;
use crate::model::format::spark::sql::top;

/// Functions whose result always has one type.
const FUNCTIONS: &[(&[&str], DType)] = &[
    (
        &["double", "log", "ln", "log10", "log2", "log1p", "exp", "expm1", "sqrt", "cbrt", "pow", "power"],
        DType::Float64,
    ),
    (&["sin", "cos", "tan", "tanh", "asin", "acos", "atan", "atan2", "radians", "degrees"], DType::Float64),
    (
        &["rand", "randn", "stddev", "stddev_pop", "stddev_samp", "variance", "var_pop", "corr"],
        DType::Float64,
    ),
    (&["float"], DType::Float32),
    (
        &["string", "upper", "lower", "ucase", "lcase", "initcap", "concat_ws", "regexp_replace"],
        DType::String,
    ),
    (&["regexp_extract", "date_format", "md5", "sha1", "sha2", "get_json_object", "to_json"], DType::String),
    (&["int", "length", "char_length", "character_length", "size", "instr", "locate", "ascii"], DType::Int32),
    (
        &["year", "quarter", "month", "day", "dayofmonth", "dayofweek", "dayofyear", "hour", "minute"],
        DType::Int32,
    ),
    (&["second", "weekofyear", "datediff", "levenshtein"], DType::Int32),
    (&["bigint", "unix_timestamp", "count", "crc32", "xxhash64"], DType::Int64),
    (&["smallint"], DType::Int16),
    (&["tinyint"], DType::Int8),
    (&["boolean", "isnull", "isnotnull", "isnan", "array_contains"], DType::Bool),
];

/// The type with one of Spark's names.
fn named(name: &str) -> Option<DType> {
    Some(match name.to_ascii_lowercase().as_str() {
        "double" => DType::Float64,
        "float" | "real" => DType::Float32,
        "int" | "integer" => DType::Int32,
        "bigint" | "long" => DType::Int64,
        "smallint" | "short" => DType::Int16,
        "tinyint" | "byte" => DType::Int8,
        "boolean" => DType::Bool,
        "string" => DType::String,
        _ => return None,
    })
}

/// The type of an expression, where it says so itself.
pub(super) fn dtype(body: &[Token]) -> Option<DType> {
    match body {
        [Token::Text] => return Some(DType::String),
        [Token::Whole] | [Token::Sign('-'), Token::Whole] => return Some(DType::Int32),
        [Token::Other(n)] | [Token::Sign('-'), Token::Other(n)] => {
            return match n.as_bytes().last()? {
                b'd' | b'D' => Some(DType::Float64),
                b'l' | b'L' => Some(DType::Int64),
                _ => None,
            };
        }
        [Token::Word(w)] if w.eq_ignore_ascii_case("true") || w.eq_ignore_ascii_case("false") => {
            return Some(DType::Bool);
        }
        [cast, Token::Sign('('), inner @ .., word, Token::Word(to), Token::Sign(')')]
            if (cast.is("cast") || cast.is("try_cast")) && word.is("as") && balanced(inner) =>
        {
            return named(to);
        }
        [Token::Word(f), Token::Sign('('), inner @ .., Token::Sign(')')] if balanced(inner) => {
            let known = FUNCTIONS.iter().find(|(names, _)| names.iter().any(|n| f.eq_ignore_ascii_case(n)));
            return known.map(|(_, dtype)| *dtype);
        }
        [Token::Sign('('), inner @ .., Token::Sign(')')] if balanced(inner) => return dtype(inner),
        _ => {}
    }
    let words = ["and", "or", "like", "rlike", "between", "in", "is"];
    let compares = |t: &Token| matches!(t, Token::Sign('=' | '<' | '>')) || words.iter().any(|w| t.is(w));
    let is_truth = body.first().is_some_and(|t| t.is("not")) || top(body, compares).is_some();
    (is_truth && top(body, |t| t.is("case") || t.is("over")).is_none()).then_some(DType::Bool)
}

/// Whether no parenthesis is closed that was opened before.
fn balanced(tokens: &[Token]) -> bool {
    let mut depth = 0i64;
    tokens.iter().all(|t| {
        depth += i64::from(*t == Token::Sign('(')) - i64::from(*t == Token::Sign(')'));
        depth >= 0
    }) && depth == 0
}
