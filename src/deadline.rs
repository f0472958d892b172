//! The time limit of the run: how far the run has got, and what is reported when the time is up.
//!
//! It covers everything from reading the key to the last byte of the reply, but not writing the output.

use std::mem::ManuallyDrop;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;
use std::time::Instant;

use crate::cli::Config;
use crate::error::{Error, Result, error};
use crate::output::write_stderr;
use crate::text::Shown;

/// A run: its settings, and how far it has got.
pub struct Run {
    /// The settings.
    pub config: Config,
    started: Instant,
    /// What to report if the time is up now.
    at_deadline: Mutex<Error>,
}

impl Run {
    /// A run whose time limit counts from `started`.
    pub fn new(config: Config, started: Instant) -> Arc<Run> {
        let at_deadline = Mutex::new(error!(Timeout, "the run did not start in time"));
        Arc::new(Run {
            config,
            started,
            at_deadline,
        })
    }

    /// Begins a step: if it is not done by the deadline, the error is `failure` with "within 30 seconds" behind it.
    pub fn step(&self, failure: &Shown) {
        let seconds = self.config.args.timeout.as_secs_f64();
        let noun = if seconds == 1.0 { "second" } else { "seconds" };
        self.answered(error!(Timeout, "{} within {} {}", failure, seconds, noun));
    }

    /// Records that the outcome is known before the reply is complete: at the deadline the error is `answer`.
    pub fn answered(&self, answer: Error) {
        *self.lock() = answer;
    }

    /// Writes a line of `--verbose` to standard error.
    pub fn note(&self, line: &Shown) {
        let _held = self.lock();
        if self.config.args.verbose {
            write_stderr(&format!("* {line}\n"));
        }
    }

    /// Runs `work` on a thread of its own, and returns its result. When the time limit has passed, returns the error
    /// of the current step and leaves the thread behind; it ends with the process.
    ///
    /// # Errors
    /// Those of `work`, a timeout, and a local failure when there can't be another thread.
    pub fn until_deadline<T: Send + 'static>(
        self: &Arc<Run>,
        work: fn(&Arc<Run>) -> Result<T>,
    ) -> Result<T> {
        let (sender, result) = mpsc::channel();
        let run = self.clone();
        thread::Builder::new()
            .spawn(move || drop(sender.send(work(&run))))
            .map_err(|problem| {
                error!(
                    Local,
                    "could not start a thread: {}",
                    Shown::reason(&problem)
                )
                .retryable(true)
            })?;
        let rest = self
            .config
            .args
            .timeout
            .saturating_sub(self.started.elapsed());
        // Never unlocked after the deadline, so that no line of --verbose follows the error.
        result
            .recv_timeout(rest)
            .unwrap_or_else(|_| Err(ManuallyDrop::new(self.lock()).clone()))
    }

    fn lock(&self) -> MutexGuard<'_, Error> {
        self.at_deadline
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
