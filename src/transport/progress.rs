//! How far the run has come: read when the deadline passes, and told to the user by `--verbose`.

use std::fmt::Display;
use std::io::{self, Write};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use super::proxy::Route;

/// What is being done, in the order in which it is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Reading the key.
    Key,
    /// Reading the certificates to trust.
    Trust,
    /// Resolving the name of the service or of the proxy.
    Resolve,
    /// Connecting to the service.
    Connect,
    /// Connecting to the proxy, and through it.
    Proxy,
    /// TLS handshake with the service.
    Tls,
    /// The request is sent, the head of the reply is awaited.
    Reply,
    /// The body of the reply is awaited.
    Body,
}

/// Written by the work, and read by the clock that ends the process at the deadline.
#[derive(Debug)]
pub struct Progress {
    verbose: bool,
    stage: Mutex<Stage>,
    status: AtomicU16,
    route: OnceLock<Route>,
}

impl Progress {
    /// At the start; with `verbose`, [`note`](Self::note) speaks.
    pub fn new(verbose: bool) -> Progress {
        Progress { verbose, stage: Mutex::new(Stage::Key), status: AtomicU16::new(0), route: OnceLock::new() }
    }

    /// Records that `stage` has begun.
    pub fn reach(&self, stage: Stage) {
        *self.stage.lock().unwrap_or_else(PoisonError::into_inner) = stage;
    }

    /// What is being done now.
    pub fn stage(&self) -> Stage {
        *self.stage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records that the service refuses with this HTTP status; its words may still be on their way.
    pub fn refused(&self, status: u16) {
        self.status.store(status, Ordering::Relaxed);
    }

    /// The HTTP status that the service refused with.
    pub fn refusal(&self) -> Option<u16> {
        Some(self.status.load(Ordering::Relaxed)).filter(|status| *status != 0)
    }

    /// The proxy that the request goes through, without its password.
    pub fn proxy(&self) -> Option<&str> {
        self.route.get().map(|route| route.label.as_str())
    }

    /// Records the proxy, if there is one.
    pub(super) fn route(&self, route: Option<Route>) {
        match &route {
            Some(route) => self.note(format_args!("proxy: {} (from {})", route.label, route.variable)),
            None => self.note("proxy: none"),
        }
        if let Some(route) = route {
            // Set once a run; a second value can't come.
            let _ = self.route.set(route);
        }
    }

    /// Says a line of `--verbose` on standard error. If nobody can read it, nothing is lost.
    pub fn note(&self, line: impl Display) {
        if self.verbose {
            let _ = writeln!(io::stderr(), "* {line}");
        }
    }
}
