//! The modules of the program as a library for the fuzz targets, because a binary can't be linked to, and what the
//! targets share.

#![allow(dead_code, reason = "main.rs and client.rs are not included")]

#[path = "../../src/cli.rs"]
pub mod cli;
#[path = "../../src/deadline.rs"]
pub mod deadline;
#[path = "../../src/endpoint.rs"]
pub mod endpoint;
#[path = "../../src/error.rs"]
pub mod error;
#[path = "../../src/key.rs"]
pub mod key;
#[path = "../../src/output.rs"]
pub mod output;
#[path = "../../src/reply.rs"]
pub mod reply;
#[path = "../../src/text.rs"]
pub mod text;
pub mod transport;

use std::fmt::Display;

/// The key of all targets. Not a real one.
pub const KEY: &str = "lk_test_not_a_real_key";

/// Checks text that is printed: it has no control characters, and at most `limit` characters.
#[track_caller]
pub fn assert_shown(text: impl Display, limit: usize) {
    let text = text.to_string();
    assert!(
        !text.contains(char::is_control),
        "{text:?} has control characters"
    );
    assert!(text.chars().count() <= limit, "{text:?} is too long");
}
