//! Each exit code comes from the cause that it stands for, and says nothing on standard output but with 0 and 1.

use crate::common::{BALANCE, KEY, api, asking, clado, dead_port};

/// Standard output is empty in every form, the exit code is the same in every form.
fn fails_in_every_form(url: &str, code: i32) {
    for form in [&[][..], &["--json"], &["--plain"], &["--quiet"], &["--min", "0"], &["--color", "always"]] {
        asking(url).args(form).assert().code(code).stdout("");
    }
}

#[test]
fn a_balance_is_0() {
    let api = api(200, BALANCE);
    asking(&api.url()).assert().code(0).stderr("");
}

#[test]
fn the_minimum_decides_between_0_and_1() {
    let api = api(200, r#"{"credits": 247}"#);
    for (minimum, code, complaint) in [
        ("0", 0, ""),
        ("246", 0, ""),
        ("247", 0, ""),
        ("248", 1, "247 credits left, below the minimum of 248\n"),
        ("18446744073709551615", 1, "247 credits left, below the minimum of 18446744073709551615\n"),
    ] {
        for (form, out) in [
            (&["--plain"][..], "247\n"),
            (&["--quiet"], ""),
            (&["--color", "never"], "Credits      247\nLast top-up  never\n"),
        ] {
            let run = asking(&api.url()).args(form).args(["--min", minimum]).assert();
            run.code(code).stdout(out).stderr(complaint);
        }
    }
}

#[test]
fn a_negative_balance_is_below_every_minimum_and_one_credit_is_singular() {
    let negative = api(200, r#"{"credits": -3}"#);
    asking(&negative.url())
        .args(["--plain", "--min", "0"])
        .assert()
        .code(1)
        .stdout("-3\n")
        .stderr("-3 credits left, below the minimum of 0\n");
    let one = api(200, r#"{"credits": 1}"#);
    asking(&one.url())
        .args(["--quiet", "--min", "2"])
        .assert()
        .code(1)
        .stderr("1 credit left, below the minimum of 2\n");
}

#[test]
fn an_error_outranks_the_minimum() {
    let api = api(500, "");
    asking(&api.url()).args(["--min", "500"]).assert().code(5).stdout("");
}

#[test]
fn a_wrong_command_line_is_2() {
    clado().arg("--no-such-flag").assert().code(2).stdout("");
}

#[test]
fn no_key_is_3_without_a_request() {
    let mut api = mockito::Server::new();
    let untouched = api.mock("GET", mockito::Matcher::Any).expect(0).create();
    clado()
        .env("CLADO_API_URL", api.url())
        .assert()
        .code(3)
        .stdout("")
        .stderr("error: no API key\nhint: set CLADO_API_KEY or use --api-key-file <PATH>\n");
    untouched.assert();
}

#[test]
fn each_status_has_its_code_and_its_words() {
    let key_hint = "hint: the key came from CLADO_API_KEY\n";
    for (status, body, code, complaint) in [
        (401, r#"{"detail": "Invalid API key"}"#, 3, "the API key was rejected (HTTP 401): Invalid API key"),
        (
            403,
            r#"{"detail": "Not authenticated"}"#,
            3,
            "the API key was rejected (HTTP 403): Not authenticated",
        ),
        (404, "", 4, "no credit information found (HTTP 404)"),
        (429, r#"{"error": "Rate limit exceeded"}"#, 6, "rate limited (HTTP 429): Rate limit exceeded"),
        (
            500,
            r#"{"message": "Credit service error"}"#,
            5,
            "the service failed (HTTP 500): Credit service error",
        ),
        (502, "<html><h1>Bad gateway</h1></html>", 5, "the service failed (HTTP 502)"),
        (599, "", 5, "the service failed (HTTP 599)"),
        (201, BALANCE, 8, "unexpected reply (HTTP 201)"),
        (204, "", 8, "unexpected reply (HTTP 204)"),
        (206, BALANCE, 8, "unexpected reply (HTTP 206)"),
        (304, "", 8, "unexpected reply (HTTP 304)"),
        (400, "Bad request", 8, "unexpected reply (HTTP 400): Bad request"),
        (407, "", 8, "unexpected reply (HTTP 407)"),
        (418, "", 8, "unexpected reply (HTTP 418)"),
    ] {
        let api = api(status, body);
        let hint = if code == 3 { key_hint } else { "" };
        asking(&api.url()).assert().code(code).stdout("").stderr(format!("error: {complaint}\n{hint}"));
        fails_in_every_form(&api.url(), code);
    }
}

#[test]
fn a_dead_port_is_7() {
    let address = dead_port();
    let complaint = format!("error: could not connect to {address}: connection refused\n");
    asking(&format!("http://{address}")).assert().code(7).stderr(complaint);
    fails_in_every_form(&format!("http://{address}"), 7);
}

#[test]
fn a_name_that_does_not_exist_is_7() {
    // Reserved to never exist (RFC 2606); how the resolver says so differs.
    let run = asking("https://clado.invalid").assert().code(7).stdout("");
    let complaint = String::from_utf8_lossy(&run.get_output().stderr).into_owned();
    assert!(complaint.starts_with("error: could not resolve clado.invalid: "), "{complaint}");
}

#[test]
fn what_is_no_balance_is_8() {
    let api = api(200, "<html>welcome</html>");
    asking(&api.url()).assert().code(8).stderr("error: the reply is not JSON\n");
    fails_in_every_form(&api.url(), 8);
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_9() {
    use std::fs::OpenOptions;
    let api = api(200, BALANCE);
    for form in [&[][..], &["--json"], &["--plain"], &["--min", "500"]] {
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let mut command = crate::common::bare();
        command.env("CLADO_API_KEY", KEY).env("CLADO_API_URL", api.url()).args(form).stdout(full);
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(9), "{form:?}");
        let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(complaint.contains("could not write the output: no space left on device"), "{complaint}");
    }
}
