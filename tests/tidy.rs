//! The rules of the repository, as tests. Each rule is a function from text to breaches, shown to fail on an
//! example, and then held against every file.

#[path = "tidy/dependencies.rs"]
mod dependencies;
#[path = "tidy/documents.rs"]
mod documents;
#[path = "tidy/observability.rs"]
mod observability;
#[path = "tidy/repository.rs"]
mod repository;
#[path = "tidy/sources.rs"]
mod sources;
#[path = "tidy/versions.rs"]
mod versions;
