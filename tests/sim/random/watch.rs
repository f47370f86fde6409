//! What must hold of every action, however much is going wrong, and which events have been seen.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use routelet::bgp::header::{MAX_EXTENDED_LENGTH, message_length_within};
use routelet::bgp::update::Treatment;
use routelet::bgp::{Codec, Message, Notification, Update};
use routelet::fib::{Change, Target};
use routelet::prefix::{Family, Prefix};
use routelet::speaker::{Action, ConnectionId, DrainStage, Notice};

use super::rest::AGGREGATE_METRIC;
use crate::world::{Kernel, Watcher};

/// More actions than any of these networks has reason for.
const ACTIONS_MOST: usize = 3_000_000;

/// What has been seen of one network.
#[derive(Debug, Default)]
pub struct Seen {
    /// Events, in the words of the table of those that must be seen.
    pub events: BTreeSet<String>,
    /// What must never happen and did.
    pub violations: Vec<String>,
    /// UPDATEs sent, End-of-RIB marks apart.
    pub updates: usize,
    /// Each member's own prefixes.
    pub own: BTreeMap<&'static str, BTreeSet<Prefix>>,
    /// Members whose kernel somebody has meddled with, so that an aggregate may be missing for a while.
    pub meddled: BTreeSet<&'static str>,
    /// Members to which somebody has said what no speaker says, or that are being given another AS.
    pub provoked: BTreeSet<&'static str>,
    dialled: BTreeSet<(&'static str, ConnectionId)>,
    actions: usize,
}

/// A view of [`Seen`] for the world to report to.
pub struct Reporter(pub Rc<RefCell<Seen>>);

impl Watcher for Reporter {
    fn see(&mut self, name: &'static str, action: &Action, kernel: &Kernel, bridge: bool) {
        let seen = &mut *self.0.borrow_mut();
        seen.actions += 1;
        assert!(seen.actions < ACTIONS_MOST, "the network never comes to rest");
        match action {
            Action::Dial { connection, .. } => drop(seen.dialled.insert((name, *connection))),
            Action::Notice(notice) => seen.notice(notice),
            Action::ChangeRoutes(batch) => seen.changes(name, &batch.changes),
            Action::Send { connection, octets } => {
                let mut rest = &octets[..];
                while let Ok(Some(length)) = message_length_within(MAX_EXTENDED_LENGTH, rest) {
                    seen.message(name, *connection, &rest[..length], kernel, bridge);
                    rest = &rest[length..];
                }
                if !rest.is_empty() {
                    seen.violations.push(format!("{name} sends {} octets of no message", rest.len()));
                }
            }
            Action::Close { .. }
            | Action::AcceptExtended { .. }
            | Action::Keep { .. }
            | Action::WatchPaths(_) => {}
        }
    }
}

impl Seen {
    pub fn event(&mut self, event: impl Into<String>) {
        self.events.insert(event.into());
    }

    fn notice(&mut self, notice: &Notice) {
        match notice {
            Notice::PeerUp { .. } => self.event("session up"),
            Notice::PeerDown { .. } => self.event("session down"),
            Notice::PeerFailed { .. } => self.event("session failed"),
            Notice::Malformed { fault, .. } => self.event(match fault.treatment {
                Treatment::TreatAsWithdraw => "treat-as-withdraw",
                Treatment::AttributeDiscard => "attribute discarded",
            }),
            Notice::Kept { .. } => self.event("paths outlive their session"),
            Notice::LetGo { .. } => self.event("paths that outlived their session let go"),
            Notice::Swept => self.event("stale routes swept"),
            Notice::Draining(DrainStage::Drained) => self.event("drained"),
            Notice::Originated(_) => self.event("own prefix announced"),
            _ => {}
        }
    }

    /// A member never installs a way out for what is its own.
    fn changes(&mut self, name: &'static str, changes: &[Change]) {
        for change in changes {
            if matches!(change, Change::SetGroup(_)) {
                self.event("group of next hops");
            }
            let (Change::Install(route) | Change::Replace(route)) = change else { continue };
            let own = self.own[name].iter().any(|own| own.contains(route.prefix));
            match &route.target {
                Target::Via(_) if own => {
                    self.violations.push(format!("{name} installs a way to its own {}", route.prefix));
                }
                Target::Via(hops) if hops.len() > 1 => self.event("several next hops"),
                _ => {}
            }
        }
    }

    fn message(
        &mut self,
        name: &'static str,
        connection: ConnectionId,
        frame: &[u8],
        kernel: &Kernel,
        bridge: bool,
    ) {
        // What both sides of every session here agree on, but for LOCAL_PREF and its like.
        let mut codec = Codec::initial();
        (codec.four_octet_as, codec.external) = (true, false);
        codec.families = Family::ALL.to_vec();
        (codec.extended_messages, codec.enhanced_refresh) = (true, true);
        match codec.decode(frame) {
            Ok(Message::Update(update)) => self.update(name, &update, kernel, bridge),
            Ok(Message::Notification(notification)) => self.notification(name, connection, &notification),
            Ok(Message::BeginOfRefresh(_)) => self.event("refresh begins"),
            Ok(Message::EndOfRefresh(_)) => self.event("refresh ends"),
            Ok(_) => {}
            Err(error) => self.violations.push(format!("{name} sends what nobody can decode: {error}")),
        }
    }

    /// A member announces its own prefixes only while they can be delivered, and nothing malformed.
    fn update(&mut self, name: &'static str, update: &Update, kernel: &Kernel, bridge: bool) {
        self.event(match update.end_of_rib {
            Some(_) => "End-of-RIB",
            None if update.announced.is_empty() => "withdrawal",
            None => "announcement",
        });
        self.updates += usize::from(update.end_of_rib.is_none());
        if let Some(fault) = update.faults.first() {
            self.violations.push(format!("{name} sends a malformed attribute: {fault:?}"));
        }
        for prefix in update.announced.iter().flat_map(|announcement| &announcement.prefixes) {
            let stands = kernel.get(&(*prefix, AGGREGATE_METRIC)) == Some(&Target::Unreachable);
            let deliverable = bridge && (stands || self.meddled.contains(name));
            if self.own[name].contains(prefix) && !deliverable {
                self.violations.push(format!("{name} announces {prefix}, which it cannot deliver"));
            }
        }
    }

    /// No member complains of what another one says, unless somebody has put words into its mouth.
    fn notification(&mut self, name: &'static str, connection: ConnectionId, said: &Notification) {
        let event = match (said.code, said.subcode) {
            (4, _) => "hold timer expired",
            (6, 1) => "too many prefixes",
            (6, 2) => "administrative shutdown",
            (6, 3) => "peer deconfigured",
            (6, 6) => "new session for a new configuration",
            (6, 7) if self.dialled.contains(&(name, connection)) => "collision: the dialled one goes",
            (6, 7) => "collision: the accepted one goes",
            (1, _) => "bad header answered",
            (2, 2) => "wrong AS answered",
            _ => "another NOTIFICATION",
        };
        self.event(event);
        if matches!(said.code, 1 | 2 | 3 | 5) && !self.provoked.contains(name) {
            self.violations.push(format!("{name} complains: {said}"));
        }
    }
}
