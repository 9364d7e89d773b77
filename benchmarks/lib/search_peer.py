"""The peers of benchmarks/search: a line "CASE NODES" on stdin, a JSON line out. States and rewards follow from a counter, so
that nothing but their own bookkeeping is timed. Their models are not loaded: what llm-reasoners imports of torch and transformers
at its top is stood in for by empty modules when they are not installed."""
import importlib.metadata
import importlib.util
import json
import sys
import time
import types


def version(name):
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def stand_in(name, *names):
    if importlib.util.find_spec(name) is None:
        sys.modules[name] = types.ModuleType(name)
        for n in names:
            setattr(sys.modules[name], n, object)


why = ""
try:
    import treequest
except ImportError as e:
    treequest, why = None, str(e)
try:
    stand_in("transformers", "StoppingCriteriaList")
    stand_in("torch")
    from reasoners.algorithm import mcts as reasoners_mcts
    import reasoners
except ImportError as e:
    reasoners, why = None, str(e)


class Counter:
    n = 0

    @classmethod
    def reward(cls):
        cls.n += 1
        return (cls.n * 7919 % 1000) / 1000


def treequest_run(algo, n):
    state = algo.init_tree()
    generate = {"step": lambda parent: (Counter.n, Counter.reward())}
    t0 = time.perf_counter()
    for _ in range(n):
        state = algo.step(state, generate, inplace=True)
    return time.perf_counter() - t0, n


def reasoners_run(n, width=4, depth=30):
    class World(reasoners.WorldModel):
        def init_state(self):
            return 0

        def step(self, state, action):
            return state + 1, {}

        def is_terminal(self, state):
            return state >= depth

    class Config(reasoners.SearchConfig):
        def get_actions(self, state):
            return list(range(width))

        def fast_reward(self, state, action):
            return Counter.reward(), {}

        def reward(self, state, action, **more):
            return Counter.reward(), {}

    algo = reasoners_mcts.MCTS(n_iters=n // width, depth_limit=depth, w_exp=1.0)
    world, config = World(), Config()
    world.update_example(None) if hasattr(world, "update_example") else None
    config.update_example(None) if hasattr(config, "update_example") else None
    t0 = time.perf_counter()
    algo(world, config)
    return time.perf_counter() - t0, n


cases = {"treequest_mcts": lambda n: treequest_run(treequest.StandardMCTS(samples_per_action=4), n),
         "treequest_ab_a": lambda n: treequest_run(treequest.ABMCTSA(), n),
         "reasoners_mcts": reasoners_run}
print(json.dumps({"treequest": treequest and version("treequest"), "reasoners": reasoners and version("llm-reasoners"), "why": why}),
      flush=True)
for line in sys.stdin:
    name, n = line.split()
    s, nodes = cases[name](int(n))
    print(json.dumps({"wall_s": s, "nodes": nodes}), flush=True)
