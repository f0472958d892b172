//! With --json, an error is one line of JSON on standard error, and its fields are stable.

use std::io::{Read, Write};

use serde_json::{Value, json};

use crate::common::messages;
use crate::common::server::{DeadPort, Server};
use crate::common::{api, ask, clado, expect_json_error, run};

/// Expects that a reply of `api` gives an error with these fields and no others.
#[track_caller]
fn expect_fields(api: &mockito::ServerGuard, expected: &Value) {
    let code = expected["exit_code"].as_i64().unwrap().try_into().unwrap();
    let kind = expected["kind"].as_str().unwrap();
    let error = expect_json_error(&mut ask(&api.url()), code, kind);
    assert_eq!(error, *expected);
}

#[test]
fn each_status_has_its_kind() {
    for status in [400, 407, 418] {
        let expected = json!({
            "kind": "unexpected_reply", "message": messages::unexpected_reply(status), "status": status,
            "retryable": false, "exit_code": 8,
        });
        expect_fields(&api(status.into(), ""), &expected);
    }
    let expected = json!({
        "kind": "rate_limited", "message": messages::RATE_LIMITED, "status": 429,
        "retryable": true, "exit_code": 6,
    });
    expect_fields(&api(429, ""), &expected);
    for status in [500, 502, 503, 599] {
        let message = messages::service_failed(status) + ": no";
        let expected = json!({
            "kind": "server_error", "message": message, "hint": messages::TRY_LATER, "status": status,
            "retryable": true, "exit_code": 5,
        });
        expect_fields(&api(status.into(), r#"{"detail": "no"}"#), &expected);
    }
}

#[test]
fn a_hint_is_a_field() {
    for status in [401, 403] {
        let expected = json!({
            "kind": "unauthorized", "message": messages::key_rejected(status),
            "hint": messages::key_came_from("CLADO_API_KEY"), "status": status,
            "retryable": false, "exit_code": 3,
        });
        expect_fields(&api(status.into(), ""), &expected);
    }
    let api = api(404, "");
    let expected = json!({
        "kind": "not_found", "message": messages::NOT_FOUND, "hint": messages::check_url(&api.url()), "status": 404,
        "retryable": false, "exit_code": 4,
    });
    expect_fields(&api, &expected);
}

#[test]
fn a_rate_limit_has_its_fields_in_this_order() {
    let api = api(
        429,
        r#"{"error": "Rate limit exceeded", "retry_after": 60}"#,
    );
    let run = run(ask(&api.url()).arg("--json"));
    assert_eq!((run.code, run.stdout.as_str()), (Some(6), ""));
    let message = format!(
        "{}: Rate limit exceeded; try again in 60 seconds",
        messages::RATE_LIMITED
    );
    let expected = format!(
        "{{\"error\":{{\"kind\":\"rate_limited\",\"message\":\"{message}\",\
         \"status\":429,\"retry_after\":60,\"retryable\":true,\"exit_code\":6}}}}\n"
    );
    assert_eq!(messages::without_place(&run.stderr), expected);
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
        "kind": "below_minimum", "message": messages::below_minimum(247, 500),
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
        "kind": "no_api_key", "message": messages::NO_KEY,
        "hint": messages::NO_KEY_HINT,
        "retryable": false, "exit_code": 3,
    });
    assert_eq!(expect_json_error(&mut clado(), 3, "no_api_key"), no_key);
    let bad_key = json!({
        "kind": "no_api_key",
        "message": messages::bad_key("--api-key", "has a control character after character 3"),
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
        "message": format!("{} (HTTP 200)", messages::NO_BALANCE),
        "hint": messages::check_url(&api.url()),
        "status": 200, "retryable": false, "exit_code": 8,
    });
    expect_fields(&api, &expected);
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
    let error = expect_json_error(&mut ask("nonsense"), 2, "usage");
    let expected = json!({
        "kind": "usage", "message": messages::bad_url("CLADO_API_URL", messages::NOT_A_URL),
        "retryable": false, "exit_code": 2,
    });
    assert_eq!(error, expected);
    let error = expect_json_error(clado().args(["--api-url", "nonsense"]), 2, "usage");
    let message = messages::bad_url("--api-url", messages::NOT_A_URL);
    assert_eq!(error["message"], message);
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
