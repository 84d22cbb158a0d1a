//! The options of `render`.

use crate::render::{self, Form, RenderError};
use clap::Args;
use std::path::PathBuf;

#[derive(Debug, Args)]
pub(crate) struct RenderArgs {
    #[command(flatten)]
    source: Source,

    /// Directory to write into; it is made if it is not there.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,

    /// Replace files there that differ.
    #[arg(long)]
    force: bool,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Source {
    /// Procfile that describes the deployment.
    #[arg(long, value_name = "FILE")]
    procfile: Option<PathBuf>,

    /// HCL file that describes the deployment.
    #[arg(long, value_name = "FILE")]
    hcl: Option<PathBuf>,
}

impl RenderArgs {
    pub(crate) fn run(&self) -> Result<(), RenderError> {
        let source = match &self.source {
            Source { procfile: Some(path), .. } => Some((Form::Procfile, path)),
            Source { hcl: Some(path), .. } => Some((Form::Hcl, path)),
            _ => None,
        };
        // Clap demands one of them.
        let Some((form, path)) = source else { return Ok(()) };
        render::run(form, path, &self.out, self.force)
    }
}
