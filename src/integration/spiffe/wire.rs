//! The messages of the Workload API in protobuf, without code generation.
//!
//! The reader accepts what proto3 allows: unknown fields are skipped, and the last of several values of a
//! singular field counts. It allocates no more than the message is long.

/// A message is not protobuf, or a text in it is not UTF-8.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NotProtobuf;

/// The value of one field.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Field<'m> {
    Varint(u64),
    Fixed64(u64),
    Bytes(&'m [u8]),
    Fixed32,
}

/// Reads the fields of a message, in their order.
pub(super) struct Fields<'m>(&'m [u8]);

impl<'m> Fields<'m> {
    pub(super) const fn of(message: &'m [u8]) -> Self {
        Self(message)
    }

    fn varint(&mut self) -> Result<u64, NotProtobuf> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let (&byte, rest) = self.0.split_first().ok_or(NotProtobuf)?;
            self.0 = rest;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return Err(NotProtobuf);
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(NotProtobuf)
    }

    fn take(&mut self, length: u64) -> Result<&'m [u8], NotProtobuf> {
        let length = usize::try_from(length).map_err(|_| NotProtobuf)?;
        let (taken, rest) = self.0.split_at_checked(length).ok_or(NotProtobuf)?;
        self.0 = rest;
        Ok(taken)
    }

    fn field(&mut self) -> Result<(u64, Field<'m>), NotProtobuf> {
        let key = self.varint()?;
        let number = key >> 3;
        if number == 0 {
            return Err(NotProtobuf);
        }
        let field = match key & 7 {
            0 => Field::Varint(self.varint()?),
            1 => {
                let bytes = self.take(8)?.try_into().map_err(|_| NotProtobuf)?;
                Field::Fixed64(u64::from_le_bytes(bytes))
            }
            2 => {
                let length = self.varint()?;
                Field::Bytes(self.take(length)?)
            }
            5 => {
                self.take(4)?;
                Field::Fixed32
            }
            _ => return Err(NotProtobuf), // groups, which proto3 does not have
        };
        Ok((number, field))
    }
}

impl<'m> Iterator for Fields<'m> {
    type Item = Result<(u64, Field<'m>), NotProtobuf>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_err() {
            self.0 = &[];
        }
        Some(field)
    }
}

impl<'m> Field<'m> {
    /// A string, bytes or a message.
    pub(super) const fn bytes(self) -> Result<&'m [u8], NotProtobuf> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            _ => Err(NotProtobuf),
        }
    }

    pub(super) fn text(self) -> Result<String, NotProtobuf> {
        let text = std::str::from_utf8(self.bytes()?).map_err(|_| NotProtobuf)?;
        Ok(text.to_owned())
    }
}

/// An entry of `map<string, bytes>`.
pub(super) fn entry(message: &[u8]) -> Result<(String, Vec<u8>), NotProtobuf> {
    let (mut key, mut value) = (String::new(), Vec::new());
    for field in Fields::of(message) {
        match field? {
            (1, field) => key = field.text()?,
            (2, field) => value = field.bytes()?.to_vec(),
            _ => {}
        }
    }
    Ok((key, value))
}

/// Appends a field of bytes, text or a message.
pub(super) fn put(message: &mut Vec<u8>, number: u8, bytes: &[u8]) {
    debug_assert!(number < 16, "one byte");
    message.push(number << 3 | 2);
    let mut length = bytes.len();
    while length >= 0x80 {
        message.push((length & 0x7f) as u8 | 0x80);
        length >>= 7;
    }
    message.push(length as u8);
    message.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let long = vec![7; 70_000];
        let mut message = Vec::new();
        put(&mut message, 1, b"a");
        put(&mut message, 15, &long);
        message.extend([0x10, 0x96, 0x01]); // field 2, 150
        let fields: Result<Vec<_>, _> = Fields::of(&message).collect();
        let expected = [
            (1, Field::Bytes(b"a")),
            (15, Field::Bytes(&long)),
            (2, Field::Varint(150)),
        ];
        assert_eq!(fields.as_deref(), Ok(&expected[..]));
        assert_eq!(entry(&[]), Ok((String::new(), Vec::new())));
        let mut pair = Vec::new();
        put(&mut pair, 1, b"key");
        put(&mut pair, 2, b"value");
        assert_eq!(entry(&pair), Ok(("key".to_owned(), b"value".to_vec())));
    }

    #[test]
    fn hostile_messages_are_errors() {
        for message in [
            &[0x0a][..],                                                   // no length
            &[0x0a, 0x02, 0x61],                                           // cut off
            &[0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01], // longer than memory
            &[0x80; 11],                                                   // endless
            &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f], // over 64 bits
            &[0x02, 0x00],                                                 // field 0
            &[0x0b],                                                       // a group
            &[0x09, 1, 2, 3],                                              // half of eight bytes
        ] {
            let fields: Result<Vec<_>, _> = Fields::of(message).collect();
            assert_eq!(fields, Err(NotProtobuf), "{message:x?}");
        }
        assert_eq!(Field::Bytes(&[0xff]).text(), Err(NotProtobuf));
        assert_eq!(Field::Varint(1).bytes(), Err(NotProtobuf));
    }
}
