//! The metadata of a stage of Spark ML: parameters, SQL, columns. Its data are those of one model; the target
//! `parquet` reads others.
#![no_main]

mod shared;

use libfuzzer_sys::fuzz_target;

const DATA: &[u8] = include_bytes!(
    "../../testdata/models/spark/sp35_lr/model/data/part-00000-ae96fb98-f79d-4c37-af68-a64cecf54527-c000.snappy.parquet"
);

fuzz_target!(|data: &[u8]| {
    shared::infer(Some("spark"), &[("metadata/part-00000", data), ("data/part-00000.snappy.parquet", DATA)]);
});
