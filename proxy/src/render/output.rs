//! Files into a directory: all of them, or none if one is in the way.

use std::io;
use std::path::{Path, PathBuf};

/// A file to be written.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct File {
    pub(super) name: String,
    pub(super) content: String,
}

impl File {
    pub(super) fn new(name: impl Into<String>, content: String) -> Self {
        Self { name: name.into(), content }
    }
}

/// Why files were not written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OutputError {
    #[error("{} is another file already, and nothing was written: --force replaces it", list(.0))]
    Differs(Vec<PathBuf>),
    #[error("{} cannot be written: {source}", path.display())]
    Write { path: PathBuf, source: io::Error },
}

pub(super) fn write(directory: &Path, files: &[File], force: bool) -> Result<(), OutputError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        |source| OutputError::Write { path, source }
    };
    std::fs::create_dir_all(directory).map_err(failed(directory))?;
    let mut missing = Vec::new();
    let mut different = Vec::new();
    for file in files {
        let path = directory.join(&file.name);
        match std::fs::read(&path) {
            Ok(content) if content == file.content.as_bytes() => continue,
            Ok(_) => different.push(path.clone()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed(&path)(error)),
        }
        missing.push((path, file));
    }
    if !different.is_empty() && !force {
        return Err(OutputError::Differs(different));
    }
    for (path, file) in missing {
        std::fs::write(&path, &file.content).map_err(failed(&path))?;
    }
    Ok(())
}

fn list(paths: &[PathBuf]) -> String {
    let paths: Vec<_> = paths.iter().map(|path| path.display().to_string()).collect();
    paths.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_is_kept_unless_forced() {
        let directory = tempfile::tempdir().unwrap();
        let directory = directory.path().join("deeper/still");
        let files = |a: &str| [File::new("a", a.into()), File::new("b", "b".into())];
        let content = |name: &str| std::fs::read_to_string(directory.join(name)).unwrap();
        write(&directory, &files("1"), false).unwrap();
        write(&directory, &files("1"), false).unwrap();
        std::fs::remove_file(directory.join("b")).unwrap();
        let error = write(&directory, &files("2"), false).unwrap_err().to_string();
        assert!(error.contains("deeper/still/a is another file"), "{error}");
        assert_eq!(content("a"), "1");
        assert!(!directory.join("b").exists());
        write(&directory, &files("2"), true).unwrap();
        assert_eq!((content("a"), content("b")), ("2".into(), "b".into()));
    }
}
