//! Which name somebody may have meant who wrote another one.

/// The one of `known` that `name` is a slip of, or that begins as it does.
pub(super) fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    /// Shorter names begin in too many ways.
    const BEGINNING: usize = 3;
    let begins = |other: &str| {
        let shorter = name.len().min(other.len());
        shorter >= BEGINNING && (name.starts_with(other) || other.starts_with(name))
    };
    let near = known.filter_map(|other| {
        let apart = distance(name, other);
        (begins(other) || is_slip(name, other, apart)).then_some((apart, other))
    });
    near.min().map(|(_, other)| other)
}

/// The one of `known` that differs from `name` by a slip.
pub(super) fn slip<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let near = known.filter_map(|other| {
        let apart = distance(name, other);
        (apart > 0 && is_slip(name, other, apart)).then_some((apart, other))
    });
    near.min().map(|(_, other)| other)
}

fn is_slip(name: &str, other: &str, apart: usize) -> bool {
    apart <= 2 && apart * 3 <= name.len().min(other.len()).max(3)
}

/// How many letters must be changed, added, left out or exchanged with their neighbour (optimal string alignment).
fn distance(one: &str, other: &str) -> usize {
    let (one, other): (Vec<char>, Vec<char>) = (one.chars().collect(), other.chars().collect());
    let mut rows = vec![vec![0; other.len() + 1]; one.len() + 1];
    for at in 0..=one.len() {
        for to in 0..=other.len() {
            rows[at][to] = if at == 0 || to == 0 {
                at + to
            } else {
                let changed = rows[at - 1][to - 1] + usize::from(one[at - 1] != other[to - 1]);
                let least = changed.min(rows[at - 1][to] + 1).min(rows[at][to - 1] + 1);
                let is_swap = at > 1
                    && to > 1
                    && one[at - 1] == other[to - 2]
                    && one[at - 2] == other[to - 1];
                match is_swap {
                    true => least.min(rows[at - 2][to - 2] + 1),
                    false => least,
                }
            };
        }
    }
    rows[one.len()][other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_and_a_beginning_are_recognised_and_another_word_is_not() {
        let known = ["token_sha256", "san", "active", "lost", "client_id", "url"];
        let meant = |name| nearest(name, known.into_iter());
        for (name, expected) in [
            ("token", Some("token_sha256")),
            ("san_name", Some("san")),
            ("acitve", Some("active")),
            ("client_di", Some("client_id")),
            ("urll", Some("url")),
            ("k1", None),
            ("client_secret", None),
            ("listen", None),
        ] {
            assert_eq!(meant(name), expected, "{name}");
        }
        assert_eq!(
            slip("client_id", ["client_di", "url"].into_iter()),
            Some("client_di")
        );
        assert_eq!(slip("token_sha256", ["token"].into_iter()), None);
    }
}
