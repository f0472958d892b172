//! Where a key can be: files, variables, pipes. Whatever it came from, it is not shown.

use std::fs;
use std::path::PathBuf;
#[cfg(unix)]
use std::{
    io::Write,
    mem::MaybeUninit,
    os::{fd::OwnedFd, unix::net::UnixStream},
    process::Stdio,
};

#[cfg(unix)]
use socket2::SockRef;
use tempfile::TempDir;

use crate::common::messages;
use crate::common::server::Server;
use crate::common::{
    BALANCE, KEY, api, ask, clado, expect_balance, expect_error, expect_json_error, good_reply, run,
};

/// A key without a known prefix, so that nothing but the list of keys can hide it.
const PLAIN_KEY: &str = "an-unremarkable-key-0123";

/// A folder with a file `key` of this content.
struct KeyFile {
    folder: TempDir,
}

impl KeyFile {
    fn new(content: &str) -> KeyFile {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("key"), content).unwrap();
        KeyFile { folder }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("key")
    }
}

#[test]
fn the_key_is_read_from_the_file_that_a_variable_names() {
    let server = Server::sending(good_reply());
    let file = KeyFile::new(&format!("{KEY}\n"));
    let mut command = clado();
    command.env("CLADO_API_URL", server.url());
    command.env("CLADO_API_KEY_FILE", file.path());
    expect_balance(&mut command);
    let request = server.expect_one_request();
    let header = format!("Authorization: Bearer {KEY}\r\n");
    assert!(
        request.to_lowercase().contains(&header.to_lowercase()),
        "{request}"
    );
}

#[test]
fn the_flags_and_the_key_in_a_variable_come_before_the_file_in_a_variable() {
    let api = api(200, BALANCE);
    let missing = "/nonexistent/key";
    expect_balance(ask(&api.url()).env("CLADO_API_KEY_FILE", missing));
    let mut without_key = clado();
    without_key
        .env("CLADO_API_URL", api.url())
        .env("CLADO_API_KEY_FILE", missing);
    expect_balance(without_key.args(["--api-key", KEY]));
}

#[test]
fn a_file_that_a_variable_names_is_named_with_the_variable() {
    let file = KeyFile::new("lk_test\tx");
    let path = file.path();
    let name = format!("{} (from CLADO_API_KEY_FILE)", path.display());
    let mut command = clado();
    command.env("CLADO_API_KEY_FILE", &path);
    let message = messages::bad_key(&name, "has a tab after character 7");
    expect_error(&mut command, 3, "no_api_key", &message, None);

    let api = api(401, "");
    fs::write(&path, KEY).unwrap();
    command.env("CLADO_API_URL", api.url());
    let error = expect_json_error(&mut command, 3, "unauthorized");
    assert_eq!(error["hint"], messages::key_came_from(name));
}

#[test]
fn standard_input_is_not_read_for_a_variable() {
    let mut command = clado();
    command.env("CLADO_API_KEY_FILE", "-").write_stdin(KEY);
    let error = expect_json_error(&mut command, 3, "no_api_key");
    let message = error["message"].as_str().unwrap();
    assert!(
        message.starts_with(&messages::bad_key(
            "- (from CLADO_API_KEY_FILE)",
            "could not be read: "
        )),
        "{message}"
    );
    let hint = "standard input is read only for --api-key-file -";
    assert_eq!(error["hint"], hint);
}

#[test]
fn a_blank_variable_with_the_key_leaves_it_to_the_file() {
    let api = api(200, BALANCE);
    let file = KeyFile::new(KEY);
    for blank in ["", " \t"] {
        expect_balance(
            ask(&api.url())
                .env("CLADO_API_KEY", blank)
                .env("CLADO_API_KEY_FILE", file.path()),
        );
    }
}

#[test]
fn an_empty_key_file_or_url_flag_is_not_replaced_by_the_variable() {
    let server = Server::silent();
    for flag in ["--api-key-file", "--api-url"] {
        let run = run(ask(&server.url()).args([flag, ""]));
        assert_eq!((run.code, run.stdout.as_str()), (Some(2), ""), "{flag}");
    }
    server.expect_no_request();
}

#[test]
fn what_is_odd_about_the_path_of_a_missing_key_file_is_named() {
    for (path, hint) in [
        (
            "$HOME/.config/clado/key",
            Some("the variable in the path was not expanded; write the full path"),
        ),
        ("\"/etc/clado/key\"", Some("the path has quotes around it")),
        ("'/etc/clado/key'", Some("the path has quotes around it")),
        ("no/such/file~$\"", None),
    ] {
        let mut with_variable = clado();
        with_variable.env("CLADO_API_KEY_FILE", path);
        let mut with_flag = clado();
        with_flag.args(["--api-key-file", path]);
        for mut command in [with_variable, with_flag] {
            let error = expect_json_error(&mut command, 3, "no_api_key");
            assert_eq!(error["hint"].as_str(), hint, "{path}");
        }
    }
}

#[test]
fn a_path_whose_home_directory_the_shell_did_not_expand_is_named_as_such() {
    let hint = Some("the shell did not expand ~; write the full path");
    for (variable, flags) in [
        ("CLADO_API_KEY_FILE", &[][..]),
        ("TERM", &["--api-key-file=~/.config/clado/key"]),
    ] {
        let mut command = clado();
        command.env(variable, "~/.config/clado/key").args(flags);
        let error = expect_json_error(&mut command, 3, "no_api_key");
        assert_eq!(error["hint"].as_str(), hint);
    }
}

#[test]
fn a_line_of_an_environment_file_in_place_of_the_key_is_named_after_a_401() {
    let api = api(401, "");
    for (line, hint) in [
        (
            "CLADO_API_KEY=lk_test_not_a_real_key",
            "has \"CLADO_API_KEY=\" in front",
        ),
        (
            "export CLADO_API_KEY=lk_test_not_a_real_key",
            "has \"export\" in front",
        ),
    ] {
        let file = KeyFile::new(line);
        let mut command = ask(&api.url());
        command.arg("--api-key-file").arg(file.path());
        let error = expect_json_error(&mut command, 3, "unauthorized");
        assert!(error["hint"].as_str().unwrap().contains(hint), "{error}");
    }
}

#[test]
fn a_key_file_with_two_lines_is_refused_with_a_hint_for_files() {
    let file = KeyFile::new("lk_first\nlk_second\n");
    let path = file.path();
    let message = messages::bad_key(path.display(), "has a line break after character 8");
    let mut command = clado();
    command.arg("--api-key-file").arg(&path);
    expect_error(
        &mut command,
        3,
        "no_api_key",
        &message,
        Some(messages::KEY_ALONE),
    );
}

#[test]
fn a_variable_in_lower_case_is_not_read() {
    if cfg!(windows) {
        return; // There the names have no case.
    }
    let mut command = clado();
    command
        .env("clado_api_key", KEY)
        .env("clado_api_key_file", "/dev/null");
    let error = expect_json_error(&mut command, 3, "no_api_key");
    assert_eq!(error["message"], messages::NO_KEY);
}

#[test]
fn a_variable_with_a_similar_name_is_not_read() {
    let file = KeyFile::new(KEY);
    let mut command = clado();
    for name in [
        "API_KEY",
        "CLADO_KEY",
        "CLADO_TOKEN",
        "CLADO_CREDITS_API_KEY",
    ] {
        command
            .env(name, KEY)
            .env(format!("{name}_FILE"), file.path());
    }
    let error = expect_json_error(&mut command, 3, "no_api_key");
    assert_eq!(error["message"], messages::NO_KEY);
}

/// Gives the key from each source to `check`.
fn with_key_from_each_source(url: &str, check: impl Fn(&mut assert_cmd::Command)) {
    let file = KeyFile::new(PLAIN_KEY);
    check(ask(url).env("CLADO_API_KEY", PLAIN_KEY));
    check(ask(url).args(["--api-key", PLAIN_KEY]));
    check(ask(url).arg("--api-key-file").arg(file.path()));
    check(
        ask(url)
            .args(["--api-key-file", "-"])
            .write_stdin(PLAIN_KEY),
    );
    check(
        clado()
            .env("CLADO_API_URL", url)
            .env("CLADO_API_KEY_FILE", file.path()),
    );
}

#[test]
fn a_key_from_any_source_is_hidden_in_a_message_of_the_server() {
    let api = api(500, format!("no such key: {PLAIN_KEY}"));
    with_key_from_each_source(&api.url(), |command| {
        let stderr = run(command).stderr;
        assert!(stderr.contains("no such key: (redacted)"), "{stderr}");
    });
}

#[test]
fn a_reply_that_repeats_the_key_from_any_source_is_not_printed() {
    let api = api(200, format!(r#"{{"credits": 1, "key": "{PLAIN_KEY}"}}"#));
    with_key_from_each_source(&api.url(), |command| {
        let error = expect_json_error(command, 8, "unexpected_reply");
        assert_eq!(error["retryable"], false);
    });
}

#[test]
fn the_key_of_a_variable_is_hidden_also_when_a_flag_gives_another() {
    let api = api(500, format!("unknown: {PLAIN_KEY}"));
    let mut command = ask(&api.url());
    command
        .env("CLADO_API_KEY", PLAIN_KEY)
        .args(["--api-key", KEY]);
    let stderr = run(&mut command).stderr;
    assert!(stderr.contains("unknown: (redacted)"), "{stderr}");
}

#[test]
fn the_name_of_a_key_file_is_escaped_in_the_hint_of_a_401() {
    if cfg!(windows) {
        return; // There it can't be the name of a file.
    }
    let api = api(401, "");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a\u{1b}[31mb");
    fs::write(&path, KEY).unwrap();
    let stderr = run(ask(&api.url()).arg("--api-key-file").arg(&path)).stderr;
    assert!(stderr.contains(r"a\u{1b}[31mb"), "{stderr:?}");
}

#[cfg(unix)]
#[test]
fn the_key_is_read_from_a_named_pipe_and_from_a_descriptor() {
    let api = api(200, BALANCE);
    let folder = tempfile::tempdir().unwrap();
    let fifo = folder.path().join("fifo");
    let made = std::process::Command::new("mkfifo")
        .arg(&fifo)
        .status()
        .unwrap();
    assert!(made.success());
    let writer = std::thread::spawn({
        let fifo = fifo.clone();
        // Opening waits for the reader. A second reader would wait for a second writer.
        move || fs::write(fifo, KEY).unwrap()
    });
    expect_balance(ask(&api.url()).arg("--api-key-file").arg(&fifo));
    writer.join().unwrap();
    expect_balance(
        ask(&api.url())
            .args(["--api-key-file", "/dev/fd/0"])
            .write_stdin(KEY),
    );
}

#[cfg(unix)]
#[test]
fn standard_input_that_does_not_block_is_waited_for() {
    let server = Server::sending(good_reply());
    let (mut ours, theirs) = UnixStream::pair().unwrap();
    theirs.set_nonblocking(true).unwrap();
    let unread = theirs.try_clone().unwrap();
    let mut command =
        crate::common::std_command(ask(&server.url()).args(["--plain", "--api-key-file", "-"]));
    command.stdin(Stdio::from(OwnedFd::from(theirs)));
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let (start, end) = KEY.split_at(5);
    ours.write_all(start.as_bytes()).unwrap();
    // The next read of the program finds nothing.
    let is_empty = || {
        SockRef::from(&unread)
            .peek(&mut [MaybeUninit::uninit()])
            .is_err()
    };
    while !is_empty() && child.try_wait().unwrap().is_none() {
        std::thread::yield_now();
    }
    // It may fail if the program has ended, which is what the exit code says below.
    let _ = ours.write_all(end.as_bytes());
    drop(ours);
    let run = crate::common::finish(child);
    assert_eq!(run.stderr, "");
    assert_eq!(run.stdout, "247\n");
    assert_eq!(run.code, Some(0));
    let header = format!(" Bearer {KEY}\r\n");
    assert!(server.expect_one_request().contains(&header));
}

#[cfg(unix)]
#[test]
fn standard_input_that_does_not_block_and_stays_empty_is_waited_for_until_the_deadline() {
    let (_ours, theirs) = UnixStream::pair().unwrap();
    theirs.set_nonblocking(true).unwrap();
    let mut command =
        crate::common::std_command(clado().args(["--api-key-file", "-", "--timeout", "0.5"]));
    command.stdin(Stdio::from(OwnedFd::from(theirs)));
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let run = crate::common::finish(command.spawn().unwrap());
    let message = "error: could not read the API key from standard input within 0.5 seconds\n";
    assert_eq!(run.stderr, message);
    assert_eq!(run.stdout, "");
    assert_eq!(run.code, Some(7));
}
