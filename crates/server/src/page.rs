//! The page that a user sees at the end of a consent: one title, one line, nothing to load and nothing to click.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

/// A page for the end of a consent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// How it went.
    pub status: StatusCode,
    /// In a few words.
    pub title: String,
    /// What the user may do now, or why it failed.
    pub line: String,
}

impl Page {
    /// All is well.
    pub fn connected(what: &str) -> Self {
        Self {
            status: StatusCode::OK,
            title: "Connected".to_owned(),
            line: format!("{what} is connected. You can close this window."),
        }
    }

    /// It did not come about, for this reason.
    pub fn not_connected(status: StatusCode, why: &str) -> Self {
        Self {
            status,
            title: "Not connected".to_owned(),
            line: format!("Nothing was connected: {why}. You can close this window."),
        }
    }
}

impl IntoResponse for Page {
    /// The code stands in this page's address, so nothing may keep the page, frame it, or tell anyone its address.
    fn into_response(self) -> Response {
        let Self {
            status,
            title,
            line,
        } = self;
        let (title, line) = (escape(&title), escape(&line));
        let html = format!(
            "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width\">\n\
             <title>{title}</title>\n\
             <style>body {{ font: 1.1rem/1.5 system-ui, sans-serif; max-width: 32rem; margin: 20vh auto; \
             padding: 0 1rem; color-scheme: light dark }}</style>\n\
             <h1>{title}</h1>\n<p>{line}</p>\n</html>\n"
        );
        let policy = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'";
        let mut response = (status, html).into_response();
        let headers = response.headers_mut();
        for (name, value) in [
            (header::CONTENT_TYPE, "text/html; charset=utf-8"),
            (header::CACHE_CONTROL, "no-store"),
            (header::CONTENT_SECURITY_POLICY, policy),
            (header::REFERRER_POLICY, "no-referrer"),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        response
    }
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            letter => escaped.push(letter),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_page_shows_no_markup_of_strangers_and_is_not_kept() {
        let why = "<script>alert('x')</script> \"&\"";
        let response = Page::not_connected(StatusCode::BAD_REQUEST, why).into_response();
        assert_eq!(response.status(), StatusCode::BAD_REQUEST);
        let headers = response.headers();
        assert_eq!(headers[header::CACHE_CONTROL], "no-store");
        assert_eq!(headers[header::REFERRER_POLICY], "no-referrer");
        assert!(headers.contains_key(header::CONTENT_SECURITY_POLICY));
        let body = axum::body::to_bytes(response.into_body(), 1 << 16).await;
        let body = String::from_utf8(body.unwrap().to_vec()).unwrap();
        assert!(
            !body.contains("<script") && !body.contains("alert('"),
            "{body}"
        );
        assert!(body.contains("&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt; &quot;&amp;&quot;"));
    }
}
