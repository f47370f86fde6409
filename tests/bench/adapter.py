"""Our daemon as a contestant of the side-by-side harness: BENCH_OURS_ADAPTER names this file.

It is the harness's own adapter but for one object: the Node has an address of each family that it is to announce, as a
node of a cluster with both families has. Without, there is no next hop of ours for IPv6 prefixes on a session over IPv4.
"""
import json
import os

# The harness's module is half made when it reads this file; its class is there.
from contestants.ours import Contestant as Harness


class Edited:
    """A run's environment, but with the objects of our daemon changed before it starts."""

    def __init__(self, env, edit):
        self.env, self.edit = env, edit

    def __getattr__(self, name):
        return getattr(self.env, name)

    def popen(self, argv, log):
        path = os.path.join(self.env.dir, "manifests", "all.yaml")
        with open(path) as file:
            objects = [json.loads(text) for text in file.read().split("\n---\n")]
        for one in objects:
            self.edit(one)
        with open(path, "w") as file:
            file.write("\n---\n".join(json.dumps(one) for one in objects) + "\n")
        return self.env.popen(argv, log)


class Contestant(Harness):
    def start(self, env):
        return super().start(Edited(env, lambda one: self.edit(env, one)))

    def edit(self, env, one):
        """Changes one object."""
        if one["kind"] == "Node" and env.spec["v6"]:
            one["status"]["addresses"].append({"type": "InternalIP", "address": "fd00:255::1"})
