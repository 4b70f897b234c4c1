//! What a test lets run beside itself.

use tokio::task::JoinHandle;

/// Runs `task` beside the test; it ends with the test's runtime at the latest.
#[expect(
    clippy::disallowed_methods,
    reason = "a test has no lifecycle to take part in"
)]
pub fn background<T: Send + 'static>(
    task: impl Future<Output = T> + Send + 'static,
) -> JoinHandle<T> {
    tokio::spawn(task)
}
