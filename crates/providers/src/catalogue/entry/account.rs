//! `account` of `[response]`: what names the account at the provider.

/// `account`: what may name the account, in the order in which it is looked for. The first that does counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountNames(pub Vec<AccountName>);

/// A pointer, or `{ join, with }`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountName {
    /// `join`: JSON pointers (RFC 6901) to what makes up the name, with `:` between; all of them must lead to a value.
    pub join: Vec<String>,
    /// `with`: it names the account only of an answer that has something there.
    pub with: Option<String>,
}
