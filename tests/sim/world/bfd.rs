//! BFD beside each speaker: its packets are lost where a stream would wait.

use routelet::bfd::{Action, Arrival, Bfd};
use routelet::speaker::Speaker;

use super::{Event, World};

impl World {
    /// Lets something happen to a member's BFD, then carries out what it wants done.
    pub(super) fn with_bfd(&mut self, name: &'static str, speaker: &mut Speaker, f: impl FnOnce(&mut Bfd)) {
        f(&mut self.members.get_mut(name).unwrap().bfd);
        while let Some(action) = self.members.get_mut(name).unwrap().bfd.poll_action() {
            match action {
                Action::Send { path, octets } => {
                    let own = &self.members[name].setup.addresses;
                    let like = |a: &&std::net::IpAddr| a.is_ipv4() == path.remote.is_ipv4();
                    let remote = path.local.or(own.iter().find(like).copied()).unwrap();
                    let (port, ttl, interface) = (path.port(), 255, String::new());
                    let waited = std::time::Duration::ZERO;
                    let arrival = Arrival { remote, local: path.remote, interface, port, ttl, waited };
                    let to = self.by_address[&path.remote];
                    let at = self.now + self.delay();
                    let last = self.datagrams.entry((name, to)).or_insert(at);
                    *last = at.max(*last);
                    let at = *last;
                    self.schedule(at, Event::Datagram { to, arrival, octets });
                }
                Action::Changed { path, change } => speaker.handle_path_change(self.now, &path, &change),
                Action::Removed { .. } => {}
            }
        }
    }

    pub(super) fn let_bfd_expire(&mut self, name: &'static str) {
        let Some(mut speaker) = self.members.get_mut(name).unwrap().speaker.take() else { return };
        let now = self.now;
        self.with_bfd(name, &mut speaker, |bfd| bfd.handle_timeout(now));
        self.members.get_mut(name).unwrap().speaker = Some(speaker);
    }
}
