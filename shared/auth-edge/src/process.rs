//! The process itself.

/// Has the system keep no image of this process's memory when it dies: keys and secrets stand in it. Where that cannot be
/// had, it is as it was.
pub fn keep_no_core() {
    #[cfg(unix)]
    let _ = rlimit::setrlimit(rlimit::Resource::CORE, 0, 0);
}
