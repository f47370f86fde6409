//! One connection's worth of BGP: the FSM of RFC 4271 §8 with its timers and messages.
//!
//! A [`Session`] is told of events (`handle_*`), and asked afterwards what it wants done
//! (`poll_output`) and when it wants to be woken (`poll_timeout`). It knows nothing of other
//! sessions: which of two colliding connections survives is decided by its owner (RFC 4271 §6.8),
//! who then hands in [`Event::OpenCollisionDump`].
//!
//! What happens when is the table in [`fsm`]; `effects` carries it out.

mod cause;
mod config;
mod effects;
pub mod fsm;
mod restart;
#[cfg(test)]
mod tests;
mod timers;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
pub use cause::{Break, Cause, Failure};
pub use config::{Config, Damping, Negotiated, RemoteAs};
use effects::Payload;
pub use effects::{OPEN_HOLD, send_hold};
pub use fsm::{Event, State};
pub use restart::{Fall, RestartBits, RestartOffer};
pub use timers::Timer;
use timers::Timers;

use super::{Codec, Message, MessageError, Notification, Reason, Update};
use crate::prefix::Family;
use crate::time::Instant;

/// What a session wants done.
#[derive(Debug, PartialEq)]
pub enum Output {
    /// Start a connection attempt.
    Dial,
    /// Close the connection or give up the attempt. What was sent before is still delivered.
    Close,
    /// Send these octets, which others may be sent too.
    Send(Bytes),
    /// Both sides speak extended messages: take up to 65,535 octets from here on (RFC 8654).
    AcceptExtended,
    /// Established: UPDATEs may flow.
    Up(Arc<Negotiated>),
    /// No longer Established.
    Down(Fall),
    /// The session failed before it was Established, after the peer had been reached.
    Failed,
    /// The peer sent an UPDATE.
    Update(Update),
    /// The peer asks for all of a family again (RFC 2918).
    RouteRefresh(Family),
    /// The peer begins to announce all of a family again (RFC 7313).
    BeginOfRefresh(Family),
    /// The peer has announced all of a family again (RFC 7313).
    EndOfRefresh(Family),
}

/// How long a session that its owner has reset stays in Idle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Rest {
    /// For the idle hold time, as after any failure.
    #[default]
    IdleHold,
    /// This long, and no less.
    For(Duration),
    /// Until the owner starts it again.
    UntilStarted,
}

/// Messages counted by direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Messages received.
    pub messages_in: u64,
    /// Messages sent.
    pub messages_out: u64,
    /// UPDATEs received.
    pub updates_in: u64,
    /// UPDATEs sent.
    pub updates_out: u64,
}

/// A NOTIFICATION and when it was sent or received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exchanged {
    /// When.
    pub at: Instant,
    /// What it said.
    pub notification: Notification,
}

/// One BGP session.
#[derive(Debug)]
pub struct Session {
    config: Config,
    state: State,
    timers: Timers,
    codec: Codec,
    negotiated: Option<Arc<Negotiated>>,
    established_at: Option<Instant>,
    failures: u32,
    rest: Rest,
    counters: Counters,
    last_failure: Option<Failure>,
    notification_sent: Option<Exchanged>,
    notification_received: Option<Exchanged>,
    restart_bits: RestartBits,
    outputs: VecDeque<Output>,
}

impl Session {
    /// A session in Idle. `seed` decides its jitter.
    pub fn new(config: Config, seed: u64) -> Session {
        Session {
            config,
            state: State::Idle,
            timers: Timers::new(seed),
            codec: Codec::initial(),
            negotiated: None,
            established_at: None,
            failures: 0,
            rest: Rest::IdleHold,
            counters: Counters::default(),
            last_failure: None,
            notification_sent: None,
            notification_received: None,
            restart_bits: RestartBits::default(),
            outputs: VecDeque::new(),
        }
    }

    /// Sets what the next OPEN says of our forwarding.
    pub fn set_restart_bits(&mut self, bits: RestartBits) {
        self.restart_bits = bits;
    }

    /// Takes over the pauses of a configuration that differs in nothing else
    /// ([`Config::differs_in_pauses_alone`]). They hold from the next pause on.
    pub fn set_pauses(&mut self, config: &Config) {
        self.config.connect_retry = config.connect_retry;
        self.config.damping = config.damping;
    }

    /// Starts the session: by connecting, or by waiting for the peer where configured passive.
    pub fn handle_start(&mut self, now: Instant) {
        self.rest = Rest::IdleHold;
        self.timers.stop(Timer::IdleHold);
        let event = if self.config.passive { Event::ManualStartWithPassive } else { Event::ManualStart };
        self.step(now, event, Payload::None);
    }

    /// Waits for the peer's connection whatever the configuration says: how the second session of a
    /// collision begins.
    pub fn handle_start_passive(&mut self, now: Instant) {
        self.step(now, Event::ManualStartWithPassive, Payload::None);
    }

    /// Stops the session for good, with a NOTIFICATION of this reason (a Cease, RFC 4486) where a
    /// connection is up. An Administrative Shutdown or Reset tells the peer why (RFC 9003).
    pub fn handle_stop(&mut self, now: Instant, reason: Reason, why: &str) {
        self.note(Cause::Sent(reason), why);
        self.timers.stop(Timer::IdleHold);
        let notification = match reason {
            Reason::ADMINISTRATIVE_SHUTDOWN | Reason::ADMINISTRATIVE_RESET => {
                Notification::with_communication(reason, why)
            }
            _ => Notification::from(reason),
        };
        let notification = self.hardened(notification);
        self.step(now, Event::ManualStop, Payload::Notification(notification));
    }

    /// Ends an Established session because of what the owner found (too many prefixes, say), with this
    /// NOTIFICATION. The session starts again after its `rest`.
    pub fn handle_reset(&mut self, now: Instant, notification: Notification, rest: Rest, why: &str) {
        self.note(Cause::Sent(notification.reason()), why);
        self.rest = rest;
        let notification = self.hardened(notification);
        self.step(now, Event::UpdateMsgErr, Payload::Notification(notification));
    }

    /// Gives the connection up without a word: the peer has forgotten it, or is to keep our routes.
    pub fn handle_abandon(&mut self, now: Instant, why: &str) {
        self.note(Cause::Broken(Break::Other), why);
        self.step(now, Event::TcpConnectionFails, Payload::Gone);
    }

    /// The way to the peer is gone: gives the connection up without a word, for none would arrive. Nothing
    /// outlives it, as packets have nowhere to go.
    pub fn handle_cut_off(&mut self, now: Instant, why: &str) {
        self.note(Cause::Broken(Break::NoRoute), why);
        self.step(now, Event::TcpConnectionFails, Payload::CutOff);
    }

    /// The way to the peer is back: tries at once what would be tried after a pause.
    pub fn handle_way_back(&mut self, now: Instant) {
        match self.state {
            State::Idle if self.timers.runs(Timer::IdleHold) && !self.rests() => self.handle_start(now),
            State::Connect | State::Active if self.timers.runs(Timer::ConnectRetry) => {
                self.step(now, Event::ConnectRetryTimerExpires, Payload::None);
            }
            _ => {}
        }
    }

    /// As a Hard Reset, where that is needed for the peer to let our routes go.
    fn hardened(&self, notification: Notification) -> Notification {
        let ours = self.config.graceful_restart.is_some();
        let theirs = self.negotiated().and_then(Negotiated::graceful_restart);
        let keeps_routes = ours && theirs.is_some_and(|restart| restart.notification);
        if keeps_routes && notification.reason().is_final() {
            notification.into_hard_reset()
        } else {
            notification
        }
    }

    /// Our connection attempt succeeded.
    pub fn handle_connected(&mut self, now: Instant) {
        self.step(now, Event::TcpCrAcked, Payload::None);
    }

    /// The peer's connection was accepted and given to this session.
    pub fn handle_accepted(&mut self, now: Instant) {
        self.step(now, Event::TcpConnectionConfirmed, Payload::None);
    }

    /// The connection closed, or the attempt to make one failed.
    pub fn handle_closed(&mut self, now: Instant, why: impl Into<Failure>) {
        self.last_failure = Some(why.into());
        self.step(now, Event::TcpConnectionFails, Payload::Gone);
    }

    /// The kernel has taken some of what was to be sent.
    pub fn handle_sent(&mut self, now: Instant) {
        if self.state == State::Established {
            self.restart_send_hold_timer(now);
        }
    }

    /// The peer has said something that is still on its way here, or that does not come here at all: so
    /// many KEEPALIVEs. It is not silent, however late we are.
    pub fn handle_heard(&mut self, at: Instant, keepalives: u64) {
        self.counters.messages_in += keepalives;
        let connected = matches!(self.state, State::OpenConfirm | State::Established);
        if connected && self.timers.deadline(Timer::Hold).is_some_and(|deadline| deadline < at + self.hold())
        {
            self.restart_hold_timer(at);
        }
    }

    /// This connection lost a collision (RFC 4271 §6.8).
    pub fn handle_collision_dump(&mut self, now: Instant) {
        self.note(
            Cause::Sent(Reason::CONNECTION_COLLISION),
            "another connection with the peer was preferred",
        );
        let payload = Payload::Notification(Notification::from(Reason::CONNECTION_COLLISION));
        self.step(now, Event::OpenCollisionDump, payload);
    }

    /// Decodes a message under what this session has negotiated.
    ///
    /// # Errors
    /// To be handed to [`Session::handle_message_error`].
    pub fn decode(&self, frame: &[u8]) -> Result<Message, MessageError> {
        self.codec.decode(frame)
    }

    /// Handles a decoded message.
    pub fn handle_message(&mut self, now: Instant, message: Message) {
        self.counters.messages_in += 1;
        match message {
            Message::Open(open) => match self.config.negotiate(&open) {
                Ok(negotiated) => self.step(now, Event::BgpOpen, Payload::Negotiated(negotiated)),
                Err(error) => self.fail(now, Event::BgpOpenMsgErr, error),
            },
            Message::Keepalive => self.step(now, Event::KeepAliveMsg, Payload::None),
            Message::Update(update) => {
                self.counters.updates_in += 1;
                self.step(now, Event::UpdateMsg, Payload::Output(Output::Update(update)));
            }
            Message::RouteRefresh(family) => {
                self.step(now, Event::UpdateMsg, Payload::Output(Output::RouteRefresh(family)));
            }
            Message::BeginOfRefresh(family) => {
                self.step(now, Event::UpdateMsg, Payload::Output(Output::BeginOfRefresh(family)));
            }
            Message::EndOfRefresh(family) => {
                self.step(now, Event::UpdateMsg, Payload::Output(Output::EndOfRefresh(family)));
            }
            Message::RouteRefreshIgnored => self.step(now, Event::UpdateMsg, Payload::None),
            Message::Notification(notification) => {
                let words = format!("peer sent NOTIFICATION {notification}");
                self.note(Cause::Received(notification.reason()), words);
                let version_error = notification.reason() == Reason::UNSUPPORTED_VERSION_NUMBER;
                let event = if version_error { Event::NotifMsgVerErr } else { Event::NotifMsg };
                self.notification_received = Some(Exchanged { at: now, notification: notification.clone() });
                self.step(now, event, Payload::Notification(notification));
            }
        }
    }

    /// Handles bytes that are no acceptable message.
    pub fn handle_message_error(&mut self, now: Instant, error: MessageError) {
        self.counters.messages_in += 1;
        let event = match error.notification.code {
            2 => Event::BgpOpenMsgErr,
            3 => Event::UpdateMsgErr,
            _ => Event::BgpHeaderErr,
        };
        self.fail(now, event, error);
    }

    /// Lets timers expire whose time has come.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some((at, timer)) = self.timers.next() {
            if at > now {
                return;
            }
            self.timers.stop(timer);
            if timer == Timer::IdleHold {
                self.rest = Rest::IdleHold;
            }
            match timer {
                Timer::SendHold => {
                    let words = "send hold timer expired: the peer reads nothing";
                    self.note(Cause::Sent(Reason::SEND_HOLD_TIMER_EXPIRED), words);
                    let payload = Payload::Notification(Notification::from(Reason::SEND_HOLD_TIMER_EXPIRED));
                    self.step(now, Event::SendHoldTimerExpires, payload);
                }
                Timer::IdleHold if self.config.passive => {
                    self.step(now, Event::IdleHoldTimerExpiresPassive, Payload::None);
                }
                Timer::IdleHold => self.step(now, Event::IdleHoldTimerExpires, Payload::None),
                Timer::ConnectRetry => {
                    if self.state == State::Connect {
                        self.note(Cause::Broken(Break::NoAnswer), "no answer to an attempt to connect");
                    }
                    self.step(now, Event::ConnectRetryTimerExpires, Payload::None);
                }
                Timer::Keepalive => self.step(now, Event::KeepaliveTimerExpires, Payload::None),
                Timer::Hold => {
                    self.note(Cause::Sent(Reason::HOLD_TIMER_EXPIRED), "hold timer expired");
                    let payload = Payload::Notification(Notification::from(Reason::HOLD_TIMER_EXPIRED));
                    self.step(now, Event::HoldTimerExpires, payload);
                }
            }
        }
    }

    /// Takes the next thing to be done, in order.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`Session::handle_timeout`] is next due, and for which timer.
    pub fn poll_timeout(&self) -> Option<(Instant, Timer)> {
        self.timers.next()
    }

    /// Sends UPDATEs that the owner has encoded with [`Negotiated::codec`]: `messages` of them.
    /// Ignored unless Established.
    pub fn send_updates(&mut self, octets: Bytes, messages: usize) {
        if self.state == State::Established && messages > 0 {
            self.counters.messages_out += messages as u64;
            self.counters.updates_out += messages as u64;
            self.outputs.push_back(Output::Send(octets));
        }
    }

    /// Asks the peer for all of a family again; `false` if it does not understand that (RFC 2918).
    pub fn send_route_refresh(&mut self, family: Family) -> bool {
        let able = self.state == State::Established
            && self
                .negotiated
                .as_ref()
                .is_some_and(|n| n.route_refresh && n.codec.families.contains(&family));
        if able {
            self.send(self.codec.encode_route_refresh(family));
        }
        able
    }

    /// Tells the peer that all of a family follows again; `false` if it would not understand
    /// (RFC 7313 §4).
    pub fn send_begin_of_refresh(&mut self, family: Family) -> bool {
        let able = self.marks_refreshes();
        if able {
            self.send(self.codec.encode_begin_of_refresh(family));
        }
        able
    }

    /// Tells the peer that all of a family has been sent again (RFC 7313 §4), if it understands.
    pub fn send_end_of_refresh(&mut self, family: Family) {
        if self.marks_refreshes() {
            self.send(self.codec.encode_end_of_refresh(family));
        }
    }

    fn marks_refreshes(&self) -> bool {
        self.state == State::Established && self.codec.enhanced_refresh
    }

    /// The FSM state.
    pub fn state(&self) -> State {
        self.state
    }

    /// What the OPENs agreed on; `None` before and after.
    pub fn negotiated(&self) -> Option<&Negotiated> {
        self.negotiated.as_deref()
    }

    /// When the session became Established, while it is.
    pub fn established_at(&self) -> Option<Instant> {
        self.established_at
    }

    /// Whether the session is in Idle because its owner has put it there for longer than the idle hold
    /// time. [`Session::handle_start`] ends that.
    pub fn rests(&self) -> bool {
        self.state == State::Idle && self.rest != Rest::IdleHold
    }

    /// Messages counted since the session object was made.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// The last NOTIFICATION sent.
    pub fn notification_sent(&self) -> Option<&Exchanged> {
        self.notification_sent.as_ref()
    }

    /// The last NOTIFICATION received.
    pub fn notification_received(&self) -> Option<&Exchanged> {
        self.notification_received.as_ref()
    }

    /// Why the session last went down, or could not come up.
    pub fn last_error(&self) -> Option<&str> {
        self.last_failure.as_ref().map(|failure| failure.words.as_str())
    }

    /// The same, with its kind.
    pub fn last_failure(&self) -> Option<&Failure> {
        self.last_failure.as_ref()
    }

    fn note(&mut self, cause: Cause, words: impl Into<String>) {
        self.last_failure = Some(Failure::new(cause, words));
    }
}
