"""Rewards of a running `rung serve --reward prm.gguf` for TRL and verl; the standard library alone.

TRL:  GRPOTrainer(..., reward_funcs=[RungReward()])    verl: custom_reward_function.path=rung_reward.py (compute_score)
What could not be scored - time over, server gone, too long - is None, never 0, and counted in n_unscored.
"""
import json
import os
import urllib.request


def ask(path, body, timeout=60.0, url=None):
    url = url or os.environ.get("RUNG_URL", "http://127.0.0.1:8080")
    head = {"Content-Type": "application/json", "Authorization": "Bearer " + os.environ.get("RUNG_TOKEN", "")}
    request = urllib.request.Request(url + path, json.dumps(body).encode(), head)
    with urllib.request.urlopen(request, timeout=timeout) as reply:
        return json.load(reply)


class RungReward:
    def __init__(self, url=None, timeout=60.0, **opts):  # opts: steps=True, credit="min_form"
        self.url, self.timeout, self.opts, self.n_unscored, self.last = url, timeout, opts, 0, None
        self.__name__ = "rung"  # what TRL calls the reward in its logs

    def __call__(self, prompts, completions, completion_ids=None, **columns):
        text = lambda x: x if isinstance(x, str) else x[-1]["content"]
        body = dict(self.opts, query=[text(c) for c in completions], prompts=[text(p) for p in prompts],
                    completion_ids=completion_ids, timeout_s=self.timeout)
        try:
            self.last = ask("/get_reward", body, self.timeout + 5.0, self.url)
            rewards = self.last["rewards"]
        except (OSError, ValueError, KeyError):
            self.last, rewards = None, [None] * len(completions)
        self.n_unscored += sum(r is None for r in rewards)
        return rewards


def compute_score(data_source, solution_str, ground_truth, extra_info=None, **kwargs):
    return ask("/compute_score", {"data_source": data_source, "solution_str": solution_str, "ground_truth": ground_truth})["score"]
