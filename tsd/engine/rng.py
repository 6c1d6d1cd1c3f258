"""Keyed, counter-based random streams: a draw depends on what it is for, never on who drew before.

The key is (stream, seed index, purpose), the counter is the step: any draw can be made again alone, in any order, on
any worker. Philox 4×64-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3") as NumPy implements it;
numbers are drawn on the CPU, in shapes that the trial alone fixes, so they agree on every device.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

STREAMS = ("teacher", "data", "init", "noise")
BUFFER = 4
"""Numbers that Philox makes at once. NumPy does not check that it stands at one of them."""


@dataclass(frozen=True)
class Streams:
    """The random streams of one trial.

    Args:
        seeds: seed index of each stream of `STREAMS`; a stream that is left out has index 0.
    """

    seeds: Mapping[str, int]

    def generator(self, stream: str, purpose: str, step: int = 0) -> np.random.Generator:
        """A fresh generator for one purpose ("inputs", "order", "layer1.weight") at one step.

        Raises:
            KeyError: `stream` is none of `STREAMS`.
        """
        if stream not in STREAMS:
            raise KeyError(stream)
        text = f"{stream}|{self.seeds.get(stream, 0)}|{purpose}"
        key = int.from_bytes(hashlib.blake2b(text.encode(), digest_size=16).digest(), "little")
        return np.random.Generator(np.random.Philox(key=key, counter=[0, 0, 0, step]))


def standing(generator: np.random.Generator) -> str:
    """Where a generator of `Streams` stands after some draws, as text."""
    return json.dumps(generator.bit_generator.state, default=lambda numbers: numbers.tolist())


def going_on(text: str) -> np.random.Generator:
    """The generator that stands where `standing` says: the next draws are those that the other one would give.

    Raises:
        ValueError: a generator cannot stand there.
    """
    state = json.loads(text)
    if not 0 <= state["buffer_pos"] <= len(state["buffer"]) == BUFFER:
        raise ValueError(f"a generator's buffer of {BUFFER} numbers has no place {state['buffer_pos']}")
    generator = np.random.Generator(np.random.Philox())
    generator.bit_generator.state = state
    return generator
