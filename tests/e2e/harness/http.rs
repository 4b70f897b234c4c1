//! The HTTP client of the tests.

use std::time::Duration;

use reqwest::{Certificate, Client, ClientBuilder};

/// A client that waits at most ten seconds for an answer and uses no proxy.
pub fn client() -> Client {
    builder()
        .build()
        .expect("a client without special settings can be built")
}

/// The same, which trusts servers of this authority alone.
pub fn client_trusting(authority: Certificate) -> reqwest::Result<Client> {
    builder().tls_certs_only([authority]).build()
}

#[expect(
    clippy::disallowed_methods,
    reason = "the tests look at the product from outside, so they do not use its client"
)]
fn builder() -> ClientBuilder {
    Client::builder()
        .no_proxy()
        .timeout(Duration::from_secs(10))
}
