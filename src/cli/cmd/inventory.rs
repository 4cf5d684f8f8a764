//! `floe inventory`.

use std::path::Path;

use crate::cli::args::InventoryArgs;
use crate::cli::context::Context;
use crate::cli::output;
use floe::copy::inventory::Inventory;
use floe::error::counted;
use floe::{Error, Kind, Result, fs};

pub(crate) fn run(args: &InventoryArgs, context: &Context) -> Result<()> {
    let stores = context.stores()?;
    let inventory = Inventory::of(&args.names, &stores, context.see())?;
    context.finish();
    match args.output.as_deref() {
        None => output::json(&inventory),
        Some(file) if file == Path::new("-") => output::json(&inventory),
        Some(file) => {
            let mut text = serde_json::to_vec_pretty(&inventory)
                .map_err(|e| Error::new(Kind::Bug, "the inventory cannot be written as JSON").because(e))?;
            text.push(b'\n');
            fs::write_atomic(file, &text, false)?;
            let (images, bytes) = inventory.total();
            context.fact(&format!(
                "{}, {} of blobs",
                counted(images, "image", "images"),
                output::size(bytes)
            ));
            Ok(())
        }
    }
}
