use proptest::prelude::*;

use super::*;

#[test]
fn paragraphs_lists_and_emphasis_stay_as_they_are() {
    let comment = " A *fine* thing, `x < y`.\n\n - one\n - two\n   goes on\n\n See also a_b_c.\n";
    assert_eq!(
        for_rustdoc(comment),
        "A *fine* thing, `x < y`.\n\n- one\n- two\n  goes on\n\nSee also a_b_c."
    );
}

#[test]
fn indented_code_becomes_a_block_of_text() {
    let comment = " Example:\n\n     a {\n       b\n     }\n\n     c\n\n More.\n";
    assert_eq!(for_rustdoc(comment), "Example:\n\n```text\na {\n  b\n}\n\nc\n```\n\nMore.");
}

#[test]
fn indented_code_in_a_list_stays_in_the_list() {
    let comment = "- item\n\n      code [1]\n\n- next";
    assert_eq!(for_rustdoc(comment), "- item\n\n  ```text\n  code [1]\n  ```\n\n- next");
}

#[test]
fn fenced_code_is_text_whatever_it_claims_to_be() {
    for info in ["", "rust", "no_run", "json", "rust,ignore"] {
        let comment = format!("Look:\n```{info}\nfn [x]\n```\nDone.");
        assert_eq!(for_rustdoc(&comment), "Look:\n```text\nfn [x]\n```\nDone.");
    }
    assert_eq!(for_rustdoc("~~~\nopen"), "~~~text\nopen\n~~~");
    assert_eq!(for_rustdoc("```"), "```text\n```");
    assert_eq!(for_rustdoc("~~~~\n~~~"), "~~~~text\n~~~\n~~~~");
    assert_eq!(for_rustdoc("  ```\n  x\n  ```\ny"), "  ```text\n  x\n  ```\ny");
}

#[test]
fn whole_comment_that_is_indented_is_not_code() {
    assert_eq!(for_rustdoc("      All\n      of it.\n"), "All\nof it.");
}

#[test]
fn html_is_shown_and_not_obeyed() {
    assert_eq!(for_rustdoc("a List<Key> of <b>"), "a List\\<Key> of \\<b>");
    let script = for_rustdoc("<script>\nalert([1])\n</script>");
    assert!(script.starts_with("\\<script>"), "{script}");
    assert!(is_safe(&script), "{script}");
}

#[test]
fn references_are_their_text_and_other_brackets_are_brackets() {
    assert_eq!(
        for_rustdoc("an [Operation][google.longrunning.Operation] in [0, 1) or [x]"),
        "an Operation in [0, 1) or \\[x\\]"
    );
    assert_eq!(for_rustdoc("[a](https://b.example/)"), "[a](https://b.example/)");
}

#[test]
fn bare_addresses_become_links() {
    assert_eq!(
        for_rustdoc("see https://a.example/b_c?d=e, or <https://f.example/>."),
        "see <https://a.example/b_c?d=e>, or <https://f.example/>."
    );
}

#[test]
fn characters_that_the_compiler_refuses_are_left_out() {
    assert_eq!(for_rustdoc("a\u{202e}b\u{0}c\td"), "abc    d");
}

#[test]
fn what_is_hidden_from_prost_comes_back() {
    let text = "[a] <https://b.example/>";
    let hidden = hide(text);
    assert!(!hidden.contains('[') && !hidden.contains("://"));
    assert_eq!(reveal(&hidden), text);
}

/// Whether rustdoc finds nothing to run, obey or resolve.
fn is_safe(text: &str) -> bool {
    repairs(text).is_empty()
}

/// Whether the last thing in a text is no code.
fn ends_in_prose(text: &str) -> bool {
    let events: Vec<_> = Parser::new(text).collect();
    !matches!(events.last(), Some(Event::End(TagEnd::CodeBlock)))
}

/// Text with much that means something in Markdown.
fn markdown() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        Just("    "),
        Just("  "),
        Just(" "),
        Just("\n"),
        Just("\n\n"),
        Just("```"),
        Just("~~~"),
        Just("`"),
        Just("- "),
        Just("1. "),
        Just("99) "),
        Just("* * *"),
        Just("> "),
        Just("["),
        Just("]"),
        Just("]("),
        Just("]["),
        Just("]: "),
        Just("<"),
        Just(">"),
        Just("<b>"),
        Just("</pre>"),
        Just("<pre>"),
        Just("<!--"),
        Just("|"),
        Just("|-|"),
        Just("\\"),
        Just("https://x.example/"),
        Just("word"),
        Just("# "),
        Just("=="),
        Just("\t"),
        Just("é"),
        Just("rust"),
        Just("*"),
        Just("_"),
        Just("&lt;"),
        Just("[^1]"),
        Just("[^1]: ")
    ];
    prop::collection::vec(part, 0..40).prop_map(|parts| parts.concat())
}

proptest! {
    #[test]
    fn nothing_in_any_comment_is_run_obeyed_or_resolved(text in markdown()) {
        let shown = for_rustdoc(&text);
        prop_assert!(is_safe(&shown), "{text:?} became {shown:?}");
        // What is told after it, in a paragraph of its own, is no part of a code block.
        let told = format!("{shown}\n\nplain");
        let after = repairs(&told);
        prop_assert!(after.is_empty(), "{text:?} became {told:?}, which needs {after:?}");
        prop_assert!(ends_in_prose(&told), "{text:?} became {told:?}");
    }
}
