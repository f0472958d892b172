//! A stand-in for the Clado API on this machine, to try the program and to test scripts without a key.

use std::env;
use std::ffi::{OsStr, OsString};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, ExitStatus};

use anyhow::{Context, bail};
use mockito::{Request, ServerGuard};

const HELP: &str = "\
Runs an API on this machine that stands in for Clado's.

Usage: cargo run --example sandbox                  show every outcome
       cargo run --example sandbox -- COMMAND...    run a command in the sandbox

The command finds clado-credits on its PATH, and CLADO_API_URL and CLADO_API_KEY
point it at the sandbox. The exit code is the command's. The key chooses the
reply; set CLADO_API_KEY before, or in the command:

  lk_sandbox        247 credits (the default)
  lk_sandbox_empty  no credits
  lk_sandbox_html   a web page instead of JSON
  lk_sandbox_401    and so on for 404, 429 and 500: that HTTP status
";

/// The key that a command gets when the environment holds none of the sandbox's.
const KEY: &str = "lk_sandbox";

/// Each key with the status and the body of its reply, as in the API's documentation. Other keys are rejected.
const REPLIES: [(&str, usize, &str); 7] = [
    (
        KEY,
        200,
        r#"{"credits": 247, "last_topup_at": "2024-01-15T10:30:00Z"}"#,
    ),
    (
        "lk_sandbox_empty",
        200,
        r#"{"credits": 0, "last_topup_at": null}"#,
    ),
    ("lk_sandbox_401", 401, REJECTED),
    (
        "lk_sandbox_404",
        404,
        r#"{"detail": "Unable to retrieve credit information"}"#,
    ),
    (
        "lk_sandbox_429",
        429,
        r#"{"error": "Rate limit exceeded", "retry_after": 60}"#,
    ),
    (
        "lk_sandbox_500",
        500,
        r#"{"detail": "Credit service error"}"#,
    ),
    (
        "lk_sandbox_html",
        200,
        "<!DOCTYPE html><title>Welcome</title>",
    ),
];
const REJECTED: &str = r#"{"detail": "Invalid API key"}"#;

/// The tour: a key, and the flags to run the program with.
const TOUR: [(&str, &[&str]); 14] = [
    ("lk_sandbox", &[]),
    ("lk_sandbox", &["--json"]),
    ("lk_sandbox", &["--plain"]),
    ("lk_sandbox", &["--quiet"]),
    ("lk_sandbox", &["--min", "100"]),
    ("lk_sandbox", &["--min", "500"]),
    ("lk_sandbox", &["--json", "--min", "500"]),
    ("lk_sandbox_empty", &[]),
    ("lk_sandbox_401", &[]),
    ("lk_sandbox_404", &[]),
    ("lk_sandbox_429", &[]),
    ("lk_sandbox_429", &["--json"]),
    ("lk_sandbox_500", &[]),
    ("lk_sandbox_html", &[]),
];

fn main() -> ExitCode {
    let mut arguments = env::args_os().skip(1);
    let result = match arguments.next() {
        Some(flag) if flag == "--help" || flag == "-h" => io::stdout()
            .write_all(HELP.as_bytes())
            .map(|()| ExitCode::SUCCESS)
            .map_err(Into::into),
        Some(program) => run(&program, arguments.collect()),
        None => tour(),
    };
    result.unwrap_or_else(|error| {
        let _ = writeln!(io::stderr(), "sandbox: {error:#}");
        ExitCode::from(2)
    })
}

fn start() -> ServerGuard {
    let mut server = mockito::Server::new();
    server
        .mock("GET", "/api/credits")
        .with_status_code_from_request(|request| reply(request).0)
        .with_header("content-type", "application/json")
        .with_body_from_request(|request| reply(request).1.into())
        .create();
    server
}

fn reply(request: &Request) -> (usize, &'static str) {
    let headers = request.header("authorization");
    let key = headers
        .first()
        .and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    let known = REPLIES.into_iter().find(|(known, ..)| key == Some(known));
    known.map_or((401, REJECTED), |(_, status, body)| (status, body))
}

/// Builds the program with this example's profile, and returns its path.
fn build() -> anyhow::Result<PathBuf> {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args([
        "build",
        "--quiet",
        "--locked",
        "--bin",
        env!("CARGO_PKG_NAME"),
    ]);
    cargo
        .arg("--manifest-path")
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml"));
    if !cfg!(debug_assertions) {
        cargo.arg("--release");
    }
    // `cargo run` sets these for the example; with them, build scripts that read them would run again.
    for (name, _) in env::vars_os() {
        let bytes = name.as_encoded_bytes();
        if bytes.starts_with(b"CARGO_PKG_") || bytes.starts_with(b"CARGO_MANIFEST_") {
            cargo.env_remove(name);
        }
    }
    if !cargo.status().context("could not start cargo")?.success() {
        bail!("could not build {}", env!("CARGO_PKG_NAME"));
    }
    let example = env::current_exe()?;
    let folder = example
        .ancestors()
        .nth(2)
        .context("the example is not in a build folder")?;
    Ok(folder
        .join(env!("CARGO_PKG_NAME"))
        .with_extension(env::consts::EXE_EXTENSION))
}

fn tour() -> anyhow::Result<ExitCode> {
    let (binary, server) = (build()?, start());
    let mut out = io::stdout();
    writeln!(out, "$ export CLADO_API_URL={}", server.url())?;
    for (key, flags) in TOUR {
        let line = [&[env!("CARGO_PKG_NAME")], flags].concat().join(" ");
        writeln!(out, "\n$ CLADO_API_KEY={key} {line}")?;
        let status = sandboxed(binary.as_os_str(), &server)
            .env("CLADO_API_KEY", key)
            .args(flags)
            .status()?;
        writeln!(out, "[exit {}]", exit_code(status))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Runs a command in which `clado-credits` is the binary just built.
fn run(program: &OsStr, arguments: Vec<OsString>) -> anyhow::Result<ExitCode> {
    let key = match env::var("CLADO_API_KEY") {
        Ok(key) if REPLIES.iter().any(|(known, ..)| key == *known) => key,
        // A typing error: the default key would hide it.
        Ok(key) if key.starts_with(KEY) => bail!("there is no key {key}; the keys are in --help"),
        _ => KEY.to_owned(),
    };
    let (binary, server) = (build()?, start());
    let folder = binary.parent().unwrap_or(&binary).to_owned();
    let path = env::var_os("PATH").unwrap_or_default();
    let path = env::join_paths([folder].into_iter().chain(env::split_paths(&path)))?;
    let mut command = sandboxed(program, &server);
    match command
        .env("PATH", path)
        .env("CLADO_API_KEY", key)
        .args(arguments)
        .status()
    {
        Ok(status) => Ok(ExitCode::from(exit_code(status))),
        Err(error) => {
            writeln!(
                io::stderr(),
                "sandbox: could not start {}: {error}",
                program.to_string_lossy()
            )?;
            // What a shell returns for a command that it can't start.
            Ok(ExitCode::from(127))
        }
    }
}

fn sandboxed(program: &OsStr, server: &ServerGuard) -> Command {
    let mut command = Command::new(program);
    // For curl, which would ask a proxy for this machine too.
    command
        .env("CLADO_API_URL", server.url())
        .env("no_proxy", "127.0.0.1");
    command
}

/// The exit code as a shell reports it.
fn exit_code(status: ExitStatus) -> u8 {
    #[cfg(unix)]
    let signal = std::os::unix::process::ExitStatusExt::signal(&status);
    #[cfg(not(unix))]
    let signal: Option<i32> = None;
    let code = status.code().or(signal.map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1)
}
