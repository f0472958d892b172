//! `clado-credits` prints how many Clado API credits are left. If it can't find out, it prints no number and exits
//! with an error.
//!
//! This is the program as a library, so that its tests, fuzz targets and benchmarks can link to it. **It is not a
//! stable interface**: anything in it may change with any release. What is stable is the command line; the README
//! lists it.
//!
//! This file runs the program from its arguments to its exit code. What each part does is in its own file.

#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        reason = "a failing test may panic"
    )
)]

pub mod cli;
pub mod client;
pub mod config;
pub mod deadline;
pub mod endpoint;
pub mod environment;
pub mod error;
pub mod key;
pub mod output;
pub mod proxy;
pub mod reply;
pub mod stdio;
pub mod text;
pub mod transport;

use std::env;
use std::panic;
use std::process::{self, ExitCode};
use std::time::Instant;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::cli::{Args, Parsed};
use crate::config::Config;
use crate::deadline::Check;
use crate::error::{Error, Exit, Kind, Result};

/// Runs the program with the arguments and the environment of this process, and returns its exit code.
pub fn run() -> ExitCode {
    let started = Instant::now();
    exit_on_panic(false);
    config::hide_keys(env::args_os());
    let (wants_json, result) = match cli::parse(env::args_os()) {
        Parsed::Args(args) => {
            exit_on_panic(args.json);
            (args.json, check_balance(args, started))
        }
        Parsed::Help(text) => (false, stdio::write_stdout(text.as_bytes())),
        Parsed::UsageError(text) => {
            stdio::write_stderr(&text);
            return Exit::Usage.into();
        }
    };
    match result {
        Ok(()) => Exit::Success.into(),
        Err(error) => {
            stdio::write_stderr(&error.report(wants_json));
            error.exit().into()
        }
    }
}

/// Makes a panic of any thread end the process like any other internal error.
///
/// The standard library's message would name source files of the machine that built the program, the process would
/// end with a signal, and the text of the panic might hold anything.
pub fn exit_on_panic(wants_json: bool) {
    panic::set_hook(Box::new(move |_| {
        // `text.rs` may have been interrupted with its list of keys locked, so nothing is made from outside text here.
        let error = Error::new(Kind::Local, "internal error: the program panicked".into())
            .with_hint(error::BUG_HINT);
        stdio::write_stderr(&error.report(wants_json));
        process::exit(error.exit().code().into());
    }));
}

/// Asks for the balance and prints it, or prints a completion script.
///
/// # Errors
/// When the balance can't be found out or printed, and when it is below the minimum.
fn check_balance(args: Args, started: Instant) -> Result<()> {
    if let Some(shell) = args.completions {
        return stdio::write_stdout(shell.completion_script().as_bytes());
    }
    let check = Check::new(Config::new(args)?, started);
    let reply = check.run_until_deadline(client::fetch)?;
    let now = TimeZone::UTC.to_datetime(Timestamp::now());
    let text = output::render(&reply, &check.config, now);
    stdio::write_stdout(text.as_bytes())?;
    match check.config.missed_minimum(reply.credits) {
        Some(minimum) => Err(Error::below_minimum(reply.credits, minimum)),
        None => Ok(()),
    }
}
