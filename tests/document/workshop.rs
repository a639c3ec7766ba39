//! Where a page's reader makes projects of his own: next to a clone of this repository.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::ErrorKind;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use super::Session;

/// The folder of this repository.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A page under `docs/`.
pub(crate) fn page(name: &str) -> String {
    fs::read_to_string(root().join("docs").join(name)).unwrap()
}

/// An empty folder that holds a clone, as pages want it: a link to this repository.
///
/// It lies outside of the repository, because `cargo new` would make a project in there a member
/// of its workspace; and its name is always the same, so that what cargo has built of the library
/// is still good in the next run.
pub(crate) fn folder(name: &str) -> PathBuf {
    let mut hasher = DefaultHasher::new();
    env!("CARGO_TARGET_TMPDIR").hash(&mut hasher);
    let name = format!("udp-rpc-{name}-{:016x}", hasher.finish());
    let folder = std::env::temp_dir().join(name);
    if let Err(error) = fs::remove_dir_all(&folder) {
        assert_eq!(error.kind(), ErrorKind::NotFound, "{}: {error}", folder.display());
    }
    fs::create_dir(&folder).unwrap();
    symlink(root(), folder.join("udp-rpc")).unwrap();
    folder
}

/// A reader who will use cargo. It works offline, and takes the versions of this repository's
/// dependencies, all of which have been fetched: the tests need them.
pub(crate) fn session(folder: &Path) -> Session {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("pages");
    Session::new(folder)
        .environment("CARGO_NET_OFFLINE", "true")
        .environment("CARGO_TERM_COLOR", "never")
        .environment("CARGO_TARGET_DIR", target.to_str().unwrap())
        .after(|command, folder| {
            if let Some(project) = command.strip_prefix("cargo new --lib ") {
                let lock = folder.join(project).join("Cargo.lock");
                fs::copy(root().join("Cargo.lock"), lock).unwrap();
            }
        })
}
