//! Long lists in pages that each fit a datagram.
//!
//! Entries are in the order of their unique names, and a page's token is the last name on it: so
//! what is added or removed between two pages neither repeats nor hides another entry.

use prost::{Message, length_delimiter_len};

use crate::wire::MAX_BODY;

/// The first of `entries` that fit a reply of which `fixed` bytes are taken, as a repeated field
/// with a number below 16, and the token for the rest: the last name taken, empty when all fit.
pub(crate) fn first_page<T: Message>(
    fixed: usize,
    entries: impl IntoIterator<Item = T>,
    name: impl Fn(&T) -> &str,
) -> (Vec<T>, String) {
    let room = MAX_BODY.saturating_sub(fixed);
    let mut used = 0;
    let mut page: Vec<T> = Vec::new();
    for entry in entries {
        used += field_len(entry.encoded_len());
        // One entry is always taken: a page without any would be the end of the list.
        if !page.is_empty() && used + field_len(name(&entry).len()) > room {
            let token = page.last().map_or_else(String::new, |last| name(last).to_owned());
            return (page, token);
        }
        page.push(entry);
    }
    (page, String::new())
}

/// Length of a length-delimited field whose content is `content` bytes long: a tag of one byte, the
/// length, the content.
fn field_len(content: usize) -> usize {
    1 + length_delimiter_len(content) + content
}

#[cfg(test)]
mod tests {
    use super::super::NAME_LEN_MAX;
    use super::super::generated::v1::{Gauge, ReadReply};
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn entry_that_does_not_fit_is_no_end_of_the_list() {
        let gauges = (0..3).map(|i| Gauge { name: format!("gauge{i}"), value: i });
        let (page, token) = first_page(MAX_BODY, gauges, |gauge| &gauge.name);
        assert_eq!((page.len(), token.as_str()), (1, "gauge0"));
    }

    /// Reads all pages as a caller would.
    fn read_all(gauges: &[Gauge]) -> Vec<Gauge> {
        let mut all = Vec::new();
        let mut token = String::new();
        loop {
            let rest = gauges.iter().filter(|gauge| gauge.name > token).cloned();
            let (gauges, next_page_token) = first_page(0, rest, |gauge| &gauge.name);
            let reply = ReadReply { gauges, next_page_token, ..Default::default() };
            assert!(reply.encoded_len() <= MAX_BODY, "a page of {} bytes", reply.encoded_len());
            all.extend(reply.gauges);
            token = reply.next_page_token;
            if token.is_empty() {
                return all;
            }
        }
    }

    proptest! {
        #[test]
        fn paging_neither_loses_nor_repeats_an_entry_and_each_page_fits(
            names in prop::collection::btree_set("[a-z]{1,255}", 0..60),
            value: u64,
        ) {
            let gauges: Vec<_> = names.into_iter().map(|name| Gauge { name, value }).collect();
            prop_assert_eq!(read_all(&gauges), gauges);
        }
    }

    #[test]
    fn longest_names_make_progress() {
        let name = |i: u8| format!("{}{i:03}", "n".repeat(NAME_LEN_MAX - 3));
        let gauges: Vec<_> = (0..20).map(|i| Gauge { name: name(i), value: u64::MAX }).collect();
        assert_eq!(read_all(&gauges), gauges);
    }
}
