//! The generated code and the descriptors of the built-in services are those of their `.proto`
//! files. Nobody who builds the library runs a generator or needs `protoc`: the output is
//! committed, and this test makes it again and compares byte for byte.
//!
//! After a change of a `.proto` file: `UDP_RPC_BLESS=1 cargo test --test generated`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use prost_build::{Config, Method, Service, ServiceGenerator};

/// The files, from `proto/`. Imports come along by themselves.
const FILES: [&str; 8] = [
    "greeter.proto",
    "grpc/health/v1/health.proto",
    "udprpc/v1/calculator.proto",
    "udprpc/v1/counter.proto",
    "udprpc/v1/echo.proto",
    "udprpc/v1/reflection.proto",
    "udprpc/v1/sleep.proto",
    "udprpc/v1/statistics.proto",
];

/// What is generated next to the module that includes it.
const DIRECTORY: &str = "src/service/generated";

/// All descriptors, imports included, without comments.
const DESCRIPTORS: &str = "builtin.binpb";

#[test]
fn generated_code_is_that_of_the_proto_files() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let directory = root.join(DIRECTORY);
    let generated = generate(&root.join("proto"));

    if std::env::var_os("UDP_RPC_BLESS").is_some_and(|value| value != "0") {
        for (name, bytes) in &generated {
            fs::write(directory.join(name), bytes).unwrap();
        }
    }

    for (name, bytes) in &generated {
        let committed = fs::read(directory.join(name)).unwrap_or_default();
        assert!(
            committed == *bytes,
            "{DIRECTORY}/{name} is not what proto/ generates; \
             UDP_RPC_BLESS=1 cargo test --test generated writes it anew"
        );
    }
    let expected = generated.keys().map(String::as_str).chain(["mod.rs"]);
    let mut expected = expected.map(PathBuf::from).collect::<Vec<_>>();
    expected.sort();
    let found = fs::read_dir(&directory).unwrap();
    let mut found =
        found.map(|entry| PathBuf::from(entry.unwrap().file_name())).collect::<Vec<_>>();
    found.sort();
    assert_eq!(found, expected, "a generated file is left over in {DIRECTORY}");
}

/// Every generated file, by its name.
fn generate(proto: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut compiler = protox::Compiler::new([proto]).unwrap();
    compiler.include_imports(true).include_source_info(true);
    compiler.open_files(FILES.map(|file| proto.join(file))).unwrap();

    let output = tempfile::tempdir().unwrap();
    Config::new()
        .out_dir(output.path())
        .default_package_filename("greeter")
        .service_generator(Box::new(Signatures))
        .compile_fds(compiler.file_descriptor_set())
        .unwrap();
    let mut files = fs::read_dir(output.path())
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap()))
        .collect::<BTreeMap<_, _>>();

    compiler.include_source_info(false);
    files.insert(DESCRIPTORS.into(), compiler.encode_file_descriptor_set());
    files
}

/// Makes of every service a module with a typed signature for each unary method.
struct Signatures;

impl ServiceGenerator for Signatures {
    fn generate(&mut self, service: Service, code: &mut String) {
        service.comments.append_with_indent(0, code);
        code.push_str(&format!("pub mod {} {{\n", snake_case(&service.name)));
        for method in &service.methods {
            signature(&service, method, code);
        }
        code.push_str("}\n");
    }
}

fn signature(service: &Service, method: &Method, code: &mut String) {
    let dot = if service.package.is_empty() { "" } else { "." };
    let name = format!("{}{dot}{}/{}", service.package, service.proto_name, method.proto_name);
    if method.client_streaming || method.server_streaming {
        return;
    }
    let semantics = match method.options.idempotency_level().as_str_name() {
        "NO_SIDE_EFFECTS" => ".no_side_effects()",
        "IDEMPOTENT" => ".idempotent()",
        _ => "",
    };
    let (request, reply) = (inner_path(&method.input_type), inner_path(&method.output_type));
    method.comments.append_with_indent(1, code);
    code.push_str(&format!(
        "    pub const {}: crate::service::Unary<{request}, {reply}> =\n        \
         crate::service::Unary::new({name:?}){semantics};\n",
        method.name.to_uppercase(),
    ));
}

/// A type's path as seen from a module inside that of its package.
fn inner_path(path: &str) -> String {
    if path.starts_with("::") { path.into() } else { format!("super::{path}") }
}

fn snake_case(name: &str) -> String {
    let mut snake = String::new();
    for (i, letter) in name.chars().enumerate() {
        if letter.is_uppercase() && i > 0 {
            snake.push('_');
        }
        snake.extend(letter.to_lowercase());
    }
    snake
}
