//! Names of methods: which are valid, and which a caller means by a shorter one.
//!
//! A full name is `package.Service/Method`, or `Service/Method` where there is no package. Callers
//! may say any end of it that begins at a part (`add`, `calculator/add`), and letter case, `_` and
//! `-` do not count. Everything here is bounded, because callers choose the queries.

/// Longest name of a method or a gauge, bytes: two of them and their tags still leave most of a
/// datagram free, so a page of names always makes progress.
pub const NAME_LEN_MAX: usize = 255;

/// Checks a full name; the error says what is wrong with it.
pub(crate) fn check(name: &str) -> Result<(), &'static str> {
    if name.len() > NAME_LEN_MAX {
        return Err("it is longer than 255 bytes");
    }
    let Some((service, method)) = name.split_once('/') else {
        return Err("there is no / between service and method");
    };
    if service.split('.').all(is_identifier) && is_identifier(method) {
        Ok(())
    } else {
        Err("its parts are not all letters, digits and _, beginning with no digit")
    }
}

fn is_identifier(part: &str) -> bool {
    !part.starts_with(|c: char| c.is_ascii_digit())
        && !part.is_empty()
        && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

#[cfg(feature = "protobuf")]
pub use resolve::{Miss, resolve};

#[cfg(feature = "protobuf")]
mod resolve {
    /// How many of the nearest names are offered.
    const NEAREST_MAX: usize = 4;

    /// Letters of a name that are compared when looking for near ones: bounds the work that one
    /// query can cause.
    const COMPARED_MAX: usize = 32;

    /// Why a query names no method.
    #[derive(Debug, PartialEq, Eq)]
    pub enum Miss<'a> {
        /// It could mean each of these.
        Ambiguous(Vec<&'a str>),
        /// Nothing is called so; these come nearest, the nearest first.
        Unknown(Vec<&'a str>),
    }

    impl Miss<'_> {
        /// What to tell whoever asked for `query`.
        pub fn sentence(&self, query: &str) -> String {
            match self {
                Self::Ambiguous(names) => format!("{query:?} is ambiguous: {}", names.join(", ")),
                Self::Unknown(names) if names.is_empty() => {
                    format!("unknown function {query:?}; there are none here")
                }
                Self::Unknown(names) => {
                    format!("unknown function {query:?}; the nearest are {}", names.join(", "))
                }
            }
        }
    }

    /// The one of `names` (full name, whether it is served) that `query` means: as reflection
    /// understands the names that callers give. Where a name that is served and one that is not
    /// both fit, the served one is meant.
    ///
    /// # Errors
    ///
    /// None of them is meant, or more than one could be.
    ///
    /// # Examples
    ///
    /// ```
    /// use udp_rpc::service::resolve;
    ///
    /// let names = [("shop.v1.Orders/Place", true), ("shop.v1.Orders/Cancel", true)];
    /// assert_eq!(resolve("place", names.into_iter()), Ok("shop.v1.Orders/Place"));
    /// let miss = resolve("plaec", names.into_iter()).unwrap_err();
    /// assert!(miss.sentence("plaec").contains("the nearest are shop.v1.Orders/Place"));
    /// ```
    pub fn resolve<'a>(
        query: &str,
        names: impl Iterator<Item = (&'a str, bool)> + Clone,
    ) -> Result<&'a str, Miss<'a>> {
        let query = query.trim_start_matches(['/', '.']);
        if let Some((name, _)) = names.clone().find(|(name, _)| *name == query) {
            return Ok(name);
        }
        let dotted = query.replace('/', ".");
        let folded = fold(query);
        let matchers: [&dyn Fn(&str) -> bool; 3] = [
            &|name| ends_at_part(&name.replace('/', "."), &dotted),
            &|name| fold(name) == folded,
            &|name| ends_at_part(&fold(name), &folded),
        ];
        for matches in matchers {
            let mut found: Vec<_> = names.clone().filter(|(name, _)| matches(name)).collect();
            if found.iter().any(|(_, served)| *served) {
                found.retain(|(_, served)| *served);
            }
            match found.as_slice() {
                [] => {}
                [(name, _)] => return Ok(name),
                _ => {
                    return Err(Miss::Ambiguous(found.into_iter().map(|(name, _)| name).collect()));
                }
            }
        }
        Err(Miss::Unknown(nearest(&folded, names.map(|(name, _)| name))))
    }

    /// Whether `name` ends in `end`, beginning at one of its parts.
    fn ends_at_part(name: &str, end: &str) -> bool {
        !end.is_empty()
            && name.strip_suffix(end).is_some_and(|head| head.is_empty() || head.ends_with('.'))
    }

    /// A name with everything gone that does not count.
    fn fold(name: &str) -> String {
        let kept = name.chars().filter(|c| !matches!(c, '_' | '-'));
        kept.map(|c| if c == '/' { '.' } else { c.to_ascii_lowercase() }).collect()
    }

    fn nearest<'a>(folded: &str, names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
        let wanted = last_part(folded);
        let mut ranked: Vec<_> = names
            .map(|name| {
                let name_folded = fold(name);
                let (service, method) = name_folded.rsplit_once('.').unwrap_or(("", &name_folded));
                // A caller who knows the service alone is shown its methods.
                let by_service = distance(wanted, last_part(service)).saturating_add(1);
                (distance(wanted, method).min(by_service), name)
            })
            .collect();
        ranked.sort_unstable();
        ranked.truncate(NEAREST_MAX);
        ranked.into_iter().map(|(_, name)| name).collect()
    }

    fn last_part(name: &str) -> &str {
        name.rsplit_once('.').map_or(name, |(_, last)| last)
    }

    /// Edits that make `b` of `a`: insertions, deletions, substitutions and swaps of neighbours
    /// (optimal string alignment), over the first [`COMPARED_MAX`] letters of both.
    fn distance(a: &str, b: &str) -> usize {
        let a: Vec<char> = a.chars().take(COMPARED_MAX).collect();
        let b: Vec<char> = b.chars().take(COMPARED_MAX).collect();
        let mut before: Vec<usize> = Vec::new();
        let mut last: Vec<usize> = (0..=b.len()).collect();
        for i in 1..=a.len() {
            let mut row = vec![i];
            for j in 1..=b.len() {
                let substituted = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
                let mut least = substituted.min(last[j] + 1).min(row[j - 1] + 1);
                if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                    least = least.min(before[j - 2] + 1);
                }
                row.push(least);
            }
            before = std::mem::replace(&mut last, row);
        }
        last[b.len()]
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        const NAMES: [(&str, bool); 6] = [
            ("Greeter/ParrotSaysHello", false),
            ("Greeter/SayHello", true),
            ("a.v1.Calculator/Add", true),
            ("a.v1.Counter/Get", true),
            ("b.v1.Counter/Get", true),
            ("b.v1.Counter/add", false),
        ];

        fn find(query: &str) -> Result<&'static str, Miss<'static>> {
            resolve(query, NAMES.into_iter())
        }

        #[test]
        fn any_unambiguous_end_names_a_method() {
            for query in [
                "a.v1.Calculator/Add",
                "/a.v1.Calculator/Add",
                "A.V1.calculator.add",
                "v1.Calculator.Add",
                "Calculator/add",
                "ADD",
                "Add",
            ] {
                assert_eq!(find(query), Ok("a.v1.Calculator/Add"), "{query}");
            }
            for query in ["say_hello", "say-hello", "sayhello"] {
                assert_eq!(find(query), Ok("Greeter/SayHello"), "{query}");
            }
        }

        #[test]
        fn exact_letter_case_beats_folded_and_unserved_ones_can_be_named() {
            assert_eq!(find("add"), Ok("b.v1.Counter/add"));
            assert_eq!(find("parrot-says-hello"), Ok("Greeter/ParrotSaysHello"));
        }

        #[test]
        fn ambiguous_name_lists_what_it_could_mean() {
            let both = vec!["a.v1.Counter/Get", "b.v1.Counter/Get"];
            assert_eq!(find("get"), Err(Miss::Ambiguous(both.clone())));
            assert_eq!(find("counter.get"), Err(Miss::Ambiguous(both)));
        }

        #[test]
        fn end_must_begin_at_a_part() {
            assert!(matches!(find("dd"), Err(Miss::Unknown(_))));
            assert!(matches!(find("ator/Add"), Err(Miss::Unknown(_))));
            assert!(matches!(find(""), Err(Miss::Unknown(_))));
        }

        #[test]
        fn unknown_name_offers_the_nearest() {
            let nearest = |query| match find(query) {
                Err(Miss::Unknown(names)) => names[0],
                other => panic!("{other:?}"),
            };
            assert_eq!(nearest("ad"), "a.v1.Calculator/Add");
            assert_eq!(nearest("asd"), "a.v1.Calculator/Add");
            assert_eq!(nearest("Calculator/Sum"), "a.v1.Calculator/Add");
            assert_eq!(nearest("calculator"), "a.v1.Calculator/Add");
            assert_eq!(nearest("syahello"), "Greeter/SayHello");
        }

        #[test]
        fn distance_counts_edits_and_swaps() {
            for (a, b, edits) in [
                ("", "", 0),
                ("", "abc", 3),
                ("abc", "abc", 0),
                ("ab", "ba", 1),
                ("kitten", "sitting", 3),
            ] {
                assert_eq!(distance(a, b), edits, "{a} {b}");
                assert_eq!(distance(b, a), edits, "{b} {a}");
            }
            assert_eq!(distance(&"x".repeat(1000), ""), COMPARED_MAX);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_names_have_a_service_and_a_method_of_identifiers() {
        for name in ["Greeter/SayHello", "a.b_c.D2/E", "_a/_"] {
            assert_eq!(check(name), Ok(()), "{name}");
        }
        for name in
            ["", "Add", "/Add", "a/", "a..b/c", ".a/b", "a/b/c", "a/b c", "2a/b", "ä/b", "a-b/c"]
        {
            assert!(check(name).is_err(), "{name}");
        }
        assert!(check(&format!("a/{}", "b".repeat(253))).is_ok());
        assert!(check(&format!("a/{}", "b".repeat(254))).is_err());
    }
}
