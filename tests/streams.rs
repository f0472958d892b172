//! Standard streams that are closed, full, slow or gone: no panic, no wrong exit code, nothing lost.

use std::io::{Read, pipe};
use std::process::Stdio;
use std::thread;
use std::time::Duration;

use crate::common::messages;
use crate::common::{BALANCE, LONGEST_BODY, Run, api, ask, balance_of_length, finish, std_command};

/// Runs with this standard output.
fn run_into(stdout: impl Into<Stdio>, command: &assert_cmd::Command) -> Run {
    let mut command = std_command(command);
    command.stdout(stdout).stderr(Stdio::piped());
    finish(command.env("RUST_BACKTRACE", "1").spawn().unwrap())
}

/// A pipe whose reader is gone before the first byte; that of `| head` may be slower than the program.
fn closed_pipe() -> Stdio {
    let (reader, writer) = pipe().unwrap();
    drop(reader);
    writer.into()
}

#[test]
fn a_reader_that_is_gone_changes_nothing() {
    let api = api(200, BALANCE);
    for flags in [
        &[][..],
        &["--json"],
        &["--plain"],
        &["--help"],
        &["-h"],
        &["--version"],
        &["--completions", "zsh"],
    ] {
        let run = run_into(closed_pipe(), ask(&api.url()).args(flags));
        assert_eq!(run.stderr, "", "{flags:?}");
        assert_eq!(run.code, Some(0), "{flags:?}");
    }
    let run = run_into(closed_pipe(), ask(&api.url()).args(["--min", "500"]));
    assert_eq!(run.stderr, messages::below_minimum(247, 500) + "\n");
    assert_eq!(run.code, Some(1));
}

#[test]
fn errors_that_nobody_reads_keep_their_exit_code() {
    let api = api(500, "");
    for (flags, code) in [
        (&[][..], 5),
        (&["--verbose"], 5),
        (&["--json"], 5),
        (&["--no-such-flag"], 2),
    ] {
        let mut command = std_command(ask(&api.url()).args(flags));
        let status = command
            .stdout(Stdio::null())
            .stderr(closed_pipe())
            .status()
            .unwrap();
        assert_eq!(status.code(), Some(code), "{flags:?}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_exits_9() {
    let api = api(200, BALANCE);
    for flags in [
        &[][..],
        &["--json"],
        &["--plain"],
        &["--min", "500"],
        &["--help"],
        &["--version"],
        &["--completions", "fish"],
    ] {
        let full = std::fs::File::create("/dev/full").unwrap();
        let message = messages::could_not_write("no space left on device");
        let error = if flags == ["--json"] {
            format!(
                r#"{{"error":{{"kind":"local","message":"{message}","retryable":false,"exit_code":9}}}}"#
            ) + "\n"
        } else {
            format!("error: {message}\n")
        };
        let run = run_into(full, ask(&api.url()).args(flags));
        assert_eq!(run.stderr, error, "{flags:?}");
        assert_eq!(run.code, Some(9), "{flags:?}");
    }
}

#[cfg(unix)]
#[test]
fn a_standard_output_that_is_open_only_for_reading_exits_9() {
    let api = api(200, BALANCE);
    let file = std::fs::File::open("/dev/null").unwrap();
    let message = messages::could_not_write("bad file descriptor");
    let run = run_into(file, &ask(&api.url()));
    assert_eq!(run.stderr, format!("error: {message}\n"));
    assert_eq!(run.code, Some(9));
}

/// `command`, started by a shell that runs `script` with it as `$@`.
#[cfg(unix)]
fn in_shell(script: &str, command: &assert_cmd::Command) -> assert_cmd::Command {
    let mut shell = assert_cmd::Command::new("sh");
    shell
        .args(["-c", script, "sh"])
        .arg(command.get_program())
        .args(command.get_args())
        .env_clear();
    shell.envs(
        command
            .get_envs()
            .filter_map(|(name, value)| Some((name, value?))),
    );
    shell.timeout(Duration::from_secs(60));
    shell
}

#[cfg(unix)]
#[test]
fn closed_streams_do_no_harm() {
    // The runtime opens /dev/null in their place, so that no file or connection gets their numbers.
    let api = api(200, BALANCE);
    for (script, minimum, code) in [
        (r#"exec "$@" >&-"#, "1", 0),
        (r#"exec "$@" >&- 2>&-"#, "500", 1),
        (r#"exec "$@" <&- >&- 2>&-"#, "1", 0),
    ] {
        let run = crate::common::run(&mut in_shell(
            script,
            ask(&api.url()).args(["--min", minimum]),
        ));
        assert_eq!(run.code, Some(code), "{script}: {run:?}");
    }
}

/// A limit on the size of files stands in for a disk that is nearly full.
#[cfg(unix)]
#[test]
fn no_part_of_the_output_stays_in_a_file_that_has_no_space_for_all_of_it() {
    use std::fs;
    let api = api(200, BALANCE);
    let folder = tempfile::tempdir().unwrap();
    let (file, before) = (folder.path().join("log"), folder.path().join("before"));
    let limited = |script: &str, command: &mut assert_cmd::Command| {
        let mut shell = in_shell(&format!("ulimit -f 1; trap '' XFSZ; {script}"), command);
        crate::common::run(shell.current_dir(&folder))
    };
    // The unit of the limit differs between shells.
    limited(
        "head -c 4096 /dev/zero >log 2>/dev/null",
        &mut ask(&api.url()),
    );
    let limit = fs::read(&file).unwrap().len();
    assert!(limit < 4096);

    for space in [0, 1, 2, 3] {
        let content = "x".repeat(limit - space);
        fs::write(&before, &content).unwrap();
        for form in ["--plain", "--json", "--color=never"] {
            for script in [
                r#"cp before log; "$@" >>log"#,
                r#"{ cat before; "$@"; } >log"#,
            ] {
                let run = limited(script, ask(&api.url()).arg(form));
                let stderr = run.stderr;
                assert_eq!(run.code, Some(9), "{form}, {space} bytes: {stderr}");
                assert!(stderr.contains(&messages::could_not_write("")), "{stderr}");
                assert!(
                    fs::read_to_string(&file).unwrap() == content,
                    "{form}, {space} bytes: {script}"
                );
            }
        }
    }

    // The next program's output follows directly.
    fs::write(&before, "x".repeat(limit - 2)).unwrap();
    limited(
        r#"{ cat before; "$@"; printf y; } >log"#,
        ask(&api.url()).arg("--plain"),
    );
    assert!(fs::read_to_string(&file).unwrap().ends_with("xy"));

    // Where all of it fits, it is there.
    fs::write(&before, "x".repeat(limit - 4)).unwrap();
    let run = limited(
        r#"cp before log; "$@" >>log"#,
        ask(&api.url()).arg("--plain"),
    );
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert!(fs::read_to_string(&file).unwrap().ends_with("x247\n"));
}

/// A body that with a line end is more than a pipe holds on Linux.
fn long_body() -> String {
    balance_of_length(LONGEST_BODY)
}

#[test]
fn the_deadline_does_not_cut_output_that_waits_for_its_reader() {
    let api = api(200, long_body());
    let (mut reader, writer) = pipe().unwrap();
    let mut command = std_command(ask(&api.url()).args(["--json", "--timeout", "2"]));
    let child = command
        .stdout(writer)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // It holds the writing end.
    drop(command);
    thread::sleep(Duration::from_secs(3));
    let mut printed = String::new();
    reader.read_to_string(&mut printed).unwrap();
    let run = finish(child);
    assert_eq!(run.stderr, "");
    assert_eq!(run.code, Some(0));
    assert!(
        printed == long_body() + "\n",
        "{} bytes were printed",
        printed.len()
    );
}

#[cfg(unix)]
#[test]
fn a_pipe_that_does_not_block_gets_everything() {
    use std::io::Write;

    use crate::common::server::Server;

    let (mut reader, mut writer) = pipe().unwrap();
    socket2::SockRef::from(&writer)
        .set_nonblocking(true)
        .unwrap();
    // A full pipe, so that the first write would block.
    let mut filling = 0;
    while let Ok(amount) = writer.write(&[b'x'; 512]) {
        filling += amount;
    }
    let server = Server::sending(format!("HTTP/1.1 200 OK\r\n\r\n{}", long_body()));
    let mut command = std_command(ask(&server.url()).arg("--json"));
    let child = command
        .stdout(writer)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(command);
    server.next();
    // The program tries to write meanwhile.
    thread::sleep(Duration::from_millis(500));
    let mut printed = String::new();
    reader.read_to_string(&mut printed).unwrap();
    let run = finish(child);
    assert_eq!(run.stderr, "");
    assert_eq!(run.code, Some(0));
    assert!(
        printed[filling..] == long_body() + "\n",
        "{} bytes were printed",
        printed.len() - filling
    );
}
