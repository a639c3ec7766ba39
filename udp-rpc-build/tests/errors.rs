//! What is wrong with a `.proto` file is told with the place, before the compiler sees any code.

use std::fs;
use std::path::Path;

use tempfile::TempDir;
use udp_rpc_build::{Builder, Error};

/// A folder with these files.
fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    folder
}

/// The error that the first of these files gives, without the folder's name.
fn error(files: &[(&str, &str)]) -> String {
    let folder = folder(files);
    let builder = Builder::new().include(folder.path());
    let builder = files.iter().fold(builder, |b, (name, _)| b.file(folder.path().join(name)));
    told(folder.path(), builder.generate().unwrap_err())
}

fn told(folder: &Path, error: Error) -> String {
    assert_eq!(format!("{error}"), format!("{error:?}"), "main shows the one, log the other");
    error.to_string().replace(&format!("{}/", folder.display()), "")
}

#[test]
fn syntax_error_has_file_line_column_and_the_line() {
    let text = "syntax = \"proto3\";\n\nmessage A {\n  string name 1;\n}\n";
    assert_eq!(
        error(&[("a.proto", text)]),
        "a.proto:4:15: expected '=', but found '1'\n  |\n4 |   string name 1;\n  |               ^"
    );
}

#[test]
fn unknown_type_has_its_place() {
    let text = "syntax = \"proto3\";\nmessage A {\n  Money price = 1;\n}\n";
    let error = error(&[("a.proto", text)]);
    assert!(error.starts_with("a.proto:3:3: name 'Money' is not defined"), "{error}");
    assert!(error.ends_with("\n3 |   Money price = 1;\n  |   ^"), "{error}");
}

#[test]
fn missing_import_has_the_place_of_the_import() {
    let text = "syntax = \"proto3\";\nimport \"b/c.proto\";\n";
    let error = error(&[("a.proto", text)]);
    assert!(error.starts_with("a.proto:2:1: import 'b/c.proto' not found"), "{error}");
}

#[test]
fn error_in_an_imported_file_is_told_of_that_file() {
    let a = "syntax = \"proto3\";\nimport \"b/c.proto\";\n";
    let error = error(&[("a.proto", a), ("b/c.proto", "syntax = \"proto3\";\nmessage {}\n")]);
    assert!(error.starts_with("b/c.proto:2:9: "), "{error}");
}

#[test]
fn file_that_is_not_there_is_named() {
    let folder = folder(&[]);
    let error = Builder::new().file(folder.path().join("no.proto")).generate().unwrap_err();
    let error = told(folder.path(), error);
    assert!(error.starts_with("no.proto: there is no such file"), "{error}");
}

#[test]
fn packages_that_would_be_one_module_are_told_apart_from_neither() {
    let error = error(&[
        ("a.proto", "syntax = \"proto3\";\npackage foo_bar;\n"),
        ("b.proto", "syntax = \"proto3\";\n\npackage fooBar;\n"),
    ]);
    assert!(
        error.starts_with(
            "b.proto:3:1: package fooBar and package foo_bar would both be the package `foo_bar` \
             in Rust; the other is at a.proto:2:1"
        ),
        "{error}"
    );
}

#[test]
fn names_that_would_be_one_in_rust_are_told_with_both_places() {
    for (text, expected) in [
        (
            "message userId {}\nmessage UserId {}",
            "a.proto:4:1: message p.UserId and message p.userId would both be the type `UserId` \
             in Rust; the other is at a.proto:3:1",
        ),
        (
            "message A {\n  int32 userId = 1;\n  oneof user_id { int32 b = 2; }\n}",
            "a.proto:4:3: field p.A.userId and oneof p.A.user_id would both be the field \
             `user_id` in Rust; the other is at a.proto:5:3",
        ),
        (
            "message A {\n  E kind = 1;\n  E set_kind = 2;\n}\nenum E { Z = 0; }",
            "a.proto:5:3: field p.A.set_kind and field p.A.kind would both be the function \
             `set_kind` in Rust; the other is at a.proto:4:3",
        ),
        (
            "message A {\n  repeated E kind = 1;\n  optional int32 push_kind = 2;\n}\nenum E { Z = 0; }",
            "a.proto:5:3: field p.A.push_kind and field p.A.kind would both be the function \
             `push_kind` in Rust; the other is at a.proto:4:3",
        ),
        (
            "enum Kind {\n  KIND_NONE = 0;\n  NONE = 1;\n}",
            "a.proto:5:3: value p.Kind.NONE and value p.Kind.KIND_NONE would both be the variant \
             `None` in Rust; the other is at a.proto:4:3",
        ),
        (
            "message A {}\nservice S {\n  rpc Get(A) returns (A);\n  rpc get(A) returns (A);\n}",
            "a.proto:6:3: method p.S/get and method p.S/Get would both be the method `get` in \
             Rust; the other is at a.proto:5:3",
        ),
    ] {
        let text = format!("syntax = \"proto3\";\npackage p;\n{text}\n");
        let error = error(&[("a.proto", &text)]);
        assert!(error.starts_with(expected), "{error}");
    }
}

#[test]
fn edition_is_refused_by_name() {
    let error = error(&[("a.proto", "edition = \"2023\";\nmessage A {}\n")]);
    assert!(error.starts_with("a.proto:1:1: editions are not supported yet"), "{error}");
}

#[test]
fn file_outside_every_include_folder_is_told() {
    let folder = folder(&[("in/a.proto", ""), ("out/b.proto", "syntax = \"proto3\";")]);
    let builder =
        Builder::new().include(folder.path().join("in")).file(folder.path().join("out/b.proto"));
    let error = told(folder.path(), builder.generate().unwrap_err());
    assert_eq!(error, "file 'out/b.proto' is not in any include path");
}
