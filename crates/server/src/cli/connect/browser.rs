//! The browser of whoever runs this.

use std::env;
use std::process::{Command, Stdio};

/// Opens `url` in a browser, if there is one to be seen. `false`: the user must open it.
pub(super) fn open(url: &str) -> bool {
    let set = |name: &str| env::var(name).ok().filter(|value| !value.is_empty());
    match set("BROWSER") {
        Some(browsers) => commands(&browsers, url).any(start),
        None => has_display(|name| set(name).is_some()) && open::that_detached(url).is_ok(),
    }
}

/// Without a display, a Unix system may open a browser in the terminal or in nobody's sight; over SSH it would open
/// where the user is not. Whoever sets `BROWSER` has said what is to be opened nevertheless.
fn has_display(is_set: impl Fn(&str) -> bool) -> bool {
    if is_set("SSH_CONNECTION") {
        return false;
    }
    cfg!(any(target_os = "macos", windows)) || is_set("DISPLAY") || is_set("WAYLAND_DISPLAY")
}

/// The commands of `BROWSER`, which are tried in turn: separated by `:`, with the URL in place of `%s`, or behind the
/// last word where that is missing. No shell reads them.
fn commands(browsers: &str, url: &str) -> impl Iterator<Item = Vec<String>> {
    browsers.split(':').filter_map(move |browser| {
        let mut words: Vec<String> = browser.split_whitespace().map(str::to_owned).collect();
        if !words.iter().any(|word| word.contains("%s")) && !words.is_empty() {
            words.push("%s".to_owned());
        }
        for word in &mut words {
            *word = word.replace("%s", url);
        }
        (!words.is_empty()).then_some(words)
    })
}

/// Nobody waits for it, and it writes nothing between our own lines.
fn start(command: Vec<String>) -> bool {
    let mut words = command.into_iter();
    let Some(program) = words.next() else {
        return false;
    };
    let quiet = || Stdio::null();
    Command::new(program)
        .args(words)
        .stdin(quiet())
        .stdout(quiet())
        .stderr(quiet())
        .spawn()
        .is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn browsers_are_commands_that_the_url_is_put_into() {
        let found = |browsers| commands(browsers, "https://a.example/?x=1&y=2").collect::<Vec<_>>();
        let url = "https://a.example/?x=1&y=2";
        assert_eq!(found("firefox"), [vec!["firefox", url]]);
        assert_eq!(
            found("mine --new=%s -q::  :other"),
            [
                vec!["mine", &format!("--new={url}"), "-q"],
                vec!["other", url]
            ]
        );
        assert!(found(" : ").is_empty());
    }

    #[test]
    fn the_first_browser_that_is_there_is_started() {
        let all = commands("/no/such/browser:true", "https://a.example");
        let started: Vec<bool> = all.map(start).collect();
        assert_eq!(started, [false, true]);
    }

    #[test]
    fn a_display_is_one_that_the_user_sees() {
        let with = |names: &'static [&str]| has_display(|name| names.contains(&name));
        assert!(with(&["DISPLAY"]) && with(&["WAYLAND_DISPLAY"]));
        assert!(!with(&["DISPLAY", "SSH_CONNECTION"]));
    }
}
