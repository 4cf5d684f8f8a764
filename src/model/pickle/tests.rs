use super::*;
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
