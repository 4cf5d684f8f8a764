use super::*;

const BUDGET: u64 = 1 << 24;

fn example(name: &str) -> Vec<u8> {
    let all = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/models/keras");
    std::fs::read(all.join(name)).unwrap()
}

/// Reads everything that can be read.
fn everything(bytes: &[u8]) -> Result<(usize, usize, Option<String>)> {
    let file = File::open(&bytes, BUDGET)?;
    let root = file.root()?;
    let mut values = 0;
    for attribute in file.attributes(&root)? {
        file.value(&attribute)?;
        values += 1;
    }
    let mut datasets = 0;
    let stopped = file.walk(&root, &|_| true, |_, object, _| {
        datasets += 1;
        for attribute in file.attributes(object).unwrap_or_default() {
            let _ = file.value(&attribute);
        }
    });
    Ok((values, datasets, stopped))
}

#[test]
fn nothing_is_no_file() {
    assert!(File::open(&&b""[..], BUDGET).is_err());
    assert!(File::open(&&SIGNATURE[..], BUDGET).is_err());
}

#[test]
fn groups_and_attributes_of_every_layout_are_found() {
    // Old groups, new ones, all in dense storage, and behind a user block.
    let plain = everything(&example("k2_g_nested_h5/model.h5")).unwrap();
    assert_eq!(plain.2, None);
    assert!(plain.0 >= 3 && plain.1 >= 4);
    for name in ["made_h5_latest/model.h5", "made_h5_user_block/model.h5", "made_h5_fixed_text/model.h5"] {
        assert_eq!(everything(&example(name)).unwrap(), plain, "{name}");
    }
    let dense = everything(&example("made_h5_dense/model.h5")).unwrap();
    assert_eq!(dense, (plain.0 + 40, plain.1, None));
}

#[test]
fn c60_what_leads_into_itself_ends() {
    let whole = example("made_h5_dense/model.h5");
    // Every place where an address could stand is made to lead to every kind of record.
    let records: Vec<u64> = [&b"OHDR"[..], b"FRHP", b"FHDB", b"FHIB", b"BTHD", b"BTLF", b"GCOL"]
        .iter()
        .flat_map(|sign| whole.windows(4).position(|w| w == *sign))
        .map(|at| at as u64)
        .collect();
    assert!(records.len() >= 5);
    for record in &records {
        for at in (0..whole.len() - 8).step_by(101) {
            let mut bytes = whole.clone();
            bytes[at..at + 8].copy_from_slice(&record.to_le_bytes());
            let _ = everything(&bytes);
        }
    }
}

#[test]
fn c60_absurd_numbers_allocate_nothing() {
    for name in ["k2_g_nested_h5/model.h5", "made_h5_latest/model.h5"] {
        let whole = example(name);
        for at in (0..whole.len() - 8).step_by(103) {
            for value in [u64::MAX, u64::MAX >> 1, u64::from(u32::MAX), 1 << 40] {
                let mut bytes = whole.clone();
                bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
                let _ = everything(&bytes);
            }
        }
    }
}

#[test]
fn the_budget_holds() {
    let whole = example("made_h5_dense/model.h5");
    let bytes = whole.as_slice();
    for budget in [0, 100, 5000, 9000] {
        let outcome = File::open(&bytes, budget).and_then(|f| {
            let root = f.root()?;
            f.attributes(&root)?.iter().try_for_each(|a| f.value(a).map(drop))
        });
        assert!(outcome.is_err(), "{budget}");
    }
}

/// A file with one old group whose entries all have the same name.
fn one_name(name: usize, entries: u16) -> Vec<u8> {
    let number = |n: u64| n.to_le_bytes();
    let (header, tree, heap, data) = (96u64, 136u64, 192u64, 224u64);
    let nodes = data + name as u64 + 1;
    let mut bytes = SIGNATURE.to_vec();
    bytes.extend([0, 0, 0, 0, 0, 8, 8, 0, 4, 0, 16, 0, 0, 0, 0, 0]);
    for n in [0, u64::MAX, 1 << 20, u64::MAX, 0, header] {
        bytes.extend(number(n));
    }
    bytes.extend([0; 24]);
    // The root's header: one message, with the addresses of the tree and the heap.
    bytes.extend([1, 0, 1, 0, 1, 0, 0, 0, 24, 0, 0, 0, 0, 0, 0, 0]);
    bytes.extend([0x11, 0, 16, 0, 0, 0, 0, 0]);
    bytes.extend([number(tree), number(heap)].concat());
    bytes.extend(b"TREE\0\0\x01\0");
    for n in [u64::MAX, u64::MAX, 0, nodes, 0, 0] {
        bytes.extend(number(n));
    }
    bytes.extend(b"HEAP\0\0\0\0");
    for n in [name as u64 + 1, u64::MAX, data] {
        bytes.extend(number(n));
    }
    bytes.extend(vec![b'a'; name]);
    bytes.push(0);
    bytes.extend(b"SNOD\x01\0");
    bytes.extend(entries.to_le_bytes());
    for _ in 0..entries {
        bytes.extend([number(0), number(header)].concat());
        bytes.extend([0; 24]);
    }
    bytes
}

#[test]
fn a_name_that_many_links_share_is_not_copied_without_end() {
    let links = |name, entries| {
        let bytes = one_name(name, entries);
        let bytes = bytes.as_slice();
        let file = File::open(&bytes, BUDGET)?;
        file.links(&file.root()?).map(|links| links.len())
    };
    assert_eq!(links(3, 2).unwrap(), 2);
    assert_eq!(links(4000, 100).unwrap(), 100);
    assert!(links(4000, 10_000).unwrap_err().message().contains("bytes of names"));
    assert!(links(5000, 1).unwrap_err().message().contains("more than 4096 bytes"));
}

#[test]
fn what_is_at_hand_is_paid_for_each_time() {
    let bytes = one_name(3, 2);
    let bytes = bytes.as_slice();
    let file = File::open(&bytes, 1 << 16).unwrap();
    let asked = (0..10_000).take_while(|_| file.root().is_ok()).count();
    assert!((100..3000).contains(&asked), "{asked}");
}
