//! JSON values to bytes.

use super::DEPTH_MAX;
use super::schema::{Field, Kind, Rule, Schema, Schemas};
use crate::text::{self, TextForm};
use crate::varint::{self, SAFE_INTEGER_MAX};
use serde_json::Value;

/// Why a value cannot be written by the schema of its route.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}{reason}", if path.is_empty() { String::new() } else { format!("field {path}: ") })]
pub struct SchemaMismatch {
    /// The field, from the outermost message inwards, e.g. `path.x`; empty for the whole body.
    pub path: String,
    /// What was found and what the schema allows.
    pub reason: String,
}

impl SchemaMismatch {
    fn new(reason: impl Into<String>) -> Self {
        Self { path: String::new(), reason: reason.into() }
    }

    /// The same, seen from the message that holds `field`.
    fn within(mut self, field: &str) -> Self {
        self.path = if self.path.is_empty() { field.to_owned() } else { format!("{field}.{}", self.path) };
        self
    }
}

/// Encodes one message: fields in the order of the object, unknown ones left out.
pub(super) fn message(
    schemas: &Schemas,
    schema: &Schema,
    value: &Value,
    text: TextForm,
) -> Result<Vec<u8>, SchemaMismatch> {
    let mut writer = Writer { schemas, text, out: Vec::new() };
    writer.message(schema, value, 0)?;
    Ok(writer.out)
}

struct Writer<'a> {
    schemas: &'a Schemas,
    text: TextForm,
    out: Vec<u8>,
}

impl Writer<'_> {
    fn message(&mut self, schema: &Schema, value: &Value, depth: usize) -> Result<(), SchemaMismatch> {
        let Value::Object(members) = value else {
            return Err(SchemaMismatch::new(format!("{} stands where an object belongs", name_of(value))));
        };
        if depth > DEPTH_MAX {
            return Err(SchemaMismatch::new(format!("messages nest deeper than {DEPTH_MAX}")));
        }
        for field in schema.fields().iter().filter(|field| field.rule == Rule::Required) {
            if members.get(&field.name).is_none_or(Value::is_null) {
                return Err(SchemaMismatch::new("is required but missing").within(&field.name));
            }
        }
        for (name, value) in members {
            // `null` counts as absent: it is how an optional field without a value is written elsewhere.
            if let (Some(field), false) = (schema.by_name(name), value.is_null()) {
                self.field(field, value, depth).map_err(|mismatch| mismatch.within(name))?;
            }
        }
        Ok(())
    }

    fn field(&mut self, field: &Field, value: &Value, depth: usize) -> Result<(), SchemaMismatch> {
        if field.rule != Rule::Repeated {
            self.head(field);
            return self.value(field.kind, value, depth);
        }
        let Value::Array(elements) = value else {
            return Err(SchemaMismatch::new(format!("{} stands where a list belongs", name_of(value))));
        };
        if field.kind.is_number() && !elements.is_empty() {
            self.head(field);
            varint::write(elements.len() as u64, &mut self.out);
        }
        for element in elements {
            if !field.kind.is_number() {
                self.head(field);
            }
            self.value(field.kind, element, depth)?;
        }
        Ok(())
    }

    fn head(&mut self, field: &Field) {
        varint::write(field.tag << 3 | field.kind.wire_type(), &mut self.out);
    }

    fn value(&mut self, kind: Kind, value: &Value, depth: usize) -> Result<(), SchemaMismatch> {
        match kind {
            Kind::UInt32 => {
                let integer = integer(value).and_then(|integer| u64::try_from(integer).ok());
                let integer = integer.filter(|integer| *integer <= SAFE_INTEGER_MAX);
                varint::write(
                    integer.ok_or_else(|| not_a("whole number of 0 to 2^53", value))?,
                    &mut self.out,
                );
            }
            Kind::SInt32 => {
                let zigzag = integer(value).map(|n| if n < 0 { -2 * n - 1 } else { 2 * n });
                let zigzag = zigzag.and_then(|zigzag| u64::try_from(zigzag).ok());
                let zigzag = zigzag.filter(|zigzag| *zigzag <= SAFE_INTEGER_MAX);
                varint::write(
                    zigzag.ok_or_else(|| not_a("whole number of -2^52 to 2^52", value))?,
                    &mut self.out,
                );
            }
            Kind::Float => {
                let float = float(value).ok_or_else(|| not_a("number", value))?;
                self.out.extend_from_slice(&(float as f32).to_le_bytes());
            }
            Kind::Double => {
                let float = float(value).ok_or_else(|| not_a("number", value))?;
                self.out.extend_from_slice(&float.to_le_bytes());
            }
            Kind::String => {
                let text = value.as_str().ok_or_else(|| not_a("string", value))?;
                let bytes = text::encode(text, self.text);
                varint::write(bytes.len() as u64, &mut self.out);
                self.out.extend_from_slice(&bytes);
            }
            Kind::Message(index) => {
                let schemas = self.schemas;
                let schema = schemas.at(index).ok_or_else(|| SchemaMismatch::new("its type is not there"))?;
                let start = self.out.len();
                self.message(schema, value, depth + 1)?;
                let (length, used) = varint::encode((self.out.len() - start) as u64);
                self.out.splice(start..start, length.into_iter().take(used));
            }
        }
        Ok(())
    }
}

/// A number without its fraction. Like pomelo it reads leading digits of a string, too.
fn integer(value: &Value) -> Option<i128> {
    match value {
        Value::Number(number) => match (number.as_i64(), number.as_u64(), number.as_f64()) {
            (Some(integer), ..) => Some(integer.into()),
            (_, Some(integer), _) => Some(integer.into()),
            // Saturates; such values are out of every range.
            (.., float) => float.map(|float| float as i128),
        },
        Value::String(text) => {
            let text = text.trim_start();
            let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
            let digits =
                digits.split(|character: char| !character.is_ascii_digit()).next().unwrap_or_default();
            let integer: i128 = digits.parse().ok()?;
            Some(if text.starts_with('-') { -integer } else { integer })
        }
        _ => None,
    }
    // Doubling for zigzag must not overflow.
    .filter(|integer| integer.unsigned_abs() <= u128::from(SAFE_INTEGER_MAX))
}

fn float(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}

fn not_a(wanted: &str, found: &Value) -> SchemaMismatch {
    let found = match found {
        Value::Number(number) => number.to_string(),
        other => name_of(other).to_owned(),
    };
    SchemaMismatch::new(format!("{found} stands where a {wanted} belongs"))
}

fn name_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}
