//! Numbers of a configuration, held against the weights.
//!
//! Where both tell the same, a number is certain. Where they differ, somebody edited one of them, and
//! neither is believed.

use crate::model::format::Weight;

/// A table of weights; empty where there is none.
pub(super) struct Weights<'w>(pub &'w [Weight]);

impl Weights<'_> {
    /// Whether there is a weight of this name, wherever in the model.
    pub(super) fn any(&self, name: &str) -> bool {
        self.0.iter().any(|w| ends_with(&w.name, name))
    }

    /// The number that a configuration tells, unless the first dimension of a weight with one of these
    /// names is another; that one, where the configuration tells none.
    pub(super) fn agree(
        &self,
        names: &[&str],
        told: Option<u64>,
        what: &str,
        warnings: &mut Vec<String>,
    ) -> Option<u64> {
        let found = self.0.iter().find(|w| names.iter().any(|n| ends_with(&w.name, n)));
        let Some(weight) = found else { return told };
        // Quantized weights are packed, and their first dimension is another.
        let shape = weight.shape.as_deref().filter(|s| s.len() == 2);
        let plain = weight.dtype.as_deref().is_some_and(|d| d.contains("float"));
        let Some(rows) = shape.filter(|_| plain).and_then(|s| s[0]) else { return told };
        match told {
            Some(told) if told != rows => {
                warnings.push(format!(
                    "config.json tells of {told} {what}, but the weight `{}` has {rows}; neither is told",
                    weight.name
                ));
                None
            }
            _ => Some(rows),
        }
    }
}

/// Whether a name ends with whole components.
fn ends_with(name: &str, end: &str) -> bool {
    name.strip_suffix(end).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}
