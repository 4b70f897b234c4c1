//! A strict provider, for demonstrations, trials and tests.
