/// The files that builds read.
pub trait Inputs: Send + Sync {
    /// What of the files of `service` has changed since they were hashed, in words; `None` where nothing has.
    /// Blocking.
    fn changed(&self, service: &str) -> Option<String>;
}
