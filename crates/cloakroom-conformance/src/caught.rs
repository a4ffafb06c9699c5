//! Panics of cases, caught with their place.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::cell::{Cell, RefCell};
use std::panic::{self, AssertUnwindSafe, PanicHookInfo, catch_unwind};
use std::sync::Once;

use crate::suite::Failure;

/// Runs a case and returns its panic as a failure, which says where it panicked.
///
/// The panic is not printed as well: a harness prints failures, and a case that has to panic is no news. Only panics of
/// the calling thread are the case's. For this, the first call puts a hook of its own before the
/// [hook](std::panic::set_hook) for panics that it finds.
///
/// # Errors
/// [`Failure`] where the case panicked.
pub fn caught(case: impl FnOnce()) -> Result<(), Failure> {
    static HOOK: Once = Once::new();
    HOOK.call_once(hear_panics);
    let _catching = Catching::begin();
    // One that panicked leaves nothing behind that another one would see: its store and its place are its own.
    catch_unwind(AssertUnwindSafe(case)).map_err(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("the case panicked");
        // A panic that was carried over from another thread was heard there.
        let heard = HEARD.take().filter(|heard| heard.contains(text));
        Failure::new(heard.unwrap_or_else(|| text.to_owned()))
    })
}

/// Keeps the words of panics on threads that catch them; all others go to the hook that was there before.
fn hear_panics() {
    let before = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        if CATCHERS.get() == 0 {
            before(info);
        } else {
            HEARD.set(Some(words(info)));
        }
    }));
}

/// The place of a panic, its message and, where the surroundings ask for one, its backtrace.
fn words(info: &PanicHookInfo<'_>) -> String {
    let trace = Backtrace::capture();
    if trace.status() == BacktraceStatus::Captured { format!("{info}\n{trace}") } else { info.to_string() }
}

/// While this lives, panics of this thread are caught.
struct Catching;

impl Catching {
    fn begin() -> Self {
        CATCHERS.set(CATCHERS.get().saturating_add(1));
        Self
    }
}

impl Drop for Catching {
    fn drop(&mut self) {
        CATCHERS.set(CATCHERS.get().saturating_sub(1));
    }
}

thread_local! {
    /// How many calls of [`caught`] this thread is in.
    static CATCHERS: Cell<u32> = const { Cell::new(0) };

    /// What the last panic on this thread said.
    static HEARD: RefCell<Option<String>> = const { RefCell::new(None) };
}

#[cfg(test)]
mod tests {
    use super::*;

    fn says(case: impl FnOnce()) -> String {
        caught(case).unwrap_err().to_string()
    }

    #[test]
    fn a_panic_is_told_with_its_place() {
        let said = says(|| panic!("the moon is {}", "down"));
        assert!(said.starts_with(&format!("panicked at {}:", file!())), "{said}");
        assert!(said.contains("the moon is down"), "{said}");
        assert_eq!(caught(|| {}), Ok(()));
    }

    #[test]
    fn a_case_may_catch_another_one() {
        let said = says(|| {
            let inner = says(|| panic!("within"));
            assert!(inner.contains("within"), "{inner}");
            panic!("around");
        });
        assert!(said.contains("around") && !said.contains("within"), "{said}");
    }

    #[test]
    fn a_panic_from_another_thread_keeps_its_text() {
        let said = says(|| {
            let here = catch_unwind(|| panic!("here"));
            assert!(here.is_err());
            panic::resume_unwind(std::thread::spawn(|| panic!("there")).join().unwrap_err())
        });
        assert_eq!(said, "there");
    }
}
