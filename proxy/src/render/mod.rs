//! The command `render`: what a deployment needs, out of a Procfile or a platform's HCL.
//!
//! Reading gives [`given::Given`], what the file says with its lines; [`check`] makes a
//! [`deployment::Deployment`] of it, in which nothing contradicts anything; [`enclave`] and [`host`]
//! write that down. The same file always gives the same bytes.

mod check;
mod command;
mod deployment;
mod enclave;
mod given;
mod hcl;
mod host;
mod output;
mod procfile;
mod values;

use given::{Given, Mistake};
use std::io;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Largest file that is read, in bytes.
const MAX_FILE_LEN: u64 = 64 * 1024;

/// Why nothing was written. One sentence each, or one line for each mistake.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RenderError {
    #[error("{} cannot be read: {source}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{} is no file of up to {MAX_FILE_LEN} bytes of UTF-8", .0.display())]
    NoText(PathBuf),
    #[error("{} says what cannot be, and nothing was written:\n{}", path.display(), lines(path, mistakes))]
    Mistakes { path: PathBuf, mistakes: Vec<Mistake> },
    #[error(transparent)]
    Output(#[from] output::OutputError),
}

/// The form of the file.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Form {
    Procfile,
    Hcl,
}

/// Reads `path` and writes into `directory`, which is made if it is not there. Files there that
/// differ are replaced only with `force`.
pub(crate) fn run(
    form: Form,
    path: &Path,
    directory: &Path,
    force: bool,
) -> Result<(), RenderError> {
    let text = read(path)?;
    let deployment = deployment(form, &text)
        .map_err(|mistakes| RenderError::Mistakes { path: path.to_owned(), mistakes })?;
    let mut files = enclave::files(&deployment);
    files.extend(host::files(&deployment));
    output::write(directory, &files, force)?;
    for file in &files {
        println!("{}", directory.join(&file.name).display());
    }
    if deployment.debug {
        eprintln!(
            "steve-proxy: debug is on: the host can read the enclave's console, and clients refuse \
             its evidence"
        );
    }
    Ok(())
}

/// The deployment that the text describes, or everything that is wrong with it, by line.
fn deployment(form: Form, text: &str) -> Result<deployment::Deployment, Vec<Mistake>> {
    let mut given = match form {
        Form::Procfile => procfile::parse(text),
        Form::Hcl => hcl::parse(text).map_err(|mistake| vec![mistake])?,
    };
    let deployment = check::deployment(&mut given);
    let Given { mut mistakes, .. } = given;
    mistakes.sort();
    match (deployment, mistakes.is_empty()) {
        (Some(deployment), true) => Ok(deployment),
        _ => Err(mistakes),
    }
}

fn read(path: &Path) -> Result<String, RenderError> {
    let unreadable = |source| RenderError::Read { path: path.to_owned(), source };
    let file = std::fs::File::open(path).map_err(unreadable)?;
    let mut bytes = Vec::new();
    file.take(MAX_FILE_LEN + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    let text = String::from_utf8(bytes).ok().filter(|text| text.len() as u64 <= MAX_FILE_LEN);
    text.ok_or_else(|| RenderError::NoText(path.to_owned()))
}

fn lines(path: &Path, mistakes: &[Mistake]) -> String {
    let line = |mistake: &Mistake| format!("{}:{mistake}", path.display());
    mistakes.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests;
