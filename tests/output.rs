//! What a success prints, in each form.

use std::io::{Read, pipe};

use jiff::{Timestamp, ToSpan, ZonedDateTime, tz::TimeZone};

use crate::common::messages;
use crate::common::{KEY, api, ask, expect_balance, expect_json_error, run, std_command};

fn utc_now() -> ZonedDateTime {
    Timestamp::now().to_zoned_datetime(TimeZone::UTC)
}

/// Expects the table to show `shown` for a `last_topup_at` that is `json`.
#[track_caller]
fn expect_last_topup(json: &str, shown: &str) {
    let api = api(200, format!(r#"{{"credits": 5, "last_topup_at": {json}}}"#));
    let run = run(&mut ask(&api.url()));
    assert_eq!(run.stdout, messages::table(5, shown));
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""));
}

#[test]
fn the_table_shows_the_date_in_utc_and_its_age() {
    let then = utc_now().checked_sub(3.days().hours(1)).unwrap();
    let shown = then.strftime("%Y-%m-%d %H:%M UTC (3 days ago)").to_string();
    let in_karachi = then.with_time_zone(TimeZone::fixed(jiff::tz::offset(5)));
    let in_lima = then.with_time_zone(TimeZone::fixed(jiff::tz::offset(-5)));
    for sent in [
        then.strftime("\"%Y-%m-%dT%H:%M:%SZ\""),
        then.strftime("\"%Y-%m-%dT%H:%M:%S\""),
        then.strftime("\"%Y-%m-%d %H:%M:%S.123456\""),
        in_karachi.strftime("\"%Y-%m-%dT%H:%M:%S%:z\""),
        in_lima.strftime("\"%Y-%m-%dT%H:%M:%S.5%:z\""),
    ] {
        expect_last_topup(&sent.to_string(), &shown);
    }
}

#[test]
fn the_date_is_in_utc_whatever_the_time_zone() {
    let body = r#"{"credits": 5, "last_topup_at": "2031-01-15T10:30:00+02:00"}"#;
    let api = api(200, body);
    for zone in ["JST-9", "Asia/Tokyo", "America/New_York"] {
        let run = run(ask(&api.url()).env("TZ", zone));
        let expected = messages::table(5, "2031-01-15 08:30 UTC");
        assert_eq!(run.stdout, expected, "{zone}");
    }
}

#[test]
fn a_date_in_the_future_has_no_age() {
    let then = utc_now().checked_add(2.days()).unwrap();
    let sent = then.strftime("\"%Y-%m-%dT%H:%M:%SZ\"").to_string();
    expect_last_topup(&sent, &then.strftime("%Y-%m-%d %H:%M UTC").to_string());
}

#[test]
fn never_topped_up_is_never() {
    expect_last_topup("null", "never");
    let run = run(&mut ask(&api(200, r#"{"credits": 5}"#).url()));
    assert_eq!(run.stdout, messages::table(5, "never"));
}

#[test]
fn what_is_not_a_timestamp_is_shown_as_sent() {
    for (sent, shown) in [
        ("\"last tuesday\"", "last tuesday"),
        ("\"2024-13-45T99:99:99Z\"", "2024-13-45T99:99:99Z"),
        (
            "\"2024-01-15T10:30:00[America/New_York]\"",
            "2024-01-15T10:30:00[America/New_York]",
        ),
        (
            "\"2024-01-15T10:30:00-05:00[America/New_York]\"",
            "2024-01-15T10:30:00-05:00[America/New_York]",
        ),
        // In UTC this is in the year 10000.
        ("\"9999-12-31T23:59:59-23:00\"", "9999-12-31T23:59:59-23:00"),
        ("\"\"", "\"\""),
        ("\"  \"", "\"  \""),
        ("1705314600", "1705314600"),
        ("false", "false"),
        ("{\"a\": 1}", "{\"a\": 1}"),
    ] {
        expect_last_topup(sent, shown);
    }
    expect_last_topup(
        &format!("\"{}\"", "x".repeat(300)),
        &format!("{}…", "x".repeat(199)),
    );
}

#[test]
fn digits_that_the_key_and_the_timestamp_share_are_shown() {
    let then = utc_now().checked_sub(3.days().hours(1)).unwrap();
    let sent = then.strftime("%Y-%m-%dT%H:%M:%S.123456Z");
    let api = api(
        200,
        format!(r#"{{"credits": 123456, "last_topup_at": "{sent}"}}"#),
    );
    let run = run(ask(&api.url()).env("CLADO_API_KEY", "lk_test_123456"));
    let shown = then.strftime("%Y-%m-%d %H:%M UTC (3 days ago)");
    assert_eq!(run.stdout, messages::table(123_456, shown));
}

#[test]
fn the_number_is_not_grouped() {
    for number in [
        "1234567",
        "-1234567",
        "9223372036854775807",
        "-9223372036854775808",
    ] {
        let api = api(200, format!(r#"{{"credits": {number}}}"#));
        assert_eq!(
            run(ask(&api.url()).arg("--plain")).stdout,
            format!("{number}\n")
        );
        let table = messages::table(number, "never");
        assert_eq!(run(&mut ask(&api.url())).stdout, table);
    }
}

#[test]
fn json_is_the_body_byte_for_byte() {
    for body in [
        "{\"z\" :1.50,\t\"credits\":1.5e2,\r\n \"é\":\"\\u00e9\\/\",\"nested\":{\"credits\":[1E2]},\"last_topup_at\":null}",
        "{\r\n  \"last_topup_at\": \"2024-01-15T10:30:00Z\",\r\n  \"credits\": 247\r\n}",
        r#"{"credits":5,"x":1e400,"a":1,"a":2,"cr\u0065dit":"\ud83d\ude00"}"#,
    ] {
        let expected = format!("{body}\n");
        for (before, after) in [("", ""), (" \r\n\t", ""), ("", "\r\n\r\n"), ("\n ", " \n")] {
            let api = api(200, format!("{before}{body}{after}"));
            let run = run(ask(&api.url()).arg("--json"));
            assert_eq!(
                (run.code, &run.stdout, run.stderr.as_str()),
                (Some(0), &expected, "")
            );
        }
    }
}

#[test]
fn a_body_that_repeats_the_key_is_not_printed() {
    let message = "the reply repeats the API key, so it is not printed (HTTP 200)";
    for member in [
        format!(r#""k": "{KEY}""#),
        format!(r#""{KEY}": 1"#),
        format!(r#""a": [{{"b": "Bearer {KEY}"}}]"#),
        r#""k": "lk_test_not_a_real_\u006bey""#.to_owned(),
        r#""k": "\u006c\u006b\u005f\u0074est\u005fno\u0074\u005fa_r\u0065al\u005Fk\u0065y""#
            .to_owned(),
        r#""l\u006b_te\u0073t_no\u0074_a_re\u0061l_key": 1"#.to_owned(),
        // A second member of this name hides the first from most readers.
        r#""k": "lk_te\u0073t_no\u0074_a_re\u0061l_key", "k": 1"#.to_owned(),
        // Twelve characters of it.
        r#""k": "…_not_a_real_…""#.to_owned(),
        r#""k": "…_no\u0074_a_re\u0061l_…""#.to_owned(),
    ] {
        let api = api(200, format!(r#"{{"credits": 247, {member}}}"#));
        expect_balance(&mut ask(&api.url()));
        let table = run(&mut ask(&api.url()));
        assert_eq!(table.stdout, messages::table(247, "never"));
        let error = expect_json_error(&mut ask(&api.url()), 8, "unexpected_reply");
        assert_eq!(error["message"], message);
    }
}

#[test]
fn a_body_that_repeats_a_key_with_quotes_or_backslashes_is_not_printed() {
    for key in [r#"lk_test"quoted"#, r"lk_test\quoted", r"lk_te\st\or\be"] {
        let body = serde_json::json!({ "credits": 247, "k": key }).to_string();
        let api = api(200, body);
        let mut command = ask(&api.url());
        expect_json_error(command.env("CLADO_API_KEY", key), 8, "unexpected_reply");
    }
}

#[test]
fn quiet_prints_nothing() {
    let api = api(200, r#"{"credits": 5}"#);
    for flag in ["--quiet", "-q"] {
        let run = run(ask(&api.url()).args([flag, "--min", "5"]));
        assert_eq!(
            (run.code, run.stdout.as_str(), run.stderr.as_str()),
            (Some(0), "", "")
        );
    }
}

#[test]
fn quiet_and_verbose_together_print_only_the_lines_of_verbose() {
    let api = api(200, r#"{"credits": 5}"#);
    let run = run(ask(&api.url()).args(["-q", "-v"]));
    assert_eq!((run.code, run.stdout.as_str()), (Some(0), ""));
    for line in run.stderr.lines() {
        assert!(line.starts_with("* "), "{line}");
    }
}

#[test]
fn below_the_minimum_the_balance_comes_first_and_then_the_complaint() {
    let api = api(200, r#"{"credits": 5}"#);
    let complaint = format!("{}\n", messages::below_minimum(5, 6));
    for (form, printed) in [
        ("--color=never", PLAIN),
        ("--plain", "5\n"),
        ("--quiet", ""),
    ] {
        let (mut reader, writer) = pipe().unwrap();
        let mut command = std_command(ask(&api.url()).args(["--min", "6", form]));
        let mut child = command
            .stdout(writer.try_clone().unwrap())
            .stderr(writer)
            .spawn()
            .unwrap();
        // It holds the writing ends.
        drop(command);
        let mut shown = String::new();
        reader.read_to_string(&mut shown).unwrap();
        assert_eq!(shown, format!("{printed}{complaint}"));
        assert_eq!(child.wait().unwrap().code(), Some(1));
    }
}

const PLAIN: &str = "Credits      5\nLast top-up  never\n";
const BOLD: &str = "Credits      \u{1b}[1m5\u{1b}[0m\nLast top-up  never\n";
const RED: &str = "Credits      \u{1b}[31m5\u{1b}[0m\nLast top-up  never\n";

#[test]
fn away_from_a_terminal_colour_has_to_be_asked_for() {
    let api = api(200, r#"{"credits": 5}"#);
    let table = |flags: &[&str], variables: &[(&str, &str)]| {
        run(ask(&api.url()).args(flags).envs(variables.iter().copied())).stdout
    };
    assert_eq!(table(&[], &[("TERM", "xterm")]), PLAIN);
    assert_eq!(
        table(&[], &[("CLICOLOR_FORCE", "1"), ("FORCE_COLOR", "1")]),
        PLAIN
    );
    assert_eq!(table(&["--color", "auto"], &[]), PLAIN);
    assert_eq!(table(&["--color", "never"], &[]), PLAIN);
    assert_eq!(table(&["--color", "always"], &[]), BOLD);
    assert_eq!(
        table(&["--color=always"], &[("NO_COLOR", "1"), ("TERM", "dumb")]),
        BOLD
    );
    assert_eq!(table(&["--color", "always", "--min", "5"], &[]), BOLD);
    assert_eq!(table(&["--color", "always", "--min", "6"], &[]), RED);
}

#[test]
fn a_balance_of_0_or_less_is_red() {
    for credits in ["0", "-5"] {
        let api = api(200, format!(r#"{{"credits": {credits}}}"#));
        let table = messages::table(format!("\u{1b}[31m{credits}\u{1b}[0m"), "never");
        assert_eq!(
            run(ask(&api.url()).args(["--color", "always"])).stdout,
            table
        );
    }
}

#[test]
fn the_age_is_dim() {
    let then = utc_now().checked_sub(3.days().hours(1)).unwrap();
    let sent = then.strftime("%Y-%m-%dT%H:%M:%SZ");
    let api = api(
        200,
        format!(r#"{{"credits": 5, "last_topup_at": "{sent}"}}"#),
    );
    let run = run(ask(&api.url()).args(["--color", "always"]));
    let date = then.strftime("%Y-%m-%d %H:%M UTC \u{1b}[2m(3 days ago)\u{1b}[0m");
    assert_eq!(run.stdout, messages::table("\u{1b}[1m5\u{1b}[0m", date));
}

#[test]
fn only_the_table_is_ever_coloured() {
    let api = api(200, r#"{"credits": 5}"#);
    for form in ["--json", "--plain", "--quiet"] {
        let mut command = ask(&api.url());
        command
            .args(["--color", "always", "--min", "6", form])
            .env("CLICOLOR_FORCE", "1");
        let run = run(&mut command);
        assert!(
            !run.stdout.contains('\u{1b}') && !run.stderr.contains('\u{1b}'),
            "{run:?}"
        );
    }
}

#[cfg(target_os = "linux")]
#[test]
fn on_a_terminal_the_table_is_coloured_unless_the_environment_or_the_flag_forbids_it() {
    use crate::common::{has_program, on_terminal};
    if !has_program("script") {
        return;
    }
    let api = api(200, r#"{"credits": 5}"#);
    for (flags, variables, expected) in [
        ("", &[("TERM", "xterm")][..], BOLD),
        // Standard output decides, wherever standard error goes to.
        ("2>/dev/null", &[("TERM", "xterm")], BOLD),
        ("| cat", &[("TERM", "xterm")], PLAIN),
        ("", &[("TERM", "xterm"), ("NO_COLOR", "")], BOLD),
        ("", &[("TERM", "xterm"), ("NO_COLOR", "1")], PLAIN),
        ("", &[("TERM", "dumb")], PLAIN),
        ("--color never", &[("TERM", "xterm")], PLAIN),
        (
            "--color always",
            &[("TERM", "dumb"), ("NO_COLOR", "1")],
            BOLD,
        ),
    ] {
        let run = run(on_terminal(&api.url(), flags).envs(variables.iter().copied()));
        assert_eq!(
            run.stdout,
            expected.replace('\n', "\r\n"),
            "{flags} {variables:?}"
        );
    }
}
