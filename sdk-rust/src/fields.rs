use crate::error::Error;
use http::{HeaderMap, HeaderName, HeaderValue};
use steve_protocol::head::{Fields, HeadError};
use steve_protocol::stream::StreamError;

/// The fields in their order, without copying their values.
pub(crate) fn to_header_map(fields: &Fields) -> Result<HeaderMap, Error> {
    let mut map = HeaderMap::with_capacity(fields.len());
    for line in fields.iter() {
        let name = HeaderName::from_bytes(line.name().as_bytes())
            .map_err(|_| StreamError::Head(HeadError::FieldName))?;
        let value = HeaderValue::from_maybe_shared(line.value().clone())
            .map_err(|_| StreamError::Head(HeadError::FieldValue))?;
        map.append(name, value);
    }
    Ok(map)
}
