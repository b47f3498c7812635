//! The wiring of the function: settings, clients, runtime.

use auth_core::settings::Settings;
use auth_edge::report::Stdout;
use auth_store::{aws::Aws, gate::Gate};
use lambda_http::{Error, run, service_fn};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let settings = Settings::read(|name| std::env::var(name).ok())?;
    let gate = Gate::new(&Aws::from_env()?, &settings);
    let gate = &gate;
    run(service_fn(|request| async move { Ok::<_, Error>(login::handle(gate, &Stdout, request).await) })).await
}
