//! The grammar of JSON, checked in one pass.

use super::DEPTH_MAX;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Json,
    /// JSON, but some strings hold half a surrogate pair.
    LoneSurrogates,
    NotJson,
}

/// Checks the grammar of RFC 8259 in one pass, without recursion and without memory of its own.
pub(super) fn check(bytes: &[u8]) -> Verdict {
    let mut scanner = Scanner { bytes, at: 0, lone_surrogates: false };
    match scanner.document() {
        None => Verdict::NotJson,
        Some(()) if scanner.lone_surrogates => Verdict::LoneSurrogates,
        Some(()) => Verdict::Json,
    }
}

struct Scanner<'a> {
    bytes: &'a [u8],
    at: usize,
    lone_surrogates: bool,
}

/// What may stand at the current place.
enum Expect {
    Value,
    /// After `[`.
    ValueOrEnd,
    /// After `{`.
    KeyOrEnd,
    /// After a comma in an object.
    Key,
    /// After a value.
    Next,
}

/// The containers around the current place: one bit each, set for an object.
struct Stack {
    objects: u128,
    depth: u32,
}

impl Stack {
    fn open(&mut self, object: bool) -> Option<()> {
        self.depth += 1;
        self.objects = self.objects << 1 | u128::from(object);
        (self.depth <= DEPTH_MAX).then_some(())
    }

    fn close(&mut self, object: bool) -> Option<()> {
        let matches = self.depth > 0 && self.in_object() == object;
        self.depth = self.depth.saturating_sub(1);
        self.objects >>= 1;
        matches.then_some(())
    }

    fn in_object(&self) -> bool {
        self.objects & 1 == 1
    }
}

impl Scanner<'_> {
    fn document(&mut self) -> Option<()> {
        let mut stack = Stack { objects: 0, depth: 0 };
        let mut expect = Expect::Value;
        loop {
            self.skip_space();
            if matches!(expect, Expect::Next) && stack.depth == 0 {
                return (self.at == self.bytes.len()).then_some(());
            }
            let byte = self.take()?;
            expect = match (expect, byte) {
                (Expect::Value | Expect::ValueOrEnd, b'{') => {
                    stack.open(true)?;
                    Expect::KeyOrEnd
                }
                (Expect::Value | Expect::ValueOrEnd, b'[') => {
                    stack.open(false)?;
                    Expect::ValueOrEnd
                }
                (Expect::ValueOrEnd | Expect::Next, b']') => {
                    stack.close(false)?;
                    Expect::Next
                }
                (Expect::KeyOrEnd | Expect::Next, b'}') => {
                    stack.close(true)?;
                    Expect::Next
                }
                (Expect::Value | Expect::ValueOrEnd, first) => {
                    self.scalar(first)?;
                    Expect::Next
                }
                (Expect::KeyOrEnd | Expect::Key, b'"') => {
                    self.string()?;
                    self.skip_space();
                    self.expect(b":")?;
                    Expect::Value
                }
                (Expect::Next, b',') if stack.in_object() => Expect::Key,
                (Expect::Next, b',') => Expect::Value,
                _ => return None,
            };
        }
    }

    fn scalar(&mut self, first: u8) -> Option<()> {
        match first {
            b'"' => self.string(),
            b'-' => {
                let first = self.take()?;
                self.number(first)
            }
            b'0'..=b'9' => self.number(first),
            b't' => self.expect(b"rue"),
            b'f' => self.expect(b"alse"),
            b'n' => self.expect(b"ull"),
            _ => None,
        }
    }

    fn number(&mut self, first: u8) -> Option<()> {
        match first {
            b'0' => {}
            b'1'..=b'9' => self.skip_digits(),
            _ => return None,
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            self.digits()?;
        }
        Some(())
    }

    fn digits(&mut self) -> Option<()> {
        self.take().filter(u8::is_ascii_digit)?;
        self.skip_digits();
        Some(())
    }

    fn skip_digits(&mut self) {
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
    }

    /// The rest of a string, after its opening quote.
    fn string(&mut self) -> Option<()> {
        loop {
            let rest = self.bytes.get(self.at..)?;
            self.at += plain_len(rest)?;
            match self.take()? {
                b'"' => return Some(()),
                b'\\' => self.escape()?,
                _ => return None,
            }
        }
    }

    fn escape(&mut self) -> Option<()> {
        match self.take()? {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => {}
            b'u' => {
                let unit = read_unit(self.bytes, self.at)?;
                self.at += 4;
                if is_surrogate(unit) {
                    let pair = is_pair_at(self.bytes, self.at - 6);
                    self.lone_surrogates |= !pair;
                    self.at += if pair { 6 } else { 0 };
                }
            }
            _ => return None,
        }
        Some(())
    }

    fn expect(&mut self, text: &[u8]) -> Option<()> {
        let found = self.bytes.get(self.at..)?.starts_with(text);
        self.at += text.len();
        found.then_some(())
    }

    fn skip_space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn take(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }
}

/// How many bytes come before the first that is not simply a part of a string; none if there is no such byte.
fn plain_len(bytes: &[u8]) -> Option<usize> {
    let (words, rest) = bytes.as_chunks::<8>();
    for (at, word) in words.iter().enumerate() {
        let special = special_bytes(u64::from_le_bytes(*word));
        if special != 0 {
            return Some(at * 8 + special.trailing_zeros() as usize / 8);
        }
    }
    let place = rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20))?;
    Some(words.len() * 8 + place)
}

/// The high bit of each byte that is a quote, a backslash or a control character; above the lowest of them there may
/// be others that are none.
fn special_bytes(word: u64) -> u64 {
    const ONES: u64 = u64::MAX / 255;
    const HIGH: u64 = ONES << 7;
    // Borrows from the byte below are what makes only the lowest one certain.
    let below = |word: u64, limit: u64| word.wrapping_sub(ONES * limit) & !word;
    let equal = |byte: u8| below(word ^ (ONES * u64::from(byte)), 1);
    (below(word, 0x20) | equal(b'"') | equal(b'\\')) & HIGH
}

/// The four hex digits at `at`.
pub(super) fn read_unit(bytes: &[u8], at: usize) -> Option<u16> {
    let digits = bytes.get(at..at.checked_add(4)?)?;
    digits.iter().try_fold(0, |unit: u16, digit| {
        let digit = char::from(*digit).to_digit(16)?;
        Some(unit << 4 | u16::try_from(digit).ok()?)
    })
}

pub(super) fn is_surrogate(unit: u16) -> bool {
    (0xd800..0xe000).contains(&unit)
}

/// Whether the escape at `at` (at its backslash) and the one after it are a surrogate pair.
pub(super) fn is_pair_at(bytes: &[u8], at: usize) -> bool {
    let high = read_unit(bytes, at + 2).is_some_and(|unit| (0xd800..0xdc00).contains(&unit));
    let follows = bytes.get(at + 6..).is_some_and(|rest| rest.starts_with(b"\\u"));
    high && follows && read_unit(bytes, at + 8).is_some_and(|unit| (0xdc00..0xe000).contains(&unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_special_byte_is_found_wherever_it_is() {
        for len in 0..20 {
            for plain in [b' ', b'a', b'#', b'!', b'[', b']', 0x7f, 0x80, 0xa2, 0xdc, 0xff] {
                let bytes = vec![plain; len];
                assert_eq!(plain_len(&bytes), None, "{bytes:?}");
                for at in 0..len {
                    for special in (0..=255u8).filter(|byte| matches!(byte, b'"' | b'\\' | 0..0x20)) {
                        let mut bytes = bytes.clone();
                        bytes[at] = special;
                        assert_eq!(plain_len(&bytes), Some(at), "{bytes:?}");
                    }
                }
            }
        }
    }
}
