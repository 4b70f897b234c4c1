//! What the provider in memory knows of refresh tokens.

use std::collections::HashMap;

/// What becomes of a refresh token that is used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reuse {
    /// It is refused, and its whole family with it (RFC 9700 section 4.14.2).
    Revokes,
    /// It is refused, and its successor stays good.
    Refused,
    /// Until its successor is used, the same successor is issued again.
    SameSuccessor,
    /// It never ends: answers hold the same refresh token again.
    Allowed,
}

/// Chains of refresh tokens, each begun by a consent.
#[derive(Debug)]
pub(super) struct Families {
    pub(super) reuse: Reuse,
    /// Family and place in it by refresh token.
    known: HashMap<String, (String, u32)>,
    by_name: HashMap<String, Family>,
    access_tokens: u32,
}

#[derive(Debug)]
struct Family {
    /// Place of the token that was issued last.
    newest: u32,
    revoked: bool,
}

impl Families {
    pub(super) fn new(reuse: Reuse) -> Self {
        Self {
            reuse,
            known: HashMap::new(),
            by_name: HashMap::new(),
            access_tokens: 0,
        }
    }

    /// Begins a family, or a new life of one, and answers its first refresh token.
    pub(super) fn begin(&mut self, name: &str) -> String {
        let newest = self.by_name.get(name).map_or(1, |family| family.newest + 1);
        let family = Family {
            newest,
            revoked: false,
        };
        self.by_name.insert(name.to_owned(), family);
        self.issue(name, newest)
    }

    /// Uses a refresh token. Answers its successor, or `None` if it is refused.
    pub(super) fn spend(&mut self, token: &str) -> Option<String> {
        let accepted = self.accepts(token);
        let (name, place) = self.known.get(token)?.clone();
        let family = self.by_name.get_mut(&name)?;
        if !accepted {
            family.revoked |= self.reuse == Reuse::Revokes;
            return None;
        }
        let successor = match self.reuse {
            Reuse::Allowed => place,
            _ => place + 1,
        };
        family.newest = family.newest.max(successor);
        Some(self.issue(&name, successor))
    }

    pub(super) fn accepts(&self, token: &str) -> bool {
        let Some((name, place)) = self.known.get(token) else {
            return false;
        };
        let Some(family) = self.by_name.get(name).filter(|family| !family.revoked) else {
            return false;
        };
        match self.reuse {
            Reuse::SameSuccessor => *place + 1 >= family.newest,
            Reuse::Revokes | Reuse::Refused | Reuse::Allowed => *place == family.newest,
        }
    }

    /// Revokes by a refresh token, which may be spent or unknown.
    pub(super) fn take_back(&mut self, token: &str) {
        let Some((name, _)) = self.known.get(token).cloned() else {
            return;
        };
        if self.accepts(token) || self.reuse == Reuse::Revokes {
            self.revoke(&name);
        }
    }

    pub(super) fn revoke(&mut self, name: &str) {
        if let Some(family) = self.by_name.get_mut(name) {
            family.revoked = true;
        }
    }

    pub(super) fn next_access_token(&mut self) -> String {
        self.access_tokens += 1;
        format!("access-{}", self.access_tokens)
    }

    fn issue(&mut self, name: &str, place: u32) -> String {
        let token = format!("refresh-{name}-{place}");
        self.known.insert(token.clone(), (name.to_owned(), place));
        token
    }
}
