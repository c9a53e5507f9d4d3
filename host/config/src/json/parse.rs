//! A strict JSON parser (RFC 8259) that keeps lines.
//!
//! Numbers and strings are handed to `serde_json` as they stand, so they mean here what they mean there.

use serde_json::Number;

use super::{Member, Node, Shape};

/// Lists and objects within each other; deeper is no configuration.
const DEPTH_MAX: u32 = 64;

/// Why a text is no JSON.
#[derive(Debug, PartialEq)]
pub(crate) struct SyntaxError {
    pub(crate) line: u32,
    pub(crate) found: String,
    pub(crate) allowed: &'static str,
}

/// Parses a whole file. A byte order mark is skipped, as node's `require` does.
pub(crate) fn parse(text: &str) -> Result<Node, SyntaxError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut parser = Parser { rest: text, line: 1, depth: 0 };
    let node = parser.value()?;
    parser.blank();
    if parser.rest.is_empty() { Ok(node) } else { Err(parser.unexpected("the end of the file")) }
}

struct Parser<'a> {
    rest: &'a str,
    line: u32,
    depth: u32,
}

impl<'a> Parser<'a> {
    fn value(&mut self) -> Result<Node, SyntaxError> {
        self.blank();
        let line = self.line;
        let shape = match self.rest.chars().next() {
            Some('{') => self.nested(Self::object)?,
            Some('[') => self.nested(Self::list)?,
            Some('"') => Shape::Text(self.string()?),
            Some('-' | '0'..='9') => Shape::Number(self.number()?),
            Some('a'..='z') => self.word()?,
            _ => return Err(self.unexpected("a JSON value")),
        };
        Ok(Node { line, shape })
    }

    fn nested(&mut self, read: fn(&mut Self) -> Result<Shape, SyntaxError>) -> Result<Shape, SyntaxError> {
        if self.depth == DEPTH_MAX {
            return Err(self.error("lists and objects nested too deep", "at most 64 within each other"));
        }
        self.depth += 1;
        let shape = read(self);
        self.depth -= 1;
        shape
    }

    fn object(&mut self) -> Result<Shape, SyntaxError> {
        self.take('{');
        let mut members: Vec<Member> = Vec::new();
        let mut first_lines = std::collections::HashMap::new();
        self.blank();
        if self.take('}') {
            return Ok(Shape::Object(members));
        }
        loop {
            self.blank();
            let line = self.line;
            if !self.rest.starts_with('"') {
                return Err(self.unexpected("a key in double quotes"));
            }
            let key = self.string()?;
            self.blank();
            if !self.take(':') {
                return Err(self.unexpected("':' after a key"));
            }
            let node = self.value()?;
            let repeats = first_lines.insert(key.clone(), line);
            members.push(Member { key, line, node, repeats });
            self.blank();
            if self.take('}') {
                return Ok(Shape::Object(members));
            }
            if !self.take(',') {
                return Err(self.unexpected("',' or '}' after a member of an object"));
            }
        }
    }

    fn list(&mut self) -> Result<Shape, SyntaxError> {
        self.take('[');
        let mut items = Vec::new();
        self.blank();
        if self.take(']') {
            return Ok(Shape::List(items));
        }
        loop {
            items.push(self.value()?);
            self.blank();
            if self.take(']') {
                return Ok(Shape::List(items));
            }
            if !self.take(',') {
                return Err(self.unexpected("',' or ']' after an item of a list"));
            }
        }
    }

    fn string(&mut self) -> Result<String, SyntaxError> {
        let mut escaped = false;
        let end = self.rest.char_indices().skip(1).find(|&(_, c)| {
            let ends = c == '"' && !escaped || c == '\n';
            escaped = c == '\\' && !escaped;
            ends
        });
        let Some((end, '"')) = end else {
            return Err(self.error("a text that does not end on its line", "a closing '\"'"));
        };
        let whole = self.advance(end + 1);
        serde_json::from_str(whole).map_err(|_| {
            self.error(
                format!("the text {whole}"),
                "JSON's escapes (\\\" \\\\ \\/ \\b \\f \\n \\r \\t \\uXXXX) and no control characters",
            )
        })
    }

    fn number(&mut self) -> Result<Number, SyntaxError> {
        let inside = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '+' | '.');
        let whole = self.advance(self.rest.find(|c| !inside(c)).unwrap_or(self.rest.len()));
        serde_json::from_str(whole).map_err(|_| self.error(whole, "a JSON number"))
    }

    fn word(&mut self) -> Result<Shape, SyntaxError> {
        let end = self.rest.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(self.rest.len());
        match self.advance(end) {
            "null" => Ok(Shape::Null),
            "true" => Ok(Shape::Bool(true)),
            "false" => Ok(Shape::Bool(false)),
            other => Err(self.error(other, "a JSON value; a text stands in double quotes")),
        }
    }

    /// Skips white space and counts lines.
    fn blank(&mut self) {
        let end = self.rest.find(|c| !matches!(c, ' ' | '\t' | '\r' | '\n')).unwrap_or(self.rest.len());
        let lines = self.advance(end).bytes().filter(|&byte| byte == b'\n').count();
        self.line = self.line.saturating_add(u32::try_from(lines).unwrap_or(u32::MAX));
    }

    fn take(&mut self, wanted: char) -> bool {
        match self.rest.strip_prefix(wanted) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    /// Goes on by `len` bytes, which end at a character, and returns them.
    fn advance(&mut self, len: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at_checked(len).unwrap_or((self.rest, ""));
        self.rest = rest;
        taken
    }

    fn unexpected(&self, allowed: &'static str) -> SyntaxError {
        let found = match self.rest.chars().next() {
            None => "the end of the file".to_owned(),
            Some('/') => "'/' (JSON has no comments)".to_owned(),
            Some(c) => format!("{c:?}"),
        };
        self.error(found, allowed)
    }

    fn error(&self, found: impl Into<String>, allowed: &'static str) -> SyntaxError {
        let found: String = found.into();
        SyntaxError { line: self.line, found: found.chars().take(80).collect(), allowed }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        let actual = match parse(text) {
            Ok(node) => node.to_value().to_string(),
            Err(error) => format!("{}: {}; {}", error.line, error.found, error.allowed),
        };
        assert_eq!(actual, expected, "{text}");
    }

    #[test]
    fn values_mean_what_serde_json_says() {
        for text in [
            "null",
            "true",
            "false",
            "0",
            "-1.5e3",
            "18446744073709551615",
            r#""a\"b\\""#,
            r#""\ud83d\ude00é""#,
            "[]",
            "{}",
            r#"[1,[2,{"a":[]}],""]"#,
            " \t\r\n{ \"k\" : [ 1 , 2 ] } \n",
            "\"\\\\\"",
            r#"{"":null}"#,
        ] {
            let expected: serde_json::Value = serde_json::from_str(text).unwrap();
            check(text, &expected.to_string());
        }
        check("\u{feff}[1]", "[1]");
    }

    #[test]
    fn every_refusal_names_its_line() {
        check("", "1: the end of the file; a JSON value");
        check("{\n\"a\": 1,\n}", "3: '}'; a key in double quotes");
        check("[1,\n2,\n]", "3: ']'; a JSON value");
        check("{\n\n'a': 1}", "3: '\\''; a key in double quotes");
        check("{\n// no\n}", "2: '/' (JSON has no comments); a key in double quotes");
        check("{\"a\" 1}", "1: '1'; ':' after a key");
        check("{\"a\": 1\n\"b\": 2}", "2: '\"'; ',' or '}' after a member of an object");
        check("[1\n2]", "2: '2'; ',' or ']' after an item of a list");
        check("[1] x", "1: 'x'; the end of the file");
        check("\n[\"abc\n\"]", "2: a text that does not end on its line; a closing '\"'");
        check("\"abc", "1: a text that does not end on its line; a closing '\"'");
        check("\"abc\\\"", "1: a text that does not end on its line; a closing '\"'");
        check(
            r#""\x""#,
            r#"1: the text "\x"; JSON's escapes (\" \\ \/ \b \f \n \r \t \uXXXX) and no control characters"#,
        );
        check("01", "1: 01; a JSON number");
        check("[-]", "1: -; a JSON number");
        check("1e999", "1: 1e999; a JSON number");
        check("yes", "1: yes; a JSON value; a text stands in double quotes");
        check("[0x1f]", "1: 0x1f; a JSON number");
        let deep = "[".repeat(65);
        check(&deep, "1: lists and objects nested too deep; at most 64 within each other");
        let deepest = format!("{}{}", "[".repeat(64), "]".repeat(64));
        check(&deepest, &deepest);
    }

    #[test]
    fn keys_know_their_own_line_and_the_one_they_repeat() {
        let node = parse("{\n \"a\":\n  1,\n \"b\": 2,\n \"a\": 3 }").unwrap();
        let seen: Vec<_> = node
            .members()
            .unwrap()
            .iter()
            .map(|member| (member.key.as_str(), member.line, member.node.line, member.repeats))
            .collect();
        assert_eq!(seen, [("a", 2, 3, None), ("b", 4, 4, None), ("a", 5, 5, Some(2))]);
    }
}
