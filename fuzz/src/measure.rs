//! The reader of enclave images, which is private to the command `steve`.

#[rustfmt::skip]
#[path = "../../sdk-rust/src/bin/steve/measure/eif.rs"]
#[allow(dead_code, reason = "the command uses the rest")]
mod eif;
#[rustfmt::skip]
#[path = "../../sdk-rust/src/bin/steve/measure/signature.rs"]
mod signature;

/// The registers of an image, PCR0 first, or why there are none.
pub fn measure(image: &[u8]) -> Result<Vec<(u8, steve_sdk::Pcr)>, String> {
    eif::measure(image).map(|image| image.pcrs).map_err(|error| error.to_string())
}
