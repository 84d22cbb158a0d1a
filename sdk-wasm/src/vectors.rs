//! What the test vectors need of the core. In no build that is shipped.

use crate::fault::Fault;
use crate::hex;
use bytes::{Bytes, BytesMut};
use steve_protocol::frame::{FrameOpener, FrameSealer, FrameType};
use steve_protocol::head::{Fields, RequestHead, ResponseHead, Trailers};
use steve_protocol::schedule::TrafficKey;
use steve_protocol::suite::Suite;
use wasm_bindgen::prelude::wasm_bindgen;

/// The frames of one direction of a stream: for each, number of its type with FIN, and content in
/// hexadecimal.
#[wasm_bindgen(js_name = openFrames)]
pub fn open_frames(
    suite: u16,
    key: &[u8],
    iv: &[u8],
    stream_id: u64,
    sealed: Vec<u8>,
) -> Result<Vec<String>, Fault> {
    let (suite, traffic) = traffic(suite, key, iv)?;
    let mut opener = FrameOpener::dangerous_standalone(suite, &traffic, stream_id);
    opener.push(Bytes::from(sealed));
    let mut frames = Vec::new();
    while let Some(frame) = opener.next_frame().map_err(wrong)? {
        let fin = if frame.fin { 0x80 } else { 0 };
        frames.extend([(frame.frame_type as u8 | fin).to_string(), hex(&frame.content)]);
    }
    Ok(frames)
}

/// Seals the first frame of a stream.
#[wasm_bindgen(js_name = sealFrame)]
#[allow(clippy::too_many_arguments, reason = "a vector has these members")]
pub fn seal_frame(
    suite: u16,
    key: &[u8],
    iv: &[u8],
    stream_id: u64,
    frame_type: u8,
    content: &[u8],
    padding: usize,
) -> Result<Vec<u8>, Fault> {
    let (suite, traffic) = traffic(suite, key, iv)?;
    let mut sealer = FrameSealer::dangerous_standalone(suite, &traffic, stream_id);
    let known = match frame_type & 0x7f {
        1 => FrameType::Head,
        2 => FrameType::Data,
        3 => FrameType::Trailers,
        _ => FrameType::Reset,
    };
    let mut out = BytesMut::new();
    sealer.seal(known, frame_type & 0x80 != 0, content, padding, &mut out).map_err(wrong)?;
    Ok(out.into())
}

/// Control data of a head, then names and values (in hexadecimal) in turn. `kind` is "request",
/// "response" or "trailers".
#[wasm_bindgen(js_name = decodeHead)]
pub fn decode_head(kind: &str, encoded: Vec<u8>) -> Result<Vec<String>, Fault> {
    let content = Bytes::from(encoded);
    match kind {
        "request" => {
            let head = RequestHead::decode(content)?;
            let control = [head.method(), head.scheme(), head.authority(), head.path()];
            Ok(lines(control.map(str::to_owned).to_vec(), head.fields()))
        }
        "response" => {
            let head = ResponseHead::decode(content)?;
            Ok(lines(vec![head.status().to_string()], head.fields()))
        }
        _ => Ok(lines(Vec::new(), Trailers::decode(content)?.fields())),
    }
}

fn lines(mut control: Vec<String>, fields: &Fields) -> Vec<String> {
    control.extend(fields.iter().flat_map(|line| [line.name().to_owned(), hex(line.value())]));
    control
}

fn traffic(suite: u16, key: &[u8], iv: &[u8]) -> Result<(Suite, TrafficKey), Fault> {
    let suite = Suite::from_id(suite).ok_or_else(|| wrong("unknown suite"))?;
    let key = key.try_into().map_err(wrong)?;
    let iv = iv.try_into().map_err(wrong)?;
    Ok((suite, TrafficKey { key, iv }))
}

fn wrong(error: impl ToString) -> Fault {
    Fault::new("vector", error)
}
