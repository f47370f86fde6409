//! How long to wait before a request is repeated: longer each time, never for all nodes the same.

use std::time::Duration;

/// The first pause. Each is twice the last.
const FIRST: Duration = Duration::from_millis(500);
/// So many times, up to half a minute.
const DOUBLINGS: u32 = 6;
/// The longest that a server may ask for.
const LONGEST_ASKED: Duration = Duration::from_secs(120);

/// The pauses of one watch.
#[derive(Debug)]
pub(super) struct Pace {
    failures: u32,
    random: u64,
}

impl Pace {
    pub(super) fn new(seed: u64) -> Pace {
        // Zero is the one state that the generator never leaves.
        Pace { failures: 0, random: seed | 1 }
    }

    /// Something has worked.
    pub(super) fn good(&mut self) {
        self.failures = 0;
    }

    /// Something has failed: how long to wait, at least as long as the server has `asked` for.
    pub(super) fn pause(&mut self, asked: Option<Duration>) -> Duration {
        let whole = FIRST * 2_u32.pow(self.failures.min(DOUBLINGS));
        self.failures = self.failures.saturating_add(1);
        let asked = asked.unwrap_or_default().min(LONGEST_ASKED);
        // Between half and the whole, so that those who failed together do not come back together.
        let jittered = whole / 2 + whole / 2 * self.roll(1000) / 1000;
        jittered.max(asked + asked / 8 * self.roll(1000) / 1000)
    }

    /// How long a server may let a watch last, in seconds: between four and five minutes.
    pub(super) fn lifetime(&mut self) -> u32 {
        240 + self.roll(60)
    }

    /// A number below `below`, by xorshift64.
    fn roll(&mut self, below: u32) -> u32 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        u32::try_from(self.random % u64::from(below)).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_half_a_minute_and_begin_anew() {
        let mut pace = Pace::new(7);
        for whole in [500, 1000, 2000, 4000, 8000, 16000, 32000, 32000].map(Duration::from_millis) {
            let pause = pace.pause(None);
            assert!(pause >= whole / 2 && pause <= whole, "{pause:?} for {whole:?}");
        }
        pace.good();
        assert!(pace.pause(None) <= FIRST);
    }

    #[test]
    fn what_the_server_asks_for_is_waited_for_within_reason() {
        let mut pace = Pace::new(7);
        let pause = pace.pause(Some(Duration::from_secs(8)));
        assert!(pause >= Duration::from_secs(8) && pause <= Duration::from_secs(9), "{pause:?}");
        assert!(pace.pause(Some(Duration::from_secs(86400))) <= LONGEST_ASKED * 9 / 8);
    }

    #[test]
    fn two_watches_do_not_keep_step() {
        let pauses = |seed| {
            let mut pace = Pace::new(seed);
            [(); 8].map(|()| pace.pause(None))
        };
        assert_ne!(pauses(1), pauses(2));
    }
}
