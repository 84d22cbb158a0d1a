//! The limits as options.

use clap::Args;
use std::time::Duration;
use steve_proxy::Limits;

/// The defaults are those of [`Limits`], and so are the ranges.
#[derive(Debug, Args)]
#[command(next_help_heading = "Limits (times in seconds)")]
pub(super) struct LimitArgs {
    /// Sessions in use; when there are more, one without open streams makes room.
    #[arg(long, value_name = "N", env = "STEVE_MAX_SESSIONS", default_value_t = 100_000)]
    max_sessions: usize,

    /// Sessions whose client has not yet sent anything; the oldest makes room.
    #[arg(long, value_name = "N", env = "STEVE_MAX_UNCONFIRMED_SESSIONS", default_value_t = 4096)]
    max_unconfirmed_sessions: usize,

    /// Early requests remembered for each generation of keys, at 160 bytes; others are rejected.
    #[arg(long, value_name = "N", env = "STEVE_MAX_EARLY_REQUESTS", default_value_t = 100_000)]
    max_early_requests: usize,

    /// Requests with an idempotency key, remembered until the process ends, at 192 bytes; others are
    /// refused. 0: none are admitted. Clients see this attested.
    #[arg(long, value_name = "N", env = "STEVE_MAX_IDEMPOTENT_REQUESTS", default_value_t = 65_536)]
    max_idempotent_requests: usize,

    /// Longest body of such a request, and longest response that is kept for its repetitions.
    #[arg(long, value_name = "BYTES", env = "STEVE_MAX_IDEMPOTENT_BODY", default_value_t = 1 << 20)]
    max_idempotent_body: usize,

    /// Streams open at once in one session. Clients are told.
    #[arg(long, value_name = "N", env = "STEVE_MAX_STREAMS_PER_SESSION", default_value_t = 256)]
    max_streams_per_session: u16,

    /// Streams open at once, over all sessions.
    #[arg(long, value_name = "N", env = "STEVE_MAX_OPEN_STREAMS", default_value_t = 4096)]
    max_open_streams: usize,

    /// Outer connections open at once; further ones wait.
    #[arg(long, value_name = "N", env = "STEVE_MAX_CONNECTIONS", default_value_t = 4096)]
    max_connections: usize,

    /// Memory for connections and streams, each counted with the most that it can hold.
    #[arg(long, value_name = "BYTES", env = "STEVE_MEMORY_BUDGET", default_value_t = 1 << 30)]
    memory_budget: u64,

    /// Largest head of an encrypted request: 1024 to 65536. Clients are told.
    #[arg(long, value_name = "BYTES", env = "STEVE_MAX_HEAD_SIZE", default_value_t = 32_768)]
    max_head_size: u32,

    /// Field lines of an encrypted request head: 16 to 256.
    #[arg(long, value_name = "N", env = "STEVE_MAX_HEAD_FIELDS", default_value_t = 256)]
    max_head_fields: usize,

    /// Longest life of a session. Clients are told.
    #[arg(long, value_name = "SECONDS", env = "STEVE_SESSION_LIFETIME", default_value_t = 3600)]
    session_lifetime: u32,

    /// Life of a session in which nothing is sent. Clients are told.
    #[arg(long, value_name = "SECONDS", env = "STEVE_SESSION_IDLE_TIMEOUT", default_value_t = 600)]
    session_idle_timeout: u32,

    /// Longest wait for the first frame of a stream.
    #[arg(long, value_name = "SECONDS", env = "STEVE_FIRST_FRAME_TIMEOUT", default_value_t = 10)]
    first_frame_timeout: u32,

    /// Longest wait for the next request on a kept-alive connection.
    #[arg(long, value_name = "SECONDS", env = "STEVE_HEADER_READ_TIMEOUT", default_value_t = 150)]
    header_read_timeout: u32,

    /// Longest time for which a client may take nothing of an answer.
    #[arg(long, value_name = "SECONDS", env = "STEVE_WRITE_TIMEOUT", default_value_t = 300)]
    write_timeout: u32,

    /// Longest time to connect to the app.
    #[arg(long, value_name = "SECONDS", env = "STEVE_APP_CONNECT_TIMEOUT", default_value_t = 5)]
    app_connect_timeout: u32,

    /// Longest wait for the head of the app's response.
    #[arg(long, value_name = "SECONDS", env = "STEVE_APP_RESPONSE_TIMEOUT", default_value_t = 300)]
    app_response_timeout: u32,

    /// Pause between probes whether the app can be connected to.
    #[arg(long, value_name = "SECONDS", env = "STEVE_APP_PROBE_INTERVAL", default_value_t = 2)]
    app_probe_interval: u32,

    /// Life of a stream in which no byte moves.
    #[arg(long, value_name = "SECONDS", env = "STEVE_STREAM_IDLE_TIMEOUT", default_value_t = 3600)]
    stream_idle_timeout: u32,

    /// Longest life of a stream.
    #[arg(long, value_name = "SECONDS", env = "STEVE_STREAM_TIMEOUT", default_value_t = 86_400)]
    stream_timeout: u32,

    /// How long sessions are served at shutdown with health red, before clients are told to leave; 0:
    /// it stops listening at once. Longer than a load balancer needs to see that.
    #[arg(long, value_name = "SECONDS", env = "STEVE_DRAIN_NOTICE", default_value_t = 0)]
    drain_notice: u32,

    /// Longest wait for open streams at shutdown; before that, with --drain-notice, for sessions.
    #[arg(long, value_name = "SECONDS", env = "STEVE_DRAIN_TIMEOUT", default_value_t = 30)]
    drain_timeout: u32,
}

impl LimitArgs {
    pub(super) fn limits(&self) -> Limits {
        let seconds = |seconds: u32| Duration::from_secs(seconds.into());
        Limits {
            max_sessions: self.max_sessions,
            max_unconfirmed: self.max_unconfirmed_sessions,
            max_early_requests: self.max_early_requests,
            max_idempotent_requests: self.max_idempotent_requests,
            max_idempotent_body: self.max_idempotent_body,
            max_streams: self.max_streams_per_session,
            max_open_streams: self.max_open_streams,
            max_connections: self.max_connections,
            memory_budget: self.memory_budget,
            max_head_size: self.max_head_size,
            max_head_fields: self.max_head_fields,
            session_lifetime: seconds(self.session_lifetime),
            session_idle: seconds(self.session_idle_timeout),
            first_frame_timeout: seconds(self.first_frame_timeout),
            header_read_timeout: seconds(self.header_read_timeout),
            write_timeout: seconds(self.write_timeout),
            app_connect_timeout: seconds(self.app_connect_timeout),
            app_response_timeout: seconds(self.app_response_timeout),
            app_probe_interval: seconds(self.app_probe_interval),
            stream_idle_timeout: seconds(self.stream_idle_timeout),
            stream_timeout: seconds(self.stream_timeout),
            drain_notice: seconds(self.drain_notice),
            drain_timeout: seconds(self.drain_timeout),
            ..Limits::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        limits: LimitArgs,
    }

    #[test]
    fn the_defaults_are_those_of_the_library() {
        assert_eq!(Line::parse_from(["x"]).limits.limits(), Limits::default());
    }
}
