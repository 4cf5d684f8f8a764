//! What models that take rows of a table have in common: one matrix in, one value or row out.
//!
//! It is not a format. Boosted trees record the number of columns and perhaps their names; that the
//! matrix is called `X` is a convention of Python's libraries, and never a fact.

use crate::model::contract::{Column, DType, Known, Provenance, Shape, Signature, Tensor};
use crate::model::format::MAX_ENTRIES;

/// The matrix that a model takes: one row per record.
pub(super) struct Matrix {
    /// What a caller should give; `None` where unknown.
    pub dtype: Option<DType>,
    /// How many columns; `None` where unknown.
    pub width: Option<u64>,
    /// The columns by name, where the file names them.
    pub columns: Vec<Column>,
}

impl Matrix {
    /// The tensor of it.
    pub(super) fn tensor(&self) -> Tensor {
        let known = Provenance {
            name: Known::Convention,
            dtype: if self.dtype.is_some() { Known::Derived } else { Known::Unknown },
            shape: if self.width.is_some() { Known::Stored } else { Known::Unknown },
        };
        let mut tensor =
            Tensor { known, ..Tensor::new("X", self.dtype, Some(vec![None, self.width]), Known::Derived) };
        tensor.columns.clone_from(&self.columns);
        tensor
    }
}

/// Columns of which only the names are known.
pub(super) fn columns(names: Vec<String>) -> Vec<Column> {
    names.into_iter().take(MAX_ENTRIES).map(|name| Column { name, dtype: None, optional: false }).collect()
}

/// An output whose name is a convention.
pub(super) fn output(name: &str, dtype: Option<DType>, shape: Option<Shape>) -> Tensor {
    let mut tensor = Tensor::new(name, dtype, shape, Known::Derived);
    tensor.known.name = Known::Convention;
    if tensor.dtype.is_none() {
        tensor.known.dtype = Known::Unknown;
    }
    if tensor.shape.is_none() {
        tensor.known.shape = Known::Unknown;
    }
    tensor
}

/// One value per row, or `width` of them.
pub(super) fn per_row(width: Option<u64>) -> Shape {
    match width {
        None => vec![None],
        Some(n) => vec![None, Some(n)],
    }
}

/// A method of the model in Python, which takes the matrix and gives one tensor.
pub(super) fn method(name: &str, matrix: &Matrix, output: Tensor) -> Signature {
    Signature {
        name: name.to_owned(),
        known: Known::Derived,
        inputs: vec![matrix.tensor()],
        outputs: vec![output],
    }
}
