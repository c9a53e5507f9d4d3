//! Random protobuf schemas, each with a value that fits it.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::{Map, Value};

/// A message type as a schema file writes it, and a value that fits it.
#[derive(Debug, Clone)]
pub(crate) struct Sample {
    pub(crate) schema: Value,
    pub(crate) value: Value,
}

/// A field's type and the values that it may hold.
#[derive(Debug, Clone)]
struct Content {
    kind: String,
    values: Vec<Value>,
    /// The schema of a nested message; `kind` does not count then.
    nested: Option<Value>,
}

#[derive(Debug, Clone)]
struct Field {
    rule: &'static str,
    present: bool,
    tag: Option<Index>,
    content: Content,
}

pub(crate) fn sample() -> impl Strategy<Value = Sample> {
    message(scalar()).prop_recursive(3, 40, 5, |inner| {
        let nested = inner.prop_map(|sample| Content {
            kind: String::new(),
            values: vec![sample.value.clone(), sample.value],
            nested: Some(sample.schema),
        });
        message(prop_oneof![scalar(), nested].boxed())
    })
}

fn scalar() -> BoxedStrategy<Content> {
    let values = prop_oneof![
        (Just("uInt32"), vec((0..=(1_i64 << 53)).prop_map(Value::from), 1..5)),
        (Just("sInt32"), vec((-(1_i64 << 52)..=(1 << 52)).prop_map(Value::from), 1..5)),
        (Just("int32"), vec((-100..=100).prop_map(Value::from), 1..5)),
        (Just("float"), vec(any::<f32>().prop_map(|float| number(f64::from(float))), 1..5)),
        (Just("double"), vec(any::<f64>().prop_map(number), 1..5)),
        (Just("string"), vec(".{0,12}".prop_map(Value::from), 1..5)),
    ];
    values.prop_map(|(kind, values)| Content { kind: kind.to_owned(), values, nested: None }).boxed()
}

/// A float as decoding writes it: whole ones as integers.
fn number(float: f64) -> Value {
    if float.fract() == 0.0 && float.abs() < 9e15 && float.to_bits() != (-0.0_f64).to_bits() {
        return Value::from(float as i64);
    }
    Value::from(float)
}

fn message(content: BoxedStrategy<Content>) -> BoxedStrategy<Sample> {
    let rule = prop_oneof![Just("required"), Just("optional"), Just("repeated")];
    let field = (rule, any::<bool>(), any::<Option<Index>>(), content)
        .prop_map(|(rule, present, tag, content)| Field { rule, present, tag, content });
    // The value's keys have an order of their own.
    let order = Just((0..6).collect::<Vec<usize>>()).prop_shuffle();
    (vec(field, 0..6), order).prop_map(|(fields, order)| assemble(&fields, &order)).boxed()
}

fn assemble(fields: &[Field], order: &[usize]) -> Sample {
    let mut schema = Map::new();
    for (index, field) in fields.iter().enumerate() {
        let mut kind = field.content.kind.clone();
        if let Some(nested) = &field.content.nested {
            kind = format!("M{index}");
            schema.insert(format!("message {kind}"), nested.clone());
        }
        // One byte for the head, or up to three; never the same twice.
        let tag = field.tag.map_or(index, |tag| (index + 1) * 1000 + tag.index(1000));
        schema.insert(format!("{} {kind} f{index}", field.rule), tag.into());
    }
    let mut value = Map::new();
    for index in order {
        let Some(field) = fields.get(*index) else { continue };
        match (field.rule, field.present) {
            ("repeated", true) => value.insert(format!("f{index}"), field.content.values.clone().into()),
            ("required", _) | ("optional", true) => {
                value.insert(format!("f{index}"), field.content.values[0].clone())
            }
            _ => None,
        };
    }
    Sample { schema: schema.into(), value: value.into() }
}
