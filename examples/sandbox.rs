//! A stand-in for the Clado API on this machine, to try the program and to test scripts without a key.
//!
//! `cargo run --example sandbox` shows every outcome. `cargo run --example sandbox -- COMMAND…` runs a command
//! with CLADO_API_URL and CLADO_API_KEY pointing at the stand-in, and ends with that command's exit code.
//!
//! The key chooses the reply: lk_sandbox (the one that is set), lk_sandbox_empty, lk_sandbox_401,
//! lk_sandbox_404, lk_sandbox_429, lk_sandbox_500. Set CLADO_API_KEY to one of them before, or in the command.

use std::env;
use std::ffi::{OsStr, OsString};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, ExitStatus};

use anyhow::{Context, bail};
use mockito::{Request, ServerGuard};

/// The key that a command gets when the environment holds none of the sandbox's.
const KEY: &str = "lk_sandbox";

/// Keys and what they are answered, as the API's documentation has it. Any other key is answered as the third.
const REPLIES: [(&str, usize, &str); 6] = [
    (KEY, 200, r#"{"credits": 247, "last_topup_at": "2024-01-15T10:30:00Z"}"#),
    ("lk_sandbox_empty", 200, r#"{"credits": 0, "last_topup_at": null}"#),
    ("lk_sandbox_401", 401, r#"{"detail": "Invalid API key"}"#),
    ("lk_sandbox_404", 404, r#"{"detail": "Unable to retrieve credit information"}"#),
    ("lk_sandbox_429", 429, r#"{"error": "Rate limit exceeded", "retry_after": 60}"#),
    ("lk_sandbox_500", 500, r#"{"detail": "Credit service error"}"#),
];

/// The tour: a key, and the flags to run the program with.
const TOUR: [(&str, &[&str]); 13] = [
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
];

fn main() -> ExitCode {
    let server = start();
    let mut arguments = env::args_os().skip(1);
    let result = build().and_then(|binary| match arguments.next() {
        Some(program) => run(&server, &binary, &program, arguments.collect()),
        None => tour(&server, &binary),
    });
    result.unwrap_or_else(|error| {
        let _ = writeln!(io::stderr(), "sandbox: {error:#}");
        // What a shell says when it can't start a command.
        ExitCode::from(127)
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
    let key = headers.first().and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    let (_, status, body) = REPLIES.into_iter().find(|(known, ..)| key == Some(known)).unwrap_or(REPLIES[2]);
    (status, body)
}

/// Builds the program as this example was built, and returns where it is.
fn build() -> anyhow::Result<PathBuf> {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["build", "--quiet", "--locked", "--bin", env!("CARGO_PKG_NAME")]);
    cargo.arg("--manifest-path").arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml"));
    if !cfg!(debug_assertions) {
        cargo.arg("--release");
    }
    // What `cargo run` sets for this example would make build scripts that look at it run again.
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
    let folder = example.ancestors().nth(2).context("the example is in no build folder")?;
    Ok(folder.join(env!("CARGO_PKG_NAME")).with_extension(env::consts::EXE_EXTENSION))
}

fn tour(server: &ServerGuard, binary: &Path) -> anyhow::Result<ExitCode> {
    let mut out = io::stdout();
    writeln!(out, "$ export CLADO_API_URL={}", server.url())?;
    for (key, flags) in TOUR {
        let line = [&[env!("CARGO_PKG_NAME")], flags].concat().join(" ");
        writeln!(out, "\n$ CLADO_API_KEY={key} {line}")?;
        let status = sandboxed(binary.as_os_str(), server).env("CLADO_API_KEY", key).args(flags).status()?;
        writeln!(out, "[exit {}]", exit_code(status))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Runs a command of the user's, in which `clado-credits` is the binary just built.
fn run(
    server: &ServerGuard,
    binary: &Path,
    program: &OsStr,
    arguments: Vec<OsString>,
) -> anyhow::Result<ExitCode> {
    let folder = binary.parent().unwrap_or(binary).to_owned();
    let path = env::var_os("PATH").unwrap_or_default();
    let path = env::join_paths([folder].into_iter().chain(env::split_paths(&path)))?;
    let chosen = env::var("CLADO_API_KEY").ok().filter(|key| REPLIES.iter().any(|(known, ..)| key == known));
    let status = sandboxed(program, server)
        .env("PATH", path)
        .env("CLADO_API_KEY", chosen.as_deref().unwrap_or(KEY))
        .args(arguments)
        .status()
        .with_context(|| format!("could not start {}", program.to_string_lossy()))?;
    Ok(ExitCode::from(exit_code(status)))
}

fn sandboxed(program: &OsStr, server: &ServerGuard) -> Command {
    let mut command = Command::new(program);
    // The stand-in is on this machine, where no proxy leads.
    command.env("CLADO_API_URL", server.url()).env("no_proxy", "127.0.0.1");
    command
}

/// The exit code as a shell gives it.
fn exit_code(status: ExitStatus) -> u8 {
    #[cfg(unix)]
    let signal = std::os::unix::process::ExitStatusExt::signal(&status);
    #[cfg(not(unix))]
    let signal = None;
    let code = status.code().or(signal.map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1)
}
