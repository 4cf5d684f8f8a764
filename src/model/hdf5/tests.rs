use super::*;

#[test]
fn nothing_is_no_file() {
    assert!(File::open(&&b""[..], 1 << 20).is_err());
    assert!(File::open(&&b"\x89HDF\r\n\x1a\n"[..], 1 << 20).is_err());
}
