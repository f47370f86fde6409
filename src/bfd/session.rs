//! One BFD session in asynchronous mode: state, timers and packets (RFC 5880 §6).
//!
//! Told of packets and of time passing (`handle_*`), asked afterwards what it wants sent or reported
//! (`poll_output`) and when it wants to be woken (`poll_timeout`). Which packet is for which session is
//! decided by [`super::Bfd`]. Demand mode is honoured when the peer asks for it and never asked for;
//! Echo is not offered.

use std::collections::VecDeque;
use std::time::Duration;

use super::auth::Key;
use super::packet::{Diagnostic, Packet, PacketError, State};
use crate::time::{Instant, Jitter};

/// The shortest interval at which a session that is not Up may want to send (RFC 5880 §6.8.3).
const SLOW: Duration = Duration::from_secs(1);

/// What a session is configured with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The interval at which we would like to send while Up; longer than zero.
    pub min_tx: Duration,
    /// The shortest interval at which we can take packets; longer than zero.
    pub min_rx: Duration,
    /// How many packets in a row the peer may miss; not zero.
    pub detect_multiplier: u8,
    /// Authenticate both ways with this key.
    pub key: Option<Key>,
}

/// What a session wants done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Send this packet.
    Send(Vec<u8>),
    /// The session came up or went down, or is Up with other intervals than before.
    Changed(Change),
}

/// A change of state, with what its owner needs to judge it (RFC 5882 §3, §4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change {
    /// The new state.
    pub state: State,
    /// Why it is not Up.
    pub diagnostic: Diagnostic,
    /// The peer's state as last heard. AdminDown is no failure of the path (RFC 5882 §3.2).
    pub remote_state: State,
    /// The peer's own reason.
    pub remote_diagnostic: Diagnostic,
    /// The peer's BFD does not share fate with its control plane, so its silence is a failure of the
    /// path even while it restarts (RFC 5882 §4.3).
    pub control_plane_independent: bool,
    /// The interval at which we send, before jitter; zero while the peer wants nothing.
    pub tx_interval: Duration,
    /// How long a silence means that the path is down; zero while the peer has not been heard.
    pub detection_time: Duration,
}

/// What a person sees of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Status {
    /// State, and what came with the last change.
    pub change: Change,
    /// Ours.
    pub local_discriminator: u32,
    /// The peer's, zero if it has not been heard.
    pub remote_discriminator: u32,
    /// Packets accepted.
    pub packets_in: u64,
    /// Packets sent.
    pub packets_out: u64,
    /// How often the session has left Up.
    pub flaps: u64,
}

/// What the peer has told about itself (RFC 5880 §6.8.1).
#[derive(Debug)]
struct Remote {
    discriminator: u32,
    state: State,
    diagnostic: Diagnostic,
    min_tx: Duration,
    min_rx: Duration,
    detect_multiplier: u8,
    demand: bool,
    control_plane_independent: bool,
    /// When its last packet came, and the sequence number in it.
    heard: Option<(Instant, u32)>,
}

impl Remote {
    /// A peer that has not been heard: it is not known to want anything but packets.
    fn unheard() -> Remote {
        Remote {
            discriminator: 0,
            state: State::Down,
            diagnostic: Diagnostic::NONE,
            min_tx: Duration::ZERO,
            min_rx: Duration::from_micros(1),
            detect_multiplier: 0,
            demand: false,
            control_plane_independent: false,
            heard: None,
        }
    }
}

/// One BFD session.
#[derive(Debug)]
pub struct Session {
    config: Config,
    discriminator: u32,
    state: State,
    diagnostic: Diagnostic,
    remote: Remote,
    /// The intervals we act by. They differ from those we announce while a Poll Sequence is to confirm
    /// a change that would be unsafe before (RFC 5880 §6.8.3).
    tx_in_use: Duration,
    rx_in_use: Duration,
    /// A Poll Sequence runs.
    polling: bool,
    send_at: Option<Instant>,
    detect_at: Option<Instant>,
    sequence: u32,
    jitter: Jitter,
    packets_in: u64,
    packets_out: u64,
    flaps: u64,
    /// What the owner has been told last.
    reported: Change,
    outputs: VecDeque<Output>,
}

impl Session {
    /// A session in Down that begins to send at once. `discriminator` is unique on this system and not
    /// zero; `seed` decides the jitter and the first sequence number.
    pub fn new(now: Instant, config: Config, discriminator: u32, seed: u64) -> Session {
        let remote = Remote::unheard();
        let reported = Change {
            state: State::Down,
            diagnostic: Diagnostic::NONE,
            remote_state: remote.state,
            remote_diagnostic: remote.diagnostic,
            control_plane_independent: false,
            tx_interval: Duration::ZERO,
            detection_time: Duration::ZERO,
        };
        Session {
            tx_in_use: config.min_tx.max(SLOW),
            rx_in_use: config.min_rx,
            config,
            discriminator,
            state: State::Down,
            diagnostic: Diagnostic::NONE,
            remote,
            polling: false,
            send_at: Some(now),
            detect_at: None,
            sequence: seed as u32,
            jitter: Jitter::new(seed),
            packets_in: 0,
            packets_out: 0,
            flaps: 0,
            reported,
            outputs: VecDeque::new(),
        }
    }

    /// Takes a packet that is for this session, and the octets it was decoded from (RFC 5880 §6.8.6). The
    /// detection time runs from when it `arrived`, which may be some time ago.
    ///
    /// # Errors
    /// When it was discarded.
    pub fn handle_packet(
        &mut self,
        now: Instant,
        arrived: Instant,
        packet: &Packet,
        whole: &[u8],
    ) -> Result<(), PacketError> {
        let sequence = self.authenticate(arrived, packet, whole)?;
        self.packets_in += 1;
        self.remote = Remote {
            discriminator: packet.my_discriminator,
            state: packet.state,
            diagnostic: packet.diagnostic,
            min_tx: packet.desired_min_tx,
            min_rx: packet.required_min_rx,
            detect_multiplier: packet.detect_multiplier,
            demand: packet.demand,
            control_plane_independent: packet.control_plane_independent,
            heard: Some((arrived, sequence)),
        };
        if packet.final_ && self.polling {
            self.polling = false;
            self.adopt_announced_intervals();
        }
        self.detect_at = Some(arrived + self.detection_time());
        self.follow(now, packet.state);
        if packet.poll {
            self.send(false, true);
        }
        self.hasten(now);
        self.report_intervals();
        Ok(())
    }

    /// Lets timers expire whose time has come.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.detect_at.is_some_and(|at| at <= now) {
            self.detect_at = None;
            let sequence = self.remote.heard;
            let (state, diagnostic) = (self.remote.state, self.remote.diagnostic);
            self.remote = Remote { heard: sequence, state, diagnostic, ..Remote::unheard() };
            if matches!(self.state, State::Init | State::Up) {
                self.enter(now, State::Down, Diagnostic::DETECTION_TIME_EXPIRED);
            }
        }
        if self.send_at.is_some_and(|at| at <= now) {
            self.send(self.polling, false);
            self.schedule(now);
        }
    }

    /// Holds the session down, and tells the peer so (RFC 5880 §6.8.16).
    pub fn handle_admin_down(&mut self, now: Instant) {
        if self.state != State::AdminDown {
            self.enter(now, State::AdminDown, Diagnostic::ADMINISTRATIVELY_DOWN);
        }
    }

    /// Lets a session that was held down come up again.
    pub fn handle_admin_up(&mut self, now: Instant) {
        if self.state == State::AdminDown {
            self.enter(now, State::Down, Diagnostic::NONE);
        }
    }

    /// Takes a new configuration without going down, unless the key changes what the peer can verify.
    pub fn handle_configuration(&mut self, now: Instant, config: Config) {
        if config == self.config {
            return;
        }
        let slower = config.min_tx > self.config.min_tx;
        let quicker_rx = config.min_rx < self.config.min_rx;
        self.config = config;
        if self.state != State::Up {
            self.adopt_announced_intervals();
        } else {
            // What the peer must know of first waits for the end of the Poll Sequence.
            if !slower {
                self.tx_in_use = self.announced_tx();
            }
            if !quicker_rx {
                self.rx_in_use = self.config.min_rx;
            }
            self.polling = true;
            self.send(true, false);
        }
        if let Some((heard, _)) = self.remote.heard.filter(|_| self.detect_at.is_some()) {
            self.detect_at = Some((heard + self.detection_time()).max(now));
        }
        self.schedule(now);
        self.report_intervals();
    }

    /// What is to be done, in order.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`Session::handle_timeout`] is next due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.send_at.into_iter().chain(self.detect_at).min()
    }

    /// What a person sees.
    pub fn status(&self) -> Status {
        Status {
            change: self.change(),
            local_discriminator: self.discriminator,
            remote_discriminator: self.remote.discriminator,
            packets_in: self.packets_in,
            packets_out: self.packets_out,
            flaps: self.flaps,
        }
    }

    /// Checks the authentication section, and that the packet is newer than the last one (§6.7.4).
    fn authenticate(&self, arrived: Instant, packet: &Packet, whole: &[u8]) -> Result<u32, PacketError> {
        let refuse = |why| Err(PacketError::Authentication(why));
        match (&self.config.key, packet.authenticated) {
            (None, false) => return Ok(0),
            (None, true) => return refuse("none is configured"),
            (Some(_), false) => return refuse("the packet has none"),
            (Some(_), true) => {}
        }
        let Some(key) = &self.config.key else { return Ok(0) };
        let sequence = key.open(whole)?;
        // A peer that was silent for two detection times may have begun anew (§6.8.1, AuthSeqKnown).
        let known = self.remote.heard.filter(|(at, _)| arrived.since(*at) < 2 * self.last_detection_time());
        if let Some((_, last)) = known {
            let window = 3 * u32::from(packet.detect_multiplier);
            if !(1..=window).contains(&sequence.wrapping_sub(last)) {
                return refuse("the sequence number is not next");
            }
        }
        Ok(sequence)
    }

    /// The state machine (RFC 5880 §6.2, §6.8.6).
    fn follow(&mut self, now: Instant, remote: State) {
        let down = Diagnostic::PEER_SIGNALED_DOWN;
        match (self.state, remote) {
            (State::AdminDown, _) => {}
            (State::Down, State::Down) => self.enter(now, State::Init, self.diagnostic),
            (State::Down, State::Init) => self.enter(now, State::Up, Diagnostic::NONE),
            (State::Init, State::Init | State::Up) => self.enter(now, State::Up, Diagnostic::NONE),
            (State::Init | State::Up, State::AdminDown) | (State::Up, State::Down) => {
                self.enter(now, State::Down, down);
            }
            (State::Down, State::AdminDown | State::Up)
            | (State::Init, State::Down)
            | (State::Up, State::Init | State::Up) => {}
        }
    }

    fn enter(&mut self, now: Instant, state: State, diagnostic: Diagnostic) {
        let left = std::mem::replace(&mut self.state, state);
        self.diagnostic = diagnostic;
        self.flaps += u64::from(left == State::Up);
        self.adopt_announced_intervals();
        // Coming up, we send faster than we said before: the peer must confirm that it knows.
        self.polling = state == State::Up;
        if left == State::Up || state == State::Up || state == State::AdminDown {
            self.reported = self.change();
            self.outputs.push_back(Output::Changed(self.reported));
        }
        // A change of state is not kept from the peer until the next packet is due (§6.8.7).
        self.send(self.polling, false);
        self.schedule(now);
    }

    fn report_intervals(&mut self) {
        let intervals = |change: &Change| (change.tx_interval, change.detection_time);
        let change = self.change();
        if self.state == State::Up && intervals(&change) != intervals(&self.reported) {
            self.reported = change;
            self.outputs.push_back(Output::Changed(change));
        }
    }

    fn change(&self) -> Change {
        Change {
            state: self.state,
            diagnostic: self.diagnostic,
            remote_state: self.remote.state,
            remote_diagnostic: self.remote.diagnostic,
            control_plane_independent: self.remote.control_plane_independent,
            tx_interval: self.tx_interval().unwrap_or_default(),
            detection_time: self.detection_time(),
        }
    }

    fn announced_tx(&self) -> Duration {
        if self.state == State::Up { self.config.min_tx } else { self.config.min_tx.max(SLOW) }
    }

    fn adopt_announced_intervals(&mut self) {
        self.tx_in_use = self.announced_tx();
        self.rx_in_use = self.config.min_rx;
    }

    /// How long a silence means that the path is down (§6.8.4).
    fn detection_time(&self) -> Duration {
        u32::from(self.remote.detect_multiplier) * self.rx_in_use.max(self.remote.min_tx)
    }

    /// The same, of a peer that may have been forgotten since: never less than our own packets take.
    fn last_detection_time(&self) -> Duration {
        self.detection_time().max(u32::from(self.config.detect_multiplier) * self.rx_in_use)
    }

    /// The interval between packets before jitter (§6.8.7); `None` while the peer wants none.
    fn tx_interval(&self) -> Option<Duration> {
        let silent = self.remote.demand && self.state == State::Up && self.remote.state == State::Up;
        if self.remote.min_rx.is_zero() || (silent && !self.polling) {
            return None;
        }
        Some(self.tx_in_use.max(self.remote.min_rx))
    }

    /// Sets when the next packet is due, jittered so that it stays inside the detection time (§6.8.7).
    fn schedule(&mut self, now: Instant) {
        let most = if self.config.detect_multiplier == 1 { 0.9 } else { 1.0 };
        let interval = self.tx_interval();
        self.send_at = interval.map(|interval| now + self.jitter.scaled(interval, 0.75, most));
    }

    /// Brings the next packet forward where the interval has become shorter, and stops or starts
    /// sending where the peer wants that.
    fn hasten(&mut self, now: Instant) {
        match (self.tx_interval(), self.send_at) {
            (Some(interval), Some(at)) if at <= now + interval => {}
            (None, None) => {}
            _ => self.schedule(now),
        }
    }

    fn send(&mut self, poll: bool, final_: bool) {
        // Nothing goes to a peer that wants nothing, but the answer to its poll.
        if self.remote.min_rx.is_zero() && !final_ {
            return;
        }
        let packet = Packet {
            diagnostic: self.diagnostic,
            state: self.state,
            poll,
            final_,
            control_plane_independent: false,
            authenticated: self.config.key.is_some(),
            demand: false,
            detect_multiplier: self.config.detect_multiplier,
            my_discriminator: self.discriminator,
            your_discriminator: self.remote.discriminator,
            desired_min_tx: self.announced_tx(),
            required_min_rx: self.config.min_rx,
            required_min_echo_rx: Duration::ZERO,
        };
        let mut octets = packet.encode();
        if let Some(key) = &self.config.key {
            key.seal(&mut octets, self.sequence);
            self.sequence = self.sequence.wrapping_add(1);
        }
        self.packets_out += 1;
        self.outputs.push_back(Output::Send(octets));
    }
}
