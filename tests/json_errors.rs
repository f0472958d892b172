//! With --json, an error is one line of JSON on standard error, and its fields are stable.

use std::io::{Read, Write};

use serde_json::{Value, json};

use crate::common::messages::{NO_KEY_HINT, TRY_LATER, below_minimum, without_place};
use crate::common::server::{DeadPort, Server};
use crate::common::{api, ask, clado, expect_json_error, run};

#[test]
fn each_status_has_its_kind() {
    for (status, body, kind, message, retryable, code) in [
        (
            400,
            "",
            "unexpected_reply",
            "unexpected reply (HTTP 400)",
            false,
            8,
        ),
        (
            407,
            "",
            "unexpected_reply",
            "unexpected reply (HTTP 407)",
            false,
            8,
        ),
        (
            418,
            "",
            "unexpected_reply",
            "unexpected reply (HTTP 418)",
            false,
            8,
        ),
        (429, "", "rate_limited", "rate limited (HTTP 429)", true, 6),
        (
            500,
            "",
            "server_error",
            "the service failed (HTTP 500)",
            true,
            5,
        ),
        (
            502,
            r#"{"detail": "no"}"#,
            "server_error",
            "the service failed (HTTP 502): no",
            true,
            5,
        ),
        (
            503,
            "",
            "server_error",
            "the service failed (HTTP 503)",
            true,
            5,
        ),
        (
            599,
            "",
            "server_error",
            "the service failed (HTTP 599)",
            true,
            5,
        ),
    ] {
        let api = api(status, body);
        let mut expected = json!({
            "kind": kind, "message": message, "status": status, "retryable": retryable, "exit_code": code,
        });
        if kind == "server_error" {
            expected["hint"] = TRY_LATER.into();
        }
        assert_eq!(
            expect_json_error(&mut ask(&api.url()), code, kind),
            expected
        );
    }
}

#[test]
fn a_hint_is_a_field() {
    let key_hint = "the key came from CLADO_API_KEY";
    let url_hint = "check CLADO_API_URL; the request went to {}/api/credits";
    for (status, kind, message, hint, code) in [
        (
            401,
            "unauthorized",
            "the API key was rejected (HTTP 401)",
            key_hint,
            3,
        ),
        (
            403,
            "unauthorized",
            "the API key was rejected (HTTP 403)",
            key_hint,
            3,
        ),
        (
            404,
            "not_found",
            "no credit information found (HTTP 404)",
            url_hint,
            4,
        ),
    ] {
        let api = api(status, "");
        let expected = json!({
            "kind": kind, "message": message, "hint": hint.replace("{}", &api.url()), "status": status,
            "retryable": false, "exit_code": code,
        });
        assert_eq!(
            expect_json_error(&mut ask(&api.url()), code, kind),
            expected
        );
    }
}

#[test]
fn a_rate_limit_has_its_fields_in_this_order() {
    let api = api(
        429,
        r#"{"error": "Rate limit exceeded", "retry_after": 60}"#,
    );
    let run = run(ask(&api.url()).arg("--json"));
    assert_eq!((run.code, run.stdout.as_str()), (Some(6), ""));
    let expected = concat!(
        r#"{"error":{"kind":"rate_limited","#,
        r#""message":"rate limited (HTTP 429): Rate limit exceeded; try again in 60 seconds","#,
        r#""status":429,"retry_after":60,"retryable":true,"exit_code":6}}"#,
        "\n"
    );
    assert_eq!(without_place(&run.stderr), expected);
}

#[test]
fn a_balance_below_the_minimum_is_printed_and_reported_with_both_numbers() {
    let api = api(200, r#"{"credits": 247}"#);
    let run = run(ask(&api.url()).args(["--json", "--min", "500"]));
    assert_eq!(
        (run.code, run.stdout.as_str()),
        (Some(1), "{\"credits\": 247}\n")
    );
    assert_eq!(run.stderr.lines().count(), 1);
    let expected = json!({"error": {
        "kind": "below_minimum", "message": below_minimum(247, 500),
        "credits": 247, "minimum": 500, "retryable": false, "exit_code": 1,
    }});
    assert_eq!(
        serde_json::from_str::<Value>(&run.stderr).unwrap(),
        expected
    );
}

#[test]
fn an_error_without_a_reply_has_no_status() {
    let no_key = json!({
        "kind": "no_api_key", "message": "no API key",
        "hint": NO_KEY_HINT,
        "retryable": false, "exit_code": 3,
    });
    assert_eq!(expect_json_error(&mut clado(), 3, "no_api_key"), no_key);
    let bad_key = json!({
        "kind": "no_api_key",
        "message": "the API key from --api-key has a control character after character 3",
        "retryable": false, "exit_code": 3,
    });
    assert_eq!(
        expect_json_error(clado().arg("--api-key=lk_\u{1}x"), 3, "no_api_key"),
        bad_key
    );
}

#[test]
fn a_reply_without_a_balance_has_its_status() {
    let api = api(200, "{}");
    let expected = json!({
        "kind": "unexpected_reply",
        "message": "the reply has no integer \"credits\" field (HTTP 200)",
        "hint": format!("check CLADO_API_URL; the request went to {}/api/credits", api.url()),
        "status": 200, "retryable": false, "exit_code": 8,
    });
    assert_eq!(
        expect_json_error(&mut ask(&api.url()), 8, "unexpected_reply"),
        expected
    );
}

#[test]
fn a_redirect_is_an_unexpected_reply_with_its_status() {
    let server = Server::sending(
        "HTTP/1.1 302 Found\r\nLocation: https://other.example/\r\nContent-Length: 0\r\n\r\n",
    );
    let error = expect_json_error(&mut ask(&server.url()), 8, "unexpected_reply");
    assert_eq!(
        (&error["status"], &error["retryable"]),
        (&json!(302), &json!(false))
    );
}

#[test]
fn a_bad_url_is_a_usage_error() {
    let problem = "not a URL such as https://host or https://host:port/prefix";
    let error = expect_json_error(&mut ask("nonsense"), 2, "usage");
    let expected = json!({
        "kind": "usage", "message": format!("bad URL in CLADO_API_URL: {problem}"),
        "retryable": false, "exit_code": 2,
    });
    assert_eq!(error, expected);
    let error = expect_json_error(clado().args(["--api-url", "nonsense"]), 2, "usage");
    assert_eq!(error["message"], format!("bad URL in --api-url: {problem}"));
}

#[test]
fn a_bad_proxy_is_a_usage_error() {
    for variable in ["HTTPS_PROXY", "ALL_PROXY"] {
        let server = Server::silent();
        let url = format!("https://{}", server.address);
        let error = expect_json_error(ask(&url).env(variable, "ftp://proxy"), 2, "usage");
        let message = error["message"].as_str().unwrap();
        assert!(
            message.starts_with(&format!("{variable} does not name a usable proxy: ")),
            "{message}"
        );
        assert!(
            error["hint"].is_string() && error["retryable"] == false,
            "{error}"
        );
        server.expect_no_request();
    }
}

#[test]
fn an_unusable_certificate_variable_is_a_usage_error() {
    let empty = tempfile::tempdir().unwrap();
    let missing = empty.path().join("missing");
    for (variable, path) in [
        ("SSL_CERT_FILE", missing.as_path()),
        ("SSL_CERT_DIR", &missing),
        ("SSL_CERT_DIR", empty.path()),
    ] {
        let server = Server::silent();
        let url = format!("https://{}", server.address);
        let error = expect_json_error(ask(&url).env(variable, path), 2, "usage");
        let message = error["message"].as_str().unwrap();
        let name = format!("{} (from {variable})", path.display());
        assert!(
            message.starts_with("could not ") && message.contains(&name),
            "{message}"
        );
        assert_eq!(error["retryable"], false);
        server.expect_no_request();
    }
}

#[test]
fn a_refused_connection_is_worth_another_try() {
    let port = DeadPort::new();
    let error = expect_json_error(&mut ask(&format!("http://{}", port.address)), 7, "network");
    assert_eq!(
        (error.get("status"), &error["retryable"]),
        (None, &json!(true))
    );
}

#[test]
fn a_name_that_is_not_resolved_is_worth_another_try() {
    let error = expect_json_error(&mut ask("https://clado.invalid"), 7, "network");
    assert_eq!(error["retryable"], true);
}

#[test]
fn a_lost_connection_is_worth_another_try() {
    for (what, reply) in [
        ("no reply", ""),
        ("half a head", "HTTP/1.1 200 OK\r\nContent-"),
        (
            "half a body",
            "HTTP/1.1 200 OK\r\nContent-Length: 16\r\n\r\n{\"cred",
        ),
    ] {
        let server = Server::sending(reply);
        let error = expect_json_error(&mut ask(&server.url()), 7, "network");
        assert_eq!(error["retryable"], true, "{what}: {error}");
    }
}

#[test]
fn a_timeout_is_worth_another_try() {
    let server = Server::silent();
    let error = expect_json_error(ask(&server.url()).args(["--timeout", "0.2"]), 7, "timeout");
    assert_eq!(
        (error.get("status"), &error["retryable"]),
        (None, &json!(true))
    );
    let incomplete = Server::replying(|stream| {
        stream
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 16\r\n\r\n{")
            .unwrap();
        // Until the client closes.
        let _ = stream.read(&mut [0]);
    });
    let error = expect_json_error(
        ask(&incomplete.url()).args(["--timeout", "0.5"]),
        7,
        "timeout",
    );
    assert_eq!(error["retryable"], true);
}

#[test]
fn what_clap_rejects_stays_plain_text() {
    for (flags, start) in [
        (&["--min", "abc"][..], "error: invalid value 'abc'"),
        (
            &["--no-such-flag"],
            "error: unexpected argument '--no-such-flag'",
        ),
        (&["stray"], "error: unexpected argument (not shown"),
        (
            &["--plain"],
            "error: the argument '--json' cannot be used with",
        ),
    ] {
        let run = run(clado().arg("--json").args(flags));
        assert_eq!((run.code, run.stdout.as_str()), (Some(2), ""));
        assert!(run.stderr.starts_with(start), "{}", run.stderr);
    }
}

#[test]
fn the_lines_of_verbose_come_before_the_json() {
    let api = api(500, "");
    let run = run(ask(&api.url()).args(["--json", "--verbose"]));
    assert_eq!((run.code, run.stdout.as_str()), (Some(5), ""));
    let (before, last) = run.stderr.trim_end().rsplit_once('\n').unwrap();
    assert!(
        before.lines().count() > 2 && before.lines().all(|line| line.starts_with("* ")),
        "{before}"
    );
    assert_eq!(
        serde_json::from_str::<Value>(last).unwrap()["error"]["kind"],
        "server_error"
    );
}
