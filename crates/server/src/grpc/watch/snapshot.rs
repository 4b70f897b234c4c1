//! The snapshot at the start of a stream: every credential that is invalid now, in pages.

use evergrant_core::events::filter::Filter;
use evergrant_core::events::{CredentialInvalidated, EventKind};
use evergrant_core::ids::CredentialKey;
use evergrant_core::store::{CredentialQuery, CredentialView, Directory, StoreError};

const PAGE: u32 = 500;

/// Pages through the invalid credentials that a filter admits.
#[derive(Debug)]
pub struct Snapshot {
    query: CredentialQuery,
    done: bool,
    /// How many were found so far.
    pub count: u64,
}

impl Snapshot {
    /// A snapshot for `filter`.
    pub fn new(filter: &Filter) -> Self {
        let wants_invalidations =
            filter.kinds.is_empty() || filter.kinds.contains(&EventKind::CredentialInvalidated);
        Self {
            query: CredentialQuery {
                tenant: filter.tenant.clone(),
                ids: filter.credentials.iter().cloned().collect(),
                providers: filter.providers.iter().cloned().collect(),
                invalidated: Some(true),
                limit: PAGE,
                ..CredentialQuery::default()
            },
            done: !wants_invalidations,
            count: 0,
        }
    }

    /// The next page; `None` after the last.
    pub async fn next_page(
        &mut self,
        directory: &(impl Directory + ?Sized),
    ) -> Result<Option<Vec<CredentialInvalidated>>, StoreError> {
        if self.done {
            return Ok(None);
        }
        let page = directory.list_credentials(&self.query).await?;
        self.done = page.len() < usize::try_from(PAGE).unwrap_or(usize::MAX);
        self.query.after = page.last().map(|view| view.credential.key.clone());
        let dead: Vec<_> = page.into_iter().filter_map(to_event).collect();
        self.count += u64::try_from(dead.len()).unwrap_or_default();
        Ok(Some(dead))
    }
}

/// The state of a dead credential as the event that told it.
fn to_event(view: CredentialView) -> Option<CredentialInvalidated> {
    let CredentialView {
        credential,
        grant,
        integrations,
    } = view;
    let dead = grant.state.invalidation()?.clone();
    let key: CredentialKey = credential.key;
    Some(CredentialInvalidated {
        credential: key,
        provider: grant.client.provider,
        generation: grant.generation,
        reason: dead.reason,
        provider_error: dead.provider_error,
        message: dead.message,
        integrations,
        at: dead.at,
        labels: credential.labels,
    })
}
