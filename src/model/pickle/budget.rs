//! What questions about a pickle's tree may cost in all.
//!
//! Values are shared in a tree: a small file can hold thousands of objects that have one dict of a
//! million entries as their state, or a list that is one long text a million times. Each question is
//! cheap, and all of them together are not. The machine's limits are about reading, and this one
//! about what is asked of the tree afterwards.
//!
//! Invariant: what is answered before the budget is spent is right, and afterwards everything is as
//! if it were not there; so nothing that was concluded may be kept ([`Pickle::ask`]).

use std::cell::Cell;

use crate::error::Result;
use crate::model::format::Reading;
use crate::model::pickle::node::Pickle;

/// How many entries of dicts and lists are looked at.
const MAX_LOOKS: u64 = 100_000_000;
/// How many bytes of texts and lists are copied.
const MAX_COPIED: u64 = 32 << 20;

/// What was spent.
#[derive(Clone, Debug, Default)]
pub(super) struct Budget {
    looks: Cell<u64>,
    copied: Cell<u64>,
}

impl Pickle {
    /// Pays for a look at so many entries; `None` where there were too many.
    pub fn look(&self, entries: usize) -> Option<()> {
        pay(&self.budget.looks, entries, MAX_LOOKS)?;
        (!self.spent()).then_some(())
    }

    /// Pays for a copy of so many bytes; `None` where there were too many.
    pub fn copy(&self, bytes: usize) -> Option<()> {
        pay(&self.budget.copied, bytes, MAX_COPIED)
    }

    /// A copy of the text that a node is, as [`Pickle::str`] gives it.
    pub fn copy_str(&self, id: super::Id) -> Option<String> {
        let text = self.str(id)?;
        self.copy(text.len() + size_of::<String>())?;
        Some(text.to_owned())
    }

    fn spent(&self) -> bool {
        self.budget.looks.get() > MAX_LOOKS || self.budget.copied.get() > MAX_COPIED
    }

    /// Asks a tree what it tells. Where that costs too much, a warning says so, and nothing of it is
    /// kept in the reading.
    pub fn ask(
        &self,
        reading: &mut Reading,
        questions: impl FnOnce(&mut Reading) -> Result<()>,
    ) -> Result<()> {
        let before = reading.clone();
        let result = questions(reading);
        if !self.spent() {
            return result;
        }
        *reading = before;
        reading.warnings.push(format!(
            "the objects of the pickle share more than is looked at (the limit of {MAX_LOOKS} entries and {} MiB \
             of texts); what the model takes and gives is unknown",
            MAX_COPIED >> 20
        ));
        Ok(())
    }
}

fn pay(spent: &Cell<u64>, n: usize, most: u64) -> Option<()> {
    spent.set(spent.get().saturating_add(n as u64));
    (spent.get() <= most).then_some(())
}
