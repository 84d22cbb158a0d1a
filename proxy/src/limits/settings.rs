//! The limits that are options: their names and ranges.

use super::Limits;
use crate::error::ConfigError;
use std::fmt;
use std::time::Duration;
use steve_protocol::head::MAX_FIELD_LINES;

const DAY: u64 = 86_400;

/// A limit as operators see it.
struct Setting {
    option: &'static str,
    value: Value,
    /// Counts, bytes or whole seconds.
    min: u64,
    max: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Value {
    Count(u64),
    Time(Duration),
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count(count) => count.fmt(f),
            Self::Time(time) => write!(f, "{} s", time.as_secs_f64()),
        }
    }
}

impl Limits {
    /// Errors if a limit is outside its range.
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        for setting in self.settings() {
            let Setting { option, value, min, max } = setting;
            let within = match value {
                Value::Count(count) => (min..=max).contains(&count),
                // Tests use fractions of the least that can be set.
                Value::Time(time) => {
                    (min == 0 || !time.is_zero()) && time <= Duration::from_secs(max)
                }
            };
            if !within {
                return Err(ConfigError::Limit { option, min, max, value: value.to_string() });
            }
        }
        Ok(())
    }

    /// Logs the limits that differ from the defaults.
    pub(crate) fn log(&self) {
        for (setting, default) in self.settings().iter().zip(Self::default().settings()) {
            if setting.value != default.value {
                let (option, value) = (setting.option, &setting.value);
                tracing::info!(option, %value, default = %default.value, "limit set");
            }
        }
    }

    fn settings(&self) -> [Setting; 24] {
        let count =
            |option, value, min, max| Setting { option, value: Value::Count(value), min, max };
        let many = |option, value: usize, max| count(option, value as u64, 1, max);
        let time = |option, value, max| Setting { option, value: Value::Time(value), min: 1, max };
        [
            many("--max-sessions", self.max_sessions, 10_000_000),
            many("--max-unconfirmed-sessions", self.max_unconfirmed, 1_000_000),
            many("--max-early-requests", self.max_early_requests, 10_000_000),
            count("--max-idempotent-requests", self.max_idempotent_requests as u64, 0, 10_000_000),
            count("--max-idempotent-body", self.max_idempotent_body as u64, 1024, 16 << 20),
            many("--max-streams-per-session", self.max_streams.into(), u16::MAX.into()),
            many("--max-open-streams", self.max_open_streams, 1_000_000),
            many("--max-connections", self.max_connections, 1_000_000),
            count("--memory-budget", self.memory_budget, 16 << 20, 1 << 40),
            count("--max-head-size", self.max_head_size.into(), 1024, 65_536),
            count("--max-head-fields", self.max_head_fields as u64, 16, MAX_FIELD_LINES as u64),
            time("--key-rotation", self.key_rotation, DAY),
            time("--session-lifetime", self.session_lifetime, DAY),
            time("--session-idle-timeout", self.session_idle, DAY),
            time("--first-frame-timeout", self.first_frame_timeout, 600),
            time("--header-read-timeout", self.header_read_timeout, 3600),
            time("--write-timeout", self.write_timeout, DAY),
            time("--app-connect-timeout", self.app_connect_timeout, 600),
            time("--app-response-timeout", self.app_response_timeout, DAY),
            time("--app-probe-interval", self.app_probe_interval, 3600),
            time("--stream-idle-timeout", self.stream_idle_timeout, 30 * DAY),
            time("--stream-timeout", self.stream_timeout, 30 * DAY),
            Setting { min: 0, ..time("--drain-notice", self.drain_notice, 3600) },
            time("--drain-timeout", self.drain_timeout, DAY),
        ]
    }
}
