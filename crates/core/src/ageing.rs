//! When a grant ends, and what is done about it beforehand.
//!
//! An end that a refresh moves ahead is met by a refresh in time, whether or not anybody asks for tokens. An end that
//! no refresh moves is told to watchers, so that the user can be asked to connect again. Both are reckoned whenever
//! tokens are stored, from the tokens and from what the catalogue knows of the provider.

use std::time::Duration;

use crate::clock::Timestamp;
use crate::freshness::{Validity, fraction};
use crate::grant::{GrantFacts, GrantType, TokenSet};
use crate::ids::GrantId;
use crate::provider::Renewal;

const DAY: Duration = Duration::from_secs(86_400);
/// How long before its end a refresh token is used, where the catalogue does not say.
const REFRESH_TOKEN_MARGIN_MAX: Duration = Duration::from_secs(7 * 86_400);
/// How long before its end a token is renewed that cannot be renewed after it.
const WINDOW_MAX: Duration = Duration::from_secs(14 * 86_400);

/// A call, and what is done until its tokens are stored, take no longer than this.
const LONGEST_CALL: Duration = Duration::from_secs(3600);

/// The dates of a grant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Dates {
    /// When background work is to renew the grant, or to find it dead. `None`: never.
    pub due_at: Option<Timestamp>,
    /// When the means to renew it end unless they are used before; a refresh moves this ahead.
    pub renew_by: Option<Timestamp>,
    /// When it ends unless its user connects again.
    pub end: Option<End>,
    /// When its end is to be announced next.
    pub announce_at: Option<Timestamp>,
}

/// An end that no refresh moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct End {
    /// When it comes.
    pub at: Timestamp,
    /// What ends.
    pub of: EndOf,
}

/// What ends for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EndOf {
    /// The access token, which cannot be renewed.
    AccessToken,
    /// The refresh token, whose end was fixed at the consent.
    RefreshToken,
    /// The whole grant, however often it is refreshed.
    Grant,
}

/// How long ahead an end is announced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Ahead {
    /// One day.
    Day,
    /// Seven days.
    Week,
    /// Thirty days.
    Month,
}

impl Ahead {
    /// All of them, the last first.
    pub const ALL: [Self; 3] = [Self::Day, Self::Week, Self::Month];

    /// How many days ahead.
    pub const fn days(self) -> u32 {
        match self {
            Self::Day => 1,
            Self::Week => 7,
            Self::Month => 30,
        }
    }

    /// The announcement that is made so many days ahead.
    pub fn from_days(days: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|ahead| ahead.days() == days)
    }

    fn duration(self) -> Duration {
        DAY * self.days()
    }
}

/// All that the dates of a grant depend on, besides its provider.
#[derive(Debug, Clone, Copy)]
pub struct Life<'a> {
    /// The grant; what is not bound to a moment is spread by it.
    pub grant: &'a GrantId,
    /// How its tokens are obtained.
    pub grant_type: GrantType,
    /// Whether there is a refresh token.
    pub refresh_token: bool,
    /// When the user connected.
    pub consented_at: Timestamp,
    /// When the tokens were obtained.
    pub issued_at: Timestamp,
    /// When the access token expires, if known.
    pub expires_at: Option<Timestamp>,
    /// When the refresh token ends, if known.
    pub refresh_expires_at: Option<Timestamp>,
    /// The latest announcement since the consent.
    pub announced: Option<Ahead>,
}

impl<'a> Life<'a> {
    /// The life of a grant as it is stored.
    pub fn of(facts: &'a GrantFacts) -> Self {
        Self {
            grant: &facts.id,
            grant_type: facts.grant_type,
            refresh_token: facts.refreshable,
            consented_at: facts.consented_at,
            issued_at: facts.issued_at,
            expires_at: facts.expires_at,
            refresh_expires_at: facts.refresh_expires_at,
            announced: facts.announced,
        }
    }

    /// The life that begins with a consent at `at`.
    pub fn begun(
        grant: &'a GrantId,
        grant_type: GrantType,
        tokens: &TokenSet,
        at: Timestamp,
    ) -> Self {
        Self {
            grant,
            grant_type,
            refresh_token: tokens.refresh_token.is_some(),
            consented_at: at,
            issued_at: at,
            expires_at: tokens.expires_at,
            refresh_expires_at: tokens.refresh_expires_at,
            announced: None,
        }
    }

    /// This life once it went on with `tokens` at `at`.
    pub fn renewed(self, tokens: &TokenSet, at: Timestamp) -> Self {
        Self {
            consented_at: self.consented_at,
            announced: self.announced,
            ..Self::begun(self.grant, self.grant_type, tokens, at)
        }
    }

    /// The dates under the rules of a provider.
    pub fn dates(&self, renewal: &Renewal) -> Dates {
        let renewal = &renewal.of(self.grant_type);
        let end = self.end(renewal);
        Dates {
            due_at: self.due_at(renewal),
            renew_by: self.renew_by(renewal),
            end,
            announce_at: end.and_then(|end| {
                let next = self.announcements(end).max()?;
                Some(end.at.minus(next.duration()))
            }),
        }
    }

    /// What is to be announced at `now`: the nearest announcement whose time has come, even if it is not the
    /// only one; `None` before the first, after the last, and when it is too late.
    pub fn announcement(&self, end: End, now: Timestamp) -> Option<Ahead> {
        let has_come = |ahead: &Ahead| end.at.minus(ahead.duration()) <= now;
        let nearest = self.announcements(end).filter(has_come).min();
        nearest.filter(|_| now < end.at)
    }

    /// The announcements that are still to be made. The end of an access token is announced no longer ahead than the
    /// token lives, so that of an hour-long one never is.
    fn announcements(&self, end: End) -> impl Iterator<Item = Ahead> {
        let announced = self.announced;
        let longest = match end.of {
            EndOf::AccessToken => end.at.since(self.issued_at),
            EndOf::RefreshToken | EndOf::Grant => Duration::MAX,
        };
        Ahead::ALL
            .into_iter()
            .filter(move |ahead| announced.is_none_or(|latest| *ahead < latest))
            .filter(move |ahead| ahead.duration() <= longest)
    }

    fn due_at(&self, renewal: &Renewal) -> Option<Timestamp> {
        if !renewal.can_renew(self.grant_type, self.refresh_token) {
            return self.expires_at;
        }
        let had_ended = self.expires_at.is_some_and(|end| end <= self.issued_at);
        if had_ended && self.grant_type.is_minted() {
            // The first token is minted when somebody asks for it.
            return None;
        }
        let validity = Validity::of(self.grant, self.issued_at, self.expires_at, renewal);
        let access_token = self.expires_at.map(|_| validity.soft_from());
        let refresh_token = self.renew_by(renewal).map(|end| self.in_time(end, renewal));
        let due_at = [access_token, refresh_token].into_iter().flatten().min()?;
        let young_until = renewal.young_until(self.issued_at, self.expires_at);
        Some(young_until.map_or(due_at, |until| due_at.max(until)))
    }

    /// The end of the refresh token, or of the token that stands for it, if a refresh moves it. One that had passed
    /// when the tokens were issued was none.
    fn renew_by(&self, renewal: &Renewal) -> Option<Timestamp> {
        if renewal.self_renewing && self.grant_type == GrantType::AuthorizationCode {
            return self.expires_at;
        }
        let (end, _) = self.refresh_token_ends(renewal);
        end.filter(|end| *end > self.issued_at)
    }

    /// When the refresh token ends unless it is used, and when it ends however often it is.
    fn refresh_token_ends(&self, renewal: &Renewal) -> (Option<Timestamp>, Option<Timestamp>) {
        let Some(end) = self.refresh_expires_at.filter(|_| self.refresh_token) else {
            return (None, None);
        };
        if renewal.end_moves || renewal.is_of_idleness(end, self.issued_at) {
            return (Some(end), None);
        }
        let idle = renewal.refresh_token_idle;
        let unused = idle.map(|idle| self.issued_at.plus(idle));
        (unused.filter(|unused| *unused < end), Some(end))
    }

    /// A time in the first half of the margin before `end`, another for each grant: of grants that were connected
    /// together and that nobody uses, few are due at a time.
    fn in_time(&self, end: Timestamp, renewal: &Renewal) -> Timestamp {
        let margin = renewal.refresh_token_margin(end.since(self.issued_at));
        end.minus(margin.mul_f64(1.0 - 0.5 * fraction(self.grant)))
    }

    fn end(&self, renewal: &Renewal) -> Option<End> {
        let is_renewable = renewal.can_renew(self.grant_type, self.refresh_token);
        let end = |at: Option<Timestamp>, of| at.map(|at| End { at, of });
        let access_token = self.expires_at.filter(|_| !is_renewable);
        let (_, refresh_token) = self.refresh_token_ends(renewal);
        let is_consent = self.grant_type == GrantType::AuthorizationCode;
        let lifetime = renewal.grant_lifetime.filter(|_| is_consent);
        let grant = lifetime.map(|lifetime| self.consented_at.plus(lifetime));
        let ends = [
            end(access_token, EndOf::AccessToken),
            end(refresh_token, EndOf::RefreshToken),
            end(grant, EndOf::Grant),
        ];
        let ends = ends.into_iter().flatten();
        // What had passed when the provider issued the tokens was no end.
        ends.filter(|end| end.at > self.issued_at)
            .min_by_key(|end| end.at)
    }
}

impl Renewal {
    /// The rules that hold for grants of a type: what is minted knows none of those of refresh tokens.
    pub fn of(self, grant_type: GrantType) -> Self {
        if grant_type.is_minted() {
            Self {
                single_active_token: self.single_active_token,
                ..Self::default()
            }
        } else {
            self
        }
    }

    /// Whether grants of a type can be renewed without their user.
    pub fn can_renew(&self, grant_type: GrantType, refresh_token: bool) -> bool {
        match grant_type {
            GrantType::AuthorizationCode => refresh_token || self.self_renewing,
            GrantType::Static => false,
            minted => minted.is_minted(),
        }
    }

    /// Whether a refresh token that was used at `at` or a moment before, and that nothing but use keeps, ends at `end`
    /// because it is not used any more. Any other end was stated.
    pub(crate) fn is_of_idleness(&self, end: Timestamp, at: Timestamp) -> bool {
        self.refresh_token_idle.is_some_and(|idle| {
            let reckoned = at.plus(idle);
            let off = end.since(reckoned).max(reckoned.since(end));
            off <= LONGEST_CALL.min(idle / 10)
        })
    }

    /// Until when the provider renews no token that was issued at `issued_at`. A token that does not outlive this
    /// was issued earlier than anybody knows, by a consent elsewhere, so nothing is said of it.
    pub fn young_until(
        &self,
        issued_at: Timestamp,
        expires_at: Option<Timestamp>,
    ) -> Option<Timestamp> {
        let until = issued_at.plus(self.min_age?);
        expires_at.is_none_or(|end| until < end).then_some(until)
    }

    /// How long before its end a token is renewed that cannot be renewed after it: 14 days, or a quarter of a shorter
    /// lifetime. Zero where it can.
    pub(crate) fn window(&self, lifetime: Duration) -> Duration {
        if !self.only_while_valid {
            return Duration::ZERO;
        }
        match self.refresh_token_margin {
            Some(margin) => margin.min(lifetime / 2),
            None => WINDOW_MAX.min(lifetime / 4),
        }
    }

    fn refresh_token_margin(&self, lifetime: Duration) -> Duration {
        match self.refresh_token_margin {
            Some(margin) => margin.min(lifetime / 2),
            None => REFRESH_TOKEN_MARGIN_MAX.min(lifetime / 5),
        }
    }
}

#[cfg(test)]
mod tests;
