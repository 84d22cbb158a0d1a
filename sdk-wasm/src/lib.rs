//! The core of STEVE for browsers and Node.
