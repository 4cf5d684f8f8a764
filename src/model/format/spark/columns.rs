//! The columns of a data frame on its way through the stages, and what is known of each.
//!
//! A stage reads columns and writes columns. One that is read and was not written before is an input
//! of the pipeline. Sizes of vectors follow from each other in both directions ([`Rule`]): what
//! a classifier was trained with tells what goes into the assembler before it.
//!
//! It knows no stage; those are in `features.rs` and `models.rs`.
//!
//! Invariant: what is set once never changes; a second, different claim is a contradiction that is
//! told, and the first stands.

use std::collections::BTreeMap;

use crate::model::contract::{DType, Known, Provenance, Tensor};

/// How often the rules are gone through at most; each round but the last settles something.
const MAX_ROUNDS: usize = 256;
/// How many columns are looked at in all rounds.
const MAX_LOOKS: usize = 50_000_000;
/// The most columns.
const MAX_COLUMNS: usize = 100_000;

/// A column, by the order of its appearance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Id(usize);

/// What is in each row of a column.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Kind {
    /// Nobody knows.
    #[default]
    Unknown,
    /// One number or text.
    Scalar,
    /// A list of numbers or texts, of any length.
    List,
    /// Spark's vector of doubles.
    Vector,
    /// An array of numbers, as long in every row.
    Array,
    /// A list of vectors.
    Vectors,
}

/// What sizes have to do with each other. A scalar counts as one.
#[derive(Clone, Debug)]
pub(super) enum Rule {
    /// Both are as wide.
    Same(Id, Id),
    /// The first is as wide as all of the others together.
    Sum(Id, Vec<Id>),
    /// The first is as wide as the product of the others and a number.
    Product(Id, Vec<Id>, u64),
    /// The first has all products of up to so many factors from the second.
    Polynomial(Id, Id, u64),
}

#[derive(Clone, Debug, Default)]
struct Column {
    name: String,
    kind: Kind,
    dtype: Option<DType>,
    width: Option<u64>,
    /// How many vectors are in the list of each row.
    outer: Option<u64>,
    input: bool,
    /// Whether it was there before, or came from a stage that is not understood.
    hidden: bool,
    required: bool,
    /// The column without which a stage leaves this one out.
    needs: Option<Id>,
    /// How many different values a stage said there are.
    categories: Option<u64>,
    /// Whether values stand for categories somewhere on the way.
    nominal: bool,
    /// Whether it must be as wide as one number, which is not the same as being one.
    narrow: bool,
}

/// All columns.
#[derive(Debug, Default)]
pub(super) struct Columns {
    all: Vec<Column>,
    now: BTreeMap<String, Id>,
    rules: Vec<Rule>,
    /// Whether the data frame has only the columns that are known, after a selection.
    closed: bool,
    /// Whether something happened to the columns that is not known.
    lost_track: bool,
    /// Whether what is assembled is a number where nothing says that it is a vector.
    pub assembles_numbers: bool,
    /// Names of columns of which two different sizes are claimed.
    pub contradictions: Vec<String>,
    /// Names of columns that are read and that a selection has dropped.
    pub lost: Vec<String>,
}

impl Columns {
    fn add(&mut self, column: Column) -> Id {
        let id = Id(self.all.len());
        // Further columns have no names of their own; so many never come from Spark.
        if self.all.len() < MAX_COLUMNS {
            self.now.insert(column.name.clone(), id);
            self.all.push(column);
            return id;
        }
        Id(MAX_COLUMNS - 1)
    }

    fn find(&mut self, name: &str, required: bool) -> Id {
        let known = self.now.get(name).copied();
        let id = known.unwrap_or_else(|| {
            // What is not there is not asked of the caller, and a stage that can do without it does.
            if self.lost_track || self.closed && !required {
                let hidden = Column { name: name.to_owned(), hidden: true, ..Column::default() };
                return self.add(hidden);
            }
            if self.closed && !self.lost.iter().any(|l| l == name) {
                self.lost.push(name.to_owned());
            }
            self.add(Column { name: name.to_owned(), input: true, ..Column::default() })
        });
        if required {
            let mut next = Some(id);
            while let Some(Id(at)) = next {
                // A chain of columns ends where one is required already.
                next = self.all[at].needs.filter(|_| !self.all[at].required);
                self.all[at].required = true;
            }
        }
        id
    }

    /// A column that a stage cannot do without.
    pub(super) fn read(&mut self, name: &str) -> Id {
        self.find(name, true)
    }

    /// The names of all columns that are known now.
    pub(super) fn names(&self) -> impl Iterator<Item = &String> {
        self.now.keys()
    }

    /// A column without which a stage does nothing.
    pub(super) fn read_if_there(&mut self, name: &str) -> Id {
        self.find(name, false)
    }

    /// A new column.
    pub(super) fn write(&mut self, name: &str, kind: Kind, dtype: Option<DType>) -> Id {
        self.add(Column { name: name.to_owned(), kind, dtype, required: true, ..Column::default() })
    }

    /// A new column of vectors, as wide as `width`.
    pub(super) fn write_vector(&mut self, name: &str, width: Option<u64>) -> Id {
        let id = self.write(name, Kind::Vector, Some(DType::Float64));
        self.size(id, width);
        id
    }

    /// A new column of arrays of doubles, as wide as `width`.
    pub(super) fn write_array(&mut self, name: &str, width: Option<u64>) -> Id {
        let id = self.write(name, Kind::Array, Some(DType::Float64));
        self.size(id, width);
        id
    }

    /// Says that a column is only there if another one is.
    pub(super) fn needs(&mut self, id: Id, other: Id) {
        self.all[id.0].needs = Some(other).filter(|o| *o < id);
        self.all[id.0].required = false;
    }

    /// Takes a name out of the data frame.
    pub(super) fn drop_name(&mut self, name: &str) {
        self.now.remove(name);
    }

    /// Leaves only these, under these names.
    pub(super) fn select(&mut self, kept: Vec<(String, Id)>) {
        self.now = kept.into_iter().collect();
        self.closed = true;
    }

    /// Gives a column that is there another name as well.
    pub(super) fn alias(&mut self, name: &str, id: Id) -> Id {
        let mut copy = self.all[id.0].clone();
        if copy.name == name {
            self.now.insert(name.to_owned(), id);
            return id;
        }
        name.clone_into(&mut copy.name);
        copy.input = false;
        copy.needs = None;
        let new = self.add(copy);
        self.rule(Rule::Same(new, id));
        new
    }

    /// Says what a column holds, where nothing is known yet.
    pub(super) fn is(&mut self, id: Id, kind: Kind, dtype: Option<DType>) {
        let c = &mut self.all[id.0];
        if c.kind == Kind::Unknown {
            c.kind = kind;
        }
        if c.kind == kind && c.dtype.is_none() {
            c.dtype = dtype;
        }
    }

    /// Says that a column holds vectors, as wide as `width`.
    pub(super) fn is_vector(&mut self, id: Id, width: Option<u64>) {
        self.is(id, Kind::Vector, Some(DType::Float64));
        self.size(id, width);
    }

    /// Says that a column holds arrays of numbers, as wide as `width`.
    pub(super) fn is_array(&mut self, id: Id, width: Option<u64>) {
        self.is(id, Kind::Array, None);
        self.size(id, width);
    }

    /// Says that the vectors of a list have one number each.
    pub(super) fn one_wide(&mut self, id: Id) {
        self.all[id.0].width = Some(1);
    }

    /// Whether there is a column of this name.
    pub(super) fn has(&self, name: &str) -> bool {
        self.now.contains_key(name)
    }

    /// Forgets which columns there are: those that are read from here on may be inputs or not.
    pub(super) fn lose_track(&mut self) {
        self.now.clear();
        self.lost_track = true;
    }

    /// Says how many vectors are in each row's list.
    pub(super) fn outer(&mut self, id: Id, n: Option<u64>) {
        self.all[id.0].outer = n;
    }

    /// Says how many different values a column has.
    pub(super) fn categories(&mut self, id: Id, n: Option<u64>) {
        self.all[id.0].categories = n;
        self.all[id.0].nominal = true;
    }

    /// How many different values a column has.
    pub(super) fn categories_of(&self, id: Id) -> Option<u64> {
        self.all[id.0].categories
    }

    /// Whether a column's values may stand for categories.
    pub(super) fn nominal(&self, id: Id) -> bool {
        self.all[id.0].nominal
    }

    /// What a column holds.
    pub(super) fn kind(&self, id: Id) -> Kind {
        self.all[id.0].kind
    }

    /// Its element type.
    pub(super) fn dtype(&self, id: Id) -> Option<DType> {
        self.all[id.0].dtype
    }

    /// Adds a rule.
    pub(super) fn rule(&mut self, rule: Rule) {
        let nominal = |ids: &[Id]| ids.iter().any(|id| self.all[id.0].nominal);
        let (to, from) = match &rule {
            Rule::Same(a, b) => (*a, nominal(&[*b])),
            Rule::Sum(a, from) | Rule::Product(a, from, _) => (*a, nominal(from)),
            Rule::Polynomial(a, b, _) => (*a, nominal(&[*b])),
        };
        self.all[to.0].nominal |= from;
        self.rules.push(rule);
    }

    /// Says how wide a column is; returns whether that was news.
    fn size(&mut self, id: Id, width: Option<u64>) -> bool {
        let Some(width) = width else { return false };
        let c = &mut self.all[id.0];
        let now = match c.kind {
            Kind::Scalar => Some(1),
            _ => c.width,
        };
        match now {
            None => {
                c.width = Some(width);
                match c.kind {
                    // Only a vector is wider than one number.
                    Kind::Unknown if width > 1 => {
                        c.kind = Kind::Vector;
                        c.dtype = Some(DType::Float64);
                    }
                    Kind::Unknown if width == 1 => c.narrow = true,
                    _ => {}
                }
                true
            }
            Some(old) if old != width => {
                if !self.contradictions.contains(&c.name) {
                    self.contradictions.push(c.name.clone());
                }
                false
            }
            Some(_) => false,
        }
    }

    /// How wide a column is.
    pub(super) fn width(&self, id: Id) -> Option<u64> {
        let c = &self.all[id.0];
        if c.kind == Kind::Scalar { Some(1) } else { c.width }
    }

    /// Follows the rules until nothing new comes of them.
    pub(super) fn settle(&mut self) {
        let rules = std::mem::take(&mut self.rules);
        let columns = |rule: &Rule| match rule {
            Rule::Sum(_, parts) | Rule::Product(_, parts, _) => 1 + parts.len(),
            Rule::Same(..) | Rule::Polynomial(..) => 2,
        };
        let round: usize = rules.iter().map(columns).sum();
        for _ in 0..(MAX_LOOKS / round.max(1)).clamp(2, MAX_ROUNDS) {
            let mut news = false;
            for rule in &rules {
                news |= self.apply(rule);
            }
            if !news {
                break;
            }
        }
        self.rules = rules;
    }

    fn apply(&mut self, rule: &Rule) -> bool {
        match rule {
            Rule::Same(a, b) => {
                let (x, y) = (self.width(*a), self.width(*b));
                let kinds = self.share_kind(*a, *b);
                self.size(*a, y) | self.size(*b, x) | kinds
            }
            Rule::Sum(out, parts) => {
                let open: Vec<Id> = parts.iter().copied().filter(|p| self.width(*p).is_none()).collect();
                let known =
                    parts.iter().filter_map(|p| self.width(*p)).try_fold(0u64, |sum, n| sum.checked_add(n));
                let Some(known) = known else { return false };
                if open.is_empty() {
                    return self.size(*out, Some(known));
                }
                let Some(rest) = self.width(*out).and_then(|n| n.checked_sub(known)) else { return false };
                match open.as_slice() {
                    [one] => self.size(*one, Some(rest)),
                    // Each has at least one, so that none can have more.
                    several if several.len() as u64 == rest && unique(several) => {
                        several.iter().fold(false, |news, p| self.size(*p, Some(1)) | news)
                    }
                    _ => false,
                }
            }
            Rule::Product(out, parts, times) => {
                let product = parts
                    .iter()
                    .try_fold(*times, |product, p| self.width(*p).and_then(|n| product.checked_mul(n)));
                self.size(*out, product)
            }
            Rule::Polynomial(out, from, degree) => {
                let forward = self.width(*from).and_then(|n| polynomial(n, *degree));
                let back = self
                    .width(*out)
                    .filter(|_| self.width(*from).is_none())
                    .and_then(|wide| fewest(wide, *degree))
                    .filter(|n| polynomial(*n, *degree) == self.width(*out));
                self.size(*out, forward) | self.size(*from, back)
            }
        }
    }

    /// Two columns of the same width, of which one is a number or a vector, are both such.
    fn share_kind(&mut self, a: Id, b: Id) -> bool {
        let (x, y) = (self.kind(a), self.kind(b));
        let numeric = |k| matches!(k, Kind::Scalar | Kind::Vector);
        let (id, kind) = match (x, y) {
            (Kind::Unknown, k) if numeric(k) => (a, k),
            (k, Kind::Unknown) if numeric(k) => (b, k),
            _ => return false,
        };
        self.all[id.0].kind = kind;
        if kind == Kind::Vector {
            self.all[id.0].dtype = Some(DType::Float64);
        }
        true
    }

    /// The inputs and outputs of all stages together, and the names of inputs that may be left out.
    pub(super) fn result(&self) -> (Vec<Tensor>, Vec<Tensor>, Vec<String>) {
        // What a column needs was there before it.
        let mut present = vec![false; self.all.len()];
        for (at, c) in self.all.iter().enumerate() {
            present[at] = c.required || c.needs.is_some_and(|n| present.get(n.0).copied().unwrap_or(false));
        }
        let there = |id: Id| present[id.0];
        let inputs: Vec<Id> = (0..self.all.len()).map(Id).filter(|id| self.all[id.0].input).collect();
        let outputs: Vec<Id> = {
            let mut now: Vec<(Id, &String)> = self.now.iter().map(|(n, id)| (*id, n)).collect();
            now.sort();
            now.into_iter()
                .map(|(id, _)| id)
                .filter(|id| !self.all[id.0].input && !self.all[id.0].hidden)
                .collect()
        };
        let mut kept = (
            inputs.iter().copied().filter(|id| there(*id)).collect::<Vec<_>>(),
            outputs.iter().copied().filter(|id| there(*id)).collect::<Vec<_>>(),
        );
        // Where all may be left out, all are meant.
        if kept.0.is_empty() {
            kept = (inputs.clone(), outputs);
        }
        let all = kept.0.len() == inputs.len();
        let left_out = inputs.iter().filter(|id| !all && !there(**id));
        let optional = left_out.map(|id| self.all[id.0].name.clone()).collect();
        let tensors = |ids: &[Id]| ids.iter().map(|id| self.tensor(*id)).collect();
        (tensors(&kept.0), tensors(&kept.1), optional)
    }

    fn tensor(&self, Id(at): Id) -> Tensor {
        let c = &self.all[at];
        let scalar = c.dtype.map(spark_name);
        let (shape, native) = match c.kind {
            // A vector of one number is rare where no stage has made it.
            Kind::Unknown if c.narrow => (Some(vec![None]), None),
            Kind::Unknown => (None, None),
            Kind::Scalar => (Some(vec![None]), scalar.map(str::to_owned)),
            Kind::List => (Some(vec![None, None]), scalar.map(|s| format!("array<{s}>"))),
            Kind::Vector => (Some(vec![None, c.width]), Some("vector".to_owned())),
            Kind::Array => (Some(vec![None, c.width]), scalar.map(|s| format!("array<{s}>"))),
            Kind::Vectors => (Some(vec![None, c.outer, c.width]), Some("array<vector>".to_owned())),
        };
        let known = Provenance {
            name: Known::Stored,
            dtype: if c.dtype.is_some() { Known::Derived } else { Known::Unknown },
            shape: match (&shape, c.kind) {
                (None, _) => Known::Unknown,
                (Some(_), Kind::Unknown) => Known::Convention,
                (Some(_), _) => Known::Derived,
            },
        };
        let mut tensor = Tensor::new(c.name.clone(), c.dtype, shape, Known::Derived);
        tensor.known = known;
        tensor.native_type = native;
        tensor
    }
}

fn unique(ids: &[Id]) -> bool {
    let mut sorted = ids.to_vec();
    sorted.sort_unstable();
    sorted.windows(2).all(|w| w[0] != w[1])
}

/// How many products there are of one up to `degree` of `n` numbers: C(n + degree, degree) - 1.
fn polynomial(n: u64, degree: u64) -> Option<u64> {
    let (small, large) = (n.min(degree), n.max(degree));
    let mut product = 1u128;
    // More steps overflow long before.
    for i in 1..=u128::from(small.min(200)) {
        product = product.checked_mul(u128::from(large) + i)? / i;
    }
    if small > 200 {
        return None;
    }
    u64::try_from(product - 1).ok()
}

/// The smallest `n` of which so many products can be made.
fn fewest(wide: u64, degree: u64) -> Option<u64> {
    let (mut low, mut high) = (1, wide);
    while low < high {
        let middle = low + (high - low) / 2;
        // What overflows is too much.
        if polynomial(middle, degree).is_none_or(|n| n >= wide) { high = middle } else { low = middle + 1 }
    }
    (low == high).then_some(low)
}

/// What Spark calls a type.
fn spark_name(dtype: DType) -> &'static str {
    match dtype {
        DType::Float64 => "double",
        DType::Float32 => "float",
        DType::Int64 => "bigint",
        DType::Int32 => "int",
        DType::Int16 => "smallint",
        DType::Int8 => "tinyint",
        DType::Bool => "boolean",
        other => other.name(),
    }
}
