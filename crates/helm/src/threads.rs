//! Work that several threads share.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{Builder, scope};

/// Does `work` to each item, on so many threads, that of the caller included, and waits for all of them. A thread ends early when `work`
/// gives [`ControlFlow::Break`]. `stack_size` is in bytes.
pub(crate) fn for_each<T: Sync>(
    items: &[T],
    threads: usize,
    stack_size: usize,
    work: impl Fn(&T) -> ControlFlow<()> + Sync,
) {
    let next = AtomicUsize::new(0);
    let share = || {
        while let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed)) {
            if work(item).is_break() {
                break;
            }
        }
    };
    scope(|scope| {
        for _ in 1..threads {
            // Without this one the others do it alone.
            let _ = Builder::new().name("helm".to_owned()).stack_size(stack_size).spawn_scoped(scope, share);
        }
        share();
    });
}
