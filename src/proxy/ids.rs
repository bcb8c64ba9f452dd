//! Request ids: sixteen hexadecimal digits, never twice in a process and not to be guessed from one another.

use std::sync::atomic::{AtomicU64, Ordering};

use http::HeaderValue;

use crate::ground::worker::WorkerId;

/// Where request ids come from.
#[derive(Debug)]
pub struct RequestIds {
    seed: u64,
    drawn: Vec<AtomicU64>,
}

impl RequestIds {
    /// For this many workers.
    pub fn new(seed: u64, workers: usize) -> RequestIds {
        RequestIds { seed, drawn: (0..workers).map(|_| AtomicU64::new(0)).collect() }
    }

    /// A new one.
    pub fn next(&self, worker: WorkerId) -> HeaderValue {
        let drawn = self.drawn[worker].fetch_add(1, Ordering::Relaxed);
        // splitmix64 is a bijection: distinct numbers stay distinct.
        let mut mixed = self.seed ^ ((worker as u64) << 52) ^ drawn;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        let digits: [u8; 16] = std::array::from_fn(|i| b"0123456789abcdef"[(mixed >> (60 - 4 * i)) as usize & 15]);
        HeaderValue::from_bytes(&digits).unwrap_or(HeaderValue::from_static("0"))
    }
}
