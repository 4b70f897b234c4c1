//! The tables as sea-orm sees them, for reads. What a statement alone touches (sealed tokens, intents, the time
//! of the last change) is left out, so that no listing ever fetches a secret.

pub(super) mod brake;
pub(super) mod client;
pub(super) mod credential;
pub(super) mod event;
pub(super) mod grant;
pub(super) mod integration;
pub(super) mod integration_credential;
