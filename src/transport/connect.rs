//! The connector: `connect` does everything up to the request. It connects to the server or the proxy, passes the
//! proxy and starts TLS.
//!
//! Which proxy and which certificates is decided in `proxy.rs` and `trust.rs`.

use std::fmt;
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;

use http::Uri;
use rustls::ClientConfig;
use ureq::ProxyProtocol;
use ureq::config::Config as UreqConfig;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{
    ConnectionDetails, Connector, NextTimeout, SocksConnector, Transport, TransportAdapter,
};

use super::stream::{Connection, Stream};
use super::{race, tls, tunnel};
use crate::deadline::Check;
use crate::endpoint::unbracketed;
use crate::error::{Error, Kind, Result};
use crate::proxy::Proxy;
use crate::text::{Shown, shown};

/// The most addresses that ureq's list has room for.
const MAX_ADDRESSES: usize = 16;

/// Connects to the server of a [`Check`].
#[derive(Clone)]
pub struct Connect {
    pub check: Arc<Check>,
    /// `None` for plain http.
    pub tls: Option<Arc<ClientConfig>>,
}

impl Connector<()> for Connect {
    type Out = Stream;

    fn connect(
        &self,
        details: &ConnectionDetails,
        _: Option<()>,
    ) -> Result<Option<Stream>, ureq::Error> {
        let check = &self.check;
        let config = &check.config;
        let mut connection = match &config.proxy {
            None => self.dial(&details.addrs, &config.server_name)?,
            Some(proxy) => match proxy.settings.protocol() {
                ProxyProtocol::Http | ProxyProtocol::Https => self.pass_http(proxy, details)?,
                _ => self.pass_socks(proxy, details)?,
            },
        };
        if let Some(tls) = &self.tls {
            let name = &config.server_name;
            check.step(shown!("{} did not complete the TLS handshake", name));
            connection = tls::connect(tls, config.endpoint.host(), connection, name, check)?;
        }
        check.step(shown!("{} did not answer", config.server_name));
        let stream = Stream::new(connection, self.tls.is_some(), details.config);
        Ok(Some(stream))
    }
}

impl Connect {
    fn dial(&self, addresses: &[SocketAddr], name: &Shown) -> Result<Connection> {
        let stream = match race::connect(addresses) {
            Ok(stream) => stream,
            Err(error) => return Err(connect_error(name, &error)),
        };
        // The request is one small write; waiting for more would only delay it.
        let _ = stream.set_nodelay(true);
        if let Ok(address) = stream.peer_addr() {
            self.check
                .note(shown!("connected to {}", Shown::new(address.to_string())));
        }
        Ok(Box::new(stream))
    }

    /// Connects through an HTTP proxy, with TLS to an https one.
    fn pass_http(
        &self,
        proxy: &Proxy,
        details: &ConnectionDetails,
    ) -> Result<Connection, ureq::Error> {
        let check = &self.check;
        let addresses = self.resolve(proxy.settings.uri(), details.config, details.timeout)?;
        let mut connection = self.dial(&addresses, &proxy.name)?;
        check.step(shown!("{} did not answer", proxy.name));
        if proxy.settings.protocol() == ProxyProtocol::Https {
            let Some(tls) = &self.tls else {
                // The user name and password would go out unencrypted.
                let message = shown!("{} needs TLS, which plain http does not set up", proxy.name);
                return Err(Error::new(Kind::Local, message).into());
            };
            connection = tls::connect(tls, proxy.settings.host(), connection, &proxy.name, check)?;
        }
        Ok(tunnel::pass(connection, &check.config.endpoint, proxy)?)
    }

    /// Connects through a SOCKS proxy with ureq's own connector, which resolves with [`Connect::resolve`].
    fn pass_socks(
        &self,
        proxy: &Proxy,
        details: &ConnectionDetails,
    ) -> Result<Connection, ureq::Error> {
        match SocksConnector::default().connect(details, None::<Box<dyn Transport>>) {
            Ok(Some(transport)) => {
                let adapter =
                    TransportAdapter::new(transport.boxed(), Arc::clone(&details.current_time));
                Ok(Box::new(adapter))
            }
            Ok(None) => Err(ureq::Error::ConnectionFailed),
            Err(ureq::Error::Io(error)) => {
                Err(socks_error(&error, proxy, &self.check.config.server_name).into())
            }
            // Our own error, from the resolver.
            Err(error) => Err(error),
        }
    }
}

/// The error when no connection to `name` can be made.
fn connect_error(name: &Shown, error: &io::Error) -> Error {
    let message = shown!("could not connect to {}: {}", name, Shown::reason(error));
    Error::new(Kind::Network, message)
}

/// What an error of ureq's SOCKS connector means. What a proxy answered is in the error's text alone; the words are
/// those of ureq 3.5, held by the tests in tests/proxies.rs.
fn socks_error(error: &io::Error, proxy: &Proxy, server_name: &Shown) -> Error {
    // Only the system's errors have a number.
    if error.raw_os_error().is_some() {
        return connect_error(&proxy.name, error);
    }
    let reason = Shown::reason(error);
    if error.kind() == ErrorKind::UnexpectedEof {
        let message = shown!("the connection to {} was lost: {}", proxy.name, reason);
        return Error::new(Kind::Network, message);
    }
    let text = error.to_string();
    if error.kind() == ErrorKind::InvalidData {
        let message = shown!("{} did not answer in SOCKS", proxy.name);
        return Error::new(Kind::Network, message).with_retryable(false);
    }
    if text.contains("auth") || text.contains("invalid") {
        let message = shown!("{} wants another user name or password", proxy.name);
        return Error::new(Kind::Network, message).with_retryable(false);
    }
    let is_final = text.contains("not allowed") || text.contains("not supported");
    let message = shown!(
        "could not connect to {} through {}: {}",
        server_name,
        proxy.name,
        reason
    );
    Error::new(Kind::Network, message).with_retryable(!is_final)
}

impl Resolver for Connect {
    /// Resolves the host of `uri`, which is the server's or the proxy's.
    fn resolve(
        &self,
        uri: &Uri,
        _: &UreqConfig,
        _: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let config = &self.check.config;
        let endpoint = &config.endpoint;
        let is_server = uri == endpoint.uri();
        let name = match &config.proxy {
            Some(proxy) if !is_server => &proxy.name,
            _ => &config.server_name,
        };
        self.check.step(shown!("could not resolve {}", name));
        let host = unbracketed(uri.host().unwrap_or_default());
        // A proxy's URL always has a port.
        let port = uri.port_u16().unwrap_or(endpoint.port());
        let found = (host, port).to_socket_addrs().map_err(|error| {
            let reason = Shown::reason(&error);
            Error::new(
                Kind::Network,
                shown!("could not resolve {}: {}", name, reason),
            )
        })?;

        // SOCKS 4 has no IPv6, but this rule is about the server: the proxy itself may have any address.
        let needs_ipv4 = is_server
            && config
                .proxy
                .as_ref()
                .is_some_and(|proxy| proxy.settings.protocol() == ProxyProtocol::Socks4);
        let mut addresses = self.empty();
        for address in found {
            if addresses.len() < MAX_ADDRESSES && (address.is_ipv4() || !needs_ipv4) {
                addresses.push(address);
            }
        }
        if addresses.is_empty() {
            let message = shown!("could not resolve {}: it has no usable address", name);
            return Err(Error::new(Kind::Network, message)
                .with_retryable(false)
                .into());
        }
        let is_loopback = |address: &SocketAddr| address.ip().to_canonical().is_loopback();
        if endpoint.is_unencrypted() && !addresses.iter().all(is_loopback) {
            let message = shown!(
                "plain http is allowed only to this machine, and {} is not",
                name
            );
            let error = Error::new(Kind::Network, message).with_hint("use https");
            return Err(error.with_retryable(false).into());
        }
        self.check.step(shown!("could not connect to {}", name));
        Ok(addresses)
    }
}

impl fmt::Debug for Connect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Connect")
    }
}
