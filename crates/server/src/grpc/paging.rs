//! Pages of a listing: where one begins, and where the next would.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::status::ApiError;

/// The name after which a page begins.
pub fn after_token(token: &str) -> Result<Option<String>, ApiError> {
    if token.is_empty() {
        return Ok(None);
    }
    let bytes = URL_SAFE_NO_PAD
        .decode(token)
        .map_err(|_| bad_page_token())?;
    String::from_utf8(bytes)
        .map(Some)
        .map_err(|_| bad_page_token())
}

/// The error of a token that is none.
pub fn bad_page_token() -> ApiError {
    ApiError::invalid("page_token", "is no page token of this service")
}

/// Cuts a page that was read with one row too many, and names the page after it.
pub fn cut<T>(page: &mut Vec<T>, limit: u32, name: impl Fn(&T) -> String) -> String {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    if page.len() <= limit {
        return String::new();
    }
    page.truncate(limit);
    page.last()
        .map(|last| URL_SAFE_NO_PAD.encode(name(last)))
        .unwrap_or_default()
}
