//! The proxy of STEVE.
