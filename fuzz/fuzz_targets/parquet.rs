//! A Parquet file: the columns that Spark's models have, at whatever place.
#![no_main]

use std::cell::Cell;

use floe::model::parquet::File;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let budget = Cell::new(16 << 20);
    let Ok(file) = File::open(&data, &budget) else { return };
    let _key = (file.rows(), file.key("org.apache.spark.sql.parquet.row.metadata"));
    for path in ["coefficients.size", "coefficients.values", "labelsArray", "vocabulary", "idf.values", "mean.size"] {
        let _column = (file.ints(path, 1000), file.texts(path, 1000), file.length(path), file.lists(path, 1000));
    }
});
