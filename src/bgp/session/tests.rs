//! The FSM as one table, every state × every event, and the session's timers and messages around it.

use std::time::Duration;

use super::fsm::{Effect, transition};
use super::*;
use crate::bgp::capability::AddPath;
use crate::bgp::{Capability, Open};

/// One letter per cell: the next state, what a peer or owner notices, and what becomes of the timers.
///
/// Columns are the states in RFC order: Idle, Connect, Active, OpenSent, OpenConfirm, Established.
/// States: I C A S O E. Effects: `.` nothing, `d` dial, `o` send OPEN, `k` send KEEPALIVE, `n` send
/// the NOTIFICATION of the event, `f` send an FSM error, `x` close in silence, `u` up, `m` deliver.
/// Timers: `.` nothing, `c` start ConnectRetry, `o` stop it and start Hold with its large value, `n` set
/// Hold and Keepalive as negotiated, `h` restart Hold, `k` restart Keepalive, `i` stop all and start
/// IdleHold, `z` stop all, `a` stop all and start ConnectRetry.
const TABLE: [(Event, &str, &str, &str); 21] = [
    (Event::ManualStart, "CCASOE", "d.....", "c....."),
    (Event::ManualStop, "IIIIII", ".xxnnn", ".zzzzz"),
    (Event::ManualStartWithPassive, "ACASOE", "......", "......"),
    (Event::ConnectRetryTimerExpires, "ICCIII", ".ddfff", ".cciii"),
    (Event::HoldTimerExpires, "IIIIII", ".xxnnn", ".iiiii"),
    (Event::KeepaliveTimerExpires, "IIIIOE", ".xxfkk", ".iiikk"),
    (Event::IdleHoldTimerExpires, "CIIIII", "dxxfff", "ciiiii"),
    (Event::IdleHoldTimerExpiresPassive, "AIIIII", ".xxfff", ".iiiii"),
    (Event::TcpCrAcked, "ISSIII", "xoofff", ".ooiii"),
    (Event::TcpConnectionConfirmed, "ISSIII", "xoofff", ".ooiii"),
    (Event::TcpConnectionFails, "IAAAII", "...xxx", ".ccaii"),
    (Event::BgpOpen, "IIIOII", ".xxkff", ".iinii"),
    (Event::BgpHeaderErr, "IIIIII", ".xxnnn", ".iiiii"),
    (Event::BgpOpenMsgErr, "IIIIII", ".xxnnf", ".iiiii"),
    (Event::OpenCollisionDump, "IIIIII", ".xxnnn", ".iiiii"),
    (Event::NotifMsgVerErr, "IIIIII", ".xxxxx", ".iiiii"),
    (Event::NotifMsg, "IIIIII", ".xxxxx", ".iiiii"),
    (Event::KeepAliveMsg, "IIIIEE", ".xxfu.", ".iiihh"),
    (Event::UpdateMsg, "IIIIIE", ".xxffm", ".iiiih"),
    (Event::UpdateMsgErr, "IIIIII", ".xxffn", ".iiiii"),
    (Event::SendHoldTimerExpires, "IIIIII", ".xxffn", ".iiiii"),
];

fn letter(state: State) -> char {
    match state {
        State::Idle => 'I',
        State::Connect => 'C',
        State::Active => 'A',
        State::OpenSent => 'S',
        State::OpenConfirm => 'O',
        State::Established => 'E',
    }
}

fn noticed(effects: &[Effect]) -> char {
    let visible = [
        (Effect::SendFsmError, 'f'),
        (Effect::SendNotification, 'n'),
        (Effect::Dial, 'd'),
        (Effect::SendOpen, 'o'),
        (Effect::SendKeepalive, 'k'),
        (Effect::Up, 'u'),
        (Effect::Deliver, 'm'),
        (Effect::DropConnection, 'x'),
    ];
    visible.into_iter().find(|(effect, _)| effects.contains(effect)).map_or('.', |(_, letter)| letter)
}

fn timed(effects: &[Effect]) -> char {
    let has = |effect| effects.contains(&effect);
    let starts_retry = has(Effect::StartConnectRetryTimer);
    match (has(Effect::StopTimers), has(Effect::StartIdleHoldTimer)) {
        (true, true) => 'i',
        (true, false) if starts_retry => 'a',
        (true, false) => 'z',
        (false, true) => panic!("whoever waits in Idle has no other timer: {effects:?}"),
        (false, false) if starts_retry => 'c',
        (false, false) if has(Effect::Negotiate) && has(Effect::StopConnectRetryTimer) => 'n',
        (false, false) if has(Effect::SendOpen) && has(Effect::StopConnectRetryTimer) => 'o',
        (false, false) if has(Effect::RestartHoldTimer) => 'h',
        (false, false) if has(Effect::SendKeepalive) => 'k',
        (false, false) => '.',
    }
}

/// RFC 4271 §8.2.2: what goes out goes out before the connection is closed, and whoever goes back to
/// Idle has none.
#[test]
fn the_way_to_idle_closes_the_connection_and_says_why_first() {
    for (state, event) in State::ALL.into_iter().flat_map(|s| Event::ALL.map(|e| (s, e))) {
        let (next, effects) = transition(state, event);
        let at = |effect| effects.iter().position(|e| *e == effect);
        let closed = at(Effect::DropConnection);
        assert!(next != State::Idle || state == State::Idle || closed.is_some(), "{state:?} {event:?}");
        for said in [Effect::SendNotification, Effect::SendFsmError].into_iter().filter_map(at) {
            assert!(closed.is_some_and(|closed| said < closed), "{state:?} {event:?}");
        }
        let repeated = effects.iter().enumerate().any(|(i, e)| effects[..i].contains(e));
        assert!(!repeated, "{state:?} {event:?}: {effects:?}");
    }
}

#[test]
fn every_state_and_every_event() {
    assert_eq!(TABLE.map(|(event, ..)| event), Event::ALL);
    for (event, states, effects, timers) in TABLE {
        let cells = State::ALL.map(|state| transition(state, event));
        let next: String = cells.iter().map(|(next, _)| letter(*next)).collect();
        let seen: String = cells.iter().map(|(_, effects)| noticed(effects)).collect();
        assert_eq!((next.as_str(), seen.as_str()), (states, effects), "{event:?}");
        let timed: String = cells.iter().map(|(_, effects)| timed(effects)).collect();
        assert_eq!(timed, timers, "{event:?}");
    }
}

#[test]
fn whoever_leaves_established_says_so_and_stops_the_timers() {
    for event in Event::ALL {
        let (next, effects) = transition(State::Established, event);
        let leaves = next != State::Established;
        assert_eq!(leaves, effects.contains(&Effect::Down), "{event:?}");
        assert_eq!(leaves, effects.contains(&Effect::StopTimers), "{event:?}");
        assert_eq!(leaves, effects.contains(&Effect::DropConnection), "{event:?}");
    }
}

fn config() -> Config {
    Config {
        local_asn: 64512,
        router_id: [192, 168, 1, 11].into(),
        remote_as: RemoteAs::Exactly(65000),
        families: Family::ALL.into(),
        hold: Duration::from_secs(90),
        keepalive: Duration::from_secs(30),
        connect_retry: Duration::from_secs(5),
        damping: Damping::default(),
        passive: false,
        host_name: "node1".into(),
        extended_next_hop: false,
        add_path: AddPath::default(),
        role: None,
        role_strict: false,
        graceful_restart: None,
    }
}

fn open() -> Message {
    let families = Family::ALL.map(Capability::Multiprotocol);
    let capabilities = families.into_iter().chain([Capability::FourOctetAs(65000)]).collect();
    Message::Open(Open { asn: 65000, hold_time: 9, router_id: [192, 168, 1, 1].into(), capabilities })
}

fn at(seconds: f64) -> Instant {
    Instant::ORIGIN + Duration::from_secs_f64(seconds)
}

/// What the session wants done, a word each; messages by their type.
fn outputs(session: &mut Session) -> Vec<String> {
    let word = |output| match output {
        Output::Send(octets) => match octets[18] {
            1 => "OPEN".to_owned(),
            2 => "UPDATE".to_owned(),
            3 => format!("NOTIFICATION {}/{}", octets[19], octets[20]),
            4 => "KEEPALIVE".to_owned(),
            _ => "ROUTE-REFRESH".to_owned(),
        },
        Output::Up(_) => "Up".to_owned(),
        Output::Update(_) => "Update".to_owned(),
        other => format!("{other:?}"),
    };
    std::iter::from_fn(|| session.poll_output()).map(word).collect()
}

fn established() -> Session {
    let mut session = Session::new(config(), 1);
    session.handle_start(at(0.0));
    session.handle_connected(at(0.1));
    session.handle_message(at(0.2), open());
    session.handle_message(at(0.3), Message::Keepalive);
    assert_eq!(outputs(&mut session), ["Dial", "OPEN", "KEEPALIVE", "Up"]);
    session
}

#[test]
fn a_session_comes_up_with_the_lesser_hold_time() {
    let session = established();
    assert_eq!(session.state(), State::Established);
    assert_eq!(session.negotiated().unwrap().hold, Duration::from_secs(9));
    let (due, timer) = session.poll_timeout().unwrap();
    assert_eq!(timer, Timer::Keepalive);
    assert!((at(2.4)..=at(3.3)).contains(&due), "a third of the hold time, with jitter: {due:?}");
}

#[test]
fn silence_ends_a_session_and_words_keep_it() {
    let mut session = established();
    session.handle_message(at(9.0), Message::Keepalive);
    session.handle_timeout(at(9.4));
    assert_eq!(outputs(&mut session), ["KEEPALIVE"]);
    session.handle_timeout(at(18.1));
    assert_eq!(outputs(&mut session), ["KEEPALIVE", "NOTIFICATION 4/0", "Close", "Down(Notification)"]);
    assert_eq!(session.last_error(), Some("hold timer expired"));
}

#[test]
fn words_that_are_still_to_be_handed_in_keep_a_session() {
    let mut session = established();
    session.handle_heard(at(8.0), 0);
    // Older words, handed in late, do not take back what is known since.
    session.handle_message(at(4.0), Message::Keepalive);
    session.handle_heard(at(8.0), 0);
    session.handle_timeout(at(16.9));
    assert_eq!(outputs(&mut session), ["KEEPALIVE"]);
    session.handle_timeout(at(17.1));
    assert_eq!(outputs(&mut session), ["NOTIFICATION 4/0", "Close", "Down(Notification)"]);
    session.handle_heard(at(17.2), 0);
    assert!(session.poll_timeout().is_none_or(|(_, timer)| timer != Timer::Hold));

    // Before the OPENs agree, nothing is to be prolonged.
    let mut session = Session::new(config(), 1);
    session.handle_start(at(0.0));
    session.handle_connected(at(0.1));
    session.handle_heard(at(100.0), 0);
    session.handle_timeout(at(240.2));
    assert_eq!(outputs(&mut session), ["Dial", "OPEN", "NOTIFICATION 4/0", "Close", "Failed"]);
}

#[test]
fn a_peer_that_takes_nothing_is_dropped_though_it_talks() {
    let minutes = |taking: bool| {
        let mut session = established();
        for second in 1..600 {
            let now = at(f64::from(second));
            session.handle_message(now, Message::Keepalive);
            if taking && second % 400 == 0 {
                session.handle_sent(now);
            }
            session.handle_timeout(now);
            if session.state() != State::Established {
                return (second / 60, outputs(&mut session));
            }
        }
        (10, vec![])
    };
    let (dropped_after, last) = minutes(false);
    assert_eq!(dropped_after, 8);
    assert_eq!(last[last.len() - 3..], ["NOTIFICATION 8/0", "Close", "Down(Notification)"]);
    assert_eq!(minutes(true).0, 10);
}

#[test]
fn a_fall_says_whether_routes_may_outlive_it() {
    let graceful = |ours: bool, theirs: bool| {
        let offer = RestartOffer { restart_time: Duration::from_secs(120), long_lived_time: Duration::ZERO };
        let config = Config { graceful_restart: ours.then_some(offer), ..config() };
        let mut session = Session::new(config.clone(), 1);
        session.handle_start_passive(at(0.0));
        session.handle_accepted(at(0.0));
        let Message::Open(mut open) = open() else { unreachable!() };
        if theirs {
            let mut capabilities = config.open(RestartBits::default()).capabilities;
            open.capabilities.append(&mut capabilities);
            open.capabilities.retain(|c| *c != Capability::FourOctetAs(64512));
        }
        session.handle_message(at(0.0), Message::Open(open));
        session.handle_message(at(0.0), Message::Keepalive);
        assert_eq!(session.state(), State::Established);
        outputs(&mut session);
        session
    };
    let received = |ours, theirs, notification| {
        let mut session = graceful(ours, theirs);
        session.handle_message(at(1.0), Message::Notification(notification));
        outputs(&mut session).pop().unwrap()
    };
    let plain = Notification { code: 6, subcode: 2, data: vec![] };
    assert_eq!(received(true, true, plain.clone()), "Down(Notification)");
    assert_eq!(received(true, true, plain.into_hard_reset()), "Down(Final)");
    let mut session = graceful(true, true);
    session.handle_closed(at(1.0), "reset");
    assert_eq!(outputs(&mut session), ["Close", "Down(Silent)"]);
    let stopped = |ours, theirs, reason| {
        let mut session = graceful(ours, theirs);
        session.handle_stop(at(1.0), reason, "bye");
        outputs(&mut session)
    };
    let (final_, other) = (Reason::ADMINISTRATIVE_SHUTDOWN, Reason::OTHER_CONFIGURATION_CHANGE);
    assert_eq!(stopped(true, true, final_), ["NOTIFICATION 6/9", "Close", "Down(Final)"]);
    assert_eq!(stopped(true, true, other), ["NOTIFICATION 6/6", "Close", "Down(Notification)"]);
    assert_eq!(stopped(true, false, final_), ["NOTIFICATION 6/2", "Close", "Down(Notification)"]);
    assert_eq!(stopped(false, true, final_), ["NOTIFICATION 6/2", "Close", "Down(Notification)"]);
}

#[test]
fn failures_in_a_row_wait_longer_and_health_forgives() {
    let mut session = Session::new(config(), 1);
    session.handle_start(at(0.0));
    let mut pauses = vec![];
    let mut now = at(0.0);
    for _ in 0..12 {
        session.handle_connected(now);
        session.handle_message(now, Message::Keepalive);
        let (due, timer) = session.poll_timeout().unwrap();
        assert_eq!(timer, Timer::IdleHold);
        pauses.push((due - now).as_secs_f64());
        now = due;
        session.handle_timeout(now);
    }
    assert!(pauses.windows(2).all(|w| w[0] * 0.74 <= w[1]), "{pauses:?}");
    assert!((0.18..=0.25).contains(&pauses[0]) && (45.0..=60.0).contains(&pauses[11]), "{pauses:?}");
    session.handle_connected(now);
    session.handle_message(now, open());
    session.handle_message(now, Message::Keepalive);
    let mut later = now;
    for _ in 0..20 {
        later = later + Duration::from_secs(4);
        session.handle_message(later, Message::Keepalive);
    }
    session.handle_closed(later, "connection reset");
    let (due, _) = session.poll_timeout().unwrap();
    assert!((due - later) <= Duration::from_millis(250));
}

#[test]
fn pauses_have_jitter_and_a_ceiling_of_their_own() {
    let damping = Damping {
        first: Duration::from_secs(1),
        most: Duration::from_secs(4),
        stable_after: Duration::from_secs(10),
    };
    let pauses = |seed| {
        let mut session = Session::new(config(), seed);
        session.set_pauses(&Config { damping, ..config() });
        session.handle_start(at(0.0));
        let mut now = at(0.0);
        let mut pauses = vec![];
        for _ in 0..6 {
            session.handle_connected(now);
            session.handle_message(now, Message::Keepalive);
            let (due, _) = session.poll_timeout().unwrap();
            pauses.push((due - now).as_secs_f64());
            session.handle_timeout(due);
            now = due;
        }
        pauses
    };
    for (i, full) in [1.0, 2.0, 4.0, 4.0, 4.0, 4.0].into_iter().enumerate() {
        let drawn: Vec<f64> = (0..100).map(|seed| pauses(seed)[i]).collect();
        assert!(drawn.iter().all(|pause| (full * 0.75..=full).contains(pause)), "{drawn:?}");
        assert!(drawn.iter().any(|pause| *pause < full * 0.8) && drawn.iter().any(|p| *p > full * 0.95));
    }
}

#[test]
fn a_session_that_went_down_early_has_not_been_forgiven() {
    let mut session = established();
    let fail = |session: &mut Session, from: f64, to: f64| {
        session.handle_message(at(to), Message::Update(Update::default()));
        session.handle_closed(at(to), "connection reset");
        let (due, _) = session.poll_timeout().unwrap();
        session.handle_timeout(due);
        session.handle_connected(due);
        session.handle_message(due, open());
        session.handle_message(due, Message::Keepalive);
        assert_eq!(session.state(), State::Established, "since {from}");
        (due - at(to)).as_secs_f64()
    };
    let first = fail(&mut session, 0.3, 5.0);
    let second = fail(&mut session, 5.3, 8.0);
    assert!((0.1875..=0.25).contains(&first) && (0.375..=0.5).contains(&second), "{first} {second}");
}

#[test]
fn attempts_to_connect_have_jitter() {
    let pause = |seed| {
        let mut session = Session::new(config(), seed);
        session.handle_start(at(0.0));
        session.handle_closed(at(0.0), "connection refused");
        (session.poll_timeout().unwrap().0 - at(0.0)).as_secs_f64()
    };
    let drawn: Vec<f64> = (0..100).map(pause).collect();
    assert!(drawn.iter().all(|pause| (3.75..=5.0).contains(pause)), "{drawn:?}");
    assert!(drawn.iter().any(|pause| *pause < 4.0) && drawn.iter().any(|pause| *pause > 4.75));
}

#[test]
fn a_wrong_as_is_refused_with_bad_peer_as() {
    let mut session = Session::new(Config { remote_as: RemoteAs::Internal, ..config() }, 1);
    session.handle_start(at(0.0));
    session.handle_connected(at(0.1));
    session.handle_message(at(0.2), open());
    assert_eq!(outputs(&mut session), ["Dial", "OPEN", "NOTIFICATION 2/2", "Close", "Failed"]);
    let said = session.last_error().unwrap();
    assert!(said.contains("peer is in AS 65000, we expect our own AS 64512"), "{said}");
}

#[test]
fn an_update_before_established_is_an_fsm_error_with_the_subcode_of_the_state() {
    let mut session = Session::new(config(), 1);
    session.handle_start(at(0.0));
    session.handle_connected(at(0.1));
    session.handle_message(at(0.2), Message::Update(Update::default()));
    assert_eq!(outputs(&mut session)[2], "NOTIFICATION 5/1");
    let mut session = Session::new(config(), 1);
    session.handle_start(at(0.0));
    session.handle_connected(at(0.1));
    session.handle_message(at(0.2), open());
    session.handle_message(at(0.3), Message::RouteRefresh(Family::Ipv4Unicast));
    assert_eq!(outputs(&mut session)[3], "NOTIFICATION 5/2");
}

#[test]
fn a_passive_session_never_dials() {
    let mut session = Session::new(Config { passive: true, ..config() }, 1);
    session.handle_start(at(0.0));
    assert_eq!((session.state(), session.poll_timeout()), (State::Active, None));
    session.handle_accepted(at(1.0));
    session.handle_closed(at(2.0), "connection reset");
    assert_eq!((session.state(), session.poll_timeout()), (State::Active, None));
    assert_eq!(outputs(&mut session), ["OPEN", "Close"]);
}

#[test]
fn a_failed_attempt_waits_for_the_peer_and_tries_again() {
    let mut session = Session::new(config(), 1);
    session.handle_start(at(0.0));
    session.handle_closed(at(0.1), "connection refused");
    assert_eq!(session.state(), State::Active);
    let (due, timer) = session.poll_timeout().unwrap();
    assert_eq!(timer, Timer::ConnectRetry);
    session.handle_timeout(due);
    assert_eq!(outputs(&mut session), ["Dial", "Dial"]);
}
