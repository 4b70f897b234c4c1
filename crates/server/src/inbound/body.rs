//! Reading a delivery, within bounds.

use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http::header::CONTENT_LENGTH;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};

use super::answer::Answer;

/// A delivery is some kilobytes.
const MAX_BYTES: usize = 256 * 1024;
const READ_WITHIN: Duration = Duration::from_secs(10);

/// The body, if it is small and comes soon.
pub(super) async fn read<B>(headers: &HeaderMap, body: B) -> Result<Bytes, Answer>
where
    B: http_body::Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let announced = headers.get(CONTENT_LENGTH);
    let announced = announced.and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > MAX_BYTES as u64) {
        return Err(Answer::TooLarge);
    }
    let whole = Limited::new(body, MAX_BYTES).collect();
    match tokio::time::timeout(READ_WITHIN, whole).await {
        Ok(Ok(whole)) => Ok(whole.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(Answer::TooLarge),
        Ok(Err(_)) => Err(Answer::Malformed("the request ended early")),
        Err(_) => Err(Answer::TooSlow),
    }
}
