use super::*;
use crate::error::{Error, Kind};
use crate::model::contract::DType;

/// Reads a pickle that is written as bytes.
fn tree(bytes: &[u8]) -> Pickle {
    let read = read(&bytes, 0, &Limits::default()).unwrap();
    assert_eq!(read.end, bytes.len() as u64);
    read.pickle
}

/// `{'w': numpy.arange(3, dtype='>i2'), 'n': ['ä', 7]}` by protocol 2 of Python 3.
const ARRAY: &[u8] = b"\x80\x02}(X\x01\x00\x00\x00wcnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85c_codecs\nencode\nX\x01\x00\x00\x00bX\x06\x00\x00\x00latin1\x86R\x87R(K\x01K\x03\x85cnumpy\ndtype\nX\x02\x00\x00\x00i2K\x00K\x01\x87R(K\x03X\x01\x00\x00\x00>NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89C\x06\x00\x00\x00\x01\x00\x02tbX\x01\x00\x00\x00n](X\x02\x00\x00\x00\xc3\xa4K\x07eu.";

#[test]
fn an_array_is_folded() {
    let tree = tree(ARRAY);
    let root = tree.root().unwrap();
    let array = tree.array(tree.get(root, "w").unwrap()).unwrap();
    assert_eq!((array.element.dtype(), array.shape.as_slice()), (Some(DType::Int16), &[3][..]));
    assert_eq!(array.ints(), Some(vec![0, 1, 2]));
    let list = tree.elements(tree.get(root, "n").unwrap()).unwrap();
    assert_eq!((tree.str(list[0]), tree.int(list[1])), (Some("ä"), Some(7)));
}

#[test]
fn a_pickle_that_is_cut_is_broken() {
    for n in 0..ARRAY.len() {
        assert!(read(&&ARRAY[..n], 0, &Limits::default()).is_err(), "{n}");
    }
}

#[test]
fn every_flipped_bit_is_survived() {
    for bit in 0..ARRAY.len() * 8 {
        let mut bytes = ARRAY.to_vec();
        bytes[bit / 8] ^= 1 << (bit % 8);
        let _ = read(&bytes, 0, &Limits::default());
    }
}

#[test]
fn what_is_looked_at_in_vain_is_paid_for() {
    // A list of numbers, which are no pairs, is given to the same function again and again.
    let mut bytes = b"\x80\x04]q\x00(".to_vec();
    bytes.extend(b"K\x01".repeat(100_000));
    bytes.extend(b"e0ccollections\nOrderedDict\nq\x010");
    bytes.extend(b"h\x01h\x00\x85R0".repeat(1000));
    bytes.extend(b"N.");
    let read = read(&bytes.as_slice(), 0, &Limits::default()).unwrap();
    assert!(read.stopped.unwrap().contains("memory"));
}

#[test]
fn an_oddity_is_told_once() {
    let mut bytes = b"cos\nsystem\n".to_vec();
    bytes.extend(b"Nb".repeat(100_000));
    bytes.extend(b".");
    let read = read(&bytes.as_slice(), 0, &Limits::default()).unwrap();
    assert_eq!(read.notes, [Note::Patched(read.pickle.root().unwrap())]);
}

#[test]
fn the_name_of_a_type_is_short() {
    assert_eq!(ElementType::parse("<U12").unwrap().code, "U12");
    assert_eq!(ElementType::parse(&format!("S{}", "9".repeat(64 << 10))), None);
}

#[test]
fn what_is_concluded_from_too_many_questions_is_not_kept() {
    let tree = tree(b"\x80\x04}(K\x01K\x02\x8c\x01xK\x03u.");
    let root = tree.root().unwrap();
    let mut reading = crate::model::format::Reading::default();
    tree.ask(&mut reading, |reading| {
        reading.fact("kept", tree.get(root, "x").is_some());
        Ok(())
    })
    .unwrap();
    assert_eq!(reading.facts["kept"], true);
    tree.ask(&mut reading, |reading| {
        assert_eq!(tree.look(1 << 40), None);
        reading.fact("lost", tree.get(root, "x").is_some());
        Err(Error::new(Kind::Model, "nothing is as it was"))
    })
    .unwrap();
    assert_eq!(reading.facts.len(), 1);
    assert!(reading.warnings[0].contains("share more than is looked at"));
}

/// What loading a pickle finds with the names of scikit-learn allowed: severity, code and place.
fn findings(bytes: &[u8]) -> Vec<String> {
    let mut reading = crate::model::format::Reading::default();
    open(&bytes, &Limits::default()).unwrap().verdict(&Allow::SKLEARN, "m.pkl", &mut reading);
    reading.findings.iter().map(|f| format!("{:?} {} {}", f.severity, f.code, f.place)).collect()
}

#[test]
fn what_runs_code_is_found_however_it_is_written() {
    let system = "Error code-execution m.pkl: os.system";
    for bytes in [
        &b"cos\nsystem\n(S'id'\ntR."[..],
        b"(S'id'\nios\nsystem\n.",
        b"(cos\nsystem\nS'id'\no.",
        // The names come from the memo, after they were taken off the stack.
        b"\x80\x04\x8c\x02os\x94\x8c\x06system\x940h\x00h\x01\x93\x8c\x02id\x85R.",
        // The result is thrown away.
        b"cos\nsystem\n(S'id'\ntR0N.",
        // Not called yet.
        b"cfunctools\npartial\n(cos\nsystem\nS'id'\ntR.",
        b"\x80\x03cnumpy.core\n_ufunc_reconstruct\nX\x02\x00\x00\x00osX\x06\x00\x00\x00system\x86R.",
    ] {
        assert_eq!(findings(bytes), [system], "{}", crate::error::show_bytes(bytes));
    }
    // Through what a framework's module imports, and its own functions that run code.
    assert_eq!(
        findings(b"\x80\x04\x8c\x0dsklearn.utils\x8c\x09os.system\x93\x8c\x02id\x85R."),
        ["Error code-execution m.pkl: sklearn.utils.os.system"]
    );
    assert_eq!(
        findings(b"\x80\x04\x8c\x05numpy\x8c\x20testing._private.utils.runstring\x93\x8c\x02id\x85R."),
        ["Error code-execution m.pkl: numpy.testing._private.utils.runstring"]
    );
    assert_eq!(findings(b"csys\nmodules\n(dS'a'\nS'b'\nsb.").len(), 2);
    assert_eq!(
        findings(b"csklearn.base\nBaseEstimator\nS'a'\nS'b'\ns."),
        ["Error code-execution m.pkl: sklearn.base.BaseEstimator"]
    );
    let inner = b"cos\nsystem\n(S'id'\ntR.";
    let outer = [&b"\x80\x03ctorch.storage\n_load_from_bytes\nC\x15"[..], inner, b"\x85R."].concat();
    assert!(
        findings(&outer)
            .contains(&"Error code-execution m.pkl: torch.storage._load_from_bytes: os.system".to_owned())
    );
}

#[test]
fn what_is_not_checked_is_told_apart_from_what_is_the_frameworks() {
    assert_eq!(findings(b"csklearn.svm._classes\nSVC\n)\x81}b."), [""; 0]);
    assert_eq!(findings(b"cbuiltins\ngetattr\n(csklearn.svm\nSVC\nS'fit'\ntR."), [""; 0]);
    assert_eq!(findings(b"cshop.model\nTaste\n)\x81."), ["Warning unverified-code m.pkl: shop.model.Taste"]);
    // As scikit-learn 1.5 names its losses; nothing else in a module of that name is its own.
    let loss = b"c_loss\n__pyx_unpickle_CyHalfSquaredError\n(c_loss\nCyHalfSquaredError\nI1\nNtR.";
    assert_eq!(findings(loss), [""; 0]);
    assert_eq!(findings(b"c_loss\nfetch\n(tR."), ["Warning unverified-code m.pkl: _loss.fetch"]);
    assert_eq!(findings(b"c__main__\nTaste\n)\x81."), ["Warning unverified-code m.pkl: __main__.Taste"]);
    assert_eq!(
        findings(b"csklearn.utils\nfetch\n(tR."),
        ["Warning unverified-code m.pkl: sklearn.utils.fetch"]
    );
    assert_eq!(findings(b"cmarshal\nloads\n(S''\ntR."), ["Warning code-object m.pkl"]);
    assert_eq!(findings(b"\x80\x02\x82\x05."), ["Warning extension-registry m.pkl"]);
    assert_eq!(findings(b"N.cos\nsystem\n(S'id'\ntR."), ["Warning second-pickle m.pkl"]);
    assert_eq!(findings(b"N.\0\0\0"), ["Warning trailing-data m.pkl"]);
}

#[test]
fn sharing_and_depth_cost_no_more_than_they_are() {
    // Each list in the next: nothing here calls itself.
    let deep = [vec![b']'; 200_000], vec![b'a'; 199_999], b".".to_vec()].concat();
    assert!(read(&deep, 0, &Limits::default()).unwrap().stopped.is_none());
    // Every list holds the one before twice.
    let mut bomb = b"]".to_vec();
    for _ in 0..60 {
        bomb.extend(b"2\x86");
    }
    bomb.push(b'.');
    assert!(read(&bomb, 0, &Limits::default()).unwrap().pickle.nodes().count() < 100);
    // One long text in the memo, copied by each of many calls.
    let mut copies = b"X\x00\x80\x00\x00".to_vec();
    copies.extend(vec![b'x'; 0x8000]);
    copies.extend(b"q\x000c_codecs\nencode\nq\x010X\x06\x00\x00\x00latin1q\x020");
    for _ in 0..10_000 {
        copies.extend(b"h\x01h\x00h\x02\x86R");
    }
    copies.push(b'.');
    let read = read(&copies, 0, &Limits { memory: 4 << 20, ..Limits::default() }).unwrap();
    assert_eq!(read.stopped.as_deref(), Some("the limit of 4 MiB of memory"));
}

#[test]
fn absurd_lengths_are_not_believed() {
    for bytes in [
        &b"X\xff\xff\xff\xff."[..],
        b"\x8e\xff\xff\xff\xff\xff\xff\xff\xff.",
        b"\x8d\xff\xff\xff\xff\xff\xff\xff\x7f.",
        b"\x96\xff\xff\xff\xff\xff\xff\xff\x7f.",
        b"\x8b\xff\xff\xff\x7f.",
        b"\x8b\xff\xff\xff\xff.",
        b"T\xff\xff\xff\xff.",
        b"\x95\xff\xff\xff\xff\xff\xff\xff\x7fN.",
        b"Nr\xff\xff\xff\xff",
    ] {
        assert!(read(&bytes, 0, &Limits::default()).is_err(), "{bytes:?}");
    }
    // A number in the memo is a key, and costs no more than one.
    assert!(read(&&b"Nr\xff\xff\xff\xff."[..], 0, &Limits::default()).is_ok());
}

#[test]
fn what_may_be_a_pickle_is_told_by_its_beginning() {
    for yes in [&b"\x80\x04\x95"[..], b"ccopy_reg\n_reconstructor\n", b"(dp0\n", b"}q\0", b"x\x9c..", b"BZh9"]
    {
        assert!(looks_like(yes), "{yes:?}");
    }
    for no in [&b"class,width\n1,2\n"[..], b"PK\x03\x04", b"{\"a\": 1}", b"(a text)", b"\x89HDF", b""] {
        assert!(!looks_like(no), "{no:?}");
    }
    let text = b"cat\ndog\nbird\n";
    assert_eq!(peek(&&text[..], text).unwrap().map(|p| p.broken.is_some()), Some(true));
    let seen = peek(&ARRAY, ARRAY).unwrap().unwrap();
    assert_eq!((seen.plain, seen.complete, seen.has("numpy"), seen.root), (Some("dict"), true, true, None));
}

proptest::proptest! {
    #[test]
    fn opcodes_in_any_order_are_survived(
        choice in proptest::collection::vec((0usize..SOUP.len(), 0u8..8), 0..200)
    ) {
        let mut bytes = Vec::new();
        for (at, small) in choice {
            bytes.extend_from_slice(SOUP[at]);
            if matches!(SOUP[at], b"h" | b"q" | b"K" | b"\x82") {
                bytes.push(small);
            }
        }
        bytes.push(b'.');
        if let Ok(stored) = open(&bytes, &Limits::default()) {
            let mut reading = crate::model::format::Reading::default();
            stored.verdict(&Allow::DATA, "soup", &mut reading);
        }
    }
}

/// Opcodes with arguments that are right.
const SOUP: &[&[u8]] = &[
    b"(",
    b"0",
    b"1",
    b"2",
    b"N",
    b"\x88",
    b"\x89",
    b"I01\n",
    b"I7\n",
    b"L12345678901234567890L\n",
    b"F1.5\n",
    b"K",
    b"M\x01\x02",
    b"J\x01\x02\x03\x04",
    b"G\x3f\xf0\x00\x00\x00\x00\x00\x00",
    b"\x8a\x01\xff",
    b"S'latin1'\n",
    b"Va\\u00e4\n",
    b"U\x01a",
    b"X\x01\x00\x00\x00a",
    b"\x8c\x05dtype",
    b"\x8c\x05numpy",
    b"C\x02ab",
    b"]",
    b")",
    b"}",
    b"\x8f",
    b"l",
    b"t",
    b"\x91",
    b"d",
    b"\x85",
    b"\x86",
    b"\x87",
    b"a",
    b"e",
    b"s",
    b"u",
    b"\x90",
    b"h",
    b"q",
    b"\x94",
    b"\x93",
    b"\x82",
    b"cnumpy\ndtype\n",
    b"cnumpy.core.multiarray\n_reconstruct\n",
    b"cnumpy.core.multiarray\nscalar\n",
    b"cjoblib.numpy_pickle\nNumpyArrayWrapper\n",
    b"c_codecs\nencode\n",
    b"ccollections\nOrderedDict\n",
    b"ccopyreg\n_reconstructor\n",
    b"ccopyreg\n__newobj__\n",
    b"cbuiltins\nbytearray\n",
    b"cbuiltins\nset\n",
    b"cpickle\nloads\n",
    b"R",
    b"ios\nsystem\n",
    b"o",
    b"\x81",
    b"\x92",
    b"b",
    b"Pid\n",
    b"Q",
    b"\x80\x04",
    b"\x95\x01\x00\x00\x00\x00\x00\x00\x00",
    b"\x98",
];
