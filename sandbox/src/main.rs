//! A stand-in for the Clado API on this machine, to try the program and to test scripts without a key.
//!
//! The server is in `server.rs`, and the tour in `tour.rs`.

mod server;
mod tour;

use std::env;
use std::error::Error;
use std::ffi::{OsStr, OsString};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, ExitStatus};

use crate::server::{DEFAULT_KEY, Server};

/// The name of the program that is tried here.
const PROGRAM: &str = "clado-credits";

const HELP: &str = "\
Runs an API on this machine that stands in for Clado's, for as long as the
command runs.

Usage: cargo run -p sandbox                  show every outcome
       cargo run -p sandbox -- COMMAND...    run a command in the sandbox
       cargo run -p sandbox -- bash          play in the sandbox

The command finds clado-credits on its PATH, and CLADO_API_URL and CLADO_API_KEY
point it at the sandbox. The exit code is the command's. The key chooses the
reply; set CLADO_API_KEY before, or in the command:

";

fn main() -> ExitCode {
    match run() {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            let _ = writeln!(io::stderr(), "sandbox: {error}");
            ExitCode::from(2)
        }
    }
}

fn run() -> Result<u8, Box<dyn Error>> {
    let mut arguments = env::args_os().skip(1);
    let Some(command) = arguments.next() else {
        let program = build()?;
        tour::run(&program, &Server::start()?)?;
        return Ok(0);
    };
    if command == "--help" || command == "-h" {
        let help = format!("{HELP}{}", server::list_of_keys());
        io::stdout().write_all(help.as_bytes())?;
        return Ok(0);
    }
    run_command(&command, arguments.collect())
}

/// Runs a command in which `clado-credits` is the program just built, and returns its exit code.
fn run_command(command: &OsStr, arguments: Vec<OsString>) -> Result<u8, Box<dyn Error>> {
    let key = chosen_key()?;
    let program = build()?;
    let server = Server::start()?;
    let folder = program.parent().unwrap_or(Path::new("."));
    let path = env::var_os("PATH").unwrap_or_default();
    let mut folders = vec![folder.to_owned()];
    folders.extend(env::split_paths(&path));

    let mut sandboxed = in_sandbox(command, &server);
    sandboxed.env("PATH", env::join_paths(folders)?);
    sandboxed.env("CLADO_API_KEY", key).args(arguments);
    match sandboxed.status() {
        Ok(status) => Ok(exit_code(status)),
        Err(error) => {
            let name = command.to_string_lossy();
            writeln!(io::stderr(), "sandbox: could not start {name}: {error}")?;
            // What a shell returns for a command that it can't start.
            Ok(127)
        }
    }
}

/// The key in the environment if it is one of the sandbox's, else the default one.
fn chosen_key() -> Result<String, String> {
    let Ok(key) = env::var("CLADO_API_KEY") else {
        return Ok(DEFAULT_KEY.to_owned());
    };
    if server::is_key(&key) {
        return Ok(key);
    }
    // A typing error: the default key would hide it.
    if key.starts_with(DEFAULT_KEY) {
        return Err(format!("there is no key {key}; the keys are in --help"));
    }
    Ok(DEFAULT_KEY.to_owned())
}

/// A command that asks the sandbox instead of the API.
fn in_sandbox(command: &OsStr, server: &Server) -> Command {
    let mut sandboxed = Command::new(command);
    sandboxed.env("CLADO_API_URL", server.url());
    // It may name a real key.
    sandboxed.env_remove("CLADO_API_KEY_FILE");
    // For curl, which would ask a proxy for this machine too.
    sandboxed.env("no_proxy", "127.0.0.1");
    sandboxed
}

/// Builds the program with the profile of the sandbox, and returns its path.
fn build() -> Result<PathBuf, Box<dyn Error>> {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.toml");
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["build", "--locked", "--bin", PROGRAM, "--manifest-path"]);
    cargo.arg(manifest);
    if !cfg!(debug_assertions) {
        cargo.arg("--release");
    }
    // `cargo run` sets these for the sandbox. With them, build scripts that read them would run again.
    for (name, _) in env::vars_os() {
        let bytes = name.as_encoded_bytes();
        if bytes.starts_with(b"CARGO_PKG_") || bytes.starts_with(b"CARGO_MANIFEST_") {
            cargo.env_remove(name);
        }
    }
    // Cargo puts both programs into the same folder.
    let program = env::current_exe()?.with_file_name(PROGRAM);
    let program = program.with_extension(env::consts::EXE_EXTENSION);
    if program.exists() {
        // Only the first build takes so long that one wants to see how far it is.
        cargo.arg("--quiet");
    }
    let status = cargo
        .status()
        .map_err(|error| format!("could not start cargo: {error}"))?;
    if !status.success() {
        return Err(format!("could not build {PROGRAM}").into());
    }
    Ok(program)
}

/// The exit code as a shell reports it.
fn exit_code(status: ExitStatus) -> u8 {
    #[cfg(unix)]
    let signal = std::os::unix::process::ExitStatusExt::signal(&status);
    #[cfg(not(unix))]
    let signal: Option<i32> = None;
    let code = match (status.code(), signal) {
        (Some(code), _) => code,
        (None, Some(signal)) => 128 + signal,
        (None, None) => 1,
    };
    u8::try_from(code).unwrap_or(1)
}
