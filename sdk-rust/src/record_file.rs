//! A small file that processes share and that survives crashes.

use std::fmt;
use std::fs::File;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use tempfile::NamedTempFile;

/// The file is replaced as a whole, after its successor has reached the disk; a lock on a second file
/// beside it (`.lock`) keeps processes from losing each other's records.
#[derive(Clone, Debug)]
pub(crate) struct RecordFile {
    path: PathBuf,
}

impl RecordFile {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The content; none if there is no file.
    pub(crate) fn read(&self) -> std::io::Result<Option<String>> {
        match std::fs::read_to_string(&self.path) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(crate) fn replace(&self, text: &str) -> std::io::Result<()> {
        let directory = self.directory();
        let mut successor = NamedTempFile::new_in(directory)?;
        successor.write_all(text.as_bytes())?;
        successor.as_file().sync_all()?;
        successor.persist(&self.path).map_err(|error| error.error)?;
        // The new name is durable when its directory is. Not every system can sync a directory.
        if cfg!(unix) {
            File::open(directory)?.sync_all()?;
        }
        Ok(())
    }

    /// Held until the file is dropped.
    pub(crate) fn lock(&self) -> std::io::Result<File> {
        let mut path = self.path.clone().into_os_string();
        path.push(".lock");
        let file = File::options().create(true).write(true).truncate(false).open(path)?;
        file.lock()?;
        Ok(file)
    }

    fn directory(&self) -> &Path {
        match self.path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        }
    }

    /// What a message says of a failure.
    pub(crate) fn message(&self, cause: impl fmt::Display) -> String {
        format!("{}: {cause}", self.path.display())
    }
}
