//! Follows a kill to its end, at whichever replica answers.

use std::time::Duration;

use evergrant_proto::v1::WatchKillRequest;
use tonic::Code;

use super::view::KillView;
use super::{Client, view};
use crate::cli::exit::Failure;
use crate::cli::output::Out;

/// How long to wait before a lost connection is made again.
const AGAIN: Duration = Duration::from_secs(1);
/// How often in a row.
const TRIES: u32 = 30;

/// Tells how far `kill` is until it is finished. A server that goes away is connected to again: the kill goes on
/// without it.
pub(super) async fn follow(
    connect: impl AsyncFn() -> Result<Client, Failure>,
    kill: &str,
    notes: Out<'_>,
) -> Result<KillView, Failure> {
    let mut failed = 0;
    loop {
        match watch(&connect, kill, notes, &mut failed).await {
            Ok(finished) => return Ok(finished),
            Err(Lost(failure)) => {
                if is_final(&failure) {
                    return Err(failure);
                }
                failed += 1;
                if failed > TRIES {
                    let again = format!("follow it with: evergrant kill watch {kill}");
                    return Err(Failure::Other(format!(
                        "{failure}; the kill goes on, {again}"
                    )));
                }
                tokio::time::sleep(AGAIN).await;
            }
        }
    }
}

/// Whether another try would be answered alike.
fn is_final(failure: &Failure) -> bool {
    let Failure::Refused(status) = failure else {
        return false;
    };
    matches!(
        status.code(),
        Code::InvalidArgument | Code::NotFound | Code::PermissionDenied
    )
}

/// The connection was lost, or could not be made.
struct Lost(Failure);

async fn watch(
    connect: &impl AsyncFn() -> Result<Client, Failure>,
    kill: &str,
    notes: Out<'_>,
    failed: &mut u32,
) -> Result<KillView, Lost> {
    let request = WatchKillRequest {
        kill_id: kill.to_owned(),
    };
    let mut client = connect().await.map_err(Lost)?;
    let told = client.watch_kill(request).await;
    let mut told = told.map_err(|status| Lost(status.into()))?.into_inner();
    loop {
        let message = told.message().await.map_err(|status| Lost(status.into()))?;
        let Some(message) = message else {
            let ended = tonic::Status::new(Code::Unavailable, "the stream ended");
            return Err(Lost(ended.into()));
        };
        *failed = 0;
        let now = view(message.kill).map_err(Lost)?;
        // Whoever does not want to know does not stop the kill.
        let _untold = writeln!(notes, "{}", now.line());
        if now.finished_at.is_some() {
            return Ok(now);
        }
    }
}
