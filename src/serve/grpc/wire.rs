//! The fields of a message that lies in memory, one after the other, without a copy.
//!
//! It is not [`crate::model::pb`], which reads the few interesting fields of a large file: here
//! every byte belongs to a request, is already in memory and is looked at once.
//!
//! Invariant: nothing is allocated, and no length reaches beyond the message that holds it.

/// The longest varint in bytes.
const MAX_VARINT: usize = 10;

/// What a field holds, as far as the wire tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Value<'a> {
    /// A number in the variable form.
    Varint(u64),
    /// Eight bytes.
    Fixed64(&'a [u8]),
    /// Text, bytes, packed numbers or a message.
    Bytes(&'a [u8]),
    /// Four bytes.
    Fixed32(&'a [u8]),
}

/// The fields of a message.
pub(super) struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    /// The fields of a message.
    pub(super) fn of(message: &'a [u8]) -> Self {
        Self(message)
    }

    /// The number and the value of the next field; `None` at the end.
    ///
    /// # Errors
    ///
    /// What is broken, in a few words.
    pub(super) fn next(&mut self) -> Result<Option<(u64, Value<'a>)>, String> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let key = varint(&mut self.0)?;
        let value = match key & 7 {
            0 => Value::Varint(varint(&mut self.0)?),
            1 => Value::Fixed64(self.take(8)?),
            2 => {
                let length = varint(&mut self.0)?;
                Value::Bytes(self.take(length)?)
            }
            5 => Value::Fixed32(self.take(4)?),
            other => return Err(format!("a field has the wire type {other}")),
        };
        Ok(Some((key >> 3, value)))
    }

    fn take(&mut self, length: u64) -> Result<&'a [u8], String> {
        let parts = usize::try_from(length).ok().and_then(|n| self.0.split_at_checked(n));
        let Some((taken, rest)) = parts else {
            return Err(format!("a value claims {length} bytes, {} are left", self.0.len()));
        };
        self.0 = rest;
        Ok(taken)
    }
}

/// Takes a number in the variable form off the front.
///
/// # Errors
///
/// When the bytes end inside it, or it has more than 64 bits.
pub(super) fn varint(bytes: &mut &[u8]) -> Result<u64, String> {
    let mut value = 0u64;
    for (at, byte) in bytes.iter().take(MAX_VARINT).enumerate() {
        // The tenth byte has room for one bit.
        if at == MAX_VARINT - 1 && *byte > 1 {
            break;
        }
        value |= u64::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            *bytes = bytes.get(at + 1..).unwrap_or_default();
            return Ok(value);
        }
    }
    Err(if bytes.len() < MAX_VARINT {
        "it ends inside a number".into()
    } else {
        "a number has more than 64 bits".into()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_wire_type_is_read() {
        let bytes = [0x08, 0x96, 0x01, 0x11, 1, 0, 0, 0, 0, 0, 0, 0, 0x1a, 2, b'h', b'i', 0x25, 2, 0, 0, 0];
        let mut fields = Fields::of(&bytes);
        assert_eq!(fields.next(), Ok(Some((1, Value::Varint(150)))));
        assert_eq!(fields.next(), Ok(Some((2, Value::Fixed64(&[1, 0, 0, 0, 0, 0, 0, 0])))));
        assert_eq!(fields.next(), Ok(Some((3, Value::Bytes(b"hi")))));
        assert_eq!(fields.next(), Ok(Some((4, Value::Fixed32(&[2, 0, 0, 0])))));
        assert_eq!(fields.next(), Ok(None));
    }

    #[test]
    fn broken_messages_are_told_apart_from_short_ones() {
        for (bytes, why) in [
            (&[0x0a, 5, 1][..], "a value claims 5 bytes, 1 are left"),
            (&[0x08], "it ends inside a number"),
            (&[0x08, 0x80], "it ends inside a number"),
            (&[0x08, 128, 128, 128, 128, 128, 128, 128, 128, 128, 2], "a number has more than 64 bits"),
            (&[0x09, 1, 2], "a value claims 8 bytes, 2 are left"),
            (&[0x0b], "a field has the wire type 3"),
            (
                &[0x0a, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1],
                "a value claims 18446744073709551615 bytes, 0 are left",
            ),
        ] {
            assert_eq!(Fields::of(bytes).next().unwrap_err(), why, "{bytes:?}");
        }
        let mut most = &[255, 255, 255, 255, 255, 255, 255, 255, 255, 1][..];
        assert_eq!(varint(&mut most), Ok(u64::MAX));
        assert!(most.is_empty());
    }
}
