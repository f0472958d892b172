//! Each exit code comes from the cause that it stands for. Unless it is 0 or 1, standard output is empty.

use assert_cmd::Command;

use crate::common::messages;
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
    let table = messages::table(247, "never");
    for minimum in [0, 246, 247, 248, u64::MAX] {
        let is_enough = minimum <= 247;
        let (code, complaint) = if is_enough {
            (0, String::new())
        } else {
            (1, messages::below_minimum(247, minimum) + "\n")
        };
        for (flags, output) in [
            (&["--plain"][..], "247\n"),
            (&["--quiet"], ""),
            (&["--color", "never"], &table),
        ] {
            let run = run(ask(&api.url())
                .args(flags)
                .args(["--min", &minimum.to_string()]));
            assert_eq!(run.code, Some(code), "{minimum} {flags:?}");
            assert_eq!(run.stdout, output, "{minimum} {flags:?}");
            assert_eq!(run.stderr, complaint, "{minimum} {flags:?}");
        }
    }
}

#[test]
fn a_negative_balance_is_below_every_minimum() {
    let api = api(200, r#"{"credits": -3}"#);
    let run = ask(&api.url()).args(["--plain", "--min", "0"]).assert();
    run.code(1)
        .stdout("-3\n")
        .stderr(messages::below_minimum(-3, 0) + "\n");
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
    let hint = Some(messages::NO_KEY_HINT);
    expect_error(&mut clado(), 3, "no_api_key", messages::NO_KEY, hint);
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

/// Expects this error for a reply with `status` and `body`, and the same in every format.
#[track_caller]
fn expect_status(status: u16, body: &str, code: i32, kind: &str, message: &str) {
    let api = api(status.into(), body);
    let key_came_from = messages::key_came_from("CLADO_API_KEY");
    let check_url = messages::check_url(&api.url());
    let hint = match status {
        401 | 403 => Some(key_came_from.as_str()),
        304 | 404 => Some(check_url.as_str()),
        500.. => Some(messages::TRY_LATER),
        _ => None,
    };
    let error = expect_error(&mut ask(&api.url()), code, kind, message, hint);
    assert_eq!(error["status"], status);
    expect_the_same_error_in_every_format(|| ask(&api.url()), code);
}

#[test]
fn status_401_or_403_exits_3() {
    for (status, text) in [(401, "Invalid API key"), (403, "Not authenticated")] {
        let body = format!(r#"{{"detail": "{text}"}}"#);
        let message = format!("{}: {text}", messages::key_rejected(status));
        expect_status(status, &body, 3, "unauthorized", &message);
    }
}

#[test]
fn status_404_exits_4() {
    expect_status(404, "", 4, "not_found", messages::NOT_FOUND);
}

#[test]
fn status_5xx_exits_5() {
    let failed = messages::service_failed(500);
    let body = r#"{"message": "Credit service error"}"#;
    let message = format!("{failed}: Credit service error");
    expect_status(500, body, 5, "server_error", &message);

    let message = messages::service_failed(502) + messages::WITH_A_WEB_PAGE;
    let page = "<html><h1>Bad gateway</h1></html>";
    expect_status(502, page, 5, "server_error", &message);

    let message = messages::service_failed(599);
    expect_status(599, "", 5, "server_error", &message);
}

#[test]
fn status_429_exits_6() {
    let body = r#"{"error": "Rate limit exceeded"}"#;
    let message = format!("{}: Rate limit exceeded", messages::RATE_LIMITED);
    expect_status(429, body, 6, "rate_limited", &message);
}

#[test]
fn any_other_status_exits_8() {
    for (status, body) in [
        (201, BALANCE),
        (204, ""),
        (206, BALANCE),
        (304, ""),
        (407, ""),
        (418, ""),
    ] {
        let message = messages::unexpected_reply(status);
        expect_status(status, body, 8, "unexpected_reply", &message);
    }
    let message = messages::unexpected_reply(400) + ": Bad request";
    expect_status(400, "Bad request", 8, "unexpected_reply", &message);
}

#[test]
fn a_refused_connection_exits_7() {
    let port = DeadPort::new();
    let url = format!("http://{}", port.address);
    let stderr = run(&mut ask(&url)).stderr;
    let start = format!("error: {}", messages::could_not_connect(port.address, ""));
    assert!(stderr.starts_with(&start), "{stderr}");
    // On Windows the system has another message.
    let end = format!("{}\n", messages::REFUSED);
    assert!(cfg!(windows) || stderr.ends_with(&end), "{stderr}");
    expect_the_same_error_in_every_format(|| ask(&url), 7);
}

#[test]
fn a_name_that_does_not_exist_exits_7() {
    // Reserved, so that it never exists (RFC 2606). What the resolver says differs.
    let run = run(&mut ask("https://clado.invalid"));
    assert_eq!((run.code, run.stdout.as_str()), (Some(7), ""));
    assert!(
        run.stderr.starts_with(&format!(
            "error: {}",
            messages::could_not_resolve("clado.invalid")
        )),
        "{}",
        run.stderr
    );
}

#[test]
fn a_reply_without_a_balance_exits_8() {
    let api = api(200, "<html>welcome</html>");
    let run = run(&mut ask(&api.url()));
    let problem = messages::web_page_instead_of_json(api.host_with_port());
    let message = format!("error: {problem} (HTTP 200)\n");
    assert!(run.stderr.starts_with(&message), "{}", run.stderr);
    expect_the_same_error_in_every_format(|| ask(&api.url()), 8);
}
