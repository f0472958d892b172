//! Makes text from outside fit to print: one line, short, nothing that a terminal would act on, no secret.
//!
//! Owns no wording of its own; the sentences are in `error.rs`.

use std::io;

/// The most characters of a server's text that are shown, the closing `…` included.
const MAX_SHOWN: usize = 200;

/// Length of the shortest piece of a secret that is hidden wherever it turns up.
const SHORTEST_PIECE: usize = 6;

/// What stands in place of a secret.
pub const REDACTED: &str = "(redacted)";

/// Returns `text` as one line of at most [`MAX_SHOWN`] characters without any piece of `secret`.
///
/// A server may quote the key it was sent, so the secret is removed before anything else is done.
pub fn from_server(text: &str, secret: &str) -> String {
    shorten(&visible(&redact(text.trim(), secret)))
}

/// Replaces control, escape, bidirectional and other invisible characters by their `\u{…}` form.
///
/// What counts as printable is the standard library's judgement, [`char::escape_debug`].
pub fn visible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '"' | '\'' | '\\' => shown.push(c),
            _ => shown.extend(c.escape_debug()),
        }
    }
    shown
}

/// Replaces each run of characters that also stands in `secret` and is at least six long (or as long as
/// the whole of a shorter secret) by [`REDACTED`].
pub fn redact(text: &str, secret: &str) -> String {
    let piece = SHORTEST_PIECE.min(secret.len());
    if piece == 0 {
        return text.to_owned();
    }
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(next) = rest.chars().next() {
        // A key is ASCII, so where a piece of it matches, the text is ASCII and may be cut anywhere.
        let matches = |len: &usize| rest.get(..*len).is_some_and(|run| secret.contains(run));
        match (piece..=secret.len()).take_while(matches).last() {
            Some(len) => {
                shown.push_str(REDACTED);
                rest = &rest[len..];
            }
            None => {
                shown.push(next);
                rest = &rest[next.len_utf8()..];
            }
        }
    }
    shown
}

/// Whether `bytes` hold twelve characters in a row of `secret`, or all of a shorter one. Fewer may be a hint to
/// which key it is, and are no loss.
pub fn holds_part(bytes: &[u8], secret: &str) -> bool {
    let length = 12.min(secret.len()).max(1);
    bytes.windows(length).any(|run| secret.as_bytes().windows(length).any(|part| part == run))
}

/// Whether `text` has the look of an API key, so that it must not be repeated where a key does not belong.
pub fn looks_like_key(text: &str) -> bool {
    text.contains("lk_") || text.contains("sk-")
}

/// The system's words for an I/O error, without the error number, as the tail of a sentence.
pub fn io_reason(error: &io::Error) -> String {
    let mut words = error.to_string();
    if let Some(number) = words.find(" (os error") {
        words.truncate(number);
    }
    // getaddrinfo's reason comes behind the standard library's own prefix.
    let words = words.rsplit(": ").next().unwrap_or_default();
    let mut chars = words.trim_end_matches('.').chars();
    let first = chars.next().map(|c| c.to_ascii_lowercase());
    visible(&first.into_iter().chain(chars).collect::<String>())
}

/// `1 credit`, `2 credits`: a count with its noun.
pub fn count(n: impl std::fmt::Display, noun: &str) -> String {
    let n = n.to_string();
    let plural = if n == "1" { "" } else { "s" };
    format!("{n} {noun}{plural}")
}

fn shorten(text: &str) -> String {
    if text.chars().count() <= MAX_SHOWN {
        return text.to_owned();
    }
    let kept: String = text.chars().take(MAX_SHOWN - 1).collect();
    kept + "…"
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const KEY: &str = "lk_test_not_a_real_key";

    #[test]
    fn hostile_characters_are_made_visible() {
        assert_eq!(
            visible("a\u{1b}[31mb\u{9b}c\u{202e}d\r\n\u{7f}\u{200b}e"),
            r"a\u{1b}[31mb\u{9b}c\u{202e}d\r\n\u{7f}\u{200b}e"
        );
        assert_eq!(visible(r#"it's "plain" \ text"#), r#"it's "plain" \ text"#);
    }

    #[test]
    fn a_quoted_key_is_hidden_whole_and_in_part() {
        assert_eq!(redact("bad key lk_test_not_a_real_key!", KEY), "bad key (redacted)!");
        assert_eq!(redact("bad key …real_key", KEY), "bad key …(redacted)");
        assert_eq!(redact("five: real_", KEY), "five: real_");
        assert_eq!(redact("the key abc", "abc"), "the key (redacted)");
        assert_eq!(redact("no secret", ""), "no secret");
    }

    #[test]
    fn a_body_is_held_back_for_a_long_part_of_the_key_only() {
        assert!(holds_part(b"{\"key\": \"lk_test_not_a_real_key\"}", KEY));
        assert!(holds_part(b"_test_not_a_", KEY));
        assert!(!holds_part(b"_test_not_a\n lk_test", KEY));
        assert!(holds_part(b"abc", "abc"));
        assert!(!holds_part(b"", KEY));
    }

    #[test]
    fn long_text_ends_in_an_ellipsis_within_the_limit() {
        let shown = from_server(&"x".repeat(300_000), KEY);
        assert_eq!(shown.chars().count(), MAX_SHOWN);
        assert!(shown.ends_with('…'));
        assert_eq!(from_server(&"x".repeat(MAX_SHOWN), KEY), "x".repeat(MAX_SHOWN));
    }

    #[test]
    fn io_errors_read_as_the_tail_of_a_sentence() {
        let refused = io::Error::from(io::ErrorKind::ConnectionRefused);
        assert_eq!(io_reason(&refused), "connection refused");
        let lookup = io::Error::other("failed to lookup address information: Name or service not known");
        assert_eq!(io_reason(&lookup), "name or service not known");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]
        #[test]
        fn shown_text_is_short_one_line_and_without_the_key(
            before in "\\PC{0,40}|[\\x00-\\x{ff}]{0,40}",
            cut in 0usize..KEY.len() - SHORTEST_PIECE,
            after in any::<String>(),
        ) {
            let shown = from_server(&format!("{before}{}{after}", &KEY[cut..]), KEY);
            prop_assert!(shown.chars().count() <= MAX_SHOWN);
            prop_assert!(!shown.chars().any(char::is_control));
            prop_assert!(!shown.contains(&KEY[cut..cut + SHORTEST_PIECE]));
        }
    }
}
