use super::{Fields, HeadError, RequestHead, ResponseHead};

/// Holds a body to the length its head promises (SPEC.md, Section 10.1).
///
/// Without this a peer could make two parsers disagree about where a message ends.
#[derive(Clone, Copy, Debug, Default)]
pub struct BodyLength {
    /// None: the body ends where it ends.
    expected: Option<u64>,
    seen: u64,
}

impl BodyLength {
    /// For the body of a request.
    pub fn of_request(head: &RequestHead) -> Self {
        Self { expected: head.content_length(), seen: 0 }
    }

    /// For the body of a final response. Responses to HEAD, and 204 and 304, have none, whatever
    /// content-length says; what follows 101 is no body.
    pub fn of_response(head: &ResponseHead, to_head_request: bool) -> Self {
        if head.status == 101 {
            return Self::default();
        }
        let bodiless = to_head_request || matches!(head.status, 204 | 304);
        Self { expected: if bodiless { Some(0) } else { head.content_length() }, seen: 0 }
    }

    /// Counts bytes of the body; errors when there are too many.
    pub fn add(&mut self, len: usize) -> Result<(), HeadError> {
        self.seen += len as u64;
        match self.expected {
            Some(expected) if self.seen > expected => Err(HeadError::BodyLength),
            _ => Ok(()),
        }
    }

    /// At the end of the body; errors when there were too few.
    pub fn finish(&self) -> Result<(), HeadError> {
        match self.expected {
            Some(expected) if self.seen != expected => Err(HeadError::BodyLength),
            _ => Ok(()),
        }
    }
}

/// The length that the fields declare: at most one line, a plain decimal number.
pub(super) fn declared(fields: &Fields) -> Result<Option<u64>, HeadError> {
    let mut lines = fields.all("content-length");
    let Some(value) = lines.next() else { return Ok(None) };
    if lines.next().is_some() {
        return Err(HeadError::ContentLength);
    }
    super::rules::parse_content_length(value).map(Some).ok_or(HeadError::ContentLength)
}
