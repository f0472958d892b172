//! Replies: which bodies hold a balance, and what is shown of a server's own text.

use std::io::{Read, Write};
use std::thread;

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;

use crate::common::messages;
use crate::common::server::Server;
use crate::common::{
    BALANCE, KEY, LONGEST_BODY, Run, api, ask, balance_of_length, expect_balance, expect_error,
    expect_json_error, run,
};

/// Expects exit code 8 for a 200 with this body, and a hint at the URL, since the tests do not ask the default one.
#[track_caller]
fn expect_unreadable(body: impl AsRef<[u8]>, message: &str) {
    let api = api(200, body);
    let hint = messages::check_url(&api.url());
    let message = match message.split_once(": ") {
        Some((problem, text)) => format!("{problem} (HTTP 200): {text}"),
        None => format!("{message} (HTTP 200)"),
    };
    let message = message.replace("HOST", &api.host_with_port());
    let error = expect_error(
        &mut ask(&api.url()),
        8,
        "unexpected_reply",
        &message,
        Some(&hint),
    );
    assert_eq!(error["status"], 200);
}

/// Expects this after the status in the error for a reply with the status 500 and this body.
#[track_caller]
fn expect_message(body: impl AsRef<[u8]>, message: &str) {
    let api = api(500, body);
    let message = messages::service_failed(500) + message;
    let mut command = ask(&api.url());
    let error = expect_error(
        &mut command,
        5,
        "server_error",
        &message,
        Some(messages::TRY_LATER),
    );
    assert_eq!(error["status"], 500);
}

#[test]
fn every_integer_is_read_exactly() {
    for (sent, number) in [
        ("0", "0"),
        ("-0", "0"),
        ("-17", "-17"),
        ("150.0", "150"),
        ("1.5e2", "150"),
        ("15000E-2", "150"),
        ("9007199254740992", "9007199254740992"),
        ("9007199254740993", "9007199254740993"),
        ("9007199254740993.0", "9007199254740993"),
        ("9223372036854775807", "9223372036854775807"),
        ("-9223372036854775808", "-9223372036854775808"),
    ] {
        let api = api(200, format!(r#"{{"credits": {sent}}}"#));
        let run = run(ask(&api.url()).arg("--plain"));
        assert_eq!(
            (run.code, run.stdout, run.stderr),
            (Some(0), format!("{number}\n"), String::new())
        );
    }
}

#[test]
fn a_balance_that_is_not_an_integer_in_range_is_refused() {
    for credits in [
        "\"247\"",
        "\"\"",
        "1.5",
        "1e-1",
        "-0.5",
        "null",
        "true",
        "false",
        "[247]",
        "[]",
        "{}",
        r#"{"credits": 1}"#,
    ] {
        let body = format!(r#"{{"credits": {credits}}}"#);
        expect_unreadable(body, "the reply has no integer \"credits\" field");
    }
    for credits in [
        "9223372036854775808",
        "-9223372036854775809",
        "1e19",
        "1e400",
        "-1e400",
    ] {
        let body = format!(r#"{{"credits": {credits}}}"#);
        expect_unreadable(body, "the \"credits\" field of the reply is out of range");
    }
}

#[test]
fn a_body_without_a_balance_is_refused_with_the_reason() {
    let no_integer = messages::NO_BALANCE;
    let ambiguous = "the reply has more than one \"credits\" or \"last_topup_at\" field";
    let not_an_object = "the reply is not a JSON object";
    let not_json = messages::NOT_JSON;
    let text_instead = format!("{not_json}: Welcome to the hotel");
    let web_page = &messages::web_page_instead_of_json("HOST");
    for (body, message) in [
        (r#"{"balance": 247}"#, no_integer),
        (r#"{"Credits": 247}"#, no_integer),
        (r#"{"data": {"credits": 247}}"#, no_integer),
        ("{}", no_integer),
        (r#"{"credits": 1, "credits": 2}"#, ambiguous),
        (r#"{"credits": 1, "credits": 1}"#, ambiguous),
        (r#"{"credits": 1, "cr\u0065dits": 2}"#, ambiguous),
        (r#"[{"credits": 1}]"#, not_an_object),
        ("247", not_an_object),
        ("null", not_an_object),
        ("", "the reply is empty"),
        (" \r\n", "the reply is empty"),
        ("\u{feff}", "the reply is empty"),
        (r#"{"credits": 247"#, not_json),
        (r#"{"credits": 247} {"credits": 248}"#, not_json),
        (r#"{"credits": 0247}"#, not_json),
        (r#"{"credits": +247}"#, not_json),
        (r#"{"credits": NaN}"#, not_json),
        ("{'credits': 247}", not_json),
        (r#"{"credits": 247,}"#, not_json),
        ("Welcome to the hotel", &text_instead),
        ("<!DOCTYPE html><p>Welcome to the hotel", web_page),
        ("\n <p>Welcome to the hotel", web_page),
        ("<!-- hotel --><svg/>", web_page),
        ("\u{feff}<html>", web_page),
    ] {
        expect_unreadable(body, message);
    }
}

#[test]
fn bytes_that_are_not_utf8_are_refused_wherever_they_stand() {
    for body in [
        &b"{\"credits\": 1, \"note\": \"\xff\"}"[..],
        b"{\"credits\": 1, \"\xff\": 1}",
        b"\xff\xfe{\x00",
    ] {
        expect_unreadable(body, messages::NOT_JSON);
    }
}

#[test]
fn what_stands_beside_the_balance_does_not_matter() {
    for body in [
        r#"{"credits": 247, "x": 1e400}"#,
        r#"{"credits": 247, "x": -1e-400, "y": 123456789012345678901234567890}"#,
        r#"{"x": {"credits": 1}, "credits": 247, "Credits": 2}"#,
        r#"{"credits": 247, "detail": "a note", "error": null}"#,
    ] {
        expect_balance(&mut ask(&api(200, body).url()));
    }
}

#[test]
fn the_message_of_an_error_is_found_in_every_shape() {
    for body in [
        r#"{"detail": "no luck"}"#,
        r#"{"detail": [{"loc": ["header"], "msg": "no luck", "type": "x"}]}"#,
        r#"{"detail": {"msg": "no luck"}}"#,
        r#"{"error": "no luck"}"#,
        r#"{"error": {"code": 7, "message": "no luck"}}"#,
        r#"{"message": "no luck"}"#,
        r#"{"detail": null, "error": "", "message": " no luck\n"}"#,
        r#""no luck""#,
        "no luck",
        "\u{feff}\r\nno luck\r\n",
    ] {
        expect_message(body, ": no luck");
    }
    for body in [
        r#"{"status": "no luck"}"#,
        r#"{"detail": 7}"#,
        r#"{"detail": []}"#,
        "[]",
        "247",
        r#"{"detail": "no lu"#,
        "[\"no lu",
        " \n",
        "",
    ] {
        expect_message(body, "");
    }
}

#[test]
fn a_web_page_is_never_shown() {
    for page in [
        "<html><body>no luck</body></html>",
        "\n\n <!doctype html>no luck",
        "<p>no luck",
        "<svg><text>no luck</text></svg>",
        "<!-- no luck -->",
        "<?xml version=\"1.0\"?><error>no luck</error>",
        "\u{feff}<title>no luck</title>",
        "\u{feff}\n<H1>no luck</H1>",
        "no luck: <!DOCTYPE HTML><p>no luck",
    ] {
        expect_message(page, messages::WITH_A_WEB_PAGE);
    }
    for json in [
        r#"{"detail": "<html><body>no luck</body></html>"}"#,
        r#"{"detail": "the gateway sent <HTML><body>no luck</body></HTML>"}"#,
    ] {
        expect_message(json, "");
    }
}

#[test]
fn at_most_200_characters_of_a_message_are_shown() {
    let x = |length| "x".repeat(length);
    expect_message(
        format!(r#"{{"detail": "{}"}}"#, x(200)),
        &format!(": {}", x(200)),
    );
    expect_message(
        format!(r#"{{"detail": "{}"}}"#, x(201)),
        &format!(": {}…", x(199)),
    );
    expect_message(x(300_000), &format!(": {}…", x(199)));
    expect_message("ü".repeat(201), &format!(": {}…", "ü".repeat(199)));
    // What escapes add counts too.
    expect_message(
        "\u{1b}".repeat(40),
        &format!(": {}\\…", r"\u{1b}".repeat(33)),
    );
}

#[test]
fn binary_junk_is_not_shown() {
    expect_message(
        (0..300_000u32)
            .map(|n| (n * 7 % 256) as u8)
            .collect::<Vec<u8>>(),
        "",
    );
}

#[test]
fn text_in_any_script_stays_readable() {
    for text in [
        "คีย์ไม่ถูกต้อง ข้อผิดพลาด",
        "कुंजी अमान्य है",
        "cle\u{301} refuse\u{301}e",
        "❤\u{fe0f} 👩\u{200d}💻 1\u{fe0f}\u{20e3}",
        "می\u{200c}خواهم",
        "مفتاح غير صالح",
        "キーが無効です",
        r#"it's "plain" \ text"#,
    ] {
        expect_message(
            serde_json::json!({ "detail": text }).to_string(),
            &format!(": {text}"),
        );
        let body = serde_json::json!({ "credits": 5, "last_topup_at": text }).to_string();
        let run = run(&mut ask(&api(200, body).url()));
        assert_eq!(run.stdout, messages::table(5, text));
    }
}

/// What could fool a terminal, a log viewer or a reader: ESC, C1, bidirectional marks, line ends, zero width.
const HOSTILE: &str =
    "a\u{1b}[2J\u{7}\u{9b}31m\u{202e}\u{2066}\u{2028}\u{200b}\u{feff}\u{7f}\0\r\nb";
const HARMLESS: &str =
    r"a\u{1b}[2J\u{7}\u{9b}31m\u{202e}\u{2066}\u{2028}\u{200b}\u{feff}\u{7f}\u{0}\r\nb";

#[test]
fn hostile_characters_are_escaped() {
    let json = serde_json::to_string(HOSTILE).unwrap();
    let shown = format!(": {HARMLESS}");
    expect_message(HOSTILE, &shown);
    expect_message(&json, &shown);
    expect_message(format!(r#"{{"detail": {json}}}"#), &shown);
    expect_message(format!(r#"{{"detail": [{{"msg": {json}}}]}}"#), &shown);
    expect_message(format!(r#"{{"error": {{"message": {json}}}}}"#), &shown);
    let date = api(200, format!(r#"{{"credits": 5, "last_topup_at": {json}}}"#));
    let run = run(&mut ask(&date.url()));
    assert_eq!(run.stdout, messages::table(5, HARMLESS));
}

#[test]
fn an_error_reply_that_is_cut_short_still_counts_by_its_status() {
    let server = Server::sending(
        "HTTP/1.1 401 Unauthorized\r\nContent-Length: 1000\r\n\r\n{\"detail\": \"Inv",
    );
    let hint = messages::key_came_from("CLADO_API_KEY");
    let message = messages::key_rejected(401);
    let mut command = ask(&server.url());
    expect_error(&mut command, 3, "unauthorized", &message, Some(&hint));
}

#[test]
fn a_redirect_is_reported_and_not_followed() {
    let elsewhere = Server::silent();
    for status in [301, 302, 303, 307, 308] {
        let mut server = mockito::Server::new();
        let target = format!("{}/next", elsewhere.url());
        let mock = server
            .mock("GET", "/api/credits")
            .with_status(status.into())
            .with_header("location", &target);
        mock.create();
        let host = server.host_with_port();
        let message = messages::redirected(host, &target, status);
        let hint = messages::check_url(&server.url());
        let mut command = ask(&server.url());
        expect_error(&mut command, 8, "unexpected_reply", &message, Some(&hint));
    }
    elsewhere.expect_no_request();
}

#[test]
fn the_target_of_a_redirect_is_shown_without_the_key_and_escaped() {
    let location = format!("https://x.example/?k={KEY}\u{202e}");
    let server = Server::sending(format!(
        "HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n"
    ));
    let shown = r"https://x.example/?k=(redacted)\u{202e}";
    let message = messages::redirected(server.address, shown, 302);
    let hint = messages::check_url(&server.url());
    let mut command = ask(&server.url());
    expect_error(&mut command, 8, "unexpected_reply", &message, Some(&hint));
}

#[test]
fn the_wait_after_a_429_is_shown_and_not_slept() {
    for (header, body, wait) in [
        ("", r#"{"error": "slow down", "retry_after": 60}"#, Some(60)),
        ("", r#"{"error": "slow down", "retry_after": 1}"#, Some(1)),
        (
            "",
            r#"{"error": "slow down", "retry_after": "60"}"#,
            Some(60),
        ),
        ("7", r#"{"error": "slow down"}"#, Some(7)),
        (
            "7",
            r#"{"error": "slow down", "retry_after": 60}"#,
            Some(60),
        ),
        (
            "7",
            r#"{"error": "slow down", "retry_after": null}"#,
            Some(7),
        ),
        ("", r#"{"error": "slow down", "retry_after": 0}"#, None),
        ("", r#"{"error": "slow down", "retry_after": -5}"#, None),
        (
            "",
            r#"{"error": "slow down", "retry_after": 2300850892}"#,
            None,
        ),
        ("0", r#"{"error": "slow down"}"#, None),
        (
            "soon",
            r#"{"error": "slow down", "retry_after": null}"#,
            None,
        ),
        (
            "Fri, 01 Jan 1999 00:00:00 GMT",
            r#"{"error": "slow down"}"#,
            None,
        ),
        (
            "Thu, 01 Jan 2099 00:00:00 GMT",
            r#"{"error": "slow down"}"#,
            None,
        ),
        ("1.5", r#"{"error": "slow down"}"#, Some(2)),
        ("", r#"{"error": "slow down", "retry_after": 0.4}"#, Some(1)),
    ] {
        let mut server = mockito::Server::new();
        let mock = server
            .mock("GET", "/api/credits")
            .with_status(429)
            .with_body(body);
        // expect_error runs twice; a retry would be a third request.
        let mock = mock.with_header("retry-after", header).expect(2).create();
        let wait_text = match wait {
            Some(1) => "; try again in 1 second".to_owned(),
            Some(seconds) => format!("; try again in {seconds} seconds"),
            None => String::new(),
        };
        let message = format!("{}: slow down{wait_text}", messages::RATE_LIMITED);
        let error = expect_error(&mut ask(&server.url()), 6, "rate_limited", &message, None);
        assert_eq!(error["retry_after"].as_u64(), wait, "{header} {body}");
        mock.assert();
    }
}

#[test]
fn a_compressed_reply_is_refused_with_its_encoding() {
    for (header, encoding) in [
        ("Content-Encoding: gzip", "gzip"),
        ("Content-Encoding: identity, br", "identity, br"),
        ("Transfer-Encoding: gzip, chunked", "gzip, chunked"),
    ] {
        let head = format!("HTTP/1.1 200 OK\r\n{header}\r\n\r\n");
        let server = Server::sending([head.as_bytes(), b"\x1f\x8b\x08"].concat());
        let message =
            format!("the reply is compressed ({encoding}), which was not asked for (HTTP 200)");
        expect_error(
            &mut ask(&server.url()),
            8,
            "unexpected_reply",
            &message,
            None,
        );
    }
}

#[test]
fn a_balance_of_64_kib_is_read_and_a_larger_one_is_refused() {
    expect_balance(&mut ask(&api(200, balance_of_length(LONGEST_BODY)).url()));
    let larger = api(200, balance_of_length(LONGEST_BODY + 1));
    let message = messages::too_large(larger.host_with_port()) + " (HTTP 200)";
    let hint = messages::check_url(&larger.url());
    let mut command = ask(&larger.url());
    expect_error(&mut command, 8, "unexpected_reply", &message, Some(&hint));
}

#[test]
fn an_error_body_is_read_to_64_kib_and_no_further() {
    let frame = r#"{"pad": "", "detail": "no luck"}"#.len();
    let body = |length| {
        format!(
            r#"{{"pad": "{}", "detail": "no luck"}}"#,
            "x".repeat(length - frame)
        )
    };
    expect_message(body(LONGEST_BODY), ": no luck");
    expect_message(body(LONGEST_BODY + 1), "");
}

#[test]
fn an_error_body_without_an_end_is_not_read_to_its_end() {
    let server = Server::replying(|stream| {
        let _ = stream.write_all(b"HTTP/1.1 500 Internal Server Error\r\n\r\n");
        while stream.write_all(&[b'x'; 1024]).is_ok() {}
    });
    let failed = messages::service_failed(500);
    let message = format!("{failed}: {}…", "x".repeat(199));
    let mut command = ask(&server.url());
    expect_error(
        &mut command,
        5,
        "server_error",
        &message,
        Some(messages::TRY_LATER),
    );
}

#[test]
fn the_server_of_a_reply_is_named_when_it_is_not_the_default_one() {
    for (status, body) in [
        (401, r#"{"detail": "Invalid API key"}"#),
        (403, ""),
        (429, r#"{"error": "slow down", "retry_after": 60}"#),
        (500, ""),
        (502, "<html>"),
        (503, "out of order"),
        (418, ""),
        (200, r#"{"error": "Key suspended"}"#),
    ] {
        let api = api(status, body);
        let place = messages::request_went_to(&api.url());
        let stderr = run(&mut ask(&api.url())).stderr;
        assert!(stderr.lines().next().unwrap().ends_with(&place), "{stderr}");
        assert_eq!(stderr.matches(&api.url()).count(), 1, "{stderr}");
        let place = place.replace("CLADO_API_URL", "--api-url");
        let stderr = run(ask("").args(["--api-url", &api.url()])).stderr;
        assert!(stderr.lines().next().unwrap().ends_with(&place), "{stderr}");
    }
}

#[test]
fn a_full_stop_of_the_server_does_not_stand_before_what_is_added() {
    for (sent, shown) in [
        ("Slow down.", "Slow down; "),
        ("Slow down!", "Slow down!; "),
        ("Wait...", "Wait...; "),
    ] {
        let api = api(429, format!(r#"{{"error": "{sent}", "retry_after": 60}}"#));
        let stderr = run(&mut ask(&api.url())).stderr;
        let expected = format!(
            "error: {}: {shown}try again in 60 seconds{}\n",
            messages::RATE_LIMITED,
            messages::request_went_to(&api.url())
        );
        assert_eq!(stderr, expected);
    }
}

#[test]
fn a_byte_order_mark_before_the_balance_is_skipped() {
    let api = api(200, format!("\u{feff}{BALANCE}"));
    expect_balance(&mut ask(&api.url()));
    let run = run(ask(&api.url()).arg("--json"));
    assert_eq!((run.code, run.stdout), (Some(0), format!("{BALANCE}\n")));
}

#[test]
fn a_content_encoding_that_is_not_true_does_no_harm() {
    for coding in ["UTF-8", "none", "gzip", "binary", "identity, br"] {
        let server = Server::sending(format!(
            "HTTP/1.1 200 OK\r\nContent-Encoding: {coding}\r\nContent-Length: {}\r\n\r\n{BALANCE}",
            BALANCE.len()
        ));
        expect_balance(&mut ask(&server.url()));
    }
}

#[test]
fn text_is_not_called_compressed_whatever_its_content_encoding_says() {
    for header in ["UTF-8", "gzip", " "] {
        let server = Server::sending(format!(
            "HTTP/1.1 200 OK\r\nContent-Encoding: {header}\r\nContent-Length: 12\r\n\r\nout of order"
        ));
        let hint = messages::check_url(&server.url());
        let mut command = ask(&server.url());
        let message = format!("{} (HTTP 200): out of order", messages::NOT_JSON);
        expect_error(&mut command, 8, "unexpected_reply", &message, Some(&hint));
    }
    // A blank header says nothing about a body that is not text.
    let server = Server::sending(
        "HTTP/1.1 200 OK\r\nContent-Encoding:  \r\nContent-Length: 2\r\n\r\n\x1f\0",
    );
    let error = expect_json_error(&mut ask(&server.url()), 8, "unexpected_reply");
    let message = error["message"].as_str().unwrap();
    assert!(message.starts_with(messages::NOT_JSON), "{message}");
}

#[test]
fn the_message_in_a_200_without_a_balance_is_shown() {
    let no_integer = format!("{} (HTTP 200): Key suspended", messages::NO_BALANCE);
    let no_integer = no_integer.as_str();
    for (body, message) in [
        (r#"{"error": "Key suspended"}"#, no_integer),
        (
            r#"{"success": false, "errors": [{"message": "Key suspended"}]}"#,
            no_integer,
        ),
        (
            r#"{"credits": null, "error": "Forbidden", "message": "Key suspended"}"#,
            no_integer,
        ),
        (
            r#"["Key suspended"]"#,
            "the reply is not a JSON object (HTTP 200): Key suspended",
        ),
    ] {
        let api = api(200, body);
        // The server has said what to look at, so nothing else is hinted at.
        let mut command = ask(&api.url());
        let error = expect_error(&mut command, 8, "unexpected_reply", message, None);
        assert_eq!(error["status"], 200);
        assert_eq!(error["retryable"], false);
    }
    // What is not JSON may come from something else than the API.
    for (body, text) in [
        (&b"Key suspended"[..], "Key suspended"),
        (b"cl\xe9 refus\xe9e", "clé refusée"),
        (b"[warn] no luck", "[warn] no luck"),
    ] {
        expect_unreadable(body, &format!("{}: {text}", messages::NOT_JSON));
    }
}

#[test]
fn the_message_of_an_error_is_found_where_gateways_and_frameworks_put_it() {
    for body in [
        r#"{"Message": "no luck today"}"#,
        r#"{"type": "about:blank", "title": "no luck today", "status": 403}"#,
        r#"{"title": "Forbidden", "detail": "no luck today"}"#,
        r#"{"error": "invalid_token", "error_description": "no luck today"}"#,
        r#"{"errors": [{"code": 7, "message": "no luck today"}]}"#,
        r#"{"errors": ["no luck today"]}"#,
        r#"{"errors": ["invalid", {"message": "no luck today"}]}"#,
        r#"{"reason": "no luck today"}"#,
        r#"{"error": "Unauthorized", "message": "no luck today"}"#,
        r#"{"error": "Too Many Requests", "message": "no luck today"}"#,
        r#"{"error": "Internal server error", "message": "no luck today"}"#,
        r#"{"message": "Unauthorized", "detail": {"reason": "no luck today"}}"#,
        r#"{"fault": {"faultstring": "no luck today", "detail": {"errorcode": "x"}}}"#,
    ] {
        expect_message(body, ": no luck today");
    }
    // A sentence in a script without spaces is more than a word.
    expect_message(
        r#"{"error": "Unauthorized", "message": "キーが無効です"}"#,
        ": キーが無効です",
    );
    expect_message(r#"{"error": "a", "message": "b"}"#, ": a");
    expect_message(r#"{"error": "Bad Gateway"}"#, ": Bad Gateway");
    expect_message("[error] no luck", ": [error] no luck");
}

#[test]
fn a_message_in_latin_1_is_read() {
    expect_message(b"cl\xe9 refus\xe9e", ": clé refusée");
    expect_message(b"{\"detail\": \"cl\xe9 refus\xe9e\"}", ": clé refusée");
    expect_message(b"acc\xe8s refus\xe9", ": accès refusé");
    expect_message(b"refus\xe9", ": refusé");
    // UTF-8 whose last character is cut in two.
    expect_message(b"acc\xc3\xa8s refus\xc3", ": accès refus");
}

#[test]
fn a_web_page_with_any_status_is_named_and_does_not_blame_the_key() {
    for (status, code, kind, message) in [
        (400, 8, "unexpected_reply", messages::unexpected_reply(400)),
        (
            401,
            3,
            "unauthorized",
            "access denied (HTTP 401)".to_owned(),
        ),
        (
            403,
            3,
            "unauthorized",
            "access denied (HTTP 403)".to_owned(),
        ),
        (404, 4, "not_found", messages::NOT_FOUND.to_owned()),
        (418, 8, "unexpected_reply", messages::unexpected_reply(418)),
        (429, 6, "rate_limited", messages::RATE_LIMITED.to_owned()),
        (502, 5, "server_error", messages::service_failed(502)),
    ] {
        let api = api(status, "<html><h1>Authorization Required</h1></html>");
        let message = message + messages::WITH_A_WEB_PAGE;
        let check_url = messages::check_url(&api.url());
        let hint = match status {
            502 => messages::TRY_LATER,
            _ => &check_url,
        };
        let error = expect_error(&mut ask(&api.url()), code, kind, &message, Some(hint));
        assert_eq!(error["status"], status);
    }
}

#[test]
fn the_wait_after_a_503_is_shown() {
    let server = Server::sending(
        "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 90\r\nContent-Length: 0\r\n\r\n",
    );
    let message = messages::service_failed(503) + "; try again in 90 seconds";
    let error = expect_error(&mut ask(&server.url()), 5, "server_error", &message, None);
    assert_eq!(error["retry_after"], 90);
    let server =
        Server::sending("HTTP/1.1 500 Oops\r\nRetry-After: 90\r\nContent-Length: 0\r\n\r\n");
    let message = messages::service_failed(500);
    let mut command = ask(&server.url());
    let hint = Some(messages::TRY_LATER);
    let error = expect_error(&mut command, 5, "server_error", &message, hint);
    assert!(error["retry_after"].is_null());
}

#[test]
fn the_wait_until_a_date_is_shown_in_each_form_of_http() {
    // For the next half hour, what is left is rounded up to three hours.
    let date = Timestamp::now() + SignedDuration::from_mins(150);
    for form in [
        "%a, %d %b %Y %H:%M:%S GMT",
        "%A, %d-%b-%y %H:%M:%S GMT",
        "%a %b %e %H:%M:%S %Y",
    ] {
        let date = date.strftime(form);
        for (status, code, kind, message) in [
            (429, 6, "rate_limited", messages::RATE_LIMITED.to_owned()),
            (503, 5, "server_error", messages::service_failed(503)),
        ] {
            let server = Server::sending(format!(
                "HTTP/1.1 {status} Wait\r\nRetry-After: {date}\r\nContent-Length: 0\r\n\r\n"
            ));
            let message = message + "; try again in 3 hours";
            expect_error(&mut ask(&server.url()), code, kind, &message, None);
        }
    }
}

#[test]
fn a_long_wait_is_given_in_minutes_or_hours() {
    for (seconds, shown) in [
        (120, "120 seconds"),
        (121, "3 minutes"),
        (300, "5 minutes"),
        (7199, "120 minutes"),
        (7200, "2 hours"),
        (86_400, "24 hours"),
    ] {
        let api = api(429, format!(r#"{{"retry_after": {seconds}}}"#));
        let message = format!("{}; try again in {shown}", messages::RATE_LIMITED);
        let error = expect_error(&mut ask(&api.url()), 6, "rate_limited", &message, None);
        assert_eq!(error["retry_after"], seconds);
    }
}

/// Runs with a short time limit against a server that sends the head of a reply and the start of its body.
fn run_against_a_stalled_body(status: u16) -> Run {
    let server = Server::replying(move |stream| {
        let head = format!("HTTP/1.1 {status} X\r\nContent-Length: 99\r\n\r\n{{");
        let _ = stream.write_all(head.as_bytes());
        let _ = stream.read_to_end(&mut Vec::new());
    });
    run(ask(&server.url()).args(["--timeout", "2"]))
}

#[test]
fn a_stalled_body_of_an_error_costs_only_the_message() {
    let statuses = [
        (302, 8),
        (401, 3),
        (403, 3),
        (404, 4),
        (418, 8),
        (429, 6),
        (500, 5),
    ];
    thread::scope(|scope| {
        for (status, code) in statuses {
            scope.spawn(move || {
                let run = run_against_a_stalled_body(status);
                assert_eq!(run.code, Some(code), "{}", run.stderr);
                let named = format!("(HTTP {status})");
                assert!(run.stderr.contains(&named), "{}", run.stderr);
            });
        }
    });
}

#[test]
fn verbose_shows_status_content_type_and_the_start_of_a_body_that_cannot_be_read() {
    let page = format!("<html>\u{1b}[31m{KEY}</html>");
    for status in ["200 OK", "404 Not Found", "500 Oops"] {
        let server = Server::sending(format!(
            "HTTP/1.1 {status}\r\nContent-Type: text/html\r\nContent-Length: {}\r\n\r\n{page}",
            page.len()
        ));
        let stderr = run(ask(&server.url()).arg("-v")).stderr;
        for line in [
            "\n* content type: text/html\n",
            "\n* the body starts with: <html>\\u{1b}[31m(redacted)</html>\n",
        ] {
            assert!(stderr.contains(line), "{stderr}");
        }
    }
    let balance = api(200, BALANCE);
    let stderr = run(ask(&balance.url()).arg("-v")).stderr;
    assert!(!stderr.contains("body starts with"), "{stderr}");
}

#[test]
fn a_long_location_and_a_long_content_encoding_are_cut() {
    let long = "x".repeat(300);
    for header in ["Location", "Content-Encoding"] {
        let status = if header == "Location" {
            "302 Found"
        } else {
            "200 OK"
        };
        let server = Server::sending(format!(
            "HTTP/1.1 {status}\r\n{header}: {long}\r\nContent-Length: 2\r\n\r\n\x1f?"
        ));
        let stderr = run(&mut ask(&server.url())).stderr;
        assert!(
            stderr.contains(&format!("{}…", "x".repeat(199))),
            "{stderr}"
        );
        assert!(!stderr.contains(&"x".repeat(200)), "{stderr}");
    }
}

#[test]
fn a_blank_location_is_taken_as_missing() {
    let server = Server::sending("HTTP/1.1 302 Found\r\nLocation:  \r\nContent-Length: 0\r\n\r\n");
    let error = expect_json_error(&mut ask(&server.url()), 8, "unexpected_reply");
    assert_eq!(error["message"], messages::unexpected_reply(302));
}

#[test]
fn one_character_of_each_invisible_range_is_escaped() {
    for c in [
        '\u{ad}',
        '\u{61c}',
        '\u{180e}',
        '\u{200b}',
        '\u{200e}',
        '\u{2028}',
        '\u{202e}',
        '\u{2060}',
        '\u{206f}',
        '\u{feff}',
        '\u{fff9}',
        '\u{13430}',
        '\u{1343f}',
        '\u{1bca0}',
        '\u{1d173}',
        '\u{e0001}',
        '\u{e007f}',
    ] {
        expect_message(format!("a{c}b"), &format!(": a{}b", c.escape_unicode()));
    }
}

#[test]
fn verbose_shows_the_start_of_a_body_that_does_not_come_whole() {
    let long = "x".repeat(70_000);
    for (length, body, start) in [
        (99, "{\"credits\": 24", "{\"credits\": 24"),
        (70_000, long.as_str(), "xxx"),
    ] {
        let server = Server::sending(format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{body}"
        ));
        let stderr = run(ask(&server.url()).arg("-v")).stderr;
        let line = format!("\n* the body starts with: {start}");
        assert!(stderr.contains(&line), "{stderr}");
    }
}

#[test]
fn six_characters_of_the_key_are_hidden_and_five_are_not() {
    for start in [0, 3, KEY.len() - 6] {
        let (five, six) = (&KEY[start..start + 5], &KEY[start..start + 6]);
        expect_message(format!("bad key …{six}…"), ": bad key …(redacted)…");
        expect_message(format!("bad key …{five}…"), &format!(": bad key …{five}…"));
    }
}

/// A sentence, as servers write them, also in scripts without spaces.
fn sentence() -> impl Strategy<Value = String> {
    "[A-Z][a-z]{1,8}( [a-zé']{1,9}){1,6}[.!]?|[ก-ฮ]{2,20}|[가-힣]{2,6} [가-힣]{2,9}"
}

/// What some servers put beside a sentence: a word, or the name of the status.
fn label() -> impl Strategy<Value = String> {
    "[a-z]{2,9}(_[a-z]{2,9})?|Forbidden|Not Found|Internal Server Error|Too Many Requests|"
}

/// A body that holds `text` in one of the shapes that APIs use, with other members around it.
fn body_with(text: &str, label: &str, shape: usize) -> Vec<u8> {
    let json = serde_json::to_string(text).unwrap();
    let body = match shape {
        0 => format!(r#"{{"detail": {json}}}"#),
        1 => format!(r#"{{"code": 7, "error": {{"type": "{label}", "message": {json}}}}}"#),
        2 => format!(r#"{{"errors": [{{"field": "a", "message": {json}}}]}}"#),
        3 => format!(r#"{{"error": "{label}", "message": {json}, "path": "/"}}"#),
        4 => format!(r#"{{"detail": [{{"loc": ["a"], "msg": {json}}}]}}"#),
        5 => format!(r#"{{"title": {json}, "type": "about:blank", "status": 500}}"#),
        6 => format!(r#"{{"title": "{label}", "detail": {json}}}"#),
        7 => format!(r#"{{"Message": {json}}}"#),
        8 => format!(r#"{{"error": "{label}", "error_description": {json}}}"#),
        9 => format!(r#"{{"errors": ["{label}", {json}]}}"#),
        10 => format!(r#"{{"message": "{label}", "reason": {json}}}"#),
        11 => format!("\u{feff}{json}"),
        // Latin-1 has a byte for each of its characters.
        12 if text.chars().all(|c| u32::from(c) < 0x100) => {
            return text.chars().map(|c| u32::from(c) as u8).collect();
        }
        _ => format!("{text}\r\n"),
    };
    body.into_bytes()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]
    #[test]
    fn the_sentence_of_a_server_is_shown_once_on_one_line(
        text in sentence(),
        label in label(),
        shape in 0usize..14,
        status in prop::sample::select(vec![200, 401, 403, 404, 418, 429, 500]),
    ) {
        let api = api(status, body_with(&text, &label, shape));
        let stderr = run(&mut ask(&api.url())).stderr;
        // The full stop may be left out.
        let shown = text.trim_end_matches('.');
        let first_line = stderr.lines().next().unwrap();
        let place = format!(" (HTTP {status}): {shown}");
        prop_assert!(first_line.contains(&place), "{}", stderr);
        prop_assert_eq!(stderr.matches(shown).count(), 1, "{}", stderr);
        prop_assert!(stderr.lines().count() <= 2, "{}", stderr);
    }
}
