//! Characters beyond U+FFFF, which pomelo's JavaScript clients know only as two surrogates.
//!
//! A recorded server sent them as UTF-8, which such a client shows garbled. A right server sends them as the client
//! needs them: escaped in JSON, as two sequences of three bytes in protobuf strings. Both are the same text.

/// Whether there is such a character in UTF-8.
pub(crate) fn is_in(bytes: &[u8]) -> bool {
    str::from_utf8(bytes)
        .map_or_else(|_| bytes.windows(4).any(is_utf8_of_four), |text| text.chars().any(is_astral))
}

fn is_astral(char: char) -> bool {
    char > '\u{ffff}'
}

fn is_utf8_of_four(bytes: &[u8]) -> bool {
    str::from_utf8(bytes).is_ok_and(|text| text.chars().eq(text.chars().take(1)))
}

/// A message's body with these characters in UTF-8, whichever form they had; lengths in protobuf follow.
pub(crate) fn as_utf8(body: &[u8]) -> Vec<u8> {
    fields(body).unwrap_or_else(|| text(body))
}

/// Joins surrogates, be they escaped (`\ud83d\ude00`) or in three bytes each.
fn text(mut bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    while let [first, rest @ ..] = bytes {
        let pair = surrogate(bytes).and_then(|(high, rest)| {
            let (low, rest) = surrogate(rest)?;
            Some((char::decode_utf16([high, low]).next()?.ok()?, rest))
        });
        if let Some((char, rest)) = pair {
            out.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
            bytes = rest;
        } else {
            out.push(*first);
            bytes = rest;
        }
    }
    out
}

fn surrogate(bytes: &[u8]) -> Option<(u16, &[u8])> {
    let (unit, rest) = match bytes {
        [0xed, middle @ 0xa0..=0xbf, last @ 0x80..=0xbf, rest @ ..] => {
            (0xd000 | u16::from(middle & 0x3f) << 6 | u16::from(last & 0x3f), rest)
        }
        [b'\\', b'u', digits @ ..] => {
            let (digits, rest) = digits.split_first_chunk::<4>()?;
            (u16::from_str_radix(str::from_utf8(digits).ok()?, 16).ok()?, rest)
        }
        _ => return None,
    };
    (0xd800..=0xdfff).contains(&unit).then_some((unit, rest))
}

/// A protobuf message whose strings and inner messages are brought into the one form; `None` if it is none.
fn fields(mut bytes: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(bytes.len());
    while !bytes.is_empty() {
        let (head, rest) = varint(bytes)?;
        put_varint(head, &mut out);
        let content_len = match head & 7 {
            0 => rest.len() - varint(rest)?.1.len(),
            1 => 8,
            5 => 4,
            2 => {
                let (len, after) = varint(rest)?;
                let (content, after) = after.split_at_checked(usize::try_from(len).ok()?)?;
                let content = text(content);
                put_varint(content.len() as u64, &mut out);
                out.extend_from_slice(&content);
                bytes = after;
                continue;
            }
            _ => return None,
        };
        let (content, after) = rest.split_at_checked(content_len)?;
        out.extend_from_slice(content);
        bytes = after;
    }
    Some(out)
}

fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut value = 0;
    for (shift, (index, byte)) in (0..=49).step_by(7).zip(bytes.iter().enumerate()) {
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some((value, bytes.get(index + 1..)?));
        }
    }
    None
}

fn put_varint(mut value: u64, out: &mut Vec<u8>) {
    while value > 0x7f {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_forms_of_a_character_are_one_text() {
        let utf8 = "{\"a\":\"x😀y\"}".as_bytes();
        let escaped = br#"{"a":"x\ud83d\uDE00y"}"#;
        assert!(is_in(utf8) && !is_in(escaped));
        assert_eq!(as_utf8(escaped), utf8);
        assert_eq!(as_utf8(utf8), utf8);
    }

    #[test]
    fn the_length_of_a_protobuf_string_follows() {
        let utf8 = [&[0x0a, 5][..], "😀".as_bytes(), b"!", &[0x10, 0x96, 1]].concat();
        let two_of_three =
            [&[0x0a, 7][..], &[0xed, 0xa0, 0xbd, 0xed, 0xb8, 0x80], b"!", &[0x10, 0x96, 1]].concat();
        assert!(is_in(&utf8) && !is_in(&two_of_three));
        assert_eq!(as_utf8(&two_of_three), utf8);
        assert_eq!(as_utf8(&utf8), utf8);
    }

    #[test]
    fn everything_else_stays_as_it_is() {
        for same in [
            &b"{\"a\":\"\\u4e2d\\ud83d\"}"[..],
            "中文".as_bytes(),
            &[0xed, 0xa0, 0xbd],
            &[0x0a, 9, 1],
            &[0xff; 12],
        ] {
            assert_eq!(as_utf8(same), same);
        }
        assert!(!is_in("中文".as_bytes()) && !is_in(&[0xff, 0xf0, 0x9f, 0x98]));
    }
}
