//! Trust on first use, kept in a file.

mod format;

use crate::record_file::RecordFile;
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use steve_protocol::evidence::{Pin, PinStore, PinStoreError};

type Pins = BTreeMap<String, Pin>;

/// Pins for trust on first use, in a JSON file that processes may share.
///
/// The file is replaced as a whole, after its successor has reached the disk; a lock on a second
/// file beside it (`.lock`) keeps processes from losing each other's records. A damaged file is an
/// error and stays as it is: starting anew would trust whoever comes next.
#[derive(Clone, Debug)]
pub struct FilePinStore {
    file: RecordFile,
}

impl FilePinStore {
    /// A store in the file at `path`, which is made with the first record. Its directory must exist.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { file: RecordFile::new(path.into()) }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        self.file.path()
    }

    fn read(&self) -> Result<Pins, PinStoreError> {
        match self.file.read().map_err(|error| self.error(error))? {
            Some(text) => format::decode(&text).map_err(|problem| self.error(problem)),
            None => Ok(Pins::new()),
        }
    }

    fn error(&self, cause: impl fmt::Display) -> PinStoreError {
        PinStoreError::new(self.file.message(cause))
    }
}

impl PinStore for FilePinStore {
    fn load(&self, origin: &str) -> Result<Option<Pin>, PinStoreError> {
        Ok(self.read()?.remove(origin))
    }

    fn record(&self, origin: &str, pin: &Pin) -> Result<Pin, PinStoreError> {
        let _lock = self.file.lock().map_err(|error| self.error(error))?;
        let mut pins = self.read()?;
        if let Some(recorded) = pins.remove(origin) {
            return Ok(recorded);
        }
        pins.insert(origin.to_owned(), pin.clone());
        self.file.replace(&format::encode(&pins)).map_err(|error| self.error(error))?;
        Ok(pin.clone())
    }
}

#[cfg(test)]
mod tests;
