//! Sets of scopes, compared without regard to order.

use std::sync::Arc;

/// Scopes without duplicates, in one order whatever order they came in (RFC 6749 section 3.3). Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ScopeSet(Arc<[String]>);

impl ScopeSet {
    /// The scopes, ascending.
    pub fn as_slice(&self) -> &[String] {
        &self.0
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromIterator<String> for ScopeSet {
    fn from_iter<I: IntoIterator<Item = String>>(scopes: I) -> Self {
        let mut scopes: Vec<String> = scopes.into_iter().collect();
        scopes.sort_unstable();
        scopes.dedup();
        Self(scopes.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(scopes: &[&str]) -> ScopeSet {
        scopes.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn order_and_duplicates_make_no_other_set() {
        assert_eq!(set(&["b", "a", "b"]), set(&["a", "b"]));
        assert_ne!(set(&["a", "b"]), set(&["a b"]));
        assert_ne!(set(&["a"]), ScopeSet::default());
        assert!(set(&[]).is_empty());
    }
}
