//! Which boot of the machine this is.
//!
//! No network namespace outlives a boot, so a reservation of an older one has nobody left to use
//! its address. Clocks cannot tell: many machines boot before they know the time.

use std::fmt;
use std::fs;
use std::str::FromStr;

/// Where the kernel says it (random(4)): a UUID, new with every boot.
const PATH: &str = "/proc/sys/kernel/random/boot_id";

/// One boot, by the first eight hexadecimal digits of its id.
///
/// That two boots in a row share them happens once in four billion, and then only makes the
/// reservations of the first look like this boot's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BootId(u32);

impl BootId {
    /// The boot now; `None` where `/proc` does not say.
    pub fn current() -> Option<BootId> {
        fs::read_to_string(PATH).ok()?.get(..8)?.parse().ok()
    }

    /// The digits as a number.
    pub(super) fn number(self) -> u32 {
        self.0
    }
}

impl fmt::Display for BootId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0)
    }
}

impl FromStr for BootId {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<BootId, Self::Err> {
        u32::from_str_radix(text, 16).map(BootId)
    }
}
