//! Replies that are no balance, and the service's own words: refused by name, shown on one line, harmless.

use std::io::Write;

use crate::common::{KEY, Raw, api, asking};

/// Standard error of a run that ends with `code` and prints nothing else.
fn complaint(url: &str, code: i32) -> String {
    let run = asking(url).assert().code(code).stdout("");
    String::from_utf8(run.get_output().stderr.clone()).unwrap()
}

#[test]
fn each_fault_of_a_balance_is_refused_by_name() {
    let no_integer = "the reply has no integer \"credits\" field";
    let out_of_range = "the reply's \"credits\" field is out of range";
    for (body, reason) in [
        (r#"{"credits": "247"}"#, no_integer),
        (r#"{"credits": 1.5}"#, no_integer),
        (r#"{"credits": null}"#, no_integer),
        (r#"{"credits": true}"#, no_integer),
        (r#"{"credits": [247]}"#, no_integer),
        (r#"{"balance": 247}"#, no_integer),
        (r#"{"detail": "Invalid API key"}"#, no_integer),
        (r#"{}"#, no_integer),
        (r#"{"credits": 9223372036854775808}"#, out_of_range),
        (r#"{"credits": 1e400}"#, out_of_range),
        (r#"{"credits": 1, "credits": 2}"#, "the reply has more than one \"credits\" field"),
        (r#"[{"credits": 1}]"#, "the reply is not a JSON object"),
        ("247", "the reply is not a JSON object"),
        ("", "the reply is not JSON"),
        (r#"{"credits": 247"#, "the reply is not JSON"),
        (r#"{"credits": 247} {"credits": 248}"#, "the reply is not JSON"),
        ("\u{feff}{\"credits\": 247}", "the reply is not JSON"),
        ("<!DOCTYPE html><p>Welcome to the hotel", "the reply is not JSON"),
    ] {
        for form in ["--plain", "--json"] {
            let api = api(200, body);
            let run = asking(&api.url()).arg(form).assert().code(8).stdout("");
            let complaint = String::from_utf8_lossy(&run.get_output().stderr).into_owned();
            assert!(
                complaint.contains(reason) || complaint.contains(&reason.replace('"', "\\\"")),
                "{complaint}"
            );
        }
    }
}

#[test]
fn bytes_that_are_no_utf8_are_refused_wherever_they_stand() {
    for body in
        [&b"{\"credits\": 1, \"note\": \"\xff\"}"[..], b"{\"credits\": 1, \"\xff\": 1}", b"\xff\xfe{\x00"]
    {
        let api = api(200, body);
        assert_eq!(complaint(&api.url(), 8), "error: the reply is not JSON\n");
    }
}

#[test]
fn a_body_that_repeats_the_key_is_not_printed() {
    let api = api(200, format!(r#"{{"credits": 247, "key": "{KEY}"}}"#));
    let expected = "error: the reply repeats the API key, so it is not printed\n";
    let run = asking(&api.url()).arg("--json").assert().code(8).stdout("");
    assert!(!String::from_utf8_lossy(&run.get_output().stderr).contains(KEY));
    assert!(String::from_utf8_lossy(&run.get_output().stderr).contains(&expected[7..expected.len() - 1]));
    asking(&api.url()).arg("--plain").assert().code(0).stdout("247\n");
}

#[test]
fn the_words_of_the_service_are_taken_from_every_shape() {
    for (body, words) in [
        (r#"{"detail": "no luck"}"#, ": no luck"),
        (r#"{"detail": [{"loc": ["header"], "msg": "no luck", "type": "x"}]}"#, ": no luck"),
        (r#"{"error": "no luck"}"#, ": no luck"),
        (r#"{"error": {"code": 7, "message": "no luck"}}"#, ": no luck"),
        (r#"{"message": "no luck"}"#, ": no luck"),
        ("no luck", ": no luck"),
        (r#"{"status": "no luck"}"#, ""),
        ("<html><body>no luck</body></html>", ""),
        ("\n\n <!doctype html>no luck", ""),
        ("", ""),
    ] {
        let api = api(500, body);
        assert_eq!(
            complaint(&api.url(), 5),
            format!("error: the service failed (HTTP 500){words}\n"),
            "{body}"
        );
    }
}

#[test]
fn junk_of_any_size_is_cut_to_200_characters() {
    let (head, words) = ("error: the service failed (HTTP 503): ", |n| "x".repeat(n));
    let api = api(503, words(300_000));
    assert_eq!(complaint(&api.url(), 5), format!("{head}{}…\n", words(199)));
    let api = crate::common::api(503, format!(r#"{{"detail": "{}"}}"#, words(201)));
    assert_eq!(complaint(&api.url(), 5), format!("{head}{}…\n", words(199)));
    let api = crate::common::api(503, format!(r#"{{"detail": "{}"}}"#, words(200)));
    assert_eq!(complaint(&api.url(), 5), format!("{head}{}\n", words(200)));
    let binary: Vec<u8> = (0..300_000u32).map(|n| (n * 7 % 256) as u8).collect();
    let api = crate::common::api(503, binary);
    assert_eq!(complaint(&api.url(), 5), "error: the service failed (HTTP 503)\n");
}

#[test]
fn an_error_reply_that_is_cut_short_still_counts_by_its_status() {
    let server = Raw::sending("HTTP/1.1 401 Unauthorized\r\nContent-Length: 1000\r\n\r\n{\"detail\": \"Inv");
    let expected = "error: the API key was rejected (HTTP 401)\nhint: the key came from CLADO_API_KEY\n";
    assert_eq!(complaint(&server.url(), 3), expected);
}

/// What a terminal, a log viewer or a reader could be fooled with: ESC, C1, bidirectional, line ends, zero width.
const HOSTILE: &str = "a\u{1b}[2J\u{7}\u{9b}31m\u{202e}\u{2066}\u{2028}\u{200b}\u{feff}\u{7f}\r\nb";
const HARMLESS: &str = r"a\u{1b}[2J\u{7}\u{9b}31m\u{202e}\u{2066}\u{2028}\u{200b}\u{feff}\u{7f}\r\nb";

#[test]
fn hostile_characters_never_reach_the_terminal() {
    let escaped = serde_json::to_string(HOSTILE).unwrap();
    for shape in ["{\"detail\": @}", "{\"detail\": [{\"msg\": @}]}", "{\"error\": {\"message\": @}}", "@"] {
        let api = api(500, shape.replace('@', &escaped));
        assert_eq!(complaint(&api.url(), 5), format!("error: the service failed (HTTP 500): {HARMLESS}\n"));
        let run = asking(&api.url()).arg("--json").assert().code(5);
        let report: serde_json::Value = serde_json::from_slice(&run.get_output().stderr).unwrap();
        assert_eq!(report["error"]["message"], format!("the service failed (HTTP 500): {HARMLESS}"));
    }
    let raw = api(500, HOSTILE);
    assert_eq!(complaint(&raw.url(), 5), format!("error: the service failed (HTTP 500): {HARMLESS}\n"));
    let date = api(200, format!(r#"{{"credits": 5, "last_topup_at": {escaped}}}"#));
    asking(&date.url()).assert().code(0).stdout(format!("Credits      5\nLast top-up  {HARMLESS}\n"));
}

#[test]
fn a_redirect_is_told_and_not_followed() {
    let mut elsewhere = mockito::Server::new();
    let untouched = elsewhere.mock("GET", mockito::Matcher::Any).expect(0).create();
    for status in [301, 302, 303, 307, 308] {
        let mut server = mockito::Server::new();
        let target = format!("{}/next", elsewhere.url());
        server.mock("GET", "/api/credits").with_status(status).with_header("location", &target).create();
        let complaint = complaint(&server.url(), 8);
        let host = server.host_with_port();
        assert_eq!(
            complaint,
            format!(
                "error: {host} redirected to {target} (HTTP {status}), not followed\n\
                 hint: check --api-url and CLADO_API_URL\n"
            )
        );
    }
    untouched.assert();
}

#[test]
fn a_redirect_that_quotes_the_key_or_hides_its_target_is_shown_harmless() {
    let server = Raw::new(|stream| {
        let location = format!("https://x.example/?k={KEY}\u{202e}");
        let _ = write!(stream, "HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n");
    });
    let expected = format!(
        "error: {} redirected to https://x.example/?k=(redacted)\\u{{202e}} (HTTP 302), not followed\n\
         hint: check --api-url and CLADO_API_URL\n",
        server.address
    );
    assert_eq!(complaint(&server.url(), 8), expected);
}

#[test]
fn the_wait_after_429_is_told_and_not_slept() {
    for (header, body, wait) in [
        (None, r#"{"error": "slow down", "retry_after": 60}"#, "; try again in 60 seconds"),
        (None, r#"{"error": "slow down", "retry_after": 1}"#, "; try again in 1 second"),
        (Some("7"), r#"{"error": "slow down"}"#, "; try again in 7 seconds"),
        (Some("Fri, 01 Jan 1999 00:00:00 GMT"), r#"{"error": "slow down"}"#, ""),
        (Some("soon"), r#"{"error": "slow down", "retry_after": null}"#, ""),
    ] {
        let mut server = mockito::Server::new();
        let mut mock = server.mock("GET", "/api/credits").with_status(429).with_body(body).expect(1);
        if let Some(header) = header {
            mock = mock.with_header("retry-after", header);
        }
        let mock = mock.create();
        assert_eq!(complaint(&server.url(), 6), format!("error: rate limited (HTTP 429): slow down{wait}\n"));
        mock.assert();
    }
}

#[test]
fn a_compressed_reply_is_refused_by_name() {
    let mut server = mockito::Server::new();
    server
        .mock("GET", "/api/credits")
        .with_header("content-encoding", "gzip")
        .with_body("\x1f\u{8b}")
        .create();
    let expected = "error: the reply is compressed (gzip), which was not asked for\n";
    assert_eq!(complaint(&server.url(), 8), expected);
}

#[test]
fn a_reply_may_have_64_kib_and_no_more() {
    let body = |length: usize| {
        let frame = r#"{"credits": 5, "pad": ""}"#.len();
        format!(r#"{{"credits": 5, "pad": "{}"}}"#, "x".repeat(length - frame))
    };
    let fits = api(200, body(64 << 10));
    asking(&fits.url()).arg("--plain").assert().code(0).stdout("5\n");
    let exceeds = api(200, body((64 << 10) + 1));
    assert_eq!(complaint(&exceeds.url(), 8), "error: the reply is larger than 64 KiB\n");
}
