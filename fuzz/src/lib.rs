//! What the fuzz targets share: parts of programs that no library has, models to hold the code
//! against, and keys that are made once.

pub mod app;
pub mod cbor;
pub mod e2p_v2;
pub mod manifest;
pub mod measure;
pub mod order;
pub mod seldom;
pub mod wire;
pub mod world;

/// The part of the proxy's module that [`app`] uses.
mod upstream {
    #[derive(Clone, Copy, PartialEq, Eq)]
    pub(crate) enum AppProtocol {
        Http1,
        Http2,
    }
}

/// The parts of the command's modules that [`manifest`] uses.
#[allow(dead_code, reason = "nothing fails here")]
mod exit {
    pub(crate) enum Failure {
        Usage(String),
        Manifest(crate::manifest::ManifestRefusal),
    }
}
mod connect {
    pub(crate) fn read(file: &std::path::Path) -> Result<Vec<u8>, crate::exit::Failure> {
        std::fs::read(file).map_err(|error| crate::exit::Failure::Usage(error.to_string()))
    }
}
