//! Text from outside: what is shown of it has no control characters, is short, and does not hold a part of the key.

#![no_main]

use clado_credits::text::{Shown, hide_key, repeats_key};
use clado_credits_fuzz::{KEY, assert_shown};
use hifijson::SliceLexer;
use hifijson::token::Lex;
use hifijson::value::{self, Value};
use libfuzzer_sys::fuzz_target;

fuzz_target!(init: hide_key(KEY), |text: &str| {
    let shown = Shown::short(text);
    assert_shown(&shown, 200);
    // The letter of an escape sequence is not from the text.
    let shown = shown.to_string().replace(r"\t", " ").replace(r"\r", " ").replace(r"\n", " ");
    for part in KEY.as_bytes().windows(6) {
        assert!(!shown.contains(str::from_utf8(part).unwrap()), "{text:?} is shown as {shown:?}");
    }
    assert_shown(Shown::new(text), usize::MAX);
    assert_shown(Shown::reason(&std::io::Error::other(text)), 200);
    // In JSON, escapes included.
    let json = SliceLexer::new(text.as_bytes()).exactly_one(Lex::ws_peek, value::parse_unbounded);
    let is_repeated = text.contains(KEY) || json.is_ok_and(|json| has_key(&json));
    assert!(!is_repeated || repeats_key(text));
});

/// Whether a string in `json` has the whole key.
fn has_key<N, S: AsRef<str>>(json: &Value<N, S>) -> bool {
    match json {
        Value::String(text) => text.as_ref().contains(KEY),
        Value::Array(items) => items.iter().any(has_key),
        Value::Object(fields) => fields
            .iter()
            .any(|(name, value)| name.as_ref().contains(KEY) || has_key(value)),
        _ => false,
    }
}
