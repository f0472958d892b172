//! What the fuzz targets share.

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
