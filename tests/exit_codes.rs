//! Each exit code comes from the cause that it stands for. Unless it is 0 or 1, standard output is empty.

use assert_cmd::Command;

use crate::common::messages::{NO_KEY_HINT, TRY_LATER, check_url};
use crate::common::server::{DeadPort, Server};
use crate::common::tls::{self, Authority};
use crate::common::{BALANCE, api, ask, clado, expect_error, run};

/// Expects that a failure is the same in every format: the exit code, the error on standard error, and nothing on
/// standard output. `command` makes the command that fails.
#[track_caller]
fn expect_the_same_error_in_every_format(command: impl Fn() -> Command, code: i32) {
    let error = run(&mut command()).stderr;
    assert!(error.starts_with("error: "), "{error}");
    for flags in [
        &[][..],
        &["--plain"],
        &["--quiet"],
        &["--quiet", "--verbose"],
        &["--min", "0"],
        &["--min", "18446744073709551615"],
        &["--color", "always"],
    ] {
        let run = run(command().args(flags));
        assert_eq!(
            (run.code, run.stdout.as_str()),
            (Some(code), ""),
            "{flags:?}"
        );
        let mut without_verbose = String::new();
        for line in run.stderr.lines().filter(|line| !line.starts_with("* ")) {
            without_verbose += &format!("{line}\n");
        }
        assert_eq!(without_verbose, error, "{flags:?}");
    }
    let run = run(command().arg("--json"));
    assert_eq!((run.code, run.stdout.as_str()), (Some(code), ""));
    assert_eq!(run.stderr.lines().count(), 1, "{}", run.stderr);
}

#[test]
fn a_balance_exits_0() {
    let api = api(200, BALANCE);
    ask(&api.url()).assert().code(0).stderr("");
}

#[test]
fn the_minimum_decides_between_0_and_1() {
    let api = api(200, r#"{"credits": 247}"#);
    for (minimum, code, message) in [
        ("0", 0, ""),
        ("246", 0, ""),
        ("247", 0, ""),
        (
            "248",
            1,
            "247 Clado credits left, below the minimum of 248\n",
        ),
        (
            "18446744073709551615",
            1,
            "247 Clado credits left, below the minimum of 18446744073709551615\n",
        ),
    ] {
        for (flags, output) in [
            (&["--plain"][..], "247\n"),
            (&["--quiet"], ""),
            (
                &["--color", "never"],
                "Credits      247\nLast top-up  never\n",
            ),
        ] {
            let run = ask(&api.url())
                .args(flags)
                .args(["--min", minimum])
                .assert();
            run.code(code).stdout(output).stderr(message);
        }
    }
}

#[test]
fn a_negative_balance_is_below_every_minimum() {
    let api = api(200, r#"{"credits": -3}"#);
    let run = ask(&api.url()).args(["--plain", "--min", "0"]).assert();
    run.code(1)
        .stdout("-3\n")
        .stderr("-3 Clado credits left, below the minimum of 0\n");
}

#[test]
fn one_credit_is_singular() {
    let api = api(200, r#"{"credits": 1}"#);
    let run = ask(&api.url()).args(["--quiet", "--min", "2"]).assert();
    run.code(1)
        .stdout("")
        .stderr("1 Clado credit left, below the minimum of 2\n");
}

#[test]
fn an_error_outranks_the_minimum() {
    let api = api(500, "");
    ask(&api.url())
        .args(["--min", "500"])
        .assert()
        .code(5)
        .stdout("");
}

#[test]
fn a_wrong_command_line_exits_2() {
    clado().arg("--no-such-flag").assert().code(2).stdout("");
}

#[test]
fn no_key_exits_3() {
    let hint = Some(NO_KEY_HINT);
    expect_error(&mut clado(), 3, "no_api_key", "no API key", hint);
    expect_the_same_error_in_every_format(clado, 3);
}

#[test]
fn a_key_that_cannot_be_sent_exits_3() {
    let command = || {
        let mut command = clado();
        command.env("CLADO_API_KEY", "lk_test\tx");
        command
    };
    expect_the_same_error_in_every_format(command, 3);
}

#[test]
fn a_bad_url_or_proxy_exits_2() {
    expect_the_same_error_in_every_format(|| ask("ftp://host"), 2);
    let command = || {
        let mut command = ask("https://search.invalid");
        command.env("HTTPS_PROXY", "nonsense://proxy");
        command
    };
    expect_the_same_error_in_every_format(command, 2);
}

#[test]
fn a_timeout_exits_7() {
    let server = Server::silent();
    let command = || {
        let mut command = ask(&server.url());
        command.args(["--timeout", "0.3"]);
        command
    };
    expect_the_same_error_in_every_format(command, 7);
}

#[test]
fn a_certificate_that_is_not_trusted_exits_7() {
    let server = tls::api(tls::config(Authority::new().good()));
    let url = format!("https://{}", tls::name(&server));
    let trusted = Authority::named("Another company").file();
    let command = || {
        let mut command = ask(&url);
        command.env("SSL_CERT_FILE", trusted.path());
        command
    };
    expect_the_same_error_in_every_format(command, 7);
}

#[test]
fn no_request_is_made_without_a_key() {
    let server = Server::silent();
    clado().env("CLADO_API_URL", server.url()).assert().code(3);
    server.expect_no_request();
}

#[test]
fn each_status_has_its_code_and_message() {
    for (status, body, code, kind, message) in [
        (
            401,
            r#"{"detail": "Invalid API key"}"#,
            3,
            "unauthorized",
            "the API key was rejected (HTTP 401): Invalid API key",
        ),
        (
            403,
            r#"{"detail": "Not authenticated"}"#,
            3,
            "unauthorized",
            "the API key was rejected (HTTP 403): Not authenticated",
        ),
        (
            404,
            "",
            4,
            "not_found",
            "no credit information found (HTTP 404)",
        ),
        (
            429,
            r#"{"error": "Rate limit exceeded"}"#,
            6,
            "rate_limited",
            "rate limited (HTTP 429): Rate limit exceeded",
        ),
        (
            500,
            r#"{"message": "Credit service error"}"#,
            5,
            "server_error",
            "the service failed (HTTP 500): Credit service error",
        ),
        (
            502,
            "<html><h1>Bad gateway</h1></html>",
            5,
            "server_error",
            "the service failed (HTTP 502), with a web page instead of the API's answer",
        ),
        (599, "", 5, "server_error", "the service failed (HTTP 599)"),
        (
            201,
            BALANCE,
            8,
            "unexpected_reply",
            "unexpected reply (HTTP 201)",
        ),
        (
            204,
            "",
            8,
            "unexpected_reply",
            "unexpected reply (HTTP 204)",
        ),
        (
            206,
            BALANCE,
            8,
            "unexpected_reply",
            "unexpected reply (HTTP 206)",
        ),
        (
            304,
            "",
            8,
            "unexpected_reply",
            "unexpected reply (HTTP 304)",
        ),
        (
            400,
            "Bad request",
            8,
            "unexpected_reply",
            "unexpected reply (HTTP 400): Bad request",
        ),
        (
            407,
            "",
            8,
            "unexpected_reply",
            "unexpected reply (HTTP 407)",
        ),
        (
            418,
            "",
            8,
            "unexpected_reply",
            "unexpected reply (HTTP 418)",
        ),
    ] {
        let api = api(status, body);
        let check_url = check_url(&api.url());
        let hint = match status {
            401 | 403 => Some("the key came from CLADO_API_KEY"),
            304 | 404 => Some(check_url.as_str()),
            500.. => Some(TRY_LATER),
            _ => None,
        };
        let error = expect_error(&mut ask(&api.url()), code, kind, message, hint);
        assert_eq!(error["status"], status);
        expect_the_same_error_in_every_format(|| ask(&api.url()), code);
    }
}

#[test]
fn a_refused_connection_exits_7() {
    let port = DeadPort::new();
    let url = format!("http://{}", port.address);
    let stderr = run(&mut ask(&url)).stderr;
    assert!(
        stderr.starts_with(&format!("error: could not connect to {}: ", port.address)),
        "{stderr}"
    );
    #[cfg(unix)]
    assert!(stderr.ends_with(": connection refused\n"), "{stderr}");
    expect_the_same_error_in_every_format(|| ask(&url), 7);
}

#[test]
fn a_name_that_does_not_exist_exits_7() {
    // Reserved, so that it never exists (RFC 2606). What the resolver says differs.
    let run = run(&mut ask("https://clado.invalid"));
    assert_eq!((run.code, run.stdout.as_str()), (Some(7), ""));
    assert!(
        run.stderr
            .starts_with("error: could not resolve clado.invalid: "),
        "{}",
        run.stderr
    );
}

#[test]
fn a_reply_without_a_balance_exits_8() {
    let api = api(200, "<html>welcome</html>");
    let run = run(&mut ask(&api.url()));
    let message = format!(
        "error: {} sent a web page instead of JSON (HTTP 200)\n",
        api.host_with_port()
    );
    assert!(run.stderr.starts_with(&message), "{}", run.stderr);
    expect_the_same_error_in_every_format(|| ask(&api.url()), 8);
}
