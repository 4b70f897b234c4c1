//! The way without a browser on this machine: the user enters a code elsewhere (RFC 8628).

use std::time::Duration;

use evergrant_proto::v1::{
    BeginDeviceAuthorizationRequest, BeginDeviceAuthorizationResponse,
    CompleteAuthorizationResponse, CompleteDeviceAuthorizationRequest, Credential,
};
use tonic::{Code, Status};

use super::Client;
use crate::cli::exit::Failure;
use crate::cli::output::Out;
use crate::cli::wire::duration_from_wire;

const USUAL_INTERVAL: Duration = Duration::from_secs(5);
/// By how much the interval grows when the provider asks to slow down (RFC 8628 section 3.5).
const SLOWER: Duration = Duration::from_secs(5);

/// What to ask for.
pub(super) fn request(
    credential: Credential,
    scopes: Vec<String>,
    placeholders: impl IntoIterator<Item = (String, String)>,
    allow_account_change: bool,
) -> BeginDeviceAuthorizationRequest {
    BeginDeviceAuthorizationRequest {
        credential: Some(credential),
        scopes,
        allow_account_change,
        placeholders: placeholders.into_iter().collect(),
    }
}

/// Tells the user what to enter where.
pub(super) fn explain(
    begun: &BeginDeviceAuthorizationResponse,
    notes: Out<'_>,
) -> std::io::Result<()> {
    let (uri, code) = (&begun.verification_uri, &begun.user_code);
    writeln!(
        notes,
        "To connect, open this address on any device:\n\n  {uri}\n\nand enter the code {code}"
    )?;
    if !begun.verification_uri_complete.is_empty() {
        let uri = &begun.verification_uri_complete;
        writeln!(notes, "\nor open the address that has it:\n\n  {uri}")?;
    }
    notes.flush()
}

/// Asks until the user has decided.
pub(super) async fn complete(
    client: &mut Client,
    begun: &BeginDeviceAuthorizationResponse,
) -> Result<CompleteAuthorizationResponse, Failure> {
    let mut interval = duration_from_wire(begun.interval).unwrap_or(USUAL_INTERVAL);
    loop {
        tokio::time::sleep(interval).await;
        let request = CompleteDeviceAuthorizationRequest {
            state: begun.state.clone(),
        };
        let answer = match client.complete_device_authorization(request).await {
            Ok(answer) => answer.into_inner(),
            Err(status) if passes(&status) => continue,
            Err(status) => return Err(status.into()),
        };
        if !answer.pending {
            return Ok(CompleteAuthorizationResponse {
                credential: answer.credential,
                created: answer.created,
                integrations: answer.integrations,
            });
        }
        if answer.slow_down {
            interval += SLOWER;
        }
    }
}

/// Whether the next question may be answered (RFC 8628 section 3.5 has time-outs tried again).
fn passes(status: &Status) -> bool {
    matches!(
        status.code(),
        Code::Unavailable | Code::ResourceExhausted | Code::DeadlineExceeded
    )
}
