//! Bodies: a number that is accepted is the one that another parser reads, and no message is unsafe to print.

#![no_main]

use clado_credits::reply::{self, Reply};
use std::time::SystemTime;

use clado_credits_fuzz::assert_shown;
use hifijson::SliceLexer;
use hifijson::token::Lex;
use hifijson::value::{self, Value};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|body: &[u8]| {
    if let Ok(reply) = Reply::parse(body) {
        assert!(body.ends_with(reply.body.as_bytes()));
        if let Some(credits) = credits(reply.body.as_bytes()) {
            assert_eq!(i128::from(reply.credits), credits);
        }
    }
    if let Some(message) = reply::message(body) {
        assert_shown(message, 200);
    }
    let _ = reply::is_web_page(body);
    let header = str::from_utf8(body).ok();
    if let Some(seconds) = reply::retry_after(body, header, SystemTime::UNIX_EPOCH) {
        assert!((1..=86_400).contains(&seconds));
    }
});

/// The number as a parser reads it that keeps the text of numbers; `None` if it is too long for the arithmetic here.
/// Panics if there is none, more than one, or a fraction.
fn credits(body: &[u8]) -> Option<i128> {
    let value = SliceLexer::new(body)
        .exactly_one(Lex::ws_peek, value::parse_unbounded)
        .expect("a JSON value");
    let Value::Object(fields) = value else {
        panic!("not an object")
    };
    let mut found = fields.iter().filter(|(name, _)| *name == "credits");
    let (Some((_, Value::Number((text, _)))), None) = (found.next(), found.next()) else {
        panic!("not one number")
    };
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits: i128 = format!("{whole}{fraction}").parse().ok()?;
    if digits == 0 {
        return Some(0);
    }
    let exponent = exponent.parse::<i32>().ok()? - i32::try_from(fraction.len()).ok()?;
    let power = 10i128.checked_pow(exponent.unsigned_abs())?;
    if exponent >= 0 {
        return digits.checked_mul(power);
    }
    assert_eq!(digits % power, 0, "{text} is not an integer");
    Some(digits / power)
}
