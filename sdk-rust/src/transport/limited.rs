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

/// Reads the first `len` bytes of a body. Also gives what was read beyond them.
pub(crate) async fn read_first(
    body: &mut Incoming,
    len: usize,
    stage: Stage,
) -> Result<(Bytes, Bytes), Error> {
    let mut read = BytesMut::new();
    while read.len() < len {
        let reason = "it is shorter than it must be";
        let frame = body.frame().await.ok_or(Error::NotSteve { stage, reason })?;
        let frame = frame.map_err(|error| Error::transport(stage, false, error))?;
        if let Ok(data) = frame.into_data() {
            read.extend_from_slice(&data);
        }
    }
    let first = read.split_to(len).freeze();
    Ok((first, read.freeze()))
}

/// Reads the end of a body: an error if there is anything before it. `rest` was read already.
pub(crate) async fn read_nothing(rest: Bytes, body: Incoming, stage: Stage) -> Result<(), Error> {
    if !rest.is_empty() {
        return Err(Error::NotSteve { stage, reason: "it is longer than it may be" });
    }
    read_up_to(body, 0, stage).await.map(drop)
}
