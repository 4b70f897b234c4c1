//! What a name that nobody knows may have been meant to be.

/// Letters that a name may be off by, to be taken for a slip of another.
const SLIPS: usize = 2;
/// Names that are proposed at most.
const PROPOSED: usize = 3;

/// The end of a message about an unknown `name`: those of `known` that it may have been meant to be; empty if there are
/// none.
pub fn did_you_mean(name: &str, known: Vec<String>) -> String {
    match &near(name, known)[..] {
        [] => String::new(),
        near => format!("; did you mean {}?", near.join(" or ")),
    }
}

/// Those of `known` that `name` may have been meant to be, the nearest first, at most three.
pub fn near(name: &str, known: Vec<String>) -> Vec<String> {
    let written = name.to_lowercase();
    let distance = |known: &str| {
        let known = known.to_lowercase();
        match known.starts_with(&written) || written.starts_with(&known) {
            // A whole word of it is as near as one slip.
            true => usize::from(known != written),
            false => strsim::damerau_levenshtein(&written, &known),
        }
    };
    // Of a short name, any other is near.
    let slips = SLIPS.min(written.chars().count() / 2);
    let known = known.into_iter().map(|known| {
        let further = known.len().abs_diff(written.len());
        (distance(&known), further, known)
    });
    let mut near: Vec<_> = known.filter(|(slip, ..)| *slip <= slips).collect();
    near.sort();
    near.truncate(PROPOSED);
    near.into_iter().map(|(.., known)| known).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known() -> Vec<String> {
        ["sandbox", "slack", "google", "x"]
            .map(str::to_owned)
            .to_vec()
    }

    #[test]
    fn a_slip_is_told_with_what_may_have_been_meant() {
        for (written, meant) in [
            ("sandbx", &["sandbox"][..]),
            ("Slack", &["slack"]),
            ("salck", &["slack"]),
            ("slack-main", &["slack"]),
            ("goo", &["google"]),
            ("y", &[]),
            ("github", &[]),
        ] {
            assert_eq!(near(written, known()), meant, "{written}");
        }
    }

    #[test]
    fn all_that_is_near_is_proposed_in_one_sentence() {
        let known = || vec!["main".to_owned(), "mail".to_owned(), "other".to_owned()];
        assert_eq!(
            did_you_mean("maim", known()),
            "; did you mean mail or main?"
        );
        assert_eq!(did_you_mean("nothing", known()), "");
        let known = vec!["token_url".to_owned(), "tokens".to_owned()];
        assert_eq!(near("token", known), ["tokens", "token_url"]);
    }
}
