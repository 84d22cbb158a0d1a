//! Trust on first use, kept in a file.

mod format;

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use steve_protocol::evidence::{Pin, PinStore, PinStoreError};
use tempfile::NamedTempFile;

type Pins = BTreeMap<String, Pin>;

/// Pins for trust on first use, in a JSON file that processes may share.
///
/// The file is replaced as a whole, after its successor has reached the disk; a lock on a second
/// file beside it (`.lock`) keeps processes from losing each other's records. A damaged file is an
/// error and stays as it is: starting anew would trust whoever comes next.
#[derive(Clone, Debug)]
pub struct FilePinStore {
    path: PathBuf,
}

impl FilePinStore {
    /// A store in the file at `path`, which is made with the first record. Its directory must exist.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn read(&self) -> Result<Pins, PinStoreError> {
        match std::fs::read_to_string(&self.path) {
            Ok(text) => format::decode(&text).map_err(|problem| self.error(problem)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Pins::new()),
            Err(error) => Err(self.error(error)),
        }
    }

    fn replace(&self, pins: &Pins) -> std::io::Result<()> {
        let directory = self.directory();
        let mut successor = NamedTempFile::new_in(directory)?;
        successor.write_all(format::encode(pins).as_bytes())?;
        successor.as_file().sync_all()?;
        successor.persist(&self.path).map_err(|error| error.error)?;
        // The new name is durable when its directory is. Not every system can sync a directory.
        if cfg!(unix) {
            File::open(directory)?.sync_all()?;
        }
        Ok(())
    }

    /// Held until the file is dropped.
    fn lock(&self) -> std::io::Result<File> {
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

    fn error(&self, cause: impl fmt::Display) -> PinStoreError {
        PinStoreError::new(format_args!("{}: {cause}", self.path.display()))
    }
}

impl PinStore for FilePinStore {
    fn load(&self, origin: &str) -> Result<Option<Pin>, PinStoreError> {
        Ok(self.read()?.remove(origin))
    }

    fn record(&self, origin: &str, pin: &Pin) -> Result<Pin, PinStoreError> {
        let _lock = self.lock().map_err(|error| self.error(error))?;
        let mut pins = self.read()?;
        if let Some(recorded) = pins.remove(origin) {
            return Ok(recorded);
        }
        pins.insert(origin.to_owned(), pin.clone());
        self.replace(&pins).map_err(|error| self.error(error))?;
        Ok(pin.clone())
    }
}

#[cfg(test)]
mod tests;
