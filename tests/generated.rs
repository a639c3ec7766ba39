//! The generated code and the descriptors of the built-in services are those of their `.proto`
//! files. Nobody who builds the library runs the generator: its output is committed, and this test
//! makes it again and compares byte for byte.
//!
//! After a change of a `.proto` file: `UDP_RPC_BLESS=1 cargo test --test generated`.

use std::fs;
use std::path::Path;

use udp_rpc_build::Builder;

/// What is generated, and from which files below `proto/`. Imports come along by themselves.
const SETS: [(&str, &str, &[&str]); 2] = [
    (
        "src/service/generated",
        "builtin",
        &[
            "greeter.proto",
            "grpc/health/v1/health.proto",
            "udprpc/v1/calculator.proto",
            "udprpc/v1/counter.proto",
            "udprpc/v1/echo.proto",
            "udprpc/v1/reflection.proto",
            "udprpc/v1/sleep.proto",
            "udprpc/v1/statistics.proto",
        ],
    ),
    (
        "src/service/details/generated",
        "google.rpc",
        &["google/rpc/error_details.proto", "google/rpc/status.proto"],
    ),
];

#[test]
fn generated_code_is_that_of_the_proto_files() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let bless = std::env::var_os("UDP_RPC_BLESS").is_some_and(|value| value != "0");
    for (directory, name, files) in SETS {
        let generated = Builder::new()
            .include(root.join("proto"))
            .files(files.iter().map(|file| root.join("proto").join(file)))
            .library("crate")
            .name(name)
            // Signatures alone: the layer of services knows no clients.
            .servers(false)
            .clients(false)
            // One order of a map's entries, so that a message has one encoding.
            .messages(|config| {
                config.btree_map(["."]);
            })
            .generate()
            .unwrap();
        let code = (format!("{directory}/{name}.rs"), generated.code.into_bytes());
        for (path, bytes) in [code, (format!("{directory}/{name}.binpb"), generated.descriptors)] {
            if bless {
                fs::write(root.join(&path), &bytes).unwrap();
            }
            let committed = fs::read(root.join(&path)).unwrap_or_default();
            assert!(
                committed == bytes,
                "{path} is not what proto/ generates; \
                 UDP_RPC_BLESS=1 cargo test --test generated writes it anew"
            );
        }
    }
}
