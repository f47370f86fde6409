//! The addresses that the rows of `tests/conformance` name, without the daemon they are played to.

/// Stands where that test has its rig.
pub struct Rig;

impl Rig {
    pub const DAEMON: [u8; 4] = [192, 168, 1, 11];
    pub const OUTSIDE: [u8; 4] = [192, 168, 1, 1];
    pub const INSIDE: [u8; 4] = [192, 168, 1, 12];
    pub const NARROW: [u8; 4] = [192, 168, 1, 2];

    /// Every row is that of the peer that the fuzzed speaker has most sessions with.
    pub fn peer(_: u16) -> [u8; 4] {
        Rig::OUTSIDE
    }
}
