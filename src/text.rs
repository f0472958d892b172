//! Makes text from outside safe to print: on one line, without control characters, without the API key.
//!
//! Messages and table cells are made of [`Shown`] alone, and this file decides what becomes of a text on its way into
//! it. The sentences themselves are written where errors arise.
//!
//! # The list of keys
//!
//! The keys to hide are in a global list, `KEYS`. A key has to be hidden in every message, also in those of files
//! that know nothing of keys, and a list that is passed along would be forgotten somewhere. So every function that
//! makes a [`Shown`] from outside text reads global state, and what it returns depends on which keys were added before:
//!
//! * Keys on the command line and in the environment are added before the arguments are parsed.
//! * A key from a file or from standard input is added when it is read, before anything is sent.
//! * Keys are never removed.
//!
//! The functions that do the work take the list as a parameter, and the unit tests call those.

use std::collections::HashSet;
use std::fmt::{self, Display};
use std::io;
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::Serialize;

/// The most characters of a server's text that are shown, the closing `…` included.
const MAX_SHOWN: usize = 200;

/// The shortest API key that is looked for in other text. A shorter one is a placeholder (`test`, `x`) and would be
/// found in unrelated words.
const SHORTEST_KEY: usize = 8;

/// How many characters in a row of the key are hidden wherever they appear.
const HIDDEN_PART: usize = 6;

/// How many characters in a row of the key make a reply unprintable. Fewer may be a hint at which key it is.
const REFUSED_PART: usize = 12;

/// How API keys start: as documented, and another form that is in use.
pub const KEY_PREFIXES: [&str; 2] = ["lk_", "sk-"];

/// A word with one of these prefixes is hidden from this length on, even if it is not the key in use.
const KEY_LIKE: usize = 16;

/// What is shown in place of the key.
pub const REDACTED: &str = "(redacted)";

/// The API keys of this run: the one in use and any other that was given.
static KEYS: Mutex<Vec<String>> = Mutex::new(Vec::new());

fn keys() -> MutexGuard<'static, Vec<String>> {
    KEYS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Hides `key` in every [`Shown`] that is made from now on.
pub fn hide_key(key: &str) {
    let key = key.trim();
    if key.len() < SHORTEST_KEY {
        return;
    }
    let mut keys = keys();
    // The key in use is often added twice: before the arguments are parsed, and when it is read.
    if !keys.iter().any(|known| known == key) {
        keys.push(key.to_owned());
    }
}

/// Whether `text` repeats an API key of this run or a long part of it. In JSON, also spelled with escapes.
pub fn repeats_key(text: &str) -> bool {
    repeats(text, &keys())
}

fn repeats(text: &str, keys: &[String]) -> bool {
    let unescaped = unescape_json(text);
    for key in keys {
        let length = REFUSED_PART.min(key.len());
        let parts = parts(key, length);
        for text in [text, &unescaped] {
            if has_part(text, &parts, length) {
                return true;
            }
        }
    }
    false
}

/// Whether one of the `parts`, which have this `length`, is in `text`.
fn has_part(text: &str, parts: &HashSet<&[u8]>, length: usize) -> bool {
    // A cheap filter: most places are ruled out by their first two bytes, before the slower look-up in the set. Parts
    // have more bytes than two.
    let mut starts = [false; START_VALUES];
    for part in parts {
        starts[start_value(part[0], part[1])] = true;
    }
    let text = text.as_bytes();
    let mut previous = text.first().copied().unwrap_or(0);
    for (place, &byte) in text.iter().enumerate().skip(1) {
        if starts[start_value(previous, byte)]
            && let Some(part) = text.get(place - 1..place - 1 + length)
            && parts.contains(part)
        {
            return true;
        }
        previous = byte;
    }
    false
}

/// How many values [`start_value`] has.
const START_VALUES: usize = 1 << 12;

/// A number for two bytes; few pairs of letters share one.
fn start_value(first: u8, second: u8) -> usize {
    ((usize::from(first) << 5) ^ usize::from(second)) % START_VALUES
}

/// Every part of a key that has this length. With a set, the time to look for all of them does not grow with the key.
fn parts(key: &str, length: usize) -> HashSet<&[u8]> {
    key.as_bytes().windows(length).collect()
}

/// Undoes the escapes in all strings of a JSON text at once, by reading the whole text as one long string. The quotes
/// around the strings become spaces: from `{"a": "\u006ck"}` it makes `{ a :  lk }`.
///
/// The members of the parsed text would not do: of two with the same name only one is left.
fn unescape_json(json: &str) -> String {
    if !json.contains('\\') {
        return String::new();
    }
    let escaped_quotes = json.replace(r#"\""#, r"\u0022");
    let flat = escaped_quotes.replace(|c: char| c == '"' || c.is_control(), " ");
    serde_json::from_str::<String>(&format!("\"{flat}\"")).unwrap_or(flat)
}

/// Text that is safe to print.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Shown(String);

impl Shown {
    /// Takes text from outside: hides the API key, and escapes control, bidirectional and invisible characters.
    pub fn new(outside: impl AsRef<str>) -> Shown {
        let outside = outside.as_ref();
        let keys = keys();
        // JSON, as it may stand in a reply, can spell the key with escapes, of which no part could be cut out.
        if outside.contains('\\') && repeats(&unescape_json(outside), &keys) {
            return REDACTED.into();
        }
        Shown(escape(&redact(outside, &keys)))
    }

    /// The same, cut to 200 characters, for text that a server chooses.
    pub fn short(outside: impl AsRef<str>) -> Shown {
        let Shown(text) = Shown::new(outside.as_ref().trim());
        if text.chars().count() <= MAX_SHOWN {
            return Shown(text);
        }
        let mut cut: String = text.chars().take(MAX_SHOWN - 1).collect();
        cut.push('…');
        Shown(cut)
    }

    /// The system's description of an I/O error as the end of a sentence, without the error number.
    pub fn reason(error: &io::Error) -> Shown {
        if error.kind() == io::ErrorKind::UnexpectedEof {
            return "the other side closed the connection".into();
        }
        let text = error.to_string();
        let (text, _) = text.split_once(" (os error").unwrap_or((&text, ""));
        // For a failed lookup the standard library puts a sentence of its own before the system's:
        // "failed to lookup address information: Name or service not known". Other errors that come here have no colon.
        let text = match text.rsplit_once(": ") {
            Some((_, text)) => text,
            None => text,
        };
        Shown::short(lower_first(text.trim_end_matches('.')))
    }

    /// Adds a clause to a sentence, in place of the full stop that a server's message may end in.
    pub fn with_clause(&self, clause: Shown) -> Shown {
        let Shown(sentence) = self;
        let start = match sentence.strip_suffix('.') {
            // But not one of three dots.
            Some(start) if !start.ends_with('.') => start,
            _ => sentence,
        };
        Shown(format!("{start}; {clause}"))
    }

    /// Takes text that `shown!` has put together from safe parts. Not for anything else.
    pub fn from_parts(text: String) -> Shown {
        Shown(text)
    }
}

/// Writes the first letter small, unless it begins an acronym such as TTL.
fn lower_first(text: &str) -> String {
    let mut chars = text.chars();
    let Some(first) = chars.next() else {
        return String::new();
    };
    let rest = chars.as_str();
    if rest.starts_with(char::is_uppercase) {
        return text.to_owned();
    }
    format!("{}{}", first.to_ascii_lowercase(), rest)
}

impl Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<&'static str> for Shown {
    fn from(own: &'static str) -> Shown {
        Shown(own.to_owned())
    }
}

/// What may be a part of a [`Shown`]: other safe text, the program's own text, numbers.
pub trait Safe: Display {}
impl Safe for Shown {}
impl Safe for &Shown {}
impl Safe for &'static str {}
impl Safe for u8 {}
impl Safe for u16 {}
impl Safe for u64 {}
impl Safe for u128 {}
impl Safe for usize {}
impl Safe for i64 {}
impl Safe for f64 {}
impl Safe for SocketAddr {}
impl Safe for &SocketAddr {}

/// Builds a [`Shown`] as `format!` builds a `String`, but only from [`Safe`] parts. The parts have to be arguments:
/// `concat!` keeps the compiler from accepting variables inside the text.
macro_rules! shown {
    ($format:literal $(, $part:expr)* $(,)?) => {
        $crate::text::Shown::from_parts(format!(concat!($format) $(, $crate::text::safe(&$part))*))
    };
}
pub(crate) use shown;

/// Accepts a part of a `shown!`.
pub fn safe<T: Safe>(part: &T) -> &T {
    part
}

/// Replaces by [`REDACTED`] each part of a key, and each word that looks like a key.
fn redact(text: &str, keys: &[String]) -> String {
    let mut is_hidden = vec![false; text.len()];
    for key in keys {
        let parts = parts(key, HIDDEN_PART);
        for (start, part) in text.as_bytes().windows(HIDDEN_PART).enumerate() {
            if parts.contains(part) {
                is_hidden[start..start + HIDDEN_PART].fill(true);
            }
        }
    }
    for prefix in KEY_PREFIXES {
        let mut word_end = 0;
        for (start, _) in text.match_indices(prefix) {
            // In `lk_lk_lk_…` each prefix is a match, but only the first starts a word.
            if start < word_end || ends_in_word(&text[..start]) {
                continue;
            }
            let length = key_like_length(&text[start..]);
            word_end = start + length;
            if length >= KEY_LIKE {
                is_hidden[start..word_end].fill(true);
            }
        }
    }
    let mut redacted = String::with_capacity(text.len());
    let mut was_hidden = false;
    // A key that can be sent is ASCII, so a hidden byte is a whole character.
    for (at, c) in text.char_indices() {
        if !is_hidden[at] {
            redacted.push(c);
        } else if !was_hidden {
            redacted.push_str(REDACTED);
        }
        was_hidden = is_hidden[at];
    }
    redacted
}

/// The length of the characters at the start of `text` that a key is made of.
fn key_like_length(text: &str) -> usize {
    let is_inside = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    text.find(|c| !is_inside(c)).unwrap_or(text.len())
}

/// Whether a key prefix after `text` would stand inside a word, as in `disk-usage`.
fn ends_in_word(text: &str) -> bool {
    text.ends_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
}

/// Escapes what is not visible text: control characters, and format characters that reorder or hide text. All that
/// any script needs stays as it is, such as combining marks and variation selectors.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    let mut previous = ' ';
    for c in text.chars() {
        // Persian, Indic scripts and emoji need the joiners.
        let is_joiner = matches!(c, '\u{200c}' | '\u{200d}') && !previous.is_ascii();
        if !is_joiner && (c.is_control() || is_format(c)) {
            escaped.extend(c.escape_default());
        } else {
            escaped.push(c);
        }
        previous = c;
    }
    escaped
}

/// The line and paragraph separators, and the characters of general category Cf (Unicode 16) that have no shape.
fn is_format(c: char) -> bool {
    matches!(c,
        '\u{ad}' // soft hyphen
        | '\u{61c}' // Arabic letter mark
        | '\u{180e}' // Mongolian vowel separator
        | '\u{200b}'..='\u{200f}' // zero-width space and joiners, direction marks
        | '\u{2028}'..='\u{202e}' // line and paragraph separator, direction embeddings and overrides
        | '\u{2060}'..='\u{206f}' // word joiner, invisible operators, direction isolates
        | '\u{feff}' // byte-order mark
        | '\u{fff9}'..='\u{fffb}' // interlinear annotation
        | '\u{13430}'..='\u{1343f}' // Egyptian hieroglyph format controls
        | '\u{1bca0}'..='\u{1bca3}' // shorthand format controls
        | '\u{1d173}'..='\u{1d17a}' // musical symbols that begin and end beams and ties
        | '\u{e0000}'..='\u{e007f}' // tags
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const KEY: &str = "lk_test_not_a_real_key";

    fn redacted(text: &str, key: &str) -> String {
        redact(text, &[key.to_owned()])
    }

    #[test]
    fn control_and_format_characters_are_escaped() {
        assert_eq!(
            escape("a\u{1b}[31mb\u{9b}c\u{202e}d\r\n\u{7f}\u{200b}e\u{feff}\u{2066}\u{e0041}"),
            r"a\u{1b}[31mb\u{9b}c\u{202e}d\r\n\u{7f}\u{200b}e\u{feff}\u{2066}\u{e0041}"
        );
    }

    #[test]
    fn text_in_any_script_stays_readable() {
        for text in [
            r#"it's "plain" \ text"#,
            "ข้อผิดพลาด",
            "कुंजी अमान्य है",
            "e\u{301}te\u{301}",
            "❤\u{fe0f} 👩\u{200d}💻",
            "می\u{200c}خواهم",
            "مفتاح غير صالح",
        ] {
            assert_eq!(escape(text), text);
        }
        // A joiner in ASCII joins nothing; there it only hides.
        assert_eq!(escape("a\u{200d}b"), r"a\u{200d}b");
    }

    #[test]
    fn a_key_is_hidden_whole_and_in_part() {
        assert_eq!(
            redacted("bad key lk_test_not_a_real_key!", KEY),
            "bad key (redacted)!"
        );
        assert_eq!(redacted("bad key …real_key", KEY), "bad key …(redacted)");
        assert_eq!(redacted("five: real_", KEY), "five: real_");
        assert_eq!(redacted("six: real_k", KEY), "six: (redacted)");
        // Where matches overlap, too.
        assert_eq!(
            redacted("eleven: aaaaaaaaaaa", "aaaaaaaa"),
            "eleven: (redacted)"
        );
        assert_eq!(redacted("real_key test_not", KEY), "(redacted) (redacted)");
    }

    #[test]
    fn a_word_that_looks_like_a_key_is_hidden() {
        for (text, shown) in [
            ("lk_0123456789abcdef", "(redacted)"),
            ("--lk_0123456789abcdef", "--(redacted)"),
            ("'sk-0123456789-abcdef'", "'(redacted)'"),
            ("lk_short", "lk_short"),
            ("--disk-usage-0123456789", "--disk-usage-0123456789"),
            (
                "/etc/task-runner-0123456789/key",
                "/etc/task-runner-0123456789/key",
            ),
        ] {
            assert_eq!(redacted(text, KEY), shown);
        }
    }

    #[test]
    fn a_short_key_is_not_looked_for() {
        hide_key("127");
        assert_eq!(Shown::new("127.0.0.1").to_string(), "127.0.0.1");
        assert!(!repeats_key("127"));
    }

    #[test]
    fn a_reply_repeats_the_key_from_twelve_characters_on() {
        let keys = ["lk_unit_test_0123456789".to_owned()];
        for (text, expected) in [
            ("{\"key\": \"lk_unit_test_0123456789\"}", true),
            ("unit_test_01", true),
            ("unit_test_0", false),
            ("unit_test\n_0123456789", false),
            (r#"{"key": "lk_unit\u005ftest_0123"}"#, true),
            (r#"{"lk_unit\u005ftest_0123": 1}"#, true),
            (r#"lk_unit\u005ftest"#, true),
            ("", false),
        ] {
            assert_eq!(repeats(text, &keys), expected, "{text}");
        }
    }

    /// No time is measured: with work that grows with the square of the text, or with the text times the key, these
    /// would take minutes to hours.
    #[test]
    fn long_text_and_a_long_key_take_time_in_proportion() {
        for (unit, shown) in [
            ("lk_", "(redacted)"),
            ("sk-", "(redacted)"),
            ("-lk_", "-(redacted)"),
        ] {
            assert_eq!(redacted(&unit.repeat(1 << 17), KEY), shown);
        }
        let key = "ab".repeat(1 << 18);
        assert_eq!(redacted(&"ba".repeat(1 << 18), &key), REDACTED);
        assert_eq!(redacted(&"ac".repeat(1 << 18), &key).len(), 1 << 19);
        let keys = [key];
        assert!(repeats(&"ba".repeat(1 << 18), &keys));
        assert!(!repeats(&"ac".repeat(1 << 18), &keys));
    }

    #[test]
    fn long_text_ends_in_an_ellipsis_within_the_limit() {
        let shown = Shown::short("é".repeat(300_000)).to_string();
        assert_eq!(shown.chars().count(), MAX_SHOWN);
        assert!(shown.ends_with("é…"));
        for length in [MAX_SHOWN - 1, MAX_SHOWN] {
            assert_eq!(
                Shown::short("é".repeat(length)).to_string(),
                "é".repeat(length)
            );
        }
    }

    #[test]
    fn an_io_error_reads_as_the_end_of_a_sentence() {
        for (error, reason) in [
            (
                io::Error::from(io::ErrorKind::ConnectionRefused),
                "connection refused",
            ),
            (
                io::Error::from(io::ErrorKind::UnexpectedEof),
                "the other side closed the connection",
            ),
            (
                io::Error::other("failed to lookup address information: Name or service not known"),
                "name or service not known",
            ),
            (
                io::Error::other("The file is gone. (os error 2)"),
                "the file is gone",
            ),
            (io::Error::other("TTL expired"), "TTL expired"),
            (io::Error::other("A file is gone"), "a file is gone"),
            (io::Error::other(""), ""),
        ] {
            assert_eq!(Shown::reason(&error).to_string(), reason);
        }
    }

    proptest! {
        #[test]
        fn shown_text_is_short_one_line_and_without_the_key(
            before in "\\PC{0,40}|[\\x00-\\x{ff}]{0,40}",
            cut in 0usize..=KEY.len() - HIDDEN_PART,
            after in any::<String>(),
        ) {
            hide_key(KEY);
            let shown = Shown::short(format!("{before}{}{after}", &KEY[cut..])).to_string();
            prop_assert!(shown.chars().count() <= MAX_SHOWN);
            prop_assert!(!shown.chars().any(char::is_control));
            prop_assert!(!shown.contains(&KEY[cut..cut + HIDDEN_PART]));
        }
    }
}
