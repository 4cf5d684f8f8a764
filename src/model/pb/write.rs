//! Protobuf, written.
//!
//! Fields come out in the order in which they are written, and lengths and numbers in their shortest
//! form: the bytes are the same in every run. Whether a default value is left out is the caller's
//! business, since the schemas differ in that.

/// Collects the bytes of a message.
#[derive(Debug, Default)]
pub struct Writer(Vec<u8>);

impl Writer {
    /// An empty message.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn raw(&mut self, mut n: u64) {
        while n >= 0x80 {
            self.0.push((n & 0x7f) as u8 | 0x80);
            n >>= 7;
        }
        self.0.push((n & 0x7f) as u8);
    }

    /// A number, a bool or an enum.
    pub fn varint(&mut self, field: u32, value: u64) {
        self.raw(u64::from(field) << 3);
        self.raw(value);
    }

    /// A number that may be negative, as `int64` and `int32` are written.
    pub fn int(&mut self, field: u32, value: i64) {
        self.varint(field, value.cast_unsigned());
    }

    /// Bytes or text.
    pub fn bytes(&mut self, field: u32, value: &[u8]) {
        self.raw(u64::from(field) << 3 | 2);
        self.raw(value.len() as u64);
        self.0.extend_from_slice(value);
    }

    /// A message inside this one.
    pub fn message(&mut self, field: u32, value: Self) {
        self.bytes(field, &value.finish());
    }

    /// Numbers in packed form; none at all is nothing at all.
    pub fn packed(&mut self, field: u32, values: &[i64]) {
        if !values.is_empty() {
            let mut inner = Self::new();
            for v in values {
                inner.raw(v.cast_unsigned());
            }
            self.message(field, inner);
        }
    }

    /// The bytes.
    #[must_use]
    pub fn finish(self) -> Vec<u8> {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_their_shortest_form() {
        let mut w = Writer::new();
        w.varint(1, 150);
        w.packed(2, &[-1, 0]);
        w.packed(3, &[]);
        w.bytes(16, b"x");
        let mut expected = vec![0x08, 0x96, 0x01, 0x12, 11];
        expected.extend([0xff; 9]);
        expected.extend([1, 0, 0x82, 0x01, 1, b'x']);
        assert_eq!(w.finish(), expected);
    }
}
