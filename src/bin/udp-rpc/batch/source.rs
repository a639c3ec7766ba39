//! What `-d` names: the text itself, a file, or stdin; and whether it is one request or many.

use std::fs::File;
use std::io::{BufRead, BufReader, Cursor};

use super::chunks::{Chunk, Chunks, Content};
use crate::bytes;

/// Endings of the names of files in which each line is a request.
const LINES: [&str; 2] = [".jsonl", ".ndjson"];

/// Any input, for another thread to read.
pub(crate) type Source = Box<dyn BufRead + Send>;

/// The data of `-d`.
pub(crate) enum Data {
    /// One request, as text.
    One(Chunk),
    /// Any number of requests.
    Many(Requests),
}

/// Requests to be read.
pub(crate) struct Requests {
    pub(crate) chunks: Chunks<Source>,
    /// How long the input is, bytes, where that is known.
    pub(crate) length: Option<u64>,
}

/// Opens what `-d` names, and reads as far as it takes to know whether it is one request.
///
/// # Errors
///
/// There is no such file, or it cannot be opened.
pub(crate) fn open(argument: &str, lines: bool) -> Result<Data, String> {
    let (source, length, name): (Source, _, _) = match argument.strip_prefix('@') {
        None => {
            let length = Some(argument.len() as u64);
            (Box::new(Cursor::new(argument.as_bytes().to_vec())), length, "")
        }
        Some("-") => (Box::new(BufReader::new(bytes::stdin()?)), stdin_length(), ""),
        Some(path) => {
            let file = bytes::open(path)?;
            let length = length(&file);
            (Box::new(BufReader::new(file)), length, path)
        }
    };
    if lines || LINES.iter().any(|ending| name.to_ascii_lowercase().ends_with(ending)) {
        return Ok(Data::Many(Requests { chunks: Chunks::lines(source), length }));
    }
    Ok(match Chunks::classify(source) {
        Content::One(chunk) => Data::One(chunk),
        Content::Many(chunks) => Data::Many(Requests { chunks, length }),
    })
}

/// How long a file is, if it is a regular one.
fn length(file: &File) -> Option<u64> {
    file.metadata().ok().filter(std::fs::Metadata::is_file).map(|metadata| metadata.len())
}

/// The same of stdin, which may be a file too.
fn stdin_length() -> Option<u64> {
    #[cfg(unix)]
    {
        use std::os::fd::AsFd;
        let stdin = std::io::stdin().as_fd().try_clone_to_owned().ok()?;
        length(&File::from(stdin))
    }
    #[cfg(not(unix))]
    None
}
