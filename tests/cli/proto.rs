//! `--proto`: servers without reflection.

use std::path::PathBuf;

use tempfile::TempDir;

use crate::reflected::{SHOP, bare_shop, shop};
use crate::run::{Run, at, json_line, nobody, udp_rpc};

/// A folder with these files.
fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    folder
}

fn path(folder: &TempDir, name: &str) -> String {
    let path: PathBuf = folder.path().join(name);
    path.display().to_string()
}

#[test]
fn calls_take_names_and_types_from_the_files() {
    let (shop, files) = (bare_shop(), folder(&[("shop.proto", SHOP)]));
    let proto = path(&files, "shop.proto");
    let call = ["call", "look", "--proto", &proto, "7"];
    // The request's field 1 is an integer, the reply's a text: both echo.
    at(shop.local_addr(), &call).fails(1, &["it ran, but its answer"]);
    let place = ["call", "Orders/Place", "--proto", &proto, "-d", r#"{"gift":true}"#, "-o", "json"];
    at(shop.local_addr(), &place).expect(0, "{\"number\":\"0\"}\n");
    at(shop.local_addr(), &["call", "place", "--proto", &proto, "-d", "{\"nosuch\":1}"])
        .fails(2, &["nosuch", "shop.v1.Orders/Place takes customer string"]);
    at(shop.local_addr(), &["call", "plaice", "--proto", &proto])
        .fails(3, &["unknown function \"plaice\"; the nearest are shop.v1.Orders/Place"]);
    // Without the files nobody knows what it takes.
    at(shop.local_addr(), &["call", "place"]).fails(3, &["no reflection", "--proto FILE"]);
}

#[test]
fn reflection_is_not_asked_and_list_and_describe_ask_nobody() {
    let files = folder(&[("shop.proto", SHOP)]);
    let proto = path(&files, "shop.proto");
    let shop = bare_shop();
    let run = at(shop.local_addr(), &["call", "place", "--proto", &proto, "-d", "{}", "-vv"]);
    assert!(run.code == 0 && !run.stderr.contains("Describe"), "{run:?}");

    let reflected = crate::reflected::shop();
    for arguments in [&["list", "shop"][..], &["describe", "place"], &["describe", "-t", "look"]] {
        let local = at(nobody(), &[arguments, &["--proto", &proto]].concat());
        let remote = at(reflected.local_addr(), arguments);
        assert_eq!((local.code, local.stderr.as_str()), (0, ""), "{local:?}");
        // That a server does not serve a stream, only the server knows.
        let remote = remote.stdout.replace("not served here, server", "idempotent, server");
        assert_eq!(local.stdout, remote);
    }
}

#[test]
fn status_reads_an_answer_with_the_files() {
    let (shop, files) = (bare_shop(), folder(&[("shop.proto", SHOP)]));
    let proto = path(&files, "shop.proto");
    let call = ["call", "place", "--proto", &proto, "-d", "{}", "-v", "-o", "json"];
    let run = at(shop.local_addr(), &call);
    assert_eq!(run.code, 0, "{run:?}");
    let token = json_line(&run.stderr)["summary"]["token"].clone();
    let status =
        ["status", token.as_str().unwrap(), "-m", "place", "--proto", &proto, "-o", "json"];
    let run = udp_rpc(&status);
    assert_eq!(run.code, 0, "{run:?}");
    assert_eq!(json_line(&run.stdout)["reply"]["number"], "0");
}

#[test]
fn imports_are_found_next_to_the_file_or_in_the_folders_that_are_named() {
    let main = "syntax = \"proto3\"; import \"types/thing.proto\";
        service S { rpc M(types.Thing) returns (types.Thing); }";
    let thing = "syntax = \"proto3\"; package types; message Thing { int32 n = 1; }";
    let together = folder(&[("main.proto", main), ("types/thing.proto", thing)]);
    let list = |arguments: &[&str]| udp_rpc(&[&["list"], arguments].concat());
    let listed = "S\n  M                         may have side effects\n";
    list(&["--proto", &path(&together, "main.proto")]).expect(0, listed);
    // Relative to the working folder, too.
    let run = crate::run::command(&["list", "--proto", "main.proto"])
        .current_dir(together.path())
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&run.stdout), listed, "{run:?}");

    let apart = folder(&[("a/main.proto", main), ("b/types/thing.proto", thing)]);
    let proto = path(&apart, "a/main.proto");
    list(&["--proto", &proto]).fails(2, &["main.proto:1:20", "types/thing.proto"]);
    let (a, b) = (path(&apart, "a"), path(&apart, "b"));
    list(&["--proto", &proto, "-I", &a, "-I", &b]).expect(0, listed);
    list(&["--proto", "main.proto", "-I", &a, "-I", &b]).expect(0, listed);
    list(&["--proto", &proto, "-I", "/nowhere/at/all"]).fails(2, &["/nowhere/at/all is no folder"]);
    list(&["-I", &a]).fails(2, &["--proto"]);
}

#[test]
fn several_files_are_one_set_and_what_they_import_is_not_listed() {
    let one =
        "syntax = \"proto3\"; package one; message A {} service One { rpc Call(A) returns (A); }";
    let two = "syntax = \"proto3\"; package two; import \"one.proto\";
        service Two { rpc Call(one.A) returns (one.A); }";
    let files = folder(&[("one.proto", one), ("two.proto", two)]);
    let (one, two) = (path(&files, "one.proto"), path(&files, "two.proto"));
    let run = udp_rpc(&["list", "--proto", &two]);
    assert!(run.code == 0 && !run.stdout.contains("one.One"), "{run:?}");
    let run = udp_rpc(&["list", "--proto", &two, "--proto", &one]);
    assert!(run.stdout.contains("one.One") && run.stdout.contains("two.Two"), "{run:?}");
    let run = udp_rpc(&["describe", "call", "--proto", &two, "--proto", &one]);
    run.fails(3, &["ambiguous: one.One/Call, two.Two/Call"]);
}

fn refused(name: &str, text: &str) -> Run {
    let files = folder(&[(name, text)]);
    let proto = path(&files, name);
    at(shop().local_addr(), &["call", "place", "--proto", &proto, "-d", "{}"])
}

#[test]
fn what_is_wrong_with_a_file_is_said_with_its_place() {
    for (text, says) in [
        ("syntax = \"proto3\";\nmessage A {\n  string = 1;\n}", "bad.proto:3:10"),
        ("syntax = \"proto3\";\nmessage A {\n  Nosuch n = 1;\n}", "bad.proto:3:3"),
        ("syntax = \"proto3\";\nimport \"nosuch.proto\";", "bad.proto:2:1"),
        ("syntax = \"proto3\";\nmessage A {}\nmessage A {}", "bad.proto:3:9"),
        ("edition = \"2023\";", "bad.proto:1:1"),
        ("syntax = \"proto3\"; import \"bad.proto\";", "bad.proto"),
    ] {
        refused("bad.proto", text).fails(2, &["error: ", says]);
    }
    udp_rpc(&["list", "--proto", "/nowhere/at/all.proto"]).fails(2, &["/nowhere/at"]);
    refused("bad.proto", "").fails(3, &["there are none here"]);
}

#[test]
fn files_that_nest_without_end_are_refused() {
    let nested = |open: &str, close: &str| {
        format!("syntax = \"proto3\"; {}{}", open.repeat(50_000), close.repeat(50_000))
    };
    refused("bad.proto", &nested("message A { ", "}")).fails(2, &["bad.proto:1"]);
    let option = format!("syntax = \"proto3\"; option (a) = {};", nested("{ a: ", "}"));
    assert_eq!(refused("bad.proto", &option).code, 2);
}
