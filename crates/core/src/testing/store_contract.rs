//! The contract of the store port as tests, which every implementation runs:
//! [`store_contract_tests!`](crate::store_contract_tests) makes one test of each claim.

#![expect(
    clippy::unwrap_used,
    reason = "a claim that does not hold panics, as a test does"
)]

#[expect(missing_docs, reason = "a claim's name says what it checks")]
pub mod ageing;
#[expect(missing_docs, reason = "a claim's name says what it checks")]
pub mod attempts;
#[expect(missing_docs, reason = "a claim's name says what it checks")]
pub mod brakes;
#[expect(missing_docs, reason = "a claim's name says what it checks")]
pub mod changes;
#[expect(missing_docs, reason = "a claim's name says what it checks")]
pub mod derived;
#[expect(missing_docs, reason = "a claim's name says what it checks")]
pub mod kept;
#[expect(missing_docs, reason = "a claim's name says what it checks")]
pub mod kills;
#[expect(missing_docs, reason = "a claim's name says what it checks")]
pub mod leases;
#[expect(missing_docs, reason = "a claim's name says what it checks")]
pub mod listings;
#[expect(missing_docs, reason = "a claim's name says what it checks")]
pub mod log;
#[expect(missing_docs, reason = "a claim's name says what it checks")]
pub mod reports;
mod sample;
#[expect(missing_docs, reason = "a claim's name says what it checks")]
pub mod schedule;
#[expect(missing_docs, reason = "a claim's name says what it checks")]
pub mod scopes;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::store::Store;

/// A store under test, empty when it is made.
#[async_trait]
pub trait StoreHarness: Send + Sync + 'static {
    /// The store.
    fn store(&self) -> Arc<dyn Store>;

    /// Lets `duration` pass by the store's clock: for its leases, for what it changed, for its events.
    async fn pass(&self, duration: Duration);
}

/// Makes one test of each claim of the contract:
/// `store_contract_tests!(#[tokio::test] Harness::new());`, where the expression is awaited and gives a
/// [`StoreHarness`].
#[macro_export]
macro_rules! store_contract_tests {
    (#[$attr:meta] $harness:expr) => {
        $crate::store_contract_tests! { @all [$attr] ($harness)
            leases::a_snapshot_shows_the_lease_until_the_attempt_ends,
            leases::of_50_owners_exactly_one_claims_a_grant,
            leases::a_claim_needs_the_generation_that_was_read,
            leases::a_live_lease_keeps_others_out_and_one_that_ran_out_does_not,
            leases::an_attempt_that_never_told_its_end_makes_the_next_one_a_takeover,
            leases::an_attempt_that_ended_well_leaves_no_doubt,
            leases::a_doubt_outlives_attempts_that_end_well,
            leases::an_ambiguous_end_makes_the_next_one_a_takeover,
            leases::an_attempt_ends_once_and_only_under_the_latest_epoch,
            leases::a_commit_needs_no_lease_and_counts_once,
            leases::a_commit_on_a_stale_generation_changes_nothing,
            leases::a_dead_grant_is_neither_claimed_nor_committed,
            leases::tokens_come_back_as_they_were_stored,
            leases::an_orphan_is_kept_beside_the_grant,
            leases::the_orphans_of_a_generation_are_found_in_the_order_in_which_they_were_kept,
            leases::orphans_are_pruned_when_they_were_kept_for_long,
            schedule::due_are_the_active_whose_time_has_come_longest_first,
            schedule::a_probe_takes_the_healthy_grant_that_expires_first,
            schedule::a_probe_takes_what_can_be_refreshed_first_and_nothing_of_a_dead_grant,
            schedule::a_probe_is_taken_once_a_wait,
            schedule::due_gives_no_client_more_than_its_share,
            schedule::every_raise_of_a_version_is_seen_for_a_while,
            schedule::a_deleted_grant_is_seen_for_a_while_as_newer_than_any,
            schedule::grants_are_counted_by_provider_and_state,
            attempts::attempts_come_back_as_they_were_told_the_latest_first,
            attempts::the_latest_attempts_are_remembered_and_each_once,
            attempts::attempts_are_forgotten_when_they_are_old,
            attempts::a_doubt_shows_once_nobody_is_at_it_and_until_new_tokens_are_stored,
            ageing::dates_come_back_and_end_with_the_grant,
            ageing::a_consent_begins_anew_and_a_refresh_goes_on,
            ageing::dating_a_grant_leaves_everything_else,
            ageing::dating_a_grant_needs_its_generation_and_that_it_lives,
            ageing::what_is_to_be_announced_comes_longest_due_first,
            ageing::a_forecast_has_every_end_soonest_first_in_pages,
            ageing::every_filter_of_a_forecast_holds,
            scopes::a_grant_has_its_credentials_and_their_integrations,
            scopes::a_credential_that_does_not_exist_has_the_integrations_that_need_it,
            scopes::an_account_has_the_grant_that_its_credentials_share,
            scopes::an_account_has_all_its_grants,
            scopes::a_refresh_token_is_found_in_every_grant_of_its_tenant_and_client,
            scopes::a_refresh_token_is_known_of_those_who_use_it_in_another_tenant_or_client,
            scopes::an_integration_has_its_credentials_and_the_wanted_ones,
            scopes::a_client_has_its_health,
            brakes::refusals_and_refreshes_of_the_last_minute_are_counted,
            brakes::a_held_grant_is_active_and_waits_for_its_turn,
            brakes::a_released_brake_lets_all_its_grants_go,
            brakes::a_suspect_grant_that_gets_tokens_or_dies_is_held_no_more,
            brakes::every_client_of_which_something_is_known_is_listed,
            changes::a_change_is_applied_with_its_events_and_raises_versions_once,
            changes::a_stale_revision_conflicts,
            changes::one_unmet_expectation_undoes_the_whole_change,
            changes::every_kind_of_write_expects_its_row,
            changes::several_grants_have_one_account_and_no_two_rows_one_name,
            changes::no_credential_is_left_without_its_grant,
            changes::an_integration_changes_its_needs,
            changes::a_restored_grant_is_as_good_as_new,
            changes::a_touch_beside_another_write_adds_nothing,
            kept::tokens_that_are_kept_stay_with_their_lease_and_its_commit,
            kept::tokens_that_are_kept_make_no_dead_grant_active_and_give_a_suspect_one_no_turn,
            kept::the_same_refresh_token_replaces_itself_only_while_nobody_may_spend_it,
            derived::a_derived_grant_is_found_by_its_parent_and_its_scopes,
            derived::a_grant_has_those_that_are_derived_from_it,
            derived::no_derived_grant_is_left_without_its_parent,
            derived::derived_grants_do_not_count,
            derived::every_grant_type_comes_back,
            log::eight_writers_number_events_densely_in_commit_order,
            log::every_kind_of_event_comes_back_as_it_was_told,
            log::a_page_holds_what_was_asked_for_and_where_the_log_stands,
            log::the_last_events_of_a_credential_are_found,
            log::pruning_raises_the_floor_and_forgets_what_is_old,
            reports::a_report_has_the_grants_of_its_accounts_over_all_tenants,
            reports::a_report_has_the_accounts_within_an_account,
            reports::tokens_that_are_newer_outweigh_a_report,
            reports::a_report_finds_a_grant_by_its_refresh_token,
            reports::a_delivery_is_remembered_once_and_with_its_whole_change,
            reports::deliveries_are_forgotten_when_they_are_old,
            reports::it_is_known_of_a_dead_grant_whether_somebody_reported_it,
            kills::a_kill_takes_the_grants_of_its_target_that_nobody_reported_dead_by_id,
            kills::a_kill_takes_one_that_was_found_dead_until_it_is_reported,
            kills::a_kill_takes_nothing_that_came_after_it_began,
            kills::a_kill_takes_a_grant_once,
            listings::credentials_are_listed_by_key_in_pages,
            listings::every_filter_of_credentials_holds,
            listings::labels_of_odd_characters_are_kept_and_found,
            listings::integrations_are_listed_by_name_with_every_filter,
            listings::what_does_not_exist_is_none,
            listings::the_store_answers_a_ping,
        }
    };
    (@all $attrs:tt $harness:tt $($module:ident :: $claim:ident),* $(,)?) => {
        $($crate::store_contract_tests! { @one $attrs $harness $module $claim })*
    };
    (@one [$attr:meta] ($harness:expr) $module:ident $claim:ident) => {
        #[$attr]
        async fn $claim() {
            $crate::testing::store_contract::$module::$claim(&$harness.await).await;
        }
    };
}
