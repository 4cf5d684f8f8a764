use std::cell::Cell;

use super::*;

/// The data of a stage, as Spark wrote them.
fn example(case: &str, stage: &str) -> Vec<u8> {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/models/spark");
    let folder = root.join(case).join("model").join(stage).join("data");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    files.retain(|p| p.extension().is_some_and(|e| e == "parquet"));
    std::fs::read(&files[0]).unwrap()
}

/// Asks everything that can be asked.
fn ask_all(bytes: &[u8]) -> Result<usize, Fault> {
    let budget = Cell::new(1 << 26);
    let table = Table::open(&bytes, &budget)?;
    let mut answers = table.rows() as usize & 1;
    let paths: Vec<String> = table.footer.leaves.iter().map(|l| l.path.clone()).collect();
    for path in paths {
        answers += usize::from(table.ints(&path, 1000).is_ok());
        answers += usize::from(table.texts(&path, 1000).is_ok());
        answers += usize::from(table.length(&path).is_ok());
        answers += usize::from(table.lists(&path, 1000).is_ok());
    }
    Ok(answers)
}

#[test]
fn lists_texts_and_sizes_of_a_first_row_are_read() {
    let bytes = example("sp_dev_tok_tf", "stages/1_CountVectorizer_61dfcf1e3d81");
    let budget = Cell::new(1 << 20);
    let table = Table::open(&bytes, &budget).unwrap();
    assert_eq!(table.rows(), 1);
    assert_eq!(table.length("vocabulary").unwrap(), Some(9));
    assert_eq!(table.texts("vocabulary", 100).unwrap().unwrap().len(), 9);
    assert!(matches!(table.texts("vocabulary", 8), Err(Fault::Limit(_))));
    assert_eq!(table.ints("nothing", 8).unwrap(), None);
    assert!(table.key("org.apache.spark.sql.parquet.row.metadata").unwrap().starts_with('{'));
    assert!(budget.get() < 1 << 20);

    let bytes = example("sp_dev_va_linreg", "stages/1_LinearRegression_ae789e9dcdea");
    let table = Table::open(&bytes, &budget).unwrap();
    assert_eq!(table.ints("coefficients.type", 1).unwrap(), Some(vec![1]));
    assert_eq!(table.length("coefficients.values").unwrap(), Some(2));
    assert_eq!(table.ints("coefficients.size", 1).unwrap(), None);
}

#[test]
fn nothing_is_read_beyond_the_budget() {
    let bytes = example("sp_dev_tok_tf", "stages/1_CountVectorizer_61dfcf1e3d81");
    assert!(matches!(Table::open(&bytes, &Cell::new(100)), Err(Fault::Limit(_))));
    let budget = Cell::new(1 << 20);
    let table = Table::open(&bytes, &budget).unwrap();
    budget.set(10);
    assert!(matches!(table.texts("vocabulary", 100), Err(Fault::Limit(_))));
}

/// Cut short anywhere, and with each byte turned over.
#[test]
fn damaged_files_do_no_harm() {
    let good = example("sp_dev_tok_tf", "stages/1_CountVectorizer_61dfcf1e3d81");
    assert!(ask_all(&good).unwrap() > 3);
    for at in 0..good.len() {
        assert!(ask_all(&good[..at]).is_err());
        for with in [0xff, 0x80, 0x01] {
            let mut bad = good.clone();
            bad[at] ^= with;
            drop(ask_all(&bad));
        }
    }
}

#[test]
fn footers_that_lie_are_refused() {
    let file = |footer: &[u8]| {
        let mut bytes = b"PAR1".to_vec();
        bytes.extend_from_slice(footer);
        bytes.extend_from_slice(&(footer.len() as u32).to_le_bytes());
        bytes.extend_from_slice(b"PAR1");
        bytes
    };
    // A list of two thousand million row groups, structures without an end, lists in lists.
    for footer in [
        &b"\x49\xfc\xff\xff\xff\xff\x0f"[..],
        &[0x1c; 5000],
        &[0x19; 5000],
        &[0x1b; 100],
        b"\x29\x1c\x15\xfe\xff\xff\xff\x0f\x00\x00",
    ] {
        assert!(ask_all(&file(footer)).is_err(), "{footer:?}");
    }
    let mut long = file(b"\0");
    let n = long.len();
    long[n - 8..n - 4].copy_from_slice(&u32::MAX.to_le_bytes());
    assert!(matches!(ask_all(&long), Err(Fault::Limit(_))));
    let encrypted = [&long[..n - 4], b"PARE"].concat();
    assert!(matches!(ask_all(&encrypted), Err(Fault::Limit(_))));
}

#[test]
fn a_long_beginning_of_many_paths_is_not_copied_without_end() {
    let schema = |leaves: usize| {
        let varint = |n: usize| vec![(n & 127) as u8 | 128, (n >> 7 & 127) as u8 | 128, (n >> 14) as u8];
        let name = |length: usize| [&[0x48][..], &varint(length), &vec![b'a'; length]].concat();
        let mut bytes = [&[0x29, 0xfc][..], &varint(2 + leaves)].concat();
        bytes.extend([&name(1)[..], &[0x15], &varint(2), &[0]].concat());
        bytes.extend([&name(4000)[..], &[0x15], &varint(2 * leaves), &[0]].concat());
        for _ in 0..leaves {
            bytes.extend([0x15, 2, 0x38, 1, b'b', 0]);
        }
        bytes.push(0);
        bytes
    };
    assert_eq!(footer::Footer::read(&schema(10)).unwrap().leaves.len(), 10);
    assert!(matches!(footer::Footer::read(&schema(10_000)), Err(Fault::Limit(_))));
}
