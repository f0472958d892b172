//! Help, version and wrong command lines.

use crate::common::{KEY, Raw, clado};

const SHORT_HELP: &str = include_str!("data/short-help.txt");
const LONG_HELP: &str = include_str!("data/long-help.txt");

#[test]
fn help_and_version_are_as_agreed() {
    for (flag, text) in [
        ("-h", SHORT_HELP),
        ("--help", LONG_HELP),
        ("-V", concat!("clado-credits ", env!("CARGO_PKG_VERSION"), "\n")),
        ("--version", concat!("clado-credits ", env!("CARGO_PKG_VERSION"), "\n")),
    ] {
        clado().arg(flag).assert().code(0).stdout(text.replace("\r\n", "\n")).stderr("");
    }
}

#[test]
fn the_short_help_fits_a_terminal_and_leads_with_an_example() {
    assert!(SHORT_HELP.starts_with("Example: "));
    assert!(SHORT_HELP.lines().count() <= 24);
    assert!(SHORT_HELP.lines().chain(LONG_HELP.lines()).all(|line| line.chars().count() <= 110));
}

#[test]
fn help_and_completions_work_whatever_else_is_set() {
    let server = Raw::sending("");
    for (flag, start) in
        [("--help", LONG_HELP), ("-h", SHORT_HELP), ("--completions=bash", "_clado__credits() {")]
    {
        for others in [
            &[][..],
            &["--api-key", KEY],
            &["--api-key-file", "/nonexistent"],
            &["--api-key-file", "-"],
            &["--api-url", "nonsense"],
            &["--min", "5", "--timeout", "0.001", "--verbose", "--json"],
        ] {
            let run = clado()
                .env("CLADO_API_KEY", KEY)
                .env("CLADO_API_URL", server.url())
                .env("COLUMNS", "40")
                .env("CLICOLOR_FORCE", "1")
                .args(others)
                .arg(flag)
                .assert()
                .code(0)
                .stderr("");
            let shown = String::from_utf8_lossy(&run.get_output().stdout).into_owned();
            assert!(shown.starts_with(start.lines().next().unwrap()), "{shown}");
            assert!(!shown.contains(KEY));
            assert!(!shown.contains('\u{1b}'));
        }
    }
    clado().args(["--json", "--plain", "--help"]).assert().code(0);
    clado().env("CLADO_API_URL", "nonsense").arg("--completions=zsh").assert().code(0);
    assert!(server.requests.try_recv().is_err(), "a connection was made");
}

#[test]
fn wrong_values_are_told_before_anything_is_sent() {
    let server = Raw::sending("");
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
        let run = clado().env("CLADO_API_KEY", KEY).env("CLADO_API_URL", server.url()).args(flags).assert();
        let run = run.code(2).stdout("");
        let complaint = String::from_utf8_lossy(&run.get_output().stderr).into_owned();
        assert!(complaint.starts_with("error: ") && complaint.contains("--help"), "{flags:?}: {complaint}");
    }
    assert!(server.requests.try_recv().is_err(), "a connection was made");
}

#[test]
fn a_typing_error_gets_a_suggestion() {
    let run = clado().arg("--jsno").assert().code(2).stdout("");
    let complaint = String::from_utf8_lossy(&run.get_output().stderr).into_owned();
    assert!(complaint.contains("a similar argument exists: '--json'"), "{complaint}");
}

#[test]
fn wrong_arguments_are_quoted_harmless() {
    for flags in [&["--min", "\u{1b}[31m"][..], &["\u{202e}evil"], &["--\u{9b}2J"]] {
        let run = clado().args(flags).assert().code(2).stdout("");
        let complaint = String::from_utf8_lossy(&run.get_output().stderr).into_owned();
        assert!(!complaint.contains(['\u{1b}', '\u{202e}', '\u{9b}']), "{complaint:?}");
    }
}

#[test]
fn a_repeated_flag_takes_its_last_value() {
    let api = crate::common::api(200, r#"{"credits": 5}"#);
    crate::common::asking(&api.url())
        .args(["--plain", "--plain", "--min", "9", "--min=5", "-v", "-v"])
        .assert()
        .code(0)
        .stdout("5\n");
}
