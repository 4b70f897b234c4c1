//! From the bytes of an answer to a JSON value, whatever they were written as.

use serde_json::{Map, Value};
use url::form_urlencoded;

/// What the bytes of an answer are.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Body {
    /// JSON, or a form read as an object of strings.
    Value(Value),
    /// Nothing at all.
    Empty,
    /// JSON that ends too early.
    Torn,
    /// HTML or XML.
    Page,
    /// Prose or anything else.
    Foreign,
}

/// Reads JSON and forms by what they look like, and by `content_type` where both would do: an object is JSON whatever it is
/// called.
pub(super) fn parse(content_type: &str, bytes: &[u8]) -> Body {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Body::Empty;
    }
    if bytes.trim_ascii_start().starts_with(b"<") {
        return Body::Page;
    }
    let is_object = bytes.trim_ascii_start().starts_with(b"{");
    if content_type.starts_with("application/x-www-form-urlencoded") && !is_object {
        return form(bytes).map_or(Body::Foreign, Body::Value);
    }
    match serde_json::from_slice(bytes) {
        Ok(value) => Body::Value(value),
        Err(error) if error.is_eof() => Body::Torn,
        Err(_) if is_object => {
            serde_json::from_slice(&without_odd_numbers(bytes)).map_or(Body::Foreign, Body::Value)
        }
        Err(_) => form(bytes).map_or(Body::Foreign, Body::Value),
    }
}

/// A form that has an `access_token` or an `error`; anything else is only text with an equals sign.
fn form(bytes: &[u8]) -> Option<Value> {
    if bytes.contains(&b'<') {
        return None;
    }
    let fields: Map<String, Value> = form_urlencoded::parse(bytes)
        .map(|(name, value)| (name.into_owned(), value.into_owned().into()))
        .collect();
    let telling = fields.contains_key("access_token") || fields.contains_key("error");
    telling.then_some(Value::Object(fields))
}

/// Replaces what is no JSON number by null: `NaN`, `Infinity`, `1e999`. A good token must not be lost to a bad
/// number beside it.
fn without_odd_numbers(bytes: &[u8]) -> Vec<u8> {
    let mut repaired = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some(&first) = rest.first() {
        let length = match first {
            b'"' => string_length(rest),
            _ if is_bare(first) => rest.iter().take_while(|byte| is_bare(**byte)).count(),
            _ => 1,
        };
        let (token, after) = rest.split_at(length);
        if is_bare(first) && serde_json::from_slice::<Value>(token).is_err() {
            repaired.extend_from_slice(b"null");
        } else {
            repaired.extend_from_slice(token);
        }
        rest = after;
    }
    repaired
}

fn is_bare(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"+-.".contains(&byte)
}

/// Length of the JSON string that `bytes` begins with, quotes included.
fn string_length(bytes: &[u8]) -> usize {
    let mut escaped = false;
    for (index, byte) in bytes.iter().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return index + 1,
            _ => {}
        }
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(text: &str) -> Body {
        parse("", text.as_bytes())
    }

    #[test]
    fn json_is_read_with_or_without_a_byte_order_mark() {
        let body = Body::Value(json!({ "a": 1 }));
        assert_eq!(read("{\"a\":1}"), body);
        assert_eq!(read("\u{feff} {\"a\":1}\n"), body);
    }

    #[test]
    fn a_form_is_read_as_an_object_of_strings() {
        let body = Body::Value(json!({ "access_token": "a b", "expires_in": "60" }));
        assert_eq!(read("access_token=a+b&expires_in=60"), body);
        let error = parse(
            "application/x-www-form-urlencoded; charset=utf-8",
            b"error=x",
        );
        assert_eq!(error, Body::Value(json!({ "error": "x" })));
    }

    #[test]
    fn json_that_is_called_a_form_is_json() {
        let form = "application/x-www-form-urlencoded";
        let token = Body::Value(json!({ "access_token": "a", "refresh_token": "r=&" }));
        let text = br#" {"access_token":"a","refresh_token":"r=&"}"#;
        assert_eq!(parse(form, text), token);
        assert_eq!(parse(form, br#"{"access_token":"a"#), Body::Torn);
    }

    #[test]
    fn a_bad_number_does_not_cost_the_token_beside_it() {
        for odd in [
            "NaN",
            "Infinity",
            "-Infinity",
            "1e999",
            "0x10",
            "1.",
            "undefined",
        ] {
            let text = format!("{{\"access_token\":\"t NaN \\\" 1.\",\"expires_in\":{odd}}}");
            let body = Body::Value(json!({ "access_token": "t NaN \" 1.", "expires_in": null }));
            assert_eq!(read(&text), body, "{odd}");
        }
    }

    #[test]
    fn what_is_neither_is_told_apart() {
        assert_eq!(read(""), Body::Empty);
        assert_eq!(read(" \r\n"), Body::Empty);
        assert_eq!(read("{\"access_token\":\"a"), Body::Torn);
        assert_eq!(read(" <html><a href='?error=invalid_grant'>"), Body::Page);
        for text in ["Bad Request", "a=b", "{'access_token':'x'}"] {
            assert_eq!(read(text), Body::Foreign, "{text}");
        }
    }
}
