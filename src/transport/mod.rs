//! The way to the server: the connection, the proxy, TLS, put together as a ureq agent.
//!
//! What is asked and what the answer means is decided in `client.rs`; which proxy is used, in `proxy.rs`.

mod connect;
pub mod race;
mod socks;
mod stream;
mod tls;
pub mod trust;
pub mod tunnel;

use std::io;
use std::sync::Arc;

use ureq::Agent;

use self::connect::Connect;
use self::tls::{Party, Tls};
use crate::config::Config;
use crate::deadline::Check;
use crate::error::{Error, Kind, Result};
use crate::proxy::Route;
use crate::text::{Shown, shown};

/// The most bytes of a reply's head that are read; curl stops at 100 KiB for one line and 300 KiB in all.
pub const MAX_HEAD: usize = 64 << 10;

/// How the program names itself to the server and to a proxy.
const USER_AGENT: &str = concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION"));

/// Builds the agent. Reads the certificates to trust if the URL is https, but opens no connection yet.
///
/// It has no timeout: `deadline.rs` ends the run, and also covers what ureq's timeouts do not (the resolver, a proxy
/// that answers one byte at a time).
///
/// # Errors
/// When there are no certificates to trust.
pub fn agent(check: &Arc<Check>) -> Result<Agent> {
    let config = &check.config;
    match &config.route {
        Route::Through(proxy) => check.note(shown!("using {}", proxy.name)),
        Route::Direct(why) => check.note(why.note()),
    }
    let is_unencrypted = config.endpoint.is_unencrypted();
    let agent_config = Agent::config_builder()
        .https_only(!is_unencrypted)
        // A redirect is a reply like any other: the key goes to one host.
        .max_redirects(0)
        .http_status_as_error(false)
        // The connector passes the proxy. Without this, ureq would look at the environment itself.
        .proxy(None)
        .max_idle_connections(0)
        .max_response_header_size(MAX_HEAD)
        // ureq compares what is in the buffer with the limit, so the buffer has to be larger.
        .input_buffer_size(MAX_HEAD + 1024)
        .output_buffer_size(8 << 10)
        .user_agent(USER_AGENT)
        .accept("application/json")
        .build();
    let tls = if is_unencrypted {
        None
    } else {
        Some(Tls::new(check)?)
    };
    let connect = Connect {
        check: Arc::clone(check),
        tls,
    };
    Ok(Agent::with_parts(agent_config, connect.clone(), connect))
}

/// The error for a connection to `name` that fails after it was made.
fn lost(error: &io::Error, name: &Shown) -> Error {
    let reason = Shown::reason(error);
    let message = shown!("the connection to {} was lost: {}", name, reason);
    Error::new(Kind::Network, message)
}

/// The same for a connection that may have TLS.
fn lost_to(party: &Party, error: &io::Error, config: &Config) -> Error {
    // A server that requires a client certificate says so after its side of the handshake.
    if tls::rustls_error(error).is_some() {
        return tls::handshake_error(error, party, true, config);
    }
    lost(error, &party.name)
}

/// The error for the connection to the server that fails after it was made.
pub fn lost_to_server(error: &io::Error, config: &Config) -> Error {
    lost_to(&Party::server(config), error, config)
}
