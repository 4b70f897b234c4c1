//! The refresh protocol as its callers see it, on one replica and on several, over ports in memory.
//!
//! Names and comments carry the invariant that a test holds: R for refreshing, E for events, L for liveness.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod protocol {
    mod ageing;
    mod attempts;
    mod brake;
    mod budgets;
    mod chaos;
    mod client_doubted;
    mod client_rejected;
    mod clock_ahead;
    mod coherence;
    mod configured;
    mod cooling;
    mod coordinator_faults;
    mod deletions;
    mod doomed;
    mod escrow;
    mod etag;
    mod events;
    mod exchange;
    mod explain;
    mod heal;
    mod instagram;
    mod leaving_callers;
    mod left_grants;
    mod minted;
    mod probe_waits;
    mod probes;
    mod refused_in_vain;
    mod rejected_token;
    mod renewal;
    mod replica;
    mod reported_dead;
    mod reports;
    mod revoke;
    mod revoke_scopes;
    mod rotation;
    mod same_token;
    mod scope_sets;
    mod shared_grants;
    mod single_call;
    mod stated_end;
    mod store_faults;
    mod tail;
    mod takeover;
    mod terminal;
    mod unsaved;
    mod unusable;
    mod validity;
    mod withdraw;
    mod world;
}
