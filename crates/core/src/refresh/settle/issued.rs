//! The provider issued tokens: they are stored, now or as soon as the database allows.

use std::time::Duration;

use tracing::{Instrument as _, error, info, info_span, warn};

use super::count;
use crate::ageing::{Dates, Life};
use crate::change::{Scope, plan};
use crate::coordinator::EscrowEntry;
use crate::grant::{Attempts, Grant, GrantState, TokenSet};
use crate::ids::Generation;
use crate::memory::Origin;
use crate::provider::Issued;
use crate::refresh::attempt::Attempt;
use crate::refresh::unsaved::OnlyHere;
use crate::refresh::{Failure, Outcome, Refresher};
use crate::store::StoreError;

/// How often a commit is tried while the grant changes under it.
const COMMIT_TRIES: u32 = 20;
const LONGEST_COMMIT_PAUSE: Duration = Duration::from_secs(5);
/// How often a superseded token set is put aside before it is left where it is.
const ASIDE_TRIES: u32 = 5;

/// What became of a token set.
pub(super) struct Committed {
    /// The grant as it stands now, which is a newer one where somebody else was faster; `None` if it is gone.
    pub(super) grant: Option<Grant>,
    /// Whether the database has the token set, as the grant's own or aside. Escrow must not forget it before.
    pub(super) kept: Result<(), StoreError>,
}

impl Committed {
    /// The database has the token set, and the grant stands like this.
    fn kept(grant: Option<Grant>) -> Self {
        Self {
            grant,
            kept: Ok(()),
        }
    }
}

impl Refresher {
    /// The provider answered with tokens: from here on nothing but a commit, or a newer generation, lets go
    /// of them.
    pub(in crate::refresh) async fn settle_issued(
        &self,
        attempt: Attempt<'_>,
        issued: Issued,
    ) -> Outcome {
        let issued_at = self.ports.clock.now();
        let renewal = self.renewal(&attempt.grant.facts);
        let entry = EscrowEntry {
            grant: attempt.grant.facts.id.clone(),
            base: attempt.grant.facts.generation,
            epoch: attempt.claimed.epoch,
            tokens: attempt.merge(issued, issued_at, &renewal),
            issued_at,
        };
        let is_minted = attempt.grant.facts.grant_type.is_minted();
        let only_here = if is_minted {
            self.unsaved.let_go(&entry)
        } else {
            self.unsaved.hold(&entry)
        };
        // What can be minted again needs no escrow, and a process that ends may let go of it.
        let escrow = async { is_minted || self.escrow(&entry, &only_here).await };
        let (may_let_go, committed) = tokio::join!(escrow, self.commit(&attempt.grant, &entry));

        let Committed { grant, kept } = match committed {
            Ok(committed) => committed,
            Err(failed) => {
                warn!(
                    grant = %entry.grant, error = %failed, may_let_go,
                    "the new tokens cannot be stored yet; they are served from memory"
                );
                let dates = self.dates(&attempt.grant, &entry);
                let early = with_tokens(&attempt.grant, &entry, entry.base, dates);
                let origin = attempt.origin_of(&early);
                if let Ok(known) = self.remember(early, origin) {
                    attempt.landing.announce(Outcome::of(known, true));
                }
                match self.commit_later(&attempt, &only_here, may_let_go).await {
                    Some(committed) => committed,
                    None => return Outcome::Failed(Failure::from_store(&failed)),
                }
            }
        };
        if kept.is_ok() {
            only_here.saved();
        }
        let outcome = self.settle_stored(&attempt, grant, &entry);
        // Who waits here is served before the others are told.
        attempt.landing.announce(outcome.clone());
        self.tell_changed(&outcome).await;
        if !is_minted && (kept.is_ok() || self.keep_aside(&attempt.grant, &entry).await) {
            only_here.saved();
            self.forget_escrow(&entry).await;
        }
        let client = &attempt.grant.facts.client;
        if !attempt.brings_client() {
            self.budgets.accepted(client);
            self.client_accepted(client).await;
            if attempt.grant.facts.state.suspicion().is_some() {
                self.refusals_were_wrong(client).await;
            }
        }
        count(client, "refreshed");
        outcome
    }

    async fn escrow(&self, entry: &EscrowEntry, only_here: &OnlyHere<'_>) -> bool {
        let put = self.ports.escrow.put(entry);
        let escrowed = put.instrument(info_span!("escrow")).await.is_ok();
        if escrowed {
            metrics::counter!("evergrant_escrow_written_total").increment(1);
            only_here.saved();
        }
        escrowed
    }

    /// Stores the tokens of `entry`, or puts them aside where they came too late.
    ///
    /// A row of an earlier generation than the one that bought them is of a backup: nobody refreshes what he has not read.
    /// What was bought after the backup is newer all the same, and becomes the row's next token set.
    pub(super) async fn commit(
        &self,
        grant: &Grant,
        entry: &EscrowEntry,
    ) -> Result<Committed, StoreError> {
        let commit = self.commit_untraced(grant, entry);
        commit.instrument(info_span!("commit")).await
    }

    async fn commit_untraced(
        &self,
        grant: &Grant,
        entry: &EscrowEntry,
    ) -> Result<Committed, StoreError> {
        let store = &self.ports.store;
        let dates = self.dates(grant, entry);
        let mut base = entry.base;
        for _ in 0..COMMIT_TRIES {
            let commit = store.commit(&entry.grant, base, &entry.tokens, entry.issued_at, &dates);
            match tokio::time::timeout(self.limits.store_timeout, commit).await {
                Ok(Ok(Some(version))) if base == grant.facts.generation => {
                    let mut stored = with_tokens(grant, entry, base, dates);
                    // Who shares it may have changed since it was read.
                    stored.facts.version = version;
                    return Ok(Committed::kept(Some(stored)));
                }
                Ok(Ok(Some(_))) => return store.grant(&entry.grant).await.map(Committed::kept),
                Ok(Ok(None)) => {}
                Ok(Err(error)) => return Err(error),
                Err(_) => return Err(StoreError::Unavailable("the commit took too long".into())),
            }
            // Not stored: by an earlier try whose answer was lost, by somebody faster, or because the grant
            // had been taken for dead.
            let Some(now) = store.grant(&entry.grant).await? else {
                let kept = self.orphan(grant, entry, "the grant was deleted").await;
                return Ok(Committed { grant: None, kept });
            };
            if now.facts.generation < base {
                warn!(
                    grant = %entry.grant, %base, generation = %now.facts.generation,
                    "the database has been restored: a newer token set than it holds is stored again"
                );
                base = now.facts.generation;
                continue;
            }
            if now.facts.generation > base {
                if now.tokens == entry.tokens {
                    return Ok(Committed::kept(Some(now)));
                }
                metrics::counter!("evergrant_superseded_total").increment(1);
                let kept = self
                    .orphan(grant, entry, "a newer token set was stored first")
                    .await;
                let grant = Some(now);
                return Ok(Committed { grant, kept });
            }
            if now.facts.state.is_reported_dead() {
                // The word of a caller or of the provider is not undone by a call that began before it.
                let kept = self
                    .orphan(grant, entry, "the grant had been reported dead")
                    .await;
                let grant = Some(now);
                return Ok(Committed { grant, kept });
            }
            if now.facts.state.invalidation().is_some() && self.heal(entry, base, dates).await? {
                metrics::counter!("evergrant_healed_total").increment(1);
                info!(grant = %entry.grant, "a grant taken for dead has a working token after all");
                return store.grant(&entry.grant).await.map(Committed::kept);
            }
        }
        Err(StoreError::Unavailable("the grant keeps changing".into()))
    }

    /// Goes on trying to store the tokens, holding the leader lock, until it succeeds. `None` if the process
    /// ends while it may let go of the tokens, which are safe in escrow or can be minted again. Where it may not, it is
    /// cut off at the end of the shutdown.
    async fn commit_later(
        &self,
        attempt: &Attempt<'_>,
        only_here: &OnlyHere<'_>,
        mut may_let_go: bool,
    ) -> Option<Committed> {
        let entry = only_here.entry();
        let mut pause = Duration::from_millis(100);
        loop {
            let stop = async {
                if may_let_go {
                    self.stop.cancelled().await;
                } else {
                    std::future::pending::<()>().await;
                }
            };
            tokio::select! {
                () = tokio::time::sleep(pause.mul_f64(fastrand::f64())) => {}
                () = stop => return None,
            }
            pause = (pause * 2).min(LONGEST_COMMIT_PAUSE);
            attempt.held.renew().await;
            if !may_let_go {
                may_let_go = self.escrow(entry, only_here).await;
            }
            match self.commit(&attempt.grant, entry).await {
                Ok(committed) => return Some(committed),
                Err(failed) => warn!(grant = %entry.grant, error = %failed, "still not stored"),
            }
        }
    }

    fn settle_stored(
        &self,
        attempt: &Attempt<'_>,
        grant: Option<Grant>,
        entry: &EscrowEntry,
    ) -> Outcome {
        let Some(grant) = grant else {
            self.memory.forget(&entry.grant);
            return Outcome::Gone;
        };
        let is_ours = grant.tokens == entry.tokens;
        let origin = if is_ours {
            attempt.origin_of(&grant)
        } else {
            Origin::default()
        };
        let known = self.remember(grant, origin);
        known.map_or_else(Outcome::Failed, |known| Outcome::of(known, is_ours))
    }

    async fn heal(
        &self,
        entry: &EscrowEntry,
        base: Generation,
        dates: Dates,
    ) -> Result<bool, StoreError> {
        self.change(&Scope::Grant(entry.grant.clone()), |snapshot| {
            plan::heal(
                snapshot,
                &entry.grant,
                base,
                entry.tokens.clone(),
                entry.issued_at,
                dates,
            )
        })
        .await
    }

    /// The dates of `grant` once it has the tokens of `entry`. A derived grant is renewed when somebody asks for it and
    /// never of its own accord: a caller may have asked for its scopes once and never again.
    fn dates(&self, grant: &Grant, entry: &EscrowEntry) -> Dates {
        if grant.facts.parent.is_some() {
            return Dates::default();
        }
        let life = Life::of(&grant.facts).renewed(&entry.tokens, entry.issued_at);
        life.dates(&self.renewal(&grant.facts))
    }

    /// No rotated token vanishes: what cannot become the row's next generation is kept aside (invariant R8). What was
    /// minted is not, and with it would go the means that somebody may have deleted meanwhile.
    async fn orphan(
        &self,
        grant: &Grant,
        entry: &EscrowEntry,
        reason: &str,
    ) -> Result<(), StoreError> {
        if grant.facts.grant_type.is_minted() {
            return Ok(());
        }
        let (id, tokens) = (&entry.grant, &entry.tokens);
        let store = &self.ports.store;
        let kept = store.keep_orphan(id, entry.base, tokens, reason).await;
        if let Err(error) = &kept {
            error!(grant = %id, %error, "a superseded token set could not be kept");
        }
        kept
    }

    /// Tries a few times more to put a superseded token set aside, when nobody waits any more.
    async fn keep_aside(&self, grant: &Grant, entry: &EscrowEntry) -> bool {
        let mut pause = Duration::from_millis(100);
        for _ in 0..ASIDE_TRIES {
            tokio::time::sleep(pause).await;
            pause *= 2;
            let kept = self
                .orphan(grant, entry, "it came too late to be stored")
                .await;
            if kept.is_ok() {
                return true;
            }
        }
        false
    }
}

/// The grant with the tokens of `entry`, which follow `base`, and the version that it had before.
fn with_tokens(grant: &Grant, entry: &EscrowEntry, base: Generation, dates: Dates) -> Grant {
    let tokens: &TokenSet = &entry.tokens;
    let mut facts = grant.facts.clone();
    facts.generation = base.next();
    facts.state = GrantState::Active;
    facts.issued_at = entry.issued_at;
    facts.expires_at = tokens.expires_at;
    facts.refresh_expires_at = tokens.refresh_expires_at;
    facts.refreshable = tokens.refresh_token.is_some() || facts.grant_type.is_minted();
    facts.dates = dates;
    facts.scopes.clone_from(&tokens.scopes);
    facts.attempts = Attempts::default();
    facts.lease = None;
    facts.in_doubt = false;
    Grant {
        facts,
        tokens: tokens.clone(),
    }
}
