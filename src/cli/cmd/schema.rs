//! `floe schema`.

use crate::cli::output;
use floe::Result;

pub(crate) fn run() -> Result<()> {
    output::json(&floe::model::definition::schema())
}
