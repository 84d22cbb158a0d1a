//! Client for HTTP apps behind STEVE.
