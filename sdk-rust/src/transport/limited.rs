use crate::error::{Error, Stage};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};

/// Reads a whole body of at most `limit` bytes.
pub(crate) async fn read_up_to(
    mut body: Incoming,
    limit: usize,
    stage: Stage,
) -> Result<Bytes, Error> {
    let too_long = || Error::NotSteve { stage, reason: "it is longer than it may be" };
    if body.size_hint().lower() > limit as u64 {
        return Err(too_long());
    }
    let mut read = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| Error::transport(stage, false, error))?;
        let Ok(data) = frame.into_data() else { continue };
        if read.len() + data.len() > limit {
            return Err(too_long());
        }
        read.extend_from_slice(&data);
    }
    Ok(read.freeze())
}

/// Reads a whole body of exactly `len` bytes.
pub(crate) async fn read_exact(body: Incoming, len: usize, stage: Stage) -> Result<Bytes, Error> {
    let read = read_up_to(body, len, stage).await?;
    if read.len() == len {
        Ok(read)
    } else {
        Err(Error::NotSteve { stage, reason: "it is shorter than it must be" })
    }
}
