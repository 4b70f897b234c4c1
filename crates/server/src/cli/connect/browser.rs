//! The browser of whoever runs this.

use std::env;

/// Opens `url` in a browser, if there is one to be seen. `false`: the user must open it.
pub(super) fn open(url: &str) -> bool {
    has_display() && open::that_detached(url).is_ok()
}

/// Without a display, a Unix system may open a browser in the terminal or in nobody's sight; over SSH it would open
/// where the user is not.
fn has_display() -> bool {
    let is_set = |name| env::var_os(name).is_some_and(|value| !value.is_empty());
    if is_set("SSH_CONNECTION") {
        return false;
    }
    cfg!(any(target_os = "macos", windows)) || is_set("DISPLAY") || is_set("WAYLAND_DISPLAY")
}
