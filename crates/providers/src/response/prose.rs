//! What a provider says in words, made safe to be logged and shown.

const MAX_CHARS: usize = 200;
/// A word of this many characters with a digit in it may be a token.
const SHORTEST_TOKEN: usize = 16;
/// A word of this many characters may be a token in any case.
const LONGEST_WORD: usize = 32;
const REMOVED: &str = "[removed]";

/// At most 200 characters of `text` on one line, without any of `secrets` and without anything that looks
/// like a token.
pub(super) fn clean(text: &str, secrets: &[&str]) -> String {
    let mut text = text.to_owned();
    for secret in secrets.iter().filter(|secret| !secret.is_empty()) {
        text = text.replace(secret, REMOVED);
    }
    let words: Vec<String> = text.split_whitespace().map(without_tokens).collect();
    let line: String = words
        .join(" ")
        .chars()
        .filter(|c| !c.is_control())
        .collect();
    let line = line.trim_end_matches('.');
    match line.char_indices().nth(MAX_CHARS - 1) {
        Some((cut, last)) if cut + last.len_utf8() < line.len() => format!("{}…", &line[..cut]),
        _ => line.to_owned(),
    }
}

fn without_tokens(word: &str) -> String {
    let mut clean = String::new();
    for run in word.split_inclusive(|c: char| !is_token_char(c)) {
        let end = run.trim_end_matches(|c: char| !is_token_char(c)).len();
        let (token, separator) = run.split_at(end);
        let digits = token.bytes().any(|byte| byte.is_ascii_digit());
        if token.len() >= LONGEST_WORD || (token.len() >= SHORTEST_TOKEN && digits) {
            clean.push_str(REMOVED);
        } else {
            clean.push_str(token);
        }
        clean.push_str(separator);
    }
    clean
}

fn is_token_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || "-._~+/=%".contains(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_prose_stays_as_it_is() {
        let text = "AADSTS70008: The provided authorization code or refresh token has expired";
        assert_eq!(clean(text, &[]), text);
        assert_eq!(clean("  two\n lines.\u{7}", &[]), "two lines");
    }

    // W19
    #[test]
    fn secrets_and_what_looks_like_one_are_removed() {
        let text = "token 'hush' is bad, so is xoxe.xoxp-1-Mi0yLTEyMzQ1Njc4OTA and \
                    code=abcdefabcdefabcdefabcdefabcdefabcdef";
        assert_eq!(
            clean(text, &["hush", ""]),
            "token '[removed]' is bad, so is [removed] and [removed]"
        );
    }

    // A129
    #[test]
    fn prose_ends_after_200_characters() {
        let cut = clean(&"ä ".repeat(500), &[]);
        assert_eq!(cut.chars().count(), 200);
        assert!(cut.ends_with('…'));
        let whole = "ab ".repeat(66) + "ab";
        assert_eq!(clean(&whole, &[]), whole);
    }
}
