//! JSON whose every value knows its line, so that an error can name it.

mod parse;

pub(crate) use parse::parse;

use serde_json::{Map, Number, Value};

/// A value and the line it begins on.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) line: u32,
    pub(crate) shape: Shape,
}

/// What a value is.
#[derive(Clone, Debug)]
pub(crate) enum Shape {
    Null,
    Bool(bool),
    Number(Number),
    Text(String),
    List(Vec<Node>),
    Object(Vec<Member>),
}

/// A key of an object with its value. Keys are unique but where `repeats` says so.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    pub(crate) key: String,
    pub(crate) line: u32,
    pub(crate) node: Node,
    /// The line of an earlier member with the same key.
    pub(crate) repeats: Option<u32>,
}

impl Node {
    /// The members of an object; none if it is something else.
    pub(crate) fn members(&self) -> Option<&[Member]> {
        match &self.shape {
            Shape::Object(members) => Some(members),
            _ => None,
        }
    }

    /// The member of an object with a key.
    pub(crate) fn member(&self, key: &str) -> Option<&Member> {
        self.members()?.iter().find(|member| member.key == key)
    }

    /// The text, if it is one.
    pub(crate) fn text(&self) -> Option<&str> {
        match &self.shape {
            Shape::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The same value without lines.
    pub(crate) fn to_value(&self) -> Value {
        match &self.shape {
            Shape::Null => Value::Null,
            Shape::Bool(bool) => Value::Bool(*bool),
            Shape::Number(number) => Value::Number(number.clone()),
            Shape::Text(text) => Value::String(text.clone()),
            Shape::List(items) => Value::Array(items.iter().map(Self::to_value).collect()),
            Shape::Object(members) => Value::Object(to_map(members)),
        }
    }

    /// A short description for messages: `"3050"`, `70000`, `a list of 3`.
    pub(crate) fn describe(&self) -> String {
        match &self.shape {
            Shape::Null => "null".to_owned(),
            Shape::Bool(bool) => bool.to_string(),
            Shape::Number(number) => number.to_string(),
            Shape::Text(text) => quoted(text),
            Shape::List(items) => format!("a list of {}", items.len()),
            Shape::Object(_) => "an object".to_owned(),
        }
    }
}

/// The members of an object as a plain map.
pub(crate) fn to_map(members: &[Member]) -> Map<String, Value> {
    members.iter().map(|member| (member.key.clone(), member.node.to_value())).collect()
}

/// A text in quotes, escaped, at most 60 characters of it.
pub(crate) fn quoted(text: &str) -> String {
    const SHOWN: usize = 60;
    let mut short: String = text.chars().take(SHOWN).collect();
    if text.chars().nth(SHOWN).is_some() {
        short.push('…');
    }
    format!("{short:?}")
}
