//! Token endpoints as data.
//!
//! What providers have in common is code, and where they differ is data. The [`catalogue`] has one entry a
//! provider; the engine, [`HttpProviders`], turns an entry and a grant into one HTTP request and
//! the answer into tokens or a verdict. It keeps no state of a grant and decides nothing about retries: that is
//! the refresh protocol's, in `evergrant-core`.
//!
//! How one refresh goes through, and the modules in reading order:
//!
//! 1. [`catalogue`]: the grant's provider gives the entry, read and checked at start.
//! 2. [`engine`]: the grant's client gives id and secrets, and what the grant has makes a question: which token is
//!    redeemed, or what mints a new one. A grant that cannot be renewed ends here, without a request. Consents, device
//!    codes and revocation are questions too.
//! 3. `request`: entry, client and question become method, URL, headers and body. A host that a credential names must
//!    be on the entry's allow-list. `assertion` signs where a signature is wanted.
//! 4. `client`: it is sent once, with limits on time and size, and to public addresses alone where a credential names
//!    the host. What failed before anything was sent is told apart from what may have reached the provider.
//! 5. `response`: the answer becomes tokens, if there is an access token in it.
//! 6. [`classify`]: else status and error code say who is at fault, and prose never does.
//!
//! [`sandbox`] is a strict provider to try all this on.

mod assertion;
pub mod catalogue;
pub mod classify;
mod client;
pub mod engine;
pub mod jwks;
mod placeholders;
mod request;
mod response;
pub mod sandbox;

pub use catalogue::Catalogue;
#[cfg(feature = "testing")]
pub use client::Network;
pub use engine::{
    ClientConfigError, CodeExchange, Consent, ConsentError, Consented, DeviceAuthorization,
    DevicePoll, HttpProviders, OAuthClient,
};
