//! `floe which`.

use crate::cli::args::WhichArgs;
use crate::cli::context::Context;
use crate::cli::{output, usage};
use floe::Result;
use floe::inspect;
use floe::store::location::Location;

pub(crate) fn run(args: &WhichArgs, context: &Context) -> Result<()> {
    let stores = context.stores()?;
    let mut found = Vec::new();
    match &args.name {
        Some(name) => {
            let location = Location::reference(name)?;
            found.extend(inspect::which(&*stores.repository(&location)?, name, &args.what)?);
        }
        None => {
            for model in inspect::models(&stores)? {
                found.extend(inspect::which(&stores.collection(&model.name)?, &model.name, &args.what)?);
            }
        }
    }
    if found.is_empty() {
        let place = args
            .name
            .as_ref()
            .map_or("the local store".to_owned(), |n| format!("`{}`", floe::error::show_bytes(n.as_bytes())));
        return Err(usage(
            format!("nothing in {place} belongs to `{}`", floe::error::show_bytes(args.what.as_bytes())),
            "name another collection, such as `docker://HOST/NAME` or `oci:DIR`",
        ));
    }
    if args.json {
        return output::json(&serde_json::json!({"floe": 1, "found": found}));
    }
    let rows: Vec<Vec<String>> = found
        .iter()
        .map(|f| vec![format!("{}:{}", f.name, f.tag), f.role.to_owned(), f.digest.to_string()])
        .collect();
    output::answer(&output::table(&rows))
}
