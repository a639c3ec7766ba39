//! Makes of a comment in a `.proto` file one that rustdoc can show.
//!
//! Such comments are Markdown by custom, but nobody wrote them for rustdoc: their code blocks are
//! not Rust and would be run as tests, their brackets are no links, their angle brackets no HTML.
//! What holds for the result, whatever the comment: it has no code block that could be a test, no
//! HTML, no link that goes nowhere, and no character that the compiler refuses in a comment.

use std::ops::Range;

use prost_types::{FileDescriptorSet, SourceCodeInfo};
use pulldown_cmark::{
    BrokenLink, CodeBlockKind, CowStr, Event, LinkType, Options, Parser, Tag, TagEnd,
};

/// What stands for characters that prost-build would escape, which it does inside code blocks too,
/// where the backslash would be seen. Noncharacters: no text has them.
const HIDDEN: [(char, &str); 3] = [('\u{fdd0}', "["), ('\u{fdd1}', "]"), ('\u{fdd2}', "://")];

/// A comment is parsed again after each repair, because the repair can uncover more; one that
/// needs more than this is shown word for word.
const PASSES_MAX: usize = 8;

/// Makes every comment of the set fit for rustdoc, with what [`reveal`] has to put back.
pub(crate) fn prepare(set: &mut FileDescriptorSet) {
    let infos = set.file.iter_mut().filter_map(|file| file.source_code_info.as_mut());
    for location in infos.flat_map(|SourceCodeInfo { location, .. }| location) {
        // They belong to nothing that is generated: often it is the licence.
        location.leading_detached_comments.clear();
        // Each is repaired by itself, and a paragraph of its own.
        for comment in [&mut location.leading_comments, &mut location.trailing_comments] {
            *comment = comment.take().map(|text| hide(&for_rustdoc(&text)));
        }
    }
}

fn hide(text: &str) -> String {
    let hide_one = |text: String, (hidden, shown): &(char, &str)| {
        text.replace(*hidden, "").replace(shown, &hidden.to_string())
    };
    HIDDEN.iter().fold(text.to_owned(), hide_one)
}

/// Puts back, in generated code, what [`prepare`] hid.
pub(crate) fn reveal(code: &str) -> String {
    HIDDEN.iter().fold(code.to_owned(), |code, (hidden, shown)| code.replace(*hidden, shown))
}

/// Markdown that rustdoc shows as the comment was meant.
pub(crate) fn for_rustdoc(comment: &str) -> String {
    let mut text = plain(comment);
    for _ in 0..PASSES_MAX {
        let repairs = repairs(&text);
        if repairs.is_empty() {
            return text;
        }
        for (range, with) in repairs.into_iter().rev() {
            text.replace_range(range, &with);
        }
    }
    if repairs(&text).is_empty() { text } else { verbatim(&plain(comment)) }
}

/// The comment without what all its lines are indented by, blank lines around it, and characters
/// that have no business in a comment.
fn plain(comment: &str) -> String {
    let lines = comment.lines().map(|line| {
        let kept = line.chars().filter(|c| *c == '\t' || !is_refused(*c));
        kept.collect::<String>().trim_end().replace('\t', "    ")
    });
    let lines: Vec<String> = lines.collect();
    let indentation = |line: &String| line.len() - line.trim_start_matches(' ').len();
    let common = lines.iter().filter(|line| !line.is_empty()).map(indentation).min().unwrap_or(0);
    let lines: Vec<&str> = lines.iter().map(|line| line.get(common..).unwrap_or("")).collect();
    lines.join("\n").trim_matches('\n').to_owned()
}

/// Control characters, and those that turn the direction of writing: rustc denies them.
fn is_refused(c: char) -> bool {
    c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// The text as one code block, which nothing in it can end.
fn verbatim(text: &str) -> String {
    let fence = fence_around(text);
    format!("{fence}text\n{text}\n{fence}")
}

fn fence_around(text: &str) -> String {
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    "`".repeat(longest.max(2) + 1)
}

/// A place in the text, and what is to stand there.
type Repair = (Range<usize>, String);

/// What must change in a text, in the order of the places, which do not overlap.
fn repairs(text: &str) -> Vec<Repair> {
    // As rustdoc reads it.
    let options = Options::ENABLE_TABLES
        | Options::ENABLE_FOOTNOTES
        | Options::ENABLE_STRIKETHROUGH
        | Options::ENABLE_TASKLISTS;
    let mut repairs = Vec::new();
    let mut broken = Vec::new();
    let note_broken = |link: BrokenLink<'_>| -> Option<(CowStr<'_>, CowStr<'_>)> {
        broken.push((link.span, link.link_type));
        None
    };
    let parser = Parser::new_with_broken_link_callback(text, options, Some(note_broken));
    // Runs of text in which bare addresses are looked for, outside links and code.
    let mut runs: Vec<Range<usize>> = Vec::new();
    let (mut links, mut code) = (0, None::<Block>);
    for (event, range) in parser.into_offset_iter() {
        match event {
            Event::Start(Tag::CodeBlock(kind)) => {
                code = Some(Block { fenced: fence(&kind), range, lines: Vec::new() });
            }
            Event::End(TagEnd::CodeBlock) => {
                if let Some(block) = code.take() {
                    repairs.extend(block.repair(text));
                    repairs.extend(block.close(text));
                }
            }
            Event::Text(_) => match &mut code {
                Some(block) => block.lines.push(range),
                None if links > 0 => {}
                None => match runs.last_mut() {
                    Some(run) if run.end == range.start => run.end = range.end,
                    _ => runs.push(range),
                },
            },
            Event::Html(_) | Event::InlineHtml(_) => {
                let less = text[range.clone()].match_indices('<');
                repairs
                    .extend(less.map(|(at, _)| (range.start + at..range.start + at, "\\".into())));
            }
            Event::Start(Tag::Link { .. } | Tag::Image { .. }) => links += 1,
            Event::End(TagEnd::Link | TagEnd::Image) => links -= 1,
            _ => {}
        }
    }
    repairs.extend(broken.into_iter().map(|(span, kind)| unlink(text, span, kind)));
    repairs.extend(runs.into_iter().flat_map(|run| addresses(text, run)));
    in_order(repairs)
}

/// Repairs by place; of those that overlap the first, the next pass sees to the others.
fn in_order(mut repairs: Vec<Repair>) -> Vec<Repair> {
    repairs.sort_by_key(|(range, _)| (range.start, range.end));
    let mut end = 0;
    repairs.retain(|(range, _)| {
        let free = range.start >= end;
        end = if free { range.end.max(range.start + 1) } else { end };
        free
    });
    repairs
}

fn fence(kind: &CodeBlockKind<'_>) -> Option<String> {
    match kind {
        CodeBlockKind::Indented => None,
        CodeBlockKind::Fenced(info) => Some(info.to_string()),
    }
}

/// A code block.
struct Block {
    /// What stands after the opening fence, if it is fenced.
    fenced: Option<String>,
    range: Range<usize>,
    /// Where its lines are, without the indentation that makes them code.
    lines: Vec<Range<usize>>,
}

impl Block {
    /// What ends one that the comment leaves open: what is told after the comment is not of it.
    fn close(&self, text: &str) -> Option<Repair> {
        self.fenced.as_ref()?;
        let from = text[..self.range.start].rfind('\n').map_or(0, |at| at + 1);
        let alone = text[from..self.range.start].trim().is_empty();
        let block = &text[self.range.clone()];
        let mark = block.chars().next()?;
        let fence: String = block.chars().take_while(|c| *c == mark).collect();
        let last = block.lines().skip(1).last().unwrap_or("").trim();
        let closed = last.starts_with(&fence) && last.trim_start_matches(mark).is_empty();
        let open = self.range.end == text.len() && alone && !closed;
        open.then(|| (text.len()..text.len(), format!("\n{fence}")))
    }

    /// What makes it a fenced one that says it is text.
    fn repair(&self, text: &str) -> Option<Repair> {
        match self.fenced.as_deref() {
            Some("text") => None,
            Some(_) => {
                let opening = &text[self.range.start..];
                let opening = &opening[..opening.find('\n').unwrap_or(opening.len())];
                let marks = opening.trim_start_matches(['`', '~']);
                let from = self.range.start + opening.len() - marks.len();
                Some((from..self.range.start + opening.len(), "text".into()))
            }
            None => {
                let first = self.lines.first()?.start;
                let from = text[..first].rfind('\n').map_or(0, |at| at + 1);
                let to = self.lines.last()?.end;
                // What the block is in: a list, by its indentation; or a quotation.
                let before = &text[from..first];
                let inside = before.strip_suffix("    ").unwrap_or(before);
                let next: String =
                    inside.chars().map(|c| if c == '>' { '>' } else { ' ' }).collect();
                let lines = self.lines.iter().map(|line| &text[line.clone()]);
                let body: String = lines.flat_map(|line| line.split_inclusive('\n')).collect();
                let fence = fence_around(&body);
                let mut with = format!("{inside}{fence}text\n");
                for line in body.lines() {
                    with.push_str(format!("{next}{line}").trim_end());
                    with.push('\n');
                }
                with.push_str(&format!("{next}{fence}"));
                if text[..to].ends_with('\n') {
                    with.push('\n');
                }
                Some((from..to, with))
            }
        }
    }
}

/// `[text][target]` is how comments in `.proto` files refer to other items: the text is what is to
/// be read. Anything else in brackets is meant as it stands.
fn unlink(text: &str, span: Range<usize>, kind: LinkType) -> Repair {
    let link = &text[span.clone()];
    if matches!(kind, LinkType::Reference | LinkType::ReferenceUnknown)
        && let Some((shown, _)) = link.strip_prefix('[').and_then(|rest| rest.rsplit_once("]["))
    {
        return (span, shown.to_owned());
    }
    let escaped = link.replace('[', "\\[").replace(']', "\\]");
    (span, escaped)
}

/// The bare addresses in a run of text, made links.
fn addresses(text: &str, run: Range<usize>) -> impl Iterator<Item = Repair> {
    let mut found = Vec::new();
    let mut from = run.start;
    while let Some((at, scheme)) = ["http://", "https://"]
        .iter()
        .filter_map(|scheme| text[from..run.end].find(scheme).map(|at| (from + at, scheme)))
        .min()
    {
        let rest = &text[at..run.end];
        let ends = |c: char| c.is_whitespace() || "<>\"'`)]}|\\".contains(c);
        let length = rest.find(ends).unwrap_or(rest.len());
        let length =
            rest[..length].trim_end_matches(['.', ',', ';', ':', '!', '?', '*', '_']).len();
        from = at + length.max(scheme.len());
        if length > scheme.len() {
            found.push((at..at + length, format!("<{}>", &text[at..at + length])));
        }
    }
    found.into_iter()
}

#[cfg(test)]
mod tests;
