/// The rule of SPEC.md, Section 10.1 that a head or trailer section breaks. Never holds a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HeadError {
    /// The authority is empty, has userinfo, or is not a host with an optional port.
    #[error("invalid authority")]
    Authority,
    /// The body is not as long as content-length says.
    #[error("the body does not have the length that content-length says")]
    BodyLength,
    /// content-length occurs twice, is not a plain decimal number, or is in an interim response.
    #[error("invalid content-length")]
    ContentLength,
    /// The bytes are not a head: they end early, or are not consumed.
    #[error("malformed encoding")]
    Encoding,
    /// A field name is empty, not in lower case, or no token.
    #[error("invalid field name")]
    FieldName,
    /// A field value holds a control character, or begins or ends with white space.
    #[error("invalid field value")]
    FieldValue,
    /// host occurs twice or is not the authority.
    #[error("host differs from the authority")]
    Host,
    /// The method is not a token.
    #[error("invalid method")]
    Method,
    /// The path does not begin with "/" or holds characters a request target cannot have.
    #[error("invalid path")]
    Path,
    /// The scheme is neither http nor https.
    #[error("invalid scheme")]
    Scheme,
    /// The status is not from 100 to 599, or is 101 and nobody asked for an upgrade.
    #[error("invalid status")]
    Status,
    /// More than 65536 bytes.
    #[error("head of more than 65536 bytes")]
    TooLarge,
    /// More than 256 field lines.
    #[error("more than 256 field lines")]
    TooManyFields,
    /// A field that has no place in a trailer section.
    #[error("field not allowed in trailers")]
    TrailerField,
    /// upgrade occurs twice, is not one protocol, or is in a request that cannot ask for one.
    #[error("invalid upgrade")]
    Upgrade,
}
