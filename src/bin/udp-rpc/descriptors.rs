//! Descriptors of a peer, checked before other people's code is trusted with them.
//!
//! Every name of a file, its package in front of it, takes memory once more in a pool of
//! descriptors, and so do the ways from file to file; a mebibyte can ask for more than there is.
//! What passes here costs at most what [`LONGEST_NAMES`] and [`MOST_FILES`] say, and its names are
//! names, which a terminal can be shown.

use std::collections::BTreeMap;

use prost::Message;
use prost_types::field_descriptor_proto::Type;
use prost_types::{DescriptorProto, EnumDescriptorProto, FileDescriptorProto, FileDescriptorSet};

/// The most files: each may import all others.
const MOST_FILES: usize = 1_000;

/// The longest full name, bytes: twice what any method's may be.
const LONGEST_NAME: usize = 511;

/// The longest that all full names together may be, bytes.
const LONGEST_NAMES: usize = 32 << 20;

/// The most levels of messages in messages, as in `protoc`.
const DEEPEST: usize = 32;

/// Decodes a set of files, and sees to it that a pool can be made of it in little memory.
///
/// # Errors
///
/// What is wrong with it.
pub(crate) fn check(set: &[u8]) -> Result<FileDescriptorSet, String> {
    let set = FileDescriptorSet::decode(set)
        .map_err(|error| format!("its descriptors do not decode: {error}"))?;
    if set.file.len() > MOST_FILES {
        return Err(format!("{} files, where {MOST_FILES} are the most", set.file.len()));
    }
    imports(&set.file)?;
    let mut names = Names::default();
    for file in &set.file {
        names.file(file)?;
    }
    Ok(set)
}

/// Checks that no file imports itself by way of others.
fn imports(files: &[FileDescriptorProto]) -> Result<(), String> {
    let by_name: BTreeMap<&str, usize> =
        files.iter().enumerate().map(|(at, file)| (file.name(), at)).collect();
    // Each file is entered once and left once; one that is entered and not left imports the next.
    let mut entered = vec![false; files.len()];
    let mut left = vec![false; files.len()];
    for start in 0..files.len() {
        let mut way = vec![(start, 0)];
        while let Some((at, import)) = way.pop() {
            entered[at] = true;
            let Some(name) = files[at].dependency.get(import) else {
                left[at] = true;
                continue;
            };
            way.push((at, import + 1));
            match by_name.get(name.as_str()) {
                Some(&next) if left[next] => {}
                Some(&next) if entered[next] => {
                    return Err(format!("{name:?} imports itself, or what does"));
                }
                Some(&next) => way.push((next, 0)),
                None => {} // It is missing, which is found out with the types.
            }
        }
    }
    Ok(())
}

/// Checks names one by one, and adds their lengths up.
#[derive(Default)]
struct Names {
    total: usize,
}

impl Names {
    fn file(&mut self, file: &FileDescriptorProto) -> Result<(), String> {
        if file.name().len() > LONGEST_NAME || file.name().chars().any(char::is_control) {
            return Err("a file has no sensible name".to_owned());
        }
        if !matches!(file.syntax(), "" | "proto2" | "proto3") {
            return Err(format!(
                "{:?} is written in {:?}, and this version reads proto2 and proto3",
                file.name(),
                file.syntax()
            ));
        }
        let package = file.package();
        if !package.is_empty() && !package.split('.').all(is_identifier) {
            return Err(format!("{package:?} is no name of a package"));
        }
        self.count(package.len())?;
        self.messages(package.len(), &file.message_type, 1)?;
        self.enums(package.len(), &file.enum_type)?;
        self.each(package.len(), file.extension.iter().map(|field| field.name()))?;
        for service in &file.service {
            let scope = self.one(package.len(), service.name())?;
            self.each(scope, service.method.iter().map(|method| method.name()))?;
        }
        Ok(())
    }

    fn messages(
        &mut self,
        scope: usize,
        messages: &[DescriptorProto],
        depth: usize,
    ) -> Result<(), String> {
        if depth > DEEPEST && !messages.is_empty() {
            return Err(format!("messages are declared in messages, more than {DEEPEST} deep"));
        }
        for message in messages {
            let scope = self.one(scope, message.name())?;
            for field in &message.field {
                self.one(scope, field.name())?;
                if field.r#type.is_some_and(|kind| Type::try_from(kind).is_err()) {
                    return Err(format!("{:?} is of a type that nobody knows", field.name()));
                }
            }
            self.each(scope, message.extension.iter().map(|field| field.name()))?;
            self.each(scope, message.oneof_decl.iter().map(|oneof| oneof.name()))?;
            self.messages(scope, &message.nested_type, depth + 1)?;
            self.enums(scope, &message.enum_type)?;
        }
        Ok(())
    }

    fn enums(&mut self, scope: usize, enums: &[EnumDescriptorProto]) -> Result<(), String> {
        for item in enums {
            let scope = self.one(scope, item.name())?;
            self.each(scope, item.value.iter().map(|value| value.name()))?;
        }
        Ok(())
    }

    fn each<'a>(
        &mut self,
        scope: usize,
        mut names: impl Iterator<Item = &'a str>,
    ) -> Result<(), String> {
        names.try_for_each(|name| self.one(scope, name).map(drop))
    }

    /// Checks a name in a scope whose own name is `scope` bytes long; the length of both.
    fn one(&mut self, scope: usize, name: &str) -> Result<usize, String> {
        if !is_identifier(name) {
            let start: String = name.chars().take(40).collect();
            return Err(format!("{start:?} is no name"));
        }
        self.count(scope + 1 + name.len())
    }

    fn count(&mut self, length: usize) -> Result<usize, String> {
        self.total += length;
        if length > LONGEST_NAME {
            return Err(format!(
                "a name is {length} bytes long, where {LONGEST_NAME} are the most"
            ));
        }
        if self.total > LONGEST_NAMES {
            return Err(format!("its names take more than {LONGEST_NAMES} bytes"));
        }
        Ok(length)
    }
}

fn is_identifier(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::descriptors;

    fn file(name: &str, imports: &[&str]) -> FileDescriptorProto {
        FileDescriptorProto {
            name: Some(name.into()),
            dependency: imports.iter().map(ToString::to_string).collect(),
            syntax: Some("proto3".into()),
            ..Default::default()
        }
    }

    fn message(name: &str) -> DescriptorProto {
        DescriptorProto { name: Some(name.into()), ..Default::default() }
    }

    fn refusal(file: Vec<FileDescriptorProto>) -> String {
        check(&FileDescriptorSet { file }.encode_to_vec()).unwrap_err()
    }

    #[test]
    fn what_a_compiler_makes_passes() {
        assert!(check(&descriptors()).is_ok());
        assert!(check(udp_rpc::service::builtin::DESCRIPTORS).is_ok());
    }

    #[test]
    fn imports_in_a_ring_are_refused() {
        let ring = vec![file("a", &["c"]), file("b", &["a"]), file("c", &["b"]), file("d", &[])];
        assert!(refusal(ring).contains("imports itself"));
        assert!(refusal(vec![file("a", &["a"])]).contains("imports itself"));
        let missing = FileDescriptorSet { file: vec![file("a", &["b", "b"]), file("b", &["c"])] };
        assert!(check(&missing.encode_to_vec()).is_ok(), "what is missing is found out later");
    }

    #[test]
    fn names_that_are_none_or_too_long_are_refused() {
        for name in ["", "a b", "\x1b[2J", "1a", "ä"] {
            let mut file = file("a", &[]);
            file.message_type.push(message(name));
            assert!(refusal(vec![file]).contains("is no name"), "{name:?}");
        }
        let mut long = file("a", &[]);
        long.package = Some("a.".repeat(300) + "b");
        assert!(refusal(vec![long]).contains("601 bytes long"));
    }

    #[test]
    fn what_takes_little_on_the_way_and_much_in_memory_is_refused() {
        let many = (0..=MOST_FILES).map(|i| file(&i.to_string(), &[])).collect();
        assert!(refusal(many).contains("1001 files"));
        let mut wide = message(&"w".repeat(500));
        wide.nested_type = (0..70_000).map(|i| message(&format!("m{i}"))).collect();
        let mut names = file("a", &[]);
        names.message_type.push(wide);
        assert!(refusal(vec![names]).contains("its names take"));
    }

    #[test]
    fn messages_too_deep_in_messages_are_refused() {
        let nest = |depth: usize| {
            let mut file = file("a", &[]);
            let inside = |inner, _| DescriptorProto { nested_type: vec![inner], ..message("m") };
            file.message_type.push((1..depth).fold(message("m"), inside));
            FileDescriptorSet { file: vec![file] }.encode_to_vec()
        };
        assert!(check(&nest(DEEPEST)).is_ok());
        assert!(check(&nest(DEEPEST + 1)).unwrap_err().contains("32 deep"));
        // Far deeper, so that decoding has to stop by itself.
        let mut deep = Vec::new();
        for _ in 0..100_000 {
            let mut around = vec![0x1a];
            prost::encode_length_delimiter(deep.len(), &mut around).unwrap();
            if around.len() + deep.len() > 1 << 20 {
                break;
            }
            around.append(&mut deep);
            deep = around;
        }
        let mut set = vec![0x0a];
        prost::encode_length_delimiter(deep.len(), &mut set).unwrap();
        set.append(&mut deep);
        assert!(check(&set).is_err());
    }
}
