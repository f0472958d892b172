//! The API key: where it comes from, what is trimmed and refused, and a type that never prints itself.
//!
//! What the API thinks of a key is a reply, and `client.rs` reads those.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, ErrorKind, IsTerminal, Read};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use crate::error::{Error, Kind, Result};
use crate::text::{self, Shown, shown};

/// The longest key accepted, in bytes; real ones have some forty.
const MAX_KEY: usize = 4096;

/// The most that is read from a file or standard input: a key with whitespace around it.
const MAX_FILE: usize = 2 * MAX_KEY;

/// How long to wait before reading again from standard input that does not block and has nothing yet.
const RETRY_DELAY: Duration = Duration::from_millis(10);

/// Where the user put the key. Messages name the place, never the key.
pub enum Source {
    /// The value of the flag or variable with this name.
    Value(&'static str, OsString),
    /// A file.
    File {
        /// Where it is.
        path: PathBuf,
        /// The variable that names it; `None` for `--api-key-file`.
        variable: Option<&'static str>,
    },
    /// `--api-key-file -`.
    Stdin,
}

impl Source {
    /// How messages name the source.
    pub fn name(&self) -> Shown {
        match self {
            Source::Value(name, _) => (*name).into(),
            Source::File { path, variable } => {
                let path = Shown::new(path.to_string_lossy());
                match variable {
                    Some(variable) => shown!("{} (from {})", path, *variable),
                    None => path,
                }
            }
            Source::Stdin => "standard input".into(),
        }
    }

    fn read(&self) -> io::Result<Vec<u8>> {
        match self {
            Source::Value(_, key) => Ok(key.as_encoded_bytes().to_vec()),
            Source::File { path, .. } => read_limited(File::open(path)?),
            Source::Stdin => read_limited(io::stdin()),
        }
    }
}

fn read_limited(reader: impl Read) -> io::Result<Vec<u8>> {
    // One byte more than is accepted: a longer file is refused, not cut. /dev/zero must not fill the memory.
    let mut reader = reader.take(MAX_FILE as u64 + 1);
    let mut bytes = Vec::new();
    loop {
        match reader.read_to_end(&mut bytes) {
            Ok(_) => return Ok(bytes),
            // What was read before is in `bytes`. The time limit of the run ends the wait.
            Err(error) if error.kind() == ErrorKind::WouldBlock => thread::sleep(RETRY_DELAY),
            Err(error) => return Err(error),
        }
    }
}

/// A key that can be sent: printable ASCII, not empty. It has no `Debug` and no `Display`, so that nothing prints it.
pub struct Key(String);

/// Why bytes are not a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Problem {
    Blank,
    TooLong,
    /// A character that no key has, after this many bytes.
    BadCharacter(BadCharacter, usize),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum BadCharacter {
    ByteOrderMark,
    ByteOrderMarkUtf16,
    LineBreak,
    Tab,
    TypographicQuotes,
    NonAscii,
    Control,
}

impl Key {
    /// Reads the key from `source`, trims the whitespace around it and checks every character. From then on it is
    /// hidden in all text that is shown.
    ///
    /// # Errors
    /// When the source can't be read or does not hold a key. The error never shows a part of its content.
    pub fn load(source: &Source) -> Result<Key> {
        if matches!(source, Source::Stdin) && io::stdin().is_terminal() {
            let message = "cannot read the API key: standard input is a terminal";
            let error = Error::new(Kind::NoApiKey, message.into());
            return Err(error.with_hint("pipe the key in, or name a file: --api-key-file <PATH>"));
        }
        let bytes = match source.read() {
            Ok(bytes) => bytes,
            Err(error) => return Err(unreadable(source, &error)),
        };
        match Key::parse(&bytes) {
            Ok(key) => {
                text::hide_key(key.expose_secret());
                Ok(key)
            }
            Err(problem) => {
                let message = shown!("the API key from {} {}", source.name(), problem.text());
                let hint = problem.hint(source).map(Shown::from);
                Err(Error::new(Kind::NoApiKey, message).with_hint_if(hint))
            }
        }
    }

    /// Checks the bytes of a key.
    fn parse(bytes: &[u8]) -> Result<Key, Problem> {
        let key = bytes.trim_ascii();
        if bytes.len() > MAX_FILE || key.len() > MAX_KEY {
            return Err(Problem::TooLong);
        }
        if key.is_empty() {
            return Err(Problem::Blank);
        }
        match key.iter().position(|b| !matches!(b, b' '..=b'~')) {
            Some(place) => {
                let character = BadCharacter::at_start_of(&key[place..]);
                Err(Problem::BadCharacter(character, place))
            }
            // Printable ASCII, so nothing is replaced.
            None => Ok(Key(String::from_utf8_lossy(key).into_owned())),
        }
    }

    /// The key itself, for the one header it belongs in.
    pub fn expose_secret(&self) -> &str {
        &self.0
    }

    /// What may be wrong with a rejected key, without any part of it.
    pub fn rejection_hint(&self, source: &Source) -> Shown {
        match self.oddity() {
            Some(oddity) => shown!("the key from {} {}", source.name(), oddity),
            None => shown!("the key came from {}", source.name()),
        }
    }

    /// What is unusual about the key, as the end of a sentence.
    fn oddity(&self) -> Option<&'static str> {
        let key = self.expose_secret();
        if let Some((scheme, _)) = key.split_once(' ')
            && scheme.eq_ignore_ascii_case("bearer")
        {
            return Some("starts with \"Bearer \", which is added for you");
        }
        // A line of a shell script or of an environment file, where the key alone is expected.
        if key.starts_with("export ") {
            return Some("has \"export\" in front; only the key itself belongs there");
        }
        if key.starts_with("CLADO_API_KEY=") {
            return Some("has \"CLADO_API_KEY=\" in front; only the key itself belongs there");
        }
        let quotes = ['"', '\'', '`'];
        if key.starts_with(quotes) || key.ends_with(quotes) {
            return Some("has quotes around it");
        }
        if key.contains(' ') {
            return Some("has a space inside");
        }
        if !text::KEY_PREFIXES
            .iter()
            .any(|prefix| key.starts_with(prefix))
        {
            return Some("does not start with \"lk_\"");
        }
        None
    }
}

/// The error when a source can't be read.
fn unreadable(source: &Source, error: &io::Error) -> Error {
    let reason = Shown::reason(error);
    let message = shown!(
        "the API key from {} could not be read: {}",
        source.name(),
        reason
    );
    let hint = match source {
        Source::File { path, .. } => path_hint(path).map(Shown::from),
        _ => None,
    };
    Error::new(Kind::NoApiKey, message).with_hint_if(hint)
}

/// What is odd about the path of a file that can't be read.
fn path_hint(path: &Path) -> Option<&'static str> {
    if path.starts_with("~") {
        return Some("the shell did not expand ~; write the full path");
    }
    let path = path.to_string_lossy();
    if path.starts_with('$') {
        // As in a crontab and in the file of a service.
        return Some("the variable in the path was not expanded; write the full path");
    }
    if path.starts_with(['"', '\'']) {
        return Some("the path has quotes around it");
    }
    if path == "-" {
        return Some("standard input is read only for --api-key-file -");
    }
    None
}

impl Problem {
    /// What is wrong, as the end of a sentence that names the source.
    fn text(self) -> Shown {
        match self {
            Problem::Blank => "is blank".into(),
            Problem::TooLong => shown!("is longer than {} characters", MAX_KEY),
            Problem::BadCharacter(character, 0) => shown!("starts with {}", character.name()),
            Problem::BadCharacter(character, place) => {
                shown!("has {} after character {}", character.name(), place)
            }
        }
    }

    /// What the user can do about it, which depends on where the key is.
    fn hint(self, source: &Source) -> Option<&'static str> {
        let is_value = matches!(source, Source::Value(..));
        match self {
            Problem::Blank if matches!(source, Source::Stdin) => {
                Some("check the command or the file that it comes from")
            }
            Problem::Blank | Problem::TooLong => None,
            Problem::BadCharacter(BadCharacter::TypographicQuotes, _) => Some("remove the quotes"),
            // A flag or a variable is not saved in an encoding, and has no lines that could be left out.
            Problem::BadCharacter(_, _) if is_value => None,
            Problem::BadCharacter(BadCharacter::LineBreak, _) => {
                Some("only the key itself belongs there, on one line")
            }
            Problem::BadCharacter(
                BadCharacter::ByteOrderMark | BadCharacter::ByteOrderMarkUtf16,
                _,
            ) => Some("save it as plain ASCII; in PowerShell: Set-Content -Encoding Ascii"),
            Problem::BadCharacter(_, _) => None,
        }
    }
}

impl BadCharacter {
    /// The character at the start of `rest`, which can't be a part of a key.
    fn at_start_of(rest: &[u8]) -> BadCharacter {
        match rest {
            [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => BadCharacter::ByteOrderMarkUtf16,
            [0xef, 0xbb, 0xbf, ..] => BadCharacter::ByteOrderMark,
            [b'\n' | b'\r', ..] => BadCharacter::LineBreak,
            [b'\t', ..] => BadCharacter::Tab,
            // U+2018 to U+201F.
            [0xe2, 0x80, 0x98..=0x9f, ..] => BadCharacter::TypographicQuotes,
            [0x80..=0xff, ..] => BadCharacter::NonAscii,
            _ => BadCharacter::Control,
        }
    }

    fn name(self) -> &'static str {
        match self {
            BadCharacter::ByteOrderMark => "a byte-order mark",
            BadCharacter::ByteOrderMarkUtf16 => "a byte-order mark of UTF-16",
            BadCharacter::LineBreak => "a line break",
            BadCharacter::Tab => "a tab",
            BadCharacter::TypographicQuotes => "typographic quotes",
            BadCharacter::NonAscii => "a non-ASCII character",
            BadCharacter::Control => "a control character",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn problem(bytes: &[u8]) -> String {
        Key::parse(bytes)
            .map(|_| ())
            .unwrap_err()
            .text()
            .to_string()
    }

    #[test]
    fn what_keeps_a_key_from_being_sent_is_named_with_its_place() {
        for (bytes, expected) in [
            (&b""[..], "is blank"),
            (b" \r\n\t ", "is blank"),
            (b"lk_test\nuser: me", "has a line break after character 7"),
            (b"lk_test\r\nuser: me", "has a line break after character 7"),
            (b"lk\ttest", "has a tab after character 2"),
            (b"lk_\x00", "has a control character after character 3"),
            (b"\x1blk", "starts with a control character"),
            (b"\xef\xbb\xbflk_test", "starts with a byte-order mark"),
            (
                b"\xff\xfel\x00k\x00",
                "starts with a byte-order mark of UTF-16",
            ),
            (
                b"\xfe\xff\x00l\x00k",
                "starts with a byte-order mark of UTF-16",
            ),
            ("“lk_test”".as_bytes(), "starts with typographic quotes"),
            (
                "lk_test’".as_bytes(),
                "has typographic quotes after character 7",
            ),
            (
                "lk_tést".as_bytes(),
                "has a non-ASCII character after character 4",
            ),
        ] {
            assert_eq!(problem(bytes), expected);
        }
    }

    #[test]
    fn a_key_of_the_longest_length_is_accepted_and_a_longer_one_is_not_cut() {
        let longest = "x".repeat(MAX_KEY);
        assert_eq!(
            Key::parse(longest.as_bytes()).unwrap().expose_secret(),
            longest
        );
        let blanks = " ".repeat(MAX_FILE - 3);
        for too_long in [
            format!("{longest}x"),
            format!("{blanks}lk_test"),
            "x".repeat(MAX_FILE + 1),
        ] {
            assert_eq!(
                problem(too_long.as_bytes()),
                "is longer than 4096 characters"
            );
        }
        assert_eq!(
            Key::parse(format!("{blanks}lk_").as_bytes())
                .unwrap()
                .expose_secret(),
            "lk_"
        );
    }

    #[test]
    fn a_rejected_key_is_described_by_its_first_oddity() {
        let source = Source::Value("CLADO_API_KEY", OsString::new());
        for (key, hint) in [
            ("lk_test", "the key came from CLADO_API_KEY"),
            ("sk-test", "the key came from CLADO_API_KEY"),
            (
                "pk_test",
                "the key from CLADO_API_KEY does not start with \"lk_\"",
            ),
            (
                "bearer lk_test",
                "the key from CLADO_API_KEY starts with \"Bearer \", which is added for you",
            ),
            (
                "CLADO_API_KEY=lk_test",
                "the key from CLADO_API_KEY has \"CLADO_API_KEY=\" in front; only the key itself belongs there",
            ),
            (
                "export CLADO_API_KEY=lk_test",
                "the key from CLADO_API_KEY has \"export\" in front; only the key itself belongs there",
            ),
            (
                "Bearer",
                "the key from CLADO_API_KEY does not start with \"lk_\"",
            ),
            (
                "'lk_test'",
                "the key from CLADO_API_KEY has quotes around it",
            ),
            (
                "lk_test\"",
                "the key from CLADO_API_KEY has quotes around it",
            ),
            ("lk_ test", "the key from CLADO_API_KEY has a space inside"),
        ] {
            assert_eq!(
                Key::parse(key.as_bytes())
                    .unwrap()
                    .rejection_hint(&source)
                    .to_string(),
                hint
            );
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_key_that_can_be_sent_or_a_problem(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            if let Ok(key) = Key::parse(&bytes) {
                prop_assert!(!key.expose_secret().is_empty());
                prop_assert!(key.expose_secret().bytes().all(|b| matches!(b, b' '..=b'~')));
                prop_assert_eq!(key.expose_secret().as_bytes(), bytes.trim_ascii());
            }
        }
    }
}
