//! The promises of the program, tested through the real binary and real sockets: a module for each.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that fails may panic"
)]

mod common;

mod addresses;
mod certificate_differences;
mod certificates;
mod completions;
mod deadline;
mod differential;
mod docs;
mod exit_codes;
mod framing;
mod generated;
mod json_errors;
mod key;
mod key_sources;
mod openssl;
mod output;
mod panics;
mod proxies;
mod race;
mod replies;
mod request;
mod round_trips;
mod socks;
mod streams;
mod system_store;
mod tls;
mod trust;
mod tunnel;
mod usage;
