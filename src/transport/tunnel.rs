//! Passes an HTTP proxy by CONNECT (RFC 9110, section 9.3.6).
//!
//! ureq has a connector for this, but it tells a refusal in text only, takes no status but 200, gives up at
//! twenty header lines and sends the request in a dozen segments. SOCKS proxies are passed by ureq's own.

use std::io::Write;
use std::sync::Arc;

use base64::prelude::{BASE64_STANDARD, Engine};
use http::Uri;
use ureq::config::Config;
use ureq::unversioned::transport::{ConnectionDetails, Connector, Either, Transport, TransportAdapter};
use ureq::{Error, Proxy, ProxyProtocol};

use super::{Failure, MAX_HEAD, Progress, Stage, USER_AGENT};
use crate::endpoint;

/// Header lines of the proxy's answer that are read at most.
const MAX_HEADERS: usize = 128;

/// Connects to the service through the HTTP proxy of the configuration, if there is one.
#[derive(Debug)]
pub struct Tunnel {
    /// The configuration for the connection to the proxy itself, which goes through none.
    direct: Config,
    progress: Arc<Progress>,
}

impl Tunnel {
    pub fn new(direct: Config, progress: &Arc<Progress>) -> Tunnel {
        Tunnel { direct, progress: progress.clone() }
    }
}

impl<In: Transport> Connector<In> for Tunnel {
    type Out = Either<In, Box<dyn Transport>>;

    fn connect(&self, details: &ConnectionDetails, chained: Option<In>) -> Result<Option<Self::Out>, Error> {
        if let Some(transport) = chained {
            return Ok(Some(Either::A(transport)));
        }
        let http = |proxy: &&Proxy| matches!(proxy.protocol(), ProxyProtocol::Http | ProxyProtocol::Https);
        let Some(proxy) = details.config.proxy().filter(http) else {
            return Ok(None);
        };
        let to_proxy = ConnectionDetails {
            uri: proxy.uri(),
            addrs: details.resolver.resolve(proxy.uri(), &self.direct, details.timeout)?,
            config: &self.direct,
            request_level: details.request_level,
            resolver: details.resolver,
            now: details.now,
            timeout: details.timeout,
            current_time: details.current_time.clone(),
            run_connector: details.run_connector.clone(),
            register_shutdown: details.register_shutdown.clone(),
        };
        let transport = (details.run_connector)(&to_proxy)?;
        self.progress.reach(Stage::Proxy);

        let name = || self.progress.proxy().unwrap_or_default().to_owned();
        let failure = |reason: &str| Failure::Proxy { proxy: name(), reason: reason.to_owned() };
        let lost = |error: std::io::Error| Failure::at_proxy(&error, &self.progress);
        let mut writer = TransportAdapter::new(transport, details.current_time.clone());
        writer.write_all(request(details.uri, proxy).as_bytes()).map_err(lost)?;
        let mut transport = writer.into_inner();
        loop {
            let more = transport.await_input(details.timeout).map_err(|error| lost(error.into_io()))?;
            let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
            let mut reply = httparse::Response::new(&mut headers);
            let used = match reply.parse(transport.buffers().input()) {
                Ok(httparse::Status::Complete(used)) => used,
                Ok(httparse::Status::Partial) if transport.buffers().input().len() > MAX_HEAD => {
                    return Err(failure("its answer is too long").into());
                }
                Ok(httparse::Status::Partial) if more => continue,
                Ok(httparse::Status::Partial) => return Err(failure("it closed the connection").into()),
                Err(_) => return Err(failure("it did not answer in HTTP").into()),
            };
            let status = reply.code.unwrap_or_default();
            transport.buffers().input_consume(used);
            return match status {
                200..=299 => Ok(Some(Either::B(transport))),
                _ => Err(Failure::ProxyRefused { proxy: name(), status }.into()),
            };
        }
    }
}

/// The whole request, to be sent at once. The key is no part of it.
fn request(target: &Uri, proxy: &Proxy) -> String {
    let host = target.host().unwrap_or_default();
    let port = endpoint::port(target);
    let mut request =
        format!("CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\nUser-Agent: {USER_AGENT}\r\n");
    if proxy.username().is_some() || proxy.password().is_some() {
        let (user, password) = (proxy.username().unwrap_or_default(), proxy.password().unwrap_or_default());
        let credentials = BASE64_STANDARD.encode(format!("{user}:{password}"));
        request.push_str(&format!("Proxy-Authorization: Basic {credentials}\r\n"));
    }
    request.push_str("Proxy-Connection: Keep-Alive\r\n\r\n");
    request
}
