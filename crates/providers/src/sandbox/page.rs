//! What the sandbox's pages for people have in common.

/// How every page begins.
pub(super) const HEAD: &str = "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Sandbox provider</title>\
<style>body{font:16px/1.5 sans-serif;margin:4rem auto;max-width:32rem;padding:0 1rem}\
button{font:inherit;margin-right:1rem;padding:.5rem 1.5rem}</style>";

/// The two buttons that every question ends with.
pub(super) const BUTTONS: &str = "<button name=\"decision\" value=\"approve\">Approve</button>\
<button name=\"decision\" value=\"deny\">Deny</button>";

/// `text` as it may stand in HTML, attributes included.
pub(super) fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            other => safe.push(other),
        }
    }
    safe
}

/// The items of a list of what is asked for.
pub(super) fn items(scopes: &[String]) -> String {
    let items = scopes.iter().map(|scope| escaped(scope));
    items.map(|scope| format!("<li>{scope}</li>")).collect()
}
