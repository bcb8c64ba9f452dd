//! Rules: what is configured, read and checked; it decides nothing yet.
