//! Certificates of every kind, and an API over TLS that shows them.

use std::io::Write;
use std::net::TcpStream;
use std::sync::Arc;

use assert_cmd::Command;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, GeneralSubtree, IsCa, KeyPair,
    NameConstraints,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientCertVerifierBuilder, WantsServerCert, WebPkiClientVerifier};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ConfigBuilder, RootCertStore, ServerConfig, ServerConnection, StreamOwned};
use tempfile::NamedTempFile;

use super::server::{Server, close_after_client, read_head};
use super::{ask, good_reply};

/// A certificate authority.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate, those between it and the root, and its key.
pub struct Identity {
    pub chain: Vec<CertificateDer<'static>>,
    pub key: PrivateKeyDer<'static>,
}

/// The parameters of a certificate for these names, changed by `with`.
pub fn params(names: &[&str], with: impl FnOnce(&mut CertificateParams)) -> CertificateParams {
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    let mut params = CertificateParams::new(names).unwrap();
    with(&mut params);
    params
}

fn authority(name: &str) -> CertificateParams {
    params(&[], |params| {
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
    })
}

impl Authority {
    pub fn new() -> Authority {
        Authority::named("A company's own authority")
    }

    pub fn named(name: &str) -> Authority {
        Authority(
            CertifiedIssuer::self_signed(authority(name), KeyPair::generate().unwrap()).unwrap(),
        )
    }

    /// An authority for the names in one domain only.
    pub fn limited_to(domain: &str) -> Authority {
        let permitted_subtrees = vec![GeneralSubtree::DnsName(domain.to_owned())];
        let mut params = authority("An authority for one domain");
        params.name_constraints = Some(NameConstraints {
            permitted_subtrees,
            excluded_subtrees: Vec::new(),
        });
        Authority(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// An authority below this one.
    pub fn intermediate(&self) -> Authority {
        self.intermediate_named("One of its departments")
    }

    /// The same with this name.
    pub fn intermediate_named(&self, name: &str) -> Authority {
        let params = authority(name);
        Authority(
            CertifiedIssuer::signed_by(params, KeyPair::generate().unwrap(), &self.0).unwrap(),
        )
    }

    pub fn pem(&self) -> String {
        self.0.as_ref().pem()
    }

    pub fn der(&self) -> CertificateDer<'static> {
        self.0.as_ref().der().clone()
    }

    /// A certificate by this authority.
    pub fn sign(&self, params: &CertificateParams) -> Identity {
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        Identity {
            chain: vec![certificate.into()],
            key: key.into(),
        }
    }

    /// A good certificate for `localhost`.
    pub fn good(&self) -> Identity {
        self.sign(&params(&["localhost"], |_| {}))
    }

    /// A file that names this authority.
    pub fn file(&self) -> NamedTempFile {
        file(self.pem())
    }
}

/// A certificate that is its own issuer, and its PEM.
pub fn self_signed(params: &CertificateParams) -> (Identity, String) {
    let key = KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap();
    let pem = certificate.pem();
    (
        Identity {
            chain: vec![certificate.into()],
            key: key.into(),
        },
        pem,
    )
}

/// A file with this content, deleted at the end of the test.
pub fn file(content: impl AsRef<[u8]>) -> NamedTempFile {
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(content.as_ref()).unwrap();
    file
}

/// The usual configuration for `identity`.
pub fn config(identity: Identity) -> ServerConfig {
    config_with(identity, rustls::DEFAULT_VERSIONS, |builder| {
        builder.with_no_client_auth()
    })
}

/// A configuration with these versions, and what `clients` requires of clients.
pub fn config_with(
    identity: Identity,
    versions: &[&'static rustls::SupportedProtocolVersion],
    clients: impl FnOnce(
        ConfigBuilder<ServerConfig, rustls::WantsVerifier>,
    ) -> ConfigBuilder<ServerConfig, WantsServerCert>,
) -> ServerConfig {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .unwrap();
    clients(builder)
        .with_single_cert(identity.chain, identity.key)
        .unwrap()
}

/// A configuration with a certificate and a key that need not belong together, nor be valid.
pub fn unchecked_config(
    identity: Identity,
    versions: &[&'static rustls::SupportedProtocolVersion],
) -> ServerConfig {
    let key = rustls::crypto::ring::sign::any_supported_type(&identity.key).unwrap();
    let resolver = SingleCertAndKey::from(CertifiedKey::new(identity.chain, key));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .unwrap();
    builder
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(resolver))
}

/// A configuration with these versions that requires a client certificate.
pub fn requiring_client_certificate(
    authority: &Authority,
    versions: &[&'static rustls::SupportedProtocolVersion],
) -> ServerConfig {
    let verifier = client_verifier(authority).build().unwrap();
    config_with(authority.good(), versions, |any| {
        any.with_client_cert_verifier(verifier)
    })
}

/// A configuration with these versions that asks for a client certificate and does without one as well.
pub fn asking_for_client_certificate(
    authority: &Authority,
    versions: &[&'static rustls::SupportedProtocolVersion],
) -> ServerConfig {
    let verifier = client_verifier(authority).allow_unauthenticated();
    let verifier = verifier.build().unwrap();
    config_with(authority.good(), versions, |any| {
        any.with_client_cert_verifier(verifier)
    })
}

fn client_verifier(authority: &Authority) -> ClientCertVerifierBuilder {
    let mut clients = RootCertStore::empty();
    clients.add(authority.der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    WebPkiClientVerifier::builder_with_provider(Arc::new(clients), provider)
}

/// The server's side of a TLS connection. The handshake is done on the first read.
pub fn accept(
    config: &Arc<ServerConfig>,
    stream: TcpStream,
) -> StreamOwned<ServerConnection, TcpStream> {
    StreamOwned::new(ServerConnection::new(config.clone()).unwrap(), stream)
}

/// An API over TLS with a good certificate, and the file that makes it trusted.
pub struct TrustedApi {
    pub server: Server,
    pub trusted: NamedTempFile,
}

impl TrustedApi {
    pub fn new() -> TrustedApi {
        let authority = Authority::new();
        TrustedApi {
            server: api(config(authority.good())),
            trusted: authority.file(),
        }
    }
}

/// An API over TLS that answers with the balance. Each request is what came through TLS, empty when the handshake
/// failed.
pub fn api(config: ServerConfig) -> Server {
    api_on("127.0.0.1", config)
}

/// The same on another address of this machine.
pub fn api_on(host: &str, config: ServerConfig) -> Server {
    let config = Arc::new(config);
    Server::on(host, move |stream| {
        let mut stream = accept(&config, stream);
        let head = read_head(&mut stream);
        if !head.is_empty() {
            let _ = stream.write_all(good_reply().as_bytes());
            stream.conn.send_close_notify();
            let _ = stream.flush();
        }
        close_after_client(&mut stream.sock);
        head
    })
}

/// How messages name `server`, whose certificate is for `localhost`.
pub fn name(server: &Server) -> String {
    format!("localhost:{}", server.address.port())
}

/// The program, asking `server` by its name and trusting the certificates in `trusted`.
pub fn ask_trusting(server: &Server, trusted: &NamedTempFile) -> Command {
    let mut command = ask(&format!("https://{}", name(server)));
    command.env("SSL_CERT_FILE", trusted.path());
    command
}
