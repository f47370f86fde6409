//! How much looking up a verdict takes: counted where tests bound it, and nothing elsewhere.

#[cfg(test)]
thread_local! {
    static STEPS: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

/// A prefix was compared with an entry of a list, or a community looked up in a set.
pub(super) fn step() {
    #[cfg(test)]
    STEPS.set(STEPS.get() + 1);
}

/// Steps of this thread while `f` ran, and what it returned.
#[cfg(test)]
pub(super) fn steps_of<T>(f: impl FnOnce() -> T) -> (usize, T) {
    let before = STEPS.get();
    let result = f();
    (STEPS.get() - before, result)
}
