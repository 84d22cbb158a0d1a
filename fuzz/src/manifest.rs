//! How the command `steve` shows manifests.

pub(crate) use inner::ManifestRefusal;

#[rustfmt::skip]
#[path = "../../sdk-rust/src/bin/steve/manifest.rs"]
#[allow(dead_code, reason = "the command uses the rest")]
mod inner;

/// For people.
pub fn text(manifest: &[u8]) -> String {
    inner::text(manifest)
}
