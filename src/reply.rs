//! Reads bodies: the balance in a good one, the server's message and the time to wait in an error.
//!
//! Bytes in, values out. What a status means is decided in `client.rs`.

use std::borrow::Cow;
use std::io;
use std::time::SystemTime;

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Deserializer, Serializer, Value};

use crate::text::Shown;

/// A longer wait than a day is not shown: the server's clock or its reply is wrong.
const LONGEST_WAIT: u64 = 24 * 60 * 60;

/// The byte-order mark in UTF-8, which some servers put in front of a body.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// What is wrong with a body that is not JSON.
pub const NOT_JSON: &str = "the reply is not JSON";

/// A good reply.
#[derive(Debug, PartialEq, Eq)]
pub struct Reply {
    /// The body as received, without a byte-order mark.
    pub body: String,
    /// The number of credits left; may be negative.
    pub credits: i64,
    /// `last_topup_at` as sent; `None` when credits were never bought.
    pub last_topup: Option<String>,
}

/// The fields that are read, as they stand in the body.
#[derive(Deserialize)]
struct Fields {
    credits: Option<Box<RawValue>>,
    last_topup_at: Option<Box<RawValue>>,
}

impl Reply {
    /// Reads the body of a 200.
    ///
    /// A `last_topup_at` that is not a timestamp is not an error; it is kept as sent.
    ///
    /// # Errors
    /// When the body is not a JSON object with exactly one integer `credits`: what is wrong, as a sentence.
    pub fn parse(body: &[u8]) -> Result<Reply, &'static str> {
        let body = without_byte_order_mark(body);
        if body.trim_ascii().is_empty() {
            return Err("the reply is empty");
        }
        let Ok(body) = str::from_utf8(body) else {
            return Err(NOT_JSON);
        };
        if !is_json(body) {
            return Err(NOT_JSON);
        }
        if !body.trim_start().starts_with('{') {
            return Err("the reply is not a JSON object");
        }
        // The body is a JSON object and a field can have any value, so only a field that is there twice is left as an
        // error.
        let fields = serde_json::from_str::<Fields>(body)
            .map_err(|_| "the reply has more than one \"credits\" or \"last_topup_at\" field")?;
        let credits = match fields.credits {
            Some(json) => integer(json.get())?,
            None => return Err(NO_INTEGER),
        };
        let last_topup = fields.last_topup_at.map(|json| text_or_json(json.get()));
        Ok(Reply {
            body: body.to_owned(),
            credits,
            last_topup,
        })
    }
}

/// Whether the whole text is JSON. [`Fields`] skips what it does not need; this reads everything, so that what is
/// printed always parses.
fn is_json(text: &str) -> bool {
    let mut reader = Deserializer::from_str(text);
    let mut writer = Serializer::new(io::sink());
    serde_transcode::transcode(&mut reader, &mut writer).is_ok() && reader.end().is_ok()
}

/// The content of a JSON string; any other value as it stands, and also a blank string, whose quotes are all there is
/// to show.
fn text_or_json(json: &str) -> String {
    match serde_json::from_str::<String>(json) {
        Ok(text) if !text.trim().is_empty() => text,
        _ => json.to_owned(),
    }
}

const NO_INTEGER: &str = "the reply has no integer \"credits\" field";
const OUT_OF_RANGE: &str = "the \"credits\" field of the reply is out of range";

/// The integer that a JSON number stands for. As in JSON Schema, 150.0 and 1.5e2 are integers too. It is read from
/// the digits, never through a float: 9007199254740993.0 is that very number.
fn integer(json: &str) -> Result<i64, &'static str> {
    if !json.starts_with(|c: char| c == '-' || c.is_ascii_digit()) {
        return Err(NO_INTEGER);
    }
    let (mantissa, exponent) = json.split_once(['e', 'E']).unwrap_or((json, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    // The number is `digits` times ten to the power of `exponent - fraction.len()`.
    let digits = format!("{whole}{fraction}");
    let significant = digits.trim_end_matches('0');
    if matches!(significant, "" | "-") {
        return Ok(0);
    }
    // An exponent that does not fit 64 bits decides by its sign alone.
    let limit = if exponent.starts_with('-') {
        i64::MIN
    } else {
        i64::MAX
    };
    let exponent = exponent.parse::<i64>().unwrap_or(limit);
    let trimmed = (digits.len() - significant.len()) as i64;
    let zeros = exponent.saturating_add(trimmed - fraction.len() as i64);
    if zeros < 0 {
        return Err(NO_INTEGER);
    }
    // With 20 zeros any number is out of range.
    let zeros = "0".repeat(zeros.min(20) as usize);
    match format!("{significant}{zeros}").parse::<i64>() {
        Ok(integer) => Ok(integer),
        Err(_) => Err(OUT_OF_RANGE),
    }
}

/// The members that hold a server's message, in the order in which they are looked for: those of FastAPI (`detail`),
/// RFC 9457 (`detail`, `title`), OAuth (`error_description`), JSON:API (`errors`), AWS (`Message`) and others.
const MESSAGE_MEMBERS: [&str; 12] = [
    "detail",
    "error",
    "message",
    "Message",
    "msg",
    "error_description",
    "errors",
    "title",
    "reason",
    "description",
    "error_message",
    "faultstring",
];

/// The message in a body of JSON or plain text; `None` if there is none. A web page is not a message.
pub fn message(body: &[u8]) -> Option<Shown> {
    let text = decode(body)?;
    if let Ok(value) = serde_json::from_str::<Value>(&text) {
        return find_message(&value).map(Shown::short);
    }
    let text = text.trim();
    if text.is_empty() || looks_like_markup(text) {
        return None;
    }
    Some(Shown::short(text))
}

/// The message in a body of JSON; `None` if there is none, or if the body is not JSON.
pub fn json_message(body: &[u8]) -> Option<Shown> {
    let text = decode(body)?;
    let value = serde_json::from_str::<Value>(&text).ok()?;
    find_message(&value).map(Shown::short)
}

/// A body as text, without a byte-order mark: in UTF-8, else in Latin-1 if it can be that.
fn decode(body: &[u8]) -> Option<Cow<'_, str>> {
    let body = without_byte_order_mark(body);
    let Err(error) = str::from_utf8(body) else {
        return Some(String::from_utf8_lossy(body));
    };
    let valid = &body[..error.valid_up_to()];
    // A character is cut in two where the limit for bodies is.
    if error.error_len().is_none() && !valid.is_empty() {
        return Some(String::from_utf8_lossy(valid));
    }
    if !body.iter().copied().all(is_latin1_text) {
        return None;
    }
    // Each byte of Latin-1 is the Unicode character of that number.
    Some(body.iter().copied().map(char::from).collect())
}

fn is_latin1_text(byte: u8) -> bool {
    // From 0x80 to 0x9f are control characters, which no text uses.
    matches!(byte, b'\t' | b'\n' | b'\r' | b' '..=b'~' | 0xa0..=0xff)
}

fn without_byte_order_mark(body: &[u8]) -> &[u8] {
    body.strip_prefix(BYTE_ORDER_MARK).unwrap_or(body)
}

/// Whether a text that is not JSON is a page or damaged JSON and not a sentence. `[error] no luck` is a sentence.
fn looks_like_markup(text: &str) -> bool {
    if text.starts_with(['<', '{']) {
        return true;
    }
    match text.strip_prefix('[') {
        Some(rest) => rest.trim_start().starts_with(['"', '{', '[', ']']),
        None => false,
    }
}

/// The first sentence among the members that hold messages. Without a sentence, the first word: some servers put
/// "Unauthorized" into `error` and the sentence into `message`.
fn find_message(value: &Value) -> Option<&str> {
    match value {
        Value::String(text) => {
            let text = text.trim();
            let is_message = !text.is_empty() && !text.starts_with('<');
            if is_message { Some(text) } else { None }
        }
        Value::Array(items) => items.iter().find_map(find_message),
        Value::Object(fields) => {
            let mut word = None;
            for name in MESSAGE_MEMBERS {
                let Some(message) = fields.get(name).and_then(find_message) else {
                    continue;
                };
                if message.contains(char::is_whitespace) {
                    return Some(message);
                }
                word.get_or_insert(message);
            }
            word
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => None,
    }
}

/// Whether a body is a web page, or anything else made of tags.
pub fn is_web_page(body: &[u8]) -> bool {
    let body = without_byte_order_mark(body);
    body.trim_ascii_start().starts_with(b"<")
}

/// Seconds to wait before the next try: the body's `retry_after`, else the `Retry-After` header, which holds
/// seconds or a date (RFC 9110, section 10.2.3). Parts of a second are rounded up.
pub fn retry_after(body: &[u8], header: Option<&str>, now: SystemTime) -> Option<u64> {
    let wait = match seconds_in_body(body) {
        Some(seconds) => seconds,
        None => seconds_in_header(header?, now)?,
    };
    if (1..=LONGEST_WAIT).contains(&wait) {
        Some(wait)
    } else {
        None
    }
}

fn seconds_in_body(body: &[u8]) -> Option<u64> {
    let body = without_byte_order_mark(body);
    let body = serde_json::from_slice::<Value>(body).ok()?;
    match body.get("retry_after")? {
        Value::Number(number) => parse_seconds(&number.to_string()),
        Value::String(text) => parse_seconds(text),
        _ => None,
    }
}

fn seconds_in_header(header: &str, now: SystemTime) -> Option<u64> {
    if let Some(seconds) = parse_seconds(header) {
        return Some(seconds);
    }
    let date = httpdate::parse_http_date(header).ok()?;
    let wait = date.duration_since(now).ok()?;
    Some(wait.as_secs() + u64::from(wait.subsec_nanos() > 0))
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

/// Only digits, and perhaps a fraction, which is rounded up: nobody sends a sign or an exponent.
fn parse_seconds(text: &str) -> Option<u64> {
    let text = text.trim();
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    if !is_digits(whole) || !is_digits(fraction) {
        return None;
    }
    let has_fraction = fraction.bytes().any(|b| b != b'0');
    whole
        .parse::<u64>()
        .ok()?
        .checked_add(u64::from(has_fraction))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::Duration;

    const NOT_AN_OBJECT: &str = "the reply is not a JSON object";
    const DUPLICATE: &str = "the reply has more than one \"credits\" or \"last_topup_at\" field";

    fn parse(body: &str) -> Result<Reply, &'static str> {
        Reply::parse(body.as_bytes())
    }

    fn credits(literal: &str) -> Result<i64, &'static str> {
        parse(&format!(r#"{{"credits": {literal}}}"#)).map(|reply| reply.credits)
    }

    #[test]
    fn every_spelling_of_an_integer_is_read_exactly() {
        for (literal, value) in [
            ("0", 0),
            ("-0", 0),
            ("-0.0", 0),
            ("0e999999999999999999999", 0),
            ("247", 247),
            ("-5", -5),
            ("150.0", 150),
            ("1.5e2", 150),
            ("1.5E+2", 150),
            ("15000e-2", 150),
            ("1500.00e-1", 150),
            ("-1.5e1", -15),
            ("9007199254740993", 9_007_199_254_740_993),
            ("9007199254740993.0", 9_007_199_254_740_993),
            ("900719925474099.3e1", 9_007_199_254_740_993),
            ("9223372036854775807", i64::MAX),
            ("-9223372036854775808", i64::MIN),
        ] {
            assert_eq!(credits(literal), Ok(value), "{literal}");
        }
    }

    #[test]
    fn anything_else_is_refused_with_the_reason() {
        for literal in [
            "1.5",
            "1e-1",
            "1e-99999999999999999999",
            "-0.1",
            "null",
            "true",
            "\"247\"",
            "[1]",
            "{}",
        ] {
            assert_eq!(credits(literal), Err(NO_INTEGER), "{literal}");
        }
        for literal in [
            "9223372036854775808",
            "-9223372036854775809",
            "1e19",
            "1e999",
            "1e99999999999999999999",
        ] {
            assert_eq!(credits(literal), Err(OUT_OF_RANGE), "{literal}");
        }
        for body in [
            "{",
            "{\"credits\": 24",
            "{\"credits\": 247} x",
            "{\"credits\": 0247}",
            "{credits: 1}",
        ] {
            assert_eq!(parse(body), Err(NOT_JSON), "{body}");
        }
        for body in ["[247]", "247", "null", "\"x\""] {
            assert_eq!(parse(body), Err(NOT_AN_OBJECT), "{body}");
        }
        assert_eq!(parse(r#"{"credits":1,"cr\u0065dits":2}"#), Err(DUPLICATE));
        assert_eq!(parse(r#"{"balance":1}"#), Err(NO_INTEGER));
    }

    #[test]
    fn the_other_members_have_to_be_valid_too() {
        for member in [
            &b"\"a\": \"\xff\""[..],
            b"\"\xff\": 1",
            b"\"a\": \"\\ud800\"",
        ] {
            let body = [b"{\"credits\": 1, ".as_slice(), member, b"}"].concat();
            assert_eq!(
                Reply::parse(&body),
                Err(NOT_JSON),
                "{}",
                body.escape_ascii()
            );
        }
        let deep = format!(
            "{{\"credits\": 1, \"a\": {}{}}}",
            "[".repeat(20_000),
            "]".repeat(20_000)
        );
        assert_eq!(parse(&deep), Err(NOT_JSON));
    }

    #[test]
    fn numbers_elsewhere_may_be_of_any_size() {
        assert_eq!(
            parse(r#"{"credits": 5, "x": 1e400, "y": -1e-400}"#)
                .unwrap()
                .credits,
            5
        );
    }

    #[test]
    fn a_web_page_starts_with_a_tag() {
        for body in ["<html>", " \n<p>", "\u{feff}<!-- x -->", "<svg/>"] {
            assert!(is_web_page(body.as_bytes()), "{body}");
        }
        for body in ["", "{}", "a < b"] {
            assert!(!is_web_page(body.as_bytes()), "{body}");
        }
    }

    #[test]
    fn the_last_topup_is_kept_as_sent() {
        for (member, kept) in [
            (r#""x": 1"#, None),
            (r#""last_topup_at": null"#, None),
            (
                r#""last_topup_at": "2024-01-15T10:30:00Z""#,
                Some("2024-01-15T10:30:00Z"),
            ),
            (r#""last_topup_at": """#, Some("\"\"")),
            (r#""last_topup_at": 17053"#, Some("17053")),
            (r#""last_topup_at": [1, 2]"#, Some("[1, 2]")),
        ] {
            let reply = parse(&format!(r#"{{"credits": 1, {member}}}"#)).unwrap();
            assert_eq!(reply.last_topup.as_deref(), kept, "{member}");
        }
    }

    #[test]
    fn the_message_is_found_in_every_shape() {
        for (body, found) in [
            (r#"{"detail": "no"}"#, Some("no")),
            (r#"{"detail": [{"loc": [], "msg": "no"}]}"#, Some("no")),
            (r#"{"detail": ["no"]}"#, Some("no")),
            (r#"{"error": "no"}"#, Some("no")),
            (r#"{"error": {"code": 1, "message": "no"}}"#, Some("no")),
            (r#"{"message": " no "}"#, Some("no")),
            (r#"{"detail": null, "message": "no"}"#, Some("no")),
            (r#""no""#, Some("no")),
            ("no\n", Some("no")),
            (r#"{"Message": "no"}"#, Some("no")),
            (r#"{"title": "no", "status": 403}"#, Some("no")),
            (
                r#"{"title": "Forbidden", "detail": "no way"}"#,
                Some("no way"),
            ),
            (
                r#"{"error": "denied", "error_description": "no way"}"#,
                Some("no way"),
            ),
            (r#"{"errors": [{"message": "no"}]}"#, Some("no")),
            (r#"{"errors": ["no"]}"#, Some("no")),
            (r#"{"reason": "no"}"#, Some("no")),
            (
                r#"{"error": "Unauthorized", "message": "Key revoked"}"#,
                Some("Key revoked"),
            ),
            (r#"{"error": "a", "message": "b"}"#, Some("a")),
            ("[error] no", Some("[error] no")),
            (r#"{"code": 1}"#, None),
            (r#"{"detail": ""}"#, None),
            (r#"{"detail": "cut sh"#, None),
            ("\u{feff}  <!DOCTYPE html><p>no", None),
            ("", None),
            ("[]", None),
        ] {
            assert_eq!(message(body.as_bytes()), found.map(Shown::from), "{body}");
        }
        assert_eq!(message(b"\x00\xff"), None);
    }

    #[test]
    fn the_wait_is_read_from_body_or_header() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_717);
        let date = Some("Sun, 06 Nov 1994 08:49:37 GMT");
        for (body, header, seconds) in [
            (r#"{"retry_after": 60}"#, Some("5"), Some(60)),
            (r#"{"retry_after": "60"}"#, None, Some(60)),
            (r#"{"retry_after": 1.5}"#, None, Some(2)),
            (r#"{"retry_after": 0.4}"#, None, Some(1)),
            (r#"{"retry_after": 5.0}"#, None, Some(5)),
            (r#"{"retry_after": "1.5 s"}"#, None, None),
            ("\u{feff}{\"retry_after\": 7}", None, Some(7)),
            ("", Some("Sunday, 06-Nov-94 08:49:37 GMT"), Some(60)),
            ("", Some("Sun Nov  6 08:49:37 1994"), Some(60)),
            (r#"{"retry_after": -1}"#, Some(" 5 "), Some(5)),
            ("", date, Some(60)),
            ("", Some("soon"), None),
            ("", Some(""), None),
            ("", None, None),
            ("", Some("0"), None),
            ("", Some("86400"), Some(86_400)),
            ("", Some("86401"), None),
            ("", Some("Thu, 01 Jan 2099 00:00:00 GMT"), None),
            (r#"{"retry_after": 1e3}"#, None, None),
            (
                r#"{"retry_after": 99999999999999999999}"#,
                Some("5"),
                Some(5),
            ),
        ] {
            assert_eq!(
                retry_after(body.as_bytes(), header, now),
                seconds,
                "{body} {header:?}"
            );
        }
        assert_eq!(
            retry_after(
                b"",
                date,
                SystemTime::UNIX_EPOCH + Duration::from_secs(784_115_317)
            ),
            None
        );
    }

    proptest! {
        #[test]
        fn an_integer_is_read_from_its_digits_in_any_notation(value: i64, zeros in 0usize..5, shift in 0usize..5) {
            prop_assert_eq!(credits(&format!("{value}.{}", "0".repeat(zeros + 1))), Ok(value));
            prop_assert_eq!(credits(&format!("{value}{}e-{shift}", "0".repeat(shift))), Ok(value));
        }

        #[test]
        fn the_number_that_is_read_is_the_one_that_was_written(
            literal in "-?(0|[1-9][0-9]{0,19})(\\.[0-9]{1,3}0{0,9})?([eE][+-]?[0-9]{1,3})?",
        ) {
            // Both conversions round to the nearest double, so the same number gives the same double.
            let written: f64 = literal.parse().unwrap();
            match credits(&literal) {
                Ok(read) => prop_assert_eq!(read as f64, written),
                Err(OUT_OF_RANGE) => prop_assert!(written.abs() >= 9.2e18),
                Err(problem) => prop_assert_eq!(problem, NO_INTEGER),
            }
        }

        #[test]
        fn no_bytes_make_the_readers_panic(
            bytes in proptest::collection::vec(any::<u8>(), 0..200),
            text in "\\{\"(detail|error|message|retry_after)\": ?[\\[\\{\"0-9].{0,30}",
            header in ".{0,40}",
        ) {
            for body in [&bytes, text.as_bytes()] {
                let _ = (Reply::parse(body), message(body), retry_after(body, Some(&header), SystemTime::UNIX_EPOCH));
            }
        }
    }
}
