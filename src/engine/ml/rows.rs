//! Rows: a batch of feature vectors, the input of every classical model.
//!
//! It is not any tensor: it has the shape `[N, F]`, or `[F]` for a single row, and holds numbers.
//! Invariant: a row has at least one feature that was asked for, or the batch is refused.

use tract_onnx::tract_hir::internal::*;

/// The number of rows and features of an input, by its shape.
///
/// # Errors
///
/// When it has another rank than 1 or 2, or does not hold numbers.
pub(super) fn dims(input: &TypedFact) -> TractResult<(TDim, TDim)> {
    let dtype = input.datum_type;
    ensure!(is_number(dtype), "expected an input of numbers, found {dtype:?}");
    match &*input.shape {
        [features] => Ok((1.to_dim(), features.clone())),
        [rows, features] => Ok((rows.clone(), features.clone())),
        other => bail!("expected an input of the shape [N, F] or [F], found the rank {}", other.len()),
    }
}

fn is_number(dtype: DatumType) -> bool {
    dtype.is_float() || dtype.is_integer() || dtype == bool::datum_type()
}

/// Checks the number of features where the shape tells it.
///
/// # Errors
///
/// When there are others than `expected`.
pub(super) fn expect_features(found: &TDim, expected: usize) -> TractResult<()> {
    match found.to_i64() {
        Ok(found) => features(found as usize, expected),
        // A symbol: the run tells.
        Err(_) => Ok(()),
    }
}

fn features(found: usize, expected: usize) -> TractResult<()> {
    ensure!(found == expected, "expected {expected} features, found {found}");
    Ok(())
}

/// A batch as numbers of one type.
pub(super) struct Rows<'a, T: Datum> {
    values: Cow<'a, Tensor>,
    rows: usize,
    features: usize,
    kind: PhantomData<T>,
}

impl<'a, T: Datum> Rows<'a, T> {
    /// # Errors
    ///
    /// When the tensor is no batch.
    pub(super) fn new(input: &'a Tensor) -> TractResult<Self> {
        let (rows, features) = match *input.shape() {
            [features] => (1, features),
            [rows, features] => (rows, features),
            _ => bail!("expected an input of the shape [N, F] or [F], found {:?}", input.shape()),
        };
        Ok(Self { values: input.cast_to::<T>()?, rows, features, kind: PhantomData })
    }

    pub(super) fn count(&self) -> usize {
        self.rows
    }

    pub(super) fn features(&self) -> usize {
        self.features
    }

    /// # Errors
    ///
    /// When there are others than `expected`.
    pub(super) fn expect_features(&self, expected: usize) -> TractResult<()> {
        features(self.features, expected)
    }

    /// All values, row after row.
    ///
    /// # Errors
    ///
    /// Never for a tensor in memory.
    pub(super) fn values(&self) -> TractResult<&[T]> {
        self.values.try_as_plain_ram()?.as_slice::<T>()
    }
}

/// A tensor of the shape from values that were computed for it.
///
/// # Errors
///
/// When there are not as many values as the shape asks.
pub(super) fn tensor<T: Datum>(shape: &[usize], values: Vec<T>) -> TractResult<Tensor> {
    Ok(tract_ndarray::ArrayD::from_shape_vec(shape, values)?.into_tensor())
}
