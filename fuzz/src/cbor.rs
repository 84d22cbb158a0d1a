//! Pieces of CBOR, and what is in it.

use minicbor::{Decoder, Encoder};
use std::convert::Infallible;

/// What the encoder is told to write.
pub fn encode(
    with: impl FnOnce(&mut Encoder<Vec<u8>>) -> Result<(), minicbor::encode::Error<Infallible>>,
) -> Vec<u8> {
    let mut encoder = Encoder::new(Vec::new());
    with(&mut encoder).expect("memory takes everything");
    encoder.into_writer()
}

/// The beginning of an array (4) or map (5).
pub fn open(major: u8, len: usize, indefinite: bool) -> Vec<u8> {
    if indefinite {
        return vec![major << 5 | 31];
    }
    vec![major << 5 | 25, (len >> 8) as u8, len as u8]
}

/// The end of what [`open`] began.
pub fn close(out: &mut Vec<u8>, indefinite: bool) {
    if indefinite {
        out.push(0xff);
    }
}

/// The certificates of a document, leaf last.
pub fn certificates(document: &[u8]) -> Result<Vec<Vec<u8>>, minicbor::decode::Error> {
    let mut decoder = Decoder::new(document);
    decoder.array()?;
    decoder.skip()?;
    decoder.skip()?;
    let mut payload = Decoder::new(decoder.bytes()?);
    let (mut all, mut leaf) = (Vec::new(), Vec::new());
    for _ in 0..payload.map()?.unwrap_or_default() {
        match payload.str()? {
            "certificate" => leaf = payload.bytes()?.to_vec(),
            "cabundle" => {
                for der in payload.array_iter::<&minicbor::bytes::ByteSlice>()? {
                    all.push(der?.to_vec());
                }
            }
            _ => payload.skip()?,
        }
    }
    all.push(leaf);
    Ok(all)
}
