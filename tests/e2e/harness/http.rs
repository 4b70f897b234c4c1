//! The HTTP client of the tests.

use std::time::Duration;

/// A client that waits at most ten seconds for an answer and uses no proxy.
#[expect(
    clippy::disallowed_methods,
    reason = "the tests look at the product from outside, so they do not use its client"
)]
pub fn client() -> reqwest::Client {
    reqwest::Client::builder()
        .no_proxy()
        .timeout(Duration::from_secs(10))
        .build()
        .expect("a client without special settings can be built")
}
