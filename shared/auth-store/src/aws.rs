//! Clients of DynamoDB and Secrets Manager, built by hand: `aws-config`'s chain of sources and the system's store of
//! certificates are what usually makes a cold start slow. A function has its credentials in its environment.

use crate::Fault;
use crate::http::{Http, authorities, in_pem};
use auth_core::time::Timestamp;
use aws_credential_types::Credentials;
use aws_sdk_dynamodb::config::{
    BehaviorVersion, Region, SharedCredentialsProvider, retry::RetryConfig, timeout::TimeoutConfig,
};
use aws_smithy_async::rt::sleep::TokioSleep;
use aws_smithy_runtime_api::client::http::{HttpConnector as _, SharedHttpClient};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_types::DateTime;
use aws_smithy_types::byte_stream::ByteStream;
use aws_smithy_types::date_time::Format;
use aws_types::SdkConfig;
use aws_types::sdk_config::StalledStreamProtectionConfig;
use std::time::Duration;

/// The certificates that AWS's endpoints chain up to (Amazon Trust Services), as a starting process need not decode them.
const AMAZON_ROOTS: [&[u8]; 5] = [
    include_bytes!("amazon-roots/amazon-root-ca-1.der"),
    include_bytes!("amazon-roots/amazon-root-ca-2.der"),
    include_bytes!("amazon-roots/amazon-root-ca-3.der"),
    include_bytes!("amazon-roots/amazon-root-ca-4.der"),
    include_bytes!("amazon-roots/starfield-services-root-g2.der"),
];

/// Three tries within two seconds and a half: together with the answer they fit into an authorizer's few seconds.
const ATTEMPTS: u32 = 3;
const ATTEMPT: Duration = Duration::from_millis(800);
const FIRST_PAUSE: Duration = Duration::from_millis(50);
pub(crate) const OPERATION: Duration = Duration::from_millis(2500);

/// With the built-in certificates, or those of another file (PEM).
fn http(bundle: Option<String>) -> Result<Http, Fault> {
    let roots = match bundle {
        None => authorities(AMAZON_ROOTS.map(|der| Ok(der.into())))?,
        Some(path) => {
            authorities(in_pem(&std::fs::read(path).map_err(|_| Fault::new("AWS_CA_BUNDLE: cannot be read"))?))?
        }
    };
    Http::new(roots, |_| true)
}

/// An answer to a plain request.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The server's clock, if it said so.
    pub date: Option<Timestamp>,
    /// The body.
    pub body: Vec<u8>,
}

/// Fetches a public document, of this product or of an emulator; for commands, never for decisions. No redirects.
///
/// # Errors
/// If it does not answer within the time of one attempt, or the address is none.
pub async fn fetch(url: &str) -> Result<Answer, Fault> {
    let mut request = HttpRequest::empty();
    request.set_uri(url.to_owned()).map_err(|_| Fault::new("not an address"))?;
    let answer = tokio::time::timeout(OPERATION, http(None)?.call(request)).await;
    let answer = answer.map_err(|_| Fault::new("timed out"))?.map_err(|_| Fault::new("no connection"))?;
    let status = answer.status().as_u16();
    let date = answer.headers().get("date").and_then(http_date);
    let body = tokio::time::timeout(OPERATION, ByteStream::new(answer.into_body()).collect()).await;
    let body = body.map_err(|_| Fault::new("timed out"))?.map_err(|_| Fault::new("the answer broke off"))?;
    Ok(Answer { status, date, body: body.to_vec() })
}

/// `Date` (RFC 9110 section 5.6.7).
fn http_date(text: &str) -> Option<Timestamp> {
    let time = DateTime::from_str(text, Format::HttpDate).ok()?;
    Some(Timestamp(time.secs()))
}

/// Where AWS is and who we are there.
#[derive(Clone)]
pub struct Aws {
    config: SdkConfig,
    dynamodb_endpoint: Option<String>,
    secretsmanager_endpoint: Option<String>,
}

impl std::fmt::Debug for Aws {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Aws({:?})", self.config.region())
    }
}

impl Aws {
    /// Reads AWS's own variables through `read`: region, credentials, endpoints, certificates.
    ///
    /// # Errors
    /// Names the variable that is missing.
    pub fn read(read: impl Fn(&str) -> Option<String>) -> Result<Self, Fault> {
        let given = |name: &str| read(name).filter(|v| !v.is_empty());
        let needed = |name: &str| given(name).ok_or_else(|| Fault::new(format!("{name}: must be set")));
        let region = given("AWS_REGION").or_else(|| given("AWS_DEFAULT_REGION"));
        let credentials = Credentials::new(
            needed("AWS_ACCESS_KEY_ID")?,
            needed("AWS_SECRET_ACCESS_KEY")?,
            given("AWS_SESSION_TOKEN"),
            None,
            "environment",
        );
        let endpoint =
            |service: &str| given(&format!("AWS_ENDPOINT_URL_{service}")).or_else(|| given("AWS_ENDPOINT_URL"));
        let timeouts = TimeoutConfig::builder().operation_attempt_timeout(ATTEMPT).operation_timeout(OPERATION).build();
        let retries = RetryConfig::standard().with_max_attempts(ATTEMPTS).with_initial_backoff(FIRST_PAUSE);
        let config = SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(region.ok_or_else(|| Fault::new("AWS_REGION: must be set"))?))
            .credentials_provider(SharedCredentialsProvider::new(credentials))
            .http_client(SharedHttpClient::new(http(given("AWS_CA_BUNDLE"))?))
            .timeout_config(timeouts)
            // Each try has its time; a watch over streams beside would be one more timer to set for each call.
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            .retry_config(retries)
            .sleep_impl(TokioSleep::new())
            .build();
        Ok(Self {
            config,
            dynamodb_endpoint: endpoint("DYNAMODB"),
            secretsmanager_endpoint: endpoint("SECRETS_MANAGER"),
        })
    }

    /// Reads AWS's own variables from the process's environment.
    ///
    /// # Errors
    /// Names the variable that is missing.
    pub fn from_env() -> Result<Self, Fault> {
        Self::read(|name| std::env::var(name).ok())
    }

    pub(crate) fn dynamodb(&self) -> aws_sdk_dynamodb::Client {
        let mut config = aws_sdk_dynamodb::config::Builder::from(&self.config);
        config.set_endpoint_url(self.dynamodb_endpoint.clone());
        aws_sdk_dynamodb::Client::from_conf(config.build())
    }

    pub(crate) fn secretsmanager(&self) -> aws_sdk_secretsmanager::Client {
        let mut config = aws_sdk_secretsmanager::config::Builder::from(&self.config);
        config.set_endpoint_url(self.secretsmanager_endpoint.clone());
        aws_sdk_secretsmanager::Client::from_conf(config.build())
    }
}
