//! Kernel modules.

use rustix::system::finit_module;
use std::fs::File;
use std::io;

const DIRECTORY: &str = "/lib/modules";

/// A module that is missing or that the kernel refuses.
#[derive(Debug, thiserror::Error)]
#[error("cannot load the module {DIRECTORY}/{name}: {error}")]
pub struct ModuleError {
    name: String,
    error: io::Error,
}

/// Loads the modules in this order, without parameters. They must not be compressed.
pub(crate) fn load(names: &[String]) -> Result<(), ModuleError> {
    for name in names {
        File::open(format!("{DIRECTORY}/{name}"))
            .and_then(|file| Ok(finit_module(file, c"", 0)?))
            .map_err(|error| ModuleError { name: name.clone(), error })?;
    }
    Ok(())
}
