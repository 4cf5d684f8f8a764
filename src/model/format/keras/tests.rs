use super::*;

#[test]
fn names_that_are_keras() {
    assert!(Keras.expects(b"model.H5") && Keras.expects(b"a.keras"));
}
