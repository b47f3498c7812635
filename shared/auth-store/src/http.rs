//! HTTP/1.1 for the SDK's clients, and to those who publish keys: hyper and rustls, and no more of them than that. The
//! SDK's own connector brings HTTP/2 and proxies with it, which neither DynamoDB nor Secrets Manager asks for.

use crate::Fault;
use aws_smithy_runtime_api::client::connection::{CaptureSmithyConnection, ConnectionMetadata};
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::dns::Name;
use hyper_util::client::legacy::connect::{CaptureConnection, HttpConnector as Tcp, capture_connection};
use hyper_util::client::legacy::{Client, Error};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::{ClientConfig, RootCertStore};
use std::error::Error as StdError;
use std::fmt;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tower_service::Service;

/// Certificates in a text (PEM).
pub(crate) fn in_pem(text: &[u8]) -> impl Iterator<Item = Result<CertificateDer<'static>, pem::Error>> {
    CertificateDer::pem_slice_iter(text)
}

/// Certificates of authorities.
///
/// # Errors
/// If there is none, or one that cannot be read.
pub(crate) fn authorities<'a>(
    certificates: impl IntoIterator<Item = Result<CertificateDer<'a>, pem::Error>>,
) -> Result<RootCertStore, Fault> {
    let unreadable = || Fault::new("the certificates cannot be read");
    let mut roots = RootCertStore::empty();
    for certificate in certificates {
        roots.add(certificate.map_err(|_| unreadable())?).map_err(|_| unreadable())?;
    }
    if roots.is_empty() { Err(unreadable()) } else { Ok(roots) }
}

/// Connections that are kept, and what opens them.
#[derive(Clone)]
pub(crate) struct Http {
    client: Client<HttpsConnector<Tcp<Resolver>>, SdkBody>,
}

impl fmt::Debug for Http {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Http")
    }
}

/// Whether an address may be connected to.
pub(crate) type May = fn(IpAddr) -> bool;

/// What is said of a name that leads where nobody may go.
pub(crate) const MAY_NOT: &str = "an address that is not public";

/// Resolves names to addresses that may be connected to. It stands between name and connection, so that the address
/// that was looked at is the one that is used.
#[derive(Clone)]
struct Resolver(May);

impl Service<Name> for Resolver {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = std::io::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let may = self.0;
        Box::pin(async move {
            let looked_up = tokio::task::spawn_blocking(move || (name.as_str(), 0).to_socket_addrs()).await??;
            let addresses: Vec<SocketAddr> = looked_up.collect();
            // One that may not makes the whole name doubtful.
            match addresses.iter().all(|address| may(address.ip())) {
                true => Ok(addresses.into_iter()),
                false => Err(std::io::Error::other(MAY_NOT)),
            }
        })
    }
}

impl Http {
    /// To servers whose certificates these authorities vouch for, and, without TLS, to any, at addresses that may be had.
    ///
    /// # Errors
    /// If TLS cannot be set up.
    pub(crate) fn new(roots: RootCertStore, may: May) -> Result<Self, Fault> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let tls = tls.map_err(|_| Fault::new("TLS cannot be set up"))?;
        let tls = tls.with_root_certificates(roots).with_no_client_auth();
        let mut tcp = Tcp::new_with_resolver(Resolver(may));
        tcp.set_nodelay(true);
        tcp.enforce_http(false);
        // How long a connection may take is part of what each attempt may: a limit here would be divided by addresses.
        let https = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1();
        let mut client = Client::builder(TokioExecutor::new());
        // So that what is idle is closed, and not only passed over.
        client.pool_timer(TokioTimer::new());
        Ok(Self { client: client.build(https.wrap_connector(tcp)) })
    }
}

impl HttpConnector for Http {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let mut request = match request.try_into_http1x() {
            Ok(request) => request,
            Err(error) => return HttpConnectorFuture::ready(Err(ConnectorError::user(error.into()))),
        };
        let captured = capture_connection(&mut request);
        // So that a connection is not used again over which a server in trouble answered.
        if let Some(capture) = request.extensions().get::<CaptureSmithyConnection>() {
            capture.set_connection_retriever(move || poisonable(&captured));
        }
        let answer = self.client.request(request);
        HttpConnectorFuture::new(async move {
            let answer = answer.await.map_err(failed)?.map(SdkBody::from_body_1_x);
            HttpResponse::try_from(answer).map_err(|error| ConnectorError::other(error.into(), None))
        })
    }
}

impl HttpClient for Http {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

fn poisonable(captured: &CaptureConnection) -> Option<ConnectionMetadata> {
    captured.connection_metadata().as_ref()?;
    let captured = captured.clone();
    let poison = move || {
        if let Some(connection) = captured.connection_metadata().as_ref() {
            connection.poison();
        }
    };
    Some(ConnectionMetadata::builder().proxied(false).poison_fn(poison).build())
}

/// What happens on the way is worth another try: a connection that cannot be opened, or that ends before the answer does.
fn failed(error: Error) -> ConnectorError {
    let mut cause: Option<&(dyn StdError + 'static)> = Some(&error);
    let mut on_the_way = error.is_connect();
    while let Some(this) = cause {
        on_the_way |= this.is::<std::io::Error>();
        if let Some(error) = this.downcast_ref::<hyper::Error>() {
            on_the_way |=
                error.is_closed() || error.is_canceled() || error.is_incomplete_message() || error.is_timeout();
        }
        cause = this.source();
    }
    if on_the_way { ConnectorError::io(error.into()) } else { ConnectorError::other(error.into(), None) }
}
