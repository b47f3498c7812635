//! Customers log in with a password and get a token that is good for their tenant's storefront alone.

use auth_core::backoff::{Attempts, LOGINS_BY_ADDRESS, LOGINS_BY_NAME, wait_seconds_before};
use auth_core::ids::{TenantId, Username};
use auth_core::issue::{NotIssued, plan_for_customer};
use auth_core::password::StoredPassword;
use auth_core::records::{ActiveState, Customer};
use auth_core::secret::{Digest, DigestOf, SecretText};
use auth_core::time::Timestamp;
use auth_edge::clock;
use auth_edge::http_request::{HttpRequest, walk};
use auth_edge::oauth::{Format, Issued, OAuthError, Parameters, Refused};
use auth_edge::report::{Report, Sink};
use auth_store::Fault;
use auth_store::gate::Gate;
use auth_store::store::Wanted;
use http::Response;
use lambda_http::request::LambdaRequest;

/// Where customers log in.
pub const LOGIN_PATH: &str = "/login";

/// Answers one request. `own_id` is the function's request id.
pub async fn handle(gate: &Gate, sink: &dyn Sink, event: LambdaRequest, own_id: &str) -> Response<String> {
    walk(event, own_id, "login", sink, async |http, body, now, report| {
        if http.request.path != LOGIN_PATH {
            return Ok(Err(Refused::new(OAuthError::NotFound, "There is nothing here.")));
        }
        report.line.route = Some(LOGIN_PATH.to_owned());
        match http.request.method.as_str() {
            "POST" => login(gate, http, body, now, report).await,
            _ => Ok(Err(Refused::new(OAuthError::MethodNotAllowed("POST"), "Only POST is taken here."))),
        }
    })
    .await
}

async fn login(
    gate: &Gate,
    http: &HttpRequest,
    body: &[u8],
    now: Timestamp,
    report: &mut Report,
) -> Result<Result<Response<String>, Refused>, Fault> {
    let (tenant, username, password) = match credentials(http, body) {
        Ok(credentials) => credentials,
        Err(refused) => return Ok(Err(refused)),
    };
    if let Err(wait) = gate.permits_address(http.source_ip.as_deref(), now).await? {
        return Ok(Err(Refused::too_many(wait)));
    }
    let keyring = gate.keyring.get(now).await?;
    // A name that cannot be one is looked up and hashed like any other, so that its answer takes as long.
    let tenant = tenant.map_or_else(|| "-".parse(), Ok).map_err(|e| Fault(e.to_string()))?;
    let digest =
        Digest::of(&keyring.pepper, DigestOf::Username(tenant.as_str()), username.as_ref().map_or("", |u| u.as_str()));
    let address = http.source_ip.as_deref().unwrap_or_default();
    let attempts = [Attempts::new(LOGINS_BY_NAME, digest.as_str()), Attempts::at(LOGINS_BY_ADDRESS, address)];
    // Counted before it is tried, and taken back if it was right: many at once must not all be tried.
    let counts = gate.store.count_attempts(&attempts, 1, now).await?;
    if let Some(wait) = wait_seconds_before(&attempts, &counts, now) {
        return Ok(Err(Refused::slow_down(wait)));
    }
    let wanted = Wanted { tenant: Some(&tenant), login_ref: Some(digest.as_str()), ..Wanted::default() };
    let fetched = gate.store.fetch(wanted, now).await?;
    let (customer, record) = (fetched.facts.customer.clone(), fetched.facts.tenant.clone());

    let stored = customer.as_ref().map_or_else(StoredPassword::nobody, |c| c.password.clone());
    let right = stored.matches(&password);
    report.line.tenant = record.as_ref().map(|t| t.id.to_string());
    let tenant = record.filter(|t| t.state == ActiveState::Active);
    let (Some(customer), Some(tenant), true) = (customer.filter(|c| c.state == ActiveState::Active), tenant, right)
    else {
        let why = if right { "the tenant or the customer is disabled" } else { "unknown, or wrong password" };
        let refused = Refused::new(OAuthError::InvalidLogin, "Tenant, username or password is wrong.");
        return Ok(Err(Refused { why: why.into(), ..refused }));
    };
    report.line.customer_id = Some(customer.customer_id.to_string());
    gate.store.count_attempts(&attempts, -1, now).await?;
    if let Err(wait) = gate.permits_login(&digest, now).await? {
        return Ok(Err(Refused::too_many(wait)));
    }
    if stored.is_imported() {
        renew(gate, &customer, digest.as_str(), &password).await;
    }
    let catalog = gate.store.catalog_for(&fetched).await?;
    let plan = match plan_for_customer(&customer, &tenant.apis, digest.as_str(), &catalog) {
        Ok(plan) => plan,
        Err(NotIssued::InvalidTarget(text)) => return Ok(Err(Refused::new(OAuthError::InvalidTarget, text))),
        Err(_) => return Err(Fault("no plan for a customer".into())),
    };
    let issued = Issued::sign(plan, &keyring, &gate.issuer, gate.deployment(now), &mut report.line);
    let issued = issued.map_err(|e| Fault(e.to_string()))?;
    Ok(Ok(issued.response(Format::Json, false)))
}

/// The password is at hand: a hash that moved in from another system gives way to one of ours. If that fails, the next
/// login tries again.
async fn renew(gate: &Gate, was: &Customer, login_ref: &str, password: &SecretText) {
    if let Ok(salt) = clock::random()
        && let Some(new) = StoredPassword::hash(password, salt)
    {
        let _ = gate.store.renew_password(was, login_ref, new).await;
    }
}

type Credentials = (Option<TenantId>, Option<Username>, SecretText);

/// What the body says; a name that is not of its form is `None`, because it is nobody's.
fn credentials(http: &HttpRequest, body: &[u8]) -> Result<Credentials, Refused> {
    let known = ["tenant", "username", "password"];
    let parameters = Parameters::read(http.request.header("content-type"), body, &known)?;
    if parameters.format != Format::Json {
        return Err(Refused::new(OAuthError::UnsupportedMediaType, "Send application/json."));
    }
    let needed = |name, missing| parameters.get(name).ok_or_else(|| Refused::new(OAuthError::InvalidRequest, missing));
    let tenant = needed("tenant", "tenant is missing.")?;
    let username = needed("username", "username is missing.")?;
    let password = needed("password", "password is missing.")?;
    if password.len() > auth_core::password::MAX_PASSWORD_BYTES {
        return Err(Refused::new(OAuthError::InvalidRequest, "password is longer than 1,024 bytes."));
    }
    Ok((tenant.parse().ok(), username.parse().ok(), SecretText::new(password)))
}
