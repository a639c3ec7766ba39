//! What `@FILE` and `@-` name: bytes from a file or from stdin, whole and bounded.

use std::fs::File;
use std::io::{self, Read};
use std::sync::atomic::{AtomicBool, Ordering};

/// The longest that is read from a file or from stdin for one call, bytes: far above what a
/// datagram holds, so that the limit of the wire is what is reported, and far below what hurts
/// this process, in which a byte of JSON may become fifty.
pub(crate) const INPUT_MAX: u64 = 4 << 20;

/// stdin is one stream: whoever came second would find it empty.
static STDIN_TAKEN: AtomicBool = AtomicBool::new(false);

/// Takes stdin, once in the life of the process.
///
/// # Errors
///
/// Something else has taken it.
pub(crate) fn stdin() -> Result<io::Stdin, String> {
    if STDIN_TAKEN.swap(true, Ordering::Relaxed) {
        return Err("stdin (@-) can be read once only".to_owned());
    }
    Ok(io::stdin())
}

/// Opens a file to read it.
///
/// # Errors
///
/// Why it cannot be, with its name.
pub(crate) fn open(path: &str) -> Result<File, String> {
    File::open(path).map_err(|error| format!("cannot read {path}: {error}"))
}

/// Reads what stands behind the `@`: a file's path, or `-` for stdin.
///
/// # Errors
///
/// It cannot be read, or is longer than [`INPUT_MAX`].
pub(crate) fn read(named: &str) -> Result<Vec<u8>, String> {
    match named {
        "-" => whole(&mut stdin()?.lock(), "stdin"),
        path => whole(&mut open(path)?, path),
    }
}

/// Reads a source to its end.
///
/// # Errors
///
/// As [`read`].
pub(crate) fn whole(source: &mut dyn Read, name: &str) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    source
        .take(INPUT_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| format!("cannot read {name}: {error}"))?;
    if bytes.len() as u64 > INPUT_MAX {
        return Err(format!("{name} is longer than {} MiB, the limit", INPUT_MAX >> 20));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endless_input_is_refused_at_the_limit() {
        let error = whole(&mut io::repeat(b'x'), "/dev/zero").unwrap_err();
        assert_eq!(error, "/dev/zero is longer than 4 MiB, the limit");
        assert_eq!(whole(&mut io::repeat(b'x').take(3), "x").unwrap(), b"xxx");
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        assert!(read("/nowhere/at/all").unwrap_err().starts_with("cannot read /nowhere/at/all: "));
    }
}
