//! Reads bodies: the balance in a good one, the server's message and the time to wait in an error.
//!
//! Bytes in, values out. What a status means is decided in `client.rs`.

use std::borrow::Cow;
use std::io;
use std::time::SystemTime;

use http::StatusCode;
use memchr::memmem;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Deserializer, Serializer, Value};

use crate::text::Shown;

/// A longer wait than a day is not shown: the server's clock or its reply is wrong.
const LONGEST_WAIT: u64 = 24 * 60 * 60;

/// The byte-order mark in UTF-8, which some servers put in front of a body.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Why the body of a 200 is not a balance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Problem {
    /// Nothing but whitespace.
    Empty,
    /// Damaged JSON, or something else.
    NotJson,
    /// JSON, but a list, a string or a number.
    NotAnObject,
    /// A field that is read is there twice.
    Duplicate,
    /// No `credits`, or not a whole number.
    NoInteger,
    /// A whole number that does not fit 64 bits.
    OutOfRange,
}

impl Problem {
    /// The problem as a sentence.
    pub fn sentence(self) -> &'static str {
        match self {
            Problem::Empty => "the reply is empty",
            Problem::NotJson => "the reply is not JSON",
            Problem::NotAnObject => "the reply is not a JSON object",
            Problem::Duplicate => {
                "the reply has more than one \"credits\" or \"last_topup_at\" field"
            }
            Problem::NoInteger => "the reply has no integer \"credits\" field",
            Problem::OutOfRange => "the \"credits\" field of the reply is out of range",
        }
    }
}

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
    /// When the body is not a JSON object with exactly one integer `credits`.
    pub fn parse(body: &[u8]) -> Result<Reply, Problem> {
        let body = without_byte_order_mark(body);
        if body.trim_ascii().is_empty() {
            return Err(Problem::Empty);
        }
        let Ok(body) = str::from_utf8(body) else {
            return Err(Problem::NotJson);
        };
        if !is_json(body) {
            return Err(Problem::NotJson);
        }
        if !body.trim_start().starts_with('{') {
            return Err(Problem::NotAnObject);
        }
        // The body is a JSON object and a field can have any value, so only a field that is there twice is left as an
        // error.
        let Ok(fields) = serde_json::from_str::<Fields>(body) else {
            return Err(Problem::Duplicate);
        };
        let credits = match fields.credits {
            Some(json) => integer(json.get())?,
            None => return Err(Problem::NoInteger),
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

/// The integer that a JSON number stands for. As in JSON Schema, 150.0 and 1.5e2 are integers too. It is read from
/// the digits, never through a float: 9007199254740993.0 is that very number.
fn integer(json: &str) -> Result<i64, Problem> {
    if !json.starts_with(|c: char| c == '-' || c.is_ascii_digit()) {
        return Err(Problem::NoInteger);
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
        return Err(Problem::NoInteger);
    }
    // With 20 zeros any number is out of range.
    let zeros = "0".repeat(zeros.min(20) as usize);
    match format!("{significant}{zeros}").parse::<i64>() {
        Ok(integer) => Ok(integer),
        Err(_) => Err(Problem::OutOfRange),
    }
}

/// The members that hold a server's message, in the order in which they are looked for: those of FastAPI (`detail`),
/// RFC 9457 (`detail`, `title`), OAuth (`error_description`), JSON:API (`errors`), AWS (`Message`), Apigee (`fault`)
/// and others.
const MESSAGE_MEMBERS: [&str; 13] = [
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
    "fault",
    "faultstring",
];

/// The message in a body of JSON or plain text; `None` if there is none. A web page is not a message.
pub fn message(body: &[u8]) -> Option<Shown> {
    let text = decode(body)?;
    if let Ok(value) = serde_json::from_str::<Value>(&text) {
        return find_message(&value).map(Shown::short);
    }
    let text = text.trim();
    if text.is_empty() || is_damaged_json(text) || has_web_page(text.as_bytes()) {
        return None;
    }
    Some(Shown::short(text))
}

/// A body as text, without a byte-order mark: in UTF-8, else in Latin-1 if it can be that.
fn decode(body: &[u8]) -> Option<Cow<'_, str>> {
    let body = without_byte_order_mark(body);
    let error = match str::from_utf8(body) {
        Ok(text) => return Some(Cow::Borrowed(text)),
        Err(error) => error,
    };
    let valid = &body[..error.valid_up_to()];
    // A body that ends inside a character of UTF-8 was cut, if it has other non-ASCII characters. Otherwise its last
    // byte is more likely a letter in Latin-1.
    if error.error_len().is_none() && !valid.is_ascii() {
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

/// Whether a text that is not JSON starts like JSON. `[error] no luck` does not.
fn is_damaged_json(text: &str) -> bool {
    match text.strip_prefix('[') {
        Some(rest) => rest.trim_start().starts_with(['"', '{', '[', ']']),
        None => text.starts_with('{'),
    }
}

/// Whether a body is text that needs no decoding: UTF-8 without control characters.
pub fn is_plain_text(body: &[u8]) -> bool {
    let Ok(text) = str::from_utf8(body) else {
        return false;
    };
    text.chars()
        .all(|c| !c.is_control() || matches!(c, '\t' | '\n' | '\r'))
}

/// The first message among the members that may hold one, or among the items of a list. One that says something
/// comes before one that only repeats the status: `{"error": "Forbidden", "message": "The key was revoked"}`.
fn find_message(value: &Value) -> Option<&str> {
    let mut places = Vec::new();
    match value {
        Value::String(text) => {
            let text = text.trim();
            let is_message = !text.is_empty() && !has_web_page(text.as_bytes());
            return if is_message { Some(text) } else { None };
        }
        Value::Array(items) => places.extend(items),
        Value::Object(fields) => {
            for name in MESSAGE_MEMBERS {
                if let Some(member) = fields.get(name) {
                    places.push(member);
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
    let mut label = None;
    for place in places {
        let Some(message) = find_message(place) else {
            continue;
        };
        if !is_label(message) {
            return Some(message);
        }
        if label.is_none() {
            label = Some(message);
        }
    }
    label
}

/// Whether a message is a single word, such as `invalid_token`, or what HTTP calls a status, such as "Not Found". Some
/// scripts have no spaces, so a word is taken for one only if it is ASCII.
fn is_label(message: &str) -> bool {
    if message.is_ascii() && !message.contains(char::is_whitespace) {
        return true;
    }
    for status in 400..600 {
        if let Ok(status) = StatusCode::from_u16(status)
            && let Some(name) = status.canonical_reason()
            && name.eq_ignore_ascii_case(message)
        {
            return true;
        }
    }
    false
}

/// Whether a body is a web page, anything else made of tags, or text with a web page in it.
pub fn is_web_page(body: &[u8]) -> bool {
    let body = without_byte_order_mark(body);
    // JSON may quote a page.
    let start = body.trim_ascii_start().first();
    has_web_page(body) && !matches!(start, Some(b'{' | b'[' | b'"'))
}

fn has_web_page(text: &[u8]) -> bool {
    if text.trim_ascii_start().starts_with(b"<") {
        return true;
    }
    let text = text.to_ascii_lowercase();
    memmem::find(&text, b"<html").is_some() || memmem::find(&text, b"<!doctype").is_some()
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
    for place in [&body, &body["error"], &body["detail"]] {
        let seconds = match place.get("retry_after") {
            Some(Value::Number(number)) => parse_seconds(&number.to_string()),
            Some(Value::String(text)) => parse_seconds(text),
            _ => None,
        };
        if seconds.is_some() {
            return seconds;
        }
    }
    None
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
    use jiff::Timestamp;
    use proptest::prelude::*;
    use std::time::Duration;

    fn parse(body: &str) -> Result<Reply, Problem> {
        Reply::parse(body.as_bytes())
    }

    fn credits(literal: &str) -> Result<i64, Problem> {
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
            assert_eq!(credits(literal), Err(Problem::NoInteger), "{literal}");
        }
        for literal in [
            "9223372036854775808",
            "-9223372036854775809",
            "1e19",
            "1e999",
            "1e99999999999999999999",
        ] {
            assert_eq!(credits(literal), Err(Problem::OutOfRange), "{literal}");
        }
        for body in [
            "{",
            "{\"credits\": 24",
            "{\"credits\": 247} x",
            "{\"credits\": 0247}",
            "{credits: 1}",
        ] {
            assert_eq!(parse(body), Err(Problem::NotJson), "{body}");
        }
        for body in ["[247]", "247", "null", "\"x\""] {
            assert_eq!(parse(body), Err(Problem::NotAnObject), "{body}");
        }
        assert_eq!(
            parse(r#"{"credits":1,"cr\u0065dits":2}"#),
            Err(Problem::Duplicate)
        );
        assert_eq!(parse(r#"{"balance":1}"#), Err(Problem::NoInteger));
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
                Err(Problem::NotJson),
                "{}",
                body.escape_ascii()
            );
        }
        let deep = format!(
            "{{\"credits\": 1, \"a\": {}{}}}",
            "[".repeat(20_000),
            "]".repeat(20_000)
        );
        assert_eq!(parse(&deep), Err(Problem::NotJson));
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
                Err(Problem::OutOfRange) => prop_assert!(written.abs() >= 9.2e18),
                Err(problem) => prop_assert_eq!(problem, Problem::NoInteger),
            }
        }

        #[test]
        fn the_wait_until_a_date_is_read_in_every_form_and_rounded_up(
            now in 0i64..3_000_000_000,
            wait in 1i64..86_400,
            nanoseconds in prop_oneof![Just(0), 1u64..1_000_000_000],
        ) {
            let date = Timestamp::from_second(now + wait).unwrap();
            let now = SystemTime::UNIX_EPOCH + Duration::from_secs(now as u64);
            let a_little_earlier = now.checked_sub(Duration::from_nanos(nanoseconds)).unwrap();
            let expected = wait as u64 + u64::from(nanoseconds > 0);
            for form in [
                "%a, %d %b %Y %H:%M:%S GMT",
                "%A, %d-%b-%y %H:%M:%S GMT",
                "%a %b %e %H:%M:%S %Y",
            ] {
                let header = date.strftime(form).to_string();
                let read = retry_after(b"", Some(&header), a_little_earlier);
                prop_assert_eq!(read, Some(expected), "{}", header);
            }
        }

        #[test]
        fn the_wait_in_seconds_is_read_wherever_it_stands_and_rounded_up(
            seconds in 1u64..86_400,
            fraction in "|\\.0{1,3}|\\.[0-9]{0,3}[1-9]",
        ) {
            let text = format!("{seconds}{fraction}");
            let has_fraction = fraction.contains(|c: char| c.is_ascii_digit() && c != '0');
            let expected = Some(seconds + u64::from(has_fraction));
            prop_assert_eq!(retry_after(b"", Some(&text), SystemTime::UNIX_EPOCH), expected);
            for body in [
                format!(r#"{{"retry_after": {text}}}"#),
                format!(r#"{{"retry_after": "{text}"}}"#),
                format!(r#"{{"error": {{"message": "no", "retry_after": {text}}}}}"#),
                format!(r#"{{"detail": {{"retry_after": "{text}"}}, "retry_after": null}}"#),
            ] {
                let read = retry_after(body.as_bytes(), Some("7"), SystemTime::UNIX_EPOCH);
                prop_assert_eq!(read, expected, "{}", body);
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
