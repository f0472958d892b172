//! A minimal rustls client: the lower bound in `cargo bench`. It trusts one authority, sends the request, reads the
//! reply and prints its body. It has no options, no proxy and no deadline.
//!
//! `floor ADDRESS AUTHORITY.pem`, with the key in CLADO_API_KEY.

use std::error::Error;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::{env, str};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, Stream};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [address, authority] = &arguments[..] else {
        return Err("floor ADDRESS AUTHORITY.pem".into());
    };
    let host = address.split(':').next().unwrap_or_default();

    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(authority)?)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(rustls::DEFAULT_VERSIONS)?
        .with_root_certificates(roots)
        .with_no_client_auth();

    let mut socket = TcpStream::connect(address)?;
    socket.set_nodelay(true)?;
    let mut connection =
        ClientConnection::new(Arc::new(config), ServerName::try_from(host.to_owned())?)?;
    let mut stream = Stream::new(&mut connection, &mut socket);
    let key = env::var("CLADO_API_KEY")?;
    let request = format!(
        "GET /api/credits HTTP/1.1\r\nhost: {address}\r\nuser-agent: floor\r\naccept: application/json\r\n\
         authorization: Bearer {key}\r\n\r\n"
    );
    stream.write_all(request.as_bytes())?;

    let (mut reply, mut filled) = ([0; 4096], 0);
    loop {
        filled += stream.read(&mut reply[filled..])?;
        let text = str::from_utf8(&reply[..filled])?;
        let Some((_, body)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        if body.ends_with('}') {
            return Ok(writeln!(io::stdout(), "{body}")?);
        }
    }
}
