//! `floe models`.

use crate::cli::args::ModelsArgs;
use crate::cli::context::Context;
use crate::cli::output;
use floe::Result;
use floe::inspect;

pub(crate) fn run(args: &ModelsArgs, context: &Context) -> Result<()> {
    let models = inspect::models(&context.stores()?)?;
    if args.json {
        return output::json(&serde_json::json!({"floe": 1, "models": models}));
    }
    let mut rows =
        vec![vec!["MODEL".to_owned(), "VERSIONS".to_owned(), "NEWEST".to_owned(), "ALIASES".to_owned()]];
    for m in &models {
        let newest = m.collection.versions.last().map_or("-", |v| v.tag.as_str());
        let aliases = m.collection.aliases.join(", ");
        rows.push(vec![m.name.clone(), m.collection.versions.len().to_string(), newest.to_owned(), aliases]);
    }
    output::answer(&output::table(&rows))
}
