//! Names to addresses, by the operating system's resolver.

use std::net::IpAddr;
use std::sync::Arc;

use http::Uri;
use ureq::config::Config;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;
use ureq::{Error, ProxyProtocol};

use super::{Failure, Progress, Stage};
use crate::endpoint::Endpoint;
use crate::text;

/// ureq's resolver, with the rules of this program around it.
#[derive(Debug)]
pub struct Resolve {
    system: DefaultResolver,
    /// Unencrypted: whatever is connected to, the service or a proxy, must be this machine.
    plain: bool,
    progress: Arc<Progress>,
}

impl Resolve {
    pub fn new(endpoint: &Endpoint, progress: &Arc<Progress>) -> Resolve {
        Resolve { system: DefaultResolver::default(), plain: endpoint.is_plain(), progress: progress.clone() }
    }
}

impl Resolver for Resolve {
    fn resolve(
        &self,
        uri: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, Error> {
        let host = uri.host().unwrap_or_default();
        // The tunnel asks for its proxy with a configuration that names none.
        let of_proxy =
            self.progress.proxy().is_some() && config.proxy().is_none_or(|proxy| proxy.uri() == uri);
        self.progress.reach(if of_proxy { Stage::Proxy } else { Stage::Resolve });
        let found = self.system.resolve(uri, config, timeout).map_err(|error| Failure::Resolve {
            host: host.to_owned(),
            reason: match error {
                Error::Io(error) => text::io_reason(&error),
                _ => "it has no address".to_owned(),
            },
        })?;
        if self.plain && !found.iter().all(|address| address.ip().to_canonical().is_loopback()) {
            return Err(Failure::LeavesMachine { host: host.to_owned() }.into());
        }
        let proxied = self.progress.proxy().is_some();
        self.progress.reach(if proxied { Stage::Proxy } else { Stage::Connect });

        // SOCKS4 has no room for an IPv6 address.
        let for_socks4 =
            !of_proxy && config.proxy().is_some_and(|proxy| proxy.protocol() == ProxyProtocol::Socks4);
        if !for_socks4 {
            return Ok(found);
        }
        let mut usable = self.empty();
        for address in found.iter().filter(|address| matches!(address.ip(), IpAddr::V4(_))) {
            usable.push(*address);
        }
        if usable.is_empty() {
            let reason = "it has no IPv4 address, and SOCKS4 takes no other".to_owned();
            return Err(Failure::Resolve { host: host.to_owned(), reason }.into());
        }
        Ok(usable)
    }
}
