//! Help, version and wrong command lines.

use crate::common::messages;
use crate::common::server::Server;
use crate::common::{
    BALANCE, KEY, KEY_WITHOUT_PREFIX, api, ask, clado, expect_balance, expect_error, run,
};

const SHORT_HELP: &str = include_str!("data/short-help.txt");
const LONG_HELP: &str = include_str!("data/long-help.txt");

/// The message about a wrong command line, after checking that nothing else was done.
#[track_caller]
fn usage_error(command: &mut assert_cmd::Command) -> String {
    let run = run(command);
    assert_eq!(
        (run.code, run.stdout.as_str()),
        (Some(2), ""),
        "{}",
        run.stderr
    );
    assert!(
        run.stderr.starts_with("error: ") && run.stderr.contains("--help"),
        "{}",
        run.stderr
    );
    run.stderr
}

#[track_caller]
fn expect_no_part_of(key: &str, text: &str) {
    for start in 0..=key.len() - 6 {
        assert!(!text.contains(&key[start..start + 6]), "{text}");
    }
}

#[test]
fn help_and_version_are_as_recorded() {
    let version = concat!("clado-credits ", env!("CARGO_PKG_VERSION"), "\n");
    for (flag, text) in [
        ("-h", SHORT_HELP),
        ("--help", LONG_HELP),
        ("-V", version),
        ("--version", version),
    ] {
        clado()
            .arg(flag)
            .assert()
            .code(0)
            .stdout(text.replace("\r\n", "\n"))
            .stderr("");
    }
}

#[test]
fn help_fits_80_columns() {
    for line in SHORT_HELP.lines().chain(LONG_HELP.lines()) {
        assert!(line.chars().count() <= 80, "{line}");
        assert_eq!(line, line.trim_end());
    }
}

#[test]
fn the_short_help_fits_a_terminal_of_24_lines() {
    assert!(SHORT_HELP.lines().count() <= 24);
}

#[test]
fn help_opens_with_the_description_and_then_an_example() {
    for help in [SHORT_HELP, LONG_HELP] {
        let description = help.find("Check how many Clado API credits are left");
        assert_eq!(description, Some(0), "{help}");
        let example = help.find("\nExample: clado-credits").unwrap();
        assert!(example < help.find("\nUsage: ").unwrap());
    }
}

#[test]
fn help_and_completions_work_with_any_other_flags() {
    let server = Server::silent();
    for (flag, start) in [
        ("--help", "Check how many"),
        ("-h", "Check how many"),
        ("--completions=bash", "_clado__credits() {"),
        ("--completions=fish", "complete -c clado-credits"),
    ] {
        for others in [
            &[][..],
            &["--api-key", KEY],
            &["--api-key-file", "/nonexistent"],
            &["--api-key-file", "-"],
            &["--api-url", "nonsense"],
            &["--min", "5", "--timeout", "0.001", "--verbose", "--json"],
        ] {
            let run = run(ask(&server.url()).args(others).arg(flag));
            assert_eq!(
                (run.code, run.stderr.as_str()),
                (Some(0), ""),
                "{others:?} {flag}"
            );
            assert!(run.stdout.starts_with(start), "{}", run.stdout);
        }
    }
    clado()
        .args(["--json", "--plain", "--help"])
        .assert()
        .code(0);
    server.expect_no_request();
}

#[test]
fn help_and_completions_work_with_any_environment() {
    let server = Server::silent();
    for flag in ["--help", "-h", "--completions=bash", "--completions=zsh"] {
        let expected = clado().arg(flag).output().unwrap().stdout;
        for (variable, value) in [
            ("CLADO_API_KEY", KEY),
            ("CLADO_API_KEY", "\u{1}"),
            ("CLADO_API_URL", "nonsense"),
            ("HTTPS_PROXY", "http://:x"),
            ("HTTPS_PROXY", &server.url()),
            ("ALL_PROXY", "nonsense://"),
            ("SSL_CERT_FILE", "/nonexistent"),
            ("SSL_CERT_DIR", "/nonexistent"),
            ("COLUMNS", "40"),
            ("CLICOLOR_FORCE", "1"),
            ("TERM", "dumb"),
        ] {
            let mut command = ask("https://127.0.0.1");
            let run = command
                .env("HTTPS_PROXY", server.url())
                .env(variable, value)
                .arg(flag)
                .assert();
            run.code(0).stdout(expected.clone()).stderr("");
        }
    }
    server.expect_no_request();
}

#[test]
fn the_help_does_not_show_the_key_in_the_environment() {
    for flag in ["-h", "--help"] {
        let help = run(clado().env("CLADO_API_KEY", KEY_WITHOUT_PREFIX).arg(flag)).stdout;
        expect_no_part_of(KEY_WITHOUT_PREFIX, &help);
        assert!(!help.contains('\u{1b}'), "{help}");
    }
}

#[test]
fn wrong_values_are_reported_before_anything_is_sent() {
    let server = Server::silent();
    for flags in [
        &["--min", "-1"][..],
        &["--min", "1,000"],
        &["--min", "abc"],
        &["--min", "1.5"],
        &["--min", ""],
        &["--min", "18446744073709551616"],
        &["--min"],
        &["--timeout", "0"],
        &["--timeout", "-1"],
        &["--timeout", "1e3"],
        &["--timeout", "nan"],
        &["--timeout", "inf"],
        &["--timeout", "5s"],
        &["--color", "sometimes"],
        &["--completions", "tcsh"],
        &["--json", "--plain"],
        &["--json", "--quiet"],
        &["--plain", "-q"],
        &["--api-key", KEY, "--api-key-file", "x"],
        &["positional"],
        &["--", "positional"],
        &["-x"],
        &["--jso"],
    ] {
        usage_error(ask(&server.url()).args(flags));
    }
    server.expect_no_request();
}

#[test]
fn a_minimum_that_is_too_large_is_called_too_large() {
    for minimum in ["18446744073709551616", "99999999999999999999"] {
        let error = usage_error(clado().args(["--min", minimum]));
        let expected =
            format!("error: invalid value '{minimum}' for '--min <CREDITS>': too large\n");
        assert!(error.starts_with(&expected), "{error}");
    }
}

#[test]
fn a_misspelled_flag_gets_a_suggestion() {
    let error = usage_error(clado().arg("--jsno"));
    assert!(
        error.contains("a similar argument exists: '--json'"),
        "{error}"
    );
}

#[test]
fn an_unknown_flag_is_named_unless_it_looks_like_a_key() {
    for (flag, named) in [
        ("--disk-usage", "'--disk-usage'"),
        ("--task-id=5", "'--task-id'"),
        ("--disk-usage-of-everything", "'--disk-usage-of-everything'"),
        ("--lk_live_0123456789abcdef", "'--(redacted)'"),
        ("--sk-0123456789abcdef", "'--(redacted)'"),
    ] {
        let error = usage_error(clado().arg(flag));
        assert!(
            error.starts_with(&format!("error: unexpected argument {named} found\n")),
            "{error}"
        );
        assert!(!error.contains("0123456789abcdef"), "{error}");
    }
}

#[test]
fn an_argument_without_a_flag_is_never_shown() {
    for argument in ["stray", "lk_live_0123456789abcdef", KEY_WITHOUT_PREFIX] {
        for arguments in [
            &[argument][..],
            &["--", argument],
            &["--json", argument],
            &[argument, "--plain"],
        ] {
            let error = usage_error(clado().args(arguments));
            let message = "error: unexpected argument (not shown: it may be a key)\n";
            assert!(error.starts_with(message), "{arguments:?}: {error}");
            assert!(!error.contains(argument), "{error}");
        }
    }
}

/// Command lines that are wrong because of the key.
fn wrong_because_of(key: &str) -> [Vec<String>; 8] {
    [
        vec!["--min".into(), key.into()],
        vec![format!("--min={key}")],
        vec!["--timeout".into(), key.into()],
        vec!["--color".into(), key.into()],
        vec!["--completions".into(), key.into()],
        vec!["--no-such-flag".into(), key.into()],
        vec![format!("--{key}")],
        vec![format!("--json={key}")],
    ]
}

#[test]
fn the_key_in_the_environment_never_shows_in_a_usage_error() {
    for key in [KEY, KEY_WITHOUT_PREFIX] {
        for wrong in wrong_because_of(key) {
            expect_no_part_of(
                key,
                &usage_error(clado().env("CLADO_API_KEY", key).args(wrong)),
            );
        }
    }
}

#[test]
fn the_key_before_a_wrong_argument_never_shows_in_the_error() {
    for key in [KEY, KEY_WITHOUT_PREFIX] {
        for wrong in wrong_because_of(key) {
            expect_no_part_of(
                key,
                &usage_error(clado().args(["--api-key", key]).args(wrong)),
            );
        }
    }
}

#[test]
fn the_key_after_a_wrong_argument_never_shows_in_the_error() {
    for key in [KEY, KEY_WITHOUT_PREFIX] {
        for wrong in wrong_because_of(key) {
            expect_no_part_of(
                key,
                &usage_error(clado().args(&wrong).args(["--api-key", key])),
            );
            expect_no_part_of(
                key,
                &usage_error(clado().args(&wrong).arg(format!("--api-key={key}"))),
            );
            let twice = ["--api-key", key, "--api-key", "lk_another_key_0123456789"];
            expect_no_part_of(key, &usage_error(clado().args(twice).args(&wrong)));
        }
    }
}

#[test]
fn wrong_arguments_are_quoted_without_control_characters() {
    for flags in [
        &["--min", "\u{1b}[31m"][..],
        &["--color", "\u{202e}evil"],
        &["--\u{9b}2J"],
    ] {
        let error = usage_error(clado().args(flags));
        assert!(
            !error.contains(['\u{1b}', '\u{202e}', '\u{9b}']),
            "{error:?}"
        );
    }
}

#[test]
fn a_repeated_flag_takes_its_last_value() {
    let api = api(200, r#"{"credits": 5}"#);
    let flags = ["--plain", "--plain", "--min", "9", "--min=5", "-v", "-v"];
    ask(&api.url()).args(flags).assert().code(0).stdout("5\n");
}

#[test]
fn an_option_of_curl_is_answered_with_what_there_is_instead() {
    for (argument, instead) in [
        ("--proxy=http://user:secret@proxy", "HTTPS_PROXY"),
        ("-xhttp://user:secret@proxy", "HTTPS_PROXY"),
        ("--noproxy=*", "NO_PROXY"),
        ("--cacert=secret.pem", "SSL_CERT_FILE"),
        ("--capath=secret", "SSL_CERT_DIR"),
        ("--max-time=5", "--timeout"),
        ("-m5", "--timeout"),
        ("--connect-timeout=5", "--timeout"),
        ("--header=Authorization: secret", "--api-key-file"),
        ("-HAuthorization: secret", "--api-key-file"),
        ("--insecure", "SSL_CERT_FILE"),
        ("-k", "SSL_CERT_FILE"),
        ("-s", "--quiet"),
        ("--url=https://secret.example", "--api-url"),
        ("--proxy-user=me:secret", "HTTPS_PROXY"),
        ("-Ume:secret", "HTTPS_PROXY"),
        ("--oauth2-bearer=secret", "--api-key-file"),
        ("--cert=secret.pem", "not supported"),
        ("--location", "not followed"),
        ("-L", "not followed"),
    ] {
        let run = run(clado().arg(argument));
        assert_eq!((run.code, run.stdout.as_str()), (Some(2), ""), "{argument}");
        let first_line = run.stderr.lines().next().unwrap();
        assert!(
            first_line.starts_with("error: unexpected argument '-"),
            "{first_line}"
        );
        assert!(first_line.contains(instead), "{first_line}");
        assert!(!run.stderr.contains("secret"), "{}", run.stderr);
    }
}

#[test]
fn what_is_wrong_with_a_time_limit_is_named() {
    for (limit, problem) in [
        ("1e-9", "not a number of seconds, such as 30 or 0.5"),
        ("0", "not above 0"),
        ("99999999999999999999999", "too large"),
    ] {
        let run = run(clado().args(["--timeout", limit]));
        assert_eq!((run.code, run.stdout.as_str()), (Some(2), ""), "{limit}");
        assert!(run.stderr.contains(problem), "{}", run.stderr);
    }
}

#[test]
fn the_largest_time_limit_is_no_problem() {
    let api = api(200, BALANCE);
    expect_balance(ask(&api.url()).args(["--timeout", "18446744073709549568"]));
}

#[test]
fn a_minimum_beyond_the_precision_of_a_float_is_exact() {
    let api = api(200, r#"{"credits": 9007199254740992}"#);
    for (minimum, code) in [("9007199254740992", 0), ("9007199254740993", 1)] {
        let run = run(ask(&api.url()).args(["--quiet", "--min", minimum]));
        assert_eq!(run.code, Some(code), "{minimum}");
    }
}

#[test]
fn a_quoted_url_is_named_as_such() {
    for quoted in ["\"https://search.clado.ai\"", "'https://search.clado.ai'"] {
        let mut command = ask(quoted);
        let message = &messages::bad_url("CLADO_API_URL", "it has quotes around it");
        expect_error(&mut command, 2, "usage", message, None);
    }
}
