//! What has gone wrong with a peer, kept for whoever asks: malformed attributes (RFC 7606) and the
//! NOTIFICATIONs that ended its sessions. Bounded, whatever the peer sends.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use super::view::{FaultView, NotificationView};
use crate::bgp::session::Exchanged;
use crate::bgp::update::{AttributeFault, Treatment};
use crate::time::Instant;

/// How many faults are kept, the latest.
const KEPT: usize = 8;

/// Malformed attributes of one peer.
#[derive(Debug, Default)]
pub(super) struct Faults {
    withdrawn: u64,
    discarded: u64,
    /// Kinds that have been reported already.
    reported: BTreeSet<(u8, Treatment)>,
    /// The latest first.
    last: VecDeque<(Instant, AttributeFault)>,
}

impl Faults {
    /// Counts and keeps a fault. Whether it is the peer's first of its kind, and to be reported: one
    /// that sends a thousand of them must not fill the log, and one whose session they keep ending
    /// must not either.
    pub(super) fn note(&mut self, now: Instant, fault: &AttributeFault) -> bool {
        match fault.treatment {
            Treatment::TreatAsWithdraw => self.withdrawn += 1,
            Treatment::AttributeDiscard => self.discarded += 1,
        }
        self.last.truncate(KEPT - 1);
        self.last.push_front((now, fault.clone()));
        self.reported.insert((fault.code, fault.treatment))
    }

    /// How many there were whose prefixes were treated as withdrawn.
    pub(super) fn withdrawn(&self) -> u64 {
        self.withdrawn
    }

    /// How many there were that were discarded alone.
    pub(super) fn discarded(&self) -> u64 {
        self.discarded
    }

    /// The latest, the newest first.
    pub(super) fn views(&self, now: Instant) -> Vec<FaultView> {
        let view = |(at, fault): &(Instant, AttributeFault)| FaultView {
            ago: now - *at,
            code: fault.code,
            treatment: fault.treatment,
            what: fault.what.clone(),
            bytes: fault.bytes.clone(),
        };
        self.last.iter().map(view).collect()
    }
}

/// The last NOTIFICATIONs over all sessions of a peer.
#[derive(Debug, Clone, Default)]
pub(super) struct Notifications {
    pub(super) sent: Option<Exchanged>,
    pub(super) received: Option<Exchanged>,
}

impl Notifications {
    /// Takes over what is later.
    pub(super) fn merge(&mut self, sent: Option<&Exchanged>, received: Option<&Exchanged>) {
        later(&mut self.sent, sent);
        later(&mut self.received, received);
    }

    /// Both as they are shown: the one sent, and the one received.
    pub(super) fn views(&self, now: Instant) -> [Option<NotificationView>; 2] {
        [&self.sent, &self.received]
            .map(|of| of.as_ref().map(|exchanged| view(exchanged, now - exchanged.at)))
    }
}

fn later(known: &mut Option<Exchanged>, other: Option<&Exchanged>) {
    if let Some(other) = other
        && known.as_ref().is_none_or(|known| known.at <= other.at)
    {
        *known = Some(other.clone());
    }
}

fn view(exchanged: &Exchanged, ago: Duration) -> NotificationView {
    /// How much of the data is shown.
    const SHOWN: usize = 64;
    let notification = &exchanged.notification;
    let (name, inner) = (notification.reason().to_string(), notification.encapsulated());
    NotificationView {
        ago,
        code: notification.code,
        subcode: notification.subcode,
        name: match &inner {
            Some(inner) => format!("{name} ({})", inner.reason()),
            None => name,
        },
        communication: inner.as_ref().unwrap_or(notification).communication(),
        data: notification.data.iter().copied().take(SHOWN).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bgp::{Notification, Reason};

    #[test]
    fn a_hard_reset_is_shown_with_what_it_is_about() {
        let inner = Notification::with_communication(Reason::ADMINISTRATIVE_SHUTDOWN, "new switch");
        let exchanged = Exchanged { at: Instant::ORIGIN, notification: inner.into_hard_reset() };
        let shown = view(&exchanged, Duration::ZERO);
        assert_eq!(shown.name, "Cease: Hard Reset (Cease: Administrative Shutdown)");
        assert_eq!((shown.subcode, shown.communication.as_deref()), (9, Some("new switch")));
    }

    fn fault(code: u8, treatment: Treatment) -> AttributeFault {
        AttributeFault { code, treatment, what: format!("number {code}"), bytes: vec![code] }
    }

    #[test]
    fn each_kind_is_reported_once_and_all_are_counted_and_few_kept() {
        let mut faults = Faults::default();
        let mut now = Instant::ORIGIN;
        let mut reported = 0;
        for round in 0..3 {
            for code in 0..10 {
                now = now + Duration::from_secs(1);
                let treatment =
                    if round == 2 { Treatment::AttributeDiscard } else { Treatment::TreatAsWithdraw };
                reported += usize::from(faults.note(now, &fault(code, treatment)));
            }
        }
        assert_eq!(reported, 20, "ten codes, two treatments");
        assert_eq!((faults.withdrawn(), faults.discarded()), (20, 10));
        let views = faults.views(now);
        assert_eq!(views.len(), KEPT);
        assert_eq!((views[0].code, views[0].ago), (9, Duration::ZERO));
        assert_eq!((views[7].code, views[7].ago), (2, Duration::from_secs(7)));
    }
}
