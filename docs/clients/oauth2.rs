//! A partner's client with the crates oauth2 5 (`--no-default-features`), ureq 3 (`-F json`) and serde_json. The
//! environment says ISSUER, CLIENT_ID, CLIENT_SECRET, API_URL, and REFUSED_URL, which this client may not call.
#![allow(clippy::print_stdout, reason = "it says what it did")]
use oauth2::{AuthType, ClientId, ClientSecret, HttpRequest, TokenResponse, TokenUrl, basic::BasicClient};
use std::env::var;
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (id, secret, api, other) = (var("CLIENT_ID")?, var("CLIENT_SECRET")?, var("API_URL")?, var("REFUSED_URL")?);
    let http: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).max_redirects(0).build().into();
    let send = |r: HttpRequest| http.run(r).and_then(|mut a| a.body_mut().read_to_vec().map(|body| a.map(|_| body)));
    let metadata = http.get(format!("{}/.well-known/oauth-authorization-server", var("ISSUER")?)).call()?;
    let server: serde_json::Value = metadata.into_body().read_json()?;
    let at = |name| server.get(name).and_then(|url| url.as_str()).unwrap_or_default();
    let revocation = at("revocation_endpoint"); // by hand: the library revokes by https alone, even on loopback
    for (name, way) in [("client_secret_basic", AuthType::BasicAuth), ("client_secret_post", AuthType::RequestBody)] {
        let client = BasicClient::new(ClientId::new(id.clone())).set_client_secret(ClientSecret::new(secret.clone()));
        let client = client.set_auth_type(way).set_token_uri(TokenUrl::new(at("token_endpoint").to_owned())?);
        let get_token = || client.exchange_client_credentials().request(&send);
        let call = |url: &str, token: &str| http.get(url).header("Authorization", format!("Bearer {token}")).call();
        let token = get_token()?.access_token().secret().clone();
        let (allowed, refused) = (call(&api, &token)?.status().as_u16(), call(&other, &token)?.status().as_u16());
        http.post(revocation).send_form([("token", &token), ("client_id", &id), ("client_secret", &secret)])?;
        let revoked = call(&api, &token)?.status().as_u16(); // 401: the token is good no longer; get another
        let token = if revoked == 401 { get_token()?.access_token().secret().clone() } else { token };
        let again = call(&api, &token)?.status().as_u16();
        http.post(revocation).send_form([("token", &token), ("client_id", &id), ("client_secret", &secret)])?;
        println!("{name}: {allowed}, {refused}, revoked: {revoked}, again: {again}");
        assert_eq!((allowed, refused, revoked, again), (200, 403, 401, 200), "a step is not as expected");
    }
    Ok(())
}
