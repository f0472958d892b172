//! The connector: `connect` does everything up to the request. It connects to the server or the proxy, passes the
//! proxy and starts TLS.
//!
//! Which proxy and which certificates is decided in `proxy.rs` and `trust.rs`.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, ToSocketAddrs};
use std::sync::Arc;

use http::Uri;
use ureq::config::Config as UreqConfig;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{ConnectionDetails, Connector, NextTimeout};

use super::socks::{self, Host, Target};
use super::stream::{Connection, Stream};
use super::tls::{Party, Tls};
use super::{race, tunnel};
use crate::deadline::Check;
use crate::endpoint::{is_localhost, unbracketed};
use crate::error::{BUG_HINT, Error, Kind, Result};
use crate::proxy::{Protocol, Proxy, Route, WhyDirect};
use crate::text::{Shown, shown};

/// Connects to the server of a [`Check`].
#[derive(Clone)]
pub struct Connect {
    pub check: Arc<Check>,
    /// `None` for plain http.
    pub tls: Option<Tls>,
}

impl Connector<()> for Connect {
    type Out = Stream;

    fn connect(
        &self,
        details: &ConnectionDetails,
        _: Option<()>,
    ) -> Result<Option<Stream>, ureq::Error> {
        let check = &self.check;
        let connection = match self.open(self.tls.as_ref()) {
            Err(error) if error.more_certificates_may_help => self.open_with_directories(error)?,
            result => result?,
        };
        check.step(shown!("{} did not answer", check.config.server_name));
        let stream = Stream::new(
            connection,
            Arc::clone(check),
            self.tls.is_some(),
            details.config,
        );
        Ok(Some(stream))
    }
}

/// Who is connected to, as messages name them, and what may help where that fails.
struct Peer<'a> {
    /// For the resolver; without the brackets of an IPv6 address.
    host: &'a str,
    port: u16,
    name: &'a Shown,
    /// The name where the host can't be resolved. A server has no port then, as a resolver takes none.
    unresolved_name: Shown,
    hint: Option<Shown>,
}

impl Peer<'_> {
    /// The error of a step that fails with `failure`.
    fn error(&self, failure: &Shown, reason: &io::Error) -> Error {
        let message = shown!("{}: {}", failure, Shown::reason(reason));
        Error::new(Kind::Network, message).with_hint_if(self.hint.clone())
    }
}

impl Connect {
    /// Opens a connection to the server, through the proxy if there is one, and starts TLS unless it is plain http.
    fn open(&self, tls: Option<&Tls>) -> Result<Connection> {
        let check = &self.check;
        let config = &check.config;
        let connection: Connection = match &config.route {
            Route::Direct(why) => Box::new(self.dial_server(why)?),
            Route::Through(proxy) => match proxy.protocol {
                Protocol::Http | Protocol::Https => self.pass_http(proxy, tls)?,
                _ => Box::new(self.pass_socks(proxy)?),
            },
        };
        let Some(tls) = tls else {
            return Ok(connection);
        };
        let party = Party::server(config);
        check.step(party.handshake_step());
        tls.connect(connection, &party, check)
    }

    /// Opens the connection once more, where the store has directories that were not read yet. No request has been sent
    /// before; a proxy is asked a second time. `error` is what the first try came to.
    fn open_with_directories(&self, error: Error) -> Result<Connection> {
        let Some(tls) = &self.tls else {
            return Err(error);
        };
        match tls.with_directories(&self.check)? {
            Some(tls) => self.open(Some(&tls)),
            None => Err(error),
        }
    }

    /// Connects to the server without a proxy.
    fn dial_server(&self, why: &WhyDirect) -> Result<TcpStream> {
        let config = &self.check.config;
        let endpoint = &config.endpoint;
        let hint = if endpoint.is_loopback() {
            None
        } else {
            Some(why.hint())
        };
        self.dial(&Peer {
            host: endpoint.host(),
            port: endpoint.port(),
            name: &config.server_name,
            unresolved_name: Shown::new(endpoint.host()),
            hint,
        })
    }

    fn dial_proxy(&self, proxy: &Proxy) -> Result<TcpStream> {
        self.dial(&Peer {
            host: unbracketed(&proxy.host),
            port: proxy.port,
            name: &proxy.name,
            unresolved_name: proxy.name.clone(),
            hint: None,
        })
    }

    fn dial(&self, peer: &Peer) -> Result<TcpStream> {
        let check = &self.check;
        let addresses = self.resolve_peer(peer)?;
        let failure = shown!("could not connect to {}", peer.name);
        check.step_with_hint(failure.clone(), peer.hint.clone());
        let stream = match race::connect(&addresses, &|line| check.note(line)) {
            Ok(stream) => stream,
            Err(error) => return Err(peer.error(&failure, &error)),
        };
        // The request is one small write; waiting for more would only delay it.
        let _ = stream.set_nodelay(true);
        Ok(stream)
    }

    fn resolve_peer(&self, peer: &Peer) -> Result<Vec<SocketAddr>> {
        let failure = shown!("could not resolve {}", peer.unresolved_name);
        self.check
            .step_with_hint(failure.clone(), peer.hint.clone());
        addresses_of(peer.host, peer.port).map_err(|error| peer.error(&failure, &error))
    }

    /// Connects through an HTTP proxy, with TLS to an https one.
    fn pass_http(&self, proxy: &Proxy, tls: Option<&Tls>) -> Result<Connection> {
        let check = &self.check;
        let mut connection: Connection = Box::new(self.dial_proxy(proxy)?);
        if proxy.protocol == Protocol::Https {
            let name = &proxy.name;
            let Some(tls) = tls else {
                // Not possible, as plain http never goes through a proxy. The user name and password would go out
                // unencrypted, so it is an error here too.
                let message = shown!("{} needs TLS, which plain http does not set up", name);
                return Err(Error::new(Kind::Local, message).with_hint(BUG_HINT));
            };
            let party = Party::proxy(proxy);
            check.step_with_hint(party.handshake_step(), Some(party.not_tls_hint.clone()));
            connection = tls.connect(connection, &party, check)?;
        }
        tunnel::pass(connection, proxy, check)
    }

    /// Connects through a SOCKS proxy.
    fn pass_socks(&self, proxy: &Proxy) -> Result<TcpStream> {
        // Before anything is sent: what the proxy can't be asked for is no reason to connect to it.
        let target = self.socks_target(proxy)?;
        let mut stream = self.dial_proxy(proxy)?;
        socks::pass(&mut stream, &target, proxy, &self.check)?;
        Ok(stream)
    }

    /// What a SOCKS proxy is asked to connect to: 4 and 5 take an address, which is resolved on this machine; 4a and 5h
    /// take a name.
    fn socks_target(&self, proxy: &Proxy) -> Result<Target> {
        let endpoint = &self.check.config.endpoint;
        let host = endpoint.host();
        let port = endpoint.port();
        let is_version_4 = matches!(proxy.protocol, Protocol::Socks4 | Protocol::Socks4a);
        if let Ok(address) = host.parse::<IpAddr>() {
            if is_version_4 && address.is_ipv6() {
                return Err(socks::no_ipv4_address(&self.check));
            }
            return Ok(Target {
                host: Host::Ip(address),
                port,
            });
        }
        if matches!(proxy.protocol, Protocol::Socks4a | Protocol::Socks5h) {
            return Ok(Target {
                host: Host::Name(host.to_owned()),
                port,
            });
        }
        let other_scheme = if is_version_4 { "socks4a" } else { "socks5h" };
        let name = Shown::new(host);
        let unresolved_name = shown!("{} on this machine, for {}", name, proxy.name);
        let addresses = self.resolve_peer(&Peer {
            host,
            port,
            name: &name,
            unresolved_name,
            hint: Some(shown!("with {}:// the proxy resolves names", other_scheme)),
        })?;
        for address in addresses {
            if address.is_ipv4() || !is_version_4 {
                return Ok(Target {
                    host: Host::Ip(address.ip()),
                    port,
                });
            }
        }
        Err(socks::no_ipv4_address(&self.check))
    }
}

/// The addresses of a host. `localhost` is this machine, whatever a resolver would say.
fn addresses_of(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    if is_localhost(host) {
        let ipv4 = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let ipv6 = SocketAddr::from((Ipv6Addr::LOCALHOST, port));
        return Ok(vec![ipv4, ipv6]);
    }
    Ok((host, port).to_socket_addrs()?.collect())
}

impl Resolver for Connect {
    /// Nothing: ureq's list has room for 16 addresses, so the connector resolves by itself.
    fn resolve(
        &self,
        _: &Uri,
        _: &UreqConfig,
        _: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        Ok(self.empty())
    }
}

impl fmt::Debug for Connect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Connect")
    }
}
