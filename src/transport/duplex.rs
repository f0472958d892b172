//! A byte stream as ureq's `Transport`: a TCP connection or TLS over one.
//!
//! No timeouts: the deadline is kept in `main`.

use std::fmt;
use std::io::{self, ErrorKind, Read, Write};

use ureq::Error;
use ureq::config::Config;
use ureq::unversioned::transport::{Buffers, LazyBuffers, NextTimeout, Transport};

/// A stream with the buffers that ureq reads from and writes to.
pub struct Duplex<S> {
    stream: S,
    buffers: LazyBuffers,
    tls: bool,
}

impl<S> Duplex<S> {
    /// Reads `input` bytes at most at a time.
    pub fn new(stream: S, tls: bool, input: usize, config: &Config) -> Duplex<S> {
        let buffers = LazyBuffers::new(input, config.output_buffer_size());
        Duplex { stream, buffers, tls }
    }
}

impl<S: Read + Write + Send + Sync + 'static> Transport for Duplex<S> {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, _: NextTimeout) -> Result<(), Error> {
        self.stream.write_all(&self.buffers.output()[..amount])?;
        Ok(self.stream.flush()?)
    }

    fn await_input(&mut self, _: NextTimeout) -> Result<bool, Error> {
        let input = self.buffers.input_append_buf();
        if input.is_empty() {
            // ureq found no end in all that was read, be it of a line or of a chunk's size, and would take a
            // read of nothing for the end of the connection.
            return Err(Error::BodyExceedsLimit(self.buffers.input().len() as u64));
        }
        let amount = loop {
            match self.stream.read(input) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // ureq takes these for the end of a body that has no length; it is cut short all the same.
                Err(error)
                    if matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted) =>
                {
                    return Err(io::Error::other(error).into());
                }
                result => break result?,
            }
        };
        self.buffers.input_appended(amount);
        Ok(amount > 0)
    }

    fn is_open(&mut self) -> bool {
        // Only a pool asks, and nothing is ever put into it.
        false
    }

    fn is_tls(&self) -> bool {
        self.tls
    }
}

impl<S> fmt::Debug for Duplex<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Duplex").field("tls", &self.tls).finish_non_exhaustive()
    }
}
