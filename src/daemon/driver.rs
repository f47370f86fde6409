//! The driver: the one task that owns the speaker. Inputs in, actions out, a timer between.
//!
//! Inputs that wait together are handed in together before any action is polled, so that a burst is
//! decided once. Frames go in before timers expire, and a peer whose words wait in the queue, or before
//! it, is not silent.
//!
//! Nothing waits for all of a long work. Inputs are taken, and tables settled, for a [`SLICE`] of time
//! each, in turn; between, timers expire, and the other tasks of the thread run.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::mpsc::{Receiver, Sender, UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::{oneshot, watch};
use tracing::{debug, info, warn};

use super::bfd::BfdThread;
use super::clock::Clock;
use super::connections::{Connections, Heard};
use super::http::Readiness;
use super::input::{Input, Said};
use super::link_peers::LinkPeers;
use super::listeners::{Listeners, Troubles};
use crate::bfd;
use crate::bgp::header::{MAX_EXTENDED_LENGTH, message_length_within};
use crate::fib::{BatchId, Refusal};
use crate::kernel::route_writer::RouteWriter;
use crate::prefix::Family;
use crate::speaker::{Action, ConnectionId, Departure, Notice, Speaker};
use crate::time::Instant;

/// What BFD has found, and about which path.
type PathChange = (bfd::Path, bfd::Change);

/// Inputs handled before actions are polled.
const BURST: usize = 256;
/// How long inputs are handled, or tables settled, before it is the others' turn.
const SLICE: Duration = Duration::from_millis(10);
/// A step that takes longer is worth a line for whoever looks for it.
const LONG: Duration = Duration::from_millis(100);

/// The speaker with the tasks that serve it.
#[derive(Debug)]
pub struct Driver {
    speaker: Speaker,
    seed: u64,
    clock: Clock,
    inputs: Receiver<Input>,
    /// What cannot wait for inputs to be handled.
    urgent: Receiver<Input>,
    /// Runs from the first peer that wants it on.
    bfd: Option<BfdThread>,
    path_changes: (UnboundedSender<PathChange>, UnboundedReceiver<PathChange>),
    connections: Connections,
    listeners: Listeners,
    link_peers: LinkPeers,
    writer: Arc<RouteWriter>,
    /// What the kernel said to batches of changes.
    answers: UnboundedReceiver<(BatchId, Vec<Refusal>)>,
    /// Families that the kernel does not forward, and why.
    unforwarded: BTreeMap<Family, String>,
    readiness: watch::Sender<Readiness>,
}

impl Driver {
    /// A driver for a new speaker, whose sessions are served by that thread; `seed` decides the jitter of
    /// its timers.
    pub fn new(
        seed: u64,
        clock: Clock,
        inputs: (Sender<Input>, Receiver<Input>),
        urgent: Receiver<Input>,
        writer: (Arc<RouteWriter>, UnboundedReceiver<(BatchId, Vec<Refusal>)>),
        readiness: watch::Sender<Readiness>,
        thread: Handle,
    ) -> Driver {
        let unseen = "the kernel's settings have not been looked at yet";
        let unforwarded = Family::ALL.map(|family| (family, unseen.to_owned())).into();
        let mut speaker = Speaker::new(seed);
        speaker.handle_unforwarded(clock.now(), Family::ALL.into());
        Driver {
            speaker,
            seed,
            clock,
            bfd: None,
            path_changes: unbounded_channel(),
            connections: Connections::new(inputs.0.clone(), clock, thread.clone()),
            link_peers: LinkPeers::new(inputs.0.clone()),
            listeners: Listeners::new(inputs.0, thread),
            inputs: inputs.1,
            urgent,
            writer: writer.0,
            answers: writer.1,
            unforwarded,
            readiness,
        }
    }

    /// Where there is no listening socket that there should be.
    pub fn not_listening(&self) -> watch::Receiver<Troubles> {
        self.listeners.troubles()
    }

    /// Runs until `stop` completes, then takes leave of every peer as it says.
    pub async fn run(mut self, mut stop: oneshot::Receiver<Departure>) {
        let departure;
        let mut burst = Vec::with_capacity(BURST);
        let mut waiting = VecDeque::with_capacity(BURST);
        let mut busy = false;
        loop {
            let wake = self.speaker.poll_timeout().map(|(at, _)| self.clock.machine(at));
            tokio::select! {
                biased;
                said = &mut stop => {
                    departure = said.unwrap_or(Departure::Restart);
                    break;
                }
                // Few, and urgent: packets are being lost.
                Some((path, change)) = self.path_changes.1.recv() => {
                    self.handle_waiting(&mut waiting);
                    self.speaker.handle_path_change(self.clock.now(), &path, &change);
                }
                Some(input) = self.urgent.recv() => self.handle(input),
                Some((batch, refusals)) = self.answers.recv() => self.hear_kernel(batch, refusals),
                count = self.inputs.recv_many(&mut burst, BURST), if waiting.is_empty() => {
                    if count == 0 {
                        departure = Departure::Restart;
                        break;
                    }
                    waiting.extend(burst.drain(..));
                }
                () = std::future::ready(()), if busy => {}
                () = sleep_until(wake), if !busy => {}
            }
            self.take(&mut waiting);
            self.expire();
            busy = self.work() || !waiting.is_empty();
            self.judge_readiness();
            if busy {
                // Inputs may be ready for ever. The others of this thread have their turn even so.
                tokio::task::yield_now().await;
            }
        }
        self.speaker.handle_shutdown(self.clock.now(), departure);
        while self.work() {}
        self.connections.finish().await;
        if let Some(thread) = &mut self.bfd {
            // After the sessions: FRR and BIRD would take it for a failure of the path and of them.
            thread.admin_down();
        }
    }

    /// Hears the kernel out, then hands inputs in for a slice of time.
    fn take(&mut self, waiting: &mut VecDeque<Input>) {
        while let Ok((batch, refusals)) = self.answers.try_recv() {
            self.hear_kernel(batch, refusals);
        }
        // Answers may come for as long as there is work, and must not keep peers waiting till its end.
        while waiting.len() < BURST
            && let Ok(input) = self.inputs.try_recv()
        {
            waiting.push_back(input);
        }
        let began = self.clock.now();
        let mut last = began;
        while last - began < SLICE
            && let Some(input) = waiting.pop_front()
        {
            let kind = input.kind();
            self.handle(input);
            last = self.note_if_long(kind, last);
        }
    }

    /// Lets timers expire. A peer whose words have arrived is not silent, though they have not been
    /// handed in.
    fn expire(&mut self) {
        let now = self.clock.now();
        if self.speaker.poll_timeout().is_some_and(|(at, _)| at <= now) {
            let due: Vec<ConnectionId> = self.speaker.due_connections(now).collect();
            for connection in due {
                self.ask(connection, now);
            }
            self.speaker.handle_timeout(now);
            self.note_if_long("timers", now);
        }
    }

    /// Asks a connection what its peer has said that has not been handed in.
    fn ask(&mut self, connection: ConnectionId, now: Instant) {
        if let Some(Heard { at, keepalives }) = self.connections.heard(connection, now) {
            self.speaker.handle_heard(connection, at, keepalives);
        }
    }

    /// Asks all, for somebody who looks.
    fn ask_all(&mut self, now: Instant) {
        for (connection, Heard { at, keepalives }) in self.connections.heard_of_all(now) {
            self.speaker.handle_heard(connection, at, keepalives);
        }
    }

    /// Does what is to be done, for a slice of time; `false` if that was all.
    fn work(&mut self) -> bool {
        let began = self.clock.now();
        let mut last = began;
        loop {
            while let Some(action) = self.speaker.poll_ready() {
                self.perform(action);
            }
            if last - began >= SLICE {
                return true;
            }
            if !self.speaker.work_some() {
                return false;
            }
            last = self.note_if_long("a portion", last);
        }
    }

    /// Leaves a line about a step that others had to wait for. Returns the time.
    fn note_if_long(&self, step: &str, since: Instant) -> Instant {
        let now = self.clock.now();
        if now - since > LONG {
            debug!(step, milliseconds = (now - since).as_millis(), "a long step");
        }
        now
    }

    /// Handles what has waited longer than a change of BFD's: a peer that was killed has closed its
    /// connection before it is found silent, and must not seem to have done so after (RFC 5882 §4.3).
    fn handle_waiting(&mut self, waiting: &mut VecDeque<Input>) {
        waiting.extend(std::iter::from_fn(|| self.inputs.try_recv().ok()).take(BURST));
        for input in waiting.drain(..) {
            self.handle(input);
        }
    }

    fn handle(&mut self, input: Input) {
        let now = self.clock.now();
        match input {
            Input::Configured { intent, adopted, ownership_changed } => {
                if let Some(held) = adopted {
                    self.speaker.handle_adopted(now, held);
                }
                if ownership_changed {
                    self.speaker.handle_ownership_changed(now);
                }
                self.listeners.configure(&intent);
                self.link_peers.configure(&intent);
                self.speaker.handle_intent(now, intent);
            }
            Input::LinkPeer { interface, peer } => self.speaker.handle_link_peer(now, &interface, peer),
            Input::Bridge(ready) => self.speaker.handle_bridge(now, ready),
            Input::Unforwarded(families) => {
                self.speaker.handle_unforwarded(now, families.keys().copied().collect());
                self.unforwarded = families;
            }
            Input::Accepted { stream, local, remote } => {
                match self.speaker.handle_accepted(now, unmapped(local), unmapped(remote)) {
                    Some((connection, transport)) => self.connections.adopt(connection, stream, &transport),
                    None => debug!(%remote, "refused a connection that no peer is waiting for"),
                }
            }
            Input::Connected { connection, local } => {
                self.connections.connected(connection);
                self.speaker.handle_connected(now, connection, local);
            }
            Input::Heard { connection, at, said, error, room } => {
                self.ask(connection, now);
                match said {
                    Said::Octets(octets) => self.handle_frames(at, connection, &octets),
                    Said::Messages(messages) => {
                        for message in messages {
                            self.speaker.handle_message(at, connection, Ok(message));
                        }
                    }
                }
                if let Some(error) = error {
                    self.speaker.handle_message(at, connection, Err(error));
                }
                drop(room);
            }
            Input::Sent { connection, octets } => self.speaker.handle_sent(now, connection, octets),
            Input::Closed { connection, why } => {
                self.ask(connection, now);
                self.connections.forget(connection);
                self.speaker.handle_closed(now, connection, why);
            }
            Input::Underlay { routes, addresses } => {
                self.speaker.handle_underlay(now, routes);
                self.speaker.handle_addresses(now, addresses);
            }
            Input::RouteSeen { prefix, metric, now: held } => {
                self.speaker.handle_kernel_route(now, prefix, metric, held);
            }
            Input::Groups(groups) => self.speaker.handle_kernel_groups(now, &groups),
            Input::KernelDump(held) => self.speaker.handle_kernel_dump(now, held),
            Input::Query(query) => {
                self.ask_all(now);
                query(&self.speaker, now);
            }
            Input::Order(order) => {
                self.ask_all(now);
                order(&mut self.speaker, now);
            }
        }
    }

    fn hear_kernel(&mut self, batch: BatchId, refusals: Vec<Refusal>) {
        for refusal in &refusals {
            warn!("{}", refusal.reason);
        }
        self.speaker.handle_route_answer(self.clock.now(), batch, refusals);
    }

    fn handle_frames(&mut self, at: Instant, connection: ConnectionId, mut octets: &[u8]) {
        // The connection has judged lengths by what its session negotiated.
        while let Ok(Some(length)) = message_length_within(MAX_EXTENDED_LENGTH, octets) {
            let (frame, rest) = octets.split_at(length);
            self.speaker.handle_frame(at, connection, Ok(frame));
            octets = rest;
        }
    }

    /// Ready once the node's own prefixes are announced and the speaker's gate has opened. Afterwards only
    /// the former counts: peers come and go, tables change, and pods go on running meanwhile.
    fn judge_readiness(&mut self) {
        let mut reasons = vec![];
        if !self.speaker.is_configured() {
            reasons.push("no valid configuration has been read yet".to_owned());
        } else if !self.unforwarded.is_empty() {
            reasons.extend(self.unforwarded.values().map(|why| format!("not forwarding: {why}")));
        } else if !self.speaker.originates_all() {
            reasons.push("pod CIDRs are not announced yet: bridge or aggregate is missing".to_owned());
        } else {
            reasons.extend(self.speaker.gate_waits_for());
        }
        if let Some(stage) = self.speaker.drain_stage() {
            reasons.push(format!("the node is drained: {}", stage.words()));
        }
        let judged = if reasons.is_empty() { Readiness::Ready } else { Readiness::NotReady(reasons) };
        self.readiness.send_if_modified(|readiness| {
            let news = *readiness != judged;
            *readiness = judged;
            news
        });
    }

    fn perform(&mut self, action: Action) {
        match action {
            Action::Dial { connection, remote, interface, transport } => {
                let remote = scoped(remote, interface.as_deref());
                self.connections.dial(connection, remote, &transport);
            }
            Action::Send { connection, octets } => self.connections.send(connection, octets),
            Action::AcceptExtended { connection } => self.connections.accept_extended(connection),
            Action::Keep { connection, terms } => self.connections.keep(connection, terms),
            Action::Close { connection } => self.connections.close(connection),
            Action::ChangeRoutes(batch) => self.writer.write(batch),
            Action::WatchPaths(paths) => self.watch_paths(paths),
            Action::Notice(notice) => log(&notice),
        }
    }
}

impl Driver {
    fn watch_paths(&mut self, paths: BTreeMap<bfd::Path, bfd::Config>) {
        if self.bfd.is_none() && !paths.is_empty() {
            match BfdThread::start(self.seed, self.clock, self.path_changes.0.clone()) {
                Ok(thread) => self.bfd = Some(thread),
                Err(error) => warn!("no BFD session can come up: {error}"),
            }
        }
        if let Some(thread) = &mut self.bfd {
            thread.configure(paths);
        }
    }
}

/// Puts the scope of a link-local address in.
fn scoped(remote: SocketAddr, interface: Option<&str>) -> SocketAddr {
    let (SocketAddr::V6(mut scoped), Some(interface)) = (remote, interface) else { return remote };
    if let Ok(index) = nix::net::if_::if_nametoindex(interface) {
        scoped.set_scope_id(index);
    }
    scoped.into()
}

async fn sleep_until(wake: Option<tokio::time::Instant>) {
    match wake {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// A socket bound to `::` may show IPv4 peers as IPv4-mapped addresses. The scope of others stays.
fn unmapped(address: SocketAddr) -> SocketAddr {
    match address.ip().to_canonical() {
        ip if ip == address.ip() => address,
        ip => SocketAddr::new(ip, address.port()),
    }
}

fn log(notice: &Notice) {
    match notice {
        Notice::PeerUp { .. }
        | Notice::Originated(_)
        | Notice::Kept { .. }
        | Notice::LetGo { .. }
        | Notice::Selecting
        | Notice::Draining(_)
        | Notice::Undrained
        | Notice::Rehoming { .. }
        | Notice::Retreating(..)
        | Notice::LetGoOfServices(_)
        | Notice::Swept => info!("{notice}"),
        Notice::GateOpen { missing, .. } if missing.is_empty() => info!("{notice}"),
        Notice::PeerDown { .. }
        | Notice::PeerFailed { .. }
        | Notice::Malformed { .. }
        | Notice::PrefixLimit { .. }
        | Notice::RangeFull { .. }
        | Notice::Holding(_)
        | Notice::GateOpen { .. }
        | Notice::NotEncodable { .. } => warn!("{notice}"),
    }
}
