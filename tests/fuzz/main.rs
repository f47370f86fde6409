//! Fuzzing on the stable toolchain: a target for each decoder, and one for a whole speaker.
//!
//! `cargo test --test fuzz` replays the seeds and tries some thousand mutations of a fixed seed.
//! Hours are spent by hand; `tests/README.md` says how, and how a failure is replayed.
//!
//! | target | input |
//! |---|---|
//! | `header` | a stream |
//! | `open`, `update`, `notification`, `refresh`, `message` | a message, under every codec |
//! | `capabilities`, `attributes`, `nlri` | that part of a message |
//! | `manifests`, `cni` | text |
//! | `store` | a program of files in the address store's directory, and of its operations |
//! | `bfd` | a program of packets, time and configurations for BFD |
//! | `speaker` | a program of connections, octets, time, and the kernel's answers |
//!
//! Whatever the input: no panic, no hang, no memory beyond a bound. Beyond that each target says what
//! holds for what it has decoded: what was read can be written and reads the same, what goes into a
//! log is one line, what a speaker sends it would accept itself.

#![allow(clippy::unwrap_used, reason = "a test may panic, in its helpers as well")]
#![allow(clippy::needless_update, reason = "what else a codec may have is as it is before an OPEN")]

mod bfd;
mod engine;
mod mutate;
mod program;
mod random;
mod seeds;
mod speaker;
mod text;
mod wire;

/// The table of `tests/conformance`, for the messages in it; what plays it out is not needed.
#[allow(dead_code, reason = "what the messages are to bring about is for that test")]
#[path = "../conformance/peer.rs"]
mod peer;
#[allow(dead_code, reason = "what the messages are to bring about is for that test")]
#[path = "../conformance/rows/mod.rs"]
mod rows;
#[allow(dead_code, reason = "what the messages are to bring about is for that test")]
#[path = "../conformance/side.rs"]
mod side;
mod stage;
mod store;

use peak_alloc::PeakAlloc;

/// Counts what one input takes.
#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

macro_rules! targets {
    ($($name:ident: $target:path;)*) => {$(
        #[test]
        fn $name() {
            engine::fuzz(&$target);
        }
    )*};
}

targets! {
    header: wire::HEADER;
    open: wire::OPEN;
    update: wire::UPDATE;
    notification: wire::NOTIFICATION;
    refresh: wire::REFRESH;
    message: wire::MESSAGE;
    capabilities: wire::CAPABILITIES;
    attributes: wire::ATTRIBUTES;
    nlri: wire::NLRI;
    manifests: text::MANIFESTS;
    cni: text::CNI;
    store: store::STORE;
    bfd: bfd::BFD;
    speaker: speaker::SPEAKER;
}
