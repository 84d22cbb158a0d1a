//! The value of `--data`.

use crate::exit::Failure;
use bytes::{Bytes, BytesMut};
use futures_util::stream::unfold;
use http_body::Frame;
use http_body_util::StreamBody;
use std::path::Path;
use steve_sdk::RequestBody;
use tokio::io::{AsyncRead, AsyncReadExt};

const CHUNK: usize = 64 * 1024;
/// Files up to this size are held in memory, so that the request can be sent again where a rule
/// allows that.
const MAX_IN_MEMORY: u64 = 1 << 20;

/// A request body, and its length if it is a stream of known length.
pub(crate) struct Data {
    pub(crate) body: RequestBody,
    pub(crate) length: Option<u64>,
}

impl Data {
    /// Text, `@FILE`, or `@-` for standard input.
    pub(crate) async fn open(argument: &str) -> Result<Self, Failure> {
        match argument.strip_prefix('@') {
            None => Ok(Self { body: argument.to_owned().into(), length: None }),
            Some("-") => Ok(Self { body: stream(tokio::io::stdin()), length: None }),
            Some(path) => Self::open_file(Path::new(path))
                .await
                .map_err(|error| Failure::Usage(format!("cannot read {path}: {error}"))),
        }
    }

    async fn open_file(path: &Path) -> std::io::Result<Self> {
        let mut file = tokio::fs::File::open(path).await?;
        let metadata = file.metadata().await?;
        if !metadata.is_file() {
            return Ok(Self { body: stream(file), length: None });
        }
        if metadata.len() > MAX_IN_MEMORY {
            return Ok(Self { body: stream(file), length: Some(metadata.len()) });
        }
        let mut content = Vec::new();
        file.read_to_end(&mut content).await?;
        Ok(Self { body: content.into(), length: None })
    }
}

fn stream(source: impl AsyncRead + Send + Unpin + 'static) -> RequestBody {
    let chunks = unfold((source, BytesMut::new()), |(mut source, mut buffer)| async {
        buffer.reserve(CHUNK);
        let frame = match source.read_buf(&mut buffer).await {
            Ok(0) => return None,
            Ok(_) => Ok::<Frame<Bytes>, std::io::Error>(Frame::data(buffer.split().freeze())),
            Err(error) => Err(error),
        };
        Some((frame, (source, buffer)))
    });
    RequestBody::new(StreamBody::new(Box::pin(chunks)))
}
