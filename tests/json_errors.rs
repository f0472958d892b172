//! With --json, an error is one line of JSON on standard error, and its fields are stable.

use serde_json::{Value, json};

use crate::common::{api, asking, clado, dead_port};

/// The report of a failed run, after checking that it is one line and alone.
fn report(run: assert_cmd::assert::Assert) -> Value {
    let output = run.get_output();
    let text = String::from_utf8(output.stderr.clone()).unwrap();
    assert!(text.ends_with('\n') && text.matches('\n').count() == 1, "{text}");
    let report: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(report["error"]["exit_code"], output.status.code().unwrap());
    report
}

#[test]
fn each_status_has_its_kind() {
    for (status, body, kind, message, retryable, code) in [
        (
            401,
            r#"{"detail": "Invalid API key"}"#,
            "unauthorized",
            "the API key was rejected (HTTP 401): Invalid API key",
            false,
            3,
        ),
        (403, "", "unauthorized", "the API key was rejected (HTTP 403)", false, 3),
        (404, "", "not_found", "no credit information found (HTTP 404)", false, 4),
        (500, "", "server_error", "the service failed (HTTP 500)", true, 5),
        (418, "", "unexpected_reply", "unexpected reply (HTTP 418)", false, 8),
    ] {
        let api = api(status, body);
        let report = report(asking(&api.url()).arg("--json").assert().stdout(""));
        let expected = json!({"error": {
            "kind": kind, "message": message, "status": status, "retryable": retryable, "exit_code": code,
        }});
        assert_eq!(report, expected);
    }
}

#[test]
fn a_rate_limit_says_when_to_come_back_in_this_order_of_fields() {
    let api = api(429, r#"{"error": "Rate limit exceeded", "retry_after": 60}"#);
    asking(&api.url()).arg("--json").assert().code(6).stdout("").stderr(concat!(
        r#"{"error":{"kind":"rate_limited","#,
        r#""message":"rate limited (HTTP 429): Rate limit exceeded; try again in 60 seconds","#,
        r#""status":429,"retry_after":60,"retryable":true,"exit_code":6}}"#,
        "\n"
    ));
}

#[test]
fn a_balance_below_the_minimum_is_printed_and_reported() {
    let api = api(200, r#"{"credits": 247}"#);
    let run =
        asking(&api.url()).args(["--json", "--min", "500"]).assert().code(1).stdout("{\"credits\": 247}\n");
    let expected = json!({"error": {
        "kind": "below_minimum", "message": "247 credits left, below the minimum of 500",
        "credits": 247, "minimum": 500, "retryable": false, "exit_code": 1,
    }});
    assert_eq!(report(run), expected);
}

#[test]
fn failures_without_a_status_leave_it_out() {
    let no_balance = api(200, "{}");
    let address = dead_port();
    for (run, kind, message, retryable, code) in [
        (clado().arg("--json").assert(), "no_api_key", "no API key".to_owned(), false, 3),
        (
            asking(&no_balance.url()).args(["--json", "--api-key=lk_\u{1}x"]).assert(),
            "no_api_key",
            "the API key from --api-key has a control or non-ASCII character (the one at position 4)"
                .to_owned(),
            false,
            3,
        ),
        (
            asking(&no_balance.url()).arg("--json").assert(),
            "unexpected_reply",
            "the reply has no integer \"credits\" field".to_owned(),
            false,
            8,
        ),
        (
            asking(&format!("http://{address}")).arg("--json").assert(),
            "network",
            format!("could not connect to {address}: connection refused"),
            true,
            7,
        ),
    ] {
        let expected = json!({"error": {
            "kind": kind, "message": message, "retryable": retryable, "exit_code": code,
        }});
        assert_eq!(report(run.stdout("")), expected);
    }
}

#[test]
fn a_redirect_is_an_unexpected_reply_with_its_status() {
    let mut server = mockito::Server::new();
    server
        .mock("GET", "/api/credits")
        .with_status(302)
        .with_header("location", "https://other.example/")
        .create();
    let report = report(asking(&server.url()).arg("--json").assert().code(8).stdout(""));
    assert_eq!(report["error"]["kind"], "unexpected_reply");
    assert_eq!(report["error"]["status"], 302);
}

#[cfg(target_os = "linux")]
#[test]
fn output_that_can_not_be_written_is_local() {
    let api = api(200, r#"{"credits": 247}"#);
    let mut command = crate::common::bare();
    command.env("CLADO_API_KEY", crate::common::KEY).env("CLADO_API_URL", api.url()).arg("--json");
    let output = command.stdout(std::fs::File::create("/dev/full").unwrap()).output().unwrap();
    let report: Value = serde_json::from_slice(&output.stderr).unwrap();
    assert_eq!(report["error"]["kind"], "local");
    assert_eq!(report["error"]["exit_code"], 9);
}

#[test]
fn usage_errors_stay_text() {
    let run = clado().args(["--json", "--min", "abc"]).assert().code(2).stdout("");
    assert!(String::from_utf8_lossy(&run.get_output().stderr).starts_with("error: invalid value 'abc'"));
}
