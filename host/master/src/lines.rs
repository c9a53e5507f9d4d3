//! Lines of a pipe, each bounded in length.

use tokio::io::{AsyncBufRead, AsyncBufReadExt};

/// Reads lines; what a line has beyond the limit is dropped.
pub(crate) struct Lines<R> {
    reader: R,
    line_bytes_max: usize,
}

impl<R: AsyncBufRead + Unpin> Lines<R> {
    pub(crate) fn new(reader: R, line_bytes_max: usize) -> Self {
        Lines { reader, line_bytes_max }
    }

    /// The next line without its end, invalid UTF-8 replaced; `None` at the end of the pipe or on a read error,
    /// which for a pipe is the same thing.
    pub(crate) async fn next(&mut self) -> Option<String> {
        let mut line = Vec::new();
        let mut any = false;
        loop {
            let chunk = self.reader.fill_buf().await.ok()?;
            if chunk.is_empty() {
                return any.then(|| text(&line));
            }
            any = true;
            let end = chunk.iter().position(|byte| *byte == b'\n');
            let content = chunk.get(..end.unwrap_or(chunk.len())).unwrap_or_default();
            let room = self.line_bytes_max - line.len();
            line.extend_from_slice(content.get(..room).unwrap_or(content));
            let used = end.map_or(chunk.len(), |end| end + 1);
            self.reader.consume(used);
            if end.is_some() {
                return Some(text(&line));
            }
        }
    }
}

fn text(line: &[u8]) -> String {
    String::from_utf8_lossy(line).trim_end_matches('\r').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn check(input: &str, expected: &[&str]) {
        let mut lines = Lines::new(input.as_bytes(), 4);
        let mut found = Vec::new();
        while let Some(line) = lines.next().await {
            found.push(line);
        }
        assert_eq!(found, expected, "{input:?}");
    }

    #[tokio::test]
    async fn lines_are_cut_at_the_limit_and_nothing_is_lost_between_them() {
        check("", &[]).await;
        check("a\nb", &["a", "b"]).await;
        check("a\r\n\nb\n", &["a", "", "b"]).await;
        check("abcdefgh\nxy\n", &["abcd", "xy"]).await;
    }
}
