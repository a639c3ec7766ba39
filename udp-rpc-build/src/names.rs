//! Names in Rust, made of those in `.proto` files as prost-build makes them.

use heck::{ToSnakeCase, ToUpperCamelCase};
use prost_build::Module;

/// Words that only a raw identifier can be.
const KEYWORDS: [&str; 47] = [
    "abstract", "as", "async", "await", "become", "box", "break", "const", "continue", "do", "dyn",
    "else", "enum", "false", "final", "fn", "for", "gen", "if", "impl", "in", "let", "loop",
    "macro", "match", "mod", "move", "mut", "override", "priv", "pub", "ref", "return", "static",
    "struct", "trait", "true", "try", "type", "typeof", "unsafe", "unsized", "use", "virtual",
    "where", "while", "yield",
];

/// Words that not even a raw identifier can be.
const NEVER_RAW: [&str; 6] = ["_", "super", "self", "Self", "extern", "crate"];

/// An identifier that the compiler takes.
fn identifier(word: String) -> String {
    if KEYWORDS.contains(&word.as_str()) {
        format!("r#{word}")
    } else if NEVER_RAW.contains(&word.as_str()) {
        format!("{word}_")
    } else if word.starts_with(|c: char| c.is_numeric()) {
        format!("_{word}")
    } else {
        word
    }
}

/// The name of a field, a function or a module.
pub(crate) fn snake(name: &str) -> String {
    identifier(name.to_snake_case())
}

/// The name of a type or a variant.
pub(crate) fn camel(name: &str) -> String {
    identifier(name.to_upper_camel_case())
}

/// The name of a constant.
pub(crate) fn upper(name: &str) -> String {
    let name = name.to_snake_case().to_uppercase();
    if name.starts_with(|c: char| c.is_numeric()) { format!("_{name}") } else { name }
}

/// The name of a variant, without that of its enum before it.
pub(crate) fn variant(of: &str, name: &str) -> String {
    let name = name.to_upper_camel_case();
    let short = name.strip_prefix(&camel(of)).filter(|rest| rest.starts_with(char::is_uppercase));
    identifier(short.unwrap_or(&name).to_owned())
}

/// The modules in which a package lies.
pub(crate) fn modules(package: &str) -> Vec<String> {
    Module::from_protobuf_package_name(package).parts().map(str::to_owned).collect()
}

/// `package.name`, or the name alone where there is no package.
pub(crate) fn full(package: &str, name: &str) -> String {
    if package.is_empty() { name.to_owned() } else { format!("{package}.{name}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keywords_become_raw_or_get_an_underscore() {
        assert_eq!(snake("type"), "r#type");
        assert_eq!(snake("Self"), "self_");
        assert_eq!(snake("super"), "super_");
        assert_eq!(camel("self"), "Self_");
        assert_eq!(upper("type"), "TYPE");
        assert_eq!(upper("Self"), "SELF");
        assert_eq!(modules("acme.type.async"), ["acme", "r#type", "r#async"]);
    }

    #[test]
    fn words_are_found_in_any_manner_of_writing() {
        for name in ["SayHello", "say_hello", "sayHello", "SAY_HELLO"] {
            assert_eq!(snake(name), "say_hello");
            assert_eq!(camel(name), "SayHello");
            assert_eq!(upper(name), "SAY_HELLO");
        }
        assert_eq!(snake("_2fa"), "_2fa");
        assert_eq!(upper("_2fa"), "_2FA");
    }

    #[test]
    fn variants_lose_the_name_of_their_enum() {
        assert_eq!(variant("Kind", "KIND_SELF"), "Self_");
        assert_eq!(variant("Kind", "KINDNESS"), "Kindness");
        assert_eq!(variant("Kind", "OTHER"), "Other");
    }
}
