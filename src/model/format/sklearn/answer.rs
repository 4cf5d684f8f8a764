//! What a method of an estimator gives, as far as it follows from the state.
//!
//! Types and widths may depend on the input. Then they stay open here ([`Type::Same`],
//! [`Dim::Same`]), and are settled where an estimator is a step of a pipeline whose earlier steps
//! settle them. What is still open in the end is unknown.

use crate::model::contract::{
    Column, Contract, DType, Encoding, Known, Provenance, Shape, Signature, Tensor,
};

/// The type of an answer's elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Type {
    /// This one.
    Is(DType),
    /// That of the input.
    Same,
    /// float32 for float32, float64 for every other number (`check_array(dtype=FLOAT_DTYPES)`).
    Floating,
    /// Not known.
    Unknown,
}

/// One dimension after that of the batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dim {
    /// So many.
    Is(u64),
    /// As many as the input has.
    Same,
    /// Not known.
    Unknown,
}

/// How an answer is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layout {
    /// A dense array.
    Dense,
    /// One of scipy's sparse matrices.
    Sparse,
    /// As the input.
    Same,
}

/// One array of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Out {
    /// Its type.
    pub dtype: Type,
    /// Its dimensions after the batch; `None` where even their number is unknown.
    pub dims: Option<Vec<Dim>>,
    /// How it is laid out.
    pub layout: Layout,
}

/// What one call gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// One array.
    One(Out),
    /// A list of arrays, one for each target.
    Many(Vec<Out>),
}

/// What a model takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Given {
    /// Rows of so many numbers.
    Table(Dim),
    /// Texts.
    Texts,
    /// Mappings from names to values, or other things that no table holds.
    Records,
    /// One value per row: the labels that an encoder turns into numbers.
    Labels(Type),
    /// Not known.
    Unknown,
}

/// A method, in the order in which they are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Method {
    Predict,
    Proba,
    Decision,
    Transform,
    Score,
}

impl Method {
    /// Its name in Python.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Predict => "predict",
            Self::Proba => "predict_proba",
            Self::Decision => "decision_function",
            Self::Transform => "transform",
            Self::Score => "score_samples",
        }
    }
}

/// What is known of an estimator.
#[derive(Clone, Debug)]
pub(super) struct Model {
    /// What it takes.
    pub given: Given,
    /// The names of its columns, where it was fitted with names.
    pub names: Vec<String>,
    /// The types of its columns, where they are known to hold texts; empty where none is.
    pub cells: Vec<Option<DType>>,
    /// Its methods.
    pub methods: Vec<(Method, Answer)>,
    /// Names of what `transform` gives, where it gives a data frame.
    pub out_names: Vec<String>,
}

impl Out {
    /// A dense array with dimensions that are known.
    pub(super) fn new(dtype: Type, dims: &[Dim]) -> Self {
        Self { dtype, dims: Some(dims.to_vec()), layout: Layout::Dense }
    }

    /// One value per row.
    pub(super) fn column(dtype: Type) -> Self {
        Self::new(dtype, &[])
    }

    /// `n` values per row.
    pub(super) fn wide(dtype: Type, n: impl Into<Dim>) -> Self {
        Self::new(dtype, &[n.into()])
    }

    /// An array of unknown rank.
    pub(super) fn vague(dtype: Type) -> Self {
        Self { dtype, dims: None, layout: Layout::Dense }
    }

    /// The same, sparse.
    pub(super) fn sparse(self) -> Self {
        Self { layout: Layout::Sparse, ..self }
    }

    /// The same, laid out as its input.
    pub(super) fn like_given(self) -> Self {
        Self { layout: Layout::Same, ..self }
    }

    /// The width, of an answer of rows.
    pub(super) fn width(&self) -> Dim {
        match self.dims.as_deref() {
            Some([one]) => *one,
            _ => Dim::Unknown,
        }
    }

    /// What comes of it when its input is what `before` gives.
    pub(super) fn after(&self, before: &Self) -> Self {
        let dtype = match self.dtype {
            Type::Same => before.dtype,
            Type::Floating => before.dtype.floating(),
            fixed => fixed,
        };
        let same = before.width();
        let dims = self
            .dims
            .as_ref()
            .map(|dims| dims.iter().map(|d| if *d == Dim::Same { same } else { *d }).collect());
        let layout = if self.layout == Layout::Same { before.layout } else { self.layout };
        Self { dtype, dims, layout }
    }
}

impl Type {
    /// The type that `check_array(dtype=FLOAT_DTYPES)` makes of it.
    pub(super) fn floating(self) -> Self {
        match self {
            Self::Is(DType::Float32) => Self::Is(DType::Float32),
            Self::Is(DType::Float16 | DType::Object | DType::String) | Self::Unknown => Self::Unknown,
            Self::Is(_) => Self::Is(DType::Float64),
            Self::Same | Self::Floating => Self::Floating,
        }
    }
}

impl From<Option<DType>> for Type {
    fn from(dtype: Option<DType>) -> Self {
        dtype.map_or(Self::Unknown, Self::Is)
    }
}

impl From<Option<u64>> for Dim {
    fn from(n: Option<u64>) -> Self {
        n.map_or(Self::Unknown, Self::Is)
    }
}

impl From<u64> for Dim {
    fn from(n: u64) -> Self {
        Self::Is(n)
    }
}

impl From<Out> for Answer {
    fn from(out: Out) -> Self {
        Self::One(out)
    }
}

impl Answer {
    /// The one array that it is.
    pub(super) fn one(&self) -> Option<&Out> {
        match self {
            Self::One(out) => Some(out),
            Self::Many(_) => None,
        }
    }

    /// What comes of it when its input is what `before` gives.
    pub(super) fn after(&self, before: &Out) -> Self {
        match self {
            Self::One(out) => Self::One(out.after(before)),
            Self::Many(outs) => Self::Many(outs.iter().map(|o| o.after(before)).collect()),
        }
    }
}

impl Model {
    /// A model that takes this.
    pub(super) fn of(given: Given) -> Self {
        Self { given, names: Vec::new(), cells: Vec::new(), methods: Vec::new(), out_names: Vec::new() }
    }

    /// Adds a method.
    pub(super) fn with(mut self, method: Method, answer: impl Into<Answer>) -> Self {
        self.add(method, answer);
        self
    }

    /// Adds a method.
    pub(super) fn add(&mut self, method: Method, answer: impl Into<Answer>) {
        self.methods.retain(|(m, _)| *m != method);
        self.methods.push((method, answer.into()));
    }

    /// Bytes of memory that it takes, about.
    pub(super) fn weight(&self) -> usize {
        let text = |all: &[String]| all.iter().map(|n| n.len() + size_of::<String>()).sum::<usize>();
        let outs = |answer: &Answer| match answer {
            Answer::One(_) => 1,
            Answer::Many(all) => all.len(),
        };
        let outs: usize = self.methods.iter().map(|(_, a)| outs(a)).sum();
        text(&self.names) + text(&self.out_names) + self.cells.len() * 2 + outs * (size_of::<Out>() + 32)
    }

    /// What a method gives.
    pub(super) fn answer(&self, method: Method) -> Option<&Answer> {
        self.methods.iter().find(|(m, _)| *m == method).map(|(_, a)| a)
    }

    /// The contract: one signature for each method.
    pub(super) fn contract(&self) -> Contract {
        let mut methods: Vec<_> = self.methods.iter().collect();
        methods.sort_by_key(|(m, _)| *m);
        let signatures = methods
            .into_iter()
            .map(|(method, answer)| Signature {
                name: method.name().to_owned(),
                known: Known::Derived,
                inputs: vec![self.input()],
                outputs: self.outputs(*method, answer),
            })
            .collect();
        Contract { signatures }
    }

    fn input(&self) -> Tensor {
        let (dtype, shape) = match self.given {
            // A data frame's types are those of its columns.
            Given::Table(width) => {
                let cell = if self.names.is_empty() { self.cell() } else { None };
                (cell, Some(vec![None, settled(width)]))
            }
            Given::Texts => (Some(DType::String), Some(vec![None])),
            Given::Records => (Some(DType::Object), Some(vec![None])),
            Given::Labels(Type::Is(dtype)) => (Some(dtype), Some(vec![None])),
            Given::Labels(_) => (None, Some(vec![None])),
            Given::Unknown => (None, None),
        };
        // `X` is the name of the argument in every method of scikit-learn.
        let mut tensor = tensor("X", dtype, shape);
        if matches!(self.given, Given::Labels(_)) {
            tensor.name = "y".to_owned();
        }
        if matches!(self.given, Given::Table(Dim::Is(n)) if n == self.names.len() as u64) {
            tensor.columns = columns(&self.names);
            for (column, cell) in tensor.columns.iter_mut().zip(&self.cells) {
                column.dtype = *cell;
            }
        }
        tensor
    }

    /// The type of all columns, where they have the same.
    fn cell(&self) -> Option<DType> {
        let first = (*self.cells.first()?)?;
        self.cells.iter().all(|c| *c == Some(first)).then_some(first)
    }

    fn outputs(&self, method: Method, answer: &Answer) -> Vec<Tensor> {
        let one = |name: String, out: &Out| {
            let given = match self.given {
                Given::Table(width) => width,
                _ => Dim::Unknown,
            };
            let dims = out.dims.as_ref().map(|dims| {
                let after = dims.iter().map(|d| settled(if *d == Dim::Same { given } else { *d }));
                std::iter::once(None).chain(after).collect()
            });
            let dtype = match out.dtype {
                Type::Is(dtype) => Some(dtype),
                _ => None,
            };
            let mut tensor = tensor(&name, dtype, dims);
            if out.layout == Layout::Sparse {
                tensor.encoding = Encoding::Sparse;
            }
            let width = tensor.shape.as_ref().and_then(|s| s.last().copied().flatten());
            if method == Method::Transform && width == Some(self.out_names.len() as u64) {
                tensor.columns = columns(&self.out_names);
            }
            tensor
        };
        match answer {
            Answer::One(out) => vec![one(method.name().to_owned(), out)],
            Answer::Many(outs) => {
                outs.iter().enumerate().map(|(k, out)| one(format!("{}_{k}", method.name()), out)).collect()
            }
        }
    }
}

fn settled(dim: Dim) -> Option<u64> {
    match dim {
        Dim::Is(n) => Some(n),
        Dim::Same | Dim::Unknown => None,
    }
}

/// No name of a tensor is in the files; types and shapes follow from them.
fn tensor(name: &str, dtype: Option<DType>, shape: Option<Shape>) -> Tensor {
    let how = |known: bool| if known { Known::Derived } else { Known::Unknown };
    let known =
        Provenance { name: Known::Convention, dtype: how(dtype.is_some()), shape: how(shape.is_some()) };
    Tensor { known, ..Tensor::new(name, dtype, shape, Known::Derived) }
}

fn columns(names: &[String]) -> Vec<Column> {
    names.iter().map(|n| Column { name: n.clone(), dtype: None, optional: false }).collect()
}
