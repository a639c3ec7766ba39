//! Generates code for the files of this crate, and for those of others.

use std::path::{Path, PathBuf};

use udp_rpc_build::{Builder, Error};

fn main() -> Result<(), Error> {
    Builder::new().include("proto").files(protos("proto".as_ref())).compile()?;
    Builder::new()
        .include("third_party")
        .files(protos("third_party".as_ref()))
        .name("third_party")
        .compile()
}

/// All `.proto` files in a folder and those inside it, in order.
fn protos(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut inside: Vec<PathBuf> =
        folder.read_dir().expect("a folder").map(|entry| entry.expect("an entry").path()).collect();
    inside.sort();
    for path in inside {
        if path.is_dir() {
            found.extend(protos(&path));
        } else if path.extension().is_some_and(|extension| extension == "proto") {
            found.push(path);
        }
    }
    found
}
