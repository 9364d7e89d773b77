"""Functions out of published sources, run as they stand: load(FILE, [names]) executes those definitions alone, so that a
trainer's whole stack (Ray, vLLM, ...) is not needed to ask one function of it."""
import ast
from collections import defaultdict
from copy import deepcopy
from types import SimpleNamespace
from typing import Any, Callable, Iterable, List, Optional, Tuple, Union

import numpy as np
import torch


class Anything:
    """Stands for names in annotations that are never called."""

    def __getattr__(self, name):
        return self

    def __getitem__(self, item):
        return self

    def __or__(self, other):
        return self

    __ror__ = __or__


def load(path, names, **more):
    """The functions and classes `names` of a file (methods as Class.method), in one namespace with what they may call."""
    with open(path) as f:
        tree = ast.parse(f.read())
    found = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            for sub in node.body:
                if isinstance(sub, ast.FunctionDef):
                    found[node.name + "." + sub.name] = sub
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            found.setdefault(node.name, node)
    space = {"torch": torch, "np": np, "F": torch.nn.functional, "defaultdict": defaultdict, "deepcopy": deepcopy,
             "Optional": Optional, "Any": Any, "Callable": Callable, "List": List, "Tuple": Tuple, "Union": Union,
             "Iterable": Iterable, "Enum": type("Enum", (), {}), "verl": Anything(), "AlgoConfig": type("AlgoConfig", (), {}),
             "ActorConfig": Config, "DictConfig": Config, "Experience": Anything(), "PolicyLossFn": Anything(), **more}
    for name in names:
        node = found[name]
        node.decorator_list = []
        exec(compile(ast.Module([node], []), path, "exec"), space)
    return SimpleNamespace(**{n.split(".")[-1]: space[n.split(".")[-1]] for n in names})


class Config(dict):
    """What those functions read settings from: c.key, c.get(key, default); None where it is not set."""

    def __getattr__(self, key):
        return self.get(key)


def verl(package):
    """core_algos of a verl package folder (pip install --no-deps verl)."""
    masked = load(package + "/utils/torch_functional.py", ["masked_sum", "masked_mean", "masked_var", "masked_whiten",
                                                           "clip_by_value"])
    names = ["compute_gae_advantage_return", "compute_grpo_outcome_advantage", "compute_grpo_passk_outcome_advantage",
             "compute_reinforce_plus_plus_baseline_outcome_advantage", "compute_rloo_outcome_advantage",
             "compute_rloo_vectorized_outcome_advantage", "compute_opo_outcome_advantage",
             "compute_reinforce_plus_plus_outcome_advantage", "compute_remax_outcome_advantage",
             "compute_gpg_outcome_advantage", "agg_loss", "compute_policy_loss_vanilla", "compute_policy_loss_gspo",
             "compute_policy_loss_clip_cov", "compute_policy_loss_kl_cov", "compute_policy_loss_geo_mean",
             "compute_policy_loss_cispo", "compute_policy_loss_gpg", "compute_policy_loss_sapo", "kl_penalty_forward",
             "kl_penalty"]
    return load(package + "/trainer/ppo/core_algos.py", names, verl_F=masked)


def prime(checkout):
    """PRIME-RL/PRIME: compute_rloo_returns."""
    here = checkout + "/training/verl/"
    masked = load(here + "utils/torch_functional.py", ["masked_mean", "masked_var", "masked_whiten"])
    return load(here + "trainer/ppo/core_algos.py", ["compute_rloo_returns"], verl_F=masked)


def pure_verl(checkout):
    """CJReinforce/PURE, branch verl."""
    masked = load(checkout + "/verl/utils/torch_functional.py", ["masked_mean", "masked_var", "masked_whiten"])
    return load(checkout + "/verl/trainer/ppo/core_algos.py", ["compute_rloo_outcome_advantage"], verl_F=masked)


def pure_openrlhf(checkout):
    """CJReinforce/PURE, branch main: the soft minimum, and the baselines of its experience maker."""
    utils = load(checkout + "/openrlhf/utils/utils.py", ["right_padding", "turn_process_reward_logits_to_reward"])
    maker = load(checkout + "/openrlhf/trainer/ppo_utils/experience_maker.py",
                 ["NaiveExperienceMaker.process_experiences"], right_padding=utils.right_padding)
    return SimpleNamespace(**vars(utils), **vars(maker))


def fine_grained(checkout):
    """allenai/FineGrainedRLHF: compute_advantages and its whitening."""
    u = load(checkout + "/fgrlhf/utils.py", ["reduce_sum", "reduce_mean", "reduce_std", "whiten"])
    return load(checkout + "/fgrlhf/ppo.py", ["PPOTrainer.compute_advantages"], whiten=u.whiten)


def trl(package):
    """nanstd (scale_rewards) and the overlong penalty of a trl package folder."""
    names = load(package + "/trainer/utils.py", ["nanstd"])
    long = load(package + "/rewards/other_rewards.py", ["_SoftOverlongPunishment"])
    return SimpleNamespace(**vars(names), **vars(long))
