//! What Evergrant exists for, without I/O: every outside thing is a trait, a *port*, whose docs state what is asked
//! of it.
//!
//! The path of one request: [`broker::Broker::get_token`] finds the grant in [`memory`] and is done if its token is
//! fresh enough ([`freshness`]). Otherwise it joins the grant's flight ([`singleflight`]). A flight ([`refresh`])
//! looks at the row, leads or waits for who leads ([`leader`]), takes the lease, calls the provider once, and
//! stores what came. A failure that may pass puts the next attempt off ([`cooldown`]); one that only a person can
//! mend is kept ([`terminal`]) and told ([`change`], [`events`]). What ends by itself ([`ageing`]) is renewed in time
//! ([`schedule`]) or told in time ([`announce`]). A client that its provider rejects ([`breaker`]) is probed until it is
//! accepted ([`probe`]).

pub mod clock;
pub mod failure;
pub mod grant;
pub mod ids;
pub mod integration;
pub mod scopes;
pub mod secret;

pub mod ageing;
pub mod announce;
pub mod attempts;
pub mod brake;
pub mod breaker;
pub mod broker;
pub mod budget;
pub mod cache;
pub mod change;
pub mod coherence;
pub mod cooldown;
pub mod events;
pub mod explain;
pub mod freshness;
pub mod kill;
pub mod leader;
pub mod meant;
pub mod memory;
pub mod minted;
pub mod probe;
pub mod refresh;
pub mod registry;
pub mod report;
pub mod revocation;
pub mod schedule;
pub mod singleflight;
pub mod terminal;

pub mod coordinator;
pub mod provider;
pub mod store;

#[cfg(feature = "testing")]
pub mod testing;
