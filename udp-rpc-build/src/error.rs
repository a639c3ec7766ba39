//! What is wrong with a `.proto` file, and where, in the shape that editors and terminals make a
//! link of.

use std::fmt;
use std::path::{Path, PathBuf};

/// Why no code could be generated: the place, as `file:line:column`, what is wrong there, and the
/// line itself.
///
/// `Debug` shows the same as `Display`, so that a build script whose `main` returns this error
/// prints it readably.
#[derive(Clone, PartialEq, Eq)]
pub struct Error {
    /// Where, if that can be said.
    place: Option<Place>,
    /// What, in one line.
    what: String,
}

/// A place in a file. Lines and columns count from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) file: PathBuf,
    pub(crate) position: Option<(usize, usize)>,
}

impl Error {
    pub(crate) fn new(what: impl Into<String>) -> Self {
        Self { place: None, what: what.into() }
    }

    pub(crate) fn at(place: Place, what: impl Into<String>) -> Self {
        Self { place: Some(place), what: what.into() }
    }

    /// What went wrong when reading or writing a file.
    pub(crate) fn io(path: &Path, error: &std::io::Error) -> Self {
        Self::new(format!("{}: {error}", path.display()))
    }

    /// An error of the compiler of `.proto` files; `path` gives the file that an import names.
    pub(crate) fn of_compiler(
        error: &protox::Error,
        path: impl Fn(&str) -> Option<PathBuf>,
    ) -> Self {
        // The place stands in what `Debug` says, and nowhere else: "name:line:column: what".
        let told = format!("{error:?}");
        let Some(name) = error.file() else { return Self::new(told) };
        let file = path(name).unwrap_or_else(|| name.into());
        let Some(rest) = told.strip_prefix(name).and_then(|rest| rest.strip_prefix(':')) else {
            return Self::at(Place { file, position: None }, told);
        };
        let mut parts = rest.splitn(3, ':');
        let position = (|| Some((number(parts.next()?)?, number(parts.next()?)?)))();
        let what = match position {
            Some(_) => parts.next().unwrap_or_default(),
            None => rest,
        };
        let mut error = Self::at(Place { file, position }, what.trim());
        error.explain_editions();
        error
    }

    /// The parser knows no editions and would only say what it had expected instead.
    fn explain_editions(&mut self) {
        if self.line().is_some_and(|line| line.trim_start().starts_with("edition")) {
            self.what =
                "editions are not supported yet: syntax = \"proto3\" and \"proto2\" are".to_owned();
        }
    }

    /// The line at which the error is, if it can be read.
    fn line(&self) -> Option<String> {
        let place = self.place.as_ref()?;
        let (line, _) = place.position?;
        let text = std::fs::read_to_string(&place.file).ok()?;
        text.lines().nth(line.checked_sub(1)?).map(|line| line.replace('\t', " "))
    }
}

fn number(digits: &str) -> Option<usize> {
    digits.trim().parse().ok()
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        match self.position {
            Some((line, column)) => write!(f, ":{line}:{column}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = &self.place {
            write!(f, "{place}: ")?;
        }
        f.write_str(&self.what)?;
        let position = self.place.as_ref().and_then(|place| place.position);
        if let (Some((number, column)), Some(line)) = (position, self.line()) {
            let margin = " ".repeat(number.to_string().len());
            let before = " ".repeat(column.saturating_sub(1));
            write!(f, "\n{margin} |\n{number} | {}\n{margin} | {before}^", line.trim_end())?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Error {}
