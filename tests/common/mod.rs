//! What the tests share: how the program is started, what is expected of a run, and what a machine may lack.
//!
//! The servers are in `server.rs`, `tls.rs` and `proxy.rs`.

pub mod messages;
pub mod proxy;
pub mod server;
pub mod tls;

use std::io::{Read, Write};
use std::process::Child;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use assert_cmd::Command;
use serde_json::Value;

use self::messages::without_place;

/// The key of all tests. Not a real one.
pub const KEY: &str = "lk_test_not_a_real_key";

/// A key that nothing but its value gives away.
pub const KEY_WITHOUT_PREFIX: &str = "9f8e7d6c5b4a39281706";

/// The body of a good reply, with a date that lies years back.
pub const BALANCE: &str = r#"{"credits": 247, "last_topup_at": "2024-01-15T10:30:00Z"}"#;

/// The longest body that is read, in bytes.
pub const LONGEST_BODY: usize = 64 << 10;

/// A body of this length in bytes, with the number of [`BALANCE`].
pub fn balance_of_length(length: usize) -> String {
    let frame = r#"{"credits": 247, "pad": ""}"#.len();
    let pad = "x".repeat(length - frame);
    format!(r#"{{"credits": 247, "pad": "{pad}"}}"#)
}

/// A reply with this status, such as `404 Not Found`, and `body` with its length.
pub fn reply(status: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\n\r\n{body}")
}

/// A reply with [`BALANCE`].
pub fn good_reply() -> String {
    reply("200 OK", BALANCE)
}

/// The variables that an operating system, a coverage tool or Wine needs to start the program.
const NEEDED: [&str; 5] = [
    "PATH",
    "SYSTEMROOT",
    "LLVM_PROFILE_FILE",
    "WINEPREFIX",
    "WINEDEBUG",
];

/// The program with nothing else in its environment: no key, no proxy, no certificates, no colour.
pub fn clado() -> Command {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("clado-credits"));
    command.env_clear().timeout(PATIENCE);
    for name in NEEDED {
        command.envs(std::env::var_os(name).map(|value| (name, value)));
    }
    command
}

/// The program with [`KEY`] and `url` in its environment.
pub fn ask(url: &str) -> Command {
    let mut command = clado();
    command.env("CLADO_API_KEY", KEY).env("CLADO_API_URL", url);
    command
}

/// How messages name an environment variable. On Windows the names have no case.
pub fn shown_variable(name: &str) -> String {
    if cfg!(windows) {
        name.to_uppercase()
    } else {
        name.to_owned()
    }
}

/// A program that starts `inner`, with the same environment. Its arguments are up to the test.
#[cfg(target_os = "linux")]
pub fn within(outer: &str, inner: &Command) -> Command {
    let mut command = Command::new(outer);
    command.env_clear().timeout(PATIENCE);
    command.envs(
        inner
            .get_envs()
            .filter_map(|(name, value)| Some((name, value?))),
    );
    command
}

/// An API that answers each request for the balance with this status and body.
pub fn api(status: usize, body: impl AsRef<[u8]>) -> mockito::ServerGuard {
    let mut server = mockito::Server::new();
    server
        .mock("GET", "/api/credits")
        .with_status(status)
        .with_body(body)
        .create();
    server
}

/// What a run did.
#[derive(Debug, PartialEq, Eq)]
pub struct Run {
    /// The exit code; `None` if the run was killed after a minute.
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

/// How long a run may take before it is killed.
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs the program. Whatever it prints, the key is not in it.
#[track_caller]
pub fn run(command: &mut Command) -> Run {
    let output = match command.output() {
        // ERROR_INTERNAL_ERROR: once in some thousand times, Wine 8 does not start a program.
        Err(error) if error.raw_os_error() == Some(1359) => command.output().unwrap(),
        output => output.unwrap(),
    };
    let run = Run {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    };
    expect_no_key(&run);
    run
}

#[track_caller]
fn expect_no_key(run: &Run) {
    let is_shown = run.stdout.contains(KEY) || run.stderr.contains(KEY);
    assert!(!is_shown, "the key is shown: {run:?}");
}

/// What a run came to that the test has started itself, to choose its streams. Those that are pipes are read to their
/// end. Like [`run`], it kills the program after a minute, and the key is not in what it prints.
#[track_caller]
pub fn finish(mut child: Child) -> Run {
    let stdout = child.stdout.take().map(read_to_end);
    let stderr = child.stderr.take().map(read_to_end);
    let deadline = Instant::now() + PATIENCE;
    let code = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status.code();
        }
        if Instant::now() >= deadline {
            child.kill().unwrap();
            child.wait().unwrap();
            break None;
        }
        thread::sleep(Duration::from_millis(5));
    };
    let text = |reader: Option<JoinHandle<String>>| match reader {
        Some(reader) => reader.join().unwrap(),
        None => String::new(),
    };
    let run = Run {
        code,
        stdout: text(stdout),
        stderr: text(stderr),
    };
    expect_no_key(&run);
    run
}

/// Reads on a thread, so that the program can go on writing.
fn read_to_end(mut pipe: impl Read + Send + 'static) -> JoinHandle<String> {
    thread::spawn(move || {
        let mut text = String::new();
        pipe.read_to_string(&mut text).unwrap();
        text
    })
}

/// Runs with `--plain`, expects the balance of [`BALANCE`], and returns standard error.
#[track_caller]
pub fn expect_balance(command: &mut Command) -> String {
    let run = run(command.arg("--plain"));
    assert_eq!(
        (run.code, run.stdout.as_str()),
        (Some(0), "247\n"),
        "{}",
        run.stderr
    );
    run.stderr
}

/// Runs, and expects this error, hint included, in plain text. Then runs with `--json`, and expects the same there.
/// Returns the `error` object. The message is compared without the place that the request went to.
#[track_caller]
pub fn expect_error(
    command: &mut Command,
    code: i32,
    kind: &str,
    message: &str,
    hint: Option<&str>,
) -> Value {
    let plain = run(command);
    let hint_line = hint
        .map(|hint| format!("hint: {hint}\n"))
        .unwrap_or_default();
    let stderr = without_place(&plain.stderr);
    assert_eq!(stderr, format!("error: {message}\n{hint_line}"));
    assert_eq!(
        (plain.code, plain.stdout.as_str()),
        (Some(code), ""),
        "{message}"
    );
    let error = expect_json_error(command, code, kind);
    assert_eq!(
        (error["message"].as_str(), error["hint"].as_str()),
        (Some(message), hint)
    );
    error
}

/// Runs with `--json`, expects one line with an error of this kind and nothing on standard output, and returns the
/// `error` object, its message without the place that the request went to.
#[track_caller]
pub fn expect_json_error(command: &mut Command, code: i32, kind: &str) -> Value {
    let run = run(command.arg("--json"));
    assert_eq!(
        (run.code, run.stdout.as_str()),
        (Some(code), ""),
        "{}",
        run.stderr
    );
    assert_eq!(run.stderr.lines().count(), 1, "{}", run.stderr);
    let mut report: Value =
        serde_json::from_str(&run.stderr).unwrap_or_else(|_| panic!("{}", run.stderr));
    let mut error = report["error"].take();
    // For the other kinds it depends on what has failed, and the test has to say it.
    match kind {
        "rate_limited" | "server_error" | "timeout" => assert_eq!(error["retryable"], true),
        "network" | "tls" | "local" => {}
        _ => assert_eq!(error["retryable"], false, "{error}"),
    }
    error["message"] = without_place(error["message"].as_str().unwrap()).into();
    assert_eq!(
        (error["kind"].as_str(), error["exit_code"].as_i64()),
        (Some(kind), Some(code.into()))
    );
    error
}

/// The same command with the standard library, where a test chooses the streams. [`finish`] waits for it.
pub fn std_command(command: &Command) -> std::process::Command {
    let mut same = std::process::Command::new(command.get_program());
    same.args(command.get_args()).env_clear();
    same.envs(
        command
            .get_envs()
            .filter_map(|(name, value)| Some((name, value?))),
    );
    same
}

/// The program on a terminal that `script` makes; needs [`has_program`]. Off Linux it has other options.
#[cfg(target_os = "linux")]
pub fn on_terminal(url: &str, arguments: &str) -> Command {
    let mut command = Command::new("script");
    let program = assert_cmd::cargo::cargo_bin!("clado-credits")
        .display()
        .to_string();
    command
        .args(["-qec", &format!("{program} {arguments}"), "/dev/null"])
        .env_clear();
    command.envs(
        ask(url)
            .get_envs()
            .filter_map(|(name, value)| Some((name, value?))),
    );
    command.timeout(PATIENCE);
    command
}

/// Whether a test can go on. Where the machine lacks what it needs, the test says so and is skipped; with
/// `CLADO_TESTS_SKIP_NOTHING` set, as in `.ci/run`, that is a failure.
#[track_caller]
pub fn is_available(what: &str, is_there: bool) -> bool {
    if !is_there {
        skip(&format!("{what} is missing"));
    }
    is_there
}

/// Says that a test is skipped, or fails where no test may be.
#[track_caller]
fn skip(reason: &str) {
    let may_skip = std::env::var_os("CLADO_TESTS_SKIP_NOTHING").is_none();
    assert!(may_skip, "{reason}");
    let place = std::panic::Location::caller();
    // Not with `eprintln!`: what passing tests print with it is not shown.
    let line = format!("skipped: {} ({}:{})\n", reason, place.file(), place.line());
    let _ = std::io::stderr().write_all(line.as_bytes());
}

/// [`is_available`] for a program on the search path.
#[track_caller]
pub fn has_program(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    is_available(
        name,
        std::env::split_paths(&path).any(|directory| directory.join(name).is_file()),
    )
}

/// [`is_available`] for the loopback address of IPv6.
#[track_caller]
pub fn has_ipv6() -> bool {
    is_available("IPv6", std::net::TcpListener::bind("[::1]:0").is_ok())
}

/// `program`, which sees `replacement` in the place of the file or directory `path`; everything else sees no change.
/// Linux can do this without root (user and mount namespaces), but many containers do not allow it. Then the test is
/// skipped, and this is `None`.
#[cfg(target_os = "linux")]
#[track_caller]
pub fn replacing(path: &str, replacement: &std::path::Path, program: &Command) -> Option<Command> {
    let own_mounts = |command: &mut Command| {
        let script = r#"mount --bind "$0" "$1" && shift && exec "$@""#;
        command
            .args(["-r", "-m", "sh", "-c", script])
            .arg(replacement)
            .arg(path);
    };
    let mut attempt = Command::new("unshare");
    own_mounts(&mut attempt);
    if !attempt
        .arg("true")
        .output()
        .is_ok_and(|run| run.status.success())
    {
        skip(&format!("this user can't replace {path} for a program"));
        return None;
    }
    let mut command = within("unshare", program);
    own_mounts(&mut command);
    command.arg(program.get_program()).args(program.get_args());
    Some(command)
}
