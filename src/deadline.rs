//! The time limit of the run: how far the run has got, and what is reported when the time is up. Also `--verbose`,
//! whose lines must not follow that report.
//!
//! The limit covers everything from reading the key to the last byte of the reply, but not writing the output.

use std::mem;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Instant;

use anyhow::anyhow;

use crate::config::Config;
use crate::error::{Error, Kind, Result};
use crate::reply::Reply;
use crate::stdio;
use crate::text::{Shown, shown};

/// The stack of a thread, in bytes: the standard library's default, which RUST_MIN_STACK would change.
pub const STACK_SIZE: usize = 2 << 20;

/// A check of the balance: its settings, and how far it has got.
pub struct Check {
    /// The settings.
    pub config: Config,
    started: Instant,
    /// What to report if the time is up now. Whoever writes to standard error holds the lock, so that no line of
    /// `--verbose` comes after the report.
    error_at_deadline: Mutex<Error>,
}

impl Check {
    /// A check whose time limit counts from `started`.
    pub fn new(config: Config, started: Instant) -> Arc<Check> {
        let not_started = Error::new(Kind::Timeout, "the run did not start in time".into());
        Arc::new(Check {
            config,
            started,
            error_at_deadline: Mutex::new(not_started),
        })
    }

    /// Begins a step. If it takes longer than the time limit, the run fails with `failure` and "within 30 seconds".
    pub fn step(&self, failure: Shown) {
        self.step_with_hint(failure, None);
    }

    /// The same with a hint for that failure.
    pub fn step_with_hint(&self, failure: Shown, hint: Option<Shown>) {
        let mut error = self.timeout(failure);
        error.hint = hint;
        self.set_error_at_deadline(error);
    }

    /// The error of a step that takes longer than the time limit.
    pub fn timeout(&self, failure: Shown) -> Error {
        let seconds = self.config.timeout.as_secs_f64();
        let noun = if seconds == 1.0 { "second" } else { "seconds" };
        let message = shown!("{} within {} {}", failure, seconds, noun);
        Error::new(Kind::Timeout, message)
    }

    /// Sets what the run fails with if the time is up before the next step.
    pub fn set_error_at_deadline(&self, error: Error) {
        *self.lock() = error;
    }

    /// Writes a line of `--verbose` to standard error. A reader that has stopped is waited for, as with all output.
    pub fn note(&self, line: Shown) {
        let _lock = self.lock();
        if self.config.verbose {
            stdio::write_stderr(&format!("* {line}\n"));
        }
    }

    /// Runs `fetch` on a thread of its own and returns its result. When the time limit has passed, returns the error of
    /// the current step and leaves the thread behind; it ends with the process.
    ///
    /// # Errors
    /// Those of `fetch`, a timeout, and a local failure when there can't be another thread.
    pub fn run_until_deadline(
        self: &Arc<Check>,
        fetch: fn(&Arc<Check>) -> Result<Reply>,
    ) -> Result<Reply> {
        let (sender, result) = mpsc::channel();
        let check = Arc::clone(self);
        let work = move || {
            // After the deadline there is no receiver, and the result does not matter.
            let _ = sender.send(fetch(&check));
        };
        if let Err(problem) = thread::Builder::new().stack_size(STACK_SIZE).spawn(work) {
            let message = shown!("could not start a thread: {}", Shown::reason(&problem));
            return Err(Error::new(Kind::Local, message).with_retryable(true));
        }
        let rest = self.config.timeout.saturating_sub(self.started.elapsed());
        match result.recv_timeout(rest) {
            Ok(result) => result,
            Err(RecvTimeoutError::Timeout) => {
                let lock = self.lock();
                let error = Error::clone(&lock);
                // Never unlocked again, so that no line of --verbose follows the error.
                mem::forget(lock);
                Err(error)
            }
            // A panic ends the process before this, as `exit_on_panic` is in place.
            Err(RecvTimeoutError::Disconnected) => {
                Err(anyhow!("the thread of the request panicked").into())
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Error> {
        self.error_at_deadline
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
