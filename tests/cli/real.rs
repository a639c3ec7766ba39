//! `.proto` files that nobody here wrote: googleapis, gRPC's own.

use std::path::{Path, PathBuf};

use prost_reflect::DescriptorPool;
use udp_rpc::server::Running;
use udp_rpc::service::{Method, Registry, builtin};

use crate::reflected::serve;
use crate::run::{at, at_with_input, nobody};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/stubs/third_party")
}

/// All files below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.extension().is_some_and(|extension| extension == "proto") {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// Methods for what is large and in no service of theirs.
const EXTRA: &str = r#"
    syntax = "proto3";
    package extra;
    import "google/api/service.proto";
    import "google/rpc/context/attribute_context.proto";
    import "google/rpc/error_details.proto";
    service Extra {
        rpc Configure(google.api.Service) returns (google.rpc.BadRequest);
        rpc Attribute(google.rpc.context.AttributeContext) returns (google.rpc.BadRequest);
    }
"#;

/// A server of all of them whose methods echo, the files as arguments, and what is declared.
fn everything() -> (Running, Vec<String>, DescriptorPool) {
    let extra = tempfile::tempdir().unwrap();
    let extra_file = extra.path().join("extra.proto");
    std::fs::write(&extra_file, EXTRA).unwrap();
    let mut compiler = protox::Compiler::new([folder(), extra.path().to_owned()]).unwrap();
    compiler.include_imports(true).include_source_info(true);
    let mut all = files(&folder());
    assert!(all.len() > 30, "{all:?}");
    all.push(extra_file);
    compiler.open_files(&all).unwrap();

    let pool = compiler.descriptor_pool();
    let mut registry = Registry::new();
    builtin::reflection::install(&mut registry).unwrap();
    registry.describe(&compiler.encode_file_descriptor_set()).unwrap();
    for method in pool.services().flat_map(|service| service.methods().collect::<Vec<_>>()) {
        if !method.is_client_streaming() && !method.is_server_streaming() {
            let name = format!("{}/{}", method.parent_service().full_name(), method.name());
            let echo = Method::inline(&name, |_, request, reply| {
                reply.extend_from_slice(request);
                Ok(())
            });
            registry.add(echo).unwrap();
        }
    }
    // The arguments outlive the folder: it is kept.
    let extra = extra.keep();
    let mut arguments = vec!["-I".to_owned(), folder().display().to_string()];
    arguments.extend(["-I".to_owned(), extra.display().to_string()]);
    for file in all {
        arguments.extend(["--proto".to_owned(), file.display().to_string()]);
    }
    (serve(registry), arguments, pool)
}

#[test]
fn a_server_describes_what_its_files_say() {
    let (server, arguments, pool) = everything();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let mut names: Vec<String> = pool.services().map(|s| s.full_name().to_owned()).collect();
    names.extend(pool.all_messages().map(|message| message.full_name().to_owned()));
    names.extend(pool.all_enums().map(|values| values.full_name().to_owned()));
    assert!(names.len() > 200, "{}", names.len());
    for names in names.chunks(50) {
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let describe = [&["describe"][..], &names].concat();
        let remote = at(server.local_addr(), &describe);
        let local = at(nobody(), &[&describe, &arguments[..]].concat());
        assert_eq!((remote.code, local.code), (0, 0), "{} {}", remote.stderr, local.stderr);
        // That a server does not serve a stream, only the server knows.
        let unserved = |text: &str| text.replace("not served here", "may have side effects");
        for (remote, local) in unserved(&remote.stdout).lines().zip(local.stdout.lines()) {
            assert_eq!(remote, local, "{names:?}");
        }
        assert_eq!(remote.stdout.lines().count(), local.stdout.lines().count());
    }
}

#[test]
fn every_procedure_takes_its_own_template() {
    let (server, _, pool) = everything();
    let mut called = 0;
    for service in pool.services() {
        for method in service.methods() {
            if method.is_client_streaming() || method.is_server_streaming() {
                continue;
            }
            let name = format!("{}/{}", service.full_name(), method.name());
            let template = at(server.local_addr(), &["describe", "--template", &name]);
            assert_eq!(template.code, 0, "{template:?}");
            let call = ["call", &name, "-d", "@-", "-o", "raw"];
            let run = at_with_input(server.local_addr(), &call, &template.stdout);
            // What is too long is not sent.
            let too_long = run.stderr.contains("RESOURCE_EXHAUSTED");
            assert!(run.code == 0 || (run.code == 3 && too_long), "{name}: {run:?}");
            called += usize::from(run.code == 0);
        }
    }
    assert!(called >= 8, "{called}");
}
