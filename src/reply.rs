//! Reads what the service sends: the balance from a body, its own words from an error body, how long to wait.
//!
//! Pure: bytes in, values out. Which status means what is decided in `api.rs`.

use std::fmt;
use std::time::SystemTime;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

/// What a good reply says.
#[derive(Debug, PartialEq, Eq)]
pub struct Balance {
    /// The number of credits left; may be negative.
    pub credits: i64,
    /// `last_topup_at` as sent; `None` when credits were never bought.
    pub last_topup: Option<String>,
}

/// Why a body holds no balance.
#[derive(Debug, PartialEq, Eq)]
pub enum Problem {
    /// Not JSON, or not UTF-8, or nested deeper than any reader of it would accept.
    NotJson,
    /// JSON, but no object.
    NotAnObject,
    /// The field is missing, null, a string, a fraction or anything else that is no integer.
    NoInteger,
    /// An integer that does not fit 64 bits.
    OutOfRange,
    /// The field is there more than once, so which one counts is anybody's guess.
    Duplicate,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Problem::NotJson => "the reply is not JSON",
            Problem::NotAnObject => "the reply is not a JSON object",
            Problem::NoInteger => "the reply has no integer \"credits\" field",
            Problem::OutOfRange => "the reply's \"credits\" field is out of range",
            Problem::Duplicate => "the reply has more than one \"credits\" field",
        })
    }
}

impl Balance {
    /// Reads the body of a 200.
    ///
    /// Numbers are read from their digits, never through a float: `9007199254740993.0` is that very number.
    /// Whatever is wrong with `last_topup_at` is no error; it is kept as sent.
    ///
    /// # Errors
    /// When the body is not a JSON object with exactly one integer `credits`.
    pub fn parse(body: &[u8]) -> Result<Balance, Problem> {
        let Members(members) = serde_json::from_slice(body).map_err(|error| match error.classify() {
            serde_json::error::Category::Data => Problem::NotAnObject,
            _ => Problem::NotJson,
        })?;
        let mut credits = members.iter().filter(|(name, _)| name == "credits");
        let balance = match (credits.next(), credits.next()) {
            (Some((_, number)), None) => integer(number.get())?,
            (None, _) => return Err(Problem::NoInteger),
            (Some(_), Some(_)) => return Err(Problem::Duplicate),
        };
        // The members were skipped over rather than read; a reader of `--json` will read them all.
        serde_json::from_slice::<Value>(body).map_err(|_| Problem::NotJson)?;
        let last_topup = members.iter().rfind(|(name, _)| name == "last_topup_at");
        Ok(Balance {
            credits: balance,
            last_topup: last_topup.map(|(_, value)| value.get()).filter(|&raw| raw != "null").map(|raw| {
                serde_json::from_str(raw)
                    .ok()
                    .filter(|text: &String| !text.is_empty())
                    .unwrap_or(raw.to_owned())
            }),
        })
    }
}

/// The members of a JSON object in order, duplicates included, each value as it was written.
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = Members<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Collect)
    }
}

/// The integer that a JSON number stands for, as JSON Schema means it: `150.0` and `1.5e2` are integers too.
fn integer(literal: &str) -> Result<i64, Problem> {
    if !literal.starts_with(|c: char| c == '-' || c.is_ascii_digit()) {
        return Err(Problem::NoInteger);
    }
    let (mantissa, exponent) = literal.split_once(['e', 'E']).unwrap_or((literal, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let fraction = fraction.trim_end_matches('0');
    let mut digits = format!("{whole}{fraction}");
    if digits.bytes().all(|b| matches!(b, b'0' | b'-')) {
        return Ok(0);
    }
    // An exponent that does not fit is as good as infinite: its sign alone decides.
    let exponent: i64 =
        exponent.parse().unwrap_or(if exponent.starts_with('-') { i64::MIN } else { i64::MAX });
    let zeros = exponent.saturating_sub_unsigned(fraction.len() as u64);
    match usize::try_from(zeros) {
        // 64 bits hold nineteen digits.
        Ok(zeros) if zeros > 19 => return Err(Problem::OutOfRange),
        Ok(zeros) => digits.extend(std::iter::repeat_n('0', zeros)),
        Err(_) => {
            let drop = usize::try_from(zeros.unsigned_abs()).unwrap_or(usize::MAX);
            let kept = digits.trim_end_matches('0').len();
            if digits.len() - kept < drop {
                return Err(Problem::NoInteger);
            }
            digits.truncate(digits.len() - drop);
        }
    }
    digits.parse().map_err(|_| Problem::OutOfRange)
}

/// The service's own words in an error body, as sent; `None` where there are none or they are a web page.
///
/// Knows the shapes seen in the wild: `{"detail": "…"}`, `{"detail": [{"msg": "…"}]}`, `{"error": "…"}`,
/// `{"error": {"message": "…"}}`, `{"message": "…"}`, and plain text.
pub fn words(body: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(body).ok()?.trim_start_matches('\u{feff}').trim();
    let words = match serde_json::from_str::<Value>(text) {
        Ok(Value::String(words)) => Some(words),
        Ok(value) => ["detail", "error", "message"].iter().find_map(|name| spoken(value.get(name)?)),
        Err(_) if text.starts_with(['<', '{', '[']) => None,
        Err(_) => Some(text.to_owned()),
    };
    words.map(|words| words.trim().to_owned()).filter(|words| !words.is_empty())
}

fn spoken(value: &Value) -> Option<String> {
    match value {
        Value::String(words) => Some(words.clone()),
        Value::Array(items) => items.iter().find_map(spoken),
        Value::Object(fields) => ["msg", "message", "detail", "error"]
            .iter()
            .find_map(|name| fields.get(*name)?.as_str().map(str::to_owned)),
        _ => None,
    }
}

/// Seconds to wait before the next try: the body's `retry_after`, else the `Retry-After` header, which holds
/// seconds or a date (RFC 9110, section 10.2.3).
pub fn retry_after(body: &[u8], header: Option<&str>, now: SystemTime) -> Option<u64> {
    let body: Option<Value> = serde_json::from_slice(body).ok();
    let field = body.as_ref().and_then(|body| body.get("retry_after"));
    let seconds = |text: &str| -> Option<u64> {
        // Only digits: a sign or an exponent is no delay anybody sends.
        let whole = text.trim().split('.').next()?;
        whole.bytes().all(|b| b.is_ascii_digit()).then(|| whole.parse().ok())?
    };
    field
        .and_then(|field| match field {
            Value::Number(number) => seconds(&number.to_string()),
            Value::String(text) => seconds(text),
            _ => None,
        })
        .or_else(|| seconds(header?))
        .or_else(|| {
            let date = jiff::fmt::rfc2822::parse(header?).ok()?.timestamp();
            let now = jiff::Timestamp::try_from(now).ok()?;
            u64::try_from(date.as_second() - now.as_second()).ok()
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::{Duration, UNIX_EPOCH};

    fn credits(literal: &str) -> Result<i64, Problem> {
        Balance::parse(format!(r#"{{"credits": {literal}}}"#).as_bytes()).map(|balance| balance.credits)
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
    fn whatever_is_no_integer_is_refused_by_name() {
        for literal in
            ["1.5", "1e-1", "1e-99999999999999999999", "-0.1", "null", "true", "\"247\"", "[1]", "{}"]
        {
            assert_eq!(credits(literal), Err(Problem::NoInteger), "{literal}");
        }
        for literal in
            ["9223372036854775808", "-9223372036854775809", "1e19", "1e999", "1e99999999999999999999"]
        {
            assert_eq!(credits(literal), Err(Problem::OutOfRange), "{literal}");
        }
        for body in
            ["", "{", "{\"credits\": 24", "{\"credits\": 247} x", "{\"credits\": 0247}", "{credits: 1}"]
        {
            assert_eq!(Balance::parse(body.as_bytes()), Err(Problem::NotJson), "{body}");
        }
        for body in ["[247]", "247", "null", "\"x\""] {
            assert_eq!(Balance::parse(body.as_bytes()), Err(Problem::NotAnObject), "{body}");
        }
        assert_eq!(Balance::parse(br#"{"credits":1,"cr\u0065dits":2}"#), Err(Problem::Duplicate));
        assert_eq!(Balance::parse(br#"{"balance":1}"#), Err(Problem::NoInteger));
    }

    #[test]
    fn members_that_are_not_read_are_checked_all_the_same() {
        for member in [&b"\"a\": \"\xff\""[..], b"\"\xff\": 1", b"\"a\": \"\\ud800\""] {
            let body = [b"{\"credits\": 1, ".as_slice(), member, b"}"].concat();
            assert_eq!(Balance::parse(&body), Err(Problem::NotJson), "{}", body.escape_ascii());
        }
        let deep = format!("{{\"credits\": 1, \"a\": {}{}}}", "[".repeat(20_000), "]".repeat(20_000));
        assert_eq!(Balance::parse(deep.as_bytes()), Err(Problem::NotJson));
    }

    #[test]
    fn the_last_topup_is_kept_as_sent() {
        for (member, kept) in [
            (r#""x": 1"#, None),
            (r#""last_topup_at": null"#, None),
            (r#""last_topup_at": "2024-01-15T10:30:00Z""#, Some("2024-01-15T10:30:00Z")),
            (r#""last_topup_at": """#, Some("\"\"")),
            (r#""last_topup_at": 17053"#, Some("17053")),
            (r#""last_topup_at": [1, 2]"#, Some("[1, 2]")),
        ] {
            let balance = Balance::parse(format!(r#"{{"credits": 1, {member}}}"#).as_bytes()).unwrap();
            assert_eq!(balance.last_topup.as_deref(), kept, "{member}");
        }
    }

    #[test]
    fn the_words_are_found_in_every_shape() {
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
            (r#"{"code": 1}"#, None),
            (r#"{"detail": ""}"#, None),
            (r#"{"detail": "cut sh"#, None),
            ("\u{feff}  <!DOCTYPE html><p>no", None),
            ("", None),
            ("[]", None),
        ] {
            assert_eq!(words(body.as_bytes()).as_deref(), found, "{body}");
        }
        assert_eq!(words(b"\xff\xfe"), None);
    }

    #[test]
    fn the_wait_is_read_from_body_or_header() {
        let now = UNIX_EPOCH + Duration::from_secs(784_111_717);
        let date = Some("Sun, 06 Nov 1994 08:49:37 GMT");
        for (body, header, seconds) in [
            (r#"{"retry_after": 60}"#, Some("5"), Some(60)),
            (r#"{"retry_after": "60"}"#, None, Some(60)),
            (r#"{"retry_after": 1.5}"#, None, Some(1)),
            (r#"{"retry_after": -1}"#, Some(" 5 "), Some(5)),
            ("", date, Some(60)),
            ("", Some("soon"), None),
            ("", Some(""), None),
            ("", None, None),
        ] {
            assert_eq!(retry_after(body.as_bytes(), header, now), seconds, "{body} {header:?}");
        }
        assert_eq!(retry_after(b"", date, now + Duration::from_secs(3600)), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]
        #[test]
        fn an_integer_is_read_from_its_digits_however_it_is_written(value: i64, zeros in 0usize..5, shift in 0usize..5) {
            prop_assert_eq!(credits(&format!("{value}.{}", "0".repeat(zeros + 1))), Ok(value));
            prop_assert_eq!(credits(&format!("{value}{}e-{shift}", "0".repeat(shift))), Ok(value));
        }

        #[test]
        fn what_is_accepted_is_the_number_that_was_written(
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
        fn no_bytes_panic_the_readers(
            bytes in proptest::collection::vec(any::<u8>(), 0..200),
            text in "\\{\"(detail|error|message|retry_after)\": ?[\\[\\{\"0-9].{0,30}",
            header in ".{0,40}",
        ) {
            for body in [&bytes, text.as_bytes()] {
                let _ = (Balance::parse(body), words(body), retry_after(body, Some(&header), UNIX_EPOCH));
            }
        }
    }
}
