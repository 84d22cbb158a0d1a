use std::fmt;

/// Why a message ended without being complete (SPEC.md, Section 13.2). Unknown codes survive.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ResetCode(u16);

impl ResetCode {
    /// Length of the content of a RESET frame in bytes.
    pub(crate) const LEN: usize = 2;
    /// The proxy is at a limit; not dispatched.
    pub const REFUSED: Self = Self(0x0101);
    /// The proxy is shutting down; not dispatched.
    pub const DRAINING: Self = Self(0x0102);
    /// Use a new session; not dispatched.
    pub const SESSION_ENDING: Self = Self(0x0103);
    /// The app's response broke off.
    pub const APP_FAILED: Self = Self(0x0201);
    /// The sender gave up.
    pub const CANCELLED: Self = Self(0x0202);
    /// A frame was malformed, out of order or did not authenticate.
    pub const PROTOCOL_ERROR: Self = Self(0x0203);
    /// Something took too long.
    pub const TIMEOUT: Self = Self(0x0204);
    /// The peer's message ended without FIN.
    pub const TRUNCATED: Self = Self(0x0205);
    /// The sender is at fault.
    pub const INTERNAL: Self = Self(0x0206);
    /// Key usage limit reached.
    pub const LIMIT: Self = Self(0x0207);

    /// The code with this number.
    pub const fn from_u16(code: u16) -> Self {
        Self(code)
    }

    /// The number on the wire.
    pub const fn to_u16(self) -> u16 {
        self.0
    }

    /// The content of a RESET frame.
    pub(crate) const fn to_bytes(self) -> [u8; Self::LEN] {
        self.0.to_be_bytes()
    }

    /// True when the proxy says, authenticated, that the app did not get the request: it is safe to
    /// send it again.
    pub const fn not_dispatched(self) -> bool {
        self.0 >> 8 == 0x01
    }

    /// The name in SPEC.md.
    pub const fn name(self) -> &'static str {
        match self {
            Self::REFUSED => "refused",
            Self::DRAINING => "draining",
            Self::SESSION_ENDING => "session-ending",
            Self::APP_FAILED => "app-failed",
            Self::CANCELLED => "cancelled",
            Self::PROTOCOL_ERROR => "protocol-error",
            Self::TIMEOUT => "timeout",
            Self::TRUNCATED => "truncated",
            Self::INTERNAL => "internal",
            Self::LIMIT => "limit",
            _ => "unknown",
        }
    }
}

impl fmt::Display for ResetCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (0x{:04x})", self.name(), self.0)
    }
}

impl fmt::Debug for ResetCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
