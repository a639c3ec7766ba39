//! What the generated text says.

use std::fs;
use std::path::PathBuf;

use tempfile::TempDir;
use udp_rpc_build::{Builder, Output};

/// A folder with these files, of syntax proto3.
fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, format!("syntax = \"proto3\";\n{text}")).unwrap();
    }
    folder
}

/// What these files give, the first of them being compiled.
fn generate(files: &[(&str, &str)], change: impl FnOnce(Builder) -> Builder) -> Output {
    let folder = folder(files);
    let builder = Builder::new().include(folder.path()).file(folder.path().join(files[0].0));
    change(builder).generate().unwrap()
}

/// The code, with single spaces.
fn code(files: &[(&str, &str)]) -> String {
    squeeze(&generate(files, |builder| builder).code)
}

/// Single spaces between words, and none after an opening bracket or before a closing one: as if
/// all were one line.
fn squeeze(code: &str) -> String {
    let words: Vec<&str> = code.split_whitespace().filter(|word| *word != "///").collect();
    let mut line = words.join(" ");
    for (long, short) in [("( ", "("), (" )", ")"), (",)", ")"), ("< ", "<"), (",>", ">")] {
        line = line.replace(long, short);
    }
    line.replace(", >", ">").replace(" .", ".")
}

#[track_caller]
fn assert_has(code: &str, part: &str) {
    assert!(code.contains(&squeeze(part)), "{part:?} is not in {code}");
}

const GREETER: &str = "
package demo.v1;
// Says hello.
service Greeter {
  // Says it once.
  rpc SayHello(A) returns (B) { option idempotency_level = NO_SIDE_EFFECTS; }
  rpc Set(A) returns (B) { option idempotency_level = IDEMPOTENT; }
  rpc Do(A) returns (B);
  rpc Watch(A) returns (stream B);
  rpc Fill(stream A) returns (B);
  rpc Chat(stream A) returns (stream B) { option idempotency_level = NO_SIDE_EFFECTS; }
}
message A {}
message B {}
";

#[test]
fn signatures_have_name_types_and_semantics() {
    let code = code(&[("a.proto", GREETER)]);
    for (name, shape, semantics) in [
        ("SayHello", "Unary", ".no_side_effects()"),
        ("Set", "Unary", ".idempotent()"),
        ("Do", "Unary", ""),
        ("Watch", "ServerStreaming", ""),
        ("Fill", "ClientStreaming", ""),
        ("Chat", "Bidirectional", ".no_side_effects()"),
    ] {
        let upper = if name == "SayHello" { "SAY_HELLO".into() } else { name.to_uppercase() };
        assert_has(
            &code,
            &format!(
                "pub const {upper}: ::udp_rpc::service::{shape}<super::A, super::B> = \
                 ::udp_rpc::service::{shape}::new(\"demo.v1.Greeter/{name}\"){semantics};"
            ),
        );
    }
    assert_has(&code, "pub const NAME: &str = \"demo.v1.Greeter\";");
}

#[test]
fn servers_and_clients_can_be_left_out() {
    let without = generate(&[("a.proto", GREETER)], |b| b.servers(false).clients(false)).code;
    assert!(!without.contains("trait ") && !without.contains("Client {"), "{without}");
    assert!(!without.contains("udp_rpc::client"), "{without}");
    let servers = generate(&[("a.proto", GREETER)], |b| b.clients(false)).code;
    assert!(servers.contains("pub trait Greeter") && !servers.contains("udp_rpc::client"));
}

#[test]
fn types_are_found_from_the_service_wherever_they_are() {
    let own = "
        package a.b;
        import \"root.proto\"; import \"parent.proto\"; import \"sibling.proto\";
        import \"child.proto\"; import \"google/protobuf/timestamp.proto\";
        import \"google/protobuf/empty.proto\"; import \"google/protobuf/wrappers.proto\";
        service S {
          rpc M1(Own) returns (.Root);
          rpc M2(a.Parent) returns (a.c.Sibling);
          rpc M3(a.b.d.Child) returns (google.protobuf.Timestamp);
          rpc M4(google.protobuf.Empty) returns (google.protobuf.StringValue);
          rpc M5(Own.Inner) returns (google.protobuf.BytesValue);
        }
        message Own { message Inner {} }";
    let files = [
        ("own.proto", own),
        ("root.proto", "message Root {}"),
        ("parent.proto", "package a; message Parent {}"),
        ("sibling.proto", "package a.c; message Sibling {}"),
        ("child.proto", "package a.b.d; message Child {}"),
    ];
    let code = code(&files);
    for (name, types) in [
        ("M1", "super::Own, super::super::super::Root"),
        ("M2", "super::super::Parent, super::super::c::Sibling"),
        ("M3", "super::d::Child, ::udp_rpc::prost_types::Timestamp"),
        ("M4", "(), ::udp_rpc::prost::alloc::string::String"),
        ("M5", "super::own::Inner, ::udp_rpc::prost::alloc::vec::Vec<u8>"),
    ] {
        assert_has(&code, &format!("pub const {name}: ::udp_rpc::service::Unary<{types}> ="));
    }
    assert_has(&code, "::udp_rpc::service::Service::new(NAME, super::super::super::DESCRIPTORS)");
}

#[test]
fn service_without_a_package_finds_its_types_and_the_descriptors() {
    let code = code(&[("a.proto", "service S { rpc Go(A) returns (A); } message A {}")]);
    assert_has(&code, "Unary::new(\"S/Go\")");
    assert_has(&code, "Unary<super::A, super::A>");
    assert_has(&code, "Service::new(NAME, super::DESCRIPTORS)");
}

#[test]
fn service_whose_module_is_taken_gets_another() {
    let shop = ("shop.proto", "package acme.shop; message Item {}");
    let service = "package acme; import \"shop.proto\"; service Shop { rpc Buy(X) returns (X); }";
    let text = format!("{service} message X {{}}");
    assert_has(&code(&[("a.proto", &text), shop]), "pub mod shop_service {");
    let text = "service X { rpc Y(x) returns (x); } message x { message Z {} }";
    // The message `x` has the module `x`, and is the type `X`.
    assert_has(&code(&[("a.proto", text)]), "pub mod x_service {");
    let free = text.replace("{ message Z {} }", "{}");
    assert_has(&code(&[("a.proto", &free)]), "pub mod x {");
}

#[test]
fn package_and_types_inside_a_message_share_a_module() {
    let code = code(&[
        ("a.proto", "package acme; import \"b.proto\"; message Shop { message Item {} }"),
        ("b.proto", "package acme.shop; message Till {}"),
    ]);
    assert_eq!(code.matches("pub mod shop {").count(), 1, "{code}");
    assert_has(&code, "pub struct Item {}");
    assert_has(&code, "pub struct Till {}");
}

#[test]
fn names_of_methods_stand_in_the_way_of_nothing() {
    let text = "
        service S {
          rpc New(A) returns (A); rpc Name(A) returns (A); rpc Self(A) returns (A);
          rpc Get(A) returns (A); rpc GetWith(A) returns (A); rpc Type(A) returns (A);
        }
        message A {}";
    let code = code(&[("a.proto", text)]);
    let clients = &code[code.find("pub struct SClient").unwrap()..];
    for part in [
        "pub fn new_(&self, request: &super::A)",
        "pub fn new_with(&self, request: &super::A, options:",
        "pub fn self_(&self, request: &super::A)",
        "pub fn self_with(",
        "pub fn get(&self, request: &super::A)",
        "pub fn get_with_(&self, request: &super::A, options:",
        "pub fn get_with(&self, request: &super::A)",
        "pub fn get_with_with(&self, request: &super::A, options:",
        "pub fn r#type(&self, request: &super::A)",
        "pub fn type_with(",
        "pub fn new(client: ",
    ] {
        assert_has(clients, part);
    }
    assert_has(&code, "pub const NAME_: ::udp_rpc::service::Unary");
    assert_has(&code, "fn new(&self, context: &::udp_rpc::service::Context<'_>");
}

#[test]
fn what_is_deprecated_is_so_in_rust() {
    let text = "
        package p;
        service Old { option deprecated = true; rpc Go(A) returns (A); }
        service Young { rpc Gone(A) returns (A) { option deprecated = true; } }
        message A {
          message In { option deprecated = true; }
          enum E { option deprecated = true; ZERO = 0; }
          int32 was = 1 [deprecated = true];
        }
        message B { option deprecated = true; message Not {} }
        enum F { option deprecated = true; NULL = 0; ONE = 1 [deprecated = true]; }";
    let code = code(&[("a.proto", text)]);
    for part in [
        "#[deprecated] pub mod old {",
        "#[deprecated] pub const GONE:",
        "#[deprecated] fn gone(",
        "#[deprecated] pub fn gone(",
        "#[deprecated] pub fn gone_with(",
        "#[deprecated] pub struct In {}",
        "#[deprecated] pub struct B {}",
    ] {
        assert_has(&code, part);
    }
    let deprecated = |item: &str| {
        let at = code.find(item).unwrap();
        let before = &code[code[..at].rfind('}').unwrap_or(0)..at];
        before.contains("#[deprecated]")
    };
    assert!(deprecated("pub enum E {") && deprecated("pub enum F {"));
    assert!(!deprecated("pub struct A {") && !deprecated("pub struct Not {"));
}

#[test]
fn comments_become_documentation_and_what_is_detached_does_not() {
    let text = "
        // A licence.

        // A thing.
        //
        //     code [1]
        message A {
          int32 n = 1; // How many.
        }
        // Does https://a.example/.
        service S {
          /* Goes.
           * Far. */
          rpc Go(A) returns (A); // Or not.
        }";
    let output = generate(&[("a.proto", text)], |builder| builder);
    let code = &output.code;
    assert!(!code.contains("A licence"), "{code}");
    for part in [
        "    /// A thing.\n    ///\n    /// ```text\n    /// code [1]\n    /// ```\n",
        "        /// How many.\n",
        "    /// Does <https://a.example/>.\n    pub mod s {",
        "/// Goes.\n        /// Far.\n        ///\n        /// Or not.\n",
    ] {
        assert!(code.contains(part), "{part:?} is not in {code}");
    }
    // The descriptors have them as they were written, for whoever asks a server.
    let has =
        |part: &str| output.descriptors.windows(part.len()).any(|window| window == part.as_bytes());
    assert!(has(" A licence.") && has("     code [1]\n") && has(" How many."));
}

#[test]
fn every_message_has_its_name() {
    let code = code(&[("a.proto", "package p; message A { message B {} }")]);
    assert_has(&code, "\"type.googleapis.com/p.A.B\".into()");
}

#[test]
fn types_of_another_crate_are_used_and_not_made() {
    let files = [
        ("a.proto", "package p; import \"b.proto\"; message A { q.B b = 1; }"),
        ("b.proto", "package q; message B {}"),
    ];
    let output = generate(&files, |builder| builder.extern_path(".q", "::other::q"));
    assert!(output.code.contains("::other::q::B"), "{}", output.code);
    assert!(!output.code.contains("struct B"), "{}", output.code);
}

#[test]
fn library_of_another_name_is_used_throughout() {
    let output = generate(&[("a.proto", GREETER)], |builder| builder.library("::rpc"));
    assert!(!output.code.contains("udp_rpc::"), "{}", output.code);
    assert!(output.code.contains("::rpc::prost::Message"), "{}", output.code);
}

#[test]
fn prost_can_be_told_more() {
    let files = [("a.proto", "package p; message A { bytes b = 1; }")];
    let output = generate(&files, |builder| {
        builder.messages(|config| {
            config.bytes([".p.A"]);
        })
    });
    assert!(output.code.contains("::udp_rpc::prost::bytes::Bytes"), "{}", output.code);
}

#[test]
fn every_file_that_was_read_is_told() {
    let output = generate(
        &[
            ("a.proto", "import \"b/c.proto\"; import \"google/protobuf/any.proto\";"),
            ("b/c.proto", ""),
        ],
        |builder| builder,
    );
    let names: Vec<_> = output.read.iter().map(|path| path.file_name().unwrap()).collect();
    assert_eq!(names.len(), 2, "{names:?}");
    assert!(names.contains(&"a.proto".as_ref()) && names.contains(&"c.proto".as_ref()));
}

#[test]
fn same_files_give_the_same_output() {
    let text = "package p; message A { map<string, int32> a = 1; map<int32, A> b = 2; }";
    let files = [("a.proto", text)];
    assert_eq!(code(&files), code(&files));
}

#[test]
fn output_is_written_once_and_left_alone_when_it_is_right() {
    let folder = folder(&[("a.proto", GREETER)]);
    let compile = || {
        Builder::new()
            .file(folder.path().join("a.proto"))
            .out_dir(folder.path())
            .name("greeter")
            .compile()
            .unwrap();
    };
    let written = |name: &str| fs::metadata(folder.path().join(name)).unwrap().modified().unwrap();
    compile();
    let long_ago = std::time::SystemTime::UNIX_EPOCH;
    for name in ["greeter.rs", "greeter.binpb"] {
        let file = fs::File::options().write(true).open(folder.path().join(name)).unwrap();
        file.set_modified(long_ago).unwrap();
    }
    compile();
    assert_eq!((written("greeter.rs"), written("greeter.binpb")), (long_ago, long_ago));
    fs::write(folder.path().join("a.proto"), "syntax = \"proto3\"; message Other {}").unwrap();
    compile();
    assert!(written("greeter.rs") > long_ago && written("greeter.binpb") > long_ago);
}

#[test]
fn fields_that_make_a_message_contain_itself_are_boxed() {
    let code =
        code(&[("a.proto", "message A { A a = 1; oneof o { A b = 2; } repeated A c = 3; }")]);
    assert_has(&code, "pub a: ::core::option::Option<::udp_rpc::prost::alloc::boxed::Box<A>>,");
    assert_has(&code, "B(::udp_rpc::prost::alloc::boxed::Box<super::A>)");
}

#[test]
fn proto2_works_as_far_as_prost_goes() {
    let folder = tempfile::tempdir().unwrap();
    let path: PathBuf = folder.path().join("a.proto");
    let text = "syntax = \"proto2\";\n\
        message A {\n  required string name = 1;\n  optional int32 n = 2 [default = 7];\n\
          repeated group G = 3 { optional bool b = 4; }\n  extensions 100 to 199;\n}\n\
        extend A { optional string more = 100; }\n";
    fs::write(&path, text).unwrap();
    let code = squeeze(&Builder::new().file(path).generate().unwrap().code);
    assert_has(&code, "#[prost(string, required, tag = \"1\")]");
    assert_has(&code, "#[prost(int32, optional, tag = \"2\", default = \"7\")]");
    assert_has(&code, "#[prost(group, repeated, tag = \"3\")]");
}
