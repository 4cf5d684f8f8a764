//! fastai.
use crate::model::zip::Archive;

/// Whether an archive's pickle is a Learner.
pub(crate) fn is_learner(archive: &Archive<'_>, root: &str) -> bool {
    let _ = (archive, root);
    false
}

/// Whether a legacy file is a Learner of fastai 1.
pub(crate) fn is_legacy(head: &[u8]) -> bool {
    let _ = head;
    false
}
