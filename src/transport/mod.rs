//! The way from here to the service: names, addresses, proxies, TLS, assembled into a ureq agent.
//!
//! Each part has a room of its own: `proxy` decides the route, `resolve` and `race` open the connection,
//! `tunnel` passes a proxy, `tls` and `trust` secure it, `failure` says what went wrong. What is asked and
//! what the answer means is no concern of this folder; that is `api.rs`.

mod duplex;
mod failure;
mod progress;
mod proxy;
mod race;
mod resolve;
mod tls;
mod trust;
mod tunnel;

use std::env;
use std::sync::Arc;

use ureq::config::Config;
use ureq::unversioned::transport::{ConnectionDetails, Connector, SocksConnector};
use ureq::{Agent, Proxy, ProxyProtocol};

pub use failure::{Failure, TlsProblem};
pub use progress::{Progress, Stage};

use crate::endpoint::Endpoint;

/// Bytes of a reply's head that are read at most; curl stops at 100 KiB for one line and 300 KiB in all.
const MAX_HEAD: usize = 64 << 10;

/// How the program names itself to the service and to a proxy.
const USER_AGENT: &str = concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION"));

/// Builds the agent for requests to `endpoint`. Nothing is sent yet.
///
/// No timeout is set in it: `main` ends the run at the deadline, wherever the agent is by then, which also
/// covers the places where ureq's own timeouts do not reach (a proxy that drips its answer).
///
/// # Errors
/// When a proxy variable or the trust store can't be used.
pub fn agent(endpoint: &Endpoint, progress: &Arc<Progress>) -> Result<Agent, Failure> {
    let route = proxy::choose(endpoint, |name| env::var_os(name))?;
    let proxy = route.as_ref().map(|route| route.proxy.clone());
    progress.route(route);
    let https_proxy = proxy.as_ref().is_some_and(|proxy| proxy.protocol() == ProxyProtocol::Https);
    let tls = if endpoint.is_plain() && !https_proxy { None } else { Some(tls::config()?) };
    let config = |proxy| config(endpoint, proxy);
    let chain =
        ().chain(SocksConnector::default())
            .chain(tunnel::Tunnel::new(config(None), progress))
            .chain(race::Race::new(progress))
            .chain(tls::Tls::new(tls, progress));
    let resolver = resolve::Resolve::new(endpoint, progress);
    Ok(Agent::with_parts(config(proxy), chain, resolver))
}

fn config(endpoint: &Endpoint, proxy: Option<Proxy>) -> Config {
    Agent::config_builder()
        .https_only(!endpoint.is_plain())
        // A redirect is an answer like any other: the key goes to one host.
        .max_redirects(0)
        .http_status_as_error(false)
        .proxy(proxy)
        .max_idle_connections(0)
        .max_response_header_size(MAX_HEAD)
        // ureq compares what is buffered with the limit, so the buffer has to be larger.
        .input_buffer_size(MAX_HEAD + 1024)
        .output_buffer_size(8 << 10)
        .user_agent(USER_AGENT)
        .accept("application/json")
        .build()
}

/// How messages name the other side of a connection that goes through no proxy.
fn peer(details: &ConnectionDetails) -> String {
    details.uri.authority().map(ToString::to_string).unwrap_or_default()
}
