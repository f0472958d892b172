//! The API key: where it comes from, what is trimmed and refused, and a type that never shows itself.
//!
//! Does not know what the service thinks of a key; that is a reply, and `api.rs` reads those.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs::File;
use std::io::{self, IsTerminal, Read};
use std::path::{Path, PathBuf};

use crate::text;

/// The environment variable that holds the key.
pub const VARIABLE: &str = "CLADO_API_KEY";

/// The longest key accepted, in bytes; real ones have some forty.
const MAX_LENGTH: usize = 4096;

/// Where the user put the key; shown by its place, never by what it holds.
#[derive(Clone)]
pub enum Source {
    /// The value of `--api-key`.
    Flag(OsString),
    /// The file that `--api-key-file` names.
    File(PathBuf),
    /// `--api-key-file -`.
    Stdin,
    /// The value of [`VARIABLE`].
    Environment(OsString),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Flag(_) => f.write_str("--api-key"),
            // The key itself is easily given in place of the path.
            Source::File(path) if text::looks_like_key(&path.to_string_lossy()) => {
                f.write_str("the file given with --api-key-file")
            }
            Source::File(path) => f.write_str(&text::visible(&path.to_string_lossy())),
            Source::Stdin => f.write_str("standard input"),
            Source::Environment(_) => f.write_str(VARIABLE),
        }
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Source {
    /// Picks the source: a flag beats the environment, and a blank variable counts as unset.
    pub fn choose(
        flag: Option<OsString>,
        file: Option<PathBuf>,
        variable: Option<OsString>,
    ) -> Option<Source> {
        if let Some(key) = flag {
            return Some(Source::Flag(key));
        }
        if let Some(path) = file {
            return Some(if path == Path::new("-") { Source::Stdin } else { Source::File(path) });
        }
        variable.filter(|key| !key.as_encoded_bytes().trim_ascii().is_empty()).map(Source::Environment)
    }

    fn read(&self) -> Result<Vec<u8>, Problem> {
        let bytes = |text: &OsStr| text.as_encoded_bytes().to_vec();
        match self {
            Source::Flag(key) | Source::Environment(key) => Ok(bytes(key)),
            Source::File(path) => File::open(path).and_then(read_bounded).map_err(Problem::Unreadable),
            Source::Stdin if io::stdin().is_terminal() => Err(Problem::Terminal),
            Source::Stdin => read_bounded(io::stdin().lock()).map_err(Problem::Unreadable),
        }
    }
}

/// Reads a little more than a key may have, however much there is: `/dev/zero` must not fill the memory.
fn read_bounded(reader: impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    reader.take(2 * MAX_LENGTH as u64).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Why there is no usable key.
#[derive(Debug)]
pub enum Problem {
    /// Nothing was there but blanks.
    Blank,
    /// The file or standard input could not be read.
    Unreadable(io::Error),
    /// Standard input is a terminal, and there are no prompts.
    Terminal,
    /// A control or non-ASCII character, at this place counted from 1.
    Character(usize),
    /// More than [`MAX_LENGTH`] bytes.
    TooLong,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Problem::Blank => f.write_str("is blank"),
            Problem::Unreadable(error) => write!(f, "could not be read: {}", text::io_reason(error)),
            Problem::Terminal => f.write_str("would come from a terminal"),
            Problem::Character(position) => {
                write!(f, "has a control or non-ASCII character (the one at position {position})")
            }
            Problem::TooLong => write!(f, "is longer than {MAX_LENGTH} characters"),
        }
    }
}

/// A key fit to be sent: printable ASCII, not empty.
pub struct Key(String);

impl Key {
    /// Reads the key from `source`, trims the blanks around it and checks every character.
    ///
    /// # Errors
    /// When the source can't be read or what it holds can't be a key. The error never holds a part of it.
    pub fn load(source: &Source) -> Result<Key, Problem> {
        Key::parse(&source.read()?)
    }

    fn parse(bytes: &[u8]) -> Result<Key, Problem> {
        let bytes = bytes.trim_ascii();
        if bytes.is_empty() {
            return Err(Problem::Blank);
        }
        if let Some(at) = bytes.iter().position(|b| !matches!(b, b' '..=b'~')) {
            return Err(Problem::Character(at + 1));
        }
        if bytes.len() > MAX_LENGTH {
            return Err(Problem::TooLong);
        }
        Ok(Key(String::from_utf8_lossy(bytes).into_owned()))
    }

    /// The key itself, for the one header it belongs in and for keeping it out of everything else.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// What may be wrong with a rejected key, said without any part of it.
    pub fn hint(&self, source: &Source) -> String {
        let key = self.expose();
        let quote = |c: char| matches!(c, '"' | '\'' | '`');
        let prefix = key.get(..7).unwrap_or_default();
        let oddity = if prefix.eq_ignore_ascii_case("bearer ") {
            "starts with \"Bearer \", which is added for you"
        } else if key.starts_with(quote) || key.ends_with(quote) {
            "has quotes around it"
        } else if key.contains(' ') {
            "has a blank inside"
        } else if !key.starts_with("lk_") && !key.starts_with("sk-") {
            "does not start with \"lk_\""
        } else {
            return format!("the key came from {source}");
        };
        format!("the key from {source} {oddity}")
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(text::REDACTED)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_key_never_shows_itself() {
        let key = Key::parse(b"lk_test_not_a_real_key").unwrap();
        assert_eq!(format!("{key:?}"), "(redacted)");
        let source = Source::Flag("lk_test_not_a_real_key".into());
        assert_eq!(format!("{source:?}"), "--api-key");
    }

    #[test]
    fn a_rejected_key_is_described_by_its_first_oddity() {
        let source = Source::Environment(OsString::new());
        for (key, hint) in [
            ("lk_test", "the key came from CLADO_API_KEY"),
            ("sk-test", "the key came from CLADO_API_KEY"),
            ("pk_test", "the key from CLADO_API_KEY does not start with \"lk_\""),
            ("bearer lk_test", "the key from CLADO_API_KEY starts with \"Bearer \", which is added for you"),
            ("'lk_test'", "the key from CLADO_API_KEY has quotes around it"),
            ("lk_test\"", "the key from CLADO_API_KEY has quotes around it"),
            ("lk_ test", "the key from CLADO_API_KEY has a blank inside"),
        ] {
            assert_eq!(Key::parse(key.as_bytes()).unwrap().hint(&source), hint);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]
        #[test]
        fn any_bytes_are_a_sendable_key_or_a_problem(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            if let Ok(key) = Key::parse(&bytes) {
                prop_assert!(!key.expose().is_empty());
                prop_assert!(key.expose().bytes().all(|b| matches!(b, b' '..=b'~')));
                prop_assert_eq!(key.expose().as_bytes(), bytes.trim_ascii());
            }
        }
    }
}
