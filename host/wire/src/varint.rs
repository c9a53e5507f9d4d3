//! Base-128 integers, low groups first, high bit = more follows.

use crate::WireError;

/// Ids are 32-bit signed in pomelo's clients.
pub(crate) const ID_MAX: u32 = (1 << 31) - 1;

/// The largest integer that a JavaScript number holds exactly, and so the largest of pomelo's protobuf.
pub(crate) const SAFE_INTEGER_MAX: u64 = 1 << 53;

/// Reads a message id from the start of `bytes`: the id and how many bytes it took.
pub(crate) fn read_id(bytes: &[u8]) -> Result<(u32, usize), WireError> {
    let mut id: u32 = 0;
    for (index, byte) in bytes.iter().enumerate() {
        let group = u32::from(byte & 0x7f);
        // The fifth group has room for the three bits 28 to 30.
        if index > 4 || (index == 4 && group > 7) {
            return Err(WireError::BadMessageId("over 2147483647"));
        }
        id |= group << (7 * index);
        if byte & 0x80 == 0 {
            if *byte == 0 && index > 0 {
                return Err(WireError::BadMessageId("not in its shortest form"));
            }
            return Ok((id, index + 1));
        }
    }
    // Five continuing bytes cannot become valid by waiting for more.
    if bytes.len() > 4 {
        Err(WireError::BadMessageId("over 2147483647"))
    } else {
        Err(WireError::TruncatedMessage("id"))
    }
}

/// Reads an integer of a protobuf body from the start of `bytes`: the value (at most 2^53) and how many
/// bytes it took. Padded forms are accepted up to eight bytes, as pomelo does.
pub(crate) fn read(bytes: &[u8]) -> Result<(u64, usize), &'static str> {
    let mut value: u64 = 0;
    for (index, byte) in bytes.iter().take(8).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            let fits = value <= SAFE_INTEGER_MAX;
            return if fits { Ok((value, index + 1)) } else { Err("an integer is over 2^53") };
        }
    }
    if bytes.len() < 8 { Err("it ends inside an integer") } else { Err("an integer is over 2^53") }
}

/// The shortest form of `value`, in a buffer and its used length.
pub(crate) fn encode(mut value: u64) -> ([u8; 10], usize) {
    let mut bytes = [0; 10];
    let mut len = 0;
    for slot in &mut bytes {
        let group = (value & 0x7f) as u8;
        value >>= 7;
        len += 1;
        *slot = if value == 0 { group } else { group | 0x80 };
        if value == 0 {
            break;
        }
    }
    (bytes, len)
}

/// Appends the shortest form of `value`.
pub(crate) fn write(value: u64, out: &mut impl Extend<u8>) {
    let (bytes, len) = encode(value);
    out.extend(bytes.into_iter().take(len));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_have_one_form_each() {
        for id in [0, 1, 127, 128, 16_383, 16_384, 1 << 21, 1 << 28, ID_MAX] {
            let mut bytes = Vec::new();
            write(u64::from(id), &mut bytes);
            assert_eq!(read_id(&bytes), Ok((id, bytes.len())));
            bytes.push(0xff);
            assert_eq!(read_id(&bytes), Ok((id, bytes.len() - 1)));
        }
    }

    #[test]
    fn bad_ids_are_errors() {
        let cases: [(&[u8], WireError); 7] = [
            (&[], WireError::TruncatedMessage("id")),
            (&[0x80], WireError::TruncatedMessage("id")),
            (&[0xff; 4], WireError::TruncatedMessage("id")),
            (&[0x80, 0x00], WireError::BadMessageId("not in its shortest form")),
            (&[0xff, 0xff, 0xff, 0xff, 0x08], WireError::BadMessageId("over 2147483647")),
            (&[0x80; 5], WireError::BadMessageId("over 2147483647")),
            (&[0xff; 64], WireError::BadMessageId("over 2147483647")),
        ];
        for (bytes, error) in cases {
            assert_eq!(read_id(bytes), Err(error), "{bytes:?}");
        }
    }

    #[test]
    fn protobuf_integers_reach_2_to_the_53() {
        for value in [0, 300, u64::from(u32::MAX), SAFE_INTEGER_MAX] {
            let mut bytes = Vec::new();
            write(value, &mut bytes);
            assert_eq!(read(&bytes), Ok((value, bytes.len())));
        }
        assert!(read(&[0xff; 7]).is_err());
        assert!(read(&[0xff; 9]).is_err());
        assert!(read(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]).is_err());
        assert_eq!(read(&[0x81, 0x00]), Ok((1, 2)));
    }
}
