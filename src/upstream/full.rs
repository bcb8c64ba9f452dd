//! What is said where an upstream's connections are all taken, or no descriptor is left for one: once for each time that it begins,
//! and for as long as it lasts.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::settings::UpstreamSettings;
use crate::ground::failure::FailureKind;
use crate::ground::notice;

/// Refusals that are this close to each other are one episode, and said once in this time.
const EPISODE: Duration = Duration::from_secs(60);

/// When it was last said that requests, and that streams are refused.
#[derive(Debug, Default)]
pub(super) struct Full {
    requests: Mutex<Option<Instant>>,
    streams: Mutex<Option<Instant>>,
}

impl Full {
    /// Says why a request was refused, if it was for want of a place and that was not said just now.
    pub(super) fn say(&self, kind: FailureKind, settings: &UpstreamSettings, now: Instant) {
        let UpstreamSettings { name, max_connections, max_streams, .. } = settings;
        match kind {
            FailureKind::Busy if is_due(&self.requests, now) => notice::say(format_args!(
                "upstream {name}: all {max_connections} connections are taken, and none became free in time; requests are \
                 refused (busy). If the service can take more, raise `pool: {{max}}`"
            )),
            FailureKind::Streams if is_due(&self.streams, now) => notice::say(format_args!(
                "upstream {name}: all {max_streams} places for event streams and WebSockets are taken; further ones are refused \
                 (streams-taken). If the service can take more, raise `pool: {{streams}}`"
            )),
            _ => {}
        }
    }
}

/// Descriptors are the process's, not an upstream's.
static NO_DESCRIPTOR: Mutex<Option<Instant>> = Mutex::new(None);

/// Says that no connection to this upstream could be opened for want of descriptors, if nothing like it was said just now.
pub(super) fn say_no_descriptor(upstream: &str, error: &std::io::Error, now: Instant) {
    if is_due(&NO_DESCRIPTOR, now) {
        notice::say(format_args!(
            "upstream {upstream}: no connection can be opened: {error}; requests are refused (busy). Let the process have more \
             descriptors (`LimitNOFILE=`, `ulimit -Hn`), or lower `limits: {{connections}}`"
        ));
    }
}

fn is_due(last: &Mutex<Option<Instant>>, now: Instant) -> bool {
    let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
    let due = last.is_none_or(|last| now.saturating_duration_since(last) >= EPISODE);
    if due {
        *last = Some(now);
    }
    due
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_episode_is_said_once() {
        let (last, now) = (Mutex::default(), Instant::now());
        assert!(is_due(&last, now));
        assert!(!is_due(&last, now) && !is_due(&last, now + EPISODE / 2));
        assert!(is_due(&last, now + EPISODE));
    }
}
