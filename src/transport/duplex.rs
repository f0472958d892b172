//! A byte stream as ureq's `Transport`: a TCP connection or TLS over one.
//!
//! No timeouts: the deadline is kept in `main`.

use std::fmt;
use std::io::{Read, Write};

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
    pub fn new(stream: S, tls: bool, config: &Config) -> Duplex<S> {
        let buffers = LazyBuffers::new(config.input_buffer_size(), config.output_buffer_size());
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
        let amount = loop {
            match self.stream.read(input) {
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
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
