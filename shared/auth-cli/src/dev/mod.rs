//! `countersign dev`: an embedded DynamoDB, a secret store, the functions and a gateway, on loopback.

mod demo;
mod gateway;
mod log;
mod secrets;

use crate::operator::{Global, Output};
use crate::seed::{self, Seed, Source};
use crate::trouble::{Trouble, broken, write_private, write_whole};
use auth_core::api::Api;
use auth_core::ids::ApiName;
use auth_core::keyring::{Keyring, KeyringDocument};
use auth_core::settings::{LogLevel, Settings};
use auth_edge::answer::usage_key;
use auth_edge::clock;
use auth_store::aws::Aws;
use auth_store::gate::Gate;
use auth_store::keygen;
use auth_store::remote::{Reach, Remote};
use auth_store::store::{Record, Store};
use bytes::Bytes;
use gateway::Gateway;
use gateway::config::GatewayApi;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use secrets::Secrets;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::net::TcpListener;

const TABLE: &str = "countersign";
const SECRET: &str = "countersign/keyring";

/// What `dev` is told.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The gateway's port on loopback; 0 picks a free one.
    #[arg(long, default_value_t = 8080)]
    port: u16,
    /// Keep table and secrets in this folder across starts; in memory if not given.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Start with the clients, keys and tenants of this file (JSON or YAML) instead of the demo's.
    #[arg(long, value_name = "FILE")]
    seed: Option<PathBuf>,
    /// Serve the APIs of this OpenAPI 3 document instead of the demo's.
    #[arg(long, value_name = "FILE")]
    openapi: Option<PathBuf>,
    /// For how many seconds the gateway keeps what an authorizer answered, where a document leaves that to the
    /// template's parameter GatewayTtlSeconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 0, value_parser = clap::value_parser!(u16).range(0..=3600))]
    gateway_ttl: u16,
    /// Fetch keys of clients (jwks_uri) and of issuers from this machine alone, from https servers of this authority
    /// (PEM): to try them before they are public. Without it they are fetched from public addresses alone.
    #[arg(long, value_name = "FILE")]
    local_keys: Option<PathBuf>,
    /// Write addresses, variables and credentials to this file as JSON, once everything listens.
    #[arg(long, value_name = "FILE")]
    ready_file: Option<PathBuf>,
}

/// What the caller gave, read before anything is made.
struct Inputs {
    seed: Seed,
    folder: PathBuf,
    apis: Vec<Api>,
    gateways: Vec<GatewayApi>,
    issuer: String,
    /// What an engineer would want to know of the documents before they go to AWS.
    open_on_aws: Vec<String>,
    /// The seed is the demo's.
    is_demo: bool,
}

impl Inputs {
    fn read(arguments: &Arguments, url: &str) -> Result<Self, Trouble> {
        if let Some(path) = &arguments.ready_file {
            let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
            if !folder.is_dir() {
                return Err(Trouble::Usage(format!("--ready-file: there is no folder {}", folder.display())));
            }
        }
        let given: Vec<Source> = arguments.openapi.as_deref().map(Source::read).transpose()?.into_iter().collect();
        let (seed, folder, given) = match (&arguments.seed, given.first()) {
            (Some(path), _) => (Seed::read(path)?, path.parent().map(Path::to_owned).unwrap_or_default(), given),
            (None, Some(source)) => (demo::seed_for(source)?, PathBuf::new(), given),
            (None, None) => (demo::seed()?, PathBuf::new(), demo::openapi()?),
        };
        let mut seed = seed;
        let issuer = seed.issuer.clone().unwrap_or_else(|| url.to_owned());
        let (mut apis, documents) = with_admin_api(&mut seed, |seed| seed::apis(seed, &folder, &given, &issuer))?;
        for api in &mut apis {
            api.url.get_or_insert_with(|| url.to_owned());
        }
        let open_on_aws = documents.iter().flat_map(Source::open_on_aws).collect();
        let ttl = arguments.gateway_ttl;
        let gateways = documents.iter().enumerate().map(|(i, d)| GatewayApi::read(d, i, &issuer, ttl));
        let gateways = gateways.collect::<Result<_, _>>()?;
        Ok(Self { seed, folder, apis, gateways, issuer, open_on_aws, is_demo: arguments.seed.is_none() })
    }
}

/// With the admin API, unless a document has operations in its place.
fn with_admin_api<T>(seed: &mut Seed, read: impl Fn(&Seed) -> Result<T, Trouble>) -> Result<T, Trouble> {
    let declared = seed.apis.len();
    seed.with_admin_api();
    match read(seed) {
        Ok(read) => Ok(read),
        Err(_) if seed.apis.len() > declared => {
            seed.apis.truncate(declared);
            read(seed)
        }
        Err(trouble) => Err(trouble),
    }
}

/// Runs until Ctrl-C.
pub(crate) async fn run(arguments: Arguments, global: &Global) -> Result<(), Trouble> {
    let listener = listen(arguments.port).await?;
    let url = format!("http://{}", listener.local_addr().map_err(broken)?);
    let Inputs { seed, folder, apis, gateways, issuer, open_on_aws, is_demo } = Inputs::read(&arguments, &url)?;

    let Data { database, secrets } = Data::open(arguments.data.as_deref())?;
    let is_new = !is_seeded(arguments.data.as_deref());
    let keyring = open_keyring(&secrets, &seed, &folder, is_new)?;
    seed::check_algorithms(&apis, &keyring)?;

    let engine = listen(0).await?;
    let vault = listen(0).await?;
    let address = |listener: &TcpListener| listener.local_addr().map(|a| format!("http://{a}")).map_err(broken);
    let env = BTreeMap::from([
        ("AWS_ENDPOINT_URL_DYNAMODB", address(&engine)?),
        ("AWS_ENDPOINT_URL_SECRETS_MANAGER", address(&vault)?),
        ("AWS_REGION", gateway::REGION.to_owned()),
        ("AWS_DEFAULT_REGION", gateway::REGION.to_owned()),
        ("AWS_ACCESS_KEY_ID", "local".to_owned()),
        ("AWS_SECRET_ACCESS_KEY", "local".to_owned()),
        ("TABLE_NAME", TABLE.to_owned()),
        ("KEYRING_SECRET_ID", SECRET.to_owned()),
        ("ISSUER", issuer),
        ("ENVIRONMENT", seed.environment.as_str().to_owned()),
    ]);
    // What is not said here may be set from outside, as on AWS: caches, leeway.
    let outside = |name: &str| std::env::var(name).ok().filter(|_| !name.starts_with("AWS_"));
    let read = |name: &str| env.get(name).cloned().or_else(|| outside(name));
    let settings = Settings::read(read).map_err(|e| Trouble::Usage(e.to_string()))?;
    // Lines are kept with every check of the decision, for `explain`.
    let settings = Settings { log_level: LogLevel::Debug, ..settings };
    let aws = Aws::read(read).map_err(broken)?;
    let mut gate = Gate::new(&aws, &settings);
    if let Some(authority) = &arguments.local_keys {
        let pem = std::fs::read(authority).map_err(|e| Trouble::Usage(format!("{}: {e}", authority.display())))?;
        gate.remote = Remote::new(Reach::Loopback(pem));
    }

    let log = log::Log::new(global.output == Output::Json);
    let plans = seed.clients.iter().filter_map(|c| Some((usage_key(c.client_id.as_str()), c.rate?))).collect();
    let gateway = Arc::new(Gateway::new(gateways, gate, aws.clone(), json!(env), settings, log.clone(), plans));
    tokio::spawn(dynoxide::server::serve_on(engine, database));
    let vault_state = Arc::new(Vault { secrets, aws, gateway: Arc::clone(&gateway) });
    tokio::spawn(serve_vault(vault, vault_state));
    let (records, made) =
        if is_new { seed::records(&seed, &apis, &keyring)? } else { (seed::api_records(&apis), Vec::new()) };
    let names: Vec<ApiName> = apis.iter().map(|api| api.name.clone()).collect();
    fill(&gateway.gate.store, records, &names).await?;
    finish_seeding(arguments.data.as_deref())?;
    tokio::spawn(serve(listener, Arc::clone(&gateway)));

    // Before it is said that it runs; until then a signal ends it at once, be the seed long.
    let end = end().map_err(broken)?;
    let mut text = format!("listening on {url}\n");
    for made in &made {
        text.push_str(&format!("made for client {}: client_secret {}\n", made.client_id, made.secret.expose()));
    }
    if is_demo && is_new {
        text.push_str(&demo::greeting(&url, &keyring, &seed, arguments.openapi.is_some()));
    }
    text.push_str("\nThe same table and secrets for other programs (cargo lambda, AWS CLI):\n");
    for (name, value) in &env {
        text.push_str(&format!("  export {name}={value}\n"));
    }
    text.push_str("\nEach decision follows as one line. Ctrl-C ends.");
    log.tell(&text);
    if !is_new {
        log.warn("the data folder holds a deployment already: its APIs were imported anew, no other part of the seed");
    }
    for name in seed.unknown_apis() {
        log.warn(&format!("the seed names API {name}, which it does not declare: nothing of it is ever allowed"));
    }
    for warning in &open_on_aws {
        log.warn(warning);
    }
    for warning in gateway.apis.iter().flat_map(GatewayApi::lint) {
        log.warn(&warning);
    }
    if let Some(path) = &arguments.ready_file {
        // Credentials of a seed that was not applied would only mislead.
        let demo = if is_new { demo::credentials(&seed, &made) } else { Value::Null };
        let ready = json!({
            "gateway": url, "token_endpoint": format!("{url}{}", token::TOKEN_PATHS[0]), "issuer": env.get("ISSUER"),
            "dynamodb_endpoint": env.get("AWS_ENDPOINT_URL_DYNAMODB"),
            "secretsmanager_endpoint": env.get("AWS_ENDPOINT_URL_SECRETS_MANAGER"), "env": env, "demo": demo,
        });
        write_whole(path, ready.to_string().as_bytes())
            .map_err(|e| Trouble::Usage(format!("{}: {e}", path.display())))?;
        log.tell(&format!("ready file written: {}", path.display()));
    }
    end.await;
    log.tell("stopped");
    Ok(())
}

/// The keyring of the secret store, made if it is not there.
fn open_keyring(secrets: &Secrets, seed: &Seed, folder: &Path, is_new: bool) -> Result<Keyring, Trouble> {
    let text = match secrets.current(SECRET) {
        Some(text) => text,
        // Another one would have another pepper, and no credential in the table would count.
        None if !is_new => {
            return Err(Trouble::Usage(
                "--data: the table is there, but its secrets are not; take another folder".into(),
            ));
        }
        None => {
            let text = new_keyring(seed, folder)?.to_text();
            secrets.put(SECRET, &text).map_err(Trouble::Broken)?;
            text.to_string()
        }
    };
    Keyring::parse(&text).map_err(broken)
}

/// Writes the records, and says how far it is. Of APIs that were there before, only these stay.
async fn fill(store: &Store, records: Vec<Record>, apis: &[ApiName]) -> Result<(), Trouble> {
    store.ensure_table().await.map_err(broken)?;
    store.keep_only_apis(apis).await.map_err(broken)?;
    let total = records.len();
    let mut told = 0;
    let progress = |written: usize| {
        if written - told >= 10_000 {
            told = written;
            let _ = writeln!(std::io::stderr().lock(), "seeding: {written} of {total} records");
        }
    };
    store.load(records, progress).await.map_err(broken)?;
    store.bump_catalog().await.map_err(broken)
}

async fn listen(port: u16) -> Result<TcpListener, Trouble> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await.map_err(|error| {
        let what = match error.kind() {
            std::io::ErrorKind::AddrInUse => "is in use; choose another with --port, or --port 0".to_owned(),
            _ => format!("cannot be opened: {error}"),
        };
        Trouble::Usage(format!("port {port} {what}"))
    })
}

/// Written into the data folder when all of the seed is in its table: half a seed is never taken for a whole one.
const SEEDED: &str = "seeded";

fn is_seeded(folder: Option<&Path>) -> bool {
    folder.is_some_and(|folder| folder.join(SEEDED).exists())
}

fn finish_seeding(folder: Option<&Path>) -> Result<(), Trouble> {
    let Some(folder) = folder else { return Ok(()) };
    write_private(&folder.join(SEEDED), b"").map_err(|e| Trouble::Usage(format!("{}: {e}", folder.display())))
}

struct Data {
    database: dynoxide::Database,
    secrets: Secrets,
}

impl Data {
    fn open(folder: Option<&Path>) -> Result<Self, Trouble> {
        let Some(folder) = folder else {
            let database = dynoxide::Database::memory().map_err(broken)?;
            return Ok(Self { database, secrets: Secrets::open(None).map_err(Trouble::Broken)? });
        };
        let wrong = |e: &dyn std::fmt::Display| Trouble::Usage(format!("{}: {e}", folder.display()));
        create_private(folder).map_err(|e| wrong(&e))?;
        let table = folder.join("table.sqlite");
        let database = dynoxide::Database::new(&table.to_string_lossy()).map_err(|e| wrong(&e))?;
        let secrets = Secrets::open(Some(folder.join("secrets.json"))).map_err(Trouble::Usage)?;
        Ok(Self { database, secrets })
    }
}

/// Makes a folder that only its owner may enter.
fn create_private(folder: &Path) -> std::io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::DirBuilderExt as _;
        builder.mode(0o700);
    }
    builder.create(folder)
}

fn new_keyring(seed: &Seed, folder: &Path) -> Result<KeyringDocument, Trouble> {
    let Some(path) = &seed.keyring else { return keygen::new_keyring(clock::now()).map_err(broken) };
    let path = folder.join(path);
    let name = path.display().to_string();
    let text = std::fs::read(&path).map_err(|e| Trouble::Usage(format!("{name}: {e}")))?;
    let jwks = auth_core::json::parse(&text).map_err(|e| Trouble::Usage(format!("{name}: {e}")))?;
    let (pepper, sealing) = (keygen::random().map_err(broken)?, keygen::random().map_err(broken)?);
    let document = KeyringDocument::from_jwks(&jwks, pepper, sealing, clock::now());
    let document = document.map_err(|e| Trouble::Usage(format!("{name}: {e}")))?;
    Keyring::parse(&document.to_text()).map_err(|e| Trouble::Usage(format!("{name}: {e}")))?;
    Ok(document)
}

async fn serve(listener: TcpListener, gateway: Arc<Gateway>) {
    loop {
        let Ok((stream, from)) = listener.accept().await else { continue };
        let gateway = Arc::clone(&gateway);
        tokio::spawn(async move {
            let service = service_fn(|request| {
                let gateway = Arc::clone(&gateway);
                async move { Ok::<_, std::convert::Infallible>(gateway.handle(request, from).await) }
            });
            let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

/// The secret store, and what its calls reach beside it.
struct Vault {
    secrets: Secrets,
    aws: Aws,
    gateway: Arc<Gateway>,
}

/// The secret store, and beside it the one call of API Gateway that is of use here.
async fn serve_vault(listener: TcpListener, vault: Arc<Vault>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let vault = Arc::clone(&vault);
        tokio::spawn(async move {
            let service = service_fn(|request| {
                let vault = Arc::clone(&vault);
                async move { Ok::<_, std::convert::Infallible>(call_vault(request, &vault).await) }
            });
            let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn call_vault(request: Request<hyper::body::Incoming>, vault: &Arc<Vault>) -> Response<Full<Bytes>> {
    if request.method() == http::Method::DELETE && request.uri().path().ends_with("/cache/authorizers") {
        vault.gateway.flush_authorizers_cache();
        return answer(202, &Value::Null);
    }
    if let Some(known) = vault.gateway.dev(request.method().as_str(), request.uri().path()) {
        return answer(200, &known);
    }
    let target = request.headers().get("x-amz-target").and_then(|t| t.to_str().ok()).unwrap_or_default().to_owned();
    let body = match http_body_util::Limited::new(request.into_body(), 1 << 20).collect().await {
        Ok(body) => body.to_bytes(),
        Err(_) => return answer(400, &json!({"__type": "InvalidRequestException"})),
    };
    let Some(operation) = target.strip_prefix("secretsmanager.") else {
        return answer(400, &json!({"__type": "UnknownOperationException"}));
    };
    let (status, output) = vault.secrets.call(operation, &serde_json::from_slice(&body).unwrap_or_default());
    if operation == "RotateSecret" && status == 200 {
        tokio::spawn(run_rotation(Arc::clone(vault), output.clone()));
    }
    answer(status, &output)
}

/// Asks the rotation function for its four steps, as Secrets Manager does after it has answered.
async fn run_rotation(vault: Arc<Vault>, started: Value) {
    let version = started.get("VersionId").and_then(Value::as_str).unwrap_or_default();
    for step in auth_store::rotation::STEPS {
        let event = json!({"Step": step, "SecretId": started.get("ARN"), "ClientRequestToken": version});
        if rotate_keyring::handle(&vault.aws, &vault.gateway.log, &event, version).await.is_err() {
            return;
        }
    }
}

fn answer(status: u16, body: &Value) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body.to_string())));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let json = http::HeaderValue::from_static("application/x-amz-json-1.1");
    response.headers_mut().insert(http::header::CONTENT_TYPE, json);
    response
}

/// The end: Ctrl-C or a termination. Listened for from the call on, so that one that comes early is not lost.
#[cfg(unix)]
fn end() -> std::io::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

#[cfg(not(unix))]
fn end() -> std::io::Result<impl Future<Output = ()>> {
    Ok(async {
        let _ = tokio::signal::ctrl_c().await;
    })
}
