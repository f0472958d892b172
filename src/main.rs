//! `clado-credits` says how many Clado API credits are left, and says a number only when it measured one.
//!
//! This file parses, runs and ends: the only one that writes errors and picks the exit code. The work is
//! elsewhere, and data flows one way: arguments, key and address, request, reply, output.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that fails may panic"))]

mod api;
mod cli;
mod endpoint;
mod error;
#[cfg(test)]
mod generated;
mod key;
mod output;
mod reply;
mod text;
mod transport;

use std::io::{self, Write};
use std::process::{self, ExitCode};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context;
use jiff::Timestamp;

use crate::api::Reply;
use crate::cli::{Args, Stop};
use crate::endpoint::Endpoint;
use crate::error::{Error, Exit};
use crate::key::Source;
use crate::output::Form;
use crate::transport::{Progress, Stage};

fn main() -> ExitCode {
    let started = Instant::now();
    let (json, result) = match Args::parse_env() {
        Ok(args) => (args.json, run(&args, started)),
        Err(stop) => (false, answer(stop)),
    };
    match result {
        Ok(exit) => exit.into(),
        Err(error) => {
            let error = error.downcast().unwrap_or_else(|other| Error::Internal(format!("{other:#}")));
            complain(&error.report(json));
            error.exit().into()
        }
    }
}

/// The program: settings, one question to the service, its answer printed and judged.
fn run(args: &Args, started: Instant) -> anyhow::Result<Exit> {
    if let Some(shell) = args.completions {
        return answer(Stop::Answer(shell.script().to_owned()));
    }
    let endpoint = match args.endpoint() {
        Ok(endpoint) => endpoint,
        Err(stop) => return answer(stop),
    };
    let source = args.key_source().ok_or(Error::NoKey)?;
    let reply = ask(args, started, &endpoint, &source)?;

    let short = args.min.is_some_and(|minimum| i128::from(reply.credits) < i128::from(minimum));
    let form = match args {
        Args { json: true, .. } => Form::Json,
        Args { plain: true, .. } => Form::Plain,
        Args { quiet: true, .. } => Form::Quiet,
        _ => Form::Table { colour: output::colour(args.color), short },
    };
    if form == Form::Json && reply.holds_key {
        return Err(Error::KeyInReply.into());
    }
    output::emit(&output::render(&reply, form, Timestamp::now())).map_err(Error::Output)?;
    match args.min {
        Some(minimum) if short => Err(Error::BelowMinimum { credits: reply.credits, minimum }.into()),
        _ => Ok(Exit::Success),
    }
}

/// Asks, and ends the process at the deadline wherever the asking may be by then: reading the key from a pipe,
/// in the resolver, in a proxy's answer.
///
/// The clock has the thread of its own, not the work: the work would run on a second heap that grows page by
/// page, and its result would have to be handed over.
fn ask(args: &Args, started: Instant, endpoint: &Endpoint, source: &Source) -> anyhow::Result<Reply> {
    let progress = Arc::new(Progress::new(args.verbose));
    // Set by whoever is first, the reply or the deadline; the other says nothing.
    let ended = Arc::new(AtomicBool::new(false));
    let clock = {
        let (progress, ended, host) = (progress.clone(), ended.clone(), endpoint.name().to_owned());
        let (json, timeout) = (args.json, args.timeout);
        move || {
            thread::sleep(timeout.saturating_sub(started.elapsed()));
            if !ended.swap(true, Ordering::SeqCst) {
                let error = late(&progress, host, timeout);
                complain(&error.report(json));
                process::exit(error.exit() as i32);
            }
        }
    };
    let clock = thread::Builder::new().spawn(clock).context("could not start a thread")?;
    let reply = api::fetch(endpoint, source, &progress);
    if ended.swap(true, Ordering::SeqCst) {
        // The clock was first, and is ending the process.
        let _ = clock.join();
    }
    Ok(reply?)
}

/// What there is to say when the deadline has passed.
fn late(progress: &Progress, host: String, after: Duration) -> Error {
    // A refusal is an answer, even if its words never come.
    if let Some(status) = progress.refusal() {
        return Error::Status { status, words: None, retry_after: None, key_hint: None };
    }
    let stage = progress.stage();
    let peer = progress.proxy().filter(|_| stage == Stage::Proxy).map_or(host, str::to_owned);
    Error::Timeout { peer, stage, after }
}

/// Ends a run that asks nothing of the service.
fn answer(stop: Stop) -> anyhow::Result<Exit> {
    match stop {
        Stop::Answer(text) => {
            output::emit(text.as_bytes()).map_err(Error::Output)?;
            Ok(Exit::Success)
        }
        Stop::Usage(text) => {
            complain(&text);
            Ok(Exit::Usage)
        }
    }
}

/// Writes to standard error. If that fails there is nobody left to tell; the exit code still does.
fn complain(text: &str) {
    let _ = io::stderr().write_all(text.as_bytes());
}
