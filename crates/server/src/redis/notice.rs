//! A notice as text: `1 {instance} {kind} {fields}`, separated by spaces, which no name contains.
//!
//! The leading 1 is the version; a replica ignores what it does not know, so that old and new can run together.

use evergrant_core::coordinator::Notice;
use evergrant_core::ids::{Generation, GrantId};

/// The text of `notice`, told by `instance`.
pub(super) fn encode(instance: &str, notice: &Notice) -> String {
    match notice {
        Notice::GrantChanged {
            grant,
            generation,
            version,
        } => format!("1 {instance} changed {grant} {generation} {version}"),
        Notice::RefreshFailed { grant, generation } => {
            format!("1 {instance} failed {grant} {generation}")
        }
        Notice::EventsAppended { head } => format!("1 {instance} events {head}"),
    }
}

/// Who told it and what, unless it is nothing that this version knows.
pub(super) fn decode(text: &str) -> Option<(&str, Notice)> {
    let fields: Vec<&str> = text.split(' ').collect();
    let ["1", instance, kind, fields @ ..] = fields.as_slice() else {
        return None;
    };
    let notice = match (*kind, fields) {
        ("changed", [grant, generation, version]) => Notice::GrantChanged {
            grant: GrantId::parse(grant).ok()?,
            generation: Generation(generation.parse().ok()?),
            version: version.parse().ok()?,
        },
        ("failed", [grant, generation]) => Notice::RefreshFailed {
            grant: GrantId::parse(grant).ok()?,
            generation: Generation(generation.parse().ok()?),
        },
        ("events", [head]) => Notice::EventsAppended {
            head: head.parse().ok()?,
        },
        _ => return None,
    };
    Some((instance, notice))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notice_survives_the_way() {
        let grant = GrantId::parse("a.b_c:d-1").unwrap();
        for notice in [
            Notice::GrantChanged {
                grant: grant.clone(),
                generation: Generation(u64::MAX),
                version: 0,
            },
            Notice::RefreshFailed {
                grant,
                generation: Generation(7),
            },
            Notice::EventsAppended { head: u64::MAX },
        ] {
            let text = encode("me", &notice);
            assert_eq!(decode(&text), Some(("me", notice)), "{text}");
        }
    }

    #[test]
    fn what_is_unknown_or_malformed_is_no_notice() {
        for text in [
            "",
            "hello",
            "2 me events 1",
            "1 me events",
            "1 me events 1 2",
            "1 me events -1",
            "1 me events x",
            "1 me other 1",
            "1 me failed g",
            "1 me failed g/h 1",
            "1 me changed g 1",
            "1  events 1 ",
            "1 me events 18446744073709551616",
        ] {
            assert_eq!(decode(text), None, "{text:?}");
        }
    }
}
