//! What goes wrong between members and beneath them, and what somebody tells them while they run.

use std::time::Duration;

use routelet::speaker::{Departure, Intent, Speaker};
use routelet::time::Instant;

use super::{End, Event, Kernel, Setup, World};

impl World {
    /// Changes what a member is told, and hands its speaker the news if it runs.
    pub fn tell(&mut self, name: &str, tell: impl FnOnce(Option<&mut Speaker>, Instant, &mut Setup)) {
        let name = self.name(name);
        let member = self.members.get_mut(name).unwrap();
        tell(member.speaker.as_mut(), self.now, &mut member.setup);
        self.perform(name);
    }

    /// Takes down the bridge for pods, or puts it up.
    pub fn set_bridge(&mut self, name: &str, up: bool) {
        self.members.get_mut(self.name(name)).unwrap().bridge = up;
        self.tell(name, |speaker, now, _| {
            speaker.into_iter().for_each(|speaker| speaker.handle_bridge(now, up));
        });
    }

    /// Lets a member's kernel refuse every change, or none.
    pub fn set_refusing(&mut self, name: &str, refusing: bool) {
        self.members.get_mut(self.name(name)).unwrap().refusing = refusing;
    }

    /// What somebody else does to a member's kernel, and tells a speaker that runs.
    pub fn meddle(&mut self, name: &str, meddle: impl FnOnce(&mut Kernel)) {
        let name = self.name(name);
        let member = self.members.get_mut(name).unwrap();
        meddle(&mut member.kernel);
        let held = member.groups.found(&member.kernel);
        self.tell(name, |speaker, now, _| {
            if let Some(speaker) = speaker {
                speaker.handle_kernel_dump(now, held);
            }
        });
    }

    /// Ends a member as SIGTERM would, to be started again.
    pub fn restart(&mut self, name: &str, pause: Duration) {
        self.end(name, Departure::Restart);
        self.run_for(pause);
        self.start(name);
    }

    /// Ends a member for good: it takes leave of its peers.
    pub fn leave(&mut self, name: &str) {
        self.end(name, Departure::ForGood);
    }

    fn end(&mut self, name: &str, departure: Departure) {
        self.tell(name, |speaker, now, _| {
            speaker.into_iter().for_each(|speaker| speaker.handle_shutdown(now, departure));
        });
        self.stop(name);
    }

    /// Empties a member's kernel, as a reboot does.
    pub fn wipe(&mut self, name: &str) {
        let member = self.members.get_mut(self.name(name)).unwrap();
        member.kernel.clear();
        member.groups.clear();
    }

    /// What a member is to do from its next start on.
    pub fn set_intent(&mut self, name: &str, intent: Intent) {
        self.members.get_mut(self.name(name)).unwrap().setup.intent = intent.into();
    }

    pub fn isolate(&mut self, name: &str) {
        let name = self.name(name);
        self.isolated.insert(name);
    }

    /// Ends all partitions; what was held is delivered.
    pub fn heal(&mut self) {
        self.isolated.clear();
        for event in std::mem::take(&mut self.held) {
            let at = match &event {
                Event::Octets { to: end, .. } | Event::Closed { end, .. } => self.arrival_at(*end),
                _ => self.now + self.delay(),
            };
            self.schedule(at, event);
        }
    }

    /// Every stream, by one of its ends.
    pub fn connected_pairs(&self) -> Vec<End> {
        self.streams.iter().filter(|(a, b)| a < b).map(|(a, _)| *a).collect()
    }

    /// Breaks a stream for both ends.
    pub fn reset(&mut self, end: End) {
        self.break_stream(end);
        self.deliver(Event::Closed { end, why: "connection reset" });
    }

    /// Loses a stream without a word to either end.
    pub fn lose(&mut self, end: End) {
        if let Some(other) = self.streams.remove(&end) {
            self.streams.remove(&other);
        }
    }

    /// Lets an end read nothing for a while. The other end's socket takes nothing more meanwhile.
    pub fn stall(&mut self, end: End, duration: Duration) {
        self.stalled.insert(end, self.now + duration);
    }

    /// Puts octets into a stream, as if this end had sent them.
    pub fn inject(&mut self, from: End, octets: Vec<u8>) {
        self.send(from, octets.into());
    }

    /// The other end of a stream.
    pub fn other_end(&self, end: End) -> Option<End> {
        self.streams.get(&end).copied()
    }

    /// The most octets that any connection holds because its peer does not read.
    pub fn most_unsent(&self) -> usize {
        self.members.values().flat_map(|m| m.unsent.values().copied()).max().unwrap_or(0)
    }

    /// Notes what a socket has not taken.
    pub(super) fn hold_unsent(&mut self, from: End, count: usize) {
        *self.members.get_mut(from.0).unwrap().unsent.entry(from.1).or_default() += count;
    }

    /// An end reads again: the other end's socket takes all there is.
    pub(super) fn drain_unsent(&mut self, reader: End) {
        let Some(writer) = self.streams.get(&reader).copied() else { return };
        let Some(member) = self.members.get_mut(writer.0) else { return };
        let Some(count) = member.unsent.remove(&writer.1) else { return };
        if let Some(speaker) = &mut member.speaker {
            speaker.handle_sent(self.now, writer.1, count);
        }
        self.perform(writer.0);
    }

    /// Puts an end to everything that is still going wrong, but for stalls, which end by themselves.
    pub fn mend(&mut self) {
        self.heal();
        for name in self.names() {
            self.set_refusing(name, false);
            self.set_bridge(name, true);
        }
    }
}
