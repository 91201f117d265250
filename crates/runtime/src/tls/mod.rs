//! Certificates: what a server shows, whom it lets in, whom a client believes.
//!
//! The files are read again when they change, so a certificate is renewed without a restart:
//! connections that live go on, new ones see the new certificate. Files that cannot be used are
//! told of once, and what was read before stays in force.

mod listener;

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use hyper_rustls::{ConfigBuilderExt, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use serde::{Deserialize, Serialize};

use crate::Failure;

pub(crate) use listener::TlsListener;

/// Where certificates are: PEM files, the empty path for none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TlsSettings {
    /// What this process shows to whoever connects, and where it connects itself: its certificate,
    /// then those between it and the root. Without it everything is served in the clear.
    pub certificate: PathBuf,
    /// The certificate's private key.
    pub key: PathBuf,
    /// Roots of those who may connect; whoever shows no certificate of theirs is refused. Without
    /// it everybody may connect.
    pub client_ca: PathBuf,
    /// Roots of the services that this process connects to; without it those of the machine.
    pub ca: PathBuf,
}

impl TlsSettings {
    fn files(&self) -> [&Path; 4] {
        [&self.certificate, &self.key, &self.client_ca, &self.ca]
    }

    fn check(&self) -> Result<(), Failure> {
        if is_set(&self.certificate) != is_set(&self.key) {
            return Err(Failure::Usage(
                "runtime.tls: give certificate and key, or neither".to_owned(),
            ));
        }
        if is_set(&self.client_ca) && !is_set(&self.certificate) {
            return Err(Failure::Usage(
                "runtime.tls.client_ca: needs certificate and key, for nobody shows a certificate \
                 in the clear"
                    .to_owned(),
            ));
        }
        Ok(())
    }
}

fn is_set(path: &Path) -> bool {
    !path.as_os_str().is_empty()
}

/// Makes connections to http:// and https:// addresses.
pub type Connector = HttpsConnector<HttpConnector>;

/// What is spoken over a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2, as gRPC needs it.
    Http2,
}

/// Certificates in force. Cheap to clone.
#[derive(Clone)]
pub struct Tls {
    inner: Arc<Inner>,
}

struct Inner {
    settings: TlsSettings,
    current: RwLock<Current>,
}

struct Current {
    /// When each file was changed that this was read from.
    read: Changed,
    /// When each file was changed that could not be used; told of once.
    refused: Option<Changed>,
    /// Grows whenever files were read again.
    generation: u64,
    server: Option<Arc<ServerConfig>>,
    client: Option<Arc<ClientConfig>>,
}

type Changed = [Option<SystemTime>; 4];

impl Default for Tls {
    /// Everything in the clear; clients believe the roots of the machine.
    fn default() -> Self {
        let current =
            Current { read: [None; 4], refused: None, generation: 0, server: None, client: None };
        let settings = TlsSettings::default();
        Self { inner: Arc::new(Inner { settings, current: RwLock::new(current) }) }
    }
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// [`Failure::Usage`] that names the setting whose file cannot be used.
    pub fn read(settings: &TlsSettings) -> Result<Self, Failure> {
        settings.check()?;
        if *settings == TlsSettings::default() {
            return Ok(Self::default());
        }
        // Before they are read: what changes in between is noticed later.
        let read = changed(settings);
        let (server, client) = load(settings)?;
        let current = Current { read, refused: None, generation: 0, server, client: Some(client) };
        let settings = settings.clone();
        Ok(Self { inner: Arc::new(Inner { settings, current: RwLock::new(current) }) })
    }

    /// Whether servers of this process speak TLS.
    #[must_use]
    pub fn is_served(&self) -> bool {
        is_set(&self.inner.settings.certificate)
    }

    /// For the next connection to a server.
    pub(crate) fn server(&self) -> Option<Arc<ServerConfig>> {
        self.renew();
        self.inner.current.read().unwrap_or_else(PoisonError::into_inner).server.clone()
    }

    /// For connections to others, with a number that is another whenever the settings are.
    ///
    /// # Errors
    /// [`Failure::Io`] when the machine has no roots.
    pub fn client(&self) -> Result<(u64, Arc<ClientConfig>), Failure> {
        self.renew();
        {
            let current = self.inner.current.read().unwrap_or_else(PoisonError::into_inner);
            if let Some(client) = &current.client {
                return Ok((current.generation, Arc::clone(client)));
            }
        }
        let made = client(&self.inner.settings)?;
        let mut current = self.inner.current.write().unwrap_or_else(PoisonError::into_inner);
        let client = Arc::clone(current.client.get_or_insert(made));
        Ok((current.generation, client))
    }

    /// A connector that shows and believes what is in force now, and the number of
    /// [`Tls::client`]. A connection over TCP may take as long as `patience`.
    ///
    /// # Errors
    /// Those of [`Tls::client`].
    pub fn connector(
        &self,
        protocol: Protocol,
        patience: Duration,
    ) -> Result<(u64, Connector), Failure> {
        let (generation, config) = self.client()?;
        let mut port = HttpConnector::new();
        port.set_connect_timeout(Some(patience));
        // Otherwise it would refuse https itself.
        port.enforce_http(false);
        let builder = HttpsConnectorBuilder::new()
            .with_tls_config(ClientConfig::clone(&config))
            .https_or_http();
        let connector = match protocol {
            Protocol::Http1 => builder.enable_http1().wrap_connector(port),
            Protocol::Http2 => builder.enable_http2().wrap_connector(port),
        };
        Ok((generation, connector))
    }

    /// Reads the files again if they have changed. A certificate that is newer than its key, for
    /// the moment, is refused and looked at again at the next connection.
    fn renew(&self) {
        let settings = &self.inner.settings;
        let found = changed(settings);
        {
            let current = self.inner.current.read().unwrap_or_else(PoisonError::into_inner);
            if current.read == found || current.refused == Some(found) {
                return;
            }
        }
        let loaded = load(settings);
        let mut current = self.inner.current.write().unwrap_or_else(PoisonError::into_inner);
        match loaded {
            Ok((server, client)) => {
                let generation = current.generation + 1;
                *current = Current {
                    read: found,
                    refused: None,
                    generation,
                    server,
                    client: Some(client),
                };
                tracing::info!("read the certificates again");
            }
            Err(error) => {
                current.refused = Some(found);
                tracing::error!(%error, "keeping the certificates read before");
            }
        }
    }
}

fn changed(settings: &TlsSettings) -> Changed {
    settings.files().map(|file| std::fs::metadata(file).and_then(|it| it.modified()).ok())
}

type Loaded = (Option<Arc<ServerConfig>>, Arc<ClientConfig>);

fn load(settings: &TlsSettings) -> Result<Loaded, Failure> {
    let server = is_set(&settings.certificate).then(|| server(settings)).transpose()?;
    Ok((server, client(settings)?))
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn wrong(setting: &str, file: &Path, cause: impl std::fmt::Display) -> Failure {
    Failure::Usage(format!("runtime.tls.{setting}: cannot use {}: {cause}", file.display()))
}

fn server(settings: &TlsSettings) -> Result<Arc<ServerConfig>, Failure> {
    let refused = |cause| wrong("certificate", &settings.certificate, cause);
    let builder = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(refused)?;
    let builder = if is_set(&settings.client_ca) {
        let roots = Arc::new(roots("client_ca", &settings.client_ca)?);
        let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider())
            .build()
            .map_err(|cause| wrong("client_ca", &settings.client_ca, cause))?;
        builder.with_client_cert_verifier(verifier)
    } else {
        builder.with_no_client_auth()
    };
    let (chain, key) = own(settings)?;
    let mut config = builder.with_single_cert(chain, key).map_err(refused)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

fn client(settings: &TlsSettings) -> Result<Arc<ClientConfig>, Failure> {
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|cause| wrong("ca", &settings.ca, cause))?;
    let builder = if is_set(&settings.ca) {
        builder.with_root_certificates(roots("ca", &settings.ca)?)
    } else {
        builder.with_native_roots().map_err(|error| {
            Failure::Io(format!("cannot read the roots of this machine: {error}"))
        })?
    };
    let config = if is_set(&settings.certificate) {
        let (chain, key) = own(settings)?;
        builder
            .with_client_auth_cert(chain, key)
            .map_err(|cause| wrong("certificate", &settings.certificate, cause))?
    } else {
        builder.with_no_client_auth()
    };
    Ok(Arc::new(config))
}

type Own = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

fn own(settings: &TlsSettings) -> Result<Own, Failure> {
    let chain = certificates("certificate", &settings.certificate)?;
    let key = PrivateKeyDer::from_pem_file(&settings.key)
        .map_err(|cause| wrong("key", &settings.key, cause))?;
    Ok((chain, key))
}

fn certificates(setting: &str, file: &Path) -> Result<Vec<CertificateDer<'static>>, Failure> {
    let read = CertificateDer::pem_file_iter(file).and_then(Iterator::collect);
    let found: Vec<_> = read.map_err(|cause| wrong(setting, file, cause))?;
    if found.is_empty() {
        return Err(wrong(setting, file, "no certificate is in it"));
    }
    Ok(found)
}

fn roots(setting: &str, file: &Path) -> Result<RootCertStore, Failure> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(setting, file)? {
        roots.add(certificate).map_err(|cause| wrong(setting, file, cause))?;
    }
    Ok(roots)
}
