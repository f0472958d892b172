//! The API key: where it comes from, what is trimmed and refused, and a type that never prints itself.
//!
//! What the API thinks of a key is a reply, and `client.rs` reads those.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, IsTerminal, Read};
use std::path::PathBuf;

use crate::error::{Result, error};
use crate::text::{self, Shown, shown};

/// The longest key accepted, in bytes; real ones have some forty.
const MAX_LENGTH: u16 = 4096;

/// The most that is read from a file or standard input: a key with whitespace around it.
const MAX_READ: usize = 2 * MAX_LENGTH as usize;

/// Hints for what is wrong with a key file.
const ASCII: &str = "save it as plain ASCII; in PowerShell: Set-Content -Encoding Ascii";
const ALONE: &str =
    "the key must be alone: pass show clado | head -n 1 | clado-credits --api-key-file -";

/// Where the user put the key. Shown by its place, never by its content.
pub enum Source {
    /// The value of the flag or variable with this name.
    Value(&'static str, OsString),
    /// The file that `--api-key-file` names.
    File(PathBuf),
    /// `--api-key-file -`.
    Stdin,
}

impl Source {
    /// How messages name the source.
    pub fn name(&self) -> Shown {
        match self {
            Source::Value(name, _) => (*name).into(),
            Source::File(path) => Shown::new(path.to_string_lossy()),
            Source::Stdin => "standard input".into(),
        }
    }

    fn read(&self) -> io::Result<Vec<u8>> {
        let reader: Box<dyn Read + '_> = match self {
            Source::Value(_, key) => Box::new(key.as_encoded_bytes()),
            Source::File(path) => Box::new(File::open(path)?),
            Source::Stdin => Box::new(io::stdin()),
        };
        let mut bytes = Vec::new();
        // One byte more than is accepted: a longer file is refused, not cut. /dev/zero must not fill the memory.
        reader.take(MAX_READ as u64 + 1).read_to_end(&mut bytes)?;
        Ok(bytes)
    }
}

/// A key that can be sent: printable ASCII, not empty. It has no `Debug` and no `Display`, so that nothing prints it.
pub struct Key(String);

impl Key {
    /// Reads the key from `source`, trims the whitespace around it and checks every character. From then on it is
    /// hidden in all text that is shown.
    ///
    /// # Errors
    /// When the source can't be read or does not hold a key. The error never shows a part of its content.
    pub fn load(source: &Source) -> Result<Key> {
        if matches!(source, Source::Stdin) && io::stdin().is_terminal() {
            let error = error!(
                NoApiKey,
                "cannot read the API key: standard input is a terminal"
            );
            return Err(error.hint(Some(
                "pipe the key in, or name a file: --api-key-file <PATH>".into(),
            )));
        }
        let name = source.name();
        let bytes = source.read().map_err(|error| {
            error!(
                NoApiKey,
                "the API key from {} could not be read: {}",
                name,
                Shown::reason(&error)
            )
        })?;
        let key = Key::parse(&bytes).map_err(|(problem, hint)| {
            error!(NoApiKey, "the API key from {} {}", name, problem).hint(hint.map(Shown::from))
        })?;
        text::hide_key(key.expose_secret());
        Ok(key)
    }

    /// Checks the bytes of a key. A problem comes with a hint where there is something to do.
    fn parse(bytes: &[u8]) -> Result<Key, (Shown, Option<&'static str>)> {
        let key = bytes.trim_ascii();
        let place = key.iter().position(|b| !matches!(b, b' '..=b'~'));
        let (what, hint) = match (key, &key[place.unwrap_or(key.len())..]) {
            _ if bytes.len() > MAX_READ || key.len() > MAX_LENGTH.into() => {
                return Err((shown!("is longer than {} characters", MAX_LENGTH), None));
            }
            ([], _) => return Err(("is blank".into(), None)),
            (_, []) => return Ok(Key(String::from_utf8_lossy(key).into_owned())),
            (_, [0xff, 0xfe, ..] | [0xfe, 0xff, ..]) => {
                ("a byte-order mark of UTF-16", Some(ASCII))
            }
            (_, [0xef, 0xbb, 0xbf, ..]) => ("a byte-order mark", Some(ASCII)),
            (_, [b'\n' | b'\r', ..]) => ("a line break", Some(ALONE)),
            (_, [b'\t', ..]) => ("a tab", None),
            (_, [0xe2, 0x80, 0x98..=0x9f, ..]) => ("typographic quotes", Some("remove the quotes")),
            (_, [0x80..=0xff, ..]) => ("a non-ASCII character", Some(ASCII)),
            _ => ("a control character", None),
        };
        Err(match place {
            Some(place @ 1..) => (
                shown!("has {} after character {}", what, place as u64),
                hint,
            ),
            _ => (shown!("starts with {}", what), hint),
        })
    }

    /// The key itself, for the one header it belongs in.
    pub fn expose_secret(&self) -> &str {
        &self.0
    }

    /// What may be wrong with a rejected key, without any part of it.
    pub fn hint(&self, source: &Source) -> Shown {
        let key = self.expose_secret();
        let scheme = key.split_once(' ').map_or("", |(scheme, _)| scheme);
        let quote = |c: char| matches!(c, '"' | '\'' | '`');
        let oddities = [
            (
                scheme.eq_ignore_ascii_case("bearer"),
                "starts with \"Bearer \", which is added for you",
            ),
            (
                key.starts_with(quote) || key.ends_with(quote),
                "has quotes around it",
            ),
            (key.contains(' '), "has a space inside"),
            (
                !text::KEY_PREFIXES
                    .iter()
                    .any(|prefix| key.starts_with(prefix)),
                "does not start with \"lk_\"",
            ),
        ];
        match oddities.into_iter().find(|(is_odd, _)| *is_odd) {
            Some((_, oddity)) => shown!("the key from {} {}", source.name(), oddity),
            None => shown!("the key came from {}", source.name()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn problem(bytes: &[u8]) -> String {
        Key::parse(bytes).map(|_| ()).unwrap_err().0.to_string()
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
        let longest = "x".repeat(MAX_LENGTH.into());
        assert_eq!(
            Key::parse(longest.as_bytes()).unwrap().expose_secret(),
            longest
        );
        let blanks = " ".repeat(MAX_READ - 3);
        for too_long in [
            format!("{longest}x"),
            format!("{blanks}lk_test"),
            "x".repeat(MAX_READ + 1),
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
                    .hint(&source)
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
