//! Every limit of the proxy, with its default and unit.

mod budget;
mod reached;
mod settings;

pub(crate) use budget::{Budget, Share, StreamBudget};
pub(crate) use reached::Limit;

use std::time::Duration;
use steve_protocol::head::MAX_FIELD_LINES;

/// Limits on what one peer, or all of them, may take. The defaults are what `serve` uses; tests
/// lower them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How long a key generation is announced before the next replaces it.
    pub key_rotation: Duration,
    /// How long a generation is honoured after it was replaced; then it is erased.
    pub key_overlap: Duration,
    /// Longest life of a session, from its ServerHello. Whole seconds.
    pub session_lifetime: Duration,
    /// Life of a session without a frame. Whole seconds.
    pub session_idle: Duration,
    /// Largest inner request head in bytes, 1024 to 65536.
    pub max_head_size: u32,
    /// Field lines of an inner request head, 16 to 256.
    pub max_head_fields: usize,
    /// Streams open at once in one session.
    pub max_streams: u16,
    /// Sessions in use. When there are more, one without open streams makes room.
    pub max_sessions: usize,
    /// Sessions whose client has not yet sent an authentic frame. The oldest makes room.
    pub max_unconfirmed: usize,
    /// Early requests that are remembered for each generation of keys, so that none is executed twice;
    /// further ones are rejected. Each takes 80 bytes, twice over, and all of them at most an eighth
    /// of the memory budget.
    pub max_early_requests: usize,
    /// Requests with an idempotency key that are remembered as long as the process lives; further ones
    /// are refused. 0: none are admitted. Each takes 192 bytes, and all of them at most a sixteenth of
    /// the memory budget. Their responses get 1/64 of it; the oldest make room.
    pub max_idempotent_requests: usize,
    /// Longest body of a request with an idempotency key in bytes, and longest response body that is
    /// kept for its repetitions.
    pub max_idempotent_body: usize,
    /// Life of a session whose client has not yet sent an authentic frame.
    pub unconfirmed_lifetime: Duration,
    /// Outer connections at once; further ones wait in the kernel's accept queue.
    pub max_connections: usize,
    /// Streams at once whose first frame has authenticated, over all sessions and connections.
    pub max_open_streams: usize,
    /// Stream requests at once that have not yet named a session in use. Each may hold one frame; the
    /// oldest makes room.
    pub max_anonymous: usize,
    /// Stream requests at once that have named a session in use and whose first frame has not yet
    /// authenticated. Each may hold one frame; the oldest makes room.
    pub max_opening: usize,
    /// Bytes of memory that connections and streams may take, over all: each is counted with the most
    /// that it can hold, so real use stays well below. Sessions come on top, at about 1 KiB each.
    pub memory_budget: u64,
    /// HTTP/2 streams at once on one outer connection.
    pub max_http2_streams: u32,
    /// Evidence requests waiting for the attester, and the largest batch it answers at once.
    pub max_challenges: usize,
    /// Evidence in the making or not yet taken, on one outer connection; more requests wait for up to
    /// `challenge_timeout`. Each holds some 6 KiB.
    pub max_unread_evidence: usize,
    /// Longest wait of an evidence request.
    pub challenge_timeout: Duration,
    /// Age at which the unchallenged evidence is renewed.
    pub unchallenged_refresh: Duration,
    /// Pause before a failed attester is tried again.
    pub attester_retry: Duration,
    /// A stream request must have sent its ClientHello or its first frame by then.
    pub first_frame_timeout: Duration,
    /// Longest idle time of a kept-alive outer connection, including the time its next head takes. One
    /// that was told to close is cut off after the same time again.
    pub header_read_timeout: Duration,
    /// A new outer connection must have sent a whole request head by then.
    pub first_request_timeout: Duration,
    /// An outer connection is closed when its peer takes nothing of an answer for so long. An HTTP/2
    /// one is first told, and closed after the same time again.
    pub write_timeout: Duration,
    /// Time between two pings of a tunnel.
    pub tunnel_ping: Duration,
    /// A tunnel is closed when nothing, not even the answer to a ping, came for so long although the
    /// proxy was waiting for it. Pings queue behind what a slow client has yet to take.
    pub tunnel_silence: Duration,
    /// An open stream in which no byte moved in either direction for so long is ended.
    pub stream_idle_timeout: Duration,
    /// Longest life of an open stream.
    pub stream_timeout: Duration,
    /// Pause between probes whether the app can be connected to.
    pub app_probe_interval: Duration,
    /// Longest time to connect to the app.
    pub app_connect_timeout: Duration,
    /// Longest wait for the app's response head after the last progress of the request, and longest
    /// time without progress of a request that is not complete.
    pub app_response_timeout: Duration,
    /// How long a connection to the app is kept unused. Below the idle time of common app servers, so
    /// that a request rarely meets a connection that the app is closing.
    pub app_idle_timeout: Duration,
    /// Unused connections to the app.
    pub app_max_idle: usize,
    /// How long the outer head waits for the first frame, so that both leave in one packet.
    pub answer_delay: Duration,
    /// What is read and thrown away of an outer request that was answered before its end: so many
    /// bytes,
    pub linger_bytes: usize,
    /// and for so long. A client that is still sending would otherwise lose the answer.
    pub linger_time: Duration,
    /// Longest wait for open streams at shutdown. Tunnels have `linger_time` more to say that they end.
    pub drain_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            key_rotation: Duration::from_secs(3600),
            key_overlap: Duration::from_secs(600),
            session_lifetime: Duration::from_secs(3600),
            session_idle: Duration::from_secs(600),
            max_head_size: 32 * 1024,
            max_head_fields: MAX_FIELD_LINES,
            max_streams: 256,
            max_sessions: 100_000,
            max_unconfirmed: 4096,
            max_early_requests: 100_000,
            max_idempotent_requests: 65_536,
            max_idempotent_body: 1 << 20,
            unconfirmed_lifetime: Duration::from_secs(60),
            max_connections: 4096,
            max_open_streams: 4096,
            max_anonymous: 1024,
            max_opening: 2048,
            memory_budget: 1 << 30,
            max_http2_streams: 256,
            max_challenges: 4096,
            max_unread_evidence: 32,
            challenge_timeout: Duration::from_secs(10),
            unchallenged_refresh: Duration::from_secs(300),
            attester_retry: Duration::from_secs(5),
            first_frame_timeout: Duration::from_secs(10),
            header_read_timeout: Duration::from_secs(150),
            first_request_timeout: Duration::from_secs(30),
            write_timeout: Duration::from_secs(300),
            tunnel_ping: Duration::from_secs(30),
            tunnel_silence: Duration::from_secs(120),
            stream_idle_timeout: Duration::from_secs(3600),
            stream_timeout: Duration::from_secs(86_400),
            app_probe_interval: Duration::from_secs(2),
            app_connect_timeout: Duration::from_secs(5),
            app_response_timeout: Duration::from_secs(300),
            app_idle_timeout: Duration::from_millis(1500),
            app_max_idle: 256,
            answer_delay: Duration::from_millis(50),
            linger_bytes: 64 * 1024 * 1024,
            linger_time: Duration::from_secs(2),
            drain_timeout: Duration::from_secs(30),
        }
    }
}

/// Largest manifest in bytes: what fits the Evidence structure.
pub const MAX_MANIFEST_LEN: usize = 65_535;
/// Buffer of an outer connection in bytes; a head must fit.
pub(crate) const CONNECTION_BUFFER: usize = 128 * 1024;
/// Buffer of a connection to the app in bytes; a head that fits a frame must fit. Three of them may
/// wait for a client that reads slowly: what was passed on, what comes next, and what is being read.
pub(crate) const APP_BUFFER: usize = 72 * 1024;
/// Field lines of an outer or app head.
pub(crate) const MAX_FIELDS: usize = 256;
/// HTTP/2 flow control window of a stream in bytes. Outer peers and the app are near, so that little
/// is under way.
pub(crate) const HTTP2_STREAM_WINDOW: u32 = 128 * 1024;
/// That of a connection to the app: so large that the streams' own windows are what counts, and one
/// that is not read holds up no other (row 23).
pub(crate) const HTTP2_APP_WINDOW: u32 = (1 << 31) - 1;
/// HTTP/2 connections to the app, and streams on each.
pub(crate) const APP_CONNECTIONS: usize = 64;
pub(crate) const APP_CONNECTION_STREAMS: usize = 100;
/// Bytes of an outer HTTP/2 stream that wait for the peer's window before hyper asks for more.
pub(crate) const HTTP2_SEND_BUFFER: usize = 64 * 1024;
/// Longest HTTP/2 field section in bytes.
pub(crate) const HTTP2_HEADER_LIST: u32 = 32 * 1024;
/// Liveness probes of an outer HTTP/2 connection.
pub(crate) const HTTP2_PING_INTERVAL: Duration = Duration::from_secs(30);
pub(crate) const HTTP2_PING_TIMEOUT: Duration = Duration::from_secs(20);
/// Sealed bytes that are gathered, if the app has them ready, before they are handed on.
pub(crate) const COALESCE: usize = 64 * 1024;
/// Buffers of that size which are kept for the next response.
pub(crate) const SPARE_BUFFERS: usize = 4;
/// Read buffer of a tunnel, in bytes.
pub(crate) const TUNNEL_BUFFER: usize = 16 * 1024;
/// Read buffer of an upgraded connection to the app, in bytes.
pub(crate) const UPGRADED_BUFFER: usize = 16 * 1024;
/// Informational responses of the app that wait to be passed on; more are dropped.
pub(crate) const MAX_INFORMATIONAL: usize = 8;
/// `Retry-After` of a 503 in seconds.
pub(crate) const RETRY_AFTER: &str = "1";
/// Seconds that a browser may remember the answer to a preflight.
pub(crate) const PREFLIGHT_MAX_AGE: &str = "7200";
/// Pause after a failed accept (no file descriptors, for example).
pub(crate) const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
