//! Makes text from outside safe to print: on one line, without control characters, without the API key.
//!
//! [`Shown`] is the only type that messages and tables accept, and this file decides what becomes of a text on its
//! way into it. The sentences themselves are written where errors arise.

use std::fmt::{self, Display};
use std::io;
use std::sync::{Mutex, PoisonError};

use memchr::memmem;
use serde::Serialize;

/// The most characters of a server's text that are shown, the closing `…` included.
const MAX_SHOWN: usize = 200;

/// The shortest API key that is looked for in other text. A shorter one is a placeholder (`test`, `x`) and would be
/// found in unrelated words.
const SHORTEST_KEY: usize = 8;

/// How many characters in a row of the key are hidden wherever they appear.
const HIDDEN_RUN: usize = 6;

/// How many characters in a row of the key make a reply unprintable. Fewer may be a hint at which key it is.
const REFUSED_RUN: usize = 12;

/// How API keys start: as documented, and another form that is in use.
pub const KEY_PREFIXES: [&str; 2] = ["lk_", "sk-"];

/// A word with one of these prefixes is hidden from this length on, even if it is not the key in use.
const KEY_LIKE: usize = 16;

/// What is shown in place of the key.
pub const REDACTED: &str = "(redacted)";

/// The API keys of this run: the one in use and any other that was given.
static KEYS: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Hides `key` in every [`Shown`] that is made from now on.
pub fn hide_key(key: &str) {
    if key.trim().len() >= SHORTEST_KEY {
        KEYS.lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(key.trim().to_owned());
    }
}

/// Whether `text` repeats an API key of this run or a long part of it. In JSON, also spelled with escapes.
pub fn repeats_key(text: &str) -> bool {
    let keys = KEYS.lock().unwrap_or_else(PoisonError::into_inner);
    // Read as one long JSON string, which undoes the escapes of all the strings in it.
    let escaped = if text.contains('\\') { text } else { "" };
    let flat = escaped
        .replace(r#"\""#, r"\u0022")
        .replace(|c: char| c == '"' || c.is_control(), " ");
    let unescaped = serde_json::from_str(&format!("\"{flat}\"")).unwrap_or(flat);
    let found = |run| {
        [text, &unescaped]
            .iter()
            .any(|text| memmem::find(text.as_bytes(), run).is_some())
    };
    keys.iter().any(|key| {
        key.as_bytes()
            .windows(REFUSED_RUN.min(key.len()))
            .any(found)
    })
}

/// Text that is safe to print.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Shown(String);

impl Shown {
    /// Takes text from outside: hides the API key, and escapes control, bidirectional and invisible characters.
    pub fn new(outside: impl AsRef<str>) -> Shown {
        let keys = KEYS.lock().unwrap_or_else(PoisonError::into_inner);
        Shown(escape(&redact(outside.as_ref(), &keys)))
    }

    /// The same, cut to [`MAX_SHOWN`] characters, for text that a server chooses.
    pub fn short(outside: impl AsRef<str>) -> Shown {
        let Shown(text) = Shown::new(outside.as_ref().trim());
        match text.char_indices().nth(MAX_SHOWN - 1) {
            Some((cut, last)) if cut + last.len_utf8() < text.len() => {
                Shown(text[..cut].to_owned() + "…")
            }
            _ => Shown(text),
        }
    }

    /// The system's description of an I/O error as the end of a sentence, without the error number.
    pub fn reason(error: &io::Error) -> Shown {
        if error.kind() == io::ErrorKind::UnexpectedEof {
            return "the other side closed the connection".into();
        }
        let text = error.to_string();
        let text = text.split(" (os error").next().unwrap_or_default();
        // For a failed lookup the standard library puts a sentence of its own before the system's.
        let text = text
            .rsplit(": ")
            .next()
            .unwrap_or_default()
            .trim_end_matches('.');
        let (first, rest) = text.split_at(text.chars().next().map_or(0, char::len_utf8));
        Shown::short(first.to_ascii_lowercase() + rest)
    }

    /// Takes text that [`shown!`] has put together from safe parts. Not for anything else.
    pub fn from_parts(text: String) -> Shown {
        Shown(text)
    }
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
impl Safe for u16 {}
impl Safe for u64 {}
impl Safe for i64 {}
impl Safe for f64 {}

/// Builds a [`Shown`] as `format!` builds a `String`, but only from [`Safe`] parts. The parts have to be arguments:
/// `concat!` keeps the compiler from accepting variables inside the text.
macro_rules! shown {
    ($format:literal $(, $part:expr)* $(,)?) => {
        $crate::text::Shown::from_parts(format!(concat!($format) $(, $crate::text::safe(&$part))*))
    };
}
pub(crate) use shown;

/// Accepts a part of a [`shown!`].
pub fn safe<T: Safe>(part: &T) -> &T {
    part
}

/// Replaces by [`REDACTED`] what is made of six-character runs of a key, and each word that looks like a key.
fn redact(text: &str, keys: &[String]) -> String {
    let mut hidden = vec![false; text.len()];
    for run in keys
        .iter()
        .flat_map(|key| key.as_bytes().windows(HIDDEN_RUN))
    {
        for at in memmem::find_iter(text.as_bytes(), run) {
            hidden[at..at + HIDDEN_RUN].fill(true);
        }
    }
    let is_inside = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    for (start, _) in KEY_PREFIXES
        .iter()
        .flat_map(|prefix| text.match_indices(prefix))
    {
        let length = text[start..]
            .find(|c| !is_inside(c))
            .unwrap_or(text.len() - start);
        if length >= KEY_LIKE
            && !text[..start].ends_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
        {
            hidden[start..start + length].fill(true);
        }
    }
    let mut shown = String::with_capacity(text.len());
    // A key that can be sent is ASCII, so a hidden byte is a whole character.
    for (at, c) in text.char_indices() {
        match hidden[at] {
            false => shown.push(c),
            true if at > 0 && hidden[at - 1] => {}
            true => shown.push_str(REDACTED),
        }
    }
    shown
}

/// Escapes what is not visible text: control characters, and format characters that reorder or hide text. All that
/// any script needs stays as it is, such as combining marks and variation selectors.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    let mut previous = ' ';
    for c in text.chars() {
        match c {
            // Persian, Indic scripts and emoji need the joiners.
            '\u{200c}' | '\u{200d}' if !previous.is_ascii() => escaped.push(c),
            _ if c.is_control() || is_format(c) => escaped.extend(c.escape_default()),
            _ => escaped.push(c),
        }
        previous = c;
    }
    escaped
}

/// The line and paragraph separators, and the characters of general category Cf (Unicode 16) that have no shape.
fn is_format(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}'
        | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e007f}')
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
        hide_key("lk_unit_test_0123456789");
        for (text, repeats) in [
            ("{\"key\": \"lk_unit_test_0123456789\"}", true),
            ("unit_test_01", true),
            ("unit_test_0", false),
            ("unit_test\n_0123456789", false),
            (r#"{"key": "lk_unit\u005ftest_0123"}"#, true),
            (r#"{"lk_unit\u005ftest_0123": 1}"#, true),
            (r#"lk_unit\u005ftest"#, true),
            ("", false),
        ] {
            assert_eq!(repeats_key(text), repeats, "{text}");
        }
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
            (io::Error::other(""), ""),
        ] {
            assert_eq!(Shown::reason(&error).to_string(), reason);
        }
    }

    proptest! {
        #[test]
        fn shown_text_is_short_one_line_and_without_the_key(
            before in "\\PC{0,40}|[\\x00-\\x{ff}]{0,40}",
            cut in 0usize..=KEY.len() - HIDDEN_RUN,
            after in any::<String>(),
        ) {
            hide_key(KEY);
            let shown = Shown::short(format!("{before}{}{after}", &KEY[cut..])).to_string();
            prop_assert!(shown.chars().count() <= MAX_SHOWN);
            prop_assert!(!shown.chars().any(char::is_control));
            prop_assert!(!shown.contains(&KEY[cut..cut + HIDDEN_RUN]));
        }
    }
}
