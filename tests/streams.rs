//! Streams that are closed, full or gone: no panic, no wrong exit code.

use std::io::pipe;
use std::process::Stdio;

use crate::common::{BALANCE, KEY, api, bare};

/// The exit code and standard error with this standard output.
fn run(url: &str, flags: &[&str], stdout: impl Into<Stdio>) -> (Option<i32>, String) {
    let mut command = bare();
    command.env("CLADO_API_KEY", KEY).env("CLADO_API_URL", url).env("RUST_BACKTRACE", "1").args(flags);
    let output = command.stdout(stdout).output().unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

/// A pipe whose reader has gone before the first byte, unlike that of `| head`.
fn closed_pipe() -> Stdio {
    let (reader, writer) = pipe().unwrap();
    drop(reader);
    writer.into()
}

#[test]
fn a_reader_that_went_away_changes_nothing() {
    let api = api(200, BALANCE);
    for (flags, code) in [
        (&[][..], 0),
        (&["--json"], 0),
        (&["--plain"], 0),
        (&["--help"], 0),
        (&["-h"], 0),
        (&["--version"], 0),
        (&["--completions", "zsh"], 0),
    ] {
        assert_eq!(run(&api.url(), flags, closed_pipe()), (Some(code), String::new()), "{flags:?}");
    }
    let (code, complaint) = run(&api.url(), &["--min", "500"], closed_pipe());
    assert_eq!((code, complaint.as_str()), (Some(1), "247 credits left, below the minimum of 500\n"));
}

#[test]
fn errors_that_nobody_reads_keep_their_exit_code() {
    let api = api(500, "");
    for (flags, code) in [(&[][..], 5), (&["--verbose"], 5), (&["--json"], 5), (&["--no-such-flag"], 2)] {
        let mut command = bare();
        command.env("CLADO_API_KEY", KEY).env("CLADO_API_URL", api.url()).args(flags);
        let status = command.stdout(Stdio::null()).stderr(closed_pipe()).status().unwrap();
        assert_eq!(status.code(), Some(code), "{flags:?}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_told_for_help_and_completions_too() {
    for flags in [&["--help"][..], &["--version"], &["--completions", "fish"]] {
        let full = std::fs::File::create("/dev/full").unwrap();
        let expected = "error: could not write the output: no space left on device\n".to_owned();
        assert_eq!(run("", flags, full), (Some(9), expected), "{flags:?}");
    }
}

#[cfg(unix)]
#[test]
fn a_standard_output_that_is_open_for_reading_only_is_9() {
    let api = api(200, BALANCE);
    let file = std::fs::File::open("/dev/null").unwrap();
    let expected = "error: could not write the output: bad file descriptor\n".to_owned();
    assert_eq!(run(&api.url(), &[], file), (Some(9), expected));
}

/// The runtime opens /dev/null in place of a stream that is closed, so that nothing else gets its number.
#[cfg(unix)]
#[test]
fn streams_that_are_closed_do_no_harm() {
    let api = api(200, BALANCE);
    let binary = assert_cmd::cargo::cargo_bin!("clado-credits").to_str().unwrap();
    for (redirections, minimum, code) in [(">&-", "1", 0), (">&- 2>&-", "500", 1), ("<&- >&- 2>&-", "1", 0)] {
        let status = std::process::Command::new("sh")
            .args(["-c", &format!("exec \"$0\" --min \"$1\" {redirections}"), binary, minimum])
            .env_clear()
            .env("CLADO_API_KEY", KEY)
            .env("CLADO_API_URL", api.url())
            .status()
            .unwrap();
        assert_eq!(status.code(), Some(code), "{redirections}");
    }
}
