//! Bytes to JSON values.

use super::DEPTH_MAX;
use super::schema::{Field, Kind, Rule, Schema, Schemas};
use crate::text;
use crate::varint::{self, SAFE_INTEGER_MAX};
use serde_json::{Map, Number, Value};

/// Decodes one message; fields in the order in which they came, the last one of a kind counts.
pub(super) fn message(schemas: &Schemas, schema: &Schema, bytes: &[u8]) -> Result<Value, String> {
    Reader { schemas, bytes, at: 0 }.message(schema, bytes.len(), 0)
}

struct Reader<'a> {
    schemas: &'a Schemas,
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    /// Reads fields up to `end`, which lies within the bytes.
    fn message(&mut self, schema: &Schema, end: usize, depth: usize) -> Result<Value, String> {
        if depth > DEPTH_MAX {
            return Err(format!("messages nest deeper than {DEPTH_MAX}"));
        }
        let mut message = Map::new();
        while self.at < end {
            let at = self.at;
            // The wire type is not compared, as in pomelo: the schema alone decides.
            let tag = self.integer(end)? >> 3;
            let field = schema.by_tag(tag).ok_or_else(|| format!("unknown tag {tag} at byte {at}"))?;
            self.field(field, &mut message, end, depth).map_err(|reason| {
                // Only the innermost place is named: the rest would repeat itself.
                if reason.contains(" at byte ") {
                    reason
                } else {
                    format!("{reason}, field {} at byte {at}", field.name)
                }
            })?;
        }
        Ok(Value::Object(message))
    }

    fn field(
        &mut self,
        field: &Field,
        message: &mut Map<String, Value>,
        end: usize,
        depth: usize,
    ) -> Result<(), String> {
        if field.rule != Rule::Repeated {
            let value = self.value(field.kind, end, depth)?;
            message.insert(field.name.clone(), value);
            return Ok(());
        }
        let slot = message.entry(field.name.as_str()).or_insert_with(|| Value::Array(Vec::new()));
        let Value::Array(elements) = slot else {
            return Err("a repeated field holds no list".to_owned());
        };
        // An element is one byte at least: a count that the rest cannot hold fails before memory is taken.
        let count = if field.kind.is_number() { self.integer(end)? } else { 1 };
        if count > (end - self.at) as u64 {
            return Err(format!("{count} elements are announced, {} bytes are left", end - self.at));
        }
        for _ in 0..count {
            let value = self.value(field.kind, end, depth)?;
            elements.push(value);
        }
        Ok(())
    }

    fn value(&mut self, kind: Kind, end: usize, depth: usize) -> Result<Value, String> {
        Ok(match kind {
            Kind::UInt32 => self.integer(end)?.into(),
            Kind::SInt32 => {
                let zigzag = self.integer(end)?;
                let half = (zigzag / 2) as i64;
                if zigzag % 2 == 0 { half.into() } else { (-half - 1).into() }
            }
            Kind::Float => number(f64::from(f32::from_le_bytes(self.fixed(end)?))),
            Kind::Double => number(f64::from_le_bytes(self.fixed(end)?)),
            Kind::String => {
                let end = self.length(end)?;
                text::repair_str(self.take(end)).into_owned().into()
            }
            Kind::Message(index) => {
                let end = self.length(end)?;
                let schemas = self.schemas;
                let schema = schemas.at(index).ok_or("its message type is not there")?;
                self.message(schema, end, depth + 1)?
            }
        })
    }

    fn integer(&mut self, end: usize) -> Result<u64, String> {
        let (value, len) = varint::read(self.bytes.get(self.at..end).unwrap_or_default())?;
        self.at += len;
        Ok(value)
    }

    /// Reads a length and returns where the bytes that it counts end.
    fn length(&mut self, end: usize) -> Result<usize, String> {
        let length = self.integer(end)?;
        let left = end - self.at;
        match usize::try_from(length) {
            Ok(length) if length <= left => Ok(self.at + length),
            _ => Err(format!("a length of {length} is announced, {left} bytes are left")),
        }
    }

    fn take(&mut self, end: usize) -> &'a [u8] {
        let taken = self.bytes.get(self.at..end).unwrap_or_default();
        self.at = end;
        taken
    }

    fn fixed<const N: usize>(&mut self, end: usize) -> Result<[u8; N], String> {
        let rest = self.bytes.get(self.at..end).unwrap_or_default();
        let bytes = rest.first_chunk::<N>().ok_or("it ends inside a number")?;
        self.at += N;
        Ok(*bytes)
    }
}

/// A float as JavaScript would write it: whole ones without a point, so that a plugin can read them as
/// integers; NaN and the infinities as `null`. Negative zero keeps its sign.
fn number(value: f64) -> Value {
    let whole = value.fract() == 0.0 && value.abs() <= SAFE_INTEGER_MAX as f64;
    if whole && !(value == 0.0 && value.is_sign_negative()) {
        return (value as i64).into();
    }
    Number::from_f64(value).map_or(Value::Null, Value::Number)
}
