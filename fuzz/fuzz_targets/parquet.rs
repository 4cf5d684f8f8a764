//! A Parquet file: the columns that Spark's models have, at whatever place.
#![no_main]

use std::cell::Cell;

use floe::model::parquet::Table;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let budget = Cell::new(16 << 20);
    let Ok(table) = Table::open(&data, &budget) else { return };
    let _key = (table.rows(), table.key("org.apache.spark.sql.parquet.row.metadata"));
    for path in
        ["coefficients.size", "coefficients.values", "labelsArray", "vocabulary", "idf.values", "mean.size"]
    {
        let _column =
            (table.ints(path, 1000), table.texts(path, 1000), table.length(path), table.lists(path, 1000));
    }
});
