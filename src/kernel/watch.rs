//! The watch: what others do to the kernel's routes, links and addresses while we run.
//!
//! Keeps a mirror of what next hops are resolved by, from one dump and from every notice since, so that
//! a link that fails is acted on without asking the kernel anything. What the kernel is silent about is in
//! the mirror's description; so that an error of ours about it does not last, the kernel is looked at
//! again whenever it has been quiet for a while after news.
//!
//! Nothing is queued here beyond what is told: news wait in the socket's buffer, and when that runs over,
//! the kernel says so and a resync is due ([`Event::Overrun`]). What we do ourselves never gets there
//! ([`Watch::ignoring`]).

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, ErrorKind};
use std::net::IpAddr;
use std::time::Duration;

use rtnetlink::MulticastGroup;
use rtnetlink::sys::protocols::NETLINK_ROUTE;
use rtnetlink::sys::{AsyncSocket, AsyncSocketExt, SocketAddr, TokioSocket};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::frame::{Frame, frames};
use super::look::Looker;
use super::mirror::{Effect, Mirror};
use super::netlink_socket::set_receive_buffer;
use super::notice::{Notice, RouteKey, is_our_route, our_route};
use super::routes::Ownership;
use super::{Error, filter};
use crate::fib::Route;
use crate::prefix::Prefix;
use crate::rib::next_hop::UnderlayRoute;

/// What is subscribed to.
const GROUPS: [MulticastGroup; 6] = [
    MulticastGroup::Link,
    MulticastGroup::Ipv4Ifaddr,
    MulticastGroup::Ipv6Ifaddr,
    MulticastGroup::Ipv4Route,
    MulticastGroup::Ipv6Route,
    MulticastGroup::Nexthop,
];

/// Octets of news that may wait to be read: about 20,000 route changes, for the kernel
/// takes twice what is asked for.
const BUFFER: usize = 8 << 20;

/// Largest datagram that the kernel sends.
const DATAGRAM: usize = 64 << 10;

/// Datagrams that are read before what they say is reported, however many more there are.
const AT_ONCE: usize = 256;

/// Routes of ours that are reported one by one; of more, the kernel is to be asked.
const OURS_MOST: usize = 128;

/// Notices that are kept while the kernel is being looked at. Where there are more, it is looked at once more.
const KEPT_MOST: usize = 100_000;

/// How long the kernel must have been quiet before the mirror is compared with it.
const QUIET: Duration = Duration::from_secs(1);

/// Looking takes at most one part in so many of the time.
const LOOKING_SHARE: u32 = 20;

/// Something that the kernel or another program did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Next hops may resolve differently: see [`Watch::underlay`]. The first says that this is known at all.
    UnderlayChanged(Change),
    /// A route of ours was deleted, changed or added, and not by a conversation that the watch
    /// [ignores](Watch::ignoring).
    OursChanged {
        /// Destination.
        prefix: Prefix,
        /// The kernel's priority.
        metric: u32,
        /// What stands there now and bears our protocol number, in a form that we could have installed.
        now: Option<Route>,
    },
    /// News were lost, or too many routes of ours changed to name them: anything may have happened to
    /// them.
    Overrun,
}

/// What is at the bottom of a changed underlay.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Change {
    /// A link or an address came or went, and packets may be being lost: act first.
    pub links: bool,
    /// Routes of ours may have gone without a word.
    pub routes_at_risk: bool,
    /// Nexthop groups of ours may have gone or lost members, most likely without a word.
    pub groups_at_risk: bool,
}

/// A subscription to the kernel's news in one network namespace.
pub struct Watch {
    socket: TokioSocket,
    ownership: Ownership,
    /// The sockets whose doings are no news, by their ports.
    ignored: Vec<u32>,
    buffer: Vec<u8>,
    news: News,
    mirror: Mirror,
    look: Look,
    /// When the kernel is to be looked at next.
    due: Option<Instant>,
    /// When the last look has been rested from.
    rested: Instant,
    knowledge: Knowledge,
    differences: u64,
}

/// How good the mirror is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Knowledge {
    /// The kernel has not been looked at.
    None,
    /// News were lost since.
    Doubtful,
    /// All news since were heard.
    Good,
}

/// Whether the kernel is being looked at.
enum Look {
    Idle(Option<Looker>),
    Running(Running),
}

/// A look that is under way.
struct Running {
    task: JoinHandle<(Looker, io::Result<Mirror>)>,
    since: Instant,
    /// What was heard meanwhile.
    heard: Vec<Notice>,
    /// Something was not.
    missed: bool,
}

impl Watch {
    /// Subscribes in the calling thread's namespace. Everything from now on is reported.
    ///
    /// # Errors
    /// The sockets could not be opened.
    pub fn open(ownership: Ownership) -> Result<Watch, Error> {
        let what = || "watch the kernel's routes".to_owned();
        let socket = subscribe().map_err(Error::system(what))?;
        let looker = Looker::open().map_err(Error::system(what))?;
        Ok(Watch {
            socket,
            ownership,
            ignored: vec![],
            buffer: Vec::with_capacity(DATAGRAM),
            news: News::default(),
            mirror: Mirror::default(),
            look: Look::Idle(Some(looker)),
            due: Some(now()),
            rested: now(),
            knowledge: Knowledge::None,
            differences: 0,
        })
    }

    /// Does not report what the socket with this number does to routes of ours: its owner knows. The
    /// kernel does not even put that into the watch's buffer.
    ///
    /// # Errors
    /// The kernel refuses the filter.
    pub fn ignoring(mut self, port: u32) -> Result<Watch, Error> {
        self.ignored.push(port);
        filter::attach(self.socket.socket_ref(), self.ownership.protocol, &self.ignored)
            .map_err(Error::system(|| "have the kernel keep our own doings from us".to_owned()))?;
        Ok(self)
    }

    /// What next hops are resolved by, as last heard: every unicast route of our table and of `main` that
    /// is not ours and whose link works. A route with several next hops comes as several.
    pub fn underlay(&self) -> Vec<UnderlayRoute> {
        self.mirror.underlay()
    }

    /// All addresses of this machine, as last heard.
    pub fn addresses(&self) -> BTreeSet<IpAddr> {
        self.mirror.addresses()
    }

    /// How often a look at the kernel has found something else than the notices had said.
    pub fn differences(&self) -> u64 {
        self.differences
    }

    /// The next piece of news. Loses none when dropped half-way.
    pub async fn next(&mut self) -> Event {
        loop {
            for _ in 0..AT_ONCE {
                match self.read() {
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    datagram => self.take(datagram),
                }
            }
            if let Some(event) = self.news.pop(self.knowledge) {
                return event;
            }
            self.buffer.clear();
            let due = self.due.filter(|_| matches!(self.look, Look::Idle(Some(_))));
            tokio::select! {
                biased;
                datagram = self.socket.recv_from(&mut self.buffer) => self.take(datagram.map(drop)),
                outcome = self.look.ended() => self.take_look(outcome),
                () = sleep_until(due) => self.begin_look(),
            }
        }
    }

    /// Reads a datagram if one is waiting.
    fn read(&mut self) -> io::Result<()> {
        self.buffer.clear();
        self.socket.socket_ref().recv_from(&mut self.buffer, 0).map(drop)
    }

    fn take(&mut self, datagram: io::Result<()>) {
        if datagram.is_err() {
            // ENOBUFS is the way an overrun is told, once: until the buffer has been emptied, the
            // kernel goes on to drop news without another word. A resync that began before that
            // would miss those.
            while self.read().is_ok() {}
            self.news.overrun = true;
            self.look.miss();
            self.knowledge = self.knowledge.min(Knowledge::Doubtful);
            self.due = Some(now());
            return;
        }
        let buffer = std::mem::take(&mut self.buffer);
        frames(&buffer).for_each(|frame| self.hear(frame));
        self.buffer = buffer;
    }

    fn hear(&mut self, frame: Frame<'_>) {
        let by_us = self.ignored.contains(&frame.port);
        if is_our_route(self.ownership, frame) {
            if !by_us && let Some(notice) = Notice::read(frame) {
                self.news.hear_ours(&notice);
            }
            return;
        }
        let Some(notice) = Notice::read(frame).filter(|notice| notice.concerns(self.ownership)) else {
            return;
        };
        match &notice {
            Notice::Object { protocol, .. } | Notice::ObjectGone { protocol, .. }
                if *protocol == self.ownership.protocol =>
            {
                self.news.change.groups_at_risk |= !by_us;
                self.news.underlay |= !by_us;
            }
            // It may be one of ours that another's has taken the place of.
            Notice::Route { key, replaces: true, .. } if key.table == self.ownership.table => {
                self.news.put_ours(key, None);
            }
            _ => {}
        }
        let effect = self.mirror.hear(&notice);
        self.news.add(effect);
        if self.knowledge == Knowledge::Good || matches!(self.look, Look::Running(_)) {
            let quiet = if effect.doubt { Duration::ZERO } else { QUIET };
            self.due = Some(self.rested.max(now() + quiet));
        }
        self.look.hear(notice);
    }

    fn begin_look(&mut self) {
        let Look::Idle(looker) = &mut self.look else { return };
        let Some(mut looker) = looker.take() else { return };
        let ownership = self.ownership;
        self.due = None;
        let task = tokio::task::spawn_blocking(move || {
            let found = looker.look(ownership);
            (looker, found)
        });
        self.look = Look::Running(Running { task, since: now(), heard: vec![], missed: false });
    }

    /// Takes what was found in place of what was heard.
    fn take_look(&mut self, looked: Looked) {
        let Looked { looker, found, running } = looked;
        self.look = Look::Idle(Some(looker));
        self.rested = now() + running.since.elapsed() * LOOKING_SHARE;
        let mut found = match found {
            Ok(found) if !running.missed => found,
            Ok(_) => {
                self.due = Some(now());
                return;
            }
            Err(error) => {
                tracing::warn!("the kernel cannot be looked at: {error}; trying again");
                self.due = Some(now() + QUIET);
                return;
            }
        };
        for notice in &running.heard {
            found.hear(notice);
        }
        let before = std::mem::replace(&mut self.knowledge, Knowledge::Good);
        if before != Knowledge::None && found == self.mirror {
            return;
        }
        if before == Knowledge::Good {
            self.differences += 1;
            tracing::debug!(differences = self.differences, "the kernel differs from what its notices said");
        }
        self.mirror = found;
        self.news.add(Effect { underlay: true, links: true, objects_at_risk: true, ..Effect::default() });
    }
}

/// How a look has ended.
struct Looked {
    looker: Looker,
    found: io::Result<Mirror>,
    running: Running,
}

impl Look {
    /// Waits for the end of a look that is under way.
    async fn ended(&mut self) -> Looked {
        let Look::Running(running) = self else { return std::future::pending().await };
        let ended = (&mut running.task).await;
        match (ended, std::mem::replace(self, Look::Idle(None))) {
            (Ok((looker, found)), Look::Running(running)) => Looked { looker, found, running },
            (Err(error), _) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            // The runtime comes to its end.
            _ => std::future::pending().await,
        }
    }

    /// Keeps a notice until the look has ended that is under way.
    fn hear(&mut self, notice: Notice) {
        if let Look::Running(running) = self {
            if running.heard.len() < KEPT_MOST {
                running.heard.push(notice);
            } else {
                running.missed = true;
            }
        }
    }

    /// Notices were lost: a look that is under way is in vain.
    fn miss(&mut self) {
        if let Look::Running(running) = self {
            running.missed = true;
        }
    }
}

/// What has been heard and not been reported.
#[derive(Debug, Default)]
struct News {
    overrun: bool,
    ours: BTreeMap<(Prefix, u32), Option<Route>>,
    underlay: bool,
    change: Change,
}

impl News {
    fn add(&mut self, effect: Effect) {
        self.underlay |= effect.underlay;
        self.change.links |= effect.links;
        self.change.routes_at_risk |= effect.routes_at_risk;
        self.change.groups_at_risk |= effect.objects_at_risk;
    }

    /// Somebody else has changed a route of ours.
    fn hear_ours(&mut self, notice: &Notice) {
        match notice {
            // The object's next hops are not said: they may be anything.
            Notice::Route { state, .. } if state.object.is_some() && state.exits.is_empty() => {
                self.overrun = true;
            }
            Notice::Route { key, state, .. } => self.put_ours(key, our_route(*key, state)),
            Notice::RouteGone { key, .. } => self.put_ours(key, None),
            _ => {}
        }
    }

    fn put_ours(&mut self, key: &RouteKey, now: Option<Route>) {
        self.ours.insert((key.prefix, key.metric), now);
        self.overrun |= self.ours.len() > OURS_MOST;
    }

    /// What is to be reported next. Nothing is said of the underlay before there is one.
    fn pop(&mut self, knowledge: Knowledge) -> Option<Event> {
        let known = knowledge != Knowledge::None;
        if known && self.underlay && self.change.links {
            return Some(self.pop_underlay());
        }
        if std::mem::take(&mut self.overrun) {
            self.ours.clear();
            return Some(Event::Overrun);
        }
        if let Some(((prefix, metric), now)) = self.ours.pop_first() {
            return Some(Event::OursChanged { prefix, metric, now });
        }
        (known && self.underlay).then(|| self.pop_underlay())
    }

    fn pop_underlay(&mut self) -> Event {
        self.underlay = false;
        Event::UnderlayChanged(std::mem::take(&mut self.change))
    }
}

fn subscribe() -> io::Result<TokioSocket> {
    let mut socket = TokioSocket::new(NETLINK_ROUTE)?;
    set_receive_buffer(socket.socket_ref(), BUFFER)?;
    let groups = GROUPS.iter().fold(0, |groups, group| groups | 1 << (*group as u32 - 1));
    socket.socket_mut().bind(&SocketAddr::new(0, groups))?;
    Ok(socket)
}

async fn sleep_until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}

fn now() -> Instant {
    #[allow(clippy::disallowed_methods, reason = "the shell reads the clock")]
    Instant::now()
}
