//! Schemas ready for use: names resolved, tags and fields found in one step.

use super::parse::TAG_MAX;
use crate::WireError;
use serde_json::{Map, Value};
use std::collections::HashMap;

/// How often a field occurs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rule {
    Required,
    Optional,
    Repeated,
}

/// What a field holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    UInt32,
    /// `sInt32` and `int32` alike.
    SInt32,
    Float,
    Double,
    String,
    /// A message, by its place in [`Schemas`].
    Message(usize),
}

impl Kind {
    /// The low three bits of a field's head.
    pub(super) fn wire_type(self) -> u64 {
        match self {
            Self::UInt32 | Self::SInt32 => 0,
            Self::Double => 1,
            Self::String | Self::Message(_) => 2,
            Self::Float => 5,
        }
    }

    /// Whether repeated elements share one head.
    pub(super) fn is_number(self) -> bool {
        !matches!(self, Self::String | Self::Message(_))
    }
}

#[derive(Debug, Clone)]
pub(super) struct Field {
    pub(super) name: String,
    pub(super) rule: Rule,
    pub(super) kind: Kind,
    pub(super) tag: u64,
}

/// One message type.
#[derive(Debug, Clone, Default)]
pub(super) struct Schema {
    fields: Vec<Field>,
    by_name: HashMap<String, usize>,
    by_tag: HashMap<u64, usize>,
}

impl Schema {
    pub(super) fn fields(&self) -> &[Field] {
        &self.fields
    }

    pub(super) fn by_name(&self, name: &str) -> Option<&Field> {
        self.fields.get(*self.by_name.get(name)?)
    }

    pub(super) fn by_tag(&self, tag: u64) -> Option<&Field> {
        self.fields.get(*self.by_tag.get(&tag)?)
    }
}

/// The schemas of one side. Messages refer to each other by their place, so that they may be recursive.
#[derive(Debug, Clone, Default)]
pub(super) struct Schemas {
    schemas: Vec<Schema>,
    /// Root entries: routes, and `message X` for those that all routes share.
    roots: HashMap<String, usize>,
}

impl Schemas {
    pub(super) fn route(&self, route: &str) -> Option<&Schema> {
        self.at(*self.roots.get(route)?)
    }

    pub(super) fn at(&self, index: usize) -> Option<&Schema> {
        self.schemas.get(index)
    }

    /// Links schemas in parsed form; `side` names them in errors.
    pub(super) fn link(side: &str, parsed: &Value) -> Result<Self, WireError> {
        let roots = object(side, Some(parsed))?;
        let mut linked = Self::default();
        // All roots get their place first: any message may name any of them.
        for (index, name) in roots.keys().enumerate() {
            linked.roots.insert(name.clone(), index);
            linked.schemas.push(Schema::default());
        }
        for (index, (name, parsed)) in roots.iter().enumerate() {
            let schema = linked.link_message(&format!("{side}: {name}"), parsed)?;
            linked.set(index, schema);
        }
        Ok(linked)
    }

    fn set(&mut self, index: usize, schema: Schema) {
        if let Some(slot) = self.schemas.get_mut(index) {
            *slot = schema;
        }
    }

    fn link_message(&mut self, path: &str, parsed: &Value) -> Result<Schema, WireError> {
        let parsed = object(path, Some(parsed))?;
        let mut nested = HashMap::new();
        for (name, message) in object(path, parsed.get("__messages"))? {
            let index = self.schemas.len();
            self.schemas.push(Schema::default());
            let schema = self.link_message(&format!("{path}: message {name}"), message)?;
            self.set(index, schema);
            nested.insert(name.as_str(), index);
        }
        let mut schema = Schema::default();
        for (name, entry) in
            parsed.iter().filter(|(name, _)| !matches!(name.as_str(), "__messages" | "__tags"))
        {
            let field = self.link_field(&format!("{path}: {name}"), name, entry, &nested)?;
            schema.by_name.insert(name.clone(), schema.fields.len());
            schema.fields.push(field);
        }
        for (tag, name) in object(path, parsed.get("__tags"))? {
            let field = name.as_str().and_then(|name| schema.by_name.get(name).copied());
            let (Ok(tag), Some(field)) = (tag.parse(), field) else {
                return Err(bad(path, format!("tag {tag} names no field")));
            };
            schema.by_tag.insert(tag, field);
        }
        Ok(schema)
    }

    fn link_field(
        &self,
        path: &str,
        name: &str,
        entry: &Value,
        nested: &HashMap<&str, usize>,
    ) -> Result<Field, WireError> {
        let text = |key: &str| entry.get(key).and_then(Value::as_str).unwrap_or_default();
        let rule = match text("option") {
            "required" => Rule::Required,
            "optional" => Rule::Optional,
            "repeated" => Rule::Repeated,
            other => return Err(bad(path, format!("unknown option {other:?}"))),
        };
        let kind = match text("type") {
            "uInt32" => Kind::UInt32,
            "sInt32" | "int32" => Kind::SInt32,
            "float" => Kind::Float,
            "double" => Kind::Double,
            "string" => Kind::String,
            name => {
                let index = nested.get(name).or_else(|| self.roots.get(&format!("message {name}")));
                Kind::Message(*index.ok_or_else(|| {
                    bad(path, format!(
                        "unknown type {name:?}; uInt32, sInt32, int32, float, double, string and the messages \
                         of this schema or of the file's root are allowed"
                    ))
                })?)
            }
        };
        let tag = entry.get("tag").and_then(Value::as_u64).filter(|tag| *tag <= TAG_MAX);
        let tag =
            tag.ok_or_else(|| bad(path, format!("the tag must be a whole number of 0 to {TAG_MAX}")))?;
        Ok(Field { name: name.to_owned(), rule, kind, tag })
    }
}

fn bad(path: &str, reason: String) -> WireError {
    WireError::BadSchema { path: path.to_owned(), reason }
}

fn object<'a>(path: &str, value: Option<&'a Value>) -> Result<&'a Map<String, Value>, WireError> {
    value.and_then(Value::as_object).ok_or_else(|| bad(path, "is not a schema in parsed form".to_owned()))
}
