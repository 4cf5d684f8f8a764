//! What a pickle puts aside and takes up again, by number.

use std::collections::BTreeMap;

use crate::model::pickle::node::Id;

/// What was put aside, by number. Numbers in sequence, the rule, cost four bytes each.
#[derive(Default)]
pub(super) struct Memo {
    dense: Vec<Option<Id>>,
    sparse: BTreeMap<u64, Id>,
    /// How many there are.
    pub(super) count: u64,
}

impl Memo {
    /// Whether a number costs little: it follows the ones that are there, or is one of them.
    pub(super) fn is_cheap(&self, key: u64) -> bool {
        key <= self.dense.len() as u64
    }

    pub(super) fn get(&self, key: u64) -> Option<Id> {
        match usize::try_from(key).ok().and_then(|k| self.dense.get(k)) {
            Some(id) => *id,
            None => self.sparse.get(&key).copied(),
        }
    }

    pub(super) fn put(&mut self, key: u64, id: Id) {
        self.count += u64::from(self.get(key).is_none());
        // Python 2's C pickler begins with one.
        if key == 1 && self.dense.is_empty() && self.sparse.is_empty() {
            self.dense.push(None);
        }
        let next = self.dense.len() as u64;
        if key < next {
            self.dense[key as usize] = Some(id);
        } else if key == next {
            self.dense.push(Some(id));
            self.sparse.remove(&key);
        } else {
            self.sparse.insert(key, id);
        }
    }
}
