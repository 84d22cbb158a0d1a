//! Where the response body goes.

use crate::exit::Failure;
use std::fs::File;
use std::io::{Stdout, Write};
use std::path::{Path, PathBuf};
use tempfile::NamedTempFile;

/// Standard output, or a file.
pub(crate) enum Output {
    Stdout(Stdout),
    /// A device or the like, written as it comes.
    Special(File, PathBuf),
    /// Gets its name when it is complete.
    File(NamedTempFile, PathBuf),
}

impl Output {
    pub(crate) fn open(path: Option<&Path>) -> Result<Self, Failure> {
        let Some(path) = path else { return Ok(Self::Stdout(std::io::stdout())) };
        let failure = |error| Failure::output(&path.display().to_string(), &error);
        if path.metadata().is_ok_and(|metadata| !metadata.is_file()) {
            let file = File::options().write(true).open(path).map_err(failure)?;
            return Ok(Self::Special(file, path.to_owned()));
        }
        let directory = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        // As a plain write would: others may read what the umask lets them.
        let mut builder = tempfile::Builder::new();
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
        let file = builder.tempfile_in(directory).map_err(failure)?;
        Ok(Self::File(file, path.to_owned()))
    }

    pub(crate) fn write(&mut self, data: &[u8]) -> Result<(), Failure> {
        let written = match self {
            Self::Stdout(stdout) => stdout.write_all(data).and_then(|()| stdout.flush()),
            Self::Special(file, _) => file.write_all(data),
            Self::File(file, _) => file.write_all(data),
        };
        written.map_err(|error| Failure::output(&self.name(), &error))
    }

    /// To be called when the body is complete.
    pub(crate) fn finish(self) -> Result<(), Failure> {
        let name = self.name();
        match self {
            Self::File(file, path) => {
                file.persist(path).map_err(|error| Failure::output(&name, &error.error))?;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn name(&self) -> String {
        match self {
            Self::Stdout(_) => "standard output".to_owned(),
            Self::Special(_, path) | Self::File(_, path) => path.display().to_string(),
        }
    }
}

/// `text` without control characters: parts of it may come from somebody who wants to steer the
/// terminal.
pub(crate) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_appears_when_it_is_complete() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("body");
        let mut output = Output::open(Some(&path)).unwrap();
        output.write(b"half").unwrap();
        assert!(!path.exists());
        drop(output);
        assert_eq!(directory.path().read_dir().unwrap().count(), 0);

        let mut output = Output::open(Some(&path)).unwrap();
        output.write(b"whole").unwrap();
        output.finish().unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"whole");
    }

    #[test]
    fn terminals_are_not_steered() {
        assert_eq!(printable("a\u{1b}[31mb\nc\u{9b}d\r"), "a\u{fffd}[31mb\nc\u{fffd}d\u{fffd}");
    }
}
