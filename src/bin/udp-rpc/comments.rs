//! The comments of `.proto` files, found by what they are about.

use std::collections::HashMap;

use prost_reflect::{DescriptorPool, FileDescriptor};

use crate::failure;

/// All comments of a pool of descriptors.
pub(crate) struct Comments {
    /// By the name of the file and the place in it.
    by_place: HashMap<(String, Vec<i32>), String>,
}

impl Comments {
    /// Gathers them. Nothing in them plays with a terminal.
    pub(crate) fn of(pool: &DescriptorPool) -> Comments {
        let mut by_place = HashMap::new();
        for file in pool.files() {
            let proto = file.file_descriptor_proto();
            let Some(info) = &proto.source_code_info else { continue };
            for location in &info.location {
                let parts = [location.leading_comments(), location.trailing_comments()];
                let told: Vec<String> =
                    parts.iter().map(|part| clean(part)).filter(|part| !part.is_empty()).collect();
                if !told.is_empty() {
                    let place = (file.name().to_owned(), location.path.clone());
                    by_place.insert(place, told.join("\n\n"));
                }
            }
        }
        Comments { by_place }
    }

    /// What is said of the thing at this place of a file: what stands before it, a blank line, what
    /// stands after it. Empty if nothing is said.
    pub(crate) fn on(&self, file: &FileDescriptor, path: &[i32]) -> &str {
        let place = (file.name().to_owned(), path.to_vec());
        self.by_place.get(&place).map_or("", String::as_str)
    }
}

/// A comment without the space after its slashes, or the asterisks of a block.
fn clean(comment: &str) -> String {
    let comment = failure::printable(comment);
    let lines: Vec<&str> =
        comment.lines().map(|line| line.strip_prefix(' ').unwrap_or(line).trim_end()).collect();
    lines.join("\n").trim_matches('\n').to_owned()
}

/// A comment in lines of at most `width` characters, where its words allow that. Paragraphs, lists
/// and what is indented stay apart; other lines of a paragraph flow.
pub(crate) fn wrap(comment: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    // Whether the last line may be gone on with.
    let mut flows = false;
    for line in comment.lines() {
        let stands_alone = line.is_empty() || line.starts_with([' ', '\t']);
        let begins = line.starts_with(['-', '*', '#', '|', '+', '>']) || is_numbered(line);
        if stands_alone && line.chars().count() <= width {
            lines.push(line.to_owned());
            flows = false;
            continue;
        }
        for (at, word) in line.split_whitespace().enumerate() {
            let fits = |last: &String| last.chars().count() + 1 + word.chars().count() <= width;
            match lines.last_mut() {
                Some(last) if flows && !(begins && at == 0) && fits(last) => {
                    last.push(' ');
                    last.push_str(word);
                }
                _ => lines.push(word.to_owned()),
            }
            flows = true;
        }
    }
    lines
}

/// Whether a line begins as the items of a numbered list do.
fn is_numbered(line: &str) -> bool {
    let rest = line.trim_start_matches(|c: char| c.is_ascii_digit());
    rest.len() < line.len() && rest.starts_with(['.', ')'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_lose_their_margin_and_what_plays_with_terminals() {
        assert_eq!(clean(" One.\n  Two.\n\n Three. \n"), "One.\n Two.\n\nThree.");
        assert_eq!(clean(" \x1b[2J"), "\u{fffd}[2J");
    }

    #[test]
    fn paragraphs_flow_and_lists_stay() {
        let comment = "one two\nthree four\n\nfive\n- six\n- seven\n    let x;\n1. eight";
        assert_eq!(
            wrap(comment, 13),
            ["one two three", "four", "", "five", "- six", "- seven", "    let x;", "1. eight"]
        );
        assert_eq!(wrap("a-word-that-does-not-fit x", 5), ["a-word-that-does-not-fit", "x"]);
        assert_eq!(wrap("", 10), [""; 0]);
    }
}
