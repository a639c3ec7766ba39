//! What the compiler says to whoever uses generated code: tiny programs are compiled against this
//! crate as it was built for the test.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

/// What the compiler says about this code, and whether it takes it.
fn compile(code: &str) -> (bool, String) {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("program.rs");
    fs::write(&source, code).unwrap();
    let libraries = libraries();
    let compiler = std::env::var_os("RUSTC").unwrap_or_else(|| OsString::from("rustc"));
    let mut library = OsString::from("udp_rpc_stubs=");
    library.push(newest(&libraries, "libudp_rpc_stubs-"));
    let mut dependencies = OsString::from("dependency=");
    dependencies.push(&libraries);
    let output = Command::new(compiler)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args([
            "--edition",
            "2024",
            "--crate-type",
            "lib",
            "--emit",
            "metadata",
            "--color",
            "never",
        ])
        .arg("--out-dir")
        .arg(folder.path())
        .arg("--extern")
        .arg(library)
        .arg("-L")
        .arg(dependencies)
        .arg(source)
        .output()
        .expect("the compiler that built this test");
    (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
}

/// Where cargo puts libraries: beside this test.
fn libraries() -> PathBuf {
    std::env::current_exe().unwrap().parent().unwrap().to_owned()
}

/// The library that was built last, of those that differ in what cargo hashes into their names.
fn newest(folder: &Path, prefix: &str) -> PathBuf {
    let built = |path: &PathBuf| -> SystemTime { fs::metadata(path).unwrap().modified().unwrap() };
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let libraries = files.filter(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with(prefix) && name.ends_with(".rlib")
    });
    libraries.max_by_key(built).unwrap_or_else(|| panic!("no {prefix}*.rlib in {folder:?}"))
}

const USES: &str = "
    use udp_rpc_stubs::proto::stubs::semantics::{Amount, stream};
    pub fn go(client: &stream::StreamClient, other: &mut stream::BlockingStreamClient) {
        let amount = Amount::default();
";

#[test]
fn calling_a_method_that_streams_is_an_error_that_says_so() {
    let (taken, said) = compile(&format!("{USES} let _ = client.unary(&amount); }}"));
    assert!(taken, "beside streams there are methods to call: {said}");

    for call in [
        "client.down(&amount);",
        "client.up(vec![amount]);",
        "client.new_([amount].into_iter());",
        "other.down(&amount);",
        "other.up(std::iter::empty::<Amount>());",
    ] {
        let (taken, said) = compile(&format!("{USES} let _ = {call} }}"));
        assert!(!taken, "{call} was taken");
        assert!(
            said.contains("this method streams, and streams are not on the wire yet"),
            "{call}: {said}"
        );
        assert_eq!(said.matches("error[").count(), 1, "{call}: {said}");
    }
}

#[test]
fn using_what_is_deprecated_is_a_warning_for_each_use() {
    let (taken, said) = compile(
        "use udp_rpc_stubs::proto::stubs::deprecated::{Thing, young};
        pub fn go(client: &young::YoungClient, other: &mut young::BlockingYoungClient) {
            let thing = Thing::default();
            let _ = client.here(&thing);
            let _ = client.gone(&thing);
            let _ = other.gone(&thing);
            let _ = young::GONE;
            let _ = thing.was;
            let _ = udp_rpc_stubs::proto::stubs::deprecated::State::Unknown;
            let _ = udp_rpc_stubs::proto::stubs::deprecated::Gone::default();
            let _ = udp_rpc_stubs::proto::stubs::deprecated::old::NAME;
        }",
    );
    assert!(taken, "{said}");
    let package = "udp_rpc_stubs::proto::stubs::deprecated";
    for (what, name) in [
        ("method", "young::YoungClient::gone"),
        ("method", "young::BlockingYoungClient::<C>::gone"),
        ("constant", "young::GONE"),
        ("field", "Thing::was"),
        ("unit variant", "State::Unknown"),
        ("struct", "Gone"),
        ("constant", "old::NAME"),
    ] {
        let warning = format!("use of deprecated {what} `{package}::{name}`");
        assert!(said.contains(&warning), "{warning} is not in {said}");
    }
    assert_eq!(said.matches("warning: use of deprecated").count(), 7, "{said}");
}

#[test]
fn method_that_an_implementation_lacks_is_named() {
    let (taken, said) = compile(
        "use udp_rpc_stubs::proto::stubs::semantics::stream;
        pub struct Empty;
        impl stream::Stream for Empty {}",
    );
    assert!(!taken);
    assert!(said.contains("missing: `unary`"), "{said}");
}
