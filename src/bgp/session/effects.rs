//! What a transition of the FSM asks for, carried out: messages sent, timers set, the owner told.

use std::sync::Arc;
use std::time::Duration;

use super::fsm::{Effect, Event, State, transition};
use super::restart::Fall;
use super::timers::Timer;
use super::{Cause, Exchanged, Negotiated, Output, Rest, Session};
use crate::bgp::header::MessageType;
use crate::bgp::{Codec, MessageError, Notification};
use crate::time::Instant;

/// Hold time until the OPENs are exchanged (RFC 4271 §8.2.2, OpenSent).
pub const OPEN_HOLD: Duration = Duration::from_secs(240);
/// The least that a peer may take none of what we send (RFC 9687 §3.1).
const SEND_HOLD_LEAST: Duration = Duration::from_secs(8 * 60);

/// The send hold time that goes with a hold time (RFC 9687 §3.1); none where that is zero.
pub fn send_hold(hold: Duration) -> Option<Duration> {
    (!hold.is_zero()).then(|| (hold * 2).max(SEND_HOLD_LEAST))
}

impl Session {
    pub(super) fn fail(&mut self, now: Instant, event: Event, error: MessageError) {
        let words = format!("we sent NOTIFICATION {}: {}", error.notification, error.what);
        self.note(Cause::Sent(error.notification.reason()), words);
        self.step(now, event, Payload::Notification(error.notification));
    }

    pub(super) fn step(&mut self, now: Instant, event: Event, payload: Payload) {
        let from = self.state;
        let (to, effects) = transition(from, event);
        self.state = to;
        let mut payload = payload;
        for effect in effects {
            match effect {
                Effect::SendFsmError => self.send_fsm_error(now, from, event, &payload),
                _ => self.carry_out(now, from, *effect, &mut payload),
            }
        }
    }

    fn carry_out(&mut self, now: Instant, from: State, effect: Effect, payload: &mut Payload) {
        match effect {
            Effect::Dial => self.outputs.push_back(Output::Dial),
            Effect::DropConnection => self.outputs.push_back(Output::Close),
            Effect::StartConnectRetryTimer => {
                let pause = self.timers.jittered(self.config.connect_retry);
                if !self.config.passive {
                    self.timers.start(Timer::ConnectRetry, now + pause);
                }
            }
            Effect::StopConnectRetryTimer => self.timers.stop(Timer::ConnectRetry),
            Effect::StartIdleHoldTimer => {
                self.start_idle_hold_timer(now);
                if matches!(from, State::OpenSent | State::OpenConfirm) {
                    self.outputs.push_back(Output::Failed);
                }
            }
            Effect::SendOpen => {
                self.codec = Codec::initial();
                self.send(self.codec.encode_open(&self.config.open(self.restart_bits)));
                self.timers.start(Timer::Hold, now + OPEN_HOLD);
            }
            Effect::Negotiate => {
                if let Payload::Negotiated(negotiated) = std::mem::take(payload) {
                    self.codec = negotiated.codec.clone();
                    self.negotiated = Some(Arc::new(negotiated));
                    // The peer sends none before it has read the KEEPALIVE that follows.
                    if self.codec.extended_messages {
                        self.outputs.push_back(Output::AcceptExtended);
                    }
                    self.restart_hold_timer(now);
                }
            }
            Effect::SendKeepalive => {
                self.send(self.codec.encode_keepalive());
                self.start_keepalive_timer(now);
            }
            Effect::RestartHoldTimer => self.restart_hold_timer(now),
            Effect::SendNotification => {
                if let Payload::Notification(notification) = payload {
                    self.send_notification(now, notification);
                }
            }
            // It depends on more than the payload: see `step`.
            Effect::SendFsmError => {}
            Effect::Up => self.come_up(now),
            Effect::Down => self.outputs.push_back(Output::Down(payload.fall())),
            Effect::Deliver => {
                if let Payload::Output(output) = std::mem::take(payload) {
                    self.outputs.push_back(output);
                }
            }
            Effect::StopTimers => {
                for timer in [Timer::ConnectRetry, Timer::Hold, Timer::Keepalive, Timer::SendHold] {
                    self.timers.stop(timer);
                }
                self.negotiated = None;
                let stable_after = self.config.damping.stable_after;
                if self.established_at.take().is_some_and(|since| now - since >= stable_after) {
                    self.failures = 0;
                }
            }
        }
    }

    fn come_up(&mut self, now: Instant) {
        self.established_at = Some(now);
        self.restart_send_hold_timer(now);
        if let Some(negotiated) = self.negotiated.clone() {
            self.outputs.push_back(Output::Up(negotiated));
        }
    }

    /// RFC 6608 §4: the data is the type of the message that has no place in this state.
    fn send_fsm_error(&mut self, now: Instant, state: State, event: Event, payload: &Payload) {
        let kind = match (event, payload) {
            // An UPDATE comes with what it says; a ROUTE-REFRESH, which shares its event, with what it
            // asks for or with nothing.
            (Event::UpdateMsg, Payload::Output(Output::Update(_))) => Some(MessageType::Update),
            (Event::UpdateMsg, _) => Some(MessageType::RouteRefresh),
            _ => event.message_type(),
        };
        let mut notification = Notification::from(state.unexpected_message());
        let words = format!("unexpected message in {}", state.name());
        self.note(Cause::Sent(notification.reason()), words);
        notification.data.extend(kind.map(|kind| kind as u8));
        self.send_notification(now, &notification);
    }

    /// The hold time, once it is agreed on; zero for none.
    pub(super) fn hold(&self) -> Duration {
        self.negotiated.as_ref().map_or(Duration::ZERO, |n| n.hold)
    }

    pub(super) fn send_notification(&mut self, now: Instant, notification: &Notification) {
        self.send(self.codec.encode_notification(notification));
        self.notification_sent = Some(Exchanged { at: now, notification: notification.clone() });
    }

    pub(super) fn send(&mut self, octets: Vec<u8>) {
        self.counters.messages_out += 1;
        self.outputs.push_back(Output::Send(octets.into()));
    }

    fn start_idle_hold_timer(&mut self, now: Instant) {
        let pause = self.config.damping.pause(self.failures);
        self.failures = self.failures.saturating_add(1);
        let pause = match self.rest {
            Rest::IdleHold => self.timers.jittered(pause),
            Rest::For(time) => time,
            Rest::UntilStarted => return,
        };
        self.timers.start(Timer::IdleHold, now + pause);
    }

    /// RFC 4271 §8.2.2 restarts the HoldTimer on each KEEPALIVE and UPDATE. `now` is when the message
    /// was framed, not when it is applied: during a full-table load the tables may lag by seconds,
    /// and a peer that is talking must not be called dead.
    pub(super) fn restart_hold_timer(&mut self, now: Instant) {
        match self.hold() {
            Duration::ZERO => self.timers.stop(Timer::Hold),
            hold => self.timers.start(Timer::Hold, now + hold),
        }
    }

    /// RFC 9687 §3.1: a peer that takes nothing for so long is no peer, though it may go on talking.
    pub(super) fn restart_send_hold_timer(&mut self, now: Instant) {
        match self.negotiated.as_ref().and_then(|n| send_hold(n.hold)) {
            Some(hold) => self.timers.start(Timer::SendHold, now + hold),
            None => self.timers.stop(Timer::SendHold),
        }
    }

    fn start_keepalive_timer(&mut self, now: Instant) {
        match self.negotiated.as_ref().map(|n| n.keepalive) {
            Some(interval) if !interval.is_zero() => {
                let at = self.timers.jittered_in_company(now, interval);
                self.timers.start(Timer::Keepalive, at);
            }
            _ => self.timers.stop(Timer::Keepalive),
        }
    }
}

/// What an event brings along for its effects.
#[derive(Debug, Default)]
pub(super) enum Payload {
    #[default]
    None,
    Negotiated(Negotiated),
    Notification(Notification),
    Output(Output),
    /// The connection is gone by itself.
    Gone,
    /// There is no way to the peer any more.
    CutOff,
}

impl Payload {
    /// How a session that ends with this has fallen.
    fn fall(&self) -> Fall {
        match self {
            Payload::Gone => Fall::Silent,
            Payload::CutOff => Fall::Final,
            Payload::Notification(notification) => Fall::by(notification.reason()),
            // A message that has no place here is answered with a NOTIFICATION (RFC 6608).
            Payload::None | Payload::Negotiated(_) | Payload::Output(_) => Fall::Notification,
        }
    }
}
