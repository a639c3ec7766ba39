//! Reads `PROTOCOL.md`: its fenced blocks of vectors, and its tables.

/// The document.
pub(crate) const PROTOCOL: &str = include_str!("../../PROTOCOL.md");

/// A fenced block: ```` ```tag name=… direction=… error=… ````, then `key = value` lines, `---`
/// and the content (a block without `---` has content only).
pub(crate) struct Block {
    pub(crate) name: String,
    pub(crate) direction: String,
    pub(crate) error: String,
    fields: Vec<(String, String)>,
    pub(crate) content: String,
}

impl Block {
    /// The value of a field, if it is there.
    pub(crate) fn get(&self, key: &str) -> Option<&str> {
        self.fields.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }

    /// All fields whose names begin with this, without it, in order.
    pub(crate) fn all<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        let fields = self.fields.iter();
        fields.filter_map(move |(name, value)| Some((name.strip_prefix(prefix)?, value.as_str())))
    }

    /// A decimal number; zero if it is not there.
    pub(crate) fn number<T: std::str::FromStr>(&self, key: &str) -> T {
        let text = self.get(key).unwrap_or("0");
        text.parse().unwrap_or_else(|_| panic!("{}: {key} = {text}", self.name))
    }

    /// A hexadecimal number of 64 bits; zero if it is not there.
    pub(crate) fn id(&self, key: &str) -> u64 {
        u64::from_str_radix(self.get(key).unwrap_or("0"), 16)
            .unwrap_or_else(|error| panic!("{}: {key}: {error}", self.name))
    }

    /// The content, as hexadecimal.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        hex(&self.content)
    }
}

/// Bytes out of hexadecimal digits; white space and what follows a `#` in a line do not count.
pub(crate) fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text
        .lines()
        .filter_map(|line| line.split('#').next())
        .flat_map(|line| line.chars().filter(|c| !c.is_whitespace()))
        .map(|c| u8::try_from(c.to_digit(16).unwrap_or_else(|| panic!("{c} in {text}"))).unwrap())
        .collect();
    assert_eq!(digits.len() % 2, 0, "{text}");
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

/// All fenced blocks with this tag; there must be some.
pub(crate) fn blocks(tag: &str) -> Vec<Block> {
    let opening = format!("```{tag}");
    let mut found = Vec::new();
    let mut lines = PROTOCOL.lines();
    while let Some(line) = lines.next() {
        let Some(attributes) = line.strip_prefix(&opening) else { continue };
        let attribute = |key: &str| -> String {
            let value = attributes.split(' ').find_map(|word| word.strip_prefix(key));
            value.and_then(|rest| rest.strip_prefix('=')).unwrap_or_default().to_owned()
        };
        let text: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
        let (fields, content) = match text.iter().position(|line| *line == "---") {
            Some(at) => (&text[..at], &text[at + 1..]),
            None => (&text[..0], &text[..]),
        };
        let fields = fields.iter().map(|line| {
            let (key, value) = line.split_once(" = ").unwrap_or_else(|| panic!("{line}"));
            (key.to_owned(), value.to_owned())
        });
        found.push(Block {
            name: attribute("name"),
            direction: attribute("direction"),
            error: attribute("error"),
            fields: fields.collect(),
            content: content.join("\n"),
        });
    }
    assert!(!found.is_empty(), "no block {tag}");
    found
}

/// The rows of the first table with this head, cells trimmed.
pub(crate) fn table(head: &str) -> Vec<Vec<String>> {
    nth_table(head, 0)
}

/// The rows of the table with this head that has `nth` such before it.
pub(crate) fn nth_table(head: &str, nth: usize) -> Vec<Vec<String>> {
    let all: Vec<&str> = PROTOCOL.lines().collect();
    let mut heads = all.iter().enumerate().filter(|(_, line)| **line == head);
    let (at, _) = heads.nth(nth).unwrap_or_else(|| panic!("no table {head}"));
    all.iter()
        .skip(at + 2)
        .take_while(|line| line.starts_with('|'))
        .map(|line| {
            let cells = line.trim_matches('|').split('|');
            cells.map(|cell| cell.trim().to_owned()).collect()
        })
        .collect()
}
