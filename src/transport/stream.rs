//! An open connection as ureq's `Transport`.
//!
//! It has no timeouts; `deadline.rs` ends the run.

use std::fmt;
use std::io::{self, ErrorKind, Read, Write};
use std::sync::Arc;

use ureq::config::Config as UreqConfig;
use ureq::unversioned::transport::{Buffers, LazyBuffers, NextTimeout, Transport};

use super::lost_to_server;
use crate::deadline::Check;
use crate::error::{Error, Kind};
use crate::text::shown;

/// A connection in both directions: TCP, or TLS over it.
pub trait Duplex: Read + Write + Send + Sync {}
impl<S: Read + Write + Send + Sync> Duplex for S {}

/// An open connection of any kind.
pub type Connection = Box<dyn Duplex>;

/// The first byte of an alert in TLS.
const TLS_ALERT: u8 = 21;

/// A connection with the buffers that ureq reads from and writes to.
pub struct Stream {
    connection: Connection,
    check: Arc<Check>,
    buffers: LazyBuffers,
    is_tls: bool,
    has_answered: bool,
}

impl Stream {
    pub fn new(
        connection: Connection,
        check: Arc<Check>,
        is_tls: bool,
        config: &UreqConfig,
    ) -> Stream {
        let buffers = LazyBuffers::new(config.input_buffer_size(), config.output_buffer_size());
        Stream {
            connection,
            check,
            buffers,
            is_tls,
            has_answered: false,
        }
    }

    /// On plain http: the error when the first read shows that the port is one for TLS, or that there is no reply.
    fn check_first_read(
        &self,
        result: &io::Result<usize>,
        input: &[u8],
    ) -> Result<(), ureq::Error> {
        let config = &self.check.config;
        let mut error = match result {
            Ok(0) => lost_to_server(&ErrorKind::UnexpectedEof.into(), config),
            Ok(_) if input.first() == Some(&TLS_ALERT) => {
                let message = shown!("{} answered in TLS instead of HTTP", config.server_name);
                Error::new(Kind::UnexpectedReply, message)
            }
            Ok(_) => return Ok(()),
            Err(error) => lost_to_server(error, config),
        };
        if let Some(setting) = config.url_setting {
            error.hint = Some(shown!(
                "if the port is one for TLS, use https:// in {}",
                setting
            ));
        }
        Err(error.into())
    }
}

impl Transport for Stream {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, _: NextTimeout) -> Result<(), ureq::Error> {
        self.connection
            .write_all(&self.buffers.output()[..amount])?;
        self.connection.flush()?;
        Ok(())
    }

    fn await_input(&mut self, _: NextTimeout) -> Result<bool, ureq::Error> {
        let input = self.buffers.input_append_buf();
        if input.is_empty() {
            // The buffer is full, and ureq still waits for the end of a line or of a chunk's size. A read of zero bytes
            // would look like the end of the connection.
            return Err(ureq::Error::BodyExceedsLimit(
                self.buffers.input().len() as u64
            ));
        }
        let result = self.connection.read(input);
        if !self.is_tls && !self.has_answered {
            let first_byte = [input[0]];
            self.check_first_read(&result, &first_byte)?;
        }
        self.has_answered = true;
        match result {
            Ok(amount) => {
                self.buffers.input_appended(amount);
                Ok(amount > 0)
            }
            // ureq takes an error of these kinds for the end of a body without a length, but the body is cut short.
            // `io::Error::other` hides the kind. A TLS connection that ends without a close_notify is left to ureq:
            // many servers send none, and JSON that is cut does not parse.
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted
                ) =>
            {
                Err(io::Error::other(error).into())
            }
            Err(error) => Err(error.into()),
        }
    }

    fn is_open(&mut self) -> bool {
        // Only a pool asks, and nothing is ever put into it.
        false
    }

    fn is_tls(&self) -> bool {
        self.is_tls
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream")
            .field("is_tls", &self.is_tls)
            .finish_non_exhaustive()
    }
}
