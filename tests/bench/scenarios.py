"""Scenarios that the side-by-side harness has no word for. Each yields rows as its own do: `s`, and the numbers."""
import time

from harness import cpu_ns
from watcher import IPV4, IPV6, Watcher


def staged(agent, table, *commands):
    agent.tell(f"table {table}")
    agent.wait("table", 60)
    for command in commands:
        agent.tell(command)
        agent.wait("staged", 120)


def told(bench, run, goal, senders, options):
    """From the first octet until all have what they should: time, CPU, memory, messages."""
    before, meter = cpu_ns([p.pid for p in run.procs], bench), bench.Meter(run)
    run.agent.tell(goal)
    run.agent.tell(f"go {senders}")
    go = run.agent.wait("go", 30)
    reached = run.agent.wait("reached", options.timeout)
    spent = cpu_ns([p.pid for p in run.procs], bench) - before
    _, peak, _ = run.use()
    return {"s_all": reached["t"] - go["t"], "cpu": spent / 1e9, "rss_peak_mb": peak, "updates_out": reached["updates"],
            "bytes_out": reached["bytes"], "noise": meter.noise()}


def held(bench, options, name, prefixes, sets, hold=3):
    """S1 with a hold time of 3 s on every session: a sender, ten receivers, and three strict ones that time our silence.

    Of these, two take the table and one has nothing to exchange. The session that the table arrives on, and those that it
    leaves by, are busy; the third's keepalives are the only thing that is said on it.
    """
    receivers, strict = 10, [IPV4, IPV4, IPV6]
    busy = 1 + receivers
    run = bench.Run(options, name, {"peers": bench.ebgp(busy + len(strict)), "hold": hold, "v6": True})
    watchers = []
    try:
        agent = run.agent
        # The generator's sessions say IPv6, too, or not: the table is of IPv4.
        staged(agent, f"real {prefixes} {sets} 1", f"stage 0 announce 0 {prefixes}")
        agent.tell(f"track 1-{receivers}")
        agent.tell(f"connect 0-{receivers}")
        until = time.monotonic() + 60
        while agent_up(agent) < busy:
            if time.monotonic() > until:
                raise TimeoutError(f"{busy} sessions are not up within 60 s")
        for peer, family in zip(run.spec["peers"][busy:], strict):
            watchers.append(Watcher(run.net.gen, peer, bench.DUT, hold, family))
        time.sleep(2 * hold)
        began = time.monotonic()
        row = told(bench, run, f"expect all 1-{receivers} ge {prefixes}", "0", options)
        # As the table leaves again.
        agent.tell(f"stage 0 withdraw 0 {prefixes}")
        agent.wait("staged", 60)
        agent.tell(f"expect none 1-{receivers} le 0")
        agent.tell("go 0")
        agent.wait("reached", options.timeout)
        time.sleep(2 * hold)
        now = time.monotonic()
        ended = [watcher.ended for watcher in watchers if watcher.ended]
        if ended:
            raise RuntimeError(f"a strict peer's session ended: {ended}")
        agent.tell("stat")
        if agent.wait("stat", 10)["up"] < busy:
            raise RuntimeError("a session was lost")
        yield {"s": "hold", "n": prefixes, "silence": max(max(w.silences(began, now)) for w in watchers), "hold": hold,
               "sessions": busy + len(strict), **row}
    finally:
        for watcher in watchers:
            watcher.close()
        run.close()


def agent_up(agent):
    time.sleep(0.1)
    agent.tell("stat")
    return agent.wait("stat", 10)["up"]


def server(bench, options, name, peers, each):
    """A route server: each of some external peers announces as many prefixes, and is told those of the others."""
    run = bench.Run(options, name, {"peers": bench.ebgp(peers)})
    try:
        total = peers * each
        staged(run.agent, f"real {total} {max(1, total * 6 // 100)} 1", f"stage_each {each}")
        run.agent.tell("track all")
        run.up()
        time.sleep(1.5)
        row = told(bench, run, f"expect all all ge {total - each}", "all", options)
        yield {"s": "server", "peers": peers, "n": each, **row}
    finally:
        run.close()


def table_of(bench, options, name, prefixes):
    """S1 with so many prefixes in 6 % as many attribute sets; all are /24s, for there is no room for two million of every size."""
    run = bench.Run(options, name, {"peers": bench.ebgp(2)})
    try:
        staged(run.agent, f"flat {prefixes} {prefixes * 6 // 100} 1", f"stage 0 announce 0 {prefixes}")
        run.agent.tell("track 1")
        run.up()
        time.sleep(1.5)
        empty = run.use()[2]
        row = told(bench, run, f"expect all 1 ge {prefixes}", "0", options)
        yield {"s": "prefixes", "n": prefixes, "rss_empty_mb": empty, **row}
    finally:
        run.close()


def clients_of(bench, options, name, clients, prefixes):
    """A reflector with so many clients, which have so many prefixes among them, each with attributes of its own."""
    run = bench.Run(options, name, {"peers": bench.ibgp(clients), "rr": True})
    try:
        each = prefixes // clients
        total = each * clients
        staged(run.agent, f"flat {total} {total} 1", f"stage_each {each}")
        run.agent.tell("track all")
        run.up(300)
        time.sleep(3)
        empty = run.use()[2]
        row = told(bench, run, f"expect all all ge {total - each}", "all", options)
        yield {"s": "clients", "n": clients, "prefixes": total, "rss_empty_mb": empty, **row}
    finally:
        run.close()


def policy(one):
    """A thousand entries in the list of prefixes and a hundred rules about communities for each peer's import.

    Of the prefixes, 816 split up the space that the table lies in, so that each path is accepted, and each by another entry.
    Of the rules, 99 want a community that hardly a path bears, and one changes every path.
    """
    if one["kind"] != "BgpPeer":
        return
    accept = [{"prefix": f"{a}.{b}.0.0/10", "ge": 16, "le": 24} for a in range(20, 224) for b in (0, 64, 128, 192)]
    accept = [{"prefix": f"10.{i}.0.0/16", "le": 24} for i in range(1000 - len(accept))] + accept
    rules = [{"match": {"communities": {"any": [f"64999:{i}"]}}, "action": "reject"} for i in range(99)]
    rules.append({"match": {"communities": {"none": ["64999:666"]}}, "set": {"localPreference": 120}})
    one["spec"]["import"] = {"accept": accept, "rules": rules}
