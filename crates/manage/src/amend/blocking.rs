//! Work that those who serve mail do not wait for.

use super::error::AmendError;

/// Runs what reads the disk or takes long away from those who serve mail.
pub async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, AmendError> + Send + 'static,
) -> Result<T, AmendError> {
    tokio::task::spawn_blocking(work).await.map_err(|_| AmendError::Panicked)?
}
