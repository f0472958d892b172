//! `clado-credits` prints how many Clado API credits are left. If it can't find out, it prints no number and exits
//! with an error.
//!
//! Entry point: parses arguments, runs the check, reports errors, sets the exit code.

#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        reason = "a failing test may panic"
    )
)]

mod cli;
mod client;
mod deadline;
mod endpoint;
mod error;
#[cfg(test)]
mod generated;
mod key;
mod output;
mod reply;
mod text;
mod transport;

use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use jiff::{Timestamp, tz::TimeZone};

use crate::cli::{Args, Config};
use crate::deadline::Run;
use crate::error::{Error, Exit, Result};

fn main() -> ExitCode {
    let started = Instant::now();
    cli::hide_keys();
    let (json, result) = match Args::try_parse() {
        Ok(args) => (args.json, run(args, started)),
        Err(error) => (false, answer(error)),
    };
    let code = result.unwrap_or_else(|error| {
        output::write_stderr(&error.report(json));
        error.exit_code
    });
    ExitCode::from(code)
}

fn run(args: Args, started: Instant) -> Result<u8> {
    if let Some(script) = args.completions {
        output::emit(script.as_bytes())?;
        return Ok(Exit::Success as u8);
    }
    let run = Run::new(Config::new(args)?, started);
    let reply = run.until_deadline(client::fetch)?;
    let now = TimeZone::UTC.to_datetime(Timestamp::now());
    output::emit(output::render(&reply, &run.config, now).as_bytes())?;
    match run.config.missed_minimum(reply.credits) {
        Some(minimum) => Err(Error::below_minimum(reply.credits, minimum)),
        None => Ok(Exit::Success as u8),
    }
}

/// Prints help and version to standard output, and a usage error to standard error.
fn answer(error: clap::Error) -> Result<u8> {
    let (text, exit) = cli::render(error);
    match exit {
        Exit::Success => output::emit(text.as_bytes())?,
        _ => output::write_stderr(&text),
    }
    Ok(exit as u8)
}
