//! The connector: resolve, connect to the proxy or the server, pass the proxy, start TLS. `connect` is the whole way.
//!
//! Which proxy and which certificates is decided in `proxy.rs` and `trust.rs`.

use std::fmt;
use std::io::ErrorKind;
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

use super::proxy::Proxy;
use super::stream::{Connection, Stream};
use super::{race, tls, tunnel};
use crate::cli::Config;
use crate::deadline::Run;
use crate::endpoint::unbracketed;
use crate::error::{Error, Kind, Result, error};
use crate::text::{Shown, shown};

/// Connects to the server of a [`Run`].
#[derive(Clone)]
pub struct Connect {
    pub run: Arc<Run>,
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
        let Connect { run, tls } = self;
        let config = &run.config;
        let mut connection = match &config.proxy {
            None => self.dial(&details.addrs, &config.host)?,
            Some(proxy)
                if matches!(
                    proxy.ureq.protocol(),
                    ProxyProtocol::Http | ProxyProtocol::Https
                ) =>
            {
                let addresses = self.resolve(proxy.ureq.uri(), details.config, details.timeout)?;
                let mut connection = self.dial(&addresses, &proxy.name)?;
                run.step(&shown!("{} did not answer", proxy.name));
                if let (ProxyProtocol::Https, Some(tls)) = (proxy.ureq.protocol(), tls) {
                    connection =
                        tls::connect(tls, proxy.ureq.host(), connection, &proxy.name, run)?;
                }
                tunnel::pass(connection, &config.endpoint, proxy)?
            }
            Some(proxy) => self.pass_socks(proxy, details)?,
        };
        if let Some(tls) = tls {
            run.step(&shown!(
                "{} did not complete the TLS handshake",
                config.host
            ));
            connection = tls::connect(tls, config.endpoint.host(), connection, &config.host, run)?;
        }
        run.step(&shown!("{} did not answer", config.host));
        Ok(Some(Stream::new(connection, tls.is_some(), details.config)))
    }
}

impl Connect {
    fn dial(&self, addresses: &[SocketAddr], name: &Shown) -> Result<Connection> {
        let stream = race::connect(addresses).map_err(|error| {
            error!(
                Network,
                "could not connect to {}: {}",
                name,
                Shown::reason(&error)
            )
        })?;
        // The request is one small write; waiting for more would only delay it.
        let _ = stream.set_nodelay(true);
        if let Ok(address) = stream.peer_addr() {
            self.run
                .note(&shown!("connected to {}", Shown::new(address.to_string())));
        }
        Ok(Box::new(stream))
    }

    /// Connects through a SOCKS proxy with ureq's own connector, which resolves with [`Connect::resolve`].
    fn pass_socks(
        &self,
        proxy: &Proxy,
        details: &ConnectionDetails,
    ) -> Result<Connection, ureq::Error> {
        let error = match SocksConnector::default().connect(details, None::<Box<dyn Transport>>) {
            Ok(transport) => {
                let transport = transport.ok_or(ureq::Error::ConnectionFailed)?.boxed();
                return Ok(Box::new(TransportAdapter::new(
                    transport,
                    details.current_time.clone(),
                )));
            }
            Err(ureq::Error::Io(error)) => error,
            Err(error) => return Err(error),
        };
        let (name, reason) = (&proxy.name, Shown::reason(&error));
        let is_about = |parts: &[&str]| parts.iter().any(|part| error.to_string().contains(part));
        // The system's errors have a number; the others say what the proxy answered.
        let message = match error.kind() {
            _ if error.raw_os_error().is_some() => {
                shown!("could not connect to {}: {}", name, reason)
            }
            ErrorKind::UnexpectedEof => shown!("the connection to {} was lost: {}", name, reason),
            ErrorKind::InvalidData => shown!("{} did not answer in SOCKS", name),
            _ if is_about(&["auth", "invalid"]) => {
                shown!("{} wants another user name or password", name)
            }
            _ => shown!(
                "could not connect to {} through {}: {}",
                self.run.config.host,
                name,
                reason
            ),
        };
        let is_final = is_about(&["auth", "invalid", "not allowed", "not supported"]);
        Err(Error::new(Kind::Network, message)
            .retryable(!is_final)
            .into())
    }
}

impl Resolver for Connect {
    /// Resolves the host of `uri`, which is the server's or the proxy's.
    fn resolve(
        &self,
        uri: &Uri,
        _: &UreqConfig,
        _: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let Config {
            endpoint,
            proxy,
            host,
            ..
        } = &self.run.config;
        let is_server = uri == endpoint.uri();
        let name = proxy
            .as_ref()
            .filter(|_| !is_server)
            .map_or(host, |proxy| &proxy.name);
        self.run.step(&shown!("could not resolve {}", name));
        let failure = |reason: Shown| error!(Network, "could not resolve {}: {}", name, reason);
        let target = (
            unbracketed(uri.host().unwrap_or_default()),
            uri.port_u16().unwrap_or(endpoint.port()),
        );
        let found = target
            .to_socket_addrs()
            .map_err(|error| failure(Shown::reason(&error)))?;
        // SOCKS 4 has no IPv6, but this rule is about the server: the proxy itself may have any address.
        let is_socks4 = proxy
            .as_ref()
            .is_some_and(|proxy| proxy.ureq.protocol() == ProxyProtocol::Socks4);
        let usable = found.filter(|address| !(is_server && is_socks4) || address.is_ipv4());
        let mut addresses = self.empty();
        // The list has room for 16.
        usable.take(16).for_each(|address| addresses.push(address));
        if addresses.is_empty() {
            return Err(failure("it has no usable address".into())
                .retryable(false)
                .into());
        }
        let is_local = |address: &SocketAddr| address.ip().to_canonical().is_loopback();
        if endpoint.is_plain() && !addresses.iter().all(is_local) {
            let error = error!(
                Network,
                "plain http is allowed only to this machine, and {} is not", name
            );
            return Err(error.hint(Some("use https".into())).retryable(false).into());
        }
        self.run.step(&shown!("could not connect to {}", name));
        Ok(addresses)
    }
}

impl fmt::Debug for Connect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Connect")
    }
}
