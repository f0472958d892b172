//! Where the key may come from, what is done to it, and that it is shown to nobody but the service.

use std::fs;

use crate::common::{BALANCE, KEY, Raw, api, asking, clado};

/// A stand-in that answers [`KEY`] and nothing else.
fn locked() -> mockito::ServerGuard {
    let mut server = mockito::Server::new();
    let bearer = format!("Bearer {KEY}");
    server
        .mock("GET", "/api/credits")
        .match_header("authorization", bearer.as_str())
        .with_body(BALANCE)
        .create();
    server
}

#[test]
fn flag_environment_file_and_standard_input_all_do() {
    let server = locked();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key");
    for blanks in [("", ""), ("", "\n"), (" \t", "\r\n\r\n"), ("\n\n", " ")] {
        let key = format!("{}{KEY}{}", blanks.0, blanks.1);
        fs::write(&file, &key).unwrap();
        let mut runs: [_; 5] = std::array::from_fn(|_| clado());
        runs[0].args(["--api-key", &key]);
        runs[1].arg(format!("--api-key={key}"));
        runs[2].env("CLADO_API_KEY", &key);
        runs[3].arg("--api-key-file").arg(&file);
        runs[4].args(["--api-key-file", "-"]).write_stdin(key);
        for mut run in runs {
            run.env("CLADO_API_URL", server.url()).assert().code(0).stderr("");
        }
    }
}

#[test]
fn a_flag_beats_the_environment() {
    let server = locked();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key");
    fs::write(&file, KEY).unwrap();
    let wrong = |url: &str| {
        let mut command = asking(url);
        command.env("CLADO_API_KEY", "lk_wrong");
        command
    };
    wrong(&server.url()).args(["--api-key", KEY]).assert().code(0);
    wrong(&server.url()).arg("--api-key-file").arg(&file).assert().code(0);
    wrong(&server.url()).args(["--api-key-file", "-"]).write_stdin(KEY).assert().code(0);
}

#[test]
fn two_flags_exclude_each_other() {
    clado().args(["--api-key", KEY, "--api-key-file", "x"]).assert().code(2).stdout("");
}

#[test]
fn a_key_that_can_not_be_sent_is_3_without_a_request_and_without_being_shown() {
    let server = Raw::sending("");
    for (key, reason) in [
        ("lk_secret\nvalue".into(), "has a control or non-ASCII character (the one at position 10)"),
        ("lk_secret\tvalue".into(), "has a control or non-ASCII character (the one at position 10)"),
        ("lk_secret\u{7f}value".into(), "has a control or non-ASCII character (the one at position 10)"),
        ("lk_secretévalue".into(), "has a control or non-ASCII character (the one at position 10)"),
        ("\u{feff}lk_secretvalue".into(), "has a control or non-ASCII character (the one at position 1)"),
        (format!("lk_secretvalue{}", "x".repeat(4096)), "is longer than 4096 characters"),
        ("x".repeat(1_000_000), "is longer than 4096 characters"),
    ] {
        let mut runs = vec![("standard input", asking(&server.url()))];
        runs[0].1.args(["--api-key-file", "-"]).write_stdin(key.clone());
        // Longer than that, and Linux starts no program with it.
        if key.len() < 100_000 {
            runs.push(("CLADO_API_KEY", asking(&server.url())));
            runs.push(("--api-key", asking(&server.url())));
            runs[1].1.env("CLADO_API_KEY", &key);
            runs[2].1.arg(format!("--api-key={key}"));
        }
        for (source, mut command) in runs {
            command.env("RUST_BACKTRACE", "1");
            let expected = format!("error: the API key from {source} {reason}\n");
            command.assert().code(3).stdout("").stderr(expected);
        }
    }
    assert!(server.requests.try_recv().is_err(), "a connection was made");
}

#[cfg(unix)]
#[test]
fn a_key_of_arbitrary_bytes_is_3() {
    use std::os::unix::ffi::OsStringExt;
    let key = std::ffi::OsString::from_vec(b"lk_secret\xff".to_vec());
    let expected = "has a control or non-ASCII character (the one at position 10)\n";
    for (source, run) in [
        ("CLADO_API_KEY", clado().env("CLADO_API_KEY", &key).assert()),
        ("--api-key", clado().arg("--api-key").arg(&key).assert()),
    ] {
        run.code(3).stdout("").stderr(format!("error: the API key from {source} {expected}"));
    }
}

#[test]
fn blank_is_unset_in_the_environment_and_an_error_where_it_was_named() {
    for blank in ["", " ", "\t\n"] {
        clado()
            .env("CLADO_API_KEY", blank)
            .assert()
            .code(3)
            .stderr("error: no API key\nhint: set CLADO_API_KEY or use --api-key-file <PATH>\n");
        let named = asking("http://127.0.0.1:9").arg(format!("--api-key={blank}")).assert();
        named.code(3).stderr("error: the API key from --api-key is blank\n");
        let piped = asking("http://127.0.0.1:9").args(["--api-key-file", "-"]).write_stdin(blank).assert();
        piped.code(3).stderr("error: the API key from standard input is blank\n");
    }
}

#[test]
fn a_file_that_can_not_be_read_is_3_and_named() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("missing");
    asking("http://127.0.0.1:9").arg("--api-key-file").arg(&missing).assert().code(3).stdout("").stderr(
        format!(
            "error: the API key from {} could not be read: no such file or directory\n",
            missing.display()
        ),
    );
    let run = asking("http://127.0.0.1:9").arg("--api-key-file").arg(folder.path()).assert().code(3);
    assert!(String::from_utf8_lossy(&run.get_output().stderr).contains("could not be read"));
}

#[test]
fn a_key_given_in_place_of_the_path_is_not_shown() {
    asking("http://127.0.0.1:9").args(["--api-key-file", KEY]).assert().code(3).stderr(
        "error: the API key from the file given with --api-key-file could not be read: no such file or directory\n",
    );
}

#[cfg(target_os = "linux")]
#[test]
fn a_file_without_end_is_not_read_to_its_end() {
    let run = asking("http://127.0.0.1:9").args(["--api-key-file", "/dev/zero"]).assert().code(3).stdout("");
    assert!(String::from_utf8_lossy(&run.get_output().stderr).contains("position 1"));
}

/// `script` gives the program a terminal to read from.
#[cfg(target_os = "linux")]
#[test]
fn a_terminal_is_not_read_from() {
    let command = format!("{} --api-key-file -", assert_cmd::cargo::cargo_bin!("clado-credits").display());
    let mut script = std::process::Command::new("script");
    script.args(["-qec", &command, "/dev/null"]).env_clear();
    let Ok(output) = script.envs(std::env::var_os("PATH").map(|path| ("PATH", path))).output() else {
        return;
    };
    let shown = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(
        shown.replace("\r\n", "\n"),
        "error: the API key from standard input would come from a terminal\n\
         hint: pipe the key in, or name a file: --api-key-file <PATH>\n"
    );
    assert_eq!(output.status.code(), Some(3));
}

#[test]
fn standard_input_is_left_alone_unless_it_is_asked_for() {
    let server = api(200, BALANCE);
    let mut command = crate::common::bare();
    command.env("CLADO_API_KEY", KEY).env("CLADO_API_URL", server.url());
    // The pipe is held open: a program that read from it would wait.
    let mut child =
        command.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::null()).spawn().unwrap();
    let pipe = child.stdin.take();
    assert!(child.wait().unwrap().success());
    drop(pipe);
}

#[test]
fn a_rejected_key_is_described_but_not_shown() {
    let server = api(401, r#"{"detail": "Invalid API key"}"#);
    for (key, hint) in [
        ("lk_test_not_a_real_key", "the key came from CLADO_API_KEY"),
        ("sk-test_not_a_real_key", "the key came from CLADO_API_KEY"),
        ("pk_test_not_a_real_key", "the key from CLADO_API_KEY does not start with \"lk_\""),
        ("Bearer lk_test", "the key from CLADO_API_KEY starts with \"Bearer \", which is added for you"),
        ("\"lk_test\"", "the key from CLADO_API_KEY has quotes around it"),
        ("lk_test'", "the key from CLADO_API_KEY has quotes around it"),
        ("lk_te st", "the key from CLADO_API_KEY has a blank inside"),
    ] {
        let expected = format!("error: the API key was rejected (HTTP 401): Invalid API key\nhint: {hint}\n");
        asking(&server.url()).env("CLADO_API_KEY", key).assert().code(3).stderr(expected);
    }
    let expected =
        "error: the API key was rejected (HTTP 401): Invalid API key\nhint: the key came from --api-key\n";
    asking(&server.url()).args(["--api-key", KEY]).assert().code(3).stderr(expected);
}

/// No run, whatever goes wrong in it, shows six characters in a row of the key.
#[test]
fn the_key_is_in_no_output() {
    let quoting = |status| api(status, format!(r#"{{"detail": "no such key: {KEY} (…{})"}}"#, &KEY[8..]));
    let (good, unauthorized, failing) = (api(200, BALANCE), quoting(401), quoting(500));
    let odd_date = api(200, format!(r#"{{"credits": 5, "last_topup_at": "{}"}}"#, &KEY[3..]));
    let urls = [&good.url(), &unauthorized.url(), &failing.url(), &odd_date.url(), "http://127.0.0.1:1", "x"];
    let flags: [&[&str]; 12] = [
        &[],
        &["--json"],
        &["--verbose"],
        &["--json", "--verbose"],
        &["--min", "500"],
        &["--help"],
        &["-h"],
        &["--completions", "bash"],
        &[KEY],
        &["--min", KEY],
        &["--no-such-flag", KEY],
        &["--api-key", KEY, "--api-key-file", KEY],
    ];
    for url in urls {
        for flags in flags {
            let run = asking(url).args(flags).env("RUST_BACKTRACE", "1").assert();
            let output = run.get_output();
            let shown = [&output.stdout[..], &output.stderr[..]].concat();
            let shown = String::from_utf8(shown).unwrap();
            for piece in KEY.as_bytes().windows(6) {
                let piece = std::str::from_utf8(piece).unwrap();
                assert!(!shown.contains(piece), "{piece} in the output of {flags:?} at {url}:\n{shown}");
            }
        }
    }
}
