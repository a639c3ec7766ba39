//! Input taken apart into requests, read as a stream.
//!
//! Two ways of writing many values are told apart by the first line. One or more whole values on
//! each line (JSON Lines): then a broken line spoils nothing but itself. Or values over several
//! lines each: then nobody can say where the one after a broken one begins, and it is the last.
//!
//! Invariant: no more than one request's text is in memory, and that is bounded.

use std::io::{BufRead, Read};
use std::ops::Range;

use serde::de::IgnoredAny;

use crate::bytes::INPUT_MAX;

/// The text of a request, or of several on one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Chunk {
    /// The number of its first line, from 1.
    pub(crate) line: u64,
    /// How much of the input was read with it, bytes.
    pub(crate) read: u64,
    /// The text, or why there is none.
    pub(crate) text: Result<String, String>,
}

impl Chunk {
    fn is_blank(&self) -> bool {
        self.text.as_ref().is_ok_and(|text| text.trim().is_empty())
    }
}

/// How values are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Layout {
    /// Each line has whole values.
    Lines,
    /// A value may go over several lines.
    Values,
}

/// The requests of an input.
pub(crate) struct Chunks<R> {
    source: R,
    layout: Layout,
    line: u64,
    read: u64,
    /// The rest of the last line, which is too long, is still to be passed over. It may be without
    /// end, so that is done only when a next one is wanted.
    overlong: bool,
    /// What was read to find out how values are written.
    ahead: std::collections::VecDeque<Chunk>,
    ended: bool,
}

/// What an input turned out to be.
pub(crate) enum Content<R> {
    /// One value, or none, or what is no JSON from the start.
    One(Chunk),
    /// Several values.
    Many(Chunks<R>),
}

impl<R: BufRead> Chunks<R> {
    /// Requests that stand on lines.
    pub(crate) fn lines(source: R) -> Self {
        let ahead = std::collections::VecDeque::new();
        Chunks {
            source,
            layout: Layout::Lines,
            line: 0,
            read: 0,
            overlong: false,
            ahead,
            ended: false,
        }
    }

    /// Reads as far as it takes to know whether there is more than one value.
    pub(crate) fn classify(source: R) -> Content<R> {
        let mut chunks = Chunks::lines(source);
        let none = Chunk { line: 1, read: 0, text: Ok(String::new()) };
        let Some(mut first) = chunks.line_that_is_not_blank() else { return Content::One(none) };
        if let Ok(text) = &mut first.text
            && values(text).is_none()
        {
            chunks.layout = Layout::Values;
            chunks.complete(&mut first);
        }
        let held =
            first.text.as_ref().ok().and_then(|text| values(text)).map(|values| values.len());
        let more = match held {
            // What comes after what is no JSON is nobody's request.
            None => None,
            Some(_) => chunks.next_chunk(),
        };
        if more.is_none() && held.is_none_or(|held| held < 2) {
            return Content::One(first);
        }
        chunks.ahead.push_back(first);
        chunks.ahead.extend(more);
        Content::Many(chunks)
    }

    fn line_that_is_not_blank(&mut self) -> Option<Chunk> {
        loop {
            let line = self.raw_line()?;
            if !line.is_blank() {
                return Some(line);
            }
        }
    }

    /// The next line as it is.
    fn raw_line(&mut self) -> Option<Chunk> {
        if self.ended {
            return None;
        }
        if std::mem::take(&mut self.overlong) {
            self.skip_line();
        }
        let mut bytes = Vec::new();
        let limit = INPUT_MAX + 1;
        let result = (&mut self.source).take(limit).read_until(b'\n', &mut bytes);
        self.read += bytes.len() as u64;
        self.line += 1;
        let text = match result {
            Ok(0) => {
                self.ended = true;
                return None;
            }
            Ok(_) if bytes.len() as u64 > INPUT_MAX && !bytes.ends_with(b"\n") => {
                self.overlong = true;
                Err(too_long())
            }
            Ok(_) => {
                let start = if self.line == 1 { bom_len(&bytes) } else { 0 };
                String::from_utf8(bytes.split_off(start))
                    .map_err(|error| format!("not UTF-8: {error}"))
            }
            Err(error) => {
                self.ended = true;
                Err(format!("cannot be read: {error}"))
            }
        };
        Some(Chunk { line: self.line, read: self.read, text })
    }

    /// Passes over the rest of a line that is too long.
    fn skip_line(&mut self) {
        loop {
            let (skipped, found) = match self.source.fill_buf() {
                Ok(buffer) => match buffer.iter().position(|byte| *byte == b'\n') {
                    Some(at) => (at + 1, true),
                    None => (buffer.len(), false),
                },
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                // It will be told when the next line is read.
                Err(_) => (0, true),
            };
            self.source.consume(skipped);
            self.read += skipped as u64;
            if found || skipped == 0 {
                return;
            }
        }
    }

    /// Adds lines to a value that has begun, until its braces and brackets are closed.
    fn complete(&mut self, chunk: &mut Chunk) {
        let Ok(text) = &mut chunk.text else { return };
        let mut nesting = Nesting::default();
        nesting.pass(text);
        while nesting.is_open() {
            let Some(line) = self.raw_line() else { break };
            chunk.read = line.read;
            match line.text {
                Ok(more) if text.len() as u64 + more.len() as u64 <= INPUT_MAX => {
                    nesting.pass(&more);
                    text.push_str(&more);
                }
                Ok(_) => {
                    chunk.text = Err(too_long());
                    return;
                }
                Err(why) => {
                    chunk.text = Err(why);
                    return;
                }
            }
        }
    }

    fn next_chunk(&mut self) -> Option<Chunk> {
        let mut chunk = self.line_that_is_not_blank()?;
        if self.layout == Layout::Values {
            self.complete(&mut chunk);
            if chunk.text.as_ref().map_or(true, |text| values(text).is_none()) {
                self.ended = true;
            }
        }
        Some(chunk)
    }
}

impl<R: BufRead> Iterator for Chunks<R> {
    type Item = Chunk;

    fn next(&mut self) -> Option<Chunk> {
        self.ahead.pop_front().or_else(|| self.next_chunk())
    }
}

fn too_long() -> String {
    format!("longer than {} MiB, the limit", INPUT_MAX >> 20)
}

/// Bytes of a byte order mark, which some editors put at the beginning of a file.
fn bom_len(bytes: &[u8]) -> usize {
    if bytes.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 }
}

/// Where the JSON values of a text are, if it has values and nothing else, at least one.
pub(crate) fn values(text: &str) -> Option<Vec<Range<usize>>> {
    let mut stream = serde_json::Deserializer::from_str(text).into_iter::<IgnoredAny>();
    let mut found = Vec::new();
    let mut start = 0;
    while let Some(value) = stream.next() {
        value.ok()?;
        found.push(start..stream.byte_offset());
        start = stream.byte_offset();
    }
    (!found.is_empty()).then_some(found)
}

/// How deep in braces and brackets a text ends, and whether within a string.
#[derive(Default)]
struct Nesting {
    depth: usize,
    string: bool,
    escape: bool,
}

impl Nesting {
    fn pass(&mut self, text: &str) {
        for byte in text.bytes() {
            match byte {
                _ if self.escape => self.escape = false,
                b'\\' if self.string => self.escape = true,
                b'"' => self.string = !self.string,
                _ if self.string => {}
                b'{' | b'[' => self.depth += 1,
                b'}' | b']' => self.depth = self.depth.saturating_sub(1),
                _ => {}
            }
        }
    }

    /// Whether more lines belong to it. No string goes over the end of a line.
    fn is_open(&self) -> bool {
        self.depth > 0 && !self.string
    }
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use super::*;

    fn many(input: &str) -> Option<Vec<(u64, String)>> {
        match Chunks::classify(input.as_bytes()) {
            Content::One(_) => None,
            Content::Many(chunks) => Some(
                chunks
                    .map(|chunk| (chunk.line, chunk.text.unwrap_or_else(|why| why).trim().into()))
                    .collect(),
            ),
        }
    }

    fn one(input: &str) -> String {
        match Chunks::classify(input.as_bytes()) {
            Content::One(chunk) => chunk.text.unwrap(),
            Content::Many(_) => panic!("{input:?}"),
        }
    }

    fn numbered(chunks: &[(u64, &str)]) -> Option<Vec<(u64, String)>> {
        Some(chunks.iter().map(|(line, text)| (*line, text.to_string())).collect())
    }

    #[test]
    fn one_value_is_one_however_many_lines_it_takes() {
        for input in ["", "{}", "\n\n {\"a\":\n1}\n\n", "[1,\n2]", "3", "\"a\\\"{\""] {
            assert_eq!(one(input).trim(), input.trim());
        }
    }

    #[test]
    fn several_values_are_many_on_lines_of_their_own_or_not() {
        assert_eq!(many("{}\n{}"), numbered(&[(1, "{}"), (2, "{}")]));
        assert_eq!(many("\n{\"a\":1}\r\n\n{}\n"), numbered(&[(2, "{\"a\":1}"), (4, "{}")]));
        // On one line: whoever reads the line finds them in it.
        assert_eq!(many("{} {}"), numbered(&[(1, "{} {}")]));
        let pretty = "{\n \"a\": \"}\"\n}\n{\n}\n";
        assert_eq!(many(pretty), numbered(&[(1, "{\n \"a\": \"}\"\n}"), (4, "{\n}")]));
    }

    #[test]
    fn a_broken_line_spoils_nothing_but_itself() {
        let chunks = many("{}\n{\"a\":\n]]\n{}\n").unwrap();
        assert_eq!(Some(chunks), numbered(&[(1, "{}"), (2, "{\"a\":"), (3, "]]"), (4, "{}")]));
    }

    #[test]
    fn after_a_broken_value_of_several_lines_nothing_is_anybodys_request() {
        let chunks = many("{\n}\n{\n x\n}\n{}\n{}").unwrap();
        assert_eq!(Some(chunks), numbered(&[(1, "{\n}"), (3, "{\n x\n}")]));
        // Nor is it after what was no JSON from the first line on.
        assert_eq!(one("{ \"items\": [oops,\n{}\n"), "{ \"items\": [oops,\n{}\n");
        assert_eq!(one("oops\n{}\n"), "oops\n");
    }

    #[test]
    fn lines_that_are_announced_need_no_sound_first_one() {
        let chunks: Vec<_> = Chunks::lines("oops\n{}".as_bytes()).collect();
        assert_eq!(chunks.len(), 2);
        assert_eq!((chunks[1].line, chunks[1].read), (2, 7));
    }

    #[test]
    fn a_line_without_end_takes_bounded_memory_and_the_next_is_read() {
        let long = std::io::repeat(b'x').take(3 * INPUT_MAX);
        let source = BufReader::new(long.chain("\n{}\n".as_bytes()));
        let chunks: Vec<_> = Chunks::lines(source).collect();
        assert_eq!(chunks[0].text, Err("longer than 4 MiB, the limit".to_owned()));
        assert_eq!(chunks[1].text.as_deref(), Ok("{}\n"));
        assert_eq!(chunks[1].read, 3 * INPUT_MAX + 4);
    }

    #[test]
    fn a_value_without_end_takes_bounded_memory() {
        let source = BufReader::new(std::io::repeat(b'['));
        let Content::One(chunk) = Chunks::classify(source) else { panic!() };
        assert!(chunk.text.is_err());
        let line = "[\n".repeat(INPUT_MAX as usize);
        let Content::One(chunk) = Chunks::classify(line.as_bytes()) else { panic!() };
        assert_eq!(chunk.text, Err("longer than 4 MiB, the limit".to_owned()));
    }

    #[test]
    fn values_are_found_at_any_depth_without_a_stack() {
        let deep = "[".repeat(100_000) + &"]".repeat(100_000);
        assert_eq!(values(&deep).map(|found| found.len()), Some(1));
        assert_eq!(values("{} x"), None);
        assert_eq!(values(" "), None);
    }

    #[test]
    fn what_is_no_text_says_so_and_a_byte_order_mark_is_nothing() {
        let chunks: Vec<_> = Chunks::lines(&b"\xef\xbb\xbf{}\n\xff\n"[..]).collect();
        assert_eq!(chunks[0].text.as_deref(), Ok("{}\n"));
        assert!(chunks[1].text.as_ref().unwrap_err().starts_with("not UTF-8"));
    }
}
