//! `contract.json`: the signatures of a model, as every image of floe carries them.
//!
//! It is not the detection: facts, findings and warnings get better with floe, and would change the
//! image's digest; they are never in here.
//!
//! The document is `{"floe":1,"signatures":[SIGNATURE…]}`.
//! - SIGNATURE: `name`, `known`, `inputs`, `outputs`.
//! - Each input and output: `name`; `dtype`, `null` where unknown; `shape`, `null` where the rank is
//!   unknown, else an array with `null` for a dimension that is not fixed; `known` with `name`,
//!   `dtype` and `shape`, each one of `declared`, `stored`, `derived`, `convention`, `unknown`.
//! - Only where there is something to say: `dim_names`, `encoding`, `native_type`, `optional`,
//!   `fields` (each like an input), `profile`.
//!
//! Invariant: equal contracts give equal bytes (see [`crate::oci::json`]). Keys are only ever added.

use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

use crate::error::{Error, Kind, Result, show_bytes};
use crate::model::contract::{Contract, Signature, Tensor};
use crate::oci::json;

/// The version of the document.
pub const VERSION: u32 = 1;
/// The largest document that is read.
pub const MAX_SIZE: usize = 16 << 20;
/// The most dimensions of one tensor.
const MAX_RANK: usize = 64;

#[derive(Serialize)]
struct Written<'a> {
    floe: u32,
    signatures: &'a [Signature],
}

#[derive(Deserialize)]
struct Read {
    floe: u32,
    signatures: Vec<Signature>,
}

/// The canonical bytes of a contract.
pub fn write(contract: &Contract) -> Result<Vec<u8>> {
    json::to_canonical(&Written { floe: VERSION, signatures: &contract.signatures })
}

/// Reads what [`write()`] wrote, in this release or a later one.
///
/// Fails where names repeat or shapes are impossible: a document that was fetched is not trusted.
pub fn read(bytes: &[u8]) -> Result<Contract> {
    let value = json::parse(bytes, MAX_SIZE, "`contract.json`")?;
    let read: Read = serde_json::from_value(value)
        .map_err(|e| Error::new(Kind::Integrity, "`contract.json` does not hold a contract").because(e))?;
    if read.floe != VERSION {
        return Err(Error::new(
            Kind::Integrity,
            format!("`contract.json` has version {}, this floe reads version {VERSION}", read.floe),
        )
        .hint("use a newer floe"));
    }
    let contract = Contract { signatures: read.signatures };
    check(&contract).map_err(|what| Error::new(Kind::Integrity, format!("`contract.json` has {what}")))?;
    Ok(contract)
}

/// Whether a contract is one that can be: its names are unique, and its shapes are shapes. What it has
/// instead is said otherwise.
pub fn check(contract: &Contract) -> std::result::Result<(), String> {
    unique(contract.signatures.iter().map(|s| &s.name), "signature")?;
    for s in &contract.signatures {
        side(&s.inputs, "input")?;
        side(&s.outputs, "output")?;
    }
    Ok(())
}

fn side(tensors: &[Tensor], what: &str) -> std::result::Result<(), String> {
    unique(tensors.iter().map(|t| &t.name), what)?;
    for t in tensors {
        let rank = t.shape.as_ref().map(Vec::len);
        let sizes = t.shape.iter().flatten().flatten().all(|d| i64::try_from(*d).is_ok());
        if rank.is_some_and(|r| r > MAX_RANK)
            || !sizes
            || (!t.dim_names.is_empty() && rank != Some(t.dim_names.len()))
        {
            return Err(format!("an impossible shape for the {what} `{}`", show_bytes(t.name.as_bytes())));
        }
        side(&t.fields, "field")?;
    }
    Ok(())
}

fn unique<'a>(names: impl Iterator<Item = &'a String>, what: &str) -> std::result::Result<(), String> {
    let mut seen = BTreeSet::new();
    for name in names {
        if !seen.insert(name) {
            return Err(format!("the {what} `{}` twice", show_bytes(name.as_bytes())));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::contract::{DType, Encoding, Known, Profile};

    fn contract() -> Contract {
        let mut x = Tensor::new("x", Some(DType::Float32), Some(vec![None, Some(4)]), Known::Stored);
        x.dim_names = vec![Some("N".to_owned()), None];
        x.profile = Some(Profile::Numerical);
        let mut y = Tensor::new("y", Some(DType::Float32), None, Known::Derived);
        y.known.shape = Known::Unknown;
        y.encoding = Encoding::Sequence;
        y.native_type = Some("seq(tensor(float))".to_owned());
        y.optional = true;
        let mut z = Tensor::new("z", None, Some(vec![]), Known::Declared);
        z.fields = vec![Tensor::new("k", Some(DType::Bool), Some(vec![]), Known::Declared)];
        let s = Signature {
            name: "predict".to_owned(),
            known: Known::Convention,
            inputs: vec![x],
            outputs: vec![y, z],
        };
        Contract { signatures: vec![s] }
    }

    const BYTES: &str = concat!(
        r#"{"floe":1,"signatures":[{"inputs":[{"dim_names":["N",null],"dtype":"float32","#,
        r#""known":{"dtype":"stored","name":"stored","shape":"stored"},"name":"x","profile":"numerical","#,
        r#""shape":[null,4]}],"known":"convention","name":"predict","outputs":[{"dtype":"float32","#,
        r#""encoding":"sequence","known":{"dtype":"derived","name":"derived","shape":"unknown"},"name":"y","#,
        r#""native_type":"seq(tensor(float))","optional":true,"shape":null},{"dtype":null,"fields":[{"dtype":"bool","#,
        r#""known":{"dtype":"declared","name":"declared","shape":"declared"},"name":"k","shape":[]}],"#,
        r#""known":{"dtype":"declared","name":"declared","shape":"declared"},"name":"z","shape":[]}]}]}"#,
    );

    #[test]
    fn the_bytes_are_for_ever() {
        assert_eq!(String::from_utf8(write(&contract()).unwrap()).unwrap(), BYTES);
        assert_eq!(read(BYTES.as_bytes()).unwrap(), contract());
    }

    #[test]
    fn later_keys_are_skipped_and_later_versions_refused() {
        let later = BYTES.replacen("\"floe\":1", "\"floe\":1,\"more\":{}", 1);
        assert_eq!(read(later.as_bytes()).unwrap(), contract());
        let e = read(BYTES.replacen("\"floe\":1", "\"floe\":2", 1).as_bytes()).unwrap_err();
        assert!(e.message().contains("version 2"));
    }

    #[test]
    fn hostile_documents_are_errors() {
        let twice = BYTES.replace("\"name\":\"z\"", "\"name\":\"y\"");
        assert!(read(twice.as_bytes()).unwrap_err().message().contains("output `y` twice"));
        let long = BYTES.replace("\"shape\":[null,4]", "\"shape\":[1]");
        assert!(read(long.as_bytes()).unwrap_err().message().contains("impossible shape"));
        let negative = BYTES.replace("[null,4]", "[null,-4]");
        assert!(read(negative.as_bytes()).is_err());
        let mut deep = String::from(r#"{"floe":1,"signatures":"#);
        deep.push_str(&"[".repeat(100_000));
        assert!(read(deep.as_bytes()).is_err());
        for cut in 0..BYTES.len() {
            assert!(read(&BYTES.as_bytes()[..cut]).is_err());
        }
    }
}
