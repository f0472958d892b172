//! Where the key may come from, what is trimmed and refused, and that nobody but the API sees it.

use std::fs;
use std::io::pipe;
use std::process::Stdio;

use assert_cmd::Command;

use crate::common::messages;
use crate::common::server::Server;
use crate::common::{
    BALANCE, KEY, KEY_WITHOUT_PREFIX, api, ask, clado, expect_balance, expect_error, run,
    std_command,
};

/// An API that answers only requests with this key.
fn api_for(key: &str) -> mockito::ServerGuard {
    let mut server = mockito::Server::new();
    let bearer = format!("Bearer {key}");
    server
        .mock("GET", "/api/credits")
        .match_header("authorization", bearer.as_str())
        .with_body(BALANCE)
        .create();
    server
}

#[test]
fn the_key_is_read_from_each_source_and_trimmed() {
    let api = api_for(KEY);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key");
    for (before, after) in [("", ""), ("", "\n"), (" \t", "\r\n\r\n"), ("\n\n", " ")] {
        let key = format!("{before}{KEY}{after}");
        fs::write(&file, &key).unwrap();
        let unset = || {
            let mut command = ask(&api.url());
            command.env_remove("CLADO_API_KEY");
            command
        };
        expect_balance(unset().env("CLADO_API_KEY", &key));
        expect_balance(unset().args(["--api-key", &key]));
        expect_balance(unset().arg(format!("--api-key={key}")));
        expect_balance(unset().arg("--api-key-file").arg(&file));
        expect_balance(unset().args(["--api-key-file", "-"]).write_stdin(key));
    }
}

#[test]
fn flags_beat_the_environment() {
    let api = api_for(KEY);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key");
    fs::write(&file, KEY).unwrap();
    let with_another_key = || {
        let mut command = ask(&api.url());
        command.env("CLADO_API_KEY", "lk_another_key");
        command
    };
    expect_balance(with_another_key().args(["--api-key", KEY]));
    expect_balance(with_another_key().arg("--api-key-file").arg(&file));
    expect_balance(
        with_another_key()
            .args(["--api-key-file", "-"])
            .write_stdin(KEY),
    );
    expect_balance(ask("https://clado.invalid").args(["--api-url", &api.url()]));
}

#[test]
fn the_two_flags_exclude_each_other() {
    let run = run(clado().args(["--api-key", KEY, "--api-key-file", "x"]));
    assert_eq!((run.code, run.stdout.as_str()), (Some(2), ""));
}

#[test]
fn blank_variables_count_as_unset() {
    for blank in ["", " ", "\t\n"] {
        for variable in ["CLADO_API_KEY", "CLADO_API_KEY_FILE"] {
            let message = format!("{}: {variable} is set, but blank", messages::NO_KEY);
            let mut command = clado();
            command.env(variable, blank).env("CLADO_API_URL", blank);
            expect_error(&mut command, 3, "no_api_key", &message, None);
        }
    }
}

#[test]
fn a_blank_key_is_an_error_where_a_flag_asks_for_it() {
    let server = Server::silent();
    for blank in ["", " ", "\t\n"] {
        let message = messages::bad_key("--api-key", "is blank");
        let mut command = ask(&server.url());
        command.arg(format!("--api-key={blank}"));
        expect_error(&mut command, 3, "no_api_key", &message, None);
        let message = messages::bad_key("standard input", "is blank");
        let mut command = ask(&server.url());
        command.args(["--api-key-file", "-"]).write_stdin(blank);
        let hint = Some("check the command or the file that it comes from");
        expect_error(&mut command, 3, "no_api_key", &message, hint);
    }
    server.expect_no_request();
}

#[test]
fn a_character_that_cannot_be_sent_is_named_with_its_place() {
    let server = Server::silent();
    let utf16 = |text: &str| {
        text.encode_utf16()
            .flat_map(u16::to_le_bytes)
            .collect::<Vec<u8>>()
    };
    for (key, problem, hint) in [
        (
            "lk_secret\nvalue".into(),
            "has a line break after character 9",
            Some(messages::KEY_ALONE),
        ),
        (
            "lk_secret\r\nvalue".into(),
            "has a line break after character 9",
            Some(messages::KEY_ALONE),
        ),
        (
            "lk_secret\tvalue".into(),
            "has a tab after character 9",
            None,
        ),
        (
            "lk_secret\u{7f}value".into(),
            "has a control character after character 9",
            None,
        ),
        (
            "lk_secret\0value".into(),
            "has a control character after character 9",
            None,
        ),
        (
            "\u{1b}lk_secretvalue".into(),
            "starts with a control character",
            None,
        ),
        (
            "lk_secretévalue".into(),
            "has a non-ASCII character after character 9",
            None,
        ),
        (
            b"lk_secret\xff".to_vec(),
            "has a non-ASCII character after character 9",
            None,
        ),
        (
            "\u{feff}lk_secretvalue".into(),
            "starts with a byte-order mark",
            Some(messages::SAVE_AS_ASCII),
        ),
        (
            utf16("\u{feff}lk_secretvalue"),
            "starts with a byte-order mark of UTF-16",
            Some(messages::SAVE_AS_ASCII),
        ),
        (
            "“lk_secretvalue”".into(),
            "starts with typographic quotes",
            Some("remove the quotes"),
        ),
        (
            "lk_secret’".into(),
            "has typographic quotes after character 9",
            Some("remove the quotes"),
        ),
    ] {
        let message = messages::bad_key("standard input", problem);
        let mut command = ask(&server.url());
        command.args(["--api-key-file", "-"]).write_stdin(key);
        expect_error(&mut command, 3, "no_api_key", &message, hint);
    }
    server.expect_no_request();
}

#[test]
fn the_source_of_a_bad_key_is_named() {
    let server = Server::silent();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key");
    let bad = "lk_secret\tvalue";
    fs::write(&file, bad).unwrap();
    let expect_problem = |source: &str, command: &mut Command| {
        let message = messages::bad_key(source, "has a tab after character 9");
        expect_error(command, 3, "no_api_key", &message, None);
    };
    expect_problem(
        "CLADO_API_KEY",
        ask(&server.url()).env("CLADO_API_KEY", bad),
    );
    expect_problem("--api-key", ask(&server.url()).args(["--api-key", bad]));
    expect_problem(
        &file.display().to_string(),
        ask(&server.url()).arg("--api-key-file").arg(&file),
    );
    server.expect_no_request();
}

#[cfg(unix)]
#[test]
fn a_variable_or_an_argument_that_is_not_utf8_is_refused() {
    use std::os::unix::ffi::OsStrExt;
    let key = std::ffi::OsStr::from_bytes(b"lk_secret\xffvalue");
    let problem = "has a non-ASCII character after character 9";
    let message = messages::bad_key("CLADO_API_KEY", problem);
    expect_error(
        clado().env("CLADO_API_KEY", key),
        3,
        "no_api_key",
        &message,
        None,
    );
    let message = messages::bad_key("--api-key", problem);
    expect_error(
        clado().arg("--api-key").arg(key),
        3,
        "no_api_key",
        &message,
        None,
    );
}

#[test]
fn a_key_of_the_longest_length_is_sent_whole() {
    let longest = "k".repeat(4096);
    let api = api_for(&longest);
    expect_balance(ask(&api.url()).env("CLADO_API_KEY", &longest));
    let padded = format!("{}{longest}\n", " ".repeat(4000));
    expect_balance(
        ask(&api.url())
            .args(["--api-key-file", "-"])
            .write_stdin(padded),
    );
}

#[test]
fn what_is_longer_than_a_key_is_refused_and_never_cut() {
    let server = Server::silent();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key");
    for key in [
        "k".repeat(4097),
        // More than is read at most, which would leave a part of the key.
        " ".repeat(8180) + KEY,
        KEY.to_owned() + &" ".repeat(9000),
        " ".repeat(9000),
        "k".repeat(1_000_000),
    ] {
        fs::write(&file, &key).unwrap();
        let message = messages::bad_key(file.display(), messages::KEY_TOO_LONG);
        let mut command = ask(&server.url());
        expect_error(
            command.arg("--api-key-file").arg(&file),
            3,
            "no_api_key",
            &message,
            None,
        );
        let message = messages::bad_key("standard input", messages::KEY_TOO_LONG);
        let mut command = ask(&server.url());
        command.args(["--api-key-file", "-"]).write_stdin(key);
        expect_error(&mut command, 3, "no_api_key", &message, None);
    }
    let message = messages::bad_key("CLADO_API_KEY", messages::KEY_TOO_LONG);
    let mut command = ask(&server.url());
    command.env("CLADO_API_KEY", "k".repeat(4097));
    expect_error(&mut command, 3, "no_api_key", &message, None);
    server.expect_no_request();
}

#[cfg(unix)]
#[test]
fn a_file_without_end_is_not_read_to_its_end() {
    let message = messages::bad_key("/dev/zero", messages::KEY_TOO_LONG);
    let mut command = clado();
    command.args(["--api-key-file", "/dev/zero"]);
    expect_error(&mut command, 3, "no_api_key", &message, None);
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let server = Server::silent();
    let folder = tempfile::tempdir().unwrap();
    for path in [folder.path().join("missing"), folder.path().to_owned()] {
        let run = run(ask(&server.url()).arg("--api-key-file").arg(&path));
        let message = messages::bad_key(path.display(), "could not be read: ");
        let start = format!("error: {message}");
        assert!(run.stderr.starts_with(&start), "{run:?}");
        assert_eq!((run.code, run.stdout.as_str()), (Some(3), ""));
    }
    server.expect_no_request();
}

#[cfg(unix)]
#[test]
fn the_path_of_the_key_file_is_escaped() {
    for (path, shown) in [
        (
            "/missing/\u{1b}[31m\u{7}\u{9b}\n",
            r"/missing/\u{1b}[31m\u{7}\u{9b}\n",
        ),
        (
            "/missing/\u{202e}\u{2066}\u{200b}",
            r"/missing/\u{202e}\u{2066}\u{200b}",
        ),
        ("/missing/clé/ключ", "/missing/clé/ключ"),
    ] {
        let message = messages::bad_key(shown, "could not be read: no such file or directory");
        expect_error(
            clado().args(["--api-key-file", path]),
            3,
            "no_api_key",
            &message,
            None,
        );
    }
}

#[test]
fn a_key_given_in_place_of_the_path_is_not_shown() {
    for key in [KEY, "lk_0123456789abcdef", "sk-0123456789abcdef"] {
        let run = run(clado().args(["--api-key-file", key]));
        let message = messages::bad_key("(redacted)", "could not be read: ");
        let start = format!("error: {message}");
        assert!(run.stderr.starts_with(&start), "{run:?}");
        assert_eq!((run.code, run.stdout.as_str()), (Some(3), ""));
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_terminal_is_not_read_from() {
    use crate::common::{has_program, on_terminal};
    if has_program("script") {
        let run = run(&mut on_terminal("http://127.0.0.1", "--api-key-file -"));
        let shown = "error: cannot read the API key: standard input is a terminal\r\n\
            hint: pipe the key in, or name a file: --api-key-file <PATH>\r\n";
        assert_eq!((run.code, run.stdout.as_str()), (Some(3), shown));
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_pipe_is_read_from_whatever_the_other_streams_are() {
    use crate::common::{has_program, on_terminal};
    if has_program("script") {
        let api = api_for(KEY);
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key");
        fs::write(&file, KEY).unwrap();
        // Standard output and standard error stay on the terminal.
        let arguments = format!("--plain --api-key-file - < {}", file.display());
        let run = run(&mut on_terminal(&api.url(), &arguments));
        assert_eq!((run.code, run.stdout.as_str()), (Some(0), "247\r\n"));
    }
}

#[test]
fn standard_input_is_not_read_unless_asked_for() {
    let api = api(200, BALANCE);
    // A program that read from the pipe would wait as long as it is open.
    let (stdin, held_open) = pipe().unwrap();
    let status = std_command(&ask(&api.url()))
        .stdin(stdin)
        .stdout(Stdio::null())
        .status()
        .unwrap();
    drop(held_open);
    assert_eq!(status.code(), Some(0));
}

#[test]
fn a_rejected_key_is_described_but_not_shown() {
    let api = api(401, r#"{"detail": "Invalid API key"}"#);
    let message = messages::key_rejected(401) + ": Invalid API key";
    let expect_hint = |command: &mut Command, hint: String| {
        expect_error(command, 3, "unauthorized", &message, Some(&hint));
    };
    for key in ["lk_test_not_a_real_key", "sk-test_not_a_real_key"] {
        let hint = messages::key_came_from("CLADO_API_KEY");
        expect_hint(ask(&api.url()).env("CLADO_API_KEY", key), hint);
    }
    let bearer = "starts with \"Bearer \", which is added for you";
    let quotes = "has quotes around it";
    for (key, problem) in [
        ("pk_test_not_a_real_key", messages::UNUSUAL_PREFIX),
        ("Bearer lk_test", bearer),
        ("bearer lk_test", bearer),
        ("\"lk_test\"", quotes),
        ("'lk_test'", quotes),
        ("lk_test'", quotes),
        ("lk_te st", "has a space inside"),
    ] {
        let hint = messages::odd_key("CLADO_API_KEY", problem);
        expect_hint(ask(&api.url()).env("CLADO_API_KEY", key), hint);
    }
    let hint = messages::key_came_from("--api-key");
    expect_hint(ask(&api.url()).args(["--api-key", KEY]), hint);
    let hint = messages::key_came_from("standard input");
    let mut command = ask(&api.url());
    expect_hint(command.args(["--api-key-file", "-"]).write_stdin(KEY), hint);
}

#[test]
fn a_web_page_with_a_403_does_not_blame_the_key() {
    let api = api(403, "<html>Blocked by the firewall</html>");
    let message = format!("access denied (HTTP 403){}", messages::WITH_A_WEB_PAGE);
    let hint = messages::check_url(&api.url());
    let mut command = ask(&api.url());
    expect_error(&mut command, 3, "unauthorized", &message, Some(&hint));
}

#[test]
fn a_short_key_changes_nothing_in_a_good_run() {
    let api = api(200, BALANCE);
    let json = format!("{BALANCE}\n");
    for key in ["a", "1", "test", "credits"] {
        let run = run(ask(&api.url())
            .env("CLADO_API_KEY", key)
            .args(["--json", "--verbose"]));
        assert_eq!(
            (run.code, run.stdout.as_str()),
            (Some(0), json.as_str()),
            "{run:?}"
        );
        let request = format!(
            "GET {}/api/credits, Authorization: Bearer (redacted)",
            api.url()
        );
        assert!(run.stderr.contains(&request), "{run:?}");
    }
}

/// Runs that meet the key in replies, arguments and URLs show no six characters in a row of it.
#[test]
fn the_key_is_in_no_output() {
    for key in [KEY, KEY_WITHOUT_PREFIX] {
        let quoting = |status| {
            api(
                status,
                format!(r#"{{"detail": "no such key: {key} (…{})"}}"#, &key[8..]),
            )
        };
        let (good, unauthorized, failing) = (api(200, BALANCE), quoting(401), quoting(500));
        let odd_date = api(
            200,
            format!(r#"{{"credits": 5, "last_topup_at": "{}"}}"#, &key[3..]),
        );
        let reply = |head: &str| {
            Server::sending(format!(
                "HTTP/1.1 {head}: {key}\r\nContent-Length: 0\r\n\r\n"
            ))
        };
        let compressed = reply("200 OK\r\nContent-Encoding");
        let redirect = reply("302 Found\r\nLocation");
        let urls = [
            good.url(),
            unauthorized.url(),
            failing.url(),
            odd_date.url(),
            compressed.url(),
            redirect.url(),
            format!("{}/{key}", good.url()),
            format!("https://{key}"),
            key.to_owned(),
        ];
        let flags: [&[&str]; 11] = [
            &[],
            &["--json"],
            &["--json", "--verbose"],
            &["--min", "500"],
            &["--help"],
            &["--completions", "bash"],
            &[key],
            &["--min", key],
            &["--no-such-flag", key],
            &["--api-key-file", key],
            &["--api-key", key, "--api-key-file", key],
        ];
        for url in urls {
            for flags in flags {
                let mut command = ask(&url);
                command.env("CLADO_API_KEY", key).env("RUST_BACKTRACE", "1");
                let run = run(command.args(flags));
                let shown = run.stdout + &run.stderr;
                for piece in key
                    .as_bytes()
                    .windows(6)
                    .map(|piece| std::str::from_utf8(piece).unwrap())
                {
                    assert!(
                        !shown.contains(piece),
                        "{piece} in the output of {flags:?} at {url}:\n{shown}"
                    );
                }
            }
        }
    }
}
